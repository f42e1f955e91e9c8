/* engine_end.c: what becomes of tasks when they are cancelled, when their worker
 * dies, and when all is given up. */
#include "workers/pool/engine.h"

#include "tests/unit/engine_rig.h"

static struct rig r;

/* ---- cancelling --------------------------------------------------------- */

START_TEST(test_cancel)
{
	struct rig_job j = rig_tasks(30), other = rig_tasks(1);

	rig_init(&r, 2, 8);
	engine_submit(&r.engine, &j.job);
	(void)engine_feed(&r.engine);
	engine_submit(&r.engine, &other.job);
	rig_run(&r.ports[0], 0);
	rig_set(&r.ports[0], 1, SLOT_RUNNING, 0);
	ck_assert_uint_eq(engine_cancel(&r.engine, &j.job), 1);
	rig_expect(&j, REEVE_CANCELLED, 28);
	ck_assert_uint_eq(r.n_kills[0], 1);
	ck_assert_uint_eq(r.n_kills[1], 0);
	ck_assert_uint_eq(engine_cancel(&r.engine, &j.job), 0); /* again */
	rig_die(&r, 0);
	rig_expect(&j, REEVE_DONE, 1);
	rig_expect(&j, REEVE_CANCELLED, 29);
	ck_assert_uint_eq(r.engine.n_cancelled, 29);
	ck_assert_uint_eq(r.engine.n_crashed, 0);
	rig_run_all(&r, 1);
	(void)engine_feed(&r.engine);
	rig_run_all(&r, 1);
	rig_expect(&other, REEVE_DONE, 1);
	ck_assert(engine_is_idle(&r.engine));
	rig_done_with(&r);
}
END_TEST

START_TEST(test_cancel_in_redo)
{
	struct rig_job j = rig_tasks(4), other = rig_tasks(4);

	rig_init(&r, 1, 8);
	engine_submit(&r.engine, &j.job);
	engine_submit(&r.engine, &other.job);
	(void)engine_feed(&r.engine);
	rig_die(&r, 0);
	ck_assert_uint_eq(engine_waiting(&r.engine), 8);
	(void)engine_cancel(&r.engine, &j.job);
	rig_expect(&j, REEVE_CANCELLED, 4);
	rig_expect(&other, REEVE_CANCELLED, 0);
	ck_assert_uint_eq(engine_waiting(&r.engine), 4);
	rig_done_with(&r);
}
END_TEST

/* The worker that holds the frozen slot came in place of the one we know. */
START_TEST(test_kills_the_successor)
{
	struct rig_job j = rig_tasks(2);

	rig_init(&r, 1, 8);
	engine_submit(&r.engine, &j.job);
	(void)engine_feed(&r.engine);
	rig_run(&r.ports[0], 0);
	rig_set(&r.ports[0], 1, SLOT_RUNNING, 0);
	ck_assert_uint_eq(engine_cancel(&r.engine, &j.job), 1);
	ck_assert_uint_eq(r.n_kills[0], 1);
	engine_port_live(&r.engine, 0, 1, 1000);
	ck_assert_uint_eq(r.n_kills[0], 1);
	engine_port_live(&r.engine, 0, 2, 1001);
	ck_assert_uint_eq(r.n_kills[0], 2);
	ck_assert_int_eq(r.ports[0].state, PORT_DOOMED);
	rig_done_with(&r);
}
END_TEST

/* ---- deaths ------------------------------------------------------------- */

START_TEST(test_death_blames_one)
{
	struct rig_job j = rig_tasks(4);

	rig_init(&r, 1, 8);
	engine_submit(&r.engine, &j.job);
	(void)engine_feed(&r.engine);
	rig_run(&r.ports[0], 0);
	rig_set(&r.ports[0], 1, SLOT_RUNNING, 0);
	rig_set(&r.ports[0], 2, SLOT_RUNNING, 0); /* a lie */
	rig_die(&r, 0);
	rig_expect(&j, REEVE_DONE, 1);
	rig_expect(&j, REEVE_CRASHED, 1);
	ck_assert_int_eq(j.kinds[1], REEVE_CRASHED);
	ck_assert_uint_eq(engine_waiting(&r.engine), 2);
	ck_assert_int_eq(r.ports[0].state, PORT_RESET);
	ck_assert_uint_eq(r.n_kills[0], 0);
	ck_assert_uint_eq(engine_feed(&r.engine), 0); /* nobody is there */
	engine_port_live(&r.engine, 0, 2, 1001);
	ck_assert_uint_eq(engine_feed(&r.engine), 2);
	ck_assert_uint_eq(port_piece(&r.ports[0], 0)->index, 2); /* in order */
	rig_run_all(&r, 0);
	rig_expect(&j, REEVE_DONE, 3);
	rig_done_with(&r);
}
END_TEST

START_TEST(test_death_in_chunk)
{
	struct rig_job j = rig_chunks(10, 5);

	rig_init(&r, 1, 8);
	engine_submit(&r.engine, &j.job);
	(void)engine_feed(&r.engine);
	rig_set(&r.ports[0], 0, SLOT_RUNNING, 3);
	rig_die(&r, 0);
	rig_expect(&j, REEVE_DONE, 3);
	ck_assert_int_eq(j.kinds[3], REEVE_CRASHED);
	ck_assert_uint_eq(engine_waiting(&r.engine), 6);
	rig_done_with(&r);
}
END_TEST

/* What a loose chunk did not come to runs again, or is cancelled with the rest. */
START_TEST(test_chunk_ends_early)
{
	for (int is_cancelled = 0; is_cancelled < 2; is_cancelled++) {
		struct rig_job j = rig_chunks(7, 5);

		j.is_loose = true;
		rig_init(&r, 1, 8);
		engine_submit(&r.engine, &j.job);
		ck_assert_uint_eq(engine_feed(&r.engine), 2);
		rig_set(&r.ports[0], 0, SLOT_DONE, 2);
		if (is_cancelled)
			(void)engine_cancel(&r.engine, &j.job);
		ck_assert_uint_eq(engine_collect(&r.engine), 1);
		rig_expect(&j, REEVE_DONE, 2);
		ck_assert_uint_eq(r.engine.n_done, 2);
		if (is_cancelled) {
			rig_expect(&j, REEVE_CANCELLED, 5);
		} else {
			ck_assert_uint_eq(engine_waiting(&r.engine), 3);
			ck_assert_uint_eq(engine_feed(&r.engine), 1);
			ck_assert_uint_eq(port_piece(&r.ports[0], 2)->index, 2);
			rig_run_all(&r, 0);
			rig_expect(&j, REEVE_DONE, 7);
		}
		ck_assert(engine_is_idle(&r.engine));
		rig_done_with(&r);
	}
}
END_TEST

/* Slot 0 of two tasks holds this when its worker dies: is its task blamed, or run
 * again? One that spoils its slot must not be run for ever. */
START_TEST(test_death_in_each_state)
{
	static const struct {
		enum slot_state state;
		uint32_t item, out_size;
		enum reeve_outcome_kind kind; /* PENDING: it waits in redo */
	} cases[] = {
		{ SLOT_QUEUED, 0, 0, REEVE_PENDING },
		{ SLOT_WITHDRAWN, 0, 0, REEVE_PENDING },
		{ SLOT_RUNNING, 0, 0, REEVE_CRASHED },
		{ SLOT_CANCELLING, 0, 0, REEVE_CRASHED },
		{ SLOT_WARNED, 0, 0, REEVE_CRASHED },
		{ SLOT_DONE, 1, 0, REEVE_DONE },
		{ SLOT_DONE, 1, UINT32_MAX, REEVE_CRASHED },
		{ SLOT_FREE, 0, 0, REEVE_CRASHED },
		{ SLOT_SKIPPED, 0, 0, REEVE_CRASHED },
		{ SLOT_STATE_COUNT, 0, 0, REEVE_CRASHED },
		{ SLOT_RUNNING, 9, 0, REEVE_CRASHED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig_job j = rig_tasks(2);

		rig_init(&r, 1, 8);
		engine_submit(&r.engine, &j.job);
		(void)engine_feed(&r.engine);
		channel_slot(&r.ports[0].channel, 0)->result.size =
			cases[i].out_size;
		rig_set(&r.ports[0], 0, cases[i].state, cases[i].item);
		rig_die(&r, 0);
		ck_assert_int_eq(j.kinds[0], cases[i].kind);
		ck_assert_int_eq(j.kinds[1], REEVE_PENDING);
		ck_assert_uint_eq(engine_waiting(&r.engine),
				  cases[i].kind == REEVE_PENDING ? 2 : 1);
		rig_done_with(&r);
	}
}
END_TEST

/* A slot that was never withdrawn is said to be skipped: the worker goes. */
START_TEST(test_forged_skip)
{
	struct rig_job j = rig_tasks(1);

	rig_init(&r, 1, 8);
	engine_submit(&r.engine, &j.job);
	(void)engine_feed(&r.engine);
	rig_set(&r.ports[0], 0, SLOT_SKIPPED, 0);
	(void)engine_collect(&r.engine);
	ck_assert_uint_eq(r.n_kills[0], 1);
	ck_assert_int_eq(r.ports[0].state, PORT_DOOMED);
	ck_assert(!engine_is_ready(&r.engine)); /* no busy waiting */
	rig_die(&r, 0);
	rig_expect(&j, REEVE_CRASHED, 1);
	rig_done_with(&r);
}
END_TEST

/* Every slot of every port comes back at once. */
START_TEST(test_redo_capacity)
{
	struct rig_job j = rig_tasks(RIG_ITEMS);

	rig_init(&r, 4, 8);
	engine_submit(&r.engine, &j.job);
	ck_assert_uint_eq(engine_feed(&r.engine), 32);
	for (unsigned i = 0; i < 4; i++)
		rig_die(&r, i);
	ck_assert_uint_eq(r.engine.n_redo, 32);
	for (unsigned i = 0; i < 4; i++)
		engine_port_live(&r.engine, i, 2, 1);
	ck_assert_uint_eq(engine_feed(&r.engine), 32);
	for (unsigned i = 0; i < 4; i++)
		rig_die(&r, i);
	ck_assert_uint_eq(r.engine.n_redo, 32);
	rig_done_with(&r);
}
END_TEST

/* ---- jobs that are over ------------------------------------------------- */

/* The last task fills the window and is done, and its worker dies: nothing is fed
 * in between, and the job may be gone. */
START_TEST(test_forgets_what_is_over)
{
	struct rig_job j = rig_tasks(2);

	rig_init(&r, 1, 2);
	engine_submit(&r.engine, &j.job);
	ck_assert_uint_eq(engine_feed(&r.engine), 2);
	rig_run(&r.ports[0], 0);
	rig_run(&r.ports[0], 1);
	rig_die(&r, 0);
	rig_expect(&j, REEVE_DONE, 2);
	memset(&j, 0xa5, sizeof(j)); /* gone */
	(void)engine_feed(&r.engine);
	ck_assert(engine_is_idle(&r.engine));
	rig_done_with(&r);
}
END_TEST

START_TEST(test_give_up)
{
	const struct reeve_outcome why = { .kind = REEVE_CRASHED };
	struct rig_job a = rig_tasks(8), b = rig_tasks(4), c = rig_tasks(8);

	rig_init(&r, 2, 4);
	engine_submit(&r.engine, &a.job);
	(void)engine_feed(&r.engine);
	rig_run(&r.ports[0], 0);
	rig_set(&r.ports[0], 1, SLOT_RUNNING, 0);
	rig_die(&r, 1);
	engine_submit(&r.engine, &b.job);
	engine_submit(&r.engine, &c.job);
	engine_give_up(&r.engine, &why);
	rig_expect(&a, REEVE_DONE, 1);
	rig_expect(&a, REEVE_CRASHED, 7);
	rig_expect(&b, REEVE_CRASHED, 4);
	rig_expect(&c, REEVE_CRASHED, 8);
	ck_assert_uint_eq(r.engine.n_crashed, 19);
	ck_assert_uint_eq(r.engine.n_cancelled, 0);
	ck_assert(engine_is_idle(&r.engine));
	rig_done_with(&r);
}
END_TEST

/* What runs ends with its worker, or comes to its end; all else ends at once. */
START_TEST(test_refuse)
{
	const struct reeve_outcome why = { .kind = REEVE_CANCELLED };
	struct rig_job a = rig_chunks(12, 3), b = rig_tasks(4);

	rig_init(&r, 2, 4);
	engine_submit(&r.engine, &a.job);
	engine_submit(&r.engine, &b.job);
	(void)engine_feed(&r.engine);
	rig_set(&r.ports[0], 0, SLOT_RUNNING, 1);
	rig_set(&r.ports[1], 0, SLOT_RUNNING, 0);
	engine_refuse(&r.engine, &why);
	rig_expect(&a, REEVE_CANCELLED, 6);
	rig_expect(&b, REEVE_CANCELLED, 4);
	rig_expect_loads(&r, 1, 1);
	rig_die(&r, 0);
	rig_expect(&a, REEVE_DONE, 1);
	rig_expect(&a, REEVE_CRASHED, 1);
	rig_expect(&a, REEVE_CANCELLED, 7);
	rig_set(&r.ports[1], 0, SLOT_DONE, 3);
	(void)engine_collect(&r.engine);
	rig_expect(&a, REEVE_DONE, 4);
	ck_assert(engine_is_idle(&r.engine));
	rig_done_with(&r);
}
END_TEST

/* A source whose room was full stood in no queue then: it is told when it comes. */
START_TEST(test_submit_after_give_up)
{
	const struct reeve_outcome why = { .kind = REEVE_CANCELLED };
	struct rig_job j = rig_tasks(3);

	rig_init(&r, 1, 4);
	engine_give_up(&r.engine, &why);
	engine_submit(&r.engine, &j.job);
	rig_expect(&j, REEVE_CANCELLED, 3);
	ck_assert_uint_eq(r.engine.n_cancelled, 3);
	ck_assert(!j.job.is_queued);
	rig_done_with(&r);
}
END_TEST

UNIT_MAIN("pool_engine_end", test_cancel, test_cancel_in_redo,
	  test_kills_the_successor, test_death_blames_one, test_death_in_chunk,
	  test_chunk_ends_early, test_death_in_each_state, test_forged_skip,
	  test_redo_capacity, test_forgets_what_is_over, test_give_up,
	  test_refuse, test_submit_after_give_up)
