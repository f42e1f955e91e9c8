/* How a pool ends, who may call what from where, and what is refused. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/pool_rig.h"

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
							  NULL, NULL, NULL),
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
	int wait_error, way;
	atomic_int n;
};

static void on_result(struct reeve_result *result _unused_, void *userdata)
{
	struct caller *c = userdata;
	uint64_t x = 2;

	c->n++;
	c->wait_error =
		reeve_pool_apply(c->pool, square, &x, 8, NULL, NULL, NULL);
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
		while (c.n < 5 && clock_monotonic_usec() < end)
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
	const struct reeve_apply_spec spec = { .callback = on_good,
					       .error_callback = on_bad,
					       .userdata = &heard };

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
	int r = reeve_pool_apply(arg, square, &x, 8, &y, &(size_t){ 8 }, NULL);

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

	ck_assert_int_eq(reeve_pool_apply(pool, NULL, NULL, 0, NULL, NULL,
					  NULL),
			 -EINVAL);
	ck_assert_int_eq(reeve_pool_apply(pool, square, NULL, 8, NULL, NULL,
					  NULL),
			 -EINVAL);
	ck_assert_int_eq(reeve_pool_apply(pool, not_in_table, NULL, 0, NULL,
					  NULL, NULL),
			 has_table ? -EINVAL : 0);
	ck_assert_int_eq(reeve_pool_imap(pool, square, &both, &it), -EINVAL);
	end_pool(pool);
}
END_TEST

START_TEST(test_handles_of_null)
{
	struct reeve_outcome outcome = { .kind = REEVE_DONE };
	struct reeve_pool_stats stats = { .n_done = 1 };
	struct reeve_progress progress;
	struct reeve_item item;
	const void *view;
	size_t size;

	ck_assert_int_eq(reeve_result_wait(NULL, 0), -EINVAL);
	ck_assert_int_eq(reeve_result_get(NULL, 0, NULL, 0, NULL), -EINVAL);
	ck_assert_int_eq(reeve_result_get_view(NULL, 0, &view, &size), -EINVAL);
	ck_assert_int_eq(reeve_result_ready(NULL), -EINVAL);
	ck_assert_int_eq(reeve_result_successful(NULL), -EINVAL);
	ck_assert_int_eq(reeve_result_cancel(NULL), -EINVAL);
	ck_assert_int_eq(reeve_result_progress(NULL, &progress), -EINVAL);
	ck_assert_uint_eq(reeve_result_deaths(NULL, NULL, 1), 0);
	ck_assert_ptr_null(reeve_result_ref(NULL));
	ck_assert_ptr_null(reeve_result_unref(NULL));
	reeve_result_outcome(NULL, &outcome);
	ck_assert_int_eq(outcome.kind, REEVE_PENDING);
	ck_assert_int_eq(reeve_iterator_next(NULL, 0, &item), -EINVAL);
	ck_assert_ptr_null(reeve_iterator_free(NULL));
	reeve_pool_stats(NULL, &stats);
	ck_assert_uint_eq(stats.n_done, 0);
	ck_assert_uint_eq(reeve_pool_workers(NULL, NULL, 1), 0);
	ck_assert_uint_eq(reeve_pool_report(NULL, NULL, 1), 0);
	ck_assert_int_eq(reeve_pool_dispatch(NULL), -EINVAL);
	ck_assert_ptr_null(reeve_pool_free(NULL));
}
END_TEST

START_TEST(test_outputs_of_null)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	const struct reeve_imap_spec none = { 0 };
	struct reeve_result *result;
	struct reeve_iterator *it;
	const void *view;
	size_t size;

	check_square(pool, 2);
	ck_assert_int_eq(reeve_pool_apply_async(pool, fail_on, NULL, 0, NULL,
						&result),
			 0);
	ck_assert_int_eq(reeve_result_get(result, LONG_WAIT, NULL, 0, NULL),
			 -EIO);
	ck_assert_int_eq(reeve_result_get_view(result, 0, NULL, &size),
			 -EINVAL);
	ck_assert_int_eq(reeve_result_get_view(result, 0, &view, NULL),
			 -EINVAL);
	ck_assert_int_eq(reeve_result_progress(result, NULL), -EINVAL);
	reeve_result_outcome(result, NULL);
	reeve_result_unref(result);
	ck_assert_int_eq(reeve_pool_imap(pool, square, &none, NULL), -EINVAL);
	ck_assert_int_eq(reeve_pool_imap(pool, square, &none, &it), 0);
	ck_assert_int_eq(reeve_iterator_next(it, LONG_WAIT, NULL), -EINVAL);
	reeve_iterator_free(it);
	reeve_pool_stats(pool, NULL);
	ck_assert_uint_gt(reeve_pool_workers(pool, NULL, 1), 0);
	end_pool(pool);
}
END_TEST

/* What a child of the owner finds in its copy. */
struct inheritance {
	struct reeve_pool *pool;
	struct reeve_result *over, *running;
	struct reeve_iterator *it;
};

static bool is_refused(const struct inheritance *in)
{
	struct reeve_pool_stats stats = { .n_done = 1 };
	struct reeve_item item;
	uint64_t x = 1;

	reeve_pool_stats(in->pool, &stats);
	return reeve_pool_apply(in->pool, square, &x, 8, NULL, NULL, NULL) ==
		       -ECHILD &&
	       reeve_pool_close(in->pool) == -ECHILD &&
	       reeve_pool_join(in->pool, LONG_WAIT) == -ECHILD &&
	       reeve_pool_terminate(in->pool) == -ECHILD &&
	       reeve_pool_dispatch(in->pool) == -ECHILD &&
	       reeve_result_wait(in->over, LONG_WAIT) == -ECHILD &&
	       reeve_result_ready(in->over) == -ECHILD &&
	       reeve_result_get(in->over, 0, NULL, 0, NULL) == -ECHILD &&
	       reeve_result_wait(in->running, LONG_WAIT) == -ECHILD &&
	       reeve_result_cancel(in->running) == -ECHILD &&
	       reeve_iterator_next(in->it, LONG_WAIT, &item) == -ECHILD &&
	       stats.n_done == 0;
}

static void use_in_child(void *arg)
{
	const struct inheritance *in = arg;

	if (!is_refused(in))
		_exit(1);
	reeve_result_unref(in->over);
	reeve_result_unref(in->running);
	reeve_iterator_free(in->it);
	reeve_pool_free(in->pool);
	_exit(is_refused(in) ? 0 : 2); /* results hold it */
}

START_TEST(test_in_a_forked_child)
{
	const struct reeve_imap_spec none = { 0 };
	struct inheritance in = { .pool = new_pool(
					  _i, (struct reeve_pool_spec){ 0 }) };
	uint64_t x = 3, y = 0;

	check_square(in.pool, 2);
	ck_assert_int_eq(reeve_pool_apply_async(in.pool, square, &x, 8, NULL,
						&in.over),
			 0);
	ck_assert_int_eq(reeve_result_wait(in.over, LONG_WAIT), 0);
	ck_assert_int_eq(reeve_pool_apply_async(in.pool, wait_for_ever, NULL, 0,
						NULL, &in.running),
			 0);
	ck_assert_int_eq(reeve_pool_imap(in.pool, square, &none, &in.it), 0);
	ck_assert_int_eq(unit_fork(use_in_child, &in, NULL), 0);
	ck_assert_int_eq(reeve_result_get(in.over, 0, &y, 8, NULL), 0);
	ck_assert_uint_eq(y, 9);
	ck_assert_int_eq(reeve_result_cancel(in.running), 0);
	reeve_result_unref(in.over);
	reeve_result_unref(in.running);
	reeve_iterator_free(in.it);
	end_pool(in.pool);
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

static void *free_in_thread(void *arg)
{
	return reeve_pool_free(arg);
}

static int free_meanwhile(void *userdata, const void **ret_input _unused_,
			  size_t *ret_size _unused_)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, free_in_thread, userdata) == 0)
		(void)pthread_join(thread, NULL);
	_exit(1); /* it must not return */
}

static void free_while_another_is_inside(void *arg)
{
	struct reeve_imap_spec spec = { .generator = free_meanwhile };
	struct reeve_pool *pool;
	struct reeve_iterator *it;
	struct reeve_item item;

	by_default(SIGABRT);
	if (reeve_pool_new(arg, &pool) == 0) {
		spec.userdata = pool;
		if (reeve_pool_imap(pool, square, &spec, &it) == 0)
			(void)reeve_iterator_next(it, LONG_WAIT, &item);
	}
	_exit(2);
}

/* It can neither be done nor be said: no return value, and no other owner. */
START_TEST(test_freed_while_another_is_inside)
{
	struct reeve_pool_spec spec = { .processes = 1,
					.context = REEVE_CONTEXT_FORK };
	char *output = NULL;

	ck_assert_int_eq(unit_fork(free_while_another_is_inside, &spec,
				   &output),
			 -SIGABRT);
	ck_assert_ptr_nonnull(strstr(output, "r == 0"));
	free(output);
}
END_TEST

#define WAITERS 8

static void *wait_in_a_map(void *arg)
{
	static const int inputs[4];
	const struct reeve_map_spec spec = {
		.inputs = inputs,
		.input_size = sizeof(inputs[0]),
		.n_items = ARRAY_SIZE(inputs),
	};

	return (void *)(intptr_t)reeve_pool_map(arg, wait_for_ever, &spec);
}

/* Freed while threads wait in it: they are told, and touch nothing after. */
START_TEST(test_freed_while_threads_wait)
{
	struct reeve_pool_stats stats = { 0 };
	pthread_t waiters[WAITERS];
	struct reeve_pool *pool;
	void *n_bad;

	if (pool_modes[_i].service != REEVE_SERVICE_THREAD)
		return;
	pool = new_pool(_i, (struct reeve_pool_spec){ .processes = 2 });
	for (int i = 0; i < WAITERS; i++)
		ck_assert_int_eq(pthread_create(&waiters[i], NULL,
						wait_in_a_map, pool),
				 0);
	while (stats.n_queued + stats.n_running < 4 * WAITERS)
		reeve_pool_stats(pool, &stats);
	reeve_pool_free(pool);
	for (int i = 0; i < WAITERS; i++) {
		ck_assert_int_eq(pthread_join(waiters[i], &n_bad), 0);
		ck_assert_int_eq((intptr_t)n_bad, 4);
	}
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

/* Waits until item is running, without looking at the workers. */
static void await_running(struct reeve_pool *pool, struct reeve_result *result)
{
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;
	struct reeve_pool_stats stats = { 0 };

	while (stats.n_running == 0 && clock_monotonic_usec() < end) {
		(void)reeve_result_ready(result);
		reeve_pool_stats(pool, &stats);
	}
	ck_assert_uint_eq(stats.n_running, 1);
}

/* What runs, and since when, also if nobody has asked before. */
START_TEST(test_what_runs)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 1 });
	const struct reeve_map_spec spec = { .inputs = (uint64_t[3]){ 0 },
					     .input_size = 8,
					     .n_items = 3,
					     .chunksize = 3 };
	struct reeve_worker_stats worker;
	struct reeve_result *result;
	uint64_t waited_usec;

	check_square(pool, 2); /* job 1 */
	ck_assert_int_eq(reeve_pool_map_async(pool, hang_at_third, &spec, NULL,
					      &result),
			 0);
	await_running(pool, result);
	ck_assert_int_eq(reeve_result_wait(result, 300 * USEC_PER_MSEC),
			 -ETIMEDOUT);
	waited_usec = clock_monotonic_usec();
	while (clock_monotonic_usec() == waited_usec)
		continue;
	ck_assert_uint_eq(reeve_pool_workers(pool, &worker, 1), 1);
	ck_assert(worker.is_busy);
	ck_assert_ptr_eq((void *)worker.function, (void *)hang_at_third);
	ck_assert_uint_eq(worker.job, 2);
	ck_assert_uint_eq(worker.index, 2);
	ck_assert_uint_le(worker.busy_since_usec, waited_usec);
	ck_assert_uint_ge(worker.busy_since_usec, worker.started_usec);
	ck_assert_int_eq(reeve_result_cancel(result), 0);
	reeve_result_unref(result);
	check_square(pool, 2);
	(void)reeve_pool_workers(pool, &worker, 1);
	ck_assert(!worker.is_busy && !worker.function);
	ck_assert(worker.job == 0 && worker.busy_since_usec == 0);
	end_pool(pool);
}
END_TEST

POOL_MAIN("pool_ends", test_ends_in_any_order, test_calls_from_callbacks,
	  test_dispatch, test_bad_specs, test_bad_calls, test_handles_of_null,
	  test_outputs_of_null, test_in_a_forked_child, test_second_thread,
	  test_freed_while_another_is_inside, test_freed_while_threads_wait,
	  test_statistics, test_what_runs)
