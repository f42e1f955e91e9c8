/* See environment.h. */
#include "conf/environment.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf/report.h"
#include "workers/base/pure/macro.h"

#define BLANKS " \t\n"

struct piece {
	const char *text;
	size_t len;
};

static int refuse(char *reason, const char *at, const char *what)
{
	char shown[REPORT_QUOTE_MAX];

	snprintf(reason, ENVIRONMENT_REASON_MAX,
		 "%s at \"%s\"; write KEY=\"value\",KEY2=\"value\"", what,
		 report_quote(at, shown));
	return -EINVAL;
}

/* Takes KEY= from *at. */
static int take_key(const char **at, struct piece *ret_key, char *reason)
{
	const char *start = *at + strspn(*at, BLANKS);
	size_t len = strcspn(start, "=,\"'" BLANKS);
	const char *after = start + len + strspn(start + len, BLANKS);

	if (len == 0 || *after != '=')
		return refuse(reason, start, "expected KEY=");
	*ret_key = (struct piece){ start, len };
	*at = after + 1;
	return 0;
}

/* Takes a value from *at, up to the comma after it or the end. */
static int take_value(const char **at, struct piece *ret_value, char *reason)
{
	const char *start = *at + strspn(*at, BLANKS), *stop;
	size_t len;

	if (*start == '"' || *start == '\'') {
		stop = strchr(start + 1, *start);
		if (!stop)
			return refuse(reason, start, "unclosed quote");
		*ret_value =
			(struct piece){ start + 1, (size_t)(stop - start) - 1 };
		stop += 1 + strspn(stop + 1, BLANKS);
		if (*stop != ',' && *stop != '\0')
			return refuse(reason, start,
				      "expected a comma after the quoted "
				      "value");
		*at = stop;
		return 0;
	}
	len = strcspn(start, ",\n");
	stop = start + len;
	while (len > 0 && strchr(BLANKS, start[len - 1]))
		len--;
	if (*stop == '\n')
		stop += strspn(stop, BLANKS);
	if (*stop != ',' && *stop != '\0')
		return refuse(reason, start,
			      "expected a comma at the end of the line");
	*ret_value = (struct piece){ start, len };
	*at = stop;
	return 0;
}

static int parse_pair(const char **at, struct arena *a,
		      struct environment_entry *ret_entry, char *reason)
{
	struct environment_entry e;
	struct piece key = { 0 }, value = { 0 };
	int r;

	r = take_key(at, &key, reason);
	if (r < 0)
		return r;
	r = take_value(at, &value, reason);
	if (r < 0)
		return r;
	e.key = arena_strndup(a, key.text, key.len);
	e.value = arena_strndup(a, value.text, value.len);
	if (!e.key || !e.value)
		return -ENOMEM;
	*ret_entry = e;
	return 0;
}

int environment_parse(const char *text, struct arena *a,
		      struct environment_entry **ret_entries,
		      size_t *ret_n_entries,
		      char reason[static ENVIRONMENT_REASON_MAX])
{
	struct environment_entry list[ENVIRONMENT_MAX];
	const char *at = text + strspn(text, BLANKS);
	void *copy = NULL;
	size_t n = 0;
	int r;

	while (*at) {
		if (n == ARRAY_SIZE(list)) {
			snprintf(reason, ENVIRONMENT_REASON_MAX,
				 "more than %d variables", ENVIRONMENT_MAX);
			return -EINVAL;
		}
		r = parse_pair(&at, a, &list[n++], reason);
		if (r < 0)
			return r;
		if (*at == ',')
			at++;
		at += strspn(at, BLANKS); /* a comma at the end is fine */
	}
	if (n > 0) {
		copy = arena_copy(a, list, n * sizeof(*list));
		if (!copy)
			return -ENOMEM;
	}
	*ret_entries = copy;
	*ret_n_entries = n;
	return 0;
}

static void format_value(const char *value, struct buf *out)
{
	char quote = strchr(value, '"') ? '\'' : '"';

	if (strchr(value, quote)) {
		(void)buf_puts(out, value); /* was written without quotes */
		return;
	}
	(void)buf_putc(out, quote);
	(void)buf_puts(out, value);
	(void)buf_putc(out, quote);
}

int environment_format(const struct environment_entry *entries,
		       size_t n_entries, bool with_values, struct buf *out)
{
	for (size_t i = 0; i < n_entries; i++) {
		if (i > 0)
			(void)buf_puts(out, with_values ? "," : ", ");
		(void)buf_puts(out, entries[i].key);
		if (!with_values)
			continue;
		(void)buf_putc(out, '=');
		format_value(entries[i].value, out);
	}
	return out->error;
}
