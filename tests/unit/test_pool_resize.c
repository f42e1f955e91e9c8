/* reeve_pool_resize(): no task is lost or done twice, whatever happens beside it,
 * and who leaves has neither crashed nor been recycled. */
#include <inttypes.h>

#include <reeve/process.h>

#include "tests/unit/pool_rig.h"
#include "workers/base/pure/rng.h"
#include "workers/pool/pool.h"

static struct reeve_pool_stats stats_of(struct reeve_pool *pool)
{
	struct reeve_pool_stats stats;

	reeve_pool_stats(pool, &stats);
	return stats;
}

/* Until n workers live, and nobody is on the way out. */
static void wait_for_size(struct reeve_pool *pool, unsigned n)
{
	struct reeve_worker_stats workers[16];
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;

	while ((reeve_pool_workers(pool, workers, 16) != n ||
		stats_of(pool).n_live != n) &&
	       clock_monotonic_usec() < end)
		(void)reeve_pool_dispatch(pool);
	ck_assert_uint_eq(reeve_pool_workers(pool, workers, 16), n);
}

static void resize(struct reeve_pool *pool, int n)
{
	ck_assert_int_eq(reeve_pool_resize(pool, n), 0);
	ck_assert_uint_eq(stats_of(pool).n_processes, (unsigned)n);
}

START_TEST(test_up_and_down)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 1,
						       .processes_max = 4 });
	struct reeve_pool_stats stats;
	unsigned gone = 0;

	check_square(pool, 3);
	for (int n = 0; n < 3; n++) {
		static const int sizes[] = { 4, 2, 3, 1 };

		for (int i = 0; i < 4; i++) {
			resize(pool, sizes[i]);
			wait_for_size(pool, (unsigned)sizes[i]);
			check_square(pool, 4);
		}
		gone += 4;
	}
	/* told when the owner looks, which the last square did */
	stats = stats_of(pool);
	ck_assert_uint_eq(stats.n_resized_away, gone);
	ck_assert_uint_eq(stats.n_started, gone + 1);
	ck_assert_uint_eq(stats.n_crashed, 0);
	ck_assert_uint_eq(stats.n_recycled, 0);
	ck_assert_uint_eq(reeve_pool_report(pool, NULL, 0), 0);
	end_pool(pool);
}
END_TEST

START_TEST(test_limits)
{
	static const struct {
		int processes, most, r;
	} specs[] = { { 3, 2, -EINVAL },
		      { 1, -1, -EINVAL },
		      { 1, REEVE_PROCESSES_MAX + 1, -EINVAL } };
	struct reeve_pool *pool = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		const struct reeve_pool_spec spec = {
			.processes = specs[i].processes,
			.processes_max = specs[i].most,
		};

		ck_assert_int_eq(reeve_pool_new(&spec, &pool), specs[i].r);
	}
	pool = new_pool(_i, (struct reeve_pool_spec){ .processes = 2 });
	ck_assert_int_eq(reeve_pool_resize(NULL, 1), -EINVAL);
	ck_assert_int_eq(reeve_pool_resize(pool, -2), -EINVAL);
	ck_assert_int_eq(reeve_pool_resize(pool, 3), -EINVAL);
	ck_assert_int_eq(reeve_pool_resize(pool, INT_MAX), -EINVAL);
	resize(pool, 2);
	resize(pool, 1);
	ck_assert_int_eq(reeve_pool_resize(pool, -1) < 0,
			 reeve_cpu_count() > 3);
	end_pool(pool);

	pool = new_pool(_i, (struct reeve_pool_spec){ .processes = 2 });
	ck_assert_int_eq(reeve_pool_close(pool), 0);
	ck_assert_int_eq(reeve_pool_join(pool, LONG_WAIT), 0);
	ck_assert_int_eq(reeve_pool_resize(pool, 1), -ESHUTDOWN);
	reeve_pool_free(pool);
}
END_TEST

/* What runs is finished, what does not goes to who stays. */
START_TEST(test_busy_workers)
{
	enum { N = 40 };
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 4 });
	struct reeve_result *results[N];
	uint64_t usec = 50 * USEC_PER_MSEC, x = 0;

	wait_for_size(pool, 4);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(
			reeve_pool_apply_async(pool, i < 4 ? sleep_usec : echo,
					       &usec, 8, NULL, &results[i]),
			0);
	resize(pool, 1);
	for (int i = 0; i < N; i++) {
		ck_assert_int_eq(reeve_result_get(results[i], LONG_WAIT, &x, 8,
						  NULL),
				 0);
		ck_assert_uint_eq(x, usec);
		reeve_result_unref(results[i]);
	}
	wait_for_size(pool, 1);
	check_square(pool, 2);
	ck_assert_uint_eq(stats_of(pool).n_resized_away, 3);
	ck_assert_uint_eq(stats_of(pool).n_started, 4);
	end_pool(pool);
}
END_TEST

/* Not the chunk, but the item that runs: the others need not wait for the rest. */
START_TEST(test_long_chunk)
{
	enum { N = 200 };
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 2 });
	uint64_t usecs[N], outputs[N];
	const struct reeve_map_spec spec = {
		.inputs = usecs,
		.input_size = sizeof(usecs[0]),
		.n_items = N,
		.outputs = outputs,
		.output_size = sizeof(outputs[0]),
		.chunksize = N / 2,
	};
	uint64_t begun = clock_monotonic_usec();
	struct reeve_result *result;

	for (int i = 0; i < N; i++)
		usecs[i] = 40 * USEC_PER_MSEC; /* four seconds for each chunk */
	ck_assert_int_eq(reeve_pool_map_async(pool, sleep_usec, &spec, NULL,
					      &result),
			 0);
	wait_until_running(pool, 2);
	resize(pool, 1);
	wait_for_size(pool, 1);
	/* The other one had done less than half of its chunk. */
	ck_assert_uint_lt(clock_monotonic_usec() - begun, 2 * USEC_PER_SEC);
	ck_assert_int_eq(reeve_result_cancel(result), 0);
	reeve_result_unref(result);
	end_pool(pool);
}
END_TEST

/* What a chunk had done counts, what it had not is done by others. */
START_TEST(test_cut_chunks)
{
	enum { N = 3000 };
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 4 });
	static uint64_t numbers[N], squares[N];
	const struct reeve_map_spec spec = {
		.inputs = numbers,
		.input_size = sizeof(numbers[0]),
		.n_items = N,
		.outputs = squares,
		.output_size = sizeof(squares[0]),
		.chunksize = 250,
	};
	struct reeve_result *result;

	for (uint64_t i = 0; i < N; i++)
		numbers[i] = i;
	ck_assert_int_eq(
		reeve_pool_map_async(pool, square, &spec, NULL, &result), 0);
	for (int i = 0; reeve_result_ready(result) == 0; i++)
		resize(pool, i % 4 + 1);
	ck_assert_int_eq(reeve_result_successful(result), 1);
	for (uint64_t i = 0; i < N; i++)
		ck_assert_uint_eq(squares[i], i * i);
	ck_assert_uint_eq(stats_of(pool).n_done, N);
	reeve_result_unref(result);
	end_pool(pool);
}
END_TEST

/* Down and up again while they are busy: they stay, and nobody is started. */
START_TEST(test_back_in_time)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 3 });
	struct reeve_result *results[3];

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(reeve_pool_apply_async(pool, wait_for_ever,
							NULL, 0, NULL,
							&results[i]),
				 0);
	wait_until_running(pool, 3);
	for (int i = 0; i < 20; i++) {
		resize(pool, 1);
		resize(pool, 3);
	}
	ck_assert_uint_eq(stats_of(pool).n_started, 3);
	ck_assert_uint_eq(stats_of(pool).n_resized_away, 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(reeve_result_cancel(results[i]), 0);
		ck_assert_int_eq(reeve_result_wait(results[i], LONG_WAIT), 0);
		reeve_result_unref(results[i]);
	}
	end_pool(pool);
}
END_TEST

/* A stopped worker cannot leave. */
START_TEST(test_one_that_does_not_leave)
{
	const struct reeve_pool_spec spec = {
		.processes = 2,
		.start_timeout_usec = 2 * USEC_PER_SEC,
	};
	struct reeve_pool *pool = new_pool(_i, spec);
	struct reeve_worker_stats workers[2];
	struct reeve_death death = { 0 };

	wait_for_size(pool, 2);
	do
		(void)reeve_pool_workers(pool, workers, 2);
	while (!workers[0].is_ready || !workers[1].is_ready);
	pool->engine.checks_unready = 5; /* and not two seconds */
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(kill(workers[i].pid, SIGSTOP), 0);
	resize(pool, 1);
	wait_for_size(pool, 1);
	(void)reeve_pool_dispatch(pool);
	for (int i = 0; i < 2; i++)
		(void)kill(workers[i].pid, SIGCONT);
	check_square(pool, 7);
	ck_assert_uint_eq(reeve_pool_report(pool, &death, 1), 1);
	ck_assert_int_eq(death.cause, REEVE_DEATH_LEAVE_TIMEOUT);
	ck_assert_uint_eq(stats_of(pool).n_resized_away, 0);
	end_pool(pool);
}
END_TEST

static void shrink_and_grow(struct reeve_result *result, void *userdata)
{
	int *n = userdata;
	struct reeve_pool *pool = result->pool;

	*n += reeve_pool_resize(pool, *n % 3 + 1) == 0;
}

START_TEST(test_in_callbacks)
{
	enum { N = 200 };
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 3 });
	int n = 0;
	const struct reeve_apply_spec spec = { .callback = shrink_and_grow,
					       .userdata = &n };

	for (uint64_t i = 0; i < N; i++)
		ck_assert_int_eq(reeve_pool_apply_async(pool, square, &i, 8,
							&spec, NULL),
				 0);
	ck_assert_int_eq(reeve_pool_close(pool), 0);
	ck_assert_int_eq(reeve_pool_join(pool, LONG_WAIT), 0);
	ck_assert_uint_eq(stats_of(pool).n_done, N);
	/* The last ones came when all was done. */
	ck_assert_int_gt(n, 0);
	reeve_pool_free(pool);
}
END_TEST

/* ---- a storm ----------------------------------------------------------------- */

/* How often each item was begun and finished: in memory that is inherited. */
struct ledger {
	_Atomic unsigned begun, finished;
};
static struct ledger *ledger;

static int note(void *input, size_t size _unused_, struct reeve_reply *reply)
{
	uint64_t i;
	volatile unsigned spin = 0;

	memcpy(&i, input, sizeof(i));
	atomic_fetch_add(&ledger[i].begun, 1);
	while (spin < i % 7 * 400)
		spin++;
	atomic_fetch_add(&ledger[i].finished, 1);
	return reeve_reply_set(reply, &i, sizeof(i));
}

struct storm {
	struct reeve_pool *pool;
	int mode;
	struct rng rng;
	uint64_t next_usec;
	int n_resizes, n_kills, n_keepers;
	bool kills_keepers;
};

static void kill_a_worker(struct storm *s)
{
	struct reeve_worker_stats workers[8];
	size_t n = reeve_pool_workers(s->pool, workers, 8);
	pid_t pid = n ? workers[rng_below(&s->rng, n)].pid : 0;

	s->n_kills += pid > 0 && kill(pid, SIGKILL) == 0;
}

/* Up and down, also twice at once; in between somebody dies. */
static void blow(struct storm *s)
{
	uint64_t now = clock_monotonic_usec();

	if (now < s->next_usec)
		return;
	s->next_usec = now + rng_below(&s->rng, 2000);
	for (uint64_t n = rng_below(&s->rng, 3); n > 0; n--) {
		resize(s->pool, (int)rng_below(&s->rng, 6) + 1);
		s->n_resizes++;
	}
	if (rng_below(&s->rng, 3) == 0)
		kill_a_worker(s);
	if (s->kills_keepers && rng_below(&s->rng, 100) == 0)
		s->n_keepers += kill(s->pool->keeper_pid, SIGKILL) == 0;
}

static void check_entry(const struct reeve_item *item, unsigned *n_crashed)
{
	const struct ledger *l = &ledger[item->index];
	uint64_t out = UINT64_MAX;

	ck_assert_uint_le(l->begun, 1); /* doubled: none */
	if (item->outcome->kind == REEVE_CRASHED) {
		++*n_crashed;
		return;
	}
	ck_assert_int_eq(item->outcome->kind, REEVE_DONE);
	ck_assert_uint_eq(l->finished, 1);
	ck_assert_uint_eq(item->size, sizeof(out));
	memcpy(&out, item->output, sizeof(out));
	ck_assert_uint_eq(out, item->index);
}

static void weather(struct storm *s, uint64_t limit, uint64_t n_items)
{
	uint64_t *in = calloc(n_items, 8), n = 0;
	struct reeve_imap_spec spec = { .input_size = 8, .n_items = n_items };
	unsigned n_crashed = 0;
	struct reeve_iterator *it;
	struct reeve_item item;

	ck_assert_ptr_nonnull(in);
	for (uint64_t i = 0; i < n_items; i++)
		in[i] = i;
	spec.inputs = in;
	memset(ledger, 0, n_items * sizeof(*ledger));
	s->pool = new_pool(s->mode, (struct reeve_pool_spec){
					    .processes = 3,
					    .processes_max = 6,
					    .maxtasksperchild = limit,
					    .restart_limit = 1000000,
				    });
	ck_assert_int_eq(reeve_pool_imap_unordered(s->pool, note, &spec, &it),
			 0);
	while (reeve_iterator_next(it, LONG_WAIT, &item) == 1) {
		check_entry(&item, &n_crashed);
		if (++n % 32 == 0)
			blow(s);
	}
	ck_assert_uint_eq(n, n_items); /* lost: none */
	reeve_iterator_free(it);
	ck_assert_uint_eq(stats_of(s->pool).n_crashed, n_crashed);
	ck_assert_int_le((int)n_crashed, s->n_kills + 6 * s->n_keepers);
	resize(s->pool, 2);
	wait_for_size(s->pool, 2);
	end_pool(s->pool);
	free(in);
}

START_TEST(test_storm)
{
	const uint64_t n = getenv("REEVE_SOAK") ? 2000000 : 10000;
	struct storm s = {
		.rng = { 815 },
		.mode = _i,
		.kills_keepers = pool_modes[_i].service == REEVE_SERVICE_CALLER,
	};

	if (pool_modes[_i].context != REEVE_CONTEXT_FORK)
		return; /* the ledger is inherited */
	ledger = mmap(NULL, n * sizeof(*ledger), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(ledger, MAP_FAILED);
	weather(&s, 0, n);
	weather(&s, 50, n); /* with recycles in place */
	ck_assert_int_gt(s.n_resizes, 10);
	printf("COUNT %d resizes\nCOUNT %d kills of workers\n"
	       "COUNT %d kills of keepers\n",
	       s.n_resizes, s.n_kills, s.n_keepers);
	(void)munmap(ledger, n * sizeof(*ledger));
}
END_TEST

POOL_MAIN("pool_resize", test_up_and_down, test_limits, test_busy_workers,
	  test_long_chunk, test_cut_chunks, test_back_in_time,
	  test_one_that_does_not_leave, test_in_callbacks, test_storm)
