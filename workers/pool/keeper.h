/* The keeper: the small process that is the parent of a pool's workers.
 *
 * Properties
 *   Single-threaded, child of the owner, subreaper. It watches the owner by
 *   pidfd: owner gone, whole trees gone, then itself. If it dies itself, its
 *   workers get SIGKILL as their parent-death signal (it has one thread, so
 *   the signal means what it says). Tasks never pass through it.
 * Operation
 *   keeper_main() brings the number of live workers to board->target, on
 *   channels that are offered, whatever the owner is doing:
 *     - forks a worker for each missing one (target - live, computed each
 *       time), at most restart_limit failures in restart_interval, with
 *       backoff between failures, then FATAL with the reason; a failure is a
 *       start that does not reach PHASE_READY. Progress (board->progress
 *       moved) forgives. What the system refuses (fork, pipe) is counted and
 *       tried again, for as long as it takes.
 *     - a worker that left with PHASE_LEAVING because of a limit, exit
 *       code 0 and no slot RUNNING or CANCELLING is replaced on the same
 *       channel at once (generation + 1; owner_fd is not rung): what is queued
 *       there stays queued. If it cannot be, or is one too many, or left because
 *       of orders.closing, it is told as CAUSE_LEFT. At
 *       most recycle_max are between leaving and READY at a time: between
 *       task_due and task_limit a worker leaves when orders.may_leave is set.
 *     - a worker that is older than max_age_usec, or larger than max_rss_bytes, is
 *       told to ask for leave (orders.due), and leaves likewise.
 *     - any other end is told on the board; a replacement starts on another
 *       offered channel, without waiting for the owner.
 *     - what workers share with others is repaired (keeper_repair.c).
 *     - whatever else is left of a dead worker's tree is killed: workers
 *       are subreapers too, so all that comes to the keeper as an orphan is a
 *       dead worker's.
 *     - a task that runs longer than task_timeout_usec (waiting for room for
 *       output is not running) is cut: the word of its
 *       slot goes RUNNING -> CANCELLING by compare-and-swap (exactly this
 *       task and item, or nothing), then the tree is killed, CAUSE_TIMEOUT.
 *     - one that runs longer than task_soft_timeout_usec is told: RUNNING ->
 *       WARNED likewise, then soft_signal to the worker's first thread, then
 *       orders.signalled.
 *     - a worker that is stopped while a task runs, and for a second does not go on,
 *       is killed.
 *     - seat.kill: that generation's tree is killed. order TERMINATE: all;
 *       order CLOSE: no replacement but in place while something is queued
 *       there; workers leave by orders.closing, and are killed start_timeout
 *       later. FATAL: no more starts; who lives, lives on, until the order
 *       comes.
 *   Both ring eventfds: keeper_fd is read by the keeper, owner_fd by the owner.
 * Safety
 *   Runs in its own process only, forked while stdio is flushed (a worker
 *   flushes what it finds). Takes all fds of the config, which get other
 *   numbers, out of the workers' way. The board is a mapping of its own (page
 *   aligned), and not inherited by workers. Leaves by _exit(); state is DONE, or
 *   FATAL when it could not even begin. Needs /proc.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "workers/pool/board.h"
#include "workers/pool/channel.h"

/* One seat: a channel and the eventfd by which its worker rings the owner. */
struct keeper_seat {
	int channel_fd;		/* closed when mapped */
	int bell_fd;		/* seats may share one */
	struct channel channel; /* mapped by keeper_main(), where it runs */
};

struct keeper_config {
	const char *name; /* of the pool; shown by ps as "NAME keeper" */
	int owner_pidfd;
	int keeper_fd; /* eventfd: the owner changed the board */
	int owner_fd;  /* eventfd: the keeper did */
	struct board *board;
	struct keeper_seat *seats; /* board->n_seats of them */

	uint64_t maxtasksperchild; /* 0: no limit */
	uint64_t maxtasks_jitter;  /* a worker's limit is less by up to this */
	uint64_t max_rss_bytes;	   /* 0: no limit; memory of its own */
	uint64_t max_age_usec;	   /* 0: no limit */
	uint64_t max_age_jitter_usec;
	unsigned recycle_max;		 /* 0: no bound */
	uint64_t task_timeout_usec;	 /* 0: none */
	uint64_t task_soft_timeout_usec; /* less than that; 0: none */
	int soft_signal;		 /* sent then; 0: none */
	uint64_t start_timeout_usec;
	unsigned restart_limit;
	uint64_t restart_interval_usec;

	const struct shares *shares; /* with workers; NULL: none */

	/* Runs in a fresh worker and returns its exit code; seat->channel is
	 * mapped, all fds of the keeper but seat->bell_fd are closed, stdin is
	 * /dev/null, stdout and stderr are the owner's; signals are as in a new
	 * program. It leads a process group. lifeline_fd is CLOEXEC and stays
	 * open: its end of file tells the keeper that the worker closed
	 * everything or executed, though not in its first 10 ms. A byte
	 * written to it says "due": see task_due. */
	int (*worker_main)(const struct keeper_seat *seat, int lifeline_fd,
			   void *arg);
	void *arg;
};

/* Never returns. */
_Noreturn void keeper_main(struct keeper_config *config);
