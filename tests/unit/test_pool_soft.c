/* Soft deadlines in real pools: the task is told by the flag and by a signal, may
 * come to its end all the same, and is killed at the hard one. Nobody else hears
 * of it: not the next item, nor a child, nor another thread. The moments at which
 * that could go wrong are looked for in test_pool_soft_race.c and
 * test_pool_slots.c; here the keeper is the real one. REEVE_SOAK=n: a hundred
 * thousand items end at their deadline, n times.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>

#include "tests/unit/pool_rig.h"
#include "workers/base/pure/rng.h"

#define SOFT_USEC UINT64_C(15000)

/* ---- in the worker ------------------------------------------------------------- */

static volatile sig_atomic_t n_signals, n_wrong, n_strangers;
static struct reeve_reply *volatile current; /* while a task runs */
static sigjmp_buf place;
static volatile sig_atomic_t wants_jump;

static void on_signal(int signo _unused_)
{
	n_signals = n_signals + 1;
	n_strangers = n_strangers + (gettid() != getpid());
	n_wrong = n_wrong + (current && !reeve_task_is_overdue(current));
	if (wants_jump)
		siglongjmp(place, 1);
}

static void *wait_in_thread(void *arg _unused_)
{
	for (;;)
		(void)pause();
	return NULL;
}

/* Handler, and a thread that would take the signal as well. */
static int install(void *argument _unused_, size_t size _unused_)
{
	pthread_t thread;

	(void)sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = on_signal },
			NULL);
	return -pthread_create(&thread, NULL, wait_in_thread, NULL);
}

enum deed {
	GIVES_UP,    /* when it is told: FAILED */
	IS_QUICK,    /* at once: DONE */
	TIDIES_UP,   /* when it is told: DONE */
	IS_STUBBORN, /* for ever */
	SLEEPS,	     /* until a signal comes */
	BLOCKS,	     /* the signal, and leaves it so; until it is told */
	IGNORES,     /* the same */
	JUMPS,	     /* out of a loop without end */
	HAS_CHILD    /* which would say that it got the signal */
};

/* What a task found. */
struct found {
	uint32_t n_signals, n_wrong, n_strangers, is_overdue;
};

static void wait_until_told(const struct reeve_reply *reply)
{
	while (!reeve_task_is_overdue(reply))
		(void)poll(NULL, 0, 1);
}

static void mask(int how)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR1);
	(void)pthread_sigmask(how, &set, NULL);
}

static void jump(void)
{
	wants_jump = 1;
	if (sigsetjmp(place, 1) == 0)
		for (;;)
			(void)pause();
	wants_jump = 0;
}

/* Returns how many signals the child got. */
static int ask_child(const struct reeve_reply *reply)
{
	int up[2], down[2];
	unsigned char n = 0;

	if (pipe(up) < 0 || pipe(down) < 0)
		return 99;
	if (fork() == 0) {
		n_signals = 0;
		while (read(down[0], &n, 1) < 0 && errno == EINTR)
			continue;
		n = (unsigned char)n_signals;
		(void)!write(up[1], &n, 1);
		_exit(0);
	}
	wait_until_told(reply);
	(void)!write(down[1], &n, 1);
	while (read(up[0], &n, 1) < 0 && errno == EINTR)
		continue;
	for (int i = 0; i < 2; i++) {
		close(up[i]);
		close(down[i]);
	}
	return n;
}

static int act(enum deed deed, struct reeve_reply *reply)
{
	switch (deed) {
	case IS_QUICK:
		return 0;
	case GIVES_UP:
		wait_until_told(reply);
		return reeve_reply_error(reply, -ETIME, "tidied up");
	case TIDIES_UP:
		wait_until_told(reply);
		return 0;
	case IS_STUBBORN:
		for (;;)
			(void)pause();
	case SLEEPS: /* it may have come before */
		while (n_signals == 0)
			(void)poll(NULL, 0, 1000);
		return 0;
	case BLOCKS:
		mask(SIG_BLOCK);
		wait_until_told(reply);
		return 0;
	case IGNORES:
		(void)sigaction(SIGUSR1,
				&(struct sigaction){ .sa_handler = SIG_IGN },
				NULL);
		wait_until_told(reply);
		return 0;
	case JUMPS:
		jump();
		return 0;
	case HAS_CHILD:
		return ask_child(reply);
	}
	return -EINVAL;
}

static int do_deed(void *input, size_t size _unused_, struct reeve_reply *reply)
{
	struct found found;
	int status;

	n_signals = 0;
	current = reply;
	status = act(*(const enum deed *)input, reply);
	current = NULL;
	if (status != 0)
		return status;
	found = (struct found){ (uint32_t)n_signals, (uint32_t)n_wrong,
				(uint32_t)n_strangers,
				reeve_task_is_overdue(reply) };
	return reeve_reply_set(reply, &found, sizeof(found));
}

/* Spins for so many microseconds. */
static int spin(void *input, size_t size _unused_, struct reeve_reply *reply)
{
	uint64_t end = clock_monotonic_usec() + *(const uint64_t *)input;
	struct found found = { 0 };

	current = reply;
	while (clock_monotonic_usec() < end)
		continue;
	current = NULL;
	found.n_wrong = (uint32_t)n_wrong;
	found.n_signals = (uint32_t)n_signals;
	return reeve_reply_set(reply, &found, sizeof(found));
}

static const struct reeve_function functions[] = {
	{ "do_deed", do_deed, NULL }, { "spin", spin, NULL },
	{ "square", square, NULL },   { "install", NULL, install },
	{ NULL, NULL, NULL },
};

/* ---- the owner -------------------------------------------------------------------- */

static struct reeve_pool *new_soft_pool(int mode, struct reeve_pool_spec spec)
{
	spec.processes = 1;
	spec.task_soft_timeout_usec = spec.task_soft_timeout_usec ?: SOFT_USEC;
	return new_pool(mode, spec);
}

static struct reeve_pool *new_signal_pool(int mode)
{
	return new_soft_pool(mode, (struct reeve_pool_spec){
					   .soft_signal = SIGUSR1,
					   .initializer = install,
				   });
}

static int run(struct reeve_pool *pool, enum deed deed, struct found *found,
	       struct reeve_outcome *o)
{
	size_t size = sizeof(*found);

	return reeve_pool_apply(pool, do_deed, &deed, sizeof(deed), found,
				&size, o);
}

static uint64_t count_overdue(struct reeve_pool *pool)
{
	struct reeve_pool_stats stats;

	reeve_pool_stats(pool, &stats);
	return stats.n_overdue;
}

START_TEST(test_spec)
{
	static const struct {
		uint64_t soft, hard;
		int signal, error;
	} cases[] = {
		{ 5000, 0, 0, 0 },
		{ 5000, 5001, SIGUSR1, 0 },
		{ 5000, 0, 34, 0 },
		{ 5000, 5000, 0, -EINVAL },
		{ 5000, 4999, 0, -EINVAL },
		{ 0, 5000, SIGUSR1, -EINVAL }, /* when should it be sent? */
		{ 5000, 0, SIGKILL, -EINVAL },
		{ 5000, 0, SIGSTOP, -EINVAL },
		{ 5000, 0, 32, -EINVAL }, /* glibc's own */
		{ 5000, 0, -1, -EINVAL },
		{ 5000, 0, 65, -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct reeve_pool_spec spec = {
			.processes = 1,
			.task_soft_timeout_usec = cases[i].soft,
			.task_timeout_usec = cases[i].hard,
			.soft_signal = cases[i].signal,
		};
		struct reeve_pool *pool = NULL;

		ck_assert_int_eq(reeve_pool_new(&spec, &pool), cases[i].error);
		reeve_pool_free(pool);
	}
}
END_TEST

/* It is told, ends as it likes, and its worker lives on. */
START_TEST(test_flag)
{
	struct reeve_pool *pool =
		new_soft_pool(_i, (struct reeve_pool_spec){ 0 });
	uint64_t began = clock_monotonic_usec();
	struct reeve_outcome o;
	struct found found;
	pid_t pid;

	ck_assert_int_eq(run(pool, GIVES_UP, &found, &o), -ETIME);
	ck_assert_uint_ge(clock_monotonic_usec() - began, SOFT_USEC);
	ck_assert_int_eq(o.kind, REEVE_FAILED);
	ck_assert_str_eq(o.message, "tidied up");
	pid = o.pid;
	ck_assert_int_eq(run(pool, TIDIES_UP, &found, &o), 0);
	ck_assert_uint_eq(found.is_overdue, 1);
	ck_assert_uint_ge(count_overdue(pool), 2);
	ck_assert_int_eq(run(pool, IS_QUICK, &found, &o), 0);
	ck_assert_int_eq(o.pid, pid);
	end_pool(pool);
}
END_TEST

START_TEST(test_hard_after_soft)
{
	struct reeve_pool *pool =
		new_soft_pool(_i, (struct reeve_pool_spec){
					  .task_timeout_usec = 4 * SOFT_USEC });
	uint64_t began = clock_monotonic_usec();
	struct reeve_outcome o;
	struct found found;

	ck_assert_int_eq(run(pool, IS_STUBBORN, &found, &o), -ETIMEDOUT);
	ck_assert_uint_ge(clock_monotonic_usec() - began, 4 * SOFT_USEC);
	ck_assert_int_eq(o.kind, REEVE_TIMEOUT);
	ck_assert_uint_ge(count_overdue(pool), 1); /* it had been told */
	end_pool(pool);
}
END_TEST

/* One signal, to the thread that runs the task. */
START_TEST(test_signal)
{
	struct reeve_pool *pool = new_signal_pool(_i);
	struct reeve_outcome o;
	struct found found;

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(run(pool, SLEEPS, &found, &o), 0);
		ck_assert_uint_eq(found.n_signals, 1);
		ck_assert_uint_eq(found.is_overdue, 1);
		ck_assert_uint_eq(found.n_wrong, 0);
		ck_assert_uint_eq(found.n_strangers, 0);
	}
	ck_assert_int_eq(run(pool, JUMPS, &found, &o), 0);
	ck_assert_uint_eq(found.n_signals, 1);
	ck_assert_int_eq(run(pool, SLEEPS, &found, &o), 0);
	ck_assert_int_eq(run(pool, HAS_CHILD, &found, &o), 0);
	ck_assert_uint_eq(count_overdue(pool), 6);
	end_pool(pool);
}
END_TEST

/* Whoever blocks or ignores it has the flag still; the next one has the signal,
 * its own and no other's. */
START_TEST(test_changed_mask)
{
	struct reeve_pool *pool = new_signal_pool(_i);
	struct reeve_outcome o;
	struct found found;

	ck_assert_int_eq(run(pool, BLOCKS, &found, &o), 0);
	ck_assert_uint_eq(found.n_signals, 0);
	ck_assert_int_eq(run(pool, SLEEPS, &found, &o), 0);
	ck_assert_uint_eq(found.n_signals, 1);
	ck_assert_int_eq(run(pool, IGNORES, &found, &o), 0);
	ck_assert_uint_eq(found.n_signals, 0);
	ck_assert_int_eq(run(pool, TIDIES_UP, &found, &o), 0);
	ck_assert_uint_eq(found.n_signals, 0);
	ck_assert_uint_eq(found.n_wrong, 0);
	end_pool(pool);
}
END_TEST

/* The default action is the user's choice. */
START_TEST(test_without_a_handler)
{
	struct reeve_pool *pool = new_soft_pool(
		_i, (struct reeve_pool_spec){ .soft_signal = SIGUSR1 });
	struct reeve_outcome o;
	struct found found;

	ck_assert_int_eq(run(pool, IS_STUBBORN, &found, &o), -EPIPE);
	ck_assert_int_eq(o.kind, REEVE_CRASHED);
	ck_assert_int_eq(o.exit.code, -SIGUSR1);
	end_pool(pool);
}
END_TEST

/* Each item of a chunk has its own deadline, and its own signal. */
START_TEST(test_items_of_a_chunk)
{
	static const enum deed deeds[] = { IS_QUICK, SLEEPS, TIDIES_UP,
					   IS_QUICK, BLOCKS, SLEEPS };
	struct found found[ARRAY_SIZE(deeds)] = { 0 };
	struct reeve_pool *pool = new_signal_pool(_i);

	ck_assert_int_eq(reeve_pool_map(pool, do_deed,
					&(struct reeve_map_spec){
						.inputs = deeds,
						.input_size = sizeof(deeds[0]),
						.n_items = ARRAY_SIZE(deeds),
						.outputs = found,
						.output_size = sizeof(found[0]),
						.chunksize = ARRAY_SIZE(deeds),
					}),
			 0);
	for (size_t i = 0; i < ARRAY_SIZE(deeds); i++) {
		ck_assert_uint_eq(found[i].n_wrong, 0);
		ck_assert_uint_le(found[i].n_signals, 1);
		ck_assert_uint_eq(found[i].n_signals,
				  deeds[i] == SLEEPS ? 1 : found[i].n_signals);
		ck_assert(deeds[i] == IS_QUICK || found[i].is_overdue);
	}
	ck_assert_uint_ge(count_overdue(pool), 4);
	end_pool(pool);
}
END_TEST

START_TEST(test_cancel_of_one_that_was_told)
{
	struct reeve_pool *pool = new_signal_pool(_i);
	enum deed deed = IS_STUBBORN;
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;
	struct reeve_result *result;
	struct reeve_outcome o;
	int r;

	ck_assert_int_eq(reeve_pool_apply_async(pool, do_deed, &deed,
						sizeof(deed), NULL, &result),
			 0);
	while (count_overdue(pool) == 0 && clock_monotonic_usec() < end)
		(void)reeve_result_wait(result, 1000);
	wait_until_running(pool, 1);
	ck_assert_int_eq(reeve_result_cancel(result), 0);
	r = reeve_result_get(result, LONG_WAIT, NULL, 0, NULL);
	ck_assert_int_eq(r, -ECANCELED);
	reeve_result_outcome(result, &o);
	ck_assert_int_eq(o.kind, REEVE_CANCELLED);
	reeve_result_unref(result);
	end_pool(pool);
}
END_TEST

/* ---- items that end at their deadline ------------------------------------------- */

static void run_close(struct reeve_pool *pool, size_t n, struct rng *dice)
{
	uint64_t *lasts = calloc(n, sizeof(*lasts));
	struct found *found = calloc(n, sizeof(*found));

	ck_assert(lasts && found);
	for (size_t i = 0; i < n; i++) /* seen up to 1 ms late */
		lasts[i] = 950 + rng_below(dice, 1200);
	ck_assert_int_eq(reeve_pool_map(pool, spin,
					&(struct reeve_map_spec){
						.inputs = lasts,
						.input_size = sizeof(lasts[0]),
						.n_items = n,
						.outputs = found,
						.output_size = sizeof(found[0]),
						.chunksize = 5,
					}),
			 0);
	for (size_t i = 0; i < n; i++)
		ck_assert_uint_eq(found[i].n_wrong, 0);
	free(lasts);
	free(found);
}

START_TEST(test_ends_at_the_deadline)
{
	const char *soak = getenv("REEVE_SOAK");
	uint64_t n = soak ? strtoull(soak, NULL, 10) * 100000 : 80;
	struct rng dice = { 1 };
	struct reeve_pool *pool = NULL;

	if (_i > 0) /* it is the keeper's business, and that is the same */
		return;
	pool = new_soft_pool(0, (struct reeve_pool_spec){
					.soft_signal = SIGUSR1,
					.initializer = install,
					.task_soft_timeout_usec = 1000,
				});
	for (uint64_t done = 0; done < n; done += 80)
		run_close(pool, 80, &dice);
	printf("%lu items, of which %lu overdue\n", (unsigned long)n,
	       (unsigned long)count_overdue(pool));
	ck_assert_uint_gt(count_overdue(pool), 0);
	ck_assert_uint_lt(count_overdue(pool), n);
	end_pool(pool);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
		test_spec,
		test_flag,
		test_hard_after_soft,
		test_signal,
		test_changed_mask,
		test_without_a_handler,
		test_items_of_a_chunk,
		test_cancel_of_one_that_was_told,
		test_ends_at_the_deadline,
	};

	if (reeve_pool_setup(functions) < 0)
		return 2;
	return unit_loop_main("pool_soft", ARRAY_SIZE(pool_modes), tests,
			      ARRAY_SIZE(tests), argc > 0 ? argv + 1 : argv);
}
