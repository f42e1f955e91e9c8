/* The scheduler: who runs which task, and what becomes of it.
 *
 * Properties
 *   No system calls, no clock, no thread: it reads and writes channels, calls
 *   back for the few things that need the system (struct engine_hooks), and is
 *   driven by whoever has them. A simulator drives it with made-up workers on the
 *   same channels.
 *   A job is a source of items of one function: a single task, an array, an
 *   iteration. Jobs with something to hand out stand in a queue, the most urgent
 *   first, and among equals first come, first served. A piece is a run of items
 *   that goes to a worker as one.
 * Operation
 *   engine_submit() queues a job; engine_feed() hands pieces to ports;
 *   engine_collect() takes results; engine_port_*() tell what happened to
 *   workers. Every item of every submitted job ends in exactly one call of its
 *   type's done() or ended().
 *   What is handed over and not begun can be taken back: for a worker that
 *   has nothing to do, for something more urgent, for a cancel, after a death.
 *   Taken-back pieces wait in
 *   `redo`, which has room for all that can be there at once. A crashed item that
 *   is to be run again waits for its time in its trail, which needed memory: for
 *   want of that it ends as crashed.
 * Invariants
 *   A piece is in exactly one place: with its job, in redo, in one port, or in the
 *   trail of an item that waits.
 *   A job whose items all have outcomes is known nowhere here.
 *   After a death at most one item is blamed: the one whose slot was RUNNING or
 *   CANCELLING (or makes no sense), first in the ring.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <reeve/pool.h>

#include "workers/pool/port.h"
#include "workers/pool/trail.h"

struct engine;

/* Where something ran. */
struct job_place {
	unsigned seat;
	pid_t pid;
	struct trail *trail; /* of the one item; the job's from now on */
};

struct job_type {
	/* The next items, at most max_items, whose inputs lie one after the
	 * other; all of *ret but .job and the port's. false: none now. With
	 * is_last the engine forgets the job, which may be gone once its last
	 * item has an outcome. */
	bool (*next)(struct job *job, uint32_t max_items, struct piece *ret);
	/* Where the inputs of piece lie, as they are to be handed over, and how
	 * many bytes they are; asked again after a take-back. */
	const void *(*input)(struct job *job, const struct piece *piece,
			     size_t *ret_size);
	/* The first n items of piece have run. Returns how many are DONE. */
	uint32_t (*done)(struct job *job, const struct piece *piece, uint32_t n,
			 const struct port_output *output,
			 const struct job_place *place);
	/* Item index will not run, or not to its end. Takes trail (may be
	 * NULL). */
	void (*ended)(struct job *job, uint64_t index,
		      const struct reeve_outcome *outcome, struct trail *trail);
	/* How many items next() would still give, as far as is known. */
	uint64_t (*waiting)(struct job *job);
	/* Nothing more of it is handed out: what next() has not given yet ends
	 * with outcome. Returns how many items that were. */
	uint64_t (*abandon)(struct job *job,
			    const struct reeve_outcome *outcome);
};

struct job {
	TAILQ_ENTRY(job) entry;
	const struct job_type *type;
	uint64_t function; /* as in struct slot */
	/* A crashed item is run again, so much later, until it has crashed so
	 * often; 0 is 1. */
	unsigned max_crashes;
	uint64_t retry_delay_usec;
	reeve_task_fn *fn; /* as it was given; for reports, as is: */
	uint64_t number;
	unsigned level; /* how urgent: below ENGINE_LEVELS; more is more */
	bool is_queued;
	bool is_cancelled; /* nothing of it is handed out any more */
};

/* How a worker ended. */
struct engine_end {
	/* Of the task that it was running, if it was: CRASHED, or TIMEOUT when
	 * the keeper cut a task. */
	struct reeve_outcome outcome;
	/* All but what concerns tasks, which the engine fills in. */
	struct reeve_death death;
	uint64_t now_usec;
};

struct engine_hooks {
	/* The worker sleeps and there is something for it. */
	void (*wake)(struct engine *e, unsigned port);
	/* The worker's tree has to be killed; engine_port_ended() follows. */
	void (*kill)(struct engine *e, unsigned port);
	/* Much memory of the arenas was used, and nothing is in them: as long as
	 * port_has_to_trim(), it may be given back. */
	void (*trim)(struct engine *e, unsigned port);
};

#define ENGINE_LEVELS (REEVE_PRIORITY_MAX - REEVE_PRIORITY_MIN + 1)

/* A piece that was taken back. */
struct redo {
	TAILQ_ENTRY(redo) entry;
	struct piece piece;
};

TAILQ_HEAD(redo_list, redo);

/* What waits and is equally urgent; this is the order in which it is handed out. */
struct engine_level {
	struct redo_list redo; /* older ones first */
	struct trails due;     /* crashed items that are to be run again */
	TAILQ_HEAD(, job) queue;
};

struct engine {
	struct port *ports;
	unsigned n_ports;
	struct engine_level levels[ENGINE_LEVELS];
	uint32_t levels_waiting; /* a bit for each that is not empty */
	uint32_t levels_given;	 /* and for each that is in a port, perhaps */
	bool is_hurrying;	 /* chunks somewhere are to end early */
	struct redo *redo;	 /* room for all */
	struct redo_list redo_free;
	size_t n_redo, redo_used, redo_size;
	struct trails waiting;	 /* crashed items, until they are due */
	struct heap times;	 /* of those that wait */
	uint32_t window;	 /* slots used of each port */
	uint32_t max_items;	 /* of a piece: maxtasksperchild */
	uint32_t bell;		 /* set on each publish, unless 0 */
	unsigned checks_unready; /* engine_check()s until who is not ready, but
				  * starting or leaving, is given up */
	unsigned hint;		 /* the port that last brought something */
	const struct engine_hooks *hooks;
	struct reeve_outcome given_up; /* PENDING: not */
	uint64_t n_done, n_failed, n_crashed, n_timeout, n_cancelled;
	uint64_t n_retries;
};

/* Takes n_ports ports, initialised. Returns 0 or -ENOMEM. */
int engine_init(struct engine *e, struct port *ports, unsigned n_ports,
		uint32_t window, const struct engine_hooks *hooks);
void engine_done(struct engine *e);

/* Puts job into the queue, if it is not there. */
void engine_submit(struct engine *e, struct job *job);

/* Cancels all of job that has no outcome: what was not begun ends here and now,
 * CANCELLED; what is running ends when its worker is dead. Returns how many
 * pieces are running. */
unsigned engine_cancel(struct engine *e, struct job *job);

/* What waits until now_usec to be run again is handed out from now on. */
void engine_due(struct engine *e, uint64_t now_usec);

/* When engine_due() has something to do, or UINT64_MAX. */
uint64_t engine_next_due(const struct engine *e);

/* Hands out what there is. Returns the number of pieces handed over. */
size_t engine_feed(struct engine *e);

/* Takes what has come back. Returns the number of pieces. */
size_t engine_collect(struct engine *e);

/* Is there something to collect? */
bool engine_is_ready(const struct engine *e);

/* Asks all busy workers to ring after `bell` more tasks. Returns false when there
 * is something to collect already: then do not sleep. */
bool engine_arm(struct engine *e, uint32_t bell);
void engine_disarm(struct engine *e);

/* Nothing is handed over, and nothing waits to be. */
bool engine_is_idle(const struct engine *e);

/* To be called each 100 ms or so while something is handed over: a worker that
 * does not begin the task in front of it (it is stopped, or its memory was
 * scribbled over) is woken again, and given up in the end. */
void engine_check(struct engine *e);

/* A worker of this generation is on the port. */
void engine_port_live(struct engine *e, unsigned port, uint32_t generation,
		      pid_t pid);

/* How many workers get something to do. Those beyond get nothing more, what they
 * have not begun is taken back, and they leave after the task that they run. To
 * be called again with the same number when workers have come or gone: who was
 * to leave stays when somebody else is gone. */
void engine_resize(struct engine *e, unsigned n_workers);

/* Is somebody to be looked after by engine_check()? */
bool engine_has_to_check(const struct engine *e);

/* It is dead. The port is reset. */
void engine_port_ended(struct engine *e, unsigned port, struct engine_end *end);

/* Nothing is begun any more: what is queued, or handed over and not begun, ends
 * with this outcome. What is submitted later ends so at once: an iteration that is
 * not in the queue because its room is full is told then. What runs ends when it
 * does, or its worker. */
void engine_refuse(struct engine *e, const struct reeve_outcome *outcome);

/* The same; and all workers are dead: what was running ends so too. */
void engine_give_up(struct engine *e, const struct reeve_outcome *outcome);

/* Items that are not handed over: those of the jobs in the queue, and those that
 * were taken back. Looks at each. */
uint64_t engine_waiting(const struct engine *e);
