/* The actions of the table in lifecycle.c, named STATE_EVENT; where several
 * states share one, the state is "idle" (STOPPED, EXITED, FATAL), "up"
 * (STARTING, RUNNING) or "ending" (STOPPING, KILLING). Bottom-up: first what
 * all use, then state by state. See act.h.
 */
#include "supervisor/core/act.h"

#include <signal.h>

#include "supervisor/core/backoff.h"
#include "supervisor/core/verdict.h"
#include "workers/base/pure/macro.h"

/* --- what all actions use ------------------------------------------------ */

/* The one setter of the state. Every entry, also from the same state, is a
 * change, and each state has its own idea of a deadline. */
static void enter(const struct step *s, enum worker_state state,
		  uint64_t deadline_usec)
{
	s->lc->state = state;
	s->lc->changed_usec = s->now_usec;
	s->lc->deadline_usec = deadline_usec;
}

/* Has come to rest: nothing follows until somebody says START. */
static unsigned settle(const struct step *s, enum worker_state state)
{
	struct lifecycle *lc = s->lc;

	lc->ending = ENDING_NONE;
	lc->is_recycling = false;
	lc->is_restart = false;
	enter(s, state, USEC_INFINITY);
	return 0;
}

static unsigned back_off(const struct step *s, uint64_t delay_usec,
			 uint64_t max_usec)
{
	uint64_t spread_usec = backoff_jitter_usec(
		delay_usec, max_usec, s->p->restart_jitter_percent, s->rng);

	s->lc->ending = ENDING_NONE;
	s->lc->delay_usec = delay_usec;
	enter(s, STATE_BACKOFF, usec_add(s->now_usec, spread_usec));
	return 0;
}

unsigned act_start(const struct step *s)
{
	struct lifecycle *lc = s->lc;

	reeve_assert(!lc->has_process);
	lc->ending = ENDING_NONE;
	lc->start_wanted = false;
	lc->is_ready = false;
	lc->ready_usec = 0;
	enter(s, STATE_STARTING, USEC_INFINITY);
	return ACTION_SPAWN;
}

static unsigned become_ready(const struct step *s)
{
	struct lifecycle *lc = s->lc;

	lc->is_ready = true;
	lc->ready_usec = s->now_usec;
	lc->start_failures = 0;
	lc->is_recycling = false;
	enter(s, STATE_RUNNING, USEC_INFINITY);
	return 0;
}

static unsigned kill_tree(const struct step *s)
{
	enter(s, STATE_KILLING,
	      usec_add(s->now_usec, LIFECYCLE_KILL_WAIT_USEC));
	return ACTION_KILL;
}

uint64_t act_rung_wait_usec(const struct worker_settings *p, uint32_t rung)
{
	uint64_t wait_usec = p->stop.rungs[rung].wait_usec;

	return wait_usec == USEC_INFINITY ? p->stopwaitsecs_usec : wait_usec;
}

/* Sends the signal of a rung; beyond the last one, and at KILL, kills. */
static unsigned climb(const struct step *s, uint32_t rung)
{
	struct lifecycle *lc = s->lc;
	const struct stop_ladder *ladder = &s->p->stop;

	if (rung >= ladder->n_rungs || ladder->rungs[rung].signo == SIGKILL)
		return kill_tree(s);
	lc->rung = rung;
	lc->signo = ladder->rungs[rung].signo;
	lc->deadline_usec =
		usec_add(s->now_usec, act_rung_wait_usec(s->p, rung));
	return lc->is_leader_gone ? ACTION_SIGNAL_TREE : ACTION_SIGNAL;
}

static unsigned begin_ending(const struct step *s, enum lifecycle_ending ending)
{
	s->lc->ending = ending;
	enter(s, STATE_STOPPING, USEC_INFINITY);
	return climb(s, 0);
}

/* The leader's exit is the run's, also when its tree outlives it. */
static void remember_exit(const struct step *s)
{
	struct lifecycle *lc = s->lc;

	reeve_assert(lc->has_process && s->fact);
	if (lc->is_leader_gone)
		return;
	lc->has_exit = true;
	lc->exit = s->fact->exit;
	lc->exit_usec = s->now_usec;
	lc->exit_uptime_usec = usec_sub(s->now_usec, lc->spawned_usec);
}

static void extend(const struct step *s)
{
	uint64_t until_usec;

	reeve_assert(s->fact);
	until_usec = usec_add(s->now_usec, s->fact->extend_usec);
	s->lc->deadline_usec = MAX(s->lc->deadline_usec, until_usec);
}

/* --- no process: STOPPED, EXITED, FATAL (idle), BACKOFF ------------------- */

unsigned act_idle_start(const struct step *s)
{
	verdict_forget(s->lc);
	return act_start(s);
}

unsigned act_idle_stop(const struct step *s)
{
	verdict_forget(s->lc);
	return settle(s, STATE_STOPPED);
}

/* Its failures stay in mind: only the waiting is cut short. */
unsigned act_backoff_start(const struct step *s)
{
	s->lc->is_restart = false;
	return act_start(s);
}

/* --- STARTING, RUNNING (up) ---------------------------------------------- */

unsigned act_up_stop(const struct step *s)
{
	return begin_ending(s, ENDING_STOP);
}

unsigned act_up_stop_now(const struct step *s)
{
	s->lc->ending = ENDING_STOP;
	return kill_tree(s);
}

unsigned act_up_restart(const struct step *s)
{
	return begin_ending(s, ENDING_RESTART);
}

/* It hangs, so nothing is asked of it but a core dump for those who want to
 * know why; the ladder does not apply. */
unsigned act_up_watchdog(const struct step *s)
{
	struct lifecycle *lc = s->lc;

	lc->ending = ENDING_WATCHDOG;
	lc->rung = (uint32_t)s->p->stop.n_rungs;
	lc->signo = SIGABRT;
	enter(s, STATE_STOPPING,
	      usec_add(s->now_usec, LIFECYCLE_ABORT_WAIT_USEC));
	return ACTION_ABORT;
}

/* The rest of its tree has lost its head and must not meet the next one. */
unsigned act_up_leader_exit(const struct step *s)
{
	remember_exit(s);
	s->lc->is_leader_gone = true;
	s->lc->ending = ENDING_LEADER_EXIT;
	return kill_tree(s);
}

static uint64_t start_deadline_usec(const struct worker_settings *p,
				    uint64_t now_usec)
{
	switch (p->type) {
	case WORKER_SIMPLE:
		if (p->startsecs_usec == 0)
			return USEC_INFINITY; /* ready when it RUNS */
		return usec_add(now_usec, p->startsecs_usec);
	case WORKER_NOTIFY:
	case WORKER_ONESHOT:
		break;
	}
	return usec_add(now_usec, p->start_timeout_usec);
}

unsigned act_starting_spawned(const struct step *s)
{
	struct lifecycle *lc = s->lc;

	lc->has_process = true;
	lc->spawned_usec = s->now_usec;
	lc->spawn_failures = 0;
	lc->starts++;
	if (lc->is_restart)
		lc->restarts++;
	lc->is_restart = false;
	lc->deadline_usec = start_deadline_usec(s->p, s->now_usec);
	return 0;
}

unsigned act_starting_spawn_failed(const struct step *s)
{
	uint64_t max_usec =
		MAX(s->p->restart_delay_max_usec, LIFECYCLE_SPAWN_RETRY_USEC);
	uint64_t delay_usec = backoff_doubled_usec(
		LIFECYCLE_SPAWN_RETRY_USEC, max_usec, s->lc->spawn_failures);

	verdict_count(&s->lc->spawn_failures);
	return back_off(s, delay_usec, max_usec);
}

unsigned act_starting_runs(const struct step *s)
{
	if (s->p->type == WORKER_SIMPLE && s->p->startsecs_usec == 0)
		return become_ready(s);
	return 0;
}

unsigned act_starting_ready(const struct step *s)
{
	if (s->p->type == WORKER_ONESHOT)
		return 0; /* has nothing to be ready for but its exit */
	return become_ready(s);
}

unsigned act_starting_extend(const struct step *s)
{
	if (s->p->type != WORKER_SIMPLE)
		extend(s);
	return 0;
}

unsigned act_starting_timeout(const struct step *s)
{
	if (s->p->type == WORKER_SIMPLE)
		return become_ready(s);
	return begin_ending(s, ENDING_START_TIMEOUT);
}

unsigned act_running_recycle(const struct step *s)
{
	s->lc->is_recycling = true;
	return begin_ending(s, ENDING_RECYCLE);
}

/* --- STOPPING, KILLING (ending) ------------------------------------------ */

unsigned act_ending_start(const struct step *s)
{
	s->lc->start_wanted = true;
	return 0;
}

/* Overrules whatever it is being ended for, and what was to follow. */
unsigned act_ending_stop(const struct step *s)
{
	s->lc->ending = ENDING_STOP;
	s->lc->start_wanted = false;
	return 0;
}

unsigned act_stopping_stop_now(const struct step *s)
{
	(void)act_ending_stop(s);
	return kill_tree(s);
}

unsigned act_stopping_extend(const struct step *s)
{
	if (s->lc->rung < s->p->stop.n_rungs)
		extend(s);
	return 0;
}

unsigned act_stopping_leader_exit(const struct step *s)
{
	struct lifecycle *lc = s->lc;

	remember_exit(s);
	lc->is_leader_gone = true;
	if (lc->rung >= s->p->stop.n_rungs)
		return kill_tree(s); /* it was aborted: no grace for the rest */
	return ACTION_SIGNAL_TREE;
}

unsigned act_stopping_timeout(const struct step *s)
{
	return climb(s, s->lc->rung + 1);
}

unsigned act_killing_leader_exit(const struct step *s)
{
	remember_exit(s);
	s->lc->is_leader_gone = true;
	return 0;
}

unsigned act_killing_timeout(const struct step *s)
{
	s->lc->deadline_usec = usec_add(s->now_usec, LIFECYCLE_KILL_WAIT_USEC);
	return ACTION_KILL | ACTION_UNKILLABLE;
}

/* --- GONE, and the verdict on it ------------------------------------------ */

/* The state stays for an instant: the verdict follows in the same step. */
unsigned act_process_gone(const struct step *s)
{
	remember_exit(s);
	s->lc->is_leader_gone = false;
	s->lc->has_process = false;
	return 0;
}

unsigned act_verdict_later(const struct step *s)
{
	return back_off(s, s->lc->delay_usec, s->p->restart_delay_max_usec);
}

unsigned act_verdict_exited(const struct step *s)
{
	return settle(s, STATE_EXITED);
}

unsigned act_verdict_fatal(const struct step *s)
{
	return settle(s, STATE_FATAL);
}
