/* arena.h: offsets stay inside, what is given out does not overlap, and an
 * empty arena always has room for half of it. */
#include "workers/pool/arena.h"

#include "tests/lib/unit.h"
#include "workers/base/pure/rng.h"

#define SIZE   (UINT32_C(4) << 20)
#define HALF   (SIZE / 2)
#define BLOCKS 64
#define ROUNDS 20000

START_TEST(test_rounding)
{
	static const uint32_t cases[][2] = { { 0, 0 },		{ 1, 64 },
					     { 63, 64 },	{ 64, 64 },
					     { 65, 128 },	{ HALF, HALF },
					     { HALF - 1, HALF } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		ck_assert_uint_eq(arena_round(cases[i][0]), cases[i][1]);
}
END_TEST

START_TEST(test_full)
{
	struct arena a;
	uint32_t at;

	arena_reset(&a, 4 * ARENA_ALIGNMENT);
	for (uint32_t i = 0; i < 4; i++) {
		ck_assert(arena_take(&a, 1, &at));
		ck_assert_uint_eq(at, i * ARENA_ALIGNMENT);
	}
	at = 77;
	ck_assert(!arena_take(&a, 1, &at));
	ck_assert_uint_eq(at, 77);
	ck_assert_uint_eq(a.high, a.size);
	arena_give_back(&a, ARENA_ALIGNMENT);
	ck_assert(arena_take(&a, 1, &at));
	ck_assert_uint_eq(at, 0);
	ck_assert(!arena_take(&a, 1, &at));
}
END_TEST

/* Nothing that is given out wraps around: the rest at the end is left out. */
START_TEST(test_does_not_wrap)
{
	struct arena a;
	uint32_t at;

	arena_reset(&a, 4 * ARENA_ALIGNMENT);
	ck_assert(arena_take(&a, 2 * ARENA_ALIGNMENT, &at));
	ck_assert(arena_take(&a, 1, &at));
	arena_give_back(&a, 2 * (uint64_t)ARENA_ALIGNMENT);
	ck_assert(arena_take(&a, 2 * ARENA_ALIGNMENT, &at));
	ck_assert_uint_eq(at, 0);
	ck_assert(!arena_take(&a, 1, &at));
}
END_TEST

/* An empty one has half of its size, wherever it stands. */
START_TEST(test_empty_has_half)
{
	struct arena a;
	uint32_t at, offset;

	for (uint32_t n = ARENA_ALIGNMENT; n <= HALF; n += 4001) {
		arena_reset(&a, SIZE);
		ck_assert(arena_take(&a, n, &at));
		arena_give_back(&a, a.head);
		ck_assert(arena_is_empty(&a));
		ck_assert(arena_take(&a, HALF, &offset));
		ck_assert(arena_take(&a, HALF, &at));
		ck_assert(!arena_take(&a, 1, &at));
	}
}
END_TEST

/* A steady stream of small ones stays in front. */
START_TEST(test_stays_in_front)
{
	struct arena a;
	uint64_t marks[4] = { 0 };
	uint32_t at;

	arena_reset(&a, SIZE);
	for (unsigned i = 0; i < 100000; i++) {
		ck_assert(arena_take(&a, 4096, &at));
		arena_give_back(&a, marks[i % 4]);
		marks[i % 4] = a.head;
	}
	ck_assert_uint_le(a.high, ARENA_SOFT_SIZE + 4096);
}
END_TEST

START_TEST(test_undo)
{
	struct arena a;
	uint64_t mark, mark2;
	uint32_t at;

	arena_reset(&a, SIZE);
	mark = a.head;
	ck_assert(arena_take(&a, 100, &at));
	arena_undo(&a, mark);
	ck_assert(arena_is_empty(&a));

	/* the first of an empty one that stood elsewhere */
	ck_assert(arena_take(&a, 100, &at));
	arena_give_back(&a, a.head);
	mark = a.head;
	ck_assert(arena_take(&a, 100, &at));
	ck_assert_uint_eq(at, 0);
	mark2 = a.head;
	ck_assert(arena_take(&a, 100, &at));
	arena_undo(&a, mark2);
	arena_undo(&a, mark);
	ck_assert(arena_is_empty(&a));
	ck_assert(arena_take(&a, HALF, &at));
}
END_TEST

struct block {
	uint32_t at, size;
	uint64_t before, mark;
};

static void check_apart(const struct block *blocks, unsigned first, unsigned n)
{
	const struct block *last = &blocks[(first + n - 1) % BLOCKS];

	ck_assert_uint_eq(last->at % ARENA_ALIGNMENT, 0);
	ck_assert_uint_le((uint64_t)last->at + last->size, SIZE);
	for (unsigned i = 0; i + 1 < n; i++) {
		const struct block *b = &blocks[(first + i) % BLOCKS];

		if (b->at < last->at + last->size && last->at < b->at + b->size)
			ck_abort_msg("%u+%u and %u+%u overlap", b->at, b->size,
				     last->at, last->size);
	}
}

/* Random takes, give-backs and undos: what is out never overlaps. */
START_TEST(test_random)
{
	struct rng dice = { 7 };
	struct block blocks[BLOCKS];
	unsigned first = 0, n = 0;
	struct arena a;

	arena_reset(&a, SIZE);
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t what = rng_below(&dice, 5);

		if (what < 3 && n < BLOCKS) {
			struct block *b = &blocks[(first + n) % BLOCKS];

			b->size = 1 + (uint32_t)rng_below(&dice,
							  what ? 9000 : HALF);
			b->before = a.head;
			if (arena_take(&a, b->size, &b->at)) {
				n++;
				b->mark = a.head;
				check_apart(blocks, first, n);
			} else {
				ck_assert_uint_gt(n, 0);
			}
		} else if (what == 3 && n > 0) {
			arena_give_back(&a, blocks[first].mark);
			first = (first + 1) % BLOCKS;
			n--;
		} else if (what == 4 && n > 0) {
			n--;
			arena_undo(&a, blocks[(first + n) % BLOCKS].before);
		}
	}
}
END_TEST

UNIT_MAIN("pool_arena", test_rounding, test_full, test_does_not_wrap,
	  test_empty_has_half, test_stays_in_front, test_undo, test_random)
