/* The parent's side: what a start costs, tells and leaves. */
#include "workers/base/sys/spawn.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/unit/spawn_rig.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/procstat.h"

static int run(const struct spawn_spec *spec)
{
	struct spawn_child child = start_child(spec);

	return take_exit(&child);
}

/* --- exit codes ---------------------------------------------------------- */

START_TEST(test_exit_codes_of_programs)
{
	static const struct {
		const char *script;
		int code;
	} cases[] = {
		{ "exit 0", 0 },
		{ "exit 1", 1 },
		{ "exit 255", 255 },
		{ "kill -KILL $$", -SIGKILL },
		{ "kill -TERM $$", -SIGTERM },
		{ "kill -QUIT $$", -SIGQUIT },
		{ "kill -PIPE $$", -SIGPIPE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct spawn_limit no_core = { RLIMIT_CORE, { 0, 0 } };
		struct spawn_spec spec = {
			SPAWN_SPEC,
			.argv = shell(cases[i].script),
			.limits = &no_core,
			.n_limits = 1,
		};

		ck_assert_int_eq(run(&spec), cases[i].code);
	}
}
END_TEST

static int return_number(void *arg)
{
	return *(const int *)arg;
}

START_TEST(test_exit_codes_of_functions)
{
	const int codes[][2] = { { 0, 0 },   { 7, 7 },	     { 255, 255 },
				 { 256, 0 }, { 256 + 5, 5 }, { -1, 255 } };

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		int code = codes[i][0];
		struct spawn_spec spec = { SPAWN_SPEC,
					   .function = return_number,
					   .arg = &code };

		ck_assert_int_eq(run(&spec), codes[i][1]);
	}
}
END_TEST

static int abort_it(_unused_ void *arg)
{
	abort();
}

START_TEST(test_function_killed_by_signal)
{
	const struct spawn_limit no_core = { RLIMIT_CORE, { 0, 0 } };
	struct spawn_spec spec = { SPAWN_SPEC, .function = abort_it,
				   .limits = &no_core, .n_limits = 1 };

	ck_assert_int_eq(run(&spec), -SIGABRT);
}
END_TEST

/* --- waiting ------------------------------------------------------------- */

START_TEST(test_wait_keeps_then_reaps)
{
	struct spawn_spec spec = { SPAWN_SPEC,
				   .argv = shell("read x; exit 3") };
	struct rusage usage = { 0 };
	struct spawn_child child;
	int pipe[2], code = -99;
	bool core = true;

	ck_assert_int_eq(pipe2(pipe, O_CLOEXEC), 0);
	spec.fds = &(struct spawn_fd){ pipe[0], 0 };
	spec.n_fds = 1;
	child = start_child(&spec);
	ck_assert_int_eq(spawn_wait(child.pidfd, false, &code, &core, NULL), 0);
	ck_assert_int_eq(code, -99); /* untouched */
	fd_close(pipe[0]);
	fd_close(pipe[1]);
	ck_assert(is_readable(child.pidfd));
	for (int i = 0; i < 2; i++) {
		usage.ru_maxrss = -1;
		ck_assert_int_eq(
			spawn_wait(child.pidfd, true, &code, &core, &usage), 1);
		ck_assert_int_eq(code, 3);
		ck_assert(!core);
		ck_assert_int_eq(usage.ru_maxrss, -1);
	}
	ck_assert_int_eq(spawn_signal(child.pidfd, 0), 0); /* a zombie */
	ck_assert_int_eq(spawn_wait(child.pidfd, false, &code, &core, &usage),
			 1);
	ck_assert_int_eq(code, 3);
	ck_assert_int_gt(usage.ru_maxrss, 0);
	ck_assert_int_eq(spawn_wait(child.pidfd, false, &code, &core, NULL),
			 -ECHILD);
	ck_assert_int_eq(spawn_signal(child.pidfd, SIGTERM), -ESRCH);
	fd_close(child.pidfd);
}
END_TEST

START_TEST(test_signal_by_pidfd)
{
	struct spawn_spec spec = { SPAWN_SPEC,
				   .argv = shell("exec sleep 1000") };
	struct spawn_child child = start_child(&spec);

	ck_assert_int_eq(spawn_signal(child.pidfd, SIGINT), 0);
	ck_assert_int_eq(take_exit(&child), -SIGINT);
}
END_TEST

/* --- the report ---------------------------------------------------------- */

START_TEST(test_report_readings)
{
	struct spawn_failure failure = { SPAWN_STAGE_UID, EAGAIN, 0 }, got;
	struct spawn_failure wrong = { SPAWN_STAGE_COUNT, EAGAIN, 0 };
	int pipe[2];

	ck_assert_int_eq(pipe2(pipe, O_CLOEXEC | O_NONBLOCK), 0);
	ck_assert_int_eq(spawn_read_report(pipe[0], &got), -EAGAIN);
	ck_assert_int_eq(fd_write_all(pipe[1], &failure, sizeof(failure)), 0);
	ck_assert_int_eq(spawn_read_report(pipe[0], &got), 1);
	ck_assert_mem_eq(&got, &failure, sizeof(got));
	ck_assert_int_eq(fd_write_all(pipe[1], &wrong, sizeof(wrong)), 0);
	ck_assert_int_eq(spawn_read_report(pipe[0], &got), -EBADMSG);
	ck_assert_int_eq(fd_write_all(pipe[1], &failure, 5), 0);
	ck_assert_int_eq(spawn_read_report(pipe[0], &got), -EBADMSG);
	ck_assert_mem_eq(&got, &failure, sizeof(got));
	fd_close(pipe[1]);
	ck_assert_int_eq(spawn_read_report(pipe[0], &got), 0);
	fd_close(pipe[0]);
}
END_TEST

START_TEST(test_failure_is_told_and_exits_127)
{
	struct spawn_failure failure = { 0 };
	struct spawn_spec spec = { SPAWN_SPEC, .argv = shell("exit 0"),
				   .directory = "/nowhere" };
	struct spawn_child child;
	char text[128];

	ck_assert_int_eq(spawn_start(&spec, &child), 0);
	ck_assert_int_ge(fcntl(child.report_fd, F_GETFL) & O_NONBLOCK, 1);
	ck_assert_int_eq(fcntl(child.report_fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(child.pidfd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(take_report(&child, &failure), 1);
	ck_assert_str_eq(failure_name(&failure), "DIRECTORY ENOENT 0");
	ck_assert_str_eq(spawn_failure_text(&failure, "/nowhere", text,
					    sizeof(text)),
			 "cannot change to directory /nowhere: "
			 "No such file or directory");
	ck_assert_int_eq(take_exit(&child), SPAWN_EXIT_CODE);
}
END_TEST

START_TEST(test_failure_texts)
{
	static const struct {
		struct spawn_failure failure;
		const char *object, *text;
	} cases[] = {
		{ { SPAWN_STAGE_RLIMIT, EPERM, RLIMIT_NOFILE },
		  NULL,
		  "cannot set resource limit nofile: Operation not permitted" },
		{ { SPAWN_STAGE_RLIMIT, EINVAL, 999 },
		  NULL,
		  "cannot set resource limit: Invalid argument" },
		{ { SPAWN_STAGE_EXEC, EACCES, 0 },
		  "/etc/passwd",
		  "cannot execute /etc/passwd: Permission denied" },
		{ { SPAWN_STAGE_NO_NEW_PRIVS, 9999, 0 },
		  NULL,
		  "cannot set no_new_privs: unknown error" },
		{ { 12345, ENOENT, 0 },
		  NULL,
		  "cannot start: No such file or directory" },
	};
	char text[128];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		ck_assert_str_eq(spawn_failure_text(&cases[i].failure,
						    cases[i].object, text,
						    sizeof(text)),
				 cases[i].text);
	spawn_failure_text(&cases[0].failure, NULL, text, 10);
	ck_assert_str_eq(text, "cannot se");
}
END_TEST

/* --- the spec ------------------------------------------------------------ */

START_TEST(test_specs_refused)
{
	char *no_words[] = { NULL };
	const struct spawn_fd twice[] = { { 0, 5 }, { 0, 5 } };
	const struct spawn_fd odd[] = { { 0, SPAWN_FDS_MAX },
					{ 0, -1 },
					{ -1, 0 } };
	const struct spawn_credentials nobody = { .uid = (uid_t)-1 };
	const struct spawn_credentials many = { .n_groups = 1000000 };
	struct spawn_fd full[SPAWN_FDS_MAX + 1] = { 0 };
	const struct spawn_spec good = { SPAWN_SPEC, .argv = shell("exit 0") };
	struct spawn_spec specs[11];
	struct spawn_child child = { .pidfd = -7 };

	for (size_t i = 0; i < ARRAY_SIZE(specs); i++)
		specs[i] = good;
	specs[0].argv = NULL;
	specs[1].function = abort_it; /* both */
	specs[2].argv = no_words;
	specs[3].fds = twice;
	specs[3].n_fds = 2;
	for (int i = 0; i < 3; i++) {
		specs[4 + i].fds = &odd[i];
		specs[4 + i].n_fds = 1;
	}
	specs[7].fds = full;
	specs[7].n_fds = ARRAY_SIZE(full);
	specs[8].credentials = &nobody;
	specs[9].credentials = &many;
	specs[10].parent_death_signal = 65;
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		ck_assert_int_eq(spawn_start(&specs[i], &child), -EINVAL);
		ck_assert_int_eq(child.pidfd, -7);
	}
}
END_TEST

START_TEST(test_all_targets_at_once)
{
	struct spawn_spec spec = { SPAWN_SPEC, .argv = shell("exit 0") };
	struct spawn_fd fds[SPAWN_FDS_MAX];

	for (int i = 0; i < SPAWN_FDS_MAX; i++)
		fds[i] = (struct spawn_fd){ 2, i };
	spec.fds = fds;
	spec.n_fds = SPAWN_FDS_MAX;
	ck_assert_int_eq(run(&spec), 0);
}
END_TEST

/* --- shortage ------------------------------------------------------------ */

static void allow_fds(int n_more)
{
	struct rlimit limit;
	int lowest = fcntl(0, F_DUPFD, 0);

	fd_close(lowest);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = (rlim_t)(lowest + n_more);
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int say_run(void *arg)
{
	*(int *)arg = 1;
	return 0;
}

static void spawn_without_fds(void *arg)
{
	int *was_run;
	struct spawn_spec spec = { SPAWN_SPEC };
	struct spawn_child child;
	bool is_function = *(const bool *)arg;
	siginfo_t info;
	int n = fd_count_open();

	was_run = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	spec.function = is_function ? say_run : NULL;
	spec.arg = was_run;
	spec.argv = is_function ? NULL : shell("exit 0");
	for (int i = 0; i < (is_function ? 5 : 3); i++) {
		struct rlimit limit = { 4096, 4096 };

		getrlimit(RLIMIT_NOFILE, &limit);
		allow_fds(i);
		if (spawn_start(&spec, &child) != -EMFILE)
			_exit(1);
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
		if (fd_count_open() != n)
			_exit(2);
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0)
			_exit(3); /* a child is left */
		if (*was_run)
			_exit(4); /* it passed the gate */
	}
}

/* What a parent that is slow to open the pidfd gives its child time for. */
static int *gate_passed;

static void dawdle(void)
{
	uint64_t end = clock_monotonic_usec() + 50 * USEC_PER_MSEC;

	while (clock_monotonic_usec() < end && !*gate_passed)
		(void)sched_yield();
}

static void spawn_slowly(_unused_ void *arg)
{
	struct spawn_spec spec = { SPAWN_SPEC, .function = say_run };
	struct spawn_child child;
	int n_before;

	gate_passed = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	spec.arg = gate_passed;
	if (pthread_atfork(NULL, dawdle, NULL) != 0)
		_exit(1);
	/* the pidfd cannot be opened: nothing may have run */
	refuse_syscall(SYS_pidfd_open, -1, EMFILE);
	n_before = fd_count_open();
	if (spawn_start(&spec, &child) != -EMFILE || *gate_passed)
		_exit(2);
	_exit(fd_count_open() == n_before ? 0 : 3);
}

START_TEST(test_gate_is_closed_until_pidfd_is_open)
{
	ck_assert_int_eq(unit_fork(spawn_slowly, NULL, NULL), 0);
}
END_TEST

/* --- the gate with a caller behind it ------------------------------------ */

static int refuse_birth(void *userdata, pid_t pid, _unused_ int pidfd)
{
	*(pid_t *)userdata = pid;
	return -EXDEV;
}

START_TEST(test_refused_birth_leaves_nothing)
{
	pid_t pid = 0;
	struct spawn_spec spec = { SPAWN_SPEC, .argv = shell("exit 0"),
				   .on_birth = refuse_birth,
				   .on_birth_userdata = &pid };
	struct spawn_child child = { .pidfd = -7 };

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(spawn_start(&spec, &child), -EXDEV);
		ck_assert_int_gt(pid, 1);
		ck_assert_int_eq(kill(pid, 0), -1);
		ck_assert_int_eq(child.pidfd, -7);
		spec.argv = NULL;
		spec.function = abort_it;
	}
}
END_TEST

/* The parent is killed while its child waits at the gate, whose other end
 * somebody else has too. */
static int die_at_birth(void *userdata, pid_t pid, _unused_ int pidfd)
{
	struct tree_process child = { 0 };
	pid_t holder = fork();

	if (holder == 0)
		for (;;)
			(void)pause();
	while (procstat_read(pid, &child) == 0 && child.state != 'S')
		(void)sched_yield(); /* until it waits there */
	if (holder < 0 ||
	    fd_write_all(*(int *)userdata, &holder, sizeof(holder)) < 0 ||
	    fd_write_all(*(int *)userdata, &pid, sizeof(pid)) < 0)
		_exit(1);
	(void)kill(getpid(), SIGKILL);
	return -ECANCELED;
}

static void spawn_and_die(void *arg)
{
	struct spawn_spec spec = { SPAWN_SPEC, .argv = shell("exit 0"),
				   .on_birth = die_at_birth,
				   .on_birth_userdata = arg };
	struct spawn_child child;

	(void)spawn_start(&spec, &child);
	_exit(2);
}

START_TEST(test_parent_killed_before_the_gate_opens)
{
	pid_t pids[2];
	int pipe[2], end, pid;

	ck_assert_int_eq(pipe2(pipe, O_CLOEXEC), 0);
	pid = fork(); /* unit_fork() waits for all who hold its pipe */
	if (pid == 0)
		spawn_and_die(&pipe[1]);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(read(pipe[0], pids, sizeof(pids)), sizeof(pids));
	end = pidfd_open(pids[1], 0); /* we are its subreaper */
	ck_assert_int_ge(end, 0);
	ck_assert(is_readable(end));
	ck_assert_int_eq(kill(pids[0], SIGKILL), 0);
	ck_assert_int_eq(waitpid(pids[0], NULL, 0), pids[0]);
	fd_close(end);
	fd_close(pipe[0]);
	fd_close(pipe[1]);
}
END_TEST

START_TEST(test_no_fds_left)
{
	ck_assert_int_eq(unit_fork(spawn_without_fds, &(bool){ false }, NULL),
			 0);
	ck_assert_int_eq(unit_fork(spawn_without_fds, &(bool){ true }, NULL),
			 0);
}
END_TEST

static void spawn_without_processes(_unused_ void *arg)
{
	struct spawn_spec spec = { SPAWN_SPEC, .argv = shell("exit 0") };
	struct rlimit none = { 0, 0 };
	struct spawn_child child;
	int n = fd_count_open();

	become_ordinary();
	if (setrlimit(RLIMIT_NPROC, &none) < 0)
		_exit(1);
	if (spawn_start(&spec, &child) != -EAGAIN)
		_exit(2);
	spec.argv = NULL;
	spec.function = abort_it;
	if (spawn_start(&spec, &child) != -EAGAIN)
		_exit(3);
	_exit(fd_count_open() == n ? 0 : 4);
}

START_TEST(test_no_processes_left)
{
	ck_assert_int_eq(unit_fork(spawn_without_processes, NULL, NULL), 0);
}
END_TEST

/* A fork costs a sanitized program ten times as much. */
#ifdef __SANITIZE_ADDRESS__
#define MANY 200
#else
#define MANY 1000
#endif

START_TEST(test_many_leave_nothing)
{
	struct spawn_spec program = { SPAWN_SPEC, .argv = shell("exit 0") };
	struct spawn_spec function = { SPAWN_SPEC, .function = return_number,
				       .arg = &(int){ 0 } };
	int n = fd_count_open();

	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(run(i % 4 ? &program : &function), 0);
	ck_assert_int_eq(fd_count_open(), n);
}
END_TEST

/* --- stdio ---------------------------------------------------------------- */

static int print_word(void *arg)
{
	printf("%s\n", (const char *)arg);
	return 0;
}

static void buffer_and_spawn(_unused_ void *arg)
{
	struct spawn_fd out = { STDOUT_FILENO, STDOUT_FILENO };
	char word[] = "child";
	struct spawn_spec spec = { SPAWN_SPEC, .function = print_word,
				   .arg = word, .fds = &out, .n_fds = 1 };
	struct spawn_child child;

	printf("parent\n");
	if (spawn_start(&spec, &child) < 0 || take_exit(&child) != 0)
		_exit(1);
}

START_TEST(test_buffered_output_is_written_once)
{
	char *output;

	ck_assert_int_eq(unit_fork(buffer_and_spawn, NULL, &output), 0);
	ck_assert_str_eq(output, "parent\nchild\n");
	free(output);
}
END_TEST

UNIT_MAIN("spawn", test_exit_codes_of_programs, test_exit_codes_of_functions,
	  test_function_killed_by_signal, test_wait_keeps_then_reaps,
	  test_signal_by_pidfd, test_report_readings,
	  test_failure_is_told_and_exits_127, test_failure_texts,
	  test_specs_refused, test_all_targets_at_once,
	  test_gate_is_closed_until_pidfd_is_open,
	  test_refused_birth_leaves_nothing,
	  test_parent_killed_before_the_gate_opens, test_no_fds_left,
	  test_no_processes_left, test_many_leave_nothing,
	  test_buffered_output_is_written_once)
