/* Mutexes: a thread's list of them is whole, with glibc's own in between, in
 * whatever order they come and go; whoever ends with some, all are found.
 */
#include "workers/shared/mutex.h"

#include "tests/unit/sync_rig.h"

#define OURS   3
#define ALL    4  /* the last one is glibc's */
#define ORDERS 24 /* of four */
#define MANY   200

struct stage {
	struct mutex ours[MANY];
	pthread_mutex_t theirs;
	int acquire, release, n_released; /* orders, and how many are */
};

static struct stage *stage_new(void)
{
	struct stage *x = share(sizeof(*x));
	pthread_mutexattr_t a;

	ck_assert_int_eq(pthread_mutexattr_init(&a), 0);
	(void)pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	(void)pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	ck_assert_int_eq(pthread_mutex_init(&x->theirs, &a), 0);
	(void)pthread_mutexattr_destroy(&a);
	return x;
}

static void stage_free(struct stage *x)
{
	(void)munmap(x, sizeof(*x));
}

/* The i-th of four in the n-th order. */
static int in_order(int n, int i)
{
	int left[ALL] = { 0, 1, 2, 3 }, at = 0;

	for (int k = 0; k <= i; k++) {
		at = n % (ALL - k);
		n /= ALL - k;
		if (k == i)
			break;
		for (int j = at; j < ALL - 1; j++)
			left[j] = left[j + 1];
	}
	return left[at];
}

/* Each returns what mutex_lock() does. */
static int lock(struct stage *x, int i)
{
	int r;

	if (i < OURS)
		return mutex_lock(&x->ours[i], 0);
	r = pthread_mutex_trylock(&x->theirs);
	if (r == EOWNERDEAD)
		(void)pthread_mutex_consistent(&x->theirs);
	return r == EOWNERDEAD ? 1 : -r;
}

static int unlock(struct stage *x, int i)
{
	return i < OURS ? mutex_unlock(&x->ours[i])
			: -pthread_mutex_unlock(&x->theirs);
}

/* Takes all, gives some back, and ends. */
static int take_and_end(void *arg)
{
	struct stage *x = arg;

	for (int i = 0; i < ALL; i++)
		if (lock(x, in_order(x->acquire, i)) != 0)
			return 1;
	for (int i = 0; i < x->n_released; i++)
		if (unlock(x, in_order(x->release, i)) != 0)
			return 2;
	return 0;
}

static void check_left(struct stage *x)
{
	for (int i = 0; i < ALL; i++) {
		int k = in_order(x->release, i);

		ck_assert_int_eq(lock(x, k), i < x->n_released ? 0 : 1);
	}
	for (int i = ALL - 1; i >= 0; i--)
		ck_assert_int_eq(unlock(x, in_order(x->acquire, i)), 0);
}

START_TEST(test_any_order)
{
	struct stage *x = stage_new();
	int by = getenv("REEVE_SOAK") ? 1 : 29;

	for (int n = 0; n < ORDERS * ORDERS * (ALL + 1); n += by) {
		x->acquire = n % ORDERS;
		x->release = n / ORDERS % ORDERS;
		x->n_released = n / ORDERS / ORDERS;
		ck_assert_int_eq(run(take_and_end, x), 0);
		check_left(x);
	}
	stage_free(x);
}
END_TEST

static int take_many_and_end(void *arg)
{
	struct stage *x = arg;

	for (int i = 0; i < MANY; i++)
		if (mutex_lock(&x->ours[i], 0) != 0)
			return 1;
	return 0;
}

/* Is told of each, and repairs nothing. */
static int inherit_and_end(void *arg)
{
	struct stage *x = arg;

	for (int i = 0; i < MANY; i++)
		if (mutex_lock(&x->ours[i], 0) != 1)
			return 1;
	return 0;
}

START_TEST(test_many)
{
	struct stage *x = stage_new();

	ck_assert_int_eq(run(take_many_and_end, x), 0);
	ck_assert_int_eq(run(inherit_and_end, x), 0);
	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(mutex_lock(&x->ours[i], 0), 1);
	for (int i = 0; i < MANY; i += 2)
		ck_assert_int_eq(mutex_unlock(&x->ours[i]), 0);
	for (int i = 1; i < MANY; i += 2)
		ck_assert_int_eq(mutex_unlock(&x->ours[i]), 0);
	stage_free(x);
}
END_TEST

/* ---- whose it is -------------------------------------------------------------------- */

static int cannot_unlock(void *arg)
{
	struct stage *x = arg;

	return mutex_is_held(&x->ours[0]) ||
	       mutex_unlock(&x->ours[0]) != -EPERM ||
	       mutex_lock(&x->ours[0], 0) != -ETIMEDOUT ||
	       mutex_lock(&x->ours[1], 0) != 0 ||
	       mutex_unlock(&x->ours[1]) != 0;
}

static void *cannot_unlock_either(void *arg)
{
	return cannot_unlock(arg) ? arg : NULL;
}

START_TEST(test_owner)
{
	struct stage *x = stage_new();
	pthread_t thread;
	void *result;

	ck_assert_int_eq(mutex_unlock(&x->ours[0]), -EPERM);
	ck_assert_int_eq(mutex_lock(&x->ours[0], 0), 0);
	ck_assert_int_eq(mutex_lock(&x->ours[0], UINT64_MAX), -EDEADLK);
	ck_assert(mutex_is_held(&x->ours[0]));
	/* a child has no part in what its parent holds */
	ck_assert_int_eq(run(cannot_unlock, x), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, cannot_unlock_either, x),
			 0);
	ck_assert_int_eq(pthread_join(thread, &result), 0);
	ck_assert_ptr_null(result);
	ck_assert_int_eq(mutex_unlock(&x->ours[0]), 0);
	ck_assert_int_eq(mutex_unlock(&x->ours[0]), -EPERM);
	ck_assert(!mutex_is_held(&x->ours[0]));
	stage_free(x);
}
END_TEST

/* Memory that is mapped twice: the list runs through one of both. */
START_TEST(test_two_mappings)
{
	struct region a, b;
	struct mutex *one, *two, other = { 0 };

	ck_assert_int_eq(region_new(REGION_LOCK, 4096, &a), 0);
	ck_assert_int_eq(region_open(a.fd, REGION_LOCK, 64, &b), 0);
	one = (struct mutex *)(void *)(a.head + 1);
	two = (struct mutex *)(void *)(b.head + 1);
	ck_assert(!mutex_is_held_here(one) && !mutex_is_held_here(two));
	ck_assert_int_eq(mutex_lock(one, 0), 0);
	ck_assert_int_eq(mutex_lock(&other, 0), 0);
	ck_assert(mutex_is_held(two));
	ck_assert(mutex_is_held_here(one) && !mutex_is_held_here(two));
	ck_assert_int_eq(mutex_lock(two, 0), -EDEADLK);
	ck_assert_int_eq(mutex_unlock(two), 0);
	ck_assert(!mutex_is_held(one));
	ck_assert_int_eq(mutex_unlock(&other), 0);
	region_done(&b);
	region_done(&a);
}
END_TEST

/* ---- at every instruction ----------------------------------------------------------------- */

static int take_crosswise(void *arg)
{
	struct stage *x = arg;

	return mutex_lock(&x->ours[0], UINT64_MAX) < 0 ||
	       mutex_lock(&x->ours[1], UINT64_MAX) < 0 ||
	       mutex_unlock(&x->ours[0]) != 0 || mutex_unlock(&x->ours[1]) != 0;
}

static void see_both_free(void *arg)
{
	struct stage *x = arg;

	for (int i = 0; i < 2; i++)
		ck_assert_int_ge(mutex_lock(&x->ours[i], 0), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(mutex_unlock(&x->ours[i]), 0);
}

START_TEST(test_every_instruction)
{
	struct stage *x = stage_new();

	step_through(take_crosswise, see_both_free, x, 480);
	stage_free(x);
}
END_TEST

UNIT_MAIN("mutex", test_any_order, test_many, test_owner, test_two_mappings,
	  test_every_instruction)
