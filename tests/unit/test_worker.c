/* One worker between its settings, its queue and its life. */
#include "supervisor/daemon/worker.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/daemon_rig.h"

static const char ini[] =
	"[worker:a]\nautostart = false\ncommand = /bin/sleep 1000\n"
	"startsecs = 0\nexitcodes = 0 7\nmaxtasksperchild = 3\n"
	"stdout_logfile = NONE\nredirect_stderr = true\n"
	"[worker:set]\nnumprocs = 2\nnumprocs_start = 5\ncommand = /bin/true\n"
	"autostart = false\nstdout_logfile = NONE\nredirect_stderr = true\n";

START_TEST(test_names)
{
	rig_up(ini);
	ck_assert_uint_eq(rig.fleet.n_workers, 3);
	ck_assert_str_eq(rig.fleet.workers[0]->name, "a");
	ck_assert_str_eq(rig.fleet.workers[1]->settings->group_name, "set");
	ck_assert_uint_eq(rig.fleet.workers[2]->number, 1);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(rig.fleet.workers[i]->life.state,
				 STATE_STOPPED);
	rig_down();
}
END_TEST

/* Verbs are bounded; what a process causes is pending once, and always fits. */
START_TEST(test_queue)
{
	static const enum worker_event caused[] = {
		EVENT_RUNS,	   EVENT_READY, EVENT_EXTEND, EVENT_WATCHDOG,
		EVENT_LEADER_EXIT, EVENT_GONE,	EVENT_TIMEOUT
	};
	struct worker *a;

	rig_up(ini);
	a = rig_worker("a");
	for (int i = 0; i < WORKER_VERBS_MAX; i++)
		ck_assert(worker_tell(a, EVENT_STOP));
	ck_assert(!worker_tell(a, EVENT_STOP));
	for (int k = 0; k < 2; k++)
		for (size_t i = 0; i < ARRAY_SIZE(caused); i++)
			ck_assert(worker_tell(a, caused[i]));
	ck_assert_uint_eq(a->n_pending, WORKER_VERBS_MAX + ARRAY_SIZE(caused));
	ck_assert_uint_eq(a->n_told, a->n_pending);
	ck_assert(worker_is_told(a, EVENT_GONE));
	ck_assert(!worker_is_told(a, EVENT_START));
	a->n_pending = WORKER_VERBS_MAX;
	rig_settle();
	ck_assert_uint_eq(a->n_pending, 0);
	ck_assert(!a->is_queued);
	ck_assert_int_eq(a->life.state, STATE_STOPPED);
	rig_down();
}
END_TEST

/* What was said of a process that is gone does not meet the next one. */
START_TEST(test_words_of_the_dead)
{
	struct worker *a;

	rig_up(ini);
	a = rig_worker("a");
	ck_assert(worker_tell(a, EVENT_START));
	rig_wait_state(a, STATE_RUNNING);
	ck_assert(worker_tell(a, EVENT_RESTART));
	ck_assert_int_eq(pidfd_send_signal(a->pidfd.fd, SIGKILL, NULL, 0), 0);
	rig_wait_dead(a->pidfd.fd);
	reap_leader(a);
	reap_settle(&rig);
	ck_assert(worker_is_told(a, EVENT_GONE));
	ck_assert(worker_tell(a, EVENT_WATCHDOG));
	ck_assert(worker_tell(a, EVENT_TIMEOUT));
	while (a->life.starts < 2)
		ck_assert(rig_run(RIG_WAIT_USEC));
	rig_wait_state(a, STATE_RUNNING);
	ck_assert_uint_eq(a->life.starts, 2);
	ck_assert_int_eq(a->life.ending, ENDING_NONE);
	rig_stop(a);
	rig_settle();
	rig_down();
}
END_TEST

/* New settings wait for the end of the process; then all of them count, and
 * the old ones are let go. */
START_TEST(test_adoption)
{
	struct generation *next;
	struct worker *a;

	rig_up(ini);
	a = rig_worker("a");
	next = rig_load("[worker:a]\ncommand = /bin/sleep 2000\n"
			"startsecs = 0\nstdout_logfile = NONE\n"
			"redirect_stderr = true\n"
			"[group:g]\nprograms = a\n");
	ck_assert(worker_tell(a, EVENT_START));
	rig_wait_state(a, STATE_RUNNING);
	worker_adopt_settings(a, next, next->settings->workers[0], 0);
	ck_assert_str_eq(a->settings->group_name, "a");
	ck_assert_uint_eq(next->n_refs, 2);
	rig_stop(a);
	ck_assert_str_eq(a->settings->group_name, "g");
	ck_assert_ptr_eq(a->generation, next);
	ck_assert_ptr_null(a->next_generation);
	ck_assert_uint_eq(next->n_refs, 2);
	/* at once, when there is no process */
	worker_adopt_settings(a, rig.generation,
			      rig.generation->settings->workers[0], 0);
	ck_assert_str_eq(a->settings->group_name, "a");
	ck_assert_uint_eq(next->n_refs, 1);
	generation_unref(next);
	rig_settle();
	rig_down();
}
END_TEST

static const struct fault_case {
	enum worker_state state;
	int code; /* of the last exit */
	bool is_unkillable, at_fault;
} faults[] = {
	{ STATE_STOPPED, 1, false, false },  { STATE_RUNNING, 1, false, false },
	{ STATE_BACKOFF, 0, false, true },   { STATE_FATAL, 0, false, true },
	{ STATE_EXITED, 0, false, false },   { STATE_EXITED, 7, false, false },
	{ STATE_EXITED, 1, false, true },    { STATE_EXITED, -9, false, true },
	{ STATE_KILLING, 0, false, false },  { STATE_KILLING, 0, true, true },
	{ STATE_STOPPING, 0, false, false },
};

START_TEST(test_fault)
{
	struct worker *a;

	rig_up(ini);
	a = rig_worker("a");
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		a->life.state = faults[i].state;
		a->life.has_exit = true;
		a->life.exit.code = faults[i].code;
		a->is_unkillable = faults[i].is_unkillable;
		ck_assert_msg(worker_is_at_fault(a) == faults[i].at_fault,
			      "case %zu", i);
	}
	rig_down();
}
END_TEST

START_TEST(test_tasks)
{
	struct worker *a;

	rig_up(ini);
	a = rig_worker("a");
	ck_assert(worker_tell(a, EVENT_START));
	rig_wait_state(a, STATE_RUNNING);
	worker_count_tasks(a, 2);
	ck_assert(!a->recycle_due);
	worker_count_tasks(a, 1);
	ck_assert(a->recycle_due);
	while (a->life.recycles == 0 || a->life.state != STATE_RUNNING)
		ck_assert(rig_run(RIG_WAIT_USEC));
	ck_assert_uint_eq(a->tasks, 0);
	ck_assert_uint_eq(a->life.restarts, 0);
	rig_stop(a);
	rig_settle();
	rig_down();
}
END_TEST

/* The loop has failed: nothing stays. */
START_TEST(test_abandon)
{
	struct worker *a;

	rig_up(ini);
	a = rig_worker("a");
	ck_assert(worker_tell(a, EVENT_START));
	rig_wait_state(a, STATE_RUNNING);
	ck_assert(worker_tell(a, EVENT_STOP));
	rig_down();
}
END_TEST

UNIT_MAIN("worker", test_names, test_queue, test_words_of_the_dead,
	  test_adoption, test_fault, test_tasks, test_abandon)
