/* See reader.h.
 *
 * Three stages: the whole text is looked at for what no ini file holds (NUL
 * and other control characters); physical lines are gathered into logical
 * ones; each of these goes through inih, which calls back before it asks for
 * the next. So the line number is always that of the logical line in hand.
 */
#include "conf/reader.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/report.h"
#include "workers/base/pure/buf.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/str.h"
#include "workers/base/pure/utf8.h"

/* Between the pieces of a continued line while inih has it: inih must not see
 * a newline, and no control character comes from the file. */
#define JOINT '\x1f'

/* inih wants room for CR, LF and NUL. */
#define INIH_LINE_MAX (CONF_LINE_MAX + 16)

#define KEY_WORD_MAX 64

struct reader {
	const struct reader_events *events;
	const char *next, *end; /* what is not yet read */
	int line;		/* of the physical line before next */
	struct buf logical;	/* what inih is given */
	int logical_line;
	bool is_pending; /* inih has a key line and has not called back */
	int section;	 /* number given to inih in place of its name */
	bool out_of_memory, told_cr;
};

struct line {
	const char *text; /* without blanks at its ends */
	size_t len;
	size_t indent;
	bool is_too_long;
};

static void problem(struct reader *r, bool is_error, int line, const char *text)
{
	r->events->on_problem(r->events->userdata, is_error, line, text);
}

static void error(struct reader *r, int line, const char *text)
{
	problem(r, true, line, text);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Takes the next physical line. Returns false at the end. */
static bool take_line(struct reader *r, struct line *ret_line)
{
	const char *start = r->next, *stop;
	struct line l = { 0 };

	if (start == r->end)
		return false;
	stop = memchr(start, '\n', (size_t)(r->end - start));
	r->next = stop ? stop + 1 : r->end;
	if (!stop)
		stop = r->end;
	r->line++;
	if (stop > start && stop[-1] == '\r') {
		stop--;
		if (!r->told_cr)
			problem(r, false, r->line,
				"lines end with CR LF; the CRs are dropped "
				"(dos2unix removes them)");
		r->told_cr = true;
	}
	l.is_too_long = stop - start > CONF_LINE_MAX;
	while (start < stop && is_blank(*start)) {
		start++;
		l.indent++;
	}
	while (stop > start && is_blank(stop[-1]))
		stop--;
	l.text = start;
	l.len = (size_t)(stop - start);
	*ret_line = l;
	return true;
}

static bool is_nothing(const struct line *l)
{
	return l->len == 0 || l->text[0] == ';' || l->text[0] == '#';
}

/* The closing quote for the one at s[i], or 0: then it is an apostrophe. */
static size_t find_closing(const char *s, size_t len, size_t i)
{
	char quote = s[i];

	for (size_t j = i + 1; j < len; j++) {
		if (s[j] == '\\' && quote == '"')
			j++;
		else if (s[j] == quote)
			return j;
	}
	return 0;
}

/* A line without its comments: copies s to out, leaving out what is between a
 * blank and ; outside of quotes and the end of that physical line. */
static void strip_comments(const char *s, size_t len, struct buf *out,
			   bool *ret_has_hash)
{
	size_t i = 0, start = 0, closing;

	while (i < len) {
		bool after_blank = i > 0 && is_blank(s[i - 1]);

		if (s[i] == '\\' && i + 1 < len && strchr("\\'\"", s[i + 1])) {
			i++;
		} else if ((s[i] == '\'' || s[i] == '"') &&
			   (closing = find_closing(s, len, i)) > 0) {
			i = closing;
		} else if (s[i] == ';' && after_blank) {
			size_t stop = i;

			while (stop > start && is_blank(s[stop - 1]))
				stop--;
			(void)buf_append(out, s + start, stop - start);
			while (i < len && s[i] != JOINT)
				i++;
			start = i;
			continue;
		} else if (s[i] == '#' && after_blank) {
			*ret_has_hash = true;
		}
		i++;
	}
	(void)buf_append(out, s + start, len - start);
}

/* "user = bob" indented under another key: meant to be a key? */
static void warn_about_key(struct reader *r, const struct line *l)
{
	const char *sign = memchr(l->text, '=', l->len);
	char word[KEY_WORD_MAX], text[256];
	size_t n = sign ? (size_t)(sign - l->text) : 0;

	while (n > 0 && is_blank(l->text[n - 1]))
		n--;
	if (n == 0 || n >= sizeof(word))
		return;
	memcpy(word, l->text, n);
	word[n] = '\0';
	if (!r->events->is_key(r->events->userdata, word))
		return;
	snprintf(text, sizeof(text),
		 "this line is indented and so continues the key above it; "
		 "if \"%s\" is meant as a key of its own, remove the blanks "
		 "before it",
		 word);
	problem(r, false, r->line, text);
}

/* Appends the lines that continue first to joined. Too long a line makes the
 * whole too long. */
static void join_continuations(struct reader *r, struct line *first,
			       struct buf *joined)
{
	for (;;) {
		const char *next = r->next;
		int line = r->line;
		struct line l;

		if (!take_line(r, &l))
			return;
		if (is_nothing(&l))
			continue; /* may stand between continuations */
		if (l.indent <= first->indent) {
			r->next = next;
			r->line = line;
			return;
		}
		warn_about_key(r, &l);
		first->is_too_long |= l.is_too_long;
		(void)buf_putc(joined, JOINT);
		(void)buf_append(joined, l.text, l.len);
	}
}

static void tell_section(struct reader *r, char *header)
{
	size_t len = strlen(header);
	char shown[REPORT_QUOTE_MAX], text[256];
	char *name;

	r->section++;
	if (len < 2 || header[len - 1] != ']' || strpbrk(header + 1, "[") ||
	    strchr(header, ']') != header + len - 1) {
		snprintf(text, sizeof(text),
			 "expected \"[section]\" alone on its line, found "
			 "\"%s\"",
			 report_quote(header, shown));
		error(r, r->logical_line, text);
		r->events->on_section(r->events->userdata, NULL,
				      r->logical_line);
		return;
	}
	header[len - 1] = '\0';
	name = str_strip(header + 1);
	r->events->on_section(r->events->userdata, name, r->logical_line);
}

/* The line that inih is to be given, in r->logical. A section's name is told
 * here, and a number takes its place. */
static void make_logical(struct reader *r, const char *joined, size_t len)
{
	bool has_hash = false;

	buf_clear(&r->logical);
	strip_comments(joined, len, &r->logical, &has_hash);
	if (r->logical.error)
		return;
	if (has_hash)
		problem(r, false, r->logical_line,
			"\" #\" inside a line does not begin a comment here "
			"(\" ;\" does): it is part of the value");
	if (joined[0] != '[') {
		r->is_pending = true;
		(void)buf_putc(&r->logical, '\n');
		return;
	}
	tell_section(r, r->logical.data);
	buf_clear(&r->logical);
	(void)buf_printf(&r->logical, "[%d]\n", r->section);
}

/* Refuses what must not be cut or passed on. After a header that is refused,
 * no section is known. */
static bool check_logical(struct reader *r, const struct line *first,
			  const struct buf *joined)
{
	char text[128] = "";

	if (first->is_too_long || joined->len > CONF_LINE_MAX)
		snprintf(text, sizeof(text),
			 "the line is longer than %d bytes%s", CONF_LINE_MAX,
			 first->is_too_long ? "" : " with its continuations");
	else if (!utf8_is_valid(joined->data, joined->len))
		snprintf(text, sizeof(text),
			 "the line is not UTF-8; save the file as UTF-8");
	if (text[0] == '\0')
		return true;
	error(r, r->logical_line, text);
	if (first->len > 0 && first->text[0] == '[')
		r->events->on_section(r->events->userdata, NULL,
				      r->logical_line);
	return false;
}

/* Makes the next logical line. Returns false when there is none. */
static bool next_logical(struct reader *r)
{
	struct line first;

	while (take_line(r, &first)) {
		_cleanup_(buf_done) struct buf joined = BUF_INIT(0);

		if (is_nothing(&first) && !first.is_too_long)
			continue;
		r->logical_line = r->line;
		(void)buf_append(&joined, first.text, first.len);
		if (!is_nothing(&first) && first.text[0] != '[')
			join_continuations(r, &first, &joined);
		if (joined.error)
			r->out_of_memory = true;
		else if (!check_logical(r, &first, &joined))
			continue;
		else
			make_logical(r, joined.data, joined.len);
		if (r->logical.error)
			r->out_of_memory = true;
		return !r->out_of_memory;
	}
	return false;
}

/* inih took the line before and did not call on_key: it is none. */
static void settle_pending(struct reader *r)
{
	char shown[REPORT_QUOTE_MAX], text[256];

	if (!r->is_pending)
		return;
	r->is_pending = false;
	r->logical.data[strcspn(r->logical.data, "\n\x1f")] = '\0';
	snprintf(text, sizeof(text),
		 "expected \"key = value\" or \"[section]\", found \"%s\"",
		 report_quote(r->logical.data, shown));
	error(r, r->logical_line, text);
}

/* inih's reader: like fgets. */
static char *feed(char *to, int size, void *stream)
{
	struct reader *r = stream;

	settle_pending(r);
	if (r->out_of_memory || !next_logical(r))
		return NULL;
	/* inih was told to have room for the longest line at once. */
	reeve_assert(r->logical.len < (size_t)size);
	memcpy(to, r->logical.data, r->logical.len + 1);
	return to;
}

/* inih's handler. */
static int on_key(void *user, const char *section _unused_, const char *name,
		  const char *value)
{
	struct reader *r = user;
	char *v;

	if (name[0] == '\0' || strchr(name, JOINT))
		return 1; /* is_pending stays: settle_pending() says it */
	r->is_pending = false;
	while (*value == JOINT)
		value++; /* "key =" alone on its line */
	/* value is const: copied over the line that it came from */
	v = r->logical.data;
	memcpy(v, value, strlen(value) + 1);
	for (char *c = v; *c; c++)
		if (*c == JOINT)
			*c = '\n';
	r->events->on_value(r->events->userdata, name, v, r->logical_line);
	return 1;
}

/* Says what no text file holds. Returns false when there is no point in
 * reading on. */
static bool check_text(struct reader *r)
{
	int line = 1;

	for (const char *p = r->next; p < r->end; p++) {
		unsigned char c = (unsigned char)*p;
		bool is_line_end = c == '\r' && p + 1 < r->end && p[1] == '\n';
		char text[128];

		line += c == '\n';
		if ((c >= ' ' && c != 0x7f) || c == '\t' || c == '\n' ||
		    is_line_end)
			continue;
		if (c == '\0')
			snprintf(text, sizeof(text),
				 "a NUL byte: this is not a text file");
		else
			snprintf(text, sizeof(text),
				 "control character \\x%02x: this is not a "
				 "plain text file",
				 c);
		error(r, MIN(line, CONF_LINES_MAX), text);
		return false;
	}
	if (line > CONF_LINES_MAX) {
		error(r, CONF_LINES_MAX, "the file has too many lines");
		return false;
	}
	return true;
}

/* Returns false for encodings that are not read. */
static bool check_bom(struct reader *r, size_t len)
{
	const char *t = r->next;

	if (len >= 3 && memcmp(t, "\xef\xbb\xbf", 3) == 0) {
		r->next += 3;
		problem(r, false, 1,
			"the file begins with a byte order mark; it is skipped "
			"(save it as UTF-8 without one)");
	} else if (len >= 2 && (memcmp(t, "\xff\xfe", 2) == 0 ||
				memcmp(t, "\xfe\xff", 2) == 0)) {
		error(r, 1, "the file is UTF-16; save it as UTF-8");
		return false;
	}
	return true;
}

static void set_inih_options(void)
{
	ini_use_stack = false;
	ini_allow_realloc = true;
	ini_max_line = INIH_LINE_MAX;
	ini_initial_alloc = INIH_LINE_MAX;
	ini_allow_multiline = false;
	ini_allow_bom = false;
	ini_allow_inline_comments = false;
	ini_allow_no_value = false;
	ini_stop_on_first_error = false;
}

int reader_read(const char *text, size_t len,
		const struct reader_events *events)
{
	struct reader r = {
		.events = events,
		.next = text,
		.end = text + len,
		.logical = BUF_INIT(0),
	};
	int result = 0;

	if (!check_bom(&r, len) || !check_text(&r))
		return 0;
	set_inih_options();
	/* Positive is a line of inih's count: settle_pending() has said it. */
	if (ini_parse_stream(feed, &r, on_key, &r) == -2)
		r.out_of_memory = true;
	if (r.out_of_memory)
		result = -ENOMEM;
	buf_done(&r.logical);
	return result;
}
