/* The objects of a Manager, and what clients ask of them.
 *
 * Properties
 *   Pure: no I/O, no clock, no thread; fed with requests, sessions that begin and
 *   end, and the time. Everything a request does is done in one call, or not at
 *   all: what may fail (sizes, memory) is tried first, then nothing can.
 *   Values are kept as their bytes. A key is found by its bytes, since the encoding
 *   is deterministic.
 *   Everything is bounded by struct store_limits: a request that would pass a
 *   bound is refused, -ENOSPC, and nobody else is hurt.
 * Operation
 *   store_request() appends its answer, framed, to session->output; one that has to
 *   wait is answered there later, from whichever call lets it go on; sessions
 *   with new output are then on the list of store_take_ready(). A session that ends
 *   gives back what it held, which may let others go on.
 *   An answer that finds no room in a session's output, or no memory, is lost with
 *   the session: session_error() tells, and the caller is to end it. What it would
 *   have got goes to the next one who waits.
 *   store_save() and store_load() are the snapshot's: named objects and contents,
 *   not who holds or waits.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <reeve/manager.h>

#include "workers/base/pure/buf.h"
#include "workers/manager/protocol.h"

struct store;
struct session; /* one client's */

struct store_limits {
	size_t max_objects, max_bytes;
	size_t max_handles;	 /* of a session */
	size_t max_waiting;	 /* requests of a session that wait */
	size_t max_output_bytes; /* of a session */
};

int store_new(const struct store_limits *limits, struct store **ret_store);
/* Its sessions are freed before. */
struct store *store_free(struct store *store);

/* userdata is the caller's. output is where answers go: the caller sends and
 * removes them. */
int session_new(struct store *store, void *userdata,
		struct session **ret_session);
void *session_userdata(const struct session *session);
struct buf *session_output(struct session *session);
int session_error(const struct session *session); /* 0 or -errno */
struct session *session_free(struct session *session);

/* Runs one request: the bytes of a frame. Returns 0 (answered, perhaps with an
 * error, or waiting); -EPROTO (no request at all: the connection is to be ended),
 * or session_error(). */
int store_request(struct store *store, struct session *session,
		  const unsigned char *message, size_t size, uint64_t now_usec);

/* Ends waits whose time is over; when to be called next (USEC_INFINITY: never). */
void store_tick(struct store *store, uint64_t now_usec);
uint64_t store_next_usec(const struct store *store);

/* One after the other, sessions that were given output, or an error, since they
 * were last returned here; NULL: no more. */
struct session *store_take_ready(struct store *store);

/* For STATS: what the server counts, put in beside the store's own counters. name
 * is kept; there are at most STORE_COUNTERS_MAX. */
#define STORE_COUNTERS_MAX 16
void store_set_counter(struct store *store, const char *name, int64_t value);

size_t store_bytes(const struct store *store);
size_t store_objects(const struct store *store);

/* ---- snapshots ----------------------------------------------------------------- */

/* Another number whenever something has changed that a snapshot keeps. */
uint64_t store_changes(const struct store *store);

/* Where a snapshot goes, piece by piece. */
struct store_sink {
	int (*write)(void *userdata, const void *data, size_t size);
	void *userdata;
};

/* Returns 0, -ENOMEM, or what write returned. */
int store_save(const struct store *store, const struct store_sink *sink);

/* Into a new store. -EBADMSG: what is there is no snapshot; -ENOSPC (limits),
 * -ENOMEM. Then nothing was loaded. */
int store_load(struct store *store, const void *data, size_t size);
