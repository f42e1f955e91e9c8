/* See row.h.
 *
 * The cells in use lie somewhere in the memory, with room on both sides. What is
 * added moves the shorter side outwards. When there is no room on that side, all
 * are moved to where three quarters of the free room are there: within the memory
 * when at most half of it is used, else into twice as much. So each move is paid
 * for by as many adds, whichever end they are at.
 */
#include "workers/manager/server/row.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "workers/base/pure/macro.h"

#define CAPACITY_MIN 4
#define SHRINK_FROM  64 /* less is not worth it */
#define SHRINK_AT    8	/* when an eighth of it is used */

static size_t bytes_of(size_t n)
{
	return n * sizeof(struct cell);
}

static void move(struct row *row, size_t to, size_t from, size_t n)
{
	if (n > 0 && to != from)
		memmove(row->cells + to, row->cells + from, bytes_of(n));
}

/* On which side is a gap in front of the i-th made? */
static bool is_in_front(const struct row *row, size_t i)
{
	return i < row->n / 2;
}

static size_t room(const struct row *row, bool in_front)
{
	return in_front ? row->first : row->capacity - row->first - row->n;
}

/* Where the first is to be for a gap of n to fit on that side. */
static size_t first_for(size_t capacity, size_t used, bool in_front, size_t n)
{
	size_t free = capacity - used;
	size_t wanted = MAX(free - free / 4, n);

	return in_front ? wanted : free - wanted;
}

/* Into other memory. */
static int resize(struct purse *p, struct row *row, size_t capacity,
		  size_t first)
{
	size_t saved = p->credit;
	struct cell *cells;

	if (row->cells) /* is given back */
		p->credit += bytes_of(row->capacity) + PURSE_BLOCK_BYTES;
	cells = purse_new(p, bytes_of(capacity));
	p->credit = saved;
	if (!cells)
		return p->error;
	if (row->cells)
		memcpy(cells + first, row->cells + row->first,
		       bytes_of(row->n));
	purse_free(p, row->cells, bytes_of(row->capacity));
	row->cells = cells;
	row->first = first;
	row->capacity = capacity;
	return 0;
}

int row_reserve(struct purse *p, struct row *row, size_t i, size_t n)
{
	bool in_front = is_in_front(row, i);
	size_t needed, capacity;
	int r;

	if (n > SIZE_MAX / 4 / sizeof(struct cell) - row->n)
		return -ENOSPC;
	needed = row->n + n;
	if (room(row, in_front) >= n || needed <= row->capacity / 2)
		return 0;
	capacity = MAX(2 * needed, (size_t)CAPACITY_MIN);
	r = resize(p, row, capacity, first_for(capacity, row->n, in_front, n));
	if (r < 0 && needed <= row->capacity)
		return 0; /* it will be moved often, then */
	if (r < 0)
		r = resize(p, row, needed,
			   first_for(needed, row->n, in_front, n));
	return r;
}

void row_open(struct row *row, size_t i, size_t n)
{
	bool in_front = is_in_front(row, i);

	reeve_assert(i <= row->n && n <= row->capacity - row->n);
	if (room(row, in_front) < n) {
		size_t first = first_for(row->capacity, row->n, in_front, n);

		move(row, first, row->first, row->n);
		row->first = first;
	}
	if (in_front) {
		move(row, row->first - n, row->first, i);
		row->first -= n;
	} else {
		move(row, row->first + i + n, row->first + i, row->n - i);
	}
	row->n += n;
	for (size_t k = 0; k < n; k++)
		*row_at(row, i + k) = (struct cell){ 0 };
}

void row_fill(struct row *row, size_t i, struct cell value)
{
	*row_at(row, i) = value;
	row->bytes += cell_size(&value);
}

void row_set(struct purse *p, struct row *row, size_t i, struct cell value)
{
	row->bytes -= cell_size(row_at(row, i));
	row->bytes += cell_size(&value);
	cell_replace(p, row_at(row, i), value);
}

static void shrink(struct purse *p, struct row *row)
{
	size_t capacity = MAX(2 * row->n, (size_t)CAPACITY_MIN);

	if (row->capacity >= SHRINK_FROM && row->n <= row->capacity / SHRINK_AT)
		(void)resize(p, row, capacity,
			     first_for(capacity, row->n, false, 0));
}

struct cell row_take(struct purse *p, struct row *row, size_t i)
{
	struct cell value = *row_at(row, i);

	reeve_assert(i < row->n);
	row->bytes -= cell_size(&value);
	if (is_in_front(row, i)) {
		move(row, row->first + 1, row->first, i);
		row->first++;
	} else {
		move(row, row->first + i, row->first + i + 1, row->n - i - 1);
	}
	row->n--;
	shrink(p, row);
	return value;
}

void row_cut(struct purse *p, struct row *row, size_t n)
{
	while (row->n > n) {
		struct cell *last = row_at(row, row->n - 1);

		row->bytes -= cell_size(last);
		cell_drop(p, last);
		row->n--;
	}
	shrink(p, row);
}

void row_clear(struct purse *p, struct row *row)
{
	for (size_t i = 0; i < row->n; i++)
		cell_drop(p, row_at(row, i));
	purse_free(p, row->cells, bytes_of(row->capacity));
	*row = (struct row){ 0 };
}
