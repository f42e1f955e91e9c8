/* The program `reeve`: what was asked, and how it ends.
 *
 * One struct holds the request: the verb, its operands, the options given. A
 * handler per row of the verb table (core/verbs.h) acts on it, appends what it
 * has to say to .out, logs what went wrong, and returns an exit code. Output
 * is collected and written at once, at the end; only `logs` writes as it goes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/core/verbs.h"
#include "workers/base/pure/buf.h"
#include "workers/base/pure/usec.h"

#ifndef REEVE_VERSION /* the Makefile's */
#define REEVE_VERSION "unknown"
#endif

/* What `reeve` exits with, after LSB: for `status`, and for all other verbs.
 * name, code, who, meaning */
#define CLI_EXITS(X)                                                           \
	X(OK, 0, "all",                                                        \
	  "done, or already so; status: every worker is where it "             \
	  "should be")                                                         \
	X(FAILED, 1, "all",                                                    \
	  "a worker could not, the time was over, or another "                 \
	  "error")                                                             \
	X(USAGE, 2, "all", "wrong arguments")                                  \
	X(FAULT, 3, "status", "a worker is not in the state it should be in")  \
	X(UNSUPPORTED, 3, "other", "supervisorctl's verb has no counterpart")  \
	X(STATUS_UNKNOWN, 4, "status",                                         \
	  "no worker of that name, no daemon, or not allowed to ask")          \
	X(PRIVILEGE, 4, "other", "not allowed")                                \
	X(NO_WORKER, 5, "other", "no worker of that name")                     \
	X(CONFIG, 6, "other", "the configuration has errors")                  \
	X(NOT_RUNNING, 7, "other", "no daemon")

enum cli_exit {
#define X(name, code, who, text) CLI_##name = (code),
	CLI_EXITS(X)
#undef X
};

#define CLI_VERB(id)  (1U << VERB_##id)
#define CLI_ALL_VERBS UINT32_MAX
#define CLI_ACTION_VERBS                                                       \
	(CLI_VERB(START) | CLI_VERB(STOP) | CLI_VERB(RESTART) |                \
	 CLI_VERB(RECYCLE))

/* id, letter or 0, word, its value or NULL, verbs that take it, what it does
 * (NULL: not for people, left out of help) */
#define CLI_OPTIONS(X)                                                         \
	X(SOCKET, 's', "socket", "SOCKET", CLI_ALL_VERBS,                      \
	  "the daemon's control socket, or the directory it is in")            \
	X(JSON, 0, "json", NULL, CLI_ALL_VERBS, "print JSON")                  \
	X(QUIET, 'q', "quiet", NULL, CLI_ALL_VERBS, "print errors only")       \
	X(TIMEOUT, 0, "timeout", "SPAN", CLI_ALL_VERBS,                        \
	  "wait no longer than this (\"5\", \"1min 30s\")")                    \
	X(NO_WAIT, 0, "no-wait", NULL, CLI_ACTION_VERBS | CLI_VERB(SHUTDOWN),  \
	  "return when the daemon has accepted it")                            \
	X(NOW, 0, "now", NULL, CLI_VERB(STOP) | CLI_VERB(SHUTDOWN),            \
	  "kill at once instead of asking to end")                             \
	X(DRY_RUN, 0, "dry-run", NULL, CLI_VERB(RELOAD),                       \
	  "show what would change, change nothing")                            \
	X(FOLLOW, 'f', "follow", NULL, CLI_VERB(LOGS),                         \
	  "go on as the worker writes more")                                   \
	X(LINES, 'n', "lines", "LINES", CLI_VERB(LOGS),                        \
	  "begin with the last so many lines; 10 without this")                \
	X(STDERR, 0, "stderr", NULL, CLI_VERB(LOGS),                           \
	  "its standard error instead of its standard output")                 \
	X(RAW, 0, "raw", NULL, CLI_VERB(LOGS),                                 \
	  "control characters to the terminal as they are")                    \
	X(SECRETS, 0, "secrets", NULL, CLI_VERB(CONFIG),                       \
	  "values of environment= too")                                        \
	X(IGNORE_UNSUPPORTED, 0, "ignore-unsupported", NULL,                   \
	  CLI_VERB(CHECK) | CLI_VERB(CONFIG),                                  \
	  "only warn about supervisord's sections that have no meaning here")  \
	X(NAMES, 0, "names", NULL, CLI_VERB(STATUS), NULL)                     \
	X(WORDS, 0, "words", NULL, CLI_VERB(HELP), NULL)                       \
	X(HELP, 'h', "help", NULL, CLI_ALL_VERBS, "show what a verb does")     \
	X(VERSION, 'V', "version", NULL, CLI_ALL_VERBS, "show versions")

enum cli_option {
#define X(id, letter, word, value, verbs, text) OPTION_##id,
	CLI_OPTIONS(X)
#undef X
		OPTION_COUNT
};

struct cli_option_row {
	char letter;
	const char *word, *value;
	uint32_t verbs;
	const char *help;
};

extern const struct cli_option_row cli_option_table[OPTION_COUNT];

#define CLI_LINES_DEFAULT 10

struct cli {
	enum verb_id verb;
	char *word;  /* the verb as it was written; NULL: none was */
	char **args; /* operands, NULL-terminated; points into argv */
	size_t n_args;
	uint32_t given;	       /* bit per enum cli_option */
	const char *socket;    /* of -s, or NULL */
	uint64_t timeout_usec; /* USEC_INFINITY: none given */
	uint64_t lines;
	struct buf out; /* what goes to standard output at the end */
};

static inline bool cli_has(const struct cli *cli, enum cli_option option)
{
	return cli->given & (1U << option);
}

/* The whole program but for main(): reads arguments, acts, writes. Blocks.
 * Returns the exit code; everything that is wrong was logged. */
int cli_run(int argc, char **argv);

/* Handlers, each in the file of its noun. They return enum cli_exit. */
int cli_status(struct cli *cli);
int cli_pid(struct cli *cli);
int cli_act(struct cli *cli); /* start, stop, restart, recycle */
int cli_signal(struct cli *cli);
int cli_wait(struct cli *cli);
int cli_reload(struct cli *cli);
int cli_reopen(struct cli *cli);
int cli_shutdown(struct cli *cli);
int cli_logs(struct cli *cli);
int cli_config(struct cli *cli);
int cli_check(struct cli *cli);
int cli_version(struct cli *cli);
int cli_help(struct cli *cli);
