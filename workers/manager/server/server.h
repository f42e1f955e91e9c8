/* The server: sockets on one side, the store on the other.
 *
 * Properties
 *   Single-threaded, one epoll. A client that is slow, wrong or hostile hurts nobody
 *   else: what it may use of time, memory and descriptors is bounded by the
 *   constants here and by struct server_config, and who passes a bound is
 *   disconnected.
 *   Reads and writes take many frames at a time: one system call each for whatever
 *   a client has sent, or is to be sent, at a time.
 * Operation
 *   server_run() runs until it gets SIGTERM: then it says to all that this is the
 *   end, writes the snapshot, and returns.
 *   What becomes of the start is told on report_fd, once.
 * Safety
 *   Runs in its own process (the keeper's child), with all signals blocked.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <reeve/manager.h>

#include "workers/manager/keeper.h"

#define SERVER_HANDSHAKE_USEC UINT64_C(5000000)
#define SERVER_HANDSHAKES_MAX 256 /* then the oldest is ended */
#define SERVER_HANDLES_MAX    65536
#define SERVER_WAITING_MAX    1024
/* A frame that has begun is to come at this rate at least, after this time. */
#define SERVER_FRAME_USEC UINT64_C(30000000)
#define SERVER_FRAME_RATE 16384 /* bytes a second */
/* Answers that are not read: beyond this nothing is read from that client. */
#define SERVER_OUTPUT_MARK ((size_t)1 << 20)
/* The largest answer fits, whatever the configuration says. */
#define SERVER_OUTPUT_MIN ((size_t)20 << 20)
#define SERVER_READ_BYTES 16384		   /* of one client at a time */
#define SERVER_TURN_USEC  1000		   /* for one client at a time, about */
#define SERVER_ACCEPTS	  64		   /* at a time */
#define SERVER_PAUSE_USEC UINT64_C(100000) /* no descriptors: no accepts */
#define SERVER_SPIN_USEC  50

struct server_config {
	int listen_fd; /* stays the caller's */
	const void *authkey;
	size_t authkey_size;
	const char *snapshot; /* NULL: none */
	uint64_t snapshot_interval_usec;
	unsigned max_clients;
	size_t max_objects, max_bytes, max_output_bytes;
	uint64_t generation; /* starts before this one */
	/* 0: SERVER_HANDSHAKE_USEC, SERVER_FRAME_USEC */
	uint64_t handshake_usec, frame_usec;
	int report_fd; /* a pipe; taken */
	int lock_fd;   /* of the snapshot; stays the caller's; or -1 */
};

/* What is written to report_fd: error is 0 when clients are accepted. Another start
 * would be in vain when is_final. */
struct server_report {
	int32_t error;
	uint32_t is_final;
	char reason[KEEPER_REASON_MAX];
};

/* Returns the exit code. */
int server_run(const struct server_config *config);
