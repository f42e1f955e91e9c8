/* The deaths of a pool's workers: what the board says of an end, in words and as a
 * record, and the last ones.
 *
 * Properties
 *   A worker that left as planned has not died. What ran in it is the engine's to
 *   say: see struct engine_end.
 *   The last REEVE_DEATHS_MAX are kept in place: a death needs no memory.
 * Safety
 *   Pure but for the clocks, by which the time of an end is told.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <reeve/pool.h>

#include "workers/pool/board.h"
#include "workers/pool/engine.h"

struct deaths {
	uint64_t n; /* so far */
	struct reeve_death last[REEVE_DEATHS_MAX];
};

/* Seat i's record is stable (state ENDED); phase is that of its channel, which
 * the worker could have written: it only chooses a word. Returns whether it died,
 * or left as planned. */
bool deaths_describe(const struct seat *seat, unsigned i, uint32_t phase,
		     struct engine_end *ret);

/* The same when the keeper died, and nobody has seen the worker's end. */
void deaths_describe_unseen(const struct seat *seat, unsigned i,
			    struct engine_end *ret);

void deaths_add(struct deaths *deaths, const struct reeve_death *death);

/* As reeve_pool_report(). */
size_t deaths_copy(const struct deaths *deaths, struct reeve_death *ret,
		   size_t n);
