/* One process of a section: its name, words, environment and log files. See
 * conf.h and instance.h.
 *
 * Everything of an instance is one arena, so that a start costs a handful of
 * allocations and settings_instance_done() forgets nothing. */
#include "conf/instance.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/str.h"
#include "workers/base/pure/words.h"

#define INSTANCE_ARENA_BYTES 4096
/* SUPERVISOR_*, HOME, USER, LOGNAME, PATH */
#define OWN_VARIABLES_MAX 8

/* How variables begin that say something about reeved and would be wrong about
 * its workers. */
static const char *const not_inherited[] = {
	"REEVE_",	 "NOTIFY_SOCKET=",  "LISTEN_FDS=",
	"LISTEN_PID=",	 "LISTEN_FDNAMES=", "WATCHDOG_USEC=",
	"WATCHDOG_PID=", "JOURNAL_STREAM=", "MAINPID=",
};

int instance_expand_environment(const struct expand_layer *templates,
				const struct expand_names *names,
				struct arena *a, struct expand_layer *ret_layer,
				char reason[static EXPAND_REASON_MAX])
{
	_cleanup_(buf_done) struct buf text = BUF_INIT(INSTANCE_TEXT_MAX);
	struct environment_entry *list;
	int r;

	list = arena_alloc(a, (templates->n_entries + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < templates->n_entries; i++) {
		const struct environment_entry *e = &templates->entries[i];

		buf_clear(&text);
		r = expand(e->value, names, &text, reason);
		if (r == -EMSGSIZE) {
			snprintf(reason, EXPAND_REASON_MAX,
				 "%.64s becomes too long", e->key);
			r = -EINVAL;
		}
		if (r < 0)
			return r;
		list[i].key = e->key;
		list[i].value = arena_strdup(a, buf_text(&text));
		if (!list[i].value)
			return -ENOMEM;
	}
	*ret_layer = (struct expand_layer){ list, templates->n_entries };
	return 0;
}

/* What is known without looking at any environment=. */
static struct expand_names basic_names(const struct instance_of *of)
{
	const struct worker_settings *worker = of->worker;

	return (struct expand_names){
		.program_name = worker->name,
		.group_name = worker->group_name,
		.host_node_name = of->settings->host_node_name,
		.here = of->settings->here,
		.has_process = true,
		.process_num = worker->numprocs_start + of->number,
		.numprocs = worker->numprocs,
		.environment = of->environment,
	};
}

int instance_names(const struct instance_of *of, struct arena *a,
		   struct expand_names *ret_names,
		   char reason[static EXPAND_REASON_MAX])
{
	const struct daemon_settings *d = &of->settings->daemon;
	const struct worker_settings *w = of->worker;
	const struct expand_layer of_all = { d->environment, d->n_environment };
	const struct expand_layer own = { w->environment, w->n_environment };
	struct expand_names names = basic_names(of);
	struct expand_names of_daemon = {
		.host_node_name = of->settings->host_node_name,
		.here = of->settings->here,
		.environment = of->environment,
	};
	int r;

	r = instance_expand_environment(&of_all, &of_daemon, a,
					&names.layers[1], reason);
	if (r < 0)
		return r;
	r = instance_expand_environment(&own, &names, a, &names.layers[0],
					reason);
	if (r < 0)
		return r;
	*ret_names = names;
	return 0;
}

/* A process that is alone in its group is called by its own name. */
static bool stands_alone(const struct worker_settings *worker)
{
	return worker->numprocs == 1 &&
	       strcmp(worker->group_name, worker->name) == 0;
}

int instance_full_name(const struct worker_settings *worker,
		       const struct expand_names *names, struct buf *out,
		       char reason[static EXPAND_REASON_MAX])
{
	if (!stands_alone(worker)) {
		(void)buf_puts(out, worker->group_name);
		(void)buf_putc(out, ':');
	}
	if (out->error)
		return out->error;
	return expand(worker->process_name, names, out, reason);
}

int instance_absolute(const struct settings *s, const char *path,
		      struct buf *out)
{
	if (path[0] != '/' && s->daemon.directory) {
		(void)buf_puts(out, s->daemon.directory);
		(void)buf_putc(out, '/');
	}
	return buf_puts(out, path);
}

/* An instance being built. */
struct build {
	struct instance_of of;
	struct expand_names names;
	struct arena arena;
	struct buf text; /* of one template at a time */
	char reason[EXPAND_REASON_MAX];
	char **envp;
	size_t n_envp;
};

/* template, expanded, as memory of the instance. */
static int build_text(struct build *b, const char *template, char **ret_text)
{
	int r;

	buf_clear(&b->text);
	r = expand(template, &b->names, &b->text, b->reason);
	if (r < 0)
		return r;
	*ret_text = arena_strdup(&b->arena, buf_text(&b->text));
	return *ret_text ? 0 : -ENOMEM;
}

static int build_path(struct build *b, const char *template, char **ret_path)
{
	char *relative;
	int r;

	r = build_text(b, template, &relative);
	if (r < 0)
		return r;
	buf_clear(&b->text);
	r = instance_absolute(b->of.settings, relative, &b->text);
	if (r < 0)
		return r;
	*ret_path = arena_strdup(&b->arena, buf_text(&b->text));
	return *ret_path ? 0 : -ENOMEM;
}

static int build_name(struct build *b, struct settings_instance *instance)
{
	int r;

	buf_clear(&b->text);
	r = instance_full_name(b->of.worker, &b->names, &b->text, b->reason);
	if (r < 0)
		return r;
	instance->name = arena_strdup(&b->arena, buf_text(&b->text));
	instance->group_name =
		arena_strdup(&b->arena, b->of.worker->group_name);
	return instance->name && instance->group_name ? 0 : -ENOMEM;
}

static int build_argv(struct build *b, struct settings_instance *instance)
{
	const char *error;
	int r;

	buf_clear(&b->text);
	r = expand(b->of.worker->command, &b->names, &b->text, b->reason);
	if (r < 0)
		return r;
	r = words_split(buf_text(&b->text), &instance->argv, &error);
	if (r == 0) {
		free(instance->argv);
		instance->argv = NULL;
		return -EINVAL;
	}
	return MIN(r, 0);
}

static int build_directory(struct build *b, struct settings_instance *instance)
{
	const char *of_daemon = b->of.settings->daemon.directory;

	if (b->of.worker->directory)
		return build_path(b, b->of.worker->directory,
				  &instance->directory);
	if (!of_daemon)
		return 0;
	instance->directory = arena_strdup(&b->arena, of_daemon);
	return instance->directory ? 0 : -ENOMEM;
}

/* LOG_DIR/web:0.out.log; a name may hold no '/', but see to it. */
static int build_auto_path(struct build *b, const char *log_dir,
			   const char *name, const char *suffix,
			   char **ret_path)
{
	size_t start;

	buf_clear(&b->text);
	(void)buf_puts(&b->text, log_dir);
	(void)buf_putc(&b->text, '/');
	start = b->text.len;
	(void)buf_puts(&b->text, name);
	(void)buf_puts(&b->text, suffix);
	if (b->text.error)
		return b->text.error;
	for (char *c = b->text.data + start; *c; c++)
		if (*c == '/')
			*c = '_';
	*ret_path = arena_strdup(&b->arena, b->text.data);
	return *ret_path ? 0 : -ENOMEM;
}

static int build_logs(struct build *b, const char *log_dir,
		      struct settings_instance *instance)
{
	const struct {
		const struct log_setting *to;
		const char *suffix;
		char **path;
	} logs[] = {
		{ &b->of.worker->stdout_log.to, ".out.log",
		  &instance->stdout_path },
		{ &b->of.worker->stderr_log.to, ".err.log",
		  &instance->stderr_path },
	};
	size_t n = b->of.worker->redirect_stderr ? 1 : 2;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		if (logs[i].to->target == LOG_TO_FILE)
			r = build_path(b, logs[i].to->path, logs[i].path);
		else if (logs[i].to->target == LOG_TO_AUTO)
			r = build_auto_path(b, log_dir, instance->name,
					    logs[i].suffix, logs[i].path);
	}
	return r;
}

static bool is_inherited(const char *entry)
{
	for (size_t i = 0; i < ARRAY_SIZE(not_inherited); i++)
		if (entry[0] == not_inherited[i][0] &&
		    str_has_prefix(entry, not_inherited[i]))
			return false;
	return true;
}

/* Adds key=value, in place of an earlier one. */
static int set_variable(struct build *b, const char *key, const char *value)
{
	size_t n_key = strlen(key), n_value = strlen(value), i = 0;
	char *entry = arena_alloc(&b->arena, n_key + 1 + n_value + 1);

	if (!entry)
		return -ENOMEM;
	memcpy(entry, key, n_key);
	entry[n_key] = '=';
	memcpy(entry + n_key + 1, value, n_value);
	/* the first letter tells most of them apart, without a call */
	while (i < b->n_envp && (b->envp[i][0] != entry[0] ||
				 strncmp(b->envp[i], entry, n_key + 1) != 0))
		i++;
	b->envp[i] = entry;
	b->n_envp += i == b->n_envp;
	return 0;
}

static int inherit(struct build *b, char *const *base)
{
	for (; *base; base++) {
		if (!is_inherited(*base))
			continue;
		b->envp[b->n_envp] = arena_strdup(&b->arena, *base);
		if (!b->envp[b->n_envp++])
			return -ENOMEM;
	}
	return 0;
}

/* What reeve itself says to its workers, before what the settings say. */
static int set_own_variables(struct build *b)
{
	const struct identity *id = &b->of.worker->identity;
	const char *process_name;
	int r;

	buf_clear(&b->text);
	r = expand(b->of.worker->process_name, &b->names, &b->text, b->reason);
	if (r < 0)
		return r;
	process_name = buf_text(&b->text);
	if ((b->of.worker->clear_env &&
	     set_variable(b, "PATH", INSTANCE_PATH) < 0) ||
	    set_variable(b, "SUPERVISOR_ENABLED", "1") < 0 ||
	    set_variable(b, "SUPERVISOR_PROCESS_NAME", process_name) < 0 ||
	    set_variable(b, "SUPERVISOR_GROUP_NAME", b->of.worker->group_name) <
		    0)
		return -ENOMEM;
	if (id->home && set_variable(b, "HOME", id->home) < 0)
		return -ENOMEM;
	if (id->name && (set_variable(b, "USER", id->name) < 0 ||
			 set_variable(b, "LOGNAME", id->name) < 0))
		return -ENOMEM;
	return 0;
}

static int build_environment(struct build *b,
			     struct settings_instance *instance)
{
	static char *const empty[] = { NULL };
	char *const *base = b->of.environment;
	size_t n = OWN_VARIABLES_MAX;
	int r;

	if (b->of.worker->clear_env || !base)
		base = empty;
	for (char *const *e = base; *e; e++)
		n++;
	n += b->of.settings->daemon.n_environment + b->of.worker->n_environment;
	b->envp = arena_alloc(&b->arena, (n + 1) * sizeof(*b->envp));
	if (!b->envp)
		return -ENOMEM;
	r = inherit(b, base);
	if (r == 0)
		r = set_own_variables(b);
	for (size_t i = ARRAY_SIZE(b->names.layers); i-- > 0;)
		for (size_t j = 0; j < b->names.layers[i].n_entries; j++) {
			const struct environment_entry *e =
				&b->names.layers[i].entries[j];

			if (r == 0)
				r = set_variable(b, e->key, e->value);
		}
	instance->envp = b->envp;
	return r;
}

static int build_all(struct build *b, const char *log_dir,
		     struct settings_instance *instance)
{
	int r;

	r = instance_names(&b->of, &b->arena, &b->names, b->reason);
	if (r == 0)
		r = build_name(b, instance);
	if (r == 0)
		r = build_argv(b, instance);
	if (r == 0)
		r = build_directory(b, instance);
	if (r == 0)
		r = build_logs(b, log_dir, instance);
	if (r == 0)
		r = build_environment(b, instance);
	return r == -EMSGSIZE ? -EINVAL : r;
}

int settings_instance_build(const struct settings *s,
			    const struct worker_settings *worker,
			    uint32_t number, const char *log_dir,
			    char *const *base_environment,
			    struct settings_instance *ret_instance)
{
	struct settings_instance instance = { 0 };
	struct build b = {
		.of = { s, worker, number, base_environment },
		.arena = ARENA_INIT(INSTANCE_ARENA_BYTES),
		.text = BUF_INIT(INSTANCE_TEXT_MAX),
	};
	int r;

	r = build_all(&b, log_dir, &instance);
	instance.memory = b.arena.chunks;
	buf_done(&b.text);
	if (r < 0) {
		settings_instance_done(&instance);
		return r;
	}
	*ret_instance = instance;
	return 0;
}

void settings_instance_done(struct settings_instance *instance)
{
	struct arena a = { .chunks = instance->memory };

	free(instance->argv);
	arena_done(&a);
	*instance = (struct settings_instance){ 0 };
}

int settings_instance_name(const struct settings *s,
			   const struct worker_settings *worker,
			   uint32_t number, char **ret_name)
{
	struct buf name = BUF_INIT(INSTANCE_TEXT_MAX);
	struct arena scratch = ARENA_INIT(INSTANCE_ARENA_BYTES);
	struct instance_of of = { s, worker, number, environ };
	struct expand_names names = basic_names(&of);
	char reason[EXPAND_REASON_MAX];
	char *text;
	int r = 0;

	/* expanding the environments is most of the work, and rarely asked */
	if (strstr(worker->process_name, "%(ENV_"))
		r = instance_names(&of, &scratch, &names, reason);
	if (r == 0)
		r = instance_full_name(worker, &names, &name, reason);
	text = r == 0 ? buf_take(&name) : NULL;
	buf_done(&name);
	arena_done(&scratch);
	if (!text)
		return r == 0 ? -ENOMEM : r == -EMSGSIZE ? -EINVAL : r;
	*ret_name = text;
	return 0;
}
