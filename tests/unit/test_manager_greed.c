/* Clients of a Manager that ask for nonsense, for too much, that are too many, or
 * die: over real sockets. Others are served meanwhile; memory and descriptors are
 * bounded, and come back. */
#include <sys/resource.h>

#include "tests/unit/attack_rig.h"

/* ---- requests that make no sense -------------------------------------------- */

static const struct reeve_any samples[] = {
	[REEVE_ANY_NIL] = { REEVE_ANY_NIL, 0, { 0 }, NULL },
	[REEVE_ANY_BOOL] = { REEVE_ANY_BOOL, 0, { .boolean = true }, NULL },
	[REEVE_ANY_INT] = { REEVE_ANY_INT, 0, { .integer = INT64_MIN }, NULL },
	[REEVE_ANY_DOUBLE] = { REEVE_ANY_DOUBLE, 0, { .number = 0.5 }, NULL },
	[REEVE_ANY_STRING] = { REEVE_ANY_STRING, 2, { .string = "\0x" }, NULL },
	[REEVE_ANY_BYTES] = { REEVE_ANY_BYTES, 1, { .bytes = "\xff" }, NULL },
	[REEVE_ANY_LIST] = { REEVE_ANY_LIST, 0, { 0 }, NULL },
	[REEVE_ANY_DICT] = { REEVE_ANY_DICT, 0, { 0 }, NULL },
};

/* Does the row's letter take this sample? */
static bool fits(char letter, enum reeve_any_kind kind)
{
	switch (letter) {
	case 'i':
		return kind == REEVE_ANY_INT;
	case 't': /* the integer is no time */
		return false;
	case 'I':
		return kind == REEVE_ANY_INT || kind == REEVE_ANY_NIL;
	case 'b':
		return kind == REEVE_ANY_BOOL;
	case 's':
		return kind == REEVE_ANY_STRING;
	case 'k':
		return kind == REEVE_ANY_BOOL || kind == REEVE_ANY_INT ||
		       kind == REEVE_ANY_STRING || kind == REEVE_ANY_BYTES;
	default:
		return true;
	}
}

/* n arguments, all of that kind: -EINVAL, unless they fit. */
static void check_arguments(struct guest *g, enum verb verb, int64_t handle,
			    size_t n, enum reeve_any_kind kind)
{
	const struct verb_row *row = &verb_rows[verb];
	bool fit = n == strlen(row->arguments);
	struct buf b = BUF_INIT(0);
	struct reader results;
	ssize_t begin = guest_begin(g, &b, verb, handle);

	for (size_t i = 0; i < n; i++) {
		fit = fit && fits(row->arguments[i], kind);
		codec_put(&b, &samples[kind]);
	}
	int r = guest_call(g, &b, begin, &results);
	ck_assert_msg(fit ? r != -ECONNRESET && r != -ETIMEDOUT : r == -EINVAL,
		      "%s: %zu of %d: %d", row->name, n, kind, r);
}

/* Every verb, on an object of its kind, with too few, too many and the wrong
 * arguments. */
START_TEST(test_arguments)
{
	int64_t handles[REEVE_OBJECT_COUNT];
	struct guest guest;
	char name[16];

	start_plain(_i);
	guest_join(&guest, server.address, KEY);
	for (int i = 0; i < REEVE_OBJECT_COUNT; i++) {
		(void)snprintf(name, sizeof(name), "object%d", i);
		handles[i] =
			guest_open(&guest, (enum reeve_object_kind)i, name, 1);
		ck_assert_int_gt(handles[i], 0);
	}
	for (int verb = 0; verb < VERB_COUNT; verb++) {
		uint32_t kinds = verb_rows[verb].kinds;
		int64_t handle = kinds == 0 ? 0 : handles[__builtin_ctz(kinds)];

		for (size_t n = 0; n <= PROTOCOL_ARGUMENTS; n++)
			for (int kind = 0; kind <= REEVE_ANY_DICT; kind++)
				/* its handle is needed still */
				if (verb != VERB_CLOSE || n > 0)
					check_arguments(
						&guest, (enum verb)verb, handle,
						n, (enum reeve_any_kind)kind);
	}
	guest_close(&guest);
	stop();
}
END_TEST

START_TEST(test_verbs_and_objects)
{
	static const int64_t numbers[] = { -1,	      VERB_COUNT,
					   INT32_MAX, INT64_MIN,
					   INT64_MAX, (int64_t)1 << 32 };
	struct guest guest;

	start_plain(_i);
	guest_join(&guest, server.address, KEY);
	int64_t lock = guest_open(&guest, REEVE_OBJECT_LOCK, "lock", 1);
	ck_assert_int_gt(lock, 0);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct buf b = BUF_INIT(0);
		struct reader results;
		ssize_t begin = frame_begin(&b);

		codec_put_int(&b, ++guest.id);
		codec_put_int(&b, numbers[i]);
		codec_put_int(&b, lock);
		ck_assert_int_eq(guest_call(&guest, &b, begin, &results),
				 -ENOSYS);
		ck_assert_int_eq(call_plainly(&guest, VERB_RELEASE, numbers[i]),
				 -EBADF);
		ck_assert_int_eq(call_plainly(&guest, VERB_PING, numbers[i]),
				 -EBADF);
	}
	ck_assert_int_eq(call_plainly(&guest, VERB_RELEASE, 0), -EBADF);
	ck_assert_int_eq(call_plainly(&guest, VERB_LENGTH, lock), -ENOTSUP);
	ck_assert_int_eq(call_plainly(&guest, VERB_CLOSE, lock), 0);
	ck_assert_int_eq(call_plainly(&guest, VERB_RELEASE, lock), -EBADF);
	ck_assert_int_eq(guest_ping(&guest), 0);
	guest_close(&guest);
	stop();
}
END_TEST

/* ---- greed ------------------------------------------------------------------ */

/* A dict with a value of so many bytes. */
static int64_t open_large(struct guest *g, size_t size)
{
	int64_t dict = guest_open(g, REEVE_OBJECT_DICT, "large", 0);
	struct buf value = BUF_INIT(0);
	char *bytes = calloc(1, size);

	ck_assert_int_gt(dict, 0);
	ck_assert_ptr_nonnull(bytes);
	codec_put_bytes(&value, bytes, size);
	ck_assert_int_eq(set_bytes(g, dict, value.data, value.len), 0);
	buf_done(&value);
	free(bytes);
	return dict;
}

/* Asks for a lot, and reads nothing: it is not served further; the others are. */
START_TEST(test_never_reads)
{
	enum { ASKS = 5000 }; /* for 5 GiB */
	struct guest honest, guest;
	struct buf b = BUF_INIT(0);
	struct reader results;
	int64_t id;

	start_plain(_i);
	guest_join(&honest, server.address, KEY);
	guest_join(&guest, server.address, KEY);
	int64_t dict = open_large(&guest, MEBIBYTE);
	size_t before = memory_peak();
	for (int i = 0; i < ASKS; i++)
		guest_end(&b, guest_begin(&guest, &b, VERB_ITEMS, dict));
	ck_assert_int_eq(guest_send_buf(&guest, &b), 0);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(guest_ping(&honest), 0);
	check_memory(before, 20 * MEBIBYTE);
	/* It may begin to: each answer comes, in order. */
	for (int i = 0; i < 30; i++) {
		ck_assert_int_eq(guest_answer(&guest, &id, &results), 0);
		ck_assert_int_eq(id, guest.id - ASKS + 1 + i);
	}
	ck_assert_int_eq(guest_ping(&honest), 0);
	buf_done(&b);
	guest_close(&guest);
	check_fds(1);
	guest_close(&honest);
	stop();
}
END_TEST

static int64_t length_of(struct guest *g, int64_t queue)
{
	struct buf b = BUF_INIT(0);
	struct reader results;
	int64_t n = -1;
	ssize_t begin = guest_begin(g, &b, VERB_LENGTH, queue);

	ck_assert_int_eq(guest_call(g, &b, begin, &results), 0);
	ck_assert_int_eq(codec_get_int(&results, &n), 0);
	return n;
}

static void put_large(struct guest *g, int64_t queue)
{
	static const char text[MEBIBYTE];
	struct buf b = BUF_INIT(0);
	struct reader results;
	ssize_t begin = guest_begin(g, &b, VERB_QUEUE_PUT, queue);

	codec_put_bytes(&b, text, sizeof(text));
	codec_put_int(&b, -1);
	ck_assert_int_eq(guest_call(g, &b, begin, &results), 0);
}

/* Waits for more than it may be told at a time, and does not read: the connection
 * ends, and what it would have got is there for others. */
START_TEST(test_waits_and_never_reads)
{
	enum { GETS = 100, PUTS = 50 };
	struct guest honest, guest;

	start_plain(_i);
	guest_join(&honest, server.address, KEY);
	guest_join(&guest, server.address, KEY);
	int64_t theirs = guest_open(&guest, REEVE_OBJECT_QUEUE, "queue", 0);
	int64_t queue = guest_open(&honest, REEVE_OBJECT_QUEUE, "queue", 0);
	ck_assert_int_gt(theirs, 0);
	ck_assert_int_gt(queue, 0);
	for (int i = 0; i < GETS; i++)
		guest_tell(&guest, VERB_QUEUE_GET, theirs, -1);
	/* until the first value comes none of these has been seen to wait */
	put_large(&honest, queue);
	ck_assert_int_eq(guest_wait(&guest, POLLIN, GUEST_DEADLINE_MSEC), 0);
	size_t before = memory_peak();
	for (int i = 1; i < PUTS; i++)
		put_large(&honest, queue);
	check_memory(before, 100 * MEBIBYTE);
	/* with about 20 on their way to it, it was ended */
	int64_t left = length_of(&honest, queue);
	ck_assert_int_ge(left, PUTS - 30);
	ck_assert_int_le(left, PUTS - 15);
	ck_assert(guest_is_ended(&guest));
	guest_close(&guest);
	check_fds(1);
	for (; left > 0; left--)
		ck_assert_int_eq(guest_ask(&honest, VERB_QUEUE_GET, queue, 0),
				 0);
	guest_close(&honest);
	stop();
}
END_TEST

/* As many requests that wait as one may have, and one more. */
START_TEST(test_waits_too_often)
{
	struct guest honest, guest;
	struct reader results;
	int64_t id;

	start_plain(_i);
	guest_join(&honest, server.address, KEY);
	guest_join(&guest, server.address, KEY);
	int64_t event = guest_open(&guest, REEVE_OBJECT_EVENT, "event", 0);
	ck_assert_int_gt(event, 0);
	for (int i = 0; i < SERVER_WAITING_MAX; i++)
		guest_tell(&guest, VERB_WAIT, event, -1);
	guest_tell(&guest, VERB_WAIT, event, -1);
	ck_assert_int_lt(guest_answer(&guest, &id, &results), 0);
	ck_assert_int_eq(id, guest.id);
	/* the others still wait, and are answered */
	ck_assert_int_eq(guest_ping(&honest), 0);
	int64_t same = guest_open(&honest, REEVE_OBJECT_EVENT, "event", 0);
	ck_assert_int_eq(call_plainly(&honest, VERB_EVENT_SET, same), 0);
	for (int i = 0; i < SERVER_WAITING_MAX; i++)
		ck_assert_int_eq(guest_answer(&guest, &id, &results), 0);
	guest_close(&guest);
	guest_close(&honest);
	stop();
}
END_TEST

/* More bytes, objects and handles than there may be. */
START_TEST(test_too_much_is_kept)
{
	static const char text[MEBIBYTE];
	struct guest honest, guest;
	struct buf value = BUF_INIT(0);
	char name[32];
	int n_bytes = 0, r;

	start_plain(_i);
	guest_join(&honest, server.address, KEY);
	guest_join(&guest, server.address, KEY);
	codec_put_bytes(&value, text, sizeof(text));
	int64_t dict = -1;
	do {
		(void)snprintf(name, sizeof(name), "dict%d", n_bytes++);
		dict = guest_open(&guest, REEVE_OBJECT_DICT, name, 0);
		r = set_bytes(&guest, dict, value.data, value.len);
	} while (r == 0 && n_bytes < 100);
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_int_ge(n_bytes, 60); /* of 64 */
	ck_assert_int_le(n_bytes, 65);
	ck_assert_int_eq(call_plainly(&guest, VERB_CLEAR, dict - 1), 0);
	ck_assert_int_eq(set_bytes(&guest, dict, value.data, value.len), 0);
	int64_t n_objects = n_bytes, handle;
	do {
		(void)snprintf(name, sizeof(name), "value%d", (int)n_objects++);
		handle = guest_open(&guest, REEVE_OBJECT_LOCK, name, 0);
	} while (handle > 0 && n_objects < 2000);
	ck_assert_int_eq(handle, -ENOSPC);
	ck_assert_int_eq(n_objects, 1000 + 1);
	ck_assert_int_eq(guest_ping(&honest), 0);
	buf_done(&value);
	guest_close(&guest);
	guest_close(&honest);
	stop();
}
END_TEST

/* ---- many ------------------------------------------------------------------- */

/* How many descriptors may be open here, up to n. */
static int may_open(int n)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return (int)MIN((rlim_t)n, limit.rlim_max - 100);
}

/* Ten thousand who connect, and say nothing; over TCP fewer, unless there is time:
 * it takes longer, and the server does the same. */
START_TEST(test_silent_crowd)
{
	bool is_long = _i == ATTACK_UNIX || getenv("REEVE_SOAK");
	int n = may_open(is_long ? 10000 : 2000),
	    *fds = calloc((size_t)n, sizeof(*fds));
	struct guest honest, late;

	ck_assert_ptr_nonnull(fds);
	start_plain(_i);
	guest_join(&honest, server.address, KEY);
	size_t before = memory_peak();
	for (int i = 0; i < n; i++) {
		if (address_connect(server.address, 10000000, &fds[i]) < 0)
			ck_abort_msg("%d", i);
		if (i % 100 == 0)
			ck_assert_int_eq(guest_ping(&honest), 0);
	}
	/* a late one, who knows the key, is let in */
	guest_join(&late, server.address, KEY);
	ck_assert_int_eq(guest_ping(&late), 0);
	ck_assert_int_le(count_fds(), server.n_fds + 2 + SERVER_HANDSHAKES_MAX);
	check_memory(before, 8 * MEBIBYTE);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	free(fds);
	guest_close(&late);
	guest_close(&honest);
	stop();
}
END_TEST

START_TEST(test_too_many_clients)
{
	enum { MOST = 20 };
	struct guest guests[MOST], late;

	start(_i, (struct server_config){ .max_clients = MOST });
	for (int i = 0; i < MOST; i++)
		guest_join(&guests[i], server.address, KEY);
	for (int i = 0; i < 50; i++) {
		guest_connect(&late, server.address);
		ck_assert_int_eq(guest_greet(&late, KEY), -EUSERS);
		ck_assert_uint_eq(late.said.len, 0); /* it was not challenged */
		ck_assert(guest_is_ended(&late));
		guest_close(&late);
	}
	for (int i = 0; i < MOST; i++)
		ck_assert_int_eq(guest_ping(&guests[i]), 0);
	guest_close(&guests[0]);
	check_fds(MOST - 1);
	guest_join(&guests[0], server.address, KEY);
	ck_assert_int_eq(guest_ping(&guests[0]), 0);
	for (int i = 0; i < MOST; i++)
		guest_close(&guests[i]);
	stop();
}
END_TEST

/* Many begin the handshake while there is one place left: one gets it. */
START_TEST(test_race_for_the_last_place)
{
	enum { RACERS = 20 };
	struct guest guests[RACERS];
	int n_in = 0;

	start(_i, (struct server_config){ .max_clients = 1 });
	for (int i = 0; i < RACERS; i++) {
		guest_connect(&guests[i], server.address);
		ck_assert_int_eq(guest_prepare(&guests[i], KEY), 0);
	}
	for (int i = 0; i < RACERS; i++)
		guest_send(&guests[i], guests[i].said.data, guests[i].said.len);
	for (int i = 0; i < RACERS; i++) {
		struct guest_message m;

		ck_assert_int_eq(guest_recv(&guests[i], &m), 1);
		int r = auth_confirm(&guests[i].auth, m.data, m.size);
		ck_assert(r == 0 || r == -EUSERS);
		n_in += r == 0;
	}
	ck_assert_int_eq(n_in, 1);
	for (int i = 0; i < RACERS; i++)
		guest_close(&guests[i]);
	stop();
}
END_TEST

/* ---- death ------------------------------------------------------------------ */

#define LOCKS 8

static int64_t open_lock(struct guest *g, int i)
{
	char name[16];

	(void)snprintf(name, sizeof(name), "lock%d", i);
	return guest_open(g, REEVE_OBJECT_LOCK, name, 0);
}

static void hold_locks(int ready_fd)
{
	struct guest g;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	guest_join(&g, server.address, KEY);
	for (int i = 0; i < LOCKS; i++)
		if (guest_ask(&g, VERB_ACQUIRE, open_lock(&g, i), -1) != 0)
			_exit(1);
	if (write(ready_fd, "", 1) != 1)
		_exit(2);
	for (;;)
		pause();
}

static pid_t fork_holder(void)
{
	int ready[2];
	char byte;

	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0)
		hold_locks(ready[1]);
	ck_assert_int_gt(pid, 0);
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

/* Who waits gets each of the locks of the dead, and is told. */
START_TEST(test_killed_with_locks)
{
	struct guest honest;
	struct reader results;
	int64_t locks[LOCKS], id;

	start_plain(_i);
	pid_t pid = fork_holder();
	guest_join(&honest, server.address, KEY);
	for (int i = 0; i < LOCKS; i++) {
		locks[i] = open_lock(&honest, i);
		ck_assert_int_gt(locks[i], 0);
		ck_assert_int_eq(guest_ask(&honest, VERB_ACQUIRE, locks[i], 0),
				 -EAGAIN);
		guest_tell(&honest, VERB_ACQUIRE, locks[i], -1);
	}
	ck_assert_int_eq(guest_ping(&honest), 0); /* nothing came before */
	kill(pid, SIGKILL);
	for (int i = 0; i < LOCKS; i++) {
		bool has_died = false;

		ck_assert_int_eq(guest_answer(&honest, &id, &results), 0);
		ck_assert_int_eq(codec_get_bool(&results, &has_died), 0);
		ck_assert(has_died);
	}
	for (int i = 0; i < LOCKS; i++)
		ck_assert_int_eq(call_plainly(&honest, VERB_RELEASE, locks[i]),
				 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	guest_close(&honest);
	stop();
}
END_TEST

UNIT_LOOP_MAIN("greed", ATTACK_KINDS, test_arguments, test_verbs_and_objects,
	       test_never_reads, test_waits_and_never_reads,
	       test_waits_too_often, test_too_much_is_kept, test_silent_crowd,
	       test_too_many_clients, test_race_for_the_last_place,
	       test_killed_with_locks)
