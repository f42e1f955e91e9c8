#include "conf/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "tests/lib/unit.h"
#include "workers/base/pure/buf.h"

/* What the reader told, one line each: "3 [name]", "4 key=value", "5 ! text"
 * (error), "6 ? text" (warning); newlines in values as "|". */
struct told {
	struct buf out;
	bool values_only;
};

static void on_section(void *userdata, const char *name, int line)
{
	struct told *t = userdata;

	(void)buf_printf(&t->out, "%d [%s]\n", line, name ? name : "<none>");
}

static void on_value(void *userdata, const char *key, const char *value,
		     int line)
{
	struct told *t = userdata;

	(void)buf_printf(&t->out, "%d %s=", line, key);
	for (; *value; value++)
		(void)buf_putc(&t->out, *value == '\n' ? '|' : *value);
	(void)buf_putc(&t->out, '\n');
}

static void on_problem(void *userdata, bool is_error, int line,
		       const char *text)
{
	struct told *t = userdata;

	if (!t->values_only)
		(void)buf_printf(&t->out, "%d %c %s\n", line,
				 is_error ? '!' : '?', text);
}

static bool is_key(void *userdata _unused_, const char *word)
{
	return strcmp(word, "user") == 0;
}

static char *read_bytes(const char *text, size_t len)
{
	struct told told = { .out = BUF_INIT(0) };
	const struct reader_events events = {
		.on_section = on_section,
		.on_value = on_value,
		.on_problem = on_problem,
		.is_key = is_key,
		.userdata = &told,
	};
	/* exactly these bytes: one more would hide an overrun */
	char *copy = malloc(len ? len : 1);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, len);
	ck_assert_int_eq(reader_read(copy, len, &events), 0);
	free(copy);
	return buf_take(&told.out);
}

static void assert_told(const char *text, const char *told)
{
	char *got = read_bytes(text, strlen(text));

	ck_assert_str_eq(got, told);
	free(got);
}

static void assert_tells(const char *text, size_t len, const char *part)
{
	char *got = read_bytes(text, len);

	ck_assert_msg(strstr(got, part), "\"%s\" not in \"%s\"", part, got);
	free(got);
}

static void assert_tells_of(const char *text, const char *part)
{
	assert_tells(text, strlen(text), part);
}

START_TEST(test_plain)
{
	assert_told("", "");
	assert_told("\n\n", "");
	assert_told("[a]", "1 [a]\n");
	assert_told("[a]\nk=v", "1 [a]\n2 k=v\n");
	assert_told("[a]\nk = v \nl:w\n", "1 [a]\n2 k=v\n3 l=w\n");
	assert_told("[a]\nk==v=w\n", "1 [a]\n2 k==v=w\n");
	assert_told("[a]\n\n[b]\nk=\n", "1 [a]\n3 [b]\n4 k=\n");
	assert_told("[ a b ]\n", "1 [a b]\n");
	assert_told("k=v\n", "1 k=v\n");
}
END_TEST

START_TEST(test_comments)
{
	static const struct {
		const char *line, *value;
	} rows[] = {
		{ "k=v ; c", "v" },
		{ "k=v\t; c", "v" },
		{ "k=v; c", "v; c" },
		{ "k= ; c", "" },
		{ "k=;v", ";v" },
		{ "k='a ; b' ; c", "'a ; b'" },
		{ "k=\"a ; b\" ; c", "\"a ; b\"" },
		{ "k=\"a \\\" ; b\" ; c", "\"a \\\" ; b\"" },
		{ "k='a\\' ; b' ; c", "'a\\'" }, /* no escapes in '' */
		{ "k=\"it's\" ; c", "\"it's\"" },
		{ "k=don't ; c", "don't" }, /* closes nowhere */
		{ "k=\\'a ; b'", "\\'a" },
		{ "k=a \\; b ; c", "a \\; b" },
		{ "k=a ; b ' c", "a" },
		{ "k=a ; b ; c", "a" },
		{ "k=find . -exec rm {} \\;", "find . -exec rm {} \\;" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char want[128];

		snprintf(want, sizeof(want), "1 k=%s\n", rows[i].value);
		assert_told(rows[i].line, want);
	}
	assert_told("; a\n# b\n  ; c\n\t# d\n[x] ; e\n", "5 [x]\n");
}
END_TEST

START_TEST(test_hash_is_no_inline_comment)
{
	assert_told("k=a#b\n", "1 k=a#b\n");
	assert_tells_of("k=a # b\n", "1 ? \" #\" inside a line");
	assert_tells_of("k=a # b\n", "1 k=a # b\n");
}
END_TEST

START_TEST(test_continuations)
{
	assert_told("k=a\n  b\n\tc\nl=d\n", "1 k=a|b|c\n4 l=d\n");
	/* blank lines and comments may stand between */
	assert_told("k=a\n\n  b ; x\n; y\n  # z\n  c\n", "1 k=a|b|c\n");
	/* deeper than its key, not merely indented */
	assert_told("  k=a\n  l=b\n   c\n", "1 k=a\n2 l=b|c\n");
	assert_told("[x]\n  k=a\n", "1 [x]\n2 k=a\n");
	assert_told("k=\n  a\n  b\n", "1 k=a|b\n");
	/* a header is a header only where a key could be */
	assert_told("k=a\n  [b]\n[c]\n", "1 k=a|[b]\n3 [c]\n");
	/* a quote may go over lines; a comment ends with its line */
	assert_told("k='a ; b\n  c ; d' ; e\n", "1 k='a ; b|c ; d'\n");
	assert_told("k=a ; b\n  c ; d\n", "1 k=a|c\n");
	assert_told("k=a, ; don't\n  b ; it's\n", "1 k=a,|b\n");
}
END_TEST

START_TEST(test_indented_key)
{
	assert_tells_of("k=a\n  user = b\n", "2 ? this line is indented");
	assert_tells_of("k=a\n  user = b\n", "1 k=a|user = b\n");
	assert_told("k=a\n  USER2=b\n", "1 k=a|USER2=b\n");
}
END_TEST

START_TEST(test_no_key)
{
	assert_tells_of("[a]\nfoo\nk=v\n", "2 ! expected \"key = value\"");
	assert_tells_of("[a]\nfoo\nk=v\n", "found \"foo\"\n3 k=v\n");
	assert_tells_of("=v\n", "1 ! expected");
	assert_tells_of("foo\n  a=b\nk=v\n", "1 ! expected");
	assert_tells_of("foo\n  a=b\nk=v\n", "3 k=v\n");
}
END_TEST

/* After a header that is none, no section is known: what follows must not land
 * in the one before. */
START_TEST(test_bad_header)
{
	static const char *const rows[] = { "[b",   "[b]c", "[]]",
					    "[[b]", "[b\\", "[b] c ; d" };
	char text[128];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		snprintf(text, sizeof(text), "[a]\n%s\nk=v\n", rows[i]);
		assert_tells_of(text, "2 ! expected \"[section]\"");
		assert_tells_of(text, "2 [<none>]\n3 k=v\n");
	}
	assert_told("[]\n", "1 []\n");
}
END_TEST

START_TEST(test_line_ends)
{
	assert_told("[a]\r\nk=v\r\n  w\r\n",
		    "1 ? lines end with CR LF; the CRs are dropped (dos2unix "
		    "removes them)\n1 [a]\n2 k=v|w\n");
	assert_tells_of("k=a\rb\n", "1 ! control character \\x0d");
}
END_TEST

START_TEST(test_encodings)
{
	static const char bom[] = "\xef\xbb\xbf[a]\nk=v\n";
	static const char utf16[] = "\xff\xfe[\0a\0]\0";
	static const char latin1[] = "[a]\nk=gr\xfc\xdf\nl=w\n[\xe4]\nm=x\n";

	assert_tells(bom, sizeof(bom) - 1, "1 ? the file begins with a byte");
	assert_tells(bom, sizeof(bom) - 1, "1 [a]\n2 k=v\n");
	assert_tells(utf16, sizeof(utf16) - 1, "1 ! the file is UTF-16");
	assert_tells(latin1, sizeof(latin1) - 1, "2 ! the line is not UTF-8");
	assert_tells(latin1, sizeof(latin1) - 1, "3 l=w\n");
	assert_tells(latin1, sizeof(latin1) - 1, "4 [<none>]\n");
	/* of no interest in a comment */
	assert_told("; gr\xfc\xdf\nk=v\n", "2 k=v\n");
	assert_told("k=\xc3\xa4\n", "1 k=\xc3\xa4\n");
}
END_TEST

START_TEST(test_no_text)
{
	static const char nul[] = "[a]\nk=v\nl=a\0b\n";
	static const char garbage[] = "\x7f"
				      "ELF\x02\x01\x01\0\0\0\n\x80\xff";

	assert_told("[a]\nk=\x01\n",
		    "2 ! control character \\x01: this is not a plain text "
		    "file\n");
	assert_told("k=\x1f\n", "1 ! control character \\x1f: this is not a "
				"plain text file\n");
	assert_tells(nul, sizeof(nul) - 1, "3 ! a NUL byte");
	assert_tells(garbage, sizeof(garbage) - 1, "1 ! control character");
}
END_TEST

/* "k=" and n letters, with what is around them. */
static char *make_line(const char *before, size_t n, const char *after,
		       size_t *ret_len)
{
	struct buf b = BUF_INIT(0);

	(void)buf_puts(&b, before);
	for (size_t i = 0; i < n; i++)
		(void)buf_putc(&b, 'x');
	(void)buf_puts(&b, after);
	*ret_len = b.len;
	return buf_take(&b);
}

/* A line of exactly the limit comes through whole; one more is refused, and
 * never cut. inih's own limits (200, 49) are of no consequence. */
START_TEST(test_longest_line)
{
	static const size_t lengths[] = { 197,
					  198,
					  199,
					  200,
					  201,
					  4096,
					  CONF_LINE_MAX - 3,
					  CONF_LINE_MAX - 2 };
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		char *text = make_line("k=", lengths[i], "\nl=w\n", &len);
		char *got = read_bytes(text, len);

		ck_assert_uint_eq(strlen(got), lengths[i] + 11);
		ck_assert(memcmp(got, "1 k=xxx", 7) == 0);
		ck_assert_str_eq(got + lengths[i] + 4, "\n2 l=w\n");
		free(got);
		free(text);
	}
	char *text = make_line("k=", CONF_LINE_MAX - 1, "\nl=w\n", &len);
	assert_told(text, "1 ! the line is longer than 65536 bytes\n2 l=w\n");
	free(text);
}
END_TEST

START_TEST(test_long_lines)
{
	size_t len;
	char *text = make_line("[a]\nk=", 1 << 20, "=evil\nl=w\n", &len);

	assert_told(text, "1 [a]\n2 ! the line is longer than 65536 bytes\n"
			  "3 l=w\n");
	free(text);
	text = make_line("; ", 1 << 20, " =evil\nl=w\n", &len);
	assert_told(text, "1 ! the line is longer than 65536 bytes\n2 l=w\n");
	free(text);
	text = make_line("[", 1 << 17, "]\nl=w\n", &len);
	assert_told(text, "1 ! the line is longer than 65536 bytes\n"
			  "1 [<none>]\n2 l=w\n");
	free(text);
	/* each piece is short enough, all together are not */
	text = make_line("k=a\n  ", CONF_LINE_MAX - 2, "\nl=w\n", &len);
	assert_told(text, "1 ! the line is longer than 65536 bytes with its "
			  "continuations\n3 l=w\n");
	free(text);
	text = make_line("k=a\n  ", CONF_LINE_MAX - 4, "\nl=w\n", &len);
	char *got = read_bytes(text, len);
	ck_assert_uint_eq(strlen(got), CONF_LINE_MAX - 4 + 13);
	free(got);
	free(text);
}
END_TEST

START_TEST(test_long_names)
{
	size_t len;
	char *text = make_line("[", 1000, "]\n", &len);
	char *got = read_bytes(text, len);

	ck_assert_uint_eq(strlen(got), 1000 + 5);
	free(got);
	free(text);
	text = make_line("", 1000, "=v\n  w\n", &len);
	got = read_bytes(text, len);
	ck_assert_uint_eq(strlen(got), 2 + 1000 + 5);
	free(got);
	free(text);
}
END_TEST

START_TEST(test_too_many_lines)
{
	size_t n = CONF_LINES_MAX;
	char *text = malloc(n + 8);

	ck_assert_ptr_nonnull(text);
	memset(text, '\n', n);
	memcpy(text + n - 1, "k=v", 4);
	assert_told(text, "1048575 k=v\n");
	memcpy(text + n - 1, "\nk=v", 5);
	assert_told(text, "1048575 ! the file has too many lines\n");
	free(text);
}
END_TEST

UNIT_MAIN("conf_reader", test_plain, test_comments,
	  test_hash_is_no_inline_comment, test_continuations, test_indented_key,
	  test_no_key, test_bad_header, test_line_ends, test_encodings,
	  test_no_text, test_longest_line, test_long_lines, test_long_names,
	  test_too_many_lines)
