/* pidfd.c: with its two system calls, and without, as under valgrind. */
#include "workers/base/sys/pidfd.h"

#include <reeve/reeve.h>
#include <sys/socket.h>

#include "tests/unit/spawn_rig.h"

/* As valgrind answers. Nothing undoes it: for children of a test. */
static void take_calls_away(void)
{
	refuse_syscall(SYS_pidfd_open, -1, ENOSYS);
	refuse_syscall(SYS_pidfd_send_signal, -1, ENOSYS);
	refuse_syscall(SYS_clone3, -1, ENOSYS);
	refuse_syscall(SYS_epoll_pwait2, -1, ENOSYS);
}

/* The kernel can say who is behind a socket since 6.5. */
static bool can_do_without(void)
{
	int pair[2], fd = -1;
	socklen_t size = sizeof(fd);
	bool can;

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	can = getsockopt(pair[0], SOL_SOCKET, 77 /* SO_PEERPIDFD */, &fd,
			 &size) == 0;
	fd_close(fd);
	fd_close(pair[0]);
	fd_close(pair[1]);
	if (!can)
		puts("SKIP: no pidfds over sockets (Linux 6.5)");
	return can;
}

/* Ends a child with the number of what does not hold. */
static void expect(bool holds)
{
	static int n;

	n++;
	if (!holds)
		_exit(n);
}

static void fork_and_end(_unused_ void *arg)
{
	siginfo_t info = { 0 };
	int pidfd = -1, n = fd_count_open();
	pid_t pid = pidfd_fork(&pidfd);

	if (pid == 0) {
		/* nothing but what the parent had */
		if (fd_count_open() != n)
			_exit(1);
		for (;;)
			(void)pause();
	}
	expect(pid > 0 && pidfd >= 0);
	expect(fd_count_open() == n + 1);
	expect(fcntl(pidfd, F_GETFD) == FD_CLOEXEC);
	expect(!fd_wait_readable(pidfd, 0));
	expect(pidfd_signal(pidfd, 0) == 0);
	expect(pidfd_signal(pidfd, NSIG + 1) == -EINVAL);
	expect(pidfd_signal(pidfd, SIGTERM) == 0);
	expect(fd_wait_readable(pidfd, DEADLINE_MSEC));
	expect(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) == 0);
	expect(info.si_pid == pid && info.si_status == SIGTERM);
	expect(pidfd_signal(pidfd, SIGTERM) == -ESRCH);
	fd_close(pidfd);
	expect(pidfd_signal(pidfd, SIGTERM) == -EBADF);
	expect(pidfd_signal(STDIN_FILENO, SIGTERM) == -EBADF);
	_exit(0);
}

static void look_at_self(_unused_ void *arg)
{
	int n = fd_count_open(), pidfd = pidfd_of_self();
	siginfo_t info;
	pid_t pid;

	expect(pidfd >= 0 && fd_count_open() == n + 1);
	expect(fcntl(pidfd, F_GETFD) == FD_CLOEXEC);
	expect(pidfd_signal(pidfd, 0) == 0);
	pid = fork();
	if (pid == 0) /* not the child's: it is whom it was */
		_exit(pidfd_signal(pidfd, SIGKILL) == 0 ? 1 : 2);
	/* killed by the child before this is seen */
	(void)waitid(P_PID, (id_t)pid, &info, WEXITED);
	for (;;)
		(void)pause();
}

START_TEST(test_child)
{
	ck_assert_int_eq(unit_fork(fork_and_end, NULL, NULL), 0);
}
END_TEST

START_TEST(test_self)
{
	ck_assert_int_eq(unit_fork(look_at_self, NULL, NULL), -SIGKILL);
}
END_TEST

static void child_without_calls(void *arg)
{
	take_calls_away();
	fork_and_end(arg);
}

static void self_without_calls(void *arg)
{
	take_calls_away();
	look_at_self(arg);
}

START_TEST(test_child_without_the_calls)
{
	if (can_do_without())
		ck_assert_int_eq(unit_fork(child_without_calls, NULL, NULL), 0);
}
END_TEST

START_TEST(test_self_without_the_calls)
{
	if (can_do_without())
		ck_assert_int_eq(unit_fork(self_without_calls, NULL, NULL),
				 -SIGKILL);
}
END_TEST

/* Neither the call nor a socket: an error, and no child. */
static void refuse_all(_unused_ void *arg)
{
	int pidfd = -7, n = fd_count_open();
	siginfo_t info;

	take_calls_away();
	refuse_syscall(SYS_setsockopt, -1, ENOPROTOOPT);
	refuse_syscall(SYS_getsockopt, -1, ENOPROTOOPT);
	expect(pidfd_fork(&pidfd) == -ENOSYS && pidfd == -7);
	expect(pidfd_of_self() == -ENOSYS);
	expect(fd_count_open() == n);
	expect(waitid(P_ALL, 0, &info, WEXITED) < 0);
	_exit(0);
}

START_TEST(test_nothing_helps)
{
	ck_assert_int_eq(unit_fork(refuse_all, NULL, NULL), 0);
}
END_TEST

/* --- what a program does under valgrind ------------------------------------ */

static int square(void *input, size_t size, struct reeve_reply *reply)
{
	long n = *(const long *)input;

	if (n == 3)
		return raise(SIGKILL);
	n *= n;
	return reeve_reply_set(reply, &n, size);
}

static void work(struct reeve_pool *pool)
{
	long in[] = { 1, 2, 3, 4 }, out[4] = { 0 };
	struct reeve_outcome outcomes[4] = { 0 };

	expect(reeve_pool_map(
		       pool, square,
		       &(struct reeve_map_spec){ .inputs = in,
						 .input_size = sizeof(long),
						 .n_items = 4,
						 .outputs = out,
						 .output_size = sizeof(long),
						 .outcomes = outcomes }) >= 0);
	for (int i = 0; i < 4; i++)
		expect(outcomes[i].kind ==
		       (in[i] == 3 ? REEVE_CRASHED : REEVE_DONE));
	expect(out[0] == 1 && out[1] == 4 && out[3] == 16);
}

static void run_pool(_unused_ void *arg)
{
	struct reeve_pool_spec spec = { .processes = 2,
					.context = REEVE_CONTEXT_FORK };
	struct reeve_pool *pool;

	take_calls_away();
	expect(reeve_pool_new(&spec, &pool) == 0);
	work(pool);
	(void)reeve_pool_close(pool);
	expect(reeve_pool_join(pool, 10000000) == 0);
	reeve_pool_free(pool);
	_exit(0);
}

START_TEST(test_pool_without_the_calls)
{
	if (can_do_without())
		ck_assert_int_eq(unit_fork(run_pool, NULL, NULL), 0);
}
END_TEST

static int wait_for_ever(void *arg)
{
	for (;;)
		(void)pause();
	return arg != NULL;
}

static void run_processes(_unused_ void *arg)
{
	char *const sleeper[] = { (char[]){ "sleep" }, (char[]){ "99" }, NULL };
	const struct reeve_process_spec specs[] = {
		{ .function = wait_for_ever },
		{ .argv = sleeper },
	};
	reeve_process *p;
	int exitcode;

	take_calls_away();
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		expect(reeve_process_start(&specs[i], &p) == 0);
		expect(reeve_process_is_alive(p) == 1);
		expect(reeve_process_kill(p) >= 0);
		expect(reeve_process_join(p, 10000000) >= 0);
		expect(reeve_process_exitcode(p, &exitcode) == 1);
		expect(exitcode == -SIGKILL);
		reeve_process_free(p);
	}
	_exit(0);
}

START_TEST(test_processes_without_the_calls)
{
	if (can_do_without())
		ck_assert_int_eq(unit_fork(run_processes, NULL, NULL), 0);
}
END_TEST

UNIT_MAIN("pidfd", test_child, test_self, test_child_without_the_calls,
	  test_self_without_the_calls, test_nothing_helps,
	  test_pool_without_the_calls, test_processes_without_the_calls)
