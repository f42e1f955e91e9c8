/* What an iterator is inside. Private to imap.c (the calls) and imap_job.c (what
 * the scheduler asks it for, and tells it).
 *
 * An iterator has a ring of cells, at least as many as its window: item i has cell
 * i modulo their number, and is begun only when that cell is free, and less than a
 * window of items is begun and not fetched, whatever the generator would give. In
 * order, the next item to fetch is the one that was begun first; unordered, cells
 * are fetched in the order in which they were finished.
 */
#pragma once

#include "workers/pool/pool.h"

enum cell_state {
	CELL_FREE,
	CELL_DRAWN, /* a generator's input is in it */
	CELL_BEGUN,
	CELL_OVER
};

struct cell {
	enum cell_state state;
	uint64_t index;
	void *input; /* a generator's, copied; large ones from the heap */
	size_t input_size;
	void *output; /* small_output, or from the heap */
	size_t size, room;
	struct job_place place;
	enum reeve_outcome_kind kind;
	int error;
	struct reeve_outcome *bad; /* the details of what is not DONE; may be
				    * NULL for want of memory */
	_Alignas(16) unsigned char small_input[CHANNEL_INLINE_SIZE];
	_Alignas(16) unsigned char small_output[CHANNEL_INLINE_SIZE];
};

struct reeve_iterator {
	struct job job;
	struct reeve_pool *pool;
	struct reeve_imap_spec spec;
	bool is_ordered;
	bool is_counted;   /* as one of the pool's open jobs */
	bool is_abandoned; /* the last item to end frees it */
	uint32_t window, chunk;
	uint32_t mask; /* of the cells: a power of two, less one */
	struct cell *cells;
	uint64_t next;	  /* the item to begin */
	uint64_t n_drawn; /* items that the generator has given */
	bool is_dry;	  /* it gives no more */
	uint64_t n_over;  /* have an outcome */
	uint64_t n_fetched;
	bool is_at_end; /* of the inputs */
	int error;	/* the generator's, or why nothing more comes */
	unsigned char
		*together; /* a chunk's inputs, when they differ in size */
	size_t together_room;
	uint32_t *over;	    /* unordered: cells, in the order of their ends */
	struct cell *shown; /* what the last next() has returned */
	struct reeve_outcome outcome;
};

static inline struct cell *cell_at(const struct reeve_iterator *it,
				   uint64_t index)
{
	return &it->cells[index & it->mask];
}

extern const struct job_type imap_type;

/* What is in a cell was fetched, or nobody wants it. */
void imap_free_cell(struct cell *c);

/* All items have their outcomes, and nobody will fetch. Inside the pool, with a
 * reference beside the iterator's. */
void imap_release(struct reeve_iterator *it);
