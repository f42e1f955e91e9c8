/* The dump: complete, with origins, without secrets, and loadable. */
#include "conf/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/schema.h"
#include "tests/lib/unit.h"
#include "tests/unit/conf_rig.h"
#include "workers/base/pure/str.h"

/* The rows that are not defaults, as "[section] key = value (origin)". */
static void on_set_row(void *userdata, const char *section, const char *key,
		       const char *value, const char *origin)
{
	if (strcmp(origin, "default") != 0)
		(void)buf_printf(userdata, "[%s] %s = %s (%s)\n", section, key,
				 value, origin);
}

static void assert_dump(const struct conf_rig *rig, bool show_secrets,
			const char *want)
{
	struct buf out = BUF_INIT(0);

	rig_assert_clean(rig);
	ck_assert_int_eq(conf_dump(rig->s, show_secrets, on_set_row, &out), 0);
	ck_assert_str_eq(buf_text(&out), want);
	buf_done(&out);
}

static const char text[] = "[worker:web]\n"
			   "command = run '%(process_num)d ; x' %%\n"
			   "numprocs = 2\n"
			   "environment = TOKEN=\"secret\",\n"
			   "\tB='2'\n"
			   "\n"
			   "[reeve]\n"
			   "environment = PASSWORD=hunter2\n"
			   "identifier = 100%%\n"
			   "[group:site]\n"
			   "programs = web , mail\n"
			   "priority = 5\n"
			   "[worker:mail]\n"
			   "command = mail\n"
			   "priority = 6\n";

START_TEST(test_what_is_set)
{
	struct conf_rig rig = rig_load(text);

	assert_dump(&rig, false,
		    "[reeve] environment = PASSWORD (t.ini:8)\n"
		    "[reeve] identifier = 100%% (t.ini:9)\n"
		    "[group:site] programs = web,mail (t.ini:11)\n"
		    "[group:site] priority = 5 (t.ini:12)\n"
		    "[worker:web] command = run '%(process_num)d ; x' %% "
		    "(t.ini:2)\n"
		    "[worker:web] numprocs = 2 (t.ini:3)\n"
		    /* where the value comes from, not where it would */
		    "[worker:web] priority = 5 (t.ini:12)\n"
		    "[worker:web] environment = TOKEN, B (t.ini:4)\n"
		    "[worker:mail] command = mail (t.ini:14)\n"
		    "[worker:mail] priority = 5 (t.ini:12)\n");
	rig_done(&rig);
}
END_TEST

START_TEST(test_secrets)
{
	struct conf_rig rig = rig_load("[worker:a]\ncommand=x\n"
				       "environment=A=secret,B='\"x\"'\n");

	assert_dump(&rig, true,
		    "[worker:a] command = x (t.ini:2)\n"
		    "[worker:a] environment = A=\"secret\",B='\"x\"' "
		    "(t.ini:3)\n");
	rig_done(&rig);
}
END_TEST

START_TEST(test_origin_is_in_another_file)
{
	const char *b = unit_file("b.ini", "\n[worker:b]\ncommand=b\n");
	struct buf want = BUF_INIT(0);
	struct conf_rig rig =
		rig_load_file(unit_file("a.ini", "[include]\nfiles=b.ini\n"));

	(void)buf_printf(&want, "[worker:b] command = b (%s:3)\n", b);
	assert_dump(&rig, false, want.data);
	buf_done(&want);
	rig_done(&rig);
}
END_TEST

static void count_row(void *userdata, const char *section, const char *key,
		      const char *value, const char *origin)
{
	size_t *n = userdata;

	ck_assert(section[0] && key[0] && origin[0] && value);
	++*n;
}

/* Each key of each section, once. */
START_TEST(test_complete)
{
	struct conf_rig rig = rig_load(text);
	size_t n = 0, want = 0;

	for (size_t i = 0; i < conf_schema_count(); i++) {
		const struct schema_row *row = &schema_rows[i];

		if (row->type == TYPE_IGNORED)
			continue;
		want += row->section == SECTION_WORKER
				? 2
				: row->section != SECTION_INCLUDE;
	}
	ck_assert_int_eq(conf_dump(rig.s, false, count_row, &n), 0);
	ck_assert_uint_eq(n, want);
	rig_done(&rig);
}
END_TEST

/* The whole dump as a file. */
struct whole {
	struct buf out;
	char section[SETTINGS_NAME_MAX + 16];
};

static void write_row(void *userdata, const char *section, const char *key,
		      const char *value, const char *origin _unused_)
{
	struct whole *w = userdata;

	if (strcmp(w->section, section) != 0)
		(void)buf_printf(&w->out, "[%s]\n", section);
	snprintf(w->section, sizeof(w->section), "%s", section);
	(void)buf_printf(&w->out, "%s=", key);
	for (; *value; value++)
		if (*value == '\n')
			(void)buf_puts(&w->out, "\n\t");
		else
			(void)buf_putc(&w->out, *value);
	(void)buf_putc(&w->out, '\n');
}

/* A dump loads as what it was made of, and dumps the same. */
START_TEST(test_round_trip)
{
	static const char *const texts[] = {
		text,
		"[worker:a]\ncommand=sh -c '\n  echo a ; b\n  echo c'\n"
		"stdout_logfile=/x/%(process_num)d%%\nstderr_logfile=/dev/fd/7"
		"\nexitcodes=0 1 HUP\nstopsignal=INT TERM:0.5 KILL\n"
		"type=notify\nuser=alice\numask=0\ncpu_affinity=0,2-5\n"
		"rlimit_nofile=5:infinity\nrlimit_rttime=7us\nnice=-1\n"
		"restart_limit=1/7ms\nredirect_stderr=no\n",
		"[reeve]\ndirectory=/%%\nlog_dir=x\nlogfile=NONE\n"
		"environment=A=\"%(host_node_name)s\"\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct whole first = { .out = BUF_INIT(0) };
		struct whole second = { .out = BUF_INIT(0) };
		struct conf_rig rig = rig_load(texts[i]);

		ck_assert_int_eq(rig.r, 0);
		ck_assert_int_eq(conf_dump(rig.s, true, write_row, &first), 0);
		rig_done(&rig);
		rig = rig_load(first.out.data);
		if (rig.r != 0)
			rig_show(&rig);
		ck_assert_int_eq(rig.r, 0);
		ck_assert_int_eq(conf_dump(rig.s, true, write_row, &second), 0);
		ck_assert_str_eq(first.out.data, second.out.data);
		rig_done(&rig);
		buf_done(&first.out);
		buf_done(&second.out);
	}
}
END_TEST

UNIT_MAIN("conf_dump", test_what_is_set, test_secrets,
	  test_origin_is_in_another_file, test_complete, test_round_trip)
