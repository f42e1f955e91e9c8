#include "supervisor/cli/json.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/jsontext.h"
#include "tests/lib/unit.h"

/* The validator must be able to say no. */
START_TEST(test_validator)
{
	static const char *const good[] = {
		"[]\n",		  "{}",
		"[1,-2,0]",	  "{\"a\":[null,true,false]}",
		"\"\\u00e4\\n\"", "{\"a\":1}\n{\"b\":2}\n",
		" [ 1 , 2.5 ] ",  "\"\xc3\xa4\"",
	};
	static const char *const bad[] = {
		"",	   "[",		"]",
		"[1,]",	   "[,1]",	"{1:2}",
		"{\"a\"}", "{\"a\":}",	"{\"a\":1,}",
		"[1 2]",   "[01]",	"\"a",
		"\"\n\"",  "\"\x1b\"",	"\"\\x\"",
		"[1}",	   "{\"a\":1]", "\"\\u12g4\"",
		"nul",	   "\"\xff\"",	"\"\xed\xa0\x80\"",
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		ck_assert_msg(json_text_is_valid(good[i]), "%s", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert_msg(!json_text_is_valid(bad[i]), "%s", bad[i]);
}
END_TEST

START_TEST(test_all_kinds)
{
	struct buf out = BUF_INIT(0);
	struct json j = JSON_INIT(&out);

	json_open_object(&j, NULL);
	json_string(&j, "s", "x");
	json_u64(&j, "u", UINT64_MAX);
	json_i64(&j, "i", INT64_MIN);
	json_i64(&j, "z", 0);
	json_bool(&j, "t", true);
	json_bool(&j, "f", false);
	json_null(&j, "n");
	json_open_array(&j, "a");
	json_u64(&j, NULL, 1);
	json_open_object(&j, NULL);
	json_close(&j);
	json_open_array(&j, NULL);
	json_close(&j);
	json_close(&j);
	json_i64(&j, "last", -1);
	json_close(&j);
	ck_assert_str_eq(buf_text(&out),
			 "{\"s\":\"x\",\"u\":18446744073709551615,"
			 "\"i\":-9223372036854775808,\"z\":0,\"t\":true,"
			 "\"f\":false,\"n\":null,\"a\":[1,{},[]],\"last\":-1}"
			 "\n");
	ck_assert(json_text_is_valid(buf_text(&out)));
	buf_done(&out);
}
END_TEST

START_TEST(test_lines)
{
	struct buf out = BUF_INIT(0);
	struct json j = JSON_INIT(&out);

	json_open_array(&j, NULL);
	for (uint64_t i = 1; i <= 3; i++) {
		json_newline(&j);
		json_open_object(&j, NULL);
		json_u64(&j, "i", i);
		json_close(&j);
	}
	json_close(&j);
	ck_assert_str_eq(buf_text(&out),
			 "[\n{\"i\":1},\n{\"i\":2},\n{\"i\":3}]\n");
	ck_assert(json_text_is_valid(buf_text(&out)));
	buf_done(&out);
}
END_TEST

START_TEST(test_strings)
{
	static const struct {
		const char *value, *expected;
	} cases[] = {
		{ "", "\"\"" },
		{ "a\"b\\c/", "\"a\\\"b\\\\c/\"" },
		{ "\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"" },
		{ "\x01\x1b[2J\x7f", "\"\\u0001\\u001b[2J\\u007f\"" },
		{ "\xc2\x9b", "\"\\u009b\"" }, /* C1: ESC [ in one */
		{ "\xc2\xa0\xc3\xa4", "\"\xc2\xa0\xc3\xa4\"" },
		{ "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"" },
		/* not UTF-8: one replacement per byte, the rest goes on */
		{ "a\xff"
		  "b",
		  "\"a\xef\xbf\xbd"
		  "b\"" },
		{ "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "cut\xe2\x82", "\"cut\xef\xbf\xbd\xef\xbf\xbd\"" },
	};
	struct buf out = BUF_INIT(0);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct json j = JSON_INIT(&out);

		buf_clear(&out);
		json_string(&j, NULL, cases[i].value);
		ck_assert_str_eq(buf_text(&out), cases[i].expected);
		ck_assert(json_text_is_valid(buf_text(&out)));
	}
	buf_done(&out);
}
END_TEST

START_TEST(test_every_byte)
{
	struct buf out = BUF_INIT(0);

	for (int byte = 1; byte < 256; byte++) {
		const char value[] = { 'a', (char)byte, 'b', '\0' };
		struct json j = JSON_INIT(&out);

		buf_clear(&out);
		json_open_object(&j, NULL);
		json_string(&j, value, value);
		json_close(&j);
		ck_assert_msg(json_text_is_valid(buf_text(&out)), "%d", byte);
		for (const char *p = buf_text(&out); p[1] != '\0'; p++)
			ck_assert_int_ge((unsigned char)*p, ' ');
	}
	buf_done(&out);
}
END_TEST

START_TEST(test_nul_inside)
{
	struct buf out = BUF_INIT(0);

	json_escape(&out, "a\0b", 3);
	ck_assert_str_eq(buf_text(&out), "a\\u0000b");
	buf_done(&out);
}
END_TEST

START_TEST(test_depth_limit)
{
	struct buf out = BUF_INIT(0);
	struct json j = JSON_INIT(&out);

	for (int i = 0; i < JSON_DEPTH_MAX; i++)
		json_open_array(&j, NULL);
	for (int i = 0; i < JSON_DEPTH_MAX; i++)
		json_close(&j);
	ck_assert(json_text_is_valid(buf_text(&out)));
	buf_done(&out);
}
END_TEST

static void too_deep(void *arg _unused_)
{
	struct buf out = BUF_INIT(0);
	struct json j = JSON_INIT(&out);

	for (int i = 0; i <= JSON_DEPTH_MAX; i++)
		json_open_array(&j, NULL);
}

START_TEST(test_beyond_the_depth)
{
	ck_assert_int_eq(unit_fork(too_deep, NULL, NULL), -6 /* SIGABRT */);
}
END_TEST

UNIT_MAIN("cli_json", test_validator, test_all_kinds, test_lines, test_strings,
	  test_every_byte, test_nul_inside, test_depth_limit,
	  test_beyond_the_depth)
