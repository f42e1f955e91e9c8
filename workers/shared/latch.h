/* A lock for short changes in shared memory: one word that outlives its holders,
 * and in which nobody can do harm.
 *
 * Properties
 *   Who holds it is a thread; when that ends, the kernel says so in the word, and
 *   the next one to hold it is told (robust.h). A mutex (mutex.h) does the same,
 *   by a list of what a thread holds that runs through the mutexes: whoever can
 *   write to one of them makes its holder write anywhere. A latch is in no list,
 *   but stays pending as long as it is held. Hence at most one per thread, and
 *   for a moment.
 * Operation
 *   latch_lock() ... latch_unlock(). 1 instead of 0: a holder died, and what the
 *   latch guards may be half changed. Who is told so puts it right before it
 *   unlocks; if it dies before, the next is told the same.
 *   All zero is a latch that is free.
 * Safety
 *   Between the two nothing else that is robust may be locked or unlocked, and no
 *   process forked. Whatever is written over the word, the holder's memory is safe.
 */
#pragma once

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>

#include "workers/base/sys/clock.h"
#include "workers/shared/region.h"
#include "workers/shared/robust.h"

struct latch {
	_Atomic uint32_t word;
};

/* Waits until end_usec (CLOCK_MONOTONIC; 0: not at all, UINT64_MAX: without
 * end). Returns 0; 1, locked, and a holder died; -ETIMEDOUT (another holds it);
 * -EDEADLK (the thread does); -ENOTSUP (the thread has no head). */
static inline int latch_lock(struct latch *latch, uint64_t end_usec)
{
	const struct robust_self *self = robust_self();
	int r;

	if (!self)
		return -ENOTSUP;
	robust_pend(self, &latch->word);
	if (robust_take(self, &latch->word))
		return 0;
	r = robust_take_slowly(self, &latch->word, end_usec);
	if (r < 0)
		robust_pend(self, NULL);
	return r;
}

/* The same for a call whose own time is over at end_usec: that long, but at least
 * REGION_LOOK_USEC. It is held for a moment, unless its holder was stopped, or
 * what stands there is nonsense. */
static inline int latch_lock_in_time(struct latch *latch, uint64_t end_usec)
{
	int r = latch_lock(latch, 0);
	uint64_t least;

	if (r != -ETIMEDOUT)
		return r;
	least = clock_monotonic_usec() + REGION_LOOK_USEC;
	return latch_lock(latch, end_usec > least ? end_usec : least);
}

/* It is held. */
static inline void latch_unlock(struct latch *latch)
{
	robust_release(&latch->word);
	robust_pend(&robust_known, NULL);
}

/* Wakes one who sleeps for it: it looks again. For when a wake-up may have been
 * lost; needs nothing of the word. */
static inline void latch_nudge(struct latch *latch)
{
	robust_nudge(&latch->word);
}
