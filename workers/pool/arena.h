/* A ring of bytes, given out in order and given back in the same order.
 *
 * Offsets grow for ever and are taken modulo the size; what is given out never
 * wraps around. It starts again at the front as soon as there is room and
 * more than ARENA_SOFT_SIZE is behind it: a steady stream of small payloads
 * stays in the same memory, which is cached and has been touched before.
 * Pure; one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ARENA_SOFT_SIZE (UINT32_C(512) << 10)
#define ARENA_ALIGNMENT UINT32_C(64)

struct arena {
	uint32_t size; /* bytes, a multiple of ARENA_ALIGNMENT */
	uint64_t head; /* the next byte to give out */
	uint64_t tail; /* the first that is not given back */
	uint32_t high; /* how far it was ever used, until set to 0 */
};

static inline void arena_reset(struct arena *a, uint32_t size)
{
	*a = (struct arena){ .size = size };
}

static inline bool arena_is_empty(const struct arena *a)
{
	return a->head == a->tail;
}

static inline uint32_t arena_round(uint32_t n)
{
	return (n + ARENA_ALIGNMENT - 1) & ~(ARENA_ALIGNMENT - 1);
}

/* n bytes (at most size / 2, so that an empty arena always has them). Returns
 * whether there is room; *ret_offset is where. */
static inline bool arena_take(struct arena *a, uint32_t n, uint32_t *ret_offset)
{
	uint32_t at, first, room = arena_round(n);
	uint64_t head = a->head;

	if (arena_is_empty(a)) { /* to the front; marks go on growing */
		head += (a->size - head % a->size) % a->size;
		a->head = a->tail = head;
	}
	at = (uint32_t)(head % a->size);
	first = (uint32_t)(a->tail % a->size);
	if (room > a->size - at ||
	    (at >= ARENA_SOFT_SIZE && at >= first && room <= first)) {
		head += a->size - at;
		at = 0;
	}
	if (head + room - a->tail > a->size)
		return false;
	a->head = head + room;
	if (at + room > a->high)
		a->high = at + room;
	*ret_offset = at;
	return true;
}

/* Everything that was given out before head had this value is given back. */
static inline void arena_give_back(struct arena *a, uint64_t mark)
{
	if (mark > a->tail)
		a->tail = mark;
}

/* Will n bytes find room when all that is before mark has been given back, and
 * nothing behind it? */
static inline bool arena_would_fit(const struct arena *a, uint64_t mark,
				   uint32_t n)
{
	struct arena copy = *a;
	uint32_t offset;

	arena_give_back(&copy, mark);
	return arena_take(&copy, n, &offset);
}

/* Takes the last one back, when head was mark before it. */
static inline void arena_undo(struct arena *a, uint64_t mark)
{
	a->head = mark < a->tail ? a->tail : mark;
}
