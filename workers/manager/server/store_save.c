/* Snapshots: CBOR, one item after the other.
 *
 *   int       how many objects
 *   objects   kind (int), name (string), size (int), and by kind:
 *     dict, namespace             a dict
 *     list, array                 a list
 *     value                       a value
 *     queue                       a list, int: how many were lost. size: its bound
 *     lock, rlock, condition      bool: a holder has died
 *     semaphores                  int: free ones. size: a bounded one's bound
 *     event                       bool: is it set?
 *     barrier                     bool: is it broken? size: its parties
 *
 * Objects without a name of their own are not kept: when the store is loaded,
 * nobody has them open. Nobody holds anything then: units have come back, tasks that
 * sessions had got are lost, and a lock that was held is one whose holder has
 * died, since what it protects was saved half done.
 *
 * What is read is believed in nothing: whoever wrote it, the store is a sound one
 * afterwards, or there is none.
 */
#include "workers/manager/server/store_room.h"

#include <errno.h>
#include <string.h>

#include "workers/base/pure/macro.h"

#define PIECE_BYTES ((size_t)1 << 18) /* written at a time, about */

/* ---- saving ---------------------------------------------------------------------- */

struct saver {
	const struct store_sink *sink;
	struct buf piece;
	int error;
};

static void write_out(struct saver *s, const void *data, size_t size)
{
	if (s->error == 0)
		s->error = s->piece.error;
	if (s->error == 0 && size > 0)
		s->error = s->sink->write(s->sink->userdata, data, size);
}

static void flush(struct saver *s)
{
	write_out(s, s->piece.data, s->piece.len);
	buf_clear(&s->piece);
}

static void save_cell(struct saver *s, const struct cell *c)
{
	if (s->piece.len + cell_size(c) > PIECE_BYTES)
		flush(s);
	if (cell_size(c) > PIECE_BYTES)
		write_out(s, cell_data(c), cell_size(c));
	else
		(void)buf_append(&s->piece, cell_data(c), cell_size(c));
}

static void save_row(struct saver *s, const struct row *row)
{
	(void)codec_put_list(&s->piece, row->n);
	for (size_t i = 0; i < row->n; i++)
		save_cell(s, row_at(row, i));
}

static void save_map(struct saver *s, const struct map *m)
{
	(void)codec_put_dict(&s->piece, m->n);
	for (struct map_entry *e = map_next(m, NULL); e; e = map_next(m, e)) {
		save_cell(s, &e->key);
		save_cell(s, &e->value);
	}
}

/* As many free ones as there are when nobody holds any. */
static int64_t free_units(const struct object *o)
{
	bool is_bounded = o->kind == REEVE_OBJECT_BOUNDED_SEMAPHORE;
	int64_t n = o->semaphore.n_free,
		most = is_bounded ? o->semaphore.size : INT64_MAX;
	const struct stake *stake;

	TAILQ_FOREACH(stake, &o->stakes, in_object)
	{
		uint64_t room = (uint64_t)(most - n);

		n += (int64_t)MIN(stake->n_held, room);
	}
	return n;
}

static int64_t size_of(const struct object *o)
{
	switch (o->kind) {
	case REEVE_OBJECT_QUEUE:
		return (int64_t)o->queue.bound;
	case REEVE_OBJECT_SEMAPHORE:
	case REEVE_OBJECT_BOUNDED_SEMAPHORE:
		return o->semaphore.size;
	case REEVE_OBJECT_BARRIER:
		return o->barrier.parties;
	case REEVE_OBJECT_DICT:
	case REEVE_OBJECT_NAMESPACE:
	case REEVE_OBJECT_LIST:
	case REEVE_OBJECT_ARRAY:
	case REEVE_OBJECT_VALUE:
	case REEVE_OBJECT_LOCK:
	case REEVE_OBJECT_RLOCK:
	case REEVE_OBJECT_EVENT:
	case REEVE_OBJECT_CONDITION:
	case REEVE_OBJECT_COUNT:
		break;
	}
	return 0;
}

static void save_contents(struct saver *s, const struct object *o)
{
	struct buf *b = &s->piece;

	switch (o->kind) {
	case REEVE_OBJECT_DICT:
	case REEVE_OBJECT_NAMESPACE:
		save_map(s, &o->map);
		break;
	case REEVE_OBJECT_LIST:
	case REEVE_OBJECT_ARRAY:
		save_row(s, &o->row);
		break;
	case REEVE_OBJECT_VALUE:
		save_cell(s, &o->value);
		break;
	case REEVE_OBJECT_QUEUE:
		save_row(s, &o->queue.items);
		(void)codec_put_int(
			b, (int64_t)(o->queue.n_lost + o->queue.n_got));
		break;
	case REEVE_OBJECT_LOCK:
	case REEVE_OBJECT_RLOCK:
	case REEVE_OBJECT_CONDITION:
		(void)codec_put_bool(b, o->lock.has_died || o->lock.holder);
		break;
	case REEVE_OBJECT_SEMAPHORE:
	case REEVE_OBJECT_BOUNDED_SEMAPHORE:
		(void)codec_put_int(b, free_units(o));
		break;
	case REEVE_OBJECT_EVENT:
		(void)codec_put_bool(b, o->is_set);
		break;
	case REEVE_OBJECT_BARRIER:
		(void)codec_put_bool(b, o->barrier.is_broken);
		break;
	case REEVE_OBJECT_COUNT:
		break;
	}
}

int store_save(const struct store *store, const struct store_sink *sink)
{
	struct saver s = { .sink = sink };
	const struct object *o;
	int64_t n = 0;

	TAILQ_FOREACH(o, &store->objects, in_all)
	n += object_is_named(o);
	(void)codec_put_int(&s.piece, n);
	TAILQ_FOREACH(o, &store->objects, in_all)
	{
		if (!object_is_named(o))
			continue;
		(void)codec_put_int(&s.piece, o->kind);
		(void)codec_put_string(&s.piece, o->name, o->name_len);
		(void)codec_put_int(&s.piece, size_of(o));
		save_contents(&s, o);
		if (s.piece.len > PIECE_BYTES)
			flush(&s);
	}
	flush(&s);
	buf_done(&s.piece);
	return s.error;
}

/* ---- loading ----------------------------------------------------------------------- */

static int load_cell(struct store *store, struct reader *r, bool is_inner,
		     struct cell *ret)
{
	const unsigned char *data = NULL;
	size_t size = 0, depth = 0;
	int error = codec_skip_nested(r, &data, &size, &depth);

	if (error == 0 && is_inner)
		error = check_nesting(depth);
	if (error < 0)
		return error;
	if (size > REEVE_MANAGER_VALUE_MAX)
		return -EBADMSG;
	return cell_make(&store->purse, data, size, ret);
}

static int load_item(struct store *store, struct reader *r, struct object *o,
		     struct row *row)
{
	struct cell value = { 0 };
	size_t n = row->n;
	int error = row_reserve(&store->purse, row, n, 1);

	if (error == 0)
		error = load_cell(store, r, o->kind != REEVE_OBJECT_QUEUE,
				  &value);
	if (error == 0 && o->kind == REEVE_OBJECT_ARRAY &&
	    !number_is_one(cell_data(&value), cell_size(&value)))
		error = -EBADMSG;
	if (error < 0) {
		cell_drop(&store->purse, &value);
		return error;
	}
	row_open(row, n, 1);
	row_fill(row, n, value);
	return 0;
}

static int load_row(struct store *store, struct reader *r, struct object *o,
		    struct row *row)
{
	size_t n = 0;
	int error = codec_get_list(r, &n);

	for (; error == 0 && n > 0; n--)
		error = load_item(store, r, o, row);
	return error;
}

static bool is_key_of(const struct object *o, enum reeve_any_kind kind)
{
	if (o->kind == REEVE_OBJECT_NAMESPACE)
		return kind == REEVE_ANY_STRING;
	return kind == REEVE_ANY_STRING || kind == REEVE_ANY_BYTES ||
	       kind == REEVE_ANY_BOOL || kind == REEVE_ANY_INT;
}

static int load_pair(struct store *store, struct reader *r, struct object *o)
{
	struct cell key = { 0 }, value = { 0 };
	enum reeve_any_kind kind = REEVE_ANY_NIL;
	uint64_t hash = 0;
	int error = codec_peek(r, &kind);

	if (error == 0 && !is_key_of(o, kind))
		error = -EBADMSG;
	if (error == 0)
		error = map_reserve(&store->purse, &o->map, 1);
	if (error == 0)
		error = load_cell(store, r, true, &key);
	if (error == 0)
		error = load_cell(store, r, true, &value);
	if (error == 0) {
		hash = map_hash(store->hash_key, cell_data(&key),
				cell_size(&key));
		if (map_find(&o->map, hash, cell_data(&key), cell_size(&key)))
			error = -EBADMSG;
	}
	if (error < 0) {
		cell_drop(&store->purse, &key);
		cell_drop(&store->purse, &value);
		return error;
	}
	map_add(&o->map, hash, key, value);
	return 0;
}

static int load_map(struct store *store, struct reader *r, struct object *o)
{
	size_t n = 0;
	int error = codec_get_dict(r, &n);

	for (; error == 0 && n > 0; n--)
		error = load_pair(store, r, o);
	return error;
}

static int load_queue(struct store *store, struct reader *r, struct object *o,
		      int64_t bound)
{
	int64_t n_lost = 0;
	int error = load_row(store, r, o, &o->queue.items);

	if (error == 0)
		error = codec_get_int(r, &n_lost);
	if (error < 0)
		return error;
	if (bound < 0 || n_lost < 0 ||
	    (bound > 0 && o->queue.items.n > (uint64_t)bound))
		return -EBADMSG;
	o->queue.bound = (uint64_t)bound;
	o->queue.n_lost = (uint64_t)n_lost;
	return 0;
}

static int load_semaphore(struct reader *r, struct object *o, int64_t size)
{
	bool is_bounded = o->kind == REEVE_OBJECT_BOUNDED_SEMAPHORE;
	int64_t n_free = 0;
	int error = codec_get_int(r, &n_free);

	if (error < 0)
		return error;
	if (size < is_bounded || n_free < 0 || (is_bounded && n_free > size))
		return -EBADMSG;
	o->semaphore = (struct semaphore){ .n_free = n_free, .size = size };
	return 0;
}

static int load_barrier(struct reader *r, struct object *o, int64_t parties)
{
	if (parties < 1)
		return -EBADMSG;
	o->barrier.parties = parties;
	return codec_get_bool(r, &o->barrier.is_broken);
}

static int load_contents(struct store *store, struct reader *r,
			 struct object *o, int64_t size)
{
	switch (o->kind) {
	case REEVE_OBJECT_DICT:
	case REEVE_OBJECT_NAMESPACE:
		return load_map(store, r, o);
	case REEVE_OBJECT_LIST:
	case REEVE_OBJECT_ARRAY:
		return load_row(store, r, o, &o->row);
	case REEVE_OBJECT_VALUE:
		return load_cell(store, r, false, &o->value);
	case REEVE_OBJECT_QUEUE:
		return load_queue(store, r, o, size);
	case REEVE_OBJECT_LOCK:
	case REEVE_OBJECT_RLOCK:
	case REEVE_OBJECT_CONDITION:
		return codec_get_bool(r, &o->lock.has_died);
	case REEVE_OBJECT_SEMAPHORE:
	case REEVE_OBJECT_BOUNDED_SEMAPHORE:
		return load_semaphore(r, o, size);
	case REEVE_OBJECT_EVENT:
		return codec_get_bool(r, &o->is_set);
	case REEVE_OBJECT_BARRIER:
		return load_barrier(r, o, size);
	case REEVE_OBJECT_COUNT:
		break;
	}
	return -EBADMSG;
}

static int load_object(struct store *store, struct reader *r)
{
	int64_t kind = 0, size = 0;
	const char *name = "";
	struct object *o;
	size_t len = 0;
	int error = codec_get_int(r, &kind);

	if (error == 0)
		error = codec_get_string(r, &name, &len);
	if (error == 0)
		error = codec_get_int(r, &size);
	if (error < 0)
		return error;
	if (kind < 0 || kind >= REEVE_OBJECT_COUNT ||
	    !is_object_name(name, len) || name[0] == '#' ||
	    object_find(store, name, len))
		return -EBADMSG;
	error = object_new(store, (enum reeve_object_kind)kind, name, len, &o);
	if (error < 0)
		return error;
	o->is_restored = true;
	return load_contents(store, r, o, size);
}

int store_load(struct store *store, const void *data, size_t size)
{
	struct reader r = { data, size, 0 };
	struct object *o;
	int64_t n = 0;
	int error;

	reeve_assert(store->n_objects == 0);
	error = codec_get_int(&r, &n);
	if (error == 0 && n < 0)
		error = -EBADMSG;
	for (; error == 0 && n > 0; n--)
		error = load_object(store, &r);
	if (error == 0 && !reader_is_at_end(&r))
		error = -EBADMSG;
	if (error == 0)
		return 0;
	while ((o = TAILQ_FIRST(&store->objects)))
		object_free(store, o);
	return error == -ENOSPC || error == -ENOMEM ? error : -EBADMSG;
}
