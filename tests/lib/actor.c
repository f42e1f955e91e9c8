/* See actor.h. */
#include "tests/lib/actor.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/unit.h"

const char *actor(void)
{
	static char path[512];
	const char *dir = getenv("REEVE_PROGRAMS");

	snprintf(path, sizeof(path), "%s/actor",
		 dir ? dir : "build/tests/programs");
	return path;
}

/* The test's directory and the one that it is in. */
static void open_directories(void)
{
	char *outer = strdup(unit_tmpdir());

	ck_assert_int_eq(chmod(outer, 0711), 0);
	*strrchr(outer, '/') = '\0';
	ck_assert_int_eq(chmod(outer, 0711), 0);
	free(outer);
}

const char *program_for_all(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *copy = unit_path(slash ? slash + 1 : path);
	int from = open(path, O_RDONLY | O_CLOEXEC);
	int to = open(copy, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);

	ck_assert_int_ge(from, 0);
	ck_assert_int_ge(to, 0);
	while (sendfile(to, from, NULL, 1 << 20) > 0)
		;
	ck_assert_int_eq(fchmod(to, 0755), 0);
	close(from);
	close(to);
	open_directories();
	return copy;
}
