/* A daemon for tests of the CLI: the real socket and the real interface (made
 * of the verb table), with answers that the test gives. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <systemd/sd-bus.h>

#include "supervisor/core/verbs.h"

/* Answers one call, in the daemon's process: replies itself and returns 1,
 * or returns what sd_bus_error_setf() does. */
typedef int (*fake_handler)(sd_bus_message *m, enum verb_id verb,
			    sd_bus_error *error);

/* May be returned by a handler: the call is never answered; the daemon ends. */
#define FAKE_SILENT 1
int fake_end(void);

/* When set before fake_start(): what all methods return, whatever the verb
 * table says; for a daemon of another version. */
extern const char *fake_out;

struct fake_daemon {
	const char *socket; /* control.sock in unit_tmpdir() */
	pid_t pid;
};

/* Listens before it returns. The handler and all that it uses are those of the
 * moment: the daemon is a fork. */
void fake_start(struct fake_daemon *f, fake_handler handler);

/* Kills it, if it has not ended. */
void fake_stop(struct fake_daemon *f);

/* True when it has ended by itself; asked before fake_stop(). */
bool fake_has_ended(const struct fake_daemon *f);

/* What the CLI did. */
struct cli_result {
	int exit_code;
	char *out, *err; /* owned */
};

/* Runs reeve with these arguments (the last is NULL), "-s SOCKET" in front
 * unless f is NULL. */
struct cli_result fake_run(const struct fake_daemon *f, ...);
void cli_result_done(struct cli_result *result);

/* Appends one row of List. Returns 0 or -errno. */
int fake_append_row(sd_bus_message *m, const char *name, const char *group,
		    const char *state,
		    const uint64_t numbers[LIST_NUMBER_COUNT],
		    const char *status, const char *error);
