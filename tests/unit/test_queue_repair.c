/* Repair of queues: tasks of the dead are written off, and nobody sleeps because
 * of them.
 */
#include <poll.h>
#include <string.h>

#include "tests/unit/repair_rig.h"

static struct stage *queue_stage(bool is_joinable)
{
	struct reeve_queue_spec spec = { .is_joinable = is_joinable };
	int fds[REEVE_QUEUE_FDS];
	reeve_queue *q;

	ck_assert_int_eq(reeve_queue_new(&spec, &q), 0);
	ck_assert_int_eq(reeve_queue_fds(q, fds), 0);
	return stage_new(fds[0], fds[1], (struct stage){ .queue = q });
}

static int get_two(void *arg)
{
	struct stage *x = arg;

	return reeve_queue_get(x->queue, NULL, 0, 0, NULL) < 0 ||
	       reeve_queue_get(x->queue, NULL, 0, 0, NULL) < 0;
}

START_TEST(test_tasks_are_written_off)
{
	struct stage *x = queue_stage(true);
	size_t n_lost = 0;

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(reeve_queue_put(x->queue, NULL, 0, 0), 0);
	ck_assert_int_eq(reeve_queue_get(x->queue, NULL, 0, 0, NULL), 0);
	ck_assert_int_eq(run(get_two, x), 0);
	repair(&x->patient);
	ck_assert_uint_eq(atomic_load(&x->queue->memory->tally.n_lost), 2);
	ck_assert_int_eq(reeve_queue_join(x->queue, 0, &n_lost), -EAGAIN);
	ck_assert_int_eq(reeve_queue_task_done(x->queue), 0);
	ck_assert_int_eq(reeve_queue_join(x->queue, 0, &n_lost), 0);
	ck_assert_uint_eq(n_lost, 2);
	stage_free(x);
}
END_TEST

static int await_join(void *arg)
{
	struct stage *x = arg;

	return reeve_queue_join(x->queue, DEADLINE_USEC, NULL) < 0;
}

static int get_for_ever(void *arg)
{
	struct stage *x = arg;

	if (reeve_queue_get(x->queue, NULL, 0, DEADLINE_USEC, NULL) < 0)
		return 1;
	atomic_store(&x->turns, 1);
	for (;;)
		(void)pause();
}

static void let_await_join(struct stage *x)
{
	atomic_store(&x->turns, 0);
	ck_assert_int_eq(reeve_queue_put(x->queue, NULL, 0, 0), 0);
	x->dead = start(get_for_ever, x);
	ck_assert(reaches(&x->turns, 1));
	x->waiter = start(await_join, x);
	ck_assert(falls_asleep(x->waiter));
	slay(x->dead);
}

START_TEST(test_join_wakes)
{
	struct stage *x = queue_stage(true);

	check_prompt(x, let_await_join, NULL);
	stage_free(x);
}
END_TEST

static int await_message(void *arg)
{
	struct stage *x = arg;

	return reeve_queue_get(x->queue, NULL, 0, DEADLINE_USEC, NULL) < 0;
}

/* As put does, by somebody who died before it rang. */
static void put_silently(struct stage *x)
{
	struct queue_memory *m = x->queue->memory;
	uint64_t tail = atomic_load(&m->tail);
	uint64_t header = tail & ~(uint64_t)UINT32_MAX;

	memcpy(x->queue->ring + (uint32_t)tail * QUEUE_UNIT, &header,
	       sizeof(header));
	atomic_store(&m->tail,
		     queue_end((uint32_t)(tail >> 32) + 1, (uint32_t)tail + 1));
}

static void let_await_message(struct stage *x)
{
	x->waiter = start(await_message, x);
	ck_assert(falls_asleep(x->waiter));
	put_silently(x);
}

START_TEST(test_queue_wakes)
{
	struct stage *x = queue_stage(false);

	check_prompt(x, let_await_message, NULL);
	stage_free(x);
}
END_TEST

static int poll_now(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0);
}

START_TEST(test_eventfd_is_rung)
{
	struct stage *x = queue_stage(false);
	int fd = x->patient.event_fd;

	put_silently(x);
	repair(&x->patient);
	ck_assert_int_eq(poll_now(fd), 0); /* nobody has asked for it */
	ck_assert_int_eq(reeve_queue_get(x->queue, NULL, 0, 0, NULL), 0);
	ck_assert_int_eq(reeve_queue_poll_fd(x->queue), fd);
	repair(&x->patient);
	ck_assert_int_eq(poll_now(fd), 0); /* there is nothing */
	put_silently(x);
	atomic_store(&x->queue->memory->signal, QUEUE_SIGNALLED);
	repair(&x->patient);
	ck_assert_int_eq(poll_now(fd), 1);
	ck_assert_int_eq(reeve_queue_get(x->queue, NULL, 0, 0, NULL), 0);
	ck_assert_int_eq(reeve_queue_get(x->queue, NULL, 0, 0, NULL), -EAGAIN);
	ck_assert_int_eq(poll_now(fd), 0);
	stage_free(x);
}
END_TEST

/* Full, and made to block. */
START_TEST(test_eventfd_of_an_enemy)
{
	struct stage *x = queue_stage(false);
	int fd = reeve_queue_poll_fd(x->queue);
	const uint64_t most = UINT64_MAX - 1;

	put_silently(x);
	ck_assert_int_eq(write(fd, &most, sizeof(most)), sizeof(most));
	ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0);
	repair(&x->patient);
	stage_free(x);
}
END_TEST

/* ---- guards that are held --------------------------------------------- */

static int hold_guard(void *arg)
{
	struct stage *x = arg;

	(void)latch_lock(&x->queue->memory->get_lock, UINT64_MAX);
	(void)raise(SIGSTOP);
	return 0;
}

/* Who holds it and is stopped holds up nobody; when it is dead, all is as well
 * as if it had not. */
START_TEST(test_stopped_holder)
{
	struct stage *x = queue_stage(true);
	int status;

	ck_assert_int_eq(reeve_queue_put(x->queue, NULL, 0, 0), 0);
	ck_assert_int_eq(reeve_queue_put(x->queue, NULL, 0, 0), 0);
	ck_assert_int_eq(run(get_two, x), 0);
	x->dead = start(hold_guard, x);
	ck_assert_int_eq(waitpid(x->dead, &status, WUNTRACED), x->dead);
	repair(&x->patient);
	ck_assert_uint_eq(atomic_load(&x->queue->memory->tally.n_lost), 0);
	slay(x->dead);
	repair(&x->patient);
	ck_assert_uint_eq(atomic_load(&x->queue->memory->tally.n_lost), 2);
	stage_free(x);
}
END_TEST

UNIT_MAIN("queue_repair", test_tasks_are_written_off, test_join_wakes,
	  test_queue_wakes, test_eventfd_is_rung, test_eventfd_of_an_enemy,
	  test_stopped_holder)
