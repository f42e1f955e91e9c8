/* Reading [reeve] again: what of it takes effect, on whom, and what is said to
 * need another reeved. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/actor.h"
#include "tests/lib/reloading.h"
#include "tests/lib/rig.h"
#include "tests/lib/unit.h"

#define WAITER "command = %s wait\nstartsecs = 0\n"

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
}

START_TEST(test_daemon_settings)
{
	struct rig *r = rig_start(0, "[worker:a]\n" WAITER, actor());
	char *warnings;
	pid_t a;

	rig_wait(r, "a", "RUNNING");
	a = rig_pid(r, "a");
	rig_write_config(r,
			 "minfds = 100\npidfile = %s/pid\n"
			 "[worker:a]\n" WAITER,
			 rig_dir(r), actor());
	ck_assert_int_eq(rig_reeve(r, NULL, &warnings, "reload", NULL), 0);
	ck_assert_ptr_nonnull(strstr(warnings, "minfds"));
	ck_assert_ptr_nonnull(strstr(warnings, "pidfile"));
	ck_assert_ptr_nonnull(strstr(warnings, "restarted"));
	free(warnings);
	ck_assert_int_eq(rig_pid(r, "a"), a);
	ck_assert_int_lt(access(rig_path(r, "pid"), F_OK), 0);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* What [reeve] gives to every process is a change of how each is started. */
START_TEST(test_settings_for_all_workers)
{
	static const char workers[] = "[worker:a]\ncommand = %s show wait\n"
				      "startsecs = 0\n"
				      "[worker:b]\numask = 077\n" WAITER;
	struct rig *r = rig_start(0, workers, actor(), actor());
	pid_t a, b;
	char *plan;

	rig_wait(r, "a", "RUNNING");
	rig_wait(r, "b", "RUNNING");
	a = rig_pid(r, "a");
	b = rig_pid(r, "b");
	rig_write_config(r,
			 "umask = 027\n"
			 "[worker:a]\ncommand = %s show wait\n"
			 "startsecs = 0\n"
			 "[worker:b]\numask = 077\n" WAITER,
			 actor(), actor());
	plan = rig_reload(r);
	ck_assert(rig_plan_has(plan, "restart", "a", "[reeve] umask"));
	free(plan);
	a = rig_wait_replaced(r, "a", a);
	ck_assert_int_eq(rig_pid(r, "b"), b);
	rig_write_config(r,
			 "umask = 027\nenvironment = WORD=\"hello\"\n"
			 "[worker:a]\ncommand = %s show wait\n"
			 "startsecs = 0\n"
			 "[worker:b]\numask = 077\n" WAITER,
			 actor(), actor());
	free(rig_reload(r));
	rig_wait_replaced(r, "a", a);
	rig_wait_replaced(r, "b", b);
	rig_wait_file(rig_path(r, "log/a.out.log"), "env WORD=hello");
	rig_wait_file(rig_path(r, "log/a.out.log"), "umask 027");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* Named by a relative path, and then directory= leads elsewhere. */
START_TEST(test_relative_path)
{
	static const char script[] =
		"#!/bin/sh\ncd \"${2%%/*}\" && exec '%s' -c reeve.ini\n";
	const char *reeved = getenv("REEVED");
	char text[512];
	struct rig *r;

	snprintf(text, sizeof(text), script, reeved ? reeved : "build/reeved");
	reeved = unit_file("in-its-directory", text);
	ck_assert_int_eq(chmod(reeved, 0755), 0);
	ck_assert_int_eq(setenv("REEVED", reeved, 1), 0);
	r = rig_start(0, "directory = /\n[worker:a]\n" WAITER, actor());
	rig_wait(r, "a", "RUNNING");
	rig_write_config(r,
			 "directory = /\n[include]\nfiles = more.ini\n"
			 "[worker:a]\n" WAITER,
			 actor());
	write_text(rig_path(r, "more.ini"),
		   "[worker:more]\ncommand = /bin/true\nautostart = false\n");
	free(rig_reload(r));
	ck_assert_str_eq(rig_row(r, "more").state, "STOPPED");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* loglevel is one of those that need no restart of reeved. */
START_TEST(test_loglevel)
{
	struct rig *r = rig_start(0, "[worker:a]\n" WAITER, actor());
	const char *config = rig_path(r, "reeve.ini");
	char *text = rig_read_file(config), *level;

	rig_wait(r, "a", "RUNNING");
	level = strstr(text, "debug");
	ck_assert_ptr_nonnull(level);
	memcpy(level, "error", strlen("error"));
	write_text(config, text);
	free(rig_reload(r));
	ck_assert_int_eq(kill(rig_pid(r, "a"), SIGKILL), 0);
	rig_wait_row(r, "a", rig_has_restarts, 1);
	ck_assert(!rig_log_has(r, "code=-9"));
	free(text);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

UNIT_MAIN("reload_reeve", test_daemon_settings, test_settings_for_all_workers,
	  test_relative_path, test_loglevel)
