#include "workers/base/sys/clock.h"

#include <time.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/usec.h"

START_TEST(test_monotonic_never_goes_back)
{
	uint64_t last = clock_monotonic_usec();

	for (int i = 0; i < 100000; i++) {
		uint64_t now = clock_monotonic_usec();
		if (now < last)
			ck_abort();
		last = now;
	}
}
END_TEST

START_TEST(test_unit_is_microseconds)
{
	struct timespec before, after;

	(void)clock_gettime(CLOCK_MONOTONIC, &before);
	uint64_t now = clock_monotonic_usec();
	(void)clock_gettime(CLOCK_MONOTONIC, &after);
	ck_assert_uint_ge(now, (uint64_t)before.tv_sec * 1000000 +
				       (uint64_t)before.tv_nsec / 1000);
	ck_assert_uint_le(now, (uint64_t)after.tv_sec * 1000000 +
				       (uint64_t)after.tv_nsec / 1000);
}
END_TEST

START_TEST(test_realtime_is_the_wall_clock)
{
	time_t before = time(NULL);
	uint64_t now = clock_realtime_usec();

	/* time(2) is of the last tick, and may lag. */
	ck_assert_uint_ge(now, (uint64_t)before * USEC_PER_SEC);
	ck_assert_uint_lt(now, ((uint64_t)time(NULL) + 2) * USEC_PER_SEC);
}
END_TEST

START_TEST(test_sums_saturate)
{
	ck_assert_uint_eq(usec_add(1, 2), 3);
	ck_assert_uint_eq(usec_add(USEC_INFINITY, 0), USEC_INFINITY);
	ck_assert_uint_eq(usec_add(USEC_INFINITY, 1), USEC_INFINITY);
	ck_assert_uint_eq(usec_add(1, USEC_INFINITY), USEC_INFINITY);
	ck_assert_uint_eq(usec_add(USEC_INFINITY - 1, 1), USEC_INFINITY);
	ck_assert_uint_eq(usec_sub(3, 2), 1);
	ck_assert_uint_eq(usec_sub(2, 2), 0);
	ck_assert_uint_eq(usec_sub(2, 3), 0);
	ck_assert_uint_eq(usec_sub(0, USEC_INFINITY), 0);
}
END_TEST

UNIT_MAIN("clock", test_monotonic_never_goes_back, test_unit_is_microseconds,
	  test_realtime_is_the_wall_clock, test_sums_saturate)
