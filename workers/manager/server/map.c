/* See map.h.
 *
 * Entries are appended; the index is a hash table with linear probing, whose slots
 * say which entry (its number plus two), that there never was one, or that there
 * was one. Taking out leaves a hole in the entries and a mark in the index; each
 * hole has its mark, so that both are used up at the same time, and then all is
 * built anew, in the size that is needed. At least a third of the index has never
 * been used: a search always ends.
 */
#include "workers/manager/server/map.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "workers/base/pure/macro.h"

_Static_assert(crypto_shorthash_KEYBYTES == MAP_KEY_BYTES, "SipHash");
_Static_assert(crypto_shorthash_BYTES == sizeof(uint64_t), "SipHash");

#define INDEX_MIN   8
#define INDEX_MAX   (SIZE_MAX / 64 < UINT32_MAX ? SIZE_MAX / 64 : (size_t)1 << 31)
#define SHRINK_FROM 128
#define SHRINK_AT   8

enum {
	SLOT_UNUSED, /* since the index was built */
	SLOT_LEFT,
	SLOT_FIRST, /* entry 0 */
};

static size_t capacity_of(size_t index_size)
{
	return index_size / 3 * 2;
}

uint64_t map_hash(const unsigned char hash_key[static MAP_KEY_BYTES],
		  const void *key, size_t size)
{
	uint64_t hash;

	(void)crypto_shorthash((unsigned char *)&hash, key, size, hash_key);
	return hash;
}

/* The slot that says which entry; or the one that was never used. */
static size_t find_slot(const struct map *m, uint64_t hash, const void *key,
			size_t size)
{
	size_t mask = m->index_size - 1, i = hash & mask;

	for (; m->index[i] != SLOT_UNUSED; i = (i + 1) & mask) {
		const struct map_entry *entry;

		if (m->index[i] == SLOT_LEFT)
			continue;
		entry = &m->entries[m->index[i] - SLOT_FIRST];
		if (entry->hash == hash && cell_equal(&entry->key, key, size))
			break;
	}
	return i;
}

struct map_entry *map_find(const struct map *m, uint64_t hash, const void *key,
			   size_t size)
{
	size_t slot;

	if (m->n == 0)
		return NULL;
	slot = find_slot(m, hash, key, size);
	return m->index[slot] == SLOT_UNUSED
		       ? NULL
		       : &m->entries[m->index[slot] - SLOT_FIRST];
}

/* The key is not there: the first slot that is not in use will do. But a mark that
 * is used again would not go with its hole; so one that was never used. */
static void put_in_index(struct map *m, size_t number)
{
	size_t mask = m->index_size - 1, i = m->entries[number].hash & mask;

	while (m->index[i] != SLOT_UNUSED)
		i = (i + 1) & mask;
	m->index[i] = (uint32_t)(number + SLOT_FIRST);
}

static size_t index_bytes(size_t index_size)
{
	return index_size * sizeof(uint32_t);
}

static size_t entries_bytes(size_t index_size)
{
	return capacity_of(index_size) * sizeof(struct map_entry);
}

static void free_memory(struct purse *p, struct map *m)
{
	purse_free(p, m->entries, entries_bytes(m->index_size));
	purse_free(p, m->index, index_bytes(m->index_size));
}

/* Builds it anew, without holes. */
static int rebuild(struct purse *p, struct map *m, size_t index_size)
{
	struct map new = { .n = m->n,
			   .bytes = m->bytes,
			   .index_size = index_size,
			   .capacity = capacity_of(index_size) };
	size_t saved = p->credit;

	if (m->index) /* is given back */
		p->credit += entries_bytes(m->index_size) +
			     index_bytes(m->index_size) + 2 * PURSE_BLOCK_BYTES;
	new.entries = purse_new(p, entries_bytes(index_size));
	if (new.entries)
		new.index = purse_new_zero(p, index_bytes(index_size));
	p->credit = saved;
	if (!new.index) {
		purse_free(p, new.entries, entries_bytes(index_size));
		return p->error;
	}
	for (struct map_entry *e = map_next(m, NULL); e; e = map_next(m, e)) {
		new.entries[new.n_entries] = *e;
		put_in_index(&new, new.n_entries++);
	}
	free_memory(p, m);
	*m = new;
	return 0;
}

/* The least index for so many. */
static size_t index_for(size_t n)
{
	size_t size = INDEX_MIN;

	while (capacity_of(size) < n)
		size *= 2;
	return size;
}

int map_reserve(struct purse *p, struct map *m, size_t n)
{
	size_t needed = m->n + n, size;
	int r;

	if (n > capacity_of(INDEX_MAX) || needed > capacity_of(INDEX_MAX) / 2)
		return -ENOSPC;
	if (n <= m->capacity - m->n_entries)
		return 0;
	/* half of it free: as many adds, at least, until the next time */
	size = index_for(needed + needed / 2 + 1);
	r = rebuild(p, m, size);
	if (r < 0 && index_for(needed) < size)
		r = rebuild(p, m, index_for(needed));
	return r;
}

void map_add(struct map *m, uint64_t hash, struct cell key, struct cell value)
{
	struct map_entry *entry = &m->entries[m->n_entries];

	reeve_assert(m->n_entries < m->capacity);
	*entry = (struct map_entry){ hash, key, value };
	put_in_index(m, m->n_entries);
	m->n_entries++;
	m->n++;
	m->bytes += cell_size(&key) + cell_size(&value);
}

void map_set(struct purse *p, struct map *m, struct map_entry *entry,
	     struct cell value)
{
	m->bytes -= cell_size(&entry->value);
	m->bytes += cell_size(&value);
	cell_replace(p, &entry->value, value);
}

static void shrink(struct purse *p, struct map *m)
{
	if (m->index_size >= SHRINK_FROM && m->n <= m->capacity / SHRINK_AT)
		(void)rebuild(p, m, index_for(2 * m->n + 1));
}

void map_remove(struct purse *p, struct map *m, struct map_entry *entry)
{
	size_t slot = find_slot(m, entry->hash, cell_data(&entry->key),
				cell_size(&entry->key));

	reeve_assert(m->index[slot] >= SLOT_FIRST);
	m->index[slot] = SLOT_LEFT;
	m->bytes -= cell_size(&entry->key) + cell_size(&entry->value);
	cell_drop(p, &entry->key);
	cell_drop(p, &entry->value);
	m->n--;
	if (m->n == 0) { /* the holes cost nothing more */
		m->n_entries = 0;
		memset(m->index, 0, index_bytes(m->index_size));
	}
	shrink(p, m);
}

struct map_entry *map_next(const struct map *m, const struct map_entry *entry)
{
	size_t i = entry ? (size_t)(entry - m->entries) + 1 : 0;

	for (; i < m->n_entries; i++)
		if (!cell_is_empty(&m->entries[i].key))
			return &m->entries[i];
	return NULL;
}

void map_clear(struct purse *p, struct map *m)
{
	for (struct map_entry *e = map_next(m, NULL); e; e = map_next(m, e)) {
		cell_drop(p, &e->value);
		cell_drop(p, &e->key);
	}
	free_memory(p, m);
	*m = (struct map){ 0 };
}
