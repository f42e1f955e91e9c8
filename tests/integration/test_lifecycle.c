/* The states of workers with real processes: starts, failures, backoff, limits,
 * stops, oneshots, readiness, recycling. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/core/verbs.h"
#include "tests/lib/actor.h"
#include "tests/lib/rig.h"
#include "tests/lib/unit.h"

START_TEST(test_start_and_stop)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\ncommand = %s wait\n"
				  "startsecs = 0\n",
				  actor());
	struct rig_row row;

	rig_wait(r, "a", "RUNNING");
	row = rig_row(r, "a");
	ck_assert_int_gt(row.pid, 0);
	ck_assert_uint_eq(row.restarts, 0);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "a", NULL), 0);
	row = rig_row(r, "a");
	ck_assert_str_eq(row.state, "STOPPED");
	ck_assert_int_eq(row.exit_code, -SIGTERM);
	ck_assert_uint_eq(row.flags & LIST_FAULT, 0);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_killed_worker_is_replaced)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\ncommand = %s wait\n"
				  "startsecs = 0\nautorestart = true\n",
				  actor());
	pid_t old;

	rig_wait(r, "a", "RUNNING");
	old = rig_pid(r, "a");
	ck_assert_int_eq(kill(old, SIGKILL), 0);
	rig_wait_replaced(r, "a", old);
	ck_assert_int_eq(rig_row(r, "a").exit_code, -SIGKILL);
	ck_assert_uint_eq(rig_row(r, "a").restarts, 1);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_startsecs_tells_ready)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\ncommand = %s wait\n"
				  "startsecs = 0.3\n",
				  actor());

	rig_wait(r, "a", "STARTING");
	rig_wait(r, "a", "RUNNING");
	ck_assert_uint_ge(rig_row(r, "a").uptime_usec, 300000);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_start_failures_end_in_fatal)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\ncommand = %s mark %s exit 3\n"
				  "startretries = 2\nrestart_delay = 0.01\n",
				  actor(), "%(here)s/starts");
	char *starts;
	int n = 0;

	rig_wait(r, "a", "FATAL");
	ck_assert_int_eq(rig_row(r, "a").exit_code, 3);
	ck_assert_uint_ne(rig_row(r, "a").flags & LIST_FAULT, 0);
	starts = rig_read_file(rig_path(r, "starts"));
	for (char *p = starts; *p; p++)
		n += *p == '\n';
	ck_assert_int_eq(n, 3); /* the start and two retries */
	free(starts);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "status", NULL), 3);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_exec_failure_says_why)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\n"
				  "command = ./goes-away\ndirectory = %s\n"
				  "startretries = 0\n",
				  "%(here)s");

	rig_wait(r, "a", "FATAL");
	ck_assert_ptr_nonnull(
		strstr(rig_row(r, "a").error, "No such file or directory"));
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_autorestart_unexpected)
{
	struct rig *r = rig_start(
		0,
		"[worker:ok]\ncommand = %s pause 50 exit 7\nexitcodes = 0 7\n"
		"startsecs = 0\n"
		"[worker:bad]\ncommand = %s once %s 9 wait\nstartsecs = 0\n"
		"[worker:never]\ncommand = %s pause 50 exit 9\nstartsecs = 0\n"
		"autorestart = false\n",
		actor(), actor(), "%(here)s/once", actor());

	rig_wait(r, "ok", "EXITED");
	ck_assert_uint_eq(rig_row(r, "ok").flags & LIST_FAULT, 0);
	rig_wait(r, "never", "EXITED");
	ck_assert_uint_ne(rig_row(r, "never").flags & LIST_FAULT, 0);
	rig_wait_row(r, "bad", rig_has_restarts, 1);
	rig_wait(r, "bad", "RUNNING");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_restart_limit)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\ncommand = %s exit 1\n"
				  "startsecs = 0\nrestart_delay = 0.01\n"
				  "restart_limit = 3/1min\n",
				  actor());

	rig_wait(r, "a", "FATAL");
	ck_assert_uint_eq(rig_row(r, "a").restarts, 3);
	/* start makes it try again */
	ck_assert_int_eq(
		rig_reeve(r, NULL, NULL, "start", "--no-wait", "a", NULL), 0);
	rig_wait(r, "a", "FATAL");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_stop_ladder)
{
	struct rig *r = rig_start(
		0,
		"[worker:a]\n"
		"command = %s ignore TERM ignore INT print ready wait\n"
		"startsecs = 0\n"
		"stopsignal = TERM:0.1 INT:0.1 KILL\n",
		actor());

	rig_wait(r, "a", "RUNNING");
	rig_wait_file(rig_path(r, "log/a.out.log"), "ready");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "a", NULL), 0);
	ck_assert_int_eq(rig_row(r, "a").exit_code, -SIGKILL);
	ck_assert(rig_log_has(r, "worker=a state=KILLING from=STOPPING"));
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_second_stop_is_now)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\n"
				  "command = %s ignore TERM print ready wait\n"
				  "startsecs = 0\nstopwaitsecs = 1h\n",
				  actor());

	rig_wait(r, "a", "RUNNING");
	rig_wait_file(rig_path(r, "log/a.out.log"), "ready");
	ck_assert_int_eq(
		rig_reeve(r, NULL, NULL, "--no-wait", "stop", "a", NULL), 0);
	rig_wait(r, "a", "STOPPING");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "a", NULL), 0);
	ck_assert_str_eq(rig_row(r, "a").state, "STOPPED");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_start_during_stop)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\n"
				  "command = %s ignore TERM print ready wait\n"
				  "startsecs = 0\nstopwaitsecs = 0.3\n",
				  actor());
	pid_t old;

	rig_wait(r, "a", "RUNNING");
	rig_wait_file(rig_path(r, "log/a.out.log"), "ready");
	old = rig_pid(r, "a");
	ck_assert_int_eq(
		rig_reeve(r, NULL, NULL, "--no-wait", "stop", "a", NULL), 0);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "start", "a", NULL), 0);
	ck_assert_int_ne(rig_pid(r, "a"), old);
	ck_assert(!rig_is_alive(old));
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_notify_ready)
{
	struct rig *r =
		rig_start(0,
			  "[worker:a]\n"
			  "command = %s pause 100 notify READY=1 notify "
			  "STATUS=hello wait\n"
			  "type = notify\n"
			  "[worker:never]\ncommand = %s wait\ntype = notify\n"
			  "start_timeout = 0.2\nstartretries = 0\n",
			  actor(), actor());

	rig_wait(r, "a", "STARTING");
	rig_wait(r, "a", "RUNNING");
	rig_wait(r, "never", "FATAL");
	while (strcmp(rig_row(r, "a").status, "hello") != 0)
		; /* the deadline is the test's */
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_oneshot)
{
	struct rig *r = rig_start(
		0,
		"[worker:good]\ncommand = %s pause 100 exit 0\n"
		"type = oneshot\nautostart = false\n"
		"[worker:bad]\ncommand = %s exit 4\ntype = oneshot\n"
		"startretries = 1\nrestart_delay = 0.01\nautostart = false\n",
		actor(), actor());

	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "start", "good", NULL), 0);
	ck_assert_str_eq(rig_row(r, "good").state, "EXITED");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "start", "bad", NULL), 1);
	rig_wait(r, "bad", "FATAL");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_recycle_by_tasks)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\n"
				  "command = %s tasks 1000000 5\n"
				  "startsecs = 0\nnumprocs = 3\n"
				  "maxtasksperchild = 4\n",
				  actor());

	rig_wait_row(r, "a:0", rig_has_recycles, 3);
	rig_wait_row(r, "a:1", rig_has_recycles, 3);
	rig_wait_row(r, "a:2", rig_has_recycles, 3);
	ck_assert_uint_eq(rig_row(r, "a:0").restarts, 0);
	ck_assert_uint_eq(rig_row(r, "a:0").failures, 0);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "status", NULL), 0);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_watchdog)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\n"
				  "command = %s notify READY=1 wait\n"
				  "type = notify\nwatchdog_sec = 0.2\n"
				  "restart_delay = 0.01\n",
				  actor());

	rig_wait_row(r, "a", rig_has_restarts, 1);
	ck_assert_int_eq(rig_row(r, "a").exit_code, -SIGABRT);
	ck_assert(rig_log_has(r, "no WATCHDOG=1"));
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_essential)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\ncommand = %s pause 200 exit 1\n"
				  "startretries = 0\nessential = true\n"
				  "[worker:b]\ncommand = %s wait\n",
				  actor(), actor());

	ck_assert_int_eq(rig_join(r), 152);
}
END_TEST

START_TEST(test_priorities)
{
	struct rig *r = rig_start(
		0,
		"[worker:late]\ncommand = %s mark %s wait\npriority = 2\n"
		"startsecs = 0\n"
		"[worker:early]\ncommand = %s mark %s wait\npriority = 1\n"
		"startsecs = 0\n",
		actor(), "%(here)s/order", actor(), "%(here)s/order");
	char *log, *early, *late;

	rig_wait(r, "late", "RUNNING");
	rig_wait(r, "early", "RUNNING");
	log = rig_read_file(rig_path(r, "reeved.log"));
	early = strstr(log, "worker=early state=STARTING");
	late = strstr(log, "worker=late state=STARTING");
	ck_assert(early && late && early < late);
	free(log);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* The one child of reeved that is no worker. */
static pid_t find_spawner(struct rig *r)
{
	char path[64], *text, *p, *end;
	pid_t worker = rig_pid(r, "a"), found = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children",
		 (int)rig_daemon_pid(r), (int)rig_daemon_pid(r));
	text = rig_read_file(path);
	for (p = text; *p; p = end) {
		pid_t pid = (pid_t)strtol(p, &end, 10);

		if (end == p)
			break;
		if (pid != worker)
			found = pid;
		end += strspn(end, " \n");
	}
	free(text);
	ck_assert_int_gt(found, 0);
	return found;
}

START_TEST(test_spawner_dies_or_hangs)
{
	static const int signals[] = { SIGKILL, SIGSTOP };
	struct rig *r = rig_start(0,
				  "[worker:a]\ncommand = %s wait\n"
				  "startsecs = 0\nautorestart = true\n"
				  "restart_delay = 0\n",
				  actor());
	pid_t old, spawner;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		rig_wait(r, "a", "RUNNING");
		old = rig_pid(r, "a");
		spawner = find_spawner(r);
		ck_assert_int_eq(kill(spawner, signals[i]), 0);
		/* its workers live on, and are replaced as ever */
		ck_assert_int_eq(rig_reeve(r, NULL, NULL, "status", NULL), 0);
		ck_assert_int_eq(rig_pid(r, "a"), old);
		ck_assert_int_eq(kill(old, SIGKILL), 0);
		rig_wait_replaced(r, "a", old);
		rig_wait_gone(spawner);
	}
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

UNIT_MAIN("lifecycle", test_spawner_dies_or_hangs, test_start_and_stop,
	  test_killed_worker_is_replaced, test_startsecs_tells_ready,
	  test_start_failures_end_in_fatal, test_exec_failure_says_why,
	  test_autorestart_unexpected, test_restart_limit, test_stop_ladder,
	  test_second_stop_is_now, test_start_during_stop, test_notify_ready,
	  test_oneshot, test_recycle_by_tasks, test_watchdog, test_essential,
	  test_priorities)
