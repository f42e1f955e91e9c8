/* Semaphores: units, given in the order of coming.
 *
 * While a unit is free nobody waits. What a session has acquired and not released is
 * in its stake; anybody may release, who then gives a unit of his own, if he has one,
 * or a new one. A bounded semaphore has never more free ones than its size, also
 * when units come back from the dead that others had replaced.
 */
#include "workers/manager/server/store_room.h"

#include <errno.h>

static int64_t most_free(const struct object *o)
{
	return o->kind == REEVE_OBJECT_BOUNDED_SEMAPHORE ? o->semaphore.size
							 : INT64_MAX;
}

static void pass(struct object *o)
{
	struct waiter *w;

	while (o->semaphore.n_free > 0 && (w = waiter_first(o, WAIT_ACQUIRE))) {
		struct stake *stake = w->stake;

		if (!waiter_end_bool(w, false))
			continue;
		stake->n_held++;
		o->semaphore.n_free--;
	}
}

int semaphore_acquire(struct request *q)
{
	struct semaphore *s = &q->object->semaphore;
	int r;

	if (s->n_free == 0)
		return request_wait_in(q, WAIT_ACQUIRE, 0, NULL);
	r = answer_bool(q, false);
	if (r < 0)
		return r;
	s->n_free--;
	q->stake->n_held++;
	return 0;
}

int semaphore_release(struct request *q)
{
	struct object *o = q->object;
	int r;

	if (o->semaphore.n_free >= most_free(o))
		return -EOVERFLOW;
	r = answer_nothing(q);
	if (r < 0)
		return r;
	if (q->stake->n_held > 0)
		q->stake->n_held--;
	else
		store_touch(q->store); /* there are more than there were */
	o->semaphore.n_free++;
	pass(o);
	return 0;
}

void semaphore_on_session_end(struct store *store, struct stake *stake)
{
	struct object *o = stake->object;
	uint64_t room = (uint64_t)(most_free(o) - o->semaphore.n_free);

	if (stake->n_held > room)
		store_touch(store);
	o->semaphore.n_free +=
		(int64_t)(stake->n_held < room ? stake->n_held : room);
	stake->n_held = 0;
	pass(o);
}
