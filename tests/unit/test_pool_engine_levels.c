/* What is more urgent goes first: engine_queue.c, and make_way() of engine_feed.c. */
#include "tests/unit/engine_rig.h"
#include "workers/pool/engine_room.h"

static struct rig r;

static struct rig_job tasks_of(uint64_t n, unsigned level)
{
	struct rig_job j = rig_tasks(n);

	j.job.level = level;
	return j;
}

static void submit(struct rig_job *j)
{
	engine_submit(&r.engine, &j->job);
	(void)engine_feed(&r.engine);
}

/* "HLL": the levels of what stands in the port, by the letters of their jobs. */
static void expect_port(unsigned port, const struct rig_job *const *jobs,
			const char *letters)
{
	const struct port *p = &r.ports[port];

	ck_assert_uint_eq(port_load(p), strlen(letters));
	for (size_t i = 0; letters[i]; i++)
		ck_assert_msg(port_piece(p, p->head + i)->job ==
				      &jobs[letters[i] - 'a']->job,
			      "port %u, slot %zu: not %c", port, i, letters[i]);
}

static void run_first(unsigned port)
{
	rig_set(&r.ports[port], r.ports[port].head, SLOT_RUNNING, 0);
}

static void end_first(unsigned port)
{
	rig_set(&r.ports[port], r.ports[port].head, SLOT_DONE, 1);
	(void)engine_collect(&r.engine);
	(void)engine_feed(&r.engine);
}

static void forget(struct rig_job *j)
{
	(void)engine_cancel(&r.engine, &j->job);
}

/* Each level in the order in which it came. */
START_TEST(test_order)
{
	struct rig_job a = tasks_of(1, 3), b = tasks_of(1, 30),
		       c = tasks_of(1, 3);
	struct rig_job d = tasks_of(1, 0), e = tasks_of(1, 30);
	const struct rig_job *jobs[] = { &a, &b, &c, &d, &e };
	struct rig_job *all[] = { &a, &b, &c, &d, &e };

	rig_init(&r, 1, 8);
	for (int i = 0; i < 5; i++)
		engine_submit(&r.engine, &all[i]->job);
	ck_assert_uint_eq(engine_waiting(&r.engine), 5);
	for (const char *next = "beacd"; *next; next++) {
		(void)engine_feed(&r.engine);
		ck_assert_ptr_eq(port_piece(&r.ports[0], r.ports[0].head)->job,
				 &jobs[*next - 'a']->job);
		run_first(0);
		rig_set(&r.ports[0], r.ports[0].head, SLOT_DONE, 1);
		(void)engine_collect(&r.engine);
	}
	ck_assert(engine_is_idle(&r.engine));
	rig_done_with(&r);
}
END_TEST

/* What has been handed over in advance makes way, and comes back in its order. */
START_TEST(test_makes_way)
{
	struct rig_job a = tasks_of(6, 1), b = tasks_of(2, 2);
	const struct rig_job *jobs[] = { &a, &b };

	rig_init(&r, 1, 8);
	submit(&a);
	expect_port(0, jobs, "aaaaaa");
	run_first(0);
	submit(&b);
	expect_port(0, jobs, "abb");
	ck_assert_uint_eq(engine_waiting(&r.engine), 5);
	end_first(0);
	expect_port(0, jobs, "bb"); /* not begun yet: nothing behind them */
	run_first(0);
	end_first(0);
	run_first(0);
	(void)engine_feed(&r.engine);
	expect_port(0, jobs, "baaaaa");
	for (unsigned i = 1; i < 6; i++)
		ck_assert_uint_eq(
			port_piece(&r.ports[0], r.ports[0].head + i)->index, i);
	forget(&a);
	rig_done_with(&r);
}
END_TEST

/* Nobody begins something else while an urgent one waits behind a long task: who is
 * the first to have nothing to do gets it. */
START_TEST(test_waits_only_for_what_runs)
{
	struct rig_job a = tasks_of(16, 1), b = tasks_of(1, 2);
	const struct rig_job *jobs[] = { &a, &b };

	rig_init(&r, 2, 8);
	submit(&a);
	run_first(0);
	run_first(1);
	submit(&b);
	ck_assert_uint_eq(port_load(&r.ports[0]) + port_load(&r.ports[1]), 3);
	end_first(port_load(&r.ports[0]) == 1 ? 0 : 1); /* the other one */
	ck_assert_uint_eq(b.n_over, 0);
	for (unsigned i = 0; i < 2; i++)
		if (port_piece(&r.ports[i], r.ports[i].head)->job == &b.job)
			expect_port(i, jobs, "b");
		else
			ck_assert_uint_eq(port_load(&r.ports[i]), 1);
	forget(&a);
	forget(&b);
	rig_done_with(&r);
}
END_TEST

/* Who has nothing to do gets something, urgent or not. */
START_TEST(test_idle_gets_less_urgent)
{
	struct rig_job a = tasks_of(1, 9), b = tasks_of(5, 1);
	const struct rig_job *jobs[] = { &a, &b };

	rig_init(&r, 2, 8);
	submit(&a);
	submit(&b);
	expect_port(0, jobs, "a");
	expect_port(1, jobs, "b");
	run_first(0);
	(void)engine_feed(&r.engine);
	ck_assert_uint_eq(engine_waiting(&r.engine), 0);
	forget(&b);
	rig_done_with(&r);
}
END_TEST

/* A chunk ends early for it, and only as long as it waits. */
START_TEST(test_cuts_chunks)
{
	struct rig_job a = rig_chunks(20, 10), b = tasks_of(1, 2);
	const _Atomic uint32_t *hurry;

	rig_init(&r, 1, 8);
	hurry = &r.ports[0].channel.memory->orders.hurry;
	submit(&a);
	run_first(0);
	ck_assert_uint_eq(*hurry, 0);
	submit(&b);
	ck_assert_uint_eq(*hurry, 1);
	rig_set(&r.ports[0], 0, SLOT_DONE, 4);
	(void)engine_collect(&r.engine);
	ck_assert_uint_eq(a.n_over, 4);
	(void)engine_feed(&r.engine);
	ck_assert_ptr_eq(port_piece(&r.ports[0], 1)->job, &b.job);
	ck_assert_uint_eq(*hurry, 0);
	end_first(0);
	ck_assert_uint_eq(b.n_over, 1);
	ck_assert_uint_eq(port_piece(&r.ports[0], 2)->index, 4);
	ck_assert_uint_eq(port_piece(&r.ports[0], 2)->n_items, 6);
	forget(&a);
	rig_done_with(&r);
}
END_TEST

/* What comes back from the dead is as urgent as it was. */
START_TEST(test_death)
{
	struct rig_job a = tasks_of(4, 1), b = tasks_of(3, 2);
	const struct rig_job *jobs[] = { &a, &b };
	unsigned with_two;

	rig_init(&r, 2, 8);
	submit(&b);
	with_two = port_load(&r.ports[1]) == 2;
	run_first(0);
	run_first(1);
	submit(&a);
	ck_assert_uint_eq(engine_waiting(&r.engine), 4);
	rig_die(&r, with_two);
	expect_port(!with_two, jobs, "b");
	(void)engine_feed(&r.engine);
	expect_port(!with_two, jobs, "bb");
	ck_assert_uint_eq(engine_waiting(&r.engine), 4);
	forget(&a);
	forget(&b);
	rig_done_with(&r);
}
END_TEST

/* Also what is run again. */
START_TEST(test_retry)
{
	struct rig_job a = tasks_of(1, 5), b = tasks_of(3, 1);
	const struct rig_job *jobs[] = { &a, &b };

	rig_init(&r, 1, 8);
	a.job.max_crashes = 2;
	a.job.retry_delay_usec = 10;
	submit(&a);
	run_first(0);
	rig_die(&r, 0);
	engine_port_live(&r.engine, 0, 2, 1);
	submit(&b);
	run_first(0);
	expect_port(0, jobs, "bbb");
	engine_due(&r.engine, 10);
	(void)engine_feed(&r.engine);
	expect_port(0, jobs, "ba");
	forget(&a);
	forget(&b);
	rig_done_with(&r);
}
END_TEST

/* Level after level takes the place of the last one: what was taken back has room, as
 * often as it may be. */
START_TEST(test_room_for_all_levels)
{
	static struct rig_job jobs[2 * ENGINE_LEVELS];
	const unsigned n = ARRAY_SIZE(jobs);
	uint64_t n_over = 0;

	rig_init(&r, 4, 8);
	for (unsigned i = 0; i < n; i++) {
		jobs[i] = tasks_of(RIG_ITEMS, i % ENGINE_LEVELS);
		submit(&jobs[i]);
		submit(&jobs[i]);
		ck_assert_uint_le(r.engine.n_redo, r.engine.redo_size);
	}
	while (!engine_is_idle(&r.engine)) {
		for (unsigned i = 0; i < 4; i++)
			while (port_load(&r.ports[i]) > 0) {
				rig_run(&r.ports[i], r.ports[i].head);
				(void)engine_collect(&r.engine);
			}
		(void)engine_feed(&r.engine);
	}
	for (unsigned i = 0; i < n; i++)
		n_over += jobs[i].n_over;
	ck_assert_uint_eq(n_over, (uint64_t)n * RIG_ITEMS);
	rig_done_with(&r);
}
END_TEST

/* Of one level only, nothing of this happens. */
START_TEST(test_one_level)
{
	struct rig_job a = tasks_of(8, 4), b = tasks_of(8, 4);

	rig_init(&r, 1, 8);
	submit(&a);
	run_first(0);
	submit(&b);
	ck_assert_uint_eq(port_load(&r.ports[0]), 8);
	ck_assert_uint_eq(r.engine.n_redo, 0);
	ck_assert_uint_eq(r.engine.levels_given, 1U << 4);
	forget(&a);
	forget(&b);
	rig_done_with(&r);
}
END_TEST

UNIT_MAIN("pool_engine_levels", test_order, test_makes_way,
	  test_waits_only_for_what_runs, test_idle_gets_less_urgent,
	  test_cuts_chunks, test_death, test_retry, test_room_for_all_levels,
	  test_one_level)
