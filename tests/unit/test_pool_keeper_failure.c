/* Starts that fail: counted, delayed, and in the end told. */
#include "workers/base/pure/failures.h"

#include <sys/resource.h>

#include "tests/unit/keeper_rig.h"

/* --- the policy, under a clock of our own ----------------------------------------- */

START_TEST(test_counts_within_the_interval)
{
	struct failures f = { .limit = 2, .interval_usec = USEC_PER_MINUTE };
	uint64_t now = 1000;

	ck_assert(!failures_add(&f, now, 0));
	ck_assert(!failures_add(&f, now + 1, 0));
	/* the interval is over: counted afresh */
	ck_assert(!failures_add(&f, now + USEC_PER_MINUTE + 1, 0));
	ck_assert(!failures_add(&f, now + USEC_PER_MINUTE + 2, 0));
	ck_assert(failures_add(&f, now + USEC_PER_MINUTE + 3, 0));
}
END_TEST

START_TEST(test_progress_forgives)
{
	struct failures f = { .limit = 1, .interval_usec = USEC_PER_HOUR };

	for (uint64_t i = 1; i < 100; i++)
		ck_assert(!failures_add(&f, i, i));
	ck_assert(failures_add(&f, 100, 99));
}
END_TEST

START_TEST(test_limit_zero_forgives_nothing)
{
	struct failures f = { .limit = 0, .interval_usec = USEC_PER_HOUR };

	ck_assert(failures_add(&f, 1, 0));
}
END_TEST

START_TEST(test_delays_double_up_to_a_maximum)
{
	struct failures f = { .limit = 1000, .interval_usec = USEC_PER_HOUR };
	uint64_t expected = FAILURE_DELAY_MIN_USEC;

	for (int i = 0; i < 100; i++) {
		(void)failures_add(&f, 1, 0);
		ck_assert_uint_eq(f.not_before_usec, 1 + expected);
		expected = MIN(2 * expected, FAILURE_DELAY_MAX_USEC);
	}
	(void)failures_add(&f, 1, 1); /* progress */
	ck_assert_uint_eq(f.not_before_usec, 1 + FAILURE_DELAY_MIN_USEC);
}
END_TEST

START_TEST(test_refusals_delay_only)
{
	struct failures f = { .limit = 0, .interval_usec = USEC_PER_HOUR };

	for (int i = 0; i < 100; i++)
		failures_delay(&f, 1);
	ck_assert_uint_eq(f.not_before_usec, 1 + FAILURE_DELAY_MAX_USEC);
	ck_assert_uint_eq(f.n, 0);
	failures_pass(&f);
	failures_delay(&f, 1);
	ck_assert_uint_eq(f.not_before_usec, 1 + FAILURE_DELAY_MIN_USEC);
	failures_delay(&f, USEC_INFINITY - 1); /* no overflow */
	ck_assert_uint_eq(f.not_before_usec, USEC_INFINITY);
}
END_TEST

/* --- real starts ---------------------------------------------------------------------- */

static const struct {
	enum manner manner;
	const char *message;
	enum seat_cause cause;
	int exit_code;
} manners[] = {
	{ START_REFUSING, "no database", CAUSE_OWN, 121 },
	{ START_EXITING, "exited with code 7", CAUSE_OWN, 7 },
	{ START_CRASHING, "signal 11 (SIGSEGV)", CAUSE_OWN, -SIGSEGV },
	{ START_HANGING, "not ready in 0.030 s", CAUSE_START, -SIGKILL },
	{ START_EXECUTING, "executed a program", CAUSE_CUT_OFF, -SIGKILL },
};

START_TEST(test_too_many_are_fatal)
{
	for (size_t i = 0; i < ARRAY_SIZE(manners); i++) {
		struct rig r;

		rig_init(&r, 8);
		r.shared->manner = manners[i].manner;
		r.config.restart_limit = 2;
		if (manners[i].manner == START_HANGING)
			r.config.start_timeout_usec = 30000;
		rig_start(&r, 1);
		await(&r, atomic_load(&r.board->state) == KEEPER_FATAL);
		ck_assert_msg(strstr(r.board->message, manners[i].message),
			      "%s", r.board->message);
		ck_assert_uint_eq(r.board->n_start_failures, 3);
		ck_assert_uint_eq(r.board->n_started, 3);
		for (size_t seat = 0; seat < 3; seat++) {
			ck_assert_uint_eq(rig_await_end(&r, seat)->cause,
					  manners[i].cause);
			ck_assert_int_eq(r.board->seats[seat].exit_code,
					 manners[i].exit_code);
		}
		rig_terminate(&r);
	}
}
END_TEST

START_TEST(test_work_forgives)
{
	struct rig r;

	rig_init(&r, 1);
	r.config.restart_limit = 1;
	r.shared->manner = START_EXITING;
	rig_start(&r, 1);
	for (int i = 0; i < 20; i++) {
		(void)rig_await_end(&r, 0);
		atomic_fetch_add(&r.board->progress, 1);
		ck_assert_uint_eq(r.board->state, KEEPER_RUNNING);
		rig_offer_again(&r, 0);
	}
	rig_terminate(&r);
}
END_TEST

static int get_ready_and_leave(const struct keeper_seat *seat,
			       _unused_ int lifeline_fd, _unused_ void *arg)
{
	atomic_store(&seat->channel.memory->signs.phase, PHASE_READY);
	return 0;
}

/* Ready and gone, for no task's fault: delayed, but never too much. */
START_TEST(test_the_hasty_are_delayed)
{
	uint64_t began = clock_monotonic_usec();
	struct rig r;

	rig_init(&r, 1);
	r.config.restart_limit = 0;
	r.config.worker_main = get_ready_and_leave;
	rig_start(&r, 1);
	for (int i = 0; i < 20; i++) {
		const struct seat *seat = rig_await_end(&r, 0);

		ck_assert_uint_eq(seat->cause, CAUSE_OWN);
		ck_assert_uint_eq(r.board->state, KEEPER_RUNNING);
		rig_offer_again(&r, 0);
	}
	ck_assert_uint_ge(clock_monotonic_usec() - began,
			  10 * FAILURE_DELAY_MIN_USEC);
	rig_terminate(&r);
}
END_TEST

/* A killed start is no failure: the owner wanted it. */
START_TEST(test_a_killed_start_is_no_failure)
{
	struct rig r;

	rig_init(&r, 1);
	r.config.restart_limit = 0;
	r.shared->manner = START_HANGING;
	rig_start_ready(&r, 1);
	await(&r, atomic_load(&r.shared->n_pids) == 1);
	atomic_store(&r.board->seats[0].kill, 1);
	rig_ring(&r);
	ck_assert_uint_eq(rig_await_end(&r, 0)->cause, CAUSE_KILLED);
	ck_assert_uint_eq(r.board->state, KEEPER_RUNNING);
	ck_assert_uint_eq(r.board->n_start_failures, 0);
	rig_terminate(&r);
}
END_TEST

/* The system refuses descriptors, then does not: nothing is lost. */
START_TEST(test_refused_starts_are_retried)
{
	struct rlimit limit, none = { 0 };
	struct rig r;

	rig_init(&r, 1);
	rig_start_ready(&r, 1);
	ck_assert_int_eq(prlimit(r.keeper, RLIMIT_NOFILE, NULL, &limit), 0);
	none.rlim_max = limit.rlim_max;
	ck_assert_int_eq(prlimit(r.keeper, RLIMIT_NOFILE, &none, NULL), 0);
	(void)kill(r.board->seats[0].pid, SIGKILL);
	(void)rig_await_end(&r, 0);
	rig_offer_again(&r, 0);
	await(&r, atomic_load(&r.board->n_start_failures) >= 3);
	rig_spin(100000); /* 5 + 10 + 20 + 40 + 80 ms */
	ck_assert_uint_le(r.board->n_start_failures, 8);
	ck_assert_uint_eq(r.board->state, KEEPER_RUNNING);
	ck_assert_uint_eq(r.board->n_live, 0);
	ck_assert_str_eq(r.board->message,
			 "cannot start worker 0: Too many open files");
	ck_assert_int_eq(prlimit(r.keeper, RLIMIT_NOFILE, &limit, NULL), 0);
	await(&r, seat_state(&r, 0) == SEAT_LIVE);
	rig_publish(&r, 0, DO_NOTHING, 0);
	await(&r, rig_state(&r, 0, 0) == SLOT_DONE);
	rig_terminate(&r);
}
END_TEST

/* One that left to be replaced cannot be: it is told, and its queue is kept. (Those
 * who live for some milliseconds leave no lifeline to the next one.) */
START_TEST(test_a_refused_recycle_is_told)
{
	struct rlimit limit, none = { 0 };
	struct rig r;

	rig_init(&r, 1);
	r.config.maxtasksperchild = 2;
	rig_start_ready(&r, 1);
	ck_assert_int_eq(prlimit(r.keeper, RLIMIT_NOFILE, NULL, &limit), 0);
	none.rlim_max = limit.rlim_max;
	ck_assert_int_eq(prlimit(r.keeper, RLIMIT_NOFILE, &none, NULL), 0);
	for (int i = 0; i < 3; i++)
		rig_publish(&r, 0, DO_SPIN, 20000);
	ck_assert_uint_eq(rig_await_end(&r, 0)->cause, CAUSE_LEFT);
	ck_assert_uint_eq(rig_state(&r, 0, 2), SLOT_QUEUED);
	ck_assert_int_eq(prlimit(r.keeper, RLIMIT_NOFILE, &limit, NULL), 0);
	rig_offer_again(&r, 0);
	await(&r, seat_state(&r, 0) == SEAT_LIVE);
	rig_terminate(&r);
}
END_TEST

UNIT_MAIN("pool keeper failure", test_counts_within_the_interval,
	  test_progress_forgives, test_limit_zero_forgives_nothing,
	  test_delays_double_up_to_a_maximum, test_refusals_delay_only,
	  test_too_many_are_fatal, test_work_forgives,
	  test_the_hasty_are_delayed, test_a_killed_start_is_no_failure,
	  test_refused_starts_are_retried, test_a_refused_recycle_is_told)
