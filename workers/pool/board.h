/* The board: what the owner of a pool and its keeper tell each other.
 *
 * Properties
 *   Shared memory of the two alone; workers do not have it. Everything on it is
 *   a level, not a message: it says how things are or should be, so there is
 *   no queue that could fill up while one side is busy, and who looks twice
 *   loses nothing. Each side writes its own half and rings the other's eventfd.
 * Operation
 *   Wanted by the owner: how many workers; which channels are ready for a
 *   worker (their number of use, a "turn"); which worker to kill. Told by
 *   the keeper, for each channel: which worker is on it, or how the last
 *   one ended.
 *
 *     owner                              keeper
 *     seat.offered = t  (channel reset)
 *                                        seat.state = LIVE, pid, generation
 *                                        (in place recycles: generation + 1)
 *     seat.kill = generation
 *                                        seat.exit = ..., seat.state = ENDED
 *     collects, resets the channel
 *     seat.offered = t + 1               ... may be used again
 *
 *   A seat's record is stable while its state is ENDED and its turn not
 *   offered again; pid and generation change together under `sequence` (odd
 *   while they are being written).
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "workers/base/sys/postmortem.h"

#define BOARD_SEATS_MAX	  1024
#define BOARD_MESSAGE_MAX 240

enum seat_state {
	SEAT_EMPTY, /* offered or not: no worker yet */
	SEAT_LIVE,
	SEAT_ENDED
};

/* Why the keeper ended a worker, or that it did not. */
enum seat_cause {
	CAUSE_OWN,     /* it exited or crashed by itself */
	CAUSE_KILLED,  /* the owner asked for it */
	CAUSE_TIMEOUT, /* a task's deadline: the slot is CANCELLING */
	CAUSE_START,   /* not ready within start_timeout */
	CAUSE_CUT_OFF, /* it closed its descriptors or executed a program */
	CAUSE_STOPPED, /* it was stopped in a task, and did not go on */
	CAUSE_LEFT     /* it left because it was told to, or should have */
};

enum seat_oom { OOM_UNKNOWN, OOM_NO, OOM_YES };

struct seat {
	/* owner's */
	_Alignas(64) _Atomic uint32_t offered; /* turn, from 1; 0: never */
	_Atomic uint32_t kill;		       /* generation to be killed */
	/* keeper's */
	_Alignas(64) _Atomic uint32_t sequence;
	_Atomic uint32_t state;	     /* enum seat_state */
	_Atomic uint32_t turn;	     /* the offer that state is about */
	_Atomic uint32_t generation; /* as in channel_orders */
	_Atomic int32_t pid;
	_Atomic uint64_t started_usec; /* CLOCK_MONOTONIC */
	_Atomic uint64_t n_recycled;   /* planned replacements on this seat */
	/* of the worker that ended (state ENDED) */
	uint32_t cause;	    /* enum seat_cause */
	int32_t exit_code;  /* 0, N, -signal */
	uint32_t core, oom; /* oom: enum seat_oom */
	struct rusage rusage;
	uint64_t ended_usec; /* CLOCK_MONOTONIC */
	uint64_t busy_usec;  /* for how long its task was seen running; 0: it
			      * was not looked at, or there was none */
	/* What it was doing when the keeper killed it; "": it did not, or
	 * nothing was to be seen. Always ended by a NUL. */
	char post_mortem[POSTMORTEM_MAX];
};

enum keeper_state {
	KEEPER_STARTING,
	KEEPER_RUNNING,
	KEEPER_FATAL, /* starting workers has failed too often: see message */
	KEEPER_DONE   /* closed or terminated, and no worker is left */
};

enum board_order { ORDER_RUN, ORDER_CLOSE, ORDER_TERMINATE };

struct board {
	/* owner's */
	_Alignas(64) _Atomic uint32_t target; /* workers wanted */
	_Atomic uint32_t order;		      /* enum board_order */
	/* Tasks finished since the last start: progress, which forgives
	 * earlier failures. */
	_Atomic uint64_t progress;
	/* keeper's */
	_Alignas(64) _Atomic uint32_t state; /* enum keeper_state */
	_Atomic uint32_t n_live;
	_Atomic uint64_t n_changes; /* one more with each change of a seat */
	_Atomic uint64_t n_started, n_start_failures;
	_Atomic uint64_t n_warned; /* tasks whose soft time was over */
	/* With a deadline of tasks: the keeper sees nothing to be run and watches no
	 * deadlines. Who publishes then sets it to 0 and rings keeper_fd; with
	 * a full fence between publishing and looking at it. */
	_Atomic uint32_t is_dozing;
	/* Why FATAL; stable once it is. Before: of the last start that failed,
	 * always ended by a NUL, perhaps while it is being written. */
	char message[BOARD_MESSAGE_MAX];
	uint32_t n_seats;
	struct seat seats[];
};
