/* What the parent of processes that share objects does when one has ended, so
 * that the others need not find out.
 *
 * Properties
 *   Each object is right without it, or put right by whoever waits there and
 *   looks again, every REGION_LOOK_USEC. Here that is done at once, by somebody
 *   who knows: the ledgers, places and tallies of whom the parent has reaped are
 *   written off, the barrier that they took part in is broken, and all are woken
 *   whose wake-up may have died with them.
 *   Never waits: not for a guard that a living process holds (those who wait are
 *   woken then, and look for themselves), nor in a write. Trusts nothing that
 *   stands in the object: what is read is bounded, there are no pointers, and no
 *   lock of glibc's is taken.
 * Operation
 *   repair_open() from the object's fds, once; repair() after each death that was
 *   reaped. Killed in the middle of it, the parent is like anybody else.
 * Safety
 *   One thread. The mapping is not inherited.
 */
#pragma once

#include <stddef.h>

#include "workers/shared/latch.h"
#include "workers/shared/region.h"

/* An object, as its repairer has it. */
struct patient {
	const struct repair_way *way;
	void *memory; /* its beginning: what the way needs */
	int event_fd; /* of a queue, the caller's; else -1 */
};

/* How it is done for one kind of object; each is in that object's file. */
struct repair_way {
	size_t size; /* bytes of memory */
	void (*repair)(const struct patient *p);
};

extern const struct repair_way lock_repair, semaphore_repair, event_repair,
	condition_repair, barrier_repair, array_repair, queue_repair;

/* Maps the object behind fd, which may be closed afterwards. Returns 0; -EBADMSG
 * (nothing that could be repaired); -errno. */
int repair_open(int fd, int event_fd, struct patient *ret);

void repair(const struct patient *p);

void repair_done(struct patient *p);

/* For the ways: takes the guard of the object, or sees that it is held by one who
 * does not let go. Returns what latch_lock() does. */
int repair_enter(struct latch *guard);
