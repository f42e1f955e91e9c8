/* A bell is rung for those who may sleep.
 *
 * The bit must go when nobody is left, or each ring would cost a system call;
 * and it must not go while somebody sleeps. Nobody can be asked how many sleep:
 * a count would keep those who were killed. So: the number is raised, which
 * turns away all who are about to sleep on the old one. Who sleeps is woken; if
 * there is none, the bit is taken, unless the word has changed; and because
 * somebody may have gone to sleep on the very word in between, all are woken who
 * did. They set the bit anew before they sleep again. With the bit goes the number:
 * or else who listened before it was taken would find his word again when another
 * has set the bit anew, and sleep on what was put, and not rung for, in between.
 * (tests/models/bell.pml)
 */
#include "workers/shared/bell.h"

void bell_ring_loud(struct bell *bell, int n)
{
	uint32_t word = (atomic_fetch_add(&bell->word, BELL_STEP) + BELL_STEP) |
			BELL_HEARD;

	if (region_wake(&bell->word, n) > 0 && n == 1)
		return;
	if (atomic_compare_exchange_strong(&bell->word, &word,
					   (word & ~BELL_HEARD) + BELL_STEP))
		(void)region_wake(&bell->word, INT_MAX);
}
