#include "workers/manager/server/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/rng.h"

/* A check that costs nothing while it holds. */
#define MUST(e) ((e) ? (void)0 : ck_abort_msg("%s", #e))

static const unsigned char hash_key[MAP_KEY_BYTES] = "0123456789abcde";
static struct purse purse = { .max = 64 << 20 };
static struct map map;

static struct cell make(const void *data, size_t size)
{
	struct cell c = { 0 };

	MUST(cell_make(&purse, data, size, &c) == 0);
	return c;
}

/* The key of a number; some are long. */
static size_t key_of(uint64_t number, char key[40])
{
	memset(key, 'k', 40);
	memcpy(key, &number, sizeof(number));
	return number % 5 == 0 ? 40 : 8;
}

static struct map_entry *find(uint64_t number)
{
	char key[40];
	size_t size = key_of(number, key);

	return map_find(&map, map_hash(hash_key, key, size), key, size);
}

static void set(uint64_t number, uint64_t value)
{
	char key[40];
	size_t size = key_of(number, key);
	struct map_entry *entry = find(number);

	if (entry) {
		map_set(&purse, &map, entry, make(&value, sizeof(value)));
		return;
	}
	MUST(map_reserve(&purse, &map, 1) == 0);
	map_add(&map, map_hash(hash_key, key, size), make(key, size),
		make(&value, sizeof(value)));
}

static uint64_t value_of(const struct map_entry *entry)
{
	uint64_t value;

	memcpy(&value, cell_data(&entry->value), sizeof(value));
	return value;
}

static uint64_t key_number(const struct map_entry *entry)
{
	uint64_t number;

	memcpy(&number, cell_data(&entry->key), sizeof(number));
	return number;
}

static void done(void)
{
	map_clear(&purse, &map);
	ck_assert_uint_eq(purse.bytes, 0);
	ck_assert_ptr_null(map_next(&map, NULL));
}

/* Beside an array of all keys there are, with the time each came. */
START_TEST(test_as_a_table)
{
	enum { KEYS = 200 };
	uint64_t values[KEYS] = { 0 }, came[KEYS] = { 0 }; /* 0: not there */
	struct rng rng = { 11 };
	size_t n = 0;

	for (uint64_t step = 1; step <= 30000; step++) {
		uint64_t k = rng_below(&rng, step / 3000 % 2 ? KEYS : 20);
		struct map_entry *entry = find(k);

		if ((entry != NULL) != (came[k] != 0) ||
		    (entry && value_of(entry) != values[k]))
			ck_abort_msg("step %lu, key %lu", step, k);
		if (entry && rng_below(&rng, 2)) {
			map_remove(&purse, &map, entry);
			came[k] = 0;
			n--;
		} else {
			set(k, step);
			n += came[k] == 0;
			came[k] = came[k] ? came[k] : step;
			values[k] = step;
		}
		if (map.n != n)
			ck_abort_msg("step %lu: %zu of %zu", step, map.n, n);

		uint64_t last = 0, seen = 0;
		struct map_entry *e = map_next(&map, NULL);

		for (; e && step % 16 == 0; e = map_next(&map, e), seen++) {
			if (came[key_number(e)] <= last)
				ck_abort_msg("step %lu: order", step);
			last = came[key_number(e)];
		}
		if (step % 16 == 0 && seen != n)
			ck_abort_msg("step %lu: walked %lu", step, seen);
	}
	done();
}
END_TEST

START_TEST(test_grows_and_shrinks)
{
	size_t most, bytes = 0;

	for (uint64_t i = 0; i < 100000; i++)
		set(i, i);
	most = map.capacity;
	ck_assert_uint_le(most, 400000);
	for (struct map_entry *e = map_next(&map, NULL); e;
	     e = map_next(&map, e))
		bytes += cell_size(&e->key) + cell_size(&e->value);
	ck_assert_uint_eq(bytes, map.bytes);
	for (uint64_t i = 0; i < 99990; i++)
		map_remove(&purse, &map, find(i));
	ck_assert_uint_lt(map.capacity, 1000);
	ck_assert_ptr_nonnull(find(99995));
	ck_assert_ptr_null(find(5));
	done();
}
END_TEST

/* Keys that come and go leave holes: these are used again. */
START_TEST(test_coming_and_going_takes_no_memory)
{
	size_t bytes;

	for (uint64_t i = 0; i < 10; i++)
		set(i, i);
	for (uint64_t i = 10; i < 100; i++) {
		set(i, i);
		map_remove(&purse, &map, find(i - 10));
	}
	bytes = purse.bytes;
	for (uint64_t i = 100; i < 50000; i++) {
		set(i, i);
		map_remove(&purse, &map, find(i - 10));
	}
	ck_assert_uint_le(purse.bytes, bytes + 200);
	ck_assert_uint_eq(map.n, 10);
	/* one alone, the last one */
	map_clear(&purse, &map);
	for (uint64_t i = 1; i < 50000; i++) {
		set(i, i);
		map_remove(&purse, &map, find(i));
	}
	ck_assert_uint_le(map.capacity, 8);
	done();
}
END_TEST

/* All keys with the same hash: slow, and right. */
START_TEST(test_collisions)
{
	for (uint64_t i = 0; i < 100; i++) {
		ck_assert_int_eq(map_reserve(&purse, &map, 1), 0);
		map_add(&map, 3, make(&i, sizeof(i)), make(&i, sizeof(i)));
	}
	for (uint64_t i = 0; i < 100; i += 2)
		map_remove(&purse, &map, map_find(&map, 3, &i, sizeof(i)));
	for (uint64_t i = 0; i < 100; i++)
		ck_assert(!map_find(&map, 3, &i, sizeof(i)) == !(i % 2));
	done();
}
END_TEST

START_TEST(test_no_memory)
{
	size_t n = 0;
	uint64_t hash, value = 1;
	char key[40];

	purse.max = 10000;
	for (; map_reserve(&purse, &map, 1) == 0; n++) {
		size_t size = key_of(2 * n + 1, key);

		hash = map_hash(hash_key, key, size);
		if (size > CELL_SMALL_MAX)
			size = 8;
		map_add(&map, hash, make(key, size), make(&value, 8));
	}
	ck_assert_int_eq(map_reserve(&purse, &map, 1), -ENOSPC);
	ck_assert_int_eq(map_reserve(&purse, &map, SIZE_MAX), -ENOSPC);
	ck_assert_int_eq(map_reserve(&purse, &map, SIZE_MAX / 2), -ENOSPC);
	ck_assert_uint_eq(map.n, n);
	ck_assert_uint_ge(n, 80); /* of 40 bytes and two thirds of an index */
	ck_assert_uint_le(purse.bytes, purse.max);
	done();
}
END_TEST

UNIT_MAIN("manager_map", test_as_a_table, test_grows_and_shrinks,
	  test_coming_and_going_takes_no_memory, test_collisions,
	  test_no_memory)
