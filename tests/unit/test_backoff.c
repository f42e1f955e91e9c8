/* backoff.c: the exact series, its cap, its jitter, and its limits. */
#include "supervisor/core/backoff.h"

#include <stdbool.h>

#include "tests/lib/unit.h"
#include "tests/unit/core_settings.h"

START_TEST(test_series)
{
	static const uint64_t seconds[] = { 0, 1, 2, 4, 8, 16, 32, 60, 60, 60 };
	struct worker_settings p = core_settings();
	struct rng rng = { 1 };

	for (uint32_t i = 0; i < ARRAY_SIZE(seconds); i++) {
		ck_assert_uint_eq(backoff_base_usec(&p, i),
				  seconds[i] * USEC_PER_SEC);
		ck_assert_uint_eq(backoff_delay_usec(&p, i, &rng),
				  seconds[i] * USEC_PER_SEC);
	}
}
END_TEST

START_TEST(test_huge_counts)
{
	static const uint32_t failures[] = { 63,	64,	 65,
					     1000,	1 << 30, INT32_MAX,
					     UINT32_MAX };
	struct worker_settings p = core_settings();
	struct rng rng = { 1 };

	p.restart_jitter_percent = 50;
	for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
		uint64_t delay = backoff_delay_usec(&p, failures[i], &rng);

		ck_assert_uint_eq(backoff_base_usec(&p, failures[i]),
				  60 * USEC_PER_SEC);
		ck_assert_uint_ge(delay, 30 * USEC_PER_SEC);
		ck_assert_uint_le(delay, 60 * USEC_PER_SEC);
	}
}
END_TEST

START_TEST(test_doubled)
{
	static const struct {
		uint64_t first, max;
		uint32_t doublings;
		uint64_t expected;
	} rows[] = {
		{ 0, 100, 5, 0 },
		{ 1, 100, 0, 1 },
		{ 1, 100, 6, 64 },
		{ 1, 100, 7, 100 },
		{ 1, 128, 7, 128 }, /* exactly the maximum */
		{ 1, 127, 7, 127 },
		{ 200, 100, 0, 100 }, /* a first over the maximum */
		{ 5, 0, 3, 0 },
		{ 1, USEC_INFINITY, 63, UINT64_C(1) << 63 },
		{ 1, USEC_INFINITY, 64, UINT64_C(1) << 63 },
		{ 2, USEC_INFINITY, 63, USEC_INFINITY },
		{ 3, USEC_INFINITY, 63, USEC_INFINITY },
		{ USEC_INFINITY, USEC_INFINITY, 0, USEC_INFINITY },
		{ USEC_INFINITY, USEC_INFINITY, 1, USEC_INFINITY },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		ck_assert_uint_eq(backoff_doubled_usec(rows[i].first,
						       rows[i].max,
						       rows[i].doublings),
				  rows[i].expected);
}
END_TEST

START_TEST(test_no_delay)
{
	struct worker_settings p = core_settings();
	struct rng rng = { 1 };

	p.restart_delay_usec = 0;
	p.restart_jitter_percent = 100;
	for (uint32_t i = 0; i < 70; i++)
		ck_assert_uint_eq(backoff_delay_usec(&p, i, &rng), 0);
}
END_TEST

/* Every value of a range is met, its ends included, and nothing else. */
static void check_range(uint64_t delay, uint64_t max, uint32_t percent,
			uint64_t low, uint64_t high)
{
	struct rng rng = { 7 };
	bool seen_low = false, seen_high = false;

	for (int i = 0; i < 5000; i++) {
		uint64_t v = backoff_jitter_usec(delay, max, percent, &rng);

		ck_assert_uint_ge(v, low);
		ck_assert_uint_le(v, high);
		seen_low = seen_low || v == low;
		seen_high = seen_high || v == high;
	}
	ck_assert_msg(seen_low && seen_high,
		      "the ends of %u%% of %lu were never met", percent,
		      (unsigned long)delay);
}

START_TEST(test_jitter)
{
	check_range(100, 1000, 0, 100, 100);
	check_range(100, 1000, 10, 90, 110);
	check_range(100, 1000, 100, 1, 200); /* never 0 */
	check_range(100, 1000, 4000, 1, 200);
	check_range(100, 105, 10, 90, 105); /* never past the maximum */
	check_range(100, 100, 10, 90, 100);
	check_range(250, 100, 10, 100, 100);
	check_range(0, 100, 10, 0, 0);
	check_range(3, 100, 10, 3, 3); /* less than one to spread */
	check_range(199, 1000, 50, 100, 298);
}
END_TEST

START_TEST(test_jitter_of_huge_delays)
{
	struct rng rng = { 3 };

	for (int i = 0; i < 1000; i++) {
		uint64_t v = backoff_jitter_usec(USEC_INFINITY, USEC_INFINITY,
						 100, &rng);

		ck_assert_uint_ge(v, 1);
		v = backoff_jitter_usec(UINT64_MAX - 1, USEC_INFINITY, 10,
					&rng);
		ck_assert_uint_ge(v, UINT64_MAX / 10 * 8);
	}
}
END_TEST

START_TEST(test_same_seed_same_delays)
{
	struct worker_settings p = core_settings();
	struct rng a = { 42 }, b = { 42 };
	bool differ = false;

	p.restart_jitter_percent = 20;
	for (uint32_t i = 1; i < 50; i++) {
		uint64_t delay = backoff_delay_usec(&p, i, &a);

		ck_assert_uint_eq(delay, backoff_delay_usec(&p, i, &b));
		differ = differ || delay != backoff_base_usec(&p, i);
	}
	ck_assert(differ);
}
END_TEST

UNIT_MAIN("backoff", test_series, test_huge_counts, test_doubled, test_no_delay,
	  test_jitter, test_jitter_of_huge_delays, test_same_seed_same_delays)
