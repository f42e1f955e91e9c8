/* What there is to say about a configuration, while it is being loaded.
 *
 * Notes are collected in the order in which they are found, which is not the
 * order of the files: notes_finish() sorts them by file and line and hands
 * them out as a conf_report. Bounded: beyond CONF_MESSAGES_MAX they are only
 * counted (an error takes the place of a warning), and whoever would work hard
 * for a good message asks notes_are_full() first.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "conf/origin.h"
#include "workers/base/pure/macro.h"

/* Bytes of a piece of the file that is shown in a message. */
#define REPORT_QUOTE_MAX 72

struct note {
	bool is_error;
	uint32_t where; /* origin */
	char *text;
};

struct notes {
	struct note *items;
	size_t n_items, n_allocated;
	size_t n_kept_warnings;
	size_t n_errors, n_warnings; /* all, also those not kept */
	bool out_of_memory;	     /* one could not be kept */
};

void notes_error(struct notes *n, uint32_t where, const char *fmt, ...)
	_printf_(3, 4);
void notes_warning(struct notes *n, uint32_t where, const char *fmt, ...)
	_printf_(3, 4);
void notes_add(struct notes *n, bool is_error, uint32_t where, const char *fmt,
	       va_list ap) _printf_(4, 0);

static inline bool notes_are_full(const struct notes *n)
{
	return n->n_items >= CONF_MESSAGES_MAX;
}

/* Moves all notes to *ret_report; names[] are the files by their index.
 * Returns 0 or -ENOMEM; the report is always filled as far as it goes. */
int notes_finish(struct notes *n, char *const *names, size_t n_names,
		 struct conf_report *ret_report);
void notes_done(struct notes *n);

/* s, safe to print and not too long, in buf. Returns buf. */
const char *report_quote(const char *s, char buf[static REPORT_QUOTE_MAX]);
