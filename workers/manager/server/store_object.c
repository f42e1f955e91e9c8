/* The verbs that are about objects as such: open, close, delete, names, length ...
 */
#include "workers/manager/server/store_room.h"

#include <errno.h>
#include <string.h>

#include "workers/base/pure/macro.h"

/* ---- what a new object begins with ------------------------------------------------- */

/* Zeros, behind what there is. */
static int fill_array(struct store *store, struct object *o, size_t n)
{
	const struct cell zero = number_cell(0);
	size_t before = o->row.n;
	int r = row_reserve(&store->purse, &o->row, before, n);

	if (r < 0)
		return r;
	row_open(&o->row, before, n);
	for (size_t i = 0; i < n; i++)
		row_fill(&o->row, before + i, zero);
	return 0;
}

static int fill_row(struct store *store, struct object *o, int64_t size,
		    const struct argument *value)
{
	int r = 0;

	if (value->kind != REEVE_ANY_NIL)
		r = row_put_all(store, o, value);
	if (r < 0 || o->kind == REEVE_OBJECT_LIST)
		return r;
	if (size > 0 && (uint64_t)size < o->row.n)
		return -EINVAL;
	return fill_array(store, o, size > 0 ? (size_t)size - o->row.n : 0);
}

static int fill_counts(struct object *o, int64_t size)
{
	switch (o->kind) {
	case REEVE_OBJECT_QUEUE:
		o->queue.bound = (uint64_t)size;
		return 0;
	case REEVE_OBJECT_SEMAPHORE:
	case REEVE_OBJECT_BOUNDED_SEMAPHORE:
		o->semaphore.size = o->semaphore.n_free = size;
		return size == 0 && o->kind == REEVE_OBJECT_BOUNDED_SEMAPHORE
			       ? -EINVAL
			       : 0;
	case REEVE_OBJECT_BARRIER:
		o->barrier.parties = size;
		return size == 0 ? -EINVAL : 0;
	case REEVE_OBJECT_LOCK:
	case REEVE_OBJECT_RLOCK:
	case REEVE_OBJECT_EVENT:
	case REEVE_OBJECT_CONDITION:
	case REEVE_OBJECT_DICT:
	case REEVE_OBJECT_NAMESPACE:
	case REEVE_OBJECT_LIST:
	case REEVE_OBJECT_ARRAY:
	case REEVE_OBJECT_VALUE:
	case REEVE_OBJECT_COUNT:
		break;
	}
	return 0;
}

int object_fill(struct store *store, struct object *o, int64_t size,
		const struct argument *value)
{
	bool is_nil = value->kind == REEVE_ANY_NIL;

	if (size < 0)
		return -EINVAL;
	if (KINDS_MAP & (1U << o->kind))
		return is_nil ? 0 : map_put_all(store, o, value, NULL);
	if (KINDS_ROW & (1U << o->kind))
		return fill_row(store, o, size, value);
	if (o->kind == REEVE_OBJECT_VALUE)
		return cell_make(&store->purse, value->data, value->size,
				 &o->value);
	return is_nil ? fill_counts(o, size) : -EINVAL;
}

/* ---- open -------------------------------------------------------------------------- */

struct wish {
	enum reeve_object_kind kind;
	const char *name;
	size_t name_len;
	int64_t size;
	char made_up[NAMELESS_MAX];
};

static int read_wish(struct request *q, struct wish *w)
{
	const struct argument *kind = &q->args[0], *name = &q->args[1];

	if (kind->integer < 0 || kind->integer >= REEVE_OBJECT_COUNT)
		return -EINVAL;
	w->kind = (enum reeve_object_kind)kind->integer;
	w->size = q->args[2].integer;
	if (name->kind == REEVE_ANY_NIL) {
		object_make_name(q->store, w->made_up);
		w->name = w->made_up;
		w->name_len = strlen(w->made_up);
		return 0;
	}
	w->name = name->string;
	w->name_len = name->len;
	if (name->kind != REEVE_ANY_STRING ||
	    !is_object_name(name->string, name->len))
		return -EINVAL;
	return 0;
}

static int make(struct request *q, const struct wish *w,
		struct object **ret_object)
{
	struct object *o;
	int r = object_new(q->store, w->kind, w->name, w->name_len, &o);

	if (r < 0)
		return r;
	r = object_fill(q->store, o, w->size, &q->args[3]);
	if (r < 0) {
		object_free(q->store, o);
		return r;
	}
	*ret_object = o;
	return 0;
}

static int answer_open(struct request *q, int64_t handle, bool was_made,
		       bool is_restored)
{
	struct buf *out = &q->session->output;

	answer_begin(q);
	(void)codec_put_int(out, handle);
	(void)codec_put_bool(out, was_made);
	(void)codec_put_bool(out, is_restored);
	return answer_end(q);
}

int request_open(struct request *q)
{
	struct wish wish = { 0 };
	struct object *o;
	bool was_made = false;
	int64_t handle = 0;
	int r = read_wish(q, &wish);

	if (r < 0)
		return r;
	o = object_find(q->store, wish.name, wish.name_len);
	if (o && o->kind != wish.kind)
		return -EEXIST;
	if (!o) {
		r = make(q, &wish, &o);
		was_made = r == 0;
	}
	if (r == 0)
		r = handle_new(q->session, o, &handle);
	if (r == 0)
		r = answer_open(q, handle, was_made, o->is_restored);
	if (r < 0 && handle)
		handle_free(q->session, handle);
	if (r < 0 && was_made)
		object_free(q->store, o);
	if (r == 0 && was_made)
		store_touch(q->store);
	return r;
}

/* ---- the others --------------------------------------------------------------------- */

int request_close(struct request *q)
{
	int r = answer_nothing(q);

	if (r == 0)
		handle_free(q->session, q->handle);
	return r;
}

/* Its name is free at once; it gets one that is made up. */
int request_delete(struct request *q)
{
	char *name = purse_new(request_purse(q), NAMELESS_MAX);
	struct object *o =
		object_find(q->store, q->args[0].string, q->args[0].len);
	int r = o ? 0 : -ENOENT;

	if (r == 0 && !name)
		r = request_purse(q)->error;
	if (r == 0)
		r = answer_nothing(q);
	if (r < 0) {
		purse_free(request_purse(q), name, NAMELESS_MAX);
		return r;
	}
	object_make_name(q->store, name);
	object_rename(q->store, o, name, NAMELESS_MAX - 1);
	store_touch(q->store);
	return 0;
}

int request_name(struct request *q)
{
	answer_begin(q);
	(void)codec_put_string(&q->session->output, q->object->name,
			       q->object->name_len);
	return answer_end(q);
}

int request_names(struct request *q)
{
	struct buf *out = &q->session->output;
	const struct object *o;
	size_t n = 0;

	TAILQ_FOREACH(o, &q->store->objects, in_all)
	n += object_is_named(o);
	answer_begin(q);
	(void)codec_put_dict(out, n);
	TAILQ_FOREACH(o, &q->store->objects, in_all)
	{
		const char *kind = object_kind_name(o->kind);

		if (!object_is_named(o))
			continue;
		(void)codec_put_string(out, o->name, o->name_len);
		(void)codec_put_string(out, kind, strlen(kind));
	}
	return answer_end(q);
}

int request_stats(struct request *q)
{
	const struct store *store = q->store;
	struct buf *out = &q->session->output;
	const struct counter own[] = {
		{ "sessions", (int64_t)store->n_sessions },
		{ "objects", (int64_t)store->n_objects },
		{ "bytes", (int64_t)store->purse.bytes },
		{ "requests", (int64_t)store->n_requests },
		{ "waiting", (int64_t)store->n_waiters },
	};

	answer_begin(q);
	(void)codec_put_dict(out, ARRAY_SIZE(own) + store->n_counters);
	for (size_t i = 0; i < ARRAY_SIZE(own) + store->n_counters; i++) {
		const struct counter *c =
			i < ARRAY_SIZE(own)
				? &own[i]
				: &store->counters[i - ARRAY_SIZE(own)];

		(void)codec_put_string(out, c->name, strlen(c->name));
		(void)codec_put_int(out, c->value);
	}
	return answer_end(q);
}

int request_length(struct request *q)
{
	const struct object *o = q->object;

	if (KINDS_MAP & (1U << o->kind))
		return answer_int(q, (int64_t)o->map.n);
	if (KINDS_ROW & (1U << o->kind))
		return answer_int(q, (int64_t)o->row.n);
	return answer_int(q, (int64_t)o->queue.items.n);
}

int request_clear(struct request *q)
{
	int r = answer_nothing(q);

	if (r < 0)
		return r;
	if (KINDS_MAP & (1U << q->object->kind))
		map_clear(request_purse(q), &q->object->map);
	else
		row_clear(request_purse(q), &q->object->row);
	store_touch(q->store);
	return 0;
}

int request_items(struct request *q)
{
	return KINDS_MAP & (1U << q->object->kind) ? map_items(q)
						   : row_items(q);
}
