/* Numbers, encoded: integers of 64 bits, and doubles.
 *
 * All fit in a cell without memory of its own, so that to add is never refused for
 * want of it.
 */
#include "workers/manager/server/store_room.h"

#include <errno.h>

#include "workers/base/pure/macro.h"

#define NUMBER_MAX 9 /* bytes, encoded */

struct number {
	bool is_double;
	int64_t integer;
	double real;
};

static int read_number(const void *data, size_t size, struct number *ret)
{
	struct reader r = { data, size, 0 };

	*ret = (struct number){ 0 };
	if (codec_get_int(&r, &ret->integer) == 0)
		return 0;
	ret->is_double = true;
	return codec_get_double(&r, &ret->real) == 0 ? 0 : -EDOM;
}

static struct cell to_cell(const struct number *n)
{
	/* a buffer that is large enough allocates nothing */
	char data[NUMBER_MAX + 1];
	struct buf b = { .data = data, .size = sizeof(data) };
	struct cell cell = { 0 };
	int r = n->is_double ? codec_put_double(&b, n->real)
			     : codec_put_int(&b, n->integer);

	reeve_assert(r == 0 && b.data == data);
	r = cell_make(NULL, data, b.len, &cell);
	reeve_assert(r == 0);
	return cell;
}

struct cell number_cell(int64_t value)
{
	return to_cell(&(struct number){ .integer = value });
}

bool number_is_one(const void *data, size_t size)
{
	struct number n;

	return read_number(data, size, &n) == 0;
}

static bool is_nil(const struct cell *c)
{
	struct reader r = { cell_data(c), cell_size(c), 0 };

	return codec_get_nil(&r) == 0;
}

int number_add(const struct cell *a, const struct argument *b,
	       struct cell *ret_sum)
{
	struct number x = { 0 }, y, sum = { 0 };
	bool is_zero = cell_is_empty(a) || is_nil(a);

	if (!is_zero && read_number(cell_data(a), cell_size(a), &x) < 0)
		return -EDOM;
	if (read_number(b->data, b->size, &y) < 0)
		return -EDOM;
	if (is_zero) {
		sum = y;
	} else if (x.is_double || y.is_double) {
		sum.is_double = true;
		sum.real = (x.is_double ? x.real : (double)x.integer) +
			   (y.is_double ? y.real : (double)y.integer);
	} else if (__builtin_add_overflow(x.integer, y.integer, &sum.integer)) {
		return -EDOM;
	}
	*ret_sum = to_cell(&sum);
	return 0;
}
