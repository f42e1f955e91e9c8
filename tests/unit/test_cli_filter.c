#include "supervisor/cli/filter.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/jsontext.h"
#include "tests/lib/unit.h"

/* Feeds data in pieces of so many bytes; owned by the caller. */
static char *run(enum filter_mode mode, const char *data, size_t length,
		 size_t piece)
{
	struct filter f = { .mode = mode,
			    .worker = "we\"b",
			    .stream = "stdout" };
	struct buf out = BUF_INIT(0);

	for (size_t i = 0; i < length; i += piece)
		ck_assert_int_eq(filter_feed(&f, data + i,
					     MIN(piece, length - i), &out),
				 0);
	ck_assert_int_eq(filter_finish(&f, &out), 0);

	char *text = strdup(buf_text(&out));

	buf_done(&out);
	return text;
}

struct filter_case {
	const char *data;
	size_t length;
	const char *expected;
};

#define BYTES(text) (text), sizeof(text) - 1

static const struct filter_case terminal_cases[] = {
	{ BYTES(""), "" },
	{ BYTES("plain\n\ttext\n"), "plain\n\ttext\n" },
	{ BYTES("\x1b[31mred\x1b[0m"), "\\x1b[31mred\\x1b[0m" },
	{ BYTES("\x1b]0;title\a"), "\\x1b]0;title\\x07" },
	{ BYTES("over\rwritten\b\x7f"), "over\\x0dwritten\\x08\\x7f" },
	{ BYTES("nul\0byte"), "nul\\x00byte" },
	{ BYTES("\xc2\x9b"
		"31m"),
	  "\\xc2\\x9b31m" }, /* C1 as UTF-8 */
	{ BYTES("\x9b"
		"31m"),
	  "\\x9b31m" }, /* C1 as a byte */
	{ BYTES("\xc3\xa4\xe2\x82\xac"), "\xc3\xa4\xe2\x82\xac" },
	{ BYTES("\xf0\x9f\x98\x80 ok"), "\xf0\x9f\x98\x80 ok" },
	{ BYTES("\xe2\x82"), "\\xe2\\x82" },	 /* cut at the end */
	{ BYTES("\xe2\x82x"), "\\xe2\\x82x" },	 /* cut in the middle */
	{ BYTES("\xe2\x1b[m"), "\\xe2\\x1b[m" }, /* and an ESC behind it */
	{ BYTES("\xf0\x9f\xc3\xa4"), "\\xf0\\x9f\xc3\xa4" },
	{ BYTES("\xff\xfe"), "\\xff\\xfe" },
};

/* The same, however it is cut into pieces. */
START_TEST(test_terminal)
{
	for (size_t i = 0; i < ARRAY_SIZE(terminal_cases); i++) {
		const struct filter_case *c = &terminal_cases[i];

		for (size_t piece = 1; piece <= c->length + 1; piece++) {
			char *text =
				run(FILTER_TERMINAL, c->data, c->length, piece);

			ck_assert_msg(strcmp(text, c->expected) == 0,
				      "row %zu, pieces of %zu: %s", i, piece,
				      text);
			free(text);
		}
	}
}
END_TEST

START_TEST(test_terminal_never_gets_controls)
{
	char data[256 * 2];
	char *text;

	for (size_t i = 0; i < 256; i++) {
		data[2 * i] = (char)i;
		data[2 * i + 1] = (char)(255 - i);
	}
	text = run(FILTER_TERMINAL, data, sizeof(data), 7);
	for (const char *p = text; *p != '\0'; p++)
		ck_assert_msg((unsigned char)*p >= ' ' || *p == '\n' ||
				      *p == '\t',
			      "byte %d", *p);
	ck_assert_ptr_null(strchr(text, 0x7f));
	free(text);
}
END_TEST

START_TEST(test_raw)
{
	static const char data[] = "a\x1b[m\xff\0b\n";
	struct filter f = { .mode = FILTER_RAW };
	struct buf out = BUF_INIT(0);

	filter_feed(&f, data, sizeof(data), &out);
	filter_finish(&f, &out);
	ck_assert_uint_eq(out.len, sizeof(data));
	ck_assert_mem_eq(out.data, data, sizeof(data));
	buf_done(&out);
}
END_TEST

#define LINE(text)                                                             \
	"{\"worker\":\"we\\\"b\",\"stream\":\"stdout\",\"text\":\"" text "\"}" \
	"\n"

START_TEST(test_json)
{
	static const struct filter_case cases[] = {
		{ BYTES(""), "" },
		{ BYTES("one\ntwo\n"), LINE("one") LINE("two") },
		{ BYTES("\n\n"), LINE("") LINE("") },
		{ BYTES("open end"), LINE("open end") },
		{ BYTES("q\"b\\c\td\x1b\n"), LINE("q\\\"b\\\\c\\td\\u001b") },
		{ BYTES("\xc3\xa4\n"), LINE("\xc3\xa4") },
		{ BYTES("x\xff\n"), LINE("x\xef\xbf\xbd") },
		{ BYTES("cut\xe2\x82"), LINE("cut\xef\xbf\xbd\xef\xbf\xbd") },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct filter_case *c = &cases[i];

		for (size_t piece = 1; piece <= c->length + 1; piece++) {
			char *text =
				run(FILTER_JSON, c->data, c->length, piece);

			ck_assert_str_eq(text, c->expected);
			ck_assert(*text == '\0' || json_text_is_valid(text));
			free(text);
		}
	}
}
END_TEST

UNIT_MAIN("cli_filter", test_terminal, test_terminal_never_gets_controls,
	  test_raw, test_json)
