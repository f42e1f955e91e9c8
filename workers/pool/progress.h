/* How far a task is: written by its worker as often as it likes, read by the owner
 * whenever it asks.
 *
 * Properties
 *   A note says whose it is (place in the ring, use of the slot, item), so that
 *   the owner never takes one task's progress for another's. It lies in memory
 *   that the worker shares, and is as true as the worker is.
 *   There are two records, written in turns, each under a sequence number that is
 *   odd meanwhile. So the last whole note can be read while the next one is
 *   being written, also when its writer was stopped or killed in the middle.
 * Operation
 *   progress_write() in the worker, progress_read() in the owner.
 * Safety
 *   One writer. No locks, no system calls; a reader looks some times at most.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <reeve/task.h>

struct progress_note {
	uint64_t position; /* of the slot, in all that the channel had */
	uint64_t word;	   /* slot_word(SLOT_FREE, tag, item) */
	struct reeve_progress progress;
};

#define PROGRESS_WORDS (sizeof(struct progress_note) / sizeof(uint64_t))

struct progress_record {
	_Atomic uint64_t sequence;
	_Atomic uint64_t words[PROGRESS_WORDS];
};

struct progress_board {
	_Alignas(64) _Atomic uint32_t latest; /* of the records; its last bit */
	struct progress_record records[2];
};

void progress_write(struct progress_board *board,
		    const struct progress_note *note);

/* The last note, whoever's it is. Returns false when it could not be read as a
 * whole. */
bool progress_read(const struct progress_board *board,
		   struct progress_note *ret);
