/* What defaults, "auto" and names come to when everything is known, and the
 * users and groups behind names. See load.h. */
#include "conf/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "conf/instance.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"

#define NOTIFY_START_TIMEOUT (90 * USEC_PER_SEC)

/* ---- paths of [reeve] ---- */

static int make_absolute(struct loader *ld, char **path)
{
	_cleanup_(buf_done) struct buf text = BUF_INIT(0);
	int r;

	if (!*path || (*path)[0] == '/' || !ld->settings->daemon.directory)
		return 0;
	r = instance_absolute(ld->settings, *path, &text);
	if (r < 0)
		return r;
	*path = arena_strdup(ld->arena, buf_text(&text));
	return *path ? 0 : -ENOMEM;
}

/* directory itself begins where reeved was started. */
static int finish_directory(struct loader *ld)
{
	struct daemon_settings *d = &ld->settings->daemon;
	_cleanup_(free_pointer) char *cwd = NULL;
	_cleanup_(buf_done) struct buf text = BUF_INIT(0);

	if (!d->directory || d->directory[0] == '/')
		return 0;
	cwd = get_current_dir_name();
	if (!cwd)
		return errno == ENOMEM ? -ENOMEM : 0;
	if (buf_printf(&text, "%s/%s", cwd, d->directory) < 0)
		return -ENOMEM;
	d->directory = arena_strdup(ld->arena, buf_text(&text));
	return d->directory ? 0 : -ENOMEM;
}

static int finish_daemon(struct loader *ld)
{
	struct daemon_settings *d = &ld->settings->daemon;
	char **const paths[] = { &d->runtime_dir, &d->log_dir, &d->pidfile,
				 &d->logfile };
	int r = finish_directory(ld);

	if (d->logfile && (strcmp(d->logfile, "/dev/stderr") == 0 ||
			   strcmp(d->logfile, "/dev/fd/2") == 0))
		d->logfile = NULL; /* as when nothing is said */
	if (d->logfile && (strcasecmp(d->logfile, "NONE") == 0 ||
			   strcasecmp(d->logfile, "OFF") == 0))
		d->logfile = arena_strdup(ld->arena, "/dev/null");
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(paths); i++)
		r = make_absolute(ld, paths[i]);
	return r;
}

/* ---- one worker ---- */

/* Several processes under one name need a number; in a [group:] with other
 * workers the number alone would not do. */
static int finish_name(struct loader *ld, const struct raw_section *raw)
{
	struct worker_settings *w = raw->worker;

	if (w->numprocs <= 1 || load_where_set(raw, "process_name"))
		return 0;
	w->process_name = arena_strdup(
		ld->arena, raw->group ? "%(program_name)s_%(process_num)d"
				      : "%(process_num)d");
	return w->process_name ? 0 : -ENOMEM;
}

static void finish_times(struct worker_settings *w)
{
	for (size_t i = 0; i < w->stop.n_rungs; i++)
		if (w->stop.rungs[i].wait_usec == LADDER_WAIT_DEFAULT)
			w->stop.rungs[i].wait_usec = w->stopwaitsecs_usec;
	if (w->start_timeout_usec == START_TIMEOUT_AUTO)
		w->start_timeout_usec = w->type == WORKER_NOTIFY
						? NOTIFY_START_TIMEOUT
						: USEC_INFINITY;
}

static void finish_priority(const struct raw_section *raw)
{
	struct worker_settings *w = raw->worker;
	size_t row = schema_index(load_row(SECTION_WORKER, "priority"));
	uint32_t at, i = 0;

	if (!raw->group || !raw->group->group_settings->has_priority)
		return;
	w->priority = raw->group->group_settings->priority;
	at = load_where(raw->group, "priority");
	while (i < w->origin[0] && w->origin[1 + 2 * i] != row)
		i++;
	if (i == w->origin[0])
		w->origin[0]++; /* load_apply() left room for one */
	w->origin[1 + 2 * i] = (uint32_t)row;
	w->origin[2 + 2 * i] = at;
}

/* stdout_logfile=%(ENV_LOG)s may say /dev/stdout: decided when expanded. What
 * does not expand is told by the check. */
static int finish_log(struct loader *ld, struct worker_settings *w,
		      const char *key, struct log_setting *to)
{
	_cleanup_(buf_done) struct buf text = BUF_INIT(INSTANCE_TEXT_MAX);
	struct arena scratch = ARENA_INIT(1024);
	struct type_call call = { .row = load_row(SECTION_WORKER, key),
				  .arena = ld->arena };
	struct worker_settings probe = { 0 };
	struct instance_of of = { ld->settings, w, 0, environ };
	struct expand_names names;
	char reason[EXPAND_REASON_MAX];
	int r;

	if (to->target != LOG_TO_FILE || !strchr(to->path, '%'))
		return 0;
	r = instance_names(&of, &scratch, &names, reason);
	if (r == 0)
		r = expand(to->path, &names, &text, reason);
	if (r == 0)
		r = types[TYPE_LOG].parse(&call, buf_text(&text), &probe);
	arena_done(&scratch);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	if (((const struct log_setting *)type_field_const(call.row, &probe))
		    ->target != LOG_TO_FILE)
		*to = *(const struct log_setting *)type_field_const(call.row,
								    &probe);
	return 0;
}

/* An inherited fd cannot be rotated: maxbytes at its default means 0 then. */
static void finish_inherited(const struct raw_section *raw, const char *key,
			     struct log_settings *log)
{
	if (log->to.target == LOG_TO_INHERIT && !load_where_set(raw, key))
		log->maxbytes = 0;
}

static int finish_worker(struct loader *ld, const struct raw_section *raw)
{
	struct worker_settings *w = raw->worker;
	int r;

	r = finish_name(ld, raw);
	if (r < 0)
		return r;
	finish_times(w);
	finish_priority(raw);
	r = finish_log(ld, w, "stdout_logfile", &w->stdout_log.to);
	if (r == 0)
		r = finish_log(ld, w, "stderr_logfile", &w->stderr_log.to);
	finish_inherited(raw, "stdout_logfile_maxbytes", &w->stdout_log);
	finish_inherited(raw, "stderr_logfile_maxbytes", &w->stderr_log);
	return r;
}

/* ---- users and groups ---- */

/* An answer of the resolver, for the next worker that asks the same. */
struct answer {
	struct answer *next;
	const char *user, *group; /* NULL: not asked for */
	int result;
	struct identity identity;
};

static bool is_same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Takes over what the resolver allocated. */
static int keep_identity(struct loader *ld, struct identity *id)
{
	struct identity copy = *id;

	if (id->name)
		copy.name = arena_strdup(ld->arena, id->name);
	if (id->home)
		copy.home = arena_strdup(ld->arena, id->home);
	if (id->groups)
		copy.groups = arena_copy(ld->arena, id->groups,
					 id->n_groups * sizeof(*id->groups));
	free(id->name);
	free(id->home);
	free(id->groups);
	if ((id->name && !copy.name) || (id->home && !copy.home) ||
	    (id->groups && !copy.groups))
		return -ENOMEM;
	*id = copy;
	return 0;
}

/* group= without user=: reeved's own uid, with that group only. */
static int ask_group(const struct conf_resolver *resolver, const char *group,
		     struct identity *id)
{
	gid_t gid;
	int r = resolver->group(resolver->userdata, group, &gid);

	if (r < 0)
		return r;
	id->groups = malloc(sizeof(*id->groups));
	if (!id->groups)
		return -ENOMEM;
	id->groups[0] = gid;
	id->n_groups = 1;
	id->is_set = true;
	id->uid = geteuid();
	id->gid = gid;
	return 0;
}

static int ask(struct loader *ld, struct answer **answers, const char *user,
	       const char *group, const struct answer **ret_answer)
{
	const struct conf_resolver *resolver = ld->options->resolver;
	struct answer *a = *answers;

	while (a && !(is_same(a->user, user) && is_same(a->group, group)))
		a = a->next;
	if (!a) {
		a = arena_alloc(&ld->scratch, sizeof(*a));
		if (!a)
			return -ENOMEM;
		a->user = user;
		a->group = group;
		a->result = user ? resolver->identity(resolver->userdata, user,
						      group, &a->identity)
				 : ask_group(resolver, group, &a->identity);
		if (a->result == 0 && keep_identity(ld, &a->identity) < 0)
			a->result = -ENOMEM;
		a->next = *answers;
		*answers = a;
	}
	*ret_answer = a;
	return a->result == -ENOMEM ? -ENOMEM : 0;
}

static void tell_unresolved(struct loader *ld, const struct raw_section *raw,
			    int error)
{
	const struct worker_settings *w = raw->worker;
	char user[REPORT_QUOTE_MAX], group[REPORT_QUOTE_MAX];

	report_quote(w->user ? w->user : "", user);
	report_quote(w->group ? w->group : "", group);
	if (error == -ENOENT)
		notes_error(&ld->notes, load_where(raw, "user"),
			    "there is no user \"%s\" for [%s]; create it, or "
			    "name one that exists",
			    user, raw->title);
	else if (error == -ENOTDIR)
		notes_error(&ld->notes, load_where(raw, "group"),
			    "there is no group \"%s\" for [%s]; create it, or "
			    "name one that exists",
			    group, raw->title);
	else
		notes_error(&ld->notes, load_where(raw, "user"),
			    "cannot look up user \"%s\" for [%s]: %s", user,
			    raw->title, strerror(-error));
}

/* Who is not root can be nobody else: needing no change is fine, needing one
 * fails when the worker starts. */
static void use_identity(struct loader *ld, const struct raw_section *raw,
			 const struct identity *id)
{
	struct worker_settings *w = raw->worker;

	w->identity = *id;
	if (geteuid() == 0)
		return;
	if (id->uid == geteuid() && (!w->group || id->gid == getegid()))
		w->identity.is_set = false;
	else
		notes_warning(&ld->notes,
			      load_where(raw, w->user ? "user" : "group"),
			      "[%s] is to run as another user or group: that "
			      "works only when reeved runs as root",
			      raw->title);
}

static int resolve_worker(struct loader *ld, struct answer **answers,
			  const struct raw_section *raw)
{
	const struct worker_settings *w = raw->worker;
	const struct answer *a = NULL;
	int r;

	if (!w->user && !w->group)
		return 0;
	r = ask(ld, answers, w->user, w->group, &a);
	if (r < 0)
		return r;
	if (a->result < 0)
		tell_unresolved(ld, raw, a->result);
	else
		use_identity(ld, raw, &a->identity);
	return 0;
}

/* control_group= and user= of [reeve]. */
static int resolve_daemon(struct loader *ld, struct answer **answers,
			  const struct raw_section *raw)
{
	struct daemon_settings *d = &ld->settings->daemon;
	const struct answer *a = NULL;
	char shown[REPORT_QUOTE_MAX];
	int r;

	if (d->control_group) {
		r = ask(ld, answers, NULL, d->control_group, &a);
		if (r < 0)
			return r;
		if (a->result == 0)
			d->control_gid = a->identity.gid;
		else
			notes_error(&ld->notes,
				    load_where(raw, "control_group"),
				    "there is no group \"%s\" for "
				    "control_group; create it, or name one "
				    "that exists",
				    report_quote(d->control_group, shown));
	}
	for (const struct raw_value *v = raw->values; v; v = v->next) {
		if (strcmp(v->row->key, "user") != 0)
			continue;
		r = ask(ld, answers, v->text, NULL, &a);
		if (r < 0)
			return r;
		if (a->result < 0 || a->identity.uid != geteuid())
			notes_error(&ld->notes, v->where,
				    "reeved does not change its own user to "
				    "\"%s\"; start it as that user, or write "
				    "user= into the [worker:NAME] sections",
				    report_quote(v->text, shown));
	}
	return 0;
}

int load_finish(struct loader *ld)
{
	struct answer *answers = NULL;
	int r;

	r = finish_daemon(ld);
	for (size_t i = 0; r == 0 && i < ld->n_sections; i++) {
		const struct raw_section *raw = ld->sections[i];

		if (raw->is_dropped)
			continue;
		if (raw->kind == SECTION_WORKER)
			r = finish_worker(ld, raw);
		if (r < 0 || !ld->options->resolver)
			continue;
		if (raw->kind == SECTION_WORKER)
			r = resolve_worker(ld, &answers, raw);
		else if (raw->kind == SECTION_REEVE)
			r = resolve_daemon(ld, &answers, raw);
	}
	return r;
}
