/* <reeve/sd-event.h>: a pool that is driven by an sd-event loop alone. */
#include <reeve/sd-event.h>

#include "tests/unit/pool_rig.h"

#define N_TASKS 200

struct loop {
	sd_event *event;
	int n_good, n_bad;
};

static void count(struct loop *loop)
{
	if (loop->n_good + loop->n_bad == N_TASKS)
		(void)sd_event_exit(loop->event, 0);
}

static void on_done(struct reeve_result *result _unused_, void *userdata)
{
	struct loop *loop = userdata;

	loop->n_good++;
	count(loop);
}

static void on_failed(struct reeve_result *result _unused_, void *userdata)
{
	struct loop *loop = userdata;

	loop->n_bad++;
	count(loop);
}

static int on_late(sd_event_source *source, uint64_t usec _unused_,
		   void *userdata _unused_)
{
	return sd_event_exit(sd_event_source_get_event(source), -ETIMEDOUT);
}

static void new_loop(struct loop *loop)
{
	*loop = (struct loop){ .event = NULL };
	ck_assert_int_eq(sd_event_new(&loop->event), 0);
	ck_assert_int_eq(sd_event_add_time_relative(loop->event, NULL,
						    CLOCK_MONOTONIC, LONG_WAIT,
						    0, on_late, NULL),
			 0);
}

static bool is_caller(int mode)
{
	return pool_modes[mode].service == REEVE_SERVICE_CALLER;
}

START_TEST(test_driven_by_a_loop)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	sd_event_source *source = NULL;
	struct loop loop;
	const struct reeve_apply_spec spec = { .callback = on_done,
					       .error_callback = on_failed,
					       .userdata = &loop };
	int r;

	new_loop(&loop);
	r = reeve_pool_attach_event(pool, loop.event, &source);
	ck_assert_int_eq(r, is_caller(_i) ? 0 : -ENOTSUP);
	for (uint64_t i = 0; i < N_TASKS && r == 0; i++)
		ck_assert_int_eq(reeve_pool_apply_async(
					 pool, i % 10 ? square : end_somehow,
					 &(uint64_t){ i % 10 ? i : END_KILL },
					 8, &spec, NULL),
				 0);
	if (r == 0) {
		ck_assert_int_eq(sd_event_loop(loop.event), 0);
		ck_assert_int_eq(loop.n_bad, N_TASKS / 10);
	}
	sd_event_source_disable_unref(source);
	end_pool(pool);
	sd_event_unref(loop.event);
}
END_TEST

/* Nothing rings when a worker is stopped: the loop finds out all the same. */
START_TEST(test_loop_with_a_stopped_worker)
{
	struct reeve_pool *pool;
	struct reeve_worker_stats workers[2];
	sd_event_source *source = NULL;
	struct loop loop;
	const struct reeve_apply_spec spec = { .callback = on_done,
					       .error_callback = on_failed,
					       .userdata = &loop };

	if (!is_caller(_i))
		return;
	pool = new_pool(_i, (struct reeve_pool_spec){ .processes = 1 });
	check_square(pool, 2);
	ck_assert_uint_eq(reeve_pool_workers(pool, workers, 2), 1);
	ck_assert_int_eq(kill(workers[0].pid, SIGSTOP), 0);
	new_loop(&loop);
	ck_assert_int_eq(reeve_pool_attach_event(pool, loop.event, &source), 0);
	for (uint64_t i = 0; i < N_TASKS; i++)
		ck_assert_int_eq(reeve_pool_apply_async(pool, square, &i, 8,
							&spec, NULL),
				 0);
	ck_assert_int_eq(sd_event_loop(loop.event), 0);
	ck_assert_int_eq(loop.n_good, N_TASKS);
	sd_event_source_disable_unref(source);
	end_pool(pool);
	sd_event_unref(loop.event);
}
END_TEST

POOL_MAIN("pool_sd_event", test_driven_by_a_loop,
	  test_loop_with_a_stopped_worker)
