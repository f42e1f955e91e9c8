/* What always holds in the simulated pool: see pool_sim.h.
 */
#pragma once

#include "tests/unit/pool_sim.h"
#include "workers/pool/engine_room.h"

/* ---- where items are ---------------------------------------------------- */

static inline uint64_t items_in_ports(const struct sim *s,
				      const struct job *job)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < s->n_ports; i++)
		for (uint64_t k = s->ports[i].head; k != s->ports[i].tail; k++)
			if (port_piece(&s->ports[i], k)->job == job)
				n += port_piece(&s->ports[i], k)->n_items;
	return n;
}

static inline uint64_t items_in_redo(const struct sim *s, const struct job *job)
{
	const struct engine *e = &s->engine;
	const struct redo *redo;
	uint64_t n = 0;

	for (unsigned i = 0; i < ENGINE_LEVELS; i++)
		TAILQ_FOREACH(redo, &e->levels[i].redo, entry)
	n += redo->piece.job == job ? redo->piece.n_items : 0;
	return n;
}

static inline unsigned count_waiting(const struct trails *trails,
				     const struct job *job)
{
	const struct trail *trail;
	unsigned n = 0;

	TAILQ_FOREACH(trail, trails, entry)
	n += !job || trail->piece.job == job;
	return n;
}

/* To be run again: of job, or of all (NULL). */
static inline unsigned items_to_retry(const struct sim *s,
				      const struct job *job)
{
	unsigned n = count_waiting(&s->engine.waiting, job);

	for (unsigned i = 0; i < ENGINE_LEVELS; i++)
		n += count_waiting(&s->engine.levels[i].due, job);
	return n;
}

/* Each item given out is in one place: over, in redo, in a port, or to be run
 * again. */
static inline void check_items(struct sim *s)
{
	for (unsigned i = 0; i < s->n_submitted; i++) {
		const struct sim_job *j = &s->jobs[i];

		SIM_HOLDS(s, j->n_over + items_in_ports(s, &j->job) +
					     items_in_redo(s, &j->job) +
					     items_to_retry(s, &j->job) ==
				     j->next);
	}
}

static inline void check_step(struct sim *s)
{
	const struct engine *e = &s->engine;
	size_t n = e->n_redo;

	for (unsigned i = 0; i < s->n_ports; i++) {
		SIM_HOLDS(s, port_load(&s->ports[i]) <= e->window);
		n += port_load(&s->ports[i]);
	}
	if (!s->is_prioritized)
		SIM_HOLDS(s, n <= (size_t)s->n_ports * e->window);
	SIM_HOLDS(s, n <= e->redo_size);
	if (s->step % 8 == 0)
		check_items(s);
}

/* Who was running there has its outcome now, or is run again because it has not
 * crashed too often; nobody else is blamed. */
static inline void check_victim(struct sim *s, const struct sim_seat *seat,
				unsigned n_to_retry)
{
	const struct sim_job *victim = seat->is_tainted ? NULL : seat->victim;
	unsigned n_again = items_to_retry(s, NULL) - n_to_retry;
	const struct sim_item *item;

	SIM_HOLDS(s, s->n_blamed + n_again <= 1);
	if (!victim)
		return;
	item = &victim->items[seat->victim_index];
	SIM_HOLDS(s, item->n_outcomes + n_again == 1);
	if (n_again == 0)
		return;
	SIM_HOLDS(s, seat->cause != SIM_TIMEOUT && !victim->job.is_cancelled);
	if (!item->is_tainted)
		SIM_HOLDS(s, item->n_died < victim->job.max_crashes);
}

/* ---- who comes first ---------------------------------------------------- */

static inline bool is_honest(const struct sim *s)
{
	for (unsigned i = 0; i < s->n_ports; i++)
		if (s->seats[i].is_tainted)
			return false;
	return true;
}

/* The level of the first that is not begun, or -1. */
static inline int top_of_port(const struct port *p)
{
	uint64_t k = port_unbegun(p);

	return k == p->tail ? -1 : (int)port_piece(p, k)->level;
}

/* Something was handed out just now: nothing unbegun is less urgent than what waits;
 * nothing stands behind something else that is less urgent than anything unbegun;
 * nobody has nothing to do; and chunks that are in the way of what waits end. */
static inline void check_levels(struct sim *s)
{
	const struct engine *e = &s->engine;
	int waiting =
		e->levels_waiting ? (int)engine_top(e->levels_waiting) : -1;
	int top = waiting;

	if (!is_honest(s))
		return;
	for (unsigned i = 0; i < s->n_ports; i++)
		if (engine_is_open(&s->ports[i]))
			top = MAX(top, top_of_port(&s->ports[i]));
	for (unsigned i = 0; i < s->n_ports; i++) {
		const struct port *p = &s->ports[i];
		const struct channel_orders *orders =
			&p->channel.memory->orders;

		if (!engine_is_open(p))
			continue;
		SIM_HOLDS(s, waiting < 0 || port_load(p) > 0);
		if (waiting > (int)port_piece(p, p->head)->level)
			SIM_HOLDS(s, orders->hurry);
		for (uint64_t k = port_unbegun(p); k != p->tail; k++) {
			int level = port_piece(p, k)->level;

			SIM_HOLDS(s, level >= waiting);
			SIM_HOLDS(s, k == p->head || level == top);
		}
	}
}

/* ---- how many workers --------------------------------------------------- */

/* Nobody gets something to do who is too many; nobody leaves who is not; and who
 * leaves has nothing that could be taken from it. */
static inline void check_size(struct sim *s)
{
	unsigned n_open = 0, n_leaving = 0;

	for (unsigned i = 0; i < s->n_ports; i++) {
		const struct port *p = &s->ports[i];

		if (p->state != PORT_LIVE)
			continue;
		n_open += !p->is_leaving;
		n_leaving += p->is_leaving;
		if (!p->is_leaving || port_load(p) == 0 ||
		    s->seats[i].is_tainted)
			continue;
		SIM_HOLDS(s,
			  slot_word_state(channel_slot(&p->channel, p->tail - 1)
						  ->word) != SLOT_QUEUED);
	}
	SIM_HOLDS(s, n_open <= s->n_wanted);
	SIM_HOLDS(s, n_open == s->n_wanted || n_leaving == 0);
}
