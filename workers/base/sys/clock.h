/* The clock: the only place that reads one. */
#pragma once

#include <stdint.h>

uint64_t clock_monotonic_usec(void);

/* Wall clock, for showing only; no interval is ever measured with it. */
uint64_t clock_realtime_usec(void);
