/* setup.h: what the contexts come to, by what the program has and has called. */
#include "workers/pool/setup.h"

#include <errno.h>
#include <pthread.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/macro.h"

enum { REFUSED = -ENOTSUP };

static int init(void *argument _unused_, size_t size _unused_)
{
	return 0;
}

static const struct reeve_function functions[] = { { "init", NULL, init },
						   { 0 } };

static int choose(enum reeve_context wanted, enum reeve_service service,
		  reeve_init_fn *initializer)
{
	static struct reeve_pool pool;
	int r;

	pool = (struct reeve_pool){
		.spec = { .context = wanted, .service = service },
		.setup.initializer = initializer,
	};
	r = setup_choose_context(&pool);
	ck_assert_ptr_eq(pool.setup.table,
			 r == 0 && pool.spec.context != REEVE_CONTEXT_FORK
				 ? functions
				 : NULL);
	return r < 0 ? r : (int)pool.spec.context;
}

static void expect(enum reeve_context wanted, int of_caller, int of_thread)
{
	ck_assert_int_eq(choose(wanted, REEVE_SERVICE_CALLER, NULL), of_caller);
	ck_assert_int_eq(choose(wanted, REEVE_SERVICE_THREAD, NULL), of_thread);
}

START_TEST(test_plain_program)
{
	expect(REEVE_CONTEXT_DEFAULT, REEVE_CONTEXT_FORK, REEVE_CONTEXT_FORK);
	expect(REEVE_CONTEXT_FORK, REEVE_CONTEXT_FORK, REEVE_CONTEXT_FORK);
	expect(REEVE_CONTEXT_FORKSERVER, REFUSED, REFUSED);
	expect(REEVE_CONTEXT_SPAWN, REFUSED, REFUSED);
}
END_TEST

START_TEST(test_set_up)
{
	ck_assert_int_eq(reeve_pool_setup(functions), 0);
	expect(REEVE_CONTEXT_DEFAULT, REEVE_CONTEXT_FORK,
	       REEVE_CONTEXT_FORKSERVER);
	expect(REEVE_CONTEXT_FORK, REEVE_CONTEXT_FORK, REEVE_CONTEXT_FORK);
	expect(REEVE_CONTEXT_FORKSERVER, REEVE_CONTEXT_FORKSERVER,
	       REEVE_CONTEXT_FORKSERVER);
	expect(REEVE_CONTEXT_SPAWN, REEVE_CONTEXT_SPAWN, REEVE_CONTEXT_SPAWN);
}
END_TEST

START_TEST(test_initializer)
{
	reeve_init_fn *other = (reeve_init_fn *)(uintptr_t)&errno;

	ck_assert_int_eq(reeve_pool_setup(functions), 0);
	for (int is_known = 0; is_known < 2; is_known++) {
		reeve_init_fn *f = is_known ? init : other;

		ck_assert_int_eq(choose(REEVE_CONTEXT_FORK,
					REEVE_SERVICE_CALLER, f),
				 REEVE_CONTEXT_FORK);
		ck_assert_int_eq(choose(REEVE_CONTEXT_SPAWN,
					REEVE_SERVICE_CALLER, f),
				 is_known ? REEVE_CONTEXT_SPAWN : -EINVAL);
		ck_assert_int_eq(choose(REEVE_CONTEXT_DEFAULT,
					REEVE_SERVICE_THREAD, f),
				 is_known ? REEVE_CONTEXT_FORKSERVER : -EINVAL);
	}
}
END_TEST

static void *wait_at(void *barrier)
{
	(void)pthread_barrier_wait(barrier);
	return NULL;
}

START_TEST(test_with_threads)
{
	pthread_barrier_t barrier;
	pthread_t thread;

	(void)pthread_barrier_init(&barrier, NULL, 2);
	ck_assert_int_eq(pthread_create(&thread, NULL, wait_at, &barrier), 0);
	expect(REEVE_CONTEXT_DEFAULT, REFUSED, REFUSED);
	expect(REEVE_CONTEXT_FORK, REFUSED, REFUSED);
	ck_assert_int_eq(reeve_pool_setup(functions), 0);
	expect(REEVE_CONTEXT_DEFAULT, REEVE_CONTEXT_FORKSERVER,
	       REEVE_CONTEXT_FORKSERVER);
	expect(REEVE_CONTEXT_FORK, REFUSED, REFUSED);
	expect(REEVE_CONTEXT_SPAWN, REEVE_CONTEXT_SPAWN, REEVE_CONTEXT_SPAWN);
	(void)pthread_barrier_wait(&barrier);
	(void)pthread_join(thread, NULL);
	(void)pthread_barrier_destroy(&barrier);
}
END_TEST

UNIT_MAIN("pool_setup", test_plain_program, test_set_up, test_initializer,
	  test_with_threads)
