/* Event: who waits goes on when it is set, whoever is killed. */
#include "tests/unit/sync_rig.h"

struct stage {
	reeve_event *event, *back;
	_Atomic uint32_t stop, turns;
};

static struct stage *stage_new(void)
{
	struct stage *x = share(sizeof(*x));

	ck_assert_int_eq(reeve_event_new(&x->event), 0);
	ck_assert_int_eq(reeve_event_new(&x->back), 0);
	return x;
}

static void stage_free(struct stage *x)
{
	ck_assert_ptr_null(reeve_event_free(x->event));
	ck_assert_ptr_null(reeve_event_free(x->back));
	(void)munmap(x, sizeof(*x));
}

START_TEST(test_bad_input)
{
	reeve_event *event;
	reeve_lock *lock;

	ck_assert_int_eq(reeve_event_new(NULL), -EINVAL);
	ck_assert_int_eq(reeve_event_open(0, NULL), -EINVAL);
	ck_assert_int_eq(reeve_event_open(-1, &event), -EBADF);
	ck_assert_int_eq(reeve_event_set(NULL), -EINVAL);
	ck_assert_int_eq(reeve_event_clear(NULL), -EINVAL);
	ck_assert_int_eq(reeve_event_is_set(NULL), -EINVAL);
	ck_assert_int_eq(reeve_event_wait(NULL, 0), -EINVAL);
	ck_assert_int_eq(reeve_event_fd(NULL), -EINVAL);
	ck_assert_ptr_null(reeve_event_free(NULL));
	ck_assert_int_eq(reeve_lock_new(&lock), 0);
	ck_assert_int_eq(reeve_event_open(reeve_lock_fd(lock), &event),
			 -EBADMSG);
	reeve_lock_free(lock);
}
END_TEST

START_TEST(test_set_and_clear)
{
	reeve_event *a, *b;
	uint64_t now;

	ck_assert_int_eq(reeve_event_new(&a), 0);
	ck_assert_int_eq(reeve_event_open(reeve_event_fd(a), &b), 0);
	ck_assert_int_eq(reeve_event_is_set(b), 0);
	ck_assert_int_eq(reeve_event_wait(b, 0), -ETIMEDOUT);
	now = clock_monotonic_usec();
	ck_assert_int_eq(reeve_event_wait(b, 120 * USEC_PER_MSEC), -ETIMEDOUT);
	ck_assert_uint_ge(clock_monotonic_usec() - now, 120 * USEC_PER_MSEC);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(reeve_event_set(a), 0);
		ck_assert_int_eq(reeve_event_is_set(b), 1);
		ck_assert_int_eq(reeve_event_wait(b, 0), 0);
		ck_assert_int_eq(reeve_event_wait(b, REEVE_FOREVER), 0);
	}
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(reeve_event_clear(b), 0);
		ck_assert_int_eq(reeve_event_is_set(a), 0);
	}
	ck_assert_int_eq(reeve_event_wait(b, 1), -ETIMEDOUT);
	reeve_event_free(a);
	reeve_event_free(b);
}
END_TEST

static int wait_once(void *arg)
{
	struct stage *x = arg;

	return -reeve_event_wait(x->event, REEVE_FOREVER);
}

/* All go on, even when it is cleared before they have looked. */
START_TEST(test_set_and_clear_at_once)
{
	struct stage *x = stage_new();
	pid_t pids[3];

	for (int i = 0; i < 3; i++) {
		pids[i] = start(wait_once, x);
		ck_assert(falls_asleep(pids[i]));
	}
	ck_assert_int_eq(reeve_event_set(x->event), 0);
	ck_assert_int_eq(reeve_event_clear(x->event), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(end(pids[i]), 0);
	ck_assert_int_eq(reeve_event_is_set(x->event), 0);
	stage_free(x);
}
END_TEST

/* ---- deaths ----------------------------------------------------------------------- */

/* 1: not set, died before that. */
static int set_it(void *arg)
{
	struct stage *x = arg;

	return -reeve_event_set(x->event);
}

/* One waits while a setter is killed: set means that the waiter goes on. */
static void see_the_waiter_go_on(void *arg)
{
	struct stage *x = arg;
	pid_t pid = (pid_t)atomic_load(&x->turns);

	if (reeve_event_is_set(x->event) == 0) {
		ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
		return;
	}
	ck_assert_int_eq(end(pid), 0);
	ck_assert_int_eq(reeve_event_clear(x->event), 0);
	pid = start(wait_once, x);
	ck_assert(falls_asleep(pid));
	atomic_store(&x->turns, (uint32_t)pid);
}

START_TEST(test_setter_at_every_instruction)
{
	struct stage *x = stage_new();
	pid_t pid = start(wait_once, x);

	ck_assert(falls_asleep(pid));
	atomic_store(&x->turns, (uint32_t)pid);
	step_through(set_it, see_the_waiter_go_on, x, 250);
	slay((pid_t)atomic_load(&x->turns));
	stage_free(x);
}
END_TEST

static int wait_briefly(void *arg)
{
	struct stage *x = arg;

	return -reeve_event_wait(x->event, 200);
}

static void see_it_work(void *arg)
{
	struct stage *x = arg;

	ck_assert_int_eq(reeve_event_is_set(x->event), 0);
	ck_assert_int_eq(reeve_event_set(x->event), 0);
	ck_assert_int_eq(reeve_event_wait(x->event, 0), 0);
	ck_assert_int_eq(reeve_event_clear(x->event), 0);
}

START_TEST(test_waiter_at_every_instruction)
{
	struct stage *x = stage_new();

	step_through(wait_briefly, see_it_work, x, 250);
	stage_free(x);
}
END_TEST

/* ---- hand-over -------------------------------------------------------------------- */

static int answer(void *arg)
{
	struct stage *x = arg;

	while (!atomic_load(&x->stop)) {
		if (reeve_event_wait(x->event, REEVE_FOREVER) < 0)
			return 1;
		(void)reeve_event_clear(x->event);
		(void)reeve_event_set(x->back);
	}
	return 0;
}

static void call(struct stage *x)
{
	(void)reeve_event_set(x->event);
	if (reeve_event_wait(x->back, DEADLINE_USEC) < 0)
		ck_abort_msg("lost after %u", atomic_load(&x->turns));
	(void)reeve_event_clear(x->back);
	atomic_fetch_add(&x->turns, 1);
}

START_TEST(test_no_wake_is_lost)
{
	struct stage *x = stage_new();
	unsigned long n = rounds(5000, 1000000);
	pid_t pid = start(answer, x);

	for (unsigned long i = 0; i < n; i++)
		call(x);
	atomic_store(&x->stop, 1);
	(void)reeve_event_set(x->event); /* it may be gone before it looks */
	ck_assert_int_eq(end(pid), 0);
	unit_count(n, "hand-overs");
	stage_free(x);
}
END_TEST

/* The one who answers is killed now and then: its successor answers. */
START_TEST(test_random_kills)
{
	struct stage *x = stage_new();
	unsigned long n = rounds(100, 20000), most = n > 1000 ? 127 : 7;
	pid_t pid = start(answer, x);

	for (unsigned long i = 0; i < n; i++) {
		for (unsigned long k = 0; k <= i % most; k++)
			call(x);
		if (i % 2)
			(void)reeve_event_set(x->event);
		slay(pid);
		(void)reeve_event_clear(x->event);
		(void)reeve_event_clear(x->back);
		pid = start(answer, x);
	}
	call(x);
	slay(pid);
	unit_count(n, "kills");
	unit_count(atomic_load(&x->turns), "hand-overs");
	stage_free(x);
}
END_TEST

UNIT_MAIN("event", test_bad_input, test_set_and_clear,
	  test_set_and_clear_at_once, test_setter_at_every_instruction,
	  test_waiter_at_every_instruction, test_no_wake_is_lost,
	  test_random_kills)
