/* A worker: runs what is published on its channel, until it is told to leave.
 *
 * Properties
 *   Runs in a process of its own, forked by the keeper. It has two system
 *   resources: the channel and the eventfd that wakes the owner. It makes no
 *   system call per task while the owner keeps up (two with a soft signal).
 * Operation
 *   worker_main() is keeper_config.worker_main. Its exit code is 0 when it left
 *   (PHASE_LEAVING), WORKER_EXIT_INIT when the initializer failed, and
 *   WORKER_EXIT_BROKEN when it found that it cannot go on.
 */
#pragma once

#include <reeve/pool.h>

#include "workers/pool/keeper.h"

#define WORKER_EXIT_INIT   121
#define WORKER_EXIT_BROKEN 122

struct worker_setup {
	reeve_init_fn *initializer; /* may be NULL */
	const void *argument;
	size_t argument_size;
	/* Functions by index; NULL: a slot's function is a pointer. */
	const struct reeve_function *table;
	size_t n_table;
	struct shares *shares; /* NULL: none */
};

int worker_main(const struct keeper_seat *seat, int lifeline_fd, void *setup);
