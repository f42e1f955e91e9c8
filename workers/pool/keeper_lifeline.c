/* Lifelines: how the keeper learns that a worker has closed everything, or executed
 * another program.
 *
 * A lifeline is a pipe whose write end only the worker has; its end of file says
 * so. To make one and to close it costs a fifth of what the fork does. So one serves
 * all the workers that follow each other on a seat, as long as each leaves within
 * ARM_USEC: for so long the keeper has the write end too, and there is no end of
 * file. Then it closes it, and the lifeline is armed: what happened before is seen
 * now, and the next worker has a new one.
 *
 * A lifeline passes on only when nobody but the keeper has it any more: its worker
 * left in peace, and there was no orphan. A seat without a worker has none.
 */
#include "workers/pool/keeper_room.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "workers/base/pure/usec.h"
#include "workers/base/sys/fd.h"
#include "workers/pool/keeper_event.h"

#define ARM_USEC UINT64_C(10000)

/* From the end of its lifeline to its death a worker that exits needs some
 * microseconds. One that lives on for this long was cut off. */
#define CUT_OFF_USEC UINT64_C(50000)

#define BYTES_READ 64 /* a worker writes one */

void lifeline_close(const struct keeper *k, size_t i)
{
	struct lifeline *l = &k->workers[i].lifeline;

	/* Children that are on their way to their exec may hold what we close. */
	if (l->fd >= 0)
		(void)epoll_ctl(k->epoll_fd, EPOLL_CTL_DEL, l->fd, NULL);
	l->fd = fd_close(l->fd);
	l->worker_fd = fd_close(l->worker_fd);
}

int lifeline_open(const struct keeper *k, size_t i)
{
	struct epoll_event e = { .events = EPOLLIN,
				 .data.u64 = EVENT_LIFELINE + i };
	struct lifeline *l = &k->workers[i].lifeline;
	int fds[2], r;

	if (l->fd >= 0)
		return 0;
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	l->worker_fd = fd_lift(fds[1]);
	l->fd = r = keeper_hide_fd(k, fds[0]);
	if (r >= 0 && k->keeps_lifelines)
		l->worker_fd = r = keeper_hide_fd(k, l->worker_fd);
	if (r >= 0)
		r = epoll_ctl(k->epoll_fd, EPOLL_CTL_ADD, l->fd, &e) < 0
			    ? -errno
			    : 0;
	if (r < 0)
		lifeline_close(k, i);
	return r;
}

static void arm(struct worker *w)
{
	w->lifeline.worker_fd = fd_close(w->lifeline.worker_fd);
}

void lifeline_begin(const struct keeper *k, size_t i)
{
	if (!k->keeps_lifelines) /* else the next one to be forked has it too */
		arm(&k->workers[i]);
}

/* A byte asks for leave. The end of the file: it has closed everything, or
 * executed, or is just exiting. */
void lifeline_read(const struct keeper *k, size_t i)
{
	struct worker *w = &k->workers[i];
	char bytes[BYTES_READ];
	ssize_t n = read(w->lifeline.fd, bytes, sizeof(bytes));

	if (n > 0) {
		w->has_asked = true;
	} else if (n == 0) {
		w->cut_off_usec = usec_add(k->now_usec, CUT_OFF_USEC);
		(void)epoll_ctl(k->epoll_fd, EPOLL_CTL_DEL, w->lifeline.fd,
				NULL);
	}
}

void lifeline_end(const struct keeper *k, size_t i, bool is_clean)
{
	const struct lifeline *l = &k->workers[i].lifeline;
	char bytes[BYTES_READ];

	/* It may have asked just now; more than it ever asks, and who knows what
	 * else there is. */
	if (!is_clean || l->worker_fd < 0 ||
	    read(l->fd, bytes, sizeof(bytes)) == sizeof(bytes))
		lifeline_close(k, i);
}

/* USEC_INFINITY: it is armed. */
static uint64_t arm_due_usec(const struct worker *w)
{
	return w->lifeline.worker_fd < 0 ? USEC_INFINITY
					 : usec_add(w->started_usec, ARM_USEC);
}

void lifeline_arm(const struct keeper *k)
{
	for (size_t i = 0; i < k->n_seats; i++)
		if (arm_due_usec(&k->workers[i]) <= k->now_usec)
			arm(&k->workers[i]);
}

uint64_t lifeline_next_usec(const struct keeper *k)
{
	uint64_t next = USEC_INFINITY;

	for (size_t i = 0; i < k->n_seats; i++)
		next = MIN(next, arm_due_usec(&k->workers[i]));
	return next;
}
