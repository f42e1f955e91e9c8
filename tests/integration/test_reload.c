/* Reading the configuration again: what changes and what stays as it is, shown
 * by the pids of real processes. Of [reeve] itself: test_reload_reeve.c; what
 * is refused: test_reload_refused.c; what happens at the same time:
 * test_reload_races.c. */
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

#define WAITER	 "command = %s wait\nstartsecs = 0\n"
#define STUBBORN "command = %s ignore TERM print up wait\nstartsecs = 0\n"

static bool has_worker(struct rig *r, const char *name)
{
	return rig_reeve(r, NULL, NULL, "status", "-q", name, NULL) != 4;
}

START_TEST(test_add_remove_keep)
{
	struct rig *r =
		rig_start(0, "[worker:a]\n" WAITER "[worker:b]\n" WAITER,
			  actor(), actor());
	pid_t a, b;
	char *plan;

	rig_wait(r, "a", "RUNNING");
	rig_wait(r, "b", "RUNNING");
	a = rig_pid(r, "a");
	b = rig_pid(r, "b");
	rig_write_config(r,
			 "[worker:a]\n" WAITER "[worker:c]\n" WAITER
			 "[worker:d]\nautostart = false\n" WAITER,
			 actor(), actor(), actor());
	plan = rig_reload(r);
	ck_assert(rig_plan_has(plan, "remove", "b", ""));
	ck_assert(rig_plan_has(plan, "add", "c", ""));
	ck_assert(rig_plan_has(plan, "add", "d", ""));
	ck_assert(!rig_plan_has(plan, "keep", "a", ""));
	free(plan);
	rig_wait(r, "c", "RUNNING");
	rig_wait_gone(b);
	while (has_worker(r, "b"))
		;
	ck_assert_str_eq(rig_row(r, "d").state, "STOPPED");
	ck_assert_int_eq(rig_pid(r, "a"), a);
	ck_assert_uint_eq(rig_count(r, ""), 3);
	plan = rig_reload(r);
	ck_assert_str_eq(plan, "nothing to change\n");
	free(plan);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_by_signal)
{
	struct rig *r =
		rig_start(0, "[worker:a]\n" WAITER "[worker:b]\n" WAITER,
			  actor(), actor());
	pid_t a, b;

	rig_wait(r, "a", "RUNNING");
	rig_wait(r, "b", "RUNNING");
	a = rig_pid(r, "a");
	b = rig_pid(r, "b");
	rig_write_config(r,
			 "[worker:a]\n" WAITER "[worker:b]\n"
			 "command = %s print new wait\nstartsecs = 0\n"
			 "[worker:c]\n" WAITER,
			 actor(), actor(), actor());
	ck_assert_int_eq(kill(rig_daemon_pid(r), SIGHUP), 0);
	rig_wait_log(r, "reload: add worker=c");
	rig_wait(r, "c", "RUNNING");
	rig_wait_replaced(r, "b", b);
	ck_assert(rig_log_has(r, "reload: restart worker=b changed=command"));
	ck_assert_int_eq(rig_pid(r, "a"), a);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_dry_run)
{
	struct rig *r =
		rig_start(0, "[worker:a]\n" WAITER "[worker:b]\n" WAITER,
			  actor(), actor());
	char *plan, *config, *same;
	pid_t a, b;

	rig_wait(r, "a", "RUNNING");
	rig_wait(r, "b", "RUNNING");
	a = rig_pid(r, "a");
	b = rig_pid(r, "b");
	ck_assert_int_eq(rig_reeve(r, &config, NULL, "config", NULL), 0);
	rig_write_config(r,
			 "[worker:a]\ncommand = %s print x wait\n"
			 "[worker:c]\n" WAITER,
			 actor(), actor());
	ck_assert_int_eq(rig_reeve(r, &plan, NULL, "reload", "--dry-run", NULL),
			 0);
	ck_assert(rig_plan_has(plan, "restart", "a", "command"));
	ck_assert(rig_plan_has(plan, "remove", "b", ""));
	ck_assert(rig_plan_has(plan, "add", "c", ""));
	free(plan);
	ck_assert_int_eq(rig_pid(r, "a"), a);
	ck_assert_int_eq(rig_pid(r, "b"), b);
	ck_assert_uint_eq(rig_count(r, ""), 2);
	ck_assert_int_eq(rig_reeve(r, &same, NULL, "config", NULL), 0);
	ck_assert_str_eq(same, config);
	ck_assert(!rig_log_has(r, "reload: "));
	free(same);
	free(config);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* Every key that is not about how a process is started; and some that are. */
static const struct {
	const char *setting;
	bool restarts;
} changes[] = {
	{ "numprocs_start = 0", false }, /* the default: no change */
	{ "priority = 5", false },
	{ "autostart = false", false },
	{ "autorestart = true", false },
	{ "exitcodes = 0 3", false },
	{ "startsecs = 0.5", false },
	{ "startretries = 7", false },
	{ "stopsignal = INT:1 KILL", false },
	{ "stopwaitsecs = 3", false },
	{ "stopasgroup = true", false },
	{ "killasgroup = false", false },
	{ "stdout_logfile_maxbytes = 1MB", false },
	{ "stdout_logfile_backups = 2", false },
	{ "stderr_logfile_maxbytes = 1MB", false },
	{ "stderr_logfile_backups = 2", false },
	{ "restart_delay = 2", false },
	{ "restart_delay_max = 100", false },
	{ "restart_jitter = 0", false },
	{ "restart_reset_after = 9", false },
	{ "restart_limit = 5/1min", false },
	{ "essential = true", false },
	{ "maxtasksperchild = 9", false },
	{ "recycle_max = 2", false },
	{ "environment = A=\"1\"", true },
	{ "directory = /", true },
	{ "umask = 077", true },
	{ "clear_env = true", true },
	{ "stdout_logfile = NONE", true },
	{ "redirect_stderr = true", true },
	{ "rlimit_nofile = 64", true },
	{ "nice = 1", true },
	{ "cpu_affinity = 0", true },
	{ "no_new_privs = true", true },
	{ "oom_score_adj = 500", true },
	{ "watchdog_sec = 1h", true },
};
#define N_CHANGES (sizeof(changes) / sizeof(changes[0]))

static void write_changes(struct rig *r, bool with_settings)
{
	static char ini[65536];
	size_t n = 0;

	for (size_t i = 0; i < N_CHANGES; i++)
		n += (size_t)snprintf(
			ini + n, sizeof(ini) - n,
			"[worker:w%zu]\ncommand = %s wait\n%s\n%s", i, actor(),
			with_settings ? changes[i].setting : "",
			with_settings && strstr(changes[i].setting, "startsecs")
				? ""
				: "startsecs = 0\n");
	rig_write_config(r, "%s", ini);
}

/* Does row i of the table show in the plan as it must? */
static void check_change(const char *plan, size_t i)
{
	const char *setting = changes[i].setting;
	char name[16], key[64];

	snprintf(name, sizeof(name), "w%zu", i);
	snprintf(key, sizeof(key), "%.*s", (int)strcspn(setting, " "), setting);
	if (i == 0)
		ck_assert(!rig_plan_has(plan, "update", name, "") &&
			  !rig_plan_has(plan, "restart", name, ""));
	else
		ck_assert_msg(rig_plan_has(plan,
					   changes[i].restarts ? "restart"
							       : "update",
					   name, key),
			      "%s:\n%s", setting, plan);
}

START_TEST(test_which_keys_restart)
{
	struct rig *r = rig_start(
		0, "[worker:first]\nautostart = false\n" WAITER, actor());
	pid_t pids[N_CHANGES];
	char name[16], *plan;

	write_changes(r, false);
	free(rig_reload(r));
	for (size_t i = 0; i < N_CHANGES; i++) {
		snprintf(name, sizeof(name), "w%zu", i);
		rig_wait(r, name, "RUNNING");
		pids[i] = rig_pid(r, name);
	}
	write_changes(r, true);
	plan = rig_reload(r);
	for (size_t i = 0; i < N_CHANGES; i++) {
		snprintf(name, sizeof(name), "w%zu", i);
		check_change(plan, i);
		if (changes[i].restarts)
			rig_wait_replaced(r, name, pids[i]);
		else
			ck_assert_int_eq(rig_pid(r, name), pids[i]);
	}
	free(plan);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* What needs no restart is in force at once. */
START_TEST(test_update_takes_effect)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\nautorestart = false\n" WAITER
				  "[worker:b]\nstopwaitsecs = 1h\n" STUBBORN,
				  actor(), actor());
	pid_t a, b;

	rig_wait(r, "a", "RUNNING");
	rig_wait_file(rig_path(r, "log/b.out.log"), "up");
	a = rig_pid(r, "a");
	b = rig_pid(r, "b");
	rig_write_config(r,
			 "[worker:a]\nautorestart = true\n" WAITER
			 "[worker:b]\nstopwaitsecs = 0.1\n" STUBBORN,
			 actor(), actor());
	free(rig_reload(r));
	ck_assert_int_eq(rig_pid(r, "a"), a);
	ck_assert_int_eq(rig_pid(r, "b"), b);
	ck_assert_int_eq(kill(a, SIGKILL), 0);
	rig_wait_replaced(r, "a", a);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "b", NULL), 0);
	ck_assert_int_eq(rig_row(r, "b").exit_code, -SIGKILL);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* The limits of a log that is open take effect without a new process. */
START_TEST(test_log_limits_take_effect)
{
	static const char ini[] =
		"[worker:a]\ncommand = %s %s wait\nstartsecs = 0\n"
		"numprocs = 2\nstdout_logfile = %s/shared.log\n"
		"stdout_logfile_maxbytes = %s\nstdout_logfile_backups = 3\n";
	static const char *const newer[] = { "shared.log", "shared.log.1",
					     "shared.log.2" };
	const char *loop = "fork { pause 20 flood 800 loop }";
	struct rig *r = rig_start(
		0, "[worker:first]\nautostart = false\n" WAITER, actor());
	struct stat st;
	pid_t pid;

	rig_write_config(r, ini, actor(), loop, rig_dir(r), "1GB");
	free(rig_reload(r));
	rig_wait(r, "a:0", "RUNNING");
	rig_wait_file(rig_path(r, "shared.log"), "xxx");
	pid = rig_pid(r, "a:0");
	rig_write_config(r, ini, actor(), loop, rig_dir(r), "2KB");
	free(rig_reload(r));
	/* the oldest is what was written before, however much that was */
	rig_wait_file(rig_path(r, "shared.log.3"), "xxx");
	ck_assert_int_eq(rig_pid(r, "a:0"), pid);
	/* nothing is renamed any more */
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "a:*", NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(newer); i++) {
		ck_assert_int_eq(stat(rig_path(r, newer[i]), &st), 0);
		ck_assert_int_le(st.st_size, 2048);
	}
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_numprocs)
{
	static const char ini[] = "[worker:a]\nnumprocs = %d\n" WAITER;
	struct rig *r = rig_start(0, ini, 2, actor());
	pid_t first, second;
	char *plan;

	rig_wait(r, "a:0", "RUNNING");
	rig_wait(r, "a:1", "RUNNING");
	first = rig_pid(r, "a:0");
	second = rig_pid(r, "a:1");
	rig_write_config(r, ini, 4, actor());
	plan = rig_reload(r);
	ck_assert(rig_plan_has(plan, "add", "a:2", ""));
	ck_assert(rig_plan_has(plan, "add", "a:3", ""));
	ck_assert(rig_plan_has(plan, "update", "a:0", "numprocs"));
	free(plan);
	rig_wait(r, "a:3", "RUNNING");
	ck_assert_int_eq(rig_pid(r, "a:0"), first);
	ck_assert_int_eq(rig_pid(r, "a:1"), second);
	rig_write_config(r, ini, 3, actor());
	plan = rig_reload(r);
	ck_assert(rig_plan_has(plan, "remove", "a:3", ""));
	ck_assert(!rig_plan_has(plan, "remove", "a:2", ""));
	free(plan);
	while (has_worker(r, "a:3"))
		;
	ck_assert_uint_eq(rig_count(r, "RUNNING"), 3);
	ck_assert_int_eq(rig_pid(r, "a:1"), second);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* Those that stay are told the number: then it does matter to them. */
START_TEST(test_numprocs_that_is_told)
{
	static const char ini[] = "[worker:a]\nnumprocs = %d\n"
				  "environment = N=\"%%(numprocs)s\"\n" WAITER;
	struct rig *r = rig_start(0, ini, 2, actor());
	pid_t first;

	rig_wait(r, "a:0", "RUNNING");
	first = rig_pid(r, "a:0");
	rig_write_config(r, ini, 3, actor());
	free(rig_reload(r));
	rig_wait_replaced(r, "a:0", first);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_renamed_section)
{
	struct rig *r = rig_start(0, "[worker:old]\n" WAITER, actor());
	pid_t old;
	char *plan;

	rig_wait(r, "old", "RUNNING");
	old = rig_pid(r, "old");
	rig_write_config(r, "[worker:new]\n" WAITER, actor());
	plan = rig_reload(r);
	ck_assert(rig_plan_has(plan, "remove", "old", ""));
	ck_assert(rig_plan_has(plan, "add", "new", ""));
	free(plan);
	rig_wait(r, "new", "RUNNING");
	rig_wait_gone(old);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_groups)
{
	static const char workers[] =
		"[worker:a]\n" WAITER "[worker:b]\n" WAITER
		"[worker:c]\n" WAITER;
	struct rig *r = rig_start(0, workers, actor(), actor(), actor());
	pid_t a, b, c;

	rig_wait(r, "a", "RUNNING");
	rig_wait(r, "b", "RUNNING");
	rig_wait(r, "c", "RUNNING");
	a = rig_pid(r, "a");
	c = rig_pid(r, "c");
	rig_write_config(r,
			 "[group:g]\nprograms = a,b\n"
			 "[worker:a]\n" WAITER "[worker:b]\n" WAITER
			 "[worker:c]\n" WAITER,
			 actor(), actor(), actor());
	free(rig_reload(r));
	rig_wait(r, "g:a", "RUNNING");
	rig_wait(r, "g:b", "RUNNING");
	rig_wait_gone(a);
	ck_assert_str_eq(rig_row(r, "g:a").group, "g");
	b = rig_pid(r, "g:b");
	/* a leaves the group, b stays */
	rig_write_config(r,
			 "[group:g]\nprograms = b\npriority = 7\n"
			 "[worker:a]\n" WAITER "[worker:b]\n" WAITER
			 "[worker:c]\n" WAITER,
			 actor(), actor(), actor());
	free(rig_reload(r));
	rig_wait(r, "a", "RUNNING");
	ck_assert_str_eq(rig_row(r, "a").group, "a");
	ck_assert_int_eq(rig_pid(r, "g:b"), b);
	ck_assert_int_eq(rig_pid(r, "c"), c);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* What an operator has stopped stays stopped, and starts as configured now. */
START_TEST(test_stopped_stays_stopped)
{
	struct rig *r = rig_start(0, "[worker:a]\n" WAITER, actor());

	rig_wait(r, "a", "RUNNING");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "a", NULL), 0);
	rig_write_config(r,
			 "[worker:a]\ncommand = %s print changed wait\n"
			 "startsecs = 0\n",
			 actor());
	free(rig_reload(r));
	ck_assert_str_eq(rig_row(r, "a").state, "STOPPED");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "start", "a", NULL), 0);
	rig_wait_file(rig_path(r, "log/a.out.log"), "changed");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* The command was wrong, and is put right: no `start` is needed. */
START_TEST(test_what_had_failed_is_tried_again)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\ncommand = %s exit 3\n"
				  "startretries = 0\n"
				  "[worker:b]\ncommand = %s exit 3\n"
				  "startretries = 9\nrestart_delay = 1h\n"
				  "restart_delay_max = 1h\n",
				  actor(), actor());

	rig_wait(r, "a", "FATAL");
	rig_wait(r, "b", "BACKOFF");
	rig_write_config(r, "[worker:a]\n" WAITER "[worker:b]\n" WAITER,
			 actor(), actor());
	free(rig_reload(r));
	rig_wait(r, "a", "RUNNING");
	rig_wait(r, "b", "RUNNING");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* New workers come up by priority; status is in the order of the file, also
 * while some are being restarted. */
START_TEST(test_order)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\nstopwaitsecs = 0.2\n" STUBBORN
				  "[worker:b]\n" WAITER,
				  actor(), actor());
	char *log, *early, *late, *status;
	const char *names[] = { "b", "late", "a", "early" }, *p;

	rig_wait_file(rig_path(r, "log/a.out.log"), "up");
	rig_write_config(r,
			 "[worker:b]\n" WAITER
			 "[worker:late]\npriority = 2\n" WAITER
			 "[worker:a]\nnice = 1\nstopwaitsecs = 0.2\n" STUBBORN
			 "[worker:early]\npriority = 1\n" WAITER,
			 actor(), actor(), actor(), actor());
	free(rig_reload(r));
	ck_assert_int_eq(rig_reeve(r, &status, NULL, "status", NULL), 0);
	p = status;
	for (size_t i = 0; i < 4; i++) {
		char line[32];

		snprintf(line, sizeof(line), "\n%s ", names[i]);
		p = strstr(p, line);
		ck_assert_msg(p, "%s is not where it should be:\n%s", names[i],
			      status);
	}
	free(status);
	rig_wait(r, "late", "RUNNING");
	rig_wait(r, "early", "RUNNING");
	log = rig_read_file(rig_path(r, "reeved.log"));
	early = strstr(log, "worker=early state=STARTING");
	late = strstr(log, "worker=late state=STARTING");
	ck_assert(early && late && early < late);
	free(log);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

UNIT_MAIN("reload", test_add_remove_keep, test_by_signal, test_dry_run,
	  test_which_keys_restart, test_update_takes_effect,
	  test_log_limits_take_effect, test_numprocs,
	  test_numprocs_that_is_told, test_renamed_section, test_groups,
	  test_stopped_stays_stopped, test_what_had_failed_is_tried_again,
	  test_order)
