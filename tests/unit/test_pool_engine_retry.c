/* Crashed items that are run again: which, how often, when, and what ends that. */
#include <stdlib.h>
#include <sys/resource.h>

#include "tests/unit/engine_rig.h"

#ifdef __SANITIZE_ADDRESS__
#define IS_SANITIZED 1
#else
#define IS_SANITIZED 0
#endif

static struct rig r;
static uint32_t n_ports_lived; /* generations */

static void begin(unsigned n_ports, struct rig_job *j, unsigned max_crashes,
		  uint64_t delay_usec)
{
	rig_init(&r, n_ports, 8);
	n_ports_lived = 1;
	j->job.max_crashes = max_crashes;
	j->job.retry_delay_usec = delay_usec;
	engine_submit(&r.engine, &j->job);
	(void)engine_feed(&r.engine);
}

/* The worker on the port dies in the middle of what is first there; another one
 * comes, and gets what there is. */
static void die_at(unsigned port, uint32_t item)
{
	rig_set(&r.ports[port], r.ports[port].head, SLOT_RUNNING, item);
	rig_die(&r, port);
	engine_port_live(&r.engine, port, ++n_ports_lived, 1);
	(void)engine_feed(&r.engine);
}

static void run_all(unsigned port)
{
	struct port *p = &r.ports[port];

	while (p->head != p->tail) {
		rig_run(p, p->head);
		(void)engine_collect(&r.engine);
	}
}

static void expect(const struct rig_job *j, unsigned i,
		   enum reeve_outcome_kind kind, unsigned n_crashes)
{
	ck_assert_uint_eq(j->n_outcomes[i], kind != REEVE_PENDING);
	ck_assert_int_eq(j->kinds[i], kind);
	ck_assert_uint_eq(j->n_crashes[i], n_crashes);
}

/* ---- how often --------------------------------------------------------------- */

START_TEST(test_until_it_has_crashed_so_often)
{
	for (unsigned most = 0; most <= 4; most++) {
		struct rig_job j = rig_tasks(1);
		unsigned n = most ? most : 1;

		begin(1, &j, most, 0);
		for (unsigned i = 1; i < n; i++) {
			die_at(0, 0);
			expect(&j, 0, REEVE_PENDING, 0);
			ck_assert_uint_eq(port_load(&r.ports[0]), 1);
			ck_assert(!engine_is_idle(&r.engine));
		}
		die_at(0, 0);
		expect(&j, 0, REEVE_CRASHED, n);
		ck_assert_uint_eq(j.n_deaths[0], n);
		ck_assert_uint_eq(r.engine.n_retries, n - 1);
		ck_assert_uint_eq(r.engine.n_crashed, 1);
		ck_assert(engine_is_idle(&r.engine));
		rig_done_with(&r);
	}
}
END_TEST

START_TEST(test_done_after_crashes)
{
	struct rig_job j = rig_tasks(1);

	begin(1, &j, 5, 0);
	die_at(0, 0);
	die_at(0, 0);
	run_all(0);
	expect(&j, 0, REEVE_DONE, 2);
	ck_assert_uint_eq(j.n_deaths[0], 2);
	ck_assert_uint_eq(r.engine.n_done, 1);
	ck_assert_uint_eq(r.engine.n_crashed, 0);
	rig_done_with(&r);
}
END_TEST

/* Of a chunk the one item; those before it count, those after it are run. */
START_TEST(test_one_item_of_a_chunk)
{
	struct rig_job j = rig_chunks(10, 5);

	begin(1, &j, 2, 0);
	die_at(0, 3);
	for (unsigned i = 0; i < 3; i++)
		expect(&j, i, REEVE_DONE, 0);
	expect(&j, 3, REEVE_PENDING, 0);
	run_all(0);
	for (unsigned i = 0; i < 10; i++)
		expect(&j, i, REEVE_DONE, i == 3);
	ck_assert_uint_eq(r.engine.n_retries, 1);
	rig_done_with(&r);
}
END_TEST

/* Who waited in the ring of the dead one is not blamed, and has no trail. */
START_TEST(test_not_those_behind)
{
	struct rig_job j = rig_tasks(4);

	begin(1, &j, 2, 0);
	die_at(0, 0);
	ck_assert_uint_eq(r.engine.n_retries, 1);
	run_all(0);
	for (unsigned i = 0; i < 4; i++)
		expect(&j, i, REEVE_DONE, i == 0);
	rig_done_with(&r);
}
END_TEST

/* A death while it waits in a ring for its second run is not the item's. */
START_TEST(test_unbegun_the_second_time)
{
	struct rig_job j = rig_tasks(1);

	begin(1, &j, 2, 0);
	die_at(0, 0);
	rig_die(&r, 0); /* QUEUED */
	expect(&j, 0, REEVE_PENDING, 0);
	engine_port_live(&r.engine, 0, ++n_ports_lived, 1);
	(void)engine_feed(&r.engine);
	run_all(0);
	expect(&j, 0, REEVE_DONE, 1);
	ck_assert_uint_eq(j.n_deaths[0], 1);
	rig_done_with(&r);
}
END_TEST

/* A deadline ends it, also after a crash; its death is told, too. */
START_TEST(test_no_other_end)
{
	struct rig_job j = rig_tasks(1);

	begin(1, &j, 9, 0);
	die_at(0, 0);
	rig_set(&r.ports[0], 0, SLOT_CANCELLING, 0);
	r.end = (struct engine_end){ .outcome.kind = REEVE_TIMEOUT };
	engine_port_ended(&r.engine, 0, &r.end);
	expect(&j, 0, REEVE_TIMEOUT, 1);
	ck_assert_uint_eq(j.n_deaths[0], 2);
	ck_assert_uint_eq(r.engine.n_timeout, 1);
	rig_done_with(&r);
}
END_TEST

/* ---- when -------------------------------------------------------------------- */

START_TEST(test_waits_its_time)
{
	struct rig_job j = rig_tasks(1);

	r.now_usec = 0;
	begin(1, &j, 3, 1000);
	ck_assert_uint_eq(engine_next_due(&r.engine), UINT64_MAX);
	r.now_usec = 5000;
	die_at(0, 0);
	ck_assert_uint_eq(port_load(&r.ports[0]), 0);
	ck_assert_uint_eq(engine_next_due(&r.engine), 6000);
	ck_assert_uint_eq(engine_waiting(&r.engine), 1);
	ck_assert(!engine_is_idle(&r.engine));
	ck_assert(!engine_has_to_check(&r.engine)); /* nobody has it */
	engine_due(&r.engine, 5999);
	ck_assert_uint_eq(engine_feed(&r.engine), 0);
	engine_due(&r.engine, 6000);
	ck_assert_uint_eq(engine_next_due(&r.engine), UINT64_MAX);
	ck_assert_uint_eq(engine_waiting(&r.engine), 1);
	ck_assert(engine_has_to_check(&r.engine));
	ck_assert_uint_eq(engine_feed(&r.engine), 1);
	run_all(0);
	expect(&j, 0, REEVE_DONE, 1);
	rig_done_with(&r);
}
END_TEST

/* By their times, not by their order; before what is queued. */
START_TEST(test_order)
{
	struct rig_job slow = rig_tasks(1), quick = rig_tasks(1);
	struct rig_job others = rig_tasks(2);

	begin(2, &slow, 2, 5000);
	quick.job.max_crashes = 2;
	quick.job.retry_delay_usec = 1000;
	engine_submit(&r.engine, &quick.job);
	(void)engine_feed(&r.engine);
	rig_set(&r.ports[0], 0, SLOT_RUNNING, 0);
	rig_set(&r.ports[1], 0, SLOT_RUNNING, 0);
	rig_die(&r, 0);
	rig_die(&r, 1);
	ck_assert_uint_eq(engine_next_due(&r.engine), 1000);
	engine_submit(&r.engine, &others.job);
	engine_due(&r.engine, 1000);
	ck_assert_uint_eq(engine_next_due(&r.engine), 5000);
	engine_port_live(&r.engine, 0, 2, 1);
	r.engine.window = 2;
	(void)engine_feed(&r.engine);
	ck_assert_ptr_eq(port_piece(&r.ports[0], 0)->job, &quick.job);
	ck_assert_ptr_eq(port_piece(&r.ports[0], 1)->job, &others.job);
	engine_due(&r.engine, 9000);
	run_all(0);
	(void)engine_feed(&r.engine);
	ck_assert_ptr_eq(port_piece(&r.ports[0], r.ports[0].head)->job,
			 &slow.job);
	(void)engine_cancel(&r.engine, &slow.job);
	(void)engine_cancel(&r.engine, &others.job);
	rig_done_with(&r);
}
END_TEST

/* The time does not overflow into now. */
START_TEST(test_for_ever)
{
	struct rig_job j = rig_tasks(1);

	begin(1, &j, 2, UINT64_MAX);
	r.now_usec = 7;
	die_at(0, 0);
	engine_due(&r.engine, UINT64_MAX - 1);
	ck_assert_uint_eq(engine_feed(&r.engine), 0);
	(void)engine_cancel(&r.engine, &j.job);
	expect(&j, 0, REEVE_CANCELLED, 1);
	rig_done_with(&r);
}
END_TEST

/* ---- what ends the waiting --------------------------------------------------- */

/* Exactly the items of the job that is cancelled. */
START_TEST(test_cancel)
{
	struct rig_job a = rig_tasks(8), b = rig_tasks(8);

	begin(4, &a, 2, 1000);
	b.job.max_crashes = 2;
	engine_submit(&r.engine, &b.job);
	(void)engine_feed(&r.engine);
	for (unsigned i = 0; i < 4; i++)
		rig_set(&r.ports[i], 0, SLOT_RUNNING, 0);
	for (unsigned i = 0; i < 4; i++)
		rig_die(&r, i); /* a: one item of each wait for their time */
	ck_assert_uint_eq(a.n_over + b.n_over, 0);
	ck_assert_uint_eq(engine_cancel(&r.engine, &a.job), 0);
	ck_assert_uint_eq(a.n_over, 8);
	ck_assert_uint_eq(b.n_over, 0);
	for (unsigned i = 0; i < 8; i++)
		expect(&a, i, REEVE_CANCELLED, a.n_crashes[i]);
	ck_assert_uint_eq(engine_next_due(&r.engine), UINT64_MAX);
	ck_assert_uint_eq(engine_cancel(&r.engine, &b.job), 0);
	ck_assert_uint_eq(b.n_over, 8);
	ck_assert(engine_is_idle(&r.engine));
	rig_done_with(&r);
}
END_TEST

/* When its time has come it stands elsewhere. */
START_TEST(test_cancel_when_due)
{
	struct rig_job j = rig_tasks(1);

	begin(1, &j, 2, 10);
	rig_set(&r.ports[0], 0, SLOT_RUNNING, 0);
	rig_die(&r, 0);
	engine_due(&r.engine, 10);
	(void)engine_cancel(&r.engine, &j.job);
	expect(&j, 0, REEVE_CANCELLED, 1);
	ck_assert_uint_eq(j.n_deaths[0], 1);
	ck_assert(engine_is_idle(&r.engine));
	rig_done_with(&r);
}
END_TEST

/* Cancelled while it runs for the second time: killed, and not run again. */
START_TEST(test_cancel_while_it_runs)
{
	struct rig_job j = rig_tasks(1);

	begin(1, &j, 9, 0);
	die_at(0, 0);
	rig_set(&r.ports[0], 0, SLOT_RUNNING, 0);
	ck_assert_uint_eq(engine_cancel(&r.engine, &j.job), 1);
	rig_die(&r, 0);
	expect(&j, 0, REEVE_CANCELLED, 1);
	ck_assert_uint_eq(j.n_deaths[0], 2);
	ck_assert_uint_eq(r.engine.n_retries, 1);
	rig_done_with(&r);
}
END_TEST

START_TEST(test_give_up)
{
	const struct reeve_outcome why = { .kind = REEVE_CANCELLED };
	struct rig_job a = rig_tasks(1), b = rig_tasks(1), c = rig_tasks(1);

	begin(3, &a, 2, 1000);
	b.job.max_crashes = c.job.max_crashes = 2;
	engine_submit(&r.engine, &b.job);
	engine_submit(&r.engine, &c.job);
	(void)engine_feed(&r.engine);
	for (unsigned i = 0; i < 3; i++)
		rig_set(&r.ports[i], 0, SLOT_RUNNING, 0);
	rig_die(&r, 0);
	rig_die(&r, 1);
	engine_refuse(&r.engine, &why);
	expect(&a, 0, REEVE_CANCELLED, 1);
	expect(&b, 0, REEVE_CANCELLED, 1);
	rig_die(&r, 2); /* nothing is begun any more */
	expect(&c, 0, REEVE_CRASHED, 1);
	ck_assert(engine_is_idle(&r.engine));
	rig_done_with(&r);
}
END_TEST

/* ---- without memory ---------------------------------------------------------- */

struct hoard {
	struct hoard *next;
};

/* All the memory that there is, but for crumbs: libcheck wants some. A trail needs
 * more. */
static struct hoard *take_all(void)
{
	struct hoard *hoard = NULL, *h;

	for (size_t size = 1 << 20; size >= sizeof(struct trail) / 2; size /= 2)
		while ((h = malloc(size))) {
			h->next = hoard;
			hoard = h;
		}
	return hoard;
}

static void die_without_memory(struct engine_end *end)
{
	struct rlimit before, none;
	struct hoard *hoard, *next;
	int r_none, r_back;

	ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
	none = (struct rlimit){ 0, before.rlim_max };
	r_none = setrlimit(RLIMIT_AS, &none);
	hoard = r_none == 0 ? take_all() : NULL;
	engine_port_ended(&r.engine, 0, end);
	for (; hoard; hoard = next) {
		next = hoard->next;
		free(hoard);
	}
	r_back = setrlimit(RLIMIT_AS, &before);
	ck_assert_int_eq(r_none, 0);
	ck_assert_int_eq(r_back, 0);
}

/* It is told at once, and nothing is lost: not even what was known before. */
START_TEST(test_no_memory)
{
	struct rig_job j = rig_tasks(1);

	if (IS_SANITIZED)
		return;
	begin(1, &j, 9, 0);
	rig_set(&r.ports[0], 0, SLOT_RUNNING, 0);
	r.end = (struct engine_end){ .outcome.kind = REEVE_CRASHED };
	die_without_memory(&r.end);
	expect(&j, 0, REEVE_CRASHED, 1);
	ck_assert_uint_eq(j.n_deaths[0], 0);
	rig_done_with(&r);

	j = rig_tasks(1);
	begin(1, &j, 9, 0);
	die_at(0, 0);
	rig_set(&r.ports[0], 0, SLOT_RUNNING, 0);
	die_without_memory(&r.end);
	expect(&j, 0, REEVE_CRASHED, 2);
	ck_assert_uint_eq(j.n_deaths[0], 1);
	rig_done_with(&r);
}
END_TEST

UNIT_MAIN("pool_engine_retry", test_until_it_has_crashed_so_often,
	  test_done_after_crashes, test_one_item_of_a_chunk,
	  test_not_those_behind, test_unbegun_the_second_time,
	  test_no_other_end, test_waits_its_time, test_order, test_for_ever,
	  test_cancel, test_cancel_when_due, test_cancel_while_it_runs,
	  test_give_up, test_no_memory)
