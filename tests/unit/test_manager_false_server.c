/* What a client of a Manager makes of servers that are none, that do not know the
 * key, or that answer nonsense: an error, soon, and nothing else. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/unit/guest_rig.h"

#define KEY	   "the key"
#define SHORT_USEC UINT64_C(300000)
#define LONG_USEC  UINT64_C(15000000)

/* What the server does with a connection, until it ends it. */
typedef void script_fn(struct guest *g);

static struct {
	pid_t pid;
	char address[ADDRESS_TEXT_MAX];
} server;

static void serve(int listen_fd, script_fn *script)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		struct pollfd pfd = { listen_fd, POLLIN, 0 };
		struct guest g;

		guest_init(&g);
		(void)poll(&pfd, 1, -1);
		g.fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (g.fd < 0)
			continue;
		script(&g);
		guest_close(&g);
	}
}

static void start(script_fn *script)
{
	char wanted[64];
	int fd;

	(void)snprintf(wanted, sizeof(wanted), "unix:@reeve-false-%d",
		       getpid());
	ck_assert_int_eq(address_listen(wanted, &fd, server.address), 0);
	server.pid = fork();
	if (server.pid == 0)
		serve(fd, script);
	ck_assert_int_gt(server.pid, 0);
	close(fd);
}

static void stop(void)
{
	kill(server.pid, SIGKILL);
	ck_assert_int_eq(waitpid(server.pid, NULL, 0), server.pid);
}

/* ---- scripts of the handshake ----------------------------------------------- */

static void say_nothing(struct guest *g)
{
	(void)guest_is_ended(g);
}

static void hang_up(struct guest *g)
{
	(void)g;
}

static void say(struct guest *g, const void *data, size_t size)
{
	(void)guest_send(g, data, size);
	(void)guest_is_ended(g);
}

static void speak_http(struct guest *g)
{
	static const char text[] = "HTTP/1.1 400 Bad Request\r\n\r\n";

	say(g, text, strlen(text));
}

static void bomb(struct guest *g)
{
	say(g, "\xff\xff\xff\xff", 4);
}

/* One more byte than a message of the handshake has. */
static void say_too_much(struct guest *g)
{
	say(g, "\x01\x01\x00\x00", 4);
}

static void say_half(struct guest *g)
{
	(void)guest_send(g, "\x40\x00\x00\x00\x6d", 5);
}

static void challenge(struct guest *g, struct buf *b)
{
	unsigned char number[AUTH_NUMBER];

	auth_init(&g->auth, KEY, strlen(KEY));
	if (auth_random(number, sizeof(number)) < 0 ||
	    auth_challenge(&g->auth, number, b) < 0)
		_exit(1);
}

static void drip(struct guest *g)
{
	struct buf b = BUF_INIT(0);

	challenge(g, &b);
	for (size_t i = 0; i < b.len; i++)
		if (guest_send(g, b.data + i, 1) < 0 || guest_fill(g, 20) == 0)
			break;
	buf_done(&b);
}

static void refuse_users(struct guest *g)
{
	struct buf b = BUF_INIT(0);

	auth_refuse(-EUSERS, &b);
	(void)guest_send_buf(g, &b);
	buf_done(&b);
	(void)guest_is_ended(g);
}

/* Says the challenge, and gets the response. */
static bool hear_response(struct guest *g, struct guest_message *ret)
{
	struct buf b = BUF_INIT(0);

	challenge(g, &b);
	(void)guest_send_buf(g, &b);
	buf_done(&b);
	return guest_recv(g, ret) == 1;
}

static void prove_nothing(struct guest *g)
{
	static const unsigned char answer[2 + AUTH_PROOF] = { 0x58, 32 };
	struct guest_message m;

	if (hear_response(g, &m))
		(void)guest_send_frame(g, answer, sizeof(answer));
	(void)guest_is_ended(g);
}

static void reflect(struct guest *g)
{
	struct guest_message m;

	/* its last item is the client's proof */
	if (hear_response(g, &m))
		(void)guest_send_frame(g, m.data + m.size - 2 - AUTH_PROOF,
				       2 + AUTH_PROOF);
	(void)guest_is_ended(g);
}

/* Knows the key after all. */
static bool shake_hands(struct guest *g)
{
	struct buf b = BUF_INIT(0);
	struct guest_message m;
	bool done = hear_response(g, &m) &&
		    auth_accept(&g->auth, m.data, m.size, &b) == 0;

	(void)guest_send_buf(g, &b);
	buf_done(&b);
	return done;
}

static void greet_with_nonsense(struct guest *g)
{
	if (shake_hands(g))
		(void)guest_send_frame(g, "\xff", 1);
	(void)guest_is_ended(g);
}

static void greet_by_half(struct guest *g)
{
	if (shake_hands(g))
		(void)guest_send(g, "\x10\x00\x00\x00\x01", 5);
}

static void put_hello(struct buf *b, int version)
{
	static const char instance[PROTOCOL_INSTANCE];
	ssize_t begin = frame_begin(b);

	codec_put_int(b, version);
	codec_put_bytes(b, instance, sizeof(instance));
	codec_put_int(b, 0);
	codec_put_bool(b, false);
	codec_put_int(b, getpid());
	guest_end(b, begin);
}

static bool greet(struct guest *g, int version)
{
	struct buf b = BUF_INIT(0);
	bool done = shake_hands(g);

	put_hello(&b, version);
	(void)guest_send_buf(g, &b);
	buf_done(&b);
	return done;
}

static void greet_from_the_future(struct guest *g)
{
	(void)greet(g, PROTOCOL_VERSION + 1);
	(void)guest_is_ended(g);
}

static const struct {
	script_fn *script;
	int wanted; /* -errno */
} handshakes[] = {
	{ say_nothing, -ETIMEDOUT },
	{ hang_up, -ECONNRESET },
	{ speak_http, -EPROTO },
	{ bomb, -EPROTO },
	{ say_too_much, -EPROTO },
	{ say_half, -ECONNRESET },
	{ drip, -ETIMEDOUT },
	{ refuse_users, -EUSERS },
	{ prove_nothing, -EACCES },
	{ reflect, -EACCES },
	{ greet_with_nonsense, -EPROTO },
	{ greet_by_half, -ECONNRESET },
	{ greet_from_the_future, -EPROTO },
};

START_TEST(test_handshakes)
{
	for (size_t i = 0; i < ARRAY_SIZE(handshakes); i++) {
		int wanted = handshakes[i].wanted;
		bool is_short = wanted == -ETIMEDOUT || wanted == -ECONNRESET;
		uint64_t begun = clock_monotonic_usec();
		reeve_manager *m = NULL;

		start(handshakes[i].script);
		int r = reeve_manager_connect(server.address, KEY, strlen(KEY),
					      is_short ? SHORT_USEC : LONG_USEC,
					      &m);
		/* one that hangs up is tried again, until time is over */
		if (r == -ETIMEDOUT && wanted == -ECONNRESET)
			r = wanted;
		ck_assert_msg(r == wanted, "%zu: %d", i, r);
		ck_assert_ptr_null(m);
		ck_assert_uint_lt(clock_monotonic_usec() - begun,
				  LONG_USEC / 3);
		stop();
	}
}
END_TEST

/* ---- answers ---------------------------------------------------------------- */

/* What is said in place of an answer that is a value; has_id: behind the
 * request's id. */
#define ANSWERS(X)                                                             \
	X(false, "")                                                           \
	X(true, "")                                                            \
	X(true, "\x01")			 /* a status above 0 */                \
	X(true, "\x39\x13\x88")		 /* -5001 */                           \
	X(true, "\x60")			 /* no number */                       \
	X(true, "\x00")			 /* no result */                       \
	X(true, "\x00\xff")		 /* none that is one */                \
	X(true, "\x00\xa0\x01")		 /* and another one */                 \
	X(true, "\x20\xa0")		 /* an error has none */               \
	X(false, "\x01\x00\xa0")	 /* what nobody waits for */           \
	X(false, "\x00\x00\xa0")	 /* to nobody, and not the end */      \
	X(false, "\x20\x00\xa0")	 /* below 0 */                         \
	X(false, "\x19\x00\x03\x00\xa0") /* not the shortest */                \
	X(false, "\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x00\xa0")

static const struct {
	bool has_id;
	const char *bytes;
	size_t size;
} answers[] = {
#define X(has_id, bytes) { has_id, bytes, sizeof(bytes) - 1 },
	ANSWERS(X)
#undef X
};

static size_t which; /* of them */

/* The next request's id; 0: the connection has ended. */
static int64_t hear_request(struct guest *g)
{
	struct guest_message m;
	int64_t id = 0;

	if (guest_recv(g, &m) == 1) {
		struct reader r = { m.data, m.size, 0 };
		(void)codec_get_int(&r, &id);
	}
	return id;
}

static void answer_nonsense(struct guest *g)
{
	struct buf b = BUF_INIT(0);
	int64_t id;

	if (!greet(g, PROTOCOL_VERSION) || (id = hear_request(g)) == 0)
		return;
	ssize_t begin = frame_begin(&b);
	if (answers[which].has_id)
		codec_put_int(&b, id);
	buf_append(&b, answers[which].bytes, answers[which].size);
	guest_end(&b, begin);
	(void)guest_send_buf(g, &b);
	buf_done(&b);
	(void)guest_is_ended(g);
}

static void answer_bomb(struct guest *g)
{
	if (greet(g, PROTOCOL_VERSION) && hear_request(g) > 0)
		(void)guest_send(g, "\xff\xff\xff\xff", 4);
	(void)guest_is_ended(g);
}

/* A large answer begins, and the connection ends. */
static void answer_half(struct guest *g)
{
	if (greet(g, PROTOCOL_VERSION) && hear_request(g) > 0)
		(void)guest_send(g, "\x00\x00\x00\x01\x01", 5);
}

/* A call gets that error, and so does the next, on a new connection. */
static void check_calls(script_fn *script, int wanted)
{
	reeve_manager *m = NULL;
	struct reeve_any names = REEVE_ANY(7);

	start(script);
	ck_assert_int_eq(reeve_manager_connect(server.address, KEY, strlen(KEY),
					       LONG_USEC, &m),
			 0);
	for (int i = 0; i < 2; i++) {
		int r = reeve_manager_names(m, &names);
		ck_assert_msg(r == wanted, "%zu: %d", which, r);
		ck_assert_int_eq(names.integer, 7);
	}
	reeve_manager_free(m);
	stop();
}

START_TEST(test_answers)
{
	for (which = 0; which < ARRAY_SIZE(answers); which++)
		check_calls(answer_nonsense, -EPROTO);
}
END_TEST

START_TEST(test_halves_and_bombs)
{
	check_calls(answer_half, -ECONNRESET);
	check_calls(answer_bomb, -EPROTO);
}
END_TEST

UNIT_MAIN("false_server", test_handshakes, test_answers, test_halves_and_bombs)
