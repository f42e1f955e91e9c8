/* See filter.h. */
#include "supervisor/cli/filter.h"

#include <string.h>

#include "supervisor/cli/json.h"
#include "supervisor/cli/text.h"
#include "workers/base/pure/macro.h"

/* ---- for a terminal ----------------------------------------------------- */

static bool is_shown_as_is(const char *p, int length)
{
	unsigned char c = (unsigned char)p[0];

	if (length == 1)
		return (c >= ' ' && c != 0x7f) || c == '\n' || c == '\t';
	/* U+0080 to U+009F are control characters too: U+009B is ESC [. */
	return length > 1 && !(c == 0xc2 && (unsigned char)p[1] < 0xa0);
}

static void escape_bytes(const char *p, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "\\x%02x", (unsigned char)p[i]);
}

static void put_for_terminal(const char *p, size_t n, struct buf *out)
{
	size_t i = 0, begin = 0;

	while (i < n) {
		int length = text_utf8_length(p + i, n - i);
		size_t step = length > 0 ? (size_t)length : 1;

		if (!is_shown_as_is(p + i, length)) {
			buf_append(out, p + begin, i - begin);
			escape_bytes(p + i, step, out);
			begin = i + step;
		}
		i += step;
	}
	buf_append(out, p + begin, n - begin);
}

/* ---- JSON ---------------------------------------------------------------- */

static void open_line(struct filter *f, struct buf *out)
{
	if (f->in_line)
		return;
	f->in_line = true;
	buf_puts(out, "{\"worker\":\"");
	json_escape(out, f->worker, strlen(f->worker));
	buf_puts(out, "\",\"stream\":\"");
	json_escape(out, f->stream, strlen(f->stream));
	buf_puts(out, "\",\"text\":\"");
}

static void close_line(struct filter *f, struct buf *out)
{
	f->in_line = false;
	buf_puts(out, "\"}\n");
}

static void put_as_json(struct filter *f, const char *p, size_t n,
			struct buf *out)
{
	const char *end = p + n;

	while (p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		const char *stop = newline ? newline : end;

		open_line(f, out);
		json_escape(out, p, (size_t)(stop - p));
		if (newline)
			close_line(f, out);
		p = newline ? newline + 1 : end;
	}
}

/* ---- pieces -------------------------------------------------------------- */

static void put(struct filter *f, const char *p, size_t n, struct buf *out)
{
	switch (f->mode) {
	case FILTER_RAW:
		buf_append(out, p, n);
		break;
	case FILTER_TERMINAL:
		put_for_terminal(p, n, out);
		break;
	case FILTER_JSON:
		put_as_json(f, p, n, out);
		break;
	}
}

/* How many bytes at the end begin a sequence that is not whole yet. */
static size_t cut_tail(const char *p, size_t n)
{
	for (size_t back = 1; back <= MIN(n, 3U); back++) {
		unsigned char c = (unsigned char)p[n - back];

		if ((c & 0xc0) == 0x80)
			continue; /* within a sequence: look at its beginning */
		return text_utf8_length(p + n - back, back) < 0 ? back : 0;
	}
	return 0;
}

/* Completes the carried sequence byte by byte. Returns how many were used. */
static size_t feed_carry(struct filter *f, const char *data, size_t n,
			 struct buf *out)
{
	size_t used = 0;

	while (f->carry_bytes > 0 && used < n) {
		int length;

		f->carry[f->carry_bytes] = data[used];
		length = text_utf8_length(f->carry, f->carry_bytes + 1);
		if (length == 0) { /* this byte belongs to something else */
			put(f, f->carry, f->carry_bytes, out);
			f->carry_bytes = 0;
			break;
		}
		f->carry_bytes++;
		used++;
		if (length > 0) {
			put(f, f->carry, f->carry_bytes, out);
			f->carry_bytes = 0;
		}
	}
	return used;
}

int filter_feed(struct filter *f, const char *data, size_t length_bytes,
		struct buf *out)
{
	size_t used, tail;

	if (f->mode == FILTER_RAW)
		return buf_append(out, data, length_bytes);
	used = feed_carry(f, data, length_bytes, out);
	data += used;
	length_bytes -= used;
	tail = cut_tail(data, length_bytes);
	put(f, data, length_bytes - tail, out);
	if (tail > 0) {
		memcpy(f->carry, data + length_bytes - tail, tail);
		f->carry_bytes = tail;
	}
	return out->error;
}

int filter_finish(struct filter *f, struct buf *out)
{
	put(f, f->carry, f->carry_bytes, out);
	f->carry_bytes = 0;
	if (f->in_line)
		close_line(f, out);
	return out->error;
}
