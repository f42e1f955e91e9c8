/* Values: a single one. */
#include "workers/manager/server/store_room.h"

#include <errno.h>

int value_get(struct request *q)
{
	const struct cell *value = &q->object->value;

	return answer_encoded(q, cell_data(value), cell_size(value));
}

int value_set(struct request *q)
{
	struct purse *purse = &q->store->purse;
	struct cell value = { 0 };
	int r;

	purse->credit = cell_cost(&q->object->value);
	r = cell_make(purse, q->args[0].data, q->args[0].size, &value);
	purse->credit = 0;
	if (r < 0)
		return r;
	r = answer_nothing(q);
	if (r < 0) {
		cell_drop(purse, &value);
		return r;
	}
	cell_replace(purse, &q->object->value, value);
	store_touch(q->store);
	return 0;
}

int value_add(struct request *q)
{
	struct cell sum;
	int r = number_add(&q->object->value, &q->args[0], &sum);

	if (r == 0)
		r = answer_encoded(q, cell_data(&sum), cell_size(&sum));
	if (r < 0)
		return r;
	cell_replace(&q->store->purse, &q->object->value, sum);
	store_touch(q->store);
	return 0;
}
