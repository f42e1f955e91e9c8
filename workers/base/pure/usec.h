/* Time as reeve counts it: microseconds of CLOCK_MONOTONIC in a uint64_t.
 *
 * Owns the constants and the saturating sum. Never reads a clock (that is
 * sys/clock.h), so that everything built on it runs under a fake one.
 * USEC_INFINITY is "never"; sums stick there instead of wrapping.
 */
#pragma once

#include <stdint.h>

#define USEC_INFINITY	UINT64_MAX
#define USEC_PER_MSEC	UINT64_C(1000)
#define USEC_PER_SEC	UINT64_C(1000000)
#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_HOUR	(60 * USEC_PER_MINUTE)
#define USEC_PER_DAY	(24 * USEC_PER_HOUR)

/* a + b, or USEC_INFINITY when that does not fit. */
static inline uint64_t usec_add(uint64_t a, uint64_t b)
{
	return a > USEC_INFINITY - b ? USEC_INFINITY : a + b;
}

/* a - b, or 0 when b is later than a. */
static inline uint64_t usec_sub(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}
