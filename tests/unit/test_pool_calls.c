/* What <reeve/pool.h> promises of its calls, in each context and service. */
#include <poll.h>
#include <pthread.h>

#include "tests/unit/pool_rig.h"

/* ---- apply ------------------------------------------------------------------- */

START_TEST(test_apply)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 2 });
	struct reeve_outcome outcome;
	uint64_t x = 9, y = 0;
	size_t size = 99;

	for (uint64_t i = 0; i < 1000; i++)
		check_square(pool, i);
	ck_assert_int_eq(reeve_pool_apply(pool, square, &x, 8, &y,
					  (size = 8, &size), &outcome),
			 0);
	ck_assert_int_eq(outcome.kind, REEVE_DONE);
	ck_assert(outcome.pid > 1 && outcome.pid != getpid());
	ck_assert_int_eq(reeve_pool_apply(pool, tell_pid, NULL, 0, NULL,
					  (size = 0, &size), NULL),
			 0);
	ck_assert_uint_eq(size, 8);
	y = 0;
	ck_assert_int_eq(reeve_pool_apply(pool, echo, "abcdefgh", 8, &y,
					  (size = 2, &size), NULL),
			 0);
	ck_assert_uint_eq(size, 8);
	ck_assert_int_eq(memcmp(&y, "ab\0\0\0\0\0\0", 8), 0);
	end_pool(pool);
}
END_TEST

static void fill(unsigned char *data, size_t size, unsigned seed)
{
	for (size_t i = 0; i < size; i++)
		data[i] = (unsigned char)(i * 31 + (i >> 8) * 7 + seed);
}

START_TEST(test_sizes)
{
	static const size_t sizes[] = { 0,
					1,
					15,
					16,
					17,
					63,
					64,
					65,
					4095,
					4096,
					65537,
					1 << 20,
					REEVE_PAYLOAD_DEFAULT };
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 2 });
	unsigned char *in = malloc(REEVE_PAYLOAD_DEFAULT + 1);
	unsigned char *out = malloc(REEVE_PAYLOAD_DEFAULT + 1);

	ck_assert_ptr_nonnull(in);
	ck_assert_ptr_nonnull(out);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t n = sizes[i], size = 1;

		fill(in, n, (unsigned)i);
		memset(out, 0, n);
		ck_assert_int_eq(reeve_pool_apply(pool, echo, in, n, out,
						  (size = n, &size), NULL),
				 0);
		ck_assert_uint_eq(size, n);
		ck_assert_int_eq(memcmp(in, out, n), 0);
	}
	ck_assert_int_eq(reeve_pool_apply(pool, echo, in,
					  REEVE_PAYLOAD_DEFAULT + 1, NULL, NULL,
					  NULL),
			 -EMSGSIZE);
	free(in);
	free(out);
	end_pool(pool);
}
END_TEST

START_TEST(test_failures)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 1 });
	struct reeve_pool_stats stats;
	struct reeve_outcome outcome;

	ck_assert_int_eq(reeve_pool_apply(pool, fail_on, "this", 4, NULL, NULL,
					  &outcome),
			 -EIO);
	ck_assert_int_eq(outcome.kind, REEVE_FAILED);
	ck_assert_int_eq(outcome.error, -EIO);
	ck_assert_str_eq(outcome.message, "failed on this");
	ck_assert_int_eq(reeve_pool_apply(pool, square, "abc", 3, NULL, NULL,
					  &outcome),
			 -EINVAL);
	ck_assert_str_eq(outcome.message, "3 bytes");
	check_square(pool, 3);
	reeve_pool_stats(pool, &stats);
	ck_assert_uint_eq(stats.n_failed, 2);
	ck_assert_uint_eq(stats.n_done, 1);
	ck_assert_uint_eq(stats.n_started, 1); /* nobody had to die for it */
	end_pool(pool);
}
END_TEST

/* ---- apply_async -------------------------------------------------------------- */

START_TEST(test_apply_async)
{
	enum { N = 500 };
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 2 });
	struct heard heard = { 0 };
	const struct reeve_apply_spec spec = { .callback = on_good,
					       .error_callback = on_bad,
					       .userdata = &heard };
	struct reeve_result *results[N];

	for (uint64_t i = 0; i < N; i++)
		ck_assert_int_eq(reeve_pool_apply_async(pool, square, &i, 8,
							&spec, &results[i]),
				 0);
	ck_assert_int_eq(
		reeve_pool_apply_async(pool, fail_on, "x", 1, &spec, NULL), 0);
	for (uint64_t i = 0; i < N; i++) {
		uint64_t y = 0;
		const void *view;
		size_t size;

		ck_assert_int_eq(reeve_result_get(results[i], LONG_WAIT, &y, 8,
						  NULL),
				 0);
		ck_assert_uint_eq(y, i * i);
		ck_assert_int_eq(reeve_result_ready(results[i]), 1);
		ck_assert_int_eq(
			reeve_result_get_view(results[i], 0, &view, &size), 0);
		ck_assert_uint_eq(size, 8);
		ck_assert_ptr_null(reeve_result_unref(results[i]));
	}
	ck_assert_int_eq(reeve_pool_close(pool), 0);
	ck_assert_int_eq(reeve_pool_join(pool, LONG_WAIT), 0);
	ck_assert_ptr_null(reeve_pool_free(pool)); /* callbacks have run */
	ck_assert_int_eq(heard.n_good, N);
	ck_assert_int_eq(heard.n_bad, 1);
	ck_assert_int_eq(heard.kind, REEVE_FAILED);
}
END_TEST

START_TEST(test_queue_is_bounded)
{
	const struct reeve_pool_spec spec = { .processes = 1,
					      .window = 2,
					      .queue_tasks = 10 };
	struct reeve_pool *pool = new_pool(_i, spec);
	struct reeve_result *first;
	uint64_t x = 1;
	int n = 0, r;

	ck_assert_int_eq(reeve_pool_apply_async(pool, wait_for_ever, NULL, 0,
						NULL, &first),
			 0);
	while ((r = reeve_pool_apply_async(pool, square, &x, 8, NULL, NULL)) ==
	       0)
		n++;
	ck_assert_int_eq(r, -EAGAIN);
	ck_assert_int_eq(n, 9);
	ck_assert_int_eq(reeve_result_cancel(first), 0);
	ck_assert_int_eq(reeve_result_wait(first, LONG_WAIT), 0);
	reeve_result_unref(first);
	end_pool(pool);
}
END_TEST

/* Nobody looked at a failure: it is said once. */
static void on_unseen(const struct reeve_outcome *outcome, void *userdata)
{
	*(int *)userdata += outcome->kind == REEVE_FAILED;
}

START_TEST(test_unseen_failures)
{
	int n = 0;
	const struct reeve_pool_spec spec = { .on_unseen = on_unseen,
					      .userdata = &n };
	struct reeve_pool *pool = new_pool(_i, spec);
	struct reeve_result *seen;
	struct reeve_pool_stats stats;

	ck_assert_int_eq(
		reeve_pool_apply_async(pool, fail_on, "x", 1, NULL, NULL), 0);
	ck_assert_int_eq(
		reeve_pool_apply_async(pool, fail_on, "y", 1, NULL, &seen), 0);
	ck_assert_int_eq(reeve_result_get(seen, LONG_WAIT, NULL, 0, NULL),
			 -EIO);
	reeve_result_unref(seen);
	ck_assert_int_eq(reeve_pool_close(pool), 0);
	ck_assert_int_eq(reeve_pool_join(pool, LONG_WAIT), 0);
	reeve_pool_stats(pool, &stats);
	ck_assert_uint_eq(stats.n_unseen, 1);
	reeve_pool_free(pool);
	ck_assert_int_eq(n, 1);
}
END_TEST

/* ---- cancel, timeouts ----------------------------------------------------------- */

START_TEST(test_cancel)
{
	struct reeve_pool *pool = new_pool(
		_i, (struct reeve_pool_spec){ .processes = 1, .window = 8 });
	struct reeve_result *running, *queued, *later;
	struct reeve_outcome outcome;
	uint64_t x = 5, y = 0;

	ck_assert_int_eq(reeve_pool_apply_async(pool, wait_for_ever, NULL, 0,
						NULL, &running),
			 0);
	ck_assert_int_eq(
		reeve_pool_apply_async(pool, square, &x, 8, NULL, &queued), 0);
	ck_assert_int_eq(
		reeve_pool_apply_async(pool, square, &x, 8, NULL, &later), 0);
	wait_until_running(pool, 1);
	ck_assert_int_eq(reeve_result_wait(running, 0), -ETIMEDOUT);
	ck_assert_int_eq(reeve_result_successful(running), -EAGAIN);
	ck_assert_int_eq(reeve_result_cancel(queued), 0);
	ck_assert_int_eq(reeve_result_wait(queued, 0), 0); /* at once */
	reeve_result_outcome(queued, &outcome);
	ck_assert_int_eq(outcome.kind, REEVE_CANCELLED);
	ck_assert_int_eq(outcome.pid, 0); /* it never ran */
	ck_assert_int_eq(reeve_result_cancel(running), 0);
	ck_assert_int_eq(reeve_result_wait(running, LONG_WAIT), 0);
	reeve_result_outcome(running, &outcome);
	ck_assert_int_eq(outcome.kind, REEVE_CANCELLED);
	ck_assert_int_eq(outcome.exit.code, -SIGKILL);
	ck_assert_int_eq(reeve_result_get(later, LONG_WAIT, &y, 8, NULL), 0);
	ck_assert_uint_eq(y, 25);
	ck_assert_int_eq(reeve_result_cancel(later), -EALREADY);
	ck_assert_int_eq(reeve_result_cancel(running), 0); /* it is */
	reeve_result_unref(running);
	reeve_result_unref(queued);
	reeve_result_unref(later);
	end_pool(pool);
}
END_TEST

START_TEST(test_task_timeout)
{
	const struct reeve_pool_spec spec = {
		.task_timeout_usec = 100 * USEC_PER_MSEC,
	};
	struct reeve_pool *pool = new_pool(_i, spec);
	struct reeve_outcome outcome;
	struct reeve_pool_stats stats;

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(reeve_pool_apply(pool, wait_for_ever, NULL, 0,
						  NULL, NULL, &outcome),
				 -ETIMEDOUT);
		ck_assert_int_eq(outcome.kind, REEVE_TIMEOUT);
		ck_assert_int_eq(outcome.exit.code, -SIGKILL);
		check_square(pool, 4);
	}
	reeve_pool_stats(pool, &stats);
	ck_assert_uint_eq(stats.n_timeout, 2);
	ck_assert_uint_eq(stats.n_crashed, 0);
	end_pool(pool);
}
END_TEST

/* ---- recycling, initializer --------------------------------------------------------- */

START_TEST(test_maxtasksperchild)
{
	static const size_t chunks[] = { 1, 2, 5 };

	for (size_t k = 0; k < ARRAY_SIZE(chunks); k++) {
		enum { N = 60, LIMIT = 3 };
		struct reeve_pool *pool =
			new_pool(_i, (struct reeve_pool_spec){
					     .maxtasksperchild = LIMIT });
		uint64_t pids[N];
		const struct reeve_map_spec spec = { .n_items = N,
						     .outputs = pids,
						     .output_size = 8,
						     .chunksize = chunks[k] };
		struct reeve_pool_stats stats;

		ck_assert_int_eq(reeve_pool_map(pool, tell_pid, &spec), 0);
		for (size_t i = 0; i < N; i++) {
			int n = 0;

			for (size_t j = 0; j < N; j++)
				n += pids[j] == pids[i];
			ck_assert_int_le(n, LIMIT);
		}
		reeve_pool_stats(pool, &stats);
		ck_assert_uint_eq(stats.n_crashed, 0);
		/* those that have just left may not be counted yet */
		ck_assert_uint_ge(stats.n_recycled, N / LIMIT - 4);
		end_pool(pool);
	}
}
END_TEST

START_TEST(test_initializer)
{
	const struct reeve_pool_spec spec = {
		.initializer = initialize,
		.initializer_argument = "init",
		.initializer_size = 4,
		.maxtasksperchild = 2,
	};
	struct reeve_pool *pool = new_pool(_i, spec);

	for (int i = 0; i < 10; i++) {
		uint64_t n = 0;

		ck_assert_int_eq(reeve_pool_apply(pool, tell_initialized, NULL,
						  0, &n, &(size_t){ 8 }, NULL),
				 0);
		ck_assert_uint_eq(n, 7);
	}
	ck_assert_int_eq(initialized, 0); /* not in this process */
	end_pool(pool);
}
END_TEST

START_TEST(test_initializer_fails)
{
	static reeve_init_fn *const initializers[] = { init_fails, init_dies,
						       init_hangs };

	for (size_t i = 0; i < ARRAY_SIZE(initializers); i++) {
		const struct reeve_pool_spec spec = {
			.initializer = initializers[i],
			.start_timeout_usec = 100 * USEC_PER_MSEC,
			.restart_limit = 2,
		};
		struct reeve_pool *pool = new_pool(_i, spec);
		struct reeve_outcome outcome;
		uint64_t x = 1;
		int r = reeve_pool_apply(pool, square, &x, 8, NULL, NULL,
					 &outcome);

		ck_assert_int_eq(r, -ESHUTDOWN);
		ck_assert_int_eq(outcome.kind, REEVE_CANCELLED);
		ck_assert_str_ne(outcome.message, "");
		outcome = (struct reeve_outcome){ 0 };
		ck_assert_int_eq(reeve_pool_apply(pool, square, &x, 8, NULL,
						  NULL, &outcome),
				 -ESHUTDOWN);
		ck_assert_int_eq(outcome.kind, REEVE_CANCELLED);
		ck_assert_str_ne(outcome.message, ""); /* it says why still */
		ck_assert_int_eq(reeve_pool_close(pool), 0);
		ck_assert_int_eq(reeve_pool_join(pool, LONG_WAIT), 0);
		reeve_pool_free(pool);
	}
}
END_TEST

POOL_MAIN("pool_calls", test_apply, test_sizes, test_failures, test_apply_async,
	  test_queue_is_bounded, test_unseen_failures, test_cancel,
	  test_task_timeout, test_maxtasksperchild, test_initializer,
	  test_initializer_fails)
