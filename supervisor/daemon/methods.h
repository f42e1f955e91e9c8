/* The verbs, answered; and the objects that busctl shows.
 *
 * One sd-bus handler for all members: it finds the row of the verb table,
 * checks the access of that row, and calls the handler of the verb.
 */
#pragma once

#include <systemd/sd-bus.h>

struct client;

/* Adds /org/reeve/Supervisor1 and the worker objects. Returns 0 or -errno. */
int methods_attach(struct client *c);
