#include "workers/manager/auth.h"

#include <errno.h>
#include <string.h>

#include "tests/lib/unit.h"
#include "workers/manager/codec.h"
#include "workers/manager/frame.h"

/* Both sides of a handshake; what each has said last. */
struct handshake {
	struct auth server, client;
	struct buf challenge, response, answer;
};

static const unsigned char number_one[AUTH_NUMBER] = { 1 };
static const unsigned char number_two[AUTH_NUMBER] = { 2 };

static void begin(struct handshake *h, const char *server_key,
		  const char *client_key)
{
	*h = (struct handshake){ 0 };
	auth_init(&h->server, server_key, strlen(server_key));
	auth_init(&h->client, client_key, strlen(client_key));
}

static void end(struct handshake *h)
{
	auth_done(&h->server);
	auth_done(&h->client);
	buf_done(&h->challenge);
	buf_done(&h->response);
	buf_done(&h->answer);
}

/* The message in the one frame of b. */
static const unsigned char *message(const struct buf *b, size_t *ret_size)
{
	const unsigned char *data;
	size_t used;

	ck_assert_int_eq(frame_next((const unsigned char *)b->data, b->len,
				    AUTH_FRAME_MAX, &data, ret_size, &used),
			 1);
	ck_assert_uint_eq(used, b->len);
	return data;
}

static int challenge(struct handshake *h, const unsigned char *number)
{
	buf_clear(&h->challenge);
	return auth_challenge(&h->server, number, &h->challenge);
}

static int respond(struct handshake *h, const unsigned char *number)
{
	size_t size;
	const unsigned char *m = message(&h->challenge, &size);

	buf_clear(&h->response);
	return auth_respond(&h->client, m, size, number, &h->response);
}

static int accept_client(struct handshake *h)
{
	size_t size;
	const unsigned char *m = message(&h->response, &size);

	buf_clear(&h->answer);
	return auth_accept(&h->server, m, size, &h->answer);
}

static int confirm(struct handshake *h)
{
	size_t size;
	const unsigned char *m = message(&h->answer, &size);

	return auth_confirm(&h->client, m, size);
}

static void converse(struct handshake *h)
{
	ck_assert_int_eq(challenge(h, number_one), 0);
	ck_assert_int_eq(respond(h, number_two), 0);
	ck_assert_int_eq(accept_client(h), 0);
	ck_assert_int_eq(confirm(h), 0);
}

START_TEST(test_same_key)
{
	struct handshake h;

	begin(&h, "secret", "secret");
	converse(&h);
	end(&h);
	/* any length is a key, none too */
	begin(&h, "", "");
	converse(&h);
	end(&h);
}
END_TEST

/* Both are told, and the client cannot see what the server's proof would be. */
START_TEST(test_wrong_key)
{
	const char *wrong[] = { "Secret", "secre", "secret ", "" };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct handshake h;

		begin(&h, "secret", wrong[i]);
		ck_assert_int_eq(challenge(&h, number_one), 0);
		ck_assert_int_eq(respond(&h, number_two), 0);
		ck_assert_int_eq(accept_client(&h), -EACCES);
		ck_assert_int_eq(confirm(&h), -EACCES);
		ck_assert_uint_lt(h.answer.len, AUTH_PROOF);
		end(&h);
	}
}
END_TEST

/* A server that does not know the key says that all is well. */
START_TEST(test_false_server)
{
	struct handshake h, other;
	struct buf proof = BUF_INIT(0);

	begin(&h, "secret", "secret");
	begin(&other, "wrong", "wrong");
	converse(&other);
	ck_assert_int_eq(challenge(&h, number_one), 0);
	ck_assert_int_eq(respond(&h, number_two), 0);
	buf_append(&h.answer, other.answer.data, other.answer.len);
	ck_assert_int_eq(confirm(&h), -EACCES);
	/* It sends the client's own proof back to it. */
	buf_clear(&h.answer);
	ssize_t at = frame_begin(&proof);
	codec_put_bytes(&proof, h.response.data + h.response.len - AUTH_PROOF,
			AUTH_PROOF);
	frame_end(&proof, (size_t)at, AUTH_FRAME_MAX);
	buf_append(&h.answer, proof.data, proof.len);
	ck_assert_int_eq(confirm(&h), -EACCES);
	buf_done(&proof);
	end(&other);
	end(&h);
}
END_TEST

START_TEST(test_replay)
{
	struct handshake h;

	begin(&h, "secret", "secret");
	converse(&h);
	/* the same response to another challenge */
	ck_assert_int_eq(challenge(&h, number_two), 0);
	ck_assert_int_eq(accept_client(&h), -EACCES);
	/* and the server's old answer to a client that asks anew */
	ck_assert_int_eq(challenge(&h, number_one), 0);
	ck_assert_int_eq(respond(&h, number_two), 0);
	ck_assert_int_eq(accept_client(&h), 0);
	ck_assert_int_eq(respond(&h, number_one), 0);
	ck_assert_int_eq(confirm(&h), -EACCES);
	end(&h);
}
END_TEST

/* Every bit of every message counts. */
START_TEST(test_each_bit)
{
	struct handshake h;
	size_t size;

	begin(&h, "secret", "secret");
	converse(&h);
	const unsigned char *response = message(&h.response, &size);
	for (size_t bit = 0; bit < 8 * size; bit++) {
		unsigned char changed[AUTH_FRAME_MAX];

		memcpy(changed, response, size);
		changed[bit / 8] ^= (unsigned char)(1U << bit % 8);
		buf_clear(&h.answer);
		int r = auth_accept(&h.server, changed, size, &h.answer);
		ck_assert(r == -EACCES || r == -EPROTO);
		ck_assert_int_eq(confirm(&h), r);
	}
	ck_assert_int_eq(accept_client(&h), 0);
	const unsigned char *answer = message(&h.answer, &size);
	for (size_t bit = 0; bit < 8 * size; bit++) {
		unsigned char changed[AUTH_FRAME_MAX];

		memcpy(changed, answer, size);
		changed[bit / 8] ^= (unsigned char)(1U << bit % 8);
		int r = auth_confirm(&h.client, changed, size);
		ck_assert(r == -EACCES || r == -EPROTO);
	}
	end(&h);
}
END_TEST

START_TEST(test_cut_and_continued)
{
	struct handshake h;
	unsigned char longer[AUTH_FRAME_MAX] = { 0 };
	size_t size;

	begin(&h, "secret", "secret");
	converse(&h);
	struct buf sink = BUF_INIT(0);
	const struct buf *all[] = { &h.challenge, &h.response, &h.answer };
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		const unsigned char *m = message(all[i], &size);

		memcpy(longer, m, size);
		for (size_t n = 0; n <= size + 1; n++) {
			int r = 0;

			if (n == size)
				continue;
			buf_clear(&sink);
			if (i == 0)
				r = auth_respond(&h.client, longer, n,
						 number_two, &sink);
			else if (i == 1)
				r = auth_accept(&h.server, longer, n, &sink);
			else
				r = auth_confirm(&h.client, longer, n);
			ck_assert_int_eq(r, -EPROTO);
		}
		memset(longer, 0, sizeof(longer));
	}
	buf_done(&sink);
	end(&h);
}
END_TEST

START_TEST(test_refusals)
{
	const int errors[] = { -EUSERS, -ESHUTDOWN, -EACCES, -4095, -1 };
	const int no_errors[] = { 0, 1, -4096, -100000 };
	struct handshake h;

	begin(&h, "secret", "secret");
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		buf_clear(&h.challenge);
		buf_clear(&h.answer);
		ck_assert_int_eq(auth_refuse(errors[i], &h.challenge), 0);
		ck_assert_int_eq(auth_refuse(errors[i], &h.answer), 0);
		ck_assert_int_eq(respond(&h, number_two), errors[i]);
		ck_assert_uint_eq(h.response.len, 0);
		ck_assert_int_eq(confirm(&h), errors[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(no_errors); i++) {
		buf_clear(&h.challenge);
		buf_clear(&h.answer);
		ck_assert_int_eq(auth_refuse(no_errors[i], &h.challenge), 0);
		ck_assert_int_eq(auth_refuse(no_errors[i], &h.answer), 0);
		ck_assert_int_eq(respond(&h, number_two), -EPROTO);
		ck_assert_int_eq(confirm(&h), -EPROTO);
	}
	end(&h);
}
END_TEST

/* Another program, or another version, is not taken for a Manager. */
START_TEST(test_other_challenges)
{
	const struct {
		const char *magic;
		int version;
		size_t number;
	} others[] = {
		{ "reeve-manager", 2, 32 }, { "reeve-manager", 0, 32 },
		{ "reeve-manager", 1, 31 }, { "reeve-manager", 1, 33 },
		{ "reeve-manage", 1, 32 },  { "reeve-manageR", 1, 32 },
		{ "reeve-manager", 1, 32 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		static const unsigned char number[33];
		struct handshake h;

		begin(&h, "secret", "secret");
		ssize_t at = frame_begin(&h.challenge);
		codec_put_string(&h.challenge, others[i].magic,
				 strlen(others[i].magic));
		codec_put_int(&h.challenge, others[i].version);
		codec_put_bytes(&h.challenge, number, others[i].number);
		frame_end(&h.challenge, (size_t)at, AUTH_FRAME_MAX);
		bool is_last = i == ARRAY_SIZE(others) - 1;
		ck_assert_int_eq(respond(&h, number_two),
				 is_last ? 0 : -EPROTO);
		end(&h);
	}
}
END_TEST

/* RFC 4231 has no case for this: Python's hmac computed it, so that a change
 * of the protocol does not go unseen. */
START_TEST(test_known_proof)
{
	static const unsigned char wanted[AUTH_PROOF] = {
		0xd3, 0x37, 0xa9, 0x0b, 0x6a, 0x48, 0x25, 0x71,
		0xa1, 0xae, 0xd8, 0x4d, 0xf2, 0x9c, 0xed, 0xf0,
		0x9d, 0x5f, 0xcd, 0x8f, 0xaa, 0xac, 0x00, 0xc7,
		0xb5, 0xe3, 0x1b, 0x12, 0xcf, 0x0e, 0xd9, 0xfe
	};
	struct handshake h;

	begin(&h, "secret", "secret");
	ck_assert_int_eq(challenge(&h, number_one), 0);
	ck_assert_int_eq(respond(&h, number_two), 0);
	ck_assert_mem_eq(h.response.data + h.response.len - AUTH_PROOF, wanted,
			 AUTH_PROOF);
	end(&h);
}
END_TEST

START_TEST(test_done_wipes)
{
	struct handshake h;
	static const struct auth zero;

	begin(&h, "secret", "secret");
	converse(&h);
	auth_done(&h.server);
	ck_assert_mem_eq(&h.server, &zero, sizeof(zero));
	end(&h);
}
END_TEST

START_TEST(test_random)
{
	unsigned char a[300] = { 0 }, b[300] = { 0 };

	ck_assert_int_eq(auth_random(a, sizeof(a)), 0);
	ck_assert_int_eq(auth_random(b, sizeof(b)), 0);
	ck_assert_mem_ne(a, b, sizeof(a));
	ck_assert_mem_ne(a, a + 150, 150);
	ck_assert_int_eq(auth_random(NULL, 0), 0);
}
END_TEST

START_TEST(test_full_buffer)
{
	struct handshake h;

	begin(&h, "secret", "secret");
	h.challenge.max_bytes = 10;
	ck_assert_int_eq(challenge(&h, number_one), -EMSGSIZE);
	ck_assert_uint_eq(h.challenge.len, 0);
	end(&h);
}
END_TEST

UNIT_MAIN("auth", test_same_key, test_wrong_key, test_false_server, test_replay,
	  test_each_bit, test_cut_and_continued, test_refusals,
	  test_other_challenges, test_known_proof, test_done_wipes, test_random,
	  test_full_buffer)
