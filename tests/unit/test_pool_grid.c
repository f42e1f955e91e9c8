/* The crash grid: what a process can do {error, exit, crash, hang, kill} at each
 * moment of its life {in the initializer, before its first task, reading input,
 * running, replying, between tasks, while it is recycled, closing}. Every task has
 * one outcome, the right one, in every context and service.
 *
 * How a moment is met exactly: in a task, the task does it itself. In between, a
 * signal handler does, when the test sends the signal to a worker that it has
 * seen idle. On the way out, a stream does whose buffer is written by the fflush()
 * with which a worker ends.
 */
#include <inttypes.h>

#include "tests/unit/pool_rig.h"

/* Of a task; and of a worker, to begin or to leave: a sanitized one that executes
 * needs long to begin. */
#define TASK_TIME (300 * USEC_PER_MSEC)
#ifdef __SANITIZE_ADDRESS__
#define START_TIME (3 * USEC_PER_SEC)
#else
#define START_TIME (600 * USEC_PER_MSEC)
#endif
#define LARGE_SIZE ((size_t)256 << 10)

/* With a sanitizer, which looks for other faults, the first two modes do. */
#ifdef __SANITIZE_ADDRESS__
#define IS_LEFT_OUT(mode) ((mode) > 1)
#else
#define IS_LEFT_OUT(mode) false
#endif

enum event { EVENT_ERROR, EVENT_EXIT, EVENT_CRASH, EVENT_HANG, EVENT_KILL };

#define EVENT_COUNT 5

enum moment {
	IN_INITIALIZER,
	BEFORE_FIRST,
	READING,
	RUNNING,
	REPLYING,
	BETWEEN,
	RECYCLING,
	CLOSING
};

/* What a worker is told to do: the head of an input, or the argument of the
 * initializer. once: a file; who creates it does what is ordered. */
struct order {
	uint32_t event, moment;
	char once[88];
};

static struct order armed; /* of this worker */

/* ---- in the worker ----------------------------------------------------------- */

static void handle(int signo, void (*handler)(int))
{
	const struct sigaction action = { .sa_handler = handler };

	(void)sigaction(signo, &action, NULL);
}

static int do_event(enum event event)
{
	switch (event) {
	case EVENT_ERROR:
		return -EIO;
	case EVENT_EXIT:
		_exit(3);
	case EVENT_CRASH:
		handle(SIGSEGV, SIG_DFL);
		(void)raise(SIGSEGV);
		break;
	case EVENT_HANG:
		for (;;)
			pause();
	case EVENT_KILL:
		(void)kill(getpid(), SIGKILL);
		break;
	}
	_exit(99);
}

static bool is_first(const struct order *o)
{
	int fd = open(o->once, O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd >= 0 && close(fd) == 0;
}

static void on_signal(int signo _unused_)
{
	(void)do_event((enum event)armed.event);
}

/* The cookie of a stream: its buffer is written when the worker leaves. */
static ssize_t on_flush(void *cookie _unused_, const char *buf _unused_,
			size_t size)
{
	return is_first(&armed) && do_event((enum event)armed.event) < 0
		       ? -1
		       : (ssize_t)size;
}

static void arm_the_way_out(void)
{
	FILE *f = fopencookie(NULL, "w",
			      (cookie_io_functions_t){ .write = on_flush });

	if (f)
		(void)fputs("something", f);
}

static int begin(void *argument, size_t size)
{
	if (size != sizeof(armed))
		return -EINVAL;
	memcpy(&armed, argument, size);
	handle(SIGUSR1, on_signal);
	if (armed.moment == RECYCLING || armed.moment == CLOSING)
		arm_the_way_out();
	if (armed.moment == IN_INITIALIZER && is_first(&armed))
		return do_event((enum event)armed.event);
	return 0;
}

/* Reads half, works, replies half; at one of these something happens. */
static int victim(void *input, size_t size, struct reeve_reply *reply)
{
	const unsigned char *in = input;
	volatile uint64_t sum = 0;
	struct order o;
	unsigned char *out;

	memcpy(&o, input, sizeof(o));
	for (size_t i = 0; i < size; i++) {
		if (i == size / 2 && o.moment == READING)
			return do_event((enum event)o.event);
		sum += in[i];
	}
	(void)sum;
	if (o.moment == RUNNING)
		return do_event((enum event)o.event);
	out = reeve_reply_reserve(reply, size);
	if (!out)
		return -ENOMEM;
	memcpy(out, in, size / 2);
	if (o.moment == REPLYING)
		return do_event((enum event)o.event);
	memcpy(out, in, size);
	return 0;
}

static const struct reeve_function grid_functions[] = {
	{ "square", square, NULL },
	{ "victim", victim, NULL },
	{ "begin", NULL, begin },
	{ NULL, NULL, NULL },
};

/* ---- in the test -------------------------------------------------------------- */

/* What a task has to be told that something happened in. */
static const struct {
	enum reeve_outcome_kind kind;
	int error, code;
} expected[EVENT_COUNT] = {
	[EVENT_ERROR] = { REEVE_FAILED, -EIO, 0 },
	[EVENT_EXIT] = { REEVE_CRASHED, -EPIPE, 3 },
	[EVENT_CRASH] = { REEVE_CRASHED, -EPIPE, -SIGSEGV },
	[EVENT_HANG] = { REEVE_TIMEOUT, -ETIMEDOUT, -SIGKILL },
	[EVENT_KILL] = { REEVE_CRASHED, -EPIPE, -SIGKILL },
};

static struct reeve_pool *grid_pool(int mode, const struct order *o)
{
	const struct reeve_pool_spec spec = {
		.processes = 2,
		.initializer = begin,
		.initializer_argument = o,
		.initializer_size = sizeof(*o),
		.task_timeout_usec = TASK_TIME,
		.start_timeout_usec = START_TIME,
		.maxtasksperchild = o->moment == RECYCLING ? 4 : 0,
		.restart_limit = 100,
	};

	return new_pool(mode, spec);
}

static struct order new_order(enum moment moment, int event)
{
	struct order o = { .event = (uint32_t)event, .moment = moment };
	char name[16];

	(void)snprintf(name, sizeof(name), "once%d", event);
	(void)snprintf(o.once, sizeof(o.once), "%s", unit_path(name));
	return o;
}

/* 20 tasks at once, by all workers: each has its result. */
static void check_squares(struct reeve_pool *pool)
{
	enum { N = 20 };
	uint64_t in[N], out[N];
	const struct reeve_map_spec spec = {
		.inputs = in,
		.input_size = 8,
		.n_items = N,
		.outputs = out,
		.output_size = 8,
		.chunksize = 1,
	};

	for (uint64_t i = 0; i < N; i++)
		in[i] = i;
	memset(out, 0, sizeof(out));
	ck_assert_int_eq(reeve_pool_map(pool, square, &spec), 0);
	for (uint64_t i = 0; i < N; i++)
		ck_assert_uint_eq(out[i], i * i);
}

static void end_grid_pool(struct reeve_pool *pool, uint64_t n_crashed)
{
	struct reeve_pool_stats stats;

	ck_assert_int_eq(reeve_pool_close(pool), 0);
	ck_assert_int_eq(reeve_pool_join(pool, LONG_WAIT), 0);
	reeve_pool_stats(pool, &stats);
	ck_assert_uint_eq(stats.n_crashed, n_crashed);
	ck_assert_uint_eq(stats.n_queued + stats.n_running, 0);
	ck_assert_uint_eq(stats.n_live, 0);
	ck_assert_ptr_null(reeve_pool_free(pool));
}

/* The initializer of one worker goes wrong: no task is blamed. */
START_TEST(test_in_initializer)
{
	if (IS_LEFT_OUT(_i))
		return;
	for (int event = 0; event < EVENT_COUNT; event++) {
		struct order o = new_order(IN_INITIALIZER, event);
		struct reeve_pool *pool = grid_pool(_i, &o);
		uint64_t end = clock_monotonic_usec() + LONG_WAIT;
		struct reeve_pool_stats stats;

		check_squares(pool);
		do { /* a worker that hangs is given up a little later */
			check_squares(pool);
			reeve_pool_stats(pool, &stats);
		} while (stats.n_start_failures == 0 &&
			 clock_monotonic_usec() < end);
		ck_assert_uint_ge(stats.n_start_failures, 1);
		end_grid_pool(pool, 0);
	}
}
END_TEST

static void check_victim(int mode, enum moment moment, int event, size_t size)
{
	struct order o = new_order(moment, event);
	struct reeve_pool *pool = grid_pool(mode, &o);
	unsigned char *input = calloc(1, size), *output = calloc(1, size);
	struct reeve_outcome outcome;
	bool is_crash = expected[event].kind == REEVE_CRASHED;
	size_t n_written = 0;
	struct reeve_result *after;
	uint64_t x = 9, y = 0;
	int r;

	ck_assert(input && output);
	memcpy(input, &o, sizeof(o));
	ck_assert_int_eq(
		reeve_pool_apply_async(pool, square, &x, 8, NULL, &after), 0);
	r = reeve_pool_apply(pool, victim, input, size, output,
			     &(size_t){ size }, &outcome);
	ck_assert_int_eq(r, expected[event].error);
	ck_assert_int_eq(outcome.kind, expected[event].kind);
	ck_assert_int_eq(outcome.exit.code, expected[event].code);
	ck_assert_int_gt(outcome.pid, 0);
	for (size_t i = 0; i < size; i++)
		n_written += output[i] != 0;
	ck_assert_uint_eq(n_written, 0); /* of half a reply: nothing */
	ck_assert_int_eq(reeve_result_get(after, LONG_WAIT, &y, 8, NULL), 0);
	ck_assert_uint_eq(y, 81);
	reeve_result_unref(after);
	check_squares(pool);
	end_grid_pool(pool, is_crash);
	free(input);
	free(output);
}

static void check_victims(int mode, enum moment moment)
{
	for (int event = 0; event < EVENT_COUNT; event++) {
		check_victim(mode, moment, event, LARGE_SIZE);
		if (event != EVENT_HANG) /* that takes long */
			check_victim(mode, moment, event, sizeof(struct order));
	}
}

START_TEST(test_reading)
{
	if (IS_LEFT_OUT(_i))
		return;
	check_victims(_i, READING);
}
END_TEST

START_TEST(test_running)
{
	if (IS_LEFT_OUT(_i))
		return;
	check_victims(_i, RUNNING);
}
END_TEST

START_TEST(test_replying)
{
	if (IS_LEFT_OUT(_i))
		return;
	check_victims(_i, REPLYING);
}
END_TEST

/* All workers are there, ready and idle. */
static void await_idle(struct reeve_pool *pool,
		       struct reeve_worker_stats workers[static 2])
{
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;
	bool is_idle = false;

	while (!is_idle && clock_monotonic_usec() < end) {
		(void)reeve_pool_dispatch(pool);
		is_idle = reeve_pool_workers(pool, workers, 2) == 2 &&
			  workers[0].is_ready && workers[1].is_ready &&
			  !workers[0].is_busy && !workers[1].is_busy;
	}
	ck_assert(is_idle);
}

/* To one idle worker, or to both. What hangs there does not begin the next task,
 * and is given up: nobody is blamed. */
static void check_idle(int mode, enum moment moment, int event, int n)
{
	struct order o = new_order(moment, event);
	struct reeve_pool *pool = grid_pool(mode, &o);
	struct reeve_worker_stats workers[2];

	if (moment == BETWEEN)
		check_squares(pool);
	await_idle(pool, workers);
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(kill(workers[i].pid, SIGUSR1), 0);
	check_squares(pool);
	check_squares(pool);
	end_grid_pool(pool, 0);
}

START_TEST(test_before_first)
{
	if (IS_LEFT_OUT(_i))
		return;
	for (int event = 0; event < EVENT_COUNT; event++)
		for (int n = 1 + (event == EVENT_HANG); n <= 2; n++)
			check_idle(_i, BEFORE_FIRST, event, n);
}
END_TEST

START_TEST(test_between)
{
	if (IS_LEFT_OUT(_i))
		return;
	for (int event = 0; event < EVENT_COUNT; event++)
		for (int n = 1 + (event == EVENT_HANG); n <= 2; n++)
			check_idle(_i, BETWEEN, event, n);
}
END_TEST

/* It had done its tasks: they count, and others do what was queued there. */
START_TEST(test_recycling)
{
	if (IS_LEFT_OUT(_i))
		return;
	for (int event = 0; event < EVENT_COUNT; event++) {
		struct order o = new_order(RECYCLING, event);
		struct reeve_pool *pool = grid_pool(_i, &o);
		struct reeve_pool_stats stats;

		check_squares(pool);
		check_squares(pool);
		reeve_pool_stats(pool, &stats);
		ck_assert_uint_eq(stats.n_done, 40);
		end_grid_pool(pool, 0);
		ck_assert_int_eq(access(o.once, F_OK), 0); /* it happened */
	}
}
END_TEST

START_TEST(test_closing)
{
	if (IS_LEFT_OUT(_i))
		return;
	for (int event = 0; event < EVENT_COUNT; event++) {
		struct order o = new_order(CLOSING, event);
		struct reeve_pool *pool = grid_pool(_i, &o);

		check_squares(pool);
		end_grid_pool(pool, 0);
		ck_assert_int_eq(access(o.once, F_OK), 0);
	}
}
END_TEST

/* Stopped when it should leave: it cannot, and nobody waits for ever. */
START_TEST(test_closing_with_a_stopped_worker)
{
	if (IS_LEFT_OUT(_i))
		return;
	struct order o = new_order(RUNNING, EVENT_ERROR);
	struct reeve_pool *pool = grid_pool(_i, &o);
	struct reeve_worker_stats workers[2];

	await_idle(pool, workers);
	ck_assert_int_eq(kill(workers[1].pid, SIGSTOP), 0);
	end_grid_pool(pool, 0);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
		test_in_initializer,
		test_before_first,
		test_reading,
		test_running,
		test_replying,
		test_between,
		test_recycling,
		test_closing,
		test_closing_with_a_stopped_worker,
	};

	if (reeve_pool_setup(grid_functions) < 0)
		return 2;
	return unit_loop_main("pool_grid", ARRAY_SIZE(pool_modes), tests,
			      ARRAY_SIZE(tests), argc > 0 ? argv + 1 : argv);
}
