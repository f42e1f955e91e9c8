/* One connection.
 *
 * Bytes are read into memory that all peers share, and run from there; what is left
 * of them (half a frame, or whole ones when its turn is over) is copied into the
 * peer's own, which grows with what has come, not with what a length promises.
 *
 * What it is to be told is the output of its session, and is sent when the store has
 * nothing more to do: one system call for all. While more than SERVER_OUTPUT_MARK
 * is unsent, nothing is read or run: so a client gets as many answers as it
 * reads.
 */
#include "workers/manager/server/server_room.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/manager/codec.h"
#include "workers/manager/frame.h"

#define IN_MIN		1024
#define OUTPUT_KEEP	65536 /* larger ones are given back when empty */
#define REQUESTS_A_LOOK 4     /* between two looks at the clock */

/* ---- life --------------------------------------------------------------------------- */

static void set_state(struct peer *p, enum peer_state state)
{
	struct server *s = p->server;
	struct peers *lists[] = { [PEER_NEW] = &s->fresh,
				  [PEER_SERVED] = &s->served,
				  [PEER_GONE] = &s->gone };

	TAILQ_REMOVE(lists[p->state], p, in_state);
	s->n_fresh -= p->state == PEER_NEW;
	s->n_served -= p->state == PEER_SERVED;
	p->state = state;
	TAILQ_INSERT_TAIL(lists[state], p, in_state);
	s->n_served += state == PEER_SERVED;
}

/* These few bytes always fit into the buffer of a fresh socket. */
static int send_now(int fd, const struct buf *b)
{
	ssize_t n = send(fd, b->data, b->len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0)
		return -errno;
	return (size_t)n == b->len ? 0 : -EAGAIN;
}

static int send_challenge(struct peer *p)
{
	struct buf b = BUF_INIT(AUTH_FRAME_MAX + FRAME_HEAD);
	unsigned char number[AUTH_NUMBER];
	int r = auth_random(number, sizeof(number));

	p->auth = p->server->auth;
	if (r == 0)
		r = auth_challenge(&p->auth, number, &b);
	if (r == 0)
		r = send_now(p->fd, &b);
	buf_done(&b);
	return r;
}

int peer_new(struct server *s, int fd)
{
	struct peer *p = calloc(1, sizeof(*p));
	int r = p ? 0 : -ENOMEM;

	if (r < 0) {
		fd_close(fd);
		return r;
	}
	p->server = s;
	p->fd = fd;
	p->events = EPOLLIN;
	TAILQ_INSERT_TAIL(&s->fresh, p, in_state);
	s->n_fresh++;
	r = heap_set(&s->deadlines, &p->deadline,
		     usec_add(s->now_usec, s->handshake_usec));
	if (r == 0)
		r = server_watch(s, fd, p->events, p);
	if (r < 0 || send_challenge(p) < 0)
		peer_end(p);
	return r;
}

/* A copy of the server that writes a snapshot has the socket, too, until it has
 * closed it: as long it would stay open for the client, and watched for us. */
void peer_end(struct peer *p)
{
	if (p->state == PEER_GONE)
		return;
	heap_remove(&p->server->deadlines, &p->deadline);
	if (p->is_pending)
		TAILQ_REMOVE(&p->server->pending, p, in_pending);
	p->is_pending = false;
	set_state(p, PEER_GONE);
	(void)epoll_ctl(p->server->epoll_fd, EPOLL_CTL_DEL, p->fd, NULL);
	(void)shutdown(p->fd, SHUT_RDWR);
	p->fd = fd_close(p->fd);
	p->session = session_free(p->session);
	auth_done(&p->auth);
	free(p->in);
	p->in = NULL;
	p->in_size = p->in_begin = p->in_end = 0;
}

struct peer *peer_free(struct peer *p)
{
	if (!p)
		return NULL;
	peer_end(p);
	TAILQ_REMOVE(&p->server->gone, p, in_state);
	free(p);
	return NULL;
}

/* ---- epoll -------------------------------------------------------------------------- */

static size_t unsent(const struct peer *p)
{
	return p->session ? session_output(p->session)->len - p->n_sent : 0;
}

static bool may_run(const struct peer *p)
{
	return p->state != PEER_GONE && unsent(p) <= SERVER_OUTPUT_MARK;
}

static void watch(struct peer *p, bool to_read, bool to_write)
{
	struct epoll_event e = { .events = (to_read ? EPOLLIN : 0U) |
					   (to_write ? EPOLLOUT : 0U),
				 .data.ptr = p };

	if (e.events == p->events)
		return;
	p->events = e.events;
	if (epoll_ctl(p->server->epoll_fd, EPOLL_CTL_MOD, p->fd, &e) < 0)
		peer_end(p);
}

/* ---- the handshake -------------------------------------------------------------------- */

static int say_hello(struct peer *p)
{
	const struct server *s = p->server;
	struct buf *b = session_output(p->session);
	ssize_t begin = frame_begin(b);

	if (begin < 0)
		return (int)begin;
	(void)codec_put_int(b, PROTOCOL_VERSION);
	(void)codec_put_bytes(b, s->instance, sizeof(s->instance));
	(void)codec_put_int(b, (int64_t)s->config->generation);
	(void)codec_put_bool(b, s->is_restored);
	(void)codec_put_int(b, getpid());
	return frame_end(b, (size_t)begin, FRAME_MAX);
}

static int begin_session(struct peer *p, const struct buf *proof)
{
	struct buf *b;
	int r = session_new(p->server->store, p, &p->session);

	if (r < 0)
		return r;
	b = session_output(p->session);
	r = buf_append(b, proof->data, proof->len);
	if (r == 0)
		r = say_hello(p);
	if (r < 0)
		return r;
	heap_remove(&p->server->deadlines, &p->deadline);
	auth_done(&p->auth);
	set_state(p, PEER_SERVED);
	server_count(p->server);
	peer_flush(p);
	return 0;
}

static int shake_hands(struct peer *p, const unsigned char *message,
		       size_t size)
{
	struct server *s = p->server;
	struct buf b = BUF_INIT(AUTH_FRAME_MAX + FRAME_HEAD);
	int r = auth_accept(&p->auth, message, size, &b);

	if (r == 0 && s->n_served >= s->config->max_clients) {
		buf_clear(&b);
		(void)auth_refuse(-EUSERS, &b);
		r = -EUSERS;
	}
	if (r < 0) {
		s->n_refused++;
		server_count(s);
		(void)send_now(p->fd, &b);
	} else {
		r = begin_session(p, &b);
	}
	buf_done(&b);
	return r;
}

/* ---- frames ------------------------------------------------------------------------------ */

static size_t frame_max(const struct peer *p)
{
	return p->state == PEER_NEW ? AUTH_FRAME_MAX : FRAME_MAX;
}

static int run_frame(struct peer *p, const unsigned char *message, size_t size)
{
	struct server *s = p->server;

	if (p->state == PEER_NEW)
		return shake_hands(p, message, size);
	return store_request(s->store, p->session, message, size, s->now_usec);
}

static bool is_turn_over(struct server *s, unsigned n, uint64_t begun_usec)
{
	if (n % REQUESTS_A_LOOK != 0)
		return false;
	s->now_usec = clock_monotonic_usec();
	return s->now_usec - begun_usec >= SERVER_TURN_USEC;
}

/* Runs the whole frames in size bytes, as long as it may. Returns how many bytes
 * these were; *ret_more: there are others. */
static size_t run_frames(struct peer *p, const unsigned char *data, size_t size,
			 bool *ret_more)
{
	struct server *s = p->server;
	uint64_t begun_usec = s->now_usec;
	size_t used = 0;

	*ret_more = false;
	for (unsigned n = 1; p->state != PEER_GONE; n++) {
		const unsigned char *message;
		size_t message_size, frame_size;
		int r = frame_next(data + used, size - used, frame_max(p),
				   &message, &message_size, &frame_size);

		if (r == 0)
			break;
		*ret_more = r > 0 && !may_run(p);
		if (*ret_more)
			break;
		if (r > 0)
			r = run_frame(p, message, message_size);
		if (r < 0) {
			peer_end(p);
			break;
		}
		used += frame_size;
		*ret_more = is_turn_over(s, n, begun_usec);
		if (*ret_more)
			break;
	}
	return used;
}

/* Whole frames wait for their next turn; or, with too much output, for that to be
 * read. */
static void set_pending(struct peer *p)
{
	struct server *s = p->server;
	bool is_pending = p->has_frames && may_run(p);

	if (is_pending == p->is_pending)
		return;
	p->is_pending = is_pending;
	if (is_pending)
		TAILQ_INSERT_TAIL(&s->pending, p, in_pending);
	else
		TAILQ_REMOVE(&s->pending, p, in_pending);
}

/* 0: it is not there yet. */
static size_t frame_length(const struct peer *p)
{
	uint32_t length = 0;

	if (p->in_end - p->in_begin >= FRAME_HEAD)
		memcpy(&length, p->in + p->in_begin, sizeof(length));
	return le32toh(length);
}

/* A frame that has begun has to come, at some rate. */
static void set_frame_deadline(struct peer *p, bool is_new)
{
	struct server *s = p->server;
	uint64_t usec;

	if (p->state != PEER_SERVED)
		return;
	if (p->in_begin == p->in_end || p->has_frames) {
		heap_remove(&s->deadlines, &p->deadline);
		return;
	}
	if (is_new || !heap_contains(&p->deadline))
		p->frame_begun_usec = s->now_usec;
	usec = s->frame_usec +
	       frame_length(p) * USEC_PER_SEC / SERVER_FRAME_RATE;
	if (heap_set(&s->deadlines, &p->deadline,
		     usec_add(p->frame_begun_usec, usec)) < 0)
		peer_end(p);
}

void peer_on_time(struct peer *p)
{
	p->server->n_refused += p->state == PEER_NEW;
	peer_end(p);
}

/* ---- reading --------------------------------------------------------------------------- */

/* Keeps bytes that are not run. */
static int keep(struct peer *p, const unsigned char *data, size_t size)
{
	size_t in_size = MAX(size, (size_t)IN_MIN);

	if (size == 0)
		return 0;
	if (in_size > p->in_size) {
		unsigned char *in = realloc(p->in, in_size);

		if (!in)
			return -ENOMEM;
		p->in = in;
		p->in_size = in_size;
	}
	memcpy(p->in, data, size);
	p->in_begin = 0;
	p->in_end = size;
	return 0;
}

/* Room for more of a frame that has begun: twice what there is, but not more than
 * the frame has. */
static int make_room(struct peer *p)
{
	size_t n = p->in_end - p->in_begin, size = 2 * n + IN_MIN;
	unsigned char *in;

	if (frame_length(p) > 0)
		size = MIN(size, FRAME_HEAD + frame_length(p));
	size = MAX(size, n + SERVER_READ_BYTES / 4);
	if (p->in_begin > 0) {
		memmove(p->in, p->in + p->in_begin, n);
		p->in_begin = 0;
		p->in_end = n;
	}
	if (size <= p->in_size)
		return 0;
	in = realloc(p->in, size);
	if (!in)
		return -ENOMEM;
	p->in = in;
	p->in_size = size;
	return 0;
}

/* What is in p->in has been run up to used. */
static void settle_in(struct peer *p, size_t used, bool has_more)
{
	if (p->state == PEER_GONE)
		return;
	p->in_begin += used;
	if (p->in_begin == p->in_end) {
		free(p->in);
		p->in = NULL;
		p->in_begin = p->in_end = p->in_size = 0;
	}
	p->has_frames = has_more;
	set_pending(p);
	set_frame_deadline(p, used > 0);
}

static void run_in(struct peer *p)
{
	bool has_more;
	size_t used = run_frames(p, p->in + p->in_begin,
				 p->in_end - p->in_begin, &has_more);

	settle_in(p, used, has_more);
}

/* Returns how many bytes; 0: none at the moment; or the peer has ended. */
static size_t receive(struct peer *p, void *data, size_t size)
{
	ssize_t n = recv(p->fd, data, size, MSG_DONTWAIT);

	if (n > 0)
		return (size_t)n;
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		peer_end(p);
	return 0;
}

/* Nothing is kept: by way of the memory that all share. */
static void read_fresh(struct peer *p)
{
	unsigned char *scratch = p->server->scratch;
	size_t n = receive(p, scratch, SERVER_READ_BYTES), used;
	bool has_more;

	if (n == 0)
		return;
	used = run_frames(p, scratch, n, &has_more);
	if (p->state == PEER_GONE)
		return;
	if (keep(p, scratch + used, n - used) < 0) {
		peer_end(p);
		return;
	}
	settle_in(p, 0, has_more);
}

static void read_more(struct peer *p)
{
	size_t n;

	if (make_room(p) < 0) {
		peer_end(p);
		return;
	}
	n = receive(p, p->in + p->in_end, p->in_size - p->in_end);
	if (n == 0)
		return;
	p->in_end += n;
	run_in(p);
}

void peer_go_on(struct peer *p)
{
	if (may_run(p))
		run_in(p);
}

/* ---- writing ------------------------------------------------------------------------------ */

static void forget_sent(struct peer *p)
{
	struct buf *b = session_output(p->session);

	if (p->n_sent == b->len) {
		if (b->size > OUTPUT_KEEP)
			buf_done(b);
		else
			buf_clear(b);
		p->n_sent = 0;
	} else if (p->n_sent > b->len / 2) {
		memmove(b->data, b->data + p->n_sent, b->len - p->n_sent);
		buf_truncate(b, b->len - p->n_sent);
		p->n_sent = 0;
	}
}

void peer_flush(struct peer *p)
{
	struct buf *b;
	ssize_t n = 0;

	if (p->state == PEER_GONE)
		return;
	if (session_error(p->session) < 0) {
		peer_end(p);
		return;
	}
	b = session_output(p->session);
	if (unsent(p) > 0)
		n = send(p->fd, b->data + p->n_sent, unsent(p),
			 MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		peer_end(p);
		return;
	}
	p->n_sent += n > 0 ? (size_t)n : 0;
	forget_sent(p);
	set_pending(p);
	watch(p, may_run(p), unsent(p) > 0);
}

/* ---- events ----------------------------------------------------------------------------- */

void peer_on_event(struct peer *p, uint32_t events)
{
	if (p->state == PEER_GONE)
		return;
	if (events & EPOLLOUT)
		peer_flush(p);
	if (!may_run(p)) {
		/* what it was told it will not read any more */
		if (p->state != PEER_GONE && events & (EPOLLERR | EPOLLHUP))
			peer_end(p);
		return;
	}
	if (p->has_frames || !(events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
		return;
	if (p->in_end == p->in_begin)
		read_fresh(p);
	else
		read_more(p);
}
