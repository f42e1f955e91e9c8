/* Pipes: messages over a pair of sockets.
 *
 * A packet is a header {size, number of descriptors} and the message; if that is
 * too large for a packet, the header alone, with the descriptor of a slab
 * (slab.h) in front of the others. The kernel takes and gives a packet as a
 * whole, which makes all of this atomic: nothing here is locked.
 *
 * Who receives does not know what comes, and a packet that does not fit its
 * buffers is cut off by the kernel. So there is always room for the largest: the
 * caller's buffer, and behind it a tray, of which the handle keeps one. A message
 * that proves too large for the caller waits in its tray for the next call.
 *
 * When the other side goes and leaves messages unread, the kernel tells that
 * before it gives what the other side had sent: we remember it until the end.
 */
#include <reeve/pipe.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/shared/slab.h"

#define PACKET_MAGIC UINT32_C(0x72656532)
#define PACKET_FDS   (REEVE_PIPE_FDS_MAX + 1) /* with the slab's */
#define SMALL_MAX    4096 /* copied behind its header: one piece, one call */

struct header {
	uint32_t magic, n_fds; /* the slab's is not counted */
	uint64_t size;
};

/* A message on its way to the caller. */
struct tray {
	struct tray *next;
	struct header header;
	size_t n_in_buffer; /* this much of it lies in the caller's */
	int slab_fd;	    /* -1: none */
	int fds[PACKET_FDS];
	size_t n_fds;
	unsigned char data[REEVE_PIPE_INLINE_MAX];
};

struct reeve_connection {
	int fd;
	_Atomic bool was_reset;
	struct tray *_Atomic spare;
	struct tray *_Atomic waiting; /* were too large for who came first */
	struct slab_depot depot;
	struct slab_views views;
};

union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int) * PACKET_FDS)];
};

/* Not CMSG_SPACE(): the kernel would use its padding for one more. */
#define CONTROL_LENGTH CMSG_LEN(sizeof(int) * PACKET_FDS)

/* ---- waiting ------------------------------------------------------------------- */

static uint64_t end_of(uint64_t timeout_usec)
{
	if (timeout_usec == 0 || timeout_usec == REEVE_FOREVER)
		return timeout_usec;
	return usec_add(clock_monotonic_usec(), timeout_usec);
}

/* Until fd is ready for events, or end_usec: 0, -EAGAIN (it is 0), -ETIMEDOUT. */
static int wait_for(int fd, short events, uint64_t end_usec)
{
	struct pollfd p = { .fd = fd, .events = events };
	uint64_t now, left;
	struct timespec ts;
	int n;

	if (end_usec == 0)
		return -EAGAIN;
	now = end_usec == UINT64_MAX ? 0 : clock_monotonic_usec();
	if (now >= end_usec)
		return -ETIMEDOUT;
	left = end_usec - now;
	ts.tv_sec = (time_t)(left / USEC_PER_SEC);
	ts.tv_nsec = (long)(left % USEC_PER_SEC) * 1000;
	n = ppoll(&p, 1, end_usec == UINT64_MAX ? NULL : &ts, NULL);
	return n < 0 && errno != EINTR ? -errno : 0;
}

#define SEND_FLAGS(end)                                                        \
	(MSG_NOSIGNAL | ((end) == REEVE_FOREVER ? 0 : MSG_DONTWAIT))

/* ---- sending -------------------------------------------------------------------- */

/* After a call that failed: 0, try again; or -errno. */
static int wait_to_send(reeve_connection *c, uint64_t end_usec)
{
	if (errno == EAGAIN)
		return wait_for(c->fd, POLLOUT, end_usec);
	return errno == EINTR ? 0 : -errno;
}

static int send_packet(reeve_connection *c, const struct msghdr *packet,
		       uint64_t timeout_usec)
{
	uint64_t end = end_of(timeout_usec);
	int r = 0;

	while (r == 0 && sendmsg(c->fd, packet, SEND_FLAGS(end)) < 0)
		r = wait_to_send(c, end);
	return r;
}

/* A message of at most SMALL_MAX and nothing else: the plainer call is quicker. */
static int send_small(reeve_connection *c, const void *data, size_t size,
		      uint64_t timeout_usec)
{
	uint64_t end = end_of(timeout_usec);
	const struct header header = { PACKET_MAGIC, 0, size };
	unsigned char small[sizeof(header) + SMALL_MAX];
	int r = 0;

	memcpy(small, &header, sizeof(header));
	if (size > 0)
		memcpy(small + sizeof(header), data, size);
	size += sizeof(header);
	while (r == 0 && send(c->fd, small, size, SEND_FLAGS(end)) < 0)
		r = wait_to_send(c, end);
	return r;
}

/* fds: a packet that has them, and nothing else yet. */
static int send_in_packet(reeve_connection *c, const struct reeve_message *m,
			  const struct msghdr *fds, uint64_t timeout_usec)
{
	struct msghdr packet = *fds;
	struct header header = { PACKET_MAGIC, (uint32_t)m->n_fds,
				 m->size_bytes };
	struct iovec parts[2] = { { &header, sizeof(header) },
				  { m->data, m->size_bytes } };

	packet.msg_iov = parts;
	packet.msg_iovlen = 2;
	return send_packet(c, &packet, timeout_usec);
}

/* The same; the first is to be the slab's. */
static int send_in_slab(reeve_connection *c, const struct reeve_message *m,
			const struct msghdr *fds, uint64_t timeout_usec)
{
	struct msghdr packet = *fds;
	struct header header = { PACKET_MAGIC, (uint32_t)m->n_fds,
				 m->size_bytes };
	struct iovec part = { &header, sizeof(header) };
	struct slab *slab;
	int r;

	r = slab_take(&c->depot, m->data, m->size_bytes, &slab);
	if (r < 0)
		return r;
	memcpy(CMSG_DATA((struct cmsghdr *)packet.msg_control), &slab->fd,
	       sizeof(int));
	packet.msg_iov = &part;
	packet.msg_iovlen = 1;
	r = send_packet(c, &packet, timeout_usec);
	if (r < 0)
		slab_abandon(&c->depot, slab);
	else
		slab_keep(&c->depot, slab);
	return r;
}

int reeve_connection_send_message(reeve_connection *c,
				  const struct reeve_message *m,
				  uint64_t timeout_usec)
{
	struct msghdr packet = { 0 };
	union control control;
	struct cmsghdr *head;
	bool is_large;
	size_t n_fds;

	if (!c || !m || (!m->data && m->size_bytes > 0) ||
	    (!m->fds && m->n_fds > 0) || m->n_fds > REEVE_PIPE_FDS_MAX)
		return -EINVAL;
	if (m->size_bytes > REEVE_PIPE_MESSAGE_MAX)
		return -EMSGSIZE;
	is_large = m->size_bytes > REEVE_PIPE_INLINE_MAX;
	n_fds = m->n_fds + is_large;
	if (n_fds > 0) {
		packet.msg_control = &control;
		packet.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		memset(&control, 0, sizeof(control));
		head = &control.head;
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		if (m->n_fds > 0)
			memcpy(CMSG_DATA(head) + is_large * sizeof(int), m->fds,
			       m->n_fds * sizeof(int));
	}
	return (is_large ? send_in_slab : send_in_packet)(c, m, &packet,
							  timeout_usec);
}

int reeve_connection_send(reeve_connection *c, const void *data, size_t size,
			  uint64_t timeout_usec)
{
	/* never written through */
	struct reeve_message m = { .data = (void *)(uintptr_t)data,
				   .size_bytes = size };

	if (c && size <= SMALL_MAX && (data || size == 0))
		return send_small(c, data, size, timeout_usec);
	return reeve_connection_send_message(c, &m, timeout_usec);
}

/* ---- trays ------------------------------------------------------------------------ */

static struct tray *tray_take(reeve_connection *c)
{
	struct tray *t = atomic_exchange(&c->spare, NULL);

	if (!t)
		t = malloc(sizeof(*t));
	if (!t)
		return NULL;
	t->slab_fd = -1;
	t->n_fds = t->n_in_buffer = 0;
	return t;
}

static void tray_close(struct tray *t)
{
	t->slab_fd = fd_close(t->slab_fd);
	for (size_t i = 0; i < t->n_fds; i++)
		(void)fd_close(t->fds[i]);
	t->n_fds = 0;
}

/* Takes t, which is done with. */
static void tray_return(reeve_connection *c, struct tray *t)
{
	tray_close(t);
	free(atomic_exchange(&c->spare, t));
}

/* Takes t, for the next who receives. */
static void tray_leave(reeve_connection *c, struct tray *t)
{
	t->next = atomic_load(&c->waiting);
	while (!atomic_compare_exchange_weak(&c->waiting, &t->next, t))
		;
}

/* One that waits, or NULL. All are taken, and the others put back: so no other
 * thread can free what is looked at. */
static struct tray *tray_waiting(reeve_connection *c)
{
	struct tray *t, *other, *next;

	if (!atomic_load_explicit(&c->waiting, memory_order_relaxed))
		return NULL;
	t = atomic_exchange(&c->waiting, NULL);
	for (other = t ? t->next : NULL; other; other = next) {
		next = other->next;
		tray_leave(c, other);
	}
	return t;
}

/* ---- receiving ---------------------------------------------------------------------- */

/* Collects the descriptors of a packet, so that none is lost whatever it is. */
static void take_fds(struct msghdr *packet, struct tray *t)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(packet); h;
	     h = CMSG_NXTHDR(packet, h)) {
		size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		n = MIN(n, PACKET_FDS - t->n_fds);
		memcpy(t->fds + t->n_fds, CMSG_DATA(h), n * sizeof(int));
		for (; n > 0; n--, t->n_fds++)
			t->fds[t->n_fds] = fd_lift(t->fds[t->n_fds]);
	}
}

/* Is it a message? n bytes came. */
static int check_packet(struct tray *t, const struct msghdr *packet, size_t n)
{
	const struct header *h = &t->header;
	bool is_large;

	if (n < sizeof(*h) || h->magic != PACKET_MAGIC ||
	    packet->msg_flags & MSG_TRUNC || h->size > REEVE_PIPE_MESSAGE_MAX)
		return -EBADMSG;
	if (packet->msg_flags & MSG_CTRUNC)
		return -EMFILE; /* the kernel could not install them all */
	is_large = h->size > REEVE_PIPE_INLINE_MAX;
	if (t->n_fds != (size_t)h->n_fds + is_large ||
	    n != sizeof(*h) + (is_large ? 0 : h->size))
		return -EBADMSG;
	if (!is_large)
		return 0;
	t->slab_fd = t->fds[0];
	t->n_fds--;
	memmove(t->fds, t->fds + 1, t->n_fds * sizeof(int));
	return slab_check(t->slab_fd, h->size);
}

static int end_of_file(const reeve_connection *c)
{
	return atomic_load(&c->was_reset) ? -ECONNRESET : -EPIPE;
}

/* One packet into header, the caller's buffer, and the tray behind it. */
static int receive_packet(reeve_connection *c, struct tray *t,
			  const struct iovec *buffer, uint64_t end_usec)
{
	int flags = MSG_CMSG_CLOEXEC |
		    (end_usec == REEVE_FOREVER ? 0 : MSG_DONTWAIT);
	struct iovec parts[3] = {
		{ &t->header, sizeof(t->header) },
		{ buffer->iov_base, MIN(buffer->iov_len, sizeof(t->data)) },
	};
	union control control;
	struct msghdr packet = { .msg_iov = parts,
				 .msg_iovlen = 3,
				 .msg_control = &control,
				 .msg_controllen = CONTROL_LENGTH };
	ssize_t n;

	t->n_in_buffer = parts[1].iov_len;
	parts[2].iov_base = t->data + t->n_in_buffer;
	parts[2].iov_len = sizeof(t->data) - t->n_in_buffer;
	n = recvmsg(c->fd, &packet, flags);
	if (n <= 0)
		return n < 0 ? -errno : end_of_file(c);
	take_fds(&packet, t);
	return check_packet(t, &packet, (size_t)n);
}

static int receive(reeve_connection *c, struct tray *t,
		   const struct iovec *buffer, uint64_t timeout_usec)
{
	uint64_t end = end_of(timeout_usec);
	int r;

	while (r = receive_packet(c, t, buffer, end), r < 0) {
		if (r == -EAGAIN)
			r = wait_for(c->fd, POLLIN, end);
		else if (r == -ECONNRESET && !atomic_exchange(&c->was_reset, 1))
			r = 0;
		if (r < 0 && r != -EINTR)
			return r;
	}
	return 0;
}

/* The next message: one that waits, or from the socket; then *ret's header is
 * right, and tray_finish() or tray_leave() follows. */
static int next_message(reeve_connection *c, const struct iovec *buffer,
			uint64_t timeout_usec, struct tray **ret)
{
	struct tray *t = tray_waiting(c);
	int r;

	if (t) {
		*ret = t;
		return 0;
	}
	t = tray_take(c);
	if (!t)
		return -ENOMEM;
	r = receive(c, t, buffer, timeout_usec);
	if (r < 0)
		tray_return(c, t);
	else
		*ret = t;
	return r;
}

/* It stays the next. Takes t. */
static int too_small(reeve_connection *c, struct tray *t,
		     const struct iovec *buffer)
{
	size_t n = MIN(t->n_in_buffer, t->header.size);

	if (buffer->iov_base && n > 0 && t->slab_fd < 0)
		memcpy(t->data, buffer->iov_base, n);
	t->n_in_buffer = 0;
	tray_leave(c, t);
	return -EMSGSIZE;
}

/* Brings what is not yet in the buffer there. Takes t. */
static int tray_finish(reeve_connection *c, struct tray *t, void *buffer)
{
	size_t size = t->header.size, n = t->n_in_buffer;
	int r = 0;

	if (t->slab_fd >= 0)
		r = slab_read(&c->views, t->slab_fd, buffer, size);
	else if (size > n)
		memcpy((char *)buffer + n, t->data + n, size - n);
	tray_return(c, t);
	return r;
}

int reeve_connection_recv(reeve_connection *c, void *buffer, size_t size,
			  uint64_t timeout_usec, size_t *ret_size)
{
	const struct iovec into = { buffer, size };
	struct tray *t;
	size_t n;
	int r;

	if (!c || (!buffer && size > 0))
		return -EINVAL;
	r = next_message(c, &into, timeout_usec, &t);
	if (r < 0)
		return r;
	n = t->header.size;
	if (n > size)
		return too_small(c, t, &into);
	r = tray_finish(c, t, buffer);
	if (r == 0 && ret_size)
		*ret_size = n;
	return r;
}

int reeve_connection_recv_new(reeve_connection *c, uint64_t timeout_usec,
			      void **ret_data, size_t *ret_size)
{
	const struct iovec none = { NULL, 0 };
	_cleanup_(free_pointer) char *data = NULL;
	struct tray *t;
	size_t n;
	int r;

	if (!c || !ret_data || !ret_size)
		return -EINVAL;
	r = next_message(c, &none, timeout_usec, &t);
	if (r < 0)
		return r;
	n = t->header.size;
	data = malloc(n + 1);
	if (!data) {
		tray_leave(c, t);
		return -ENOMEM;
	}
	data[n] = 0;
	r = tray_finish(c, t, data);
	if (r < 0)
		return r;
	*ret_data = TAKE(data);
	*ret_size = n;
	return 0;
}

int reeve_connection_recv_message(reeve_connection *c, struct reeve_message *m,
				  uint64_t timeout_usec)
{
	struct iovec into;
	struct tray *t;
	size_t size, n_fds;
	int r;

	if (!c || !m || (!m->data && m->size_bytes > 0) ||
	    (!m->fds && m->n_fds > 0))
		return -EINVAL;
	into = (struct iovec){ m->data, m->size_bytes };
	r = next_message(c, &into, timeout_usec, &t);
	if (r < 0)
		return r;
	size = t->header.size;
	n_fds = t->n_fds;
	if (size > m->size_bytes || n_fds > m->n_fds)
		return too_small(c, t, &into);
	if (n_fds > 0)
		memcpy(m->fds, t->fds, n_fds * sizeof(int));
	t->n_fds = 0; /* the caller's now */
	r = tray_finish(c, t, m->data);
	for (size_t i = 0; r < 0 && i < n_fds; i++)
		(void)fd_close(m->fds[i]);
	if (r < 0)
		return r;
	m->size_bytes = size;
	m->n_fds = n_fds;
	return 0;
}

int reeve_connection_poll(reeve_connection *c, uint64_t timeout_usec)
{
	uint64_t end = end_of(timeout_usec);
	struct pollfd p = { .fd = c ? c->fd : -1, .events = POLLIN };
	int r = 0;

	if (!c)
		return -EINVAL;
	while (!atomic_load(&c->waiting) && r == 0) {
		if (poll(&p, 1, 0) > 0)
			return 1;
		r = wait_for(c->fd, POLLIN, end);
	}
	if (r == 0)
		return 1;
	return r == -EAGAIN || r == -ETIMEDOUT ? 0 : r;
}

/* ---- their life --------------------------------------------------------------------- */

/* Takes fd, also on failure. */
static int connection_new(int fd, reeve_connection **ret)
{
	reeve_connection *c = calloc(1, sizeof(*c));

	if (!c) {
		(void)fd_close(fd);
		return -ENOMEM;
	}
	c->fd = fd;
	*ret = c;
	return 0;
}

reeve_connection *reeve_connection_free(reeve_connection *c)
{
	struct tray *t;

	if (!c)
		return NULL;
	while ((t = tray_waiting(c)))
		tray_return(c, t);
	free(atomic_load(&c->spare));
	slab_depot_done(&c->depot);
	slab_views_done(&c->views);
	(void)fd_close(c->fd);
	free(c);
	return NULL;
}

int reeve_pipe_new(bool is_duplex, reeve_connection *ret_ends[2])
{
	reeve_connection *ends[2] = { NULL, NULL };
	int fds[2], r, other;

	if (!ret_ends)
		return -EINVAL;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	fds[0] = fd_lift(fds[0]);
	fds[1] = fd_lift(fds[1]);
	r = connection_new(fds[0], &ends[0]);
	other = connection_new(fds[1], &ends[1]);
	/* This stops the other direction at both ends. */
	if (r == 0 && other == 0 && !is_duplex && shutdown(fds[0], SHUT_WR) < 0)
		r = -errno;
	if (r < 0 || other < 0) {
		(void)reeve_connection_free(ends[0]);
		(void)reeve_connection_free(ends[1]);
		return r < 0 ? r : other;
	}
	ret_ends[0] = ends[0];
	ret_ends[1] = ends[1];
	return 0;
}

int reeve_connection_open(int fd, reeve_connection **ret)
{
	int type = 0, domain = 0;
	socklen_t size = sizeof(type);

	if (!ret)
		return -EINVAL;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0)
		return errno == EBADF ? -EBADF : -EBADMSG;
	if (type != SOCK_SEQPACKET || domain != AF_UNIX)
		return -EBADMSG;
	fd = fd_copy(fd);
	return fd < 0 ? fd : connection_new(fd, ret);
}

int reeve_connection_fd(const reeve_connection *c)
{
	return c ? c->fd : -EINVAL;
}
