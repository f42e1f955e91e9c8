/* Joinable queues: join waits for all that is unfinished, but not for the dead. */
#include "tests/unit/queue_rig.h"
#include "tests/unit/step_rig.h"

#include <sys/ptrace.h>

static reeve_queue *new_joinable(void)
{
	struct reeve_queue_spec spec = { .is_joinable = true };
	reeve_queue *q = NULL;

	ck_assert_int_eq(reeve_queue_new(&spec, &q), 0);
	return q;
}

START_TEST(test_task_done)
{
	reeve_queue *q = new_joinable(), *plain = new_queue(0, 0);
	size_t n_lost = 9;

	ck_assert_int_eq(reeve_queue_join(q, 0, &n_lost), 0);
	ck_assert_uint_eq(n_lost, 0);
	put_number(q, 1);
	put_number(q, 2);
	ck_assert_int_eq(reeve_queue_task_done(q), -EPERM);
	ck_assert_int_eq(reeve_queue_join(q, 0, NULL), -EAGAIN);
	(void)get_number(q);
	(void)get_number(q);
	ck_assert_int_eq(reeve_queue_join(q, 10000, NULL), -ETIMEDOUT);
	ck_assert_int_eq(reeve_queue_task_done(q), 0);
	ck_assert_int_eq(reeve_queue_join(q, 0, NULL), -EAGAIN);
	ck_assert_int_eq(reeve_queue_task_done(q), 0);
	ck_assert_int_eq(reeve_queue_join(q, REEVE_FOREVER, &n_lost), 0);
	ck_assert_uint_eq(n_lost, 0);
	ck_assert_int_eq(reeve_queue_task_done(q), -EPERM);
	ck_assert_int_eq(reeve_queue_task_done(plain), -EOPNOTSUPP);
	ck_assert_int_eq(reeve_queue_join(plain, 0, NULL), -EOPNOTSUPP);
	ck_assert_int_eq(reeve_queue_task_done(NULL), -EINVAL);
	ck_assert_int_eq(reeve_queue_join(NULL, 0, NULL), -EINVAL);
	reeve_queue_free(q);
	reeve_queue_free(plain);
}
END_TEST

static int work(reeve_queue *q)
{
	uint64_t n;

	while (reeve_queue_get(q, &n, sizeof(n), REEVE_FOREVER, NULL) == 0)
		if (reeve_queue_task_done(q) < 0)
			return 1;
	return 0;
}

START_TEST(test_workers)
{
	reeve_queue *q = new_joinable();
	uint64_t begin = clock_monotonic_usec();
	size_t n_lost = 1;
	pid_t pids[3];

	for (int i = 0; i < 3; i++)
		pids[i] = child_of(work, q);
	for (int round = 0; round < 10; round++) {
		for (uint64_t i = 0; i < 1000; i++)
			ck_assert_int_eq(reeve_queue_put(q, &i, sizeof(i),
							 REEVE_FOREVER),
					 0);
		ck_assert_int_eq(reeve_queue_join(q, REEVE_FOREVER, &n_lost),
				 0);
		ck_assert_uint_eq(n_lost, 0);
		ck_assert_int_eq(reeve_queue_is_empty(q), 1);
	}
	ck_assert_uint_lt(clock_monotonic_usec() - begin, 10000000);
	ck_assert_int_eq(reeve_queue_close(q), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	reeve_queue_free(q);
}
END_TEST

static int take_two_and_wait(reeve_queue *q)
{
	uint64_t n;

	for (int i = 0; i < 2; i++)
		(void)reeve_queue_get(q, &n, sizeof(n), REEVE_FOREVER, NULL);
	return (int)reeve_queue_get(q, &n, sizeof(n), REEVE_FOREVER, NULL);
}

START_TEST(test_dead_worker)
{
	reeve_queue *q = new_joinable();
	uint64_t begin;
	size_t n_lost = 0;
	pid_t pid;

	put_number(q, 1);
	put_number(q, 2);
	pid = child_of(take_two_and_wait, q);
	ck_assert_int_eq(reeve_queue_join(q, 20000, NULL), -ETIMEDOUT);
	while (!reeve_queue_is_empty(q))
		;
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	begin = clock_monotonic_usec();
	ck_assert_int_eq(reeve_queue_join(q, REEVE_FOREVER, &n_lost), 0);
	ck_assert_uint_lt(clock_monotonic_usec() - begin, 2 * REGION_LOOK_USEC);
	ck_assert_uint_eq(n_lost, 2);
	ck_assert_int_eq(end_of(pid), -SIGKILL);
	/* what follows is counted as ever */
	put_number(q, 3);
	(void)get_number(q);
	ck_assert_int_eq(reeve_queue_task_done(q), 0);
	ck_assert_int_eq(reeve_queue_join(q, 0, &n_lost), 0);
	ck_assert_uint_eq(n_lost, 2);
	reeve_queue_free(q);
}
END_TEST

static int get_and_finish(reeve_queue *q)
{
	uint64_t n;

	return reeve_queue_get(q, &n, sizeof(n), 0, NULL) < 0 ||
	       reeve_queue_task_done(q) < 0;
}

/* Killed at each instruction of get and task_done: the task is in the queue, lost,
 * or finished. */
START_TEST(test_killed_at_each_step)
{
	reeve_queue *q = new_joinable();
	long stride = getenv("REEVE_SOAK") ? 1 : 41 * STEP_FACTOR, n = 0;
	size_t n_lost = 0, before = 0;
	int status = 0, r;
	struct party self;
	uint64_t word;
	pid_t pid;

	do {
		put_number(q, 1);
		pid = fork();
		if (pid == 0) {
			party_self(&self); /* reads /proc, once */
			(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
			(void)raise(SIGSTOP);
			_exit(get_and_finish(q));
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		for (long i = 0; i < n && WIFSTOPPED(status); i++) {
			(void)ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
			(void)waitpid(pid, &status, 0);
		}
		if (WIFSTOPPED(status)) {
			(void)kill(pid, SIGKILL);
			(void)end_of(pid);
			status = 1;
		}
		r = reeve_queue_get(q, &word, sizeof(word), 0, NULL);
		if (r == 0)
			ck_assert_int_eq(reeve_queue_task_done(q), 0);
		ck_assert_int_eq(reeve_queue_join(q, 0, &n_lost), 0);
		ck_assert_uint_le(n_lost, before + (r != 0));
		before = n_lost;
		n += stride;
	} while (status == 1);
	ck_assert_int_eq(status, 0);
	if (STEP_FACTOR == 1)
		ck_assert_uint_gt(n_lost, 0);
	unit_count((unsigned long)(n / stride), "kills");
	reeve_queue_free(q);
}
END_TEST

/* The dead make room; who lives does not. */
START_TEST(test_takers_limit)
{
	reeve_queue *q = new_joinable();
	struct tally *tally = &q->memory->tally;
	void *p = NULL;
	size_t size;

	for (int i = 0; i < TALLY_ENTRIES; i++)
		atomic_store(&tally->entries[i].party.pid, getppid());
	put_number(q, 1);
	ck_assert_int_eq(reeve_queue_get_new(q, 0, &p, &size), -EUSERS);
	ck_assert_ptr_null(p);
	ck_assert_uint_eq(reeve_queue_qsize(q), 1);
	atomic_store(&tally->entries[7].party.pid, INT32_MAX);
	ck_assert_uint_eq(get_number(q), 1);
	reeve_queue_free(q);
}
END_TEST

UNIT_MAIN("queue_join", test_task_done, test_workers, test_dead_worker,
	  test_killed_at_each_step, test_takers_limit)
