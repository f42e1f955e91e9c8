/* See reap.h. */
#include "supervisor/daemon/reap.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "supervisor/daemon/daemon.h"
#include "supervisor/daemon/ending.h"
#include "supervisor/daemon/start.h"
#include "supervisor/daemon/worker.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"

#define RETRY_USEC (100 * USEC_PER_MSEC)

/* ---- with a leaf ------------------------------------------------------- */

void reap_leaf_changed(struct worker *w)
{
	if (!ending_leaf_emptied(w) || !w->leader_dead)
		return;
	ending_unwatch_leaf(w);
	worker_tell(w, EVENT_GONE);
}

static void settle_leaf(struct worker *w)
{
	if (!w->settings->killasgroup || !ending_is_populated(w)) {
		worker_tell(w, EVENT_GONE);
		return;
	}
	if (ending_watch_leaf(w) < 0)
		log_error("worker=%s cannot watch its cgroup", w->name);
	worker_tell(w, EVENT_LEADER_EXIT);
	reap_leaf_changed(w); /* it may have emptied before we watched */
}

/* ---- the leader -------------------------------------------------------- */

void reap_leader(struct worker *w)
{
	struct daemon *d = w->daemon;
	struct lifecycle_exit *e = &w->fact.exit;
	bool keep = !w->leaf_name && w->settings->killasgroup;
	int fd = w->pidfd.fd, r;

	r = spawn_wait(fd, keep, &e->code, &e->core, NULL);
	if (r == 0)
		return;
	if (r < 0) { /* a MAINPID that was never our child */
		e->code = 0;
		e->core = false;
		w->leader_is_foreign = true;
	}
	/* Watched no longer; the pidfd itself is kept to signal through. */
	hub_unwatch(&d->hub, &w->pidfd);
	w->pidfd.fd = fd;
	w->leader_dead = true;
	if (w->report.fd >= 0)
		start_read_report(
			w); /* why it never ran comes before its end */
	if (!keep)	    /* reaped: the number may soon be a stranger's */
		fleet_pid_removed(&d->fleet, w);
	if (!keep && w->leaf_name) {
		settle_leaf(w);
	} else if (!keep) {
		worker_tell(w, EVENT_GONE);
	} else {
		reeve_assert(!w->is_lingering);
		w->is_lingering = true;
		LIST_INSERT_HEAD(&d->reaper.lingering, w, linger_entry);
		hub_request_turn(&d->hub);
	}
}

/* ---- without a leaf, and strays ---------------------------------------- */

/* What could not be seen is looked at again soon. */
static void retry_later(struct daemon *d)
{
	hub_arm(&d->hub, &d->reaper.retry,
		usec_add(clock_monotonic_usec(), RETRY_USEC));
}

static void on_retry(struct timer *t, uint64_t now_usec _unused_)
{
	struct reaper *rp = container_of(t, struct reaper, retry);
	struct daemon *d = container_of(rp, struct daemon, reaper);

	rp->is_due = true;
	hub_request_turn(&d->hub);
}

/* Our children that are no worker's leader: the dead are reaped here, the
 * living are counted. */
static size_t reap_strays(struct daemon *d)
{
	_cleanup_(free_pointer) pid_t *pids = NULL;
	size_t n_living = 0;
	int n = tree_children(&pids);

	if (n < 0) { /* not known, so not said to be none */
		retry_later(d);
		return 1;
	}
	for (int i = 0; i < n; i++) {
		siginfo_t info = { 0 };

		if (fleet_by_pid(&d->fleet, pids[i]))
			continue;
		if (waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOHANG) < 0)
			continue;
		if (pids[i] == d->spawner.pid && info.si_pid != 0)
			spawner_reset(&d->spawner);
		else if (pids[i] != d->spawner.pid && info.si_pid == 0)
			n_living++;
	}
	return n_living;
}

static void tell_gone(struct worker *w)
{
	struct lifecycle_exit e;

	LIST_REMOVE(w, linger_entry);
	w->is_lingering = false;
	/* The zombie was kept for its pid; its status is known already. */
	(void)spawn_wait(w->pidfd.fd, false, &e.code, &e.core, NULL);
	worker_tell(w, EVENT_GONE);
}

/* Live orphans exist: are they of a tree whose leader is dead? */
static void settle_trees(struct daemon *d)
{
	struct tree_snapshot snapshot;
	struct worker *w, *next;
	bool *member;

	if (tree_snapshot_take(&snapshot) < 0) { /* no memory, no fd */
		retry_later(d);
		return;
	}
	member = calloc(snapshot.n_processes + 1, sizeof(*member));
	for (w = LIST_FIRST(&d->reaper.lingering); w && member; w = next) {
		struct tree_id id = worker_tree_id(w);

		next = LIST_NEXT(w, linger_entry);
		memset(member, 0, snapshot.n_processes * sizeof(*member));
		if (tree_members(&snapshot, &id, member) == 0)
			tell_gone(w);
		else if (!w->leader_told)
			w->leader_told = worker_tell(w, EVENT_LEADER_EXIT);
	}
	if (!member)
		retry_later(d);
	free(member);
	tree_snapshot_done(&snapshot);
}

void reap_settle(struct daemon *d)
{
	struct reaper *rp = &d->reaper;
	struct worker *w, *next;

	if (!rp->is_due && LIST_EMPTY(&rp->lingering))
		return;
	rp->is_due = false;
	rp->n_strays = reap_strays(d);
	if (LIST_EMPTY(&rp->lingering))
		return;
	if (rp->n_strays > 0) {
		settle_trees(d);
		return;
	}
	for (w = LIST_FIRST(&rp->lingering); w; w = next) {
		next = LIST_NEXT(w, linger_entry);
		tell_gone(w);
	}
}

/* A child died. Workers are told of by their pidfds, which come first; what
 * is left to find here are orphans. The peek spares the look at all children
 * in the common case that nothing is left. */
static int on_sigchld(sd_event_source *source _unused_,
		      const struct signalfd_siginfo *si _unused_,
		      void *userdata)
{
	struct daemon *d = userdata;
	siginfo_t info = { 0 };

	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
	    info.si_pid == 0)
		return 0;
	d->reaper.is_due = true;
	hub_request_turn(&d->hub);
	return 0;
}

size_t reap_end_strays(struct daemon *d)
{
	_cleanup_(free_pointer) pid_t *pids = NULL;
	size_t n_living = 0;
	int n = tree_children(&pids);

	if (n < 0)
		return 1; /* not known: asked again until END_WAIT_USEC */
	for (int i = 0; i < n; i++) {
		struct tree_id id = { .leader = pids[i] };
		siginfo_t info = { 0 };

		if (pids[i] == d->spawner.pid)
			continue;
		if (waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOHANG) < 0)
			continue;
		if (info.si_pid != 0)
			continue;
		n_living++;
		(void)tree_kill(&id);
	}
	if (n_living > 0)
		log_debug("ended %zu stray processes", n_living);
	return n_living;
}

int reaper_init(struct daemon *d)
{
	int r;

	LIST_INIT(&d->reaper.lingering);
	d->reaper.retry.on_time = on_retry;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return -errno;
	r = sd_event_add_signal(d->hub.event, &d->reaper.sigchld, SIGCHLD,
				on_sigchld, d);
	if (r < 0)
		return r;
	return sd_event_source_set_priority(d->reaper.sigchld,
					    HUB_PRIORITY_SIGNAL);
}

void reaper_done(struct daemon *d)
{
	hub_disarm(&d->hub, &d->reaper.retry);
	sd_event_source_unref(d->reaper.sigchld);
	d->reaper.sigchld = NULL;
}
