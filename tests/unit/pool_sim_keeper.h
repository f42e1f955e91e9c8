/* The keeper of the simulated pool: see pool_sim.h. What it changes in a slot, it
 * changes by the real one's functions.
 */
#pragma once

#include "tests/unit/pool_sim_worker.h"
#include "workers/pool/keeper_room.h"

static inline void sim_birth(struct sim *s, unsigned i)
{
	struct sim_seat *seat = &s->seats[i];
	const struct channel_signs *signs = &sim_memory(s, i)->signs;
	uint32_t limit = s->task_limit ? sim_pick(s, 1, s->task_limit) : 0;

	/* One throw of dice at most in an initialiser: their order is free. */
	seat->w = (struct sim_worker){
		.step = SIM_STARTING,
		.is_hostile =
			s->is_hostile && s->is_faulty && sim_chance(s, 300),
		.limit = limit,
		.position = signs->position,
		.first = signs->position,
		.first_mark = signs->out_head,
		.out = { .size = SIM_ARENA,
			 .head = signs->out_head,
			 .tail = signs->out_tail },
	};
	atomic_store(&sim_memory(s, i)->signs.phase, PHASE_STARTING);
	seat->generation++;
	seat->is_live = true;
	seat->is_ended = seat->is_watching = false;
	sim_tell(s);
}

static inline unsigned sim_count_live(const struct sim *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->n_ports; i++)
		n += s->seats[i].is_live;
	return n;
}

/* As has_to_recycle() of the keeper. */
static inline bool sim_has_to_recycle(struct sim *s, unsigned i, bool is_queued)
{
	const struct sim_worker *w = &s->seats[i].w;

	if (s->task_limit == 0 || sim_memory(s, i)->signs.position == w->first)
		return false;
	if (atomic_load(&sim_memory(s, i)->orders.closing))
		return is_queued;
	return sim_count_live(s) <= s->n_wanted;
}

/* Left of its own will: followed in place, if nothing is half done and it is not
 * one too many. */
static inline void sim_left(struct sim *s, unsigned i)
{
	bool is_queued = false;

	for (unsigned k = 0; k < SIM_SLOTS; k++) {
		unsigned state =
			slot_word_state(sim_memory(s, i)->slots[k].word);

		is_queued |= state == SLOT_QUEUED;
		if (is_running_state(state) || state == SLOT_CANCELLING) {
			SIM_HOLDS(s, s->seats[i].is_tainted);
			sim_death(s, i, SIM_CRASH);
			return;
		}
	}
	if (sim_has_to_recycle(s, i, is_queued))
		sim_birth(s, i);
	else
		sim_death(s, i, SIM_WENT);
}

/* What was changed is exactly what was seen. */
static inline void sim_check_watched(struct sim *s, unsigned i)
{
	const struct sim_seat *seat = &s->seats[i];
	const struct sim_worker *w = &seat->w;

	if (seat->is_tainted)
		return;
	SIM_HOLDS(s, w->running);
	SIM_HOLDS(s, w->position % SIM_SLOTS == seat->watched_slot);
	SIM_HOLDS(s, w->item == slot_word_item(seat->watched_word));
	SIM_HOLDS(s, w->running == seat->watched &&
			     w->running_index == seat->watched_index);
}

/* Its deadline is over: exactly what was seen is frozen, or nothing. */
static inline void sim_cut(struct sim *s, unsigned i)
{
	struct sim_seat *seat = &s->seats[i];
	struct slot *slot = &sim_memory(s, i)->slots[seat->watched_slot];

	seat->is_watching = false;
	if (!keeper_cut(slot, seat->watched_word))
		return;
	sim_check_watched(s, i);
	sim_death(s, i, SIM_TIMEOUT);
}

/* Its soft deadline is over: it is told, or nobody. */
static inline void sim_warn(struct sim *s, unsigned i)
{
	struct sim_seat *seat = &s->seats[i];
	struct slot *slot = &sim_memory(s, i)->slots[seat->watched_slot];
	uint64_t word = seat->watched_word;

	if (!keeper_warn(slot, word))
		return;
	sim_check_watched(s, i);
	s->n_warned++;
	seat->watched_word = slot_word(SLOT_WARNED, slot_word_tag(word),
				       slot_word_item(word));
}

static inline void sim_mind(struct sim *s, unsigned i)
{
	const struct sim_seat *seat = &s->seats[i];
	uint64_t usec = s->now_usec - seat->watched_usec;

	if (s->timeout_usec > 0 && usec > s->timeout_usec)
		sim_cut(s, i);
	else if (s->soft_timeout_usec > 0 && usec > s->soft_timeout_usec)
		sim_warn(s, i);
}

static inline void sim_watch(struct sim *s, unsigned i)
{
	struct sim_seat *seat = &s->seats[i];

	if (seat->is_watching) {
		uint64_t word =
			sim_memory(s, i)->slots[seat->watched_slot].word;

		if (word != seat->watched_word)
			seat->is_watching = false;
		else
			sim_mind(s, i);
		return;
	}
	for (unsigned k = 0; k < SIM_SLOTS && !seat->is_watching; k++) {
		uint64_t word = sim_memory(s, i)->slots[k].word;

		if (!is_running_state(slot_word_state(word)))
			continue;
		seat->is_watching = true;
		seat->watched_slot = k;
		seat->watched_word = word;
		seat->watched_usec = s->now_usec;
		seat->watched = seat->w.running;
		seat->watched_index = seat->w.running_index;
	}
}

/* Is it such that it will never come to an end by itself? */
static inline bool sim_is_hopeless(const struct sim *s,
				   const struct sim_seat *seat)
{
	return !s->is_faulty && (seat->w.is_hostile || seat->w.is_hanging);
}

static inline void sim_keeper_step(struct sim *s, unsigned i)
{
	struct sim_seat *seat = &s->seats[i];

	if (!seat->is_live) {
		bool is_missing =
			seat->is_offered && sim_count_live(s) < s->n_wanted;

		s->is_progress = is_missing;
		if (is_missing)
			sim_birth(s, i);
	} else if (seat->w.step == SIM_LEFT) {
		sim_left(s, i);
	} else if (seat->kill == seat->generation) {
		sim_death(s, i, SIM_KILL);
	} else if (sim_is_hopeless(s, seat) ||
		   (s->is_faulty && sim_chance(s, 15))) {
		sim_death(s, i, SIM_CRASH);
	} else {
		s->is_progress = s->timeout_usec > 0 && seat->is_watching;
		if (s->timeout_usec > 0 || s->soft_timeout_usec > 0)
			sim_watch(s, i);
	}
}
