/* Sorting would do without randomness, but n log n comparisons of keys that lie
 * anywhere in 16 MiB miss the cache each time: seconds, where the table takes a
 * tenth of that. Up to KEYS_FEW, each with each is the fastest.
 *
 * The table holds numbers of keys, plus one, by open addressing, and is at most
 * half full. It lives for one dict, when that ends: so the keys that a length
 * promises cost nothing, those that came 8 bytes, and 8 to 16 at the end.
 */
#include "workers/manager/keys.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "workers/base/pure/macro.h"

struct table {
	const struct keys *keys;
	uint32_t *slots;
	size_t mask;
	unsigned char secret[crypto_shorthash_siphash24_KEYBYTES];
};

void keys_init(struct keys *k, const unsigned char *data)
{
	k->data = data;
	k->all = k->few;
	k->n = 0;
	k->n_allocated = ARRAY_SIZE(k->few);
}

void keys_done(struct keys *k)
{
	if (k->all != k->few)
		free(k->all);
	keys_init(k, NULL);
}

static int grow(struct keys *k)
{
	bool was_few = k->all == k->few;
	size_t n = 4 * k->n_allocated;

	struct key *all =
		reallocarray(was_few ? NULL : k->all, n, sizeof(*all));
	if (all == NULL)
		return -ENOMEM;
	if (was_few)
		memcpy(all, k->few, sizeof(k->few));
	k->all = all;
	k->n_allocated = n;
	return 0;
}

int keys_add(struct keys *k, size_t position, size_t size)
{
	if (position > UINT32_MAX || size > UINT32_MAX ||
	    k->n >= UINT32_MAX / 4)
		return -ENOMEM;
	if (k->n == k->n_allocated && grow(k) < 0)
		return -ENOMEM;
	k->all[k->n++] = (struct key){ (uint32_t)position, (uint32_t)size };
	return 0;
}

static bool is_equal(const struct keys *k, const struct key *a,
		     const struct key *b)
{
	return a->size == b->size &&
	       memcmp(k->data + a->position, k->data + b->position, a->size) ==
		       0;
}

static int check_few(const struct keys *k, size_t first)
{
	for (size_t i = first; i < k->n; i++)
		for (size_t j = first; j < i; j++)
			if (is_equal(k, &k->all[i], &k->all[j]))
				return -EBADMSG;
	return 0;
}

static size_t hash(const struct table *t, const struct key *key)
{
	uint64_t h;

	_Static_assert(sizeof(h) == crypto_shorthash_siphash24_BYTES, "");
	(void)crypto_shorthash_siphash24((unsigned char *)&h,
					 t->keys->data + key->position,
					 key->size, t->secret);
	return (size_t)h;
}

/* Puts a key into the table. */
static int put(struct table *t, size_t index, size_t h)
{
	const struct keys *k = t->keys;
	size_t i = h & t->mask;

	for (; t->slots[i] > 0; i = (i + 1) & t->mask)
		if (is_equal(k, &k->all[t->slots[i] - 1], &k->all[index]))
			return -EBADMSG;
	t->slots[i] = (uint32_t)index + 1;
	return 0;
}

/* A large table is not in the cache: the slots of a few keys are fetched side by
 * side. */
static int put_all(struct table *t, size_t first)
{
	const struct keys *k = t->keys;
	size_t h[KEYS_FEW];

	for (size_t begin = first; begin < k->n; begin += KEYS_FEW) {
		size_t n = MIN(k->n - begin, KEYS_FEW);
		for (size_t i = 0; i < n; i++) {
			h[i] = hash(t, &k->all[begin + i]);
			__builtin_prefetch(&t->slots[h[i] & t->mask]);
		}
		for (size_t i = 0; i < n; i++)
			if (put(t, begin + i, h[i]) < 0)
				return -EBADMSG;
	}
	return 0;
}

static int check_many(const struct keys *k, size_t first)
{
	struct table t = { .keys = k };
	size_t n_slots = 4 * KEYS_FEW;

	while (n_slots < 2 * (k->n - first))
		n_slots *= 2;
	t.mask = n_slots - 1;
	/* No table without a secret. (So few bytes come at once or not at all.) */
	if (getrandom(t.secret, sizeof(t.secret), 0) != sizeof(t.secret))
		return -ENOMEM;
	t.slots = calloc(n_slots, sizeof(*t.slots));
	if (t.slots == NULL)
		return -ENOMEM;
	int r = put_all(&t, first);
	free(t.slots);
	return r;
}

int keys_end(struct keys *k, size_t first)
{
	int r = k->n - first <= KEYS_FEW ? check_few(k, first)
					 : check_many(k, first);

	k->n = first;
	return r;
}
