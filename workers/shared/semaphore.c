/* Semaphore: units, whose they are, and a word to sleep on.
 *
 * Under the guard. An OWNED semaphore's truth is the ledger: how many units each
 * process has. How many are free is kept beside it, and counted anew when a
 * holder of the guard died. A COUNTING one's truth is the number of free units:
 * each change is one store.
 *
 * The word's bit 0 says that somebody may be asleep; it changes whenever somebody
 * is woken. A release wakes one and clears the bit. Who was woken sets it again,
 * as there may be others, and wakes the next one when a unit is left: two
 * releases, of which only the first saw the bit, so wake two.
 *
 * Death: of a holder, its units come back when somebody who waits, or asks
 * without waiting, looks for the dead. Of one who was woken, its wake-up is lost:
 * the others look again.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <reeve/sync.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/shared/latch.h"
#include "workers/shared/ledger.h"
#include "workers/shared/region.h"
#include "workers/shared/repair.h"

#define SLEEPERS UINT32_C(1)
#define ONE_TURN UINT32_C(2)

struct semaphore_memory {
	struct region_head head;
	uint32_t is_owned, limit;
	struct latch guard;
	_Atomic uint32_t n_free;
	_Atomic uint32_t word;
	struct ledger ledger; /* OWNED: units by process, none with 0 */
};

struct reeve_semaphore {
	struct region region;
	struct semaphore_memory *memory;
};

/* ---- making and opening ---------------------------------------------------------- */

static void handle_freep(reeve_semaphore **semaphore)
{
	if (*semaphore)
		region_done(&(*semaphore)->region);
	free(*semaphore);
}

/* Of a new region (fd is -1), or of the one behind fd. */
static int semaphore_map(int fd, reeve_semaphore **ret_semaphore)
{
	_cleanup_(handle_freep) reeve_semaphore *s = calloc(1, sizeof(*s));
	const size_t size = sizeof(struct semaphore_memory);
	int r;

	if (!s)
		return -ENOMEM;
	s->region = REGION_NONE;
	r = fd < 0 ? region_new(REGION_SEMAPHORE, size, &s->region)
		   : region_open(fd, REGION_SEMAPHORE, size, &s->region);
	if (r < 0)
		return r;
	s->memory = (void *)s->region.head;
	*ret_semaphore = TAKE(s);
	return 0;
}

static int spec_check(const struct reeve_semaphore_spec *spec)
{
	unsigned max = spec->max ? spec->max : REEVE_SEMAPHORE_UNITS_MAX;

	if (spec->kind == REEVE_SEMAPHORE_OWNED)
		max = spec->max ? spec->max : spec->units;
	else if (spec->kind != REEVE_SEMAPHORE_COUNTING)
		return -EINVAL;
	if (spec->kind == REEVE_SEMAPHORE_OWNED &&
	    (spec->units == 0 || max != spec->units))
		return -EINVAL;
	if (spec->units > max || max > REEVE_SEMAPHORE_UNITS_MAX)
		return -EINVAL;
	return 0;
}

int reeve_semaphore_new(const struct reeve_semaphore_spec *spec,
			reeve_semaphore **ret_semaphore)
{
	_cleanup_(handle_freep) reeve_semaphore *s = NULL;
	struct semaphore_memory *m;
	int r;

	if (!spec || !ret_semaphore || spec_check(spec) < 0)
		return -EINVAL;
	r = semaphore_map(-1, &s);
	if (r < 0)
		return r;
	m = s->memory;
	m->is_owned = spec->kind == REEVE_SEMAPHORE_OWNED;
	m->limit = spec->max ? spec->max : REEVE_SEMAPHORE_UNITS_MAX;
	if (m->is_owned)
		m->limit = spec->units;
	atomic_store(&m->n_free, spec->units);
	*ret_semaphore = TAKE(s);
	return 0;
}

int reeve_semaphore_open(int fd, reeve_semaphore **ret_semaphore)
{
	if (!ret_semaphore)
		return -EINVAL;
	return fd < 0 ? -EBADF : semaphore_map(fd, ret_semaphore);
}

reeve_semaphore *reeve_semaphore_free(reeve_semaphore *semaphore)
{
	handle_freep(&semaphore);
	return NULL;
}

int reeve_semaphore_fd(const reeve_semaphore *semaphore)
{
	return semaphore ? semaphore->region.fd : -EINVAL;
}

/* ---- under the guard ------------------------------------------------------------- */

static void count_free(struct semaphore_memory *m)
{
	uint64_t n_left = m->limit;

	if (!m->is_owned)
		return;
	for (struct ledger_entry *e = ledger_next(&m->ledger, NULL); e;
	     e = ledger_next(&m->ledger, e))
		n_left -= MIN(n_left, atomic_load(&e->value));
	atomic_store(&m->n_free, (uint32_t)n_left);
}

static int enter(struct semaphore_memory *m, uint64_t end_usec)
{
	int r = latch_lock_in_time(&m->guard, end_usec);

	if (r == 1)
		count_free(m);
	return MIN(r, 0);
}

static void leave(struct semaphore_memory *m)
{
	latch_unlock(&m->guard);
}

/* What the dead have comes back. Who of them was woken is not known: the
 * caller wakes the next. */
static void look_for_dead(struct semaphore_memory *m)
{
	struct ledger_entry *e = NULL;

	if (!m->is_owned || !ledger_is_due(&m->ledger))
		return;
	while ((e = ledger_next_dead(&m->ledger, e)))
		ledger_drop(e);
	count_free(m);
}

/* Returns 0, -EAGAIN (none is free), -EUSERS. */
static int take(struct semaphore_memory *m)
{
	uint32_t n_free = atomic_load(&m->n_free);
	struct ledger_entry *e;

	if (n_free == 0)
		return -EAGAIN;
	if (m->is_owned) {
		e = ledger_self(&m->ledger);
		if (!e)
			return -EUSERS;
		atomic_store(&e->value, atomic_load(&e->value) + 1);
	}
	atomic_store(&m->n_free, n_free - 1);
	return 0;
}

static int give(struct semaphore_memory *m)
{
	uint32_t n_free = atomic_load(&m->n_free);
	struct ledger_entry *e;

	if (m->is_owned) {
		e = ledger_find(&m->ledger);
		if (!e || atomic_load(&e->value) == 0)
			return -EPERM;
		atomic_store(&e->value, atomic_load(&e->value) - 1);
		if (atomic_load(&e->value) == 0)
			ledger_drop(e);
	} else if (n_free >= m->limit)
		return -EOVERFLOW;
	atomic_store(&m->n_free, n_free + 1);
	return 0;
}

/* Whether somebody is to be woken, once the guard has been left. */
static bool is_wanted(struct semaphore_memory *m)
{
	uint32_t word = atomic_load(&m->word);

	if (atomic_load(&m->n_free) == 0 || !(word & SLEEPERS))
		return false;
	atomic_store(&m->word, (word + ONE_TURN) & ~SLEEPERS);
	return true;
}

static void say_that_some_sleep(struct semaphore_memory *m)
{
	atomic_store(&m->word, atomic_load(&m->word) | SLEEPERS);
}

/* ---- acquiring and releasing ----------------------------------------------------- */

/* For who did not get one at once: looks for the dead too, and passes on what
 * others may be waiting for. Returns what take() does, or -ETIMEDOUT; *ret_word: to
 * sleep on. */
static int take_slowly(struct semaphore_memory *m, uint64_t end_usec,
		       uint32_t *ret_word)
{
	bool is_next = false;
	int r = enter(m, end_usec);

	if (r < 0)
		return r;
	look_for_dead(m);
	r = take(m);
	say_that_some_sleep(m);
	if (r != -EAGAIN)
		is_next = is_wanted(m);
	*ret_word = atomic_load(&m->word);
	leave(m);
	if (is_next)
		region_wake(&m->word, 1);
	return r;
}

static int wait_and_take(struct semaphore_memory *m, uint64_t end_usec)
{
	uint32_t word = 0;
	int late = 0;
	int r;

	for (;;) {
		r = take_slowly(m, end_usec, &word);
		if (r != -EAGAIN)
			return r;
		if (late < 0)
			return late;
		late = region_wait(&m->word, word, end_usec);
	}
}

int reeve_semaphore_acquire(reeve_semaphore *semaphore, uint64_t timeout_usec)
{
	struct semaphore_memory *m;
	uint32_t word;
	int r;

	if (!semaphore)
		return -EINVAL;
	m = semaphore->memory;
	r = enter(m, 0);
	if (r == 0) {
		r = take(m);
		leave(m);
	}
	if (r == 0)
		return 0;
	if (timeout_usec > 0)
		return wait_and_take(m, usec_add(clock_monotonic_usec(),
						 timeout_usec));
	r = take_slowly(m, 0, &word);
	return r == -EAGAIN ? -ETIMEDOUT : r;
}

int reeve_semaphore_release(reeve_semaphore *semaphore)
{
	struct semaphore_memory *m;
	bool is_next = false;
	int r;

	if (!semaphore)
		return -EINVAL;
	m = semaphore->memory;
	r = enter(m, UINT64_MAX);
	if (r < 0)
		return r;
	r = give(m);
	if (r == 0)
		is_next = is_wanted(m);
	leave(m);
	if (is_next)
		region_wake(&m->word, 1);
	return r;
}

int reeve_semaphore_value(const reeve_semaphore *semaphore)
{
	return semaphore ? (int)atomic_load(&semaphore->memory->n_free)
			 : -EINVAL;
}

/* ---- for the parent of a process that ended ----------------------------------------- */

/* Its units come back. Who is woken wakes the next; also in place of the one who
 * ended, if that was woken last. When the guard is not to be had, all look for
 * themselves. */
static void repair_semaphore(const struct patient *p)
{
	struct semaphore_memory *m = p->memory;
	int n = 1;

	if (repair_enter(&m->guard) < 0) {
		ledger_look_now(&m->ledger);
		n = INT_MAX;
	} else {
		ledger_drop_gone(&m->ledger);
		count_free(m);
		(void)is_wanted(m);
		leave(m);
	}
	region_wake(&m->word, n);
}

const struct repair_way semaphore_repair = { sizeof(struct semaphore_memory),
					     repair_semaphore };
