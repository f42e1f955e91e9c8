/* See fleet.h. Plain arrays and one hash table. Room for all of it is made when
 * workers are added, so that nothing that happens later needs memory; workers
 * of one section stand side by side, which the recycling of sets relies on.
 */
#include "supervisor/daemon/fleet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/core/plan.h"
#include "supervisor/daemon/daemon.h"
#include "supervisor/daemon/worker.h"

#define TIMERS_PER_WORKER 2
#define TIMERS_OF_DAEMON  (CONTROL_MAX + CONTROL_RESERVED + JOBS_MAX + 16)

int fleet_init(struct fleet *f)
{
	*f = (struct fleet){ 0 };
	STAILQ_INIT(&f->queue);
	return 0;
}

void fleet_done(struct fleet *f)
{
	for (size_t i = 0; i < f->n_workers; i++) {
		worker_abandon(f->workers[i]);
		worker_free(f->workers[i]);
	}
	free(f->workers);
	free(f->by_pid);
	*f = (struct fleet){ 0 };
}

/* ---- the pid table ----------------------------------------------------- */

static struct worker **bucket(const struct fleet *f, pid_t pid)
{
	return &f->by_pid[(size_t)pid & (f->n_buckets - 1)];
}

void fleet_pid_added(struct fleet *f, struct worker *w)
{
	struct worker **head = bucket(f, w->pid);

	w->pid_next = *head;
	*head = w;
}

void fleet_pid_removed(struct fleet *f, struct worker *w)
{
	if (w->pid == 0)
		return;
	for (struct worker **p = bucket(f, w->pid); *p; p = &(*p)->pid_next) {
		if (*p != w)
			continue;
		*p = w->pid_next;
		w->pid_next = NULL;
		return;
	}
}

struct worker *fleet_by_pid(const struct fleet *f, pid_t pid)
{
	struct worker *w;

	if (f->n_buckets == 0)
		return NULL;
	for (w = *bucket(f, pid); w && w->pid != pid; w = w->pid_next)
		;
	return w;
}

static int grow_buckets(struct fleet *f, size_t n_workers)
{
	size_t n = MAX(f->n_buckets, (size_t)64);
	struct worker **by_pid;

	while (n < n_workers)
		n *= 2;
	if (n == f->n_buckets)
		return 0;
	by_pid = calloc(n, sizeof(struct worker *));
	if (!by_pid)
		return -ENOMEM;
	free(f->by_pid);
	f->by_pid = by_pid;
	f->n_buckets = n;
	for (size_t i = 0; i < f->n_workers; i++)
		if (f->workers[i]->pid > 0)
			fleet_pid_added(f, f->workers[i]);
	return 0;
}

/* ---- the array --------------------------------------------------------- */

int fleet_reserve(struct daemon *d, size_t n_workers)
{
	struct fleet *f = &d->fleet;
	struct worker **workers;
	int r;

	r = hub_reserve_timers(&d->hub, TIMERS_OF_DAEMON +
						TIMERS_PER_WORKER * n_workers);
	if (r < 0)
		return r;
	r = grow_buckets(f, n_workers);
	if (r < 0 || n_workers <= f->n_allocated)
		return r;
	workers = realloc(f->workers, n_workers * sizeof(struct worker *));
	if (!workers)
		return -ENOMEM;
	f->workers = workers;
	f->n_allocated = n_workers;
	return 0;
}

void fleet_add(struct fleet *f, struct worker *w)
{
	reeve_assert(f->n_workers < f->n_allocated);
	f->workers[f->n_workers++] = w;
}

struct worker *fleet_by_name(const struct fleet *f, const char *name)
{
	for (size_t i = 0; i < f->n_workers; i++)
		if (strcmp(f->workers[i]->name, name) == 0)
			return f->workers[i];
	return NULL;
}

/* Where the section of w stands in its configuration; leaving ones last. */
static size_t section_index(const struct worker *w)
{
	const struct generation *g =
		w->next_settings ? w->next_generation : w->generation;
	const struct worker_settings *ws =
		w->next_settings ? w->next_settings : w->settings;
	const struct settings *s = g->settings;
	size_t i = 0;

	if (w->is_leaving)
		return SIZE_MAX;
	while (i < s->n_workers && s->workers[i] != ws)
		i++;
	return i;
}

struct sort_key {
	size_t section, number;
	struct worker *worker;
};

static int compare_keys(const void *pa, const void *pb)
{
	const struct sort_key *a = pa, *b = pb;

	if (a->section != b->section)
		return a->section < b->section ? -1 : 1;
	return a->number < b->number ? -1 : a->number > b->number;
}

void fleet_sort(struct fleet *f)
{
	struct sort_key *keys = calloc(f->n_workers + 1, sizeof(*keys));

	if (!keys)
		return; /* only the order in status is lost */
	for (size_t i = 0; i < f->n_workers; i++)
		keys[i] = (struct sort_key){ section_index(f->workers[i]),
					     f->workers[i]->number,
					     f->workers[i] };
	qsort(keys, f->n_workers, sizeof(*keys), compare_keys);
	for (size_t i = 0; i < f->n_workers; i++)
		f->workers[i] = keys[i].worker;
	free(keys);
}

static bool is_down(const struct worker *w)
{
	return !w->life.has_process && !lifecycle_is_wanted(&w->life) &&
	       !w->is_queued;
}

void fleet_sweep(struct daemon *d)
{
	struct fleet *f = &d->fleet;
	size_t n = 0;

	if (f->n_leaving == 0)
		return;
	for (size_t i = 0; i < f->n_workers; i++) {
		struct worker *w = f->workers[i];

		if (w->is_leaving && is_down(w)) {
			worker_free(w);
			f->n_leaving--;
		} else {
			f->workers[n++] = w;
		}
	}
	f->n_workers = n;
}

/* ---- up, down, recycle ------------------------------------------------- */

void fleet_start(struct fleet *f)
{
	struct plan_entry *order;

	order = calloc(f->n_workers + 1, sizeof(*order));
	for (size_t i = 0; i < f->n_workers && order; i++)
		order[i] = (struct plan_entry){
			f->workers[i]->settings->priority,
			(uint32_t)i,
		};
	if (order)
		plan_order_start(order, f->n_workers);
	for (size_t i = 0; i < f->n_workers; i++) {
		/* Without memory for the order they all start none the less. */
		struct worker *w = f->workers[order ? order[i].position : i];

		if (w->settings->autostart && !w->is_leaving &&
		    w->life.state == STATE_STOPPED)
			worker_tell(w, EVENT_START);
	}
	free(order);
}

bool fleet_stop_step(struct fleet *f, bool quick)
{
	int32_t tier = INT32_MIN;
	bool found = false;

	for (size_t i = 0; i < f->n_workers; i++) {
		const struct worker *w = f->workers[i];

		if (is_down(w))
			continue;
		found = true;
		tier = MAX(tier, w->settings->priority);
	}
	for (size_t i = f->n_workers; i-- > 0;) {
		struct worker *w = f->workers[i];

		if (is_down(w) || (!quick && w->settings->priority != tier))
			continue;
		if (quick && w->life.state != STATE_KILLING)
			worker_tell(w, EVENT_STOP_NOW);
		else if ((w->life.ending != ENDING_STOP ||
			  w->life.start_wanted) &&
			 !w->is_queued)
			worker_tell(w, EVENT_STOP);
	}
	return !found;
}

static bool is_recycling(const struct worker *w)
{
	return w->life.is_recycling || worker_is_told(w, EVENT_RECYCLE);
}

/* The workers of one section stand side by side: those from first on. */
static size_t count_set(const struct fleet *f, size_t first,
			struct plan_set *ret_set)
{
	const struct worker_settings *ws = f->workers[first]->settings;
	struct plan_set set = { .recycle_max = ws->recycle_max };
	size_t i;

	for (i = first; i < f->n_workers && f->workers[i]->settings == ws;
	     i++) {
		const struct worker *w = f->workers[i];

		set.wanted += lifecycle_is_wanted(&w->life);
		set.recycling += is_recycling(w);
		set.up += w->life.state == STATE_RUNNING && !is_recycling(w);
	}
	*ret_set = set;
	return i;
}

/* Begins up to n recycles among the due of [first, end); true: some remain. */
static bool recycle_set(struct fleet *f, size_t first, size_t end, uint32_t n)
{
	bool still_due = false;

	for (size_t i = first; i < end; i++) {
		struct worker *w = f->workers[i];

		if (!w->recycle_due)
			continue;
		if (w->life.state == STATE_STARTING) {
			still_due = true; /* as soon as it runs */
		} else if (w->life.state != STATE_RUNNING) {
			/* Its process is on its way out anyhow. */
			w->recycle_due = false;
		} else if (n > 0) {
			w->recycle_due = false;
			worker_tell(w, EVENT_RECYCLE);
			n--;
		} else {
			still_due = true;
		}
	}
	return still_due;
}

void fleet_recycle_step(struct fleet *f)
{
	bool still_due = false;
	struct plan_set set;
	size_t end;

	if (!f->has_recycle_due)
		return;
	for (size_t i = 0; i < f->n_workers; i = end) {
		end = count_set(f, i, &set);
		still_due |= recycle_set(f, i, end, plan_recycles(&set));
	}
	f->has_recycle_due = still_due;
}

bool fleet_handle(struct fleet *f, size_t max)
{
	for (size_t i = 0; i < max; i++) {
		struct worker *w = STAILQ_FIRST(&f->queue);

		if (!w)
			return false;
		STAILQ_REMOVE_HEAD(&f->queue, queue_entry);
		w->is_queued = false;
		worker_handle(w);
	}
	return !STAILQ_EMPTY(&f->queue);
}
