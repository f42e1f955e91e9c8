/* What workers write: where it goes, how it is rotated, and that nothing of it
 * is lost. Floods and full disks: test_logs_flood.c; `reeve logs`:
 * test_logs_cli.c. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/core/verbs.h"
#include "tests/lib/actor.h"
#include "tests/lib/rig.h"
#include "tests/lib/unit.h"

#define HERE "%(here)s"
/* Says "tick" at each USR1; ready when it listens. */
#define TICKER	   "hold USR1 notify READY=1 await USR1 print tick loop"
#define COUNT_LINE 16 /* bytes of a line of `count` */

static size_t count_of(const char *text, const char *part)
{
	size_t n = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		n++;
	return n;
}

static off_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : -1;
}

static void check_file(const char *path, const char *expected)
{
	char *text = rig_read_file(path);

	ck_assert_str_eq(text, expected);
	free(text);
}

static void tick(struct rig *r, const char *name)
{
	ck_assert_int_eq(kill(rig_pid(r, name), SIGUSR1), 0);
}

/* A path in log/ that lasts as long as the test. */
static const char *log_path(struct rig *r, const char *name)
{
	static char paths[8][256];
	static size_t next;
	char *path = paths[next++];

	ck_assert_uint_le(next, ARRAY_SIZE(paths));
	snprintf(path, sizeof(paths[0]), "%s/log/%s", rig_dir(r), name);
	return path;
}

/* path.N ... path.1 path, put together (free it). */
static char *read_rotated(const char *path, size_t *ret_n_backups)
{
	char name[256], *all = strdup("");
	size_t n = 0;

	do
		snprintf(name, sizeof(name), "%s.%zu", path, n + 1);
	while (access(name, F_OK) == 0 && ++n);
	*ret_n_backups = n;
	for (size_t i = n + 1; i-- > 0;) {
		char *text, *both;

		snprintf(name, sizeof(name), i > 0 ? "%s.%zu" : "%s", path, i);
		text = rig_read_file(name);
		ck_assert_int_gt(asprintf(&both, "%s%s", all, text), -1);
		free(text);
		free(all);
		all = both;
	}
	return all;
}

/* What `count` wrote, from line first on to its end. */
static void check_count(const char *text, int first, int last)
{
	const char *p = text;

	for (int i = first; i <= last; i++, p += COUNT_LINE) {
		char line[COUNT_LINE + 1];

		snprintf(line, sizeof(line), "%15d\n", i);
		ck_assert_msg(strncmp(p, line, COUNT_LINE) == 0,
			      "line %d is \"%.16s\"", i, p);
	}
	ck_assert_str_eq(p, "");
}

/* ---- where it goes -------------------------------------------------------- */

START_TEST(test_a_file_for_each_stream)
{
	struct rig *r = rig_start(
		0,
		"[worker:a]\ncommand = %s print out complain err print more "
		"notify READY=1 wait\ntype = notify\n"
		"[worker:both]\ncommand = %s print one complain two print "
		"three "
		"notify READY=1 wait\ntype = notify\nredirect_stderr = true\n",
		actor(), actor());

	rig_wait(r, "a", "RUNNING");
	rig_wait(r, "both", "RUNNING");
	rig_wait_file(rig_path(r, "log/a.out.log"), "more");
	rig_wait_file(rig_path(r, "log/a.err.log"), "err");
	rig_wait_file(rig_path(r, "log/both.out.log"), "three");
	check_file(rig_path(r, "log/a.out.log"), "out\nmore\n");
	check_file(rig_path(r, "log/a.err.log"), "err\n");
	check_file(rig_path(r, "log/both.out.log"), "one\ntwo\nthree\n");
	ck_assert_int_lt(access(rig_path(r, "log/both.err.log"), F_OK), 0);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_names_with_expansions)
{
	struct rig *r;

	setenv("FLAVOUR", "sour", 1);
	r = rig_start(0,
		      "[worker:web]\ncommand = %s print %s wait\n"
		      "startsecs = 0\nnumprocs = 2\nnumprocs_start = 7\n"
		      "process_name = %s\nstdout_logfile = %s\n"
		      "[group:site]\nprograms = web\n",
		      actor(), "%(process_num)d", "w%(process_num)02d",
		      HERE "/%(group_name)s-%(program_name)s-"
			   "%(process_num)02d-%(ENV_FLAVOUR)s.log");
	rig_wait_file(rig_path(r, "site-web-07-sour.log"), "7\n");
	rig_wait_file(rig_path(r, "site-web-08-sour.log"), "8\n");
	ck_assert_int_eq(access(rig_path(r, "log/site:w07.err.log"), F_OK), 0);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

static void check_link(pid_t pid, int fd, const char *target)
{
	char path[64], found[256];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	n = readlink(path, found, sizeof(found) - 1);
	ck_assert_int_gt(n, 0);
	found[n] = '\0';
	ck_assert_str_eq(found, target);
}

START_TEST(test_nowhere)
{
	struct rig *r = rig_start(
		0,
		"[worker:none]\ncommand = %s flood 200000 notify READY=1 wait\n"
		"type = notify\n"
		"stdout_logfile = NONE\nstderr_logfile = NONE\n"
		"[worker:null]\ncommand = %s flood 200000 notify READY=1 wait\n"
		"type = notify\nstdout_logfile = /dev/null\n"
		"stderr_logfile = /dev/null\n",
		actor(), actor());

	rig_wait(r, "none", "RUNNING");
	rig_wait(r, "null", "RUNNING");
	for (int fd = 0; fd <= 2; fd++)
		check_link(rig_pid(r, "none"), fd, "/dev/null");
	ck_assert_int_eq(rmdir(rig_path(r, "log")), 0); /* nothing in it */
	/* a device is not rotated, and nobody complains */
	ck_assert_int_eq(kill(rig_daemon_pid(r), SIGUSR1), 0);
	rig_wait_log(r, "reopening");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "reopen", NULL), 0);
	ck_assert(!rig_log_has(r, "cannot"));
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* ---- inherited ------------------------------------------------------------- */

/* Makes a pipe the fd `number` of this process, and so of reeved; returns the
 * end to read. The old fd, or -1, goes to *ret_saved. */
static int pipe_at(int number, int *ret_saved)
{
	int fds[2];

	fflush(NULL);
	*ret_saved = fcntl(number, F_DUPFD_CLOEXEC, 100);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	ck_assert_int_eq(dup2(fds[1], number), number);
	close(fds[1]);
	return fds[0];
}

static void undo_pipe_at(int number, int saved)
{
	if (saved < 0) {
		close(number);
		return;
	}
	ck_assert_int_eq(dup2(saved, number), number);
	close(saved);
}

/* Reads until the text has come, or until the end when it is NULL; returns
 * how often it was there. */
static size_t read_until(int fd, const char *text)
{
	static char all[65536];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t len = 0, n_found = 0;
	ssize_t n = 1;

	all[0] = '\0';
	while (n > 0 && !(text && (n_found = count_of(all, text)))) {
		ck_assert_msg(poll(&p, 1, RIG_DEADLINE_SEC * 1000) == 1,
			      "never read \"%s\"", text ? text : "end of file");
		n = read(fd, all + len, sizeof(all) - len - 1);
		ck_assert_int_ge(n, 0);
		len += (size_t)n;
		all[len] = '\0';
	}
	return n_found;
}

START_TEST(test_inherited_from_reeved)
{
	int saved_out, saved_seven;
	int out = pipe_at(1, &saved_out), seven = pipe_at(7, &saved_seven);
	struct rig *r = rig_start(
		0,
		"[worker:a]\ncommand = %s " TICKER "\ntype = notify\n"
		"stdout_logfile = /dev/stdout\nstdout_logfile_maxbytes = 0\n"
		"[worker:b]\ncommand = %s " TICKER "\ntype = notify\n"
		"stdout_logfile = /dev/fd/7\nstdout_logfile_maxbytes = 0\n"
		"[worker:c]\ncommand = %s complain third wait\nstartsecs = 0\n"
		"stdout_logfile = NONE\nstderr_logfile = /dev/stdout\n"
		"stderr_logfile_maxbytes = 0\n",
		actor(), actor(), actor());
	pid_t old;

	undo_pipe_at(1, saved_out);
	undo_pipe_at(7, saved_seven);
	ck_assert_uint_eq(read_until(out, "third\n"), 1);
	rig_wait(r, "a", "RUNNING");
	rig_wait(r, "b", "RUNNING");
	tick(r, "a");
	ck_assert_uint_eq(read_until(out, "tick\n"), 1);
	tick(r, "b");
	ck_assert_uint_eq(read_until(seven, "tick\n"), 1);
	/* never reopened, and there again after a restart */
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "reopen", NULL), 0);
	old = rig_pid(r, "a");
	ck_assert_int_eq(kill(old, SIGKILL), 0);
	(void)rig_wait_replaced(r, "a", old);
	tick(r, "a");
	ck_assert_uint_eq(read_until(out, "tick\n"), 1);
	ck_assert_int_eq(rig_stop(r), 0);
	/* the end of reeved is the end of file: nobody else got them */
	(void)read_until(out, NULL);
	(void)read_until(seven, NULL);
	close(out);
	close(seven);
}
END_TEST

START_TEST(test_user_may_open_its_own_stdout)
{
	const char *program;
	struct rig *r;

	if (getuid() != 0) {
		puts("SKIP: user= needs root");
		return;
	}
	program = program_for_all(actor());
	r = rig_start(0,
		      "[worker:a]\nuser = nobody\nstartsecs = 0\ncommand = %s "
		      "append /dev/stdout opened append /dev/stderr too wait\n"
		      "[worker:both]\nuser = nobody\nstartsecs = 0\n"
		      "redirect_stderr = true\ncommand = %s "
		      "append /proc/self/fd/2 opened wait\n",
		      program, program);
	rig_wait_file(rig_path(r, "log/a.out.log"), "opened\n");
	rig_wait_file(rig_path(r, "log/a.err.log"), "too\n");
	rig_wait_file(rig_path(r, "log/both.out.log"), "opened\n");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* ---- rotation ---------------------------------------------------------------- */

START_TEST(test_backups_put_together_are_what_was_written)
{
	enum { LINES = 2000, MAX = 4096, KEPT = 3 };
	struct rig *r = rig_start(
		0,
		"[worker:whole]\ncommand = %s count %d wait\nstartsecs = 0\n"
		"stdout_logfile_maxbytes = %d\nstdout_logfile_backups = 50\n"
		"[worker:some]\ncommand = %s count %d wait\nstartsecs = 0\n"
		"stdout_logfile_maxbytes = %d\nstdout_logfile_backups = %d\n",
		actor(), LINES, MAX, actor(), LINES, MAX, KEPT);
	char *text, name[64];
	size_t n;

	rig_wait_file(rig_path(r, "log/whole.out.log"), " 2000\n");
	rig_wait_file(rig_path(r, "log/some.out.log"), " 2000\n");
	text = read_rotated(rig_path(r, "log/whole.out.log"), &n);
	ck_assert_uint_eq(n, (LINES * COUNT_LINE - 1) / MAX);
	check_count(text, 1, LINES);
	free(text);
	for (size_t i = 1; i <= n; i++) {
		snprintf(name, sizeof(name), "log/whole.out.log.%zu", i);
		ck_assert_int_eq(size_of(rig_path(r, name)), MAX);
	}
	text = read_rotated(rig_path(r, "log/some.out.log"), &n);
	ck_assert_uint_eq(n, KEPT);
	check_count(text, LINES - (int)strlen(text) / COUNT_LINE + 1, LINES);
	ck_assert_uint_gt(strlen(text), KEPT * MAX);
	free(text);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_rotation_on_command)
{
	struct rig *r = rig_start(0,
				  "[worker:a]\ncommand = %s " TICKER
				  "\ntype = notify\n",
				  actor());
	const char *log = log_path(r, "a.out.log");
	const char *first = log_path(r, "a.out.log.1");
	const char *second = log_path(r, "a.out.log.2");

	rig_wait(r, "a", "RUNNING");
	tick(r, "a");
	rig_wait_file(log, "tick\n");
	ck_assert_int_eq(kill(rig_daemon_pid(r), SIGUSR1), 0);
	rig_wait_file(first, "tick\n");
	ck_assert_int_eq(size_of(log), 0);
	tick(r, "a");
	rig_wait_file(log, "tick\n");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "reopen", NULL), 0);
	check_file(log, "");
	check_file(first, "tick\n");
	check_file(second, "tick\n");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* What logrotate does: rename, then tell. Also where reeve never rotates. */
START_TEST(test_rename_then_reopen)
{
	struct rig *r =
		rig_start(0,
			  "[worker:a]\ncommand = %s " TICKER "\ntype = notify\n"
			  "[worker:never]\ncommand = %s " TICKER
			  "\ntype = notify\n"
			  "stdout_logfile_maxbytes = 0\n",
			  actor(), actor());
	static const char *const names[] = { "a", "never" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char log[256], moved[256];

		snprintf(log, sizeof(log), "%s/log/%s.out.log", rig_dir(r),
			 names[i]);
		snprintf(moved, sizeof(moved), "%s/moved", rig_dir(r));
		rig_wait(r, names[i], "RUNNING");
		tick(r, names[i]);
		rig_wait_file(log, "tick\n");
		ck_assert_int_eq(rename(log, moved), 0);
		tick(r, names[i]); /* nothing is lost in between */
		rig_wait_file(moved, "tick\ntick\n");
		ck_assert_int_eq(kill(rig_daemon_pid(r), SIGUSR1), 0);
		while (size_of(log) != 0)
			; /* the deadline is the test's */
		tick(r, names[i]);
		rig_wait_file(log, "tick\n");
		check_file(log, "tick\n");
		check_file(moved, "tick\ntick\n");
	}
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_endless_line)
{
	enum { BYTES = 1000000, MAX = 65536 };
	struct rig *r =
		rig_start(0,
			  "[worker:a]\ncommand = %s raw %d print end wait\n"
			  "startsecs = 0\nstdout_logfile_maxbytes = %d\n"
			  "stdout_logfile_backups = 100\n",
			  actor(), BYTES, MAX);
	const char *log = log_path(r, "a.out.log");
	char *text;
	size_t n;

	rig_wait_file(log, "end\n");
	text = read_rotated(log, &n);
	ck_assert_uint_eq(n, BYTES / MAX);
	ck_assert_uint_eq(strspn(text, "x"), BYTES);
	ck_assert_str_eq(text + BYTES, "end\n");
	free(text);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_many_workers_one_file)
{
	enum { N = 8, BYTES = 8000 };
	struct rig *r = rig_start(0,
				  "[worker:a]\ncommand = %s flood %d wait\n"
				  "startsecs = 0\nnumprocs = %d\n"
				  "stdout_logfile = %s\n"
				  "stdout_logfile_maxbytes = 16000\n",
				  actor(), BYTES, N, HERE "/log/all.log");
	const char *log = log_path(r, "all.log");
	char line[81], *text = NULL;
	size_t n;

	memset(line, 'x', 79);
	line[79] = '\n';
	line[80] = '\0';
	do { /* the deadline is the test's */
		free(text);
		text = read_rotated(log, &n);
	} while (strlen(text) < N * BYTES);
	ck_assert_uint_eq(strlen(text), N * BYTES);
	ck_assert_uint_eq(count_of(text, line), N * BYTES / 80);
	ck_assert_uint_eq(n, N * BYTES / 16000 - 1);
	free(text);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* ---- last words ------------------------------------------------------------- */

START_TEST(test_all_is_written_when_the_end_is_told)
{
	enum { N = 20, BYTES = 60000 }; /* less than a pipe holds */
	struct rig *r = rig_start(0,
				  "[worker:a]\n"
				  "command = %s flood %d raise KILL\n"
				  "startsecs = 0\nnumprocs = %d\n"
				  "autorestart = false\n",
				  actor(), BYTES, N);
	char name[16], log[64];

	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "a:%d", i);
		snprintf(log, sizeof(log), "log/a:%d.out.log", i);
		rig_wait(r, name, "EXITED");
		ck_assert_int_eq(size_of(rig_path(r, log)), BYTES);
		ck_assert_int_eq(rig_row(r, name).exit_code, -SIGKILL);
	}
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* Both in one file, and reeved finds both at the same moment. */
START_TEST(test_last_words_come_before_what_is_said_of_the_end)
{
	struct rig *r = rig_start(
		0,
		"logfile = %s\n"
		"[worker:a]\ntype = notify\nautorestart = false\n"
		"stdout_logfile = %s\ncommand = %s hold USR1 notify READY=1 "
		"await USR1 print last-words raise KILL\n",
		HERE "/reeved.log", HERE "/reeved.log", actor());
	char *text, *words, *end;
	pid_t pid;

	rig_wait(r, "a", "RUNNING");
	pid = rig_pid(r, "a");
	ck_assert_int_eq(kill(rig_daemon_pid(r), SIGSTOP), 0);
	ck_assert_int_eq(kill(pid, SIGUSR1), 0);
	rig_wait_gone(pid);
	ck_assert_int_eq(kill(rig_daemon_pid(r), SIGCONT), 0);
	rig_wait(r, "a", "EXITED");
	rig_wait_log(r, "last-words");
	text = rig_read_file(rig_path(r, "reeved.log"));
	words = strstr(text, "last-words\n");
	end = strstr(text, "worker=a state=EXITED");
	ck_assert_ptr_nonnull(end);
	ck_assert(words < end);
	free(text);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

START_TEST(test_output_of_who_outlives_the_worker)
{
	struct rig *r = rig_start(
		0,
		"[worker:a]\nkillasgroup = false\nstartsecs = 0\n"
		"autorestart = false\ncommand = %s fork { hold USR1 mark %s "
		"await USR1 print later wait } pause 200 print done exit 0\n",
		actor(), HERE "/child");
	const char *log = log_path(r, "a.out.log");
	char *text;

	rig_wait_file(rig_path(r, "child"), "\n");
	rig_wait(r, "a", "EXITED");
	check_file(log, "done\n");
	text = rig_read_file(rig_path(r, "child"));
	ck_assert_int_eq(kill((pid_t)atoi(text), SIGUSR1), 0);
	free(text);
	rig_wait_file(log, "later\n");
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* ---- what is not written to -------------------------------------------------- */

static const struct refused {
	const char *name, *says;
} refused[] = {
	{ "link", "is a symbolic link" },
	{ "hard", "has more than one name" },
	{ "dir", "is a directory" },
	{ "fifo", "is neither a regular file nor a character device" },
	{ "none/log", "its directory does not exist" },
};

static void make_refused(void)
{
	const char *victim = unit_file("victim", "precious");

	ck_assert_int_eq(symlink(victim, unit_path("link")), 0);
	ck_assert_int_eq(link(victim, unit_path("hard")), 0);
	ck_assert_int_eq(mkdir(unit_path("dir"), 0755), 0);
	ck_assert_int_eq(mkfifo(unit_path("fifo"), 0644), 0);
}

START_TEST(test_refused_files)
{
	char ini[4096] = "", name[16], *status;
	struct rig *r;
	size_t n = 0;

	make_refused();
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		n += (size_t)snprintf(
			ini + n, sizeof(ini) - n,
			"[worker:w%zu]\ncommand = %s wait\nstartsecs = 0\n"
			"stdout_logfile = %s/%s\n",
			i, actor(), unit_tmpdir(), refused[i].name);
	r = rig_start(0, "%s[worker:fine]\ncommand = %s wait\nstartsecs = 0\n",
		      ini, actor());
	rig_wait(r, "fine", "RUNNING");
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct rig_row row;

		snprintf(name, sizeof(name), "w%zu", i);
		rig_wait(r, name, "BACKOFF");
		row = rig_row(r, name);
		ck_assert_ptr_nonnull(strstr(row.error, refused[i].name));
		ck_assert_ptr_nonnull(strstr(row.error, refused[i].says));
		ck_assert_int_eq(row.pid, 0);
	}
	ck_assert_int_eq(rig_reeve(r, &status, NULL, "status", NULL), 3);
	ck_assert_uint_eq(count_of(status, "log file "), ARRAY_SIZE(refused));
	free(status);
	check_file(unit_path("victim"), "precious");
	/* put right, it starts */
	ck_assert_int_eq(unlink(unit_path("link")), 0);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "start", "w0", NULL), 0);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

UNIT_MAIN("logs", test_a_file_for_each_stream, test_names_with_expansions,
	  test_nowhere, test_inherited_from_reeved,
	  test_user_may_open_its_own_stdout,
	  test_backups_put_together_are_what_was_written,
	  test_rotation_on_command, test_rename_then_reopen, test_endless_line,
	  test_many_workers_one_file,
	  test_last_words_come_before_what_is_said_of_the_end,
	  test_all_is_written_when_the_end_is_told,
	  test_output_of_who_outlives_the_worker, test_refused_files)
