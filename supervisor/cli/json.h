/* A small JSON writer: values, in order, into a buffer.
 *
 * Writes what it is told, compact, with commas where they belong; strings are
 * escaped, and what is not UTF-8 becomes U+FFFD, so the result is always valid
 * JSON when arrays and objects are closed. A key is given exactly inside of
 * objects and is NULL elsewhere. Failures stick in the buffer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/base/pure/buf.h"

#define JSON_DEPTH_MAX 16

struct json {
	struct buf *out;
	unsigned depth;
	bool has_members[JSON_DEPTH_MAX]; /* of what is open: comma needed */
	bool is_line_due;		  /* in front of the next value */
	char closers[JSON_DEPTH_MAX];
};

#define JSON_INIT(buffer) ((struct json){ .out = (buffer) })

void json_open_array(struct json *j, const char *key);
void json_open_object(struct json *j, const char *key);
void json_close(struct json *j); /* the innermost; the last ends the line */

/* Puts the next value on a line of its own. */
void json_newline(struct json *j);

void json_string(struct json *j, const char *key, const char *value);
void json_u64(struct json *j, const char *key, uint64_t value);
void json_i64(struct json *j, const char *key, int64_t value);
void json_bool(struct json *j, const char *key, bool value);
void json_null(struct json *j, const char *key);

/* Appends the inside of a string, escaped; no quotes. */
void json_escape(struct buf *out, const char *data, size_t length_bytes);
