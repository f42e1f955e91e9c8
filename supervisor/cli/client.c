/* See client.h. */
#include "supervisor/cli/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "conf/conf.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/parse.h"
#include "workers/base/pure/str.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"

#define SOCKET_NAME   "/control.sock"
#define SYSTEM_SOCKET "/run/reeve" SOCKET_NAME

/* ---- finding it -------------------------------------------------------- */

static int join(const char *dir, const char *name, char **ret_path)
{
	return asprintf(ret_path, "%s%s", dir, name) < 0 ? -ENOMEM : 0;
}

/* What the user named: a socket, or the directory it is in. */
static int named_socket(const char *path, char **ret_path)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return join(path, SOCKET_NAME, ret_path);
	return join(path, "", ret_path);
}

int client_find_socket(const char *option, char **ret_path)
{
	const char *named = option ? option : getenv("REEVE_SOCKET");
	_cleanup_(free_pointer) char *dir = NULL;
	_cleanup_(free_pointer) char *path = NULL;
	int r;

	if (named && *named != '\0')
		return named_socket(named, ret_path);
	r = conf_default_runtime_dir(&dir);
	if (r == 0)
		r = join(dir, SOCKET_NAME, &path);
	if (r < 0)
		return r;
	reeve_assert(path);
	if (access(path, F_OK) < 0 && access(SYSTEM_SOCKET, F_OK) == 0)
		return join(SYSTEM_SOCKET, "", ret_path);
	*ret_path = TAKE(path);
	return 0;
}

/* ---- connecting -------------------------------------------------------- */

/* Returns a connected socket or -errno. connect(2) waits while the daemon's
 * backlog is full; the send timeout bounds that. */
static int connect_to(const char *path, uint64_t timeout_usec)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval limit = {
		.tv_sec = (time_t)(timeout_usec / USEC_PER_SEC),
		.tv_usec = (suseconds_t)(timeout_usec % USEC_PER_SEC),
	};
	_cleanup_(fd_closep) int fd = -1;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* Verbs that wait for workers have no limit of their own. */
static uint64_t choose_timeout(const struct cli *cli)
{
	const uint32_t waiting = CLI_ACTION_VERBS | CLI_VERB(WAIT) |
				 CLI_VERB(RELOAD) | CLI_VERB(SHUTDOWN);

	if (cli_has(cli, OPTION_TIMEOUT))
		return cli->timeout_usec;
	return waiting & (1U << cli->verb) ? USEC_INFINITY : CLIENT_ANSWER_USEC;
}

static int start_bus(int fd, sd_bus **ret_bus)
{
	_cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
	int r = sd_bus_new(&bus);

	if (r >= 0)
		r = sd_bus_set_fd(bus, fd, fd);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	/* From here on the fd is the bus's. */
	r = sd_bus_negotiate_fds(bus, 1);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r < 0)
		return r;
	*ret_bus = TAKE(bus);
	return 0;
}

int client_try_open(const struct cli *cli, struct client *ret_client)
{
	int fd, r;

	*ret_client = (struct client){ .timeout_usec = choose_timeout(cli) };
	r = client_find_socket(cli->socket, &ret_client->path);
	if (r < 0)
		return r;
	fd = connect_to(ret_client->path,
			MIN(ret_client->timeout_usec, CLIENT_ANSWER_USEC));
	if (fd < 0)
		return fd;
	return start_bus(fd, &ret_client->bus);
}

void client_close(struct client *client)
{
	sd_bus_close_unref(client->bus);
	free(client->path);
	*client = CLIENT_INIT;
}

bool client_is_absent(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED || error == -ENOTDIR;
}

int client_open_failure(const struct cli *cli, const struct client *client,
			int r)
{
	const char *path = client->path;

	if (client_is_absent(r))
		log_error("no daemon at %s: start one with `reeved -c FILE`, "
			  "or name its socket with -s",
			  path);
	else if (r == -EACCES || r == -EPERM)
		log_error("not allowed to connect to %s: ask as root, as the "
			  "user of reeved, or as a member of its control_group",
			  path);
	else if (r == -EAGAIN)
		log_error("the daemon at %s takes no connections: is it "
			  "stopped or overloaded? see its log",
			  path);
	else if (r == -ENAMETOOLONG)
		log_error("%s is too long for a socket: name it by a shorter "
			  "path (at most %zu bytes) with -s",
			  path,
			  sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	else
		log_error("cannot connect to %s: %s", path ? path : "a daemon",
			  strerror(-r));
	return client_exit_code(cli->verb, NULL, r);
}

int client_open(const struct cli *cli, struct client *ret_client)
{
	int r = client_try_open(cli, ret_client);

	return r < 0 ? client_open_failure(cli, ret_client, r) : CLI_OK;
}

pid_t client_daemon_pid(const struct client *client)
{
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);
	int fd = sd_bus_get_fd(client->bus);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return 0;
	return peer.pid;
}

/* ---- calling it -------------------------------------------------------- */

int client_new_call(struct client *client, enum verb_id verb,
		    sd_bus_message **ret_call)
{
	return sd_bus_message_new_method_call(client->bus, ret_call, NULL,
					      REEVE_BUS_PATH,
					      REEVE_BUS_INTERFACE,
					      verb_table[verb].member);
}

int client_turn(struct client *client, uint64_t deadline_usec)
{
	uint64_t now, left = UINT64_MAX;
	int r = sd_bus_process(client->bus, NULL);

	if (r < 0)
		return r;
	if (deadline_usec != USEC_INFINITY) {
		now = clock_monotonic_usec();
		if (now >= deadline_usec)
			return -ETIMEDOUT; /* also in a flood of signals */
		left = deadline_usec - now;
	}
	if (r > 0)
		return r;
	r = sd_bus_wait(client->bus, left);
	return r == -EINTR ? 0 : r;
}

static int on_reply(sd_bus_message *m, void *userdata,
		    sd_bus_error *ret_error _unused_)
{
	sd_bus_message **reply = userdata;

	*reply = sd_bus_message_ref(m);
	return 1;
}

int client_try_call(struct client *client, sd_bus_message *call,
		    sd_bus_error *ret_error, sd_bus_message **ret_reply)
{
	uint64_t deadline =
		usec_add(clock_monotonic_usec(), client->timeout_usec);
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	_cleanup_(sd_bus_slot_unrefp) sd_bus_slot *slot = NULL;
	int r;

	/* Without sd-bus's own timeout: it looks like a lost connection. */
	r = sd_bus_call_async(client->bus, &slot, call, on_reply, &reply,
			      UINT64_MAX);
	while (r >= 0 && !reply)
		r = client_turn(client, deadline);
	if (!reply)
		return r;
	if (sd_bus_message_is_method_error(reply, NULL)) {
		r = sd_bus_error_copy(ret_error,
				      sd_bus_message_get_error(reply));
		return r < 0 ? r : -EIO;
	}
	*ret_reply = TAKE(reply);
	return 0;
}

int client_call(const struct cli *cli, struct client *client,
		sd_bus_message *call, sd_bus_message **ret_reply)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = client_try_call(client, call, &error, ret_reply);

	return r < 0 ? client_failure(cli, client, &error, r) : CLI_OK;
}

/* ---- what it says of itself -------------------------------------------- */

static int read_string(sd_bus_message *m, char **ret_text)
{
	const char *text;
	int r = sd_bus_message_read(m, "v", "s", &text);

	if (r < 0)
		return r;
	free(*ret_text);
	*ret_text = strdup(text);
	return *ret_text ? 0 : -ENOMEM;
}

/* One entry of the dictionary that GetAll returns. */
static int read_property(sd_bus_message *m, struct client_info *info)
{
	const char *name;
	int r = sd_bus_message_read_basic(m, 's', &name);

	if (r < 0)
		return r;
	if (str_equal(name, "Version"))
		return read_string(m, &info->version);
	if (str_equal(name, "Guarantee"))
		return read_string(m, &info->guarantee);
	if (str_equal(name, "ConfigFile"))
		return read_string(m, &info->config_file);
	if (str_equal(name, "Strays"))
		return sd_bus_message_read(m, "v", "u", &info->n_strays);
	return sd_bus_message_skip(m, "v");
}

static int read_info(sd_bus_message *m, struct client_info *info)
{
	int r = sd_bus_message_enter_container(m, 'a', "{sv}");

	while (r >= 0) {
		r = sd_bus_message_enter_container(m, 'e', "sv");
		if (r <= 0)
			return r;
		r = read_property(m, info);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	return r;
}

int client_get_info(struct client *client, struct client_info *ret_info)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	struct client_info info = { 0 };
	int r;

	r = sd_bus_message_new_method_call(client->bus, &call, NULL,
					   REEVE_BUS_PATH,
					   "org.freedesktop.DBus.Properties",
					   "GetAll");
	if (r >= 0)
		r = sd_bus_message_append(call, "s", REEVE_BUS_INTERFACE);
	if (r >= 0)
		r = client_try_call(client, call, &error, &reply);
	if (r >= 0)
		r = read_info(reply, &info);
	if (r < 0) {
		client_info_done(&info);
		return r;
	}
	*ret_info = info;
	return 0;
}

void client_info_done(struct client_info *info)
{
	free(info->version);
	free(info->guarantee);
	free(info->config_file);
	*info = (struct client_info){ 0 };
}

/* ---- wording what failed ----------------------------------------------- */

struct failure {
	const char *name; /* of the D-Bus error */
	enum cli_exit exit_code;
	const char *advice;
};

#define OTHER_VERSION "the daemon is of another version: see `reeve version`"

static const struct failure failures[] = {
	/* without advice: the daemon's sentence gives it */
	{ REEVE_ERROR_NO_SUCH_WORKER, CLI_NO_WORKER, NULL },
	{ SD_BUS_ERROR_ACCESS_DENIED, CLI_PRIVILEGE, NULL },
	{ REEVE_ERROR_NOT_CAPTURED, CLI_FAILED, NULL },
	{ REEVE_ERROR_CONFIG, CLI_CONFIG, NULL },
	{ REEVE_ERROR_STOPPING, CLI_FAILED, NULL },
	{ REEVE_ERROR_INVALID, CLI_USAGE, NULL },
	{ REEVE_ERROR_BUSY, CLI_FAILED, "try again in a moment" },
	{ SD_BUS_ERROR_INVALID_ARGS, CLI_USAGE, NULL },
	{ SD_BUS_ERROR_LIMITS_EXCEEDED, CLI_FAILED, "try again in a moment" },
	{ SD_BUS_ERROR_NO_MEMORY, CLI_FAILED, "try again in a moment" },
	{ SD_BUS_ERROR_UNKNOWN_METHOD, CLI_UNSUPPORTED, OTHER_VERSION },
	{ SD_BUS_ERROR_UNKNOWN_OBJECT, CLI_UNSUPPORTED, OTHER_VERSION },
	{ SD_BUS_ERROR_UNKNOWN_INTERFACE, CLI_UNSUPPORTED, OTHER_VERSION },
	{ SD_BUS_ERROR_NO_REPLY, CLI_NOT_RUNNING, NULL },
	{ SD_BUS_ERROR_DISCONNECTED, CLI_NOT_RUNNING, NULL },
};

static const struct failure *find_failure(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(failures); i++)
		if (str_equal(failures[i].name, name))
			return &failures[i];
	return NULL;
}

static enum cli_exit exit_of_errno(int error)
{
	if (client_is_absent(error))
		return CLI_NOT_RUNNING;
	switch (-error) {
	case ECONNRESET:
	case ENOTCONN:
	case EPIPE:
	case ESHUTDOWN:
		return CLI_NOT_RUNNING;
	case EACCES:
	case EPERM:
		return CLI_PRIVILEGE;
	}
	return CLI_FAILED;
}

int client_exit_code(enum verb_id verb, const char *error_name, int error)
{
	const struct failure *f = error_name ? find_failure(error_name) : NULL;
	enum cli_exit exit_code = f ? f->exit_code : CLI_FAILED;

	if (!error_name)
		exit_code = exit_of_errno(error);
	/* LSB: all that status could not find out is one code. */
	if (verb == VERB_STATUS && exit_code != CLI_USAGE)
		return CLI_STATUS_UNKNOWN;
	return exit_code;
}

void client_log_lines(const char *text, const char *advice)
{
	_cleanup_(free_pointer) char *copy = strdup(text);
	char *rest = copy, *line;

	while (rest && (line = strsep(&rest, "\n")) != NULL) {
		bool is_last = !rest || *rest == '\0';

		if (is_last && advice)
			log_error("%s; %s", line, advice);
		else
			log_error("%s", line);
		if (is_last)
			break;
	}
}

int client_failure(const struct cli *cli, const struct client *client,
		   const sd_bus_error *error, int r)
{
	const struct failure *f = find_failure(error->name);
	int exit_code = client_exit_code(VERB_HELP, error->name, r);
	char span[USEC_TEXT_MAX];

	if (exit_code == CLI_NOT_RUNNING)
		log_error("the daemon at %s hung up: it ended, or this user "
			  "has too many connections to it; see its log",
			  client->path);
	else if (error->name)
		client_log_lines(error->message ? error->message : error->name,
				 f ? f->advice : NULL);
	else if (r == -ETIMEDOUT)
		log_error("the daemon at %s has not answered within %s: is it "
			  "stopped? see its log",
			  client->path, usec_text(client->timeout_usec, span));
	else
		log_error("cannot talk to the daemon at %s: %s", client->path,
			  strerror(-r));
	return client_exit_code(cli->verb, error->name, r);
}

int client_local_failure(const struct cli *cli, int r)
{
	if (r == -EINVAL) {
		log_error("%s: arguments must be UTF-8 text",
			  verb_table[cli->verb].word);
		return CLI_USAGE;
	}
	log_error("%s: cannot build the request: %s",
		  verb_table[cli->verb].word, strerror(-r));
	return CLI_FAILED;
}

int client_strange_answer(const struct cli *cli, int r)
{
	log_error("%s: cannot read the daemon's answer: %s; " OTHER_VERSION,
		  verb_table[cli->verb].word, strerror(-r));
	return cli->verb == VERB_STATUS ? CLI_STATUS_UNKNOWN : CLI_FAILED;
}
