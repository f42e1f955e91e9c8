/* Snapshots of the store: what comes back, and what is not believed. */
#include "tests/unit/store_rig.h"
#include "workers/base/pure/rng.h"

static struct session *a, *b;

/* The store is left, and what was saved loaded into another one. */
static int move_to_new_store(const struct buf *saved,
			     const struct store_limits *limits)
{
	rig_done();
	(void)rig_store_with(limits);
	return store_load(rig.store, saved->data, saved->len);
}

static void restart(void)
{
	struct buf saved = rig_save();

	ck_assert_int_eq(move_to_new_store(&saved, &rig_limits), 0);
	buf_done(&saved);
	a = rig_session();
	b = rig_session();
}

static void begin(void)
{
	(void)rig_store();
	a = rig_session();
	b = rig_session();
}

static int64_t open_restored(enum reeve_object_kind kind, const char *name)
{
	struct answer r = ASK(a, OPEN, 0, REEVE_ANY((int64_t)kind),
			      REEVE_ANY(name), REEVE_ANY(1), NIL);

	ck_assert_int_eq(r.status, 0);
	ck_assert(!r.results[1].boolean);
	ck_assert(r.results[2].boolean);
	return r.results[0].integer;
}

START_TEST(test_contents)
{
	struct reeve_pair pairs[] = {
		{ REEVE_ANY("z"), REEVE_ANY("a value of some length") },
		{ REEVE_ANY(1), NIL },
		{ REEVE_ANY("a"), REEVE_ANY(1.5) },
	};
	struct reeve_any items[] = { REEVE_ANY(3), REEVE_ANY(1.5) };

	begin();
	(void)OPEN_VALUE(a, DICT, "dict", reeve_any_dict(pairs, 3));
	(void)OPEN_VALUE(a, NAMESPACE, "ns", reeve_any_dict(pairs, 1));
	(void)OPEN_VALUE(a, LIST, "list", reeve_any_list(items, 2));
	(void)OPEN_VALUE(a, ARRAY, "array", reeve_any_list(items, 2));
	(void)OPEN_VALUE(a, VALUE, "value", REEVE_ANY("what"));
	OK(a, EVENT_SET, OPEN(a, EVENT, "set"));
	(void)OPEN(a, EVENT, "not set");
	(void)OPEN(a, DICT, NULL);
	restart();
	ck_assert_uint_eq(store_objects(rig.store), 7);
	IS(GET(a, NAMES, 0),
	   "{\"dict\": \"dict\", \"ns\": \"namespace\", \"list\": \"list\", "
	   "\"array\": \"array\", \"value\": \"value\", \"set\": \"event\", "
	   "\"not set\": \"event\"}");
	IS(GET(a, ITEMS, open_restored(REEVE_OBJECT_DICT, "dict")),
	   "{\"z\": \"a value of some length\", 1: null, \"a\": 1.5}");
	IS(GET(a, ITEMS, open_restored(REEVE_OBJECT_NAMESPACE, "ns")),
	   "{\"z\": \"a value of some length\"}");
	IS(GET(a, ITEMS, open_restored(REEVE_OBJECT_LIST, "list")), "[3, 1.5]");
	IS(GET(a, ITEMS, open_restored(REEVE_OBJECT_ARRAY, "array")),
	   "[3, 1.5]");
	IS(GET(a, VALUE_GET, open_restored(REEVE_OBJECT_VALUE, "value")),
	   "\"what\"");
	ck_assert(GET_BOOL(a, EVENT_IS_SET,
			   open_restored(REEVE_OBJECT_EVENT, "set")));
	ck_assert(!GET_BOOL(a, EVENT_IS_SET,
			    open_restored(REEVE_OBJECT_EVENT, "not set")));
	rig_done();
}
END_TEST

/* Nobody holds anything any more. */
START_TEST(test_what_was_held)
{
	int64_t q;

	begin();
	OK(a, ACQUIRE, OPEN(a, LOCK, "held"), NOW);
	(void)OPEN(a, LOCK, "free");
	OK(a, ACQUIRE, OPEN(a, CONDITION, "held condition"), NOW);
	OK(a, ACQUIRE, OPEN_SIZE(a, SEMAPHORE, "sem", 2), NOW);
	OK(a, ACQUIRE, OPEN_SIZE(a, BOUNDED_SEMAPHORE, "bounded", 2), NOW);
	q = OPEN_SIZE(a, QUEUE, "queue", 3);
	for (int i = 0; i < 3; i++)
		OK(a, QUEUE_PUT, q, REEVE_ANY(i), NOW);
	OK(a, QUEUE_GET, q, NOW);
	STATUS(WAITS, a, BARRIER_WAIT, OPEN_SIZE(a, BARRIER, "barrier", 2),
	       FOREVER);
	OK(a, BARRIER_ABORT, OPEN_SIZE(a, BARRIER, "broken", 2));
	restart();
	ck_assert(GET_BOOL(a, ACQUIRE, open_restored(REEVE_OBJECT_LOCK, "held"),
			   NOW));
	ck_assert(!GET_BOOL(a, ACQUIRE,
			    open_restored(REEVE_OBJECT_LOCK, "free"), NOW));
	ck_assert(GET_BOOL(
		a, ACQUIRE,
		open_restored(REEVE_OBJECT_CONDITION, "held condition"), NOW));
	q = open_restored(REEVE_OBJECT_SEMAPHORE, "sem");
	OK(a, ACQUIRE, q, NOW);
	OK(a, ACQUIRE, q, NOW);
	STATUS(-EAGAIN, a, ACQUIRE, q, NOW);
	q = open_restored(REEVE_OBJECT_BOUNDED_SEMAPHORE, "bounded");
	STATUS(-EOVERFLOW, a, RELEASE, q);
	OK(a, ACQUIRE, q, NOW);
	OK(a, ACQUIRE, q, NOW);
	STATUS(-EAGAIN, a, ACQUIRE, q, NOW);
	q = open_restored(REEVE_OBJECT_QUEUE, "queue");
	ck_assert_int_eq(GET_INT(a, QUEUE_GET, q, NOW), 1);
	OK(a, QUEUE_PUT, q, REEVE_ANY(9), NOW);
	OK(a, QUEUE_PUT, q, REEVE_ANY(9), NOW);
	ck_assert(GET_BOOL(a, QUEUE_IS_FULL, q));
	for (int i = 0; i < 3; i++)
		OK(a, QUEUE_GET, q, NOW);
	for (int i = 0; i < 4; i++)
		OK(a, QUEUE_TASK_DONE, q);
	ck_assert_int_eq(GET_INT(a, QUEUE_JOIN, q, NOW), 1); /* lost */
	STATUS(-EPIPE, a, BARRIER_WAIT,
	       open_restored(REEVE_OBJECT_BARRIER, "broken"), NOW);
	STATUS(-EAGAIN, a, BARRIER_WAIT,
	       open_restored(REEVE_OBJECT_BARRIER, "barrier"), NOW);
	rig_done();
}
END_TEST

/* Large values, and more than a piece. */
START_TEST(test_much)
{
	size_t size = 1 << 20;
	char *data = malloc(size);
	struct buf first, second;
	int64_t l;

	begin();
	memset(data, 'x', size);
	l = OPEN(a, LIST, "l");
	for (int i = 0; i < 3000; i++)
		OK(a, LIST_APPEND, l,
		   reeve_any_bytes(data, (size_t)i * 97 % 1000));
	for (int i = 0; i < 5; i++)
		OK(a, LIST_APPEND, l, reeve_any_bytes(data, size));
	first = rig_save();
	restart();
	l = open_restored(REEVE_OBJECT_LIST, "l");
	ck_assert_int_eq(GET_INT(a, LENGTH, l), 3005);
	ck_assert_uint_eq(GET(a, LIST_GET, l, REEVE_ANY(17)).n, 17 * 97 % 1000);
	ck_assert_uint_eq(GET(a, LIST_GET, l, REEVE_ANY(-1)).n, size);
	second = rig_save();
	ck_assert_uint_eq(first.len, second.len);
	ck_assert_int_eq(memcmp(first.data, second.data, first.len), 0);
	buf_done(&first);
	buf_done(&second);
	free(data);
	rig_done();
}
END_TEST

/* Only what a snapshot keeps counts as a change. */
START_TEST(test_changes)
{
	int64_t d, l, q, s;
	uint64_t n;

	begin();
	n = store_changes(rig.store);
	d = OPEN(a, DICT, "d");
	l = OPEN(a, LOCK, "l");
	q = OPEN(a, QUEUE, "q");
	s = OPEN_SIZE(a, SEMAPHORE, "s", 1);
	ck_assert_uint_ne(store_changes(rig.store), n);
	n = store_changes(rig.store);
	STATUS(-ENOENT, a, DICT_GET, d, REEVE_ANY(1));
	STATUS(-EINVAL, a, DICT_SET, d, REEVE_ANY(1));
	OK(a, ITEMS, d);
	OK(a, ACQUIRE, l, NOW);
	OK(a, RELEASE, l);
	OK(a, ACQUIRE, s, NOW);
	OK(a, RELEASE, s);
	OK(a, CLOSE, OPEN(a, DICT, "d"));
	ck_assert_uint_eq(store_changes(rig.store), n);
	OK(a, RELEASE, s); /* a new unit */
	ck_assert_uint_ne(store_changes(rig.store), n);
	n = store_changes(rig.store);
	OK(a, DICT_SET, d, REEVE_ANY(1), NIL);
	ck_assert_uint_ne(store_changes(rig.store), n);
	n = store_changes(rig.store);
	OK(a, QUEUE_PUT, q, NIL, NOW);
	ck_assert_uint_ne(store_changes(rig.store), n);
	n = store_changes(rig.store);
	OK(a, DELETE, 0, REEVE_ANY("d"));
	ck_assert_uint_ne(store_changes(rig.store), n);
	rig_done();
}
END_TEST

static int refuse(void *userdata, const void *data, size_t size)
{
	int *n = userdata;

	(void)data;
	(void)size;
	return --*n < 0 ? -ENOSPC : 0;
}

START_TEST(test_a_sink_that_is_full)
{
	int n = 0;
	const struct store_sink sink = { refuse, &n };

	begin();
	(void)OPEN(a, LIST, "l");
	ck_assert_int_eq(store_save(rig.store, &sink), -ENOSPC);
	n = 1;
	ck_assert_int_eq(store_save(rig.store, &sink), 0);
	rig_done();
}
END_TEST

/* ---- what is no snapshot ------------------------------------------------------------ */

static int load(const void *data, size_t size)
{
	/* exactly so many bytes */
	void *copy = malloc(size ? size : 1);
	int r;

	memcpy(copy, data, size);
	(void)rig_store();
	r = store_load(rig.store, copy, size);
	if (r < 0)
		MUST(store_objects(rig.store) == 0);
	rig_done();
	free(copy);
	return r;
}

/* "1" object of a kind, "n", size, and what is in it. */
#define SNAPSHOT(kind, rest)                                                   \
	{                                                                      \
		"\x01" kind "\x61n" rest, sizeof("\x01" kind "\x61n" rest) - 1 \
	}

START_TEST(test_nonsense)
{
	static const struct {
		const char *bytes;
		size_t size;
	} wrong[] = {
		{ "", 0 },
		{ "\x20", 1 },
		{ "\x00\x00", 2 },
		{ "\x01", 1 },
		{ "\x1b\x7f\xff\xff\xff\xff\xff\xff\xff", 9 },
		SNAPSHOT("\x0d", "\x00\x00"), /* no such kind */
		SNAPSHOT("\x20", "\x00\x00"), /* -1 */
		SNAPSHOT("\x00", "\x00\x00"), /* a dict that is an int */
		SNAPSHOT("\x00", "\x00\xa1\xf6\x00"),	      /* nil as a key */
		SNAPSHOT("\x00", "\x00\xa2\x01\x00\x01\x00"), /* twice */
		SNAPSHOT("\x01", "\x00\xa1\x01\x00"), /* a namespace's int */
		SNAPSHOT("\x03", "\x00\x81\x60"),     /* an array's string */
		SNAPSHOT("\x05", "\x01\x82\x00\x00\x00"), /* over its bound */
		SNAPSHOT("\x05", "\x20\x80\x00"),
		SNAPSHOT("\x05", "\x00\x80\x20"), /* -1 lost */
		SNAPSHOT("\x06", "\x00\x00"),	  /* a lock's int */
		SNAPSHOT("\x08", "\x01\x20"),	  /* -1 units */
		SNAPSHOT("\x08", "\x20\x01"),
		SNAPSHOT("\x09", "\x01\x02"), /* more than its bound */
		SNAPSHOT("\x09", "\x00\x00"),
		SNAPSHOT("\x0c", "\x00\xf4"), /* no parties */
		SNAPSHOT("\x0c", "\x01\xf6"),
		{ "\x01\x02\x60\x00\x80", 5 },	   /* no name */
		{ "\x01\x02\x61#\x00\x80", 6 },	   /* a nameless one */
		{ "\x01\x02\x61\x00\x00\x80", 6 }, /* a NUL in its name */
		{ "\x02\x02\x61n\x00\x80\x02\x61n\x00\x80", 11 }, /* twice */
		{ "\x01\x02\x61n\x00\x80\x00", 7 },		  /* more */
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		ck_assert_msg(load(wrong[i].bytes, wrong[i].size) == -EBADMSG,
			      "%zu", i);
	/* what they are all but */
	ck_assert_int_eq(load("\x01\x02\x61n\x00\x80", 6), 0);
	ck_assert_int_eq(load("\x01\x05\x61n\x02\x82\x00\x00\x00", 9), 0);
	ck_assert_int_eq(load("\x01\x09\x61n\x02\x02", 6), 0);
	ck_assert_int_eq(load("\x00", 1), 0);
}
END_TEST

/* Every prefix, and every byte another one: it loads, or it does not, and then
 * nothing of it. */
START_TEST(test_cut_and_changed)
{
	struct reeve_pair pair = { REEVE_ANY("key of some length"),
				   REEVE_ANY("value of some length") };
	struct buf saved;
	struct rng rng = { 3 };

	begin();
	(void)OPEN_VALUE(a, DICT, "dict", reeve_any_dict(&pair, 1));
	(void)OPEN_SIZE(a, ARRAY, "array", 4);
	(void)OPEN_SIZE(a, QUEUE, "queue", 4);
	(void)OPEN_SIZE(a, BARRIER, "barrier", 4);
	saved = rig_save();
	rig_done();
	for (size_t i = 0; i < saved.len; i++)
		ck_assert_int_eq(load(saved.data, i), -EBADMSG);
	for (size_t i = 0; i < 20 * saved.len; i++) {
		char *byte = &saved.data[i % saved.len], before = *byte;

		*byte = (char)rng_next(&rng);
		(void)load(saved.data, saved.len);
		*byte = before;
	}
	buf_done(&saved);
}
END_TEST

/* Limits hold for what is loaded, too. */
START_TEST(test_over_the_limits)
{
	struct store_limits limits = rig_limits;
	struct buf saved;

	begin();
	(void)OPEN(a, LIST, "one");
	(void)OPEN_SIZE(a, ARRAY, "two", 1000);
	saved = rig_save();
	limits.max_objects = 1;
	ck_assert_int_eq(move_to_new_store(&saved, &limits), -ENOSPC);
	ck_assert_uint_eq(store_objects(rig.store), 0);
	limits.max_objects = 2;
	ck_assert_int_eq(move_to_new_store(&saved, &limits), 0);
	limits.max_bytes = 10000;
	ck_assert_int_eq(move_to_new_store(&saved, &limits), -ENOSPC);
	buf_done(&saved);
	rig_done();
}
END_TEST

UNIT_MAIN("manager_store_save", test_contents, test_what_was_held, test_much,
	  test_changes, test_a_sink_that_is_full, test_nonsense,
	  test_cut_and_changed, test_over_the_limits)
