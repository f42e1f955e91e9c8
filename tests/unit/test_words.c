#include "workers/base/pure/words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/rng.h"

struct row {
	const char *text;
	const char *words[8]; /* up to NULL */
};

static void check_row(const struct row *row)
{
	char **words = NULL;
	const char *error = NULL;
	int n = 0;

	int r = words_split(row->text, &words, &error);
	ck_assert_msg(r >= 0, "[%s]: %s", row->text, error);
	for (; row->words[n] != NULL; n++) {
		ck_assert_msg(n < r, "[%s]: only %d words", row->text, r);
		ck_assert_msg(strcmp(words[n], row->words[n]) == 0,
			      "[%s]: word %d is [%s], not [%s]", row->text, n,
			      words[n], row->words[n]);
	}
	ck_assert_msg(n == r, "[%s]: %d words", row->text, r);
	ck_assert_ptr_null(words[n]);
	ck_assert_ptr_null(error);
	free(words);
}

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check_row(&rows[i]);
}

START_TEST(test_blanks)
{
	static const struct row rows[] = {
		{ "", { NULL } },
		{ " \t\r\n ", { NULL } },
		{ "a", { "a" } },
		{ " a ", { "a" } },
		{ "a b", { "a", "b" } },
		{ "\ta\n\r b\t", { "a", "b" } },
		{ "a\vb\f", { "a\vb\f" } }, /* no blanks to a shell */
		{ "\xc3\xa4 \xff", { "\xc3\xa4", "\xff" } },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}
END_TEST

START_TEST(test_single_quotes)
{
	static const struct row rows[] = {
		{ "''", { "" } },
		{ "'' ''", { "", "" } },
		{ "'a b'", { "a b" } },
		{ "x'a b'y", { "xa by" } },
		{ "'a''b'", { "ab" } },
		{ "'a'\\''b'", { "a'b" } },
		{ "'\\'", { "\\" } }, /* nothing escapes in it */
		{ "'\\n\"$`'", { "\\n\"$`" } },
		{ "'a\nb'", { "a\nb" } },
		{ "'a\\\nb'", { "a\\\nb" } },
		{ "sh -c 'a ; b'", { "sh", "-c", "a ; b" } },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}
END_TEST

START_TEST(test_double_quotes)
{
	static const struct row rows[] = {
		{ "\"\"", { "" } },
		{ "\"a b\"", { "a b" } },
		{ "x\"a b\"y", { "xa by" } },
		{ "\"a'b\"", { "a'b" } },
		{ "\"\\\"\"", { "\"" } },
		{ "\"\\\\\"", { "\\" } },
		{ "\"\\$\"", { "$" } },
		{ "\"\\`\"", { "`" } },
		{ "\"a\\\nb\"", { "ab" } },
		{ "\"\\\n\"", { "" } },
		{ "\"\\a\\n\\'\"", { "\\a\\n\\'" } }, /* the others stay */
		{ "\"a\nb\"", { "a\nb" } },
		{ "\"\\\\\"\\\"", { "\\\"" } },
		{ "\"a\"'b'c", { "abc" } },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}
END_TEST

START_TEST(test_backslashes)
{
	static const struct row rows[] = {
		{ "a\\ b", { "a b" } },
		{ "\\a\\\\", { "a\\" } },
		{ "\\'", { "'" } },
		{ "\\\"", { "\"" } },
		{ "\\ ", { " " } },
		{ "a\\\nb", { "ab" } },
		{ "a\\\n b", { "a", "b" } },
		{ "a \\\n b", { "a", "b" } },
		{ "a \\\n\\\nb", { "a", "b" } },
		{ "\\\n", { NULL } }, /* no empty word */
		{ "a \\\n", { "a" } },
		{ "\\\n''", { "" } },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}
END_TEST

START_TEST(test_no_shell)
{
	static const struct row rows[] = {
		{ "a|b&c;d", { "a|b&c;d" } },
		{ "a > b < c", { "a", ">", "b", "<", "c" } },
		{ "# a", { "#", "a" } },
		{ "$HOME ~ *.c", { "$HOME", "~", "*.c" } },
		{ "`id` $(id)", { "`id`", "$(id)" } },
		{ "{a,b} !x (y)", { "{a,b}", "!x", "(y)" } },
		{ "A=1 env", { "A=1", "env" } },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}
END_TEST

START_TEST(test_errors)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{ "'", "unclosed ' quote" },
		{ "a 'b", "unclosed ' quote" },
		{ "a'b\\'", NULL }, /* closed: \ is plain in it */
		{ "'a\"", "unclosed ' quote" },
		{ "\"", "unclosed \" quote" },
		{ "\"a'", "unclosed \" quote" },
		{ "\"a\\\"", "unclosed \" quote" },
		{ "\"a\\", "unclosed \" quote" },
		{ "\"a\\\n", "unclosed \" quote" },
		{ "\\", "nothing after the last backslash" },
		{ "a b\\", "nothing after the last backslash" },
		{ "a\\\\\\", "nothing after the last backslash" },
		{ "a '' \"b", "unclosed \" quote" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *untouched[] = { NULL };
		char **words = untouched;
		const char *error = NULL;

		int r = words_split(rows[i].text, &words, &error);
		if (rows[i].error == NULL) {
			ck_assert_int_eq(r, 1);
			free(words);
			continue;
		}
		ck_assert_int_eq(r, -EINVAL);
		ck_assert_str_eq(error, rows[i].error);
		ck_assert_ptr_eq(words, untouched);
		ck_assert_int_eq(words_split(rows[i].text, &words, NULL),
				 -EINVAL);
	}
}
END_TEST

/* Only words of one letter, which need the most room for their length. */
START_TEST(test_many_words)
{
	enum { N = 100000 };
	char *text = malloc(2 * N), **words;

	for (size_t i = 0; i < N; i++)
		memcpy(text + 2 * i, "a ", 2);
	text[2 * N - 1] = '\0';
	ck_assert_int_eq(words_split(text, &words, NULL), N);
	ck_assert_str_eq(words[N - 1], "a");
	ck_assert_ptr_null(words[N]);
	free(words);
	free(text);
}
END_TEST

/* What is quoted comes back, whatever is in it. */
START_TEST(test_quoted_words_come_back)
{
	static const char letters[] = "ab '\"\\$`\n\t;#";
	struct rng r = { 5 };

	for (int k = 0; k < 5000; k++) {
		char word[16] = "", text[80] = "", **words;
		size_t n = rng_below(&r, sizeof(word)), len = 0;

		for (size_t i = 0; i < n; i++) {
			word[i] = letters[rng_below(&r, sizeof(letters) - 1)];
			/* a newline cannot be escaped, only quoted */
			if (word[i] == '\n' || rng_below(&r, 2))
				len += (size_t)snprintf(
					text + len, sizeof(text) - len,
					word[i] == '\'' ? "\"%c\"" : "'%c'",
					word[i]);
			else
				len += (size_t)snprintf(text + len,
							sizeof(text) - len,
							"\\%c", word[i]);
		}
		word[n < sizeof(word) ? n : sizeof(word) - 1] = '\0';
		ck_assert_int_eq(words_split(text, &words, NULL), n > 0);
		if (n > 0)
			ck_assert_str_eq(words[0], word);
		free(words);
	}
}
END_TEST

/* Nothing but a result or an error, and nothing outside of the memory, for
 * whatever comes; the sanitizers watch. */
START_TEST(test_any_bytes)
{
	static const char letters[] = "a \n'\"\\";
	struct rng r = { 6 };

	for (int k = 0; k < 20000; k++) {
		char text[24], **words = NULL;
		size_t n = rng_below(&r, sizeof(text));

		for (size_t i = 0; i < n; i++)
			text[i] = letters[rng_below(&r, sizeof(letters) - 1)];
		text[n] = '\0';
		int count = words_split(text, &words, NULL);
		ck_assert(count == -EINVAL || count >= 0);
		for (int i = 0; i < count; i++)
			ck_assert_uint_le(strlen(words[i]), n);
		free(words);
	}
}
END_TEST

UNIT_MAIN("words", test_blanks, test_single_quotes, test_double_quotes,
	  test_backslashes, test_no_shell, test_errors, test_many_words,
	  test_quoted_words_come_back, test_any_bytes)
