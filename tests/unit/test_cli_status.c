#include "supervisor/cli/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/cli/cli.h"
#include "supervisor/core/states.h"
#include "tests/lib/fakedaemon.h"
#include "tests/lib/jsontext.h"
#include "tests/lib/unit.h"
#include "workers/base/pure/usec.h"

#define DAYS  USEC_PER_DAY
#define HOURS USEC_PER_HOUR

static const struct status_row sample[] = {
	{ .name = "web:0",
	  .group = "web",
	  .state = "RUNNING",
	  .pid = 4021,
	  .uptime_usec = 3 * DAYS + 2 * HOURS,
	  .flags = LIST_WANTED,
	  .status = "",
	  .error = "" },
	{ .name = "web:1",
	  .group = "web",
	  .state = "BACKOFF",
	  .next_start_usec = 2 * USEC_PER_SEC,
	  .restarts = 4,
	  .failures = 4,
	  .flags = LIST_HAS_EXIT | LIST_CORE | LIST_WANTED | LIST_FAULT,
	  .exit_code = -11,
	  .exit_age_usec = 400 * USEC_PER_MSEC,
	  .exit_uptime_usec = 20 * USEC_PER_MSEC,
	  .status = "",
	  .error = "killed by SIGSEGV (core dumped)" },
	{ .name = "mail",
	  .group = "mail",
	  .state = "RUNNING",
	  .pid = 4077,
	  .uptime_usec = 12 * USEC_PER_MINUTE,
	  .recycles = 31,
	  .flags = LIST_HAS_EXIT | LIST_EXPECTED | LIST_WANTED,
	  .exit_age_usec = 12 * USEC_PER_MINUTE,
	  .exit_uptime_usec = HOURS,
	  .status = "",
	  .error = "" },
};

static char *table(const struct status_row *rows, size_t n_rows, size_t width,
		   bool colour)
{
	const struct text_style style = { .width = width, .colour = colour };
	struct buf out = BUF_INIT(0);

	ck_assert_int_eq(status_render_table(rows, n_rows, &style, &out), 0);
	return buf_take(&out);
}

/* The table that the README shows. */
START_TEST(test_sample)
{
	char *text = table(sample, ARRAY_SIZE(sample), 0, false);

	ck_assert_str_eq(
		text,
		"NAME   STATE    PID   UPTIME   RESTARTS  RECYCLES  LAST EXIT\n"
		"web:0  RUNNING  4021  3d 2h    0         -         -\n"
		"web:1  BACKOFF  -     next 2s  4         -         "
		"-11 SIGSEGV (core dumped) 0.4s ago, after 0.02s\n"
		"mail   RUNNING  4077  12m      0         31        0\n");
	free(text);
}
END_TEST

static const size_t widths[] = { 40, 80, 200 };

START_TEST(test_widths)
{
	static const char *const expected[] = {
		"NAME   STATE    UPTIME   LAST EXIT\n"
		"web:0  RUNNING  3d 2h    -\n"
		"web:1  BACKOFF  next 2s  -11 SIGSEGV ...\n"
		"mail   RUNNING  12m      0\n",
		"NAME   STATE    PID   UPTIME   RESTARTS  RECYCLES  LAST EXIT\n"
		"web:0  RUNNING  4021  3d 2h    0         -         -\n"
		"web:1  BACKOFF  -     next 2s  4         -         "
		"-11 SIGSEGV (core dumped) ...\n"
		"mail   RUNNING  4077  12m      0         31        0\n",
		"NAME   STATE    PID   UPTIME   RESTARTS  RECYCLES  LAST EXIT\n"
		"web:0  RUNNING  4021  3d 2h    0         -         -\n"
		"web:1  BACKOFF  -     next 2s  4         -         "
		"-11 SIGSEGV (core dumped) 0.4s ago, after 0.02s\n"
		"mail   RUNNING  4077  12m      0         31        0\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(widths); i++) {
		char *text =
			table(sample, ARRAY_SIZE(sample), widths[i], false);

		ck_assert_str_eq(text, expected[i]);
		free(text);
	}
}
END_TEST

/* Whatever a row holds: no line is wider than the terminal. */
START_TEST(test_hard_rows_fit)
{
	static const struct status_row hard = {
		.name = "a-worker-with-a-name-that-is-longer-than-anybody-"
			"would-want-to-read-in-a-table:4294967295",
		.group = "a",
		.state = "RUNNING",
		.pid = UINT32_MAX,
		.uptime_usec = UINT64_MAX / 2,
		.restarts = UINT64_MAX,
		.recycles = UINT64_MAX,
		.flags = LIST_HAS_EXIT | LIST_UNKILLABLE,
		.exit_code = INT32_MIN + 1,
		.exit_age_usec = UINT64_MAX / 2,
		.exit_uptime_usec = UINT64_MAX / 2,
		.status = "a status that the worker said, and said at length",
		.error = "an error that the daemon said, and said at length",
	};

	for (size_t i = 0; i < ARRAY_SIZE(widths); i++) {
		char *text = table(&hard, 1, widths[i], false);
		char *rest = text, *line;

		while ((line = strsep(&rest, "\n")) != NULL)
			ck_assert_msg(strlen(line) <= widths[i], "%zu: %s",
				      widths[i], line);
		free(text);
	}

	/* and where there is no terminal, everything is there */
	char *text = table(&hard, 1, 0, false);

	ck_assert_ptr_nonnull(strstr(text, hard.name));
	ck_assert_ptr_nonnull(strstr(text, "18446744073709551615"));
	ck_assert_ptr_nonnull(strstr(text, hard.status));
	ck_assert_ptr_nonnull(strstr(text, hard.error));
	ck_assert_ptr_nonnull(strstr(text, "survives SIGKILL"));
	free(text);
}
END_TEST

START_TEST(test_last_exit)
{
	static const struct {
		struct status_row row;
		const char *expected;
	} cases[] = {
		{ { .status = "", .error = "" }, "-" },
		{ { .flags = LIST_HAS_EXIT,
		    .exit_code = 1,
		    .exit_age_usec = 3 * USEC_PER_MINUTE,
		    .exit_uptime_usec = 2 * HOURS,
		    .error = "exited with code 1" },
		  "1 3m ago, after 2h" },
		{ { .flags = LIST_HAS_EXIT | LIST_EXPECTED,
		    .exit_code = 2,
		    .exit_age_usec = 1 },
		  "2" },
		{ { .flags = LIST_HAS_EXIT | LIST_EXPECTED, .exit_code = -15 },
		  "-15 SIGTERM" },
		/* it never ran: what matters is why */
		{ { .flags = LIST_HAS_EXIT,
		    .exit_code = 127,
		    .error = "cannot execute /x: No such file or directory" },
		  "cannot execute /x: No such file or directory" },
		/* a shell that did not find its command did run */
		{ { .flags = LIST_HAS_EXIT,
		    .exit_code = 127,
		    .exit_age_usec = USEC_PER_SEC,
		    .exit_uptime_usec = USEC_PER_SEC,
		    .error = "exited with code 127" },
		  "127 1s ago, after 1s" },
		{ { .flags = LIST_HAS_EXIT,
		    .exit_code = -6,
		    .exit_age_usec = USEC_PER_SEC,
		    .exit_uptime_usec = USEC_PER_MINUTE,
		    .error = "watchdog: no sign of life" },
		  "-6 SIGABRT 1s ago, after 1m: watchdog: no sign of life" },
		{ { .error = "cannot fork: Resource temporarily unavailable" },
		  "cannot fork: Resource temporarily unavailable" },
		{ { .pid = 5, .flags = LIST_UNKILLABLE }, "survives SIGKILL" },
		/* nothing of the daemon's text moves the cursor */
		{ { .error = "bad \x1b[2J" }, "bad \\x1b[2J" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct status_row row = cases[i].row;
		char *text, *line;

		row.name = row.state = row.group = row.status = "x";
		row.status = "";
		row.error = row.error ? row.error : "";
		text = table(&row, 1, 0, false);
		line = strchr(text, '\n') + 1;
		line[strlen(line) - 1] = '\0';
		/* behind NAME STATE PID UPTIME RESTARTS RECYCLES */
		ck_assert_uint_ge(strlen(line), strlen(cases[i].expected));
		ck_assert_str_eq(line + strlen(line) -
					 strlen(cases[i].expected),
				 cases[i].expected);
		ck_assert_int_eq(
			line[strlen(line) - strlen(cases[i].expected) - 1],
			' ');
		free(text);
	}
}
END_TEST

START_TEST(test_what_workers_say)
{
	struct status_row rows[ARRAY_SIZE(sample)];
	char *text;

	memcpy(rows, sample, sizeof(rows));
	rows[2].status = "serving \x1b]0;x\a 12";
	text = table(rows, ARRAY_SIZE(rows), 0, false);
	ck_assert_ptr_nonnull(strstr(text, "LAST EXIT"));
	ck_assert_ptr_nonnull(strstr(text, "  STATUS\n"));
	ck_assert_ptr_nonnull(strstr(text, "  serving \\x1b]0;x\\x07 12\n"));
	ck_assert_ptr_null(strchr(text, '\x1b'));
	free(text);
}
END_TEST

START_TEST(test_colours)
{
	for (unsigned i = 0; i < STATE_COUNT; i++) {
		struct status_row row = sample[0];
		char *text;

		row.state = worker_state_name((enum worker_state)i);
		text = table(&row, 1, 80, true);
		ck_assert_ptr_nonnull(strstr(text, "\x1b[0m"));
		free(text);
		text = table(&row, 1, 80, false);
		ck_assert_ptr_null(strchr(text, '\x1b'));
		free(text);
	}

	/* a state of a newer daemon is shown, without a colour */
	struct status_row row = sample[0];
	char *text;

	row.state = "DREAMING";
	text = table(&row, 1, 80, true);
	ck_assert_ptr_nonnull(strstr(text, "DREAMING"));
	ck_assert_ptr_null(strchr(text, '\x1b'));
	free(text);
}
END_TEST

START_TEST(test_json)
{
	struct buf out = BUF_INIT(0);

	ck_assert_int_eq(status_render_json(sample, ARRAY_SIZE(sample), &out),
			 0);
	ck_assert(json_text_is_valid(buf_text(&out)));
	ck_assert_ptr_nonnull(strstr(
		buf_text(&out),
		"{\"name\":\"web:1\",\"group\":\"web\",\"state\":\"BACKOFF\","
		"\"pid\":null,\"state_age_usec\":0,\"uptime_usec\":null,"
		"\"next_start_usec\":2000000,\"restarts\":4,\"recycles\":0,"
		"\"failures\":4,\"tasks\":0,\"wanted\":true,\"fault\":true,"
		"\"essential\":false,\"oneshot\":false,\"unkillable\":false,"
		"\"last_exit\":{\"code\":-11,\"signal\":\"SIGSEGV\","
		"\"core\":true,\"expected\":false,\"age_usec\":400000,"
		"\"uptime_usec\":20000},\"status\":\"\","
		"\"error\":\"killed by SIGSEGV (core dumped)\"}"));
	ck_assert_ptr_nonnull(strstr(buf_text(&out), "\"last_exit\":null"));
	ck_assert_ptr_nonnull(strstr(buf_text(&out), "\"signal\":null"));
	buf_clear(&out);
	ck_assert_int_eq(status_render_json(NULL, 0, &out), 0);
	ck_assert_str_eq(buf_text(&out), "[]\n");
	buf_done(&out);
}
END_TEST

START_TEST(test_exit)
{
	struct status_row rows[ARRAY_SIZE(sample)];

	memcpy(rows, sample, sizeof(rows));
	ck_assert_int_eq(status_exit(rows, 3), CLI_FAULT);
	rows[1].flags &= ~LIST_FAULT;
	ck_assert_int_eq(status_exit(rows, 3), CLI_OK);
	ck_assert_int_eq(status_exit(rows, 0), CLI_OK);
	rows[2].flags |= LIST_FAULT; /* the last one counts as well */
	ck_assert_int_eq(status_exit(rows, 3), CLI_FAULT);
}
END_TEST

/* ---- with a daemon ------------------------------------------------------ */

static size_t n_numbers = LIST_NUMBER_COUNT;

static int append_row(sd_bus_message *m, const struct status_row *r)
{
	const uint64_t numbers[LIST_NUMBER_COUNT + 1] = {
		[LIST_PID] = r->pid,
		[LIST_STATE_AGE] = r->state_age_usec,
		[LIST_UPTIME] = r->uptime_usec,
		[LIST_NEXT_START] = r->next_start_usec,
		[LIST_RESTARTS] = r->restarts,
		[LIST_RECYCLES] = r->recycles,
		[LIST_FAILURES] = r->failures,
		[LIST_TASKS] = r->tasks,
		[LIST_FLAGS] = r->flags,
		[LIST_EXIT_CODE] = (uint64_t)(int64_t)r->exit_code,
		[LIST_EXIT_AGE] = r->exit_age_usec,
		[LIST_EXIT_UPTIME] = r->exit_uptime_usec,
		[LIST_NUMBER_COUNT] = 99, /* of a later version */
	};

	sd_bus_message_open_container(m, 'r', "sssatss");
	sd_bus_message_append(m, "sss", r->name, r->group, r->state);
	sd_bus_message_append_array(m, 't', numbers,
				    n_numbers * sizeof(numbers[0]));
	sd_bus_message_append(m, "ss", r->status, r->error);
	return sd_bus_message_close_container(m);
}

static const struct status_row *answer_rows = sample;
static size_t n_answer_rows = ARRAY_SIZE(sample);
static unsigned n_copies = 1;

static int answer_list(sd_bus_message *m, enum verb_id verb,
		       sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	char **patterns = NULL;

	ck_assert_int_eq(verb, VERB_STATUS);
	ck_assert_int_ge(sd_bus_message_read_strv(m, &patterns), 0);
	if (patterns && patterns[0] && strcmp(patterns[0], "nobody") == 0)
		return sd_bus_error_setf(error, REEVE_ERROR_NO_SUCH_WORKER,
					 "no worker \"nobody\"");
	sd_bus_message_new_method_return(m, &reply);
	sd_bus_message_open_container(reply, 'a', VERB_LIST_ROW);
	for (unsigned i = 0; i < n_copies; i++)
		for (size_t k = 0; k < n_answer_rows; k++)
			ck_assert_int_ge(append_row(reply, &answer_rows[k]), 0);
	sd_bus_message_close_container(reply);
	return sd_bus_send(NULL, reply, NULL);
}

/* The rows come over as they were sent. */
START_TEST(test_verb)
{
	struct fake_daemon daemon;
	struct cli_result result;
	char *expected = table(sample, ARRAY_SIZE(sample), 0, false);

	fake_start(&daemon, answer_list);
	result = fake_run(&daemon, "status", NULL);
	ck_assert_int_eq(result.exit_code, CLI_FAULT);
	ck_assert_str_eq(result.out, expected);
	ck_assert_str_eq(result.err, "");
	cli_result_done(&result);

	result = fake_run(&daemon, NULL); /* bare */
	ck_assert_int_eq(result.exit_code, CLI_FAULT);
	ck_assert_str_eq(result.out, expected);
	cli_result_done(&result);

	result = fake_run(&daemon, "--json", NULL);
	ck_assert_int_eq(result.exit_code, CLI_FAULT);
	ck_assert(json_text_is_valid(result.out));
	ck_assert_ptr_nonnull(strstr(result.out, "\"uptime_usec\":266400"));
	cli_result_done(&result);

	result = fake_run(&daemon, "-q", NULL);
	ck_assert_int_eq(result.exit_code, CLI_FAULT);
	ck_assert_str_eq(result.out, "");
	cli_result_done(&result);

	result = fake_run(&daemon, "status", "--names", NULL);
	ck_assert_str_eq(result.out, "all\nweb:*\nweb:0\nweb:1\nmail\n");
	cli_result_done(&result);

	result = fake_run(&daemon, "status", "nobody", NULL);
	ck_assert_int_eq(result.exit_code, CLI_STATUS_UNKNOWN);
	ck_assert_str_eq(result.out, "");
	ck_assert_str_eq(result.err, "reeve: no worker \"nobody\"\n");
	cli_result_done(&result);
	fake_stop(&daemon);
	free(expected);
}
END_TEST

START_TEST(test_many)
{
	struct fake_daemon daemon;
	struct cli_result result;
	size_t n_lines = 0;

	n_copies = 5000;
	fake_start(&daemon, answer_list);
	result = fake_run(&daemon, "status", NULL);
	for (const char *p = result.out; *p != '\0'; p++)
		n_lines += *p == '\n';
	ck_assert_uint_eq(n_lines, 15001);
	cli_result_done(&result);
	fake_stop(&daemon);
}
END_TEST

/* More numbers than we know are fine; fewer are not guessed at. */
START_TEST(test_other_versions)
{
	struct fake_daemon daemon;
	struct cli_result result;

	n_numbers = LIST_NUMBER_COUNT + 1;
	fake_start(&daemon, answer_list);
	result = fake_run(&daemon, "status", NULL);
	ck_assert_int_eq(result.exit_code, CLI_FAULT);
	ck_assert_ptr_nonnull(strstr(result.out, "-11 SIGSEGV"));
	cli_result_done(&result);
	fake_stop(&daemon);

	n_numbers = LIST_NUMBER_COUNT - 1;
	fake_start(&daemon, answer_list);
	result = fake_run(&daemon, "status", NULL);
	ck_assert_int_eq(result.exit_code, CLI_STATUS_UNKNOWN);
	ck_assert_str_eq(result.out, "");
	ck_assert_ptr_nonnull(strstr(result.err, "another version"));
	cli_result_done(&result);
	fake_stop(&daemon);
}
END_TEST

START_TEST(test_none)
{
	struct fake_daemon daemon;
	struct cli_result result;

	n_answer_rows = 0;
	fake_start(&daemon, answer_list);
	result = fake_run(&daemon, "status", NULL);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	ck_assert_str_eq(result.err, "");
	cli_result_done(&result);
	fake_stop(&daemon);
}
END_TEST

START_TEST(test_pid)
{
	struct fake_daemon daemon;
	struct cli_result result;
	char expected[64];

	fake_start(&daemon, answer_list);
	snprintf(expected, sizeof(expected), "%d\n", (int)daemon.pid);
	result = fake_run(&daemon, "pid", NULL);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	ck_assert_str_eq(result.out, expected);
	cli_result_done(&result);

	result = fake_run(&daemon, "pid", "all", NULL);
	ck_assert_int_eq(result.exit_code, CLI_FAILED);
	ck_assert_str_eq(result.out, "4021\n4077\n");
	ck_assert_str_eq(result.err, "reeve: web:1: not running (BACKOFF)\n");
	cli_result_done(&result);

	result = fake_run(&daemon, "pid", "all", "--json", NULL);
	ck_assert(json_text_is_valid(result.out));
	ck_assert_ptr_nonnull(
		strstr(result.out, "{\"name\":\"web:1\",\"pid\":null}"));
	cli_result_done(&result);

	result = fake_run(&daemon, "pid", "nobody", NULL);
	ck_assert_int_eq(result.exit_code, CLI_NO_WORKER);
	cli_result_done(&result);
	fake_stop(&daemon);
}
END_TEST

UNIT_MAIN("cli_status", test_sample, test_widths, test_hard_rows_fit,
	  test_last_exit, test_what_workers_say, test_colours, test_json,
	  test_exit, test_verb, test_many, test_other_versions, test_none,
	  test_pid)
