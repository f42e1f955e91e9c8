#include "supervisor/cli/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/lib/unit.h"

static const struct text_column columns[] = {
	{ .title = "NAME", .min_width = 6 },
	{ .title = "STATE" },
	{ .title = "COUNT", .drop_rank = 1 },
	{ .title = "OTHER", .drop_rank = 2 },
	{ .title = "TEXT", .min_width = 5 },
	{ .title = "RARE", .only_when_used = true },
};

static void add_row(struct text_table *t, const char *name, const char *text,
		    const char *rare)
{
	text_table_add(t, name, TEXT_PLAIN);
	text_table_add(t, "RUNNING", TEXT_GREEN);
	text_table_add(t, "12", TEXT_PLAIN);
	text_table_add(t, "3", TEXT_PLAIN);
	text_table_add(t, text, TEXT_PLAIN);
	text_table_add(t, rare, TEXT_PLAIN);
}

/* One row, rendered; owned by the caller. */
static char *render(const char *name, const char *text, const char *rare,
		    struct text_style style)
{
	struct buf out = BUF_INIT(0);
	struct text_table t;

	text_table_init(&t, columns, ARRAY_SIZE(columns));
	add_row(&t, name, text, rare);
	ck_assert_int_eq(text_table_render(&t, &style, &out), 0);
	text_table_done(&t);
	return buf_take(&out);
}

START_TEST(test_columns)
{
	static const struct {
		const char *name, *text, *rare;
		struct text_style style;
		const char *expected;
	} cases[] = {
		{ "web",
		  "fine",
		  "",
		  { 0 },
		  "NAME  STATE    COUNT  OTHER  TEXT\n"
		  "web   RUNNING  12     3      fine\n" },
		/* a column that is used only now and then */
		{ "web",
		  "fine",
		  "x",
		  { 0 },
		  "NAME  STATE    COUNT  OTHER  TEXT  RARE\n"
		  "web   RUNNING  12     3      fine  x\n" },
		/* no terminal: nothing is ever cut */
		{ "a-name-that-is-long",
		  "a text that is long",
		  "",
		  { 0 },
		  "NAME                 STATE    COUNT  OTHER  TEXT\n"
		  "a-name-that-is-long  RUNNING  12     3      "
		  "a text that is long\n" },
		/* exactly as wide as it needs */
		{ "a-name-that-is-long",
		  "a text that is long",
		  "",
		  { .width = 63 },
		  "NAME                 STATE    COUNT  OTHER  TEXT\n"
		  "a-name-that-is-long  RUNNING  12     3      "
		  "a text that is long\n" },
		/* one less: the text gives way, not the name */
		{ "a-name-that-is-long",
		  "a text that is long",
		  "",
		  { .width = 62 },
		  "NAME                 STATE    COUNT  OTHER  TEXT\n"
		  "a-name-that-is-long  RUNNING  12     3      "
		  "a text that is ...\n" },
		/* then the name */
		{ "a-name-that-is-long",
		  "a text that is long",
		  "",
		  { .width = 40 },
		  "NAME        STATE    COUNT  OTHER  TEXT\n"
		  "a-name-...  RUNNING  12     3      a ...\n" },
		/* then columns go, in the order of their ranks */
		{ "a-name-that-is-long",
		  "a text that is long",
		  "",
		  { .width = 35 },
		  "NAME          STATE    OTHER  TEXT\n"
		  "a-name-th...  RUNNING  3      a ...\n" },
		{ "a-name-that-is-long",
		  "a text that is long",
		  "",
		  { .width = 22 },
		  "NAME    STATE    TEXT\n"
		  "a-n...  RUNNING  a ...\n" },
		/* too narrow for anything: as little as there can be */
		{ "a-name-that-is-long",
		  "a text that is long",
		  "",
		  { .width = 20 },
		  "NAME    STATE    TEXT\n"
		  "a-n...  RUNNING  a ...\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *text = render(cases[i].name, cases[i].text, cases[i].rare,
				    cases[i].style);

		ck_assert_str_eq(text, cases[i].expected);
		free(text);
	}
}
END_TEST

START_TEST(test_colour)
{
	char *text = render("web", "fine", "",
			    (struct text_style){ .colour = true });

	/* what is not shown does not count as width */
	ck_assert_str_eq(text, "NAME  STATE    COUNT  OTHER  TEXT\n"
			       "web   \033[32mRUNNING\033[0m  12     3      "
			       "fine\n");
	free(text);
}
END_TEST

START_TEST(test_cells_are_escaped)
{
	char *text = render("w\033[2Jb", "a\nb\tc\x7f", "",
			    (struct text_style){ 0 });

	ck_assert_ptr_null(strchr(text, '\033'));
	ck_assert_ptr_null(strchr(text, '\t'));
	ck_assert_ptr_null(strchr(text, '\x7f'));
	ck_assert_ptr_nonnull(strstr(text, "w\\x1b[2Jb"));
	ck_assert_ptr_nonnull(strstr(text, "a\\nb\\tc\\x7f"));
	free(text);
}
END_TEST

#define UMLAUTS "\xc3\xa4\xc3\xb6\xc3\xbc" /* three characters */

START_TEST(test_width_counts_characters)
{
	char *text = render(UMLAUTS, "fine", "", (struct text_style){ 0 });

	ck_assert_str_eq(text, "NAME  STATE    COUNT  OTHER  TEXT\n" UMLAUTS
			       "   RUNNING  12     3      fine\n");
	free(text);

	/* nine characters into six: cut between two of them */
	text = render(UMLAUTS UMLAUTS UMLAUTS, "fine", "",
		      (struct text_style){ .width = 21 });
	ck_assert_str_eq(text, "NAME    STATE    TEXT\n" UMLAUTS
			       "...  RUNNING  fine\n");
	free(text);
}
END_TEST

START_TEST(test_many_rows)
{
	struct buf out = BUF_INIT(0);
	const struct text_style style = { 0 };
	struct text_table t;
	size_t n_lines = 0;

	text_table_init(&t, columns, ARRAY_SIZE(columns));
	for (int i = 0; i < 1000; i++)
		add_row(&t, "w", "x", "");
	ck_assert_int_eq(text_table_render(&t, &style, &out), 0);
	for (size_t i = 0; i < out.len; i++)
		n_lines += out.data[i] == '\n';
	ck_assert_uint_eq(n_lines, 1001);
	text_table_done(&t);
	buf_done(&out);
}
END_TEST

START_TEST(test_numbers)
{
	static const struct text_column two[] = { { .title = "A" },
						  { .title = "B" } };
	struct buf out = BUF_INIT(0);
	const struct text_style style = { 0 };
	struct text_table t;

	text_table_init(&t, two, ARRAY_SIZE(two));
	text_table_add_u64(&t, 0);
	text_table_add_u64(&t, UINT64_MAX);
	text_table_add_u64(&t, 12345);
	text_table_add_u64(&t, 7);
	ck_assert_int_eq(text_table_render(&t, &style, &out), 0);
	ck_assert_str_eq(buf_text(&out), "A      B\n"
					 "0      18446744073709551615\n"
					 "12345  7\n");
	text_table_done(&t);
	buf_done(&out);
}
END_TEST

START_TEST(test_no_rows)
{
	static const struct text_column untitled[] = { { .title = "" },
						       { .title = "" } };
	struct buf out = BUF_INIT(0);
	const struct text_style style = { .width = 80 };
	struct text_table t;

	text_table_init(&t, columns, ARRAY_SIZE(columns));
	ck_assert_int_eq(text_table_render(&t, &style, &out), 0);
	ck_assert_str_eq(buf_text(&out), "NAME  STATE  COUNT  OTHER  TEXT\n");
	text_table_done(&t);
	buf_clear(&out);
	text_table_init(&t, untitled, ARRAY_SIZE(untitled));
	ck_assert_int_eq(text_table_render(&t, &style, &out), 0);
	ck_assert_str_eq(buf_text(&out), "");
	text_table_done(&t);
	buf_done(&out);
}
END_TEST

START_TEST(test_a_bounded_buffer_tells)
{
	struct buf out = BUF_INIT(10);
	const struct text_style style = { 0 };
	struct text_table t;

	text_table_init(&t, columns, ARRAY_SIZE(columns));
	add_row(&t, "w", "x", "");
	ck_assert_int_eq(text_table_render(&t, &style, &out), -EMSGSIZE);
	text_table_done(&t);
	buf_done(&out);
}
END_TEST

START_TEST(test_escape)
{
	static const struct {
		const char *from, *to;
	} cases[] = {
		{ "", "" },
		{ "plain ~!", "plain ~!" },
		{ "\x1b[31m", "\\x1b[31m" },
		{ "bell\a", "bell\\x07" },
		{ "\xff", "\\xff" },
		{ UMLAUTS, UMLAUTS },
	};
	struct buf out = BUF_INIT(0);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		buf_clear(&out);
		ck_assert_int_eq(text_escape(&out, cases[i].from), 0);
		ck_assert_str_eq(buf_text(&out), cases[i].to);
	}
	buf_done(&out);
}
END_TEST

/* str_escape() cuts when there is no room: here there always is. */
START_TEST(test_escape_never_cuts)
{
	struct buf out = BUF_INIT(0);
	char from[5001];

	memset(from, '\x01', sizeof(from) - 1);
	from[sizeof(from) - 1] = '\0';
	ck_assert_int_eq(text_escape(&out, from), 0);
	ck_assert_uint_eq(out.len, 4 * (sizeof(from) - 1));
	ck_assert_ptr_null(strstr(buf_text(&out), "..."));
	buf_done(&out);
}
END_TEST

START_TEST(test_append_u64)
{
	static const struct {
		uint64_t value;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 9, "9" },
		{ 10, "10" },
		{ 1234567890, "1234567890" },
		{ UINT64_MAX, "18446744073709551615" },
	};
	struct buf out = BUF_INIT(0);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		buf_clear(&out);
		text_append_u64(&out, cases[i].value);
		ck_assert_str_eq(buf_text(&out), cases[i].text);
	}
	buf_done(&out);
}
END_TEST

START_TEST(test_utf8_length)
{
	static const struct {
		const char *bytes;
		size_t n;
		int length;
	} cases[] = {
		{ "a", 1, 1 },
		{ "\0", 1, 1 },
		{ "\x7f", 1, 1 },
		{ "\x80", 1, 0 },
		{ "\xc1\x80", 2, 0 }, /* overlong */
		{ "\xc2\x80", 2, 2 },
		{ "\xc2", 1, -1 },
		{ "\xc2x", 2, 0 },
		{ "\xe0\x9f\xbf", 3, 0 }, /* overlong */
		{ "\xe0\xa0\x80", 3, 3 },
		{ "\xe2\x82", 2, -1 },
		{ "\xe2\x82x", 3, 0 },
		{ "\xed\x9f\xbf", 3, 3 },
		{ "\xed\xa0\x80", 3, 0 },     /* a surrogate */
		{ "\xf0\x8f\xbf\xbf", 4, 0 }, /* overlong */
		{ "\xf0\x9f\x98\x80", 4, 4 },
		{ "\xf0\x9f\x98", 3, -1 },
		{ "\xf4\x8f\xbf\xbf", 4, 4 },
		{ "\xf4\x90\x80\x80", 4, 0 }, /* over U+10FFFF */
		{ "\xf5\x80\x80\x80", 4, 0 },
		{ "\xff", 1, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		ck_assert_msg(text_utf8_length(cases[i].bytes, cases[i].n) ==
				      cases[i].length,
			      "row %zu", i);
}
END_TEST

/* ---- terminals ---------------------------------------------------------- */

/* Returns the terminal's end for programs; the other end in *ret_master. */
static int open_terminal(unsigned short columns_wide, int *ret_master)
{
	struct winsize size = { .ws_col = columns_wide, .ws_row = 24 };
	char name[64];
	int fd;

	*ret_master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	ck_assert_int_ge(*ret_master, 0);
	ck_assert_int_eq(grantpt(*ret_master), 0);
	ck_assert_int_eq(unlockpt(*ret_master), 0);
	ck_assert_int_eq(ptsname_r(*ret_master, name, sizeof(name)), 0);
	fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ioctl(fd, TIOCSWINSZ, &size), 0);
	return fd;
}

START_TEST(test_style_of_a_terminal)
{
	static const struct {
		unsigned short columns_wide;
		const char *no_color, *term;
		size_t width;
		bool colour;
	} cases[] = {
		{ 100, NULL, "xterm", 100, true },
		{ 100, "1", "xterm", 100, false },
		{ 100, "", "xterm", 100, true }, /* empty: not set */
		{ 100, NULL, "dumb", 100, false },
		{ 100, NULL, NULL, 100, true },
		{ 0, NULL, "xterm", 80, true }, /* it does not know */
		{ 5, NULL, "xterm", TEXT_WIDTH_MIN, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int master, fd = open_terminal(cases[i].columns_wide, &master);
		struct text_style style;

		unsetenv("NO_COLOR");
		unsetenv("TERM");
		if (cases[i].no_color)
			setenv("NO_COLOR", cases[i].no_color, 1);
		if (cases[i].term)
			setenv("TERM", cases[i].term, 1);
		style = text_style_of(fd);
		ck_assert_uint_eq(style.width, cases[i].width);
		ck_assert_msg(style.colour == cases[i].colour, "row %zu", i);
		close(fd);
		close(master);
	}
}
END_TEST

START_TEST(test_style_of_a_pipe)
{
	int fds[2];
	struct text_style style;

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	style = text_style_of(fds[1]);
	ck_assert_uint_eq(style.width, 0);
	ck_assert(!style.colour);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

UNIT_MAIN("cli_text", test_columns, test_colour, test_cells_are_escaped,
	  test_width_counts_characters, test_many_rows, test_numbers,
	  test_no_rows, test_a_bounded_buffer_tells, test_escape,
	  test_escape_never_cuts, test_append_u64, test_utf8_length,
	  test_style_of_a_terminal, test_style_of_a_pipe)
