/* What a pool is inside; the public contract is <reeve/pool.h>.
 *
 * Properties
 *   struct reeve_pool is the root: engine, seats, keeper, and who is inside.
 *   It is counted: the caller holds one reference, each result and iterator
 *   another, so that they can be asked after reeve_pool_free().
 * Operation
 *   Every public call is enter ... leave (pool_enter, pool_leave); what waits
 *   does so in pool_wait(), where the pool's work is done meanwhile.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

#include <reeve/pool.h>

#include "workers/base/sys/spin.h"
#include "workers/pool/deaths.h"
#include "workers/pool/engine.h"
#include "workers/pool/handlers.h"
#include "workers/pool/keeper.h"
#include "workers/pool/worker.h"

#define POOL_SPARE_RESULTS 1024
/* While something is handed over, what no ring told is looked for so often. */
#define POOL_LOOK_MSEC 100u
#define POOL_LOOK_USEC (POOL_LOOK_MSEC * USEC_PER_MSEC)

/* How long the memory of a large payload is kept for the next one. */
#define POOL_KEEP_USEC USEC_PER_SEC

enum pool_phase {
	POOL_OPEN,
	POOL_CLOSING, /* no new tasks; the accepted ones are done */
	POOL_LEAVING, /* nothing is left to do; workers leave */
	POOL_ENDED    /* no worker and no keeper is left */
};

struct seat_view {
	uint32_t turn; /* what we offered last */
	int bell_fd;
};

struct reeve_pool {
	struct engine engine;
	struct port *ports;
	struct seat_view *views;
	struct keeper_seat *seats; /* as the keeper gets them */
	unsigned n_seats, n_processes, n_processes_max;
	uint32_t window;
	size_t payload_max; /* bytes, in and out each */
	enum pool_phase phase;
	bool is_terminated; /* what has no outcome is cancelled */
	bool is_broken;	    /* no worker can be started: see why */
	struct reeve_outcome why;
	unsigned refs;

	/* what it was made from */
	char *name;
	void *init_argument;
	struct handlers handlers; /* n: 0: none */
	char *program;		  /* reeve-worker, for them */
	struct worker_setup setup;
	struct reeve_pool_spec spec;

	/* the keeper */
	struct board *board;
	int board_fd; /* a memfd */
	size_t board_size;
	uint64_t seen_changes;
	pid_t keeper_pid;
	int keeper_pidfd, keeper_fd, owner_fd, epoll_fd;
	unsigned n_keepers;	    /* started so far */
	unsigned n_keepers_in_vain; /* in a row: no task was done by them */
	uint64_t done_at_keeper;    /* tasks, when the last one was started */

	/* queue of single tasks, and its bounds */
	uint64_t n_jobs;		     /* accepted so far */
	uint64_t n_tasks;		     /* ... and not over */
	uint64_t n_iterators;		     /* ... of which iterators */
	uint64_t n_bytes;		     /* of inputs copied for them */
	TAILQ_HEAD(, reeve_result) finished; /* callbacks to be called */
	TAILQ_HEAD(, reeve_result) spare;
	unsigned n_spare;
	uint64_t n_unseen, n_outcomes, n_resized_away;
	struct deaths deaths;
	uint64_t n_samples, latency_sum, latency_max, n_sampled;

	/* waiting */
	struct spin spin;
	uint32_t bell; /* how many tasks to sleep through */
	uint64_t last_check_usec;
	uint64_t n_watched;   /* tasks without an outcome that have a
			       * progress_callback */
	bool is_progress_due; /* and it is time to look at them */
	bool has_fd_user;
	int look_fd; /* a timerfd, for who waits for our fd only */
	bool is_look_due;
	uint64_t next_look_usec;

	/* Whose arenas keep the memory of large payloads, and until when. */
	struct port *large;
	uint64_t large_due_usec; /* or REEVE_FOREVER */

	/* who is inside */
	unsigned char *fork_mark; /* 0 in a forked child */
	/* CALLER: the thread that is, and POOL_ASKED */
	_Atomic(uintptr_t) inside;
	/* Results whose last reference went while another thread was inside: it
	 * frees them when it leaves. */
	_Atomic(struct reeve_result *) released;
	_Atomic unsigned n_releasing; /* threads that are adding to them */
	unsigned depth; /* calls under way; THREAD: of all threads */
	bool in_callback, is_freed;
	bool is_awaited; /* who frees waits until all others are out */
	pthread_t callback_thread;
	bool in_source; /* a generator or on_unseen runs, inside */
	bool is_threaded, is_stopping;
	/* The thread sleeps without a time, or without having asked for a ring. */
	bool is_dormant;
	unsigned n_helpers;   /* callers that do its work while they wait */
	pthread_mutex_t lock; /* THREAD */
	pthread_cond_t changed;
	pthread_t thread;
};

/* In pool.inside: released results wait for who leaves. (The ids of threads are
 * addresses, and even.) */
#define POOL_ASKED ((uintptr_t)1)

/* ---- pool.c: entering and leaving ------------------------------------------ */

/* 0, -ECHILD or -EBUSY; then pool_leave() has to follow. */
int pool_enter(struct reeve_pool *pool);
void pool_leave(struct reeve_pool *pool);

/* May new tasks come? 0, or -ESHUTDOWN. */
int pool_admits(const struct reeve_pool *pool);

struct reeve_pool *pool_ref(struct reeve_pool *pool);
/* Leaves, and gives a reference back; the last one frees the memory. */
void pool_leave_unref(struct reeve_pool *pool);

/* Asks the thread that is inside to free what was released. false: there is none
 * (any more). */
bool pool_ask(struct reeve_pool *pool);

/* Ends everything, now. Inside the pool. */
void pool_terminate(struct reeve_pool *pool);

/* ---- spec.c ---------------------------------------------------------------------- */

/* What a number of processes in a spec comes to. Returns 0 or -EINVAL. */
int pool_count_processes(int wanted, unsigned *ret_n);

/* What a call asks for besides the task; 0: what the pool's spec says. */
struct job_wishes {
	int priority;
	unsigned max_crashes;
	uint64_t retry_delay_usec;
};

/* Fills in what a job is to do. Returns 0 or -EINVAL: fn is not in the table, or a
 * wish is out of range. */
int pool_prepare(const struct reeve_pool *pool, reeve_task_fn *fn,
		 const struct job_wishes *wishes, struct job *job);

/* ---- service.c: doing the pool's work ---------------------------------------- */

typedef bool pool_condition(const void *arg);

/* Works until is_over(arg). 0, -ETIMEDOUT, -EDEADLK. */
int pool_wait(struct reeve_pool *pool, pool_condition *is_over, const void *arg,
	      uint64_t timeout_usec);

/* 0, or -EDEADLK: a callback of this pool must not wait for it. */
int pool_may_wait(const struct reeve_pool *pool);

/* After something was submitted: hand it over, or see that somebody does. */
void pool_submitted(struct reeve_pool *pool);

/* All that can be done now. Returns the number of pieces collected. */
size_t pool_work(struct reeve_pool *pool);

/* Calls what waits to be called. */
void pool_call_back(struct reeve_pool *pool);

/* Around each callback: it may call the pool, and so may other threads. */
void pool_begin_callback(struct reeve_pool *pool);
void pool_end_callback(struct reeve_pool *pool);

/* progress.c: calls whoever wants to know what tasks have said since. */
void progress_call_back(struct reeve_pool *pool);

/* Is this thread in a callback? */
bool pool_is_in_callback(const struct reeve_pool *pool);

int service_start(struct reeve_pool *pool);
void service_stop(struct reeve_pool *pool);

/* stats.c: what runs, so that it is known since when. */
void stats_note(struct reeve_pool *pool, uint64_t now);

/* ---- seats.c: the owner's side of the board ------------------------------------ */

int seats_new(struct reeve_pool *pool);
void seats_free(struct reeve_pool *pool);

/* In a forked child: frees memory only. Mappings were not inherited, something
 * else may lie there by now; fds may have been closed. */
void seats_forget(struct reeve_pool *pool);

/* Looks at what the keeper says. */
void seats_look(struct reeve_pool *pool);

/* The number of workers is n_processes from now on. */
void seats_resize(struct reeve_pool *pool, unsigned n_processes);

/* Tells the keeper that the board has changed. */
void seats_ring(const struct reeve_pool *pool);

/* Makes the pool's own fd readable. */
void seats_wake_self(const struct reeve_pool *pool);

/* A timer among what the pool's fd stands for. Returns 0 or -errno. */
int seats_open_look(struct reeve_pool *pool);

/* Starts a keeper. Returns 0 or -errno. */
int seats_start_keeper(struct reeve_pool *pool);

/* The keeper's process is gone. */
void seats_keeper_died(struct reeve_pool *pool);

/* No worker can be had: everything is told so. */
void seats_give_up(struct reeve_pool *pool, int error, const char *why);

/* Gives back the memory of large payloads that was not used for a while. */
void seats_trim(struct reeve_pool *pool);

extern const struct engine_hooks seats_hooks;

/* ---- result.c ------------------------------------------------------------------ */

struct reeve_result {
	struct job job;
	TAILQ_ENTRY(reeve_result) entry; /* finished or spare */
	struct reeve_pool *pool;
	_Atomic unsigned refs; /* taken and given back by any thread */
	struct reeve_result *next_released;
	enum reeve_outcome_kind kind;
	int status;
	unsigned seat;
	pid_t pid;
	struct reeve_outcome *details; /* of what is not DONE; may be NULL */
	struct trail *trail;	       /* if workers died of it, or with it */
	unsigned n_crashes;
	bool is_given; /* next() has handed it out */
	bool is_seen;
	bool is_group; /* of map_async: no input of its own */
	void *input;   /* small_input, or from the heap, or the caller's */
	bool owns_input;
	size_t size;
	void *output; /* small_output, or from the heap, or the caller's */
	size_t output_size, output_room;
	bool owns_output;
	uint64_t begun_usec; /* sampled; or 0 */
	void (*callback)(struct reeve_result *result, void *userdata);
	void (*error_callback)(struct reeve_result *result, void *userdata);
	void (*progress_callback)(struct reeve_result *result,
				  const struct reeve_progress *progress,
				  void *userdata);
	uint64_t n_told; /* of its reports */
	void *userdata;
	struct map *map; /* map_async */
	_Alignas(16) unsigned char small_input[CHANNEL_INLINE_SIZE];
	_Alignas(16) unsigned char small_output[CHANNEL_INLINE_SIZE];
};

struct reeve_result *result_new(struct reeve_pool *pool);

/* The outcome is there. Takes no reference, but trail (may be NULL); gives the
 * pool's own reference back once the callbacks have been called. */
void result_finish(struct reeve_result *result,
		   const struct reeve_outcome *outcome, struct trail *trail);

/* One more reference, to a result that no other thread knows of yet. */
static inline void result_share(struct reeve_result *result)
{
	unsigned refs =
		atomic_load_explicit(&result->refs, memory_order_relaxed);

	atomic_store_explicit(&result->refs, refs + 1, memory_order_relaxed);
}

/* Gives the pool's reference back. Inside the pool. */
void result_release(struct reeve_result *result);

/* The result that stands for this job; NULL: it is no single task. */
struct reeve_result *result_of_job(struct job *job);

/* Frees what other threads have released. Inside the pool. */
void result_free_released(struct reeve_pool *pool);

bool result_is_over(const void *result);

/* ---- map.c ---------------------------------------------------------------------- */

void map_free(struct map *map);
struct job *map_job(struct map *map);
