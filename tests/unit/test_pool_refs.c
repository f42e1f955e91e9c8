/* References to results: taken and given back by any thread, whoever is in the
 * pool; each result is freed once, and nobody waits for that. */
#include <pthread.h>

#include "tests/unit/pool_rig.h"

#define RESULTS 400
#define REFS	50 /* of each, given back one after the other */

static _Atomic int n_unseen;

static void on_unseen(const struct reeve_outcome *outcome,
		      void *userdata _unused_)
{
	ck_assert_int_eq(outcome->kind, REEVE_FAILED);
	n_unseen++;
}

static struct reeve_pool *new_unseen_pool(int mode)
{
	n_unseen = 0;
	return new_pool(mode,
			(struct reeve_pool_spec){ .on_unseen = on_unseen });
}

/* n tasks that have failed, and whose outcome nobody has asked for. */
static void fail_all(struct reeve_pool *pool, struct reeve_result **results,
		     int n)
{
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(reeve_pool_apply_async(pool, fail_on, "x", 1,
							NULL, &results[i]),
				 0);
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(reeve_result_wait(results[i], LONG_WAIT), 0);
}

/* ---- somebody else is inside --------------------------------------------- */

static struct {
	_Atomic bool is_inside, may_leave;
} guest;

static int stay_inside(void *userdata _unused_, const void **ret_input _unused_,
		       size_t *ret_size _unused_)
{
	guest.is_inside = true;
	while (!guest.may_leave)
		(void)poll(NULL, 0, 1);
	return 0;
}

static void *visit(void *pool)
{
	const struct reeve_imap_spec spec = { .generator = stay_inside };
	struct reeve_iterator *it;

	ck_assert_int_eq(reeve_pool_imap(pool, square, &spec, &it), 0);
	reeve_iterator_free(it);
	return NULL;
}

START_TEST(test_while_another_is_inside)
{
	struct reeve_pool *pool = new_unseen_pool(_i);
	bool is_caller = pool_modes[_i].service == REEVE_SERVICE_CALLER;
	struct reeve_result *results[2];
	pthread_t thread;

	fail_all(pool, results, 2);
	guest.is_inside = guest.may_leave = false;
	ck_assert_int_eq(pthread_create(&thread, NULL, visit, pool), 0);
	while (!guest.is_inside)
		(void)poll(NULL, 0, 1);
	if (is_caller) {
		ck_assert_int_eq(reeve_pool_dispatch(pool), -EBUSY);
		ck_assert_ptr_eq(reeve_result_ref(results[0]), results[0]);
		reeve_result_unref(results[0]);
		ck_assert_int_eq(reeve_result_ready(results[0]), 1);
		reeve_result_unref(results[0]);
		reeve_result_unref(results[1]);
		ck_assert_int_eq(n_unseen, 0);
	}
	guest.may_leave = true;
	(void)pthread_join(thread, NULL);
	for (int i = 0; i < 2 && !is_caller; i++)
		reeve_result_unref(results[i]);
	ck_assert_int_eq(n_unseen, 2);
	end_pool(pool);
}
END_TEST

/* ---- all at once ------------------------------------------------------------- */

static _Atomic bool is_over;

static void *come_and_go(void *pool)
{
	while (!is_over)
		(void)reeve_pool_dispatch(pool);
	return NULL;
}

static void *release_all(void *results)
{
	for (int i = 0; i < RESULTS; i++)
		for (int n = 0; n < REFS; n++)
			reeve_result_unref(
				((struct reeve_result **)results)[i]);
	return NULL;
}

static void take_refs(struct reeve_result **results, int n)
{
	for (int i = 0; i < RESULTS * n; i++)
		(void)reeve_result_ref(results[i % RESULTS]);
}

/* Two threads give references back while a third enters and leaves. */
START_TEST(test_from_many_threads)
{
	static struct reeve_result *results[RESULTS];
	struct reeve_pool *pool = new_unseen_pool(_i);
	pthread_t threads[3];

	for (int round = 0; round < 3; round++) {
		fail_all(pool, results, RESULTS);
		is_over = false;
		take_refs(results, 2 * REFS - 1);
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(
				pthread_create(&threads[i], NULL,
					       i ? release_all : come_and_go,
					       i ? (void *)results : pool),
				0);
		for (int i = 1; i < 3; i++)
			(void)pthread_join(threads[i], NULL);
		is_over = true;
		(void)pthread_join(threads[0], NULL);
		(void)reeve_pool_dispatch(pool);
		ck_assert_int_eq(n_unseen, (round + 1) * RESULTS);
	}
	end_pool(pool);
}
END_TEST

/* The last two results outlive their pool; with the last one it is gone. */
START_TEST(test_after_the_pool)
{
	static struct reeve_result *results[RESULTS];
	pthread_t threads[2];

	for (int round = 0; round < 20; round++) {
		struct reeve_pool *pool = new_unseen_pool(_i);

		fail_all(pool, results, 4);
		for (int i = 4; i < RESULTS; i++)
			results[i] = reeve_result_ref(results[i % 4]);
		reeve_pool_free(pool);
		take_refs(results, 2 * REFS - 1);
		for (int i = 0; i < 2; i++)
			ck_assert_int_eq(pthread_create(&threads[i], NULL,
							release_all, results),
					 0);
		for (int i = 0; i < 2; i++)
			(void)pthread_join(threads[i], NULL);
		ck_assert_int_eq(n_unseen, 4);
	}
}
END_TEST

POOL_MAIN("pool_refs", test_while_another_is_inside, test_from_many_threads,
	  test_after_the_pool)
