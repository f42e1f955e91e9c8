/* lifecycle.c: every cell of the table, and what can be asked.
 *
 * The grid below was written from the description of the states, not from the
 * table, and is what the table is held to: state x event -> state, actions,
 * deadline. What single actions do is in test_act.c, verdicts on ended runs in
 * test_verdict.c, random lives in test_lifecycle_walk.c.
 */
#include "supervisor/core/lifecycle.h"

#include <string.h>
#include <unistd.h>

#include "tests/unit/core_life.h"

/* --- the grid ------------------------------------------------------------- */

/* The states, and one more: STARTING before SPAWN was answered. */
#define ROW_UNANSWERED STATE_COUNT
#define ROWS	       (STATE_COUNT + 1)

#define SAME  "same"  /* nothing has changed, nothing is to be done */
#define NEVER "never" /* the program ends */

/* 250 ms after the state was entered (TIMEOUT: when it is due). */

/* clang-format off */
static const char *const grid[ROWS][EVENT_V_STOPPED] = {
	[STATE_STOPPED] = {
		[EVENT_START] = SPAWNS,		[EVENT_STOP] = SAME,
		[EVENT_STOP_NOW] = SAME,	[EVENT_RESTART] = SPAWNS,
		[EVENT_RECYCLE] = SAME,		[EVENT_SPAWNED] = NEVER,
		[EVENT_SPAWN_FAILED] = NEVER,	[EVENT_RUNS] = NEVER,
		[EVENT_READY] = SAME,		[EVENT_EXTEND] = SAME,
		[EVENT_WATCHDOG] = SAME,	[EVENT_LEADER_EXIT] = NEVER,
		[EVENT_GONE] = NEVER,		[EVENT_TIMEOUT] = NEVER,
	},
	[STATE_STARTING] = {
		[EVENT_START] = SAME,		[EVENT_STOP] = STOPS,
		[EVENT_STOP_NOW] = KILLS,	[EVENT_RESTART] = STOPS,
		[EVENT_RECYCLE] = SAME,		[EVENT_SPAWNED] = NEVER,
		[EVENT_SPAWN_FAILED] = NEVER,	[EVENT_RUNS] = SAME,
		[EVENT_READY] = "RUNNING",	[EVENT_EXTEND] = SAME,
		[EVENT_WATCHDOG] = ABORTS,	[EVENT_LEADER_EXIT] = KILLS,
		[EVENT_GONE] = "BACKOFF 1000ms", [EVENT_TIMEOUT] = "RUNNING",
	},
	[STATE_RUNNING] = {
		[EVENT_START] = SAME,		[EVENT_STOP] = STOPS,
		[EVENT_STOP_NOW] = KILLS,	[EVENT_RESTART] = STOPS,
		[EVENT_RECYCLE] = STOPS,	[EVENT_SPAWNED] = NEVER,
		[EVENT_SPAWN_FAILED] = NEVER,	[EVENT_RUNS] = SAME,
		[EVENT_READY] = SAME,		[EVENT_EXTEND] = SAME,
		[EVENT_WATCHDOG] = ABORTS,	[EVENT_LEADER_EXIT] = KILLS,
		[EVENT_GONE] = SPAWNS,		[EVENT_TIMEOUT] = NEVER,
	},
	[STATE_BACKOFF] = {
		[EVENT_START] = SPAWNS,		[EVENT_STOP] = "STOPPED",
		[EVENT_STOP_NOW] = "STOPPED",	[EVENT_RESTART] = SPAWNS,
		[EVENT_RECYCLE] = SAME,		[EVENT_SPAWNED] = NEVER,
		[EVENT_SPAWN_FAILED] = NEVER,	[EVENT_RUNS] = NEVER,
		[EVENT_READY] = SAME,		[EVENT_EXTEND] = SAME,
		[EVENT_WATCHDOG] = SAME,	[EVENT_LEADER_EXIT] = NEVER,
		[EVENT_GONE] = NEVER,		[EVENT_TIMEOUT] = SPAWNS,
	},
	[STATE_STOPPING] = { /* by STOP */
		[EVENT_START] = "STOPPING 9750ms", [EVENT_STOP] = SAME,
		[EVENT_STOP_NOW] = KILLS, [EVENT_RESTART] = "STOPPING 9750ms",
		[EVENT_RECYCLE] = SAME,		[EVENT_SPAWNED] = NEVER,
		[EVENT_SPAWN_FAILED] = NEVER,	[EVENT_RUNS] = SAME,
		[EVENT_READY] = SAME, [EVENT_EXTEND] = "STOPPING 20000ms",
		[EVENT_WATCHDOG] = SAME,
		[EVENT_LEADER_EXIT] = "STOPPING tree(15) 9750ms",
		[EVENT_GONE] = "STOPPED",
		[EVENT_TIMEOUT] = "STOPPING signal(2) 5000ms",
	},
	[STATE_KILLING] = { /* by STOP_NOW */
		[EVENT_START] = "KILLING 4750ms", [EVENT_STOP] = SAME,
		[EVENT_STOP_NOW] = SAME, [EVENT_RESTART] = "KILLING 4750ms",
		[EVENT_RECYCLE] = SAME,		[EVENT_SPAWNED] = NEVER,
		[EVENT_SPAWN_FAILED] = NEVER,	[EVENT_RUNS] = SAME,
		[EVENT_READY] = SAME,		[EVENT_EXTEND] = SAME,
		[EVENT_WATCHDOG] = SAME,
		[EVENT_LEADER_EXIT] = "KILLING 4750ms",
		[EVENT_GONE] = "STOPPED",
		[EVENT_TIMEOUT] = "KILLING kill unkillable 5000ms",
	},
	[STATE_EXITED] = {
		[EVENT_START] = SPAWNS,		[EVENT_STOP] = "STOPPED",
		[EVENT_STOP_NOW] = "STOPPED",	[EVENT_RESTART] = SPAWNS,
		[EVENT_RECYCLE] = SAME,		[EVENT_SPAWNED] = NEVER,
		[EVENT_SPAWN_FAILED] = NEVER,	[EVENT_RUNS] = NEVER,
		[EVENT_READY] = SAME,		[EVENT_EXTEND] = SAME,
		[EVENT_WATCHDOG] = SAME,	[EVENT_LEADER_EXIT] = NEVER,
		[EVENT_GONE] = NEVER,		[EVENT_TIMEOUT] = NEVER,
	},
	[STATE_FATAL] = {
		[EVENT_START] = SPAWNS,		[EVENT_STOP] = "STOPPED",
		[EVENT_STOP_NOW] = "STOPPED",	[EVENT_RESTART] = SPAWNS,
		[EVENT_RECYCLE] = SAME,		[EVENT_SPAWNED] = NEVER,
		[EVENT_SPAWN_FAILED] = NEVER,	[EVENT_RUNS] = NEVER,
		[EVENT_READY] = SAME,		[EVENT_EXTEND] = SAME,
		[EVENT_WATCHDOG] = SAME,	[EVENT_LEADER_EXIT] = NEVER,
		[EVENT_GONE] = NEVER,		[EVENT_TIMEOUT] = NEVER,
	},
	[ROW_UNANSWERED] = {
		[EVENT_START] = NEVER,		[EVENT_STOP] = NEVER,
		[EVENT_STOP_NOW] = NEVER,	[EVENT_RESTART] = NEVER,
		[EVENT_RECYCLE] = NEVER, [EVENT_SPAWNED] = "STARTING 1000ms",
		[EVENT_SPAWN_FAILED] = "BACKOFF 100ms", [EVENT_RUNS] = NEVER,
		[EVENT_READY] = NEVER,		[EVENT_EXTEND] = NEVER,
		[EVENT_WATCHDOG] = NEVER,	[EVENT_LEADER_EXIT] = NEVER,
		[EVENT_GONE] = NEVER,		[EVENT_TIMEOUT] = NEVER,
	},
};
/* clang-format on */

/* Brings a worker into the state of a row, by events only. */
static void reach(struct life *l, unsigned row)
{
	life_init(l);
	switch (row) {
	case STATE_STARTING:
		start(l);
		break;
	case STATE_RUNNING:
		run(l);
		break;
	case STATE_BACKOFF:
		start(l);
		(void)tell(l, EVENT_GONE);
		break;
	case STATE_STOPPING:
		run(l);
		(void)tell(l, EVENT_STOP);
		break;
	case STATE_KILLING:
		run(l);
		(void)tell(l, EVENT_STOP_NOW);
		break;
	case STATE_EXITED:
		l->p.autorestart = AUTORESTART_NO;
		run(l);
		(void)tell(l, EVENT_GONE);
		break;
	case STATE_FATAL:
		l->p.startretries = 0;
		start(l);
		(void)tell(l, EVENT_GONE);
		break;
	case ROW_UNANSWERED:
		(void)tell(l, EVENT_START);
		break;
	default: /* STOPPED */
		break;
	}
}

static const char *row_name(unsigned row)
{
	return row == ROW_UNANSWERED ? "STARTING (unanswered)"
				     : worker_state_name(row);
}

struct cell_call {
	unsigned row;
	enum worker_event event;
};

/* In a child: reaches the row, tells the event, prints what came of it. */
static void call_cell(void *arg)
{
	const struct cell_call *call = arg;
	struct life l;
	unsigned char before[sizeof(l.lc)], after[sizeof(l.lc)];
	char buf[128];
	unsigned actions;

	reach(&l, call->row);
	if (call->row < ROW_UNANSWERED && l.lc.state != call->row)
		_exit(1);
	if (call->event == EVENT_TIMEOUT) /* at the end of time, if never */
		l.now_usec = l.lc.deadline_usec;
	else
		l.now_usec += 250 * MSEC;
	memcpy(before, &l.lc, sizeof(before));
	actions = tell(&l, call->event);
	memcpy(after, &l.lc, sizeof(after));
	if (actions == 0 && memcmp(before, after, sizeof(after)) == 0)
		(void)printf("%s", SAME);
	else
		(void)printf("%s", words(&l, actions, buf, sizeof(buf)));
}

static void check_cell(unsigned row, enum worker_event event,
		       const char *expected)
{
	struct cell_call call = { row, event };
	char *output = NULL;
	int code = unit_fork(call_cell, &call, &output);
	const char *got = output;

	if (code == -SIGABRT) {
		/* A cell that was never filled in is no decision. */
		ck_assert_ptr_null(strstr(output, "CELL_MISSING"));
		got = NEVER;
	} else {
		ck_assert_int_eq(code, 0);
	}
	ck_assert_msg(strcmp(got, expected) == 0, "%s in %s: %s, not %s",
		      worker_event_name(event), row_name(row), got, expected);
	free(output);
}

START_TEST(test_every_cell)
{
	for (unsigned row = 0; row < ROWS; row++)
		for (unsigned e = 0; e < EVENT_V_STOPPED; e++) {
			ck_assert_ptr_nonnull(grid[row][e]);
			check_cell(row, e, grid[row][e]);
		}
}
END_TEST

START_TEST(test_verdicts_are_not_told)
{
	for (unsigned row = 0; row < ROWS; row++)
		for (unsigned e = EVENT_V_STOPPED; e < EVENT_COUNT; e++)
			check_cell(row, e, NEVER);
}
END_TEST

static void early_timeout(void *arg _unused_)
{
	struct life l;

	reach(&l, STATE_BACKOFF);
	l.now_usec = l.lc.deadline_usec - 1;
	(void)tell(&l, EVENT_TIMEOUT);
}

static void gone_without_fact(void *arg _unused_)
{
	struct life l;

	reach(&l, STATE_RUNNING);
	(void)lifecycle_step(&l.lc, &l.p, EVENT_GONE, NULL, &l.rng, T0);
}

static void extend_without_fact(void *arg _unused_)
{
	struct life l;

	reach(&l, STATE_STOPPING);
	(void)lifecycle_step(&l.lc, &l.p, EVENT_EXTEND, NULL, &l.rng, T0);
}

START_TEST(test_broken_promises)
{
	ck_assert_int_eq(unit_fork(early_timeout, NULL, NULL), -SIGABRT);
	ck_assert_int_eq(unit_fork(gone_without_fact, NULL, NULL), -SIGABRT);
	ck_assert_int_eq(unit_fork(extend_without_fact, NULL, NULL), -SIGABRT);
}
END_TEST

/* --- what can be asked ---------------------------------------------------- */

START_TEST(test_init)
{
	struct lifecycle lc, expected = { .state = STATE_STOPPED };

	memset(&lc, 0xff, sizeof(lc));
	lifecycle_init(&lc, T0);
	expected.deadline_usec = USEC_INFINITY;
	expected.changed_usec = T0;
	ck_assert_uint_eq(lc.state, expected.state);
	ck_assert_uint_eq(lc.deadline_usec, expected.deadline_usec);
	ck_assert_uint_eq(lc.changed_usec, expected.changed_usec);
	ck_assert_uint_eq(lc.starts + lc.restarts + lc.recycles + lc.crashes,
			  0);
	ck_assert(!lc.has_process && !lc.has_exit && !lc.start_wanted);
	ck_assert(!lifecycle_is_wanted(&lc));
}
END_TEST

START_TEST(test_wanted_and_rest)
{
	static const struct {
		bool is_wanted;
		enum lifecycle_rest rest;
	} rows[STATE_COUNT] = {
		[STATE_STOPPED] = { false, REST_DOWN },
		[STATE_STARTING] = { true, REST_NO },
		[STATE_RUNNING] = { true, REST_UP },
		[STATE_BACKOFF] = { true, REST_FAILED },
		[STATE_STOPPING] = { false, REST_NO },
		[STATE_KILLING] = { false, REST_NO },
		[STATE_EXITED] = { false, REST_DOWN },
		[STATE_FATAL] = { false, REST_FAILED },
	};

	for (unsigned i = 0; i < STATE_COUNT; i++) {
		struct life l;

		reach(&l, i);
		ck_assert_uint_eq(l.lc.state, i);
		ck_assert_int_eq(lifecycle_is_wanted(&l.lc), rows[i].is_wanted);
		ck_assert_int_eq(lifecycle_rest(&l.lc, &l.p), rows[i].rest);
	}
}
END_TEST

START_TEST(test_rest_of_a_oneshot)
{
	struct life l;

	life_init(&l);
	l.p.type = WORKER_ONESHOT;
	l.p.autorestart = AUTORESTART_NO;
	start(&l);
	ck_assert_int_eq(lifecycle_rest(&l.lc, &l.p), REST_NO);
	check_words(&l, tell_exit(&l, EVENT_GONE, 0), "EXITED");
	ck_assert_int_eq(lifecycle_rest(&l.lc, &l.p), REST_UP);
	start(&l);
	check_words(&l, tell_exit(&l, EVENT_GONE, 1), "EXITED");
	ck_assert_int_eq(lifecycle_rest(&l.lc, &l.p), REST_DOWN);
}
END_TEST

START_TEST(test_is_expected)
{
	struct exit_set set = { 0 }, all;

	for (int i = -200; i <= 400; i++)
		ck_assert(!lifecycle_is_expected(&set, i));
	set.codes[0] = 1U << 0 | 1U << 2;
	set.codes[3] = UINT64_C(1) << 63; /* 255 */
	set.signals[0] = 1U << SIGTERM;
	set.signals[1] = 1; /* 64 */
	for (int i = -200; i <= 400; i++)
		ck_assert_int_eq(lifecycle_is_expected(&set, i),
				 i == 0 || i == 2 || i == 255 ||
					 i == -SIGTERM || i == -64);
	memset(&all, 0xff, sizeof(all));
	ck_assert(lifecycle_is_expected(&all, 255));
	ck_assert(!lifecycle_is_expected(&all, 256));
	ck_assert(lifecycle_is_expected(&all, -127));
	ck_assert(!lifecycle_is_expected(&all, -128));
	ck_assert(!lifecycle_is_expected(&all, INT32_MIN));
	ck_assert(!lifecycle_is_expected(&all, INT32_MAX));
}
END_TEST

UNIT_MAIN("lifecycle", test_every_cell, test_verdicts_are_not_told,
	  test_broken_promises, test_init, test_wanted_and_rest,
	  test_rest_of_a_oneshot, test_is_expected)
