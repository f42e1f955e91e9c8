/* When the machine has nothing left to give: no process, no fd, no memory. It
 * is reeved's trouble then and not the worker's: nothing counts against it,
 * others are served meanwhile, and all is well again by itself. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <systemd/sd-bus.h>

#include "supervisor/core/verbs.h"
#include "tests/lib/actor.h"
#include "tests/lib/ordinary.h"
#include "tests/lib/process.h"
#include "tests/lib/rig.h"
#include "tests/lib/unit.h"

#define WAITER	    "command = %s wait\nstartsecs = 0\n"
#define FEW	    8 /* fds: less than reeved has open */
#define HELPERS_MAX 8
#define FORKS	    "clone,clone3,fork,vfork"
/* One failed start of its own would be the end of it. */
#define DELICATE "startretries = 0\nrestart_limit = 1/1h\n" WAITER

/* ---- no process -------------------------------------------------------------- */

/* A limit of the running reeved and its helpers, set as the user it runs as: root may not, for
 * others, where it has no CAP_SYS_RESOURCE. */
struct limit {
	pid_t pid;
	int uid; /* 0: ours */
	__rlimit_resource_t which;
	rlim_t soft;
};

static void set_limit(void *arg)
{
	const struct limit *l = arg;
	const uid_t id = (uid_t)l->uid;
	struct rlimit value;

	if (id > 0 && (setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0))
		_exit(1);
	if (prlimit(l->pid, l->which, NULL, &value) < 0)
		_exit(2);
	value.rlim_cur = MIN(l->soft, value.rlim_max);
	_exit(prlimit(l->pid, l->which, &value, NULL) < 0 ? 3 : 0);
}

static void limit(struct rig *r, int uid, __rlimit_resource_t which,
		  rlim_t soft)
{
	pid_t pids[HELPERS_MAX + 1] = { rig_daemon_pid(r) };
	size_t n = 1 + process_helpers(pids[0], pids + 1, HELPERS_MAX);

	for (size_t i = 0; i < n; i++) {
		struct limit l = { pids[i], uid, which, soft };

		ck_assert_int_eq(unit_fork(set_limit, &l, NULL), 0);
	}
}

/* Until that many starts have failed for our want of something. */
static void wait_tried(struct rig *r, size_t times)
{
	size_t n;

	do {
		char *log = rig_read_file(rig_path(r, "reeved.log"));

		n = 0;
		for (const char *p = log; (p = strstr(p, "; trying again"));
		     p++)
			n++;
		free(log);
	} while (n < times);
}

/* What was our trouble does not count: running, and nothing is remembered. */
static void check_unharmed(struct rig *r, const char *name)
{
	struct rig_row row;

	rig_wait(r, name, "RUNNING");
	row = rig_row(r, name);
	ck_assert_uint_eq(row.failures, 0);
	ck_assert_str_eq(row.error, "");
}

START_TEST(test_no_process)
{
	struct rig *r;
	pid_t still;
	int uid;

	if (getuid() != 0) {
		puts("SKIP: not root: RLIMIT_NPROC of a user of its own");
		return;
	}
	uid = ordinary_reeved();
	r = rig_start(0,
		      "[worker:a]\nautostart = false\n" DELICATE
		      "[worker:still]\n" WAITER,
		      actor(), actor());
	rig_wait(r, "still", "RUNNING");
	still = rig_pid(r, "still");
	limit(r, uid, RLIMIT_NPROC, 1);
	ck_assert_int_eq(
		rig_reeve(r, NULL, NULL, "start", "--no-wait", "a", NULL), 0);
	rig_wait(r, "a", "BACKOFF");
	ck_assert_ptr_nonnull(strstr(rig_row(r, "a").error, strerror(EAGAIN)));
	/* tried again and again; others are served */
	wait_tried(r, 3);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "status", "still", NULL), 0);
	ck_assert_str_eq(rig_row(r, "a").state, "BACKOFF");
	limit(r, uid, RLIMIT_NPROC, RLIM_INFINITY);
	check_unharmed(r, "a");
	ck_assert_int_eq(rig_pid(r, "still"), still);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* A worker that waits for a process can be stopped, and asked for again. */
START_TEST(test_stopped_while_there_is_no_process)
{
	struct rig *r = rig_start(0, "[worker:a]\nautostart = false\n" DELICATE,
				  actor());
	pid_t strace = inject_begin(rig_daemon_pid(r), FORKS ":error=EAGAIN");

	if (strace == 0) {
		ck_assert_int_eq(rig_stop(r), 0);
		return;
	}
	ck_assert_int_eq(
		rig_reeve(r, NULL, NULL, "start", "--no-wait", "a", NULL), 0);
	rig_wait(r, "a", "BACKOFF");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "a", NULL), 0);
	ck_assert_str_eq(rig_row(r, "a").state, "STOPPED");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "start", "a", NULL), 1);
	inject_end(strace);
	check_unharmed(r, "a");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* Neither can a reload's helper be started then: refused, nothing changes. */
START_TEST(test_reload_without_process)
{
	struct rig *r = rig_start(0, "[worker:a]\n" WAITER, actor());
	pid_t strace, a;
	char *problems;

	rig_wait(r, "a", "RUNNING");
	a = rig_pid(r, "a");
	strace = inject_begin(rig_daemon_pid(r), FORKS ":error=EAGAIN");
	if (strace > 0) {
		rig_write_config(r, "[worker:b]\n" WAITER, actor());
		ck_assert_int_eq(rig_reeve(r, NULL, &problems, "reload", NULL),
				 1);
		ck_assert_msg(strstr(problems, strerror(EAGAIN)), "%s",
			      problems);
		free(problems);
		inject_end(strace);
		ck_assert_int_eq(rig_pid(r, "a"), a);
		ck_assert_int_eq(rig_reeve(r, NULL, NULL, "reload", NULL), 0);
		rig_wait(r, "b", "RUNNING");
	}
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* ---- no fd -------------------------------------------------------------------- */

/* Nobody can connect then: this connection is from before. */
static sd_bus *connect_bus(struct rig *r)
{
	char address[300];
	sd_bus *bus = NULL;

	snprintf(address, sizeof(address), "unix:path=%s", rig_socket(r));
	ck_assert_int_ge(sd_bus_new(&bus), 0);
	ck_assert_int_ge(sd_bus_set_address(bus, address), 0);
	ck_assert_int_ge(sd_bus_start(bus), 0);
	ck_assert_int_ge(sd_bus_call_method(bus, NULL, REEVE_BUS_PATH,
					    "org.freedesktop.DBus.Peer", "Ping",
					    NULL, NULL, ""),
			 0);
	return bus;
}

static void start_over(sd_bus *bus, const char *name)
{
	ck_assert_int_ge(sd_bus_call_method(bus, NULL, REEVE_BUS_PATH,
					    REEVE_BUS_INTERFACE, "Start", NULL,
					    NULL, "asu", 1, name, VERB_NO_WAIT),
			 0);
}

START_TEST(test_no_fd)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\nautostart = false\n" DELICATE
				  "[worker:still]\n" WAITER,
				  actor(), actor());
	sd_bus *bus = connect_bus(r);
	pid_t still;

	rig_wait(r, "still", "RUNNING");
	still = rig_pid(r, "still");
	limit(r, 0, RLIMIT_NOFILE, FEW);
	start_over(bus, "a");
	rig_wait(r, "a", "BACKOFF");
	ck_assert_ptr_nonnull(strstr(rig_row(r, "a").error, strerror(EMFILE)));
	wait_tried(r, 3);
	ck_assert_str_eq(rig_row(r, "a").state, "BACKOFF");
	ck_assert_int_eq(rig_pid(r, "still"), still);
	limit(r, 0, RLIMIT_NOFILE, RLIM_INFINITY);
	check_unharmed(r, "a");
	sd_bus_close_unref(bus);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* It takes fds to see what of a tree still lives. Without, nothing must be
 * taken for gone: no new process beside what is left of the old. */
static void check_tree_without_fds(int flags)
{
	struct rig *r = rig_start(flags,
				  "[worker:a]\ncommand = %s daemon { mark %s "
				  "wait } wait\nstartsecs = 0\n"
				  "autorestart = true\n",
				  actor(), "%(here)s/orphans");
	char *text;
	pid_t leader, orphan;

	rig_wait_file(rig_path(r, "orphans"), "\n");
	text = rig_read_file(rig_path(r, "orphans"));
	orphan = (pid_t)strtol(text, NULL, 10);
	free(text);
	leader = rig_pid(r, "a");
	limit(r, 0, RLIMIT_NOFILE, FEW);
	ck_assert_int_eq(kill(leader, SIGKILL), 0);
	rig_wait_gone(leader);
	for (int i = 0; i < 100; i++) { /* 0.3 s: not taken for gone */
		ck_assert_str_ne(rig_row(r, "a").state, "BACKOFF");
		(void)poll(NULL, 0, 3);
	}
	limit(r, 0, RLIMIT_NOFILE, RLIM_INFINITY);
	rig_wait_replaced(r, "a", leader);
	ck_assert_msg(!rig_is_alive(orphan), "a new one runs beside the old");
	ck_assert_int_eq(rig_stop(r), 0);
}

START_TEST(test_no_fd_for_the_end_of_a_tree)
{
	check_tree_without_fds(0);
}
END_TEST

START_TEST(test_no_fd_for_the_end_of_a_tree_without_cgroup)
{
	check_tree_without_fds(RIG_NO_CGROUP);
}
END_TEST

/* ---- no memory ----------------------------------------------------------------- */

/* The rig's own connection may be one of those that are dropped. */
static pid_t pid_by_cli(struct rig *r, const char *name)
{
	char *text;
	pid_t pid;

	(void)rig_reeve(r, &text, NULL, "wait", "RUNNING", name, NULL);
	free(text);
	(void)rig_reeve(r, &text, NULL, "pid", name, NULL);
	pid = (pid_t)strtol(text, NULL, 10);
	free(text);
	return pid;
}

/* More than fits into what reeved has at hand. */
static void write_large_config(struct rig *r)
{
	static char text[4 << 20];

	memset(text, ';', sizeof(text) - 1);
	for (size_t i = 80; i < sizeof(text) - 1; i += 80)
		text[i] = '\n';
	rig_write_config(r,
			 "[worker:a]\nautorestart = true\n"
			 "rlimit_data = unlimited\n" WAITER "%s\n",
			 actor(), text);
}

/* Its heap cannot grow: clients may be turned away, but no worker is lost. */
START_TEST(test_no_memory)
{
	struct rig *r;
	pid_t a;

	if (getenv("REEVE_SANITIZED")) {
		puts("SKIP: no memory: a sanitizer's own malloc ends the "
		     "program then");
		return;
	}
	r = rig_start(0,
		      "[worker:a]\nautorestart = true\n"
		      "rlimit_data = unlimited\n" WAITER,
		      actor());
	rig_wait(r, "a", "RUNNING");
	a = rig_pid(r, "a");
	write_large_config(r);
	limit(r, 0, RLIMIT_DATA, 1);
	for (int i = 0; i < 5; i++) {
		(void)rig_reeve(r, NULL, NULL, "status", NULL);
		(void)rig_reeve(r, NULL, NULL, "config", NULL);
		ck_assert_int_ne(rig_reeve(r, NULL, NULL, "reload", NULL), 0);
		if (i == 2)
			ck_assert_int_eq(kill(a, SIGKILL), 0);
	}
	limit(r, 0, RLIMIT_DATA, RLIM_INFINITY);
	while (pid_by_cli(r, "a") == a)
		;
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "reload", NULL), 0);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

UNIT_MAIN("exhaustion", test_no_process, test_stopped_while_there_is_no_process,
	  test_reload_without_process, test_no_fd,
	  test_no_fd_for_the_end_of_a_tree,
	  test_no_fd_for_the_end_of_a_tree_without_cgroup, test_no_memory)
