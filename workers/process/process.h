/* A handle of a process, as the files of workers/process/ share it; private.
 *
 *   process.c   the start: from the public spec to that of base/sys/spawn.h
 *   handle.c    waiting, asking, signalling, the end of a handle
 *   family.c    which handles are alive; what a fork of the owner means
 *   guard.c     the process that ends others when the owner is gone
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include <reeve/process.h>

#include "workers/base/sys/tree.h"

/* Marks what a process starts; TREE_MARK_NAME is the supervisor's. */
#define PROCESS_MARK_NAME "REEVE_PROCESS"

/* How long reeve_process_free() waits for the end of what it killed. */
#define PROCESS_FREE_WAIT_USEC UINT64_C(1000000)

struct reeve_process {
	LIST_ENTRY(reeve_process) siblings; /* family.c */
	uint64_t generation;		    /* of the family that it is in */

	pid_t pid;
	int pidfd, guard_pidfd; /* -1: none */
	enum reeve_process_life life;
	char name[REEVE_PROCESS_NAME_MAX + 1];
	char mark[TREE_MARK_LEN + 1];
	atomic_bool was_killed; /* by us */

	pthread_mutex_t lock; /* what follows; never held over a wait */
	bool is_reaped;	      /* by whomever: exit is final */
	struct reeve_exit exit;
};

/* A new handle without a process, or NULL. */
struct reeve_process *process_new(void);

/* Frees the memory and closes what is open, nothing else. Takes NULL. */
struct reeve_process *process_delete(struct reeve_process *p);

/* Looks whether the process has ended, and fills exit; with reap, for the last
 * time. Returns 1, 0 while it runs, or -errno. */
int process_settle(struct reeve_process *p, bool reap);

/* Waits until the process has ended and reaps it. Returns 0, -ETIMEDOUT, or
 * -errno. */
int process_await(struct reeve_process *p, uint64_t timeout_usec);

/* Kills the process and waits for its end. False: it has not ended in time. */
bool process_finish(struct reeve_process *p);
