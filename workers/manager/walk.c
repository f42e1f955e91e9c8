/* See walk.h. The lists and dicts that are open are levels of an array, since the
 * depth is bounded and the stack of a server is not for strangers to fill.
 */
#include "workers/manager/walk.h"

#include <errno.h>

#include "workers/base/pure/macro.h"
#include "workers/manager/item.h"
#include "workers/manager/keys.h"

struct level {
	size_t left; /* items to come; keys are items */
	size_t first_key;
	bool is_dict;
};

struct walk {
	struct level levels[REEVE_ANY_DEPTH_MAX];
	size_t depth; /* how many of these are open */
	struct extent extent;
	struct keys keys;
};

static int open_level(struct walk *w, const struct item *item)
{
	if (w->depth == REEVE_ANY_DEPTH_MAX)
		return -E2BIG;

	bool is_dict = item->kind == REEVE_ANY_DICT;
	w->levels[w->depth++] = (struct level){
		.left = is_dict ? 2 * item->n : item->n,
		.first_key = w->keys.n,
		.is_dict = is_dict,
	};
	w->extent.depth = MAX(w->extent.depth, w->depth);
	return 0;
}

/* Closes those that are complete. */
static int close_levels(struct walk *w)
{
	while (w->depth > 0 && w->levels[w->depth - 1].left == 0) {
		const struct level *level = &w->levels[--w->depth];
		int error = level->is_dict
				    ? keys_end(&w->keys, level->first_key)
				    : 0;
		if (error < 0)
			return error;
	}
	return 0;
}

/* The item that began there has its place in a list or dict. */
static int place_item(struct walk *w, const struct item *item, size_t begin,
		      size_t end)
{
	struct level *level = &w->levels[w->depth - 1];
	bool is_key = level->is_dict && level->left % 2 == 0;

	level->left--;
	if (!is_key)
		return 0;
	return item_is_key(item) ? keys_add(&w->keys, begin, end - begin)
				 : -EBADMSG;
}

static int walk_item(struct walk *w, struct reader *r)
{
	struct item item;
	size_t begin = r->position;

	int error = item_take(r, &item);
	if (error == 0 && w->depth > 0)
		error = place_item(w, &item, begin, r->position);
	if (error < 0)
		return error;
	w->extent.n_items++;
	if (item.kind == REEVE_ANY_STRING || item.kind == REEVE_ANY_BYTES)
		w->extent.n_text += item.n + 1;
	if (item.kind == REEVE_ANY_LIST || item.kind == REEVE_ANY_DICT)
		error = open_level(w, &item);
	return error < 0 ? error : close_levels(w);
}

int walk_value(struct reader *r, struct extent *ret)
{
	struct walk w;
	size_t begin = r->position;
	int error;

	w.depth = 0;
	w.extent = (struct extent){ 0 };
	keys_init(&w.keys, r->data);
	do
		error = walk_item(&w, r);
	while (error == 0 && w.depth > 0);
	keys_done(&w.keys);
	if (error < 0)
		r->position = begin;
	else
		*ret = w.extent;
	return error;
}
