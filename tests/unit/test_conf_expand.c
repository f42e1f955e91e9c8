#include "conf/expand.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"

static char *const environment[] = {
	(char[]){ "HOME=/home/x" },
	(char[]){ "EMPTY=" },
	(char[]){ "A=of environ" },
	(char[]){ "PERCENT=%(here)s" },
	NULL,
};

static const struct environment_entry of_worker[] = {
	{ (char[]){ "A" }, (char[]){ "first" } },
	{ (char[]){ "A" }, (char[]){ "of worker" } },
};
static const struct environment_entry of_daemon[] = {
	{ (char[]){ "A" }, (char[]){ "of daemon" } },
	{ (char[]){ "B" }, (char[]){ "b of daemon" } },
};

static const struct expand_names all = {
	.program_name = "web",
	.group_name = "site",
	.host_node_name = "host",
	.here = "/etc/100%",
	.has_process = true,
	.process_num = 7,
	.numprocs = 12,
	.layers = { { of_worker, 2 }, { of_daemon, 2 } },
	.environment = environment,
};

static const struct {
	const char *template, *text;
} good[] = {
	{ "", "" },
	{ "plain", "plain" },
	{ "100%%", "100%" },
	{ "%%(here)s", "%(here)s" },
	{ "%%%%", "%%" },
	{ "%(program_name)s", "web" },
	{ "%(group_name)s:%(program_name)s", "site:web" },
	{ "%(host_node_name)s", "host" },
	{ "%(here)s/x", "/etc/100%/x" },
	{ "%(process_num)d", "7" },
	{ "%(process_num)s", "7" },
	{ "%(process_num)i%(process_num)u", "77" },
	{ "%(process_num)02d", "07" },
	{ "%(process_num)2d", " 7" },
	{ "%(process_num)-3d|", "7  |" },
	{ "%(process_num)-03d|", "7  |" },
	{ "%(process_num)03s", "  7" },
	{ "%(process_num)004d", "0007" },
	{ "%(numprocs)s", "12" },
	{ "%(numprocs)x%(numprocs)X%(numprocs)o", "cC14" },
	{ "%(numprocs)1d", "12" },
	{ "%(program_name)5s|%(program_name)-5s|", "  web|web  |" },
	{ "%(program_name)05s", "  web" },
	{ "%(ENV_HOME)s", "/home/x" },
	{ "%(ENV_EMPTY)s", "" },
	{ "%(ENV_A)s", "of worker" }, /* the nearest layer, its last */
	{ "%(ENV_B)s", "b of daemon" },
	{ "%(ENV_PERCENT)s", "%(here)s" }, /* once, not again */
};

START_TEST(test_good)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct buf out = BUF_INIT(0);
		char reason[EXPAND_REASON_MAX];
		int r = expand(good[i].template, &all, &out, reason);

		ck_assert_msg(r == 0, "%s: %d", good[i].template, r);
		ck_assert_str_eq(buf_text(&out), good[i].text);
		buf_done(&out);
	}
}
END_TEST

static void assert_refused(const char *template,
			   const struct expand_names *names, const char *part)
{
	struct buf out = BUF_INIT(0);
	char reason[EXPAND_REASON_MAX] = "";
	int r = expand(template, names, &out, reason);

	ck_assert_msg(r == -EINVAL, "%s: %d", template, r);
	ck_assert_msg(strstr(reason, part), "%s: \"%s\"", template, reason);
	buf_done(&out);
}

static const struct {
	const char *template, *part;
} bad[] = {
	{ "%", "\"%\": % begins an expansion" },
	{ "100% sure", "\"% sure\": % begins an expansion such as "
		       "%(program_name)s; write %% for a percent sign" },
	{ "%s", "\"%s\": % begins" },
	{ "%d %%", "\"%d %%\": % begins" },
	{ "%(program_name", "expected a name and ) after %(" },
	{ "%()s", "expected a name and )" },
	{ "%(program_name)", "after the ) goes s, or d" },
	{ "%(program_name) s", "after the ) goes s, or d" },
	{ "%(program_name)f", "after the ) goes s, or d" },
	{ "%(process_num)65d", "a width of at most 64" },
	{ "%(process_num)99999999999999999999d", "a width of at most 64" },
	{ "%(process_num)1.5d", "after the ) goes" },
	{ "%(program_name)d", "this is text, not a number; write "
			      "%(program_name)s" },
	{ "%(ENV_HOME)d", "this is text" },
	{ "%(proces_num)d", "did you mean %(process_num)s?" },
	{ "%(nix)s", "known are program_name, group_name, process_num, "
		     "numprocs, host_node_name, here, ENV_..." },
	{ "%(ENV_NIX)s", "%(ENV_NIX)s: there is no such variable" },
	{ "%(ENV_)s", "there is no such variable" },
	{ "%(HOME)s", "is not known here" },
};

START_TEST(test_bad)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_refused(bad[i].template, &all, bad[i].part);
}
END_TEST

/* A name that exists, but not where it stands: neither known nor suggested. */
START_TEST(test_unknown_here)
{
	const struct expand_names few = { .host_node_name = "host" };

	assert_refused("%(process_num)d", &few,
		       "%(process_num)s is not known here; known are "
		       "host_node_name, ENV_...");
	assert_refused("%(proces_num)d", &few,
		       "not known here; known are host_node_name");
	assert_refused("%(here)s", &few, "not known here");
	assert_refused("%(ENV_A)s", &few, "no such variable");
}
END_TEST

START_TEST(test_width_at_the_limit)
{
	struct buf out = BUF_INIT(0);
	char reason[EXPAND_REASON_MAX];

	ck_assert_int_eq(expand("%(process_num)064d", &all, &out, reason), 0);
	ck_assert_uint_eq(out.len, EXPAND_WIDTH_MAX);
	buf_done(&out);
}
END_TEST

START_TEST(test_too_long)
{
	struct buf out = BUF_INIT(5);
	char reason[EXPAND_REASON_MAX];

	ck_assert_int_eq(expand("%(program_name)s12", &all, &out, reason), 0);
	buf_clear(&out);
	ck_assert_int_eq(expand("%(program_name)s123", &all, &out, reason),
			 -EMSGSIZE);
	buf_done(&out);
}
END_TEST

START_TEST(test_long_name)
{
	char template[600];

	memset(template, 'n', sizeof(template));
	memcpy(template, "%(", 2);
	memcpy(template + sizeof(template) - 3, ")s", 3);
	assert_refused(template, &all, "expected a name");
	memcpy(template + 200, ")s", 3);
	assert_refused(template, &all, "is not known here");
}
END_TEST

START_TEST(test_here)
{
	static const struct {
		const char *template, *text;
	} rows[] = {
		{ "", "" },
		{ "%(here)s/x", "/a/50%%/x" },
		{ "%(here)s%(here)s", "/a/50%%/a/50%%" },
		{ "%%(here)s", "%%(here)s" },
		{ "%%%(here)s", "%%/a/50%%" },
		{ "%(process_num)d %", "%(process_num)d %" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct buf out = BUF_INIT(0);

		ck_assert_int_eq(expand_here(rows[i].template, "/a/50%", &out),
				 0);
		ck_assert_str_eq(buf_text(&out), rows[i].text);
		buf_done(&out);
	}
}
END_TEST

/* What is escaped comes back. */
START_TEST(test_escape)
{
	static const char text[] = "100% of %(here)s %%";
	struct buf escaped = BUF_INIT(0), out = BUF_INIT(0);
	char reason[EXPAND_REASON_MAX];

	ck_assert_int_eq(expand_escape(text, &escaped), 0);
	ck_assert_int_eq(expand(escaped.data, &all, &out, reason), 0);
	ck_assert_str_eq(out.data, text);
	buf_done(&escaped);
	buf_done(&out);
}
END_TEST

UNIT_MAIN("conf_expand", test_good, test_bad, test_unknown_here,
	  test_width_at_the_limit, test_too_long, test_long_name, test_here,
	  test_escape)
