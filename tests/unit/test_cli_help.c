#include "supervisor/cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/core/states.h"
#include "tests/lib/fakedaemon.h"
#include "tests/lib/jsontext.h"
#include "tests/lib/unit.h"

/* True when a line of text begins with these words. */
static bool has_line(const char *text, const char *words)
{
	size_t n = strlen(words);
	const char *p = text;

	for (; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (strncmp(p, words, n) == 0)
			return true;
	}
	return false;
}

START_TEST(test_all)
{
	struct cli_result result = fake_run(NULL, "help", NULL);

	ck_assert_int_eq(result.exit_code, CLI_OK);
	ck_assert_str_eq(result.err, "");
	for (size_t i = 0; i < VERB_COUNT; i++) {
		char words[64];

		snprintf(words, sizeof(words), "  %s ", verb_table[i].word);
		ck_assert_msg(has_line(result.out, words), "%s", words);
		ck_assert_ptr_nonnull(strstr(result.out, verb_table[i].help));
	}
	/* every exit code, and each option that all verbs take */
#define X(name, code, who, text)                                               \
	ck_assert_ptr_nonnull(strstr(result.out, "  " #code));                 \
	ck_assert_ptr_nonnull(strstr(result.out, text));
	CLI_EXITS(X)
#undef X
	ck_assert(has_line(result.out, "  -s, --socket=SOCKET "));
	ck_assert(has_line(result.out, "      --json "));
	ck_assert_ptr_null(strstr(result.out, "--words"));
	cli_result_done(&result);
}
END_TEST

START_TEST(test_each_verb)
{
	for (unsigned i = 0; i < VERB_COUNT; i++) {
		const struct verb *verb = &verb_table[i];
		struct cli_result result =
			fake_run(NULL, "help", verb->word, NULL);
		char words[64];

		ck_assert_int_eq(result.exit_code, CLI_OK);
		snprintf(words, sizeof(words), "usage: reeve %s", verb->word);
		ck_assert(has_line(result.out, words));
		ck_assert_ptr_nonnull(strstr(result.out, verb->arguments));
		ck_assert_ptr_nonnull(strstr(result.out, verb->help));
		for (unsigned k = 0; k < OPTION_COUNT; k++) {
			const struct cli_option_row *o = &cli_option_table[k];
			bool is_shown = o->help && o->verbs & (1U << i);

			snprintf(words, sizeof(words), "--%s%s", o->word,
				 o->value ? "=" : " ");
			ck_assert_msg(is_shown == !!strstr(result.out, words),
				      "%s %s", verb->word, words);
		}
		cli_result_done(&result);

		/* the same by --help */
		struct cli_result again =
			fake_run(NULL, verb->word, "--help", NULL);
		ck_assert_int_eq(again.exit_code, CLI_OK);
		if (i != VERB_HELP)
			ck_assert(has_line(again.out, "usage: reeve "));
		cli_result_done(&again);
	}
}
END_TEST

START_TEST(test_states)
{
	struct cli_result result = fake_run(NULL, "help", "wait", NULL);

	for (unsigned i = 0; i < STATE_COUNT; i++)
		ck_assert_ptr_nonnull(strstr(
			result.out, worker_state_text((enum worker_state)i)));
	cli_result_done(&result);
}
END_TEST

/* Codes of status and codes of others are not mixed. */
START_TEST(test_exit_codes_of_a_verb)
{
	struct cli_result result = fake_run(NULL, "help", "status", NULL);

	ck_assert_ptr_nonnull(strstr(result.out, "not in the state"));
	ck_assert_ptr_null(strstr(result.out, "has no counterpart"));
	cli_result_done(&result);
	result = fake_run(NULL, "help", "start", NULL);
	ck_assert_ptr_null(strstr(result.out, "not in the state"));
	ck_assert_ptr_nonnull(strstr(result.out, "has no counterpart"));
	cli_result_done(&result);
}
END_TEST

START_TEST(test_unknown)
{
	static const struct {
		const char *word;
		int exit_code;
		const char *message;
	} cases[] = {
		{ "strat", CLI_USAGE, "did you mean \"start\"?" },
		{ "fg", CLI_UNSUPPORTED, "reeve logs -f" },
	};
	struct cli_result result;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		result = fake_run(NULL, "help", cases[i].word, NULL);
		ck_assert_int_eq(result.exit_code, cases[i].exit_code);
		ck_assert_ptr_nonnull(strstr(result.err, cases[i].message));
		cli_result_done(&result);
	}
	/* supervisorctl's words have help: that of ours */
	result = fake_run(NULL, "help", "tail", NULL);
	ck_assert(has_line(result.out, "usage: reeve logs"));
	cli_result_done(&result);
	result = fake_run(NULL, "help", "start", "stop", NULL);
	ck_assert_int_eq(result.exit_code, CLI_USAGE);
	cli_result_done(&result);
}
END_TEST

START_TEST(test_words)
{
	struct cli_result result = fake_run(NULL, "help", "--words", NULL);
	size_t n_lines = 0;

	for (const char *p = result.out; *p != '\0'; p++)
		n_lines += *p == '\n';
	ck_assert_uint_eq(n_lines, VERB_COUNT);
	ck_assert(has_line(result.out, "status\n"));
	cli_result_done(&result);
	result = fake_run(NULL, "help", "--words", "logs", NULL);
	ck_assert(has_line(result.out, "--follow\n"));
	ck_assert(has_line(result.out, "--lines=\n"));
	ck_assert(!has_line(result.out, "--now"));
	ck_assert(!has_line(result.out, "--words"));
	cli_result_done(&result);
}
END_TEST

START_TEST(test_json)
{
	struct cli_result result = fake_run(NULL, "help", "--json", NULL);

	ck_assert(json_text_is_valid(result.out));
	ck_assert_ptr_nonnull(strstr(result.out, "{\"verb\":\"recycle\","));
	cli_result_done(&result);
}
END_TEST

/* ---- version ------------------------------------------------------------ */

static int answer_nothing(sd_bus_message *m _unused_,
			  enum verb_id verb _unused_, sd_bus_error *error)
{
	return sd_bus_error_set(error, REEVE_ERROR_INVALID, "no");
}

START_TEST(test_version)
{
	struct fake_daemon daemon;
	struct cli_result result;
	char pid[64];

	fake_start(&daemon, answer_nothing);
	snprintf(pid, sizeof(pid), "(pid %d, ", (int)daemon.pid);
	result = fake_run(&daemon, "version", NULL);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	ck_assert(has_line(result.out, "reeve " REEVE_VERSION "\n"));
	ck_assert(has_line(result.out, "reeved 9.9.9 (pid "));
	ck_assert_ptr_nonnull(strstr(result.out, pid));
	ck_assert_ptr_nonnull(strstr(result.out, "/etc/x\\x1by.ini"));
	ck_assert(has_line(result.out, "stop guarantee: ancestry\n"));
	cli_result_done(&result);
	result = fake_run(&daemon, "--version", "--json", NULL);
	ck_assert(json_text_is_valid(result.out));
	ck_assert_ptr_nonnull(strstr(result.out, "\"reeved\":\"9.9.9\""));
	cli_result_done(&result);
	fake_stop(&daemon);
	result = fake_run(NULL, "-s", unit_path("none"), "version", "--json",
			  NULL);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	ck_assert_ptr_nonnull(strstr(result.out, "\"reeved\":null"));
	cli_result_done(&result);
}
END_TEST

UNIT_MAIN("cli_help", test_all, test_each_verb, test_states,
	  test_exit_codes_of_a_verb, test_unknown, test_words, test_json,
	  test_version)
