/* An intrusive binary heap of deadlines: O(log n) to set and cancel, O(1) to
 * see the earliest. Pure; the embedding object owns the node, the heap owns
 * only an array of pointers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
	uint64_t key;  /* read it; change it with heap_set only */
	size_t index1; /* place in the heap plus one; 0: not in it */
};

struct heap {
	struct heap_node **nodes;
	size_t n_nodes, n_allocated;
};

/* Makes room for n nodes in all, so that heap_set cannot fail up to there.
 * Returns 0 or -ENOMEM. */
int heap_reserve(struct heap *h, size_t n);

/* Inserts node with this key or moves it there. Returns 0 or -ENOMEM (only
 * beyond what was reserved). Equal keys come out in no promised order. */
int heap_set(struct heap *h, struct heap_node *node, uint64_t key);

/* Takes node out; fine when it is not in. */
void heap_remove(struct heap *h, struct heap_node *node);

/* The node with the least key, or NULL. */
struct heap_node *heap_first(const struct heap *h);

static inline bool heap_contains(const struct heap_node *node)
{
	return node->index1 > 0;
}

void heap_done(struct heap *h);
