/* Configurations: checking one without a daemon, and showing what is in
 * effect.
 *
 * `check` reads a configuration exactly as reeved would, users and files
 * included, and says how surely reeved could end whole trees if it were
 * started from here. Nothing is left behind.
 */
#include "supervisor/cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "supervisor/cli/client.h"
#include "supervisor/cli/json.h"
#include "supervisor/cli/options.h"
#include "supervisor/cli/text.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/str.h"
#include "workers/base/sys/cgroup.h"
#include "workers/base/sys/log.h"

static void free_settings(struct settings **s)
{
	settings_free(*s);
}

/* The operand, or the file that reeved would read. Logged. */
static int choose_file(const struct cli *cli, char **ret_path)
{
	int r;

	if (cli->n_args > 1)
		return options_wrong_operands(cli, "one file at a time");
	r = cli->n_args == 1
		    ? ((*ret_path = strdup(cli->args[0])) ? 0 : -ENOMEM)
		    : conf_default_file(ret_path);
	if (r == 0)
		return CLI_OK;
	log_error("%s: no configuration is in the usual places (%s): name one",
		  verb_table[cli->verb].word, strerror(-r));
	return CLI_CONFIG;
}

static int load(const struct cli *cli, const char *path, bool check_files,
		struct settings **ret_settings, struct conf_report *ret_report)
{
	const struct conf_options options = {
		.resolver = check_files ? &conf_resolver_nss : NULL,
		.ignore_unsupported = cli_has(cli, OPTION_IGNORE_UNSUPPORTED),
		.check_files = check_files,
	};

	return conf_load(path, &options, ret_settings, ret_report);
}

static void log_errors(const char *path, const struct conf_report *report)
{
	log_error("%s: %zu error%s", path, report->n_errors,
		  report->n_errors == 1 ? "" : "s");
}

/* ---- check --------------------------------------------------------------- */

struct guarantee {
	const char *word; /* as the daemon's property has it */
	const char *why;  /* of "ancestry"; NULL: nothing to add */
};

/* Makes a base as reeved would, and takes it away again. */
static struct guarantee probe_guarantee(enum cgroup_mode mode)
{
	struct cgroup_base base = { .fd = -1 };
	const char *why = NULL;
	char name[CGROUP_NAME_MAX];

	if (mode == CGROUP_OFF)
		return (struct guarantee){ "ancestry", "cgroup = off" };
	snprintf(name, sizeof(name), "reeve-check-%d", (int)getpid());
	if (cgroup_base_open(name, &base, &why) < 0)
		return (struct guarantee){ "ancestry",
					   why ? why : "no cgroup v2" };
	cgroup_base_done(&base);
	return (struct guarantee){ "cgroup", NULL };
}

static uint64_t count_workers(const struct settings *s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->n_workers; i++)
		n += s->workers[i]->numprocs;
	return n;
}

static void json_message(struct json *j, const struct conf_message *m)
{
	json_newline(j);
	json_open_object(j, NULL);
	json_string(j, "severity", m->is_error ? "error" : "warning");
	if (m->file)
		json_string(j, "file", m->file);
	else
		json_null(j, "file");
	json_i64(j, "line", m->line);
	json_string(j, "text", m->text);
	json_close(j);
}

/* settings is NULL when there are errors. */
static void check_as_json(struct cli *cli, const char *path,
			  const struct settings *settings,
			  const struct conf_report *report)
{
	struct json j = JSON_INIT(&cli->out);

	json_open_object(&j, NULL);
	json_string(&j, "file", path);
	json_bool(&j, "ok", settings != NULL);
	if (settings) {
		json_u64(&j, "workers", count_workers(settings));
		json_string(&j, "guarantee",
			    probe_guarantee(settings->daemon.cgroup).word);
	}
	json_u64(&j, "errors", report->n_errors);
	json_u64(&j, "warnings", report->n_warnings);
	json_open_array(&j, "messages");
	for (size_t i = 0; i < report->n_messages; i++)
		json_message(&j, &report->messages[i]);
	json_close(&j);
	json_close(&j);
}

static void say_guarantee(const struct settings *settings, struct buf *out)
{
	struct guarantee g = probe_guarantee(settings->daemon.cgroup);

	if (!g.why) {
		buf_puts(out, "stop guarantee here: cgroup (a worker's tree "
			      "ends whole, whatever it does)\n");
		return;
	}
	buf_printf(out,
		   "stop guarantee here: ancestry (trees are ended by "
		   "descent, group, session and mark; %s)\n",
		   g.why);
	if (settings->daemon.cgroup == CGROUP_REQUIRED)
		log_warning("warning: cgroup = required: reeved would not "
			    "start from here");
}

static void check_as_text(struct cli *cli, const char *path,
			  const struct settings *settings,
			  const struct conf_report *report)
{
	uint64_t n;

	conf_report_print(report, stderr);
	if (!settings) {
		log_errors(path, report);
		return;
	}
	if (cli_has(cli, OPTION_QUIET))
		return;
	n = count_workers(settings);
	text_escape(&cli->out, path);
	buf_printf(&cli->out, ": ok (%" PRIu64 " worker%s)\n", n,
		   n == 1 ? "" : "s");
	say_guarantee(settings, &cli->out);
}

int cli_check(struct cli *cli)
{
	_cleanup_(conf_report_done) struct conf_report report = { 0 };
	_cleanup_(free_settings) struct settings *settings = NULL;
	_cleanup_(free_pointer) char *path = NULL;
	int exit_code = choose_file(cli, &path);

	if (exit_code != CLI_OK)
		return exit_code;
	if (load(cli, path, true, &settings, &report) < 0)
		settings = NULL;
	if (cli_has(cli, OPTION_JSON))
		check_as_json(cli, path, settings, &report);
	else
		check_as_text(cli, path, settings, &report);
	return settings ? CLI_OK : CLI_CONFIG;
}

/* ---- config -------------------------------------------------------------- */

/* Rows come section by section. */
struct printer {
	struct cli *cli;
	struct json json;
	bool as_json;
	char *section; /* of the row before */
};

static void print_heading(struct printer *p, const char *section)
{
	struct buf *out = &p->cli->out;

	if (str_equal(section, p->section))
		return;
	if (p->section)
		buf_putc(out, '\n');
	buf_putc(out, '[');
	text_escape(out, section);
	buf_puts(out, "]\n");
	free(p->section);
	p->section = strdup(section);
	if (!p->section)
		out->error = -ENOMEM;
}

static void print_row(void *userdata, const char *section, const char *key,
		      const char *value, const char *origin)
{
	struct printer *p = userdata;
	struct buf *out = &p->cli->out;

	if (p->as_json) {
		json_newline(&p->json);
		json_open_object(&p->json, NULL);
		json_string(&p->json, "section", section);
		json_string(&p->json, "key", key);
		json_string(&p->json, "value", value);
		json_string(&p->json, "origin", origin);
		json_close(&p->json);
		return;
	}
	print_heading(p, section);
	text_escape(out, key);
	buf_puts(out, *value != '\0' ? " = " : " =");
	text_escape(out, value);
	buf_puts(out, "   ; ");
	text_escape(out, origin);
	buf_putc(out, '\n');
}

static void printer_begin(struct printer *p, struct cli *cli)
{
	*p = (struct printer){ .cli = cli,
			       .json = JSON_INIT(&cli->out),
			       .as_json = cli_has(cli, OPTION_JSON) };
	if (p->as_json)
		json_open_array(&p->json, NULL);
}

static void printer_end(struct printer *p)
{
	if (p->as_json)
		json_close(&p->json);
	free(p->section);
}

static int show_file(struct cli *cli, const char *path)
{
	_cleanup_(conf_report_done) struct conf_report report = { 0 };
	_cleanup_(free_settings) struct settings *settings = NULL;
	struct printer p;
	int r = load(cli, path, false, &settings, &report);

	conf_report_print(&report, stderr);
	if (r < 0) {
		settings = NULL;
		log_errors(path, &report);
		return CLI_CONFIG;
	}
	printer_begin(&p, cli);
	r = conf_dump(settings, cli_has(cli, OPTION_SECRETS), print_row, &p);
	printer_end(&p);
	if (r < 0)
		log_error("config: %s", strerror(-r));
	return r < 0 ? CLI_FAILED : CLI_OK;
}

static int print_reply(struct cli *cli, sd_bus_message *reply)
{
	const char *section, *key, *value, *origin;
	struct printer p;
	int r = sd_bus_message_enter_container(reply, 'a', "(ssss)");

	if (r < 0)
		return client_strange_answer(cli, r);
	printer_begin(&p, cli);
	while ((r = sd_bus_message_read(reply, "(ssss)", &section, &key, &value,
					&origin)) > 0)
		print_row(&p, section, key, value, origin);
	printer_end(&p);
	return r < 0 ? client_strange_answer(cli, r) : CLI_OK;
}

static int show_daemon(struct cli *cli, struct client *client)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	uint32_t flags = cli_has(cli, OPTION_SECRETS) ? VERB_SECRETS : 0;
	int exit_code, r;

	r = client_new_call(client, VERB_CONFIG, &call);
	if (r >= 0)
		r = sd_bus_message_append(call, "u", flags);
	if (r < 0)
		return client_local_failure(cli, r);
	exit_code = client_call(cli, client, call, &reply);
	return exit_code == CLI_OK ? print_reply(cli, reply) : exit_code;
}

/* A daemon that was named must be there; otherwise its file will do. */
static bool is_daemon_named(const struct cli *cli)
{
	const char *socket = getenv("REEVE_SOCKET");

	return cli->socket || (socket && *socket != '\0');
}

int cli_config(struct cli *cli)
{
	_cleanup_(client_close) struct client client = CLIENT_INIT;
	_cleanup_(free_pointer) char *path = NULL;
	int exit_code, r;

	if (cli->n_args == 0) {
		r = client_try_open(cli, &client);
		if (r == 0)
			return show_daemon(cli, &client);
		if (!client_is_absent(r) || is_daemon_named(cli))
			return client_open_failure(cli, &client, r);
	}
	exit_code = choose_file(cli, &path);
	if (exit_code != CLI_OK)
		return exit_code;
	if (cli->n_args == 0 && !cli_has(cli, OPTION_QUIET))
		log_notice("no daemon at %s: showing %s", client.path, path);
	return show_file(cli, path);
}
