/* The life of one worker: a total table [state][event] -> next state, actions.
 *
 * Pure: fed with facts (event, exit status, policy, now, randomness), returns
 * what is to be done, touches nothing but its own struct. The daemon executes
 * the actions and feeds back what came of them.
 *
 * Invariants
 *   A process exists (has_process) exactly in STARTING, RUNNING, STOPPING and
 *   KILLING, once SPAWNED was told; ACTION_SPAWN is returned only when none
 *   does, so no worker ever runs twice.
 *   STOP from any state ends in STOPPED after at most the ladder's sum of
 *   waits, given that SIGKILL ends the tree. (More only by what the worker has
 *   won with EXTEND, which STOP_NOW ends; and a watchdog's abort under way is
 *   waited for.) STOP wins over a start under way, START during a stop means:
 *   start again when it is gone.
 *   deadline_usec is the worker's only timer; USEC_INFINITY: none.
 *   Counters only grow. A recycle is never counted as a restart or a failure.
 *   Told to stop, restart or recycle, a worker cannot fail: how its run then
 *   ends is remembered, but never judged.
 *
 * What the caller promises (checked: reeve_assert)
 *   ACTION_SPAWN is answered with SPAWNED or SPAWN_FAILED before any other
 *   event; so a stop never meets a process that is not known yet.
 *   RUNS, LEADER_EXIT and GONE are told only while has_process; TIMEOUT only
 *   when deadline_usec has been reached. What comes from the worker itself or
 *   from timers of others (READY, EXTEND, WATCHDOG) may come at any time.
 *   now_usec never goes backwards.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "conf/settings.h"
#include "supervisor/core/states.h"
#include "workers/base/pure/rng.h"
#include "workers/base/pure/usec.h"

/* After SIGKILL to the tree: say so when it is still there, and kill again. */
#define LIFECYCLE_KILL_WAIT_USEC (5 * USEC_PER_SEC)
/* No process could be made (EAGAIN, ENOMEM, EMFILE): our trouble, not the
 * worker's; tried again with backoff, for ever, never counted as its failure. */
#define LIFECYCLE_SPAWN_RETRY_USEC (100 * USEC_PER_MSEC)
/* From the watchdog's SIGABRT, which is to leave a trace, to SIGKILL. */
#define LIFECYCLE_ABORT_WAIT_USEC (5 * USEC_PER_SEC)

enum lifecycle_action {
	ACTION_SPAWN = 1 << 0,	/* make a process; answer SPAWNED or
				   SPAWN_FAILED */
	ACTION_SIGNAL = 1 << 1, /* send .signo (to the group: stopasgroup); with
				   CONT after it */
	ACTION_SIGNAL_TREE = 1 << 2, /* .signo to what is left of the tree */
	ACTION_KILL = 1 << 3, /* SIGKILL to the tree (killasgroup) or process */
	ACTION_ABORT = 1 << 4,	    /* watchdog: SIGABRT to the process first */
	ACTION_UNKILLABLE = 1 << 5, /* log: SIGKILL had no effect for so long */
};

/* Why a worker is being ended: decides what follows when it is gone. */
enum lifecycle_ending {
	ENDING_NONE, /* it is not: an exit is its own doing */
	ENDING_STOP,
	ENDING_RESTART,
	ENDING_RECYCLE,
	ENDING_START_TIMEOUT, /* not ready in time: a start failure */
	ENDING_WATCHDOG,      /* a run failure */
	ENDING_LEADER_EXIT,   /* process ended by itself; rest of tree killed */
};

/* How a process ended, as multiprocessing tells it. */
struct lifecycle_exit {
	int code; /* 0, N, -N for death by signal N */
	bool core;
	bool is_exec_failure; /* it never became the program */
};

struct lifecycle {
	enum worker_state state;
	enum lifecycle_ending ending;
	bool has_process;
	bool is_ready;	     /* this run has been RUNNING */
	bool start_wanted;   /* START came while being stopped */
	bool is_recycling;   /* from RECYCLE until ready again or given up */
	bool is_restart;     /* the next process is an automatic restart */
	bool is_leader_gone; /* LEADER_EXIT has told this run's exit */
	uint32_t rung;	     /* of the stop ladder, in STOPPING; n_rungs: beyond
			       it, as after the watchdog's SIGABRT */
	int signo;	     /* for ACTION_SIGNAL, ACTION_SIGNAL_TREE */
	uint64_t deadline_usec;
	uint64_t changed_usec; /* of the last change of state */
	uint64_t spawned_usec; /* start of this run, 0: never */
	uint64_t ready_usec;   /* of this run; 0: not yet */

	/* the last end of a process */
	bool has_exit;
	struct lifecycle_exit exit;
	uint64_t exit_usec;
	uint64_t exit_uptime_usec; /* how long that run lasted */

	/* policy's memory */
	uint32_t start_failures; /* in a row, before RUNNING */
	uint32_t spawn_failures; /* in a row, no process could be made */
	uint32_t run_failures;	 /* restarts since the last stable run */
	uint64_t window_usec;	 /* start of the restart_limit window */
	uint32_t window_count;
	uint64_t delay_usec; /* last backoff, before jitter */

	/* counters for status: processes made; those that followed a failure
	 * or an exit by themselves; runs ended by RECYCLE; unexpected exits
	 * and failed starts */
	uint64_t starts, restarts, recycles, crashes;
};

void lifecycle_init(struct lifecycle *lc, uint64_t now_usec);

/* What an event may carry. */
struct lifecycle_fact {
	struct lifecycle_exit exit; /* GONE, LEADER_EXIT */
	uint64_t extend_usec;	    /* EXTEND */
};

/* One step. fact may be NULL for events that carry none. rng for jitter.
 * Returns a set of enum lifecycle_action, to be done in the order of their
 * bits. V_ events must not be given: they come from within. */
unsigned lifecycle_step(struct lifecycle *lc, const struct worker_settings *p,
			enum worker_event event,
			const struct lifecycle_fact *fact, struct rng *rng,
			uint64_t now_usec);

/* True when it is meant to run or to be started again: STARTING, RUNNING,
 * BACKOFF, or being ended for anything but a stop, or with start_wanted. */
bool lifecycle_is_wanted(const struct lifecycle *lc);

/* What a verb that waits can say: has the worker come to rest? */
enum lifecycle_rest {
	REST_NO,     /* still on its way */
	REST_UP,     /* RUNNING; or EXITED as expected for a oneshot */
	REST_DOWN,   /* STOPPED, or EXITED */
	REST_FAILED, /* FATAL, or a start failed and is being retried: BACKOFF */
};
enum lifecycle_rest lifecycle_rest(const struct lifecycle *lc,
				   const struct worker_settings *p);

/* True when code is in exitcodes. */
bool lifecycle_is_expected(const struct exit_set *expected, int code);

/* The longest time that a stop may take, KILL included; USEC_INFINITY when a
 * rung waits for ever. A rung's wait of USEC_INFINITY means stopwaitsecs. */
uint64_t lifecycle_ladder_usec(const struct worker_settings *p);
