/* What the files of the server share, and nobody else includes.
 *
 *   server.c   the loop, what it waits for, the beginning and the end
 *   accept.c   new connections, their handshake's bounds, too many descriptors
 *   peer.c     one connection: bytes in, frames to the store, bytes out
 *   snapshot.c the file
 */
#pragma once

#include <sys/queue.h>

#include "workers/base/pure/heap.h"
#include "workers/base/sys/spin.h"
#include "workers/manager/auth.h"
#include "workers/manager/protocol.h"
#include "workers/manager/server/server.h"
#include "workers/manager/server/snapshot.h"
#include "workers/manager/server/store.h"

/* What an fd of the epoll is: the low bits of a peer's pointer are 0. */
enum watch {
	WATCH_LISTENER = 1,
	WATCH_SIGNALS,
	WATCH_SNAPSHOT,
	WATCH_END,
};

enum peer_state {
	PEER_NEW,    /* has been sent the challenge */
	PEER_SERVED, /* has a session */
	PEER_GONE,   /* to be freed when the turn is over */
};

struct peer {
	struct server *server;
	int fd;
	enum peer_state state;
	uint32_t events; /* that epoll watches for */
	struct auth auth;
	struct session *session;
	unsigned char *in; /* begin .. end: bytes of frames that are not whole,
			    * or not run yet */
	size_t in_begin, in_end, in_size;
	size_t n_sent;		   /* of the session's output */
	struct heap_node deadline; /* of the handshake, or of a frame */
	uint64_t frame_begun_usec;
	bool has_frames;	    /* whole ones, that are not run yet */
	bool is_pending;	    /* and may run them: is on the list */
	TAILQ_ENTRY(peer) in_state; /* new, served, gone */
	TAILQ_ENTRY(peer) in_pending;
};

TAILQ_HEAD(peers, peer);

struct server {
	const struct server_config *config;
	struct store *store;
	struct snapshot snapshot;
	int epoll_fd, signal_fd;
	int reserve_fd; /* given up to say no when there are no others; or -1 */
	uint64_t now_usec;
	uint64_t handshake_usec, frame_usec; /* as configured */
	uint64_t resume_usec; /* when to accept again; 0: it does */
	bool is_stopping, is_restored;
	unsigned char instance[PROTOCOL_INSTANCE];
	struct auth auth; /* with the key, for new peers */
	struct peers fresh, served, gone, pending;
	unsigned n_fresh, n_served;
	struct heap deadlines;
	struct spin spin;
	int64_t n_connections, n_refused;
	unsigned char scratch[SERVER_READ_BYTES];
};

/* ---- accept.c ---------------------------------------------------------------------- */

int listener_begin(struct server *s);
void listener_on_event(struct server *s);
void listener_on_time(struct server *s);

/* ---- peer.c ------------------------------------------------------------------------- */

/* Takes fd. Returns 0 or -errno: then it is closed. */
int peer_new(struct server *s, int fd);
void peer_on_event(struct peer *p, uint32_t events);
/* Goes on with frames that had come before. */
void peer_go_on(struct peer *p);
/* Its time is over. */
void peer_on_time(struct peer *p);
/* Sends what its session has to say. */
void peer_flush(struct peer *p);
/* It is no longer there; peer_free() follows. */
void peer_end(struct peer *p);
struct peer *peer_free(struct peer *p);

/* ---- server.c ----------------------------------------------------------------------- */

int server_watch(struct server *s, int fd, uint32_t events, void *what);
void server_count(struct server *s);

static inline void *watch_pointer(enum watch w)
{
	return (void *)(uintptr_t)w; /* no peer lies there */
}
