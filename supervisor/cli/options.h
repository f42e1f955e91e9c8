/* Arguments of `reeve`: options anywhere, one verb, its operands.
 *
 * "-s X", "-sX", "--socket X", "--socket=X"; letters may be bundled; "--" ends
 * options; "-25" means "-n 25" as tail has it. No verb means status.
 * supervisorctl's words are taken as our verbs, or answered with what to use
 * instead.
 */
#pragma once

#include <stdbool.h>

#include "supervisor/cli/cli.h"

/* supervisorctl's words that mean one of ours: word, verb, option or
 * OPTION_COUNT */
#define OPTIONS_ALIASES(X)                                                     \
	X("avail", STATUS, OPTION_COUNT)                                       \
	X("reread", RELOAD, OPTION_DRY_RUN)                                    \
	X("update", RELOAD, OPTION_COUNT)                                      \
	X("tail", LOGS, OPTION_COUNT)

/* Those that have no counterpart: word, what to do instead */
#define OPTIONS_REFUSED(X)                                                     \
	X("maintail", "reeved logs to its standard error: see `journalctl -u " \
		      "reeved`, or logfile= in [reeve]")                       \
	X("fg", "use `reeve logs -f WORKER` to watch it")                      \
	X("open", "use `reeve -s SOCKET VERB` to talk to another daemon")      \
	X("clear", "logs rotate by themselves; `reeve reopen` rotates now")    \
	X("add", "`reeve reload` starts what is new in the configuration")     \
	X("remove", "take it out of the configuration, then `reeve reload`")   \
	X("exit", "there is no interactive mode: every call is one verb")      \
	X("quit", "there is no interactive mode; `reeve shutdown` ends "       \
		  "reeved")

/* Fills *ret_cli (begin with zeroes; options_done() it also after a failure).
 * Returns CLI_OK, or CLI_USAGE or CLI_UNSUPPORTED, logged. */
int options_parse(int argc, char **argv, struct cli *ret_cli);
void options_done(struct cli *cli);

/* True when verb takes the option. */
bool options_fits(enum cli_option option, enum verb_id verb);

/* The verb that a word means, supervisorctl's words included. Returns CLI_OK,
 * or CLI_USAGE or CLI_UNSUPPORTED, logged. */
int options_find_verb(const char *word, const struct verb **ret_verb);

/* Says that the operands of the verb are wrong, and what is right. Returns
 * CLI_USAGE. */
int options_wrong_operands(const struct cli *cli, const char *problem);
