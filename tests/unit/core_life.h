/* One worker with its clock, for the tests of supervisor/core: events in, and
 * what came of them in words.
 */
#pragma once

#include <inttypes.h>
#include <stdio.h>

#include "supervisor/core/lifecycle.h"
#include "tests/lib/unit.h"
#include "tests/unit/core_settings.h"

#define T0   (1000 * USEC_PER_SEC)
#define SEC  USEC_PER_SEC
#define MSEC USEC_PER_MSEC

/* A worker with its clock. */
struct life {
	struct lifecycle lc;
	struct worker_settings p;
	struct rng rng;
	uint64_t now_usec;
};

static inline void life_init(struct life *l)
{
	*l = (struct life){
		.p = core_settings(),
		.rng = { 1 },
		.now_usec = T0,
	};
	lifecycle_init(&l->lc, T0);
}

static inline unsigned tell(struct life *l, enum worker_event event)
{
	struct lifecycle_fact fact = {
		.exit = { .code = -SIGSEGV, .core = true },
		.extend_usec = 20 * SEC,
	};

	return lifecycle_step(&l->lc, &l->p, event, &fact, &l->rng,
			      l->now_usec);
}

static inline unsigned tell_exit(struct life *l, enum worker_event event,
				 int code)
{
	struct lifecycle_fact fact = { .exit = { .code = code } };

	return lifecycle_step(&l->lc, &l->p, event, &fact, &l->rng,
			      l->now_usec);
}

static inline unsigned timeout(struct life *l)
{
	ck_assert_uint_ne(l->lc.deadline_usec, USEC_INFINITY);
	ck_assert_uint_ge(l->lc.deadline_usec, l->now_usec);
	l->now_usec = l->lc.deadline_usec;
	return tell(l, EVENT_TIMEOUT);
}

static inline void start(struct life *l)
{
	ck_assert_uint_eq(tell(l, EVENT_START), ACTION_SPAWN);
	ck_assert_uint_eq(tell(l, EVENT_SPAWNED), 0);
}

static inline void run(struct life *l)
{
	start(l);
	ck_assert_uint_eq(tell(l, EVENT_RUNS), 0);
	ck_assert_uint_eq(tell(l, EVENT_READY), 0);
	ck_assert_uint_eq(l->lc.state, STATE_RUNNING);
}

/* What the worker looks like, in words: for comparing with the grid. */
static inline const char *words(const struct life *l, unsigned actions,
				char *buf, size_t size)
{
	static const char *const names[] = { "spawn", "signal", "tree",
					     "kill",  "abort",	"unkillable" };
	int n = snprintf(buf, size, "%s", worker_state_name(l->lc.state));

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (actions & 1U << i)
			n += snprintf(buf + n, size - (size_t)n, " %s",
				      names[i]);
	if (actions & (ACTION_SIGNAL | ACTION_SIGNAL_TREE))
		n += snprintf(buf + n, size - (size_t)n, "(%d)", l->lc.signo);
	if (l->lc.deadline_usec != USEC_INFINITY)
		(void)snprintf(buf + n, size - (size_t)n, " %" PRIu64 "ms",
			       (l->lc.deadline_usec - l->now_usec) / MSEC);
	return buf;
}

static inline void check_words(const struct life *l, unsigned actions,
			       const char *expected)
{
	char buf[128];

	ck_assert_str_eq(words(l, actions, buf, sizeof(buf)), expected);
}

/* What is expected often, of core_settings(). */
#define STOPS  "STOPPING signal(15) 10000ms"
#define KILLS  "KILLING kill 5000ms"
#define ABORTS "STOPPING abort 5000ms"
#define SPAWNS "STARTING spawn"
