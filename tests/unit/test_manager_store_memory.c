/* Each request, with each of its allocations failing once: it is refused, and nothing
 * has happened; asked again, it is done. Deaths and timeouts need no memory that
 * they could miss.
 *
 * malloc(3) and its like are ours here (--wrap of the linker, see the Makefile).
 */
#include "tests/unit/store_rig.h"

/* ---- memory ------------------------------------------------------------------------- */

static int countdown = -1; /* 0: the next one fails; -1: none does */
static bool was_reached;   /* one did, in the last step */

static bool fails(void)
{
	return countdown >= 0 && countdown-- == 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

/* ---- a long conversation --------------------------------------------------------------- */

struct step {
	int who;
	enum verb verb;
	int64_t handle;
	int wanted;
	struct reeve_any args[4];
	size_t n;
};

#define LONG1	  REEVE_ANY("some text that needs memory of its own")
#define LONG2	  REEVE_ANY("other text that needs memory of its own")
#define KINDNO(k) REEVE_ANY((int64_t)REEVE_OBJECT_##k)

static struct reeve_pair pairs[20];
static struct reeve_any items[20];
static struct step steps[128];
static size_t n_steps;

static void add(int who, enum verb verb, int64_t handle, int wanted,
		const struct reeve_any *args, size_t n)
{
	struct step *s = &steps[n_steps++];

	*s = (struct step){ .who = who,
			    .verb = verb,
			    .handle = handle,
			    .wanted = wanted,
			    .n = n };
	if (n > 0)
		memcpy(s->args, args, n * sizeof(*args));
}

#define STEP(who, verb, handle, wanted, ...)                                   \
	add(who, VERB_##verb, handle, wanted, ARGS(__VA_ARGS__))

/* Both sessions open the same objects, so their handles are the same. */
static void open_all(int who)
{
	STEP(who, OPEN, 0, 0, KINDNO(DICT), REEVE_ANY("d"), NIL,
	     reeve_any_dict(pairs, 20)); /* 1 */
	STEP(who, OPEN, 0, 0, KINDNO(LIST), REEVE_ANY("l"), NIL,
	     reeve_any_list(items, 20)); /* 2 */
	STEP(who, OPEN, 0, 0, KINDNO(ARRAY), REEVE_ANY("a"), REEVE_ANY(5),
	     NIL); /* 3 */
	STEP(who, OPEN, 0, 0, KINDNO(VALUE), REEVE_ANY("v"), NIL, LONG1);
	STEP(who, OPEN, 0, 0, KINDNO(QUEUE), REEVE_ANY("q"), REEVE_ANY(2), NIL);
	STEP(who, OPEN, 0, 0, KINDNO(LOCK), REEVE_ANY("k"), NIL, NIL);
	STEP(who, OPEN, 0, 0, KINDNO(CONDITION), REEVE_ANY("c"), NIL, NIL);
	STEP(who, OPEN, 0, 0, KINDNO(SEMAPHORE), REEVE_ANY("s"), REEVE_ANY(1),
	     NIL); /* 8 */
	STEP(who, OPEN, 0, 0, KINDNO(EVENT), REEVE_ANY("e"), NIL, NIL);
	STEP(who, OPEN, 0, 0, KINDNO(BARRIER), REEVE_ANY("b"), REEVE_ANY(2),
	     NIL); /* 10 */
}

static void use_contents(void)
{
	STEP(0, DICT_SET, 1, 0, LONG1, LONG2);
	STEP(0, DICT_SET, 1, 0, LONG1, REEVE_ANY(1));
	STEP(0, DICT_SETDEFAULT, 1, 0, LONG2, LONG1);
	STEP(0, DICT_ADD, 1, 0, LONG1, REEVE_ANY(2));
	STEP(0, DICT_ADD, 1, 0, REEVE_ANY("a new key that is long"),
	     REEVE_ANY(2));
	STEP(0, DICT_UPDATE, 1, 0, reeve_any_dict(pairs, 20));
	STEP(0, DICT_GET, 1, 0, LONG1);
	STEP(0, ITEMS, 1, 0);
	STEP(0, DICT_KEYS, 1, 0);
	STEP(0, DICT_POP, 1, 0, LONG1);
	STEP(0, LIST_APPEND, 2, 0, LONG1);
	STEP(0, LIST_INSERT, 2, 0, REEVE_ANY(0), LONG2);
	STEP(0, LIST_EXTEND, 2, 0, reeve_any_list(items, 20));
	STEP(0, LIST_SET, 2, 0, REEVE_ANY(-1), LONG1);
	STEP(0, LIST_SLICE, 2, 0, REEVE_ANY(0), REEVE_ANY(9));
	STEP(0, LIST_POP, 2, 0, REEVE_ANY(0));
	STEP(0, LIST_ADD, 3, 0, REEVE_ANY(0), REEVE_ANY(1));
	STEP(0, VALUE_SET, 4, 0, LONG2);
	STEP(0, VALUE_GET, 4, 0);
	STEP(0, NAMES, 0, 0);
	STEP(0, STATS, 0, 0);
	STEP(0, NAME, 4, 0);
}

static void use_others(void)
{
	STEP(0, QUEUE_GET, 5, WAITS, FOREVER);
	STEP(1, QUEUE_PUT, 5, 0, LONG1, FOREVER);
	STEP(1, QUEUE_PUT, 5, 0, LONG1, FOREVER);
	STEP(1, QUEUE_PUT, 5, 0, LONG2, FOREVER);
	STEP(1, QUEUE_PUT, 5, WAITS, LONG2, REEVE_ANY(1000));
	STEP(0, QUEUE_GET, 5, 0, NOW);
	STEP(0, QUEUE_JOIN, 5, WAITS, FOREVER);
	STEP(0, QUEUE_TASK_DONE, 5, 0);
	STEP(0, ACQUIRE, 6, 0, NOW);
	STEP(1, ACQUIRE, 6, WAITS, REEVE_ANY(1000));
	STEP(0, RELEASE, 6, 0);
	STEP(0, ACQUIRE, 7, 0, NOW);
	STEP(0, WAIT, 7, WAITS, REEVE_ANY(1000));
	STEP(1, ACQUIRE, 7, 0, NOW);
	STEP(1, NOTIFY, 7, 0, REEVE_ANY(1));
	STEP(1, RELEASE, 7, 0);
	STEP(0, ACQUIRE, 8, 0, NOW);
	STEP(1, ACQUIRE, 8, WAITS, FOREVER);
	STEP(0, RELEASE, 8, 0);
	STEP(0, WAIT, 9, WAITS, FOREVER);
	STEP(1, EVENT_SET, 9, 0);
	STEP(0, EVENT_CLEAR, 9, 0);
	STEP(0, BARRIER_WAIT, 10, WAITS, REEVE_ANY(1000));
	STEP(1, BARRIER_STATE, 10, 0);
	STEP(1, BARRIER_WAIT, 10, 0, NOW);
	STEP(0, CLEAR, 2, 0);
	STEP(0, DELETE, 0, 0, REEVE_ANY("l"));
	STEP(0, CLOSE, 2, 0);
	STEP(0, OPEN, 0, 0, KINDNO(LIST), NIL, NIL, NIL);
	STEP(0, PING, 0, 0);
}

static void make_steps(void)
{
	static char keys[20][40];

	for (int i = 0; i < 20; i++) {
		(void)snprintf(keys[i], sizeof(keys[i]),
			       "a key that needs memory, %d", i);
		pairs[i] = (struct reeve_pair){ REEVE_ANY(keys[i]), LONG1 };
		items[i] = i % 2 ? LONG2 : REEVE_ANY(i);
	}
	open_all(0);
	open_all(1);
	use_contents();
	use_others();
}

/* ---- one step ----------------------------------------------------------------------- */

static struct session *who[2];

static void forget_output(void)
{
	for (int i = 0; i < 2; i++)
		buf_done(session_output(who[i]));
}

static void drain(void)
{
	for (int i = 0; i < 2; i++)
		while (rig_next(who[i]).status != WAITS)
			;
	rig_free_answers();
}

/* Returns its status; -ECONNRESET: nothing could be said, the session is to end. */
static int run_step(const struct step *s, int fail_at)
{
	struct buf b = rig_request(s->verb, s->handle, s->args, s->n);
	struct answer a;
	int r;

	drain();
	if (fail_at >= 0)
		forget_output(); /* an answer, too, needs memory */
	countdown = fail_at;
	r = store_request(rig.store, who[s->who], (const unsigned char *)b.data,
			  b.len, rig.now_usec);
	was_reached = fail_at >= 0 && countdown < 0;
	countdown = -1;
	buf_done(&b);
	if (r < 0)
		return r == session_error(who[s->who]) ? -ECONNRESET : r;
	a = rig_next(who[s->who]);
	return a.status;
}

static void begin(void)
{
	(void)rig_store();
	who[0] = rig_session();
	who[1] = rig_session();
}

static void run_up_to(size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (run_step(&steps[i], -1) != steps[i].wanted)
			ck_abort_msg("step %zu", i);
	drain();
}

static bool is_same(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/* Returns whether the allocation number fail_at was made at all. */
static bool try_step(size_t i, int fail_at)
{
	const struct step *s = &steps[i];
	struct buf before, after;
	bool has_failed, reached;
	int r;

	begin();
	run_up_to(i);
	before = rig_save();
	r = run_step(s, fail_at);
	reached = was_reached;
	has_failed = r == -ENOMEM || r == -ECONNRESET;
	if (!has_failed && r != s->wanted)
		ck_abort_msg("step %zu, allocation %d: %d", i, fail_at, r);
	after = rig_save();
	if (has_failed && !is_same(&before, &after))
		ck_abort_msg("step %zu, allocation %d: half done", i, fail_at);
	if (has_failed && rig_next(who[!s->who]).status != WAITS)
		ck_abort_msg("step %zu, allocation %d: others", i, fail_at);
	if (r == -ENOMEM && run_step(s, -1) != s->wanted)
		ck_abort_msg("step %zu, allocation %d: again", i, fail_at);
	buf_done(&before);
	buf_done(&after);
	rig_done(); /* nothing is lost */
	return reached;
}

START_TEST(test_each_allocation)
{
	unsigned long n = 0;

	make_steps();
	begin();
	run_up_to(n_steps);
	rig_done();
	for (size_t i = 0; i < n_steps; i++)
		for (int fail_at = 0; try_step(i, fail_at); fail_at++)
			n++;
	ck_assert_uint_gt(n, 2 * n_steps);
	unit_count(n, "allocations");
}
END_TEST

/* Who is told something later, without memory for that, is lost; what it would have
 * had goes on. */
START_TEST(test_no_memory_for_a_later_answer)
{
	struct session *third;
	int64_t h, l, m;
	struct buf b;

	begin();
	third = rig_session();
	h = OPEN(who[0], LOCK, "l");
	l = OPEN(who[1], LOCK, "l");
	m = OPEN(third, LOCK, "l");
	OK(who[0], ACQUIRE, h, NOW);
	STATUS(WAITS, who[1], ACQUIRE, l, FOREVER);
	STATUS(WAITS, third, ACQUIRE, m, FOREVER);
	buf_done(session_output(who[1])); /* the others have some left */
	b = rig_request(VERB_RELEASE, h, NULL, 0);
	countdown = 0;
	ck_assert_int_eq(store_request(rig.store, who[0],
				       (const unsigned char *)b.data, b.len, 0),
			 0);
	ck_assert_int_eq(countdown, -1);
	buf_done(&b);
	ck_assert_int_eq(session_error(who[0]), 0);
	ck_assert_int_eq(session_error(who[1]), -ENOMEM);
	LATER(0, third);
	OK(third, RELEASE, m);
	rig_done();
}
END_TEST

UNIT_MAIN("manager_store_memory", test_each_allocation,
	  test_no_memory_for_a_later_answer)
