/* A row of cells: what a list, an array and a queue have.
 *
 * Properties
 *   To add or take at either end costs O(1) in the mean, in the middle what lies
 *   between there and the nearer end. Memory shrinks with it, as far as there is
 *   some to move to.
 * Operation
 *   { 0 } is empty. What may fail is row_reserve() alone; then comes row_open(),
 *   which makes a gap, and the caller fills it.
 * Safety
 *   Pure but for malloc.
 */
#pragma once

#include "workers/manager/server/cell.h"

struct row {
	struct cell
		*cells; /* capacity of them; first .. first + n - 1 are used */
	size_t first, n, capacity;
	size_t bytes; /* of all values, encoded */
};

static inline struct cell *row_at(const struct row *row, size_t i)
{
	return &row->cells[row->first + i];
}

/* Room for n more in front of the i-th. Returns 0, -ENOSPC, -ENOMEM; never fails
 * where one was taken out just before and one is to be put back. */
int row_reserve(struct purse *p, struct row *row, size_t i, size_t n);

/* A gap of n cells there. Each is to be filled at once, by row_fill(). */
void row_open(struct row *row, size_t i, size_t n);
void row_fill(struct row *row, size_t i, struct cell value);

/* Replaces the i-th. */
void row_set(struct purse *p, struct row *row, size_t i, struct cell value);

/* Takes the i-th out: it is the caller's. */
struct cell row_take(struct purse *p, struct row *row, size_t i);

/* Drops all behind the first n. */
void row_cut(struct purse *p, struct row *row, size_t n);

/* Drops all, and the memory. */
void row_clear(struct purse *p, struct row *row);
