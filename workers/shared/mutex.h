/* A mutex between processes that outlives its holders: what a Lock is, and what
 * guards the elements of an Array. Several may be held for as long as a program
 * likes; what guards short changes is a latch (latch.h).
 *
 * Properties
 *   A robust word (robust.h), and links to the other locks that the thread holds,
 *   in the list through which the kernel finds them all. It is glibc's list, and
 *   the mutex looks to the kernel like one of glibc's: robust, process-shared and
 *   error-checking. By its functions it would take half as long again; and it
 *   would need to be told apart from one that is lost for good, which here is for
 *   the object to say.
 * Operation
 *   mutex_lock() says 1 when a holder died. Whoever is told so puts right what
 *   the mutex guards; if it dies before it unlocks, the next is told the same.
 *   All zero is a mutex that is free.
 * Safety
 *   Belongs to a thread, not to a process. Memory that holds a locked mutex must
 *   stay mapped in its holder. Not for memory that hostile processes can write:
 *   see the links.
 */
#pragma once

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "workers/base/pure/macro.h"
#include "workers/shared/robust.h"

/* Where glibc has its own, so that the same distance leads from link to word. */
struct mutex {
	_Atomic uint32_t word;
	uint32_t unused[5];
	uintptr_t prev; /* address of the link that leads here */
	uintptr_t next; /* address of the next one's link, or of the head */
};

_Static_assert(offsetof(struct mutex, next) ==
		       offsetof(pthread_mutex_t, __data.__list.__next),
	       "the link");
_Static_assert(offsetof(struct mutex, prev) ==
		       offsetof(pthread_mutex_t, __data.__list.__prev),
	       "the link back");

/* glibc marks in the lowest bit of an address what kind of mutex is there. */
static inline uintptr_t *mutex_link(uintptr_t address)
{
	return (uintptr_t *)(address & ~(uintptr_t)1);
}

/* The link back of whoever comes next; the head has none. */
static inline void mutex_link_back(const struct robust_self *self,
				   uintptr_t next, uintptr_t prev)
{
	if (mutex_link(next) != (uintptr_t *)(void *)self->head)
		mutex_link(next)[-1] = prev;
}

static inline void mutex_enter(const struct robust_self *self, struct mutex *m)
{
	uintptr_t *head = (uintptr_t *)(void *)self->head;

	m->next = *head;
	m->prev = (uintptr_t)head;
	mutex_link_back(self, m->next, (uintptr_t)&m->next);
	robust_order();
	*head = (uintptr_t)&m->next;
}

static inline void mutex_leave(const struct robust_self *self, struct mutex *m)
{
	mutex_link_back(self, m->next, m->prev);
	*mutex_link(m->prev) = m->next;
}

/* Waits until end_usec (CLOCK_MONOTONIC; 0: not at all, UINT64_MAX: without
 * end). Returns 0; 1, locked, and a holder died; -ETIMEDOUT; -EDEADLK (the
 * calling thread has it); -ENOTSUP (the thread has no head). */
int mutex_lock_slowly(const struct robust_self *self, struct mutex *m,
		      uint64_t end_usec);
static inline int mutex_lock(struct mutex *m, uint64_t end_usec)
{
	const struct robust_self *self = robust_self();

	if (!self)
		return -ENOTSUP;
	robust_pend(self, &m->word);
	if (!robust_take(self, &m->word))
		return mutex_lock_slowly(self, m, end_usec);
	mutex_enter(self, m);
	robust_pend(self, NULL);
	return 0;
}

/* Whether the calling thread has it. */
static inline bool mutex_is_held(const struct mutex *m)
{
	const struct robust_self *self = robust_self();

	return self && (atomic_load_explicit(&m->word, memory_order_relaxed) &
			FUTEX_TID_MASK) == self->tid;
}

/* Whether it has it by this mapping of the memory, whose end it must not outlive. */
static inline bool mutex_is_held_here(const struct mutex *m)
{
	return mutex_is_held(m) && *mutex_link(m->prev) == (uintptr_t)&m->next;
}

/* Returns 0, or -EPERM (the calling thread has not got it). */
static inline int mutex_unlock(struct mutex *m)
{
	if (!mutex_is_held(m))
		return -EPERM;
	robust_pend(&robust_known, &m->word);
	mutex_leave(&robust_known, m);
	robust_order();
	robust_release(&m->word);
	robust_pend(&robust_known, NULL);
	return 0;
}

/* Wakes one who sleeps for it: it looks again. For when a wake-up may have been
 * lost; looks at nothing. */
static inline void mutex_nudge(struct mutex *m)
{
	robust_nudge(&m->word);
}
