/* `reeve logs`: the last lines, following across rotations, and clear words
 * when there is nothing to show. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/cli/cli.h"
#include "tests/lib/actor.h"
#include "tests/lib/background.h"
#include "tests/lib/rig.h"
#include "tests/lib/unit.h"

/* Says "tick" and "tack" in turn, one at each USR1. */
#define TICKER                                                                 \
	"hold USR1 notify READY=1 await USR1 print tick await USR1 print tack" \
	" loop"

static void check_output(char *out, const char *expected)
{
	ck_assert_str_eq(out, expected);
	free(out);
}

static void check_refused(struct rig *r, const char *worker, const char *says)
{
	char *out, *err;

	ck_assert_int_ne(rig_reeve(r, &out, &err, "logs", worker, NULL),
			 CLI_OK);
	check_output(out, "");
	ck_assert_msg(strstr(err, says), "\"%s\" does not say \"%s\"", err,
		      says);
	ck_assert_ptr_nonnull(strstr(err, worker));
	free(err);
}

START_TEST(test_last_lines)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\ncommand = %s count 20 complain "
				  "oops complain again raw 5 wait\n"
				  "startsecs = 0\n",
				  actor());
	char *out;

	rig_wait_file(rig_path(r, "log/a.out.log"), "xxxxx");
	rig_wait_file(rig_path(r, "log/a.err.log"), "again");
	ck_assert_int_eq(rig_reeve(r, &out, NULL, "logs", "-n", "2", "a", NULL),
			 CLI_OK);
	check_output(out, "             20\nxxxxx");
	ck_assert_int_eq(rig_reeve(r, &out, NULL, "logs", "-n", "0", "a", NULL),
			 CLI_OK);
	check_output(out, "");
	ck_assert_int_eq(rig_reeve(r, &out, NULL, "logs", "a", NULL), CLI_OK);
	ck_assert_uint_eq(strlen(out), (CLI_LINES_DEFAULT - 1) * 16 + 5);
	free(out);
	ck_assert_int_eq(rig_reeve(r, &out, NULL, "logs", "--stderr", "a", "-n",
				   "1", NULL),
			 CLI_OK);
	check_output(out, "again\n");
	ck_assert_int_eq(rig_reeve(r, &out, NULL, "logs", "a", "stderr", NULL),
			 CLI_OK); /* as supervisorctl has it */
	check_output(out, "oops\nagain\n");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_one_log_for_both_streams)
{
	struct rig *r =
		rig_start(0,
			  "[worker:a]\ncommand = %s complain oops wait\n"
			  "startsecs = 0\nredirect_stderr = true\n",
			  actor());
	char *out;

	rig_wait_file(rig_path(r, "log/a.out.log"), "oops");
	ck_assert_int_eq(rig_reeve(r, &out, NULL, "logs", "--stderr", "a",
				   NULL),
			 CLI_OK);
	check_output(out, "oops\n");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_nothing_to_show)
{
	struct rig *r = rig_start(
		0,
		"[worker:none]\ncommand = %s wait\nstartsecs = 0\n"
		"stdout_logfile = NONE\n"
		"[worker:inherits]\ncommand = %s wait\nstartsecs = 0\n"
		"stdout_logfile = /dev/stderr\nstdout_logfile_maxbytes = 0\n"
		"[worker:never]\ncommand = %s wait\nautostart = false\n"
		"[worker:gone]\ncommand = %s print hello wait\n"
		"startsecs = 0\n",
		actor(), actor(), actor(), actor());

	rig_wait(r, "none", "RUNNING");
	rig_wait(r, "inherits", "RUNNING");
	check_refused(r, "none", "is not captured");
	check_refused(r, "inherits", "is not captured");
	check_refused(r, "never", "never started");
	check_refused(r, "nobody", "no worker");
	rig_wait_file(rig_path(r, "log/gone.out.log"), "hello");
	ck_assert_int_eq(unlink(rig_path(r, "log/gone.out.log")), 0);
	check_refused(r, "gone", "No such file");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "logs", NULL), CLI_USAGE);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* A link put there later leads nobody to another file. */
START_TEST(test_link_is_not_followed)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\ncommand = %s print hello wait\n"
				  "startsecs = 0\n",
				  actor());
	char *log;

	rig_wait_file(rig_path(r, "log/a.out.log"), "hello");
	ck_assert_int_ge(asprintf(&log, "%s/log/a.out.log", rig_dir(r)), 0);
	ck_assert_int_eq(unlink(log), 0);
	ck_assert_int_eq(symlink(unit_file("secret", "secret\n"), log), 0);
	check_refused(r, "a", "cannot open");
	free(log);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

static void tick_and_rotate(struct rig *r, const char *word)
{
	ck_assert_int_eq(kill(rig_pid(r, "a"), SIGUSR1), 0);
	rig_wait_file(rig_path(r, "log/a.out.log"), word);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "reopen", NULL), 0);
}

START_TEST(test_follow_across_rotations)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\ncommand = %s " TICKER "\n"
				  "type = notify\n",
				  actor());
	struct background b;
	char *text;

	rig_wait(r, "a", "RUNNING");
	b = background_start(r, "follow", "logs", "-f", "a", NULL);
	ck_assert_int_eq(kill(rig_pid(r, "a"), SIGUSR1), 0);
	rig_wait_file(b.out, "tick\n");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "reopen", NULL), 0);
	tick_and_rotate(r, "tack\n");
	rig_wait_file(b.out, "tick\ntack\n");
	/* three while it does not look */
	ck_assert_int_eq(kill(b.pid, SIGSTOP), 0);
	tick_and_rotate(r, "tick\n");
	tick_and_rotate(r, "tack\n");
	tick_and_rotate(r, "tick\n");
	ck_assert_int_eq(kill(b.pid, SIGCONT), 0);
	rig_wait_file(b.out, "tick\ntack\ntick\ntack\ntick\n");
	ck_assert_int_eq(kill(b.pid, SIGINT), 0);
	ck_assert_int_eq(background_wait(&b), -SIGINT);
	text = rig_read_file(b.out);
	ck_assert_str_eq(text, "tick\ntack\ntick\ntack\ntick\n");
	free(text);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_follow_ends_with_reeved)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\nstartsecs = 0\n"
				  "command = %s print hello wait\n",
				  actor());
	struct background b;
	char *text;

	rig_wait_file(rig_path(r, "log/a.out.log"), "hello");
	b = background_start(r, "follow", "logs", "-f", "a", NULL);
	rig_wait_file(b.out, "hello");
	ck_assert_int_eq(
		rig_reeve(r, NULL, NULL, "shutdown", "--no-wait", NULL), 0);
	ck_assert_int_eq(background_wait(&b), CLI_NOT_RUNNING);
	text = rig_read_file(b.err);
	ck_assert_ptr_nonnull(strstr(text, "has ended"));
	free(text);
	ck_assert_int_eq(rig_join(r), 0);
}
END_TEST

UNIT_MAIN("logs_cli", test_last_lines, test_one_log_for_both_streams,
	  test_nothing_to_show, test_link_is_not_followed,
	  test_follow_across_rotations, test_follow_ends_with_reeved)
