/* What a process is started with: the same every time, what the settings say,
 * and nothing of what reeved itself happens to have. */
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/actor.h"
#include "tests/lib/rig.h"
#include "tests/lib/unit.h"

#define HERE	  "%(here)s"
#define SHOW	  "print BEGIN show print END notify READY=1"
#define UNTRUSTED 65534
#define TEXT_MAX  4000 /* of a message of libcheck's */

/* ---- what `show` said --------------------------------------------------------- */

/* Waits until the log holds the nth of them, and returns it (free it) without
 * the one line that differs. */
static char *shown(struct rig *r, const char *name, int nth)
{
	char file[64], *all = NULL, *begin, *end, *line, *next;

	snprintf(file, sizeof(file), "log/%s.out.log", name);
	do { /* the deadline is the test's */
		free(all);
		begin = end = all = rig_read_file(rig_path(r, file));
		for (int i = 0; i < nth && end; i++) {
			begin = strstr(end, "BEGIN\n");
			end = begin ? strstr(begin, "END\n") : NULL;
		}
	} while (!end);
	*end = '\0';
	memmove(all, begin + 6, (size_t)(end - begin) - 5);
	line = strstr(all, "env REEVE_INVOCATION=");
	ck_assert_ptr_nonnull(line);
	next = strchr(line, '\n') + 1;
	memmove(line, next, strlen(next) + 1);
	return all;
}

static void check_line(const char *text, const char *line)
{
	size_t len = strlen(line);

	for (const char *p = text; (p = strstr(p, line)); p++)
		if ((p == text || p[-1] == '\n') && p[len] == '\n')
			return;
	ck_abort_msg("\"%s\" is not in\n%.*s", line, TEXT_MAX, text);
}

static void check_no_line(const char *text, const char *beginning)
{
	for (const char *p = text; (p = strstr(p, beginning)); p++)
		ck_assert_msg(p > text && p[-1] != '\n', "there is %.60s", p);
}

/* Nothing ignored, nothing blocked, 0, 1, 2. */
static void check_clean(const char *text)
{
	check_line(text, "SigBlk:\t0000000000000000");
	check_line(text, "SigIgn:\t0000000000000000");
	check_line(text, "SigCgt:\t0000000000000000");
	check_line(text, "session 1");
	ck_assert_ptr_eq(strstr(text, "fd 0\nfd 1\nfd 2\n"), text);
	check_no_line(text + 15, "fd ");
}

START_TEST(test_every_start_is_the_same)
{
	static const char *const ini =
		"[worker:a]\ntype = notify\ncommand = %s " SHOW " wait\n"
		"restart_delay = 0\nenvironment = A=\"1\",B=\"2\"\n"
		"[worker:b]\nstartsecs = 0\ncommand = %s wait\nnumprocs = %d\n";
	struct rig *r = rig_start(0, ini, actor(), actor(), 1);
	char *first = shown(r, "a", 1);

	check_clean(first);
	rig_wait(r, "a", "RUNNING");
	ck_assert_int_eq(kill(rig_pid(r, "a"), SIGKILL), 0);
	rig_wait_row(r, "a", rig_has_restarts, 1);
	rig_wait(r, "a", "RUNNING");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "recycle", "a", NULL), 0);
	rig_wait_row(r, "a", rig_has_recycles, 1);
	/* reeved has more fds now, and has read its file anew */
	rig_write_config(r, ini, actor(), actor(), 5);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "reload", NULL), 0);
	rig_wait(r, "b:4", "RUNNING");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "restart", "a", NULL), 0);
	for (int i = 2; i <= 4; i++) {
		char *text = shown(r, "a", i);

		ck_assert_str_eq(text, first);
		free(text);
	}
	free(first);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* reeved started by a careless parent. */
static void make_a_mess(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	sigaction(SIGUSR2, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	sigaction(SIGHUP, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	umask(0);
	for (int fd = 40; fd < 50; fd++)
		ck_assert_int_eq(dup2(2, fd), fd); /* not CLOEXEC */
}

static void clean_up(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int fd = 40; fd < 50; fd++)
		close(fd);
	umask(022);
}

START_TEST(test_nothing_of_reeved_gets_through)
{
	struct rlimit old, few;
	char expected[128], *text;
	struct rig *r;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){ 300, old.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	make_a_mess();
	r = rig_start(0,
		      "[worker:a]\ntype = notify\ncommand = %s " SHOW " wait\n",
		      actor());
	clean_up();
	text = shown(r, "a", 1);
	check_clean(text);
	check_line(text, "umask 022");
	snprintf(expected, sizeof(expected), "%-25s %-20d %-20llu files     ",
		 "Max open files", 300, (unsigned long long)old.rlim_max);
	check_line(text, expected);
	free(text);
	/* blocked or not, reeved itself hears what it should */
	rig_write_config(r, "[worker:b]\ncommand = %s wait\n", actor());
	ck_assert_int_eq(kill(rig_daemon_pid(r), SIGHUP), 0);
	rig_wait_log(r, "worker=b state=STARTING");
	ck_assert_int_eq(rig_stop(r), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
}
END_TEST

/* ---- the environment ---------------------------------------------------------- */

START_TEST(test_environment)
{
	struct rig *r;
	char *text;

	setenv("OUTSIDE", "from outside", 1);
	setenv("SHARED", "outside", 1);
	setenv("REEVE_SOCKET", "/nowhere", 1);
	setenv("LISTEN_FDS", "3", 1);
	setenv("WATCHDOG_PID", "1", 1);
	r = rig_start(0,
		      "environment = SHARED=\"reeve\",OF_ALL=\"all\","
		      "OVER=\"reeve\"\n"
		      "[worker:a]\ntype = notify\ncommand = %s " SHOW " wait\n"
		      "environment = OVER=\"worker\",MADE=\"%s\"\n"
		      "[worker:bare]\ntype = notify\ncommand = %s " SHOW
		      " wait\nclear_env = true\nenvironment = MINE=\"1\"\n",
		      actor(), "<%(ENV_OUTSIDE)s> %(program_name)s", actor());
	text = shown(r, "a", 1);
	check_line(text, "env OUTSIDE=from outside");
	check_line(text, "env SHARED=reeve");
	check_line(text, "env OF_ALL=all");
	check_line(text, "env OVER=worker");
	check_line(text, "env MADE=<from outside> a");
	check_line(text, "env REEVE_WORKER=a");
	check_line(text, "env SUPERVISOR_PROCESS_NAME=a");
	check_no_line(text, "env REEVE_SOCKET");
	check_no_line(text, "env LISTEN_FDS");
	check_no_line(text, "env WATCHDOG");
	free(text);
	text = shown(r, "bare", 1);
	check_no_line(text, "env OUTSIDE");
	check_no_line(text, "env HOME");
	check_line(text, "env SHARED=reeve");
	check_line(text, "env MINE=1");
	ck_assert_ptr_nonnull(strstr(text, "\nenv PATH=/"));
	free(text);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* ---- what the settings say ------------------------------------------------------ */

START_TEST(test_settings)
{
	struct rig *r = rig_start(
		0,
		"umask = 077\n"
		"[worker:a]\ntype = notify\ncommand = %s " SHOW " wait\n"
		"umask = 027\ndirectory = /usr/share\nnice = 5\n"
		"oom_score_adj = 500\ncpu_affinity = 0\nno_new_privs = true\n"
		"[worker:b]\ntype = notify\ncommand = %s " SHOW " wait\n",
		actor(), actor());
	char *text = shown(r, "a", 1);

	check_line(text, "umask 027");
	check_line(text, "cwd /usr/share");
	check_line(text, "nice 5");
	check_line(text, "oom 500");
	check_line(text, "Cpus_allowed_list:\t0");
	check_line(text, "NoNewPrivs:\t1");
	check_clean(text);
	free(text);
	text = shown(r, "b", 1);
	check_line(text, "umask 077");
	check_line(text, "NoNewPrivs:\t0");
	free(text);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

static const struct {
	const char *key, *unit, *name;
	int resource;
	rlim_t soft, hard; /* as far as ours allow it */
} limits[] = {
	{ "as", "", "address space", RLIMIT_AS, 1 << 30, RLIM_INFINITY },
	{ "core", "", "core file size", RLIMIT_CORE, 0, 4096 },
	{ "cpu", "s", "cpu time", RLIMIT_CPU, 1000, 2000 },
	{ "data", "", "data size", RLIMIT_DATA, 1 << 29, 1 << 30 },
	{ "fsize", "", "file size", RLIMIT_FSIZE, 1 << 29, 1 << 30 },
	{ "locks", "", "file locks", RLIMIT_LOCKS, 100, 200 },
	{ "memlock", "", "locked memory", RLIMIT_MEMLOCK, 4096, 8192 },
	{ "msgqueue", "", "msgqueue size", RLIMIT_MSGQUEUE, 1000, 2000 },
	{ "nice", "", "nice priority", RLIMIT_NICE, 20, 30 },
	{ "nofile", "", "open files", RLIMIT_NOFILE, 100, 200 },
	{ "nproc", "", "processes", RLIMIT_NPROC, 500, 600 },
	{ "rss", "", "resident set", RLIMIT_RSS, 1 << 30, RLIM_INFINITY },
	{ "rtprio", "", "realtime priority", RLIMIT_RTPRIO, 1, 2 },
	{ "rttime", "us", "realtime timeout", RLIMIT_RTTIME, 1000, 2000 },
	{ "sigpending", "", "pending signals", RLIMIT_SIGPENDING, 50, 60 },
	{ "stack", "", "stack size", RLIMIT_STACK, 4 << 20, 8 << 20 },
};

static const char *limit_text(rlim_t value, const char *unit,
			      const char *infinity, char *buf, size_t size)
{
	if (value == RLIM_INFINITY)
		snprintf(buf, size, "%s", infinity);
	else
		snprintf(buf, size, "%llu%s", (unsigned long long)value, unit);
	return buf;
}

/* rlimit_KEY = SOFT:HARD, and the line that shows it. */
static void word_limit(size_t i, char *setting, char *line, size_t size)
{
	char soft[32], hard[32];
	struct rlimit ours;

	ck_assert_int_eq(
		getrlimit((__rlimit_resource_t)limits[i].resource, &ours), 0);
	ours.rlim_cur = MIN(limits[i].soft, ours.rlim_max);
	ours.rlim_max = MIN(limits[i].hard, ours.rlim_max);
	snprintf(setting, size, "rlimit_%s = %s:%s\n", limits[i].key,
		 limit_text(ours.rlim_cur, limits[i].unit, "infinity", soft,
			    sizeof(soft)),
		 limit_text(ours.rlim_max, limits[i].unit, "infinity", hard,
			    sizeof(hard)));
	snprintf(line, size, "\nMax %-21s %-20s %-20s ", limits[i].name,
		 limit_text(ours.rlim_cur, "", "unlimited", soft, sizeof(soft)),
		 limit_text(ours.rlim_max, "", "unlimited", hard,
			    sizeof(hard)));
}

START_TEST(test_limits)
{
	char ini[2048] = "", setting[128], line[128], *text;
	struct rig *r;

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		word_limit(i, setting, line, sizeof(line));
		snprintf(ini + strlen(ini), sizeof(ini) - strlen(ini), "%s",
			 setting);
	}
	r = rig_start(0,
		      "[worker:a]\ntype = notify\ncommand = %s " SHOW
		      " wait\n%s",
		      actor(), ini);
	text = shown(r, "a", 1);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		word_limit(i, setting, line, sizeof(line));
		ck_assert_msg(strstr(text, line), "no%s in\n%.*s", line,
			      TEXT_MAX, text);
	}
	free(text);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* ---- users ---------------------------------------------------------------------- */

/* Users of the test's own, seen by it and its children only. */
static bool invent_users(void)
{
	const char *passwd =
		unit_file("passwd", "root:x:0:0::/root:/bin/sh\n"
				    "someone:x:54321:54322::/home/some:\n");
	const char *group = unit_file("group", "root:x:0:\nfirst:x:54322:\n"
					       "second:x:54323:someone\n"
					       "third:x:54324:someone,root\n");

	if (unshare(CLONE_NEWNS) == 0 &&
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    chmod(passwd, 0644) == 0 && chmod(group, 0644) == 0 &&
	    mount(passwd, "/etc/passwd", NULL, MS_BIND, NULL) == 0 &&
	    mount(group, "/etc/group", NULL, MS_BIND, NULL) == 0)
		return true;
	puts("SKIP: users need root and a mount namespace");
	return false;
}

static void forget_users(void)
{
	ck_assert_int_eq(umount2("/etc/passwd", MNT_DETACH), 0);
	ck_assert_int_eq(umount2("/etc/group", MNT_DETACH), 0);
}

START_TEST(test_users)
{
	const char *program;
	struct rig *r;
	char *text;

	if (!invent_users())
		return;
	program = program_for_all(actor());
	r = rig_start(0,
		      "[worker:a]\ntype = notify\ncommand = %s " SHOW " wait\n"
		      "user = someone\n"
		      "[worker:b]\ntype = notify\ncommand = %s " SHOW " wait\n"
		      "user = someone\ngroup = third\nclear_env = true\n"
		      "[worker:c]\ntype = notify\ncommand = %s " SHOW " wait\n"
		      "user = 4321\ngroup = 4322\n",
		      program, program, program);
	text = shown(r, "a", 1);
	check_line(text, "Uid:\t54321\t54321\t54321\t54321");
	check_line(text, "Gid:\t54322\t54322\t54322\t54322");
	check_line(text, "Groups:\t54322 54323 54324 ");
	check_line(text, "CapEff:\t0000000000000000");
	check_line(text, "CapPrm:\t0000000000000000");
	check_line(text, "env HOME=/home/some");
	check_line(text, "env USER=someone");
	check_line(text, "env LOGNAME=someone");
	check_clean(text);
	free(text);
	text = shown(r, "b", 1);
	check_line(text, "Gid:\t54324\t54324\t54324\t54324");
	check_line(text, "Groups:\t54323 54324 ");
	check_line(text, "env USER=someone");
	free(text);
	text = shown(r, "c", 1);
	check_line(text, "Uid:\t4321\t4321\t4321\t4321");
	check_line(text, "Groups:\t4322 ");
	free(text);
	ck_assert_int_eq(rig_stop(r), 0);
	forget_users();
}
END_TEST

/* ---- starts that fail ------------------------------------------------------------- */

struct failure {
	const char *settings, *says;
};

/* Each as a worker of its own, which comes to rest with the sentence. */
static void check_failures(const struct failure *failures, size_t n_failures)
{
	char ini[4096] = "", name[24], *status;
	size_t n = 0;
	struct rig *r;

	for (size_t i = 0; i < n_failures; i++) {
		const char *settings = failures[i].settings;

		n += (size_t)snprintf(ini + n, sizeof(ini) - n,
				      "[worker:w%zu]\nstartretries = 0\n%s\n",
				      i, settings);
		if (!strstr(settings, "command = "))
			n += (size_t)snprintf(ini + n, sizeof(ini) - n,
					      "command = %s wait\n", actor());
	}
	r = rig_start(0, "%s", ini);
	for (size_t i = 0; i < n_failures; i++) {
		snprintf(name, sizeof(name), "w%zu", i);
		rig_wait(r, name, "FATAL");
	}
	ck_assert_int_eq(rig_reeve(r, &status, NULL, "status", "--json", NULL),
			 3);
	for (size_t i = 0; i < n_failures; i++)
		ck_assert_msg(strstr(status, failures[i].says),
			      "\"%s\" is not in\n%.*s", failures[i].says,
			      TEXT_MAX, status);
	free(status);
	ck_assert_int_eq(rig_reeve(r, &status, NULL, "status", NULL), 3);
	for (size_t i = 0; i < n_failures; i++)
		ck_assert_ptr_nonnull(strstr(status, failures[i].says));
	free(status);
	ck_assert_int_eq(rig_stop(r), 0);
}

START_TEST(test_failures_that_anybody_may_have)
{
	char garbage[256];
	const struct failure failures[] = {
		{ garbage, "/garbage: Exec format error" },
		{ "directory = /nowhere/at/all",
		  "cannot change to directory /nowhere/at/all: No such file or "
		  "directory" },
		{ "directory = /etc/passwd",
		  "cannot change to directory /etc/passwd: Not a directory" },
		{ "command = /nowhere/program",
		  "cannot execute /nowhere/program: No such file or "
		  "directory" },
		{ "command = no-such-program-anywhere",
		  "cannot execute no-such-program-anywhere: No such file or "
		  "directory" },
		{ "command = /etc/passwd",
		  "cannot execute /etc/passwd: Permission denied" },
		{ "rlimit_nofile = 10:9223372036854775807",
		  "cannot set resource limit nofile: Operation not "
		  "permitted" },
	};

	snprintf(garbage, sizeof(garbage), "command = %s",
		 unit_file("garbage", "no program\n"));
	ck_assert_int_eq(chmod(strchr(garbage, '/'), 0755), 0);
	check_failures(failures, ARRAY_SIZE(failures));
}
END_TEST

/* Makes the test, and reeved with it, an ordinary user until come_back(). */
static bool leave_root(void)
{
	const char *dir;

	if (getuid() != 0)
		return true;
	dir = unit_path("home");
	setenv("REEVED", program_for_all(getenv("REEVED")), 1);
	setenv("REEVE", program_for_all(getenv("REEVE")), 1);
	(void)program_for_all(actor());
	setenv("REEVE_PROGRAMS", unit_tmpdir(), 1);
	if (mkdir(dir, 0755) < 0 || chown(dir, UNTRUSTED, UNTRUSTED) < 0 ||
	    setgroups(0, NULL) < 0 || setresgid(UNTRUSTED, UNTRUSTED, 0) < 0 ||
	    setresuid(UNTRUSTED, UNTRUSTED, 0) < 0)
		return false;
	setenv("TMPDIR", dir, 1);
	setenv("HOME", dir, 1);
	return true;
}

static void come_back(void)
{
	if (getuid() == UNTRUSTED) {
		ck_assert_int_eq(setresuid(0, 0, 0), 0);
		ck_assert_int_eq(setresgid(0, 0, 0), 0);
	}
}

START_TEST(test_failures_of_ordinary_users)
{
	static const struct failure failures[] = {
		{ "user = root",
		  "cannot set supplementary groups of user root: Operation not "
		  "permitted" },
		{ "nice = -5", "cannot set nice: Permission denied" },
		{ "oom_score_adj = -900",
		  "cannot set oom_score_adj: Permission denied" },
		{ "rlimit_core = 1MB",
		  "cannot set resource limit core: Operation not permitted" },
		{ "directory = /root",
		  "cannot change to directory /root: Permission denied" },
	};
	struct rlimit none = { 0 };

	if (!leave_root()) {
		puts("SKIP: cannot become an ordinary user");
		return;
	}
	ck_assert_int_eq(setrlimit(RLIMIT_CORE, &none), 0);
	check_failures(failures, ARRAY_SIZE(failures));
	come_back();
}
END_TEST

/* All that works for root works for others, as far as it can. */
START_TEST(test_ordinary_user)
{
	struct rig *r;
	char *text;

	if (!leave_root()) {
		puts("SKIP: cannot become an ordinary user");
		return;
	}
	r = rig_start(0,
		      "[worker:a]\ntype = notify\ncommand = %s " SHOW
		      " wait\nnice = 3\noom_score_adj = 900\n"
		      "rlimit_core = 0\nno_new_privs = true\n",
		      actor());
	text = shown(r, "a", 1);
	check_clean(text);
	check_line(text, "CapEff:\t0000000000000000");
	check_line(text, "nice 3");
	check_line(text, "oom 900");
	check_line(text, "NoNewPrivs:\t1");
	free(text);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "a", NULL), 0);
	ck_assert_int_eq(rig_stop(r), 0);
	come_back();
}
END_TEST

UNIT_MAIN("start", test_every_start_is_the_same,
	  test_nothing_of_reeved_gets_through, test_environment, test_settings,
	  test_limits, test_users, test_failures_that_anybody_may_have,
	  test_failures_of_ordinary_users, test_ordinary_user)
