/* outcome.h: words, codes, and the message of a failure. */
#include "workers/pool/outcome.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "tests/lib/unit.h"

START_TEST(test_names)
{
	static const char *const names[] = { "pending", "done",	   "failed",
					     "crashed", "timeout", "cancelled",
					     "unknown" };

	for (int i = 0; i < (int)ARRAY_SIZE(names); i++)
		ck_assert_str_eq(reeve_outcome_name((enum reeve_outcome_kind)i),
				 names[i]);
	ck_assert_str_eq(reeve_outcome_name((enum reeve_outcome_kind) - 1),
			 "unknown");
}
END_TEST

START_TEST(test_errors)
{
	static const struct {
		enum reeve_outcome_kind kind;
		int status, error;
	} cases[] = {
		{ REEVE_DONE, 0, 0 },
		{ REEVE_DONE, -EIO, 0 },
		{ REEVE_FAILED, -EIO, -EIO },
		{ REEVE_FAILED, 7, 7 },
		{ REEVE_FAILED, INT_MIN, INT_MIN },
		{ REEVE_CRASHED, 0, -EPIPE },
		{ REEVE_CRASHED, -EIO, -EPIPE },
		{ REEVE_TIMEOUT, 0, -ETIMEDOUT },
		{ REEVE_CANCELLED, 0, -ECANCELED },
		{ REEVE_CANCELLED, 5, -ECANCELED },
		{ REEVE_CANCELLED, -ESHUTDOWN, -ESHUTDOWN },
		{ REEVE_PENDING, 0, -EINPROGRESS },
		{ (enum reeve_outcome_kind)99, 0, -EINPROGRESS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		ck_assert_int_eq(outcome_error(cases[i].kind, cases[i].status),
				 cases[i].error);
}
END_TEST

START_TEST(test_failure)
{
	const struct job_place place = { .seat = 3, .pid = 1234 };
	char text[2 * REEVE_MESSAGE_MAX];
	struct reeve_outcome o;
	/* size of the text, what is kept of it */
	static const size_t cases[][2] = {
		{ 1, 1 },
		{ REEVE_MESSAGE_MAX - 1, REEVE_MESSAGE_MAX - 1 },
		{ REEVE_MESSAGE_MAX, REEVE_MESSAGE_MAX - 1 },
		{ sizeof(text), REEVE_MESSAGE_MAX - 1 },
	};

	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(&o, 0xa5, sizeof(o));
		outcome_of_failure(&o, -EIO, &place, text, cases[i][0]);
		ck_assert_int_eq(o.kind, REEVE_FAILED);
		ck_assert_int_eq(o.error, -EIO);
		ck_assert_uint_eq(o.seat, 3);
		ck_assert_int_eq(o.pid, 1234);
		ck_assert_int_eq(o.exit.pid, 0);
		ck_assert_uint_eq(strlen(o.message), cases[i][1]);
	}
	outcome_of_failure(&o, -5, &place, NULL, 0);
	ck_assert_str_eq(o.message, "the function returned -5");
	outcome_of_failure(&o, INT_MIN, &place, NULL, 0);
	ck_assert_str_eq(o.message, "the function returned -2147483648");
}
END_TEST

UNIT_MAIN("pool_outcome", test_names, test_errors, test_failure)
