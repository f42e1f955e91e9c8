/* Asking a result: whether there is an outcome, which, and the output; and cancelling.
 */
#include <errno.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/pool/outcome.h"
#include "workers/pool/pool.h"

/* There is an outcome, and nobody who could be writing it. */
static bool is_settled(const struct reeve_result *r)
{
	return !r->pool->is_threaded && result_is_over(r) &&
	       r->pool->fork_mark[0];
}

int reeve_result_wait(struct reeve_result *r, uint64_t timeout_usec)
{
	int error;

	if (!r)
		return -EINVAL;
	if (is_settled(r))
		return 0;
	error = pool_enter(r->pool);
	if (error < 0)
		return error;
	error = pool_wait(r->pool, result_is_over, r, timeout_usec);
	pool_leave(r->pool);
	return error;
}

int reeve_result_get_view(struct reeve_result *r, uint64_t timeout_usec,
			  const void **ret_output, size_t *ret_size)
{
	int error = ret_output && ret_size ? reeve_result_wait(r, timeout_usec)
					   : -EINVAL;

	if (error < 0)
		return error;
	r->is_seen = true;
	if (r->kind == REEVE_DONE) {
		*ret_output = r->output;
		*ret_size = r->output_size;
	}
	return outcome_error(r->kind, r->status);
}

int reeve_result_get(struct reeve_result *r, uint64_t timeout_usec,
		     void *output, size_t output_size, size_t *ret_size)
{
	const void *view = NULL;
	size_t size = 0;
	int error = reeve_result_get_view(r, timeout_usec, &view, &size);

	if (error != 0)
		return error;
	if (output && size > 0)
		memcpy(output, view, MIN(size, output_size));
	if (ret_size)
		*ret_size = size;
	return 0;
}

/* In a CALLER pool nothing arrives unless somebody looks. */
int reeve_result_ready(struct reeve_result *r)
{
	int error;

	if (!r)
		return -EINVAL;
	if (is_settled(r))
		return 1;
	error = pool_enter(r->pool);
	if (error < 0)
		return error;
	if (!result_is_over(r) && !r->pool->is_threaded) {
		(void)pool_work(r->pool);
		pool_call_back(r->pool);
	}
	error = result_is_over(r);
	pool_leave(r->pool);
	return error;
}

int reeve_result_successful(struct reeve_result *r)
{
	int ready = reeve_result_ready(r);

	if (ready <= 0)
		return ready < 0 ? ready : -EAGAIN;
	r->is_seen = true;
	return r->kind == REEVE_DONE;
}

static void tell_outcome(struct reeve_result *r,
			 struct reeve_outcome *ret_outcome)
{
	r->is_seen = r->kind != REEVE_PENDING;
	if (r->details) {
		*ret_outcome = *r->details;
		return;
	}
	*ret_outcome = (struct reeve_outcome){
		.kind = r->kind,
		.error = r->status,
		.seat = r->seat,
		.pid = r->pid,
		.n_crashes = r->n_crashes,
	};
}

/* The service thread may be writing it. Who is inside already has the lock. */
void reeve_result_outcome(struct reeve_result *r,
			  struct reeve_outcome *ret_outcome)
{
	bool is_entered;

	if (!ret_outcome)
		return;
	if (!r) {
		*ret_outcome = (struct reeve_outcome){ .kind = REEVE_PENDING };
		return;
	}
	is_entered = r->pool->is_threaded && pool_enter(r->pool) == 0;
	tell_outcome(r, ret_outcome);
	if (is_entered)
		pool_leave(r->pool);
}

size_t reeve_result_deaths(struct reeve_result *r,
			   struct reeve_death *ret_deaths, size_t n)
{
	bool is_entered;
	size_t n_found;

	if (!r)
		return 0;
	is_entered = r->pool->is_threaded && pool_enter(r->pool) == 0;
	n_found = trail_copy(r->trail, ret_deaths, n);
	if (is_entered)
		pool_leave(r->pool);
	return n_found;
}

int reeve_result_cancel(struct reeve_result *r)
{
	struct reeve_pool *pool;
	int error;

	if (!r)
		return -EINVAL;
	pool = r->pool;
	error = pool_enter(pool);
	if (error < 0)
		return error;
	if (!result_is_over(r)) /* it may be done already */
		(void)engine_collect(&pool->engine);
	if (result_is_over(r)) {
		error = r->kind == REEVE_CANCELLED ? 0 : -EALREADY;
	} else {
		(void)engine_cancel(&pool->engine,
				    r->map ? map_job(r->map) : &r->job);
		(void)engine_collect(&pool->engine);
		pool_submitted(pool);
		if (result_is_over(r) && r->kind != REEVE_CANCELLED)
			error = -EALREADY; /* it was faster */
	}
	if (!pool->in_callback)
		pool_call_back(pool);
	pool_leave(pool);
	return error;
}
