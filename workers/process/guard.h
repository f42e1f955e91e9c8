/* The guard of a process: see guard.c; private. */
#pragma once

#include "workers/process/process.h"

/* Starts a guard of p, whose pid and pidfd are known and which does nothing
 * yet. To be called with all signals blocked. Returns 0 with p->guard_pidfd, or
 * -errno. */
int guard_start(struct reeve_process *p);

/* Ends and reaps a guard that is not needed any more, if there is one. */
void guard_end(int *guard_pidfd);
