/* An iteration as the scheduler sees it: what it gives next, and what becomes of
 * it.
 *
 * Items are begun in chunks, and only whole ones: when so many cells in a row are
 * free. What a generator has given is drawn into cells first, so that a chunk
 * whose inputs would be too much for one hand-over can be cut.
 */
#include "workers/pool/imap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/pool/outcome.h"

static struct reeve_iterator *iterator_of(struct job *job)
{
	return container_of(job, struct reeve_iterator, job);
}

/* Nothing more will come: whatever is not fetched yet can be fetched later. */
static void end_if_over(struct reeve_iterator *it)
{
	if (!it->is_at_end || it->n_over != it->next || !it->is_counted)
		return;
	it->is_counted = false;
	it->pool->n_tasks--;
	it->pool->n_iterators--;
}

/* Do the next n items find their cells free, or drawn into? */
static bool has_room(const struct reeve_iterator *it, uint32_t n)
{
	uint64_t under_way = it->next - it->n_fetched + (it->shown != NULL);

	if (under_way + n > it->window)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (cell_at(it, it->next + i)->state > CELL_DRAWN)
			return false;
	return true;
}

/* The next n items as a piece. A chunk of one is a single task. */
static void begin_piece(struct reeve_iterator *it, uint32_t n,
			uint32_t item_size, struct piece *ret)
{
	for (uint32_t i = 0; i < n; i++) {
		struct cell *c = cell_at(it, it->next + i);

		c->state = CELL_BEGUN;
		c->index = it->next + i;
	}
	*ret = (struct piece){
		.index = it->next,
		.n_items = n,
		.item_size = item_size,
		.out_stride = n > 1 ? SLOT_LOOSE : 0,
		.is_single = n == 1,
	};
	it->next += n;
}

static bool next_of_array(struct reeve_iterator *it, uint32_t max_items,
			  struct piece *ret)
{
	uint64_t left = it->spec.n_items - it->next;
	uint32_t n = (uint32_t)MIN(left, MIN(it->chunk, max_items));
	bool is_room = has_room(it, n);

	it->is_at_end = n == left && is_room;
	if (n == 0 || !is_room) {
		end_if_over(it);
		return false;
	}
	begin_piece(it, n, (uint32_t)it->spec.input_size, ret);
	return true;
}

static int keep_input(struct cell *c, const void *input, size_t size,
		      size_t payload_max)
{
	c->input = c->small_input;
	if (size > 0 && !input)
		return -EINVAL;
	if (size > payload_max)
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

static int draw_one(struct reeve_iterator *it)
{
	struct cell *c = cell_at(it, it->n_drawn);
	const void *input = NULL;
	size_t size = 0;
	int r;

	it->pool->in_source = true;
	r = it->spec.generator(it->spec.userdata, &input, &size);
	it->pool->in_source = false;
	if (r > 0)
		r = keep_input(c, input, size, it->pool->payload_max) ?: 1;
	if (r > 0) {
		c->state = CELL_DRAWN;
		it->n_drawn++;
	}
	return r;
}

/* Until n items are there to be begun, or there are no more. */
static void draw(struct reeve_iterator *it, uint32_t n)
{
	int r;

	while (!it->is_dry && it->n_drawn - it->next < n) {
		r = draw_one(it);
		if (r > 0)
			continue;
		it->is_dry = true;
		it->error = r;
	}
}

/* What n inputs from index on take together: see SLOT_SIZED. */
static size_t together_size(const struct reeve_iterator *it, uint64_t index,
			    uint32_t n)
{
	size_t size = slot_align(n * sizeof(uint32_t)) + SLOT_ALIGNMENT;

	for (uint32_t i = 0; i < n; i++)
		size += slot_align(cell_at(it, index + i)->input_size);
	return size;
}

/* How many of the next n items go together into one hand-over. */
static uint32_t cut_chunk(const struct reeve_iterator *it, uint32_t n)
{
	size_t size = together_size(it, it->next, 0) + n * sizeof(uint32_t);
	uint32_t i = 0;

	while (i < n) {
		size += slot_align(cell_at(it, it->next + i)->input_size);
		if (i > 0 && size > it->pool->payload_max)
			break;
		i++;
	}
	return i;
}

/* Now, so that a death needs none later: what is left of a chunk needs less. */
static bool reserve_together(struct reeve_iterator *it, uint32_t n)
{
	size_t size = together_size(it, it->next, n);
	void *p;

	if (size <= it->together_room)
		return true;
	p = realloc(it->together, size);
	if (!p)
		return false;
	it->together = p;
	it->together_room = size;
	return true;
}

static bool next_of_generator(struct reeve_iterator *it, uint32_t max_items,
			      struct piece *ret)
{
	uint32_t n = MIN(it->chunk, max_items);
	const struct cell *first = cell_at(it, it->next);

	if (it->is_at_end || (!it->is_dry && !has_room(it, n)))
		return false;
	draw(it, n);
	n = cut_chunk(it, (uint32_t)MIN(n, it->n_drawn - it->next));
	if (n > 1 && !reserve_together(it, n))
		n = 1;
	if (n > 0)
		begin_piece(it, n,
			    n > 1 ? SLOT_SIZED : (uint32_t)first->input_size,
			    ret);
	it->is_at_end = it->is_dry && it->next == it->n_drawn;
	if (n == 0)
		end_if_over(it);
	return n > 0;
}

static bool imap_next(struct job *job, uint32_t max_items, struct piece *ret)
{
	struct reeve_iterator *it = iterator_of(job);

	if (it->spec.generator)
		return next_of_generator(it, max_items, ret);
	return next_of_array(it, max_items, ret);
}

static const void *put_together(const struct reeve_iterator *it,
				const struct piece *piece)
{
	uint32_t *sizes = (uint32_t *)(void *)it->together;
	unsigned char *p =
		it->together + slot_align(piece->n_items * sizeof(*sizes));

	for (uint32_t i = 0; i < piece->n_items; i++) {
		const struct cell *c = cell_at(it, piece->index + i);

		sizes[i] = (uint32_t)c->input_size;
		memcpy(p, c->input, c->input_size);
		p += slot_align(c->input_size);
	}
	return it->together;
}

static const void *imap_input(struct job *job, const struct piece *piece,
			      size_t *ret_size)
{
	const struct reeve_iterator *it = iterator_of(job);

	if (it->spec.generator && !piece->is_single) {
		*ret_size = together_size(it, piece->index, piece->n_items);
		return put_together(it, piece);
	}
	*ret_size = (size_t)piece->n_items * piece->item_size;
	if (it->spec.generator)
		return cell_at(it, piece->index)->input;
	return (const unsigned char *)it->spec.inputs +
	       piece->index * it->spec.input_size;
}

void imap_free_cell(struct cell *c)
{
	if (c->input != c->small_input)
		free(c->input);
	if (c->output != c->small_output)
		free(c->output);
	free(c->bad);
	free(c->place.trail);
	c->place.trail = NULL;
	c->input = c->output = NULL;
	c->bad = NULL;
	c->size = 0;
	c->state = CELL_FREE;
}

void imap_release(struct reeve_iterator *it)
{
	it->is_at_end = true;
	end_if_over(it);
	it->pool->refs--; /* who is inside has another one */
	for (uint32_t i = 0; i <= it->mask; i++)
		imap_free_cell(&it->cells[i]);
	free(it->together);
	free(it->cells);
	free(it->over);
	free(it);
}

static void cell_over(struct reeve_iterator *it, struct cell *c)
{
	c->state = CELL_OVER;
	if (!it->is_ordered)
		it->over[it->n_over & it->mask] = (uint32_t)c->index & it->mask;
	it->n_over++;
	it->pool->n_outcomes++;
	if (it->is_abandoned && it->n_over == it->next)
		imap_release(it);
	else
		end_if_over(it);
}

static void imap_ended(struct job *job, uint64_t index,
		       const struct reeve_outcome *outcome, struct trail *trail)
{
	struct reeve_iterator *it = iterator_of(job);
	struct cell *c = cell_at(it, index);

	c->kind = outcome->kind;
	c->error = outcome->error;
	c->place = (struct job_place){ outcome->seat, outcome->pid, trail };
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

static bool take_result(struct reeve_iterator *it, uint64_t index,
			const struct port_output *output,
			const struct job_place *place)
{
	struct cell *c = cell_at(it, index);
	struct reeve_outcome outcome;
	int status = output->status;

	if (status == 0)
		status = keep_output(c, output->data, output->size);
	if (status != 0) {
		outcome_of_failure(&outcome, status, place, output->data,
				   output->has_message ? output->size : 0);
		imap_ended(&it->job, index, &outcome, place->trail);
		return false;
	}
	c->kind = REEVE_DONE;
	c->error = 0;
	c->place = *place;
	cell_over(it, c);
	return true;
}

/* With the last item it may be gone. */
static uint32_t imap_done(struct job *job, const struct piece *piece,
			  uint32_t n, const struct port_output *output,
			  const struct job_place *place)
{
	struct reeve_iterator *it = iterator_of(job);
	struct port_output one;
	uint32_t n_done = 0;

	if (piece->is_single)
		return take_result(it, piece->index, output, place);
	for (uint32_t i = 0; i < n; i++) {
		/* It made sense a moment ago: somebody writes there. */
		if (!port_output_of(output, i, &one))
			one = (struct port_output){ .status = -EBADMSG };
		n_done += take_result(it, piece->index + i, &one, place);
	}
	return n_done;
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

	return (it->spec.generator ? it->n_drawn : it->spec.n_items) - it->next;
}

const struct job_type imap_type = {
	.next = imap_next,
	.waiting = imap_waiting,
	.input = imap_input,
	.done = imap_done,
	.ended = imap_ended,
	.abandon = imap_abandon,
};
