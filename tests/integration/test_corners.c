#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tests/lib/actor.h"
#include "tests/lib/rig.h"
#include "tests/lib/unit.h"

/* A: MAINPID while the tree of a dead leader is being stopped */
START_TEST(test_main_pid_after_the_leader)
{
	struct rig *r = rig_start(
		RIG_NO_CGROUP,
		"[worker:a]\ntype = notify\nstopwaitsecs = 1\ncommand = %s "
		"fork { ignore TERM hold TERM setsid fork { ignore TERM wait } "
		"notify READY=1 await TERM main wait } wait\n",
		actor());
	rig_wait(r, "a", "RUNNING");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "a", NULL), 0);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "start", "a", NULL), 0);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* B: tasks while STARTING */
START_TEST(test_tasks_before_running)
{
	struct rig *r = rig_start(
		RIG_NO_CGROUP,
		"[worker:a]\nstartsecs = 1\nmaxtasksperchild = 3\ncommand = %s "
		"tasks 3 1 wait\n",
		actor());
	rig_wait_row(r, "a", rig_has_recycles, 1);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* C: start during stop, then shutdown: it must not be started again */
START_TEST(test_no_start_in_shutdown)
{
	struct rig *r = rig_start(
		RIG_NO_CGROUP,
		"[worker:a]\nstartsecs = 0\nstopwaitsecs = 2\ncommand = %s "
		"ignore TERM mark "
		"%%(here)s/starts wait\n",
		actor());
	char *text;
	size_t n = 0;
	char path[300];
	FILE *f;
	snprintf(path, sizeof(path), "%s", rig_path(r, "starts"));
	rig_wait(r, "a", "RUNNING");
	rig_wait_file(path, "\n");
	ck_assert_int_eq(
		rig_reeve(r, NULL, NULL, "stop", "--no-wait", "a", NULL), 0);
	rig_wait(r, "a", "STOPPING");
	ck_assert_int_eq(
		rig_reeve(r, NULL, NULL, "start", "--no-wait", "a", NULL), 0);
	ck_assert_int_eq(kill(rig_daemon_pid(r), SIGTERM), 0);
	rig_wait_log(r, "stopping 1 workers");
	{ /* wait for the end with the log in hand */
		while (!rig_log_has(r, "notice: stopped") &&
		       rig_is_alive(rig_daemon_pid(r)))
			;
	}
	text = rig_read_file(path);
	for (char *p = text; *p; p++)
		n += *p == '\n';
	(void)f;
	ck_assert_msg(!rig_log_has(r, "state=STARTING from=STOPPING") &&
			      !rig_log_has(r, "state=STARTING from=KILLING"),
		      "started again in shutdown (%zu)", n);
	free(text);
	(void)rig_join(r);
}
END_TEST

/* D: killasgroup = no leaves cgroups behind */
START_TEST(test_leaf_of_survivors)
{
	struct rig *r = rig_start(
		0,
		"[worker:a]\nstartsecs = 0\nkillasgroup = no\nrestart_delay = "
		"0\nautorestart = true\ncommand = %s "
		"daemon { wait } wait\n",
		actor());
	pid_t old;
	if (!rig_uses_cgroup(r)) {
		rig_stop(r);
		return;
	}
	rig_wait(r, "a", "RUNNING");
	for (int i = 0; i < 3; i++) {
		old = rig_pid(r, "a");
		kill(old, SIGKILL);
		rig_wait_replaced(r, "a", old);
	}
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

UNIT_MAIN("corners", test_main_pid_after_the_leader, test_tasks_before_running,
	  test_no_start_in_shutdown, test_leaf_of_survivors)
