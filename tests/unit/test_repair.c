/* Repair: what a dead process had comes back, and who waits goes on, without
 * anybody looking for it.
 */
#include "workers/shared/repair.h"

#include <string.h>
#include <sys/eventfd.h>

#include "tests/unit/repair_rig.h"
#include "workers/base/pure/rng.h"
#include "workers/shared/lock.h"

/* ---- semaphore -------------------------------------------------------- */

static struct stage *semaphore_stage(unsigned n)
{
	struct reeve_semaphore_spec spec = { .units = n };
	reeve_semaphore *s;

	ck_assert_int_eq(reeve_semaphore_new(&spec, &s), 0);
	return stage_new(reeve_semaphore_fd(s), -1,
			 (struct stage){ .units = s });
}

static int take_two(void *arg)
{
	struct stage *x = arg;

	return reeve_semaphore_acquire(x->units, 0) < 0 ||
	       reeve_semaphore_acquire(x->units, 0) < 0;
}

START_TEST(test_units_come_back)
{
	struct stage *x = semaphore_stage(3);

	ck_assert_int_eq(reeve_semaphore_acquire(x->units, 0), 0);
	ck_assert_int_eq(run(take_two, x), 0);
	ck_assert_int_eq(reeve_semaphore_value(x->units), 0);
	repair(&x->patient);
	ck_assert_int_eq(reeve_semaphore_value(x->units), 2);
	ck_assert_int_eq(reeve_semaphore_release(x->units), 0);
	stage_free(x);
}
END_TEST

static int take_for_ever(void *arg)
{
	struct stage *x = arg;

	if (take_two(x))
		return 1;
	atomic_store(&x->turns, 1);
	for (;;)
		(void)pause();
}

static int await_unit(void *arg)
{
	struct stage *x = arg;

	return reeve_semaphore_acquire(x->units, DEADLINE_USEC) < 0;
}

static void let_await_unit(struct stage *x)
{
	atomic_store(&x->turns, 0);
	x->dead = start(take_for_ever, x);
	ck_assert(reaches(&x->turns, 1));
	x->waiter = start(await_unit, x);
	ck_assert(falls_asleep(x->waiter));
	slay(x->dead);
}

static void take_back(struct stage *x)
{
	repair(&x->patient); /* the waiter has ended, too */
	ck_assert_int_eq(reeve_semaphore_value(x->units), 2);
}

START_TEST(test_semaphore_wakes)
{
	struct stage *x = semaphore_stage(2);

	check_prompt(x, let_await_unit, take_back);
	stage_free(x);
}
END_TEST

/* ---- barrier ---------------------------------------------------------- */

static struct stage *barrier_stage(void)
{
	struct reeve_barrier_spec spec = { .parties = 3 };
	reeve_barrier *b;

	ck_assert_int_eq(reeve_barrier_new(&spec, &b), 0);
	return stage_new(reeve_barrier_fd(b), -1,
			 (struct stage){ .barrier = b });
}

static int take_part(void *arg)
{
	struct stage *x = arg;

	return -reeve_barrier_enter(x->barrier);
}

START_TEST(test_barrier_breaks)
{
	struct stage *x = barrier_stage();

	ck_assert_int_eq(reeve_barrier_enter(x->barrier), 0);
	repair(&x->patient); /* we are alive */
	ck_assert_int_eq(reeve_barrier_is_broken(x->barrier), 0);
	ck_assert_int_eq(run(take_part, x), 0);
	ck_assert_int_eq(reeve_barrier_is_broken(x->barrier), 0);
	repair(&x->patient);
	ck_assert_int_eq(reeve_barrier_is_broken(x->barrier), 1);
	stage_free(x);
}
END_TEST

static int await_all(void *arg)
{
	struct stage *x = arg;

	return reeve_barrier_wait(x->barrier, DEADLINE_USEC) != -ECANCELED;
}

static void let_await_all(struct stage *x)
{
	x->dead = start(await_all, x);
	ck_assert(falls_asleep(x->dead));
	x->waiter = start(await_all, x);
	ck_assert(falls_asleep(x->waiter));
	slay(x->dead);
}

static void reset(struct stage *x)
{
	ck_assert_int_eq(reeve_barrier_reset(x->barrier), 0);
}

START_TEST(test_barrier_wakes)
{
	struct stage *x = barrier_stage();

	check_prompt(x, let_await_all, reset);
	stage_free(x);
}
END_TEST

/* ---- condition -------------------------------------------------------- */

static struct stage *condition_stage(void)
{
	reeve_condition *c;
	reeve_lock *l;

	ck_assert_int_eq(reeve_lock_new(&l), 0);
	ck_assert_int_eq(reeve_condition_new(l, &c), 0);
	return stage_new(reeve_condition_fd(c), -1,
			 (struct stage){ .lock = l, .condition = c });
}

static int await_notice(void *arg)
{
	struct stage *x = arg;

	return reeve_lock_acquire(x->lock, DEADLINE_USEC) < 0 ||
	       reeve_condition_wait(x->condition, DEADLINE_USEC) < 0 ||
	       reeve_lock_release(x->lock) < 0;
}

/* Of two who wait the first is told, and dies of it. */
static void let_await_notice(struct stage *x)
{
	int status;

	x->dead = start(await_notice, x);
	ck_assert(falls_asleep(x->dead));
	x->waiter = start(await_notice, x);
	ck_assert(falls_asleep(x->waiter));
	ck_assert_int_eq(kill(x->dead, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(x->dead, &status, WUNTRACED), x->dead);
	ck_assert_int_eq(reeve_lock_acquire(x->lock, DEADLINE_USEC), 0);
	ck_assert_int_eq(reeve_condition_notify(x->condition), 0);
	ck_assert_int_eq(reeve_lock_release(x->lock), 0);
	slay(x->dead);
}

START_TEST(test_condition_passes_on)
{
	struct stage *x = condition_stage();

	check_prompt(x, let_await_notice, NULL);
	stage_free(x);
}
END_TEST

/* Places of the dead are free again. */
START_TEST(test_condition_places)
{
	struct stage *x = condition_stage();
	pid_t pid;

	for (int i = 0; i < 3; i++) {
		pid = start(await_notice, x);
		ck_assert(falls_asleep(pid));
		slay(pid);
		repair(&x->patient);
	}
	/* nobody waits: the notice is not kept for one who comes later */
	ck_assert_int_eq(reeve_lock_acquire(x->lock, 0), 0);
	ck_assert_int_eq(reeve_condition_notify_all(x->condition), 0);
	ck_assert_int_eq(reeve_condition_wait(x->condition, 1000), -ETIMEDOUT);
	ck_assert_int_eq(reeve_lock_release(x->lock), 0);
	stage_free(x);
}
END_TEST

/* ---- event, lock, array: a wake-up that died -------------------------- */

static int await_event(void *arg)
{
	struct stage *x = arg;

	return reeve_event_wait(x->event, DEADLINE_USEC) < 0;
}

/* It is set, by somebody who died before the call that wakes. */
static void let_await_event(struct stage *x)
{
	struct region_head *head = x->patient.memory;
	_Atomic uint32_t *word = (_Atomic uint32_t *)(void *)(head + 1);

	ck_assert_int_eq(reeve_event_clear(x->event), 0);
	x->waiter = start(await_event, x);
	ck_assert(falls_asleep(x->waiter));
	(void)atomic_fetch_or(word, 1);
	ck_assert_int_eq(reeve_event_is_set(x->event), 1);
}

START_TEST(test_event_wakes)
{
	reeve_event *e;
	struct stage *x;

	ck_assert_int_eq(reeve_event_new(&e), 0);
	x = stage_new(reeve_event_fd(e), -1, (struct stage){ .event = e });
	check_prompt(x, let_await_event, NULL);
	stage_free(x);
}
END_TEST

static int hold_mutex(void *arg)
{
	struct stage *x = arg;

	if (reeve_lock_acquire(x->lock, DEADLINE_USEC) < 0)
		return 1;
	atomic_store(&x->turns, 1);
	while (atomic_load(&x->turns) == 1)
		(void)sched_yield();
	atomic_store(&x->lock->memory->mutex.word, 0);
	return 0;
}

static int await_lock(void *arg)
{
	struct stage *x = arg;

	return reeve_lock_acquire(x->lock, DEADLINE_USEC) < 0 ||
	       reeve_lock_release(x->lock) < 0;
}

static void let_await_lock(struct stage *x)
{
	atomic_store(&x->turns, 0);
	x->dead = start(hold_mutex, x);
	ck_assert(reaches(&x->turns, 1));
	x->waiter = start(await_lock, x);
	ck_assert(falls_asleep(x->waiter));
	atomic_store(&x->turns, 2);
	ck_assert_int_eq(end(x->dead), 0);
}

START_TEST(test_lock_wakes)
{
	reeve_lock *l;
	struct stage *x;

	ck_assert_int_eq(reeve_lock_new(&l), 0);
	x = stage_new(reeve_lock_fd(l), -1, (struct stage){ .lock = l });
	check_prompt(x, let_await_lock, NULL);
	stage_free(x);
}
END_TEST

/* ---- the repairer dies, too ------------------------------------------- */

static int repair_it(void *arg)
{
	struct stage *x = arg;

	repair(&x->patient);
	return 0;
}

static void see_two_units(void *arg)
{
	struct stage *x = arg;

	repair(&x->patient);
	ck_assert_int_eq(reeve_semaphore_value(x->units), 2);
	ck_assert_int_eq(run(take_two, x), 0); /* for the next one */
	ck_assert_int_eq(reeve_semaphore_value(x->units), 0);
}

/* The child is to have it. */
static void keep_over_fork(struct stage *x)
{
	ck_assert_int_eq(madvise(x->patient.memory, x->patient.way->size,
				 MADV_DOFORK),
			 0);
}

START_TEST(test_every_instruction)
{
	struct stage *x = semaphore_stage(2);

	keep_over_fork(x);
	ck_assert_int_eq(run(take_two, x), 0);
	step_through(repair_it, see_two_units, x, 200);
	stage_free(x);
}
END_TEST

/* Whether or not the repairer came to it: one who took part is dead. */
static void see_it_break(void *arg)
{
	struct stage *x = arg;

	ck_assert_int_eq(reeve_barrier_wait(x->barrier, 4 * REGION_LOOK_USEC),
			 -ECANCELED);
	ck_assert_int_eq(reeve_barrier_reset(x->barrier), 0);
	ck_assert_int_eq(run(take_part, x), 0); /* for the next one */
}

START_TEST(test_every_instruction_of_barrier)
{
	struct stage *x = barrier_stage();

	keep_over_fork(x);
	ck_assert_int_eq(run(take_part, x), 0);
	step_through(repair_it, see_it_break, x, 50);
	stage_free(x);
}
END_TEST

/* ---- what is opened, and enemies -------------------------------------- */

START_TEST(test_open_refuses)
{
	struct region region;
	struct patient p;
	int fds[2];

	ck_assert_int_eq(repair_open(-1, -1, &p), -EBADMSG);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	ck_assert_int_eq(repair_open(fds[0], -1, &p), -EBADMSG);
	(void)close(fds[0]);
	(void)close(fds[1]);
	ck_assert_int_eq(region_new(REGION_BARRIER, 64, &region), 0);
	ck_assert_int_eq(repair_open(region.fd, -1, &p), -EBADMSG);
	region.head->kind = 0;
	ck_assert_int_eq(repair_open(region.fd, -1, &p), -EBADMSG);
	region.head->kind = 77;
	ck_assert_int_eq(repair_open(region.fd, -1, &p), -EBADMSG);
	region_done(&region);
}
END_TEST

static void scribble(struct rng *rng, const struct patient *p)
{
	unsigned char *bytes = p->memory;
	size_t n = 1 + rng_below(rng, 64);
	size_t at = rng_below(rng, p->way->size);

	for (size_t i = 0; i < n && at + i < p->way->size; i++)
		bytes[at + i] = (unsigned char)rng_below(rng, 256);
}

/* A repair returns, whatever stands there. */
START_TEST(test_any_memory)
{
	static const enum region_kind kinds[] = {
		REGION_LOCK,	  REGION_SEMAPHORE, REGION_EVENT,
		REGION_CONDITION, REGION_BARRIER,   REGION_ARRAY,
		REGION_QUEUE
	};
	struct rng rng = { clock_monotonic_usec() };
	int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct region region;
	struct patient p;

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		ck_assert_int_eq(region_new(kinds[k], 65536, &region), 0);
		ck_assert_int_eq(repair_open(region.fd, event_fd, &p), 0);
		for (int i = 0; i < 300; i++) {
			scribble(&rng, &p);
			repair(&p);
		}
		memset(p.memory, 0xff, p.way->size);
		repair(&p);
		memset(p.memory, 0x01, p.way->size);
		repair(&p);
		repair_done(&p);
		region_done(&region);
	}
	(void)close(event_fd);
}
END_TEST

UNIT_MAIN("repair", test_units_come_back, test_semaphore_wakes,
	  test_barrier_breaks, test_barrier_wakes, test_condition_passes_on,
	  test_condition_places, test_event_wakes, test_lock_wakes,
	  test_every_instruction, test_every_instruction_of_barrier,
	  test_open_refuses, test_any_memory)
