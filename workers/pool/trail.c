/* See trail.h. */
#include "workers/pool/trail.h"

#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/macro.h"

struct trail *trail_add(struct trail *trail, const struct reeve_death *death,
			bool is_crash)
{
	unsigned n = trail ? trail->n_deaths : 0;
	unsigned n_kept = MIN(n, REEVE_DEATHS_MAX - 1u);
	struct trail *t =
		realloc(trail, sizeof(*t) + (n_kept + 1) * sizeof(*death));

	if (!t)
		return NULL;
	if (!trail)
		*t = (struct trail){ 0 };
	memmove(&t->deaths[1], &t->deaths[0], n_kept * sizeof(*death));
	t->deaths[0] = *death;
	t->n_deaths = n_kept + 1;
	t->n_crashes += is_crash;
	return t;
}

size_t trail_copy(const struct trail *trail, struct reeve_death *ret, size_t n)
{
	size_t n_kept = trail ? trail->n_deaths : 0;

	if (ret && MIN(n, n_kept) > 0)
		memcpy(ret, trail->deaths, MIN(n, n_kept) * sizeof(*ret));
	return n_kept;
}
