/* supervisord's keys that reeve has no use for: accepted, and said so only
 * when they were set to something. */
#include "conf/conf.h"

#include <string.h>

#include "tests/lib/unit.h"

static struct conf_report load(const char *text)
{
	const struct conf_options options = { 0 };
	struct settings *s = NULL;
	struct conf_report report;
	int r = conf_load(unit_file("s.conf", text), &options, &s, &report);

	ck_assert_int_eq(r, 0);
	settings_free(s);
	return report;
}

static bool is_mentioned(const struct conf_report *report, const char *key)
{
	for (size_t i = 0; i < report->n_messages; i++)
		if (strstr(report->messages[i].text, key))
			return true;
	return false;
}

START_TEST(test_defaults_are_silent)
{
	struct conf_report report =
		load("[supervisord]\nnodaemon=true\nnocleanup=false\n"
		     "strip_ansi=false\nsilent=false\n"
		     "[program:a]\ncommand=/bin/true\n"
		     "stdout_capture_maxbytes=0\nstdout_events_enabled=false\n"
		     "stdout_syslog=false\nstderr_capture_maxbytes=0\n"
		     "stderr_events_enabled=false\nstderr_syslog=false\n");

	ck_assert_uint_eq(report.n_errors, 0);
	ck_assert(!is_mentioned(&report, "stderr_syslog"));
	ck_assert(!is_mentioned(&report, "stderr_capture_maxbytes"));
	ck_assert(!is_mentioned(&report, "stderr_events_enabled"));
	conf_report_done(&report);
}
END_TEST

START_TEST(test_what_is_set_is_named)
{
	static const char *const keys[] = { "stderr_capture_maxbytes",
					    "stderr_events_enabled",
					    "stderr_syslog" };
	struct conf_report report =
		load("[supervisord]\nstrip_ansi=true\nnocleanup=true\n"
		     "[program:a]\ncommand=/bin/true\n"
		     "stderr_capture_maxbytes=1MB\n"
		     "stderr_events_enabled=true\nstderr_syslog=true\n");

	ck_assert_uint_eq(report.n_errors, 0);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		ck_assert_msg(is_mentioned(&report, keys[i]), "%s", keys[i]);
	conf_report_done(&report);
}
END_TEST

UNIT_MAIN("conf_supervisord", test_defaults_are_silent,
	  test_what_is_set_is_named)
