/* What waits to be handed out: in levels, one for each priority. Within a level what
 * was taken back goes first, it is older than what is queued; then crashed items
 * whose time has come; then jobs, in the order in which they came.
 *
 * What is taken back finds room: pieces that are out (in redo or in a port) are
 * bounded. As long as redo holds no more than all rings together that is so by
 * itself; beyond, which takes many priorities at a time, pieces are counted before
 * another one is begun.
 */
#include "workers/pool/engine_room.h"

#include <errno.h>
#include <stdlib.h>

#define SPARE_PER_PORT ENGINE_LEVELS

static size_t count_slots(const struct engine *e)
{
	return (size_t)e->n_ports * e->ports[0].channel.n_slots;
}

static void mark(struct engine *e, unsigned level)
{
	e->levels_waiting |= UINT32_C(1) << level;
}

void engine_mark_if_empty(struct engine *e, unsigned level)
{
	const struct engine_level *l = &e->levels[level];

	if (TAILQ_EMPTY(&l->redo) && TAILQ_EMPTY(&l->due) &&
	    TAILQ_EMPTY(&l->queue))
		e->levels_waiting &= ~(UINT32_C(1) << level);
}

/* ---- taken back ------------------------------------------------------------------- */

static struct redo *new_redo(struct engine *e, const struct piece *piece)
{
	struct redo *redo = TAILQ_FIRST(&e->redo_free);

	if (redo) {
		TAILQ_REMOVE(&e->redo_free, redo, entry);
	} else {
		reeve_assert(e->redo_used < e->redo_size);
		redo = &e->redo[e->redo_used++];
	}
	redo->piece = *piece;
	e->n_redo++;
	mark(e, piece->level);
	return redo;
}

void engine_redo_first(struct engine *e, const struct piece *piece)
{
	struct redo *redo = new_redo(e, piece);

	TAILQ_INSERT_HEAD(&e->levels[piece->level].redo, redo, entry);
}

void engine_redo_last(struct engine *e, const struct piece *piece)
{
	struct redo *redo = new_redo(e, piece);

	TAILQ_INSERT_TAIL(&e->levels[piece->level].redo, redo, entry);
}

static struct piece take_redo(struct engine *e, struct redo *redo)
{
	unsigned level = redo->piece.level;

	TAILQ_REMOVE(&e->levels[level].redo, redo, entry);
	TAILQ_INSERT_HEAD(&e->redo_free, redo, entry);
	e->n_redo--;
	engine_mark_if_empty(e, level);
	return redo->piece;
}

static void end_redo_of(struct engine *e, unsigned level, const struct job *job,
			const struct reeve_outcome *outcome)
{
	struct redo *redo, *next;

	for (redo = TAILQ_FIRST(&e->levels[level].redo); redo; redo = next) {
		struct piece piece;

		next = TAILQ_NEXT(redo, entry);
		if (job && redo->piece.job != job)
			continue;
		piece = take_redo(e, redo);
		engine_end_piece(e, &piece, outcome);
	}
}

void engine_end_redo(struct engine *e, const struct job *job,
		     const struct reeve_outcome *outcome)
{
	if (job)
		end_redo_of(e, job->level, job, outcome);
	for (unsigned i = 0; !job && i < ENGINE_LEVELS; i++)
		end_redo_of(e, i, NULL, outcome);
}

/* ---- to be run again ---------------------------------------------------------------- */

void engine_add_due(struct engine *e, struct trail *trail)
{
	mark(e, trail->piece.level);
	TAILQ_INSERT_TAIL(&e->levels[trail->piece.level].due, trail, entry);
}

void engine_remove_due(struct engine *e, struct trail *trail)
{
	unsigned level = trail->piece.level;

	TAILQ_REMOVE(&e->levels[level].due, trail, entry);
	engine_mark_if_empty(e, level);
}

/* ---- jobs ----------------------------------------------------------------------------- */

void engine_submit(struct engine *e, struct job *job)
{
	if (e->given_up.kind != REEVE_PENDING) {
		engine_count(e, e->given_up.kind,
			     job->type->abandon(job, &e->given_up));
		return;
	}
	if (job->is_queued)
		return;
	job->is_queued = true;
	mark(e, job->level);
	TAILQ_INSERT_TAIL(&e->levels[job->level].queue, job, entry);
}

struct job *engine_first_job(const struct engine *e)
{
	struct job *job = NULL;

	for (unsigned i = ENGINE_LEVELS; i > 0 && !job; i--)
		job = TAILQ_FIRST(&e->levels[i - 1].queue);
	return job;
}

static bool next_of_queue(struct engine *e, unsigned level, struct piece *ret)
{
	struct job *job;

	while ((job = TAILQ_FIRST(&e->levels[level].queue)))
		if (engine_next_of_job(e, job, ret))
			return true;
	return false;
}

/* ---- all of it ------------------------------------------------------------------------- */

/* May a piece that is not out yet be begun? */
static bool has_room(const struct engine *e)
{
	size_t n = e->n_redo;

	if (n < count_slots(e))
		return true;
	for (unsigned i = 0; i < e->n_ports; i++)
		n += port_load(&e->ports[i]);
	return n < e->redo_size;
}

static bool next_of_level(struct engine *e, unsigned level, struct piece *ret)
{
	struct engine_level *l = &e->levels[level];
	struct trail *trail;

	if (!TAILQ_EMPTY(&l->redo)) {
		*ret = take_redo(e, TAILQ_FIRST(&l->redo));
		return true;
	}
	if (!has_room(e))
		return false;
	trail = TAILQ_FIRST(&l->due);
	if (!trail)
		return next_of_queue(e, level, ret);
	engine_remove_due(e, trail);
	*ret = trail->piece;
	ret->trail = trail;
	return true;
}

bool engine_next_of_any(struct engine *e, uint32_t allowed, struct piece *ret)
{
	uint32_t levels = e->levels_waiting & allowed;

	for (; levels != 0; levels &= ~(UINT32_C(1) << engine_top(levels)))
		if (next_of_level(e, engine_top(levels), ret))
			return true;
	return false;
}

uint64_t engine_waiting(const struct engine *e)
{
	const struct trail *trail;
	const struct redo *redo;
	struct job *job;
	uint64_t n = 0;

	TAILQ_FOREACH(trail, &e->waiting, entry)
	n++;
	for (unsigned i = 0; i < ENGINE_LEVELS; i++) {
		const struct engine_level *l = &e->levels[i];

		TAILQ_FOREACH(job, &l->queue, entry)
		n += job->type->waiting(job);
		TAILQ_FOREACH(redo, &l->redo, entry)
		n += redo->piece.n_items;
		TAILQ_FOREACH(trail, &l->due, entry)
		n++;
	}
	return n;
}

bool engine_is_idle(const struct engine *e)
{
	for (unsigned i = 0; i < e->n_ports; i++)
		if (port_load(&e->ports[i]) > 0)
			return false;
	return !engine_has_something(e) && TAILQ_EMPTY(&e->waiting);
}

int engine_queue_init(struct engine *e)
{
	for (unsigned i = 0; i < ENGINE_LEVELS; i++) {
		TAILQ_INIT(&e->levels[i].redo);
		TAILQ_INIT(&e->levels[i].due);
		TAILQ_INIT(&e->levels[i].queue);
	}
	TAILQ_INIT(&e->redo_free);
	TAILQ_INIT(&e->waiting);
	e->redo_size = 2 * count_slots(e) + (size_t)e->n_ports * SPARE_PER_PORT;
	e->redo = calloc(e->redo_size, sizeof(*e->redo));
	return e->redo ? 0 : -ENOMEM;
}
