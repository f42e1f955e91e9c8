/* See options.h. */
#include "supervisor/cli/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/parse.h"
#include "workers/base/pure/str.h"
#include "workers/base/sys/log.h"

const struct cli_option_row cli_option_table[OPTION_COUNT] = {
#define X(id, letter_, word_, value_, verbs_, text_)                           \
	[OPTION_##id] = { .letter = (letter_),                                 \
			  .word = (word_),                                     \
			  .value = (value_),                                   \
			  .verbs = (verbs_),                                   \
			  .help = (text_) },
	CLI_OPTIONS(X)
#undef X
};

struct alias {
	const char *word;
	enum verb_id verb;
	enum cli_option option; /* given along; OPTION_COUNT: none */
};

static const struct alias aliases[] = {
#define X(word_, verb_, option_) { (word_), VERB_##verb_, (option_) },
	OPTIONS_ALIASES(X)
#undef X
};

struct refusal {
	const char *word, *advice;
};

static const struct refusal refusals[] = {
#define X(word_, advice_) { (word_), (advice_) },
	OPTIONS_REFUSED(X)
#undef X
};

/* Where in argv we are. */
struct reader {
	char **argv; /* NULL-terminated */
	size_t at;   /* next one to read */
	struct cli *cli;
};

bool options_fits(enum cli_option option, enum verb_id verb)
{
	return cli_option_table[option].verbs & (1U << verb);
}

int options_wrong_operands(const struct cli *cli, const char *problem)
{
	const struct verb *verb = &verb_table[cli->verb];

	log_error("%s: %s; usage: reeve %s %s", verb->word, problem, verb->word,
		  verb->arguments);
	return CLI_USAGE;
}

/* ---- one option -------------------------------------------------------- */

static int wrong_value(enum cli_option option, const char *value,
		       const char *right)
{
	log_error("--%s: \"%s\" is not %s", cli_option_table[option].word,
		  value, right);
	return CLI_USAGE;
}

static int set_timeout(struct cli *cli, const char *value)
{
	uint64_t usec;

	if (parse_usec(value, &usec) < 0 || usec == 0)
		return wrong_value(OPTION_TIMEOUT, value,
				   "a time above 0, as \"5\" or \"1min 30s\"");
	cli->timeout_usec = usec;
	return CLI_OK;
}

static int set_lines(struct cli *cli, const char *value)
{
	if (parse_u64(value, 0, UINT64_MAX, &cli->lines) < 0)
		return wrong_value(OPTION_LINES, value, "a number of lines");
	return CLI_OK;
}

/* value is NULL exactly for options without one. */
static int take_option(struct cli *cli, enum cli_option option,
		       const char *value)
{
	cli->given |= 1U << option;
	if (option == OPTION_SOCKET) {
		reeve_assert(value);
		cli->socket = value;
		if (*value == '\0')
			return wrong_value(option, value, "a path");
	}
	if (option == OPTION_TIMEOUT)
		return set_timeout(cli, value);
	if (option == OPTION_LINES)
		return set_lines(cli, value);
	return CLI_OK;
}

static int no_value(enum cli_option option)
{
	log_error("--%s needs a value: %s", cli_option_table[option].word,
		  cli_option_table[option].value);
	return CLI_USAGE;
}

static int unknown_option(const char *word)
{
	const char *words[OPTION_COUNT];

	for (size_t i = 0; i < OPTION_COUNT; i++)
		words[i] = cli_option_table[i].word;

	const char *near = str_nearest(word, words, OPTION_COUNT);

	if (near)
		log_error("unknown option --%s; did you mean --%s?", word,
			  near);
	else
		log_error("unknown option --%s; `reeve help` shows all", word);
	return CLI_USAGE;
}

/* "--word", "--word=value" or "--word value". */
static int take_long(struct reader *r, char *text)
{
	char *value = strchr(text, '=');
	size_t length = value ? (size_t)(value - text) : strlen(text);
	size_t i;

	for (i = 0; i < OPTION_COUNT; i++)
		if (strlen(cli_option_table[i].word) == length &&
		    memcmp(cli_option_table[i].word, text, length) == 0)
			break;
	if (value)
		*value++ = '\0';
	if (i == OPTION_COUNT)
		return unknown_option(text);
	if (!cli_option_table[i].value && value) {
		log_error("--%s takes no value", text);
		return CLI_USAGE;
	}
	if (cli_option_table[i].value && !value) {
		value = r->argv[r->at];
		if (!value)
			return no_value((enum cli_option)i);
		r->at++;
	}
	return take_option(r->cli, (enum cli_option)i, value);
}

/* "-f", "-fn5", "-n 5", "-5". */
static int take_letters(struct reader *r, char *text)
{
	if (isdigit((unsigned char)*text))
		return take_option(r->cli, OPTION_LINES, text);
	for (; *text != '\0'; text++) {
		const char *value = NULL;
		size_t i = 0;

		while (i < OPTION_COUNT && cli_option_table[i].letter != *text)
			i++;
		if (i == OPTION_COUNT) {
			log_error("unknown option -%c; `reeve help` shows all",
				  *text);
			return CLI_USAGE;
		}
		if (cli_option_table[i].value) {
			value = text[1] != '\0' ? text + 1 : r->argv[r->at];
			if (!value)
				return no_value((enum cli_option)i);
			if (text[1] == '\0')
				r->at++;
		}
		int exit_code = take_option(r->cli, (enum cli_option)i, value);

		if (exit_code != CLI_OK || value)
			return exit_code;
	}
	return CLI_OK;
}

/* ---- the verb ---------------------------------------------------------- */

static int unknown_verb(const char *word)
{
	const char *words[VERB_COUNT + ARRAY_SIZE(aliases)];
	size_t n = 0;

	for (size_t i = 0; i < VERB_COUNT; i++)
		words[n++] = verb_table[i].word;
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
		words[n++] = aliases[i].word;

	const char *near = str_nearest(word, words, n);

	if (near)
		log_error("unknown verb \"%s\"; did you mean \"%s\"?", word,
			  near);
	else
		log_error("unknown verb \"%s\"; `reeve help` shows all", word);
	return CLI_USAGE;
}

static const struct alias *find_alias(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
		if (str_equal(aliases[i].word, word))
			return &aliases[i];
	return NULL;
}

int options_find_verb(const char *word, const struct verb **ret_verb)
{
	const struct verb *verb = verb_by_word(word);
	const struct alias *alias = find_alias(word);

	if (alias)
		verb = &verb_table[alias->verb];
	if (verb) {
		*ret_verb = verb;
		return CLI_OK;
	}
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		if (!str_equal(refusals[i].word, word))
			continue;
		log_error("%s: %s", word, refusals[i].advice);
		return CLI_UNSUPPORTED;
	}
	return unknown_verb(word);
}

static int take_verb(struct cli *cli, const char *word)
{
	const struct alias *alias = find_alias(word);
	const struct verb *verb = NULL;
	int exit_code = options_find_verb(word, &verb);

	if (exit_code != CLI_OK)
		return exit_code;
	cli->verb = (enum verb_id)(verb - verb_table);
	if (alias && alias->option != OPTION_COUNT)
		cli->given |= 1U << alias->option;
	return CLI_OK;
}

/* `reeve VERB --help` is `reeve help VERB`. */
static int turn_to_help(struct cli *cli, bool has_verb)
{
	if (cli->verb != VERB_HELP) {
		cli->n_args = has_verb ? 1 : 0;
		cli->args[cli->n_args] = NULL;
		if (has_verb)
			cli->args[0] = cli->word;
	}
	cli->verb = VERB_HELP;
	cli->given = 0;
	return CLI_OK;
}

static int check_options(const struct cli *cli)
{
	for (unsigned i = 0; i < OPTION_COUNT; i++) {
		const char *word = verb_table[cli->verb].word;

		if (!cli_has(cli, (enum cli_option)i) ||
		    options_fits((enum cli_option)i, cli->verb))
			continue;
		log_error("%s takes no --%s; see `reeve help %s`", word,
			  cli_option_table[i].word, word);
		return CLI_USAGE;
	}
	return CLI_OK;
}

/* Sorts argv into options and operands; the verb is the first operand. */
static int read_all(struct reader *r)
{
	struct cli *cli = r->cli;
	bool is_over = false; /* "--" was seen */
	int exit_code = CLI_OK;
	char *text;

	while (exit_code == CLI_OK && (text = r->argv[r->at]) != NULL) {
		r->at++;
		if (is_over || text[0] != '-' || text[1] == '\0')
			cli->args[cli->n_args++] = text;
		else if (text[1] != '-')
			exit_code = take_letters(r, text + 1);
		else if (text[2] == '\0')
			is_over = true;
		else
			exit_code = take_long(r, text + 2);
	}
	cli->args[cli->n_args] = NULL;
	return exit_code;
}

int options_parse(int argc, char **argv, struct cli *ret_cli)
{
	struct cli *cli = ret_cli;
	struct reader reader = { .argv = argv, .at = argc > 0, .cli = cli };
	int exit_code;

	*cli = (struct cli){ .verb = VERB_STATUS,
			     .timeout_usec = USEC_INFINITY,
			     .lines = CLI_LINES_DEFAULT,
			     .out = BUF_INIT(0) };
	cli->args = calloc((size_t)argc + 1, sizeof(*cli->args));
	if (!cli->args) {
		log_error("out of memory");
		return CLI_FAILED;
	}
	exit_code = read_all(&reader);
	if (exit_code != CLI_OK)
		return exit_code;

	bool has_verb = cli->n_args > 0;

	if (has_verb) {
		cli->word = cli->args[0];
		cli->n_args--;
		memmove(cli->args, cli->args + 1,
			(cli->n_args + 1) * sizeof(*cli->args));
		exit_code = take_verb(cli, cli->word);
	}
	if (exit_code != CLI_OK)
		return exit_code;
	if (cli_has(cli, OPTION_HELP))
		return turn_to_help(cli, has_verb);
	if (cli_has(cli, OPTION_VERSION))
		cli->verb = VERB_VERSION;
	return check_options(cli);
}

void options_done(struct cli *cli)
{
	free(cli->args);
	cli->args = NULL;
	buf_done(&cli->out);
}
