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
	ck_assert_int_eq(reeve_pool_apply(pool, square, &x, 8, &y, 8, &size,
					  &outcome),
			 0);
	ck_assert_int_eq(outcome.kind, REEVE_DONE);
	ck_assert_int_gt(outcome.pid, 1);
	ck_assert_int_ne(outcome.pid, getpid());
	ck_assert_int_eq(reeve_pool_apply(pool, tell_pid, NULL, 0, NULL, 0,
					  &size, NULL),
			 0);
	ck_assert_uint_eq(size, 8);
	y = 0;
	ck_assert_int_eq(reeve_pool_apply(pool, echo, "abcdefgh", 8, &y, 2,
					  &size, NULL),
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
					REEVE_PAYLOAD_MAX };
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 2 });
	unsigned char *in = malloc(REEVE_PAYLOAD_MAX + 1);
	unsigned char *out = malloc(REEVE_PAYLOAD_MAX + 1);

	ck_assert_ptr_nonnull(in);
	ck_assert_ptr_nonnull(out);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t n = sizes[i], size = 1;

		fill(in, n, (unsigned)i);
		memset(out, 0, n);
		ck_assert_int_eq(reeve_pool_apply(pool, echo, in, n, out, n,
						  &size, NULL),
				 0);
		ck_assert_uint_eq(size, n);
		ck_assert_int_eq(memcmp(in, out, n), 0);
	}
	ck_assert_int_eq(reeve_pool_apply(pool, echo, in, REEVE_PAYLOAD_MAX + 1,
					  NULL, 0, NULL, NULL),
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

	ck_assert_int_eq(reeve_pool_apply(pool, fail_on, "this", 4, NULL, 0,
					  NULL, &outcome),
			 -EIO);
	ck_assert_int_eq(outcome.kind, REEVE_FAILED);
	ck_assert_int_eq(outcome.error, -EIO);
	ck_assert_str_eq(outcome.message, "failed on this");
	ck_assert_int_eq(reeve_pool_apply(pool, square, "abc", 3, NULL, 0, NULL,
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
	const struct reeve_apply_spec spec = { on_good, on_bad, &heard };
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
	ck_assert_int_eq(reeve_result_wait(running, 20 * USEC_PER_MSEC),
			 -ETIMEDOUT);
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
						  NULL, 0, NULL, &outcome),
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
		ck_assert_uint_ge(stats.n_recycled, N / LIMIT - 2);
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
						  0, &n, 8, NULL, NULL),
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
		int r = reeve_pool_apply(pool, square, &x, 8, NULL, 0, NULL,
					 &outcome);

		ck_assert_int_eq(r, -ESHUTDOWN);
		ck_assert_int_eq(outcome.kind, REEVE_CANCELLED);
		ck_assert_str_ne(outcome.message, "");
		ck_assert_int_eq(reeve_pool_apply(pool, square, &x, 8, NULL, 0,
						  NULL, &outcome),
				 -ESHUTDOWN);
		ck_assert_int_eq(reeve_pool_close(pool), 0);
		ck_assert_int_eq(reeve_pool_join(pool, LONG_WAIT), 0);
		reeve_pool_free(pool);
	}
}
END_TEST

/* ---- ends ------------------------------------------------------------------------------ */

START_TEST(test_ends_in_any_order)
{
	for (int way = 0; way < 8; way++) {
		struct reeve_pool *pool =
			new_pool(_i, (struct reeve_pool_spec){ 0 });
		struct reeve_result *running, *queued;
		struct reeve_outcome outcome;
		uint64_t begun, x = 3;

		ck_assert_int_eq(reeve_pool_join(pool, 0), -EINVAL);
		ck_assert_int_eq(reeve_pool_apply_async(pool, wait_for_ever,
							NULL, 0, NULL,
							&running),
				 0);
		ck_assert_int_eq(reeve_pool_apply_async(pool, square, &x, 8,
							NULL, &queued),
				 0);
		if (way & 1)
			ck_assert_int_eq(reeve_pool_close(pool), 0);
		if (way & 1)
			ck_assert_int_eq(reeve_pool_join(pool, 1000),
					 -ETIMEDOUT);
		if (way & 2) {
			begun = clock_monotonic_usec();
			ck_assert_int_eq(reeve_pool_terminate(pool), 0);
			ck_assert_uint_le(clock_monotonic_usec() - begun,
					  5 * USEC_PER_SEC);
			ck_assert_int_eq(reeve_pool_terminate(pool), 0);
			ck_assert_int_eq(reeve_pool_join(pool, LONG_WAIT), 0);
			ck_assert_int_eq(reeve_pool_close(pool), 0);
			ck_assert_int_eq(reeve_pool_apply(pool, square, &x, 8,
							  NULL, 0, NULL, NULL),
					 -ESHUTDOWN);
		}
		if (way & 4)
			reeve_pool_free(pool);
		/* a result can be asked after the pool is gone */
		if (way & 6) {
			ck_assert_int_eq(reeve_result_wait(running, 0), 0);
			reeve_result_outcome(running, &outcome);
			ck_assert_int_eq(outcome.kind, REEVE_CANCELLED);
		}
		reeve_result_unref(running);
		reeve_result_unref(queued);
		if (!(way & 4))
			reeve_pool_free(pool);
	}
}
END_TEST

struct caller {
	struct reeve_pool *pool;
	int wait_error, n, way;
};

static void on_result(struct reeve_result *result _unused_, void *userdata)
{
	struct caller *c = userdata;
	uint64_t x = 2;

	c->n++;
	c->wait_error =
		reeve_pool_apply(c->pool, square, &x, 8, NULL, 0, NULL, NULL);
	if (c->n < 5)
		ck_assert_int_eq(
			reeve_pool_apply_async(c->pool, square, &x, 8,
					       &(struct reeve_apply_spec){
						       .callback = on_result,
						       .userdata = c },
					       NULL),
			0);
	else if (c->way == 1)
		reeve_pool_terminate(c->pool);
	else if (c->way == 2)
		reeve_pool_free(c->pool);
	else
		reeve_pool_close(c->pool);
}

START_TEST(test_calls_from_callbacks)
{
	for (int way = 0; way < 3; way++) {
		struct caller c = { .way = way };
		const struct reeve_apply_spec spec = { .callback = on_result,
						       .userdata = &c };
		uint64_t x = 2, end = clock_monotonic_usec() + LONG_WAIT;
		struct reeve_result *result;

		if (way == 2 && pool_modes[_i].service == REEVE_SERVICE_THREAD)
			continue; /* another thread may not use it meanwhile */
		c.pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
		ck_assert_int_eq(reeve_pool_apply_async(c.pool, square, &x, 8,
							&spec, &result),
				 0);
		while (*(volatile int *)&c.n < 5 &&
		       clock_monotonic_usec() < end)
			(void)reeve_pool_dispatch(c.pool);
		ck_assert_int_eq(c.n, 5);
		ck_assert_int_eq(c.wait_error, -EDEADLK);
		reeve_result_unref(result);
		if (way == 2)
			continue;
		ck_assert_int_eq(reeve_pool_join(c.pool, LONG_WAIT), 0);
		reeve_pool_free(c.pool);
	}
}
END_TEST

/* ---- in an event loop ------------------------------------------------------------------- */

START_TEST(test_dispatch)
{
	enum { N = 300 };
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	bool is_caller = pool_modes[_i].service == REEVE_SERVICE_CALLER;
	struct pollfd p = { .events = POLLIN };
	struct heard heard = { 0 };
	const struct reeve_apply_spec spec = { on_good, on_bad, &heard };

	p.fd = reeve_pool_fd(pool);
	if (!is_caller) {
		ck_assert_int_eq(p.fd, -ENOTSUP);
		ck_assert_int_eq(reeve_pool_dispatch(pool), 0);
		end_pool(pool);
		return;
	}
	ck_assert_int_ge(p.fd, 0);
	for (uint64_t i = 0; i < N; i++)
		ck_assert_int_eq(reeve_pool_apply_async(
					 pool, i % 10 ? square : end_somehow,
					 &(uint64_t){ i % 10 ? i : END_KILL },
					 8, &spec, NULL),
				 0);
	while (heard.n_good + heard.n_bad < N) {
		ck_assert_int_eq(poll(&p, 1, 10000), 1);
		ck_assert_int_ge(reeve_pool_dispatch(pool), 0);
	}
	ck_assert_int_eq(heard.n_good, N - N / 10);
	ck_assert_int_eq(heard.kind, REEVE_CRASHED);
	ck_assert_int_ge(reeve_pool_dispatch(pool), 0);
	end_pool(pool);
}
END_TEST

/* ---- bad input ---------------------------------------------------------------------------- */

START_TEST(test_bad_specs)
{
	static const struct reeve_pool_spec bad[] = {
		{ .processes = -2 },
		{ .processes = REEVE_PROCESSES_MAX + 1 },
		{ .window = 5000 },
		{ .initializer_size = 4 },
		{ .maxtasksperchild = 1, .maxtasks_jitter = 2 },
		{ .context = (enum reeve_context)9 },
		{ .service = (enum reeve_service)9 },
	};
	struct reeve_pool *untouched = (struct reeve_pool *)&initialized;
	struct reeve_pool *pool = untouched;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert_int_eq(reeve_pool_new(&bad[i], &pool), -EINVAL);
	ck_assert_ptr_eq(pool, untouched);
	ck_assert_ptr_null(reeve_pool_free(NULL));
	ck_assert_ptr_null(reeve_result_unref(NULL));
	ck_assert_ptr_null(reeve_iterator_free(NULL));
}
END_TEST

static void *use_in_thread(void *arg)
{
	uint64_t x = 6, y = 0;
	int r = reeve_pool_apply(arg, square, &x, 8, &y, 8, NULL, NULL);

	return (void *)(intptr_t)(r ? r : (int)y);
}

static int busy_meanwhile(void *userdata, const void **ret_input _unused_,
			  size_t *ret_size _unused_)
{
	pthread_t thread;
	void *ret;

	/* we are inside the pool now */
	ck_assert_int_eq(pthread_create(&thread, NULL, use_in_thread, userdata),
			 0);
	(void)pthread_join(thread, &ret);
	ck_assert_int_eq((int)(intptr_t)ret, -EBUSY);
	return 0;
}

static int not_in_table(void *input _unused_, size_t size _unused_,
			struct reeve_reply *reply _unused_)
{
	return 0;
}

START_TEST(test_bad_calls)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	bool has_table = pool_modes[_i].context != REEVE_CONTEXT_FORK;
	const struct reeve_imap_spec both = { .generator = busy_meanwhile,
					      .n_items = 1 };
	struct reeve_iterator *it;

	ck_assert_int_eq(reeve_pool_apply(pool, NULL, NULL, 0, NULL, 0, NULL,
					  NULL),
			 -EINVAL);
	ck_assert_int_eq(reeve_pool_apply(pool, square, NULL, 8, NULL, 0, NULL,
					  NULL),
			 -EINVAL);
	ck_assert_int_eq(reeve_pool_apply(pool, not_in_table, NULL, 0, NULL, 0,
					  NULL, NULL),
			 has_table ? -EINVAL : 0);
	ck_assert_int_eq(reeve_pool_imap(pool, square, &both, &it), -EINVAL);
	end_pool(pool);
}
END_TEST

static void use_in_child(void *arg)
{
	struct reeve_pool *pool = arg;
	uint64_t x = 1;

	if (reeve_pool_apply(pool, square, &x, 8, NULL, 0, NULL, NULL) !=
		    -ECHILD ||
	    reeve_pool_close(pool) != -ECHILD ||
	    reeve_pool_dispatch(pool) != -ECHILD || reeve_pool_free(pool))
		_exit(1);
	_exit(0);
}

START_TEST(test_in_a_forked_child)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });

	check_square(pool, 2);
	ck_assert_int_eq(unit_fork(use_in_child, pool, NULL), 0);
	end_pool(pool);
}
END_TEST

START_TEST(test_second_thread)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	const struct reeve_imap_spec spec = { .generator = busy_meanwhile,
					      .userdata = pool };
	struct reeve_iterator *it;
	struct reeve_item item;
	pthread_t thread;
	void *ret;

	if (pool_modes[_i].service == REEVE_SERVICE_CALLER) {
		ck_assert_int_eq(reeve_pool_imap(pool, square, &spec, &it), 0);
		ck_assert_int_eq(reeve_iterator_next(it, LONG_WAIT, &item), 0);
		reeve_iterator_free(it);
	}
	/* one after the other is in order */
	ck_assert_int_eq(pthread_create(&thread, NULL, use_in_thread, pool), 0);
	(void)pthread_join(thread, &ret);
	ck_assert_int_eq((int)(intptr_t)ret, 36);
	end_pool(pool);
}
END_TEST

START_TEST(test_statistics)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 2 });
	struct reeve_worker_stats workers[3];
	struct reeve_pool_stats stats;
	struct reeve_result *result;
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;
	bool is_busy = false;

	ck_assert_int_eq(reeve_pool_apply_async(pool, wait_for_ever, NULL, 0,
						NULL, &result),
			 0);
	while (!is_busy && clock_monotonic_usec() < end) {
		(void)reeve_result_ready(result);
		if (reeve_pool_workers(pool, workers, 3) == 2)
			is_busy = workers[0].is_busy || workers[1].is_busy;
	}
	ck_assert(is_busy);
	reeve_pool_stats(pool, &stats);
	ck_assert_uint_eq(stats.n_processes, 2);
	ck_assert_uint_eq(stats.n_running, 1);
	ck_assert_uint_ge(stats.n_started, 1);
	ck_assert_int_eq(reeve_result_cancel(result), 0);
	reeve_result_unref(result);
	end_pool(pool);
}
END_TEST

POOL_MAIN("pool_calls", test_apply, test_sizes, test_failures, test_apply_async,
	  test_queue_is_bounded, test_unseen_failures, test_cancel,
	  test_task_timeout, test_maxtasksperchild, test_initializer,
	  test_initializer_fails, test_ends_in_any_order,
	  test_calls_from_callbacks, test_dispatch, test_bad_specs,
	  test_bad_calls, test_in_a_forked_child, test_second_thread,
	  test_statistics)
