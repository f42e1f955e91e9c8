/* The log sink: the program's own messages, one line each, to one fd.
 *
 * The only global of the tree. Lines are formatted into a fixed buffer,
 * control characters escaped, and written with one write(2); a sink that
 * cannot take them never blocks the caller for longer than the fd does and
 * never fails it (that SIGPIPE is ignored is up to the program). Safe to use
 * from several threads (a line is one write); not between fork and exec.
 *
 * Messages are lower case, say what failed, on which object, and use the same
 * key names everywhere: worker= pid= state= code= signal= uptime=.
 */
#pragma once

#include <stdbool.h>

#include "workers/base/pure/macro.h"

/* syslog(3) numbers, as sd-daemon(3) prefixes use them. */
enum log_level {
	LOG_LEVEL_CRITICAL = 2,
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

enum log_format {
	LOG_FORMAT_AUTO,   /* TIME when the fd is a terminal, else PREFIX */
	LOG_FORMAT_PREFIX, /* "<6>text": systemd's journal takes the level */
	LOG_FORMAT_TIME,   /* "2026-01-31 12:00:00.123 info text" */
	LOG_FORMAT_PLAIN,  /* "program: text", for the CLI */
};

#define LOG_LINE_MAX 2048

/* Without this call: fd 2, info, AUTO. name is kept, not copied. */
void log_init(const char *name, enum log_format format, enum log_level max);
void log_set_level(enum log_level max);

/* Every line goes to this instead of the fd; NULL undoes it. Used for
 * logfile= and by tests. The callback gets one whole line with \n. It is the
 * fd that decides on AUTO, also then. */
typedef void (*log_writer)(void *userdata, const char *line, size_t len);
void log_set_writer(log_writer writer, void *userdata);

void log_write(enum log_level level, const char *fmt, ...) _printf_(2, 3);

#define log_critical(...) log_write(LOG_LEVEL_CRITICAL, __VA_ARGS__)
#define log_error(...)	  log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...)  log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)	  log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)	  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	  log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
