/* The handshake's messages, in CBOR:
 *
 *   challenge  string "reeve-manager", int version, bytes number
 *   response   bytes number, bytes proof
 *   answer     bytes proof
 *   refusal    int -errno, in place of a challenge or an answer
 *
 * A proof is HMAC-SHA-256 of who proves it, the version, the server's number, the
 * client's number: each of a fixed size, so there is one way to read them. The
 * key of the HMAC is the SHA-256 of the authkey, whatever its length.
 */
#include "workers/manager/auth.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

#include "workers/base/pure/macro.h"
#include "workers/manager/codec.h"
#include "workers/manager/frame.h"
#include "workers/manager/protocol.h"

#define MAGIC "reeve-manager"
/* The kernel's MAX_ERRNO: what a refusal may say. */
#define ERROR_MAX 4095

_Static_assert(AUTH_PROOF == crypto_auth_hmacsha256_BYTES, "");
_Static_assert(sizeof(((struct auth *)NULL)->key) == crypto_hash_sha256_BYTES &&
		       crypto_hash_sha256_BYTES ==
			       crypto_auth_hmacsha256_KEYBYTES,
	       "");

void auth_init(struct auth *a, const void *authkey, size_t size)
{
	*a = (struct auth){ 0 };
	(void)crypto_hash_sha256(a->key, authkey, size);
}

void auth_done(struct auth *a)
{
	sodium_memzero(a, sizeof(*a));
}

int auth_random(void *ret, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = getrandom((char *)ret + done, size - done, 0);
		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

enum side { SIDE_CLIENT, SIDE_SERVER };

/* Knowledge of the key, by that side, in this handshake. */
static void prove(const struct auth *a, enum side side,
		  unsigned char ret[AUTH_PROOF])
{
	static const unsigned char said[][8] = {
		[SIDE_CLIENT] = { 'c', 'l', 'i', 'e', 'n', 't', 0,
				  PROTOCOL_VERSION },
		[SIDE_SERVER] = { 's', 'e', 'r', 'v', 'e', 'r', 0,
				  PROTOCOL_VERSION },
	};
	crypto_auth_hmacsha256_state state;

	_Static_assert(PROTOCOL_VERSION <= UINT8_MAX, "");
	crypto_auth_hmacsha256_init(&state, a->key, sizeof(a->key));
	crypto_auth_hmacsha256_update(&state, said[side], sizeof(said[side]));
	crypto_auth_hmacsha256_update(&state, a->server, sizeof(a->server));
	crypto_auth_hmacsha256_update(&state, a->client, sizeof(a->client));
	crypto_auth_hmacsha256_final(&state, ret);
	sodium_memzero(&state, sizeof(state));
}

static bool is_proved(const struct auth *a, enum side side,
		      const unsigned char proof[AUTH_PROOF])
{
	unsigned char wanted[AUTH_PROOF];

	prove(a, side, wanted);
	bool yes = sodium_memcmp(wanted, proof, sizeof(wanted)) == 0;
	sodium_memzero(wanted, sizeof(wanted));
	return yes;
}

/* Takes bytes of exactly that size. */
static int get_fixed(struct reader *r, unsigned char *ret, size_t size)
{
	const void *data;
	size_t n;

	int error = codec_get_bytes(r, &data, &n);
	if (error < 0 || n != size)
		return -EPROTO;
	memcpy(ret, data, size);
	return 0;
}

/* Does the message consist of a refusal? The errno it says; else 0. */
static int refusal(const struct reader *message)
{
	struct reader r = *message;
	int64_t error;

	if (codec_get_int(&r, &error) == 0 && reader_is_at_end(&r) &&
	    error < 0 && error >= -ERROR_MAX)
		return (int)error;
	return 0;
}

/* ---- the server's side ------------------------------------------------------ */

int auth_challenge(struct auth *a, const unsigned char number[AUTH_NUMBER],
		   struct buf *b)
{
	memcpy(a->server, number, sizeof(a->server));
	ssize_t begin = frame_begin(b);
	if (begin < 0)
		return (int)begin;
	(void)codec_put_string(b, MAGIC, strlen(MAGIC));
	(void)codec_put_int(b, PROTOCOL_VERSION);
	(void)codec_put_bytes(b, a->server, sizeof(a->server));
	return frame_end(b, (size_t)begin, AUTH_FRAME_MAX);
}

int auth_refuse(int error, struct buf *b)
{
	ssize_t begin = frame_begin(b);

	if (begin < 0)
		return (int)begin;
	(void)codec_put_int(b, error);
	return frame_end(b, (size_t)begin, AUTH_FRAME_MAX);
}

/* 0, -EACCES, -EPROTO */
static int check_response(struct auth *a, struct reader message)
{
	unsigned char proof[AUTH_PROOF];

	int error = get_fixed(&message, a->client, sizeof(a->client));
	if (error == 0)
		error = get_fixed(&message, proof, sizeof(proof));
	if (error < 0 || !reader_is_at_end(&message))
		return -EPROTO;
	return is_proved(a, SIDE_CLIENT, proof) ? 0 : -EACCES;
}

static int put_proof(const struct auth *a, struct buf *b)
{
	unsigned char proof[AUTH_PROOF];
	ssize_t begin = frame_begin(b);

	if (begin < 0)
		return (int)begin;
	prove(a, SIDE_SERVER, proof);
	(void)codec_put_bytes(b, proof, sizeof(proof));
	return frame_end(b, (size_t)begin, AUTH_FRAME_MAX);
}

int auth_accept(struct auth *a, const unsigned char *message, size_t size,
		struct buf *b)
{
	struct reader r = { message, size, 0 };

	int error = check_response(a, r);
	if (error == 0)
		return put_proof(a, b);
	(void)auth_refuse(error, b);
	return error;
}

/* ---- the client's side ------------------------------------------------------ */

/* 0, -EPROTO, or what a refusal says */
static int read_challenge(struct auth *a, struct reader message)
{
	const char *magic;
	size_t len;
	int64_t version;

	int error = refusal(&message);
	if (error < 0)
		return error;
	if (codec_get_string(&message, &magic, &len) < 0 ||
	    len != strlen(MAGIC) || memcmp(magic, MAGIC, len) != 0 ||
	    codec_get_int(&message, &version) < 0 ||
	    version != PROTOCOL_VERSION ||
	    get_fixed(&message, a->server, sizeof(a->server)) < 0 ||
	    !reader_is_at_end(&message))
		return -EPROTO;
	return 0;
}

int auth_respond(struct auth *a, const unsigned char *message, size_t size,
		 const unsigned char number[AUTH_NUMBER], struct buf *b)
{
	struct reader r = { message, size, 0 };
	unsigned char proof[AUTH_PROOF];

	int error = read_challenge(a, r);
	if (error < 0)
		return error;
	memcpy(a->client, number, sizeof(a->client));
	prove(a, SIDE_CLIENT, proof);
	ssize_t begin = frame_begin(b);
	if (begin < 0)
		return (int)begin;
	(void)codec_put_bytes(b, a->client, sizeof(a->client));
	(void)codec_put_bytes(b, proof, sizeof(proof));
	return frame_end(b, (size_t)begin, AUTH_FRAME_MAX);
}

int auth_confirm(const struct auth *a, const unsigned char *message,
		 size_t size)
{
	struct reader r = { message, size, 0 };
	unsigned char proof[AUTH_PROOF];

	int error = refusal(&r);
	if (error < 0)
		return error;
	if (get_fixed(&r, proof, sizeof(proof)) < 0 || !reader_is_at_end(&r))
		return -EPROTO;
	return is_proved(a, SIDE_SERVER, proof) ? 0 : -EACCES;
}
