/* A pool in the hands of who does what he should not: calls everything from
 * everywhere, frees while others are inside, uses what a fork has copied. Errors
 * come back, or it works; nothing hangs, and no memory is touched that is not the
 * pool's. */
#include <pthread.h>
#include <semaphore.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/pool_rig.h"

/* ---- calling everything ------------------------------------------------------- */

struct caller {
	struct reeve_pool *pool;
	struct reeve_result *over; /* has its outcome */
	struct reeve_result *open; /* has none */
	uint64_t n_calls, n_given;
	int expected; /* of all calls, or 1: of those that wait only */
};

static void expect(const struct caller *c, bool does_wait, int r)
{
	if (does_wait || c->expected < 0)
		ck_assert_int_eq(r, -EDEADLK);
	else
		ck_assert_int_ge(r, 0);
}

/* Whatever this leads to, it returns. */
static void call_everything(struct caller *c)
{
	const struct reeve_map_spec map = { 0 };
	struct reeve_worker_stats workers[2];
	struct reeve_pool_stats stats;
	struct reeve_result *r = NULL;
	uint64_t x = 3;

	c->n_calls++;
	expect(c, true,
	       reeve_pool_apply(c->pool, square, &x, 8, NULL, NULL, NULL));
	expect(c, true, reeve_result_wait(c->open, REEVE_FOREVER));
	expect(c, false,
	       reeve_pool_apply_async(c->pool, square, &x, 8, NULL, &r));
	reeve_result_unref(r);
	expect(c, false, reeve_pool_map_async(c->pool, square, &map, NULL, &r));
	if (c->expected >= 0)
		reeve_result_unref(r);
	expect(c, false, reeve_pool_dispatch(c->pool));
	reeve_pool_stats(c->pool, &stats);
	(void)reeve_pool_workers(c->pool, workers, 2);
	(void)reeve_result_ready(c->open);
	ck_assert_ptr_eq(reeve_result_ref(c->over), c->over);
	ck_assert_ptr_null(reeve_result_unref(c->over));
}

static void new_caller(struct caller *c, struct reeve_pool *pool, int expected)
{
	uint64_t x = 1;

	*c = (struct caller){ .pool = pool, .expected = expected };
	ck_assert_int_eq(
		reeve_pool_apply_async(pool, square, &x, 8, NULL, &c->over), 0);
	ck_assert_int_eq(reeve_result_wait(c->over, LONG_WAIT), 0);
	ck_assert_int_eq(reeve_pool_apply_async(pool, wait_for_ever, NULL, 0,
						NULL, &c->open),
			 0);
}

static void free_caller(struct caller *c)
{
	ck_assert_uint_gt(c->n_calls, 0);
	(void)reeve_result_cancel(c->open);
	reeve_result_unref(c->open);
	reeve_result_unref(c->over);
}

static int generate_and_call(void *userdata, const void **ret_input,
			     size_t *ret_size)
{
	struct caller *c = userdata;

	call_everything(c);
	*ret_input = &c->n_given;
	*ret_size = sizeof(c->n_given);
	return c->n_given++ < 40;
}

/* A generator runs in the middle of handing out: all calls are refused. */
START_TEST(test_generator_calls)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct caller c;
	const struct reeve_imap_spec spec = { .generator = generate_and_call,
					      .userdata = &c,
					      .window = 8 };
	struct reeve_iterator *it;
	struct reeve_item item;
	int n = 0;

	new_caller(&c, pool, -1);
	ck_assert_int_eq(reeve_pool_imap(pool, echo, &spec, &it), 0);
	while (reeve_iterator_next(it, LONG_WAIT, &item) == 1)
		n++;
	ck_assert_int_eq(n, 40);
	reeve_iterator_free(it);
	free_caller(&c);
	end_pool(pool);
}
END_TEST

static void unseen_and_call(const struct reeve_outcome *outcome _unused_,
			    void *userdata)
{
	call_everything(userdata);
}

static struct caller unseen_caller;

START_TEST(test_unseen_calls)
{
	const struct reeve_pool_spec spec = { .on_unseen = unseen_and_call,
					      .userdata = &unseen_caller };
	struct reeve_pool *pool = new_pool(_i, spec);
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;

	new_caller(&unseen_caller, pool, -1);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(reeve_pool_apply_async(pool, fail_on, "x", 1,
							NULL, NULL),
				 0);
	while (clock_monotonic_usec() < end) {
		struct reeve_pool_stats stats;

		(void)reeve_pool_dispatch(pool);
		reeve_pool_stats(pool, &stats);
		if (stats.n_unseen == 10)
			break;
	}
	ck_assert_uint_eq(unseen_caller.n_calls, 10);
	free_caller(&unseen_caller);
	end_pool(pool);
}
END_TEST

static void call_back_and_call(struct reeve_result *result _unused_,
			       void *userdata)
{
	call_everything(userdata);
}

START_TEST(test_callback_calls)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct caller c;
	const struct reeve_apply_spec spec = { .callback = call_back_and_call,
					       .userdata = &c };
	uint64_t x = 4, end = clock_monotonic_usec() + LONG_WAIT;
	struct reeve_result *r;

	new_caller(&c, pool, 1);
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(reeve_pool_apply_async(pool, square, &x, 8,
							&spec, &r),
				 0);
		ck_assert_int_eq(reeve_result_wait(r, LONG_WAIT), 0);
		reeve_result_unref(r);
	}
	check_square(pool, 5); /* callbacks come in order: */
	while (__atomic_load_n(&c.n_calls, __ATOMIC_ACQUIRE) < 10 &&
	       clock_monotonic_usec() < end)
		(void)reeve_pool_dispatch(pool);
	free_caller(&c);
	end_pool(pool);
}
END_TEST

/* ---- freed while others are in it ----------------------------------------------- */

static int generate_and_free(void *userdata, const void **ret_input _unused_,
			     size_t *ret_size _unused_)
{
	struct reeve_pool **pool = userdata;

	*pool = reeve_pool_free(*pool);
	return 0;
}

/* As from a callback: when the call that is under way returns. */
START_TEST(test_freed_by_generator)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	const struct reeve_imap_spec spec = { .generator = generate_and_free,
					      .userdata = &pool };
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;
	struct reeve_iterator *it;
	struct reeve_item item;

	ck_assert_int_eq(reeve_pool_imap(pool, square, &spec, &it), 0);
	ck_assert_int_eq(reeve_iterator_next(it, LONG_WAIT, &item), 0);
	ck_assert_ptr_null(pool);
	reeve_iterator_free(it);
	while (waitpid(-1, NULL, WNOHANG) >= 0 && clock_monotonic_usec() < end)
		continue; /* a service thread may still be about it */
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

struct slow {
	sem_t is_inside;
	bool is_over;
};

static void call_back_slowly(struct reeve_result *result _unused_,
			     void *userdata)
{
	struct slow *slow = userdata;
	struct timespec until;
	sem_t never;

	(void)sem_post(&slow->is_inside);
	(void)sem_init(&never, 0, 0);
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += 1;
	until.tv_nsec = 0; /* 0 to 1 s: longer than what must not happen */
	(void)sem_clockwait(&never, CLOCK_MONOTONIC, &until);
	__atomic_store_n(&slow->is_over, true, __ATOMIC_RELEASE);
}

/* Who is not in the callback himself gets back a pool that is really gone. */
START_TEST(test_freed_beside_a_callback)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct slow slow = { .is_over = false };
	const struct reeve_apply_spec spec = { .callback = call_back_slowly,
					       .userdata = &slow };
	uint64_t x = 3;

	(void)sem_init(&slow.is_inside, 0, 0);
	ck_assert_int_eq(
		reeve_pool_apply_async(pool, square, &x, 8, &spec, NULL), 0);
	while (pool_modes[_i].service == REEVE_SERVICE_CALLER && !slow.is_over)
		(void)reeve_pool_dispatch(pool);
	ck_assert_int_eq(sem_wait(&slow.is_inside), 0);
	ck_assert_ptr_null(reeve_pool_free(pool));
	ck_assert(__atomic_load_n(&slow.is_over, __ATOMIC_ACQUIRE));
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

static void free_in_callback(struct reeve_result *result _unused_,
			     void *userdata)
{
	struct reeve_pool **pool = userdata;

	*pool = reeve_pool_free(*pool);
}

/* Terminating calls back, perhaps in a thread that is not the pool's; and that
 * one frees. */
START_TEST(test_freed_by_callback_of_terminate)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct reeve_pool *volatile same = pool;
	const struct reeve_apply_spec spec = { .error_callback =
						       free_in_callback,
					       .userdata = &pool };
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;

	ck_assert_int_eq(reeve_pool_apply_async(pool, wait_for_ever, NULL, 0,
						&spec, NULL),
			 0);
	ck_assert_int_eq(reeve_pool_terminate(same), 0);
	ck_assert_ptr_null(pool);
	while (waitpid(-1, NULL, WNOHANG) >= 0 && clock_monotonic_usec() < end)
		continue;
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

/* ---- what a fork has copied --------------------------------------------------------- */

struct copied {
	struct reeve_pool *pool;
	struct reeve_result *result;
};

/* The child's own mappings lie where the parent's channels do. */
static void free_among_mappings(void *arg)
{
	enum { N = 8, STEP = 1 << 20 };
	const size_t size = (size_t)512 << 20;
	struct copied *copied = arg;
	unsigned char *maps[N];

	for (int i = 0; i < N; i++) {
		maps[i] = mmap(NULL, size, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			       0);
		if (maps[i] == MAP_FAILED)
			_exit(2);
	}
	(void)reeve_pool_free(copied->pool);
	(void)reeve_result_unref(copied->result);
	for (int i = 0; i < N; i++)
		for (size_t k = 0; k < size; k += STEP)
			if (maps[i][k] != 0) /* or SIGSEGV */
				_exit(3);
	_exit(0);
}

START_TEST(test_freed_in_a_forked_child)
{
	struct copied c = { .pool = new_pool(_i,
					     (struct reeve_pool_spec){ 0 }) };
	uint64_t x = 7;

	ck_assert_int_eq(reeve_pool_apply_async(c.pool, square, &x, 8, NULL,
						&c.result),
			 0);
	ck_assert_int_eq(reeve_result_wait(c.result, LONG_WAIT), 0);
	ck_assert_int_eq(unit_fork(free_among_mappings, &c, NULL), 0);
	reeve_result_unref(c.result);
	end_pool(c.pool);
}
END_TEST

POOL_MAIN("pool_hostile", test_generator_calls, test_unseen_calls,
	  test_callback_calls, test_freed_by_generator,
	  test_freed_beside_a_callback, test_freed_by_callback_of_terminate,
	  test_freed_in_a_forked_child)
