/* The fleet: found by name and pid, up and down in order, recycled by few. */
#include "supervisor/daemon/fleet.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/daemon_rig.h"

#define QUIET "stdout_logfile = NONE\nredirect_stderr = true\nstartsecs = 0\n"

static const char ini[] =
	"[worker:late]\npriority = -1\ncommand = /bin/sleep 1000\n" QUIET
	"[worker:early]\npriority = -5\ncommand = /bin/sleep 1000\n" QUIET
	"[worker:set]\nnumprocs = 4\npriority = 500\nrecycle_max = 2\n"
	"command = /bin/sleep 1000\nautostart = false\n" QUIET;

START_TEST(test_find)
{
	struct worker other = { .pid = 64 }; /* the same bucket as 0, 128 */
	struct worker *w;

	rig_up(ini);
	ck_assert_ptr_eq(rig_worker("late"), rig.fleet.workers[0]);
	ck_assert_ptr_null(fleet_by_name(&rig.fleet, "set"));
	ck_assert_ptr_nonnull(fleet_by_name(&rig.fleet, "set:3"));
	w = rig_worker("early");
	w->pid = 128;
	fleet_pid_added(&rig.fleet, w);
	fleet_pid_added(&rig.fleet, &other);
	ck_assert_ptr_eq(fleet_by_pid(&rig.fleet, 128), w);
	ck_assert_ptr_eq(fleet_by_pid(&rig.fleet, 64), &other);
	ck_assert_ptr_null(fleet_by_pid(&rig.fleet, 192));
	/* found also when the table has grown */
	fleet_pid_removed(&rig.fleet, &other);
	ck_assert_int_eq(fleet_reserve(&rig, 1000), 0);
	ck_assert_ptr_eq(fleet_by_pid(&rig.fleet, 128), w);
	fleet_pid_removed(&rig.fleet, w);
	fleet_pid_removed(&rig.fleet, w);
	ck_assert_ptr_null(fleet_by_pid(&rig.fleet, 128));
	w->pid = 0;
	rig_down();
}
END_TEST

START_TEST(test_start_order)
{
	rig_up(ini);
	fleet_start(&rig.fleet);
	ck_assert_ptr_eq(STAILQ_FIRST(&rig.fleet.queue), rig_worker("early"));
	ck_assert_ptr_eq(STAILQ_NEXT(rig_worker("early"), queue_entry),
			 rig_worker("late"));
	ck_assert_ptr_null(STAILQ_NEXT(rig_worker("late"), queue_entry));
	/* so many, and no more */
	ck_assert(fleet_handle(&rig.fleet, 1));
	ck_assert(!fleet_handle(&rig.fleet, 2));
	rig_wait_state(rig_worker("late"), STATE_RUNNING);
	rig_wait_state(rig_worker("early"), STATE_RUNNING);
	rig_stop(rig_worker("early"));
	rig_stop(rig_worker("late"));
	rig_settle();
	rig_down();
}
END_TEST

/* The highest tier first; the next one when it is down. */
START_TEST(test_stop_order)
{
	struct worker *early, *late;

	rig_up(ini);
	early = rig_worker("early");
	late = rig_worker("late");
	fleet_start(&rig.fleet);
	rig_wait_state(late, STATE_RUNNING);
	rig_wait_state(early, STATE_RUNNING);
	ck_assert(!fleet_stop_step(&rig.fleet, false));
	ck_assert(worker_is_told(late, EVENT_STOP));
	ck_assert(!worker_is_told(early, EVENT_STOP));
	rig_wait_state(late, STATE_STOPPED);
	ck_assert_int_eq(early->life.state, STATE_RUNNING);
	ck_assert(!fleet_stop_step(&rig.fleet, false));
	ck_assert(worker_is_told(early, EVENT_STOP));
	rig_wait_state(early, STATE_STOPPED);
	ck_assert(fleet_stop_step(&rig.fleet, false));
	rig_settle();
	rig_down();
}
END_TEST

START_TEST(test_quick_stop_is_for_all)
{
	rig_up(ini);
	fleet_start(&rig.fleet);
	rig_wait_state(rig_worker("late"), STATE_RUNNING);
	rig_wait_state(rig_worker("early"), STATE_RUNNING);
	ck_assert(!fleet_stop_step(&rig.fleet, true));
	ck_assert(worker_is_told(rig_worker("late"), EVENT_STOP_NOW));
	ck_assert(worker_is_told(rig_worker("early"), EVENT_STOP_NOW));
	rig_wait_state(rig_worker("late"), STATE_STOPPED);
	rig_wait_state(rig_worker("early"), STATE_STOPPED);
	rig_settle();
	rig_down();
}
END_TEST

static unsigned count_recycling(void)
{
	unsigned n = 0;

	for (size_t i = 2; i < 6; i++)
		n += rig.fleet.workers[i]->life.is_recycling ||
		     worker_is_told(rig.fleet.workers[i], EVENT_RECYCLE);
	return n;
}

/* All are due, two at a time go; all come to their turn. */
START_TEST(test_recycle_max)
{
	uint64_t n_done = 0;

	rig_up(ini);
	for (size_t i = 2; i < 6; i++)
		ck_assert(worker_tell(rig.fleet.workers[i], EVENT_START));
	for (size_t i = 2; i < 6; i++) {
		rig_wait_state(rig.fleet.workers[i], STATE_RUNNING);
		rig.fleet.workers[i]->recycle_due = true;
	}
	rig.fleet.has_recycle_due = true;
	fleet_recycle_step(&rig.fleet);
	ck_assert_uint_eq(count_recycling(), 2);
	ck_assert(rig.fleet.has_recycle_due);
	while (n_done < 4) {
		ck_assert(rig_run(RIG_WAIT_USEC));
		ck_assert_uint_le(count_recycling(), 2);
		n_done = 0;
		for (size_t i = 2; i < 6; i++)
			n_done += rig.fleet.workers[i]->life.recycles;
	}
	ck_assert(!rig.fleet.has_recycle_due);
	for (size_t i = 2; i < 6; i++)
		rig_stop(rig.fleet.workers[i]);
	rig_settle();
	rig_down();
}
END_TEST

/* Who leaves is freed when it is down, and not before. */
START_TEST(test_sweep)
{
	struct worker *late;

	rig_up(ini);
	late = rig_worker("late");
	ck_assert(worker_tell(late, EVENT_START));
	rig_wait_state(late, STATE_RUNNING);
	late->is_leaving = rig_worker("set:2")->is_leaving = true;
	rig.fleet.n_leaving = 2;
	fleet_sort(&rig.fleet);
	fleet_sweep(&rig);
	ck_assert_uint_eq(rig.fleet.n_workers, 5);
	ck_assert_ptr_null(fleet_by_name(&rig.fleet, "set:2"));
	ck_assert_ptr_eq(rig.fleet.workers[4], late); /* sorted behind all */
	ck_assert(worker_tell(late, EVENT_STOP_NOW));
	while (rig.fleet.n_leaving > 0)
		ck_assert(rig_run(RIG_WAIT_USEC));
	ck_assert_uint_eq(rig.fleet.n_workers, 4);
	ck_assert_ptr_null(fleet_by_name(&rig.fleet, "late"));
	rig_settle();
	rig_down();
}
END_TEST

UNIT_MAIN("fleet", test_find, test_start_order, test_stop_order,
	  test_quick_stop_is_for_all, test_recycle_max, test_sweep)
