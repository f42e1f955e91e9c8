/* Pools: tasks run by worker processes, any of which may die at any moment.
 *
 * Properties
 *   What Python's multiprocessing.Pool is. A task is a function, its input (some
 *   bytes) and its output (some bytes). Each task gets exactly one outcome:
 *   done, failed (the function said so), crashed (its process died, and of
 *   what), timed out, or cancelled. A crash costs the one task that was
 *   running; everything else goes on, and the worker is replaced. No call waits
 *   for a process that is gone; one that is stopped (SIGSTOP) while it runs a task
 *   is killed after a second.
 *   Workers belong to the pool's keeper, a small child process of the caller.
 *   When the caller ends, however it ends, keeper and workers and all that they
 *   started end too.
 * Operation
 *   reeve_pool_new(), then any of apply, map, imap and their variants, then
 *   reeve_pool_close() or _terminate(), _join(), _free().
 *   With REEVE_SERVICE_CALLER (the default) the pool's work in the calling
 *   process - collecting results, handing out tasks, callbacks - is done inside
 *   calls that wait, and in reeve_pool_dispatch(), to be called when the fd of
 *   reeve_pool_fd() is readable. With REEVE_SERVICE_THREAD a thread does it.
 *   Locks, queues and their like are handed to the workers as the spec's
 *   `shared`, and found there by name, in every context: reeve_pool_shared().
 *   When a worker has died, or whatever a task had started, the keeper repairs
 *   them at once: what <reeve/sync.h> and <reeve/queue.h> promise within 100 ms
 *   others see without having to look, and a queue's fd for event loops is
 *   readable again. A call that is under way in a worker that is stopped is not
 *   waited for.
 * Safety
 *   A CALLER pool is for one thread at a time: a call while another thread is in
 *   one returns -EBUSY. A THREAD pool is for all threads. In a child that the
 *   caller has forked every call returns -ECHILD, and touches nothing; _free
 *   there only releases memory. A pool, result or iterator of NULL, and an output
 *   of NULL where nothing else is said, are -EINVAL, or nothing is done. Nothing
 *   here is async-signal-safe. In a callback of a pool, calls that wait on this
 *   pool return -EDEADLK; in a generator and in on_unseen, which run in the middle
 *   of the pool's work, all do, but for reeve_result_ref(), reeve_result_unref()
 *   and reeve_pool_free().
 *   Sizes: an input or output is 0 to payload_max bytes.
 *   Under valgrind pools of the context fork work, on Linux 6.5 or later; in the
 *   other contexts only if it knows pidfd_open(2), which 3.19 does not.
 */
#ifndef REEVE_POOL_H
#define REEVE_POOL_H

#include <reeve/task.h>
#include <reeve/types.h>

REEVE_DECLARATIONS_BEGIN

#define REEVE_PROCESSES_MAX 512
#define REEVE_HANDLERS_MAX  256	 /* of one pool, its initializer included */
#define REEVE_CRASHES_MAX   1000 /* of one task */
#define REEVE_PRIORITY_MIN  (-15)
#define REEVE_PRIORITY_MAX  15

struct reeve_pool;
struct reeve_result;
struct reeve_iterator;

/* ---- the pool -------------------------------------------------------------- */

enum reeve_context {
	/* forkserver in a program with threads, and for THREAD pools of a program
	 * that has called reeve_pool_setup(); else fork. */
	REEVE_CONTEXT_DEFAULT,
	/* Workers are forked copies of the caller. If the keeper is killed when the
	 * program has threads (a THREAD pool's is one), no other can be forked:
	 * all tasks are told so, -ESHUTDOWN. */
	REEVE_CONTEXT_FORK,
	REEVE_CONTEXT_FORKSERVER, /* of a clean process, this program anew */
	REEVE_CONTEXT_SPAWN,	  /* each is this program anew */
};

enum reeve_service { REEVE_SERVICE_CALLER, REEVE_SERVICE_THREAD };

/* Zero means the default everywhere. */
struct reeve_pool_spec {
	const char *name; /* shown by ps and in messages; default "pool" */
	/* How many workers. 0: as many as CPUs may be used; -1: one less, but
	 * at least one (see reeve_cpu_count()); other negative: -EINVAL. */
	int processes;
	/* How many there may ever be: see reeve_pool_resize(). Each costs two
	 * descriptors, also while it is not used. 0: as many as processes. */
	int processes_max;
	reeve_init_fn *initializer;
	const void *initializer_argument; /* copied */
	size_t initializer_size;

	uint64_t
		maxtasksperchild; /* a worker is replaced after so many items */
	uint64_t maxtasks_jitter; /* ... less up to so many, at random */
	/* It is also replaced when it has lived for so long (less up to the
	 * jitter), and when it holds so much memory: resident, without what it
	 * shares (files, libraries, payloads on their way), but with what a
	 * forked worker has of its parent's. Looked at once a second. 0: no
	 * limit. All replacements wait for the end of the task that it runs
	 * (of a map: of the chunk), however long that is or large it grows, lose
	 * nothing, and are no deaths. */
	uint64_t max_age_usec, max_age_jitter_usec;
	uint64_t max_rss_bytes;
	unsigned recycle_max; /* planned replacements at a time; 0: any */

	enum reeve_context context;
	enum reeve_service service;

	/* Functions in shared objects, each "file.so:symbol", ended by NULL
	 * (copied): a reeve_task_fn each, to be named in calls by what
	 * reeve_pool_handler() returns. The file is dlopen(3)'s: a path, or a
	 * name to be searched for. Workers are then forked by reeve-worker, a
	 * small host program that is executed anew (context: DEFAULT or
	 * FORKSERVER), and each loads the objects for itself, so that one whose
	 * constructor crashes takes only its worker along. */
	const char *const *handlers;
	/* Likewise a reeve_init_fn, in place of .initializer. */
	const char *handler_initializer;
	/* reeve-worker; default: as installed, or the one in the directory
	 * $REEVE_LIBEXECDIR. */
	const char *worker_program;
	/* With handlers: when the pool cannot be made, a sentence is put here,
	 * like "worker 0: handler a.so:f: undefined symbol: f". */
	char *error;
	size_t error_size_bytes;

	/* Deadlines of each item, from its start; 0: none. It has all that time,
	 * and sometimes an eighth more (1 ms at least); while it waits for room
	 * for its output, because nobody has collected what was done before, the
	 * clock stands still. At the soft one, which
	 * comes first, it is told; at the hard one its process is killed. */
	uint64_t task_soft_timeout_usec, task_timeout_usec;
	/* How it is told, beside reeve_task_is_overdue(): a signal to the thread
	 * that runs it; 0: none. It is delivered while the function of this very
	 * item runs, or not at all: never to another item, nor between two. The
	 * signal is the pool's alone, and blocked but for the function, which
	 * costs two system calls for each item. Install a handler in the
	 * initializer: the default action of most signals ends the process
	 * (CRASHED). It may jump (siglongjmp) to where the task has set a mark.
	 * Without SA_RESTART calls that wait return with EINTR. */
	int soft_signal;
	/* A task whose process ended while it ran is run again, by another, until
	 * that has happened so often; then it is CRASHED. Of a chunk only the
	 * item that was running. 0: as 1, it is run once. Only a crash counts:
	 * neither a failure, nor a deadline, nor a cancel leads to another run.
	 * A task that may be run again has to expect that it was half done. */
	unsigned max_crashes_per_task;
	uint64_t retry_delay_usec; /* from a crash to the next run */

	/* Of a worker, until it is ready, and when it leaves, until it is gone;
	 * then it is killed. 60 s. */
	uint64_t start_timeout_usec;
	/* Failed starts in a row within restart_interval_usec after which the
	 * pool gives up: every task is then told. 5 in 10 s. */
	unsigned restart_limit;
	uint64_t restart_interval_usec;

	unsigned window;    /* tasks handed to a worker in advance: 64 */
	size_t queue_tasks; /* apply_async: without an outcome; 1,048,576 */
	size_t queue_bytes; /* bytes of their inputs; 1 GiB */
	/* The largest input or output of a task, bytes, up to REEVE_PAYLOAD_MAX;
	 * rounded up to 4 KiB. REEVE_PAYLOAD_DEFAULT. Of each worker's address
	 * space four times that are used, of memory what was touched: 16 MiB
	 * each way stay with a worker, and what is above that with the last
	 * one that had it, for a second or until the next call. */
	size_t payload_max;
	/* How long a waiting side looks again and again, yielding the CPU,
	 * before it sleeps: 50 us. Negative: not at all. */
	int spin_usec;

	/* It must not call the pool (-EDEADLK).
	 * Called for each task that did not succeed and whose outcome nobody
	 * has asked for when its result is freed. Default: they are counted. */
	void (*on_unseen)(const struct reeve_outcome *outcome, void *userdata);
	void *userdata;

	/* What workers have, too: ended by one without a name. The array is
	 * copied; the objects must stay until the pool is freed. */
	const struct reeve_shared *shared;
};

/* Most objects of a pool, and bytes of a name with its NUL. */
#define REEVE_SHARED_MAX      64
#define REEVE_SHARED_NAME_MAX 64

/* An object that is shared with workers: a name, and one of the others. Each name
 * and each object once. The lock that a condition belongs to has to be among them.
 * A barrier's action is not known to workers of forkserver and spawn. The other end
 * of a connection is not told the end while the pool has this one. */
struct reeve_shared {
	const char *name;
	struct reeve_lock *lock; /* or RLock */
	struct reeve_event *event;
	struct reeve_semaphore *semaphore;
	struct reeve_condition *condition;
	struct reeve_barrier *barrier;
	struct reeve_queue *queue;
	struct reeve_connection *connection;
	struct reeve_array *array;
	struct reeve_value *value;
};

/* In a worker, in its initializer and tasks: the object of that name, as the pool
 * was given it, with a handle that is valid as long as the worker lives: do not
 * free it. NULL when there is none, the process is no worker, or another worker has
 * written over what the object is. A worker that is
 * replaced because of its maxtasksperchild, or that leaves when the pool is
 * closed, has left the barriers that it took part in; that breaks none. */
REEVE_PUBLIC const struct reeve_shared *reeve_pool_shared(const char *name);

/* For contexts forkserver and spawn: the functions that may be used, ended by
 * one without a name. A task is named by its place here, so both processes,
 * being the same program, mean the same. */
struct reeve_function {
	const char *name;
	reeve_task_fn *task; /* either ... */
	reeve_init_fn *init; /* ... or */
};

/* To be called first in main() by a program that uses forkserver or spawn: in a
 * process that was started as a pool's, it serves the pool and does not return.
 * Otherwise it remembers functions, which must stay valid. Returns 0, or
 * -EINVAL (a name twice; both or neither function). As multiprocessing's
 * freeze_support() and __main__ guard. */
REEVE_PUBLIC int reeve_pool_setup(const struct reeve_function *functions);

/* Makes a pool and starts its workers; does not wait for them, but with
 * handlers, for the first one. spec may be NULL. Errors: -ELIBBAD (handlers that
 * cannot be loaded, or whose initializer fails: see .error), -ENOENT (no reeve-
 * worker), -EINVAL (spec: a process count below -1 or above REEVE_PROCESSES_MAX,
 * processes_max below processes, max_crashes_per_task above REEVE_CRASHES_MAX, an
 * initializer that is not in the table, a soft deadline not before the hard one, a
 * signal without one or that cannot be caught, objects to be shared that are none,
 * nameless, too many, or twice the same), -ENOTSUP (fork in a program with threads;
 * forkserver or spawn without reeve_pool_setup()), -ENOMEM, -EMFILE, -EAGAIN. */
REEVE_PUBLIC int reeve_pool_new(const struct reeve_pool_spec *spec,
				struct reeve_pool **ret_pool);

/* From now on there are to be so many workers; 0 and -1 as in the spec. New ones
 * are started at once. Who is too many gets nothing more and leaves after the task
 * that it runs; what it had not begun is done by others. Returns at once. Errors:
 * -EINVAL (below -1, or more than processes_max), -ESHUTDOWN (everything is done,
 * or no worker can be started). */
REEVE_PUBLIC int reeve_pool_resize(struct reeve_pool *pool, int processes);

/* The function of a handler, which is among those of the spec, for the calls that
 * take a reeve_task_fn of this pool: not to be called. Returns 0, -ENOENT, -EINVAL. */
REEVE_PUBLIC int reeve_pool_handler(struct reeve_pool *pool,
				    const char *handler,
				    reeve_task_fn **ret_task);

/* No new tasks; what was accepted is done; then the workers leave. Returns 0,
 * also when it is closed already. */
REEVE_PUBLIC int reeve_pool_close(struct reeve_pool *pool);

/* Ends all workers at once; tasks without an outcome are CANCELLED. Returns
 * within a second, 0 always; callbacks have run. */
REEVE_PUBLIC int reeve_pool_terminate(struct reeve_pool *pool);

/* Waits until everything is done and no process is left. Errors: -EINVAL
 * (neither closed nor terminated), -ETIMEDOUT, -EDEADLK (in a callback; or an
 * iterator of a closed CALLER pool has more items than its window, and who
 * would have to fetch or free them waits here). Items that are done can be
 * fetched afterwards. */
REEVE_PUBLIC int reeve_pool_join(struct reeve_pool *pool,
				 uint64_t timeout_usec);

/* Terminates what is not ended, and frees. Results and iterators stay valid and
 * are told CANCELLED, and so is who waits in a THREAD pool in another thread: it
 * returns first; no call may begin any more. NULL is nothing. In a callback of
 * this pool: freed when the call that it was called in has returned. While another
 * thread is in a CALLER pool the program is aborted. Returns NULL. */
REEVE_PUBLIC struct reeve_pool *reeve_pool_free(struct reeve_pool *pool);

/* An fd, the pool's, that is readable when reeve_pool_dispatch() has something to
 * do; for poll, epoll, sd-event. CALLER pools; -ENOTSUP in THREAD pools. */
REEVE_PUBLIC int reeve_pool_fd(struct reeve_pool *pool);

/* Does what there is to do, without waiting: results, callbacks, new tasks.
 * Returns how many tasks got their outcome, or -errno. */
REEVE_PUBLIC int reeve_pool_dispatch(struct reeve_pool *pool);

/* ---- tasks ----------------------------------------------------------------- */

/* Runs one task and waits. *output_size is the room at output before, and how
 * large the output was afterwards; what does not fit is cut off (both NULL: none
 * is wanted). Returns 0 (done), what the function returned (failed), or -EPIPE
 * (crashed), -ETIMEDOUT (its deadline), -ECANCELED; the details are in
 * *ret_outcome if that is not NULL. Other errors, without an outcome (kind
 * PENDING): -EINVAL, -EMSGSIZE (input too large), -ESHUTDOWN (closed, terminated,
 * or no worker can be started: then the outcome, CANCELLED, says why), -EBUSY,
 * -EDEADLK, -ENOMEM. */
REEVE_PUBLIC int reeve_pool_apply(struct reeve_pool *pool, reeve_task_fn *fn,
				  const void *input, size_t size, void *output,
				  size_t *output_size,
				  struct reeve_outcome *ret_outcome);

/* What apply_async may be given besides the task. */
struct reeve_apply_spec {
	/* Called with the result when the outcome is DONE, and when it is
	 * anything else. In the caller's process: inside a call that waits, in
	 * dispatch, or in the service thread. */
	void (*callback)(struct reeve_result *result, void *userdata);
	void (*error_callback)(struct reeve_result *result, void *userdata);
	void *userdata;
	/* The same while it runs, when it has said something new since (see
	 * reeve_task_progress()): about each tenth of a second, with its last
	 * word. Single tasks only. */
	void (*progress_callback)(struct reeve_result *result,
				  const struct reeve_progress *progress,
				  void *userdata);
	/* The input is not copied: it stays as it is until there is an outcome.
	 * For large ones; they do not count for queue_bytes. */
	bool input_stays;
	/* More urgent is more: REEVE_PRIORITY_MIN to _MAX. While one waits, no
	 * less urgent one is begun: it waits only for those that run, of a chunk
	 * for the item that does. Among equals first come, first served. */
	int priority;
	/* For this task instead of the pool's; 0: the pool's. */
	unsigned max_crashes;
	uint64_t retry_delay_usec;
};

/* Queues one task. input is copied, unless it stays. *ret_result (if not NULL) is a
 * reference to be given back with reeve_result_unref(). spec may be NULL. Errors
 * as apply, and -EAGAIN (queue_tasks or queue_bytes reached). */
REEVE_PUBLIC int reeve_pool_apply_async(struct reeve_pool *pool,
					reeve_task_fn *fn, const void *input,
					size_t size,
					const struct reeve_apply_spec *spec,
					struct reeve_result **ret_result);

/* n items of equal size in an array, their outputs into an array of rooms. */
struct reeve_map_spec {
	const void *inputs; /* n * input_size bytes, or: */
	size_t input_size;
	size_t n_items;
	void *outputs; /* n * output_size bytes; NULL: none wanted */
	size_t output_size;
	size_t *output_sizes; /* NULL, or n: how large each output was; 0 of
			       * an item that is not DONE */
	struct reeve_outcome *outcomes; /* NULL, or n: what became of each */
	int priority;	      /* as in struct reeve_apply_spec, like these: */
	unsigned max_crashes; /* of an item */
	uint64_t retry_delay_usec;
	/* Items per hand-over; 0: a quarter of each worker's share. */
	size_t chunksize;
};

/* Runs fn on all items and waits. Arrays are the caller's, and must stay until it
 * returns. Returns how many items are not DONE (0: all are), or -errno as apply,
 * -EINVAL (sizes), -EMSGSIZE (an item over payload_max). An item's output
 * that is larger than output_size fails that item with -EMSGSIZE. */
REEVE_PUBLIC int64_t reeve_pool_map(struct reeve_pool *pool, reeve_task_fn *fn,
				    const struct reeve_map_spec *spec);

/* Of several arrays, item i of each together are the input of task i: as
 * starmap(fn, zip(a, b)). */
#define REEVE_COLUMNS_MAX 16
/* Each argument of an input begins at a multiple of 16 bytes. */
#define REEVE_COLUMN_ROUND(size) (((size_t)(size) + 15) & ~(size_t)15)

struct reeve_column {
	const void *items; /* n_items * item_size bytes */
	size_t item_size;
};

struct reeve_starmap_spec {
	const struct reeve_column *columns;
	size_t n_columns; /* 1 .. REEVE_COLUMNS_MAX */
	size_t n_items;
	/* as in struct reeve_map_spec: */
	void *outputs;
	size_t output_size;
	size_t *output_sizes;
	struct reeve_outcome *outcomes;
	int priority;
	unsigned max_crashes;
	uint64_t retry_delay_usec;
	size_t chunksize;
};

/* In the task: *input is moved behind an argument of this size, which is returned.
 * To be called for each argument, in order. */
static inline void *reeve_next_argument(void **input, size_t item_size)
{
	char *argument = (char *)*input;

	*input = argument + REEVE_COLUMN_ROUND(item_size);
	return argument;
}

/* Runs fn on all items and waits, as reeve_pool_map(), which see. The arrays are
 * copied together first. Errors also: -EINVAL (columns). */
REEVE_PUBLIC int64_t reeve_pool_starmap(struct reeve_pool *pool,
					reeve_task_fn *fn,
					const struct reeve_starmap_spec *spec);

/* The same without waiting; one result for all. The arrays must stay until it is
 * ready. Its outcome is DONE when all items are; otherwise that of the first
 * item, in order of time, that is not. */
REEVE_PUBLIC int reeve_pool_map_async(struct reeve_pool *pool,
				      reeve_task_fn *fn,
				      const struct reeve_map_spec *spec,
				      const struct reeve_apply_spec *callbacks,
				      struct reeve_result **ret_result);

/* Gives the next input. Returns 1 with *ret_input, which must stay until the next
 * call; 0 at the end; -errno: the iteration ends with it. Called in the calling
 * process, while a call is at work: it must not call the pool (-EDEADLK). */
typedef int reeve_generator_fn(void *userdata, const void **ret_input,
			       size_t *ret_size);

struct reeve_imap_spec {
	/* Inputs: an array, which must stay, ... */
	const void *inputs;
	size_t input_size, n_items;
	/* ... or a generator. */
	reeve_generator_fn *generator;
	void *userdata;
	/* Items per hand-over; 0: one. A worker keeps the outputs of a chunk until
	 * all of it has run, and a generator is asked for all of its items
	 * first; each item has its own outcome, and a crash costs one. At most
	 * a window, and what fits into payload_max; an output may be
	 * as large as any. */
	size_t chunksize;
	/* Items begun and not yet fetched: at most so many. 0: 1,024, or two
	 * chunks for each worker. */
	size_t window;
	int priority;	      /* as in struct reeve_apply_spec, like these: */
	unsigned max_crashes; /* of an item */
	uint64_t retry_delay_usec;
};

/* Outputs one by one: in order of inputs, or as they come. spec must be given. */
REEVE_PUBLIC int reeve_pool_imap(struct reeve_pool *pool, reeve_task_fn *fn,
				 const struct reeve_imap_spec *spec,
				 struct reeve_iterator **ret_iterator);
REEVE_PUBLIC int reeve_pool_imap_unordered(
	struct reeve_pool *pool, reeve_task_fn *fn,
	const struct reeve_imap_spec *spec,
	struct reeve_iterator **ret_iterator);

/* One item of an iteration. */
struct reeve_item {
	uint64_t index;	    /* of its input, from 0 */
	const void *output; /* valid until the next call */
	size_t size;
	const struct reeve_outcome *outcome; /* valid until the next call */
	/* The ends of workers that ran it, newest first; as outcome. */
	const struct reeve_death *deaths;
	size_t n_deaths;
};

/* Waits for the next item. Returns 1 with *ret_item, whatever its outcome; 0 at
 * the end; -ETIMEDOUT; -errno of the generator; -ESHUTDOWN, -EBUSY, -EDEADLK. */
REEVE_PUBLIC int reeve_iterator_next(struct reeve_iterator *iterator,
				     uint64_t timeout_usec,
				     struct reeve_item *ret_item);

/* Cancels what is left of it, and frees. NULL is nothing. Returns NULL. Not while
 * another thread is in a CALLER pool: then nothing is freed. */
REEVE_PUBLIC struct reeve_iterator *reeve_iterator_free(
	struct reeve_iterator *iterator);

/* ---- results --------------------------------------------------------------- */

/* Takes one more reference. Returns result, which may be NULL. References are taken and given back
 * by any thread at any time, whoever is in the pool. */
REEVE_PUBLIC struct reeve_result *reeve_result_ref(struct reeve_result *result);

/* Gives a reference back. NULL is nothing. Returns NULL. The task goes on. If it
 * was the last one, and another thread is in a CALLER pool, the result is freed by
 * that thread when its call returns (and on_unseen called there). */
REEVE_PUBLIC struct reeve_result *reeve_result_unref(
	struct reeve_result *result);

/* Waits until there is an outcome. Returns 0, -ETIMEDOUT, -EBUSY, -EDEADLK. */
REEVE_PUBLIC int reeve_result_wait(struct reeve_result *result,
				   uint64_t timeout_usec);

/* Waits, then copies the output as apply does, and returns what apply returns;
 * -ETIMEDOUT with outcome PENDING: there is none yet. */
REEVE_PUBLIC int reeve_result_get(struct reeve_result *result,
				  uint64_t timeout_usec, void *output,
				  size_t output_size, size_t *ret_size);

/* Waits, then shows the output in place, until the last reference is gone. */
REEVE_PUBLIC int reeve_result_get_view(struct reeve_result *result,
				       uint64_t timeout_usec,
				       const void **ret_output,
				       size_t *ret_size);

/* 1 when there is an outcome, 0 when not. Does not wait. */
REEVE_PUBLIC int reeve_result_ready(struct reeve_result *result);

/* 1 when the outcome is DONE, 0 when it is another, -EAGAIN when there is none
 * (Python raises ValueError). */
REEVE_PUBLIC int reeve_result_successful(struct reeve_result *result);

/* The outcome so far; kind PENDING when there is none (or no result). Marks it as seen. */
REEVE_PUBLIC void reeve_result_outcome(struct reeve_result *result,
				       struct reeve_outcome *ret_outcome);

/* What the task has last said with reeve_task_progress(), while it runs; never what
 * another one has said. Does not wait. Returns 1 with *ret_progress; 0: it has not
 * begun, or not said anything, or is over; -EBUSY, -EDEADLK, -ECHILD. Not for
 * map_async, which is many: 0 (but see reeve_pool_workers()). */
REEVE_PUBLIC int reeve_result_progress(struct reeve_result *result,
				       struct reeve_progress *ret_progress);

/* The ends of the workers that ran this task, newest first, the one that its
 * outcome tells of included: fills at most n records; returns how many there are,
 * the last REEVE_DEATHS_MAX at most, and fewer where memory was short. More than
 * one only where the task was run again. Of a map: those of the item whose outcome
 * it has. 0 when there is no outcome yet. */
REEVE_PUBLIC size_t reeve_result_deaths(struct reeve_result *result,
					struct reeve_death *ret_deaths,
					size_t n);

/* Cancels exactly this task: a queued one is withdrawn, a running one's process
 * is killed and replaced. Returns 0: its outcome is or will be CANCELLED;
 * -EALREADY: it has another one already. */
REEVE_PUBLIC int reeve_result_cancel(struct reeve_result *result);

/* ---- looking at it ---------------------------------------------------------- */

struct reeve_worker_stats {
	pid_t pid;	       /* 0: none at the moment */
	uint64_t started_usec; /* CLOCK_MONOTONIC */
	uint64_t n_tasks;      /* items with an outcome, of this process */
	uint64_t n_queued;     /* handed over, not begun */
	bool is_ready;
	bool is_busy;
	/* Of the item that it runs, as in struct reeve_death; 0 when it does not.
	 * Since when it was seen running: some tenths of a second late, while
	 * somebody waits in the pool or dispatches; else since the first look. */
	reeve_task_fn *function;
	uint64_t job, index;
	uint64_t busy_since_usec;
	struct reeve_progress progress;
};

struct reeve_pool_stats {
	unsigned n_processes; /* wanted */
	unsigned n_live;
	uint64_t n_queued;  /* items not yet begun */
	uint64_t n_running; /* items */
	uint64_t n_done, n_failed, n_crashed, n_timeout, n_cancelled;
	uint64_t n_retries;	 /* crashed items that were run again */
	uint64_t n_started;	 /* workers */
	uint64_t n_recycled;	 /* planned replacements */
	uint64_t n_resized_away; /* who left because they were too many */
	uint64_t n_start_failures;
	uint64_t n_unseen;  /* failures that nobody looked at */
	uint64_t n_overdue; /* items told that their soft time was over */
	/* Of every 1,024th single task: from hand-over to outcome. */
	uint64_t n_samples, latency_usec_sum, latency_usec_max;
};

/* What the pool has done so far, and does now. All zero in a forked child. */
REEVE_PUBLIC void reeve_pool_stats(struct reeve_pool *pool,
				   struct reeve_pool_stats *ret_stats);

/* Fills at most n records, of the workers that live; returns how many do. A seat
 * (see struct reeve_outcome) is a place for one: there are a few more than
 * workers, so that a successor need not wait until the results of the dead have
 * been collected. */
REEVE_PUBLIC size_t reeve_pool_workers(struct reeve_pool *pool,
				       struct reeve_worker_stats *ret_workers,
				       size_t n);

/* The last deaths of workers, newest first: fills at most n records; returns how
 * many there are, which is REEVE_DEATHS_MAX at most. 0 in a forked child. Does
 * not look for new ones: these come with the pool's other work. */
REEVE_PUBLIC size_t reeve_pool_report(struct reeve_pool *pool,
				      struct reeve_death *ret_deaths, size_t n);

REEVE_DECLARATIONS_END

#endif
