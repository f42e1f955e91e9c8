/* Where programs of ours are looked for. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/unit.h"
#include "workers/base/sys/program.h"

static const char *make_program(const char *name)
{
	const char *path = unit_file(name, "#!/bin/sh\n");

	ck_assert_int_eq(chmod(path, S_IRWXU), 0);
	return path;
}

START_TEST(test_given)
{
	char path[PATH_MAX] = "as before", longer[2 * PATH_MAX];
	const char *given = make_program("given");

	ck_assert_int_eq(program_find("/nonexistent/x", "a", path), -ENOENT);
	ck_assert_str_eq(path, "as before");
	ck_assert_int_eq(program_find(given, "a", path), 0);
	ck_assert_str_eq(path, given);
	memset(longer, '/', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	ck_assert_int_eq(program_find(longer, "a", path), -ENAMETOOLONG);
	longer[PATH_MAX - 1] =
		'\0'; /* the longest: but a directory, the root */
	ck_assert_int_eq(program_find(longer, "a", path), 0);
}
END_TEST

START_TEST(test_environment)
{
	char path[PATH_MAX], wanted[PATH_MAX];

	(void)make_program("reeve-manager");
	(void)setenv("REEVE_LIBEXECDIR", unit_tmpdir(), 1);
	ck_assert_int_eq(program_find(NULL, "reeve-manager", path), 0);
	(void)snprintf(wanted, sizeof(wanted), "%s/reeve-manager",
		       unit_tmpdir());
	ck_assert_str_eq(path, wanted);
	(void)setenv("REEVE_LIBEXECDIR", "/nonexistent", 1);
	ck_assert_int_eq(program_find(NULL, "reeve-manager", path), -ENOENT);
}
END_TEST

UNIT_MAIN("program", test_given, test_environment)
