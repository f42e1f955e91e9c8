/* Processes. */
#ifndef REEVE_PROCESS_H
#define REEVE_PROCESS_H

#include <reeve/types.h>

REEVE_DECLARATIONS_BEGIN

/* How many CPUs the calling process may use: the least of those online, those
 * in its affinity mask, and what cpu.max of its cgroup (v2) and those above
 * allow, rounded up. At least 1. Reads files; asked again, it may change. */
REEVE_PUBLIC unsigned reeve_cpu_count(void);

REEVE_DECLARATIONS_END

#endif
