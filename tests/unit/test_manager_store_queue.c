/* Queues: order, bounds, waiting, tasks, deaths. */
#include "tests/unit/store_rig.h"

static struct session *a, *b, *c;
static int64_t qa, qb, qc;

static void begin(int64_t bound)
{
	(void)rig_store();
	a = rig_session();
	b = rig_session();
	c = rig_session();
	qa = OPEN_SIZE(a, QUEUE, "q", bound);
	qb = OPEN(b, QUEUE, "q");
	qc = OPEN(c, QUEUE, "q");
}

static int64_t later_int(struct session *s)
{
	struct answer r = rig_next(s);

	ck_assert_int_eq(r.status, 0);
	ck_assert_uint_eq(r.n, 1);
	ck_assert_int_eq(r.results[0].kind, REEVE_ANY_INT);
	return r.results[0].integer;
}

START_TEST(test_in_order)
{
	begin(0);
	for (int i = 0; i < 100; i++)
		OK(a, QUEUE_PUT, qa, REEVE_ANY(i), FOREVER);
	ck_assert_int_eq(GET_INT(b, LENGTH, qb), 100);
	ck_assert(!GET_BOOL(b, QUEUE_IS_FULL, qb));
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(GET_INT(b, QUEUE_GET, qb, NOW), i);
	STATUS(-EAGAIN, b, QUEUE_GET, qb, NOW);
	rig_done();
}
END_TEST

/* Who came first gets first. */
START_TEST(test_who_waits_to_get)
{
	begin(0);
	STATUS(WAITS, b, QUEUE_GET, qb, FOREVER);
	STATUS(WAITS, c, QUEUE_GET, qc, REEVE_ANY(50));
	STATUS(WAITS, b, QUEUE_GET, qb, FOREVER);
	OK(a, QUEUE_PUT, qa, REEVE_ANY(1), NOW);
	ck_assert_int_eq(GET_INT(a, LENGTH, qa), 0);
	ck_assert_int_eq(later_int(b), 1);
	LATER(WAITS, b);
	rig_pass(50);
	LATER(-ETIMEDOUT, c);
	OK(a, QUEUE_PUT, qa, REEVE_ANY(2), NOW);
	ck_assert_int_eq(later_int(b), 2);
	OK(a, QUEUE_PUT, qa, REEVE_ANY(3), NOW);
	LATER(WAITS, c);
	ck_assert_int_eq(GET_INT(a, LENGTH, qa), 1);
	rig_done();
}
END_TEST

START_TEST(test_who_waits_to_put)
{
	begin(2);
	OK(a, QUEUE_PUT, qa, REEVE_ANY(1), NOW);
	OK(a, QUEUE_PUT, qa, REEVE_ANY("two, which needs memory"), NOW);
	ck_assert(GET_BOOL(a, QUEUE_IS_FULL, qa));
	STATUS(-EAGAIN, a, QUEUE_PUT, qa, REEVE_ANY(3), NOW);
	STATUS(WAITS, a, QUEUE_PUT, qa, REEVE_ANY("three needs it, too"),
	       FOREVER);
	STATUS(WAITS, b, QUEUE_PUT, qb, REEVE_ANY("four is in vain, and long"),
	       REEVE_ANY(10));
	STATUS(WAITS, b, QUEUE_PUT, qb, REEVE_ANY(5), FOREVER);
	rig_pass(10);
	LATER(-ETIMEDOUT, b);
	ck_assert_int_eq(GET_INT(c, QUEUE_GET, qc, NOW), 1);
	LATER(0, a);
	LATER(WAITS, b);
	IS(GET(c, QUEUE_GET, qc, NOW), "\"two, which needs memory\"");
	LATER(0, b);
	IS(GET(c, QUEUE_GET, qc, NOW), "\"three needs it, too\"");
	IS(GET(c, QUEUE_GET, qc, NOW), "5");
	STATUS(-EAGAIN, c, QUEUE_GET, qc, NOW);
	rig_done();
}
END_TEST

START_TEST(test_tasks)
{
	begin(0);
	ck_assert_int_eq(GET_INT(a, QUEUE_JOIN, qa, NOW), 0);
	STATUS(-EPERM, a, QUEUE_TASK_DONE, qa);
	OK(a, QUEUE_PUT, qa, REEVE_ANY(1), NOW);
	OK(a, QUEUE_PUT, qa, REEVE_ANY(2), NOW);
	STATUS(-EAGAIN, a, QUEUE_JOIN, qa, NOW);
	STATUS(WAITS, a, QUEUE_JOIN, qa, FOREVER);
	STATUS(WAITS, a, QUEUE_JOIN, qa, REEVE_ANY(5));
	OK(b, QUEUE_GET, qb, NOW);
	OK(c, QUEUE_GET, qc, NOW);
	STATUS(-EPERM, a, QUEUE_TASK_DONE, qa); /* others have them */
	OK(b, QUEUE_TASK_DONE, qb);
	STATUS(-EPERM, b, QUEUE_TASK_DONE, qb);
	LATER(WAITS, a);
	rig_pass(5);
	LATER(-ETIMEDOUT, a);
	OK(c, QUEUE_TASK_DONE, qc);
	ck_assert_int_eq(later_int(a), 0);
	rig_done();
}
END_TEST

/* What it had got, and given to it while it waited, is lost, and said so. */
START_TEST(test_a_death_finishes_tasks)
{
	begin(0);
	STATUS(WAITS, b, QUEUE_GET, qb, FOREVER);
	OK(a, QUEUE_PUT, qa, REEVE_ANY(1), NOW);
	ck_assert_int_eq(later_int(b), 1);
	OK(a, QUEUE_PUT, qa, REEVE_ANY(2), NOW);
	OK(b, QUEUE_GET, qb, NOW);
	STATUS(WAITS, a, QUEUE_JOIN, qa, FOREVER);
	rig_end(b);
	ck_assert_int_eq(later_int(a), 2);
	/* they are counted since the queue was made */
	OK(a, QUEUE_PUT, qa, REEVE_ANY(3), NOW);
	OK(c, QUEUE_GET, qc, NOW);
	rig_end(c);
	ck_assert_int_eq(GET_INT(a, QUEUE_JOIN, qa, NOW), 3);
	rig_done();
}
END_TEST

/* One that waits and dies is passed over, whatever it waits for. */
START_TEST(test_a_death_of_who_waits)
{
	begin(1);
	STATUS(WAITS, b, QUEUE_GET, qb, FOREVER);
	STATUS(WAITS, c, QUEUE_GET, qc, FOREVER);
	rig_end(b);
	OK(a, QUEUE_PUT, qa, REEVE_ANY(1), NOW);
	ck_assert_int_eq(later_int(c), 1);
	OK(a, QUEUE_PUT, qa, REEVE_ANY(2), NOW);
	STATUS(WAITS, c, QUEUE_PUT, qc, REEVE_ANY("never there, and long"),
	       FOREVER);
	STATUS(WAITS, a, QUEUE_PUT, qa, REEVE_ANY(3), FOREVER);
	rig_end(c);
	ck_assert_int_eq(GET_INT(a, QUEUE_GET, qa, NOW), 2);
	LATER(0, a);
	ck_assert_int_eq(GET_INT(a, QUEUE_GET, qa, NOW), 3);
	STATUS(-EAGAIN, a, QUEUE_GET, qa, NOW);
	rig_done();
}
END_TEST

/* An item that is for one who cannot take it goes to the next. */
START_TEST(test_who_cannot_be_answered)
{
	struct store_limits limits = rig_limits;
	size_t size = 60000;
	char *data = calloc(1, size);

	limits.max_output_bytes = 100000;
	(void)rig_store_with(&limits);
	a = rig_session();
	b = rig_session();
	c = rig_session();
	qa = OPEN(a, QUEUE, "q");
	qb = OPEN(b, QUEUE, "q");
	qc = OPEN(c, QUEUE, "q");
	/* b does not read: its output fills up */
	STATUS(WAITS, b, QUEUE_GET, qb, FOREVER);
	STATUS(WAITS, b, QUEUE_GET, qb, FOREVER);
	STATUS(WAITS, c, QUEUE_GET, qc, FOREVER);
	OK(a, QUEUE_PUT, qa, reeve_any_bytes(data, size), NOW);
	ck_assert_int_eq(session_error(b), 0);
	OK(a, QUEUE_PUT, qa, reeve_any_bytes(data, size), NOW);
	ck_assert_int_eq(session_error(b), -EMSGSIZE);
	ck_assert_int_eq(rig_next(c).status, 0);
	STATUS(-EAGAIN, a, QUEUE_GET, qa, NOW);
	rig_end(b);
	OK(c, QUEUE_TASK_DONE, qc);
	ck_assert_int_eq(GET_INT(a, QUEUE_JOIN, qa, NOW), 1);
	free(data);
	rig_done();
}
END_TEST

UNIT_MAIN("manager_store_queue", test_in_order, test_who_waits_to_get,
	  test_who_waits_to_put, test_tasks, test_a_death_finishes_tasks,
	  test_a_death_of_who_waits, test_who_cannot_be_answered)
