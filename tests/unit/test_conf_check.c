/* What belongs together, and what must be on the disk. */
#include "conf/conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "tests/unit/conf_rig.h"

#define W "[worker:w]\ncommand=x\n" /* two lines */

static const struct {
	const char *text;
	int line;
	const char *part;
} errors[] = {
	{ W "numprocs=2\nprocess_name=%(program_name)s\n", 4,
	  "with numprocs above 1 it needs %(process_num)d" },
	{ W "process_name=\n", 3, "it is empty" },
	{ W "process_name=all\n", 3, "stands for all workers" },
	{ W "process_name=a:b\n", 3, "cannot be called \"a:b\"" },
	{ W "stopasgroup=true\nkillasgroup=false\n", 4,
	  "it cannot be false with stopasgroup=true" },
	{ W "restart_delay=61\n", 3, "must not be above restart_delay_max" },
	{ W "restart_delay_max=0.5\n", 3, "must not be above" },
	{ W "stdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=1MB\n", 4,
	  "what stdout_logfile names cannot be rotated; write "
	  "stdout_logfile_maxbytes=0" },
	{ W "stderr_logfile=/dev/fd/5\nstderr_logfile_maxbytes=50MB\n", 4,
	  "write stderr_logfile_maxbytes=0" },
	{ W "environment=A=\"%(nix)s\"\n", 3, "environment in [worker:w]: " },
	{ W "environment=A=1,B=\"%(ENV_A)s\"\n", 3, "%(ENV_A)s" },
	{ W "directory=%(nix)s\n", 3, "directory in [worker:w]: %(nix)s" },
	{ W "stdout_logfile=%(nix)s\n", 3, "stdout_logfile in [worker:w]" },
	{ W "stderr_logfile=/x/%d\n", 3, "stderr_logfile in [worker:w]" },
	{ W "stopsignal=KILL:5\n", 3, "KILL takes no time" },
	{ W "stopsignal=KILL TERM\n", 3, "KILL can only be the last" },
	{ W "stopsignal=TERM:infinity\n", 3, "at most a day" },
	{ W "stopsignal=TERM:\n", 3, "goes the time to wait" },
	{ W "stopsignal=\n", 3, "write a signal" },
	{ W "stopsignal=1 2 3 4 5 6 7 8 9\n", 3, "more than 8 signals" },
	{ W "restart_limit=0/5\n", 3, "write a count" },
	{ W "restart_limit=5/0\n", 3, "write a count" },
	{ W "stdout_logfile=/dev/fd/0\n", 3, "1 to 65535" },
	{ W "stdout_logfile=/dev/fd/65536\n", 3, "1 to 65535" },
	/* one name for two processes, whoever has it by default */
	{ W "[worker:v]\ncommand=x\nprocess_name=w\n", 5,
	  "[worker:v] has a process \"w\", and so has [worker:w] in t.ini:1" },
	{ W "process_name=v\n[worker:v]\ncommand=x\n", 4,
	  "[worker:v] has a process \"v\", and so has [worker:w]" },
	{ "[group:g]\nprograms=w,v\n" W
	  "numprocs=2\nprocess_name=n%(process_num)d\n"
	  "[worker:v]\ncommand=x\nprocess_name=n1\n",
	  9, "has a process \"g:n1\"" },
	{ W "numprocs=10000\n[worker:v]\ncommand=x\nnumprocs=10000\n"
	    "[worker:u]\ncommand=x\n",
	  0, "20001 processes in all; at most 20000" },
};

START_TEST(test_errors)
{
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		struct conf_rig rig = rig_load(errors[i].text);

		rig_assert_error(&rig, errors[i].line, errors[i].part);
		rig_done(&rig);
	}
}
END_TEST

static const struct {
	const char *text;
	int line;
	const char *part;
} warnings[] = {
	{ W "start_timeout=5\n", 3, "no effect with type=simple" },
	{ W "type=oneshot\nstartsecs=5\n", 4, "with type=simple only" },
	{ W "type=oneshot\nautorestart=true\n", 4, "again and again" },
	{ W "maxtasks_jitter=5\n", 3, "without maxtasksperchild" },
	{ W "redirect_stderr=true\nstderr_logfile=/x\n", 4,
	  "no effect with redirect_stderr=true" },
	{ W "stdout_logfile_maxbytes=0\n", 3, "until the disk is full" },
	{ W "environment=A=1,B=2,A=3\n", 3, "A is set twice" },
	{ W "stdout_logfile=/x # my log\n", 3, "\" #\" inside a line" },
	{ W "  user=bob\n", 3, "if \"user\" is meant as a key" },
};

START_TEST(test_warnings)
{
	for (size_t i = 0; i < ARRAY_SIZE(warnings); i++) {
		struct conf_rig rig = rig_load(warnings[i].text);

		rig_assert_warning(&rig, warnings[i].line, warnings[i].part);
		rig_done(&rig);
	}
}
END_TEST

/* Combinations that are right. */
START_TEST(test_clean)
{
	static const char *const rows[] = {
		W "stopasgroup=true\n",
		W "restart_delay=60\n",
		W "restart_delay=90\nrestart_delay_max=90\n",
		W "stdout_logfile=/dev/stdout\n",
		W "stdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\n",
		W "redirect_stderr=true\nstderr_logfile=/dev/stderr\n"
		  "stderr_logfile_maxbytes=5MB\n",
		W "redirect_stderr=true\nstderr_logfile=AUTO\n",
		W "numprocs=2\n",
		W "numprocs=0\n",
		W "numprocs=2\nprocess_name=%(process_num)s\n",
		W "type=notify\nstart_timeout=5\n",
		W "stopsignal=1 2 3 4 5 6 7 9\n",
		W "exitcodes=\n",
		"[group:g]\nprograms=w,v\n" W
		"numprocs=2\n[worker:v]\ncommand=x\nnumprocs=2\n",
		W "numprocs=10000\n[worker:v]\ncommand=x\nnumprocs=10000\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct conf_rig rig = rig_load(rows[i]);

		rig_assert_clean(&rig);
		rig_done(&rig);
	}
}
END_TEST

/* An inherited fd is never rotated, also when nothing is said of it. */
START_TEST(test_inherited)
{
	struct conf_rig rig = rig_load(W "stdout_logfile=/dev/stderr\n"
					 "stderr_logfile=/proc/self/fd/9\n");
	const struct worker_settings *w = rig_worker(&rig, "w");

	rig_assert_clean(&rig);
	ck_assert_int_eq(w->stdout_log.to.target, LOG_TO_INHERIT);
	ck_assert_int_eq(w->stdout_log.to.fd, 2);
	ck_assert_uint_eq(w->stdout_log.maxbytes, 0);
	ck_assert_int_eq(w->stderr_log.to.fd, 9);
	ck_assert_uint_eq(w->stderr_log.maxbytes, 0);
	rig_done(&rig);
}
END_TEST

/* What a log is called may be known only when it is expanded. */
START_TEST(test_expanded_target)
{
	struct conf_rig rig = rig_load(W "environment=LOG=/dev/stdout,NO=none\n"
					 "stdout_logfile=%(ENV_LOG)s\n"
					 "stderr_logfile=%(ENV_NO)s\n");
	const struct worker_settings *w = rig_worker(&rig, "w");

	rig_assert_clean(&rig);
	ck_assert_int_eq(w->stdout_log.to.target, LOG_TO_INHERIT);
	ck_assert_uint_eq(w->stdout_log.maxbytes, 0);
	ck_assert_int_eq(w->stderr_log.to.target, LOG_TO_NONE);
	rig_done(&rig);
}
END_TEST

START_TEST(test_fds_needed)
{
	struct conf_rig rig = rig_load(
		W "stdout_logfile=NONE\nstderr_logfile=NONE\nnumprocs=100\n");

	ck_assert_uint_eq(conf_fds_needed(rig.s), CONF_FDS_BASE + 100);
	rig_done(&rig);
	rig = rig_load(W "redirect_stderr=true\nnumprocs=10\n"
			 "[worker:v]\ncommand=x\n");
	ck_assert_uint_eq(conf_fds_needed(rig.s), CONF_FDS_BASE + 30 + 5);
	rig_done(&rig);
}
END_TEST

/* ---- on the disk ---- */

/* "@" in text is the test's directory. */
static struct conf_rig check_files(const char *text)
{
	const struct conf_options options = { .resolver = &rig_resolver,
					      .check_files = true };
	struct buf b = BUF_INIT(0);
	struct conf_rig rig;

	for (; *text; text++)
		if (*text == '@')
			(void)buf_puts(&b, unit_tmpdir());
		else
			(void)buf_putc(&b, *text);
	rig = rig_load_bytes(b.data, b.len, &options);
	buf_done(&b);
	return rig;
}

static void make_files(void)
{
	ck_assert_int_eq(mkdir(unit_path("dir"), 0700), 0);
	ck_assert_int_eq(chmod(unit_file("dir/run", "#!/bin/sh\n"), 0755), 0);
	unit_file("dir/norun", "");
	unit_file("file", "");
	ck_assert_int_eq(mkfifo(unit_path("fifo"), 0600), 0);
	ck_assert_int_eq(symlink("loop", unit_path("loop")), 0);
}

static const struct {
	const char *text;
	int line;
	const char *part;
} missing[] = {
	{ "[worker:w]\ncommand=@/dir/nix a\n", 2, "there is no such program" },
	{ "[worker:w]\ncommand=reeve-test-nix\n", 2,
	  "there is no \"reeve-test-nix\" in PATH (" },
	{ "[worker:w]\ncommand=@/dir\n", 2, "is a directory" },
	{ "[worker:w]\ncommand=@/loop\n", 2, "Too many levels of symbolic" },
	{ "[worker:w]\ncommand=@/file/x\n", 2, "there is no such program" },
	{ "[worker:w]\ncommand=@/dir/norun\n", 2,
	  "is not executable (chmod +x)" },
	{ "[worker:w]\ncommand=norun\nenvironment=PATH=\"@/dir\"\n", 2,
	  "norun is not executable" },
	{ "[worker:w]\ncommand=run\nclear_env=true\n", 2,
	  "in PATH (/usr/local/sbin:" },
	{ "[worker:w]\ncommand=./run\ndirectory=@\n", 2, "./run: there is no" },
	{ "[worker:w]\ncommand=./nix\ndirectory=@/nix\n", 3,
	  "it does not exist; create it" },
	{ "[worker:w]\ncommand=@/dir/run\ndirectory=@/file\n", 3,
	  "it is not a directory" },
	{ "[worker:w]\ncommand=@/dir/run\nstdout_logfile=@/nix/x.log\n", 3,
	  "it does not exist; create it (mkdir -p)" },
	{ "[worker:w]\ncommand=@/dir/run\nstderr_logfile=@/file/x.log\n", 3,
	  "it is not a directory" },
	{ "[worker:w]\ncommand=@/dir/run\nstdout_logfile=@/dir\n", 3,
	  "is a directory, not a file" },
	{ "[worker:w]\ncommand=@/dir/run\nstdout_logfile=@/fifo\n", 3,
	  "is a pipe or socket, not a file" },
	{ "[reeve]\nlog_dir=@/nix\n", 2, "log_dir in [reeve]" },
	{ "[reeve]\ndirectory=@/file\n", 2, "it is not a directory" },
	{ "[reeve]\nlogfile=@/nix/x\n", 2, "logfile in [reeve]" },
	{ "[reeve]\npidfile=@/nix/x\n", 2, "pidfile in [reeve]" },
	{ "[reeve]\nminfds=1000000000\n", 2, "minfds is 1000000000, and the" },
};

START_TEST(test_missing)
{
	make_files();
	for (size_t i = 0; i < ARRAY_SIZE(missing); i++) {
		struct conf_rig rig = check_files(missing[i].text);

		rig_assert_error(&rig, missing[i].line, missing[i].part);
		rig_done(&rig);
	}
}
END_TEST

START_TEST(test_present)
{
	static const char *const rows[] = {
		"[worker:w]\ncommand=@/dir/run\n",
		"[worker:w]\ncommand=./run\ndirectory=@/dir\n",
		"[worker:w]\ncommand=sh -c x\n",
		"[worker:w]\ncommand=run\nenvironment=PATH=\"/nix:@/dir\"\n",
		"[worker:w]\ncommand=sh\nclear_env=true\n",
		"[worker:w]\ncommand=sh\nstdout_logfile=@/dir/new.log\n"
		"stderr_logfile=@/file\n",
		"[reeve]\ndirectory=@\nlog_dir=dir\nlogfile=x\npidfile=y\n"
		"[worker:w]\ncommand=dir/run\nstdout_logfile=dir/x.log\n",
		"[reeve]\ndirectory=@\n[worker:w]\ncommand=./run\n"
		"directory=dir\n",
	};

	make_files();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct conf_rig rig = check_files(rows[i]);

		rig_assert_clean(&rig);
		rig_done(&rig);
	}
}
END_TEST

/* Nothing is looked at unless it is asked for. */
START_TEST(test_unchecked)
{
	struct conf_rig rig = rig_load("[reeve]\nlog_dir=/nix/nix\n"
				       "[worker:w]\ncommand=/nix/nix\n"
				       "directory=/nix/nix\n");

	rig_assert_clean(&rig);
	rig_done(&rig);
}
END_TEST

/* The limit on open files: exactly enough is enough. */
START_TEST(test_fd_limit)
{
	struct rlimit limit = { CONF_FDS_BASE + 100, CONF_FDS_BASE + 100 };
	struct conf_rig rig;

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	rig = check_files("[reeve]\nminfds=10\n[worker:w]\ncommand=sh\n"
			  "numprocs=20\n");
	rig_assert_clean(&rig);
	rig_done(&rig);
	rig = check_files("[reeve]\nminfds=10\n[worker:w]\ncommand=sh\n"
			  "numprocs=21\n");
	rig_assert_error(&rig, 0, "need 169 open files, and the limit is 164");
	rig_done(&rig);
}
END_TEST

UNIT_MAIN("conf_check", test_errors, test_warnings, test_clean, test_inherited,
	  test_expanded_target, test_fds_needed, test_missing, test_present,
	  test_unchecked, test_fd_limit)
