/* imap and imap_unordered: outputs one by one, while others are still running.
 * The calls; the rest is in imap_job.c.
 */
#include "workers/pool/imap.h"

#include <errno.h>
#include <stdlib.h>

#include "workers/base/pure/macro.h"

#define DEFAULT_IMAP_WINDOW 1024
#define IMAP_WINDOW_MAX	    (1u << 20)
#define CHUNKS_PER_WORKER   2 /* that the default window has room for */

/* ---- making one ---------------------------------------------------------------------- */

static int check_spec(const struct reeve_imap_spec *s, size_t payload_max)
{
	if (s->generator && (s->inputs || s->n_items > 0))
		return -EINVAL;
	if (!s->generator && s->n_items > 0 && s->input_size > 0 && !s->inputs)
		return -EINVAL;
	if (s->window > IMAP_WINDOW_MAX)
		return -EINVAL;
	return s->input_size > payload_max ? -EMSGSIZE : 0;
}

/* No larger than the window, or it would never be whole; and such that an array's
 * inputs go together. */
static void choose_sizes(struct reeve_iterator *it,
			 const struct reeve_pool *pool)
{
	const struct reeve_imap_spec *s = &it->spec;
	size_t chunk = MIN(MAX(s->chunksize, (size_t)1), IMAP_WINDOW_MAX);
	size_t window = MAX(chunk * CHUNKS_PER_WORKER * pool->n_processes,
			    (size_t)DEFAULT_IMAP_WINDOW);

	if (s->input_size > 0)
		chunk = MIN(chunk, pool->payload_max / s->input_size);
	it->window =
		s->window ? s->window : (uint32_t)MIN(window, IMAP_WINDOW_MAX);
	it->chunk = (uint32_t)MIN(chunk, it->window);
	while (it->mask + 1 < it->window)
		it->mask = it->mask * 2 + 1;
}

static struct reeve_iterator *new_iterator(const struct reeve_imap_spec *spec,
					   const struct reeve_pool *pool,
					   bool is_ordered)
{
	struct reeve_iterator *it = calloc(1, sizeof(*it));

	if (!it)
		return NULL;
	it->spec = *spec;
	it->is_ordered = is_ordered;
	choose_sizes(it, pool);
	it->cells = calloc(it->mask + 1UL, sizeof(*it->cells));
	it->over = calloc(it->mask + 1UL, sizeof(*it->over));
	if (it->cells && it->over)
		return it;
	free(it->cells);
	free(it->over);
	free(it);
	return NULL;
}

static int start(struct reeve_pool *pool, reeve_task_fn *fn,
		 const struct reeve_imap_spec *spec, bool is_ordered,
		 struct reeve_iterator **ret_iterator)
{
	struct job_wishes wishes;
	struct reeve_iterator *it;
	struct job job = { 0 };
	int r = spec && ret_iterator ? check_spec(spec, pool->payload_max)
				     : -EINVAL;

	if (r == 0)
		r = pool_admits(pool);
	if (r < 0)
		return r;
	wishes = (struct job_wishes){ spec->priority, spec->max_crashes,
				      spec->retry_delay_usec };
	r = pool_prepare(pool, fn, &wishes, &job);
	if (r < 0)
		return r;
	it = new_iterator(spec, pool, is_ordered);
	if (!it)
		return -ENOMEM;
	it->job = job;
	it->job.type = &imap_type;
	it->job.number = ++pool->n_jobs;
	it->pool = pool_ref(pool);
	it->is_counted = true;
	pool->n_tasks++;
	pool->n_iterators++;
	*ret_iterator = it;
	engine_submit(&pool->engine, &it->job);
	pool_submitted(pool);
	return 0;
}

static int imap(struct reeve_pool *pool, reeve_task_fn *fn,
		const struct reeve_imap_spec *spec, bool is_ordered,
		struct reeve_iterator **ret_iterator)
{
	int r = pool_enter(pool);

	if (r < 0)
		return r;
	r = start(pool, fn, spec, is_ordered, ret_iterator);
	pool_leave(pool);
	return r;
}

int reeve_pool_imap(struct reeve_pool *pool, reeve_task_fn *fn,
		    const struct reeve_imap_spec *spec,
		    struct reeve_iterator **ret_iterator)
{
	return imap(pool, fn, spec, true, ret_iterator);
}

int reeve_pool_imap_unordered(struct reeve_pool *pool, reeve_task_fn *fn,
			      const struct reeve_imap_spec *spec,
			      struct reeve_iterator **ret_iterator)
{
	return imap(pool, fn, spec, false, ret_iterator);
}

/* ---- fetching -------------------------------------------------------------------------- */

static struct cell *next_cell(const struct reeve_iterator *it)
{
	if (it->is_ordered) {
		struct cell *c = cell_at(it, it->n_fetched);

		return c->state == CELL_OVER && c->index == it->n_fetched
			       ? c
			       : NULL;
	}
	if (it->n_fetched == it->n_over)
		return NULL;
	return &it->cells[it->over[it->n_fetched & it->mask]];
}

static bool is_next_there(const void *arg)
{
	const struct reeve_iterator *it = arg;

	return next_cell(it) || (it->is_at_end && it->n_fetched == it->next);
}

/* The last one shown is no longer: its cell may be used again. */
static void give_cell_back(struct reeve_iterator *it)
{
	if (!it->shown)
		return;
	imap_free_cell(it->shown);
	it->shown = NULL;
	if (it->is_at_end || it->job.is_queued)
		return;
	/* Not for one cell at a time: half a window is handed out at once. */
	if (it->window - (it->next - it->n_fetched) <
	    MAX(it->window - it->window / 2, it->chunk))
		return;
	engine_submit(&it->pool->engine, &it->job);
}

static void show(struct reeve_iterator *it, struct cell *c,
		 struct reeve_item *ret_item)
{
	const struct trail *trail = c->place.trail;

	if (c->bad) {
		it->outcome = *c->bad;
	} else {
		it->outcome.kind = c->kind;
		it->outcome.error = c->error;
		it->outcome.seat = c->place.seat;
		it->outcome.pid = c->place.pid;
		it->outcome.n_crashes = trail_n_crashes(trail);
		it->outcome.exit.code = 0;
		it->outcome.message[0] = '\0';
	}
	*ret_item = (struct reeve_item){
		.index = c->index,
		.output = c->output,
		.size = c->size,
		.outcome = &it->outcome,
		.deaths = trail ? trail->deaths : NULL,
		.n_deaths = trail ? trail->n_deaths : 0,
	};
	it->shown = c;
	it->n_fetched++;
}

static int fetch(struct reeve_iterator *it, uint64_t timeout_usec,
		 struct reeve_item *ret_item)
{
	struct cell *c;
	int r = 0;

	give_cell_back(it);
	if (it->job.is_queued)
		pool_submitted(it->pool);
	c = next_cell(it);
	if (!c) {
		r = pool_wait(it->pool, is_next_there, it, timeout_usec);
		c = next_cell(it);
	}
	if (c) {
		show(it, c, ret_item);
		return 1;
	}
	if (r < 0)
		return r;
	return it->error;
}

int reeve_iterator_next(struct reeve_iterator *it, uint64_t timeout_usec,
			struct reeve_item *ret_item)
{
	int r = it && ret_item ? pool_enter(it->pool) : -EINVAL;

	if (r < 0)
		return r;
	r = fetch(it, timeout_usec, ret_item);
	pool_leave(it->pool);
	return r;
}

struct reeve_iterator *reeve_iterator_free(struct reeve_iterator *it)
{
	struct reeve_pool *pool = it ? it->pool : NULL;

	if (!it || pool_enter(pool) < 0)
		return NULL;
	pool_ref(pool);
	(void)engine_cancel(&pool->engine, &it->job);
	/* Only now: the last item that was cancelled must not release it. */
	it->is_abandoned = it->n_over != it->next; /* something runs */
	if (!it->is_abandoned)
		imap_release(it);
	pool_submitted(pool);
	pool_leave_unref(pool);
	return NULL;
}
