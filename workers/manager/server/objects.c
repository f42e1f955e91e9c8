/* Objects: their names, and when they go.
 *
 * An object lives by its name, or, if that begins with '#', while somebody has it
 * open: by a handle or a request that waits. Whether it may stay is looked at when
 * all else is done (objects_settle), so that nobody who is at work on an object
 * loses it.
 *
 * Names are found by SipHash with the store's key, in chains.
 */
#include "workers/manager/server/store_room.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "workers/base/pure/macro.h"

#define BUCKETS_MIN 64

const char *object_kind_name(enum reeve_object_kind kind)
{
	static const char *const names[REEVE_OBJECT_COUNT] = {
		[REEVE_OBJECT_DICT] = "dict",
		[REEVE_OBJECT_NAMESPACE] = "namespace",
		[REEVE_OBJECT_LIST] = "list",
		[REEVE_OBJECT_ARRAY] = "array",
		[REEVE_OBJECT_VALUE] = "value",
		[REEVE_OBJECT_QUEUE] = "queue",
		[REEVE_OBJECT_LOCK] = "lock",
		[REEVE_OBJECT_RLOCK] = "rlock",
		[REEVE_OBJECT_SEMAPHORE] = "semaphore",
		[REEVE_OBJECT_BOUNDED_SEMAPHORE] = "bounded semaphore",
		[REEVE_OBJECT_EVENT] = "event",
		[REEVE_OBJECT_CONDITION] = "condition",
		[REEVE_OBJECT_BARRIER] = "barrier",
	};

	return names[kind];
}

bool is_object_name(const char *name, size_t len)
{
	return len > 0 && len <= PROTOCOL_NAME_MAX && !memchr(name, '\0', len);
}

bool object_is_named(const struct object *o)
{
	return o->name[0] != '#';
}

/* ---- by name ---------------------------------------------------------------------- */

static struct object **bucket_of(const struct store *store, const char *name,
				 size_t len)
{
	uint64_t hash = map_hash(store->hash_key, name, len);

	return &store->buckets[hash & (store->n_buckets - 1)];
}

static void link_name(struct store *store, struct object *o)
{
	struct object **bucket = bucket_of(store, o->name, o->name_len);

	o->next_in_bucket = *bucket;
	*bucket = o;
}

static void unlink_name(struct store *store, struct object *o)
{
	struct object **p = bucket_of(store, o->name, o->name_len);

	while (*p != o)
		p = &(*p)->next_in_bucket;
	*p = o->next_in_bucket;
}

/* One more object. */
static int reserve_bucket(struct store *store)
{
	size_t n = MAX(2 * store->n_buckets, (size_t)BUCKETS_MIN);
	struct object **buckets;

	if (store->n_objects < store->n_buckets)
		return 0;
	buckets = purse_new_zero(&store->purse, n * sizeof(struct object *));
	if (!buckets) /* long chains, then */
		return store->buckets ? 0 : store->purse.error;
	purse_free(&store->purse, store->buckets,
		   store->n_buckets * sizeof(struct object *));
	store->buckets = buckets;
	store->n_buckets = n;

	struct object *o;

	TAILQ_FOREACH(o, &store->objects, in_all)
	link_name(store, o);
	return 0;
}

struct object *object_find(const struct store *store, const char *name,
			   size_t len)
{
	struct object *o =
		store->n_buckets ? *bucket_of(store, name, len) : NULL;

	while (o && (o->name_len != len || memcmp(o->name, name, len) != 0))
		o = o->next_in_bucket;
	return o;
}

void object_make_name(struct store *store, char ret_name[static NAMELESS_MAX])
{
	store->nameless[1]++;
	(void)snprintf(ret_name, NAMELESS_MAX, "#%016" PRIx64 "%016" PRIx64,
		       store->nameless[0], store->nameless[1]);
}

/* ---- life -------------------------------------------------------------------------- */

int object_new(struct store *store, enum reeve_object_kind kind,
	       const char *name, size_t name_len, struct object **ret_object)
{
	struct object *o;
	int r;

	if (store->n_objects >= store->limits.max_objects)
		return -ENOSPC;
	r = reserve_bucket(store);
	if (r < 0)
		return r;
	o = purse_new_zero(&store->purse, sizeof(*o));
	if (!o)
		return store->purse.error;
	o->name = purse_new(&store->purse, name_len + 1);
	if (!o->name) {
		purse_free(&store->purse, o, sizeof(*o));
		return store->purse.error;
	}
	memcpy(o->name, name, name_len);
	o->name[name_len] = '\0';
	o->name_len = name_len;
	o->kind = kind;
	TAILQ_INIT(&o->stakes);
	for (size_t i = 0; i < WAIT_LISTS; i++)
		TAILQ_INIT(&o->waiters[i]);
	TAILQ_INSERT_TAIL(&store->objects, o, in_all);
	link_name(store, o);
	store->n_objects++;
	*ret_object = o;
	return 0;
}

static void drop_contents(struct store *store, struct object *o)
{
	switch (o->kind) {
	case REEVE_OBJECT_DICT:
	case REEVE_OBJECT_NAMESPACE:
		map_clear(&store->purse, &o->map);
		break;
	case REEVE_OBJECT_LIST:
	case REEVE_OBJECT_ARRAY:
		row_clear(&store->purse, &o->row);
		break;
	case REEVE_OBJECT_VALUE:
		cell_drop(&store->purse, &o->value);
		break;
	case REEVE_OBJECT_QUEUE:
		row_clear(&store->purse, &o->queue.items);
		break;
	case REEVE_OBJECT_LOCK:
	case REEVE_OBJECT_RLOCK:
	case REEVE_OBJECT_SEMAPHORE:
	case REEVE_OBJECT_BOUNDED_SEMAPHORE:
	case REEVE_OBJECT_EVENT:
	case REEVE_OBJECT_CONDITION:
	case REEVE_OBJECT_BARRIER:
	case REEVE_OBJECT_COUNT:
		break;
	}
}

void object_free(struct store *store, struct object *o)
{
	struct stake *stake;

	for (size_t i = 0; i < WAIT_LISTS; i++)
		reeve_assert(TAILQ_EMPTY(&o->waiters[i]));
	while ((stake = TAILQ_FIRST(&o->stakes)))
		stake_free(store, stake);
	drop_contents(store, o);
	if (o->is_unopened)
		TAILQ_REMOVE(&store->unopened, o, in_unopened);
	TAILQ_REMOVE(&store->objects, o, in_all);
	unlink_name(store, o);
	store->n_objects--;
	purse_free(&store->purse, o->name, o->name_len + 1);
	purse_free(&store->purse, o, sizeof(*o));
}

void object_rename(struct store *store, struct object *o, char *name,
		   size_t name_len)
{
	unlink_name(store, o);
	purse_free(&store->purse, o->name, o->name_len + 1);
	o->name = name;
	o->name_len = name_len;
	link_name(store, o);
	if (o->n_open == 0)
		object_unopened(store, o);
}

void object_unopened(struct store *store, struct object *o)
{
	if (o->is_unopened)
		return;
	o->is_unopened = true;
	TAILQ_INSERT_TAIL(&store->unopened, o, in_unopened);
}

void object_opened(struct object *o)
{
	o->n_open++;
}

void object_closed(struct store *store, struct object *o)
{
	reeve_assert(o->n_open > 0);
	if (--o->n_open == 0)
		object_unopened(store, o);
}

void objects_settle(struct store *store)
{
	struct object *o;

	while ((o = TAILQ_FIRST(&store->unopened))) {
		TAILQ_REMOVE(&store->unopened, o, in_unopened);
		o->is_unopened = false;
		if (o->n_open == 0 && !object_is_named(o))
			object_free(store, o);
	}
}
