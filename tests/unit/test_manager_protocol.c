#include "workers/manager/protocol.h"

#include <string.h>

#include <reeve/manager.h>

#include "tests/lib/unit.h"

/* Letters, each perhaps followed by nothing; a star only behind the last. */
static bool is_sound(const char *types, const char *letters)
{
	size_t n = strspn(types, letters);

	return types[n] == '\0' ||
	       (n > 0 && types[n] == '*' && types[n + 1] == '\0');
}

START_TEST(test_rows)
{
	const uint32_t all = (1U << REEVE_OBJECT_COUNT) - 1;

	for (size_t i = 0; i < VERB_COUNT; i++) {
		const struct verb_row *row = &verb_rows[i];

		ck_assert_ptr_nonnull(row->name);
		ck_assert_msg(is_sound(row->arguments, "vkisbtVI"), "%s: %s",
			      row->name, row->arguments);
		ck_assert_msg(is_sound(row->results, "vkisbVI"), "%s: %s",
			      row->name, row->results);
		ck_assert_msg(strlen(row->arguments) <= PROTOCOL_ARGUMENTS,
			      "%s", row->name);
		ck_assert(row->meaning[0] != '\0');
		/* for all kinds, or for some that exist */
		ck_assert(row->kinds == ~0U || (row->kinds & ~all) == 0);
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(row->name, verb_rows[j].name);
	}
}
END_TEST

/* Who may wait says for how long, as its last argument, and nobody else does. */
START_TEST(test_timeouts)
{
	for (size_t i = 0; i < VERB_COUNT; i++) {
		const struct verb_row *row = &verb_rows[i];
		const char *timeout = strchr(row->arguments, 't');

		ck_assert_msg((timeout != NULL) == row->can_wait, "%s",
			      row->name);
		if (timeout != NULL)
			ck_assert_int_eq(timeout[1], '\0');
	}
}
END_TEST

/* Each kind of object can do something that not all can. */
START_TEST(test_kinds)
{
	uint32_t kinds = 0;

	for (size_t i = 0; i < VERB_COUNT; i++)
		if (verb_rows[i].kinds != ~0U)
			kinds |= verb_rows[i].kinds;
	ck_assert_uint_eq(kinds, (1U << REEVE_OBJECT_COUNT) - 1);
}
END_TEST

UNIT_MAIN("protocol", test_rows, test_timeouts, test_kinds)
