/* libcbor's streaming decoder takes one head (of a string: with its bytes) and
 * calls back with what it was. It allocates nothing and reads no further; but it
 * takes longer forms than needed, and much that a Manager does not have. So a
 * callback notes the item and the head's argument, and afterwards the number of
 * bytes that were read must be the fewest possible.
 *
 * Always true: a string's or list's promised length is no larger than the bytes
 * that are there, so nobody who sees an item can be made to reserve more.
 */
#include "workers/manager/item.h"

#include <cbor.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/utf8.h"

/* The one NaN: item_half()'s. */
static const unsigned char nan_bytes[] = { 0xf9, 0x7e, 0x00 };

struct taking {
	struct item *item;
	size_t size; /* bytes that the shortest form has */
	int error;
};

static size_t head_size(uint64_t argument)
{
	if (argument < 24)
		return 1;
	if (argument <= UINT8_MAX)
		return 2;
	if (argument <= UINT16_MAX)
		return 3;
	return argument <= UINT32_MAX ? 5 : 9;
}

/* ---- callbacks: what it was ------------------------------------------------- */

static void on_uint64(void *context, uint64_t value)
{
	struct taking *t = context;

	t->item->kind = REEVE_ANY_INT;
	t->item->integer = (int64_t)value;
	t->size = head_size(value);
	t->error = value > INT64_MAX ? -ERANGE : 0;
}

static void on_uint32(void *context, uint32_t value)
{
	on_uint64(context, value);
}

static void on_uint16(void *context, uint16_t value)
{
	on_uint64(context, value);
}

static void on_uint8(void *context, uint8_t value)
{
	on_uint64(context, value);
}

/* The number is -1 - value. */
static void on_negint64(void *context, uint64_t value)
{
	struct taking *t = context;

	on_uint64(context, value);
	t->item->integer = -1 - t->item->integer;
}

static void on_negint32(void *context, uint32_t value)
{
	on_negint64(context, value);
}

static void on_negint16(void *context, uint16_t value)
{
	on_negint64(context, value);
}

static void on_negint8(void *context, uint8_t value)
{
	on_negint64(context, value);
}

static void on_bytes(void *context, cbor_data data, size_t size)
{
	struct taking *t = context;

	t->item->kind = REEVE_ANY_BYTES;
	t->item->data = data;
	t->item->n = size;
	t->size = head_size(size) + size;
	t->error = 0;
}

static void on_string(void *context, cbor_data data, size_t size)
{
	struct taking *t = context;

	on_bytes(context, data, size);
	t->item->kind = REEVE_ANY_STRING;
	if (!utf8_is_valid((const char *)data, size))
		t->error = -EBADMSG;
}

static void on_list(void *context, size_t n)
{
	struct taking *t = context;

	t->item->kind = REEVE_ANY_LIST;
	t->item->n = n;
	t->size = head_size(n);
	t->error = 0;
}

static void on_dict(void *context, size_t n)
{
	struct taking *t = context;

	on_list(context, n);
	t->item->kind = REEVE_ANY_DICT;
}

static void on_double(void *context, double value)
{
	struct taking *t = context;

	t->item->kind = REEVE_ANY_DOUBLE;
	t->item->number = value;
	t->size = 1 + item_float_size(value);
	t->error = 0;
}

static void on_float(void *context, float value)
{
	on_double(context, (double)value);
}

static void on_boolean(void *context, bool value)
{
	struct taking *t = context;

	t->item->kind = REEVE_ANY_BOOL;
	t->item->boolean = value;
	t->size = 1;
	t->error = 0;
}

static void on_null(void *context)
{
	struct taking *t = context;

	t->item->kind = REEVE_ANY_NIL;
	t->size = 1;
	t->error = 0;
}

/* Indefinite lengths, breaks, undefined; tags: error stays as it was set. */
static void on_other(void *context)
{
	(void)context;
}

static void on_tag(void *context, uint64_t tag)
{
	(void)context;
	(void)tag;
}

static const struct cbor_callbacks callbacks = {
	.uint8 = on_uint8,
	.uint16 = on_uint16,
	.uint32 = on_uint32,
	.uint64 = on_uint64,
	.negint8 = on_negint8,
	.negint16 = on_negint16,
	.negint32 = on_negint32,
	.negint64 = on_negint64,
	.byte_string_start = on_other,
	.byte_string = on_bytes,
	.string_start = on_other,
	.string = on_string,
	.indef_array_start = on_other,
	.array_start = on_list,
	.indef_map_start = on_other,
	.map_start = on_dict,
	.tag = on_tag,
	.float2 = on_float,
	.float4 = on_float,
	.float8 = on_double,
	.undefined = on_other,
	.null = on_null,
	.boolean = on_boolean,
	.indef_break = on_other,
};

/* ---- taking ----------------------------------------------------------------- */

/* IEEE 754: a single is a sign, 8 bits of exponent (bias 127), 23 of mantissa; a
 * half 5 (bias 15) and 10. Below 2^-14 a half is a multiple of its least, 2^-24. */
static bool fits_half(float f)
{
	uint32_t bits;
	float size = fabsf(f);

	if (isinf(f))
		return true;
	if (size > 65504)
		return false;
	if (size < 0x1p-14F) {
		float multiple = size * 0x1p24F;
		return multiple == (float)(int)multiple;
	}
	memcpy(&bits, &f, sizeof(bits));
	return (bits & 0x1fff) == 0;
}

size_t item_float_size(double number)
{
	if (isnan(number))
		return 2;
	if (isfinite(number) && fabs(number) > (double)FLT_MAX)
		return 8;
	float f = (float)number;
	if ((double)f != number)
		return 8;
	return fits_half(f) ? 2 : 4;
}

uint16_t item_half(double number)
{
	float f = (float)number;
	float size = fabsf(f);
	uint32_t bits;

	if (isnan(number))
		return 0x7e00;
	memcpy(&bits, &f, sizeof(bits));
	uint32_t half = bits >> 16 & 0x8000;
	if (isinf(f))
		half |= 0x7c00;
	else if (size < 0x1p-14F)
		half |= (uint32_t)(size * 0x1p24F);
	else
		half |= (bits >> 13 & 0x3ffff) - ((127 - 15) << 10);
	return (uint16_t)half;
}

/* What is wrong with an item whose size bytes begin at data, left bytes before
 * the end? */
static int check_form(const struct taking *t, const unsigned char *data,
		      size_t size, size_t left)
{
	const struct item *item = t->item;

	if (size != t->size)
		return -EBADMSG;
	if (item->kind == REEVE_ANY_DOUBLE && isnan(item->number) &&
	    memcmp(data, nan_bytes, sizeof(nan_bytes)) != 0)
		return -EBADMSG;
	if (item->kind == REEVE_ANY_LIST && item->n > left - size)
		return -EBADMSG;
	if (item->kind == REEVE_ANY_DICT && item->n > (left - size) / 2)
		return -EBADMSG;
	return t->error;
}

int item_take(struct reader *r, struct item *ret)
{
	struct item item = { .n = 0 };
	struct taking t = { .item = &item, .error = -EBADMSG };
	const unsigned char *data = r->data + r->position;
	size_t left = r->size - r->position;

	if (left == 0)
		return -EBADMSG;
	struct cbor_decoder_result result =
		cbor_stream_decode(data, left, &callbacks, &t);
	if (result.status != CBOR_DECODER_FINISHED)
		return -EBADMSG;
	int error = check_form(&t, data, result.read, left);
	if (error < 0)
		return error;
	r->position += result.read;
	*ret = item;
	return 0;
}
