/* Barriers.
 *
 * Who has arrived is who waits, in that order: whatever takes one of them away (a
 * timeout, the end of a session) breaks the barrier, and so ends the waiting of all.
 */
#include "workers/manager/server/store_room.h"

#include <errno.h>

static void end_all(struct object *o)
{
	struct waiter *w;

	o->barrier.n_waiting = 0;
	while ((w = waiter_first(o, WAIT_PARTIES)))
		(void)waiter_end(w, -EPIPE);
}

void barrier_break(struct store *store, struct object *o)
{
	o->barrier.is_broken = true;
	store_touch(store);
	end_all(o);
}

/* The last one is answered already. */
static void let_all_go(struct object *o)
{
	struct waiter *w;

	o->barrier.n_waiting = 0;
	for (int64_t i = 0; (w = waiter_first(o, WAIT_PARTIES)); i++)
		(void)waiter_end_int(w, i);
}

int barrier_wait(struct request *q)
{
	struct barrier *b = &q->object->barrier;
	int r;

	if (b->is_broken)
		return -EPIPE;
	if (b->n_waiting + 1 < b->parties) {
		r = request_wait_in(q, WAIT_PARTIES, 0, NULL);
		b->n_waiting += r == REQUEST_WAITS;
		return r;
	}
	r = answer_int(q, b->n_waiting);
	if (r == 0)
		let_all_go(q->object);
	return r;
}

int barrier_reset(struct request *q)
{
	int r = answer_nothing(q);

	if (r < 0)
		return r;
	end_all(q->object);
	q->object->barrier.is_broken = false;
	store_touch(q->store);
	return 0;
}

int barrier_abort(struct request *q)
{
	int r = answer_nothing(q);

	if (r < 0)
		return r;
	barrier_break(q->store, q->object);
	return 0;
}

int barrier_state(struct request *q)
{
	const struct barrier *b = &q->object->barrier;
	struct buf *out = &q->session->output;

	answer_begin(q);
	(void)codec_put_int(out, b->parties);
	(void)codec_put_int(out, b->n_waiting);
	(void)codec_put_bool(out, b->is_broken);
	return answer_end(q);
}
