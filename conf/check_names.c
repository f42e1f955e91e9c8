/* Names of processes and groups: each once, and not too many of them.
 * See load.h. */
#include "conf/load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/macro.h"

struct process {
	char *name;
	const struct raw_section *raw;
};

struct processes {
	struct process *items;
	size_t n;
};

static void processes_done(struct processes *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->items[i].name);
	free(p->items);
}

/* Notes what is wrong with the full name of a process, and returns true. */
static bool refuse_process(struct loader *ld, const struct raw_section *raw,
			   const char *name)
{
	const struct worker_settings *w = raw->worker;
	size_t prefix = strlen(w->group_name) + 1;
	bool is_alone = w->numprocs == 1 && strcmp(w->group_name, w->name) == 0;
	const char *why = load_refuse_name(is_alone ? name : name + prefix);
	char shown[REPORT_QUOTE_MAX];

	if (!why && strlen(name) > SETTINGS_NAME_MAX)
		why = "it is longer than 128 bytes with its group";
	if (!why)
		return false;
	notes_error(&ld->notes, load_where(raw, "process_name"),
		    "process_name in [%s]: a process cannot be called \"%s\": "
		    "%s",
		    raw->title, report_quote(name, shown), why);
	return true;
}

/* Appends the names of one section. Those that do not expand were noted. */
static int list_section(struct loader *ld, const struct raw_section *raw,
			struct processes *p)
{
	const struct worker_settings *w = raw->worker;

	if (load_refuse_name(raw->name) || !w->process_name)
		return 0;
	for (uint32_t i = 0; i < w->numprocs; i++) {
		char *name = NULL;
		int r = settings_instance_name(ld->settings, w, i, &name);

		if (r < 0)
			return r == -ENOMEM ? r : 0;
		p->items[p->n++] = (struct process){ name, raw };
		if (refuse_process(ld, raw, name))
			return 0;
	}
	return 0;
}

static int compare_processes(const void *a, const void *b)
{
	const struct process *pa = a, *pb = b;
	int r = strcmp(pa->name, pb->name);

	if (r == 0 && pa->raw != pb->raw)
		r = pa->raw->where < pb->raw->where ? -1 : 1;
	return r;
}

/* Two names of one section were noted when %(process_num) was missed. */
static void tell_duplicates(struct loader *ld, const struct processes *p)
{
	const struct raw_section *told = NULL;
	char shown[REPORT_QUOTE_MAX], file[REPORT_QUOTE_MAX];

	for (size_t i = 1; i < p->n; i++) {
		const struct process *a = &p->items[i - 1], *b = &p->items[i];

		reeve_assert(a->raw && b->raw);
		if (a->raw == b->raw || strcmp(a->name, b->name) != 0 ||
		    told == b->raw)
			continue;
		told = b->raw;
		notes_error(&ld->notes, load_where(b->raw, "process_name"),
			    "[%s] has a process \"%s\", and so has [%s] in "
			    "%s:%u; name one of them differently",
			    b->raw->title, report_quote(a->name, shown),
			    a->raw->title,
			    report_quote(a->raw->worker->file, file),
			    origin_line(a->raw->where));
	}
}

/* A group and a worker that is not in it, under one name: web:* would mean
 * both. */
static void check_groups(struct loader *ld)
{
	for (size_t i = 0; i < ld->n_sections; i++) {
		const struct raw_section *group = ld->sections[i];
		const struct raw_section *worker;

		if (group->kind != SECTION_GROUP || group->is_dropped)
			continue;
		worker = load_find_worker(ld, group->name);
		if (worker && worker->group != group)
			notes_error(&ld->notes, group->where,
				    "[%s] has the name of [%s], which is not "
				    "in it; name one of them differently",
				    group->title, worker->title);
	}
}

static uint64_t count_processes(const struct settings *s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->n_workers; i++)
		n += s->workers[i]->numprocs;
	return n;
}

int load_check_names(struct loader *ld)
{
	_cleanup_(processes_done) struct processes p = { 0 };
	uint64_t n = count_processes(ld->settings);
	int r = 0;

	check_groups(ld);
	if (n > SETTINGS_WORKERS_MAX) {
		notes_error(&ld->notes, origin_make(0, 0),
			    "%" PRIu64 " processes in all; at most %d are "
			    "supported: lower numprocs",
			    n, SETTINGS_WORKERS_MAX);
		return 0;
	}
	p.items = calloc((size_t)n + 1, sizeof(*p.items));
	if (!p.items)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < ld->n_sections; i++)
		if (ld->sections[i]->kind == SECTION_WORKER &&
		    !ld->sections[i]->is_dropped)
			r = list_section(ld, ld->sections[i], &p);
	if (r < 0)
		return r;
	qsort(p.items, p.n, sizeof(*p.items), compare_processes);
	tell_duplicates(ld, &p);
	return 0;
}
