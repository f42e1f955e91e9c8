/* The store: what is a request, whose is it, who has what open, and the limits. */
#include "tests/unit/store_rig.h"

#define NAMELESS_LEN 33 /* '#' and 32 digits */

static struct session *a, *b;

static void begin(void)
{
	(void)rig_store();
	a = rig_session();
	b = rig_session();
}

/* ---- requests ---------------------------------------------------------------------- */

static int request_bytes(const void *data, size_t size)
{
	/* exactly so many: one more would be seen by the sanitizer */
	unsigned char *copy = malloc(size ? size : 1);
	int r;

	memcpy(copy, data, size);
	r = store_request(rig.store, a, copy, size, rig.now_usec);
	free(copy);
	return r;
}

/* Each verb has a handler, and refuses what its row does not have. */
START_TEST(test_every_verb)
{
	begin();
	for (int verb = 0; verb < VERB_COUNT; verb++) {
		const struct verb_row *row = &verb_rows[verb];
		struct reeve_any many[PROTOCOL_ARGUMENTS + 1];
		struct answer r;

		for (size_t i = 0; i < ARRAY_SIZE(many); i++)
			many[i] = NIL;
		r = rig_ask(a, (enum verb)verb, 1 << 20, NULL, 0);
		ck_assert_msg(r.status == -EBADF, "%s", row->name);
		for (int64_t kind = 0; kind < REEVE_OBJECT_COUNT; kind++) {
			int64_t h = rig_open(a, (enum reeve_object_kind)kind,
					     NULL, 1, NIL);

			ck_assert_int_gt(h, 0);
			r = rig_ask(a, (enum verb)verb, h, many,
				    strlen(row->arguments) + 1);
			if (row->kinds == 0)
				ck_assert_int_eq(r.status, -EBADF);
			else if (!(row->kinds & (1U << kind)))
				ck_assert_int_eq(r.status, -ENOTSUP);
			else
				ck_assert_int_eq(r.status, -EINVAL);
		}
	}
	STATUS(-ENOSYS, a, COUNT, 0);
	ck_assert_int_eq(rig_ask(a, (enum verb) - 1, 0, NULL, 0).status,
			 -ENOSYS);
	ck_assert_int_eq(rig_ask(a, (enum verb)1000, 0, NULL, 0).status,
			 -ENOSYS);
	rig_done();
}
END_TEST

START_TEST(test_arguments)
{
	int64_t d, l, s;

	begin();
	d = OPEN(a, DICT, "d");
	l = OPEN(a, LIST, "l");
	s = OPEN_SIZE(a, SEMAPHORE, "s", 1);
	STATUS(-EINVAL, a, DICT_SET, d, REEVE_ANY("k"));
	STATUS(-EINVAL, a, DICT_SET, d, REEVE_ANY("k"), NIL, NIL);
	STATUS(-EINVAL, a, DICT_GET, d, REEVE_ANY(1.5));
	STATUS(-EINVAL, a, LIST_GET, l, REEVE_ANY("1"));
	STATUS(-EINVAL, a, ACQUIRE, s, REEVE_ANY(-2));
	STATUS(-EINVAL, a, ACQUIRE, s, NIL);
	STATUS(-EINVAL, a, DELETE, 0, REEVE_ANY(1));
	STATUS(-EINVAL, a, OPEN, 0, NIL, NIL, NIL, NIL);
	STATUS(-EINVAL, a, OPEN, 0, REEVE_ANY(-1), NIL, NIL, NIL);
	STATUS(-EINVAL, a, OPEN, 0, REEVE_ANY((int64_t)REEVE_OBJECT_COUNT), NIL,
	       NIL, NIL);
	STATUS(-EINVAL, a, OPEN, 0, REEVE_ANY(0), REEVE_ANY(5), NIL, NIL);
	STATUS(-EINVAL, a, OPEN, 0, REEVE_ANY(0), NIL, REEVE_ANY("5"), NIL);
	STATUS(-EINVAL, a, PING, 0, NIL);
	OK(a, PING, 0);
	rig_done();
}
END_TEST

/* What is no request ends the connection, whatever it is. */
START_TEST(test_nonsense)
{
	static const struct {
		const char *bytes;
		size_t size;
		int wanted;
	} messages[] = {
		{ "", 0, -EPROTO },
		{ "\x01", 1, -EPROTO },
		{ "\x01\x00", 2, -EPROTO },
		{ "\x01\x00\x00", 3, 0 },	/* a ping */
		{ "\x00\x00\x00", 3, -EPROTO }, /* id 0 */
		{ "\x20\x00\x00", 3, -EPROTO }, /* id -1 */
		{ "\x61x\x00\x00", 4, -EPROTO },
		{ "\xff\xff\xff", 3, -EPROTO },
		{ "\x01\x18\x00\x00", 4, -EPROTO },	/* not the shortest */
		{ "\x01\x02\x00\x61\xff", 5, -EPROTO }, /* no UTF-8 */
		{ "\x01\x02\x00\x61", 4, -EPROTO },	/* cut off */
		{ "\x01\x02\x00\xa2\x01\x01\x01\x01", 8, -EPROTO }, /* twice */
		{ "\x01\x02\x00\xc0\x00", 5, -EPROTO },		    /* a tag */
	};

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		int r = request_bytes(messages[i].bytes, messages[i].size);

		ck_assert_msg(r == messages[i].wanted, "%zu: %d", i, r);
	}
	LATER(0, a);
	LATER(WAITS, a);
	rig_done();
}
END_TEST

/* Sound, but more than a value may be: told. */
START_TEST(test_too_much_of_a_value)
{
	unsigned char deep[64] = { 0x01, VERB_VALUE_SET, 0x01 };
	char *large = calloc(1, REEVE_MANAGER_VALUE_MAX);
	int64_t v;

	begin();
	v = OPEN(a, VALUE, "v");
	ck_assert_int_eq(v, 1);
	ck_assert_uint_ge(VERB_VALUE_SET, 24);
	memcpy(deep, (unsigned char[]){ 0x01, 0x18, VERB_VALUE_SET, 0x01 }, 4);
	memset(deep + 4, 0x81, REEVE_ANY_DEPTH_MAX);
	deep[4 + REEVE_ANY_DEPTH_MAX] = 0xf6;
	ck_assert_int_eq(request_bytes(deep, 5 + REEVE_ANY_DEPTH_MAX), 0);
	LATER(0, a);
	deep[4 + REEVE_ANY_DEPTH_MAX] = 0x81;
	deep[5 + REEVE_ANY_DEPTH_MAX] = 0xf6;
	ck_assert_int_eq(request_bytes(deep, 6 + REEVE_ANY_DEPTH_MAX), 0);
	LATER(-E2BIG, a);
	/* the largest one, encoded, and one byte more */
	OK(a, VALUE_SET, v,
	   reeve_any_bytes(large, REEVE_MANAGER_VALUE_MAX - 5));
	ck_assert_uint_eq(GET(a, VALUE_GET, v).n, REEVE_MANAGER_VALUE_MAX - 5);
	STATUS(-EMSGSIZE, a, VALUE_SET, v,
	       reeve_any_bytes(large, REEVE_MANAGER_VALUE_MAX - 4));
	free(large);
	rig_done();
}
END_TEST

/* ---- objects, names, handles ----------------------------------------------------------- */

static struct answer open_as(struct session *s, const char *name)
{
	return ASK(s, OPEN, 0, REEVE_ANY((int64_t)REEVE_OBJECT_LIST),
		   REEVE_ANY(name), NIL, NIL);
}

START_TEST(test_open)
{
	struct answer r;
	int64_t l, m;

	begin();
	r = open_as(a, "l");
	ck_assert(r.results[1].boolean);  /* made */
	ck_assert(!r.results[2].boolean); /* not restored */
	l = r.results[0].integer;
	r = open_as(b, "l");
	ck_assert(!r.results[1].boolean);
	m = r.results[0].integer;
	OK(a, LIST_APPEND, l, REEVE_ANY(1));
	ck_assert_int_eq(GET_INT(b, LENGTH, m), 1);
	IS(GET(a, NAME, l), "\"l\"");
	ck_assert_int_eq(OPEN(a, DICT, "l"), -EEXIST);
	/* a second handle of the same */
	r = open_as(a, "l");
	ck_assert_int_ne(r.results[0].integer, l);
	OK(a, CLOSE, l);
	STATUS(-EBADF, a, LENGTH, l);
	ck_assert_int_eq(GET_INT(a, LENGTH, r.results[0].integer), 1);
	/* it stays when nobody has it */
	rig_end(b);
	rig_end(a);
	a = rig_session();
	ck_assert_int_eq(GET_INT(a, LENGTH, OPEN(a, LIST, "l")), 1);
	/* what it would begin with does not matter any more, but is checked
	 * no further */
	ck_assert_int_gt(OPEN_VALUE(a, LIST, "l", REEVE_ANY(1)), 0);
	rig_done();
}
END_TEST

START_TEST(test_names)
{
	char longest[PROTOCOL_NAME_MAX + 2];
	struct answer r;
	struct reeve_any name;

	begin();
	memset(longest, 'n', sizeof(longest));
	longest[PROTOCOL_NAME_MAX + 1] = '\0';
	ck_assert_int_eq(OPEN(a, LIST, longest), -EINVAL);
	longest[PROTOCOL_NAME_MAX] = '\0';
	ck_assert_int_gt(OPEN(a, LIST, longest), 0);
	OK(a, DELETE, 0, REEVE_ANY(longest));
	ck_assert_int_eq(OPEN(a, LIST, ""), -EINVAL);
	name = reeve_any_string("a");
	name.n = 2; /* with its NUL */
	r = ASK(a, OPEN, 0, REEVE_ANY((int64_t)REEVE_OBJECT_LIST), name, NIL,
		NIL);
	ck_assert_int_eq(r.status, -EINVAL);

	IS(GET(a, NAMES, 0), "{}");
	for (int64_t kind = 0; kind < REEVE_OBJECT_COUNT; kind++) {
		char text[2] = { (char)('a' + kind), '\0' };

		ck_assert_int_gt(rig_open(a, (enum reeve_object_kind)kind, text,
					  1, NIL),
				 0);
	}
	(void)OPEN(a, LIST, NULL);
	(void)OPEN(a, LIST, "#mine");
	IS(GET(a, NAMES, 0),
	   "{\"a\": \"dict\", \"b\": \"namespace\", \"c\": \"list\", "
	   "\"d\": \"array\", \"e\": \"value\", \"f\": \"queue\", "
	   "\"g\": \"lock\", \"h\": \"rlock\", \"i\": \"semaphore\", "
	   "\"j\": \"bounded semaphore\", \"k\": \"event\", "
	   "\"l\": \"condition\", \"m\": \"barrier\"}");
	rig_done();
}
END_TEST

/* Those without a name live while somebody has them. */
START_TEST(test_nameless)
{
	struct reeve_any name;
	char text[NAMELESS_LEN + 1];
	int64_t l, m;

	begin();
	l = OPEN(a, LIST, NULL);
	name = GET(a, NAME, l);
	ck_assert_uint_eq(name.n, NAMELESS_LEN);
	ck_assert_int_eq(name.string[0], '#');
	memcpy(text, name.string, NAMELESS_LEN + 1);
	OK(a, LIST_APPEND, l, REEVE_ANY(1));
	m = OPEN(b, LIST, text);
	OK(a, CLOSE, l);
	ck_assert_uint_eq(store_objects(rig.store), 1);
	ck_assert_int_eq(GET_INT(b, LENGTH, m), 1);
	OK(b, CLOSE, m);
	ck_assert_uint_eq(store_objects(rig.store), 0);
	/* by the same name: another one */
	m = OPEN(b, LIST, text);
	ck_assert_int_eq(GET_INT(b, LENGTH, m), 0);
	rig_end(b);
	ck_assert_uint_eq(store_objects(rig.store), 0);
	ck_assert_int_ne(OPEN(a, LIST, NULL), 0);
	rig_done();
}
END_TEST

START_TEST(test_delete)
{
	int64_t l, m;

	begin();
	STATUS(-ENOENT, a, DELETE, 0, REEVE_ANY("l"));
	l = OPEN(a, LIST, "l");
	OK(b, DELETE, 0, REEVE_ANY("l"));
	OK(a, LIST_APPEND, l,
	   REEVE_ANY(1));	/* it is there as long as a has it */
	m = OPEN(b, LIST, "l"); /* another one */
	ck_assert_int_eq(GET_INT(b, LENGTH, m), 0);
	ck_assert_int_eq(GET(a, NAME, l).string[0], '#');
	ck_assert_uint_eq(store_objects(rig.store), 2);
	OK(a, CLOSE, l);
	ck_assert_uint_eq(store_objects(rig.store), 1);
	OK(b, CLOSE, m);
	ck_assert_uint_eq(store_objects(rig.store), 1);
	OK(a, DELETE, 0, REEVE_ANY("l")); /* nobody has it */
	ck_assert_uint_eq(store_objects(rig.store), 0);
	rig_done();
}
END_TEST

/* A nameless object lives for who waits on it, though its handle is closed. */
START_TEST(test_waiting_keeps_it)
{
	int64_t q, p;
	struct reeve_any name;
	char text[NAMELESS_LEN + 1];

	begin();
	q = OPEN(a, QUEUE, NULL);
	name = GET(a, NAME, q);
	memcpy(text, name.string, NAMELESS_LEN + 1);
	STATUS(WAITS, a, QUEUE_GET, q, FOREVER);
	OK(a, CLOSE, q);
	ck_assert_uint_eq(store_objects(rig.store), 1);
	p = OPEN(b, QUEUE, text);
	OK(b, QUEUE_PUT, p, REEVE_ANY(1), NOW);
	LATER(0, a);
	OK(b, CLOSE, p);
	ck_assert_uint_eq(store_objects(rig.store), 0);
	/* and when the waiting ends, it goes */
	q = OPEN(a, QUEUE, NULL);
	STATUS(WAITS, a, QUEUE_GET, q, REEVE_ANY(10));
	OK(a, CLOSE, q);
	rig_pass(10);
	LATER(-ETIMEDOUT, a);
	ck_assert_uint_eq(store_objects(rig.store), 0);
	/* what is held does not keep it */
	q = OPEN(a, LOCK, NULL);
	OK(a, ACQUIRE, q, NOW);
	OK(a, CLOSE, q);
	ck_assert_uint_eq(store_objects(rig.store), 0);
	rig_done();
}
END_TEST

START_TEST(test_handles_are_used_again)
{
	int64_t h[100];

	begin();
	for (int i = 0; i < 100; i++)
		h[i] = OPEN(a, LIST, NULL);
	for (int i = 0; i < 100; i += 2)
		OK(a, CLOSE, h[i]);
	for (int i = 0; i < 100; i++)
		STATUS(i % 2 ? 0 : -EBADF, a, LENGTH, h[i]);
	for (int i = 0; i < 50; i++)
		ck_assert_int_le(OPEN(a, LIST, NULL), 100);
	STATUS(-EBADF, a, LENGTH, 0);
	STATUS(-EBADF, a, LENGTH, -1);
	STATUS(-EBADF, a, LENGTH, INT64_MAX);
	STATUS(-EBADF, a, LENGTH, INT64_MIN);
	STATUS(-EBADF, b, LENGTH, h[1]); /* another's */
	rig_done();
}
END_TEST

START_TEST(test_stats)
{
	struct reeve_any stats;

	begin();
	(void)OPEN(a, LIST, "l");
	STATUS(WAITS, a, WAIT, OPEN(a, EVENT, "e"), FOREVER);
	store_set_counter(rig.store, "mine", 1);
	store_set_counter(rig.store, "other", 2);
	store_set_counter(rig.store, "mine", 3);
	stats = GET(b, STATS, 0);
	ck_assert_int_eq(reeve_any_find(&stats, REEVE_ANY("sessions"))->integer,
			 2);
	ck_assert_int_eq(reeve_any_find(&stats, REEVE_ANY("objects"))->integer,
			 2);
	ck_assert_int_eq(reeve_any_find(&stats, REEVE_ANY("requests"))->integer,
			 4);
	ck_assert_int_eq(reeve_any_find(&stats, REEVE_ANY("waiting"))->integer,
			 1);
	ck_assert_int_gt(reeve_any_find(&stats, REEVE_ANY("bytes"))->integer,
			 0);
	ck_assert_int_eq(reeve_any_find(&stats, REEVE_ANY("mine"))->integer, 3);
	ck_assert_int_eq(reeve_any_find(&stats, REEVE_ANY("other"))->integer,
			 2);
	rig_done();
}
END_TEST

/* ---- limits ------------------------------------------------------------------------------- */

START_TEST(test_limits_of_numbers)
{
	const struct store_limits limits = {
		.max_objects = 3,
		.max_bytes = 1 << 20,
		.max_handles = 5,
		.max_waiting = 2,
		.max_output_bytes = 1 << 20,
	};
	int64_t e;

	(void)rig_store_with(&limits);
	a = rig_session();
	b = rig_session();
	e = OPEN(a, EVENT, "e");
	(void)OPEN(a, LIST, "1");
	(void)OPEN(a, LIST, NULL);
	ck_assert_int_eq(OPEN(b, LIST, "3"), -ENOSPC);
	ck_assert_uint_eq(store_objects(rig.store), 3);
	ck_assert_int_gt(OPEN(b, LIST, "1"), 0);
	/* handles */
	(void)OPEN(a, LIST, "1");
	ck_assert_int_eq(OPEN(a, LIST, "1"), 5);
	ck_assert_int_eq(OPEN(a, LIST, "1"), -ENOSPC);
	OK(a, CLOSE, 5);
	ck_assert_int_eq(OPEN(a, LIST, "1"), 5);
	/* waits: of one session */
	STATUS(WAITS, a, WAIT, e, FOREVER);
	STATUS(WAITS, a, WAIT, e, FOREVER);
	STATUS(-ENOSPC, a, WAIT, e, FOREVER);
	STATUS(WAITS, b, WAIT, OPEN(b, EVENT, "e"), FOREVER);
	OK(a, EVENT_SET, e);
	rig_done();
}
END_TEST

START_TEST(test_limit_of_bytes)
{
	const struct store_limits limits = {
		.max_objects = 100,
		.max_bytes = 100000,
		.max_handles = 100,
		.max_waiting = 100,
		.max_output_bytes = 1 << 20,
	};
	char data[1000] = { 0 };
	int64_t d, q, n = 0;
	size_t bytes;
	struct reeve_any value = reeve_any_bytes(data, sizeof(data));

	(void)rig_store_with(&limits);
	a = rig_session();
	d = OPEN(a, DICT, "d");
	q = OPEN_SIZE(a, QUEUE, "q", 1);
	OK(a, QUEUE_PUT, q, REEVE_ANY(1), NOW);
	while (ASK(a, DICT_SET, d, REEVE_ANY(n), value).status == 0)
		n++;
	ck_assert_int_ge(n, 80);
	STATUS(-ENOSPC, a, DICT_SET, d, REEVE_ANY(n), value);
	STATUS(-ENOSPC, a, QUEUE_PUT, q, value, FOREVER); /* it would wait */
	ck_assert_int_eq(GET_INT(a, LENGTH, d), n);
	bytes = store_bytes(rig.store);
	ck_assert_uint_le(bytes, limits.max_bytes);
	/* what takes the place of another is not refused */
	OK(a, DICT_SET, d, REEVE_ANY(5), value);
	OK(a, DICT_ADD, d, REEVE_ANY("small"), REEVE_ANY(1));
	OK(a, DICT_POP, d, REEVE_ANY("small"));
	ck_assert_uint_eq(store_bytes(rig.store), bytes);
	OK(a, DICT_POP, d, REEVE_ANY(1));
	OK(a, DICT_SET, d, REEVE_ANY(n), value);
	rig_done();
	ck_assert_uint_eq(rig.n_sessions, 0);
}
END_TEST

/* Too much that is not read: the session is over, and says so once. */
START_TEST(test_limit_of_output)
{
	struct store_limits limits = rig_limits;
	int64_t v;
	char data[1000] = { 0 };
	struct buf request;

	limits.max_output_bytes = 10000;
	(void)rig_store_with(&limits);
	a = rig_session();
	v = OPEN_VALUE(a, VALUE, "v", reeve_any_bytes(data, sizeof(data)));
	request = rig_request(VERB_VALUE_GET, v, NULL, 0);
	while (store_take_ready(rig.store))
		;
	for (int i = 0; i < 9; i++)
		ck_assert_int_eq(request_bytes(request.data, request.len), 0);
	ck_assert_ptr_eq(store_take_ready(rig.store), a);
	ck_assert_ptr_null(store_take_ready(rig.store));
	/* no room for the value: an error is told, until there is none for
	 * that */
	ck_assert_int_eq(request_bytes(request.data, request.len), 0);
	while (session_error(a) == 0)
		(void)request_bytes(request.data, request.len);
	ck_assert_int_eq(session_error(a), -EMSGSIZE);
	ck_assert_uint_le(session_output(a)->len, 10000);
	ck_assert_ptr_eq(store_take_ready(rig.store), a);
	ck_assert_int_eq(request_bytes(request.data, request.len), -EMSGSIZE);
	buf_done(&request);
	rig_done();
}
END_TEST

UNIT_MAIN("manager_store", test_every_verb, test_arguments, test_nonsense,
	  test_too_much_of_a_value, test_open, test_names, test_nameless,
	  test_delete, test_waiting_keeps_it, test_handles_are_used_again,
	  test_stats, test_limits_of_numbers, test_limit_of_bytes,
	  test_limit_of_output)
