/* Contexts: which process the workers are copies of.
 *
 * Operation
 *   fork: the keeper is forked from the caller, workers from the keeper; a
 *   function is a pointer. forkserver: the keeper is this program executed anew;
 *   workers are forked from it. spawn: workers are executed anew as well. In
 *   the latter two a function is its place in the table that the program has
 *   given to reeve_pool_setup(), which finds out from its environment that it is
 *   in a pool's process, and serves.
 */
#pragma once

#include "workers/pool/pool.h"

/* What the context of spec comes to in this program; the table goes into *setup.
 * Returns 0, -ENOTSUP, or -EINVAL (initializer not in the table). */
int setup_choose_context(const struct reeve_pool_spec *spec,
			 struct worker_setup *setup,
			 enum reeve_context *ret_context);

/* The place of fn in the table. Returns 0 or -EINVAL. */
int setup_find_task(reeve_task_fn *fn, uint64_t *ret_function);

/* Starts the keeper's process. config is complete but for .worker_main and .arg.
 * Returns its pid or -errno. */
pid_t setup_start_keeper(const struct reeve_pool *pool,
			 const struct keeper_config *config);
