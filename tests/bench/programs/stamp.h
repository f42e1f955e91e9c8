/* What the programs of the benchmarks tell: 16 bytes in one write to a FIFO,
 * so that the stamps of thousands of processes do not mix. supervisors.py
 * reads them (struct format "=IIQ"). */
#pragma once

#include <stdint.h>

struct stamp {
	uint32_t pid;
	uint32_t id;
	uint64_t nsec; /* CLOCK_MONOTONIC */
};
