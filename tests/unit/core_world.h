/* A simulated world of processes for the random lives of a worker: dice, a
 * clock of our own, settings, and what becomes of a process and of the signals
 * that are sent to it. test_lifecycle_walk.c lives in it.
 */
#pragma once

#include "supervisor/core/lifecycle.h"
#include "tests/lib/unit.h"
#include "tests/unit/core_settings.h"

#define NEVER USEC_INFINITY
#define SEC   USEC_PER_SEC
#define MSEC  USEC_PER_MSEC

/* What happens to the process, when. */
enum happening {
	HAPPENS_RUNS,
	HAPPENS_READY,
	HAPPENS_EXTEND,
	HAPPENS_WATCHDOG,
	HAPPENS_EXIT, /* of the leader */
	HAPPENS_GONE, /* of what it left */
	HAPPENS_OPERATOR,
	HAPPENS_COUNT
};

/* Who wants the next process. */
enum cause { BY_OPERATOR, BY_RECYCLE, BY_ITSELF };

struct world {
	struct lifecycle lc;
	struct worker_settings p;
	struct rng dice, jitter;
	uint64_t seed, now_usec;
	int step;
	bool is_benign; /* nothing fails any more */

	/* the process */
	bool exists, leader_lives, leaves_tree, ignores_signals;
	bool tree_ignores_signals, is_killed, is_aborted;
	struct lifecycle_exit exit;
	uint64_t at_usec[HAPPENS_COUNT], kill_takes_usec, extend_usec;
	uint64_t won_usec; /* of extends, in this STOPPING */

	/* the model */
	enum worker_event asked; /* STOP, RESTART, RECYCLE; COUNT: nothing */
	bool start_asked, was_ready;
	enum cause cause;
	uint32_t failed_starts, failed_runs, failed_spawns;
	uint64_t spawned_usec, exit_usec;
	int exit_code;
	uint64_t not_before_usec, stopped_by_usec;
	uint64_t starts, restarts, recycles, crashes;
};

#define HOLDS(w, expr)                                                         \
	do {                                                                   \
		if (!(expr))                                                   \
			ck_abort_msg("seed %lu, step %d, %s: not %s",          \
				     (unsigned long)(w)->seed, (w)->step,      \
				     worker_state_name((w)->lc.state), #expr); \
	} while (0)

static inline bool chance(struct world *w, unsigned percent)
{
	return rng_below(&w->dice, 100) < percent;
}

static inline uint64_t pick(struct world *w, const uint64_t *values, size_t n)
{
	return values[rng_below(&w->dice, n)];
}

#define PICK(w, ...)                                                           \
	pick(w, (const uint64_t[]){ __VA_ARGS__ },                             \
	     ARRAY_SIZE(((const uint64_t[]){ __VA_ARGS__ })))

static inline uint64_t soon(struct world *w, uint64_t within_usec)
{
	return w->now_usec + 1 + rng_below(&w->dice, within_usec);
}

/* --- the world -------------------------------------------------------------- */

static inline void random_ladder(struct world *w)
{
	struct stop_ladder *ladder = &w->p.stop;

	ladder->n_rungs = 1 + rng_below(&w->dice, 3);
	for (size_t i = 0; i < ladder->n_rungs; i++) {
		ladder->rungs[i].signo =
			(int)PICK(w, SIGTERM, SIGINT, SIGQUIT, SIGKILL);
		ladder->rungs[i].wait_usec =
			PICK(w, 0, 1 * SEC, 10 * SEC, USEC_INFINITY);
	}
}

static inline void random_settings(struct world *w)
{
	w->p = core_settings();
	w->p.type = (enum worker_type)rng_below(&w->dice, 3);
	w->p.autorestart =
		(enum autorestart)PICK(w, AUTORESTART_NO,
				       AUTORESTART_UNEXPECTED, AUTORESTART_YES,
				       AUTORESTART_YES);
	w->p.exitcodes.codes[0] = PICK(w, 1, 3);
	w->p.startsecs_usec = PICK(w, 0, 1 * SEC);
	w->p.startretries = (uint32_t)PICK(w, 0, 1, 3, 3);
	w->p.start_timeout_usec = PICK(w, 3 * SEC, 30 * SEC, USEC_INFINITY);
	w->p.stopwaitsecs_usec = PICK(w, 2 * SEC, 10 * SEC);
	w->p.restart_delay_usec = PICK(w, 0, 100 * MSEC, 1 * SEC);
	w->p.restart_delay_max_usec = PICK(w, 1 * SEC, 60 * SEC);
	w->p.restart_jitter_percent = (uint32_t)PICK(w, 0, 10, 100);
	w->p.restart_reset_after_usec = PICK(w, 5 * SEC, 60 * SEC);
	w->p.restart_limit.n = (uint32_t)PICK(w, 0, 3, 10);
	w->p.restart_limit.interval_usec = PICK(w, 10 * SEC, 60 * SEC);
	random_ladder(w);
}

static inline void nothing_happens(struct world *w)
{
	uint64_t operator_usec = w->at_usec[HAPPENS_OPERATOR];

	for (size_t i = 0; i < HAPPENS_COUNT; i++)
		w->at_usec[i] = NEVER;
	w->at_usec[HAPPENS_OPERATOR] = operator_usec;
}

static inline void world_init(struct world *w, uint64_t seed)
{
	*w = (struct world){
		.dice = { seed },
		.jitter = { ~seed },
		.seed = seed,
		.now_usec = 1000 * SEC,
		.asked = EVENT_COUNT,
		.stopped_by_usec = NEVER,
	};
	random_settings(w);
	nothing_happens(w);
	w->at_usec[HAPPENS_OPERATOR] = soon(w, 1 * SEC);
	lifecycle_init(&w->lc, w->now_usec);
}

static inline void random_fate(struct world *w)
{
	if (chance(w, 10)) {
		w->exit.is_exec_failure = true;
		w->exit.code = 127;
		w->at_usec[HAPPENS_EXIT] = soon(w, 2 * MSEC);
		return;
	}
	w->at_usec[HAPPENS_RUNS] = soon(w, 2 * MSEC);
	if (chance(w, 80))
		w->at_usec[HAPPENS_READY] = soon(w, 2 * SEC);
	if (chance(w, 60))
		w->at_usec[HAPPENS_EXIT] =
			soon(w, PICK(w, 1500 * MSEC, 30 * SEC, 200 * SEC));
	if (chance(w, 15))
		w->at_usec[HAPPENS_EXTEND] = soon(w, 40 * SEC);
	if (chance(w, 5))
		w->at_usec[HAPPENS_WATCHDOG] = soon(w, 40 * SEC);
	w->exit.code = (int)PICK(w, 0, 1, 2, 11);
	if (w->exit.code == 11)
		w->exit.code = -SIGSEGV;
	w->leaves_tree = chance(w, 25);
	w->tree_ignores_signals = chance(w, 50);
	w->ignores_signals = chance(w, 25);
	w->kill_takes_usec = chance(w, 10) ? 12 * SEC : 5 * MSEC;
}

static inline void benign_fate(struct world *w)
{
	w->at_usec[HAPPENS_RUNS] = soon(w, 2 * MSEC);
	w->at_usec[HAPPENS_READY] = soon(w, 100 * MSEC);
	if (w->p.type == WORKER_ONESHOT)
		w->at_usec[HAPPENS_EXIT] = soon(w, 1 * SEC);
	w->kill_takes_usec = 5 * MSEC;
}

static inline void obey(struct world *w, enum happening h, uint64_t within_usec)
{
	uint64_t at_usec = soon(w, within_usec);

	w->at_usec[h] = MIN(w->at_usec[h], at_usec);
}

static inline void signal_leader(struct world *w, int signo)
{
	HOLDS(w, w->exists && w->leader_lives);
	if (w->ignores_signals)
		return;
	if (chance(w, 70) && !w->exit.is_exec_failure)
		w->exit.code = -signo;
	obey(w, HAPPENS_EXIT, 12 * SEC);
}

static inline void kill_world(struct world *w)
{
	HOLDS(w, w->exists);
	w->is_killed = true;
	if (!w->leader_lives) {
		obey(w, HAPPENS_GONE, w->kill_takes_usec);
		return;
	}
	w->exit.code = w->exit.is_exec_failure ? 127 : -SIGKILL;
	obey(w, HAPPENS_EXIT, w->kill_takes_usec);
}
