/* The control socket: a second client that nobody here wrote, who may do what,
 * and clients that are slow, silent, greedy or broken. */
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <systemd/sd-bus.h>

#include "supervisor/core/verbs.h"
#include "supervisor/daemon/control.h"
#include "tests/lib/actor.h"
#include "tests/lib/rig.h"
#include "tests/lib/unit.h"
#include "workers/base/sys/clock.h"

#define WAITER	 "[worker:a]\ncommand = %s wait\nstartsecs = 0\n"
#define STRANGER 65534

static int connect_raw(struct rig *r)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", rig_socket(r));
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)),
			 0);
	return fd;
}

static void send_text(int fd, const void *data, size_t len)
{
	(void)send(fd, data, len, MSG_NOSIGNAL);
}

/* The SASL handshake of D-Bus, as root or this user. */
static void authenticate(int fd)
{
	char text[64], hex[32] = "", uid[16], answer[256];
	int n = snprintf(uid, sizeof(uid), "%d", (int)getuid());

	for (int i = 0; i < n; i++)
		snprintf(hex + 2 * i, 3, "%02x", uid[i]);
	send_text(fd, "", 1);
	n = snprintf(text, sizeof(text), "AUTH EXTERNAL %s\r\n", hex);
	send_text(fd, text, (size_t)n);
	ck_assert_int_gt(recv(fd, answer, sizeof(answer), 0), 0);
	send_text(fd, "BEGIN\r\n", 7);
}

/* True when the other side hangs up within the test's deadline. */
static bool is_cut_off(int fd)
{
	char c[4096];
	ssize_t n;

	while ((n = recv(fd, c, sizeof(c), 0)) > 0)
		;
	return n == 0 || errno == ECONNRESET;
}

START_TEST(test_status_and_actions_by_cli)
{
	struct rig *r = rig_start(0,
				  WAITER "[worker:b]\ncommand = %s wait\n"
					 "autostart = false\n",
				  actor(), actor());
	char *out, *err;

	rig_wait(r, "a", "RUNNING");
	ck_assert_int_eq(rig_reeve(r, &out, NULL, NULL), 0);
	ck_assert_ptr_nonnull(strstr(out, "RUNNING"));
	ck_assert_ptr_nonnull(strstr(out, "STOPPED"));
	free(out);
	ck_assert_int_eq(rig_reeve(r, NULL, &err, "stop", "nobody", NULL), 5);
	ck_assert_ptr_nonnull(strstr(err, "nobody"));
	free(err);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "status", "nobody", NULL), 4);
	/* idempotent */
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "start", "a", NULL), 0);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "b", NULL), 0);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "restart", "b", NULL), 0);
	ck_assert_str_eq(rig_row(r, "b").state, "RUNNING");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "shutdown", NULL), 0);
	ck_assert_int_eq(rig_join(r), 0);
}
END_TEST

START_TEST(test_wait_times_out)
{
	struct rig *r = rig_start(0, WAITER, actor());

	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "wait", "RUNNING", "a", NULL),
			 0);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "--timeout", "0.1", "wait",
				   "FATAL", "a", NULL),
			 1);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

struct busctl {
	struct rig *rig;
	const char *const *args;
};

static void exec_busctl(void *arg)
{
	const struct busctl *b = arg;
	const char *argv[16] = { "busctl" };
	char address[300];
	int n = 2;

	snprintf(address, sizeof(address), "--address=unix:path=%s",
		 rig_socket(b->rig));
	argv[1] = address;
	for (const char *const *a = b->args; *a; a++)
		argv[n++] = *a;
	execv("/usr/bin/busctl", (char *const *)(uintptr_t)argv);
	_exit(126);
}

#define run_busctl(r, out, ...)                                                \
	unit_fork(exec_busctl,                                                 \
		  &(struct busctl){                                            \
			  r, (const char *const[]){ __VA_ARGS__, NULL } },     \
		  out)

START_TEST(test_busctl)
{
	struct rig *r = rig_start(0, WAITER, actor());
	char *out;

	if (access("/usr/bin/busctl", X_OK) < 0) {
		puts("skipped: no busctl");
		ck_assert_int_eq(rig_stop(r), 0);
		return;
	}
	ck_assert_int_eq(run_busctl(r, &out, "tree", REEVE_BUS_NAME), 0);
	ck_assert_ptr_nonnull(strstr(out, REEVE_BUS_WORKER_PATH "/a"));
	free(out);
	ck_assert_int_eq(run_busctl(r, &out, "introspect", REEVE_BUS_NAME,
				    REEVE_BUS_PATH),
			 0);
	for (size_t i = 0; i < VERB_COUNT; i++)
		if (verb_table[i].member)
			ck_assert_ptr_nonnull(
				strstr(out, verb_table[i].member));
	ck_assert_ptr_nonnull(strstr(out, "StateChanged"));
	free(out);
	ck_assert_int_eq(run_busctl(r, &out, "call", REEVE_BUS_NAME,
				    REEVE_BUS_PATH, REEVE_BUS_INTERFACE, "Stop",
				    "asu", "1", "a", "0"),
			 0);
	ck_assert_ptr_nonnull(strstr(out, "done"));
	free(out);
	ck_assert_int_eq(run_busctl(r, &out, "get-property", REEVE_BUS_NAME,
				    REEVE_BUS_WORKER_PATH "/a",
				    REEVE_BUS_WORKER_INTERFACE, "State"),
			 0);
	ck_assert_ptr_nonnull(strstr(out, "STOPPED"));
	free(out);
	ck_assert_int_ne(run_busctl(r, &out, "call", REEVE_BUS_NAME,
				    REEVE_BUS_PATH, REEVE_BUS_INTERFACE, "Stop",
				    "asu", "1", "nobody", "0"),
			 0);
	ck_assert_ptr_nonnull(strstr(out, "nobody"));
	free(out);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

static sd_bus *connect_bus(struct rig *r)
{
	char address[300];
	sd_bus *bus = NULL;

	snprintf(address, sizeof(address), "unix:path=%s", rig_socket(r));
	ck_assert_int_ge(sd_bus_new(&bus), 0);
	ck_assert_int_ge(sd_bus_set_address(bus, address), 0);
	ck_assert_int_ge(sd_bus_start(bus), 0);
	return bus;
}

static int on_signal(sd_bus_message *m, void *userdata,
		     sd_bus_error *error _unused_)
{
	const char *worker, *from, *to;

	ck_assert_int_ge(sd_bus_message_read(m, "sss", &worker, &from, &to), 0);
	ck_assert_str_eq(worker, "a");
	if (strcmp(to, "STOPPED") == 0)
		*(bool *)userdata = true;
	return 0;
}

START_TEST(test_state_changed_is_told)
{
	struct rig *r = rig_start(0, WAITER, actor());
	sd_bus *bus = connect_bus(r);
	bool told = false;

	ck_assert_int_ge(sd_bus_match_signal(bus, NULL, NULL, REEVE_BUS_PATH,
					     REEVE_BUS_INTERFACE,
					     "StateChanged", on_signal, &told),
			 0);
	/* a round trip: the daemon knows this connection now */
	ck_assert_int_ge(sd_bus_call_method(bus, NULL, REEVE_BUS_PATH,
					    "org.freedesktop.DBus.Peer", "Ping",
					    NULL, NULL, ""),
			 0);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "a", NULL), 0);
	while (!told) {
		ck_assert_int_ge(sd_bus_process(bus, NULL), 0);
		ck_assert_int_ge(sd_bus_wait(bus, 100000), 0);
	}
	sd_bus_close_unref(bus);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* ---- who may what --------------------------------------------------------- */

struct attempt {
	struct rig *rig;
	gid_t gid;
	const struct verb *verb;
};

/* Empty arguments of the right types: what is wrong with them is found behind
 * the check of access. */
static int append_nothing(sd_bus_message *m, const char *types)
{
	int r = 0;

	for (; *types && r >= 0; types++) {
		uint64_t zero = 0;

		if (*types == 'a') {
			types++;
			r = sd_bus_message_append(m, "as", 0);
		} else if (*types == 's') {
			r = sd_bus_message_append(m, "s", "");
		} else {
			r = sd_bus_message_append_basic(m, *types, &zero);
		}
	}
	return r;
}

static int call_with_nothing(sd_bus *bus, const struct verb *v,
			     sd_bus_error *error)
{
	sd_bus_message *m = NULL;
	int r;

	r = sd_bus_message_new_method_call(bus, &m, NULL, REEVE_BUS_PATH,
					   REEVE_BUS_INTERFACE, v->member);
	if (r >= 0)
		r = append_nothing(m, v->in);
	if (r >= 0)
		r = sd_bus_call(bus, m, 0, error, NULL);
	sd_bus_message_unref(m);
	return r;
}

/* 0: it was let through (whatever came of it), 1: refused, 2: no connection */
static void attempt_as_stranger(void *arg)
{
	const struct attempt *a = arg;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus *bus = NULL;
	char address[300];
	int ret;

	if (setgroups(0, NULL) < 0 || setgid(a->gid) < 0 ||
	    setuid(STRANGER) < 0)
		_exit(9);
	snprintf(address, sizeof(address), "unix:path=%s", rig_socket(a->rig));
	if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, address) < 0)
		_exit(9);
	if (sd_bus_start(bus) < 0)
		_exit(2);
	ret = call_with_nothing(bus, a->verb, &error);
	if (ret >= 0)
		_exit(0);
	if (sd_bus_error_has_name(&error, SD_BUS_ERROR_ACCESS_DENIED))
		_exit(1);
	_exit(error.name && strstr(error.name, "Disconnected") ? 2 : 0);
}

static int attempt(struct rig *r, gid_t gid, const struct verb *v)
{
	struct attempt a = { r, gid, v };

	return unit_fork(attempt_as_stranger, &a, NULL);
}

START_TEST(test_access_of_each_verb)
{
	enum { GROUP = 54321 };
	struct rig *r;

	if (unit_lacks_root("clients of other users"))
		return;
	r = rig_start(0, "control_group = 54321\npublic_status = true\n" WAITER,
		      actor());
	for (size_t i = 0; i < VERB_COUNT; i++) {
		const struct verb *v = &verb_table[i];

		if (!v->member)
			continue;
		ck_assert_msg(attempt(r, STRANGER, v) ==
				      (v->access == ACCESS_READ ? 0 : 1),
			      "%s by a stranger", v->word);
		ck_assert_msg(attempt(r, GROUP, v) ==
				      (v->access == ACCESS_OWNER ? 1 : 0),
			      "%s by the group", v->word);
	}
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_socket_is_closed_to_strangers)
{
	struct rig *r;

	if (unit_lacks_root("clients of other users"))
		return;
	r = rig_start(0, WAITER, actor());
	ck_assert_int_eq(attempt(r, STRANGER, &verb_table[VERB_STATUS]), 2);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* ---- hostile clients ------------------------------------------------------ */

START_TEST(test_unfinished_messages_are_cut_off)
{
	struct rig *r = rig_start(0, WAITER, actor());
	static const char begun[16] = { 'l', 1, 0, 1, 0, 0, 0, 7, 1 };
	uint64_t start = clock_monotonic_usec();
	int fds[3];

	for (int i = 0; i < 3; i++)
		fds[i] = connect_raw(r);
	authenticate(fds[0]);
	send_text(fds[0], begun, sizeof(begun)); /* 112 MiB are to follow */
	authenticate(fds[1]);
	send_text(fds[1], begun, 3); /* not even a header */
	send_text(fds[2], "", 1);    /* never authenticates */
	/* meanwhile others are served */
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "status", NULL), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert(is_cut_off(fds[i]));
		close(fds[i]);
	}
	ck_assert_uint_ge(clock_monotonic_usec() - start, 4500000);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_garbage_ends_that_connection_only)
{
	struct rig *r = rig_start(0, WAITER, actor());
	char garbage[512];

	for (int k = 0; k < 50; k++) {
		int fd = connect_raw(r);

		for (size_t i = 0; i < sizeof(garbage); i++)
			garbage[i] = (char)rand();
		if (k % 2)
			authenticate(fd);
		send_text(fd, garbage, sizeof(garbage));
		shutdown(fd, SHUT_WR);
		ck_assert(is_cut_off(fd));
		close(fd);
	}
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "status", NULL), 0);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_connections_of_one_user_are_bounded)
{
	struct rig *r = rig_start(0, WAITER, actor());
	int fds[CONTROL_PER_UID];

	/* the rig itself has one */
	for (int i = 0; i < CONTROL_PER_UID - 1; i++) {
		fds[i] = connect_raw(r);
		authenticate(fds[i]);
	}
	fds[CONTROL_PER_UID - 1] = connect_raw(r);
	ck_assert(is_cut_off(fds[CONTROL_PER_UID - 1]));
	close(fds[0]);
	/* a place is free again, as soon as the daemon has seen it */
	while (rig_reeve(r, NULL, NULL, "status", NULL) != 0)
		;
	for (int i = 1; i < CONTROL_PER_UID; i++)
		close(fds[i]);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* Asks for status without ever reading an answer. */
START_TEST(test_client_that_does_not_read)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\ncommand = %s wait\n"
				  "numprocs = 300\nautostart = false\n",
				  actor());
	sd_bus *bus = connect_bus(r);
	char path[64], *status;
	long before, after;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)rig_daemon_pid(r));
	status = rig_read_file(path);
	before = strtol(strstr(status, "VmRSS:") + 6, NULL, 10);
	free(status);
	for (int i = 0; i < 3000; i++) {
		sd_bus_message *m = NULL;

		if (sd_bus_message_new_method_call(
			    bus, &m, NULL, REEVE_BUS_PATH, REEVE_BUS_INTERFACE,
			    "List") < 0 ||
		    sd_bus_message_append(m, "as", 0) < 0 ||
		    sd_bus_send(bus, m, NULL) < 0) {
			sd_bus_message_unref(m);
			break;
		}
		sd_bus_message_unref(m);
	}
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "status", NULL), 0);
	status = rig_read_file(path);
	after = strtol(strstr(status, "VmRSS:") + 6, NULL, 10);
	free(status);
	ck_assert_int_lt(after - before, 16 * 1024); /* kB */
	sd_bus_close_unref(bus);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* user + system ticks of a process */
static unsigned long cpu_ticks(pid_t pid)
{
	char path[64], *stat;
	unsigned long user = 0, system = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	stat = rig_read_file(path);
	ck_assert_int_eq(sscanf(strrchr(stat, ')') + 2,
				"%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
				"%lu %lu",
				&user, &system),
			 2);
	free(stat);
	return user + system;
}

START_TEST(test_no_fd_left_does_not_spin)
{
	struct rig *r = rig_start(0, WAITER, actor());
	struct rlimit old, low = { 8, 8 };
	pid_t pid = rig_daemon_pid(r);
	unsigned long before;
	int fd;

	rig_wait(r, "a", "RUNNING"); /* the rig's own connection is served */
	ck_assert_int_eq(prlimit(pid, RLIMIT_NOFILE, NULL, &old), 0);
	low.rlim_max = old.rlim_max;
	ck_assert_int_eq(prlimit(pid, RLIMIT_NOFILE, &low, NULL), 0);
	fd = connect_raw(r);
	rig_wait_log(r, "cannot accept clients");
	before = cpu_ticks(pid);
	for (int i = 0; i < 300; i++)
		(void)rig_row(r, "a"); /* its own connection still works */
	ck_assert_uint_lt(cpu_ticks(pid) - before, 100); /* a second */
	ck_assert_int_eq(prlimit(pid, RLIMIT_NOFILE, &old, NULL), 0);
	authenticate(fd); /* it waited, and is served now */
	close(fd);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

UNIT_MAIN("control", test_status_and_actions_by_cli, test_wait_times_out,
	  test_busctl, test_state_changed_is_told, test_access_of_each_verb,
	  test_socket_is_closed_to_strangers,
	  test_unfinished_messages_are_cut_off,
	  test_garbage_ends_that_connection_only,
	  test_connections_of_one_user_are_bounded,
	  test_client_that_does_not_read, test_no_fd_left_does_not_spin)
