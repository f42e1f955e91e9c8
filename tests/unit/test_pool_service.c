/* THREAD pools: callers that wait help the thread, and lose nothing by it. */
#include <pthread.h>

#include "tests/unit/pool_rig.h"
#include "workers/pool/pool.h"

#define QUICKLY (60 * USEC_PER_MSEC) /* before a look that was not asked for */

static struct reeve_pool *new_thread_pool(int spin_usec)
{
	const struct reeve_pool_spec spec = {
		.processes = 2,
		.context = CONTEXT_OF_COPIES,
		.service = REEVE_SERVICE_THREAD,
		.spin_usec = spin_usec,
	};
	struct reeve_pool *pool = NULL;

	ck_assert_int_eq(reeve_pool_new(&spec, &pool), 0);
	check_square(pool, 3);
	return pool;
}

/* Nothing is to be run, so the thread sleeps until it is woken. */
static void await_dormancy(struct reeve_pool *pool)
{
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;
	bool is_dormant = false;

	while (!is_dormant && clock_monotonic_usec() < end) {
		pthread_mutex_lock(&pool->lock);
		is_dormant = pool->is_dormant;
		pthread_mutex_unlock(&pool->lock);
		(void)sched_yield();
	}
	ck_assert(is_dormant);
}

/* The helper has stopped when the task is done: the thread has to be told by the
 * worker's ring, and be awake for it. The quickest of some: the machine may be
 * busy. */
START_TEST(test_thread_takes_over)
{
	struct reeve_pool *pool = new_thread_pool(_i == 0 ? -1 : 200);
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < 10; i++) {
		uint64_t usec = 5000, begun;

		await_dormancy(pool);
		begun = clock_monotonic_usec();
		ck_assert_int_eq(reeve_pool_apply(pool, sleep_usec, &usec,
						  sizeof(usec), NULL, NULL,
						  NULL),
				 0);
		least = MIN(least, clock_monotonic_usec() - begun);
	}
	ck_assert_uint_ge(least, 5000);
	ck_assert_uint_lt(least, QUICKLY);
	end_pool(pool);
}
END_TEST

static void count_callback(struct reeve_result *result _unused_, void *userdata)
{
	struct {
		pthread_t thread;
		_Atomic unsigned n;
	} *seen = userdata;

	seen->thread = pthread_self();
	seen->n++;
}

/* As if another caller were helping; it does nothing, so a real one must not
 * stop before it has what it waits for: it spins for long. */
static void add_helpers(struct reeve_pool *pool, int n)
{
	pthread_mutex_lock(&pool->lock);
	pool->n_helpers += (unsigned)n;
	pthread_mutex_unlock(&pool->lock);
}

/* Callbacks are the thread's, also for results that a helper has taken. */
START_TEST(test_callbacks_stay_with_the_thread)
{
	enum { N = 20 };
	struct reeve_pool *pool = new_thread_pool(10000000);
	uint64_t end = clock_monotonic_usec() + 5 * USEC_PER_SEC;
	struct {
		pthread_t thread;
		_Atomic unsigned n;
	} seen = { 0 };
	const struct reeve_apply_spec spec = { .callback = count_callback,
					       .userdata = &seen };

	for (uint64_t i = 0; i < N; i++) {
		await_dormancy(pool);
		add_helpers(pool, 1); /* so the thread is left asleep */
		ck_assert_int_eq(reeve_pool_apply_async(pool, square, &i,
							sizeof(i), &spec, NULL),
				 0);
		while (seen.n == i && clock_monotonic_usec() < end)
			check_square(pool, i);
		add_helpers(pool, -1);
	}
	ck_assert_uint_eq(seen.n, N);
	ck_assert(pthread_equal(seen.thread, pool->thread));
	end_pool(pool);
}
END_TEST

static void *square_many(void *arg)
{
	for (uint64_t i = 0; i < 500; i++) {
		uint64_t usec = i % 100 == 0 ? 2000 : 0;

		check_square(arg, i);
		if (usec > 0)
			ck_assert_int_eq(reeve_pool_apply(arg, sleep_usec,
							  &usec, sizeof(usec),
							  NULL, NULL, NULL),
					 0);
	}
	return NULL;
}

START_TEST(test_many_help_at_once)
{
	struct reeve_pool *pool = new_thread_pool(_i == 0 ? -1 : 200);
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, square_many,
						pool),
				 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		(void)pthread_join(threads[i], NULL);
	ck_assert_uint_eq(pool->n_helpers, 0);
	end_pool(pool);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = { test_thread_takes_over,
				       test_callbacks_stay_with_the_thread,
				       test_many_help_at_once };

	if (reeve_pool_setup(pool_functions) < 0)
		return 1;
	return unit_loop_main("pool service", 2, tests, ARRAY_SIZE(tests),
			      argc > 0 ? argv + 1 : argv);
}
