/* Dicts, and namespaces, which are dicts whose keys are strings.
 */
#include "workers/manager/server/store_room.h"

#include <errno.h>
#include <stdlib.h>

#include "workers/base/pure/macro.h"

/* ---- one key ------------------------------------------------------------------- */

static struct map *map_of(struct request *q)
{
	return &q->object->map;
}

/* A key of this request's: where it is, or would be. */
struct place {
	uint64_t hash;
	struct map_entry *entry; /* or NULL */
};

static int find(struct request *q, struct place *ret)
{
	const struct argument *key = &q->args[0];

	if (q->object->kind == REEVE_OBJECT_NAMESPACE &&
	    key->kind != REEVE_ANY_STRING)
		return -EINVAL;
	ret->hash = map_hash(q->store->hash_key, key->data, key->size);
	ret->entry = map_find(map_of(q), ret->hash, key->data, key->size);
	return 0;
}

static int answer_cell(struct request *q, const struct cell *value)
{
	return answer_encoded(q, cell_data(value), cell_size(value));
}

/* The key is not there. Takes value only when it returns 0; result: what is
 * answered, or NULL. */
static int add_entry(struct request *q, const struct place *place,
		     struct cell value, bool with_result)
{
	const struct argument *arg = &q->args[0];
	struct purse *purse = request_purse(q);
	struct cell key = { 0 };
	int r = map_reserve(purse, map_of(q), 1);

	if (r == 0)
		r = cell_make(purse, arg->data, arg->size, &key);
	if (r == 0)
		r = with_result ? answer_cell(q, &value) : answer_nothing(q);
	if (r < 0) {
		cell_drop(purse, &key);
		return r;
	}
	map_add(map_of(q), place->hash, key, value);
	store_touch(q->store);
	return 0;
}

static int replace_entry(struct request *q, struct map_entry *entry,
			 struct cell value, bool with_result)
{
	int r = with_result ? answer_cell(q, &value) : answer_nothing(q);

	if (r < 0)
		return r;
	map_set(request_purse(q), map_of(q), entry, value);
	store_touch(q->store);
	return 0;
}

/* Sets a key to what the second argument is. */
static int set_entry(struct request *q, const struct place *place,
		     bool with_result)
{
	const struct argument *arg = &q->args[1];
	struct purse *purse = request_purse(q);
	struct cell value = { 0 };
	int r = check_nesting(arg->depth);

	if (r < 0)
		return r;
	purse->credit = place->entry ? cell_cost(&place->entry->value) : 0;
	r = cell_make(purse, arg->data, arg->size, &value);
	purse->credit = 0;
	if (r < 0)
		return r;
	if (place->entry)
		r = replace_entry(q, place->entry, value, with_result);
	else
		r = add_entry(q, place, value, with_result);
	if (r < 0)
		cell_drop(purse, &value);
	return r;
}

int map_get(struct request *q)
{
	struct place place;
	int r = find(q, &place);

	if (r < 0)
		return r;
	return place.entry ? answer_cell(q, &place.entry->value) : -ENOENT;
}

int map_set_item(struct request *q)
{
	struct place place;
	int r = find(q, &place);

	return r < 0 ? r : set_entry(q, &place, false);
}

int map_setdefault(struct request *q)
{
	struct place place;
	int r = find(q, &place);

	if (r < 0)
		return r;
	if (place.entry)
		return answer_cell(q, &place.entry->value);
	return set_entry(q, &place, true);
}

/* A sum never has memory of its own: there is none to drop. */
int map_add_number(struct request *q)
{
	static const struct cell none;
	struct place place;
	struct cell sum;
	int r = find(q, &place);

	if (r == 0)
		r = number_add(place.entry ? &place.entry->value : &none,
			       &q->args[1], &sum);
	if (r < 0)
		return r;
	return place.entry ? replace_entry(q, place.entry, sum, true)
			   : add_entry(q, &place, sum, true);
}

int map_pop(struct request *q)
{
	struct place place;
	int r = find(q, &place);

	if (r < 0)
		return r;
	if (!place.entry)
		return -ENOENT;
	r = answer_cell(q, &place.entry->value);
	if (r < 0)
		return r;
	map_remove(request_purse(q), map_of(q), place.entry);
	store_touch(q->store);
	return 0;
}

int map_has(struct request *q)
{
	struct place place;
	int r = find(q, &place);

	return r < 0 ? r : answer_bool(q, place.entry);
}

/* ---- all -------------------------------------------------------------------------- */

int map_keys(struct request *q)
{
	struct map *m = map_of(q);
	struct buf *out = &q->session->output;
	size_t bytes = 0;

	for (struct map_entry *e = map_next(m, NULL); e; e = map_next(m, e))
		bytes += cell_size(&e->key);
	if (bytes > REEVE_MANAGER_VALUE_MAX)
		return -EMSGSIZE;
	answer_begin(q);
	(void)codec_put_list(out, m->n);
	for (struct map_entry *e = map_next(m, NULL); e; e = map_next(m, e))
		(void)buf_append(out, cell_data(&e->key), cell_size(&e->key));
	return answer_end(q);
}

int map_items(struct request *q)
{
	struct map *m = map_of(q);
	struct buf *out = &q->session->output;

	if (m->bytes > REEVE_MANAGER_VALUE_MAX)
		return -EMSGSIZE;
	answer_begin(q);
	(void)codec_put_dict(out, m->n);
	for (struct map_entry *e = map_next(m, NULL); e; e = map_next(m, e)) {
		(void)buf_append(out, cell_data(&e->key), cell_size(&e->key));
		(void)buf_append(out, cell_data(&e->value),
				 cell_size(&e->value));
	}
	return answer_end(q);
}

/* ---- many at once ------------------------------------------------------------------ */

/* Pairs on their way in: with memory of their own, but not in the map. */
struct pairs {
	struct map_entry *all;
	size_t n; /* begun */
	size_t n_new;
};

static void drop_pairs(struct purse *purse, struct pairs *pairs)
{
	for (size_t i = 0; i < pairs->n; i++) {
		cell_drop(purse, &pairs->all[i].key);
		cell_drop(purse, &pairs->all[i].value);
	}
	free(pairs->all);
}

/* A pair that replaces another needs no key: that cell stays empty. */
static int take_pair(struct store *store, const struct object *o,
		     struct reader *r, struct pairs *pairs)
{
	struct map_entry *pair = &pairs->all[pairs->n], *old;
	const unsigned char *key = NULL, *value = NULL;
	size_t key_size = 0, value_size = 0;
	enum reeve_any_kind kind;
	int error = codec_peek(r, &kind);

	if (error == 0)
		error = codec_skip(r, &key, &key_size);
	if (error == 0)
		error = codec_skip(r, &value, &value_size);
	if (error < 0)
		return error;
	if (o->kind == REEVE_OBJECT_NAMESPACE && kind != REEVE_ANY_STRING)
		return -EINVAL;
	*pair = (struct map_entry){ .hash = map_hash(store->hash_key, key,
						     key_size) };
	pairs->n++;
	old = map_find(&o->map, pair->hash, key, key_size);
	if (old)
		store->purse.credit += cell_cost(&old->value);
	error = cell_make(&store->purse, value, value_size, &pair->value);
	if (error == 0 && !old) {
		pairs->n_new++;
		error = cell_make(&store->purse, key, key_size, &pair->key);
	}
	return error;
}

static int take_pairs(struct store *store, struct object *o, struct reader *r,
		      size_t n, struct pairs *ret)
{
	struct pairs pairs = { .all = calloc(MAX(n, 1), sizeof(*pairs.all)) };
	int error = pairs.all ? 0 : -ENOMEM;

	for (size_t i = 0; error == 0 && i < n; i++)
		error = take_pair(store, o, r, &pairs);
	if (error == 0)
		error = map_reserve(&store->purse, &o->map, pairs.n_new);
	store->purse.credit = 0;
	if (error < 0) {
		drop_pairs(&store->purse, &pairs);
		return error;
	}
	*ret = pairs;
	return 0;
}

/* The keys of those that replace are read once more. */
static void put_pairs(struct store *store, struct object *o, struct reader r,
		      struct pairs *pairs)
{
	for (size_t i = 0; i < pairs->n; i++) {
		struct map_entry *pair = &pairs->all[i];
		const unsigned char *key = NULL;
		size_t size = 0;

		(void)codec_skip(&r, &key, &size);
		(void)codec_skip(&r, NULL, NULL);
		if (cell_is_empty(&pair->key))
			map_set(&store->purse, &o->map,
				map_find(&o->map, pair->hash, key, size),
				pair->value);
		else
			map_add(&o->map, pair->hash, pair->key, pair->value);
	}
	pairs->n = 0; /* they are in the map */
	store_touch(store);
}

int map_put_all(struct store *store, struct object *o,
		const struct argument *dict, struct request *q)
{
	struct reader r = { dict->data, dict->size, 0 }, again;
	struct pairs pairs = { 0 };
	size_t n = 0;
	int error;

	if (dict->kind != REEVE_ANY_DICT)
		return -EINVAL;
	error = codec_get_dict(&r, &n);
	again = r;
	if (error == 0)
		error = take_pairs(store, o, &r, n, &pairs);
	if (error < 0)
		return error;
	if (q)
		error = answer_nothing(q);
	if (error == 0)
		put_pairs(store, o, again, &pairs);
	drop_pairs(&store->purse, &pairs);
	return error;
}

int map_update(struct request *q)
{
	return map_put_all(q->store, q->object, &q->args[0], q);
}
