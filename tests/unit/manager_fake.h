/* A server in a thread of the test, for clients: it shakes hands as a Manager does,
 * keeps nothing, and answers each request as its verb's row says (zeros, nil), or
 * as the test's own function wants it. So it can be as hostile as need be.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/manager/auth.h"
#include "workers/manager/client.h"
#include "workers/manager/frame.h"

#define FAKE_KEY     "a key"
#define FAKE_CLIENTS 16
#define SHORT_USEC   (300 * USEC_PER_MSEC) /* in place of seconds */

struct fake_request {
	int64_t id, verb, object;
	struct reader arguments;
	const unsigned char *data; /* the whole */
	size_t size;
};

struct fake_client {
	int fd, stage; /* of the handshake; 2: over */
	struct auth auth;
	struct buf in;
};

struct fake {
	char address[ADDRESS_TEXT_MAX];
	int listen_fd, stop_fd;
	pthread_t thread;
	unsigned char instance; /* each of its bytes */
	int generation;
	bool is_restored, has_objects; /* open: found, not made */
	bool hangs_up;		       /* at once */
	int refusal;		       /* in place of a challenge */
	const void *greeting;	       /* likewise, raw */
	size_t greeting_size;
	int version; /* in hello */
	/* 0: go on; 1: end the connection when out is sent. */
	int (*on_request)(struct fake *f, const struct fake_request *q,
			  struct buf *out);
	atomic_int n_connects, n_ends, n_requests, n_opens, n_pings;
	atomic_int command; /* a test's own */
	atomic_long value;
	struct fake_client clients[FAKE_CLIENTS];
};

/* ---- answers ------------------------------------------------------------------ */

static inline void fake_begin(struct buf *out, ssize_t *begin, int64_t id,
			      int64_t status)
{
	*begin = frame_begin(out);
	(void)codec_put_int(out, id);
	(void)codec_put_int(out, status);
}

static inline void fake_end(struct buf *out, ssize_t begin)
{
	(void)frame_end(out, (size_t)begin, FRAME_MAX);
}

static inline void fake_status(struct buf *out, int64_t id, int64_t status)
{
	ssize_t begin;

	fake_begin(out, &begin, id, status);
	fake_end(out, begin);
}

static inline void fake_results(struct fake *f, int64_t verb, struct buf *out)
{
	if (verb == VERB_OPEN) {
		(void)codec_put_int(out, atomic_fetch_add(&f->n_opens, 1) + 7);
		(void)codec_put_bool(out, !f->has_objects);
		(void)codec_put_bool(out, f->is_restored);
		return;
	}
	for (const char *l = verb_rows[verb].results; *l; l++)
		if (*l == 'i')
			(void)codec_put_int(out, 0);
		else if (*l == 'b')
			(void)codec_put_bool(out, false);
		else
			(void)codec_put_nil(out);
}

static inline int fake_answer(struct fake *f, const struct fake_request *q,
			      struct buf *out)
{
	ssize_t begin;

	fake_begin(out, &begin, q->id, 0);
	fake_results(f, q->verb, out);
	fake_end(out, begin);
	return 0;
}

/* ---- serving ------------------------------------------------------------------- */

static inline void fake_drop(struct fake *f, struct fake_client *c)
{
	if (c->fd < 0)
		return;
	c->fd = fd_close(c->fd);
	buf_done(&c->in);
	atomic_fetch_add(&f->n_ends, 1);
}

/* Blocks, as a simple server does. */
static inline void fake_send(struct fake_client *c, struct buf *out)
{
	size_t sent = 0;

	while (sent < out->len) {
		ssize_t n = send(c->fd, out->data + sent, out->len - sent,
				 MSG_NOSIGNAL);

		if (n < 0)
			break;
		sent += (size_t)n;
	}
	buf_clear(out);
}

static inline void fake_hello(const struct fake *f, struct buf *out)
{
	unsigned char instance[PROTOCOL_INSTANCE];
	ssize_t begin = frame_begin(out);

	memset(instance, f->instance, sizeof(instance));
	(void)codec_put_int(out, f->version);
	(void)codec_put_bytes(out, instance, sizeof(instance));
	(void)codec_put_int(out, f->generation);
	(void)codec_put_bool(out, f->is_restored);
	(void)codec_put_int(out, getpid());
	fake_end(out, begin);
}

static inline int fake_request(struct fake *f, const unsigned char *data,
			       size_t size, struct buf *out)
{
	struct fake_request q = { .data = data,
				  .size = size,
				  .arguments = { .data = data, .size = size } };

	if (codec_get_int(&q.arguments, &q.id) < 0 ||
	    codec_get_int(&q.arguments, &q.verb) < 0 ||
	    codec_get_int(&q.arguments, &q.object) < 0 || q.verb < 0 ||
	    q.verb >= VERB_COUNT)
		return 1;
	atomic_fetch_add(q.verb == VERB_PING ? &f->n_pings : &f->n_requests, 1);
	return f->on_request ? f->on_request(f, &q, out)
			     : fake_answer(f, &q, out);
}

static inline int fake_frame(struct fake *f, struct fake_client *c,
			     const unsigned char *data, size_t size,
			     struct buf *out)
{
	if (c->stage++ > 0)
		return fake_request(f, data, size, out);
	if (auth_accept(&c->auth, data, size, out) < 0)
		return 1;
	fake_hello(f, out);
	return 0;
}

static inline void fake_read(struct fake *f, struct fake_client *c)
{
	static char bytes[65536];
	struct buf out = BUF_INIT(0);
	const unsigned char *data;
	size_t size, used;
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
	int is_over = 0;

	if (n <= 0) {
		fake_drop(f, c);
		return;
	}
	(void)buf_append(&c->in, bytes, (size_t)n);
	for (size_t from = 0; !is_over;) {
		if (frame_next((const unsigned char *)c->in.data + from,
			       c->in.len - from, FRAME_MAX, &data, &size,
			       &used) != 1) {
			memmove(c->in.data, c->in.data + from,
				c->in.len - from);
			buf_truncate(&c->in, c->in.len - from);
			break;
		}
		is_over = fake_frame(f, c, data, size, &out);
		from += used;
		fake_send(c, &out);
	}
	buf_done(&out);
	if (is_over)
		fake_drop(f, c);
}

static inline void fake_accept(struct fake *f)
{
	const unsigned char number[AUTH_NUMBER] = { 1 };
	struct buf out = BUF_INIT(0);
	struct fake_client *c = f->clients;

	while (c->fd >= 0 && c < f->clients + FAKE_CLIENTS - 1)
		c++;
	c->fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (c->fd < 0)
		return;
	c->stage = 0;
	c->in = BUF_INIT(0);
	atomic_fetch_add(&f->n_connects, 1);
	auth_init(&c->auth, FAKE_KEY, strlen(FAKE_KEY));
	if (f->hangs_up)
		buf_clear(&out);
	else if (f->refusal != 0)
		(void)auth_refuse(f->refusal, &out);
	else if (f->greeting)
		(void)buf_append(&out, f->greeting, f->greeting_size);
	else
		(void)auth_challenge(&c->auth, number, &out);
	fake_send(c, &out);
	buf_done(&out);
	if (f->refusal != 0 || f->hangs_up)
		fake_drop(f, c);
}

static inline void *fake_serve(void *arg)
{
	struct fake *f = arg;
	struct pollfd p[FAKE_CLIENTS + 2] = {
		{ .fd = f->stop_fd, .events = POLLIN },
		{ .fd = f->listen_fd, .events = POLLIN },
	};

	for (;;) {
		for (int i = 0; i < FAKE_CLIENTS; i++)
			p[i + 2] = (struct pollfd){ .fd = f->clients[i].fd,
						    .events = POLLIN };
		(void)poll(p, FAKE_CLIENTS + 2, -1);
		if (p[0].revents)
			break;
		for (int i = 0; i < FAKE_CLIENTS; i++)
			if (p[i + 2].revents)
				fake_read(f, &f->clients[i]);
		if (p[1].revents)
			fake_accept(f);
	}
	for (int i = 0; i < FAKE_CLIENTS; i++)
		fake_drop(f, &f->clients[i]);
	return NULL;
}

/* ---- its life --------------------------------------------------------------------- */

/* A child that was just forked may not have closed its copy of the last one. */
static inline void fake_listen(struct fake *f)
{
	uint64_t end = clock_monotonic_usec() + 5 * USEC_PER_SEC;
	int r;

	while ((r = address_listen(f->address, &f->listen_fd, f->address)) ==
		       -EADDRINUSE &&
	       clock_monotonic_usec() < end)
		(void)poll(NULL, 0, 1);
	ck_assert_int_eq(r, 0);
}

/* At the same address as before, or at one of its own. */
static inline void fake_start(struct fake *f)
{
	if (!f->address[0])
		(void)snprintf(f->address, sizeof(f->address),
			       "unix:@reeve-fake-%d-%p", (int)getpid(),
			       (void *)f);
	fake_listen(f);
	f->stop_fd = eventfd(0, EFD_CLOEXEC);
	for (int i = 0; i < FAKE_CLIENTS; i++)
		f->clients[i].fd = -1;
	f->version = f->version ? f->version : PROTOCOL_VERSION;
	f->instance++;
	ck_assert_int_eq(pthread_create(&f->thread, NULL, fake_serve, f), 0);
}

/* Its connections end, as when a server is killed. */
static inline void fake_stop(struct fake *f)
{
	const uint64_t one = 1;

	ck_assert_int_eq(write(f->stop_fd, &one, sizeof(one)), sizeof(one));
	(void)pthread_join(f->thread, NULL);
	f->listen_fd = fd_close(f->listen_fd);
	f->stop_fd = fd_close(f->stop_fd);
}

static inline void fake_restart(struct fake *f)
{
	fake_stop(f);
	f->generation++;
	fake_start(f);
}

/* Waits for the fake's thread to count so far. */
static inline void fake_await(const atomic_int *count, int n)
{
	uint64_t end = clock_monotonic_usec() + 5 * USEC_PER_SEC;

	while (atomic_load(count) < n) {
		if (clock_monotonic_usec() > end)
			ck_abort_msg("%d of %d", atomic_load(count), n);
		(void)poll(NULL, 0, 1);
	}
}

static inline reeve_manager *fake_client(struct fake *f)
{
	reeve_manager *m = NULL;

	ck_assert_int_eq(reeve_manager_connect(f->address, FAKE_KEY,
					       strlen(FAKE_KEY),
					       5 * USEC_PER_SEC, &m),
			 0);
	m->answer_usec = m->reconnect_usec = SHORT_USEC;
	return m;
}

static inline reeve_proxy *fake_proxy(reeve_manager *m,
				      enum reeve_object_kind kind)
{
	reeve_proxy *p = NULL;

	ck_assert_int_ge(reeve_proxy_open(m, kind, "name", NULL, &p), 0);
	return p;
}
