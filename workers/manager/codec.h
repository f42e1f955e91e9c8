/* CBOR, as the Manager writes and reads it: appending values to a buffer, and
 * walking over bytes that somebody else wrote.
 *
 * Properties
 *   The encoding is that of <reeve/any.h>. The server never builds trees: it
 *   checks that an item is sound (codec_skip), and keeps or sends its bytes.
 *   Nothing recurses; nothing is allocated for what a length promises; no byte
 *   beyond the end is looked at. Packing, unpacking and their forms are
 *   libcbor's (its streaming decoder).
 * Operation
 *   A reader is a position in bytes that stay. Each read_... takes one item, or
 *   fails and takes nothing.
 * Safety
 *   Pure functions.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <reeve/any.h>

#include "workers/base/pure/buf.h"

/* ---- writing: each returns 0 or what buf_append() does ---------------------- */

int codec_put_nil(struct buf *b);
int codec_put_bool(struct buf *b, bool value);
int codec_put_int(struct buf *b, int64_t value);
int codec_put_double(struct buf *b, double value);
int codec_put_string(struct buf *b, const char *text, size_t len);
int codec_put_bytes(struct buf *b, const void *data, size_t size);
/* n items follow; n pairs: key, value, key, ... */
int codec_put_list(struct buf *b, size_t n);
int codec_put_dict(struct buf *b, size_t n);

/* Any value. Also -EINVAL, -E2BIG, -ENOMEM; after a failure b is as long as
 * before. (The single ones above do not look whether text is UTF-8.) */
int codec_put(struct buf *b, const struct reeve_any *value);

/* ---- reading ----------------------------------------------------------------- */

struct reader {
	const unsigned char *data;
	size_t size, position;
};

static inline bool reader_is_at_end(const struct reader *r)
{
	return r->position == r->size;
}

/* What comes next, without taking it; -EBADMSG. */
int codec_peek(const struct reader *r, enum reeve_any_kind *ret_kind);

/* Takes a whole value, however it is nested, checking all of it; where it lies:
 * *ret_data .. + *ret_size (either may be NULL). -EBADMSG, -E2BIG, -ERANGE, as
 * reeve_any_decode(); -ENOMEM (only for dicts of more than a few keys, which must
 * be seen to differ). A scalar costs tens of nanoseconds. */
int codec_skip(struct reader *r, const unsigned char **ret_data,
	       size_t *ret_size);
/* And how deeply it is nested: 0 is a scalar. */
int codec_skip_nested(struct reader *r, const unsigned char **ret_data,
		      size_t *ret_size, size_t *ret_depth);

/* Takes one item of that kind. -EBADMSG: another, or none. */
int codec_get_nil(struct reader *r);
int codec_get_bool(struct reader *r, bool *ret);
int codec_get_int(struct reader *r, int64_t *ret);
int codec_get_double(struct reader *r, double *ret);
/* In place; not NUL-terminated. UTF-8 is checked. */
int codec_get_string(struct reader *r, const char **ret, size_t *ret_len);
int codec_get_bytes(struct reader *r, const void **ret, size_t *ret_size);
/* Its head alone; the n items (pairs) are then to be taken, and checked. */
int codec_get_list(struct reader *r, size_t *ret_n);
int codec_get_dict(struct reader *r, size_t *ret_n);

/* A whole value as a tree, of its own memory. As codec_skip(), and -ENOMEM. */
int codec_get(struct reader *r, struct reeve_any *ret);
