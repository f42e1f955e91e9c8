/* Memory that is freed all at once: everything that one load, or one instance
 * of a worker, is made of.
 *
 * A configuration is thousands of small strings that live and die together;
 * out of a few chunks they cost neither an allocator header each nor a
 * destructor that could forget one. Nothing is ever given back singly. Under
 * AddressSanitizer every object is an allocation of its own, so that an
 * overflow is seen.
 */
#pragma once

#include <stddef.h>

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks; /* the first one is being filled */
	size_t chunk_bytes;	    /* of the next chunk */
};

#define ARENA_INIT(bytes) ((struct arena){ .chunk_bytes = (bytes) })

/* Each returns NULL without memory. */
void *arena_alloc(struct arena *a, size_t size_bytes); /* aligned, zeroed */
void *arena_copy(struct arena *a, const void *data, size_t size_bytes);
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t len);

void arena_done(struct arena *a);
