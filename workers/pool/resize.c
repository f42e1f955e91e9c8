/* The number of workers, changed while they work. */
#include <errno.h>

#include "workers/pool/pool.h"

static int resize(struct reeve_pool *pool, int processes)
{
	unsigned n;
	int r = pool_count_processes(processes, &n);

	if (r < 0 || n > pool->n_processes_max)
		return -EINVAL;
	if (pool->phase == POOL_LEAVING || pool->phase == POOL_ENDED ||
	    pool->is_broken)
		return -ESHUTDOWN;
	seats_resize(pool, n);
	pool_submitted(pool); /* what was taken back */
	return 0;
}

int reeve_pool_resize(struct reeve_pool *pool, int processes)
{
	int r = pool_enter(pool);

	if (r < 0)
		return r;
	r = resize(pool, processes);
	pool_leave(pool);
	return r;
}
