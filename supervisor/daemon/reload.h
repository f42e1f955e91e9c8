/* Reading the configuration again: plan, then apply only what changed.
 *
 * The first look, which may hang (files on a dead server, NSS), is taken by
 * a helper process with a deadline: it loads the whole configuration and
 * sends what the user and group names mean. Then the daemon loads it with
 * those answers, compares, and applies all of the plan or, when anything is
 * wrong, nothing. One reload at a time.
 */
#pragma once

#include <stdbool.h>

#include <systemd/sd-bus.h>

struct client;
struct daemon;

#define RELOAD_TIMEOUT_USEC (10 * USEC_PER_SEC)

/* Begins; request (NULL: SIGHUP) is answered with the plan or the errors when
 * it is done. Returns 0 or -errno: -EBUSY, one is under way. */
int reload_begin(struct daemon *d, struct client *client,
		 sd_bus_message *request, bool dry_run);

/* The client of a request is gone: goes on without it. */
void reload_client_gone(struct daemon *d, struct client *client);

/* Gives up what is under way. */
void reload_cancel(struct daemon *d);
