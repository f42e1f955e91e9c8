/* The datagram socket behind NOTIFY_SOCKET: who sent what, as the kernel says.
 *
 * One socket for all workers, in the runtime directory, that every user may
 * write to: who is heard is decided by the sender's pid, which the kernel
 * vouches for, and not here. File descriptors that come along are closed at
 * once, which is also the answer to BARRIER=1.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "supervisor/daemon/notify.h"

struct notify_datagram {
	pid_t pid; /* 0: of another pid namespace */
	uid_t uid;
	gid_t gid;
	size_t n_fds; /* came along and were closed */
	size_t len;
	char data[NOTIFY_MESSAGE_MAX]; /* not terminated: notify_parse() */
};

/* Makes the socket at path (CLOEXEC, non-blocking, mode 0666), in place of one
 * that is left from earlier. The directory must be ours alone to write.
 * Returns the fd (the caller's) or -errno: -ENAMETOOLONG (108 bytes or more),
 * -EEXIST (path is something other than a socket). */
int notify_socket_open(const char *path);

/* Takes one message. Returns 0; -EAGAIN: none is waiting; -EMSGSIZE (too long)
 * or -EBADMSG (no credentials): one was thrown away, go on; anything else: the
 * socket is broken. */
int notify_socket_receive(int fd, struct notify_datagram *ret_datagram);
