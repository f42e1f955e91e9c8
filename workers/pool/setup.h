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

/* What the spec's context comes to in this program: puts it into the spec, and the
 * functions that there are into pool->setup or pool->handlers. Returns 0, -ENOTSUP,
 * -EINVAL (the initializer is not in the table; handlers that make no sense),
 * -ENOENT (no reeve-worker), -ENOMEM. */
int setup_choose_context(struct reeve_pool *pool);

/* The place of fn in the table. Returns 0 or -EINVAL. */
int setup_find_task(reeve_task_fn *fn, uint64_t *ret_function);

/* Starts the keeper's process. config is complete but for .worker_main and .arg.
 * Returns its pid, and in *ret_pidfd a pidfd or -errno; or -errno. */
pid_t setup_start_keeper(const struct reeve_pool *pool,
			 const struct keeper_config *config, int *ret_pidfd);
