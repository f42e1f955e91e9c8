/* Whole trees: with a cgroup leaf, and told by ancestry, group, session and
 * mark. Escapees, orphans, fork bombs, stopped processes, leftovers of a
 * supervisor that was killed. Each test runs with both guarantees. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/actor.h"
#include "tests/lib/process.h"
#include "tests/lib/rig.h"
#include "tests/lib/unit.h"

static const int flags_of[] = { 0, RIG_NO_CGROUP };
#define EACH_GUARANTEE (int)ARRAY_SIZE(flags_of)

/* The pids that actors wrote with `mark`; n of them are waited for. */
static size_t read_family(struct rig *r, const char *name, pid_t *pids,
			  size_t n)
{
	const char *path = rig_path(r, name);
	size_t found = 0;

	while (found < n) { /* the deadline is the test's */
		char *text = rig_read_file(path), *p = text, *end;

		for (found = 0; *p && found < n; p = end + 1, found++) {
			pids[found] = (pid_t)strtol(p, &end, 10);
			if (*end != '\n')
				break;
		}
		free(text);
	}
	return found;
}

static void check_gone(const pid_t *pids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(!rig_is_alive(pids[i]), "pid %d is left",
			      (int)pids[i]);
}

/* child, setsid child, double-forked orphan, setsid orphan, one of them
 * ignoring TERM and one stopped */
#define FAMILY                                                                 \
	"mark %s fork { mark %s wait } "                                       \
	"fork { setsid ignore TERM mark %s wait } "                            \
	"daemon { mark %s wait } daemon { setsid mark %s wait } "              \
	"fork { mark %s raise STOP } wait"
#define FAMILY_SIZE 6
#define H	    "%(here)s/family"

static struct rig *start_family(int i, const char *more)
{
	return rig_start(flags_of[i],
			 "[worker:a]\ncommand = %s " FAMILY
			 "\nstartsecs = 0\nrestart_delay = 0.05\n"
			 "stopwaitsecs = 0.3\n%s",
			 actor(), H, H, H, H, H, H, more);
}

START_TEST(test_stop_ends_the_tree)
{
	struct rig *r = start_family(_i, "");
	pid_t pids[FAMILY_SIZE];

	read_family(r, "family", pids, FAMILY_SIZE);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "a", NULL), 0);
	check_gone(pids, FAMILY_SIZE);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_crash_ends_the_tree_before_the_restart)
{
	struct rig *r = start_family(_i, "autorestart = true\n");
	pid_t pids[FAMILY_SIZE];

	read_family(r, "family", pids, FAMILY_SIZE);
	ck_assert_int_eq(unlink(rig_path(r, "family")), 0);
	kill(rig_pid(r, "a"), SIGKILL);
	rig_wait_row(r, "a", rig_has_restarts, 1);
	check_gone(pids, FAMILY_SIZE);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_shutdown_ends_the_tree)
{
	struct rig *r = start_family(_i, "");
	pid_t pids[FAMILY_SIZE];

	read_family(r, "family", pids, FAMILY_SIZE);
	ck_assert_int_eq(rig_stop(r), 0);
	check_gone(pids, FAMILY_SIZE);
}
END_TEST

START_TEST(test_quick_shutdown)
{
	struct rig *r = start_family(_i, "stopsignal = TERM:1h\n");
	pid_t pids[FAMILY_SIZE];

	read_family(r, "family", pids, FAMILY_SIZE);
	ck_assert_int_eq(kill(rig_daemon_pid(r), SIGQUIT), 0);
	ck_assert_int_eq(rig_join(r), 0);
	check_gone(pids, FAMILY_SIZE);
}
END_TEST

START_TEST(test_fork_bomb)
{
	struct rig *r = rig_start(flags_of[_i],
				  "[worker:a]\ncommand = %s mark %s bomb 150\n"
				  "startsecs = 0\n",
				  actor(), H);

	rig_wait(r, "a", "RUNNING");
	rig_wait_file(rig_path(r, "family"), "");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "--now", "a", NULL),
			 0);
	ck_assert_int_eq(rig_stop(r), 0); /* no child is left */
}
END_TEST

START_TEST(test_stopped_worker_stops)
{
	struct rig *r =
		rig_start(flags_of[_i],
			  "[worker:a]\ncommand = %s mark %s raise STOP wait\n"
			  "startsecs = 0\nstopwaitsecs = 10s\n",
			  actor(), H);

	rig_wait_file(rig_path(r, "family"), "");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "a", NULL), 0);
	/* by the TERM that CONT let in, not by the KILL after ten seconds */
	ck_assert_int_eq(rig_row(r, "a").exit_code, -SIGTERM);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_killasgroup_off_leaves_the_rest_until_the_end)
{
	struct rig *r = rig_start(
		flags_of[_i],
		"[worker:a]\ncommand = %s fork { mark %s wait } wait\n"
		"startsecs = 0\nkillasgroup = false\n",
		actor(), H);
	pid_t child;

	read_family(r, "family", &child, 1);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "a", NULL), 0);
	ck_assert(rig_is_alive(child));
	ck_assert_int_eq(rig_stop(r), 0);
	ck_assert(!rig_is_alive(child));
}
END_TEST

START_TEST(test_two_trees_are_told_apart)
{
	struct rig *r = rig_start(
		flags_of[_i],
		"[worker:a]\ncommand = %s daemon { setsid mark %s wait } wait\n"
		"startsecs = 0\n"
		"[worker:b]\ncommand = %s daemon { setsid mark %s wait } wait\n"
		"startsecs = 0\n",
		actor(), "%(here)s/a", actor(), "%(here)s/b");
	pid_t a, b;

	read_family(r, "a", &a, 1);
	read_family(r, "b", &b, 1);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "a", NULL), 0);
	ck_assert(!rig_is_alive(a));
	ck_assert(rig_is_alive(b));
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_leftovers_of_a_killed_reeved)
{
	struct rig *r = start_family(_i, "");
	pid_t pids[FAMILY_SIZE];

	read_family(r, "family", pids, FAMILY_SIZE);
	ck_assert_int_eq(unlink(rig_path(r, "family")), 0);
	rig_crash(r);
	rig_wait_gone(pids[0]); /* kill_on_crash: the leader goes at once */
	rig_restart(r);
	check_gone(pids, FAMILY_SIZE);
	rig_wait(r, "a", "RUNNING");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_orphan_without_a_mark_is_ended_at_the_end)
{
	/* no cgroup, no group, no session, no parent, no environment: a fresh
	 * exec is needed to lose the mark, which /bin/sh does with env -i */
	struct rig *r = rig_start(RIG_NO_CGROUP,
				  "[worker:a]\nstartsecs = 0\n"
				  "command = /bin/sh -c 'setsid env -i %s "
				  "daemon { mark %s wait } & exec %s wait'\n",
				  actor(), H, actor());
	pid_t stray;

	read_family(r, "family", &stray, 1);
	ck_assert_int_eq(rig_stop(r), 0);
	ck_assert(!rig_is_alive(stray));
}
END_TEST

START_TEST(test_dead_orphans_are_reaped)
{
	struct rig *r =
		rig_start(flags_of[_i],
			  "[worker:a]\nstartsecs = 0\n"
			  "command = %s daemon { mark %s exit 0 } wait\n",
			  actor(), H);
	pid_t orphan;

	read_family(r, "family", &orphan, 1);
	while (kill(orphan, 0) == 0) /* a zombie too; the deadline is ours */
		(void)sched_yield();
	ck_assert_int_eq(errno, ESRCH);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_storm)
{
	enum { N = 200 };
	struct rig *r =
		rig_start(flags_of[_i],
			  "[worker:a]\ncommand = %s wait\n"
			  "numprocs = %d\nstartsecs = 0\n"
			  "autorestart = true\nrestart_delay = 0\n"
			  "stdout_logfile = NONE\nstderr_logfile = NONE\n",
			  actor(), N);
	pid_t old[N];
	char name[16];

	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "a:%d", i);
		rig_wait(r, name, "RUNNING");
		old[i] = rig_pid(r, name);
	}
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(kill(old[i], SIGKILL), 0);
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "a:%d", i);
		rig_wait_replaced(r, name, old[i]);
		ck_assert_uint_eq(rig_row(r, name).restarts, 1);
	}
	ck_assert_uint_eq(rig_count(r, "RUNNING"), N);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* Who is listed in /proc forks and dies before it is looked at: its child was
 * not listed, and is seen all the same. The delay is between the two. */
START_TEST(test_orphan_that_is_born_during_a_look)
{
	struct rig *r = rig_start(flags_of[_i], "[worker:none]\n"
						"command = /bin/true\n"
						"autostart = false\n");
	char mark[300];
	pid_t strace;

	rig_write_config(r,
			 "[worker:a]\nenvironment = RIG=\"%s\"\n"
			 "command = %s fork { pause 500 daemon { setsid wait "
			 "} exit 0 } exit 0\nautostart = false\n"
			 "autorestart = false\nstartsecs = 0\n"
			 "stopwaitsecs = 0\n",
			 rig_dir(r), actor());
	snprintf(mark, sizeof(mark), "RIG=%s", rig_dir(r));
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "reload", NULL), 0);
	strace =
		inject_begin(rig_daemon_pid(r), "getdents64:delay_exit=200000");
	if (strace > 0) {
		ck_assert_int_eq(rig_reeve(r, NULL, NULL, "start", "--no-wait",
					   "a", NULL),
				 0);
		rig_wait_log(r, "worker=a state=EXITED");
		ck_assert_uint_eq(process_count_marked(mark), 0);
		inject_end(strace);
	}
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

UNIT_LOOP_MAIN("trees", EACH_GUARANTEE, test_stop_ends_the_tree,
	       test_crash_ends_the_tree_before_the_restart,
	       test_shutdown_ends_the_tree, test_quick_shutdown, test_fork_bomb,
	       test_stopped_worker_stops,
	       test_killasgroup_off_leaves_the_rest_until_the_end,
	       test_two_trees_are_told_apart, test_leftovers_of_a_killed_reeved,
	       test_orphan_without_a_mark_is_ended_at_the_end,
	       test_dead_orphans_are_reaped, test_storm,
	       test_orphan_that_is_born_during_a_look)
