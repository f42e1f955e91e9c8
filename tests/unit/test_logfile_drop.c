/* What the disk does not take is counted and said, exactly. */
#include "supervisor/daemon/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "tests/unit/logfile_rig.h"
#include "workers/base/pure/buf.h"
#include "workers/base/pure/rng.h"
#include "workers/base/sys/fd.h"

/* --- writing that fails -------------------------------------------------- */

static void limit_size(rlim_t max)
{
	const struct rlimit limit = { max, RLIM_INFINITY };

	(void)sigaction(SIGXFSZ, &(struct sigaction){ .sa_handler = SIG_IGN },
			NULL);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

START_TEST(test_dropped_and_declared)
{
	start(unit_path("x"), 0, 0);
	limit_size(8);
	put("one\n");
	put("two\nthree\nfour\n"); /* "two\n" fits */
	put("five\nsi");
	limit_size(RLIM_INFINITY);
	ck_assert_uint_eq(w.n_problems, 1);
	ck_assert_str_eq(strstr(w.last, "cannot write"),
			 "cannot write, output is dropped: File too large");
	put("x\nseven\n");
	check_content(0, "one\ntwo\n"
			 "reeve: 18 bytes (3 lines) dropped: File too large\n"
			 "x\nseven\n");
	ck_assert_uint_eq(w.n_problems, 1);
	ck_assert_uint_eq(w.n_notices, 1);
	ck_assert_str_eq(strstr(w.last, "written again"),
			 "written again; 18 bytes (3 lines) were dropped");
	ck_assert_uint_eq(w.lf->total_bytes_dropped, 18);
	ck_assert_uint_eq(w.lf->total_lines_dropped, 3);
	finish();
	ck_assert_uint_eq(w.n_problems, 1);
}
END_TEST

START_TEST(test_line_cut_by_a_drop)
{
	start(unit_path("x"), 0, 0);
	limit_size(6);
	put("one\ntwo\nthree\n");
	limit_size(RLIM_INFINITY);
	put("four\n");
	check_content(0, "one\ntw\n"
			 "reeve: 8 bytes (2 lines) dropped, the line above is "
			 "cut: File too large\n"
			 "four\n");
	finish();
}
END_TEST

/* Half of a notice is no notice: it is taken back. */
START_TEST(test_half_a_notice)
{
	for (rlim_t room = 0; room < 80; room++) {
		struct stat st;
		char name[16];

		snprintf(name, sizeof(name), "x%d", (int)room);
		start(unit_path(name), 0, 0);
		limit_size(4);
		put("one\ntwo\n");
		limit_size(4 + room); /* not enough for "reeve: ..." + "3\n" */
		put("3\n");
		put("4\n");
		limit_size(RLIM_INFINITY);
		put("five\n");
		ck_assert_int_eq(stat(w.path, &st), 0);
		ck_assert_uint_eq(w.lf->size, (uint64_t)st.st_size);
		if (room < 49)
			check_content(0, "one\nreeve: 8 bytes (3 lines) "
					 "dropped: File too large\nfive\n");
		else
			ck_assert_uint_gt(w.lf->size, 60);
		finish();
	}
}
END_TEST

/* A notice that would make the file too long begins the next one. */
START_TEST(test_notice_rotates)
{
	for (uint32_t backups = 0; backups < 2; backups++) {
		start(unit_path(backups ? "x" : "y"), 60, backups);
		limit_size(10);
		put("one\ntwo\nthree\n");
		limit_size(RLIM_INFINITY);
		put("four\n");
		check_content(1, backups ? "one\ntwo\nth" : NULL);
		check_content(0, "reeve: 4 bytes (1 lines) dropped: File too "
				 "large\nfour\n");
		finish();
	}
}
END_TEST

START_TEST(test_notice_in_a_file_that_others_emptied)
{
	start(unit_path("x"), 60, 1);
	limit_size(10);
	put("one\ntwo\nthree\n");
	limit_size(RLIM_INFINITY);
	ck_assert_int_eq(truncate(w.path, 0), 0);
	put("four\n");
	check_content(0, "reeve: 4 bytes (1 lines) dropped: File too large\n"
			 "four\n");
	check_content(1, NULL);
	finish();
}
END_TEST

START_TEST(test_reporter_that_writes_to_the_file)
{
	start(unit_path("x"), 0, 0);
	w.echoes = true;
	limit_size(4);
	put("one\ntwo\n");
	put("three\n");
	limit_size(RLIM_INFINITY);
	put("four\n");
	w.echoes = false;
	check_content(0, "one\nreeve: 17 bytes (3 lines) dropped: File too "
			 "large\nreport\nfour\n");
	finish();
}
END_TEST

START_TEST(test_reporter_that_writes_while_rotation_fails)
{
	start(unit_path("x"), 10, 1);
	w.echoes = true;
	ck_assert_int_eq(mkdir(unit_path("x.1"), 0700), 0);
	put("aaaaaaaa\n");
	put("bbbbbbbb\n");
	w.echoes = false;
	check_content(0, "aaaaaaaa\nreport\nbbbbbbbb\n");
	finish();
}
END_TEST

START_TEST(test_closed_with_losses)
{
	start("/dev/full", 0, 0);
	put("one\n");
	put("two\nthree");
	ck_assert_uint_eq(w.n_problems, 1);
	finish();
	ck_assert_uint_eq(w.n_problems, 2);
	ck_assert_str_eq(w.last,
			 "log file /dev/full: closed; 13 bytes (2 lines) were "
			 "dropped: No space left on device");
}
END_TEST

START_TEST(test_declared_when_closed)
{
	start(unit_path("x"), 0, 0);
	limit_size(0);
	put("one\n");
	limit_size(RLIM_INFINITY);
	finish();
	check_content(0, "reeve: 4 bytes (1 lines) dropped: File too large\n");
	ck_assert_uint_eq(w.n_problems, 1);
	ck_assert_uint_eq(w.n_notices, 1);
}
END_TEST

/* --- a full disk --------------------------------------------------------- */

/* A mount namespace of our own; for users through a user namespace. */
static bool enter_namespace(void)
{
	unsigned uid = geteuid(), gid = getegid();
	char uid_map[32], gid_map[32];

	if (unshare(CLONE_NEWNS) == 0)
		return true;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return false;
	snprintf(uid_map, sizeof(uid_map), "%u %u 1", uid, uid);
	snprintf(gid_map, sizeof(gid_map), "%u %u 1", gid, gid);
	return fd_write_file(AT_FDCWD, "/proc/self/setgroups", "deny") == 0 &&
	       fd_write_file(AT_FDCWD, "/proc/self/uid_map", uid_map) == 0 &&
	       fd_write_file(AT_FDCWD, "/proc/self/gid_map", gid_map) == 0;
}

/* A tmpfs of a few KiB that nobody else sees. False: not allowed to. */
static bool mount_disk(const char *options)
{
	ck_assert_int_eq(mkdir(unit_path("disk"), 0700), 0);
	if (!enter_namespace() ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", unit_path("disk"), "tmpfs", 0, options) < 0) {
		printf("SKIP: no tmpfs of our own: %s\n", strerror(errno));
		return false;
	}
	return true;
}

struct ledger {
	uint64_t bytes, lines;
};

/* What the text holds: notices say what was dropped, the rest came through.
 * Neither a line that was cut nor the newline that ends it is counted. */
static void read_ledger(const char *text, struct ledger *ret_out,
			struct ledger *ret_dropped, unsigned *ret_notices)
{
	struct ledger out = { 0 }, dropped = { 0 };
	size_t last_len = 0;
	unsigned n = 0;

	while (*text) {
		size_t len = strcspn(text, "\n");
		uint64_t bytes, lines;
		char cut[32] = "";

		ck_assert_int_eq(text[len], '\n');
		if (sscanf(text,
			   "reeve: %" SCNu64 " bytes (%" SCNu64
			   " lines) dropped, %31[a-z ]:",
			   &bytes, &lines, cut) >= 2) {
			dropped.bytes += bytes;
			dropped.lines += lines;
			n++;
			ck_assert(!*cut || last_len > 0);
			out.bytes -= *cut != '\0';
			out.lines -= *cut != '\0';
		} else {
			ck_assert_int_eq(text[0], 'L'); /* begins a line */
			out.bytes += len + 1;
			out.lines++;
		}
		last_len = len;
		text += len + 1;
	}
	*ret_out = out;
	*ret_dropped = dropped;
	*ret_notices = n;
}

/* Takes the disk but for free_bytes, as far as that is still possible. */
static void fill_disk(int ballast, uint64_t free_bytes)
{
	struct statvfs fs;
	uint64_t room;

	ck_assert_int_eq(ftruncate(ballast, 0), 0);
	ck_assert_int_eq(fstatvfs(ballast, &fs), 0);
	room = (uint64_t)fs.f_bavail * fs.f_bsize;
	if (room > free_bytes)
		ck_assert_int_eq(posix_fallocate(ballast, 0,
						 (off_t)(room - free_bytes)),
				 0);
}

static void write_on_a_full_disk(uint64_t maxbytes, uint64_t seed)
{
	struct ledger in = { 0 }, out, dropped;
	struct rng rng = { seed };
	struct buf all = BUF_INIT(0);
	char line[300];
	unsigned n_notices;
	int ballast = open(unit_path("disk/ballast"),
			   O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	start(unit_path("disk/x"), maxbytes, 1000);
	for (int i = 0; i < 3000; i++) {
		size_t len = 1 + rng_below(&rng, sizeof(line) - 1);

		if (rng_below(&rng, 20) == 0)
			fill_disk(ballast, 4096 * rng_below(&rng, 4));
		memset(line, 'L', len);
		line[len] = '\n';
		logfile_write(w.lf, line, len + 1);
		in.bytes += len + 1;
		in.lines++;
		if (maxbytes > 0)
			ck_assert_uint_le(w.lf->size, maxbytes);
	}
	fd_close(ballast);
	ck_assert_int_eq(unlink(unit_path("disk/ballast")), 0);
	finish(); /* declares what is left */
	collect(&all, 1000);
	read_ledger(buf_text(&all), &out, &dropped, &n_notices);
	ck_assert_uint_gt(n_notices, 10);
	ck_assert_uint_eq(w.n_problems, n_notices);
	ck_assert_uint_eq(w.n_notices, n_notices);
	ck_assert_uint_gt(out.lines, 100);
	ck_assert_uint_gt(dropped.lines, 100);
	ck_assert_uint_eq(in.lines, out.lines + dropped.lines);
	ck_assert_uint_eq(in.bytes, out.bytes + dropped.bytes);
	buf_done(&all);
}

START_TEST(test_full_disk)
{
	if (!mount_disk("size=768k"))
		return;
	for (uint64_t seed = 1; seed <= 3; seed++) {
		write_on_a_full_disk(0, seed);
		ck_assert_int_eq(unlink(unit_path("disk/x")), 0);
	}
	ck_assert_int_eq(umount(unit_path("disk")), 0);
}
END_TEST

START_TEST(test_full_disk_and_rotation)
{
	if (!mount_disk("size=1m"))
		return;
	write_on_a_full_disk(9000, 11);
	ck_assert_int_eq(umount(unit_path("disk")), 0);
}
END_TEST

/* No inode for the next file: the renamed one comes back. */
START_TEST(test_no_room_for_the_next_file)
{
	if (!mount_disk("size=64k,nr_inodes=3"))
		return;
	start(unit_path("disk/x"), 10, 2);
	unit_file("disk/filler", "");
	put("aaaaaaaa\n");
	put("bbbbbbbb\n");
	check_content(0, "aaaaaaaa\nbbbbbbbb\n");
	check_content(1, NULL);
	ck_assert_uint_eq(w.n_problems, 1);
	ck_assert_int_eq(unlink(unit_path("disk/filler")), 0);
	put("cccccccc\n");
	check_content(0, "cccccccc\n");
	check_content(1, "aaaaaaaa\nbbbbbbbb\n");
	ck_assert_uint_eq(w.n_notices, 1);
	finish();
	ck_assert_int_eq(umount(unit_path("disk")), 0);
}
END_TEST

UNIT_MAIN("logfile_drop", test_dropped_and_declared, test_line_cut_by_a_drop,
	  test_half_a_notice, test_notice_rotates,
	  test_notice_in_a_file_that_others_emptied,
	  test_reporter_that_writes_to_the_file,
	  test_reporter_that_writes_while_rotation_fails,
	  test_closed_with_losses, test_declared_when_closed, test_full_disk,
	  test_full_disk_and_rotation, test_no_room_for_the_next_file)
