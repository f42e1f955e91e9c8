/* Loading files that are too large, too many, or no configuration at all. */
#include "conf/load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "tests/unit/conf_rig.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"

/* Names of sections are whole up to the limit, and refused beyond it: inih
 * alone cuts them at 49 bytes. */
START_TEST(test_long_names)
{
	char name[SETTINGS_NAME_MAX + 2], text[512];
	struct conf_rig rig;

	memset(name, 'n', sizeof(name));
	name[SETTINGS_NAME_MAX] = '\0';
	snprintf(text, sizeof(text),
		 "[worker:%s]\ncommand=a\n[worker:%.127s]\ncommand=b\n", name,
		 name);
	rig = rig_load(text);
	rig_assert_clean(&rig);
	ck_assert_str_eq(rig_worker(&rig, name)->command, "a");
	name[SETTINGS_NAME_MAX - 1] = '\0';
	ck_assert_str_eq(rig_worker(&rig, name)->command, "b");
	rig_done(&rig);

	memset(name, 'n', sizeof(name) - 1);
	name[SETTINGS_NAME_MAX + 1] = '\0';
	snprintf(text, sizeof(text), "[worker:%s]\ncommand=a\n", name);
	rig = rig_load(text);
	rig_assert_error(&rig, 1,
			 "has a name that cannot be: it is longer than 128");
	rig_done(&rig);
}
END_TEST

/* A value as long as a line may be is whole; a byte more is an error. */
START_TEST(test_longest_value)
{
	static const char head[] = "[worker:a]\nstderr_logfile=NONE\ncommand=";
	size_t n = CONF_LINE_MAX - strlen("command=");
	char *text = malloc(sizeof(head) + n + 2);
	struct conf_rig rig;

	ck_assert_ptr_nonnull(text);
	memcpy(text, head, sizeof(head) - 1);
	memset(text + sizeof(head) - 1, 'x', n + 1);
	text[sizeof(head) - 1 + n] = '\0';
	rig = rig_load(text);
	rig_assert_clean(&rig);
	ck_assert_uint_eq(strlen(rig.s->workers[0]->command), n);
	rig_done(&rig);
	text[sizeof(head) - 1 + n] = 'x';
	text[sizeof(head) + n] = '\0';
	rig = rig_load(text);
	ck_assert_int_eq(rig.r, -EINVAL);
	rig_assert_message(&rig, true, 3, "the line is longer than 65536");
	rig_done(&rig);
	free(text);
}
END_TEST

START_TEST(test_no_text_files)
{
	static const struct {
		const char *bytes;
		size_t len;
		int line;
		const char *part;
	} rows[] = {
		{ "[worker:a]\ncommand=x\0y\n", 23, 2, "a NUL byte" },
		{ "\x7f"
		  "ELF\x02\x01\x01\0\0\0\n\x80\xff",
		  13, 1, "control character \\x7f" },
		{ "\x1f\x8b\x08\0\0\0\0\0", 8, 1, "control character" },
		{ "\xff\xfe[\0a\0]\0\n\0", 10, 1, "the file is UTF-16" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct conf_options options = { 0 };
		struct conf_rig rig =
			rig_load_bytes(rows[i].bytes, rows[i].len, &options);

		rig_assert_error(&rig, rows[i].line, rows[i].part);
		rig_done(&rig);
	}
}
END_TEST

START_TEST(test_odd_text_files)
{
	struct conf_rig rig = rig_load("\xef\xbb\xbf[worker:a]\ncommand=x\n");

	rig_assert_warning(&rig, 1, "byte order mark");
	ck_assert_str_eq(rig_worker(&rig, "a")->command, "x");
	rig_done(&rig);
	rig = rig_load("[worker:a]\r\ncommand=x\r\n");
	rig_assert_warning(&rig, 1, "CR LF");
	ck_assert_str_eq(rig_worker(&rig, "a")->command, "x");
	rig_done(&rig);
	rig = rig_load("[worker:a]\ncommand=sh -c 'a ; b' ; c\n");
	rig_assert_clean(&rig);
	ck_assert_str_eq(rig_worker(&rig, "a")->command, "sh -c 'a ; b'");
	rig_done(&rig);
}
END_TEST

/* Each load reads 10,000 sections, and says so in time. */
START_TEST(test_many_sections)
{
	struct buf text = BUF_INIT(0);
	struct conf_rig rig;
	uint64_t start, took;

	for (int i = 0; i < 10000; i++)
		(void)buf_printf(&text, "[worker:w%d]\ncommand=/bin/sleep %d\n",
				 i, i);
	ck_assert_int_eq(text.error, 0);
	start = clock_monotonic_usec();
	rig = rig_load(text.data);
	took = clock_monotonic_usec() - start;
	rig_assert_clean(&rig);
	ck_assert_uint_eq(rig.s->n_workers, 10000);
	ck_assert_str_eq(rig.s->workers[9999]->name, "w9999");
	/* 0.1 s as a rule; the bound is for sanitizers and busy machines */
	ck_assert_msg(took < 10 * USEC_PER_SEC, "%" PRIu64 " us", took);
	rig_done(&rig);
	buf_done(&text);
}
END_TEST

START_TEST(test_too_many_sections)
{
	struct buf text = BUF_INIT(0);
	struct conf_rig rig;

	for (size_t i = 0; i < CONF_SECTIONS_MAX + 2; i++)
		(void)buf_puts(&text, "[group:g]\n");
	rig = rig_load(text.data);
	ck_assert_int_eq(rig.r, -EINVAL);
	ck_assert_uint_eq(rig.report.n_messages, CONF_MESSAGES_MAX);
	/* all but the first are said twice, the last two are too many */
	ck_assert_uint_eq(rig.report.n_errors, CONF_SECTIONS_MAX - 1 + 1 + 1);
	rig_done(&rig);
	buf_done(&text);
}
END_TEST

/* Thousands of errors are counted, and no suggestion is sought for those that
 * are not kept: this would take minutes. */
START_TEST(test_flood_of_errors)
{
	struct buf text = BUF_INIT(0);
	struct conf_rig rig;

	(void)buf_puts(&text, "[worker:a]\ncommand=x\n");
	for (size_t i = 0; i < 100000; i++)
		(void)buf_printf(&text, "stdout_logfile_maxbytesx%zu=1\n", i);
	rig = rig_load(text.data);
	ck_assert_int_eq(rig.r, -EINVAL);
	ck_assert_uint_eq(rig.report.n_errors, 100000);
	ck_assert_uint_eq(rig.report.n_messages, CONF_MESSAGES_MAX);
	rig_done(&rig);
	buf_done(&text);
}
END_TEST

START_TEST(test_unreadable)
{
	const char *fifo = unit_path("fifo");
	const struct {
		const char *path;
		int r;
		const char *part;
	} rows[] = {
		{ unit_path("missing.ini"), -ENOENT, "No such file" },
		{ unit_tmpdir(), -EISDIR, "it is a directory" },
		{ fifo, -EINVAL, "it is not a regular file" },
		{ "/dev/null", -EINVAL, "it is not a regular file" },
	};

	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct conf_rig rig = rig_load_file(rows[i].path);

		ck_assert_int_eq(rig.r, rows[i].r);
		ck_assert_ptr_null(rig.s);
		rig_assert_message(&rig, true, 0, rows[i].part);
		ck_assert_str_eq(rig.report.messages[0].file, rows[i].path);
		rig_done(&rig);
	}
}
END_TEST

START_TEST(test_largest_file)
{
	const char *path = unit_path("large.ini");
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	struct conf_rig rig;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)CONF_FILE_MAX + 1), 0);
	rig = rig_load_file(path);
	ck_assert_int_eq(rig.r, -EFBIG);
	rig_assert_message(&rig, true, 0, "it is larger than 16 MB");
	rig_done(&rig);
	ck_assert_int_eq(ftruncate(fd, (off_t)CONF_FILE_MAX), 0);
	rig = rig_load_file(path);
	rig_assert_error(&rig, 1, "a NUL byte"); /* so it was read */
	rig_done(&rig);
	close(fd);
}
END_TEST

/* The name of a process, with its group, has the same limit. */
START_TEST(test_long_process_names)
{
	char text[512];
	struct conf_rig rig;

	/* 126 + ":0" is the limit, ":10" is over it */
	snprintf(text, sizeof(text),
		 "[worker:%0126d]\ncommand=x\nnumprocs=10\n", 0);
	rig = rig_load(text);
	rig_assert_clean(&rig);
	rig_done(&rig);
	snprintf(text, sizeof(text),
		 "[worker:%0126d]\ncommand=x\nnumprocs=11\n", 0);
	rig = rig_load(text);
	rig_assert_error(&rig, 1, "longer than 128 bytes with its group");
	rig_done(&rig);
	snprintf(text, sizeof(text),
		 "[worker:a]\ncommand=x\nprocess_name=%0129d\n", 0);
	rig = rig_load(text);
	rig_assert_error(&rig, 3, "it is longer than 128 bytes");
	rig_done(&rig);
}
END_TEST

/* What expands beyond twice a line is refused, not cut. */
START_TEST(test_long_expansion)
{
	size_t n = 2 * CONF_LINE_MAX;
	char *big = malloc(n + 1);
	struct conf_rig rig;

	ck_assert_ptr_nonnull(big);
	memset(big, 'x', n);
	big[n] = '\0';
	setenv("LIMITS_TEST", big, 1);
	rig = rig_load("[reeve]\nidentifier=%(ENV_LIMITS_TEST)s\n");
	rig_assert_clean(&rig);
	ck_assert_uint_eq(strlen(rig.s->daemon.identifier), n);
	rig_done(&rig);
	rig = rig_load("[reeve]\nidentifier=%(ENV_LIMITS_TEST)sx\n");
	rig_assert_error(&rig, 2, "it becomes too long");
	rig_done(&rig);
	free(big);
}
END_TEST

/* A key as long as a line: refused without a search for what is near it. */
START_TEST(test_long_key)
{
	size_t n = CONF_LINE_MAX - 2;
	char *text = malloc(n + 16);
	struct conf_rig rig;

	ck_assert_ptr_nonnull(text);
	memcpy(text, "[reeve]\n", 8);
	memset(text + 8, 'k', n);
	memcpy(text + 8 + n, "=v", 3);
	rig = rig_load(text);
	rig_assert_error(&rig, 2, "unknown key \"kkkk");
	ck_assert_uint_lt(strlen(rig.report.messages[0].text), 200);
	rig_done(&rig);
	free(text);
}
END_TEST

/* All files together: the one that would pass the limit is refused. */
START_TEST(test_total)
{
	size_t n = CONF_TOTAL_MAX / CONF_FILE_MAX;
	struct buf text = BUF_INIT(0);
	struct conf_rig rig;

	(void)buf_puts(&text, "[include]\nfiles=");
	for (size_t i = 0; i < n; i++) {
		char name[16];
		const char *path;

		snprintf(name, sizeof(name), "%zu", i);
		path = unit_file(name, "");
		ck_assert_int_eq(truncate(path, (off_t)CONF_FILE_MAX), 0);
		(void)buf_printf(&text, " %s", path);
	}
	rig = rig_load_file(unit_file("main.ini", text.data));
	ck_assert_int_eq(rig.r, -EINVAL);
	/* the others were read: they are full of NULs */
	ck_assert_uint_eq(rig.report.n_errors, n);
	rig_assert_message(&rig, true, 2, "/3: it is larger than 16 MB, or");
	rig_done(&rig);
	buf_done(&text);
}
END_TEST

UNIT_MAIN("conf_limits", test_long_names, test_longest_value,
	  test_no_text_files, test_odd_text_files, test_many_sections,
	  test_too_many_sections, test_flood_of_errors, test_unreadable,
	  test_largest_file, test_long_process_names, test_long_expansion,
	  test_long_key, test_total)
