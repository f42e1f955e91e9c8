/* spin.h: how long is looked again, and that it learns. */
#include "workers/base/sys/spin.h"

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
	ck_assert_uint_eq(s.usec, 100); /* judged when it has come */
}
END_TEST

/* After a spin in vain and a sleep, together so long. */
static void wait_for(struct spin *s, uint64_t usec)
{
	s->begun_usec = clock_monotonic_usec() - usec;
	spin_slept(s);
	ck_assert_uint_eq(s->begun_usec, 0);
}

/* What comes after 1 ms is not seen by a spin of 4 us: still it has to be
 * learnt that a longer one would see it, if the limit allows. */
START_TEST(test_judges_the_whole_wait)
{
	enum { LIMIT = 1000000 };
	struct spin s;

	spin_init(&s, LIMIT);
	for (int i = 0; i < 40; i++)
		wait_for(&s, LIMIT + 1);
	ck_assert_uint_eq(s.usec, SPIN_LEAST_USEC);
	for (int i = 0; i < 40; i++)
		wait_for(&s, 1000);
	ck_assert_uint_eq(s.usec, LIMIT);
	ck_assert(!spin_while(&s, is_false, NULL));
	spin_slept(&s); /* there was nothing to learn from */
	ck_assert_uint_eq(s.usec, LIMIT);
}
END_TEST

/* How many waits do not look, after this. */
static unsigned count_rests(struct spin *s)
{
	uint64_t now;
	unsigned n = 0;

	while (!spin_begin(s, &now))
		n++;
	return n;
}

/* Where yielding costs somebody else's turn, there is less and less of it. */
START_TEST(test_rests_when_it_is_dear)
{
	unsigned n = 0, last = 0;
	struct spin s;

	spin_init(&s, 50);
	ck_assert(!spin_was_dear(&s, SPIN_DEAR_USEC));
	ck_assert_uint_eq(count_rests(&s), 0);
	for (int i = 0; i < 40; i++) {
		ck_assert(spin_was_dear(&s, SPIN_DEAR_USEC + 1));
		n = count_rests(&s);
		ck_assert_uint_ge(n, last);
		last = n;
	}
	ck_assert_uint_ge(n, SPIN_RESTS_MAX);
	ck_assert_uint_lt(n, 3 * SPIN_RESTS_MAX);
	for (int i = 0; i < 200; i++)
		spin_found(&s);
	ck_assert(spin_was_dear(&s, SPIN_DEAR_USEC + 1));
	ck_assert_uint_eq(count_rests(&s), SPIN_RESTS_LEAST);
	spin_init(&s, 0); /* never */
	ck_assert(!spin_begin(&s, &(uint64_t){ 0 }));
}
END_TEST

UNIT_MAIN("spin", test_learns, test_bounded, test_judges_the_whole_wait,
	  test_rests_when_it_is_dear)
