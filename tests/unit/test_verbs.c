/* verbs.c: each row is whole and says what can be said over D-Bus. */
#include "supervisor/core/verbs.h"

#include <ctype.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "tests/lib/unit.h"

/* The length of the first complete type of a D-Bus signature, 0: none. */
static size_t type_length(const char *s)
{
	size_t n = 0;
	int depth = 0;

	for (;; n++) {
		if (s[n] == '\0')
			return 0;
		if (s[n] == 'a')
			continue; /* of what follows */
		if (s[n] == '(' || s[n] == '{')
			depth++;
		else if (s[n] == ')' || s[n] == '}')
			depth--;
		else if (!strchr("ybnqiuxtdsogvh", s[n]))
			return 0;
		if (depth == 0)
			return n + 1;
	}
}

/* How many arguments, or SIZE_MAX when it is no signature. */
static size_t count_types(const char *signature)
{
	size_t n = 0;

	while (*signature != '\0') {
		size_t length = type_length(signature);

		if (length == 0)
			return SIZE_MAX;
		signature += length;
		n++;
	}
	return n;
}

/* names[] are separated by NULs; n of them, none empty, then the end. */
static void check_names(const struct verb *v, const char *signature,
			const char *names)
{
	size_t n = count_types(signature);

	ck_assert_msg(n != SIZE_MAX, "%s: bad signature \"%s\"", v->word,
		      signature);
	for (size_t i = 0; i < n; i++) {
		ck_assert_msg(isalpha(names[0]), "%s: %zu names for \"%s\"",
			      v->word, n, signature);
		names += strlen(names) + (i + 1 < n);
	}
	ck_assert_msg(*names == '\0', "%s: more names than \"%s\"", v->word,
		      signature);
}

START_TEST(test_rows)
{
	for (size_t i = 0; i < VERB_COUNT; i++) {
		const struct verb *v = &verb_table[i];

		ck_assert_ptr_nonnull(v->word);
		ck_assert_uint_gt(strlen(v->word), 1);
		for (const char *c = v->word; *c != '\0'; c++)
			ck_assert_msg(islower(*c), "%s", v->word);
		ck_assert_uint_gt(strlen(v->help), 10);
		ck_assert_msg(islower(v->help[0]) &&
				      v->help[strlen(v->help) - 1] != '.',
			      "%s: help is \"%s\"", v->word, v->help);
		check_names(v, v->in, v->in_names);
		check_names(v, v->out, v->out_names);
		if (!v->member)
			ck_assert_str_eq(v->in, "");
		else
			ck_assert(isupper(v->member[0]));
	}
}
END_TEST

START_TEST(test_unique)
{
	for (size_t i = 0; i < VERB_COUNT; i++) {
		const struct verb *v = &verb_table[i];

		for (size_t k = 0; k < i; k++) {
			const struct verb *w = &verb_table[k];

			ck_assert_str_ne(v->word, w->word);
			if (v->member && w->member)
				ck_assert_str_ne(v->member, w->member);
		}
	}
}
END_TEST

START_TEST(test_lookup)
{
	for (size_t i = 0; i < VERB_COUNT; i++) {
		const struct verb *v = &verb_table[i];

		ck_assert_ptr_eq(verb_by_word(v->word), v);
		if (v->member)
			ck_assert_ptr_eq(verb_by_member(v->member), v);
	}
	ck_assert_ptr_eq(verb_by_word("stop"), &verb_table[VERB_STOP]);
	ck_assert_ptr_eq(verb_by_member("List"), &verb_table[VERB_STATUS]);
	ck_assert_ptr_null(verb_by_word("Stop"));
	ck_assert_ptr_null(verb_by_word("sto"));
	ck_assert_ptr_null(verb_by_word(""));
	ck_assert_ptr_null(verb_by_word(NULL));
	ck_assert_ptr_null(verb_by_member("stop"));
	ck_assert_ptr_null(verb_by_member(""));
	ck_assert_ptr_null(verb_by_member(NULL)); /* HELP has no member */
}
END_TEST

/* Who may do what is a promise of its own: changed here and there, or not. */
START_TEST(test_access)
{
	static const enum verb_access expected[VERB_COUNT] = {
		[VERB_STATUS] = ACCESS_READ,   [VERB_START] = ACCESS_STEER,
		[VERB_STOP] = ACCESS_STEER,    [VERB_RESTART] = ACCESS_STEER,
		[VERB_RECYCLE] = ACCESS_STEER, [VERB_SIGNAL] = ACCESS_STEER,
		[VERB_WAIT] = ACCESS_READ,     [VERB_RELOAD] = ACCESS_OWNER,
		[VERB_LOGS] = ACCESS_STEER,    [VERB_REOPEN] = ACCESS_STEER,
		[VERB_CONFIG] = ACCESS_READ,   [VERB_SHUTDOWN] = ACCESS_OWNER,
		[VERB_CHECK] = ACCESS_READ,    [VERB_PID] = ACCESS_READ,
		[VERB_VERSION] = ACCESS_READ,  [VERB_HELP] = ACCESS_READ,
	};

	for (size_t i = 0; i < VERB_COUNT; i++)
		ck_assert_msg(verb_table[i].access == expected[i], "%s",
			      verb_table[i].word);
}
END_TEST

START_TEST(test_names_of_the_bus)
{
	ck_assert(sd_bus_service_name_is_valid(REEVE_BUS_NAME));
	ck_assert(sd_bus_object_path_is_valid(REEVE_BUS_PATH));
	ck_assert(sd_bus_object_path_is_valid(REEVE_BUS_WORKER_PATH));
	ck_assert(sd_bus_interface_name_is_valid(REEVE_BUS_INTERFACE));
	ck_assert(sd_bus_interface_name_is_valid(REEVE_BUS_WORKER_INTERFACE));
	for (size_t i = 0; i < VERB_COUNT; i++)
		ck_assert(!verb_table[i].member ||
			  sd_bus_member_name_is_valid(verb_table[i].member));
}
END_TEST

START_TEST(test_list_row)
{
	/* One letter per field of a status row; see verbs.h. */
	ck_assert_str_eq(VERB_LIST_ROW, "(sssatss)");
	ck_assert_uint_eq(count_types(VERB_LIST_ROW), 1);
	ck_assert_uint_eq(count_types("a(sss)as"), 2);
	ck_assert_uint_eq(count_types("a"), SIZE_MAX);
	ck_assert_uint_eq(count_types("(s"), SIZE_MAX);
	ck_assert_uint_eq(count_types("sz"), SIZE_MAX);
}
END_TEST

UNIT_MAIN("verbs", test_rows, test_unique, test_lookup, test_access,
	  test_names_of_the_bus, test_list_row)
