/* Condition: who is notified wakes, in order, and if it dies, the next one. */
#include "tests/unit/sync_rig.h"
#include "workers/shared/lock.h"

struct stage {
	reeve_lock *lock;
	reeve_condition *condition;
	_Atomic uint32_t stop, came, woken, n_items, n_taken;
};

static struct stage *stage_new(void)
{
	struct stage *x = share(sizeof(*x));

	ck_assert_int_eq(reeve_rlock_new(&x->lock), 0);
	ck_assert_int_eq(reeve_condition_new(x->lock, &x->condition), 0);
	return x;
}

static void stage_free(struct stage *x)
{
	ck_assert_ptr_null(reeve_condition_free(x->condition));
	reeve_lock_free(x->lock);
	(void)munmap(x, sizeof(*x));
}

static void lock(struct stage *x)
{
	int r = reeve_lock_acquire(x->lock, DEADLINE_USEC);

	if (r == -EOWNERDEAD)
		r = reeve_lock_repaired(x->lock);
	ck_assert_int_eq(r, 0);
}

static void unlock(struct stage *x)
{
	ck_assert_int_eq(reeve_lock_release(x->lock), 0);
}

static bool never(_unused_ void *arg)
{
	return false;
}

static bool always(_unused_ void *arg)
{
	return true;
}

START_TEST(test_bad_input)
{
	struct stage *x = stage_new();
	reeve_condition *c = NULL;
	reeve_lock *other;
	int fd = reeve_condition_fd(x->condition);

	ck_assert_int_eq(reeve_lock_new(&other), 0);
	ck_assert_int_eq(reeve_condition_new(NULL, &c), -EINVAL);
	ck_assert_int_eq(reeve_condition_new(other, NULL), -EINVAL);
	ck_assert_int_eq(reeve_condition_open(fd, NULL, &c), -EINVAL);
	ck_assert_int_eq(reeve_condition_open(fd, other, NULL), -EINVAL);
	ck_assert_int_eq(reeve_condition_open(fd, other, &c), -EINVAL);
	ck_assert_int_eq(reeve_condition_open(-1, other, &c), -EBADF);
	ck_assert_int_eq(reeve_condition_open(reeve_lock_fd(other), other, &c),
			 -EBADMSG);
	ck_assert_int_eq(reeve_condition_wait(NULL, 0), -EINVAL);
	ck_assert_int_eq(reeve_condition_wait_for(NULL, never, NULL, 0),
			 -EINVAL);
	ck_assert_int_eq(reeve_condition_wait_for(x->condition, NULL, NULL, 0),
			 -EINVAL);
	ck_assert_int_eq(reeve_condition_notify(NULL), -EINVAL);
	ck_assert_int_eq(reeve_condition_notify_all(NULL), -EINVAL);
	ck_assert_int_eq(reeve_condition_fd(NULL), -EINVAL);
	ck_assert_ptr_null(reeve_condition_free(NULL));
	ck_assert_ptr_null(c);
	reeve_lock_free(other);
	stage_free(x);
}
END_TEST

/* A child that was not given the lock's fd has its memory all the same: what it
 * makes there is for that lock, whatever has the number now. */
START_TEST(test_lock_without_its_fd)
{
	struct stage *x = stage_new();
	int fd = reeve_lock_fd(x->lock), lock_fd = dup(fd);
	reeve_condition *c, *opened;
	reeve_lock *other;

	ck_assert_int_eq(reeve_lock_open(lock_fd, &other), 0);
	ck_assert_int_eq(dup2(reeve_condition_fd(x->condition), fd), fd);
	ck_assert_int_eq(reeve_condition_new(x->lock, &c), 0);
	ck_assert_int_eq(
		reeve_condition_open(reeve_condition_fd(c), other, &opened), 0);
	reeve_condition_free(opened);
	reeve_condition_free(c);
	reeve_lock_free(other);
	stage_free(x);
	(void)close(fd); /* not the lock's any more: left alone */
	(void)close(lock_fd);
}
END_TEST

START_TEST(test_without_the_lock)
{
	struct stage *x = stage_new();
	reeve_condition *c = x->condition;

	ck_assert_int_eq(reeve_condition_wait(c, REEVE_FOREVER), -EPERM);
	ck_assert_int_eq(reeve_condition_wait_for(c, always, NULL,
						  REEVE_FOREVER),
			 -EPERM);
	ck_assert_int_eq(reeve_condition_notify(c), -EPERM);
	ck_assert_int_eq(reeve_condition_notify_all(c), -EPERM);
	stage_free(x);
}
END_TEST

START_TEST(test_timeout)
{
	struct stage *x = stage_new();
	uint64_t wait = 120 * USEC_PER_MSEC, now = clock_monotonic_usec();

	lock(x);
	ck_assert_int_eq(reeve_condition_wait(x->condition, 0), -ETIMEDOUT);
	ck_assert_int_eq(reeve_condition_wait(x->condition, wait), -ETIMEDOUT);
	ck_assert_uint_ge(clock_monotonic_usec() - now, wait);
	now = clock_monotonic_usec();
	ck_assert_int_eq(reeve_condition_wait_for(x->condition, never, NULL,
						  wait),
			 -ETIMEDOUT);
	ck_assert_uint_ge(clock_monotonic_usec() - now, wait);
	ck_assert_int_eq(reeve_condition_wait_for(x->condition, always, NULL,
						  REEVE_FOREVER),
			 0);
	/* nobody waited: nothing is kept for who comes later */
	ck_assert_int_eq(reeve_condition_notify(x->condition), 0);
	ck_assert_int_eq(reeve_condition_wait(x->condition, 1000), -ETIMEDOUT);
	unlock(x);
	ck_assert_int_eq(reeve_lock_release(x->lock), -EPERM);
	stage_free(x);
}
END_TEST

/* Waits once, holding the lock twice. Its exit code is its turn. */
static int wait_once(void *arg)
{
	struct stage *x = arg;
	int turn;

	if (reeve_lock_acquire(x->lock, REEVE_FOREVER) ||
	    reeve_lock_acquire(x->lock, 0))
		return 100;
	atomic_fetch_add(&x->came, 1);
	if (reeve_condition_wait(x->condition, REEVE_FOREVER) < 0)
		return 101;
	turn = (int)atomic_fetch_add(&x->woken, 1);
	if (reeve_lock_release(x->lock) || reeve_lock_release(x->lock) ||
	    reeve_lock_release(x->lock) != -EPERM)
		return 102;
	return turn;
}

/* One who waits, asleep. */
static pid_t start_waiting(struct stage *x)
{
	uint32_t n = atomic_load(&x->came);
	pid_t pid = start(wait_once, x);

	ck_assert(reaches(&x->came, n + 1));
	ck_assert(falls_asleep(pid));
	return pid;
}

START_TEST(test_order)
{
	struct stage *x = stage_new();
	pid_t pids[4];

	for (int i = 0; i < 4; i++)
		pids[i] = start_waiting(x);
	for (uint32_t i = 0; i < 2; i++) {
		lock(x);
		ck_assert_int_eq(reeve_condition_notify(x->condition), 0);
		ck_assert_uint_eq(x->woken, i); /* not before the release */
		unlock(x);
		ck_assert_int_eq(end(pids[i]), (int)i);
	}
	lock(x);
	ck_assert_int_eq(reeve_condition_notify_all(x->condition), 0);
	unlock(x);
	(void)end(pids[2]);
	(void)end(pids[3]);
	ck_assert_uint_eq(x->woken, 4);
	stage_free(x);
}
END_TEST

/* More than are woken at the release. */
START_TEST(test_notify_many)
{
	struct stage *x = stage_new();
	pid_t pids[LOCK_WAKES + 3];

	for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
		pids[i] = start_waiting(x);
	lock(x);
	ck_assert_int_eq(reeve_condition_notify_all(x->condition), 0);
	unlock(x);
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
		ck_assert_int_lt(end(pids[i]), 100);
	stage_free(x);
}
END_TEST

/* ---- deaths ----------------------------------------------------------------------- */

/* The one notified is killed before it can run: by then it is stopped. */
START_TEST(test_told_and_killed)
{
	struct stage *x = stage_new();
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < PROMISE_TRIES && best > PROMISE_USEC; i++) {
		pid_t first = start_waiting(x), second = start_waiting(x);
		uint64_t begin;

		ck_assert_int_eq(kill(first, SIGSTOP), 0);
		ck_assert_int_eq(waitpid(first, NULL, WUNTRACED), first);
		lock(x);
		ck_assert_int_eq(reeve_condition_notify(x->condition), 0);
		unlock(x);
		begin = clock_monotonic_usec();
		slay(first);
		ck_assert_int_eq(end(second), i);
		best = MIN(best, clock_monotonic_usec() - begin);
	}
	ck_assert_uint_le(best, PROMISE_USEC);
	stage_free(x);
}
END_TEST

/* Nobody else waited when it was given: it is gone with the dead. */
START_TEST(test_nothing_for_the_late)
{
	struct stage *x = stage_new();
	pid_t first = start_waiting(x);

	ck_assert_int_eq(kill(first, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(first, NULL, WUNTRACED), first);
	lock(x);
	ck_assert_int_eq(reeve_condition_notify(x->condition), 0);
	unlock(x);
	slay(first);
	lock(x);
	ck_assert_int_eq(reeve_condition_wait(x->condition,
					      3 * REGION_LOOK_USEC),
			 -ETIMEDOUT);
	unlock(x);
	stage_free(x);
}
END_TEST

/* The dead do not fill the places. */
START_TEST(test_dead_waiters)
{
	struct stage *x = stage_new();

	for (int i = 0; i < REEVE_CONDITION_WAITERS_MAX + 1; i++) {
		uint32_t n = atomic_load(&x->came);
		pid_t pid = start(wait_once, x);

		ck_assert(reaches(&x->came, n + 1));
		lock(x); /* it has released it: it has its place */
		unlock(x);
		slay(pid);
	}
	lock(x);
	ck_assert_int_eq(reeve_condition_wait(x->condition, 0), -ETIMEDOUT);
	ck_assert_int_eq(reeve_condition_notify_all(x->condition), 0);
	unlock(x);
	stage_free(x);
}
END_TEST

static int die_holding(void *arg)
{
	struct stage *x = arg;

	return reeve_lock_acquire(x->lock, REEVE_FOREVER) < 0;
}

static int wait_for_dead(void *arg)
{
	struct stage *x = arg;

	if (reeve_lock_acquire(x->lock, REEVE_FOREVER) < 0)
		return 1;
	atomic_fetch_add(&x->came, 1);
	if (reeve_condition_wait(x->condition, REEVE_FOREVER) != -EOWNERDEAD)
		return 2;
	/* held, and nobody waits before it is repaired */
	if (reeve_condition_wait(x->condition, 0) != -EOWNERDEAD)
		return 3;
	return reeve_lock_repaired(x->lock) || reeve_lock_release(x->lock);
}

static int notify_and_die(void *arg)
{
	struct stage *x = arg;

	return reeve_lock_acquire(x->lock, REEVE_FOREVER) ||
	       reeve_condition_notify(x->condition);
}

/* A notifier died with the lock, and before it woke whom it had told. */
START_TEST(test_dead_notifier)
{
	struct stage *x = stage_new();
	pid_t pid = start(wait_for_dead, x);

	ck_assert(reaches(&x->came, 1));
	ck_assert(falls_asleep(pid));
	ck_assert_int_eq(run(notify_and_die, x), 0);
	ck_assert_int_eq(end(pid), 0);
	ck_assert_int_eq(run(die_holding, x), 0);
	lock(x);
	unlock(x);
	stage_free(x);
}
END_TEST

/* ---- at every instruction --------------------------------------------------------- */

static int notify_it(void *arg)
{
	struct stage *x = arg;
	int r = reeve_lock_acquire(x->lock, REEVE_FOREVER);

	if (r == -EOWNERDEAD)
		r = reeve_lock_repaired(x->lock);
	if (r == 0)
		r = reeve_condition_notify(x->condition);
	return r || reeve_lock_release(x->lock);
}

/* Takes items, as many as there are. */
static bool is_something_there(void *arg)
{
	struct stage *x = arg;

	return atomic_load(&x->n_items) > 0 || atomic_load(&x->stop);
}

static int consume(void *arg)
{
	struct stage *x = arg;

	for (;;) {
		int r = reeve_lock_acquire(x->lock, REEVE_FOREVER);

		while (r == 0 || r == -EOWNERDEAD) {
			if (r && reeve_lock_repaired(x->lock) < 0)
				return 1;
			r = reeve_condition_wait_for(x->condition,
						     is_something_there, x,
						     REEVE_FOREVER);
			if (r == 0)
				break;
		}
		if (r < 0)
			return 2;
		if (atomic_load(&x->n_items) > 0) {
			atomic_fetch_sub(&x->n_items, 1);
			atomic_fetch_add(&x->n_taken, 1);
		}
		r = reeve_lock_release(x->lock);
		if (r < 0 || atomic_load(&x->stop))
			return r < 0 ? 3 : 0;
	}
}

static void put_one(struct stage *x)
{
	lock(x);
	atomic_fetch_add(&x->n_items, 1);
	ck_assert_int_eq(reeve_condition_notify(x->condition), 0);
	unlock(x);
}

static void see_it_consumed(void *arg)
{
	struct stage *x = arg;
	uint32_t n = atomic_load(&x->n_taken);

	put_one(x);
	ck_assert(reaches(&x->n_taken, n + 1));
}

static void stop_all(struct stage *x, pid_t *pids, int n)
{
	atomic_store(&x->stop, 1);
	lock(x);
	ck_assert_int_eq(reeve_condition_notify_all(x->condition), 0);
	unlock(x);
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(end(pids[i]), 0);
}

START_TEST(test_notifier_at_every_instruction)
{
	struct stage *x = stage_new();
	pid_t pids[2] = { start(consume, x), start(consume, x) };

	step_through(notify_it, see_it_consumed, x, 250);
	stop_all(x, pids, 2);
	stage_free(x);
}
END_TEST

static int wait_briefly(void *arg)
{
	struct stage *x = arg;
	int r = reeve_lock_acquire(x->lock, REEVE_FOREVER);

	if (r == -EOWNERDEAD)
		r = reeve_lock_repaired(x->lock);
	if (r == 0)
		r = reeve_condition_wait(x->condition, 100);
	return r != -ETIMEDOUT || reeve_lock_release(x->lock);
}

START_TEST(test_waiter_at_every_instruction)
{
	struct stage *x = stage_new();
	pid_t pid = start(consume, x);

	step_through(wait_briefly, see_it_consumed, x, 60);
	stop_all(x, &pid, 1);
	stage_free(x);
}
END_TEST

/* ---- at random -------------------------------------------------------------------- */

#define CONSUMERS 3

/* One notification for each item, and a consumer is killed right after it: the
 * item is taken all the same, by another. */
START_TEST(test_random_kills)
{
	struct stage *x = stage_new();
	unsigned long n = rounds(150, 1000000), n_kills = 0;
	unsigned long by = n > 1000 ? 40 : 3; /* of so many, two are followed */
	pid_t pids[CONSUMERS];

	for (int i = 0; i < CONSUMERS; i++)
		pids[i] = start(consume, x);
	for (unsigned long i = 0; i < n; i++) {
		pid_t *victim = &pids[i % CONSUMERS];

		bool is_killed = i % by == 1 || i % by == 2;

		put_one(x);
		if (is_killed)
			slay(*victim);
		for (uint64_t last = clock_monotonic_usec() + DEADLINE_USEC;
		     atomic_load(&x->n_items) > 0;)
			if (clock_monotonic_usec() > last)
				ck_abort_msg("lost in round %lu", i);
		if (is_killed)
			*victim = start(consume, x);
		n_kills += is_killed;
	}
	stop_all(x, pids, CONSUMERS);
	unit_count(n, "hand-overs");
	unit_count(n_kills, "kills");
	stage_free(x);
}
END_TEST

UNIT_MAIN("condition", test_bad_input, test_lock_without_its_fd,
	  test_without_the_lock, test_timeout, test_order, test_notify_many,
	  test_told_and_killed, test_nothing_for_the_late, test_dead_waiters,
	  test_dead_notifier, test_notifier_at_every_instruction,
	  test_waiter_at_every_instruction, test_random_kills)
