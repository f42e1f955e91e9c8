/* One line: prefix by format, text with control characters escaped, newline;
 * put together on the stack and handed over with one write(2), so that lines
 * of several threads and processes never mix. A line is at most LOG_LINE_MAX
 * bytes, newline included; what is longer ends in "...".
 *
 * What the sink does not take is lost: there is nobody to tell, and waiting
 * or failing here would make the log a way to stop the supervisor. errno is
 * left as it was, so that a message may stand before the use of it.
 */
#include "workers/base/sys/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "workers/base/pure/str.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"

/* Names are cut here, so that every prefix leaves room for a text. */
#define NAME_SHOWN_MAX 64

static struct {
	const char *name; /* NULL: the program's own */
	enum log_format format;
	_Atomic(enum log_level) max; /* changed by a reload, read by threads */
	log_writer writer;	     /* NULL: write to the fd */
	void *userdata;
} sink = { .format = LOG_FORMAT_AUTO, .max = LOG_LEVEL_INFO };

/* Asked once at log_init(), else for each line. */
static enum log_format resolve_format(enum log_format format)
{
	if (format != LOG_FORMAT_AUTO)
		return format;
	return isatty(STDERR_FILENO) ? LOG_FORMAT_TIME : LOG_FORMAT_PREFIX;
}

void log_init(const char *name, enum log_format format, enum log_level max)
{
	sink.name = name;
	sink.format = resolve_format(format);
	sink.max = max;
}

void log_set_level(enum log_level max)
{
	sink.max = max;
}

void log_set_writer(log_writer writer, void *userdata)
{
	sink.writer = writer;
	sink.userdata = userdata;
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_CRITICAL:
		return "critical";
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARNING:
		return "warning";
	case LOG_LEVEL_NOTICE:
		return "notice";
	case LOG_LEVEL_INFO:
		return "info";
	case LOG_LEVEL_DEBUG:
		return "debug";
	}
	return "unknown";
}

/* "2026-01-31 12:00:00.123 info ", in local time */
static size_t put_time(char *line, size_t size, enum log_level level)
{
	uint64_t now = clock_realtime_usec();
	time_t seconds = (time_t)(now / USEC_PER_SEC);
	unsigned msec = (unsigned)(now % USEC_PER_SEC / USEC_PER_MSEC);
	struct tm tm;

	if (localtime_r(&seconds, &tm) == NULL)
		return 0;
	size_t n = strftime(line, size, "%Y-%m-%d %H:%M:%S", &tm);
	return n + (size_t)snprintf(line + n, size - n, ".%03u %s ", msec,
				    level_name(level));
}

static size_t put_prefix(char *line, size_t size, enum log_level level)
{
	const char *name =
		sink.name != NULL ? sink.name : program_invocation_short_name;

	switch (resolve_format(sink.format)) {
	case LOG_FORMAT_TIME:
		return put_time(line, size, level);
	case LOG_FORMAT_PLAIN:
		return (size_t)snprintf(line, size, "%.*s: ", NAME_SHOWN_MAX,
					name);
	case LOG_FORMAT_AUTO:
	case LOG_FORMAT_PREFIX:
		return (size_t)snprintf(line, size, "<%u>", (unsigned)level);
	}
	return 0;
}

static void write_line(const char *line, size_t len)
{
	ssize_t n;

	if (sink.writer != NULL) {
		sink.writer(sink.userdata, line, len);
		return;
	}
	do
		n = write(STDERR_FILENO, line, len);
	while (n < 0 && errno == EINTR);
}

void log_write(enum log_level level, const char *fmt, ...)
{
	int saved = errno;
	char text[LOG_LINE_MAX + 1]; /* longer than what a line has room for */
	char line[LOG_LINE_MAX + 1];
	va_list ap;

	if (level > sink.max)
		return;
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);

	size_t n = put_prefix(line, sizeof(line), level);
	str_escape(text, line + n, LOG_LINE_MAX - n);
	n += strlen(line + n);
	line[n++] = '\n';
	write_line(line, n);
	errno = saved;
}
