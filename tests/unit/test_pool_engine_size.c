/* engine_resize(): who leaves and who stays, and what becomes of what they had. */
#include "workers/pool/engine.h"

#include "tests/unit/engine_rig.h"

static struct rig r;

static void expect_leaving(const char *which)
{
	for (unsigned i = 0; i < r.engine.n_ports; i++) {
		const struct port *p = &r.ports[i];

		ck_assert_int_eq(p->is_leaving, which[i] == 'x');
		ck_assert_uint_eq(p->channel.memory->orders.closing,
				  which[i] == 'x');
	}
}

static void feed(struct rig_job *j)
{
	engine_submit(&r.engine, &j->job);
	(void)engine_feed(&r.engine);
}

/* The least loaded leave; what they have not begun goes to the others. */
START_TEST(test_least_loaded_leave)
{
	struct rig_job a = rig_tasks(20), b = rig_tasks(9);

	rig_init(&r, 3, 16);
	r.ports[2].state = PORT_RESET;
	feed(&a); /* 10 and 10 */
	r.ports[2].state = PORT_LIVE;
	rig_set(&r.ports[0], 0, SLOT_RUNNING, 0);
	rig_set(&r.ports[1], 0, SLOT_RUNNING, 0);
	r.engine.window = 3;
	feed(&b);
	ck_assert_uint_eq(port_load(&r.ports[2]), 3);
	rig_set(&r.ports[2], 0, SLOT_RUNNING, 0);

	r.engine.window = 16;
	engine_resize(&r.engine, 2);
	expect_leaving("--x");
	ck_assert_uint_eq(port_load(&r.ports[2]), 1); /* it runs */
	ck_assert_uint_gt(r.n_wakes[2], 0);
	ck_assert_uint_eq(engine_waiting(&r.engine), 8);
	(void)engine_feed(&r.engine);
	ck_assert_uint_eq(port_load(&r.ports[2]), 1);
	ck_assert_uint_eq(engine_waiting(&r.engine), 0);
	ck_assert(engine_has_to_check(&r.engine));
	rig_set(&r.ports[2], 0, SLOT_DONE, 1);
	(void)engine_collect(&r.engine);
	ck_assert_uint_eq(b.n_outcomes[0], 1);
	rig_done_with(&r);
}
END_TEST

/* What was taken back comes first, in the old order. */
START_TEST(test_order_is_kept)
{
	struct rig_job a = rig_tasks(4), b = rig_tasks(4);

	rig_init(&r, 2, 8);
	r.ports[0].state = PORT_RESET;
	feed(&a);
	r.ports[0].state = PORT_LIVE;
	r.engine.window = 4;
	rig_set(&r.ports[1], 0, SLOT_RUNNING, 0);
	engine_submit(&r.engine, &b.job);
	r.ports[0].state = PORT_DOOMED; /* soon gone */
	engine_resize(&r.engine, 0);
	expect_leaving("-x");
	r.ports[0].state = PORT_LIVE;
	(void)engine_feed(&r.engine);
	ck_assert_uint_eq(port_load(&r.ports[0]), 4);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(port_piece(&r.ports[0], i)->index, i + 1);
	ck_assert_ptr_eq(port_piece(&r.ports[0], 3)->job, &b.job);
	rig_done_with(&r);
}
END_TEST

/* Up again: who has not left stays, before others are started. */
START_TEST(test_stay)
{
	struct rig_job a = rig_tasks(8);

	rig_init(&r, 4, 8);
	engine_resize(&r.engine, 1);
	engine_resize(&r.engine, 1);
	expect_leaving("xxx-");
	engine_resize(&r.engine, 3);
	expect_leaving("--x-");
	feed(&a);
	ck_assert_uint_gt(port_load(&r.ports[0]), 0);
	ck_assert_uint_eq(port_load(&r.ports[2]), 0);
	engine_resize(&r.engine, 9); /* more than there are */
	expect_leaving("----");
	ck_assert(r.ports[2].was_leaving);
	rig_done_with(&r);
}
END_TEST

/* Who dies makes room for one that was to leave. */
START_TEST(test_death_instead)
{
	rig_init(&r, 3, 8);
	engine_resize(&r.engine, 2);
	expect_leaving("x--");
	rig_die(&r, 1);
	engine_resize(&r.engine, 2);
	expect_leaving("---");
	engine_port_live(&r.engine, 1, 2, 1);
	engine_resize(&r.engine, 2);
	expect_leaving("x--");
	rig_die(&r, 0); /* it has left */
	expect_leaving("---");
	ck_assert(!r.ports[0].was_leaving);
	engine_port_live(&r.engine, 0, 2, 1); /* the channel is as new */
	expect_leaving("---");
	rig_done_with(&r);
}
END_TEST

/* It left before it was told to stay, and was given something in between. */
START_TEST(test_too_late)
{
	struct rig_job a = rig_tasks(4);

	rig_init(&r, 1, 8);
	engine_resize(&r.engine, 0);
	engine_resize(&r.engine, 1);
	feed(&a);
	ck_assert_uint_eq(port_load(&r.ports[0]), 4);
	rig_die(&r, 0);
	ck_assert_uint_eq(a.n_over, 0);
	ck_assert_uint_eq(engine_waiting(&r.engine), 4);
	rig_done_with(&r);
}
END_TEST

/* A job that is cancelled meanwhile leaves nothing there. */
START_TEST(test_cancelled)
{
	struct rig_job a = rig_tasks(4);

	rig_init(&r, 1, 8);
	feed(&a);
	rig_set(&r.ports[0], 0, SLOT_RUNNING, 0);
	engine_resize(&r.engine, 0);
	ck_assert_uint_eq(engine_cancel(&r.engine, &a.job), 1);
	ck_assert_uint_eq(a.n_over, 3);
	rig_die(&r, 0);
	ck_assert_uint_eq(a.n_over, 4);
	ck_assert_int_eq(r.end.death.cause, REEVE_DEATH_OWN);
	ck_assert(engine_is_idle(&r.engine));
	rig_done_with(&r);
}
END_TEST

/* One that does not leave, being stopped, is killed after the time of a start;
 * as long as it has a task it has all time. */
START_TEST(test_lingers)
{
	struct rig_job a = rig_tasks(1);

	rig_init(&r, 2, 8);
	r.engine.checks_unready = 7;
	feed(&a);
	rig_set(&r.ports[0], 0, SLOT_RUNNING, 0);
	engine_resize(&r.engine, 0);
	for (int i = 0; i < 6; i++)
		engine_check(&r.engine);
	ck_assert_uint_eq(r.n_kills[1], 0);
	ck_assert_uint_ge(r.n_wakes[1], 6);
	engine_resize(&r.engine, 1); /* one of them may stay */
	expect_leaving("x-");
	engine_resize(&r.engine, 0); /* and not: its time begins anew */
	for (int i = 0; i < 6; i++)
		engine_check(&r.engine);
	ck_assert_uint_eq(r.n_kills[1], 0);
	engine_check(&r.engine);
	ck_assert_uint_eq(r.n_kills[1], 1);
	r.end.death.cause = REEVE_DEATH_BROKEN;
	engine_port_ended(&r.engine, 1, &r.end);
	ck_assert_int_eq(r.end.death.cause, REEVE_DEATH_LEAVE_TIMEOUT);
	ck_assert_uint_eq(r.n_kills[0], 0);
	rig_done_with(&r);
}
END_TEST

/* All of it closes for good: nobody is told to stay then. */
START_TEST(test_closing)
{
	rig_init(&r, 2, 8);
	engine_resize(&r.engine, 1);
	port_close(&r.ports[0]);
	port_close(&r.ports[1]);
	engine_resize(&r.engine, 2);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(!r.ports[i].is_leaving);
		ck_assert_uint_eq(r.ports[i].channel.memory->orders.closing, 1);
	}
	rig_done_with(&r);
}
END_TEST

UNIT_MAIN("pool_engine_size", test_least_loaded_leave, test_order_is_kept,
	  test_stay, test_death_instead, test_too_late, test_cancelled,
	  test_lingers, test_closing)
