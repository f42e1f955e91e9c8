/* Shared arrays and values: types, elements, the lock and its dead holders. */
#include <reeve/shared.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "tests/unit/step_rig.h"
#include "workers/base/sys/clock.h"

static reeve_array *new_array(enum reeve_type type, size_t n, bool is_raw)
{
	struct reeve_array_spec spec = { .type = type,
					 .n_items = n,
					 .is_raw = is_raw };
	reeve_array *a = NULL;

	ck_assert_int_eq(reeve_array_new(&spec, &a), 0);
	return a;
}

static int end_of(pid_t pid)
{
	int status = 0;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- elements ------------------------------------------------------------------ */

static const struct {
	enum reeve_type type;
	size_t size, align;
	bool is_integer, is_signed;
} types[] = {
#define ROW(name, c, is_integer, is_signed)                                    \
	{                                                                      \
		REEVE_##name, sizeof(c), _Alignof(c), is_integer, is_signed    \
	}
	ROW(BOOL, bool, false, false),
	ROW(CHAR, char, true, CHAR_MIN < 0),
	ROW(SCHAR, signed char, true, true),
	ROW(UCHAR, unsigned char, true, false),
	ROW(SHORT, short, true, true),
	ROW(USHORT, unsigned short, true, false),
	ROW(INT, int, true, true),
	ROW(UINT, unsigned, true, false),
	ROW(LONG, long, true, true),
	ROW(ULONG, unsigned long, true, false),
	ROW(LLONG, long long, true, true),
	ROW(ULLONG, unsigned long long, true, false),
	ROW(FLOAT, float, false, true),
	ROW(DOUBLE, double, false, true),
	ROW(LDOUBLE, long double, false, true),
};

/* _i: with a lock, and raw */
START_TEST(test_types)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		reeve_array *a = new_array(types[i].type, 5, _i != 0);
		char in[16] = "0123456789abcde", out[17] = "";
		int64_t sum = 7;
		int r;

		ck_assert_uint_eq(reeve_array_item_size(a), types[i].size);
		ck_assert_uint_eq(reeve_array_length(a), 5);
		ck_assert_int_eq(reeve_array_type(a), types[i].type);
		ck_assert_uint_eq(
			(uintptr_t)reeve_array_data(a) % types[i].align, 0);
		ck_assert_int_eq(reeve_array_set(a, 3, in), 0);
		/* to where nothing is aligned */
		ck_assert_int_eq(reeve_array_get(a, 3, out + 1), 0);
		ck_assert(memcmp(in, out + 1, types[i].size) == 0);
		ck_assert(
			memcmp((char *)reeve_array_data(a) + 3 * types[i].size,
			       in, types[i].size) == 0);
		r = reeve_array_add(a, 4, -1, &sum);
		ck_assert_int_eq(r, types[i].is_integer ? 0 : -EOPNOTSUPP);
		if (r < 0)
			ck_assert_int_eq(sum, 7);
		else if (types[i].is_signed || types[i].size == 8)
			ck_assert_int_eq(sum, -1);
		else
			ck_assert_int_eq(sum,
					 (INT64_C(1) << types[i].size * 8) - 1);
		ck_assert_int_eq(reeve_array_get(a, 5, out), -ERANGE);
		ck_assert_int_eq(reeve_array_set(a, 5, out), -ERANGE);
		reeve_array_free(a);
	}
}
END_TEST

START_TEST(test_spec)
{
	struct reeve_array_spec spec = { .n_items = 3, .item_size_bytes = 12 };
	reeve_array *a = NULL;
	reeve_value *v = NULL;

	ck_assert_int_eq(reeve_array_new(&spec, &a), 0);
	ck_assert_uint_eq(reeve_array_item_size(a), 12);
	reeve_array_free(a);
	a = NULL;
	spec.type = REEVE_INT; /* has a size of its own */
	ck_assert_int_eq(reeve_array_new(&spec, &a), -EINVAL);
	spec.type = (enum reeve_type)(REEVE_LDOUBLE + 1);
	ck_assert_int_eq(reeve_array_new(&spec, &a), -EINVAL);
	spec = (struct reeve_array_spec){ .n_items = 0 };
	ck_assert_int_eq(reeve_array_new(&spec, &a), -EINVAL);
	spec.n_items = REEVE_ARRAY_BYTES_MAX + 1;
	ck_assert_int_eq(reeve_array_new(&spec, &a), -EFBIG);
	spec.n_items = SIZE_MAX;
	ck_assert_int_eq(reeve_array_new(&spec, &a), -EFBIG);
	ck_assert_int_eq(reeve_array_new(NULL, &a), -EINVAL);
	ck_assert_ptr_null(a);
	ck_assert_int_eq(reeve_value_new(REEVE_BYTES, false, &v), -EINVAL);
	ck_assert_int_eq(reeve_value_new(REEVE_INT, false, NULL), -EINVAL);
	ck_assert_int_eq(reeve_array_acquire(NULL, 0), -EINVAL);
	ck_assert_int_eq(reeve_array_release(NULL), -EINVAL);
	ck_assert_int_eq(reeve_value_get(NULL, &spec), -EINVAL);
	ck_assert_int_eq(reeve_value_set(NULL, &spec), -EINVAL);
	ck_assert_int_eq(reeve_value_add(NULL, 1, NULL), -EINVAL);
	ck_assert_int_eq(reeve_value_fd(NULL), -EINVAL);
	ck_assert_ptr_null(reeve_value_data(NULL));
	ck_assert_ptr_null(reeve_value_free(NULL));
	ck_assert_ptr_null(reeve_array_free(NULL));
}
END_TEST

/* Memory is used when touched. */
START_TEST(test_gigabytes)
{
	size_t n = (size_t)3 << 30;
	reeve_array *a = new_array(REEVE_UCHAR, n, true);
	unsigned char *data = reeve_array_data(a), c = 9;

	data[0] = 7;
	ck_assert_int_eq(reeve_array_set(a, n - 1, &c), 0);
	ck_assert_uint_eq(data[n - 1], 9);
	ck_assert_uint_eq(data[n / 2], 0);
	reeve_array_free(a);
}
END_TEST

static int add_many(reeve_value *v)
{
	int r = 0;

	for (int i = 0; i < 100000; i++)
		r |= reeve_value_add(v, 1, NULL);
	return r != 0;
}

START_TEST(test_add_from_many)
{
	reeve_value *v = NULL;
	int64_t sum = 0;
	pid_t pids[3];

	ck_assert_int_eq(reeve_value_new(REEVE_LONG, _i != 0, &v), 0);
	for (int i = 0; i < 3; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(add_many(v));
	}
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	ck_assert_int_eq(reeve_value_get(v, &sum), 0);
	ck_assert_int_eq(sum, 300000);
	reeve_value_free(v);
}
END_TEST

/* ---- the lock --------------------------------------------------------------------- */

static int try_release(reeve_value *v)
{
	return reeve_value_release(v) != -EPERM ||
	       reeve_value_acquire(v, 0) != -EAGAIN ||
	       reeve_value_acquire(v, 10000) != -ETIMEDOUT;
}

START_TEST(test_lock)
{
	reeve_value *v = NULL;
	pid_t pid;

	ck_assert_int_eq(reeve_value_new(REEVE_INT, true, &v), 0);
	ck_assert_int_eq(reeve_value_acquire(v, 0), -EOPNOTSUPP);
	ck_assert_int_eq(reeve_value_release(v), -EOPNOTSUPP);
	reeve_value_free(v);
	ck_assert_int_eq(reeve_value_new(REEVE_INT, false, &v), 0);
	ck_assert_int_eq(reeve_value_release(v), -EPERM);
	ck_assert_int_eq(reeve_value_acquire(v, REEVE_FOREVER), 0);
	ck_assert_int_eq(reeve_value_acquire(v, 0), 0); /* nested */
	ck_assert_int_eq(reeve_value_add(v, 1, NULL), 0);
	ck_assert_int_eq(reeve_value_release(v), 0);
	pid = fork();
	if (pid == 0)
		_exit(try_release(v));
	ck_assert_int_eq(end_of(pid), 0);
	ck_assert_int_eq(reeve_value_release(v), 0);
	ck_assert_int_eq(reeve_value_release(v), -EPERM);
	reeve_value_free(v);
}
END_TEST

static void die_with(reeve_value *v)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)reeve_value_acquire(v, REEVE_FOREVER);
		(void)reeve_value_acquire(v, REEVE_FOREVER); /* nested */
		(void)raise(SIGKILL);
	}
	ck_assert_int_eq(end_of(pid), -SIGKILL);
}

/* Who frees the handle by which it holds the lock is as good as dead. */
START_TEST(test_freed_while_held)
{
	reeve_value *v = NULL, *again = NULL;

	ck_assert_int_eq(reeve_value_new(REEVE_INT, false, &v), 0);
	ck_assert_int_eq(reeve_value_open(reeve_value_fd(v), &again), 0);
	ck_assert_int_eq(reeve_value_acquire(again, 0), 0);
	ck_assert_int_eq(reeve_value_acquire(again, 0), 0);
	reeve_value_free(again);
	ck_assert_int_eq(reeve_value_acquire(v, 0), -EOWNERDEAD);
	ck_assert_int_eq(reeve_value_open(reeve_value_fd(v), &again), 0);
	reeve_value_free(again); /* not what it holds */
	ck_assert_int_eq(reeve_value_release(v), 0);
	ck_assert_int_eq(reeve_value_release(v), -EPERM);
	reeve_value_free(v);
}
END_TEST

START_TEST(test_dead_holder)
{
	reeve_value *v = NULL;
	int n = 0;

	ck_assert_int_eq(reeve_value_new(REEVE_INT, false, &v), 0);
	die_with(v);
	ck_assert_int_eq(reeve_value_acquire(v, 0), -EOWNERDEAD);
	ck_assert_int_eq(reeve_value_release(v), 0);
	ck_assert_int_eq(reeve_value_acquire(v, 0), 0); /* told once */
	ck_assert_int_eq(reeve_value_release(v), 0);
	/* calls that come in between do not take the message away */
	die_with(v);
	ck_assert_int_eq(reeve_value_add(v, 1, NULL), 0);
	ck_assert_int_eq(reeve_value_get(v, &n), 0);
	ck_assert_int_eq(n, 1);
	ck_assert_int_eq(reeve_value_acquire(v, 0), -EOWNERDEAD);
	/* nor does one who dies of it */
	ck_assert_int_eq(reeve_value_release(v), 0);
	die_with(v);
	die_with(v);
	ck_assert_int_eq(reeve_value_acquire(v, 0), -EOWNERDEAD);
	ck_assert_int_eq(reeve_value_release(v), 0);
	reeve_value_free(v);
}
END_TEST

/* Killed at each instruction of acquire, two changes, and release: who comes next
 * sees both or is told. */
static int change_both(reeve_array *a)
{
	volatile int *data = reeve_array_data(a);

	(void)reeve_array_acquire(a, REEVE_FOREVER);
	data[0]++;
	data[1]++;
	(void)reeve_array_release(a);
	return 0;
}

static bool killed_at(reeve_array *a, long n)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		(void)raise(SIGSTOP);
		_exit(change_both(a));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	for (; n > 0 && WIFSTOPPED(status); n--)
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0 ||
		    waitpid(pid, &status, 0) != pid)
			ck_abort_msg("cannot step");
	if (!WIFSTOPPED(status))
		return false;
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	while (WIFSTOPPED(status))
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return true;
}

START_TEST(test_killed_at_each_step)
{
	reeve_array *a = new_array(REEVE_INT, 2, false);
	long stride = getenv("REEVE_SOAK") ? 1 : MAX(5, STEP_FACTOR), n = 0;
	int *data = reeve_array_data(a), n_told = 0, r;
	uint64_t begin;

	while (killed_at(a, n)) {
		begin = clock_monotonic_usec();
		r = reeve_array_acquire(a, REEVE_FOREVER);
		ck_assert_uint_lt(clock_monotonic_usec() - begin, 100000);
		if (r == -EOWNERDEAD)
			n_told++;
		else
			ck_assert_int_eq(data[0], data[1]);
		data[1] = data[0];
		ck_assert_int_eq(reeve_array_release(a), 0);
		n += stride;
	}
	ck_assert_int_gt(n_told, 0);
	unit_count((unsigned long)(n / stride), "kills");
	reeve_array_free(a);
}
END_TEST

/* ---- at random ----------------------------------------------------------------------- */

#define CHANGERS 3

/* Two elements that are the same unless a holder died, and a value to which all
 * add; what they have done, each says for itself. */
struct stage {
	reeve_array *both;
	reeve_value *sum;
	_Atomic uint32_t turns, n_wrong, stop;
	_Atomic uint64_t n_added;
};

static int change_on(struct stage *x)
{
	volatile int *data = reeve_array_data(x->both);

	while (!atomic_load(&x->stop)) {
		int r = reeve_array_acquire(x->both, REEVE_FOREVER);

		if (r != 0 && r != -EOWNERDEAD)
			return 1;
		if (r == 0 && data[0] != data[1])
			atomic_fetch_add(&x->n_wrong, 1);
		data[1] = data[0];
		data[0]++;
		data[1]++;
		if (reeve_array_release(x->both) < 0 ||
		    reeve_value_add(x->sum, 3, NULL) < 0)
			return 2;
		atomic_fetch_add(&x->n_added, 1);
		atomic_fetch_add(&x->turns, 1);
	}
	return 0;
}

static pid_t start_changing(struct stage *x)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(change_on(x));
	ck_assert_int_gt(pid, 0);
	return pid;
}

static void await_turns(struct stage *x, uint32_t n)
{
	uint64_t last = clock_monotonic_usec() + 8000000;
	uint32_t begin = atomic_load(&x->turns);

	while (atomic_load(&x->turns) - begin < n)
		if (clock_monotonic_usec() > last)
			ck_abort_msg("nobody goes on after %u turns", begin);
}

/* Every add that was told was done, and of each who was killed at most one more. */
static void check_sum(struct stage *x, unsigned long n_kills)
{
	uint64_t least = 3 * atomic_load(&x->n_added);
	uint64_t sum = 0;

	ck_assert_uint_eq(atomic_load(&x->n_wrong), 0);
	ck_assert_int_eq(reeve_value_get(x->sum, &sum), 0);
	ck_assert_uint_ge(sum, least);
	ck_assert_uint_le(sum, least + 3 * n_kills);
	ck_assert_uint_eq(sum % 3, 0);
	unit_count(n_kills, "kills");
	unit_count(atomic_load(&x->turns), "hand-overs");
}

START_TEST(test_random_kills)
{
	unsigned long n = getenv("REEVE_SOAK") ? 20000 : 60;
	struct stage *x = mmap(NULL, sizeof(*x), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[CHANGERS];

	ck_assert_ptr_ne(x, MAP_FAILED);
	x->both = new_array(REEVE_INT, 2, false);
	ck_assert_int_eq(reeve_value_new(REEVE_ULONG, _i != 0, &x->sum), 0);
	for (int i = 0; i < CHANGERS; i++)
		pids[i] = start_changing(x);
	for (unsigned long i = 0; i < n; i++) {
		await_turns(x, 1 + i % 97);
		ck_assert_int_eq(kill(pids[i % CHANGERS], SIGKILL), 0);
		ck_assert_int_eq(end_of(pids[i % CHANGERS]), -SIGKILL);
		pids[i % CHANGERS] = start_changing(x);
	}
	atomic_store(&x->stop, 1);
	for (int i = 0; i < CHANGERS; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	check_sum(x, n);
	reeve_array_free(x->both);
	reeve_value_free(x->sum);
	(void)munmap(x, sizeof(*x));
}
END_TEST

/* ---- opening ------------------------------------------------------------------------- */

START_TEST(test_open)
{
	reeve_array *a = new_array(REEVE_DOUBLE, 10, false), *b = NULL;
	reeve_value *v = NULL, *w = NULL;
	uint64_t *words, kept;
	double d = 0.5;

	ck_assert_int_eq(reeve_array_open(reeve_array_fd(a), &b), 0);
	ck_assert_int_eq(reeve_array_set(a, 9, &d), 0);
	ck_assert(((double *)reeve_array_data(b))[9] == 0.5);
	ck_assert_uint_eq(reeve_array_length(b), 10);
	ck_assert_int_eq(reeve_array_acquire(b, 0), 0);
	ck_assert_int_eq(reeve_array_release(b), 0);
	reeve_array_free(b);
	b = NULL;
	ck_assert_int_eq(reeve_value_open(reeve_array_fd(a), &v), -EBADMSG);
	ck_assert_int_eq(reeve_array_open(-1, &b), -EBADF);
	ck_assert_int_eq(reeve_array_open(0, &b), -EBADMSG);
	/* whatever stands in its first words, it is not believed */
	words = (uint64_t *)((char *)reeve_array_data(a) - 4096);
	for (int i = 2; i < 5; i++) {
		kept = words[i];
		words[i] = UINT64_MAX - 1;
		if (reeve_array_open(reeve_array_fd(a), &b) == 0)
			ck_abort_msg("word %d was believed", i);
		words[i] = kept;
	}
	ck_assert_ptr_null(b);
	reeve_array_free(a);
	ck_assert_int_eq(reeve_value_new(REEVE_INT, false, &v), 0);
	ck_assert_int_eq(reeve_value_open(reeve_value_fd(v), &w), 0);
	*(int *)reeve_value_data(w) = 5;
	ck_assert_int_eq(*(int *)reeve_value_data(v), 5);
	reeve_value_free(v);
	reeve_value_free(w);
}
END_TEST

UNIT_LOOP_MAIN("array", 2, test_types, test_spec, test_gigabytes,
	       test_add_from_many, test_lock, test_freed_while_held,
	       test_dead_holder, test_killed_at_each_step, test_random_kills,
	       test_open)
