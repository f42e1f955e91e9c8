#include "conf/conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "tests/unit/conf_rig.h"

static void make_dir(const char *name)
{
	ck_assert_int_eq(mkdir(unit_path(name), 0700), 0);
}

START_TEST(test_patterns)
{
	const char *main_file;
	struct conf_rig rig;

	make_dir("conf.d");
	unit_file("conf.d/b.ini", "[worker:b]\ncommand=b %(here)s\n");
	unit_file("conf.d/a.ini", "[worker:a]\ncommand=a\n");
	unit_file("conf.d/a.bak", "garbage\n");
	unit_file("one.ini", "[worker:one]\ncommand=%(here)s/one\n");
	main_file = unit_file("main.ini", "[include]\nfiles = conf.d/*.ini\n"
					  "  one.ini\n[worker:m]\ncommand=m\n");
	rig = rig_load_file(main_file);
	rig_assert_clean(&rig);
	/* main file first, then sorted, then as written */
	ck_assert_uint_eq(rig.s->n_files, 4);
	ck_assert_str_eq(rig.s->files[0], main_file);
	ck_assert_str_eq(rig.s->files[1], unit_path("conf.d/a.ini"));
	ck_assert_str_eq(rig.s->files[2], unit_path("conf.d/b.ini"));
	ck_assert_str_eq(rig.s->files[3], unit_path("one.ini"));
	ck_assert_str_eq(rig.s->workers[0]->name, "m");
	ck_assert_str_eq(rig.s->workers[1]->name, "a");
	ck_assert_str_eq(rig.s->here, unit_tmpdir());
	/* here is the directory of the file that says it */
	ck_assert_str_eq(rig_worker(&rig, "one")->command, unit_path("one"));
	ck_assert_str_eq(rig_worker(&rig, "b")->command + 2,
			 unit_path("conf.d"));
	ck_assert_str_eq(rig_worker(&rig, "b")->file,
			 unit_path("conf.d/b.ini"));
	rig_done(&rig);
}
END_TEST

/* Relative to the including file, wherever that is. */
START_TEST(test_nested)
{
	struct conf_rig rig;

	make_dir("x");
	make_dir("x/y");
	unit_file("x/y/c.ini", "[worker:c]\ncommand=c\n");
	unit_file("x/b.ini", "[include]\nfiles=y/c.ini\n[worker:b]\n"
			     "command=b\n");
	rig = rig_load_file(
		unit_file("main.ini", "[include]\nfiles=x/b.ini\n"));
	rig_assert_clean(&rig);
	ck_assert_uint_eq(rig.s->n_files, 3);
	ck_assert_uint_eq(rig.s->n_workers, 2);
	rig_done(&rig);
}
END_TEST

START_TEST(test_expansions)
{
	char text[512];
	struct conf_rig rig;

	unit_file("a.ini", "[worker:a]\ncommand=a\n");
	setenv("INCLUDE_TEST", "a", 1);
	snprintf(text, sizeof(text),
		 "[include]\nfiles=%%(here)s/%%(ENV_INCLUDE_TEST)s.ini %s\n",
		 unit_path("b.ini"));
	unit_file("b.ini", "[worker:b]\ncommand=b\n");
	rig = rig_load_file(unit_file("main.ini", text));
	rig_assert_clean(&rig);
	ck_assert_uint_eq(rig.s->n_workers, 2);
	rig_done(&rig);
	rig = rig_load_file(
		unit_file("bad.ini", "[include]\nfiles=%(program_name)s\n"));
	rig_assert_error(&rig, 2,
			 "files in [include]: %(program_name)s is "
			 "not known here");
	rig_done(&rig);
}
END_TEST

/* Nothing matches: worth a word, but for a directory that is empty. */
START_TEST(test_no_match)
{
	struct conf_rig rig;

	rig = rig_load_file(
		unit_file("a.ini", "[include]\nfiles=missing.ini\n"));
	rig_assert_warning(&rig, 2, "no file matches");
	rig_assert_warning(&rig, 2, "missing.ini");
	rig_done(&rig);
	rig = rig_load_file(
		unit_file("b.ini", "[include]\nfiles=conf.d/*.ini\n"));
	rig_assert_warning(&rig, 2, "no file matches");
	rig_done(&rig);
	make_dir("conf.d");
	rig = rig_load_file(unit_path("b.ini"));
	rig_assert_clean(&rig);
	rig_done(&rig);
	unit_file("conf.d/web.conf", "");
	rig = rig_load_file(unit_path("b.ini"));
	rig_assert_warning(&rig, 2, "no file matches");
	rig_done(&rig);
}
END_TEST

START_TEST(test_unreadable)
{
	struct conf_rig rig;

	make_dir("conf.d");
	make_dir("conf.d/dir.ini");
	unit_file("conf.d/z.ini", "[worker:z]\ncommand=z\n");
	rig = rig_load_file(unit_file(
		"main.ini", "[include]\nfiles=conf.d/*.ini\n[reeve]\nx=1\n"));
	rig_assert_message(&rig, true, 2, "dir.ini: it is a directory");
	/* and the rest is read all the same */
	rig_assert_message(&rig, true, 4, "unknown key \"x\"");
	ck_assert_uint_eq(rig.report.n_errors, 2);
	ck_assert_int_eq(rig.r, -EINVAL);
	rig_done(&rig);
	ck_assert_int_eq(symlink("nowhere", unit_path("conf.d/dead.ini")), 0);
	rig = rig_load_file(unit_path("main.ini"));
	rig_assert_message(&rig, true, 2, "dead.ini: No such file");
	rig_done(&rig);
}
END_TEST

/* Errors in an included file are told with its name. */
START_TEST(test_errors_elsewhere)
{
	const char *b = unit_file("b.ini", "[worker:a]\ncommand=x\n\nfoo=1\n");
	struct conf_rig rig = rig_load_file(unit_file(
		"main.ini", "[worker:a]\ncommand=x\n[include]\nfiles=b.ini\n"));

	rig_assert_message(&rig, true, 1, "[worker:a] was there before");
	rig_assert_message(&rig, true, 4, "unknown key \"foo\"");
	for (size_t i = 0; i < rig.report.n_messages; i++)
		ck_assert_str_eq(rig.report.messages[i].file, b);
	rig_done(&rig);
}
END_TEST

START_TEST(test_loops)
{
	struct conf_rig rig;

	rig = rig_load_file(
		unit_file("self.ini", "[include]\nfiles=self.ini\n"));
	rig_assert_error(&rig, 2, "an include loop");
	rig_done(&rig);
	unit_file("b.ini", "[include]\nfiles=c.ini\n");
	unit_file("c.ini", "[include]\nfiles=a.ini\n");
	rig = rig_load_file(unit_file("a.ini", "[include]\nfiles=b.ini\n"));
	rig_assert_error(&rig, 2, "an include loop");
	ck_assert_str_eq(rig.report.messages[0].file, unit_path("c.ini"));
	rig_done(&rig);
}
END_TEST

/* Twice, but not in a loop: read once. Known by what it is, not its name. */
START_TEST(test_twice)
{
	struct conf_rig rig;

	unit_file("b.ini", "[worker:b]\ncommand=b\n");
	ck_assert_int_eq(symlink("b.ini", unit_path("c.ini")), 0);
	rig = rig_load_file(
		unit_file("a.ini", "[include]\nfiles=b.ini c.ini\n"));
	rig_assert_warning(&rig, 2, "c.ini is included already");
	ck_assert_uint_eq(rig.s->n_workers, 1);
	rig_done(&rig);
}
END_TEST

START_TEST(test_how_many_files)
{
	struct conf_rig rig;

	make_dir("d");
	for (size_t i = 0; i < CONF_FILES_MAX - 1; i++) {
		char path[256]; /* unit_file() does not make so many */
		FILE *f;

		snprintf(path, sizeof(path), "%s/d/%zu.ini", unit_tmpdir(), i);
		f = fopen(path, "we");
		ck_assert_ptr_nonnull(f);
		fclose(f);
	}
	rig = rig_load_file(unit_file("a.ini", "[include]\nfiles=d/*.ini\n"));
	rig_assert_clean(&rig);
	ck_assert_uint_eq(rig.s->n_files, CONF_FILES_MAX);
	rig_done(&rig);
	unit_file("d/x.ini", "");
	rig = rig_load_file(unit_path("a.ini"));
	rig_assert_error(&rig, 2, "more than 1000 files");
	rig_done(&rig);
}
END_TEST

START_TEST(test_long_pattern)
{
	struct conf_rig rig;
	char text[5000];

	snprintf(text, sizeof(text), "[include]\nfiles=/%04095d a.ini\n", 0);
	unit_file("a.ini", "[worker:a]\ncommand=a\n");
	rig = rig_load_file(unit_file("main.ini", text));
	rig_assert_error(&rig, 2, "the pattern is longer than 4096 bytes");
	rig_done(&rig);
}
END_TEST

START_TEST(test_text_from_memory)
{
	struct conf_rig rig = rig_load("[include]\nfiles=/etc/passwd\n");

	rig_assert_error(&rig, 2, "that is no file cannot include");
	rig_done(&rig);
}
END_TEST

START_TEST(test_relative_path)
{
	struct conf_rig rig;

	unit_file("b.ini", "[worker:b]\ncommand=%(here)s\n");
	unit_file("a.ini", "[include]\nfiles=b.ini\n");
	ck_assert_int_eq(chdir(unit_tmpdir()), 0);
	rig = rig_load_file("a.ini");
	rig_assert_clean(&rig);
	ck_assert_str_eq(rig.s->files[1], "b.ini");
	ck_assert_str_eq(rig.s->here, unit_tmpdir());
	ck_assert_str_eq(rig_worker(&rig, "b")->command, unit_tmpdir());
	rig_done(&rig);
}
END_TEST

UNIT_MAIN("conf_include", test_patterns, test_nested, test_expansions,
	  test_no_match, test_unreadable, test_errors_elsewhere, test_loops,
	  test_twice, test_long_pattern, test_how_many_files,
	  test_text_from_memory, test_relative_path)
