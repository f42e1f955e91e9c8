/* See outcome.h. */
#include "workers/pool/outcome.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "workers/base/pure/macro.h"

const char *reeve_outcome_name(enum reeve_outcome_kind kind)
{
	static const char *const names[] = {
		[REEVE_PENDING] = "pending", [REEVE_DONE] = "done",
		[REEVE_FAILED] = "failed",   [REEVE_CRASHED] = "crashed",
		[REEVE_TIMEOUT] = "timeout", [REEVE_CANCELLED] = "cancelled",
	};

	return (size_t)kind < ARRAY_SIZE(names) ? names[kind] : "unknown";
}

void outcome_of_failure(struct reeve_outcome *outcome, int status,
			const struct job_place *place, const void *text,
			size_t size)
{
	*outcome = (struct reeve_outcome){
		.kind = REEVE_FAILED,
		.error = status,
		.seat = place->seat,
		.pid = place->pid,
		.n_crashes = trail_n_crashes(place->trail),
	};
	if (size > 0)
		memcpy(outcome->message, text,
		       MIN(size, sizeof(outcome->message) - 1));
	else
		(void)snprintf(outcome->message, sizeof(outcome->message),
			       "the function returned %d", status);
}

int outcome_error(enum reeve_outcome_kind kind, int status)
{
	switch (kind) {
	case REEVE_DONE:
		return 0;
	case REEVE_FAILED:
		return status;
	case REEVE_CRASHED:
		return -EPIPE;
	case REEVE_TIMEOUT:
		return -ETIMEDOUT;
	case REEVE_CANCELLED:
		return status < 0 ? status : -ECANCELED;
	case REEVE_PENDING:
		break;
	}
	return -EINPROGRESS;
}
