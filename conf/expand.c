/* See expand.h. */
#include "conf/expand.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf/report.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/str.h"

#define NAME_MAX_BYTES 256
#define ENV_PREFIX     "ENV_"

/* %(name)-05d */
struct spec {
	char name[NAME_MAX_BYTES];
	bool zero, left;
	int width;
	char conversion;
	size_t len; /* from % to the conversion */
};

/* What a name stands for. */
struct meaning {
	const char *text; /* or: */
	bool is_number;
	uint32_t number;
};

static const char *const all_names[] = {
	"program_name", "group_name",	  "process_num",
	"numprocs",	"host_node_name", "here",
};

/* Quotes the template from its % on, for messages. */
static const char *quote_at(const char *at, char shown[static REPORT_QUOTE_MAX])
{
	return report_quote(at, shown);
}

static int parse_name(const char *at, struct spec *spec, char *reason)
{
	char shown[REPORT_QUOTE_MAX];
	const char *close;
	size_t len;

	if (at[1] != '(') {
		snprintf(reason, EXPAND_REASON_MAX,
			 "\"%s\": %% begins an expansion such as "
			 "%%(program_name)s; write %%%% for a percent sign",
			 quote_at(at, shown));
		return -EINVAL;
	}
	close = strchr(at, ')');
	len = close ? (size_t)(close - at) - 2 : 0;
	if (!close || len == 0 || len >= sizeof(spec->name)) {
		snprintf(reason, EXPAND_REASON_MAX,
			 "\"%s\": expected a name and ) after %%(",
			 quote_at(at, shown));
		return -EINVAL;
	}
	memcpy(spec->name, at + 2, len);
	spec->name[len] = '\0';
	spec->len = len + 3;
	return 0;
}

/* Reads %(name)-05d at at. */
static int parse_spec(const char *at, struct spec *ret_spec, char *reason)
{
	struct spec spec = { 0 };
	char shown[REPORT_QUOTE_MAX];
	int r;

	r = parse_name(at, &spec, reason);
	if (r < 0)
		return r;
	for (; at[spec.len] == '0' || at[spec.len] == '-'; spec.len++) {
		spec.zero |= at[spec.len] == '0';
		spec.left |= at[spec.len] == '-';
	}
	while (at[spec.len] >= '0' && at[spec.len] <= '9' &&
	       spec.width <= EXPAND_WIDTH_MAX)
		spec.width = spec.width * 10 + (at[spec.len++] - '0');
	spec.conversion = at[spec.len];
	if (spec.conversion == '\0' || !strchr("sdiuxXo", spec.conversion) ||
	    spec.width > EXPAND_WIDTH_MAX) {
		snprintf(reason, EXPAND_REASON_MAX,
			 "\"%s\": after the ) goes s, or d with a width of at "
			 "most %d, as in %%(%.64s)s or %%(process_num)02d",
			 quote_at(at, shown), EXPAND_WIDTH_MAX, spec.name);
		return -EINVAL;
	}
	spec.len++;
	*ret_spec = spec;
	return 0;
}

static const char *find_in_environment(char *const *environment,
				       const char *key)
{
	size_t len = strlen(key);

	for (; environment && *environment; environment++)
		if (strncmp(*environment, key, len) == 0 &&
		    (*environment)[len] == '=')
			return *environment + len + 1;
	return NULL;
}

/* The last entry of a key counts, as in the environment that is built. */
static const char *find_variable(const struct expand_names *names,
				 const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(names->layers); i++)
		for (size_t j = names->layers[i].n_entries; j-- > 0;)
			if (strcmp(names->layers[i].entries[j].key, key) == 0)
				return names->layers[i].entries[j].value;
	return find_in_environment(names->environment, key);
}

static bool find_meaning(const struct expand_names *names, const char *name,
			 struct meaning *ret_meaning)
{
	struct meaning m = { 0 };

	if (strcmp(name, "program_name") == 0)
		m.text = names->program_name;
	else if (strcmp(name, "group_name") == 0)
		m.text = names->group_name;
	else if (strcmp(name, "host_node_name") == 0)
		m.text = names->host_node_name;
	else if (strcmp(name, "here") == 0)
		m.text = names->here;
	else if (str_has_prefix(name, ENV_PREFIX))
		m.text = find_variable(names, name + strlen(ENV_PREFIX));
	else if (names->has_process && strcmp(name, "process_num") == 0)
		m = (struct meaning){ NULL, true, names->process_num };
	else if (names->has_process && strcmp(name, "numprocs") == 0)
		m = (struct meaning){ NULL, true, names->numprocs };
	if (!m.text && !m.is_number)
		return false;
	*ret_meaning = m;
	return true;
}

/* "unknown name X; did you mean ...; known here: ..." */
static int refuse_name(const struct expand_names *names, const char *name,
		       char *reason)
{
	char shown[REPORT_QUOTE_MAX];
	const char *near;
	struct meaning m;
	size_t n;

	if (str_has_prefix(name, ENV_PREFIX)) {
		snprintf(reason, EXPAND_REASON_MAX,
			 "%%(%s)s: there is no such variable in the "
			 "environment of this program",
			 report_quote(name, shown));
		return -EINVAL;
	}
	near = str_nearest(name, all_names, ARRAY_SIZE(all_names));
	if (near && (strcmp(near, name) == 0 || !find_meaning(names, near, &m)))
		near = NULL;
	n = (size_t)snprintf(reason, EXPAND_REASON_MAX,
			     "%%(%s)s is not known here%s%s%s; known are",
			     report_quote(name, shown),
			     near ? "; did you mean %(" : "", near ? near : "",
			     near ? ")s?" : "");
	for (size_t i = 0; i < ARRAY_SIZE(all_names); i++)
		if (find_meaning(names, all_names[i], &m))
			n += (size_t)snprintf(reason + n, EXPAND_REASON_MAX - n,
					      " %s,", all_names[i]);
	snprintf(reason + n, EXPAND_REASON_MAX - n, " ENV_...");
	return -EINVAL;
}

static int append_padded(struct buf *out, const struct spec *spec,
			 const char *text, size_t len)
{
	char pad = spec->zero && !spec->left ? '0' : ' ';
	size_t n_pad =
		(size_t)spec->width > len ? (size_t)spec->width - len : 0;

	for (size_t i = 0; !spec->left && i < n_pad; i++)
		(void)buf_putc(out, pad);
	(void)buf_append(out, text, len);
	for (size_t i = 0; spec->left && i < n_pad; i++)
		(void)buf_putc(out, pad);
	return out->error;
}

static int append_number(struct buf *out, const struct spec *spec,
			 uint32_t number)
{
	struct spec plain = *spec;
	char digits[16];
	int n = 0;

	switch (spec->conversion) {
	case 'x':
		n = snprintf(digits, sizeof(digits), "%x", number);
		break;
	case 'X':
		n = snprintf(digits, sizeof(digits), "%X", number);
		break;
	case 'o':
		n = snprintf(digits, sizeof(digits), "%o", number);
		break;
	case 's': /* Python's 0 flag is not for text */
		plain.zero = false;
		n = snprintf(digits, sizeof(digits), "%u", number);
		break;
	default:
		n = snprintf(digits, sizeof(digits), "%u", number);
		break;
	}
	return append_padded(out, &plain, digits, (size_t)n);
}

static int expand_one(const char *at, const struct expand_names *names,
		      struct buf *out, char *reason)
{
	struct meaning m;
	struct spec spec;
	int r;

	r = parse_spec(at, &spec, reason);
	if (r < 0)
		return r;
	if (!find_meaning(names, spec.name, &m))
		return refuse_name(names, spec.name, reason);
	if (m.is_number)
		r = append_number(out, &spec, m.number);
	else if (spec.conversion == 's') {
		spec.zero = false;
		r = append_padded(out, &spec, m.text, strlen(m.text));
	} else {
		snprintf(reason, EXPAND_REASON_MAX,
			 "%%(%.64s)%c: this is text, not a number; write "
			 "%%(%.64s)s",
			 spec.name, spec.conversion, spec.name);
		r = -EINVAL;
	}
	return r < 0 ? r : (int)spec.len;
}

int expand(const char *template, const struct expand_names *names,
	   struct buf *out, char reason[static EXPAND_REASON_MAX])
{
	const char *at = template;

	for (;;) {
		size_t plain = strcspn(at, "%");
		int r;

		r = buf_append(out, at, plain);
		if (r < 0)
			return r;
		at += plain;
		if (*at == '\0')
			return 0;
		if (at[1] == '%') {
			r = buf_putc(out, '%');
			at += 2;
		} else {
			r = expand_one(at, names, out, reason);
			at += MAX(r, 0);
		}
		if (r < 0)
			return r;
	}
}

int expand_here(const char *template, const char *here, struct buf *out)
{
	static const char name[] = "%(here)s";
	const char *at = template;

	while (*at) {
		if (at[0] == '%' && at[1] == '%') {
			(void)buf_puts(out, "%%");
			at += 2;
		} else if (str_has_prefix(at, name)) {
			(void)expand_escape(here, out);
			at += strlen(name);
		} else {
			(void)buf_putc(out, *at++);
		}
	}
	return out->error;
}

int expand_escape(const char *text, struct buf *out)
{
	for (; *text; text++) {
		if (*text == '%')
			(void)buf_putc(out, '%');
		(void)buf_putc(out, *text);
	}
	return out->error;
}
