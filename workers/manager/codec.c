/* Single values: heads are libcbor's to write (codec_put_...), and item.c's to read
 * (codec_get_...). Trees are tree.c's.
 */
#include "workers/manager/codec.h"

#include <cbor.h>
#include <errno.h>

#include "workers/manager/item.h"
#include "workers/manager/walk.h"

#define HEAD_MAX 9 /* bytes */

/* ---- writing ---------------------------------------------------------------- */

int codec_put_nil(struct buf *b)
{
	unsigned char head[HEAD_MAX];

	return buf_append(b, head, cbor_encode_null(head, sizeof(head)));
}

int codec_put_bool(struct buf *b, bool value)
{
	unsigned char head[HEAD_MAX];

	return buf_append(b, head, cbor_encode_bool(value, head, sizeof(head)));
}

int codec_put_int(struct buf *b, int64_t value)
{
	unsigned char head[HEAD_MAX];
	size_t size;

	if (value >= 0)
		size = cbor_encode_uint((uint64_t)value, head, sizeof(head));
	else
		size = cbor_encode_negint((uint64_t)(-1 - value), head,
					  sizeof(head));
	return buf_append(b, head, size);
}

/* libcbor 0.8 encodes small halves wrongly (3 * 2^-24 as 2 * 2^-24): not used. */
static size_t encode_half(double value, unsigned char *ret)
{
	uint16_t half = item_half(value);

	ret[0] = 0xf9;
	ret[1] = (unsigned char)(half >> 8);
	ret[2] = (unsigned char)half;
	return 3;
}

int codec_put_double(struct buf *b, double value)
{
	unsigned char head[HEAD_MAX];
	size_t size;

	switch (item_float_size(value)) {
	case 2:
		size = encode_half(value, head);
		break;
	case 4:
		size = cbor_encode_single((float)value, head, sizeof(head));
		break;
	default:
		size = cbor_encode_double(value, head, sizeof(head));
	}
	return buf_append(b, head, size);
}

/* A head, then the bytes; both or none. */
static int put_text(struct buf *b, const unsigned char *head, size_t head_size,
		    const void *data, size_t size)
{
	size_t begin = b->len;

	(void)buf_append(b, head, head_size);
	int r = buf_append(b, data, size);
	if (r < 0)
		buf_truncate(b, begin);
	return r;
}

int codec_put_string(struct buf *b, const char *text, size_t len)
{
	unsigned char head[HEAD_MAX];

	return put_text(b, head,
			cbor_encode_string_start(len, head, sizeof(head)), text,
			len);
}

int codec_put_bytes(struct buf *b, const void *data, size_t size)
{
	unsigned char head[HEAD_MAX];

	return put_text(b, head,
			cbor_encode_bytestring_start(size, head, sizeof(head)),
			data, size);
}

int codec_put_list(struct buf *b, size_t n)
{
	unsigned char head[HEAD_MAX];

	return buf_append(b, head,
			  cbor_encode_array_start(n, head, sizeof(head)));
}

int codec_put_dict(struct buf *b, size_t n)
{
	unsigned char head[HEAD_MAX];

	return buf_append(b, head,
			  cbor_encode_map_start(n, head, sizeof(head)));
}

/* ---- reading ---------------------------------------------------------------- */

/* The kind that the first byte of an item announces (RFC 8949 3): the upper three
 * bits are its major type. */
int codec_peek(const struct reader *r, enum reeve_any_kind *ret_kind)
{
	static const enum reeve_any_kind major[] = {
		REEVE_ANY_INT,	  REEVE_ANY_INT,  REEVE_ANY_BYTES,
		REEVE_ANY_STRING, REEVE_ANY_LIST, REEVE_ANY_DICT,
	};
	struct reader copy = *r;
	struct item item;

	if (reader_is_at_end(r))
		return -EBADMSG;
	unsigned type = r->data[r->position] >> 5;
	if (type < sizeof(major) / sizeof(major[0])) {
		*ret_kind = major[type];
		return 0;
	}
	int error = item_take(&copy, &item);
	if (error == 0)
		*ret_kind = item.kind;
	return error;
}

int codec_skip(struct reader *r, const unsigned char **ret_data,
	       size_t *ret_size)
{
	return codec_skip_nested(r, ret_data, ret_size, NULL);
}

int codec_skip_nested(struct reader *r, const unsigned char **ret_data,
		      size_t *ret_size, size_t *ret_depth)
{
	size_t begin = r->position;
	struct extent extent;

	int error = walk_value(r, &extent);
	if (error < 0)
		return error;
	if (ret_data != NULL)
		*ret_data = r->data + begin;
	if (ret_size != NULL)
		*ret_size = r->position - begin;
	if (ret_depth != NULL)
		*ret_depth = extent.depth;
	return 0;
}

static int take(struct reader *r, enum reeve_any_kind kind, struct item *ret)
{
	size_t begin = r->position;

	int error = item_take(r, ret);
	if (error == 0 && ret->kind != kind) {
		r->position = begin;
		error = -EBADMSG;
	}
	return error;
}

int codec_get_nil(struct reader *r)
{
	struct item item;

	return take(r, REEVE_ANY_NIL, &item);
}

int codec_get_bool(struct reader *r, bool *ret)
{
	struct item item;

	int error = take(r, REEVE_ANY_BOOL, &item);
	if (error == 0)
		*ret = item.boolean;
	return error;
}

int codec_get_int(struct reader *r, int64_t *ret)
{
	struct item item;

	int error = take(r, REEVE_ANY_INT, &item);
	if (error == 0)
		*ret = item.integer;
	return error;
}

int codec_get_double(struct reader *r, double *ret)
{
	struct item item;

	int error = take(r, REEVE_ANY_DOUBLE, &item);
	if (error == 0)
		*ret = item.number;
	return error;
}

int codec_get_string(struct reader *r, const char **ret, size_t *ret_len)
{
	struct item item;

	int error = take(r, REEVE_ANY_STRING, &item);
	if (error < 0)
		return error;
	*ret = (const char *)item.data;
	*ret_len = item.n;
	return 0;
}

int codec_get_bytes(struct reader *r, const void **ret, size_t *ret_size)
{
	struct item item;

	int error = take(r, REEVE_ANY_BYTES, &item);
	if (error < 0)
		return error;
	*ret = item.data;
	*ret_size = item.n;
	return 0;
}

int codec_get_list(struct reader *r, size_t *ret_n)
{
	struct item item;

	int error = take(r, REEVE_ANY_LIST, &item);
	if (error == 0)
		*ret_n = item.n;
	return error;
}

int codec_get_dict(struct reader *r, size_t *ret_n)
{
	struct item item;

	int error = take(r, REEVE_ANY_DICT, &item);
	if (error == 0)
		*ret_n = item.n;
	return error;
}
