/* What is started through the spawner is what spawn_start() starts: the same
 * parent, descriptors, words, environment, failures; and what happens when
 * the spawner dies, hangs, or cannot be told. */
#include "workers/base/sys/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/sys/fd.h"

#define NOBODY 65534

static struct spawner spawner;

/* Starts, waits, and returns the exit code; output as a new string. */
static int run(const struct spawn_spec *given, char **ret_output)
{
	struct spawn_spec spec = *given;
	struct spawn_failure failure;
	struct spawn_child child;
	struct spawn_fd fd;
	int ends[2], code = -1000;
	char *text = calloc(1, 65536);
	size_t len = 0;
	bool core;
	ssize_t n;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	fd = (struct spawn_fd){ ends[1], 1 };
	spec.fds = &fd;
	spec.n_fds = 1;
	ck_assert_int_eq(spawner_spawn(&spawner, &spec, &child), 0);
	close(ends[1]);
	while ((n = read(ends[0], text + len, 65535 - len)) > 0)
		len += (size_t)n;
	close(ends[0]);
	ck_assert_int_eq(
		poll(&(struct pollfd){ child.pidfd, POLLIN, 0 }, 1, 10000), 1);
	ck_assert_int_eq(spawn_wait(child.pidfd, false, &code, &core, NULL), 1);
	(void)spawn_read_report(child.report_fd, &failure);
	close(child.pidfd);
	close(child.report_fd);
	*ret_output = text;
	return code;
}

#define WORD(s) ((char *)(uintptr_t)(s))
#define SHELL(text)                                                            \
	((char *[]){ WORD("/bin/sh"), WORD("-c"), WORD(text), NULL })

START_TEST(test_it_is_our_child)
{
	const struct spawn_spec spec = {
		SPAWN_SPEC, .argv = SHELL("echo $PPID $A; exit 7"),
		.envp = (char *[]){ WORD("A=b c"), NULL }
	};
	char *out, expected[32];

	ck_assert_int_eq(spawner_open(&spawner), 0);
	ck_assert_int_eq(run(&spec, &out), 7);
	snprintf(expected, sizeof(expected), "%d b c\n", (int)getpid());
	ck_assert_str_eq(out, expected);
	free(out);
	spawner_close(&spawner);
}
END_TEST

START_TEST(test_whole_spec)
{
	const int nice = 5, oom = 500;
	const struct spawn_limit limit = { RLIMIT_CORE, { 0, 0 } };
	struct spawn_spec spec = {
		SPAWN_SPEC,
		.argv = (char *[]){ WORD("sh"), WORD("-c"),
				    WORD("pwd; umask; nice; ulimit -c; "
					 "cat /proc/self/oom_score_adj; "
					 "ls /proc/self/fd | wc -l; "
					 "grep NoNewPrivs /proc/self/status"),
				    NULL },
		.search_path = "/nowhere:/bin:/usr/bin",
		.envp = (char *[]){ WORD("PATH=/usr/bin:/bin"), NULL },
		.directory = "/proc",
		.nice = &nice,
		.oom_score_adj = &oom,
		.limits = &limit,
		.n_limits = 1,
		.new_session = true,
		.no_new_privs = true,
		.parent_death_signal = SIGKILL,
	};
	char *out;

	spec.umask = 027;
	ck_assert_int_eq(spawner_open(&spawner), 0);
	ck_assert_int_eq(run(&spec, &out), 0);
	/* 0, 1, 2 and the directory that ls reads */
	ck_assert_str_eq(out, "/proc\n0027\n5\n0\n500\n4\nNoNewPrivs:\t1\n");
	free(out);
	spawner_close(&spawner);
}
END_TEST

START_TEST(test_credentials)
{
	const gid_t groups[] = { 1, 2 };
	const struct spawn_credentials nobody = { 65534, 65534, groups, 2 };
	struct spawn_spec spec = { SPAWN_SPEC, .argv = SHELL("id -u; id -G"),
				   .credentials = &nobody };
	char *out;

	if (unit_lacks_root("the credentials of another user"))
		return;
	ck_assert_int_eq(spawner_open(&spawner), 0);
	ck_assert_int_eq(run(&spec, &out), 0);
	ck_assert_str_eq(out, "65534\n65534 1 2\n");
	free(out);
	spawner_close(&spawner);
}
END_TEST

START_TEST(test_failures_are_told)
{
	struct spawn_spec spec = {
		SPAWN_SPEC, .argv = (char *[]){ WORD("/no/such"), NULL }
	};
	struct spawn_failure failure;
	struct spawn_child child;
	bool core;
	int code;

	ck_assert_int_eq(spawner_open(&spawner), 0);
	ck_assert_int_eq(spawner_spawn(&spawner, &spec, &child), 0);
	ck_assert_int_eq(
		poll(&(struct pollfd){ child.pidfd, POLLIN, 0 }, 1, 10000), 1);
	ck_assert_int_eq(spawn_wait(child.pidfd, false, &code, &core, NULL), 1);
	ck_assert_int_eq(code, SPAWN_EXIT_CODE);
	ck_assert_int_eq(spawn_read_report(child.report_fd, &failure), 1);
	ck_assert_uint_eq(failure.stage, SPAWN_STAGE_EXEC);
	ck_assert_int_eq(failure.error, ENOENT);
	close(child.pidfd);
	close(child.report_fd);
	spec.argv = NULL; /* refused before anybody is asked */
	ck_assert_int_eq(spawner_spawn(&spawner, &spec, &child), -EINVAL);
	spawner_close(&spawner);
}
END_TEST

/* More than a message holds is started directly: exactly at the limit. */
/* Does pid hold what fd is one end of? */
static bool holds(pid_t pid, int fd)
{
	char path[64], link[64], own[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, own, sizeof(own));
	ck_assert_int_gt(n, 0);
	for (int i = 0; i < 32; i++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, i);
		if (readlink(path, link, sizeof(link)) == n &&
		    memcmp(link, own, (size_t)n) == 0)
			return true;
	}
	return false;
}

/* Who sees the process end finds the report pipe at its end: the spawner has
 * let go of it before it answers. */
START_TEST(test_report_ends_with_the_process)
{
	const struct spawn_spec spec = { SPAWN_SPEC, .argv = SHELL(":") };
	struct spawn_child child;
	int code;
	bool core;

	ck_assert_int_eq(spawner_open(&spawner), 0);
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(spawner_spawn(&spawner, &spec, &child), 0);
		ck_assert(!holds(spawner.pid, child.report_fd));
		ck_assert_int_eq(
			poll(&(struct pollfd){ child.pidfd, POLLIN, 0 }, 1,
			     10000),
			1);
		ck_assert_int_eq(
			spawn_wait(child.pidfd, false, &code, &core, NULL), 1);
		close(child.pidfd);
		close(child.report_fd);
	}
	spawner_close(&spawner);
}
END_TEST

START_TEST(test_large_environments)
{
	struct spawn_spec spec = { SPAWN_SPEC, .argv = SHELL("echo ${#A}") };

	ck_assert_int_eq(spawner_open(&spawner), 0);
	for (size_t size = 100000; size < 131000; size += 3000) {
		char *value = malloc(size + 3), *out, expected[32];

		memset(value, 'x', size + 2);
		memcpy(value, "A=", 2);
		value[size + 2] = '\0';
		spec.envp = (char *[]){ value, NULL };
		ck_assert_int_eq(run(&spec, &out), 0);
		snprintf(expected, sizeof(expected), "%zu\n", size);
		ck_assert_str_eq(out, expected);
		free(out);
		free(value);
	}
	spawner_close(&spawner);
}
END_TEST

static void reap(pid_t pid)
{
	siginfo_t info;

	while (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0 && errno == EINTR)
		;
}

START_TEST(test_killed_spawner_is_replaced)
{
	const struct spawn_spec spec = { SPAWN_SPEC, .argv = SHELL("exit 3") };
	struct spawn_child child;
	char *out;
	pid_t old;

	ck_assert_int_eq(spawner_open(&spawner), 0);
	old = spawner.pid;
	ck_assert_int_eq(kill(old, SIGKILL), 0);
	ck_assert_int_eq(poll(&(struct pollfd){ spawner.pidfd, POLLIN, 0 }, 1,
			      10000),
			 1);
	ck_assert_int_eq(spawner_spawn(&spawner, &spec, &child), -ECONNRESET);
	reap(old);
	ck_assert_int_eq(run(&spec, &out), 3);
	ck_assert_int_ne(spawner.pid, old);
	free(out);
	spawner_close(&spawner);
}
END_TEST

START_TEST(test_silent_spawner_is_replaced)
{
	const struct spawn_spec spec = { SPAWN_SPEC, .argv = SHELL("exit 3") };
	struct spawn_child child;
	char *out;
	pid_t old;

	ck_assert_int_eq(spawner_open(&spawner), 0);
	old = spawner.pid;
	ck_assert_int_eq(kill(old, SIGSTOP), 0);
	ck_assert_int_eq(spawner_spawn(&spawner, &spec, &child), -ECONNRESET);
	reap(old); /* it was killed */
	ck_assert_int_eq(run(&spec, &out), 3);
	free(out);
	spawner_close(&spawner);
}
END_TEST

START_TEST(test_children_outlive_the_spawner)
{
	const struct spawn_spec spec = {
		SPAWN_SPEC,
		.argv = SHELL("read x; exit 9"),
		.parent_death_signal = SIGKILL,
	};
	struct spawn_fd fd = { -1, 0 };
	struct spawn_spec given = spec;
	struct spawn_child child;
	int ends[2], code;
	bool core;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	fd.from = ends[0];
	given.fds = &fd;
	given.n_fds = 1;
	ck_assert_int_eq(spawner_open(&spawner), 0);
	ck_assert_int_eq(spawner_spawn(&spawner, &given, &child), 0);
	spawner_close(&spawner);
	ck_assert_int_eq(fd_write_all(ends[1], "\n", 1), 0);
	ck_assert_int_eq(
		poll(&(struct pollfd){ child.pidfd, POLLIN, 0 }, 1, 10000), 1);
	ck_assert_int_eq(spawn_wait(child.pidfd, false, &code, &core, NULL), 1);
	ck_assert_int_eq(code, 9);
	close(child.pidfd);
	close(child.report_fd);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(test_switched_off)
{
	const struct spawn_spec spec = { SPAWN_SPEC, .argv = SHELL("exit 3") };
	char *out;

	spawner = SPAWNER_OFF;
	ck_assert_int_eq(run(&spec, &out), 3);
	free(out);
	spawner_close(&spawner);
}
END_TEST

/* Leaves n fds on their way through a socket. Returns how many were refused. */
static int flood(int fd, int n)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { WORD("x"), 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };

	control.align = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET,
					  SCM_RIGHTS };
	memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	while (n > 0 && sendmsg(fd, &m, MSG_DONTWAIT) == 1)
		n--;
	return n;
}

/* In a child: with so many fds on their way that the spawner may send none, and
 * then neither may we, a process is started as ever. */
static void spawn_in_a_flood(_unused_ void *arg)
{
	const struct spawn_spec spec = { SPAWN_SPEC, .argv = SHELL("exit 3") };
	const struct rlimit few = { 64, 64 };
	struct spawn_child child;
	int ends[2], code = 0;
	bool core;

	if (getuid() == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
		_exit(90);
	if (spawner_open(&spawner) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		_exit(91);
	if (prlimit(spawner.pid, RLIMIT_NOFILE, &few, NULL) < 0 ||
	    flood(ends[0], 100) > 0)
		_exit(92);
	for (int i = 0; i < 2; i++) {
		int r = spawner_spawn(&spawner, &spec, &child);

		if (r < 0)
			_exit(-r);
		if (!poll(&(struct pollfd){ child.pidfd, POLLIN, 0 }, 1, 10000))
			_exit(93);
		if (spawn_wait(child.pidfd, false, &code, &core, NULL) != 1 ||
		    code != 3)
			_exit(94);
		fd_close(child.pidfd);
		fd_close(child.report_fd);
		(void)setrlimit(RLIMIT_NOFILE, &few);
	}
	fd_close(ends[0]);
	fd_close(ends[1]);
	spawner_close(&spawner);
}

START_TEST(test_too_many_fds_on_their_way)
{
	ck_assert_int_eq(unit_fork(spawn_in_a_flood, NULL, NULL), 0);
}
END_TEST

UNIT_MAIN("spawner", test_it_is_our_child, test_whole_spec, test_credentials,
	  test_failures_are_told, test_report_ends_with_the_process,
	  test_large_environments, test_killed_spawner_is_replaced,
	  test_silent_spawner_is_replaced, test_children_outlive_the_spawner,
	  test_switched_off, test_too_many_fds_on_their_way)
