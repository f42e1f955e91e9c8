#include "workers/base/pure/heap.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/rng.h"

START_TEST(test_empty)
{
	struct heap h = { 0 };
	struct heap_node n = { 0 };

	ck_assert_ptr_null(heap_first(&h));
	heap_remove(&h, &n); /* not in it: fine */
	ck_assert(!heap_contains(&n));
	heap_done(&h);
	heap_done(&h);
}
END_TEST

START_TEST(test_comes_out_in_order)
{
	struct heap h = { 0 };
	struct heap_node nodes[100] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
		ck_assert_int_eq(heap_set(&h, &nodes[i], i * 37 % 100), 0);
		ck_assert(heap_contains(&nodes[i]));
	}
	for (uint64_t key = 0; key < ARRAY_SIZE(nodes); key++) {
		struct heap_node *first = heap_first(&h);
		ck_assert_uint_eq(first->key, key);
		heap_remove(&h, first);
		ck_assert(!heap_contains(first));
	}
	ck_assert_ptr_null(heap_first(&h));
	heap_done(&h);
}
END_TEST

START_TEST(test_set_moves_a_node)
{
	struct heap h = { 0 };
	struct heap_node a = { 0 }, b = { 0 }, c = { 0 };

	heap_set(&h, &a, 1);
	heap_set(&h, &b, 2);
	heap_set(&h, &c, 3);
	heap_set(&h, &a, UINT64_MAX); /* later: down */
	ck_assert_ptr_eq(heap_first(&h), &b);
	heap_set(&h, &c, 0); /* earlier: up */
	ck_assert_ptr_eq(heap_first(&h), &c);
	heap_set(&h, &c, 0); /* the same */
	ck_assert_ptr_eq(heap_first(&h), &c);
	ck_assert_uint_eq(h.n_nodes, 3);
	heap_done(&h);
}
END_TEST

/* No node's key is less than its parent's. */
static bool is_ordered(const struct heap *h)
{
	for (size_t i = 1; i < h->n_nodes; i++)
		if (h->nodes[(i - 1) / 2]->key > h->nodes[i]->key)
			return false;
	return true;
}

/* The last node moves into the gap; there it may have to go up, not down. */
START_TEST(test_remove_moves_the_last_up)
{
	static const uint64_t keys[] = { 0, 10, 1, 11, 12, 2, 3 };
	struct heap h = { 0 };
	struct heap_node nodes[ARRAY_SIZE(keys)] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		heap_set(&h, &nodes[i], keys[i]);
	heap_remove(&h, &nodes[3]); /* 11, below 10; 3 comes here */
	ck_assert(is_ordered(&h));
	heap_done(&h);
}
END_TEST

START_TEST(test_reserved_room_does_not_move)
{
	enum { N = 1000 };
	struct heap h = { 0 };
	struct heap_node *nodes = calloc(N, sizeof(*nodes));

	ck_assert_int_eq(heap_reserve(&h, N), 0);
	struct heap_node **array = h.nodes;
	ck_assert_int_eq(heap_reserve(&h, N / 2), 0);
	for (size_t i = 0; i < N; i++)
		ck_assert_int_eq(heap_set(&h, &nodes[i], N - i), 0);
	ck_assert_ptr_eq(h.nodes, array);
	ck_assert_int_eq(heap_reserve(&h, SIZE_MAX / 2), -ENOMEM);
	ck_assert_ptr_eq(heap_first(&h), &nodes[N - 1]);
	heap_done(&h);
	free(nodes);
}
END_TEST

/* Whether the heap agrees with the model: key_of[i] is the key of node i, or 0
 * when it is not in. (Not a row of ck_assert: each costs a system call.) */
static bool agrees(const struct heap *h, const struct heap_node *nodes,
		   const uint64_t *key_of, size_t n)
{
	const struct heap_node *first = heap_first(h);
	uint64_t least = UINT64_MAX;
	size_t n_in = 0;

	for (size_t i = 0; i < n; i++) {
		if (heap_contains(&nodes[i]) != (key_of[i] > 0))
			return false;
		if (key_of[i] == 0)
			continue;
		if (nodes[i].key != key_of[i] ||
		    h->nodes[nodes[i].index1 - 1] != &nodes[i])
			return false;
		least = MIN(least, key_of[i]);
		n_in++;
	}
	if (h->n_nodes != n_in)
		return false;
	return n_in == 0 ? first == NULL : first->key == least;
}

START_TEST(test_random_operations_agree_with_a_model)
{
	enum { N = 64, OPERATIONS = 10000 };
	struct heap h = { 0 };
	struct heap_node nodes[N] = { 0 };
	uint64_t key_of[N] = { 0 };
	struct rng r = { 20260131 };

	for (int k = 0; k < OPERATIONS; k++) {
		size_t i = rng_below(&r, N);
		/* Phases of growing and shrinking; few keys, so that many are
		 * equal. */
		if (rng_below(&r, 100) < (k / 1000 % 2 ? 70U : 30U)) {
			heap_remove(&h, &nodes[i]);
			key_of[i] = 0;
		} else {
			key_of[i] = 1 + rng_below(&r, 100);
			ck_assert_int_eq(heap_set(&h, &nodes[i], key_of[i]), 0);
		}
		ck_assert(agrees(&h, nodes, key_of, N));
		ck_assert(is_ordered(&h));
	}
	heap_done(&h);
}
END_TEST

static void remove_from_the_wrong_heap(_unused_ void *arg)
{
	struct heap a = { 0 }, b = { 0 };
	struct heap_node in_a = { 0 }, in_b = { 0 };

	heap_set(&a, &in_a, 1);
	heap_set(&b, &in_b, 1);
	heap_remove(&a, &in_b);
}

START_TEST(test_node_of_another_heap_is_caught)
{
	ck_assert_int_eq(unit_fork(remove_from_the_wrong_heap, NULL, NULL),
			 -SIGABRT);
}
END_TEST

UNIT_MAIN("heap", test_empty, test_comes_out_in_order, test_set_moves_a_node,
	  test_remove_moves_the_last_up, test_reserved_room_does_not_move,
	  test_random_operations_agree_with_a_model,
	  test_node_of_another_heap_is_caught)
