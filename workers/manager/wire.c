/* See wire.h. The common case is short: a request is sent at once, and its answer is
 * looked for, a short while again and again (spin.h: it takes less than to fall
 * asleep and to be woken); then one recv(2) waits for it, which the socket lets sleep
 * for WIRE_NAP_USEC. Only who may wait less, or has more to send, needs a poll(2).
 */
#include "workers/manager/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/manager/frame.h"

#define IN_SIZE	  ((size_t)64 << 10) /* at first, and again after a long frame */
#define KEEP_SIZE ((size_t)256 << 10)

void wire_begin(struct wire *w, int fd)
{
	const struct timeval nap = { .tv_sec = WIRE_NAP_USEC / USEC_PER_SEC };

	(void)fd_set_nonblocking(fd, false);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &nap, sizeof(nap));
	spin_init(&w->spin, WIRE_SPIN_USEC);
	w->fd = fd;
	buf_clear(&w->out);
	w->sent = w->from = w->to = 0;
	w->is_broken = false;
}

void wire_done(struct wire *w)
{
	buf_done(&w->out);
	free(w->in);
	*w = WIRE_INIT;
}

/* ---- sending ------------------------------------------------------------------ */

void wire_send(struct wire *w)
{
	ssize_t n = 0;

	while (wire_unsent(w) > 0) {
		n = send(w->fd, w->out.data + w->sent, wire_unsent(w),
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0) {
			w->sent += (size_t)n;
			w->moved += (size_t)n;
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != EINTR) {
			w->is_broken = true;
		}
	}
	if (w->is_broken)
		return;
	w->sent = 0;
	if (w->out.size > KEEP_SIZE)
		buf_done(&w->out);
	else
		buf_clear(&w->out);
}

/* ---- receiving ----------------------------------------------------------------- */

/* Room behind what has come. The buffer grows as bytes come, whatever a length
 * promises. */
static int make_room(struct wire *w)
{
	size_t len = w->to - w->from, size = w->size;
	unsigned char *in;

	if (len == 0)
		w->from = w->to = 0;
	if (w->to < w->size && (len > 0 || w->size <= KEEP_SIZE))
		return 0;
	if (len > 0 && w->from > 0)
		memmove(w->in, w->in + w->from, len);
	w->from = 0;
	w->to = len;
	if (len == 0)
		size = IN_SIZE;
	else if (len == w->size)
		size = 2 * w->size;
	if (size == w->size)
		return 0;
	in = realloc(w->in, size);
	if (!in)
		return -ENOMEM;
	w->in = in;
	w->size = size;
	return 0;
}

/* Returns 1, 0 (nothing there), -ECONNRESET. */
static int receive(struct wire *w, int flags)
{
	ssize_t n = recv(w->fd, w->in + w->to, w->size - w->to, flags);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -ECONNRESET;
	w->to += (size_t)n;
	w->moved += (size_t)n;
	return 1;
}

static int look_for_a_while(struct wire *w)
{
	uint64_t now;
	int r = 0;

	if (!spin_begin(&w->spin, &now))
		return 0;
	do
		r = receive(w, MSG_DONTWAIT);
	while (r == 0 && spin_go_on(&w->spin, &now));
	if (r != 0)
		spin_found(&w->spin);
	return r;
}

/* Until something comes or can be sent. Returns 0, -ETIMEDOUT. */
static int poll_until(const struct wire *w, uint64_t end_usec, uint64_t now)
{
	short events = (short)(POLLIN | (wire_unsent(w) > 0 ? POLLOUT : 0));
	struct pollfd p = { .fd = w->fd, .events = events };
	uint64_t left = usec_sub(end_usec, now);
	struct timespec t = {
		.tv_sec = (time_t)(left / USEC_PER_SEC),
		.tv_nsec = (long)(left % USEC_PER_SEC * 1000),
	};
	int n = ppoll(&p, 1, end_usec == USEC_INFINITY ? NULL : &t, NULL);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	return n == 0 ? -ETIMEDOUT : 0;
}

static int sleep_until(struct wire *w, uint64_t end_usec)
{
	uint64_t now = clock_monotonic_usec();
	int r;

	if (wire_unsent(w) == 0 && now + WIRE_NAP_USEC <= end_usec) {
		r = receive(w, 0);
	} else {
		r = poll_until(w, end_usec, now);
		r = r < 0 ? r : receive(w, MSG_DONTWAIT);
	}
	if (r == 1)
		spin_slept(&w->spin);
	return r;
}

int wire_wait(struct wire *w, uint64_t end_usec)
{
	int r = make_room(w);

	if (r < 0)
		return r;
	r = wire_unsent(w) > 0 ? receive(w, MSG_DONTWAIT) : look_for_a_while(w);
	if (r != 0)
		return r;
	if (w->is_broken) { /* and all that came is read? */
		r = receive(w, MSG_DONTWAIT);
		return r == 0 ? -ECONNRESET : r;
	}
	return sleep_until(w, end_usec);
}

int wire_next(struct wire *w, size_t max_bytes, const unsigned char **ret_data,
	      size_t *ret_size)
{
	size_t used;
	int r = frame_next(w->in + w->from, w->to - w->from, max_bytes,
			   ret_data, ret_size, &used);

	if (r == 1)
		w->from += used;
	return r;
}
