/* What the files of the scheduler share. Private to workers/pool/engine*.c.
 *
 *   engine.c       its life, its queue; what comes back
 *   engine_feed.c  handing out: who gets what
 *   engine_end.c   cancels, deaths, giving up
 *   engine_retry.c crashed items that are run again
 *   engine_size.c  how many workers there are to be
 */
#pragma once

#include "workers/base/pure/macro.h"
#include "workers/pool/engine.h"

/* May something be handed over there? */
static inline bool engine_is_open(const struct port *p)
{
	return p->state == PORT_LIVE && !p->is_leaving;
}

static inline bool engine_has_something(const struct engine *e)
{
	return e->n_redo > 0 || !TAILQ_EMPTY(&e->due) ||
	       !TAILQ_EMPTY(&e->queue);
}

/* ---- redo: taken back, to be handed out before anything else ------------------- */

static inline void engine_redo_last(struct engine *e, const struct piece *piece)
{
	reeve_assert(e->n_redo < e->redo_size);
	e->redo[(e->redo_first + e->n_redo++) % e->redo_size] = *piece;
}

static inline void engine_redo_first(struct engine *e,
				     const struct piece *piece)
{
	reeve_assert(e->n_redo < e->redo_size);
	e->redo_first = (e->redo_first + e->redo_size - 1) % e->redo_size;
	e->redo[e->redo_first] = *piece;
	e->n_redo++;
}

static inline struct piece engine_redo_pop(struct engine *e)
{
	struct piece piece = e->redo[e->redo_first];

	e->redo_first = (e->redo_first + 1) % e->redo_size;
	e->n_redo--;
	return piece;
}

/* ---- engine.c ------------------------------------------------------------------ */

static inline void engine_unqueue(struct engine *e, struct job *job)
{
	if (job->is_queued)
		TAILQ_REMOVE(&e->queue, job, entry);
	job->is_queued = false;
}

/* n items have ended so, without having run to their end. */
void engine_count(struct engine *e, enum reeve_outcome_kind kind, uint64_t n);

/* The items of piece end with outcome. */
void engine_end_piece(struct engine *e, const struct piece *piece,
		      const struct reeve_outcome *outcome);

/* What a job's items that were not begun are told when it is cancelled. */
extern const struct reeve_outcome engine_cancelled;

/* Hands a piece that was not begun out again, unless nobody wants it any more. */
void engine_redo_or_cancel(struct engine *e, const struct piece *piece);

/* The first n items of piece, which port p had, have run. */
void engine_deliver(struct engine *e, struct port *p, const struct piece *piece,
		    uint32_t n, const struct port_output *output);

/* The worker on p has to be killed, and gets nothing more. */
void engine_doom(struct engine *e, struct port *p);

/* Takes what has come back on p. Returns the number of pieces. */
size_t engine_collect_port(struct engine *e, struct port *p);

/* A piece that was taken back from a port is the next one, unless it was cancelled
 * while it ran and somebody has written over its slot. */
static inline void engine_redo_taken_back(struct engine *e,
					  const struct piece *piece)
{
	if (!piece->job)
		return;
	if (piece->job->is_cancelled)
		engine_redo_or_cancel(e, piece);
	else
		engine_redo_first(e, piece);
}

/* ---- engine_retry.c ------------------------------------------------------------ */

/* Runs trail->piece again, at due_usec (0: at once). false: no memory. */
bool engine_retry(struct engine *e, struct trail *trail, uint64_t due_usec);

/* The first of those whose time has come; there is one. */
struct piece engine_take_due(struct engine *e);

/* Those of job, or of all (NULL), are not run again. */
void engine_end_retries(struct engine *e, const struct job *job,
			const struct reeve_outcome *outcome);
