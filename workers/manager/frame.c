/* See frame.h. The length is little-endian on every machine. */
#include "workers/manager/frame.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "workers/manager/protocol.h"

_Static_assert(FRAME_HEAD == sizeof(uint32_t), "");

ssize_t frame_begin(struct buf *b)
{
	static const char head[FRAME_HEAD];
	size_t begin = b->len;

	int r = buf_append(b, head, sizeof(head));
	return r < 0 ? r : (ssize_t)begin;
}

int frame_end(struct buf *b, size_t begin, size_t max_bytes)
{
	size_t size = b->len - begin - FRAME_HEAD;
	int r = b->error;

	if (r == 0 && (size > max_bytes || size > UINT32_MAX))
		r = -EMSGSIZE;
	if (r < 0) {
		buf_truncate(b, begin);
		b->error = 0;
		return r;
	}
	uint32_t length = htole32((uint32_t)size);
	memcpy(b->data + begin, &length, sizeof(length));
	return 0;
}

int frame_next(const unsigned char *data, size_t size, size_t max_bytes,
	       const unsigned char **ret_message, size_t *ret_size,
	       size_t *ret_used)
{
	uint32_t length;

	if (size < FRAME_HEAD)
		return 0;
	memcpy(&length, data, sizeof(length));
	length = le32toh(length);
	if (length > max_bytes)
		return -EMSGSIZE;
	if (length > size - FRAME_HEAD)
		return 0;
	*ret_message = data + FRAME_HEAD;
	*ret_size = length;
	*ret_used = FRAME_HEAD + (size_t)length;
	return 1;
}
