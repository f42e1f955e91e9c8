/* See purse.h. */
#include "workers/manager/server/purse.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/macro.h"

void *purse_new(struct purse *p, size_t size)
{
	size_t cost = size + PURSE_BLOCK_BYTES;
	size_t most =
		p->max > SIZE_MAX - p->credit ? SIZE_MAX : p->max + p->credit;
	void *memory;

	p->error = -ENOSPC;
	if (cost < size || p->bytes > most || cost > most - p->bytes)
		return NULL;
	p->error = -ENOMEM;
	memory = malloc(size);
	if (memory)
		p->bytes += cost;
	return memory;
}

void *purse_new_zero(struct purse *p, size_t size)
{
	void *memory = purse_new(p, size);

	if (memory)
		memset(memory, 0, size);
	return memory;
}

void purse_free(struct purse *p, void *pointer, size_t size)
{
	if (!pointer)
		return;
	reeve_assert(p->bytes >= size + PURSE_BLOCK_BYTES);
	p->bytes -= size + PURSE_BLOCK_BYTES;
	free(pointer);
}
