/* Locks, rlocks and conditions: who has them, who is next, who has died. */
#include "tests/unit/store_rig.h"

static struct session *a, *b, *c;
static int64_t la, lb, lc;

static void begin(enum reeve_object_kind kind)
{
	(void)rig_store();
	a = rig_session();
	b = rig_session();
	c = rig_session();
	la = rig_open(a, kind, "l", 0, NIL);
	lb = rig_open(b, kind, "l", 0, NIL);
	lc = rig_open(c, kind, "l", 0, NIL);
}

/* The answer that came later: acquired (0), by an heir (1), or an error. */
static int later(struct session *s)
{
	struct answer r = rig_next(s);

	return r.status != 0 ? r.status : r.results[0].boolean ? 100 : 0;
}

#define HEIR	     100
#define ACQUIRED(s)  ck_assert_int_eq(later(s), 0)
#define INHERITED(s) ck_assert_int_eq(later(s), HEIR)

START_TEST(test_one_at_a_time)
{
	begin(REEVE_OBJECT_LOCK);
	STATUS(-EPERM, a, RELEASE, la);
	ck_assert(!GET_BOOL(a, ACQUIRE, la, NOW));
	STATUS(-EDEADLK, a, ACQUIRE, la, FOREVER);
	STATUS(-EAGAIN, b, ACQUIRE, lb, NOW);
	STATUS(-EPERM, b, RELEASE, lb);
	STATUS(WAITS, b, ACQUIRE, lb, REEVE_ANY(10));
	STATUS(WAITS, c, ACQUIRE, lc, FOREVER);
	STATUS(WAITS, b, ACQUIRE, lb, FOREVER);
	rig_pass(10);
	LATER(-ETIMEDOUT, b);
	OK(a, RELEASE, la);
	ACQUIRED(c);
	LATER(WAITS, b);
	STATUS(-EAGAIN, a, ACQUIRE, la, NOW);
	OK(c, RELEASE, lc);
	ACQUIRED(b);
	OK(b, RELEASE, lb);
	ck_assert(!GET_BOOL(a, ACQUIRE, la, NOW));
	rig_done();
}
END_TEST

/* Not taken away from who has it: no time, no word of others. */
START_TEST(test_held_for_ever)
{
	begin(REEVE_OBJECT_LOCK);
	ck_assert(!GET_BOOL(a, ACQUIRE, la, REEVE_ANY(5)));
	STATUS(WAITS, b, ACQUIRE, lb, REEVE_ANY(1000000));
	rig_pass(999999);
	STATUS(-EPERM, b, RELEASE, lb);
	LATER(WAITS, b);
	/* nor when its handle is given back */
	OK(a, CLOSE, la);
	STATUS(-EAGAIN, c, ACQUIRE, lc, NOW);
	la = OPEN(a, LOCK, "l");
	OK(a, RELEASE, la);
	ACQUIRED(b);
	rig_done();
}
END_TEST

START_TEST(test_a_holder_dies)
{
	begin(REEVE_OBJECT_LOCK);
	OK(a, ACQUIRE, la, NOW);
	STATUS(WAITS, b, ACQUIRE, lb, FOREVER);
	STATUS(WAITS, c, ACQUIRE, lc, FOREVER);
	rig_end(a);
	INHERITED(b);
	rig_end(b); /* another one: nobody has repaired */
	INHERITED(c);
	OK(c, RELEASE, lc);
	a = rig_session();
	la = OPEN(a, LOCK, "l");
	ck_assert(!GET_BOOL(a, ACQUIRE, la, NOW));
	/* with nobody waiting */
	rig_end(a);
	ck_assert(GET_BOOL(c, ACQUIRE, lc, NOW));
	OK(c, RELEASE, lc);
	ck_assert(!GET_BOOL(c, ACQUIRE, lc, NOW));
	rig_done();
}
END_TEST

START_TEST(test_rlock)
{
	begin(REEVE_OBJECT_RLOCK);
	for (int i = 0; i < 3; i++)
		ck_assert(!GET_BOOL(a, ACQUIRE, la, NOW));
	STATUS(WAITS, b, ACQUIRE, lb, FOREVER);
	OK(a, RELEASE, la);
	OK(a, RELEASE, la);
	LATER(WAITS, b);
	OK(a, RELEASE, la);
	ACQUIRED(b);
	STATUS(-EPERM, a, RELEASE, la);
	OK(b, ACQUIRE, lb, NOW);
	rig_end(b);
	ck_assert(GET_BOOL(c, ACQUIRE, lc, NOW));
	ck_assert(GET_BOOL(c, ACQUIRE, lc, NOW)); /* still to be repaired */
	OK(c, RELEASE, lc);
	OK(c, RELEASE, lc);
	ck_assert(!GET_BOOL(a, ACQUIRE, la, NOW));
	rig_done();
}
END_TEST

/* ---- conditions ---------------------------------------------------------------- */

START_TEST(test_condition)
{
	begin(REEVE_OBJECT_CONDITION);
	STATUS(-EPERM, a, WAIT, la, FOREVER);
	STATUS(-EPERM, a, NOTIFY, la, REEVE_ANY(1));
	OK(a, ACQUIRE, la, NOW);
	OK(a, ACQUIRE, la, NOW);
	STATUS(-EAGAIN, a, WAIT, la, NOW);
	STATUS(WAITS, a, WAIT, la, FOREVER); /* gives up both levels */
	OK(b, ACQUIRE, lb, NOW);
	STATUS(WAITS, b, WAIT, lb, FOREVER);
	OK(c, ACQUIRE, lc, NOW);
	STATUS(-EINVAL, c, NOTIFY, lc, REEVE_ANY(-2));
	OK(c, NOTIFY, lc, REEVE_ANY(0));
	OK(c, NOTIFY, lc, REEVE_ANY(1)); /* the first */
	LATER(WAITS, a);		 /* but c has the lock */
	OK(c, RELEASE, lc);
	ACQUIRED(a);
	LATER(WAITS, b);
	OK(a, NOTIFY, la, REEVE_ANY(-1));
	OK(a, RELEASE, la);
	LATER(WAITS, b); /* a has two levels again */
	OK(a, RELEASE, la);
	ACQUIRED(b);
	STATUS(-EPERM, a, RELEASE, la);
	OK(b, RELEASE, lb);
	STATUS(-EPERM, b, RELEASE, lb);
	rig_done();
}
END_TEST

/* When its time is over it gets the lock all the same, and only then an answer. */
START_TEST(test_condition_in_time)
{
	begin(REEVE_OBJECT_CONDITION);
	OK(a, ACQUIRE, la, NOW);
	STATUS(WAITS, a, WAIT, la, REEVE_ANY(10));
	OK(b, ACQUIRE, lb, NOW);
	rig_pass(10);
	LATER(WAITS, a);
	OK(b, NOTIFY, lb, REEVE_ANY(1)); /* too late */
	OK(b, RELEASE, lb);
	LATER(-ETIMEDOUT, a);
	STATUS(-EAGAIN, b, ACQUIRE, lb, NOW);
	/* with nobody in between */
	STATUS(WAITS, a, WAIT, la, REEVE_ANY(10));
	rig_pass(10);
	LATER(-ETIMEDOUT, a);
	OK(a, RELEASE, la);
	rig_done();
}
END_TEST

START_TEST(test_condition_told_in_time)
{
	begin(REEVE_OBJECT_CONDITION);
	OK(a, ACQUIRE, la, NOW);
	STATUS(WAITS, a, WAIT, la, REEVE_ANY(10));
	OK(b, ACQUIRE, lb, NOW);
	OK(b, NOTIFY, lb, REEVE_ANY(1));
	rig_pass(1000); /* it was told; the lock may take its time */
	LATER(WAITS, a);
	ck_assert_uint_eq(store_next_usec(rig.store), USEC_INFINITY);
	OK(b, RELEASE, lb);
	ACQUIRED(a);
	rig_done();
}
END_TEST

/* The holder's death is told to who waited, in time or not. */
START_TEST(test_condition_holder_dies)
{
	begin(REEVE_OBJECT_CONDITION);
	OK(a, ACQUIRE, la, NOW);
	STATUS(WAITS, a, WAIT, la, REEVE_ANY(10));
	OK(b, ACQUIRE, lb, NOW);
	STATUS(WAITS, b, WAIT, lb, FOREVER);
	OK(c, ACQUIRE, lc, NOW);
	OK(c, NOTIFY, lc, REEVE_ANY(1));
	rig_pass(10);
	rig_end(c);
	INHERITED(a);
	STATUS(WAITS, a, WAIT, la, REEVE_ANY(10)); /* a release: repaired */
	c = rig_session();
	lc = OPEN(c, CONDITION, "l");
	ck_assert(!GET_BOOL(c, ACQUIRE, lc, NOW));
	rig_pass(10);
	rig_end(c);
	INHERITED(a); /* not -ETIMEDOUT */
	rig_done();
}
END_TEST

/* One that is told, and dies before it has the lock, passes that on. */
START_TEST(test_condition_told_one_dies)
{
	begin(REEVE_OBJECT_CONDITION);
	OK(a, ACQUIRE, la, NOW);
	STATUS(WAITS, a, WAIT, la, FOREVER);
	OK(b, ACQUIRE, lb, NOW);
	STATUS(WAITS, b, WAIT, lb, FOREVER);
	OK(c, ACQUIRE, lc, NOW);
	OK(c, NOTIFY, lc, REEVE_ANY(1));
	rig_end(a);
	OK(c, RELEASE, lc);
	ACQUIRED(b);
	rig_done();
}
END_TEST

/* One that was not told does not. */
START_TEST(test_condition_one_dies_waiting)
{
	begin(REEVE_OBJECT_CONDITION);
	OK(a, ACQUIRE, la, NOW);
	STATUS(WAITS, a, WAIT, la, FOREVER);
	OK(b, ACQUIRE, lb, NOW);
	STATUS(WAITS, b, WAIT, lb, FOREVER);
	rig_end(a);
	LATER(WAITS, b);
	OK(c, ACQUIRE, lc, NOW);
	OK(c, NOTIFY, lc, REEVE_ANY(5));
	OK(c, RELEASE, lc);
	ACQUIRED(b);
	rig_done();
}
END_TEST

START_TEST(test_other_kinds_have_none_of_it)
{
	begin(REEVE_OBJECT_LOCK);
	STATUS(-ENOTSUP, a, WAIT, la, NOW);
	STATUS(-ENOTSUP, a, NOTIFY, la, REEVE_ANY(1));
	STATUS(-ENOTSUP, a, EVENT_SET, la);
	rig_done();
}
END_TEST

UNIT_MAIN("manager_store_lock", test_one_at_a_time, test_held_for_ever,
	  test_a_holder_dies, test_rlock, test_condition,
	  test_condition_in_time, test_condition_told_in_time,
	  test_condition_holder_dies, test_condition_told_one_dies,
	  test_condition_one_dies_waiting, test_other_kinds_have_none_of_it)
