/* Lock and RLock from within: what a Condition does with the lock it belongs to. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <reeve/sync.h>

#include "workers/shared/mutex.h"
#include "workers/shared/region.h"

/* What the data behind a lock is. Under the mutex; each change is one store. */
enum lock_state {
	LOCK_SOUND,
	LOCK_SUSPECT, /* a holder died, and nobody has repaired */
	LOCK_LOST,    /* nobody did: for good */
};

struct lock_memory {
	struct region_head head;
	struct mutex mutex;
	/* Under the mutex. Low half: enum lock_state. High half: how many times
	 * it is held besides the first. So 0 is what it nearly always is, which
	 * one look tells. */
	_Atomic uint64_t odds;
	uint32_t is_recursive;
};

#define LOCK_AGAIN (UINT64_C(1) << 32)

#define LOCK_WAKES 8

struct reeve_lock {
	struct region region;
	struct lock_memory *memory;
	/* Under the lock, and this process's only: */
	unsigned n_wakes; /* whom to wake when it is released */
	_Atomic uint32_t *wakes[LOCK_WAKES];
};

/* Whether the calling thread holds it. */
bool lock_is_held(const reeve_lock *lock);

/* Of one that is held: nobody died holding it, or that was repaired. */
bool lock_is_sound(const reeve_lock *lock);

/* Releases it whole; it is held. Returns how many times it was, for
 * lock_take_back(). */
int lock_give_up(reeve_lock *lock);

/* Takes it again, depth times, waiting as long as it takes. Returns what
 * reeve_lock_acquire() does. */
int lock_take_back(reeve_lock *lock, uint32_t depth);

/* Wakes who sleeps on word once the lock, which is held, has been released:
 * before that it would run into the lock. */
void lock_wake_later(reeve_lock *lock, _Atomic uint32_t *word);

/* Which lock it is, among all: its memory's inode. */
ino_t lock_identity(const reeve_lock *lock);
