/* See notify.h. */
#include "supervisor/daemon/notify.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/parse.h"

#define NUMBER_MAX 20 /* digits of UINT64_MAX */

struct span {
	const char *text;
	size_t len;
};

static void set_watchdog_usec(struct notify_message *m, uint64_t n)
{
	m->watchdog_usec = n;
}

static void set_extend_timeout(struct notify_message *m, uint64_t n)
{
	m->extend_timeout_usec = n;
}

static void set_monotonic(struct notify_message *m, uint64_t n)
{
	m->monotonic_usec = n;
}

static void set_mainpid(struct notify_message *m, uint64_t n)
{
	m->mainpid = (pid_t)n;
}

static void set_error(struct notify_message *m, uint64_t n)
{
	m->error = (int)n;
}

static void add_tasks(struct notify_message *m, uint64_t n)
{
	m->tasks = (uint32_t)MIN(m->tasks + n, (uint64_t)UINT32_MAX);
}

/* One row per name and form: either the very value, or a number. */
static const struct field {
	const char *name;
	enum notify_field field;
	const char *value;
	void (*set)(struct notify_message *m, uint64_t n);
	uint64_t min, max;
} fields[] = {
	{ "READY", NOTIFY_READY, .value = "1" },
	{ "RELOADING", NOTIFY_RELOADING, .value = "1" },
	{ "STOPPING", NOTIFY_STOPPING, .value = "1" },
	{ "WATCHDOG", NOTIFY_WATCHDOG, .value = "1" },
	{ "WATCHDOG", NOTIFY_WATCHDOG_TRIGGER, .value = "trigger" },
	{ "FDSTORE", NOTIFY_FDSTORE, .value = "1" },
	{ "BARRIER", NOTIFY_BARRIER, .value = "1" },
	{ "WATCHDOG_USEC", NOTIFY_WATCHDOG_USEC, NULL, set_watchdog_usec, 0,
	  UINT64_MAX },
	{ "EXTEND_TIMEOUT_USEC", NOTIFY_EXTEND_TIMEOUT, NULL,
	  set_extend_timeout, 0, UINT64_MAX },
	{ "MONOTONIC_USEC", NOTIFY_MONOTONIC, NULL, set_monotonic, 0,
	  UINT64_MAX },
	{ "MAINPID", NOTIFY_MAINPID, NULL, set_mainpid, 1, INT_MAX },
	{ "ERRNO", NOTIFY_ERRNO, NULL, set_error, 0, INT_MAX },
	{ "X_REEVE_TASKS", NOTIFY_TASKS, NULL, add_tasks, 0, UINT32_MAX },
};

static bool span_equals(struct span s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.text, text, s.len) == 0;
}

static int span_to_u64(struct span s, uint64_t min, uint64_t max,
		       uint64_t *ret_value)
{
	char digits[NUMBER_MAX + 1];

	if (s.len > NUMBER_MAX)
		return -ERANGE;
	memcpy(digits, s.text, s.len);
	digits[s.len] = '\0';
	return parse_u64(digits, min, max, ret_value);
}

static void keep_status(struct notify_message *m, struct span value)
{
	size_t len = MIN(value.len, sizeof(m->status) - 1);

	/* Do not leave the first bytes of a UTF-8 character behind. */
	for (int i = 0; len < value.len && i < 3; i++)
		if (((unsigned char)value.text[len] & 0xc0) == 0x80)
			len--;
	memcpy(m->status, value.text, len);
	m->status[len] = '\0';
	m->fields |= NOTIFY_STATUS;
}

/* 1: taken; 0: not of this form. */
static int take_field(struct notify_message *m, const struct field *f,
		      struct span value)
{
	uint64_t n = 0;

	if (f->value ? !span_equals(value, f->value)
		     : span_to_u64(value, f->min, f->max, &n) < 0)
		return 0;
	if (f->set)
		f->set(m, n);
	m->fields |= f->field;
	return 1;
}

static void parse_line(struct notify_message *m, struct span line)
{
	const char *equals = memchr(line.text, '=', line.len);
	bool is_known = false;
	struct span name, value;

	if (!equals)
		return;
	name = (struct span){ line.text, (size_t)(equals - line.text) };
	value = (struct span){ equals + 1, line.len - name.len - 1 };
	if (span_equals(name, "STATUS")) {
		keep_status(m, value);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (!span_equals(name, fields[i].name))
			continue;
		if (take_field(m, &fields[i], value))
			return;
		is_known = true;
	}
	if (is_known)
		m->n_bad++;
}

int notify_parse(const char *data, size_t len,
		 struct notify_message *ret_message)
{
	struct notify_message m = { 0 };

	if (len > NOTIFY_MESSAGE_MAX)
		return -EMSGSIZE;
	while (len > 0 && data[len - 1] == '\0')
		len--;
	if (len > 0 && memchr(data, '\0', len))
		return -EBADMSG;
	while (len > 0) {
		const char *newline = memchr(data, '\n', len);
		size_t line_len = newline ? (size_t)(newline - data) : len;

		parse_line(&m, (struct span){ data, line_len });
		if (!newline)
			break;
		data += line_len + 1;
		len -= line_len + 1;
	}
	*ret_message = m;
	return 0;
}
