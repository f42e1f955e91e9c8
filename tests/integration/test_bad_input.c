/* What an operator can get wrong before reeved runs: arguments, configuration,
 * directories, limits. Each is refused with an exit code that says which kind
 * it is and a sentence that says where; and a worker that cannot start is its
 * own trouble, not that of the others. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/daemon/daemon.h"
#include "tests/lib/actor.h"
#include "tests/lib/rig.h"
#include "tests/lib/unit.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"

#define REEVE_CONFIG_ERROR 6 /* exit code of `reeve check` */
#define WAITER		   "command = %s wait\nstartsecs = 0\n"
#define GOOD		   "[worker:good]\ncommand = /bin/true\n"
#define WORDS_MAX	   8

/* ---- running a program ------------------------------------------------------ */

struct invocation {
	const char *variable, *fallback;
	const char *words[WORDS_MAX];
	rlim_t nofile; /* 0: as it is */
};

static void exec_program(void *arg)
{
	const struct invocation *inv = arg;
	const char *path = getenv(inv->variable);
	const struct rlimit limit = { inv->nofile, inv->nofile };

	unsetenv("NOTIFY_SOCKET");
	if (inv->nofile > 0 && setrlimit(RLIMIT_NOFILE, &limit) < 0)
		_exit(125);
	execv(path ? path : inv->fallback,
	      (char *const *)(uintptr_t)inv->words);
	_exit(126);
}

#define RUN_REEVED(output, ...)                                                \
	unit_fork(exec_program,                                                \
		  &(struct invocation){ "REEVED",                              \
					"build/reeved",                        \
					{ "reeved", __VA_ARGS__, NULL },       \
					0 },                                   \
		  output)
#define RUN_REEVE(output, ...)                                                 \
	unit_fork(exec_program,                                                \
		  &(struct invocation){ "REEVE",                               \
					"build/reeve",                         \
					{ "reeve", __VA_ARGS__, NULL },        \
					0 },                                   \
		  output)

static void check_has(const char *text, const char *sentence)
{
	ck_assert_msg(strstr(text, sentence), "no \"%s\" in:\n%s", sentence,
		      text);
}

/* ---- arguments --------------------------------------------------------------- */

START_TEST(test_arguments)
{
	char *output;

	ck_assert_int_eq(RUN_REEVED(&output, "--help"), DAEMON_EXIT_OK);
	check_has(output, "usage: reeved");
	check_has(output, "--runtime-dir");
	free(output);
	ck_assert_int_eq(RUN_REEVED(&output, "--version"), DAEMON_EXIT_OK);
	check_has(output, "reeved " REEVE_VERSION);
	free(output);
	ck_assert_int_eq(RUN_REEVED(&output, "--no-such-option"),
			 DAEMON_EXIT_USAGE);
	check_has(output, "--no-such-option");
	check_has(output, "--help");
	free(output);
	ck_assert_int_eq(RUN_REEVED(&output, "reeve.ini"), DAEMON_EXIT_USAGE);
	check_has(output, "\"reeve.ini\"");
	check_has(output, "-c");
	free(output);
	ck_assert_int_eq(RUN_REEVED(&output, "-c"), DAEMON_EXIT_USAGE);
	free(output);
	ck_assert_int_eq(RUN_REEVED(&output, "-c", "/nowhere/reeve.ini"),
			 DAEMON_EXIT_CONFIG);
	check_has(output, "/nowhere/reeve.ini: error: cannot read it: No such "
			  "file");
	free(output);
}
END_TEST

/* ---- the configuration ------------------------------------------------------- */

/* Five lines of [reeve] stand in front. */
static const struct {
	const char *text;
	const char *sentences[4];
} texts[] = {
	{ "[worker:x]\ncomand = /bin/true\n",
	  { "reeve.ini:7: error: unknown key \"comand\"",
	    "did you mean \"command\"?" } },
	{ "[wroker:x]\ncommand = /bin/true\n",
	  { "reeve.ini:6: error: unknown section [wroker:x]",
	    "did you mean [worker:x]?" } },
	{ GOOD "autostart = perhaps\n",
	  { "reeve.ini:8: error: bad value \"perhaps\" for autostart" } },
	{ GOOD "stopsignal = TERM:soon\n",
	  { "reeve.ini:8: error: bad value \"TERM:soon\" for stopsignal" } },
	{ GOOD GOOD,
	  { "reeve.ini:8: error: [worker:good] was there before",
	    "reeve.ini:6" } },
	{ GOOD "command = /bin/true\n",
	  { "reeve.ini:8: error: command is set twice", "line 7" } },
	{ "[worker:x]\ndirectory = /\n",
	  { "reeve.ini:6: error: [worker:x] has no command=" } },
	{ GOOD "user = no-such-user-at-all\n",
	  { "reeve.ini:8: error: there is no user \"no-such-user-at-all\"" } },
	{ "[worker:x]\ncommand = /bin/echo \"open\n",
	  { "reeve.ini:7: error", "unclosed" } },
	{ "[worker:x]\ncommand = /bin/echo 100%\n",
	  { "reeve.ini:7: error", "%% for a percent sign" } },
	{ "[worker:x]\ncommand = /bin/echo %(ENV_NOT_SET_ANYWHERE)s\n",
	  { "reeve.ini:7: error", "ENV_NOT_SET_ANYWHERE" } },
	{ GOOD "numprocs = 3\nprocess_name = same\n",
	  { "reeve.ini:9: error", "%(process_num)d" } },
	{ GOOD "stopasgroup = true\nkillasgroup = false\n",
	  { "reeve.ini:9: error", "killasgroup" } },
	{ GOOD "stdout_logfile = /dev/stdout\nstdout_logfile_maxbytes = 1\n",
	  { "reeve.ini:9: error", "write stdout_logfile_maxbytes=0" } },
	{ "[worker:x\n" GOOD, { "reeve.ini:6: error", "\"[section]\"" } },
	{ GOOD "just words\n", { "reeve.ini:8: error", "just words" } },
	{ "[group:g]\nprograms = nobody\n",
	  { "reeve.ini:7: error: programs in [group:g]: there is no "
	    "[worker:nobody]" } },
	{ "[fcgi-program:x]\ncommand = /bin/true\n",
	  { "reeve.ini:6: error", "--ignore-unsupported" } },
	{ "[include]\nfiles = /\n" GOOD,
	  { "reeve.ini:7: error", "directory" } },
	{ "[include]\nfiles = /dev/zero\n" GOOD,
	  { "reeve.ini:7: error", "not a regular file" } },
	{ "[worker:x]\ncommand = /bin/true\ncomand = 1\nnumprocs = -1\n"
	  "[wroker:y]\n",
	  { "reeve.ini:8: error", "reeve.ini:9: error",
	    "reeve.ini:10: error" } },
};

/* reeved refuses to start, and `reeve check` says the same. */
START_TEST(test_configuration)
{
	const char *path = unit_path("reeve.ini");

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *const *s = texts[i].sentences;
		char *refused, *checked;
		FILE *f = fopen(path, "we");

		ck_assert_ptr_nonnull(f);
		fprintf(f, "[reeve]\n\n\n\n\n%s", texts[i].text);
		ck_assert_int_eq(fclose(f), 0);
		ck_assert_int_eq(rig_refused(texts[i].text, &refused),
				 DAEMON_EXIT_CONFIG);
		ck_assert_int_eq(RUN_REEVE(&checked, "check", path),
				 REEVE_CONFIG_ERROR);
		for (; *s; s++) {
			check_has(refused, *s);
			check_has(checked, *s);
		}
		free(refused);
		free(checked);
	}
}
END_TEST

/* Odd, but what it says is clear: started, with a warning. */
START_TEST(test_odd_bytes)
{
	static const char ini[] = "\xef\xbb\xbf[worker:x]\r\n"
				  "command = /bin/echo 'a ; b' c ; comment\r\n";
	const char *path = unit_file("reeve.ini", ini);
	char *output;

	ck_assert_int_eq(RUN_REEVE(&output, "check", path), 0);
	check_has(output, "reeve.ini:1: warning: the file begins with a byte "
			  "order mark");
	check_has(output, "reeve.ini:1: warning: lines end with CR LF");
	free(output);
	ck_assert_int_eq(RUN_REEVE(&output, "config", path), 0);
	check_has(output, "command = /bin/echo 'a ; b' c ");
	free(output);
}
END_TEST

START_TEST(test_special_files)
{
	static const struct {
		const char *name, *why;
	} rows[] = { { "fifo", "not a regular file" },
		     { "dir", "it is a directory" },
		     { "loop", "symbolic links" } };
	char *output;

	ck_assert_int_eq(mkfifo(unit_path("fifo"), 0600), 0);
	ck_assert_int_eq(mkdir(unit_path("dir"), 0700), 0);
	ck_assert_int_eq(symlink("loop", unit_path("loop")), 0);
	for (size_t i = 0; i < 3; i++) {
		const char *path = unit_path(rows[i].name);

		ck_assert_int_eq(RUN_REEVED(&output, "-c", path),
				 DAEMON_EXIT_CONFIG);
		check_has(output, rows[i].why);
		free(output);
		ck_assert_int_eq(RUN_REEVE(&output, "check", path),
				 REEVE_CONFIG_ERROR);
		check_has(output, rows[i].why);
		free(output);
	}
}
END_TEST

/* 10,000 sections are read, and 10,000 with an error each refused, soon. */
START_TEST(test_many_sections)
{
	enum { SECTIONS = 10000, SOON_SEC = 5 };
	const char *path = unit_path("many.ini");
	uint64_t start;
	struct rlimit limit;
	char *output;
	int expected;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	expected = limit.rlim_max >= SECTIONS + DAEMON_FDS ? 0
							   : REEVE_CONFIG_ERROR;
	for (int bad = 0; bad < 2; bad++) {
		FILE *f = fopen(path, "we");

		ck_assert_ptr_nonnull(f);
		for (int i = 0; i < SECTIONS; i++)
			fprintf(f,
				"[worker:w%d]\ncommand = /bin/true\n"
				"stdout_logfile = NONE\n"
				"stderr_logfile = NONE\n%s",
				i, bad ? "comand = x\n" : "");
		ck_assert_int_eq(fclose(f), 0);
		start = clock_monotonic_usec();
		ck_assert_int_eq(RUN_REEVE(&output, "check", path),
				 bad ? REEVE_CONFIG_ERROR : expected);
		ck_assert_uint_lt(clock_monotonic_usec() - start,
				  SOON_SEC * USEC_PER_SEC);
		if (bad)
			check_has(output, "many.ini:5: error: unknown key");
		free(output);
	}
}
END_TEST

/* ---- where it runs ----------------------------------------------------------- */

START_TEST(test_second_daemon)
{
	struct rig *r = rig_start(0, "[worker:a]\n" WAITER, actor());
	char config[256], *output;
	pid_t a;

	rig_wait(r, "a", "RUNNING");
	a = rig_pid(r, "a");
	snprintf(config, sizeof(config), "%s", rig_path(r, "reeve.ini"));
	ck_assert_int_eq(RUN_REEVED(&output, "-c", config), DAEMON_EXIT_FAILED);
	check_has(output, "another reeved runs in");
	check_has(output, "--runtime-dir");
	free(output);
	/* and the first one has lost nothing: process, sockets */
	ck_assert_int_eq(rig_pid(r, "a"), a);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "status", NULL), 0);
	ck_assert_int_eq(access(rig_path(r, "run/notify.sock"), F_OK), 0);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* The lock is the kernel's: a daemon that was killed leaves none. */
START_TEST(test_lock_of_a_dead_daemon)
{
	struct rig *r = rig_start(0, "[worker:a]\n" WAITER, actor());

	rig_wait(r, "a", "RUNNING");
	rig_crash(r);
	rig_restart(r);
	rig_wait(r, "a", "RUNNING");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_runtime_directory)
{
	const char *config = unit_file("reeve.ini", GOOD);
	const char *dir = unit_path("run");
	static char deep[160];
	char *output;

	ck_assert_int_eq(mkdir(dir, 0700), 0);
	ck_assert_int_eq(chmod(dir, 0777), 0);
	ck_assert_int_eq(RUN_REEVED(&output, "-c", config, "--runtime-dir",
				    dir),
			 DAEMON_EXIT_FAILED);
	check_has(output, "not writable by others");
	free(output);
	ck_assert_int_eq(chmod(dir, 0700), 0);
	if (getuid() != 0) {
		puts("SKIP: not root: a directory of another user");
	} else {
		ck_assert_int_eq(chown(dir, 54321, 54321), 0);
		ck_assert_int_eq(RUN_REEVED(&output, "-c", config,
					    "--runtime-dir", dir),
				 DAEMON_EXIT_FAILED);
		check_has(output, "belongs to uid 54321");
		free(output);
	}
	ck_assert_int_eq(RUN_REEVED(&output, "-c", config, "--runtime-dir",
				    config),
			 DAEMON_EXIT_FAILED);
	check_has(output, "reeve.ini");
	free(output);
	/* the control socket's path would not fit */
	memset(deep, 'd', 120);
	deep[120] = '\0';
	dir = unit_path(deep);
	ck_assert_int_eq(RUN_REEVED(&output, "-c", config, "--runtime-dir",
				    dir),
			 DAEMON_EXIT_FAILED);
	check_has(output, "too long");
	free(output);
}
END_TEST

/* More fds than the hard limit allows: said at once, not when it is late. */
START_TEST(test_more_fds_than_allowed)
{
	const char *config =
		unit_file("reeve.ini", "[worker:x]\ncommand = /bin/true\n"
				       "numprocs = 500\n");
	struct invocation daemon = { "REEVED",
				     "build/reeved",
				     { "reeved", "-c", config, "--runtime-dir",
				       unit_path("run"), NULL },
				     1200 };
	struct invocation check = {
		"REEVE", "build/reeve", { "reeve", "check", config, NULL }, 1200
	};
	char *output;

	ck_assert_int_eq(unit_fork(exec_program, &daemon, &output),
			 DAEMON_EXIT_FAILED);
	check_has(output, "the limit is 1200");
	check_has(output, "LimitNOFILE=");
	free(output);
	ck_assert_int_eq(unit_fork(exec_program, &check, &output),
			 REEVE_CONFIG_ERROR);
	check_has(output, "the limit is 1200");
	free(output);
}
END_TEST

/* ---- one worker's trouble ----------------------------------------------------- */

START_TEST(test_others_start)
{
	struct rig *r = rig_start(
		0,
		"[worker:missing]\ncommand = /nowhere/at-all\n"
		"startretries = 0\n"
		"[worker:forbidden]\ncommand = /etc/passwd\nstartretries = 0\n"
		"[worker:nowhere]\ncommand = %s wait\n"
		"directory = /nowhere/at-all\nstartretries = 0\n"
		"[worker:mute]\ncommand = %s wait\n"
		"stdout_logfile = /nowhere/at-all.log\n"
		"[worker:fine]\n" WAITER,
		actor(), actor(), actor());
	struct rig_row row;

	rig_wait(r, "fine", "RUNNING");
	rig_wait(r, "missing", "FATAL");
	rig_wait(r, "forbidden", "FATAL");
	rig_wait(r, "nowhere", "FATAL");
	rig_wait(r, "mute", "BACKOFF");
	row = rig_row(r, "missing");
	check_has(row.error, "/nowhere/at-all: No such file or directory");
	row = rig_row(r, "forbidden");
	check_has(row.error, "/etc/passwd: Permission denied");
	row = rig_row(r, "nowhere");
	check_has(row.error, "/nowhere/at-all: No such file or directory");
	row = rig_row(r, "mute");
	check_has(row.error, "/nowhere/at-all.log: its directory does not "
			     "exist");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "status", NULL), 3);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

UNIT_MAIN("bad_input", test_arguments, test_configuration, test_odd_bytes,
	  test_special_files, test_many_sections, test_second_daemon,
	  test_lock_of_a_dead_daemon, test_runtime_directory,
	  test_more_fds_than_allowed, test_others_start)
