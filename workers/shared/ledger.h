/* Who takes part in an object, by process: what the living have of it, and what
 * comes back from the dead.
 *
 * Properties
 *   LEDGER_SIZE entries in the object's memory, each a process and a number
 *   whose meaning is the object's. An entry is there when its pid is, which is
 *   written last; the number of a free one is 0. Each change is one store, so a
 *   death in the middle leaves an entry of the dead, never half an entry.
 * Operation
 *   Everything under the object's guard. ledger_self() finds or makes the
 *   caller's entry; ledger_next_dead() walks over those whose process is gone,
 *   for the object to take back what they have and ledger_drop() them.
 * Safety
 *   No index is read from shared memory without being bounded.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <reeve/sync.h>

#include "workers/shared/region.h"

#define LEDGER_SIZE REEVE_PARTIES_MAX

struct ledger_entry {
	struct party who;
	_Atomic uint64_t value;
};

struct ledger {
	_Atomic uint32_t n_used; /* none behind this one was ever used */
	_Atomic uint64_t looked_usec;
	struct ledger_entry entries[LEDGER_SIZE];
};

/* The calling process's entry; NULL when it has none. */
struct ledger_entry *ledger_find(struct ledger *ledger);

/* The same, made if need be; NULL when LEDGER_SIZE others are there. */
struct ledger_entry *ledger_self(struct ledger *ledger);

/* The entry that follows after (NULL: the first), for walking over all that are
 * used; NULL at the end. */
struct ledger_entry *ledger_next(struct ledger *ledger,
				 struct ledger_entry *after);

/* The same, only those whose process is gone. */
struct ledger_entry *ledger_next_dead(struct ledger *ledger,
				      struct ledger_entry *after);

/* Frees the entry. */
void ledger_drop(struct ledger_entry *entry);

/* Frees those whose process was reaped, quickly; see party_is_gone(). */
void ledger_drop_gone(struct ledger *ledger);

/* Whether it is time to look for the dead: true once in LEDGER_LOOK_USEC, for
 * one of many who wait. */
#define LEDGER_LOOK_USEC UINT64_C(10000)
bool ledger_is_due(struct ledger *ledger);

/* From now on it is, for the first who asks. */
void ledger_look_now(struct ledger *ledger);
