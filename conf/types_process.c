/* The types of values that say how a process is ended, judged, logged and
 * furnished. See types.h. */
#include "conf/types.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "conf/environment.h"
#include "conf/report.h"
#include "conf/schema.h"
#include "conf/settings.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/parse.h"
#include "workers/base/pure/str.h"
#include "workers/base/pure/usec.h"

#define WORD_MAX	64
#define NAMED_SIGNALS	31
#define LADDER_WAIT_MAX USEC_PER_DAY
#define RATE_COUNT_MAX	1000000
#define INHERIT_FD_MAX	65535

/* Refuses word as a signal, with the nearest name that is one. */
static int refuse_signal(struct type_call *call, const char *word)
{
	char names[NAMED_SIGNALS][SIGNAL_NAME_MAX];
	const char *candidates[2 * NAMED_SIGNALS];
	char shown[REPORT_QUOTE_MAX];
	const char *near;

	for (int i = 0; i < NAMED_SIGNALS; i++) {
		const char *name = signal_name(i + 1, names[i]);

		candidates[2 * i] = name;
		candidates[2 * i + 1] =
			str_has_prefix(name, "SIG") ? name + 3 : name;
	}
	near = str_nearest(word, candidates, ARRAY_SIZE(candidates));
	return type_refuse(call,
			   "\"%s\" is not a signal; %s%s%swrite a name "
			   "(TERM, SIGINT, RTMIN+3) or number",
			   report_quote(word, shown),
			   near ? "did you mean \"" : "", near ? near : "",
			   near ? "\"? " : "");
}

/* ---- stopsignal = TERM:10 INT:5 KILL ---- */

static int parse_rung(struct type_call *call, char *word,
		      struct stop_rung *ret_rung)
{
	struct stop_rung rung = { .wait_usec = LADDER_WAIT_DEFAULT };
	char *colon = strchr(word, ':');

	if (colon)
		*colon++ = '\0';
	if (parse_signal(word, &rung.signo) < 0)
		return refuse_signal(call, word);
	if (rung.signo == SIGKILL) {
		if (colon)
			return type_refuse(call, "KILL takes no time: nothing "
						 "follows it");
		rung.wait_usec = 0;
	} else if (colon && (parse_usec(colon, &rung.wait_usec) < 0 ||
			     rung.wait_usec > LADDER_WAIT_MAX)) {
		return type_refuse(call,
				   "after %s: goes the time to wait, in "
				   "seconds or with a unit, at most a day "
				   "(TERM:10)",
				   word);
	}
	*ret_rung = rung;
	return 0;
}

int type_parse_ladder(struct type_call *call, const char *text, void *base)
{
	struct stop_ladder ladder = { 0 };
	char word[WORD_MAX];
	int r;

	while ((r = type_next_word(&text, word, sizeof(word))) > 0) {
		size_t n = ladder.n_rungs;

		if (n == SETTINGS_LADDER_MAX)
			return type_refuse(call, "more than %d signals",
					   SETTINGS_LADDER_MAX);
		if (n > 0 && ladder.rungs[n - 1].signo == SIGKILL)
			return type_refuse(call, "KILL can only be the last");
		r = parse_rung(call, word, &ladder.rungs[n]);
		if (r < 0)
			return r;
		ladder.n_rungs++;
	}
	if (r < 0 || ladder.n_rungs == 0)
		return type_refuse(call, "write a signal (TERM), or several "
					 "with waits (TERM:10 INT:5 KILL)");
	*(struct stop_ladder *)type_field(call->row, base) = ladder;
	return 0;
}

static const char *short_name(int signo, char buf[static SIGNAL_NAME_MAX])
{
	const char *name = signal_name(signo, buf);

	return str_has_prefix(name, "SIG") ? name + 3 : name;
}

int type_format_ladder(const struct schema_row *row, const void *base,
		       struct buf *out)
{
	const struct stop_ladder *ladder = type_field_const(row, base);
	char name[SIGNAL_NAME_MAX];

	for (size_t i = 0; i < ladder->n_rungs; i++) {
		const struct stop_rung *rung = &ladder->rungs[i];

		(void)buf_printf(out, "%s%s", i > 0 ? " " : "",
				 short_name(rung->signo, name));
		if (rung->signo == SIGKILL ||
		    rung->wait_usec == LADDER_WAIT_DEFAULT)
			continue;
		(void)buf_putc(out, ':');
		(void)type_format_usec(rung->wait_usec, out);
	}
	return out->error;
}

bool type_equal_ladder(const struct schema_row *row, const void *a,
		       const void *b)
{
	const struct stop_ladder *la = type_field_const(row, a);
	const struct stop_ladder *lb = type_field_const(row, b);

	if (la->n_rungs != lb->n_rungs)
		return false;
	for (size_t i = 0; i < la->n_rungs; i++)
		if (la->rungs[i].signo != lb->rungs[i].signo ||
		    la->rungs[i].wait_usec != lb->rungs[i].wait_usec)
			return false;
	return true;
}

/* ---- exitcodes = 0 2 SIGTERM ---- */

int type_parse_exitcodes(struct type_call *call, const char *text, void *base)
{
	struct exit_set set = { 0 };
	char word[WORD_MAX];
	uint64_t code;
	int r, signo;

	while ((r = type_next_word(&text, word, sizeof(word))) > 0) {
		r = parse_u64(word, 0, 255, &code);
		if (r == 0) {
			set.codes[code / 64] |= UINT64_C(1) << code % 64;
			continue;
		}
		if (r == -ERANGE)
			return type_refuse(call, "an exit code is a number "
						 "from 0 to 255");
		if (parse_signal(word, &signo) < 0)
			return refuse_signal(call, word);
		set.signals[signo / 64] |= UINT64_C(1) << signo % 64;
	}
	if (r < 0)
		return type_refuse(call, "write exit codes and names of "
					 "signals (0 2 SIGTERM)");
	*(struct exit_set *)type_field(call->row, base) = set;
	return 0;
}

int type_format_exitcodes(const struct schema_row *row, const void *base,
			  struct buf *out)
{
	const struct exit_set *set = type_field_const(row, base);
	const char *separator = "";
	char name[SIGNAL_NAME_MAX];

	for (int i = 0; i < 256; i++)
		if (set->codes[i / 64] >> i % 64 & 1) {
			(void)buf_printf(out, "%s%d", separator, i);
			separator = " ";
		}
	for (int i = 1; i <= 64; i++)
		if (set->signals[i / 64] >> i % 64 & 1) {
			(void)buf_printf(out, "%s%s", separator,
					 signal_name(i, name));
			separator = " ";
		}
	return out->error;
}

bool type_equal_exitcodes(const struct schema_row *row, const void *a,
			  const void *b)
{
	return memcmp(type_field_const(row, a), type_field_const(row, b),
		      sizeof(struct exit_set)) == 0;
}

/* ---- restart_limit = 5/60s ---- */

int type_parse_rate(struct type_call *call, const char *text, void *base)
{
	struct rate rate = { 0 };
	char count[WORD_MAX];
	const char *slash = strchr(text, '/');
	uint64_t n = 0;

	if (!slash && strcmp(text, "0") == 0)
		goto out;
	if (!slash || (size_t)(slash - text) >= sizeof(count))
		goto refuse;
	memcpy(count, text, (size_t)(slash - text));
	count[slash - text] = '\0';
	if (parse_u64(count, 1, RATE_COUNT_MAX, &n) < 0 ||
	    parse_usec(slash + 1, &rate.interval_usec) < 0 ||
	    rate.interval_usec == 0)
		goto refuse;
	rate.n = (uint32_t)n;
out:
	*(struct rate *)type_field(call->row, base) = rate;
	return 0;
refuse:
	return type_refuse(call, "write a count and a time span (5/60s), or 0 "
				 "for no limit");
}

int type_format_rate(const struct schema_row *row, const void *base,
		     struct buf *out)
{
	const struct rate *rate = type_field_const(row, base);

	if (rate->n == 0)
		return buf_putc(out, '0');
	(void)buf_printf(out, "%" PRIu32 "/", rate->n);
	return type_format_usec(rate->interval_usec, out);
}

bool type_equal_rate(const struct schema_row *row, const void *a, const void *b)
{
	const struct rate *ra = type_field_const(row, a);
	const struct rate *rb = type_field_const(row, b);

	return ra->n == rb->n && ra->interval_usec == rb->interval_usec;
}

/* ---- stdout_logfile = path|AUTO|NONE|/dev/stdout|/dev/fd/N ---- */

/* Words for one target each; case matters only in paths. */
static const struct {
	const char *word;
	enum log_target target;
	int fd;
} log_words[] = {
	{ "AUTO", LOG_TO_AUTO, -1 },
	{ "NONE", LOG_TO_NONE, -1 },
	{ "OFF", LOG_TO_NONE, -1 },
	{ "/dev/null", LOG_TO_NONE, -1 },
	{ "/dev/stdout", LOG_TO_INHERIT, 1 },
	{ "/dev/stderr", LOG_TO_INHERIT, 2 },
};

static const char *const fd_directories[] = { "/dev/fd/", "/proc/self/fd/" };

static int parse_inherited(struct type_call *call, const char *number,
			   struct log_setting *log)
{
	uint64_t fd = 0;

	if (parse_u64(number, 1, INHERIT_FD_MAX, &fd) < 0)
		return type_refuse(call,
				   "after /dev/fd/ goes the number of an open "
				   "file of reeved, 1 to %d",
				   INHERIT_FD_MAX);
	log->target = LOG_TO_INHERIT;
	log->fd = (int)fd;
	return 0;
}

static int parse_target(struct type_call *call, const char *text,
			struct log_setting *log)
{
	for (size_t i = 0; i < ARRAY_SIZE(log_words); i++)
		if (strcasecmp(text, log_words[i].word) == 0) {
			log->target = log_words[i].target;
			log->fd = log_words[i].fd;
			return 0;
		}
	for (size_t i = 0; i < ARRAY_SIZE(fd_directories); i++)
		if (str_has_prefix(text, fd_directories[i]))
			return parse_inherited(
				call, text + strlen(fd_directories[i]), log);
	if (strcasecmp(text, "syslog") == 0)
		return type_refuse(call, "syslog is not supported; write a "
					 "path, AUTO, or /dev/stdout and let "
					 "reeved's own log go there");
	if (text[0] == '\0' || strchr(text, '\n'))
		return type_refuse(call, "write a path, AUTO, NONE, "
					 "/dev/stdout or /dev/fd/N");
	log->target = LOG_TO_FILE;
	log->path = arena_strdup(call->arena, text);
	return log->path ? 0 : -ENOMEM;
}

int type_parse_log(struct type_call *call, const char *text, void *base)
{
	struct log_setting log = { .fd = -1 };
	int r = parse_target(call, text, &log);

	if (r == 0)
		*(struct log_setting *)type_field(call->row, base) = log;
	return r;
}

int type_format_log(const struct schema_row *row, const void *base,
		    struct buf *out)
{
	const struct log_setting *log = type_field_const(row, base);

	switch (log->target) {
	case LOG_TO_FILE:
		return buf_puts(out, log->path);
	case LOG_TO_AUTO:
		return buf_puts(out, "AUTO");
	case LOG_TO_NONE:
		return buf_puts(out, "NONE");
	case LOG_TO_INHERIT:
		break;
	}
	if (log->fd == 1 || log->fd == 2)
		return buf_puts(out,
				log->fd == 1 ? "/dev/stdout" : "/dev/stderr");
	return buf_printf(out, "/dev/fd/%d", log->fd);
}

bool type_equal_log(const struct schema_row *row, const void *a, const void *b)
{
	const struct log_setting *la = type_field_const(row, a);
	const struct log_setting *lb = type_field_const(row, b);

	return la->target == lb->target && la->fd == lb->fd &&
	       str_equal(la->path, lb->path);
}

/* ---- environment = KEY="value" ---- */

int type_parse_environment(struct type_call *call, const char *text, void *base)
{
	char reason[ENVIRONMENT_REASON_MAX];
	int r;

	r = environment_parse(text, call->arena, type_field(call->row, base),
			      type_field2(call->row, base), reason);
	return r == -EINVAL ? type_refuse(call, "%s", reason) : r;
}

int type_format_environment(const struct schema_row *row, const void *base,
			    struct buf *out)
{
	struct environment_entry *const *entries = type_field_const(row, base);
	const size_t *n = type_field2_const(row, base);

	return environment_format(*entries, *n, true, out);
}

bool type_equal_environment(const struct schema_row *row, const void *a,
			    const void *b)
{
	struct environment_entry *const *ea = type_field_const(row, a);
	struct environment_entry *const *eb = type_field_const(row, b);
	size_t n = *(const size_t *)type_field2_const(row, a);

	if (n != *(const size_t *)type_field2_const(row, b))
		return false;
	for (size_t i = 0; i < n; i++)
		if (strcmp((*ea)[i].key, (*eb)[i].key) != 0 ||
		    strcmp((*ea)[i].value, (*eb)[i].value) != 0)
			return false;
	return true;
}
