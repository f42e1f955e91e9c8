/* Rotation, and what others do to the files. See also test_logfile_drop.c. */
#include "supervisor/daemon/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "tests/unit/logfile_rig.h"
#include "workers/base/pure/buf.h"
#include "workers/base/pure/rng.h"
#include "workers/base/sys/fd.h"

/* --- rotation ------------------------------------------------------------ */

START_TEST(test_rotates_exactly_at_the_limit)
{
	start(unit_path("x"), 10, 2);
	put("12345678\n");
	put("\n"); /* ten: full, but not beyond */
	check_content(0, "12345678\n\n");
	check_content(1, NULL);
	put("\n");
	check_content(0, "\n");
	check_content(1, "12345678\n\n");
	check_content(2, NULL);
	ck_assert_uint_eq(w.n_problems + w.n_notices, 0);
	finish();
}
END_TEST

START_TEST(test_cuts)
{
	static const struct {
		const char *chunks[4];
		const char *files[4]; /* oldest first */
	} cases[] = {
		/* behind the last newline that fits */
		{ { "aa\nbb\ncc\ndd\n" }, { "aa\nbb\ncc\n", "dd\n" } },
		{ { "aaaa\n", "bb\ncccc\n" }, { "aaaa\nbb\n", "cccc\n" } },
		/* a line that does not fit begins the next file, whole */
		{ { "aaaaaa\n", "bbbbbb\n" }, { "aaaaaa\n", "bbbbbb\n" } },
		/* as long as a file, and one more */
		{ { "a\n", "123456789\n" }, { "a\n", "123456789\n" } },
		{ { "a\n", "1234567890\n" }, { "a\n", "1234567890", "\n" } },
		/* much longer */
		{ { "123456789012345678901\nx\n" },
		  { "1234567890", "1234567890", "1\nx\n" } },
		/* one that comes in pieces */
		{ { "aaaa", "bbbb", "cccc\n" }, { "aaaabbbbcc", "cc\n" } },
		{ { "aaaa", "bb\ncccc\n" }, { "aaaabb\n", "cccc\n" } },
		{ { "aaaaaaaaaa", "\n" }, { "aaaaaaaaaa", "\n" } },
		{ { "aaaa\nbbbbb", "\n" }, { "aaaa\nbbbbb", "\n" } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char name[16];
		unsigned n = 0;

		snprintf(name, sizeof(name), "x%zu", i);
		start(unit_path(name), 10, 5);
		for (int k = 0; k < 4 && cases[i].chunks[k]; k++)
			put(cases[i].chunks[k]);
		while (n < 4 && cases[i].files[n])
			n++;
		for (unsigned k = 0; k < n; k++)
			check_content(n - 1 - k, cases[i].files[k]);
		check_content(n, NULL);
		finish();
	}
}
END_TEST

START_TEST(test_backups)
{
	static const unsigned counts[] = { 0, 1, 2, 10 };
	char line[8];

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		snprintf(line, sizeof(line), "x%u", counts[i]);
		start(unit_path(line), 5, counts[i]);
		for (int n = 0; n < 30; n++) {
			snprintf(line, sizeof(line), "%04d\n", n);
			put(line);
		}
		for (unsigned k = 0; k <= counts[i]; k++) {
			snprintf(line, sizeof(line), "%04u\n", 29 - k);
			check_content(k, line);
		}
		check_content(counts[i] + 1, NULL);
		finish();
	}
}
END_TEST

START_TEST(test_never_rotated)
{
	struct buf want = BUF_INIT(0);

	start(unit_path("x"), 0, 3);
	for (int i = 0; i < 1000; i++) {
		put("never rotated\n");
		buf_puts(&want, "never rotated\n");
	}
	check_content(0, buf_text(&want));
	check_content(1, NULL);
	buf_done(&want);
	finish();
}
END_TEST

START_TEST(test_what_is_there_counts)
{
	start(unit_file("x", "1234567\n"), 10, 1);
	put("a\n");
	check_content(0, "1234567\na\n");
	put("b\n");
	check_content(0, "b\n");
	check_content(1, "1234567\na\n");
	finish();
	start(unit_file("y", "longer than allowed\n"), 10, 1);
	put("a\n");
	check_content(0, "a\n");
	check_content(1, "longer than allowed\n");
	finish();
}
END_TEST

/* Random lines in random pieces: nothing is lost, no file is too long. */
START_TEST(test_put_together_nothing_is_lost)
{
	static const unsigned limits[] = { 1, 2, 7, 64, 100, 1000 };
	struct rng rng = { 20260131 };

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct buf in = BUF_INIT(0), out = BUF_INIT(0);
		char piece[200], name[16];
		const unsigned total = MIN(limits[i] * 100, 5000U);

		snprintf(name, sizeof(name), "x%u", limits[i]);
		start(unit_path(name), limits[i], 1000);
		while (in.len < total) {
			size_t len = 1 + rng_below(&rng, sizeof(piece));

			for (size_t k = 0; k < len; k++)
				piece[k] = rng_below(&rng, 30) ? 'x' : '\n';
			buf_append(&in, piece, len);
			logfile_write(w.lf, piece, len);
			ck_assert_uint_le(w.lf->size, limits[i]);
		}
		collect(&out, 1000);
		ck_assert_str_eq(buf_text(&out), buf_text(&in));
		buf_done(&in);
		buf_done(&out);
		finish();
	}
}
END_TEST

/* Whole lines that fit are never parted. */
START_TEST(test_whole_lines_stay_whole)
{
	struct rng rng = { 7 };
	char line[61];

	start(unit_path("x"), 100, 1000);
	for (int i = 0; i < 500; i++) {
		size_t len = 1 + rng_below(&rng, 60);

		memset(line, 'x', len - 1);
		line[len - 1] = '\n';
		logfile_write(w.lf, line, len);
	}
	for (unsigned i = 0;; i++) {
		char *text = content(i);

		if (!text)
			break;
		ck_assert_uint_le(strlen(text), 100);
		/* Else the first line of the next would have fitted too. */
		ck_assert_uint_gt(strlen(text), i > 0 ? 40 : 0);
		ck_assert_int_eq(text[strlen(text) - 1], '\n');
		free(text);
	}
	finish();
}
END_TEST

START_TEST(test_rotate_now)
{
	struct stat st;

	umask(0022);
	start(unit_path("x"), 0, 2);
	ck_assert_int_eq(logfile_rotate(w.lf), 0); /* empty: stays */
	check_content(1, NULL);
	put("one\n");
	ck_assert_int_eq(chmod(w.path, 0604), 0);
	if (geteuid() == 0)
		ck_assert_int_eq(chown(w.path, 54321, 54322), 0);
	ck_assert_int_eq(logfile_rotate(w.lf), 0);
	put("two\n");
	check_content(0, "two\n");
	check_content(1, "one\n");
	/* for the same readers as before */
	ck_assert_int_eq(stat(w.path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0604);
	ck_assert_uint_eq(st.st_uid, geteuid() == 0 ? 54321 : geteuid());
	ck_assert_uint_eq(st.st_gid, geteuid() == 0 ? 54322 : getegid());
	finish();
	start(unit_path("y"), 100, 0);
	put("one\n");
	ck_assert_int_eq(logfile_rotate(w.lf), 0); /* emptied */
	check_content(0, "");
	finish();
}
END_TEST

/* --- others move, empty and plant files ---------------------------------- */

static void move_away(const char *to)
{
	ck_assert_int_eq(rename(w.path, unit_path(to)), 0);
}

START_TEST(test_renew)
{
	static const struct {
		uint64_t maxbytes;
		uint32_t backups;
		bool rotates;
	} cases[] = {
		{ 100, 2, true },
		{ 0, 2, false },   /* never to be rotated */
		{ 100, 0, false }, /* nowhere to go: a signal deletes nothing */
	};
	char name[16];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(name, sizeof(name), "x%zu", i);
		start(unit_path(name), cases[i].maxbytes, cases[i].backups);
		put("one\n");
		logfile_renew_all(&w.reg);
		put("two\n");
		check_content(1, cases[i].rotates ? "one\n" : NULL);
		check_content(0, cases[i].rotates ? "two\n" : "one\ntwo\n");
		/* what others moved is opened anew, whatever the settings */
		move_away("moved");
		put("three\n");
		logfile_renew_all(&w.reg);
		put("four\n");
		check_content(0, "four\n");
		check_content(1, cases[i].rotates ? "one\n" : NULL);
		finish();
	}
}
END_TEST

START_TEST(test_moved_file_is_not_rotated_over)
{
	start(unit_path("x"), 10, 3);
	put("12345678\n");
	move_away("x.1"); /* as logrotate does, without telling */
	put("abcdefgh\n");
	check_content(0, "abcdefgh\n");
	check_content(1, "12345678\n");
	check_content(2, NULL);
	ck_assert_int_eq(unlink(w.path), 0);
	put("again\n");
	check_content(0, "again\n");
	finish();
}
END_TEST

START_TEST(test_emptied_by_others)
{
	start(unit_path("x"), 10, 3);
	put("12345678\n");
	ck_assert_int_eq(truncate(w.path, 0), 0); /* copytruncate */
	put("abcdefgh\n");
	check_content(0, "abcdefgh\n");
	check_content(1, NULL);
	put("next\n");
	check_content(0, "next\n");
	check_content(1, "abcdefgh\n");
	ck_assert_int_eq(truncate(w.path, 2), 0); /* "ne" is left */
	put("xt again");
	check_content(0, "next again");
	put("\n");
	check_content(0, "\n");
	check_content(1, "next again");
	finish();
}
END_TEST

START_TEST(test_planted_files_are_not_written)
{
	const char *secret = unit_file("secret", "secret\n");
	char *text;
	size_t len;

	for (int hard = 0; hard < 2; hard++) {
		(void)unlink(unit_path("x"));
		start(unit_path("x"), 10, 3);
		put("one\n");
		move_away(hard ? "moved1" : "moved2");
		ck_assert_int_eq(hard ? link(secret, w.path)
				      : symlink(secret, w.path),
				 0);
		ck_assert_int_eq(logfile_reopen(w.lf), hard ? -EMLINK : -ELOOP);
		logfile_renew(w.lf);
		ck_assert_uint_eq(w.n_problems, 1);
		put("two\n");	/* still into the moved one */
		put("three\n"); /* would rotate */
		ck_assert_int_eq(fd_read_file(-1, secret, 100, &text, &len), 0);
		ck_assert_str_eq(text, "secret\n");
		free(text);
		snprintf(w.path, sizeof(w.path), "%s",
			 unit_path(hard ? "moved1" : "moved2"));
		check_content(0, "one\ntwo\nthree\n");
		finish();
	}
}
END_TEST

START_TEST(test_refused_files)
{
	struct logfile_registry reg;
	struct logfile *lf = NULL;
	static const struct {
		const char *name;
		int want;
	} cases[] = {
		{ "link", -ELOOP },    { "hard", -EMLINK },
		{ "dir", -EISDIR },    { "fifo", -EINVAL },
		{ "none/x", -ENOENT }, { "file/x", -ENOTDIR },
		{ "dir/", -EISDIR },
	};

	unit_file("file", "");
	unit_file("file2", "");
	ck_assert_int_eq(symlink("file", unit_path("link")), 0);
	ck_assert_int_eq(link(unit_path("file2"), unit_path("hard")), 0);
	ck_assert_int_eq(mkdir(unit_path("dir"), 0700), 0);
	ck_assert_int_eq(mkfifo(unit_path("fifo"), 0600), 0);
	logfile_registry_init(&reg, NULL, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct logfile_spec spec = {
			.path = unit_path(cases[i].name),
		};

		ck_assert_msg(logfile_get(&reg, &spec, &lf) == cases[i].want,
			      "%s", cases[i].name);
		ck_assert_ptr_null(lf);
		ck_assert_uint_eq(reg.n_files, 0);
		/* a sentence of ours, not of strerror(3) */
		ck_assert_int_eq(strcmp(logfile_error_text(cases[i].want),
					strerror(-cases[i].want)) == 0,
				 cases[i].want == -ENOTDIR);
	}
	logfile_registry_done(&reg);
}
END_TEST

START_TEST(test_devices)
{
	struct stat st;

	start("/dev/null", 10, 3); /* many a supervisord.conf has this */
	put("longer than ten bytes\n");
	put("and more\n");
	ck_assert_uint_eq(w.lf->rotate_at, 0);
	logfile_renew(w.lf);
	ck_assert_int_eq(logfile_rotate(w.lf), -EINVAL);
	ck_assert_int_eq(stat("/dev/null", &st), 0);
	ck_assert(S_ISCHR(st.st_mode));
	ck_assert_uint_eq(w.n_problems + w.n_notices, 0);
	ck_assert_uint_eq(w.lf->total_bytes_dropped, 0);
	finish();
}
END_TEST

/* --- rotation that fails ------------------------------------------------- */

START_TEST(test_rotation_fails)
{
	start(unit_path("x"), 10, 1);
	ck_assert_int_eq(mkdir(unit_path("x.1"), 0700), 0);
	put("aaaaaaaa\n");
	put("bbbbbbbb\n");
	ck_assert_uint_eq(w.n_problems, 1);
	ck_assert_str_eq(strstr(w.last, "cannot rotate"),
			 "cannot rotate, it goes on growing: is a directory");
	/* tried again each maxbytes, not with each write */
	ck_assert_int_eq(rmdir(unit_path("x.1")), 0);
	put("\n");
	check_content(0, "aaaaaaaa\nbbbbbbbb\n\n");
	check_content(1, NULL);
	put("c\n");
	check_content(0, "c\n");
	check_content(1, "aaaaaaaa\nbbbbbbbb\n\n");
	finish();
}
END_TEST

START_TEST(test_rotation_is_tried_again)
{
	struct buf want = BUF_INIT(0);

	start(unit_path("x"), 10, 1);
	ck_assert_int_eq(mkdir(unit_path("x.1"), 0700), 0);
	for (int i = 0; i < 100; i++) {
		put("xxxx\n");
		buf_puts(&want, "xxxx\n");
	}
	put("a line longer than maxbytes, while it cannot be rotated\n");
	buf_puts(&want,
		 "a line longer than maxbytes, while it cannot be rotated\n");
	check_content(0, buf_text(&want));
	ck_assert_uint_eq(w.n_problems, 1); /* said once */
	ck_assert_int_eq(w.lf->rotate_error, -EISDIR);
	ck_assert_uint_eq(w.n_notices, 0);
	ck_assert_int_eq(rmdir(unit_path("x.1")), 0);
	for (int i = 0; i < 3; i++) /* no more than maxbytes until then */
		put("yyyy\n");
	check_content(0, "yyyy\n");
	ck_assert_uint_eq(w.n_notices, 1);
	ck_assert_str_eq(strstr(w.last, "can be"), "can be rotated again");
	ck_assert_uint_eq(w.n_problems, 1);
	ck_assert_int_eq(w.lf->rotate_error, 0);
	ck_assert_uint_eq(w.lf->total_bytes_dropped, 0);
	buf_done(&want);
	finish();
}
END_TEST

/* --- the registry -------------------------------------------------------- */

START_TEST(test_one_path_is_one_file)
{
	const struct logfile_spec other = {
		.path = unit_path("x"),
		.maxbytes = 99,
		.backups = 9,
	};
	struct logfile *second;

	start(unit_path("x"), 20, 5);
	ck_assert_int_eq(logfile_get(&w.reg, &other, &second), 0);
	ck_assert_ptr_eq(second, w.lf);
	ck_assert_uint_eq(second->maxbytes, 20); /* the first one's */
	ck_assert_uint_eq(w.reg.n_files, 1);
	for (int i = 0; i < 3; i++) {
		logfile_write(w.lf, "first\n", 6);
		logfile_write(second, "second\n", 7);
	}
	check_content(0, "second\nfirst\nsecond\n");
	check_content(1, "first\nsecond\nfirst\n");
	check_content(2, NULL);
	ck_assert_ptr_null(logfile_put(second));
	ck_assert_uint_eq(w.reg.n_files, 1);
	put("still open\n");
	check_content(0, "still open\n");
	ck_assert_ptr_null(logfile_put(NULL));
	finish();
}
END_TEST

static struct logfile *get_numbered(size_t i)
{
	char path[300]; /* another string each time */
	const struct logfile_spec spec = { .path = path };
	struct logfile *lf;

	snprintf(path, sizeof(path), "%s/x%zu", unit_tmpdir(), i);
	ck_assert_int_eq(logfile_get(&w.reg, &spec, &lf), 0);
	return lf;
}

START_TEST(test_many_files)
{
	struct logfile *files[400];

	memset(&w, 0, sizeof(w));
	logfile_registry_init(&w.reg, on_report, &w);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		files[i] = get_numbered(i);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		ck_assert_ptr_eq(get_numbered(i), files[i]);
		logfile_write(files[i], files[i]->path, strlen(files[i]->path));
	}
	ck_assert_uint_eq(w.reg.n_files, ARRAY_SIZE(files));
	ck_assert_uint_ge(w.reg.n_buckets, ARRAY_SIZE(files));
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(w.path, sizeof(w.path), "%s", files[i]->path);
		check_content(0, w.path);
		logfile_put(files[i]);
		if (i % 2 == 0)
			logfile_put(files[i]);
	}
	ck_assert_uint_eq(w.reg.n_files, ARRAY_SIZE(files) / 2);
	logfile_registry_done(&w.reg);
	ck_assert_uint_eq(w.reg.n_files, 0);
}
END_TEST

START_TEST(test_mode_and_flags)
{
	const struct logfile_spec spec = {
		.path = unit_path("y"),
		.mode = 0604,
	};
	struct logfile *lf;
	struct stat st;

	umask(0022);
	start(unit_path("x"), 0, 0);
	ck_assert_int_eq(fcntl(w.lf->fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(stat(w.path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, LOGFILE_MODE);
	ck_assert_int_eq(logfile_get(&w.reg, &spec, &lf), 0);
	ck_assert_int_eq(stat(spec.path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0604);
	logfile_put(lf);
	finish();
}
END_TEST

UNIT_MAIN("logfile", test_rotates_exactly_at_the_limit, test_cuts, test_backups,
	  test_never_rotated, test_what_is_there_counts,
	  test_put_together_nothing_is_lost, test_whole_lines_stay_whole,
	  test_rotate_now, test_renew, test_moved_file_is_not_rotated_over,
	  test_emptied_by_others, test_planted_files_are_not_written,
	  test_refused_files, test_devices, test_rotation_fails,
	  test_rotation_is_tried_again, test_one_path_is_one_file,
	  test_many_files, test_mode_and_flags)
