/* What a reload would do, from a fleet and new settings. */
#include "supervisor/daemon/reload_plan.h"

#include <stdlib.h>
#include <string.h>

#include "supervisor/daemon/daemon.h"
#include "supervisor/daemon/worker.h"
#include "tests/lib/unit.h"

static struct settings *load(const char *text)
{
	const struct conf_options options = { 0 };
	struct conf_report report;
	struct settings *s = NULL;
	char name[32];
	static int n;

	snprintf(name, sizeof(name), "%d.ini", n++);
	ck_assert_int_eq(
		conf_load(unit_file(name, text), &options, &s, &report), 0);
	conf_report_done(&report);
	return s;
}

/* A fleet as far as the plan looks at it. */
static struct worker *add(struct fleet *f, struct generation *g, size_t section,
			  uint32_t number)
{
	struct worker *w = calloc(1, sizeof(*w));

	w->generation = g;
	w->settings = g->settings->workers[section];
	w->number = number;
	ck_assert_int_eq(settings_instance_name(g->settings, w->settings,
						number, &w->name),
			 0);
	f->workers = realloc(f->workers,
			     (f->n_workers + 1) * sizeof(struct worker *));
	f->workers[f->n_workers++] = w;
	return w;
}

static void fleet_drop(struct fleet *f)
{
	for (size_t i = 0; i < f->n_workers; i++) {
		free(f->workers[i]->name);
		free(f->workers[i]);
	}
	free(f->workers);
}

static const struct reload_row *find(const struct reload_plan *plan,
				     const char *name)
{
	for (size_t i = 0; i < plan->n_rows; i++)
		if (strcmp(plan->rows[i].name, name) == 0)
			return &plan->rows[i];
	ck_abort_msg("no row for %s", name);
}

START_TEST(test_plan)
{
	struct generation *g = generation_new(
		load("[worker:keep]\ncommand=/bin/true\n"
		     "[worker:change]\ncommand=/bin/true\n"
		     "[worker:update]\ncommand=/bin/true\n"
		     "[worker:gone]\ncommand=/bin/true\n"
		     "[worker:set]\ncommand=/bin/true\nnumprocs=2\n"));
	struct settings *new =
		load("[worker:new]\ncommand=/bin/true\n"
		     "[worker:set]\ncommand=/bin/true\nnumprocs=3\n"
		     "[worker:update]\ncommand=/bin/true\nautorestart=true\n"
		     "[worker:change]\ncommand=/bin/false\n"
		     "[worker:keep]\ncommand=/bin/true\n");
	struct fleet f = { 0 };
	struct worker *keep = add(&f, g, 0, 0);
	struct reload_plan plan;

	add(&f, g, 1, 0);
	add(&f, g, 2, 0);
	add(&f, g, 3, 0);
	add(&f, g, 4, 0);
	add(&f, g, 4, 1);
	ck_assert_int_eq(reload_plan_make(&f, new, &plan), 0);
	ck_assert_uint_eq(plan.n_workers, 7);
	ck_assert_int_eq(find(&plan, "keep")->action, RELOAD_KEEP);
	ck_assert_ptr_eq(find(&plan, "keep")->worker, keep);
	ck_assert_int_eq(find(&plan, "new")->action, RELOAD_ADD);
	ck_assert_int_eq(find(&plan, "gone")->action, RELOAD_REMOVE);
	ck_assert_int_eq(find(&plan, "change")->action, RELOAD_RESTART);
	ck_assert_str_eq(find(&plan, "change")->detail, "command");
	ck_assert_int_eq(find(&plan, "update")->action, RELOAD_UPDATE);
	ck_assert_str_eq(find(&plan, "update")->detail, "autorestart");
	ck_assert_int_eq(find(&plan, "set:2")->action, RELOAD_ADD);
	ck_assert_int_ne(find(&plan, "set:0")->action, RELOAD_RESTART);
	reload_plan_done(&plan);
	fleet_drop(&f);
	settings_free(new);
	generation_unref(g);
}
END_TEST

START_TEST(test_leaving_worker_is_not_removed_twice)
{
	struct generation *g =
		generation_new(load("[worker:a]\ncommand=/bin/true\n"));
	struct settings *new = load("[worker:b]\ncommand=/bin/true\n");
	struct fleet f = { 0 };
	struct reload_plan plan;

	add(&f, g, 0, 0)->is_leaving = true;
	ck_assert_int_eq(reload_plan_make(&f, new, &plan), 0);
	ck_assert_uint_eq(plan.n_rows, 1);
	ck_assert_int_eq(plan.rows[0].action, RELOAD_ADD);
	reload_plan_done(&plan);
	fleet_drop(&f);
	settings_free(new);
	generation_unref(g);
}
END_TEST

UNIT_MAIN("reload_plan", test_plan, test_leaving_worker_is_not_removed_twice)
