/* Handing out goes by a few rules, in this order:
 *
 *   1. what was taken back goes first, it is older than what is queued;
 *   2. each idle worker gets one piece, beginning with the one that brought
 *      something last: it is awake, and its caches are warm;
 *   3. then each gets a few at a time, until all windows are full;
 *   4. when nothing is left to hand out and a worker is idle, it gets half of
 *      what the most loaded one has not begun: none is stuck behind a long task.
 */
#include "workers/pool/engine_room.h"

#define FEED_QUANTUM 8 /* pieces per port and round */

/* The next piece, older ones first. */
static bool next_piece(struct engine *e, struct piece *ret)
{
	struct job *job;

	if (e->n_redo > 0) {
		*ret = engine_redo_pop(e);
		return true;
	}
	if (!TAILQ_EMPTY(&e->due)) {
		*ret = engine_take_due(e);
		return true;
	}
	while ((job = TAILQ_FIRST(&e->queue))) {
		bool is_given = job->type->next(job, e->max_items, ret);

		/* A job that is over may be gone: it must not stand here. */
		if (!is_given || ret->is_last)
			engine_unqueue(e, job);
		if (is_given) {
			ret->job = job;
			return true;
		}
	}
	return false;
}

/* Up to n pieces to one port. */
static size_t give(struct engine *e, struct port *p, size_t n)
{
	struct piece piece;
	size_t given = 0;

	while (given < n && !port_is_full(p, e->window) &&
	       next_piece(e, &piece)) {
		struct job *job = piece.job;
		size_t size;
		const void *input = job->type->input(job, &piece, &size);

		if (port_publish(p, &piece, job->function, input, size) < 0) {
			engine_redo_first(e, &piece);
			break;
		}
		given++;
	}
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
		    give(e, p, 1) == 0)
			continue;
		call(e, p);
		n++;
	}
	return n;
}

static size_t feed_round(struct engine *e)
{
	size_t n = 0;

	for (unsigned i = 0; i < e->n_ports && engine_has_something(e); i++) {
		struct port *p = port_at(e, i);
		size_t given = engine_is_open(p) ? give(e, p, FEED_QUANTUM) : 0;

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
		engine_redo_taken_back(e, &piece);
		n--;
	}
	port_drop_cancelled(p);
	return e->n_redo > 0;
}

size_t engine_feed(struct engine *e)
{
	size_t n = 0, given;

	if (engine_has_something(e)) {
		n = feed_idle(e);
		while ((given = feed_round(e)) > 0)
			n += given;
	}
	if (!engine_has_something(e) && has_idle(e) && take_back_half(e))
		n += feed_idle(e);
	return n;
}
