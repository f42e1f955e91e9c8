#include "workers/base/pure/macro.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/unit.h"

static void fail_assert(_unused_ void *arg)
{
	reeve_assert(1 + 1 == 3);
}

START_TEST(test_assert_says_where_and_aborts)
{
	char *output;

	int line = __LINE__ - 7;
	ck_assert_int_eq(unit_fork(fail_assert, NULL, &output), -SIGABRT);

	char wanted[256];
	(void)snprintf(wanted, sizeof(wanted),
		       "%s:%d: fail_assert: assertion failed: 1 + 1 == 3\n",
		       __FILE__, line);
	ck_assert_str_eq(output, wanted);
	free(output);
}
END_TEST

static void fail_long(void *arg)
{
	reeve_assert_failed(arg, "file.c", 2147483647, "f");
}

START_TEST(test_assert_cuts_a_long_expression)
{
	char expr[4096], *output;

	memset(expr, 'x', sizeof(expr) - 1);
	expr[sizeof(expr) - 1] = '\0';
	ck_assert_int_eq(unit_fork(fail_long, expr, &output), -SIGABRT);
	ck_assert_uint_eq(strlen(output), 512);
	ck_assert_int_eq(strncmp(output, "file.c:2147483647: f: ", 22), 0);
	ck_assert_int_eq(output[511], '\n');
	free(output);
}
END_TEST

static void fail_with_closed_stderr(_unused_ void *arg)
{
	close(STDERR_FILENO);
	reeve_assert_failed("x", "file.c", -1, "f");
}

START_TEST(test_assert_aborts_without_stderr)
{
	ck_assert_int_eq(unit_fork(fail_with_closed_stderr, NULL, NULL),
			 -SIGABRT);
}
END_TEST

START_TEST(test_assert_that_holds)
{
	int n = 1;

	reeve_assert(n++ == 1); /* evaluated once */
	ck_assert_int_eq(n, 2);
}
END_TEST

START_TEST(test_take)
{
	char text[] = "x", *p = text;
	int fd = 7;

	ck_assert_ptr_eq(TAKE(p), text);
	ck_assert_ptr_null(p);
	ck_assert_int_eq(TAKE_FD(fd), 7);
	ck_assert_int_eq(fd, -1);
}
END_TEST

struct outer {
	int first, second;
};

START_TEST(test_container_of)
{
	struct outer o = { 0 };

	ck_assert_ptr_eq(container_of(&o.second, struct outer, second), &o);
	ck_assert_uint_eq(ARRAY_SIZE(((int[3]){ 0 })), 3);
	ck_assert_int_eq(MIN(2, 1), 1);
	ck_assert_int_eq(MAX(2, 1), 2);
}
END_TEST

UNIT_MAIN("macro", test_assert_says_where_and_aborts,
	  test_assert_cuts_a_long_expression, test_assert_aborts_without_stderr,
	  test_assert_that_holds, test_take, test_container_of)
