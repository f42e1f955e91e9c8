#include "workers/base/pure/str.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/rng.h"

START_TEST(test_prefix)
{
	ck_assert(str_has_prefix("web:0", "web:"));
	ck_assert(str_has_prefix("web", "web"));
	ck_assert(str_has_prefix("web", ""));
	ck_assert(str_has_prefix("", ""));
	ck_assert(!str_has_prefix("we", "web"));
	ck_assert(!str_has_prefix("Web", "web"));
	ck_assert(!str_has_prefix("", "web"));
}
END_TEST

START_TEST(test_equal)
{
	ck_assert(str_equal("a", "a"));
	ck_assert(str_equal("", ""));
	ck_assert(str_equal(NULL, NULL));
	ck_assert(!str_equal("a", "A"));
	ck_assert(!str_equal("a", "ab"));
	ck_assert(!str_equal("ab", "a"));
	ck_assert(!str_equal("", NULL));
	ck_assert(!str_equal(NULL, ""));
}
END_TEST

START_TEST(test_equal_nocase)
{
	ck_assert(str_equal_nocase("TeRm", "tErM"));
	ck_assert(str_equal_nocase("azAZ", "AZaz"));
	ck_assert(str_equal_nocase("", ""));
	ck_assert(str_equal_nocase(NULL, NULL));
	ck_assert(!str_equal_nocase("a", "ab"));
	ck_assert(!str_equal_nocase("ab", "a"));
	ck_assert(!str_equal_nocase("", NULL));
	ck_assert(!str_equal_nocase(NULL, ""));
	/* neighbours of the letters, 32 apart */
	ck_assert(!str_equal_nocase("@", "`"));
	ck_assert(!str_equal_nocase("[", "{"));
	/* only ASCII has cases: a-umlaut in Latin-1 and in UTF-8 */
	ck_assert(!str_equal_nocase("\xc4", "\xe4"));
	ck_assert(!str_equal_nocase("\xc3\x84", "\xc3\xa4"));
}
END_TEST

START_TEST(test_strip)
{
	static const struct {
		const char *text, *stripped;
	} rows[] = {
		{ "", "" },
		{ " ", "" },
		{ " \t\r\n\v\f", "" },
		{ "a", "a" },
		{ " a", "a" },
		{ "a ", "a" },
		{ "\t a b \r\n", "a b" },
		{ "\xa0", "\xa0" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[32];

		(void)snprintf(text, sizeof(text), "%s", rows[i].text);
		ck_assert_str_eq(str_strip(text), rows[i].stripped);
	}
}
END_TEST

static const char *const keys[] = {
	"command",
	"autostart",
	"autorestart",
	"stdout_logfile",
	"stdout_logfile_maxbytes",
	"startsecs",
	"startretries",
	"user",
	"umask",
	"pid",
	"ab",
};

START_TEST(test_nearest)
{
	static const struct {
		const char *word, *nearest;
	} rows[] = {
		{ "comand", "command" },
		{ "commnad", "command" },
		{ "COMMAND", "command" },
		{ "command", "command" },
		{ "auto-start", "autostart" },
		{ "autorestrat", "autorestart" },
		{ "stdout_logfle", "stdout_logfile" },
		{ "startsec", "startsecs" },
		{ "start_retries", "startretries" },
		{ "usr", "user" },
		{ "uesr", "user" },   /* a swap is one edit, and 4/3 is 1 */
		{ "userss", "user" }, /* two edits of six letters */
		{ "userssss", NULL }, /* four of eight */
		{ "xyzand", NULL },
		{ "ac", "ab" }, /* one at least */
		{ "cd", NULL },
		{ "x", NULL }, /* nothing in common */
		{ "", NULL },
		{ "pdi", "pid" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *nearest =
			str_nearest(rows[i].word, keys, ARRAY_SIZE(keys));
		ck_assert_msg(str_equal(nearest, rows[i].nearest), "%s: %s",
			      rows[i].word, nearest);
	}
	ck_assert_ptr_null(str_nearest("command", keys, 0));
	/* within one edit of each other, but not near */
	ck_assert_ptr_null(str_nearest("x", (const char *[]){ "y" }, 1));
	ck_assert_ptr_null(str_nearest("", (const char *[]){ "y" }, 1));
}
END_TEST

START_TEST(test_nearest_takes_the_best)
{
	static const char *const close[] = { "abcdefxyz", "abcdefghx",
					     "abcdefghy" };

	/* the nearer one wins, and of equals the first */
	ck_assert_str_eq(str_nearest("abcdefghi", close, 3), close[1]);
}
END_TEST

START_TEST(test_nearest_of_long_words)
{
	char word[STR_NEAREST_MAX + 2], other[STR_NEAREST_MAX + 2];
	const char *const candidates[] = { other };

	memset(word, 'a', sizeof(word));
	memset(other, 'a', sizeof(other));
	other[0] = 'b';
	word[STR_NEAREST_MAX] = other[STR_NEAREST_MAX] = '\0';
	ck_assert_ptr_eq(str_nearest(word, candidates, 1), other);

	other[STR_NEAREST_MAX] = 'a';
	other[STR_NEAREST_MAX + 1] = '\0';
	ck_assert_ptr_null(str_nearest(word, candidates, 1));
	other[STR_NEAREST_MAX] = '\0';
	word[STR_NEAREST_MAX] = 'a';
	word[STR_NEAREST_MAX + 1] = '\0';
	ck_assert_ptr_null(str_nearest(word, candidates, 1));
}
END_TEST

START_TEST(test_escape)
{
	static const struct {
		const char *text, *shown;
	} rows[] = {
		{ "", "" },
		{ "plain text ~!", "plain text ~!" },
		{ "a\\b", "a\\b" }, /* for eyes, not for reading back */
		{ "a\nb\rc\td", "a\\nb\\rc\\td" },
		{ "\x01\x1f\x7f", "\\x01\\x1f\\x7f" },
		{ "\x1b[31mred", "\\x1b[31mred" },
		{ "\x1b]0;title\x07", "\\x1b]0;title\\x07" },
		/* valid UTF-8: the first and the last of each length */
		{ "\xc2\xa0 \xdf\xbf", "\xc2\xa0 \xdf\xbf" },
		{ "\xe0\xa0\x80 \xef\xbf\xbf", "\xe0\xa0\x80 \xef\xbf\xbf" },
		{ "\xf0\x90\x80\x80", "\xf0\x90\x80\x80" },
		{ "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf" },
		{ "\xed\x9f\xbf \xee\x80\x80", "\xed\x9f\xbf \xee\x80\x80" },
		/* C1: CSI and the others */
		{ "\xc2\x9b"
		  "31m",
		  "\\xc2\\x9b31m" },
		{ "\xc2\x80\xc2\x9f", "\\xc2\\x80\\xc2\\x9f" },
		/* invalid: alone, cut, too long a form, surrogate, too large */
		{ "\x80", "\\x80" },
		{ "\xbf\xff\xfe", "\\xbf\\xff\\xfe" },
		{ "\xc3", "\\xc3" },
		{ "\xc3(", "\\xc3(" },
		{ "\xe2\x82", "\\xe2\\x82" },
		{ "\xe2\x82x", "\\xe2\\x82x" },
		{ "\xf0\x9f\x98", "\\xf0\\x9f\\x98" },
		{ "\xc0\xaf", "\\xc0\\xaf" },
		{ "\xc1\xbf", "\\xc1\\xbf" },
		{ "\xe0\x9f\xbf", "\\xe0\\x9f\\xbf" },
		{ "\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf" },
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" },
		{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },
		{ "\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80" },
		/* what comes after a bad byte is read anew */
		{ "\xe2\xc3\xa4", "\\xe2\xc3\xa4" },
	};
	char buf[128];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ck_assert_ptr_eq(str_escape(rows[i].text, buf, sizeof(buf)),
				 buf);
		ck_assert_str_eq(buf, rows[i].shown);
	}
}
END_TEST

START_TEST(test_escape_cuts)
{
	static const struct {
		const char *text;
		size_t size;
		const char *shown;
	} rows[] = {
		{ "", 4, "" },
		{ "abc", 4, "abc" }, /* just fits */
		{ "abcd", 4, "..." },
		{ "abcd", 5, "abcd" },
		{ "abcde", 5, "a..." },
		{ "abcdefgh", 8, "abcd..." },
		{ "abc\n", 6, "abc\\n" },
		{ "abc\n", 5, "a..." },
		/* neither an escape nor a character is cut in the middle */
		{ "a\nbcdef", 6, "a..." },
		{ "a\nbcdef", 7, "a\\n..." },
		{ "a\xc3\xa4"
		  "bcdef",
		  6, "a..." },
		{ "a\xc3\xa4"
		  "bcdef",
		  7, "a\xc3\xa4..." },
		{ "\x01", 4, "..." },
		{ "\x01", 5, "\\x01" },
		{ "\xc2\x9b", 8, "..." },
		{ "\xc2\x9b", 9, "\\xc2\\x9b" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char buf[16];

		memset(buf, '#', sizeof(buf));
		str_escape(rows[i].text, buf, rows[i].size);
		ck_assert_str_eq(buf, rows[i].shown);
		ck_assert_int_eq(buf[rows[i].size], '#');
	}
}
END_TEST

static bool is_harmless(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

START_TEST(test_escape_of_any_bytes)
{
	struct rng r = { 8 };

	for (int k = 0; k < 20000; k++) {
		char text[40], buf[200], again[200];
		size_t n = rng_below(&r, sizeof(text));
		size_t size = 4 + rng_below(&r, sizeof(buf) - 4);

		for (size_t i = 0; i < n; i++)
			text[i] = (char)(1 + rng_below(&r, 255));
		text[n] = '\0';
		str_escape(text, buf, size);
		ck_assert_uint_lt(strlen(buf), size);
		ck_assert(is_harmless(buf));
		/* What is shown is valid: nothing in it is escaped again. */
		ck_assert_str_eq(str_escape(buf, again, sizeof(again)), buf);
	}
}
END_TEST

static void escape_to_three_bytes(_unused_ void *arg)
{
	char buf[4];

	str_escape("x", buf, 3);
}

START_TEST(test_escape_wants_four_bytes)
{
	ck_assert_int_eq(unit_fork(escape_to_three_bytes, NULL, NULL),
			 -SIGABRT);
}
END_TEST

UNIT_MAIN("str", test_prefix, test_equal, test_equal_nocase, test_strip,
	  test_nearest, test_nearest_takes_the_best, test_nearest_of_long_words,
	  test_escape, test_escape_cuts, test_escape_of_any_bytes,
	  test_escape_wants_four_bytes)
