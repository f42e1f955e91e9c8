/* Text to values, as configuration files, the command line and worker
 * messages spell them. Pure: no locale, no allocation, no errno.
 *
 * All take a whole NUL-terminated string (leading and trailing blanks are an
 * error unless said otherwise) and return 0, -EINVAL (not of this form) or
 * -ERANGE (of this form, but outside of min and max); ret_ is untouched on
 * failure.
 */
#pragma once

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits only. */
int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret_value);

/* Decimal, with an optional sign. */
int parse_i64(const char *s, int64_t min, int64_t max, int64_t *ret_value);

/* true yes on 1 t y / false no off 0 f n, any case (supervisord's words). */
int parse_bool(const char *s, bool *ret_value);

/* A time span: a bare number is seconds ("5", "0.5"); with a unit us, ms, s,
 * sec, min, m, h, d, or several of them ("1min 30s"); "infinity". */
int parse_usec(const char *s, uint64_t *ret_usec);

/* A size in bytes: a bare number, or with K KB M MB G GB T TB (powers of
 * 1024, any case), as supervisord reads stdout_logfile_maxbytes. */
int parse_size(const char *s, uint64_t *ret_bytes);

/* Octal file mode bits, 0 to 07777. */
int parse_octal(const char *s, unsigned *ret_value);

/* "TERM", "SIGTERM", "15", "RTMIN+3", "RTMAX-1"; any case. */
int parse_signal(const char *s, int *ret_signal);

/* A set of CPUs: "0-3,8" or blanks instead of commas. */
int parse_cpus(const char *s, cpu_set_t *ret_cpus);

#define SIGNAL_NAME_MAX 16

/* "SIGTERM", "SIGRTMIN+3", or "signal 99". The pointer is valid as long as
 * buf is; buf may stay unused. */
const char *signal_name(int signo, char buf[static SIGNAL_NAME_MAX]);

#define USEC_TEXT_MAX 32

/* A span for people: "0.4s", "12m", "3d 2h"; at most two units. */
const char *usec_text(uint64_t usec, char buf[static USEC_TEXT_MAX]);
