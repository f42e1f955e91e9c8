/* Requests and answers: a hostile server, a silent one, many requests at once.
 * The server is the test itself; with the real one: test_manager_client.c. */
#include "tests/unit/manager_fake.h"

struct setup {
	struct fake f;
	reeve_manager *m;
	reeve_proxy *dict, *queue, *list;
};

static void set_up(struct setup *s)
{
	fake_start(&s->f);
	s->m = fake_client(&s->f);
	s->dict = fake_proxy(s->m, REEVE_OBJECT_DICT);
	s->queue = fake_proxy(s->m, REEVE_OBJECT_QUEUE);
	s->list = fake_proxy(s->m, REEVE_OBJECT_LIST);
}

static void tear_down(struct setup *s)
{
	reeve_proxy_free(s->dict);
	reeve_proxy_free(s->queue);
	reeve_proxy_free(s->list);
	reeve_manager_free(s->m);
	fake_stop(&s->f);
}

/* ---- hostile answers --------------------------------------------------------------- */

static const struct hostile {
	const char *bytes; /* in place of an answer; %: the id; NULL: nothing */
	size_t size;
	int error;
} hostile[] = {
	{ NULL, 0, -ECONNRESET },		/* nothing at all */
	{ "\4\0\0", 3, -ECONNRESET },		/* half a length */
	{ "\4\0\0\0%", 5, -ECONNRESET },	/* half a frame */
	{ "\0\0\0\0", 4, -EPROTO },		/* empty */
	{ "\377\377\377\377", 4, -EPROTO },	/* too long */
	{ "\1\20\0\1", 4, -EPROTO },		/* just too long */
	{ "\1\0\0\0%", 5, -EPROTO },		/* no status */
	{ "\2\0\0\0%\1", 6, -EPROTO },		/* a positive one */
	{ "\2\0\0\0%\0", 6, -EPROTO },		/* no result */
	{ "\3\0\0\0%\0\0", 7, -EPROTO },	/* an integer, not a boolean */
	{ "\4\0\0\0%\0\364\364", 8, -EPROTO },	/* more than one */
	{ "\3\0\0\0%\41\364", 7, -EPROTO },	/* an error, with a result */
	{ "\4\0\0\0%\71\377\377", 8, -EPROTO }, /* no errno */
	{ "\3\0\0\0\3\0\364", 7, -EPROTO },	/* another id */
	{ "\3\0\0\0\1\0\364", 7, -EPROTO },	/* nobody waits */
	{ "\2\0\0\0\2\0", 6, -EPROTO },		/* nobody asked */
	{ "\2\0\0\0\0\0", 6, -EPROTO },		/* a message, but of what? */
	{ "\5\0\0\0\32\0\1\0\1", 9, -EPROTO },	/* an id out of range */
	{ "\3\0\0\0\40\0\364", 7, -EPROTO },	/* a negative one */
	{ "\3\0\0\0a\0\364", 7, -EPROTO },	/* a string */
	{ "\4\0\0\0\30%\0\364", 8, -EPROTO },	/* not the shortest form */
	{ "\3\0\0\0%\0\377", 7, -EPROTO },	/* no CBOR */
	{ "HTTP/1.1 400 Bad Request\r\n", 26, -EPROTO },
};

static int be_hostile(struct fake *f, const struct fake_request *q,
		      struct buf *out)
{
	const struct hostile *h = &hostile[f->value];

	if (q->verb != VERB_DICT_HAS || atomic_exchange(&f->command, 0) == 0)
		return fake_answer(f, q, out);
	for (size_t i = 0; h->bytes && i < h->size; i++)
		(void)buf_putc(out,
			       h->bytes[i] == '%' ? (char)q->id : h->bytes[i]);
	return 0;
}

/* Each is an error for that call, and the connection ends: then all goes on. */
START_TEST(test_hostile)
{
	struct setup s = { .f = { .on_request = be_hostile } };

	set_up(&s);
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		int r;

		/* ids of one byte */
		ck_assert_int_lt(s.m->next_request, 24);
		s.f.value = (long)i;
		atomic_store(&s.f.command, 1);
		r = reeve_proxy_dict_has(s.dict, REEVE_ANY(1));
		ck_assert_msg(r == hostile[i].error, "row %zu: %d", i, r);
		ck_assert_int_eq(reeve_proxy_dict_has(s.dict, REEVE_ANY(1)),
				 -ESTALE);
		ck_assert_int_eq(reeve_proxy_dict_has(s.dict, REEVE_ANY(1)), 0);
	}
	tear_down(&s);
}
END_TEST

static int trickle(struct fake *f, const struct fake_request *q,
		   struct buf *out)
{
	static const char frame[100] = { 96 };

	if (q->verb != VERB_DICT_HAS)
		return fake_answer(f, q, out);
	for (size_t i = 0; i < sizeof(frame); i++) {
		(void)buf_putc(out, frame[i]);
		for (int k = 0; k < FAKE_CLIENTS; k++)
			if (f->clients[k].fd >= 0 &&
			    send(f->clients[k].fd, &frame[i], 1, MSG_NOSIGNAL) <
				    0)
				return 1;
		buf_clear(out);
		(void)poll(NULL, 0, 10);
	}
	return 1;
}

/* Byte by byte is as good as nothing. */
START_TEST(test_trickle)
{
	struct setup s = { .f = { .on_request = trickle } };
	uint64_t begin;

	set_up(&s);
	begin = clock_monotonic_usec();
	ck_assert_int_eq(reeve_proxy_dict_has(s.dict, REEVE_ANY(1)),
			 -ECONNRESET);
	ck_assert_uint_lt(clock_monotonic_usec() - begin, 900 * USEC_PER_MSEC);
	tear_down(&s);
}
END_TEST

static int refuse(struct fake *f, const struct fake_request *q, struct buf *out)
{
	if (q->verb == VERB_OPEN || q->verb == VERB_CLOSE)
		return fake_answer(f, q, out);
	fake_status(out, q->id, -ENOENT);
	return 0;
}

/* What is only an error leaves the connection alone. */
START_TEST(test_errors)
{
	struct setup s = { .f = { .on_request = refuse } };
	struct reeve_any value = REEVE_ANY(1);

	set_up(&s);
	ck_assert_int_eq(reeve_proxy_clear(s.dict), -ENOENT);
	ck_assert_int_eq(reeve_proxy_dict_get(s.dict, REEVE_ANY(1), &value),
			 -ENOENT);
	ck_assert_int_eq(value.integer, 1); /* untouched */
	ck_assert_int_eq(reeve_proxy_length(s.list), -ENOENT);
	ck_assert_int_eq(s.f.n_connects, 1);
	tear_down(&s);
}
END_TEST

/* ---- silence --------------------------------------------------------------------------- */

/* command: pings to be answered; then nothing is. The rest is never answered. */
static int keep_waiting(struct fake *f, const struct fake_request *q,
			struct buf *out)
{
	if (q->verb == VERB_QUEUE_GET)
		return 0;
	if (q->verb == VERB_PING && atomic_fetch_sub(&f->command, 1) <= 0)
		return 0;
	return fake_answer(f, q, out);
}

/* Who waits for ever asks whether the server is there, and waits on while it is. */
START_TEST(test_wait_for_the_silent)
{
	struct setup s = { .f = { .on_request = keep_waiting, .command = 3 } };

	set_up(&s);
	ck_assert_int_eq(reeve_proxy_queue_get(s.queue, REEVE_FOREVER, NULL),
			 -ECONNRESET);
	ck_assert_int_eq(s.f.n_pings, 4);
	tear_down(&s);
}
END_TEST

/* With a timeout it ends soon after that, at the latest. */
START_TEST(test_timeout_of_the_silent)
{
	struct setup s = { .f = { .on_request = keep_waiting } };
	uint64_t begin;

	set_up(&s);
	begin = clock_monotonic_usec();
	ck_assert_int_eq(reeve_proxy_queue_get(s.queue, 1000, NULL),
			 -ECONNRESET);
	ck_assert_uint_ge(clock_monotonic_usec() - begin, SHORT_USEC);
	ck_assert_uint_lt(clock_monotonic_usec() - begin, 900 * USEC_PER_MSEC);
	/* it is there, but does not say that the time is over */
	s.f.command = 1000;
	ck_assert_int_eq(reeve_proxy_queue_get(s.queue, 1000, NULL), -ESTALE);
	ck_assert_int_eq(reeve_proxy_queue_get(s.queue, 1000, NULL), -EPROTO);
	tear_down(&s);
}
END_TEST

static int answer_after_pings(struct fake *f, const struct fake_request *q,
			      struct buf *out)
{
	if (q->verb == VERB_QUEUE_GET) {
		f->value = q->id;
		return 0;
	}
	if (q->verb == VERB_PING && f->n_pings == 2) {
		struct fake_request get = { .id = f->value,
					    .verb = VERB_QUEUE_GET };

		(void)fake_answer(f, &get, out); /* crosses the ping */
	}
	return fake_answer(f, q, out);
}

/* What is waited for comes between a question and its answer. */
START_TEST(test_item_crosses_ping)
{
	struct setup s = { .f = { .on_request = answer_after_pings } };

	set_up(&s);
	ck_assert_int_eq(reeve_proxy_queue_get(s.queue, REEVE_FOREVER, NULL),
			 0);
	ck_assert_int_eq(reeve_proxy_dict_has(s.dict, REEVE_ANY(1)), 0);
	ck_assert_int_eq(s.f.n_pings, 2);
	ck_assert_int_eq(s.f.n_connects, 1);
	tear_down(&s);
}
END_TEST

/* Without time there is nothing to wait for: the answer is due. */
START_TEST(test_no_time)
{
	struct setup s = { .f = { .on_request = keep_waiting, .command = 9 } };

	set_up(&s);
	ck_assert_int_eq(reeve_proxy_queue_get(s.queue, 0, NULL), -ECONNRESET);
	ck_assert_int_eq(s.f.n_pings, 0);
	tear_down(&s);
}
END_TEST

/* ---- many at once -------------------------------------------------------------------------- */

static int count_in_flight(struct fake *f, const struct fake_request *q,
			   struct buf *out)
{
	/* answers are held back as long as requests come without */
	ssize_t begin;

	(void)f;
	fake_begin(out, &begin, q->id,
		   q->verb == VERB_DICT_SET && q->id % 4 == 0 ? -ENOSPC : 0);
	if (q->verb != VERB_DICT_SET)
		fake_results(f, q->verb, out);
	fake_end(out, begin);
	return 0;
}

START_TEST(test_batch)
{
	enum { N = 10000 };
	struct setup s = { .f = { .on_request = count_in_flight } };
	size_t n_failed = 0;

	set_up(&s);
	ck_assert_int_eq(reeve_manager_end(s.m, NULL), -EINVAL);
	for (int round = 0; round < 2; round++) {
		ck_assert_int_eq(reeve_manager_begin(s.m), 0);
		ck_assert_int_eq(reeve_manager_begin(s.m), -EINVAL);
		for (int i = 0; i < N; i++)
			ck_assert_int_eq(reeve_proxy_dict_set(s.dict,
							      REEVE_ANY(i),
							      REEVE_ANY(i)),
					 0);
		ck_assert_int_eq(reeve_manager_end(s.m, &n_failed), -ENOSPC);
		ck_assert_uint_ge(n_failed, N / 4 - 2);
		ck_assert_uint_le(n_failed, N / 4 + 2);
	}
	/* which is over: what fails now is not its affair */
	ck_assert_int_eq(reeve_manager_begin(s.m), 0);
	ck_assert_int_eq(reeve_manager_end(s.m, &n_failed), 0);
	ck_assert_uint_eq(n_failed, 0);
	ck_assert_int_eq(s.f.n_connects, 1);
	tear_down(&s);
}
END_TEST

static int answer_late(struct fake *f, const struct fake_request *q,
		       struct buf *out)
{
	static struct fake_request held[2 * CLIENT_IN_FLIGHT_MAX];
	static size_t n;

	ck_assert_uint_lt(n, ARRAY_SIZE(held));
	held[n++] = *q;
	if (n > (size_t)f->value)
		f->value = (long)n;
	if (q->verb == VERB_DICT_SET && n < CLIENT_IN_FLIGHT_MAX)
		return 0;
	for (size_t i = 0; i < n; i++)
		(void)fake_answer(f, &held[i], out);
	n = 0;
	return 0;
}

/* A server that answers none before it has all there may be in flight. */
START_TEST(test_batch_is_bounded)
{
	struct setup s = { .f = { .on_request = answer_late } };

	set_up(&s);
	s.m->answer_usec = 5 * USEC_PER_SEC;
	ck_assert_int_eq(reeve_manager_begin(s.m), 0);
	for (int i = 0; i < 3 * CLIENT_IN_FLIGHT_MAX; i++)
		ck_assert_int_eq(reeve_proxy_dict_set(s.dict, REEVE_ANY(i),
						      REEVE_ANY(i)),
				 0);
	/* waits for all before it */
	ck_assert_int_eq(reeve_proxy_dict_has(s.dict, REEVE_ANY(1)), 0);
	ck_assert_int_eq(reeve_manager_end(s.m, NULL), 0);
	ck_assert_int_eq(s.f.value, CLIENT_IN_FLIGHT_MAX);
	tear_down(&s);
}
END_TEST

static int answer_at_length(struct fake *f, const struct fake_request *q,
			    struct buf *out)
{
	for (int i = 0; i < FAKE_CLIENTS; i++)
		if (f->clients[i].fd >= 0) /* little room: blocks soon */
			(void)setsockopt(f->clients[i].fd, SOL_SOCKET,
					 SO_SNDBUF, &(int){ 1 }, sizeof(int));
	return fake_answer(f, q, out);
}

/* The server does not read while its answers do not get away: so both would wait for
 * each other, if a client did not read while it sends. */
START_TEST(test_batch_both_ways)
{
	enum { N = 10000 };
	struct setup s = { .f = { .on_request = answer_at_length } };

	set_up(&s);
	s.m->answer_usec = 5 * USEC_PER_SEC;
	(void)setsockopt(s.m->wire.fd, SOL_SOCKET, SO_SNDBUF, &(int){ 1 },
			 sizeof(int));
	ck_assert_int_eq(reeve_manager_begin(s.m), 0);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(reeve_proxy_dict_set(s.dict, REEVE_ANY(i),
						      REEVE_ANY("value")),
				 0);
	ck_assert_int_eq(reeve_manager_end(s.m, NULL), 0);
	tear_down(&s);
}
END_TEST

static int die_at(struct fake *f, const struct fake_request *q, struct buf *out)
{
	return q->verb == VERB_DICT_SET && atomic_fetch_sub(&f->command, 1) == 1
		       ? 1
		       : fake_answer(f, q, out);
}

/* Who answered has answered; the rest may be done or not, and all are counted. */
START_TEST(test_batch_is_lost)
{
	struct setup s = { .f = { .on_request = die_at, .command = 41 } };
	size_t n_failed = 0;

	set_up(&s);
	ck_assert_int_eq(reeve_manager_begin(s.m), 0);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(reeve_proxy_dict_set(s.dict, REEVE_ANY(i),
						      REEVE_ANY(i)),
				 0);
	ck_assert_int_eq(reeve_proxy_clear(s.queue), -ENOTSUP);
	ck_assert_int_eq(reeve_manager_end(s.m, &n_failed), -ENOTSUP);
	ck_assert_uint_eq(n_failed, 61);
	ck_assert_int_eq(reeve_proxy_clear(s.dict), -ESTALE);
	ck_assert_int_eq(reeve_proxy_clear(s.dict), 0);
	tear_down(&s);
}
END_TEST

/* A call with a result, in the midst: it says itself that it was lost. */
START_TEST(test_batch_is_lost_by_call)
{
	struct setup s = { .f = { .on_request = die_at, .command = 41 } };
	size_t n_failed = 0;

	set_up(&s);
	ck_assert_int_eq(reeve_manager_begin(s.m), 0);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(reeve_proxy_dict_set(s.dict, REEVE_ANY(i),
						      REEVE_ANY(i)),
				 0);
	ck_assert_int_eq(reeve_proxy_dict_has(s.dict, REEVE_ANY(1)),
			 -ECONNRESET);
	ck_assert_int_eq(reeve_proxy_dict_has(s.dict, REEVE_ANY(1)), -ESTALE);
	ck_assert_int_eq(reeve_proxy_dict_has(s.dict, REEVE_ANY(1)), 0);
	ck_assert_int_eq(reeve_manager_end(s.m, &n_failed), -ECONNRESET);
	ck_assert_uint_eq(n_failed, 10 + 2);
	tear_down(&s);
}
END_TEST

/* ---- what is not sent ------------------------------------------------------------------------ */

/* A value as large as may be goes; a byte more does not, and nothing is sent. */
START_TEST(test_large_values)
{
	size_t size = REEVE_MANAGER_VALUE_MAX - 5;
	struct setup s = { .f = { .instance = 1 } };
	char *data = calloc(1, size + 1);
	int n;

	set_up(&s);
	s.m->answer_usec = 10 * USEC_PER_SEC;
	ck_assert_int_eq(reeve_proxy_list_append(s.list,
						 reeve_any_bytes(data, size)),
			 0);
	n = s.f.n_requests;
	ck_assert_int_eq(reeve_proxy_list_append(
				 s.list, reeve_any_bytes(data, size + 1)),
			 -EMSGSIZE);
	/* each small enough, and not both */
	ck_assert_int_eq(reeve_proxy_dict_set(s.dict,
					      reeve_any_bytes(data, size / 2),
					      reeve_any_bytes(data, size)),
			 -EMSGSIZE);
	ck_assert_int_eq(s.f.n_requests, n);
	ck_assert_int_eq(reeve_proxy_list_append(s.list, REEVE_ANY(1)), 0);
	ck_assert_int_eq(s.f.n_connects, 1);
	free(data);
	tear_down(&s);
}
END_TEST

START_TEST(test_bad_arguments)
{
	struct reeve_any deep[REEVE_ANY_DEPTH_MAX + 2] = { REEVE_ANY(1) };
	struct reeve_any list = reeve_any_list(deep, 1);
	struct setup s = { .f = { .instance = 1 } };
	reeve_proxy *none = NULL;
	char name[REEVE_MANAGER_NAME_MAX + 2];
	int n;

	for (size_t i = 1; i < ARRAY_SIZE(deep); i++)
		deep[i] = reeve_any_list(&deep[i - 1], 1);
	set_up(&s);
	n = s.f.n_requests;
	ck_assert_int_eq(reeve_proxy_dict_has(s.dict, list), -EINVAL);
	ck_assert_int_eq(reeve_proxy_dict_has(s.dict, REEVE_ANY(1.5)), -EINVAL);
	ck_assert_int_eq(reeve_proxy_dict_has(s.dict, reeve_any_nil()),
			 -EINVAL);
	ck_assert_int_eq(reeve_proxy_dict_has(s.dict, REEVE_ANY("\377")),
			 -EINVAL);
	ck_assert_int_eq(reeve_proxy_list_append(s.list,
						 deep[ARRAY_SIZE(deep) - 1]),
			 -E2BIG);
	ck_assert_int_eq(reeve_proxy_clear(NULL), -EINVAL);
	ck_assert_int_eq(reeve_proxy_clear(s.queue), -ENOTSUP);
	ck_assert_int_eq(reeve_proxy_acquire(s.dict, 0), -ENOTSUP);
	ck_assert_int_eq(reeve_manager_delete(s.m, NULL), -EINVAL);
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	ck_assert_int_eq(reeve_proxy_open(s.m, REEVE_OBJECT_DICT, name, NULL,
					  &none),
			 -EINVAL);
	ck_assert_int_eq(reeve_proxy_open(s.m, REEVE_OBJECT_DICT, "", NULL,
					  &none),
			 -EINVAL);
	ck_assert_int_eq(reeve_proxy_open(s.m, REEVE_OBJECT_COUNT, "x", NULL,
					  &none),
			 -EINVAL);
	ck_assert_int_eq(reeve_proxy_open(s.m, REEVE_OBJECT_DICT, "x", NULL,
					  NULL),
			 -EINVAL);
	ck_assert_int_eq(reeve_proxy_open(NULL, REEVE_OBJECT_DICT, "x", NULL,
					  &none),
			 -EINVAL);
	ck_assert_int_eq(s.f.n_requests, n);
	ck_assert_ptr_null(none);
	tear_down(&s);
}
END_TEST

/* Proxies that are given back: their answers are taken in by the calls after. */
START_TEST(test_many_proxies)
{
	struct setup s = { .f = { .instance = 1 } };

	set_up(&s);
	for (int i = 0; i < 2000; i++) {
		reeve_proxy *p = NULL;

		ck_assert_int_eq(reeve_proxy_open(s.m, REEVE_OBJECT_DICT, NULL,
						  NULL, &p),
				 1);
		ck_assert_int_eq(reeve_proxy_name(p)[0], '#');
		reeve_proxy_free(p);
	}
	fake_await(&s.f.n_requests, 2 * 2000 + 3);
	ck_assert_int_eq(s.f.n_connects, 1);
	tear_down(&s);
}
END_TEST

UNIT_MAIN("manager_calls", test_hostile, test_trickle, test_errors,
	  test_wait_for_the_silent, test_timeout_of_the_silent,
	  test_item_crosses_ping, test_no_time, test_batch,
	  test_batch_is_bounded, test_batch_both_ways, test_batch_is_lost,
	  test_batch_is_lost_by_call, test_large_values, test_bad_arguments,
	  test_many_proxies)
