/* Looking at a pool: what its engine and its board say at this moment. */
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/clock.h"
#include "workers/pool/pool.h"

/* What runs on a port, if anything does. Seen for the first time, it is taken to
 * have begun now. */
static bool note_running(struct port *p, uint64_t now, uint64_t *ret_slot)
{
	uint64_t word;

	if (!port_find_running(p, ret_slot)) {
		p->looked_usec = 0;
		return false;
	}
	word = atomic_load(&channel_slot(&p->channel, *ret_slot)->word);
	/* A soft deadline changes the state; another item is another task. */
	word = slot_word(SLOT_FREE, slot_word_tag(word), slot_word_item(word));
	if (p->looked_usec == 0 || p->looked_slot != *ret_slot ||
	    p->looked_word != word)
		p->looked_usec = now;
	p->looked_slot = *ret_slot;
	p->looked_word = word;
	return true;
}

void stats_note(struct reeve_pool *pool, uint64_t now)
{
	uint64_t slot;

	for (unsigned i = 0; i < pool->n_seats; i++)
		(void)note_running(&pool->ports[i], now, &slot);
}

/* Items handed over, and how many of them are not begun. */
static void count_port(const struct port *p, uint64_t *queued,
		       uint64_t *running)
{
	for (uint64_t i = p->head; i != p->tail; i++) {
		uint64_t word =
			atomic_load(&channel_slot(&p->channel, i)->word);

		if (is_running_state(slot_word_state(word)))
			*running += 1;
		else if (slot_word_state(word) == SLOT_QUEUED)
			*queued += port_piece(p, i)->n_items;
	}
}

void reeve_pool_stats(struct reeve_pool *pool,
		      struct reeve_pool_stats *ret_stats)
{
	struct reeve_pool_stats s = { 0 };
	const struct engine *e;

	if (!ret_stats)
		return;
	*ret_stats = s;
	if (pool_enter(pool) < 0)
		return;
	e = &pool->engine;
	s.n_processes = pool->n_processes;
	s.n_live = atomic_load(&pool->board->n_live);
	s.n_done = e->n_done;
	s.n_failed = e->n_failed;
	s.n_crashed = e->n_crashed;
	s.n_timeout = e->n_timeout;
	s.n_retries = e->n_retries;
	s.n_cancelled = e->n_cancelled;
	s.n_started = atomic_load(&pool->board->n_started);
	s.n_start_failures = atomic_load(&pool->board->n_start_failures);
	s.n_unseen = pool->n_unseen;
	s.n_resized_away = pool->n_resized_away;
	s.n_overdue = atomic_load(&pool->board->n_warned);
	s.n_samples = pool->n_samples;
	s.latency_usec_sum = pool->latency_sum;
	s.latency_usec_max = pool->latency_max;
	for (unsigned i = 0; i < pool->n_seats; i++) {
		s.n_recycled += atomic_load(&pool->board->seats[i].n_recycled);
		count_port(&pool->ports[i], &s.n_queued, &s.n_running);
	}
	s.n_queued += engine_waiting(e);
	*ret_stats = s;
	pool_leave(pool);
}

static void tell_running(const struct port *p, uint64_t slot,
			 struct reeve_worker_stats *ret)
{
	const struct piece *piece = port_piece(p, slot);
	struct progress_note note;

	ret->is_busy = true;
	ret->busy_since_usec = p->looked_usec;
	if (piece->job) { /* else it was cancelled */
		ret->function = piece->job->fn;
		ret->job = piece->job->number;
		ret->index = piece->index + slot_word_item(p->looked_word);
	}
	if (port_progress(p, slot, &note))
		ret->progress = note.progress;
}

static void look(struct port *p, const struct seat *seat,
		 struct reeve_worker_stats *ret)
{
	uint64_t running = 0, slot;

	*ret = (struct reeve_worker_stats){
		.pid = atomic_load(&seat->pid),
		.started_usec = atomic_load(&seat->started_usec),
		.n_tasks = p->n_items,
		.is_ready = atomic_load(&p->channel.memory->signs.phase) ==
			    PHASE_READY,
	};
	count_port(p, &ret->n_queued, &running);
	if (note_running(p, clock_monotonic_usec(), &slot))
		tell_running(p, slot, ret);
}

size_t reeve_pool_report(struct reeve_pool *pool,
			 struct reeve_death *ret_deaths, size_t n)
{
	size_t n_found;

	if (pool_enter(pool) < 0)
		return 0;
	n_found = deaths_copy(&pool->deaths, ret_deaths, n);
	pool_leave(pool);
	return n_found;
}

size_t reeve_pool_workers(struct reeve_pool *pool,
			  struct reeve_worker_stats *ret_workers, size_t n)
{
	size_t n_found = 0;

	if (pool_enter(pool) < 0)
		return 0;
	for (unsigned i = 0; i < pool->n_seats && pool->board; i++) {
		struct seat *seat = &pool->board->seats[i];

		if (atomic_load(&seat->state) != SEAT_LIVE)
			continue;
		if (ret_workers && n_found < n)
			look(&pool->ports[i], seat, &ret_workers[n_found]);
		n_found++;
	}
	pool_leave(pool);
	return n_found;
}
