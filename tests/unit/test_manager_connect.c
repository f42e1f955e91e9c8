/* Handles: connecting, and what a lost connection, a fork and a second thread mean.
 * Against a server that the test plays itself; with the real one: test_manager_client.c. */
#include "tests/unit/manager_fake.h"

static int connect_to(const struct fake *f, const char *key,
		      uint64_t timeout_usec)
{
	reeve_manager *m = NULL;
	int r = reeve_manager_connect(f->address, key, strlen(key),
				      timeout_usec, &m);

	reeve_manager_free(m);
	return r;
}

/* ---- connecting ----------------------------------------------------------------- */

START_TEST(test_connect)
{
	struct fake f = { .generation = 3 };
	reeve_manager *m;
	size_t size = 0;

	fake_start(&f);
	m = fake_client(&f);
	ck_assert_str_eq(reeve_manager_address(m), f.address);
	ck_assert_str_eq(reeve_manager_authkey(m, &size), FAKE_KEY);
	ck_assert_uint_eq(size, strlen(FAKE_KEY));
	ck_assert_uint_eq(reeve_manager_restarts(m), 3);
	ck_assert_int_eq(reeve_manager_pid(m), getpid());
	ck_assert_int_eq(reeve_manager_shutdown(m), -EPERM);
	reeve_manager_free(m);
	fake_await(&f.n_ends, 1);
	fake_stop(&f);
}
END_TEST

START_TEST(test_connect_refused)
{
	struct fake f = { .refusal = 0 };

	fake_start(&f);
	ck_assert_int_eq(connect_to(&f, "another", USEC_PER_SEC), -EACCES);
	f.refusal = -EUSERS;
	ck_assert_int_eq(connect_to(&f, FAKE_KEY, USEC_PER_SEC), -EUSERS);
	f.refusal = -ESHUTDOWN;
	ck_assert_int_eq(connect_to(&f, FAKE_KEY, USEC_PER_SEC), -ESHUTDOWN);
	fake_stop(&f);
	ck_assert_int_eq(connect_to(&f, FAKE_KEY, USEC_PER_SEC), -ECONNREFUSED);
	(void)snprintf(f.address, sizeof(f.address), "unix:%s",
		       unit_path("none"));
	ck_assert_int_eq(connect_to(&f, FAKE_KEY, USEC_PER_SEC), -ENOENT);
	(void)snprintf(f.address, sizeof(f.address), "unix:none");
	ck_assert_int_eq(connect_to(&f, FAKE_KEY, USEC_PER_SEC), -EINVAL);
}
END_TEST

/* What is there is no Manager. */
START_TEST(test_connect_nonsense)
{
	static const unsigned char large[] = { 1, 1, 0, 0, 0 },
				   half[] = { 9, 0 };
	static const char text[] = "220 mail.example ESMTP\r\n";
	static const struct {
		const void *data;
		size_t size;
		int error;
	} rows[] = {
		{ "", 0, -ETIMEDOUT },
		{ half, sizeof(half), -ETIMEDOUT },
		{ large, sizeof(large), -EPROTO },
		{ text, sizeof(text), -EPROTO },
		{ "\1\0\0\0\377", 5, -EPROTO },
		{ "\0\0\0\0", 4, -EPROTO },
	};
	struct fake f = { .refusal = 0 };

	fake_start(&f);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		f.greeting = rows[i].data;
		f.greeting_size = rows[i].size;
		ck_assert_msg(connect_to(&f, FAKE_KEY, SHORT_USEC) ==
				      rows[i].error,
			      "row %zu", i);
	}
	f.greeting = NULL;
	f.version = PROTOCOL_VERSION + 1;
	ck_assert_int_eq(connect_to(&f, FAKE_KEY, USEC_PER_SEC), -EPROTO);
	fake_stop(&f);
}
END_TEST

/* It ends each connection: tried a few times, then said. */
START_TEST(test_connect_ended)
{
	struct fake f = { .hangs_up = true };
	int r;

	fake_start(&f);
	r = connect_to(&f, FAKE_KEY, SHORT_USEC);
	/* the last try may be cut short by the end of the time */
	ck_assert(r == -ECONNRESET || r == -ETIMEDOUT);
	ck_assert_int_gt(f.n_connects, 1);
	ck_assert_int_le(f.n_connects, CLIENT_TRIES_MAX);
	fake_stop(&f);
}
END_TEST

START_TEST(test_nothing)
{
	reeve_manager *m = NULL;
	char key[REEVE_MANAGER_KEY_MAX + 1] = "";

	ck_assert_int_eq(reeve_manager_connect(NULL, "k", 1, 0, &m), -EINVAL);
	ck_assert_int_eq(reeve_manager_connect("unix:@x", NULL, 1, 0, &m),
			 -EINVAL);
	ck_assert_int_eq(reeve_manager_connect("unix:@x", "k", 1, 0, NULL),
			 -EINVAL);
	ck_assert_int_eq(reeve_manager_connect("unix:@x", key, sizeof(key), 0,
					       &m),
			 -EINVAL);
	ck_assert_ptr_null(reeve_manager_free(NULL));
	ck_assert_ptr_null(reeve_manager_address(NULL));
	ck_assert_ptr_null(reeve_manager_authkey(NULL, NULL));
	ck_assert_int_eq(reeve_manager_shutdown(NULL), -EINVAL);
	ck_assert_int_eq(reeve_manager_begin(NULL), -EINVAL);
	ck_assert_int_eq(reeve_manager_end(NULL, NULL), -EINVAL);
	ck_assert_int_eq(reeve_manager_stats(NULL, NULL), -EINVAL);
	ck_assert_int_eq(reeve_manager_names(NULL, NULL), -EINVAL);
	ck_assert_int_eq(reeve_manager_delete(NULL, "x"), -EINVAL);
	ck_assert_int_eq(reeve_manager_pid(NULL), 0);
	ck_assert_uint_eq(reeve_manager_restarts(NULL), 0);
	ck_assert_ptr_null(m);
}
END_TEST

/* ---- a lost connection ---------------------------------------------------------------- */

/* Each proxy is told once, whatever the others do. */
START_TEST(test_told_once)
{
	struct fake f = { .instance = 1 };
	reeve_manager *m;
	reeve_proxy *a, *b;

	fake_start(&f);
	m = fake_client(&f);
	a = fake_proxy(m, REEVE_OBJECT_DICT);
	b = fake_proxy(m, REEVE_OBJECT_LIST);
	for (int i = 1; i <= 3; i++) {
		fake_restart(&f);
		ck_assert_int_eq(reeve_proxy_clear(a), -ESTALE);
		ck_assert_int_eq(reeve_proxy_is_restored(a), 0);
		ck_assert_int_eq(reeve_proxy_clear(a), 0);
		ck_assert_uint_eq(reeve_manager_restarts(m), (unsigned)i);
		if (i == 2)
			continue; /* two restarts at once: told once */
		ck_assert_int_eq(reeve_proxy_clear(b), -ESTALE);
		ck_assert_int_eq(reeve_proxy_clear(b), 0);
		ck_assert_int_eq(reeve_proxy_clear(a), 0);
	}
	ck_assert_int_eq(f.n_connects, 4);
	reeve_proxy_free(a);
	reeve_proxy_free(b);
	reeve_manager_free(m);
	fake_stop(&f);
}
END_TEST

static int end_at_clear(struct fake *f, const struct fake_request *q,
			struct buf *out)
{
	return q->verb == VERB_CLEAR && atomic_exchange(&f->command, 0)
		       ? 1
		       : fake_answer(f, q, out);
}

/* During a call: it may have been done. And then what was lost is told. */
START_TEST(test_lost_during_call)
{
	struct fake f = { .on_request = end_at_clear, .command = 1 };
	reeve_manager *m;
	reeve_proxy *a, *b;

	fake_start(&f);
	m = fake_client(&f);
	a = fake_proxy(m, REEVE_OBJECT_DICT);
	b = fake_proxy(m, REEVE_OBJECT_LIST);
	ck_assert_int_eq(reeve_proxy_clear(a), -ECONNRESET);
	ck_assert_int_eq(reeve_proxy_clear(a), -ESTALE);
	ck_assert_int_eq(reeve_proxy_clear(a), 0);
	ck_assert_int_eq(reeve_proxy_clear(b), -ESTALE);
	ck_assert_int_eq(reeve_proxy_clear(b), 0);
	reeve_proxy_free(a);
	reeve_proxy_free(b);
	reeve_manager_free(m);
	fake_stop(&f);
}
END_TEST

START_TEST(test_restored)
{
	static const struct {
		bool is_same, is_found, is_restored;
		int expected;
	} rows[] = {
		{ true, true, false, 1 },   /* the network failed */
		{ true, false, false, 0 },  /* nobody had it meanwhile */
		{ false, true, true, 1 },   /* from the snapshot */
		{ false, true, false, 0 },  /* somebody made it anew */
		{ false, false, false, 0 }, /* we did */
	};
	struct fake f = { .instance = 1 };
	reeve_manager *m;
	reeve_proxy *p;

	fake_start(&f);
	m = fake_client(&f);
	p = fake_proxy(m, REEVE_OBJECT_DICT);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		fake_stop(&f);
		f.has_objects = rows[i].is_found;
		f.is_restored = rows[i].is_restored;
		f.instance = (unsigned char)(f.instance - rows[i].is_same);
		fake_start(&f);
		ck_assert_int_eq(reeve_proxy_clear(p), -ESTALE);
		ck_assert_msg(reeve_proxy_is_restored(p) == rows[i].expected,
			      "row %zu", i);
	}
	reeve_proxy_free(p);
	reeve_manager_free(m);
	fake_stop(&f);
}
END_TEST

/* Away for longer than a call waits: said; then each call tries once, until it is
 * there again. */
START_TEST(test_away)
{
	struct fake f = { .instance = 1 };
	uint64_t begin, first, second;
	reeve_manager *m;
	reeve_proxy *p;

	fake_start(&f);
	m = fake_client(&f);
	p = fake_proxy(m, REEVE_OBJECT_DICT);
	fake_stop(&f);
	m->reconnect_usec = 2 * USEC_PER_SEC;
	begin = clock_monotonic_usec();
	ck_assert_int_eq(reeve_proxy_clear(p), -ESHUTDOWN);
	first = clock_monotonic_usec() - begin;
	ck_assert_uint_ge(first, 50 * USEC_PER_MSEC);
	begin = clock_monotonic_usec();
	ck_assert_int_eq(reeve_proxy_clear(p), -ESHUTDOWN);
	ck_assert_int_eq(reeve_manager_stats(m, NULL), -ESHUTDOWN);
	second = clock_monotonic_usec() - begin;
	ck_assert_uint_lt(second, first);
	ck_assert_int_eq(reeve_manager_pid(m), 0);
	fake_start(&f);
	ck_assert_int_eq(reeve_proxy_clear(p), -ESTALE);
	ck_assert_int_eq(reeve_proxy_clear(p), 0);
	reeve_proxy_free(p);
	reeve_manager_free(m);
	fake_stop(&f);
}
END_TEST

/* Another server has the address now: ours is gone. */
START_TEST(test_replaced)
{
	struct fake f = { .instance = 1 };
	reeve_manager *m;
	reeve_proxy *p;

	fake_start(&f);
	m = fake_client(&f);
	m->reconnect_usec = 5 * USEC_PER_SEC;
	p = fake_proxy(m, REEVE_OBJECT_DICT);
	f.refusal = -EACCES;
	fake_restart(&f);
	ck_assert_int_eq(reeve_proxy_clear(p), -ESHUTDOWN);
	f.refusal = -EUSERS;
	fake_restart(&f);
	ck_assert_int_eq(reeve_proxy_clear(p), -EUSERS);
	reeve_proxy_free(p);
	reeve_manager_free(m);
	fake_stop(&f);
}
END_TEST

static int say_goodbye(struct fake *f, const struct fake_request *q,
		       struct buf *out)
{
	if (q->verb == VERB_OPEN)
		return fake_answer(f, q, out);
	fake_status(out, ID_NOBODY, -ESHUTDOWN);
	return 1;
}

/* A server that is told to end says so; another one is found, not waited for. */
START_TEST(test_goodbye)
{
	struct fake f = { .on_request = say_goodbye };
	reeve_manager *m;
	reeve_proxy *p;

	fake_start(&f);
	m = fake_client(&f);
	p = fake_proxy(m, REEVE_OBJECT_DICT);
	ck_assert_int_eq(reeve_proxy_clear(p), -ESHUTDOWN);
	fake_stop(&f);
	m->reconnect_usec = 600 * USEC_PER_SEC; /* who waited would be seen */
	ck_assert_int_eq(reeve_proxy_clear(p), -ESHUTDOWN);
	ck_assert_int_eq(reeve_manager_stats(m, NULL), -ESHUTDOWN);
	f.on_request = NULL;
	fake_start(&f);
	ck_assert_int_eq(reeve_proxy_clear(p), -ESTALE);
	ck_assert_int_eq(reeve_proxy_clear(p), 0);
	reeve_proxy_free(p);
	reeve_manager_free(m);
	fake_stop(&f);
}
END_TEST

static int say_goodbye_later(struct fake *f, const struct fake_request *q,
			     struct buf *out)
{
	(void)fake_answer(f, q, out);
	fake_status(out, ID_NOBODY, -ESHUTDOWN);
	return 1;
}

/* The same while nobody called: it is found before the end of the connection. */
START_TEST(test_goodbye_between_calls)
{
	struct fake f = { .on_request = say_goodbye_later };
	reeve_manager *m;
	reeve_proxy *p;

	fake_start(&f);
	m = fake_client(&f);
	p = fake_proxy(m, REEVE_OBJECT_DICT);
	fake_await(&f.n_ends, 1);
	ck_assert_int_eq(reeve_proxy_clear(p), -ESHUTDOWN);
	ck_assert_int_eq(f.n_connects, 1);
	reeve_proxy_free(p);
	reeve_manager_free(m);
	fake_stop(&f);
}
END_TEST

/* A proxy that outlives its manager by mistake. */
START_TEST(test_late_proxy)
{
	struct fake f = { .instance = 1 };
	reeve_manager *m;
	reeve_proxy *p;

	fake_start(&f);
	m = fake_client(&f);
	p = fake_proxy(m, REEVE_OBJECT_DICT);
	reeve_manager_free(m);
	ck_assert_int_eq(reeve_proxy_clear(p), -ESHUTDOWN);
	reeve_proxy_free(p);
	fake_stop(&f);
}
END_TEST

/* ---- a second thread -------------------------------------------------------------------- */

static int answer_gets_on_command(struct fake *f, const struct fake_request *q,
				  struct buf *out)
{
	if (q->verb != VERB_QUEUE_GET)
		return fake_answer(f, q, out);
	while (!atomic_load(&f->command))
		(void)poll(NULL, 0, 1);
	return fake_answer(f, q, out);
}

static void *get_item(void *arg)
{
	return (void *)(intptr_t)reeve_proxy_queue_get(arg, REEVE_FOREVER,
						       NULL);
}

START_TEST(test_second_thread)
{
	struct fake f = { .on_request = answer_gets_on_command };
	reeve_proxy *p, *q, *none = NULL;
	pthread_t thread;
	void *r = NULL;
	reeve_manager *m;

	fake_start(&f);
	m = fake_client(&f);
	m->answer_usec = 5 * USEC_PER_SEC;
	p = fake_proxy(m, REEVE_OBJECT_QUEUE);
	q = fake_proxy(m, REEVE_OBJECT_DICT);
	ck_assert_int_eq(pthread_create(&thread, NULL, get_item, p), 0);
	fake_await(&f.n_requests, 3);
	ck_assert_int_eq(reeve_proxy_clear(q), -EBUSY);
	ck_assert_int_eq(reeve_manager_begin(m), -EBUSY);
	ck_assert_int_eq(reeve_manager_names(m, NULL), -EBUSY);
	ck_assert_int_eq(reeve_proxy_open(m, REEVE_OBJECT_DICT, "x", NULL,
					  &none),
			 -EBUSY);
	reeve_proxy_free(q); /* the server is not told */
	atomic_store(&f.command, 1);
	(void)pthread_join(thread, &r);
	ck_assert_ptr_null(r);
	reeve_proxy_free(p);
	reeve_manager_free(m);
	fake_stop(&f);
}
END_TEST

/* ---- forks ---------------------------------------------------------------------------------- */

static int end_of(pid_t pid)
{
	int status = 0;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* A child has a connection of its own, and nothing has happened to its proxies; the
 * parent goes on with its own. */
START_TEST(test_fork)
{
	struct fake f = { .has_objects = true };
	reeve_manager *m;
	reeve_proxy *p;
	pid_t pid;

	fake_start(&f);
	m = fake_client(&f);
	p = fake_proxy(m, REEVE_OBJECT_DICT);
	pid = fork();
	if (pid == 0) {
		int r = reeve_proxy_clear(p) != 0 ||
			reeve_proxy_clear(p) != 0 ||
			reeve_manager_shutdown(m) != -EPERM;

		reeve_proxy_free(p);
		reeve_manager_free(m);
		_exit(r);
	}
	ck_assert_int_eq(end_of(pid), 0);
	ck_assert_int_eq(f.n_connects, 2);
	ck_assert_int_eq(reeve_proxy_clear(p), 0);
	ck_assert_int_eq(f.n_connects, 2);
	reeve_proxy_free(p);
	reeve_manager_free(m);
	fake_stop(&f);
}
END_TEST

static void fork_and_be_told(struct fake *f, bool is_restarted)
{
	int gate[2], r;
	reeve_manager *m;
	reeve_proxy *p;
	pid_t pid;
	char c;

	ck_assert_int_eq(pipe2(gate, O_CLOEXEC), 0);
	fake_start(f);
	m = fake_client(f);
	p = fake_proxy(m, REEVE_OBJECT_DICT);
	pid = fork();
	if (pid == 0) {
		close(f->listen_fd);
		close(gate[1]);
		r = read(gate[0], &c, 1) != 0;
		r = r || reeve_proxy_clear(p) != -ESTALE ||
		    reeve_proxy_is_restored(p) != 0 ||
		    reeve_proxy_clear(p) != 0;
		_exit(r);
	}
	if (is_restarted)
		fake_restart(f);
	close(gate[1]);
	ck_assert_int_eq(end_of(pid), 0);
	close(gate[0]);
	reeve_proxy_free(p);
	reeve_manager_free(m);
	fake_stop(f);
}

/* But it is told when the object has ended since, or the server. */
START_TEST(test_fork_without_object)
{
	fork_and_be_told(&(struct fake){ .has_objects = false }, false);
}
END_TEST

START_TEST(test_fork_and_restart)
{
	fork_and_be_told(&(struct fake){ .has_objects = true }, true);
}
END_TEST

/* The child has no share in the parent's connection, even if it never calls: the
 * server sees the parent's end at once. */
START_TEST(test_fork_lets_go)
{
	struct fake f = { .has_objects = true };
	reeve_manager *m;
	int gate[2];
	pid_t pid;
	char c;

	ck_assert_int_eq(pipe2(gate, O_CLOEXEC), 0);
	fake_start(&f);
	m = fake_client(&f);
	pid = fork();
	if (pid == 0) {
		close(gate[1]);
		_exit(read(gate[0], &c, 1) != 0);
	}
	reeve_manager_free(m);
	fake_await(&f.n_ends, 1);
	close(gate[1]);
	ck_assert_int_eq(end_of(pid), 0);
	close(gate[0]);
	fake_stop(&f);
}
END_TEST

/* A fork while another thread is in a call: the child is not locked out. */
START_TEST(test_fork_amid_call)
{
	struct fake f = { .on_request = answer_gets_on_command,
			  .has_objects = true };
	reeve_proxy *p, *q;
	pthread_t thread;
	reeve_manager *m;
	void *r = NULL;
	pid_t pid;

	fake_start(&f);
	m = fake_client(&f);
	m->answer_usec = m->reconnect_usec = 5 * USEC_PER_SEC;
	p = fake_proxy(m, REEVE_OBJECT_QUEUE);
	q = fake_proxy(m, REEVE_OBJECT_DICT);
	ck_assert_int_eq(pthread_create(&thread, NULL, get_item, p), 0);
	fake_await(&f.n_requests, 3);
	pid = fork();
	if (pid == 0)
		_exit(reeve_proxy_clear(q) != 0);
	atomic_store(&f.command, 1); /* the fake has one thread */
	ck_assert_int_eq(end_of(pid), 0);
	(void)pthread_join(thread, &r);
	ck_assert_ptr_null(r);
	reeve_proxy_free(p);
	reeve_proxy_free(q);
	reeve_manager_free(m);
	fake_stop(&f);
}
END_TEST

/* A child frees what it never used; nothing of it reaches the server. */
START_TEST(test_fork_frees)
{
	struct fake f = { .has_objects = true };
	reeve_manager *m;
	reeve_proxy *p;
	pid_t pid;
	int n;

	fake_start(&f);
	m = fake_client(&f);
	p = fake_proxy(m, REEVE_OBJECT_DICT);
	n = f.n_requests;
	pid = fork();
	if (pid == 0) {
		reeve_proxy_free(p);
		reeve_manager_free(m);
		_exit(0);
	}
	ck_assert_int_eq(end_of(pid), 0);
	ck_assert_int_eq(reeve_proxy_clear(p), 0);
	ck_assert_int_eq(f.n_requests, n + 1);
	ck_assert_int_eq(f.n_connects, 1);
	reeve_proxy_free(p);
	reeve_manager_free(m);
	fake_stop(&f);
}
END_TEST

UNIT_MAIN("manager_connect", test_connect, test_connect_refused,
	  test_connect_nonsense, test_connect_ended, test_nothing,
	  test_told_once, test_lost_during_call, test_restored, test_away,
	  test_replaced, test_goodbye, test_goodbye_between_calls,
	  test_late_proxy, test_second_thread, test_fork,
	  test_fork_without_object, test_fork_and_restart, test_fork_lets_go,
	  test_fork_amid_call, test_fork_frees)
