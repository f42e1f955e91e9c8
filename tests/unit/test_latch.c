/* Latches: one holder at a time, whoever dies, and nothing that is written over
 * one does harm. */
#include "workers/shared/latch.h"

#include <linux/futex.h>
#include <sys/syscall.h>

#include "tests/unit/sync_rig.h"
#include "workers/base/pure/rng.h"

struct stage {
	struct latch latch;
	_Atomic uint32_t inside; /* who says that it is; under the latch */
	_Atomic uint32_t turns, n_wrong, stop;
};

static struct stage *stage_new(void)
{
	return share(sizeof(struct stage));
}

static void stage_free(struct stage *x)
{
	(void)munmap(x, sizeof(*x));
}

static void check_is_free(struct stage *x, int told)
{
	ck_assert_int_eq(latch_lock(&x->latch, 0), told);
	latch_unlock(&x->latch);
	ck_assert_int_eq(latch_lock(&x->latch, 0), 0);
	latch_unlock(&x->latch);
}

/* ---- who has it ------------------------------------------------------------------- */

static void *find_it_taken(void *arg)
{
	struct stage *x = arg;
	uint64_t now = clock_monotonic_usec();

	ck_assert_int_eq(latch_lock(&x->latch, 0), -ETIMEDOUT);
	ck_assert_int_eq(latch_lock(&x->latch, now + 1), -ETIMEDOUT);
	ck_assert_int_eq(latch_lock(&x->latch, now + 120 * USEC_PER_MSEC),
			 -ETIMEDOUT);
	ck_assert_uint_ge(clock_monotonic_usec() - now, 120 * USEC_PER_MSEC);
	return NULL;
}

static void *hold_and_end(void *arg)
{
	struct stage *x = arg;

	return latch_lock(&x->latch, 0) == 0 ? NULL : x;
}

static void in_thread(void *(*fn)(void *), void *arg)
{
	void *result = arg;
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, fn, arg), 0);
	ck_assert_int_eq(pthread_join(thread, &result), 0);
	ck_assert_ptr_null(result);
}

START_TEST(test_threads)
{
	struct stage *x = stage_new();

	check_is_free(x, 0);
	ck_assert_int_eq(latch_lock(&x->latch, UINT64_MAX), 0);
	in_thread(find_it_taken, x);
	latch_unlock(&x->latch);
	in_thread(hold_and_end, x);
	check_is_free(x, 1);
	stage_free(x);
}
END_TEST

static int hold(void *arg)
{
	struct stage *x = arg;

	return latch_lock(&x->latch, 0);
}

static int hold_and_execute(void *arg)
{
	struct stage *x = arg;

	if (latch_lock(&x->latch, 0) == 0)
		(void)execl("/bin/true", "true", (char *)NULL);
	return 1;
}

/* Also when the parent had it before, and knows its own thread's number. */
START_TEST(test_children)
{
	struct stage *x = stage_new();

	check_is_free(x, 0);
	ck_assert_int_eq(run(hold, x), 0);
	/* whoever is told and dies too does not keep it to itself */
	ck_assert_int_eq(run(hold, x), 1);
	check_is_free(x, 1);
	ck_assert_int_eq(run(hold_and_execute, x), 0);
	check_is_free(x, 1);
	stage_free(x);
}
END_TEST

/* A process that nobody told the kernel how to find its locks: it has none. */
START_TEST(test_process_without_a_place)
{
	struct stage *x = stage_new();
	pid_t pid;

	check_is_free(x, 0);
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		(void)syscall(SYS_exit_group, -latch_lock(&x->latch, 0));
	ck_assert_int_eq(end(pid), ENOTSUP);
	check_is_free(x, 0);
	stage_free(x);
}
END_TEST

/* ---- deaths --------------------------------------------------------------------------- */

static int turn(void *arg)
{
	struct stage *x = arg;

	if (latch_lock(&x->latch, UINT64_MAX) < 0)
		return 1;
	latch_unlock(&x->latch);
	return 0;
}

static void check_goes_on(void *arg)
{
	struct stage *x = arg;

	ck_assert_int_ge(latch_lock(&x->latch, 0), 0);
	latch_unlock(&x->latch);
}

START_TEST(test_every_instruction)
{
	struct stage *x = stage_new();

	step_through(turn, check_goes_on, x, 300);
	stage_free(x);
}
END_TEST

static int hold_for_ever(void *arg)
{
	struct stage *x = arg;

	if (latch_lock(&x->latch, 0) < 0)
		return 1;
	atomic_store(&x->turns, 1);
	for (;;)
		(void)pause();
}

/* The kernel wakes who sleeps: they need not look again. */
START_TEST(test_sleeper_is_woken)
{
	struct stage *x = stage_new();
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < PROMISE_TRIES && best > REGION_LOOK_USEC / 4; i++) {
		pid_t holder, sleeper;
		uint64_t begin;

		atomic_store(&x->turns, 0);
		holder = start(hold_for_ever, x);
		ck_assert(reaches(&x->turns, 1));
		sleeper = start(turn, x);
		ck_assert(falls_asleep(sleeper));
		begin = clock_monotonic_usec();
		slay(holder);
		ck_assert_int_eq(end(sleeper), 0);
		best = MIN(best, clock_monotonic_usec() - begin);
	}
	ck_assert_uint_le(best, REGION_LOOK_USEC / 4);
	check_is_free(x, 0);
	stage_free(x);
}
END_TEST

/* A holder that sees nobody sleep, since who slept was woken as it came. */
static void slip_in(struct stage *x)
{
	while (!(atomic_load(&x->latch.word) & FUTEX_WAITERS))
		(void)sched_yield();
	atomic_store(&x->latch.word, 1);
}

static int wait_in_vain(void *arg)
{
	struct stage *x = arg;

	return -latch_lock(&x->latch,
			   clock_monotonic_usec() + REGION_LOOK_USEC / 2);
}

/* Who was woken and gives up is the only one to know that there may be others. */
START_TEST(test_woken_and_late)
{
	struct stage *x = stage_new();
	pid_t pid;

	atomic_store(&x->latch.word, 2);
	pid = start(wait_in_vain, x);
	slip_in(x);
	ck_assert_int_eq(end(pid), ETIMEDOUT);
	ck_assert_uint_eq(atomic_load(&x->latch.word), 1 | FUTEX_WAITERS);
	/* who never slept leaves it alone */
	atomic_store(&x->latch.word, 1);
	ck_assert_int_eq(latch_lock(&x->latch, 0), -ETIMEDOUT);
	ck_assert_uint_eq(atomic_load(&x->latch.word), 1);
	stage_free(x);
}
END_TEST

/* ---- many ------------------------------------------------------------------------------ */

#define COMERS 4

/* Under the latch: nobody else is. */
static void be_inside(struct stage *x, uint32_t self, int told)
{
	if (told)
		atomic_store(&x->inside, 0);
	if (atomic_exchange(&x->inside, self) != 0)
		atomic_fetch_add(&x->n_wrong, 1);
	if (self % 64 == 0)
		(void)sched_yield();
	if (atomic_exchange(&x->inside, 0) != self)
		atomic_fetch_add(&x->n_wrong, 1);
	atomic_fetch_add(&x->turns, 1);
}

static int come_and_go(void *arg)
{
	struct stage *x = arg;
	uint32_t self = (uint32_t)getpid() << 7;

	while (!atomic_load(&x->stop)) {
		uint64_t last = clock_monotonic_usec() + DEADLINE_USEC;
		int r = latch_lock(&x->latch, last);

		if (r < 0)
			return 1;
		be_inside(x, ++self, r);
		latch_unlock(&x->latch);
	}
	return 0;
}

START_TEST(test_random_kills)
{
	unsigned long n = rounds(60, 20000);
	struct stage *x = stage_new();
	pid_t pids[COMERS];

	for (int i = 0; i < COMERS; i++)
		pids[i] = start(come_and_go, x);
	for (unsigned long i = 0; i < n; i++) {
		ck_assert(reaches(&x->turns, atomic_load(&x->turns) + 20));
		slay(pids[i % COMERS]);
		pids[i % COMERS] = start(come_and_go, x);
	}
	atomic_store(&x->stop, 1);
	for (int i = 0; i < COMERS; i++)
		ck_assert_int_eq(end(pids[i]), 0);
	ck_assert_uint_eq(x->n_wrong, 0);
	unit_count(n, "kills");
	stage_free(x);
}
END_TEST

/* ---- enemies ---------------------------------------------------------------------------- */

/* Whatever stands there: it is taken, or it is not, and nobody crashes. */
START_TEST(test_any_word)
{
	struct rng rng = { 7 };
	struct stage *x = stage_new();

	for (int i = 0; i < 20000; i++) {
		uint32_t word = (uint32_t)rng_below(&rng, UINT64_C(1) << 32);
		int r;

		atomic_store(&x->latch.word, word);
		r = latch_lock(&x->latch, 0);
		ck_assert(r == -ETIMEDOUT || r == 0 || r == 1);
		if (r < 0)
			continue;
		atomic_store(&x->latch.word, word * 31);
		latch_unlock(&x->latch);
		ck_assert_uint_eq(atomic_load(&x->latch.word), 0);
	}
	atomic_store(&x->latch.word, 0);
	check_is_free(x, 0);
	stage_free(x);
}
END_TEST

UNIT_MAIN("latch", test_threads, test_children, test_process_without_a_place,
	  test_every_instruction, test_sleeper_is_woken, test_woken_and_late,
	  test_random_kills, test_any_word)
