/* A pool that loses its keeper, or whose keeper gives up. */
#include <sys/wait.h>

#include "tests/unit/pool_rig.h"
#include "workers/base/sys/fd.h"
#include "workers/pool/pool.h"

START_TEST(test_keeper_killed)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 2 });
	bool is_forked_by_threads =
		pool_modes[_i].context == REEVE_CONTEXT_FORK &&
		pool_modes[_i].service == REEVE_SERVICE_THREAD;
	struct reeve_result *running;
	struct reeve_outcome o;
	uint64_t x = 8;
	int r;

	check_square(pool, 5);
	ck_assert_int_eq(reeve_pool_apply_async(pool, wait_for_ever, NULL, 0,
						NULL, &running),
			 0);
	ck_assert_int_eq(reeve_result_wait(running, 10000), -ETIMEDOUT);
	ck_assert_int_eq(kill(pool->keeper_pid, SIGKILL), 0);
	ck_assert_int_eq(reeve_result_wait(running, LONG_WAIT), 0);
	reeve_result_outcome(running, &o);
	ck_assert_int_eq(o.kind, REEVE_CRASHED);
	ck_assert_int_eq(o.exit.state, REEVE_EXIT_UNKNOWN);
	reeve_result_unref(running);
	r = reeve_pool_apply(pool, square, &x, 8, NULL, NULL, &o);
	/* Who may not fork any more says so; nobody waits. */
	ck_assert_int_eq(r, is_forked_by_threads ? -ESHUTDOWN : 0);
	ck_assert_int_eq(reeve_pool_close(pool), 0);
	ck_assert_int_eq(reeve_pool_join(pool, LONG_WAIT), 0);
	reeve_pool_free(pool);
}
END_TEST

/* By default a pool with a thread is of a kind that can have another keeper. */
START_TEST(test_keeper_of_thread_pool_killed)
{
	const struct reeve_pool_spec spec = { .processes = 2,
					      .service = REEVE_SERVICE_THREAD };
	struct reeve_pool *pool;
	pid_t keeper;

	if (_i > 0)
		return;
	ck_assert_int_eq(reeve_pool_new(&spec, &pool), 0);
	check_square(pool, 5);
	keeper = pool->keeper_pid;
	ck_assert_int_eq(kill(keeper, SIGKILL), 0);
	while (pool->n_keepers == 1) {
		struct reeve_outcome o;
		uint64_t x = 6;
		int r = reeve_pool_apply(pool, square, &x, 8, NULL, NULL, &o);

		ck_assert(r == 0 || o.kind == REEVE_CRASHED);
	}
	ck_assert_int_ne(pool->keeper_pid, keeper);
	end_pool(pool);
}
END_TEST

/* Keepers that die at once, and no task is done: then it is enough, also for a
 * pool that has done something before. */
START_TEST(test_keepers_that_die_in_vain)
{
	struct reeve_pool *pool;
	int n = 0;

	if (pool_modes[_i].context != REEVE_CONTEXT_FORK ||
	    pool_modes[_i].service != REEVE_SERVICE_CALLER)
		return;
	pool = new_pool(_i, (struct reeve_pool_spec){ .processes = 1 });
	check_square(pool, 5);
	for (; n < 20 && pool->keeper_pid > 0; n++) {
		ck_assert_int_eq(kill(pool->keeper_pid, SIGKILL), 0);
		ck_assert(fd_wait_readable(pool->keeper_pidfd, 10000));
		ck_assert_int_eq(reeve_pool_dispatch(pool), 0);
	}
	ck_assert_int_eq(n, 6); /* the one that was of use, then five */
	ck_assert_int_eq(reeve_pool_apply(pool, square, &n, sizeof(n), NULL,
					  NULL, NULL),
			 -ESHUTDOWN);
	reeve_pool_free(pool);
}
END_TEST

/* Long after the keeper and its workers died a number may be another's. */
START_TEST(test_stranger_with_the_number_of_a_worker)
{
	struct reeve_pool *pool;
	pid_t stranger, keeper;
	int status;

	if (pool_modes[_i].context != REEVE_CONTEXT_FORK ||
	    pool_modes[_i].service != REEVE_SERVICE_CALLER)
		return;
	pool = new_pool(_i, (struct reeve_pool_spec){ .processes = 1 });
	check_square(pool, 5);
	stranger = fork();
	if (stranger == 0)
		for (;;)
			pause();
	ck_assert_int_gt(stranger, 0);
	ck_assert_int_eq(kill(pool->keeper_pid, SIGKILL), 0);
	ck_assert_int_eq(fd_wait_readable(pool->keeper_pidfd, 10000), 1);
	for (unsigned i = 0; i < pool->n_seats; i++) {
		struct seat *seat = &pool->board->seats[i];

		seat->pid = stranger;
		seat->started_usec = clock_monotonic_usec() - LONG_WAIT;
	}
	check_square(pool, 6); /* by the next keeper's */
	/* The child has an fd of the dead keeper, which is ready for ever. */
	keeper = pool->keeper_pid;
	ck_assert_int_ge(reeve_pool_dispatch(pool), 0);
	ck_assert_int_eq(pool->keeper_pid, keeper);
	ck_assert_int_eq(waitpid(stranger, &status, WNOHANG), 0);
	(void)kill(stranger, SIGKILL);
	ck_assert_int_eq(waitpid(stranger, &status, 0), stranger);
	end_pool(pool);
}
END_TEST

/* The first to start may, the others not. */
static int init_once(void *argument, size_t size _unused_)
{
	atomic_int *n_starts;

	memcpy(&n_starts, argument, sizeof(n_starts));
	return atomic_fetch_add(n_starts, 1) < 2 ? 0 : -EACCES;
}

static void note_whether_dead(struct reeve_result *result _unused_,
			      void *userdata)
{
	pid_t *pid = userdata;

	if (kill(*pid, 0) < 0 && errno == ESRCH)
		*pid = 0;
}

/* No other can be started: who is busy still is not waited for, but ended; then its
 * task is told. */
START_TEST(test_given_up_beside_a_busy_worker)
{
	atomic_int *n_starts = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const uint64_t way = END_KILL;
	struct reeve_result *running;
	struct reeve_outcome o;
	struct reeve_worker_stats workers[2];
	struct reeve_pool *pool;
	pid_t pid = 0;
	const struct reeve_apply_spec callbacks = {
		.error_callback = note_whether_dead,
		.userdata = &pid,
	};

	if (pool_modes[_i].context != REEVE_CONTEXT_FORK)
		return;
	pool = new_pool(_i, (struct reeve_pool_spec){
				    .processes = 2,
				    .initializer = init_once,
				    .initializer_argument = &n_starts,
				    .initializer_size = sizeof(n_starts),
				    .restart_limit = 1,
			    });
	ck_assert_int_eq(reeve_pool_apply_async(pool, wait_for_ever, NULL, 0,
						&callbacks, &running),
			 0);
	wait_until_running(pool, 1);
	for (size_t i = reeve_pool_workers(pool, workers, 2); i > 0; i--)
		pid = workers[i - 1].is_busy ? workers[i - 1].pid : pid;
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(reeve_pool_apply(pool, end_somehow, &way, 8, NULL,
					  NULL, &o),
			 -EPIPE);
	ck_assert_int_eq(reeve_result_wait(running, LONG_WAIT), 0);
	reeve_result_outcome(running, &o);
	ck_assert_int_eq(o.kind, REEVE_CANCELLED);
	ck_assert_int_eq(o.error, -ESHUTDOWN);
	reeve_result_unref(running);
	ck_assert_int_eq(reeve_pool_close(pool), 0);
	ck_assert_int_eq(reeve_pool_join(pool, LONG_WAIT), 0);
	ck_assert_int_eq(pid, 0); /* it was called, and found it dead */
	reeve_pool_free(pool);
	(void)munmap(n_starts, 4096);
}
END_TEST

POOL_MAIN("pool_lost_keeper", test_keeper_killed,
	  test_keeper_of_thread_pool_killed, test_keepers_that_die_in_vain,
	  test_stranger_with_the_number_of_a_worker,
	  test_given_up_beside_a_busy_worker)
