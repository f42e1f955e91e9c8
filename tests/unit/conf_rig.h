/* What the tests of conf/ share: a load and its report, in one struct, and a
 * resolver that knows a few names. */
#pragma once

#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "conf/load.h"
#include "workers/base/pure/macro.h"

struct conf_rig {
	int r;
	struct settings *s;
	struct conf_report report;
};

/* alice and bob, both in staff: numbers that nobody has who runs the tests. */
#define RIG_ALICE 70001
#define RIG_BOB	  70002
#define RIG_STAFF 72000

static inline int rig_group(void *userdata, const char *group, gid_t *ret_gid)
{
	int *n_calls = userdata;

	if (n_calls)
		++*n_calls;
	if (strcmp(group, "staff") != 0)
		return -ENOTDIR;
	*ret_gid = RIG_STAFF;
	return 0;
}

static inline int rig_identity(void *userdata, const char *user,
			       const char *group, struct identity *ret_identity)
{
	struct identity id = { .is_set = true,
			       .uid = RIG_ALICE,
			       .gid = RIG_ALICE };
	int *n_calls = userdata;
	int r;

	if (n_calls)
		++*n_calls;
	if (strcmp(user, "bob") == 0)
		id.uid = id.gid = RIG_BOB;
	else if (strcmp(user, "alice") != 0)
		return strcmp(user, "broken") == 0 ? -EIO : -ENOENT;
	if (group) {
		r = rig_group(NULL, group, &id.gid);
		if (r < 0)
			return r;
	}
	id.groups = calloc(2, sizeof(*id.groups));
	ck_assert_ptr_nonnull(id.groups);
	id.groups[0] = id.gid;
	id.groups[1] = RIG_STAFF;
	id.n_groups = 2;
	id.name = strdup(user);
	id.home = strdup("/home/of");
	*ret_identity = id;
	return 0;
}

static const struct conf_resolver rig_resolver = {
	.identity = rig_identity,
	.group = rig_group,
};

static inline struct conf_rig rig_load_bytes(const char *text, size_t len,
					     const struct conf_options *options)
{
	struct conf_rig rig = { 0 };

	rig.r = conf_load_text("t.ini", text, len, options, &rig.s,
			       &rig.report);
	return rig;
}

static inline struct conf_rig rig_load(const char *text)
{
	const struct conf_options options = { .resolver = &rig_resolver };

	return rig_load_bytes(text, strlen(text), &options);
}

static inline struct conf_rig rig_load_file(const char *path)
{
	const struct conf_options options = { .resolver = &rig_resolver };
	struct conf_rig rig = { 0 };

	rig.r = conf_load(path, &options, &rig.s, &rig.report);
	return rig;
}

static inline void rig_done(struct conf_rig *rig)
{
	rig->s = settings_free(rig->s);
	conf_report_done(&rig->report);
}

/* All messages, for the output of a test that fails. */
static inline void rig_show(const struct conf_rig *rig)
{
	conf_report_print(&rig->report, stderr);
}

/* Loaded without a word. */
static inline void rig_assert_clean(const struct conf_rig *rig)
{
	if (rig->r != 0 || rig->report.n_messages > 0)
		rig_show(rig);
	ck_assert_int_eq(rig->r, 0);
	ck_assert_ptr_nonnull(rig->s);
	ck_assert_uint_eq(rig->report.n_errors, 0);
	ck_assert_uint_eq(rig->report.n_warnings, 0);
}

static inline const struct conf_message *rig_find(const struct conf_rig *rig,
						  int line, const char *part)
{
	for (size_t i = 0; i < rig->report.n_messages; i++) {
		const struct conf_message *m = &rig->report.messages[i];

		if ((line < 0 || m->line == line) && strstr(m->text, part))
			return m;
	}
	return NULL;
}

static inline void rig_assert_message(const struct conf_rig *rig, bool is_error,
				      int line, const char *part)
{
	const struct conf_message *m = rig_find(rig, line, part);

	if (!m || m->is_error != is_error)
		rig_show(rig);
	ck_assert_msg(m, "no message in line %d with \"%s\"", line, part);
	ck_assert_int_eq(m->is_error, is_error);
	ck_assert_ptr_nonnull(m->file);
}

/* Refused, with exactly this error and no other. */
static inline void rig_assert_error(const struct conf_rig *rig, int line,
				    const char *part)
{
	rig_assert_message(rig, true, line, part);
	if (rig->report.n_errors != 1)
		rig_show(rig);
	ck_assert_int_eq(rig->r, -EINVAL);
	ck_assert_ptr_null(rig->s);
	ck_assert_uint_eq(rig->report.n_errors, 1);
}

/* Loaded, with exactly this warning and no other. */
static inline void rig_assert_warning(const struct conf_rig *rig, int line,
				      const char *part)
{
	rig_assert_message(rig, false, line, part);
	if (rig->r != 0 || rig->report.n_warnings != 1)
		rig_show(rig);
	ck_assert_int_eq(rig->r, 0);
	ck_assert_uint_eq(rig->report.n_warnings, 1);
}

/* Loaded without a word to root. Anybody else is told of each worker that is
 * to run as another user; n_others are. */
static inline void rig_assert_clean_to_root(const struct conf_rig *rig,
					    size_t n_others)
{
	size_t n = geteuid() == 0 ? 0 : n_others;

	if (n > 0)
		rig_assert_message(rig, false, -1,
				   "works only when reeved runs as root");
	if (rig->r != 0 || rig->report.n_messages != n)
		rig_show(rig);
	ck_assert_int_eq(rig->r, 0);
	ck_assert_uint_eq(rig->report.n_errors, 0);
	ck_assert_uint_eq(rig->report.n_warnings, n);
}

static inline const struct worker_settings *rig_worker(const struct conf_rig *r,
						       const char *name)
{
	for (size_t i = 0; r->s && i < r->s->n_workers; i++)
		if (strcmp(r->s->workers[i]->name, name) == 0)
			return r->s->workers[i];
	rig_show(r);
	ck_abort_msg("no worker %s", name);
	return NULL;
}
