/* From raw values to settings, driven by the schema: defaults first, then
 * what the files say. Defaults are texts that go through the same parsers,
 * once; each section begins as a copy of the result.
 * See load.h. */
#include "conf/load.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "conf/instance.h"
#include "workers/base/pure/macro.h"

/* A section that is being filled. */
struct target {
	const struct raw_section *raw;
	void *base; /* its struct */
	struct expand_names names;
};

static int apply_defaults(struct loader *ld, enum schema_section section,
			  void *base)
{
	struct schema_range range = schema_range(section);
	struct type_call call = { .arena = ld->arena };

	for (size_t i = range.first; i < range.first + range.n; i++) {
		const struct schema_row *row = &schema_rows[i];
		int r;

		if (row->type == TYPE_IGNORED)
			continue;
		call.row = row;
		r = types[row->type].parse(&call, row->default_text, base);
		reeve_assert(r != -EINVAL);
		if (r < 0)
			return r;
	}
	return 0;
}

static void refuse_value(struct loader *ld, const struct target *t,
			 const struct raw_value *v, const char *reason)
{
	char shown[REPORT_QUOTE_MAX];

	notes_error(&ld->notes, v->where, "bad value \"%s\" for %s in [%s]: %s",
		    report_quote(v->text, shown), v->row->key, t->raw->title,
		    reason);
}

/* environment = %(ENV_X)s: the list, or its beginning, is what X holds. Values
 * are expanded for each process; what X holds is not, as with supervisord: it
 * is escaped. Moves *at behind it. */
static int splice_list(const struct target *t, const char **at,
		       struct buf *text, char *reason)
{
	const char *start = *at + strspn(*at, " \t\n");
	const char *end = strstr(start, ")s");

	while (end && strncmp(start, "%(ENV_", 6) == 0) {
		_cleanup_(buf_done) struct buf list = BUF_INIT(CONF_LINE_MAX);
		_cleanup_(free_pointer) char *name =
			strndup(start, (size_t)(end - start) + 2);
		int r = name ? expand(name, &t->names, &list, reason) : -ENOMEM;

		if (r == 0)
			r = expand_escape(buf_text(&list), text);
		if (r < 0)
			return r;
		start = end + 2 + strspn(end + 2, " \t\n");
		*at = start;
		if (*start != ',')
			break;
		(void)buf_putc(text, ',');
		*at = ++start;
		start += strspn(start, " \t\n");
		end = strstr(start, ")s");
	}
	return text->error;
}

/* Appends the text that the value's parser is to see. Templates keep all but
 * %(here)s, which depends on the file. */
static int prepare_text(struct loader *ld, struct target *t,
			const struct raw_value *v, struct buf *text)
{
	char reason[EXPAND_REASON_MAX];
	const char *at = v->text;
	int r = 0;

	t->names.here = ld->files[origin_file(v->where)].here;
	if (v->row->type == TYPE_ENVIRONMENT)
		r = splice_list(t, &at, text, reason);
	if (r == 0 && types[v->row->type].is_template) {
		r = expand_here(at, t->names.here, text);
		return r == -EMSGSIZE ? -EINVAL : r;
	}
	if (r == 0)
		r = expand(at, &t->names, text, reason);
	if (r == -EINVAL)
		refuse_value(ld, t, v, reason);
	else if (r == -EMSGSIZE)
		refuse_value(ld, t, v, "it becomes too long");
	return r == -EMSGSIZE ? -EINVAL : r;
}

/* Applies one value. Returns 0 also when it is refused, and -ENOMEM. */
static int apply_value(struct loader *ld, struct target *t,
		       const struct raw_value *v)
{
	_cleanup_(buf_done) struct buf text = BUF_INIT(2 * CONF_LINE_MAX);
	struct type_call call = { .row = v->row, .arena = ld->arena };
	int r;

	r = prepare_text(ld, t, v, &text);
	if (r < 0)
		return r == -EINVAL ? 0 : r;
	r = types[v->row->type].parse(&call, buf_text(&text), t->base);
	if (r != -EINVAL)
		return r;
	refuse_value(ld, t, v, call.reason);
	return 0;
}

/* supervisord's keys that do nothing here: said when something else than the
 * default was asked for. */
static void tell_ignored(struct loader *ld, const struct target *t,
			 const struct raw_value *v)
{
	if (!v->row->default_text ||
	    strcasecmp(v->text, v->row->default_text) == 0)
		return;
	notes_warning(&ld->notes, v->where,
		      "%s in [%s] has no meaning here and is ignored",
		      v->row->key, t->raw->title);
}

static int apply_values(struct loader *ld, struct target *t,
			uint32_t **ret_origin)
{
	/* one pair more than values: load_finish() may note where the group
	 * sets the priority */
	size_t n = 1 + 2 * (t->raw->n_values + 1);
	uint32_t *list = arena_alloc(ld->arena, n * sizeof(*list));

	if (!list)
		return -ENOMEM;
	for (const struct raw_value *v = t->raw->values; v; v = v->next) {
		int r = 0;

		list[1 + 2 * list[0]] = (uint32_t)schema_index(v->row);
		list[2 + 2 * list[0]] = v->where;
		list[0]++;
		if (v->row->type == TYPE_IGNORED)
			tell_ignored(ld, t, v);
		else
			r = apply_value(ld, t, v);
		if (r < 0)
			return r;
	}
	*ret_origin = list;
	return 0;
}

/* [reeve]; its environment is known to what comes after it. */
static int apply_daemon(struct loader *ld)
{
	struct daemon_settings *d = &ld->settings->daemon;
	struct expand_layer layer = { 0 }, templates;
	char reason[EXPAND_REASON_MAX];
	int r;

	r = apply_defaults(ld, SECTION_REEVE, d);
	if (r < 0)
		return r;
	d->control_gid = (gid_t)-1;
	for (size_t i = 0; i < ld->n_sections; i++) {
		struct target t = { ld->sections[i], d, ld->names };

		if (t.raw->kind != SECTION_REEVE || t.raw->is_dropped)
			continue;
		r = apply_values(ld, &t, &d->origin);
		if (r < 0)
			return r;
		templates = (struct expand_layer){ d->environment,
						   d->n_environment };
		r = instance_expand_environment(&templates, &ld->names,
						&ld->scratch, &layer, reason);
		if (r == -EINVAL)
			notes_error(&ld->notes,
				    load_where(t.raw, "environment"),
				    "environment in [%s]: %s", t.raw->title,
				    reason);
		else if (r < 0)
			return r;
	}
	ld->names.layers[1] = layer;
	return 0;
}

static bool is_unsupported(const struct loader *ld, const char *name)
{
	for (size_t i = 0; i < ld->n_unsupported; i++)
		if (strcmp(ld->unsupported[i], name) == 0)
			return true;
	return false;
}

/* One name of programs=. */
static void join_group(struct loader *ld, const struct raw_section *group,
		       const char *name)
{
	struct raw_section *worker = load_find_worker(ld, name);
	uint32_t where = load_where(group, "programs");
	char shown[REPORT_QUOTE_MAX];

	report_quote(name, shown);
	if (!worker && is_unsupported(ld, name))
		return;
	if (!worker)
		notes_error(&ld->notes, where,
			    "programs in [%s]: there is no [worker:%s]",
			    group->title, shown);
	else if (worker->group == group)
		notes_error(&ld->notes, where,
			    "programs in [%s]: %s is named twice", group->title,
			    shown);
	else if (worker->group)
		notes_error(&ld->notes, where,
			    "programs in [%s]: %s is in [%s] already; a worker "
			    "is in one group",
			    group->title, shown, worker->group->title);
	else
		worker->group = group;
}

static int apply_group(struct loader *ld, struct raw_section *raw,
		       const struct group_settings *defaults)
{
	struct group_settings *g =
		arena_copy(ld->arena, defaults, sizeof(*defaults));
	struct target t = { raw, g, ld->names };
	int r;

	if (!g)
		return -ENOMEM;
	g->name = arena_strdup(ld->arena, raw->name);
	g->file = ld->files[origin_file(raw->where)].path;
	g->line = (int)origin_line(raw->where);
	if (!g->name)
		return -ENOMEM;
	t.names.group_name = g->name;
	r = apply_values(ld, &t, &g->origin);
	if (r < 0)
		return r;
	for (size_t i = 0; i < g->n_programs; i++)
		join_group(ld, raw, g->programs[i]);
	if (g->n_programs == 0)
		notes_error(&ld->notes, load_where(raw, "programs"),
			    "[%s] has no programs=", raw->title);
	raw->group_settings = g;
	ld->settings->groups[ld->settings->n_groups++] = g;
	return 0;
}

static int apply_worker(struct loader *ld, struct raw_section *raw,
			const struct worker_settings *defaults)
{
	struct worker_settings *w =
		arena_copy(ld->arena, defaults, sizeof(*defaults));
	struct target t = { raw, w, ld->names };

	if (!w)
		return -ENOMEM;
	w->name = arena_strdup(ld->arena, raw->name);
	w->file = ld->files[origin_file(raw->where)].path;
	w->line = (int)origin_line(raw->where);
	if (!w->name)
		return -ENOMEM;
	w->group_name = raw->group ? raw->group->group_settings->name : w->name;
	t.names.program_name = w->name;
	t.names.group_name = w->group_name;
	raw->worker = w;
	ld->settings->workers[ld->settings->n_workers++] = w;
	return apply_values(ld, &t, &w->origin);
}

static int apply_groups(struct loader *ld)
{
	struct group_settings defaults = { 0 };
	int r = apply_defaults(ld, SECTION_GROUP, &defaults);

	for (size_t i = 0; r == 0 && i < ld->n_sections; i++) {
		struct raw_section *raw = ld->sections[i];

		if (raw->kind == SECTION_GROUP && !raw->is_dropped)
			r = apply_group(ld, raw, &defaults);
	}
	return r;
}

static int apply_workers(struct loader *ld)
{
	struct worker_settings defaults = { 0 };
	int r = apply_defaults(ld, SECTION_WORKER, &defaults);

	for (size_t i = 0; r == 0 && i < ld->n_sections; i++) {
		struct raw_section *raw = ld->sections[i];

		if (raw->kind == SECTION_WORKER && !raw->is_dropped)
			r = apply_worker(ld, raw, &defaults);
	}
	return r;
}

int load_apply(struct loader *ld)
{
	struct settings *s = ld->settings;
	size_t n_groups = 0;
	int r;

	for (size_t i = 0; i < ld->n_sections; i++)
		n_groups += ld->sections[i]->kind == SECTION_GROUP;
	s->workers = arena_alloc(ld->arena,
				 (ld->n_workers + 1) * sizeof(*s->workers));
	s->groups = arena_alloc(ld->arena, (n_groups + 1) * sizeof(*s->groups));
	if (!s->workers || !s->groups)
		return -ENOMEM;
	r = apply_daemon(ld);
	if (r == 0)
		r = apply_groups(ld);
	if (r == 0)
		r = apply_workers(ld);
	return r;
}
