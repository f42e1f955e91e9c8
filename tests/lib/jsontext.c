/* See jsontext.h. A state machine over RFC 8259's grammar, with a stack of
 * what is open instead of recursion. */
#include "tests/lib/jsontext.h"

#include <ctype.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What may come next. */
enum expect {
	VALUE,
	VALUE_OR_END, /* behind [ */
	KEY,	      /* behind , in an object */
	KEY_OR_END,   /* behind { */
	COLON,
	COMMA_OR_END,
};

struct scan {
	const char *p;
	char open[JSON_TEXT_DEPTH_MAX]; /* '[' or '{' */
	size_t depth;
	enum expect expect;
};

static void skip_blanks(struct scan *s)
{
	while (*s->p != '\0' && strchr(" \t\r\n", *s->p))
		s->p++;
}

/* The length of the UTF-8 character at p, 0 when it is none. */
static size_t character_length(const unsigned char *p)
{
	uint32_t code, min;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc0 || p[0] > 0xf7)
		return 0;
	code = p[0] & (0xffU >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	min = n == 2 ? 0x80 : n == 3 ? 0x800 : 0x10000;
	if (code < min || code > 0x10ffff || (code >> 11) == 0x1b)
		return 0;
	return n;
}

static bool scan_escape(struct scan *s)
{
	s->p++; /* the backslash */
	if (*s->p == 'u') {
		for (int i = 0; i < 4; i++)
			if (!isxdigit((unsigned char)*++s->p))
				return false;
	} else if (*s->p == '\0' || !strchr("\"\\/bfnrt", *s->p)) {
		return false;
	}
	s->p++;
	return true;
}

static bool scan_string(struct scan *s)
{
	if (*s->p++ != '"')
		return false;
	while (*s->p != '"') {
		size_t n = character_length((const unsigned char *)s->p);

		if ((unsigned char)*s->p < ' ' || n == 0)
			return false; /* also the end of the text */
		if (*s->p != '\\')
			s->p += n;
		else if (!scan_escape(s))
			return false;
	}
	s->p++;
	return true;
}

static bool scan_digits(struct scan *s)
{
	const char *begin = s->p;

	while (isdigit((unsigned char)*s->p))
		s->p++;
	return s->p > begin;
}

static bool scan_number(struct scan *s)
{
	if (*s->p == '-')
		s->p++;
	if (*s->p == '0')
		s->p++;
	else if (!scan_digits(s))
		return false;
	if (*s->p == '.') {
		s->p++;
		if (!scan_digits(s))
			return false;
	}
	return !isalnum((unsigned char)*s->p);
}

static bool scan_word(struct scan *s, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(s->p, word, n) != 0)
		return false;
	s->p += n;
	return !isalnum((unsigned char)*s->p);
}

static bool scan_value(struct scan *s)
{
	bool is_object = *s->p == '{';

	if (*s->p == '[' || is_object) {
		if (s->depth == JSON_TEXT_DEPTH_MAX)
			return false;
		s->open[s->depth++] = *s->p++;
		s->expect = is_object ? KEY_OR_END : VALUE_OR_END;
		return true;
	}
	s->expect = COMMA_OR_END;
	if (*s->p == '"')
		return scan_string(s);
	if (*s->p == 't')
		return scan_word(s, "true");
	if (*s->p == 'f')
		return scan_word(s, "false");
	if (*s->p == 'n')
		return scan_word(s, "null");
	return scan_number(s);
}

static bool scan_end(struct scan *s)
{
	if (s->depth == 0 ||
	    *s->p++ != (s->open[s->depth - 1] == '[' ? ']' : '}'))
		return false;
	s->depth--;
	s->expect = COMMA_OR_END;
	return true;
}

static bool scan_step(struct scan *s)
{
	bool in_array = s->depth > 0 && s->open[s->depth - 1] == '[';
	bool is_end = *s->p == ']' || *s->p == '}';

	switch (s->expect) {
	case VALUE_OR_END:
		return is_end ? scan_end(s) : scan_value(s);
	case VALUE:
		return scan_value(s);
	case KEY_OR_END:
		if (is_end)
			return scan_end(s);
		s->expect = COLON;
		return scan_string(s);
	case KEY:
		s->expect = COLON;
		return scan_string(s);
	case COLON:
		s->expect = VALUE;
		return *s->p++ == ':';
	case COMMA_OR_END:
		if (is_end)
			return scan_end(s);
		s->expect = in_array ? VALUE : KEY;
		return *s->p++ == ',';
	}
	return false;
}

static bool scan_one(struct scan *s)
{
	s->expect = VALUE;
	do {
		skip_blanks(s);
		if (!scan_step(s))
			return false;
	} while (s->depth > 0 || s->expect != COMMA_OR_END);
	return true;
}

bool json_text_is_valid(const char *text)
{
	struct scan s = { .p = text };

	do {
		if (!scan_one(&s))
			return false;
		skip_blanks(&s);
	} while (*s.p != '\0');
	return true;
}
