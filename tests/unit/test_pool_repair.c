/* Objects shared with workers are repaired when one dies that had to do with them,
 * in each context.
 */
#include "workers/shared/repair.h"

#include "tests/lib/process.h"
#include "tests/unit/shares_rig.h"
#include "workers/base/sys/fd.h"
#include "workers/shared/queue.h"

/* ---- in workers ------------------------------------------------------- */

static _Noreturn void die(void)
{
	tell_word(WORD_DIED, clock_monotonic_usec());
	(void)kill(getpid(), SIGKILL);
	_exit(99);
}

static int tell_keeper(void *input _unused_, size_t size _unused_,
		       struct reeve_reply *reply)
{
	uint64_t pid = (uint64_t)getppid();

	return reeve_reply_set(reply, &pid, sizeof(pid));
}

/* What to do, and then to die. */
enum deed {
	HOLD_LOCK,
	HOLD_UNITS,
	TAKE_PART,
	TAKE_TASKS,
	PUT_SILENTLY,
	LEAVE_IT_TO_A_CHILD, /* which holds units, and stays */
	HOLD_GUARD,	     /* and is stopped */
	SCRIBBLE,
};

static void hold_units(void)
{
	reeve_semaphore *units = reeve_pool_shared("units")->semaphore;

	(void)reeve_semaphore_acquire(units, LONG_WAIT);
	(void)reeve_semaphore_acquire(units, LONG_WAIT);
}

/* As put does, killed before it rang. */
static void put_silently(void)
{
	reeve_queue *q = reeve_pool_shared("queue")->queue;
	uint64_t tail = atomic_load(&q->memory->tail);
	uint64_t header = tail & ~(uint64_t)UINT32_MAX;

	memcpy(q->ring + (uint32_t)tail * QUEUE_UNIT, &header, sizeof(header));
	atomic_store(&q->memory->tail,
		     queue_end((uint32_t)(tail >> 32) + 1, (uint32_t)tail + 1));
	atomic_store(&q->memory->signal, QUEUE_SIGNALLED);
}

static void leave_it_to_a_child(void)
{
	reeve_semaphore *units = reeve_pool_shared("units")->semaphore;

	if (fork() == 0) {
		hold_units();
		for (;;)
			pause();
	}
	while (reeve_semaphore_value(units) > 1)
		(void)sched_yield();
}

static void hold_guard(void)
{
	reeve_queue *q = reeve_pool_shared("queue")->queue;

	(void)reeve_queue_get(q, NULL, 0, 0, NULL);
	(void)latch_lock(&q->memory->get_lock, UINT64_MAX);
	tell_word(WORD_PID, (unsigned long)getpid());
	(void)raise(SIGSTOP);
}

/* All that a worker can write to. */
static void scribble(void)
{
	struct region region;
	int fds[] = {
		reeve_event_fd(reeve_pool_shared("event")->event),
		reeve_semaphore_fd(reeve_pool_shared("units")->semaphore),
		reeve_barrier_fd(reeve_pool_shared("barrier")->barrier),
		reeve_condition_fd(reeve_pool_shared("condition")->condition),
		reeve_pool_shared("queue")->queue->region.fd,
	};
	enum region_kind kind;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		for (kind = REGION_LOCK; kind <= REGION_QUEUE; kind++)
			if (region_open(fds[i], kind, 64, &region) == 0)
				memset(region.head, 0x5a + (int)i, 4096);
}

static int do_and_die(void *input, size_t size _unused_,
		      struct reeve_reply *reply _unused_)
{
	reeve_queue *q = reeve_pool_shared("queue")->queue;
	uint64_t deed;

	memcpy(&deed, input, sizeof(deed));
	switch ((enum deed)deed) {
	case HOLD_LOCK:
		(void)reeve_lock_acquire(reeve_pool_shared("lock")->lock,
					 LONG_WAIT);
		break;
	case HOLD_UNITS:
		hold_units();
		break;
	case TAKE_PART:
		(void)reeve_barrier_enter(
			reeve_pool_shared("barrier")->barrier);
		break;
	case TAKE_TASKS:
		(void)reeve_queue_get(q, NULL, 0, 0, NULL);
		(void)reeve_queue_get(q, NULL, 0, 0, NULL);
		break;
	case PUT_SILENTLY:
		put_silently();
		break;
	case LEAVE_IT_TO_A_CHILD:
		leave_it_to_a_child();
		break;
	case HOLD_GUARD:
		hold_guard();
		break;
	case SCRIBBLE:
		scribble();
		break;
	}
	die();
}

/* Holds units until the owner sleeps, and dies. */
static int die_when_awaited(void *input _unused_, size_t size _unused_,
			    struct reeve_reply *reply _unused_)
{
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;
	pid_t owner = (pid_t)atomic_load(
		&words_of(reeve_pool_shared("array"))[WORD_OWNER]);

	hold_units();
	(void)reeve_semaphore_acquire(reeve_pool_shared("units")->semaphore, 0);
	tell_word(WORD_DIED, 0);
	(void)reeve_event_set(reeve_pool_shared("event")->event);
	while (process_state(owner) != 'S' && clock_monotonic_usec() < end)
		(void)sched_yield();
	die();
}

/* ---- in the owner ----------------------------------------------------- */

static void let_die(struct reeve_pool *pool, enum deed deed)
{
	uint64_t n = deed;

	ck_assert_int_eq(reeve_pool_apply(pool, do_and_die, &n, sizeof(n), NULL,
					  NULL, NULL),
			 -EPIPE);
}

/* Nobody looks for the dead here but the keeper. */
START_TEST(test_deaths)
{
	struct reeve_shared *s;
	struct reeve_pool *pool;
	struct stage x;
	size_t n_lost = 0;

	stage_init(&x);
	s = x.shared;
	pool = stage_pool(&x, _i);
	let_die(pool, HOLD_UNITS);
	until(reeve_semaphore_value(s[UNITS].semaphore) == 3);
	let_die(pool, LEAVE_IT_TO_A_CHILD);
	until(reeve_semaphore_value(s[UNITS].semaphore) == 3);
	let_die(pool, TAKE_PART);
	until(reeve_barrier_is_broken(s[BARRIER].barrier) == 1);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(reeve_queue_put(s[QUEUE].queue, NULL, 0, 0),
				 0);
	let_die(pool, TAKE_TASKS);
	until(atomic_load(&s[QUEUE].queue->memory->tally.n_lost) == 2);
	ck_assert_int_eq(reeve_queue_join(s[QUEUE].queue, 0, &n_lost), 0);
	ck_assert_uint_eq(n_lost, 2);
	let_die(pool, HOLD_LOCK);
	ck_assert_int_eq(reeve_lock_acquire(s[LOCK].lock, 0), -EOWNERDEAD);
	ck_assert_int_eq(reeve_lock_repaired(s[LOCK].lock), 0);
	ck_assert_int_eq(reeve_lock_release(s[LOCK].lock), 0);
	end_pool(pool);
	stage_done(&x);
}
END_TEST

START_TEST(test_queue_is_polled)
{
	struct reeve_pool *pool;
	struct stage x;
	reeve_queue *q;
	int fd;

	stage_init(&x);
	q = x.shared[QUEUE].queue;
	pool = stage_pool(&x, _i);
	fd = reeve_queue_poll_fd(q);
	let_die(pool, PUT_SILENTLY);
	ck_assert(fd_wait_readable(fd, LONG_WAIT / USEC_PER_MSEC));
	ck_assert_int_eq(reeve_queue_get(q, NULL, 0, 0, NULL), 0);
	end_pool(pool);
	stage_done(&x);
}
END_TEST

/* From a death to the end of a wait for what it had: sooner than if the waiter had
 * looked by itself, which it does every REGION_LOOK_USEC, but in one of 6,000
 * tests. */
START_TEST(test_who_waits_goes_on_at_once)
{
	struct reeve_pool *pool;
	struct stage x;
	int lead = 0;

	stage_init(&x);
	pool = stage_pool(&x, _i);
	atomic_store(&words_of(&x.shared[ARRAY])[WORD_OWNER],
		     (unsigned long)getpid());
	while (lead < 8 && lead > -15) {
		reeve_semaphore *units = x.shared[UNITS].semaphore;
		struct reeve_result *result;
		uint64_t now;

		ck_assert_int_eq(reeve_event_clear(x.shared[EVENT].event), 0);
		ck_assert_int_eq(reeve_pool_apply_async(pool, die_when_awaited,
							NULL, 0, NULL, &result),
				 0);
		until(work(pool) &&
		      reeve_event_is_set(x.shared[EVENT].event) == 1);
		ck_assert_int_eq(reeve_semaphore_acquire(units, LONG_WAIT), 0);
		now = clock_monotonic_usec();
		ck_assert_uint_ne(word(&x, WORD_DIED), 0);
		lead += now - word(&x, WORD_DIED) < REGION_LOOK_USEC / 4 ? 1
									 : -1;
		ck_assert_int_eq(reeve_result_get(result, LONG_WAIT, NULL, 0,
						  NULL),
				 -EPIPE);
		(void)reeve_result_unref(result);
		ck_assert_int_eq(reeve_semaphore_release(units), 0);
	}
	ck_assert_int_gt(lead, 0);
	end_pool(pool);
	stage_done(&x);
}
END_TEST

/* One that is stopped in the middle of a change, and one that has written over
 * everything, hold up nobody. */
START_TEST(test_enemies)
{
	uint64_t deed = HOLD_GUARD;
	struct reeve_result *result;
	struct reeve_pool *pool;
	reeve_queue *q;
	struct stage x;
	void *p;

	stage_init(&x);
	q = x.shared[QUEUE].queue;
	ck_assert_int_eq(reeve_queue_put(q, NULL, 0, 0), 0);
	pool = stage_pool(&x, _i);
	ck_assert_int_eq(reeve_pool_apply_async(pool, do_and_die, &deed,
						sizeof(deed), NULL, &result),
			 0);
	until(work(pool) && word(&x, WORD_PID) != 0);
	let_die(pool, HOLD_UNITS);
	until(reeve_semaphore_value(x.shared[UNITS].semaphore) == 3);
	check_square(pool, 5);
	ck_assert_uint_eq(atomic_load(&q->memory->tally.n_lost), 0);
	ck_assert_int_eq(kill((pid_t)word(&x, WORD_PID), SIGKILL), 0);
	until(atomic_load(&q->memory->tally.n_lost) == 1);
	ck_assert_int_eq(reeve_result_get(result, LONG_WAIT, NULL, 0, NULL),
			 -EPIPE);
	(void)reeve_result_unref(result);
	for (int i = 0; i < 3; i++)
		let_die(pool, SCRIBBLE);
	end_pool(pool);
	/* or freeing it would wait for the holder that was written there */
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
		 reeve_barrier_fd(x.shared[BARRIER].barrier), 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	memset(p, 0, 4096);
	(void)munmap(p, 4096);
	stage_done(&x);
}
END_TEST

/* Another keeper does the same. */
/* While the old one dies, a task may die with its worker. */
static bool has_other_keeper(struct reeve_pool *pool, pid_t keeper)
{
	uint64_t n = 0;
	size_t size = sizeof(n);

	return reeve_pool_apply(pool, tell_keeper, NULL, 0, &n, &size, NULL) ==
		       0 &&
	       n != (uint64_t)keeper;
}

START_TEST(test_keeper_dies)
{
	struct reeve_pool *pool;
	struct stage x;
	pid_t keeper;

	if (_i == 1) /* a program with threads cannot fork another */
		return;
	stage_init(&x);
	pool = stage_pool(&x, _i);
	keeper = (pid_t)ask(pool, tell_keeper);
	ck_assert_int_eq(kill(keeper, SIGKILL), 0);
	until(has_other_keeper(pool, keeper));
	let_die(pool, HOLD_UNITS);
	until(reeve_semaphore_value(x.shared[UNITS].semaphore) == 3);
	end_pool(pool);
	stage_done(&x);
}
END_TEST

int main(int argc, char **argv)
{
	static const struct reeve_function functions[] = {
		{ "square", square, NULL },
		{ "tell_keeper", tell_keeper, NULL },
		{ "do_and_die", do_and_die, NULL },
		{ "die_when_awaited", die_when_awaited, NULL },
		{ NULL, NULL, NULL },
	};
	const TTest *const tests[] = {
		test_deaths,
		test_queue_is_polled,
		test_who_waits_goes_on_at_once,
		test_enemies,
		test_keeper_dies,
	};

	if (reeve_pool_setup(functions) < 0)
		return 2;
	return unit_loop_main("pool_repair", ARRAY_SIZE(pool_modes), tests,
			      ARRAY_SIZE(tests), argc > 0 ? argv + 1 : argv);
}
