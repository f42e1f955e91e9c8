/* A dict of cells, in the order in which its keys came.
 *
 * Properties
 *   As Python's: to replace a value keeps the key's place; a key that was taken out
 *   and comes again is the last. Found by SipHash with the store's random key, so
 *   that nobody can choose keys that collide.
 * Operation
 *   { 0 } is empty. What may fail is map_reserve() alone; then map_add().
 *   for (entry = map_next(m, NULL); entry; entry = map_next(m, entry)) walks.
 * Safety
 *   Pure but for malloc. An entry stays where it is until the next reserve or
 *   remove.
 */
#pragma once

#include "workers/manager/server/cell.h"

#define MAP_KEY_BYTES 16 /* of the hash */

struct map_entry {
	uint64_t hash;
	struct cell key; /* empty: it was taken out */
	struct cell value;
};

struct map {
	struct map_entry *entries; /* in order, capacity of them */
	uint32_t *index;	   /* hash to entry, see map.c */
	size_t n;		   /* with a key */
	size_t n_entries;	   /* begun */
	size_t capacity, index_size;
	size_t bytes; /* of all keys and values, encoded */
};

uint64_t map_hash(const unsigned char hash_key[static MAP_KEY_BYTES],
		  const void *key, size_t size);

/* The entry of a key, or NULL. */
struct map_entry *map_find(const struct map *m, uint64_t hash, const void *key,
			   size_t size);

/* Room for n more keys. Returns 0, -ENOSPC, -ENOMEM. */
int map_reserve(struct purse *p, struct map *m, size_t n);

/* A key that is not there. Takes both cells. */
void map_add(struct map *m, uint64_t hash, struct cell key, struct cell value);

void map_set(struct purse *p, struct map *m, struct map_entry *entry,
	     struct cell value);

/* Takes it out, dropping both. */
void map_remove(struct purse *p, struct map *m, struct map_entry *entry);

struct map_entry *map_next(const struct map *m, const struct map_entry *entry);

void map_clear(struct purse *p, struct map *m);
