/* Objects shared with workers, in each context: found there by name, and nothing
 * else is.
 */
#include "workers/pool/shares.h"

#include "tests/lib/process.h"
#include "tests/unit/shares_rig.h"

/* Uses each as it is meant to be. Fails with the number of the first that did
 * not work. */
static int use_all(void *input _unused_, size_t size _unused_,
		   struct reeve_reply *reply _unused_)
{
	reeve_lock *lock = reeve_pool_shared("lock")->lock;
	reeve_semaphore *units = reeve_pool_shared("units")->semaphore;
	reeve_connection *pipe = reeve_pool_shared("pipe")->connection;
	reeve_condition *c = reeve_pool_shared("condition")->condition;
	int answer = 0;

	if (reeve_pool_shared("nothing") || reeve_pool_shared(NULL))
		return 1;
	if (reeve_lock_acquire(lock, 0) != 0 ||
	    reeve_condition_notify_all(c) != 0 || reeve_lock_release(lock) != 0)
		return 2;
	if (reeve_event_set(reeve_pool_shared("event")->event) != 0)
		return 3;
	if (reeve_semaphore_acquire(units, 0) != 0 ||
	    reeve_semaphore_value(units) != 2 ||
	    reeve_semaphore_release(units) != 0)
		return 4;
	if (reeve_barrier_parties(reeve_pool_shared("barrier")->barrier) != 3)
		return 5;
	if (reeve_queue_put(reeve_pool_shared("queue")->queue, "q", 1, 0) != 0)
		return 6;
	if (reeve_connection_send(pipe, "p", 1, 0) != 0 ||
	    reeve_connection_recv(pipe, &answer, sizeof(answer), LONG_WAIT,
				  NULL) != 0 ||
	    answer != 77)
		return 7;
	if (reeve_value_add(reeve_pool_shared("value")->value, 5, NULL) != 0)
		return 8;
	tell_word(WORD_PID, (unsigned long)getpid());
	return 0;
}

static int count_fds(void *input _unused_, size_t size _unused_,
		     struct reeve_reply *reply)
{
	uint64_t n = process_count_fds(getpid());

	return reeve_reply_set(reply, &n, sizeof(n));
}

/* Takes part, and is replaced in good order. */
static int take_part(void *input _unused_, size_t size _unused_,
		     struct reeve_reply *reply)
{
	uint64_t pid = (uint64_t)getpid();
	int r = reeve_barrier_enter(reeve_pool_shared("barrier")->barrier);

	return r < 0 ? r : reeve_reply_set(reply, &pid, sizeof(pid));
}

static int find_it_early(void *argument _unused_, size_t size _unused_)
{
	return reeve_value_set(reeve_pool_shared("value")->value, &(int){ 37 });
}

/* Sets the one that the owner named. */
static int set_event(void *input, size_t size,
		     struct reeve_reply *reply _unused_)
{
	const struct reeve_shared *s = reeve_pool_shared(input);

	return size != REEVE_SHARED_NAME_MAX || !s ? -ENOENT
						   : reeve_event_set(s->event);
}

/* ---- what workers find ------------------------------------------------ */

/* What was done in a worker is seen here. */
START_TEST(test_all_kinds)
{
	struct reeve_result *result;
	struct reeve_pool *pool;
	size_t size = 0;
	struct stage x;
	int n = 77;
	char c = 0;

	stage_init(&x);
	/* one worker: another one's initializer might come after the task */
	pool = new_pool(_i, (struct reeve_pool_spec){ .processes = 1,
						      .shared = x.shared,
						      .initializer =
							      find_it_early });
	ck_assert_ptr_null(reeve_pool_shared("lock"));
	ck_assert_int_eq(reeve_pool_apply_async(pool, use_all, NULL, 0, NULL,
						&result),
			 0);
	until(work(pool) && reeve_connection_poll(x.end, 0) == 1);
	ck_assert_int_eq(reeve_connection_recv(x.end, &c, 1, 0, &size), 0);
	ck_assert_int_eq(c, 'p');
	ck_assert_int_eq(reeve_connection_send(x.end, &n, sizeof(n), 0), 0);
	ck_assert_int_eq(reeve_result_get(result, LONG_WAIT, NULL, 0, NULL), 0);
	(void)reeve_result_unref(result);
	ck_assert_int_eq(reeve_event_is_set(x.shared[EVENT].event), 1);
	ck_assert_int_eq(reeve_queue_get(x.shared[QUEUE].queue, &c, 1, 0, NULL),
			 0);
	ck_assert_int_eq(c, 'q');
	ck_assert_int_eq(reeve_value_get(x.shared[VALUE].value, &n), 0);
	ck_assert_int_eq(n, 42);
	ck_assert_uint_ne(word(&x, WORD_PID), 0);
	ck_assert_uint_ne(word(&x, WORD_PID), (unsigned long)getpid());
	(void)reeve_pool_free(pool);
	stage_done(&x);
}
END_TEST

/* A worker that was executed has those, and no others. */
START_TEST(test_fds)
{
	const bool is_executed = pool_modes[_i].context != REEVE_CONTEXT_FORK;
	struct reeve_pool *pool;
	struct stage x;
	uint64_t n;

	stage_init(&x);
	pool = new_pool(_i, (struct reeve_pool_spec){ 0 });
	n = ask(pool, count_fds);
	(void)reeve_pool_free(pool);
	pool = stage_pool(&x, _i);
	ck_assert_uint_eq(ask(pool, count_fds),
			  n + (is_executed ? KINDS + 1 : 0));
	(void)reeve_pool_free(pool);
	stage_done(&x);
}
END_TEST

/* Who is replaced according to plan was no party that died. */
START_TEST(test_recycled_parties)
{
	struct reeve_pool *pool;
	uint64_t pid = 0, n = 0;
	struct stage x;

	stage_init(&x);
	pool = new_pool(_i, (struct reeve_pool_spec){ .shared = x.shared,
						      .processes = 1,
						      .maxtasksperchild = 1 });
	for (int i = 0; i < 6; i++) {
		uint64_t now = ask(pool, take_part);

		n += now != pid;
		pid = now;
	}
	ck_assert_uint_ge(n, 5);
	ck_assert_int_eq(reeve_barrier_is_broken(x.shared[BARRIER].barrier), 0);
	(void)reeve_pool_close(pool);
	ck_assert_int_eq(reeve_pool_join(pool, LONG_WAIT), 0);
	ck_assert_int_eq(reeve_barrier_is_broken(x.shared[BARRIER].barrier), 0);
	(void)reeve_pool_free(pool);
	stage_done(&x);
}
END_TEST

/* ---- bad input -------------------------------------------------------- */

static void check_refused(const struct reeve_shared *shared)
{
	struct reeve_pool_spec spec = { .shared = shared };
	struct reeve_pool *pool = NULL;

	ck_assert_int_eq(reeve_pool_new(&spec, &pool), -EINVAL);
	ck_assert_ptr_null(pool);
}

START_TEST(test_bad_specs)
{
	struct reeve_shared s[REEVE_SHARED_MAX + 2];
	char name[REEVE_SHARED_NAME_MAX + 1];
	struct stage x;

	stage_init(&x);
	memset(s, 0, sizeof(s));
	s[0] = x.shared[EVENT];
	s[0].event = NULL; /* nothing */
	check_refused(s);
	s[0] = x.shared[EVENT];
	s[0].lock = x.shared[LOCK].lock; /* two things */
	check_refused(s);
	s[0] = x.shared[EVENT];
	s[0].name = "";
	check_refused(s);
	s[0] = s[1] = x.shared[EVENT]; /* twice */
	check_refused(s);
	s[1].name = "again"; /* the same thing */
	check_refused(s);
	s[0] = x.shared[CONDITION]; /* without its lock */
	s[1] = x.shared[EVENT];
	check_refused(s);
	s[1] = x.shared[LOCK]; /* in any order */
	memset(name, 'n', sizeof(name));
	name[REEVE_SHARED_NAME_MAX] = '\0';
	s[2] = x.shared[EVENT];
	s[2].name = name;
	check_refused(s);
	stage_done(&x);
}
END_TEST

/* As many as there may be, with names as long. */
START_TEST(test_limits)
{
	static char names[REEVE_SHARED_MAX + 1][REEVE_SHARED_NAME_MAX];
	struct reeve_shared s[REEVE_SHARED_MAX + 2];
	struct reeve_pool *pool;

	memset(s, 0, sizeof(s));
	for (int i = 0; i <= REEVE_SHARED_MAX; i++) {
		memset(names[i], 'n', REEVE_SHARED_NAME_MAX - 1);
		names[i][0] = (char)('0' + i);
		s[i].name = names[i];
		ck_assert_int_eq(reeve_event_new(&s[i].event), 0);
	}
	check_refused(s);
	(void)reeve_event_free(s[REEVE_SHARED_MAX].event);
	s[REEVE_SHARED_MAX].name = NULL;
	pool = new_pool(_i, (struct reeve_pool_spec){ .shared = s });
	for (int i = 0; i < REEVE_SHARED_MAX; i++) {
		ck_assert_int_eq(reeve_event_is_set(s[i].event), 0);
		ck_assert_int_eq(reeve_pool_apply(pool, set_event, names[i],
						  sizeof(names[i]), NULL, NULL,
						  NULL),
				 0);
		ck_assert_int_eq(reeve_event_is_set(s[i].event), 1);
	}
	(void)reeve_pool_free(pool);
	for (int i = 0; i < REEVE_SHARED_MAX; i++)
		(void)reeve_event_free(s[i].event);
}
END_TEST

int main(int argc, char **argv)
{
	static const struct reeve_function functions[] = {
		{ "square", square, NULL },
		{ "use_all", use_all, NULL },
		{ "count_fds", count_fds, NULL },
		{ "take_part", take_part, NULL },
		{ "set_event", set_event, NULL },
		{ "find_it_early", NULL, find_it_early },
		{ NULL, NULL, NULL },
	};
	const TTest *const tests[] = {
		test_all_kinds, test_fds,    test_recycled_parties,
		test_bad_specs, test_limits,
	};

	if (reeve_pool_setup(functions) < 0)
		return 2;
	return unit_loop_main("pool_shares", ARRAY_SIZE(pool_modes), tests,
			      ARRAY_SIZE(tests), argc > 0 ? argv + 1 : argv);
}
