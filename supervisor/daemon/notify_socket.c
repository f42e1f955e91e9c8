/* See notify_socket.h. Runs in the daemon's only thread. */
#include "supervisor/daemon/notify_socket.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/fd.h"

#define FDS_MAX 253 /* SCM_MAX_FD: the kernel sends no more at once */

union control {
	char data[CMSG_SPACE(sizeof(struct ucred)) +
		  CMSG_SPACE(sizeof(int) * FDS_MAX)];
	struct cmsghdr align;
};

static int remove_stale(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	return unlink(path) < 0 ? -errno : 0;
}

int notify_socket_open(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_(fd_closep) int fd = -1;
	size_t len = strlen(path);
	int r, yes = 1;

	if (len == 0 || len >= sizeof(address.sun_path))
		return len == 0 ? -EINVAL : -ENAMETOOLONG;
	memcpy(address.sun_path, path, len + 1);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* Before bind: no message without credentials gets in. */
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)) < 0)
		return -errno;
	r = remove_stale(path);
	if (r < 0)
		return r;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	if (chmod(path, 0666) < 0) {
		r = -errno;
		(void)unlink(path);
		return r;
	}
	return TAKE_FD(fd);
}

static size_t close_all(const struct cmsghdr *c)
{
	size_t n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	int fd;

	for (size_t i = 0; i < n_fds; i++) {
		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
		fd_close(fd);
	}
	return n_fds;
}

/* Reads the sender out of m, closes what came along. False: no sender. */
static bool read_control(struct msghdr *m, struct notify_datagram *d)
{
	bool has_sender = false;
	struct ucred who;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS) {
			d->n_fds += close_all(c);
		} else if (c->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&who, CMSG_DATA(c), sizeof(who));
			d->pid = who.pid;
			d->uid = who.uid;
			d->gid = who.gid;
			has_sender = true;
		}
	}
	return has_sender;
}

int notify_socket_receive(int fd, struct notify_datagram *ret_datagram)
{
	struct notify_datagram d;
	union control control;
	struct iovec iov = { d.data, sizeof(d.data) };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.data,
		.msg_controllen = sizeof(control.data),
	};
	bool has_sender;
	ssize_t n;

	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	d.pid = 0;
	d.n_fds = 0;
	d.len = (size_t)n;
	has_sender = read_control(&m, &d);
	if (!has_sender)
		return -EBADMSG;
	if (m.msg_flags & MSG_TRUNC)
		return -EMSGSIZE;
	*ret_datagram = d;
	return 0;
}
