/* Default places, for root and for everybody else. */
#include "conf/conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/unit.h"

#define OTHER 54321

/* The rest of the test runs as an ordinary user; root only can arrange it. */
static void become_user(void)
{
	if (geteuid() == 0)
		ck_assert_int_eq(seteuid(OTHER), 0);
}

static void become_root_again(void)
{
	if (getuid() == 0)
		ck_assert_int_eq(seteuid(0), 0);
}

static void assert_path(int (*get)(char **), const char *want)
{
	char *path = NULL;

	ck_assert_int_eq(get(&path), 0);
	ck_assert_str_eq(path, want);
	free(path);
}

START_TEST(test_root)
{
	if (unit_lacks_root("the defaults of root"))
		return;
	setenv("XDG_RUNTIME_DIR", "/run/user/0", 1);
	setenv("XDG_STATE_HOME", "/s", 1);
	assert_path(conf_default_runtime_dir, "/run/reeve");
	assert_path(conf_default_log_dir, "/var/log/reeve");
	/* root does not read what lies around in a directory */
	unit_file("reeve.ini", "");
	ck_assert_int_eq(chdir(unit_tmpdir()), 0);
	assert_path(conf_default_file, "/etc/reeve/reeve.ini");
}
END_TEST

START_TEST(test_user_with_xdg)
{
	become_user();
	setenv("XDG_RUNTIME_DIR", "/run/user/1", 1);
	setenv("XDG_STATE_HOME", "/s", 1);
	setenv("HOME", "/h", 1);
	assert_path(conf_default_runtime_dir, "/run/user/1/reeve");
	assert_path(conf_default_log_dir, "/s/reeve/log");
	become_root_again();
}
END_TEST

START_TEST(test_user_without_xdg)
{
	char want[64];
	char *path = NULL;

	become_user();
	unsetenv("XDG_RUNTIME_DIR");
	setenv("XDG_STATE_HOME", "relative", 1); /* does not count */
	setenv("HOME", "/h", 1);
	snprintf(want, sizeof(want), "/tmp/reeve-%u", (unsigned)geteuid());
	assert_path(conf_default_runtime_dir, want);
	assert_path(conf_default_log_dir, "/h/.local/state/reeve/log");
	unsetenv("HOME");
	ck_assert_int_eq(conf_default_log_dir(&path), -ENOENT);
	ck_assert_ptr_null(path);
	become_root_again();
}
END_TEST

/* ./reeve.ini, then one's own, then the system's. */
START_TEST(test_files)
{
	const char *own = unit_path("reeve/reeve.ini");

	ck_assert_int_eq(mkdir(unit_path("reeve"), 0755), 0);
	ck_assert_int_eq(chmod(unit_tmpdir(), 0755), 0);
	ck_assert_int_eq(chdir(unit_tmpdir()), 0);
	setenv("XDG_CONFIG_HOME", unit_tmpdir(), 1);
	become_user();
	assert_path(conf_default_file, "/etc/reeve/reeve.ini");
	become_root_again();
	unit_file("reeve/reeve.ini", "");
	become_user();
	if (access(own, F_OK) == 0) /* TMPDIR may be closed to others */
		assert_path(conf_default_file, own);
	become_root_again();
	unit_file("reeve.ini", "");
	become_user();
	if (access(own, F_OK) == 0)
		assert_path(conf_default_file, "reeve.ini");
	become_root_again();
}
END_TEST

UNIT_MAIN("conf_defaults", test_root, test_user_with_xdg, test_user_without_xdg,
	  test_files)
