/* Semaphores and barriers. */
#include "tests/unit/store_rig.h"

static struct session *a, *b, *c;
static int64_t sa, sb, sc;

static void begin(enum reeve_object_kind kind, int64_t size)
{
	(void)rig_store();
	a = rig_session();
	b = rig_session();
	c = rig_session();
	sa = rig_open(a, kind, "s", size, NIL);
	sb = rig_open(b, kind, "s", 0, NIL);
	sc = rig_open(c, kind, "s", 0, NIL);
}

START_TEST(test_units)
{
	begin(REEVE_OBJECT_SEMAPHORE, 2);
	OK(a, ACQUIRE, sa, NOW);
	OK(a, ACQUIRE, sa, NOW);
	STATUS(-EAGAIN, b, ACQUIRE, sb, NOW);
	STATUS(WAITS, b, ACQUIRE, sb, REEVE_ANY(10));
	STATUS(WAITS, c, ACQUIRE, sc, FOREVER);
	rig_pass(10);
	LATER(-ETIMEDOUT, b);
	OK(a, RELEASE, sa);
	LATER(0, c);
	OK(a, RELEASE, sa);
	OK(a, RELEASE, sa); /* anybody may: there are three now */
	OK(b, ACQUIRE, sb, NOW);
	OK(b, ACQUIRE, sb, NOW);
	STATUS(-EAGAIN, b, ACQUIRE, sb, NOW);
	rig_done();
}
END_TEST

START_TEST(test_none_to_begin_with)
{
	begin(REEVE_OBJECT_SEMAPHORE, 0);
	STATUS(WAITS, a, ACQUIRE, sa, FOREVER);
	OK(b, RELEASE, sb);
	LATER(0, a);
	ck_assert_int_eq(OPEN_SIZE(a, SEMAPHORE, "max", INT64_MAX), 2);
	STATUS(-EOVERFLOW, a, RELEASE, 2);
	OK(a, ACQUIRE, 2, NOW);
	OK(a, RELEASE, 2);
	ck_assert_int_eq(OPEN_SIZE(a, SEMAPHORE, "less", -1), -EINVAL);
	rig_done();
}
END_TEST

START_TEST(test_units_of_the_dead)
{
	begin(REEVE_OBJECT_SEMAPHORE, 3);
	OK(a, ACQUIRE, sa, NOW);
	OK(a, ACQUIRE, sa, NOW);
	OK(b, ACQUIRE, sb, NOW);
	STATUS(WAITS, b, ACQUIRE, sb, FOREVER);
	STATUS(WAITS, c, ACQUIRE, sc, FOREVER);
	STATUS(WAITS, c, ACQUIRE, sc, FOREVER);
	rig_end(a);
	LATER(0, b);
	LATER(0, c);
	LATER(WAITS, c);
	rig_end(b);
	LATER(0, c);
	OK(c, ACQUIRE, sc, NOW);
	STATUS(-EAGAIN, c, ACQUIRE, sc, NOW);
	rig_done();
}
END_TEST

/* What it was given for another's unit does not come back twice. */
START_TEST(test_bounded)
{
	begin(REEVE_OBJECT_BOUNDED_SEMAPHORE, 2);
	STATUS(-EOVERFLOW, a, RELEASE, sa);
	OK(a, ACQUIRE, sa, NOW);
	OK(a, ACQUIRE, sa, NOW);
	OK(b, RELEASE, sb);
	OK(b, RELEASE, sb);
	STATUS(-EOVERFLOW, b, RELEASE, sb);
	rig_end(a);
	OK(b, ACQUIRE, sb, NOW);
	OK(b, ACQUIRE, sb, NOW);
	STATUS(-EAGAIN, b, ACQUIRE, sb, NOW);
	rig_end(b);
	OK(c, ACQUIRE, sc, NOW);
	OK(c, RELEASE, sc);
	STATUS(-EOVERFLOW, c, RELEASE, sc);
	ck_assert_int_eq(OPEN_SIZE(c, BOUNDED_SEMAPHORE, "none", 0), -EINVAL);
	rig_done();
}
END_TEST

/* ---- barriers --------------------------------------------------------------------- */

static void check_state(int64_t parties, int64_t waiting, bool broken)
{
	struct answer r = ASK(c, BARRIER_STATE, sc);

	ck_assert_int_eq(r.status, 0);
	ck_assert_uint_eq(r.n, 3);
	ck_assert_int_eq(r.results[0].integer, parties);
	ck_assert_int_eq(r.results[1].integer, waiting);
	ck_assert_int_eq(r.results[2].boolean, broken);
}

static void arrived_as(struct session *s, int64_t wanted)
{
	struct answer r = rig_next(s);

	ck_assert_int_eq(r.status, 0);
	ck_assert_int_eq(r.results[0].integer, wanted);
}

START_TEST(test_barrier_rounds)
{
	begin(REEVE_OBJECT_BARRIER, 3);
	for (int round = 0; round < 3; round++) {
		STATUS(WAITS, b, BARRIER_WAIT, sb, FOREVER);
		STATUS(-EAGAIN, c, BARRIER_WAIT, sc, NOW); /* nothing */
		STATUS(WAITS, a, BARRIER_WAIT, sa, REEVE_ANY(1000));
		check_state(3, 2, false);
		rig_pass(10);
		ck_assert_int_eq(GET_INT(c, BARRIER_WAIT, sc, FOREVER), 2);
		arrived_as(b, 0);
		arrived_as(a, 1);
		check_state(3, 0, false);
	}
	rig_pass(10000);
	check_state(3, 0, false);
	rig_done();
}
END_TEST

START_TEST(test_barrier_breaks)
{
	begin(REEVE_OBJECT_BARRIER, 3);
	/* a timeout */
	STATUS(WAITS, a, BARRIER_WAIT, sa, REEVE_ANY(10));
	STATUS(WAITS, b, BARRIER_WAIT, sb, FOREVER);
	rig_pass(10);
	LATER(-ETIMEDOUT, a);
	LATER(-EPIPE, b);
	check_state(3, 0, true);
	STATUS(-EPIPE, b, BARRIER_WAIT, sb, FOREVER);
	/* a reset makes it whole */
	OK(a, BARRIER_RESET, sa);
	check_state(3, 0, false);
	STATUS(WAITS, a, BARRIER_WAIT, sa, FOREVER);
	OK(b, BARRIER_RESET, sb);
	LATER(-EPIPE, a);
	check_state(3, 0, false);
	/* an abort */
	STATUS(WAITS, a, BARRIER_WAIT, sa, FOREVER);
	OK(b, BARRIER_ABORT, sb);
	LATER(-EPIPE, a);
	check_state(3, 0, true);
	OK(b, BARRIER_RESET, sb);
	/* a death */
	STATUS(WAITS, a, BARRIER_WAIT, sa, FOREVER);
	STATUS(WAITS, b, BARRIER_WAIT, sb, FOREVER);
	rig_end(a);
	LATER(-EPIPE, b);
	check_state(3, 0, true);
	rig_done();
}
END_TEST

/* A death of one that does not wait is nothing to it. */
START_TEST(test_barrier_of_others)
{
	begin(REEVE_OBJECT_BARRIER, 2);
	STATUS(WAITS, b, BARRIER_WAIT, sb, FOREVER);
	rig_end(a);
	LATER(WAITS, b);
	ck_assert_int_eq(GET_INT(c, BARRIER_WAIT, sc, NOW), 1);
	arrived_as(b, 0);
	ck_assert_int_eq(OPEN_SIZE(c, BARRIER, "none", 0), -EINVAL);
	ck_assert_int_eq(OPEN_SIZE(c, BARRIER, "one", 1), 2);
	ck_assert_int_eq(GET_INT(c, BARRIER_WAIT, 2, NOW), 0);
	rig_done();
}
END_TEST

UNIT_MAIN("manager_store_semaphore", test_units, test_none_to_begin_with,
	  test_units_of_the_dead, test_bounded, test_barrier_rounds,
	  test_barrier_breaks, test_barrier_of_others)
