/* See verdict.h.
 *
 * Start failures and run failures are told apart, as supervisor does: a start
 * that fails is retried startretries times with a growing delay and then given
 * up; a worker that was ready is restarted for ever, unless restart_limit says
 * how often. Each kind has a count of its own, in a row: being ready ends the
 * row of start failures, a run of restart_reset_after that of run failures.
 */
#include "supervisor/core/verdict.h"

#include "supervisor/core/backoff.h"

void verdict_count(uint32_t *counter)
{
	if (*counter < UINT32_MAX)
		(*counter)++;
}

void verdict_forget(struct lifecycle *lc)
{
	lc->start_failures = 0;
	lc->spawn_failures = 0;
	lc->run_failures = 0;
	lc->window_count = 0; /* the next one opens a window */
	lc->delay_usec = 0;
}

static enum worker_event restart(struct lifecycle *lc, uint64_t delay_usec)
{
	lc->is_restart = true;
	lc->delay_usec = delay_usec;
	return delay_usec > 0 ? EVENT_V_LATER : EVENT_V_AGAIN;
}

static enum worker_event start_failure(struct lifecycle *lc,
				       const struct worker_settings *p)
{
	lc->crashes++;
	verdict_count(&lc->start_failures);
	if (lc->start_failures > p->startretries)
		return EVENT_V_FATAL;
	return restart(lc, backoff_base_usec(p, lc->start_failures));
}

/* A oneshot is ready when it has exited as it should. */
static enum worker_event oneshot_exit(struct lifecycle *lc,
				      const struct worker_settings *p)
{
	if (lifecycle_is_expected(&p->exitcodes, lc->exit.code))
		return EVENT_V_EXITED;
	if (p->autorestart != AUTORESTART_NO)
		return start_failure(lc, p);
	lc->crashes++;
	return EVENT_V_EXITED;
}

/* restart_limit: at most n restarts in interval_usec, counted from the first
 * one of a window. */
static bool is_over_limit(struct lifecycle *lc, const struct rate *limit,
			  uint64_t now_usec)
{
	if (limit->n == 0)
		return false;
	if (lc->window_count == 0 ||
	    now_usec - lc->window_usec > limit->interval_usec) {
		lc->window_usec = now_usec;
		lc->window_count = 0;
	}
	verdict_count(&lc->window_count);
	return lc->window_count > limit->n;
}

static enum worker_event run_end(struct lifecycle *lc,
				 const struct worker_settings *p,
				 uint64_t now_usec)
{
	bool unexpected = lc->ending == ENDING_WATCHDOG ||
			  !lifecycle_is_expected(&p->exitcodes, lc->exit.code);

	if (unexpected)
		lc->crashes++;
	if (p->autorestart == AUTORESTART_NO ||
	    (p->autorestart == AUTORESTART_UNEXPECTED && !unexpected))
		return EVENT_V_EXITED;
	if (is_over_limit(lc, &p->restart_limit, now_usec))
		return EVENT_V_FATAL;
	if (lc->exit_uptime_usec >= p->restart_reset_after_usec)
		lc->run_failures = 0;
	verdict_count(&lc->run_failures);
	return restart(lc, backoff_base_usec(p, lc->run_failures - 1));
}

enum worker_event verdict_reach(struct lifecycle *lc,
				const struct worker_settings *p,
				uint64_t now_usec)
{
	switch (lc->ending) {
	case ENDING_STOP:
		return EVENT_V_STOPPED;
	case ENDING_RESTART:
		verdict_forget(lc);
		return EVENT_V_AGAIN;
	case ENDING_RECYCLE:
		lc->recycles++;
		return EVENT_V_AGAIN;
	case ENDING_START_TIMEOUT:
		return start_failure(lc, p);
	case ENDING_NONE:
	case ENDING_WATCHDOG:
	case ENDING_LEADER_EXIT:
		break;
	}
	if (lc->is_ready && !lc->exit.is_exec_failure)
		return run_end(lc, p, now_usec);
	if (p->type == WORKER_ONESHOT && lc->ending != ENDING_WATCHDOG &&
	    !lc->exit.is_exec_failure)
		return oneshot_exit(lc, p);
	return start_failure(lc, p);
}
