/* Making, closing and freeing a pool, and who may be inside it.
 *
 * A pool ends in steps, each of which may be asked for in any order and again:
 * close (nothing new), then, when all is done, workers leave; terminate (all that
 * has no outcome is cancelled, workers are killed); join waits for the end of
 * either; free does what is still to do.
 */
#include "workers/pool/pool.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/spawn.h"
#include "workers/pool/setup.h"
#include "workers/pool/shares.h"
#include "workers/pool/spec.h"

/* terminate: how long the keeper may take before it is killed itself. */
#define TERMINATE_WAIT_USEC (800 * USEC_PER_MSEC)
#define KILL_WAIT_MSEC	    150
#define MARK_SIZE	    4096u

/* ---- who is inside --------------------------------------------------------- */

int pool_enter(struct reeve_pool *pool)
{
	uintptr_t self = (uintptr_t)pthread_self(), who = 0;

	if (!pool)
		return -EINVAL;
	if (!pool->fork_mark[0])
		return -ECHILD;
	if (pool->is_threaded) {
		int r = -pthread_mutex_lock(&pool->lock); /* 0 or EDEADLK */

		pool->depth += r == 0;
		return r;
	}
	if (!atomic_compare_exchange_strong(&pool->inside, &who, self) &&
	    (who & ~POOL_ASKED) != self)
		return -EBUSY;
	if (who != 0 && pool->in_source)
		return -EDEADLK;
	pool->depth++;
	return 0;
}

int pool_admits(const struct reeve_pool *pool)
{
	return pool->phase == POOL_OPEN && !pool->is_broken ? 0 : -ESHUTDOWN;
}

/* ---- making it ------------------------------------------------------------------ */

/* A power of two for the ring. */
static uint32_t ring_slots(uint32_t window)
{
	uint32_t n = CHANNEL_SLOTS_MIN;

	while (n < window)
		n *= 2;
	return n;
}

static int make_fork_mark(struct reeve_pool *pool)
{
	void *p = mmap(NULL, MARK_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	pool->fork_mark = p;
	if (madvise(p, MARK_SIZE, MADV_WIPEONFORK) < 0)
		return -errno;
	pool->fork_mark[0] = 1;
	return 0;
}

static void make_lock(struct reeve_pool *pool)
{
	pthread_mutexattr_t mutex_attr;
	pthread_condattr_t attr;

	/* A generator that calls its pool is told so. */
	(void)pthread_mutexattr_init(&mutex_attr);
	(void)pthread_mutexattr_settype(&mutex_attr, PTHREAD_MUTEX_ERRORCHECK);
	(void)pthread_mutex_init(&pool->lock, &mutex_attr);
	(void)pthread_mutexattr_destroy(&mutex_attr);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&pool->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
}

static void free_memory(struct reeve_pool *pool)
{
	struct reeve_result *r;

	while ((r = TAILQ_FIRST(&pool->spare))) {
		TAILQ_REMOVE(&pool->spare, r, entry);
		free(r);
	}
	if (pool->fork_mark)
		(void)munmap(pool->fork_mark, MARK_SIZE);
	shares_free(pool->setup.shares);
	free(pool->init_argument);
	free((char *)(uintptr_t)pool->handlers.text);
	free(pool->program);
	free(pool->name);
	free(pool);
}

static void destroy(struct reeve_pool *pool)
{
	pthread_cond_destroy(&pool->changed);
	pthread_mutex_destroy(&pool->lock);
	free_memory(pool);
}

static uint32_t piece_limit(const struct reeve_pool_spec *s)
{
	uint64_t least = s->maxtasksperchild - s->maxtasks_jitter;

	if (s->maxtasksperchild == 0 || least > UINT32_MAX)
		return UINT32_MAX;
	return least ? (uint32_t)least : 1;
}

/* The keeper gives up starts; what it cannot see is left to us, a little later:
 * a worker that hangs on its way out, or says that it is starting. */
static unsigned check_limit(const struct reeve_pool_spec *s)
{
	uint64_t n = s->start_timeout_usec / POOL_LOOK_USEC;

	return (unsigned)MIN(n + 2, (uint64_t)UINT_MAX);
}

static int build(struct reeve_pool *pool)
{
	int r;

	pool->n_seats = pool->n_processes_max + 1 + pool->n_processes_max / 4;
	pool->window = ring_slots(pool->spec.window);
	pool->payload_max =
		(pool->spec.payload_max + CHANNEL_PAYLOAD_UNIT - 1) &
		~(size_t)(CHANNEL_PAYLOAD_UNIT - 1);
	spin_init(&pool->spin, pool->spec.spin_usec < 0
				       ? 0
				       : (uint32_t)pool->spec.spin_usec);
	r = make_fork_mark(pool);
	if (r == 0)
		r = setup_choose_context(pool);
	if (r == 0)
		r = seats_new(pool);
	if (r == 0)
		r = engine_init(&pool->engine, pool->ports, pool->n_seats,
				pool->spec.window, &seats_hooks);
	if (r < 0)
		return r;
	pool->engine.max_items = piece_limit(&pool->spec);
	pool->engine.checks_unready = check_limit(&pool->spec);
	r = seats_start_keeper(pool);
	if (r == 0 && pool->spec.service == REEVE_SERVICE_THREAD)
		r = service_start(pool);
	return r;
}

int reeve_pool_new(const struct reeve_pool_spec *spec,
		   struct reeve_pool **ret_pool)
{
	struct reeve_pool_spec s = spec ? *spec : (struct reeve_pool_spec){ 0 };
	struct reeve_pool *pool;
	int r;

	if (!ret_pool)
		return -EINVAL;
	spec_fill(&s);
	r = spec_check(&s);
	if (r < 0)
		return r;
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return -ENOMEM;
	pool->refs = 1;
	pool->bell = 1;
	pool->keeper_pidfd = pool->keeper_fd = pool->owner_fd = -1;
	pool->epoll_fd = pool->board_fd = pool->look_fd = -1;
	pool->large_due_usec = REEVE_FOREVER;
	TAILQ_INIT(&pool->finished);
	TAILQ_INIT(&pool->spare);
	make_lock(pool);
	r = spec_take(pool, &s);
	if (r == 0)
		r = build(pool);
	if (r < 0) {
		if (pool->keeper_pid > 0)
			(void)reeve_pool_terminate(pool);
		seats_free(pool);
		engine_done(&pool->engine);
		destroy(pool);
		return r;
	}
	if (pool->handlers.n > 0)
		r = handlers_await(pool);
	if (r < 0)
		(void)reeve_pool_free(pool);
	else
		*ret_pool = pool;
	return r;
}

/* ---- ending it ------------------------------------------------------------------- */

static bool is_ended(const void *arg)
{
	const struct reeve_pool *pool = arg;

	return pool->phase == POOL_ENDED;
}

int reeve_pool_close(struct reeve_pool *pool)
{
	int r = pool_enter(pool);

	if (r < 0)
		return r;
	if (pool->phase == POOL_OPEN)
		pool->phase = POOL_CLOSING;
	pool_submitted(pool); /* perhaps nothing is left to do */
	pool_leave(pool);
	return 0;
}

/* The keeper has its orders; one that does not follow them is killed, and its
 * workers with it. */
static void end_keeper(struct reeve_pool *pool)
{
	uint64_t end = usec_add(clock_monotonic_usec(), TERMINATE_WAIT_USEC);

	while (pool->keeper_pid > 0 && clock_monotonic_usec() < end)
		if (!fd_wait_readable(pool->keeper_pidfd, 100))
			seats_ring(pool);
		else
			seats_keeper_died(pool);
	if (pool->keeper_pid <= 0)
		return;
	(void)spawn_signal(pool->keeper_pidfd, SIGKILL);
	(void)fd_wait_readable(pool->keeper_pidfd, KILL_WAIT_MSEC);
	seats_keeper_died(pool);
}

void pool_terminate(struct reeve_pool *pool)
{
	static const struct reeve_outcome cancelled = {
		.kind = REEVE_CANCELLED,
		.error = -ECANCELED,
		.message = "the pool was terminated",
	};

	if (pool->phase == POOL_ENDED)
		return;
	pool->phase = POOL_LEAVING;
	pool->is_terminated = true;
	atomic_store(&pool->board->order, ORDER_TERMINATE);
	seats_ring(pool);
	end_keeper(pool);
	engine_give_up(&pool->engine, &cancelled);
	pool->phase = POOL_ENDED;
	pthread_cond_broadcast(&pool->changed);
}

/* The last callbacks, also the one that another thread is in. */
static void finish_callbacks(struct reeve_pool *pool)
{
	if (pool_is_in_callback(pool))
		return;
	while (pool->is_threaded && pool->in_callback)
		(void)pthread_cond_wait(&pool->changed, &pool->lock);
	pool_call_back(pool);
}

int reeve_pool_terminate(struct reeve_pool *pool)
{
	int r = pool_enter(pool);

	if (r < 0)
		return r;
	pool_terminate(pool);
	finish_callbacks(pool);
	pool_leave(pool);
	return 0;
}

/* All that is left are iterators whose reader, the only thread there is, waits
 * here. */
static bool is_stuck(const struct reeve_pool *pool)
{
	return !pool->is_threaded && pool->phase == POOL_CLOSING &&
	       pool->n_tasks > 0 && pool->n_tasks == pool->n_iterators &&
	       engine_is_idle(&pool->engine);
}

static bool is_ended_or_stuck(const void *arg)
{
	return is_ended(arg) || is_stuck(arg);
}

int reeve_pool_join(struct reeve_pool *pool, uint64_t timeout_usec)
{
	int r = pool_enter(pool);

	if (r < 0)
		return r;
	r = pool->phase == POOL_OPEN
		    ? -EINVAL
		    : pool_wait(pool, is_ended_or_stuck, pool, timeout_usec);
	if (r == 0 && pool->phase != POOL_ENDED)
		r = -EDEADLK;
	pool_leave(pool);
	return r;
}

/* ---- leaving it ------------------------------------------------------------------- */

struct reeve_pool *pool_ref(struct reeve_pool *pool)
{
	pool->refs++;
	return pool;
}

/* Threads that waited in a call are told, and have to get out. */
static void wait_for_others(struct reeve_pool *pool)
{
	pool->is_awaited = true;
	while (pool->is_threaded && pool->depth > 1)
		(void)pthread_cond_wait(&pool->changed, &pool->lock);
}

static void take_apart(struct reeve_pool *pool)
{
	pool_terminate(pool);
	finish_callbacks(pool);
	wait_for_others(pool);
	service_stop(pool);
	pool_call_back(pool);
	seats_free(pool);
	engine_done(&pool->engine);
}

bool pool_ask(struct reeve_pool *pool)
{
	uintptr_t who = atomic_load(&pool->inside);

	while (who != 0)
		if (atomic_compare_exchange_weak(&pool->inside, &who,
						 who | POOL_ASKED))
			return true;
	return false;
}

/* false: still inside, for something has to be freed. */
static bool try_to_go_out(struct reeve_pool *pool)
{
	uintptr_t self = (uintptr_t)pthread_self(), who = self;

	if (!pool->is_threaded && pool->depth == 1) {
		pool->depth = 0;
		if (atomic_compare_exchange_strong(&pool->inside, &who, 0))
			return true; /* it may be gone */
		pool->depth = 1;
		atomic_store(&pool->inside, self);
		return false;
	}
	pool->depth--;
	if (!pool->is_threaded)
		return true;
	if (pool->is_awaited)
		(void)pthread_cond_broadcast(&pool->changed);
	pthread_mutex_unlock(&pool->lock);
	return true;
}

static void go_out(struct reeve_pool *pool)
{
	while (!try_to_go_out(pool))
		result_free_released(pool);
}

/* Gives a reference back and goes out. With the last one, no result is left, and
 * who has released one has all but said so; he must not come in any more. */
static void drop(struct reeve_pool *pool)
{
	bool is_last = --pool->refs == 0;

	while ((!is_last || pool->is_threaded) && !try_to_go_out(pool)) {
		result_free_released(pool);
		is_last = pool->refs == 0;
	}
	if (!is_last)
		return;
	while (atomic_load(&pool->n_releasing) > 0)
		(void)sched_yield();
	destroy(pool);
}

/* A callback has freed it, and the last call that was under way returns. */
static bool has_to_be_freed(const struct reeve_pool *pool)
{
	return pool->is_freed && !pool->in_callback && pool->depth == 1;
}

void pool_leave(struct reeve_pool *pool)
{
	if (!has_to_be_freed(pool)) {
		go_out(pool);
		return;
	}
	pool->is_freed = false;
	take_apart(pool);
	drop(pool);
}

void pool_leave_unref(struct reeve_pool *pool)
{
	if (has_to_be_freed(pool)) {
		pool->is_freed = false;
		take_apart(pool);
		pool->refs--;
	}
	drop(pool);
}

/* In a forked child: what the parent's pool is made of is not ours; its threads
 * stand as they stood, and would be waited for if the condition were destroyed.
 * What results point to stays, so that they can still be asked, in vain. */
static void forget(struct reeve_pool *pool)
{
	seats_forget(pool);
	engine_done(&pool->engine);
	if (--pool->refs == 0)
		free_memory(pool);
}

struct reeve_pool *reeve_pool_free(struct reeve_pool *pool)
{
	int r;

	if (!pool)
		return NULL;
	r = pool_enter(pool);
	if (r == -ECHILD) {
		forget(pool);
		return NULL;
	}
	if (r == -EDEADLK) { /* a generator, inside a call */
		pool->is_freed = true;
		return NULL;
	}
	reeve_assert(r == 0); /* -EBUSY: freed while a thread is in it */
	if (pool_is_in_callback(pool)) {
		pool->is_freed = true;
		pool_leave(pool);
		return NULL;
	}
	take_apart(pool);
	drop(pool);
	return NULL;
}
