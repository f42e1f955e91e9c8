/* For tests of the Manager's encoding: bytes written as hexadecimal digits. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"
#include "workers/manager/codec.h"

#define CBOR_MAX 4096

/* Bytes in memory of exactly their size: reading one more is seen by ASan. */
struct cbor {
	unsigned char *data;
	size_t size;
};

static inline void cbor_done(struct cbor *c)
{
	free(c->data);
}

static inline struct cbor cbor_alone(const void *data, size_t size)
{
	struct cbor c = { malloc(size > 0 ? size : 1), size };

	ck_assert_ptr_nonnull(c.data);
	if (size > 0)
		memcpy(c.data, data, size);
	return c;
}

/* "83 01 02 03" */
static inline struct cbor cbor_from(const char *hex)
{
	unsigned char bytes[CBOR_MAX];
	size_t n = 0;

	for (const char *p = hex; *p != '\0'; p++) {
		if (*p == ' ')
			continue;
		char digits[3] = { p[0], p[1], '\0' };
		ck_assert(n < sizeof(bytes));
		bytes[n++] = (unsigned char)strtoul(digits, NULL, 16);
		p++;
	}
	return cbor_alone(bytes, n);
}

static inline struct reader cbor_reader(const struct cbor *c)
{
	return (struct reader){ c->data, c->size, 0 };
}

/* b's bytes are those, and b is done with. */
static inline void cbor_check(struct buf *b, const char *hex)
{
	_cleanup_(cbor_done) struct cbor wanted = cbor_from(hex);

	ck_assert_int_eq(b->error, 0);
	ck_assert_msg(b->len == wanted.size &&
			      memcmp(b->data, wanted.data, b->len) == 0,
		      "not %s", hex);
	buf_clear(b);
}

/* What taking a whole value gives. */
static inline int cbor_skip(const char *hex)
{
	_cleanup_(cbor_done) struct cbor c = cbor_from(hex);
	struct reader r = cbor_reader(&c);

	int error = codec_skip(&r, NULL, NULL);
	ck_assert(error == 0 || r.position == 0);
	return error;
}
