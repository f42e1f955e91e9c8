/* The daemon's directory: made, locked, refused when it is not ours. */
#include "supervisor/daemon/runtime.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"

static char last_line[LOG_LINE_MAX + 1];

static void keep_line(void *userdata _unused_, const char *line, size_t len)
{
	memcpy(last_line, line, len);
	last_line[len] = '\0';
}

static struct daemon_settings settings_here(void)
{
	struct daemon_settings s = { 0 };

	log_set_writer(keep_line, NULL);
	s.log_dir = (char *)(uintptr_t)unit_path("log");
	return s;
}

START_TEST(test_one_daemon_per_directory)
{
	const struct daemon_settings s = settings_here();
	const char *dir = unit_path("a/b/run");
	struct runtime first, second;

	ck_assert_int_eq(runtime_open(&first, dir, &s), 0);
	ck_assert_uint_eq(strlen(first.instance), RUNTIME_INSTANCE_LEN);
	ck_assert_int_eq(runtime_open(&second, dir, &s), -EWOULDBLOCK);
	ck_assert_ptr_nonnull(strstr(last_line, "another reeved runs in"));
	ck_assert_ptr_nonnull(strstr(last_line, dir));
	runtime_close(&second);
	runtime_close(&first);
	/* given back; and the name is that of the directory */
	ck_assert_int_eq(runtime_open(&second, dir, &s), 0);
	runtime_close(&second);
}
END_TEST

START_TEST(test_refused_directories)
{
	const struct daemon_settings s = settings_here();
	const char *open_to_all = unit_path("open");
	const char *file = unit_file("file", "x");
	struct runtime rt;

	ck_assert_int_eq(mkdir(open_to_all, 0700), 0);
	ck_assert_int_eq(chmod(open_to_all, 0777), 0);
	ck_assert_int_eq(runtime_open(&rt, open_to_all, &s), -EPERM);
	ck_assert_ptr_nonnull(strstr(last_line, "not writable by others"));
	runtime_close(&rt);
	ck_assert_int_lt(runtime_open(&rt, file, &s), 0);
	runtime_close(&rt);
	ck_assert_int_lt(runtime_open(&rt, "/proc/no/such", &s), 0);
	runtime_close(&rt);
}
END_TEST

START_TEST(test_pidfile)
{
	const struct daemon_settings s = settings_here();
	const char *path = unit_path("pid");
	struct runtime rt;
	char *text;
	size_t len;

	ck_assert_int_eq(runtime_open(&rt, unit_path("run"), &s), 0);
	ck_assert_int_eq(runtime_write_pidfile(&rt, NULL), 0);
	ck_assert_int_eq(runtime_write_pidfile(&rt, path), 0);
	ck_assert_int_eq(fd_read_file(-1, path, 64, &text, &len), 0);
	ck_assert_int_eq(atoi(text), getpid());
	free(text);
	runtime_close(&rt);
	ck_assert_int_lt(access(path, F_OK), 0);
	ck_assert_int_eq(runtime_open(&rt, unit_path("run"), &s), 0);
	ck_assert_int_eq(runtime_write_pidfile(&rt, "/proc/no/pid"), -ENOENT);
	runtime_close(&rt);
}
END_TEST

START_TEST(test_fd_limit)
{
	struct runtime rt = { .lock_fd = -1, .nofile = { 10, 100 } };

	log_set_writer(keep_line, NULL);
	ck_assert_int_eq(runtime_check_nofile(&rt, 100), 0);
	ck_assert_int_eq(runtime_check_nofile(&rt, 101), -EMFILE);
	ck_assert_ptr_nonnull(strstr(last_line, "101"));
	ck_assert_ptr_nonnull(strstr(last_line, "raise it"));
}
END_TEST

UNIT_MAIN("runtime", test_one_daemon_per_directory, test_refused_directories,
	  test_pidfile, test_fd_limit)
