/* What a pool is asked for, by its spec. (What a job is: pool_prepare().) */
#pragma once

#include "workers/pool/pool.h"

/* Puts the defaults where nothing is said. */
void spec_fill(struct reeve_pool_spec *spec);

/* Does it make sense? Returns 0 or -EINVAL. */
int spec_check(const struct reeve_pool_spec *spec);

/* Copies it, and what it points to, into pool. Returns 0 or -errno. */
int spec_take(struct reeve_pool *pool, const struct reeve_pool_spec *spec);
