#include "conf/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"

static char *const names[] = { (char[]){ "main.ini" }, (char[]){ "b.ini" } };

static char *print(const struct conf_report *report)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(f);
	conf_report_print(report, f);
	fclose(f);
	return text;
}

/* By file and line; what is of one line stays in the order of finding. */
START_TEST(test_order)
{
	struct notes n = { 0 };
	struct conf_report report;
	char *text;

	notes_error(&n, origin_make(1, 5), "f");
	notes_warning(&n, origin_make(0, 9), "c %d", 1);
	notes_error(&n, origin_make(0, 9), "d");
	notes_error(&n, origin_make(0, 0), "a");
	notes_error(&n, origin_make(1, 2), "e");
	notes_error(&n, origin_make(0, 3), "b");
	ck_assert_int_eq(notes_finish(&n, names, 2, &report), 0);
	ck_assert_uint_eq(report.n_errors, 5);
	ck_assert_uint_eq(report.n_warnings, 1);
	text = print(&report);
	ck_assert_str_eq(text, "main.ini: error: a\n"
			       "main.ini:3: error: b\n"
			       "main.ini:9: warning: c 1\n"
			       "main.ini:9: error: d\n"
			       "b.ini:2: error: e\n"
			       "b.ini:5: error: f\n");
	free(text);
	conf_report_done(&report);
	ck_assert_uint_eq(report.n_messages, 0);
	conf_report_done(&report);
}
END_TEST

START_TEST(test_no_names)
{
	struct notes n = { 0 };
	struct conf_report report;
	char *text;

	notes_error(&n, origin_make(0, 0), "whole");
	notes_error(&n, origin_make(0, 7), "line");
	ck_assert_int_eq(notes_finish(&n, NULL, 0, &report), 0);
	text = print(&report);
	ck_assert_str_eq(text, "error: whole\n7: error: line\n");
	free(text);
	conf_report_done(&report);
}
END_TEST

START_TEST(test_limit)
{
	struct notes n = { 0 };
	struct conf_report report;
	char *text;

	for (size_t i = 0; i < CONF_MESSAGES_MAX - 1; i++)
		notes_error(&n, origin_make(0, i + 1), "x");
	ck_assert(!notes_are_full(&n));
	notes_error(&n, origin_make(0, 2000), "the last");
	ck_assert(notes_are_full(&n));
	notes_error(&n, origin_make(0, 1), "one too many");
	notes_warning(&n, origin_make(0, 1), "and another");
	ck_assert_int_eq(notes_finish(&n, names, 2, &report), 0);
	ck_assert_uint_eq(report.n_messages, CONF_MESSAGES_MAX);
	ck_assert_uint_eq(report.n_errors, CONF_MESSAGES_MAX + 1);
	ck_assert_uint_eq(report.n_warnings, 1);
	ck_assert_str_eq(report.messages[CONF_MESSAGES_MAX - 1].text,
			 "the last");
	text = print(&report);
	ck_assert_ptr_nonnull(strstr(text, "\nand 2 more like these\n"));
	free(text);
	conf_report_done(&report);
}
END_TEST

/* A flood of warnings does not hide what keeps it from loading. */
START_TEST(test_errors_push_out_warnings)
{
	struct notes n = { 0 };
	struct conf_report report;
	size_t n_kept = 0;

	for (size_t i = 0; i < CONF_MESSAGES_MAX; i++)
		notes_warning(&n, origin_make(0, i + 1), "w");
	for (size_t i = 0; i < CONF_MESSAGES_MAX + 5; i++)
		notes_error(&n, origin_make(1, i + 1), "e");
	ck_assert_int_eq(notes_finish(&n, names, 2, &report), 0);
	for (size_t i = 0; i < report.n_messages; i++)
		n_kept += report.messages[i].is_error;
	ck_assert_uint_eq(n_kept, CONF_MESSAGES_MAX);
	ck_assert_uint_eq(report.n_warnings, CONF_MESSAGES_MAX);
	ck_assert_uint_eq(report.n_errors, CONF_MESSAGES_MAX + 5);
	conf_report_done(&report);
}
END_TEST

START_TEST(test_too_long)
{
	struct notes n = { 0 };
	struct conf_report report;
	char *text = calloc(1, 10000);

	ck_assert_ptr_nonnull(text);
	memset(text, 'x', 9999);
	notes_error(&n, 0, "%s", text);
	free(text);
	ck_assert_int_eq(notes_finish(&n, names, 2, &report), 0);
	ck_assert_str_eq(report.messages[0].text,
			 "(a message that is too long to show)");
	conf_report_done(&report);
}
END_TEST

START_TEST(test_quote)
{
	char shown[REPORT_QUOTE_MAX], text[200];

	ck_assert_str_eq(report_quote("a\x1b[31m\n", shown), "a\\x1b[31m\\n");
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	report_quote(text, shown);
	ck_assert_uint_lt(strlen(shown), sizeof(shown));
	ck_assert_str_eq(shown + strlen(shown) - 3, "...");
}
END_TEST

UNIT_MAIN("conf_report", test_order, test_no_names, test_limit,
	  test_errors_push_out_warnings, test_too_long, test_quote)
