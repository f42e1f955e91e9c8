/* The control socket: D-Bus through sd-bus, peer to peer, bounded.
 *
 * Properties
 *   At most CONTROL_PER_UID connections of one user and CONTROL_MAX in all,
 *   of which CONTROL_RESERVED are for root and the daemon's own user; the
 *   first message must be there within CONTROL_MESSAGE_USEC, and any that is
 *   begun must be whole within the same time; a client that does not read is
 *   dropped at CONTROL_QUEUE_MAX unsent messages.
 *   When no fd is left the listener rests for CONTROL_PAUSE_USEC: no spinning.
 * Operation
 *   Who may do what is the verb table's; it is checked once, in front of it,
 *   with the uid and gids that the kernel gave for the socket.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <sys/types.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "supervisor/core/states.h"
#include "supervisor/core/verbs.h"
#include "supervisor/daemon/hub.h"
#include "supervisor/daemon/job.h"

#define CONTROL_MAX	     64
#define CONTROL_RESERVED     8
#define CONTROL_PER_UID	     8
#define CONTROL_MESSAGE_USEC (5 * USEC_PER_SEC)
#define CONTROL_QUEUE_MAX    16384 /* messages: signals of a storm fit */
#define CONTROL_BUSY_MAX     32	   /* unread answers, then List says busy */
#define CONTROL_PAUSE_USEC   (100 * USEC_PER_MSEC)

struct daemon;
struct worker;

struct client {
	struct daemon *daemon;
	LIST_ENTRY(client) entry;
	sd_bus *bus;
	int peek_fd; /* of its own, to see bytes arrive */
	sd_event_source *peek;
	struct timer unfinished; /* armed: a message has begun */
	uid_t uid;
	gid_t *groups; /* primary first */
	size_t n_groups;
	bool is_monitor;
	bool is_dead; /* freed at the end of the turn */
	sd_bus_slot *slots[6];
};

LIST_HEAD(client_list, client);

struct control {
	int listen_fd;
	sd_event_source *listener;
	struct timer pause;
	struct client_list clients;
	size_t n_clients;
	bool has_dead;
	bool is_short; /* of fds; said once */
	struct job_list jobs;
};

int control_init(struct daemon *d, const char *path);
void control_done(struct daemon *d);

/* May this client use a verb of that access? */
bool control_may(const struct client *c, enum verb_access access);

/* Said after each answer that is given later than its request came: r is what
 * sending it returned. A client that waits for one that could not be sent, for
 * want of memory, is dropped: it is told so by the end of its connection. */
void control_answered(struct client *c, int r);

/* Tells all clients of a change of state; drops those that do not read. */
void control_state_changed(struct worker *w, enum worker_state from);

/* Frees clients that have gone. Called at the end of a turn. */
void control_sweep(struct daemon *d);
