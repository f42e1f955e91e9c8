/* Doing the pool's work: in calls that wait, in dispatch, or in a thread.
 *
 * Waiting goes: look; spin a little; ask the workers to ring (arm); look once
 * more; sleep in epoll_wait; take the wish back (disarm). How many tasks to sleep
 * through before the ring is learnt: when many come in a short time, one ring
 * for many is enough; when they come slowly each one is told. A look at least
 * every POOL_LOOK_MSEC while something is handed over finds what no ring told.
 *
 * In a THREAD pool whose thread sleeps, who waits is a helper at first: for as long
 * as it would spin it does the thread's work, but for callbacks. Two wake-ups take
 * longer than most tasks. While there is a helper nobody is asked to ring; the last one to stop
 * makes up for that, so that the thread takes over what is left.
 */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/pool/pool.h"

#define EVENTS_MAX     64
#define FAST_TASK_USEC 20 /* tasks quicker than that are told in groups */

/* ---- the work ------------------------------------------------------------------ */

/* Everything accepted is done: workers may leave. */
static void close_if_done(struct reeve_pool *pool)
{
	if (pool->phase != POOL_CLOSING || pool->n_tasks > 0 ||
	    !engine_is_idle(&pool->engine))
		return;
	/* Without a keeper there is nobody to leave. */
	pool->phase = pool->keeper_pid > 0 ? POOL_LEAVING : POOL_ENDED;
	for (unsigned i = 0; i < pool->n_seats; i++) {
		port_close(&pool->ports[i]);
		pool->engine.hooks->wake(&pool->engine, i);
	}
	if (!pool->is_broken) /* else it has a stronger one already */
		atomic_store(&pool->board->order, ORDER_CLOSE);
	seats_ring(pool);
}

/* Hands out what there is, also for the second time. A keeper that watches
 * deadlines dozes while there is nothing to be run. */
static void feed(struct reeve_pool *pool)
{
	if (engine_next_due(&pool->engine) != REEVE_FOREVER)
		engine_due(&pool->engine, clock_monotonic_usec());
	if (pool->is_broken || pool->phase == POOL_LEAVING ||
	    pool->phase == POOL_ENDED || engine_feed(&pool->engine) == 0)
		return;
	if (pool->spec.task_timeout_usec == 0 &&
	    pool->spec.task_soft_timeout_usec == 0)
		return;
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&pool->board->is_dozing,
				 memory_order_relaxed) &&
	    atomic_exchange(&pool->board->is_dozing, 0))
		seats_ring(pool);
}

/* When there is something to do at a certain time; or REEVE_FOREVER. */
static uint64_t next_due_usec(const struct reeve_pool *pool)
{
	return MIN(engine_next_due(&pool->engine), pool->large_due_usec);
}

/* When there is something to do though nobody rings; or REEVE_FOREVER. */
static uint64_t next_look_usec(const struct reeve_pool *pool, uint64_t now)
{
	uint64_t next = next_due_usec(pool);

	if (engine_has_to_check(&pool->engine))
		next = MIN(next, usec_add(now, POOL_LOOK_USEC));
	return next;
}

static struct timespec timespec_of(uint64_t usec)
{
	return (struct timespec){
		.tv_sec = (time_t)(usec / USEC_PER_SEC),
		.tv_nsec = (long)(usec % USEC_PER_SEC * 1000),
	};
}

size_t pool_work(struct reeve_pool *pool)
{
	size_t n;

	if (pool->phase == POOL_ENDED)
		return 0;
	seats_look(pool);
	n = engine_collect(&pool->engine);
	feed(pool);
	seats_trim(pool);
	close_if_done(pool);
	return n;
}

/* Who sleeps in his own event loop has to look now and then as well, while
 * something is handed over, and when something is to be run again. */
static void set_look(struct reeve_pool *pool)
{
	bool is_over = pool->phase == POOL_ENDED;
	bool is_due = !is_over && engine_has_to_check(&pool->engine);
	uint64_t due_usec = is_over ? REEVE_FOREVER : next_due_usec(pool);
	uint64_t first_usec;
	struct itimerspec look = { 0 };

	if (pool->look_fd < 0 ||
	    (is_due == pool->is_look_due && due_usec == pool->next_look_usec))
		return;
	pool->is_look_due = is_due;
	pool->next_look_usec = due_usec;
	first_usec = next_look_usec(pool, clock_monotonic_usec());
	if (!is_over && first_usec != REEVE_FOREVER)
		look.it_value = timespec_of(first_usec);
	if (is_due)
		look.it_interval = timespec_of(POOL_LOOK_USEC);
	(void)timerfd_settime(pool->look_fd, TFD_TIMER_ABSTIME, &look, NULL);
}

void pool_submitted(struct reeve_pool *pool)
{
	uint64_t due_usec = engine_next_due(&pool->engine);

	if (pool->has_fd_user || pool->is_threaded)
		pool->engine.bell =
			pool->n_helpers > 0 ? 0 : MAX(pool->bell, 1u);
	if (pool->phase == POOL_ENDED)
		return;
	seats_look(pool);
	feed(pool);
	close_if_done(pool);
	set_look(pool);
	/* From now on it has to look, unless somebody does; or sooner. */
	if ((pool->is_dormant && pool->n_helpers == 0) ||
	    (pool->is_threaded && engine_next_due(&pool->engine) < due_usec)) {
		pool->is_dormant = false;
		seats_wake_self(pool);
	}
}

void pool_begin_callback(struct reeve_pool *pool)
{
	pool->in_callback = true;
	pool->callback_thread = pthread_self();
	if (pool->is_threaded)
		pthread_mutex_unlock(&pool->lock);
}

void pool_end_callback(struct reeve_pool *pool)
{
	if (pool->is_threaded)
		pthread_mutex_lock(&pool->lock);
	pool->in_callback = false;
}

void pool_call_back(struct reeve_pool *pool)
{
	struct reeve_result *r;

	if (pool->in_callback ||
	    (TAILQ_EMPTY(&pool->finished) && !pool->is_progress_due))
		return;
	while ((r = TAILQ_FIRST(&pool->finished))) {
		void (*f)(struct reeve_result *, void *) =
			r->kind == REEVE_DONE ? r->callback : r->error_callback;

		TAILQ_REMOVE(&pool->finished, r, entry);
		pool_begin_callback(pool);
		if (f)
			f(r, r->userdata);
		pool_end_callback(pool);
		result_release(r);
	}
	if (pool->is_progress_due)
		progress_call_back(pool);
	if (pool->is_threaded) /* somebody may want it freed */
		(void)pthread_cond_broadcast(&pool->changed);
}

bool pool_is_in_callback(const struct reeve_pool *pool)
{
	return pool->in_callback &&
	       pthread_equal(pool->callback_thread, pthread_self());
}

/* ---- sleeping -------------------------------------------------------------------- */

static bool is_anything_new(const struct reeve_pool *pool)
{
	return engine_is_ready(&pool->engine) ||
	       atomic_load_explicit(&pool->board->n_changes,
				    memory_order_acquire) != pool->seen_changes;
}

static bool is_nothing_new(const void *pool)
{
	return !is_anything_new(pool);
}

static int sleep_msec(const struct reeve_pool *pool, uint64_t now, uint64_t end)
{
	end = MIN(end, next_look_usec(pool, now));
	if (end == REEVE_FOREVER)
		return -1;
	return (int)MIN((usec_sub(end, now) + 999) / 1000, (uint64_t)INT_MAX);
}

/* Empties the epoll; what rang is seen by looking at everything. */
static void drain(struct reeve_pool *pool, int msec)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(pool->epoll_fd, events, EVENTS_MAX, msec);

	for (int i = 0; i < n; i++) {
		uint64_t ticks;

		if (events[i].data.fd == pool->keeper_pidfd &&
		    pool->keeper_pid > 0)
			seats_keeper_died(pool);
		else if (events[i].data.fd == pool->look_fd)
			/* or it would not tick again */
			(void)!read(pool->look_fd, &ticks, sizeof(ticks));
	}
}

/* From many in a short time to one in a long: how many to sleep through. */
static void learn_bell(struct reeve_pool *pool, size_t n, uint64_t usec)
{
	if (n > 0 && usec / n < FAST_TASK_USEC && n >= pool->bell)
		pool->bell = MIN(pool->bell * 2, pool->spec.window / 2 + 1);
	else
		pool->bell = 1;
}

static void check_now_and_then(struct reeve_pool *pool, uint64_t now)
{
	if (now - pool->last_check_usec < POOL_LOOK_USEC)
		return;
	pool->last_check_usec = now;
	pool->is_progress_due = pool->n_watched > 0;
	stats_note(pool, now);
	engine_check(&pool->engine);
}

/* One round of waiting: until something happened, or end. */
static void wait_a_round(struct reeve_pool *pool, uint64_t end)
{
	uint64_t now, begun;
	size_t n;

	if (!spin_while(&pool->spin, is_nothing_new, pool))
		return;
	begun = clock_monotonic_usec();
	if (engine_arm(&pool->engine, pool->bell) && !is_anything_new(pool))
		drain(pool, sleep_msec(pool, begun, end));
	engine_disarm(&pool->engine);
	spin_slept(&pool->spin);
	now = clock_monotonic_usec();
	n = pool_work(pool);
	learn_bell(pool, n, now - begun);
	check_now_and_then(pool, now);
}

int pool_may_wait(const struct reeve_pool *pool)
{
	bool is_service = pool->is_threaded &&
			  pthread_equal(pthread_self(), pool->thread);

	return is_service || pool_is_in_callback(pool) ? -EDEADLK : 0;
}

/* ---- helping the thread ---------------------------------------------------------- */

static void help(struct reeve_pool *pool)
{
	uint64_t before = pool->n_outcomes;

	if (pool->phase == POOL_ENDED || !is_anything_new(pool))
		return;
	(void)pool_work(pool);
	if (pool->n_outcomes != before || pool->phase == POOL_ENDED)
		pthread_cond_broadcast(&pool->changed);
	if (!TAILQ_EMPTY(&pool->finished)) /* callbacks are the thread's */
		seats_wake_self(pool);
}

/* What is handed over rings from now on; what has come already, and a thread that
 * sleeps without a time, have to be told. */
static void stop_helping(struct reeve_pool *pool)
{
	if (--pool->n_helpers > 0 || pool->phase == POOL_ENDED ||
	    engine_is_idle(&pool->engine))
		return;
	if (!engine_arm(&pool->engine, 1) || is_anything_new(pool) ||
	    pool->is_dormant) {
		pool->is_dormant = false;
		seats_wake_self(pool);
	}
}

/* A thread that is awake needs no help. The lock is free most of the time, and
 * whenever the CPU is yielded. */
static void help_for_a_while(struct reeve_pool *pool, pool_condition *is_over,
			     const void *arg, uint64_t begun, uint64_t end)
{
	uint64_t now = begun;

	if (!pool->is_dormant)
		return;
	pool->n_helpers++;
	for (unsigned n = 1;
	     !is_over(arg) && now < end && now - begun < pool->spin.usec; n++) {
		pthread_mutex_unlock(&pool->lock);
		if (n % SPIN_LOOKS == 0) {
			(void)sched_yield();
			now = clock_monotonic_usec();
		} else {
			SPIN_PAUSE();
		}
		pthread_mutex_lock(&pool->lock);
		help(pool);
	}
	stop_helping(pool);
}

static int wait_for_thread(struct reeve_pool *pool, pool_condition *is_over,
			   const void *arg, uint64_t end)
{
	struct timespec ts = {
		.tv_sec = (time_t)(end / USEC_PER_SEC),
		.tv_nsec = (long)(end % USEC_PER_SEC) * 1000,
	};
	uint64_t begun;
	int r = 0;

	if (pthread_equal(pthread_self(), pool->thread))
		return is_over(arg) ? 0 : -EDEADLK;
	if (is_over(arg))
		return 0;
	begun = clock_monotonic_usec();
	help_for_a_while(pool, is_over, arg, begun, end);
	while (!is_over(arg) && r == 0)
		r = end == REEVE_FOREVER
			    ? pthread_cond_wait(&pool->changed, &pool->lock)
			    : pthread_cond_timedwait(&pool->changed,
						     &pool->lock, &ts);
	spin_learn(&pool->spin,
		   clock_monotonic_usec() - begun <= pool->spin.limit_usec);
	return is_over(arg) ? 0 : -ETIMEDOUT;
}

static int wait_and_work(struct reeve_pool *pool, pool_condition *is_over,
			 const void *arg, uint64_t end)
{
	for (;;) {
		(void)pool_work(pool);
		pool_call_back(pool);
		if (is_over(arg))
			return 0;
		if (pool->in_callback)
			return -EDEADLK;
		if (end != REEVE_FOREVER && clock_monotonic_usec() >= end)
			return -ETIMEDOUT;
		wait_a_round(pool, end);
	}
}

int pool_wait(struct reeve_pool *pool, pool_condition *is_over, const void *arg,
	      uint64_t timeout_usec)
{
	int r;
	uint64_t end = timeout_usec == REEVE_FOREVER
			       ? REEVE_FOREVER
			       : usec_add(clock_monotonic_usec(), timeout_usec);

	if (pool->is_threaded)
		return wait_for_thread(pool, is_over, arg, end);
	r = wait_and_work(pool, is_over, arg, end);
	if (pool->has_fd_user && pool->phase != POOL_ENDED &&
	    !engine_arm(&pool->engine, 1))
		seats_wake_self(pool);
	set_look(pool);
	return r;
}

/* ---- in the caller's event loop ----------------------------------------------------- */

int reeve_pool_fd(struct reeve_pool *pool)
{
	int r = pool_enter(pool);

	if (r < 0)
		return r;
	r = pool->is_threaded ? -ENOTSUP : seats_open_look(pool);
	if (r == 0) {
		r = pool->epoll_fd;
		pool->has_fd_user = true;
		if (!engine_arm(&pool->engine, 1))
			seats_wake_self(pool);
		set_look(pool);
	}
	pool_leave(pool);
	return r;
}

int reeve_pool_dispatch(struct reeve_pool *pool)
{
	uint64_t before;
	int r = pool_enter(pool), n;

	if (r < 0)
		return r;
	before = pool->n_outcomes;
	if (!pool->is_threaded && pool->phase != POOL_ENDED) {
		drain(pool, 0);
		do {
			(void)pool_work(pool);
			pool_call_back(pool);
		} while (pool->has_fd_user && pool->phase != POOL_ENDED &&
			 !engine_arm(&pool->engine, 1));
		check_now_and_then(pool, clock_monotonic_usec());
		if (pool->is_progress_due)
			pool_call_back(pool);
		set_look(pool);
	}
	n = (int)MIN(pool->n_outcomes - before, (uint64_t)INT_MAX);
	pool_leave(pool);
	return n;
}

/* ---- in a thread ---------------------------------------------------------------------- */

/* Sleeps without the lock, and at once takes it again when there is something. */
static void sleep_in_thread(struct reeve_pool *pool)
{
	struct epoll_event event = { .data.fd = -1 };
	int msec = sleep_msec(pool, clock_monotonic_usec(), REEVE_FOREVER);
	int fd = pool->epoll_fd;
	bool is_helped = pool->n_helpers > 0;
	bool is_quiet = (is_helped || engine_arm(&pool->engine, 1)) &&
			!is_anything_new(pool);

	pool->is_dormant =
		is_quiet && (is_helped || (unsigned)msec > POOL_LOOK_MSEC);
	pthread_mutex_unlock(&pool->lock);
	if (is_quiet)
		(void)epoll_wait(fd, &event, 1, msec);
	pthread_mutex_lock(&pool->lock);
	pool->is_dormant = false;
	if (event.data.fd == pool->keeper_pidfd)
		drain(pool, 0);
}

static void *serve(void *arg)
{
	struct reeve_pool *pool = arg;
	uint64_t told = 0;

	pthread_mutex_lock(&pool->lock);
	while (!pool->is_stopping) {
		(void)pool_work(pool);
		pool_call_back(pool);
		if (told != pool->n_outcomes || pool->phase == POOL_ENDED)
			pthread_cond_broadcast(&pool->changed);
		told = pool->n_outcomes;
		if (pool->is_stopping || pool->is_freed ||
		    pool->phase == POOL_ENDED)
			break;
		sleep_in_thread(pool);
		check_now_and_then(pool, clock_monotonic_usec());
	}
	if (pool->is_freed && pool->depth > 0) {
		/* Who waits in it is told; the last one to go frees. */
		pool_terminate(pool);
		pool_call_back(pool);
	} else if (pool->is_freed) { /* by our callback: nobody joins us */
		(void)pthread_detach(pthread_self());
		pool->is_threaded = pool->is_freed = false;
		pthread_mutex_unlock(&pool->lock);
		(void)reeve_pool_free(pool);
		return NULL;
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

int service_start(struct reeve_pool *pool)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	pool->is_threaded = true;
	r = pthread_create(&pool->thread, NULL, serve, pool);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		pool->is_threaded = false;
	return -r;
}

void service_stop(struct reeve_pool *pool)
{
	if (!pool->is_threaded)
		return;
	pool->is_stopping = true;
	seats_wake_self(pool);
	pthread_mutex_unlock(&pool->lock);
	(void)pthread_join(pool->thread, NULL);
	pthread_mutex_lock(&pool->lock);
}
