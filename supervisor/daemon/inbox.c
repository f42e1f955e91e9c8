/* See inbox.h. Whose a message is, is asked of the kernel anew for each: by the
 * pid that it vouches for, then by cgroup, or by ancestors, group and session,
 * and for an orphan by its mark. What a worker says changes that worker only.
 */
#include "supervisor/daemon/inbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "supervisor/daemon/daemon.h"
#include "supervisor/daemon/worker.h"
#include "workers/base/pure/str.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"
#include "workers/base/sys/procstat.h"

#define CGROUP_FILE_MAX 16384
#define ANCESTORS_MAX	1000
#define QUEUE_MAX_FILE	"/proc/sys/net/unix/max_dgram_qlen"

/* ---- whose process is it? ------------------------------------------------ */

/* By cgroup: the leaf's name in /proc/PID/cgroup. */
static struct worker *by_leaf(struct daemon *d, pid_t pid)
{
	_cleanup_(free_pointer) char *text = NULL;
	char path[64];
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if (fd_read_file(-1, path, CGROUP_FILE_MAX, &text, &len) < 0)
		return NULL;
	for (size_t i = 0; i < d->fleet.n_workers; i++) {
		struct worker *w = d->fleet.workers[i];

		if (w->leaf_name && w->life.has_process &&
		    strstr(text, w->leaf_name) &&
		    cgroup_leaf_has_pid(&d->cgroup, w->leaf_name, pid) == 1)
			return w;
	}
	return NULL;
}

/* Without cgroups: the nearest ancestor that is a worker's, or is in a
 * worker's group or session; a process that has just ended can still be asked.
 * *ret_is_ours: none is, but the ancestors lead to us. */
static struct worker *by_ancestry(struct daemon *d, pid_t pid,
				  bool *ret_is_ours)
{
	pid_t self = getpid();

	*ret_is_ours = false;
	for (int i = 0; i < ANCESTORS_MAX && pid != self; i++) {
		struct worker *w = fleet_by_pid(&d->fleet, pid);
		struct tree_process p;

		if (!w && procstat_read(pid, &p) < 0)
			return NULL;
		if (!w)
			w = fleet_by_pid(&d->fleet, p.pgrp);
		if (!w)
			w = fleet_by_pid(&d->fleet, p.session);
		if (w)
			return w->life.has_process ? w : NULL;
		pid = p.ppid;
	}
	*ret_is_ours = pid == self;
	return NULL;
}

/* By mark, which others can know: so only an orphan that is ours is asked for
 * it, and it has to be of the worker's user. */
static struct worker *by_mark(struct daemon *d, pid_t pid, uid_t uid)
{
	char mark[TREE_MARK_LEN + 1];

	if (tree_environment(pid, TREE_MARK_NAME, mark, sizeof(mark)) < 0)
		return NULL;
	for (size_t i = 0; i < d->fleet.n_workers; i++) {
		struct worker *w = d->fleet.workers[i];
		const struct identity *id = &w->settings->identity;

		if (!w->life.has_process || strcmp(w->mark, mark) != 0)
			continue;
		return uid == (id->is_set ? id->uid : geteuid()) ? w : NULL;
	}
	return NULL;
}

static struct worker *find_sender(struct daemon *d, pid_t pid, uid_t uid)
{
	struct worker *w = fleet_by_pid(&d->fleet, pid);
	bool is_ours;

	if (w && w->life.has_process && w->tree == TREE_LED)
		return w;
	if (d->cgroup.fd >= 0)
		return by_leaf(d, pid);
	w = by_ancestry(d, pid, &is_ours);
	return !w && is_ours ? by_mark(d, pid, uid) : w;
}

static bool is_in_tree(struct worker *w, pid_t pid)
{
	struct tree_id id = worker_tree_id(w);

	if (w->leaf_name)
		return cgroup_leaf_has_pid(&w->daemon->cgroup, w->leaf_name,
					   pid) == 1;
	return tree_has_pid(&id, pid) == 1;
}

/* ---- what it says -------------------------------------------------------- */

/* A new main process, of its own tree only: checked again once its pidfd is
 * held, so that the number cannot have changed hands between. */
static void take_main_pid(struct worker *w, pid_t pid)
{
	struct hub *h = &w->daemon->hub;
	int old = w->pidfd.fd, fd;

	/* Once the main process is dead the run is being ended. */
	if (pid == w->pid || w->tree != TREE_LED || !is_in_tree(w, pid))
		return;
	fd = pidfd_open(pid, 0);
	if (fd < 0 || !is_in_tree(w, pid)) {
		fd_close(fd);
		return;
	}
	hub_unwatch(h, &w->pidfd);
	w->pidfd.fd = fd;
	if (hub_watch(h, &w->pidfd, EPOLLIN) < 0) {
		fd_close(fd);
		w->pidfd.fd = old;
		(void)hub_watch(h, &w->pidfd, EPOLLIN);
		return;
	}
	fd_close(old);
	fleet_pid_removed(&w->daemon->fleet, w);
	w->pid = pid;
	fleet_pid_added(&w->daemon->fleet, w);
	w->daemon->reaper.is_due = true; /* the old one is a stray now */
	hub_request_turn(h);
	log_info("worker=%s pid=%d is its main process now", w->name, (int)pid);
}

static void take_status(struct worker *w, const struct notify_message *m)
{
	char escaped[WORKER_STATUS_MAX];

	str_escape(m->status, escaped, sizeof(escaped));
	free(w->status);
	w->status = strdup(escaped);
}

static void take_watchdog(struct worker *w, const struct notify_message *m)
{
	if (m->fields & NOTIFY_WATCHDOG_USEC)
		w->watchdog_usec = m->watchdog_usec;
	if (m->fields & NOTIFY_WATCHDOG_TRIGGER) {
		if (w->life.state == STATE_RUNNING ||
		    w->life.state == STATE_STARTING)
			snprintf(w->error, sizeof(w->error),
				 "watchdog: triggered by itself");
		worker_tell(w, EVENT_WATCHDOG);
	} else if (m->fields & (NOTIFY_WATCHDOG | NOTIFY_WATCHDOG_USEC)) {
		worker_heartbeat(w);
	}
}

static void take_message(struct worker *w, const struct notify_message *m)
{
	if (m->fields & NOTIFY_STATUS)
		take_status(w, m);
	if (m->fields & NOTIFY_MAINPID)
		take_main_pid(w, m->mainpid);
	if (m->fields & NOTIFY_EXTEND_TIMEOUT) {
		w->fact.extend_usec = m->extend_timeout_usec;
		worker_tell(w, EVENT_EXTEND);
	}
	if (m->fields & NOTIFY_READY)
		worker_tell(w, EVENT_READY);
	if (m->fields & NOTIFY_TASKS)
		worker_count_tasks(w, m->tasks);
	take_watchdog(w, m);
}

static void take_datagram(struct inbox *in, const struct notify_datagram *dg)
{
	struct daemon *d = in->daemon;
	struct notify_message message;
	struct worker *w;

	if (notify_parse(dg->data, dg->len, &message) < 0) {
		in->n_refused++;
		return;
	}
	w = find_sender(d, dg->pid, dg->uid);
	if (!w) {
		in->n_refused++;
		log_debug("message of pid=%d ignored: of no worker's tree",
			  (int)dg->pid);
		return;
	}
	take_message(w, &message);
}

/* Up to max. True: the socket has run dry. */
static bool take_batch(struct inbox *in, unsigned max)
{
	static struct notify_datagram dg; /* 4 KiB: not on the stack */

	for (unsigned i = 0; i < max; i++) {
		int r = notify_socket_receive(in->fd, &dg);

		if (r == -EAGAIN)
			return true;
		in->n_urgent++;
		if (r < 0)
			in->n_refused++;
		else
			take_datagram(in, &dg);
	}
	return false;
}

/* Watched anew before it is let go: out of memory, all stays as it is. */
static void change_watch(struct inbox *in, struct watch *from, struct watch *to)
{
	to->fd = in->fd;
	if (hub_watch(&in->daemon->hub, to, EPOLLIN) < 0)
		to->fd = -1;
	else
		hub_unwatch(&in->daemon->hub, from);
}

static void on_datagram(struct watch *watch, uint32_t revents _unused_)
{
	struct inbox *in = container_of(watch, struct inbox, watch);

	if (in->n_urgent < INBOX_URGENT_MAX)
		(void)take_batch(in, INBOX_URGENT_MAX - in->n_urgent);
	if (in->n_urgent >= INBOX_URGENT_MAX)
		change_watch(in, &in->watch, &in->flood);
}

static void on_flood(struct watch *watch, uint32_t revents _unused_)
{
	struct inbox *in = container_of(watch, struct inbox, flood);

	if (!take_batch(in, INBOX_URGENT_MAX))
		return;
	in->n_urgent = 0;
	change_watch(in, &in->flood, &in->watch);
}

/* What a message tells of was before the death of who sent it, and stands
 * before it in the queue; what is sent from now on is behind. */
void inbox_catch_up(struct daemon *d)
{
	struct inbox *in = &d->inbox;

	if (!in->daemon || in->caught_up == d->hub.n_looks)
		return;
	in->caught_up = d->hub.n_looks;
	(void)take_batch(in, in->queue_max);
}

/* The kernel's limit for sockets that are made now; one more gets in. */
static unsigned read_queue_max(void)
{
	_cleanup_(free_pointer) char *text = NULL;
	uint64_t n = INBOX_CATCH_UP_MAX;

	if (fd_read_file(AT_FDCWD, QUEUE_MAX_FILE, 64, &text, NULL) == 0)
		n = strtoull(text, NULL, 10) + 1;
	return (unsigned)MIN(n, (uint64_t)INBOX_CATCH_UP_MAX);
}

int inbox_init(struct daemon *d, const char *path)
{
	struct inbox *in = &d->inbox;
	int fd = notify_socket_open(path);

	*in = (struct inbox){
		.daemon = d,
		.fd = fd,
		.queue_max = read_queue_max(),
		.caught_up = UINT64_MAX, /* never */
		.watch = { fd, HUB_URGENT, on_datagram },
		.flood = { -1, HUB_BULK, on_flood },
	};
	if (fd < 0) {
		log_error("cannot listen on %s: %s", path, strerror(-fd));
		return fd;
	}
	return hub_watch(&d->hub, &in->watch, EPOLLIN);
}

void inbox_done(struct daemon *d)
{
	struct inbox *in = &d->inbox;

	if (!in->daemon)
		return;
	hub_unwatch(&d->hub, &in->watch);
	hub_unwatch(&d->hub, &in->flood);
	in->fd = fd_close(in->fd);
}
