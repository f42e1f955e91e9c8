/* See reap.h. A death is told once, by the pidfd; what remains is to find out
 * whether others of the tree live. With a leaf the kernel tells; without, this
 * file looks, in reap_settle(), and says GONE only when a look is sure.
 */
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
#include "workers/base/sys/procstat.h"

#define RETRY_USEC (100 * USEC_PER_MSEC)
#define LOOKS_MAX  8 /* in a row, while processes come and go under them */
#define LOOK_USEC  (20 * USEC_PER_MSEC)

static void tell_ended(struct worker *w)
{
	w->tree = TREE_ENDED;
	worker_tell(w, EVENT_GONE);
}

/* ---- with a leaf ------------------------------------------------------- */

void reap_leaf_changed(struct worker *w)
{
	if (!ending_leaf_emptied(w) || w->tree != TREE_IN_LEAF)
		return;
	ending_unwatch_leaf(w);
	w->leaf_empty = true;
	tell_ended(w);
}

static void settle_leaf(struct worker *w)
{
	w->leaf_empty = w->settings->killasgroup && !ending_is_populated(w);
	if (!w->settings->killasgroup || w->leaf_empty) {
		tell_ended(w);
		return;
	}
	w->tree = TREE_IN_LEAF;
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
	int fd, r;

	/* Its last words count: READY, or that another is the leader now. */
	inbox_catch_up(d);
	fd = w->pidfd.fd;
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
	if (w->report.fd >= 0)
		start_read_report(
			w); /* why it never ran comes before its end */
	if (!keep)	    /* reaped: the number may soon be a stranger's */
		fleet_pid_removed(&d->fleet, w);
	if (!keep && w->leaf_name) {
		settle_leaf(w);
	} else if (!keep) {
		tell_ended(w);
	} else {
		reeve_assert(!worker_lingers(w));
		w->tree = TREE_LINGERS;
		d->reaper.is_due = true;
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

/* Reaps the dead among our children that are no worker's leader, and counts
 * the living. Returns how many were dead, or -errno. */
static int reap_children(struct daemon *d, size_t *ret_n_living)
{
	_cleanup_(free_pointer) pid_t *pids = NULL;
	size_t n_living = 0;
	int n = tree_children(&pids), n_dead = 0;

	for (int i = 0; i < n; i++) {
		siginfo_t info = { 0 };

		if (fleet_by_pid(&d->fleet, pids[i]))
			continue;
		if (waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOHANG) < 0)
			continue;
		n_dead += info.si_pid != 0;
		if (pids[i] == d->spawner.pid && info.si_pid != 0)
			spawner_reset(&d->spawner);
		else if (pids[i] != d->spawner.pid && info.si_pid == 0)
			n_living++;
	}
	*ret_n_living = n_living;
	return n < 0 ? n : n_dead;
}

/* Who was dead may have left us a child after we had asked for them: only
 * when all that were asked for live is nobody missing. */
static size_t reap_strays(struct daemon *d)
{
	size_t n_living = 0;

	for (int i = 0; i < LOOKS_MAX; i++) {
		int n_dead = reap_children(d, &n_living);

		if (n_dead == 0)
			return n_living;
		if (n_dead < 0)
			break;
	}
	retry_later(d); /* not known, so not said to be none */
	return MAX(n_living, (size_t)1);
}

static void tell_gone(struct worker *w)
{
	struct lifecycle_exit e;

	LIST_REMOVE(w, linger_entry);
	/* The zombie was kept for its pid; its status is known already. */
	(void)spawn_wait(w->pidfd.fd, false, &e.code, &e.core, NULL);
	tell_ended(w);
}

/* Whose are those that were seen? Returns 0 or -errno. */
static int judge_seen(struct daemon *d, const struct tree_snapshot *snapshot)
{
	_cleanup_(free_pointer) bool *member =
		calloc(snapshot->n_processes + 1, sizeof(*member));
	struct worker *w;

	if (!member)
		return -ENOMEM;
	LIST_FOREACH(w, &d->reaper.lingering, linger_entry)
	{
		struct tree_id id = worker_tree_id(w);

		w->has_rest = tree_members(snapshot, &id, member) > 0;
	}
	return 0;
}

static void judge_newcomer(struct daemon *d, pid_t pid)
{
	struct worker *w;

	LIST_FOREACH(w, &d->reaper.lingering, linger_entry)
	{
		struct tree_id id = worker_tree_id(w);

		if (!w->has_rest && tree_has_pid(&id, pid) != 0)
			w->has_rest = true;
	}
}

/* A snapshot is not a moment: a process that was listed may fork and die before
 * it is looked at, and its child, which was not listed, lives on. But that one
 * is our child then, as we are the subreaper, and so is whoever comes by it.
 * Returns 1 when all of those could be judged, 0 when one has died meanwhile,
 * and may have left the next one, or -errno. */
static int judge_newcomers(struct daemon *d,
			   const struct tree_snapshot *snapshot)
{
	_cleanup_(free_pointer) pid_t *pids = NULL;
	int n = tree_children(&pids);
	bool is_certain = true;

	for (int i = 0; i < n; i++) {
		struct tree_process p;

		if (tree_snapshot_find(snapshot, pids[i]))
			continue;
		judge_newcomer(d, pids[i]);
		if (procstat_read(pids[i], &p) < 0 || procstat_is_dead(&p))
			is_certain = false;
	}
	return n < 0 ? n : is_certain;
}

static int judge_all(struct daemon *d)
{
	struct tree_snapshot snapshot;
	int r = tree_snapshot_take(&snapshot);

	if (r < 0)
		return r;
	r = judge_seen(d, &snapshot);
	if (r == 0)
		r = judge_newcomers(d, &snapshot);
	tree_snapshot_done(&snapshot);
	return r;
}

static void tell_rest(struct worker *w)
{
	/* Who is no child of ours dies without a word to us. */
	if (w->life.state == STATE_KILLING)
		retry_later(w->daemon);
	if (w->tree == TREE_LINGERS && worker_tell(w, EVENT_LEADER_EXIT))
		w->tree = TREE_ORPHANED;
}

/* Live orphans exist: are they of a tree whose leader is dead? While they come
 * and go faster than we look, nobody is gone, and all are to be ended. */
static void settle_trees(struct daemon *d)
{
	struct worker *w, *next;
	int r = 0;

	for (int i = 0; r == 0 && i < LOOKS_MAX; i++)
		r = judge_all(d);
	if (r <= 0) /* no memory, no fd; or they move */
		retry_later(d);
	if (r < 0)
		return;
	for (w = LIST_FIRST(&d->reaper.lingering); w; w = next) {
		next = LIST_NEXT(w, linger_entry);
		if (r > 0 && !w->has_rest)
			tell_gone(w);
		else
			tell_rest(w);
	}
}

void reap_settle(struct daemon *d)
{
	struct reaper *rp = &d->reaper;
	struct worker *w, *next;

	if (!rp->is_due)
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

/* Is there a dead orphan? The peek spares the look at all children in the
 * common case that nothing is left. */
static void look_for_orphans(struct daemon *d)
{
	siginfo_t info = { 0 };

	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
	    info.si_pid == 0)
		return;
	d->reaper.is_due = true;
	hub_request_turn(&d->hub);
}

static void on_look(struct timer *t, uint64_t now_usec _unused_)
{
	struct reaper *rp = container_of(t, struct reaper, look);

	look_for_orphans(container_of(rp, struct daemon, reaper));
}

/* A child died. Workers are told of by their pidfds, which come first; what
 * is left to find are orphans. Even the peek takes the kernel past all
 * children, and now there are replacements to be born: unless somebody waits
 * for an orphan's end, it is made a little later, once for many deaths. */
static int on_sigchld(sd_event_source *source _unused_,
		      const struct signalfd_siginfo *si _unused_,
		      void *userdata)
{
	struct daemon *d = userdata;
	struct reaper *rp = &d->reaper;

	if (!LIST_EMPTY(&rp->lingering))
		look_for_orphans(d);
	else if (!heap_contains(&rp->look.node))
		hub_arm(&d->hub, &rp->look,
			usec_add(clock_monotonic_usec(), LOOK_USEC));
	return 0;
}

size_t reap_end_strays(struct daemon *d)
{
	_cleanup_(free_pointer) struct tree_id *ids = NULL;
	_cleanup_(free_pointer) pid_t *pids = NULL;
	int n = tree_children(&pids);
	size_t n_living = 0;

	ids = n < 0 ? NULL : calloc((size_t)n + 1, sizeof(*ids));
	if (!ids)
		return 1; /* not known: asked again until END_WAIT_USEC */
	for (int i = 0; i < n; i++) {
		siginfo_t info = { 0 };

		if (pids[i] == d->spawner.pid)
			continue;
		if (waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOHANG) < 0)
			continue;
		if (info.si_pid == 0)
			ids[n_living++].leader = pids[i];
	}
	(void)tree_kill_all(ids, n_living, ENDING_KILL_MAX_USEC, true);
	if (n_living > 0)
		log_debug("ended %zu stray processes", n_living);
	return n_living;
}

int reaper_init(struct daemon *d)
{
	int r;

	LIST_INIT(&d->reaper.lingering);
	d->reaper.retry.on_time = on_retry;
	d->reaper.look.on_time = on_look;
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
	hub_disarm(&d->hub, &d->reaper.look);
	sd_event_source_unref(d->reaper.sigchld);
	d->reaper.sigchld = NULL;
}
