/* What the cells of the table in lifecycle.c do. Pure; for lifecycle.c only.
 *
 * An action changes the worker's memory, enters the next state (if it is to
 * change), sets the deadline, and returns what the caller has to do: a set of
 * enum lifecycle_action.
 */
#pragma once

#include <stdint.h>

#include "conf/settings.h"
#include "supervisor/core/lifecycle.h"
#include "workers/base/pure/rng.h"

/* What a step knows. */
struct step {
	struct lifecycle *lc;
	const struct worker_settings *p;
	const struct lifecycle_fact *fact;
	struct rng *rng;
	uint64_t now_usec;
};

/* any: without a process, makes one */
unsigned act_start(const struct step *s);

/* without a process: STOPPED, EXITED, FATAL (idle), BACKOFF */
unsigned act_idle_start(const struct step *s);
unsigned act_idle_stop(const struct step *s);
unsigned act_backoff_start(const struct step *s);

/* STARTING, RUNNING (up) */
unsigned act_up_stop(const struct step *s);
unsigned act_up_stop_now(const struct step *s);
unsigned act_up_restart(const struct step *s);
unsigned act_up_watchdog(const struct step *s);
unsigned act_up_leader_exit(const struct step *s);
unsigned act_starting_spawned(const struct step *s);
unsigned act_starting_spawn_failed(const struct step *s);
unsigned act_starting_runs(const struct step *s);
unsigned act_starting_ready(const struct step *s);
unsigned act_starting_extend(const struct step *s);
unsigned act_starting_timeout(const struct step *s);
unsigned act_running_recycle(const struct step *s);

/* STOPPING, KILLING (ending) */
unsigned act_ending_start(const struct step *s);
unsigned act_ending_stop(const struct step *s);
unsigned act_stopping_stop_now(const struct step *s);
unsigned act_stopping_extend(const struct step *s);
unsigned act_stopping_leader_exit(const struct step *s);
unsigned act_stopping_timeout(const struct step *s);
unsigned act_killing_leader_exit(const struct step *s);
unsigned act_killing_timeout(const struct step *s);

/* GONE, and the verdict on it */
unsigned act_process_gone(const struct step *s);
unsigned act_verdict_later(const struct step *s);
unsigned act_verdict_exited(const struct step *s);
unsigned act_verdict_fatal(const struct step *s);

/* How long a rung waits: what it says, or stopwaitsecs. */
uint64_t act_rung_wait_usec(const struct worker_settings *p, uint32_t rung);
