/* See utf8.h. */
#include "workers/base/pure/utf8.h"

#include <stdint.h>
#include <string.h>

/* The number of bytes of the character that begins with c; 0: none does. */
static size_t char_len(unsigned char c)
{
	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c <= 0xdf)
		return 2;
	if (c >= 0xe0 && c <= 0xef)
		return 3;
	if (c >= 0xf0 && c <= 0xf4)
		return 4;
	return 0;
}

static bool is_in_range(uint32_t code, size_t len)
{
	if (len == 3)
		return code >= 0x800 && (code < 0xd800 || code > 0xdfff);
	if (len == 4)
		return code >= 0x10000 && code <= 0x10ffff;
	return true;
}

/* How many bytes at the beginning are surely ASCII: most text is nothing else,
 * and is looked at eight bytes at a time. */
static size_t skip_ascii(const unsigned char *p, size_t len)
{
	uint64_t word;
	size_t i = 0;

	for (; len - i >= sizeof(word); i += sizeof(word)) {
		memcpy(&word, p + i, sizeof(word));
		if (word & 0x8080808080808080U)
			break;
	}
	return i;
}

bool utf8_is_valid(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t i = skip_ascii(p, len);

	while (i < len) {
		size_t n = char_len(p[i]);
		uint32_t code = p[i];

		if (n == 0 || n > len - i)
			return false;
		if (n > 1)
			code &= 0x7fU >> n;
		for (size_t j = 1; j < n; j++) {
			if ((p[i + j] & 0xc0) != 0x80)
				return false;
			code = code << 6 | (p[i + j] & 0x3f);
		}
		if (!is_in_range(code, n))
			return false;
		i += n;
	}
	return true;
}
