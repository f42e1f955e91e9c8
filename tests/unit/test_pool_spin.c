/* spin.h: how long is looked again, and that it learns. */
#include "workers/pool/spin.h"

#include "tests/lib/unit.h"

START_TEST(test_learns)
{
	static const struct {
		uint32_t limit, least;
	} cases[] = { { 0, 0 },	 { 1, 1 },	  { 4, 4 },
		      { 50, 4 }, { 1u << 30, 4 }, { INT32_MAX, 4 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct spin s;

		spin_init(&s, cases[i].limit);
		ck_assert_uint_eq(s.usec, cases[i].limit);
		for (int n = 0; n < 40; n++)
			spin_learn(&s, false);
		ck_assert_uint_eq(s.usec, cases[i].least);
		for (int n = 0; n < 40; n++)
			spin_learn(&s, true);
		ck_assert_uint_eq(s.usec, cases[i].limit);
	}
}
END_TEST

static unsigned n_asked;

static bool is_true(const void *arg _unused_)
{
	n_asked++;
	return true;
}

static bool is_false(const void *arg _unused_)
{
	return false;
}

/* Returns at once when there is nothing to wait for, and in the end anyway. */
START_TEST(test_bounded)
{
	struct spin s;

	spin_init(&s, 0);
	ck_assert(spin_while(&s, is_true, NULL));
	ck_assert_uint_le(n_asked, 2);
	spin_init(&s, 100);
	ck_assert(!spin_while(&s, is_false, NULL));
	ck_assert_uint_eq(s.usec, 100);
	ck_assert(spin_while(&s, is_true, NULL));
	ck_assert_uint_gt(n_asked, SPIN_LOOKS);
	ck_assert_uint_eq(s.usec, 50);
}
END_TEST

UNIT_MAIN("pool_spin", test_learns, test_bounded)
