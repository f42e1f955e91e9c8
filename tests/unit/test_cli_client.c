#include "supervisor/cli/client.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/lib/fakedaemon.h"
#include "tests/lib/unit.h"
#include "workers/base/sys/clock.h"

/* ---- exit codes --------------------------------------------------------- */

/* Every error that a daemon or the connection can answer with. */
static const struct {
	const char *name;
	int error;
	int for_status, for_others;
} codes[] = {
	{ REEVE_ERROR_NO_SUCH_WORKER, -EIO, 4, 5 },
	{ REEVE_ERROR_CONFIG, -EIO, 4, 6 },
	{ REEVE_ERROR_STOPPING, -EIO, 4, 1 },
	{ REEVE_ERROR_INVALID, -EIO, 2, 2 },
	{ REEVE_ERROR_BUSY, -EIO, 4, 1 },
	{ REEVE_ERROR_NOT_CAPTURED, -EIO, 4, 1 },
	{ SD_BUS_ERROR_ACCESS_DENIED, -EACCES, 4, 4 },
	{ SD_BUS_ERROR_INVALID_ARGS, -EINVAL, 2, 2 },
	{ SD_BUS_ERROR_LIMITS_EXCEEDED, -ENOBUFS, 4, 1 },
	{ SD_BUS_ERROR_NO_MEMORY, -ENOMEM, 4, 1 },
	{ SD_BUS_ERROR_UNKNOWN_METHOD, -EBADR, 4, 3 },
	{ SD_BUS_ERROR_UNKNOWN_OBJECT, -EBADR, 4, 3 },
	{ SD_BUS_ERROR_UNKNOWN_INTERFACE, -EBADR, 4, 3 },
	{ SD_BUS_ERROR_NO_REPLY, -ETIMEDOUT, 4, 7 },
	{ SD_BUS_ERROR_DISCONNECTED, -ECONNRESET, 4, 7 },
	{ "org.example.Unheard", -EIO, 4, 1 },
	{ NULL, -ENOENT, 4, 7 },
	{ NULL, -ECONNREFUSED, 4, 7 },
	{ NULL, -ENOTDIR, 4, 7 },
	{ NULL, -ECONNRESET, 4, 7 },
	{ NULL, -ENOTCONN, 4, 7 },
	{ NULL, -EPIPE, 4, 7 },
	{ NULL, -ESHUTDOWN, 4, 7 },
	{ NULL, -EACCES, 4, 4 },
	{ NULL, -EPERM, 4, 4 },
	{ NULL, -ETIMEDOUT, 4, 1 },
	{ NULL, -EAGAIN, 4, 1 },
	{ NULL, -ENOMEM, 4, 1 },
	{ NULL, -ENAMETOOLONG, 4, 1 },
};

START_TEST(test_exit_codes)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		for (unsigned v = 0; v < VERB_COUNT; v++)
			ck_assert_msg(client_exit_code((enum verb_id)v,
						       codes[i].name,
						       codes[i].error) ==
					      (v == VERB_STATUS
						       ? codes[i].for_status
						       : codes[i].for_others),
				      "row %zu, %s", i, verb_table[v].word);
	}
}
END_TEST

static const char *error_name;

static int answer_error(sd_bus_message *m _unused_, enum verb_id verb _unused_,
			sd_bus_error *error)
{
	return sd_bus_error_set(error, error_name,
				"the \x1b[31msentence\nand a second line");
}

/* The same over a connection, with what is said. */
START_TEST(test_errors_of_a_daemon)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		static const struct {
			const char *verb, *arguments[2];
		} calls[] = {
			{ "status", { NULL } },
			{ "start", { "a" } },
			{ "stop", { "a" } },
			{ "restart", { "a" } },
			{ "recycle", { "a" } },
			{ "signal", { "HUP", "a" } },
			{ "wait", { "RUNNING", "a" } },
			{ "reload", { NULL } },
			{ "logs", { "a" } },
			{ "reopen", { NULL } },
			{ "config", { NULL } },
		};
		struct fake_daemon daemon;

		if (!codes[i].name || codes[i].for_others == 7)
			continue;
		error_name = codes[i].name;
		fake_start(&daemon, answer_error);
		for (size_t k = 0; k < ARRAY_SIZE(calls); k++) {
			struct cli_result result =
				fake_run(&daemon, calls[k].verb,
					 calls[k].arguments[0],
					 calls[k].arguments[1], NULL);

			ck_assert_msg(result.exit_code ==
					      (k == 0 ? codes[i].for_status
						      : codes[i].for_others),
				      "%s: %s: %d: %s", error_name,
				      calls[k].verb, result.exit_code,
				      result.err);
			ck_assert_str_eq(result.out, "");
			/* escaped, one line each */
			ck_assert_ptr_nonnull(strstr(
				result.err,
				"reeve: the \\x1b[31msentence\nreeve: and a "
				"second line"));
			ck_assert_ptr_null(strchr(result.err, '\x1b'));
			cli_result_done(&result);
		}
		fake_stop(&daemon);
	}
}
END_TEST

static int answer_and_end(sd_bus_message *m _unused_,
			  enum verb_id verb _unused_,
			  sd_bus_error *error _unused_)
{
	return fake_end();
}

START_TEST(test_daemon_dies_during_a_call)
{
	struct fake_daemon daemon;
	struct cli_result result;

	fake_start(&daemon, answer_and_end);
	result = fake_run(&daemon, "start", "a", NULL);
	ck_assert_int_eq(result.exit_code, CLI_NOT_RUNNING);
	ck_assert_ptr_nonnull(strstr(result.err, "hung up"));
	cli_result_done(&result);
	fake_stop(&daemon);
}
END_TEST

/* ---- no daemon ---------------------------------------------------------- */

START_TEST(test_no_daemon)
{
	static const char *const verbs[] = { "start", "stop", "restart",
					     "recycle", "pid" };
	const char *path = unit_path("nobody.sock");
	struct cli_result result;

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		result = fake_run(NULL, verbs[i], "a", "-s", path, NULL);
		ck_assert_int_eq(result.exit_code, CLI_NOT_RUNNING);
		ck_assert_ptr_nonnull(strstr(result.err, path));
		ck_assert_ptr_nonnull(strstr(result.err, "reeved -c FILE"));
		ck_assert_str_eq(result.out, "");
		cli_result_done(&result);
	}
	result = fake_run(NULL, "-s", path, NULL);
	ck_assert_int_eq(result.exit_code, CLI_STATUS_UNKNOWN);
	ck_assert_ptr_nonnull(strstr(result.err, "no daemon at"));
	cli_result_done(&result);
	/* version says so, and is no failure */
	result = fake_run(NULL, "version", "-s", path, NULL);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	ck_assert_ptr_nonnull(strstr(result.out, "no daemon at"));
	cli_result_done(&result);
}
END_TEST

/* A daemon that died leaves a socket that nobody listens on; or there is
 * something else in its place. */
START_TEST(test_not_a_daemon)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = unit_path("dead.sock");
	const char *file = unit_file("file", "x");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct cli_result result;

	memcpy(address.sun_path, path, strlen(path) + 1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)),
			 0);
	close(fd);
	result = fake_run(NULL, "stop", "a", "-s", path, NULL);
	ck_assert_int_eq(result.exit_code, CLI_NOT_RUNNING);
	ck_assert_ptr_nonnull(strstr(result.err, "no daemon at"));
	cli_result_done(&result);
	result = fake_run(NULL, "stop", "a", "-s", file, NULL);
	ck_assert_int_eq(result.exit_code, CLI_NOT_RUNNING);
	cli_result_done(&result);
}
END_TEST

START_TEST(test_long_paths)
{
	char path[200];
	struct cli_result result;

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[108] = '\0'; /* one more than fits */
	result = fake_run(NULL, "stop", "a", "-s", path, NULL);
	ck_assert_int_eq(result.exit_code, CLI_FAILED);
	ck_assert_ptr_nonnull(strstr(result.err, "at most 107 bytes"));
	cli_result_done(&result);
	path[107] = '\0';
	result = fake_run(NULL, "stop", "a", "-s", path, NULL);
	ck_assert_int_eq(result.exit_code, CLI_NOT_RUNNING);
	cli_result_done(&result);
}
END_TEST

static void stop_as_nobody(void *path)
{
	struct cli_result result;

	if (setgid(65534) < 0 || setuid(65534) < 0)
		_exit(99);
	result = fake_run(NULL, "stop", "a", "-s", (char *)path, NULL);
	_exit(result.exit_code);
}

START_TEST(test_not_allowed_to_connect)
{
	char *path;

	if (unit_lacks_root("a client of another user"))
		return;
	path = strdup(unit_path("control.sock"));
	ck_assert_int_eq(chmod(unit_tmpdir(), 0700), 0);
	ck_assert_int_eq(unit_fork(stop_as_nobody, path, NULL), CLI_PRIVILEGE);
	free(path);
}
END_TEST

/* ---- silence ------------------------------------------------------------ */

/* Takes connections and never says a word. */
START_TEST(test_a_daemon_that_is_stopped)
{
	struct fake_daemon daemon;
	struct cli_result result;
	uint64_t begin;

	fake_start(&daemon, answer_and_end);
	ck_assert_int_eq(kill(daemon.pid, SIGSTOP), 0);
	begin = clock_monotonic_usec();
	result = fake_run(&daemon, "status", "a", "--timeout=50ms", NULL);
	ck_assert_int_eq(result.exit_code, CLI_STATUS_UNKNOWN);
	ck_assert_ptr_nonnull(strstr(result.err, "has not answered within"));
	ck_assert_uint_ge(clock_monotonic_usec() - begin, 50000);
	cli_result_done(&result);
	fake_stop(&daemon);
}
END_TEST

static int answer_with_a_flood(sd_bus_message *m, enum verb_id verb _unused_,
			       sd_bus_error *error _unused_)
{
	sd_bus *bus = sd_bus_message_get_bus(m);

	for (int i = 0; i < 5000; i++)
		(void)sd_bus_emit_signal(bus, REEVE_BUS_PATH,
					 REEVE_BUS_INTERFACE, "StateChanged",
					 "s", "web:0");
	return sd_bus_reply_method_return(m, "");
}

/* Signals in front of an answer are dropped on the way. */
START_TEST(test_signals_meanwhile)
{
	struct fake_daemon daemon;
	struct cli_result result;

	fake_start(&daemon, answer_with_a_flood);
	result = fake_run(&daemon, "reopen", NULL);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	ck_assert_str_eq(result.out, "log files reopened\n");
	cli_result_done(&result);
	fake_stop(&daemon);
}
END_TEST

static int answer_of_other_type(sd_bus_message *m, enum verb_id verb _unused_,
				sd_bus_error *error _unused_)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

	sd_bus_message_new_method_return(m, &reply);
	sd_bus_message_append(reply, "as", 1, "surprise");
	return sd_bus_send(NULL, reply, NULL);
}

/* A daemon of another version. */
START_TEST(test_strange_answers)
{
	static const struct {
		const char *verb, *argument;
	} calls[] = {
		{ "status", NULL }, { "start", "a" },	{ "logs", "a" },
		{ "reload", NULL }, { "config", NULL }, { "pid", "a" },
	};
	struct fake_daemon daemon;

	fake_out = "as";
	fake_start(&daemon, answer_of_other_type);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		struct cli_result result = fake_run(&daemon, calls[i].verb,
						    calls[i].argument, NULL);

		ck_assert_msg(result.exit_code == (i == 0 ? CLI_STATUS_UNKNOWN
							  : CLI_FAILED),
			      "%s: %d", calls[i].verb, result.exit_code);
		ck_assert_msg(strstr(result.err, "another version"), "%s: %s",
			      calls[i].verb, result.err);
		cli_result_done(&result);
	}
	fake_stop(&daemon);
}
END_TEST

START_TEST(test_arguments_must_be_utf8)
{
	struct fake_daemon daemon;
	struct cli_result result;

	fake_start(&daemon, answer_and_end);
	result = fake_run(&daemon, "start", "\xff", NULL);
	ck_assert_int_eq(result.exit_code, CLI_USAGE);
	ck_assert_ptr_nonnull(strstr(result.err, "UTF-8"));
	cli_result_done(&result);
	fake_stop(&daemon);
}
END_TEST

/* ---- finding it --------------------------------------------------------- */

START_TEST(test_find_socket)
{
	char *dir = strdup(unit_tmpdir());
	char expected[256], *path;

	/* an option wins over the environment; a directory means its socket */
	setenv("REEVE_SOCKET", "/env/x.sock", 1);
	ck_assert_int_eq(client_find_socket("/opt/y.sock", &path), 0);
	ck_assert_str_eq(path, "/opt/y.sock");
	free(path);
	ck_assert_int_eq(client_find_socket(dir, &path), 0);
	snprintf(expected, sizeof(expected), "%s/control.sock", dir);
	ck_assert_str_eq(path, expected);
	free(path);

	ck_assert_int_eq(client_find_socket(NULL, &path), 0);
	ck_assert_str_eq(path, "/env/x.sock");
	free(path);
	setenv("REEVE_SOCKET", dir, 1);
	ck_assert_int_eq(client_find_socket(NULL, &path), 0);
	ck_assert_str_eq(path, expected);
	free(path);

	/* an empty variable is none */
	setenv("REEVE_SOCKET", "", 1);
	ck_assert_int_eq(client_find_socket(NULL, &path), 0);
	ck_assert_str_ne(path, "");
	ck_assert_str_eq(strrchr(path, '/'), "/control.sock");
	free(path);
	free(dir);
}
END_TEST

static void find_as_user(void *dir)
{
	char expected[256], *path = NULL;

	if (getuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
		_exit(99);
	unsetenv("REEVE_SOCKET");
	setenv("XDG_RUNTIME_DIR", dir, 1);
	snprintf(expected, sizeof(expected), "%s/reeve/control.sock",
		 (char *)dir);
	if (client_find_socket(NULL, &path) < 0)
		_exit(1);
	/* the system's one is taken only when it is there */
	_exit(strcmp(path, access("/run/reeve/control.sock", F_OK) == 0
				   ? "/run/reeve/control.sock"
				   : expected) == 0
		      ? 0
		      : 2);
}

START_TEST(test_find_socket_of_a_user)
{
	char *dir = strdup(unit_tmpdir());

	ck_assert_int_eq(unit_fork(find_as_user, dir, NULL), 0);
	free(dir);
}
END_TEST

START_TEST(test_a_directory_as_socket)
{
	struct fake_daemon daemon;
	struct cli_result result;

	fake_start(&daemon, answer_with_a_flood);
	result = fake_run(NULL, "-s", unit_tmpdir(), "reopen", NULL);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	cli_result_done(&result);
	fake_stop(&daemon);
}
END_TEST

UNIT_MAIN("cli_client", test_exit_codes, test_errors_of_a_daemon,
	  test_daemon_dies_during_a_call, test_no_daemon, test_not_a_daemon,
	  test_long_paths, test_not_allowed_to_connect,
	  test_a_daemon_that_is_stopped, test_signals_meanwhile,
	  test_strange_answers, test_arguments_must_be_utf8, test_find_socket,
	  test_find_socket_of_a_user, test_a_directory_as_socket)
