/* How long to wait before the next start: doubling, cap, jitter.
 *
 * Every step is bounded before it is taken: a count of failures may be
 * anything up to UINT32_MAX and a maximum anything up to USEC_INFINITY, and
 * nothing overflows. Randomness comes from the caller.
 */
#include "supervisor/core/backoff.h"

#include "workers/base/pure/macro.h"

#define SHIFT_MAX 63U /* of a uint64_t */

uint64_t backoff_doubled_usec(uint64_t first_usec, uint64_t max_usec,
			      uint32_t doublings)
{
	uint32_t shift = MIN(doublings, SHIFT_MAX);

	/* first << shift would pass max, or the 64 bits. */
	if (first_usec > max_usec >> shift)
		return max_usec;
	return first_usec << shift;
}

uint64_t backoff_base_usec(const struct worker_settings *p, uint32_t failures)
{
	if (failures == 0 || p->restart_delay_usec == 0)
		return 0;
	return backoff_doubled_usec(p->restart_delay_usec,
				    p->restart_delay_max_usec, failures - 1);
}

uint64_t backoff_jitter_usec(uint64_t delay_usec, uint64_t max_usec,
			     uint32_t percent, struct rng *rng)
{
	uint64_t share = MIN(percent, 100U), spread, low, high;

	if (delay_usec == 0 || delay_usec > max_usec)
		return MIN(delay_usec, max_usec);
	/* delay * share / 100, without passing 64 bits on the way */
	spread = delay_usec / 100 * share + delay_usec % 100 * share / 100;
	if (spread == 0)
		return delay_usec;
	low = MAX(delay_usec - spread, UINT64_C(1));
	high = delay_usec + MIN(spread, max_usec - delay_usec);
	return low + rng_below(rng, high - low + 1);
}

uint64_t backoff_delay_usec(const struct worker_settings *p, uint32_t failures,
			    struct rng *rng)
{
	return backoff_jitter_usec(backoff_base_usec(p, failures),
				   p->restart_delay_max_usec,
				   p->restart_jitter_percent, rng);
}
