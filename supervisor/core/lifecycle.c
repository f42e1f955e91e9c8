/* The life of one worker, as a table.
 *
 *                 START                 ready
 *	STOPPED ---------> STARTING ---------------> RUNNING
 *	   ^               ^  |  |                   |  |
 *	   |        delay  |  |  | STOP, RESTART,    |  | ends by itself, and
 *	   |         over  |  |  | RECYCLE, ...      |  | its tree lives on
 *	   |  dead, or no  |  v  v                   v  v
 *	   |    process  BACKOFF  STOPPING ---------> KILLING
 *	   |                         |   ladder used up  |
 *	   +------ V_STOPPED --------+-------------------+
 *
 * and whatever ends (GONE) is judged by verdict.c: V_STOPPED, V_AGAIN
 * (STARTING), V_LATER (BACKOFF), V_EXITED or V_FATAL.
 *
 * Why each state exists, and when it ends
 *   STOPPED   Nobody wants it to run. Until START. All failures are forgotten.
 *   STARTING  Its process is being made, or is there and has not shown yet
 *	       that it works. Of a simple worker this takes startsecs (or exec,
 *	       when that is 0), a notify worker says READY, a oneshot is in it
 *	       until it exits. An end before that is a start failure.
 *   RUNNING   It works. Until it ends, or somebody ends it.
 *   BACKOFF   It should run, but has just failed; or no process could be made,
 *	       which is our trouble and not counted. Until the delay is over.
 *   STOPPING  It was asked to end, nicely, rung by rung of the stop ladder.
 *	       Until its tree is gone, or the rungs are used up.
 *   KILLING   SIGKILL was sent. Only the kernel can make this last; then we
 *	       say so and send it again, for ever.
 *   EXITED    It has ended by itself and that is fine, or autorestart = no.
 *   FATAL     It has failed too often. Like STOPPED, but it is an error.
 *
 * STOPPING and KILLING do not tell why it is being ended: lc->ending does, and
 * can change while it lasts (STOP overrules all). No state but these two knows
 * an ending.
 *
 * How to read the table: each state has a cell for every event; DO names the
 * function and the states in one of which it leaves the worker (none: the same
 * one), and apply() holds it to that. IGNORE: harmless, nothing happens.
 * IMPOSSIBLE: the caller has broken its promise, or we ours; ends the program,
 * because to go on would be to guess whether a process runs.
 *
 * No clock, no randomness, no I/O: a step is a function of its arguments.
 */
#include "supervisor/core/lifecycle.h"

#include <signal.h>
#include <stddef.h>

#include "supervisor/core/act.h"
#include "supervisor/core/verdict.h"
#include "workers/base/pure/macro.h"

/* --- the table ------------------------------------------------------------ */

enum cell_kind {
	CELL_MISSING, /* nobody has thought of it */
	CELL_IMPOSSIBLE,
	CELL_IGNORE,
	CELL_DO,
};

struct cell {
	enum cell_kind kind;
	unsigned next; /* set of BIT(state); empty: it stays as it is */
	unsigned (*act)(const struct step *s);
};

#define BIT(state) (1U << (state))
#define TO(state)  BIT(STATE_##state)
#define SAME	   0U

#define IMPOSSIBLE                                                             \
	{                                                                      \
		.kind = CELL_IMPOSSIBLE,                                       \
	}
#define IGNORE                                                                 \
	{                                                                      \
		.kind = CELL_IGNORE,                                           \
	}
#define DO(name, next_)                                                        \
	{                                                                      \
		.kind = CELL_DO, .next = (next_), .act = act_##name,           \
	}

/* A stop may begin with KILL. */
#define TO_END (TO(STOPPING) | TO(KILLING))

/* clang-format off */
static const struct cell table[STATE_COUNT][EVENT_COUNT] = {
	[STATE_STOPPED] = {
		[EVENT_START]		= DO(idle_start, TO(STARTING)),
		[EVENT_STOP]		= IGNORE,
		[EVENT_STOP_NOW]	= IGNORE,
		[EVENT_RESTART]		= DO(idle_start, TO(STARTING)),
		[EVENT_RECYCLE]		= IGNORE,
		[EVENT_SPAWNED]		= IMPOSSIBLE,
		[EVENT_SPAWN_FAILED]	= IMPOSSIBLE,
		[EVENT_RUNS]		= IMPOSSIBLE,
		[EVENT_READY]		= IGNORE,
		[EVENT_EXTEND]		= IGNORE,
		[EVENT_WATCHDOG]	= IGNORE,
		[EVENT_LEADER_EXIT]	= IMPOSSIBLE,
		[EVENT_GONE]		= IMPOSSIBLE,
		[EVENT_TIMEOUT]		= IMPOSSIBLE,
		[EVENT_V_STOPPED]	= IMPOSSIBLE,
		[EVENT_V_AGAIN]		= IMPOSSIBLE,
		[EVENT_V_LATER]		= IMPOSSIBLE,
		[EVENT_V_EXITED]	= IMPOSSIBLE,
		[EVENT_V_FATAL]		= IMPOSSIBLE,
	},
	[STATE_STARTING] = {
		[EVENT_START]		= IGNORE,
		[EVENT_STOP]		= DO(up_stop, TO_END),
		[EVENT_STOP_NOW]	= DO(up_stop_now, TO(KILLING)),
		[EVENT_RESTART]		= DO(up_restart, TO_END),
		[EVENT_RECYCLE]		= IGNORE,
		[EVENT_SPAWNED]		= DO(starting_spawned, SAME),
		[EVENT_SPAWN_FAILED]	= DO(starting_spawn_failed, TO(BACKOFF)),
		[EVENT_RUNS]		= DO(starting_runs, TO(STARTING) | TO(RUNNING)),
		[EVENT_READY]		= DO(starting_ready, TO(STARTING) | TO(RUNNING)),
		[EVENT_EXTEND]		= DO(starting_extend, SAME),
		[EVENT_WATCHDOG]	= DO(up_watchdog, TO(STOPPING)),
		[EVENT_LEADER_EXIT]	= DO(up_leader_exit, TO(KILLING)),
		[EVENT_GONE]		= DO(process_gone, SAME),
		[EVENT_TIMEOUT]		= DO(starting_timeout, TO(RUNNING) | TO_END),
		[EVENT_V_STOPPED]	= IMPOSSIBLE,
		[EVENT_V_AGAIN]		= DO(start, TO(STARTING)),
		[EVENT_V_LATER]		= DO(verdict_later, TO(BACKOFF)),
		[EVENT_V_EXITED]	= DO(verdict_exited, TO(EXITED)),
		[EVENT_V_FATAL]		= DO(verdict_fatal, TO(FATAL)),
	},
	[STATE_RUNNING] = {
		[EVENT_START]		= IGNORE,
		[EVENT_STOP]		= DO(up_stop, TO_END),
		[EVENT_STOP_NOW]	= DO(up_stop_now, TO(KILLING)),
		[EVENT_RESTART]		= DO(up_restart, TO_END),
		[EVENT_RECYCLE]		= DO(running_recycle, TO_END),
		[EVENT_SPAWNED]		= IMPOSSIBLE,
		[EVENT_SPAWN_FAILED]	= IMPOSSIBLE,
		[EVENT_RUNS]		= IGNORE,
		[EVENT_READY]		= IGNORE,
		[EVENT_EXTEND]		= IGNORE,
		[EVENT_WATCHDOG]	= DO(up_watchdog, TO(STOPPING)),
		[EVENT_LEADER_EXIT]	= DO(up_leader_exit, TO(KILLING)),
		[EVENT_GONE]		= DO(process_gone, SAME),
		[EVENT_TIMEOUT]		= IMPOSSIBLE,
		[EVENT_V_STOPPED]	= IMPOSSIBLE,
		[EVENT_V_AGAIN]		= DO(start, TO(STARTING)),
		[EVENT_V_LATER]		= DO(verdict_later, TO(BACKOFF)),
		[EVENT_V_EXITED]	= DO(verdict_exited, TO(EXITED)),
		[EVENT_V_FATAL]		= DO(verdict_fatal, TO(FATAL)),
	},
	[STATE_BACKOFF] = {
		[EVENT_START]		= DO(backoff_start, TO(STARTING)),
		[EVENT_STOP]		= DO(idle_stop, TO(STOPPED)),
		[EVENT_STOP_NOW]	= DO(idle_stop, TO(STOPPED)),
		[EVENT_RESTART]		= DO(backoff_start, TO(STARTING)),
		[EVENT_RECYCLE]		= IGNORE,
		[EVENT_SPAWNED]		= IMPOSSIBLE,
		[EVENT_SPAWN_FAILED]	= IMPOSSIBLE,
		[EVENT_RUNS]		= IMPOSSIBLE,
		[EVENT_READY]		= IGNORE,
		[EVENT_EXTEND]		= IGNORE,
		[EVENT_WATCHDOG]	= IGNORE,
		[EVENT_LEADER_EXIT]	= IMPOSSIBLE,
		[EVENT_GONE]		= IMPOSSIBLE,
		[EVENT_TIMEOUT]		= DO(start, TO(STARTING)),
		[EVENT_V_STOPPED]	= IMPOSSIBLE,
		[EVENT_V_AGAIN]		= IMPOSSIBLE,
		[EVENT_V_LATER]		= IMPOSSIBLE,
		[EVENT_V_EXITED]	= IMPOSSIBLE,
		[EVENT_V_FATAL]		= IMPOSSIBLE,
	},
	[STATE_STOPPING] = {
		[EVENT_START]		= DO(ending_start, SAME),
		[EVENT_STOP]		= DO(ending_stop, SAME),
		[EVENT_STOP_NOW]	= DO(stopping_stop_now, TO(KILLING)),
		[EVENT_RESTART]		= DO(ending_start, SAME),
		[EVENT_RECYCLE]		= IGNORE,
		[EVENT_SPAWNED]		= IMPOSSIBLE,
		[EVENT_SPAWN_FAILED]	= IMPOSSIBLE,
		[EVENT_RUNS]		= IGNORE,
		[EVENT_READY]		= IGNORE,
		[EVENT_EXTEND]		= DO(stopping_extend, SAME),
		[EVENT_WATCHDOG]	= IGNORE,
		[EVENT_LEADER_EXIT]	= DO(stopping_leader_exit, TO_END),
		[EVENT_GONE]		= DO(process_gone, SAME),
		[EVENT_TIMEOUT]		= DO(stopping_timeout, TO_END),
		[EVENT_V_STOPPED]	= DO(idle_stop, TO(STOPPED)),
		[EVENT_V_AGAIN]		= DO(start, TO(STARTING)),
		[EVENT_V_LATER]		= DO(verdict_later, TO(BACKOFF)),
		[EVENT_V_EXITED]	= DO(verdict_exited, TO(EXITED)),
		[EVENT_V_FATAL]		= DO(verdict_fatal, TO(FATAL)),
	},
	[STATE_KILLING] = {
		[EVENT_START]		= DO(ending_start, SAME),
		[EVENT_STOP]		= DO(ending_stop, SAME),
		[EVENT_STOP_NOW]	= DO(ending_stop, SAME),
		[EVENT_RESTART]		= DO(ending_start, SAME),
		[EVENT_RECYCLE]		= IGNORE,
		[EVENT_SPAWNED]		= IMPOSSIBLE,
		[EVENT_SPAWN_FAILED]	= IMPOSSIBLE,
		[EVENT_RUNS]		= IGNORE,
		[EVENT_READY]		= IGNORE,
		[EVENT_EXTEND]		= IGNORE,
		[EVENT_WATCHDOG]	= IGNORE,
		[EVENT_LEADER_EXIT]	= DO(killing_leader_exit, SAME),
		[EVENT_GONE]		= DO(process_gone, SAME),
		[EVENT_TIMEOUT]		= DO(killing_timeout, SAME),
		[EVENT_V_STOPPED]	= DO(idle_stop, TO(STOPPED)),
		[EVENT_V_AGAIN]		= DO(start, TO(STARTING)),
		[EVENT_V_LATER]		= DO(verdict_later, TO(BACKOFF)),
		[EVENT_V_EXITED]	= DO(verdict_exited, TO(EXITED)),
		[EVENT_V_FATAL]		= DO(verdict_fatal, TO(FATAL)),
	},
	[STATE_EXITED] = {
		[EVENT_START]		= DO(idle_start, TO(STARTING)),
		[EVENT_STOP]		= DO(idle_stop, TO(STOPPED)),
		[EVENT_STOP_NOW]	= DO(idle_stop, TO(STOPPED)),
		[EVENT_RESTART]		= DO(idle_start, TO(STARTING)),
		[EVENT_RECYCLE]		= IGNORE,
		[EVENT_SPAWNED]		= IMPOSSIBLE,
		[EVENT_SPAWN_FAILED]	= IMPOSSIBLE,
		[EVENT_RUNS]		= IMPOSSIBLE,
		[EVENT_READY]		= IGNORE,
		[EVENT_EXTEND]		= IGNORE,
		[EVENT_WATCHDOG]	= IGNORE,
		[EVENT_LEADER_EXIT]	= IMPOSSIBLE,
		[EVENT_GONE]		= IMPOSSIBLE,
		[EVENT_TIMEOUT]		= IMPOSSIBLE,
		[EVENT_V_STOPPED]	= IMPOSSIBLE,
		[EVENT_V_AGAIN]		= IMPOSSIBLE,
		[EVENT_V_LATER]		= IMPOSSIBLE,
		[EVENT_V_EXITED]	= IMPOSSIBLE,
		[EVENT_V_FATAL]		= IMPOSSIBLE,
	},
	[STATE_FATAL] = {
		[EVENT_START]		= DO(idle_start, TO(STARTING)),
		[EVENT_STOP]		= DO(idle_stop, TO(STOPPED)),
		[EVENT_STOP_NOW]	= DO(idle_stop, TO(STOPPED)),
		[EVENT_RESTART]		= DO(idle_start, TO(STARTING)),
		[EVENT_RECYCLE]		= IGNORE,
		[EVENT_SPAWNED]		= IMPOSSIBLE,
		[EVENT_SPAWN_FAILED]	= IMPOSSIBLE,
		[EVENT_RUNS]		= IMPOSSIBLE,
		[EVENT_READY]		= IGNORE,
		[EVENT_EXTEND]		= IGNORE,
		[EVENT_WATCHDOG]	= IGNORE,
		[EVENT_LEADER_EXIT]	= IMPOSSIBLE,
		[EVENT_GONE]		= IMPOSSIBLE,
		[EVENT_TIMEOUT]		= IMPOSSIBLE,
		[EVENT_V_STOPPED]	= IMPOSSIBLE,
		[EVENT_V_AGAIN]		= IMPOSSIBLE,
		[EVENT_V_LATER]		= IMPOSSIBLE,
		[EVENT_V_EXITED]	= IMPOSSIBLE,
		[EVENT_V_FATAL]		= IMPOSSIBLE,
	},
};
/* clang-format on */

static unsigned apply(const struct step *s, enum worker_event event)
{
	enum worker_state from = s->lc->state;
	const struct cell *cell = &table[from][event];
	unsigned actions = 0;

	reeve_assert(cell->kind != CELL_MISSING);
	reeve_assert(cell->kind != CELL_IMPOSSIBLE);
	if (cell->kind == CELL_DO)
		actions = cell->act(s);
	reeve_assert((cell->next ? cell->next : BIT(from)) & BIT(s->lc->state));
	return actions;
}

/* SPAWN must be answered, once, before anything else is told. */
static bool is_answer(enum worker_event event)
{
	return event == EVENT_SPAWNED || event == EVENT_SPAWN_FAILED;
}

/* --- what the header promises --------------------------------------------- */

void lifecycle_init(struct lifecycle *lc, uint64_t now_usec)
{
	*lc = (struct lifecycle){
		.state = STATE_STOPPED,
		.deadline_usec = USEC_INFINITY,
		.changed_usec = now_usec,
	};
}

/* NOLINTNEXTLINE(readability-function-size): all it may know are arguments */
unsigned lifecycle_step(struct lifecycle *lc, const struct worker_settings *p,
			enum worker_event event,
			const struct lifecycle_fact *fact, struct rng *rng,
			uint64_t now_usec)
{
	const struct step s = { lc, p, fact, rng, now_usec };
	bool start_wanted = lc->start_wanted;
	unsigned actions;

	reeve_assert(event < EVENT_V_STOPPED);
	reeve_assert(event != EVENT_TIMEOUT || lc->deadline_usec <= now_usec);
	reeve_assert(lc->state != STATE_STARTING ||
		     lc->has_process != is_answer(event));
	actions = apply(&s, event);
	if (event != EVENT_GONE)
		return actions;
	actions = apply(&s, verdict_reach(lc, p, now_usec));
	if (!start_wanted)
		return actions;
	/* START came meanwhile: as if it came now, when it is gone. */
	lc->is_restart = false;
	return lc->state == STATE_STARTING ? actions : apply(&s, EVENT_START);
}

bool lifecycle_is_wanted(const struct lifecycle *lc)
{
	switch (lc->state) {
	case STATE_STARTING:
	case STATE_RUNNING:
	case STATE_BACKOFF:
		return true;
	case STATE_STOPPING:
	case STATE_KILLING:
		return lc->start_wanted || lc->ending != ENDING_STOP;
	case STATE_STOPPED:
	case STATE_EXITED:
	case STATE_FATAL:
	case STATE_COUNT:
		break;
	}
	return false;
}

enum lifecycle_rest lifecycle_rest(const struct lifecycle *lc,
				   const struct worker_settings *p)
{
	switch (lc->state) {
	case STATE_RUNNING:
		return REST_UP;
	case STATE_STOPPED:
		return REST_DOWN;
	case STATE_EXITED:
		return p->type == WORKER_ONESHOT &&
				       lifecycle_is_expected(&p->exitcodes,
							     lc->exit.code)
			       ? REST_UP
			       : REST_DOWN;
	case STATE_BACKOFF:
	case STATE_FATAL:
		return REST_FAILED;
	case STATE_STARTING:
	case STATE_STOPPING:
	case STATE_KILLING:
	case STATE_COUNT:
		break;
	}
	return REST_NO;
}

bool lifecycle_is_expected(const struct exit_set *expected, int code)
{
	const uint64_t *words = code < 0 ? expected->signals : expected->codes;
	size_t n_bits = code < 0 ? 64 * ARRAY_SIZE(expected->signals)
				 : 64 * ARRAY_SIZE(expected->codes);
	size_t bit = code < 0 ? (size_t) - (int64_t)code : (size_t)code;

	return bit < n_bits && (words[bit / 64] >> bit % 64 & 1);
}

uint64_t lifecycle_ladder_usec(const struct worker_settings *p)
{
	uint64_t sum_usec = LIFECYCLE_KILL_WAIT_USEC;

	for (uint32_t i = 0; i < p->stop.n_rungs; i++) {
		if (p->stop.rungs[i].signo == SIGKILL)
			break;
		sum_usec = usec_add(sum_usec, act_rung_wait_usec(p, i));
	}
	return sum_usec;
}
