/* The store: its sessions, and how a request comes to its handler.
 *
 * A request is checked against its verb's row before the handler sees it: is it for
 * this kind of object, are there as many arguments, of these kinds? What is no
 * sequence of items at all ends the connection; what is one, but wrong, is told.
 */
#include "workers/manager/server/store.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/manager/server/store_room.h"

static request_handler *const handlers[VERB_COUNT] = {
	[VERB_PING] = answer_nothing,
	[VERB_OPEN] = request_open,
	[VERB_DELETE] = request_delete,
	[VERB_NAMES] = request_names,
	[VERB_STATS] = request_stats,
	[VERB_CLOSE] = request_close,
	[VERB_NAME] = request_name,
	[VERB_LENGTH] = request_length,
	[VERB_CLEAR] = request_clear,
	[VERB_ITEMS] = request_items,
	[VERB_DICT_GET] = map_get,
	[VERB_DICT_SET] = map_set_item,
	[VERB_DICT_SETDEFAULT] = map_setdefault,
	[VERB_DICT_ADD] = map_add_number,
	[VERB_DICT_POP] = map_pop,
	[VERB_DICT_HAS] = map_has,
	[VERB_DICT_KEYS] = map_keys,
	[VERB_DICT_UPDATE] = map_update,
	[VERB_LIST_GET] = row_get,
	[VERB_LIST_SET] = row_set_item,
	[VERB_LIST_ADD] = row_add_number,
	[VERB_LIST_SLICE] = row_slice,
	[VERB_LIST_APPEND] = row_append,
	[VERB_LIST_EXTEND] = row_extend,
	[VERB_LIST_INSERT] = row_insert,
	[VERB_LIST_POP] = row_pop,
	[VERB_LIST_INDEX] = row_index,
	[VERB_VALUE_GET] = value_get,
	[VERB_VALUE_SET] = value_set,
	[VERB_VALUE_ADD] = value_add,
	[VERB_QUEUE_PUT] = queue_put,
	[VERB_QUEUE_GET] = queue_get,
	[VERB_QUEUE_IS_FULL] = queue_is_full,
	[VERB_QUEUE_TASK_DONE] = queue_task_done,
	[VERB_QUEUE_JOIN] = queue_join,
	[VERB_ACQUIRE] = request_acquire,
	[VERB_RELEASE] = request_release,
	[VERB_WAIT] = request_wait,
	[VERB_NOTIFY] = condition_notify,
	[VERB_EVENT_SET] = event_set,
	[VERB_EVENT_CLEAR] = event_clear,
	[VERB_EVENT_IS_SET] = event_is_set,
	[VERB_BARRIER_WAIT] = barrier_wait,
	[VERB_BARRIER_RESET] = barrier_reset,
	[VERB_BARRIER_ABORT] = barrier_abort,
	[VERB_BARRIER_STATE] = barrier_state,
};

/* ---- life ------------------------------------------------------------------------ */

int store_new(const struct store_limits *limits, struct store **ret_store)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store)
		return -ENOMEM;
	store->limits = *limits;
	store->purse.max = limits->max_bytes;
	randombytes_buf(store->hash_key, sizeof(store->hash_key));
	randombytes_buf(store->nameless, sizeof(store->nameless));
	TAILQ_INIT(&store->objects);
	TAILQ_INIT(&store->unopened);
	TAILQ_INIT(&store->sessions);
	TAILQ_INIT(&store->ready);
	*ret_store = store;
	return 0;
}

struct store *store_free(struct store *store)
{
	struct object *o;

	if (!store)
		return NULL;
	reeve_assert(TAILQ_EMPTY(&store->sessions));
	while ((o = TAILQ_FIRST(&store->objects)))
		object_free(store, o);
	purse_free(&store->purse, store->buckets,
		   store->n_buckets * sizeof(struct object *));
	reeve_assert(store->purse.bytes == 0);
	heap_done(&store->deadlines);
	free(store);
	return NULL;
}

int session_new(struct store *store, void *userdata,
		struct session **ret_session)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return -ENOMEM;
	session->store = store;
	session->userdata = userdata;
	session->output = BUF_INIT(store->limits.max_output_bytes);
	TAILQ_INIT(&session->stakes);
	TAILQ_INIT(&session->waiters);
	TAILQ_INSERT_TAIL(&store->sessions, session, in_all);
	store->n_sessions++;
	*ret_session = session;
	return 0;
}

void *session_userdata(const struct session *session)
{
	return session->userdata;
}

struct buf *session_output(struct session *session)
{
	return &session->output;
}

int session_error(const struct session *session)
{
	return session->error;
}

/* First it stops waiting, so that it is given nothing of what it gives back. */
struct session *session_free(struct session *session)
{
	struct store *store;
	struct waiter *w;
	struct stake *stake;

	if (!session)
		return NULL;
	store = session->store;
	if (session->error == 0)
		session->error = -ECONNRESET;
	while ((w = TAILQ_FIRST(&session->waiters)))
		waiter_on_session_end(w);
	TAILQ_FOREACH(stake, &session->stakes, in_session)
	stake_on_session_end(store, stake);
	handles_free_all(session);
	objects_settle(store);
	TAILQ_REMOVE(&store->sessions, session, in_all);
	if (session->is_ready)
		TAILQ_REMOVE(&store->ready, session, in_ready);
	store->n_sessions--;
	buf_done(&session->output);
	free(session);
	return NULL;
}

/* ---- arguments --------------------------------------------------------------------- */

/* Is this kind what the letter of the row says? */
static bool fits(char letter, const struct argument *a)
{
	switch (letter) {
	case 'i':
		return a->kind == REEVE_ANY_INT;
	case 'I':
		return a->kind == REEVE_ANY_INT || a->kind == REEVE_ANY_NIL;
	case 't':
		return a->kind == REEVE_ANY_INT && a->integer >= -1;
	case 'b':
		return a->kind == REEVE_ANY_BOOL;
	case 's':
		return a->kind == REEVE_ANY_STRING;
	case 'k':
		return a->kind == REEVE_ANY_BOOL || a->kind == REEVE_ANY_INT ||
		       a->kind == REEVE_ANY_STRING ||
		       a->kind == REEVE_ANY_BYTES;
	default: /* v, V */
		return true;
	}
}

/* One value, whatever it is. */
static int read_argument(struct reader *r, struct argument *a)
{
	struct reader copy;
	int error = codec_peek(r, &a->kind);

	if (error < 0)
		return error;
	copy = *r;
	error = codec_skip_nested(r, &a->data, &a->size, &a->depth);
	if (error < 0)
		return error;
	if (a->size > REEVE_MANAGER_VALUE_MAX)
		return -EMSGSIZE;
	if (a->kind == REEVE_ANY_INT)
		return codec_get_int(&copy, &a->integer);
	if (a->kind == REEVE_ANY_BOOL)
		return codec_get_bool(&copy, &a->boolean);
	if (a->kind == REEVE_ANY_STRING)
		return codec_get_string(&copy, &a->string, &a->len);
	return 0;
}

/* All of the verb's, and nothing behind them. */
static int read_arguments(struct request *q, struct reader *r)
{
	const char *letters = verb_rows[q->verb].arguments;
	int error = 0;

	for (size_t i = 0; error == 0 && letters[i]; i++) {
		if (reader_is_at_end(r))
			return -EINVAL;
		error = read_argument(r, &q->args[i]);
		if (error == 0 && !fits(letters[i], &q->args[i]))
			error = -EINVAL;
	}
	if (error < 0)
		return error;
	return reader_is_at_end(r) ? 0 : -EINVAL;
}

/* ---- a request ---------------------------------------------------------------------- */

static int read_head(struct request *q, struct reader *r)
{
	if (codec_get_int(r, &q->id) < 0 || q->id <= 0 ||
	    codec_get_int(r, &q->verb) < 0 || codec_get_int(r, &q->handle) < 0)
		return -EPROTO;
	return 0;
}

/* The object that it is for. */
static int find_object(struct request *q)
{
	uint32_t kinds = verb_rows[q->verb].kinds;

	if (kinds == 0)
		return q->handle == 0 ? 0 : -EBADF;
	q->stake = handle_stake(q->session, q->handle);
	if (!q->stake)
		return -EBADF;
	q->object = q->stake->object;
	return kinds & (1U << q->object->kind) ? 0 : -ENOTSUP;
}

static int run(struct request *q, struct reader *r)
{
	int error;

	if (q->verb < 0 || q->verb >= VERB_COUNT)
		return -ENOSYS;
	error = find_object(q);
	if (error == 0)
		error = read_arguments(q, r);
	return error < 0 ? error : handlers[q->verb](q);
}

int store_request(struct store *store, struct session *session,
		  const unsigned char *message, size_t size, uint64_t now_usec)
{
	struct request q = { .store = store,
			     .session = session,
			     .now_usec = now_usec };
	struct reader reader = { message, size, 0 };
	int r;

	if (session->error < 0)
		return session->error;
	store->n_requests++;
	r = read_head(&q, &reader);
	if (r == 0)
		r = run(&q, &reader);
	if (r == -EPROTO || r == -EBADMSG)
		return -EPROTO;
	if (r < 0)
		answer_error(session, q.id, r);
	objects_settle(store);
	return session->error;
}

/* ---- time, and who is to be looked at ------------------------------------------------ */

void store_tick(struct store *store, uint64_t now_usec)
{
	struct heap_node *node;

	while ((node = heap_first(&store->deadlines)) && node->key <= now_usec)
		waiter_on_time(container_of(node, struct waiter, deadline));
	objects_settle(store);
}

uint64_t store_next_usec(const struct store *store)
{
	const struct heap_node *node = heap_first(&store->deadlines);

	return node ? node->key : USEC_INFINITY;
}

struct session *store_take_ready(struct store *store)
{
	struct session *session = TAILQ_FIRST(&store->ready);

	if (session) {
		TAILQ_REMOVE(&store->ready, session, in_ready);
		session->is_ready = false;
	}
	return session;
}

void store_set_counter(struct store *store, const char *name, int64_t value)
{
	struct counter *c = store->counters;

	while (c < store->counters + store->n_counters &&
	       strcmp(c->name, name) != 0)
		c++;
	reeve_assert(c < store->counters + STORE_COUNTERS_MAX);
	if (c == store->counters + store->n_counters)
		store->n_counters++;
	*c = (struct counter){ name, value };
}

size_t store_bytes(const struct store *store)
{
	return store->purse.bytes;
}

size_t store_objects(const struct store *store)
{
	return store->n_objects;
}

uint64_t store_changes(const struct store *store)
{
	return store->changes;
}
