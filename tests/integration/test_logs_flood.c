/* Too much output for the time there is, and too much for the disk: the others
 * do not feel it, memory does not grow, and what is lost is counted. */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/actor.h"
#include "tests/lib/process.h"
#include "tests/lib/rig.h"
#include "tests/lib/unit.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"

#define COUNT_LINE 16 /* bytes of a line of `count` */
#define FLOODS	   16
#define ROUNDS	   10
/* Ten kills, restarts and status tables; alone they take a tenth of it. */
#define ROUNDS_USEC (10 * USEC_PER_SEC)
#define GROWTH_KB   4096

static void do_rounds(struct rig *r)
{
	uint64_t begin = clock_monotonic_usec();

	for (int i = 0; i < ROUNDS; i++) {
		pid_t old = rig_pid(r, "calm");

		ck_assert_int_eq(kill(old, SIGKILL), 0);
		(void)rig_wait_replaced(r, "calm", old);
		ck_assert_int_eq(rig_reeve(r, NULL, NULL, "status", NULL), 0);
	}
	ck_assert_uint_lt(clock_monotonic_usec() - begin, ROUNDS_USEC);
}

static off_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : 0;
}

START_TEST(test_flood_delays_nobody)
{
	struct rig *r = rig_start(
		0,
		"[worker:flood]\ncommand = %s flood 1000000000 loop\n"
		"startsecs = 0\nnumprocs = %d\nstopsignal = KILL\n"
		"stdout_logfile_maxbytes = 1MB\nstdout_logfile_backups = 1\n"
		"[worker:calm]\ncommand = %s print up wait\nstartsecs = 0\n"
		"restart_delay = 0\nstdout_logfile_maxbytes = 0\n",
		actor(), FLOODS, actor());
	char calm[256], rotated[256];
	pid_t daemon = rig_daemon_pid(r);
	long before;

	snprintf(calm, sizeof(calm), "%s/log/calm.out.log", rig_dir(r));
	snprintf(rotated, sizeof(rotated), "%s/log/flood:0.out.log.1",
		 rig_dir(r));
	rig_wait_file(rotated, "x"); /* in full flood */
	before = process_anonymous_kb(daemon);
	do_rounds(r);
	while (size_of(calm) < 3 * (ROUNDS + 1))
		; /* the calm one is heard too; the deadline is the test's */
	ck_assert_int_eq(size_of(calm), 3 * (ROUNDS + 1));
	ck_assert_int_lt(process_anonymous_kb(daemon) - before, GROWTH_KB);
	ck_assert_int_le(size_of(rotated), 1 << 20);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* A pipe that nobody empties blocks its writer: drained also when nobody
 * takes what is written. */
START_TEST(test_flood_ends_when_told)
{
	struct rig *r = rig_start(0,
				  "[worker:flood]\n"
				  "command = %s flood 1000000000 loop\n"
				  "startsecs = 0\nstopwaitsecs = 1h\n"
				  "stdout_logfile_maxbytes = 1MB\n"
				  "stdout_logfile_backups = 0\n",
				  actor());

	rig_wait(r, "flood", "RUNNING");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "restart", "flood", NULL), 0);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "stop", "flood", NULL), 0);
	ck_assert_int_eq(rig_row(r, "flood").exit_code, -SIGTERM);
	ck_assert_int_le(size_of(rig_path(r, "log/flood.out.log")), 1 << 20);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

/* ---- a full disk ---------------------------------------------------------- */

/* A small file system that only this test and its children see; NULL: not
 * possible here. */
static const char *mount_small(void)
{
	const char *dir = unit_path("small");

	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mkdir(dir, 0755) < 0 ||
	    mount("tmpfs", dir, "tmpfs", 0, "size=256k") < 0) {
		puts("SKIP: a full disk needs root and a mount namespace");
		return NULL;
	}
	return dir;
}

static void fill(const char *path, size_t bytes)
{
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	for (size_t i = 0; i < bytes; i++)
		ck_assert_int_eq(putc('.', f), '.');
	ck_assert_int_eq(fclose(f), 0);
}

struct tally {
	unsigned long lines, bytes; /* of the worker, in the file */
	unsigned long lost_lines, lost_bytes, n_notices, n_cut;
};

/* Tells the worker's lines from those about what was dropped. */
static struct tally tally_of(const char *text)
{
	struct tally t = { 0 };

	while (*text) {
		size_t len = strcspn(text, "\n") + 1;
		unsigned long bytes, lines;

		if (sscanf(text, "reeve: %lu bytes (%lu lines) dropped", &bytes,
			   &lines) == 2) {
			t.n_notices++;
			t.lost_bytes += bytes;
			t.lost_lines += lines;
			t.n_cut += len > strcspn(text, ",") &&
				   strncmp(strchr(text, ','),
					   ", the line above", 16) == 0;
		} else {
			t.lines++;
			t.bytes += len;
		}
		text += len;
	}
	/* a cut line is ended by us: its own newline is among the lost */
	t.lines -= t.n_cut;
	t.bytes -= t.n_cut;
	return t;
}

START_TEST(test_full_disk)
{
	enum { LINES = 30000 }; /* twice what there is room for */
	const char *dir = mount_small();
	char log[256], filler[256], *text;
	struct tally t;
	struct rig *r;

	if (!dir)
		return;
	snprintf(log, sizeof(log), "%s/a.log", dir);
	snprintf(filler, sizeof(filler), "%s/filler", dir);
	fill(filler, 100000);
	r = rig_start(0,
		      "[worker:a]\ncommand = %s hold USR1 count %d "
		      "notify READY=1 await USR1 print after wait\n"
		      "type = notify\nstdout_logfile = %s\n"
		      "stdout_logfile_maxbytes = 0\n"
		      "[worker:b]\ncommand = %s print fine wait\n"
		      "startsecs = 0\n",
		      actor(), LINES, log, actor());
	/* it is not blocked, and all the rest goes on */
	rig_wait(r, "a", "RUNNING");
	rig_wait_log(r, "cannot write, output is dropped: No space left");
	rig_wait_file(rig_path(r, "log/b.out.log"), "fine");
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "status", NULL), 0);
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "restart", "b", NULL), 0);
	/* room again: what was lost is said, before what comes then */
	ck_assert_int_eq(unlink(filler), 0);
	ck_assert_int_eq(kill(rig_pid(r, "a"), SIGUSR1), 0);
	rig_wait_file(log, "\nafter\n");
	rig_wait_log(r, "written again;");
	text = rig_read_file(log);
	t = tally_of(text);
	ck_assert_uint_ge(t.n_notices, 1);
	ck_assert_uint_gt(t.lost_lines, 0);
	ck_assert_uint_eq(t.lines + t.lost_lines, LINES + 1);
	ck_assert_uint_eq(t.bytes + t.lost_bytes, LINES * COUNT_LINE + 6);
	ck_assert_ptr_nonnull(strstr(text, "No space left on device\nafter\n"));
	free(text);
	ck_assert_int_eq(rig_stop(r), 0);
	ck_assert_int_eq(umount2(dir, MNT_DETACH), 0);
}
END_TEST

/* What cannot be said in the file is said in reeved's own log. */
START_TEST(test_full_disk_to_the_end)
{
	enum { LINES = 30000 };
	const char *dir = mount_small();
	unsigned long bytes = 0, lines = 0;
	char log[256], *own, *said;
	struct rig *r;

	if (!dir)
		return;
	snprintf(log, sizeof(log), "%s/a.log", dir);
	r = rig_start(0,
		      "[worker:a]\ncommand = %s count %d notify READY=1 wait\n"
		      "type = notify\nstdout_logfile = %s\n"
		      "stdout_logfile_maxbytes = 0\n",
		      actor(), LINES, log);
	rig_wait(r, "a", "RUNNING");
	rig_write_config(r, "[worker:b]\ncommand = %s wait\n", actor());
	ck_assert_int_eq(rig_reeve(r, NULL, NULL, "reload", NULL), 0);
	rig_wait_log(r, "were dropped: No space left");
	own = rig_read_file(rig_path(r, "reeved.log"));
	said = strstr(own, "closed; ");
	ck_assert_ptr_nonnull(said);
	ck_assert_int_eq(sscanf(said, "closed; %lu bytes (%lu lines)", &bytes,
				&lines),
			 2);
	free(own);
	ck_assert_uint_eq((unsigned long)size_of(log) + bytes,
			  LINES * COUNT_LINE);
	ck_assert_uint_eq((unsigned long)size_of(log) / COUNT_LINE + lines,
			  LINES);
	ck_assert_int_eq(rig_stop(r), 0);
	ck_assert_int_eq(umount2(dir, MNT_DETACH), 0);
}
END_TEST

UNIT_MAIN("logs_flood", test_flood_delays_nobody, test_flood_ends_when_told,
	  test_full_disk, test_full_disk_to_the_end)
