/* Proxies: each function sends its verb with its arguments, and returns what came.
 * What the verbs do: test_manager_client.c. */
#include "tests/unit/manager_fake.h"

#define TEXT_MAX 400

static char seen[TEXT_MAX]; /* the last request, as text */

/* What it answers: integers, booleans and values, all these. */
static int note_request(struct fake *f, const struct fake_request *q,
			struct buf *out)
{
	struct reader r = q->arguments;
	int n = snprintf(seen, sizeof(seen), "%s", verb_rows[q->verb].name);
	struct reeve_any a;
	ssize_t begin;

	while (codec_get(&r, &a) == 0) {
		n += snprintf(seen + n, sizeof(seen) - (size_t)n, " ");
		n += (int)reeve_any_print(&a, seen + n,
					  sizeof(seen) - (size_t)n);
		reeve_any_free(&a);
	}
	if (q->verb == VERB_OPEN || q->verb == VERB_CLOSE)
		return fake_answer(f, q, out);
	fake_begin(out, &begin, q->id, 0);
	for (const char *l = verb_rows[q->verb].results; *l; l++)
		if (*l == 'i')
			(void)codec_put_int(out, 4711 + (l[1] == 'b'));
		else if (*l == 'b')
			(void)codec_put_bool(out, true);
		else
			(void)codec_put_string(out, "result", 6);
	fake_end(out, begin);
	return 0;
}

struct rows {
	struct fake f;
	reeve_manager *m;
	reeve_proxy *p;
	struct reeve_any value;
};

static void set_up(struct rows *s, enum reeve_object_kind kind)
{
	s->f.on_request = note_request;
	fake_start(&s->f);
	s->m = fake_client(&s->f);
	s->p = fake_proxy(s->m, kind);
	ck_assert_int_eq(reeve_proxy_kind(s->p), kind);
	ck_assert_str_eq(reeve_proxy_name(s->p), "name");
}

static void tear_down(struct rows *s)
{
	reeve_proxy_free(s->p);
	reeve_manager_free(s->m);
	fake_stop(&s->f);
}

/* It sent this, and returned that. */
#define SENDS(call, returned, text)                                            \
	do {                                                                   \
		ck_assert_int_eq((call), (returned));                          \
		ck_assert_str_eq(seen, (text));                                \
	} while (0)

/* The same, with a value. */
#define GETS(s, call, text)                                                    \
	do {                                                                   \
		struct reeve_any *ret = &(s)->value;                           \
		SENDS((call), 0, (text));                                      \
		ck_assert_str_eq(ret->string, "result");                       \
		reeve_any_free(ret);                                           \
		ret = NULL; /* not wanted: nothing is kept */                  \
		SENDS((call), 0, (text));                                      \
	} while (0)

START_TEST(test_dict)
{
	const struct reeve_pair pairs[] = { { REEVE_ANY("a"), REEVE_ANY(1) },
					    { REEVE_ANY(2), REEVE_ANY(0.5) } };
	struct reeve_any key = REEVE_ANY("k"), value = REEVE_ANY(5);
	struct rows s = { 0 };
	reeve_proxy *p;

	set_up(&s, REEVE_OBJECT_DICT);
	p = s.p;
	SENDS(reeve_proxy_length(p), 4711, "LENGTH");
	SENDS(reeve_proxy_clear(p), 0, "CLEAR");
	GETS(&s, reeve_proxy_items(p, ret), "ITEMS");
	GETS(&s, reeve_proxy_dict_get(p, key, ret), "DICT_GET \"k\"");
	SENDS(reeve_proxy_dict_set(p, key, value), 0, "DICT_SET \"k\" 5");
	GETS(&s, reeve_proxy_dict_setdefault(p, key, value, ret),
	     "DICT_SETDEFAULT \"k\" 5");
	GETS(&s, reeve_proxy_dict_add(p, key, value, ret), "DICT_ADD \"k\" 5");
	GETS(&s, reeve_proxy_dict_pop(p, key, ret), "DICT_POP \"k\"");
	SENDS(reeve_proxy_dict_has(p, reeve_any_bool(true)), 1,
	      "DICT_HAS true");
	GETS(&s, reeve_proxy_dict_keys(p, ret), "DICT_KEYS");
	SENDS(reeve_proxy_dict_update(p, reeve_any_dict(pairs, 2)), 0,
	      "DICT_UPDATE {\"a\": 1, 2: 0.5}");
	tear_down(&s);
}
END_TEST

START_TEST(test_list)
{
	struct reeve_any value = reeve_any_bytes("x", 1);
	const struct reeve_any items[] = { value, reeve_any_nil() };
	struct rows s = { 0 };
	reeve_proxy *p;

	set_up(&s, REEVE_OBJECT_LIST);
	p = s.p;
	GETS(&s, reeve_proxy_list_get(p, -1, ret), "LIST_GET -1");
	SENDS(reeve_proxy_list_set(p, 3, value), 0, "LIST_SET 3 h'78'");
	GETS(&s, reeve_proxy_list_add(p, 3, value, ret), "LIST_ADD 3 h'78'");
	GETS(&s, reeve_proxy_list_slice(p, 1, INT64_MAX, ret),
	     "LIST_SLICE 1 9223372036854775807");
	SENDS(reeve_proxy_list_index(p, value), 4711, "LIST_INDEX h'78'");
	SENDS(reeve_proxy_list_append(p, value), 0, "LIST_APPEND h'78'");
	SENDS(reeve_proxy_list_extend(p, reeve_any_list(items, 2)), 0,
	      "LIST_EXTEND [h'78', null]");
	SENDS(reeve_proxy_list_insert(p, -2, value), 0, "LIST_INSERT -2 h'78'");
	GETS(&s, reeve_proxy_list_pop(p, -1, ret), "LIST_POP -1");
	tear_down(&s);
}
END_TEST

START_TEST(test_value)
{
	struct rows s = { 0 };
	reeve_proxy *p;

	set_up(&s, REEVE_OBJECT_VALUE);
	p = s.p;
	GETS(&s, reeve_proxy_value_get(p, ret), "VALUE_GET");
	SENDS(reeve_proxy_value_set(p, REEVE_ANY(1.5)), 0, "VALUE_SET 1.5");
	GETS(&s, reeve_proxy_value_add(p, REEVE_ANY(-1), ret), "VALUE_ADD -1");
	tear_down(&s);
}
END_TEST

START_TEST(test_queue)
{
	struct rows s = { 0 };
	size_t lost = 0;
	reeve_proxy *p;

	set_up(&s, REEVE_OBJECT_QUEUE);
	p = s.p;
	SENDS(reeve_proxy_queue_put(p, REEVE_ANY(1), REEVE_FOREVER), 0,
	      "QUEUE_PUT 1 -1");
	SENDS(reeve_proxy_queue_put(p, REEVE_ANY(1), 0), 0, "QUEUE_PUT 1 0");
	GETS(&s, reeve_proxy_queue_get(p, 1000, ret), "QUEUE_GET 1000");
	SENDS(reeve_proxy_queue_is_full(p), 1, "QUEUE_IS_FULL");
	SENDS(reeve_proxy_queue_task_done(p), 0, "QUEUE_TASK_DONE");
	SENDS(reeve_proxy_queue_join(p, UINT64_MAX - 1, &lost), 0,
	      "QUEUE_JOIN -1");
	ck_assert_uint_eq(lost, 4711);
	SENDS(reeve_proxy_queue_join(p, INT64_MAX, NULL), 0,
	      "QUEUE_JOIN 9223372036854775807");
	tear_down(&s);
}
END_TEST

START_TEST(test_sync)
{
	struct rows s = { 0 };

	set_up(&s, REEVE_OBJECT_CONDITION);
	SENDS(reeve_proxy_acquire(s.p, 5), 1, "ACQUIRE 5");
	SENDS(reeve_proxy_release(s.p), 0, "RELEASE");
	SENDS(reeve_proxy_wait(s.p, 0), 1, "WAIT 0");
	SENDS(reeve_proxy_notify(s.p, -1), 0, "NOTIFY -1");
	tear_down(&s);
	set_up(&s, REEVE_OBJECT_EVENT);
	SENDS(reeve_proxy_event_set(s.p), 0, "EVENT_SET");
	SENDS(reeve_proxy_event_clear(s.p), 0, "EVENT_CLEAR");
	SENDS(reeve_proxy_event_is_set(s.p), 1, "EVENT_IS_SET");
	SENDS(reeve_proxy_wait(s.p, REEVE_FOREVER), 1, "WAIT -1");
	tear_down(&s);
}
END_TEST

START_TEST(test_barrier)
{
	size_t parties = 0, waiting = 0;
	struct rows s = { 0 };
	bool is_broken = false;

	set_up(&s, REEVE_OBJECT_BARRIER);
	SENDS(reeve_proxy_barrier_wait(s.p, 9), 4711, "BARRIER_WAIT 9");
	SENDS(reeve_proxy_barrier_reset(s.p), 0, "BARRIER_RESET");
	SENDS(reeve_proxy_barrier_abort(s.p), 0, "BARRIER_ABORT");
	SENDS(reeve_proxy_barrier_state(s.p, &parties, &waiting, &is_broken), 0,
	      "BARRIER_STATE");
	ck_assert_uint_eq(parties, 4711);
	ck_assert_uint_eq(waiting, 4712);
	ck_assert(is_broken);
	SENDS(reeve_proxy_barrier_state(s.p, NULL, NULL, NULL), 0,
	      "BARRIER_STATE");
	tear_down(&s);
}
END_TEST

START_TEST(test_manager)
{
	struct rows s = { 0 };

	set_up(&s, REEVE_OBJECT_DICT);
	GETS(&s, reeve_manager_stats(s.m, ret), "STATS");
	GETS(&s, reeve_manager_names(s.m, ret), "NAMES");
	SENDS(reeve_manager_delete(s.m, "name"), 0, "DELETE \"name\"");
	tear_down(&s);
}
END_TEST

/* A call that each of these has. */
static int open_again(reeve_proxy *p)
{
	switch (reeve_proxy_kind(p)) {
	case REEVE_OBJECT_SEMAPHORE:
		return reeve_proxy_release(p);
	case REEVE_OBJECT_BARRIER:
		return reeve_proxy_barrier_reset(p);
	default:
		return (int)reeve_proxy_length(p);
	}
}

/* What an object is to be goes with open, and again when it is opened anew. */
START_TEST(test_open)
{
	static const struct {
		enum reeve_object_kind kind;
		size_t size;
		int64_t sent;
	} rows[] = {
		{ REEVE_OBJECT_DICT, 0, 0 },
		{ REEVE_OBJECT_ARRAY, 9, 9 },
		{ REEVE_OBJECT_SEMAPHORE, 0, 1 },
		{ REEVE_OBJECT_SEMAPHORE, 3, 3 },
		{ REEVE_OBJECT_BARRIER, 2, 2 },
	};
	struct rows s = { .f = { .has_objects = true } };
	char text[TEXT_MAX];
	reeve_proxy *p;

	set_up(&s, REEVE_OBJECT_VALUE);
	ck_assert_str_eq(seen, "OPEN 4 \"name\" 0 null");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct reeve_object_spec spec = {
			.size = rows[i].size,
			.value = REEVE_ANY("first"),
		};

		s.f.has_objects = i % 2;
		ck_assert_int_eq(reeve_proxy_open(s.m, rows[i].kind, "some",
						  &spec, &p),
				 i % 2 == 0);
		(void)snprintf(text, sizeof(text),
			       "OPEN %d \"some\" %d \"first\"",
			       (int)rows[i].kind, (int)rows[i].sent);
		ck_assert_str_eq(seen, text);
		fake_restart(&s.f);
		seen[0] = '\0';
		ck_assert_int_eq(open_again(p), -ESTALE);
		ck_assert_str_eq(seen, text);
		reeve_proxy_free(p);
	}
	tear_down(&s);
}
END_TEST

static int be_full(struct fake *f, const struct fake_request *q,
		   struct buf *out)
{
	if (q->verb != VERB_OPEN || atomic_load(&f->command) == 0)
		return fake_answer(f, q, out);
	fake_status(out, q->id, -ENOSPC);
	return 0;
}

/* What cannot be opened anew says why; it is told of the restart when it can. */
START_TEST(test_reopen_fails)
{
	struct fake f = { .on_request = be_full };
	reeve_manager *m;
	reeve_proxy *p;

	fake_start(&f);
	m = fake_client(&f);
	p = fake_proxy(m, REEVE_OBJECT_DICT);
	f.command = 1;
	fake_restart(&f);
	ck_assert_int_eq(reeve_proxy_clear(p), -ENOSPC);
	ck_assert_int_eq(reeve_proxy_clear(p), -ENOSPC);
	f.command = 0;
	ck_assert_int_eq(reeve_proxy_clear(p), -ESTALE);
	ck_assert_int_eq(reeve_proxy_clear(p), 0);
	reeve_proxy_free(p);
	reeve_manager_free(m);
	fake_stop(&f);
}
END_TEST

static int die_at_open(struct fake *f, const struct fake_request *q,
		       struct buf *out)
{
	return q->verb == VERB_OPEN && atomic_fetch_sub(&f->command, 1) > 0
		       ? 1
		       : fake_answer(f, q, out);
}

/* A server that dies while an object is opened: asked again, since that does no
 * harm; but not for ever. */
START_TEST(test_open_is_repeated)
{
	struct fake f = { .on_request = die_at_open, .command = 3 };
	reeve_manager *m;
	reeve_proxy *p, *none = NULL;

	fake_start(&f);
	m = fake_client(&f);
	m->reconnect_usec = 5 * USEC_PER_SEC;
	p = fake_proxy(m, REEVE_OBJECT_DICT);
	ck_assert_int_eq(f.n_connects, 4);
	f.command = 1000;
	ck_assert_int_eq(reeve_proxy_open(m, REEVE_OBJECT_DICT, "x", NULL,
					  &none),
			 -ECONNRESET);
	ck_assert_int_le(f.n_connects, 4 + CLIENT_TRIES_MAX);
	ck_assert_ptr_null(none);
	reeve_proxy_free(p);
	reeve_manager_free(m);
	fake_stop(&f);
}
END_TEST

UNIT_MAIN("manager_proxy", test_dict, test_list, test_value, test_queue,
	  test_sync, test_barrier, test_manager, test_open, test_reopen_fails,
	  test_open_is_repeated)
