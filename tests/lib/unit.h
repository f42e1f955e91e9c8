/* The harness of the unit tests: libcheck, and a fixture around each test
 * that catches what libcheck does not see.
 *
 *	START_TEST(test_one)
 *	{
 *		ck_assert_int_eq(1 + 1, 2);
 *	}
 *	END_TEST
 *
 *	UNIT_MAIN("suite", test_one, test_two)
 *
 * Properties
 *   Each test runs in a process of its own, as a child subreaper, with
 *   SIGTERM, SIGINT and SIGALRM at their defaults, and dies with the program.
 *   It has UNIT_TIMEOUT_SECONDS. It fails when it leaves behind
 *     - a process: a child, or a descendant that was orphaned, that is alive
 *       UNIT_GRACE_MSEC later (the dead that were not reaped are reaped);
 *     - a file descriptor: one opened and not closed, or the reverse, or a
 *       number that means something else than before;
 *     - a file: TMPDIR is a directory of the program's own, in which nothing
 *       may stay but what is in unit_tmpdir().
 *   With -fsanitize=address, memory too: LeakSanitizer ends each test.
 * Operation
 *   The program runs all tests, or those that are named as its arguments, and
 *   none that is named with a minus before it.
 *   CK_VERBOSITY=verbose shows each, CK_FORK=no keeps them in the debugger.
 *   The last line is libcheck's "100%: Checks: N, Failures: 0, Errors: 0".
 * Safety
 *   A check (ck_assert...) is for the test's own process. In a child of it, end
 *   with _exit(code) and check the code, or use unit_fork().
 *   Each costs a system call: loops of many rounds look first.
 */
#pragma once

#include <check.h>
#include <stdbool.h>
#include <stddef.h>

#include "workers/base/pure/macro.h"

#define UNIT_TIMEOUT_SECONDS 20
#define UNIT_GRACE_MSEC	     1000

/* main() of a test program: the tests in this order. */
#define UNIT_MAIN(suite, ...)                                                  \
	int main(int argc, char **argv)                                        \
	{                                                                      \
		const TTest *const tests[] = { __VA_ARGS__ };                  \
		return unit_main(suite, tests, ARRAY_SIZE(tests),              \
				 argc > 0 ? argv + 1 : argv);                  \
	}

/* The same, each test with _i = 0 .. loops - 1: for what must hold in several
 * settings. */
#define UNIT_LOOP_MAIN(suite, loops, ...)                                      \
	int main(int argc, char **argv)                                        \
	{                                                                      \
		const TTest *const tests[] = { __VA_ARGS__ };                  \
		return unit_loop_main(suite, loops, tests, ARRAY_SIZE(tests),  \
				      argc > 0 ? argv + 1 : argv);             \
	}

int unit_loop_main(const char *suite, int loops, const TTest *const *tests,
		   size_t n_tests, char *const *only);

/* Runs the tests whose names are in the NULL-terminated list only; an empty
 * list means all. Returns what main() returns: 0 when all passed, 1 when not,
 * 2 when there is no test of such a name or nothing could be run. */
int unit_main(const char *suite, const TTest *const *tests, size_t n_tests,
	      char *const *only);

enum unit_check {
	UNIT_PROCESSES = 1 << 0,
	UNIT_FDS = 1 << 1,
	UNIT_FILES = 1 << 2,
};

/* The test that is running is not checked for these (or'ed) when it ends. */
void unit_opt_out(unsigned checks);

/* True, and said as SKIP, when we are not root: what cannot be tested then. */
bool unit_lacks_root(const char *what);

/* What the test has done so far, told for the sums of tests/run: so many more
 * of these (one word, "kills"). */
void unit_count(unsigned long n, const char *what);

/* A directory for this test alone, made when first asked for and removed with
 * all that is in it when the test ends, also when it fails. Its path is short
 * enough for sockets. */
const char *unit_tmpdir(void);

/* The path of name in unit_tmpdir(). Valid until the test ends. */
const char *unit_path(const char *name);

/* The same, after writing text to a new file there. */
const char *unit_file(const char *name, const char *text);

/* Runs fn in a child process with stdout and stderr in a pipe and waits for
 * it. Returns its exit code, or -N when signal N ended it, and, when ret_output
 * is not NULL, what it wrote, at most UNIT_OUTPUT_MAX bytes (free it). It dumps
 * no core. */
#define UNIT_OUTPUT_MAX 65535
int unit_fork(void (*fn)(void *arg), void *arg, char **ret_output);
