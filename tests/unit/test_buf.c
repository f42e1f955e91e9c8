#include "workers/base/pure/buf.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"

START_TEST(test_empty)
{
	struct buf b = BUF_INIT(0);

	ck_assert_str_eq(buf_text(&b), "");
	ck_assert_int_eq(buf_append(&b, NULL, 0), 0);
	ck_assert_str_eq(buf_text(&b), "");
	ck_assert_uint_eq(b.len, 0);
	buf_done(&b);
	buf_done(&b);
	ck_assert_str_eq(buf_text(&b), "");
}
END_TEST

START_TEST(test_every_kind_of_append)
{
	struct buf b = BUF_INIT(100);

	ck_assert_int_eq(buf_puts(&b, "one"), 0);
	ck_assert_int_eq(buf_putc(&b, ' '), 0);
	ck_assert_int_eq(buf_printf(&b, "%s=%d", "two", 2), 0);
	ck_assert_int_eq(buf_append(&b, "\0x", 2), 0);
	ck_assert_uint_eq(b.len, strlen("one two=2") + 2);
	ck_assert_mem_eq(b.data, "one two=2\0x", b.len + 1);
	buf_done(&b);
}
END_TEST

START_TEST(test_grows)
{
	struct buf b = BUF_INIT(0);

	for (int i = 0; i < 100000; i++)
		if (buf_putc(&b, (char)('a' + i % 26)) < 0 ||
		    b.data[b.len] != '\0')
			ck_abort();
	for (int i = 0; i < 100000; i++)
		if (b.data[i] != 'a' + i % 26)
			ck_abort();
	ck_assert_uint_eq(b.len, 100000);
	buf_done(&b);
}
END_TEST

/* A printed text that ends just at, before and behind the allocated end. */
START_TEST(test_printf_at_the_allocated_end)
{
	for (int before = 0; before < 70; before++) {
		for (int len = 0; len < 70; len++) {
			struct buf b = BUF_INIT(0);

			for (int i = 0; i < before; i++)
				buf_putc(&b, '-');
			ck_assert_int_eq(buf_printf(&b, "%0*d", len, 0), 0);
			ck_assert_uint_eq(b.len, strlen(buf_text(&b)));
			ck_assert_uint_eq(b.len,
					  (size_t)(before + MAX(len, 1)));
			buf_done(&b);
		}
	}
}
END_TEST

START_TEST(test_limit)
{
	struct buf b = BUF_INIT(5);

	ck_assert_int_eq(buf_puts(&b, "12345"), 0); /* at the limit */
	ck_assert_int_eq(buf_puts(&b, ""), 0);
	ck_assert_int_eq(buf_putc(&b, '6'), -EMSGSIZE); /* one beyond */
	ck_assert_str_eq(buf_text(&b), "12345");
	ck_assert_uint_eq(b.len, 5);
	buf_done(&b);
}
END_TEST

START_TEST(test_first_error_sticks)
{
	struct buf b = BUF_INIT(5);

	ck_assert_int_eq(buf_puts(&b, "123"), 0);
	ck_assert_int_eq(buf_printf(&b, "%d", 456), -EMSGSIZE);
	ck_assert_int_eq(b.error, -EMSGSIZE);
	/* This would fit, but a gap is worse than an end. */
	ck_assert_int_eq(buf_putc(&b, '4'), -EMSGSIZE);
	ck_assert_int_eq(buf_printf(&b, "4"), -EMSGSIZE);
	ck_assert_str_eq(buf_text(&b), "123");

	buf_clear(&b);
	ck_assert_int_eq(b.error, 0);
	ck_assert_str_eq(buf_text(&b), "");
	ck_assert_int_eq(buf_puts(&b, "12345"), 0);
	buf_done(&b);
}
END_TEST

START_TEST(test_lengths_that_overflow)
{
	struct buf b = BUF_INIT(0), limited = BUF_INIT(SIZE_MAX);

	buf_putc(&b, 'x');
	ck_assert_int_eq(buf_append(&b, "", SIZE_MAX), -ENOMEM);
	ck_assert_str_eq(buf_text(&b), "x");
	buf_putc(&limited, 'x');
	ck_assert_int_eq(buf_append(&limited, "", SIZE_MAX - 1), -ENOMEM);
	ck_assert_int_eq(limited.error, -ENOMEM);
	buf_done(&b);
	buf_done(&limited);
}
END_TEST

START_TEST(test_take)
{
	struct buf b = BUF_INIT(5);

	buf_puts(&b, "abc");
	char *text = buf_take(&b);
	ck_assert_str_eq(text, "abc");
	free(text);

	/* It is empty, and has its limit still. */
	ck_assert_str_eq(buf_text(&b), "");
	ck_assert_int_eq(buf_puts(&b, "123456"), -EMSGSIZE);
	buf_clear(&b);

	text = buf_take(&b); /* nothing is a string too */
	ck_assert_str_eq(text, "");
	free(text);
	buf_done(&b);
}
END_TEST

START_TEST(test_take_after_an_error)
{
	struct buf b = BUF_INIT(5);

	buf_puts(&b, "abc");
	buf_puts(&b, "def");
	ck_assert_ptr_null(buf_take(&b));
	ck_assert_int_eq(b.error, -EMSGSIZE);
	ck_assert_str_eq(buf_text(&b), "");
	buf_clear(&b);
	ck_assert_int_eq(buf_puts(&b, "x"), 0);
	buf_done(&b);
}
END_TEST

START_TEST(test_clear_keeps_the_memory)
{
	struct buf b = BUF_INIT(0);

	buf_puts(&b, "some text");
	const char *data = b.data;
	buf_clear(&b);
	buf_puts(&b, "other");
	ck_assert_ptr_eq(b.data, data);
	ck_assert_str_eq(buf_text(&b), "other");
	buf_done(&b);
}
END_TEST

START_TEST(test_truncate)
{
	struct buf b = BUF_INIT(5);

	buf_truncate(&b, 0); /* of one that never grew */
	buf_puts(&b, "abcde");
	buf_truncate(&b, 5);
	ck_assert_str_eq(buf_text(&b), "abcde");
	buf_truncate(&b, 2);
	ck_assert_str_eq(buf_text(&b), "ab");
	buf_puts(&b, "xyz");
	ck_assert_str_eq(buf_text(&b), "abxyz");
	/* the error is not taken back */
	buf_putc(&b, '!');
	buf_truncate(&b, 1);
	ck_assert_int_eq(buf_putc(&b, '!'), -EMSGSIZE);
	ck_assert_str_eq(buf_text(&b), "a");
	buf_done(&b);
}
END_TEST

UNIT_MAIN("buf", test_empty, test_every_kind_of_append, test_grows,
	  test_printf_at_the_allocated_end, test_limit, test_first_error_sticks,
	  test_lengths_that_overflow, test_take, test_take_after_an_error,
	  test_clear_keeps_the_memory, test_truncate)
