#include "supervisor/cli/cli.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/fakedaemon.h"
#include "tests/lib/jsontext.h"
#include "tests/lib/unit.h"

static const char good[] = "[reeve]\n"
			   "cgroup = off\n"
			   "[worker:web]\n"
			   "command = /bin/true\n"
			   "numprocs = 3\n"
			   "process_name = %(program_name)s_%(process_num)d\n"
			   "environment = SECRET=\"hush\"\n"
			   "[worker:mail]\n"
			   "command = /bin/true\n";

static const char bad[] = "[worker:web]\n"
			  "comand = /bin/true\n"
			  "numprocs = many\n";

/* No daemon and no file of this machine gets into the tests. */
static void isolate(void)
{
	char *dir = strdup(unit_tmpdir());

	unsetenv("REEVE_SOCKET");
	setenv("XDG_RUNTIME_DIR", dir, 1);
	setenv("XDG_CONFIG_HOME", dir, 1);
	free(dir);
}

START_TEST(test_good)
{
	const char *path = unit_file("a.ini", good);
	char expected[256];
	struct cli_result result;

	isolate();
	result = fake_run(NULL, "check", path, NULL);
	snprintf(expected, sizeof(expected), "%s: ok (4 workers)\n", path);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	ck_assert_msg(strncmp(result.out, expected, strlen(expected)) == 0,
		      "%s", result.out);
	ck_assert_ptr_nonnull(
		strstr(result.out, "stop guarantee here: ancestry"));
	ck_assert_str_eq(result.err, "");
	cli_result_done(&result);

	result = fake_run(NULL, "check", "-q", path, NULL);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	ck_assert_str_eq(result.out, "");
	cli_result_done(&result);

	result = fake_run(NULL, "check", "--json", path, NULL);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	ck_assert(json_text_is_valid(result.out));
	ck_assert_ptr_nonnull(strstr(result.out, "\"ok\":true,\"workers\":4,"
						 "\"guarantee\":\"ancestry\""));
	cli_result_done(&result);
}
END_TEST

START_TEST(test_one_worker)
{
	const char *path =
		unit_file("a.ini", "[worker:a]\ncommand = /bin/true\n");
	struct cli_result result;

	isolate();
	result = fake_run(NULL, "check", path, NULL);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	ck_assert_ptr_nonnull(strstr(result.out, "ok (1 worker)\n"));
	ck_assert_ptr_nonnull(strstr(result.out, "stop guarantee here: "));
	cli_result_done(&result);
}
END_TEST

START_TEST(test_bad)
{
	const char *path = unit_file("a.ini", bad);
	struct cli_result result;

	isolate();
	result = fake_run(NULL, "check", path, NULL);
	ck_assert_int_eq(result.exit_code, CLI_CONFIG);
	ck_assert_str_eq(result.out, "");
	/* all of them, each with its line */
	ck_assert_ptr_nonnull(strstr(result.err, "a.ini:2:"));
	ck_assert_ptr_nonnull(strstr(result.err, "command"));
	ck_assert_ptr_nonnull(strstr(result.err, "a.ini:3:"));
	cli_result_done(&result);

	result = fake_run(NULL, "check", "--json", path, NULL);
	ck_assert_int_eq(result.exit_code, CLI_CONFIG);
	ck_assert(json_text_is_valid(result.out));
	ck_assert_ptr_nonnull(strstr(result.out, "\"ok\":false"));
	ck_assert_ptr_nonnull(strstr(result.out, "\"severity\":\"error\""));
	ck_assert_ptr_nonnull(strstr(result.out, "\"line\":3"));
	cli_result_done(&result);
}
END_TEST

START_TEST(test_no_such_file)
{
	struct cli_result result;

	isolate();
	result = fake_run(NULL, "check", unit_path("none.ini"), NULL);
	ck_assert_int_eq(result.exit_code, CLI_CONFIG);
	ck_assert_ptr_nonnull(strstr(result.err, "none.ini"));
	cli_result_done(&result);
	result = fake_run(NULL, "check", "a", "b", NULL);
	ck_assert_int_eq(result.exit_code, CLI_USAGE);
	cli_result_done(&result);
}
END_TEST

START_TEST(test_unsupported_sections)
{
	char text[512];
	const char *path;
	struct cli_result result;

	isolate();
	snprintf(text, sizeof(text),
		 "%s[eventlistener:x]\ncommand = /bin/true\n", good);
	path = unit_file("a.ini", text);
	result = fake_run(NULL, "check", path, NULL);
	ck_assert_int_eq(result.exit_code, CLI_CONFIG);
	cli_result_done(&result);
	result = fake_run(NULL, "check", "--ignore-unsupported", path, NULL);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	ck_assert_ptr_nonnull(strstr(result.err, "eventlistener"));
	cli_result_done(&result);
}
END_TEST

/* ---- config ------------------------------------------------------------- */

START_TEST(test_config_of_a_file)
{
	const char *path = unit_file("a.ini", good);
	struct cli_result result;

	isolate();
	result = fake_run(NULL, "config", path, NULL);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	ck_assert_ptr_nonnull(strstr(result.out, "[reeve]\n"));
	ck_assert_ptr_nonnull(strstr(result.out, "\n\n[worker:web]\n"));
	ck_assert_ptr_nonnull(strstr(result.out, "\nnumprocs = 3   ; "));
	ck_assert_ptr_nonnull(strstr(result.out, "a.ini:5\n"));
	ck_assert_ptr_nonnull(strstr(result.out, "   ; default\n"));
	ck_assert_ptr_null(strstr(result.out, "hush"));
	cli_result_done(&result);

	result = fake_run(NULL, "config", "--secrets", path, NULL);
	ck_assert_ptr_nonnull(strstr(result.out, "hush"));
	cli_result_done(&result);

	result = fake_run(NULL, "config", "--json", path, NULL);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	ck_assert(json_text_is_valid(result.out));
	ck_assert_ptr_nonnull(strstr(
		result.out, "{\"section\":\"worker:web\",\"key\":\"numprocs\","
			    "\"value\":\"3\",\"origin\":\""));
	cli_result_done(&result);

	result = fake_run(NULL, "config", unit_file("b.ini", bad), NULL);
	ck_assert_int_eq(result.exit_code, CLI_CONFIG);
	ck_assert_str_eq(result.out, "");
	ck_assert_ptr_nonnull(strstr(result.err, "b.ini:2:"));
	cli_result_done(&result);
}
END_TEST

static int answer_config(sd_bus_message *m, enum verb_id verb,
			 sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	uint32_t flags;

	ck_assert_int_eq(verb, VERB_CONFIG);
	sd_bus_message_read(m, "u", &flags);
	if (flags & VERB_SECRETS)
		return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED,
					"not for you");
	sd_bus_message_new_method_return(m, &reply);
	sd_bus_message_open_container(reply, 'a', "(ssss)");
	sd_bus_message_append(reply, "(ssss)", "reeve", "umask", "022",
			      "default");
	sd_bus_message_append(reply, "(ssss)", "worker:a", "user", "",
			      "default");
	sd_bus_message_append(reply, "(ssss)", "worker:a", "command",
			      "x\x1b[2J\ny", "a.ini:3");
	sd_bus_message_close_container(reply);
	return sd_bus_send(NULL, reply, NULL);
}

START_TEST(test_config_of_a_daemon)
{
	struct fake_daemon daemon;
	struct cli_result result;

	fake_start(&daemon, answer_config);
	result = fake_run(&daemon, "config", NULL);
	ck_assert_int_eq(result.exit_code, CLI_OK);
	ck_assert_str_eq(result.out, "[reeve]\n"
				     "umask = 022   ; default\n"
				     "\n"
				     "[worker:a]\n"
				     "user =   ; default\n"
				     "command = x\\x1b[2J\\ny   ; a.ini:3\n");
	cli_result_done(&result);
	result = fake_run(&daemon, "config", "--secrets", NULL);
	ck_assert_int_eq(result.exit_code, CLI_PRIVILEGE);
	cli_result_done(&result);
	/* a file that is named is shown as it is, daemon or not */
	result = fake_run(&daemon, "config", unit_file("a.ini", good), NULL);
	ck_assert_ptr_nonnull(strstr(result.out, "[worker:web]"));
	cli_result_done(&result);
	fake_stop(&daemon);
}
END_TEST

/* As a user who has no daemon, in a directory with a reeve.ini. */
static void config_of_a_user(void *arg _unused_)
{
	struct cli_result result;

	if (getuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
		_exit(99);
	result = fake_run(NULL, "config", NULL);
	fputs(result.out, stdout);
	fputs(result.err, stdout);
	fflush(stdout);
	_exit(result.exit_code);
}

/* Without a daemon its file will do, unless a daemon was named. */
START_TEST(test_config_without_a_daemon)
{
	char dir[] = "/tmp/reeve-cli-XXXXXX"; /* all may enter it */
	struct cli_result result;
	char *text = NULL;
	int fd;

	if (access("/run/reeve/control.sock", F_OK) == 0)
		return; /* this machine's own would answer */
	unsetenv("REEVE_SOCKET");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chmod(dir, 0755), 0);
	ck_assert_int_eq(chdir(dir), 0);
	setenv("XDG_RUNTIME_DIR", dir, 1);
	fd = open("reeve.ini", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	ck_assert_int_eq(write(fd, good, strlen(good)), strlen(good));
	close(fd);
	ck_assert_int_eq(unit_fork(config_of_a_user, NULL, &text), CLI_OK);
	unlink("reeve.ini");
	rmdir(dir);
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_ptr_nonnull(strstr(text, "[worker:web]"));
	ck_assert_ptr_nonnull(strstr(text, "no daemon at"));
	free(text);

	setenv("REEVE_SOCKET", "/nowhere/x.sock", 1);
	result = fake_run(NULL, "config", NULL);
	ck_assert_int_eq(result.exit_code, CLI_NOT_RUNNING);
	ck_assert_str_eq(result.out, "");
	cli_result_done(&result);
}
END_TEST

UNIT_MAIN("cli_check", test_good, test_one_worker, test_bad, test_no_such_file,
	  test_unsupported_sections, test_config_of_a_file,
	  test_config_of_a_daemon, test_config_without_a_daemon)
