/* Where something is said: file and line in 32 bits; and which keys of a
 * section are said at all.
 *
 * A section sets a few of its many keys, so what it remembers is a list: its
 * length, then pairs of schema row and origin. NULL is the empty list.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ORIGIN_LINE_BITS 20
#define ORIGIN_DEFAULT	 0

static inline uint32_t origin_make(size_t file, size_t line)
{
	return (uint32_t)(file << ORIGIN_LINE_BITS | line);
}

static inline uint32_t origin_file(uint32_t where)
{
	return where >> ORIGIN_LINE_BITS;
}

static inline uint32_t origin_line(uint32_t where)
{
	return where & ((UINT32_C(1) << ORIGIN_LINE_BITS) - 1);
}

/* Where the row is set, or ORIGIN_DEFAULT. */
static inline uint32_t origin_find(const uint32_t *list, size_t row)
{
	for (uint32_t i = 0; list && i < list[0]; i++)
		if (list[1 + 2 * i] == row)
			return list[2 + 2 * i];
	return ORIGIN_DEFAULT;
}
