/* Lists, and arrays, which are lists of numbers whose length is fixed.
 */
#include "workers/manager/server/store_room.h"

#include <errno.h>

#include "workers/base/pure/macro.h"

static struct row *row_of(struct request *q)
{
	return &q->object->row;
}

/* Where an index points to, as Python counts. Returns 0 or -ERANGE. */
static int find(const struct row *row, int64_t index, size_t *ret_i)
{
	int64_t n = (int64_t)row->n;

	if (index >= n || index < -n)
		return -ERANGE;
	*ret_i = (size_t)(index < 0 ? index + n : index);
	return 0;
}

/* The same, cut to 0 .. n. */
static size_t clamp(const struct row *row, int64_t index)
{
	int64_t n = (int64_t)row->n;

	if (index < 0)
		index = index < -n ? 0 : index + n;
	return (size_t)MIN(index, n);
}

static int check_item(const struct object *o, const void *data, size_t size)
{
	return o->kind == REEVE_OBJECT_ARRAY && !number_is_one(data, size)
		       ? -EDOM
		       : 0;
}

static int answer_cell(struct request *q, const struct cell *value)
{
	return answer_encoded(q, cell_data(value), cell_size(value));
}

/* ---- one item --------------------------------------------------------------------- */

int row_get(struct request *q)
{
	size_t i;
	int r = find(row_of(q), q->args[0].integer, &i);

	return r < 0 ? r : answer_cell(q, row_at(row_of(q), i));
}

int row_set_item(struct request *q)
{
	const struct argument *arg = &q->args[1];
	struct purse *purse = request_purse(q);
	struct cell value = { 0 };
	size_t i;
	int r = find(row_of(q), q->args[0].integer, &i);

	if (r == 0)
		r = check_item(q->object, arg->data, arg->size);
	if (r == 0)
		r = check_nesting(arg->depth);
	if (r < 0)
		return r;
	purse->credit = cell_cost(row_at(row_of(q), i));
	r = cell_make(purse, arg->data, arg->size, &value);
	purse->credit = 0;
	if (r == 0)
		r = answer_nothing(q);
	if (r < 0) {
		cell_drop(purse, &value);
		return r;
	}
	row_set(purse, row_of(q), i, value);
	store_touch(q->store);
	return 0;
}

int row_add_number(struct request *q)
{
	struct cell sum;
	size_t i;
	int r = find(row_of(q), q->args[0].integer, &i);

	if (r == 0)
		r = number_add(row_at(row_of(q), i), &q->args[1], &sum);
	if (r == 0)
		r = answer_cell(q, &sum);
	if (r < 0)
		return r;
	row_set(request_purse(q), row_of(q), i, sum);
	store_touch(q->store);
	return 0;
}

static int insert(struct request *q, size_t i, const struct argument *arg)
{
	struct purse *purse = request_purse(q);
	struct cell value = { 0 };
	int r = check_nesting(arg->depth);

	if (r == 0)
		r = row_reserve(purse, row_of(q), i, 1);
	if (r == 0)
		r = cell_make(purse, arg->data, arg->size, &value);
	if (r == 0)
		r = answer_nothing(q);
	if (r < 0) {
		cell_drop(purse, &value);
		return r;
	}
	row_open(row_of(q), i, 1);
	row_fill(row_of(q), i, value);
	store_touch(q->store);
	return 0;
}

int row_append(struct request *q)
{
	return insert(q, row_of(q)->n, &q->args[0]);
}

int row_insert(struct request *q)
{
	return insert(q, clamp(row_of(q), q->args[0].integer), &q->args[1]);
}

int row_pop(struct request *q)
{
	struct cell value;
	size_t i;
	int r = find(row_of(q), q->args[0].integer, &i);

	if (r == 0)
		r = answer_cell(q, row_at(row_of(q), i));
	if (r < 0)
		return r;
	value = row_take(request_purse(q), row_of(q), i);
	cell_drop(request_purse(q), &value);
	store_touch(q->store);
	return 0;
}

int row_index(struct request *q)
{
	const struct argument *arg = &q->args[0];

	for (size_t i = 0; i < row_of(q)->n; i++)
		if (cell_equal(row_at(row_of(q), i), arg->data, arg->size))
			return answer_int(q, (int64_t)i);
	return -ENOENT;
}

/* ---- many ------------------------------------------------------------------------- */

/* from .. to - 1 as one list. */
static int answer_part(struct request *q, size_t from, size_t to)
{
	const struct row *row = row_of(q);
	struct buf *out = &q->session->output;

	answer_begin(q);
	(void)codec_put_list(out, to - from);
	for (size_t i = from; i < to; i++)
		(void)buf_append(out, cell_data(row_at(row, i)),
				 cell_size(row_at(row, i)));
	return answer_end(q);
}

int row_items(struct request *q)
{
	if (row_of(q)->bytes > REEVE_MANAGER_VALUE_MAX)
		return -EMSGSIZE;
	return answer_part(q, 0, row_of(q)->n);
}

int row_slice(struct request *q)
{
	const struct row *row = row_of(q);
	size_t from = clamp(row, q->args[0].integer);
	size_t to = MAX(clamp(row, q->args[1].integer), from);
	size_t bytes = 0;

	for (size_t i = from; i < to && bytes <= REEVE_MANAGER_VALUE_MAX; i++)
		bytes += cell_size(row_at(row, i));
	if (bytes > REEVE_MANAGER_VALUE_MAX)
		return -EMSGSIZE;
	return answer_part(q, from, to);
}

/* Fills the gap of n items that begins at i. */
static int fill(struct store *store, struct object *o, struct reader *r,
		size_t i, size_t n)
{
	int error = 0;

	for (; error == 0 && n > 0; n--) {
		const unsigned char *data;
		struct cell value;
		size_t size;

		error = codec_skip(r, &data, &size);
		if (error == 0)
			error = check_item(o, data, size);
		if (error == 0)
			error = cell_make(&store->purse, data, size, &value);
		if (error == 0)
			row_fill(&o->row, i++, value);
	}
	return error;
}

int row_put_all(struct store *store, struct object *o,
		const struct argument *list)
{
	struct reader r = { list->data, list->size, 0 };
	size_t before = o->row.n, n;
	int error;

	if (list->kind != REEVE_ANY_LIST)
		return -EINVAL;
	error = codec_get_list(&r, &n);
	if (error == 0)
		error = row_reserve(&store->purse, &o->row, before, n);
	if (error < 0)
		return error;
	row_open(&o->row, before, n);
	error = fill(store, o, &r, before, n);
	if (error < 0)
		row_cut(&store->purse, &o->row, before);
	return error;
}

int row_extend(struct request *q)
{
	size_t before = row_of(q)->n;
	int r = row_put_all(q->store, q->object, &q->args[0]);

	if (r < 0)
		return r;
	r = answer_nothing(q);
	if (r < 0)
		row_cut(request_purse(q), row_of(q), before);
	else
		store_touch(q->store);
	return r;
}
