/* A connected socket with what is to be sent and what has come.
 *
 * Properties
 *   Nothing here waits without a bound, and neither side can block the other for
 *   ever: whoever waits to send reads what has come meanwhile.
 *   A connection that fails while sending is read to its end first: what came
 *   before it failed counts.
 * Operation
 *   Append to out; wire_send() sends what can be sent now. wire_wait() waits until
 *   more can be, or something has come. wire_next() finds whole frames in what
 *   has come; a frame stays where it is until the next wire_wait().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/base/pure/buf.h"
#include "workers/base/sys/spin.h"

#define WIRE_NAP_USEC  UINT64_C(1000000)
#define WIRE_SPIN_USEC 20

struct wire {
	int fd; /* -1: none */
	struct buf out;
	size_t sent;	   /* of out */
	bool is_broken;	   /* nothing can be sent any more */
	unsigned char *in; /* what has come: from .. to */
	size_t size, from, to;
	size_t moved; /* bytes, both ways; wraps */
	struct spin spin;
};

#define WIRE_INIT                                                              \
	(struct wire)                                                          \
	{                                                                      \
		.fd = -1                                                       \
	}

/* For a new connection; what was left of the last one is dropped. Takes fd. */
void wire_begin(struct wire *w, int fd);

/* Drops the buffers; fd is the caller's to close. */
void wire_done(struct wire *w);

static inline size_t wire_unsent(const struct wire *w)
{
	return w->is_broken ? 0 : w->out.len - w->sent;
}

/* Sends what can be sent without waiting. */
void wire_send(struct wire *w);

/* Takes in what has come; waits until end_usec for it, or, when something is
 * unsent, until that can be sent. Returns 1: something came; 0: not (perhaps more
 * can be sent); -ETIMEDOUT; -ECONNRESET: the end, nothing more will come;
 * -ENOMEM. */
int wire_wait(struct wire *w, uint64_t end_usec);

/* 1: a frame; 0: not yet a whole one; -EMSGSIZE: a longer one. */
int wire_next(struct wire *w, size_t max_bytes, const unsigned char **ret_data,
	      size_t *ret_size);

/* Part of a frame has come. */
static inline bool wire_has_part(const struct wire *w)
{
	return w->from < w->to;
}
