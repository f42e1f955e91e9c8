#include <reeve/any.h>

#include <errno.h>
#include <float.h>
#include <locale.h>
#include <math.h>

#include "tests/unit/cbor_rig.h"

/* Vectors of RFC 8949, appendix A, that the encoding has: bytes, and as what
 * they are printed. */
static const struct {
	const char *hex, *text;
} vectors[] = {
	{ "00", "0" },
	{ "01", "1" },
	{ "0a", "10" },
	{ "17", "23" },
	{ "18 18", "24" },
	{ "18 19", "25" },
	{ "18 64", "100" },
	{ "19 03e8", "1000" },
	{ "1a 000f4240", "1000000" },
	{ "1b 000000e8d4a51000", "1000000000000" },
	{ "20", "-1" },
	{ "29", "-10" },
	{ "38 63", "-100" },
	{ "39 03e7", "-1000" },
	{ "f9 0000", "0.0" },
	{ "f9 8000", "-0.0" },
	{ "f9 3c00", "1.0" },
	{ "fb 3ff199999999999a", "1.1" },
	{ "f9 3e00", "1.5" },
	{ "f9 7bff", "65504.0" },
	{ "fa 47c35000", "100000.0" },
	{ "fa 7f7fffff", "3.4028234663852886e+38" },
	{ "fb 7e37e43c8800759c", "1e+300" },
	{ "f9 0001", "5.9604644775390625e-08" },
	{ "f9 0400", "6.103515625e-05" },
	{ "f9 c400", "-4.0" },
	{ "fb c010666666666666", "-4.1" },
	{ "f9 7c00", "inf" },
	{ "f9 7e00", "nan" },
	{ "f9 fc00", "-inf" },
	{ "f4", "false" },
	{ "f5", "true" },
	{ "f6", "null" },
	{ "40", "h''" },
	{ "44 01020304", "h'01020304'" },
	{ "60", "\"\"" },
	{ "61 61", "\"a\"" },
	{ "64 49455446", "\"IETF\"" },
	{ "62 225c", "\"\\\"\\\\\"" },
	{ "62 c3bc", "\"\xc3\xbc\"" },
	{ "63 e6b0b4", "\"\xe6\xb0\xb4\"" },
	{ "64 f0908591", "\"\xf0\x90\x85\x91\"" },
	{ "80", "[]" },
	{ "83 01 02 03", "[1, 2, 3]" },
	{ "83 01 82 02 03 82 04 05", "[1, [2, 3], [4, 5]]" },
	{ "98 19 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15"
	  "16 17 18 18 18 19",
	  "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, "
	  "20, 21, 22, 23, 24, 25]" },
	{ "a0", "{}" },
	{ "a2 01 02 03 04", "{1: 2, 3: 4}" },
	{ "a2 61 61 01 61 62 82 02 03", "{\"a\": 1, \"b\": [2, 3]}" },
	{ "82 61 61 a1 61 62 61 63", "[\"a\", {\"b\": \"c\"}]" },
	{ "a5 61 61 61 41 61 62 61 42 61 63 61 43 61 64 61 44 61 65 61 45",
	  "{\"a\": \"A\", \"b\": \"B\", \"c\": \"C\", \"d\": \"D\", \"e\": "
	  "\"E\"}" },
	/* the same, but in none of the RFC's examples */
	{ "1b 7fffffffffffffff", "9223372036854775807" },
	{ "3b 7fffffffffffffff", "-9223372036854775808" },
	{ "a4 f4 01 20 02 41 00 03 61 00 04",
	  "{false: 1, -1: 2, h'00': 3, \"\\u0000\": 4}" },
	{ "82 80 a0", "[[], {}]" },
	{ "fb 0000000000000001", "4.94065645841247e-324" },
};

/* Decodes, prints, and encodes to the same again. */
START_TEST(test_vectors)
{
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		_cleanup_(cbor_done) struct cbor c = cbor_from(vectors[i].hex);
		_cleanup_(reeve_any_free) struct reeve_any value;
		_cleanup_(free_pointer) void *data = NULL;
		char text[200];
		size_t size;

		ck_assert_msg(reeve_any_decode(c.data, c.size, &value) == 0,
			      "%s", vectors[i].hex);
		ck_assert_uint_eq(reeve_any_print(&value, text, sizeof(text)),
				  strlen(vectors[i].text));
		ck_assert_str_eq(text, vectors[i].text);
		ck_assert_int_eq(reeve_any_encode(&value, &data, &size), 0);
		ck_assert_uint_eq(size, c.size);
		ck_assert_mem_eq(data, c.data, size);
		ck_assert(reeve_any_equal(&value, &value));
	}
}
END_TEST

/* Each vector is equal to itself alone. */
START_TEST(test_equal)
{
	struct reeve_any values[ARRAY_SIZE(vectors)];

	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		_cleanup_(cbor_done) struct cbor c = cbor_from(vectors[i].hex);

		ck_assert_int_eq(reeve_any_decode(c.data, c.size, &values[i]),
				 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++)
		for (size_t j = 0; j < ARRAY_SIZE(vectors); j++)
			ck_assert_msg(reeve_any_equal(&values[i], &values[j]) ==
					      (i == j),
				      "%s %s", vectors[i].text,
				      vectors[j].text);
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++)
		reeve_any_free(&values[i]);
}
END_TEST

static struct reeve_pair pair(struct reeve_any key, struct reeve_any value)
{
	return (struct reeve_pair){ key, value };
}

START_TEST(test_order_of_a_dict)
{
	struct reeve_any ones[] = { REEVE_ANY(1), REEVE_ANY(1.0) };
	struct reeve_pair a[] = {
		pair(REEVE_ANY("x"), REEVE_ANY(1)),
		pair(REEVE_ANY(2), reeve_any_list(ones, 2)),
		pair(reeve_any_bool(true), REEVE_ANY("y")),
	};
	struct reeve_pair b[] = { a[2], a[0], a[1] };
	struct reeve_pair other[] = { a[2], a[0],
				      pair(REEVE_ANY(2), REEVE_ANY(3)) };
	struct reeve_pair another[] = {
		a[2], a[0], pair(REEVE_ANY(3), reeve_any_list(ones, 2))
	};
	struct reeve_any da = reeve_any_dict(a, 3), db = reeve_any_dict(b, 3),
			 dother = reeve_any_dict(other, 3),
			 danother = reeve_any_dict(another, 3),
			 fewer = reeve_any_dict(a, 2);

	ck_assert(reeve_any_equal(&da, &db));
	ck_assert(!reeve_any_equal(&da, &dother));
	ck_assert(!reeve_any_equal(&da, &danother));
	ck_assert(!reeve_any_equal(&da, &fewer));
	ck_assert(!reeve_any_equal(&fewer, &da));
	ck_assert(reeve_any_equal(NULL, NULL));
	ck_assert(!reeve_any_equal(&da, NULL));
}
END_TEST

START_TEST(test_find)
{
	struct reeve_pair pairs[] = {
		pair(REEVE_ANY(1), REEVE_ANY("integer")),
		pair(reeve_any_bool(true), REEVE_ANY("boolean")),
		pair(REEVE_ANY("1"), REEVE_ANY("string")),
		pair(reeve_any_bytes("1", 1), REEVE_ANY("bytes")),
	};
	struct reeve_any dict = reeve_any_dict(pairs, ARRAY_SIZE(pairs));
	struct reeve_any empty = reeve_any_dict(NULL, 0);

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		ck_assert_ptr_eq(reeve_any_find(&dict, pairs[i].key),
				 &pairs[i].value);
	ck_assert_ptr_null(reeve_any_find(&dict, REEVE_ANY(2)));
	ck_assert_ptr_null(reeve_any_find(&dict, REEVE_ANY(1.0)));
	ck_assert_ptr_null(reeve_any_find(&dict, reeve_any_bool(false)));
	ck_assert_ptr_null(reeve_any_find(&dict, REEVE_ANY("11")));
	ck_assert_ptr_null(reeve_any_find(&dict, dict));
	ck_assert_ptr_null(reeve_any_find(&empty, REEVE_ANY(1)));
	ck_assert_ptr_null(reeve_any_find(&pairs[0].key, REEVE_ANY(1)));
	ck_assert_ptr_null(reeve_any_find(NULL, REEVE_ANY(1)));
}
END_TEST

START_TEST(test_generic)
{
	char writable[] = "text";
	bool yes = true;
	float f = 0.5F;
	uint8_t small = 200;

	ck_assert_int_eq(REEVE_ANY(yes).kind, REEVE_ANY_BOOL);
	ck_assert_int_eq(REEVE_ANY(f).kind, REEVE_ANY_DOUBLE);
	ck_assert_int_eq(REEVE_ANY(small).kind, REEVE_ANY_INT);
	ck_assert_int_eq(REEVE_ANY(small).integer, 200);
	ck_assert_int_eq(REEVE_ANY(INT64_MIN).integer, INT64_MIN);
	ck_assert_int_eq(REEVE_ANY(writable).kind, REEVE_ANY_STRING);
	ck_assert_uint_eq(REEVE_ANY(writable).n, 4);
	ck_assert_int_eq(REEVE_ANY((const char *)NULL).kind, REEVE_ANY_NIL);
}
END_TEST

static int encode(struct reeve_any value)
{
	void *data = NULL;
	size_t size;

	int r = reeve_any_encode(&value, &data, &size);
	free(data);
	return r;
}

START_TEST(test_what_cannot_be_encoded)
{
	struct reeve_any bad = reeve_any_string("\xff");
	struct reeve_any in_list[] = { REEVE_ANY(1), bad };
	struct reeve_pair twice[] = { pair(REEVE_ANY("a"), REEVE_ANY(1)),
				      pair(REEVE_ANY("a"), REEVE_ANY(2)) };
	struct reeve_any dict = reeve_any_dict(twice, 2);
	struct reeve_any keys[] = { REEVE_ANY(1.0), reeve_any_nil(),
				    reeve_any_list(NULL, 0), bad };
	struct reeve_any unknown = { .kind = (enum reeve_any_kind)8 };

	ck_assert_int_eq(encode(bad), -EINVAL);
	ck_assert_int_eq(encode(reeve_any_list(in_list, 2)), -EINVAL);
	ck_assert_int_eq(encode(reeve_any_list(in_list, 1)), 0);
	ck_assert_int_eq(encode(dict), -EINVAL);
	ck_assert_int_eq(encode(reeve_any_list(&dict, 1)), -EINVAL);
	ck_assert_int_eq(encode(unknown), -EINVAL);
	ck_assert_int_eq(encode(reeve_any_list(&unknown, 1)), -EINVAL);
	ck_assert_int_eq(encode(reeve_any_bytes("\xff", 1)), 0);
	ck_assert_int_eq(reeve_any_encode(NULL, NULL, NULL), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		twice[0].key = keys[i];
		ck_assert_int_eq(encode(reeve_any_dict(twice, 1)), -EINVAL);
	}
}
END_TEST

/* Lists in lists (or dicts in dicts), so deep. */
static struct reeve_any deep(struct reeve_any *values, size_t depth)
{
	values[0] = REEVE_ANY(7);
	for (size_t i = 1; i <= depth; i++)
		values[i] = reeve_any_list(&values[i - 1], 1);
	return values[depth];
}

START_TEST(test_depth)
{
	struct reeve_any values[REEVE_ANY_DEPTH_MAX + 2], copy;
	struct reeve_any endless = reeve_any_list(&endless, 1);
	struct reeve_any most = deep(values, REEVE_ANY_DEPTH_MAX);
	struct reeve_any more = reeve_any_list(&most, 1);
	char text[3 * REEVE_ANY_DEPTH_MAX];
	unsigned char bytes[REEVE_ANY_DEPTH_MAX + 2];

	ck_assert_int_eq(encode(most), 0);
	ck_assert_int_eq(encode(more), -E2BIG);
	ck_assert_int_eq(encode(endless), -E2BIG);
	ck_assert(reeve_any_equal(&most, &most));
	ck_assert(!reeve_any_equal(&more, &more));
	ck_assert(!reeve_any_equal(&endless, &endless));
	reeve_any_print(&endless, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "[...]"));
	reeve_any_print(&most, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "[7]"));

	memset(bytes, 0x81, sizeof(bytes));
	bytes[REEVE_ANY_DEPTH_MAX] = 0x07;
	ck_assert_int_eq(
		reeve_any_decode(bytes, REEVE_ANY_DEPTH_MAX + 1, &copy), 0);
	ck_assert(reeve_any_equal(&copy, &most));
	reeve_any_free(&copy);
	bytes[REEVE_ANY_DEPTH_MAX] = 0x81;
	bytes[REEVE_ANY_DEPTH_MAX + 1] = 0x07;
	ck_assert_int_eq(reeve_any_decode(bytes, REEVE_ANY_DEPTH_MAX + 2,
					  &copy),
			 -E2BIG);
}
END_TEST

/* All of it, or nothing; and the result is untouched then. */
START_TEST(test_decode_exactly)
{
	struct reeve_any value = REEVE_ANY(42);

	ck_assert_int_eq(reeve_any_decode("\x01\x02", 2, &value), -EBADMSG);
	ck_assert_int_eq(reeve_any_decode("\x61z\x02", 3, &value), -EBADMSG);
	ck_assert_int_eq(reeve_any_decode("", 0, &value), -EBADMSG);
	ck_assert_int_eq(reeve_any_decode(NULL, 0, &value), -EBADMSG);
	ck_assert_int_eq(value.integer, 42);
	ck_assert_int_eq(reeve_any_decode("\x1b\x80\0\0\0\0\0\0\0", 9, &value),
			 -ERANGE);
	ck_assert_int_eq(reeve_any_decode("\x3b\x80\0\0\0\0\0\0\0", 9, &value),
			 -ERANGE);
}
END_TEST

START_TEST(test_texts_end_with_nul)
{
	struct reeve_any value;

	ck_assert_int_eq(reeve_any_decode("\x82\x61z\x42\x01\x02", 6, &value),
			 0);
	ck_assert_str_eq(value.items[0].string, "z");
	ck_assert_int_eq(((const char *)value.items[1].bytes)[2], 0);
	ck_assert_ptr_null(value.items[0].memory);
	reeve_any_free(&value);
	ck_assert_int_eq(value.kind, REEVE_ANY_NIL);
	reeve_any_free(&value); /* again is fine, and so is nothing */
	reeve_any_free(NULL);
	ck_assert_int_eq(reeve_any_decode("\x60", 1, &value), 0);
	ck_assert_str_eq(value.string, "");
	reeve_any_free(&value);
}
END_TEST

START_TEST(test_print_cuts)
{
	struct reeve_any items[] = { REEVE_ANY("north"), REEVE_ANY(3.5) };
	struct reeve_any list = reeve_any_list(items, 2);
	const char *whole = "[\"north\", 3.5]";
	char text[40];

	for (size_t size = 0; size < sizeof(text); size++) {
		memset(text, '#', sizeof(text));
		ck_assert_uint_eq(reeve_any_print(&list, text, size),
				  strlen(whole));
		size_t len = MIN(strlen(whole), size > 0 ? size - 1 : 0);
		ck_assert_mem_eq(text, whole, len);
		if (size > 0)
			ck_assert_int_eq(text[len], 0);
		ck_assert_int_eq(text[MIN(size, strlen(whole) + 1)], '#');
	}
	ck_assert_uint_eq(reeve_any_print(&list, NULL, 0), strlen(whole));
	reeve_any_print(NULL, text, sizeof(text));
	ck_assert_str_eq(text, "null");
}
END_TEST

static void check_print(struct reeve_any value, const char *wanted)
{
	char text[100];

	reeve_any_print(&value, text, sizeof(text));
	ck_assert_str_eq(text, wanted);
}

START_TEST(test_print)
{
	check_print(REEVE_ANY("\x1b[31m\x7f\t\n"),
		    "\"\\u001b[31m\\u007f\\u0009\\n\"");
	check_print(REEVE_ANY(0.1), "0.1");
	check_print(REEVE_ANY(1.0 / 3), "0.3333333333333333");
	check_print(REEVE_ANY(1e15), "1e+15");
	check_print(REEVE_ANY(123456.0), "123456.0");
	check_print(REEVE_ANY(DBL_MAX), "1.7976931348623157e+308");
	check_print((struct reeve_any){ .kind = (enum reeve_any_kind)77 },
		    "...");
	/* A comma for a decimal point is no matter; not every system has it. */
	if (setlocale(LC_NUMERIC, "de_DE.UTF-8") != NULL)
		check_print(REEVE_ANY(0.1), "0.1");
}
END_TEST

UNIT_MAIN("any", test_vectors, test_equal, test_order_of_a_dict, test_find,
	  test_generic, test_what_cannot_be_encoded, test_depth,
	  test_decode_exactly, test_texts_end_with_nul, test_print_cuts,
	  test_print)
