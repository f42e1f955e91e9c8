/* See logpipe.h. Runs in the daemon's only thread. */
#include "supervisor/daemon/logpipe.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/fd.h"

int logpipe_open(struct logpipe *lp)
{
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	/* Not by pipe2(): the write end has to block. */
	r = fd_set_nonblocking(fds[0], true);
	if (r < 0) {
		fd_close(fds[0]);
		fd_close(fds[1]);
		return r;
	}
	*lp = (struct logpipe){ .read_fd = fds[0], .write_fd = fds[1] };
	return 0;
}

int logpipe_set_owner(const struct logpipe *lp, uid_t uid)
{
	return fchown(lp->write_fd, uid, (gid_t)-1) < 0 ? -errno : 0;
}

/* Reads up to budget bytes, and on to the end of a buffer. A short read means
 * that the pipe is empty: no further call is spent to hear it. */
static int read_some(struct logpipe *lp, size_t budget, logpipe_sink sink,
		     void *userdata)
{
	static char buffer[LOGPIPE_BUFFER];
	ssize_t n;

	while (budget > 0) {
		size_t want = MIN(budget, sizeof(buffer));

		n = read(lp->read_fd, buffer, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? LOGPIPE_EMPTY : -errno;
		if (n == 0)
			return LOGPIPE_EOF;
		sink(userdata, buffer, (size_t)n);
		if ((size_t)n < want)
			return LOGPIPE_EMPTY;
		budget -= (size_t)n;
	}
	return LOGPIPE_MORE;
}

int logpipe_read(struct logpipe *lp, logpipe_sink sink, void *userdata)
{
	return read_some(lp, LOGPIPE_BUDGET, sink, userdata);
}

int logpipe_drain(struct logpipe *lp, logpipe_sink sink, void *userdata)
{
	int n, r;

	if (ioctl(lp->read_fd, FIONREAD, &n) < 0)
		return -errno;
	/* One byte at least: an empty pipe is asked whether that is its end. */
	r = read_some(lp, n > 0 ? (size_t)n : 1, sink, userdata);
	return r == LOGPIPE_MORE ? LOGPIPE_EMPTY : r;
}

void logpipe_close_write(struct logpipe *lp)
{
	lp->write_fd = fd_close(lp->write_fd);
}

void logpipe_close(struct logpipe *lp)
{
	logpipe_close_write(lp);
	lp->read_fd = fd_close(lp->read_fd);
}
