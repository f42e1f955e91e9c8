/* The processes that this one has started; private. */
#pragma once

#include <stdint.h>

#include "workers/process/process.h"

/* To be called before anything else here. Returns 0 or -ENOMEM. */
int family_init(void);

/* A number that is another one in a forked child: handles that were made
 * before are not its own. */
uint64_t family_generation(void);

/* Enters a handle whose process has started, and takes it out again. */
void family_add(struct reeve_process *p);
void family_remove(struct reeve_process *p);

/* Takes p, whose process may still run and whom nobody holds any more; it is
 * deleted when that has ended. p is not in the family. */
void family_release(struct reeve_process *p);

/* Reaps the released ones that have ended. */
void family_sweep(void);

/* Writes "process-N", N counting up. */
void family_make_name(char name[static REEVE_PROCESS_NAME_MAX + 1]);

/* In a process that runs a function: what it is called. */
void family_set_own_name(const char *name);
