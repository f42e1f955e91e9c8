/* See status.h.
 *
 * The one verb that people and scripts call all the time, over thousands of
 * workers: a row is read in one call, its strings stay in the message, cells
 * go into one string, and everything leaves in one write.
 */
#include "supervisor/cli/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/cli/cli.h"
#include "supervisor/cli/client.h"
#include "supervisor/cli/json.h"
#include "supervisor/core/states.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/parse.h"
#include "workers/base/pure/str.h"
#include "workers/base/sys/log.h"

#define CANNOT_EXECUTE 127 /* of a process that never became the program */

/* ---- rows -------------------------------------------------------------- */

static int grow(struct status_rows *rows)
{
	size_t n = MAX(2 * rows->n_allocated, 64U);
	struct status_row *p;

	if (rows->n_rows < rows->n_allocated)
		return 0;
	p = reallocarray(rows->rows, n, sizeof(*p));
	if (!p)
		return -ENOMEM;
	rows->rows = p;
	rows->n_allocated = n;
	return 0;
}

static void take_numbers(struct status_row *row, const uint64_t *n)
{
	row->pid = (uint32_t)n[LIST_PID];
	row->state_age_usec = n[LIST_STATE_AGE];
	row->uptime_usec = n[LIST_UPTIME];
	row->next_start_usec = n[LIST_NEXT_START];
	row->restarts = n[LIST_RESTARTS];
	row->recycles = n[LIST_RECYCLES];
	row->failures = n[LIST_FAILURES];
	row->tasks = n[LIST_TASKS];
	row->flags = (uint32_t)n[LIST_FLAGS];
	row->exit_code = (int32_t)(int64_t)n[LIST_EXIT_CODE];
	row->exit_age_usec = n[LIST_EXIT_AGE];
	row->exit_uptime_usec = n[LIST_EXIT_UPTIME];
}

/* Cheaper than sd_bus_message_read(). A message that ends here is an error. */
static int read_strings(sd_bus_message *m, const char **const *strings,
			size_t n)
{
	int r = 1;

	for (size_t i = 0; i < n && r > 0; i++)
		r = sd_bus_message_read_basic(m, 's', strings[i]);
	return r == 0 ? -EBADMSG : r;
}

/* Returns 1, 0 at the end, or -errno. A later daemon may send more numbers. */
static int read_row(sd_bus_message *m, struct status_row *row)
{
	const char **const names[] = { &row->name, &row->group, &row->state };
	const char **const words[] = { &row->status, &row->error };
	const void *numbers;
	size_t size_bytes;
	int r;

	r = sd_bus_message_enter_container(m, 'r', "sssatss");
	if (r <= 0)
		return r;
	r = read_strings(m, names, ARRAY_SIZE(names));
	if (r >= 0)
		r = sd_bus_message_read_array(m, 't', &numbers, &size_bytes);
	if (r >= 0 && size_bytes < LIST_NUMBER_COUNT * sizeof(uint64_t))
		r = -EBADMSG;
	if (r < 0)
		return r;
	take_numbers(row, numbers);
	r = read_strings(m, words, ARRAY_SIZE(words));
	if (r >= 0)
		r = sd_bus_message_exit_container(m);
	return r < 0 ? r : 1;
}

int status_rows_read(sd_bus_message *reply, struct status_rows *ret_rows)
{
	struct status_rows rows = { 0 };
	int r = sd_bus_message_enter_container(reply, 'a', VERB_LIST_ROW);

	while (r > 0) {
		r = grow(&rows);
		if (r < 0)
			break;
		r = read_row(reply, &rows.rows[rows.n_rows]);
		rows.n_rows += r > 0;
	}
	if (r < 0) {
		status_rows_done(&rows);
		return r;
	}
	rows.reply = sd_bus_message_ref(reply);
	*ret_rows = rows;
	return 0;
}

void status_rows_done(struct status_rows *rows)
{
	free(rows->rows);
	sd_bus_message_unref(rows->reply);
	*rows = (struct status_rows){ 0 };
}

int status_exit(const struct status_row *rows, size_t n_rows)
{
	for (size_t i = 0; i < n_rows; i++)
		if (rows[i].flags & LIST_FAULT)
			return CLI_FAULT;
	return CLI_OK;
}

/* ---- table ------------------------------------------------------------- */

enum { NAME, STATE, PID, UPTIME, RESTARTS, RECYCLES, LAST_EXIT, SAYS, COLUMNS };

static const struct text_column columns[COLUMNS] = {
	[NAME] = { .title = "NAME", .min_width = 8 },
	[STATE] = { .title = "STATE" },
	[PID] = { .title = "PID", .drop_rank = 3 },
	[UPTIME] = { .title = "UPTIME", .drop_rank = 5 },
	[RESTARTS] = { .title = "RESTARTS", .drop_rank = 2 },
	[RECYCLES] = { .title = "RECYCLES", .drop_rank = 1 },
	[LAST_EXIT] = { .title = "LAST EXIT", .min_width = 12 },
	[SAYS] = { .title = "STATUS",
		   .min_width = 8,
		   .drop_rank = 4,
		   .only_when_used = true },
};

static enum text_colour state_colour(const struct status_row *row)
{
	enum worker_state state;

	if (worker_state_from_name(row->state, &state) < 0)
		return TEXT_PLAIN; /* of a newer daemon */
	switch (state) {
	case STATE_RUNNING:
		return TEXT_GREEN;
	case STATE_STARTING:
	case STATE_STOPPING:
	case STATE_KILLING:
	case STATE_BACKOFF:
		return TEXT_YELLOW;
	case STATE_FATAL:
		return TEXT_RED;
	case STATE_EXITED:
	case STATE_STOPPED:
		return row->flags & LIST_FAULT ? TEXT_RED : TEXT_DIM;
	case STATE_COUNT:
		break;
	}
	return TEXT_PLAIN;
}

static void add_number_or_dash(struct text_table *t, uint64_t value)
{
	if (value > 0)
		text_table_add_u64(t, value);
	else
		text_table_add(t, "-", TEXT_PLAIN);
}

static void add_uptime(struct text_table *t, const struct status_row *row)
{
	char text[USEC_TEXT_MAX + 8], span[USEC_TEXT_MAX];

	if (row->next_start_usec > 0)
		snprintf(text, sizeof(text), "next %s",
			 usec_text(row->next_start_usec, span));
	else if (row->pid == 0)
		snprintf(text, sizeof(text), "-");
	else
		usec_text(row->uptime_usec, text);
	text_table_add(t, text, TEXT_PLAIN);
}

/* The daemon's sentence often only words the exit code, which is shown. */
static bool says_more_than_code(const char *error)
{
	return *error != '\0' && !str_has_prefix(error, "killed by ") &&
	       !str_has_prefix(error, "exited with ");
}

/* "-11 SIGSEGV (core dumped) 0.4s ago, after 0.02s". One that is as it should
 * be is told in short: "0". */
static void word_exit(const struct status_row *row, struct buf *text)
{
	char name[SIGNAL_NAME_MAX], span[USEC_TEXT_MAX];

	buf_printf(text, "%" PRIi32, row->exit_code);
	if (row->exit_code < 0)
		buf_printf(text, " %s", signal_name(-row->exit_code, name));
	if (row->flags & LIST_CORE)
		buf_puts(text, " (core dumped)");
	if (row->flags & LIST_EXPECTED)
		return;
	buf_printf(text, " %s ago", usec_text(row->exit_age_usec, span));
	buf_printf(text, ", after %s", usec_text(row->exit_uptime_usec, span));
}

static void add_last_exit(struct text_table *t, const struct status_row *row,
			  struct buf *text)
{
	bool has_exit = row->flags & LIST_HAS_EXIT;
	bool has_error = says_more_than_code(row->error);

	buf_clear(text);
	if (has_error && has_exit && row->exit_code == CANNOT_EXECUTE)
		has_exit = false; /* the error is the whole story */
	if (has_exit)
		word_exit(row, text);
	if (has_exit && has_error)
		buf_puts(text, ": ");
	if (has_error)
		buf_puts(text, row->error);
	if (row->flags & LIST_UNKILLABLE)
		buf_puts(text, text->len > 0 ? "; survives SIGKILL"
					     : "survives SIGKILL");
	if (text->error < 0)
		t->arena.error = text->error;
	text_table_add(t, text->len > 0 ? buf_text(text) : "-", TEXT_PLAIN);
}

int status_render_table(const struct status_row *rows, size_t n_rows,
			const struct text_style *style, struct buf *out)
{
	struct buf text = BUF_INIT(0);
	struct text_table table;
	int r;

	text_table_init(&table, columns, COLUMNS);
	for (size_t i = 0; i < n_rows; i++) {
		const struct status_row *row = &rows[i];

		text_table_add(&table, row->name, TEXT_PLAIN);
		text_table_add(&table, row->state, state_colour(row));
		add_number_or_dash(&table, row->pid);
		add_uptime(&table, row);
		text_table_add_u64(&table, row->restarts);
		add_number_or_dash(&table, row->recycles);
		add_last_exit(&table, row, &text);
		text_table_add(&table, row->status, TEXT_PLAIN);
	}
	r = text_table_render(&table, style, out);
	text_table_done(&table);
	buf_done(&text);
	return r;
}

/* ---- JSON -------------------------------------------------------------- */

static void json_u64_or_null(struct json *j, const char *key, uint64_t value)
{
	if (value > 0)
		json_u64(j, key, value);
	else
		json_null(j, key);
}

static void json_exit(struct json *j, const struct status_row *row)
{
	char name[SIGNAL_NAME_MAX];

	if (!(row->flags & LIST_HAS_EXIT)) {
		json_null(j, "last_exit");
		return;
	}
	json_open_object(j, "last_exit");
	json_i64(j, "code", row->exit_code);
	if (row->exit_code < 0)
		json_string(j, "signal", signal_name(-row->exit_code, name));
	else
		json_null(j, "signal");
	json_bool(j, "core", row->flags & LIST_CORE);
	json_bool(j, "expected", row->flags & LIST_EXPECTED);
	json_u64(j, "age_usec", row->exit_age_usec);
	json_u64(j, "uptime_usec", row->exit_uptime_usec);
	json_close(j);
}

static void json_row(struct json *j, const struct status_row *row)
{
	json_newline(j);
	json_open_object(j, NULL);
	json_string(j, "name", row->name);
	json_string(j, "group", row->group);
	json_string(j, "state", row->state);
	json_u64_or_null(j, "pid", row->pid);
	json_u64(j, "state_age_usec", row->state_age_usec);
	json_u64_or_null(j, "uptime_usec", row->uptime_usec);
	json_u64_or_null(j, "next_start_usec", row->next_start_usec);
	json_u64(j, "restarts", row->restarts);
	json_u64(j, "recycles", row->recycles);
	json_u64(j, "failures", row->failures);
	json_u64(j, "tasks", row->tasks);
	json_bool(j, "wanted", row->flags & LIST_WANTED);
	json_bool(j, "fault", row->flags & LIST_FAULT);
	json_bool(j, "essential", row->flags & LIST_ESSENTIAL);
	json_bool(j, "oneshot", row->flags & LIST_ONESHOT);
	json_bool(j, "unkillable", row->flags & LIST_UNKILLABLE);
	json_exit(j, row);
	json_string(j, "status", row->status);
	json_string(j, "error", row->error);
	json_close(j);
}

int status_render_json(const struct status_row *rows, size_t n_rows,
		       struct buf *out)
{
	struct json j = JSON_INIT(out);

	json_open_array(&j, NULL);
	for (size_t i = 0; i < n_rows; i++)
		json_row(&j, &rows[i]);
	json_close(&j);
	return out->error;
}

/* ---- verbs ------------------------------------------------------------- */

int status_fetch(const struct cli *cli, struct client *client, char **patterns,
		 struct status_rows *ret_rows)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int exit_code, r;

	r = client_new_call(client, VERB_STATUS, &call);
	if (r >= 0)
		r = sd_bus_message_append_strv(call, patterns);
	if (r < 0)
		return client_local_failure(cli, r);
	exit_code = client_call(cli, client, call, &reply);
	if (exit_code != CLI_OK)
		return exit_code;
	r = status_rows_read(reply, ret_rows);
	return r < 0 ? client_strange_answer(cli, r) : CLI_OK;
}

/* For completion: each name, and what names a set. */
static void list_names(const struct status_row *rows, size_t n_rows,
		       struct buf *out)
{
	const char *group = NULL;

	buf_puts(out, "all\n");
	for (size_t i = 0; i < n_rows; i++) {
		bool is_set = !str_equal(rows[i].group, rows[i].name);

		if (is_set && !str_equal(rows[i].group, group)) {
			text_escape(out, rows[i].group);
			buf_puts(out, ":*\n");
		}
		group = rows[i].group;
		text_escape(out, rows[i].name);
		buf_putc(out, '\n');
	}
}

/* For people only: what the table cannot show. */
static void add_notes(struct client *client, struct buf *out)
{
	_cleanup_(client_info_done) struct client_info info = { 0 };

	if (client_get_info(client, &info) < 0)
		return;
	if (info.n_strays > 0)
		buf_printf(out,
			   "%" PRIu32 " more processes that belong to no "
			   "worker; they are ended when reeved stops\n",
			   info.n_strays);
	if (str_equal(info.guarantee, "ancestry"))
		buf_puts(out, "no cgroup here: trees are ended by ancestry "
			      "and mark\n");
}

int cli_status(struct cli *cli)
{
	_cleanup_(client_close) struct client client = CLIENT_INIT;
	_cleanup_(status_rows_done) struct status_rows rows = { 0 };
	struct text_style style = text_style_of(STDOUT_FILENO);
	int exit_code = client_open(cli, &client);

	if (exit_code == CLI_OK)
		exit_code = status_fetch(cli, &client, cli->args, &rows);
	if (exit_code != CLI_OK)
		return exit_code;
	if (cli_has(cli, OPTION_NAMES))
		list_names(rows.rows, rows.n_rows, &cli->out);
	else if (cli_has(cli, OPTION_JSON))
		status_render_json(rows.rows, rows.n_rows, &cli->out);
	else if (!cli_has(cli, OPTION_QUIET))
		status_render_table(rows.rows, rows.n_rows, &style, &cli->out);
	if (style.width > 0 && cli->n_args == 0 && !cli_has(cli, OPTION_JSON) &&
	    !cli_has(cli, OPTION_QUIET))
		add_notes(&client, &cli->out);
	return status_exit(rows.rows, rows.n_rows);
}

static int show_daemon_pid(struct cli *cli, struct client *client)
{
	struct json j = JSON_INIT(&cli->out);
	bool as_json = cli_has(cli, OPTION_JSON);
	pid_t pid = client_daemon_pid(client);

	if (pid <= 0) {
		log_error("the process id of the daemon at %s cannot be told "
			  "from here",
			  client->path);
		return CLI_FAILED;
	}
	if (as_json)
		json_open_object(&j, NULL);
	json_u64(&j, as_json ? "pid" : NULL, (uint64_t)pid);
	if (as_json)
		json_close(&j);
	else
		buf_putc(&cli->out, '\n');
	return CLI_OK;
}

static void json_pids(struct json *j, const struct status_row *rows,
		      size_t n_rows)
{
	json_open_array(j, NULL);
	for (size_t i = 0; i < n_rows; i++) {
		json_newline(j);
		json_open_object(j, NULL);
		json_string(j, "name", rows[i].name);
		json_u64_or_null(j, "pid", rows[i].pid);
		json_close(j);
	}
	json_close(j);
}

/* One line per worker that runs; those that do not are said on stderr. */
static int show_pids(struct cli *cli, const struct status_row *rows,
		     size_t n_rows)
{
	struct json j = JSON_INIT(&cli->out);
	bool as_json = cli_has(cli, OPTION_JSON);
	int exit_code = CLI_OK;

	if (as_json)
		json_pids(&j, rows, n_rows);
	for (size_t i = 0; i < n_rows; i++) {
		if (rows[i].pid == 0) {
			log_error("%s: not running (%s)", rows[i].name,
				  rows[i].state);
			exit_code = CLI_FAILED;
		} else if (!as_json) {
			text_append_u64(&cli->out, rows[i].pid);
			buf_putc(&cli->out, '\n');
		}
	}
	return exit_code;
}

int cli_pid(struct cli *cli)
{
	_cleanup_(client_close) struct client client = CLIENT_INIT;
	_cleanup_(status_rows_done) struct status_rows rows = { 0 };
	int exit_code = client_open(cli, &client);

	if (exit_code != CLI_OK)
		return exit_code;
	if (cli->n_args == 0)
		return show_daemon_pid(cli, &client);
	exit_code = status_fetch(cli, &client, cli->args, &rows);
	if (exit_code != CLI_OK)
		return exit_code;
	return show_pids(cli, rows.rows, rows.n_rows);
}
