/* Outcomes: words for them, and what is known of how a task failed. */
#pragma once

#include <reeve/pool.h>

#include "workers/pool/engine.h"

/* The function returned status; output is its message, if it wrote one. */
void outcome_of_failure(struct reeve_outcome *outcome, int status,
			const struct job_place *place, const void *text,
			size_t size);

/* What apply and get return for an outcome. */
int outcome_error(enum reeve_outcome_kind kind, int status);
