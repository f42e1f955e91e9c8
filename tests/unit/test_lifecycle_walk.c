/* lifecycle.c: random lives. A simulated world of processes (they fail to be
 * made, to exec, to get ready; exit, hang, leave a tree, ignore signals, outlive
 * SIGKILL for a while) and an operator who says anything at any time; the clock
 * is ours. After each step the invariants of lifecycle.h are checked against a
 * model that shares no code with the core.
 *
 * REEVE_SOAK=N lives N times as many lives, REEVE_SEED=N only that one.
 */
#include "supervisor/core/lifecycle.h"

#include <stdlib.h>

#include "tests/unit/core_world.h"

#define LIVES	    400
#define STEPS	    400
#define QUIET_USEC  (2 * USEC_PER_HOUR)
#define QUIET_STEPS 20000

/* Over all lives: which cells were met. */
static bool met[STATE_COUNT][EVENT_V_STOPPED];

/* --- the model -------------------------------------------------------------- */

/* delay * 2^doublings, at most max; in floating point, to be different. */
static double doubled(uint64_t delay, uint64_t max, uint32_t doublings)
{
	double d = (double)delay;

	for (uint32_t i = 0; i < doublings && d < (double)max; i++)
		d *= 2;
	return MIN(d, (double)max);
}

/* The wait that begins now is delay, jittered, and not past the maximum. */
static void model_wait(struct world *w, double delay, uint64_t max)
{
	double jitter = delay * w->p.restart_jitter_percent / 100;
	double wait = (double)(w->lc.deadline_usec - w->now_usec);

	w->not_before_usec = w->now_usec;
	if (w->lc.state != STATE_BACKOFF)
		return;
	HOLDS(w, wait >= 1);
	HOLDS(w, wait >= delay - jitter - 1);
	HOLDS(w, wait <= delay + jitter + 1);
	HOLDS(w, wait <= (double)max);
	w->not_before_usec = w->lc.deadline_usec;
}

static void model_forget(struct world *w)
{
	w->failed_starts = w->failed_runs = w->failed_spawns = 0;
}

/* How long a stop may take from now on at most. */
static uint64_t stop_bound_usec(const struct world *w)
{
	uint64_t sum_usec = 0;

	for (size_t i = 0; i < w->p.stop.n_rungs; i++) {
		const struct stop_rung *rung = &w->p.stop.rungs[i];

		if (rung->signo == SIGKILL)
			break;
		sum_usec += rung->wait_usec == USEC_INFINITY
				    ? w->p.stopwaitsecs_usec
				    : rung->wait_usec;
	}
	if (w->is_aborted)
		sum_usec = MAX(sum_usec, LIFECYCLE_ABORT_WAIT_USEC);
	/* the leader, and then what it left */
	return sum_usec + w->won_usec + 2 * (w->kill_takes_usec + 2 * MSEC);
}

/* Before an event of the operator is told. */
static void model_operator(struct world *w, enum worker_event event)
{
	bool is_up =
		w->lc.state == STATE_STARTING || w->lc.state == STATE_RUNNING;

	switch ((int)event) {
	case EVENT_STOP:
	case EVENT_STOP_NOW:
		w->asked = EVENT_STOP;
		w->start_asked = false;
		if (w->exists)
			w->stopped_by_usec =
				MIN(w->stopped_by_usec,
				    w->now_usec + stop_bound_usec(w));
		else
			model_forget(w);
		break;
	case EVENT_START:
	case EVENT_RESTART:
		if (w->exists && is_up) {
			if (event == EVENT_RESTART)
				w->asked = EVENT_RESTART;
			break;
		}
		w->stopped_by_usec = NEVER;
		w->start_asked = true;
		if (!w->exists && w->lc.state != STATE_BACKOFF)
			model_forget(w);
		w->not_before_usec = 0;
		break;
	case EVENT_RECYCLE:
		if (w->lc.state == STATE_RUNNING)
			w->asked = EVENT_RECYCLE;
		break;
	default:
		break;
	}
}

/* The run has failed; the core has drawn its conclusion. */
static void model_failure(struct world *w, const struct lifecycle *before)
{
	uint64_t uptime_usec = w->exit_usec - w->spawned_usec;
	bool is_start = !w->was_ready || w->exit.is_exec_failure;

	HOLDS(w, w->lc.crashes - before->crashes <= 1);
	w->crashes = w->lc.crashes;
	if (w->lc.state == STATE_EXITED || w->lc.state == STATE_FATAL ||
	    w->start_asked)
		return;
	w->cause = BY_ITSELF;
	if (is_start) {
		w->failed_starts++;
		HOLDS(w, w->failed_starts <= w->p.startretries);
		model_wait(w,
			   doubled(w->p.restart_delay_usec,
				   w->p.restart_delay_max_usec,
				   w->failed_starts - 1),
			   w->p.restart_delay_max_usec);
		return;
	}
	HOLDS(w, w->p.autorestart != AUTORESTART_NO);
	if (uptime_usec >= w->p.restart_reset_after_usec)
		w->failed_runs = 0;
	if (w->failed_runs++ == 0)
		HOLDS(w, w->lc.state == STATE_STARTING); /* at once */
	else
		model_wait(w,
			   doubled(w->p.restart_delay_usec,
				   w->p.restart_delay_max_usec,
				   w->failed_runs - 2),
			   w->p.restart_delay_max_usec);
}

/* The run that was asked to end has ended: nobody's failure. */
static void model_asked(struct world *w, const struct lifecycle *before)
{
	bool is_stop = w->asked == EVENT_STOP;

	HOLDS(w, w->lc.crashes == before->crashes);
	HOLDS(w, w->lc.start_failures <= before->start_failures);
	HOLDS(w, w->lc.run_failures <= before->run_failures);
	if (is_stop && !w->start_asked)
		HOLDS(w, w->lc.state == STATE_STOPPED);
	else
		HOLDS(w, w->lc.state == STATE_STARTING);
	if (w->asked == EVENT_RECYCLE)
		w->recycles++;
	else
		model_forget(w);
	w->cause = w->asked == EVENT_RECYCLE && !w->start_asked ? BY_RECYCLE
								: BY_OPERATOR;
	w->not_before_usec = 0;
}

static void model_gone(struct world *w, const struct lifecycle *before)
{
	HOLDS(w, w->lc.exit.code == w->exit_code);
	HOLDS(w, w->lc.exit_usec == w->exit_usec);
	HOLDS(w, w->lc.exit_uptime_usec == w->exit_usec - w->spawned_usec);
	if (w->asked != EVENT_COUNT)
		model_asked(w, before);
	else
		model_failure(w, before);
	if (w->start_asked) {
		HOLDS(w, w->lc.state == STATE_STARTING);
		/* from BACKOFF the account goes on, else it is new */
		w->failed_starts = w->lc.start_failures;
		w->failed_runs = w->lc.run_failures;
		w->cause = BY_OPERATOR;
		w->not_before_usec = 0;
	}
	w->asked = EVENT_COUNT;
	w->start_asked = false;
}

/* --- after each step ---------------------------------------------------------- */

static void check_deadline(struct world *w)
{
	uint64_t deadline_usec = w->lc.deadline_usec;
	bool has_timeout = w->p.type == WORKER_SIMPLE
				   ? w->p.startsecs_usec > 0
				   : w->p.start_timeout_usec != USEC_INFINITY;

	switch (w->lc.state) {
	case STATE_STARTING:
		HOLDS(w, (deadline_usec != NEVER) == has_timeout);
		break;
	case STATE_BACKOFF:
	case STATE_STOPPING:
	case STATE_KILLING:
		HOLDS(w, deadline_usec != NEVER);
		break;
	case STATE_STOPPED:
	case STATE_RUNNING:
	case STATE_EXITED:
	case STATE_FATAL:
	case STATE_COUNT:
		HOLDS(w, deadline_usec == NEVER);
		break;
	}
	HOLDS(w, deadline_usec >= w->now_usec);
}

static void check_step(struct world *w, const struct lifecycle *before)
{
	const struct lifecycle *lc = &w->lc;

	HOLDS(w, lc->starts >= before->starts);
	HOLDS(w, lc->restarts >= before->restarts);
	HOLDS(w, lc->recycles >= before->recycles);
	HOLDS(w, lc->crashes >= before->crashes);
	HOLDS(w, lc->recycles == w->recycles);
	HOLDS(w, lc->crashes == w->crashes);
	HOLDS(w, lc->changed_usec <= w->now_usec);
	HOLDS(w, lc->state == before->state || lc->changed_usec == w->now_usec);
	if (lc->state == STATE_STOPPED)
		w->stopped_by_usec = NEVER;
	HOLDS(w, w->now_usec <= w->stopped_by_usec);
}

static void check_rest(struct world *w)
{
	enum worker_state s = w->lc.state;

	HOLDS(w, w->lc.has_process == w->exists);
	HOLDS(w, w->exists == (s == STATE_STARTING || s == STATE_RUNNING ||
			       s == STATE_STOPPING || s == STATE_KILLING));
	if (s != STATE_STOPPING && s != STATE_KILLING)
		HOLDS(w, w->lc.ending == ENDING_NONE && !w->lc.start_wanted);
	HOLDS(w, w->lc.starts == w->starts);
	HOLDS(w, w->lc.restarts == w->restarts);
	check_deadline(w);
}

/* --- the shell: what the daemon does -------------------------------------------- */

static enum worker_event spawn(struct world *w, enum worker_event why)
{
	HOLDS(w, !w->exists); /* never two */
	if (why == EVENT_START || why == EVENT_RESTART)
		w->cause = BY_OPERATOR;
	HOLDS(w, w->now_usec >= w->not_before_usec);
	if (!w->is_benign && chance(w, 10))
		return EVENT_SPAWN_FAILED;
	nothing_happens(w);
	w->exists = w->leader_lives = true;
	w->is_killed = w->is_aborted = false;
	w->was_ready = w->leaves_tree = false;
	w->ignores_signals = w->tree_ignores_signals = false;
	w->exit = (struct lifecycle_exit){ 0 };
	w->spawned_usec = w->now_usec;
	w->won_usec = 0;
	w->asked = EVENT_COUNT;
	w->start_asked = false;
	w->failed_spawns = 0;
	w->starts++;
	w->restarts += w->cause == BY_ITSELF;
	w->cause = BY_OPERATOR; /* until something else is known */
	if (w->is_benign)
		benign_fate(w);
	else
		random_fate(w);
	return EVENT_SPAWNED;
}

static enum worker_event execute(struct world *w, unsigned actions,
				 enum worker_event why)
{
	if (actions & ACTION_SPAWN) {
		HOLDS(w, actions == ACTION_SPAWN);
		return spawn(w, why);
	}
	if (actions & ACTION_ABORT) {
		w->is_aborted = true;
		signal_leader(w, SIGABRT);
	}
	if (actions & ACTION_SIGNAL)
		signal_leader(w, w->lc.signo);
	if (actions & ACTION_SIGNAL_TREE) {
		HOLDS(w, w->exists && !w->leader_lives);
		if (!w->tree_ignores_signals)
			obey(w, HAPPENS_GONE, 12 * SEC);
	}
	if (actions & ACTION_KILL)
		kill_world(w);
	return EVENT_COUNT;
}

static void feed(struct world *w, enum worker_event event)
{
	struct lifecycle_fact fact = { w->exit, w->extend_usec };

	if (event == EVENT_GONE && w->leaves_tree)
		fact.exit.code = 99; /* the rest of the tree: of no interest */
	while (event != EVENT_COUNT) {
		struct lifecycle before = w->lc;
		unsigned actions;

		met[before.state][event] = true;
		if (event <= EVENT_RECYCLE)
			model_operator(w, event);
		actions = lifecycle_step(&w->lc, &w->p, event, &fact,
					 &w->jitter, w->now_usec);
		if (w->lc.state == STATE_RUNNING && !w->was_ready) {
			w->was_ready = true;
			w->failed_starts = 0;
		}
		if (event == EVENT_GONE)
			model_gone(w, &before);
		if (event == EVENT_SPAWN_FAILED) {
			uint64_t max = MAX(w->p.restart_delay_max_usec,
					   LIFECYCLE_SPAWN_RETRY_USEC);

			model_wait(w,
				   doubled(LIFECYCLE_SPAWN_RETRY_USEC, max,
					   w->failed_spawns++),
				   max);
			if (before.is_restart)
				w->cause = BY_ITSELF;
		}
		check_step(w, &before);
		event = execute(w, actions, event);
	}
	check_rest(w);
}

/* --- time goes by ----------------------------------------------------------------- */

static void leader_exits(struct world *w)
{
	w->leader_lives = false;
	w->exit_code = w->exit.code;
	w->exit_usec = w->now_usec;
	w->at_usec[HAPPENS_RUNS] = w->at_usec[HAPPENS_READY] = NEVER;
	if (!w->leaves_tree) {
		w->exists = false;
		nothing_happens(w);
		feed(w, EVENT_GONE);
		return;
	}
	if (w->is_killed)
		w->at_usec[HAPPENS_GONE] = soon(w, 1 * MSEC);
	else if (chance(w, 50))
		w->at_usec[HAPPENS_GONE] = soon(w, 20 * SEC);
	feed(w, EVENT_LEADER_EXIT);
}

/* What is won in STOPPING may make the stop as much longer, also one that is
 * told later. */
static void extend(struct world *w)
{
	w->extend_usec = rng_below(&w->dice, 20 * SEC);
	if (w->lc.state == STATE_STOPPING) {
		w->won_usec += w->extend_usec;
		w->stopped_by_usec =
			usec_add(w->stopped_by_usec, w->extend_usec);
	}
	feed(w, EVENT_EXTEND);
}

static void operator_speaks(struct world *w)
{
	static const enum worker_event says[] = {
		EVENT_START,   EVENT_START,    EVENT_START,   EVENT_STOP,
		EVENT_STOP,    EVENT_STOP_NOW, EVENT_RESTART, EVENT_RECYCLE,
		EVENT_RECYCLE, EVENT_READY,    EVENT_EXTEND,  EVENT_WATCHDOG,
	};
	enum worker_event event = says[rng_below(&w->dice, ARRAY_SIZE(says))];

	w->at_usec[HAPPENS_OPERATOR] =
		soon(w, PICK(w, 100 * MSEC, 5 * SEC, 60 * SEC));
	if (event == EVENT_EXTEND)
		extend(w);
	else
		feed(w, event);
}

static void happen(struct world *w, enum happening h)
{
	w->at_usec[h] = NEVER;
	switch (h) {
	case HAPPENS_RUNS:
		feed(w, EVENT_RUNS);
		break;
	case HAPPENS_READY:
		feed(w, EVENT_READY);
		break;
	case HAPPENS_EXTEND:
		extend(w);
		break;
	case HAPPENS_WATCHDOG:
		feed(w, EVENT_WATCHDOG);
		break;
	case HAPPENS_EXIT:
		leader_exits(w);
		break;
	case HAPPENS_GONE:
		w->exists = false;
		nothing_happens(w);
		feed(w, EVENT_GONE);
		break;
	case HAPPENS_OPERATOR:
		operator_speaks(w);
		break;
	case HAPPENS_COUNT:
		break;
	}
}

/* The next thing that happens, or the deadline. False: nothing before until. */
static bool live(struct world *w, uint64_t until_usec)
{
	enum happening next = HAPPENS_COUNT;
	uint64_t at_usec = w->lc.deadline_usec;

	for (unsigned h = 0; h < HAPPENS_COUNT; h++) {
		if (w->at_usec[h] >= at_usec)
			continue;
		at_usec = w->at_usec[h];
		next = h;
	}
	if (at_usec >= until_usec)
		return false;
	w->step++;
	w->now_usec = at_usec;
	if (next == HAPPENS_COUNT)
		feed(w, EVENT_TIMEOUT);
	else
		happen(w, next);
	return true;
}

/* The operator has said a last word, and nothing fails any more. */
static void come_to_rest(struct world *w, enum worker_event word)
{
	uint64_t until_usec = w->now_usec + QUIET_USEC;
	int left = QUIET_STEPS;

	w->is_benign = true;
	w->at_usec[HAPPENS_OPERATOR] = NEVER;
	feed(w, word);
	while (live(w, until_usec))
		HOLDS(w, --left > 0);
	w->now_usec = MAX(w->now_usec, until_usec);
}

static void one_life(uint64_t seed)
{
	struct world w;
	enum worker_state up;

	world_init(&w, seed);
	for (int i = 0; i < STEPS; i++)
		(void)live(&w, NEVER);

	come_to_rest(&w, EVENT_STOP);
	HOLDS(&w, w.lc.state == STATE_STOPPED && !w.exists);
	HOLDS(&w, !lifecycle_is_wanted(&w.lc) && !w.lc.is_recycling);

	come_to_rest(&w, EVENT_START);
	up = w.p.type == WORKER_ONESHOT ? STATE_EXITED : STATE_RUNNING;
	HOLDS(&w, w.lc.state == up);
	HOLDS(&w, w.exists == (up == STATE_RUNNING));
	HOLDS(&w, lifecycle_rest(&w.lc, &w.p) == REST_UP);
	HOLDS(&w, !w.lc.is_recycling && !w.lc.start_wanted);

	come_to_rest(&w, EVENT_RESTART);
	HOLDS(&w, w.lc.state == up);
	come_to_rest(&w, EVENT_STOP_NOW);
	HOLDS(&w, w.lc.state == STATE_STOPPED && !w.exists);
}

static uint64_t number_from(const char *variable, uint64_t fallback)
{
	const char *text = getenv(variable);

	return text ? strtoull(text, NULL, 10) : fallback;
}

START_TEST(test_random_lives)
{
	uint64_t only = number_from("REEVE_SEED", 0);
	uint64_t n = LIVES * MAX(number_from("REEVE_SOAK", 1), UINT64_C(1));
	unsigned n_met = 0;

	if (only > 0) {
		one_life(only);
		return;
	}
	for (uint64_t seed = 1; seed <= n; seed++)
		one_life(seed);
	unit_count(n, "schedules");
	for (unsigned s = 0; s < STATE_COUNT; s++)
		for (unsigned e = 0; e < EVENT_V_STOPPED; e++)
			n_met += met[s][e];
	/* All that are not impossible; a walk that sees less proves less. */
	ck_assert_uint_eq(n_met, 82);
}
END_TEST

UNIT_MAIN("lifecycle_walk", test_random_lives)
