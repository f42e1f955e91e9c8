/* What does not run to its end: cancels, deaths, giving up.
 *
 * A death blames at most one item, the one that was running. What is behind it
 * in the ring is handed out again, and needs no memory for that.
 */
#include "workers/pool/engine_room.h"

#include <errno.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"

/* ---- cancelling ------------------------------------------------------------------ */

static unsigned cancel_in_port(struct engine *e, struct port *p,
			       const struct job *job)
{
	unsigned n_running = 0;

	for (uint64_t i = p->head; i != p->tail; i++) {
		struct piece *own = port_piece(p, i);
		int r = own->job == job ? port_cancel(p, i) : 0;

		if (r == 1) {
			engine_end_piece(e, own, &engine_cancelled);
			own->job = NULL; /* its skipping is of no interest */
		} else if (r == 2) {
			n_running++;
			engine_doom(e, p);
		}
	}
	port_drop_cancelled(p);
	return n_running;
}

unsigned engine_cancel(struct engine *e, struct job *job)
{
	unsigned n_running = 0;

	job->is_cancelled = true;
	engine_unqueue(e, job);
	e->n_cancelled += job->type->abandon(job, &engine_cancelled);
	engine_end_redo(e, job, &engine_cancelled);
	engine_end_retries(e, job, &engine_cancelled);
	for (unsigned i = 0; i < e->n_ports; i++)
		n_running += cancel_in_port(e, &e->ports[i], job);
	return n_running;
}

/* ---- deaths ------------------------------------------------------------------------ */

/* A worker may be followed by another in place before we hear of it. What was to
 * be killed is then the other one: it holds the slot that we froze. */
void engine_port_live(struct engine *e, unsigned port, uint32_t generation,
		      pid_t pid)
{
	struct port *p = &e->ports[port];

	if (p->generation == generation && p->state != PORT_RESET)
		return;
	p->generation = generation;
	p->pid = pid;
	p->n_items = 0;
	if (p->state == PORT_RESET)
		p->state = PORT_LIVE;
	else if (p->state == PORT_DOOMED) /* we meant this one: see above */
		e->hooks->kill(e, port);
}

/* Says which item was running. */
static void note_running(const struct port *p, const struct job *job,
			 uint64_t index, struct reeve_death *death)
{
	death->n_tasks = p->n_items;
	death->was_busy = true;
	death->function = job->fn;
	death->job = job->number;
	death->index = index;
	if (job->is_cancelled && death->cause == REEVE_DEATH_BROKEN)
		death->cause = REEVE_DEATH_CANCELLED;
}

/* May it be run again? */
static bool has_to_retry(const struct engine *e, const struct job *job,
			 const struct reeve_outcome *outcome)
{
	return outcome->kind == REEVE_CRASHED &&
	       outcome->n_crashes < job->max_crashes &&
	       e->given_up.kind == REEVE_PENDING;
}

/* The item, a piece by itself, was running, and is to blame. */
static void blame(struct engine *e, const struct piece *item,
		  struct engine_end *end)
{
	struct reeve_outcome outcome = end->outcome;
	const struct job *job = item->job;
	struct trail *trail;
	bool is_crash;

	if (job->is_cancelled) {
		outcome.kind = REEVE_CANCELLED;
		outcome.error = -ECANCELED;
	}
	is_crash = outcome.kind == REEVE_CRASHED;
	outcome.n_crashes = trail_n_crashes(item->trail) + is_crash;
	trail = trail_add(item->trail, &end->death, is_crash);
	if (trail) {
		uint64_t delay_usec = job->retry_delay_usec;

		trail->piece = *item;
		if (has_to_retry(e, job, &outcome) &&
		    engine_retry(e, trail,
				 delay_usec
					 ? usec_add(end->now_usec, delay_usec)
					 : 0))
			return;
	}
	engine_count(e, outcome.kind, 1);
	job->type->ended(item->job, item->index, &outcome,
			 trail ?: item->trail);
}

/* The piece that was running: results that are there count; one item is to
 * blame; the rest has not begun. */
static void settle_running(struct engine *e, struct port *p, uint64_t slot,
			   uint32_t item, struct engine_end *end)
{
	struct piece piece = *port_piece(p, slot), culprit;
	struct port_output output;

	if (item >= piece.n_items)
		item = piece.n_items - 1;
	if (!port_partial(p, slot, item, &output))
		item = 0;
	if (item > 0)
		engine_deliver(e, p, &piece, item, &output);
	note_running(p, piece.job, piece.index + item, &end->death);
	culprit = piece;
	culprit.index += item;
	culprit.n_items = 1;
	blame(e, &culprit, end);
	piece.index += item + 1;
	piece.n_items -= item + 1;
	engine_redo_or_cancel(e, &piece, true);
}

/* Was it running? All that is not plainly unbegun counts as that: a task that
 * spoils its own slot must not be run again and again. */
static bool is_begun(enum slot_state state)
{
	return state != SLOT_QUEUED && state != SLOT_WITHDRAWN;
}

void engine_port_ended(struct engine *e, unsigned port, struct engine_end *end)
{
	struct port *p = &e->ports[port];
	bool is_settled = false;

	p->state = PORT_DOOMED; /* nobody is left to be killed */
	(void)engine_collect_port(e, p);
	end->death.n_tasks = p->n_items;
	if (p->is_leaving && port_load(p) == 0 &&
	    end->death.cause == REEVE_DEATH_BROKEN)
		end->death.cause = REEVE_DEATH_LEAVE_TIMEOUT;
	for (uint64_t i = p->head; i != p->tail; i++) {
		uint32_t item;
		enum slot_state state = port_autopsy(p, i, &item);

		if (!port_piece(p, i)->job)
			continue;
		if (!is_settled && is_begun(state)) {
			settle_running(e, p, i, item, end);
			is_settled = true;
		} else {
			engine_redo_or_cancel(e, port_piece(p, i), false);
		}
	}
	port_reset(p);
}

/* ---- the end of all -------------------------------------------------------------- */

void engine_refuse(struct engine *e, const struct reeve_outcome *outcome)
{
	struct piece piece;
	struct job *job;

	(void)engine_collect(e);
	e->given_up = *outcome;
	for (unsigned i = 0; i < e->n_ports; i++)
		while (port_take_back(&e->ports[i], &piece))
			if (piece.job)
				engine_redo_last(e, &piece);
	engine_end_redo(e, NULL, outcome);
	engine_end_retries(e, NULL, outcome);
	while ((job = engine_first_job(e))) {
		engine_unqueue(e, job);
		engine_count(e, outcome->kind,
			     job->type->abandon(job, outcome));
	}
}

void engine_give_up(struct engine *e, const struct reeve_outcome *outcome)
{
	engine_refuse(e, outcome);
	for (unsigned i = 0; i < e->n_ports; i++) {
		struct port *p = &e->ports[i];

		for (uint64_t k = p->head; k != p->tail; k++)
			if (port_piece(p, k)->job)
				engine_redo_last(e, port_piece(p, k));
		port_reset(p);
	}
	engine_end_redo(e, NULL, outcome);
}
