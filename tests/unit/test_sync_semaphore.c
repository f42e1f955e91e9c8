/* Semaphore: units are taken and given back, also by the dead. */
#include "tests/unit/sync_rig.h"
#include "workers/shared/ledger.h"

struct stage {
	reeve_semaphore *units;
	_Atomic uint32_t stop, turns, inside, most;
};

static struct stage *stage_new(enum reeve_semaphore_kind kind, unsigned units)
{
	struct reeve_semaphore_spec spec = { .kind = kind, .units = units };
	struct stage *x = share(sizeof(*x));

	ck_assert_int_eq(reeve_semaphore_new(&spec, &x->units), 0);
	return x;
}

static void stage_free(struct stage *x)
{
	ck_assert_ptr_null(reeve_semaphore_free(x->units));
	(void)munmap(x, sizeof(*x));
}

START_TEST(test_bad_input)
{
	const struct reeve_semaphore_spec bad[] = {
		{ .units = 0 },
		{ .units = 2, .max = 3 },
		{ .units = REEVE_SEMAPHORE_UNITS_MAX + 1U },
		{ .kind = REEVE_SEMAPHORE_COUNTING, .units = 3, .max = 2 },
		{ .kind = REEVE_SEMAPHORE_COUNTING, .max = UINT_MAX },
		{ .kind = (enum reeve_semaphore_kind)7, .units = 1 },
	};
	struct reeve_semaphore_spec good = { .units = 1, .max = 1 };
	reeve_semaphore *s = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert_int_eq(reeve_semaphore_new(&bad[i], &s), -EINVAL);
	ck_assert_int_eq(reeve_semaphore_new(NULL, &s), -EINVAL);
	ck_assert_int_eq(reeve_semaphore_new(&good, NULL), -EINVAL);
	ck_assert_int_eq(reeve_semaphore_open(-1, &s), -EBADF);
	ck_assert_int_eq(reeve_semaphore_open(0, NULL), -EINVAL);
	ck_assert_int_eq(reeve_semaphore_acquire(NULL, 0), -EINVAL);
	ck_assert_int_eq(reeve_semaphore_release(NULL), -EINVAL);
	ck_assert_int_eq(reeve_semaphore_value(NULL), -EINVAL);
	ck_assert_int_eq(reeve_semaphore_fd(NULL), -EINVAL);
	ck_assert_ptr_null(reeve_semaphore_free(NULL));
	ck_assert_ptr_null(s);
}
END_TEST

START_TEST(test_owned)
{
	struct stage *x = stage_new(REEVE_SEMAPHORE_OWNED, 2);
	reeve_semaphore *again;
	uint64_t now;

	ck_assert_int_eq(reeve_semaphore_release(x->units), -EPERM);
	ck_assert_int_eq(reeve_semaphore_acquire(x->units, 0), 0);
	ck_assert_int_eq(reeve_semaphore_acquire(x->units, REEVE_FOREVER), 0);
	ck_assert_int_eq(reeve_semaphore_value(x->units), 0);
	ck_assert_int_eq(reeve_semaphore_acquire(x->units, 0), -ETIMEDOUT);
	now = clock_monotonic_usec();
	ck_assert_int_eq(reeve_semaphore_acquire(x->units, 120 * USEC_PER_MSEC),
			 -ETIMEDOUT);
	ck_assert_uint_ge(clock_monotonic_usec() - now, 120 * USEC_PER_MSEC);
	ck_assert_int_eq(
		reeve_semaphore_open(reeve_semaphore_fd(x->units), &again), 0);
	for (int i = 1; i <= 2; i++) {
		ck_assert_int_eq(reeve_semaphore_release(again), 0);
		ck_assert_int_eq(reeve_semaphore_value(x->units), i);
	}
	ck_assert_int_eq(reeve_semaphore_release(again), -EPERM);
	reeve_semaphore_free(again);
	stage_free(x);
}
END_TEST

START_TEST(test_counting)
{
	struct reeve_semaphore_spec spec = {
		.kind = REEVE_SEMAPHORE_COUNTING,
		.units = 1,
		.max = 2,
	};
	reeve_semaphore *s;

	ck_assert_int_eq(reeve_semaphore_new(&spec, &s), 0);
	ck_assert_int_eq(reeve_semaphore_release(s), 0);
	ck_assert_int_eq(reeve_semaphore_release(s), -EOVERFLOW);
	ck_assert_int_eq(reeve_semaphore_acquire(s, 0), 0);
	ck_assert_int_eq(reeve_semaphore_acquire(s, 0), 0);
	ck_assert_int_eq(reeve_semaphore_acquire(s, 0), -ETIMEDOUT);
	reeve_semaphore_free(s);
}
END_TEST

static int release_it(void *arg)
{
	struct stage *x = arg;

	return -reeve_semaphore_release(x->units);
}

/* A child's units are its own. */
START_TEST(test_whose)
{
	struct stage *x = stage_new(REEVE_SEMAPHORE_OWNED, 1);

	ck_assert_int_eq(reeve_semaphore_acquire(x->units, 0), 0);
	ck_assert_int_eq(run(release_it, x), EPERM);
	ck_assert_int_eq(reeve_semaphore_release(x->units), 0);
	stage_free(x);
	x = stage_new(REEVE_SEMAPHORE_COUNTING, 1);
	ck_assert_int_eq(reeve_semaphore_acquire(x->units, 0), 0);
	ck_assert_int_eq(run(release_it, x), 0);
	ck_assert_int_eq(reeve_semaphore_acquire(x->units, 0), 0);
	stage_free(x);
}
END_TEST

/* ---- deaths ----------------------------------------------------------------------- */

static int hold(void *arg)
{
	struct stage *x = arg;
	int r = reeve_semaphore_acquire(x->units, 0);

	if (r < 0)
		return -r;
	atomic_fetch_add(&x->turns, 1);
	for (;;)
		(void)pause();
}

static int take_one(void *arg)
{
	struct stage *x = arg;

	return -reeve_semaphore_acquire(x->units, REEVE_FOREVER);
}

START_TEST(test_units_come_back)
{
	struct stage *x = stage_new(REEVE_SEMAPHORE_OWNED, 3);
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < PROMISE_TRIES && best > PROMISE_USEC; i++) {
		pid_t holders[3], waiter;
		uint64_t begin;

		atomic_store(&x->turns, 0);
		for (int k = 0; k < 3; k++)
			holders[k] = start(hold, x);
		ck_assert(reaches(&x->turns, 3));
		ck_assert_int_eq(reeve_semaphore_acquire(x->units, 0),
				 -ETIMEDOUT);
		waiter = start(take_one, x);
		ck_assert(falls_asleep(waiter));
		begin = clock_monotonic_usec();
		slay(holders[0]);
		ck_assert_int_eq(end(waiter), 0);
		best = MIN(best, clock_monotonic_usec() - begin);
		slay(holders[1]);
		slay(holders[2]);
		/* all are back: the waiter is dead, too */
		for (int k = 0; k < 3; k++)
			ck_assert_int_eq(reeve_semaphore_acquire(x->units,
								 DEADLINE_USEC),
					 0);
		for (int k = 0; k < 3; k++)
			ck_assert_int_eq(reeve_semaphore_release(x->units), 0);
	}
	ck_assert_uint_le(best, PROMISE_USEC);
	stage_free(x);
}
END_TEST

/* Who only asks sees the dead as well. */
START_TEST(test_units_come_back_to_who_asks)
{
	struct stage *x = stage_new(REEVE_SEMAPHORE_OWNED, 1);
	uint64_t last = clock_monotonic_usec() + DEADLINE_USEC;
	int r;

	ck_assert_int_eq(run(take_one, x), 0);
	do
		r = reeve_semaphore_acquire(x->units, 0);
	while (r == -ETIMEDOUT && clock_monotonic_usec() < last);
	ck_assert_int_eq(r, 0);
	stage_free(x);
}
END_TEST

static int take_and_give(void *arg)
{
	struct stage *x = arg;

	return reeve_semaphore_acquire(x->units, 200) < 0 ||
	       reeve_semaphore_release(x->units) < 0;
}

static void see_all_units(void *arg)
{
	struct stage *x = arg;

	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(
			reeve_semaphore_acquire(x->units, DEADLINE_USEC), 0);
	ck_assert_int_eq(reeve_semaphore_value(x->units), 0);
	/* whose entries are empty are dropped too: else each life would have
	 * more of them to pass, and be killed ever earlier */
	ck_assert_int_eq(reeve_semaphore_acquire(x->units, 0), -ETIMEDOUT);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(reeve_semaphore_release(x->units), 0);
	ck_assert_int_eq(reeve_semaphore_value(x->units), 2);
	ck_assert_int_eq(reeve_semaphore_release(x->units), -EPERM);
}

START_TEST(test_every_instruction)
{
	struct stage *x = stage_new(REEVE_SEMAPHORE_OWNED, 2);

	step_through(take_and_give, see_all_units, x, 250);
	stage_free(x);
}
END_TEST

/* Units cannot come back here, but never are there more than there were. */
static void see_no_more_units(void *arg)
{
	struct stage *x = arg;
	int n = reeve_semaphore_value(x->units);

	ck_assert_int_ge(n, (int)atomic_load(&x->turns) - 1);
	ck_assert_int_le(n, (int)atomic_load(&x->turns));
	atomic_store(&x->turns, (uint32_t)n);
	ck_assert_int_eq(reeve_semaphore_acquire(x->units, 0), 0);
	ck_assert_int_eq(reeve_semaphore_release(x->units), 0);
}

START_TEST(test_every_instruction_counting)
{
	struct stage *x = stage_new(REEVE_SEMAPHORE_COUNTING, 100000);

	atomic_store(&x->turns, 100000);
	step_through(take_and_give, see_no_more_units, x, 250);
	stage_free(x);
}
END_TEST

/* ---- many ------------------------------------------------------------------------- */

static int come_and_go(void *arg)
{
	struct stage *x = arg;

	while (!atomic_load(&x->stop)) {
		uint32_t n;

		if (reeve_semaphore_acquire(x->units, DEADLINE_USEC) < 0)
			return 1;
		n = atomic_fetch_add(&x->inside, 1) + 1;
		if (n > atomic_load(&x->most))
			atomic_store(&x->most, n);
		atomic_fetch_add(&x->turns, 1);
		atomic_fetch_sub(&x->inside, 1);
		if (reeve_semaphore_release(x->units) < 0)
			return 2;
	}
	return 0;
}

#define COMERS 4

static void never_more_inside(enum reeve_semaphore_kind kind)
{
	struct stage *x = stage_new(kind, 2);
	uint32_t n = (uint32_t)rounds(20000, 1000000);
	pid_t pids[COMERS];

	for (int i = 0; i < COMERS; i++)
		pids[i] = start(come_and_go, x);
	while (atomic_load(&x->turns) < n)
		ck_assert(reaches(&x->turns, atomic_load(&x->turns) + 1000));
	atomic_store(&x->stop, 1);
	for (int i = 0; i < COMERS; i++)
		ck_assert_int_eq(end(pids[i]), 0);
	ck_assert_uint_le(x->most, 2);
	ck_assert_int_eq(reeve_semaphore_value(x->units), 2);
	unit_count(n, "hand-overs");
	stage_free(x);
}

START_TEST(test_never_more_inside)
{
	never_more_inside(REEVE_SEMAPHORE_OWNED);
	never_more_inside(REEVE_SEMAPHORE_COUNTING);
}
END_TEST

START_TEST(test_random_kills)
{
	struct stage *x = stage_new(REEVE_SEMAPHORE_OWNED, 2);
	unsigned long n = rounds(100, 20000);
	pid_t pids[COMERS];

	for (int i = 0; i < COMERS; i++)
		pids[i] = start(come_and_go, x);
	for (unsigned long i = 0; i < n; i++) {
		pid_t *victim = &pids[i % COMERS];

		ck_assert(reaches(&x->turns,
				  atomic_load(&x->turns) + 1 + i % 97));
		slay(*victim);
		*victim = start(come_and_go, x);
	}
	atomic_store(&x->stop, 1);
	for (int i = 0; i < COMERS; i++)
		ck_assert_int_eq(end(pids[i]), 0);
	see_all_units(x);
	unit_count(n, "kills");
	unit_count(atomic_load(&x->turns), "hand-overs");
	stage_free(x);
}
END_TEST

/* Two releases before anybody who was woken has run wake two. */
START_TEST(test_two_releases)
{
	struct stage *x = stage_new(REEVE_SEMAPHORE_COUNTING, 0);
	pid_t pids[2];

	for (unsigned long i = 0; i < rounds(50, 20000); i++) {
		for (int k = 0; k < 2; k++)
			pids[k] = start(take_one, x);
		ck_assert(falls_asleep(pids[0]) && falls_asleep(pids[1]));
		ck_assert_int_eq(reeve_semaphore_release(x->units), 0);
		ck_assert_int_eq(reeve_semaphore_release(x->units), 0);
		ck_assert_int_eq(end(pids[0]), 0);
		ck_assert_int_eq(end(pids[1]), 0);
	}
	stage_free(x);
}
END_TEST

/* ---- the ledger's limit ----------------------------------------------------------- */

START_TEST(test_ledger)
{
	struct ledger *ledger = share(sizeof(*ledger));
	struct ledger_entry *self;

	/* all but one belong to the first process, which lives on */
	for (int i = 0; i < LEDGER_SIZE - 1; i++)
		atomic_store(&ledger->entries[i].who.pid, 1);
	atomic_store(&ledger->n_used, LEDGER_SIZE - 1);
	ck_assert_ptr_null(ledger_find(ledger));
	self = ledger_self(ledger);
	ck_assert_ptr_eq(self, &ledger->entries[LEDGER_SIZE - 1]);
	ck_assert_ptr_eq(ledger_self(ledger), self);
	ck_assert_ptr_null(ledger_next(ledger, self));
	ledger_drop(self);
	atomic_store(&self->who.pid, 1);
	ck_assert_ptr_null(ledger_self(ledger));
	atomic_store(&ledger->n_used, UINT32_MAX); /* nonsense */
	ck_assert_ptr_null(ledger_find(ledger));
	ck_assert(ledger_is_due(ledger));
	ck_assert(!ledger_is_due(ledger));
	atomic_store(&ledger->looked_usec, UINT64_MAX);
	ck_assert(ledger_is_due(ledger));
	(void)munmap(ledger, sizeof(*ledger));
}
END_TEST

UNIT_MAIN("semaphore", test_bad_input, test_owned, test_counting, test_whose,
	  test_units_come_back, test_units_come_back_to_who_asks,
	  test_every_instruction, test_every_instruction_counting,
	  test_never_more_inside, test_random_kills, test_two_releases,
	  test_ledger)
