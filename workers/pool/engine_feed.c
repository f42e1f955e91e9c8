/* Handing out goes by a few rules, in this order:
 *
 *   1. what was taken back goes first, it is older than what is queued;
 *   2. each idle worker gets one piece, beginning with the one that brought
 *      something last: it is awake, and its caches are warm;
 *   3. then each gets a few at a time, until all windows are full;
 *   4. when nothing is left to hand out and a worker is idle, it gets half of
 *      what the most loaded one has not begun: none is stuck behind a long task;
 *   5. but above all, what is more urgent goes before what is less: see make_way().
 */
#include "workers/pool/engine_room.h"

#define FEED_QUANTUM 8 /* pieces per port and round */

#define ALL_LEVELS UINT32_MAX

/* Up to n pieces, of the levels that are allowed, to one port. */
static size_t give(struct engine *e, struct port *p, size_t n, uint32_t allowed)
{
	uint32_t levels = 0;
	struct piece piece;
	size_t given = 0;

	while (given < n && !port_is_full(p, e->window) &&
	       engine_next_piece(e, allowed, &piece)) {
		struct job *job = piece.job;
		size_t size;
		const void *input = job->type->input(job, &piece, &size);

		if (port_publish(p, &piece, job->function, input, size) < 0) {
			engine_redo_first(e, &piece);
			break;
		}
		levels |= UINT32_C(1) << piece.level;
		given++;
	}
	e->levels_given |= levels;
	return given;
}

/* After publishing: the worker may have gone to sleep just before. */
static void call(struct engine *e, struct port *p)
{
	struct channel_memory *m = p->channel.memory;

	atomic_thread_fence(memory_order_seq_cst);
	if (e->bell > 0 && atomic_load(&m->orders.bell) == 0)
		atomic_store(&m->orders.bell, e->bell);
	if (atomic_load_explicit(&m->signs.asleep, memory_order_relaxed))
		e->hooks->wake(e, (unsigned)(p - e->ports));
}

static struct port *port_at(struct engine *e, unsigned i)
{
	return &e->ports[(e->hint + i) % e->n_ports];
}

static size_t feed_idle(struct engine *e)
{
	size_t n = 0;

	for (unsigned i = 0; i < e->n_ports && engine_has_something(e); i++) {
		struct port *p = port_at(e, i);

		if (!engine_is_open(p) || port_load(p) > 0 ||
		    give(e, p, 1, ALL_LEVELS) == 0)
			continue;
		call(e, p);
		n++;
	}
	return n;
}

static size_t feed_round(struct engine *e, uint32_t allowed)
{
	size_t n = 0;

	for (unsigned i = 0; i < e->n_ports && (e->levels_waiting & allowed);
	     i++) {
		struct port *p = port_at(e, i);
		size_t given = engine_is_open(p)
				       ? give(e, p, FEED_QUANTUM, allowed)
				       : 0;

		if (given > 0)
			call(e, p);
		n += given;
	}
	return n;
}

/* The port that has most that is not begun; its first may be running. */
static struct port *most_loaded(struct engine *e)
{
	struct port *most = NULL;

	for (unsigned i = 0; i < e->n_ports; i++) {
		struct port *p = &e->ports[i];

		if (p->state == PORT_LIVE && port_load(p) > 1 &&
		    (!most || port_load(p) > port_load(most)))
			most = p;
	}
	return most;
}

static bool has_idle(const struct engine *e)
{
	for (unsigned i = 0; i < e->n_ports; i++)
		if (engine_is_open(&e->ports[i]) &&
		    port_load(&e->ports[i]) == 0)
			return true;
	return false;
}

static bool take_back_half(struct engine *e)
{
	struct port *p = most_loaded(e);
	uint32_t n = p ? port_load(p) / 2 : 0;
	struct piece piece;

	if (!p)
		return false;
	while (n > 0 && port_take_back(p, &piece)) {
		if (!piece.job)
			continue;
		engine_redo_or_cancel(e, &piece, true);
		n--;
	}
	port_drop_cancelled(p);
	return e->n_redo > 0;
}

/* ---- what is more urgent ------------------------------------------------------------ */

/* Is not all that waits or is handed over equally urgent? levels_given may name one
 * too many; make_way() puts it right. */
static bool is_mixed(const struct engine *e)
{
	uint32_t levels = e->levels_waiting | e->levels_given;

	return (levels & (levels - 1)) != 0;
}

/* The levels of what waits, and of what is handed over and not begun; in_advance: and
 * stands behind something else there. */
static uint32_t unbegun_levels(const struct engine *e, bool in_advance)
{
	uint32_t levels = e->levels_waiting;

	for (unsigned i = 0; i < e->n_ports; i++) {
		const struct port *p = &e->ports[i];
		uint64_t first = engine_is_open(p) ? port_unbegun(p) : p->tail;

		if (in_advance && first == p->head)
			first++;
		for (; first < p->tail; first++)
			levels |= UINT32_C(1) << port_piece(p, first)->level;
	}
	return levels;
}

/* From the end of p what is below level, and all but the first if somebody else has
 * nothing to do. */
static size_t take_back_some(struct engine *e, struct port *p, unsigned level,
			     bool is_other_idle)
{
	struct piece piece;
	size_t n = 0;

	while (n < FEED_QUANTUM && port_load(p) > 0 &&
	       (port_piece(p, p->tail - 1)->level < level ||
		(is_other_idle && port_load(p) > 1)) &&
	       port_take_back(p, &piece)) {
		if (piece.job)
			engine_redo_or_cancel(e, &piece, true);
		n++;
	}
	return n;
}

/* Nothing that is less urgent than something unbegun stays handed over in advance. So
 * what is urgent waits only for what runs: whoever is the first to have nothing to
 * do gets it. In rounds, as it was handed out, so that it comes back in order.
 * Returns the levels that may be handed over in advance. */
static uint32_t make_way(struct engine *e)
{
	uint32_t levels = unbegun_levels(e, false);
	unsigned top = levels ? engine_top(levels) : 0;
	bool is_idle = has_idle(e), is_more = levels != 0;

	while (is_more) {
		is_more = false;
		for (unsigned i = e->n_ports; i > 0; i--) {
			struct port *p = port_at(e, i - 1);

			if (engine_is_open(p))
				is_more |=
					take_back_some(e, p, top, is_idle) > 0;
		}
	}
	e->levels_given = 0;
	for (unsigned i = 0; i < e->n_ports; i++)
		for (uint64_t k = e->ports[i].head; k != e->ports[i].tail; k++)
			e->levels_given |=
				UINT32_C(1)
				<< port_piece(&e->ports[i], k)->level;
	return ALL_LEVELS << top;
}

/* Chunks that are less urgent than what has found no worker end early. */
static void hurry(struct engine *e)
{
	uint32_t levels = is_mixed(e) ? unbegun_levels(e, true) : 0;
	unsigned top = levels ? engine_top(levels) : 0;

	e->is_hurrying = false;
	for (unsigned i = 0; i < e->n_ports; i++) {
		struct port *p = &e->ports[i];
		bool is_late =
			port_load(p) > 0 && port_piece(p, p->head)->level < top;

		port_set_hurried(p, is_late);
		e->is_hurrying |= is_late;
	}
}

/* ---- all of it ------------------------------------------------------------------------ */

size_t engine_feed(struct engine *e)
{
	bool was_mixed = is_mixed(e);
	uint32_t allowed = was_mixed ? make_way(e) : ALL_LEVELS;
	size_t n = 0, given;

	if (engine_has_something(e)) {
		n = feed_idle(e);
		while ((given = feed_round(e, allowed)) > 0)
			n += given;
	}
	if (!engine_has_something(e) && has_idle(e) && take_back_half(e))
		n += feed_idle(e);
	if (was_mixed || e->is_hurrying)
		hurry(e);
	return n;
}
