/* Trees: struct reeve_any to bytes and back.
 *
 * What is written is read once before it is let go, by the same walk that reads
 * what strangers send: so what may be written is exactly what may be read, and
 * the rules stand in one place.
 * A tree that is read is one block of memory: its nodes, the items of a list side
 * by side, and behind them the texts. The walk that checks it counts both.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/manager/codec.h"
#include "workers/manager/item.h"
#include "workers/manager/walk.h"

/* A dict of n pairs is 2 n nodes in a row. */
_Static_assert(sizeof(struct reeve_pair) == 2 * sizeof(struct reeve_any), "");

/* ---- writing ---------------------------------------------------------------- */

struct branch {
	const struct reeve_any *next;
	size_t left;
};

/* The nodes in a list or dict. */
static struct branch branch_of(const struct reeve_any *value)
{
	if (value->kind == REEVE_ANY_LIST)
		return (struct branch){ value->items, value->n };
	if (value->kind == REEVE_ANY_DICT && value->n > 0)
		return (struct branch){ &value->pairs->key, 2 * value->n };
	return (struct branch){ NULL, 0 };
}

static int put_node(struct buf *b, const struct reeve_any *value)
{
	switch (value->kind) {
	case REEVE_ANY_NIL:
		return codec_put_nil(b);
	case REEVE_ANY_BOOL:
		return codec_put_bool(b, value->boolean);
	case REEVE_ANY_INT:
		return codec_put_int(b, value->integer);
	case REEVE_ANY_DOUBLE:
		return codec_put_double(b, value->number);
	case REEVE_ANY_STRING:
		return codec_put_string(b, value->string, value->n);
	case REEVE_ANY_BYTES:
		return codec_put_bytes(b, value->bytes, value->n);
	case REEVE_ANY_LIST:
		return codec_put_list(b, value->n);
	case REEVE_ANY_DICT:
		return codec_put_dict(b, value->n);
	}
	return -EINVAL;
}

/* All of it, by and by. A tree that contains itself ends as too deep. */
static int put_tree(struct buf *b, const struct reeve_any *value)
{
	struct branch branches[REEVE_ANY_DEPTH_MAX + 1];
	size_t depth = 0;

	branches[0] = (struct branch){ value, 1 };
	for (;;) {
		struct branch *branch = &branches[depth];

		if (branch->left == 0) {
			if (depth-- == 0)
				return 0;
			continue;
		}
		branch->left--;
		const struct reeve_any *node = branch->next++;
		int r = put_node(b, node);
		if (r < 0)
			return r;
		if (node->kind != REEVE_ANY_LIST &&
		    node->kind != REEVE_ANY_DICT)
			continue;
		if (depth == REEVE_ANY_DEPTH_MAX)
			return -E2BIG;
		branches[++depth] = branch_of(node);
	}
}

/* Is what was written there something that may be read? */
static int check_written(const struct buf *b, size_t begin)
{
	struct reader r = {
		.data = (const unsigned char *)b->data + begin,
		.size = b->len - begin,
	};
	struct extent extent;

	int error = walk_value(&r, &extent);
	return error == -EBADMSG ? -EINVAL : error;
}

int codec_put(struct buf *b, const struct reeve_any *value)
{
	size_t begin = b->len;

	int r = put_tree(b, value);
	if (r == 0 && value->kind >= REEVE_ANY_STRING)
		r = check_written(b, begin);
	if (r < 0)
		buf_truncate(b, begin);
	return r;
}

/* ---- reading ---------------------------------------------------------------- */

struct place {
	struct reeve_any *next;
	size_t left;
};

struct builder {
	struct place places[REEVE_ANY_DEPTH_MAX + 1];
	size_t depth;
	struct reeve_any *nodes; /* the next that is free */
	char *text;
};

static const char *keep_text(struct builder *b, const struct item *item)
{
	char *text = b->text;

	reeve_assert(text != NULL); /* the walk has counted it */
	if (item->n > 0)
		memcpy(text, item->data, item->n);
	text[item->n] = '\0';
	b->text += item->n + 1;
	return text;
}

/* The next so many nodes are those of a list or dict that begins. */
static struct reeve_any *keep_nodes(struct builder *b, size_t n)
{
	struct reeve_any *nodes = b->nodes;

	if (n == 0)
		return NULL;
	reeve_assert(nodes != NULL);
	b->nodes += n;
	b->places[++b->depth] = (struct place){ nodes, n };
	return nodes;
}

static void build_node(struct builder *b, const struct item *item,
		       struct reeve_any *node)
{
	*node = (struct reeve_any){ .kind = item->kind, .n = item->n };
	switch (item->kind) {
	case REEVE_ANY_NIL:
		break;
	case REEVE_ANY_BOOL:
		node->boolean = item->boolean;
		break;
	case REEVE_ANY_INT:
		node->integer = item->integer;
		break;
	case REEVE_ANY_DOUBLE:
		node->number = item->number;
		break;
	case REEVE_ANY_STRING:
	case REEVE_ANY_BYTES:
		node->string = keep_text(b, item);
		break;
	case REEVE_ANY_LIST:
		node->items = keep_nodes(b, item->n);
		break;
	case REEVE_ANY_DICT:
		node->pairs = (void *)keep_nodes(b, 2 * item->n);
		break;
	}
}

/* The value that the walk has found to be sound. */
static void build(struct reader *r, void *memory, const struct extent *extent,
		  struct reeve_any *ret)
{
	struct builder b = { .nodes = memory };
	struct item item;

	if (memory != NULL)
		b.text = (char *)(b.nodes + (extent->n_items - 1));
	b.places[0] = (struct place){ ret, 1 };
	for (;;) {
		struct place *place = &b.places[b.depth];

		if (place->left == 0) {
			if (b.depth-- == 0)
				break;
			continue;
		}
		place->left--;
		int error = item_take(r, &item);
		reeve_assert(error == 0);
		build_node(&b, &item, place->next++);
	}
	ret->memory = memory;
}

int codec_get(struct reader *r, struct reeve_any *ret)
{
	struct reader from = *r;
	struct extent extent;
	void *memory = NULL;

	int error = walk_value(r, &extent);
	if (error < 0)
		return error;
	/* No overflow: there are no more items, and no more text, than bytes. */
	size_t size =
		(extent.n_items - 1) * sizeof(struct reeve_any) + extent.n_text;
	if (size > 0 && (memory = malloc(size)) == NULL) {
		*r = from;
		return -ENOMEM;
	}
	build(&from, memory, &extent, ret);
	return 0;
}
