/* A value as it is kept: its bytes, the short ones in place.
 *
 * Properties
 *   Numbers, booleans and short strings take 16 bytes, and no allocation: to change
 *   one cannot fail.
 * Operation
 *   { 0 } is no value. A cell is moved by assignment: one of the two goes on.
 * Safety
 *   Pure but for malloc.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/manager/server/purse.h"

#define CELL_SMALL_MAX 15

struct cell {
	union {
		struct {
			uint8_t size; /* 0: no value */
			unsigned char data[CELL_SMALL_MAX];
		} small;
		struct {
			uint8_t mark; /* CELL_LARGE */
			uint32_t size;
			unsigned char *data;
		} large;
	};
};

#define CELL_LARGE UINT8_MAX

static inline bool cell_is_empty(const struct cell *c)
{
	return c->small.size == 0;
}

static inline size_t cell_size(const struct cell *c)
{
	return c->small.size == CELL_LARGE ? c->large.size : c->small.size;
}

static inline const unsigned char *cell_data(const struct cell *c)
{
	return c->small.size == CELL_LARGE ? c->large.data : c->small.data;
}

/* What it costs besides itself. */
static inline size_t cell_cost(const struct cell *c)
{
	return c->small.size == CELL_LARGE ? c->large.size + PURSE_BLOCK_BYTES
					   : 0;
}

/* A copy of 1 .. UINT32_MAX bytes. Returns 0, -ENOSPC or -ENOMEM; not more than
 * CELL_SMALL_MAX never fail. */
int cell_make(struct purse *p, const void *data, size_t size,
	      struct cell *ret_cell);

/* Frees what it had; it has no value then. */
void cell_drop(struct purse *p, struct cell *c);

/* Puts value in its place, and drops what was there. */
void cell_replace(struct purse *p, struct cell *c, struct cell value);

bool cell_equal(const struct cell *c, const void *data, size_t size);
