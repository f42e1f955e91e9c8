/* The calls of <reeve/any.h>. Lists and dicts that are open are levels of an array,
 * none deeper than REEVE_ANY_DEPTH_MAX: a tree that a program built may be deeper,
 * or contain itself; then it is equal to none, and printed up to there.
 */
#include <reeve/any.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/buf.h"
#include "workers/base/pure/macro.h"
#include "workers/manager/codec.h"

static bool is_container(const struct reeve_any *value)
{
	return value->kind == REEVE_ANY_LIST || value->kind == REEVE_ANY_DICT;
}

/* ---- comparing -------------------------------------------------------------- */

/* Equal as far as the value itself goes: of a list or dict, kind and number. */
static bool is_same(const struct reeve_any *a, const struct reeve_any *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case REEVE_ANY_NIL:
		return true;
	case REEVE_ANY_BOOL:
		return a->boolean == b->boolean;
	case REEVE_ANY_INT:
		return a->integer == b->integer;
	case REEVE_ANY_DOUBLE:
		return isnan(a->number) ? isnan(b->number)
					: a->number == b->number &&
						  signbit(a->number) ==
							  signbit(b->number);
	case REEVE_ANY_STRING:
	case REEVE_ANY_BYTES:
		return a->n == b->n &&
		       (a->n == 0 || memcmp(a->bytes, b->bytes, a->n) == 0);
	case REEVE_ANY_LIST:
	case REEVE_ANY_DICT:
		return a->n == b->n;
	}
	return false;
}

/* Looks at place first: there it is, when dicts have the same order. */
static const struct reeve_any *find(const struct reeve_any *dict,
				    const struct reeve_any *key, size_t first)
{
	if (is_container(key))
		return NULL;
	for (size_t i = 0; i < dict->n; i++) {
		const struct reeve_pair *pair =
			&dict->pairs[(first + i) % dict->n];
		if (is_same(&pair->key, key))
			return &pair->value;
	}
	return NULL;
}

const struct reeve_any *reeve_any_find(const struct reeve_any *dict,
				       struct reeve_any key)
{
	if (dict == NULL || dict->kind != REEVE_ANY_DICT)
		return NULL;
	return find(dict, &key, 0);
}

struct comparison {
	const struct reeve_any *a, *b;
	size_t i;
};

/* What is to be compared next within two lists or dicts; false: a has a key that b
 * has not. */
static bool next_within(struct comparison *c, const struct reeve_any **ret_a,
			const struct reeve_any **ret_b)
{
	size_t i = c->i++;

	if (c->a->kind == REEVE_ANY_LIST) {
		*ret_a = &c->a->items[i];
		*ret_b = &c->b->items[i];
		return true;
	}
	*ret_a = &c->a->pairs[i].value;
	*ret_b = find(c->b, &c->a->pairs[i].key, i);
	return *ret_b != NULL;
}

bool reeve_any_equal(const struct reeve_any *a, const struct reeve_any *b)
{
	struct comparison levels[REEVE_ANY_DEPTH_MAX];
	size_t depth = 0;

	if (a == NULL || b == NULL)
		return a == b;
	for (;;) {
		if (!is_same(a, b))
			return false;
		if (is_container(a)) {
			if (depth == REEVE_ANY_DEPTH_MAX)
				return false;
			levels[depth++] = (struct comparison){ a, b, 0 };
		}
		while (depth > 0 &&
		       levels[depth - 1].i == levels[depth - 1].a->n)
			depth--;
		if (depth == 0)
			return true;
		if (!next_within(&levels[depth - 1], &a, &b))
			return false;
	}
}

/* ---- printing --------------------------------------------------------------- */

struct print {
	char *buffer;
	size_t size, len; /* of the whole text */
};

static void add(struct print *p, const char *text, size_t len)
{
	if (p->len + 1 < p->size)
		memcpy(p->buffer + p->len, text,
		       MIN(len, p->size - 1 - p->len));
	p->len += len;
}

static void add_text(struct print *p, const char *text)
{
	add(p, text, strlen(text));
}

static void print_string(struct print *p, const char *text, size_t len)
{
	char escape[8];

	add(p, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c >= ' ' && c != '"' && c != '\\' && c != 0x7f) {
			add(p, &text[i], 1);
			continue;
		}
		if (c == '"' || c == '\\')
			(void)snprintf(escape, sizeof(escape), "\\%c", c);
		else if (c == '\n')
			(void)snprintf(escape, sizeof(escape), "\\n");
		else
			(void)snprintf(escape, sizeof(escape), "\\u%04x", c);
		add_text(p, escape);
	}
	add(p, "\"", 1);
}

static void print_bytes(struct print *p, const unsigned char *data, size_t size)
{
	static const char digits[] = "0123456789abcdef";

	add(p, "h'", 2);
	for (size_t i = 0; i < size; i++) {
		add(p, &digits[data[i] >> 4], 1);
		add(p, &digits[data[i] & 15], 1);
	}
	add(p, "'", 1);
}

/* As short as it can be read back from, and never like an integer's. */
static void print_double(struct print *p, double number)
{
	char text[40];

	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof(text), "%.*g", digits, number);
		if (strtod(text, NULL) == number)
			break;
	}
	if (!isfinite(number)) {
		add_text(p, isnan(number) ? "nan"
			    : number > 0  ? "inf"
					  : "-inf");
		return;
	}
	/* The locale may have another decimal point, of several bytes. */
	size_t whole = strspn(text, "-0123456789");
	size_t point = strcspn(text + whole, "0123456789e");
	add(p, text, whole);
	if (point > 0 || text[whole] == '\0')
		add(p, ".", 1);
	add_text(p, text[whole] == '\0' ? "0" : text + whole + point);
}

static void print_scalar(struct print *p, const struct reeve_any *value)
{
	char text[24];

	switch (value->kind) {
	case REEVE_ANY_NIL:
		add_text(p, "null");
		return;
	case REEVE_ANY_BOOL:
		add_text(p, value->boolean ? "true" : "false");
		return;
	case REEVE_ANY_INT:
		(void)snprintf(text, sizeof(text), "%" PRId64, value->integer);
		add_text(p, text);
		return;
	case REEVE_ANY_DOUBLE:
		print_double(p, value->number);
		return;
	case REEVE_ANY_STRING:
		print_string(p, value->string, value->n);
		return;
	case REEVE_ANY_BYTES:
		print_bytes(p, value->bytes, value->n);
		return;
	case REEVE_ANY_LIST: /* where none may be */
	case REEVE_ANY_DICT:
		break;
	}
	add_text(p, "...");
}

struct opened {
	const struct reeve_any *value;
	size_t i;
};

/* What stands in front of the next item of a list or dict; returns the item. */
static const struct reeve_any *print_next(struct print *p, struct opened *level)
{
	size_t i = level->i++;

	if (i > 0)
		add(p, ", ", 2);
	if (level->value->kind == REEVE_ANY_LIST)
		return &level->value->items[i];
	print_scalar(p, &level->value->pairs[i].key);
	add(p, ": ", 2);
	return &level->value->pairs[i].value;
}

static void print_value(struct print *p, const struct reeve_any *value)
{
	struct opened levels[REEVE_ANY_DEPTH_MAX];
	size_t depth = 0;

	for (;;) {
		if (is_container(value) && depth < REEVE_ANY_DEPTH_MAX) {
			bool is_list = value->kind == REEVE_ANY_LIST;
			add(p, is_list ? "[" : "{", 1);
			levels[depth++] = (struct opened){ value, 0 };
		} else {
			print_scalar(p, value);
		}
		while (depth > 0 &&
		       levels[depth - 1].i == levels[depth - 1].value->n) {
			const struct opened *level = &levels[--depth];
			bool is_list = level->value->kind == REEVE_ANY_LIST;
			add(p, is_list ? "]" : "}", 1);
		}
		if (depth == 0)
			return;
		value = print_next(p, &levels[depth - 1]);
	}
}

size_t reeve_any_print(const struct reeve_any *value, char *buffer,
		       size_t size_bytes)
{
	struct print p = { .buffer = buffer, .size = size_bytes };
	const struct reeve_any nil = reeve_any_nil();

	print_value(&p, value != NULL ? value : &nil);
	if (size_bytes > 0)
		buffer[MIN(p.len, size_bytes - 1)] = '\0';
	return p.len;
}

/* ---- memory, bytes ---------------------------------------------------------- */

void reeve_any_free(struct reeve_any *value)
{
	if (value == NULL)
		return;
	free(value->memory);
	*value = reeve_any_nil();
}

int reeve_any_encode(const struct reeve_any *value, void **ret_data,
		     size_t *ret_size)
{
	struct buf b = BUF_INIT(0);

	if (value == NULL)
		return -EINVAL;
	int r = codec_put(&b, value);
	if (r < 0) {
		buf_done(&b);
		return r;
	}
	*ret_size = b.len;
	*ret_data = buf_take(&b);
	return 0;
}

int reeve_any_decode(const void *data, size_t size_bytes,
		     struct reeve_any *ret_value)
{
	struct reader r = { data, size_bytes, 0 };
	struct reeve_any value;

	int error = codec_get(&r, &value);
	if (error < 0)
		return error;
	if (!reader_is_at_end(&r)) {
		reeve_any_free(&value);
		return -EBADMSG;
	}
	*ret_value = value;
	return 0;
}
