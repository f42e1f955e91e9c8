/* How the fixture works.
 *
 * The program makes one directory (root) and sets TMPDIR to it; a test's
 * unit_tmpdir() is in it. libcheck forks for each test: setup() and teardown()
 * run in that process, before and after it. A test that fails ends at once,
 * without teardown(); so the program, being a subreaper too, removes files and
 * ends processes again, after the last test, and setup() empties the root.
 *
 * Processes are waited for through pidfds. Nobody but us reaps them meanwhile,
 * so that a pid read from /proc is still theirs when it is opened.
 */
#include "tests/lib/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workers/base/pure/buf.h"
#include "workers/base/pure/str.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"

#define PATHS_MAX  256
#define FDS_MAX	   1024 /* numbers that are looked at */
#define TARGET_MAX 96
#define REPORT_MAX 2048

/* What an open fd refers to, as /proc words it; empty: it is not open. */
typedef char fd_targets[FDS_MAX][TARGET_MAX];

static struct {
	pid_t program;
	char root[128];
	/* of the running test */
	char tmpdir[160]; /* empty: not asked for yet */
	char *paths[PATHS_MAX];
	size_t n_paths;
	unsigned opted_out;
	fd_targets fds_before, fds_after;
} unit;

/* --- files --------------------------------------------------------------- */

static int remove_entry(const char *path, _unused_ const struct stat *st,
			_unused_ int type, struct FTW *ftw)
{
	if (ftw->level > 0)
		(void)remove(path);
	return 0;
}

static int make_writable(const char *path, _unused_ const struct stat *st,
			 int type, _unused_ struct FTW *ftw)
{
	if (type == FTW_D || type == FTW_DNR)
		(void)chmod(path, 0700);
	return 0;
}

/* Removes what is in a directory; links are removed, not followed. Tests take
 * rights away from directories, so these are given back first. */
static void empty_directory(const char *path)
{
	(void)nftw(path, make_writable, 16, FTW_PHYS);
	(void)nftw(path, remove_entry, 16, FTW_PHYS | FTW_DEPTH);
}

static void list_directory(const char *path, struct buf *names)
{
	DIR *dir = opendir(path);
	if (dir == NULL)
		return;
	for (const struct dirent *d; (d = readdir(dir)) != NULL;)
		if (!str_equal(d->d_name, ".") && !str_equal(d->d_name, ".."))
			(void)buf_printf(names, " %s", d->d_name);
	(void)closedir(dir);
}

const char *unit_tmpdir(void)
{
	if (unit.tmpdir[0] == '\0') {
		(void)snprintf(unit.tmpdir, sizeof(unit.tmpdir), "%s/XXXXXX",
			       unit.root);
		ck_assert_msg(mkdtemp(unit.tmpdir) != NULL, "%s: %s",
			      unit.tmpdir, strerror(errno));
	}
	return unit.tmpdir;
}

const char *unit_path(const char *name)
{
	char *path = NULL;

	ck_assert_uint_lt(unit.n_paths, PATHS_MAX);
	ck_assert_int_gt(asprintf(&path, "%s/%s", unit_tmpdir(), name), 0);
	unit.paths[unit.n_paths++] = path;
	return path;
}

const char *unit_file(const char *name, const char *text)
{
	const char *path = unit_path(name);

	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(fd_write_all(fd, text, strlen(text)), 0);
	fd_close(fd);
	return path;
}

static void check_files(struct buf *report)
{
	struct buf names = BUF_INIT(REPORT_MAX / 4);

	if (unit.tmpdir[0] != '\0') {
		empty_directory(unit.tmpdir);
		(void)rmdir(unit.tmpdir);
		unit.tmpdir[0] = '\0';
	}
	list_directory(unit.root, &names);
	if (names.len > 0)
		(void)buf_printf(report, "\n  left in TMPDIR:%s",
				 buf_text(&names));
	buf_done(&names);
}

/* --- file descriptors ---------------------------------------------------- */

static void read_fds(fd_targets targets)
{
	char path[64];

	memset(targets, 0, sizeof(fd_targets));
	for (int fd = 0; fd < FDS_MAX; fd++) {
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (readlink(path, targets[fd], TARGET_MAX - 1) < 0)
			targets[fd][0] = '\0';
	}
}

static void check_fds(struct buf *report)
{
	read_fds(unit.fds_after);
	for (int fd = 0; fd < FDS_MAX; fd++) {
		const char *before = unit.fds_before[fd];
		const char *after = unit.fds_after[fd];

		if (str_equal(before, after))
			continue;
		(void)buf_printf(report, "\n  fd %d was %s, is %s", fd,
				 before[0] != '\0' ? before : "closed",
				 after[0] != '\0' ? after : "closed");
	}
}

/* --- processes ----------------------------------------------------------- */

/* Calls fn for each child of any of our threads, zombies included. */
static void each_child(void (*fn)(pid_t pid, void *arg), void *arg)
{
	char path[64];
	int pid;

	DIR *tasks = opendir("/proc/self/task");
	if (tasks == NULL)
		return;
	for (const struct dirent *d; (d = readdir(tasks)) != NULL;) {
		(void)snprintf(path, sizeof(path),
			       "/proc/self/task/%.16s/children", d->d_name);
		FILE *f = d->d_name[0] != '.' ? fopen(path, "re") : NULL;
		if (f == NULL)
			continue;
		while (fscanf(f, "%d", &pid) == 1)
			fn(pid, arg);
		(void)fclose(f);
	}
	(void)closedir(tasks);
}

/* Waits until the deadline for the child's end and reaps it. */
static bool has_ended(pid_t pid, uint64_t deadline_usec)
{
	int pidfd = pidfd_open(pid, 0);
	if (pidfd < 0)
		return true; /* reaped by itself: SIGCHLD is ignored */

	uint64_t left = usec_sub(deadline_usec, clock_monotonic_usec());
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	siginfo_t info = { 0 };

	if (poll(&p, 1, (int)(left / USEC_PER_MSEC)) > 0)
		(void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
	fd_close(pidfd);
	return p.revents != 0;
}

struct survivors {
	uint64_t deadline_usec;
	struct buf *report;
	size_t n_seen;
};

static void end_child(pid_t pid, void *arg)
{
	struct survivors *s = arg;
	char path[64];
	char *command = NULL;

	s->n_seen++;
	if (has_ended(pid, s->deadline_usec))
		return;
	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	if (fd_read_file(AT_FDCWD, path, 64, &command, NULL) == 0)
		(void)buf_printf(s->report, "\n  process %d is alive: %s",
				 (int)pid, str_strip(command));
	free(command);
	(void)kill(pid, SIGKILL);
	(void)has_ended(pid, clock_monotonic_usec() + USEC_PER_SEC);
}

/* Ends and reaps all children; theirs become ours and are met in the next
 * round. What had to be killed is named in report. */
static void check_processes(struct buf *report)
{
	struct survivors s = {
		.deadline_usec = clock_monotonic_usec() +
				 UNIT_GRACE_MSEC * USEC_PER_MSEC,
		.report = report,
	};

	do {
		s.n_seen = 0;
		each_child(end_child, &s);
	} while (s.n_seen > 0);
}

/* --- the fixture --------------------------------------------------------- */

static void setup(void)
{
	if (getpid() != unit.program) {
		for (const int *s =
			     (const int[]){ SIGTERM, SIGINT, SIGALRM, 0 };
		     *s != 0; s++)
			(void)sigaction(*s, &(struct sigaction){ 0 }, NULL);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	}
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	unit.opted_out = 0;
	empty_directory(unit.root);
	read_fds(unit.fds_before);
}

static void teardown(void)
{
	struct buf report = BUF_INIT(REPORT_MAX), ignored = BUF_INIT(1);
	char text[REPORT_MAX];

	check_processes(unit.opted_out & UNIT_PROCESSES ? &ignored : &report);
	if (!(unit.opted_out & UNIT_FDS))
		check_fds(&report);
	check_files(unit.opted_out & UNIT_FILES ? &ignored : &report);

	while (unit.n_paths > 0)
		free(unit.paths[--unit.n_paths]);
	(void)snprintf(text, sizeof(text), "%s", buf_text(&report));
	buf_done(&report);
	buf_done(&ignored);
	ck_assert_msg(text[0] == '\0', "the test left something behind:%s",
		      text);
}

void unit_opt_out(unsigned checks)
{
	unit.opted_out |= checks;
}

bool unit_lacks_root(const char *what)
{
	bool lacks = geteuid() != 0;

	if (lacks)
		(void)printf("SKIP: %s: needs root\n", what);
	return lacks;
}

void unit_count(unsigned long n, const char *what)
{
	(void)printf("COUNT %lu %s\n", n, what);
}

/* --- a child with its output --------------------------------------------- */

static void run_child(void (*fn)(void *arg), void *arg, int output)
{
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
	if (dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
		_exit(126);
	fn(arg);
	(void)fflush(NULL);
	_exit(0);
}

static void read_output(int fd, char **ret_output)
{
	char chunk[4096];
	struct buf b = BUF_INIT(UNIT_OUTPUT_MAX);
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		(void)buf_append(&b, chunk, (size_t)n);
	b.error = 0; /* what came first is enough */
	if (ret_output != NULL)
		*ret_output = buf_take(&b);
	buf_done(&b);
}

int unit_fork(void (*fn)(void *arg), void *arg, char **ret_output)
{
	int fds[2], status = 0;

	(void)fflush(NULL);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		run_child(fn, arg, fds[1]);
	fd_close(fds[1]);
	read_output(fds[0], ret_output);
	fd_close(fds[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* --- the program --------------------------------------------------------- */

static bool is_wanted(const TTest *test, char *const *only)
{
	bool is_named = false, are_names = false;

	for (; *only; only++)
		if (**only == '-' && str_equal(*only + 1, test->name))
			return false;
		else if (**only != '-') {
			are_names = true;
			is_named |= str_equal(*only, test->name);
		}
	return is_named || !are_names;
}

static bool make_root(void)
{
	const char *parent = getenv("TMPDIR");

	unit.program = getpid();
	(void)snprintf(unit.root, sizeof(unit.root), "%s/u.XXXXXX",
		       parent != NULL && parent[0] == '/' && strlen(parent) < 64
			       ? parent
			       : "/tmp");
	if (mkdtemp(unit.root) == NULL) {
		perror(unit.root);
		return false;
	}
	return setenv("TMPDIR", unit.root, 1) == 0 &&
	       prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
}

/* What tests that failed half-way have left. */
static void clean_up(void)
{
	struct buf ignored = BUF_INIT(1);

	check_processes(&ignored);
	buf_done(&ignored);
	empty_directory(unit.root);
	(void)rmdir(unit.root);
}

int unit_loop_main(const char *suite, int loops, const TTest *const *tests,
		   size_t n_tests, char *const *only)
{
	TCase *tcase = tcase_create(suite);
	Suite *s = suite_create(suite);
	SRunner *runner = srunner_create(s);
	size_t n_wanted = 0;
	int code = 2;

	suite_add_tcase(s, tcase);
	tcase_set_timeout(tcase, UNIT_TIMEOUT_SECONDS);
	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < n_tests; i++) {
		if (!is_wanted(tests[i], only))
			continue;
		tcase_add_loop_test(tcase, tests[i], 0, loops);
		n_wanted++;
	}
	if (n_wanted == 0) {
		(void)fprintf(stderr, "%s: no such test\n", suite);
	} else if (make_root()) {
		/* Tests fork: what stood in a buffer would be written by each. */
		(void)setvbuf(stdout, NULL, _IONBF, 0);
		srunner_run_all(runner, CK_ENV);
		code = srunner_ntests_failed(runner) > 0 ? 1 : 0;
		clean_up();
	}
	srunner_free(runner);
	return code;
}

int unit_main(const char *suite, const TTest *const *tests, size_t n_tests,
	      char *const *only)
{
	return unit_loop_main(suite, 1, tests, n_tests, only);
}
