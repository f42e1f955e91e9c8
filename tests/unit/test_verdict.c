/* verdict.c: what becomes of a worker whose run has ended. */
#include "supervisor/core/verdict.h"

#include <stdio.h>

#include "tests/unit/core_life.h"

/* --- one run --------------------------------------------------------------- */

/* How one run ends under a policy, and what is made of it. */
struct run_row {
	const char *what;
	enum worker_type type;
	enum autorestart autorestart;
	bool is_ready;
	enum lifecycle_ending ending;
	int code;
	enum worker_event expected;
	unsigned crashes;
};

#define SIMPLE	WORKER_SIMPLE
#define NOTIFY	WORKER_NOTIFY
#define ONESHOT WORKER_ONESHOT
#define NO	AUTORESTART_NO
#define UNEXP	AUTORESTART_UNEXPECTED
#define YES	AUTORESTART_YES
#define NONE	ENDING_NONE

/* clang-format off */
static const struct run_row run_rows[] = {
	/* told to: never judged, whatever the exit code */
	{ "stop", SIMPLE, YES, true, ENDING_STOP, -11, EVENT_V_STOPPED, 0 },
	{ "stop in start", NOTIFY, YES, false, ENDING_STOP, 1, EVENT_V_STOPPED, 0 },
	{ "restart", SIMPLE, NO, true, ENDING_RESTART, -9, EVENT_V_AGAIN, 0 },
	{ "restart in start", SIMPLE, NO, false, ENDING_RESTART, 1, EVENT_V_AGAIN, 0 },
	{ "recycle", SIMPLE, NO, true, ENDING_RECYCLE, -11, EVENT_V_AGAIN, 0 },
	/* never ready: the code does not matter, nor autorestart */
	{ "start, 0", SIMPLE, YES, false, NONE, 0, EVENT_V_LATER, 1 },
	{ "start, 1", SIMPLE, YES, false, NONE, 1, EVENT_V_LATER, 1 },
	{ "start, no", SIMPLE, NO, false, NONE, 1, EVENT_V_LATER, 1 },
	{ "start, unexpected", SIMPLE, UNEXP, false, NONE, 0, EVENT_V_LATER, 1 },
	{ "start, notify", NOTIFY, YES, false, NONE, 0, EVENT_V_LATER, 1 },
	{ "start, tree", NOTIFY, YES, false, ENDING_LEADER_EXIT, 0, EVENT_V_LATER, 1 },
	{ "start, slow", NOTIFY, YES, false, ENDING_START_TIMEOUT, 0, EVENT_V_LATER, 1 },
	{ "start, hangs", NOTIFY, YES, false, ENDING_WATCHDOG, 0, EVENT_V_LATER, 1 },
	/* a oneshot's exit is its being ready */
	{ "oneshot", ONESHOT, UNEXP, false, NONE, 0, EVENT_V_EXITED, 0 },
	{ "oneshot, yes", ONESHOT, YES, false, NONE, 0, EVENT_V_EXITED, 0 },
	{ "oneshot, tree", ONESHOT, YES, false, ENDING_LEADER_EXIT, 0, EVENT_V_EXITED, 0 },
	{ "oneshot fails", ONESHOT, UNEXP, false, NONE, 1, EVENT_V_LATER, 1 },
	{ "oneshot fails, yes", ONESHOT, YES, false, NONE, -9, EVENT_V_LATER, 1 },
	{ "oneshot fails, no", ONESHOT, NO, false, NONE, 1, EVENT_V_EXITED, 1 },
	{ "oneshot, slow", ONESHOT, NO, false, ENDING_START_TIMEOUT, 0, EVENT_V_LATER, 1 },
	{ "oneshot, hangs", ONESHOT, NO, false, ENDING_WATCHDOG, 0, EVENT_V_LATER, 1 },
	/* was ready: autorestart decides */
	{ "run, 0, yes", SIMPLE, YES, true, NONE, 0, EVENT_V_AGAIN, 0 },
	{ "run, 1, yes", SIMPLE, YES, true, NONE, 1, EVENT_V_AGAIN, 1 },
	{ "run, 0, unexpected", SIMPLE, UNEXP, true, NONE, 0, EVENT_V_EXITED, 0 },
	{ "run, 1, unexpected", SIMPLE, UNEXP, true, NONE, 1, EVENT_V_AGAIN, 1 },
	{ "run, -15, unexpected", NOTIFY, UNEXP, true, NONE, -15, EVENT_V_AGAIN, 1 },
	{ "run, 0, no", SIMPLE, NO, true, NONE, 0, EVENT_V_EXITED, 0 },
	{ "run, -11, no", SIMPLE, NO, true, NONE, -11, EVENT_V_EXITED, 1 },
	{ "run, tree", SIMPLE, UNEXP, true, ENDING_LEADER_EXIT, 0, EVENT_V_EXITED, 0 },
	{ "run, tree, 1", SIMPLE, UNEXP, true, ENDING_LEADER_EXIT, 1, EVENT_V_AGAIN, 1 },
	/* the watchdog is never expected */
	{ "hangs, 0", NOTIFY, UNEXP, true, ENDING_WATCHDOG, 0, EVENT_V_AGAIN, 1 },
	{ "hangs, -6", NOTIFY, YES, true, ENDING_WATCHDOG, -6, EVENT_V_AGAIN, 1 },
	{ "hangs, no", NOTIFY, NO, true, ENDING_WATCHDOG, 0, EVENT_V_EXITED, 1 },
};
/* clang-format on */

START_TEST(test_one_run)
{
	for (size_t i = 0; i < ARRAY_SIZE(run_rows); i++) {
		const struct run_row *row = &run_rows[i];
		struct worker_settings p = core_settings();
		struct lifecycle lc;
		enum worker_event verdict;

		lifecycle_init(&lc, T0);
		p.type = row->type;
		p.autorestart = row->autorestart;
		lc.is_ready = row->is_ready;
		lc.ending = row->ending;
		lc.exit.code = row->code;
		verdict = verdict_reach(&lc, &p, T0);
		ck_assert_msg(verdict == row->expected, "%s: %s, not %s",
			      row->what, worker_event_name(verdict),
			      worker_event_name(row->expected));
		ck_assert_msg(lc.crashes == row->crashes, "%s: %d crashes",
			      row->what, (int)lc.crashes);
		ck_assert_uint_eq(lc.recycles, row->ending == ENDING_RECYCLE);
	}
}
END_TEST

/* It never became the program: a failed start, also when startsecs were over
 * before exec was, and also of a oneshot that calls that code a success. */
START_TEST(test_exec_failure)
{
	static const enum worker_type types[] = { SIMPLE, NOTIFY, ONESHOT };

	for (size_t i = 0; i < 2 * ARRAY_SIZE(types); i++) {
		struct worker_settings p = core_settings();
		struct lifecycle lc;

		lifecycle_init(&lc, T0);
		p.type = types[i / 2];
		p.autorestart = NO;
		lc.is_ready = i % 2 == 1;
		lc.exit.is_exec_failure = true;
		ck_assert_uint_eq(verdict_reach(&lc, &p, T0), EVENT_V_LATER);
		ck_assert_uint_eq(lc.start_failures, 1);
		ck_assert_uint_eq(lc.crashes, 1);
	}
}
END_TEST

/* --- rows of runs ----------------------------------------------------------- */

/* Lets it end after uptime with code. */
static void end_after(struct life *l, uint64_t uptime_usec, int code)
{
	l->now_usec += uptime_usec;
	(void)tell_exit(l, EVENT_GONE, code);
}

/* It is in BACKOFF or, at once, STARTING: goes on until it has a process.
 * Returns how long that took. */
static uint64_t next_process(struct life *l)
{
	uint64_t from_usec = l->now_usec;

	if (l->lc.state == STATE_BACKOFF)
		ck_assert_uint_eq(timeout(l), ACTION_SPAWN);
	ck_assert_uint_eq(l->lc.state, STATE_STARTING);
	(void)tell(l, EVENT_SPAWNED);
	return l->now_usec - from_usec;
}

/* startretries = 3 are four tries, with 1, 2 and 4 seconds between them. */
START_TEST(test_startretries)
{
	for (uint32_t retries = 0; retries < 5; retries++) {
		struct life l;

		life_init(&l);
		l.p.startretries = retries;
		start(&l);
		for (uint32_t i = 0; i < retries; i++) {
			end_after(&l, 10 * MSEC, 0);
			ck_assert_uint_eq(next_process(&l), SEC << i);
		}
		end_after(&l, 10 * MSEC, 0);
		ck_assert_uint_eq(l.lc.state, STATE_FATAL);
		ck_assert_uint_eq(l.lc.starts, retries + 1);
		ck_assert_uint_eq(l.lc.restarts, retries);
		ck_assert_uint_eq(l.lc.crashes, retries + 1);

		start(&l); /* with all tries again */
		ck_assert_uint_eq(l.lc.start_failures, 0);
	}
}
END_TEST

START_TEST(test_being_ready_ends_the_row)
{
	struct life l;

	life_init(&l);
	l.p.startretries = 1;
	start(&l);
	for (int i = 0; i < 20; i++) {
		end_after(&l, 10 * MSEC, 1);
		ck_assert_uint_eq(l.lc.start_failures, 1);
		(void)next_process(&l);
		(void)timeout(&l); /* ready */
		ck_assert_uint_eq(l.lc.start_failures, 0);
		end_after(&l, 100 * SEC, 1); /* stable: at once */
		ck_assert_uint_eq(next_process(&l), 0);
	}
}
END_TEST

/* START hurries a BACKOFF, but forgives nothing. */
START_TEST(test_start_in_backoff)
{
	struct life l;

	life_init(&l);
	start(&l);
	for (int i = 0; i < 3; i++) {
		end_after(&l, 0, 1);
		ck_assert_uint_eq(l.lc.state, STATE_BACKOFF);
		start(&l);
	}
	end_after(&l, 0, 1);
	ck_assert_uint_eq(l.lc.state, STATE_FATAL);
	ck_assert_uint_eq(l.lc.restarts, 0); /* all of them asked for */
}
END_TEST

/* Ready at once and dead at once: at once, then 1, 2, 4 ... 60 seconds. */
START_TEST(test_crash_loop)
{
	static const uint64_t seconds[] = { 0, 1, 2, 4, 8, 16, 32, 60, 60 };
	struct life l;

	life_init(&l);
	l.p.startsecs_usec = 0;
	start(&l);
	for (size_t i = 0; i < ARRAY_SIZE(seconds); i++) {
		(void)tell(&l, EVENT_RUNS);
		ck_assert_uint_eq(l.lc.state, STATE_RUNNING);
		end_after(&l, 1 * MSEC, -SIGSEGV);
		ck_assert_uint_eq(l.lc.delay_usec, seconds[i] * SEC);
		ck_assert_uint_eq(next_process(&l), seconds[i] * SEC);
		ck_assert_uint_eq(l.lc.restarts, i + 1);
		ck_assert_uint_eq(l.lc.crashes, i + 1);
		ck_assert_uint_eq(l.lc.run_failures, i + 1);
	}
	/* One microsecond short of a stable run, and one that is. */
	(void)tell(&l, EVENT_RUNS);
	end_after(&l, 60 * SEC - 1, 1);
	ck_assert_uint_eq(next_process(&l), 60 * SEC);
	(void)tell(&l, EVENT_RUNS);
	end_after(&l, 60 * SEC, 1);
	ck_assert_uint_eq(next_process(&l), 0);
	ck_assert_uint_eq(l.lc.run_failures, 1);
}
END_TEST

START_TEST(test_jitter_in_backoff)
{
	struct life l;
	bool differ = false;

	life_init(&l);
	l.p.restart_jitter_percent = 10;
	l.p.startretries = UINT32_MAX;
	start(&l);
	for (int i = 0; i < 200; i++) {
		uint64_t took_usec;

		end_after(&l, 0, 1);
		took_usec = next_process(&l);
		ck_assert_uint_ge(took_usec, l.lc.delay_usec / 10 * 9);
		ck_assert_uint_le(took_usec, l.lc.delay_usec / 10 * 11);
		ck_assert_uint_le(took_usec, 60 * SEC);
		differ = differ || took_usec != l.lc.delay_usec;
	}
	ck_assert(differ);
}
END_TEST

/* restart_delay = 0: at once, always, but startretries still hold. */
START_TEST(test_no_delay)
{
	struct life l;

	life_init(&l);
	l.p.restart_delay_usec = 0;
	run(&l);
	for (int i = 0; i < 100; i++) {
		end_after(&l, 0, 1);
		ck_assert_uint_eq(next_process(&l), 0);
		(void)timeout(&l);
	}
	end_after(&l, 0, 1);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(next_process(&l), 0);
		end_after(&l, 0, 1);
	}
	ck_assert_uint_eq(next_process(&l), 0);
	end_after(&l, 0, 1);
	ck_assert_uint_eq(l.lc.state, STATE_FATAL);
}
END_TEST

/* restart_limit = 3/10: three restarts in ten seconds, no fourth. */
static void limited(struct life *l)
{
	life_init(l);
	l->p.restart_delay_usec = 0;
	l->p.restart_limit = (struct rate){ 3, 10 * SEC };
	run(l);
	for (int i = 0; i < 3; i++) {
		end_after(l, 0, 1);
		(void)next_process(l);
		(void)tell(l, EVENT_READY);
	}
	ck_assert_uint_eq(l->lc.restarts, 3);
}

START_TEST(test_restart_limit)
{
	struct life l;

	limited(&l);
	end_after(&l, 10 * SEC, 1); /* still in the window: its last instant */
	ck_assert_uint_eq(l.lc.state, STATE_FATAL);
	ck_assert_uint_eq(l.lc.restarts, 3);
	ck_assert_uint_eq(l.lc.crashes, 4);
	ck_assert_uint_eq(l.lc.deadline_usec, USEC_INFINITY);

	run(&l); /* START: a window of its own */
	for (int i = 0; i < 3; i++) {
		end_after(&l, 0, 1);
		ck_assert_uint_eq(l.lc.state, STATE_STARTING);
		(void)next_process(&l);
		(void)tell(&l, EVENT_READY);
	}

	limited(&l);
	end_after(&l, 10 * SEC + 1, 1); /* a new window begins */
	ck_assert_uint_eq(l.lc.state, STATE_STARTING);
}
END_TEST

/* What is told, and starts that fail, are not counted in restart_limit. */
START_TEST(test_limit_counts_runs_only)
{
	struct life l;

	life_init(&l);
	l.p.restart_delay_usec = 0;
	l.p.restart_limit = (struct rate){ 1, 100 * SEC };
	l.p.startretries = 50;
	run(&l);
	for (int i = 0; i < 10; i++) {
		(void)tell(&l, i % 2 ? EVENT_RECYCLE : EVENT_RESTART);
		end_after(&l, 0, 1);
		(void)next_process(&l);
		end_after(&l, 0, 1); /* a failed start */
		(void)next_process(&l);
		(void)tell(&l, EVENT_READY);
	}
	ck_assert_uint_eq(l.lc.recycles, 5);
	end_after(&l, 0, 1);
	ck_assert_uint_eq(l.lc.state, STATE_STARTING);
	(void)next_process(&l);
	(void)tell(&l, EVENT_READY);
	end_after(&l, 0, 1);
	ck_assert_uint_eq(l.lc.state, STATE_FATAL);
}
END_TEST

/* RESTART and STOP begin a new account, RECYCLE does not. */
START_TEST(test_forgetting)
{
	static const struct {
		enum worker_event event;
		uint32_t run_failures;
	} rows[] = {
		{ EVENT_RESTART, 0 },
		{ EVENT_STOP, 0 },
		{ EVENT_STOP_NOW, 0 },
		{ EVENT_RECYCLE, 2 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct life l;

		life_init(&l);
		run(&l);
		for (int k = 0; k < 2; k++) {
			end_after(&l, 1 * SEC, 1);
			(void)next_process(&l);
			(void)tell(&l, EVENT_READY);
		}
		(void)tell(&l, rows[i].event);
		end_after(&l, 1 * SEC, 1);
		ck_assert_uint_eq(l.lc.run_failures, rows[i].run_failures);
		ck_assert_uint_eq(l.lc.crashes, 2); /* counters only grow */
		ck_assert_uint_eq(l.lc.delay_usec,
				  rows[i].run_failures > 0 ? SEC : 0);
	}
}
END_TEST

START_TEST(test_counters_stay_at_their_maximum)
{
	struct worker_settings p = core_settings();
	struct lifecycle lc;
	uint32_t n = UINT32_MAX - 1;

	verdict_count(&n);
	ck_assert_uint_eq(n, UINT32_MAX);
	verdict_count(&n);
	ck_assert_uint_eq(n, UINT32_MAX);

	/* for ever, with startretries at its maximum */
	lifecycle_init(&lc, T0);
	p.startretries = UINT32_MAX;
	lc.start_failures = UINT32_MAX;
	ck_assert_uint_eq(verdict_reach(&lc, &p, T0), EVENT_V_LATER);
	ck_assert_uint_eq(lc.delay_usec, 60 * SEC);

	lifecycle_init(&lc, T0);
	lc.is_ready = true;
	lc.run_failures = UINT32_MAX;
	ck_assert_uint_eq(verdict_reach(&lc, &p, T0), EVENT_V_LATER);
	ck_assert_uint_eq(lc.delay_usec, 60 * SEC);
}
END_TEST

UNIT_MAIN("verdict", test_one_run, test_exec_failure, test_startretries,
	  test_being_ready_ends_the_row, test_start_in_backoff, test_crash_loop,
	  test_jitter_in_backoff, test_no_delay, test_restart_limit,
	  test_limit_counts_runs_only, test_forgetting,
	  test_counters_stay_at_their_maximum)
