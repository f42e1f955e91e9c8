/* engine.h: who gets what, in which order, and what becomes of it when it is
 * cancelled, when its worker dies, and when all is given up. */
#include "workers/pool/engine.h"

#include "tests/unit/engine_rig.h"

static struct rig r;

static void expect_loads(unsigned a, unsigned b)
{
	ck_assert_uint_eq(port_load(&r.ports[0]), a);
	ck_assert_uint_eq(port_load(&r.ports[1]), b);
}

/* "done 3 crashed": how many items of j came to which end. */
static void expect(const struct rig_job *j, enum reeve_outcome_kind kind,
		   unsigned n)
{
	unsigned found = 0;

	for (unsigned i = 0; i < j->n; i++)
		found += j->n_outcomes[i] && j->kinds[i] == kind;
	ck_assert_msg(found == n, "%u %s, not %u", found,
		      reeve_outcome_name(kind), n);
}

static void run_all(unsigned port)
{
	struct port *p = &r.ports[port];

	for (uint64_t i = p->head; i != p->tail; i++)
		if (slot_word_state(rig_word(p, i)) == SLOT_QUEUED)
			rig_run(p, i);
		else if (slot_word_state(rig_word(p, i)) == SLOT_WITHDRAWN)
			rig_set(p, i, SLOT_SKIPPED, 0);
	(void)engine_collect(&r.engine);
}

/* ---- handing out -------------------------------------------------------- */

START_TEST(test_idle_first)
{
	struct rig_job j = rig_tasks(2);

	rig_init(&r, 2, 8);
	r.engine.hint = 1;
	engine_submit(&r.engine, &j.job);
	ck_assert_uint_eq(engine_feed(&r.engine), 2);
	expect_loads(1, 1);
	ck_assert_uint_eq(port_piece(&r.ports[1], 0)->index, 0);
	run_all(0);
	run_all(1);
	expect(&j, REEVE_DONE, 2);
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
	expect_loads(4, 4);
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
		expect_loads(cases[i].load, cases[i].load);
		rig_run(&r.ports[0], 0);
		(void)engine_collect(&r.engine);
		(void)engine_feed(&r.engine);
		expect_loads(cases[i].load, cases[i].load);
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
	expect_loads(8, 0);
	ck_assert_uint_eq(engine_feed(&r.engine), 1);
	expect_loads(4, 1);
	ck_assert_uint_eq(engine_waiting(&r.engine), 3);
	ck_assert_uint_eq(port_piece(&r.ports[1], 0)->index, 4);
	ck_assert_uint_eq(engine_feed(&r.engine), 3);
	for (unsigned i = 0; i < 3; i++)
		run_all(1);
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
	expect(&b, REEVE_CANCELLED, 3);
	rig_done_with(&r);
}
END_TEST

START_TEST(test_does_not_steal_what_runs)
{
	struct rig_job j = rig_tasks(2);

	all_to_port_0(&j);
	rig_set(&r.ports[0], 1, SLOT_RUNNING, 0);
	ck_assert_uint_eq(engine_feed(&r.engine), 0);
	expect_loads(2, 0);
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
	expect_loads(11, 4);

	ck_assert_uint_eq(engine_cancel(&r.engine, &b.job), 0);
	expect(&b, REEVE_CANCELLED, 10);
	expect_loads(1, 4);
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
	expect_loads(12, 0);
	r.ports[1].state = PORT_LIVE;
	ck_assert_uint_eq(engine_feed(&r.engine), 1);
	expect_loads(1, 1);
	ck_assert_ptr_eq(port_piece(&r.ports[1], 0)->job, &c.job);
	rig_done_with(&r);
}
END_TEST

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
	expect(&j, REEVE_CANCELLED, 28);
	ck_assert_uint_eq(r.n_kills[0], 1);
	ck_assert_uint_eq(r.n_kills[1], 0);
	ck_assert_uint_eq(engine_cancel(&r.engine, &j.job), 0); /* again */
	rig_die(&r, 0);
	expect(&j, REEVE_DONE, 1);
	expect(&j, REEVE_CANCELLED, 29);
	ck_assert_uint_eq(r.engine.n_cancelled, 29);
	ck_assert_uint_eq(r.engine.n_crashed, 0);
	run_all(1);
	(void)engine_feed(&r.engine);
	run_all(1);
	expect(&other, REEVE_DONE, 1);
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
	expect(&j, REEVE_CANCELLED, 4);
	expect(&other, REEVE_CANCELLED, 0);
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
	expect(&j, REEVE_DONE, 1);
	expect(&j, REEVE_CRASHED, 1);
	ck_assert_int_eq(j.kinds[1], REEVE_CRASHED);
	ck_assert_uint_eq(engine_waiting(&r.engine), 2);
	ck_assert_int_eq(r.ports[0].state, PORT_RESET);
	ck_assert_uint_eq(r.n_kills[0], 0);
	ck_assert_uint_eq(engine_feed(&r.engine), 0); /* nobody is there */
	engine_port_live(&r.engine, 0, 2, 1001);
	ck_assert_uint_eq(engine_feed(&r.engine), 2);
	ck_assert_uint_eq(port_piece(&r.ports[0], 0)->index, 2); /* in order */
	run_all(0);
	expect(&j, REEVE_DONE, 3);
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
	expect(&j, REEVE_DONE, 3);
	ck_assert_int_eq(j.kinds[3], REEVE_CRASHED);
	ck_assert_uint_eq(engine_waiting(&r.engine), 6);
	rig_done_with(&r);
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
		channel_slot(&r.ports[0].channel, 0)->out_size =
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
	expect(&j, REEVE_CRASHED, 1);
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
	expect(&j, REEVE_DONE, 2);
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
	expect(&a, REEVE_DONE, 1);
	expect(&a, REEVE_CRASHED, 7);
	expect(&b, REEVE_CRASHED, 4);
	expect(&c, REEVE_CRASHED, 8);
	ck_assert_uint_eq(r.engine.n_crashed, 19);
	ck_assert_uint_eq(r.engine.n_cancelled, 0);
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
	expect(&j, REEVE_CANCELLED, 3);
	ck_assert_uint_eq(r.engine.n_cancelled, 3);
	ck_assert(!j.job.is_queued);
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
	  test_cancelled_is_no_load, test_steals_around_cancelled, test_cancel,
	  test_cancel_in_redo, test_kills_the_successor, test_death_blames_one,
	  test_death_in_chunk, test_death_in_each_state, test_forged_skip,
	  test_redo_capacity, test_forgets_what_is_over, test_give_up,
	  test_submit_after_give_up, test_arm, test_check)
