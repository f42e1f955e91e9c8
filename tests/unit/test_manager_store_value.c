/* Values, events, and what is small. */
#include "tests/unit/store_rig.h"

static struct session *a, *b;

START_TEST(test_value)
{
	int64_t v;

	(void)rig_store();
	a = rig_session();
	v = OPEN(a, VALUE, "v");
	IS(GET(a, VALUE_GET, v), "null");
	IS(GET(a, VALUE_ADD, v, REEVE_ANY(2)), "2"); /* nil is 0 */
	IS(GET(a, VALUE_ADD, v, REEVE_ANY(0.25)), "2.25");
	STATUS(-EDOM, a, VALUE_ADD, v, NIL);
	OK(a, VALUE_SET, v, REEVE_ANY("a string that needs memory"));
	IS(GET(a, VALUE_GET, v), "\"a string that needs memory\"");
	STATUS(-EDOM, a, VALUE_ADD, v, REEVE_ANY(1));
	OK(a, VALUE_SET, v, REEVE_ANY(INT64_MIN));
	STATUS(-EDOM, a, VALUE_ADD, v, REEVE_ANY(-1));
	IS(GET(a, VALUE_ADD, v, REEVE_ANY(0)), "-9223372036854775808");
	v = OPEN_VALUE(a, VALUE, "w", REEVE_ANY(7));
	IS(GET(a, VALUE_GET, v), "7");
	STATUS(-ENOTSUP, a, LENGTH, v);
	rig_done();
}
END_TEST

START_TEST(test_event)
{
	int64_t e, f;

	(void)rig_store();
	a = rig_session();
	b = rig_session();
	e = OPEN(a, EVENT, "e");
	f = OPEN(b, EVENT, "e");
	ck_assert(!GET_BOOL(a, EVENT_IS_SET, e));
	STATUS(-EAGAIN, a, WAIT, e, NOW);
	STATUS(WAITS, a, WAIT, e, FOREVER);
	STATUS(WAITS, a, WAIT, e, REEVE_ANY(100));
	STATUS(WAITS, b, WAIT, f, REEVE_ANY(1000));
	rig_pass(99);
	LATER(WAITS, a);
	rig_pass(1);
	LATER(-ETIMEDOUT, a);
	OK(b, EVENT_SET, f);
	LATER(0, a);
	LATER(0, b);
	LATER(WAITS, a);
	ck_assert(!GET_BOOL(a, WAIT, e, FOREVER));
	ck_assert(GET_BOOL(a, EVENT_IS_SET, e));
	OK(a, EVENT_CLEAR, e);
	STATUS(-EAGAIN, a, WAIT, e, NOW);
	ck_assert_uint_eq(store_next_usec(rig.store), USEC_INFINITY);
	rig_done();
}
END_TEST

UNIT_MAIN("manager_store_value", test_value, test_event)
