/* No descriptors, no memory, no processes: a pool that cannot be made says so and
 * leaves nothing; one that has lost workers meanwhile has them again when there is
 * room again. Limits are set in children of the tests. */
#include <dirent.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/unit/pool_rig.h"
#include "workers/pool/pool.h"

#ifdef __SANITIZE_ADDRESS__
#define IS_SANITIZED 1
#else
#define IS_SANITIZED 0
#endif

#define NOBODY 65534

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n;
}

static void limit(int resource, rlim_t soft, rlim_t hard)
{
	const struct rlimit l = { soft, hard };

	if (setrlimit((__rlimit_resource_t)resource, &l) < 0)
		_exit(90);
}

/* Returns the error of making a pool and of its first task. What was made is
 * ended. */
static int try_pool(int mode, struct reeve_outcome *o)
{
	const struct reeve_pool_spec spec = {
		.processes = 2,
		.context = pool_modes[mode].context,
		.service = pool_modes[mode].service,
	};
	struct reeve_pool *pool = NULL;
	uint64_t x = 5;
	int r = reeve_pool_new(&spec, &pool);

	if (r < 0)
		return r;
	r = reeve_pool_apply(pool, square, &x, 8, NULL, NULL, o);
	reeve_pool_free(pool);
	return r;
}

/* ---- descriptors -------------------------------------------------------------- */

/* From none to enough of them, also for the keeper. */
static void try_few_fds(void *arg)
{
	int mode = *(int *)arg, n_refused = 0, n_told = 0, n_done = 0;
	struct reeve_outcome o = { .kind = REEVE_PENDING };
	int before;

	for (rlim_t n = 0; n < 60; n++) {
		int r;

		limit(RLIMIT_NOFILE, 64, 1024);
		before = count_fds();
		limit(RLIMIT_NOFILE, 4 + n, 1024);
		r = try_pool(mode, &o);
		limit(RLIMIT_NOFILE, 64, 1024);
		if (r == -EMFILE)
			n_refused++;
		else if (r != 0)
			_exit(1);
		else
			n_done++;
		if (count_fds() != before)
			_exit(2);
		if (waitpid(-1, NULL, WNOHANG) >= 0)
			_exit(3);
	}
	/* the keeper cannot raise its limit: all are told why */
	limit(RLIMIT_NOFILE, 30, 30);
	o = (struct reeve_outcome){ .kind = REEVE_PENDING };
	n_told = try_pool(mode, &o) == -ESHUTDOWN;
	if (!n_refused || !n_done || !n_told)
		_exit(4);
	/* a thread may know it before there is a task to be told of */
	_exit(o.kind == REEVE_PENDING ||
			      strstr(o.message, "Too many open files")
		      ? 0
		      : 5);
}

START_TEST(test_few_fds)
{
	char *output = NULL;
	int mode = _i;

	if (IS_SANITIZED)
		return; /* its reports need descriptors as well */
	ck_assert_int_eq(unit_fork(try_few_fds, &mode, &output), 0);
	free(output);
}
END_TEST

/* ---- memory --------------------------------------------------------------------- */

static void try_little_memory(void *arg)
{
	const rlim_t step = (rlim_t)32 << 20, most = (rlim_t)3 << 30;
	int mode = *(int *)arg, n_refused = 0, n_done = 0;
	struct reeve_outcome o;

	for (rlim_t n = step; n < most; n += step) {
		int before = count_fds(), r;

		limit(RLIMIT_AS, n, RLIM_INFINITY);
		r = try_pool(mode, &o);
		limit(RLIMIT_AS, RLIM_INFINITY, RLIM_INFINITY);
		if (r == -ENOMEM || r == -EAGAIN || r == -ESHUTDOWN)
			n_refused++;
		else if (r != 0)
			_exit(1);
		n_done += r == 0;
		if (count_fds() != before)
			_exit(2);
		if (waitpid(-1, NULL, WNOHANG) >= 0)
			_exit(3);
	}
	_exit(n_refused && n_done ? 0 : 4);
}

START_TEST(test_little_memory)
{
	int mode = _i;

	if (IS_SANITIZED)
		return; /* it needs terabytes of address space */
	ck_assert_int_eq(unit_fork(try_little_memory, &mode, NULL), 0);
}
END_TEST

/* ---- processes -------------------------------------------------------------------- */

/* A user who has no other process: their number is limited by user. */
static void become_nobody(void)
{
	uid_t uid = NOBODY + (uid_t)getpid();

	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		_exit(91);
}

/* Who has dropped privileges may not look at itself in /proc. */
static void try_as_nobody(void *arg)
{
	struct reeve_outcome o;

	become_nobody();
	_exit(try_pool(*(int *)arg, &o) == 0 ? 0 : 1);
}

START_TEST(test_privileges_dropped)
{
	int mode = _i;

	if (getuid() != 0 || pool_modes[_i].context != REEVE_CONTEXT_FORK)
		return; /* nobody may execute a program in our directory */
	ck_assert_int_eq(unit_fork(try_as_nobody, &mode, NULL), 0);
}
END_TEST

static bool has_live(struct reeve_pool *pool, unsigned n)
{
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;
	struct reeve_pool_stats stats = { .n_live = 0 };

	while (stats.n_live != n && clock_monotonic_usec() < end) {
		(void)reeve_pool_dispatch(pool);
		reeve_pool_stats(pool, &stats);
	}
	return stats.n_live == n;
}

/* Returns what it was. */
static rlim_t limit_keeper(const struct reeve_pool *pool, int resource,
			   rlim_t n)
{
	struct rlimit l;
	rlim_t before;

	if (prlimit(pool->keeper_pid, (__rlimit_resource_t)resource, NULL, &l) <
	    0)
		_exit(92);
	before = l.rlim_cur;
	l.rlim_cur = n;
	if (prlimit(pool->keeper_pid, (__rlimit_resource_t)resource, &l, NULL) <
	    0)
		_exit(93);
	return before;
}

static void ask(struct reeve_pool *pool, uint64_t x)
{
	uint64_t y = 0;

	if (reeve_pool_apply(pool, square, &x, 8, &y, &(size_t){ 8 }, NULL) !=
		    0 ||
	    y != x * x)
		_exit(5);
}

/* 0: no process at all. Then room for the keeper and one worker; then for all. */
static void try_few_processes(void *arg)
{
	const struct reeve_pool_spec spec = {
		.processes = 3,
		.service = pool_modes[*(int *)arg].service,
		.context = REEVE_CONTEXT_FORK,
	};
	struct reeve_pool *pool = NULL;
	struct reeve_pool_stats stats;
	int before = count_fds();

	become_nobody();
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	limit(RLIMIT_NPROC, 1, 100);
	if (reeve_pool_new(&spec, &pool) != -EAGAIN || pool ||
	    count_fds() != before)
		_exit(1);
	limit(RLIMIT_NPROC, 3, 100);
	if (reeve_pool_new(&spec, &pool) != 0)
		_exit(2);
	for (uint64_t i = 0; i < 10; i++)
		ask(pool, i);
	reeve_pool_stats(pool, &stats);
	if (stats.n_live < 1 || stats.n_live > 2 || stats.n_start_failures == 0)
		_exit(3);
	(void)limit_keeper(pool, RLIMIT_NPROC, 100);
	if (!has_live(pool, 3))
		_exit(4);
	ask(pool, 11);
	reeve_pool_free(pool);
	_exit(0);
}

START_TEST(test_few_processes)
{
	int mode = _i;

	/* A service thread counts as well, and might find no place itself. */
	if (getuid() != 0 || pool_modes[_i].context != REEVE_CONTEXT_FORK ||
	    pool_modes[_i].service == REEVE_SERVICE_THREAD)
		return;
	ck_assert_int_eq(unit_fork(try_few_processes, &mode, NULL), 0);
}
END_TEST

/* Nothing to start a worker with, for a while: what waits is done afterwards. */
START_TEST(test_replacement_without_fds)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 2 });
	struct reeve_worker_stats workers[2];
	uint64_t x = 9, y = 0;
	struct reeve_result *r;
	struct reeve_pool_stats stats = { .n_live = 0 };
	rlim_t before;

	ck_assert(has_live(pool, 2));
	check_square(pool, 2);
	ck_assert_uint_eq(reeve_pool_workers(pool, workers, 2), 2);
	before = limit_keeper(pool, RLIMIT_NOFILE, 5);
	ck_assert_int_eq(kill(workers[0].pid, SIGKILL), 0);
	ck_assert_int_eq(kill(workers[1].pid, SIGKILL), 0);
	ck_assert(has_live(pool, 0));
	ck_assert_int_eq(reeve_pool_apply_async(pool, square, &x, 8, NULL, &r),
			 0);
	while (stats.n_start_failures < 3)
		reeve_pool_stats(pool, &stats);
	ck_assert_int_eq(reeve_result_ready(r), 0);
	(void)limit_keeper(pool, RLIMIT_NOFILE, before);
	ck_assert_int_eq(reeve_result_get(r, LONG_WAIT, &y, 8, NULL), 0);
	ck_assert_uint_eq(y, 81);
	reeve_result_unref(r);
	end_pool(pool);
}
END_TEST

POOL_MAIN("pool_exhaustion", test_few_fds, test_little_memory,
	  test_privileges_dropped, test_few_processes,
	  test_replacement_without_fds)
