/* Trees are killed together, in bounded time, and nothing of them is left. */
#include "supervisor/daemon/ending.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>

#include "tests/unit/daemon_rig.h"

#define N_TREES	  12
#define TREE_SIZE 3

static const char ini[] = "[worker:a]\nnumprocs = 12\nstartsecs = 0\n"
			  "process_name = %(process_num)d\n"
			  "command = /bin/true\nautorestart = false\n";

/* A leader with children in sessions of their own. */
static void plant(void *arg _unused_)
{
	for (int i = 1; i < TREE_SIZE; i++) {
		if (fork() == 0) {
			(void)setsid();
			break;
		}
	}
	for (;;)
		pause();
}

static void plant_all(void)
{
	for (size_t i = 0; i < rig.fleet.n_workers; i++) {
		rig_fork(rig.fleet.workers[i], plant, NULL);
		ck_assert(worker_tell(rig.fleet.workers[i], EVENT_RUNS));
	}
	rig_settle();
}

static size_t count_doomed(void)
{
	const struct worker *w;
	size_t n = 0;

	LIST_FOREACH(w, &rig.ender.doomed, doomed_entry)
	n++;
	return n;
}

START_TEST(test_killed_together)
{
	rig_up(ini);
	ck_assert_uint_eq(rig.fleet.n_workers, N_TREES);
	plant_all();
	for (size_t i = 0; i < N_TREES; i++) {
		ending_kill(rig.fleet.workers[i]);
		ending_kill(rig.fleet.workers[i]); /* once is enough */
	}
	ck_assert_uint_eq(count_doomed(), N_TREES);
	/* others may join them, but they are not waited for for ever */
	for (int i = 1; i < ENDING_TURNS_MAX; i++)
		ending_kill_doomed(&rig, true);
	ck_assert_uint_eq(count_doomed(), N_TREES);
	ending_kill_doomed(&rig, true);
	ck_assert(count_doomed() == 0 || heap_contains(&rig.ender.again.node));
	for (int i = 0; i < 100 && count_doomed() > 0; i++) {
		hub_disarm(&rig.hub, &rig.ender.again);
		ending_kill_doomed(&rig, false);
	}
	ck_assert_uint_eq(count_doomed(), 0);
	for (size_t i = 0; i < N_TREES; i++)
		rig_wait_state(rig.fleet.workers[i], STATE_EXITED);
	rig_settle();
	rig_down();
}
END_TEST

/* When the time is over, they are killed again: later, and with more of it. */
START_TEST(test_time_is_over)
{
	rig_up(ini);
	plant_all();
	for (size_t i = 0; i < N_TREES; i++)
		ending_kill(rig.fleet.workers[i]);
	rig.ender.limit_usec = 1;
	ending_kill_doomed(&rig, false);
	ck_assert_uint_eq(count_doomed(), N_TREES);
	ck_assert(heap_contains(&rig.ender.again.node));
	ck_assert_uint_eq(rig.ender.limit_usec, ENDING_KILL_MAX_USEC);
	/* not before the others had their turn */
	ending_kill_doomed(&rig, false);
	ck_assert_uint_eq(rig.ender.limit_usec, ENDING_KILL_MAX_USEC);
	for (size_t i = 0; i < N_TREES; i++)
		rig_wait_state(rig.fleet.workers[i], STATE_EXITED);
	ck_assert_uint_eq(count_doomed(), 0);
	rig_settle();
	rig_down();
}
END_TEST

/* A process that is forgotten is not killed by its number later on. */
START_TEST(test_spared)
{
	struct worker *w;

	rig_up(ini);
	w = rig.fleet.workers[0];
	rig_fork(w, plant, NULL);
	ending_kill(w);
	ck_assert_uint_eq(count_doomed(), 1);
	ending_spare(w);
	ending_spare(w);
	ck_assert_uint_eq(count_doomed(), 0);
	ending_kill_doomed(&rig, false);
	ck_assert_int_eq(pidfd_send_signal(w->pidfd.fd, 0, NULL, 0), 0);
	ending_kill_now(w);
	rig_wait_dead(w->pidfd.fd);
	ck_assert(worker_tell(w, EVENT_RUNS));
	rig_wait_state(w, STATE_EXITED);
	rig_settle();
	rig_down();
}
END_TEST

UNIT_MAIN("ending", test_killed_together, test_time_is_over, test_spared)
