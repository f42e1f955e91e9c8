/* One worker's private channel: a ring of tasks and their results in memory
 * that its owner, the keeper and that one worker share.
 *
 * Properties
 *   A memfd, sealed against shrinking and growing: header, slots, then two
 *   arenas for payloads that do not fit into a slot, inputs and outputs. Both
 *   are much larger than what is used of them: memory is there when touched.
 *   Who writes what:
 *     owner   struct channel_orders, free slots, the input arena
 *     worker  struct channel_signs, claimed slots, the output arena
 *     keeper  the word of the slot whose deadline is over; before a start, the
 *             limits in channel_orders; what it has signalled
 *   A worker may scribble anywhere in it. The owner therefore keeps its own
 *   indices (struct channel_end), copies each field once and checks the copy;
 *   what does not make sense is -EBADMSG, and ends that worker. The worker copies
 *   what it claims, and ends itself if the copy makes no sense.
 * Operation
 *   A slot's word is {state, tag, item}. Only the changes below are made, each
 *   by one compare-and-swap, so that everybody agrees on who was first:
 *
 *     FREE -> QUEUED         owner: publishes a task
 *     QUEUED -> FREE         owner: takes it back (the last one published)
 *     WITHDRAWN -> FREE      owner: the same, of a cancelled one
 *     QUEUED -> RUNNING      worker: claims it
 *     RUNNING -> RUNNING     worker: the next item of a chunk
 *     RUNNING -> DONE        worker: its result is there; of a chunk, the results
 *                            of `item` of its items: the others were not begun
 *     RUNNING -> WARNED      keeper: its soft time is over
 *     WARNED -> RUNNING      worker: the next item of a chunk, which is not warned
 *     WARNED -> DONE         worker
 *     QUEUED -> WITHDRAWN    owner: it is cancelled
 *     WITHDRAWN -> SKIPPED   worker: has passed it
 *     RUNNING, WARNED -> CANCELLING
 *                            owner or keeper: cancelled, or its time is over;
 *                            the worker loses its next change, and waits for
 *                            the kill that follows
 *     DONE, SKIPPED -> FREE  owner: collects, in order
 *
 *   The tag changes with each use, so that a late cancel or deadline never
 *   hits the next task. The item counts within a chunk: item k is running when
 *   the word says {RUNNING, k} or {WARNED, k}, and items below k have their
 *   results.
 *   With a soft signal, the keeper clears orders.is_signalled, changes the word,
 *   sends the signal, and sets it. A worker that finds WARNED at the end of an
 *   item waits until it is set, and takes the signal if it is still to come,
 *   before it changes the word: so it cannot come later. (The word itself would
 *   not do as the mark: another slot may have the same.)
 * Safety
 *   One thread on each side. Nothing here makes a system call except
 *   channel_new(), channel_map(), channel_unmap() and
 *   channel_trim().
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/pool/progress.h"

#define CHANNEL_SLOTS_MIN   2
#define CHANNEL_SLOTS_MAX   4096
#define CHANNEL_INLINE_SIZE 16 /* payloads up to here lie in the slot */
/* One task's input or output: the limit of a channel is between these, a multiple
 * of the unit; its arenas hold two, so that one always fits. */
#define CHANNEL_PAYLOAD_MAX	(UINT32_C(1) << 30)
#define CHANNEL_PAYLOAD_DEFAULT (UINT32_C(64) << 20)
#define CHANNEL_PAYLOAD_UNIT	UINT32_C(4096)
#define CHANNEL_ERROR_MAX	240 /* bytes of a task's error message */

enum slot_state {
	SLOT_FREE,
	SLOT_QUEUED,
	SLOT_RUNNING,
	SLOT_DONE,
	SLOT_WITHDRAWN,
	SLOT_SKIPPED,
	SLOT_CANCELLING,
	SLOT_WARNED,
	SLOT_STATE_COUNT
};

/* The worker is in the function, as far as it knows. */
static inline bool is_running_state(unsigned state)
{
	return state == SLOT_RUNNING || state == SLOT_WARNED;
}

/* word: state in bits 0-7, tag in 8-31, item in 32-63 */
static inline uint64_t slot_word(enum slot_state state, uint32_t tag,
				 uint32_t item)
{
	return (uint64_t)item << 32 | (uint64_t)(tag & 0xffffff) << 8 | state;
}

static inline unsigned slot_word_state(uint64_t word)
{
	return word & 0xff;
}

static inline uint32_t slot_word_tag(uint64_t word)
{
	return (uint32_t)word >> 8;
}

static inline uint32_t slot_word_item(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

/* What came out of a task, whatever its size. */
struct slot_result {
	uint32_t offset; /* in the output arena; inline when it fits */
	uint32_t size;	 /* bytes */
	int32_t status;	 /* what the function returned */
	uint32_t flags;	 /* enum slot_flags */
	unsigned char data[CHANNEL_INLINE_SIZE];
};

enum slot_flags {
	SLOT_HAS_MESSAGE = 1, /* the output is an error's text */
};

/* A cache line. A single task is a chunk of none. */
struct slot {
	_Alignas(64) _Atomic uint64_t word;
	uint64_t function; /* a pointer (fork), or an index into the table */
	uint32_t n_items;
	uint32_t item_size;  /* bytes of input of each item, or SLOT_SIZED */
	uint32_t in_offset;  /* in the input arena; inline when it fits */
	uint32_t out_stride; /* chunks: bytes of output kept of each item, or
			      * SLOT_LOOSE */
	/* .data is the input, then the output. Chunks have more than one
	 * result: .offset is where they are. One that SLOT_HAS_MESSAGE ended
	 * with an item whose text had no room: .status says which, .size how
	 * long the text is that stands behind the outputs. */
	struct slot_result result;
};

/* Inputs of different sizes: a uint32_t for each, then the inputs, all on
 * SLOT_ALIGNMENT; more than CHANNEL_INLINE_SIZE bytes together. */
#define SLOT_SIZED     UINT32_MAX
#define SLOT_ALIGNMENT 16u
/* Outputs of any size: n_items * struct slot_result, each of which says where its
 * output is. */
#define SLOT_LOOSE UINT32_MAX

/* Otherwise, in front of a chunk's outputs: what became of each item. Behind them
 * is room for one text. */
struct chunk_item {
	int32_t status;
	/* Bytes of output, more than out_stride: cut off; of one that failed, of
	 * its text. */
	uint32_t size;
};

/* The keeper wants the worker to be replaced. DUE_AFTER_A_TASK: one that has run
 * nothing would gain nothing by it. */
enum channel_due { DUE_NOT, DUE_AFTER_A_TASK, DUE_NOW };

/* owner -> worker */
struct channel_orders {
	/* A write to the eventfd is wanted after this many more finished tasks;
	 * 0: none is wanted. Taken (set to 0) by the worker that writes. */
	_Alignas(64) _Atomic uint32_t bell;
	_Atomic uint32_t closing;    /* leave when nothing is queued */
	_Atomic uint32_t hurry;	     /* a chunk ends with the item that runs */
	_Atomic uint64_t n_consumed; /* slots collected: outputs are free */
	/* Set before a worker starts: */
	uint64_t task_limit;  /* it leaves after so many; 0: never */
	uint64_t task_due;    /* it asks for leave after so many */
	_Atomic uint32_t due; /* enum channel_due: it has to ask for leave */
	_Atomic uint32_t may_leave; /* the keeper lets it go */
	uint32_t generation;	    /* which worker on this channel, from 1 */
	uint32_t spin_usec;	    /* 0: sleep at once */
	int32_t soft_signal;	    /* for the task that is WARNED; 0: none */
	_Atomic uint32_t is_signalled; /* the keeper's: it has been sent */
};

enum channel_phase {
	PHASE_STARTING, /* initialiser */
	PHASE_READY,
	PHASE_INIT_FAILED,
	PHASE_LEAVING, /* of its own will: limit reached, or closing */
	PHASE_BROKEN   /* it cannot go on (an fd of its was closed) */
};

/* worker -> owner, keeper: never trusted */
struct channel_signs {
	_Alignas(64) _Atomic uint32_t asleep; /* futex: 1 while it sleeps */
	_Atomic uint32_t phase;
	/* Moves each millisecond while its task waits for room for output, which
	 * the owner makes by collecting: no time of the task's own. */
	_Atomic uint32_t n_waits;
	/* Where a successor on this channel goes on: slots passed, and what of
	 * the output arena may not have been collected. Written when leaving. */
	uint64_t position, out_head, out_tail;
	_Atomic int32_t init_status;
	char init_message[CHANNEL_ERROR_MAX];
	struct progress_board progress; /* of the task that runs */
};

struct channel_memory {
	uint32_t n_slots; /* power of two */
	struct channel_orders orders;
	struct channel_signs signs;
	struct slot slots[];
	/* then as many marks: see channel_mark() */
};

/* A mapping of a channel; what bounds are checked against is here. */
struct channel {
	struct channel_memory *memory;
	unsigned char *in, *out; /* the arenas */
	size_t size_bytes;	 /* of the whole mapping */
	uint32_t payload_max;	 /* bytes */
	uint32_t arena_size;	 /* twice that */
	uint32_t n_slots;
};

/* Makes the memfd, sealed, and maps it, not inherited over fork.
 * Returns the fd, which is the caller's, or -errno: -EINVAL (slots, limit). */
int channel_new(struct channel *ret_channel, uint32_t n_slots,
		uint32_t payload_max);

/* Maps the channel behind fd. Returns 0; -EBADMSG (no channel), -errno. */
int channel_map(struct channel *ret_channel, int fd);

/* Unmaps; the fd is the caller's. */
void channel_unmap(struct channel *channel);

/* Gives memory of the arenas beyond keep_bytes each back to the system. For
 * the owner, when nothing is in the channel. */
void channel_trim(struct channel *channel, size_t keep_bytes);

static inline struct slot *channel_slot(const struct channel *c, uint64_t i)
{
	return &c->memory->slots[i & (c->n_slots - 1)];
}

/* Where the output arena ended after slot i: notes of the worker's, who finds those
 * of its predecessors. */
static inline uint64_t *channel_mark(const struct channel *c, uint64_t i)
{
	uint64_t *marks = (uint64_t *)(void *)&c->memory->slots[c->n_slots];

	return &marks[i & (c->n_slots - 1)];
}

static inline size_t slot_align(size_t size)
{
	return (size + SLOT_ALIGNMENT - 1) & ~(size_t)(SLOT_ALIGNMENT - 1);
}

/* Where in a chunk's output the text is that had no room. */
static inline size_t chunk_text_offset(uint32_t n_items, uint32_t out_stride)
{
	return (size_t)n_items * (sizeof(struct chunk_item) + out_stride);
}

/* Bytes that a chunk takes of the output arena before it begins. */
static inline size_t chunk_output_size(uint32_t n_items, uint32_t out_stride)
{
	if (out_stride == SLOT_LOOSE)
		return (size_t)n_items * sizeof(struct slot_result);
	return chunk_text_offset(n_items, out_stride) + CHANNEL_ERROR_MAX;
}
