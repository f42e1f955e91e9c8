/* See arena.h. */
#include "conf/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/macro.h"

#if defined(__SANITIZE_ADDRESS__)
#define EACH_ALONE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EACH_ALONE 1
#endif
#endif
#ifndef EACH_ALONE
#define EACH_ALONE 0
#endif

#define CHUNK_MAX 65536

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, size;
	alignas(max_align_t) char data[];
};

static struct arena_chunk *chunk_new(size_t size)
{
	struct arena_chunk *c;

	if (size > SIZE_MAX - sizeof(*c))
		return NULL;
	c = malloc(sizeof(*c) + size);
	if (!c)
		return NULL;
	c->next = NULL;
	c->used = 0;
	c->size = size;
	return c;
}

/* An object that would waste much of a chunk gets one of its own, behind the
 * one that is being filled. */
static void *alloc_alone(struct arena *a, size_t size)
{
	struct arena_chunk *c = chunk_new(size);

	if (!c)
		return NULL;
	c->used = size;
	if (a->chunks) {
		c->next = a->chunks->next;
		a->chunks->next = c;
	} else {
		a->chunks = c;
	}
	return c->data;
}

static void *take(struct arena *a, size_t size, size_t align)
{
	struct arena_chunk *c = a->chunks;
	size_t at;

	if (EACH_ALONE || size > a->chunk_bytes / 4)
		return alloc_alone(a, size);
	at = c ? (c->used + align - 1) & ~(align - 1) : 0;
	if (!c || at > c->size || size > c->size - at) {
		c = chunk_new(a->chunk_bytes);
		if (!c)
			return NULL;
		c->next = a->chunks;
		a->chunks = c;
		a->chunk_bytes = MIN(a->chunk_bytes * 2, CHUNK_MAX);
		at = 0;
	}
	c->used = at + size;
	return c->data + at;
}

void *arena_alloc(struct arena *a, size_t size_bytes)
{
	void *p = take(a, size_bytes, alignof(max_align_t));

	if (p)
		memset(p, 0, size_bytes);
	return p;
}

void *arena_copy(struct arena *a, const void *data, size_t size_bytes)
{
	void *p = take(a, size_bytes, alignof(max_align_t));

	if (p && size_bytes > 0)
		memcpy(p, data, size_bytes);
	return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
	char *p = take(a, len + 1, 1);

	if (!p)
		return NULL;
	memcpy(p, s, len);
	p[len] = '\0';
	return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

void arena_done(struct arena *a)
{
	while (a->chunks) {
		struct arena_chunk *next = a->chunks->next;

		free(a->chunks);
		a->chunks = next;
	}
}
