/* A lock for short changes in shared memory: one word that outlives its holders,
 * and in which nobody can do harm.
 *
 * Properties
 *   Who holds it is a thread; when that ends, the kernel says so in the word, and
 *   the next one to hold it is told. glibc's robust mutex does the same, by a
 *   list of what a thread holds that runs through the mutexes: whoever can write
 *   to one of them makes its holder write anywhere. A latch is in no list. It
 *   is what the kernel calls pending: each thread has a place for the one lock
 *   that it is about to take or has just released, and a latch stays there as
 *   long as it is held. Hence at most one per thread, and for a moment.
 *   Whatever is written over the word, the holder's memory is safe: at worst
 *   two hold it, or nobody can.
 *   Waits look again after REGION_LOOK_USEC, as a wake-up may be lost with a
 *   process that is killed while another passes it by. Who is killed while it
 *   passes it on itself: the kernel does it.
 * Operation
 *   latch_lock() ... latch_unlock(). 1 instead of 0: a holder died, and what the
 *   latch guards may be half changed. Who is told so puts it right before it
 *   unlocks; if it dies before, the next is told the same.
 *   All zero is a latch that is free.
 * Safety
 *   Between the two nothing else that is robust may be locked or unlocked, no
 *   process forked, and no latch but this one locked. Within one PID namespace.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

struct latch {
	_Atomic uint32_t
		word; /* as futex(2) has it: the holder, and two flags */
};

/* Waits until end_usec (CLOCK_MONOTONIC; 0: not at all, UINT64_MAX: without
 * end). Returns 0; 1, locked, and a holder died; -ETIMEDOUT (another holds it);
 * -ENOTSUP (no thread of this process has such a place). */
int latch_lock(struct latch *latch, uint64_t end_usec);

void latch_unlock(struct latch *latch);

/* Wakes one who sleeps for it: it looks again. For when a wake-up may have been
 * lost; needs nothing of the word. */
void latch_nudge(struct latch *latch);
