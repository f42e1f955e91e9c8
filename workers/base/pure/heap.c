/* A binary heap in an array: the parent of i is (i - 1) / 2, no node's key is
 * less than its parent's, and each node knows its place (index1), which makes
 * changing and removing as cheap as inserting.
 */
#include "workers/base/pure/heap.h"

#include <errno.h>
#include <stdlib.h>

#include "workers/base/pure/macro.h"

#define ALLOCATED_MIN 16

static void place(struct heap *h, size_t i, struct heap_node *node)
{
	h->nodes[i] = node;
	node->index1 = i + 1;
}

static void sift_up(struct heap *h, size_t i)
{
	struct heap_node *node = h->nodes[i];

	while (i > 0) {
		size_t parent = (i - 1) / 2;
		if (h->nodes[parent]->key <= node->key)
			break;
		place(h, i, h->nodes[parent]);
		i = parent;
	}
	place(h, i, node);
}

static void sift_down(struct heap *h, size_t i)
{
	struct heap_node *node = h->nodes[i];

	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= h->n_nodes)
			break;
		if (child + 1 < h->n_nodes &&
		    h->nodes[child + 1]->key < h->nodes[child]->key)
			child++;
		if (node->key <= h->nodes[child]->key)
			break;
		place(h, i, h->nodes[child]);
		i = child;
	}
	place(h, i, node);
}

/* Restores the order around i, whichever way its key has changed. */
static void sift(struct heap *h, size_t i)
{
	struct heap_node *node = h->nodes[i];

	sift_up(h, i);
	sift_down(h, node->index1 - 1);
}

/* A node of another heap would corrupt both without a sound. */
static void assert_is_ours(const struct heap *h, const struct heap_node *node)
{
	reeve_assert(node->index1 <= h->n_nodes);
	reeve_assert(h->nodes[node->index1 - 1] == node);
}

int heap_reserve(struct heap *h, size_t n)
{
	if (n <= h->n_allocated)
		return 0;
	if (n > SIZE_MAX / 2 / sizeof(struct heap_node *))
		return -ENOMEM;

	struct heap_node **nodes =
		realloc(h->nodes, n * sizeof(struct heap_node *));
	if (nodes == NULL)
		return -ENOMEM;
	h->nodes = nodes;
	h->n_allocated = n;
	return 0;
}

int heap_set(struct heap *h, struct heap_node *node, uint64_t key)
{
	if (heap_contains(node)) {
		assert_is_ours(h, node);
		node->key = key;
		sift(h, node->index1 - 1);
		return 0;
	}

	if (h->n_nodes == h->n_allocated) {
		int r = heap_reserve(h, MAX(ALLOCATED_MIN, 2 * h->n_nodes));
		if (r < 0)
			return r;
	}
	node->key = key;
	place(h, h->n_nodes++, node);
	sift_up(h, h->n_nodes - 1);
	return 0;
}

void heap_remove(struct heap *h, struct heap_node *node)
{
	if (!heap_contains(node))
		return;
	assert_is_ours(h, node);

	size_t i = node->index1 - 1;
	struct heap_node *last = h->nodes[--h->n_nodes];
	node->index1 = 0;
	if (last == node)
		return;
	place(h, i, last);
	sift(h, i);
}

struct heap_node *heap_first(const struct heap *h)
{
	return h->n_nodes > 0 ? h->nodes[0] : NULL;
}

void heap_done(struct heap *h)
{
	/* The nodes are left alone: their objects may be gone already. */
	free(h->nodes);
	*h = (struct heap){ 0 };
}
