/* The connection to a daemon: finding it, calling it, wording what failed.
 *
 * D-Bus peer to peer over the control socket, without a broker. A call waits
 * in its own loop, so that signals that arrive meanwhile are dropped instead
 * of piling up, however long the wait is. client_try_... do not log; the
 * others log once and return an exit code.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <systemd/sd-bus.h>

#include "supervisor/cli/cli.h"

/* How long a daemon may take over what it answers at once. Verbs that wait for
 * something wait as long as it takes, or as --timeout says. */
#define CLIENT_ANSWER_USEC (25 * USEC_PER_SEC)

struct client {
	sd_bus *bus;
	char *path; /* of the socket; set also when nobody is there */
	uint64_t timeout_usec; /* of each call */
};

#define CLIENT_INIT ((struct client){ 0 })

/* The socket that option (-s, or NULL), or REEVE_SOCKET names, else the usual place; a
 * directory means control.sock in it. Returns 0 with a new string, or
 * -errno. */
int client_find_socket(const char *option, char **ret_path);

/* Connects. Returns 0 or -errno: -ENOENT, -ECONNREFUSED, -ENOTDIR (nobody
 * there), -EACCES, -ENAMETOOLONG, -EAGAIN (does not take connections). */
int client_try_open(const struct cli *cli, struct client *ret_client);
void client_close(struct client *client);

/* True when the error means that there is no daemon. */
bool client_is_absent(int error);

/* The same, logged. Returns CLI_OK or another exit code. */
int client_open(const struct cli *cli, struct client *ret_client);

/* An empty call of the verb's member, to append arguments to. */
int client_new_call(struct client *client, enum verb_id verb,
		    sd_bus_message **ret_call);

/* Calls and waits. Returns 0, or -errno: -ETIMEDOUT, -ECONNRESET and the like
 * from here; otherwise *ret_error (begin with SD_BUS_ERROR_NULL, free it)
 * tells what the daemon said. */
int client_try_call(struct client *client, sd_bus_message *call,
		    sd_bus_error *ret_error, sd_bus_message **ret_reply);
int client_call(const struct cli *cli, struct client *client,
		sd_bus_message *call, sd_bus_message **ret_reply);

/* One round of the connection, at most until the deadline (CLOCK_MONOTONIC):
 * for those who wait for its end. Returns >= 0, or -errno when it is gone, or
 * -ETIMEDOUT. */
int client_turn(struct client *client, uint64_t deadline_usec);

/* What the daemon says of itself. */
struct client_info {
	char *version, *guarantee, *config_file; /* NULL: not told */
	uint32_t n_strays; /* processes that belong to no worker */
};

/* Returns 0 or -errno. */
int client_get_info(struct client *client, struct client_info *ret_info);
void client_info_done(struct client_info *info);

/* The process at the other end, or 0 when that cannot be told. */
pid_t client_daemon_pid(const struct client *client);

/* What a failed call means: name of the D-Bus error (or NULL) and -errno. */
int client_exit_code(enum verb_id verb, const char *error_name, int error);

/* Each logs and returns the exit code: a failed client_try_open(); a failed
 * client_try_call(); a request that could not be built; an answer that is not
 * what the verb table says. */
int client_open_failure(const struct cli *cli, const struct client *client,
			int r);
int client_failure(const struct cli *cli, const struct client *client,
		   const sd_bus_error *error, int r);
int client_local_failure(const struct cli *cli, int r);
int client_strange_answer(const struct cli *cli, int r);

/* Logs each line of text as an error of its own; advice (or NULL) goes behind
 * the last. */
void client_log_lines(const char *text, const char *advice);
