/* Signals to a tree, and its end.
 *
 * A snapshot is not a moment: processes are born and die while it is read. So
 * the end of a tree is a fixpoint. What is stopped does not fork; therefore
 * all members are stopped, waited for until that is seen, and looked at again,
 * until a look finds nobody who had not stopped before it began: whom such a
 * look does not list does not exist. Only then are they killed.
 *
 * Many trees are ended together: a look costs a pass over /proc, and one serves
 * them all. The rounds are bounded, and so is their time; when that is up, what
 * was found stays stopped, and the caller is told to come again. To kill then
 * would let those go whom the looks have not met, as who they descend from is
 * what tells them; the last time it is done all the same.
 *
 * Three things could get away from that:
 *   - a process in uninterruptible sleep is not seen to stop, nor is one whose
 *     first thread has ended: after some rounds they are killed unseen, and
 *     then all is done once more;
 *   - the kernel wakes the stopped, with SIGHUP and SIGCONT, when a death leaves
 *     their process group without a parent in its session: so all is done once
 *     more, too, when there was more than one to kill;
 *   - a chain in which each forks and exits at once is elsewhere before a look
 *     is over. The leader's group is signalled as a whole, which no fork
 *     escapes; and who leaves that too, and its parent, is our child, as we are
 *     the subreaper: there we wait for it.
 */
#include "workers/base/sys/tree.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/pidfd.h"
#include "workers/base/sys/procstat.h"

#define STOP_ROUNDS_MAX	  32
#define KILL_PASSES_MAX	  3
#define UNSEEN_ROUNDS_MAX 8    /* then those that do not stop never will */
#define AWAIT_TRIES_MAX	  64   /* looks at one that was told to stop */
#define PURSUITS_MAX	  1000 /* looks at the last child, in one round */
#define PURSUITS_IDLE_MAX 16   /* of them, in which nobody new came */

static bool is_stopped(const struct tree_process *p)
{
	return p->state == 'T' || p->state == 't';
}

/* Whoever has the pid while its start time is read has had it since then, and
 * so when the pidfd was opened. */
int tree_signal_process(const struct tree_process *process, int signo)
{
	_cleanup_(fd_closep) int pidfd = -1;
	struct tree_process now;
	int r;

	if (process->pid <= 1 || process->pid == getpid() || process->is_kernel)
		return -EPERM;
	pidfd = pidfd_open(process->pid, 0);
	if (pidfd < 0 && errno != ENOSYS) /* see pidfd.h */
		return errno == ESRCH ? 0 : -errno;
	r = procstat_read(process->pid, &now);
	if (r < 0)
		return r == -ESRCH ? 0 : r;
	if (now.start_ticks != process->start_ticks || procstat_is_dead(&now))
		return 0;
	r = pidfd < 0 ? (kill(process->pid, signo) < 0 ? -errno : 0)
		      : pidfd_signal(pidfd, signo);
	return r == 0 ? 1 : r == -ESRCH ? 0 : r;
}

/* One look at a tree. */
struct look {
	struct tree_snapshot snapshot;
	bool *member;
};

static void look_done(struct look *look)
{
	tree_snapshot_done(&look->snapshot);
	free(TAKE(look->member));
}

/* The trees that are ended together, and until when. */
struct ending {
	const struct tree_id *ids;
	size_t n_ids;
	uint64_t end_usec;
};

static bool is_late(const struct ending *e)
{
	return clock_monotonic_usec() >= e->end_usec;
}

static int look_take(const struct tree_id *ids, size_t n_ids,
		     struct look *ret_look)
{
	struct look look = { 0 };
	bool *one;
	int r = tree_snapshot_take(&look.snapshot);
	size_t n = look.snapshot.n_processes;

	if (r < 0)
		return r;
	look.member = calloc(n + 1, sizeof(bool));
	one = calloc(n + 1, sizeof(bool));
	if (!look.member || !one) {
		free(one);
		look_done(&look);
		return -ENOMEM;
	}
	for (size_t k = 0; k < n_ids; k++) {
		(void)tree_members(&look.snapshot, &ids[k], one);
		for (size_t i = 0; i < n; i++)
			look.member[i] |= one[i];
	}
	free(one);
	*ret_look = look;
	return 0;
}

static bool look_has(const struct look *look, const struct tree_process *p)
{
	const struct tree_process *same =
		tree_snapshot_find(&look->snapshot, p->pid);

	return same && same->start_ticks == p->start_ticks &&
	       look->member[same - look->snapshot.processes];
}

int tree_signal(const struct tree_id *id, int signo)
{
	struct look look = { 0 };
	int n = 0, r = look_take(id, 1, &look);

	for (size_t i = 0; r == 0 && i < look.snapshot.n_processes; i++)
		if (look.member[i])
			n += tree_signal_process(&look.snapshot.processes[i],
						 signo) == 1;
	look_done(&look);
	return r < 0 ? r : n;
}

/* --- the end ------------------------------------------------------------- */

/* The whole group in one call, which no fork escapes. Its number is certainly
 * still the leader's while the leader is our child, which only we reap. */
static void signal_own_groups(const struct ending *e, int signo)
{
	for (size_t i = 0; i < e->n_ids; i++) {
		pid_t pid = e->ids[i].leader;
		struct tree_process leader;

		if (pid <= 1 || pid == getpid() ||
		    procstat_read(pid, &leader) < 0)
			continue;
		if (leader.ppid == getpid() && leader.pgrp == pid)
			(void)kill(-pid, signo);
	}
}

/* What a round of stopping met. */
struct stop_count {
	int n_new;     /* not seen by the look before */
	int n_stopped; /* they ran until now */
	int n_gone;    /* they were no more there */
};

/* Stops what runs; other users' processes are left alone. */
static struct stop_count stop_members(const struct look *look,
				      const struct look *before)
{
	struct stop_count count = { 0 };

	for (size_t i = 0; i < look->snapshot.n_processes; i++) {
		const struct tree_process *p = &look->snapshot.processes[i];
		int r;

		if (!look->member[i])
			continue;
		count.n_new += !look_has(before, p);
		if (is_stopped(p))
			continue;
		r = tree_signal_process(p, SIGSTOP);
		count.n_gone += r == 0;
		count.n_stopped += r == 1;
	}
	return count;
}

/* Waits until it is seen that p has stopped, or is no more. A process that we
 * may not signal counts as stopped. */
static bool has_stopped(const struct ending *e, const struct tree_process *p)
{
	struct tree_process now = *p;

	for (int i = 0; i < AWAIT_TRIES_MAX && !is_late(e); i++) {
		if (is_stopped(&now) || procstat_is_dead(&now) ||
		    now.start_ticks != p->start_ticks)
			return true;
		if (tree_signal_process(p, 0) == -EPERM)
			return true;
		(void)sched_yield(); /* it needs a processor */
		if (procstat_read(p->pid, &now) == -ESRCH)
			return true;
	}
	return false;
}

/* Returns how many of the members have not stopped. */
static int await_stop(const struct ending *e, const struct look *look)
{
	int n = 0;

	for (size_t i = 0; i < look->snapshot.n_processes; i++)
		if (look->member[i])
			n += !has_stopped(e, &look->snapshot.processes[i]);
	return n;
}

static bool is_member(const struct ending *e, pid_t pid)
{
	for (size_t i = 0; i < e->n_ids; i++)
		if (tree_has_pid(&e->ids[i], pid) == 1)
			return true;
	return false;
}

/* Stops pid if it lives and belongs. Returns true when it was stopped. */
static bool stop_if_member(const struct ending *e, pid_t pid)
{
	struct tree_process p;

	return procstat_read(pid, &p) == 0 && !procstat_is_dead(&p) &&
	       !is_stopped(&p) && is_member(e, pid) &&
	       tree_signal_process(&p, SIGSTOP) == 1;
}

/* The child that came to us last, or 0: orphans join at the end. */
static pid_t last_child(void)
{
	_cleanup_(free_pointer) pid_t *pids = NULL;
	int n = tree_children(&pids);

	return n > 0 ? pids[n - 1] : 0;
}

/* Looks at the orphans that come to us, until one is caught or no more come. */
static void pursue(const struct ending *e)
{
	pid_t last = 0;
	int n_idle = 0;

	for (int i = 0; i < PURSUITS_MAX && n_idle < PURSUITS_IDLE_MAX; i++) {
		pid_t pid = last_child();

		if (pid == 0 || stop_if_member(e, pid) || is_late(e))
			return;
		n_idle = pid == last ? n_idle + 1 : 0;
		last = pid;
	}
}

/* Stops and looks until a look finds only what had stopped before it began, and
 * no orphan has come meanwhile. Returns 1 when that is so, 0 when it may not
 * be, or -errno. *look is the last one; before, one whose members are dead. */
static int stop_all(const struct ending *e, struct look *look,
		    const struct look *before)
{
	int n_running = 0;

	for (int round = 0; round < STOP_ROUNDS_MAX; round++) {
		pid_t last = last_child();
		struct look next = { 0 };
		struct stop_count count;
		bool is_moving;
		int r = look_take(e->ids, e->n_ids, &next);

		if (r < 0)
			return r;
		count = stop_members(&next, round == 0 ? before : look);
		look_done(look);
		*look = next;
		is_moving = count.n_gone > 0 || last_child() != last;
		if (count.n_new == 0 && count.n_stopped == 0 &&
		    n_running == 0 && !is_moving)
			return 1;
		if ((count.n_new == 0 && round >= UNSEEN_ROUNDS_MAX) ||
		    is_late(e))
			return 0;
		if (is_moving)
			pursue(e);
		n_running = await_stop(e, look);
	}
	return 0;
}

/* Returns how many there were to kill; those that before had too died then. */
static int kill_members(const struct look *look, const struct look *before)
{
	int n = 0;

	for (size_t i = 0; i < look->snapshot.n_processes; i++) {
		const struct tree_process *p = &look->snapshot.processes[i];

		if (look->member[i] && tree_signal_process(p, SIGKILL) >= 0)
			n += !look_has(before, p);
	}
	return n;
}

/* Pass after pass, until one has left nothing that a death could wake. Returns
 * 1, 0 when that may not be so, or -errno; -EAGAIN: all that was found has been
 * stopped, and nobody killed. */
static int sweep(const struct ending *e, bool is_last, int *n_killed)
{
	struct look look = { 0 }, before = { 0 };
	int r = 0;

	for (int pass = 0; pass < KILL_PASSES_MAX; pass++) {
		int n;

		r = stop_all(e, &look, &before);
		if (r == 0 && is_late(e) && !is_last)
			r = -EAGAIN;
		if (r < 0)
			break;
		n = kill_members(&look, &before);
		*n_killed += n;
		look_done(&before);
		before = look;
		look = (struct look){ 0 };
		if ((r > 0 && n <= 1) || /* nobody whom a death could wake */
		    is_late(e))
			break;
	}
	look_done(&look);
	look_done(&before);
	return r;
}

int tree_kill_all(const struct tree_id *ids, size_t n_ids, uint64_t limit_usec,
		  bool is_last)
{
	const struct ending e = {
		ids, n_ids, usec_add(clock_monotonic_usec(), limit_usec)
	};
	int n_killed = 0, r;

	if (n_ids == 0)
		return 0;
	signal_own_groups(&e, SIGSTOP);
	r = sweep(&e, is_last, &n_killed);
	if (r != -EAGAIN)
		signal_own_groups(&e, SIGKILL);
	return r < 0 ? r : n_killed;
}

int tree_kill(const struct tree_id *id)
{
	return tree_kill_all(id, 1, TREE_KILL_USEC, true);
}
