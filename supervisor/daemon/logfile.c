/* See logfile.h. Runs in the daemon's only thread.
 *
 * The reporter may come back into logfile_write() for the very file that it is
 * told about (the daemon's own log): it is called only when the struct is
 * settled, and nothing read before is trusted afterwards.
 */
#include "supervisor/daemon/logfile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/daemon/logpath.h"
#include "workers/base/pure/macro.h"
#include "workers/base/sys/fd.h"

#define BUCKETS_MIN 64 /* a power of two */

static void report(const struct logfile *lf, bool is_problem, const char *fmt,
		   ...) _printf_(3, 4);

static void report(const struct logfile *lf, bool is_problem, const char *fmt,
		   ...)
{
	char text[LOGFILE_REPORT_MAX], what[LOGFILE_NOTICE_MAX];
	const struct logfile_registry *reg = lf->registry;
	int path_max =
		(int)(sizeof(text) - sizeof(what) - sizeof("log file : "));
	va_list ap;

	if (!reg->reporter)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	(void)snprintf(text, sizeof(text), "log file %.*s: %s", path_max,
		       lf->path, what);
	reg->reporter(reg->userdata, is_problem, text);
}

/* Opening and rotating */

static void adopt(struct logfile *lf, int fd, const struct stat *st)
{
	fd_close(lf->fd);
	lf->fd = fd;
	lf->is_regular = S_ISREG(st->st_mode);
	lf->size = lf->is_regular ? (uint64_t)st->st_size : 0;
	lf->is_mid_line = false;
	lf->rotate_at = lf->is_regular ? lf->maxbytes : 0;
}

static int open_at(struct logfile *lf, int dir_fd, const char *name)
{
	struct stat st;
	int fd = logpath_open_file(dir_fd, name, lf->mode, false, &st);

	if (fd < 0)
		return fd;
	adopt(lf, fd, &st);
	return 0;
}

int logfile_reopen(struct logfile *lf)
{
	_cleanup_(fd_closep) int dir_fd = -1;
	const char *name;

	dir_fd = logpath_open_dir(lf->path, &name);
	if (dir_fd < 0)
		return dir_fd;
	return open_at(lf, dir_fd, name);
}

/* The next file is to be read by whom the operator let read this one. */
static void copy_owner(int fd, const struct stat *from, const struct stat *to)
{
	if (from->st_uid != to->st_uid || from->st_gid != to->st_gid)
		(void)!fchown(fd, from->st_uid, from->st_gid);
	if ((from->st_mode ^ to->st_mode) & 0777)
		(void)fchmod(fd, from->st_mode & 0777);
}

static int replace_at(struct logfile *lf, int dir_fd, const char *name,
		      const struct stat *old)
{
	struct stat st;
	int r, fd;

	r = logpath_shift(dir_fd, name, lf->backups);
	if (r < 0)
		return r;
	fd = logpath_open_file(dir_fd, name, lf->mode, true, &st);
	if (fd < 0) {
		(void)logpath_unshift(dir_fd, name);
		return fd;
	}
	copy_owner(fd, old, &st);
	adopt(lf, fd, &st);
	return 0;
}

static int try_rotate(struct logfile *lf)
{
	_cleanup_(fd_closep) int dir_fd = -1;
	const char *name;
	struct stat st;

	dir_fd = logpath_open_dir(lf->path, &name);
	if (dir_fd < 0)
		return dir_fd;
	if (fstat(lf->fd, &st) < 0)
		return -errno;
	if (!logpath_is_file(dir_fd, name, &st)) /* others moved it */
		return open_at(lf, dir_fd, name);
	if (st.st_size == 0 || (uint64_t)st.st_size < lf->size) {
		lf->size = (uint64_t)st.st_size; /* others emptied it */
		lf->is_mid_line = lf->is_mid_line && lf->size > 0;
		lf->rotate_at = lf->maxbytes;
		return 0;
	}
	if (lf->backups > 0)
		return replace_at(lf, dir_fd, name, &st);
	if (ftruncate(lf->fd, 0) < 0)
		return -errno;
	st.st_size = 0;
	lf->size = 0;
	lf->is_mid_line = false;
	lf->rotate_at = lf->maxbytes;
	return 0;
}

int logfile_rotate(struct logfile *lf)
{
	int r, before = lf->rotate_error;

	if (!lf->is_regular)
		return -EINVAL;
	r = try_rotate(lf);
	lf->rotate_error = r;
	if (r < 0 && lf->maxbytes > 0)
		lf->rotate_at = lf->size + lf->maxbytes;
	if (r < 0 && before == 0)
		report(lf, true, "cannot rotate, it goes on growing: %s",
		       logfile_error_text(r));
	if (r == 0 && before != 0)
		report(lf, false, "can be rotated again");
	return r;
}

void logfile_renew(struct logfile *lf)
{
	int r;

	if (lf->is_regular && lf->maxbytes > 0 && lf->backups > 0) {
		(void)logfile_rotate(lf); /* reports */
		return;
	}
	r = logfile_reopen(lf);
	if (r < 0)
		report(lf, true, "cannot reopen, still writing to the old: %s",
		       logfile_error_text(r));
}

void logfile_limit(struct logfile *lf, uint64_t maxbytes, uint32_t backups)
{
	lf->backups = backups;
	if (lf->maxbytes == maxbytes)
		return; /* rotate_at may be further off: rotating fails */
	lf->maxbytes = maxbytes;
	lf->rotate_at = lf->is_regular ? maxbytes : 0;
}

/* Writing */

static void count_dropped(struct logfile *lf, const char *data, size_t len)
{
	const char *end = data + len;
	uint64_t lines = 0;

	for (const char *p = data; (p = memchr(p, '\n', (size_t)(end - p)));
	     p++)
		lines++;
	lf->drop_bytes += len;
	lf->drop_lines += lines;
	lf->total_bytes_dropped += len;
	lf->total_lines_dropped += lines;
}

/* Writes as much as is taken. Returns how much; less than len: *ret_error. */
static size_t put(struct logfile *lf, const char *data, size_t len,
		  int *ret_error)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = write(lf->fd, data + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			*ret_error = n < 0 ? -errno : -EIO;
			break;
		}
		done += (size_t)n;
	}
	if (done > 0) {
		lf->size += done;
		lf->is_mid_line = data[done - 1] != '\n';
	}
	return done;
}

/* Takes the last len bytes of the file back: the half of a notice. */
static void take_back(struct logfile *lf, size_t len, bool was_mid_line)
{
	struct stat st;

	if (len == 0 || !lf->is_regular || fstat(lf->fd, &st) < 0 ||
	    st.st_size < (off_t)len ||
	    ftruncate(lf->fd, st.st_size - (off_t)len) < 0)
		return;
	lf->size -= len;
	lf->is_mid_line = was_mid_line;
}

static size_t notice_text(const struct logfile *lf,
			  char text[static LOGFILE_NOTICE_MAX])
{
	int n = snprintf(text, LOGFILE_NOTICE_MAX,
			 "%sreeve: %" PRIu64 " bytes (%" PRIu64
			 " lines) dropped%s: %s\n",
			 lf->is_mid_line ? "\n" : "", lf->drop_bytes,
			 lf->drop_lines,
			 lf->is_mid_line ? ", the line above is cut" : "",
			 strerror(-lf->drop_error));

	return (size_t)MIN(n, LOGFILE_NOTICE_MAX - 1);
}

/* Says what was dropped. False: writing does still not work. */
static bool declare_dropped(struct logfile *lf)
{
	uint64_t bytes = lf->drop_bytes, lines = lf->drop_lines;
	char text[LOGFILE_NOTICE_MAX];
	size_t len = notice_text(lf, text), done;
	bool was_mid_line;

	if (lf->rotate_at > 0 && lf->size > 0 &&
	    lf->size + len > lf->rotate_at) {
		(void)logfile_rotate(lf);
		len = notice_text(lf, text);
	}
	was_mid_line = lf->is_mid_line;
	done = put(lf, text, len, &lf->drop_error);
	if (done < len) {
		take_back(lf, done, was_mid_line);
		return false;
	}
	lf->drop_error = 0;
	lf->drop_bytes = lf->drop_lines = 0;
	report(lf, false,
	       "written again; %" PRIu64 " bytes (%" PRIu64
	       " lines) were dropped",
	       bytes, lines);
	return true;
}

/* How much of data may go into the file as it is; 0: rotate first. */
static size_t fitting(const struct logfile *lf, const char *data, size_t len)
{
	const char *newline;
	uint64_t room;

	if (lf->rotate_at == 0)
		return len;
	room = lf->rotate_at > lf->size ? lf->rotate_at - lf->size : 0;
	if (len <= room)
		return len;
	newline = memrchr(data, '\n', room);
	if (newline)
		return (size_t)(newline - data) + 1;
	/* A line that fits into no file, or that was begun in this one. */
	return lf->size == 0 || lf->is_mid_line ? room : 0;
}

void logfile_write(struct logfile *lf, const char *data, size_t len)
{
	while (len > 0) {
		size_t n, done;
		int error = 0;

		if (lf->drop_error != 0 && !declare_dropped(lf)) {
			count_dropped(lf, data, len);
			return;
		}
		n = fitting(lf, data, len);
		if (n == 0 && logfile_rotate(lf) == 0)
			continue;
		if (n == 0) /* cannot be rotated: goes on growing */
			n = MIN(len, lf->maxbytes);
		done = put(lf, data, n, &error);
		data += done;
		len -= done;
		if (done < n) {
			lf->drop_error = error;
			count_dropped(lf, data, len);
			report(lf, true, "cannot write, output is dropped: %s",
			       strerror(-error));
			return;
		}
	}
}

/* The registry */

static uint32_t hash_path(const char *path)
{
	uint32_t h = 2166136261; /* FNV-1a */

	for (; *path; path++)
		h = (h ^ (unsigned char)*path) * 16777619;
	return h;
}

static struct logfile **bucket_of(const struct logfile_registry *reg,
				  const char *path)
{
	return &reg->buckets[hash_path(path) & (reg->n_buckets - 1)];
}

static void insert(struct logfile_registry *reg, struct logfile *lf)
{
	struct logfile **bucket = bucket_of(reg, lf->path);

	lf->next = *bucket;
	*bucket = lf;
}

/* Keeps chains short. Without memory they grow longer, as long as there is a
 * table at all. */
static int make_room(struct logfile_registry *reg)
{
	struct logfile_registry bigger = *reg;

	if (reg->n_files < reg->n_buckets)
		return 0;
	bigger.n_buckets = MAX(reg->n_buckets * 2, (size_t)BUCKETS_MIN);
	bigger.buckets = calloc(bigger.n_buckets, sizeof(*bigger.buckets));
	if (!bigger.buckets)
		return reg->buckets ? 0 : -ENOMEM;
	for (size_t i = 0; i < reg->n_buckets; i++) {
		struct logfile *next, *lf = reg->buckets[i];

		for (; lf; lf = next) {
			next = lf->next;
			insert(&bigger, lf);
		}
	}
	free(reg->buckets);
	*reg = bigger;
	return 0;
}

static struct logfile *file_free(struct logfile *lf)
{
	if (!lf)
		return NULL;
	fd_close(lf->fd);
	free(lf->path);
	free(lf);
	return NULL;
}

static void file_freep(struct logfile **lf)
{
	file_free(*lf);
}

static int file_new(struct logfile_registry *reg,
		    const struct logfile_spec *spec, struct logfile **ret_file)
{
	_cleanup_(file_freep) struct logfile *lf = NULL;
	int r;

	lf = malloc(sizeof(*lf));
	if (!lf)
		return -ENOMEM;
	*lf = (struct logfile){
		.registry = reg,
		.n_refs = 1,
		.path = strdup(spec->path),
		.maxbytes = spec->maxbytes,
		.backups = spec->backups,
		.mode = spec->mode ? spec->mode : LOGFILE_MODE,
		.fd = -1,
	};
	if (!lf->path)
		return -ENOMEM;
	r = logfile_reopen(lf);
	if (r < 0)
		return r;
	*ret_file = TAKE(lf);
	return 0;
}

void logfile_registry_init(struct logfile_registry *reg,
			   logfile_reporter reporter, void *userdata)
{
	*reg = (struct logfile_registry){
		.reporter = reporter,
		.userdata = userdata,
	};
}

int logfile_get(struct logfile_registry *reg, const struct logfile_spec *spec,
		struct logfile **ret_file)
{
	struct logfile *lf;
	int r;

	r = make_room(reg);
	if (r < 0)
		return r;
	for (lf = *bucket_of(reg, spec->path); lf; lf = lf->next) {
		if (strcmp(lf->path, spec->path) != 0)
			continue;
		lf->n_refs++;
		*ret_file = lf;
		return 0;
	}
	r = file_new(reg, spec, &lf);
	if (r < 0)
		return r;
	insert(reg, lf);
	reg->n_files++;
	*ret_file = lf;
	return 0;
}

static void close_file(struct logfile *lf)
{
	struct logfile **p = bucket_of(lf->registry, lf->path);

	while (*p != lf)
		p = &(*p)->next;
	*p = lf->next;
	lf->registry->n_files--;
	if (lf->drop_error != 0 && !declare_dropped(lf))
		report(lf, true,
		       "closed; %" PRIu64 " bytes (%" PRIu64
		       " lines) were dropped: %s",
		       lf->drop_bytes, lf->drop_lines,
		       strerror(-lf->drop_error));
	file_free(lf);
}

struct logfile *logfile_put(struct logfile *lf)
{
	if (!lf)
		return NULL;
	reeve_assert(lf->n_refs > 0);
	if (--lf->n_refs == 0)
		close_file(lf);
	return NULL;
}

void logfile_registry_done(struct logfile_registry *reg)
{
	for (size_t i = 0; i < reg->n_buckets; i++)
		while (reg->buckets[i])
			close_file(reg->buckets[i]);
	free(reg->buckets);
	*reg = (struct logfile_registry){ 0 };
}

void logfile_renew_all(struct logfile_registry *reg)
{
	for (size_t i = 0; i < reg->n_buckets; i++)
		for (struct logfile *lf = reg->buckets[i]; lf; lf = lf->next)
			logfile_renew(lf);
}

const char *logfile_error_text(int error)
{
	switch (error) {
	case -ELOOP:
		return "is a symbolic link, or reached through one of a user "
		       "who does not own the directory it leads to";
	case -EMLINK:
		return "has more than one name (hard link)";
	case -EISDIR:
		return "is a directory";
	case -EINVAL:
		return "is neither a regular file nor a character device";
	case -ENOENT:
		return "its directory does not exist";
	default:
		return strerror(-error);
	}
}
