/* See types.h. The scalar types and the table; what belongs to processes is in
 * types_process.c and types_limits.c. */
#include "conf/types.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "conf/report.h"
#include "conf/schema.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/parse.h"
#include "workers/base/pure/str.h"
#include "workers/base/pure/usec.h"

#define BLANKS_AND_COMMA " \t\n,"
#define WORDS_MAX	 32

int type_refuse(struct type_call *call, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(call->reason, sizeof(call->reason), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

void *type_field(const struct schema_row *row, void *base)
{
	return (char *)base + row->offset;
}

const void *type_field_const(const struct schema_row *row, const void *base)
{
	return (const char *)base + row->offset;
}

void *type_field2(const struct schema_row *row, void *base)
{
	return (char *)base + row->offset2;
}

const void *type_field2_const(const struct schema_row *row, const void *base)
{
	return (const char *)base + row->offset2;
}

int type_next_word(const char **at, char *word, size_t size_bytes)
{
	const char *start = *at + strspn(*at, BLANKS_AND_COMMA);
	size_t len = strcspn(start, BLANKS_AND_COMMA);

	*at = start + len;
	if (len == 0)
		return 0;
	if (len >= size_bytes)
		return -EINVAL;
	memcpy(word, start, len);
	word[len] = '\0';
	return 1;
}

int type_format_usec(uint64_t usec, struct buf *out)
{
	if (usec == USEC_INFINITY)
		return buf_puts(out, "infinity");
	if (usec % USEC_PER_SEC == 0)
		return buf_printf(out, "%" PRIu64, usec / USEC_PER_SEC);
	if (usec % USEC_PER_MSEC == 0)
		return buf_printf(out, "%" PRIu64 "ms", usec / USEC_PER_MSEC);
	return buf_printf(out, "%" PRIu64 "us", usec);
}

/* ---- yes or no ---- */

static int parse_yes_no(struct type_call *call, const char *text, void *base)
{
	if (parse_bool(text, type_field(call->row, base)) < 0)
		return type_refuse(call, "write yes or no");
	return 0;
}

static int format_yes_no(const struct schema_row *row, const void *base,
			 struct buf *out)
{
	const bool *value = type_field_const(row, base);

	return buf_puts(out, *value ? "yes" : "no");
}

static bool equal_bool(const struct schema_row *row, const void *a,
		       const void *b)
{
	return *(const bool *)type_field_const(row, a) ==
	       *(const bool *)type_field_const(row, b);
}

/* ---- numbers ---- */

static int parse_number(struct type_call *call, const char *text, uint64_t max,
			uint64_t *ret_value)
{
	uint64_t low = (uint64_t)call->row->min;
	uint64_t high = call->row->max ? (uint64_t)call->row->max : max;

	if (parse_u64(text, low, high, ret_value) < 0)
		return type_refuse(call,
				   "write a number from %" PRIu64
				   " to %" PRIu64,
				   low, high);
	return 0;
}

static int parse_type_u32(struct type_call *call, const char *text, void *base)
{
	uint64_t value = 0;
	int r = parse_number(call, text, UINT32_MAX, &value);

	if (r == 0)
		*(uint32_t *)type_field(call->row, base) = (uint32_t)value;
	return r;
}

static int format_u32(const struct schema_row *row, const void *base,
		      struct buf *out)
{
	const uint32_t *value = type_field_const(row, base);

	return buf_printf(out, "%" PRIu32, *value);
}

static bool equal_u32(const struct schema_row *row, const void *a,
		      const void *b)
{
	return *(const uint32_t *)type_field_const(row, a) ==
	       *(const uint32_t *)type_field_const(row, b);
}

static int parse_type_i32(struct type_call *call, const char *text, void *base)
{
	int64_t value = 0;

	if (parse_i64(text, call->row->min, call->row->max, &value) < 0)
		return type_refuse(call,
				   "write a number from %" PRId64
				   " to %" PRId64,
				   call->row->min, call->row->max);
	*(int32_t *)type_field(call->row, base) = (int32_t)value;
	return 0;
}

static int format_i32(const struct schema_row *row, const void *base,
		      struct buf *out)
{
	const int32_t *value = type_field_const(row, base);

	return buf_printf(out, "%" PRId32, *value);
}

static bool equal_i32(const struct schema_row *row, const void *a,
		      const void *b)
{
	return *(const int32_t *)type_field_const(row, a) ==
	       *(const int32_t *)type_field_const(row, b);
}

static int parse_type_u64(struct type_call *call, const char *text, void *base)
{
	return parse_number(call, text, INT64_MAX, type_field(call->row, base));
}

static int format_u64(const struct schema_row *row, const void *base,
		      struct buf *out)
{
	const uint64_t *value = type_field_const(row, base);

	return buf_printf(out, "%" PRIu64, *value);
}

static bool equal_u64(const struct schema_row *row, const void *a,
		      const void *b)
{
	return *(const uint64_t *)type_field_const(row, a) ==
	       *(const uint64_t *)type_field_const(row, b);
}

/* A number that may be unset: the second field says whether it is. */
static int parse_priority(struct type_call *call, const char *text, void *base)
{
	bool *is_set = type_field2(call->row, base);
	int r = 0;

	if (text[0] != '\0')
		r = parse_type_i32(call, text, base);
	if (r == 0)
		*is_set = text[0] != '\0';
	return r;
}

static bool is_set(const struct schema_row *row, const void *base)
{
	return *(const bool *)type_field2_const(row, base);
}

static int format_priority(const struct schema_row *row, const void *base,
			   struct buf *out)
{
	return is_set(row, base) ? format_i32(row, base, out) : 0;
}

static bool equal_priority(const struct schema_row *row, const void *a,
			   const void *b)
{
	return is_set(row, a) == is_set(row, b) &&
	       (!is_set(row, a) || equal_i32(row, a, b));
}

static int parse_int(struct type_call *call, const char *text, void *base)
{
	bool *has = type_field2(call->row, base);
	int64_t value = 0;

	if (text[0] != '\0' &&
	    parse_i64(text, call->row->min, call->row->max, &value) < 0)
		return type_refuse(call,
				   "write a number from %" PRId64
				   " to %" PRId64,
				   call->row->min, call->row->max);
	*has = text[0] != '\0';
	*(int *)type_field(call->row, base) = (int)value;
	return 0;
}

static int format_int(const struct schema_row *row, const void *base,
		      struct buf *out)
{
	const int *value = type_field_const(row, base);

	return is_set(row, base) ? buf_printf(out, "%d", *value) : 0;
}

static bool equal_int(const struct schema_row *row, const void *a,
		      const void *b)
{
	return is_set(row, a) == is_set(row, b) &&
	       *(const int *)type_field_const(row, a) ==
		       *(const int *)type_field_const(row, b);
}

/* ---- time spans and sizes ---- */

static int parse_span(struct type_call *call, const char *text, void *base)
{
	uint64_t low = (uint64_t)call->row->min;
	uint64_t high =
		call->row->max ? (uint64_t)call->row->max : USEC_INFINITY;
	uint64_t value;
	int r;

	r = parse_usec(text, &value);
	if (r < 0)
		return type_refuse(call,
				   "write seconds (5, 0.5) or a time span "
				   "with units (500ms, 1min 30s, 2h)");
	if (value < low || value > high) {
		_cleanup_(buf_done) struct buf limits = BUF_INIT(0);

		(void)type_format_usec(low, &limits);
		(void)buf_puts(&limits, " to ");
		(void)type_format_usec(high, &limits);
		return type_refuse(call, "write a time from %s seconds",
				   buf_text(&limits));
	}
	*(uint64_t *)type_field(call->row, base) = value;
	return 0;
}

static int format_span(const struct schema_row *row, const void *base,
		       struct buf *out)
{
	return type_format_usec(*(const uint64_t *)type_field_const(row, base),
				out);
}

static int parse_span_auto(struct type_call *call, const char *text, void *base)
{
	if (strcasecmp(text, "auto") != 0)
		return parse_span(call, text, base);
	*(uint64_t *)type_field(call->row, base) = START_TIMEOUT_AUTO;
	return 0;
}

static int parse_bytes(struct type_call *call, const char *text, void *base)
{
	if (parse_size(text, type_field(call->row, base)) < 0)
		return type_refuse(call,
				   "write bytes, or a size with KB, MB or GB "
				   "(50MB)");
	return 0;
}

static int format_bytes(const struct schema_row *row, const void *base,
			struct buf *out)
{
	static const char *const units[] = { "", "KB", "MB", "GB", "TB" };
	uint64_t value = *(const uint64_t *)type_field_const(row, base);
	size_t i = 0;

	while (value > 0 && value % 1024 == 0 && i + 1 < ARRAY_SIZE(units)) {
		value /= 1024;
		i++;
	}
	return buf_printf(out, "%" PRIu64 "%s", value, units[i]);
}

static int parse_umask(struct type_call *call, const char *text, void *base)
{
	unsigned value = 0;

	if (text[0] != '\0' && (parse_octal(text, &value) < 0 || value > 0777))
		return type_refuse(call, "write an octal number from 000 to "
					 "777 (022)");
	*(int *)type_field(call->row, base) = text[0] ? (int)value : -1;
	return 0;
}

static int format_umask(const struct schema_row *row, const void *base,
			struct buf *out)
{
	int value = *(const int *)type_field_const(row, base);

	return value < 0 ? 0 : buf_printf(out, "%03o", (unsigned)value);
}

static bool equal_plain_int(const struct schema_row *row, const void *a,
			    const void *b)
{
	return *(const int *)type_field_const(row, a) ==
	       *(const int *)type_field_const(row, b);
}

/* ---- words ---- */

static int refuse_word(struct type_call *call, const char *text)
{
	const char *candidates[WORDS_MAX];
	const struct schema_word *w = call->row->words;
	_cleanup_(buf_done) struct buf list = BUF_INIT(0);
	const char *near;
	size_t n = 0;

	for (; n < WORDS_MAX && w[n].word; n++) {
		candidates[n] = w[n].word;
		if (n == 0 || w[n].value != w[n - 1].value)
			(void)buf_printf(&list, "%s%s", n > 0 ? ", " : "",
					 w[n].word);
	}
	near = strlen(text) < REPORT_QUOTE_MAX
		       ? str_nearest(text, candidates, n)
		       : NULL;
	return type_refuse(call, "%s%s%swrite one of %s",
			   near ? "did you mean \"" : "", near ? near : "",
			   near ? "\"? " : "", buf_text(&list));
}

static int parse_enum(struct type_call *call, const char *text, void *base)
{
	const struct schema_word *w = call->row->words;

	for (; w->word; w++)
		if (strcasecmp(w->word, text) == 0) {
			*(int *)type_field(call->row, base) = w->value;
			return 0;
		}
	return refuse_word(call, text);
}

static int format_enum(const struct schema_row *row, const void *base,
		       struct buf *out)
{
	int value = *(const int *)type_field_const(row, base);
	const struct schema_word *w = row->words;

	while (w->word && w->value != value)
		w++;
	reeve_assert(w->word);
	return buf_puts(out, w->word);
}

/* ---- text ---- */

static int parse_string(struct type_call *call, const char *text, void *base)
{
	char **field = type_field(call->row, base);
	char *copy = NULL;

	if (text[0] != '\0') {
		copy = arena_strdup(call->arena, text);
		if (!copy)
			return -ENOMEM;
	}
	*field = copy;
	return 0;
}

static int parse_path(struct type_call *call, const char *text, void *base)
{
	if (strchr(text, '\n'))
		return type_refuse(call, "a path cannot go over several lines");
	return parse_string(call, text, base);
}

static int format_string(const struct schema_row *row, const void *base,
			 struct buf *out)
{
	char *const *field = type_field_const(row, base);

	return *field ? buf_puts(out, *field) : 0;
}

static bool equal_string(const struct schema_row *row, const void *a,
			 const void *b)
{
	return str_equal(*(char *const *)type_field_const(row, a),
			 *(char *const *)type_field_const(row, b));
}

/* ---- lists of names ---- */

/* Names are separated by commas, file patterns (the second kind) by blanks. */
static int parse_list(struct type_call *call, const char *text, void *base)
{
	const char *separators =
		call->row->type == TYPE_NAMES ? BLANKS_AND_COMMA : " \t\n";
	size_t n = 0, room = strlen(text) / 2 + 1;
	char **list = arena_alloc(call->arena, room * sizeof(*list));

	if (!list)
		return -ENOMEM;
	for (const char *at = text;;) {
		size_t len;

		at += strspn(at, separators);
		len = strcspn(at, separators);
		if (len == 0)
			break;
		list[n] = arena_strndup(call->arena, at, len);
		if (!list[n++])
			return -ENOMEM;
		at += len;
	}
	*(char ***)type_field(call->row, base) = list;
	*(size_t *)type_field2(call->row, base) = n;
	return 0;
}

static int format_list(const struct schema_row *row, const void *base,
		       struct buf *out)
{
	char **const *list = type_field_const(row, base);
	const size_t *n = type_field2_const(row, base);
	char separator = row->type == TYPE_NAMES ? ',' : ' ';

	for (size_t i = 0; i < *n; i++) {
		if (i > 0)
			(void)buf_putc(out, separator);
		(void)buf_puts(out, (*list)[i]);
	}
	return out->error;
}

static bool equal_list(const struct schema_row *row, const void *a,
		       const void *b)
{
	char **const *la = type_field_const(row, a);
	char **const *lb = type_field_const(row, b);
	size_t n = *(const size_t *)type_field2_const(row, a);

	if (n != *(const size_t *)type_field2_const(row, b))
		return false;
	for (size_t i = 0; i < n; i++)
		if (strcmp((*la)[i], (*lb)[i]) != 0)
			return false;
	return true;
}

/* ---- keys of supervisord that have no field here ---- */

static int parse_ignored(struct type_call *call _unused_,
			 const char *text _unused_, void *base _unused_)
{
	return 0;
}

static int format_ignored(const struct schema_row *row _unused_,
			  const void *base _unused_, struct buf *out _unused_)
{
	return 0;
}

static bool equal_ignored(const struct schema_row *row _unused_,
			  const void *a _unused_, const void *b _unused_)
{
	return true;
}

/* ---- the table ---- */

#define PARSE_BOOL	     parse_yes_no, format_yes_no, equal_bool
#define PARSE_U32	     parse_type_u32, format_u32, equal_u32
#define PARSE_I32	     parse_type_i32, format_i32, equal_i32
#define PARSE_U64	     parse_type_u64, format_u64, equal_u64
#define PARSE_PRIORITY	     parse_priority, format_priority, equal_priority
#define PARSE_INT	     parse_int, format_int, equal_int
#define PARSE_USEC	     parse_span, format_span, equal_u64
#define PARSE_USEC_AUTO	     parse_span_auto, format_span, equal_u64
#define PARSE_SIZE	     parse_bytes, format_bytes, equal_u64
#define PARSE_UMASK	     parse_umask, format_umask, equal_plain_int
#define PARSE_ENUM	     parse_enum, format_enum, equal_plain_int
#define PARSE_STRING	     parse_string, format_string, equal_string
#define PARSE_PATH	     parse_path, format_string, equal_string
#define PARSE_TEMPLATE	     parse_string, format_string, equal_string
#define PARSE_NAMES	     parse_list, format_list, equal_list
#define PARSE_FILES	     parse_list, format_list, equal_list
#define PARSE_IGNORED	     parse_ignored, format_ignored, equal_ignored
#define OTHER(name)	     type_parse_##name, type_format_##name, type_equal_##name
#define PARSE_LADDER	     OTHER(ladder)
#define PARSE_EXITCODES	     OTHER(exitcodes)
#define PARSE_RATE	     OTHER(rate)
#define PARSE_RLIMIT_SIZE    OTHER(rlimit)
#define PARSE_RLIMIT_COUNT   OTHER(rlimit)
#define PARSE_RLIMIT_SECONDS OTHER(rlimit)
#define PARSE_RLIMIT_USEC    OTHER(rlimit)
#define PARSE_CPUS	     OTHER(cpus)
#define PARSE_LOG	     OTHER(log)
#define PARSE_ENVIRONMENT    OTHER(environment)

const struct type types[TYPE_COUNT] = {
#define X(name, text, is_template)                                             \
	[TYPE_##name] = { text, is_template, PARSE_##name },
	TYPES(X)
#undef X
};
