/* Leaves in a cgroup v2 tree.
 *
 * Where our own cgroup is to be seen is found in mountinfo (cgroup_path.h): the
 * first cgroup2 mount that shows it counts. Pure v2 and the "unified" part of a
 * hybrid layout look the same.
 *
 * Under systemd the tree is systemd's. It gives parts of it away by Delegate=
 * and says so in an extended attribute; without that we would be in its way,
 * even where we could write.
 *
 * A base that was found is tried out with a process, since a kernel that kills
 * at birth (see cgroup.h) cannot be told in any other way.
 */
#include "workers/base/sys/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/str.h"
#include "workers/base/sys/cgroup_path.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/spawn.h"

#define MOUNTINFO_MAX	   (4 << 20)
#define EVENTS_MAX	   4096
#define PROCS_FILE_MAX	   (64 << 20)
#define DIRECTORIES_MAX	   4096 /* below one leaf */
#define SIGNAL_BATCH	   64	/* pidfds that are open at once */
#define TRIAL_TIMEOUT_MSEC 5000
#define DIRECTORY_MODE	   0755

static const char why_none[] = "there is no cgroup v2 here";
static const char why_denied[] = "its own cgroup is not writable";
static const char why_not_delegated[] =
	"its cgroup belongs to systemd and is not delegated (Delegate=yes)";
static const char why_unknown[] = "its cgroup could not be looked at";
static const char why_unfit[] =
	"its cgroup cannot have leaves that can be killed (threaded, or an old "
	"kernel)";

/* --- where we are -------------------------------------------------------- */

/* Opens our cgroup under one mount, unless something else is mounted over it.
 * Returns an fd or -ENOENT. */
static int open_own(const char *point, const char *below, char **ret_path)
{
	_cleanup_(free_pointer) char *path = NULL;
	_cleanup_(fd_closep) int fd = -1;
	struct statfs fs;

	if (asprintf(&path, "%s%s", point, below) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
		return -ENOENT;
	*ret_path = TAKE(path);
	return TAKE_FD(fd);
}

/* The first mount that shows group. Returns an fd or -ENOENT. */
static int find_own(const char *group, char **ret_path)
{
	_cleanup_(free_pointer) char *text = NULL;
	char *line, *end;
	int fd;

	fd = fd_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX,
			  &text, NULL);
	if (fd < 0)
		return fd;
	for (line = text; *line; line = end) {
		const char *below;
		char *root, *point;

		end = strchrnul(line, '\n');
		if (*end)
			*end++ = '\0';
		if (!cgroup_path_parse_mount(line, &root, &point))
			continue;
		below = cgroup_path_below(group, root);
		if (!below)
			continue;
		fd = open_own(point, below, ret_path);
		if (fd != -ENOENT)
			return fd;
	}
	return -ENOENT;
}

/* --- may we? ------------------------------------------------------------- */

/* sd_booted(3), and it is systemd that runs this: a container may show the
 * host's /run. */
static bool is_systemd_booted(void)
{
	_cleanup_(free_pointer) char *comm = NULL;
	struct stat st;

	return lstat("/run/systemd/system/", &st) == 0 &&
	       fd_read_file(AT_FDCWD, "/proc/1/comm", 64, &comm, NULL) == 0 &&
	       str_has_prefix(comm, "systemd");
}

static bool is_delegated(int fd)
{
	static const char *const names[] = { "trusted.delegate",
					     "user.delegate" };
	char value;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (fgetxattr(fd, names[i], &value, 1) == 1 && value == '1')
			return true;
	return false;
}

/* Makes name in dir_fd, or finds it, and opens it. */
static int make_directory(int dir_fd, const char *name)
{
	int fd;

	if (mkdirat(dir_fd, name, DIRECTORY_MODE) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(dir_fd, name,
		    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

static int open_below(int own_fd, const char *name)
{
	_cleanup_(fd_closep) int fd = -1;
	_cleanup_(free_pointer) char *type = NULL;

	/* whoever enters a leaf leaves, in the end, here */
	if (faccessat(own_fd, "cgroup.procs", W_OK, AT_EACCESS) < 0)
		return -errno;
	fd = make_directory(own_fd, name);
	if (fd < 0)
		return fd;
	if (faccessat(fd, "cgroup.kill", W_OK, AT_EACCESS) < 0 ||
	    fd_read_file(fd, "cgroup.type", 64, &type, NULL) < 0 ||
	    !str_has_prefix(type, "domain\n"))
		return -EOPNOTSUPP;
	return TAKE_FD(fd);
}

/* --- a trial ------------------------------------------------------------- */

/* Waits until the process has ended. Returns 0 or -errno. */
static int wait_for(const struct spawn_child *child)
{
	struct pollfd p = { .fd = child->pidfd, .events = POLLIN };
	bool core;
	int code, r;

	(void)poll(&p, 1, TRIAL_TIMEOUT_MSEC);
	if (p.revents == 0) { /* in a cgroup that is frozen? */
		(void)spawn_signal(child->pidfd, SIGKILL);
		(void)poll(&p, 1, TRIAL_TIMEOUT_MSEC);
	}
	r = spawn_wait(child->pidfd, false, &code, &core, NULL);
	return r == 1 || r == -ECHILD ? 0 : -EIO; /* reaped by itself: fine */
}

/* Starts what cannot be executed in a leaf: it has to live long enough to say
 * so. Returns 1 when it did, 0 when it was killed at birth, or -errno. */
static int try_birth(int leaf_fd, bool enter_late)
{
	char root[] = "/", *argv[] = { root, NULL };
	struct spawn_spec spec = { SPAWN_SPEC, .argv = argv };
	struct spawn_failure failure = { 0 };
	struct spawn_child child;
	int r;

	spec.cgroup_fd = leaf_fd;
	spec.enter_late = enter_late;
	r = spawn_start(&spec, &child);
	if (r < 0)
		return r;
	r = wait_for(&child);
	if (r == 0)
		r = spawn_read_report(child.report_fd, &failure);
	fd_close(child.pidfd);
	fd_close(child.report_fd);
	if (r > 0 && failure.stage == SPAWN_STAGE_CGROUP)
		return failure.error == EACCES || failure.error == EPERM
			       ? -EACCES
			       : -EOPNOTSUPP;
	return r;
}

static int try_leaf(struct cgroup_base *base)
{
	static const char name[] = "trial";
	int r, fd = cgroup_leaf_new(base, name);

	if (fd < 0)
		return fd;
	r = try_birth(fd, false);
	if (r == 0) {
		base->enter_late = true;
		r = try_birth(fd, true);
	}
	fd_close(fd);
	(void)cgroup_leaf_remove(base, name);
	return r == 0 ? -EOPNOTSUPP : MIN(r, 0);
}

/* --- the base ------------------------------------------------------------ */

static bool is_name_valid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= CGROUP_NAME_MAX && !strpbrk(name, "/\n") &&
	       !str_equal(name, ".") && !str_equal(name, "..");
}

static const char *why_not(int error)
{
	switch (error) {
	case -EACCES:
	case -EROFS:
		return why_denied;
	case -EPERM:
		return why_not_delegated;
	case -ENOENT:
		return why_none;
	case -EOPNOTSUPP:
		return why_unfit;
	default:
		return why_unknown;
	}
}

static int open_base(const char *name, struct cgroup_base *base)
{
	_cleanup_(free_pointer) char *group = NULL;
	_cleanup_(free_pointer) char *path = NULL;
	_cleanup_(fd_closep) int own_fd = -1;
	int r;

	r = cgroup_path_read("self", &group);
	if (r < 0)
		return -ENOENT;
	own_fd = find_own(group, &path);
	if (own_fd < 0)
		return own_fd;
	if (is_systemd_booted() && !is_delegated(own_fd))
		return -EPERM;
	base->path = cgroup_path_join(path, name);
	base->group = cgroup_path_join(group, name);
	if (!base->path || !base->group)
		return -ENOMEM;
	base->fd = open_below(own_fd, name);
	if (base->fd < 0) {
		r = base->fd;
		(void)unlinkat(own_fd, name, AT_REMOVEDIR);
		return r;
	}
	return try_leaf(base);
}

int cgroup_base_open(const char *name, struct cgroup_base *ret_base,
		     const char **ret_why)
{
	struct cgroup_base base = { .fd = -1 };
	int r = is_name_valid(name) ? open_base(name, &base) : -EINVAL;

	if (r < 0) {
		cgroup_base_done(&base);
		if (ret_why)
			*ret_why = why_not(r);
		return r;
	}
	*ret_base = base;
	return 0;
}

void cgroup_base_done(struct cgroup_base *base)
{
	if (base->fd >= 0 && base->path)
		(void)rmdir(base->path);
	base->fd = fd_close(base->fd);
	free(TAKE(base->path));
	free(TAKE(base->group));
}

/* --- lists --------------------------------------------------------------- */

/* A growing list of names or paths. */
struct names {
	char **items;
	size_t n, size;
};

static void names_done(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->items[i]);
	free(names->items);
}

/* Takes item, also when it fails; NULL fails. */
static int names_add(struct names *names, char *item)
{
	if (!item)
		return -ENOMEM;
	if (names->n == names->size) {
		size_t size = MAX(2 * names->size, (size_t)16);
		char **larger =
			reallocarray(names->items, size, sizeof(*larger));

		if (!larger) {
			free(item);
			return -ENOMEM;
		}
		names->items = larger;
		names->size = size;
	}
	names->items[names->n++] = item;
	return 0;
}

/* Adds the directories in path (below dir_fd) as "path/name". */
static int add_directories(int dir_fd, const char *path, struct names *names)
{
	int fd = openat(dir_fd, path,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	int r = 0;

	if (!dir) {
		r = -errno;
		fd_close(fd);
		return r;
	}
	for (const struct dirent *d; r == 0 && (d = readdir(dir));) {
		if (d->d_type != DT_DIR || str_equal(d->d_name, ".") ||
		    str_equal(d->d_name, ".."))
			continue;
		if (names->n >= DIRECTORIES_MAX)
			r = -E2BIG;
		else
			r = names_add(names, cgroup_path_join(path, d->d_name));
	}
	(void)closedir(dir);
	return r;
}

/* path and all directories below, parents before what is in them. One that
 * vanishes meanwhile is none. */
static int list_tree(int dir_fd, const char *path, struct names *names)
{
	int r = names_add(names, strdup(path));

	for (size_t i = 0; i < names->n && r == 0; i++) {
		r = add_directories(dir_fd, names->items[i], names);
		if (i > 0 && r == -ENOENT)
			r = 0;
	}
	return r;
}

/* --- leaves -------------------------------------------------------------- */

int cgroup_leaf_new(const struct cgroup_base *base, const char *name)
{
	return is_name_valid(name) ? make_directory(base->fd, name) : -EINVAL;
}

int cgroup_leaf_is_populated(int leaf_fd)
{
	int fd = cgroup_leaf_events_open(leaf_fd), r;

	if (fd < 0)
		return fd;
	r = cgroup_events_populated(fd);
	fd_close(fd);
	return r;
}

int cgroup_events_populated(int events_fd)
{
	char text[EVENTS_MAX];
	ssize_t n = pread(events_fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	return strstr(text, "populated 1") != NULL;
}

int cgroup_leaf_events_open(int leaf_fd)
{
	int fd = openat(leaf_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int cgroup_leaf_kill(int leaf_fd)
{
	return fd_write_file(leaf_fd, "cgroup.kill", "1");
}

/* True when the cgroup.procs in text has pid. */
static bool lists_pid(const char *text, pid_t pid)
{
	char line[16];
	size_t len = (size_t)snprintf(line, sizeof(line), "%d\n", (int)pid);

	for (const char *p = text; *p;) {
		const char *end = strchrnul(p, '\n');

		if ((size_t)(end - p) + 1 == len && memcmp(p, line, len) == 0)
			return true;
		p = *end ? end + 1 : end;
	}
	return false;
}

/* Reads the pids at *text, opens each, and then looks whether they are in the
 * cgroup still: one that is has been since before it was opened, or its number
 * is another's of the same cgroup now, and the pidfd of the dead does nothing.
 * Returns how many were signalled. */
static int signal_batch(int dir_fd, const char *procs, char **text, int signo)
{
	_cleanup_(free_pointer) char *again = NULL;
	pid_t pids[SIGNAL_BATCH];
	int pidfds[SIGNAL_BATCH], n = 0, n_sent = 0, r = 0;

	while (n < SIGNAL_BATCH && **text) {
		char *end;
		pid_t pid = (pid_t)strtol(*text, &end, 10);

		if (end == *text)
			break;
		*text = *end ? end + 1 : end;
		if (pid <= 1)
			continue; /* 0: of another pid namespace */
		pidfds[n] = pidfd_open(pid, 0);
		if (pidfds[n] >= 0)
			pids[n++] = pid;
	}
	if (n > 0)
		r = fd_read_file(dir_fd, procs, PROCS_FILE_MAX, &again, NULL);
	for (int i = 0; i < n; i++) {
		if (r == 0 && lists_pid(again, pids[i]))
			n_sent += spawn_signal(pidfds[i], signo) == 0;
		fd_close(pidfds[i]);
	}
	return r < 0 ? r : n_sent;
}

static int signal_directory(int dir_fd, const char *path, int signo)
{
	_cleanup_(free_pointer) char *procs =
		cgroup_path_join(path, "cgroup.procs");
	_cleanup_(free_pointer) char *text = NULL;
	int n_sent = 0, r;

	if (!procs)
		return -ENOMEM;
	r = fd_read_file(dir_fd, procs, PROCS_FILE_MAX, &text, NULL);
	if (r < 0)
		return r;
	for (char *rest = text; *rest;) {
		const char *before = rest;

		r = signal_batch(dir_fd, procs, &rest, signo);
		if (r < 0)
			return r;
		if (rest == before)
			break;
		n_sent += r;
	}
	return n_sent;
}

int cgroup_leaf_signal(int leaf_fd, int signo)
{
	struct names paths = { 0 };
	int n_sent = 0, r;

	r = list_tree(leaf_fd, ".", &paths);
	for (size_t i = 0; i < paths.n && r >= 0; i++) {
		r = signal_directory(leaf_fd, paths.items[i], signo);
		if (r > 0)
			n_sent += r;
		if (i > 0 && (r == -ENOENT || r == -ENODEV))
			r = 0;
	}
	names_done(&paths);
	return r < 0 ? r : n_sent;
}

int cgroup_leaf_has_pid(const struct cgroup_base *base, const char *name,
			int pid)
{
	_cleanup_(free_pointer) char *group = NULL;
	_cleanup_(free_pointer) char *leaf =
		cgroup_path_join(base->group, name);
	char text[16];
	int r;

	if (!leaf)
		return -ENOMEM;
	(void)snprintf(text, sizeof(text), "%d", pid);
	r = cgroup_path_read(text, &group);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return cgroup_path_below(group, leaf) != NULL;
}

int cgroup_leaf_remove(const struct cgroup_base *base, const char *name)
{
	struct names paths = { 0 };
	int r = 0;

	if (!is_name_valid(name))
		return -EINVAL;
	if (unlinkat(base->fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY)
		return -errno;
	r = list_tree(base->fd, name, &paths);
	for (size_t i = paths.n; i > 0 && r == 0; i--) {
		if (unlinkat(base->fd, paths.items[i - 1], AT_REMOVEDIR) < 0 &&
		    errno != ENOENT)
			r = -errno;
	}
	names_done(&paths);
	return r;
}

int cgroup_each_leaf(const struct cgroup_base *base,
		     void (*on_leaf)(void *userdata, const char *name),
		     void *userdata)
{
	struct names paths = { 0 };
	int r = add_directories(base->fd, ".", &paths);

	for (size_t i = 0; i < paths.n && r == 0; i++)
		on_leaf(userdata, paths.items[i] + strlen("./"));
	if (r == 0)
		r = (int)paths.n;
	names_done(&paths);
	return r;
}
