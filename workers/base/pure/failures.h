/* How many failed starts are too many, and when to try again. Pure.
 *
 * Properties
 *   A start fails when what was started (a pool's worker, a manager's server)
 *   does not get ready, or, of a server, ends. More than limit failures within
 *   interval_usec, with no progress meanwhile, are too many: then the fault is
 *   not that one's but the program's, and trying on would only hide it. In
 *   between, starts wait: FAILURE_DELAY_MIN_USEC, twice that, ...
 *   What the system refuses (no process, no memory, no descriptor) delays
 *   likewise, but is never too much: it may pass.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FAILURE_DELAY_MIN_USEC UINT64_C(5000)
#define FAILURE_DELAY_MAX_USEC UINT64_C(1000000)

struct failures {
	unsigned limit;
	uint64_t interval_usec;
	unsigned n;	     /* since the interval began */
	uint64_t since_usec; /* when it did */
	unsigned n_in_a_row; /* doublings of the delay */
	uint64_t not_before_usec;
	uint64_t progress; /* as it was at the last failure */
};

/* A start has failed. progress is any number that moves when work gets done.
 * Returns true when that was one too many. */
bool failures_add(struct failures *f, uint64_t now_usec, uint64_t progress);

/* The system refused a process. */
void failures_delay(struct failures *f, uint64_t now_usec);

/* A worker was ready and ended at once, for no task's fault: the next start is
 * delayed, the more the more often without any task done in between. */
void failures_hasty(struct failures *f, uint64_t now_usec, uint64_t progress);

/* It did not refuse this time. */
void failures_pass(struct failures *f);
