/* Locks, rlocks, and conditions, whose lock is an rlock.
 *
 * A lock that is free has nobody waiting for it: whoever releases it gives it to the
 * next one. "A holder has died" is kept until it is released by one that lives, so
 * that all who have it in between are told.
 *
 * Who waits on a condition has released the lock; told, or when his time is over, he
 * stands in the lock's list like everybody else, but with the levels to have again,
 * and without a deadline. One who was told alone, and ends before he has the lock,
 * passes that on.
 */
#include "workers/manager/server/store_room.h"

#include <errno.h>

#include "workers/base/pure/macro.h"

static bool is_lock(const struct object *o)
{
	return KIND(LOCK) & (1U << o->kind);
}

static void tell_next(struct object *o, bool singly)
{
	struct waiter *w = waiter_first(o, WAIT_TOLD);

	if (!w)
		return;
	w->is_told_singly = singly;
	waiter_move(w, WAIT_ACQUIRE);
}

/* The first in the list gets the lock, if he can be told. */
static void give(struct object *o, struct waiter *w)
{
	struct stake *stake = w->stake;
	uint64_t level = MAX(w->level, (uint64_t)1);
	bool is_told_singly = w->is_told_singly;
	bool is_given = w->is_late && !o->lock.has_died
				? waiter_end(w, -ETIMEDOUT)
				: waiter_end_bool(w, o->lock.has_died);

	if (is_given) {
		o->lock.holder = stake;
		stake->n_held = level;
	} else if (is_told_singly) {
		tell_next(o, true);
	}
}

static void pass(struct object *o)
{
	struct waiter *w;

	while (!o->lock.holder && (w = waiter_first(o, WAIT_ACQUIRE)))
		give(o, w);
}

int lock_acquire(struct request *q)
{
	struct lock *lock = &q->object->lock;
	int r;

	if (lock->holder == q->stake && is_lock(q->object))
		return -EDEADLK;
	if (lock->holder && lock->holder != q->stake)
		return request_wait_in(q, WAIT_ACQUIRE, 0, NULL);
	r = answer_bool(q, lock->has_died);
	if (r < 0)
		return r;
	lock->holder = q->stake;
	q->stake->n_held++;
	return 0;
}

/* In order: what it protects is whole. */
static void let_go(struct object *o)
{
	o->lock.holder->n_held = 0;
	o->lock.holder = NULL;
	o->lock.has_died = false;
	pass(o);
}

int lock_release(struct request *q)
{
	int r;

	if (q->object->lock.holder != q->stake)
		return -EPERM;
	r = answer_nothing(q);
	if (r < 0)
		return r;
	if (q->stake->n_held > 1)
		q->stake->n_held--;
	else
		let_go(q->object);
	return 0;
}

void lock_on_session_end(struct stake *stake)
{
	struct object *o = stake->object;

	reeve_assert(o->lock.holder == stake);
	stake->n_held = 0;
	o->lock.holder = NULL;
	o->lock.has_died = true;
	pass(o);
}

/* ---- conditions ------------------------------------------------------------------ */

int condition_wait(struct request *q)
{
	struct waiter *w = NULL;
	int r;

	if (q->object->lock.holder != q->stake)
		return -EPERM;
	r = request_wait_in(q, WAIT_TOLD, 0, &w);
	if (r < 0)
		return r;
	w->level = q->stake->n_held;
	let_go(q->object);
	return r;
}

int condition_notify(struct request *q)
{
	int64_t n = q->args[0].integer;
	bool singly = n >= 0;
	int r;

	if (q->object->lock.holder != q->stake)
		return -EPERM;
	if (n < -1)
		return -EINVAL;
	r = answer_nothing(q);
	if (r < 0)
		return r;
	for (; n != 0 && waiter_first(q->object, WAIT_TOLD); n--)
		tell_next(q->object, singly);
	return 0;
}

void condition_on_time(struct waiter *w)
{
	struct object *o = w->stake->object;

	w->is_late = true;
	waiter_move(w, WAIT_ACQUIRE);
	pass(o);
}

void condition_on_session_end(struct waiter *w)
{
	struct object *o = w->stake->object;
	bool is_told_singly = w->is_told_singly;

	waiter_free(w);
	if (is_told_singly)
		tell_next(o, true);
	pass(o);
}

/* ---- one verb, several kinds ------------------------------------------------------- */

int request_acquire(struct request *q)
{
	return KINDS_SEM & (1U << q->object->kind) ? semaphore_acquire(q)
						   : lock_acquire(q);
}

int request_release(struct request *q)
{
	return KINDS_SEM & (1U << q->object->kind) ? semaphore_release(q)
						   : lock_release(q);
}

int request_wait(struct request *q)
{
	return q->object->kind == REEVE_OBJECT_EVENT ? event_wait(q)
						     : condition_wait(q);
}
