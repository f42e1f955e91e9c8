/* The keys of dicts that are being walked over: is one there twice?
 *
 * Properties
 *   Keys are remembered as where their bytes lie, 8 bytes for each that has really
 *   come; a few need no memory. Asking costs about as much as the keys have
 *   bytes, whatever they are: the table hashes with SipHash and a fresh random
 *   key, so nobody can choose keys that collide.
 * Operation
 *   A stack: the keys of an inner dict are added behind those of the outer one, and
 *   forgotten when it ends.
 * Safety
 *   The bytes stay where they are meanwhile.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define KEYS_FEW 16 /* compared each with each */

struct key {
	uint32_t position, size;
};

struct keys {
	const unsigned char *data; /* where position 0 is */
	struct key *all;	   /* few, or allocated */
	size_t n, n_allocated;
	struct key few[KEYS_FEW];
};

/* No copying: it may point into itself. */
void keys_init(struct keys *k, const unsigned char *data);
void keys_done(struct keys *k);

/* Returns 0; -ENOMEM (also: a position or size beyond 32 bits). */
int keys_add(struct keys *k, size_t position, size_t size);

/* Are those from the first-th on all different? 0; -EBADMSG (no), -ENOMEM. Forgets
 * them. */
int keys_end(struct keys *k, size_t first);
