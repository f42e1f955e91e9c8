/* The word of a lock that outlives its holders, as the kernel knows it
 * (get_robust_list(2)): what a latch and a mutex have in common.
 *
 * Properties
 *   The word is 0, or the number of the thread that holds it, with two flags:
 *   others may sleep; the holder died. Each thread has a head, registered with
 *   the kernel by the C library, with a list of the locks it holds and a place
 *   for one that it is about to take or has just released ("pending"). When the
 *   thread ends, or its process is killed or executes, the kernel goes through
 *   both: a word that names the thread is marked, and one sleeper woken; the
 *   pending one is also woken when it is 0, as that may not have been done.
 * Operation
 *   robust_self(), robust_pend(), robust_take() or robust_take_slowly(), then
 *   robust_pend(.., NULL) if it failed. For release: robust_pend(),
 *   robust_release(), robust_pend(.., NULL).
 * Safety
 *   While something is pending nothing else that is robust may be locked or
 *   unlocked, and no process forked. Words hold no pointers: whatever is written
 *   there, at worst two hold it, or nobody can. Within one PID namespace.
 */
#pragma once

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From a lock's link, by which the kernel knows it, to its word: whoever registered
 * the head said how far. Of another C library than this one we have none. */
#define ROBUST_OFFSET                                                          \
	((long)offsetof(pthread_mutex_t, __data.__lock) -                      \
	 (long)offsetof(pthread_mutex_t, __data.__list.__next))

/* The calling thread. A child that was forked has its parent's copy of this, and
 * the wrong number: it is known by the era. */
struct robust_self {
	struct robust_list_head *head;
	uint64_t era;
	uint32_t tid;
};

extern _Thread_local struct robust_self robust_known
	__attribute__((tls_model("initial-exec")));

/* Of this process: a number that is gone in a child, however that was forked.
 * NULL: not made yet, or there is no memory for it. */
extern _Atomic(_Atomic uint64_t *) robust_era;

/* The same, asked for; NULL when the thread has no head that we know. */
const struct robust_self *robust_find_self(void);

static inline const struct robust_self *robust_self(void)
{
	const _Atomic uint64_t *era =
		atomic_load_explicit(&robust_era, memory_order_acquire);

	if (era && robust_known.head &&
	    atomic_load_explicit(era, memory_order_relaxed) == robust_known.era)
		return &robust_known;
	return robust_find_self();
}

/* The kernel reads what a thread has left when it has ended: all that matters is
 * the order in the thread itself. */
static inline void robust_order(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

/* word: NULL, nothing any more. */
static inline void robust_pend(const struct robust_self *self,
			       const _Atomic uint32_t *word)
{
	uintptr_t entry = 0;

	if (word)
		entry = (uintptr_t)word - (uintptr_t)ROBUST_OFFSET;
	robust_order();
	__atomic_store_n(&self->head->list_op_pending,
			 (struct robust_list *)entry, __ATOMIC_RELAXED);
	robust_order();
}

/* Whether it was free, and is the thread's now. */
static inline bool robust_take(const struct robust_self *self,
			       _Atomic uint32_t *word)
{
	uint32_t none = 0;

	return atomic_compare_exchange_strong(word, &none, self->tid);
}

/* The same with waiting, until end_usec (CLOCK_MONOTONIC; 0: not at all,
 * UINT64_MAX: without end). Looks again after REGION_LOOK_USEC, since a wake-up may
 * be lost with a process that is killed while another passes it by. Returns 0; 1,
 * taken, and the holder died; -ETIMEDOUT; -EDEADLK (it is the thread's already). */
int robust_take_slowly(const struct robust_self *self, _Atomic uint32_t *word,
		       uint64_t end_usec);

/* Wakes one who sleeps for it: it looks again. */
void robust_nudge(_Atomic uint32_t *word);

static inline void robust_release(_Atomic uint32_t *word)
{
	if (atomic_exchange(word, 0) & FUTEX_WAITERS)
		robust_nudge(word);
}
