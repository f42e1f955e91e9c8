/* What busctl and gdbus ask of a bus, answered by each connection itself.
 *
 * There is no broker: a client is connected to reeved and nobody else. These
 * tools insist on org.freedesktop.DBus all the same: Hello first, matches,
 * names, and BecomeMonitor for `busctl monitor`. This file is all of it.
 */
#pragma once

#include <systemd/sd-bus.h>

struct client;

#define BROKER_DAEMON_NAME ":1.0" /* reeved, as clients see it */

/* Adds the object to the client's connection. Returns 0 or -errno. */
int broker_attach(struct client *c, sd_bus_slot **ret_slot);
