/* NOTIFY_SOCKET of the workers: one datagram socket for all.
 *
 * A message counts only when its sender, as the kernel names it, is the
 * worker's process or one of its tree; others are dropped and counted.
 * Messages are urgent as long as they are few. After INBOX_URGENT_MAX of them
 * the socket is read like log data, when nothing else is to be done, until it
 * has run dry once: however fast somebody sends, between any two such batches
 * everything else has had its turn. What must not be judged before it is heard
 * (READY and MAINPID before the sender's death, a heartbeat before the
 * watchdog) is fetched out of turn: inbox_catch_up().
 */
#pragma once

#include <stdint.h>

#include "supervisor/daemon/hub.h"
#include "supervisor/daemon/notify_socket.h"

#define INBOX_URGENT_MAX   64
#define INBOX_CATCH_UP_MAX 1024 /* of a queue that may be longer */

struct daemon;

struct inbox {
	struct daemon *daemon;
	int fd;
	struct watch watch, flood; /* one of them watches fd */
	unsigned n_urgent;	   /* read since the last time in its turn */
	unsigned queue_max;	   /* messages that the socket can hold */
	uint64_t caught_up;	   /* hub's n_looks then */
	uint64_t n_refused;	   /* from nobody's process, or malformed */
};

/* Opens the socket at path. Returns 0 or -errno, logged. */
int inbox_init(struct daemon *d, const char *path);
void inbox_done(struct daemon *d);

/* Hears what was sent before the loop's last look: to be called before a death
 * or a timer seen by that look is acted on. Bounded: reads at most what the
 * socket can hold, and once per look. May exchange a worker's pidfd (MAINPID)
 * and arm its timers. */
void inbox_catch_up(struct daemon *d);
