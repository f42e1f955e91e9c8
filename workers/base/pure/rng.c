/* splitmix64: one addition and two multiplications, a period of 2^64, and
 * every seed is a good one. */
#include "workers/base/pure/rng.h"

uint64_t rng_next(struct rng *r)
{
	uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t rng_below(struct rng *r, uint64_t bound)
{
	if (bound == 0)
		return 0;

	/* 2^64 mod bound values at the bottom are left out, so that what is
	 * left divides evenly. */
	uint64_t low = (0 - bound) % bound;
	uint64_t x;

	do
		x = rng_next(r);
	while (x < low);
	return x % bound;
}
