/* map and map_async: one function over an array, outputs into an array.
 *
 * The job walks through the array; a piece is a chunk of it. Inputs are copied
 * from the caller's array when a piece is handed over, and outputs into it when
 * it comes back: nothing is kept in between, so a piece that was taken back
 * costs nothing either.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/pool/outcome.h"
#include "workers/pool/pool.h"

struct map {
	struct job job;
	struct reeve_pool *pool;
	struct reeve_map_spec spec;
	uint32_t chunk;
	uint64_t next;	 /* the first item not handed out */
	uint64_t n_left; /* without an outcome */
	uint64_t n_bad;	 /* not DONE */
	struct reeve_outcome first_bad;
	struct trail *trail;	     /* of that one */
	struct reeve_result *result; /* map_async */
};

static struct map *map_of(struct job *job)
{
	return container_of(job, struct map, job);
}

struct job *map_job(struct map *map)
{
	return &map->job;
}

void map_free(struct map *map)
{
	free(map);
}

static bool is_over(const void *arg)
{
	return ((const struct map *)arg)->n_left == 0;
}

/* ---- the job ------------------------------------------------------------------- */

static void finish(struct map *m)
{
	struct reeve_outcome outcome = m->first_bad;

	m->pool->n_outcomes++;
	if (!m->result) {
		m->pool->n_tasks--;
		return;
	}
	if (m->n_bad == 0)
		outcome.kind = REEVE_DONE;
	result_finish(m->result, &outcome, TAKE(m->trail));
}

static bool map_next(struct job *job, uint32_t max_items, struct piece *ret)
{
	struct map *m = map_of(job);
	uint64_t left = m->spec.n_items - m->next;
	uint32_t n = (uint32_t)MIN(left, MIN(m->chunk, max_items));

	if (left == 0)
		return false;
	*ret = (struct piece){
		.index = m->next,
		.n_items = n,
		.item_size = (uint32_t)m->spec.input_size,
		.out_stride = (uint32_t)m->spec.output_size,
		.is_single = n == 1,
		.is_last = n == left,
	};
	m->next += n;
	return true;
}

static const void *map_input(struct job *job, const struct piece *piece,
			     size_t *ret_size)
{
	const struct map *m = map_of(job);

	*ret_size = piece->n_items * m->spec.input_size;
	return (const unsigned char *)m->spec.inputs +
	       piece->index * m->spec.input_size;
}

/* Takes trail. */
static void note_bad(struct map *m, uint64_t index,
		     const struct reeve_outcome *outcome, struct trail *trail)
{
	if (m->n_bad++ == 0) {
		m->first_bad = *outcome;
		m->trail = TAKE(trail);
	}
	free(trail);
	if (m->spec.output_sizes)
		m->spec.output_sizes[index] = 0;
	if (m->spec.outcomes)
		m->spec.outcomes[index] = *outcome;
}

/* One item whose status and size have been read once. Returns 1 when DONE. */
static uint32_t take_item(struct map *m, uint64_t index, int status,
			  size_t size, const unsigned char *data, bool is_text,
			  const struct job_place *place)
{
	size_t room = m->spec.output_size;
	struct reeve_outcome outcome;

	if (status == 0 && size > room && m->spec.outputs)
		status = -EMSGSIZE;
	if (status != 0) {
		outcome_of_failure(&outcome, status, place, data,
				   is_text ? size : 0);
		note_bad(m, index, &outcome, place->trail);
		return 0;
	}
	if (m->spec.output_sizes)
		m->spec.output_sizes[index] = size;
	if (m->spec.outputs)
		memcpy((unsigned char *)m->spec.outputs + index * room, data,
		       size);
	if (m->spec.outcomes)
		m->spec.outcomes[index] = (struct reeve_outcome){
			.kind = REEVE_DONE,
			.seat = place->seat,
			.pid = place->pid,
			.n_crashes = trail_n_crashes(place->trail),
		};
	free(place->trail);
	return 1;
}

/* Whether all items are DONE and fill their rooms: then one copy is enough. */
static bool are_all_plain(const struct chunk_item *items, uint32_t n,
			  uint32_t stride)
{
	uint64_t plain = (uint64_t)stride << 32, odd = 0, word;

	for (uint32_t i = 0; i < n; i++) {
		memcpy(&word, &items[i], sizeof(word));
		odd |= word ^ plain;
	}
	return odd == 0;
}

/* Only the last can have one; if its worker was killed before it said that it has
 * ended, the text is of the item after that. */
static bool has_long_text(const struct port_output *output, uint32_t i,
			  uint32_t n)
{
	return output->has_message && i + 1 == n &&
	       output->status == (int32_t)i;
}

static uint32_t take_chunk(struct map *m, const struct piece *piece, uint32_t n,
			   const struct port_output *output,
			   const struct job_place *place)
{
	uint32_t stride = piece->out_stride, n_done = 0;

	if (m->spec.outputs && !m->spec.output_sizes && !m->spec.outcomes &&
	    !place->trail && are_all_plain(output->items, n, stride)) {
		memcpy((unsigned char *)m->spec.outputs + piece->index * stride,
		       output->data, (size_t)n * stride);
		return n;
	}
	for (uint32_t i = 0; i < n; i++) {
		const unsigned char *data = output->data + (size_t)i * stride;
		struct chunk_item item;
		bool is_text;

		memcpy(&item, &output->items[i], sizeof(item));
		item.size = stride ? MIN(item.size, stride) : item.size;
		is_text = stride > 0 && item.size > 0;
		if (item.status != 0 && has_long_text(output, i, n)) {
			data = output->text;
			item.size = output->size;
			is_text = true;
		}
		n_done += take_item(m, piece->index + i, item.status, item.size,
				    data, is_text, place);
	}
	return n_done;
}

static uint32_t map_done(struct job *job, const struct piece *piece, uint32_t n,
			 const struct port_output *output,
			 const struct job_place *place)
{
	struct map *m = map_of(job);
	uint32_t n_done;

	if (piece->is_single)
		n_done =
			take_item(m, piece->index, output->status, output->size,
				  output->data, output->has_message, place);
	else
		n_done = take_chunk(m, piece, n, output, place);
	m->n_left -= n;
	if (m->n_left == 0)
		finish(m);
	return n_done;
}

static void map_ended(struct job *job, uint64_t index,
		      const struct reeve_outcome *outcome, struct trail *trail)
{
	struct map *m = map_of(job);

	note_bad(m, index, outcome, trail);
	if (--m->n_left == 0)
		finish(m);
}

static uint64_t map_abandon(struct job *job,
			    const struct reeve_outcome *outcome)
{
	struct map *m = map_of(job);
	uint64_t n = m->spec.n_items - m->next;

	while (m->next < m->spec.n_items)
		map_ended(job, m->next++, outcome, NULL);
	return n;
}

static uint64_t map_waiting(struct job *job)
{
	const struct map *m = map_of(job);

	return m->spec.n_items - m->next;
}

static const struct job_type map_type = {
	.next = map_next,
	.waiting = map_waiting,
	.input = map_input,
	.done = map_done,
	.ended = map_ended,
	.abandon = map_abandon,
};

/* ---- the calls ------------------------------------------------------------------- */

static int check_spec(const struct reeve_map_spec *s, size_t payload_max)
{
	if ((s->n_items > 0 && s->input_size > 0 && !s->inputs) ||
	    (s->output_size == 0 && s->outputs))
		return -EINVAL;
	if (s->input_size > payload_max || s->output_size > payload_max)
		return -EMSGSIZE;
	return 0;
}

/* As Python: four chunks per worker. Bounded by what one hand-over may carry. */
static uint32_t choose_chunk(const struct reeve_map_spec *s,
			     const struct reeve_pool *pool)
{
	size_t share = (size_t)pool->n_processes * 4, n = s->chunksize;
	size_t bytes =
		MAX(s->input_size, s->output_size + sizeof(struct chunk_item));

	if (n == 0)
		n = s->n_items / share + (s->n_items % share != 0);
	n = MIN(n, (pool->payload_max - CHANNEL_ERROR_MAX) / bytes);
	return n ? (uint32_t)MIN(n, UINT32_MAX) : 1;
}

static int begin(struct reeve_pool *pool, reeve_task_fn *fn,
		 const struct reeve_map_spec *spec, struct map *m)
{
	int r = spec ? check_spec(spec, pool->payload_max) : -EINVAL;
	struct job_wishes wishes;

	if (r == 0)
		r = pool_admits(pool);
	if (r < 0)
		return r;
	wishes = (struct job_wishes){ spec->priority, spec->max_crashes,
				      spec->retry_delay_usec };
	*m = (struct map){ .pool = pool, .spec = *spec };
	r = pool_prepare(pool, fn, &wishes, &m->job);
	if (r < 0)
		return r;
	m->job.type = &map_type;
	m->n_left = spec->n_items;
	m->chunk = choose_chunk(spec, pool);
	return 0;
}

static void start(struct map *m)
{
	m->job.number = ++m->pool->n_jobs;
	m->pool->n_tasks++;
	if (m->n_left == 0)
		finish(m);
	else
		engine_submit(&m->pool->engine, &m->job);
	pool_submitted(m->pool);
}

int64_t reeve_pool_map(struct reeve_pool *pool, reeve_task_fn *fn,
		       const struct reeve_map_spec *spec)
{
	struct map m = { 0 };
	int r = pool_enter(pool);

	if (r < 0)
		return r;
	r = pool_may_wait(pool);
	if (r == 0)
		r = begin(pool, fn, spec, &m);
	if (r == 0) {
		start(&m);
		(void)pool_wait(pool, is_over, &m, REEVE_FOREVER);
		free(m.trail);
	}
	pool_leave(pool);
	return r < 0 ? r : (int64_t)m.n_bad;
}

static int map_async(struct reeve_pool *pool, reeve_task_fn *fn,
		     const struct reeve_map_spec *spec,
		     const struct reeve_apply_spec *callbacks,
		     struct reeve_result **ret_result)
{
	_cleanup_(free_pointer) struct map *m = malloc(sizeof(*m));
	struct reeve_result *result;
	int r = m ? begin(pool, fn, spec, m) : -ENOMEM;

	if (r < 0)
		return r;
	result = result_new(pool);
	if (!result)
		return -ENOMEM;
	if (callbacks) {
		result->callback = callbacks->callback;
		result->error_callback = callbacks->error_callback;
		result->userdata = callbacks->userdata;
	}
	if (ret_result) {
		result_share(result);
		*ret_result = result;
	}
	m->result = result;
	result->map = m;
	start(TAKE(m));
	return 0;
}

int reeve_pool_map_async(struct reeve_pool *pool, reeve_task_fn *fn,
			 const struct reeve_map_spec *spec,
			 const struct reeve_apply_spec *callbacks,
			 struct reeve_result **ret_result)
{
	int r = pool_enter(pool);

	if (r < 0)
		return r;
	r = map_async(pool, fn, spec, callbacks, ret_result);
	pool_leave(pool);
	return r;
}
