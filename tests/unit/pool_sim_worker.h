/* The workers of the simulated pool: see pool_sim.h. Their keeper is in
 * pool_sim_keeper.h.
 *
 * A worker does in each step at most one thing that others can see, in the order
 * of workers/pool/worker.c, so that everybody else may come in between.
 */
#pragma once

#include "tests/unit/pool_sim.h"

static inline struct channel_memory *sim_memory(struct sim *s, unsigned i)
{
	return s->ports[i].channel.memory;
}

static inline struct slot *sim_slot(struct sim *s, unsigned i)
{
	return channel_slot(&s->ports[i].channel, s->seats[i].w.position);
}

/* ---- waking and sleeping ------------------------------------------------ */

static inline void sim_ring(struct sim *s, unsigned i)
{
	struct channel_orders *orders = &sim_memory(s, i)->orders;

	if (atomic_exchange(&orders->bell, 0))
		s->is_rung = true;
}

static inline void sim_count_finished(struct sim *s, unsigned i)
{
	struct channel_orders *orders = &sim_memory(s, i)->orders;
	uint32_t bell = atomic_load(&orders->bell);

	if (bell == 1)
		sim_ring(s, i);
	else if (bell > 1)
		atomic_store(&orders->bell, bell - 1);
}

static inline bool sim_has_work(struct sim *s, unsigned i)
{
	unsigned state = slot_word_state(atomic_load(&sim_slot(s, i)->word));

	return state == SLOT_QUEUED || state == SLOT_WITHDRAWN ||
	       atomic_load(&sim_memory(s, i)->orders.closing);
}

static inline void sim_lies_down(struct sim *s, unsigned i)
{
	sim_ring(s, i);
	atomic_store(&sim_memory(s, i)->signs.asleep, 1);
	s->seats[i].w.step = SIM_RECHECKS;
}

static inline void sim_rechecks(struct sim *s, unsigned i)
{
	struct sim_worker *w = &s->seats[i].w;

	if (!sim_has_work(s, i)) {
		w->step = SIM_SLEEPS;
		return;
	}
	atomic_store(&sim_memory(s, i)->signs.asleep, 0);
	w->step = SIM_LOOKS;
}

static inline void sim_sleeps(struct sim *s, unsigned i)
{
	if (atomic_load(&sim_memory(s, i)->signs.asleep))
		s->is_progress = false;
	else
		s->seats[i].w.step = SIM_LOOKS;
}

/* ---- dying -------------------------------------------------------------- */

static inline void sim_tell(struct sim *s)
{
	s->is_changed = s->is_rung = true;
}

static inline void sim_death(struct sim *s, unsigned i, enum sim_cause cause)
{
	struct sim_seat *seat = &s->seats[i];

	seat->victim = seat->w.running;
	seat->victim_index = seat->w.running_index;
	seat->is_live = seat->is_offered = false;
	seat->is_ended = true;
	seat->cause = cause;
	sim_tell(s);
}

/* ---- tasks -------------------------------------------------------------- */

static inline bool sim_is_over_limit(struct sim *s, const struct sim_worker *w,
				     const struct slot *slot)
{
	unsigned state = slot_word_state(atomic_load(&slot->word));

	if (s->task_limit == 0 || w->n_run == 0)
		return false;
	return w->n_run >= w->limit ||
	       (state == SLOT_QUEUED && w->n_run + slot->n_items > w->limit);
}

/* Too many, and nothing is there any more. */
static inline bool sim_has_to_close(struct sim *s, unsigned i)
{
	unsigned state = slot_word_state(s->seats[i].w.word);

	return state != SLOT_QUEUED && state != SLOT_WITHDRAWN &&
	       atomic_load(&sim_memory(s, i)->orders.closing);
}

static inline void sim_leaves(struct sim *s, unsigned i)
{
	struct sim_worker *w = &s->seats[i].w;
	struct channel_signs *signs = &sim_memory(s, i)->signs;

	signs->position = w->position;
	signs->out_head = w->out.head;
	signs->out_tail = w->out.tail;
	atomic_store(&signs->phase, PHASE_LEAVING);
	w->step = SIM_LEFT;
}

static inline void sim_looks(struct sim *s, unsigned i)
{
	struct sim_worker *w = &s->seats[i].w;

	w->word = atomic_load(&sim_slot(s, i)->word);
	if (sim_has_to_close(s, i) || sim_is_over_limit(s, w, sim_slot(s, i)))
		sim_leaves(s, i);
	else if (slot_word_state(w->word) == SLOT_QUEUED)
		w->step = SIM_CLAIMS;
	else if (slot_word_state(w->word) == SLOT_WITHDRAWN)
		w->step = SIM_SKIPS;
	else
		w->step = SIM_LIES_DOWN;
}

static inline void sim_passes(struct sim_worker *w)
{
	w->marks[w->position % SIM_SLOTS] = w->out.head;
	w->position++;
	w->step = SIM_COUNTS;
}

static inline void sim_skips(struct sim *s, unsigned i)
{
	struct sim_worker *w = &s->seats[i].w;
	uint64_t skipped = slot_word(SLOT_SKIPPED, slot_word_tag(w->word), 0);

	w->step = SIM_LOOKS;
	if (atomic_compare_exchange_strong(&sim_slot(s, i)->word, &w->word,
					   skipped))
		sim_passes(w);
}

/* Which item is it really? What a tainted slot says may be a lie: there the owner's
 * notes are asked. */
static inline void sim_set_running(struct sim *s, unsigned i)
{
	struct sim_worker *w = &s->seats[i].w;
	const struct port *p = &s->ports[i];
	const struct piece *piece = port_piece(p, w->position);
	uint64_t behind = (w->position - p->head) % SIM_SLOTS;

	w->running = NULL;
	w->running_index = (w->input & 0xffff) + w->item;
	if (!s->seats[i].is_tainted) {
		w->running = &s->jobs[sim_slot(s, i)->function];
		SIM_HOLDS(s, w->running_index < w->running->n);
		SIM_HOLDS(s, w->input >> 16 == w->running->id);
	} else if (behind < port_load(p) && piece->job) {
		w->running = sim_job_of(piece->job);
		w->running_index =
			piece->index + MIN(w->item, piece->n_items - 1);
	}
}

static inline void sim_claims(struct sim *s, unsigned i)
{
	struct sim_worker *w = &s->seats[i].w;
	struct slot *slot = sim_slot(s, i);
	uint64_t running = slot_word(SLOT_RUNNING, slot_word_tag(w->word), 0);
	uint32_t size = slot->item_size * MAX(slot->n_items, 1u);
	const void *input = slot->result.data;

	w->step = SIM_LOOKS;
	if (!atomic_compare_exchange_strong(&slot->word, &w->word, running))
		return;
	w->item = 0;
	w->results = UINT32_MAX;
	w->is_loose = slot->n_items > 0 && slot->out_stride == SLOT_LOOSE;
	w->n_items = MIN(slot->n_items, w->is_loose ? 8u : SIM_ITEMS);
	if (size > CHANNEL_INLINE_SIZE)
		input = s->ports[i].channel.in +
			slot->in_offset % CHANNEL_PAYLOAD_DEFAULT;
	memcpy(&w->input, input, sizeof(w->input));
	sim_set_running(s, i);
	w->step = SIM_BEGINS;
}

static inline void sim_begins(struct sim *s, unsigned i)
{
	struct sim_seat *seat = &s->seats[i];
	struct sim_worker *w = &seat->w;

	sim_set_running(s, i);
	SIM_HOLDS(s, w->running || seat->is_tainted);
	if (w->running) {
		struct sim_item *item = &w->running->items[w->running_index];

		item->is_tainted |= seat->is_tainted;
		SIM_HOLDS(s,
			  item->n_begun++ <= item->n_died || item->is_tainted);
	}
	w->lasts = sim_chance(s, 100) ? sim_pick(s, 1, 40) : 1;
	w->is_hanging = s->is_faulty && sim_chance(s, 10);
	w->step = SIM_RUNS;
}

static inline void sim_runs(struct sim *s, unsigned i)
{
	struct sim_worker *w = &s->seats[i].w;

	if (w->is_hanging)
		s->is_progress = false;
	else if (--w->lasts == 0)
		w->step = SIM_WRITES;
}

/* As release_consumed() of the worker. */
static inline void sim_release(struct sim *s, unsigned i)
{
	struct sim_worker *w = &s->seats[i].w;
	uint64_t n = atomic_load(&sim_memory(s, i)->orders.n_consumed);

	if (n <= w->n_released)
		return;
	if (w->position - n >= SIM_SLOTS) {
		SIM_HOLDS(s, s->seats[i].is_tainted);
		sim_death(s, i, SIM_CRASH);
		return;
	}
	w->n_released = n;
	if (n == w->first)
		arena_give_back(&w->out, w->first_mark);
	else if (n > w->first)
		arena_give_back(&w->out, w->marks[(n - 1) % SIM_SLOTS]);
}

static inline bool sim_take_output(struct sim *s, unsigned i, uint32_t size)
{
	struct sim_worker *w = &s->seats[i].w;

	sim_release(s, i);
	if (!s->seats[i].is_live)
		return false;
	if (arena_take(&w->out, size, &w->offset))
		return true;
	s->is_progress = !s->is_rung;
	s->is_rung = true; /* until the owner has collected */
	return false;
}

static inline void sim_fill(unsigned char *data, size_t size, uint32_t name)
{
	memcpy(data, &name, sizeof(name));
	memcpy(data + size - sizeof(name), &name, sizeof(name));
}

static inline void sim_write_single(struct sim *s, unsigned i, uint32_t name,
				    struct slot_result *result)
{
	struct sim_worker *w = &s->seats[i].w;
	uint32_t size = sim_output_size(name);

	if (size > CHANNEL_INLINE_SIZE) {
		if (!sim_take_output(s, i, size))
			return;
		sim_fill(s->ports[i].channel.out + w->offset, size, name);
		result->offset = w->offset;
	} else {
		sim_fill(result->data, size, name);
	}
	result->size = size;
	result->status = sim_status(name);
	result->flags = 0;
	w->step = SIM_ENDS;
}

/* As take_results() of the worker. */
static inline bool sim_take_results(struct sim *s, unsigned i)
{
	struct sim_worker *w = &s->seats[i].w;

	w->chunk_mark = w->out.head;
	if (!sim_take_output(
		    s, i, (uint32_t)chunk_output_size(w->n_items, SLOT_LOOSE)))
		return false;
	if (arena_would_fit(&w->out, w->chunk_mark, SIM_OUTPUT_MAX)) {
		w->results = sim_slot(s, i)->result.offset = w->offset;
		return true;
	}
	arena_undo(&w->out, w->chunk_mark);
	s->is_progress = !s->is_rung;
	s->is_rung = true;
	return false;
}

static inline void sim_write_loose(struct sim *s, unsigned i, uint32_t name)
{
	struct sim_worker *w = &s->seats[i].w;
	struct slot_result *results;

	if (w->item == 0 && w->results == UINT32_MAX && !sim_take_results(s, i))
		return;
	results = (struct slot_result *)(void *)(s->ports[i].channel.out +
						 w->results);
	sim_write_single(s, i, name, &results[w->item]);
}

static inline void sim_write_chunk(struct sim *s, unsigned i, uint32_t name)
{
	struct sim_worker *w = &s->seats[i].w;
	struct slot *slot = sim_slot(s, i);
	uint32_t stride = MIN(slot->out_stride, 12u), n = w->n_items;
	unsigned char *out = s->ports[i].channel.out;
	struct chunk_item item = { sim_status(name), stride };

	if (w->item == 0) {
		if (!sim_take_output(s, i,
				     (uint32_t)chunk_output_size(n, stride)))
			return;
		slot->result.offset = w->offset;
	}
	out += w->offset;
	memcpy(out + w->item * sizeof(item), &item, sizeof(item));
	if (stride >= sizeof(name))
		sim_fill(out + n * sizeof(item) + (size_t)w->item * stride,
			 stride, name);
	w->step = SIM_ENDS;
}

static inline void sim_writes(struct sim *s, unsigned i)
{
	struct sim_worker *w = &s->seats[i].w;
	uint32_t name = w->input + w->item;

	if (w->n_items == 0)
		sim_write_single(s, i, name, &sim_slot(s, i)->result);
	else if (w->is_loose)
		sim_write_loose(s, i, name);
	else
		sim_write_chunk(s, i, name);
}

static inline void sim_ends(struct sim *s, unsigned i)
{
	struct sim_worker *w = &s->seats[i].w;
	struct slot *slot = sim_slot(s, i);
	uint32_t tag = slot_word_tag(w->word), n = MAX(w->n_items, 1u);
	uint64_t running = slot_word(w->is_warned ? SLOT_WARNED : SLOT_RUNNING,
				     tag, w->item);
	uint64_t warned = slot_word(SLOT_WARNED, tag, w->item);
	bool is_last = w->item + 1 >= n;

	/* In all these cases the rest is handed out again. */
	if (atomic_load(&sim_memory(s, i)->orders.hurry) ||
	    (w->is_loose &&
	     (sim_chance(s, 100) ||
	      !arena_would_fit(&w->out, w->chunk_mark, SIM_OUTPUT_MAX))))
		is_last = true;
	if (!atomic_compare_exchange_strong(&slot->word, &running,
					    slot_word(is_last ? SLOT_DONE
							      : SLOT_RUNNING,
						      tag, w->item + 1))) {
		if (running != warned || w->is_warned)
			w->step = SIM_FROZEN;
		w->is_warned = true; /* takes its signal, then tries again */
		return;
	}
	s->n_warned_ends += w->is_warned;
	w->is_warned = false;
	w->n_run++;
	w->item++;
	w->running_index++;
	w->step = SIM_BEGINS;
	if (!is_last)
		return;
	w->running = NULL;
	sim_passes(w);
}

/* ---- scribbling --------------------------------------------------------- */

/* What is in its hands may have been run, and be run again. */
static inline void sim_taint(struct sim *s, unsigned i)
{
	const struct port *p = &s->ports[i];

	s->seats[i].is_tainted = true;
	for (uint64_t k = p->head; k != p->tail; k++) {
		const struct piece *piece = port_piece(p, k);

		for (uint32_t n = 0; piece->job && n < piece->n_items; n++)
			sim_job_of(piece->job)
				->items[piece->index + n]
				.is_tainted = true;
	}
}

/* Bytes anywhere, or a well-made lie in a slot. */
static inline void sim_scribble(struct sim *s, unsigned i)
{
	struct port *p = &s->ports[i];
	unsigned char *bytes = (unsigned char *)p->channel.memory;
	size_t size =
		sizeof(struct channel_memory) + SIM_SLOTS * sizeof(struct slot);
	struct slot *slot = channel_slot(&p->channel, rng_next(&s->dice));
	uint32_t tag = slot_word_tag(slot->word);

	sim_taint(s, i);
	for (uint32_t n = sim_pick(s, 1, 30); n > 0; n--) {
		size_t at = rng_below(&s->dice, size);

		bytes[at] = (unsigned char)rng_next(&s->dice);
	}
	if (sim_chance(s, 700)) {
		uint32_t item = sim_pick(s, 0, 8);

		atomic_store(&slot->word,
			     slot_word((enum slot_state)sim_pick(s, 0, 9), tag,
				       item));
	}
}

/* ---- one step ----------------------------------------------------------- */

static inline void sim_counts(struct sim *s, unsigned i)
{
	sim_count_finished(s, i);
	s->seats[i].w.step = SIM_LOOKS;
}

static inline void sim_starts(struct sim *s, unsigned i)
{
	const struct sim_worker *w = &s->seats[i].w;
	const struct arena *out = &w->out;
	uint64_t n = atomic_load(&sim_memory(s, i)->orders.n_consumed);

	if (out->tail > out->head || out->head - out->tail > out->size ||
	    w->position - n > SIM_SLOTS) {
		SIM_HOLDS(s, s->seats[i].is_tainted);
		sim_death(s, i, SIM_CRASH);
		return;
	}
	atomic_store(&sim_memory(s, i)->signs.phase, PHASE_READY);
	s->seats[i].w.step = SIM_LOOKS;
}

static inline void sim_worker_step(struct sim *s, unsigned i)
{
	static void (*const steps[])(struct sim *, unsigned) = {
		[SIM_STARTING] = sim_starts,   [SIM_LOOKS] = sim_looks,
		[SIM_CLAIMS] = sim_claims,     [SIM_SKIPS] = sim_skips,
		[SIM_BEGINS] = sim_begins,     [SIM_RUNS] = sim_runs,
		[SIM_WRITES] = sim_writes,     [SIM_ENDS] = sim_ends,
		[SIM_COUNTS] = sim_counts,     [SIM_LIES_DOWN] = sim_lies_down,
		[SIM_RECHECKS] = sim_rechecks, [SIM_SLEEPS] = sim_sleeps,
	};
	struct sim_worker *w = &s->seats[i].w;

	if (w->is_hostile && s->is_faulty && sim_chance(s, 50))
		sim_scribble(s, i);
	if (w->step == SIM_FROZEN)
		atomic_store(&sim_memory(s, i)->signs.asleep, 1);
	if (w->step == SIM_FROZEN || w->step == SIM_LEFT)
		s->is_progress = false;
	else
		steps[w->step](s, i);
}
