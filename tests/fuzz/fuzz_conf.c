/* Fuzzes the configuration: reader, schema, checks, instances and dump.
 *
 * Whatever loads must also build its processes, and come out of the dump as a
 * text that loads again, to the same settings. Whatever does not load must say
 * why. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "conf/load.h"
#include "workers/base/pure/buf.h"
#include "workers/base/pure/macro.h"

#define INSTANCES_MAX 3 /* built of each section */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int find_identity(void *userdata _unused_, const char *user,
			 const char *group, struct identity *ret_identity)
{
	if (user[0] == 'x')
		return -ENOENT;
	if (group && group[0] == 'x')
		return -ENOTDIR;
	*ret_identity = (struct identity){ .is_set = true, .uid = 1, .gid = 1 };
	return 0;
}

static int find_group(void *userdata _unused_, const char *group,
		      gid_t *ret_gid)
{
	if (group[0] == 'x')
		return -ENOTDIR;
	*ret_gid = 1;
	return 0;
}

static const struct conf_resolver resolver = { find_identity, find_group,
					       NULL };

/* The dump as a file; a section begins where its name changes. */
struct text {
	struct buf out;
	char *section;
};

static void on_row(void *userdata, const char *section, const char *key,
		   const char *value, const char *origin _unused_)
{
	struct text *t = userdata;

	if (!t->section || strcmp(t->section, section) != 0) {
		free(t->section);
		t->section = strdup(section);
		reeve_assert(t->section);
		(void)buf_printf(&t->out, "[%s]\n", section);
	}
	(void)buf_printf(&t->out, "%s=", key);
	for (; *value; value++) {
		(void)buf_putc(&t->out, *value);
		if (*value == '\n')
			(void)buf_putc(&t->out, '\t');
	}
	(void)buf_putc(&t->out, '\n');
}

static void build_instances(const struct settings *s)
{
	for (size_t i = 0; i < s->n_workers; i++)
		for (uint32_t n = 0;
		     n < MIN(s->workers[i]->numprocs, INSTANCES_MAX); n++) {
			struct settings_instance instance;
			char *name = NULL;
			int r = settings_instance_build(s, s->workers[i], n,
							"/log", environ,
							&instance);

			reeve_assert(r == 0 && instance.argv[0]);
			r = settings_instance_name(s, s->workers[i], n, &name);
			reeve_assert(r == 0);
			reeve_assert(strcmp(name, instance.name) == 0);
			reeve_assert(strlen(name) <= SETTINGS_NAME_MAX);
			settings_instance_done(&instance);
			free(name);
		}
}

static void compare(const struct settings *a, const struct settings *b)
{
	reeve_assert(a->n_workers == b->n_workers);
	reeve_assert(a->n_groups == b->n_groups);
	reeve_assert(!conf_compare_daemon(&a->daemon, &b->daemon, NULL));
	for (size_t i = 0; i < a->n_workers; i++)
		reeve_assert(conf_compare_workers(a->workers[i], b->workers[i],
						  NULL) == CONF_SAME);
}

static void load_again(const struct settings *s,
		       const struct conf_options *options)
{
	struct text t = { .out = BUF_INIT(0) };
	struct settings *again = NULL;
	struct conf_report report;

	reeve_assert(conf_dump(s, true, on_row, &t) == 0 && !t.out.error);
	if (t.out.len <= CONF_LINE_MAX) { /* else a line may be too long */
		int r = conf_load_text("dump", t.out.data, t.out.len, options,
				       &again, &report);

		if (r < 0)
			conf_report_print(&report, stderr);
		reeve_assert(r == 0);
		compare(s, again);
		settings_free(again);
		conf_report_done(&report);
	}
	buf_done(&t.out);
	free(t.section);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_options options = { .resolver = &resolver,
					.ignore_unsupported = size % 2 };
	struct settings *s = NULL;
	struct conf_report report;
	int r;

	r = conf_load_text("fuzz.ini", (const char *)data, size, &options, &s,
			   &report);
	reeve_assert(r == 0 || r == -EINVAL);
	reeve_assert((r == 0) == (report.n_errors == 0) && (r == 0) == !!s);
	reeve_assert(report.n_messages <= CONF_MESSAGES_MAX);
	reeve_assert(report.n_messages <= report.n_errors + report.n_warnings);
	conf_report_done(&report);
	if (s) {
		build_instances(s);
		load_again(s, &options);
	}
	settings_free(s);
	return 0;
}
