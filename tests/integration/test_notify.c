/* NOTIFY_SOCKET: what workers may tell, who is heard, and senders that are
 * hostile. Each test runs with both ways to know a tree. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "supervisor/daemon/notify.h"
#include "tests/lib/actor.h"
#include "tests/lib/process.h"
#include "tests/lib/rig.h"
#include "tests/lib/unit.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"

static const int flags_of[] = { 0, RIG_NO_CGROUP };
#define EACH_GUARANTEE (int)ARRAY_SIZE(flags_of)
#define HERE	       "%(here)s"

static pid_t read_pid(const char *path)
{
	char *text;
	pid_t pid;

	rig_wait_file(path, "\n");
	text = rig_read_file(path);
	pid = (pid_t)atoi(text);
	free(text);
	ck_assert_int_gt(pid, 0);
	return pid;
}

/* ---- what may be told -------------------------------------------------------- */

static bool has_status(const struct rig_row *row, uint64_t arg)
{
	return strcmp(row->status, (const char *)(uintptr_t)arg) == 0;
}

static void wait_status(struct rig *r, const char *name, const char *text)
{
	rig_wait_row(r, name, has_status, (uint64_t)(uintptr_t)text);
}

START_TEST(test_status)
{
	struct rig *r = rig_start(
		flags_of[_i],
		"[worker:a]\ntype = notify\ncommand = %s hold USR1 notify "
		"'READY=1\\nSTATUS=50%%%% \\e[31mred' await USR1 notify "
		"STATUS= "
		"await USR1 exit 1\nrestart_delay = 60\n"
		"[worker:long]\ntype = notify\n"
		"command = %s notify 'READY=1\\nSTATUS=%0300d' wait\n",
		actor(), actor(), 7);
	char *out;

	rig_wait(r, "a", "RUNNING");
	wait_status(r, "a", "50% \\x1b[31mred");
	ck_assert_int_eq(rig_reeve(r, &out, NULL, "status", "a", NULL), 0);
	ck_assert_ptr_nonnull(strstr(out, "[31mred"));
	ck_assert_ptr_null(strchr(out, '\x1b'));
	free(out);
	ck_assert_int_eq(kill(rig_pid(r, "a"), SIGUSR1), 0);
	wait_status(r, "a", "");
	rig_wait(r, "long", "RUNNING");
	ck_assert_uint_eq(strlen(rig_row(r, "long").status),
			  NOTIFY_STATUS_MAX - 1);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* What one process said is not shown of the next. */
START_TEST(test_status_ends_with_its_process)
{
	struct rig *r = rig_start(
		flags_of[_i],
		"[worker:a]\ntype = notify\nautorestart = true\n"
		"command = /bin/sh -c 'test -e %s && exec %s notify READY=1 "
		"wait; touch %s; exec %s hold USR1 notify READY=1 "
		"notify STATUS=old await USR1'\n",
		HERE "/once", actor(), HERE "/once", actor());

	rig_wait(r, "a", "RUNNING");
	wait_status(r, "a", "old");
	ck_assert_int_eq(kill(rig_pid(r, "a"), SIGKILL), 0);
	rig_wait_row(r, "a", rig_has_restarts, 1);
	rig_wait(r, "a", "RUNNING");
	ck_assert_str_eq(rig_row(r, "a").status, "");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

static bool has_uptime(const struct rig_row *row, uint64_t usec)
{
	return row->uptime_usec >= usec;
}

START_TEST(test_heartbeats_keep_alive)
{
	struct rig *r = rig_start(flags_of[_i],
				  "[worker:a]\ntype = notify\n"
				  "watchdog_sec = 1.5\n"
				  "command = %s notify 'READY=1\\nWATCHDOG=1' "
				  "pause 50 loop\n",
				  actor());

	rig_wait_row(r, "a", has_uptime, 2 * USEC_PER_SEC);
	ck_assert_uint_eq(rig_row(r, "a").restarts, 0);
	ck_assert_str_eq(rig_row(r, "a").state, "RUNNING");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_watchdog_asked_for_by_the_worker)
{
	struct rig *r = rig_start(
		flags_of[_i],
		"[worker:hangs]\ntype = notify\nwatchdog_sec = 1h\n"
		"command = %s notify READY=1 notify WATCHDOG_USEC=100000 wait\n"
		"restart_delay = 60\n"
		"[worker:asks]\ntype = notify\n"
		"command = %s notify READY=1 notify WATCHDOG=trigger wait\n"
		"restart_delay = 60\n"
		"[worker:off]\ntype = notify\nwatchdog_sec = 0.5\n"
		"command = %s notify 'WATCHDOG_USEC=0\\nREADY=1' wait\n",
		actor(), actor(), actor());

	rig_wait_row(r, "hangs", rig_has_restarts, 1);
	rig_wait_row(r, "asks", rig_has_restarts, 1);
	ck_assert_int_eq(rig_row(r, "hangs").exit_code, -SIGABRT);
	ck_assert_int_eq(rig_row(r, "asks").exit_code, -SIGABRT);
	rig_wait_row(r, "off", has_uptime, USEC_PER_SEC);
	ck_assert_uint_eq(rig_row(r, "off").restarts, 0);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_more_time_to_start)
{
	struct rig *r = rig_start(
		flags_of[_i],
		"[worker:a]\ntype = notify\nstart_timeout = 0.5\n"
		"command = %s notify EXTEND_TIMEOUT_USEC=15000000 pause 1500 "
		"notify READY=1 wait\n"
		"[worker:b]\ntype = notify\nstart_timeout = 0.5\n"
		"startretries = 0\ncommand = %s pause 1500 notify READY=1 "
		"wait\n",
		actor(), actor());

	rig_wait(r, "b", "FATAL");
	rig_wait(r, "a", "RUNNING");
	ck_assert_uint_eq(rig_row(r, "a").failures, 0);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_more_time_to_stop)
{
	struct rig *r = rig_start(
		flags_of[_i],
		"[worker:a]\ntype = notify\nstopwaitsecs = 0.5\n"
		"command = %s hold TERM notify READY=1 await TERM notify "
		"'STOPPING=1\\nEXTEND_TIMEOUT_USEC=15000000' pause 1500 "
		"exit 0\n"
		"[worker:b]\ntype = notify\nstopwaitsecs = 0.5\n"
		"command = %s hold TERM notify READY=1 await TERM pause 1500 "
		"exit 0\n",
		actor(), actor());

	rig_wait(r, "a", "RUNNING");
	rig_wait(r, "b", "RUNNING");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "a", "b", NULL), 0);
	ck_assert_int_eq(rig_row(r, "a").exit_code, 0);
	ck_assert(!rig_log_has(r, "worker=a state=KILLING"));
	ck_assert_int_eq(rig_row(r, "b").exit_code, -SIGKILL);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

static bool has_tasks(const struct rig_row *row, uint64_t n)
{
	return row->tasks >= n;
}

START_TEST(test_tasks)
{
	struct rig *r = rig_start(flags_of[_i],
				  "[worker:a]\nstartsecs = 0\n"
				  "command = %s tasks 3 1 notify "
				  "'X_REEVE_TASKS=4\\nX_REEVE_TASKS=5' "
				  "notify X_REEVE_TASKS=-1 wait\n",
				  actor());

	rig_wait_row(r, "a", has_tasks, 12);
	ck_assert_uint_eq(rig_row(r, "a").tasks, 12);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* ---- the main process -------------------------------------------------------- */

static bool has_pid(const struct rig_row *row, uint64_t pid)
{
	return row->pid == (pid_t)pid;
}

/* A program that makes itself a daemon: the parent names its child, and ends
 * at once. */
START_TEST(test_main_pid_of_its_own_tree)
{
	struct rig *r = rig_start(flags_of[_i],
				  "[worker:a]\ntype = notify\n"
				  "restart_delay = 0\nautorestart = true\n"
				  "command = %s fork { mark %s setsid pause 50 "
				  "notify READY=1 wait } main exit 0\n",
				  actor(), HERE "/child");
	pid_t child = read_pid(rig_path(r, "child"));

	rig_wait_row(r, "a", has_pid, (uint64_t)child);
	rig_wait(r, "a", "RUNNING");
	ck_assert_uint_eq(rig_row(r, "a").restarts, 0);
	ck_assert_int_eq(unlink(rig_path(r, "child")), 0);
	/* its death is the worker's */
	ck_assert_int_eq(kill(child, SIGKILL), 0);
	rig_wait_row(r, "a", rig_has_restarts, 1);
	ck_assert_int_eq(rig_row(r, "a").exit_code, -SIGKILL);
	child = read_pid(rig_path(r, "child"));
	rig_wait_row(r, "a", has_pid, (uint64_t)child);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "a", NULL), 0);
	ck_assert(!rig_is_alive(child));
	ck_assert_int_eq(rig_row(r, "a").exit_code, -SIGTERM);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_main_pid_of_strangers)
{
	struct rig *r = rig_start(
		flags_of[_i],
		"[worker:a]\nstartsecs = 0\ncommand = %s wait\n"
		"[worker:b]\nstartsecs = 0\nautostart = false\n"
		"command = /bin/sh -c '"
		"for pid in 1 $PPID %d $(cat %s) 2147483647; do "
		"%s notify MAINPID=$pid; done; exec %s notify STATUS=said "
		"wait'\n",
		actor(), (int)getpid(), HERE "/a", actor(), actor());
	pid_t a, b;
	FILE *f;

	rig_wait(r, "a", "RUNNING");
	a = rig_pid(r, "a");
	f = fopen(rig_path(r, "a"), "we");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "%d\n", (int)a);
	fclose(f);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "start", "b", NULL), 0);
	b = rig_pid(r, "b");
	wait_status(r, "b", "said");
	ck_assert_int_eq(rig_pid(r, "b"), b);
	ck_assert_int_eq(rig_pid(r, "a"), a);
	ck_assert(!rig_log_has(r, "main process now"));
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* ---- who is heard ------------------------------------------------------------ */

static int connect_socket(struct rig *r)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/run/notify.sock",
		 rig_dir(r));
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)),
			 0);
	return fd;
}

/* Sends m. The fds of an ordinary user that are on their way, here and in other
 * tests, are limited by RLIMIT_NOFILE: then some have to be taken first. */
static ssize_t send_patiently(int fd, const struct msghdr *m)
{
	uint64_t end = clock_monotonic_usec() + RIG_DEADLINE_SEC * USEC_PER_SEC;
	ssize_t n;

	while ((n = sendmsg(fd, m, 0)) < 0 && errno == ETOOMANYREFS &&
	       clock_monotonic_usec() < end)
		(void)sched_yield();
	return n;
}

/* Sends data with n_fds copies of with_fd. */
static void send_with_fds(int fd, const char *data, size_t len, int with_fd,
			  size_t n_fds)
{
	static union {
		char data[CMSG_SPACE(sizeof(int) * 253)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { (char *)(uintptr_t)data, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds > 0) {
		size_t size = sizeof(int) * n_fds;
		struct cmsghdr *c = &control.align;

		m.msg_control = control.data;
		m.msg_controllen = CMSG_SPACE(size);
		*c = (struct cmsghdr){ CMSG_LEN(size), SOL_SOCKET, SCM_RIGHTS };
		for (size_t i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &with_fd,
			       sizeof(int));
	}
	ck_assert_int_eq(send_patiently(fd, &m), (ssize_t)len);
}

/* All that was sent before has been taken: the fd that comes with BARRIER is
 * closed over there. */
static void wait_taken(int fd)
{
	struct pollfd p = { .events = POLLHUP };
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	send_with_fds(fd, "BARRIER=1", 9, fds[1], 1);
	close(fds[1]);
	p.fd = fds[0];
	ck_assert_int_eq(poll(&p, 1, RIG_DEADLINE_SEC * 1000), 1);
	close(fds[0]);
}

START_TEST(test_strangers_are_not_heard)
{
	struct rig *r = rig_start(flags_of[_i],
				  "[worker:a]\ntype = notify\n"
				  "command = %s hold USR1 print up await USR1 "
				  "notify READY=1 wait\n",
				  actor());
	static const char said[] = "READY=1\nSTATUS=forged\nX_REEVE_TASKS=5\n"
				   "WATCHDOG=trigger";
	int fd = connect_socket(r);

	rig_wait_file(rig_path(r, "log/a.out.log"), "up");
	ck_assert_int_eq(send(fd, said, sizeof(said) - 1, 0),
			 (ssize_t)sizeof(said) - 1);
	wait_taken(fd);
	close(fd);
	ck_assert_str_eq(rig_row(r, "a").state, "STARTING");
	ck_assert_str_eq(rig_row(r, "a").status, "");
	ck_assert_uint_eq(rig_row(r, "a").tasks, 0);
	ck_assert(rig_log_has(r, "of no worker's tree"));
	ck_assert_int_eq(kill(rig_pid(r, "a"), SIGUSR1), 0);
	rig_wait(r, "a", "RUNNING");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* Writes the REEVE_INVOCATION of a worker to a file. */
static void save_mark(struct rig *r, const char *name, const char *path)
{
	char environ_path[64], text[8192], *mark;
	size_t n;
	FILE *f;

	snprintf(environ_path, sizeof(environ_path), "/proc/%d/environ",
		 (int)rig_pid(r, name));
	f = fopen(environ_path, "re");
	ck_assert_ptr_nonnull(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	mark = memmem(text, n, "REEVE_INVOCATION=", 17);
	ck_assert_ptr_nonnull(mark);
	f = fopen(path, "we");
	ck_assert_ptr_nonnull(f);
	fputs(mark + 17, f);
	fclose(f);
}

/* A worker that borrows the mark of another one speaks for itself only. */
START_TEST(test_other_trees_are_not_heard)
{
	struct rig *r = rig_start(
		flags_of[_i],
		"[worker:a]\ntype = notify\ncommand = %s hold USR1 print up "
		"await USR1 wait\n"
		"[worker:b]\nstartsecs = 0\nautostart = false\n"
		"command = /bin/sh -c 'export REEVE_INVOCATION=$(cat %s); "
		"%s notify STATUS=mine notify READY=1 wait & wait'\n",
		actor(), HERE "/mark", actor());

	rig_wait_file(rig_path(r, "log/a.out.log"), "up");
	save_mark(r, "a", rig_path(r, "mark"));
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "start", "b", NULL), 0);
	wait_status(r, "b", "mine");
	ck_assert_str_eq(rig_row(r, "a").state, "STARTING");
	ck_assert_str_eq(rig_row(r, "a").status, "");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* Children, of whatever environment, and orphans with the mark. */
START_TEST(test_the_family_is_heard)
{
	struct rig *r = rig_start(
		flags_of[_i],
		"[worker:child]\ntype = notify\n"
		"command = %s fork { notify READY=1 wait } wait\n"
		"[worker:bare]\ntype = notify\n"
		"command = /bin/sh -c 'env -i NOTIFY_SOCKET=$NOTIFY_SOCKET "
		"%s notify READY=1 wait & wait'\n"
		"[worker:orphan]\ntype = notify\n"
		"command = %s daemon { setsid notify READY=1 wait } wait\n",
		actor(), actor(), actor());

	rig_wait(r, "child", "RUNNING");
	rig_wait(r, "bare", "RUNNING");
	rig_wait(r, "orphan", "RUNNING");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* ---- hostile senders ----------------------------------------------------------- */

/* How many fds reeved has open between two turns: who sent what was taken last
 * may still be looked at, but not after an answer. */
static size_t count_fds_at_rest(struct rig *r, int fd)
{
	wait_taken(fd);
	(void)rig_row(r, "a");
	return process_count_fds(rig_daemon_pid(r));
}

START_TEST(test_garbage)
{
	struct rig *r = rig_start(flags_of[_i],
				  "[worker:a]\ncommand = %s wait\n"
				  "startsecs = 0\n",
				  actor());
	static char data[65536];
	int fd = connect_socket(r);
	size_t before;

	rig_wait(r, "a", "RUNNING");
	before = count_fds_at_rest(r, fd);
	for (int i = 0; i < 300; i++) {
		size_t len = (size_t)(i * 211) % sizeof(data);

		for (size_t k = 0; k < len; k++)
			data[k] = (char)rand();
		/* 253: as many as the kernel lets through at once */
		send_with_fds(fd, data, len, fd, i % 3 ? 253 : 0);
	}
	ck_assert_uint_le(count_fds_at_rest(r, fd), before);
	close(fd);
	ck_assert_uint_eq(rig_row(r, "a").restarts, 0);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* As many datagrams may wait as systemd lets wait on its machines: so that the
 * socket never runs dry. Where that is not ours to set, fewer have to do. */
static void lengthen_queue(void)
{
	FILE *f = unshare(CLONE_NEWNET) < 0
			  ? NULL
			  : fopen("/proc/sys/net/unix/max_dgram_qlen", "we");

	if (!f) {
		puts("SKIP: the length of sockets' queues needs root");
		return;
	}
	fputs("512\n", f);
	fclose(f);
}

/* Enough senders to keep the socket full: the others are heard, restarted and
 * shown all the same. */
START_TEST(test_flood_starves_nobody)
{
	enum { ROUNDS = 5 };
	struct rig *r;

	lengthen_queue();
	r = rig_start(
		flags_of[_i],
		"[worker:flood]\nstartsecs = 0\nnumprocs = 4\n"
		"command = %s fork { shout STATUS=a } fork { shout STATUS=b } "
		"shout X_REEVE_TASKS=0\nstopsignal = KILL\n"
		"[worker:calm]\ntype = notify\nrestart_delay = 0\n"
		"command = %s notify READY=1 tasks 1000000 10\n",
		actor(), actor());

	for (int i = 0; i < 4; i++) {
		char name[16];

		snprintf(name, sizeof(name), "flood:%d", i);
		rig_wait(r, name, "RUNNING");
	}
	rig_wait(r, "calm", "RUNNING");
	for (int i = 0; i < ROUNDS; i++) {
		pid_t old = rig_pid(r, "calm");

		rig_wait_row(r, "calm", has_tasks, 10);
		ck_assert_int_eq(kill(old, SIGKILL), 0);
		(void)rig_wait_replaced(r, "calm", old);
		ck_assert_int_eq(rig_reeve(r, NULL, NULL, "status", NULL), 0);
	}
	ck_assert_uint_eq(rig_row(r, "calm").restarts, ROUNDS);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

UNIT_LOOP_MAIN("notify", EACH_GUARANTEE, test_status,
	       test_status_ends_with_its_process, test_heartbeats_keep_alive,
	       test_watchdog_asked_for_by_the_worker, test_more_time_to_start,
	       test_more_time_to_stop, test_tasks,
	       test_main_pid_of_its_own_tree, test_main_pid_of_strangers,
	       test_strangers_are_not_heard, test_other_trees_are_not_heard,
	       test_the_family_is_heard, test_garbage,
	       test_flood_starves_nobody)
