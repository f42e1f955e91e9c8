/* Settings that the tests of supervisor/core begin with: supervisor's defaults
 * but for a short ladder, no jitter, and autorestart = yes. */
#pragma once

#include <signal.h>

#include "conf/settings.h"
#include "workers/base/pure/usec.h"

static inline struct worker_settings core_settings(void)
{
	return (struct worker_settings){
		.autorestart = AUTORESTART_YES,
		.exitcodes = { .codes = { 1 } },
		.startsecs_usec = 1 * USEC_PER_SEC,
		.startretries = 3,
		.stop = { { { SIGTERM, 10 * USEC_PER_SEC },
			    { SIGINT, 5 * USEC_PER_SEC },
			    { SIGKILL, 0 } },
			  3 },
		.stopwaitsecs_usec = 10 * USEC_PER_SEC,
		.type = WORKER_SIMPLE,
		.start_timeout_usec = 90 * USEC_PER_SEC,
		.restart_delay_usec = 1 * USEC_PER_SEC,
		.restart_delay_max_usec = 60 * USEC_PER_SEC,
		.restart_reset_after_usec = 60 * USEC_PER_SEC,
		.recycle_max = 1,
	};
}
