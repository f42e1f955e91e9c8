/* Crashed tasks that are run again, in pools: how often, when, and what is told of
 * it; exactly the crashed one, and never one that has been cancelled. */
#include <inttypes.h>
#include <sys/stat.h>

#include "tests/unit/pool_rig.h"
#include "workers/base/pure/rng.h"
#include "workers/pool/pool.h"

/* What an item is to do, in a file of its own. */
static struct crash_plan plan_of(unsigned id, uint64_t n_crashes, uint64_t way)
{
	struct crash_plan plan = { .n_crashes = n_crashes, .way = way };
	const char *dir = getenv("TMPDIR");

	(void)snprintf(plan.path, sizeof(plan.path), "%s/runs-%u",
		       dir ? dir : "/tmp", id);
	return plan;
}

/* How often it was run, in truth. */
static uint64_t runs_of(const struct crash_plan *plan)
{
	struct stat st = { 0 };

	(void)stat(plan->path, &st);
	(void)unlink(plan->path);
	return (uint64_t)st.st_size;
}

static struct reeve_pool_stats stats_of(struct reeve_pool *pool)
{
	struct reeve_pool_stats stats;

	reeve_pool_stats(pool, &stats);
	return stats;
}

/* Until a task waits to be run again. */
static void wait_for_retries(struct reeve_pool *pool, uint64_t n)
{
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;

	while (stats_of(pool).n_retries < n && clock_monotonic_usec() < end)
		(void)reeve_pool_dispatch(pool);
	ck_assert_uint_eq(stats_of(pool).n_retries, n);
}

static struct reeve_result *start(struct reeve_pool *pool,
				  const struct crash_plan *plan,
				  unsigned max_crashes, uint64_t delay_usec)
{
	const struct reeve_apply_spec spec = {
		.max_crashes = max_crashes,
		.retry_delay_usec = delay_usec,
	};
	struct reeve_result *result;
	int r = reeve_pool_apply_async(pool, crash_first, plan, sizeof(*plan),
				       &spec, &result);

	ck_assert_int_eq(r, 0);
	return result;
}

/* ---- how often --------------------------------------------------------------- */

START_TEST(test_apply)
{
	const struct reeve_pool_spec spec = { .max_crashes_per_task = 3 };
	struct reeve_pool *pool = new_pool(_i, spec);

	for (uint64_t n = 0; n <= 3; n++) {
		struct crash_plan plan = plan_of(1, n, n % END_CLOSE_FDS);
		struct reeve_outcome o;
		uint64_t runs = 0;
		size_t size = sizeof(runs);
		int r = reeve_pool_apply(pool, crash_first, &plan, sizeof(plan),
					 &runs, &size, &o);

		ck_assert_int_eq(r, n < 3 ? 0 : -EPIPE);
		ck_assert_int_eq(o.kind, n < 3 ? REEVE_DONE : REEVE_CRASHED);
		ck_assert_uint_eq(o.n_crashes, n);
		ck_assert_uint_eq(runs, n < 3 ? n + 1 : 0);
		ck_assert_uint_eq(runs_of(&plan), n < 3 ? n + 1 : 3);
	}
	ck_assert_uint_eq(stats_of(pool).n_crashed, 1);
	ck_assert_uint_eq(stats_of(pool).n_done, 3);
	ck_assert_uint_eq(stats_of(pool).n_retries, 1 + 2 + 2);
	end_pool(pool);
}
END_TEST

/* Nobody has asked for it. */
START_TEST(test_once_by_default)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct crash_plan plan = plan_of(1, 1, END_KILL);
	struct reeve_outcome o;

	ck_assert_int_eq(reeve_pool_apply(pool, crash_first, &plan,
					  sizeof(plan), NULL, NULL, &o),
			 -EPIPE);
	ck_assert_uint_eq(o.n_crashes, 1);
	ck_assert_uint_eq(runs_of(&plan), 1);
	end_pool(pool);
}
END_TEST

/* A task may wish otherwise than its pool; each death is told. */
START_TEST(test_deaths)
{
	const struct reeve_pool_spec spec = { .max_crashes_per_task = 9 };
	struct reeve_pool *pool = new_pool(_i, spec);
	struct crash_plan two = plan_of(1, 2, END_CLOSE_FDS);
	struct crash_plan once = plan_of(2, 2, END_EXIT_3);
	struct reeve_result *results[] = { start(pool, &two, 0, 0),
					   start(pool, &once, 1, 0) };
	struct reeve_death deaths[3];
	struct reeve_outcome o;

	ck_assert_int_eq(reeve_result_wait(results[0], LONG_WAIT), 0);
	reeve_result_outcome(results[0], &o);
	ck_assert_int_eq(o.kind, REEVE_DONE);
	ck_assert_uint_eq(o.n_crashes, 2);
	ck_assert_uint_eq(reeve_result_deaths(results[0], deaths, 3), 2);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(deaths[i].cause, REEVE_DEATH_CUT_OFF);
		ck_assert(deaths[i].was_busy);
		ck_assert(deaths[i].function == crash_first);
		ck_assert_uint_eq(deaths[i].job, 1);
		ck_assert_uint_eq(deaths[i].index, 0);
	}
	ck_assert_uint_ge(deaths[0].when_usec, deaths[1].when_usec);
	ck_assert_int_ne(deaths[0].exit.pid, deaths[1].exit.pid);
	ck_assert_uint_eq(runs_of(&two), 3);

	ck_assert_int_eq(reeve_result_wait(results[1], LONG_WAIT), 0);
	reeve_result_outcome(results[1], &o);
	ck_assert_int_eq(o.kind, REEVE_CRASHED);
	ck_assert_uint_eq(reeve_result_deaths(results[1], deaths, 3), 1);
	ck_assert_int_eq(deaths[0].exit.code, 3);
	ck_assert_int_eq(deaths[0].exit.pid, o.pid);
	ck_assert_uint_eq(runs_of(&once), 1);
	ck_assert_uint_eq(reeve_pool_report(pool, NULL, 0), 3);
	for (int i = 0; i < 2; i++)
		reeve_result_unref(results[i]);
	end_pool(pool);
}
END_TEST

/* Neither a deadline nor a failure. */
START_TEST(test_no_other_end)
{
	const struct reeve_pool_spec spec = {
		.max_crashes_per_task = 5,
		.task_timeout_usec = 200 * USEC_PER_MSEC,
	};
	struct reeve_pool *pool = new_pool(_i, spec);
	struct crash_plan plan = plan_of(1, 9, END_COUNT); /* hangs */
	struct reeve_result *result = start(pool, &plan, 0, 0);
	struct reeve_death death;
	struct reeve_outcome o;

	ck_assert_int_eq(reeve_result_wait(result, LONG_WAIT), 0);
	reeve_result_outcome(result, &o);
	ck_assert_int_eq(o.kind, REEVE_TIMEOUT);
	ck_assert_uint_eq(o.n_crashes, 0);
	ck_assert_uint_eq(reeve_result_deaths(result, &death, 1), 1);
	ck_assert_int_eq(death.cause, REEVE_DEATH_TASK_TIMEOUT);
	ck_assert_uint_eq(runs_of(&plan), 1);
	ck_assert_int_eq(
		reeve_pool_apply(pool, fail_on, "x", 1, NULL, NULL, &o), -EIO);
	ck_assert_uint_eq(stats_of(pool).n_retries, 0);
	reeve_result_unref(result);
	end_pool(pool);
}
END_TEST

START_TEST(test_limits)
{
	const struct reeve_pool_spec most = {
		.max_crashes_per_task = REEVE_CRASHES_MAX,
	};
	const struct reeve_pool_spec more = {
		.max_crashes_per_task = REEVE_CRASHES_MAX + 1,
	};
	const struct reeve_apply_spec apply = {
		.max_crashes = REEVE_CRASHES_MAX + 1,
	};
	const struct reeve_map_spec map = {
		.max_crashes = REEVE_CRASHES_MAX + 1,
	};
	const struct reeve_imap_spec imap = {
		.max_crashes = REEVE_CRASHES_MAX + 1,
	};
	struct reeve_iterator *it = NULL;
	struct reeve_pool *pool = NULL;

	ck_assert_int_eq(reeve_pool_new(&more, &pool), -EINVAL);
	pool = new_pool(_i, most);
	ck_assert_int_eq(reeve_pool_apply_async(pool, echo, "", 1, &apply,
						NULL),
			 -EINVAL);
	ck_assert_int_eq(reeve_pool_map(pool, echo, &map), -EINVAL);
	ck_assert_int_eq(reeve_pool_imap(pool, echo, &imap, &it), -EINVAL);
	end_pool(pool);
}
END_TEST

/* ---- when -------------------------------------------------------------------- */

#define DELAY_USEC (120 * USEC_PER_MSEC)

START_TEST(test_delay)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){
				     .max_crashes_per_task = 3,
				     .retry_delay_usec = DELAY_USEC,
			     });
	struct crash_plan plan = plan_of(1, 2, END_KILL);
	uint64_t begun = clock_monotonic_usec();
	struct reeve_result *result = start(pool, &plan, 0, 0);

	ck_assert_int_eq(reeve_result_wait(result, LONG_WAIT), 0);
	ck_assert_int_eq(reeve_result_successful(result), 1);
	ck_assert_uint_ge(clock_monotonic_usec() - begun, 2 * DELAY_USEC);
	ck_assert_uint_eq(runs_of(&plan), 3);
	reeve_result_unref(result);
	end_pool(pool);
}
END_TEST

/* Who sleeps in a loop of his own is woken for it. */
START_TEST(test_delay_by_fd)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct crash_plan plan = plan_of(1, 1, END_KILL);
	struct pollfd p = { reeve_pool_fd(pool), POLLIN, 0 };
	uint64_t begun = clock_monotonic_usec();
	struct reeve_result *result;

	if (p.fd < 0) {
		end_pool(pool);
		return;
	}
	result = start(pool, &plan, 2, DELAY_USEC);
	while (reeve_result_ready(result) == 0) {
		ck_assert_int_eq(poll(&p, 1, (int)(LONG_WAIT / 1000)), 1);
		ck_assert_int_ge(reeve_pool_dispatch(pool), 0);
	}
	ck_assert_uint_ge(clock_monotonic_usec() - begun, DELAY_USEC);
	ck_assert_uint_eq(runs_of(&plan), 2);
	reeve_result_unref(result);
	end_pool(pool);
}
END_TEST

/* While one waits, others are done. */
START_TEST(test_others_meanwhile)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct crash_plan plan = plan_of(1, 1, END_KILL);
	struct reeve_result *result = start(pool, &plan, 2, USEC_PER_HOUR);

	wait_for_retries(pool, 1);
	for (uint64_t i = 0; i < 100; i++)
		check_square(pool, i);
	ck_assert_int_eq(reeve_result_ready(result), 0);
	ck_assert_uint_eq(stats_of(pool).n_queued, 1);
	ck_assert_int_eq(reeve_pool_terminate(pool), 0);
	ck_assert_int_eq(reeve_result_ready(result), 1);
	ck_assert_uint_eq(runs_of(&plan), 1);
	reeve_result_unref(result);
	reeve_pool_free(pool);
}
END_TEST

/* Nobody is killed for it, and the right one is withdrawn. */
START_TEST(test_cancel)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct crash_plan plans[] = { plan_of(1, 1, END_KILL),
				      plan_of(2, 1, END_KILL) };
	struct reeve_result *results[] = {
		start(pool, &plans[0], 2, USEC_PER_HOUR),
		start(pool, &plans[1], 2, 3 * DELAY_USEC),
	};
	struct reeve_outcome o;

	wait_for_retries(pool, 2);
	ck_assert_int_eq(reeve_result_cancel(results[0]), 0);
	reeve_result_outcome(results[0], &o);
	ck_assert_int_eq(o.kind, REEVE_CANCELLED);
	ck_assert_uint_eq(o.n_crashes, 1);
	ck_assert_uint_eq(reeve_result_deaths(results[0], NULL, 0), 1);
	ck_assert_int_eq(reeve_result_wait(results[1], LONG_WAIT), 0);
	ck_assert_int_eq(reeve_result_successful(results[1]), 1);
	ck_assert_uint_eq(reeve_pool_report(pool, NULL, 0), 2);
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(runs_of(&plans[i]), i + 1);
		reeve_result_unref(results[i]);
	}
	end_pool(pool);
}
END_TEST

/* What was accepted is done, also for the second time, and though an iterator is
 * all that is left. */
START_TEST(test_close)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct crash_plan plans[] = { plan_of(1, 1, END_KILL),
				      plan_of(2, 1, END_KILL) };
	struct reeve_result *result = start(pool, &plans[0], 2, 1000);
	struct reeve_iterator *it;
	struct reeve_item item;

	ck_assert_int_eq(reeve_pool_imap(pool, crash_first,
					 &(struct reeve_imap_spec){
						 .inputs = &plans[1],
						 .input_size = sizeof(plans[1]),
						 .n_items = 1,
						 .max_crashes = 2,
						 .retry_delay_usec = DELAY_USEC,
					 },
					 &it),
			 0);
	ck_assert_int_eq(reeve_pool_close(pool), 0);
	ck_assert_int_eq(reeve_pool_join(pool, LONG_WAIT), 0);
	ck_assert_int_eq(reeve_result_successful(result), 1);
	ck_assert_int_eq(reeve_iterator_next(it, 0, &item), 1);
	ck_assert_int_eq(item.outcome->kind, REEVE_DONE);
	reeve_iterator_free(it);
	reeve_result_unref(result);
	reeve_pool_free(pool);
	for (int i = 0; i < 2; i++)
		ck_assert_uint_eq(runs_of(&plans[i]), 2);
}
END_TEST

/* The keeper's death is one of the task, too. */
START_TEST(test_keeper_killed)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct crash_plan plan = plan_of(1, 1, END_COUNT); /* hangs, once */
	struct reeve_result *result = start(pool, &plan, 2, 0);
	/* Who may not fork any more can run nothing again. */
	bool has_another = pool_modes[_i].context != REEVE_CONTEXT_FORK ||
			   pool_modes[_i].service != REEVE_SERVICE_THREAD;
	struct reeve_death death = { 0 };
	struct reeve_outcome o;

	wait_until_running(pool, 1);
	while (access(plan.path, F_OK) < 0)
		(void)reeve_pool_dispatch(pool);
	ck_assert_int_eq(kill(pool->keeper_pid, SIGKILL), 0);
	ck_assert_int_eq(reeve_result_wait(result, LONG_WAIT), 0);
	reeve_result_outcome(result, &o);
	ck_assert_int_eq(o.kind, has_another ? REEVE_DONE : REEVE_CANCELLED);
	ck_assert_uint_eq(o.n_crashes, 1);
	ck_assert_uint_eq(reeve_result_deaths(result, &death, 1), 1);
	ck_assert_int_eq(death.cause, REEVE_DEATH_KEEPER);
	ck_assert_uint_eq(runs_of(&plan), has_another ? 2 : 1);
	reeve_result_unref(result);
	if (has_another)
		end_pool(pool);
	else
		reeve_pool_free(pool);
}
END_TEST

/* ---- many -------------------------------------------------------------------- */

/* Each crashes as often as its number says, in chunks; three times is too much. */
START_TEST(test_map)
{
	enum { N = 12 };
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct reeve_outcome outcomes[N];
	struct crash_plan plans[N];
	uint64_t runs[N];
	const struct reeve_map_spec spec = {
		.inputs = plans,
		.input_size = sizeof(plans[0]),
		.n_items = N,
		.outputs = runs,
		.output_size = sizeof(runs[0]),
		.outcomes = outcomes,
		.chunksize = 4,
		.max_crashes = 3,
	};

	for (unsigned i = 0; i < N; i++)
		plans[i] = plan_of(i, i % 4, END_KILL);
	ck_assert_int_eq(reeve_pool_map(pool, crash_first, &spec), N / 4);
	for (unsigned i = 0; i < N; i++) {
		ck_assert_int_eq(outcomes[i].kind,
				 i % 4 < 3 ? REEVE_DONE : REEVE_CRASHED);
		ck_assert_uint_eq(outcomes[i].n_crashes, i % 4);
		if (i % 4 < 3)
			ck_assert_uint_eq(runs[i], i % 4 + 1);
		ck_assert_uint_eq(runs_of(&plans[i]),
				  i % 4 < 3 ? i % 4 + 1 : 3);
	}
	end_pool(pool);
}
END_TEST

/* The deaths of the item that is the result's outcome. */
START_TEST(test_map_async)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct crash_plan plans[] = { plan_of(1, 1, END_KILL),
				      plan_of(2, 9, END_EXIT_3) };
	const struct reeve_map_spec spec = {
		.inputs = plans,
		.input_size = sizeof(plans[0]),
		.n_items = 2,
		.max_crashes = 2,
	};
	struct reeve_death deaths[3];
	struct reeve_result *result;
	struct reeve_outcome o;

	ck_assert_int_eq(reeve_pool_map_async(pool, crash_first, &spec, NULL,
					      &result),
			 0);
	ck_assert_int_eq(reeve_result_wait(result, LONG_WAIT), 0);
	reeve_result_outcome(result, &o);
	ck_assert_int_eq(o.kind, REEVE_CRASHED);
	ck_assert_uint_eq(o.n_crashes, 2);
	ck_assert_uint_eq(reeve_result_deaths(result, deaths, 3), 2);
	ck_assert_uint_eq(deaths[0].index, 1);
	ck_assert_int_eq(deaths[1].exit.code, 3);
	reeve_result_unref(result);
	for (int i = 0; i < 2; i++)
		ck_assert_uint_eq(runs_of(&plans[i]), 2);
	end_pool(pool);
}
END_TEST

/* The generator is not asked again. */
static int give_plan(void *userdata, const void **ret_input, size_t *ret_size)
{
	static struct crash_plan plan;
	unsigned *n = userdata;

	if (*n == 10)
		return 0;
	plan = plan_of(*n, *n % 3, END_SEGV);
	++*n;
	*ret_input = &plan;
	*ret_size = sizeof(plan);
	return 1;
}

START_TEST(test_imap)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	unsigned n = 0, n_items = 0;
	const struct reeve_imap_spec spec = {
		.generator = give_plan,
		.userdata = &n,
		.chunksize = 3,
		.max_crashes = 2,
	};
	struct reeve_iterator *it;
	struct reeve_item item;

	ck_assert_int_eq(reeve_pool_imap(pool, crash_first, &spec, &it), 0);
	while (reeve_iterator_next(it, LONG_WAIT, &item) == 1) {
		struct crash_plan plan = plan_of((unsigned)item.index, 0, 0);
		unsigned k = item.index % 3;

		ck_assert_uint_eq(item.index, n_items++);
		ck_assert_int_eq(item.outcome->kind,
				 k < 2 ? REEVE_DONE : REEVE_CRASHED);
		ck_assert_uint_eq(item.outcome->n_crashes, k);
		ck_assert_uint_eq(item.n_deaths, k);
		for (size_t i = 0; i < item.n_deaths; i++) {
			ck_assert_int_eq(item.deaths[i].exit.code, -SIGSEGV);
			ck_assert_uint_eq(item.deaths[i].index, item.index);
		}
		ck_assert_uint_eq(runs_of(&plan), k < 2 ? k + 1 : 2);
	}
	ck_assert_uint_eq(n_items, 10);
	ck_assert_uint_eq(n, 10);
	reeve_iterator_free(it);
	end_pool(pool);
}
END_TEST

/* ---- a storm ----------------------------------------------------------------- */

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
	while (spin < i % 7 * 4000)
		spin++;
	atomic_fetch_add(&ledger[i].finished, 1);
	return reeve_reply_set(reply, &i, sizeof(i));
}

static void kill_somebody(struct reeve_pool *pool, struct rng *rng,
			  int *n_kills)
{
	struct reeve_worker_stats workers[8];
	size_t n = reeve_pool_workers(pool, workers, 8);
	pid_t pid = n ? workers[rng_below(rng, n)].pid : 0;

	*n_kills += pid > 0 && kill(pid, SIGKILL) == 0;
}

static void check_entry(const struct reeve_item *item, uint64_t *n_crashes)
{
	const struct ledger *l = &ledger[item->index];

	ck_assert_int_eq(item->outcome->kind, REEVE_DONE);
	/* A worker may have had it without having begun. */
	ck_assert_uint_ge(l->begun, 1);
	ck_assert_uint_le(l->begun, item->outcome->n_crashes + 1);
	ck_assert_uint_ge(l->finished, 1);
	ck_assert_uint_eq(item->n_deaths, item->outcome->n_crashes);
	ck_assert_mem_eq(item->output, &item->index, sizeof(item->index));
	*n_crashes += item->outcome->n_crashes;
}

/* Workers are killed at random: in the end all is done. */
START_TEST(test_storm)
{
	const uint64_t n_items = getenv("REEVE_SOAK") ? 1000000 : 8000;
	uint64_t *in = calloc(n_items, 8), n = 0, n_crashes = 0, next = 0;
	struct reeve_imap_spec spec = { .inputs = in,
					.input_size = 8,
					.n_items = n_items,
					.chunksize = 5,
					.max_crashes = REEVE_CRASHES_MAX };
	struct rng rng = { 1234 };
	struct reeve_iterator *it;
	struct reeve_item item;
	struct reeve_pool *pool;
	int n_kills = 0;

	if (pool_modes[_i].context != REEVE_CONTEXT_FORK) {
		free(in);
		return; /* the ledger is inherited */
	}
	ck_assert_ptr_nonnull(in);
	ledger = mmap(NULL, n_items * sizeof(*ledger), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(ledger, MAP_FAILED);
	for (uint64_t i = 0; i < n_items; i++)
		in[i] = i;
	pool = new_pool(_i, (struct reeve_pool_spec){
				    .processes = 3, .restart_limit = 100000 });
	ck_assert_int_eq(reeve_pool_imap_unordered(pool, note, &spec, &it), 0);
	while (reeve_iterator_next(it, LONG_WAIT, &item) == 1) {
		uint64_t now = clock_monotonic_usec();

		check_entry(&item, &n_crashes);
		if (++n % 32 != 0 || now < next)
			continue;
		kill_somebody(pool, &rng, &n_kills);
		next = now + rng_below(&rng, 2000);
	}
	ck_assert_uint_eq(n, n_items);
	reeve_iterator_free(it);
	ck_assert_uint_eq(stats_of(pool).n_retries, n_crashes);
	ck_assert_uint_eq(stats_of(pool).n_crashed, 0);
	ck_assert_uint_le(n_crashes, (uint64_t)n_kills);
	printf("COUNT %d kills of workers\nCOUNT %" PRIu64 " items run again\n",
	       n_kills, n_crashes);
	end_pool(pool);
	(void)munmap(ledger, n_items * sizeof(*ledger));
	free(in);
}
END_TEST

POOL_MAIN("pool_retry", test_apply, test_once_by_default, test_deaths,
	  test_no_other_end, test_limits, test_delay, test_delay_by_fd,
	  test_others_meanwhile, test_cancel, test_close, test_keeper_killed,
	  test_map, test_map_async, test_imap, test_storm)
