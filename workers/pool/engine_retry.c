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
		engine_add_due(e, trail);
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
		engine_add_due(e, trail);
	}
}

uint64_t engine_next_due(const struct engine *e)
{
	const struct heap_node *node = heap_first(&e->times);

	return node ? node->key : UINT64_MAX;
}

static void end_retry(struct engine *e, struct trail *trail,
		      const struct reeve_outcome *outcome)
{
	struct piece piece = trail->piece;

	piece.trail = trail;
	engine_end_piece(e, &piece, outcome);
}

static void end_waiting(struct engine *e, const struct job *job,
			const struct reeve_outcome *outcome)
{
	struct trail *trail, *next;

	for (trail = TAILQ_FIRST(&e->waiting); trail; trail = next) {
		next = TAILQ_NEXT(trail, entry);
		if (job && trail->piece.job != job)
			continue;
		TAILQ_REMOVE(&e->waiting, trail, entry);
		heap_remove(&e->times, &trail->due);
		end_retry(e, trail, outcome);
	}
}

static void end_due(struct engine *e, unsigned level, const struct job *job,
		    const struct reeve_outcome *outcome)
{
	struct trail *trail, *next;

	for (trail = TAILQ_FIRST(&e->levels[level].due); trail; trail = next) {
		next = TAILQ_NEXT(trail, entry);
		if (job && trail->piece.job != job)
			continue;
		engine_remove_due(e, trail);
		end_retry(e, trail, outcome);
	}
}

void engine_end_retries(struct engine *e, const struct job *job,
			const struct reeve_outcome *outcome)
{
	end_waiting(e, job, outcome);
	for (unsigned i = 0; i < ENGINE_LEVELS; i++)
		end_due(e, i, job, outcome);
}
