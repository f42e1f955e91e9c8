/* A queue's memory: a ring of bytes, and the two ends of it.
 *
 * Properties
 *   Each end is one 64-bit word {messages, units of 8 bytes}, both counted since
 *   the beginning, modulo 2^32. Who puts holds put_lock and alone changes tail;
 *   who gets holds get_lock and alone changes head. A message is written behind
 *   the tail, where nobody looks, and is there when the tail is stored; it is
 *   copied out, and is gone when the head is stored. So each of both is one
 *   store, and whoever is killed left it either before that or after: the next
 *   owner of the lock has nothing to repair.
 *   A message lies at its unit modulo the ring's size: a header {size, number}
 *   of one unit, then the bytes, which may go on at the ring's beginning.
 * Operation
 *   seen_head and seen_tail are what an end knew last of the other: as long as
 *   that is enough, it leaves the other's cache line alone.
 * Safety
 *   Bounds are those of struct reeve_queue, which other processes cannot write;
 *   what is in here is read once, and checked.
 */
#pragma once

#include <reeve/queue.h>

#include <stdatomic.h>
#include <sys/types.h>

#include "workers/base/sys/spin.h"
#include "workers/shared/bell.h"
#include "workers/shared/latch.h"
#include "workers/shared/tally.h"
#include "workers/shared/region.h"

#define QUEUE_UNIT	  8U /* bytes: REEVE_QUEUE_ITEM_BYTES */
#define QUEUE_RING_OFFSET 16384U
#define QUEUE_SPIN_USEC	  50

/* What is known of the eventfd. */
enum queue_signal {
	QUEUE_SILENT,	 /* nothing */
	QUEUE_SIGNALLED, /* who put last has made it readable, or is about to */
	QUEUE_CALMING,	 /* somebody empties it, or died of that */
};

struct queue_memory {
	struct region_head region;
	/* Since it was made: */
	uint64_t max_bytes;
	uint32_t max_items;
	uint32_t is_joinable;

	_Alignas(64) struct latch put_lock;
	_Atomic uint64_t seen_head;
	_Alignas(64) _Atomic uint64_t tail;
	_Alignas(64) struct latch get_lock;
	_Atomic uint64_t seen_tail;
	_Alignas(64) _Atomic uint64_t head;

	_Alignas(64) struct bell not_empty;
	struct bell not_full;
	_Atomic uint32_t closed;
	_Atomic uint32_t polled; /* somebody may poll the eventfd */
	_Atomic uint32_t signal; /* enum queue_signal */

	/* Of a joinable queue. */
	_Alignas(64) struct bell idle;
	struct tally tally;
};

struct reeve_queue {
	struct region region;
	struct queue_memory *memory;
	unsigned char *ring;
	uint64_t ring_size; /* power of two */
	uint32_t max_units;
	uint32_t max_items;
	bool is_joinable;
	int event_fd;
	_Atomic uint32_t spin_usec; /* struct spin: what was worth it lately */
	/* What our fds are; and whether they were, when last looked: a child that
	 * was forked may not have kept them. */
	struct queue_fds_id {
		dev_t dev[REEVE_QUEUE_FDS];
		ino_t ino[REEVE_QUEUE_FDS];
	} id;
	_Atomic uint64_t fds_era; /* robust.h; 0: not looked yet */
	_Atomic bool has_fds;
};

/* Whether the calling process has the queue's fds. Else their numbers may be those
 * of something else by now. */
bool queue_has_fds(reeve_queue *q);

static inline uint64_t queue_end(uint32_t items, uint32_t units)
{
	return (uint64_t)items << 32 | units;
}

/* The size of the largest message. */
static inline size_t queue_message_max(const reeve_queue *q)
{
	return (size_t)(q->max_units - 1) * QUEUE_UNIT;
}

/* What one message of size bytes needs. */
static inline uint32_t queue_units(uint64_t size)
{
	return (uint32_t)((size + QUEUE_UNIT - 1) / QUEUE_UNIT) + 1;
}

/* What is between two ends; garbage in, garbage out. */
struct queue_filling {
	uint32_t items, units;
};

static inline struct queue_filling queue_between(uint64_t head, uint64_t tail)
{
	return (struct queue_filling){
		.items = (uint32_t)(tail >> 32) - (uint32_t)(head >> 32),
		.units = (uint32_t)tail - (uint32_t)head,
	};
}
