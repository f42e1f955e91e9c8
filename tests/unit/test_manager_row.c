#include "workers/manager/server/row.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/rng.h"

/* A check that costs nothing while it holds. */
#define MUST(e) ((e) ? (void)0 : ck_abort_msg("%s", #e))

static struct purse purse = { .max = 64 << 20 };
static struct row row;

/* Sometimes with memory of its own. */
static struct cell make(uint64_t number)
{
	char text[40];
	struct cell c = { 0 };
	size_t size = number % 3 == 0 ? 30 : 8;

	memset(text, 'x', sizeof(text));
	memcpy(text, &number, sizeof(number));
	MUST(cell_make(&purse, text, size, &c) == 0);
	return c;
}

static uint64_t number_of(const struct cell *c)
{
	uint64_t number;

	memcpy(&number, cell_data(c), sizeof(number));
	if (cell_size(c) != (number % 3 == 0 ? 30 : 8))
		ck_abort_msg("%lu has %zu bytes", number, cell_size(c));
	return number;
}

static void insert(size_t i, uint64_t number)
{
	struct cell c = make(number);

	MUST(row_reserve(&purse, &row, i, 1) == 0);
	row_open(&row, i, 1);
	row_fill(&row, i, c);
}

static uint64_t take(size_t i)
{
	struct cell c = row_take(&purse, &row, i);
	uint64_t number = number_of(&c);

	cell_drop(&purse, &c);
	return number;
}

static void done(void)
{
	row_clear(&purse, &row);
	ck_assert_uint_eq(purse.bytes, 0);
	ck_assert_uint_eq(row.bytes, 0);
}

/* Any sequence of inserts and takes, beside an array that is moved by hand. */
START_TEST(test_as_an_array)
{
	enum { MAX_N = 300 };
	uint64_t model[MAX_N + 1], bytes;
	struct rng rng = { 7 };
	size_t n = 0;

	for (uint64_t step = 0; step < 20000; step++) {
		bool grows =
			rng_below(&rng, 100) < (step / 1000 % 2 ? 30U : 70U);
		uint64_t end = rng_below(&rng, 4);
		size_t i;

		if (n == 0 || (grows && n < MAX_N)) {
			i = end == 0   ? 0
			    : end == 1 ? n
				       : (size_t)rng_below(&rng, n + 1);
			memmove(model + i + 1, model + i,
				(n - i) * sizeof(*model));
			model[i] = step;
			insert(i, step);
			n++;
		} else {
			i = end == 0   ? 0
			    : end == 1 ? n - 1
				       : (size_t)rng_below(&rng, n);
			MUST(take(i) == model[i]);
			n--;
			memmove(model + i, model + i + 1,
				(n - i) * sizeof(*model));
		}
		bytes = 0;
		if (row.n != n)
			ck_abort_msg("%zu, not %zu", row.n, n);
		for (i = 0; i < n; i++) {
			if (number_of(row_at(&row, i)) != model[i])
				ck_abort_msg("step %lu: %zu", step, i);
			bytes += cell_size(row_at(&row, i));
		}
		if (bytes != row.bytes)
			ck_abort_msg("%lu bytes, not %zu", bytes, row.bytes);
	}
	done();
}
END_TEST

START_TEST(test_gaps_of_many)
{
	insert(0, 1);
	insert(1, 5);
	ck_assert_int_eq(row_reserve(&purse, &row, 1, 3), 0);
	row_open(&row, 1, 3);
	for (size_t i = 0; i < 3; i++)
		row_fill(&row, 1 + i, make(2 + i));
	for (size_t i = 0; i < 5; i++)
		ck_assert_uint_eq(number_of(row_at(&row, i)), 1 + i);
	row_set(&purse, &row, 4, make(9));
	ck_assert_uint_eq(number_of(row_at(&row, 4)), 9);
	row_cut(&purse, &row, 2);
	ck_assert_uint_eq(row.n, 2);
	ck_assert_uint_eq(number_of(row_at(&row, 1)), 2);
	row_cut(&purse, &row, 0);
	ck_assert_uint_eq(row.bytes, 0);
	done();
}
END_TEST

/* At each end, and both in turn: what one costs does not grow with how many there
 * are. Counted in cells that are moved to other memory: the capacity stays within
 * bounds, and is changed seldom. */
static void check_cheap(bool push_front, bool pop_front, bool alternates)
{
	size_t last = 0, changes = 0;

	for (uint64_t i = 0; i < 200000; i++) {
		bool front = alternates ? i % 2 : push_front;

		insert(front ? 0 : row.n, i);
		if (row.n > 1000)
			(void)take(pop_front ? 0 : row.n - 1);
		changes += row.capacity != last;
		last = row.capacity;
	}
	ck_assert_uint_le(row.capacity, 16 * 1000);
	ck_assert_uint_le(changes, 40);
	done();
}

START_TEST(test_ends_are_cheap)
{
	check_cheap(false, true, false); /* a queue */
	check_cheap(true, false, false); /* backwards */
	check_cheap(false, false, false);
	check_cheap(true, true, false);
	check_cheap(false, true, true);
}
END_TEST

START_TEST(test_memory_shrinks)
{
	size_t most;

	for (uint64_t i = 0; i < 10000; i++)
		insert(row.n, i);
	most = row.capacity;
	ck_assert_uint_ge(most, 10000);
	for (uint64_t i = 0; i < 9990; i++)
		MUST(take(0) == i);
	ck_assert_uint_lt(row.capacity, most / 8);
	for (uint64_t i = 9990; i < 10000; i++)
		MUST(take(0) == i);
	done();
}
END_TEST

/* At the limit: a little more than is there is taken when twice as much is not to
 * be had, and a full row refuses, and stays. */
START_TEST(test_no_memory)
{
	size_t n = 0;

	purse.max = 100 * sizeof(struct cell) + PURSE_BLOCK_BYTES;
	while (row_reserve(&purse, &row, n, 1) == 0) {
		row_open(&row, n, 1);
		row_fill(&row, n, make(1));
		n++;
	}
	ck_assert_int_eq(row_reserve(&purse, &row, n, 1), -ENOSPC);
	ck_assert_uint_eq(n, 100);
	ck_assert_uint_eq(row.n, 100);
	ck_assert_uint_eq(purse.bytes, purse.max);
	ck_assert_int_eq(row_reserve(&purse, &row, 0, SIZE_MAX), -ENOSPC);
	ck_assert_int_eq(row_reserve(&purse, &row, 0, SIZE_MAX / 32), -ENOSPC);
	/* one out, one in: never refused */
	for (int i = 0; i < 1000; i++) {
		MUST(take(0) == 1);
		MUST(row_reserve(&purse, &row, row.n, 1) == 0);
		row_open(&row, row.n, 1);
		row_fill(&row, row.n - 1, make(1));
	}
	done();
}
END_TEST

UNIT_MAIN("manager_row", test_as_an_array, test_gaps_of_many,
	  test_ends_are_cheap, test_memory_shrinks, test_no_memory)
