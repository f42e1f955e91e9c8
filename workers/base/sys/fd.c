/* Whole reads and writes on top of read(2), write(2) and open(2).
 *
 * Whatever is opened here is CLOEXEC at birth and never becomes our terminal.
 * close(2) is called once, also after EINTR: on Linux the fd is gone by then,
 * and a second call would close somebody else's.
 */
#include "workers/base/sys/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"

#define READ_MIN                                                               \
	4096 /* a first guess, for files of /proc, which have no size */

int fd_close(int fd)
{
	if (fd >= 0) {
		int saved = errno;

		(void)close(fd);
		errno = saved;
	}
	return -1;
}

void fd_closep(int *fd)
{
	*fd = fd_close(*fd);
}

/* Sets or clears one of the flags that get reads and set writes. */
static int set_flag(int fd, int get, int set, int flag, bool on)
{
	int flags = fcntl(fd, get);
	if (flags < 0)
		return -errno;

	int wanted = on ? flags | flag : flags & ~flag;
	if (wanted != flags && fcntl(fd, set, wanted) < 0)
		return -errno;
	return 0;
}

int fd_lift(int fd)
{
	int error = errno, lifted = -1;

	if (fd >= 0 && fd < FD_OWN)
		lifted = fcntl(fd, F_DUPFD_CLOEXEC, FD_OWN);
	if (lifted >= 0)
		fd_close(fd);
	errno = error;
	return lifted >= 0 ? lifted : fd;
}

int fd_copy(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, FD_OWN);

	if (copy >= 0)
		return copy;
	return errno == EINVAL ? -EMFILE : -errno; /* the limit is below that */
}

int fd_set_nonblocking(int fd, bool on)
{
	return set_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int fd_set_cloexec(int fd, bool on)
{
	return set_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

int fd_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Opens what can be read to its end. O_NONBLOCK is for a fifo without a
 * writer, at which open would wait; regular files do not know it. */
static int open_regular(int dir_fd, const char *path, struct stat *ret_st)
{
	_cleanup_(fd_closep) int fd = openat(
		dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return errno == ENXIO ? -EINVAL : -errno; /* a socket */
	if (fstat(fd, ret_st) < 0)
		return -errno;
	if (S_ISDIR(ret_st->st_mode))
		return -EISDIR;
	if (!S_ISREG(ret_st->st_mode))
		return -EINVAL;
	return TAKE_FD(fd);
}

/* Reads to the end of the file into *text of size bytes, which grows; its last
 * byte stays free. Stops as soon as there are more than max_bytes. */
static int read_to_end(int fd, size_t max_bytes, size_t size, char **text,
		       size_t *ret_len)
{
	size_t len = 0;

	for (;;) {
		ssize_t n = read(fd, *text + len, size - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max_bytes)
			return -EFBIG;
		if (len < size - 1)
			continue;

		char *larger =
			size <= SIZE_MAX / 2 ? realloc(*text, 2 * size) : NULL;
		if (larger == NULL)
			return -ENOMEM;
		*text = larger;
		size *= 2;
	}
	(*text)[len] = '\0';
	*ret_len = len;
	return 0;
}

int fd_read_file(int dir_fd, const char *path, size_t max_bytes,
		 char **ret_text, size_t *ret_len)
{
	_cleanup_(fd_closep) int fd = -1;
	_cleanup_(free_pointer) char *text = NULL;
	struct stat st = { 0 };
	size_t len = 0;

	fd = open_regular(dir_fd, path, &st);
	if (fd < 0)
		return fd;
	if (st.st_size > 0 && (uintmax_t)st.st_size > max_bytes)
		return -EFBIG;

	/* Two bytes more than it should be: the NUL, and one to see that the
	 * file has not grown meanwhile. */
	size_t size = MAX((size_t)st.st_size + 2, (size_t)READ_MIN);
	text = malloc(size);
	if (text == NULL)
		return -ENOMEM;
	int r = read_to_end(fd, max_bytes, size, &text, &len);
	if (r < 0)
		return r;
	*ret_text = TAKE(text);
	if (ret_len != NULL)
		*ret_len = len;
	return 0;
}

int fd_write_file(int dir_fd, const char *path, const char *text)
{
	_cleanup_(fd_closep) int fd =
		openat(dir_fd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	size_t len = strlen(text);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do
		n = write(fd, text, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int fd_count_open(void)
{
	int n = 0;

	DIR *dir = opendir("/proc/self/fd");
	if (dir == NULL)
		return -errno;
	for (const struct dirent *d; (d = readdir(dir)) != NULL;)
		n += d->d_name[0] != '.';
	(void)closedir(dir);
	return n - 1; /* that of dir */
}

bool fd_wait_readable(int fd, int timeout_msec)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_msec) > 0;
}
