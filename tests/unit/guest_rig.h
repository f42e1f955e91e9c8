/* A client of a Manager made by hand, for tests: it says what it is told to, byte by
 * byte if need be, and waits for everything with a deadline. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <reeve/manager.h>

#include "tests/lib/unit.h"
#include "workers/base/sys/clock.h"
#include "workers/manager/address.h"
#include "workers/manager/auth.h"
#include "workers/manager/codec.h"
#include "workers/manager/frame.h"
#include "workers/manager/protocol.h"

#define GUEST_DEADLINE_MSEC 10000

struct guest {
	int fd;
	struct buf in;	 /* what has come */
	size_t used;	 /* of it: messages that were returned */
	struct buf said; /* the handshake's response, as it was sent */
	struct auth auth;
	int64_t id; /* of the last request */
};

struct guest_message {
	const unsigned char *data; /* until the next is received */
	size_t size;
};

static inline void guest_init(struct guest *g)
{
	*g = (struct guest){ .fd = -1 };
}

static inline void guest_close(struct guest *g)
{
	if (g->fd >= 0)
		close(g->fd);
	g->fd = -1;
	buf_done(&g->in);
	buf_done(&g->said);
	g->used = 0;
}

static inline int guest_try_connect(struct guest *g, const char *address)
{
	guest_init(g);
	return address_connect(address, GUEST_DEADLINE_MSEC * UINT64_C(1000),
			       &g->fd);
}

static inline void guest_connect(struct guest *g, const char *address)
{
	ck_assert_int_eq(guest_try_connect(g, address), 0);
}

/* Waits until the socket is ready for that; 0 or -ETIMEDOUT. */
static inline int guest_wait(const struct guest *g, short events, int msec)
{
	struct pollfd pfd = { g->fd, events, 0 };
	int r = poll(&pfd, 1, msec);

	return r > 0 ? 0 : -ETIMEDOUT;
}

/* Sends all of it. Returns 0; -EPIPE, -ECONNRESET: the server has ended the
 * connection; -ETIMEDOUT: it does not read. */
static inline int guest_send(struct guest *g, const void *data, size_t size)
{
	for (size_t sent = 0; sent < size;) {
		ssize_t n = send(g->fd, (const char *)data + sent, size - sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			sent += (size_t)n;
		else if (errno != EAGAIN)
			return -errno;
		else if (guest_wait(g, POLLOUT, GUEST_DEADLINE_MSEC) < 0)
			return -ETIMEDOUT;
	}
	return 0;
}

/* Sends b as it is, and empties it. */
static inline int guest_send_buf(struct guest *g, struct buf *b)
{
	ck_assert_int_eq(b->error, 0);
	int r = guest_send(g, b->data, b->len);
	buf_clear(b);
	return r;
}

/* Sends a frame with those bytes in it. */
static inline int guest_send_frame(struct guest *g, const void *data,
				   size_t size)
{
	struct buf b = BUF_INIT(0);
	ssize_t begin = frame_begin(&b);

	buf_append(&b, data, size);
	ck_assert_int_eq(frame_end(&b, (size_t)begin, UINT32_MAX), 0);
	int r = guest_send_buf(g, &b);
	buf_done(&b);
	return r;
}

/* Takes what is there; 1, or 0 at the end of the connection. */
static inline int guest_fill(struct guest *g, int msec)
{
	static char bytes[1 << 16];

	if (guest_wait(g, POLLIN, msec) < 0)
		return -ETIMEDOUT;
	ssize_t n = recv(g->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n <= 0)
		return 0;
	if (g->used == g->in.len) {
		buf_clear(&g->in);
		g->used = 0;
	}
	buf_append(&g->in, bytes, (size_t)n);
	return 1;
}

/* The next message: 1; 0: the connection has ended; -ETIMEDOUT. */
static inline int guest_recv_within(struct guest *g, struct guest_message *ret,
				    int msec)
{
	size_t used;

	for (;;) {
		int r = frame_next((unsigned char *)g->in.data + g->used,
				   g->in.len - g->used, FRAME_MAX, &ret->data,
				   &ret->size, &used);
		ck_assert_int_ge(r, 0);
		if (r > 0) {
			g->used += used;
			return 1;
		}
		r = guest_fill(g, msec);
		if (r <= 0)
			return r;
	}
}

static inline int guest_recv(struct guest *g, struct guest_message *ret)
{
	return guest_recv_within(g, ret, GUEST_DEADLINE_MSEC);
}

/* The server ends the connection, whatever it says before. */
static inline bool guest_is_ended(struct guest *g)
{
	int r;

	do
		r = guest_fill(g, GUEST_DEADLINE_MSEC);
	while (r > 0);
	return r == 0;
}

/* ---- the handshake ---------------------------------------------------------- */

/* Up to the point where the response is ready in said, but not sent. */
static inline int guest_prepare(struct guest *g, const char *key)
{
	unsigned char number[AUTH_NUMBER];
	struct guest_message m;

	int r = guest_recv(g, &m);
	if (r <= 0)
		return r < 0 ? r : -ECONNRESET;
	auth_init(&g->auth, key, strlen(key));
	ck_assert_int_eq(auth_random(number, sizeof(number)), 0);
	return auth_respond(&g->auth, m.data, m.size, number, &g->said);
}

/* All of it, and the hello. */
static inline int guest_greet(struct guest *g, const char *key)
{
	struct guest_message m;

	int r = guest_prepare(g, key);
	if (r < 0)
		return r;
	r = guest_send(g, g->said.data, g->said.len);
	if (r < 0)
		return r;
	r = guest_recv(g, &m);
	if (r <= 0)
		return r < 0 ? r : -ECONNRESET;
	r = auth_confirm(&g->auth, m.data, m.size);
	if (r < 0)
		return r;
	r = guest_recv(g, &m);
	return r > 0 ? 0 : -ECONNRESET;
}

static inline void guest_join(struct guest *g, const char *address,
			      const char *key)
{
	guest_connect(g, address);
	ck_assert_int_eq(guest_greet(g, key), 0);
}

/* ---- requests --------------------------------------------------------------- */

/* Begins a request in b; arguments are to be put behind it. */
static inline ssize_t guest_begin(struct guest *g, struct buf *b,
				  enum verb verb, int64_t object)
{
	ssize_t begin = frame_begin(b);

	codec_put_int(b, ++g->id);
	codec_put_int(b, verb);
	codec_put_int(b, object);
	return begin;
}

static inline void guest_end(struct buf *b, ssize_t begin)
{
	ck_assert_int_eq(frame_end(b, (size_t)begin, FRAME_MAX), 0);
}

/* The next answer: its id and status; results are left in *ret_results. */
static inline int guest_answer(struct guest *g, int64_t *ret_id,
			       struct reader *ret_results)
{
	struct guest_message m;
	int64_t status = 0;

	int r = guest_recv(g, &m);
	if (r <= 0)
		return r < 0 ? r : -ECONNRESET;
	*ret_results = (struct reader){ m.data, m.size, 0 };
	ck_assert_int_eq(codec_get_int(ret_results, ret_id), 0);
	ck_assert_int_eq(codec_get_int(ret_results, &status), 0);
	return (int)status;
}

/* Sends the request that stands in b, and waits for its answer; its status. */
static inline int guest_call(struct guest *g, struct buf *b, ssize_t begin,
			     struct reader *ret_results)
{
	int64_t id = g->id; /* stays when there is no answer */

	guest_end(b, begin);
	int r = guest_send_buf(g, b);
	buf_done(b);
	if (r < 0)
		return r;
	r = guest_answer(g, &id, ret_results);
	ck_assert_int_eq(id, g->id);
	return r;
}

static inline int guest_ping(struct guest *g)
{
	struct buf b = BUF_INIT(0);
	struct reader results;
	ssize_t begin = guest_begin(g, &b, VERB_PING, 0);

	return guest_call(g, &b, begin, &results);
}

/* Opens an object; its handle, or -errno. */
static inline int64_t guest_open(struct guest *g, enum reeve_object_kind kind,
				 const char *name, int64_t size)
{
	struct buf b = BUF_INIT(0);
	struct reader results;
	int64_t handle;
	ssize_t begin = guest_begin(g, &b, VERB_OPEN, 0);

	codec_put_int(&b, kind);
	codec_put_string(&b, name, strlen(name));
	codec_put_int(&b, size);
	codec_put_nil(&b);
	int r = guest_call(g, &b, begin, &results);
	if (r < 0)
		return r;
	ck_assert_int_eq(codec_get_int(&results, &handle), 0);
	return handle;
}

/* Sends a request with one integer, without waiting. */
static inline int guest_tell(struct guest *g, enum verb verb, int64_t object,
			     int64_t argument)
{
	struct buf b = BUF_INIT(0);
	ssize_t begin = guest_begin(g, &b, verb, object);

	codec_put_int(&b, argument);
	guest_end(&b, begin);
	int r = guest_send_buf(g, &b);
	buf_done(&b);
	return r;
}

/* The same, and its status. */
static inline int guest_ask(struct guest *g, enum verb verb, int64_t object,
			    int64_t argument)
{
	struct reader results;
	int64_t id;

	int r = guest_tell(g, verb, object, argument);
	return r < 0 ? r : guest_answer(g, &id, &results);
}
