/* Tasks: what runs in the workers of a pool, and what becomes of it.
 *
 * Properties
 *   A task is a function with an input (some bytes) and an output (some bytes). It
 *   gets exactly one outcome: done, failed (the function said so), crashed (its
 *   process died, and of what), timed out, or cancelled. What a worker died of is
 *   a struct reeve_death, also when it was not running anything.
 * Operation
 *   The function writes its output with reeve_reply_set() or into the room that
 *   reeve_reply_reserve() makes, and returns 0; or reeve_reply_error(). Meanwhile
 *   it may ask whether its time is over, and say how far it is. Pools,
 *   which run tasks, are in <reeve/pool.h>.
 * Safety
 *   The functions that take a struct reeve_reply are for the task that was given
 *   it, in its worker, until it returns. The names of outcomes and deaths may be
 *   asked for anywhere.
 *   Sizes: an input or output is 0 to the pool's payload_max bytes.
 */
#ifndef REEVE_TASK_H
#define REEVE_TASK_H

#include <errno.h>

#include <reeve/types.h>

REEVE_DECLARATIONS_BEGIN

#define REEVE_PAYLOAD_DEFAULT ((size_t)64 << 20) /* bytes, in and out each */
#define REEVE_PAYLOAD_MAX     ((size_t)1 << 30)
#define REEVE_MESSAGE_MAX     240 /* bytes of an error's text, with its NUL */
#define REEVE_PROGRESS_MAX    64 /* bytes of the text of a progress, likewise */
#define REEVE_DEATHS_MAX      64 /* that a pool remembers */
#define REEVE_POST_MORTEM_MAX 512 /* bytes, with the NUL */

/* ---- in the worker ------------------------------------------------------- */

/* Where a task's function leaves its output. */
struct reeve_reply {
	void *data;	 /* room for `capacity` bytes */
	size_t capacity; /* bytes */
	size_t size;	 /* bytes of output; 0 at first */
	void *internal;
};

/* A task. input is aligned to 16 bytes (elements of an array in a chunk: as in an
 * array that is), and is the worker's own copy: it may be written to. Returns 0
 * (done), or anything else (failed): a negative errno by custom. Whatever it leaks
 * stays with the worker until that is recycled. */
typedef int reeve_task_fn(void *input, size_t size, struct reeve_reply *reply);

/* Runs in each worker before its first task. Returns 0, or the worker has
 * failed to start. argument is a copy of what the pool was given. */
typedef int reeve_init_fn(void *argument, size_t size);

/* Makes room for size bytes of output, keeping none of what was there, and
 * returns it, aligned to 16 bytes; NULL with errno EMSGSIZE when size is over
 * the limit: payload_max, and in a chunk of reeve_pool_map() what the
 * caller has room for. */
REEVE_PUBLIC void *reeve_reply_reserve(struct reeve_reply *reply, size_t size);

/* Copies size bytes as the output. Returns 0 or -EMSGSIZE. */
static inline int reeve_reply_set(struct reeve_reply *reply, const void *data,
				  size_t size)
{
	void *p = reply->data;

	if (size > reply->capacity)
		p = reeve_reply_reserve(reply, size);
	if (!p)
		return -EMSGSIZE;
	__builtin_memcpy(p, data, size);
	reply->size = size;
	return 0;
}

/* The text that goes with a failure, cut at REEVE_MESSAGE_MAX. Returns code, so
 * that a task can end with `return reeve_reply_error(reply, -EIO, "...")`. */
REEVE_PUBLIC int reeve_reply_error(struct reeve_reply *reply, int code,
				   const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* In a task: is the soft deadline over (task_soft_timeout_usec)? Then it has until
 * the hard one to clean up and to return, DONE or FAILED as it likes. Costs no
 * more than a read of memory. For any thread of the task, until it returns. */
REEVE_PUBLIC bool reeve_task_is_overdue(const struct reeve_reply *reply);

/* How far a task is, as it says itself: numbers and bytes that may be anything. The
 * text is ended by a NUL; whether it may be shown as it is (control characters,
 * invalid UTF-8) is for the reader to decide. */
struct reeve_progress {
	uint64_t done, total; /* of whatever it counts */
	uint64_t n_reports;   /* how often it has said so; 0: never */
	char text[REEVE_PROGRESS_MAX];
};

/* In a task: says how far it is, and with what (text, cut at REEVE_PROGRESS_MAX;
 * may be NULL). The last word counts, and costs some ten nanoseconds: it is
 * written to memory, where reeve_result_progress() and reeve_pool_workers() find
 * it. Each item of a map begins anew. Returns 0, or 1 when the soft deadline is
 * over (as reeve_task_is_overdue()). */
REEVE_PUBLIC int reeve_task_progress(const struct reeve_reply *reply,
				     uint64_t done, uint64_t total,
				     const char *text);

/* ---- outcomes -------------------------------------------------------------- */

enum reeve_outcome_kind {
	REEVE_PENDING, /* none yet */
	REEVE_DONE,    /* the function returned 0 */
	REEVE_FAILED,  /* it returned something else: .error, .message */
	REEVE_CRASHED, /* its process ended while it ran: .exit, .message */
	REEVE_TIMEOUT, /* task_timeout_usec was over; its process was killed */
	REEVE_CANCELLED, /* withdrawn, or killed, because somebody asked */
};

struct reeve_outcome {
	enum reeve_outcome_kind kind;
	int error;     /* FAILED: what the function returned; else 0, -EPIPE
		    * (crashed), -ETIMEDOUT, -ECANCELED */
	unsigned seat; /* which worker, from 0 */
	pid_t pid;     /* of the process that ran it; 0 when none did */
	/* How often it has crashed, this outcome included: more than once, or
	 * with another outcome, where it may be run again. */
	unsigned n_crashes;
	struct reeve_exit exit; /* CRASHED, TIMEOUT: how it ended */
	char message[REEVE_MESSAGE_MAX];
};

/* A word for each kind: "done", "failed", ... */
REEVE_PUBLIC const char *reeve_outcome_name(enum reeve_outcome_kind kind);

/* ---- deaths ---------------------------------------------------------------- */

enum reeve_death_cause {
	REEVE_DEATH_OWN,     /* it ended by itself, or a stranger killed it */
	REEVE_DEATH_UNREADY, /* the same, before it was ready: its initializer
			      * failed, or ended the process */
	REEVE_DEATH_START_TIMEOUT, /* killed: it was not ready in time */
	REEVE_DEATH_TASK_TIMEOUT,  /* killed: its task's time was over */
	REEVE_DEATH_CANCELLED,	   /* killed: its task was cancelled */
	REEVE_DEATH_BROKEN,  /* killed: it wrote where it must not, or did not
			    * begin what stood before it */
	REEVE_DEATH_CUT_OFF, /* killed: it had closed its descriptors or executed
			      * another program */
	REEVE_DEATH_LEAVE_TIMEOUT, /* killed: it was to leave, and did not */
	REEVE_DEATH_KEEPER,	   /* the pool's keeper died, and it with it */
	REEVE_DEATH_STOPPED, /* killed: it was stopped (SIGSTOP, ...) in a task,
			      * and did not go on for a second */
};

/* The end of a worker that was not wanted by the pool: who leaves as planned
 * (maxtasksperchild, close), and who ends because its pool is terminated, has
 * not died. */
struct reeve_death {
	uint64_t when_usec;   /* CLOCK_REALTIME */
	uint64_t uptime_usec; /* how long it had lived */
	enum reeve_death_cause cause;
	unsigned seat;		/* which worker, from 0 */
	struct reeve_exit exit; /* with its pid */
	uint64_t n_tasks;	/* items that it had done */
	/* The task that was running, if one was: */
	bool was_busy;
	reeve_task_fn *function; /* as it was given; else NULL */
	uint64_t job;	    /* the pool's n-th apply, map or imap, of whatever
			 * variant; from 1 */
	uint64_t index;	    /* which of its items, from 0 */
	uint64_t busy_usec; /* for how long, as far as the keeper has seen it;
			     * 0: not known (no deadline is set) */
	/* What the pool saw of it before it killed it; or "": its state, where it
	 * was in the kernel, threads, memory, CPU time, and to root the kernel's
	 * stack, as far as /proc tells. Up to the first semicolon it also stands
	 * at the end of outcome.message. What it wrote to its output is not
	 * here: that is the caller's own, and not kept. */
	char post_mortem[REEVE_POST_MORTEM_MAX];
};

/* A word or two for each cause: "crashed", "task timeout", ... */
REEVE_PUBLIC const char *reeve_death_name(enum reeve_death_cause cause);

REEVE_DECLARATIONS_END

#endif
