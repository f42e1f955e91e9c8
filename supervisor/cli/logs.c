/* The verb logs: what a worker wrote to its standard output or error.
 *
 * The daemon hands out the file, an fd and its path, and is asked for it again
 * when the path means another file; reading it is our own matter (tail.h).
 */
#include "supervisor/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/cli/client.h"
#include "supervisor/cli/options.h"
#include "supervisor/cli/tail.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/str.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"

#define LOGS_POLL_USEC (100 * USEC_PER_MSEC)
/* When the path cannot be seen from here, the daemon is asked for the log
 * again, but not at each poll. */
#define ASK_AGAIN_POLLS 10

struct request {
	struct cli *cli;
	struct client *client;
	const char *worker, *stream;
};

static int read_answer(const struct request *rq, sd_bus_message *reply,
		       struct tail_source *ret_source)
{
	struct tail_source source = TAIL_SOURCE_INIT;
	const char *path;
	int fd, r;

	r = sd_bus_message_read(reply, "hs", &fd, &path);
	if (r < 0)
		return client_strange_answer(rq->cli, r);
	source.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	source.path = strdup(path);
	if (source.fd < 0 || !source.path) {
		tail_source_done(&source);
		return client_local_failure(rq->cli, -ENOMEM);
	}
	*ret_source = source;
	return CLI_OK;
}

/* Asks the daemon for the log. Returns CLI_OK or another exit code, logged.
 * While following, a log that is not there just now (between two steps of a
 * rotation by others) is no failure: *ret_source stays empty. */
static int open_log(const struct request *rq, bool is_following,
		    struct tail_source *ret_source)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int r;

	r = client_new_call(rq->client, VERB_LOGS, &call);
	if (r >= 0)
		r = sd_bus_message_append(call, "ss", rq->worker, rq->stream);
	if (r < 0)
		return client_local_failure(rq->cli, r);
	r = client_try_call(rq->client, call, &error, &reply);
	if (r < 0 && is_following &&
	    str_equal(error.name, REEVE_ERROR_NOT_CAPTURED))
		return CLI_OK;
	if (r < 0)
		return client_failure(rq->cli, rq->client, &error, r);
	return read_answer(rq, reply, ret_source);
}

/* Each poll: what is new, then whether the file is still the right one.
 * Returns CLI_OK to go on. */
static int look_again(const struct request *rq, struct tail_reader *reader,
		      unsigned poll, int *ret_error)
{
	struct tail_source new = TAIL_SOURCE_INIT;
	bool can_be_seen;
	int exit_code;

	reeve_assert(reader->source.path);
	can_be_seen = access(reader->source.path, F_OK) == 0;
	*ret_error = tail_copy(reader);
	if (*ret_error < 0 || !tail_has_moved(&reader->source))
		return CLI_OK;
	if (!can_be_seen && poll % ASK_AGAIN_POLLS != 0)
		return CLI_OK;
	exit_code = open_log(rq, true, &new);
	if (exit_code == CLI_OK && new.fd >= 0)
		*ret_error = tail_switch(reader, &new);
	return exit_code;
}

/* Until the daemon goes, the worker goes, or SIGINT ends us. */
static int follow(const struct request *rq, struct tail_reader *reader,
		  int *ret_error)
{
	for (unsigned poll = 1;; poll++) {
		uint64_t deadline =
			usec_add(clock_monotonic_usec(), LOGS_POLL_USEC);
		int exit_code, r;

		do
			r = client_turn(rq->client, deadline);
		while (r >= 0);
		if (r != -ETIMEDOUT) {
			/* Its last words were written before it hung up. */
			*ret_error = tail_copy(reader);
			log_error("the daemon at %s has ended",
				  rq->client->path);
			return CLI_NOT_RUNNING;
		}
		exit_code = look_again(rq, reader, poll, ret_error);
		if (exit_code != CLI_OK || *ret_error < 0)
			return exit_code;
	}
}

static int write_to_stdout(void *userdata _unused_, const char *data,
			   size_t length)
{
	return fd_write_all(STDOUT_FILENO, data, length);
}

static enum filter_mode choose_mode(const struct cli *cli)
{
	if (cli_has(cli, OPTION_JSON))
		return FILTER_JSON;
	if (cli_has(cli, OPTION_RAW) || !isatty(STDOUT_FILENO))
		return FILTER_RAW;
	return FILTER_TERMINAL;
}

/* Moves to the last lines. */
static int seek_tail(const struct cli *cli, struct tail_source *source)
{
	struct stat st;

	if (fstat(source->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ESPIPE;
	return tail_find(source->fd, st.st_size, cli->lines, &source->offset);
}

static int show(const struct request *rq, struct tail_reader *reader)
{
	int exit_code = CLI_OK;
	int r = seek_tail(rq->cli, &reader->source);

	if (r == 0)
		r = tail_copy(reader);
	if (r == 0 && cli_has(rq->cli, OPTION_FOLLOW))
		exit_code = follow(rq, reader, &r);
	buf_clear(&reader->out);
	if (r == 0)
		r = filter_finish(&reader->filter, &reader->out);
	if (r == 0)
		r = reader->write(reader->userdata, buf_text(&reader->out),
				  reader->out.len);
	if (r == -EPIPE)
		return CLI_OK; /* the reader has seen enough */
	if (r < 0) {
		log_error("logs: %s: %s", rq->worker, strerror(-r));
		return CLI_FAILED;
	}
	return exit_code;
}

/* supervisorctl has the stream behind the name. */
static int choose_stream(const struct cli *cli, const char **ret_stream)
{
	*ret_stream = cli_has(cli, OPTION_STDERR) ? "stderr" : "stdout";
	if (cli->n_args == 2)
		*ret_stream = cli->args[1];
	if (cli->n_args == 0)
		return options_wrong_operands(cli, "of which worker?");
	if (cli->n_args > 2)
		return options_wrong_operands(cli, "one worker at a time");
	if (!str_equal(*ret_stream, "stdout") &&
	    !str_equal(*ret_stream, "stderr"))
		return options_wrong_operands(
			cli, "one worker at a time, then stdout or stderr");
	return CLI_OK;
}

int cli_logs(struct cli *cli)
{
	_cleanup_(client_close) struct client client = CLIENT_INIT;
	struct request rq = { .cli = cli, .client = &client };
	struct tail_reader reader = { .source = TAIL_SOURCE_INIT,
				      .write = write_to_stdout,
				      .out = BUF_INIT(0) };
	int exit_code = choose_stream(cli, &rq.stream);

	if (exit_code != CLI_OK)
		return exit_code;
	rq.worker = cli->args[0];
	reader.filter = (struct filter){ .mode = choose_mode(cli),
					 .worker = rq.worker,
					 .stream = rq.stream };
	exit_code = client_open(cli, &client);
	if (exit_code == CLI_OK)
		exit_code = open_log(&rq, false, &reader.source);
	if (exit_code == CLI_OK)
		exit_code = show(&rq, &reader);
	tail_source_done(&reader.source);
	buf_done(&reader.out);
	return exit_code;
}
