#include "workers/base/pure/rng.h"

#include "tests/lib/unit.h"

START_TEST(test_known_values)
{
	/* Of the reference implementation (Vigna), seeds 0 and 1234567. */
	struct rng zero = { 0 }, other = { 1234567 };

	ck_assert_uint_eq(rng_next(&zero), UINT64_C(0xe220a8397b1dcdaf));
	ck_assert_uint_eq(rng_next(&zero), UINT64_C(0x6e789e6aa1b965f4));
	ck_assert_uint_eq(rng_next(&zero), UINT64_C(0x06c45d188009454f));
	ck_assert_uint_eq(rng_next(&other), UINT64_C(6457827717110365317));
	ck_assert_uint_eq(rng_next(&other), UINT64_C(3203168211198807973));
}
END_TEST

START_TEST(test_same_seed_same_run)
{
	struct rng a = { 42 }, b = { 42 }, c = { 43 };
	unsigned n_same = 0;

	for (unsigned i = 0; i < 1000; i++) {
		uint64_t x = rng_below(&a, 1000);
		ck_assert_uint_eq(x, rng_below(&b, 1000));
		n_same += x == rng_below(&c, 1000);
	}
	ck_assert_uint_lt(n_same, 20);
}
END_TEST

START_TEST(test_bounds)
{
	static const uint64_t bounds[] = { 1,
					   2,
					   3,
					   1000,
					   UINT64_C(1) << 63,
					   (UINT64_C(1) << 63) + 1,
					   UINT64_MAX };
	struct rng r = { 1 };

	ck_assert_uint_eq(rng_below(&r, 0), 0);
	ck_assert_uint_eq(r.state, 1); /* nothing was drawn */
	for (unsigned i = 0; i < ARRAY_SIZE(bounds); i++)
		for (unsigned k = 0; k < 1000; k++)
			ck_assert_uint_lt(rng_below(&r, bounds[i]), bounds[i]);
}
END_TEST

START_TEST(test_even)
{
	struct rng r = { 7 };
	unsigned counts[10] = { 0 };

	for (unsigned i = 0; i < 100000; i++)
		counts[rng_below(&r, 10)]++;
	/* 10,000 each; five standard deviations are 474 */
	for (unsigned i = 0; i < 10; i++) {
		ck_assert_uint_gt(counts[i], 9526);
		ck_assert_uint_lt(counts[i], 10474);
	}
}
END_TEST

/* With a bound of 3/4 of the range a mere modulo would give the lower third
 * of the results twice as often: one half of all instead of one third. */
START_TEST(test_even_with_a_large_bound)
{
	const uint64_t quarter = UINT64_C(1) << 62;
	struct rng r = { 9 };
	unsigned n_low = 0;

	for (unsigned i = 0; i < 10000; i++)
		n_low += rng_below(&r, 3 * quarter) < quarter;
	ck_assert_uint_gt(n_low, 3100);
	ck_assert_uint_lt(n_low, 3570);
}
END_TEST

UNIT_MAIN("rng", test_known_values, test_same_seed_same_run, test_bounds,
	  test_even, test_even_with_a_large_bound)
