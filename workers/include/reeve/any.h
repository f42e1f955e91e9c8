/* Values of any type: what a Manager's objects hold.
 *
 * Properties
 *   A value is nil, a boolean, an integer (64 bits, signed), a double, a string
 *   (UTF-8), bytes, or a list or dict of values, nested up to REEVE_ANY_DEPTH_MAX.
 *   struct reeve_any is plain data: build one from its parts, without
 *   allocating; it only points to them.
 * Operation
 *   REEVE_ANY(x) makes one of any C number, bool or string:
 *
 *     struct reeve_any point[] = { REEVE_ANY("north"), REEVE_ANY(3.5) };
 *     reeve_proxy_list_append(list, reeve_any_list(point, 2));
 *
 *   A value that a function returns owns its memory: give it back with
 *   reeve_any_free(). Strings and bytes in it end with a zero byte that is not
 *   counted.
 *   Encoded, a value is CBOR (RFC 8949) in its core deterministic encoding: the
 *   shortest forms, definite lengths, no tags, no other simple values, floats as
 *   they are shortest (16, 32 or 64 bits). Equal values have equal bytes, but
 *   for dicts, whose order is kept.
 * Safety
 *   Pure functions; any thread, after any fork, not in signal handlers (they
 *   allocate).
 */
#ifndef REEVE_ANY_H
#define REEVE_ANY_H

#include <string.h>

#include <reeve/types.h>

REEVE_DECLARATIONS_BEGIN

#define REEVE_ANY_DEPTH_MAX 32 /* a scalar has depth 0, a list of them 1 */

enum reeve_any_kind {
	REEVE_ANY_NIL,
	REEVE_ANY_BOOL,
	REEVE_ANY_INT,
	REEVE_ANY_DOUBLE,
	REEVE_ANY_STRING,
	REEVE_ANY_BYTES,
	REEVE_ANY_LIST,
	REEVE_ANY_DICT,
};

struct reeve_pair;

struct reeve_any {
	enum reeve_any_kind kind;
	size_t n; /* STRING, BYTES: bytes; LIST: items; DICT: pairs */
	union {
		bool boolean;
		int64_t integer;
		double number;
		const char *string;
		const void *bytes;
		const struct reeve_any *items;
		const struct reeve_pair *pairs;
	};
	void *memory; /* what reeve_any_free() frees; NULL in parts */
};

/* Of a dict. A key is a boolean, an integer, a string or bytes. */
struct reeve_pair {
	struct reeve_any key, value;
};

/* ---- making ---------------------------------------------------------------- */

static inline struct reeve_any reeve_any_nil(void)
{
	struct reeve_any a = { REEVE_ANY_NIL, 0, { 0 }, NULL };

	return a;
}

static inline struct reeve_any reeve_any_bool(bool value)
{
	struct reeve_any a = { REEVE_ANY_BOOL, 0, { 0 }, NULL };

	a.boolean = value;
	return a;
}

static inline struct reeve_any reeve_any_int(int64_t value)
{
	struct reeve_any a = { REEVE_ANY_INT, 0, { 0 }, NULL };

	a.integer = value;
	return a;
}

static inline struct reeve_any reeve_any_double(double value)
{
	struct reeve_any a = { REEVE_ANY_DOUBLE, 0, { 0 }, NULL };

	a.number = value;
	return a;
}

/* NULL makes nil. */
static inline struct reeve_any reeve_any_string(const char *text)
{
	struct reeve_any a = { REEVE_ANY_STRING, 0, { 0 }, NULL };

	if (!text)
		return reeve_any_nil();
	a.n = strlen(text);
	a.string = text;
	return a;
}

static inline struct reeve_any reeve_any_bytes(const void *data,
					       size_t size_bytes)
{
	struct reeve_any a = { REEVE_ANY_BYTES, size_bytes, { 0 }, NULL };

	a.bytes = data;
	return a;
}

static inline struct reeve_any reeve_any_list(const struct reeve_any *items,
					      size_t n)
{
	struct reeve_any a = { REEVE_ANY_LIST, n, { 0 }, NULL };

	a.items = items;
	return a;
}

static inline struct reeve_any reeve_any_dict(const struct reeve_pair *pairs,
					      size_t n)
{
	struct reeve_any a = { REEVE_ANY_DICT, n, { 0 }, NULL };

	a.pairs = pairs;
	return a;
}

#ifndef __cplusplus
/* A number, boolean or string as a value. An unsigned number above INT64_MAX
 * comes out negative. Before C23 the words true and false are integers: write
 * reeve_any_bool(true). */
#define REEVE_ANY(x)                                                           \
	_Generic((x),                                                          \
		bool: reeve_any_bool,                                          \
		float: reeve_any_double,                                       \
		double: reeve_any_double,                                      \
		char *: reeve_any_string,                                      \
		const char *: reeve_any_string,                                \
		default: reeve_any_int)(x)
#endif

/* ---- reading --------------------------------------------------------------- */

/* The value of a dict's key; NULL when it has none, or value is no dict. */
REEVE_PUBLIC const struct reeve_any *reeve_any_find(
	const struct reeve_any *dict, struct reeve_any key);

/* Equal in kind and content; NaN equals itself; dicts of the same pairs are equal
 * in any order (which costs n * n / 2 when it is another). 1 and 1.0 differ, and
 * so do 0.0 and -0.0: these are other bytes. What is nested deeper than
 * REEVE_ANY_DEPTH_MAX is equal to nothing. */
REEVE_PUBLIC bool reeve_any_equal(const struct reeve_any *a,
				  const struct reeve_any *b);

/* As text, like JSON (bytes as h'00ff', nan, inf), into buffer, cut at size_bytes
 * with its NUL. Returns the length of the whole text, as snprintf(3). For people
 * and logs: it cannot be read back. */
REEVE_PUBLIC size_t reeve_any_print(const struct reeve_any *value, char *buffer,
				    size_t size_bytes);

/* Frees what a function returned, and makes it nil. NULL is nothing. */
REEVE_PUBLIC void reeve_any_free(struct reeve_any *value);

/* ---- bytes ----------------------------------------------------------------- */

/* Encodes value into new memory: free(3) it. Returns 0; -EINVAL (a string that is
 * not UTF-8, a dict's key that may be none or is there twice, an unknown kind),
 * -E2BIG (nested too deeply), -ENOMEM. */
REEVE_PUBLIC int reeve_any_encode(const struct reeve_any *value,
				  void **ret_data, size_t *ret_size);

/* Decodes exactly size bytes into a value of its own memory. Returns 0; -EBADMSG
 * (not one value in the encoding above), -E2BIG (nested too deeply), -ERANGE (an
 * integer beyond 64 bits, signed), -ENOMEM. */
REEVE_PUBLIC int reeve_any_decode(const void *data, size_t size_bytes,
				  struct reeve_any *ret_value);

REEVE_DECLARATIONS_END

#endif
