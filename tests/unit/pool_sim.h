/* A pool in one process: the real engine and real channels, made-up workers that
 * go through a worker's protocol one atomic step at a time, a made-up keeper,
 * jobs that know what has to become of their items, a clock and dice of our own.
 * test_pool_sim.c plays the owner in it; pool_sim_worker.h has the others.
 *
 * Hostile workers scribble over all the memory that they share. From the first
 * stroke until its port is reset a seat is tainted: the items that pass through
 * it may be run twice or not at all; each still has exactly one outcome.
 */
#pragma once

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/rng.h"
#include "workers/pool/engine.h"

#define SIM_PORTS      3
#define SIM_SLOTS      8
#define SIM_JOBS       6
#define SIM_ITEMS      24
#define SIM_ARENA      1024 /* of outputs: small, so that it is full at times */
#define SIM_INPUT_MAX  300
#define SIM_OUTPUT_MAX 48

enum sim_kind { SIM_SINGLE, SIM_ARRAY, SIM_SOURCE, SIM_KINDS };

struct sim_item {
	unsigned n_begun, n_outcomes;
	/* Workers, while it was theirs, perhaps before they had begun it; not of
	 * a deadline or cancel. */
	unsigned n_died;
	bool is_tainted;
	enum reeve_outcome_kind kind;
};

struct sim_job {
	struct job job;
	struct sim *sim;
	enum sim_kind kind;
	uint32_t id, chunk, item_size, stride, room;
	uint64_t n, next, n_over;
	struct sim_item items[SIM_ITEMS];
	unsigned char inputs[SIM_ITEMS * SIM_INPUT_MAX];
};

enum sim_step {
	SIM_STARTING,
	SIM_LOOKS,  /* reads the word at its position */
	SIM_CLAIMS, /* compare-and-swap of what it has read */
	SIM_SKIPS,  /* the same for a withdrawn one */
	SIM_BEGINS, /* an item: reads its input */
	SIM_RUNS,   /* for a while */
	SIM_WRITES, /* its output */
	SIM_ENDS,   /* compare-and-swap to the next item, or DONE */
	SIM_COUNTS, /* rings if that is wanted */
	SIM_LIES_DOWN,
	SIM_RECHECKS,
	SIM_SLEEPS,
	SIM_FROZEN, /* waits for its kill */
	SIM_LEFT
};

struct sim_worker {
	enum sim_step step;
	bool is_hostile, is_hanging;
	bool is_warned; /* it has found that its soft time is over */
	uint64_t position, first, first_mark, word, n_released;
	uint32_t item, n_items, n_run, limit, lasts, offset, input;
	bool is_loose; /* its chunk; which took this of the arena: */
	uint32_t results;
	uint64_t chunk_mark;
	struct arena out;
	uint64_t marks[SIM_SLOTS];
	/* What it is running, by the words: told to nobody. */
	struct sim_job *running;
	uint64_t running_index;
};

enum sim_cause { SIM_CRASH, SIM_KILL, SIM_TIMEOUT, SIM_WENT };

struct sim_seat {
	struct sim_worker w;
	bool is_offered, is_live, is_ended, is_tainted;
	uint32_t generation, kill;
	enum sim_cause cause;
	/* the keeper's eye on the running task */
	uint64_t watched_word, watched_slot, watched_usec;
	bool is_watching;
	const struct sim_job *watched; /* what it was in truth */
	uint64_t watched_index;
	/* when it died */
	struct sim_job *victim;
	uint64_t victim_index;
};

struct sim {
	struct engine engine;
	struct port ports[SIM_PORTS];
	struct sim_seat seats[SIM_PORTS];
	struct sim_job jobs[SIM_JOBS];
	unsigned n_ports, n_jobs, n_submitted;
	unsigned n_wanted; /* workers */
	struct rng dice;
	uint64_t seed, step, now_usec, timeout_usec, soft_timeout_usec;
	uint64_t n_warned, n_warned_ends; /* which come to their end in time */
	uint32_t task_limit;
	bool is_hostile; /* workers may be */
	bool is_prioritized;
	bool is_retrying; /* crashed items may be run again */
	bool is_resized;  /* the number of workers changes */
	bool is_faulty;	  /* workers die, hang, turn hostile */
	bool is_changed;  /* the board, since the owner looked */
	bool is_rung;	  /* the owner's bell */
	bool is_progress; /* somebody did something in this step */
	/* what the owner is at, for the checks in callbacks */
	int ending; /* the port in engine_port_ended(), or -1 */
	unsigned n_blamed;
	const struct sim_job *cancelling;
	bool is_giving_up;
};

#define SIM_HOLDS(s, expr)                                                     \
	do {                                                                   \
		if (!(expr))                                                   \
			ck_abort_msg("REEVE_SIM_SEED=%lu, step %lu: not %s",   \
				     (unsigned long)(s)->seed,                 \
				     (unsigned long)(s)->step, #expr);         \
	} while (0)

static inline bool sim_chance(struct sim *s, unsigned per_mille)
{
	return rng_below(&s->dice, 1000) < per_mille;
}

static inline uint32_t sim_pick(struct sim *s, uint32_t from, uint32_t to)
{
	return from + (uint32_t)rng_below(&s->dice, to - from + 1);
}

/* ---- items -------------------------------------------------------------- */

static inline uint32_t sim_name(const struct sim_job *j, uint64_t index)
{
	return j->id << 16 | (uint32_t)index;
}

/* Sizes on both sides of what fits into a slot. */
static inline uint32_t sim_output_size(uint32_t name)
{
	static const uint32_t sizes[] = { 4, 16, 17, SIM_OUTPUT_MAX };

	return sizes[name % ARRAY_SIZE(sizes)];
}

/* Some items fail, always the same ones. */
static inline int sim_status(uint32_t name)
{
	return name % 7 == 3 ? -5 : 0;
}

static inline struct sim_job *sim_job_of(struct job *job)
{
	return container_of(job, struct sim_job, job);
}

static inline void sim_over(struct sim_job *j, uint64_t index,
			    enum reeve_outcome_kind kind)
{
	struct sim *s = j->sim;
	struct sim_item *item = &j->items[index];

	SIM_HOLDS(s, index < j->n && index < j->next);
	SIM_HOLDS(s, item->n_outcomes == 0);
	item->n_outcomes++;
	item->kind = kind;
	j->n_over++;
	SIM_HOLDS(s, j->n_over <= j->n);
	/* Its owner may free it now. */
	if (j->n_over == j->n)
		SIM_HOLDS(s, !j->job.is_queued);
}

static inline bool sim_next(struct job *job, uint32_t max_items,
			    struct piece *ret)
{
	struct sim_job *j = sim_job_of(job);
	uint64_t left = j->n - j->next, n = MIN(MIN(left, j->chunk), max_items);

	SIM_HOLDS(j->sim, !job->is_cancelled);
	if (j->kind == SIM_SOURCE)
		n = MIN(n, j->room - (j->next - j->n_over));
	if (n == 0)
		return false;
	*ret = (struct piece){
		.index = j->next,
		.n_items = (uint32_t)n,
		.item_size = j->item_size,
		.out_stride = j->stride,
		.is_single = j->chunk == 1,
		.is_last = n == left,
	};
	j->next += n;
	return true;
}

static inline const void *sim_input(struct job *job, const struct piece *piece,
				    size_t *ret_size)
{
	*ret_size = (size_t)piece->n_items * piece->item_size;
	/* asked when it is handed over: nothing cancelled is */
	SIM_HOLDS(sim_job_of(job)->sim, !job->is_cancelled);
	return sim_job_of(job)->inputs + piece->index * piece->item_size;
}

/* The output is the one of this item, and of no other. */
static inline int sim_check_output(struct sim_job *j, uint64_t index,
				   int status, size_t size,
				   const unsigned char *data)
{
	uint32_t name = sim_name(j, index), found = 0;
	struct sim *s = j->sim;

	if (j->items[index].is_tainted)
		return status;
	SIM_HOLDS(s, j->items[index].n_begun > 0 &&
			     j->items[index].n_begun <=
				     j->items[index].n_died + 1);
	SIM_HOLDS(s, size >= sizeof(found));
	memcpy(&found, data, sizeof(found));
	SIM_HOLDS(s, found == name);
	memcpy(&found, data + size - sizeof(found), sizeof(found));
	SIM_HOLDS(s, found == name);
	SIM_HOLDS(s, status == sim_status(name));
	return status;
}

/* What is told of earlier crashes is true. */
static inline void sim_check_trail(struct sim_job *j, uint64_t index,
				   unsigned n_crashes)
{
	SIM_HOLDS(j->sim, n_crashes <= MAX(j->job.max_crashes, 1u));
	if (!j->items[index].is_tainted)
		SIM_HOLDS(j->sim, n_crashes == j->items[index].n_died);
}

/* One item's result; returns whether it is DONE. */
static inline bool sim_take(struct sim_job *j, const struct piece *piece,
			    uint32_t i, const struct port_output *output)
{
	uint64_t index = piece->index + i;
	struct chunk_item item = { output->status, output->size };
	const unsigned char *data = output->data;
	struct port_output one;

	if (piece->out_stride == SLOT_LOOSE) {
		SIM_HOLDS(j->sim, port_output_of(output, i, &one));
		item = (struct chunk_item){ one.status, one.size };
		data = one.data;
	} else if (output->items) {
		memcpy(&item, &output->items[i], sizeof(item));
		data += (size_t)i * piece->out_stride;
		item.size = MIN(item.size, piece->out_stride);
	}
	sim_check_output(j, index, item.status, item.size, data);
	sim_over(j, index, item.status == 0 ? REEVE_DONE : REEVE_FAILED);
	return item.status == 0;
}

static inline uint32_t sim_done(struct job *job, const struct piece *piece,
				uint32_t n, const struct port_output *output,
				const struct job_place *place)
{
	struct sim_job *j = sim_job_of(job);
	struct sim *s = j->sim;
	uint32_t n_done = 0;

	SIM_HOLDS(s, n > 0 && n <= piece->n_items);
	SIM_HOLDS(s, place->seat < s->n_ports);
	SIM_HOLDS(s, !place->trail || piece->n_items == 1);
	sim_check_trail(j, piece->index, trail_n_crashes(place->trail));
	free(place->trail);
	for (uint32_t i = 0; i < n; i++) {
		if (s->seats[place->seat].is_tainted)
			j->items[piece->index + i].is_tainted = true;
		n_done += sim_take(j, piece, i, output);
	}
	if (j->kind == SIM_SOURCE && j->next < j->n && !job->is_cancelled)
		engine_submit(&s->engine, job);
	return n_done;
}

/* Who is blamed for a death is who was running there. */
static inline void sim_check_blame(struct sim_job *j, uint64_t index)
{
	struct sim *s = j->sim;
	const struct sim_seat *seat = &s->seats[MAX(s->ending, 0)];

	SIM_HOLDS(s, s->ending >= 0);
	s->n_blamed++;
	SIM_HOLDS(s, s->n_blamed == 1);
	if (!seat->is_tainted)
		SIM_HOLDS(s, seat->victim == j && seat->victim_index == index);
}

static inline void sim_ended(struct job *job, uint64_t index,
			     const struct reeve_outcome *outcome,
			     struct trail *trail)
{
	struct sim_job *j = sim_job_of(job);
	struct sim *s = j->sim;

	SIM_HOLDS(s, trail_n_crashes(trail) == outcome->n_crashes);
	sim_check_trail(j, index, outcome->n_crashes);
	free(trail);
	if (outcome->kind == REEVE_CRASHED)
		SIM_HOLDS(s, outcome->n_crashes >= job->max_crashes ||
				     s->is_giving_up);
	if (outcome->kind == REEVE_CANCELLED)
		SIM_HOLDS(s, job->is_cancelled || s->is_giving_up);
	else
		sim_check_blame(j, index);
	/* Who leaves has nothing in its hands. */
	if (s->ending >= 0 && !s->seats[s->ending].is_tainted)
		SIM_HOLDS(s, s->seats[s->ending].cause != SIM_WENT ||
				     outcome->kind == REEVE_CANCELLED);
	if (outcome->kind == REEVE_TIMEOUT)
		SIM_HOLDS(s, s->seats[s->ending].cause == SIM_TIMEOUT);
	sim_over(j, index, outcome->kind);
	if (j->kind == SIM_SOURCE && j->next < j->n && !job->is_cancelled &&
	    !s->is_giving_up)
		engine_submit(&s->engine, job);
}

static inline uint64_t sim_abandon(struct job *job,
				   const struct reeve_outcome *outcome)
{
	struct sim_job *j = sim_job_of(job);
	uint64_t n = j->n - j->next;

	if (j->kind == SIM_SOURCE) {
		j->n = j->next;
		return 0;
	}
	while (j->next < j->n) {
		j->next++;
		sim_over(j, j->next - 1, outcome->kind);
	}
	return n;
}

static inline uint64_t sim_waiting(struct job *job)
{
	return sim_job_of(job)->n - sim_job_of(job)->next;
}

static const struct job_type sim_type = { sim_next,  sim_input,	  sim_done,
					  sim_ended, sim_waiting, sim_abandon };

static inline void sim_new_job(struct sim *s, struct sim_job *j, uint32_t id)
{
	static const uint32_t sizes[] = { 4, 8, 16, 17, SIM_INPUT_MAX };
	static const unsigned levels[] = { 0, 7, 8, ENGINE_LEVELS - 1 };

	*j = (struct sim_job){ .sim = s, .id = id };
	j->job.type = &sim_type;
	j->job.function = id;
	if (s->is_prioritized)
		j->job.level = levels[rng_below(&s->dice, ARRAY_SIZE(levels))];
	if (s->is_retrying) {
		j->job.max_crashes = sim_pick(s, 0, 4);
		if (sim_chance(s, 500))
			j->job.retry_delay_usec = sim_pick(s, 1, 2000);
	}
	j->kind = (enum sim_kind)rng_below(&s->dice, SIM_KINDS);
	j->n = j->kind == SIM_SINGLE ? 1 : sim_pick(s, 1, SIM_ITEMS);
	j->chunk = j->kind == SIM_ARRAY ? sim_pick(s, 1, 7) : 1;
	j->room = sim_pick(s, 1, 8);
	j->item_size = sizes[rng_below(&s->dice, ARRAY_SIZE(sizes))];
	j->stride = j->chunk > 1 ? sim_pick(s, 1, 4) * 4 : 0;
	if (j->stride == 16)
		j->stride = SLOT_LOOSE;
	for (uint64_t i = 0; i < j->n; i++) {
		uint32_t name = sim_name(j, i);

		memcpy(j->inputs + i * j->item_size, &name, sizeof(name));
	}
}
