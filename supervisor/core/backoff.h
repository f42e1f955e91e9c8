/* How long to wait before the next start. Pure.
 *
 * The first restart after a stable run is immediate (delay 0) unless the run
 * never got ready; then delay, 2*delay, 4*delay ... up to the maximum, each
 * spread by +-jitter percent, never past the maximum, never 0 after the
 * first. A run of at least restart_reset_after resets the count. */
#pragma once

#include <stdint.h>

#include "conf/settings.h"
#include "workers/base/pure/rng.h"

/* failures: how many in a row before this one (0: the first). */
uint64_t backoff_delay_usec(const struct worker_settings *p, uint32_t failures,
			    struct rng *rng);

/* The same before jitter: what lifecycle remembers and tests can foretell. */
uint64_t backoff_base_usec(const struct worker_settings *p, uint32_t failures);

/* first_usec doubled so many times, at most max_usec. */
uint64_t backoff_doubled_usec(uint64_t first_usec, uint64_t max_usec,
			      uint32_t doublings);

/* delay_usec spread evenly by +-percent (100 at most), within 1 .. max_usec;
 * 0 stays 0. */
uint64_t backoff_jitter_usec(uint64_t delay_usec, uint64_t max_usec,
			     uint32_t percent, struct rng *rng);
