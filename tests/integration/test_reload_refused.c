/* A configuration with anything wrong in it changes nothing: every process goes
 * on, the old settings stay in force, and whoever asked is told where the
 * trouble is. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/actor.h"
#include "tests/lib/ordinary.h"
#include "tests/lib/rig.h"
#include "tests/lib/unit.h"

#define CONFIG_ERROR 6 /* of reeve */
#define WAITER	     "command = %s wait\nstartsecs = 0\n"
#define GOOD	     "[worker:good]\ncommand = /bin/true\n"

/* What must not change: a running, a stopped and a failed worker. */
struct before {
	struct rig *rig;
	char *config, *text; /* in force; the rig's file */
	pid_t a;
};

static struct before begin(void)
{
	struct before b = { 0 };

	b.rig = rig_start(0,
			  "[worker:a]\n" WAITER
			  "[worker:b]\nautostart = false\n" WAITER
			  "[worker:c]\ncommand = %s exit 3\n"
			  "startretries = 0\n",
			  actor(), actor(), actor());
	rig_wait(b.rig, "a", "RUNNING");
	rig_wait(b.rig, "c", "FATAL");
	b.a = rig_pid(b.rig, "a");
	ck_assert_int_eq(rig_reeve(b.rig, &b.config, NULL, "config", NULL), 0);
	b.text = rig_read_file(rig_path(b.rig, "reeve.ini"));
	return b;
}

static void check_nothing_changed(struct before *b, const char *what)
{
	char *config;

	ck_assert_msg(rig_pid(b->rig, "a") == b->a, "%s: a was replaced", what);
	ck_assert_str_eq(rig_row(b->rig, "b").state, "STOPPED");
	ck_assert_str_eq(rig_row(b->rig, "c").state, "FATAL");
	ck_assert_uint_eq(rig_count(b->rig, ""), 3);
	ck_assert_int_eq(rig_reeve(b->rig, &config, NULL, "config", NULL), 0);
	ck_assert_str_eq(config, b->config);
	free(config);
}

/* `reeve reload` is refused, with all of these sentences (NULL ends). */
static void check_refused(struct before *b, const char *what,
			  const char *const *sentences)
{
	char *problems;
	int code = rig_reeve(b->rig, NULL, &problems, "reload", NULL);

	ck_assert_msg(code == CONFIG_ERROR, "%s: exit code %d: %s", what, code,
		      problems);
	for (; *sentences; sentences++)
		ck_assert_msg(strstr(problems, *sentences),
			      "%s: no \"%s\" in:\n%s", what, *sentences,
			      problems);
	free(problems);
	check_nothing_changed(b, what);
}

static void write_bytes(const char *path, const char *data, size_t len)
{
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(data, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

/* And after all of it a good one is taken. */
static void finish(struct before *b)
{
	char *text = NULL;
	int n = asprintf(&text, "%s" GOOD, b->text);

	ck_assert_int_gt(n, 0);
	(void)remove(rig_path(b->rig, "reeve.ini"));
	write_bytes(rig_path(b->rig, "reeve.ini"), text, (size_t)n);
	free(text);
	ck_assert_int_eq(rig_reeve(b->rig, NULL, NULL, "reload", NULL), 0);
	ck_assert_uint_eq(rig_count(b->rig, ""), 4);
	ck_assert_int_eq(rig_pid(b->rig, "a"), b->a);
	free(b->config);
	free(b->text);
	ck_assert_int_eq(rig_stop(b->rig), 0);
}

/* The rig writes five lines of [reeve] in front. */
static const struct {
	const char *text;
	const char *sentences[4];
} texts[] = {
	{ "[worker:x\ncommand = /bin/true\n",
	  { "reeve.ini:6: error", "[worker:x" } },
	{ GOOD "[worker:x]\ncommand\n",
	  { "reeve.ini:9: error", "expected \"key = value\"" } },
	{ "[wroker:x]\ncommand = /bin/true\n",
	  { "reeve.ini:6: error", "did you mean [worker:x]?" } },
	{ "[worker:x]\ncomand = /bin/true\n",
	  { "reeve.ini:7: error", "did you mean \"command\"?" } },
	{ "[worker:x]\ncommand = /bin/true\nuser = no-such-user-at-all\n",
	  { "reeve.ini:8: error", "no user \"no-such-user-at-all\"" } },
	{ "[worker:x]\ncommand = /bin/true\ngroup = no-such-group-at-all\n",
	  { "reeve.ini:8: error", "no group \"no-such-group-at-all\"" } },
	{ "[worker:x]\ncommand = /bin/true\nnumprocs = many\n",
	  { "reeve.ini:8: error", "bad value \"many\" for numprocs" } },
	{ "[worker:x]\ncommand = /bin/true\nnumprocs = 10001\n",
	  { "reeve.ini:8: error", "0 to 10000" } },
	{ "[worker:x]\ncommand = /bin/true\nnumprocs = 10000\n"
	  "[worker:y]\ncommand = /bin/true\nnumprocs = 10000\n" GOOD,
	  { "reeve.ini: error", "20001 processes in all", "20000" } },
	{ "[worker:x]\ncommand = /bin/true\n"
	  "[worker:x]\ncommand = /bin/true\n",
	  { "reeve.ini:8: error", "[worker:x] was there before",
	    "reeve.ini:6" } },
	{ "[worker:x]\ncommand = /bin/true\ncommand = /bin/true\n",
	  { "reeve.ini:8: error", "command is set twice" } },
	{ "[worker:x]\ndirectory = /\n",
	  { "reeve.ini:6: error", "has no command=" } },
	{ "[worker:x]\ncommand = /nowhere/at-all\n",
	  { "reeve.ini:7: error", "there is no such program" } },
	{ "[worker:x]\ncommand = /etc/passwd\n",
	  { "reeve.ini:7: error", "not executable" } },
	{ "[worker:x]\ncommand = no-such-program-in-path\n",
	  { "reeve.ini:7: error", "in PATH" } },
	{ "[worker:x]\ncommand = /bin/echo 'open\n",
	  { "reeve.ini:7: error", "unclosed" } },
	{ "[worker:x]\ncommand = /bin/echo %(nothing)s\n",
	  { "reeve.ini:7: error", "%(nothing)s is not known" } },
	{ "[worker:x]\ncommand = /bin/echo 100%\n",
	  { "reeve.ini:7: error", "%% for a percent sign" } },
	{ "[worker:x]\ncommand = /bin/true\ndirectory = /nowhere/at-all\n",
	  { "reeve.ini:8: error", "/nowhere/at-all: it does not exist" } },
	{ "[worker:x]\ncommand = /bin/true\nstdout_logfile = /nowhere/x.log\n",
	  { "reeve.ini:8: error", "the directory /nowhere" } },
	{ "[group:g]\nprograms = x\n",
	  { "reeve.ini:7: error", "there is no [worker:x]" } },
	{ "[eventlistener:x]\ncommand = /bin/true\n",
	  { "reeve.ini:6: error", "not supported" } },
	{ "[include]\nfiles = log\n", { "reeve.ini:7: error", "directory" } },
	{ "[include]\nfiles = reeve.ini\n",
	  { "reeve.ini:7: error", "include loop" } },
	{ "[include]\nfiles = bad.ini\n" GOOD,
	  { "bad.ini:2: error", "unknown key \"b\"" } },
	{ "[include]\nfiles = fifo\n" GOOD,
	  { "reeve.ini:7: error", "not a regular file" } },
	{ "[include]\nfiles = loop\n" GOOD, { "reeve.ini:7: error", "loop" } },
	{ "[worker:x]\ncommand = /bin/true\nnumprocs = 1\nnumprocs = 2\n"
	  "[worker:y]\nusr = root\ncommand = /bin/true\n",
	  { "reeve.ini:9: error", "reeve.ini:11: error" } }, /* all of them */
};

START_TEST(test_texts)
{
	struct before b = begin();

	write_bytes(rig_path(b.rig, "bad.ini"), "[worker:z]\nb = 1\n", 17);
	ck_assert_int_eq(mkfifo(rig_path(b.rig, "fifo"), 0600), 0);
	ck_assert_int_eq(symlink("loop", rig_path(b.rig, "loop")), 0);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		rig_write_config(b.rig, "%s", texts[i].text);
		check_refused(&b, texts[i].text, texts[i].sentences);
	}
	finish(&b);
}
END_TEST

/* What is no text, or not all of it. */
START_TEST(test_bytes)
{
	static char line[1 << 20];
	static const char nul[] = "[worker:a]\ncommand = /bin/true \0 x\n";
	static const char *const is_nul[] = { "reeve.ini:2: error", "NUL",
					      NULL };
	static const char *const is_long[] = { "reeve.ini:1: error",
					       "longer than", NULL };
	static const char *const is_binary[] = { "reeve.ini:1: error", NULL };
	static const char *const is_latin1[] = { "reeve.ini:2: error", "UTF-8",
						 NULL };
	static const char *const is_empty[] = { "reeve.ini: error", "empty",
						NULL };
	struct before b = begin();
	const char *path = rig_path(b.rig, "reeve.ini");
	char *program;

	write_bytes(path, nul, sizeof(nul) - 1);
	check_refused(&b, "NUL", is_nul);
	memset(line, 'x', sizeof(line));
	path = rig_path(b.rig, "reeve.ini");
	write_bytes(path, line, sizeof(line));
	check_refused(&b, "a line of 1 MB", is_long);
	path = rig_path(b.rig, "reeve.ini");
	write_bytes(path, "[worker:a]\nuser = r\xf6ot\ncommand = /x\n", 36);
	check_refused(&b, "Latin-1", is_latin1);
	program = rig_read_file(actor());
	path = rig_path(b.rig, "reeve.ini");
	write_bytes(path, program, 64); /* an ELF header */
	free(program);
	check_refused(&b, "binary", is_binary);
	path = rig_path(b.rig, "reeve.ini");
	write_bytes(path, "", 0);
	check_refused(&b, "empty", is_empty);
	finish(&b);
}
END_TEST

/* Cut off at each byte of its last section, as an editor without rename
 * leaves it for a moment: what is there then either has an error, or is a whole
 * configuration. It must never end the daemon or hang it. */
START_TEST(test_half_written)
{
	struct before b = begin();
	const char *last = strstr(b.text, "[worker:c]");
	int codes[2] = { 0, 0 };

	ck_assert_ptr_nonnull(last);
	for (size_t n = (size_t)(last - b.text); b.text[n]; n += 3) {
		int code;

		write_bytes(rig_path(b.rig, "reeve.ini"), b.text, n);
		code = rig_reeve(b.rig, NULL, NULL, "reload", "--dry-run",
				 NULL);
		ck_assert(code == 0 || code == CONFIG_ERROR);
		codes[code != 0]++;
	}
	ck_assert_int_gt(codes[0], 0);
	ck_assert_int_gt(codes[1], 0);
	check_nothing_changed(&b, "half written");
	finish(&b);
}
END_TEST

/* In place of the file stands something else. */
START_TEST(test_special_files)
{
	static const char *const is_directory[] = { "reeve.ini: error",
						    "directory", NULL };
	static const char *const is_fifo[] = { "reeve.ini: error",
					       "not a regular file", NULL };
	static const char *const is_loop[] = { "reeve.ini: error",
					       "symbolic links", NULL };
	static const char *const is_missing[] = { "reeve.ini: error",
						  "No such file", NULL };
	struct before b = begin();
	char path[256];

	snprintf(path, sizeof(path), "%s", rig_path(b.rig, "reeve.ini"));
	ck_assert_int_eq(unlink(path), 0);
	check_refused(&b, "missing", is_missing);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	check_refused(&b, "directory", is_directory);
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	check_refused(&b, "FIFO", is_fifo);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(symlink("reeve.ini", path), 0);
	check_refused(&b, "symlink loop", is_loop);
	ck_assert_int_eq(unlink(path), 0);
	finish(&b);
}
END_TEST

/* Told in the log, since there is nobody else to tell. */
START_TEST(test_by_signal)
{
	struct before b = begin();

	rig_write_config(b.rig, "[worker:x]\ncomand = /bin/true\n");
	ck_assert_int_eq(kill(rig_daemon_pid(b.rig), SIGHUP), 0);
	rig_wait_log(b.rig, "reload refused, the old configuration stays");
	ck_assert(rig_log_has(b.rig, "reeve.ini:7: error: unknown key"));
	check_nothing_changed(&b, "SIGHUP");
	finish(&b);
}
END_TEST

/* A dry run finds what a reload would. */
START_TEST(test_dry_run)
{
	struct before b = begin();
	char *problems;

	rig_write_config(b.rig, "[worker:x]\ncomand = /bin/true\n");
	ck_assert_int_eq(rig_reeve(b.rig, NULL, &problems, "reload",
				   "--dry-run", NULL),
			 CONFIG_ERROR);
	ck_assert_ptr_nonnull(strstr(problems, "reeve.ini:7: error"));
	free(problems);
	check_nothing_changed(&b, "dry run");
	finish(&b);
}
END_TEST

/* As somebody who may not read it. */
START_TEST(test_unreadable)
{
	static const char *const sentences[] = { "reeve.ini: error",
						 "Permission denied", NULL };
	struct before b;

	if (getuid() == 0)
		(void)ordinary_reeved();
	b = begin();
	ck_assert_int_eq(chmod(rig_path(b.rig, "reeve.ini"), 0), 0);
	check_refused(&b, "unreadable", sentences);
	finish(&b);
}
END_TEST

UNIT_MAIN("reload_refused", test_texts, test_bytes, test_half_written,
	  test_special_files, test_by_signal, test_dry_run, test_unreadable)
