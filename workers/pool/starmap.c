/* reeve_pool_starmap(): arguments from several arrays, laid one behind the other
 * into one input for each item; then it is reeve_pool_map().
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/pool/pool.h"

/* Where argument k begins, and with k = n the size of all. 0: too large. */
static size_t offset_of(const struct reeve_column *columns, size_t k)
{
	size_t at = 0;

	for (size_t i = 0; i < k; i++) {
		if (columns[i].item_size > REEVE_PAYLOAD_MAX)
			return SIZE_MAX;
		at += REEVE_COLUMN_ROUND(columns[i].item_size);
		if (at > REEVE_PAYLOAD_MAX)
			return SIZE_MAX;
	}
	return at;
}

static void pack(const struct reeve_starmap_spec *s, unsigned char *inputs,
		 size_t size)
{
	for (size_t k = 0; k < s->n_columns; k++) {
		const struct reeve_column *c = &s->columns[k];
		const unsigned char *from = c->items;
		unsigned char *to = inputs + offset_of(s->columns, k);

		for (size_t i = 0; i < s->n_items; i++)
			memcpy(to + i * size, from + i * c->item_size,
			       c->item_size);
	}
}

static int check(const struct reeve_starmap_spec *s, size_t *ret_size)
{
	if (!s || s->n_columns == 0 || s->n_columns > REEVE_COLUMNS_MAX ||
	    !s->columns)
		return -EINVAL;
	for (size_t k = 0; k < s->n_columns; k++)
		if (!s->columns[k].items && s->n_items > 0 &&
		    s->columns[k].item_size > 0)
			return -EINVAL;
	*ret_size = offset_of(s->columns, s->n_columns);
	if (*ret_size == SIZE_MAX)
		return -EMSGSIZE;
	return *ret_size > 0 && s->n_items > SIZE_MAX / *ret_size ? -EMSGSIZE
								  : 0;
}

int64_t reeve_pool_starmap(struct reeve_pool *pool, reeve_task_fn *fn,
			   const struct reeve_starmap_spec *spec)
{
	_cleanup_(free_pointer) unsigned char *inputs = NULL;
	struct reeve_map_spec items;
	size_t size = 0;
	int r = check(spec, &size);

	if (r < 0)
		return r;
	inputs = calloc(spec->n_items ? spec->n_items : 1, size ? size : 1);
	if (!inputs)
		return -ENOMEM;
	pack(spec, inputs, size);
	items = (struct reeve_map_spec){
		.inputs = inputs,
		.input_size = size,
		.n_items = spec->n_items,
		.outputs = spec->outputs,
		.output_size = spec->output_size,
		.output_sizes = spec->output_sizes,
		.outcomes = spec->outcomes,
		.priority = spec->priority,
		.max_crashes = spec->max_crashes,
		.retry_delay_usec = spec->retry_delay_usec,
		.chunksize = spec->chunksize,
	};
	return reeve_pool_map(pool, fn, &items);
}
