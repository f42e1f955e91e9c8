/* Neither clock can fail: both exist on every kernel that we run on. */
#include "workers/base/sys/clock.h"

#include <time.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"

static uint64_t now_usec(clockid_t id)
{
	struct timespec t;

	int r = clock_gettime(id, &t);
	reeve_assert(r == 0);
	return (uint64_t)t.tv_sec * USEC_PER_SEC + (uint64_t)t.tv_nsec / 1000;
}

uint64_t clock_monotonic_usec(void)
{
	return now_usec(CLOCK_MONOTONIC);
}

uint64_t clock_realtime_usec(void)
{
	return now_usec(CLOCK_REALTIME);
}
