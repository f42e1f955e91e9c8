/* NOTIFY_SOCKET of the workers: one datagram socket for all.
 *
 * A message counts only when its sender, as the kernel names it, is the
 * worker's process or one of its tree; others are dropped and counted.
 * Messages are urgent (a heartbeat comes before the watchdog's timer) as long
 * as they are few; what senders make of more than a batch is read like log
 * data, when nothing else is to be done, until the socket has run dry.
 */
#pragma once

#include <stdint.h>

#include "supervisor/daemon/hub.h"
#include "supervisor/daemon/notify_socket.h"

struct daemon;

struct inbox {
	struct daemon *daemon;
	int fd;
	struct watch watch, flood; /* one of them watches fd */
	uint64_t n_refused;	   /* from nobody's process, or malformed */
};

/* Opens the socket at path. Returns 0 or -errno, logged. */
int inbox_init(struct daemon *d, const char *path);
void inbox_done(struct daemon *d);
