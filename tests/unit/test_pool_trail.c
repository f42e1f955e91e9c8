/* trail.h: what is kept of an item's deaths, in which order, and how many. */
#include "workers/pool/trail.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"

static struct trail *add(struct trail *trail, uint64_t n, bool is_crash)
{
	const struct reeve_death death = { .index = n };

	trail = trail_add(trail, &death, is_crash);
	ck_assert_ptr_nonnull(trail);
	return trail;
}

START_TEST(test_none)
{
	ck_assert_uint_eq(trail_n_crashes(NULL), 0);
	ck_assert_uint_eq(trail_copy(NULL, NULL, 0), 0);
}
END_TEST

/* Deadlines and cancels end a worker too, but are no crash of the item. */
START_TEST(test_newest_first)
{
	struct reeve_death out[4];
	struct trail *trail = add(NULL, 1, true);

	trail->piece.index = 77;
	trail = add(trail, 2, true);
	trail = add(trail, 3, false);
	ck_assert_uint_eq(trail_n_crashes(trail), 2);
	ck_assert_uint_eq(trail->piece.index, 77);
	memset(out, 0xa5, sizeof(out));
	ck_assert_uint_eq(trail_copy(trail, out, 4), 3);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(out[i].index, 3 - i);
	ck_assert_uint_eq(out[3].index, 0xa5a5a5a5a5a5a5a5);
	memset(out, 0xa5, sizeof(out));
	ck_assert_uint_eq(trail_copy(trail, out, 1), 3);
	ck_assert_uint_eq(out[0].index, 3);
	ck_assert_uint_eq(out[1].index, 0xa5a5a5a5a5a5a5a5);
	free(trail);
}
END_TEST

START_TEST(test_no_more_than)
{
	static struct reeve_death out[REEVE_DEATHS_MAX];
	struct trail *trail = NULL;

	for (uint64_t n = 1; n <= 3 * REEVE_DEATHS_MAX; n++)
		trail = add(trail, n, true);
	ck_assert_uint_eq(trail_n_crashes(trail), 3 * REEVE_DEATHS_MAX);
	ck_assert_uint_eq(trail_copy(trail, out, REEVE_DEATHS_MAX),
			  REEVE_DEATHS_MAX);
	for (uint64_t i = 0; i < REEVE_DEATHS_MAX; i++)
		ck_assert_uint_eq(out[i].index, 3 * REEVE_DEATHS_MAX - i);
	free(trail);
}
END_TEST

UNIT_MAIN("pool_trail", test_none, test_newest_first, test_no_more_than)
