#include "workers/manager/item.h"

#include <errno.h>
#include <float.h>
#include <math.h>

#include "tests/unit/cbor_rig.h"
#include "workers/base/pure/rng.h"

static int take(const void *bytes, size_t size, struct item *ret)
{
	_cleanup_(cbor_done) struct cbor c = cbor_alone(bytes, size);
	struct reader r = cbor_reader(&c);

	int error = item_take(&r, ret);
	ck_assert(error < 0 ? r.position == 0 : r.position == size);
	return error;
}

/* The head of a major type with its argument in so many bytes, 0: in the first
 * byte. */
static size_t head(unsigned char *ret, unsigned major, uint64_t argument,
		   size_t width)
{
	static const unsigned char info[] = {
		[1] = 24, [2] = 25, [4] = 26, [8] = 27
	};

	ret[0] = (unsigned char)(major << 5 |
				 (width > 0 ? info[width] : argument));
	for (size_t i = 0; i < width; i++)
		ret[1 + i] = (unsigned char)(argument >> 8 * (width - 1 - i));
	return 1 + width;
}

/* Around each width's limits: only the fewest bytes are taken. */
START_TEST(test_integers_are_short)
{
	static const uint64_t at[] = {
		0, 24, 0x100, 0x10000, 0x100000000, (uint64_t)INT64_MAX
	};
	static const size_t widths[] = { 0, 1, 2, 4, 8 };

	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		for (int off = -2; off <= 2; off++) {
			uint64_t n = at[i] + (uint64_t)(int64_t)off;
			size_t least = n < 24		 ? 0
				       : n <= 0xff	 ? 1
				       : n <= 0xffff	 ? 2
				       : n <= 0xffffffff ? 4
							 : 8;

			for (size_t w = 0; w < ARRAY_SIZE(widths); w++) {
				unsigned char bytes[9];
				struct item item;

				if (widths[w] < least)
					continue;
				int wanted = widths[w] > least ? -EBADMSG
					     : n > INT64_MAX   ? -ERANGE
							       : 0;
				size_t size = head(bytes, 0, n, widths[w]);
				ck_assert_int_eq(take(bytes, size, &item),
						 wanted);
				if (wanted == 0)
					ck_assert_int_eq(item.integer,
							 (int64_t)n);
				head(bytes, 1, n, widths[w]);
				ck_assert_int_eq(take(bytes, size, &item),
						 wanted);
				if (wanted == 0)
					ck_assert_int_eq(item.integer,
							 -1 - (int64_t)n);
			}
		}
	}
}
END_TEST

/* The same for lengths, with as many bytes behind them as they say. */
START_TEST(test_lengths_are_short)
{
	static const size_t at[] = { 0, 23, 24, 255, 256, 65535, 65536 };
	static const size_t widths[] = { 0, 1, 2, 4, 8 };
	unsigned char *bytes = calloc(1, 9 + 2 * 65536);

	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		size_t least = at[i] < 24	? 0
			       : at[i] <= 255	? 1
			       : at[i] <= 65535 ? 2
						: 4;
		for (unsigned major = 2; major <= 5; major++) {
			size_t behind = major == 5 ? 2 * at[i] : at[i];

			for (size_t w = 0; w < ARRAY_SIZE(widths); w++) {
				if (widths[w] < least)
					continue;
				size_t size =
					head(bytes, major, at[i], widths[w]);
				struct reader r = { bytes, size + behind, 0 };
				struct item item;
				int error = item_take(&r, &item);

				ck_assert_int_eq(error, widths[w] == least
								? 0
								: -EBADMSG);
				if (error == 0)
					ck_assert_uint_eq(item.n, at[i]);
				/* one byte less than promised */
				r = (struct reader){ bytes, size + behind - 1,
						     0 };
				if (behind > 0)
					ck_assert_int_eq(item_take(&r, &item),
							 -EBADMSG);
				memset(bytes, 0, 9);
			}
		}
	}
	free(bytes);
}
END_TEST

/* What a first byte can begin: alone, with zeros, with ones behind it. */
START_TEST(test_each_first_byte)
{
	for (unsigned first = 0; first < 256; first++) {
		unsigned major = first >> 5, info = first & 31;
		unsigned char bytes[64] = { (unsigned char)first };
		struct item item;
		bool is_alone = (major < 2 && info < 24) ||
				(first >= 0xf4 && first <= 0xf6) ||
				first == 0x40 || first == 0x60 ||
				first == 0x80 || first == 0xa0;

		ck_assert_msg(take(bytes, 1, &item) ==
				      (is_alone ? 0 : -EBADMSG),
			      "%02x", first);
		/* reserved, indefinite, tags, other simple values: never */
		bool is_ours = (major < 6 && info < 28) ||
			       (first >= 0xf4 && first <= 0xf6) ||
			       (first >= 0xf9 && first <= 0xfb);
		if (is_ours)
			continue;
		for (int behind = 0; behind < 256; behind++) {
			struct reader r = { bytes, sizeof(bytes), 0 };

			memset(bytes + 1, behind, sizeof(bytes) - 1);
			if (item_take(&r, &item) != -EBADMSG)
				ck_abort_msg("%02x %02x", first, behind);
		}
	}
}
END_TEST

/* What a half is, by another way than the one under test. */
static double half_number(unsigned half)
{
	int exponent = (int)(half >> 10 & 31), mantissa = (int)(half & 0x3ff);
	double size = exponent == 0    ? ldexp(mantissa, -24)
		      : exponent == 31 ? INFINITY
				       : ldexp(mantissa + 1024, exponent - 25);

	return half & 0x8000 ? -size : size;
}

/* Each half is written as it was read; but for the many NaNs. */
START_TEST(test_all_halves)
{
	struct buf b = BUF_INIT(0);

	for (unsigned half = 0; half < 65536; half++) {
		const unsigned char bytes[] = { 0xf9,
						(unsigned char)(half >> 8),
						(unsigned char)half };
		struct reader r = { bytes, sizeof(bytes), 0 };
		struct item item;
		bool is_nan = (half & 0x7c00) == 0x7c00 && (half & 0x3ff) != 0;
		int error = item_take(&r, &item);

		if (error != (is_nan && half != 0x7e00 ? -EBADMSG : 0))
			ck_abort_msg("%04x", half);
		if (error < 0)
			continue;
		if (!is_nan && item.number != half_number(half))
			ck_abort_msg("%04x", half);
		buf_clear(&b);
		if (codec_put_double(&b, item.number) < 0 || b.len != 3 ||
		    memcmp(b.data, bytes, 3) != 0)
			ck_abort_msg("%04x", half);
	}
	buf_done(&b);
}
END_TEST

/* Singles and doubles of any bits: the fewest bytes, the same number again. */
START_TEST(test_any_float)
{
	struct rng rng = { 1 };
	struct buf b = BUF_INIT(0);

	for (int i = 0; i < 100000; i++) {
		uint64_t bits = rng_next(&rng);
		uint32_t half_of_it = (uint32_t)bits;
		float single;
		double number;
		struct item item;

		memcpy(&number, &bits, sizeof(number));
		memcpy(&single, &half_of_it, sizeof(single));
		if (i % 2 > 0)
			number = (double)single;
		buf_clear(&b);
		codec_put_double(&b, number);
		struct reader r = { (unsigned char *)b.data, b.len, 0 };
		int error = item_take(&r, &item);
		if (error < 0 || r.position != b.len ||
		    (isnan(number) ? !isnan(item.number) || b.len != 3
				   : item.number != number ||
					     signbit(item.number) !=
						     signbit(number)) ||
		    (i % 2 > 0 && b.len > 5))
			ck_abort_msg("%a", number);
	}
	buf_done(&b);
}
END_TEST

START_TEST(test_floats_at_limits)
{
	const struct {
		double number;
		size_t size;
	} cases[] = {
		{ 0.0, 2 },
		{ -0.0, 2 },
		{ 65504, 2 },
		{ 65505, 4 },
		{ 65520, 4 },
		{ 65536, 4 },
		{ 0x1p-14, 2 },
		{ 0x1.ff8p-15, 2 },
		{ 0x1.ffcp-15, 4 },
		{ 0x1p-24, 2 },
		{ 0x1p-25, 4 },
		{ 0x1.8p-24, 4 },
		{ 0x1.004p0, 2 },
		{ 0x1.002p0, 4 },
		{ (double)FLT_MAX, 4 },
		{ 0x1p128, 8 },
		{ 0x1.ffffffp127, 8 },
		{ (double)FLT_TRUE_MIN, 4 },
		{ (double)FLT_TRUE_MIN / 2, 8 },
		{ 0x1.000002p0, 4 },
		{ 0x1.000001p0, 8 },
		{ DBL_MAX, 8 },
		{ DBL_TRUE_MIN, 8 },
		{ INFINITY, 2 },
		{ -INFINITY, 2 },
		{ NAN, 2 },
		{ -NAN, 2 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		ck_assert_msg(item_float_size(cases[i].number) == cases[i].size,
			      "%a", cases[i].number);
}
END_TEST

/* Longer than needed; NaNs that carry something. */
START_TEST(test_floats_are_short)
{
	static const char *const bad[] = {
		"fa 3fc00000",	       /* 1.5 */
		"fb 3ff8000000000000", /* 1.5 */
		"fb 40f86a0000000000", /* 100000 fits a single */
		"fa 7f800000",	       /* infinities */
		"fb fff0000000000000",
		"fa 7fc00000",
		"fb 7ff8000000000000",
		"f9 7e01",
		"f9 fe00",
		"f9 7c01",
		"fb 7ff0000000000001",
		"fa 00000000",
		"fb 8000000000000000",
		"fa 33800000",	       /* 2^-24 */
		"fb 36a0000000000000", /* FLT_TRUE_MIN */
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert_msg(cbor_skip(bad[i]) == -EBADMSG, "%s", bad[i]);
}
END_TEST

START_TEST(test_utf8)
{
	ck_assert_int_eq(cbor_skip("62 c3a4"), 0);
	ck_assert_int_eq(cbor_skip("61 c3"), -EBADMSG);
	ck_assert_int_eq(cbor_skip("62 c3a4"), 0);
	ck_assert_int_eq(cbor_skip("63 eda080"), -EBADMSG);
	ck_assert_int_eq(cbor_skip("43 eda080"), 0); /* bytes may */
	ck_assert_int_eq(cbor_skip("61 00"), 0);
}
END_TEST

/* Promises of more than there is: of any size, none costs anything. */
START_TEST(test_length_bombs)
{
	static const char *const bombs[] = {
		"5b ffffffffffffffff 00",
		"7b ffffffffffffffff 00",
		"9b ffffffffffffffff 00",
		"bb ffffffffffffffff 00",
		"5b 8000000000000000 00",
		"9b 0000000100000000 00",
		"bb 7fffffffffffffff 00",
		"5a ffffffff 00",
		"9a ffffffff 00 00 00",
		"ba 80000000 00",
		"82 00",
		"a1 00",
		"a2 00 00 01",
		"9b fffffffffffffff7 00",
		"5b fffffffffffffff6 00",
		"5b fffffffffffffff7 00",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bombs); i++)
		ck_assert_msg(cbor_skip(bombs[i]) == -EBADMSG, "%s", bombs[i]);
}
END_TEST

UNIT_MAIN("item", test_integers_are_short, test_lengths_are_short,
	  test_each_first_byte, test_all_halves, test_any_float,
	  test_floats_at_limits, test_floats_are_short, test_utf8,
	  test_length_bombs)
