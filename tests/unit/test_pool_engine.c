/* engine.h: who gets what, in which order, and when it is looked after. */
#include "workers/pool/engine.h"

#include "tests/unit/engine_rig.h"

static struct rig r;

/* ---- handing out -------------------------------------------------------- */

START_TEST(test_idle_first)
{
	struct rig_job j = rig_tasks(2);

	rig_init(&r, 2, 8);
	r.engine.hint = 1;
	engine_submit(&r.engine, &j.job);
	ck_assert_uint_eq(engine_feed(&r.engine), 2);
	rig_expect_loads(&r, 1, 1);
	ck_assert_uint_eq(port_piece(&r.ports[1], 0)->index, 0);
	rig_run_all(&r, 0);
	rig_run_all(&r, 1);
	rig_expect(&j, REEVE_DONE, 2);
	ck_assert(engine_is_idle(&r.engine));
	ck_assert_uint_eq(r.engine.n_done, 2);
	rig_done_with(&r);
}
END_TEST

START_TEST(test_windows)
{
	struct rig_job j = rig_tasks(20);

	rig_init(&r, 2, 8);
	r.engine.window = 4;
	engine_submit(&r.engine, &j.job);
	ck_assert_uint_eq(engine_feed(&r.engine), 8);
	rig_expect_loads(&r, 4, 4);
	ck_assert_uint_eq(engine_feed(&r.engine), 0);
	rig_done_with(&r);
}
END_TEST

/* Two at a time of what is large: more would only push each other out of the
 * cache. */
START_TEST(test_windows_of_large_inputs)
{
	static const struct {
		uint32_t item_size;
		unsigned load;
	} cases[] = { { 4096, 8 },
		      { ARENA_SOFT_SIZE / 4, 4 },
		      { ARENA_SOFT_SIZE / 2, 2 },
		      { ARENA_SOFT_SIZE, 2 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig_job j = rig_tasks(20);

		j.item_size = cases[i].item_size;
		rig_init(&r, 2, 8);
		engine_submit(&r.engine, &j.job);
		(void)engine_feed(&r.engine);
		rig_expect_loads(&r, cases[i].load, cases[i].load);
		rig_run(&r.ports[0], 0);
		(void)engine_collect(&r.engine);
		(void)engine_feed(&r.engine);
		rig_expect_loads(&r, cases[i].load, cases[i].load);
		rig_done_with(&r);
	}
}
END_TEST

START_TEST(test_first_come)
{
	struct rig_job a = rig_tasks(2), b = rig_tasks(2);

	rig_init(&r, 1, 8);
	engine_submit(&r.engine, &a.job);
	engine_submit(&r.engine, &b.job);
	engine_submit(&r.engine, &b.job); /* is there already */
	ck_assert_uint_eq(engine_feed(&r.engine), 4);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_ptr_eq(port_piece(&r.ports[0], i)->job,
				 i < 2 ? &a.job : &b.job);
	rig_done_with(&r);
}
END_TEST

START_TEST(test_max_items)
{
	struct rig_job j = rig_chunks(10, 8);

	rig_init(&r, 1, 8);
	r.engine.max_items = 3;
	engine_submit(&r.engine, &j.job);
	ck_assert_uint_eq(engine_feed(&r.engine), 4);
	ck_assert_uint_eq(port_piece(&r.ports[0], 3)->n_items, 1);
	rig_done_with(&r);
}
END_TEST

START_TEST(test_wakes_sleepers)
{
	struct rig_job j = rig_tasks(4);

	rig_init(&r, 2, 8);
	r.engine.bell = 3;
	atomic_store(&r.ports[0].channel.memory->signs.asleep, 1);
	engine_submit(&r.engine, &j.job);
	(void)engine_feed(&r.engine);
	ck_assert_uint_gt(r.n_wakes[0], 0);
	ck_assert_uint_eq(r.n_wakes[1], 0);
	ck_assert_uint_eq(r.ports[1].channel.memory->orders.bell, 3);
	rig_done_with(&r);
}
END_TEST

/* ---- stealing ----------------------------------------------------------- */

/* Port 0 runs the first of n tasks and holds them all; port 1 comes later. */
static void all_to_port_0(struct rig_job *j)
{
	rig_init(&r, 2, 16);
	r.ports[1].state = PORT_RESET;
	engine_submit(&r.engine, &j->job);
	(void)engine_feed(&r.engine);
	rig_set(&r.ports[0], 0, SLOT_RUNNING, 0);
	r.ports[1].state = PORT_LIVE;
}

START_TEST(test_steals_half)
{
	struct rig_job j = rig_tasks(8);

	all_to_port_0(&j);
	rig_expect_loads(&r, 8, 0);
	ck_assert_uint_eq(engine_feed(&r.engine), 1);
	rig_expect_loads(&r, 4, 1);
	ck_assert_uint_eq(engine_waiting(&r.engine), 3);
	ck_assert_uint_eq(port_piece(&r.ports[1], 0)->index, 4);
	ck_assert_uint_eq(engine_feed(&r.engine), 3);
	for (unsigned i = 0; i < 3; i++)
		rig_run_all(&r, 1);
	ck_assert_uint_eq(engine_waiting(&r.engine), 0);
	rig_done_with(&r);
}
END_TEST

/* Its slot was spoilt when it was cancelled, and looks well again. */
START_TEST(test_does_not_steal_what_is_cancelled)
{
	struct rig_job a = rig_tasks(1), b = rig_tasks(3);

	all_to_port_0(&a);
	r.ports[1].state = PORT_RESET;
	engine_submit(&r.engine, &b.job);
	(void)engine_feed(&r.engine);
	r.ports[1].state = PORT_LIVE;
	rig_set(&r.ports[0], 3, SLOT_FREE, 0);
	(void)engine_cancel(&r.engine, &b.job);
	ck_assert_uint_eq(b.n_over, 2);
	rig_set(&r.ports[0], 3, SLOT_QUEUED, 0);
	ck_assert_uint_eq(engine_feed(&r.engine), 0);
	rig_expect(&b, REEVE_CANCELLED, 3);
	rig_done_with(&r);
}
END_TEST

START_TEST(test_does_not_steal_what_runs)
{
	struct rig_job j = rig_tasks(2);

	all_to_port_0(&j);
	rig_set(&r.ports[0], 1, SLOT_RUNNING, 0);
	ck_assert_uint_eq(engine_feed(&r.engine), 0);
	rig_expect_loads(&r, 2, 0);
	rig_done_with(&r);
}
END_TEST

/* What was cancelled behind a long task is no load: the other's is taken. */
START_TEST(test_cancelled_is_no_load)
{
	struct rig_job a = rig_tasks(1), b = rig_tasks(10), c = rig_tasks(4);

	rig_init(&r, 3, 16);
	r.ports[1].state = r.ports[2].state = PORT_RESET;
	engine_submit(&r.engine, &a.job);
	engine_submit(&r.engine, &b.job);
	(void)engine_feed(&r.engine);
	rig_set(&r.ports[0], 0, SLOT_RUNNING, 0);
	r.ports[0].state = PORT_RESET; /* nothing more for it now */
	r.ports[1].state = PORT_LIVE;
	engine_submit(&r.engine, &c.job);
	(void)engine_feed(&r.engine);
	rig_set(&r.ports[1], 0, SLOT_RUNNING, 0);
	r.ports[0].state = PORT_LIVE;
	rig_expect_loads(&r, 11, 4);

	ck_assert_uint_eq(engine_cancel(&r.engine, &b.job), 0);
	rig_expect(&b, REEVE_CANCELLED, 10);
	rig_expect_loads(&r, 1, 4);
	r.ports[2].state = PORT_LIVE;
	ck_assert_uint_eq(engine_feed(&r.engine), 1);
	ck_assert_uint_eq(port_load(&r.ports[2]), 1);
	rig_done_with(&r);
}
END_TEST

/* Also when it lies between. */
START_TEST(test_steals_around_cancelled)
{
	struct rig_job a = rig_tasks(1), b = rig_tasks(10), c = rig_tasks(1);

	rig_init(&r, 2, 16);
	r.ports[1].state = PORT_RESET;
	engine_submit(&r.engine, &a.job);
	engine_submit(&r.engine, &b.job);
	engine_submit(&r.engine, &c.job);
	(void)engine_feed(&r.engine);
	rig_set(&r.ports[0], 0, SLOT_RUNNING, 0);
	(void)engine_cancel(&r.engine, &b.job);
	rig_expect_loads(&r, 12, 0);
	r.ports[1].state = PORT_LIVE;
	ck_assert_uint_eq(engine_feed(&r.engine), 1);
	rig_expect_loads(&r, 1, 1);
	ck_assert_ptr_eq(port_piece(&r.ports[1], 0)->job, &c.job);
	rig_done_with(&r);
}
END_TEST

/* ---- ringing and checking ----------------------------------------------- */

START_TEST(test_arm)
{
	struct rig_job j = rig_tasks(1);

	rig_init(&r, 2, 4);
	engine_submit(&r.engine, &j.job);
	(void)engine_feed(&r.engine);
	ck_assert(engine_arm(&r.engine, 2));
	ck_assert_uint_eq(r.ports[0].channel.memory->orders.bell, 2);
	ck_assert_uint_eq(r.ports[1].channel.memory->orders.bell, 0);
	engine_disarm(&r.engine);
	ck_assert_uint_eq(r.ports[0].channel.memory->orders.bell, 0);
	rig_run(&r.ports[0], 0);
	ck_assert(!engine_arm(&r.engine, 1));
	rig_done_with(&r);
}
END_TEST

START_TEST(test_check)
{
	struct rig_job j = rig_tasks(2);

	rig_init(&r, 1, 4);
	engine_submit(&r.engine, &j.job);
	(void)engine_feed(&r.engine);
	for (int i = 0; i < 100; i++)
		engine_check(&r.engine); /* it is busy: as long as it likes */
	ck_assert_uint_eq(r.n_wakes[0], 0);
	ck_assert_uint_eq(r.n_kills[0], 0);
	r.ports[0].channel.memory->orders.closing = 1; /* scribbled */
	engine_check(&r.engine);
	ck_assert_uint_eq(r.ports[0].channel.memory->orders.closing, 0);
	atomic_store(&r.ports[0].channel.memory->signs.asleep, 1);
	for (int i = 0; i < 9; i++)
		engine_check(&r.engine);
	ck_assert_uint_eq(r.n_wakes[0], 9);
	rig_run(&r.ports[0], 0); /* progress */
	(void)engine_collect(&r.engine);
	for (int i = 0; i < 10; i++)
		engine_check(&r.engine);
	ck_assert_uint_eq(r.n_kills[0], 0);
	engine_check(&r.engine);
	ck_assert_uint_eq(r.n_kills[0], 1);
	rig_done_with(&r);
}
END_TEST

UNIT_MAIN("pool_engine", test_idle_first, test_windows,
	  test_windows_of_large_inputs, test_first_come, test_max_items,
	  test_wakes_sleepers, test_steals_half,
	  test_does_not_steal_what_is_cancelled, test_does_not_steal_what_runs,
	  test_cancelled_is_no_load, test_steals_around_cancelled, test_arm,
	  test_check)
