/* Fuzzes the Manager's encoding. Whatever the bytes are: looking at a value,
 * skipping it and decoding it say the same; what is decoded encodes to the very
 * same bytes, and is equal to itself; nothing costs more than its bytes allow. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/manager/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The single getters: that of its kind takes it, and no other. */
static void check_getters(struct reader r, enum reeve_any_kind kind)
{
	bool boolean;
	int64_t integer;
	double number;
	const char *text;
	const void *bytes;
	size_t n = 0;

	for (int i = REEVE_ANY_NIL; i <= REEVE_ANY_DICT; i++) {
		struct reader copy = r;
		int error = -EBADMSG;

		switch ((enum reeve_any_kind)i) {
		case REEVE_ANY_NIL:
			error = codec_get_nil(&copy);
			break;
		case REEVE_ANY_BOOL:
			error = codec_get_bool(&copy, &boolean);
			break;
		case REEVE_ANY_INT:
			error = codec_get_int(&copy, &integer);
			break;
		case REEVE_ANY_DOUBLE:
			error = codec_get_double(&copy, &number);
			break;
		case REEVE_ANY_STRING:
			error = codec_get_string(&copy, &text, &n);
			break;
		case REEVE_ANY_BYTES:
			error = codec_get_bytes(&copy, &bytes, &n);
			break;
		case REEVE_ANY_LIST:
			error = codec_get_list(&copy, &n);
			break;
		case REEVE_ANY_DICT:
			error = codec_get_dict(&copy, &n);
			break;
		}
		reeve_assert(i == (int)kind || error < 0);
		reeve_assert(error == 0 ? copy.position > r.position
					: copy.position == r.position);
		reeve_assert(n <= r.size - r.position);
	}
}

static void check_value(const struct reeve_any *value, struct reader r,
			size_t size)
{
	struct buf b = BUF_INIT(0);
	char text[100];

	reeve_assert(codec_put(&b, value) == 0);
	reeve_assert(b.len == size &&
		     memcmp(b.data, r.data + r.position, size) == 0);
	reeve_assert(reeve_any_equal(value, value));
	size_t len = reeve_any_print(value, text, sizeof(text));
	reeve_assert(strlen(text) <= len);
	for (size_t i = 0; value->kind == REEVE_ANY_DICT && i < value->n; i++)
		reeve_assert(reeve_any_find(value, value->pairs[i].key) ==
			     &value->pairs[i].value);
	buf_done(&b);
}

/* Takes a value; false: there is none. */
static bool check_next(struct reader *r)
{
	struct reader whole = *r, tree = *r;
	enum reeve_any_kind kind = REEVE_ANY_NIL;
	struct reeve_any value;
	const unsigned char *data;
	size_t size;

	int peeked = codec_peek(r, &kind);
	int error = codec_skip(&whole, &data, &size);
	reeve_assert(codec_get(&tree, &value) == error);
	reeve_assert(tree.position == whole.position);
	check_getters(*r, kind);
	if (error < 0) {
		reeve_assert(error == -EBADMSG || error == -E2BIG ||
			     error == -ERANGE);
		reeve_assert(whole.position == r->position);
		return false;
	}
	reeve_assert(peeked == 0 && kind == value.kind);
	reeve_assert(data == r->data + r->position &&
		     size == whole.position - r->position && size > 0);
	check_value(&value, *r, size);
	reeve_any_free(&value);
	*r = whole;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader r = { data, size, 0 };

	while (!reader_is_at_end(&r) && check_next(&r))
		;
	return 0;
}
