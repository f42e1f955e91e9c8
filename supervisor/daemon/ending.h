/* Signals to a worker and the end of its tree; and its cgroup leaf.
 *
 * With a leaf: cgroup.kill, nothing survives. Without: live descendants,
 * process group, session and mark, stopped and killed to a fixpoint.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct daemon;
struct worker;

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
void ending_kill(struct worker *w); /* killasgroup */

/* At the very end: removes the leaves that killasgroup = no left behind. */
void ending_remove_leaves(struct daemon *d);

/* Ends what an earlier reeved of this runtime directory left. Returns how
 * many processes were killed. */
size_t ending_leftovers(struct daemon *d);
