/* Queues, all of them joinable.
 *
 * While there is something in it nobody waits to get; while there is room nobody
 * waits to put. What a session has got and not called done is counted in its stake,
 * and is lost with it.
 */
#include "workers/manager/server/store_room.h"

#include <errno.h>

#include "workers/base/pure/macro.h"

static bool has_room(const struct queue *queue)
{
	return queue->bound == 0 || queue->items.n < queue->bound;
}

static void push(struct store *store, struct queue *queue, struct cell value)
{
	size_t n = queue->items.n;

	row_open(&queue->items, n, 1);
	row_fill(&queue->items, n, value);
	store_touch(store);
}

static void drop_first(struct store *store, struct queue *queue)
{
	struct cell value = row_take(&store->purse, &queue->items, 0);

	cell_drop(&store->purse, &value);
	store_touch(store);
}

static void give_first(struct store *store, struct object *o, struct waiter *w)
{
	struct stake *stake = w->stake;
	const struct cell *value = row_at(&o->queue.items, 0);

	if (!waiter_end_encoded(w, cell_data(value), cell_size(value)))
		return;
	stake->n_held++;
	o->queue.n_got++;
	drop_first(store, &o->queue);
}

static void let_in(struct store *store, struct object *o, struct waiter *w)
{
	struct cell value = w->value;
	int r;

	w->value = (struct cell){ 0 };
	if (!waiter_end_nothing(w)) {
		cell_drop(&store->purse, &value);
		return;
	}
	/* there is room since something was taken out */
	r = row_reserve(&store->purse, &o->queue.items, o->queue.items.n, 1);
	reeve_assert(r == 0);
	push(store, &o->queue, value);
}

/* All who can go on do. */
static void pass(struct store *store, struct object *o)
{
	struct queue *queue = &o->queue;
	struct waiter *w;

	for (;;) {
		if (queue->items.n > 0 && (w = waiter_first(o, WAIT_ITEM)))
			give_first(store, o, w);
		else if (has_room(queue) && (w = waiter_first(o, WAIT_ROOM)))
			let_in(store, o, w);
		else
			break;
	}
}

static bool is_done(const struct queue *queue)
{
	return queue->items.n == 0 && queue->n_got == 0;
}

static void end_joins(struct object *o)
{
	struct waiter *w;

	while (is_done(&o->queue) && (w = waiter_first(o, WAIT_ALL_DONE)))
		(void)waiter_end_int(w, (int64_t)o->queue.n_lost);
}

static int put_now(struct request *q)
{
	struct queue *queue = &q->object->queue;
	struct purse *purse = &q->store->purse;
	struct cell value = { 0 };
	int r = row_reserve(purse, &queue->items, queue->items.n, 1);

	if (r == 0)
		r = cell_make(purse, q->args[0].data, q->args[0].size, &value);
	if (r == 0)
		r = answer_nothing(q);
	if (r < 0) {
		cell_drop(purse, &value);
		return r;
	}
	push(q->store, queue, value);
	pass(q->store, q->object);
	return 0;
}

int queue_put(struct request *q)
{
	struct cell value = { 0 };
	struct waiter *w = NULL;
	int r;

	if (has_room(&q->object->queue))
		return put_now(q);
	if (q->args[1].integer == 0)
		return -EAGAIN;
	r = cell_make(&q->store->purse, q->args[0].data, q->args[0].size,
		      &value);
	if (r == 0)
		r = request_wait_in(q, WAIT_ROOM, 1, &w);
	if (w)
		w->value = value;
	else
		cell_drop(&q->store->purse, &value);
	return r;
}

int queue_get(struct request *q)
{
	struct queue *queue = &q->object->queue;
	const struct cell *value;
	int r;

	if (queue->items.n == 0)
		return request_wait_in(q, WAIT_ITEM, 0, NULL);
	value = row_at(&queue->items, 0);
	r = answer_encoded(q, cell_data(value), cell_size(value));
	if (r < 0)
		return r;
	q->stake->n_held++;
	queue->n_got++;
	drop_first(q->store, queue);
	pass(q->store, q->object);
	return 0;
}

int queue_is_full(struct request *q)
{
	return answer_bool(q, !has_room(&q->object->queue));
}

int queue_task_done(struct request *q)
{
	int r;

	if (q->stake->n_held == 0)
		return -EPERM;
	r = answer_nothing(q);
	if (r < 0)
		return r;
	q->stake->n_held--;
	q->object->queue.n_got--;
	store_touch(q->store);
	end_joins(q->object);
	return 0;
}

int queue_join(struct request *q)
{
	if (!is_done(&q->object->queue))
		return request_wait_in(q, WAIT_ALL_DONE, 0, NULL);
	return answer_int(q, (int64_t)q->object->queue.n_lost);
}

void queue_on_session_end(struct store *store, struct stake *stake)
{
	struct queue *queue = &stake->object->queue;

	queue->n_got -= stake->n_held;
	queue->n_lost += stake->n_held;
	stake->n_held = 0;
	store_touch(store);
	end_joins(stake->object);
}
