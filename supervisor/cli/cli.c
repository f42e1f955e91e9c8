/* See cli.h. */
#include "supervisor/cli/cli.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/cli/options.h"
#include "workers/base/pure/macro.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"

static int (*const handlers[VERB_COUNT])(struct cli *cli) = {
	[VERB_STATUS] = cli_status,   [VERB_START] = cli_act,
	[VERB_STOP] = cli_act,	      [VERB_RESTART] = cli_act,
	[VERB_RECYCLE] = cli_act,     [VERB_SIGNAL] = cli_signal,
	[VERB_WAIT] = cli_wait,	      [VERB_RELOAD] = cli_reload,
	[VERB_LOGS] = cli_logs,	      [VERB_REOPEN] = cli_reopen,
	[VERB_CONFIG] = cli_config,   [VERB_SHUTDOWN] = cli_shutdown,
	[VERB_CHECK] = cli_check,     [VERB_PID] = cli_pid,
	[VERB_VERSION] = cli_version, [VERB_HELP] = cli_help,
};

/* One write for all. Somebody who has read enough (head, less) is no error. */
static int write_output(struct cli *cli)
{
	int r = cli->out.error;

	if (r == 0)
		r = fd_write_all(STDOUT_FILENO, buf_text(&cli->out),
				 cli->out.len);
	if (r == 0 || r == -EPIPE)
		return CLI_OK;
	log_error("cannot write to standard output: %s", strerror(-r));
	return CLI_FAILED;
}

int cli_run(int argc, char **argv)
{
	_cleanup_(options_done) struct cli cli = { 0 };
	int exit_code, written;

	log_init("reeve", LOG_FORMAT_PLAIN, LOG_LEVEL_INFO);
	exit_code = options_parse(argc, argv, &cli);
	if (exit_code != CLI_OK)
		return exit_code;
	exit_code = handlers[cli.verb](&cli);
	written = write_output(&cli);
	return written == CLI_OK ? exit_code : written;
}
