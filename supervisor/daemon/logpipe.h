/* A pipe that a worker writes its output to and that is always drained.
 *
 * Properties
 *   The write end blocks, as programs expect of their stdout; the read end
 *   does not. No memory per pipe: all are read through one shared buffer of
 *   LOGPIPE_BUFFER bytes.
 *   The buffer is half of what a pipe holds: while one half is written to the
 *   file the worker fills the other. Measured with 64 KiB writes into ext4 on
 *   two idle CPUs (medians): 1.7 GB/s, against 0.9 with a buffer of 64 KiB,
 *   1.0 with cat(1), and 0.6 with splice(2), which could not part files at
 *   newlines either.
 * Operation
 *   logpipe_read() when the read end is readable; logpipe_drain() once when
 *   the worker is dead, so that all it wrote comes before what is said about
 *   its end. Neither waits for end of file: a grandchild may hold the pipe
 *   open for ever, and a flood from one may not starve the others.
 * Safety
 *   Not thread safe (the buffer). The sink must not call back into this
 *   module. Both fds are CLOEXEC.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#define LOGPIPE_BUFFER (32 * 1024)
#define LOGPIPE_BUDGET (256 * 1024) /* bytes read in one call, at most */

struct logpipe {
	int read_fd, write_fd; /* -1: closed */
};

#define LOGPIPE_INIT ((struct logpipe){ .read_fd = -1, .write_fd = -1 })

/* Returns 0 or -errno: -EMFILE, -ENFILE. */
int logpipe_open(struct logpipe *lp);

/* Lets processes of this user open the write end through /dev/stdout and
 * /proc/self/fd/1 too, as some programs do (root's pipe would be denied to
 * them). Returns 0 or -errno. */
int logpipe_set_owner(const struct logpipe *lp, uid_t uid);

enum logpipe_state {
	LOGPIPE_EMPTY, /* nothing more for now */
	LOGPIPE_MORE,  /* the budget is spent: call again after others */
	LOGPIPE_EOF,   /* no writer is left: stop watching, close */
};

/* Takes what was read; cannot refuse it. len is 1 to LOGPIPE_BUFFER. */
typedef void (*logpipe_sink)(void *userdata, const char *data, size_t len);

/* Reads at most LOGPIPE_BUDGET bytes into sink. Returns an enum
 * logpipe_state, or -errno (our own mistake: close it). */
int logpipe_read(struct logpipe *lp, logpipe_sink sink, void *userdata);

/* Reads what is in the pipe at this moment, and nothing that comes later.
 * Returns as logpipe_read(); never LOGPIPE_MORE. */
int logpipe_drain(struct logpipe *lp, logpipe_sink sink, void *userdata);

void logpipe_close_write(struct logpipe *lp);

/* Closes both ends; fine on a closed one. Writers that are left get SIGPIPE or
 * EPIPE instead of blocking for ever. */
void logpipe_close(struct logpipe *lp);
