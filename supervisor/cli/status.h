/* What workers are doing: the rows of List, as a table or as JSON. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <systemd/sd-bus.h>

#include "supervisor/cli/text.h"
#include "supervisor/core/verbs.h"
#include "workers/base/pure/buf.h"

/* One row of List (core/verbs.h); strings belong to the message. Times are
 * microseconds, 0: none, unless said otherwise. */
struct status_row {
	const char *name, *group, *state;
	uint32_t pid; /* 0: none */
	uint64_t state_age_usec, uptime_usec, next_start_usec;
	uint64_t restarts, recycles, failures, tasks;
	uint32_t flags; /* LIST_... */
	int32_t exit_code;
	uint64_t exit_age_usec, exit_uptime_usec;
	const char *status, *error;
};

struct status_rows {
	sd_bus_message *reply; /* holds the strings */
	struct status_row *rows;
	size_t n_rows, n_allocated;
};

/* Reads a reply of List (takes a reference). Returns 0 or -errno. */
int status_rows_read(sd_bus_message *reply, struct status_rows *ret_rows);
void status_rows_done(struct status_rows *rows);

/* Each appends to out. Returns 0 or -errno. */
int status_render_table(const struct status_row *rows, size_t n_rows,
			const struct text_style *style, struct buf *out);
int status_render_json(const struct status_row *rows, size_t n_rows,
		       struct buf *out);

/* CLI_FAULT when a row has LIST_FAULT, else CLI_OK. */
int status_exit(const struct status_row *rows, size_t n_rows);

struct client;
struct cli;

/* Asks for the workers that patterns (NULL-terminated) name, all when empty.
 * Returns CLI_OK, or an exit code after it was logged. */
int status_fetch(const struct cli *cli, struct client *client, char **patterns,
		 struct status_rows *ret_rows);
