/* Who died, and is the rest of its tree gone too?
 *
 * Known processes are reaped through their pidfd only. As subreaper the daemon
 * also inherits orphans: dead ones are reaped, live ones are looked at to see
 * whose they are. A worker is told GONE when nothing of its tree lives:
 *   with a cgroup leaf, when that is empty;
 *   without, when no child of ours is a process of its group, session or mark.
 * Until then its leader stays a zombie (its pid, and so its group and session
 * id, cannot be given to a stranger), and the worker lingers.
 *
 * Without a leaf a look is a pass over /proc, so there is one only when
 * something may have changed: a SIGCHLD came, a worker began to linger, or is
 * killed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include <systemd/sd-event.h>

#include "supervisor/daemon/hub.h"

struct daemon;
struct worker;

LIST_HEAD(worker_list, worker);

struct reaper {
	sd_event_source *sigchld;
	struct worker_list lingering; /* TREE_LINGERS, TREE_ORPHANED */
	bool is_due;		      /* something may have changed: look */
	size_t n_strays;	      /* live orphans that belong to nobody */
	struct timer retry; /* armed: a look failed for want of memory or fds */
	struct timer look;  /* armed: a child died, perhaps an orphan */
};

int reaper_init(struct daemon *d);
void reaper_done(struct daemon *d);

/* The pidfd of w is readable. */
void reap_leader(struct worker *w);

/* The leaf of w may have become empty. */
void reap_leaf_changed(struct worker *w);

/* Once per turn, before the events: settles who is gone. */
void reap_settle(struct daemon *d);

/* At the very end: SIGKILLs all that is still our child. Returns how many
 * there are. */
size_t reap_end_strays(struct daemon *d);
