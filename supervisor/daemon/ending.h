/* Signals to a worker and the end of its tree; and its cgroup leaf.
 *
 * With a leaf: cgroup.kill, nothing survives. Without: live descendants,
 * process group, session and mark, stopped and killed to a fixpoint. That takes
 * several looks at /proc, so the trees that are to be killed in one turn are
 * noted (doomed) and killed together at its end; for a bounded time, and when
 * that was too short, again after the others had their turn, and longer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "supervisor/daemon/hub.h"

/* How long the loop may stand still for killing trees: at first, and when that
 * was too short. */
#define ENDING_KILL_USEC     (250 * USEC_PER_MSEC)
#define ENDING_KILL_MAX_USEC (2 * USEC_PER_SEC)
#define ENDING_AGAIN_USEC    (10 * USEC_PER_MSEC)
/* A turn handles some workers only: turns that are waited for others. */
#define ENDING_TURNS_MAX 64

struct daemon;
struct worker;

struct ender {
	LIST_HEAD(doomed_list, worker) doomed;
	struct timer again;  /* armed: not all were ended in time */
	uint64_t limit_usec; /* of the next time; 0: ENDING_KILL_USEC */
	unsigned n_turns;    /* that the first one waits */
};

/* A leaf to be born in: *ret_fd is its directory (the caller's), or -1 without
 * cgroups. Returns 0, or -errno with w->error worded. */
int ending_prepare_leaf(struct worker *w, int *ret_fd);
void ending_drop_leaf(struct worker *w);

/* Is a live process in the leaf of w? */
bool ending_is_populated(const struct worker *w);

/* reap_leaf_changed() is called when that may have changed, after which
 * ending_leaf_emptied() must be asked. */
int ending_watch_leaf(struct worker *w);
bool ending_leaf_emptied(struct worker *w);
void ending_unwatch_leaf(struct worker *w);

void ending_signal(struct worker *w, int signo); /* stopasgroup */
void ending_signal_tree(struct worker *w, int signo);

/* killasgroup: the tree; without a leaf, at the end of the turn. */
void ending_kill(struct worker *w);

/* The same, but done on return, as far as it can be; for a worker that is to
 * forget its process. */
void ending_kill_now(struct worker *w);

/* Its process is gone: it is not to be killed any more. */
void ending_spare(struct worker *w);

void ending_init(struct daemon *d);
void ending_done(struct daemon *d);

/* At the end of a turn: kills the doomed, unless more workers are about to be
 * handled, who may join them. */
void ending_kill_doomed(struct daemon *d, bool more);

/* At the very end: removes the leaves that killasgroup = no left behind. */
void ending_remove_leaves(struct daemon *d);

/* Ends what an earlier reeved of this runtime directory left. Returns how
 * many processes were killed. */
size_t ending_leftovers(struct daemon *d);
