/* A store and its clients, without sockets: requests by their arguments as values,
 * answers as values.
 *
 *	struct store *store = rig_store();
 *	struct session *a = rig_session();
 *	int64_t d = OPEN(a, DICT, "d");
 *	OK(a, DICT_SET, d, REEVE_ANY("k"), REEVE_ANY(1));
 *	ck_assert_int_eq(GET_INT(a, DICT_GET, d, REEVE_ANY("k")), 1);
 *
 * rig_done() frees all, and sees that the store has nothing left.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/usec.h"
#include "workers/manager/codec.h"
#include "workers/manager/frame.h"
#include "workers/manager/server/store.h"

/* A check that costs nothing while it holds. */
#define MUST(e) ((e) ? (void)0 : ck_abort_msg("%s", #e))

#define WAITS		1 /* a status: no answer yet */
#define RESULTS_MAX	3
#define RIG_ANSWERS_MAX 4096
#define FOREVER		REEVE_ANY(-1)
#define NOW		REEVE_ANY(0)
#define NIL		reeve_any_nil()

struct answer {
	int64_t id;
	int status;
	size_t n;
	struct reeve_any results[RESULTS_MAX];
};

static struct {
	struct store *store;
	uint64_t now_usec;
	int64_t next_id;
	struct session *sessions[64];
	size_t n_sessions;
	struct reeve_any answers[RIG_ANSWERS_MAX]; /* to be freed */
	size_t n_answers;
} rig = { .now_usec = 1000 };

static const struct store_limits rig_limits = {
	.max_objects = 1000,
	.max_bytes = 64 << 20,
	.max_handles = 1000,
	.max_waiting = 100,
	.max_output_bytes = 40 << 20,
};

static _unused_ struct store *rig_store_with(const struct store_limits *limits)
{
	ck_assert_int_eq(store_new(limits, &rig.store), 0);
	return rig.store;
}

static _unused_ struct store *rig_store(void)
{
	return rig_store_with(&rig_limits);
}

static _unused_ struct session *rig_session(void)
{
	struct session *s;

	ck_assert_int_eq(session_new(rig.store, NULL, &s), 0);
	ck_assert_uint_lt(rig.n_sessions, ARRAY_SIZE(rig.sessions));
	rig.sessions[rig.n_sessions++] = s;
	return s;
}

static _unused_ void rig_end(struct session *s)
{
	size_t i = 0;

	while (rig.sessions[i] != s)
		i++;
	rig.sessions[i] = rig.sessions[--rig.n_sessions];
	(void)session_free(s);
}

static _unused_ void rig_free_answers(void)
{
	while (rig.n_answers > 0)
		reeve_any_free(&rig.answers[--rig.n_answers]);
}

static _unused_ void rig_done(void)
{
	while (rig.n_sessions > 0)
		rig_end(rig.sessions[0]);
	rig.store = store_free(rig.store);
	rig_free_answers();
}

/* ---- requests ------------------------------------------------------------------------ */

/* The bytes of a request, without its frame. */
static _unused_ struct buf rig_request(enum verb verb, int64_t handle,
				       const struct reeve_any *args, size_t n)
{
	struct buf b = BUF_INIT(0);

	(void)codec_put_int(&b, ++rig.next_id);
	(void)codec_put_int(&b, verb);
	(void)codec_put_int(&b, handle);
	for (size_t i = 0; i < n; i++)
		MUST(codec_put(&b, &args[i]) == 0);
	return b;
}

/* The next answer of the session's output, or a status of WAITS. */
static _unused_ struct answer rig_next(struct session *s)
{
	struct buf *b = session_output(s);
	struct answer a = { .status = WAITS };
	const unsigned char *message;
	size_t size, used;
	int64_t status;

	if (frame_next((const unsigned char *)b->data, b->len, FRAME_MAX,
		       &message, &size, &used) <= 0)
		return a;

	struct reader r = { message, size, 0 };

	MUST(codec_get_int(&r, &a.id) == 0);
	MUST(codec_get_int(&r, &status) == 0);
	a.status = (int)status;
	for (; !reader_is_at_end(&r); a.n++) {
		MUST(a.n < RESULTS_MAX);
		MUST(codec_get(&r, &a.results[a.n]) == 0);
		MUST(rig.n_answers < RIG_ANSWERS_MAX);
		rig.answers[rig.n_answers++] = a.results[a.n];
	}
	memmove(b->data, b->data + used, b->len - used);
	buf_truncate(b, b->len - used);
	return a;
}

static _unused_ struct answer rig_ask(struct session *s, enum verb verb,
				      int64_t handle,
				      const struct reeve_any *args, size_t n)
{
	struct buf b = rig_request(verb, handle, args, n);
	struct answer a;

	MUST(store_request(rig.store, s, (const unsigned char *)b.data, b.len,
			   rig.now_usec) == 0);
	buf_done(&b);
	a = rig_next(s);
	if (a.status != WAITS)
		MUST(a.id == rig.next_id);
	return a;
}

#define ARGS(...)                                                              \
	(const struct reeve_any[]){ __VA_ARGS__ },                             \
		sizeof((const struct reeve_any[]){ __VA_ARGS__ }) /            \
			sizeof(struct reeve_any)
#define ASK(s, verb, h, ...) rig_ask(s, VERB_##verb, h, ARGS(__VA_ARGS__))

/* ... whose answer has this status, and is that one. */
#define STATUS(wanted, s, verb, h, ...)                                        \
	ck_assert_int_eq(ASK(s, verb, h, ##__VA_ARGS__).status, wanted)
#define OK(s, verb, h, ...) STATUS(0, s, verb, h, ##__VA_ARGS__)
#define GET(s, verb, h, ...)                                                   \
	({                                                                     \
		struct answer a_ = ASK(s, verb, h, ##__VA_ARGS__);             \
		ck_assert_int_eq(a_.status, 0);                                \
		MUST(a_.n == 1);                                               \
		a_.results[0];                                                 \
	})
#define GET_INT(s, verb, h, ...)                                               \
	({                                                                     \
		struct reeve_any r_ = GET(s, verb, h, ##__VA_ARGS__);          \
		MUST(r_.kind == REEVE_ANY_INT);                                \
		r_.integer;                                                    \
	})
#define GET_BOOL(s, verb, h, ...)                                              \
	({                                                                     \
		struct reeve_any r_ = GET(s, verb, h, ##__VA_ARGS__);          \
		MUST(r_.kind == REEVE_ANY_BOOL);                               \
		r_.boolean;                                                    \
	})

static _unused_ int64_t rig_open(struct session *s, enum reeve_object_kind kind,
				 const char *name, int64_t size,
				 struct reeve_any value)
{
	struct answer a = ASK(s, OPEN, 0, REEVE_ANY((int64_t)kind),
			      REEVE_ANY(name), REEVE_ANY(size), value);

	if (a.status < 0)
		return a.status;
	MUST(a.n == 3);
	return a.results[0].integer;
}

#define OPEN(s, kind, name)                                                    \
	rig_open(s, REEVE_OBJECT_##kind, (const char *)(name), 0, NIL)
#define OPEN_SIZE(s, kind, name, size)                                         \
	rig_open(s, REEVE_OBJECT_##kind, (const char *)(name), size, NIL)
#define OPEN_VALUE(s, kind, name, value)                                       \
	rig_open(s, REEVE_OBJECT_##kind, (const char *)(name), 0, value)

/* An answer that came later has this status, or none has come. */
#define LATER(wanted, s) ck_assert_int_eq(rig_next(s).status, wanted)

/* Time passes. */
static _unused_ void rig_pass(uint64_t usec)
{
	rig.now_usec += usec;
	store_tick(rig.store, rig.now_usec);
}

/* ---- looking ----------------------------------------------------------------------- */

/* As text, to be compared. */
static _unused_ const char *rig_text(struct reeve_any value)
{
	static char text[4][1024];
	static unsigned i;
	char *t = text[i++ % 4];

	(void)reeve_any_print(&value, t, sizeof(text[0]));
	return t;
}

#define IS(value, wanted) ck_assert_str_eq(rig_text(value), wanted)

static int rig_append(void *userdata, const void *data, size_t size)
{
	return buf_append(userdata, data, size);
}

/* What a snapshot keeps. */
static _unused_ struct buf rig_save(void)
{
	struct buf b = BUF_INIT(0);
	const struct store_sink sink = { rig_append, &b };

	ck_assert_int_eq(store_save(rig.store, &sink), 0);
	return b;
}
