/* One CBOR item at a time: what the codec, and only it, takes apart.
 *
 * Properties
 *   An item is what one head says: a scalar with its content, or the head of a list
 *   or dict. That it is in the shortest form is checked here; what stands in a
 *   list or dict is not. No byte beyond the reader's end is looked at.
 *   This is the only file that knows libcbor's decoder, or what a byte of CBOR
 *   means.
 * Safety
 *   Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/manager/codec.h"

struct item {
	enum reeve_any_kind kind;
	size_t n; /* STRING, BYTES: bytes; LIST: items; DICT: pairs */
	union {
		bool boolean;
		int64_t integer;
		double number;
		const unsigned char *data; /* STRING, BYTES */
	};
};

/* Takes an item. Returns 0; -EBADMSG (none, not all of it there, a form that
 * <reeve/any.h> does not have, or more items promised than bytes follow),
 * -ERANGE (an integer beyond 64 bits). On failure r is as before. */
int item_take(struct reader *r, struct item *ret);

/* The fewest bytes, of 2, 4 and 8, that hold this number as a float. */
size_t item_float_size(double number);

/* The bits of a half, for a number that it holds. NaN is one: 0x7e00, as RFC 8949
 * 4.2.2 prefers it. */
uint16_t item_half(double number);

static inline bool item_is_key(const struct item *item)
{
	return item->kind == REEVE_ANY_BOOL || item->kind == REEVE_ANY_INT ||
	       item->kind == REEVE_ANY_STRING || item->kind == REEVE_ANY_BYTES;
}
