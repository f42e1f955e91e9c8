/* Priorities, in pools: what is more urgent is begun before what is less, and waits
 * only for what runs; nothing is lost or done twice by it. */
#include <inttypes.h>

#include "tests/unit/pool_rig.h"
#include "workers/base/pure/rng.h"
#include "workers/pool/pool.h"

static struct reeve_pool_stats stats_of(struct reeve_pool *pool)
{
	struct reeve_pool_stats stats;

	reeve_pool_stats(pool, &stats);
	return stats;
}

/* ---- order ------------------------------------------------------------------- */

#define ORDER_MAX 32

/* Who was finished, in which order: userdata is a letter in it. */
static struct {
	_Atomic unsigned n;
	char letters[ORDER_MAX];
} order;

static void on_finished(struct reeve_result *result _unused_, void *userdata)
{
	order.letters[order.n] = *(const char *)userdata;
	order.n++;
}

static void submit(struct reeve_pool *pool, reeve_task_fn *fn, uint64_t input,
		   int priority, const char *letter)
{
	const struct reeve_apply_spec spec = {
		.callback = on_finished,
		.error_callback = on_finished,
		.userdata = (char *)(uintptr_t)letter,
		.priority = priority,
	};

	ck_assert_int_eq(
		reeve_pool_apply_async(pool, fn, &input, 8, &spec, NULL), 0);
}

START_TEST(test_order)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 1 });

	order.n = 0;
	submit(pool, sleep_usec, 300 * USEC_PER_MSEC, 0, "0");
	wait_until_running(pool, 1);
	submit(pool, echo, 1, 0, "f");
	submit(pool, echo, 1, REEVE_PRIORITY_MIN, "i");
	submit(pool, echo, 1, 5, "b");
	submit(pool, echo, 1, 0, "g");
	submit(pool, echo, 1, 5, "c");
	submit(pool, echo, 1, -1, "h");
	submit(pool, echo, 1, 1, "e");
	submit(pool, echo, 1, REEVE_PRIORITY_MAX, "a");
	submit(pool, echo, 1, 5, "d");
	ck_assert_int_eq(reeve_pool_close(pool), 0);
	ck_assert_int_eq(reeve_pool_join(pool, LONG_WAIT), 0);
	ck_assert_uint_eq(order.n, 10);
	ck_assert_str_eq(order.letters, "0abcdefghi");
	reeve_pool_free(pool);
}
END_TEST

START_TEST(test_limits)
{
	static const int out[] = { REEVE_PRIORITY_MIN - 1,
				   REEVE_PRIORITY_MAX + 1, INT_MIN, INT_MAX };
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct reeve_iterator *it = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(out); i++) {
		const struct reeve_apply_spec apply = { .priority = out[i] };
		const struct reeve_map_spec map = { .priority = out[i] };
		const struct reeve_imap_spec imap = { .priority = out[i] };

		ck_assert_int_eq(reeve_pool_apply_async(pool, echo, "", 1,
							&apply, NULL),
				 -EINVAL);
		ck_assert_int_eq(reeve_pool_map(pool, echo, &map), -EINVAL);
		ck_assert_int_eq(reeve_pool_imap(pool, echo, &imap, &it),
				 -EINVAL);
	}
	end_pool(pool);
}
END_TEST

/* ---- waiting only for what runs ------------------------------------------------ */

static void run_urgent(struct reeve_pool *pool)
{
	const struct reeve_apply_spec spec = { .priority = 1 };
	struct reeve_result *result;

	ck_assert_int_eq(
		reeve_pool_apply_async(pool, echo, "", 1, &spec, &result), 0);
	ck_assert_int_eq(reeve_result_wait(result, LONG_WAIT), 0);
	ck_assert_int_eq(reeve_result_successful(result), 1);
	reeve_result_unref(result);
}

/* Two workers have half a hundred small tasks each in advance. */
START_TEST(test_overtakes_what_is_handed_over)
{
	enum { N = 100 };
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 2 });
	const uint64_t usec = 20 * USEC_PER_MSEC;
	uint64_t before;

	for (int i = 0; i < N; i++)
		ck_assert_int_eq(reeve_pool_apply_async(pool, sleep_usec, &usec,
							8, NULL, NULL),
				 0);
	wait_until_running(pool, 2);
	before = stats_of(pool).n_done;
	run_urgent(pool);
	/* Those that ran, itself, and what was done while we looked. */
	ck_assert_uint_le(stats_of(pool).n_done - before, N / 4);
	ck_assert_int_eq(reeve_pool_terminate(pool), 0);
	reeve_pool_free(pool);
}
END_TEST

/* Of a chunk of two seconds, one item. */
START_TEST(test_overtakes_a_chunk)
{
	enum { N = 50 };
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 1 });
	uint64_t usecs[N], outputs[N] = { 0 };
	const struct reeve_map_spec spec = {
		.inputs = usecs,
		.input_size = sizeof(usecs[0]),
		.n_items = N,
		.outputs = outputs,
		.output_size = sizeof(outputs[0]),
		.chunksize = N,
	};
	struct reeve_result *result;

	for (int i = 0; i < N; i++) /* most of them after the urgent one */
		usecs[i] = (i < 10 ? 40 : 1) * USEC_PER_MSEC;
	ck_assert_int_eq(reeve_pool_map_async(pool, sleep_usec, &spec, NULL,
					      &result),
			 0);
	wait_until_running(pool, 1);
	run_urgent(pool);
	ck_assert_int_eq(reeve_result_ready(result), 0);
	ck_assert_uint_lt(stats_of(pool).n_done, N);
	ck_assert_int_eq(reeve_result_wait(result, LONG_WAIT), 0);
	ck_assert_int_eq(reeve_result_successful(result), 1);
	ck_assert_mem_eq(outputs, usecs, sizeof(outputs));
	ck_assert_uint_eq(stats_of(pool).n_done, N + 1);
	reeve_result_unref(result);
	end_pool(pool);
}
END_TEST

/* A map behind an iteration that is more urgent, and the reverse. */
START_TEST(test_maps_and_iterations)
{
	enum { N = 200 };
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 2 });
	static uint64_t numbers[N], squares[N];
	struct reeve_map_spec map = {
		.inputs = numbers,
		.input_size = 8,
		.n_items = N,
		.outputs = squares,
		.output_size = 8,
	};
	struct reeve_imap_spec imap = { .inputs = numbers,
					.input_size = 8,
					.n_items = N };

	for (uint64_t i = 0; i < N; i++)
		numbers[i] = i;
	for (int p = -1; p <= 1; p++) {
		struct reeve_iterator *it;
		struct reeve_item item;
		uint64_t n = 0;

		map.priority = p;
		imap.priority = -p;
		ck_assert_int_eq(reeve_pool_imap(pool, square, &imap, &it), 0);
		memset(squares, 0, sizeof(squares));
		ck_assert_int_eq(reeve_pool_map(pool, square, &map), 0);
		for (uint64_t i = 0; i < N; i++)
			ck_assert_uint_eq(squares[i], i * i);
		while (reeve_iterator_next(it, LONG_WAIT, &item) == 1) {
			uint64_t y = n * n;

			ck_assert_uint_eq(item.index, n++);
			ck_assert_mem_eq(item.output, &y, sizeof(y));
		}
		ck_assert_uint_eq(n, N);
		reeve_iterator_free(it);
	}
	end_pool(pool);
}
END_TEST

/* ---- a storm ------------------------------------------------------------------- */

struct ledger {
	_Atomic unsigned begun, finished;
	unsigned n_outcomes, n_crashes;
	enum reeve_outcome_kind kind;
};
static struct ledger *ledger; /* inherited by fork */

static int note(void *input, size_t size _unused_,
		struct reeve_reply *reply _unused_)
{
	uint64_t i;
	volatile unsigned spin = 0;

	memcpy(&i, input, sizeof(i));
	atomic_fetch_add(&ledger[i].begun, 1);
	while (spin < i % 7 * 4000)
		spin++;
	atomic_fetch_add(&ledger[i].finished, 1);
	return 0;
}

static void on_outcome(struct reeve_result *result, void *userdata)
{
	struct ledger *l = userdata;
	struct reeve_outcome o;

	reeve_result_outcome(result, &o);
	l->n_outcomes++;
	l->n_crashes = o.n_crashes;
	l->kind = o.kind;
}

static void disturb(struct reeve_pool *pool, struct rng *rng)
{
	struct reeve_worker_stats workers[8];
	size_t n = reeve_pool_workers(pool, workers, 8);

	if (rng_below(rng, 2) && n > 0)
		(void)kill(workers[rng_below(rng, n)].pid, SIGKILL);
	else
		ck_assert_int_eq(
			reeve_pool_resize(pool, (int)rng_below(rng, 4) + 1), 0);
}

static void check_entry(const struct ledger *l)
{
	ck_assert_uint_eq(l->n_outcomes, 1);
	ck_assert_uint_le(l->begun, l->n_crashes + 1);
	ck_assert(l->kind == REEVE_DONE || l->kind == REEVE_CRASHED);
	ck_assert_uint_ge(l->finished, l->kind == REEVE_DONE);
}

/* Of all priorities, now and then; workers die, more or fewer of them are wanted, and
 * some tasks may be run again. */
START_TEST(test_storm)
{
	const uint64_t n = getenv("REEVE_SOAK") ? 300000 : 6000;
	const struct reeve_pool_spec spec = { .processes = 2,
					      .processes_max = 4,
					      .restart_limit = 100000 };
	struct rng rng = { 2718 };
	struct reeve_pool *pool;

	if (pool_modes[_i].context != REEVE_CONTEXT_FORK)
		return; /* the ledger is inherited */
	ledger = mmap(NULL, n * sizeof(*ledger), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(ledger, MAP_FAILED);
	pool = new_pool(_i, spec);
	for (uint64_t i = 0; i < n; i++) {
		const struct reeve_apply_spec apply = {
			.callback = on_outcome,
			.error_callback = on_outcome,
			.userdata = &ledger[i],
			.priority = (int)rng_below(&rng, 31) - 15,
			.max_crashes = (unsigned)rng_below(&rng, 4),
			.retry_delay_usec = rng_below(&rng, 2) * 500,
		};

		ck_assert_int_eq(reeve_pool_apply_async(pool, note, &i, 8,
							&apply, NULL),
				 0);
		if (i % 64 == 0)
			(void)reeve_pool_dispatch(pool);
		if (i % 100 == 0)
			disturb(pool, &rng);
	}
	ck_assert_int_eq(reeve_pool_close(pool), 0);
	ck_assert_int_eq(reeve_pool_join(pool, LONG_WAIT), 0);
	for (uint64_t i = 0; i < n; i++)
		check_entry(&ledger[i]);
	ck_assert_uint_eq(stats_of(pool).n_done + stats_of(pool).n_crashed, n);
	printf("COUNT %" PRIu64 " tasks of random priority\n", n);
	reeve_pool_free(pool);
	(void)munmap(ledger, n * sizeof(*ledger));
}
END_TEST

POOL_MAIN("pool_priority", test_order, test_limits,
	  test_overtakes_what_is_handed_over, test_overtakes_a_chunk,
	  test_maps_and_iterations, test_storm)
