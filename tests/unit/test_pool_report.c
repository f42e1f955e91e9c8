/* reeve_pool_report(): which ends are deaths, what is said of each, how many are
 * kept; deaths.h by itself, then in pools. */
#include "workers/pool/deaths.h"

#include "tests/unit/pool_rig.h"
#include "workers/pool/pool.h"

/* ---- the names --------------------------------------------------------------- */

START_TEST(test_names)
{
	const enum reeve_death_cause last = REEVE_DEATH_STOPPED;

	for (enum reeve_death_cause c = REEVE_DEATH_OWN; c <= last; c++) {
		ck_assert_str_ne(reeve_death_name(c), "unknown");
		for (enum reeve_death_cause d = REEVE_DEATH_OWN; d < c; d++)
			ck_assert_str_ne(reeve_death_name(c),
					 reeve_death_name(d));
	}
	ck_assert_str_eq(reeve_death_name(last + 1), "unknown");
	ck_assert_str_eq(reeve_death_name((enum reeve_death_cause) - 1),
			 "unknown");
}
END_TEST

/* ---- what the board says ----------------------------------------------------- */

START_TEST(test_causes)
{
	static const struct {
		enum seat_cause cause;
		int code;
		uint32_t phase;
		bool is_death;
		enum reeve_death_cause expected;
		enum reeve_outcome_kind kind;
	} cases[] = {
		{ CAUSE_OWN, -SIGSEGV, PHASE_READY, true, REEVE_DEATH_OWN,
		  REEVE_CRASHED },
		{ CAUSE_OWN, 0, PHASE_READY, true, REEVE_DEATH_OWN,
		  REEVE_CRASHED },
		{ CAUSE_OWN, 3, PHASE_INIT_FAILED, true, REEVE_DEATH_UNREADY,
		  REEVE_CRASHED },
		{ CAUSE_OWN, -SIGKILL, PHASE_STARTING, true,
		  REEVE_DEATH_UNREADY, REEVE_CRASHED },
		{ CAUSE_OWN, 1, 4711, true, REEVE_DEATH_OWN, REEVE_CRASHED },
		{ CAUSE_KILLED, -SIGKILL, PHASE_READY, true, REEVE_DEATH_BROKEN,
		  REEVE_CRASHED },
		{ CAUSE_TIMEOUT, -SIGKILL, PHASE_READY, true,
		  REEVE_DEATH_TASK_TIMEOUT, REEVE_TIMEOUT },
		{ CAUSE_START, -SIGKILL, PHASE_STARTING, true,
		  REEVE_DEATH_START_TIMEOUT, REEVE_CRASHED },
		{ CAUSE_CUT_OFF, -SIGKILL, PHASE_READY, true,
		  REEVE_DEATH_CUT_OFF, REEVE_CRASHED },
		{ CAUSE_STOPPED, -SIGKILL, PHASE_READY, true,
		  REEVE_DEATH_STOPPED, REEVE_CRASHED },
		{ CAUSE_LEFT, -SIGKILL, PHASE_READY, true,
		  REEVE_DEATH_LEAVE_TIMEOUT, REEVE_CRASHED },
		{ CAUSE_LEFT, 0, PHASE_LEAVING, false,
		  REEVE_DEATH_LEAVE_TIMEOUT, REEVE_CRASHED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct seat seat = {
			.cause = cases[i].cause,
			.exit_code = cases[i].code,
			.core = i % 2,
			.pid = 4712,
		};
		struct engine_end end;

		ck_assert_int_eq(deaths_describe(&seat, 7, cases[i].phase,
						 &end),
				 cases[i].is_death);
		ck_assert_int_eq(end.death.cause, cases[i].expected);
		ck_assert_int_eq(end.outcome.kind, cases[i].kind);
		ck_assert_uint_eq(end.death.seat, 7);
		ck_assert_int_eq(end.death.exit.pid, 4712);
		ck_assert_int_eq(end.death.exit.code, cases[i].code);
		ck_assert_int_eq(end.death.exit.core, i % 2);
		ck_assert(!end.death.was_busy);
		ck_assert_str_eq(end.death.post_mortem, "");
	}
}
END_TEST

/* By the clock of who saw it, not of who asks later. */
START_TEST(test_times)
{
	uint64_t now = clock_monotonic_usec(), today = clock_realtime_usec();
	const uint64_t ago = 5 * USEC_PER_SEC;
	const struct seat seat = {
		.started_usec = now - ago - 7,
		.ended_usec = now - ago,
		.busy_usec = 5,
	};
	struct engine_end end;

	(void)deaths_describe(&seat, 0, PHASE_READY, &end);
	ck_assert_uint_eq(end.death.uptime_usec, 7);
	ck_assert_uint_eq(end.death.busy_usec, 5);
	ck_assert_uint_ge(end.death.when_usec, today - ago - USEC_PER_SEC);
	ck_assert_uint_le(end.death.when_usec, today - ago + USEC_PER_SEC);
	deaths_describe_unseen(&seat, 0, &end);
	ck_assert_int_eq(end.death.cause, REEVE_DEATH_KEEPER);
	ck_assert_int_eq(end.death.exit.state, REEVE_EXIT_UNKNOWN);
	ck_assert_uint_ge(end.death.uptime_usec, ago + 7);
}
END_TEST

START_TEST(test_newest_first)
{
	static struct deaths deaths;
	static struct reeve_death out[REEVE_DEATHS_MAX + 1];
	const size_t most = REEVE_DEATHS_MAX;

	ck_assert_uint_eq(deaths_copy(&deaths, out, most), 0);
	for (uint64_t n = 1; n <= 3 * most + 5; n++) {
		struct reeve_death death = { .job = n };
		size_t n_kept = n < most ? n : most;

		deaths_add(&deaths, &death);
		memset(out, 0xa5, sizeof(out));
		ck_assert_uint_eq(deaths_copy(&deaths, out, most + 1), n_kept);
		for (size_t i = 0; i < n_kept; i++)
			ck_assert_uint_eq(out[i].job, n - i);
		ck_assert_uint_eq(out[n_kept].job, 0xa5a5a5a5a5a5a5a5);
	}
	memset(out, 0xa5, sizeof(out));
	ck_assert_uint_eq(deaths_copy(&deaths, out, 1), most);
	ck_assert_uint_eq(out[1].job, 0xa5a5a5a5a5a5a5a5);
	ck_assert_uint_eq(deaths_copy(&deaths, NULL, 0), most);
}
END_TEST

/* ---- in a pool --------------------------------------------------------------- */

static struct reeve_death last_death(struct reeve_pool *pool, size_t n)
{
	struct reeve_death death = { 0 };

	ck_assert_uint_eq(reeve_pool_report(pool, &death, 1), n);
	return death;
}

/* Each call is a job with a number; who did what is told. */
START_TEST(test_what_was_running)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 1 });
	uint64_t numbers[] = { 1, 2, 3, 20, 5 }, way = END_EXIT_3;
	struct reeve_death d;

	check_square(pool, 2);
	check_square(pool, 3);
	ck_assert_int_eq(reeve_pool_apply(pool, end_somehow, &way, 8, NULL,
					  NULL, NULL),
			 -EPIPE);
	d = last_death(pool, 1);
	ck_assert_int_eq(d.cause, REEVE_DEATH_OWN);
	ck_assert_int_eq(d.exit.state, REEVE_EXIT_EXITED);
	ck_assert_int_eq(d.exit.code, 3);
	ck_assert_int_gt(d.exit.pid, 1);
	ck_assert_uint_eq(d.n_tasks, 2);
	ck_assert(d.was_busy);
	ck_assert(d.function == end_somehow);
	ck_assert_uint_eq(d.job, 3);
	ck_assert_uint_eq(d.index, 0);
	ck_assert_uint_gt(d.uptime_usec, 0);
	ck_assert_uint_lt(d.uptime_usec, LONG_WAIT);
	ck_assert_uint_le(d.when_usec, clock_realtime_usec());
	ck_assert_uint_ge(d.when_usec, clock_realtime_usec() - LONG_WAIT);

	ck_assert_int_eq(
		reeve_pool_map(pool, square_or_die,
			       &(struct reeve_map_spec){ .inputs = numbers,
							 .input_size = 8,
							 .n_items = 5,
							 .chunksize = 5 }),
		1);
	d = last_death(pool, 2);
	ck_assert_int_eq(d.exit.code, -SIGKILL);
	ck_assert(d.function == square_or_die);
	ck_assert_uint_eq(d.job, 4);
	ck_assert_uint_eq(d.index, 3);
	ck_assert_uint_eq(d.n_tasks, 3);
	end_pool(pool);
}
END_TEST

/* Waits, working, until n deaths are told. */
static void wait_for_deaths(struct reeve_pool *pool, size_t n)
{
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;

	while (reeve_pool_report(pool, NULL, 0) < n &&
	       clock_monotonic_usec() < end)
		(void)reeve_pool_dispatch(pool);
	ck_assert_uint_eq(reeve_pool_report(pool, NULL, 0), n);
}

static void expect_kill(struct reeve_pool *pool, struct reeve_result *result,
			enum reeve_death_cause cause, size_t n)
{
	struct reeve_death d;

	ck_assert_int_eq(reeve_result_wait(result, LONG_WAIT), 0);
	d = last_death(pool, n);
	ck_assert_int_eq(d.cause, cause);
	ck_assert(d.was_busy);
	ck_assert(d.function == wait_for_ever);
	reeve_result_unref(result);
}

START_TEST(test_killed_for_a_task)
{
	const struct reeve_pool_spec spec = {
		.processes = 2,
		.task_timeout_usec = 300 * USEC_PER_MSEC,
	};
	struct reeve_pool *pool = new_pool(_i, spec);
	struct reeve_result *result;
	struct reeve_death d;

	ck_assert_int_eq(reeve_pool_apply_async(pool, wait_for_ever, NULL, 0,
						NULL, &result),
			 0);
	expect_kill(pool, result, REEVE_DEATH_TASK_TIMEOUT, 1);
	d = last_death(pool, 1);
	ck_assert_uint_ge(d.busy_usec, 300 * USEC_PER_MSEC);
	ck_assert_uint_lt(d.busy_usec, LONG_WAIT);

	ck_assert_int_eq(reeve_pool_apply_async(pool, wait_for_ever, NULL, 0,
						NULL, &result),
			 0);
	wait_until_running(pool, 1);
	ck_assert_int_eq(reeve_result_cancel(result), 0);
	expect_kill(pool, result, REEVE_DEATH_CANCELLED, 2);
	end_pool(pool);
}
END_TEST

/* An idle one dies of something, too: nobody is blamed for it. */
START_TEST(test_idle_worker)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 1 });
	struct reeve_worker_stats worker;
	struct reeve_death d;

	check_square(pool, 1);
	ck_assert_uint_eq(reeve_pool_workers(pool, &worker, 1), 1);
	ck_assert_int_eq(kill(worker.pid, SIGTERM), 0);
	wait_for_deaths(pool, 1);
	d = last_death(pool, 1);
	ck_assert_int_eq(d.exit.pid, worker.pid);
	ck_assert_int_eq(d.exit.code, -SIGTERM);
	ck_assert_int_eq(d.cause, REEVE_DEATH_OWN);
	ck_assert(!d.was_busy);
	ck_assert_ptr_null((void *)(uintptr_t)d.function);
	ck_assert_uint_eq(d.n_tasks, 1);
	end_pool(pool);
}
END_TEST

START_TEST(test_failed_starts)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){
				     .processes = 1,
				     .initializer = init_fails,
				     .restart_limit = 3,
			     });
	uint64_t x = 1;

	ck_assert_int_eq(reeve_pool_apply(pool, square, &x, 8, NULL, NULL,
					  NULL),
			 -ESHUTDOWN);
	ck_assert_uint_ge(reeve_pool_report(pool, NULL, 0), 3);
	ck_assert_int_eq(
		last_death(pool, reeve_pool_report(pool, NULL, 0)).cause,
		REEVE_DEATH_UNREADY);
	reeve_pool_free(pool);
}
END_TEST

/* Neither recycles, nor leaving, nor being ended with the pool is a death. */
START_TEST(test_what_is_no_death)
{
	const struct reeve_pool_spec spec = { .processes = 2,
					      .maxtasksperchild = 2 };
	struct reeve_pool *pool = new_pool(_i, spec);
	struct reeve_pool_stats stats;
	struct reeve_result *result;

	for (uint64_t i = 0; i < 20; i++)
		check_square(pool, i);
	reeve_pool_stats(pool, &stats);
	ck_assert_uint_gt(stats.n_started, 5);
	ck_assert_int_eq(reeve_pool_close(pool), 0);
	ck_assert_int_eq(reeve_pool_join(pool, LONG_WAIT), 0);
	ck_assert_uint_eq(reeve_pool_report(pool, NULL, 0), 0);
	reeve_pool_free(pool);

	pool = new_pool(_i, (struct reeve_pool_spec){ .processes = 2 });
	ck_assert_int_eq(reeve_pool_apply_async(pool, wait_for_ever, NULL, 0,
						NULL, &result),
			 0);
	wait_until_running(pool, 1);
	ck_assert_int_eq(reeve_pool_terminate(pool), 0);
	ck_assert_uint_eq(reeve_pool_report(pool, NULL, 0), 0);
	reeve_result_unref(result);
	reeve_pool_free(pool);
}
END_TEST

START_TEST(test_with_the_keeper)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 2 });
	struct reeve_death deaths[3];
	struct reeve_result *result;
	struct reeve_worker_stats workers[2];

	check_square(pool, 1);
	ck_assert_int_eq(reeve_pool_apply_async(pool, wait_for_ever, NULL, 0,
						NULL, &result),
			 0);
	wait_until_running(pool, 1);
	while (reeve_pool_workers(pool, workers, 2) < 2)
		(void)reeve_pool_dispatch(pool);
	ck_assert_int_eq(kill(pool->keeper_pid, SIGKILL), 0);
	ck_assert_int_eq(reeve_result_wait(result, LONG_WAIT), 0);
	ck_assert_uint_eq(reeve_pool_report(pool, deaths, 3), 2);
	ck_assert_int_eq(deaths[0].cause, REEVE_DEATH_KEEPER);
	ck_assert_int_eq(deaths[1].cause, REEVE_DEATH_KEEPER);
	ck_assert_int_eq(deaths[0].was_busy + deaths[1].was_busy, 1);
	ck_assert_int_eq(deaths[0].exit.code, REEVE_CODE_UNKNOWN);
	ck_assert_int_ne(deaths[0].exit.pid, deaths[1].exit.pid);
	reeve_result_unref(result);
	reeve_pool_free(pool);
}
END_TEST

static void ask_in_child(void *arg)
{
	struct reeve_death death = { .job = 7 };

	_exit(reeve_pool_report(arg, &death, 1) == 0 && death.job == 7 ? 0 : 1);
}

START_TEST(test_in_a_forked_child)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 1 });
	uint64_t way = END_KILL;

	ck_assert_int_eq(reeve_pool_apply(pool, end_somehow, &way, 8, NULL,
					  NULL, NULL),
			 -EPIPE);
	ck_assert_int_eq(unit_fork(ask_in_child, pool, NULL), 0);
	ck_assert_uint_eq(reeve_pool_report(pool, NULL, 0), 1);
	end_pool(pool);
}
END_TEST

POOL_MAIN("pool_report", test_names, test_causes, test_times, test_newest_first,
	  test_what_was_running, test_killed_for_a_task, test_idle_worker,
	  test_failed_starts, test_what_is_no_death, test_with_the_keeper,
	  test_in_a_forked_child)
