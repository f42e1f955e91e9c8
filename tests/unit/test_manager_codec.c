/* Values, single and nested: codec.c, walk.c, tree.c. */
#include "workers/manager/codec.h"

#include <errno.h>
#include <math.h>
#include <sys/resource.h>

#include "tests/unit/cbor_rig.h"
#include "tests/unit/cbor_tree.h"
#include "workers/manager/walk.h"

#ifdef __SANITIZE_ADDRESS__
#define IS_SANITIZED 1
#else
#define IS_SANITIZED 0
#endif

START_TEST(test_put)
{
	struct buf b = BUF_INIT(0);

	codec_put_nil(&b);
	cbor_check(&b, "f6");
	codec_put_bool(&b, true);
	codec_put_bool(&b, false);
	cbor_check(&b, "f5 f4");
	codec_put_int(&b, INT64_MIN);
	codec_put_int(&b, INT64_MAX);
	cbor_check(&b, "3b 7fffffffffffffff 1b 7fffffffffffffff");
	codec_put_int(&b, -24);
	codec_put_int(&b, -25);
	cbor_check(&b, "37 38 18");
	codec_put_double(&b, -NAN);
	codec_put_double(&b, 0.1);
	cbor_check(&b, "f9 7e00 fb 3fb999999999999a");
	codec_put_string(&b, "abc", 2);
	codec_put_bytes(&b, NULL, 0);
	codec_put_list(&b, 24);
	codec_put_dict(&b, 2);
	cbor_check(&b, "62 6162 40 98 18 a2");
	buf_done(&b);
}
END_TEST

/* What does not fit leaves nothing behind. */
START_TEST(test_put_into_a_full_buffer)
{
	struct reeve_any items[] = { REEVE_ANY(1), REEVE_ANY("abcdef") };
	struct reeve_any list = reeve_any_list(items, 2);

	for (size_t max = 2; max < 10; max++) {
		struct buf b = BUF_INIT(max);

		buf_puts(&b, "x");
		ck_assert_int_eq(codec_put(&b, &list),
				 max == 9 + 1 ? 0 : -EMSGSIZE);
		ck_assert_str_eq(buf_text(&b), "x");
		buf_clear(&b);
		ck_assert_int_eq(codec_put_string(&b, "abcdefghi", 9),
				 -EMSGSIZE);
		ck_assert_uint_eq(b.len, 0);
		buf_done(&b);
	}
	struct buf b = BUF_INIT(9);
	ck_assert_int_eq(codec_put(&b, &list), 0);
	cbor_check(&b, "82 01 66 616263646566");
	buf_done(&b);
}
END_TEST

/* Every kind is asked for every kind: one is given, the others change nothing. */
START_TEST(test_get_its_kind)
{
	static const char *const hex[] = {
		[REEVE_ANY_NIL] = "f6",		[REEVE_ANY_BOOL] = "f5",
		[REEVE_ANY_INT] = "18 2a",	[REEVE_ANY_DOUBLE] = "f9 3e00",
		[REEVE_ANY_STRING] = "62 6869", [REEVE_ANY_BYTES] = "42 6869",
		[REEVE_ANY_LIST] = "81 01",	[REEVE_ANY_DICT] = "a1 01 02",
	};

	for (size_t i = 0; i < ARRAY_SIZE(hex); i++) {
		_cleanup_(cbor_done) struct cbor c = cbor_from(hex[i]);
		struct reader r = cbor_reader(&c);
		enum reeve_any_kind kind = 99;
		bool boolean = false;
		int64_t integer = 0;
		double number = 0;
		const char *text = NULL;
		const void *bytes = NULL;
		size_t n[4] = { 0 };

		ck_assert_int_eq(codec_peek(&r, &kind), 0);
		ck_assert_int_eq(kind, i);
		for (size_t j = 0; j < ARRAY_SIZE(hex); j++) {
			struct reader copy = r;
			int results[] = {
				codec_get_nil(
					&(struct reader){ r.data, r.size, 0 }),
				codec_get_bool(j == 1 ? &copy : &r, &boolean),
				codec_get_int(j == 2 ? &copy : &r, &integer),
				codec_get_double(j == 3 ? &copy : &r, &number),
				codec_get_string(j == 4 ? &copy : &r, &text,
						 &n[0]),
				codec_get_bytes(j == 5 ? &copy : &r, &bytes,
						&n[1]),
				codec_get_list(j == 6 ? &copy : &r, &n[2]),
				codec_get_dict(j == 7 ? &copy : &r, &n[3]),
			};

			ck_assert_int_eq(results[j], i == j ? 0 : -EBADMSG);
			ck_assert_uint_eq(copy.position > 0, i == j && i > 0);
			r = cbor_reader(&c);
		}
		ck_assert_int_eq(boolean, i == REEVE_ANY_BOOL);
		ck_assert_int_eq(integer, i == REEVE_ANY_INT ? 42 : 0);
		ck_assert(number == (i == REEVE_ANY_DOUBLE ? 1.5 : 0));
		ck_assert(i == REEVE_ANY_STRING
				  ? n[0] == 2 && memcmp(text, "hi", 2) == 0
				  : text == NULL);
		ck_assert(i == REEVE_ANY_BYTES
				  ? n[1] == 2 && memcmp(bytes, "hi", 2) == 0
				  : bytes == NULL);
		ck_assert_uint_eq(n[2], i == REEVE_ANY_LIST);
		ck_assert_uint_eq(n[3], i == REEVE_ANY_DICT);
	}
}
END_TEST

START_TEST(test_at_the_end)
{
	struct reader r = { NULL, 0, 0 };
	enum reeve_any_kind kind;
	struct reeve_any value;
	int64_t integer;

	ck_assert(reader_is_at_end(&r));
	ck_assert_int_eq(codec_peek(&r, &kind), -EBADMSG);
	ck_assert_int_eq(codec_skip(&r, NULL, NULL), -EBADMSG);
	ck_assert_int_eq(codec_get_int(&r, &integer), -EBADMSG);
	ck_assert_int_eq(codec_get(&r, &value), -EBADMSG);
}
END_TEST

START_TEST(test_peek_refuses)
{
	static const char *const bad[] = { "c0", "f7", "f8 18", "ff",
					   "e0", "f9", "fb 00" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_(cbor_done) struct cbor c = cbor_from(bad[i]);
		struct reader r = cbor_reader(&c);
		enum reeve_any_kind kind;

		ck_assert_int_eq(codec_peek(&r, &kind), -EBADMSG);
	}
}
END_TEST

/* A sequence of values: each is found where it lies. */
START_TEST(test_skip_finds)
{
	_cleanup_(cbor_done) struct cbor c =
		cbor_from("01 82 f6 81 80 a1 61 61 a1 00 f4 63 616263");
	struct reader r = cbor_reader(&c);
	static const size_t sizes[] = { 1, 4, 6, 4 };
	const unsigned char *data, *at = c.data;
	size_t size;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		ck_assert_int_eq(codec_skip(&r, &data, &size), 0);
		ck_assert_ptr_eq(data, at);
		ck_assert_uint_eq(size, sizes[i]);
		at += size;
	}
	ck_assert(reader_is_at_end(&r));
}
END_TEST

START_TEST(test_extent)
{
	_cleanup_(cbor_done) struct cbor c =
		cbor_from("83 62 6162 40 a2 01 41 00 61 7a 80");
	struct reader r = cbor_reader(&c);
	struct extent extent;

	ck_assert_int_eq(walk_value(&r, &extent), 0);
	ck_assert_uint_eq(extent.n_items, 8);
	ck_assert_uint_eq(extent.n_text, 3 + 1 + 2 + 2);
}
END_TEST

/* Lists, dicts, both by turns: the limit is passed in one step. */
START_TEST(test_depth)
{
	for (int mix = 0; mix < 3; mix++) {
		for (size_t depth = 1; depth < 100; depth++) {
			struct buf b = BUF_INIT(0);

			for (size_t i = 1; i < depth; i++) {
				if (mix == 0 || (mix == 2 && i % 2 > 0)) {
					codec_put_list(&b, 1);
				} else {
					codec_put_dict(&b, 1);
					codec_put_int(&b, 0);
				}
			}
			codec_put_list(&b, 0);
			struct reader r = { (unsigned char *)b.data, b.len, 0 };
			struct reeve_any value;
			int wanted = depth <= REEVE_ANY_DEPTH_MAX ? 0 : -E2BIG;
			ck_assert_int_eq(codec_skip(&r, NULL, NULL), wanted);
			r.position = 0;
			ck_assert_int_eq(codec_get(&r, &value), wanted);
			if (wanted == 0)
				reeve_any_free(&value);
			buf_done(&b);
		}
	}
}
END_TEST

/* As deep as a frame is long: that is seen at the 33rd. */
START_TEST(test_very_deep)
{
	static unsigned char bytes[16 << 20];

	memset(bytes, 0x81, sizeof(bytes));
	struct reader r = { bytes, sizeof(bytes), 0 };
	ck_assert_int_eq(codec_skip(&r, NULL, NULL), -E2BIG);
	ck_assert_uint_eq(r.position, 0);
}
END_TEST

START_TEST(test_keys)
{
	static const struct {
		const char *hex;
		int wanted;
	} cases[] = {
		{ "a1 01 02", 0 },
		{ "a1 f5 02", 0 },
		{ "a1 41 00 02", 0 },
		{ "a1 60 02", 0 },
		{ "a1 f6 02", -EBADMSG },      /* nil */
		{ "a1 f9 3c00 02", -EBADMSG }, /* a double */
		{ "a1 80 02", -EBADMSG },
		{ "a1 a0 02", -EBADMSG },
		{ "a2 01 02 01 03", -EBADMSG },
		{ "a2 01 02 02 03", 0 },
		{ "a2 61 31 02 41 31 03", 0 },
		{ "a2 f4 02 00 03", 0 },
		{ "a2 61 61 02 61 61 02", -EBADMSG },
		{ "a2 01 a1 01 01 02 a1 01 01", 0 }, /* levels differ */
		{ "a2 01 a1 02 02 02 a1 01 01", 0 },
		{ "81 a2 01 80 01 80", -EBADMSG },
		{ "a1 01 a2 02 00 02 00", -EBADMSG },
		{ "a3 01 a1 00 00 02 a1 00 00 01 00", -EBADMSG },
		{ "82 a1 01 02 a1 01 02", 0 },
		{ "a2 02 00 01 00", 0 }, /* any order */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		ck_assert_msg(cbor_skip(cases[i].hex) == cases[i].wanted, "%s",
			      cases[i].hex);
}
END_TEST

/* A dict of many keys within a dict, the last of them twice or not. */
START_TEST(test_many_keys)
{
	for (int twice = 0; twice < 2; twice++) {
		struct buf b = BUF_INIT(0);
		const int n = 100000;

		codec_put_dict(&b, 1);
		codec_put_int(&b, 1);
		codec_put_dict(&b, (size_t)n);
		for (int i = 0; i < n; i++) {
			codec_put_int(&b, twice && i == n - 1 ? 7 : i);
			codec_put_nil(&b);
		}
		struct reader r = { (unsigned char *)b.data, b.len, 0 };
		ck_assert_int_eq(codec_skip(&r, NULL, NULL),
				 twice ? -EBADMSG : 0);
		ck_assert_uint_eq(r.position, twice ? 0 : b.len);
		buf_done(&b);
	}
}
END_TEST

/* ---- trees ------------------------------------------------------------------ */

/* Random trees: bytes, and back, and to bytes again; and in pieces. */
START_TEST(test_round_trip)
{
	for (uint64_t seed = 0; seed < 300; seed++) {
		static struct tree tree;
		struct reeve_any *value = tree_grow(&tree, seed), copy;
		struct buf b = BUF_INIT(0), again = BUF_INIT(0);

		ck_assert_int_eq(codec_put(&b, value), 0);
		_cleanup_(cbor_done) struct cbor c = cbor_alone(b.data, b.len);
		struct reader r = cbor_reader(&c);
		ck_assert_int_eq(codec_get(&r, &copy), 0);
		ck_assert(reader_is_at_end(&r));
		ck_assert_msg(reeve_any_equal(value, &copy), "%lu",
			      (unsigned long)seed);
		ck_assert_int_eq(codec_put(&again, &copy), 0);
		ck_assert(b.len == again.len &&
			  memcmp(b.data, again.data, b.len) == 0);
		reeve_any_free(&copy);
		buf_done(&b);
		buf_done(&again);
	}
}
END_TEST

/* What is cut off anywhere fails, and nobody looks behind the end (the bytes are
 * alone in their memory). */
START_TEST(test_every_prefix)
{
	for (uint64_t seed = 0; seed < 60; seed++) {
		static struct tree tree;
		struct reeve_any copy;
		struct buf b = BUF_INIT(0);

		ck_assert_int_eq(codec_put(&b, tree_grow(&tree, seed)), 0);
		for (size_t n = 0; n < MIN(b.len, 500); n++) {
			_cleanup_(cbor_done) struct cbor c =
				cbor_alone(b.data, n);
			struct reader r = cbor_reader(&c);

			if (codec_skip(&r, NULL, NULL) != -EBADMSG ||
			    codec_get(&r, &copy) != -EBADMSG || r.position != 0)
				ck_abort_msg("%lu: %zu", (unsigned long)seed,
					     n);
		}
		buf_done(&b);
	}
}
END_TEST

/* Any change of a byte is refused, or makes another sound value. */
START_TEST(test_changed_bytes)
{
	struct rng rng = { 5 };

	for (uint64_t seed = 0; seed < 60; seed++) {
		static struct tree tree;
		struct buf b = BUF_INIT(0), again = BUF_INIT(0);

		ck_assert_int_eq(codec_put(&b, tree_grow(&tree, seed)), 0);
		for (int i = 0; i < 100; i++) {
			_cleanup_(cbor_done) struct cbor c =
				cbor_alone(b.data, b.len);
			struct reeve_any copy;
			struct reader r = cbor_reader(&c), s = r;

			c.data[rng_below(&rng, c.size)] =
				(unsigned char)rng_next(&rng);
			int error = codec_get(&r, &copy);
			if (codec_skip(&s, NULL, NULL) != error ||
			    r.position != s.position)
				ck_abort_msg("%lu", (unsigned long)seed);
			if (error < 0)
				continue;
			buf_clear(&again);
			if (codec_put(&again, &copy) < 0 ||
			    again.len != r.position ||
			    memcmp(again.data, c.data, again.len) != 0)
				ck_abort_msg("%lu", (unsigned long)seed);
			reeve_any_free(&copy);
		}
		buf_done(&b);
		buf_done(&again);
	}
}
END_TEST

/* ---- memory ----------------------------------------------------------------- */

static void limit_memory(size_t bytes)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_AS, &limit), 0);
	limit.rlim_cur = bytes > 0 ? bytes : limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
}

/* Under ever wider limits, first it fails, in the end it does not. */
static void check_little_memory(struct reader r)
{
	const size_t step = (size_t)1 << 20;
	int n_refused = 0, error = -ENOMEM;

	for (size_t limit = step; error < 0; limit += step) {
		struct reader copy = r;
		struct reeve_any value;

		ck_assert_uint_lt(limit, (size_t)1 << 30);
		limit_memory(limit);
		error = codec_get(&copy, &value);
		limit_memory(0);
		ck_assert(error == 0 || error == -ENOMEM);
		n_refused += error < 0;
		if (error < 0)
			ck_assert_uint_eq(copy.position, 0);
		else
			reeve_any_free(&value);
	}
	ck_assert_int_gt(n_refused, 0);
}

START_TEST(test_little_memory)
{
	struct buf b = BUF_INIT(0);
	const size_t n = 200000;

	if (IS_SANITIZED)
		return; /* its shadow takes any limit */
	codec_put_list(&b, n);
	for (size_t i = 0; i < n; i++)
		codec_put_nil(&b);
	struct reader r = { (unsigned char *)b.data, b.len, 0 };
	check_little_memory(r);
	buf_clear(&b);
	codec_put_dict(&b, n);
	for (size_t i = 0; i < n; i++) {
		codec_put_int(&b, (int64_t)i);
		codec_put_nil(&b);
	}
	r = (struct reader){ (unsigned char *)b.data, b.len, 0 };
	check_little_memory(r);
	buf_done(&b);
}
END_TEST

UNIT_MAIN("codec", test_put, test_put_into_a_full_buffer, test_get_its_kind,
	  test_at_the_end, test_peek_refuses, test_skip_finds, test_extent,
	  test_depth, test_very_deep, test_keys, test_many_keys,
	  test_round_trip, test_every_prefix, test_changed_bytes,
	  test_little_memory)
