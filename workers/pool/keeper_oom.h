/* Was a SIGKILL the kernel's, for want of memory? Told from the counter
 * oom_kill of the keeper's own cgroup v2, in which its workers are too. */
#pragma once

#include <stdint.h>

#include "workers/pool/board.h"

struct oom {
	int fd; /* memory.events.local; -1: not readable here */
	uint64_t n_kills;
};

/* Opens the counter, if there is one. */
void oom_open(struct oom *oom);

/* The same for the counter in fd (takes it). */
void oom_init(struct oom *oom, int fd);

/* A worker died of a SIGKILL that was not ours. The counter tells that there
 * was such a kill since the last look, not whom it hit: each is counted for
 * one worker only. */
enum seat_oom oom_judge(struct oom *oom);

void oom_done(struct oom *oom);
