/* The keeper: what dies, what is started again, what is told, and what ends with
 * whom. */
#include "tests/unit/keeper_program_rig.h"

static const char *snapshot_path(void)
{
	return unit_path("snapshot");
}

static struct keeper_order order_with_snapshot(void)
{
	struct keeper_order o = manager_order();

	(void)snprintf(o.snapshot, sizeof(o.snapshot), "%s", snapshot_path());
	return o;
}

static bool exists(const char *name)
{
	return access(unit_path(name), F_OK) == 0;
}

static ino_t inode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_ino : 0;
}

static pid_t server_of(const struct manager *m)
{
	return m->board->pid;
}

/* The bell has rung since it was last asked. */
static bool has_rung(const struct manager *m)
{
	uint64_t n;

	return fd_wait_readable(m->bell_fd, GUEST_DEADLINE_MSEC) &&
	       read(m->bell_fd, &n, sizeof(n)) == sizeof(n);
}

/* ---- life -------------------------------------------------------------------------- */

START_TEST(test_start_and_stop)
{
	struct keeper_order o = manager_order();
	struct manager m = manager_start(&o);
	struct guest g;
	struct hello hello;

	ck_assert(has_rung(&m));
	ck_assert_int_ne(server_of(&m), m.pid);
	hello = guest_enter(&g, m.address);
	ck_assert_int_eq(hello.generation, 0);
	ck_assert(!hello.is_restored);
	ck_assert_int_eq(hello.pid, server_of(&m));
	ck_assert_int_eq(guest_ping(&g), 0);
	ck_assert_uint_eq(m.board->restarts, 0);

	struct guest_message bye;
	struct reader r;
	int64_t id, status;

	ck_assert_int_eq(kill(m.pid, SIGTERM), 0);
	ck_assert_int_eq(guest_recv(&g, &bye), 1);
	r = (struct reader){ bye.data, bye.size, 0 };
	ck_assert_int_eq(codec_get_int(&r, &id), 0);
	ck_assert_int_eq(codec_get_int(&r, &status), 0);
	ck_assert_int_eq(id, 0);
	ck_assert_int_eq(status, -ESHUTDOWN);
	ck_assert(guest_is_ended(&g));
	ck_assert_int_eq(manager_wait(&m), 0);
	ck_assert_int_eq(m.board->pid, 0);
	guest_close(&g);
	ck_assert_int_eq(guest_try_connect(&g, m.address), -ECONNREFUSED);
}
END_TEST

START_TEST(test_the_server_dies)
{
	struct keeper_order o = manager_order();
	struct manager m = manager_start(&o);
	struct guest g, h;
	struct hello first, second;
	pid_t pid = server_of(&m);

	ck_assert(has_rung(&m));
	first = guest_enter(&g, m.address);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert(guest_is_ended(&g));
	/* at once: it waits in the backlog */
	second = guest_enter(&h, m.address);
	ck_assert_int_eq(second.generation, 1);
	ck_assert(memcmp(first.instance, second.instance, PROTOCOL_INSTANCE) !=
		  0);
	ck_assert(has_rung(&m));
	UNTIL(m.board->restarts == 1);
	ck_assert_int_ne(server_of(&m), pid);
	ck_assert_int_eq(second.pid, server_of(&m));
	ck_assert_int_eq(guest_ping(&h), 0);
	guest_close(&g);
	guest_close(&h);
	ck_assert_int_eq(manager_stop(&m), 0);
	ck_assert_uint_eq(m.board->state, KEEPER_RUNNING);
}
END_TEST

/* More than so many deaths are too many: nobody waits for it any more. All are told
 * so, those who wait already and those who come later. */
START_TEST(test_too_many_deaths)
{
	struct keeper_order o = manager_order();
	struct manager m;
	struct guest g, h;

	o.restart_limit = 2;
	m = manager_start(&o);
	for (unsigned i = 0; i < 3; i++) {
		UNTIL(server_of(&m) > 0 && m.board->restarts == i);
		ck_assert_uint_eq(m.board->state, KEEPER_RUNNING);
		ck_assert_int_eq(kill(server_of(&m), SIGKILL), 0);
		UNTIL(server_of(&m) == 0 || m.board->restarts == i + 1);
	}
	guest_connect(&h, m.address);
	UNTIL(m.board->state == KEEPER_FATAL);
	ck_assert_int_eq(m.board->error, -ESHUTDOWN);
	ck_assert_msg(strstr(m.board->reason, "SIGKILL"), "%s",
		      m.board->reason);
	ck_assert_int_eq(guest_prepare(&h, KEY), -ESHUTDOWN);
	guest_close(&h);
	for (int i = 0; i < 3; i++) {
		guest_connect(&g, m.address);
		ck_assert_int_eq(guest_prepare(&g, KEY), -ESHUTDOWN);
		ck_assert(guest_is_ended(&g));
		guest_close(&g);
	}
	ck_assert_int_eq(manager_stop(&m), KEEPER_EXIT_FAILED);
	ck_assert_int_eq(guest_try_connect(&g, m.address), -ECONNREFUSED);
}
END_TEST

/* It says so only as long as there is an owner. */
START_TEST(test_given_up_and_the_owner_dies)
{
	struct keeper_order o = manager_order();
	pid_t owner = fork();
	struct manager m;

	if (owner == 0) {
		(void)pause();
		_exit(0);
	}
	o.restart_limit = 1;
	m = manager_exec(&o, own_address(), owner);
	for (unsigned i = 0; i < 2; i++) {
		UNTIL(server_of(&m) > 0 && m.board->restarts == i);
		ck_assert_int_eq(kill(server_of(&m), SIGKILL), 0);
	}
	UNTIL(m.board->state == KEEPER_FATAL);
	ck_assert(!fd_wait_readable(m.pidfd, 50));
	ck_assert_int_eq(kill(owner, SIGKILL), 0);
	ck_assert_int_eq(waitpid(owner, NULL, 0), owner);
	ck_assert_int_eq(manager_wait(&m), KEEPER_EXIT_FAILED);
}
END_TEST

START_TEST(test_the_keeper_dies)
{
	struct keeper_order o = manager_order();
	struct manager m = manager_start(&o);
	pid_t pid = server_of(&m);
	struct guest g;

	(void)guest_enter(&g, m.address);
	ck_assert_int_eq(kill(m.pid, SIGKILL), 0);
	ck_assert(guest_is_ended(&g));
	guest_close(&g);
	ck_assert_int_eq(manager_wait(&m), -SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid); /* we are its reaper */
	ck_assert_int_eq(guest_try_connect(&g, m.address), -ECONNREFUSED);
}
END_TEST

/* However the owner ends: first what has changed is kept. */
START_TEST(test_the_owner_dies)
{
	struct keeper_order o = order_with_snapshot();
	pid_t owner = fork();
	struct manager m;
	struct guest g;
	int64_t v;
	pid_t server;

	if (owner == 0) {
		(void)pause();
		_exit(0);
	}
	o.snapshot_interval_usec = 1000000000;
	m = manager_exec(&o, own_address(), owner);
	UNTIL(m.board->state == KEEPER_RUNNING);
	server = server_of(&m);
	(void)guest_enter(&g, m.address);
	v = guest_open(&g, REEVE_OBJECT_VALUE, "v", 0);
	ck_assert_int_eq(guest_add(&g, v, 5), 5);
	ck_assert_int_eq(kill(owner, SIGKILL), 0);
	ck_assert_int_eq(waitpid(owner, NULL, 0), owner);
	ck_assert(guest_is_ended(&g));
	guest_close(&g);
	ck_assert_int_eq(manager_wait(&m), 0);
	UNTIL(!is_alive(server));
	ck_assert(exists("snapshot"));
	ck_assert(!exists("snapshot.lock"));
	ck_assert(!exists("snapshot.new"));
}
END_TEST

/* A server that does not end when it is told to is killed, at the second word. */
START_TEST(test_a_server_that_hangs)
{
	struct keeper_order o = manager_order();
	struct manager m = manager_start(&o);

	ck_assert_int_eq(kill(server_of(&m), SIGSTOP), 0);
	ck_assert_int_eq(kill(m.pid, SIGTERM), 0);
	ck_assert(!fd_wait_readable(m.pidfd, 50));
	ck_assert_int_eq(kill(m.pid, SIGTERM), 0);
	ck_assert_int_eq(manager_wait(&m), KEEPER_EXIT_FAILED);
	ck_assert_int_eq(m.board->kept, -EIO);
}
END_TEST

/* ---- snapshots ---------------------------------------------------------------------- */

START_TEST(test_what_is_kept)
{
	struct keeper_order o = order_with_snapshot();
	struct manager m = manager_start(&o);
	struct hello hello;
	struct guest g;
	int64_t v;
	ino_t inode;

	ck_assert(exists("snapshot.lock"));
	(void)guest_enter(&g, m.address);
	v = guest_open(&g, REEVE_OBJECT_VALUE, "v", 0);
	ck_assert_int_eq(guest_add(&g, v, 5), 5);
	guest_close(&g);
	ck_assert_int_eq(m.board->kept, 0);
	ck_assert_int_eq(manager_stop(&m), 0);
	ck_assert_int_eq(m.board->kept, 1);
	ck_assert(!exists("snapshot.lock"));

	m = manager_start(&o);
	hello = guest_enter(&g, m.address);
	ck_assert(hello.is_restored);
	v = guest_open(&g, REEVE_OBJECT_VALUE, "v", 0);
	ck_assert_int_eq(guest_add(&g, v, 2), 7);
	/* and after a death, when it had the time to write it twice: the
	 * first one may be of before */
	inode = inode_of(snapshot_path());
	UNTIL(inode_of(snapshot_path()) != inode);
	ck_assert_int_eq(guest_add(&g, v, 0), 7);
	inode = inode_of(snapshot_path());
	UNTIL(inode_of(snapshot_path()) != inode);
	ck_assert_int_eq(kill(server_of(&m), SIGKILL), 0);
	ck_assert(guest_is_ended(&g));
	guest_close(&g);
	hello = guest_enter(&g, m.address);
	ck_assert(hello.is_restored);
	ck_assert_int_eq(hello.generation, 1);
	v = guest_open(&g, REEVE_OBJECT_VALUE, "v", 0);
	ck_assert_int_eq(guest_add(&g, v, 0), 7);
	guest_close(&g);
	ck_assert_int_eq(manager_stop(&m), 0);
}
END_TEST

/* What cannot be read is said, and left; there are no tries again. */
START_TEST(test_a_broken_snapshot)
{
	struct keeper_order o = order_with_snapshot();
	struct manager m;
	char *text;
	size_t len;

	(void)unit_file("snapshot", "by somebody else");
	m = manager_exec(&o, own_address(), 0);
	ck_assert_int_eq(manager_wait(&m), KEEPER_EXIT_FAILED);
	ck_assert_uint_eq(m.board->state, KEEPER_FATAL);
	ck_assert_int_eq(m.board->error, -EBADMSG);
	ck_assert_msg(strstr(m.board->reason, snapshot_path()), "%s",
		      m.board->reason);
	ck_assert_int_eq(
		fd_read_file(AT_FDCWD, snapshot_path(), 100, &text, &len), 0);
	ck_assert_str_eq(text, "by somebody else");
	free(text);
	ck_assert(!exists("snapshot.lock"));
}
END_TEST

START_TEST(test_a_snapshot_of_two)
{
	struct keeper_order o = order_with_snapshot();
	struct manager m = manager_start(&o), second;

	second = manager_exec(&o, "tcp:127.0.0.1:0", 0);
	ck_assert_int_eq(manager_wait(&second), KEEPER_EXIT_FAILED);
	ck_assert_int_eq(second.board->error, -EBUSY);
	ck_assert_msg(strstr(second.board->reason, "another"), "%s",
		      second.board->reason);
	ck_assert(exists("snapshot.lock"));
	ck_assert_int_eq(manager_stop(&m), 0);
}
END_TEST

/* The server is killed at random while it changes and writes all the time: what
 * comes back is always whole, and not older than what was known to be in a file. */
START_TEST(test_killed_while_writing)
{
	int rounds = getenv("REEVE_SOAK") ? 2000 : 30;
	struct keeper_order o = order_with_snapshot();
	struct manager m;
	int64_t last = 0;

	o.restart_interval_usec = 1; /* forgotten at once: no delays */
	m = manager_start(&o);
	for (int i = 0; i < rounds; i++) {
		struct hello hello;
		struct guest g;
		int64_t v, now;

		while (guest_meet(&g, m.address, &hello) < 0)
			guest_close(&g);
		ck_assert_int_eq(hello.generation, i);
		v = guest_open(&g, REEVE_OBJECT_VALUE, "v", 0);
		now = guest_add(&g, v, 1);
		ck_assert_int_ge(now, 1);
		ck_assert_int_le(now, last + 1);
		for (int k = 0; k < 40 + 17 * (i % 7); k++)
			last = guest_add(&g, v, 1);
		ck_assert_int_eq(kill(server_of(&m), SIGKILL), 0);
		ck_assert(guest_is_ended(&g));
		guest_close(&g);
		UNTIL(m.board->restarts == (uint64_t)i + 1);
	}
	unit_count((unsigned long)rounds, "kills");
	ck_assert_int_eq(manager_stop(&m), 0);
}
END_TEST

/* ---- orders ---------------------------------------------------------------------------- */

START_TEST(test_orders_that_make_no_sense)
{
	for (int i = 0; i < 5; i++) {
		struct keeper_order o = manager_order();
		struct manager m;

		if (i == 0)
			o.magic++;
		else if (i == 1)
			o.version++;
		else if (i == 2)
			o.size--;
		else if (i == 3)
			o.authkey_size = REEVE_MANAGER_KEY_MAX + 1;
		else
			memset(o.snapshot, 'x', sizeof(o.snapshot));
		m = manager_exec(&o, own_address(), 0);
		ck_assert_int_eq(manager_wait(&m), KEEPER_EXIT_USAGE);
		ck_assert_uint_eq(m.board->state, KEEPER_STARTING);
	}
}
END_TEST

UNIT_MAIN("manager_keeper", test_start_and_stop, test_the_server_dies,
	  test_too_many_deaths, test_given_up_and_the_owner_dies,
	  test_the_keeper_dies, test_the_owner_dies, test_a_server_that_hangs,
	  test_what_is_kept, test_a_broken_snapshot, test_a_snapshot_of_two,
	  test_killed_while_writing, test_orders_that_make_no_sense)
