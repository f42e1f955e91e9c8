/* The handshake: both sides prove that they know the key, neither shows it.
 *
 * Properties
 *   HMAC-SHA-256 over fresh random numbers of both sides (libsodium), compared in
 *   constant time. A recorded handshake is worth nothing, since the server's
 *   number is another one each time; a proof of one side is none for the other
 *   (it is said whose it is); it is bound to the protocol's version. What comes
 *   after is neither encrypted nor authenticated.
 *   Frames of the handshake have at most AUTH_FRAME_MAX bytes.
 * Operation
 *     server -> client   challenge: magic, version, server's number
 *     client -> server   client's number, HMAC(key, "client" version numbers)
 *     server -> client   HMAC(key, "server" version numbers); or, and then it
 *                        ends the connection, the refusal: an errno
 *   Pure steps, without I/O: each takes the bytes of a message, and says what to
 *   send.
 * Safety
 *   Randomness comes from the caller (auth_random() asks the kernel), so that
 *   tests can repeat it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "workers/base/pure/buf.h"

#define AUTH_FRAME_MAX 256
#define AUTH_NUMBER    32 /* bytes */
#define AUTH_PROOF     32

struct auth {
	unsigned char key[32]; /* SHA-256 of the authkey */
	unsigned char server[AUTH_NUMBER], client[AUTH_NUMBER];
};

void auth_init(struct auth *a, const void *authkey, size_t size);
void auth_done(struct auth *a); /* wipes it */

/* Fills with random bytes. Returns 0 or -errno. */
int auth_random(void *ret, size_t size);

/* The server's side. The number is random and fresh. Messages are appended to b,
 * framed. */
int auth_challenge(struct auth *a, const unsigned char number[AUTH_NUMBER],
		   struct buf *b);
/* The client's message has come: 0, the answer is appended; -EACCES, -EPROTO: the
 * refusal is appended. */
int auth_accept(struct auth *a, const unsigned char *message, size_t size,
		struct buf *b);
/* A refusal by itself (-EUSERS, -ESHUTDOWN ...), in place of a challenge. */
int auth_refuse(int error, struct buf *b);

/* The client's side. The challenge has come: 0, the answer is appended; -EPROTO,
 * or what a refusal says. */
int auth_respond(struct auth *a, const unsigned char *message, size_t size,
		 const unsigned char number[AUTH_NUMBER], struct buf *b);
/* The server's answer has come: 0: it knows the key; -EACCES, -EPROTO, or what a
 * refusal says. */
int auth_confirm(const struct auth *a, const unsigned char *message,
		 size_t size);
