/* What an item has gone through: the deaths of the workers that ran it.
 *
 * Properties
 *   Most items have none. A crashed item that is to be run again waits in its
 *   trail, so that waiting needs no other memory: where there is none for a trail,
 *   the item is not run again.
 *   Of the deaths the last REEVE_DEATHS_MAX are kept, and all crashes are counted.
 * Operation
 *   A trail belongs to one item and goes where it goes: in its piece, then with
 *   its outcome to its job, which frees it with free().
 */
#pragma once

#include <stddef.h>
#include <sys/queue.h>

#include <reeve/task.h>

#include "workers/base/pure/heap.h"
#include "workers/pool/port.h"

struct trail {
	/* the engine's, while the item waits: */
	TAILQ_ENTRY(trail) entry;
	struct heap_node due; /* its key is the time, in usec */
	struct piece piece;   /* of this item alone */

	unsigned n_crashes;	     /* that the item was blamed for */
	unsigned n_deaths;	     /* kept */
	struct reeve_death deaths[]; /* newest first */
};

TAILQ_HEAD(trails, trail);

/* Notes one more death; trail is NULL at the first. Returns the trail, which may have
 * moved, or NULL for want of memory: then trail is as it was. */
struct trail *trail_add(struct trail *trail, const struct reeve_death *death,
			bool is_crash);

static inline unsigned trail_n_crashes(const struct trail *trail)
{
	return trail ? trail->n_crashes : 0;
}

/* As reeve_result_deaths(). */
size_t trail_copy(const struct trail *trail, struct reeve_death *ret, size_t n);
