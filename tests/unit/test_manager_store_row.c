/* Lists and arrays, as clients see them. */
#include "tests/unit/store_rig.h"

static struct session *a;

#define INTS(...)                                                              \
	rig_ints((const int64_t[]){ __VA_ARGS__ },                             \
		 sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t))

static struct reeve_any rig_ints(const int64_t *numbers, size_t n)
{
	static struct reeve_any items[16];

	ck_assert_uint_le(n, ARRAY_SIZE(items));
	for (size_t i = 0; i < n; i++)
		items[i] = reeve_any_int(numbers[i]);
	return reeve_any_list(items, n);
}

START_TEST(test_items)
{
	int64_t l;

	(void)rig_store();
	a = rig_session();
	l = OPEN_VALUE(a, LIST, "l", INTS(10, 20, 30));
	ck_assert_int_eq(GET_INT(a, LENGTH, l), 3);
	ck_assert_int_eq(GET_INT(a, LIST_GET, l, REEVE_ANY(0)), 10);
	ck_assert_int_eq(GET_INT(a, LIST_GET, l, REEVE_ANY(-1)), 30);
	ck_assert_int_eq(GET_INT(a, LIST_GET, l, REEVE_ANY(-3)), 10);
	STATUS(-ERANGE, a, LIST_GET, l, REEVE_ANY(3));
	STATUS(-ERANGE, a, LIST_GET, l, REEVE_ANY(-4));
	STATUS(-ERANGE, a, LIST_GET, l, REEVE_ANY(INT64_MIN));
	STATUS(-ERANGE, a, LIST_GET, l, REEVE_ANY(INT64_MAX));
	OK(a, LIST_SET, l, REEVE_ANY(-2), REEVE_ANY("two needs some memory"));
	STATUS(-ERANGE, a, LIST_SET, l, REEVE_ANY(3), REEVE_ANY(1));
	IS(GET(a, ITEMS, l), "[10, \"two needs some memory\", 30]");
	IS(GET(a, LIST_ADD, l, REEVE_ANY(0), REEVE_ANY(0.5)), "10.5");
	STATUS(-EDOM, a, LIST_ADD, l, REEVE_ANY(1), REEVE_ANY(1));
	STATUS(-EDOM, a, LIST_ADD, l, REEVE_ANY(0), REEVE_ANY("x"));
	STATUS(-ERANGE, a, LIST_ADD, l, REEVE_ANY(3), REEVE_ANY(1));
	ck_assert_int_eq(GET_INT(a, LIST_INDEX, l, REEVE_ANY(30)), 2);
	ck_assert_int_eq(GET_INT(a, LIST_INDEX, l,
				 REEVE_ANY("two needs some memory")),
			 1);
	STATUS(-ENOENT, a, LIST_INDEX, l, REEVE_ANY(30.0));
	OK(a, CLEAR, l);
	IS(GET(a, ITEMS, l), "[]");
	rig_done();
}
END_TEST

/* What is in a list or dict, and comes back as a part of all, is not too deep for
 * that, whichever way it got there. */
START_TEST(test_nesting)
{
	struct reeve_any deep[REEVE_ANY_DEPTH_MAX + 1] = { REEVE_ANY(1) };
	struct reeve_any got;
	int64_t l, d, v, q;

	for (size_t i = 1; i < ARRAY_SIZE(deep); i++)
		deep[i] = reeve_any_list(&deep[i - 1], 1);
	(void)rig_store();
	a = rig_session();
	l = OPEN_VALUE(a, LIST, "l", INTS(10, 20));
	d = OPEN(a, DICT, "d");
	v = OPEN(a, VALUE, "v");
	q = OPEN(a, QUEUE, "q");
	STATUS(-E2BIG, a, LIST_APPEND, l, deep[REEVE_ANY_DEPTH_MAX]);
	STATUS(-E2BIG, a, LIST_INSERT, l, REEVE_ANY(0),
	       deep[REEVE_ANY_DEPTH_MAX]);
	STATUS(-E2BIG, a, LIST_SET, l, REEVE_ANY(0), deep[REEVE_ANY_DEPTH_MAX]);
	STATUS(-E2BIG, a, DICT_SET, d, REEVE_ANY(0), deep[REEVE_ANY_DEPTH_MAX]);
	STATUS(-E2BIG, a, DICT_SETDEFAULT, d, REEVE_ANY(0),
	       deep[REEVE_ANY_DEPTH_MAX]);
	IS(GET(a, ITEMS, l), "[10, 20]");
	IS(GET(a, ITEMS, d), "{}");
	OK(a, LIST_APPEND, l, deep[REEVE_ANY_DEPTH_MAX - 1]);
	OK(a, LIST_EXTEND, l, deep[REEVE_ANY_DEPTH_MAX]);
	OK(a, DICT_SET, d, REEVE_ANY(0), deep[REEVE_ANY_DEPTH_MAX - 1]);
	got = GET(a, ITEMS, l);
	ck_assert_uint_eq(got.n, 4);
	ck_assert(
		reeve_any_equal(&got.items[3], &deep[REEVE_ANY_DEPTH_MAX - 1]));
	ck_assert_uint_eq(GET(a, ITEMS, d).n, 1);
	/* by themselves they may be */
	OK(a, VALUE_SET, v, deep[REEVE_ANY_DEPTH_MAX]);
	OK(a, QUEUE_PUT, q, deep[REEVE_ANY_DEPTH_MAX], REEVE_ANY(0));
	rig_done();
}
END_TEST

START_TEST(test_growing)
{
	int64_t l;

	(void)rig_store();
	a = rig_session();
	l = OPEN(a, LIST, "l");
	OK(a, LIST_APPEND, l, REEVE_ANY(2));
	OK(a, LIST_INSERT, l, REEVE_ANY(0), REEVE_ANY(1));
	OK(a, LIST_INSERT, l, REEVE_ANY(-1), REEVE_ANY("between"));
	OK(a, LIST_INSERT, l, REEVE_ANY(100), REEVE_ANY("last"));
	OK(a, LIST_INSERT, l, REEVE_ANY(-100), REEVE_ANY("first"));
	OK(a, LIST_INSERT, l, REEVE_ANY(INT64_MIN), REEVE_ANY("firster"));
	IS(GET(a, ITEMS, l),
	   "[\"firster\", \"first\", 1, \"between\", 2, \"last\"]");
	IS(GET(a, LIST_POP, l, REEVE_ANY(-1)), "\"last\"");
	IS(GET(a, LIST_POP, l, REEVE_ANY(0)), "\"firster\"");
	IS(GET(a, LIST_POP, l, REEVE_ANY(2)), "\"between\"");
	STATUS(-ERANGE, a, LIST_POP, l, REEVE_ANY(3));
	OK(a, LIST_EXTEND, l, INTS(7, 8, 9));
	OK(a, LIST_EXTEND, l, reeve_any_list(NULL, 0));
	STATUS(-EINVAL, a, LIST_EXTEND, l, REEVE_ANY(1));
	IS(GET(a, ITEMS, l), "[\"first\", 1, 2, 7, 8, 9]");
	OK(a, CLEAR, l);
	STATUS(-ERANGE, a, LIST_POP, l, REEVE_ANY(-1));
	rig_done();
}
END_TEST

/* As list[from:to] of Python. */
START_TEST(test_slices)
{
	static const struct {
		int64_t from, to;
		const char *wanted;
	} slices[] = {
		{ 0, 5, "[0, 1, 2, 3, 4]" },
		{ 1, 3, "[1, 2]" },
		{ -2, 5, "[3, 4]" },
		{ 0, -1, "[0, 1, 2, 3]" },
		{ -4, -2, "[1, 2]" },
		{ 3, 1, "[]" },
		{ 5, 9, "[]" },
		{ -9, 2, "[0, 1]" },
		{ 2, INT64_MAX, "[2, 3, 4]" },
		{ INT64_MIN, INT64_MAX, "[0, 1, 2, 3, 4]" },
		{ INT64_MAX, INT64_MIN, "[]" },
	};
	int64_t l;

	(void)rig_store();
	a = rig_session();
	l = OPEN_VALUE(a, LIST, "l", INTS(0, 1, 2, 3, 4));
	for (size_t i = 0; i < ARRAY_SIZE(slices); i++)
		IS(GET(a, LIST_SLICE, l, REEVE_ANY(slices[i].from),
		       REEVE_ANY(slices[i].to)),
		   slices[i].wanted);
	rig_done();
}
END_TEST

START_TEST(test_arrays)
{
	int64_t r;
	struct reeve_any mixed[] = { REEVE_ANY(1), REEVE_ANY("x") };

	(void)rig_store();
	a = rig_session();
	r = OPEN_SIZE(a, ARRAY, "a", 3);
	IS(GET(a, ITEMS, r), "[0, 0, 0]");
	OK(a, LIST_SET, r, REEVE_ANY(1), REEVE_ANY(1.5));
	STATUS(-EDOM, a, LIST_SET, r, REEVE_ANY(1), REEVE_ANY("x"));
	STATUS(-EDOM, a, LIST_SET, r, REEVE_ANY(1), reeve_any_bool(true));
	IS(GET(a, LIST_ADD, r, REEVE_ANY(2), REEVE_ANY(4)), "4");
	ck_assert_int_eq(GET_INT(a, LIST_INDEX, r, REEVE_ANY(4)), 2);
	IS(GET(a, LIST_SLICE, r, REEVE_ANY(1), REEVE_ANY(3)), "[1.5, 4]");
	ck_assert_int_eq(GET_INT(a, LENGTH, r), 3);
	STATUS(-ENOTSUP, a, LIST_APPEND, r, REEVE_ANY(1));
	STATUS(-ENOTSUP, a, LIST_EXTEND, r, INTS(1));
	STATUS(-ENOTSUP, a, LIST_INSERT, r, REEVE_ANY(0), REEVE_ANY(1));
	STATUS(-ENOTSUP, a, LIST_POP, r, REEVE_ANY(0));
	STATUS(-ENOTSUP, a, CLEAR, r);

	r = OPEN_VALUE(a, ARRAY, "from a list", INTS(1, 2));
	IS(GET(a, ITEMS, r), "[1, 2]");
	r = rig_open(a, REEVE_OBJECT_ARRAY, "longer", 4, INTS(1, 2));
	IS(GET(a, ITEMS, r), "[1, 2, 0, 0]");
	ck_assert_int_eq(rig_open(a, REEVE_OBJECT_ARRAY, "shorter", 1,
				  INTS(1, 2)),
			 -EINVAL);
	ck_assert_int_eq(OPEN_VALUE(a, ARRAY, "m", reeve_any_list(mixed, 2)),
			 -EDOM);
	ck_assert_int_eq(OPEN_VALUE(a, ARRAY, "n", REEVE_ANY(1)), -EINVAL);
	ck_assert_int_eq(OPEN_SIZE(a, ARRAY, "o", -1), -EINVAL);
	ck_assert_int_eq(OPEN_SIZE(a, ARRAY, "p", INT64_MAX), -ENOSPC);
	ck_assert_int_eq(OPEN_SIZE(a, ARRAY, "q", 1 << 30), -ENOSPC);
	r = OPEN_SIZE(a, ARRAY, "empty", 0);
	IS(GET(a, ITEMS, r), "[]");
	rig_done();
}
END_TEST

START_TEST(test_more_than_an_answer)
{
	size_t size = REEVE_MANAGER_VALUE_MAX / 2;
	char *data = calloc(1, size);
	int64_t l;

	(void)rig_store();
	a = rig_session();
	l = OPEN(a, LIST, "l");
	for (int i = 0; i < 3; i++)
		OK(a, LIST_APPEND, l, reeve_any_bytes(data, size));
	STATUS(-EMSGSIZE, a, ITEMS, l);
	STATUS(-EMSGSIZE, a, LIST_SLICE, l, REEVE_ANY(0), REEVE_ANY(2));
	ck_assert_uint_eq(GET(a, LIST_SLICE, l, REEVE_ANY(1), REEVE_ANY(2)).n,
			  1);
	free(data);
	rig_done();
}
END_TEST

UNIT_MAIN("manager_store_row", test_items, test_nesting, test_growing,
	  test_slices, test_arrays, test_more_than_an_answer)
