/* plan.c: order of starting and stopping, tiers, and who may recycle. */
#include "supervisor/core/plan.h"

#include <signal.h>
#include <stdlib.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/rng.h"

#define N_MAX 200

static void check_positions(const struct plan_entry *entries,
			    const uint32_t *expected, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ck_assert_uint_eq(entries[i].position, expected[i]);
}

START_TEST(test_start_order)
{
	struct plan_entry entries[] = { { 999, 0 }, { 10, 1 }, { 999, 2 },
					{ 0, 3 },   { 10, 4 }, { INT32_MAX, 5 },
					{ 10, 6 } };

	plan_order_start(entries, ARRAY_SIZE(entries));
	check_positions(entries, (uint32_t[]){ 3, 1, 4, 6, 0, 2, 5 },
			ARRAY_SIZE(entries));
}
END_TEST

START_TEST(test_stop_order)
{
	struct plan_entry entries[] = { { 999, 0 }, { 10, 1 }, { 999, 2 },
					{ 0, 3 },   { 10, 4 }, { INT32_MAX, 5 },
					{ 10, 6 } };
	size_t n = ARRAY_SIZE(entries);

	plan_order_stop(entries, n);
	check_positions(entries, (uint32_t[]){ 5, 2, 0, 6, 4, 1, 3 }, n);
}
END_TEST

START_TEST(test_few)
{
	struct plan_entry one = { 5, 0 };

	plan_order_start(NULL, 0);
	plan_order_stop(NULL, 0);
	plan_order_start(&one, 1);
	plan_order_stop(&one, 1);
	ck_assert_uint_eq(one.position, 0);
}
END_TEST

/* Stopping is starting backwards, whatever the order before. */
START_TEST(test_reverse)
{
	struct plan_entry up[N_MAX], down[N_MAX];
	struct rng rng = { 11 };

	for (size_t n = 0; n < N_MAX; n++) {
		for (uint32_t i = 0; i < n; i++)
			up[i] = (struct plan_entry){
				(int32_t)rng_below(&rng, 7) - 3, i
			};
		for (size_t i = 0; i < n; i++)
			down[i] = up[n - 1 - i];
		plan_order_start(up, n);
		plan_order_stop(down, n);
		for (size_t i = 0; i < n; i++) {
			const struct plan_entry *a = &down[n - 1 - i];

			ck_assert_uint_eq(up[i].position, a->position);
			if (i > 0)
				ck_assert_int_le(up[i - 1].priority,
						 up[i].priority);
		}
	}
}
END_TEST

START_TEST(test_recycles)
{
	static const struct {
		struct plan_set set; /* wanted, up, recycling, max */
		uint32_t expected;
	} rows[] = {
		{ { 1, 1, 0, 1 }, 1 },
		{ { 1, 0, 1, 1 }, 0 }, /* it is at it */
		{ { 1, 0, 0, 1 }, 0 }, /* nobody is up */
		{ { 4, 4, 0, 1 }, 1 },
		{ { 4, 3, 1, 1 }, 0 },
		{ { 4, 4, 0, 2 }, 2 },
		{ { 4, 3, 1, 2 }, 1 },
		{ { 4, 2, 2, 2 }, 0 },
		{ { 4, 1, 3, 2 }, 0 }, /* recycle_max was lowered */
		{ { 4, 4, 0, 9 }, 4 }, /* not more than there are */
		{ { 4, 4, 0, 0 }, 0 },
		/* one is down by itself: it counts ... */
		{ { 4, 3, 0, 2 }, 1 },
		{ { 4, 2, 1, 2 }, 0 },
		/* ... but does not keep the others from being renewed */
		{ { 4, 3, 0, 1 }, 1 },
		{ { 4, 1, 0, 2 }, 1 },
		{ { 4, 2, 1, 1 }, 0 },
		{ { 4, 3, 0, 0 }, 0 },
		/* more are up than wanted: some are being taken away */
		{ { 2, 4, 0, 1 }, 1 },
		{ { UINT32_MAX, UINT32_MAX, 0, UINT32_MAX }, UINT32_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		ck_assert_msg(plan_recycles(&rows[i].set) == rows[i].expected,
			      "row %zu: %u, not %u", i,
			      plan_recycles(&rows[i].set), rows[i].expected);
}
END_TEST

UNIT_MAIN("plan", test_start_order, test_stop_order, test_few, test_reverse,
	  test_recycles)
