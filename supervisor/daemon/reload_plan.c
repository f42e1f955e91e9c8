/* See reload_plan.h. Instances are matched by name, so that a worker may move
 * from one section to another and stay what it is.
 */
#include "supervisor/daemon/reload_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "supervisor/daemon/daemon.h"
#include "supervisor/daemon/fleet.h"
#include "supervisor/daemon/worker.h"

const char *reload_plan_word(enum reload_action action)
{
	static const char *const words[RELOAD_ACTIONS] = {
		[RELOAD_ADD] = "add",	      [RELOAD_REMOVE] = "remove",
		[RELOAD_RESTART] = "restart", [RELOAD_UPDATE] = "update",
		[RELOAD_KEEP] = "keep",
	};

	return words[action];
}

void reload_plan_done(struct reload_plan *plan)
{
	for (size_t i = 0; i < plan->n_rows; i++) {
		free(plan->rows[i].name);
		free(plan->rows[i].detail);
	}
	free(plan->rows);
	*plan = (struct reload_plan){ 0 };
}

/* The comparison of two sections is the same for all their workers. */
struct last_compared {
	const struct settings *settings; /* the new ones, as a whole */
	const struct worker_settings *old, *new;
	enum conf_change change;
	char *keys;
};

static bool variables_equal(const struct daemon_settings *a,
			    const struct daemon_settings *b)
{
	if (a->n_environment != b->n_environment)
		return false;
	for (size_t i = 0; i < a->n_environment; i++)
		if (strcmp(a->environment[i].key, b->environment[i].key) != 0 ||
		    strcmp(a->environment[i].value, b->environment[i].value) !=
			    0)
			return false;
	return true;
}

/* The key of [reeve] by which a worker would be started differently, or NULL.
 */
static const char *inherited_change(const struct daemon_settings *old,
				    const struct daemon_settings *new,
				    const struct worker_settings *ws)
{
	if (!variables_equal(old, new))
		return "[reeve] environment";
	if (ws->umask < 0 && old->umask != new->umask)
		return "[reeve] umask";
	return NULL;
}

/* What w runs with is compared, or what it will run with once it has ended. */
static void compare(struct last_compared *last, const struct worker *w,
		    const struct worker_settings *new)
{
	const struct generation *g =
		w->next_settings ? w->next_generation : w->generation;
	const struct worker_settings *old =
		w->next_settings ? w->next_settings : w->settings;
	const char *inherited;

	if (last->old == old && last->new == new)
		return;
	free(TAKE(last->keys));
	last->old = old;
	last->new = new;
	last->change = conf_compare_workers(old, new, &last->keys);
	inherited = inherited_change(&g->settings->daemon,
				     &last->settings->daemon, new);
	if (!inherited || last->change == CONF_RESTART)
		return;
	last->change = CONF_RESTART;
	free(last->keys);
	last->keys = strdup(inherited);
}

static int set_row(struct reload_row *row, struct last_compared *last)
{
	static const enum reload_action actions[] = {
		[CONF_SAME] = RELOAD_KEEP,
		[CONF_APPLY] = RELOAD_UPDATE,
		[CONF_RESTART] = RELOAD_RESTART,
	};

	row->action = RELOAD_ADD;
	if (!row->worker)
		return 0;
	compare(last, row->worker, row->settings);
	row->action = actions[last->change];
	if (last->change == CONF_SAME)
		return 0;
	row->detail = strdup(last->keys ? last->keys : "");
	return row->detail ? 0 : -ENOMEM;
}

/* Names of the fleet, sorted, so that 10,000 workers stay n log n. */
struct index {
	struct worker **workers;
	bool *seen;
	size_t n;
};

static int by_name(const void *pa, const void *pb)
{
	const struct worker *a = *(struct worker *const *)pa;
	const struct worker *b = *(struct worker *const *)pb;

	return strcmp(a->name, b->name);
}

static int index_make(const struct fleet *f, struct index *ret)
{
	ret->workers = calloc(f->n_workers + 1, sizeof(struct worker *));
	ret->seen = calloc(f->n_workers + 1, sizeof(bool));
	if (!ret->workers || !ret->seen)
		return -ENOMEM;
	if (f->n_workers > 0)
		memcpy(ret->workers, f->workers,
		       f->n_workers * sizeof(struct worker *));
	ret->n = f->n_workers;
	qsort(ret->workers, ret->n, sizeof(struct worker *), by_name);
	return 0;
}

static void index_done(struct index *ix)
{
	free(ix->workers);
	free(ix->seen);
}

static struct worker *index_take(struct index *ix, const char *name)
{
	size_t low = 0, high = ix->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name, ix->workers[middle]->name);

		if (order == 0) {
			ix->seen[middle] = true;
			return ix->workers[middle];
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static int plan_wanted(struct reload_plan *plan, struct index *ix,
		       const struct settings *new, struct last_compared *last)
{
	for (size_t i = 0; i < new->n_workers; i++) {
		const struct worker_settings *ws = new->workers[i];

		for (uint32_t k = 0; k < ws->numprocs; k++) {
			struct reload_row *row = &plan->rows[plan->n_rows++];
			int r = settings_instance_name(new, ws, k, &row->name);

			if (r < 0)
				return r;
			row->settings = ws;
			row->number = k;
			row->worker = index_take(ix, row->name);
			r = set_row(row, last);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int plan_unwanted(struct reload_plan *plan, const struct index *ix)
{
	for (size_t i = 0; i < ix->n; i++) {
		struct reload_row *row = &plan->rows[plan->n_rows];

		if (ix->seen[i] || ix->workers[i]->is_leaving)
			continue;
		row->action = RELOAD_REMOVE;
		row->worker = ix->workers[i];
		row->name = strdup(ix->workers[i]->name);
		if (!row->name)
			return -ENOMEM;
		plan->n_rows++;
	}
	return 0;
}

int reload_plan_make(const struct fleet *f, const struct settings *new,
		     struct reload_plan *ret_plan)
{
	_cleanup_(index_done) struct index ix = { 0 };
	struct last_compared last = { .settings = new };
	struct reload_plan plan = { 0 };
	int r;

	for (size_t i = 0; i < new->n_workers; i++)
		plan.n_workers += new->workers[i]->numprocs;
	plan.rows =
		calloc(plan.n_workers + f->n_workers + 1, sizeof(*plan.rows));
	if (!plan.rows)
		return -ENOMEM;
	r = index_make(f, &ix);
	if (r == 0)
		r = plan_wanted(&plan, &ix, new, &last);
	if (r == 0)
		r = plan_unwanted(&plan, &ix);
	free(last.keys);
	if (r < 0)
		reload_plan_done(&plan);
	else
		*ret_plan = plan;
	return r;
}
