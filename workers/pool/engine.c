/* The scheduler's life, and what comes back. What it hands out, and to
 * whom, is in engine_feed.c; what ends otherwise, in engine_end.c.
 */
#include "workers/pool/engine.h"

#include <errno.h>
#include <stdlib.h>

#include "workers/base/pure/macro.h"
#include "workers/pool/engine_room.h"

#define CHECKS_TO_GIVE_UP 10 /* engine_check()s in front of one task */

/* ---- outcomes ----------------------------------------------------------------- */

void engine_count(struct engine *e, enum reeve_outcome_kind kind, uint64_t n)
{
	switch (kind) {
	case REEVE_CRASHED:
		e->n_crashed += n;
		break;
	case REEVE_TIMEOUT:
		e->n_timeout += n;
		break;
	case REEVE_CANCELLED:
		e->n_cancelled += n;
		break;
	case REEVE_PENDING:
	case REEVE_DONE:
	case REEVE_FAILED:
		break;
	}
}

/* With the last one its job may be gone. */
void engine_end_piece(struct engine *e, const struct piece *piece,
		      const struct reeve_outcome *outcome)
{
	struct reeve_outcome o = *outcome;
	struct piece p = *piece;

	if (p.trail)
		o.n_crashes = p.trail->n_crashes;
	for (uint32_t i = 0; i < p.n_items; i++) {
		engine_count(e, o.kind, 1);
		p.job->type->ended(p.job, p.index + i, &o, p.trail);
	}
}

const struct reeve_outcome engine_cancelled = {
	.kind = REEVE_CANCELLED,
	.error = -ECANCELED,
	.message = "cancelled before it began",
};

void engine_redo_or_cancel(struct engine *e, const struct piece *piece,
			   bool is_first)
{
	const struct reeve_outcome *unwanted;

	if (piece->n_items == 0)
		return; /* its job may be gone */
	unwanted = piece->job->is_cancelled ? &engine_cancelled : &e->given_up;
	if (unwanted->kind != REEVE_PENDING)
		engine_end_piece(e, piece, unwanted);
	else if (is_first)
		engine_redo_first(e, piece);
	else
		engine_redo_last(e, piece);
}

void engine_deliver(struct engine *e, struct port *p, const struct piece *piece,
		    uint32_t n, const struct port_output *output)
{
	const struct job_place place = { (unsigned)(p - e->ports), p->pid,
					 piece->trail };
	uint32_t n_done =
		piece->job->type->done(piece->job, piece, n, output, &place);

	e->n_done += n_done;
	e->n_failed += n - n_done;
	p->n_items += n;
}

/* ---- collecting ---------------------------------------------------------------- */

void engine_doom(struct engine *e, struct port *p)
{
	if (p->state != PORT_LIVE)
		return;
	p->state = PORT_DOOMED;
	e->hooks->kill(e, (unsigned)(p - e->ports));
}

/* Of a chunk that ended early. */
static void redo_rest(struct engine *e, struct piece *piece, uint32_t n)
{
	if (n == piece->n_items)
		return; /* its job may be gone */
	piece->index += n;
	piece->n_items -= n;
	engine_redo_or_cancel(e, piece, true);
}

size_t engine_collect_port(struct engine *e, struct port *p)
{
	struct port_output output;
	enum port_sight sight;
	size_t n = 0;

	while ((sight = port_look(p, &output)) != SIGHT_NOTHING) {
		struct piece piece = *port_piece(p, p->head);

		if (sight == SIGHT_BROKEN ||
		    (sight == SIGHT_SKIPPED && piece.job)) {
			engine_doom(e, p);
			break;
		}
		if (sight == SIGHT_DONE && piece.job)
			engine_deliver(e, p, &piece, output.n_items, &output);
		port_advance(p);
		if (sight == SIGHT_DONE && piece.job)
			redo_rest(e, &piece, output.n_items);
		n++;
	}
	if (n > 0) {
		atomic_store_explicit(&p->channel.memory->orders.n_consumed,
				      p->head, memory_order_release);
		e->hint = (unsigned)(p - e->ports);
		if (port_has_to_trim(p))
			e->hooks->trim(e, e->hint);
	}
	return n;
}

size_t engine_collect(struct engine *e)
{
	size_t n = 0;

	for (unsigned i = 0; i < e->n_ports; i++)
		if (e->ports[i].head != e->ports[i].tail)
			n += engine_collect_port(e, &e->ports[i]);
	return n;
}

bool engine_is_ready(const struct engine *e)
{
	struct port_output output;

	for (unsigned i = 0; i < e->n_ports; i++)
		if (port_look(&e->ports[i], &output) != SIGHT_NOTHING &&
		    e->ports[i].state == PORT_LIVE)
			return true;
	return false;
}

bool engine_arm(struct engine *e, uint32_t bell)
{
	for (unsigned i = 0; i < e->n_ports; i++)
		if (port_load(&e->ports[i]) > 0)
			atomic_store(&e->ports[i].channel.memory->orders.bell,
				     bell);
	/* Either the worker sees the wish, or we see what it finished. */
	atomic_thread_fence(memory_order_seq_cst);
	return !engine_is_ready(e);
}

void engine_disarm(struct engine *e)
{
	for (unsigned i = 0; i < e->n_ports; i++)
		atomic_store_explicit(&e->ports[i].channel.memory->orders.bell,
				      0, memory_order_relaxed);
}

/* ---- looking after workers ------------------------------------------------------- */

/* Who says that it is not ready, and does not sleep, has more time; what it says
 * may be wrong. */
static bool is_prompt(const struct port *p)
{
	const struct channel_signs *signs = &p->channel.memory->signs;

	return atomic_load(&signs->asleep) ||
	       atomic_load(&signs->phase) == PHASE_READY;
}

/* Who has to leave, and has nothing to do, gets the time of who gets ready. */
static void check_leaving(struct engine *e, unsigned i)
{
	struct port *p = &e->ports[i];

	if (!p->is_leaving || p->state != PORT_LIVE || port_load(p) > 0)
		return;
	e->hooks->wake(e, i);
	if (++p->n_lingered >= e->checks_unready)
		engine_doom(e, p);
}

void engine_check(struct engine *e)
{
	for (unsigned i = 0; i < e->n_ports; i++) {
		struct port *p = &e->ports[i];
		bool prompt = is_prompt(p), waits = port_is_waiting(p);

		port_repeat(p);
		check_leaving(e, i);
		if (!waits || prompt != p->was_prompt) {
			p->waited_head = p->head;
			p->n_waited = prompt && waits;
			p->was_prompt = prompt;
		} else if (++p->n_waited >=
			   (prompt ? CHECKS_TO_GIVE_UP : e->checks_unready)) {
			engine_doom(e, p);
		}
		if (prompt && p->n_waited > 0)
			e->hooks->wake(e, i);
	}
}

/* ---- its own life -------------------------------------------------------------------- */

int engine_init(struct engine *e, struct port *ports, unsigned n_ports,
		uint32_t window, const struct engine_hooks *hooks)
{
	*e = (struct engine){
		.ports = ports,
		.n_ports = n_ports,
		.window = window,
		.max_items = UINT32_MAX,
		.checks_unready = UINT32_MAX,
		.hooks = hooks,
	};
	return engine_queue_init(e);
}

void engine_done(struct engine *e)
{
	free(e->redo);
	e->redo = NULL;
	heap_done(&e->times);
	e->ports = NULL; /* results and iterators outlive it, and ask still */
	e->n_ports = 0;
}
