/* Owner, keeper or worker is killed when it makes its k-th system call, for each
 * k of a small scenario. Between two system calls a process changes only its own
 * memory and rings, so these are all the states that others can find it in but
 * those of the rings, which the random kills and the simulator look for.
 *
 * The test is the tracer of all three (trace_rig.h). In `make check` only some
 * k are tried; with REEVE_SOAK all of them.
 */
#include "tests/unit/pool_rig.h"
#include "tests/unit/trace_rig.h"

#define DEADLINE_SECONDS 10
#define SAMPLES		 8
#define LARGE_SIZE	 ((size_t)64 << 10)

enum role { ROLE_OWNER, ROLE_KEEPER, ROLE_WORKER };

/* ---- the scenario: in the owner ------------------------------------------------- */

/* How it went, as exit code. */
enum verdict {
	IS_RIGHT,
	IS_LOST = 10, /* a task without an outcome */
	IS_WRONG,     /* DONE, with something else than its result */
	IS_BLAMED,    /* more tasks than can have been running */
	IS_STUCK      /* it did not end */
};

static enum verdict check_result(struct reeve_result *r, uint64_t x,
				 int *n_crashed)
{
	struct reeve_outcome o;
	uint64_t y = 0;

	if (reeve_result_wait(r, 5 * USEC_PER_SEC) < 0)
		return IS_LOST;
	reeve_result_outcome(r, &o);
	*n_crashed += o.kind == REEVE_CRASHED;
	if (o.kind != REEVE_DONE)
		return o.kind == REEVE_CRASHED ? IS_RIGHT : IS_WRONG;
	(void)reeve_result_get(r, 0, &y, sizeof(y), NULL);
	return y == x * x ? IS_RIGHT : IS_WRONG;
}

/* Six small tasks and a large one, by workers that are recycled meanwhile. */
static enum verdict use_pool(struct reeve_pool *pool, int *n_crashed)
{
	enum { N = 6 };
	static unsigned char large[LARGE_SIZE], back[LARGE_SIZE];
	struct reeve_result *results[N];
	enum verdict v = IS_RIGHT;
	struct reeve_outcome o;
	int r;

	for (uint64_t i = 0; i < N; i++)
		if (reeve_pool_apply_async(pool, square, &i, 8, NULL,
					   &results[i]) < 0)
			return IS_LOST;
	memset(large, 7, sizeof(large));
	r = reeve_pool_apply(pool, echo, large, sizeof(large), back,
			     &(size_t){ sizeof(back) }, &o);
	*n_crashed += o.kind == REEVE_CRASHED;
	if (o.kind != REEVE_CRASHED &&
	    (r != 0 || memcmp(large, back, sizeof(back)) != 0))
		v = IS_WRONG;
	for (uint64_t i = 0; i < N; i++) {
		if (v == IS_RIGHT)
			v = check_result(results[i], i, n_crashed);
		reeve_result_unref(results[i]);
	}
	return v;
}

static _Noreturn void own(int mode, int n_blamed_max)
{
	const struct reeve_pool_spec spec = {
		.processes = 2,
		.maxtasksperchild = 3,
		.context = pool_modes[mode].context,
		.spin_usec = -1,
	};
	struct reeve_pool *pool = NULL;
	int n_crashed = 0, r;
	enum verdict v;

	if (reeve_pool_new(&spec, &pool) < 0)
		_exit(1);
	v = use_pool(pool, &n_crashed);
	if (v == IS_RIGHT && n_crashed > n_blamed_max)
		v = IS_BLAMED;
	(void)reeve_pool_close(pool);
	r = reeve_pool_join(pool, 5 * USEC_PER_SEC);
	if (v == IS_RIGHT && r < 0)
		v = IS_STUCK;
	reeve_pool_free(pool);
	_exit((int)v);
}

/* ---- the tracer -------------------------------------------------------------------- */

struct life {
	int mode, n_blamed_max;
};

static void live(void *arg)
{
	const struct life *l = arg;

	own(l->mode, l->n_blamed_max);
}

static bool run(struct tracer *t, int mode, enum role target, int k)
{
	/* a keeper takes both workers along */
	struct life life = { mode, target == ROLE_WORKER ? 1 : 2 };

	*t = (struct tracer){
		.last_role = ROLE_WORKER,
		.target = (int)target,
		.victim = (int)target,
		.k = k,
		.n_kills = 1,
		.deadline_seconds = DEADLINE_SECONDS,
	};
	return trace_run(t, live, &life);
}

static void check_run(int mode, enum role target, int k)
{
	struct tracer t;
	bool is_over = run(&t, mode, target, k);

	ck_assert_msg(is_over, "role %d, call %d: hangs", (int)target, k);
	if (target == ROLE_OWNER && t.n_killed)
		ck_assert(WIFSIGNALED(t.status));
	else
		ck_assert_msg(WIFEXITED(t.status) && !WEXITSTATUS(t.status),
			      "role %d, call %d: status %#x", (int)target, k,
			      (unsigned)t.status);
}

/* k: some from the first to the last, or all. */
static void check_role(int mode, enum role target)
{
	bool is_all = getenv("REEVE_SOAK") != NULL;
	struct tracer t;
	int n, step;

	if (mode > 0 && pool_modes[mode].context == REEVE_CONTEXT_FORK)
		return; /* own() has no service thread: it would be the same */
	ck_assert(run(&t, mode, target, 0));
	ck_assert_int_eq(t.status, 0);
	n = t.n_stops;
	ck_assert_int_gt(n, 10);
	step = is_all || n < SAMPLES ? 1 : n / SAMPLES;
	for (int k = 1; k <= n; k += step)
		check_run(mode, target, k);
	unit_count((unsigned long)((n + step - 1) / step), "kills");
}

START_TEST(test_kill_owner)
{
	check_role(_i, ROLE_OWNER);
}
END_TEST

START_TEST(test_kill_keeper)
{
	check_role(_i, ROLE_KEEPER);
}
END_TEST

START_TEST(test_kill_worker)
{
	check_role(_i, ROLE_WORKER);
}
END_TEST

POOL_MAIN("pool_syscalls", test_kill_owner, test_kill_keeper, test_kill_worker)
