/* Barrier: all or none, and never a wait for the dead. */
#include "tests/unit/sync_rig.h"

struct stage {
	reeve_barrier *barrier;
	_Atomic uint32_t stop, rounds, acts, broken;
	int say; /* what the action returns */
};

static int act(void *arg)
{
	struct stage *x = arg;

	atomic_fetch_add(&x->acts, 1);
	return x->say;
}

static struct stage *stage_new(unsigned parties, bool has_action)
{
	struct stage *x = share(sizeof(*x));
	struct reeve_barrier_spec spec = { .parties = parties };

	if (has_action) {
		spec.action = act;
		spec.arg = x;
	}
	ck_assert_int_eq(reeve_barrier_new(&spec, &x->barrier), 0);
	return x;
}

static void stage_free(struct stage *x)
{
	ck_assert_ptr_null(reeve_barrier_free(x->barrier));
	(void)munmap(x, sizeof(*x));
}

START_TEST(test_bad_input)
{
	struct reeve_barrier_spec spec = { 0 };
	reeve_barrier *b = NULL;
	struct stage *x = stage_new(2, false);
	int fd = reeve_barrier_fd(x->barrier);

	ck_assert_int_eq(reeve_barrier_new(&spec, &b), -EINVAL);
	spec.parties = REEVE_PARTIES_MAX + 1;
	ck_assert_int_eq(reeve_barrier_new(&spec, &b), -EINVAL);
	ck_assert_int_eq(reeve_barrier_new(NULL, &b), -EINVAL);
	ck_assert_int_eq(reeve_barrier_new(&spec, NULL), -EINVAL);
	ck_assert_int_eq(reeve_barrier_open(fd, &spec, &b), -EINVAL);
	ck_assert_int_eq(reeve_barrier_open(fd, NULL, NULL), -EINVAL);
	ck_assert_int_eq(reeve_barrier_open(-1, NULL, &b), -EBADF);
	ck_assert_ptr_null(b);
	ck_assert_int_eq(reeve_barrier_enter(NULL), -EINVAL);
	ck_assert_int_eq(reeve_barrier_wait(NULL, 0), -EINVAL);
	ck_assert_int_eq(reeve_barrier_reset(NULL), -EINVAL);
	ck_assert_int_eq(reeve_barrier_abort(NULL), -EINVAL);
	ck_assert_int_eq(reeve_barrier_is_broken(NULL), -EINVAL);
	ck_assert_int_eq(reeve_barrier_parties(NULL), -EINVAL);
	ck_assert_int_eq(reeve_barrier_n_waiting(NULL), -EINVAL);
	ck_assert_int_eq(reeve_barrier_fd(NULL), -EINVAL);
	ck_assert_ptr_null(reeve_barrier_free(NULL));
	ck_assert_int_eq(reeve_barrier_parties(x->barrier), 2);
	spec.parties = 2;
	ck_assert_int_eq(reeve_barrier_open(fd, &spec, &b), 0);
	ck_assert_ptr_null(reeve_barrier_free(b));
	stage_free(x);
}
END_TEST

START_TEST(test_alone)
{
	struct stage *x = stage_new(1, _i == 1);

	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(reeve_barrier_wait(x->barrier, 0), 0);
	ck_assert_uint_eq(x->acts, _i == 1 ? 200 : 0);
	stage_free(x);
}
END_TEST

/* Its exit code: the arrival, or 100 + errno. */
static int wait_once(void *arg)
{
	struct stage *x = arg;
	int r = reeve_barrier_wait(x->barrier, REEVE_FOREVER);

	return r < 0 ? 100 - r : r;
}

static pid_t start_waiting(struct stage *x)
{
	int n = reeve_barrier_n_waiting(x->barrier);
	uint64_t last = clock_monotonic_usec() + DEADLINE_USEC;
	pid_t pid = start(wait_once, x);

	while (reeve_barrier_n_waiting(x->barrier) <= n)
		ck_assert_uint_lt(clock_monotonic_usec(), last);
	return pid;
}

START_TEST(test_timeout_breaks)
{
	struct stage *x = stage_new(3, _i == 1);
	pid_t pid = start_waiting(x);
	uint64_t wait = 120 * USEC_PER_MSEC, now = clock_monotonic_usec();

	ck_assert_int_eq(reeve_barrier_is_broken(x->barrier), 0);
	ck_assert_int_eq(reeve_barrier_wait(x->barrier, wait), -ETIMEDOUT);
	ck_assert_uint_ge(clock_monotonic_usec() - now, wait);
	ck_assert_int_eq(end(pid), 100 + ECANCELED);
	ck_assert_int_eq(reeve_barrier_is_broken(x->barrier), 1);
	ck_assert_int_eq(reeve_barrier_wait(x->barrier, REEVE_FOREVER),
			 -ECANCELED);
	ck_assert_int_eq(reeve_barrier_reset(x->barrier), 0);
	ck_assert_int_eq(reeve_barrier_is_broken(x->barrier), 0);
	ck_assert_uint_eq(x->acts, 0);
	stage_free(x);
}
END_TEST

START_TEST(test_abort_and_reset)
{
	struct stage *x = stage_new(3, _i == 1);
	pid_t pids[2];

	for (int i = 0; i < 2; i++) {
		pids[0] = start_waiting(x);
		pids[1] = start_waiting(x);
		ck_assert_int_eq(i == 0 ? reeve_barrier_reset(x->barrier)
					: reeve_barrier_abort(x->barrier),
				 0);
		ck_assert_int_eq(end(pids[0]), 100 + ECANCELED);
		ck_assert_int_eq(end(pids[1]), 100 + ECANCELED);
		ck_assert_int_eq(reeve_barrier_is_broken(x->barrier), i);
		ck_assert_int_eq(reeve_barrier_n_waiting(x->barrier), 0);
	}
	ck_assert_int_eq(reeve_barrier_reset(x->barrier), 0);
	pids[0] = start_waiting(x);
	pids[1] = start_waiting(x);
	ck_assert_int_eq(reeve_barrier_wait(x->barrier, DEADLINE_USEC), 2);
	ck_assert_int_eq(end(pids[0]), 0);
	ck_assert_int_eq(end(pids[1]), 1);
	stage_free(x);
}
END_TEST

START_TEST(test_action)
{
	struct stage *x = stage_new(2, true);
	pid_t pid = start_waiting(x);

	ck_assert_int_eq(reeve_barrier_wait(x->barrier, DEADLINE_USEC), 1);
	ck_assert_int_eq(end(pid), 0);
	ck_assert_uint_eq(x->acts, 1);
	x->say = -EIO;
	ck_assert_int_eq(reeve_barrier_reset(x->barrier), 0);
	pid = start_waiting(x);
	ck_assert_int_eq(reeve_barrier_wait(x->barrier, DEADLINE_USEC), -EIO);
	ck_assert_int_eq(end(pid), 100 + ECANCELED);
	ck_assert_int_eq(reeve_barrier_is_broken(x->barrier), 1);
	stage_free(x);
}
END_TEST

/* ---- rounds ----------------------------------------------------------------------- */

#define PARTIES 3

struct lane {
	struct stage *stage;
	_Atomic uint32_t *at; /* the round that each is in */
	int i;
	uint32_t n;
};

/* Nobody leaves a round before all are in it. */
static int run_rounds(void *arg)
{
	struct lane *lane = arg;

	for (uint32_t k = 1; k <= lane->n; k++) {
		atomic_store(&lane->at[lane->i], k);
		if (reeve_barrier_wait(lane->stage->barrier, REEVE_FOREVER) < 0)
			return 1;
		for (int i = 0; i < PARTIES; i++)
			if (atomic_load(&lane->at[i]) - k > 1)
				return 2;
	}
	return 0;
}

START_TEST(test_rounds)
{
	struct stage *x = stage_new(PARTIES, _i == 1);
	_Atomic uint32_t *at = share(PARTIES * sizeof(*at));
	uint32_t n = (uint32_t)rounds(2000, 1000000);
	pid_t pids[PARTIES];

	for (int i = 0; i < PARTIES; i++) {
		struct lane lane = { x, at, i, n };

		pids[i] = start(run_rounds, &lane);
	}
	for (int i = 0; i < PARTIES; i++)
		ck_assert_int_eq(end(pids[i]), 0);
	ck_assert_uint_eq(x->acts, _i == 1 ? n : 0);
	unit_count(n, "rounds");
	stage_free(x);
	(void)munmap(at, PARTIES * sizeof(*at));
}
END_TEST

/* ---- deaths ----------------------------------------------------------------------- */

static int enter_and_end(void *arg)
{
	struct stage *x = arg;

	return reeve_barrier_enter(x->barrier);
}

static int enter_and_leave(void *arg)
{
	struct stage *x = arg;

	return reeve_barrier_enter(x->barrier) ||
	       reeve_barrier_free(x->barrier) != NULL;
}

/* Dies waiting, and before it has arrived. */
START_TEST(test_dead_party)
{
	struct stage *x = stage_new(3, _i == 1);
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < PROMISE_TRIES && best > PROMISE_USEC; i++) {
		pid_t dies = start_waiting(x), waits = start_waiting(x);
		uint64_t begin = clock_monotonic_usec();

		slay(dies);
		ck_assert_int_eq(end(waits), 100 + ECANCELED);
		best = MIN(best, clock_monotonic_usec() - begin);
		ck_assert_int_eq(reeve_barrier_reset(x->barrier), 0);
	}
	ck_assert_uint_le(best, PROMISE_USEC);
	ck_assert_int_eq(run(enter_and_end, x), 0);
	ck_assert_int_eq(reeve_barrier_wait(x->barrier, DEADLINE_USEC),
			 -ECANCELED);
	ck_assert_int_eq(reeve_barrier_reset(x->barrier), 0);
	ck_assert_int_eq(run(enter_and_leave, x), 0);
	ck_assert_int_eq(reeve_barrier_wait(x->barrier, 3 * REGION_LOOK_USEC),
			 -ETIMEDOUT);
	stage_free(x);
}
END_TEST

static _Noreturn int act_and_hang(void *arg)
{
	struct stage *x = arg;

	atomic_store(&x->acts, 1);
	for (;;)
		(void)pause();
}

static int wait_and_hang(void *arg)
{
	struct stage *x = arg;
	struct reeve_barrier_spec spec = { .action = act_and_hang, .arg = x };
	reeve_barrier *b;

	if (reeve_barrier_open(reeve_barrier_fd(x->barrier), &spec, &b) < 0)
		return 1;
	return reeve_barrier_wait(b, REEVE_FOREVER);
}

/* While all are there and one acts: who comes waits for the next round. */
START_TEST(test_dead_in_action)
{
	struct stage *x = stage_new(2, false);
	pid_t waits = start_waiting(x), acts = start(wait_and_hang, x);

	ck_assert(reaches(&x->acts, 1));
	ck_assert_int_eq(reeve_barrier_wait(x->barrier, 1000), -ETIMEDOUT);
	ck_assert_int_eq(reeve_barrier_is_broken(x->barrier), 0);
	slay(acts);
	ck_assert_int_eq(end(waits), 100 + ECANCELED);
	ck_assert_int_eq(reeve_barrier_is_broken(x->barrier), 1);
	stage_free(x);
}
END_TEST

static int wait_briefly(void *arg)
{
	struct stage *x = arg;

	return reeve_barrier_wait(x->barrier, 100);
}

/* Whatever was left, after a reset it is as new. */
static void see_it_work(void *arg)
{
	struct stage *x = arg;
	pid_t pid;

	ck_assert_int_eq(reeve_barrier_reset(x->barrier), 0);
	pid = start_waiting(x);
	ck_assert_int_eq(reeve_barrier_wait(x->barrier, DEADLINE_USEC), 1);
	ck_assert_int_eq(end(pid), 0);
	ck_assert_int_eq(reeve_barrier_reset(x->barrier), 0);
}

START_TEST(test_waiter_at_every_instruction)
{
	struct stage *x = stage_new(2, _i == 1);

	step_through(wait_briefly, see_it_work, x, 50);
	stage_free(x);
}
END_TEST

static int wait_on(void *arg)
{
	struct stage *x = arg;

	while (!atomic_load(&x->stop)) {
		int r = reeve_barrier_wait(x->barrier, DEADLINE_USEC);

		if (r == -ETIMEDOUT)
			return 1;
		if (r == -ECANCELED) {
			atomic_fetch_add(&x->broken, 1);
			if (reeve_barrier_is_broken(x->barrier))
				(void)reeve_barrier_reset(x->barrier);
			continue;
		}
		if (r < 0)
			return 2;
		atomic_fetch_add(&x->rounds, 1);
	}
	(void)reeve_barrier_abort(x->barrier);
	return 0;
}

/* One is killed in the middle of it: the others are told, and go on with its
 * successor. Nobody is ever late. */
START_TEST(test_random_kills)
{
	struct stage *x = stage_new(PARTIES, _i == 1);
	unsigned long n = rounds(40, 10000), most = n > 1000 ? 211 : 53;
	pid_t pids[PARTIES];

	for (int i = 0; i < PARTIES; i++)
		pids[i] = start(wait_on, x);
	for (unsigned long i = 0; i < n; i++) {
		pid_t *victim = &pids[i % PARTIES];

		ck_assert(reaches(&x->rounds,
				  atomic_load(&x->rounds) + 1 + i % most));
		slay(*victim);
		*victim = start(wait_on, x);
	}
	atomic_store(&x->stop, 1);
	for (int i = 0; i < PARTIES; i++)
		ck_assert_int_eq(end(pids[i]), 0);
	unit_count(n, "kills");
	unit_count(atomic_load(&x->rounds), "hand-overs");
	stage_free(x);
}
END_TEST

UNIT_LOOP_MAIN("barrier, with an action", 2, test_bad_input, test_alone,
	       test_timeout_breaks, test_abort_and_reset, test_action,
	       test_rounds, test_dead_party, test_dead_in_action,
	       test_waiter_at_every_instruction, test_random_kills)
