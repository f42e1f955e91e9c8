/* A growing, bounded byte string, always NUL-terminated behind its end.
 *
 * The limit is the buffer's, set at init: an append that would pass it fails
 * with -EMSGSIZE and changes nothing. The first failure sticks in .error, so
 * that a row of appends may be checked once at its end.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "workers/base/pure/macro.h"

struct buf {
	char *data;	  /* NULL while empty and never grown */
	size_t len;	  /* without the NUL */
	size_t size;	  /* allocated */
	size_t max_bytes; /* 0: no limit */
	int error;	  /* 0, or the first failure as -errno */
};

#define BUF_INIT(max) ((struct buf){ .max_bytes = (max) })

/* Each returns 0, -EMSGSIZE or -ENOMEM; or the sticking earlier error. */
int buf_append(struct buf *b, const void *data, size_t len);
int buf_puts(struct buf *b, const char *s);
int buf_putc(struct buf *b, char c);
int buf_printf(struct buf *b, const char *fmt, ...) _printf_(2, 3);
int buf_vprintf(struct buf *b, const char *fmt, va_list ap) _printf_(2, 0);

/* The text, never NULL. Valid until the next call on b. */
const char *buf_text(const struct buf *b);

/* Hands the string to the caller (free it), or NULL after an error, which
 * .error still tells; b is empty afterwards. */
char *buf_take(struct buf *b);

/* Takes back what was appended since it had len bytes; .error stays. */
void buf_truncate(struct buf *b, size_t len);

void buf_clear(struct buf *b); /* empties, keeps the memory, clears .error */
void buf_done(struct buf *b);
