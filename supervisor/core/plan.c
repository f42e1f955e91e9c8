/* See plan.h. Pure; qsort with a total order, so stability is no question. */
#include "supervisor/core/plan.h"

#include <stdlib.h>

#include "workers/base/pure/macro.h"

static int compare(const struct plan_entry *a, const struct plan_entry *b)
{
	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	if (a->position != b->position)
		return a->position < b->position ? -1 : 1;
	return 0;
}

static int compare_start(const void *a, const void *b)
{
	return compare(a, b);
}

static int compare_stop(const void *a, const void *b)
{
	return compare(b, a);
}

void plan_order_start(struct plan_entry *entries, size_t n_entries)
{
	if (n_entries > 1)
		qsort(entries, n_entries, sizeof(*entries), compare_start);
}

void plan_order_stop(struct plan_entry *entries, size_t n_entries)
{
	if (n_entries > 1)
		qsort(entries, n_entries, sizeof(*entries), compare_stop);
}

static uint32_t minus(uint32_t a, uint32_t b)
{
	return a > b ? a - b : 0;
}

uint32_t plan_recycles(const struct plan_set *set)
{
	uint32_t down = minus(minus(set->wanted, set->up), set->recycling);
	uint32_t room = minus(minus(set->recycle_max, set->recycling), down);

	if (room == 0 && set->recycling == 0 && set->recycle_max > 0)
		room = 1;
	return MIN(room, set->up);
}
