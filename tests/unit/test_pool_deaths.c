/* Any process of a pool may die at any moment: one outcome for each task, the
 * right one blamed, nothing left over, everything else goes on. */
#include <inttypes.h>
#include <sys/wait.h>

#include "tests/unit/pool_rig.h"
#include "workers/base/pure/rng.h"
#include "workers/base/sys/fd.h"
#include "workers/pool/pool.h"

/* ---- the ways a task can end its process ----------------------------------------- */

static const struct {
	int code;
	const char *words; /* in the message */
} ends[END_COUNT] = {
	[END_KILL] = { -SIGKILL, "SIGKILL" },
	[END_SEGV] = { -SIGSEGV, "SIGSEGV" },
	[END_ABORT] = { -SIGABRT, "SIGABRT" },
	[END_EXIT_0] = { 0, "code 0" },
	[END_EXIT_3] = { 3, "code 3" },
	[END_CLOSE_FDS] = { -SIGKILL, "closed its descriptors" },
	[END_EXEC] = { -SIGKILL, "executed" },
	[END_FORK_AND_DIE] = { -SIGKILL, "SIGKILL" },
};

START_TEST(test_each_way_to_end)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct reeve_pool_stats stats;

	for (uint64_t way = 0; way < END_COUNT; way++) {
		struct reeve_outcome o;

		ck_assert_int_eq(reeve_pool_apply(pool, end_somehow, &way, 8,
						  NULL, NULL, &o),
				 -EPIPE);
		ck_assert_int_eq(o.kind, REEVE_CRASHED);
		ck_assert_int_eq(o.exit.code, ends[way].code);
		ck_assert_int_eq(o.exit.pid, o.pid);
		ck_assert_msg(strstr(o.message, ends[way].words), "%s",
			      o.message);
		check_square(pool, way);
	}
	reeve_pool_stats(pool, &stats);
	ck_assert_uint_eq(stats.n_crashed, END_COUNT);
	ck_assert_uint_eq(stats.n_done, END_COUNT);
	end_pool(pool); /* the harness sees that no grandchild is left */
}
END_TEST

/* All die at once, each with its task; what was queued is done by others. */
START_TEST(test_all_at_once)
{
	enum { N = 64 };
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 4 });
	struct reeve_result *results[N];
	int n_done = 0, n_crashed = 0;

	for (uint64_t i = 0; i < N; i++)
		ck_assert_int_eq(reeve_pool_apply_async(
					 pool, i % 2 ? square : end_somehow,
					 &(uint64_t){ i % 2 ? i : END_KILL }, 8,
					 NULL, &results[i]),
				 0);
	for (uint64_t i = 0; i < N; i++) {
		uint64_t y = 0;
		int r = reeve_result_get(results[i], LONG_WAIT, &y, 8, NULL);

		ck_assert_int_eq(r, i % 2 ? 0 : -EPIPE);
		ck_assert_uint_eq(y, i % 2 ? i * i : 0);
		n_done += r == 0;
		n_crashed += r == -EPIPE;
		reeve_result_unref(results[i]);
	}
	ck_assert_int_eq(n_done, N / 2);
	ck_assert_int_eq(n_crashed, N / 2);
	end_pool(pool);
}
END_TEST

/* ---- killed from outside, at random ------------------------------------------------ */

static pid_t random_worker(struct reeve_pool *pool, struct rng *rng)
{
	struct reeve_worker_stats workers[8];
	size_t n = reeve_pool_workers(pool, workers, 8);

	return n ? workers[rng_below(rng, n)].pid : 0;
}

/* Tasks that note in shared memory that they were begun and finished. */
struct ledger {
	_Atomic unsigned begun, finished;
};
static struct ledger *ledger; /* inherited by fork */

static int note(void *input, size_t size _unused_, struct reeve_reply *reply)
{
	uint64_t i;
	volatile unsigned spin = 0;

	memcpy(&i, input, sizeof(i));
	atomic_fetch_add(&ledger[i].begun, 1);
	while (spin < i % 7 * 300)
		spin++;
	atomic_fetch_add(&ledger[i].finished, 1);
	return reeve_reply_set(reply, &i, sizeof(i));
}

/* The ledger agrees with what the pool says of item i. */
static int check_entry(uint64_t i, enum reeve_outcome_kind kind, uint64_t out)
{
	unsigned begun = ledger[i].begun, finished = ledger[i].finished;

	ck_assert_uint_le(begun, 1);
	if (kind == REEVE_CRASHED) { /* it was running, not yet replied */
		ck_assert_uint_eq(out, 0);
		return 1;
	}
	ck_assert_uint_eq(begun, 1);
	ck_assert_uint_eq(finished, 1);
	ck_assert_uint_eq(out, i);
	return 0;
}

struct killer {
	struct reeve_pool *pool;
	struct rng rng;
	int n_kills, most;
	uint64_t next_usec;
};

/* Between two tasks, when its time has come: kills somebody. */
static void kill_sometimes(struct killer *k)
{
	uint64_t now = clock_monotonic_usec();
	pid_t pid;

	if (now < k->next_usec || k->n_kills >= k->most)
		return;
	k->next_usec = now + rng_below(&k->rng, 3000);
	pid = random_worker(k->pool, &k->rng);
	if (pid > 0 && kill(pid, SIGKILL) == 0)
		k->n_kills++;
}

START_TEST(test_random_kills)
{
	const char *soak = getenv("REEVE_SOAK");
	const int most = soak ? 10000 : 150;
	const uint64_t n = soak ? 4000000 : 60000;
	struct reeve_imap_spec spec = { .input_size = 8, .n_items = n };
	uint64_t *in = calloc(n, 8), n_items = 0;
	struct reeve_iterator *it;
	struct reeve_item item;
	struct killer killer = { .most = most, .rng = { 4711 } };
	struct reeve_pool_stats stats;
	int n_crashed = 0;

	if (pool_modes[_i].context != REEVE_CONTEXT_FORK) {
		free(in);
		return; /* the ledger is inherited */
	}
	ck_assert_ptr_nonnull(in);
	ledger = mmap(NULL, n * sizeof(*ledger), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(ledger, MAP_FAILED);
	for (uint64_t i = 0; i < n; i++)
		in[i] = i;
	spec.inputs = in;
	killer.pool = new_pool(_i, (struct reeve_pool_spec){ .processes = 4 });
	ck_assert_int_eq(
		reeve_pool_imap_unordered(killer.pool, note, &spec, &it), 0);
	while (reeve_iterator_next(it, LONG_WAIT, &item) == 1) {
		uint64_t out = 0;

		if (item.size == 8)
			memcpy(&out, item.output, 8);
		n_crashed += check_entry(item.index, item.outcome->kind, out);
		n_items++;
		if (n_items % 64 == 0)
			kill_sometimes(&killer);
	}
	ck_assert_uint_eq(n_items, n); /* lost: 0 */
	reeve_iterator_free(it);
	reeve_pool_stats(killer.pool, &stats);
	ck_assert_uint_eq(stats.n_crashed, (uint64_t)n_crashed);
	ck_assert_uint_eq(stats.n_resized_away, 0); /* seen as one too many */
	ck_assert_int_gt(killer.n_kills, 10);
	printf("kills %d, tasks %" PRIu64 ", crashed %d, lost 0\n",
	       killer.n_kills, n, n_crashed);
	end_pool(killer.pool);
	(void)munmap(ledger, n * sizeof(*ledger));
	free(in);
}
END_TEST

/* An idle worker, a starting one, a just-finished one. */
START_TEST(test_kill_idle_workers)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 2 });
	struct rng rng = { 99 };
	struct reeve_pool_stats stats;

	for (uint64_t i = 0; i < 40; i++) {
		pid_t pid = random_worker(pool, &rng);

		if (pid > 0 && i % 4)
			(void)kill(pid, SIGKILL);
		/* a task may be what it was running when it died; a second
		 * one is never hit by the same death */
		if (reeve_pool_apply(pool, square, &i, 8, NULL, NULL, NULL))
			check_square(pool, i);
	}
	reeve_pool_stats(pool, &stats);
	ck_assert_uint_ge(stats.n_started, 10);
	end_pool(pool);
}
END_TEST

/* A stopped worker holds up its own task only, until its time is over. */
START_TEST(test_stopped_worker)
{
	const struct reeve_pool_spec spec = {
		.processes = 2,
		.task_timeout_usec = 300 * USEC_PER_MSEC,
	};
	struct reeve_pool *pool = new_pool(_i, spec);
	struct reeve_worker_stats workers[2];
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;

	check_square(pool, 1);
	while (reeve_pool_workers(pool, workers, 2) < 2 &&
	       clock_monotonic_usec() < end)
		(void)reeve_pool_dispatch(pool);
	ck_assert_int_eq(kill(workers[0].pid, SIGSTOP), 0);
	for (uint64_t i = 0; i < 20; i++) {
		int r = reeve_pool_apply(pool, square, &i, 8, NULL, NULL, NULL);

		ck_assert(r == 0 || r == -ETIMEDOUT);
	}
	end_pool(pool);
}
END_TEST

static pid_t await_busy(struct reeve_pool *pool)
{
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;
	struct reeve_worker_stats worker = { 0 };

	while (!worker.is_busy && clock_monotonic_usec() < end) {
		(void)reeve_pool_dispatch(pool);
		(void)reeve_pool_workers(pool, &worker, 1);
	}
	ck_assert(worker.is_busy);
	return worker.pid;
}

/* No deadline is set: whoever waits is told all the same. */
START_TEST(test_stopped_in_a_task)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 1 });
	struct reeve_outcome outcome;
	struct reeve_result *result;
	struct reeve_death death;

	ck_assert_int_eq(reeve_pool_apply_async(pool, wait_for_ever, NULL, 0,
						NULL, &result),
			 0);
	ck_assert_int_eq(kill(await_busy(pool), SIGSTOP), 0);
	ck_assert_int_eq(reeve_result_get(result, LONG_WAIT, NULL, 0, NULL),
			 -EPIPE);
	reeve_result_outcome(result, &outcome);
	ck_assert_int_eq(outcome.kind, REEVE_CRASHED);
	ck_assert_ptr_nonnull(strstr(outcome.message, "had been stopped"));
	ck_assert_uint_eq(reeve_pool_report(pool, &death, 1), 1);
	ck_assert_int_eq(death.cause, REEVE_DEATH_STOPPED);
	ck_assert(death.was_busy);
	reeve_result_unref(result);
	check_square(pool, 3);
	end_pool(pool);
}
END_TEST

/* Whoever is let go on in time is left alone, however long its task takes. */
START_TEST(test_stopped_for_a_moment)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 1 });
	uint64_t usec = 1500 * USEC_PER_MSEC;
	struct reeve_result *result;
	pid_t pid;

	ck_assert_int_eq(reeve_pool_apply_async(pool, sleep_usec, &usec, 8,
						NULL, &result),
			 0);
	pid = await_busy(pool);
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(kill(pid, SIGSTOP), 0);
		(void)poll(NULL, 0, 20); /* for as long as it likes */
		ck_assert_int_eq(kill(pid, SIGCONT), 0);
	}
	ck_assert_int_eq(reeve_result_get(result, LONG_WAIT, NULL, 0, NULL), 0);
	reeve_result_unref(result);
	end_pool(pool);
}
END_TEST

/* ---- a worker that writes where it must not ------------------------------------------- */

static int scribble(void *input, size_t size _unused_,
		    struct reeve_reply *reply _unused_)
{
	struct rng rng = { 1 };
	char line[512];
	FILE *f;

	memcpy(&rng.state, input, sizeof(uint64_t));
	f = fopen("/proc/self/maps", "re");
	while (f && fgets(line, sizeof(line), f)) {
		char *dash;
		uint64_t *p;

		if (!strstr(line, "reeve-channel"))
			continue;
		p = (uint64_t *)strtoul(line, &dash, 16);
		for (size_t i = 0; i < 16384 / 8; i++)
			p[i] = rng_next(&rng);
	}
	return 0;
}

START_TEST(test_scribbling_worker)
{
	const struct reeve_pool_spec spec = {
		.processes = 2,
		.task_timeout_usec = 500 * USEC_PER_MSEC,
		.restart_limit = 1000,
	};
	struct reeve_pool *pool = NULL;
	struct reeve_pool_spec forked = spec;

	if (pool_modes[_i].context != REEVE_CONTEXT_FORK)
		return;
	forked.service = pool_modes[_i].service;
	forked.context = REEVE_CONTEXT_FORK;
	ck_assert_int_eq(reeve_pool_new(&forked, &pool), 0);
	for (uint64_t i = 1; i <= 20; i++) {
		struct reeve_outcome o;

		ck_assert_int_ne(reeve_pool_apply(pool, scribble, &i, 8, NULL,
						  NULL, &o),
				 0);
		ck_assert(o.kind == REEVE_CRASHED || o.kind == REEVE_TIMEOUT);
	}
	end_pool(pool);
}
END_TEST

/* ---- the owner ------------------------------------------------------------------------ */

/* In a child: a busy pool whose owner is killed. */
static void own_a_pool(void *arg)
{
	int mode = *(int *)arg;
	struct reeve_pool *pool =
		new_pool(mode, (struct reeve_pool_spec){ .processes = 4 });
	uint64_t way = END_FORK_AND_DIE;

	for (int i = 0; i < 3; i++)
		(void)reeve_pool_apply_async(pool, wait_for_ever, NULL, 0, NULL,
					     NULL);
	(void)reeve_pool_apply(pool, end_somehow, &way, 8, NULL, NULL, NULL);
	(void)kill(getpid(), SIGKILL);
}

static void own_and_exit(void *arg)
{
	int mode = *(int *)arg;
	struct reeve_pool *pool =
		new_pool(mode, (struct reeve_pool_spec){ .processes = 3 });

	(void)reeve_pool_apply_async(pool, wait_for_ever, NULL, 0, NULL, NULL);
	check_square(pool, 2);
	_exit(0);
}

/* The harness fails the test if a process of the pool is left. */
START_TEST(test_owner_gone)
{
	int mode = _i;

	ck_assert_int_eq(unit_fork(own_and_exit, &mode, NULL), 0);
	ck_assert_int_eq(unit_fork(own_a_pool, &mode, NULL), -SIGKILL);
}
END_TEST

/* A child that goes into its owner's process group is killed, nobody else. */
static int join_the_owner(void *input, size_t size _unused_,
			  struct reeve_reply *reply _unused_)
{
	uint64_t group;
	pid_t pid;

	memcpy(&group, input, sizeof(group));
	pid = fork();
	if (pid == 0) {
		(void)setpgid(0, (pid_t)group);
		for (;;)
			pause();
	}
	while (pid > 0 && getpgid(pid) != (pid_t)group)
		;
	(void)kill(getpid(), SIGKILL);
	return 0;
}

static void own_and_be_joined(void *arg)
{
	struct reeve_pool *pool;
	uint64_t group;

	(void)setpgid(0, 0);
	group = (uint64_t)getpgrp();
	pool = new_pool(*(int *)arg, (struct reeve_pool_spec){ 0 });
	if (reeve_pool_apply(pool, join_the_owner, &group, sizeof(group), NULL,
			     NULL, NULL) != -EPIPE)
		_exit(1);
	end_pool(pool);
	_exit(0);
}

START_TEST(test_child_in_the_owners_group)
{
	int mode = _i;

	if (pool_modes[_i].context != REEVE_CONTEXT_FORK)
		return;
	ck_assert_int_eq(unit_fork(own_and_be_joined, &mode, NULL), 0);
}
END_TEST

/* While a large output is half written, while a large input is read. */
static int reply_half(void *input _unused_, size_t size,
		      struct reeve_reply *reply)
{
	unsigned char *p = reeve_reply_reserve(reply, size);

	memset(p, 1, size / 2);
	(void)kill(getpid(), SIGKILL);
	return 0;
}

START_TEST(test_half_a_reply)
{
	const size_t size = 4 << 20;
	struct reeve_pool *pool;
	unsigned char *in = calloc(1, size), *out = calloc(1, size);
	struct reeve_outcome o;

	if (pool_modes[_i].context != REEVE_CONTEXT_FORK) {
		free(in);
		free(out);
		return;
	}
	pool = new_pool(_i, (struct reeve_pool_spec){ .processes = 1 });
	for (int i = 0; i < 10; i++) {
		size_t got = 0;

		ck_assert_int_eq(reeve_pool_apply(pool, reply_half, in, size,
						  out, (got = size, &got), &o),
				 -EPIPE);
		ck_assert_int_eq(out[0], 0); /* nothing torn comes out */
		in[i] = (unsigned char)i;
		ck_assert_int_eq(reeve_pool_apply(pool, echo, in, size, out,
						  (got = size, &got), &o),
				 0);
		ck_assert_int_eq(memcmp(in, out, size), 0);
		memset(out, 0, size);
	}
	free(in);
	free(out);
	end_pool(pool);
}
END_TEST

POOL_MAIN("pool_deaths", test_each_way_to_end, test_all_at_once,
	  test_random_kills, test_kill_idle_workers, test_stopped_worker,
	  test_stopped_in_a_task, test_stopped_for_a_moment,
	  test_scribbling_worker, test_owner_gone,
	  test_child_in_the_owners_group, test_half_a_reply)
