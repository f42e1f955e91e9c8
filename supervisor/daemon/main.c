/* reeved: options, then daemon_run(). */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "supervisor/daemon/daemon.h"
#include "workers/base/sys/log.h"

static const char usage[] =
	"usage: reeved [-c FILE] [--runtime-dir DIR] [--ignore-unsupported]\n"
	"\n"
	"Runs the workers of FILE in the foreground and keeps them alive.\n"
	"\n"
	"  -c, --config FILE      the configuration (see reeve.ini(5))\n"
	"      --runtime-dir DIR  sockets and lock; wins over runtime_dir=\n"
	"      --ignore-unsupported\n"
	"                         warn about supervisord sections that reeve\n"
	"                         has no counterpart for, instead of refusing\n"
	"  -h, --help             this text\n"
	"  -V, --version          the version\n"
	"\n"
	"`reeve check FILE` checks a configuration, `reeve` steers a running\n"
	"reeved. Signals: TERM, INT stop (twice: at once), QUIT stops at "
	"once,\n"
	"HUP reloads, USR1 reopens and rotates logs.\n";

enum { OPTION_RUNTIME_DIR = 256, OPTION_IGNORE };

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "runtime-dir", required_argument, NULL, OPTION_RUNTIME_DIR },
	{ "ignore-unsupported", no_argument, NULL, OPTION_IGNORE },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ "nodaemon", no_argument, NULL, 'n' }, /* supervisord's; we never do */
	{ 0 },
};

/* Returns -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv, struct daemon_options *options)
{
	int c;

	while ((c = getopt_long(argc, argv, "c:hVn", long_options, NULL)) >= 0)
		switch (c) {
		case 'c':
			options->config = optarg;
			break;
		case OPTION_RUNTIME_DIR:
			options->runtime_dir = optarg;
			break;
		case OPTION_IGNORE:
			options->ignore_unsupported = true;
			break;
		case 'n':
			break;
		case 'h':
			fputs(usage, stdout);
			return DAEMON_EXIT_OK;
		case 'V':
			puts("reeved " REEVE_VERSION);
			return DAEMON_EXIT_OK;
		default:
			fputs("reeved: try --help\n", stderr);
			return DAEMON_EXIT_USAGE;
		}
	if (optind == argc)
		return -1;
	fprintf(stderr,
		"reeved: \"%s\" is not an option: name the configuration with "
		"-c\n",
		argv[optind]);
	return DAEMON_EXIT_USAGE;
}

int main(int argc, char **argv)
{
	struct daemon_options options = { 0 };
	int code;

	log_init("reeved", LOG_FORMAT_AUTO, LOG_LEVEL_INFO);
	code = parse_options(argc, argv, &options);
	return code >= 0 ? code : daemon_run(&options);
}
