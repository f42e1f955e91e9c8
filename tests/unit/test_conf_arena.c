#include "conf/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include "tests/lib/unit.h"

START_TEST(test_many_objects)
{
	struct arena a = ARENA_INIT(64);
	char *strings[1000];

	for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
		char text[16] = { (char)('a' + i % 26), 0 };
		uint64_t *n = arena_alloc(&a, sizeof(*n) * (i % 5 + 1));

		ck_assert_ptr_nonnull(n);
		if ((uintptr_t)n % alignof(max_align_t) != 0 || n[i % 5] != 0)
			ck_abort_msg("object %zu", i);
		memset(n, 0xff, sizeof(*n) * (i % 5 + 1));
		strings[i] = arena_strdup(&a, text);
		ck_assert_ptr_nonnull(strings[i]);
	}
	/* nobody wrote over anybody else */
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
		if (strings[i][0] != (char)('a' + i % 26) || strings[i][1])
			ck_abort_msg("string %zu", i);
	arena_done(&a);
}
END_TEST

START_TEST(test_copies)
{
	struct arena a = ARENA_INIT(4096);
	char big[10000];
	char *copy;

	memset(big, 'x', sizeof(big));
	copy = arena_copy(&a, big, sizeof(big));
	ck_assert_mem_eq(copy, big, sizeof(big));
	copy = arena_strndup(&a, "abcdef", 3);
	ck_assert_str_eq(copy, "abc");
	ck_assert_str_eq(arena_strdup(&a, ""), "");
	ck_assert_ptr_nonnull(arena_alloc(&a, 0));
	ck_assert_ptr_nonnull(arena_copy(&a, NULL, 0));
	arena_done(&a);
}
END_TEST

START_TEST(test_too_much)
{
	struct arena a = ARENA_INIT(64);

	ck_assert_ptr_null(arena_alloc(&a, SIZE_MAX - 8));
	ck_assert_str_eq(arena_strdup(&a, "still"), "still");
	arena_done(&a);
	arena_done(&a); /* empty: nothing to do */
}
END_TEST

UNIT_MAIN("conf_arena", test_many_objects, test_copies, test_too_much)
