/* Random values for tests of the Manager's encoding: the same seed, the same
 * value. Nested up to REEVE_ANY_DEPTH_MAX, of at most some thousand items. */
#pragma once

#include <math.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/rng.h"
#include "workers/manager/codec.h"

#define TREE_NODES 120
#define TREE_ITEMS 3000

struct tree {
	struct reeve_any nodes[TREE_NODES];
	struct reeve_pair pairs[TREE_NODES][8];
	size_t depth[TREE_NODES], n_items[TREE_NODES];
};

static inline struct reeve_any tree_string(struct rng *rng)
{
	static const char *const texts[] = {
		"",
		"a",
		"north",
		"\xc3\xa4\xc3\xb6",
		"\xf0\x9f\x98\x80",
		"a text that is longer than twenty-three bytes",
	};

	return reeve_any_string(texts[rng_below(rng, ARRAY_SIZE(texts))]);
}

static inline struct reeve_any tree_bytes(struct rng *rng)
{
	static const char bytes[300] = "\0\xff\x80 some bytes";

	return reeve_any_bytes(bytes, rng_below(rng, sizeof(bytes)));
}

/* Of all sizes, equally. */
static inline int64_t tree_integer(struct rng *rng)
{
	return (int64_t)(rng_next(rng) >> rng_below(rng, 64)) *
	       (rng_below(rng, 2) > 0 ? 1 : -1);
}

static inline double tree_double(struct rng *rng)
{
	static const double numbers[] = { 0.0,	 -0.0,	   1.5,	      65504,
					  0.1,	 INFINITY, -INFINITY, NAN,
					  1e300, 100000,   0x1p-24 };

	return numbers[rng_below(rng, ARRAY_SIZE(numbers))];
}

static inline struct reeve_any tree_scalar(struct rng *rng)
{
	switch (rng_below(rng, 6)) {
	case 0:
		return reeve_any_nil();
	case 1:
		return reeve_any_bool(rng_below(rng, 2) > 0);
	case 2:
		return reeve_any_double(tree_double(rng));
	case 3:
		return tree_string(rng);
	case 4:
		return tree_bytes(rng);
	default:
		return reeve_any_int(tree_integer(rng));
	}
}

/* The i-th key of a dict: of any kind, and another than those before. */
static inline struct reeve_any tree_key(struct rng *rng, size_t i)
{
	static const char *const words[] = { "a", "b",	"c",  "dd",
					     "",  "ff", "gg", "h" };

	switch (rng_below(rng, 3)) {
	case 0:
		return reeve_any_int((int64_t)i * 1000 - 3000);
	case 1:
		return reeve_any_string(words[i]);
	default:
		return i < 2 ? reeve_any_bool(i > 0)
			     : reeve_any_bytes(&words[5], i);
	}
}

/* A list or dict of nodes that came before: n of them from the first on. */
static inline void tree_branch(struct tree *t, struct rng *rng, size_t i,
			       size_t first, size_t n)
{
	bool is_dict = rng_below(rng, 2) > 0;

	t->n_items[i] = 1 + (is_dict ? n : 0);
	t->depth[i] = 1;
	for (size_t j = first; j < first + n; j++) {
		t->n_items[i] += t->n_items[j];
		t->depth[i] = MAX(t->depth[i], t->depth[j] + 1);
	}
	for (size_t j = 0; is_dict && j < n; j++)
		t->pairs[i][j] = (struct reeve_pair){ tree_key(rng, j),
						      t->nodes[first + j] };
	t->nodes[i] = is_dict ? reeve_any_dict(t->pairs[i], n)
			      : reeve_any_list(&t->nodes[first], n);
}

/* The value lives in t. */
static inline struct reeve_any *tree_grow(struct tree *t, uint64_t seed)
{
	struct rng rng = { seed };
	size_t n_nodes = 1 + rng_below(&rng, TREE_NODES);

	for (size_t i = 0; i < n_nodes; i++) {
		size_t n = rng_below(&rng, 8);

		t->nodes[i] = tree_scalar(&rng);
		t->n_items[i] = 1;
		t->depth[i] = 0;
		if (i < 8 || rng_below(&rng, 3) > 0)
			continue;
		tree_branch(t, &rng, i, i - n, n);
		if (t->depth[i] <= REEVE_ANY_DEPTH_MAX &&
		    t->n_items[i] <= TREE_ITEMS)
			continue;
		t->nodes[i] = tree_scalar(&rng);
		t->n_items[i] = 1;
		t->depth[i] = 0;
	}
	return &t->nodes[n_nodes - 1];
}
