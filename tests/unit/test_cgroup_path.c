/* Lines of /proc/self/mountinfo and paths of cgroups. */
#include "workers/base/sys/cgroup_path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/unit.h"

static const struct mount_case {
	const char *line;
	const char *root, *point; /* NULL: not a cgroup2 mount */
} mount_cases[] = {
	{ "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 "
	  "rw",
	  "/", "/sys/fs/cgroup/unified" },
	{ "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw",
	  "/", "/sys/fs/cgroup" },
	{ "30 23 0:26 /a/b /mnt rw shared:9 master:1 - cgroup2 none rw", "/a/b",
	  "/mnt" },
	{ "30 23 0:26 /a\\040b /mnt\\134x\\011y rw - cgroup2 none rw", "/a b",
	  "/mnt\\x\ty" },
	{ "30 23 0:26 / /trailing\\04 rw - cgroup2 none rw", "/",
	  "/trailing\\04" },
	{ "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu", NULL,
	  NULL },
	{ "32 31 0:29 / /cgroup2 rw cgroup2 - tmpfs cgroup2 rw", NULL, NULL },
	{ "32 31 0:29 / /x rw -", NULL, NULL },
	{ "32 31 0:29 / /x rw", NULL, NULL },
	{ "32 31", NULL, NULL },
	{ "", NULL, NULL },
};

START_TEST(test_parse_mount)
{
	for (size_t i = 0; i < ARRAY_SIZE(mount_cases); i++) {
		const struct mount_case *c = &mount_cases[i];
		char line[256], *root = NULL, *point = NULL;

		(void)snprintf(line, sizeof(line), "%s", c->line);
		ck_assert_int_eq(cgroup_path_parse_mount(line, &root, &point),
				 c->root != NULL);
		ck_assert_pstr_eq(root, c->root);
		ck_assert_pstr_eq(point, c->point);
	}
}
END_TEST

START_TEST(test_below)
{
	static const char *const cases[][3] = {
		{ "/", "/", "" },
		{ "/a", "/", "/a" },
		{ "/a/b", "/a", "/b" },
		{ "/a", "/a", "" },
		{ "/a", "/a/b", NULL },
		{ "/ab", "/a", NULL },
		{ "/", "/a", NULL },
		{ "/a", "/..", NULL }, /* mounted from outside of us */
		{ "/a/b (deleted)", "/a", "/b (deleted)" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		ck_assert_pstr_eq(cgroup_path_below(cases[i][0], cases[i][1]),
				  cases[i][2]);
}
END_TEST

START_TEST(test_join)
{
	static const char *const cases[][3] = {
		{ "/", "x", "/x" },
		{ "/a", "x", "/a/x" },
		{ ".", "x", "./x" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *joined = cgroup_path_join(cases[i][0], cases[i][1]);

		ck_assert_str_eq(joined, cases[i][2]);
		free(joined);
	}
}
END_TEST

START_TEST(test_read)
{
	char *self = NULL, *same = NULL, pid[16];
	int r = cgroup_path_read("self", &self);

	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	ck_assert_int_eq(cgroup_path_read(pid, &same), r);
	if (r == 0) {
		ck_assert_int_eq(self[0], '/');
		ck_assert_ptr_null(strchr(self, '\n'));
		ck_assert_str_eq(self, same);
	} else {
		ck_assert_int_eq(r, -ENOENT);
		ck_assert_ptr_null(self);
	}
	free(self);
	free(same);
	ck_assert_int_eq(cgroup_path_read("2147483647", &self), -ESRCH);
}
END_TEST

UNIT_MAIN("cgroup_path", test_parse_mount, test_below, test_join, test_read)
