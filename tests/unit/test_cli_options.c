#include "supervisor/cli/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"
#include "workers/base/sys/log.h"

#define ARGS_MAX 10

/* The last lines logged. */
static char logged[4096];

static void keep_line(void *userdata _unused_, const char *line, size_t length)
{
	size_t used = strlen(logged);

	ck_assert_uint_lt(used + length, sizeof(logged));
	memcpy(logged + used, line, length);
	logged[used + length] = '\0';
}

/* Splits a line at blanks; argv[0] is reeve. parsed keeps pointing into it. */
struct parsed {
	char *argv[ARGS_MAX];
	struct cli cli;
	int exit_code;
};

static void parse(struct parsed *p, const char *line)
{
	char *copy = strdup(line), *rest = copy, *word;
	int argc = 0;

	*p = (struct parsed){ 0 };
	p->argv[argc++] = strdup("reeve");
	while ((word = strsep(&rest, " ")) != NULL)
		if (*word != '\0')
			p->argv[argc++] = strdup(word);
	free(copy);
	logged[0] = '\0';
	log_init("reeve", LOG_FORMAT_PLAIN, LOG_LEVEL_INFO);
	log_set_writer(keep_line, NULL);
	p->exit_code = options_parse(argc, p->argv, &p->cli);
	log_set_writer(NULL, NULL);
}

static void parsed_done(struct parsed *p)
{
	options_done(&p->cli);
	for (size_t i = 0; i < ARGS_MAX; i++)
		free(p->argv[i]);
}

#define GIVEN(option) (1U << OPTION_##option)

START_TEST(test_good)
{
	static const struct {
		const char *line;
		enum verb_id verb;
		uint32_t given;
		const char *socket, *args; /* joined by commas */
		uint64_t timeout_usec, lines;
	} cases[] = {
		{ "", VERB_STATUS, 0, NULL, "", 0, 0 },
		{ "status", VERB_STATUS, 0, NULL, "", 0, 0 },
		{ "start a b:*", VERB_START, 0, NULL, "a,b:*", 0, 0 },
		/* options in front of and behind the verb */
		{ "--json start a", VERB_START, GIVEN(JSON), NULL, "a", 0, 0 },
		{ "start --json a -q", VERB_START, GIVEN(JSON) | GIVEN(QUIET),
		  NULL, "a", 0, 0 },
		{ "-s /x stop a", VERB_STOP, GIVEN(SOCKET), "/x", "a", 0, 0 },
		{ "-s/x stop a", VERB_STOP, GIVEN(SOCKET), "/x", "a", 0, 0 },
		{ "--socket /x", VERB_STATUS, GIVEN(SOCKET), "/x", "", 0, 0 },
		{ "stop --socket=/x", VERB_STOP, GIVEN(SOCKET), "/x", "", 0,
		  0 },
		{ "stop --socket=a=b", VERB_STOP, GIVEN(SOCKET), "a=b", "", 0,
		  0 },
		{ "stop --now --no-wait a", VERB_STOP,
		  GIVEN(NOW) | GIVEN(NO_WAIT), NULL, "a", 0, 0 },
		{ "start --timeout=1min a", VERB_START, GIVEN(TIMEOUT), NULL,
		  "a", 60 * USEC_PER_SEC, 0 },
		{ "start --timeout 0.5 a", VERB_START, GIVEN(TIMEOUT), NULL,
		  "a", 500 * USEC_PER_MSEC, 0 },
		/* behind -- everything is an operand */
		{ "start -- -q --json", VERB_START, 0, NULL, "-q,--json", 0,
		  0 },
		{ "start -", VERB_START, 0, NULL, "-", 0, 0 },
		{ "-- start a", VERB_START, 0, NULL, "a", 0, 0 },
		/* letters together, and tail's numbers */
		{ "logs -fn5 a", VERB_LOGS, GIVEN(FOLLOW) | GIVEN(LINES), NULL,
		  "a", 0, 5 },
		{ "logs -fqn 5 a", VERB_LOGS,
		  GIVEN(FOLLOW) | GIVEN(LINES) | GIVEN(QUIET), NULL, "a", 0,
		  5 },
		{ "logs -25 a", VERB_LOGS, GIVEN(LINES), NULL, "a", 0, 25 },
		{ "logs --lines=0 a", VERB_LOGS, GIVEN(LINES), NULL, "a", 0,
		  0 },
		/* supervisorctl's words */
		{ "reread", VERB_RELOAD, GIVEN(DRY_RUN), NULL, "", 0, 0 },
		{ "update", VERB_RELOAD, 0, NULL, "", 0, 0 },
		{ "avail", VERB_STATUS, 0, NULL, "", 0, 0 },
		{ "tail -f a stderr", VERB_LOGS, GIVEN(FOLLOW), NULL,
		  "a,stderr", 0, 0 },
		/* what turns into help */
		{ "--help", VERB_HELP, 0, NULL, "", 0, 0 },
		{ "stop --now -h a b", VERB_HELP, 0, NULL, "stop", 0, 0 },
		{ "help stop", VERB_HELP, 0, NULL, "stop", 0, 0 },
		{ "--version", VERB_VERSION, GIVEN(VERSION), NULL, "", 0, 0 },
		{ "help --words", VERB_HELP, GIVEN(WORDS), NULL, "", 0, 0 },
		{ "status --names", VERB_STATUS, GIVEN(NAMES), NULL, "", 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf args = BUF_INIT(0);
		struct parsed p;

		parse(&p, cases[i].line);
		ck_assert_msg(p.exit_code == CLI_OK, "\"%s\": %s",
			      cases[i].line, logged);
		ck_assert_str_eq(logged, "");
		ck_assert_msg(p.cli.verb == cases[i].verb, "%s", cases[i].line);
		ck_assert_msg(p.cli.given == cases[i].given, "%s",
			      cases[i].line);
		ck_assert_pstr_eq(p.cli.socket, cases[i].socket);
		for (size_t k = 0; k < p.cli.n_args; k++)
			buf_printf(&args, "%s%s", k ? "," : "", p.cli.args[k]);
		ck_assert_ptr_null(p.cli.args[p.cli.n_args]);
		ck_assert_str_eq(buf_text(&args), cases[i].args);
		ck_assert_uint_eq(p.cli.timeout_usec,
				  cases[i].timeout_usec ? cases[i].timeout_usec
							: USEC_INFINITY);
		ck_assert_uint_eq(p.cli.lines, cases[i].given & GIVEN(LINES)
						       ? cases[i].lines
						       : CLI_LINES_DEFAULT);
		buf_done(&args);
		parsed_done(&p);
	}
}
END_TEST

START_TEST(test_bad)
{
	static const struct {
		const char *line;
		int exit_code;
		const char *message; /* part of it */
	} cases[] = {
		{ "strat a", CLI_USAGE, "did you mean \"start\"?" },
		{ "tial a", CLI_USAGE, "did you mean \"tail\"?" },
		{ "frobnicate", CLI_USAGE, "`reeve help` shows all" },
		{ "strat --help", CLI_USAGE, "did you mean \"start\"?" },
		{ "--jsno", CLI_USAGE, "did you mean --json?" },
		{ "--jsno=x", CLI_USAGE, "unknown option --jsno;" },
		{ "--xyzzy", CLI_USAGE, "`reeve help` shows all" },
		{ "-x", CLI_USAGE, "unknown option -x" },
		{ "logs -fx a", CLI_USAGE, "unknown option -x" },
		{ "-s", CLI_USAGE, "--socket needs a value: SOCKET" },
		{ "start --timeout", CLI_USAGE, "--timeout needs a value" },
		{ "--socket=", CLI_USAGE, "is not a path" },
		{ "--json=yes", CLI_USAGE, "--json takes no value" },
		{ "start --timeout=soon a", CLI_USAGE,
		  "\"soon\" is not a time" },
		{ "start --timeout=0 a", CLI_USAGE, "\"0\" is not a time" },
		{ "logs -n x a", CLI_USAGE, "\"x\" is not a number" },
		{ "logs -5x a", CLI_USAGE, "\"5x\" is not a number" },
		{ "start --now a", CLI_USAGE,
		  "start takes no --now; see `reeve help start`" },
		{ "status -f", CLI_USAGE, "status takes no --follow" },
		{ "-5", CLI_USAGE, "status takes no --lines" },
		{ "stop --words", CLI_USAGE, "stop takes no --words" },
		{ "fg a", CLI_UNSUPPORTED, "reeve logs -f" },
		{ "maintail", CLI_UNSUPPORTED, "journalctl" },
		{ "open x", CLI_UNSUPPORTED, "-s SOCKET" },
		{ "clear a", CLI_UNSUPPORTED, "reopen" },
		{ "add a", CLI_UNSUPPORTED, "reload" },
		{ "remove a", CLI_UNSUPPORTED, "reload" },
		{ "exit", CLI_UNSUPPORTED, "no interactive mode" },
		{ "quit", CLI_UNSUPPORTED, "shutdown" },
		{ "--timeout=18446744073709551616s", CLI_USAGE, "--timeout" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct parsed p;

		parse(&p, cases[i].line);
		ck_assert_msg(p.exit_code == cases[i].exit_code, "\"%s\": %d",
			      cases[i].line, p.exit_code);
		ck_assert_msg(strstr(logged, cases[i].message), "\"%s\": %s",
			      cases[i].line, logged);
		ck_assert_msg(strncmp(logged, "reeve: ", 7) == 0, "%s", logged);
		/* one line, not a page */
		ck_assert_ptr_eq(strchr(logged, '\n'),
				 logged + strlen(logged) - 1);
		parsed_done(&p);
	}
}
END_TEST

/* Letters and words name one option each, and fit into the set's bits. */
START_TEST(test_table)
{
	ck_assert_uint_lt(OPTION_COUNT, 32);
	ck_assert_uint_lt(VERB_COUNT, 32);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct cli_option_row *a = &cli_option_table[i];

		ck_assert_uint_ne(a->verbs, 0);
		for (size_t k = 0; k < i; k++) {
			const struct cli_option_row *b = &cli_option_table[k];

			ck_assert_str_ne(a->word, b->word);
			ck_assert(!a->letter || a->letter != b->letter);
		}
	}
}
END_TEST

/* Every verb is known, and takes each option that its mask says. */
START_TEST(test_every_verb_and_option)
{
	for (unsigned v = 0; v < VERB_COUNT; v++) {
		for (unsigned o = 0; o < OPTION_COUNT; o++) {
			const struct cli_option_row *row = &cli_option_table[o];
			enum verb_id verb = (enum verb_id)v;
			enum cli_option option = (enum cli_option)o;
			char line[128];
			struct parsed p;

			if (option == OPTION_HELP || option == OPTION_VERSION)
				continue;
			snprintf(line, sizeof(line), "%s --%s%s",
				 verb_table[v].word, row->word,
				 row->value ? "=5" : "");
			parse(&p, line);
			ck_assert_msg(p.exit_code == (options_fits(option, verb)
							      ? CLI_OK
							      : CLI_USAGE),
				      "%s", line);
			if (p.exit_code == CLI_OK)
				ck_assert(p.cli.verb == verb &&
					  cli_has(&p.cli, option));
			parsed_done(&p);
		}
	}
}
END_TEST

START_TEST(test_no_arguments_at_all)
{
	char *argv[] = { NULL };
	struct cli cli;

	ck_assert_int_eq(options_parse(0, argv, &cli), CLI_OK);
	ck_assert_int_eq(cli.verb, VERB_STATUS);
	options_done(&cli);
}
END_TEST

UNIT_MAIN("cli_options", test_good, test_bad, test_table,
	  test_every_verb_and_option, test_no_arguments_at_all)
