/* What a child finds: each step's failure and each step's effect. */
#include "workers/base/sys/spawn_child.h"

#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/unit/spawn_rig.h"

static char cat[] = "/bin/cat", status_file[] = "/proc/self/status";
static char *const cat_status[] = { cat, status_file, NULL };

static const struct spawn_credentials nobody = { .uid = NOBODY, .gid = NOBODY };

/* --- stages that fail ------------------------------------------------------ */

/* The spec that a case may change, and what it may point to. */
static struct {
	struct spawn_spec spec;
	struct spawn_limit limit;
	struct spawn_fd fd;
	struct spawn_credentials credentials;
	int number;
	cpu_set_t cpus;
	char *argv[2];
	char text[256];
	const char *dir; /* of the test */
} t;

static void with_argv0(const char *argv0)
{
	(void)snprintf(t.text, sizeof(t.text), "%s", argv0);
	t.argv[0] = t.text;
	t.spec.argv = t.argv;
}

static const char *path_of(const char *name)
{
	static char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", t.dir, name);
	return path;
}

static void with_directory(const char *name)
{
	(void)snprintf(t.text, sizeof(t.text), "%s", path_of(name));
	t.spec.directory = t.text;
}

static void with_limit(int resource, rlim_t soft, rlim_t hard)
{
	t.limit = (struct spawn_limit){ resource, { soft, hard } };
	t.spec.limits = &t.limit;
	t.spec.n_limits = 1;
}

static void signals_refused(void)
{
	refuse_syscall(SYS_rt_sigaction, SIGUSR1, EFAULT);
}

static void cgroup_is_none(void)
{
	t.spec.cgroup_fd = open(t.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void cgroup_is_no_directory(void)
{
	t.spec.cgroup_fd = 0;
}

static void limit_is_crossed(void)
{
	with_limit(RLIMIT_STACK, 4096, 1024);
}

static void limit_nofile_is_crossed(void)
{
	with_limit(RLIMIT_NOFILE, 4096, 1024);
}

static void limit_is_raised(void)
{
	struct rlimit low = { 1 << 20, 1 << 20 };

	(void)setrlimit(RLIMIT_CORE, &low);
	become_ordinary();
	with_limit(RLIMIT_CORE, 1 << 20, 1 << 21);
}

static void oom_is_out_of_range(void)
{
	t.number = 1001;
	t.spec.oom_score_adj = &t.number;
}

static void oom_is_lowered(void)
{
	become_ordinary();
	t.number = -1000;
	t.spec.oom_score_adj = &t.number;
}

static void nice_is_lowered(void)
{
	become_ordinary();
	t.number = -20;
	t.spec.nice = &t.number;
}

static void cpus_are_none(void)
{
	t.spec.cpus = &t.cpus;
}

static void fd_is_not_open(void)
{
	t.fd = (struct spawn_fd){ 700, 5 };
	t.spec.fds = &t.fd;
	t.spec.n_fds = 1;
}

static void fd_is_beyond_limit(void)
{
	struct rlimit low = { 32, 32 };

	t.fd = (struct spawn_fd){ 0, 63 };
	t.spec.fds = &t.fd;
	t.spec.n_fds = 1;
	(void)setrlimit(RLIMIT_NOFILE, &low);
}

static void groups_are_another_users(void)
{
	static const struct spawn_credentials root = { .uid = 0 };

	become_ordinary();
	t.spec.credentials = &root;
}

static void gid_refused(void)
{
	t.spec.credentials = &nobody;
	refuse_syscall(SYS_setresgid, NOBODY, EINVAL);
}

static void uid_refused(void)
{
	t.spec.credentials = &nobody;
	refuse_syscall(SYS_setresuid, NOBODY, EAGAIN);
}

/* Root's powers stay with the user: nothing else would tell. */
static void capabilities_stay(void)
{
	t.spec.credentials = &nobody;
	if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0)
		_exit(98);
}

static void death_signal_refused(void)
{
	t.spec.parent_death_signal = SIGKILL;
	refuse_syscall(SYS_prctl, PR_SET_PDEATHSIG, EINVAL);
}

static void directory_is_missing(void)
{
	with_directory("nowhere");
}

static void directory_is_a_file(void)
{
	with_directory("garbage");
}

static void directory_is_closed(void)
{
	t.credentials = ordinary_credentials();
	t.spec.credentials = &t.credentials;
	with_directory("closed");
}

static void no_new_privs_refused(void)
{
	t.spec.no_new_privs = true;
	refuse_syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, EPERM);
}

static void program_is_missing(void)
{
	with_argv0(path_of("nowhere"));
}

static void program_is_nameless(void)
{
	with_argv0("");
}

static void program_is_nowhere(void)
{
	with_argv0("no-such-program-anywhere");
}

static void program_is_not_executable(void)
{
	with_argv0(path_of("data"));
}

static void program_is_a_directory(void)
{
	with_argv0(t.dir);
}

static void program_is_garbage(void)
{
	with_argv0(path_of("garbage"));
}

static void program_is_looked_up_garbage(void)
{
	t.spec.search_path = t.dir;
	with_argv0("garbage");
}

static const struct stage_case {
	void (*prepare)(void);
	const char *failure; /* STAGE ERROR DETAIL */
} stage_cases[] = {
	{ signals_refused, "SIGNALS EFAULT 0" },
	{ cgroup_is_none, "CGROUP ENOENT 0" },
	{ cgroup_is_no_directory, "CGROUP ENOTDIR 0" },
	{ limit_is_crossed, "RLIMIT EINVAL 3" }, /* RLIMIT_STACK */
	{ limit_nofile_is_crossed, "RLIMIT EINVAL 7" },
	{ limit_is_raised, "RLIMIT EPERM 4" }, /* RLIMIT_CORE */
	{ oom_is_out_of_range, "OOM EINVAL 0" },
	{ oom_is_lowered, "OOM EACCES 0" },
	{ nice_is_lowered, "NICE EACCES 0" },
	{ cpus_are_none, "AFFINITY EINVAL 0" },
	{ fd_is_not_open, "FDS EBADF 0" },
	{ fd_is_beyond_limit, "FDS EMFILE 0" },
	{ groups_are_another_users, "GROUPS EPERM 0" },
	{ death_signal_refused, "PDEATHSIG EINVAL 0" },
	{ directory_is_missing, "DIRECTORY ENOENT 0" },
	{ directory_is_a_file, "DIRECTORY ENOTDIR 0" },
	{ directory_is_closed, "DIRECTORY EACCES 0" },
	{ no_new_privs_refused, "NO_NEW_PRIVS EPERM 0" },
	{ program_is_missing, "EXEC ENOENT 0" },
	{ program_is_nameless, "EXEC ENOENT 0" },
	{ program_is_nowhere, "EXEC ENOENT 0" },
	{ program_is_not_executable, "EXEC EACCES 0" },
	{ program_is_a_directory, "EXEC EACCES 0" },
	{ program_is_garbage, "EXEC ENOEXEC 0" },
	{ program_is_looked_up_garbage, "EXEC ENOEXEC 0" },
};

/* Of changing the user: nobody else but root gets so far. */
static const struct stage_case roots_stage_cases[] = {
	{ gid_refused, "GID EINVAL 0" },
	{ uid_refused, "UID EAGAIN 0" },
	{ capabilities_stay, "VERIFY EPERM 0" },
};

static void fail_in_stage(void *arg)
{
	const struct stage_case *c = arg;
	struct spawn_failure failure = { 0 };
	struct spawn_child child;

	t.spec = (struct spawn_spec){ SPAWN_SPEC, .argv = cat_status };
	c->prepare();
	if (spawn_start(&t.spec, &child) < 0)
		_exit(1);
	if (take_report(&child, &failure) != 1)
		_exit(2);
	printf("%s", failure_name(&failure));
	if (take_exit(&child) != SPAWN_EXIT_CODE)
		_exit(3);
}

static void make_files(void)
{
	t.dir = unit_tmpdir();
	(void)chmod(t.dir, 0755);
	(void)unit_file("data", "not executable\n");
	(void)chmod(unit_file("garbage", "echo a shell ran me\n"), 0755);
	ck_assert_int_eq(mkdir(unit_path("closed"), 0), 0);
}

static void check_stages(const struct stage_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct stage_case c = cases[i];
		char *output;

		ck_assert_int_eq(unit_fork(fail_in_stage, &c, &output), 0);
		ck_assert_msg(str_equal(output, c.failure),
			      "case %zu: %s, not %s", i, output, c.failure);
		free(output);
	}
}

START_TEST(test_each_stage_fails)
{
	make_files();
	check_stages(stage_cases, ARRAY_SIZE(stage_cases));
}
END_TEST

START_TEST(test_each_stage_of_root_fails)
{
	if (unit_lacks_root("failures to change the user"))
		return;
	check_stages(roots_stage_cases, ARRAY_SIZE(roots_stage_cases));
}
END_TEST

/* Runs the child's side in a process of its own making. */
static void run_plan(void *arg)
{
	struct spawn_plan *plan = arg;

	if (plan->spec->new_session)
		(void)setpgid(0, 0); /* a leader cannot start a session */
	else
		(void)prctl(PR_SET_PDEATHSIG, 0);
	spawn_child_run(plan);
}

/* Stages that the parent cannot bring about. */
static void check_plan(const struct spawn_spec *spec, pid_t parent,
		       const char *expected)
{
	struct spawn_plan plan = { SPAWN_PLAN, .spec = spec, .parent = parent };
	struct spawn_failure failure = { 0 };
	int pipe[2];

	ck_assert_int_eq(pipe2(pipe, O_CLOEXEC), 0);
	plan.report_fd = pipe[1];
	ck_assert_int_eq(unit_fork(run_plan, &plan, NULL), SPAWN_EXIT_CODE);
	ck_assert_int_eq(spawn_read_report(pipe[0], &failure), 1);
	ck_assert_str_eq(failure_name(&failure), expected);
	fd_close(pipe[0]);
	fd_close(pipe[1]);
}

START_TEST(test_session_of_a_leader)
{
	const struct spawn_spec spec = { SPAWN_SPEC, .argv = cat_status,
					 .new_session = true };

	check_plan(&spec, getpid(), "SESSION EPERM 0");
}
END_TEST

START_TEST(test_orphan_does_not_start)
{
	const struct spawn_spec spec = { SPAWN_SPEC, .argv = cat_status,
					 .parent_death_signal = SIGTERM };

	check_plan(&spec, getpid() + 1, "ORPHANED ESRCH 0");
}
END_TEST

/* --- file descriptors ----------------------------------------------------- */

/* Says what each fd is: "5=/memfd:a (deleted)". */
static int print_fds(_unused_ void *arg)
{
	char path[64], target[128];

	for (int fd = 0; fd < 1024; fd++) {
		ssize_t n;

		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		if (str_has_prefix(target, "/memfd:"))
			printf("%d=%c%s ", fd, target[7],
			       fcntl(fd, F_GETFD) ? " (cloexec)" : "");
		else if (fd != STDOUT_FILENO || !str_has_prefix(target, "pipe"))
			printf("%d=%s ", fd, target);
	}
	return 0;
}

#define PAIRS_MAX 6

static const struct fds_case {
	const char *name;
	int pairs[PAIRS_MAX][2]; /* { 0, 0 } ends them; 1 is the output's */
	const char *expected;
} fds_cases[] = {
	{ "none", { { 0 } }, "0=/dev/null 2=/dev/null " },
	{ "in place", { { 3, 3 } }, "0=/dev/null 2=/dev/null 3=d " },
	{ "swap", { { 3, 4 }, { 4, 3 } }, "0=/dev/null 2=/dev/null 3=e 4=d " },
	{ "circle",
	  { { 3, 4 }, { 4, 5 }, { 5, 3 } },
	  "0=/dev/null 2=/dev/null 3=f 4=d 5=e " },
	{ "one to many",
	  { { 4, 3 }, { 4, 4 }, { 4, 5 }, { 4, 2 } },
	  "0=/dev/null 2=e 3=e 4=e 5=e " },
	{ "down", { { 6, 2 }, { 5, 3 } }, "0=/dev/null 2=g 3=f " },
	{ "over the report pipe",
	  { { 3, 8 }, { 4, 9 }, { 5, 10 }, { 6, 11 }, { 7, 12 }, { 3, 13 } },
	  "0=/dev/null 2=/dev/null 8=d 9=e 10=f 11=g 12=h 13=d " },
	{ "the last number",
	  { { 3, 63 }, { 5, 62 }, { 62, 5 } },
	  "0=/dev/null 2=/dev/null 5=z 62=f 63=d " },
	{ "gaps",
	  { { 7, 10 }, { 7, 20 }, { 3, 5 } },
	  "0=/dev/null 2=/dev/null 5=d 10=h 20=h " },
};

/* 3 is d, 4 is e, ... 7 is h, 62 is z; none is CLOEXEC, and 40 is in the way. */
static void open_letters(void)
{
	for (int fd = 3; fd < 70; fd++)
		fd_close(fd);
	for (int fd = 3; fd <= 7; fd++) {
		char name[] = { (char)('a' + fd), '\0' };

		(void)memfd_create(name, 0);
	}
	fd_close(dup2(memfd_create("z", MFD_CLOEXEC), 62) < 0 ? -1 : 8);
	(void)dup2(3, 40);
}

static size_t fill_pairs(const struct fds_case *c, struct spawn_fd *fds)
{
	size_t n = 0;

	while (n < PAIRS_MAX && (c->pairs[n][0] || c->pairs[n][1])) {
		fds[n] = (struct spawn_fd){ c->pairs[n][0], c->pairs[n][1] };
		n++;
	}
	return n;
}

static void place_for_function(void *arg)
{
	struct spawn_fd fds[PAIRS_MAX];
	struct spawn_spec spec = { SPAWN_SPEC, .function = print_fds,
				   .fds = fds };
	char *output;
	int code;

	open_letters();
	spec.n_fds = fill_pairs(arg, fds);
	output = run_for_output(spec, &code);
	printf("%s", output);
	free(output);
	_exit(fflush(stdout) < 0 ? 1 : code);
}

/* The same with a program, which sees only what is not CLOEXEC. */
static void place_for_program(void *arg)
{
	static char sh
		[] = "/bin/sh",
	      dash_c[] = "-c",
	      script[] =
		      "exec 2>&1;"
		      "cd /proc/$$/fd && for fd in *; do f=$(readlink $fd);"
		      "case $f in /memfd:*) f=${f#/memfd:} f=${f%% *};;"
		      " pipe*) continue;; esac; printf '%s' \"$fd=$f \"; done";
	char *const argv[] = { sh, dash_c, script, NULL };
	struct spawn_fd fds[PAIRS_MAX];
	struct spawn_spec spec = { SPAWN_SPEC, .argv = argv, .fds = fds };
	char *output;
	int code;

	open_letters();
	spec.n_fds = fill_pairs(arg, fds);
	output = run_for_output(spec, &code);
	printf("%s", output);
	free(output);
	_exit(fflush(stdout) < 0 ? 1 : code);
}

static int compare_words(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strverscmp(*x, *y);
}

/* The shell's * sorts 10 before 2, and its fd 2 is its output now. */
static void sort_words(const char *text, char *buf, size_t size_bytes)
{
	char copy[1024], *words[64], *rest = copy;
	size_t n = 0, len = 0;

	(void)snprintf(copy, sizeof(copy), "%s", text);
	for (char *w; (w = strsep(&rest, " ")) && n < ARRAY_SIZE(words);)
		if (*w && !str_has_prefix(w, "2="))
			words[n++] = w;
	qsort(words, n, sizeof(*words), compare_words);
	buf[0] = '\0';
	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(buf + len, size_bytes - len, "%s ",
					words[i]);
}

START_TEST(test_fds_of_functions)
{
	for (size_t i = 0; i < ARRAY_SIZE(fds_cases); i++) {
		struct fds_case c = fds_cases[i];
		char *output;

		ck_assert_int_eq(unit_fork(place_for_function, &c, &output), 0);
		ck_assert_msg(str_equal(output, c.expected), "%s: %s, not %s",
			      c.name, output, c.expected);
		free(output);
	}
}
END_TEST

START_TEST(test_fds_of_programs)
{
	for (size_t i = 0; i < ARRAY_SIZE(fds_cases); i++) {
		struct fds_case c = fds_cases[i];
		char *output, got[1024], expected[1024];

		ck_assert_int_eq(unit_fork(place_for_program, &c, &output), 0);
		sort_words(output, got, sizeof(got));
		sort_words(c.expected, expected, sizeof(expected));
		ck_assert_msg(str_equal(got, expected), "%s: %s, not %s",
			      c.name, got, expected);
		free(output);
	}
}
END_TEST

static int look_at_stdio(_unused_ void *arg)
{
	struct stat st;
	int n_null = 0;

	for (int fd = 0; fd <= 2; fd++)
		n_null += fstat(fd, &st) == 0 && S_ISCHR(st.st_mode);
	return fcntl(3, F_GETFD) < 0 ? n_null : 100;
}

/* A daemon may have closed these: then pipes and pidfds get the numbers. */
static void spawn_without_stdio(_unused_ void *arg)
{
	char *argv[] = { (char[]){ "/bin/true" }, NULL };
	struct spawn_spec spec = { SPAWN_SPEC, .function = look_at_stdio };
	struct spawn_spec broken = { SPAWN_SPEC, .argv = argv,
				     .directory = "/nowhere" };
	struct spawn_failure failure;
	struct spawn_child child;

	close_range(0, ~0U, 0);
	if (spawn_start(&spec, &child) < 0 || take_exit(&child) != 3)
		_exit(1);
	if (spawn_start(&broken, &child) < 0 ||
	    take_report(&child, &failure) != 1 ||
	    take_exit(&child) != SPAWN_EXIT_CODE)
		_exit(2);
	broken.directory = NULL;
	if (spawn_start(&broken, &child) < 0 || take_exit(&child) != 0)
		_exit(3);
	_exit(0);
}

START_TEST(test_caller_without_stdio)
{
	ck_assert_int_eq(unit_fork(spawn_without_stdio, NULL, NULL), 0);
}
END_TEST

UNIT_MAIN("spawn_child", test_each_stage_fails, test_each_stage_of_root_fails,
	  test_session_of_a_leader, test_orphan_does_not_start,
	  test_fds_of_functions, test_fds_of_programs,
	  test_caller_without_stdio)
