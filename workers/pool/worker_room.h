/* What the worker's files share. Private to workers/pool/worker*.c.
 *
 *   worker.c       its life: waits, claims, leaves
 *   worker_run.c   a task: its inputs, the function, its outputs
 */
#pragma once

#include <signal.h>

#include "workers/base/sys/spin.h"
#include "workers/pool/arena.h"
#include "workers/pool/worker.h"

struct worker {
	struct channel channel;
	struct channel_orders *orders;
	struct channel_signs *signs;
	const struct worker_setup *setup;
	int bell_fd, lifeline_fd;
	int soft_signal; /* blocked, but in a task; 0: none */
	sigset_t soft_set;
	struct spin spin;
	uint64_t position; /* slots passed, of this channel */
	uint64_t n_run;	   /* items */
	bool has_asked;	   /* the keeper, for leave */
	struct arena out;
	uint64_t last_mark; /* where it ended after the last slot passed */
	uint64_t n_released;
	void *waste; /* for outputs that nobody wants */
	size_t waste_size;
};

/* It found that it cannot go on. */
_Noreturn void worker_leave_broken(struct worker *w);

/* Wakes the owner, if it sleeps. */
void worker_ring(struct worker *w);

/* Runs what was claimed in slot. Returns how many items have been run. */
uint32_t worker_run(struct worker *w, struct slot *slot, uint32_t tag);
