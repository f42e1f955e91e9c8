/* The effective configuration, row by row of the schema. See conf.h. */
#include "conf/conf.h"

#include <errno.h>
#include <stdio.h>

#include "conf/environment.h"
#include "conf/expand.h"
#include "conf/origin.h"
#include "conf/schema.h"
#include "workers/base/pure/macro.h"

/* One dump under way; the buffers are used again for each row. */
struct dump {
	const struct settings *settings;
	bool show_secrets;
	conf_row_handler on_row;
	void *userdata;
	struct buf title, plain, value, origin;
};

/* A section to be dumped. */
struct dumped {
	enum schema_section section;
	const void *base;
	const uint32_t *origin;
};

static int format_origin(struct dump *d, uint32_t where)
{
	buf_clear(&d->origin);
	if (where == ORIGIN_DEFAULT)
		return buf_puts(&d->origin, "default");
	reeve_assert(origin_file(where) < d->settings->n_files);
	return buf_printf(&d->origin, "%s:%u",
			  d->settings->files[origin_file(where)],
			  origin_line(where));
}

static int format_value(struct dump *d, const struct schema_row *row,
			const void *base)
{
	struct environment_entry *const *entries;
	int r;

	buf_clear(&d->value);
	if (row->type != TYPE_ENVIRONMENT || d->show_secrets) {
		buf_clear(&d->plain);
		r = types[row->type].format(row, base, &d->plain);
		if (r < 0)
			return r;
		if (types[row->type].is_template)
			return buf_puts(&d->value, buf_text(&d->plain));
		return expand_escape(buf_text(&d->plain), &d->value);
	}
	entries = type_field_const(row, base);
	return environment_format(*entries,
				  *(const size_t *)type_field2_const(row, base),
				  false, &d->value);
}

static int dump_section(struct dump *d, const struct dumped *what)
{
	struct schema_range range = schema_range(what->section);

	for (size_t i = range.first; i < range.first + range.n; i++) {
		const struct schema_row *row = &schema_rows[i];

		if (row->type == TYPE_IGNORED)
			continue;
		if (format_value(d, row, what->base) < 0 ||
		    format_origin(d, origin_find(what->origin, i)) < 0)
			return -ENOMEM;
		d->on_row(d->userdata, buf_text(&d->title), row->key,
			  buf_text(&d->value), buf_text(&d->origin));
	}
	return 0;
}

static int dump_named(struct dump *d, const struct dumped *what,
		      const char *name)
{
	buf_clear(&d->title);
	(void)buf_puts(&d->title, schema_section_name(what->section));
	if (name)
		(void)buf_printf(&d->title, ":%s", name);
	return d->title.error ? -ENOMEM : dump_section(d, what);
}

static int dump_all(struct dump *d)
{
	const struct settings *s = d->settings;
	int r;

	r = dump_named(d,
		       &(struct dumped){ SECTION_REEVE, &s->daemon,
					 s->daemon.origin },
		       NULL);
	for (size_t i = 0; r == 0 && i < s->n_groups; i++)
		r = dump_named(d,
			       &(struct dumped){ SECTION_GROUP, s->groups[i],
						 s->groups[i]->origin },
			       s->groups[i]->name);
	for (size_t i = 0; r == 0 && i < s->n_workers; i++)
		r = dump_named(d,
			       &(struct dumped){ SECTION_WORKER, s->workers[i],
						 s->workers[i]->origin },
			       s->workers[i]->name);
	return r;
}

int conf_dump(const struct settings *s, bool show_secrets,
	      conf_row_handler on_row, void *userdata)
{
	struct dump d = {
		.settings = s,
		.show_secrets = show_secrets,
		.on_row = on_row,
		.userdata = userdata,
	};
	int r = dump_all(&d);

	buf_done(&d.title);
	buf_done(&d.plain);
	buf_done(&d.value);
	buf_done(&d.origin);
	return r;
}
