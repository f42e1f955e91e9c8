#include "workers/manager/keys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/unit.h"

/* Keys of four bytes: numbers. */
#define MANY 300000
static uint32_t numbers[MANY];

static void fill(size_t n)
{
	for (size_t i = 0; i < n; i++)
		numbers[i] = (uint32_t)i * 65536 + (uint32_t)i / 65536;
}

static void add(struct keys *k, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (keys_add(k, i * sizeof(numbers[0]), sizeof(numbers[0])) < 0)
			ck_abort();
}

/* Few, the most that are few, one more, at each growth. */
static const size_t counts[] = { 1,   2,   3,	 15,   16,   17,  18,
				 31,  32,  33,	 63,   64,   65,  255,
				 256, 257, 1023, 1024, 1025, 5000 };

START_TEST(test_all_different)
{
	fill(MANY);
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		struct keys k;

		keys_init(&k, (const unsigned char *)numbers);
		add(&k, 0, counts[i]);
		ck_assert_uint_eq(k.n, counts[i]);
		ck_assert_int_eq(keys_end(&k, 0), 0);
		ck_assert_uint_eq(k.n, 0);
		keys_done(&k);
	}
}
END_TEST

/* Wherever the two are. */
START_TEST(test_one_twice)
{
	fill(MANY);
	for (size_t i = 1; i < ARRAY_SIZE(counts); i++) {
		size_t n = counts[i];
		const size_t places[][2] = {
			{ 0, n - 1 }, { 0, 1 }, { n - 2, n - 1 }, { n / 2, 0 }
		};

		for (size_t j = 0; j < ARRAY_SIZE(places); j++) {
			struct keys k;
			size_t from = places[j][0], to = places[j][1];

			if (from == to)
				continue;
			uint32_t before = numbers[to];
			numbers[to] = numbers[from];
			keys_init(&k, (const unsigned char *)numbers);
			add(&k, 0, n);
			ck_assert_int_eq(keys_end(&k, 0), -EBADMSG);
			keys_done(&k);
			numbers[to] = before;
		}
	}
}
END_TEST

/* One that begins like another is another. */
START_TEST(test_prefixes)
{
	static const unsigned char zeros[100];
	struct keys k;

	keys_init(&k, zeros);
	for (size_t size = 0; size <= 100; size++)
		ck_assert_int_eq(keys_add(&k, 0, size), 0);
	ck_assert_int_eq(keys_end(&k, 0), 0);
	for (size_t size = 0; size <= 10; size++)
		ck_assert_int_eq(keys_add(&k, 0, size), 0);
	ck_assert_int_eq(keys_add(&k, 50, 10), 0);
	ck_assert_int_eq(keys_end(&k, 0), -EBADMSG);
	keys_done(&k);
}
END_TEST

/* Inner dicts come and go; the outer one's keys stay, and may be the same. */
START_TEST(test_stack)
{
	struct keys k;

	fill(MANY);
	keys_init(&k, (const unsigned char *)numbers);
	for (size_t round = 0; round < 50; round++) {
		add(&k, round, round + 1);
		size_t first = k.n;
		add(&k, 0, round);
		ck_assert_int_eq(keys_end(&k, first), 0);
		ck_assert_uint_eq(k.n, round + 1);
		add(&k, 7, 8);
		add(&k, 7, 8);
		ck_assert_int_eq(keys_end(&k, first), -EBADMSG);
	}
	ck_assert_int_eq(keys_end(&k, 0), 0);
	keys_done(&k);
}
END_TEST

/* Were it each with each, this would take minutes. */
START_TEST(test_many)
{
	struct keys k;

	fill(MANY);
	keys_init(&k, (const unsigned char *)numbers);
	add(&k, 0, MANY);
	ck_assert_int_eq(keys_end(&k, 0), 0);
	add(&k, 0, MANY);
	add(&k, 1000, 1001);
	ck_assert_int_eq(keys_end(&k, 0), -EBADMSG);
	keys_done(&k);
}
END_TEST

START_TEST(test_beyond_32_bits)
{
	struct keys k;

	keys_init(&k, (const unsigned char *)numbers);
	ck_assert_int_eq(keys_add(&k, UINT32_MAX, 1), 0);
	ck_assert_int_eq(keys_add(&k, (size_t)UINT32_MAX + 1, 1), -ENOMEM);
	ck_assert_int_eq(keys_add(&k, 1, (size_t)UINT32_MAX + 1), -ENOMEM);
	keys_done(&k);
}
END_TEST

UNIT_MAIN("keys", test_all_different, test_one_twice, test_prefixes, test_stack,
	  test_many, test_beyond_32_bits)
