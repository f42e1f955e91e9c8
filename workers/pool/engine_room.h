/* What the files of the scheduler share. Private to workers/pool/engine*.c.
 *
 *   engine.c       its life; what comes back
 *   engine_queue.c what waits to be handed out, by levels
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
	return e->levels_waiting != 0;
}

/* The most urgent of some levels. */
static inline unsigned engine_top(uint32_t levels)
{
	return 31U - (unsigned)__builtin_clz(levels);
}

/* ---- engine_queue.c ------------------------------------------------------------ */

/* Returns 0 or -ENOMEM. */
int engine_queue_init(struct engine *e);

/* To what was taken back, last or first of its level. */
void engine_redo_last(struct engine *e, const struct piece *piece);
void engine_redo_first(struct engine *e, const struct piece *piece);

/* Ends what was taken back of job, or all (NULL). */
void engine_end_redo(struct engine *e, const struct job *job,
		     const struct reeve_outcome *outcome);

/* A crashed item whose time has come. */
void engine_add_due(struct engine *e, struct trail *trail);
void engine_remove_due(struct engine *e, struct trail *trail);

/* Something was taken out of what waits in this level. */
void engine_mark_if_empty(struct engine *e, unsigned level);

/* Takes job out of the queue, if it is there. */
static inline void engine_unqueue(struct engine *e, struct job *job)
{
	if (!job->is_queued)
		return;
	job->is_queued = false;
	TAILQ_REMOVE(&e->levels[job->level].queue, job, entry);
	if (TAILQ_EMPTY(&e->levels[job->level].queue))
		engine_mark_if_empty(e, job->level);
}

/* The first one of the queue, or NULL. */
struct job *engine_first_job(const struct engine *e);

/* One that is over may be gone: it must not stand in the queue. */
static inline bool engine_next_of_job(struct engine *e, struct job *job,
				      struct piece *ret)
{
	bool is_given = job->type->next(job, e->max_items, ret);

	if (!is_given || ret->is_last)
		engine_unqueue(e, job);
	ret->job = job;
	ret->level = (uint8_t)job->level;
	return is_given;
}

bool engine_next_of_any(struct engine *e, uint32_t allowed, struct piece *ret);

/* The next piece of the levels that are allowed. Nearly always it is one of the first
 * job: this is done for each piece. */
static inline bool engine_next_piece(struct engine *e, uint32_t allowed,
				     struct piece *ret)
{
	uint32_t levels = e->levels_waiting & allowed;
	const struct engine_level *l;

	if (levels == 0)
		return false;
	l = &e->levels[engine_top(levels)];
	if (e->n_redo == 0 && TAILQ_EMPTY(&l->due) &&
	    engine_next_of_job(e, TAILQ_FIRST(&l->queue), ret))
		return true;
	return engine_next_of_any(e, allowed, ret);
}

/* ---- engine.c ------------------------------------------------------------------ */

/* n items have ended so, without having run to their end. */
void engine_count(struct engine *e, enum reeve_outcome_kind kind, uint64_t n);

/* The items of piece end with outcome. */
void engine_end_piece(struct engine *e, const struct piece *piece,
		      const struct reeve_outcome *outcome);

/* What a job's items that were not begun are told when it is cancelled. */
extern const struct reeve_outcome engine_cancelled;

/* Hands a piece that was not begun out again, unless nobody wants it any more: before
 * or after what was taken back already. */
void engine_redo_or_cancel(struct engine *e, const struct piece *piece,
			   bool is_first);

/* The first n items of piece, which port p had, have run. */
void engine_deliver(struct engine *e, struct port *p, const struct piece *piece,
		    uint32_t n, const struct port_output *output);

/* The worker on p has to be killed, and gets nothing more. */
void engine_doom(struct engine *e, struct port *p);

/* Takes what has come back on p. Returns the number of pieces. */
size_t engine_collect_port(struct engine *e, struct port *p);

/* ---- engine_retry.c ------------------------------------------------------------ */

/* Runs trail->piece again, at due_usec (0: at once). false: no memory. */
bool engine_retry(struct engine *e, struct trail *trail, uint64_t due_usec);

/* Those of job, or of all (NULL), are not run again. */
void engine_end_retries(struct engine *e, const struct job *job,
			const struct reeve_outcome *outcome);
