/* See runtime.h. */
#include "supervisor/daemon/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/conf.h"
#include "workers/base/pure/macro.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"

#define LOCK_NAME "lock"

/* mkdir -p; what exists is left as it is. */
static int make_directories(const char *path, mode_t mode)
{
	_cleanup_(free_pointer) char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	for (char *p = copy + 1;; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return -errno;
		*p = c;
		if (c == '\0')
			return 0;
	}
}

/* FNV-1a over the real path: the same directory, the same name. */
static void name_instance(struct runtime *rt)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (const char *p = rt->dir; *p; p++)
		hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
	snprintf(rt->instance, sizeof(rt->instance), "%016" PRIx64, hash);
}

static int open_directory(struct runtime *rt, const char *option,
			  const struct daemon_settings *settings)
{
	_cleanup_(free_pointer) char *path = NULL;
	int r;

	if (!option)
		option = settings->runtime_dir;
	if (option)
		path = strdup(option);
	else if ((r = conf_default_runtime_dir(&path)) < 0)
		return r;
	if (!path)
		return -ENOMEM;
	r = make_directories(path, 0755);
	if (r < 0) {
		log_error("cannot make runtime directory %s: %s", path,
			  strerror(-r));
		return r;
	}
	rt->dir = realpath(path, NULL);
	if (!rt->dir)
		return -errno;
	return 0;
}

/* Nobody but us (or root) may put things where we bind sockets. */
static int check_directory(const struct runtime *rt)
{
	struct stat st;

	if (stat(rt->dir, &st) < 0)
		return -errno;
	if ((st.st_uid == geteuid() || st.st_uid == 0) &&
	    !((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX)))
		return 0;
	log_error("runtime directory %s belongs to uid %d and mode %04o: it "
		  "must be ours and not writable by others",
		  rt->dir, (int)st.st_uid, st.st_mode & 07777);
	return -EPERM;
}

static int take_lock(struct runtime *rt)
{
	_cleanup_(free_pointer) char *path = NULL;

	if (asprintf(&path, "%s/" LOCK_NAME, rt->dir) < 0)
		return -ENOMEM;
	rt->lock_fd =
		open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (rt->lock_fd < 0) {
		log_error("cannot open lock %s: %s", path, strerror(errno));
		return -errno;
	}
	if (flock(rt->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	log_error("another reeved runs in %s: stop it, or choose another "
		  "directory with --runtime-dir",
		  rt->dir);
	return -errno;
}

static int open_log_dir(struct runtime *rt,
			const struct daemon_settings *settings)
{
	int r;

	if (settings->log_dir) {
		rt->log_dir = strdup(settings->log_dir);
		if (!rt->log_dir)
			return -ENOMEM;
	} else {
		r = conf_default_log_dir(&rt->log_dir);
		if (r < 0)
			return r;
	}
	r = make_directories(rt->log_dir, 0755);
	if (r < 0)
		log_warning("cannot make log directory %s: %s", rt->log_dir,
			    strerror(-r));
	return 0;
}

int runtime_open(struct runtime *rt, const char *option,
		 const struct daemon_settings *settings)
{
	int r;

	*rt = (struct runtime){ .lock_fd = -1 };
	if (getrlimit(RLIMIT_NOFILE, &rt->nofile) < 0)
		return -errno;
	r = open_directory(rt, option, settings);
	if (r < 0)
		return r;
	r = check_directory(rt);
	if (r < 0)
		return r;
	r = take_lock(rt);
	if (r < 0)
		return r;
	name_instance(rt);
	if (asprintf(&rt->control_path, "%s/control.sock", rt->dir) < 0 ||
	    asprintf(&rt->notify_path, "%s/notify.sock", rt->dir) < 0)
		return -ENOMEM;
	return open_log_dir(rt, settings);
}

int runtime_write_pidfile(struct runtime *rt, const char *path)
{
	_cleanup_(free_pointer) char *temporary = NULL;
	_cleanup_(fd_closep) int fd = -1;
	char text[16];
	int n, r;

	if (!path)
		return 0;
	if (asprintf(&temporary, "%s.new", path) < 0)
		return -ENOMEM;
	(void)unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	r = fd < 0 ? -errno : fd_write_all(fd, text, (size_t)n);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(temporary);
		log_error("cannot write pid file %s: %s", path, strerror(-r));
		return r;
	}
	rt->pidfile = strdup(path);
	return rt->pidfile ? 0 : -ENOMEM;
}

int runtime_check_nofile(const struct runtime *rt, size_t n_needed)
{
	if (rt->nofile.rlim_max >= n_needed)
		return 0;
	log_error("the configuration needs %zu file descriptors, the limit is "
		  "%llu: raise it (LimitNOFILE=, ulimit -Hn), run fewer "
		  "workers, or capture fewer logs (stdout_logfile = NONE)",
		  n_needed, (unsigned long long)rt->nofile.rlim_max);
	return -EMFILE;
}

int runtime_raise_nofile(struct runtime *rt, size_t n_needed)
{
	struct rlimit limit = { rt->nofile.rlim_max, rt->nofile.rlim_max };
	int r = runtime_check_nofile(rt, n_needed);

	if (r < 0)
		return r;
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

void runtime_close(struct runtime *rt)
{
	if (rt->lock_fd >= 0 && rt->control_path)
		(void)unlink(rt->control_path);
	if (rt->lock_fd >= 0 && rt->notify_path)
		(void)unlink(rt->notify_path);
	if (rt->pidfile)
		(void)unlink(rt->pidfile);
	/* The lock file stays: removing it would race with the next holder. */
	rt->lock_fd = fd_close(rt->lock_fd);
	free(rt->dir);
	free(rt->log_dir);
	free(rt->control_path);
	free(rt->notify_path);
	free(rt->pidfile);
	*rt = (struct runtime){ .lock_fd = -1 };
}
