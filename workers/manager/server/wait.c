/* Who waits: in a list of the object's, in the order of coming, until somebody lets
 * him go on, his time is over, or his session ends.
 */
#include "workers/manager/server/store_room.h"

#include <errno.h>

#include "workers/base/pure/macro.h"

static int set_deadline(struct request *q, struct waiter *w, int64_t timeout)
{
	if (timeout < 0)
		return 0;
	return heap_set(&q->store->deadlines, &w->deadline,
			usec_add(q->now_usec, (uint64_t)timeout));
}

int request_wait_in(struct request *q, enum wait_list list, size_t i,
		    struct waiter **ret_waiter)
{
	struct session *session = q->session;
	int64_t timeout = q->args[i].integer;
	struct waiter *w;
	int r;

	if (timeout == 0)
		return -EAGAIN;
	if (session->n_waiters >= q->store->limits.max_waiting)
		return -ENOSPC;
	w = purse_new_zero(&q->store->purse, sizeof(*w));
	if (!w)
		return q->store->purse.error;
	r = set_deadline(q, w, timeout);
	if (r < 0) {
		purse_free(&q->store->purse, w, sizeof(*w));
		return r;
	}
	w->stake = q->stake;
	w->list = list;
	w->id = q->id;
	TAILQ_INSERT_TAIL(&q->object->waiters[list], w, in_object);
	TAILQ_INSERT_TAIL(&session->waiters, w, in_session);
	q->stake->n_waiters++;
	session->n_waiters++;
	q->store->n_waiters++;
	object_opened(q->object);
	if (ret_waiter)
		*ret_waiter = w;
	return REQUEST_WAITS;
}

struct waiter *waiter_first(const struct object *o, enum wait_list list)
{
	return TAILQ_FIRST(&o->waiters[list]);
}

void waiter_move(struct waiter *w, enum wait_list list)
{
	struct object *o = w->stake->object;

	heap_remove(&w->stake->session->store->deadlines, &w->deadline);
	TAILQ_REMOVE(&o->waiters[w->list], w, in_object);
	TAILQ_INSERT_TAIL(&o->waiters[list], w, in_object);
	w->list = list;
}

void waiter_free(struct waiter *w)
{
	struct session *session = w->stake->session;
	struct store *store = session->store;
	struct object *o = w->stake->object;

	heap_remove(&store->deadlines, &w->deadline);
	TAILQ_REMOVE(&o->waiters[w->list], w, in_object);
	TAILQ_REMOVE(&session->waiters, w, in_session);
	w->stake->n_waiters--;
	session->n_waiters--;
	store->n_waiters--;
	cell_drop(&store->purse, &w->value);
	purse_free(&store->purse, w, sizeof(*w));
	object_closed(store, o);
}

/* ---- what ends a wait from outside ---------------------------------------------- */

void waiter_on_time(struct waiter *w)
{
	struct store *store = w->stake->session->store;
	struct object *o = w->stake->object;

	if (o->kind == REEVE_OBJECT_CONDITION && w->list == WAIT_TOLD) {
		condition_on_time(w);
		return;
	}
	(void)waiter_end(w, -ETIMEDOUT);
	if (o->kind == REEVE_OBJECT_BARRIER)
		barrier_break(store, o);
}

void waiter_on_session_end(struct waiter *w)
{
	struct store *store = w->stake->session->store;
	struct object *o = w->stake->object;

	if (o->kind == REEVE_OBJECT_CONDITION) {
		condition_on_session_end(w);
		return;
	}
	waiter_free(w);
	if (o->kind == REEVE_OBJECT_BARRIER)
		barrier_break(store, o);
}

void stake_on_session_end(struct store *store, struct stake *stake)
{
	struct object *o = stake->object;

	if (stake->n_held == 0)
		return;
	switch (o->kind) {
	case REEVE_OBJECT_LOCK:
	case REEVE_OBJECT_RLOCK:
	case REEVE_OBJECT_CONDITION:
		lock_on_session_end(stake);
		break;
	case REEVE_OBJECT_SEMAPHORE:
	case REEVE_OBJECT_BOUNDED_SEMAPHORE:
		semaphore_on_session_end(store, stake);
		break;
	case REEVE_OBJECT_QUEUE:
		queue_on_session_end(store, stake);
		break;
	case REEVE_OBJECT_DICT:
	case REEVE_OBJECT_NAMESPACE:
	case REEVE_OBJECT_LIST:
	case REEVE_OBJECT_ARRAY:
	case REEVE_OBJECT_VALUE:
	case REEVE_OBJECT_EVENT:
	case REEVE_OBJECT_BARRIER:
	case REEVE_OBJECT_COUNT:
		reeve_assert(stake->n_held == 0);
		break;
	}
}
