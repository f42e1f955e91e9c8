/* Managers as their users have them: a server of one's own, and every call. */
#include "tests/unit/manager_rig.h"

START_TEST(test_dict)
{
	reeve_manager *m = start_manager((struct reeve_manager_spec){ 0 });
	reeve_proxy *d = open_one(m, REEVE_OBJECT_DICT, "d");
	struct reeve_pair pairs[] = { { REEVE_ANY("x"), REEVE_ANY(1) },
				      { REEVE_ANY(2), REEVE_ANY("two") } };
	struct reeve_any v;

	ck_assert_int_eq(reeve_proxy_kind(d), REEVE_OBJECT_DICT);
	ck_assert_str_eq(reeve_proxy_name(d), "d");
	ck_assert_int_eq(reeve_proxy_dict_get(d, REEVE_ANY("a"), &v), -ENOENT);
	ck_assert_int_eq(reeve_proxy_dict_set(d, REEVE_ANY("a"), REEVE_ANY(5)),
			 0);
	ck_assert_int_eq(reeve_proxy_dict_get(d, REEVE_ANY("a"), &v), 0);
	check_value(&v, "5");
	ck_assert_int_eq(reeve_proxy_dict_get(d, REEVE_ANY("a"), NULL), 0);
	ck_assert_int_eq(
		reeve_proxy_dict_add(d, REEVE_ANY("a"), REEVE_ANY(2), &v), 0);
	check_value(&v, "7");
	ck_assert_int_eq(
		reeve_proxy_dict_add(d, REEVE_ANY("b"), REEVE_ANY(1.5), &v), 0);
	check_value(&v, "1.5");
	ck_assert_int_eq(reeve_proxy_dict_setdefault(d, REEVE_ANY("a"),
						     REEVE_ANY(0), &v),
			 0);
	check_value(&v, "7");
	ck_assert_int_eq(reeve_proxy_dict_has(d, REEVE_ANY("b")), 1);
	ck_assert_int_eq(reeve_proxy_dict_pop(d, REEVE_ANY("b"), NULL), 0);
	ck_assert_int_eq(reeve_proxy_dict_has(d, REEVE_ANY("b")), 0);
	ck_assert_int_eq(reeve_proxy_dict_update(d, reeve_any_dict(pairs, 2)),
			 0);
	ck_assert_int_eq(reeve_proxy_dict_keys(d, &v), 0);
	check_value(&v, "[\"a\", \"x\", 2]");
	ck_assert_int_eq(reeve_proxy_items(d, &v), 0);
	check_value(&v, "{\"a\": 7, \"x\": 1, 2: \"two\"}");
	ck_assert_int_eq(reeve_proxy_length(d), 3);
	ck_assert_int_eq(reeve_proxy_clear(d), 0);
	ck_assert_int_eq(reeve_proxy_length(d), 0);
	ck_assert_int_eq(reeve_proxy_list_append(d, REEVE_ANY(1)), -ENOTSUP);
	reeve_proxy_free(d);
	reeve_manager_free(m);
}
END_TEST

START_TEST(test_list_and_value)
{
	reeve_manager *m = start_manager((struct reeve_manager_spec){ 0 });
	reeve_proxy *l = open_one(m, REEVE_OBJECT_LIST, NULL);
	reeve_proxy *v = open_one(m, REEVE_OBJECT_VALUE, "v");
	struct reeve_any more[] = { REEVE_ANY(2), REEVE_ANY(3), REEVE_ANY(4) };
	struct reeve_any got;

	ck_assert_int_eq(reeve_proxy_list_append(l, REEVE_ANY(1)), 0);
	ck_assert_int_eq(reeve_proxy_list_extend(l, reeve_any_list(more, 3)),
			 0);
	ck_assert_int_eq(reeve_proxy_list_insert(l, 0, REEVE_ANY("first")), 0);
	ck_assert_int_eq(reeve_proxy_list_get(l, -1, &got), 0);
	check_value(&got, "4");
	ck_assert_int_eq(reeve_proxy_list_get(l, 5, &got), -ERANGE);
	ck_assert_int_eq(reeve_proxy_list_set(l, 1, REEVE_ANY(10)), 0);
	ck_assert_int_eq(reeve_proxy_list_add(l, 1, REEVE_ANY(5), &got), 0);
	check_value(&got, "15");
	ck_assert_int_eq(reeve_proxy_list_slice(l, 1, 3, &got), 0);
	check_value(&got, "[15, 2]");
	ck_assert_int_eq(reeve_proxy_list_index(l, REEVE_ANY(3)), 3);
	ck_assert_int_eq(reeve_proxy_list_index(l, REEVE_ANY(99)), -ENOENT);
	ck_assert_int_eq(reeve_proxy_list_pop(l, -1, &got), 0);
	check_value(&got, "4");
	ck_assert_int_eq(reeve_proxy_length(l), 4);
	ck_assert_int_eq(reeve_proxy_value_set(v, REEVE_ANY(40)), 0);
	ck_assert_int_eq(reeve_proxy_value_add(v, REEVE_ANY(2), NULL), 0);
	ck_assert_int_eq(reeve_proxy_value_get(v, &got), 0);
	check_value(&got, "42");
	reeve_proxy_free(l);
	reeve_proxy_free(v);
	reeve_manager_free(m);
}
END_TEST

START_TEST(test_queue)
{
	reeve_manager *m = start_manager((struct reeve_manager_spec){ 0 });
	reeve_proxy *q = open_sized(m, REEVE_OBJECT_QUEUE, "q", 1);
	struct reeve_any v;
	size_t n_lost = 99;

	ck_assert_int_eq(reeve_proxy_queue_get(q, 0, &v), -EAGAIN);
	ck_assert_int_eq(reeve_proxy_queue_get(q, 1000, &v), -ETIMEDOUT);
	ck_assert_int_eq(reeve_proxy_queue_put(q, REEVE_ANY("x"), 0), 0);
	ck_assert_int_eq(reeve_proxy_queue_is_full(q), 1);
	ck_assert_int_eq(reeve_proxy_queue_put(q, REEVE_ANY("y"), 0), -EAGAIN);
	ck_assert_int_eq(reeve_proxy_queue_join(q, 0, NULL), -EAGAIN);
	ck_assert_int_eq(reeve_proxy_queue_get(q, REEVE_FOREVER, &v), 0);
	check_value(&v, "\"x\"");
	ck_assert_int_eq(reeve_proxy_queue_task_done(q), 0);
	ck_assert_int_eq(reeve_proxy_queue_task_done(q), -EPERM);
	ck_assert_int_eq(reeve_proxy_queue_join(q, LONG_WAIT, &n_lost), 0);
	ck_assert_uint_eq(n_lost, 0);
	reeve_proxy_free(q);
	reeve_manager_free(m);
}
END_TEST

START_TEST(test_locks)
{
	reeve_manager *m = start_manager((struct reeve_manager_spec){ 0 });
	reeve_manager *other = connect_to(m);
	reeve_proxy *lock = open_one(m, REEVE_OBJECT_LOCK, "l");
	reeve_proxy *theirs = open_one(other, REEVE_OBJECT_LOCK, "l");
	reeve_proxy *rlock = open_one(m, REEVE_OBJECT_RLOCK, NULL);
	reeve_proxy *s = open_sized(m, REEVE_OBJECT_BOUNDED_SEMAPHORE, "s", 1);

	ck_assert_int_eq(reeve_proxy_acquire(lock, 0), 0);
	ck_assert_int_eq(reeve_proxy_acquire(lock, 0), -EDEADLK);
	ck_assert_int_eq(reeve_proxy_acquire(theirs, 0), -EAGAIN);
	ck_assert_int_eq(reeve_proxy_acquire(theirs, 1000), -ETIMEDOUT);
	ck_assert_int_eq(reeve_proxy_release(theirs), -EPERM);
	ck_assert_int_eq(reeve_proxy_release(lock), 0);
	/* A holder that goes without a word. */
	ck_assert_int_eq(reeve_proxy_acquire(theirs, 0), 0);
	reeve_proxy_free(theirs);
	reeve_manager_free(other);
	ck_assert_int_eq(reeve_proxy_acquire(lock, LONG_WAIT), 1);
	ck_assert_int_eq(reeve_proxy_release(lock), 0);
	ck_assert_int_eq(reeve_proxy_acquire(lock, LONG_WAIT), 0);

	ck_assert_int_eq(reeve_proxy_acquire(rlock, 0), 0);
	ck_assert_int_eq(reeve_proxy_acquire(rlock, 0), 0);
	ck_assert_int_eq(reeve_proxy_release(rlock), 0);
	ck_assert_int_eq(reeve_proxy_release(rlock), 0);
	ck_assert_int_eq(reeve_proxy_release(rlock), -EPERM);

	ck_assert_int_eq(reeve_proxy_acquire(s, 0), 0);
	ck_assert_int_eq(reeve_proxy_acquire(s, 0), -EAGAIN);
	ck_assert_int_eq(reeve_proxy_release(s), 0);
	ck_assert_int_eq(reeve_proxy_release(s), -EOVERFLOW);
	reeve_proxy_free(s);
	reeve_proxy_free(rlock);
	reeve_proxy_free(lock);
	reeve_manager_free(m);
}
END_TEST

START_TEST(test_event_condition_barrier)
{
	reeve_manager *m = start_manager((struct reeve_manager_spec){ 0 });
	reeve_proxy *e = open_one(m, REEVE_OBJECT_EVENT, NULL);
	reeve_proxy *c = open_one(m, REEVE_OBJECT_CONDITION, NULL);
	reeve_proxy *b = open_sized(m, REEVE_OBJECT_BARRIER, NULL, 1), *p;
	size_t n_parties, n_waiting;
	bool is_broken;

	ck_assert_int_eq(reeve_proxy_wait(e, 0), -EAGAIN);
	ck_assert_int_eq(reeve_proxy_event_set(e), 0);
	ck_assert_int_eq(reeve_proxy_wait(e, LONG_WAIT), 0);
	ck_assert_int_eq(reeve_proxy_event_is_set(e), 1);
	ck_assert_int_eq(reeve_proxy_event_clear(e), 0);
	ck_assert_int_eq(reeve_proxy_event_is_set(e), 0);

	ck_assert_int_eq(reeve_proxy_wait(c, 0), -EPERM);
	ck_assert_int_eq(reeve_proxy_notify(c, 1), -EPERM);
	ck_assert_int_eq(reeve_proxy_acquire(c, 0), 0);
	ck_assert_int_eq(reeve_proxy_notify(c, -1), 0);
	ck_assert_int_eq(reeve_proxy_wait(c, 1000), -ETIMEDOUT);
	ck_assert_int_eq(reeve_proxy_release(c), 0);

	ck_assert_int_eq(reeve_proxy_barrier_wait(b, LONG_WAIT), 0);
	ck_assert_int_eq(reeve_proxy_barrier_abort(b), 0);
	ck_assert_int_eq(reeve_proxy_barrier_wait(b, LONG_WAIT), -EPIPE);
	ck_assert_int_eq(reeve_proxy_barrier_reset(b), 0);
	ck_assert_int_eq(reeve_proxy_barrier_state(b, &n_parties, &n_waiting,
						   &is_broken),
			 0);
	ck_assert(n_parties == 1 && n_waiting == 0 && !is_broken);
	ck_assert_int_eq(reeve_proxy_open(m, REEVE_OBJECT_BARRIER, "none", NULL,
					  &p),
			 -EINVAL);
	reeve_proxy_free(e);
	reeve_proxy_free(c);
	reeve_proxy_free(b);
	reeve_manager_free(m);
}
END_TEST

START_TEST(test_names_and_batches)
{
	reeve_manager *m = start_manager((struct reeve_manager_spec){ 0 });
	reeve_proxy *d = open_one(m, REEVE_OBJECT_DICT, "d"), *p;
	struct reeve_any v;
	size_t n_failed = 0;

	ck_assert_int_eq(reeve_proxy_open(m, REEVE_OBJECT_LIST, "d", NULL, &p),
			 -EEXIST);
	ck_assert_int_eq(reeve_manager_names(m, &v), 0);
	check_value(&v, "{\"d\": \"dict\"}");
	ck_assert_int_eq(reeve_manager_begin(m), 0);
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(reeve_proxy_dict_set(d, REEVE_ANY(i % 100),
						      REEVE_ANY(i)),
				 0);
	ck_assert_int_eq(reeve_proxy_dict_pop(d, REEVE_ANY("no"), NULL),
			 -ENOENT);
	ck_assert_int_eq(reeve_manager_end(m, &n_failed), -ENOENT);
	ck_assert_uint_eq(n_failed, 1);
	ck_assert_int_eq(reeve_proxy_length(d), 100);
	ck_assert_int_eq(reeve_manager_stats(m, &v), 0);
	ck_assert_int_eq(v.kind, REEVE_ANY_DICT);
	reeve_any_free(&v);
	ck_assert_int_eq(reeve_manager_delete(m, "d"), 0);
	ck_assert_int_eq(reeve_manager_delete(m, "d"), -ENOENT);
	reeve_proxy_free(d);
	reeve_manager_free(m);
}
END_TEST

START_TEST(test_refused)
{
	reeve_manager *m = start_manager((struct reeve_manager_spec){ 0 });
	reeve_manager *other;
	struct reeve_manager_spec spec = { .program = "/no/such/program" };

	ck_assert_int_eq(reeve_manager_connect(reeve_manager_address(m),
					       "wrong", 5, LONG_WAIT, &other),
			 -EACCES);
	ck_assert_int_eq(reeve_manager_connect("nonsense", "k", 1, LONG_WAIT,
					       &other),
			 -EINVAL);
	ck_assert_int_eq(reeve_manager_start(&spec, &other), -ENOENT);
	spec.program = "/bin/true"; /* a program, but not that one */
	ck_assert_int_eq(reeve_manager_start(&spec, &other), -EPROTO);
	spec = (struct reeve_manager_spec){ .address = "unix:" };
	ck_assert_int_eq(reeve_manager_start(&spec, &other), -EINVAL);
	other = connect_to(m);
	ck_assert_int_eq(reeve_manager_shutdown(other), -EPERM);
	ck_assert_int_eq(reeve_manager_shutdown(m), 0);
	ck_assert_int_eq(reeve_manager_names(other, &(struct reeve_any){ 0 }),
			 -ESHUTDOWN);
	reeve_manager_free(other);
	reeve_manager_free(m);
}
END_TEST

START_TEST(test_tcp)
{
	reeve_manager *m = start_manager((struct reeve_manager_spec){
		.address = "tcp:127.0.0.1:0",
		.authkey = "secret",
		.authkey_size = 6,
	});
	reeve_manager *other = connect_to(m);
	reeve_proxy *d = open_one(m, REEVE_OBJECT_NAMESPACE, "n");
	reeve_proxy *theirs = open_one(other, REEVE_OBJECT_NAMESPACE, "n");
	struct reeve_any v;

	ck_assert_int_eq(
		strncmp(reeve_manager_address(m), "tcp:127.0.0.1:", 14), 0);
	ck_assert_int_eq(reeve_proxy_dict_set(d, REEVE_ANY("here"),
					      REEVE_ANY((bool)true)),
			 0);
	ck_assert_int_eq(reeve_proxy_dict_get(theirs, REEVE_ANY("here"), &v),
			 0);
	check_value(&v, "true");
	reeve_proxy_free(theirs);
	reeve_proxy_free(d);
	reeve_manager_free(other);
	reeve_manager_free(m);
}
END_TEST

MANAGER_MAIN("manager_client", test_dict, test_list_and_value, test_queue,
	     test_locks, test_event_condition_barrier, test_names_and_batches,
	     test_refused, test_tcp)
