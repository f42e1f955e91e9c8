/* What bytes of a log become on their way out: as they are, escaped for a
 * terminal, or JSON.
 *
 * A stream, fed in pieces of any size; a UTF-8 sequence that is cut by the end
 * of a piece waits for the next one. A worker's output never moves the
 * cursor or sets a title of the operator's terminal: all control characters
 * but newline and tab are shown, not sent.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "workers/base/pure/buf.h"

enum filter_mode {
	FILTER_RAW,
	FILTER_TERMINAL,
	FILTER_JSON, /* {"worker":...,"stream":...,"text":...} per line */
};

struct filter {
	enum filter_mode mode;
	const char *worker, *stream; /* for JSON; the caller's */
	char carry[4];		     /* a beginning of a UTF-8 sequence */
	size_t carry_bytes;
	bool in_line; /* JSON: a line is open */
};

/* Appends what data becomes. Returns 0 or -errno (sticks in out). */
int filter_feed(struct filter *f, const char *data, size_t length_bytes,
		struct buf *out);

/* The stream is over: what waits is invalid, an open line is closed. */
int filter_finish(struct filter *f, struct buf *out);
