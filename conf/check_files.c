/* Is on the disk what the configuration names: commands, directories, places
 * for logs; and does the limit on open files allow it all? What is looked at
 * here can change before a worker starts: then its start fails and says so.
 * See load.h. */
#include "conf/load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "conf/instance.h"
#include "workers/base/pure/macro.h"

#define PATH_BYTES 4096

/* ---- directories ---- */

/* NULL when path is a directory, else what is wrong. */
static const char *refuse_directory(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? "it does not exist" : strerror(errno);
	return S_ISDIR(st.st_mode) ? NULL : "it is not a directory";
}

/* The directory that a file is in, in buf; NULL when it does not fit. */
static const char *directory_of(const char *path, char buf[static PATH_BYTES])
{
	const char *slash = strrchr(path, '/');
	int n;

	if (!slash)
		return ".";
	n = snprintf(buf, PATH_BYTES, "%.*s",
		     slash == path ? 1 : (int)(slash - path), path);
	return n < PATH_BYTES ? buf : NULL;
}

/* A file to be written to: its directory must be there, and it must not be
 * anything but a file. */
static void check_place(struct loader *ld, const struct raw_section *raw,
			const char *key, const char *path)
{
	char buf[PATH_BYTES], shown[REPORT_QUOTE_MAX];
	const char *dir = directory_of(path, buf);
	const char *why = dir ? refuse_directory(dir) : "it is too long";
	struct stat st;

	if (why) {
		notes_error(&ld->notes, load_where(raw, key),
			    "%s in [%s]: the directory %s: %s; create it "
			    "(mkdir -p) or name another",
			    key, raw->title,
			    report_quote(dir ? dir : path, shown), why);
		return;
	}
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) &&
	    !S_ISCHR(st.st_mode))
		notes_error(&ld->notes, load_where(raw, key),
			    "%s in [%s]: %s is %s, not a file", key, raw->title,
			    report_quote(path, shown),
			    S_ISDIR(st.st_mode) ? "a directory"
						: "a pipe or socket");
}

/* ---- commands ---- */

/* 0, -ENOENT, -EISDIR, -EACCES (nobody may execute it), or -errno. */
static int try_program(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOTDIR ? -ENOENT : -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return st.st_mode & 0111 ? 0 : -EACCES;
}

static int search_program(const char *name, const char *search_path)
{
	char path[PATH_BYTES];
	int r = -ENOENT;

	while (r != 0 && *search_path) {
		size_t len = strcspn(search_path, ":");
		int n, q = -ENOENT;

		n = snprintf(path, sizeof(path), "%.*s/%s", (int)len,
			     len > 0 ? search_path : ".", name);
		if (n < PATH_BYTES)
			q = try_program(path);
		/* what is there but cannot run says more than "not found" */
		if (q != -ENOENT && q != -EISDIR)
			r = q;
		search_path += len + (search_path[len] == ':');
	}
	return r;
}

static int find_program(const char *name, const struct worker_texts *texts)
{
	char path[PATH_BYTES];
	int n;

	if (!strchr(name, '/'))
		return search_program(name, texts->search_path);
	if (name[0] == '/' || !texts->directory)
		return try_program(name);
	n = snprintf(path, sizeof(path), "%s/%s", texts->directory, name);
	return n < PATH_BYTES ? try_program(path) : -ENAMETOOLONG;
}

static void check_program(struct loader *ld, const struct raw_section *raw,
			  const struct worker_texts *texts)
{
	const char *name = texts->argv[0];
	int r = find_program(name, texts);
	char shown[REPORT_QUOTE_MAX], path[REPORT_QUOTE_MAX];
	uint32_t where = load_where(raw, "command");

	if (r == 0)
		return;
	report_quote(name, shown);
	if (r == -ENOENT && !strchr(name, '/'))
		notes_error(&ld->notes, where,
			    "command in [%s]: there is no \"%s\" in PATH (%s); "
			    "install it or write its full path",
			    raw->title, shown,
			    report_quote(texts->search_path, path));
	else if (r == -EACCES)
		notes_error(&ld->notes, where,
			    "command in [%s]: %s is not executable (chmod +x)",
			    raw->title, shown);
	else if (r == -EISDIR)
		notes_error(&ld->notes, where,
			    "command in [%s]: %s is a directory", raw->title,
			    shown);
	else
		notes_error(&ld->notes, where, "command in [%s]: %s: %s",
			    raw->title, shown,
			    r == -ENOENT ? "there is no such program"
					 : strerror(-r));
}

void load_check_files(struct loader *ld, const struct raw_section *raw,
		      const struct worker_texts *texts)
{
	const char *why = NULL;
	char shown[REPORT_QUOTE_MAX];

	if (raw->worker->directory && texts->directory)
		why = refuse_directory(texts->directory);
	if (why)
		notes_error(&ld->notes, load_where(raw, "directory"),
			    "directory in [%s]: %s: %s; create it or name "
			    "another",
			    raw->title, report_quote(texts->directory, shown),
			    why);
	/* in a directory that is not there, no program is either */
	if (texts->argv && !(why && texts->argv[0][0] != '/'))
		check_program(ld, raw, texts);
	if (texts->stdout_path)
		check_place(ld, raw, "stdout_logfile", texts->stdout_path);
	if (texts->stderr_path)
		check_place(ld, raw, "stderr_logfile", texts->stderr_path);
}

/* ---- [reeve] ---- */

static bool is_captured(const struct log_settings *log)
{
	return log->to.target == LOG_TO_FILE || log->to.target == LOG_TO_AUTO;
}

uint64_t conf_fds_needed(const struct settings *s)
{
	uint64_t n = CONF_FDS_BASE;

	for (size_t i = 0; i < s->n_workers; i++) {
		const struct worker_settings *w = s->workers[i];
		uint64_t each = 1;

		each += is_captured(&w->stdout_log) ? 2 : 0;
		if (!w->redirect_stderr)
			each += is_captured(&w->stderr_log) ? 2 : 0;
		n += each * w->numprocs;
	}
	return n;
}

static void check_limit(struct loader *ld, const struct raw_section *raw)
{
	uint64_t needed = conf_fds_needed(ld->settings);
	uint64_t minfds = ld->settings->daemon.minfds;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (needed > limit.rlim_max)
		notes_error(&ld->notes, origin_make(0, 0),
			    "all workers together need %" PRIu64
			    " open files, and the limit is %" PRIu64
			    "; raise it (ulimit -Hn, LimitNOFILE=), lower "
			    "numprocs, or set stdout_logfile=NONE and "
			    "stderr_logfile=NONE",
			    needed, (uint64_t)limit.rlim_max);
	else if (minfds > limit.rlim_max)
		notes_error(&ld->notes,
			    raw ? load_where(raw, "minfds") : origin_make(0, 0),
			    "minfds is %" PRIu64 ", and the limit is %" PRIu64
			    "; raise the limit (ulimit -Hn, LimitNOFILE=) or "
			    "lower minfds",
			    minfds, (uint64_t)limit.rlim_max);
}

static void check_daemon_directory(struct loader *ld,
				   const struct raw_section *raw,
				   const char *key, const char *path)
{
	const char *why = path ? refuse_directory(path) : NULL;
	char shown[REPORT_QUOTE_MAX];

	if (why)
		notes_error(&ld->notes, load_where(raw, key),
			    "%s in [%s]: %s: %s; create it (mkdir -p) or name "
			    "another",
			    key, raw->title, report_quote(path, shown), why);
}

void load_check_daemon_files(struct loader *ld)
{
	const struct daemon_settings *d = &ld->settings->daemon;
	const struct raw_section *raw = NULL;

	for (size_t i = 0; i < ld->n_sections; i++)
		if (ld->sections[i]->kind == SECTION_REEVE &&
		    !ld->sections[i]->is_dropped)
			raw = ld->sections[i];
	check_limit(ld, raw);
	if (!raw)
		return;
	check_daemon_directory(ld, raw, "directory", d->directory);
	check_daemon_directory(ld, raw, "log_dir", d->log_dir);
	if (d->logfile)
		check_place(ld, raw, "logfile", d->logfile);
	if (d->pidfile)
		check_place(ld, raw, "pidfile", d->pidfile);
}
