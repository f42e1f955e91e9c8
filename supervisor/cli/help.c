/* Help, made of the tables that the program itself runs on, and versions. */
#include "supervisor/cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "supervisor/cli/client.h"
#include "supervisor/cli/json.h"
#include "supervisor/cli/options.h"
#include "supervisor/cli/text.h"
#include "supervisor/core/states.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/str.h"
#include "workers/base/sys/log.h"

#define INDENT "  "

/* What a verb's row has no room for. */
static const char *const details[VERB_COUNT] = {
	[VERB_STATUS] = "Without a pattern: all workers.",
	[VERB_STOP] = "A second stop while the first is under way kills, as "
		      "--now does.",
	[VERB_RELOAD] = "When anything is wrong with the new configuration, "
			"the old one stays whole.\n"
			"Workers that did not change are not touched.",
	[VERB_LOGS] = "WORKER is one full name, as status shows it; stdout or "
		      "stderr may follow it.",
	[VERB_CONFIG] = "Without FILE: that of the running daemon; without a "
			"daemon, the file it would read.",
	[VERB_CHECK] = "Without FILE: the one that reeved would read.",
	[VERB_PID] = "Without WORKER: that of the daemon.",
};

static const char patterns_text[] =
	"PATTERN: a name (web:1), a group or section (web), web:*, a glob "
	"(w*), or all.\n";

/* ---- tables -------------------------------------------------------------- */

static const struct text_column two_columns[] = {
	{ .title = "" },
	{ .title = "" },
};

static const struct text_column three_columns[] = {
	{ .title = "" },
	{ .title = "" },
	{ .title = "" },
};

static void end_table(struct text_table *t, struct buf *out)
{
	const struct text_style style = { 0 };

	(void)text_table_render(t, &style, out);
	text_table_done(t);
}

static void add_verbs(struct buf *out)
{
	struct text_table t;
	char usage[64];

	text_table_init(&t, two_columns, ARRAY_SIZE(two_columns));
	for (size_t i = 0; i < VERB_COUNT; i++) {
		snprintf(usage, sizeof(usage), INDENT "%s %s",
			 verb_table[i].word, verb_table[i].arguments);
		text_table_add(&t, usage, TEXT_PLAIN);
		text_table_add(&t, verb_table[i].help, TEXT_PLAIN);
	}
	end_table(&t, out);
}

/* Options of every verb, or those that a verb has of its own. */
static void add_options(bool (*is_wanted)(uint32_t verbs, enum verb_id verb),
			enum verb_id verb, struct buf *out)
{
	struct text_table t;
	char usage[64], letter[8];

	text_table_init(&t, two_columns, ARRAY_SIZE(two_columns));
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct cli_option_row *row = &cli_option_table[i];

		if (!row->help || !is_wanted(row->verbs, verb))
			continue;
		snprintf(letter, sizeof(letter), "-%c, ", row->letter);
		snprintf(usage, sizeof(usage), INDENT "%s--%s%s%s",
			 row->letter ? letter : "    ", row->word,
			 row->value ? "=" : "", row->value ? row->value : "");
		text_table_add(&t, usage, TEXT_PLAIN);
		text_table_add(&t, row->help, TEXT_PLAIN);
	}
	end_table(&t, out);
}

static bool is_of_all(uint32_t verbs, enum verb_id verb _unused_)
{
	return verbs == CLI_ALL_VERBS;
}

static bool is_of_verb(uint32_t verbs, enum verb_id verb)
{
	return verbs != CLI_ALL_VERBS && (verbs & (1U << verb));
}

/* Does a verb have options of its own that are for people? */
static bool has_own_options(enum verb_id verb)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (cli_option_table[i].help &&
		    is_of_verb(cli_option_table[i].verbs, verb))
			return true;
	return false;
}

static const struct {
	const char *code, *who, *text;
} exits[] = {
#define X(name, code_, who_, text_) { INDENT #code_, (who_), (text_) },
	CLI_EXITS(X)
#undef X
};

/* Those of one verb, or of all (VERB_COUNT). */
static void add_exits(enum verb_id verb, struct buf *out)
{
	const char *other = verb == VERB_STATUS ? "other" : "status";
	struct text_table t;

	text_table_init(&t, three_columns, ARRAY_SIZE(three_columns));
	for (size_t i = 0; i < ARRAY_SIZE(exits); i++) {
		if (verb != VERB_COUNT && str_equal(exits[i].who, other))
			continue;
		text_table_add(&t, exits[i].code, TEXT_PLAIN);
		text_table_add(&t, verb == VERB_COUNT ? exits[i].who : "",
			       TEXT_PLAIN);
		text_table_add(&t, exits[i].text, TEXT_PLAIN);
	}
	end_table(&t, out);
}

static void add_states(struct buf *out)
{
	struct text_table t;
	char name[32];

	text_table_init(&t, two_columns, ARRAY_SIZE(two_columns));
	for (size_t i = 0; i < STATE_COUNT; i++) {
		snprintf(name, sizeof(name), INDENT "%s",
			 worker_state_name((enum worker_state)i));
		text_table_add(&t, name, TEXT_PLAIN);
		text_table_add(&t, worker_state_text((enum worker_state)i),
			       TEXT_PLAIN);
	}
	end_table(&t, out);
}

/* ---- help ---------------------------------------------------------------- */

static void help_all(struct buf *out)
{
	buf_puts(out, "usage: reeve [OPTION...] [VERB [ARGUMENT...]]\n"
		      "Shows and steers the workers of reeved. Without a verb: "
		      "status.\n\n");
	add_verbs(out);
	buf_puts(out, "\n");
	buf_puts(out, patterns_text);
	buf_puts(out, "\nOptions of every verb (`reeve help VERB` shows its "
		      "own):\n");
	add_options(is_of_all, VERB_HELP, out);
	buf_puts(out, "\nExit codes:\n");
	add_exits(VERB_COUNT, out);
	buf_puts(out, "\nThe socket is that of -s or REEVE_SOCKET, else "
		      "control.sock in the runtime directory\n"
		      "of this user, else /run/reeve/control.sock.\n");
}

static void help_verb(enum verb_id id, struct buf *out)
{
	const struct verb *verb = &verb_table[id];

	buf_printf(out, "usage: reeve %s%s%s\n%s\n", verb->word,
		   *verb->arguments != '\0' ? " " : "", verb->arguments,
		   verb->help);
	if (details[id])
		buf_printf(out, "%s\n", details[id]);
	if (strstr(verb->arguments, "PATTERN"))
		buf_puts(out, patterns_text);
	if (id == VERB_STATUS || id == VERB_WAIT) {
		buf_puts(out, "\nStates:\n");
		add_states(out);
	}
	if (has_own_options(id)) {
		buf_puts(out, "\nIts own options:\n");
		add_options(is_of_verb, id, out);
	}
	buf_puts(out, "\nOptions of every verb:\n");
	add_options(is_of_all, id, out);
	buf_puts(out, "\nExit codes:\n");
	add_exits(id, out);
}

/* For completion: the verbs, or the options of one. */
static void list_words(const struct verb *verb, struct buf *out)
{
	if (!verb) {
		for (size_t i = 0; i < VERB_COUNT; i++)
			buf_printf(out, "%s\n", verb_table[i].word);
		return;
	}
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (cli_option_table[i].help &&
		    options_fits((enum cli_option)i,
				 (enum verb_id)(verb - verb_table)))
			buf_printf(out, "--%s%s\n", cli_option_table[i].word,
				   cli_option_table[i].value ? "=" : "");
}

static void help_as_json(const struct verb *only, struct buf *out)
{
	struct json j = JSON_INIT(out);

	json_open_array(&j, NULL);
	for (size_t i = 0; i < VERB_COUNT; i++) {
		if (only && only != &verb_table[i])
			continue;
		json_newline(&j);
		json_open_object(&j, NULL);
		json_string(&j, "verb", verb_table[i].word);
		json_string(&j, "arguments", verb_table[i].arguments);
		json_string(&j, "help", verb_table[i].help);
		json_close(&j);
	}
	json_close(&j);
}

int cli_help(struct cli *cli)
{
	const struct verb *verb = NULL;

	if (cli->n_args > 1)
		return options_wrong_operands(cli, "one verb at a time");
	if (cli->n_args == 1) {
		int exit_code = options_find_verb(cli->args[0], &verb);

		if (exit_code != CLI_OK)
			return exit_code;
	}
	if (cli_has(cli, OPTION_WORDS))
		list_words(verb, &cli->out);
	else if (cli_has(cli, OPTION_JSON))
		help_as_json(verb, &cli->out);
	else if (verb)
		help_verb((enum verb_id)(verb - verb_table), &cli->out);
	else
		help_all(&cli->out);
	return CLI_OK;
}

/* ---- version ------------------------------------------------------------- */

static void version_as_json(const struct client_info *info, struct buf *out)
{
	struct json j = JSON_INIT(out);

	json_open_object(&j, NULL);
	json_string(&j, "reeve", REEVE_VERSION);
	if (info->version)
		json_string(&j, "reeved", info->version);
	else
		json_null(&j, "reeved");
	if (info->config_file)
		json_string(&j, "config_file", info->config_file);
	if (info->guarantee)
		json_string(&j, "guarantee", info->guarantee);
	json_close(&j);
}

static void version_as_text(const struct client *client,
			    const struct client_info *info, struct buf *out)
{
	buf_puts(out, "reeve " REEVE_VERSION "\n");
	if (!info->version) {
		buf_puts(out, "no daemon at ");
		text_escape(out, client->path ? client->path : "-");
		buf_putc(out, '\n');
		return;
	}
	buf_puts(out, "reeved ");
	text_escape(out, info->version);
	buf_printf(out, " (pid %d, ", (int)client_daemon_pid(client));
	text_escape(out, client->path);
	buf_puts(out, ")\nconfiguration: ");
	text_escape(out, info->config_file ? info->config_file : "-");
	buf_puts(out, "\nstop guarantee: ");
	text_escape(out, info->guarantee ? info->guarantee : "-");
	buf_putc(out, '\n');
}

int cli_version(struct cli *cli)
{
	_cleanup_(client_close) struct client client = CLIENT_INIT;
	_cleanup_(client_info_done) struct client_info info = { 0 };

	/* A daemon that is not there, or does not tell, is no error here. */
	if (client_try_open(cli, &client) == 0)
		(void)client_get_info(&client, &info);
	if (cli_has(cli, OPTION_JSON))
		version_as_json(&info, &cli->out);
	else
		version_as_text(&client, &info, &cli->out);
	return CLI_OK;
}
