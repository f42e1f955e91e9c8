/* process.c: what a spec asks for is what the process gets, or the start says
 * why not. */
#include <reeve/process.h>

#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>

#include "tests/unit/process_rig.h"

/* --- functions and programs ---------------------------------------------- */

START_TEST(test_function_returns_its_exit_code)
{
	const int codes[][2] = { { 0, 0 }, { 1, 1 }, { 255, 255 }, { 258, 2 } };

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		ck_assert_int_eq(
			run_process((struct reeve_process_spec){
				.function = return_arg,
				.arg = (void *)(intptr_t)codes[i][0] }),
			codes[i][1]);
}
END_TEST

START_TEST(test_program_is_found_in_owners_path)
{
	char name[] = "reeve-test-program";
	char *argv[] = { name, NULL };
	const char *path = unit_file(name, "#!/bin/sh\nexit 9\n");
	struct reeve_process_spec spec = { .argv = argv };
	char why[256];

	ck_assert_int_eq(chmod(path, 0755), 0);
	ck_assert_int_eq(start_error(spec, why), -ENOENT);
	ck_assert_str_eq(why, "cannot execute reeve-test-program: "
			      "No such file or directory");
	ck_assert_int_eq(setenv("PATH", unit_tmpdir(), 1), 0);
	ck_assert_int_eq(run_process(spec), 9);
}
END_TEST

static int change_global;

static int change_it(_unused_ void *arg)
{
	return ++change_global;
}

START_TEST(test_memory_is_not_shared)
{
	struct reeve_process_spec spec = { .function = change_it };

	ck_assert_int_eq(run_process(spec), 1);
	ck_assert_int_eq(run_process(spec), 1);
	ck_assert_int_eq(change_global, 0);
}
END_TEST

static int start_grandchild(void *arg)
{
	struct reeve_process_spec spec = { .function = return_arg, .arg = arg };
	reeve_process *p;
	int code = 99;

	if (reeve_active_children(NULL, 0) != 0)
		return 98;
	if (reeve_process_start(&spec, &p) < 0 ||
	    reeve_process_join(p, DEADLINE_USEC) < 0 ||
	    reeve_process_exitcode(p, &code) != 1)
		return 97;
	reeve_process_free(p);
	return code;
}

START_TEST(test_children_of_children)
{
	ck_assert_int_eq(run_process((struct reeve_process_spec){
				 .function = start_grandchild,
				 .arg = (void *)(intptr_t)42 }),
			 42);
}
END_TEST

/* --- signals ------------------------------------------------------------- */

START_TEST(test_signal_state_is_fresh)
{
	char *output;
	sigset_t set;
	int code;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	ck_assert(sigaction(SIGPIPE,
			    &(struct sigaction){ .sa_handler = SIG_IGN },
			    NULL) == 0);
	output = process_output(
		(struct reeve_process_spec){
			.argv = shell("cat /proc/self/status") },
		&code);
	ck_assert_int_eq(code, 0);
	ck_assert_str_eq(line_of(output, "SigIgn:"), "0000000000000000");
	ck_assert_str_eq(line_of(output, "SigBlk:"), "0000000000000000");
	free(output);
}
END_TEST

/* --- stdio --------------------------------------------------------------- */

static int print_and_return(void *arg)
{
	printf("child %s\n", (const char *)arg); /* flushed when it ends */
	return 0;
}

static void print_around_a_start(_unused_ void *arg)
{
	char text[] = "speaks";
	struct reeve_process_spec spec = { .function = print_and_return,
					   .arg = text };
	reeve_process *p;

	printf("before\n"); /* into a pipe: buffered */
	if (reeve_process_start(&spec, &p) < 0 ||
	    reeve_process_join(p, DEADLINE_USEC) < 0)
		_exit(1);
	reeve_process_free(p);
	printf("after\n");
	fflush(stdout);
}

START_TEST(test_output_is_written_once)
{
	char *output = NULL;

	ck_assert_int_eq(unit_fork(print_around_a_start, NULL, &output), 0);
	ck_assert_str_eq(output, "before\nchild speaks\nafter\n");
	free(output);
}
END_TEST

START_TEST(test_stdin_is_null_by_default)
{
	int code;
	char *output = process_output(
		(struct reeve_process_spec){
			.argv = shell("readlink /proc/self/fd/0") },
		&code);

	ck_assert_int_eq(code, 0);
	ck_assert_str_eq(output, "/dev/null\n");
	free(output);
}
END_TEST

START_TEST(test_stdio_redirections)
{
	const char *path = unit_file("in", "from a file\n");
	_cleanup_(fd_closep) int in = open(path, O_RDONLY | O_CLOEXEC);
	int code, err[2];
	char *output, *errors;

	ck_assert_int_eq(pipe2(err, O_CLOEXEC), 0);
	output = process_output(
		(struct reeve_process_spec){
			.argv = shell("cat; echo oops >&2; exit 3"),
			.stdin_fd = in,
			.stderr_fd = err[1] },
		&code);
	fd_close(err[1]);
	errors = read_all(err[0]);
	fd_close(err[0]);
	ck_assert_int_eq(code, 3);
	ck_assert_str_eq(output, "from a file\n");
	ck_assert_str_eq(errors, "oops\n");
	free(output);
	free(errors);
	ck_assert_int_eq(run_process((struct reeve_process_spec){
				 .argv = shell("[ $(readlink /proc/self/fd/2) "
					       "= /dev/null ]"),
				 .stderr_fd = REEVE_FD_NULL }),
			 0);
}
END_TEST

/* --- other fds ----------------------------------------------------------- */

static int has_fd(void *arg)
{
	return fcntl((int)(intptr_t)arg, F_GETFD) >= 0;
}

START_TEST(test_only_given_fds_are_open)
{
	int kept = fcntl(2, F_DUPFD, 20), code;
	struct reeve_fd fds[] = { { kept, 9 } };
	struct reeve_process_spec spec = { .function = has_fd,
					   .arg = (void *)(intptr_t)kept };
	char *output;

	ck_assert_int_eq(run_process(spec), 0);
	spec.keep_fds = true;
	ck_assert_int_eq(run_process(spec), 1);
	output = process_output(
		(struct reeve_process_spec){
			.argv = shell("cd /proc/self/fd; echo *"),
			.fds = fds,
			.n_fds = 1 },
		&code);
	/* the shell's own: what it reads the directory by */
	ck_assert_msg(str_has_prefix(output, "0 1 2 ") && strstr(output, "9") &&
			      !strstr(output, "20"),
		      "%s", output);
	free(output);
	output = process_output(
		(struct reeve_process_spec){
			.argv = shell("cd /proc/self/fd; echo *"),
			.keep_fds = true },
		&code);
	ck_assert_ptr_nonnull(strstr(output, "20"));
	free(output);
	fd_close(kept);
}
END_TEST

/* --- the rest of the spec ------------------------------------------------ */

START_TEST(test_environment)
{
	char one[] = "ONE=1";
	char *environment[] = { one, NULL };
	char *output;
	int code;

	output = process_output(
		(struct reeve_process_spec){ .argv = shell("env"),
					     .environment = environment },
		&code);
	ck_assert_str_eq(line_of(output, "ONE="), "1");
	ck_assert_uint_eq(strlen(line_of(output, "REEVE_PROCESS=")), 32);
	ck_assert_str_eq(line_of(output, "HOME="), "");
	free(output);
	ck_assert_int_eq(setenv("REEVE_PROCESS", "an older one", 1), 0);
	ck_assert_int_eq(setenv("TWO", "2", 1), 0);
	output = process_output(
		(struct reeve_process_spec){ .argv = shell("env") }, &code);
	ck_assert_str_eq(line_of(output, "TWO="), "2");
	ck_assert_uint_eq(strlen(line_of(output, "REEVE_PROCESS=")), 32);
	free(output);
}
END_TEST

static int compare_one(_unused_ void *arg)
{
	const char *one = getenv("ONE");

	return one && strcmp(one, "1") == 0 && !getenv("PATH") ? 0 : 1;
}

START_TEST(test_environment_of_function)
{
	char one[] = "ONE=1";
	char *environment[] = { one, NULL };

	ck_assert_int_eq(
		run_process((struct reeve_process_spec){
			.function = compare_one, .environment = environment }),
		0);
}
END_TEST

START_TEST(test_directory_umask_session_limits_nice)
{
	const mode_t mask = 0027;
	const int nice = 7, score = 500;
	const struct reeve_limit limit = { RLIMIT_CPU, { 77, 78 } };
	const struct reeve_process_spec spec = {
		.argv = shell("pwd; umask; ulimit -t; cut -d' ' -f 6,19 "
			      "/proc/$$/stat; cat /proc/self/oom_score_adj; "
			      "grep NoNew /proc/self/status; echo $$"),
		.directory = "/usr",
		.umask = &mask,
		.limits = &limit,
		.n_limits = 1,
		.nice = &nice,
		.oom_score_adj = &score,
		.new_session = true,
		.no_new_privs = true,
	};
	char want[128];
	int code;
	char *output = process_output(spec, &code);
	const char *pid = strrchr(output, '\t') + 3;

	(void)snprintf(want, sizeof(want),
		       "/usr\n0027\n77\n%d 7\n500\nNoNewPrivs:\t1\n%s",
		       atoi(pid), pid);
	ck_assert_str_eq(output, want);
	free(output);
}
END_TEST

static int count_cpus(_unused_ void *arg)
{
	cpu_set_t cpus;

	sched_getaffinity(0, sizeof(cpus), &cpus);
	return CPU_COUNT(&cpus) * 16 + (int)reeve_cpu_count();
}

START_TEST(test_cpus)
{
	cpu_set_t cpus;
	unsigned cpu = 0;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	while (!CPU_ISSET(cpu, &cpus))
		cpu++;
	ck_assert_int_eq(
		run_process((struct reeve_process_spec){
			.function = count_cpus, .cpus = &cpu, .n_cpus = 1 }),
		0x11);
}
END_TEST

START_TEST(test_credentials)
{
	const struct reeve_credentials nobody = { .uid = NOBODY,
						  .gid = NOBODY };
	struct reeve_process_spec spec = {
		.argv = shell("id -u; id -g; id -G"),
		.credentials = &nobody,
	};
	char *output, why[256];
	int code;

	if (geteuid() != 0) {
		ck_assert_int_eq(start_error(spec, why), -EPERM);
		return;
	}
	output = process_output(spec, &code);
	ck_assert_str_eq(output, "65534\n65534\n65534\n");
	free(output);
}
END_TEST

static void on_signal(_unused_ int signo)
{
}

/* As without: what the child does to itself stays its own. */
START_TEST(test_shared_memory_changes_nothing)
{
	const struct reeve_limit limit = { RLIMIT_CPU, { 77, 78 } };
	const mode_t mask = 0027;
	struct sigaction action = { .sa_handler = on_signal }, now;
	struct reeve_process_spec spec = {
		.argv = shell("pwd; umask; ulimit -t; exit 5"),
		.directory = "/usr",
		.umask = &mask,
		.limits = &limit,
		.n_limits = 1,
		.share_memory = true,
	};
	sigset_t mask_before = { 0 }, mask_after = { 0 };
	char *output, why[256];
	int code;

	ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
	ck_assert_int_eq(sigprocmask(SIG_BLOCK, NULL, &mask_before), 0);
	output = process_output(spec, &code);
	ck_assert_int_eq(code, 5);
	ck_assert_str_eq(output, "/usr\n0027\n77\n");
	free(output);
	ck_assert_int_eq(sigaction(SIGUSR1, NULL, &now), 0);
	ck_assert(now.sa_handler == on_signal);
	ck_assert_int_eq(sigprocmask(SIG_BLOCK, NULL, &mask_after), 0);
	ck_assert_mem_eq(&mask_before, &mask_after, sizeof(mask_after));
	spec.directory = "/nowhere";
	ck_assert_int_eq(start_error(spec, why), -ENOENT);
	ck_assert_str_eq(why, "cannot change to directory /nowhere: "
			      "No such file or directory");
}
END_TEST

/* --- failures ------------------------------------------------------------ */

START_TEST(test_failures_have_words)
{
	const struct reeve_limit limit = { 999, { 1, 1 } };
	const struct {
		struct reeve_process_spec spec;
		int error;
		const char *words;
	} cases[] = {
		{ { .function = return_arg, .directory = "/nowhere" },
		  -ENOENT,
		  "cannot change to directory /nowhere: "
		  "No such file or directory" },
		{ { .argv = shell("exit 0"), .limits = &limit, .n_limits = 1 },
		  -EINVAL,
		  "cannot set resource limit: Invalid argument" },
		{ { .argv = (char *[]){ (char[]){ "/etc/passwd" }, NULL } },
		  -EACCES,
		  "cannot execute /etc/passwd: Permission denied" },
		{ { .function = return_arg, .stdin_fd = 999 },
		  -EBADF,
		  "cannot place file descriptors: Bad file descriptor" },
	};
	char why[256];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ck_assert_int_eq(start_error(cases[i].spec, why),
				 cases[i].error);
		ck_assert_str_eq(why, cases[i].words);
	}
}
END_TEST

START_TEST(test_specs_refused)
{
	char *no_words[] = { NULL };
	const struct reeve_fd twice[] = { { 0, 5 }, { 1, 5 } };
	const struct reeve_fd odd[] = {
		{ 0, REEVE_PROCESS_FDS_MAX }, { 0, -1 }, { -1, 0 }, { 2, 1 }
	};
	const unsigned cpu = CPU_SETSIZE;
	const mode_t mask = 01000;
	const struct reeve_process_spec specs[] = {
		{ 0 },
		{ .function = return_arg, .argv = shell("exit 0") },
		{ .argv = no_words },
		{ .function = return_arg, .fds = twice, .n_fds = 2 },
		{ .function = return_arg, .fds = &odd[0], .n_fds = 1 },
		{ .function = return_arg, .fds = &odd[1], .n_fds = 1 },
		{ .function = return_arg, .fds = &odd[2], .n_fds = 1 },
		{ .function = return_arg,
		  .fds = &odd[3],
		  .n_fds = 1,
		  .stdout_fd = 2 },
		{ .function = return_arg, .n_fds = 1 },
		{ .function = return_arg,
		  .fds = twice,
		  .n_fds = REEVE_PROCESS_FDS_MAX + 1 },
		{ .function = return_arg, .stdin_fd = -3 },
		{ .function = return_arg, .n_limits = 1 },
		{ .function = return_arg, .n_cpus = 1 },
		{ .function = return_arg, .cpus = &cpu, .n_cpus = 1 },
		{ .function = return_arg, .umask = &mask },
		{ .function = return_arg, .share_memory = true },
		{ .function = return_arg, .life = (enum reeve_process_life)3 },
	};
	reeve_process *p = NULL;
	char why[256];

	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		ck_assert_msg(start_error(specs[i], why) == -EINVAL, "spec %zu",
			      i);
		ck_assert_str_eq(why,
				 "cannot start a process: Invalid argument");
	}
	ck_assert_int_eq(reeve_process_start(NULL, &p), -EINVAL);
	ck_assert_int_eq(reeve_process_start(&specs[0], NULL), -EINVAL);
}
END_TEST

/* All targets: more fds than that cannot be asked for. */
START_TEST(test_fds_at_the_limit)
{
	struct reeve_fd fds[REEVE_PROCESS_FDS_MAX];

	for (int i = 0; i < REEVE_PROCESS_FDS_MAX; i++)
		fds[i] = (struct reeve_fd){ 2, i };
	ck_assert_int_eq(run_process((struct reeve_process_spec){
				 .argv = shell("exit 4"),
				 .fds = fds,
				 .n_fds = ARRAY_SIZE(fds) }),
			 4);
}
END_TEST

static void hang(void)
{
	for (;;)
		(void)pause();
}

/* A handler of fork(2) that does not return stands for any step that hangs. */
START_TEST(test_start_that_hangs_times_out)
{
	struct reeve_process_spec spec = {
		.function = return_arg,
		.start_timeout_usec = 50 * USEC_PER_MSEC,
	};
	uint64_t begin = clock_monotonic_usec();
	char why[256];

	ck_assert_int_eq(pthread_atfork(NULL, NULL, hang), 0);
	ck_assert_int_eq(start_error(spec, why), -ETIMEDOUT);
	ck_assert_str_eq(why,
			 "cannot start a process: it was not ready in time");
	ck_assert_uint_ge(clock_monotonic_usec() - begin, 50 * USEC_PER_MSEC);
	ck_assert_uint_lt(clock_monotonic_usec() - begin, DEADLINE_USEC);
}
END_TEST

static void start_without_fds(void *arg)
{
	struct reeve_process_spec spec = *(struct reeve_process_spec *)arg;
	int n = fd_count_open();

	for (int i = 0; i < 3; i++) {
		struct rlimit old, limit;
		reeve_process *p;
		siginfo_t info;
		int lowest = fcntl(0, F_DUPFD, 0), r;

		fd_close(lowest);
		getrlimit(RLIMIT_NOFILE, &old);
		limit = old;
		limit.rlim_cur = (rlim_t)(lowest + i);
		setrlimit(RLIMIT_NOFILE, &limit);
		r = reeve_process_start(&spec, &p);
		setrlimit(RLIMIT_NOFILE, &old);
		if (r != -EMFILE)
			_exit(1);
		if (fd_count_open() != n)
			_exit(2);
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WALL) == 0)
			_exit(3);
	}
}

START_TEST(test_no_fds_left)
{
	struct reeve_process_spec specs[] = {
		{ .function = return_arg },
		{ .argv = shell("exit 0") },
		{ .argv = shell("exit 0"), .share_memory = true },
		{ .argv = shell("exit 0"), .life = REEVE_LIFE_TREE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(specs); i++)
		ck_assert_int_eq(unit_fork(start_without_fds, &specs[i], NULL),
				 0);
}
END_TEST

/* Both ways of birth, and the guard's, fail for want of processes. */
static void start_without_processes(void *arg)
{
	struct reeve_process_spec spec = *(struct reeve_process_spec *)arg;
	int n = fd_count_open();
	reeve_process *p;
	siginfo_t info;

	if (spec.life != REEVE_LIFE_TREE)
		refuse_syscall(SYS_clone3, -1, EAGAIN);
	refuse_syscall(SYS_clone, -1, EAGAIN); /* fork(2), too */
	if (reeve_process_start(&spec, &p) != -EAGAIN)
		_exit(1);
	if (fd_count_open() != n)
		_exit(2);
	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WALL) == 0)
		_exit(3);
}

START_TEST(test_no_processes_left)
{
	struct reeve_process_spec specs[] = {
		{ .function = return_arg },
		{ .argv = shell("exit 0") },
		{ .argv = shell("exit 0"), .share_memory = true },
		{ .argv = shell("exit 0"), .life = REEVE_LIFE_TREE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(specs); i++)
		ck_assert_int_eq(
			unit_fork(start_without_processes, &specs[i], NULL), 0);
}
END_TEST

UNIT_MAIN("process_start", test_function_returns_its_exit_code,
	  test_program_is_found_in_owners_path, test_memory_is_not_shared,
	  test_children_of_children, test_signal_state_is_fresh,
	  test_output_is_written_once, test_stdin_is_null_by_default,
	  test_stdio_redirections, test_only_given_fds_are_open,
	  test_environment, test_environment_of_function,
	  test_directory_umask_session_limits_nice, test_cpus, test_credentials,
	  test_shared_memory_changes_nothing, test_failures_have_words,
	  test_specs_refused, test_fds_at_the_limit,
	  test_start_that_hangs_times_out, test_no_fds_left,
	  test_no_processes_left)
