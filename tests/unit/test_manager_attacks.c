/* What strangers, and clients that are no better, send to a Manager over real
 * sockets. Always: that connection ends (or is told), others are served meanwhile,
 * and the server's memory and descriptors are as before. */
#include "tests/unit/attack_rig.h"
#include "workers/base/pure/rng.h"

/* ---- strangers -------------------------------------------------------------- */

START_TEST(test_wrong_key)
{
	struct guest honest, stranger;

	start_plain(_i);
	guest_join(&honest, server.address, KEY);
	for (int i = 0; i < 50; i++) {
		guest_connect(&stranger, server.address);
		ck_assert_int_eq(guest_greet(&stranger, "the kez"), -EACCES);
		ck_assert(guest_is_ended(&stranger));
		guest_close(&stranger);
		ck_assert_int_eq(guest_ping(&honest), 0);
	}
	check_fds(1);
	guest_close(&honest);
	stop();
}
END_TEST

/* One who has heard all that an honest client and the server said. */
START_TEST(test_replay)
{
	struct guest honest, stranger;
	struct guest_message m;

	start_plain(_i);
	guest_join(&honest, server.address, KEY);
	guest_connect(&stranger, server.address);
	ck_assert_int_eq(guest_recv(&stranger, &m), 1);
	ck_assert_int_eq(guest_send_buf(&stranger, &honest.said), 0);
	ck_assert_int_eq(guest_recv(&stranger, &m), 1);
	auth_init(&stranger.auth, KEY, strlen(KEY));
	ck_assert_int_eq(auth_confirm(&stranger.auth, m.data, m.size), -EACCES);
	ck_assert(guest_is_ended(&stranger));
	guest_close(&stranger);
	ck_assert_int_eq(guest_ping(&honest), 0);
	guest_close(&honest);
	stop();
}
END_TEST

/* The server's proof, heard elsewhere, as if it were a client's. */
START_TEST(test_reflection)
{
	struct guest honest, stranger;
	struct guest_message m;
	struct buf b = BUF_INIT(0);
	const void *proof;
	size_t size;

	start_plain(_i);
	guest_connect(&honest, server.address);
	ck_assert_int_eq(guest_prepare(&honest, KEY), 0);
	guest_send(&honest, honest.said.data, honest.said.len);
	ck_assert_int_eq(guest_recv(&honest, &m), 1);
	struct reader r = { m.data, m.size, 0 };
	ck_assert_int_eq(codec_get_bytes(&r, &proof, &size), 0);
	codec_put_bytes(&b, honest.auth.client, AUTH_NUMBER);
	codec_put_bytes(&b, proof, size);
	guest_connect(&stranger, server.address);
	ck_assert_int_eq(guest_recv(&stranger, &m), 1);
	guest_send_frame(&stranger, b.data, b.len);
	ck_assert_int_eq(guest_recv(&stranger, &m), 1);
	ck_assert_uint_lt(m.size, AUTH_PROOF); /* a refusal */
	ck_assert(guest_is_ended(&stranger));
	buf_done(&b);
	guest_close(&stranger);
	guest_close(&honest);
	stop();
}
END_TEST

/* Sends that in place of a response; the server ends it. */
static void check_ended(const void *data, size_t size)
{
	struct guest stranger;

	guest_connect(&stranger, server.address);
	int r = guest_send(&stranger, data, size);
	ck_assert(r == 0 || r == -EPIPE || r == -ECONNRESET);
	ck_assert(guest_is_ended(&stranger));
	guest_close(&stranger);
}

START_TEST(test_garbage)
{
	static const char http[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	static const unsigned char tls[] = { 0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc };
	static const unsigned char empty[FRAME_HEAD];
	static const unsigned char ones[] = { 255, 255, 255, 255 };
	static unsigned char large[100000];
	struct guest honest;
	struct rng rng = { 1 };

	/* not by waiting for more */
	start(_i, (struct server_config){ .handshake_usec = 60000000 });
	guest_join(&honest, server.address, KEY);
	check_ended(http, sizeof(http));
	check_ended(tls, sizeof(tls));
	check_ended(empty, sizeof(empty));
	check_ended(ones, sizeof(ones));
	for (int i = 0; i < 20; i++) {
		for (size_t j = 0; j < sizeof(large); j++)
			large[j] = (unsigned char)rng_next(&rng);
		large[3] |= 1; /* a length that no response has */
		check_ended(large, sizeof(large));
		ck_assert_int_eq(guest_ping(&honest), 0);
	}
	/* the longest message of a handshake, and one byte more */
	memset(large, 0x40, sizeof(large));
	memcpy(large, "\0\1\0\0", FRAME_HEAD);
	check_ended(large, FRAME_HEAD + AUTH_FRAME_MAX);
	memcpy(large, "\1\1\0\0", FRAME_HEAD);
	check_ended(large, FRAME_HEAD);
	check_fds(1);
	guest_close(&honest);
	stop();
}
END_TEST

/* Requests without a handshake are no requests. */
START_TEST(test_before_the_handshake)
{
	struct guest stranger;
	struct buf b = BUF_INIT(0);

	guest_init(&stranger);
	start_plain(_i);
	guest_end(&b, guest_begin(&stranger, &b, VERB_PING, 0));
	check_ended(b.data, b.len);
	buf_done(&b);
	stop();
}
END_TEST

/* A part of a response, and then nothing more, or the end. */
START_TEST(test_half_a_response)
{
	struct guest honest, strangers[8];

	start(_i, (struct server_config){ .handshake_usec = 200000 });
	guest_join(&honest, server.address, KEY);
	for (size_t i = 0; i < ARRAY_SIZE(strangers); i++) {
		struct guest *g = &strangers[i];

		guest_connect(g, server.address);
		ck_assert_int_eq(guest_prepare(g, KEY), 0);
		guest_send(g, g->said.data, i * g->said.len / 8);
		if (i % 2 > 0)
			shutdown(g->fd, SHUT_WR);
	}
	ck_assert_int_eq(guest_ping(&honest), 0);
	for (size_t i = 0; i < ARRAY_SIZE(strangers); i++) {
		ck_assert(guest_is_ended(&strangers[i]));
		guest_close(&strangers[i]);
	}
	ck_assert_int_eq(guest_ping(&honest), 0);
	guest_close(&honest);
	stop();
}
END_TEST

/* Sends bytes one by one, while the honest one works; how many there were before
 * the server ended it. */
static size_t drip(struct guest *g, struct guest *honest, const struct buf *b)
{
	for (size_t i = 0; i < b->len; i++) {
		if (guest_send(g, b->data + i, 1) < 0 || guest_fill(g, 10) == 0)
			return i;
		ck_assert_int_eq(guest_ping(honest), 0);
	}
	return b->len;
}

START_TEST(test_byte_by_byte)
{
	static const char name[] = "a name of an object that nobody has";
	struct guest honest, stranger;
	struct buf b = BUF_INIT(0);

	start(_i, (struct server_config){ .handshake_usec = 150000,
					  .frame_usec = 150000 });
	guest_join(&honest, server.address, KEY);
	guest_connect(&stranger, server.address);
	ck_assert_int_eq(guest_prepare(&stranger, KEY), 0);
	size_t n = drip(&stranger, &honest, &stranger.said);
	ck_assert_uint_lt(n, stranger.said.len);
	guest_close(&stranger);
	/* and one who knows the key, with a request */
	guest_join(&stranger, server.address, KEY);
	ssize_t begin = guest_begin(&stranger, &b, VERB_DELETE, 0);
	codec_put_string(&b, name, strlen(name));
	guest_end(&b, begin);
	n = drip(&stranger, &honest, &b);
	ck_assert_uint_lt(n, b.len);
	buf_done(&b);
	guest_close(&stranger);
	guest_close(&honest);
	stop();
}
END_TEST

/* ---- clients ---------------------------------------------------------------- */

/* A request that is cut off anywhere, by the end. */
START_TEST(test_half_a_frame)
{
	struct guest honest, guest;
	struct buf b = BUF_INIT(0);
	size_t size = FRAME_HEAD + 1;

	start_plain(_i);
	guest_join(&honest, server.address, KEY);
	for (size_t n = 1; n < size; n++) {
		guest_join(&guest, server.address, KEY);
		guest_end(&b, guest_begin(&guest, &b, VERB_PING, 0));
		size = b.len;
		guest_send(&guest, b.data, n);
		shutdown(guest.fd, SHUT_WR);
		ck_assert(guest_is_ended(&guest));
		guest_close(&guest);
		buf_clear(&b);
		ck_assert_int_eq(guest_ping(&honest), 0);
	}
	buf_done(&b);
	check_fds(1);
	guest_close(&honest);
	stop();
}
END_TEST

START_TEST(test_deep)
{
	const size_t most = REEVE_ANY_DEPTH_MAX - 1; /* in a dict */
	struct guest honest, guest;
	unsigned char *deep = malloc(16 * MEBIBYTE);

	ck_assert_ptr_nonnull(deep);
	memset(deep, 0x81, 16 * MEBIBYTE);
	start_plain(_i);
	guest_join(&honest, server.address, KEY);
	guest_join(&guest, server.address, KEY);
	int64_t dict = guest_open(&guest, REEVE_OBJECT_DICT, "dict", 0);
	ck_assert_int_gt(dict, 0);
	ck_assert_int_eq(set_bytes(&guest, dict, deep, 16 * MEBIBYTE), -E2BIG);
	ck_assert_int_eq(guest_ping(&honest), 0);
	deep[most] = 0;
	ck_assert_int_eq(set_bytes(&guest, dict, deep, most + 1), 0);
	deep[most] = 0x81;
	deep[most + 1] = 0;
	ck_assert_int_eq(set_bytes(&guest, dict, deep, most + 2), -E2BIG);
	free(deep);
	guest_close(&guest);
	guest_close(&honest);
	stop();
}
END_TEST

/* Texts, lists and dicts that are promised to be long. */
START_TEST(test_long_values)
{
	static const char values[][10] = {
		"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
		"\x7b\x7f\xff\xff\xff\xff\xff\xff\xff",
		"\x9b\x00\x00\x00\x01\x00\x00\x00\x00",
		"\xbb\x80\x00\x00\x00\x00\x00\x00\x00",
	};
	struct guest honest, guest;

	start_plain(_i);
	guest_join(&honest, server.address, KEY);
	size_t before = memory_peak();
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		guest_join(&guest, server.address, KEY);
		int64_t dict = guest_open(&guest, REEVE_OBJECT_DICT, "d", 0);
		ck_assert_int_gt(dict, 0);
		ck_assert_int_eq(set_bytes(&guest, dict, values[i], 9),
				 -ECONNRESET);
		guest_close(&guest);
		ck_assert_int_eq(guest_ping(&honest), 0);
	}
	check_memory(before, 4 * MEBIBYTE);
	guest_close(&honest);
	stop();
}
END_TEST

/* Frames that are too long, or that many announce, and nobody sends. */
START_TEST(test_long_frames)
{
	static const char *const too_long[] = { "\xff\xff\xff\xff",
						"\x01\x10\x00\x01" };
	struct guest honest, guest, many[50];

	start_plain(_i);
	guest_join(&honest, server.address, KEY);
	size_t before = memory_peak();
	for (size_t i = 0; i < ARRAY_SIZE(too_long); i++) {
		guest_join(&guest, server.address, KEY);
		guest_send(&guest, too_long[i], FRAME_HEAD);
		ck_assert(guest_is_ended(&guest));
		guest_close(&guest);
	}
	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		guest_join(&many[i], server.address, KEY);
		guest_send(&many[i], "\x00\x10\x00\x01\x01", FRAME_HEAD + 1);
	}
	ck_assert_int_eq(guest_ping(&honest), 0);
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		guest_send(&many[i], "\x01", 1); /* a little goes on coming */
	ck_assert_int_eq(guest_ping(&honest), 0);
	check_memory(before, 4 * MEBIBYTE);
	check_fds(1 + (int)ARRAY_SIZE(many));
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		guest_close(&many[i]);
	guest_close(&honest);
	stop();
}
END_TEST

/* What is no request at all. */
START_TEST(test_no_requests)
{
	static const struct {
		const char *bytes;
		size_t size;
	} frames[] = {
		{ "", 0 },
		{ "\x01", 1 },
		{ "\x01\x00", 2 },
		{ "\x00\x00\x00", 3 },	       /* the id 0 */
		{ "\x20\x00\x00", 3 },	       /* -1 */
		{ "\x61\x61\x00\x00", 4 },     /* a string */
		{ "\x01\x18\x00\x00", 4 },     /* not the shortest */
		{ "\x01\x01\x00\xff", 4 },     /* no item */
		{ "\x01\x02\x00\x61\xff", 5 }, /* no UTF-8 */
		{ "\x01\x00\x9f", 3 },	       /* a list without a length */
		{ "\x1b\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00", 11 },
	};
	struct guest honest, guest;

	start_plain(_i);
	guest_join(&honest, server.address, KEY);
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		guest_join(&guest, server.address, KEY);
		guest_send_frame(&guest, frames[i].bytes, frames[i].size);
		ck_assert_msg(guest_is_ended(&guest), "%zu", i);
		guest_close(&guest);
		ck_assert_int_eq(guest_ping(&honest), 0);
	}
	guest_close(&honest);
	stop();
}
END_TEST

UNIT_LOOP_MAIN("attacks", ATTACK_KINDS, test_wrong_key, test_replay,
	       test_reflection, test_garbage, test_before_the_handshake,
	       test_half_a_response, test_byte_by_byte, test_half_a_frame,
	       test_deep, test_long_values, test_long_frames, test_no_requests)
