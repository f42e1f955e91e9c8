/* Single tasks: apply, apply_async, and the result that stands for one.
 *
 * A result is the task: its job, input, output and outcome. apply() has it on
 * the stack with the caller's own buffers, so a small task costs no allocation;
 * apply_async() takes one from the pool's spare ones. References: the pool's
 * until the callbacks have returned, and the caller's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/clock.h"
#include "workers/pool/outcome.h"
#include "workers/pool/pool.h"

#define SAMPLE_EVERY 1024

static struct reeve_result *result_of(struct job *job)
{
	return container_of(job, struct reeve_result, job);
}

bool result_is_over(const void *result)
{
	return ((const struct reeve_result *)result)->kind != REEVE_PENDING;
}

/* ---- life ------------------------------------------------------------------------ */

static void sample_begin(struct reeve_result *r)
{
	if (r->pool->n_sampled++ % SAMPLE_EVERY == 0)
		r->begun_usec = clock_monotonic_usec();
}

static void sample_end(struct reeve_result *r)
{
	struct reeve_pool *pool = r->pool;
	uint64_t usec;

	if (r->begun_usec == 0)
		return;
	usec = clock_monotonic_usec() - r->begun_usec;
	pool->n_samples++;
	pool->latency_sum += usec;
	pool->latency_max = MAX(pool->latency_max, usec);
}

struct reeve_result *result_new(struct reeve_pool *pool)
{
	struct reeve_result *r = TAILQ_FIRST(&pool->spare);

	if (r) {
		TAILQ_REMOVE(&pool->spare, r, entry);
		pool->n_spare--;
		memset(r, 0, offsetof(struct reeve_result, small_input));
	} else {
		r = calloc(1, sizeof(*r));
		if (!r)
			return NULL;
	}
	r->pool = pool_ref(pool);
	atomic_store_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

/* Nobody has asked how it went, and it did not go well. */
static void report_unseen(struct reeve_result *r)
{
	struct reeve_pool *pool = r->pool;
	bool in_source = pool->in_source; /* a generator's unref */
	struct reeve_outcome outcome;

	if (r->is_seen || r->kind == REEVE_DONE || r->kind == REEVE_CANCELLED ||
	    r->kind == REEVE_PENDING || r->error_callback)
		return;
	pool->n_unseen++;
	if (!pool->spec.on_unseen)
		return;
	reeve_result_outcome(r, &outcome);
	pool->in_source = true;
	pool->spec.on_unseen(&outcome, pool->spec.userdata);
	pool->in_source = in_source;
}

static void result_free(struct reeve_result *r)
{
	struct reeve_pool *pool = r->pool;

	report_unseen(r);
	if (r->owns_input)
		free(r->input);
	if (r->owns_output)
		free(r->output);
	free(r->details);
	free(r->trail);
	if (r->map)
		map_free(r->map);
	if (pool->n_spare < POOL_SPARE_RESULTS) {
		TAILQ_INSERT_HEAD(&pool->spare, r, entry);
		pool->n_spare++;
	} else {
		free(r);
	}
	pool->refs--; /* the caller, who is inside, has another one */
}

/* Returns true when it was the last one. Who has the only one need not fear that
 * others take or give back another. */
static bool give_back(struct reeve_result *r)
{
	if (atomic_load_explicit(&r->refs, memory_order_acquire) == 1)
		return true;
	return atomic_fetch_sub(&r->refs, 1) == 1;
}

void result_release(struct reeve_result *r)
{
	if (give_back(r))
		result_free(r);
}

void result_free_released(struct reeve_pool *pool)
{
	struct reeve_result *r = atomic_exchange(&pool->released, NULL), *next;

	for (; r; r = next) {
		next = r->next_released;
		result_free(r);
	}
}

/* While another thread is inside, or just leaves. */
static void free_by_other(struct reeve_pool *pool, struct reeve_result *r)
{
	/* From when it is on the list it may be gone, and the pool with it, but
	 * for this. */
	atomic_fetch_add(&pool->n_releasing, 1);
	r->next_released = atomic_load(&pool->released);
	while (!atomic_compare_exchange_weak(&pool->released, &r->next_released,
					     r))
		continue;
	while (!pool_ask(pool))
		if (pool_enter(pool) == 0) {
			pool_ref(pool);
			result_free_released(pool);
			atomic_fetch_sub(&pool->n_releasing, 1);
			pool_leave_unref(pool);
			return;
		}
	atomic_fetch_sub(&pool->n_releasing, 1);
}

struct reeve_result *reeve_result_ref(struct reeve_result *r)
{
	if (r)
		atomic_fetch_add(&r->refs, 1);
	return r;
}

struct reeve_result *reeve_result_unref(struct reeve_result *r)
{
	struct reeve_pool *pool = r ? r->pool : NULL;

	if (!r || !pool->fork_mark[0] || !give_back(r))
		return NULL;
	switch (pool_enter(pool)) {
	case 0:
		pool_ref(pool);
		result_free(r);
		pool_leave_unref(pool);
		break;
	case -EDEADLK: /* in a generator: inside */
		result_free(r);
		break;
	default:
		free_by_other(pool, r);
	}
	return NULL;
}

/* ---- the job ----------------------------------------------------------------------- */

static bool single_next(struct job *job, uint32_t max_items _unused_,
			struct piece *ret)
{
	struct reeve_result *r = result_of(job);

	if (r->is_given)
		return false;
	r->is_given = true;
	*ret = (struct piece){
		.n_items = 1,
		.item_size = (uint32_t)r->size,
		.is_single = true,
		.is_last = true,
	};
	return true;
}

static const void *single_input(struct job *job,
				const struct piece *piece _unused_,
				size_t *ret_size)
{
	*ret_size = result_of(job)->size;
	return result_of(job)->input;
}

/* Into the caller's buffer, the small one, or one from the heap. */
static int keep_output(struct reeve_result *r, const struct port_output *output)
{
	size_t size = output->size;

	if (!r->output && size <= sizeof(r->small_output)) {
		r->output = r->small_output;
		r->output_room = sizeof(r->small_output);
	} else if (!r->output) {
		r->output = malloc(size);
		if (!r->output)
			return -ENOMEM;
		r->owns_output = true;
		r->output_room = size;
	}
	memcpy(r->output, output->data, MIN(size, r->output_room));
	r->output_size = size;
	return 0;
}

void result_finish(struct reeve_result *r, const struct reeve_outcome *outcome,
		   struct trail *trail)
{
	struct reeve_pool *pool = r->pool;

	r->kind = outcome->kind;
	r->status = outcome->error;
	r->seat = outcome->seat;
	r->pid = outcome->pid;
	r->n_crashes = outcome->n_crashes;
	r->trail = trail;
	r->details = malloc(sizeof(*r->details));
	if (r->details) /* else its kind and code are what is left */
		*r->details = *outcome;
	pool->n_watched -= r->progress_callback != NULL;
	pool->n_tasks--;
	pool->n_outcomes++;
	TAILQ_INSERT_TAIL(&pool->finished, r, entry);
}

static uint32_t single_done(struct job *job, const struct piece *piece _unused_,
			    uint32_t n _unused_,
			    const struct port_output *output,
			    const struct job_place *place)
{
	struct reeve_result *r = result_of(job);
	struct reeve_pool *pool = r->pool;
	struct reeve_outcome outcome;
	int status = output->status;

	if (status == 0)
		status = keep_output(r, output);
	sample_end(r);
	pool->n_bytes -= r->owns_input ? r->size : 0;
	if (status != 0) {
		outcome_of_failure(&outcome, status, place, output->data,
				   output->has_message ? output->size : 0);
		result_finish(r, &outcome, place->trail);
		return 0;
	}
	r->kind = REEVE_DONE;
	r->seat = place->seat;
	r->pid = place->pid;
	pool->n_watched -= r->progress_callback != NULL;
	r->n_crashes = trail_n_crashes(place->trail);
	r->trail = place->trail;
	pool->n_tasks--;
	pool->n_outcomes++;
	if (r->callback)
		TAILQ_INSERT_TAIL(&pool->finished, r, entry);
	else
		result_release(r);
	return 1;
}

static void single_ended(struct job *job, uint64_t index _unused_,
			 const struct reeve_outcome *outcome,
			 struct trail *trail)
{
	struct reeve_result *r = result_of(job);

	r->pool->n_bytes -= r->owns_input ? r->size : 0;
	result_finish(r, outcome, trail);
}

static uint64_t single_abandon(struct job *job,
			       const struct reeve_outcome *outcome)
{
	if (result_of(job)->is_given)
		return 0;
	result_of(job)->is_given = true;
	single_ended(job, 0, outcome, NULL);
	return 1;
}

static uint64_t single_waiting(struct job *job)
{
	return !result_of(job)->is_given;
}

static const struct job_type single_type = {
	.next = single_next,
	.waiting = single_waiting,
	.input = single_input,
	.done = single_done,
	.ended = single_ended,
	.abandon = single_abandon,
};

struct reeve_result *result_of_job(struct job *job)
{
	return job && job->type == &single_type ? result_of(job) : NULL;
}

/* ---- apply --------------------------------------------------------------------------- */

static int check_task(const struct reeve_pool *pool, const void *input,
		      size_t size)
{
	if (size > 0 && !input)
		return -EINVAL;
	if (size > pool->payload_max)
		return -EMSGSIZE;
	return pool_admits(pool);
}

static void submit(struct reeve_pool *pool, struct reeve_result *r)
{
	r->job.type = &single_type;
	r->job.number = ++pool->n_jobs;
	pool->n_tasks++;
	sample_begin(r);
	engine_submit(&pool->engine, &r->job);
	pool_submitted(pool);
}

/* The caller's own buffers are the task's: nothing is copied twice. */
static int apply(struct reeve_pool *pool, const struct reeve_result *task,
		 size_t *output_size, struct reeve_outcome *ret_outcome)
{
	struct reeve_result *r = result_new(pool);
	bool is_helper;
	int error;

	if (!r)
		return -ENOMEM;
	result_share(r); /* ours, and the pool's */
	r->job = task->job;
	r->input = task->input;
	r->size = task->size;
	r->output = task->output;
	r->output_room = output_size ? *output_size : 0;
	is_helper = pool->is_dormant; /* then we are going to help: no bell */
	pool->n_helpers += is_helper;
	submit(pool, r);
	pool->n_helpers -= is_helper;
	(void)pool_wait(pool, result_is_over, r, REEVE_FOREVER);
	if (output_size && r->kind == REEVE_DONE)
		*output_size = r->output_size;
	r->is_seen = true;
	if (ret_outcome)
		reeve_result_outcome(r, ret_outcome);
	error = outcome_error(r->kind, r->status);
	result_release(r);
	return error;
}

int reeve_pool_apply(struct reeve_pool *pool, reeve_task_fn *fn,
		     const void *input, size_t size, void *output,
		     size_t *output_size, struct reeve_outcome *ret_outcome)
{
	static const struct job_wishes none;
	struct reeve_result task = {
		.input = (void *)(uintptr_t)input,
		.size = size,
		.output = output,
	};
	int error = pool_enter(pool);

	if (ret_outcome)
		ret_outcome->kind = REEVE_PENDING;
	if (error < 0)
		return error;
	error = check_task(pool, input, size);
	if (error == 0)
		error = pool_prepare(pool, fn, &none, &task.job);
	if (error == -ESHUTDOWN && pool->is_broken && ret_outcome)
		*ret_outcome = pool->why;
	if (error == 0 && output && !output_size)
		error = -EINVAL;
	if (error == 0)
		error = pool_may_wait(pool);
	if (error == 0)
		error = apply(pool, &task, output_size, ret_outcome);
	pool_leave(pool);
	return error;
}

static int copy_input(struct reeve_result *r, const void *input, size_t size)
{
	r->size = size;
	r->input = r->small_input;
	if (size > sizeof(r->small_input)) {
		r->input = malloc(size);
		if (!r->input)
			return -ENOMEM;
		r->owns_input = true;
	}
	if (size > 0)
		memcpy(r->input, input, size);
	return 0;
}

/* The caller's, as apply's. */
static int borrow_input(struct reeve_result *r, const void *input, size_t size)
{
	r->size = size;
	r->input = (void *)(uintptr_t)input;
	return 0;
}

static int apply_async(struct reeve_pool *pool, reeve_task_fn *fn,
		       const void *input, size_t size,
		       const struct reeve_apply_spec *spec,
		       struct reeve_result **ret_result)
{
	bool stays = spec && spec->input_stays;
	struct job_wishes wishes = { 0 };
	struct reeve_result *r;
	struct job job = { 0 };
	int error = check_task(pool, input, size);

	if (spec)
		wishes = (struct job_wishes){ spec->priority, spec->max_crashes,
					      spec->retry_delay_usec };
	if (error == 0)
		error = pool_prepare(pool, fn, &wishes, &job);
	if (error < 0)
		return error;
	if (pool->n_tasks >= pool->spec.queue_tasks ||
	    (size > CHANNEL_INLINE_SIZE && !stays &&
	     pool->n_bytes + size > pool->spec.queue_bytes))
		return -EAGAIN;
	r = result_new(pool);
	if (!r)
		return -ENOMEM;
	error = stays ? borrow_input(r, input, size)
		      : copy_input(r, input, size);
	if (error < 0) {
		r->kind = REEVE_CANCELLED;
		result_release(r);
		return error;
	}
	pool->n_bytes += r->owns_input ? size : 0;
	r->job = job;
	if (spec) {
		r->callback = spec->callback;
		r->error_callback = spec->error_callback;
		r->progress_callback = spec->progress_callback;
		pool->n_watched += r->progress_callback != NULL;
		r->userdata = spec->userdata;
	}
	if (ret_result) {
		result_share(r);
		*ret_result = r;
	}
	submit(pool, r);
	return 0;
}

int reeve_pool_apply_async(struct reeve_pool *pool, reeve_task_fn *fn,
			   const void *input, size_t size,
			   const struct reeve_apply_spec *spec,
			   struct reeve_result **ret_result)
{
	int error = pool_enter(pool);

	if (error < 0)
		return error;
	error = apply_async(pool, fn, input, size, spec, ret_result);
	pool_leave(pool);
	return error;
}
