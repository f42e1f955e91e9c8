/* What becomes of a worker whose run has ended. Pure; used by lifecycle.c.
 *
 *	it was told to	stop		V_STOPPED
 *			restart		V_AGAIN, all failures forgotten
 *			recycle		V_AGAIN, counted as a recycle only
 *	never ready	a start failure, whatever its exit code: V_LATER, or
 *			V_FATAL when startretries are used up; a oneshot that
 *			exits as expected has done its work: V_EXITED
 *	was ready	autorestart decides between V_EXITED and a restart;
 *			the first restart is V_AGAIN, more are V_LATER, too
 *			many in restart_limit's time V_FATAL
 *
 * With restart_delay = 0 every V_LATER is V_AGAIN.
 */
#pragma once

#include <stdint.h>

#include "conf/settings.h"
#include "supervisor/core/lifecycle.h"

/* Judges the run whose end lc->exit tells, and counts. Returns one of the V_
 * events; for V_LATER the delay is in lc->delay_usec. */
enum worker_event verdict_reach(struct lifecycle *lc,
				const struct worker_settings *p,
				uint64_t now_usec);

/* The operator has spoken: earlier failures count no longer. */
void verdict_forget(struct lifecycle *lc);

/* Adds one, and stays at the maximum. */
void verdict_count(uint32_t *counter);
