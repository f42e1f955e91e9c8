/* Owners of pools: how they end, what they do with signals and children, and
 * what of their pools may be left: nothing. The harness of the tests sees every
 * process, and fails a test that leaves one. */
#include <pthread.h>
#include <sys/select.h>
#include <sys/wait.h>

#include "tests/unit/pool_rig.h"
#include "workers/base/pure/rng.h"

static int start_busy(int mode, struct reeve_pool **ret_pool)
{
	struct reeve_pool *pool =
		new_pool(mode, (struct reeve_pool_spec){ .processes = 3 });

	for (int i = 0; i < 2; i++)
		if (reeve_pool_apply_async(pool, wait_for_ever, NULL, 0, NULL,
					   NULL) < 0)
			return -1;
	*ret_pool = pool;
	return 0;
}

/* ---- exit() with a busy pool ------------------------------------------------------ */

static void exit_busy(void *arg)
{
	struct reeve_pool *pool;

	exit(start_busy(*(int *)arg, &pool) < 0 ? 1 : 7);
}

START_TEST(test_exit_with_a_busy_pool)
{
	int mode = _i;

	ck_assert_int_eq(unit_fork(exit_busy, &mode, NULL), 7);
}
END_TEST

/* ---- SIGKILL at random moments ------------------------------------------------------ */

/* Makes pools, uses them, ends them, for ever. */
static void live_on(int mode)
{
	for (uint64_t x = 1;; x++) {
		struct reeve_pool *pool = NULL;

		if (start_busy(mode, &pool) < 0)
			_exit(1);
		check_square(pool, x);
		if (x % 2)
			(void)reeve_pool_terminate(pool);
		reeve_pool_free(pool);
	}
}

START_TEST(test_killed_owners)
{
	const int n = getenv("REEVE_SOAK") ? 1000 : 12;
	struct rng rng = { 77 + (uint64_t)_i };

	for (int i = 0; i < n; i++) {
		struct timespec moment = { .tv_sec = 0 };
		pid_t pid = fork();

		if (pid == 0)
			live_on(_i);
		ck_assert_int_gt(pid, 0);
		moment.tv_nsec = (long)rng_below(&rng, 20000000);
		(void)pselect(0, NULL, NULL, NULL, &moment, NULL);
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	}
	unit_count((unsigned long)n, "owners killed");
}
END_TEST

/* ---- hosts with habits ----------------------------------------------------------------- */

static void *reap_everything(void *arg)
{
	const _Atomic bool *is_over = arg;

	while (!*is_over)
		(void)waitpid(-1, NULL, WNOHANG);
	return NULL;
}

/* Uses a pool, loses its keeper, uses it again. */
static void lose_keeper(struct reeve_pool *pool, bool can_replace)
{
	struct reeve_worker_stats worker;
	uint64_t end = clock_monotonic_usec() + LONG_WAIT, x = 6;
	char path[64], line[256];
	FILE *f;
	int keeper = 0;

	check_square(pool, 4);
	while (reeve_pool_workers(pool, &worker, 1) == 0 &&
	       clock_monotonic_usec() < end)
		(void)reeve_pool_dispatch(pool);
	(void)snprintf(path, sizeof(path), "/proc/%d/status", worker.pid);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		(void)sscanf(line, "PPid: %d", &keeper);
	(void)fclose(f);
	ck_assert_int_gt(keeper, 1);
	ck_assert_int_ne(keeper, getpid());
	ck_assert_int_eq(kill(keeper, SIGKILL), 0);
	for (int i = 0; i < 20 && can_replace; i++) {
		struct reeve_outcome o;
		int r = reeve_pool_apply(pool, square, &x, 8, NULL, NULL, &o);

		ck_assert(r == 0 || o.kind == REEVE_CRASHED);
	}
	if (can_replace)
		check_square(pool, 9);
	ck_assert_int_eq(reeve_pool_close(pool), 0);
	ck_assert_int_eq(reeve_pool_join(pool, LONG_WAIT), 0);
	reeve_pool_free(pool);
}

static bool is_forked_with_threads(int mode)
{
	return pool_modes[mode].context == REEVE_CONTEXT_FORK &&
	       pool_modes[mode].service == REEVE_SERVICE_THREAD;
}

START_TEST(test_host_ignores_sigchld)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	const struct sigaction by_default = { .sa_handler = SIG_DFL };

	(void)sigaction(SIGCHLD, &ignore, NULL);
	lose_keeper(new_pool(_i, (struct reeve_pool_spec){ .processes = 2 }),
		    !is_forked_with_threads(_i));
	(void)sigaction(SIGCHLD, &by_default, NULL);
}
END_TEST

/* With a second thread there is no fork context; the pool is older here. */
START_TEST(test_host_reaps_everything)
{
	_Atomic bool is_over = false;
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 2 });
	pthread_t thread;

	ck_assert_int_eq(
		pthread_create(&thread, NULL, reap_everything, &is_over), 0);
	lose_keeper(pool, pool_modes[_i].context != REEVE_CONTEXT_FORK);
	is_over = true;
	(void)pthread_join(thread, NULL);
}
END_TEST

static void *make_a_pool(void *arg)
{
	return new_pool(*(int *)arg, (struct reeve_pool_spec){ 0 });
}

/* The thread that made it is gone, and nothing dies with it. */
START_TEST(test_creating_thread_ended)
{
	struct reeve_worker_stats before, after;
	int mode = _i;
	pthread_t thread;
	void *pool;

	if (pool_modes[_i].context == REEVE_CONTEXT_FORK)
		return; /* not with threads */
	ck_assert_int_eq(pthread_create(&thread, NULL, make_a_pool, &mode), 0);
	(void)pthread_join(thread, &pool);
	check_square(pool, 3);
	(void)reeve_pool_workers(pool, &before, 1);
	for (uint64_t i = 0; i < 100; i++)
		check_square(pool, i);
	(void)reeve_pool_workers(pool, &after, 1);
	ck_assert_int_eq(before.pid, after.pid);
	end_pool(pool);
}
END_TEST

START_TEST(test_fork_context_with_threads)
{
	const struct reeve_pool_spec spec = { .context = REEVE_CONTEXT_FORK };
	_Atomic bool is_over = false;
	struct reeve_pool *pool = NULL;
	pthread_t thread;

	ck_assert_int_eq(
		pthread_create(&thread, NULL, reap_everything, &is_over), 0);
	ck_assert_int_eq(reeve_pool_new(&spec, &pool), -ENOTSUP);
	ck_assert_ptr_null(pool);
	is_over = true;
	(void)pthread_join(thread, NULL);
}
END_TEST

/* ---- children of the owner ---------------------------------------------------------------- */

/* The owner is killed while a child that it forked lives on, with all that it
 * has inherited; tells who the workers are. */
static void own_and_fork(int mode, int fd, int alive)
{
	struct reeve_worker_stats workers[3];
	struct reeve_pool *pool = NULL;
	pid_t pids[3] = { 0 };
	char byte;
	size_t n;

	if (start_busy(mode, &pool) < 0)
		_exit(1);
	check_square(pool, 3);
	if (fork() == 0) { /* until the test closes its end */
		(void)!read(alive, &byte, 1);
		_exit(0);
	}
	n = reeve_pool_workers(pool, workers, 3);
	for (size_t i = 0; i < n && i < 3; i++)
		pids[i] = workers[i].pid;
	(void)!write(fd, pids, sizeof(pids));
	(void)kill(getpid(), SIGKILL);
}

static bool is_gone(pid_t pid)
{
	return pid == 0 || (kill(pid, 0) < 0 && errno == ESRCH);
}

START_TEST(test_child_outlives_owner)
{
	int told[2], alive[2];
	pid_t pid, pids[3];
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;
	bool is_left = true;

	ck_assert_int_eq(pipe2(told, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(alive, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		(void)close(alive[1]);
		own_and_fork(_i, told[1], alive[0]);
	}
	ck_assert_int_eq(read(told[0], pids, sizeof(pids)), sizeof(pids));
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_ne(pids[0], 0);
	while (is_left && clock_monotonic_usec() < end) {
		/* orphans come to us, the subreaper; the child does not end */
		(void)waitpid(-1, NULL, WNOHANG);
		is_left = !is_gone(pids[0]) || !is_gone(pids[1]) ||
			  !is_gone(pids[2]);
	}
	ck_assert(!is_left);
	for (int i = 0; i < 2; i++) {
		(void)close(told[i]);
		(void)close(alive[i]);
	}
	while (waitpid(-1, NULL, 0) > 0)
		continue;
}
END_TEST

/* ---- several pools ------------------------------------------------------------------------ */

START_TEST(test_two_pools)
{
	struct reeve_pool *a = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct reeve_pool *b;
	uint64_t way = END_KILL;

	if (is_forked_with_threads(_i)) { /* a has a thread: b cannot fork */
		end_pool(a);
		return;
	}
	b = new_pool(_i, (struct reeve_pool_spec){ 0 });
	for (uint64_t i = 0; i < 20; i++) {
		check_square(a, i);
		ck_assert_int_eq(reeve_pool_apply(b, end_somehow, &way, 8, NULL,
						  NULL, NULL),
				 -EPIPE);
	}
	end_pool(a);
	end_pool(b);
}
END_TEST

/* A task that uses a pool of its own, and leaves it behind if told so. */
static int use_inner_pool(void *input, size_t size, struct reeve_reply *reply)
{
	const struct reeve_pool_spec spec = { .processes = 2,
					      .context = REEVE_CONTEXT_FORK };
	struct reeve_pool *pool = NULL;
	uint64_t x, y = 0;
	int r = reeve_pool_new(&spec, &pool);

	memcpy(&x, input, size);
	if (r == 0)
		r = reeve_pool_apply(pool, square, &x, 8, &y, &(size_t){ 8 },
				     NULL);
	if (r < 0)
		return reeve_reply_error(reply, r, "inner pool");
	if (x % 2) {
		(void)reeve_pool_apply_async(pool, wait_for_ever, NULL, 0, NULL,
					     NULL);
		(void)kill(getpid(), SIGKILL);
	}
	(void)reeve_pool_free(pool);
	return reeve_reply_set(reply, &y, 8);
}

START_TEST(test_pool_in_a_worker)
{
	struct reeve_pool *pool;

	if (pool_modes[_i].context != REEVE_CONTEXT_FORK)
		return; /* the function is not in the table */
	pool = new_pool(_i, (struct reeve_pool_spec){ .processes = 2 });
	for (uint64_t x = 0; x < 10; x++) {
		uint64_t y = 0;
		int r = reeve_pool_apply(pool, use_inner_pool, &x, 8, &y,
					 &(size_t){ 8 }, NULL);

		ck_assert_int_eq(r, x % 2 ? -EPIPE : 0);
		ck_assert_uint_eq(y, x % 2 ? 0 : x * x);
	}
	end_pool(pool);
}
END_TEST

POOL_MAIN("pool_owners", test_exit_with_a_busy_pool, test_killed_owners,
	  test_host_ignores_sigchld, test_host_reaps_everything,
	  test_creating_thread_ended, test_fork_context_with_threads,
	  test_child_outlives_owner, test_two_pools, test_pool_in_a_worker)
