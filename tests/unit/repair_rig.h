/* What the tests of repair share: a stage on which somebody waits for the dead, and
 * is to go on at once. Included once by each. */
#pragma once

#include "tests/unit/sync_rig.h"
#include "workers/shared/queue.h"
#include "workers/shared/repair.h"

/* What all processes of a test share. */
struct stage {
	reeve_lock *lock;
	reeve_condition *condition;
	reeve_event *event;
	reeve_semaphore *units;
	reeve_barrier *barrier;
	reeve_queue *queue;
	struct patient patient;
	_Atomic uint32_t turns;
	pid_t dead; /* is to die */
	pid_t waiter;
};

static struct stage *stage_new(int fd, int event_fd, struct stage from)
{
	struct stage *x = share(sizeof(*x));

	*x = from;
	ck_assert_int_eq(repair_open(fd, event_fd, &x->patient), 0);
	return x;
}

static void stage_free(struct stage *x)
{
	repair_done(&x->patient);
	reeve_condition_free(x->condition);
	reeve_lock_free(x->lock);
	reeve_event_free(x->event);
	reeve_semaphore_free(x->units);
	reeve_barrier_free(x->barrier);
	reeve_queue_free(x->queue);
	(void)munmap(x, sizeof(*x));
}

/* ---- promptly: by the repair, not because who waits looks again ------- */

#define PROMPT_USEC (REGION_LOOK_USEC / 4)

/* prepare() leaves somebody waiting in vain (x->waiter) for whom a repair is all
 * that is missing. Whoever looks again by himself is as quick in one of four
 * cases: 8 more of the quick than of the slow are his in one of 6,000 tests. */
static void check_prompt(struct stage *x, void (*prepare)(struct stage *),
			 void (*clean_up)(struct stage *))
{
	int lead = 0, n = 0;

	while (lead < 8 && lead > -15) {
		uint64_t begin;

		prepare(x);
		begin = clock_monotonic_usec();
		repair(&x->patient);
		ck_assert_int_eq(end(x->waiter), 0);
		lead += clock_monotonic_usec() - begin < PROMPT_USEC ? 1 : -1;
		if (clean_up)
			clean_up(x);
		n++;
	}
	ck_assert_msg(lead > 0, "slow in most of %d tries", n);
}
