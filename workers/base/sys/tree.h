/* Process trees without cgroups: who belongs to whom, told from /proc.
 *
 * A snapshot of /proc is taken once and asked for many trees. A process
 * belongs to a tree when it is the leader, descends from it, is in its process
 * group or session, or carries the tree's mark in its environment. What
 * carries none of these cannot be told; the subreaper sees it as a stray.
 * Everything found is re-checked (start time) after its pidfd is open and
 * before it is signalled: a recycled pid is never hit.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The environment variable that marks a tree; its value is 32 hex digits. */
#define TREE_MARK_NAME "REEVE_INVOCATION"
#define TREE_MARK_LEN  32

struct tree_process {
	pid_t pid, ppid, pgrp, session;
	uint64_t start_ticks; /* field 22 of /proc/PID/stat */
	char state;	      /* R S D T Z ... of its first thread */
	bool is_kernel;	      /* a kernel thread */
	int n_threads;	      /* Z with more than one is alive */
};

struct tree_index; /* what queries share: parents, marks read so far */

struct tree_snapshot {
	struct tree_process *processes; /* sorted by pid; no kernel threads */
	size_t n_processes;
	struct tree_index *index;
};

/* Reads /proc. Returns 0 or -errno. A snapshot is for one thread at a time. */
int tree_snapshot_take(struct tree_snapshot *ret_snapshot);
void tree_snapshot_done(struct tree_snapshot *snapshot);

/* The last part of taking one: sorts the processes (malloc'ed) and builds the
 * index. For made-up processes in tests. Returns 0 or -ENOMEM. */
int tree_snapshot_index(struct tree_snapshot *snapshot);

/* The process with this pid, or NULL. */
struct tree_process *tree_snapshot_find(const struct tree_snapshot *snapshot,
					pid_t pid);

struct tree_id {
	pid_t leader;	       /* dead or alive; its group and session too */
	const char *mark_name; /* TREE_MARK_NAME, or another variable */
	const char *mark;      /* value; NULL: do not look at environments */
};

/* Marks in member[i] (n_processes flags, the caller's) what belongs to the
 * tree, zombies left out; never init, never the caller itself. Returns how
 * many. */
size_t tree_members(const struct tree_snapshot *snapshot,
		    const struct tree_id *id, bool *member);

/* Sends signo to a process of a snapshot, if it is still that one. Returns 1
 * when sent, 0 when it is gone, or -errno (-EPERM: another user's). */
int tree_signal_process(const struct tree_process *process, int signo);

/* Ends whole trees: stop all members, look again until nothing new is found,
 * kill all; each look is one pass over /proc for all trees. Bounded rounds, of
 * which hardly one begins when limit_usec is over. Returns how many were killed
 * (0: nothing was left), or -errno. -EAGAIN: the time was up before all were
 * stopped; nobody was killed and those that were found stay stopped: to be
 * called again. With is_last they are killed then, found or not. The dead are
 * left for the caller, as subreaper, to reap. */
int tree_kill_all(const struct tree_id *ids, size_t n_ids, uint64_t limit_usec,
		  bool is_last);

/* The same for one tree, once and for all, within about TREE_KILL_USEC. */
#define TREE_KILL_USEC UINT64_C(5000000)
int tree_kill(const struct tree_id *id);

/* Sends signo to each member once. Returns how many, or -errno. */
int tree_signal(const struct tree_id *id, int signo);

/* The pids of the caller's children, zombies included, in a new array (free
 * it). Returns how many, or -errno. */
int tree_children(pid_t **ret_pids);

/* The value of variable name in the environment that pid was started with.
 * Returns 0, -ENOENT (not there), -EACCES, -ESRCH, -ENOSPC (buf too small). */
int tree_environment(pid_t pid, const char *name, char *buf, size_t size_bytes);

/* 1 when pid is in the tree, 0 when not, or -errno; without a snapshot: looks
 * at the ancestors, group, session and mark of this one process. */
int tree_has_pid(const struct tree_id *id, pid_t pid);
