/* Events. */
#include "workers/manager/server/store_room.h"

int event_wait(struct request *q)
{
	if (!q->object->is_set)
		return request_wait_in(q, WAIT_SET, 0, NULL);
	return answer_bool(q, false);
}

int event_set(struct request *q)
{
	struct waiter *w;
	int r = answer_nothing(q);

	if (r < 0)
		return r;
	q->object->is_set = true;
	store_touch(q->store);
	while ((w = waiter_first(q->object, WAIT_SET)))
		(void)waiter_end_bool(w, false);
	return 0;
}

int event_clear(struct request *q)
{
	int r = answer_nothing(q);

	if (r < 0)
		return r;
	q->object->is_set = false;
	store_touch(q->store);
	return 0;
}

int event_is_set(struct request *q)
{
	return answer_bool(q, q->object->is_set);
}
