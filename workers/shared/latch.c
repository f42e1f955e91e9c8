/* The latch: the kernel's robust futex protocol, without the list.
 *
 * The place for what is pending belongs to glibc's head of the list, which each
 * thread registers, and of which get_robust_list(2) tells. glibc uses it inside
 * its own locks and unlocks only, and leaves it empty.
 *
 * Killed while the place is set, the kernel looks at the word: if it names the
 * thread, it is marked and one sleeper is woken; if it is 0, one sleeper is woken,
 * since the wake-up may not have been made; otherwise it is another's.
 *
 * Who slept takes the word with the flag that says that others may sleep: it does
 * not know better, and costs one wake-up in vain at most.
 */
#include "workers/shared/latch.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/clock.h"
#include "workers/shared/region.h"

/* ---- the calling thread ------------------------------------------------------------ */

/* Asked for once. A child that was forked has its parent's copy of it, and the
 * wrong number of the thread: it is known by the era. */
struct holder {
	struct robust_list_head *head;
	uint64_t era;
	uint32_t tid;
};

static _Thread_local struct holder holder
	__attribute__((tls_model("initial-exec")));

/* Of this process: a number that is gone in a child, however that was forked.
 * NULL: there is no memory for it, and nothing is remembered. */
static _Atomic(_Atomic uint64_t *) era_place;

static _Atomic uint64_t *make_era(void)
{
	_Atomic uint64_t *p, *none = NULL;

	p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (madvise(p, sizeof(*p), MADV_WIPEONFORK) == 0 &&
	    atomic_compare_exchange_strong(&era_place, &none, p))
		return p;
	(void)munmap(p, sizeof(*p));
	return none; /* another thread's, or NULL */
}

static uint64_t new_era(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec +
	       1;
}

static void find_holder(void)
{
	_Atomic uint64_t *place = atomic_load(&era_place);
	uint64_t none = 0;
	size_t size;

	if (!place)
		place = make_era();
	if (place)
		(void)atomic_compare_exchange_strong(place, &none, new_era());
	holder.era = place ? atomic_load(place) : 0;
	holder.tid = (uint32_t)syscall(SYS_gettid);
	if (syscall(SYS_get_robust_list, 0, &holder.head, &size) < 0)
		holder.head = NULL;
}

static inline bool is_holder_known(void)
{
	const _Atomic uint64_t *place =
		atomic_load_explicit(&era_place, memory_order_acquire);

	return place && holder.head &&
	       atomic_load_explicit(place, memory_order_relaxed) == holder.era;
}

/* The kernel reads the place when the thread has ended: all that matters is the
 * order in the thread itself. */
static inline void set_pending(const struct latch *latch)
{
	uintptr_t entry = 0;

	if (latch)
		entry = (uintptr_t)&latch->word -
			(uintptr_t)holder.head->futex_offset;
	atomic_signal_fence(memory_order_seq_cst);
	__atomic_store_n(&holder.head->list_op_pending,
			 (struct robust_list *)entry, __ATOMIC_RELAXED);
	atomic_signal_fence(memory_order_seq_cst);
}

/* ---- the word ------------------------------------------------------------------------ */

static bool exchange(struct latch *latch, uint32_t from, uint32_t to)
{
	return atomic_compare_exchange_strong(&latch->word, &from, to);
}

static void sleep_on(struct latch *latch, uint32_t value, uint64_t end_usec,
		     uint64_t now)
{
	uint64_t usec = MIN(REGION_LOOK_USEC, end_usec - now);
	struct timespec ts = { .tv_nsec = (long)usec * 1000 };

	(void)syscall(SYS_futex, &latch->word, FUTEX_WAIT, value, &ts, NULL, 0);
}

/* One look at it. Returns 0, 1, or -EAGAIN: another's. sleepers: the flag. */
static int take(struct latch *latch, uint32_t value, uint32_t sleepers)
{
	if (value == 0)
		return exchange(latch, 0, holder.tid | sleepers) ? 0 : -EAGAIN;
	if (!(value & FUTEX_OWNER_DIED))
		return -EAGAIN;
	sleepers |= value & FUTEX_WAITERS;
	return exchange(latch, value, holder.tid | sleepers) ? 1 : -EAGAIN;
}

static int lock_slowly(struct latch *latch, uint64_t end_usec)
{
	uint32_t sleepers = 0, value = 0;
	bool is_late;
	uint64_t now;
	int r;

	for (;;) {
		value = atomic_load(&latch->word);
		r = take(latch, value, sleepers);
		if (r >= 0)
			return r;
		if (value == 0 || value & FUTEX_OWNER_DIED)
			continue; /* somebody was faster */
		now = end_usec ? clock_monotonic_usec() : 0;
		is_late = now >= end_usec;
		/* also before it gives up: it may have been woken, for all */
		if (!(value & FUTEX_WAITERS) && (!is_late || sleepers) &&
		    !exchange(latch, value, value | FUTEX_WAITERS))
			continue;
		if (is_late)
			return -ETIMEDOUT;
		sleep_on(latch, value | FUTEX_WAITERS, end_usec, now);
		sleepers = FUTEX_WAITERS;
	}
}

int latch_lock(struct latch *latch, uint64_t end_usec)
{
	int r;

	if (!is_holder_known())
		find_holder();
	if (!holder.head)
		return -ENOTSUP;
	set_pending(latch);
	if (exchange(latch, 0, holder.tid))
		return 0;
	r = lock_slowly(latch, end_usec);
	if (r < 0)
		set_pending(NULL);
	return r;
}

void latch_unlock(struct latch *latch)
{
	if (atomic_exchange(&latch->word, 0) & FUTEX_WAITERS)
		latch_nudge(latch);
	set_pending(NULL);
}

void latch_nudge(struct latch *latch)
{
	(void)region_wake(&latch->word, 1);
}
