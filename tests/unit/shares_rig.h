/* A pool that shares one object of each kind with its workers, and what they say of
 * it. Included once by each test of that.
 */
#pragma once

#include <limits.h>
#include <sched.h>
#include <stdatomic.h>

#include <reeve/pipe.h>
#include <reeve/queue.h>
#include <reeve/shared.h>
#include <reeve/sync.h>

#include "tests/unit/pool_rig.h"

/* ---- one of each ------------------------------------------------------ */

enum {
	LOCK,
	EVENT,
	UNITS,
	CONDITION,
	BARRIER,
	QUEUE,
	PIPE,
	ARRAY,
	VALUE,
	KINDS
};

/* Words of the array, for what a test wants to be told. */
enum { WORD_PID, WORD_KEEPER, WORD_FDS, WORD_DIED, WORD_OWNER, WORDS };

struct stage {
	struct reeve_shared shared[KINDS + 1];
	reeve_connection *end; /* the other one */
};

static void stage_init(struct stage *x)
{
	struct reeve_semaphore_spec units = { .units = 3 };
	struct reeve_barrier_spec barrier = { .parties = 3 };
	struct reeve_queue_spec queue = { .is_joinable = true };
	struct reeve_array_spec array = { .type = REEVE_ULONG,
					  .n_items = WORDS };
	struct reeve_shared *s = x->shared;
	reeve_connection *ends[2];

	*x = (struct stage){ 0 };
	s[LOCK].name = "lock";
	s[EVENT].name = "event";
	s[UNITS].name = "units";
	s[CONDITION].name = "condition";
	s[BARRIER].name = "barrier";
	s[QUEUE].name = "queue";
	s[PIPE].name = "pipe";
	s[ARRAY].name = "array";
	s[VALUE].name = "value";
	ck_assert(reeve_lock_new(&s[LOCK].lock) == 0 &&
		  reeve_event_new(&s[EVENT].event) == 0 &&
		  reeve_semaphore_new(&units, &s[UNITS].semaphore) == 0 &&
		  reeve_condition_new(s[LOCK].lock, &s[CONDITION].condition) ==
			  0 &&
		  reeve_barrier_new(&barrier, &s[BARRIER].barrier) == 0 &&
		  reeve_queue_new(&queue, &s[QUEUE].queue) == 0 &&
		  reeve_pipe_new(true, ends) == 0 &&
		  reeve_array_new(&array, &s[ARRAY].array) == 0 &&
		  reeve_value_new(REEVE_INT, false, &s[VALUE].value) == 0);
	s[PIPE].connection = ends[0];
	x->end = ends[1];
}

static void stage_done(struct stage *x)
{
	struct reeve_shared *s = x->shared;

	reeve_condition_free(s[CONDITION].condition);
	reeve_lock_free(s[LOCK].lock);
	reeve_event_free(s[EVENT].event);
	reeve_semaphore_free(s[UNITS].semaphore);
	reeve_barrier_free(s[BARRIER].barrier);
	reeve_queue_free(s[QUEUE].queue);
	reeve_connection_free(s[PIPE].connection);
	reeve_connection_free(x->end);
	reeve_array_free(s[ARRAY].array);
	reeve_value_free(s[VALUE].value);
}

_unused_ static struct reeve_pool *stage_pool(struct stage *x, int mode)
{
	struct reeve_pool_spec spec = { .shared = x->shared };

	return new_pool(mode, spec);
}

static _Atomic unsigned long *words_of(const struct reeve_shared *array)
{
	return reeve_array_data(array->array);
}

_unused_ static unsigned long word(struct stage *x, int i)
{
	return atomic_load(&words_of(&x->shared[ARRAY])[i]);
}

/* ---- in workers ------------------------------------------------------- */

_unused_ static void tell_word(int i, unsigned long value)
{
	atomic_store(&words_of(reeve_pool_shared("array"))[i], value);
}

/* ---- in the owner ----------------------------------------------------- */

#define until(condition)                                                       \
	do {                                                                   \
		uint64_t end_ = clock_monotonic_usec() + LONG_WAIT;            \
		while (!(condition) && clock_monotonic_usec() < end_)          \
			(void)sched_yield();                                   \
		ck_assert_msg(condition, "in vain: %s", #condition);           \
	} while (0)

/* A CALLER pool is driven by who calls it. Always true. */
_unused_ static bool work(struct reeve_pool *pool)
{
	return reeve_pool_dispatch(pool) > INT_MIN;
}

static uint64_t ask(struct reeve_pool *pool, reeve_task_fn *fn)
{
	uint64_t n = 0;
	size_t size = sizeof(n);

	ck_assert_int_eq(reeve_pool_apply(pool, fn, NULL, 0, &n, &size, NULL),
			 0);
	return n;
}
