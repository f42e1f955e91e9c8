/* Waking who sleeps, and nobody else: a futex word for "something has changed".
 *
 * Properties
 *   The word is a number that grows with each ring; its lowest bit says
 *   that somebody may sleep. Ringing a bell that nobody listens to is one load.
 *   A listener that is killed leaves the bit behind: the next ring finds nobody
 *   and takes it away. A ringer that is killed half-way leaves sleepers behind:
 *   they look again after REGION_LOOK_USEC.
 * Operation
 *   Who waits:  look; if it must wait: word = bell_listen(); look again; if it
 *               still must: region_wait(&bell->word, word, end).
 *   Who rings:  change what is waited for (sequentially consistent), bell_ring().
 * Safety
 *   Any threads of any processes. Garbage in the word costs needless system
 *   calls, or a sleep of REGION_LOOK_USEC.
 */
#pragma once

#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>

#include "workers/shared/region.h"

#define BELL_HEARD 1U
#define BELL_STEP  2U

struct bell {
	_Atomic uint32_t word;
};

/* Announces a sleeper. Returns what region_wait() is to compare with. */
static inline uint32_t bell_listen(struct bell *bell)
{
	return atomic_fetch_or(&bell->word, BELL_HEARD) | BELL_HEARD;
}

/* Wakes n sleepers (INT_MAX: all), if any. */
void bell_ring_loud(struct bell *bell, int n);

static inline void bell_ring(struct bell *bell, int n)
{
	if (atomic_load(&bell->word) & BELL_HEARD)
		bell_ring_loud(bell, n);
}
