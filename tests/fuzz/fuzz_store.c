/* Fuzzes the Manager's store: three clients, whose requests (sound, nearly sound,
 * or any bytes) come in any order, with their ends, the passing of time, and
 * snapshots in between, under limits that are soon reached.
 *
 * Each request is answered once, as its verb's row says; none that may not wait
 * stays unanswered; nothing is left when all have gone (the store looks itself); a
 * snapshot of what a snapshot has brought back is the same; and between two steps
 * all holds, seen from inside, that always does (store_check.h). */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/store_check.h"
#include "workers/base/pure/macro.h"
#include "workers/manager/codec.h"
#include "workers/manager/frame.h"
#include "workers/manager/server/store.h"

#define CLIENTS	 3
#define HANDLES	 6   /* that requests are tried with; 0 is none */
#define REQUESTS 400 /* of all clients: longer inputs are only slower */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the input -------------------------------------------------------------- */

struct feed {
	const uint8_t *data;
	size_t size;
};

/* 0 when there are no more. */
static unsigned next(struct feed *f)
{
	if (f->size == 0)
		return 0;
	f->size--;
	return *f->data++;
}

static int64_t next_integer(struct feed *f)
{
	static const int64_t far[] = { INT64_MIN, INT64_MAX, 65536, -65536,
				       1000 };
	unsigned n = next(f);

	return n < 250 ? (int64_t)(n % 12) - 3
		       : far[(n - 250) % ARRAY_SIZE(far)];
}

static void put_key(struct feed *f, struct buf *b)
{
	static const char *const words[] = {
		"a",
		"b",
		"",
		"a long one, not kept in place",
	};
	unsigned n = next(f);

	if (n % 8 == 0)
		codec_put_bool(b, n & 8);
	else if (n % 8 == 1)
		codec_put_int(b, n / 8);
	else if (n % 8 == 2)
		codec_put_bytes(b, "\xff\x00", n / 8 % 3);
	else
		codec_put_string(b, words[n / 8 % 4], strlen(words[n / 8 % 4]));
}

static void put_scalar(struct feed *f, struct buf *b)
{
	static const double numbers[] = { 0.5, -1, 1e300, 3.25 };
	static const char large[1000];
	unsigned n = next(f);

	switch (n % 8) {
	case 0:
		codec_put_nil(b);
		break;
	case 1:
		codec_put_double(b, numbers[n / 8 % 4]);
		break;
	case 2:
		codec_put_bytes(b, large, (size_t)n * 4 % sizeof(large));
		break;
	case 3:
	case 4:
		put_key(f, b);
		break;
	default:
		codec_put_int(b, next_integer(f));
	}
}

static void put_value(struct feed *f, struct buf *b)
{
	unsigned n = next(f), n_items = n / 4 % 4;

	if (n % 4 == 0) {
		codec_put_list(b, n_items);
		for (unsigned i = 0; i < n_items; i++)
			put_scalar(f, b);
	} else if (n % 4 == 1) {
		codec_put_dict(b, n_items);
		for (unsigned i = 0; i < n_items; i++) {
			codec_put_int(b, i);
			put_scalar(f, b);
		}
	} else {
		put_scalar(f, b);
	}
}

static void put_name(struct feed *f, struct buf *b)
{
	static const char *const names[] = { "a", "b", "#c", "#d", "" };
	const char *name = names[next(f) % ARRAY_SIZE(names)];

	codec_put_string(b, name, strlen(name));
}

static void put_argument(struct feed *f, struct buf *b, char letter)
{
	static const int64_t timeouts[] = { -1, 0, 1000, 1000000 };

	switch (letter) {
	case 'i':
	case 'I':
		codec_put_int(b, next_integer(f));
		break;
	case 't':
		codec_put_int(b, timeouts[next(f) % 4]);
		break;
	case 'b':
		codec_put_bool(b, next(f) & 1);
		break;
	case 's':
		put_name(f, b);
		break;
	case 'k':
		put_key(f, b);
		break;
	default:
		put_value(f, b);
	}
}

/* ---- clients ---------------------------------------------------------------- */

struct client {
	struct session *session;
	/* The verb of each request that is not answered; -1: it is. */
	int asked[REQUESTS + 1];
	int64_t n_asked;
	bool is_told; /* and has not read it */
	/* Of each open: what kind it was for; of each handle: what kind it is,
	 * as far as is known. */
	int kind_asked[REQUESTS + 1], kinds[HANDLES];
};

struct world {
	struct store *store;
	struct client clients[CLIENTS];
	uint64_t now_usec;
	int n_requests;
};

static const struct store_limits limits = {
	.max_objects = 6,
	.max_bytes = 16384,
	.max_handles = 5,
	.max_waiting = 4,
	.max_output_bytes = 5000,
};

static void client_begin(struct world *w, struct client *c)
{
	c->n_asked = 0;
	c->is_told = false;
	memset(c->kinds, 0, sizeof(c->kinds));
	reeve_assert(session_new(w->store, c, &c->session) == 0);
}

static bool is_result(char letter, enum reeve_any_kind kind)
{
	switch (letter) {
	case 'i':
		return kind == REEVE_ANY_INT;
	case 'b':
		return kind == REEVE_ANY_BOOL;
	default:
		return true;
	}
}

static void check_results(struct reader r, const char *letters)
{
	for (; *letters != '\0'; letters++) {
		enum reeve_any_kind kind;
		reeve_assert(codec_peek(&r, &kind) == 0);
		reeve_assert(is_result(*letters, kind));
		reeve_assert(codec_skip(&r, NULL, NULL) == 0);
	}
	reeve_assert(reader_is_at_end(&r));
}

static void check_answer(struct client *c, struct reader r)
{
	int64_t id, status, handle;

	reeve_assert(codec_get_int(&r, &id) == 0);
	reeve_assert(codec_get_int(&r, &status) == 0);
	reeve_assert(status <= 0 && status > -4096);
	reeve_assert(id > 0 && id <= c->n_asked);
	int verb = c->asked[id];
	reeve_assert(verb >= 0); /* it has not been answered before */
	c->asked[id] = -1;
	if (status == 0 && verb == VERB_OPEN) {
		struct reader copy = r;
		reeve_assert(codec_get_int(&copy, &handle) == 0);
		reeve_assert(handle > 0);
		if (handle < HANDLES)
			c->kinds[handle] = c->kind_asked[id];
	}
	if (status == 0 && verb < VERB_COUNT)
		check_results(r, verb_rows[verb].results);
	else
		reeve_assert(reader_is_at_end(&r));
}

static void read_answers(struct client *c)
{
	struct buf *b = session_output(c->session);
	size_t used = 0;

	reeve_assert(b->error == 0 && b->len <= limits.max_output_bytes);
	while (used < b->len) {
		struct reader r = { 0 };
		size_t n;
		reeve_assert(frame_next((unsigned char *)b->data + used,
					b->len - used, FRAME_MAX, &r.data,
					&r.size, &n) == 1);
		check_answer(c, r);
		used += n;
	}
	buf_clear(b);
}

/* What it asked for, and may not wait for, was answered. */
static void check_waiting(const struct client *c)
{
	size_t n_waiting = 0;

	for (int64_t id = 1; id <= c->n_asked; id++) {
		if (c->asked[id] < 0)
			continue;
		reeve_assert(verb_rows[c->asked[id]].can_wait);
		n_waiting++;
	}
	reeve_assert(n_waiting <= limits.max_waiting);
}

/* As the server does when it has nothing more to run; is_read: they all read what
 * they are told. */
static void settle(struct world *w, bool is_read)
{
	struct session *session;

	while ((session = store_take_ready(w->store)) != NULL) {
		struct client *c = session_userdata(session);

		c->is_told = true;
		if (session_error(session) < 0)
			read_answers(c);
		if (session_error(session) == 0)
			continue;
		session_free(session);
		client_begin(w, c);
	}
	for (size_t i = 0; i < CLIENTS && is_read; i++) {
		struct client *c = &w->clients[i];
		reeve_assert(c->is_told ||
			     session_output(c->session)->len == 0);
		read_answers(c);
		check_waiting(c);
		c->is_told = false;
	}
	reeve_assert(store_bytes(w->store) <= limits.max_bytes);
	reeve_assert(store_objects(w->store) <= limits.max_objects);
}

/* ---- what happens ----------------------------------------------------------- */

static void run(struct world *w, struct client *c, const void *data,
		size_t size)
{
	/* in memory of exactly this size: reading more is seen */
	unsigned char *copy = malloc(size > 0 ? size : 1);

	reeve_assert(copy != NULL);
	if (size > 0)
		memcpy(copy, data, size);
	int r = store_request(w->store, c->session, copy, size, w->now_usec);
	free(copy);
	reeve_assert(r <= 0);
	reeve_assert(session_error(c->session) == 0 ||
		     r == session_error(c->session));
	if (r == -EPROTO && session_error(c->session) == 0) {
		/* it may have been the answer of one that waits */
		read_answers(c);
		session_free(c->session);
		client_begin(w, c);
	}
}

/* Mostly a verb that the handle's object has. */
static int next_verb(struct feed *f, const struct client *c, int64_t handle)
{
	unsigned n = next(f);
	int verb = (int)(n % VERB_COUNT);

	if (n >= 250)
		return verb;
	for (int i = 0; i < VERB_COUNT; i++) {
		int other = (verb + i) % VERB_COUNT;
		if (handle == 0
			    ? verb_rows[other].kinds == 0
			    : verb_rows[other].kinds >> c->kinds[handle] & 1)
			return other;
	}
	return verb;
}

static void put_open(struct feed *f, struct client *c, struct buf *b)
{
	int kind = (int)(next(f) % REEVE_OBJECT_COUNT);
	unsigned n = next(f);

	c->kind_asked[c->n_asked] = kind;
	codec_put_int(b, kind);
	if (n % 8 == 0)
		codec_put_nil(b);
	else
		put_name(f, b);
	codec_put_int(b, n / 8 % 4);
	if (n < 200)
		codec_put_nil(b);
	else
		put_value(f, b);
}

/* A request with arguments that its verb has; sometimes one too few, too many, or
 * of another kind. */
static void request(struct world *w, struct feed *f, bool is_open)
{
	struct client *c = &w->clients[next(f) % CLIENTS];
	int64_t handle = is_open ? 0 : next(f) % HANDLES;
	int verb = is_open ? VERB_OPEN : next_verb(f, c, handle);
	const char *letters = verb_rows[verb].arguments;
	unsigned flaw = next(f);
	struct buf b = BUF_INIT(0);

	if (w->n_requests++ >= REQUESTS)
		return;
	c->asked[++c->n_asked] = verb;
	codec_put_int(&b, c->n_asked);
	codec_put_int(&b, verb);
	codec_put_int(&b, handle);
	if (is_open)
		put_open(f, c, &b);
	for (size_t i = 0; !is_open && letters[i] != '\0'; i++)
		if (flaw != 255 - i)
			put_argument(f, &b, letters[i]);
	if (flaw >= 240 && flaw < 245)
		put_value(f, &b);
	run(w, c, b.data, b.len);
	buf_done(&b);
}

/* Any bytes behind a head that makes sense, or without. */
static void any_bytes(struct world *w, struct feed *f)
{
	struct client *c = &w->clients[next(f) % CLIENTS];
	size_t size = MIN(next(f), f->size);
	struct buf b = BUF_INIT(0);
	unsigned verb = next(f);

	size = MIN(size, f->size);
	if (w->n_requests++ >= REQUESTS)
		return;
	if (verb < VERB_COUNT) {
		c->asked[++c->n_asked] = (int)verb;
		codec_put_int(&b, c->n_asked);
		codec_put_int(&b, verb);
		codec_put_int(&b, verb_rows[verb].kinds == 0 ? 0 : 1);
		buf_append(&b, f->data, size);
		run(w, c, b.data, b.len);
	} else if (verb > 240 &&
		   (size == 0 || f->data[0] == 0 || f->data[0] > 0x1b)) {
		run(w, c, f->data, size); /* without an id */
	}
	f->data += size;
	f->size -= size;
	buf_done(&b);
}

static int write_to_buf(void *userdata, const void *data, size_t size)
{
	return buf_append(userdata, data, size);
}

static void save(const struct store *store, struct buf *b)
{
	const struct store_sink sink = { write_to_buf, b };

	reeve_assert(store_save(store, &sink) == 0);
}

/* What is saved is loaded, and saved the same again. */
static void check_snapshot(const struct store *store)
{
	struct buf first = BUF_INIT(0), second = BUF_INIT(0);
	struct store_limits wide = limits;
	struct store *other;

	/* what grows one by one may take more room than what came at once */
	wide.max_bytes *= 4;
	save(store, &first);
	reeve_assert(store_new(&wide, &other) == 0);
	reeve_assert(store_load(other, first.data, first.len) == 0);
	check_store(other);
	save(other, &second);
	reeve_assert(first.len == second.len &&
		     memcmp(first.data, second.data, first.len) == 0);
	reeve_assert(store_objects(other) <= store_objects(store));
	store_free(other);
	buf_done(&first);
	buf_done(&second);
}

static void happen(struct world *w, struct feed *f)
{
	static const uint64_t steps[] = { 1, 999, 1000, 2000000 };
	struct client *c;
	unsigned n = next(f);

	switch (n % 16) {
	case 0:
		if (n > 128) /* not that often */
			break;
		c = &w->clients[next(f) % CLIENTS];
		session_free(c->session);
		client_begin(w, c);
		break;
	case 1:
		w->now_usec += steps[next(f) % 4];
		if (store_next_usec(w->store) <= w->now_usec)
			store_tick(w->store, w->now_usec);
		reeve_assert(store_next_usec(w->store) > w->now_usec);
		break;
	case 2:
		any_bytes(w, f);
		break;
	case 3:
		check_snapshot(w->store);
		break;
	default:
		request(w, f, n < 96);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed f = { data, size };
	static struct world w;

	w = (struct world){ .now_usec = 1000 };
	reeve_assert(store_new(&limits, &w.store) == 0);
	for (size_t i = 0; i < CLIENTS; i++)
		client_begin(&w, &w.clients[i]);
	while (f.size > 0) {
		happen(&w, &f);
		check_store(w.store);
		settle(&w, next(&f) % 8 > 0);
		check_store(w.store);
	}
	settle(&w, true);
	check_snapshot(w.store);
	for (size_t i = 0; i < CLIENTS; i++)
		session_free(w.clients[i].session);
	reeve_assert(store_next_usec(w.store) == UINT64_MAX);
	check_snapshot(w.store);
	store_free(w.store);
	return 0;
}
