/* The scheduler. Handing out goes by a few rules, in this order:
 *
 *   1. what was taken back goes first, it is older than what is queued;
 *   2. each idle worker gets one piece, beginning with the one that brought
 *      something last: it is awake, and its caches are warm;
 *   3. then each gets a few at a time, until all windows are full;
 *   4. when nothing is left to hand out and a worker is idle, it gets half of
 *      what the most loaded one has not begun: none is stuck behind a long task.
 */
#include "workers/pool/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/macro.h"

#define FEED_QUANTUM	  8  /* pieces per port and round */
#define CHECKS_TO_GIVE_UP 10 /* engine_check()s in front of one task */

static bool is_open(const struct port *p)
{
	return p->state == PORT_LIVE;
}

/* ---- redo --------------------------------------------------------------------- */

static void redo_push(struct engine *e, const struct piece *piece)
{
	reeve_assert(e->n_redo < e->redo_size);
	e->redo[(e->redo_first + e->n_redo++) % e->redo_size] = *piece;
}

static void redo_push_front(struct engine *e, const struct piece *piece)
{
	reeve_assert(e->n_redo < e->redo_size);
	e->redo_first = (e->redo_first + e->redo_size - 1) % e->redo_size;
	e->redo[e->redo_first] = *piece;
	e->n_redo++;
}

static struct piece redo_pop(struct engine *e)
{
	struct piece piece = e->redo[e->redo_first];

	e->redo_first = (e->redo_first + 1) % e->redo_size;
	e->n_redo--;
	return piece;
}

/* ---- outcomes ----------------------------------------------------------------- */

static void count(struct engine *e, enum reeve_outcome_kind kind, uint64_t n)
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

static void end_items(struct engine *e, struct job *job, uint64_t index,
		      uint32_t n, const struct reeve_outcome *outcome)
{
	for (uint32_t i = 0; i < n; i++) {
		count(e, outcome->kind, 1);
		job->type->ended(job, index + i, outcome);
	}
}

static const struct reeve_outcome cancelled = {
	.kind = REEVE_CANCELLED,
	.error = -ECANCELED,
	.message = "cancelled before it began",
};

static void cancel_piece(struct engine *e, const struct piece *piece)
{
	end_items(e, piece->job, piece->index, piece->n_items, &cancelled);
}

static void deliver(struct engine *e, struct port *p, const struct piece *piece,
		    uint32_t n, const struct port_output *output)
{
	const struct job_place place = { (unsigned)(p - e->ports), p->pid };
	uint32_t n_done =
		piece->job->type->done(piece->job, piece, n, output, &place);

	e->n_done += n_done;
	e->n_failed += n - n_done;
	p->n_items += n;
}

/* ---- collecting ---------------------------------------------------------------- */

static void doom(struct engine *e, struct port *p)
{
	if (p->state != PORT_LIVE)
		return;
	p->state = PORT_DOOMED;
	e->hooks->kill(e, (unsigned)(p - e->ports));
}

static size_t collect(struct engine *e, struct port *p)
{
	struct port_output output;
	enum port_sight sight;
	size_t n = 0;

	while ((sight = port_look(p, &output)) != SIGHT_NOTHING) {
		struct piece piece = *port_piece(p, p->head);

		if (sight == SIGHT_BROKEN ||
		    (sight == SIGHT_SKIPPED && piece.job)) {
			doom(e, p);
			break;
		}
		if (sight == SIGHT_DONE && piece.job)
			deliver(e, p, &piece, piece.n_items, &output);
		port_advance(p);
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
			n += collect(e, &e->ports[i]);
	return n;
}

bool engine_is_ready(const struct engine *e)
{
	struct port_output output;

	for (unsigned i = 0; i < e->n_ports; i++)
		if (port_look(&e->ports[i], &output) != SIGHT_NOTHING &&
		    is_open(&e->ports[i]))
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

/* ---- handing out ---------------------------------------------------------------- */

static void unqueue(struct engine *e, struct job *job)
{
	if (job->is_queued)
		TAILQ_REMOVE(&e->queue, job, entry);
	job->is_queued = false;
}

/* The next piece, older ones first. */
static bool next_piece(struct engine *e, struct piece *ret)
{
	struct job *job;

	if (e->n_redo > 0) {
		*ret = redo_pop(e);
		return true;
	}
	while ((job = TAILQ_FIRST(&e->queue))) {
		bool is_given = job->type->next(job, e->max_items, ret);

		/* A job that is over may be gone: it must not stand here. */
		if (!is_given || ret->is_last)
			unqueue(e, job);
		if (is_given) {
			ret->job = job;
			return true;
		}
	}
	return false;
}

static bool has_something(const struct engine *e)
{
	return e->n_redo > 0 || !TAILQ_EMPTY(&e->queue);
}

/* Up to n pieces to one port. */
static size_t give(struct engine *e, struct port *p, size_t n)
{
	struct piece piece;
	size_t given = 0;

	while (given < n && !port_is_full(p, e->window) &&
	       next_piece(e, &piece)) {
		struct job *job = piece.job;

		if (port_publish(p, &piece, job->function,
				 job->type->input(job, &piece)) < 0) {
			redo_push_front(e, &piece);
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

	for (unsigned i = 0; i < e->n_ports && has_something(e); i++) {
		struct port *p = port_at(e, i);

		if (!is_open(p) || port_load(p) > 0 || give(e, p, 1) == 0)
			continue;
		call(e, p);
		n++;
	}
	return n;
}

static size_t feed_round(struct engine *e)
{
	size_t n = 0;

	for (unsigned i = 0; i < e->n_ports && has_something(e); i++) {
		struct port *p = port_at(e, i);
		size_t given = is_open(p) ? give(e, p, FEED_QUANTUM) : 0;

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
		if (is_open(&e->ports[i]) && port_load(&e->ports[i]) == 0)
			return true;
	return false;
}

/* What was cancelled and comes last is no load. */
static void trim(struct port *p)
{
	struct piece piece;

	while (port_load(p) > 0 && !port_piece(p, p->tail - 1)->job &&
	       port_take_back(p, &piece))
		;
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
		redo_push_front(e, &piece);
		n--;
	}
	trim(p);
	return e->n_redo > 0;
}

size_t engine_feed(struct engine *e)
{
	size_t n = 0, given;

	if (has_something(e)) {
		n = feed_idle(e);
		while ((given = feed_round(e)) > 0)
			n += given;
	}
	if (!has_something(e) && has_idle(e) && take_back_half(e))
		n += feed_idle(e);
	return n;
}

void engine_submit(struct engine *e, struct job *job)
{
	if (e->given_up.kind != REEVE_PENDING) {
		count(e, e->given_up.kind,
		      job->type->abandon(job, &e->given_up));
		return;
	}
	if (job->is_queued)
		return;
	job->is_queued = true;
	TAILQ_INSERT_TAIL(&e->queue, job, entry);
}

uint64_t engine_waiting(const struct engine *e)
{
	struct job *job;
	uint64_t n = 0;

	TAILQ_FOREACH(job, &e->queue, entry)
	n += job->type->waiting(job);
	for (size_t i = 0; i < e->n_redo; i++)
		n += e->redo[(e->redo_first + i) % e->redo_size].n_items;
	return n;
}

bool engine_is_idle(const struct engine *e)
{
	for (unsigned i = 0; i < e->n_ports; i++)
		if (port_load(&e->ports[i]) > 0)
			return false;
	return !has_something(e);
}

/* Who says that it is not ready, and does not sleep, has more time; what it says
 * may be wrong. */
static bool is_prompt(const struct port *p)
{
	const struct channel_signs *signs = &p->channel.memory->signs;

	return atomic_load(&signs->asleep) ||
	       atomic_load(&signs->phase) == PHASE_READY;
}

void engine_check(struct engine *e)
{
	for (unsigned i = 0; i < e->n_ports; i++) {
		struct port *p = &e->ports[i];
		bool prompt = is_prompt(p), waits = port_is_waiting(p);

		port_repeat(p);
		if (!waits || prompt != p->was_prompt) {
			p->waited_head = p->head;
			p->n_waited = prompt && waits;
			p->was_prompt = prompt;
		} else if (++p->n_waited >=
			   (prompt ? CHECKS_TO_GIVE_UP : e->checks_unready)) {
			doom(e, p);
		}
		if (prompt && p->n_waited > 0)
			e->hooks->wake(e, i);
	}
}

/* ---- cancelling ------------------------------------------------------------------ */

static void cancel_redo(struct engine *e, const struct job *job)
{
	for (size_t n = e->n_redo; n > 0; n--) {
		struct piece piece = redo_pop(e);

		if (piece.job == job)
			cancel_piece(e, &piece);
		else
			redo_push(e, &piece);
	}
}

static unsigned cancel_in_port(struct engine *e, struct port *p,
			       const struct job *job)
{
	unsigned n_running = 0;

	for (uint64_t i = p->head; i != p->tail; i++) {
		struct piece *own = port_piece(p, i);
		int r = own->job == job ? port_cancel(p, i) : 0;

		if (r == 1) {
			cancel_piece(e, own);
			own->job = NULL; /* its skipping is of no interest */
		} else if (r == 2) {
			n_running++;
			doom(e, p);
		}
	}
	trim(p);
	return n_running;
}

unsigned engine_cancel(struct engine *e, struct job *job)
{
	unsigned n_running = 0;

	job->is_cancelled = true;
	unqueue(e, job);
	e->n_cancelled += job->type->abandon(job, &cancelled);
	cancel_redo(e, job);
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

/* What was not begun is handed out again, unless nobody wants it any more. */
static void redo_or_cancel(struct engine *e, const struct piece *piece)
{
	if (piece->n_items == 0)
		return;
	if (piece->job->is_cancelled)
		cancel_piece(e, piece);
	else
		redo_push(e, piece);
}

/* The piece that was running: results that are there count; one item is to
 * blame; the rest has not begun. */
static void settle_running(struct engine *e, struct port *p, uint64_t slot,
			   uint32_t item, const struct reeve_outcome *end)
{
	struct piece piece = *port_piece(p, slot);
	struct reeve_outcome outcome = *end;
	struct port_output output;

	if (item >= piece.n_items)
		item = piece.n_items - 1;
	if (!port_partial(p, slot, item, &output))
		item = 0;
	if (item > 0)
		deliver(e, p, &piece, item, &output);
	if (piece.job->is_cancelled) {
		outcome.kind = REEVE_CANCELLED;
		outcome.error = -ECANCELED;
	}
	end_items(e, piece.job, piece.index + item, 1, &outcome);
	piece.index += item + 1;
	piece.n_items -= item + 1;
	redo_or_cancel(e, &piece);
}

/* Was it running? All that is not plainly unbegun counts as that: a task that
 * spoils its own slot must not be run again and again. */
static bool is_begun(enum slot_state state)
{
	return state != SLOT_QUEUED && state != SLOT_WITHDRAWN;
}

void engine_port_ended(struct engine *e, unsigned port,
		       const struct reeve_outcome *end)
{
	struct port *p = &e->ports[port];
	bool is_settled = false;

	p->state = PORT_DOOMED; /* nobody is left to be killed */
	(void)collect(e, p);
	for (uint64_t i = p->head; i != p->tail; i++) {
		uint32_t item;
		enum slot_state state = port_autopsy(p, i, &item);

		if (!port_piece(p, i)->job)
			continue;
		if (!is_settled && is_begun(state)) {
			settle_running(e, p, i, item, end);
			is_settled = true;
		} else {
			redo_or_cancel(e, port_piece(p, i));
		}
	}
	port_reset(p);
}

void engine_give_up(struct engine *e, const struct reeve_outcome *outcome)
{
	struct job *job;

	(void)engine_collect(e);
	e->given_up = *outcome;
	for (unsigned i = 0; i < e->n_ports; i++) {
		struct port *p = &e->ports[i];

		for (uint64_t k = p->head; k != p->tail; k++)
			if (port_piece(p, k)->job)
				redo_push(e, port_piece(p, k));
		port_reset(p);
	}
	while (e->n_redo > 0) {
		struct piece piece = redo_pop(e);

		end_items(e, piece.job, piece.index, piece.n_items, outcome);
	}
	while ((job = TAILQ_FIRST(&e->queue))) {
		unqueue(e, job);
		count(e, outcome->kind, job->type->abandon(job, outcome));
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
		.redo_size = (size_t)n_ports * ports[0].channel.n_slots + 1,
	};
	TAILQ_INIT(&e->queue);
	e->redo = calloc(e->redo_size, sizeof(*e->redo));
	return e->redo ? 0 : -ENOMEM;
}

void engine_done(struct engine *e)
{
	free(e->redo);
	e->redo = NULL;
	e->ports = NULL; /* results and iterators outlive it, and ask still */
	e->n_ports = 0;
}
