/* act.c: what the actions do, in stories of several events. */
#include "supervisor/core/act.h"

#include "tests/unit/core_life.h"

/* --- starting ------------------------------------------------------------- */

/* When each type is ready, by each of the signs. */
START_TEST(test_ready)
{
	static const struct {
		enum worker_type type;
		uint64_t startsecs, start_timeout;
		const char *spawned, *runs, *ready, *timeout;
	} rows[] = {
		{ WORKER_SIMPLE, 1 * SEC, 90 * SEC, "STARTING 1000ms",
		  "STARTING 1000ms", "RUNNING", "RUNNING" },
		{ WORKER_SIMPLE, 0, 90 * SEC, "STARTING", "RUNNING", "RUNNING",
		  NULL },
		{ WORKER_NOTIFY, 1 * SEC, 90 * SEC, "STARTING 90000ms",
		  "STARTING 90000ms", "RUNNING", STOPS },
		{ WORKER_NOTIFY, 0, USEC_INFINITY, "STARTING", "STARTING",
		  "RUNNING", NULL },
		{ WORKER_ONESHOT, 0, 90 * SEC, "STARTING 90000ms",
		  "STARTING 90000ms", "STARTING 90000ms", STOPS },
		{ WORKER_ONESHOT, 1 * SEC, USEC_INFINITY, "STARTING",
		  "STARTING", "STARTING", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct life l, started;

		life_init(&l);
		l.p.type = rows[i].type;
		l.p.startsecs_usec = rows[i].startsecs;
		l.p.start_timeout_usec = rows[i].start_timeout;
		start(&l);
		started = l;
		check_words(&l, 0, rows[i].spawned);
		check_words(&l, tell(&l, EVENT_RUNS), rows[i].runs);
		l = started;
		check_words(&l, tell(&l, EVENT_READY), rows[i].ready);
		l = started;
		if (rows[i].timeout)
			check_words(&l, timeout(&l), rows[i].timeout);
	}
}
END_TEST

START_TEST(test_becoming_ready)
{
	struct life l;

	life_init(&l);
	start(&l);
	ck_assert(l.lc.has_process && !l.lc.is_ready);
	ck_assert_uint_eq(l.lc.spawned_usec, T0);
	ck_assert_uint_eq(l.lc.ready_usec, 0);
	ck_assert_uint_eq(timeout(&l), 0);
	ck_assert(l.lc.is_ready);
	ck_assert_uint_eq(l.lc.ready_usec, T0 + 1 * SEC);
	ck_assert_uint_eq(l.lc.changed_usec, T0 + 1 * SEC);
	ck_assert_uint_eq(l.lc.starts, 1);

	/* The next run begins as if there had been none. */
	(void)tell(&l, EVENT_RESTART);
	(void)tell(&l, EVENT_GONE);
	(void)tell(&l, EVENT_SPAWNED);
	ck_assert(!l.lc.is_ready);
	ck_assert_uint_eq(l.lc.ready_usec, 0);
}
END_TEST

/* No process can be made: 100 ms doubled up to restart_delay_max, for ever,
 * and nobody's failure. */
START_TEST(test_spawn_failures)
{
	static const uint64_t msec[] = { 100,  200,  400,  800, 1600,
					 3200, 5000, 5000, 5000 };
	struct life l;

	life_init(&l);
	l.p.restart_delay_max_usec = 5 * SEC;
	(void)tell(&l, EVENT_START);
	for (size_t i = 0; i < ARRAY_SIZE(msec); i++) {
		ck_assert_uint_eq(tell(&l, EVENT_SPAWN_FAILED), 0);
		ck_assert_uint_eq(l.lc.state, STATE_BACKOFF);
		ck_assert_uint_eq(l.lc.deadline_usec - l.now_usec,
				  msec[i] * MSEC);
		ck_assert_uint_eq(l.lc.delay_usec, msec[i] * MSEC);
		ck_assert_uint_eq(timeout(&l), ACTION_SPAWN);
	}
	ck_assert_uint_eq(l.lc.start_failures + l.lc.crashes, 0);
	ck_assert_uint_eq(l.lc.starts, 0);
	(void)tell(&l, EVENT_SPAWNED);
	ck_assert_uint_eq(l.lc.spawn_failures, 0);
	ck_assert_uint_eq(l.lc.starts, 1);
	ck_assert_uint_eq(l.lc.restarts, 0);
}
END_TEST

/* A maximum below the first delay must not make us spin. */
START_TEST(test_spawn_failures_never_spin)
{
	struct life l;

	life_init(&l);
	l.p.restart_delay_usec = 0;
	l.p.restart_delay_max_usec = 0;
	l.p.restart_jitter_percent = 100;
	(void)tell(&l, EVENT_START);
	for (int i = 0; i < 100; i++) {
		ck_assert_uint_eq(tell(&l, EVENT_SPAWN_FAILED), 0);
		ck_assert_uint_gt(l.lc.deadline_usec, l.now_usec);
		ck_assert_uint_le(l.lc.deadline_usec, l.now_usec + 100 * MSEC);
		(void)timeout(&l);
	}
}
END_TEST

START_TEST(test_extend)
{
	static const enum worker_type types[] = { WORKER_NOTIFY,
						  WORKER_ONESHOT };
	struct life l;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		life_init(&l);
		l.p.type = types[i];
		l.p.start_timeout_usec = 30 * SEC;
		start(&l);
		check_words(&l, tell(&l, EVENT_EXTEND), "STARTING 30000ms");
		l.now_usec += 25 * SEC;
		check_words(&l, tell(&l, EVENT_EXTEND), "STARTING 20000ms");
		check_words(&l, tell(&l, EVENT_STOP), STOPS);
		check_words(&l, tell(&l, EVENT_EXTEND), "STOPPING 20000ms");
		check_words(&l, timeout(&l), "STOPPING signal(2) 5000ms");
	}
	/* For ever stays for ever. */
	life_init(&l);
	l.p.type = WORKER_NOTIFY;
	l.p.start_timeout_usec = USEC_INFINITY;
	start(&l);
	check_words(&l, tell(&l, EVENT_EXTEND), "STARTING");
}
END_TEST

/* --- stopping ------------------------------------------------------------- */

START_TEST(test_ladder)
{
	struct life l;

	life_init(&l);
	run(&l);
	check_words(&l, tell(&l, EVENT_STOP), STOPS);
	ck_assert_uint_eq(l.lc.rung, 0);
	check_words(&l, timeout(&l), "STOPPING signal(2) 5000ms");
	ck_assert_uint_eq(l.lc.rung, 1);
	ck_assert_uint_eq(l.lc.changed_usec, T0); /* still the same state */
	check_words(&l, timeout(&l), KILLS);
	check_words(&l, timeout(&l), "KILLING kill unkillable 5000ms");
	check_words(&l, timeout(&l), "KILLING kill unkillable 5000ms");
	check_words(&l, tell_exit(&l, EVENT_GONE, -SIGKILL), "STOPPED");
	ck_assert_uint_eq(l.lc.crashes, 0);
	ck_assert_int_eq(l.lc.exit.code, -SIGKILL);
	ck_assert_uint_eq(l.lc.exit_uptime_usec, 25 * SEC);
}
END_TEST

/* Ladders of one rung, without KILL, and with a rung at which it stands. */
START_TEST(test_other_ladders)
{
	struct life l;

	life_init(&l);
	l.p.stop = (struct stop_ladder){ { { SIGKILL, 0 } }, 1 };
	ck_assert_uint_eq(lifecycle_ladder_usec(&l.p), 5 * SEC);
	run(&l);
	check_words(&l, tell(&l, EVENT_STOP), KILLS);
	check_words(&l, tell(&l, EVENT_GONE), "STOPPED");

	run(&l);
	check_words(&l, tell(&l, EVENT_RECYCLE), KILLS);
	check_words(&l, tell(&l, EVENT_GONE), SPAWNS);

	life_init(&l);
	l.p.stop = (struct stop_ladder){ { { SIGQUIT, 3 * SEC } }, 1 };
	ck_assert_uint_eq(lifecycle_ladder_usec(&l.p), 8 * SEC);
	run(&l);
	check_words(&l, tell(&l, EVENT_STOP), "STOPPING signal(3) 3000ms");
	check_words(&l, timeout(&l), KILLS);

	/* No time of its own: stopwaitsecs. */
	life_init(&l);
	l.p.stop = (struct stop_ladder){ { { SIGHUP, USEC_INFINITY } }, 1 };
	ck_assert_uint_eq(lifecycle_ladder_usec(&l.p), 15 * SEC);
	run(&l);
	check_words(&l, tell(&l, EVENT_STOP), "STOPPING signal(1) 10000ms");

	l.p.stopwaitsecs_usec = USEC_INFINITY;
	ck_assert_uint_eq(lifecycle_ladder_usec(&l.p), USEC_INFINITY);
	l.p = core_settings();
	ck_assert_uint_eq(lifecycle_ladder_usec(&l.p), 20 * SEC);
}
END_TEST

START_TEST(test_full_ladder)
{
	struct life l;

	life_init(&l);
	l.p.stop.n_rungs = SETTINGS_LADDER_MAX;
	for (int i = 0; i < SETTINGS_LADDER_MAX; i++)
		l.p.stop.rungs[i] = (struct stop_rung){ SIGUSR1, 1 * SEC };
	ck_assert_uint_eq(lifecycle_ladder_usec(&l.p),
			  (SETTINGS_LADDER_MAX + 5) * SEC);
	run(&l);
	(void)tell(&l, EVENT_STOP);
	for (int i = 1; i < SETTINGS_LADDER_MAX; i++)
		check_words(&l, timeout(&l), "STOPPING signal(10) 1000ms");
	check_words(&l, timeout(&l), KILLS);
}
END_TEST

/* The leader obeys at once, its children do not: they are asked on. */
START_TEST(test_stop_with_a_tree)
{
	struct life l;

	life_init(&l);
	run(&l);
	l.now_usec += 100 * SEC;
	(void)tell(&l, EVENT_STOP);
	l.now_usec += 1 * SEC;
	check_words(&l, tell_exit(&l, EVENT_LEADER_EXIT, 7),
		    "STOPPING tree(15) 9000ms");
	check_words(&l, timeout(&l), "STOPPING tree(2) 5000ms");
	check_words(&l, timeout(&l), KILLS);
	l.now_usec += 1 * SEC;
	check_words(&l, tell_exit(&l, EVENT_GONE, 99), "STOPPED");
	/* How the leader ended is what counts. */
	ck_assert_int_eq(l.lc.exit.code, 7);
	ck_assert_uint_eq(l.lc.exit_usec, T0 + 101 * SEC);
	ck_assert_uint_eq(l.lc.exit_uptime_usec, 101 * SEC);

	/* And the next run has an exit of its own. */
	run(&l);
	(void)tell(&l, EVENT_STOP);
	(void)tell_exit(&l, EVENT_GONE, 8);
	ck_assert_int_eq(l.lc.exit.code, 8);
}
END_TEST

START_TEST(test_start_while_stopping)
{
	static const enum worker_event stops[] = { EVENT_STOP, EVENT_STOP_NOW };
	static const enum worker_event starts[] = { EVENT_START,
						    EVENT_RESTART };

	for (size_t i = 0; i < 4; i++) {
		struct life l;

		life_init(&l);
		run(&l);
		(void)tell(&l, stops[i / 2]);
		ck_assert(!lifecycle_is_wanted(&l.lc));
		ck_assert_uint_eq(tell(&l, starts[i % 2]), 0);
		ck_assert(lifecycle_is_wanted(&l.lc));
		check_words(&l, tell(&l, EVENT_GONE), SPAWNS);
		(void)tell(&l, EVENT_SPAWNED);
		ck_assert(!l.lc.start_wanted);
		ck_assert_uint_eq(l.lc.restarts + l.lc.crashes, 0);
		ck_assert_uint_eq(l.lc.starts, 2);
	}
}
END_TEST

/* The last word counts. */
START_TEST(test_stop_overrules)
{
	static const enum worker_event begins[] = {
		EVENT_RESTART, EVENT_RECYCLE, EVENT_WATCHDOG, EVENT_LEADER_EXIT,
		EVENT_STOP
	};

	for (size_t i = 0; i < ARRAY_SIZE(begins); i++) {
		struct life l;

		life_init(&l);
		run(&l);
		(void)tell(&l, begins[i]);
		(void)tell(&l, EVENT_START);
		ck_assert(lifecycle_is_wanted(&l.lc));
		ck_assert_uint_eq(tell(&l, EVENT_STOP), 0);
		ck_assert(!lifecycle_is_wanted(&l.lc));
		check_words(&l, tell(&l, EVENT_GONE), "STOPPED");
		ck_assert(!l.lc.is_recycling);
		ck_assert_uint_eq(l.lc.recycles, 0);
	}
}
END_TEST

START_TEST(test_second_stop)
{
	struct life l;

	life_init(&l);
	run(&l);
	(void)tell(&l, EVENT_RESTART);
	check_words(&l, tell(&l, EVENT_STOP_NOW), KILLS);
	check_words(&l, tell(&l, EVENT_GONE), "STOPPED");
}
END_TEST

/* --- ends of its own ------------------------------------------------------ */

START_TEST(test_leader_exit)
{
	struct life l;

	life_init(&l);
	run(&l);
	l.now_usec += 7 * SEC;
	check_words(&l, tell_exit(&l, EVENT_LEADER_EXIT, 3), KILLS);
	ck_assert(l.lc.has_process); /* of its tree */
	ck_assert(lifecycle_is_wanted(&l.lc));
	ck_assert(l.lc.has_exit);
	ck_assert_int_eq(l.lc.exit.code, 3);
	l.now_usec += 1 * SEC;
	check_words(&l, tell_exit(&l, EVENT_GONE, 99), SPAWNS);
	ck_assert_int_eq(l.lc.exit.code, 3);
	ck_assert_uint_eq(l.lc.exit_uptime_usec, 7 * SEC);
	ck_assert_uint_eq(l.lc.crashes, 1);
}
END_TEST

/* A trace first, then KILL; the ladder is not for those who hang. */
START_TEST(test_watchdog)
{
	struct life l, aborted;

	life_init(&l);
	run(&l);
	check_words(&l, tell(&l, EVENT_WATCHDOG), ABORTS);
	ck_assert_int_eq(l.lc.signo, SIGABRT);
	aborted = l;
	check_words(&l, timeout(&l), KILLS);
	l = aborted; /* dumps core, its children live on */
	check_words(&l, tell(&l, EVENT_LEADER_EXIT), KILLS);
	l = aborted; /* wins no time */
	check_words(&l, tell(&l, EVENT_EXTEND), "STOPPING 5000ms");
	l = aborted;
	check_words(&l, tell_exit(&l, EVENT_GONE, 0), SPAWNS);
	ck_assert_uint_eq(l.lc.crashes, 1); /* although it exited with 0 */
}
END_TEST

START_TEST(test_start_while_a_crash_is_cleaned_up)
{
	struct life l;

	life_init(&l);
	l.p.autorestart = AUTORESTART_NO;
	run(&l);
	(void)tell(&l, EVENT_LEADER_EXIT);
	(void)tell(&l, EVENT_START);
	check_words(&l, tell(&l, EVENT_GONE), SPAWNS);
	(void)tell(&l, EVENT_SPAWNED);
	ck_assert_uint_eq(l.lc.crashes, 1);
	ck_assert_uint_eq(l.lc.restarts, 0); /* somebody asked for it */

	life_init(&l); /* an automatic restart that was asked for meanwhile */
	run(&l);
	(void)tell(&l, EVENT_LEADER_EXIT);
	(void)tell(&l, EVENT_START);
	check_words(&l, tell(&l, EVENT_GONE), SPAWNS);
	(void)tell(&l, EVENT_SPAWNED);
	ck_assert_uint_eq(l.lc.restarts, 0);
}
END_TEST

/* --- recycling ------------------------------------------------------------ */

START_TEST(test_recycle)
{
	struct life l;

	life_init(&l);
	run(&l);
	check_words(&l, tell(&l, EVENT_RECYCLE), STOPS);
	ck_assert(l.lc.is_recycling && lifecycle_is_wanted(&l.lc));
	check_words(&l, tell_exit(&l, EVENT_GONE, -SIGTERM), SPAWNS);
	ck_assert_uint_eq(l.lc.recycles, 1);
	(void)tell(&l, EVENT_SPAWNED);
	ck_assert(l.lc.is_recycling); /* until it is ready again */
	(void)timeout(&l);
	ck_assert(!l.lc.is_recycling);
	ck_assert_uint_eq(l.lc.restarts + l.lc.crashes, 0);
	ck_assert_uint_eq(l.lc.run_failures + l.lc.start_failures, 0);
}
END_TEST

/* The replacement crashes: a failure as usual, and its place in recycle_max is
 * given back only when it is ready or given up. */
START_TEST(test_recycle_that_fails)
{
	struct life l;

	life_init(&l);
	l.p.startretries = 1;
	run(&l);
	(void)tell(&l, EVENT_RECYCLE);
	(void)tell(&l, EVENT_GONE);
	(void)tell(&l, EVENT_SPAWNED);
	check_words(&l, tell(&l, EVENT_GONE), "BACKOFF 1000ms");
	ck_assert(l.lc.is_recycling);
	ck_assert_uint_eq(l.lc.crashes, 1);
	(void)timeout(&l);
	(void)tell(&l, EVENT_SPAWNED);
	check_words(&l, tell(&l, EVENT_GONE), "FATAL");
	ck_assert(!l.lc.is_recycling);
	ck_assert_uint_eq(l.lc.recycles, 1);
}
END_TEST

UNIT_MAIN("act", test_ready, test_becoming_ready, test_spawn_failures,
	  test_spawn_failures_never_spin, test_extend, test_ladder,
	  test_other_ladders, test_full_ladder, test_stop_with_a_tree,
	  test_start_while_stopping, test_stop_overrules, test_second_stop,
	  test_leader_exit, test_watchdog,
	  test_start_while_a_crash_is_cleaned_up, test_recycle,
	  test_recycle_that_fails)
