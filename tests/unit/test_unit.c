/* The harness itself: each kind of thing that a test may leave behind makes
 * it fail, and says what it was. Runs test programs within a test.
 */
#include "tests/lib/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workers/base/sys/fd.h"

/* --- tests that are run by tests ------------------------------------------ */

START_TEST(passes)
{
	ck_assert_int_eq(access(unit_file("file", "text"), R_OK), 0);
	ck_assert_int_eq(mkdir(unit_path("closed"), 0700), 0);
	ck_assert_int_eq(symlink("/etc", unit_path("closed/link")), 0);
	ck_assert_int_eq(chmod(unit_path("closed"), 0), 0);
	if (fork() == 0)
		_exit(0); /* is reaped by the fixture */
}
END_TEST

START_TEST(leaves_fd)
{
	(void)fcntl(open("/dev/null", O_RDONLY | O_CLOEXEC), F_DUPFD, 100);
}
END_TEST

START_TEST(loses_fd)
{
	fd_close(STDIN_FILENO);
}
END_TEST

START_TEST(changes_fd)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(dup2(fd, STDIN_FILENO), STDIN_FILENO);
	fd_close(fd);
}
END_TEST

START_TEST(leaves_file)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/forgotten", getenv("TMPDIR"));
	fd_close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}
END_TEST

static void start_child(void)
{
	if (fork() > 0)
		return;
	(void)setsid();
	for (;;)
		(void)pause();
}

START_TEST(leaves_child)
{
	start_child();
}
END_TEST

START_TEST(leaves_orphan)
{
	if (fork() > 0)
		return;
	start_child();
	_exit(0);
}
END_TEST

START_TEST(opts_out)
{
	unit_opt_out(UNIT_FDS | UNIT_PROCESSES);
	unit_opt_out(UNIT_FILES);
	start_child();
	leaves_file_fn(0);
	leaves_fd_fn(0);
}
END_TEST

START_TEST(fails_half_way)
{
	(void)unit_file("file", "text");
	start_child();
	ck_abort_msg("half-way");
}
END_TEST

START_TEST(crashes)
{
	raise(SIGKILL);
}
END_TEST

START_TEST(gets_sigterm)
{
	raise(SIGTERM); /* ends it: libcheck's handler is not in the way */
}
END_TEST

START_TEST(fails_in_the_third_round)
{
	ck_assert_int_ne(_i, 2);
}
END_TEST

/* --- the tests ------------------------------------------------------------ */

static void run_nested(void *test)
{
	const TTest *const tests[] = { test };
	char *const all[] = { NULL };

	_exit(unit_main("nested", tests, 1, all));
}

/* Runs the test alone in a program of its own; it must end with this code and
 * say this. Nothing of it is left in any case: our own fixture looks. */
static void check_nested(const TTest *test, int code, const char *said)
{
	union {
		const TTest *test;
		void *arg;
	} u = { .test = test };
	char *output;

	int r = unit_fork(run_nested, u.arg, &output);
	ck_assert_msg(r == code, "%s: %d: %s", test->name, r, output);
	ck_assert_msg(strstr(output, said) != NULL, "%s: %s", test->name,
		      output);
	free(output);
}

START_TEST(test_passing)
{
	check_nested(passes, 0, "100%: Checks: 1, Failures: 0, Errors: 0\n");
	check_nested(opts_out, 0, "100%: Checks: 1, Failures: 0, Errors: 0\n");
}
END_TEST

START_TEST(test_fds)
{
	check_nested(leaves_fd, 1, "fd 100 was closed, is /dev/null");
	check_nested(loses_fd, 1, "fd 0 was ");
	check_nested(changes_fd, 1, "is /dev/zero");
}
END_TEST

START_TEST(test_files)
{
	check_nested(leaves_file, 1, "left in TMPDIR: forgotten");
}
END_TEST

START_TEST(test_processes)
{
	check_nested(leaves_child, 1, " is alive: ");
	check_nested(leaves_orphan, 1, " is alive: ");
}
END_TEST

START_TEST(test_ending_early)
{
	check_nested(fails_half_way, 1, "half-way");
	check_nested(crashes, 1, "Received signal 9");
	check_nested(gets_sigterm, 1, "Received signal 15");
}
END_TEST

static void run_named(void *name)
{
	const TTest *const tests[] = { crashes, passes };
	char *const only[] = { name, NULL };

	_exit(unit_main("nested", tests, 2, only));
}

START_TEST(test_choosing_by_name)
{
	char good[] = "passes", bad[] = "passe", *output;

	ck_assert_int_eq(unit_fork(run_named, good, &output), 0);
	ck_assert_ptr_nonnull(strstr(output, "Checks: 1,"));
	free(output);
	ck_assert_int_eq(unit_fork(run_named, bad, &output), 2);
	ck_assert_str_eq(output, "nested: no such test\n");
	free(output);
}
END_TEST

static void run_in_a_loop(_unused_ void *arg)
{
	const TTest *const tests[] = { fails_in_the_third_round };
	char *const all[] = { NULL };

	_exit(unit_loop_main("nested", 4, tests, 1, all));
}

START_TEST(test_loops)
{
	char *output;

	ck_assert_int_eq(unit_fork(run_in_a_loop, NULL, &output), 1);
	ck_assert_ptr_nonnull(
		strstr(output, "75%: Checks: 4, Failures: 1, Errors: 0"));
	free(output);
}
END_TEST

static void write_much(_unused_ void *arg)
{
	for (int i = 0; i < 3 * UNIT_OUTPUT_MAX; i++)
		(void)putchar('x');
	(void)fputs("behind", stderr);
	_exit(3);
}

/* It is neither kept waiting by a full pipe nor told all. */
START_TEST(test_fork_with_much_output)
{
	char *output;

	ck_assert_int_eq(unit_fork(write_much, NULL, &output), 3);
	ck_assert_uint_gt(strlen(output), UNIT_OUTPUT_MAX / 2);
	ck_assert_uint_le(strlen(output), UNIT_OUTPUT_MAX);
	free(output);
}
END_TEST

UNIT_MAIN("unit", test_passing, test_fds, test_files, test_processes,
	  test_ending_early, test_choosing_by_name, test_loops,
	  test_fork_with_much_output)
