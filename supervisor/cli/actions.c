/* The verbs that change something, and wait.
 *
 * All of them send a request and get one row per worker back: name, result,
 * sentence. What went well is said on standard output, what did not on
 * standard error; with --json all rows go to standard output as well.
 */
#include "supervisor/cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "supervisor/cli/client.h"
#include "supervisor/cli/json.h"
#include "supervisor/cli/options.h"
#include "supervisor/cli/status.h"
#include "supervisor/cli/text.h"
#include "supervisor/core/states.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/parse.h"
#include "workers/base/pure/str.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"

/* Between the daemon's end of a wait and ours: ours only matters when the
 * daemon does not answer at all. */
#define WAIT_SLACK_USEC (5 * USEC_PER_SEC)
/* A daemon that has hung up is about to exit. */
#define EXIT_SLACK_USEC (10 * USEC_PER_SEC)

/* What is said of a worker; NULL: the state that was waited for. */
static const struct {
	const char *done, *already;
} wordings[VERB_COUNT] = {
	[VERB_START] = { "started", "already running" },
	[VERB_STOP] = { "stopped", "already stopped" },
	[VERB_RESTART] = { "restarted", "restarted" },
	[VERB_RECYCLE] = { "recycled", "recycled" },
	[VERB_SIGNAL] = { "signalled", "signalled" },
};

/* ---- rows of results ---------------------------------------------------- */

struct result {
	const char *name, *result, *sentence;
};

/* What is told of one result while the rows are gone through. */
struct teller {
	struct cli *cli;
	struct json json;
	int exit_code;
};

static bool is_failure(const struct result *row)
{
	return !str_equal(row->result, RESULT_DONE) &&
	       !str_equal(row->result, RESULT_ALREADY) &&
	       !str_equal(row->result, RESULT_ACCEPTED);
}

/* As the daemon spells it; cli_wait() has seen that there is such a state. */
static const char *awaited_state(const struct cli *cli)
{
	enum worker_state state = STATE_COUNT;

	(void)worker_state_from_name(cli->args[0], &state);
	return worker_state_name(state);
}

static const char *word_success(const struct cli *cli, const struct result *row)
{
	if (cli->verb == VERB_WAIT)
		return awaited_state(cli);
	if (str_equal(row->result, RESULT_ACCEPTED))
		return "accepted";
	return str_equal(row->result, RESULT_ALREADY)
		       ? wordings[cli->verb].already
		       : wordings[cli->verb].done;
}

static void tell_failure(const struct cli *cli, const struct result *row)
{
	const char *sentence =
		*row->sentence != '\0' ? row->sentence : row->result;

	if (cli->verb == VERB_WAIT && str_equal(row->result, RESULT_TIMEOUT))
		log_error("%s: not %s in time: %s", row->name,
			  awaited_state(cli), sentence);
	else
		log_error("%s: %s", row->name, sentence);
}

static void tell(struct teller *t, const struct result *row)
{
	struct cli *cli = t->cli;

	if (is_failure(row)) {
		t->exit_code = CLI_FAILED;
		tell_failure(cli, row);
	}
	if (cli_has(cli, OPTION_JSON)) {
		json_newline(&t->json);
		json_open_object(&t->json, NULL);
		json_string(&t->json, "name", row->name);
		json_string(&t->json, "result", row->result);
		json_string(&t->json, "message", row->sentence);
		json_close(&t->json);
	} else if (!is_failure(row) && !cli_has(cli, OPTION_QUIET)) {
		text_escape(&cli->out, row->name);
		buf_printf(&cli->out, ": %s", word_success(cli, row));
		if (*row->sentence != '\0') {
			buf_puts(&cli->out, ": ");
			text_escape(&cli->out, row->sentence);
		}
		buf_putc(&cli->out, '\n');
	}
}

static void teller_begin(struct teller *t, struct cli *cli)
{
	*t = (struct teller){ .cli = cli,
			      .json = JSON_INIT(&cli->out),
			      .exit_code = CLI_OK };
	if (cli_has(cli, OPTION_JSON))
		json_open_array(&t->json, NULL);
}

static int teller_end(struct teller *t)
{
	if (cli_has(t->cli, OPTION_JSON))
		json_close(&t->json);
	return t->exit_code;
}

static int tell_results(struct cli *cli, sd_bus_message *reply)
{
	struct teller t;
	struct result row;
	int r = sd_bus_message_enter_container(reply, 'a', "(sss)");

	if (r < 0)
		return client_strange_answer(cli, r);
	teller_begin(&t, cli);
	while ((r = sd_bus_message_read(reply, "(sss)", &row.name, &row.result,
					&row.sentence)) > 0)
		tell(&t, &row);
	if (r < 0)
		return client_strange_answer(cli, r);
	return teller_end(&t);
}

/* ---- start, stop, restart, recycle -------------------------------------- */

/* Is the worker where the verb wanted it, as far as List tells? */
static bool is_there(enum verb_id verb, const struct status_row *row,
		     uint64_t elapsed_usec)
{
	bool is_up = str_equal(row->state, worker_state_name(STATE_RUNNING)) ||
		     ((row->flags & LIST_ONESHOT) &&
		      str_equal(row->state, worker_state_name(STATE_EXITED)));

	if (verb == VERB_STOP)
		return row->pid == 0 && !(row->flags & LIST_WANTED);
	if (verb == VERB_START)
		return is_up;
	/* restart, recycle: a process that is younger than the request */
	return is_up && row->uptime_usec <= elapsed_usec;
}

/* The time is over: says which workers are not there yet. */
static int tell_who_is_missing(struct cli *cli, struct client *client,
			       uint64_t elapsed_usec)
{
	_cleanup_(status_rows_done) struct status_rows rows = { 0 };
	char span[USEC_TEXT_MAX], sentence[128];
	struct teller t;
	int exit_code;

	client->timeout_usec = CLIENT_ANSWER_USEC;
	exit_code = status_fetch(cli, client, cli->args, &rows);
	if (exit_code != CLI_OK)
		return exit_code;
	teller_begin(&t, cli);
	for (size_t i = 0; i < rows.n_rows; i++) {
		const struct status_row *row = &rows.rows[i];
		struct result result = { row->name, RESULT_DONE, "" };

		if (!is_there(cli->verb, row, elapsed_usec)) {
			snprintf(sentence, sizeof(sentence),
				 "not %s within %s: still %s",
				 wordings[cli->verb].done,
				 usec_text(cli->timeout_usec, span),
				 row->state);
			result.result = RESULT_TIMEOUT;
			result.sentence = sentence;
		}
		tell(&t, &result);
	}
	(void)teller_end(&t);
	return CLI_FAILED;
}

static uint32_t flags_of(const struct cli *cli)
{
	uint32_t flags = 0;

	if (cli_has(cli, OPTION_NO_WAIT))
		flags |= VERB_NO_WAIT;
	if (cli_has(cli, OPTION_NOW))
		flags |= VERB_QUICK;
	if (cli_has(cli, OPTION_DRY_RUN))
		flags |= VERB_DRY_RUN;
	return flags;
}

static int call_action(struct cli *cli, struct client *client,
		       sd_bus_message *call)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	uint64_t begin = clock_monotonic_usec();
	int r = client_try_call(client, call, &error, &reply);

	if (r == -ETIMEDOUT && !error.name)
		return tell_who_is_missing(cli, client,
					   clock_monotonic_usec() - begin);
	if (r < 0)
		return client_failure(cli, client, &error, r);
	return tell_results(cli, reply);
}

int cli_act(struct cli *cli)
{
	_cleanup_(client_close) struct client client = CLIENT_INIT;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	int exit_code, r;

	if (cli->n_args == 0)
		return options_wrong_operands(
			cli, "which workers? name them, or say \"all\"");
	exit_code = client_open(cli, &client);
	if (exit_code != CLI_OK)
		return exit_code;
	r = client_new_call(&client, cli->verb, &call);
	if (r >= 0)
		r = sd_bus_message_append_strv(call, cli->args);
	if (r >= 0)
		r = sd_bus_message_append(call, "u", flags_of(cli));
	if (r < 0)
		return client_local_failure(cli, r);
	return call_action(cli, &client, call);
}

/* ---- signal, wait ------------------------------------------------------- */

/* Sends call, which lacks nothing any more, and tells the results. */
static int finish_call(struct cli *cli, struct client *client,
		       sd_bus_message *call, int r)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int exit_code;

	if (r < 0)
		return client_local_failure(cli, r);
	exit_code = client_call(cli, client, call, &reply);
	return exit_code == CLI_OK ? tell_results(cli, reply) : exit_code;
}

int cli_signal(struct cli *cli)
{
	_cleanup_(client_close) struct client client = CLIENT_INIT;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	int exit_code, r, signo;

	if (cli->n_args < 2)
		return options_wrong_operands(
			cli, "name a signal and the workers to send it to");
	if (parse_signal(cli->args[0], &signo) < 0) {
		log_error("signal: \"%s\" is no signal; write HUP, SIGHUP or a "
			  "number, before the workers",
			  cli->args[0]);
		return CLI_USAGE;
	}
	exit_code = client_open(cli, &client);
	if (exit_code != CLI_OK)
		return exit_code;
	r = client_new_call(&client, VERB_SIGNAL, &call);
	if (r >= 0)
		r = sd_bus_message_append_strv(call, cli->args + 1);
	if (r >= 0)
		r = sd_bus_message_append(call, "i", (int32_t)signo);
	return finish_call(cli, &client, call, r);
}

static int wrong_state(const char *word)
{
	const char *names[STATE_COUNT];
	const char *near;

	for (size_t i = 0; i < STATE_COUNT; i++)
		names[i] = worker_state_name((enum worker_state)i);
	near = str_nearest(word, names, STATE_COUNT);
	if (near)
		log_error("wait: no state is called \"%s\"; did you mean %s?",
			  word, near);
	else
		log_error("wait: no state is called \"%s\"; `reeve help wait` "
			  "names them all, and it stands before the workers",
			  word);
	return CLI_USAGE;
}

int cli_wait(struct cli *cli)
{
	_cleanup_(client_close) struct client client = CLIENT_INIT;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	enum worker_state state;
	int exit_code, r;

	if (cli->n_args < 2)
		return options_wrong_operands(
			cli, "name a state and the workers to wait for");
	if (worker_state_from_name(cli->args[0], &state) < 0)
		return wrong_state(cli->args[0]);
	exit_code = client_open(cli, &client);
	if (exit_code != CLI_OK)
		return exit_code;
	client.timeout_usec = usec_add(cli->timeout_usec, WAIT_SLACK_USEC);
	r = client_new_call(&client, VERB_WAIT, &call);
	if (r >= 0)
		r = sd_bus_message_append_strv(call, cli->args + 1);
	if (r >= 0)
		r = sd_bus_message_append(call, "st", worker_state_name(state),
					  cli->timeout_usec);
	return finish_call(cli, &client, call, r);
}

/* ---- reload, reopen ----------------------------------------------------- */

enum { ACTION, WORKER, DETAIL, PLAN_COLUMNS };

static const struct text_column plan_columns[PLAN_COLUMNS] = {
	[ACTION] = { .title = "" },
	[WORKER] = { .title = "", .min_width = 8 },
	[DETAIL] = { .title = "", .min_width = 8, .only_when_used = true },
};

static int plan_as_table(struct cli *cli, sd_bus_message *reply)
{
	const struct text_style style = text_style_of(STDOUT_FILENO);
	const char *action, *name, *detail;
	struct text_table table;
	int r;

	text_table_init(&table, plan_columns, PLAN_COLUMNS);
	while ((r = sd_bus_message_read(reply, "(sss)", &action, &name,
					&detail)) > 0) {
		text_table_add(&table, action, TEXT_PLAIN);
		text_table_add(&table, name, TEXT_PLAIN);
		text_table_add(&table, detail, TEXT_PLAIN);
	}
	if (r == 0 && !cli_has(cli, OPTION_QUIET)) {
		if (table.n_cells == 0)
			buf_puts(&cli->out, "nothing to change\n");
		r = text_table_render(&table, &style, &cli->out);
	}
	text_table_done(&table);
	return r;
}

static int plan_as_json(struct json *j, sd_bus_message *reply)
{
	const char *action, *name, *detail;
	int r;

	json_open_array(j, "plan");
	while ((r = sd_bus_message_read(reply, "(sss)", &action, &name,
					&detail)) > 0) {
		json_newline(j);
		json_open_object(j, NULL);
		json_string(j, "action", action);
		json_string(j, "name", name);
		json_string(j, "detail", detail);
		json_close(j);
	}
	json_close(j);
	return r;
}

/* Warnings go to standard error; with --json into the answer too. */
static int tell_warnings(sd_bus_message *reply, struct json *j)
{
	const char *warning;
	int r;

	if (j)
		json_open_array(j, "warnings");
	while ((r = sd_bus_message_read(reply, "s", &warning)) > 0) {
		log_warning("warning: %s", warning);
		if (j)
			json_string(j, NULL, warning);
	}
	if (j)
		json_close(j);
	return r;
}

static int tell_plan(struct cli *cli, sd_bus_message *reply)
{
	struct json json = JSON_INIT(&cli->out);
	struct json *j = cli_has(cli, OPTION_JSON) ? &json : NULL;
	int r = sd_bus_message_enter_container(reply, 'a', "(sss)");

	if (j) {
		json_open_object(j, NULL);
		json_bool(j, "applied", !cli_has(cli, OPTION_DRY_RUN));
	}
	if (r >= 0)
		r = j ? plan_as_json(j, reply) : plan_as_table(cli, reply);
	if (r >= 0)
		r = sd_bus_message_exit_container(reply);
	if (r >= 0)
		r = sd_bus_message_enter_container(reply, 'a', "s");
	if (r >= 0)
		r = tell_warnings(reply, j);
	if (r < 0)
		return client_strange_answer(cli, r);
	if (j)
		json_close(j);
	return CLI_OK;
}

int cli_reload(struct cli *cli)
{
	_cleanup_(client_close) struct client client = CLIENT_INIT;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int exit_code, r;

	if (cli->n_args > 0)
		return options_wrong_operands(
			cli, "it reads the whole configuration");
	exit_code = client_open(cli, &client);
	if (exit_code != CLI_OK)
		return exit_code;
	r = client_new_call(&client, VERB_RELOAD, &call);
	if (r >= 0)
		r = sd_bus_message_append(call, "u", flags_of(cli));
	if (r < 0)
		return client_local_failure(cli, r);
	exit_code = client_call(cli, &client, call, &reply);
	return exit_code == CLI_OK ? tell_plan(cli, reply) : exit_code;
}

/* For verbs whose answer is empty. */
static int tell_ok(struct cli *cli, const char *sentence)
{
	struct json j = JSON_INIT(&cli->out);

	if (cli_has(cli, OPTION_JSON)) {
		json_open_object(&j, NULL);
		json_string(&j, "result", RESULT_DONE);
		json_string(&j, "message", sentence);
		json_close(&j);
	} else if (!cli_has(cli, OPTION_QUIET)) {
		buf_printf(&cli->out, "%s\n", sentence);
	}
	return CLI_OK;
}

int cli_reopen(struct cli *cli)
{
	_cleanup_(client_close) struct client client = CLIENT_INIT;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int exit_code, r;

	if (cli->n_args > 0)
		return options_wrong_operands(cli, "it is about all logs");
	exit_code = client_open(cli, &client);
	if (exit_code != CLI_OK)
		return exit_code;
	r = client_new_call(&client, VERB_REOPEN, &call);
	if (r < 0)
		return client_local_failure(cli, r);
	exit_code = client_call(cli, &client, call, &reply);
	return exit_code == CLI_OK ? tell_ok(cli, "log files reopened")
				   : exit_code;
}

/* ---- shutdown ----------------------------------------------------------- */

/* Waits until the process behind pidfd is gone. True when it is. */
static bool wait_for_exit(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	uint64_t deadline = usec_add(clock_monotonic_usec(), EXIT_SLACK_USEC);
	uint64_t left;
	int n;

	do {
		left = usec_sub(deadline, clock_monotonic_usec());
		n = poll(&p, 1, (int)(left / USEC_PER_MSEC));
	} while (n < 0 && errno == EINTR);
	return n > 0;
}

/* The daemon hangs up when all workers are gone, then exits. */
static int wait_for_end(struct cli *cli, struct client *client, int pidfd)
{
	uint64_t deadline = usec_add(clock_monotonic_usec(), cli->timeout_usec);
	char span[USEC_TEXT_MAX];
	int r;

	do
		r = client_turn(client, deadline);
	while (r >= 0);
	if (r == -ETIMEDOUT) {
		log_error("shutdown: still stopping workers after %s; `reeve "
			  "status` shows which, `reeve shutdown --now` kills",
			  usec_text(cli->timeout_usec, span));
		return CLI_FAILED;
	}
	if (pidfd >= 0 && !wait_for_exit(pidfd)) {
		log_error("shutdown: reeved has hung up, but its process is "
			  "still there");
		return CLI_FAILED;
	}
	return tell_ok(cli, "reeved has ended");
}

int cli_shutdown(struct cli *cli)
{
	_cleanup_(client_close) struct client client = CLIENT_INIT;
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	_cleanup_(fd_closep) int pidfd = -1;
	int exit_code, r;

	if (cli->n_args > 0)
		return options_wrong_operands(
			cli, "it ends the daemon; to stop a worker use stop");
	exit_code = client_open(cli, &client);
	if (exit_code != CLI_OK)
		return exit_code;
	/* While it answers, its pid is its own. */
	if (client_daemon_pid(&client) > 0)
		pidfd = (int)syscall(SYS_pidfd_open, client_daemon_pid(&client),
				     0);
	r = client_new_call(&client, VERB_SHUTDOWN, &call);
	if (r >= 0)
		r = sd_bus_message_append(call, "u", flags_of(cli));
	if (r < 0)
		return client_local_failure(cli, r);
	r = client_try_call(&client, call, &error, &reply);
	/* A daemon with nothing to stop may be gone before it answers. */
	if (r < 0 &&
	    client_exit_code(VERB_SHUTDOWN, error.name, r) != CLI_NOT_RUNNING)
		return client_failure(cli, &client, &error, r);
	if (cli_has(cli, OPTION_NO_WAIT))
		return tell_ok(cli, "accepted");
	return wait_for_end(cli, &client, pidfd);
}
