/* A seeded random number generator (splitmix64) for jitter and simulations:
 * the same seed gives the same run. Not for secrets: those come from
 * getrandom(2). Pure. */
#pragma once

#include <stdint.h>

struct rng {
	uint64_t state;
};

uint64_t rng_next(struct rng *r);

/* Even in 0 .. bound - 1; 0 when bound is 0. */
uint64_t rng_below(struct rng *r, uint64_t bound);
