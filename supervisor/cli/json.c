/* See json.h. */
#include "supervisor/cli/json.h"

#include <string.h>

#include "supervisor/cli/text.h"
#include "workers/base/pure/macro.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* True when c may stand in a JSON string as it is. DEL may, but not in front
 * of a terminal. */
static bool is_literal(char c)
{
	return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

static void escape_ascii(struct buf *out, char c)
{
	static const char named[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
	const char *p = c == '\0' ? NULL : strchr(named, c);

	if (p)
		buf_printf(out, "\\%c", letters[p - named]);
	else
		buf_printf(out, "\\u%04x", (unsigned char)c);
}

/* Appends what stands at p, which is no literal; returns its length. */
static size_t escape_one(struct buf *out, const char *p, size_t n)
{
	int length = text_utf8_length(p, n);

	if (length == 1)
		escape_ascii(out, *p);
	else if (length == 2 && (unsigned char)p[0] == 0xc2 &&
		 (unsigned char)p[1] < 0xa0) /* C1 control characters */
		buf_printf(out, "\\u%04x", (unsigned char)p[1]);
	else if (length > 0)
		buf_append(out, p, (size_t)length);
	else
		buf_puts(out, REPLACEMENT);
	return length > 0 ? (size_t)length : 1;
}

void json_escape(struct buf *out, const char *data, size_t length_bytes)
{
	size_t i = 0;

	while (i < length_bytes) {
		size_t begin = i;

		while (i < length_bytes && is_literal(data[i]))
			i++;
		buf_append(out, data + begin, i - begin);
		if (i < length_bytes)
			i += escape_one(out, data + i, length_bytes - i);
	}
}

static void put_quoted(struct json *j, const char *s)
{
	buf_putc(j->out, '"');
	json_escape(j->out, s, strlen(s));
	buf_putc(j->out, '"');
}

/* What stands in front of a value. */
static void begin_value(struct json *j, const char *key)
{
	bool *has_members;

	if (j->depth == 0)
		return;
	reeve_assert((key != NULL) == (j->closers[j->depth - 1] == '}'));
	has_members = &j->has_members[j->depth - 1];
	if (*has_members)
		buf_putc(j->out, ',');
	*has_members = true;
	if (j->is_line_due)
		buf_putc(j->out, '\n');
	j->is_line_due = false;
	if (!key)
		return;
	put_quoted(j, key);
	buf_putc(j->out, ':');
}

static void open_level(struct json *j, const char *key, char opener,
		       char closer)
{
	begin_value(j, key);
	reeve_assert(j->depth < JSON_DEPTH_MAX);
	j->closers[j->depth] = closer;
	j->has_members[j->depth] = false;
	j->depth++;
	buf_putc(j->out, opener);
}

void json_open_array(struct json *j, const char *key)
{
	open_level(j, key, '[', ']');
}

void json_open_object(struct json *j, const char *key)
{
	open_level(j, key, '{', '}');
}

void json_close(struct json *j)
{
	reeve_assert(j->depth > 0);
	j->depth--;
	buf_putc(j->out, j->closers[j->depth]);
	if (j->depth == 0)
		buf_putc(j->out, '\n');
}

void json_newline(struct json *j)
{
	j->is_line_due = true;
}

void json_string(struct json *j, const char *key, const char *value)
{
	begin_value(j, key);
	put_quoted(j, value);
}

void json_u64(struct json *j, const char *key, uint64_t value)
{
	begin_value(j, key);
	text_append_u64(j->out, value);
}

void json_i64(struct json *j, const char *key, int64_t value)
{
	begin_value(j, key);
	if (value < 0)
		buf_putc(j->out, '-');
	text_append_u64(j->out, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void json_bool(struct json *j, const char *key, bool value)
{
	begin_value(j, key);
	buf_puts(j->out, value ? "true" : "false");
}

void json_null(struct json *j, const char *key)
{
	begin_value(j, key);
	buf_puts(j->out, "null");
}
