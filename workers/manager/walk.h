/* Over a whole value, however it is nested.
 *
 * Properties
 *   What a reader takes by walk_value() is sound in every respect that
 *   <reeve/any.h> names: forms, depth, keys. Time grows with the bytes. Memory:
 *   none, but for dicts of many keys (keys.h).
 * Safety
 *   Pure.
 */
#pragma once

#include <stddef.h>

#include "workers/manager/codec.h"

struct extent {
	size_t n_items; /* the value, and all within, keys too */
	size_t n_text; /* bytes of all strings and bytes, and one behind each */
	size_t depth;  /* 0: a scalar */
};

/* Takes a value; on failure r is as before. Returns 0; -EBADMSG, -E2BIG, -ERANGE,
 * -ENOMEM. */
int walk_value(struct reader *r, struct extent *ret);
