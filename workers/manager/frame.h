/* Frames: how messages lie in a stream (protocol.h).
 *
 * Operation
 *   frame_begin() leaves room for the length at the end of b, then the message is
 *   appended, then frame_end() fills the length in. frame_next() finds the first
 *   whole frame in bytes that have come.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "workers/base/pure/buf.h"

/* Returns where the frame begins in b, or -errno. */
ssize_t frame_begin(struct buf *b);

/* Returns 0; -EMSGSIZE (over max_bytes: the frame is taken back, b is as before),
 * or b's error since the beginning (likewise, and b.error is cleared: something
 * shorter may be said instead). */
int frame_end(struct buf *b, size_t begin, size_t max_bytes);

/* 1: *ret_message, *ret_size, and *ret_used bytes of data it takes; 0: not all of
 * it has come; -EMSGSIZE: over max_bytes, as soon as its length is there. */
int frame_next(const unsigned char *data, size_t size, size_t max_bytes,
	       const unsigned char **ret_message, size_t *ret_size,
	       size_t *ret_used);
