/* Robust words: who the thread is, and waiting.
 *
 * Who slept takes the word with the flag that says that others may sleep: it does
 * not know better, and costs one wake-up in vain at most.
 */
#include "workers/shared/robust.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/spin.h"
#include "workers/shared/region.h"

/* Most are held for less than it takes to fall asleep. */
#define LOOKS 100

_Thread_local struct robust_self robust_known
	__attribute__((tls_model("initial-exec")));

_Atomic(_Atomic uint64_t *) robust_era;

/* ---- the calling thread ----------------------------------------------------------- */

static _Atomic uint64_t *make_era(void)
{
	_Atomic uint64_t *p, *none = NULL;

	p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (madvise(p, sizeof(*p), MADV_WIPEONFORK) == 0 &&
	    atomic_compare_exchange_strong(&robust_era, &none, p))
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

const struct robust_self *robust_find_self(void)
{
	struct robust_self *self = &robust_known;
	_Atomic uint64_t *era = atomic_load(&robust_era);
	uint64_t none = 0;
	size_t size;

	if (!era)
		era = make_era();
	if (era)
		(void)atomic_compare_exchange_strong(era, &none, new_era());
	self->era = era ? atomic_load(era) : 0;
	self->tid = (uint32_t)syscall(SYS_gettid);
	if (syscall(SYS_get_robust_list, 0, &self->head, &size) < 0 ||
	    !self->head || self->head->futex_offset != ROBUST_OFFSET) {
		self->head = NULL;
		return NULL;
	}
	return self;
}

/* ---- the word ----------------------------------------------------------------------- */

static bool exchange(_Atomic uint32_t *word, uint32_t from, uint32_t to)
{
	return atomic_compare_exchange_strong(word, &from, to);
}

static void sleep_on(_Atomic uint32_t *word, uint32_t value, uint64_t end_usec,
		     uint64_t now)
{
	uint64_t usec = MIN(REGION_LOOK_USEC, end_usec - now);
	struct timespec ts = { .tv_nsec = (long)usec * 1000 };

	(void)syscall(SYS_futex, word, FUTEX_WAIT, value, &ts, NULL, 0);
}

/* One look. Returns 0, 1, -EDEADLK, or -EAGAIN: another's. sleepers: the flag. */
static int look(const struct robust_self *self, _Atomic uint32_t *word,
		uint32_t value, uint32_t sleepers)
{
	uint32_t mine = self->tid | sleepers | (value & FUTEX_WAITERS);

	if (value == 0)
		return exchange(word, 0, mine) ? 0 : -EAGAIN;
	if (value & FUTEX_OWNER_DIED)
		return exchange(word, value, mine) ? 1 : -EAGAIN;
	return (value & FUTEX_TID_MASK) == self->tid ? -EDEADLK : -EAGAIN;
}

static void look_for_a_while(const _Atomic uint32_t *word)
{
	for (int i = 0; i < LOOKS; i++) {
		if (atomic_load_explicit(word, memory_order_relaxed) == 0)
			return;
		SPIN_PAUSE();
	}
}

int robust_take_slowly(const struct robust_self *self, _Atomic uint32_t *word,
		       uint64_t end_usec)
{
	uint32_t sleepers = 0, value = 0;
	bool has_looked = false, is_late;
	uint64_t now;
	int r;

	for (;;) {
		value = atomic_load(word);
		r = look(self, word, value, sleepers);
		if (r != -EAGAIN)
			return r;
		if (value == 0 || value & FUTEX_OWNER_DIED)
			continue; /* somebody was faster */
		now = end_usec ? clock_monotonic_usec() : 0;
		is_late = now >= end_usec;
		if (!is_late && !has_looked) {
			has_looked = true;
			look_for_a_while(word);
			continue;
		}
		/* also before it gives up: it may have been woken, for all */
		if (!(value & FUTEX_WAITERS) && (!is_late || sleepers) &&
		    !exchange(word, value, value | FUTEX_WAITERS))
			continue;
		if (is_late)
			return -ETIMEDOUT;
		sleep_on(word, value | FUTEX_WAITERS, end_usec, now);
		sleepers = FUTEX_WAITERS;
	}
}

void robust_nudge(_Atomic uint32_t *word)
{
	(void)region_wake(word, 1);
}
