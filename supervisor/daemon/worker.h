/* One worker: a name, its settings, its life, and at most one process.
 *
 * Owns everything that belongs to the process and to what it writes: pidfd,
 * report pipe, cgroup leaf, log pipes and files, timers. What happens to it is
 * told as events (worker_tell), queued without allocating; once per turn of
 * the loop worker_handle() feeds them to the pure core and executes the
 * actions. worker_changed() is the one place where a change of state shows:
 * log line, timers, waiting jobs, bus signal.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "conf/conf.h"
#include "supervisor/core/lifecycle.h"
#include "supervisor/daemon/capture.h"
#include "supervisor/daemon/hub.h"
#include "workers/base/sys/spawn.h"
#include "workers/base/sys/tree.h"

struct daemon;
struct generation;
struct job_item;

/* Events waiting for the next turn. What a process can cause is pending at
 * most once each; beyond WORKER_VERBS_MAX operators are told to come back. */
#define WORKER_PENDING_MAX 24
#define WORKER_VERBS_MAX   8

#define WORKER_STATUS_MAX 256 /* bytes of STATUS= kept */
#define WORKER_ERROR_MAX  256

/* What is known of its processes, from the start of a run to its end. */
enum tree_state {
	TREE_LED,      /* the leader lives; or there is no process */
	TREE_IN_LEAF,  /* leader reaped, others live: the leaf will tell */
	TREE_LINGERS,  /* leader kept as a zombie, others not looked for yet */
	TREE_ORPHANED, /* the same, and others live: LEADER_EXIT was told */
	TREE_ENDED,    /* GONE was told, and is not handled yet */
};

LIST_HEAD(job_item_list, job_item);

struct worker {
	struct daemon *daemon;
	struct generation *generation; /* holds settings alive */
	const struct worker_settings *settings;
	uint32_t number; /* of its section's numprocs */
	char *name;

	struct lifecycle life;
	uint8_t pending[WORKER_PENDING_MAX]; /* enum worker_event */
	uint8_t n_pending;
	uint32_t n_told; /* in all: the number of the last one pending */
	bool is_queued;
	STAILQ_ENTRY(worker) queue_entry;
	struct lifecycle_fact
		fact; /* of the pending GONE, LEADER_EXIT, EXTEND */

	pid_t pid; /* 0: none */
	struct watch pidfd, report;
	struct timer deadline, watchdog;
	char mark[TREE_MARK_LEN + 1]; /* of this run */
	struct spawn_failure failure;
	bool has_failure;	      /* of this run, before exec */
	char error[WORKER_ERROR_MAX]; /* why it is down, for status */

	/* its tree: supervisor/daemon/ending.c */
	char *leaf_name; /* NULL: none */
	struct watch leaf_events;
	bool leaf_killed;	/* not to be used again */
	bool leaf_empty;	/* seen so when its last process had ended */
	bool leader_is_foreign; /* a MAINPID that is no child of ours */
	enum tree_state tree;
	bool has_rest; /* as the last look at its tree saw it */
	LIST_ENTRY(worker) linger_entry; /* TREE_LINGERS, TREE_ORPHANED */
	bool is_doomed;			 /* in the ender's list: to be killed */
	LIST_ENTRY(worker) doomed_entry;
	struct worker *pid_next; /* chain of the fleet's pid table */

	struct capture out, err;

	/* what it told over NOTIFY_SOCKET in this run */
	char *status;
	uint64_t tasks, tasks_limit; /* limit 0: none */
	uint64_t watchdog_usec;
	bool recycle_due, is_unkillable;

	/* reload */
	bool is_leaving;		    /* freed when it is down */
	struct generation *next_generation; /* taken over when it is down */
	const struct worker_settings *next_settings;
	uint32_t next_number;

	struct job_item_list items;
};

/* A worker of settings->..., STOPPED. Holds generation. */
int worker_new(struct daemon *d, struct generation *generation,
	       const struct worker_settings *settings, uint32_t number,
	       struct worker **ret_worker);
struct worker *worker_free(struct worker *w);

/* The event loop has failed, nobody will hear of it any more: kills what it
 * has, so that it can be freed. */
void worker_abandon(struct worker *w);

/* Queues an event for the next turn. False: too many verbs are waiting. */
bool worker_tell(struct worker *w, enum worker_event event);

/* Is the event queued, and not handled yet? */
bool worker_is_told(const struct worker *w, enum worker_event event);

/* Feeds what is queued. Called by the daemon's turn only. */
void worker_handle(struct worker *w);

/* New settings: at once when no process runs, else when it is gone. */
void worker_adopt_settings(struct worker *w, struct generation *generation,
			   const struct worker_settings *settings,
			   uint32_t number);

/* Not in the state that its settings ask for: `status` exits with 3. */
bool worker_is_at_fault(const struct worker *w);

/* Counts tasks done and asks for a recycle at the limit. */
void worker_count_tasks(struct worker *w, uint32_t n);

/* Heartbeat, and a change of its interval. */
void worker_heartbeat(struct worker *w);

struct tree_id worker_tree_id(const struct worker *w);

/* Without a leaf: the leader is dead and kept, in the reaper's list. */
bool worker_lingers(const struct worker *w);
