/* Before a worker is killed because it hangs, the pool looks what it is doing, and
 * says so: in the record of its death, and in short in the outcome of its task.
 * Who ends by itself is not spoken of, nor is it said of a worker what was seen of
 * the one before. */
#include "tests/unit/pool_rig.h"

#define TIMEOUT_USEC (60 * USEC_PER_MSEC)

static struct reeve_death last_death(struct reeve_pool *pool)
{
	struct reeve_death death = { 0 };

	ck_assert_uint_gt(reeve_pool_report(pool, &death, 1), 0);
	ck_assert_ptr_nonnull(
		memchr(death.post_mortem, '\0', sizeof(death.post_mortem)));
	return death;
}

static bool begins_with(const char *text, const char *words)
{
	return strncmp(text, words, strlen(words)) == 0;
}

/* The gist of what the record says stands at the end of the message. */
static void check_message(const struct reeve_outcome *o,
			  const struct reeve_death *d)
{
	char gist[REEVE_POST_MORTEM_MAX + 16];

	(void)snprintf(gist, sizeof(gist), "; it was %.*s",
		       (int)strcspn(d->post_mortem, ";"), d->post_mortem);
	ck_assert_msg(
		strlen(o->message) > strlen(gist) &&
			strcmp(o->message + strlen(o->message) - strlen(gist),
			       gist) == 0,
		"\"%s\" does not end with \"%s\"", o->message, gist);
}

/* Where an executed program is, is known less well. */
static const char *is_sleeping(int mode, const char *place)
{
	return pool_modes[mode].context == REEVE_CONTEXT_SPAWN ? "sleeping"
							       : place;
}

static int read_for_ever(void *input _unused_, size_t size _unused_,
			 struct reeve_reply *reply _unused_)
{
	int fds[2];

	if (pipe(fds) == 0)
		(void)!read(fds[0], &fds[1], 1);
	return 0;
}

static int spin_for_ever(void *input _unused_, size_t size _unused_,
			 struct reeve_reply *reply _unused_)
{
	for (volatile unsigned n = 0;;)
		n++;
	return 0;
}

static int stop(void *input _unused_, size_t size _unused_,
		struct reeve_reply *reply _unused_)
{
	return raise(SIGSTOP);
}

static struct reeve_outcome time_out(struct reeve_pool *pool, reeve_task_fn *fn)
{
	struct reeve_outcome o;

	ck_assert_int_eq(reeve_pool_apply(pool, fn, NULL, 0, NULL, NULL, &o),
			 -ETIMEDOUT);
	return o;
}

START_TEST(test_timeout)
{
	const struct {
		reeve_task_fn *fn;
		const char *words;
	} cases[] = {
		{ read_for_ever, is_sleeping(_i, "sleeping in read") },
		{ spin_for_ever, "running, after 0." },
		{ stop, "stopped" },
	};
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){
				     .processes = 1,
				     .task_timeout_usec = TIMEOUT_USEC,
			     });

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct reeve_outcome o = time_out(pool, cases[i].fn);
		struct reeve_death d = last_death(pool);

		ck_assert_msg(begins_with(d.post_mortem, cases[i].words),
			      "\"%s\"", d.post_mortem);
		ck_assert_ptr_nonnull(strstr(d.post_mortem, "; 1 thread, "));
		ck_assert_ptr_nonnull(strstr(o.message, "time was over; "));
		check_message(&o, &d);
	}
	end_pool(pool);
}
END_TEST

START_TEST(test_cancelled)
{
	struct reeve_pool *pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	struct reeve_result *result;
	struct reeve_outcome o;
	struct reeve_death d;

	ck_assert_int_eq(reeve_pool_apply_async(pool, read_for_ever, NULL, 0,
						NULL, &result),
			 0);
	wait_until_running(pool, 1);
	ck_assert_int_eq(reeve_result_cancel(result), 0);
	ck_assert_int_eq(reeve_result_wait(result, LONG_WAIT), 0);
	reeve_result_outcome(result, &o);
	d = last_death(pool);
	ck_assert_str_ne(d.post_mortem, "");
	check_message(&o, &d);
	reeve_result_unref(result);
	end_pool(pool);
}
END_TEST

/* It does not begin what stands before it: it was stopped from outside. */
START_TEST(test_stopped_worker)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){ .processes = 1 });
	struct reeve_worker_stats worker;
	struct reeve_death d;

	if (_i > 0) { /* it takes a second, and is the same */
		end_pool(pool);
		return;
	}
	check_square(pool, 3);
	ck_assert_uint_eq(reeve_pool_workers(pool, &worker, 1), 1);
	ck_assert_int_eq(kill(worker.pid, SIGSTOP), 0);
	check_square(pool, 4); /* by its successor */
	d = last_death(pool);
	ck_assert_int_eq(d.exit.pid, worker.pid);
	ck_assert_msg(begins_with(d.post_mortem, "stopped"), "\"%s\"",
		      d.post_mortem);
	end_pool(pool);
}
END_TEST

START_TEST(test_start_timeout)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){
				     .processes = 1,
				     .initializer = init_hangs,
				     .start_timeout_usec = TIMEOUT_USEC,
				     .restart_limit = 1,
			     });
	uint64_t x = 1;
	struct reeve_outcome o;
	struct reeve_death d;

	ck_assert_int_eq(reeve_pool_apply(pool, square, &x, 8, NULL, NULL, &o),
			 -ESHUTDOWN);
	ck_assert_msg(strstr(o.message,
			     "not ready in 0.060 s; it was sleeping"),
		      "\"%s\"", o.message);
	d = last_death(pool);
	ck_assert_int_eq(d.cause, REEVE_DEATH_START_TIMEOUT);
	ck_assert_msg(begins_with(d.post_mortem,
				  is_sleeping(_i, "sleeping in p")),
		      "\"%s\"", d.post_mortem);
	reeve_pool_free(pool);
}
END_TEST

/* The next one on that seat (there are two, in turns) has its own end. */
START_TEST(test_own_end)
{
	struct reeve_pool *pool =
		new_pool(_i, (struct reeve_pool_spec){
				     .processes = 1,
				     .task_timeout_usec = TIMEOUT_USEC,
			     });
	uint64_t way = END_KILL;
	struct reeve_outcome o;

	(void)time_out(pool, wait_for_ever);
	ck_assert_str_ne(last_death(pool).post_mortem, "");
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(reeve_pool_apply(pool, end_somehow, &way, 8,
						  NULL, NULL, &o),
				 -EPIPE);
		ck_assert_str_eq(last_death(pool).post_mortem, "");
		ck_assert_ptr_null(strstr(o.message, "it was"));
	}
	end_pool(pool);
}
END_TEST

static const struct reeve_function functions[] = {
	{ "read_for_ever", read_for_ever, NULL },
	{ "spin_for_ever", spin_for_ever, NULL },
	{ "stop", stop, NULL },
	{ "wait_for_ever", wait_for_ever, NULL },
	{ "end_somehow", end_somehow, NULL },
	{ "square", square, NULL },
	{ "init_hangs", NULL, init_hangs },
	{ NULL, NULL, NULL },
};

int main(int argc, char **argv)
{
	const TTest *const tests[] = { test_timeout, test_cancelled,
				       test_stopped_worker, test_start_timeout,
				       test_own_end };

	if (reeve_pool_setup(functions) < 0)
		return 2;
	return unit_loop_main("pool_postmortem", ARRAY_SIZE(pool_modes), tests,
			      ARRAY_SIZE(tests), argc > 0 ? argv + 1 : argv);
}
