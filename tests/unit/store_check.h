/* What always holds in a store, between two calls: looked at from inside. */
#pragma once

#include "workers/base/pure/macro.h"
#include "workers/manager/server/store_room.h"

static inline size_t count_waiters(const struct object *o, enum wait_list list)
{
	const struct waiter *w;
	size_t n = 0;

	TAILQ_FOREACH(w, &o->waiters[list], in_object)
	{
		reeve_assert(w->list == list && w->stake->object == o);
		/* who waited on a condition, and has the lock to come */
		reeve_assert(w->level == 0 || list == WAIT_TOLD ||
			     !heap_contains(&w->deadline));
		n++;
	}
	return n;
}

/* One has it, or nobody; who waits, waits for somebody. */
static inline void check_lock(const struct object *o)
{
	const struct stake *stake;

	TAILQ_FOREACH(stake, &o->stakes, in_object)
	{
		bool is_holder = o->lock.holder == stake;

		reeve_assert((stake->n_held > 0) == is_holder);
		reeve_assert(o->kind != REEVE_OBJECT_LOCK ||
			     stake->n_held <= 1);
	}
	reeve_assert(o->lock.holder || count_waiters(o, WAIT_ACQUIRE) == 0);
	reeve_assert(o->kind == REEVE_OBJECT_CONDITION ||
		     count_waiters(o, WAIT_TOLD) == 0);
}

static inline void check_semaphore(const struct object *o)
{
	const struct semaphore *s = &o->semaphore;

	reeve_assert(s->n_free >= 0);
	reeve_assert(s->n_free == 0 || count_waiters(o, WAIT_ACQUIRE) == 0);
	reeve_assert(o->kind == REEVE_OBJECT_SEMAPHORE || s->n_free <= s->size);
}

static inline void check_queue(const struct object *o)
{
	const struct queue *q = &o->queue;
	const struct stake *stake;
	uint64_t n = 0;

	TAILQ_FOREACH(stake, &o->stakes, in_object)
	n += stake->n_held;
	reeve_assert(n == q->n_got);
	reeve_assert(q->bound == 0 || q->items.n <= q->bound);
	reeve_assert(q->items.n == 0 || count_waiters(o, WAIT_ITEM) == 0);
	reeve_assert((q->bound > 0 && q->items.n == q->bound) ||
		     count_waiters(o, WAIT_ROOM) == 0);
	reeve_assert(q->items.n > 0 || n > 0 ||
		     count_waiters(o, WAIT_ALL_DONE) == 0);
}

static inline void check_barrier(const struct object *o)
{
	size_t n = count_waiters(o, WAIT_PARTIES);

	reeve_assert((size_t)o->barrier.n_waiting == n);
	reeve_assert((int64_t)n < o->barrier.parties);
	reeve_assert(!o->barrier.is_broken || n == 0);
}

static inline void check_map(const struct map *m)
{
	size_t n = 0, bytes = 0;

	for (struct map_entry *e = map_next(m, NULL); e; e = map_next(m, e)) {
		n++;
		bytes += cell_size(&e->key) + cell_size(&e->value);
		reeve_assert(map_find(m, e->hash, cell_data(&e->key),
				      cell_size(&e->key)) == e);
	}
	reeve_assert(n == m->n && bytes == m->bytes);
	reeve_assert(m->n_entries <= m->capacity);
}

static inline void check_row(const struct row *row)
{
	size_t bytes = 0;

	reeve_assert(row->first + row->n <= row->capacity);
	for (size_t i = 0; i < row->n; i++) {
		reeve_assert(!cell_is_empty(row_at(row, i)));
		bytes += cell_size(row_at(row, i));
	}
	reeve_assert(bytes == row->bytes);
}

static inline void check_contents(const struct object *o)
{
	switch (o->kind) {
	case REEVE_OBJECT_DICT:
	case REEVE_OBJECT_NAMESPACE:
		check_map(&o->map);
		break;
	case REEVE_OBJECT_LIST:
	case REEVE_OBJECT_ARRAY:
		check_row(&o->row);
		break;
	case REEVE_OBJECT_VALUE:
		reeve_assert(!cell_is_empty(&o->value));
		break;
	case REEVE_OBJECT_QUEUE:
		check_row(&o->queue.items);
		check_queue(o);
		break;
	case REEVE_OBJECT_LOCK:
	case REEVE_OBJECT_RLOCK:
	case REEVE_OBJECT_CONDITION:
		check_lock(o);
		break;
	case REEVE_OBJECT_SEMAPHORE:
	case REEVE_OBJECT_BOUNDED_SEMAPHORE:
		check_semaphore(o);
		break;
	case REEVE_OBJECT_EVENT:
		reeve_assert(!o->is_set || count_waiters(o, WAIT_SET) == 0);
		break;
	case REEVE_OBJECT_BARRIER:
		check_barrier(o);
		break;
	case REEVE_OBJECT_COUNT:
		reeve_assert(false);
	}
}

static inline void check_object(const struct store *store,
				const struct object *o)
{
	const struct stake *stake;
	size_t n_open = 0, n_waiters = 0;

	TAILQ_FOREACH(stake, &o->stakes, in_object)
	{
		reeve_assert(stake->object == o);
		n_open += stake->n_handles + stake->n_waiters;
		n_waiters += stake->n_waiters;
	}
	for (int list = 0; list < WAIT_LISTS; list++)
		n_waiters -= count_waiters(o, (enum wait_list)list);
	reeve_assert(n_waiters == 0);
	reeve_assert(n_open == o->n_open);
	reeve_assert(n_open > 0 || object_is_named(o));
	reeve_assert(object_find(store, o->name, o->name_len) == o);
	check_contents(o);
}

static inline void check_session(const struct session *session)
{
	const struct stake *stake;
	const struct waiter *w;
	size_t n_handles = 0, n_waiters = 0, n;

	TAILQ_FOREACH(stake, &session->stakes, in_session)
	{
		reeve_assert(stake->session == session);
		n_handles += stake->n_handles;
	}
	for (size_t i = 0; i < session->n_places; i++)
		n_handles -= session->handles[i].stake != NULL;
	reeve_assert(n_handles == 0);
	n = session->first_free;
	for (size_t i = 0; n > 0; i++, n = session->handles[n - 1].next_free)
		reeve_assert(i < session->n_places &&
			     !session->handles[n - 1].stake);
	TAILQ_FOREACH(w, &session->waiters, in_session)
	n_waiters++;
	reeve_assert(n_waiters == session->n_waiters);
	reeve_assert(n_waiters <= session->store->limits.max_waiting);
	reeve_assert(session->output.error == 0);
	reeve_assert(session->output.len <=
		     session->store->limits.max_output_bytes);
}

static inline void check_store(const struct store *store)
{
	const struct session *session;
	const struct object *o;
	size_t n_objects = 0, n_sessions = 0, n_waiters = 0;

	reeve_assert(TAILQ_EMPTY(&store->unopened));
	reeve_assert(store->purse.credit == 0);
	reeve_assert(store->purse.bytes <= store->purse.max);
	TAILQ_FOREACH(o, &store->objects, in_all)
	{
		check_object(store, o);
		n_objects++;
	}
	reeve_assert(n_objects == store->n_objects);
	reeve_assert(n_objects <= store->limits.max_objects);
	TAILQ_FOREACH(session, &store->sessions, in_all)
	{
		check_session(session);
		n_sessions++;
		n_waiters += session->n_waiters;
	}
	reeve_assert(n_sessions == store->n_sessions);
	reeve_assert(n_waiters == store->n_waiters);
	reeve_assert(store->deadlines.n_nodes <= n_waiters);
}
