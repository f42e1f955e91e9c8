/* Who has how many unfinished tasks of a joinable queue.
 *
 * Properties
 *   A task is unfinished while it is in the queue, and then while its taker's
 *   entry counts it; there is no sum beside these. An entry is a process. That of
 *   a dead one is written off: its tasks are counted as lost.
 *   Taking a task is two changes, the entry's and the queue's head, and a process
 *   may be killed between them. So the intent is written first: where the head
 *   was, and the count. Whoever finds the head there puts the count back.
 * Operation
 *   tally_take(); move the head; tally_taken(). After a death tally_repair().
 * Safety
 *   All calls with the queue's get_lock held. What stands here may be garbage:
 *   it is bounded, and leads to wrong counts at worst.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "workers/shared/region.h"

#define TALLY_ENTRIES 256 /* REEVE_QUEUE_TAKERS_MAX */

struct tally_entry {
	struct party party;
	_Atomic uint32_t n;
};

struct tally {
	_Atomic uint64_t n_lost;
	/* The intent. */
	_Atomic uint64_t head;
	_Atomic uint32_t n_before;
	_Atomic uint32_t place; /* index plus one; 0: none */
	struct tally_entry entries[TALLY_ENTRIES];
};

/* The calling process is about to take a task from head. Returns 0, or -EUSERS
 * (no entry is free, and no one is dead). */
int tally_take(struct tally *tally, uint64_t head);

/* It has. */
void tally_taken(struct tally *tally);

/* The last owner of the lock died; the head is where it is. */
void tally_repair(struct tally *tally, uint64_t head);

/* The calling process has finished one. Returns 0, or -EPERM (it has none). */
int tally_finish(struct tally *tally);

/* Writes off the entries of processes that were reaped, quickly; see
 * party_is_gone(). */
void tally_bury(struct tally *tally);

/* How many are taken and unfinished, after writing off those of the dead. */
uint64_t tally_unfinished(struct tally *tally);
