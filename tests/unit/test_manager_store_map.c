/* Dicts and namespaces, as clients see them. */
#include "tests/unit/store_rig.h"

static struct session *a;
static int64_t d;

static void begin(enum reeve_object_kind kind)
{
	(void)rig_store();
	a = rig_session();
	d = rig_open(a, kind, "d", 0, NIL);
}

START_TEST(test_one_key)
{
	begin(REEVE_OBJECT_DICT);
	STATUS(-ENOENT, a, DICT_GET, d, REEVE_ANY("k"));
	ck_assert(!GET_BOOL(a, DICT_HAS, d, REEVE_ANY("k")));
	OK(a, DICT_SET, d, REEVE_ANY("k"), REEVE_ANY(1));
	ck_assert_int_eq(GET_INT(a, DICT_GET, d, REEVE_ANY("k")), 1);
	ck_assert(GET_BOOL(a, DICT_HAS, d, REEVE_ANY("k")));
	OK(a, DICT_SET, d, REEVE_ANY("k"), REEVE_ANY("a longer one than fits"));
	IS(GET(a, DICT_GET, d, REEVE_ANY("k")), "\"a longer one than fits\"");
	ck_assert_int_eq(GET_INT(a, LENGTH, d), 1);
	IS(GET(a, DICT_POP, d, REEVE_ANY("k")), "\"a longer one than fits\"");
	STATUS(-ENOENT, a, DICT_POP, d, REEVE_ANY("k"));
	ck_assert_int_eq(GET_INT(a, LENGTH, d), 0);
	rig_done();
}
END_TEST

/* 1, 1.0, "1", b"1" and true are different keys, or none. */
START_TEST(test_kinds_of_keys)
{
	begin(REEVE_OBJECT_DICT);
	OK(a, DICT_SET, d, REEVE_ANY(1), REEVE_ANY("int"));
	OK(a, DICT_SET, d, REEVE_ANY("1"), REEVE_ANY("string"));
	OK(a, DICT_SET, d, reeve_any_bytes("1", 1), REEVE_ANY("bytes"));
	OK(a, DICT_SET, d, reeve_any_bool(true), REEVE_ANY("bool"));
	STATUS(-EINVAL, a, DICT_SET, d, REEVE_ANY(1.0), REEVE_ANY("double"));
	STATUS(-EINVAL, a, DICT_SET, d, NIL, REEVE_ANY("nil"));
	STATUS(-EINVAL, a, DICT_SET, d, reeve_any_list(NULL, 0), NIL);
	IS(GET(a, DICT_GET, d, REEVE_ANY(1)), "\"int\"");
	IS(GET(a, DICT_GET, d, reeve_any_bytes("1", 1)), "\"bytes\"");
	ck_assert_int_eq(GET_INT(a, LENGTH, d), 4);
	rig_done();
}
END_TEST

START_TEST(test_order_is_pythons)
{
	begin(REEVE_OBJECT_DICT);
	for (int i = 0; i < 5; i++)
		OK(a, DICT_SET, d, REEVE_ANY(i), REEVE_ANY(i * i));
	OK(a, DICT_SET, d, REEVE_ANY(1), REEVE_ANY(-1)); /* keeps its place */
	OK(a, DICT_POP, d, REEVE_ANY(2));
	OK(a, DICT_SET, d, REEVE_ANY(2), REEVE_ANY(-2)); /* is the last */
	IS(GET(a, ITEMS, d), "{0: 0, 1: -1, 3: 9, 4: 16, 2: -2}");
	IS(GET(a, DICT_KEYS, d), "[0, 1, 3, 4, 2]");
	OK(a, CLEAR, d);
	IS(GET(a, ITEMS, d), "{}");
	IS(GET(a, DICT_KEYS, d), "[]");
	rig_done();
}
END_TEST

START_TEST(test_setdefault)
{
	begin(REEVE_OBJECT_DICT);
	IS(GET(a, DICT_SETDEFAULT, d, REEVE_ANY("k"), REEVE_ANY(1)), "1");
	IS(GET(a, DICT_SETDEFAULT, d, REEVE_ANY("k"), REEVE_ANY(2)), "1");
	rig_done();
}
END_TEST

START_TEST(test_add)
{
	begin(REEVE_OBJECT_DICT);
	IS(GET(a, DICT_ADD, d, REEVE_ANY("k"), REEVE_ANY(3)), "3");
	IS(GET(a, DICT_ADD, d, REEVE_ANY("k"), REEVE_ANY(-5)), "-2");
	IS(GET(a, DICT_ADD, d, REEVE_ANY("k"), REEVE_ANY(0.5)), "-1.5");
	STATUS(-EDOM, a, DICT_ADD, d, REEVE_ANY("k"), REEVE_ANY("x"));
	STATUS(-EDOM, a, DICT_ADD, d, REEVE_ANY("new"), REEVE_ANY("x"));
	ck_assert(!GET_BOOL(a, DICT_HAS, d, REEVE_ANY("new")));
	OK(a, DICT_SET, d, REEVE_ANY("s"), REEVE_ANY("text"));
	STATUS(-EDOM, a, DICT_ADD, d, REEVE_ANY("s"), REEVE_ANY(1));
	OK(a, DICT_SET, d, REEVE_ANY("n"), NIL);
	STATUS(-EDOM, a, DICT_ADD, d, REEVE_ANY("n"), reeve_any_bool(true));
	OK(a, DICT_SET, d, REEVE_ANY("m"), REEVE_ANY(INT64_MAX));
	STATUS(-EDOM, a, DICT_ADD, d, REEVE_ANY("m"), REEVE_ANY(1));
	IS(GET(a, DICT_GET, d, REEVE_ANY("m")), "9223372036854775807");
	rig_done();
}
END_TEST

START_TEST(test_update)
{
	const struct reeve_pair pairs[] = {
		{ REEVE_ANY("b"), REEVE_ANY("a value that needs memory") },
		{ REEVE_ANY("a key that needs memory of its own"),
		  REEVE_ANY(2) },
		{ REEVE_ANY("c"), REEVE_ANY(3) },
	};

	begin(REEVE_OBJECT_DICT);
	OK(a, DICT_SET, d, REEVE_ANY("c"), REEVE_ANY(0));
	OK(a, DICT_SET, d, REEVE_ANY("b"), REEVE_ANY("what needs memory, too"));
	OK(a, DICT_UPDATE, d, reeve_any_dict(pairs, 3));
	IS(GET(a, ITEMS, d), "{\"c\": 3, \"b\": \"a value that needs memory\", "
			     "\"a key that needs memory of its own\": 2}");
	OK(a, DICT_UPDATE, d, reeve_any_dict(NULL, 0));
	STATUS(-EINVAL, a, DICT_UPDATE, d, REEVE_ANY(1));
	ck_assert_int_eq(GET_INT(a, LENGTH, d), 3);
	rig_done();
}
END_TEST

START_TEST(test_a_namespaces_keys_are_strings)
{
	const struct reeve_pair pairs[] = {
		{ REEVE_ANY("x"), REEVE_ANY(1) },
		{ REEVE_ANY(7), REEVE_ANY(2) },
	};

	begin(REEVE_OBJECT_NAMESPACE);
	OK(a, DICT_SET, d, REEVE_ANY("x"), REEVE_ANY(1));
	STATUS(-EINVAL, a, DICT_SET, d, REEVE_ANY(1), REEVE_ANY(1));
	STATUS(-EINVAL, a, DICT_GET, d, REEVE_ANY(1));
	STATUS(-EINVAL, a, DICT_ADD, d, REEVE_ANY(1), REEVE_ANY(1));
	STATUS(-EINVAL, a, DICT_SETDEFAULT, d, REEVE_ANY(1), REEVE_ANY(1));
	STATUS(-EINVAL, a, DICT_POP, d, REEVE_ANY(1));
	STATUS(-EINVAL, a, DICT_HAS, d, REEVE_ANY(1));
	STATUS(-EINVAL, a, DICT_UPDATE, d, reeve_any_dict(pairs, 2));
	IS(GET(a, ITEMS, d), "{\"x\": 1}");
	STATUS(-EINVAL, a, OPEN, 0, REEVE_ANY((int64_t)REEVE_OBJECT_NAMESPACE),
	       REEVE_ANY("n"), NIL, reeve_any_dict(pairs, 2));
	ck_assert_int_eq(
		OPEN_VALUE(a, NAMESPACE, "n", reeve_any_dict(pairs, 1)), 2);
	rig_done();
}
END_TEST

/* More than fits into an answer can be read key by key. */
START_TEST(test_more_than_an_answer)
{
	size_t size = REEVE_MANAGER_VALUE_MAX / 2;
	char *data = calloc(1, size);

	begin(REEVE_OBJECT_DICT);
	OK(a, DICT_SET, d, REEVE_ANY(1), reeve_any_bytes(data, size));
	ck_assert_uint_eq(GET(a, ITEMS, d).n, 1);
	OK(a, DICT_SET, d, REEVE_ANY(2), reeve_any_bytes(data, size));
	STATUS(-EMSGSIZE, a, ITEMS, d);
	IS(GET(a, DICT_KEYS, d), "[1, 2]");
	ck_assert_uint_eq(GET(a, DICT_GET, d, REEVE_ANY(2)).n, size);
	free(data);
	rig_done();
}
END_TEST

UNIT_MAIN("manager_store_map", test_one_key, test_kinds_of_keys,
	  test_order_is_pythons, test_setdefault, test_add, test_update,
	  test_a_namespaces_keys_are_strings, test_more_than_an_answer)
