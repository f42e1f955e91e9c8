/* Loading: sections and keys, known and unknown, right and wrong. */
#include "conf/conf.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "tests/unit/conf_rig.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/log.h"

START_TEST(test_empty)
{
	static const char *const rows[] = {
		"",	   "\n",	  "; only a comment",
		"[reeve]", "[reeve]\n\n", "[supervisord]\n"
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct conf_rig rig = rig_load(rows[i]);

		rig_assert_clean(&rig);
		ck_assert_uint_eq(rig.s->n_workers, 0);
		ck_assert_uint_eq(rig.s->n_files, 1);
		ck_assert_int_eq(rig.s->daemon.umask, 022);
		ck_assert_int_eq(rig.s->daemon.loglevel, LOG_LEVEL_INFO);
		ck_assert_int_eq((int)rig.s->daemon.control_gid, -1);
		rig_done(&rig);
	}
}
END_TEST

START_TEST(test_defaults_of_a_worker)
{
	struct conf_rig rig = rig_load("[worker:mail]\ncommand=sleep 1\n");
	const struct worker_settings *w = rig_worker(&rig, "mail");

	rig_assert_clean(&rig);
	ck_assert_str_eq(w->group_name, "mail");
	ck_assert_str_eq(w->file, "t.ini");
	ck_assert_int_eq(w->line, 1);
	ck_assert_str_eq(w->process_name, "%(program_name)s");
	ck_assert_uint_eq(w->numprocs, 1);
	ck_assert_int_eq(w->priority, 999);
	ck_assert(w->autostart);
	ck_assert_int_eq(w->autorestart, AUTORESTART_UNEXPECTED);
	ck_assert_uint_eq(w->exitcodes.codes[0], 1);
	ck_assert_uint_eq(w->exitcodes.signals[0], 0);
	ck_assert_uint_eq(w->startsecs_usec, USEC_PER_SEC);
	ck_assert_uint_eq(w->startretries, 3);
	ck_assert_uint_eq(w->stop.n_rungs, 1);
	ck_assert_int_eq(w->stop.rungs[0].signo, SIGTERM);
	ck_assert_uint_eq(w->stop.rungs[0].wait_usec, 10 * USEC_PER_SEC);
	ck_assert(!w->stopasgroup && w->killasgroup);
	ck_assert(!w->identity.is_set);
	ck_assert_int_eq(w->umask, -1);
	ck_assert_int_eq(w->stdout_log.to.target, LOG_TO_AUTO);
	ck_assert_uint_eq(w->stdout_log.maxbytes, 50 << 20);
	ck_assert_uint_eq(w->stderr_log.backups, 10);
	ck_assert_uint_eq(w->start_timeout_usec, USEC_INFINITY);
	ck_assert_uint_eq(w->watchdog_usec, 0);
	ck_assert_uint_eq(w->restart_delay_usec, USEC_PER_SEC);
	ck_assert_uint_eq(w->restart_delay_max_usec, USEC_PER_MINUTE);
	ck_assert_uint_eq(w->restart_jitter_percent, 10);
	ck_assert_uint_eq(w->restart_reset_after_usec, USEC_PER_MINUTE);
	ck_assert_uint_eq(w->restart_limit.n, 0);
	ck_assert_uint_eq(w->recycle_max, 1);
	ck_assert(!w->has_nice && !w->has_oom_score_adj);
	ck_assert_ptr_null(w->cpu_affinity);
	for (size_t i = 0; i < SETTINGS_RLIMITS; i++)
		ck_assert(!w->rlimits[i].is_set);
	rig_done(&rig);
}
END_TEST

START_TEST(test_values)
{
	struct conf_rig rig = rig_load("[program:web]\n"
				       "command = web\n"
				       "stopsignal = TERM:10 INT:5,HUP KILL\n"
				       "stopwaitsecs = 7\n"
				       "exitcodes = 0 2 255 SIGTERM RTMAX\n"
				       "type = notify\n"
				       "user = alice\n"
				       "group = staff\n"
				       "umask = 0\n"
				       "rlimit_nofile = 10:20\n"
				       "rlimit_rttime = 1s\n"
				       "nice = 0\n"
				       "cpu_affinity = 1\n"
				       "restart_limit = 5/10\n");
	const struct worker_settings *w = rig_worker(&rig, "web");

	rig_assert_clean_to_root(&rig, 1);
	ck_assert_uint_eq(w->stop.n_rungs, 4);
	ck_assert_int_eq(w->stop.rungs[1].signo, SIGINT);
	ck_assert_uint_eq(w->stop.rungs[1].wait_usec, 5 * USEC_PER_SEC);
	ck_assert_uint_eq(w->stop.rungs[2].wait_usec, 7 * USEC_PER_SEC);
	ck_assert_int_eq(w->stop.rungs[3].signo, SIGKILL);
	ck_assert_uint_eq(w->stop.rungs[3].wait_usec, 0);
	ck_assert_uint_eq(w->exitcodes.codes[0], 5);
	ck_assert_uint_eq(w->exitcodes.codes[3], UINT64_C(1) << 63);
	ck_assert_uint_eq(w->exitcodes.signals[0], UINT64_C(1) << SIGTERM);
	ck_assert_uint_eq(w->exitcodes.signals[1], 1); /* 64 */
	ck_assert_uint_eq(w->start_timeout_usec, 90 * USEC_PER_SEC);
	ck_assert(w->identity.is_set);
	ck_assert_int_eq((int)w->identity.uid, RIG_ALICE);
	ck_assert_int_eq((int)w->identity.gid, RIG_STAFF);
	ck_assert_uint_eq(w->identity.n_groups, 2);
	ck_assert_str_eq(w->identity.name, "alice");
	ck_assert_int_eq(w->umask, 0);
	ck_assert_uint_eq(w->rlimits[RLIMIT_NOFILE].value.rlim_cur, 10);
	ck_assert_uint_eq(w->rlimits[RLIMIT_NOFILE].value.rlim_max, 20);
	ck_assert_uint_eq(w->rlimits[RLIMIT_RTTIME].value.rlim_max, 1000000);
	ck_assert(w->has_nice && w->nice == 0);
	ck_assert(CPU_ISSET(1, w->cpu_affinity));
	ck_assert_int_eq(CPU_COUNT(w->cpu_affinity), 1);
	ck_assert_uint_eq(w->restart_limit.n, 5);
	rig_done(&rig);
}
END_TEST

/* What the file says wrong, in which line, and what is told. */
static const struct {
	const char *text;
	int line;
	const char *part;
} errors[] = {
	{ "[worker:a]\ncommand=x\ncomand=y\n", 3,
	  "unknown key \"comand\" in [worker:a]; did you mean \"command\"?" },
	{ "[program:a]\ncommand=x\nqqqqqqq=y\n", 3,
	  "unknown key \"qqqqqqq\" in [program:a]" },
	{ "[reeve]\ncommand=x\n", 2, "unknown key \"command\" in [reeve]" },
	{ "[group:g]\nfiles=x\nprograms=a\n[worker:a]\ncommand=x\n", 2,
	  "unknown key \"files\" in [group:g]" },
	{ "[wroker:a]\ncommand=x\n", 1,
	  "unknown section [wroker:a]; did you mean [worker:a]?" },
	{ "[zzzzzzzz]\ncommand=x\n", 1, "known are [reeve], [worker:NAME]" },
	{ "[Worker:a]\n", 1, "did you mean [worker:a]?" },
	{ "[worker]\ncommand=x\n", 1, "[worker] needs a name: [worker:NAME]" },
	{ "[reeve:a]\n", 1, "[reeve:a] takes no name; write [reeve]" },
	{ "[worker:]\ncommand=x\n", 1, "it is empty" },
	{ "[worker:a b]\ncommand=x\n", 1, "it has a blank or one of" },
	{ "[worker:a:b]\ncommand=x\n", 1, "it has a blank or one of" },
	{ "[worker:a/b]\ncommand=x\n", 1, "it has a blank or one of" },
	{ "[worker:a*]\ncommand=x\n", 1, "it has a blank or one of" },
	{ "[worker:-a]\ncommand=x\n", 1, "it begins with -" },
	{ "[worker:all]\ncommand=x\n", 1, "stands for all workers" },
	{ "[worker:..]\ncommand=x\n", 1, "it names a directory" },
	{ "[pool:a]\nprocesses=2\n", 1, "not supported by this version" },
	{ "[socket:a]\n", 1, "not supported by this version" },
	{ "[eventlistener:a]\ncommand=x\n", 1, "use --ignore-unsupported" },
	{ "[fcgi-program:a]\ncommand=x\n", 1, "its program would not be run" },
	{ "a=b\nc=d\n[reeve]\n", 1, "stands before any section" },
	{ "[worker:a]\ncommand=x\ncommand=y\n", 3,
	  "command is set twice in [worker:a]; first in line 2" },
	{ "[reeve]\nlog_dir=/x\nchildlogdir=/y\n", 3, "log_dir is set twice" },
	{ "[worker:a]\ncommand=x\n[worker:a]\ncommand=y\n", 3,
	  "[worker:a] was there before: [worker:a] in t.ini:1" },
	{ "[program:a]\ncommand=x\n\n[worker:a]\ncommand=y\n", 4,
	  "[worker:a] was there before: [program:a] in t.ini:1" },
	{ "[worker:a]\ncommand=x\n[program: a]\ncommand=y\n", 3,
	  "was there before" },
	{ "[reeve]\n[supervisord]\n", 2, "[supervisord] was there before" },
	{ "[worker:a]\n", 1, "[worker:a] has no command=" },
	{ "[worker:a]\ncommand=\n", 2, "[worker:a] has no command=" },
	{ "[worker:a]\nfoo\ncommand=x\n", 2, "expected \"key = value\"" },
	{ "[worker:a]\ncommand=%(ENV_RANGE_TEST_NONE)s\n", 2,
	  "command in [worker:a]: %(ENV_RANGE_TEST_NONE)s: there is no such" },
	{ "[worker:a]\ncommand=100%\n", 2, "write %% for a percent sign" },
	{ "[worker:a]\ncommand=x\npriority=%(process_num)d\n", 3,
	  "bad value \"%(process_num)d\" for priority in [worker:a]: "
	  "%(process_num)s is not known here" },
	{ "[worker:a]\ncommand=%(ENV_EMPTY_TEST)s\n", 2, "expands to nothing" },
	{ "[reeve]\nuser=bob\n", 2, "does not change its own user to \"bob\"" },
	{ "[reeve]\nenvironment=A=\"%(process_num)d\"\n", 2,
	  "environment in [reeve]: %(process_num)s is not known here" },
	{ "[worker:a]\ncommand=x\nuser=broken\n", 3,
	  "cannot look up user \"broken\" for [worker:a]: Input/output" },
	{ "[worker:a]\ncommand=x\nautostart=tru\x65\n\te\n", 3,
	  "bad value \"true\\ne\" for autostart" },
	{ "[include]\n", 1, "[include] needs files=" },
};

START_TEST(test_errors)
{
	setenv("EMPTY_TEST", " ", 1);
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		struct conf_rig rig = rig_load(errors[i].text);

		rig_assert_error(&rig, errors[i].line, errors[i].part);
		rig_done(&rig);
	}
}
END_TEST

/* All of them, in the order of the file, in the wording of the header. */
START_TEST(test_all_errors)
{
	static const char want[] =
		"t.ini:2: error: bad value \"loud\" for loglevel in [reeve]: "
		"write one of critical, error, warn, notice, info, debug\n"
		"t.ini:3: error: unknown key \"comand\" in [reeve]\n"
		"t.ini:4: error: [worker:web] has no command=\n"
		"t.ini:5: error: unknown key \"comand\" in [worker:web]; did "
		"you mean \"command\"?\n"
		"t.ini:6: error: bad value \"-1\" for startretries in "
		"[worker:web]: write a number from 0 to 1000000000\n"
		"t.ini:8: error: programs in [group:g]: there is no "
		"[worker:mail]\n"
		"t.ini:9: error: unknown section [x:y]; known are [reeve], "
		"[worker:NAME], [group:NAME] and [include]\n";
	struct conf_rig rig = rig_load("[reeve]\nloglevel=loud\ncomand=x\n"
				       "[worker:web]\ncomand=y\n"
				       "startretries=-1\n"
				       "[group:g]\nprograms=mail\n"
				       "[x:y]\nfoo=bar\n");
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(f);
	conf_report_print(&rig.report, f);
	fclose(f);
	ck_assert_str_eq(text, want);
	ck_assert_int_eq(rig.r, -EINVAL);
	free(text);
	rig_done(&rig);
}
END_TEST

START_TEST(test_warnings)
{
	static const struct {
		const char *text;
		int line;
		const char *part;
	} rows[] = {
		{ "[supervisorctl]\nserverurl=x\n", 1,
		  "[supervisorctl] has no meaning here" },
		{ "[unix_http_server]\nfile=x\n", 1, "is ignored" },
		{ "[inet_http_server]\nport=%d\n", 1, "is ignored" },
		{ "[rpcinterface:supervisor]\nx.y = z:a\n", 1, "is ignored" },
		{ "[reeve]\nminprocs=300\n", 2, "minprocs in [reeve] has no" },
		{ "[reeve]\nenvironment=A=1,A=2\n", 2, "A is set twice" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct conf_rig rig = rig_load(rows[i].text);

		rig_assert_warning(&rig, rows[i].line, rows[i].part);
		rig_done(&rig);
	}
}
END_TEST

START_TEST(test_ignore_unsupported)
{
	static const char text[] = "[eventlistener:e]\ncommand=x\n"
				   "[fcgi-program: f]\ncommand=x\n"
				   "[group:g]\nprograms=f,a\n"
				   "[worker:a]\ncommand=x\n";
	const struct conf_options options = { .ignore_unsupported = true };
	struct conf_rig rig = rig_load_bytes(text, sizeof(text) - 1, &options);

	ck_assert_int_eq(rig.r, 0);
	rig_assert_message(&rig, false, 1, "[eventlistener:e] is not supp");
	rig_assert_message(&rig, false, 3, "its program is not run");
	ck_assert_uint_eq(rig.report.n_messages, 2);
	ck_assert_str_eq(rig_worker(&rig, "a")->group_name, "g");
	rig_done(&rig);
}
END_TEST

/* Without a resolver names stay names. */
START_TEST(test_no_resolver)
{
	static const char text[] = "[reeve]\nuser=nix\ncontrol_group=nix\n"
				   "[worker:a]\ncommand=x\nuser=nix\n";
	const struct conf_options options = { .resolver = NULL };
	struct conf_rig rig = rig_load_bytes(text, sizeof(text) - 1, &options);

	rig_assert_clean(&rig);
	ck_assert_str_eq(rig.s->workers[0]->user, "nix");
	ck_assert(!rig.s->workers[0]->identity.is_set);
	rig_done(&rig);
}
END_TEST

/* NSS may be slow: each name is asked for once. */
START_TEST(test_resolver_is_asked_once)
{
	static const char text[] =
		"[worker:a]\ncommand=x\nuser=alice\n"
		"[worker:b]\ncommand=x\nuser=alice\n"
		"[worker:c]\ncommand=x\nuser=alice\ngroup=staff\n"
		"[worker:d]\ncommand=x\ngroup=staff\n"
		"[worker:e]\ncommand=x\ngroup=staff\n";
	int n_calls = 0;
	struct conf_resolver counting = rig_resolver;
	const struct conf_options options = { .resolver = &counting };
	struct conf_rig rig;

	counting.userdata = &n_calls;
	rig = rig_load_bytes(text, sizeof(text) - 1, &options);
	rig_assert_clean_to_root(&rig, 5);
	ck_assert_int_eq(n_calls, 3);
	ck_assert_int_eq((int)rig_worker(&rig, "b")->identity.uid, RIG_ALICE);
	ck_assert_int_eq((int)rig_worker(&rig, "c")->identity.gid, RIG_STAFF);
	ck_assert_int_eq((int)rig_worker(&rig, "e")->identity.gid, RIG_STAFF);
	ck_assert_uint_eq(rig_worker(&rig, "e")->identity.uid, geteuid());
	ck_assert_uint_eq(rig_worker(&rig, "e")->identity.n_groups, 1);
	rig_done(&rig);
}
END_TEST

START_TEST(test_groups)
{
	struct conf_rig rig =
		rig_load("[group:g]\nprograms=a, b\npriority=5\n"
			 "[group:h]\nprograms=c\n"
			 "[worker:a]\ncommand=echo %(group_name)s\n"
			 "[worker:b]\ncommand=x\npriority=7\n"
			 "[worker:c]\ncommand=x\npriority=%(ENV_PRIO)s\n"
			 "[reeve]\nenvironment=PRIO=3\n");

	rig_assert_clean(&rig);
	ck_assert_uint_eq(rig.s->n_groups, 2);
	ck_assert_str_eq(rig_worker(&rig, "a")->group_name, "g");
	ck_assert_str_eq(rig_worker(&rig, "c")->group_name, "h");
	ck_assert_int_eq(rig_worker(&rig, "a")->priority, 5);
	ck_assert_int_eq(rig_worker(&rig, "b")->priority, 5);
	ck_assert_int_eq(rig_worker(&rig, "c")->priority, 3);
	rig_done(&rig);
}
END_TEST

/* A list of variables that stands in a variable, as a whole or in front. */
START_TEST(test_environment_from_a_variable)
{
	static const struct {
		const char *value;
		size_t n;
		const char *last_key, *last_value;
	} cases[] = {
		{ "%(ENV_LIST)s", 2, "B", "x,50%%" },
		{ " %(ENV_LIST)s , C=3", 3, "C", "3" },
		{ "%(ENV_LIST)s,%(ENV_ONE)s", 3, "D", "4" },
		{ "%(ENV_EMPTY)s", 0, NULL, NULL },
		{ "A=%(ENV_ONE)s", 1, "A", "%(ENV_ONE)s" },
	};
	char text[512];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct worker_settings *w;
		struct conf_rig rig;

		snprintf(text, sizeof(text),
			 "[reeve]\nenvironment=LIST='A=1,B=\"x,50%%%%\"',"
			 "ONE='D=4',EMPTY=''\n"
			 "[worker:w]\ncommand=x\nenvironment=%s\n",
			 cases[i].value);
		rig = rig_load(text);
		rig_assert_clean(&rig);
		w = rig_worker(&rig, "w");
		ck_assert_uint_eq(w->n_environment, cases[i].n);
		if (cases[i].n > 0) {
			ck_assert_str_eq(w->environment[cases[i].n - 1].key,
					 cases[i].last_key);
			ck_assert_str_eq(w->environment[cases[i].n - 1].value,
					 cases[i].last_value);
		}
		rig_done(&rig);
	}
}
END_TEST

START_TEST(test_environment_from_no_variable)
{
	struct conf_rig rig =
		rig_load("[worker:w]\ncommand=x\n"
			 "environment=%(ENV_NOT_THERE_AT_ALL)s\n");

	rig_assert_error(&rig, 3, "NOT_THERE_AT_ALL");
	rig_done(&rig);
	rig = rig_load("[reeve]\nenvironment=LIST=\"A\"\n"
		       "[worker:w]\ncommand=x\nenvironment=%(ENV_LIST)s\n");
	rig_assert_error(&rig, 5, "expected KEY=");
	rig_done(&rig);
}
END_TEST

START_TEST(test_group_errors)
{
	static const struct {
		const char *text;
		int line;
		const char *part;
	} rows[] = {
		{ "[group:g]\n", 1, "[group:g] has no programs=" },
		{ "[group:g]\nprograms=a,a\n[worker:a]\ncommand=x\n", 2,
		  "a is named twice" },
		{ "[group:g]\nprograms=a\n[group:h]\nprograms=a\n"
		  "[worker:a]\ncommand=x\n",
		  4, "a is in [group:g] already" },
		{ "[group:b]\nprograms=a\n[worker:a]\ncommand=x\n"
		  "[worker:b]\ncommand=x\n",
		  1, "[group:b] has the name of [worker:b]" },
		{ "[group:g]\nprograms=a\n[group:g]\nprograms=a\n"
		  "[worker:a]\ncommand=x\n",
		  3, "[group:g] was there before" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct conf_rig rig = rig_load(rows[i].text);

		rig_assert_error(&rig, rows[i].line, rows[i].part);
		rig_done(&rig);
	}
}
END_TEST

START_TEST(test_paths_of_reeve)
{
	struct conf_rig rig = rig_load("[reeve]\ndirectory=/srv\nlog_dir=log\n"
				       "logfile=/x/y\npidfile=run/%%.pid\n");

	rig_assert_clean(&rig);
	ck_assert_str_eq(rig.s->daemon.log_dir, "/srv/log");
	ck_assert_str_eq(rig.s->daemon.logfile, "/x/y");
	ck_assert_str_eq(rig.s->daemon.pidfile, "/srv/run/%.pid");
	rig_done(&rig);
	rig = rig_load("[reeve]\nlogfile=/dev/stderr\nloglevel=blather\n");
	rig_assert_clean(&rig);
	ck_assert_ptr_null(rig.s->daemon.logfile);
	ck_assert_int_eq(rig.s->daemon.loglevel, LOG_LEVEL_DEBUG);
	rig_done(&rig);
	rig = rig_load("[reeve]\nlogfile=none\ncontrol_group=staff\n");
	rig_assert_clean(&rig);
	ck_assert_str_eq(rig.s->daemon.logfile, "/dev/null");
	ck_assert_uint_eq(rig.s->daemon.control_gid, RIG_STAFF);
	rig_done(&rig);
}
END_TEST

/* Where directory= is relative, it begins where we are. */
START_TEST(test_relative_directory)
{
	struct conf_rig rig;
	char want[512];

	ck_assert_int_eq(chdir(unit_tmpdir()), 0);
	rig = rig_load("[reeve]\ndirectory=a\nlog_dir=b\n");
	rig_assert_clean(&rig);
	snprintf(want, sizeof(want), "%s/a", unit_tmpdir());
	ck_assert_str_eq(rig.s->daemon.directory, want);
	snprintf(want, sizeof(want), "%s/a/b", unit_tmpdir());
	ck_assert_str_eq(rig.s->daemon.log_dir, want);
	rig_done(&rig);
}
END_TEST

/* Whoever we are now is alice. */
static int find_myself(_unused_ void *userdata, const char *user,
		       const char *group, struct identity *ret_identity)
{
	int r = rig_identity(NULL, user, group, ret_identity);

	if (r == 0 && strcmp(user, "alice") == 0) {
		ret_identity->uid = geteuid();
		if (!group)
			ret_identity->gid = getegid();
	}
	return r;
}

static struct conf_rig load_as_alice(const char *text)
{
	const struct conf_resolver resolver = { .identity = find_myself,
						.group = rig_group };
	const struct conf_options options = { .resolver = &resolver };

	return rig_load_bytes(text, strlen(text), &options);
}

static const char *const for_others[] = {
	"[worker:a]\ncommand=x\nuser=bob\n",
	"[worker:a]\ncommand=x\nuser=alice\ngroup=staff\n",
	"[worker:a]\ncommand=x\ngroup=staff\n",
};

/* Who is not root can run as nobody else: oneself is fine, others are worth a
 * warning, as the file may be meant for root. */
START_TEST(test_not_root)
{
	bool is_root = geteuid() == 0;
	struct conf_rig rig;

	if (is_root) {
		ck_assert_int_eq(setegid(RIG_ALICE), 0);
		ck_assert_int_eq(seteuid(RIG_ALICE), 0);
	}
	rig = load_as_alice("[worker:a]\ncommand=x\nuser=alice\n");
	rig_assert_clean(&rig);
	ck_assert(!rig_worker(&rig, "a")->identity.is_set);
	ck_assert_str_eq(rig_worker(&rig, "a")->identity.name, "alice");
	rig_done(&rig);
	for (size_t i = 0; i < ARRAY_SIZE(for_others); i++) {
		rig = load_as_alice(for_others[i]);
		rig_assert_warning(&rig, 3,
				   "works only when reeved runs as root");
		ck_assert(rig_worker(&rig, "a")->identity.is_set);
		rig_done(&rig);
	}
	rig = load_as_alice("[supervisord]\nuser=alice\n");
	rig_assert_clean(&rig);
	rig_done(&rig);
	if (is_root) {
		ck_assert_int_eq(seteuid(0), 0);
		ck_assert_int_eq(setegid(0), 0);
	}
}
END_TEST

UNIT_MAIN("conf_load", test_empty, test_defaults_of_a_worker, test_values,
	  test_errors, test_all_errors, test_warnings, test_ignore_unsupported,
	  test_no_resolver, test_resolver_is_asked_once, test_groups,
	  test_environment_from_a_variable, test_environment_from_no_variable,
	  test_group_errors, test_paths_of_reeve, test_relative_directory,
	  test_not_root)
