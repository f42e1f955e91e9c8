/* The byte string grows by doubling, so that a row of n appends costs O(n).
 *
 * Invariants: len < size once data exists, data[len] is NUL, and len never
 * passes max_bytes. An append that fails leaves all of them as they were.
 */
#include "workers/base/pure/buf.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_MIN 64

static int fail(struct buf *b, int error)
{
	b->error = error;
	return error;
}

/* Makes room for more bytes behind the end, and the NUL behind them. */
static int reserve(struct buf *b, size_t more)
{
	if (b->error < 0)
		return b->error;
	if (b->max_bytes > 0 && more > b->max_bytes - b->len)
		return fail(b, -EMSGSIZE);
	if (more >= SIZE_MAX / 2 - b->len)
		return fail(b, -ENOMEM);
	if (b->data != NULL && more < b->size - b->len)
		return 0;

	size_t size = MAX(MAX(2 * b->size, b->len + more + 1), SIZE_MIN);
	char *data = realloc(b->data, size);
	if (data == NULL)
		return fail(b, -ENOMEM);
	data[b->len] = '\0';
	b->data = data;
	b->size = size;
	return 0;
}

int buf_append(struct buf *b, const void *data, size_t len)
{
	int r = reserve(b, len);
	if (r < 0)
		return r;
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
	return 0;
}

int buf_puts(struct buf *b, const char *s)
{
	return buf_append(b, s, strlen(s));
}

int buf_putc(struct buf *b, char c)
{
	return buf_append(b, &c, 1);
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int r = buf_vprintf(b, fmt, ap);
	va_end(ap);
	return r;
}

int buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;

	if (b->error < 0)
		return b->error;

	va_copy(again, ap);
	int len = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (len < 0)
		return fail(b, -EMSGSIZE); /* more than INT_MAX bytes */

	int r = reserve(b, (size_t)len);
	if (r < 0)
		return r;
	(void)vsnprintf(b->data + b->len, (size_t)len + 1, fmt, ap);
	b->len += (size_t)len;
	return 0;
}

const char *buf_text(const struct buf *b)
{
	return b->data != NULL ? b->data : "";
}

char *buf_take(struct buf *b)
{
	if (b->data == NULL)
		(void)reserve(b, 0); /* an empty string is one too */

	char *text = b->error < 0 ? NULL : TAKE(b->data);
	int error = b->error;

	buf_done(b);
	b->error = error;
	return text;
}

void buf_truncate(struct buf *b, size_t len)
{
	reeve_assert(len <= b->len);
	b->len = len;
	if (b->data != NULL)
		b->data[len] = '\0';
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->error = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}

void buf_done(struct buf *b)
{
	free(b->data);
	*b = BUF_INIT(b->max_bytes);
}
