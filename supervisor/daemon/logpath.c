/* See logpath.h. */
#include "supervisor/daemon/logpath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/fd.h"

struct walk {
	int dir_fd; /* where we are; O_PATH */
	unsigned n_links;
	bool is_led;	     /* came through the link of another user: */
	uid_t led_by;	     /* this one */
	char rest[PATH_MAX]; /* what is still to be walked */
};

static int walk_go(struct walk *w, int at_fd, const char *name)
{
	int fd = openat(at_fd, name,
			O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	fd_close(w->dir_fd);
	w->dir_fd = fd;
	return 0;
}

static int walk_note_owner(struct walk *w, uid_t uid)
{
	if (uid == 0 || uid == geteuid())
		return 0;
	if (w->is_led && w->led_by != uid)
		return -ELOOP;
	w->is_led = true;
	w->led_by = uid;
	return 0;
}

/* name is no directory: follows it when it is a link that may be followed. */
static int walk_follow(struct walk *w, const char *name)
{
	_cleanup_(fd_closep) int fd = -1;
	char target[PATH_MAX];
	struct stat st;
	size_t rest_len = strlen(w->rest);
	ssize_t n;
	int r;

	fd = openat(w->dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISLNK(st.st_mode))
		return -ENOTDIR;
	if (++w->n_links > LOGPATH_LINKS_MAX)
		return -ELOOP;
	r = walk_note_owner(w, st.st_uid);
	if (r < 0)
		return r;
	n = readlinkat(fd, "", target, sizeof(target));
	if (n < 0)
		return -errno;
	if ((size_t)n + 1 + rest_len >= sizeof(w->rest))
		return -ENAMETOOLONG;
	memmove(w->rest + n + 1, w->rest, rest_len + 1);
	memcpy(w->rest, target, (size_t)n);
	w->rest[n] = '/';
	return w->rest[0] == '/' ? walk_go(w, AT_FDCWD, "/") : 0;
}

/* Cuts the first component off w->rest. False: none is left. */
static bool walk_next(struct walk *w, char name[static NAME_MAX + 1],
		      size_t *ret_len)
{
	size_t begin = strspn(w->rest, "/");
	size_t len = strcspn(w->rest + begin, "/");

	if (len == 0)
		return false;
	*ret_len = len;
	if (len > NAME_MAX)
		return true;
	memcpy(name, w->rest + begin, len);
	name[len] = '\0';
	memmove(w->rest, w->rest + begin + len,
		strlen(w->rest + begin + len) + 1);
	return true;
}

/* Walks w->rest to its end. */
static int walk_all(struct walk *w)
{
	char name[NAME_MAX + 1];
	struct stat st;
	size_t len;
	int r;

	r = walk_go(w, AT_FDCWD, w->rest[0] == '/' ? "/" : ".");
	while (r == 0 && walk_next(w, name, &len)) {
		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		r = walk_go(w, w->dir_fd, name);
		if (r == -ENOTDIR)
			r = walk_follow(w, name);
	}
	if (r < 0 || !w->is_led)
		return r;
	if (fstat(w->dir_fd, &st) < 0)
		return -errno;
	return st.st_uid == w->led_by ? 0 : -ELOOP;
}

int logpath_open_dir(const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	size_t dir_len = (size_t)(name - path);
	struct walk w = { .dir_fd = -1 };
	int r;

	if (*path == '\0')
		return -ENOENT;
	if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EISDIR;
	if (dir_len >= sizeof(w.rest) || strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(w.rest, path, dir_len);
	r = walk_all(&w);
	if (r < 0) {
		fd_close(w.dir_fd);
		return r;
	}
	*ret_name = name;
	return w.dir_fd;
}

int logpath_open_file(int dir_fd, const char *name, mode_t mode,
		      bool must_be_new, struct stat *ret_st)
{
	_cleanup_(fd_closep) int fd = -1;
	struct stat st;

	fd = openat(dir_fd, name,
		    O_WRONLY | O_APPEND | O_CREAT | (must_be_new ? O_EXCL : 0) |
			    O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
		    mode);
	if (fd < 0) /* ENXIO: a fifo that nobody reads, or a socket */
		return errno == ENXIO ? -EINVAL : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
		return -EINVAL;
	if (S_ISREG(st.st_mode) && st.st_nlink > 1)
		return -EMLINK;
	*ret_st = st;
	return TAKE_FD(fd);
}

bool logpath_is_file(int dir_fd, const char *name, const struct stat *st)
{
	struct stat found;

	return fstatat(dir_fd, name, &found, AT_SYMLINK_NOFOLLOW) == 0 &&
	       found.st_dev == st->st_dev && found.st_ino == st->st_ino;
}

/* NAME.NUMBER, or NAME for 0. */
static int backup_name(const char *name, uint32_t number,
		       char buf[static NAME_MAX + 1])
{
	int n = number == 0 ? snprintf(buf, NAME_MAX + 1, "%s", name)
			    : snprintf(buf, NAME_MAX + 1, "%s.%u", name,
				       (unsigned)number);

	return n < 0 || n > NAME_MAX ? -ENAMETOOLONG : 0;
}

static int backup_rename(int dir_fd, const char *name, uint32_t from,
			 uint32_t to)
{
	char old[NAME_MAX + 1], new[NAME_MAX + 1];
	int r;

	r = backup_name(name, from, old);
	if (r == 0)
		r = backup_name(name, to, new);
	if (r < 0)
		return r;
	return renameat(dir_fd, old, dir_fd, new) < 0 ? -errno : 0;
}

/* The least number that no backup has, at most backups; or -errno. */
static int64_t first_free(int dir_fd, const char *name, uint32_t backups)
{
	char buf[NAME_MAX + 1];
	struct stat st;
	int r;

	for (uint32_t i = 1; i < backups; i++) {
		r = backup_name(name, i, buf);
		if (r < 0)
			return r;
		if (fstatat(dir_fd, buf, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return errno == ENOENT ? (int64_t)i : -errno;
	}
	return backups;
}

int logpath_shift(int dir_fd, const char *name, uint32_t backups)
{
	int64_t free_number = first_free(dir_fd, name, backups);
	int r;

	if (free_number < 0)
		return (int)free_number;
	/* From the end, so that each step has its place free: a failure
	 * half-way leaves a gap, and the next attempt starts there. */
	for (uint32_t i = (uint32_t)free_number; i > 0; i--) {
		r = backup_rename(dir_fd, name, i - 1, i);
		if (r < 0)
			return r;
	}
	return 0;
}

int logpath_unshift(int dir_fd, const char *name)
{
	return backup_rename(dir_fd, name, 1, 0);
}
