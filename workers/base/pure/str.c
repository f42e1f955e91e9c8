/* String helpers. Letters are ASCII's whatever the locale says, for what is
 * compared here are keys, verbs and names of signals. Bytes are read as
 * unsigned; everything else is UTF-8 or invalid.
 */
#include "workers/base/pure/str.h"

#include <stdio.h>
#include <string.h>

#include "workers/base/pure/macro.h"

#define ELLIPSIS  "..."
#define TOKEN_MAX 16 /* of the escaped form of one character */

bool str_has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_equal(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

bool str_equal_nocase(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	while (*a != '\0' && str_lower(*a) == str_lower(*b))
		a++, b++;
	return str_lower(*a) == str_lower(*b);
}

char str_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

char *str_strip(char *s)
{
	while (is_blank(*s))
		s++;

	size_t len = strlen(s);
	while (len > 0 && is_blank(s[len - 1]))
		len--;
	s[len] = '\0';
	return s;
}

/* --- the nearest word ---------------------------------------------------- */

/* One row of the table of distances: [j] is the distance of the word's first
 * letters, as many as the row's number, to the first j of the candidate. */
typedef unsigned distance_row[STR_NEAREST_MAX + 1];

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	return MIN(MIN(a, b), c);
}

static bool is_swapped(const char *a, const char *b)
{
	return str_lower(a[0]) == str_lower(b[1]) &&
	       str_lower(a[1]) == str_lower(b[0]);
}

/* Optimal string alignment; both are at most STR_NEAREST_MAX long. Three rows
 * of the table are enough: a swap looks two rows back, the rest one. */
static unsigned distance(const char *a, const char *b)
{
	distance_row rows[3];
	size_t n = strlen(a), m = strlen(b);

	for (size_t j = 0; j <= m; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned *row = rows[i % 3];
		const unsigned *above = rows[(i + 2) % 3];
		const unsigned *above2 = rows[(i + 1) % 3];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			bool same = str_lower(a[i - 1]) == str_lower(b[j - 1]);

			row[j] = min3(above[j] + 1, row[j - 1] + 1,
				      above[j - 1] + !same);
			if (i > 1 && j > 1 && is_swapped(a + i - 2, b + j - 2))
				row[j] = MIN(row[j], above2[j - 2] + 1);
		}
	}
	return rows[n % 3][m];
}

const char *str_nearest(const char *word, const char *const *candidates,
			size_t n_candidates)
{
	const char *nearest = NULL;
	size_t len = strnlen(word, STR_NEAREST_MAX + 1);
	unsigned least = MAX((unsigned)len / 3, 1U) + 1;

	if (len > STR_NEAREST_MAX)
		return NULL;
	for (size_t i = 0; i < n_candidates; i++) {
		size_t m = strnlen(candidates[i], STR_NEAREST_MAX + 1);
		if (m > STR_NEAREST_MAX)
			continue;
		unsigned d = distance(word, candidates[i]);
		if (d < least && d < MAX(len, m)) {
			least = d;
			nearest = candidates[i];
		}
	}
	return nearest;
}

/* --- escaping ------------------------------------------------------------ */

/* The length of the UTF-8 sequence at s, or 0 when it is none: too long a
 * form, a surrogate, beyond U+10FFFF, or cut. Reads no byte behind a NUL. */
static size_t utf8_length(const unsigned char *s)
{
	/* by the first byte: length, and the range of the second */
	static const struct {
		unsigned char first, last, length, from, to;
	} forms[] = {
		{ 0x01, 0x7f, 1, 0, 0 },       { 0xc2, 0xdf, 2, 0x80, 0xbf },
		{ 0xe0, 0xe0, 3, 0xa0, 0xbf }, { 0xe1, 0xec, 3, 0x80, 0xbf },
		{ 0xed, 0xed, 3, 0x80, 0x9f }, { 0xee, 0xef, 3, 0x80, 0xbf },
		{ 0xf0, 0xf0, 4, 0x90, 0xbf }, { 0xf1, 0xf3, 4, 0x80, 0xbf },
		{ 0xf4, 0xf4, 4, 0x80, 0x8f },
	};
	size_t i = 0;

	while (i < ARRAY_SIZE(forms) && s[0] > forms[i].last)
		i++;
	if (i == ARRAY_SIZE(forms) || s[0] < forms[i].first)
		return 0;
	if (forms[i].length > 1 && (s[1] < forms[i].from || s[1] > forms[i].to))
		return 0;
	for (size_t k = 2; k < forms[i].length; k++)
		if (s[k] < 0x80 || s[k] > 0xbf)
			return 0;
	return forms[i].length;
}

/* C0, DEL and C1: U+009B starts a terminal's command as ESC [ does. */
static bool is_control(const unsigned char *s)
{
	return s[0] < ' ' || s[0] == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0);
}

/* Writes what is shown for the character at s to token, NUL-terminated.
 * Returns how many bytes of s that was. */
static size_t escape_one(const unsigned char *s, char token[static TOKEN_MAX])
{
	size_t n = utf8_length(s);

	if (n > 0 && !is_control(s)) {
		memcpy(token, s, n);
		token[n] = '\0';
		return n;
	}
	switch (*s) {
	case '\n':
		memcpy(token, "\\n", 3);
		return 1;
	case '\r':
		memcpy(token, "\\r", 3);
		return 1;
	case '\t':
		memcpy(token, "\\t", 3);
		return 1;
	default:
		break;
	}
	if (n < 2) {
		snprintf(token, TOKEN_MAX, "\\x%02x", s[0]);
		return 1;
	}
	snprintf(token, TOKEN_MAX, "\\x%02x\\x%02x", s[0], s[1]);
	return n;
}

char *str_escape(const char *s, char *buf, size_t size_bytes)
{
	const unsigned char *in = (const unsigned char *)s;
	char token[TOKEN_MAX];
	size_t len = 0;
	size_t cut = 0; /* where "..." may go so that it still fits */

	reeve_assert(size_bytes >= sizeof(ELLIPSIS));
	while (*in != '\0') {
		in += escape_one(in, token);

		size_t n = strlen(token);
		if (len + n >= size_bytes) {
			memcpy(buf + cut, ELLIPSIS, sizeof(ELLIPSIS));
			return buf;
		}
		memcpy(buf + len, token, n);
		len += n;
		if (len + sizeof(ELLIPSIS) <= size_bytes)
			cut = len;
	}
	buf[len] = '\0';
	return buf;
}
