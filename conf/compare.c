/* What a new configuration changes, row by row of the schema. See conf.h. */
#include "conf/conf.h"

#include <string.h>

#include "conf/schema.h"
#include "workers/base/pure/macro.h"

/* The sections being compared and what was found so far. */
struct comparison {
	const void *old, *new;
	struct buf keys;
	bool differs, needs_restart;
};

static void note_difference(struct comparison *c, const char *key,
			    bool needs_restart)
{
	if (c->keys.len > 0)
		(void)buf_puts(&c->keys, ", ");
	(void)buf_puts(&c->keys, key);
	c->differs = true;
	c->needs_restart |= needs_restart;
}

static void finish(struct comparison *c, char **ret_keys)
{
	if (ret_keys)
		*ret_keys = buf_take(&c->keys);
	buf_done(&c->keys);
}

static bool groups_equal(const struct identity *a, const struct identity *b)
{
	if (a->n_groups != b->n_groups)
		return false;
	for (size_t i = 0; i < a->n_groups; i++)
		if (a->groups[i] != b->groups[i])
			return false;
	return true;
}

/* The same names may mean other numbers by now. */
static bool identity_equal(const struct identity *a, const struct identity *b)
{
	return a->is_set == b->is_set && a->uid == b->uid && a->gid == b->gid &&
	       groups_equal(a, b);
}

static bool mentions(const char *template, const char *name)
{
	return template && strstr(template, name);
}

/* numprocs alone only adds and removes processes, unless those that stay are
 * told about it. */
static bool tells_numprocs(const struct worker_settings *w)
{
	static const char name[] = "%(numprocs)";

	for (size_t i = 0; i < w->n_environment; i++)
		if (mentions(w->environment[i].value, name))
			return true;
	return mentions(w->command, name) || mentions(w->directory, name) ||
	       mentions(w->stdout_log.to.path, name) ||
	       mentions(w->stderr_log.to.path, name);
}

enum conf_change conf_compare_workers(const struct worker_settings *old,
				      const struct worker_settings *new,
				      char **ret_keys)
{
	struct schema_range range = schema_range(SECTION_WORKER);
	struct comparison c = { old, new, BUF_INIT(0), false, false };

	for (size_t i = range.first; i < range.first + range.n; i++) {
		const struct schema_row *row = &schema_rows[i];
		bool equal = types[row->type].equal(row, old, new);
		bool needs_restart = row->needs_restart;

		if (row->offset == offsetof(struct worker_settings, user) &&
		    row->type == TYPE_STRING)
			equal = equal &&
				identity_equal(&old->identity, &new->identity);
		if (row->offset == offsetof(struct worker_settings, numprocs))
			needs_restart = tells_numprocs(new);
		if (!equal)
			note_difference(&c, row->key, needs_restart);
	}
	finish(&c, ret_keys);
	if (!c.differs)
		return CONF_SAME;
	return c.needs_restart ? CONF_RESTART : CONF_APPLY;
}

bool conf_compare_daemon(const struct daemon_settings *old,
			 const struct daemon_settings *new, char **ret_keys)
{
	struct schema_range range = schema_range(SECTION_REEVE);
	struct comparison c = { old, new, BUF_INIT(0), false, false };

	for (size_t i = range.first; i < range.first + range.n; i++) {
		const struct schema_row *row = &schema_rows[i];

		if (row->needs_restart &&
		    !types[row->type].equal(row, old, new))
			note_difference(&c, row->key, true);
	}
	finish(&c, ret_keys);
	return c.differs;
}
