/* Condition: a place for each waiter, in the order of their coming.
 *
 * A waiter takes a place, releases the lock, sleeps on the place's own word, and
 * acquires the lock again; it leaves the place when it has the lock. A notifier,
 * which has the lock, tells the one who came first. So nobody is woken in vain,
 * and nobody who comes later takes what was meant for others. The system call
 * that wakes is made when the notifier releases the lock: before that, who is
 * woken would only run into it.
 *
 * Whoever changes the places has the guard, but for one store: a waiter leaves by
 * an exchange, which tells it whether it was told in the last moment.
 *
 * Death: of a waiter who was not told, its place is dropped. Of one who was told
 * and has not yet come back from the wait, the notification passes to the next
 * who had been waiting when it was given. That next one does it itself, when it
 * looks again: it is told first, and then the dead one's place is freed; killed
 * between the two, it leaves one notification too many, never one too few. Of a
 * notifier, who was told and not woken looks again.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/shared/latch.h"
#include "workers/shared/lock.h"
#include "workers/shared/region.h"
#include "workers/shared/repair.h"

enum place_state {
	PLACE_FREE,
	PLACE_WAITS,
	PLACE_TOLD,
};

struct place {
	_Atomic uint32_t word; /* enum place_state; written last */
	struct party who;
	_Atomic uint64_t came;	  /* its number among all who came */
	_Atomic uint64_t told_at; /* TOLD: how many had come by then */
};

struct condition_memory {
	struct region_head head;
	uint64_t lock; /* which one it belongs to */
	struct latch guard;
	_Atomic uint64_t n_came;
	_Atomic uint32_t n_used; /* no place behind this one was ever used */
	struct place places[REEVE_CONDITION_WAITERS_MAX];
};

struct reeve_condition {
	struct region region;
	struct condition_memory *memory;
	reeve_lock *lock; /* the caller's */
};

/* ---- making and opening ---------------------------------------------------------- */

static void handle_freep(reeve_condition **condition)
{
	if (*condition)
		region_done(&(*condition)->region);
	free(*condition);
}

/* Of a new region (fd is -1), or of the one behind fd. */
static int condition_map(int fd, reeve_lock *lock,
			 reeve_condition **ret_condition)
{
	_cleanup_(handle_freep) reeve_condition *c = calloc(1, sizeof(*c));
	const size_t size = sizeof(struct condition_memory);
	int r;

	if (!c)
		return -ENOMEM;
	c->region = REGION_NONE;
	c->lock = lock;
	r = fd < 0 ? region_new(REGION_CONDITION, size, &c->region)
		   : region_open(fd, REGION_CONDITION, size, &c->region);
	if (r < 0)
		return r;
	c->memory = (void *)c->region.head;
	*ret_condition = TAKE(c);
	return 0;
}

int reeve_condition_new(reeve_lock *lock, reeve_condition **ret_condition)
{
	_cleanup_(handle_freep) reeve_condition *c = NULL;
	int r;

	if (!lock || !ret_condition)
		return -EINVAL;
	r = condition_map(-1, lock, &c);
	if (r < 0)
		return r;
	c->memory->lock = lock_identity(lock);
	*ret_condition = TAKE(c);
	return 0;
}

int reeve_condition_open(int fd, reeve_lock *lock,
			 reeve_condition **ret_condition)
{
	_cleanup_(handle_freep) reeve_condition *c = NULL;
	int r;

	if (!lock || !ret_condition)
		return -EINVAL;
	r = fd < 0 ? -EBADF : condition_map(fd, lock, &c);
	if (r < 0)
		return r;
	if (c->memory->lock != lock_identity(lock))
		return -EINVAL;
	*ret_condition = TAKE(c);
	return 0;
}

reeve_condition *reeve_condition_free(reeve_condition *condition)
{
	handle_freep(&condition);
	return NULL;
}

int reeve_condition_fd(const reeve_condition *condition)
{
	return condition ? condition->region.fd : -EINVAL;
}

/* ---- under the guard ------------------------------------------------------------- */

/* Whatever a dead holder was doing, what it left is right: see the essay. */
static int enter(struct condition_memory *m, uint64_t end_usec)
{
	return MIN(latch_lock_in_time(&m->guard, end_usec), 0);
}

static void leave(struct condition_memory *m)
{
	latch_unlock(&m->guard);
}

static struct place *places_end(struct condition_memory *m)
{
	return m->places + MIN(atomic_load(&m->n_used),
			       (uint32_t)REEVE_CONDITION_WAITERS_MAX);
}

/* Who waits, came before the n-th, and was the first of those. */
static struct place *first_before(struct condition_memory *m, uint64_t n)
{
	struct place *first = NULL;

	for (struct place *p = m->places; p < places_end(m); p++) {
		if (atomic_load(&p->word) != PLACE_WAITS ||
		    atomic_load(&p->came) >= n)
			continue;
		if (!first || atomic_load(&p->came) < atomic_load(&first->came))
			first = p;
	}
	return first;
}

/* Tells the first who came before the n-th. Returns its place, or NULL. */
static struct place *tell(struct condition_memory *m, uint64_t n)
{
	uint32_t waits = PLACE_WAITS;
	struct place *p;

	while ((p = first_before(m, n))) {
		atomic_store(&p->told_at, n);
		if (atomic_compare_exchange_strong(&p->word, &waits,
						   PLACE_TOLD))
			return p;
		waits = PLACE_WAITS; /* it has just left, in vain */
	}
	return NULL;
}

/* Frees the places of the dead that are in this state. */
static void drop_dead(struct condition_memory *m, enum place_state state,
		      bool (*is_dead)(const struct party *))
{
	for (struct place *p = m->places; p < places_end(m); p++) {
		struct place *next;

		if (atomic_load(&p->word) != state || !is_dead(&p->who))
			continue;
		next = state == PLACE_TOLD ? tell(m, atomic_load(&p->told_at))
					   : NULL;
		atomic_store(&p->word, PLACE_FREE);
		if (next)
			region_wake(&next->word, 1);
	}
}

/* First those who only waited, so that nothing is passed on to them. */
static void look_for_dead(struct condition_memory *m,
			  bool (*is_dead)(const struct party *))
{
	drop_dead(m, PLACE_WAITS, is_dead);
	drop_dead(m, PLACE_TOLD, is_dead);
}

static struct place *find_free(struct condition_memory *m)
{
	for (uint32_t i = 0; i < REEVE_CONDITION_WAITERS_MAX; i++) {
		if (atomic_load(&m->places[i].word) != PLACE_FREE)
			continue;
		if (i >= atomic_load(&m->n_used))
			atomic_store(&m->n_used, i + 1);
		return &m->places[i];
	}
	return NULL;
}

static int take_place(struct condition_memory *m, uint64_t end_usec,
		      struct place **ret_place)
{
	struct place *p;
	int r = enter(m, end_usec);

	if (r < 0)
		return r;
	p = find_free(m);
	if (!p) {
		look_for_dead(m, party_is_dead);
		p = find_free(m);
	}
	if (p) {
		uint64_t n = atomic_load(&m->n_came);

		party_self(&p->who);
		atomic_store(&p->came, n);
		atomic_store(&m->n_came, n + 1);
		atomic_store(&p->word, PLACE_WAITS);
		*ret_place = p;
	}
	leave(m);
	return p ? 0 : -EUSERS;
}

/* ---- waiting --------------------------------------------------------------------- */

static void sleep_until_told(struct condition_memory *m, struct place *p,
			     uint64_t end_usec)
{
	int r = 0;

	while (r == 0 && atomic_load(&p->word) == PLACE_WAITS) {
		r = region_wait(&p->word, PLACE_WAITS, end_usec);
		if (atomic_load(&p->word) != PLACE_WAITS || enter(m, 0) < 0)
			continue;
		look_for_dead(m, party_is_dead);
		leave(m);
	}
}

static int wait_until(reeve_condition *c, uint64_t end_usec)
{
	struct place *p = NULL;
	bool is_told;
	int depth, r;

	if (!lock_is_held(c->lock))
		return -EPERM;
	if (!lock_is_sound(c->lock))
		return -EOWNERDEAD;
	r = take_place(c->memory, end_usec, &p);
	if (r < 0)
		return r;
	depth = lock_give_up(c->lock);
	sleep_until_told(c->memory, p, end_usec);
	r = lock_take_back(c->lock, (uint32_t)depth);
	is_told = atomic_exchange(&p->word, PLACE_FREE) == PLACE_TOLD;
	if (r < 0)
		return r;
	return is_told ? 0 : -ETIMEDOUT;
}

int reeve_condition_wait(reeve_condition *condition, uint64_t timeout_usec)
{
	if (!condition)
		return -EINVAL;
	return wait_until(condition,
			  usec_add(clock_monotonic_usec(), timeout_usec));
}

int reeve_condition_wait_for(reeve_condition *condition,
			     bool (*is_so)(void *arg), void *arg,
			     uint64_t timeout_usec)
{
	uint64_t end_usec;
	int r = 0;

	if (!condition || !is_so)
		return -EINVAL;
	if (!lock_is_held(condition->lock))
		return -EPERM;
	end_usec = usec_add(clock_monotonic_usec(), timeout_usec);
	while (!is_so(arg)) {
		if (r < 0)
			return r;
		r = wait_until(condition, end_usec);
		if (r < 0 && r != -ETIMEDOUT)
			return r;
	}
	return 0;
}

/* ---- notifying ------------------------------------------------------------------- */

static int notify(reeve_condition *c, uint64_t n)
{
	struct condition_memory *m;
	struct place *p;
	int r;

	if (!c)
		return -EINVAL;
	if (!lock_is_held(c->lock))
		return -EPERM;
	m = c->memory;
	r = enter(m, UINT64_MAX);
	if (r < 0)
		return r;
	for (; n > 0 && (p = tell(m, atomic_load(&m->n_came))); n--)
		lock_wake_later(c->lock, &p->word);
	leave(m);
	return 0;
}

int reeve_condition_notify(reeve_condition *condition)
{
	return notify(condition, 1);
}

int reeve_condition_notify_all(reeve_condition *condition)
{
	return notify(condition, REEVE_CONDITION_WAITERS_MAX);
}

/* ---- for the parent of a process that ended ----------------------------------------- */

/* Who was told may not have been woken. Who was not looks, unless that was done
 * here. */
static void wake_all(struct condition_memory *m, bool is_done)
{
	for (struct place *p = m->places; p < places_end(m); p++) {
		uint32_t word = atomic_load(&p->word);

		if (word == PLACE_TOLD || (word == PLACE_WAITS && !is_done))
			region_wake(&p->word, 1);
	}
}

static void repair_condition(const struct patient *p)
{
	struct condition_memory *m = p->memory;
	bool is_in = repair_enter(&m->guard) >= 0;

	if (is_in) {
		look_for_dead(m, party_is_gone);
		leave(m);
	}
	wake_all(m, is_in);
}

const struct repair_way condition_repair = { sizeof(struct condition_memory),
					     repair_condition };
