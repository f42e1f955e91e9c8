#include "supervisor/cli/cli.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/cli/client.h"
#include "tests/lib/fakedaemon.h"
#include "tests/lib/jsontext.h"
#include "tests/lib/unit.h"

/* The answer to the next calls: rows of name, result, sentence. */
struct row {
	const char *name, *result, *sentence;
};

static const struct row *rows;
static size_t n_rows;

static int reply_rows(sd_bus_message *m)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

	sd_bus_message_new_method_return(m, &reply);
	sd_bus_message_open_container(reply, 'a', "(sss)");
	for (size_t i = 0; i < n_rows; i++)
		sd_bus_message_append(reply, "(sss)", rows[i].name,
				      rows[i].result, rows[i].sentence);
	sd_bus_message_close_container(reply);
	return sd_bus_send(NULL, reply, NULL);
}

/* Answers with the rows; the first sentence becomes what was asked. */
static int echo_request(sd_bus_message *m, enum verb_id verb,
			sd_bus_error *error _unused_)
{
	static char text[256];
	static struct row echo[1];
	struct buf b = BUF_INIT(0);
	char **patterns = NULL;
	const char *state;
	uint64_t timeout;
	uint32_t flags;
	int32_t signo;

	sd_bus_message_read_strv(m, &patterns);
	buf_printf(&b, "%s", verb_table[verb].member);
	for (size_t i = 0; patterns && patterns[i]; i++)
		buf_printf(&b, " %s", patterns[i]);
	if (verb == VERB_SIGNAL) {
		sd_bus_message_read(m, "i", &signo);
		buf_printf(&b, " signo=%d", signo);
	} else if (verb == VERB_WAIT) {
		sd_bus_message_read(m, "st", &state, &timeout);
		buf_printf(&b, " state=%s timeout=%llu", state,
			   (unsigned long long)timeout);
	} else {
		sd_bus_message_read(m, "u", &flags);
		buf_printf(&b, " flags=%u", flags);
	}
	snprintf(text, sizeof(text), "%s", buf_text(&b));
	echo[0] = (struct row){ "web:0", RESULT_DONE, text };
	rows = echo;
	n_rows = 1;
	return reply_rows(m);
}

/* What each command line asks the daemon for. */
START_TEST(test_requests)
{
	static const struct {
		const char *args[6];
		const char *request;
	} cases[] = {
		{ { "start", "web:*", "mail" }, "Start web:* mail flags=0" },
		{ { "start", "a", "--no-wait" }, "Start a flags=1" },
		{ { "stop", "a" }, "Stop a flags=0" },
		{ { "stop", "--now", "a" }, "Stop a flags=4" },
		{ { "stop", "--now", "--no-wait", "a" }, "Stop a flags=5" },
		{ { "restart", "all" }, "Restart all flags=0" },
		{ { "recycle", "a" }, "Recycle a flags=0" },
		{ { "signal", "HUP", "a", "b" }, "Signal a b signo=1" },
		{ { "signal", "SIGUSR1", "a" }, "Signal a signo=10" },
		{ { "signal", "15", "a" }, "Signal a signo=15" },
		{ { "wait", "running", "a" },
		  "Wait a state=RUNNING timeout=18446744073709551615" },
		{ { "wait", "FATAL", "a", "--timeout=1.5" },
		  "Wait a state=FATAL timeout=1500000" },
	};
	struct fake_daemon daemon;

	fake_start(&daemon, echo_request);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *const *a = cases[i].args;
		struct cli_result result = fake_run(&daemon, a[0], a[1], a[2],
						    a[3], a[4], a[5], NULL);

		ck_assert_int_eq(result.exit_code, CLI_OK);
		ck_assert_str_eq(result.err, "");
		ck_assert_msg(strstr(result.out, cases[i].request),
			      "%s is not %s", result.out, cases[i].request);
		cli_result_done(&result);
	}
	fake_stop(&daemon);
}
END_TEST

static int answer_rows(sd_bus_message *m, enum verb_id verb _unused_,
		       sd_bus_error *error _unused_)
{
	return reply_rows(m);
}

START_TEST(test_results)
{
	static const struct row mixed[] = {
		{ "web:0", RESULT_DONE, "" },
		{ "web:1", RESULT_ALREADY, "" },
		{ "we\x1b"
		  "b:2",
		  RESULT_ACCEPTED, "" },
		{ "web:3", RESULT_FAILED, "cannot execute \x1b/x" },
		{ "web:4", RESULT_FAILED, "" },
		{ "web:5", "exploded", "of a newer daemon" },
	};
	static const struct {
		const char *verb, *out;
	} cases[] = {
		{ "start", "web:0: started\nweb:1: already running\n"
			   "we\\x1bb:2: accepted\n" },
		{ "stop", "web:0: stopped\nweb:1: already stopped\n"
			  "we\\x1bb:2: accepted\n" },
		{ "restart", "web:0: restarted\nweb:1: restarted\n"
			     "we\\x1bb:2: accepted\n" },
		{ "recycle", "web:0: recycled\nweb:1: recycled\n"
			     "we\\x1bb:2: accepted\n" },
	};
	struct fake_daemon daemon;
	struct cli_result result;

	rows = mixed;
	n_rows = ARRAY_SIZE(mixed);
	fake_start(&daemon, answer_rows);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		result = fake_run(&daemon, cases[i].verb, "all", NULL);
		ck_assert_int_eq(result.exit_code, CLI_FAILED);
		ck_assert_str_eq(result.out, cases[i].out);
		ck_assert_str_eq(result.err,
				 "reeve: web:3: cannot execute \\x1b/x\n"
				 "reeve: web:4: failed\n"
				 "reeve: web:5: of a newer daemon\n");
		cli_result_done(&result);
	}
	result = fake_run(&daemon, "start", "all", "-q", NULL);
	ck_assert_int_eq(result.exit_code, CLI_FAILED);
	ck_assert_str_eq(result.out, "");
	ck_assert_str_ne(result.err, "");
	cli_result_done(&result);

	result = fake_run(&daemon, "start", "all", "--json", NULL);
	ck_assert_int_eq(result.exit_code, CLI_FAILED);
	ck_assert(json_text_is_valid(result.out));
	ck_assert_ptr_nonnull(strstr(
		result.out, "{\"name\":\"web:3\",\"result\":\"failed\","
			    "\"message\":\"cannot execute \\u001b/x\"}"));
	cli_result_done(&result);
	fake_stop(&daemon);
}
END_TEST

START_TEST(test_all_well)
{
	static const struct row well[] = {
		{ "web:0", RESULT_DONE, "" },
		{ "web:1", RESULT_ALREADY, "" },
	};
	struct fake_daemon daemon;
	struct cli_result result;

	rows = well;
	n_rows = ARRAY_SIZE(well);
	fake_start(&daemon, answer_rows);
	result = fake_run(&daemon, "stop", "web", NULL);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	cli_result_done(&result);
	n_rows = 0;
	fake_stop(&daemon);
}
END_TEST

START_TEST(test_wait)
{
	static const struct row late[] = {
		{ "web:0", RESULT_DONE, "" },
		{ "web:1", RESULT_ALREADY, "" },
		{ "web:2", RESULT_TIMEOUT, "STARTING" },
	};
	struct fake_daemon daemon;
	struct cli_result result;

	rows = late;
	n_rows = ARRAY_SIZE(late);
	fake_start(&daemon, answer_rows);
	result = fake_run(&daemon, "wait", "running", "web", NULL);
	ck_assert_int_eq(result.exit_code, CLI_FAILED);
	ck_assert_str_eq(result.out, "web:0: RUNNING\nweb:1: RUNNING\n");
	ck_assert_str_eq(result.err,
			 "reeve: web:2: not RUNNING in time: STARTING\n");
	cli_result_done(&result);
	fake_stop(&daemon);
}
END_TEST

START_TEST(test_wrong_arguments)
{
	static const struct {
		const char *args[4];
		const char *message;
	} cases[] = {
		{ { "start" }, "usage: reeve start PATTERN..." },
		{ { "stop" }, "which workers?" },
		{ { "restart" }, "which workers?" },
		{ { "recycle" }, "which workers?" },
		{ { "signal", "HUP" }, "usage: reeve signal SIGNAL PATTERN" },
		{ { "signal", "web", "HUP" }, "\"web\" is no signal" },
		{ { "wait", "RUNNING" }, "usage: reeve wait STATE PATTERN" },
		{ { "wait", "RUNING", "web" }, "did you mean RUNNING?" },
		{ { "wait", "web", "RUNNING" }, "`reeve help wait`" },
		{ { "reload", "web" }, "whole configuration" },
		{ { "shutdown", "web" }, "to stop a worker use stop" },
		{ { "reopen", "web" }, "all logs" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *const *a = cases[i].args;
		struct cli_result result =
			fake_run(NULL, a[0], a[1], a[2], a[3], NULL);

		ck_assert_int_eq(result.exit_code, CLI_USAGE);
		ck_assert_msg(strstr(result.err, cases[i].message), "%s",
			      result.err);
		ck_assert_str_eq(result.out, "");
		cli_result_done(&result);
	}
}
END_TEST

/* ---- --timeout ---------------------------------------------------------- */

static void append_state(sd_bus_message *m, const char *name, const char *state,
			 const uint64_t facts[static 3])
{
	const uint64_t numbers[LIST_NUMBER_COUNT] = {
		[LIST_PID] = facts[0],
		[LIST_UPTIME] = facts[1],
		[LIST_FLAGS] = facts[2],
	};

	sd_bus_message_open_container(m, 'r', "sssatss");
	sd_bus_message_append(m, "sss", name, "web", state);
	sd_bus_message_append_array(m, 't', numbers, sizeof(numbers));
	sd_bus_message_append(m, "ss", "", "");
	ck_assert_int_ge(sd_bus_message_close_container(m), 0);
}

/* pid, uptime, flags */
static const struct {
	const char *name, *state;
	uint64_t facts[3];
} fleet[] = {
	{ "new", "RUNNING", { 1, 1, LIST_WANTED } },
	{ "old", "RUNNING", { 2, USEC_PER_DAY, LIST_WANTED } },
	{ "starting", "STARTING", { 3, 1, LIST_WANTED } },
	{ "waiting", "BACKOFF", { 0, 0, LIST_WANTED } },
	{ "once", "EXITED", { 0, 0, LIST_ONESHOT } },
	{ "stopped", "STOPPED", { 0 } },
	{ "stopping", "STOPPING", { 4, 1, 0 } },
	{ "fatal", "FATAL", { 0 } },
};

/* Never answers an action, only List. */
static int answer_list_only(sd_bus_message *m, enum verb_id verb,
			    sd_bus_error *error _unused_)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

	if (verb != VERB_STATUS)
		return FAKE_SILENT;
	sd_bus_message_new_method_return(m, &reply);
	sd_bus_message_open_container(reply, 'a', VERB_LIST_ROW);
	for (size_t i = 0; i < ARRAY_SIZE(fleet); i++)
		append_state(reply, fleet[i].name, fleet[i].state,
			     fleet[i].facts);
	sd_bus_message_close_container(reply);
	return sd_bus_send(NULL, reply, NULL);
}

START_TEST(test_timeout_says_who_is_missing)
{
	static const struct {
		const char *verb, *out, *missing;
	} cases[] = {
		{ "start", "new: started\nold: started\nonce: started\n",
		  "starting waiting stopped stopping fatal " },
		{ "stop", "once: stopped\nstopped: stopped\nfatal: stopped\n",
		  "new old starting waiting stopping " },
		{ "restart", "new: restarted\nonce: restarted\n",
		  "old starting waiting stopped stopping fatal " },
		{ "recycle", "new: recycled\nonce: recycled\n",
		  "old starting waiting stopped stopping fatal " },
	};
	struct fake_daemon daemon;

	fake_start(&daemon, answer_list_only);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cli_result result = fake_run(
			&daemon, cases[i].verb, "all", "--timeout=20ms", NULL);
		char *rest = result.err, *line;
		struct buf missing = BUF_INIT(0);

		ck_assert_int_eq(result.exit_code, CLI_FAILED);
		ck_assert_str_eq(result.out, cases[i].out);
		ck_assert_ptr_nonnull(
			strstr(result.err, "within 0.02s: still"));
		while ((line = strsep(&rest, "\n")) != NULL && *line != '\0')
			buf_printf(&missing, "%.*s ",
				   (int)strcspn(line + 7, ":"), line + 7);
		ck_assert_str_eq(buf_text(&missing), cases[i].missing);
		buf_done(&missing);
		cli_result_done(&result);
	}
	fake_stop(&daemon);
}
END_TEST

/* ---- reload ------------------------------------------------------------- */

static bool has_plan;

static int answer_plan(sd_bus_message *m, enum verb_id verb,
		       sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	uint32_t flags;

	ck_assert_int_eq(verb, VERB_RELOAD);
	sd_bus_message_read(m, "u", &flags);
	if (flags & ~VERB_DRY_RUN)
		return sd_bus_error_setf(error, REEVE_ERROR_INVALID, "flags");
	sd_bus_message_new_method_return(m, &reply);
	sd_bus_message_open_container(reply, 'a', "(sss)");
	if (has_plan)
		sd_bus_message_append(reply, "(sss)(sss)", "add", "web:2", "",
				      "restart", "web:0", "command, \x1bumask");
	sd_bus_message_close_container(reply);
	if (has_plan)
		sd_bus_message_append(reply, "as", 2, "one\x1b", "two");
	else
		sd_bus_message_append(reply, "as", 0);
	return sd_bus_send(NULL, reply, NULL);
}

START_TEST(test_reload)
{
	struct fake_daemon daemon;
	struct cli_result result;

	has_plan = true;
	fake_start(&daemon, answer_plan);
	result = fake_run(&daemon, "reload", NULL);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	ck_assert_str_eq(result.out, "add      web:2\n"
				     "restart  web:0  command, \\x1bumask\n");
	ck_assert_str_eq(result.err, "reeve: warning: one\\x1b\n"
				     "reeve: warning: two\n");
	cli_result_done(&result);
	result = fake_run(&daemon, "reread", "--json", NULL);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	ck_assert(json_text_is_valid(result.out));
	ck_assert_ptr_nonnull(strstr(result.out, "{\"applied\":false,"));
	ck_assert_ptr_nonnull(
		strstr(result.out, "\"warnings\":[\"one\\u001b\",\"two\"]"));
	cli_result_done(&result);
	result = fake_run(&daemon, "update", "--json", NULL);
	ck_assert_ptr_nonnull(strstr(result.out, "{\"applied\":true,"));
	cli_result_done(&result);
	fake_stop(&daemon);

	has_plan = false;
	fake_start(&daemon, answer_plan);
	result = fake_run(&daemon, "reload", NULL);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	ck_assert_str_eq(result.out, "nothing to change\n");
	ck_assert_str_eq(result.err, "");
	cli_result_done(&result);
	fake_stop(&daemon);
}
END_TEST

/* ---- shutdown ----------------------------------------------------------- */

static bool answers_first;

static int answer_shutdown(sd_bus_message *m, enum verb_id verb,
			   sd_bus_error *error)
{
	if (verb != VERB_SHUTDOWN)
		return sd_bus_error_setf(error, REEVE_ERROR_INVALID, "verb");
	if (answers_first)
		sd_bus_reply_method_return(m, "");
	return fake_end();
}

START_TEST(test_shutdown_waits_for_the_end)
{
	/* a daemon may hang up before it has answered */
	for (int i = 0; i < 2; i++) {
		struct fake_daemon daemon;
		struct cli_result result;

		answers_first = i == 0;
		fake_start(&daemon, answer_shutdown);
		result = fake_run(&daemon, "shutdown", NULL);
		ck_assert_int_eq(result.exit_code, CLI_OK);
		ck_assert_str_eq(result.out, "reeved has ended\n");
		/* it has, without anybody having killed it */
		ck_assert_int_eq(fake_has_ended(&daemon), 1);
		cli_result_done(&result);
		fake_stop(&daemon);
	}
}
END_TEST

static int answer_shutdown_and_stay(sd_bus_message *m,
				    enum verb_id verb _unused_,
				    sd_bus_error *error _unused_)
{
	return sd_bus_reply_method_return(m, "");
}

START_TEST(test_shutdown_timeout)
{
	struct fake_daemon daemon;
	struct cli_result result;

	fake_start(&daemon, answer_shutdown_and_stay);
	result = fake_run(&daemon, "shutdown", "--timeout=20ms", NULL);
	ck_assert_int_eq(result.exit_code, CLI_FAILED);
	ck_assert_ptr_nonnull(strstr(result.err, "still stopping"));
	cli_result_done(&result);
	result = fake_run(&daemon, "shutdown", "--no-wait", "--json", NULL);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	ck_assert_str_eq(result.out,
			 "{\"result\":\"done\",\"message\":\"accepted\"}\n");
	cli_result_done(&result);
	fake_stop(&daemon);
}
END_TEST

UNIT_MAIN("cli_actions", test_requests, test_results, test_all_well, test_wait,
	  test_wrong_arguments, test_timeout_says_who_is_missing, test_reload,
	  test_shutdown_waits_for_the_end, test_shutdown_timeout)
