/* states.c: the words, and finding a state by its name. */
#include "supervisor/core/states.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "tests/lib/unit.h"

START_TEST(test_names_and_codes)
{
	/* As supervisor has them, plus KILLING. */
	static const struct {
		enum worker_state state;
		const char *name;
		int code;
	} rows[] = {
		{ STATE_STOPPED, "STOPPED", 0 },
		{ STATE_STARTING, "STARTING", 10 },
		{ STATE_RUNNING, "RUNNING", 20 },
		{ STATE_BACKOFF, "BACKOFF", 30 },
		{ STATE_STOPPING, "STOPPING", 40 },
		{ STATE_KILLING, "KILLING", 50 },
		{ STATE_EXITED, "EXITED", 100 },
		{ STATE_FATAL, "FATAL", 200 },
	};

	ck_assert_uint_eq(ARRAY_SIZE(rows), STATE_COUNT);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ck_assert_str_eq(worker_state_name(rows[i].state),
				 rows[i].name);
		ck_assert_int_eq(worker_state_code(rows[i].state),
				 rows[i].code);
	}
}
END_TEST

START_TEST(test_from_name)
{
	enum worker_state state;

	for (unsigned i = 0; i < STATE_COUNT; i++) {
		const char *name = worker_state_name((enum worker_state)i);
		char lower[32] = "";

		state = STATE_COUNT;
		ck_assert_int_eq(worker_state_from_name(name, &state), 0);
		ck_assert_uint_eq(state, i);
		ck_assert_uint_lt(strlen(name), sizeof(lower));
		for (size_t k = 0; name[k] != '\0'; k++)
			lower[k] = (char)tolower(name[k]);
		state = STATE_COUNT;
		ck_assert_int_eq(worker_state_from_name(lower, &state), 0);
		ck_assert_uint_eq(state, i);
	}
}
END_TEST

START_TEST(test_from_other_names)
{
	static const char *const others[] = {
		"", "RUN", "RUNNINGS", " RUNNING", "RUNNING ", "UNKNOWN", "20",
	};
	enum worker_state state = STATE_FATAL;

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		ck_assert_int_eq(worker_state_from_name(others[i], &state),
				 -EINVAL);
	ck_assert_uint_eq(state, STATE_FATAL);
}
END_TEST

static bool is_sentence(const char *text)
{
	return strlen(text) > 10 && text[strlen(text) - 1] != '.' &&
	       !isspace(text[0]);
}

START_TEST(test_texts)
{
	for (unsigned i = 0; i < STATE_COUNT; i++)
		ck_assert(is_sentence(worker_state_text(i)));
	ck_assert_ptr_nonnull(strstr(worker_state_text(STATE_FATAL), "start"));
}
END_TEST

START_TEST(test_event_names)
{
	ck_assert_str_eq(worker_event_name(EVENT_START), "START");
	ck_assert_str_eq(worker_event_name(EVENT_LEADER_EXIT), "LEADER_EXIT");
	ck_assert_str_eq(worker_event_name(EVENT_V_FATAL), "V_FATAL");
	for (unsigned i = 0; i < EVENT_COUNT; i++)
		for (unsigned k = 0; k < i; k++)
			ck_assert_str_ne(worker_event_name(i),
					 worker_event_name(k));
}
END_TEST

static void name_of_nothing(void *what)
{
	if (what)
		(void)worker_state_name(STATE_COUNT);
	else
		(void)worker_event_name(EVENT_COUNT);
}

START_TEST(test_no_such_number)
{
	int dummy = 0;

	ck_assert_int_eq(unit_fork(name_of_nothing, &dummy, NULL), -SIGABRT);
	ck_assert_int_eq(unit_fork(name_of_nothing, NULL, NULL), -SIGABRT);
}
END_TEST

UNIT_MAIN("states", test_names_and_codes, test_from_name, test_from_other_names,
	  test_texts, test_event_names, test_no_such_number)
