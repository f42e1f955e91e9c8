/* See cell.h. */
#include "workers/manager/server/cell.h"

#include <string.h>

#include "workers/base/pure/macro.h"

_Static_assert(sizeof(struct cell) == 16, "two words");

int cell_make(struct purse *p, const void *data, size_t size,
	      struct cell *ret_cell)
{
	struct cell c = { 0 };

	reeve_assert(size > 0 && size <= UINT32_MAX);
	if (size <= CELL_SMALL_MAX) {
		c.small.size = (uint8_t)size;
		memcpy(c.small.data, data, size);
		*ret_cell = c;
		return 0;
	}
	c.large.data = purse_new(p, size);
	if (!c.large.data)
		return p->error;
	memcpy(c.large.data, data, size);
	c.large.mark = CELL_LARGE;
	c.large.size = (uint32_t)size;
	*ret_cell = c;
	return 0;
}

void cell_drop(struct purse *p, struct cell *c)
{
	if (c->small.size == CELL_LARGE)
		purse_free(p, c->large.data, c->large.size);
	*c = (struct cell){ 0 };
}

void cell_replace(struct purse *p, struct cell *c, struct cell value)
{
	cell_drop(p, c);
	*c = value;
}

bool cell_equal(const struct cell *c, const void *data, size_t size)
{
	return cell_size(c) == size && memcmp(cell_data(c), data, size) == 0;
}
