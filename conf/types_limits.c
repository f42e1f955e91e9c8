/* The types of resource limits and CPU sets. See types.h. */
#include "conf/types.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <string.h>
#include <strings.h>

#include "conf/schema.h"
#include "conf/settings.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/parse.h"
#include "workers/base/pure/usec.h"

#define LIMIT_TEXT_MAX 64

/* ---- rlimit_nofile = 1024:4096 ---- */

/* One half, in the unit of setrlimit(2). */
static int parse_amount(enum type_id type, const char *text,
			uint64_t *ret_value)
{
	uint64_t value = 0;
	int r;

	if (type == TYPE_RLIMIT_SIZE)
		r = parse_size(text, &value);
	else if (type == TYPE_RLIMIT_COUNT)
		r = parse_u64(text, 0, INT64_MAX, &value);
	else
		r = parse_usec(text, &value);
	if (r < 0)
		return r;
	if (type == TYPE_RLIMIT_SECONDS && value % USEC_PER_SEC != 0)
		return -EINVAL;
	if (type == TYPE_RLIMIT_SECONDS)
		value /= USEC_PER_SEC;
	if (value >= RLIM_INFINITY)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

static int refuse_limit(struct type_call *call)
{
	static const char *const forms[TYPE_COUNT] = {
		[TYPE_RLIMIT_SIZE] = "a size in bytes or with KB, MB, GB",
		[TYPE_RLIMIT_COUNT] = "a number",
		[TYPE_RLIMIT_SECONDS] = "whole seconds",
		[TYPE_RLIMIT_USEC] = "a time span",
	};
	const char *form = forms[call->row->type];

	if (call->row->max > 0)
		return type_refuse(call,
				   "write %s of at most %" PRId64
				   ", infinity, or two of them as soft:hard",
				   form, call->row->max);
	return type_refuse(
		call, "write %s, infinity, or two of them as soft:hard", form);
}

static int parse_limit(struct type_call *call, const char *text,
		       rlim_t *ret_limit)
{
	uint64_t value = 0;
	int r;

	if (strcasecmp(text, "infinity") == 0 ||
	    strcasecmp(text, "unlimited") == 0) {
		*ret_limit = RLIM_INFINITY;
		return 0;
	}
	r = parse_amount(call->row->type, text, &value);
	if (r == 0 && call->row->max > 0 && value > (uint64_t)call->row->max)
		r = -ERANGE;
	if (r < 0)
		return refuse_limit(call);
	*ret_limit = value;
	return 0;
}

int type_parse_rlimit(struct type_call *call, const char *text, void *base)
{
	struct rlimit_setting limit = { .is_set = text[0] != '\0' };
	const char *colon = strchr(text, ':');
	size_t n_soft = colon ? (size_t)(colon - text) : strlen(text);
	char soft[LIMIT_TEXT_MAX] = "";
	int r = 0;

	/* too long for a number: refused as the empty string is */
	if (n_soft < sizeof(soft))
		memcpy(soft, text, n_soft);
	if (limit.is_set)
		r = parse_limit(call, soft, &limit.value.rlim_cur);
	limit.value.rlim_max = limit.value.rlim_cur;
	if (r == 0 && colon)
		r = parse_limit(call, colon + 1, &limit.value.rlim_max);
	if (r < 0)
		return r;
	if (limit.value.rlim_cur > limit.value.rlim_max)
		return type_refuse(call, "the soft limit, before the :, must "
					 "not be above the hard one");
	*(struct rlimit_setting *)type_field(call->row, base) = limit;
	return 0;
}

static int format_limit(const struct schema_row *row, rlim_t value,
			struct buf *out)
{
	if (value == RLIM_INFINITY)
		return buf_puts(out, "infinity");
	if (row->type == TYPE_RLIMIT_USEC)
		return type_format_usec(value, out);
	return buf_printf(out, "%" PRIu64, (uint64_t)value);
}

int type_format_rlimit(const struct schema_row *row, const void *base,
		       struct buf *out)
{
	const struct rlimit_setting *limit = type_field_const(row, base);

	if (!limit->is_set)
		return 0;
	(void)format_limit(row, limit->value.rlim_cur, out);
	if (limit->value.rlim_cur == limit->value.rlim_max)
		return out->error;
	(void)buf_putc(out, ':');
	return format_limit(row, limit->value.rlim_max, out);
}

bool type_equal_rlimit(const struct schema_row *row, const void *a,
		       const void *b)
{
	const struct rlimit_setting *la = type_field_const(row, a);
	const struct rlimit_setting *lb = type_field_const(row, b);

	return la->is_set == lb->is_set &&
	       la->value.rlim_cur == lb->value.rlim_cur &&
	       la->value.rlim_max == lb->value.rlim_max;
}

/* ---- cpu_affinity = 0-3,8 ---- */

int type_parse_cpus(struct type_call *call, const char *text, void *base)
{
	cpu_set_t set, *copy = NULL;

	if (text[0] != '\0') {
		if (parse_cpus(text, &set) < 0 || CPU_COUNT(&set) == 0)
			return type_refuse(call,
					   "write numbers and ranges of CPUs "
					   "(0-3,8), below %d",
					   CPU_SETSIZE);
		copy = arena_copy(call->arena, &set, sizeof(set));
		if (!copy)
			return -ENOMEM;
	}
	*(cpu_set_t **)type_field(call->row, base) = copy;
	return 0;
}

int type_format_cpus(const struct schema_row *row, const void *base,
		     struct buf *out)
{
	cpu_set_t *const *field = type_field_const(row, base);
	const cpu_set_t *set = *field;
	const char *separator = "";

	for (size_t i = 0, end; set && i < CPU_SETSIZE; i = end + 1) {
		end = i;
		if (!CPU_ISSET(i, set))
			continue;
		while (end + 1 < CPU_SETSIZE && CPU_ISSET(end + 1, set))
			end++;
		(void)buf_printf(out, "%s%zu", separator, i);
		if (end > i)
			(void)buf_printf(out, "-%zu", end);
		separator = ",";
	}
	return out->error;
}

bool type_equal_cpus(const struct schema_row *row, const void *a, const void *b)
{
	cpu_set_t *const *sa = type_field_const(row, a);
	cpu_set_t *const *sb = type_field_const(row, b);

	if (!*sa || !*sb)
		return *sa == *sb;
	return CPU_EQUAL(*sa, *sb);
}
