/* New connections.
 *
 * Who has not shown yet that he knows the key can take little: a place among
 * SERVER_HANDSHAKES_MAX, of which the oldest is ended when all are taken (a true
 * client is through in a moment), and SERVER_HANDSHAKE_USEC.
 *
 * Without descriptors left, one is kept in reserve: given up, it accepts somebody,
 * who is told, instead of leaving all of them in the queue and the listener readable
 * for ever. Then nobody is accepted for a while.
 */
#include "workers/manager/server/server_room.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/fd.h"
#include "workers/manager/address.h"

static int open_reserve(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int listener_begin(struct server *s)
{
	s->reserve_fd = open_reserve();
	return server_watch(s, s->config->listen_fd, EPOLLIN,
			    watch_pointer(WATCH_LISTENER));
}

static void pause_accepts(struct server *s)
{
	struct epoll_event none = { 0 };

	s->resume_usec = usec_add(s->now_usec, SERVER_PAUSE_USEC);
	(void)epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, s->config->listen_fd,
			&none);
}

void listener_on_time(struct server *s)
{
	struct epoll_event e = { .events = EPOLLIN,
				 .data.ptr = watch_pointer(WATCH_LISTENER) };

	s->resume_usec = 0;
	if (s->reserve_fd < 0)
		s->reserve_fd = open_reserve();
	(void)epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, s->config->listen_fd, &e);
}

/* Says no, in place of a challenge. Takes fd. */
static void refuse(struct server *s, int fd, int error)
{
	struct buf b = BUF_INIT(AUTH_FRAME_MAX);

	s->n_refused++;
	if (auth_refuse(error, &b) == 0)
		(void)send(fd, b.data, b.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	buf_done(&b);
	fd_close(fd);
}

static int accept_one(const struct server *s)
{
	int fd = accept4(s->config->listen_fd, NULL, NULL,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

static void on_no_descriptors(struct server *s, int error)
{
	int fd;

	if (s->reserve_fd >= 0) {
		s->reserve_fd = fd_close(s->reserve_fd);
		fd = accept_one(s);
		if (fd >= 0)
			refuse(s, fd, error);
		s->reserve_fd = open_reserve();
	}
	pause_accepts(s);
}

static void take(struct server *s, int fd)
{
	struct peer *oldest;

	s->n_connections++;
	address_tune(fd);
	if (s->n_served >= s->config->max_clients) {
		refuse(s, fd, -EUSERS);
		return;
	}
	if (s->n_fresh >= SERVER_HANDSHAKES_MAX) {
		oldest = TAILQ_FIRST(&s->fresh);
		s->n_refused++;
		peer_end(oldest);
	}
	if (peer_new(s, fd) < 0)
		pause_accepts(s);
}

/* What is left after SERVER_ACCEPTS has its turn with the next one. */
void listener_on_event(struct server *s)
{
	for (int i = 0; i < SERVER_ACCEPTS && s->resume_usec == 0; i++) {
		int fd = accept_one(s);

		if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM ||
		    fd == -ENOBUFS)
			on_no_descriptors(s, fd);
		else if (fd >= 0)
			take(s, fd);
		else if (fd == -EAGAIN)
			break;
	}
}
