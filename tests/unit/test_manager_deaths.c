/* Managers whose server, keeper, owner or clients are killed: everybody is told,
 * once, nobody waits, nothing is half done. */
#include <sys/stat.h>

#include "tests/unit/manager_rig.h"
#include "workers/base/pure/rng.h"

START_TEST(test_told_once)
{
	reeve_manager *m = start_manager((struct reeve_manager_spec){ 0 });
	reeve_proxy *d = open_one(m, REEVE_OBJECT_DICT, "d");
	reeve_proxy *l = open_one(m, REEVE_OBJECT_LOCK, "l");

	ck_assert_int_eq(reeve_proxy_dict_set(d, REEVE_ANY(1), REEVE_ANY(1)),
			 0);
	ck_assert_int_eq(reeve_proxy_acquire(l, 0), 0);
	kill_server(m);
	ck_assert_int_eq(reeve_proxy_length(d), -ESTALE);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(reeve_proxy_length(d), 0);
	ck_assert_int_eq(reeve_proxy_is_restored(d), 0);
	ck_assert_int_eq(reeve_proxy_release(l), -ESTALE);
	ck_assert_int_eq(reeve_proxy_release(l), -EPERM);
	ck_assert_uint_eq(reeve_manager_restarts(m), 1);
	reeve_proxy_free(d);
	reeve_proxy_free(l);
	reeve_manager_free(m);
}
END_TEST

static void check_told_later(const char *address)
{
	reeve_manager *m = start_manager(
		(struct reeve_manager_spec){ .address = address });
	reeve_manager *other = connect_to(m);
	reeve_manager *clients[] = { m, other };
	reeve_proxy *d[2];
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;

	for (int i = 0; i < 2; i++)
		d[i] = open_one(clients[i], REEVE_OBJECT_DICT, "d");
	kill_server(m);
	while (reeve_manager_pid(m) == 0 && clock_monotonic_usec() < end)
		(void)poll(NULL, 0, 1);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(reeve_proxy_length(d[i]), -ESTALE);
		ck_assert_int_eq(reeve_proxy_length(d[i]), 0);
		reeve_proxy_free(d[i]);
	}
	reeve_manager_free(other);
	reeve_manager_free(m);
}

/* The same to who was busy elsewhere until another server was there, be it the one
 * who has started it or not, and however they are connected. */
START_TEST(test_told_later)
{
	check_told_later(NULL);
	check_told_later("tcp:127.0.0.1:0");
}
END_TEST

START_TEST(test_snapshot)
{
	char file[PATH_MAX];
	struct reeve_manager_spec spec = { .snapshot = file };
	reeve_manager *m;
	reeve_proxy *d;
	struct reeve_any v;

	(void)snprintf(file, sizeof(file), "%s/snapshot", unit_tmpdir());
	m = start_manager(spec);
	d = open_one(m, REEVE_OBJECT_DICT, "d");
	ck_assert_int_eq(reeve_proxy_dict_set(d, REEVE_ANY("k"), REEVE_ANY(3)),
			 0);
	reeve_proxy_free(d);
	reeve_manager_free(m); /* which writes it */
	m = start_manager(spec);
	d = open_one(m, REEVE_OBJECT_DICT, "d");
	ck_assert_int_eq(reeve_proxy_dict_get(d, REEVE_ANY("k"), &v), 0);
	check_value(&v, "3");
	kill_server(m);
	ck_assert_int_eq(reeve_proxy_length(d), -ESTALE);
	ck_assert_int_eq(reeve_proxy_length(d), 1);
	ck_assert_int_eq(reeve_proxy_is_restored(d), 1);
	reeve_proxy_free(d);
	reeve_manager_free(m);
}
END_TEST

static void set_one(reeve_manager *m)
{
	reeve_proxy *d = open_one(m, REEVE_OBJECT_DICT, "d");

	ck_assert_int_eq(reeve_proxy_dict_set(d, REEVE_ANY("k"), REEVE_ANY(1)),
			 0);
	reeve_proxy_free(d);
}

/* Who ends a server is told whether all is kept. */
START_TEST(test_the_last_snapshot_is_told)
{
	char file[PATH_MAX], hindrance[PATH_MAX + 8];
	struct reeve_manager_spec spec = { .snapshot = file,
					   .restart_limit = 1 };
	struct reeve_any stats = reeve_any_nil();
	reeve_manager *m;

	(void)snprintf(file, sizeof(file), "%s/told", unit_tmpdir());
	(void)snprintf(hindrance, sizeof(hindrance), "%s.new", file);
	m = start_manager(spec);
	set_one(m);
	ck_assert_int_eq(reeve_manager_shutdown(m), 0);
	reeve_manager_free(m);

	m = start_manager(spec);
	ck_assert_int_eq(mkdir(hindrance, 0700), 0);
	set_one(m);
	ck_assert_int_eq(reeve_manager_shutdown(m), -EISDIR);
	ck_assert_int_eq(reeve_manager_shutdown(m), 0);
	reeve_manager_free(m);
	ck_assert_int_eq(rmdir(hindrance), 0);

	m = start_manager(spec);
	set_one(m);
	for (int i = 0; i < 2; i++) { /* one more than it may */
		kill_server(m);
		(void)reeve_manager_stats(m, &stats);
		reeve_any_free(&stats);
	}
	ck_assert_int_eq(reeve_manager_shutdown(m), -EIO);
	reeve_manager_free(m);
}
END_TEST

/* ---- 8 clients, and a server that is killed again and again ------------------------ */

#define N_CLIENTS 8
#define N_KEYS	  20

static const char *shared_address;
static const void *shared_key;
static size_t shared_size;

/* Sets all keys to one number at once, and looks that all are the same. Returns 0
 * when it never saw anything half done, nor an answer that makes no sense. */
static int check_whole(reeve_proxy *d, int n)
{
	struct reeve_pair pairs[N_KEYS];
	struct reeve_any all;
	int r;

	for (int i = 0; i < N_KEYS; i++)
		pairs[i] = (struct reeve_pair){ REEVE_ANY(i), REEVE_ANY(n) };
	r = reeve_proxy_dict_update(d, reeve_any_dict(pairs, N_KEYS));
	if (r == 0)
		r = reeve_proxy_items(d, &all);
	if (r < 0)
		return r;
	r = all.n == 0 || all.n == N_KEYS ? 0 : -EBADMSG;
	for (size_t i = 1; i < all.n; i++)
		if (!reeve_any_equal(&all.pairs[i].value, &all.pairs[0].value))
			r = -EBADMSG;
	reeve_any_free(&all);
	return r;
}

static bool is_about_a_death(int r)
{
	return r == -ESTALE || r == -ECONNRESET;
}

/* One of them; its exit code tells what it found. Told of deaths at most twice
 * each: a call that was under way, and that the object is a new one. */
static int be_a_client(void *arg)
{
	int n_rounds = *(int *)arg, n_told = 0;
	reeve_manager *m;
	reeve_proxy *d, *lock;
	int r;

	if (reeve_manager_connect(shared_address, shared_key, shared_size,
				  LONG_WAIT, &m) < 0)
		return 2;
	if (reeve_proxy_open(m, REEVE_OBJECT_DICT, "d", NULL, &d) < 0 ||
	    reeve_proxy_open(m, REEVE_OBJECT_LOCK, "l", NULL, &lock) < 0)
		return 3;
	for (int i = 0; i < n_rounds; i++) {
		r = reeve_proxy_acquire(lock, LONG_WAIT);
		if (r >= 0)
			r = reeve_proxy_release(lock);
		if (r < 0 && !is_about_a_death(r))
			return 4;
		n_told += r < 0;
		r = check_whole(d, i);
		if (r < 0 && !is_about_a_death(r))
			return r == -EBADMSG ? 5 : 6;
		n_told += r < 0;
	}
	if ((uint64_t)n_told > 4 * reeve_manager_restarts(m) + 4)
		return 7;
	reeve_proxy_free(d);
	reeve_proxy_free(lock);
	reeve_manager_free(m);
	return 0;
}

START_TEST(test_killed_again_and_again)
{
	bool is_soak = getenv("REEVE_SOAK") != NULL;
	int n_kills = is_soak ? 2000 : 12, n_rounds = is_soak ? 150000 : 700;
	reeve_manager *m = start_manager((struct reeve_manager_spec){
		.restart_limit = 1000000,
	});
	struct reeve_process_spec spec = { .function = be_a_client,
					   .arg = &n_rounds };
	reeve_process *clients[N_CLIENTS];
	struct rng rng = { 1 };
	int n_done = 0, code;

	shared_address = reeve_manager_address(m);
	shared_key = reeve_manager_authkey(m, &shared_size);
	for (int i = 0; i < N_CLIENTS; i++)
		ck_assert_int_eq(reeve_process_start(&spec, &clients[i]), 0);
	for (int i = 0; i < n_kills; i++) {
		pid_t pid = reeve_manager_pid(m);

		(void)poll(NULL, 0, (int)rng_below(&rng, is_soak ? 30 : 20));
		if (pid > 0 && kill(pid, SIGKILL) == 0)
			n_done++;
	}
	for (int i = 0; i < N_CLIENTS; i++) {
		ck_assert_int_eq(
			reeve_process_join(clients[i],
					   (is_soak ? 60 : 4) * LONG_WAIT),
			0);
		ck_assert_int_eq(reeve_process_exitcode(clients[i], &code), 1);
		ck_assert_int_eq(code, 0);
		reeve_process_free(clients[i]);
	}
	printf("COUNT %d kills\n", n_done);
	reeve_manager_free(m);
}
END_TEST

/* ---- for good ------------------------------------------------------------------------ */

START_TEST(test_given_up)
{
	reeve_manager *m = start_manager((struct reeve_manager_spec){
		.restart_limit = 1,
		.restart_interval_usec = 60 * USEC_PER_SEC,
	});
	reeve_manager *other = connect_to(m);
	reeve_proxy *d = open_one(m, REEVE_OBJECT_DICT, "d");
	reeve_proxy *theirs = open_one(other, REEVE_OBJECT_DICT, "d");
	uint64_t begun;

	kill_server(m);
	ck_assert_int_eq(reeve_proxy_length(d), -ESTALE);
	ck_assert_int_eq(reeve_proxy_length(d), 0);
	kill_server(m);
	ck_assert_int_eq(reeve_proxy_length(d), -ESHUTDOWN);
	ck_assert_int_eq(reeve_proxy_length(d), -ESHUTDOWN);
	begun = clock_monotonic_usec();
	ck_assert_int_eq(reeve_proxy_length(theirs), -ESHUTDOWN);
	ck_assert_uint_lt(clock_monotonic_usec() - begun,
			  REEVE_MANAGER_RECONNECT_USEC / 2);
	reeve_proxy_free(theirs);
	reeve_proxy_free(d);
	reeve_manager_free(other);
	reeve_manager_free(m);
}
END_TEST

static int own_and_wait(void *arg)
{
	int *fds = arg;
	reeve_manager *m = start_manager((struct reeve_manager_spec){ 0 });
	pid_t pid = reeve_manager_pid(m);

	if (write(fds[1], &pid, sizeof(pid)) < 0)
		return 1;
	for (;;)
		pause();
}

START_TEST(test_owner_killed)
{
	int fds[2];
	struct reeve_process_spec spec = { .function = own_and_wait,
					   .arg = fds,
					   .keep_fds = true };
	reeve_process *owner;
	uint64_t end;
	pid_t pid;

	ck_assert_int_eq(pipe2(fds, 0), 0);
	ck_assert_int_eq(reeve_process_start(&spec, &owner), 0);
	ck_assert_int_eq(read(fds[0], &pid, sizeof(pid)), sizeof(pid));
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(reeve_process_kill(owner), 0);
	ck_assert_int_eq(reeve_process_join(owner, LONG_WAIT), 0);
	end = clock_monotonic_usec() + LONG_WAIT;
	while (kill(pid, 0) == 0 && clock_monotonic_usec() < end)
		(void)poll(NULL, 0, 1);
	ck_assert_int_eq(kill(pid, 0), -1);
	reeve_process_free(owner);
	(void)close(fds[0]);
	(void)close(fds[1]);
}
END_TEST

/* ---- clients ------------------------------------------------------------------------- */

/* Holds everything there is, tells so, and waits to be killed. */
static int hold_all(void *arg)
{
	int *fds = arg;
	reeve_manager *m;
	struct reeve_any v;

	if (reeve_manager_connect(shared_address, shared_key, shared_size,
				  LONG_WAIT, &m) < 0)
		return 1;
	(void)reeve_proxy_acquire(open_one(m, REEVE_OBJECT_LOCK, "l"), 0);
	(void)reeve_proxy_acquire(open_sized(m, REEVE_OBJECT_SEMAPHORE, "s", 1),
				  0);
	(void)reeve_proxy_queue_get(open_one(m, REEVE_OBJECT_QUEUE, "q"), 0,
				    &v);
	if (write(fds[1], "x", 1) < 0)
		return 1;
	(void)reeve_proxy_barrier_wait(
		open_sized(m, REEVE_OBJECT_BARRIER, "b", 2), REEVE_FOREVER);
	for (;;)
		pause();
}

START_TEST(test_client_killed)
{
	reeve_manager *m = start_manager((struct reeve_manager_spec){ 0 });
	reeve_proxy *lock = open_one(m, REEVE_OBJECT_LOCK, "l");
	reeve_proxy *s = open_sized(m, REEVE_OBJECT_SEMAPHORE, "s", 1);
	reeve_proxy *q = open_one(m, REEVE_OBJECT_QUEUE, "q");
	reeve_proxy *b = open_sized(m, REEVE_OBJECT_BARRIER, "b", 2);
	int fds[2];
	struct reeve_process_spec spec = { .function = hold_all,
					   .arg = fds,
					   .keep_fds = true };
	reeve_process *client;
	size_t n_waiting = 0, n_lost = 0;
	bool is_broken = false;
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;
	char c;

	shared_address = reeve_manager_address(m);
	shared_key = reeve_manager_authkey(m, &shared_size);
	ck_assert_int_eq(reeve_proxy_queue_put(q, REEVE_ANY(1), 0), 0);
	ck_assert_int_eq(pipe2(fds, 0), 0);
	ck_assert_int_eq(reeve_process_start(&spec, &client), 0);
	ck_assert_int_eq(read(fds[0], &c, 1), 1);
	while (n_waiting == 0 && clock_monotonic_usec() < end)
		ck_assert_int_eq(reeve_proxy_barrier_state(b, NULL, &n_waiting,
							   NULL),
				 0);
	ck_assert_uint_eq(n_waiting, 1);
	ck_assert_int_eq(reeve_proxy_acquire(lock, 0), -EAGAIN);
	ck_assert_int_eq(reeve_proxy_acquire(s, 0), -EAGAIN);
	ck_assert_int_eq(reeve_process_kill(client), 0);
	ck_assert_int_eq(reeve_proxy_acquire(lock, LONG_WAIT), 1);
	ck_assert_int_eq(reeve_proxy_acquire(s, LONG_WAIT), 0);
	ck_assert_int_eq(reeve_proxy_queue_join(q, LONG_WAIT, &n_lost), 0);
	ck_assert_uint_eq(n_lost, 1);
	ck_assert_int_eq(reeve_proxy_barrier_state(b, NULL, NULL, &is_broken),
			 0);
	ck_assert(is_broken);
	ck_assert_int_eq(reeve_process_join(client, LONG_WAIT), 0);
	reeve_process_free(client);
	(void)close(fds[0]);
	(void)close(fds[1]);
	reeve_proxy_free(lock);
	reeve_proxy_free(s);
	reeve_proxy_free(q);
	reeve_proxy_free(b);
	reeve_manager_free(m);
}
END_TEST

static int add_in_child(void *arg)
{
	return reeve_proxy_value_add(arg, REEVE_ANY(1), NULL) == 0 ? 0 : 1;
}

/* A forked child uses what its parent had open. */
START_TEST(test_fork)
{
	reeve_manager *m = start_manager((struct reeve_manager_spec){ 0 });
	reeve_proxy *v = open_one(m, REEVE_OBJECT_VALUE, "v");
	struct reeve_process_spec spec = { .function = add_in_child, .arg = v };
	reeve_process *children[4];
	struct reeve_any got;
	int code;

	ck_assert_int_eq(reeve_proxy_value_set(v, REEVE_ANY(0)), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(reeve_process_start(&spec, &children[i]), 0);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(reeve_process_join(children[i], LONG_WAIT), 0);
		ck_assert_int_eq(reeve_process_exitcode(children[i], &code), 1);
		ck_assert_int_eq(code, 0);
		reeve_process_free(children[i]);
	}
	ck_assert_int_eq(reeve_proxy_value_get(v, &got), 0);
	check_value(&got, "4");
	reeve_proxy_free(v);
	reeve_manager_free(m);
}
END_TEST

MANAGER_MAIN("manager_deaths", test_told_once, test_told_later, test_snapshot,
	     test_the_last_snapshot_is_told, test_killed_again_and_again,
	     test_given_up, test_owner_killed, test_client_killed, test_fork)
