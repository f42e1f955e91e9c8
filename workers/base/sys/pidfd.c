/* What pidfd.h says. A socket tells its reader who has written, by a pidfd, and
 * who has made the other end. So a child writes one byte before it does anything.
 */
#include "workers/base/sys/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/fd.h"

/* From Linux 6.5's headers, which Debian 12 does not have. */
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#define SO_PEERPIDFD 77
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

#define FDINFO_MAX_BYTES 4096

/* No process has this number: with the call it is EINVAL. */
static bool is_missing(void)
{
	return pidfd_open(-1, 0) < 0 && errno == ENOSYS;
}

int pidfd_of_self(void)
{
	int fd = fd_lift(pidfd_open(getpid(), 0)), pair[2], r;
	socklen_t size = sizeof(fd);

	if (fd >= 0 || errno != ENOSYS)
		return fd < 0 ? -errno : fd;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	r = getsockopt(pair[0], SOL_SOCKET, SO_PEERPIDFD, &fd, &size) < 0
		    ? -ENOSYS
		    : fd_lift(fd);
	fd_close(pair[0]);
	fd_close(pair[1]);
	return r;
}

/* The pidfd of whoever writes the byte. */
static int receive(int socket)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char byte;
	struct iovec part = { &byte, 1 };
	struct msghdr m = { .msg_iov = &part,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	const struct cmsghdr *c;
	ssize_t n;
	int fd;

	do
		n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&m);
	if (n == 0 || !c)
		return -ESRCH;
	if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_PIDFD)
		return -ENOSYS;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static pid_t fork_with_socket(int *ret_pidfd)
{
	static const int on = 1;
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = setsockopt(pair[0], SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on)) < 0
		      ? -ENOSYS
		      : fork();
	if (pid == -1)
		pid = -errno;
	if (pid == 0) /* pair[0] is open here too: no SIGPIPE */
		(void)fd_write_all(pair[1], "", 1);
	fd_close(pair[1]);
	if (pid > 0)
		*ret_pidfd = fd_lift(receive(pair[0]));
	fd_close(pair[0]);
	return pid;
}

pid_t pidfd_fork(int *ret_pidfd)
{
	pid_t pid;

	if (is_missing())
		return fork_with_socket(ret_pidfd);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid > 0) {
		*ret_pidfd = fd_lift(pidfd_open(pid, 0));
		if (*ret_pidfd < 0)
			*ret_pidfd = -errno;
	}
	return pid;
}

/* Pid: -1 is one that has been reaped. */
static int signal_by_number(int pidfd, int signo)
{
	_cleanup_(free_pointer) char *text = NULL;
	char path[sizeof("/proc/self/fdinfo/-2147483648")];
	const char *number;
	int r, pid;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	r = fd_read_file(AT_FDCWD, path, FDINFO_MAX_BYTES, &text, NULL);
	if (r < 0)
		return r == -ENOENT ? -EBADF : r;
	number = strstr(text, "\nPid:");
	if (!number)
		return -EBADF;
	pid = (int)strtol(number + strlen("\nPid:"), NULL, 10);
	if (pid <= 0)
		return -ESRCH;
	return kill(pid, signo) < 0 ? -errno : 0;
}

int pidfd_signal(int pidfd, int signo)
{
	if (pidfd_send_signal(pidfd, signo, NULL, 0) == 0)
		return 0;
	return errno == ENOSYS ? signal_by_number(pidfd, signo) : -errno;
}
