/* Crashed items that are run again: first they wait for their time, then they stand
 * in front of what is queued. The time is told by who drives the engine.
 */
#include "workers/pool/engine_room.h"

#include <stdlib.h>

static struct trail *trail_of(struct heap_node *node)
{
	return container_of(node, struct trail, due);
}

bool engine_retry(struct engine *e, struct trail *trail, uint64_t due_usec)
{
	if (due_usec == 0) {
		TAILQ_INSERT_TAIL(&e->due, trail, entry);
	} else {
		if (heap_set(&e->times, &trail->due, due_usec) < 0)
			return false;
		TAILQ_INSERT_TAIL(&e->waiting, trail, entry);
	}
	e->n_retries++;
	return true;
}

void engine_due(struct engine *e, uint64_t now_usec)
{
	struct heap_node *node;

	while ((node = heap_first(&e->times)) && node->key <= now_usec) {
		struct trail *trail = trail_of(node);

		heap_remove(&e->times, node);
		TAILQ_REMOVE(&e->waiting, trail, entry);
		TAILQ_INSERT_TAIL(&e->due, trail, entry);
	}
}

uint64_t engine_next_due(const struct engine *e)
{
	const struct heap_node *node = heap_first(&e->times);

	return node ? node->key : UINT64_MAX;
}

struct piece engine_take_due(struct engine *e)
{
	struct trail *trail = TAILQ_FIRST(&e->due);
	struct piece piece = trail->piece;

	TAILQ_REMOVE(&e->due, trail, entry);
	piece.trail = trail;
	return piece;
}

static void end_those(struct engine *e, struct trails *trails,
		      const struct job *job,
		      const struct reeve_outcome *outcome)
{
	struct trail *trail, *next;

	for (trail = TAILQ_FIRST(trails); trail; trail = next) {
		struct piece piece = trail->piece;

		next = TAILQ_NEXT(trail, entry);
		if (job && piece.job != job)
			continue;
		TAILQ_REMOVE(trails, trail, entry);
		heap_remove(&e->times, &trail->due);
		piece.trail = trail;
		engine_end_piece(e, &piece, outcome);
	}
}

void engine_end_retries(struct engine *e, const struct job *job,
			const struct reeve_outcome *outcome)
{
	end_those(e, &e->waiting, job, outcome);
	end_those(e, &e->due, job, outcome);
}
