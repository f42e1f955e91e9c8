/* Memory that is counted, and bounded.
 *
 * Properties
 *   What a store keeps is allocated here, so that bytes is what it costs, with what
 *   malloc(3) adds to it. What would go beyond max is refused.
 * Operation
 *   credit is what the request that is being done will give back when it is done (a
 *   value that is replaced): so much more may be taken meanwhile. Whoever sets it
 *   clears it.
 * Safety
 *   Pure but for malloc.
 */
#pragma once

#include <stddef.h>

#define PURSE_BLOCK_BYTES 16 /* what a block costs besides its size */

struct purse {
	size_t bytes, max;
	size_t credit;
	int error; /* why the last that failed did: -ENOSPC (over max), -ENOMEM */
};

/* New, uninitialised memory; or NULL, and error says why. */
void *purse_new(struct purse *p, size_t size);

/* The same with zeros. */
void *purse_new_zero(struct purse *p, size_t size);

/* size as it was asked for. NULL is nothing. */
void purse_free(struct purse *p, void *pointer, size_t size);
