/* The interval begins with a failure and is counted afresh by the first one
 * after its end, so that two numbers are all there is to remember. It may let
 * through twice the limit around a boundary; what matters is that a fault which
 * stays is found, and one that has passed is forgotten.
 */
#include "workers/base/pure/failures.h"

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"

#define DOUBLINGS_MAX 16U

void failures_delay(struct failures *f, uint64_t now_usec)
{
	uint64_t delay_usec = FAILURE_DELAY_MIN_USEC
			      << MIN(f->n_in_a_row, DOUBLINGS_MAX);

	f->n_in_a_row += f->n_in_a_row < DOUBLINGS_MAX;
	f->not_before_usec =
		usec_add(now_usec, MIN(delay_usec, FAILURE_DELAY_MAX_USEC));
}

void failures_hasty(struct failures *f, uint64_t now_usec, uint64_t progress)
{
	if (progress != f->progress)
		f->n_in_a_row = 0;
	f->progress = progress;
	failures_delay(f, now_usec);
}

void failures_pass(struct failures *f)
{
	/* Failed starts keep their delay: only work, or time, forgives. */
	if (f->n == 0)
		f->n_in_a_row = 0;
}

bool failures_add(struct failures *f, uint64_t now_usec, uint64_t progress)
{
	bool is_forgiven = progress != f->progress;

	f->progress = progress;
	if (f->n == 0 || is_forgiven ||
	    usec_sub(now_usec, f->since_usec) > f->interval_usec) {
		f->n = 0;
		f->n_in_a_row = 0;
		f->since_usec = now_usec;
	}
	f->n += f->n < UINT32_MAX;
	failures_delay(f, now_usec);
	return f->n > f->limit;
}
