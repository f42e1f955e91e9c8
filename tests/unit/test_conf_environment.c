#include "conf/environment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"

/* "KEY<value>KEY<value>" */
static char *describe(const struct environment_entry *list, size_t n)
{
	struct buf out = BUF_INIT(0);

	for (size_t i = 0; i < n; i++)
		(void)buf_printf(&out, "%s<%s>", list[i].key, list[i].value);
	return buf_take(&out);
}

static const struct {
	const char *text, *entries;
} good[] = {
	{ "", "" },
	{ " \n", "" },
	{ "A=1", "A<1>" },
	{ "A=\"1\"", "A<1>" },
	{ "A='1'", "A<1>" },
	{ "A=", "A<>" },
	{ "A=,B=2", "A<>B<2>" },
	{ "A=\"\"", "A<>" },
	{ "A=\"1\",B='2',C=3", "A<1>B<2>C<3>" },
	{ "A=\"1\", B='2' , C = 3 ", "A<1>B<2>C<3>" },
	{ "A=\"1\",\nB=\"2\",\n", "A<1>B<2>" },
	{ "A=1,\nB=2", "A<1>B<2>" },
	{ "A=\"1,2\",B='3,4'", "A<1,2>B<3,4>" },
	{ "A=\"it's\",B='say \"x\"'", "A<it's>B<say \"x\">" },
	{ "A=\" 1 \"", "A< 1 >" },
	{ "A=two words ,B=x", "A<two words>B<x>" },
	{ "A=don't", "A<don't>" },
	{ "A=a\"b'c,B=2", "A<a\"b'c>B<2>" },
	{ "A=b=c", "A<b=c>" },
	{ "A=\"a\nb\"", "A<a\nb>" },
	{ "A=\"%(here)s %%\"", "A<%(here)s %%>" },
	{ "A=\"x\\\"", "A<x\\>" }, /* no escapes */
	{ "A.b-c=1,A=2,A=3", "A.b-c<1>A<2>A<3>" },
};

START_TEST(test_good)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct arena a = ARENA_INIT(256);
		struct environment_entry *list;
		char reason[ENVIRONMENT_REASON_MAX], *text;
		size_t n;
		int r = environment_parse(good[i].text, &a, &list, &n, reason);

		ck_assert_msg(r == 0, "%s: %s", good[i].text, reason);
		text = describe(list, n);
		ck_assert_str_eq(text, good[i].entries);
		free(text);
		arena_done(&a);
	}
}
END_TEST

/* What is formatted reads as the same. */
START_TEST(test_round_trip)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct arena a = ARENA_INIT(256);
		struct buf out = BUF_INIT(0);
		struct environment_entry *list;
		char reason[ENVIRONMENT_REASON_MAX], *text;
		size_t n;

		ck_assert_int_eq(environment_parse(good[i].text, &a, &list, &n,
						   reason),
				 0);
		ck_assert_int_eq(environment_format(list, n, true, &out), 0);
		ck_assert_int_eq(environment_parse(buf_text(&out), &a, &list,
						   &n, reason),
				 0);
		text = describe(list, n);
		ck_assert_str_eq(text, good[i].entries);
		free(text);
		buf_done(&out);
		arena_done(&a);
	}
}
END_TEST

static const struct {
	const char *text, *part;
} bad[] = {
	{ "A", "expected KEY= at \"A\"; write KEY=\"value\"" },
	{ "A B=1", "expected KEY= at \"A B=1\"" },
	{ "=1", "expected KEY=" },
	{ ",A=1", "expected KEY=" },
	{ "A=1,,B=2", "expected KEY= at \",B=2\"" },
	{ "A=\"1", "unclosed quote at \"\"1\"" },
	{ "A='1\"", "unclosed quote" },
	{ "A=\"1\"2", "expected a comma after the quoted value" },
	{ "A=\"1\" B=\"2\"", "expected a comma after the quoted value" },
	{ "A=\"1\"\nB=\"2\"", "expected a comma after the quoted value" },
	{ "A=1\nB=2", "expected a comma at the end of the line" },
	{ "\"A\"=1", "expected KEY=" },
	{ "A=1,%(ENV_REST)s", "expected KEY= at \"%(ENV_REST)s\"" },
};

START_TEST(test_bad)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct arena a = ARENA_INIT(256);
		struct environment_entry *list = NULL;
		char reason[ENVIRONMENT_REASON_MAX] = "";
		size_t n = 4711;

		ck_assert_int_eq(environment_parse(bad[i].text, &a, &list, &n,
						   reason),
				 -EINVAL);
		ck_assert_msg(strstr(reason, bad[i].part), "%s: \"%s\"",
			      bad[i].text, reason);
		ck_assert_uint_eq(n, 4711);
		arena_done(&a);
	}
}
END_TEST

static char *many(size_t n)
{
	struct buf b = BUF_INIT(0);

	for (size_t i = 0; i < n; i++)
		(void)buf_printf(&b, "K%zu=%zu,", i, i);
	return buf_take(&b);
}

START_TEST(test_how_many)
{
	struct arena a = ARENA_INIT(256);
	struct environment_entry *list;
	char reason[ENVIRONMENT_REASON_MAX];
	char *text = many(ENVIRONMENT_MAX);
	size_t n;

	ck_assert_int_eq(environment_parse(text, &a, &list, &n, reason), 0);
	ck_assert_uint_eq(n, ENVIRONMENT_MAX);
	ck_assert_str_eq(list[499].value, "499");
	free(text);
	text = many(ENVIRONMENT_MAX + 1);
	ck_assert_int_eq(environment_parse(text, &a, &list, &n, reason),
			 -EINVAL);
	ck_assert_str_eq(reason, "more than 500 variables");
	free(text);
	arena_done(&a);
}
END_TEST

START_TEST(test_names_only)
{
	struct environment_entry list[] = {
		{ (char[]){ "A" }, (char[]){ "secret" } },
		{ (char[]){ "B" }, (char[]){ "secret" } },
	};
	struct buf out = BUF_INIT(0);

	ck_assert_int_eq(environment_format(list, 2, false, &out), 0);
	ck_assert_str_eq(buf_text(&out), "A, B");
	buf_done(&out);
}
END_TEST

UNIT_MAIN("conf_environment", test_good, test_round_trip, test_bad,
	  test_how_many, test_names_only)
