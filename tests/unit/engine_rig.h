/* Ports with nobody behind them, jobs that write down what becomes of their
 * items, and a hand that does to a slot what a worker does.
 */
#pragma once

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/macro.h"
#include "workers/pool/engine.h"

#define RIG_PORTS 4
#define RIG_ITEMS 64

struct rig_job {
	struct job job;
	uint64_t n, next;
	uint32_t chunk, item_size;
	bool is_chunked, is_loose;
	unsigned n_outcomes[RIG_ITEMS];
	enum reeve_outcome_kind kinds[RIG_ITEMS];
	unsigned n_crashes[RIG_ITEMS]; /* as the outcome says */
	unsigned n_deaths[RIG_ITEMS];  /* in the trail */
	unsigned n_over;
};

struct rig {
	struct engine engine;
	struct port ports[RIG_PORTS];
	int fds[RIG_PORTS];
	unsigned n_wakes[RIG_PORTS], n_kills[RIG_PORTS];
	struct engine_end end; /* the last one */
	uint64_t now_usec;
};

/* ---- jobs --------------------------------------------------------------- */

static inline struct rig_job *rig_job_of(struct job *job)
{
	return container_of(job, struct rig_job, job);
}

static inline void rig_over(struct rig_job *j, uint64_t index,
			    enum reeve_outcome_kind kind)
{
	ck_assert_uint_lt(index, j->n);
	ck_assert_uint_eq(j->n_outcomes[index]++, 0);
	j->kinds[index] = kind;
	j->n_over++;
	/* What is over may be freed: the engine must not know it any more. */
	if (j->n_over == j->n)
		ck_assert(!j->job.is_queued);
}

static inline bool rig_next(struct job *job, uint32_t max_items,
			    struct piece *ret)
{
	struct rig_job *j = rig_job_of(job);
	uint32_t n = (uint32_t)MIN(j->n - j->next, MIN(j->chunk, max_items));

	if (n == 0)
		return false;
	*ret = (struct piece){
		.index = j->next,
		.n_items = n,
		.item_size = j->item_size,
		.is_single = !j->is_chunked,
		.out_stride = j->is_loose ? SLOT_LOOSE : 0,
		.is_last = j->next + n == j->n,
	};
	j->next += n;
	return true;
}

static inline const void *rig_input(struct job *job _unused_,
				    const struct piece *piece, size_t *ret_size)
{
	static const unsigned char zero[ARENA_SOFT_SIZE];

	*ret_size = (size_t)piece->n_items * piece->item_size;
	return zero;
}

static inline void rig_take_trail(struct rig_job *j, uint64_t index,
				  struct trail *trail)
{
	j->n_deaths[index] = (unsigned)trail_copy(trail, NULL, 0);
	free(trail);
}

static inline uint32_t rig_done(struct job *job, const struct piece *piece,
				uint32_t n,
				const struct port_output *output _unused_,
				const struct job_place *place)
{
	struct rig_job *j = rig_job_of(job);

	ck_assert(!place->trail || piece->n_items == 1);
	j->n_crashes[piece->index] = trail_n_crashes(place->trail);
	rig_take_trail(j, piece->index, place->trail);
	for (uint32_t i = 0; i < n; i++)
		rig_over(j, piece->index + i, REEVE_DONE);
	return n;
}

static inline void rig_ended(struct job *job, uint64_t index,
			     const struct reeve_outcome *outcome,
			     struct trail *trail)
{
	struct rig_job *j = rig_job_of(job);

	j->n_crashes[index] = outcome->n_crashes;
	rig_take_trail(j, index, trail);
	rig_over(j, index, outcome->kind);
}

static inline uint64_t rig_abandon(struct job *job,
				   const struct reeve_outcome *outcome)
{
	struct rig_job *j = rig_job_of(job);
	uint64_t n = j->n - j->next;

	while (j->next < j->n)
		rig_over(j, j->next++, outcome->kind);
	return n;
}

static inline uint64_t rig_waiting(struct job *job)
{
	return rig_job_of(job)->n - rig_job_of(job)->next;
}

static const struct job_type rig_type = { rig_next,  rig_input,	  rig_done,
					  rig_ended, rig_waiting, rig_abandon };

/* n tasks, or chunks of so many items. */
static inline struct rig_job rig_tasks(uint64_t n)
{
	return (struct rig_job){ .job = { .type = &rig_type },
				 .n = n,
				 .chunk = 1 };
}

static inline struct rig_job rig_chunks(uint64_t n, uint32_t chunk)
{
	struct rig_job j = rig_tasks(n);

	j.chunk = chunk;
	j.is_chunked = true;
	return j;
}

/* ---- ports and engine --------------------------------------------------- */

static inline struct rig *rig_of(struct engine *e)
{
	return container_of(e, struct rig, engine);
}

static inline void rig_wake(struct engine *e, unsigned port)
{
	rig_of(e)->n_wakes[port]++;
}

static inline void rig_kill(struct engine *e, unsigned port)
{
	rig_of(e)->n_kills[port]++;
}

static inline void rig_trim(struct engine *e, unsigned port)
{
	port_trimmed(&e->ports[port]);
}

static const struct engine_hooks rig_hooks = { rig_wake, rig_kill, rig_trim };

static inline void rig_port(struct port *ret, int *ret_fd, uint32_t n_slots)
{
	struct channel channel;

	*ret_fd = channel_new(&channel, n_slots, CHANNEL_PAYLOAD_DEFAULT);
	ck_assert_int_ge(*ret_fd, 0);
	ck_assert_int_eq(port_init(ret, &channel, 0), 0);
}

/* All ports live, generation 1. */
static inline void rig_init(struct rig *r, unsigned n_ports, uint32_t n_slots)
{
	*r = (struct rig){ 0 };
	for (unsigned i = 0; i < n_ports; i++)
		rig_port(&r->ports[i], &r->fds[i], n_slots);
	ck_assert_int_eq(engine_init(&r->engine, r->ports, n_ports, n_slots,
				     &rig_hooks),
			 0);
	for (unsigned i = 0; i < n_ports; i++)
		engine_port_live(&r->engine, i, 1, 1000 + (pid_t)i);
}

static inline void rig_done_with(struct rig *r)
{
	for (unsigned i = 0; i < r->engine.n_ports; i++) {
		close(r->fds[i]);
		port_done(&r->ports[i]);
	}
	engine_done(&r->engine);
}

static inline void rig_die(struct rig *r, unsigned port)
{
	r->end = (struct engine_end){
		.outcome = { .kind = REEVE_CRASHED, .error = -32 },
		.now_usec = r->now_usec,
	};
	engine_port_ended(&r->engine, port, &r->end);
}

/* ---- the worker's hand -------------------------------------------------- */

static inline uint64_t rig_word(const struct port *p, uint64_t i)
{
	return atomic_load(&channel_slot(&p->channel, i)->word);
}

/* Makes it so, with the tag that is there. */
static inline void rig_set(struct port *p, uint64_t i, enum slot_state state,
			   uint32_t item)
{
	struct slot *slot = channel_slot(&p->channel, i);

	atomic_store(&slot->word,
		     slot_word(state, slot_word_tag(slot->word), item));
}

/* Slot i is run to its end. */
static inline void rig_run(struct port *p, uint64_t i)
{
	struct slot *slot = channel_slot(&p->channel, i);

	ck_assert_uint_eq(slot_word_state(rig_word(p, i)), SLOT_QUEUED);
	slot->result = (struct slot_result){ 0 };
	rig_set(p, i, SLOT_DONE, MAX(slot->n_items, 1u));
}

static inline void rig_expect_loads(const struct rig *r, unsigned a, unsigned b)
{
	ck_assert_uint_eq(port_load(&r->ports[0]), a);
	ck_assert_uint_eq(port_load(&r->ports[1]), b);
}

/* "done 3 crashed": how many items of j came to which end. */
static inline void rig_expect(const struct rig_job *j,
			      enum reeve_outcome_kind kind, unsigned n)
{
	unsigned found = 0;

	for (unsigned i = 0; i < j->n; i++)
		found += j->n_outcomes[i] && j->kinds[i] == kind;
	ck_assert_msg(found == n, "%u %s, not %u", found,
		      reeve_outcome_name(kind), n);
}

static inline void rig_run_all(struct rig *r, unsigned port)
{
	struct port *p = &r->ports[port];

	for (uint64_t i = p->head; i != p->tail; i++)
		if (slot_word_state(rig_word(p, i)) == SLOT_QUEUED)
			rig_run(p, i);
		else if (slot_word_state(rig_word(p, i)) == SLOT_WITHDRAWN)
			rig_set(p, i, SLOT_SKIPPED, 0);
	(void)engine_collect(&r->engine);
}
