/* See ending.h. A leaf is made before a start and kept for the next one, unless
 * it was killed: some kernels kill what is born into such a leaf. Without a
 * leaf, the group's number is safe to be signalled as long as the leader is not
 * reaped, which reap.c takes care of.
 */
#include "supervisor/daemon/ending.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/daemon/daemon.h"
#include "supervisor/daemon/worker.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"

/* At start, how long killed leftovers may take to vanish. */
#define LEFTOVER_WAIT_USEC (5 * USEC_PER_SEC)

/* ---- the leaf ---------------------------------------------------------- */

/* Held by name, opened when it is looked at: a worker costs one fd less. */
static int open_leaf(const struct worker *w)
{
	int fd = openat(w->daemon->cgroup.fd, w->leaf_name,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int open_events(const struct worker *w)
{
	char path[CGROUP_NAME_MAX + sizeof("/cgroup.events")];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.events", w->leaf_name);
	fd = openat(w->daemon->cgroup.fd, path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

bool ending_is_populated(const struct worker *w)
{
	_cleanup_(fd_closep) int fd = open_events(w);
	int r = fd < 0 ? fd : cgroup_events_populated(fd);

	/* No fd, no memory: then it is not known, and so not called empty. */
	return r != 0 && r != -ENOENT && r != -ENODEV;
}

static void on_leaf_events(struct watch *watch, uint32_t revents _unused_)
{
	reap_leaf_changed(container_of(watch, struct worker, leaf_events));
}

void ending_unwatch_leaf(struct worker *w)
{
	int fd = w->leaf_events.fd;

	hub_unwatch(&w->daemon->hub, &w->leaf_events);
	fd_close(fd);
}

int ending_watch_leaf(struct worker *w)
{
	int r;

	if (w->leaf_events.fd >= 0)
		return 0;
	r = open_events(w);
	if (r < 0)
		return r;
	w->leaf_events = (struct watch){ r, HUB_URGENT, on_leaf_events };
	r = hub_watch(&w->daemon->hub, &w->leaf_events, EPOLLPRI);
	if (r < 0)
		ending_unwatch_leaf(w);
	return r;
}

bool ending_leaf_emptied(struct worker *w)
{
	int r;

	if (w->leaf_events.fd < 0)
		return !ending_is_populated(w);
	r = cgroup_events_populated(w->leaf_events.fd);
	return r == 0 || r == -ENODEV; /* else: not known */
}

void ending_drop_leaf(struct worker *w)
{
	int r;

	if (!w->leaf_name)
		return;
	ending_unwatch_leaf(w);
	/* Busy: killasgroup = no left somebody in it; removed at the end by
	 * ending_remove_leaves(). */
	r = cgroup_leaf_remove(&w->daemon->cgroup, w->leaf_name);
	if (r < 0 && r != -EBUSY)
		log_debug("worker=%s cannot remove cgroup %s: %s", w->name,
			  w->leaf_name, strerror(-r));
	free(TAKE(w->leaf_name));
	w->leaf_killed = w->leaf_empty = false;
}

static char *make_leaf_name(struct worker *w)
{
	char *name;

	if (asprintf(&name, "%.*s.%" PRIu64, CGROUP_NAME_MAX - 24, w->name,
		     ++w->daemon->leaf_counter) < 0)
		return NULL;
	for (char *p = name; *p; p++)
		if (*p == '/')
			*p = '_';
	return name;
}

static int new_leaf(struct worker *w)
{
	int fd;

	ending_drop_leaf(w);
	w->leaf_name = make_leaf_name(w);
	if (!w->leaf_name)
		return -ENOMEM;
	fd = cgroup_leaf_new(&w->daemon->cgroup, w->leaf_name);
	if (fd < 0)
		free(TAKE(w->leaf_name));
	return fd;
}

int ending_prepare_leaf(struct worker *w, int *ret_fd)
{
	int fd = -ENOENT;

	*ret_fd = -1;
	if (w->daemon->cgroup.fd < 0)
		return 0;
	/* The last one serves again, if it was never killed and is empty; or
	 * if those that are left in it are to be left alone. */
	if (w->leaf_name && !w->leaf_killed)
		fd = open_leaf(w);
	if (fd >= 0 && w->settings->killasgroup && !w->leaf_empty &&
	    cgroup_leaf_is_populated(fd) != 0) {
		fd_close(fd);
		fd = -EBUSY;
	}
	if (fd < 0)
		fd = new_leaf(w);
	if (fd < 0) {
		snprintf(w->error, sizeof(w->error),
			 "cannot make its cgroup: %s", strerror(-fd));
		return fd;
	}
	w->leaf_empty = false;
	*ret_fd = fd;
	return 0;
}

/* ---- signals ----------------------------------------------------------- */

/* The group is the worker's as long as its leader is not reaped: a leader
 * that is dead but kept, or alive. With a leaf a dead leader is reaped. */
static bool has_group(const struct worker *w)
{
	return w->pid > 0 && !w->leader_is_foreign &&
	       !(w->tree != TREE_LED && w->leaf_name);
}

void ending_signal(struct worker *w, int signo)
{
	if (w->settings->stopasgroup && has_group(w)) {
		/* A MAINPID may lead no group: then it alone is told. */
		if (kill(-w->pid, signo) == 0) {
			(void)kill(-w->pid, SIGCONT);
			return;
		}
	}
	(void)spawn_signal(w->pidfd.fd, signo);
	(void)spawn_signal(w->pidfd.fd, SIGCONT);
}

void ending_signal_tree(struct worker *w, int signo)
{
	struct tree_id id = worker_tree_id(w);
	_cleanup_(fd_closep) int fd = -1;

	if (!w->settings->killasgroup)
		return;
	fd = w->leaf_name ? open_leaf(w) : -1;
	if (fd >= 0)
		(void)cgroup_leaf_signal(fd, signo);
	else
		(void)tree_signal(&id, signo);
}

static int kill_leaf(struct worker *w)
{
	_cleanup_(fd_closep) int fd = open_leaf(w);
	int r = fd < 0 ? fd : cgroup_leaf_kill(fd);

	w->leaf_killed = true;
	if (r < 0)
		log_error("worker=%s cannot use cgroup.kill: %s", w->name,
			  strerror(-r));
	return r;
}

/* True when it is done: without killasgroup, or with a leaf. */
static bool kill_at_once(struct worker *w)
{
	if (!w->settings->killasgroup) {
		(void)spawn_signal(w->pidfd.fd, SIGKILL);
		return true;
	}
	if (!w->leaf_name || kill_leaf(w) < 0)
		return false;
	/* Watching it may have failed when the leader died. */
	if (w->tree == TREE_IN_LEAF && ending_watch_leaf(w) == 0)
		reap_leaf_changed(w);
	return true;
}

void ending_kill(struct worker *w)
{
	struct daemon *d = w->daemon;

	if (worker_lingers(w)) { /* was there nothing left? then it is gone */
		d->reaper.is_due = true;
		hub_request_turn(&d->hub);
	}
	if (kill_at_once(w) || w->is_doomed)
		return;
	w->is_doomed = true;
	LIST_INSERT_HEAD(&d->ender.doomed, w, doomed_entry);
	hub_request_turn(&d->hub);
}

void ending_kill_now(struct worker *w)
{
	struct tree_id id = worker_tree_id(w);
	int r = kill_at_once(w) ? 0 : tree_kill(&id);

	if (r < 0)
		log_error("worker=%s pid=%d cannot end its tree: %s", w->name,
			  (int)w->pid, strerror(-r));
}

void ending_spare(struct worker *w)
{
	if (w->is_doomed)
		LIST_REMOVE(w, doomed_entry);
	w->is_doomed = false;
}

static void on_again(struct timer *t, uint64_t now_usec _unused_)
{
	struct ender *en = container_of(t, struct ender, again);

	hub_request_turn(&container_of(en, struct daemon, ender)->hub);
}

void ending_init(struct daemon *d)
{
	LIST_INIT(&d->ender.doomed);
	d->ender.again.on_time = on_again;
}

void ending_done(struct daemon *d)
{
	hub_disarm(&d->hub, &d->ender.again);
}

/* Returns what tree_kill_all() says. */
static int kill_together(struct ender *en)
{
	_cleanup_(free_pointer) struct tree_id *ids = NULL;
	const struct worker *w;
	size_t n = 0;

	LIST_FOREACH(w, &en->doomed, doomed_entry)
	n++;
	ids = calloc(n, sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	n = 0;
	LIST_FOREACH(w, &en->doomed, doomed_entry)
	ids[n++] = worker_tree_id(w);
	return tree_kill_all(ids, n, en->limit_usec,
			     en->limit_usec >= ENDING_KILL_MAX_USEC);
}

void ending_kill_doomed(struct daemon *d, bool more)
{
	struct ender *en = &d->ender;
	int r;

	if (LIST_EMPTY(&en->doomed) || heap_contains(&en->again.node))
		return;
	if (more && ++en->n_turns < ENDING_TURNS_MAX)
		return;
	en->n_turns = 0;
	if (en->limit_usec == 0)
		en->limit_usec = ENDING_KILL_USEC;
	r = kill_together(en);
	if (r == -EAGAIN) {
		en->limit_usec = ENDING_KILL_MAX_USEC;
		hub_arm(&d->hub, &en->again,
			usec_add(clock_monotonic_usec(), ENDING_AGAIN_USEC));
		return;
	}
	/* No memory, no fd: killed again by the timer of KILLING. */
	if (r < 0)
		log_error("cannot end trees: %s", strerror(-r));
	en->limit_usec = 0;
	while (!LIST_EMPTY(&en->doomed))
		ending_spare(LIST_FIRST(&en->doomed));
}

/* ---- leftovers --------------------------------------------------------- */

struct leaf_sweep {
	struct daemon *daemon;
	size_t n_killed;
};

/* Waits, at start only, until a killed leaf is empty. */
static void wait_until_empty(int leaf_fd)
{
	uint64_t end = usec_add(clock_monotonic_usec(), LEFTOVER_WAIT_USEC);
	struct pollfd p = { .events = POLLPRI };

	p.fd = cgroup_leaf_events_open(leaf_fd);
	while (p.fd >= 0 && cgroup_leaf_is_populated(leaf_fd) == 1 &&
	       clock_monotonic_usec() < end)
		(void)poll(&p, 1, 50);
	fd_close(p.fd);
}

static void on_old_leaf(void *userdata, const char *name)
{
	struct leaf_sweep *sweep = userdata;
	const struct cgroup_base *base = &sweep->daemon->cgroup;
	int fd = cgroup_leaf_new(base, name); /* opens one that exists */

	if (fd < 0)
		return;
	if (cgroup_leaf_is_populated(fd) == 1) {
		log_notice("ending leftovers of an earlier reeved: %s", name);
		sweep->n_killed++;
		(void)cgroup_leaf_kill(fd);
		wait_until_empty(fd);
	}
	fd_close(fd);
	(void)cgroup_leaf_remove(base, name);
}

/* Killed again until none is alive: none may run beside its successor. */
static size_t end_marked(const struct tree_id *id)
{
	uint64_t end = usec_add(clock_monotonic_usec(), LEFTOVER_WAIT_USEC);
	size_t n_killed = 0;
	int n;

	while ((n = tree_kill(id)) > 0 && clock_monotonic_usec() < end) {
		n_killed = MAX(n_killed, (size_t)n);
		(void)poll(NULL, 0, 5);
	}
	return n_killed;
}

static void on_last_leaf(void *userdata, const char *name)
{
	const struct cgroup_base *base = userdata;

	(void)cgroup_leaf_remove(base, name);
}

void ending_remove_leaves(struct daemon *d)
{
	if (d->cgroup.fd >= 0)
		(void)cgroup_each_leaf(&d->cgroup, on_last_leaf, &d->cgroup);
}

size_t ending_leftovers(struct daemon *d)
{
	struct leaf_sweep sweep = { .daemon = d };
	struct tree_id id = {
		.leader = 0,
		.mark_name = RUNTIME_INSTANCE_NAME,
		.mark = d->runtime.instance,
	};
	size_t n;

	if (d->cgroup.fd >= 0)
		(void)cgroup_each_leaf(&d->cgroup, on_old_leaf, &sweep);
	n = end_marked(&id);
	if (n > 0)
		log_notice("ended %zu leftover processes of an earlier reeved",
			   n);
	return sweep.n_killed + n;
}
