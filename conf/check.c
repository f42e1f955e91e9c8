/* What belongs together: keys of one worker that contradict each other, and
 * templates that do not expand. Looks at no file: that is check_files.c.
 * See load.h. */
#include "conf/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/instance.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/words.h"

/* One worker section under examination. */
struct subject {
	struct loader *ld;
	const struct raw_section *raw;
	const struct worker_settings *w;
	struct arena arena;
	struct expand_names names;
};

static void error_at(struct subject *s, const char *key, const char *text)
{
	notes_error(&s->ld->notes, load_where(s->raw, key), "%s in [%s]: %s",
		    key, s->raw->title, text);
}

static void warning_at(struct subject *s, const char *key, const char *text)
{
	notes_warning(&s->ld->notes, load_where(s->raw, key), "%s in [%s]: %s",
		      key, s->raw->title, text);
}

static bool is_set(const struct subject *s, const char *key)
{
	return load_where_set(s->raw, key) != ORIGIN_DEFAULT;
}

/* ---- templates ---- */

/* Expands the template of key; *ret_text is NULL when it has an error, which
 * is noted, or when template is. */
static int check_template(struct subject *s, const char *key,
			  const char *template, const char **ret_text)
{
	_cleanup_(buf_done) struct buf text = BUF_INIT(INSTANCE_TEXT_MAX);
	char reason[EXPAND_REASON_MAX];
	int r;

	*ret_text = NULL;
	if (!template)
		return 0;
	r = expand(template, &s->names, &text, reason);
	if (r == -EMSGSIZE)
		snprintf(reason, sizeof(reason),
			 "it becomes longer than %u "
			 "bytes",
			 INSTANCE_TEXT_MAX);
	if (r == -EINVAL || r == -EMSGSIZE) {
		error_at(s, key, reason);
		return 0;
	}
	if (r < 0)
		return r;
	*ret_text = arena_strdup(&s->arena, buf_text(&text));
	return *ret_text ? 0 : -ENOMEM;
}

/* The same for a path, made absolute. */
static int check_path(struct subject *s, const char *key, const char *template,
		      const char **ret_path)
{
	_cleanup_(buf_done) struct buf text = BUF_INIT(0);
	int r = check_template(s, key, template, ret_path);

	if (r < 0 || !*ret_path)
		return r;
	r = instance_absolute(s->ld->settings, *ret_path, &text);
	if (r < 0)
		return r;
	*ret_path = arena_strdup(&s->arena, buf_text(&text));
	return *ret_path ? 0 : -ENOMEM;
}

static int check_command(struct subject *s, char ***ret_argv)
{
	const char *text, *error = NULL;
	char **argv = NULL;
	int r;

	if (!s->w->command) {
		notes_error(&s->ld->notes, load_where(s->raw, "command"),
			    "[%s] has no command=", s->raw->title);
		return 0;
	}
	r = check_template(s, "command", s->w->command, &text);
	if (r < 0 || !text)
		return r;
	r = words_split(text, &argv, &error);
	if (r == -EINVAL) {
		error_at(s, "command", error);
		return 0;
	}
	if (r == 0) {
		free(argv);
		error_at(s, "command", "it expands to nothing");
	}
	if (r > 0)
		*ret_argv = argv;
	return MIN(r, 0);
}

static const char *log_template(const struct log_setting *to)
{
	return to->target == LOG_TO_FILE ? to->path : NULL;
}

/* PATH of the worker, as instance.c will build it. */
static int find_search_path(struct subject *s, const char **ret_path)
{
	_cleanup_(buf_done) struct buf path = BUF_INIT(INSTANCE_TEXT_MAX);
	char reason[EXPAND_REASON_MAX];
	struct expand_names names = s->names;
	int r;

	if (s->w->clear_env)
		names.environment = NULL;
	*ret_path = INSTANCE_PATH;
	r = expand("%(ENV_PATH)s", &names, &path, reason);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	*ret_path = arena_strdup(&s->arena, buf_text(&path));
	return *ret_path ? 0 : -ENOMEM;
}

static int check_templates(struct subject *s, struct worker_texts *texts)
{
	const char *process_name;
	int r;

	r = check_command(s, &texts->argv);
	if (r == 0)
		r = check_template(s, "process_name", s->w->process_name,
				   &process_name);
	if (r == 0)
		r = check_path(s, "directory", s->w->directory,
			       &texts->directory);
	if (r == 0)
		r = check_path(s, "stdout_logfile",
			       log_template(&s->w->stdout_log.to),
			       &texts->stdout_path);
	if (r == 0 && !s->w->redirect_stderr)
		r = check_path(s, "stderr_logfile",
			       log_template(&s->w->stderr_log.to),
			       &texts->stderr_path);
	if (!texts->directory)
		texts->directory = s->ld->settings->daemon.directory;
	return r;
}

/* ---- contradictions ---- */

static void check_processes(struct subject *s)
{
	const struct worker_settings *w = s->w;

	if (!w->process_name)
		error_at(s, "process_name", "it is empty");
	else if (w->numprocs > 1 && !strstr(w->process_name, "%(process_num)"))
		error_at(s, "process_name",
			 "with numprocs above 1 it needs %(process_num)d, as "
			 "in %(program_name)s_%(process_num)02d");
	if (w->maxtasks_jitter > 0 && w->maxtasksperchild == 0)
		warning_at(s, "maxtasks_jitter",
			   "it has no effect without maxtasksperchild");
}

static void check_stopping(struct subject *s)
{
	const struct worker_settings *w = s->w;

	if (w->stopasgroup && !w->killasgroup)
		error_at(s, "killasgroup",
			 "it cannot be false with stopasgroup=true");
}

static void check_starting(struct subject *s)
{
	const struct worker_settings *w = s->w;

	if (w->type == WORKER_SIMPLE && is_set(s, "start_timeout"))
		warning_at(s, "start_timeout",
			   "it has no effect with type=simple; startsecs "
			   "says when it counts as started");
	if (w->type != WORKER_SIMPLE && is_set(s, "startsecs"))
		warning_at(s, "startsecs",
			   "it has an effect with type=simple only");
	if (w->type == WORKER_ONESHOT && w->autorestart == AUTORESTART_YES)
		warning_at(s, "autorestart",
			   "true with type=oneshot runs it again and again");
}

static void check_restarting(struct subject *s)
{
	const struct worker_settings *w = s->w;

	if (w->restart_delay_usec > w->restart_delay_max_usec)
		error_at(s,
			 is_set(s, "restart_delay") ? "restart_delay"
						    : "restart_delay_max",
			 "restart_delay must not be above restart_delay_max "
			 "(60 when it is not set)");
}

static void check_log(struct subject *s, const char *key,
		      const char *key_maxbytes, const struct log_settings *log)
{
	if (log->to.target == LOG_TO_INHERIT && log->maxbytes > 0) {
		char text[128];

		snprintf(text, sizeof(text),
			 "what %s names cannot be rotated; write %s=0", key,
			 key_maxbytes);
		error_at(s, key_maxbytes, text);
	}
	if (log->to.target == LOG_TO_AUTO && log->maxbytes == 0)
		warning_at(s, key_maxbytes,
			   "0 lets the AUTO file grow until the disk is full");
}

static void check_logs(struct subject *s)
{
	const struct worker_settings *w = s->w;

	check_log(s, "stdout_logfile", "stdout_logfile_maxbytes",
		  &w->stdout_log);
	if (!w->redirect_stderr)
		check_log(s, "stderr_logfile", "stderr_logfile_maxbytes",
			  &w->stderr_log);
	else if (is_set(s, "stderr_logfile") &&
		 w->stderr_log.to.target == LOG_TO_FILE)
		warning_at(s, "stderr_logfile",
			   "it has no effect with redirect_stderr=true");
}

static void check_variables(struct loader *ld, const struct raw_section *raw,
			    const struct environment_entry *list, size_t n)
{
	char shown[REPORT_QUOTE_MAX];

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(list[i].key, list[j].key) == 0)
				notes_warning(&ld->notes,
					      load_where(raw, "environment"),
					      "environment in [%s]: %s is set "
					      "twice; the last one counts",
					      raw->title,
					      report_quote(list[i].key, shown));
}

/* ---- all of it ---- */

static int check_subject(struct subject *s)
{
	struct instance_of of = { s->ld->settings, s->w, 0, environ };
	struct worker_texts texts = { 0 };
	char reason[EXPAND_REASON_MAX];
	int r;

	check_processes(s);
	check_stopping(s);
	check_starting(s);
	check_restarting(s);
	check_logs(s);
	check_variables(s->ld, s->raw, s->w->environment, s->w->n_environment);
	r = instance_names(&of, &s->arena, &s->names, reason);
	if (r == -EINVAL) {
		error_at(s, "environment", reason);
		return 0; /* the other templates may need it */
	}
	if (r == 0)
		r = check_templates(s, &texts);
	if (r == 0)
		r = find_search_path(s, &texts.search_path);
	if (r == 0 && s->ld->options->check_files)
		load_check_files(s->ld, s->raw, &texts);
	free(texts.argv);
	return r;
}

static int check_worker(struct loader *ld, const struct raw_section *raw)
{
	struct subject s = {
		.ld = ld,
		.raw = raw,
		.w = raw->worker,
		.arena = ARENA_INIT(4096),
	};
	int r = check_subject(&s);

	arena_done(&s.arena);
	return r;
}

int load_check(struct loader *ld)
{
	const struct daemon_settings *d = &ld->settings->daemon;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ld->n_sections; i++) {
		const struct raw_section *raw = ld->sections[i];

		if (raw->is_dropped)
			continue;
		if (raw->kind == SECTION_WORKER)
			r = check_worker(ld, raw);
		else if (raw->kind == SECTION_REEVE)
			check_variables(ld, raw, d->environment,
					d->n_environment);
	}
	if (r == 0)
		r = load_check_names(ld);
	if (r == 0 && ld->options->check_files)
		load_check_daemon_files(ld);
	return r;
}
