/* Fuzzes the handshake, as each side gets it from a stranger: the first byte says
 * whose side is tried, the others are what comes over the connection.
 *
 * Nobody gets in who does not know the key: a message that is not the very one an
 * honest peer would have sent is refused. The honest ones are in the corpus. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/manager/auth.h"
#include "workers/manager/codec.h"
#include "workers/manager/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const unsigned char server_number[AUTH_NUMBER] = { 1 };
static const unsigned char client_number[AUTH_NUMBER] = { 2 };

struct message {
	const unsigned char *data;
	size_t size;
};

/* The next frame of what has come; the same whether it comes at once or in
 * pieces. */
static bool next_message(struct message *left, struct message *ret)
{
	size_t used;

	int r = frame_next(left->data, left->size, AUTH_FRAME_MAX, &ret->data,
			   &ret->size, &used);
	reeve_assert(r == 0 || r == 1 || r == -EMSGSIZE);
	for (size_t n = 0; r == 1 && n < used; n++) {
		struct message m;
		size_t u;
		reeve_assert(frame_next(left->data, n, AUTH_FRAME_MAX, &m.data,
					&m.size, &u) == 0);
	}
	if (r <= 0)
		return false;
	reeve_assert(ret->size <= AUTH_FRAME_MAX);
	reeve_assert(used == ret->size + 4 && used <= left->size);
	left->data += used;
	left->size -= used;
	return true;
}

static struct message only_message(const struct buf *b)
{
	struct message all = { (const unsigned char *)b->data, b->len }, m;

	reeve_assert(next_message(&all, &m) && all.size == 0);
	return m;
}

static bool is_same(struct message a, struct message b)
{
	return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* Both know the key; what they say to each other with these numbers. */
struct honest {
	struct auth server, client;
	struct buf challenge, response, answer;
};

static void converse(struct honest *h)
{
	*h = (struct honest){ 0 };
	auth_init(&h->server, "key", 3);
	auth_init(&h->client, "key", 3);
	reeve_assert(auth_challenge(&h->server, server_number, &h->challenge) ==
		     0);
	struct message m = only_message(&h->challenge);
	reeve_assert(auth_respond(&h->client, m.data, m.size, client_number,
				  &h->response) == 0);
	m = only_message(&h->response);
	reeve_assert(auth_accept(&h->server, m.data, m.size, &h->answer) == 0);
	m = only_message(&h->answer);
	reeve_assert(auth_confirm(&h->client, m.data, m.size) == 0);
}

static void honest_done(struct honest *h)
{
	auth_done(&h->server);
	auth_done(&h->client);
	buf_done(&h->challenge);
	buf_done(&h->response);
	buf_done(&h->answer);
}

/* A server gets a response. */
static void try_server(const struct honest *h, struct message response)
{
	struct auth server;
	struct buf b = BUF_INIT(0);

	auth_init(&server, "key", 3);
	reeve_assert(auth_challenge(&server, server_number, &b) == 0);
	buf_clear(&b);
	int r = auth_accept(&server, response.data, response.size, &b);
	reeve_assert(r == 0 || r == -EACCES || r == -EPROTO);
	reeve_assert((r == 0) == is_same(response, only_message(&h->response)));
	/* its answer says so */
	struct message m = only_message(&b);
	reeve_assert(auth_confirm(&h->client, m.data, m.size) == r);
	buf_done(&b);
	auth_done(&server);
}

/* What a client answers to a challenge that somebody made up, a server that has
 * the key, and said this, would believe; and it says nothing to others. */
static void try_challenge(struct auth *client, struct message challenge)
{
	struct auth server;
	struct buf b = BUF_INIT(0), answer = BUF_INIT(0);

	int r = auth_respond(client, challenge.data, challenge.size,
			     client_number, &b);
	reeve_assert(r <= 0 && (r < 0) == (b.len == 0));
	if (r == 0) {
		struct message m = only_message(&b);
		auth_init(&server, "key", 3);
		memcpy(server.server, client->server, sizeof(server.server));
		reeve_assert(auth_accept(&server, m.data, m.size, &answer) ==
			     0);
		auth_done(&server);
	}
	buf_done(&b);
	buf_done(&answer);
}

/* A client that was challenged gets an answer. */
static void try_answer(const struct honest *h, struct message answer)
{
	int r = auth_confirm(&h->client, answer.data, answer.size);

	reeve_assert(r <= 0 && r >= -4095);
	reeve_assert((r == 0) == is_same(answer, only_message(&h->answer)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct honest h;
	struct message m;

	if (size == 0)
		return 0;
	struct message left = { data + 1, size - 1 };
	converse(&h);
	while (next_message(&left, &m)) {
		struct auth client;

		switch (data[0] % 3) {
		case 0:
			try_server(&h, m);
			break;
		case 1:
			auth_init(&client, "key", 3);
			try_challenge(&client, m);
			auth_done(&client);
			break;
		default:
			try_answer(&h, m);
		}
	}
	honest_done(&h);
	return 0;
}
