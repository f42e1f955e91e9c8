/* %(name)s in values, as supervisord expands them with Python's % operator.
 *
 * Names: program_name, group_name, process_num, numprocs, host_node_name,
 * here, and ENV_X for the environment variable X. A conversion is s for any
 * of them, or d i u x X o for the two numbers, with Python's flags 0 and -
 * and a width: %(process_num)02d. %% is a percent sign; anything else after
 * % is an error that names it. Pure but for the buffer's memory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/settings.h"
#include "workers/base/pure/buf.h"

#define EXPAND_WIDTH_MAX  64
#define EXPAND_REASON_MAX 512

/* Literal values that go before the environment's. */
struct expand_layer {
	const struct environment_entry *entries;
	size_t n_entries;
};

/* What is known where a value stands; NULL and false: not known there. */
struct expand_names {
	const char *program_name, *group_name, *host_node_name, *here;
	bool has_process; /* the two numbers */
	uint32_t process_num, numprocs;
	struct expand_layer layers[2]; /* looked up in this order, ... */
	char *const *environment;      /* ... then here */
};

/* Appends the expansion of template to out. Returns 0; -EINVAL with what is
 * wrong and what would be right in reason; -EMSGSIZE (longer than out's
 * limit) or -ENOMEM. */
int expand(const char *template, const struct expand_names *names,
	   struct buf *out, char reason[static EXPAND_REASON_MAX]);

/* Appends template with %(here)s replaced and all else as it is: the result
 * is still a template. Returns 0 or -ENOMEM. */
int expand_here(const char *template, const char *here, struct buf *out);

/* Appends text so that expand() gives it back: % becomes %%. */
int expand_escape(const char *text, struct buf *out);
