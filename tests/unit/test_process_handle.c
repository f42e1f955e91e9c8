/* handle.c and family.c: waiting, asking and signalling, also where others reap
 * our children or ignore their end. */
#include "workers/process/process.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/utsname.h>

#include "tests/unit/process_rig.h"

static const struct reeve_process_spec sleeper = { .function = sleep_on };

/* --- join, is_alive, exitcode -------------------------------------------- */

START_TEST(test_life_of_a_handle)
{
	struct reeve_process_spec spec = sleeper;
	struct reeve_exit end = { .code = 99 };
	reeve_process *p;
	int code = 99;

	spec.name = "sleeper";
	p = start_process(spec);
	ck_assert_str_eq(reeve_process_name(p), "sleeper");
	ck_assert_int_gt(reeve_process_pid(p), 1);
	ck_assert_int_eq(reeve_process_is_alive(p), 1);
	ck_assert_int_eq(reeve_process_exitcode(p, &code), 0);
	ck_assert_int_eq(reeve_process_exit(p, &end), 0);
	ck_assert_int_eq(code, 99);
	ck_assert_int_eq(end.code, 99);
	ck_assert_int_eq(reeve_process_join(p, 0), -ETIMEDOUT);
	ck_assert_int_eq(reeve_process_join(p, 20 * USEC_PER_MSEC), -ETIMEDOUT);
	ck_assert_int_eq(reeve_process_terminate(p), 0);
	ck_assert(is_readable(reeve_process_fd(p)));
	ck_assert_int_eq(reeve_process_is_alive(p), 0);
	ck_assert_int_eq(reeve_process_exitcode(p, &code), 1);
	ck_assert_int_eq(code, -SIGTERM);
	for (int i = 0; i < 2; i++) /* as often as one likes */
		ck_assert_int_eq(reeve_process_join(p, REEVE_FOREVER), 0);
	ck_assert_int_eq(reeve_process_exitcode(p, &code), 1);
	ck_assert_int_eq(code, -SIGTERM);
	ck_assert(is_readable(reeve_process_fd(p)));
	ck_assert_int_eq(reeve_process_terminate(p), 0);
	ck_assert_int_eq(reeve_process_kill(p), 0);
	ck_assert_int_eq(reeve_process_signal(p, SIGTERM), -ESRCH);
	ck_assert_ptr_null(reeve_process_free(p));
}
END_TEST

static int work_then_abort(_unused_ void *arg)
{
	volatile unsigned n = 0;

	for (int i = 0; i < 20000000; i++)
		n += (unsigned)i;
	if (n != 1)
		abort();
	return 0;
}

START_TEST(test_exit_information)
{
	const struct reeve_limit no_core = { RLIMIT_CORE, { 0, 0 } };
	struct reeve_exit end;
	reeve_process *p = start_process(
		(struct reeve_process_spec){ .function = work_then_abort,
					     .limits = &no_core,
					     .n_limits = 1 });
	pid_t pid = reeve_process_pid(p);

	ck_assert_int_eq(reeve_process_join(p, DEADLINE_USEC), 0);
	ck_assert_int_eq(reeve_process_exit(p, &end), 1);
	ck_assert_int_eq(end.state, REEVE_EXIT_SIGNALED);
	ck_assert_int_eq(end.code, -SIGABRT);
	ck_assert(!end.core);
	ck_assert_int_eq(end.oom, REEVE_ANSWER_NO);
	ck_assert_int_eq(end.pid, pid);
	ck_assert_int_gt(end.rusage.ru_maxrss, 0);
	ck_assert_int_gt(end.rusage.ru_utime.tv_sec * 1000000 +
				 end.rusage.ru_utime.tv_usec,
			 0);
	reeve_process_free(p);
}
END_TEST

/* Killed by whom: by the handle, or by somebody, who may be the kernel. */
START_TEST(test_oom_is_unknown_after_a_strangers_kill)
{
	struct reeve_exit end;

	for (int i = 0; i < 2; i++) {
		reeve_process *p = start_process(sleeper);

		if (i == 0)
			ck_assert_int_eq(reeve_process_kill(p), 0);
		else
			ck_assert_int_eq(kill(reeve_process_pid(p), SIGKILL),
					 0);
		ck_assert_int_eq(reeve_process_join(p, DEADLINE_USEC), 0);
		ck_assert_int_eq(reeve_process_exit(p, &end), 1);
		ck_assert_int_eq(end.code, -SIGKILL);
		ck_assert_int_eq(end.oom, i == 0 ? REEVE_ANSWER_NO
						 : REEVE_ANSWER_UNKNOWN);
		reeve_process_free(p);
	}
}
END_TEST

START_TEST(test_signal)
{
	reeve_process *p = start_process(sleeper);

	ck_assert_int_eq(reeve_process_signal(p, 0), 0);
	ck_assert_int_eq(reeve_process_signal(p, 65), -EINVAL);
	ck_assert_int_eq(reeve_process_signal(p, -1), -EINVAL);
	ck_assert_int_eq(reeve_process_signal_tree(p, 65), -EINVAL);
	ck_assert_int_eq(reeve_process_signal(p, SIGUSR2), 0);
	ck_assert_int_eq(end_process(p), -SIGUSR2);
}
END_TEST

static void count_signal(_unused_ int signo)
{
}

/* join() sees signals and goes on; the timer fires many times meanwhile. */
START_TEST(test_join_is_not_interrupted)
{
	const struct itimerval often = { { 0, 1000 }, { 0, 1000 } };
	const struct itimerval never = { 0 };
	struct sigaction action = { .sa_handler = count_signal };
	reeve_process *p = start_process(sleeper);
	uint64_t begin = clock_monotonic_usec();

	ck_assert_int_eq(sigaction(SIGVTALRM, &action, NULL), 0);
	ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
	ck_assert_int_eq(reeve_process_join(p, 30 * USEC_PER_MSEC), -ETIMEDOUT);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
	ck_assert_uint_ge(clock_monotonic_usec() - begin, 30 * USEC_PER_MSEC);
	reeve_process_free(p);
}
END_TEST

static void *join_it(void *arg)
{
	return (void *)(intptr_t)reeve_process_join(arg, REEVE_FOREVER);
}

/* A join for ever in one thread keeps no other from doing anything. */
START_TEST(test_threads_share_a_handle)
{
	reeve_process *p = start_process(sleeper);
	pthread_t threads[4];
	int code;

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, join_it, p),
				 0);
	ck_assert_int_eq(reeve_process_is_alive(p), 1);
	ck_assert_int_eq(reeve_process_kill(p), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		void *result = NULL;

		ck_assert_int_eq(pthread_join(threads[i], &result), 0);
		ck_assert_int_eq((int)(intptr_t)result, 0);
	}
	ck_assert_int_eq(reeve_process_exitcode(p, &code), 1);
	ck_assert_int_eq(code, -SIGKILL);
	reeve_process_free(p);
}
END_TEST

/* --- free ---------------------------------------------------------------- */

START_TEST(test_free_ends_what_runs)
{
	reeve_process *p = start_process(sleeper);
	pid_t pid = reeve_process_pid(p);

	ck_assert_ptr_null(reeve_process_free(p));
	ck_assert_int_eq(kill(pid, 0), -1); /* not even a zombie */
	ck_assert_int_eq(errno, ESRCH);
	ck_assert_ptr_null(reeve_process_free(NULL));
}
END_TEST

START_TEST(test_free_ends_what_is_stopped)
{
	reeve_process *p = start_process(sleeper);

	ck_assert_int_eq(reeve_process_signal(p, SIGSTOP), 0);
	ck_assert_int_eq(reeve_process_join(p, 20 * USEC_PER_MSEC), -ETIMEDOUT);
	reeve_process_free(p);
}
END_TEST

static int wait_for_eof(void *arg)
{
	char c;

	return (int)read((int)(intptr_t)arg, &c, 1);
}

/* A detached process runs on, and is reaped when a later call comes by. */
START_TEST(test_free_lets_the_detached_go)
{
	reeve_process *p;
	struct pollfd end = { .events = POLLIN };
	struct reeve_fd fd = { .to = 5 };
	int pipe[2];

	ck_assert_int_eq(pipe2(pipe, O_CLOEXEC), 0);
	fd.from = pipe[0];
	p = start_process(
		(struct reeve_process_spec){ .function = wait_for_eof,
					     .arg = (void *)(intptr_t)5,
					     .fds = &fd,
					     .n_fds = 1,
					     .life = REEVE_LIFE_DETACHED });
	end.fd = fcntl(reeve_process_fd(p), F_DUPFD_CLOEXEC, 0);
	reeve_process_free(p);
	ck_assert_uint_eq(reeve_active_children(NULL, 0), 0);
	ck_assert_int_eq(poll(&end, 1, 20), 0); /* it runs */
	fd_close(pipe[1]);
	fd_close(pipe[0]);
	ck_assert(is_readable(end.fd));
	ck_assert_uint_eq(reeve_active_children(NULL, 0), 0);
	ck_assert_int_eq(pidfd_send_signal(end.fd, 0, NULL, 0), -1);
	ck_assert_int_eq(errno, ESRCH); /* reaped */
	fd_close(end.fd);
}
END_TEST

/* --- others reap --------------------------------------------------------- */

static bool has_exit_in_pidfd(void)
{
	struct utsname u;
	unsigned long major, minor;
	char *end;

	ck_assert_int_eq(uname(&u), 0);
	major = strtoul(u.release, &end, 10);
	minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
	return major > 6 || (major == 6 && minor >= 15);
}

/* What is told when the status is gone: by the kernel from 6.15 on. */
static void check_lost(reeve_process *p, bool is_refused, int code)
{
	struct reeve_exit end;
	int got = 99, r;

	ck_assert_int_eq(reeve_process_join(p, DEADLINE_USEC), 0);
	ck_assert_int_eq(reeve_process_is_alive(p), 0);
	ck_assert_int_eq(reeve_process_exit(p, &end), 1);
	r = reeve_process_exitcode(p, &got);
	if (has_exit_in_pidfd() && !is_refused) {
		ck_assert_int_eq(r, 1);
		ck_assert_int_eq(got, code);
		ck_assert_int_eq(end.code, code);
	} else {
		ck_assert_int_eq(r, -ENODATA);
		ck_assert_int_eq(got, 99);
		ck_assert_int_eq(end.state, REEVE_EXIT_UNKNOWN);
		ck_assert_int_eq(end.code, REEVE_CODE_UNKNOWN);
		ck_assert_int_eq(end.oom, REEVE_ANSWER_UNKNOWN);
	}
	ck_assert_int_eq(end.pid, reeve_process_pid(p));
	ck_assert_int_eq(reeve_process_terminate(p), 0);
	reeve_process_free(p);
}

START_TEST(test_host_ignores_sigchld)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	reeve_process *p;

	ck_assert_int_eq(sigaction(SIGCHLD, &ignore, NULL), 0);
	if (_i == 1)
		refuse_syscall(SYS_ioctl, -1, ENOTTY);
	p = start_process((struct reeve_process_spec){ .function = return_arg,
						       .arg = (void *)7 });
	check_lost(p, _i == 1, 7);
	p = start_process((struct reeve_process_spec){
		.function = sleep_on, .life = REEVE_LIFE_TREE });
	ck_assert_int_eq(reeve_process_join(p, 20 * USEC_PER_MSEC), -ETIMEDOUT);
	ck_assert_int_eq(reeve_process_is_alive(p), 1);
	ck_assert_int_eq(reeve_process_kill(p), 0);
	check_lost(p, _i == 1, -SIGKILL);
	p = start_process(sleeper);
	reeve_process_free(p); /* in time */
}
END_TEST

static void *reap_everything(void *arg)
{
	atomic_bool *stop = arg;

	while (!atomic_load(stop)) {
		int status;

		if (waitpid(-1, &status, WNOHANG) <= 0)
			(void)poll(NULL, 0, 1);
	}
	return NULL;
}

START_TEST(test_host_reaps_everything)
{
	atomic_bool stop = false;
	reeve_process *p;
	pthread_t thread;

	if (_i == 1)
		refuse_syscall(SYS_ioctl, -1, ENOTTY);
	ck_assert_int_eq(pthread_create(&thread, NULL, reap_everything, &stop),
			 0);
	for (int i = 0; i < 20; i++) {
		p = start_process(
			(struct reeve_process_spec){ .argv = shell("exit 7") });
		ck_assert(is_readable(reeve_process_fd(p)));
		while (kill(reeve_process_pid(p), 0) == 0)
			(void)sched_yield();
		check_lost(p, _i == 1, 7);
	}
	atomic_store(&stop, true);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

/* A host that closes everything, and has its own file under our number. */
START_TEST(test_host_closes_our_fd)
{
	reeve_process *p = start_process(sleeper);
	int fd = reeve_process_fd(p), pidfd;

	pidfd = fcntl(fd, F_DUPFD_CLOEXEC, 100);
	close(fd);
	ck_assert_int_eq(reeve_process_join(p, REEVE_FOREVER), -EBADF);
	ck_assert_int_eq(reeve_process_is_alive(p), -EBADF);
	ck_assert_int_eq(reeve_process_terminate(p), -EBADF);
	ck_assert_int_eq(dup3(2, fd, O_CLOEXEC), fd);
	ck_assert_int_lt(reeve_process_join(p, REEVE_FOREVER), 0);
	ck_assert_int_eq(dup3(pidfd, fd, O_CLOEXEC), fd);
	fd_close(pidfd);
	reeve_process_free(p);
}
END_TEST

/* --- not the owner ------------------------------------------------------- */

static int use_anothers_handle(void *arg)
{
	reeve_process *p = arg;
	struct reeve_exit end;
	int code;

	if (reeve_process_join(p, REEVE_FOREVER) != -ECHILD ||
	    reeve_process_is_alive(p) != -ECHILD ||
	    reeve_process_exitcode(p, &code) != -ECHILD ||
	    reeve_process_exit(p, &end) != -ECHILD ||
	    reeve_process_signal(p, SIGKILL) != -ECHILD ||
	    reeve_process_terminate(p) != -ECHILD ||
	    reeve_process_kill(p) != -ECHILD ||
	    reeve_process_signal_tree(p, SIGKILL) != -ECHILD ||
	    reeve_process_pid(p) != -ECHILD || reeve_process_fd(p) != -ECHILD)
		return 1;
	if (reeve_active_children(&p, 1) != 0)
		return 2;
	if (strcmp(reeve_process_name(arg), "sleeper") != 0)
		return 3;
	return reeve_process_free(arg) ? 4 : 0;
}

static void use_in_fork(void *arg)
{
	_exit(use_anothers_handle(arg));
}

START_TEST(test_calls_in_a_forked_child)
{
	struct reeve_process_spec spec = sleeper;
	reeve_process *p;

	spec.name = "sleeper";
	p = start_process(spec);
	ck_assert_int_eq(unit_fork(use_in_fork, p, NULL), 0);
	ck_assert_int_eq(run_process((struct reeve_process_spec){
				 .function = use_anothers_handle, .arg = p }),
			 0);
	ck_assert_int_eq(reeve_process_is_alive(p), 1);
	reeve_process_free(p);
}
END_TEST

START_TEST(test_null)
{
	struct reeve_exit end;
	int code;

	ck_assert_int_eq(reeve_process_join(NULL, 0), -EINVAL);
	ck_assert_int_eq(reeve_process_is_alive(NULL), -EINVAL);
	ck_assert_int_eq(reeve_process_exitcode(NULL, &code), -EINVAL);
	ck_assert_int_eq(reeve_process_exit(NULL, &end), -EINVAL);
	ck_assert_int_eq(reeve_process_signal(NULL, 1), -EINVAL);
	ck_assert_int_eq(reeve_process_terminate(NULL), -EINVAL);
	ck_assert_int_eq(reeve_process_kill(NULL), -EINVAL);
	ck_assert_int_eq(reeve_process_signal_tree(NULL, 1), -EINVAL);
	ck_assert_int_eq(reeve_process_pid(NULL), -EINVAL);
	ck_assert_int_eq(reeve_process_fd(NULL), -EINVAL);
	ck_assert_ptr_null(reeve_process_name(NULL));
}
END_TEST

START_TEST(test_null_outputs)
{
	reeve_process *p = start_process(sleeper);

	ck_assert_int_eq(reeve_process_exitcode(p, NULL), -EINVAL);
	ck_assert_int_eq(reeve_process_exit(p, NULL), -EINVAL);
	reeve_process_free(p);
}
END_TEST

/* --- the family ---------------------------------------------------------- */

START_TEST(test_active_children)
{
	reeve_process *p[3], *found[3] = { NULL };

	ck_assert_uint_eq(reeve_active_children(found, 3), 0);
	for (int i = 0; i < 3; i++)
		p[i] = start_process(sleeper);
	ck_assert_uint_eq(reeve_active_children(NULL, 3), 3);
	ck_assert_uint_eq(reeve_active_children(found, 1), 3);
	ck_assert_ptr_nonnull(found[0]);
	ck_assert_ptr_null(found[1]);
	ck_assert_int_eq(reeve_process_kill(p[1]), 0);
	ck_assert(is_readable(reeve_process_fd(p[1])));
	ck_assert_uint_eq(reeve_active_children(found, 3), 2);
	ck_assert(found[0] != p[1] && found[1] != p[1] && found[0] != found[1]);
	for (int i = 0; i < 3; i++)
		reeve_process_free(p[i]);
	ck_assert_uint_eq(reeve_active_children(found, 3), 0);
}
END_TEST

/* In a child, whose fds have other meanings: has anything been closed? */
static int sweep_in_child(_unused_ void *arg)
{
	int fds[64];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = fcntl(2, F_DUPFD_CLOEXEC, 3);
	if (reeve_active_children(NULL, 0) != 0)
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fcntl(fds[i], F_GETFD) < 0)
			return 2;
	return 0;
}

START_TEST(test_released_are_not_the_childs)
{
	struct reeve_process_spec spec = sleeper;
	struct pollfd end = { .events = POLLIN };
	reeve_process *p;

	spec.life = REEVE_LIFE_DETACHED;
	p = start_process(spec);
	end.fd = fcntl(reeve_process_fd(p), F_DUPFD_CLOEXEC, 0);
	reeve_process_free(p);
	ck_assert_int_eq(run_process((struct reeve_process_spec){
				 .function = sweep_in_child }),
			 0);
	ck_assert_int_eq(pidfd_send_signal(end.fd, SIGKILL, NULL, 0), 0);
	ck_assert(is_readable(end.fd));
	fd_close(end.fd);
	ck_assert_uint_eq(reeve_active_children(NULL, 0), 0);
}
END_TEST

static int compare_name(void *arg)
{
	return strcmp(reeve_process_current_name(), arg);
}

START_TEST(test_names)
{
	char first[] = "process-1", second[] = "process-2", long_[101];
	reeve_process *p;

	ck_assert_str_eq(reeve_process_current_name(), "main");
	ck_assert_int_eq(run_process((struct reeve_process_spec){
				 .function = compare_name, .arg = first }),
			 0);
	p = start_process((struct reeve_process_spec){ .function = compare_name,
						       .arg = second });
	ck_assert_str_eq(reeve_process_name(p), second);
	ck_assert_int_eq(end_process(p), 0);
	memset(long_, 'x', 100);
	long_[100] = '\0';
	p = start_process((struct reeve_process_spec){
		.function = compare_name, .arg = long_, .name = long_ });
	ck_assert_uint_eq(strlen(reeve_process_name(p)),
			  REEVE_PROCESS_NAME_MAX);
	ck_assert_int_ne(end_process(p), 0); /* cut */
	ck_assert_str_eq(reeve_process_current_name(), "main");
}
END_TEST

UNIT_LOOP_MAIN("process_handle", 2, test_life_of_a_handle,
	       test_exit_information,
	       test_oom_is_unknown_after_a_strangers_kill, test_signal,
	       test_join_is_not_interrupted, test_threads_share_a_handle,
	       test_free_ends_what_runs, test_free_ends_what_is_stopped,
	       test_free_lets_the_detached_go, test_host_ignores_sigchld,
	       test_host_reaps_everything, test_host_closes_our_fd,
	       test_calls_in_a_forked_child, test_null, test_null_outputs,
	       test_active_children, test_released_are_not_the_childs,
	       test_names)
