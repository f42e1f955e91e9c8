/* The server over real sockets: batches, turns, timers, descriptors, the end.
 * (Those who attack it: test_manager_attacks, test_manager_greed.) */
#include <pthread.h>
#include <sys/resource.h>

#include "tests/unit/attack_rig.h"
#include "workers/base/sys/fd.h"

/* A request with one behind what is in b. */
static void add_int(struct guest *g, struct buf *b, enum verb verb,
		    int64_t handle, int64_t argument)
{
	ssize_t begin = guest_begin(g, b, verb, handle);

	codec_put_int(b, argument);
	guest_end(b, begin);
}

static int64_t answer_int(struct guest *g)
{
	struct reader results;
	int64_t id, value = -1;

	ck_assert_int_eq(guest_answer(g, &id, &results), 0);
	ck_assert_int_eq(codec_get_int(&results, &value), 0);
	return value;
}

/* ---- many at a time ------------------------------------------------------------------- */

/* In order, however the frames are cut, and each answered once. */
START_TEST(test_cut_anywhere)
{
	struct guest g;
	struct buf b = BUF_INIT(0);
	int64_t v;

	start_plain(_i);
	guest_join(&g, server.address, KEY);
	v = guest_open(&g, REEVE_OBJECT_VALUE, "v", 0);
	for (int i = 0; i < 20; i++)
		add_int(&g, &b, VERB_VALUE_ADD, v, 1);
	for (size_t cut = 1; cut < b.len; cut += 1 + cut / 9) {
		ck_assert_int_eq(guest_send(&g, b.data, cut), 0);
		ck_assert_int_eq(guest_send(&g, b.data + cut, b.len - cut), 0);
		for (int i = 0; i < 20; i++)
			(void)answer_int(&g);
	}
	add_int(&g, &b, VERB_VALUE_ADD, v, 0);
	buf_done(&b);
	guest_close(&g);
	stop();
}
END_TEST

/* Ten thousand in one write: all are done, in order. */
START_TEST(test_a_long_batch)
{
	enum { N = 10000 };
	struct guest g;
	struct buf b = BUF_INIT(0);
	int64_t v;

	start_plain(_i);
	guest_join(&g, server.address, KEY);
	v = guest_open(&g, REEVE_OBJECT_VALUE, "v", 0);
	for (int i = 0; i < N; i++)
		add_int(&g, &b, VERB_VALUE_ADD, v, 1);
	/* a process of its own sends: the answers come meanwhile */
	pid_t pid = fork();

	if (pid == 0)
		_exit(guest_send(&g, b.data, b.len) < 0);
	for (int64_t i = 1; i <= N; i++) {
		int64_t sum = answer_int(&g);

		if (sum != i)
			ck_abort_msg("%ld, not %ld", sum, i);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	buf_done(&b);
	guest_close(&g);
	stop();
}
END_TEST

/* The largest value, in pieces as the socket takes them, there and back. */
START_TEST(test_the_largest_value)
{
	size_t size = REEVE_MANAGER_VALUE_MAX - 5;
	char *data = malloc(size);
	struct buf b = BUF_INIT(0);
	struct reader results;
	struct guest g;
	const void *back;
	size_t back_size;
	int64_t v;
	ssize_t begin;

	for (size_t i = 0; i < size; i++)
		data[i] = (char)(i * 31 >> 3);
	start_plain(_i);
	guest_join(&g, server.address, KEY);
	v = guest_open(&g, REEVE_OBJECT_VALUE, "v", 0);
	begin = guest_begin(&g, &b, VERB_VALUE_SET, v);
	codec_put_bytes(&b, data, size);
	ck_assert_int_eq(guest_call(&g, &b, begin, &results), 0);
	begin = guest_begin(&g, &b, VERB_VALUE_GET, v);
	ck_assert_int_eq(guest_call(&g, &b, begin, &results), 0);
	ck_assert_int_eq(codec_get_bytes(&results, &back, &back_size), 0);
	ck_assert_uint_eq(back_size, size);
	ck_assert_int_eq(memcmp(back, data, size), 0);
	free(data);
	guest_close(&g);
	stop();
}
END_TEST

static _Noreturn void send_for_ever(struct guest *g, const struct buf *b)
{
	static char answers[1 << 16];
	size_t sent = 0;

	for (;;) {
		ssize_t n;

		while (recv(g->fd, answers, sizeof(answers), MSG_DONTWAIT) > 0)
			;
		n = send(g->fd, b->data + sent, b->len - sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			_exit(1); /* it was disconnected */
		sent = (sent + (n > 0 ? (size_t)n : 0)) % b->len;
	}
}

/* Who sends without end has his turn, and others theirs. */
START_TEST(test_turns)
{
	struct guest flood, other;
	struct buf b = BUF_INIT(0);
	int64_t v;
	int status;
	pid_t pid;

	start_plain(_i);
	guest_join(&flood, server.address, KEY);
	guest_join(&other, server.address, KEY);
	v = guest_open(&flood, REEVE_OBJECT_VALUE, "v", 0);
	for (int i = 0; i < 2000; i++)
		add_int(&flood, &b, VERB_VALUE_ADD, v, 1);
	pid = fork();
	if (pid == 0)
		send_for_ever(&flood, &b);
	for (int i = 0; i < 300; i++)
		ck_assert_int_eq(guest_ping(&other), 0);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, SIGKILL);
	buf_done(&b);
	guest_close(&flood);
	guest_close(&other);
	stop();
}
END_TEST

/* ---- time -------------------------------------------------------------------------------- */

START_TEST(test_timeouts)
{
	struct guest g;
	int64_t q;
	uint64_t begun;

	start_plain(_i);
	guest_join(&g, server.address, KEY);
	q = guest_open(&g, REEVE_OBJECT_QUEUE, "q", 0);
	begun = clock_monotonic_usec();
	ck_assert_int_eq(guest_ask(&g, VERB_QUEUE_GET, q, 30000), -ETIMEDOUT);
	ck_assert_uint_ge(clock_monotonic_usec() - begun, 30000);
	ck_assert_int_eq(guest_ask(&g, VERB_QUEUE_GET, q, 0), -EAGAIN);
	guest_close(&g);
	stop();
}
END_TEST

/* One waits, others are served, and it gets what it waited for from another. */
START_TEST(test_handed_over)
{
	struct guest g, h;
	struct reader results;
	int64_t lg, lh, id;

	start_plain(_i);
	guest_join(&g, server.address, KEY);
	guest_join(&h, server.address, KEY);
	lg = guest_open(&g, REEVE_OBJECT_LOCK, "l", 0);
	lh = guest_open(&h, REEVE_OBJECT_LOCK, "l", 0);
	ck_assert_int_eq(guest_ask(&g, VERB_ACQUIRE, lg, -1), 0);
	ck_assert_int_eq(guest_tell(&h, VERB_ACQUIRE, lh, -1), 0);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(guest_ping(&g), 0);
	ck_assert(guest_wait(&h, POLLIN, 0) < 0);
	ck_assert_int_eq(call_plainly(&g, VERB_RELEASE, lg), 0);
	ck_assert_int_eq(guest_answer(&h, &id, &results), 0);
	/* and by its death */
	ck_assert_int_eq(guest_tell(&g, VERB_ACQUIRE, lg, -1), 0);
	guest_close(&h);
	ck_assert_int_eq(guest_answer(&g, &id, &results), 0);

	bool has_died;

	ck_assert_int_eq(codec_get_bool(&results, &has_died), 0);
	ck_assert(has_died);
	guest_close(&g);
	stop();
}
END_TEST

/* ---- descriptors --------------------------------------------------------------------------- */

/* When they are used up, who comes is told so; who is there goes on; and when some
 * come free, who comes is let in. */
START_TEST(test_no_descriptors)
{
	struct server_config config = { .max_clients = 1000 };
	const struct rlimit few = { 40, 40 };
	struct guest guests[64], one;
	size_t n = 0;
	int r = 0;

	start(_i, config);
	ck_assert_int_eq(prlimit(server.pid, RLIMIT_NOFILE, &few, NULL), 0);
	for (; n < 64; n++) {
		r = guest_try_connect(&guests[n], server.address);
		ck_assert_int_eq(r, 0);
		r = guest_greet(&guests[n], KEY);
		if (r < 0) {
			guest_close(&guests[n]);
			break;
		}
	}
	ck_assert_int_eq(r, -EMFILE);
	ck_assert_uint_gt(n, 10);
	/* the next one is told later: there is a pause */
	guest_connect(&one, server.address);
	ck_assert_int_lt(guest_wait(&one, POLLIN, SERVER_PAUSE_USEC / 4000), 0);
	ck_assert_int_eq(guest_prepare(&one, KEY), -EMFILE);
	guest_close(&one);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(guest_ping(&guests[i]), 0);
	for (size_t i = 0; i < n; i++)
		guest_close(&guests[i]);
	guest_join(&one, server.address, KEY); /* after a pause */
	guest_close(&one);
	stop();
}
END_TEST

/* ---- the end --------------------------------------------------------------------------------- */

static bool is_bye(struct guest *g)
{
	struct reader results;
	int64_t id = -1;
	int r;

	do
		r = guest_answer(g, &id, &results);
	while (r == 0);
	return r == -ESHUTDOWN && id == 0;
}

/* All are told, also those who wait, or have not shown who they are. */
START_TEST(test_bye)
{
	struct guest idle, waiting, fresh;
	int status;

	start_plain(_i);
	guest_join(&idle, server.address, KEY);
	guest_join(&waiting, server.address, KEY);
	ck_assert_int_eq(
		guest_tell(&waiting, VERB_WAIT,
			   guest_open(&waiting, REEVE_OBJECT_EVENT, "e", 0),
			   -1),
		0);
	guest_connect(&fresh, server.address);
	ck_assert_int_eq(guest_prepare(&fresh, KEY), 0);
	ck_assert_int_eq(guest_ping(&idle), 0);
	ck_assert_int_eq(kill(server.pid, SIGTERM), 0);
	ck_assert(is_bye(&idle));
	ck_assert(is_bye(&waiting));
	ck_assert(guest_is_ended(&idle));
	ck_assert(guest_is_ended(&waiting));
	ck_assert(guest_is_ended(&fresh));
	ck_assert_int_eq(waitpid(server.pid, &status, 0), server.pid);
	ck_assert_int_eq(status, 0);
	guest_close(&idle);
	guest_close(&waiting);
	guest_close(&fresh);
}
END_TEST

/* What was answered before the end is in the last snapshot, and nothing else. */
START_TEST(test_the_last_snapshot)
{
	struct server_config config = { .snapshot = unit_path("snapshot") };
	struct guest g;
	struct buf b = BUF_INIT(0);
	struct reader results;
	int64_t v, id, last = 0;

	start(_i, config);
	guest_join(&g, server.address, KEY);
	v = guest_open(&g, REEVE_OBJECT_VALUE, "v", 0);
	for (int i = 0; i < 1000; i++)
		add_int(&g, &b, VERB_VALUE_ADD, v, 1);
	ck_assert_int_eq(guest_send(&g, b.data, b.len), 0);
	ck_assert_int_eq(answer_int(&g), 1);
	ck_assert_int_eq(kill(server.pid, SIGTERM), 0);
	last = 1;
	while (guest_answer(&g, &id, &results) == 0 && id > 0)
		ck_assert_int_eq(codec_get_int(&results, &last), 0);
	guest_close(&g);
	ck_assert_int_eq(waitpid(server.pid, NULL, 0), server.pid);

	start(_i, config);
	guest_join(&g, server.address, KEY);
	v = guest_open(&g, REEVE_OBJECT_VALUE, "v", 0);
	buf_clear(&b);
	add_int(&g, &b, VERB_VALUE_ADD, v, 0);
	ck_assert_int_eq(guest_send_buf(&g, &b), 0);
	ck_assert_int_eq(answer_int(&g), last);
	buf_done(&b);
	guest_close(&g);
	stop();
}
END_TEST

/* ---- a copy that is slow to begin ------------------------------------------------------- */

static struct {
	int n_forks; /* above this process */
	int says[2], waits[2];
} held;

/* The server is the first one to be forked, and its copy the second one. */
static void hold_copy(void)
{
	char c = 0;

	if (++held.n_forks == 2 && write(held.says[1], &c, 1) == 1)
		(void)!read(held.waits[0], &c, 1);
}

/* It sleeps, and does not see for ever that there is something to do. */
static bool falls_asleep(void)
{
	uint64_t end = clock_monotonic_usec() + GUEST_DEADLINE_MSEC * 1000;
	char path[64], state = 'R';

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", server.pid);
	while (state != 'S' && clock_monotonic_usec() < end) {
		FILE *f = fopen(path, "re");

		ck_assert_ptr_nonnull(f);
		ck_assert_int_eq(fscanf(f, "%*d %*s %c", &state), 1);
		ck_assert_int_eq(fclose(f), 0);
	}
	return state == 'S';
}

/* It still has all sockets: clients that end meanwhile are gone all the same. */
START_TEST(test_ends_while_a_copy_begins)
{
	struct server_config config = { .snapshot = unit_path("snapshot"),
					.snapshot_interval_usec = 1 };
	struct guest g, others[4];
	char c = 0;

	ck_assert_int_eq(pipe2(held.says, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(held.waits, O_CLOEXEC), 0);
	held.n_forks = 0;
	ck_assert_int_eq(pthread_atfork(NULL, NULL, hold_copy), 0);
	start(_i, config);
	guest_join(&g, server.address, KEY);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		guest_join(&others[i], server.address, KEY);
	ck_assert_int_ge(guest_open(&g, REEVE_OBJECT_VALUE, "v", 0), 0);
	ck_assert_int_eq(read(held.says[0], &c, 1), 1);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		guest_close(&others[i]);
	check_fds(1 + 1); /* one is of the copy */
	ck_assert_int_eq(guest_ping(&g), 0);
	ck_assert(falls_asleep());
	ck_assert_int_eq(write(held.waits[1], &c, 1), 1);
	guest_close(&g);
	stop();
	for (int i = 0; i < 2; i++) {
		fd_close(held.says[i]);
		fd_close(held.waits[i]);
	}
}
END_TEST

UNIT_LOOP_MAIN("manager_server", ATTACK_KINDS, test_cut_anywhere,
	       test_a_long_batch, test_the_largest_value, test_turns,
	       test_timeouts, test_handed_over, test_no_descriptors, test_bye,
	       test_the_last_snapshot, test_ends_while_a_copy_begins)
