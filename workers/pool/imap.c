/* imap and imap_unordered: outputs one by one, while others are still running.
 *
 * An iterator has a ring of cells, one for each item that was begun and not yet
 * fetched: item i has cell i modulo the window, and is begun only when that cell
 * is free. So at most a window of items is under way, whatever the generator
 * would give. In order, the next item to fetch is the one that was begun first;
 * unordered, cells are fetched in the order in which they were finished.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/pool/outcome.h"
#include "workers/pool/pool.h"

#define DEFAULT_IMAP_WINDOW 1024
#define IMAP_WINDOW_MAX	    (1u << 20)

enum cell_state { CELL_FREE, CELL_BEGUN, CELL_OVER };

struct cell {
	enum cell_state state;
	uint64_t index;
	void *input; /* a generator's, copied; large ones from the heap */
	size_t input_size;
	void *output; /* small_output, or from the heap */
	size_t size, room;
	struct job_place place;
	enum reeve_outcome_kind kind;
	int error;
	struct reeve_outcome *bad; /* the details of what is not DONE; may be
				    * NULL for want of memory */
	_Alignas(16) unsigned char small_input[CHANNEL_INLINE_SIZE];
	_Alignas(16) unsigned char small_output[CHANNEL_INLINE_SIZE];
};

struct reeve_iterator {
	struct job job;
	struct reeve_pool *pool;
	struct reeve_imap_spec spec;
	bool is_ordered;
	bool is_counted;   /* as one of the pool's open jobs */
	bool is_abandoned; /* the last item to end frees it */
	uint32_t window, chunk;
	struct cell *cells;
	uint64_t next;	 /* the item to begin */
	uint64_t n_over; /* have an outcome */
	uint64_t n_fetched;
	bool is_at_end;	    /* of the inputs */
	int error;	    /* the generator's, or why nothing more comes */
	uint32_t *over;	    /* unordered: cells, in the order of their ends */
	struct cell *shown; /* what the last next() has returned */
	struct reeve_outcome outcome;
};

static struct reeve_iterator *iterator_of(struct job *job)
{
	return container_of(job, struct reeve_iterator, job);
}

static struct cell *cell_at(const struct reeve_iterator *it, uint64_t index)
{
	return &it->cells[index % it->window];
}

/* ---- the job ---------------------------------------------------------------------- */

/* Nothing more will come: whatever is not fetched yet can be fetched later. */
static void end_if_over(struct reeve_iterator *it)
{
	if (!it->is_at_end || it->n_over != it->next || !it->is_counted)
		return;
	it->is_counted = false;
	it->pool->n_tasks--;
	it->pool->n_iterators--;
}

/* How many items the array may give now: their cells are free, and their inputs
 * stand in a row. */
static uint32_t room_for(const struct reeve_iterator *it, uint32_t max_items)
{
	uint64_t left = it->spec.n_items - it->next;
	uint32_t n = 0, most = (uint32_t)MIN(left, MIN(it->chunk, max_items));

	while (n < most && cell_at(it, it->next + n)->state == CELL_FREE)
		n++;
	return n;
}

static void begin_cells(struct reeve_iterator *it, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct cell *c = cell_at(it, it->next + i);

		c->state = CELL_BEGUN;
		c->index = it->next + i;
	}
}

static bool next_of_array(struct reeve_iterator *it, uint32_t max_items,
			  struct piece *ret)
{
	uint32_t n = room_for(it, max_items);

	if (it->next == it->spec.n_items)
		it->is_at_end = true;
	if (n == 0) {
		end_if_over(it);
		return false;
	}
	begin_cells(it, n);
	*ret = (struct piece){
		.index = it->next,
		.n_items = n,
		.item_size = (uint32_t)it->spec.input_size,
		.out_stride = 0,
		.is_single = true,
	};
	it->next += n;
	it->is_at_end = it->next == it->spec.n_items;
	return true;
}

static int keep_input(struct cell *c, const void *input, size_t size)
{
	c->input = c->small_input;
	if (size > 0 && !input)
		return -EINVAL;
	if (size > REEVE_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (size > sizeof(c->small_input)) {
		c->input = malloc(size);
		if (!c->input)
			return -ENOMEM;
	}
	if (size > 0)
		memcpy(c->input, input, size);
	c->input_size = size;
	return 0;
}

static bool next_of_generator(struct reeve_iterator *it, struct piece *ret)
{
	struct cell *c = cell_at(it, it->next);
	const void *input = NULL;
	size_t size = 0;
	int r;

	if (c->state != CELL_FREE || it->is_at_end)
		return false;
	it->pool->in_source = true;
	r = it->spec.generator(it->spec.userdata, &input, &size);
	it->pool->in_source = false;
	if (r > 0)
		r = keep_input(c, input, size) ?: 1;
	if (r <= 0) {
		it->is_at_end = true;
		it->error = r;
		end_if_over(it);
		return false;
	}
	begin_cells(it, 1);
	*ret = (struct piece){
		.index = it->next++,
		.n_items = 1,
		.item_size = (uint32_t)size,
		.is_single = true,
	};
	return true;
}

static bool imap_next(struct job *job, uint32_t max_items, struct piece *ret)
{
	struct reeve_iterator *it = iterator_of(job);

	if (it->spec.generator)
		return next_of_generator(it, ret);
	return next_of_array(it, max_items, ret);
}

static const void *imap_input(struct job *job, const struct piece *piece)
{
	const struct reeve_iterator *it = iterator_of(job);

	if (it->spec.generator)
		return cell_at(it, piece->index)->input;
	return (const unsigned char *)it->spec.inputs +
	       piece->index * it->spec.input_size;
}

static void free_cell(struct cell *c)
{
	if (c->input != c->small_input)
		free(c->input);
	if (c->output != c->small_output)
		free(c->output);
	free(c->bad);
	c->input = c->output = NULL;
	c->bad = NULL;
	c->size = 0;
	c->state = CELL_FREE;
}

static void release(struct reeve_iterator *it)
{
	it->is_at_end = true;
	end_if_over(it);
	it->pool->refs--; /* who is inside has another one */
	for (uint32_t i = 0; i < it->window; i++)
		free_cell(&it->cells[i]);
	free(it->cells);
	free(it->over);
	free(it);
}

static void cell_over(struct reeve_iterator *it, struct cell *c)
{
	c->state = CELL_OVER;
	if (!it->is_ordered)
		it->over[it->n_over % it->window] =
			(uint32_t)(c->index % it->window);
	it->n_over++;
	it->pool->n_outcomes++;
	if (it->is_abandoned && it->n_over == it->next)
		release(it);
	else
		end_if_over(it);
}

static void imap_ended(struct job *job, uint64_t index,
		       const struct reeve_outcome *outcome)
{
	struct reeve_iterator *it = iterator_of(job);
	struct cell *c = cell_at(it, index);

	c->kind = outcome->kind;
	c->error = outcome->error;
	c->place = (struct job_place){ outcome->seat, outcome->pid };
	c->bad = malloc(sizeof(*c->bad));
	if (c->bad)
		*c->bad = *outcome;
	cell_over(it, c);
}

static int keep_output(struct cell *c, const void *data, size_t size)
{
	c->output = c->small_output;
	if (size > sizeof(c->small_output)) {
		c->output = malloc(size);
		if (!c->output)
			return -ENOMEM;
	}
	memcpy(c->output, data, size);
	c->size = size;
	return 0;
}

static uint32_t imap_done(struct job *job, const struct piece *piece,
			  uint32_t n _unused_, const struct port_output *output,
			  const struct job_place *place)
{
	struct reeve_iterator *it = iterator_of(job);
	struct cell *c = cell_at(it, piece->index);
	struct reeve_outcome outcome;
	int status = output->status;

	if (status == 0)
		status = keep_output(c, output->data, output->size);
	if (status != 0) {
		outcome_of_failure(&outcome, status, place, output->data,
				   output->has_message ? output->size : 0);
		imap_ended(job, piece->index, &outcome);
		return 0;
	}
	c->kind = REEVE_DONE;
	c->error = 0;
	c->place = *place;
	cell_over(it, c);
	return 1;
}

static uint64_t imap_abandon(struct job *job,
			     const struct reeve_outcome *outcome)
{
	struct reeve_iterator *it = iterator_of(job);

	it->is_at_end = true;
	if (it->error == 0)
		it->error = outcome->error;
	end_if_over(it);
	return 0;
}

static uint64_t imap_waiting(struct job *job)
{
	const struct reeve_iterator *it = iterator_of(job);

	return it->spec.generator ? 0 : it->spec.n_items - it->next;
}

static const struct job_type imap_type = {
	.next = imap_next,
	.waiting = imap_waiting,
	.input = imap_input,
	.done = imap_done,
	.ended = imap_ended,
	.abandon = imap_abandon,
};

/* ---- making one ---------------------------------------------------------------------- */

static int check_spec(const struct reeve_imap_spec *s)
{
	if (s->generator && (s->inputs || s->n_items > 0 || s->chunksize > 1))
		return -EINVAL;
	if (!s->generator && s->n_items > 0 && s->input_size > 0 && !s->inputs)
		return -EINVAL;
	if (s->window > IMAP_WINDOW_MAX)
		return -EINVAL;
	return s->input_size > REEVE_PAYLOAD_MAX ? -EMSGSIZE : 0;
}

static struct reeve_iterator *new_iterator(const struct reeve_imap_spec *spec,
					   bool is_ordered)
{
	struct reeve_iterator *it = calloc(1, sizeof(*it));

	if (!it)
		return NULL;
	it->spec = *spec;
	it->is_ordered = is_ordered;
	it->window =
		spec->window ? (uint32_t)spec->window : DEFAULT_IMAP_WINDOW;
	it->chunk = 1;
	it->job.type = &imap_type;
	it->cells = calloc(it->window, sizeof(*it->cells));
	it->over = calloc(it->window, sizeof(*it->over));
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
	struct reeve_iterator *it;
	uint64_t function = 0;
	int r = spec ? check_spec(spec) : -EINVAL;

	if (r == 0)
		r = pool_admits(pool);
	if (r == 0)
		r = pool_function(pool, fn, &function);
	if (r < 0)
		return r;
	it = new_iterator(spec, is_ordered);
	if (!it)
		return -ENOMEM;
	it->job.function = function;
	it->job.fn = fn;
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
	return &it->cells[it->over[it->n_fetched % it->window]];
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
	free_cell(it->shown);
	it->shown = NULL;
	if (it->is_at_end || it->job.is_queued)
		return;
	/* Not for one cell at a time: half a window is handed out at once. */
	if (it->next - it->n_fetched > it->window / 2)
		return;
	engine_submit(&it->pool->engine, &it->job);
}

static void show(struct reeve_iterator *it, struct cell *c,
		 struct reeve_item *ret_item)
{
	if (c->bad) {
		it->outcome = *c->bad;
	} else {
		it->outcome.kind = c->kind;
		it->outcome.error = c->error;
		it->outcome.seat = c->place.seat;
		it->outcome.pid = c->place.pid;
		it->outcome.exit.code = 0;
		it->outcome.message[0] = '\0';
	}
	*ret_item = (struct reeve_item){
		.index = c->index,
		.output = c->output,
		.size = c->size,
		.outcome = &it->outcome,
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
	int r = pool_enter(it->pool);

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
		release(it);
	pool_submitted(pool);
	pool_leave_unref(pool);
	return NULL;
}
