#include "workers/manager/frame.h"

#include <errno.h>
#include <string.h>

#include "tests/lib/unit.h"
#include "workers/manager/protocol.h"

static void put_frame(struct buf *b, const char *text, size_t max_bytes)
{
	ssize_t begin = frame_begin(b);

	ck_assert_int_ge(begin, 0);
	ck_assert_int_eq(buf_puts(b, text), 0);
	ck_assert_int_eq(frame_end(b, (size_t)begin, max_bytes), 0);
}

START_TEST(test_little_endian)
{
	struct buf b = BUF_INIT(0);

	buf_puts(&b, "before");
	put_frame(&b, "abc", 3); /* at the limit */
	ck_assert_uint_eq(b.len, 6 + 4 + 3);
	ck_assert_mem_eq(b.data, "before\3\0\0\0abc", b.len);
	buf_done(&b);
}
END_TEST

START_TEST(test_too_long_is_taken_back)
{
	struct buf b = BUF_INIT(0);

	buf_puts(&b, "before");
	ssize_t begin = frame_begin(&b);
	buf_puts(&b, "abcd");
	ck_assert_int_eq(frame_end(&b, (size_t)begin, 3), -EMSGSIZE);
	ck_assert_str_eq(buf_text(&b), "before");
	put_frame(&b, "abc", 3);
	buf_done(&b);
}
END_TEST

/* A failed append is told at the end of the frame; then b goes on. */
START_TEST(test_full_buffer)
{
	struct buf b = BUF_INIT(10);

	ssize_t begin = frame_begin(&b);
	buf_puts(&b, "abcdefg");
	ck_assert_int_eq(frame_end(&b, (size_t)begin, 100), -EMSGSIZE);
	ck_assert_uint_eq(b.len, 0);
	put_frame(&b, "abcdef", 100);
	ck_assert_int_eq(frame_begin(&b), -EMSGSIZE);
	buf_done(&b);
}
END_TEST

START_TEST(test_next)
{
	struct buf b = BUF_INIT(0);
	const unsigned char *message, *data;
	size_t size = 0, used = 0;

	put_frame(&b, "one", 100);
	put_frame(&b, "", 100);
	put_frame(&b, "three", 100);
	data = (const unsigned char *)b.data;
	ck_assert_int_eq(frame_next(data, b.len, 5, &message, &size, &used), 1);
	ck_assert_uint_eq(size, 3);
	ck_assert_uint_eq(used, 7);
	ck_assert_mem_eq(message, "one", 3);
	data += used;
	ck_assert_int_eq(frame_next(data, 100, 5, &message, &size, &used), 1);
	ck_assert_uint_eq(size, 0);
	ck_assert_uint_eq(used, 4);
	data += used;
	ck_assert_int_eq(frame_next(data, 9, 5, &message, &size, &used), 1);
	ck_assert_mem_eq(message, "three", 5);
	ck_assert_uint_eq(used, 9);
	/* at the limit it passed; one below it does not, nor any prefix */
	ck_assert_int_eq(frame_next(data, 4, 4, &message, &size, &used),
			 -EMSGSIZE);
	for (size_t n = 0; n < 9; n++)
		ck_assert_int_eq(frame_next(data, n, 5, &message, &size, &used),
				 0);
	buf_done(&b);
}
END_TEST

/* The largest length says no more than any other. */
START_TEST(test_length_bomb)
{
	const unsigned char *message;
	const unsigned char bomb[] = { 0xff, 0xff, 0xff, 0xff };
	const unsigned char large[] = { 0x00, 0x10, 0x00, 0x01 };
	size_t size, used;

	ck_assert_int_eq(frame_next(bomb, 4, FRAME_MAX, &message, &size, &used),
			 -EMSGSIZE);
	ck_assert_int_eq(frame_next(bomb, 3, FRAME_MAX, &message, &size, &used),
			 0);
	ck_assert_uint_eq(FRAME_MAX, 0x01001000);
	ck_assert_int_eq(
		frame_next(large, 4, FRAME_MAX, &message, &size, &used), 0);
	ck_assert_int_eq(frame_next(large, 4, FRAME_MAX - 1, &message, &size,
				    &used),
			 -EMSGSIZE);
}
END_TEST

UNIT_MAIN("frame", test_little_endian, test_too_long_is_taken_back,
	  test_full_buffer, test_next, test_length_bomb)
