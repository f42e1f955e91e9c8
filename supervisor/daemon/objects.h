/* What can be looked at: properties of the daemon and of each worker, and the
 * StateChanged signal. For busctl, gdbus, and whoever speaks D-Bus.
 */
#pragma once

#include <stddef.h>

#include <systemd/sd-bus.h>

#include "supervisor/core/states.h"

struct client;
struct worker;

#define OBJECTS_MANAGER_ROWS 12

/* Writes the rows of the daemon's object; returns how many. */
size_t objects_manager_rows(sd_bus_vtable *rows);

/* Adds /org/reeve/Supervisor1/worker/NAME for all. Returns 0 or -errno. */
int objects_attach_workers(struct client *c);

/* Sends StateChanged(worker, from, to, pid, exit code, reason) to one client.
 * Returns 0 or -errno. */
int objects_emit_change(struct client *c, const struct worker *w,
			enum worker_state from);
