/* File descriptors: closing, marking, reading and writing whole things. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Closes fd when it is one; keeps errno; returns -1 ("fd = fd_close(fd)"). */
int fd_close(int fd);

/* For _cleanup_(fd_closep). */
void fd_closep(int *fd);

/* For what a library opens in somebody else's process: one that has closed its
 * standard descriptors would get it as one of these, and print into it, or give it
 * to a child as its input. An fd that is 0, 1 or 2 is moved (CLOEXEC), if there is
 * another one. Takes fd, which may be -1; returns what it is then; keeps errno. */
int fd_lift(int fd);

/* A copy of fd (CLOEXEC) that is none of these. Returns it, -EBADF or -EMFILE. */
int fd_copy(int fd);

/* The least number for F_DUPFD_CLOEXEC: not a standard descriptor. */
#define FD_OWN 3

/* Each returns 0 or -errno. */
int fd_set_nonblocking(int fd, bool on);
int fd_set_cloexec(int fd, bool on);

/* Writes all of data, going on after EINTR and short writes; for blocking
 * fds. Returns 0 or -errno. */
int fd_write_all(int fd, const void *data, size_t len);

/* Reads at most max_bytes of a regular file or a /proc file into a new,
 * NUL-terminated string (free it). dir_fd as for openat(2).
 * Returns 0; -EISDIR, -EFBIG (longer than max_bytes), -EINVAL (fifo, socket
 * or device), or what open/read said. Never blocks on a fifo. */
int fd_read_file(int dir_fd, const char *path, size_t max_bytes,
		 char **ret_text, size_t *ret_len);

/* Opens path and writes text to it in one write(2), as /proc and cgroup files
 * want it. Returns 0 or -errno. */
int fd_write_file(int dir_fd, const char *path, const char *text);

/* The number of open fds of this process, or -errno. */
int fd_count_open(void);

/* Waits until fd is readable or hung up; false after timeout_msec. */
bool fd_wait_readable(int fd, int timeout_msec);
