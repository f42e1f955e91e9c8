/* Large payloads, the limit of a pool, inputs that stay, and starmap. */
#include "tests/unit/pool_rig.h"
#include "workers/pool/pool.h"

/* ---- tasks ------------------------------------------------------------------- */

/* Adds 1 to the first and the last byte, in place of its output. */
static int touch_ends(void *input, size_t size, struct reeve_reply *reply)
{
	unsigned char *in = input, *out = reeve_reply_reserve(reply, size);

	if (!out || size == 0)
		return -EMSGSIZE;
	out[0] = in[0] + 1;
	out[size - 1] = in[size - 1] + 1;
	return 0;
}

static int answer_much(void *input, size_t size, struct reeve_reply *reply)
{
	size_t wanted;

	memcpy(&wanted, input, size);
	return reeve_reply_reserve(reply, wanted) ? 0 : -EMSGSIZE;
}

static int weigh(void *input, size_t size _unused_, struct reeve_reply *reply)
{
	const char *word = reeve_next_argument(&input, 3);
	int n = *(int *)reeve_next_argument(&input, sizeof(int));
	double factor = *(double *)reeve_next_argument(&input, sizeof(double));
	double result = (double)(word[0] - 'a') + n * factor;

	return reeve_reply_set(reply, &result, sizeof(result));
}

static struct reeve_pool *pool_with(size_t payload_max)
{
	return new_pool(0, (struct reeve_pool_spec){
				   .processes = 1,
				   .payload_max = payload_max,
			   });
}

/* ---- the limit ------------------------------------------------------------------ */

START_TEST(test_limit)
{
	struct reeve_pool *pool = pool_with(8192), *other = NULL;
	struct reeve_pool_spec spec = { .payload_max = REEVE_PAYLOAD_MAX + 1 };
	struct reeve_outcome o;
	static unsigned char in[8193] = { 1 }, out[8193];
	size_t size = sizeof(out), wanted;

	ck_assert_int_eq(reeve_pool_apply(pool, touch_ends, in, 8192, out,
					  &size, NULL),
			 0);
	ck_assert_uint_eq(size, 8192);
	ck_assert(out[0] == 2 && out[8191] == 1);
	ck_assert_int_eq(reeve_pool_apply(pool, touch_ends, in, 8193, out,
					  &size, NULL),
			 -EMSGSIZE);
	wanted = 8193;
	ck_assert_int_eq(reeve_pool_apply(pool, answer_much, &wanted,
					  sizeof(wanted), NULL, NULL, &o),
			 -EMSGSIZE);
	ck_assert_int_eq(o.kind, REEVE_FAILED);
	wanted = 8192;
	ck_assert_int_eq(reeve_pool_apply(pool, answer_much, &wanted,
					  sizeof(wanted), NULL, NULL, &o),
			 0);
	ck_assert_int_eq(reeve_pool_new(&spec, &other), -EINVAL);
	end_pool(pool);
}
END_TEST

/* What a sanitizer adds to a GiB is too much for a machine of the tests. */
START_TEST(test_large)
{
	const size_t most =
		getenv("REEVE_SOAK") ? REEVE_PAYLOAD_MAX : (size_t)160 << 20;
	struct reeve_pool *pool = pool_with(REEVE_PAYLOAD_MAX);
	unsigned char *in = mmap(NULL, most, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct reeve_apply_spec spec = { .input_stays = true };
	struct reeve_result *result;
	const void *view;
	size_t size;

	ck_assert_ptr_ne(in, MAP_FAILED);
	in[0] = 7;
	in[most - 1] = 9;
	ck_assert_int_eq(reeve_pool_apply_async(pool, touch_ends, in, most,
						&spec, &result),
			 0);
	ck_assert_int_eq(
		reeve_result_get_view(result, 4 * LONG_WAIT, &view, &size), 0);
	ck_assert_uint_eq(size, most);
	ck_assert_int_eq(((const unsigned char *)view)[0], 8);
	ck_assert_int_eq(((const unsigned char *)view)[most - 1], 10);
	reeve_result_unref(result);
	ck_assert_int_eq(reeve_pool_apply_async(pool, touch_ends, in,
						REEVE_PAYLOAD_MAX + 1, &spec,
						NULL),
			 -EMSGSIZE);
	end_pool(pool);
	(void)munmap(in, most);
}
END_TEST

START_TEST(test_input_stays)
{
	struct reeve_pool *pool =
		new_pool(0, (struct reeve_pool_spec){ .processes = 1,
						      .queue_bytes = 100 });
	const struct reeve_apply_spec spec = { .input_stays = true };
	static unsigned char in[1000];
	struct reeve_result *results[20];
	unsigned char out[1000];

	/* It does not count for queue_bytes; the others do. */
	ck_assert_int_eq(reeve_pool_apply_async(pool, touch_ends, in,
						sizeof(in), NULL, NULL),
			 -EAGAIN);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(reeve_pool_apply_async(pool, touch_ends, in,
							sizeof(in), &spec,
							&results[i]),
				 0);
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(reeve_result_get(results[i], LONG_WAIT, out,
						  sizeof(out), NULL),
				 0);
		ck_assert_int_eq(out[999], 1);
		reeve_result_unref(results[i]);
	}
	end_pool(pool);
}
END_TEST

/* ---- what stays of large ones --------------------------------------------------- */

#define LARGE ((size_t)24 << 20)
#define KEPT  ((size_t)2 * PORT_KEEP_SIZE) /* at most, of a worker */

static unsigned char large[LARGE];

/* Of all channels, as far as this process has touched it. */
static size_t channel_memory(void)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];
	size_t kilobytes, sum = 0;
	bool is_channel = false;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		if (strchr(line, '-') && strchr(line, '-') < strchr(line, ' '))
			is_channel = strstr(line, "reeve-channel") != NULL;
		if (is_channel && sscanf(line, "Rss: %zu", &kilobytes) == 1)
			sum += kilobytes << 10;
	}
	(void)fclose(f);
	return sum;
}

static void echo_large(struct reeve_pool *pool)
{
	size_t size = LARGE;

	ck_assert_int_eq(reeve_pool_apply(pool, echo, large, LARGE, large,
					  &size, NULL),
			 0);
}

static pid_t pid_of_worker(struct reeve_pool *pool)
{
	uint64_t pid = 0;
	size_t size = sizeof(pid);

	(void)reeve_pool_apply(pool, tell_pid, NULL, 0, &pid, &size, NULL);
	return (pid_t)pid;
}

static void time_is_over(struct reeve_pool *pool)
{
	ck_assert_uint_ne(pool->large_due_usec, REEVE_FOREVER);
	pool->large_due_usec = 1;
	(void)reeve_pool_dispatch(pool);
	ck_assert_uint_eq(pool->large_due_usec, REEVE_FOREVER);
	ck_assert_uint_le(channel_memory(), KEPT + (1 << 20));
}

/* The memory of a large one is there for the next, until its time is over; also
 * when the worker has died meanwhile. */
START_TEST(test_large_is_kept)
{
	struct reeve_pool *pool = pool_with(0);
	pid_t pid, next;

	memset(large, 1, LARGE);
	for (int i = 0; i < 3; i++) {
		echo_large(pool);
		ck_assert_uint_ge(channel_memory(), 2 * LARGE);
		ck_assert_uint_le(channel_memory(), 2 * LARGE + (1 << 20));
	}
	(void)reeve_pool_dispatch(pool); /* it is not over */
	ck_assert_uint_ge(channel_memory(), 2 * LARGE);
	time_is_over(pool);
	echo_large(pool);
	pid = pid_of_worker(pool);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	do
		next = pid_of_worker(pool);
	while (next == pid);
	time_is_over(pool);
	end_pool(pool);
}
END_TEST

/* But not of each worker: of the last one. */
START_TEST(test_large_of_two)
{
	const struct reeve_apply_spec spec = { .input_stays = true };
	struct reeve_pool *pool =
		new_pool(0, (struct reeve_pool_spec){ .processes = 2 });
	struct reeve_pool_stats stats = { .n_live = 0 };
	struct reeve_result *results[2];
	const void *view;
	size_t size;

	while (stats.n_live < 2) { /* else the first one has both */
		(void)reeve_pool_dispatch(pool);
		reeve_pool_stats(pool, &stats);
	}
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(reeve_pool_apply_async(pool, echo, large,
							LARGE, &spec,
							&results[i]),
				 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(reeve_result_get_view(results[i], LONG_WAIT,
						       &view, &size),
				 0);
		ck_assert_uint_eq(size, LARGE);
		reeve_result_unref(results[i]);
	}
	ck_assert_uint_le(channel_memory(), 2 * LARGE + KEPT + (1 << 20));
	end_pool(pool);
}
END_TEST

/* Who sleeps in a thread, or in an event loop, wakes up for it. */
START_TEST(test_large_is_over)
{
	for (int mode = 0; mode < 2; mode++) { /* CALLER, THREAD */
		struct reeve_pool *pool = new_pool(
			mode, (struct reeve_pool_spec){ .processes = 1 });
		struct pollfd p = { .fd = -1, .events = POLLIN };
		uint64_t end = clock_monotonic_usec() + LONG_WAIT;

		if (mode == 0)
			p.fd = reeve_pool_fd(pool);
		echo_large(pool);
		while (channel_memory() > KEPT + (1 << 20)) {
			ck_assert_uint_lt(clock_monotonic_usec(), end);
			if (poll(&p, 1, mode == 0 ? 20000 : 20) > 0)
				(void)reeve_pool_dispatch(pool);
		}
		end_pool(pool);
	}
}
END_TEST

/* ---- starmap ----------------------------------------------------------------------- */

START_TEST(test_starmap)
{
	struct reeve_pool *pool = pool_with(0);
	const char words[][3] = { "a", "b", "c" };
	const int numbers[] = { 1, 2, 3 };
	const double factors[] = { 0.5, 1.5, 2.5 };
	const struct reeve_column columns[] = { { words, 3 },
						{ numbers, sizeof(int) },
						{ factors, sizeof(double) } };
	double out[3];
	struct reeve_starmap_spec spec = {
		.columns = columns,
		.n_columns = 3,
		.n_items = 3,
		.outputs = out,
		.output_size = sizeof(double),
	};

	ck_assert_int_eq(reeve_pool_starmap(pool, weigh, &spec), 0);
	ck_assert(out[0] == 0.5 && out[1] == 4 && out[2] == 9.5);
	spec.n_items = 0;
	ck_assert_int_eq(reeve_pool_starmap(pool, weigh, &spec), 0);
	spec.n_columns = 0;
	ck_assert_int_eq(reeve_pool_starmap(pool, weigh, &spec), -EINVAL);
	spec.n_columns = REEVE_COLUMNS_MAX + 1;
	ck_assert_int_eq(reeve_pool_starmap(pool, weigh, &spec), -EINVAL);
	ck_assert_int_eq(reeve_pool_starmap(pool, weigh, NULL), -EINVAL);
	spec.columns = &(struct reeve_column){ words, SIZE_MAX };
	spec.n_columns = 1;
	ck_assert_int_eq(reeve_pool_starmap(pool, weigh, &spec), -EMSGSIZE);
	spec.columns = &(struct reeve_column){ NULL, 3 };
	spec.n_items = 1;
	ck_assert_int_eq(reeve_pool_starmap(pool, weigh, &spec), -EINVAL);
	end_pool(pool);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = { test_limit,	  test_large,
				       test_input_stays,  test_large_is_kept,
				       test_large_of_two, test_large_is_over,
				       test_starmap };

	if (reeve_pool_setup(pool_functions) < 0)
		return 2;
	return unit_loop_main("pool_payload", 1, tests, ARRAY_SIZE(tests),
			      argc > 0 ? argv + 1 : argv);
}
