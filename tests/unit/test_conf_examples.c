/* The files that are shipped load as they are. Runs in the root of the tree. */
#include "conf/conf.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "tests/unit/conf_rig.h"
#include "workers/base/pure/usec.h"

#define REEVE_INI   "conf/reeve.ini"
#define SUPERVISORD "conf/examples/supervisord.conf"

static struct conf_rig load(const char *path)
{
	const struct conf_options options = { .resolver = &conf_resolver_nss,
					      .check_files = true };
	struct conf_rig rig = { 0 };

	rig.r = conf_load(path, &options, &rig.s, &rig.report);
	if (rig.r != 0)
		rig_show(&rig);
	ck_assert_int_eq(rig.r, 0);
	return rig;
}

START_TEST(test_reeve_ini)
{
	struct conf_rig rig = load(REEVE_INI);

	ck_assert_uint_ge(rig.s->n_workers, 1);
	/* conf.d is empty where it is installed, and missing here */
	rig_assert_warning(&rig, -1, "conf.d/*.ini");
	rig_done(&rig);
}
END_TEST

/* What is commented out in it is right as well. */
START_TEST(test_commented_examples)
{
	FILE *f = fopen(REEVE_INI, "re");
	struct buf text = BUF_INIT(0);
	struct conf_rig rig;
	char line[512];
	bool in_keys = false;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		char *l = line;

		if (strncmp(l, "; [worker:web]", 14) == 0)
			in_keys = true;
		if (strncmp(l, "[include]", 9) == 0)
			break;
		if (strncmp(l, "; ", 2) == 0 &&
		    (in_keys || (strstr(l, " = ") && l[2] != ' ')))
			l += 2;
		(void)buf_puts(&text, l);
	}
	fclose(f);
	(void)buf_puts(&text, "[worker:mail]\ncommand = mail\n");
	rig = rig_load(text.data);
	if (rig_find(&rig, -1, "group \"adm\""))
		rig.report.n_errors--; /* rig_resolver does not know it */
	if (rig_find(&rig, -1, "user \"www-data\""))
		rig.report.n_errors--;
	if (rig.report.n_errors > 0)
		rig_show(&rig);
	ck_assert_uint_eq(rig.report.n_errors, 0);
	ck_assert_uint_eq(rig.report.n_warnings, 0);
	ck_assert_ptr_nonnull(strstr(text.data, "\nwatchdog_sec = 30"));
	ck_assert_ptr_nonnull(strstr(text.data, "\ncontrol_group = adm"));
	buf_done(&text);
	rig_done(&rig);
}
END_TEST

static void build(const struct conf_rig *rig, const char *worker,
		  uint32_t number, struct settings_instance *ret_instance)
{
	ck_assert_int_eq(
		settings_instance_build(rig->s, rig_worker(rig, worker), number,
					"/log", environ, ret_instance),
		0);
}

static const char *variable(const struct settings_instance *instance,
			    const char *key)
{
	size_t len = strlen(key);

	for (char **e = instance->envp; *e; e++)
		if (strncmp(*e, key, len) == 0 && (*e)[len] == '=')
			return *e + len + 1;
	return NULL;
}

START_TEST(test_supervisord_web)
{
	struct conf_rig rig = load(SUPERVISORD);
	const struct worker_settings *w = rig_worker(&rig, "web");
	struct settings_instance instance;

	ck_assert_uint_eq(w->numprocs, 3);
	ck_assert_int_eq(w->priority, 100);
	ck_assert_uint_eq(w->exitcodes.codes[0], 5);
	ck_assert_uint_eq(w->startsecs_usec, 2 * USEC_PER_SEC);
	ck_assert_uint_eq(w->startretries, 5);
	ck_assert_int_eq(w->stop.rungs[0].signo, SIGQUIT);
	ck_assert_uint_eq(w->stop.rungs[0].wait_usec, 15 * USEC_PER_SEC);
	ck_assert(w->stopasgroup && w->killasgroup && w->redirect_stderr);
	ck_assert_uint_eq(w->stdout_log.maxbytes, 1 << 20);
	build(&rig, "web", 2, &instance);
	ck_assert_str_eq(instance.name, "web:web_03");
	ck_assert_str_eq(instance.argv[2],
			 "echo \"serving $SITE on port 8003\"; exec sleep "
			 "3600");
	ck_assert_str_eq(instance.stdout_path, "/tmp/web_03.log");
	ck_assert_ptr_null(instance.stderr_path);
	ck_assert_str_eq(variable(&instance, "PORT"), "8003");
	ck_assert_str_eq(variable(&instance, "SITE"), "example.org");
	ck_assert_str_eq(variable(&instance, "LANGUAGES"), "de,en");
	ck_assert_str_eq(variable(&instance, "RATE"), "100%");
	ck_assert_str_eq(variable(&instance, "SEARCH"), getenv("PATH"));
	ck_assert_str_eq(variable(&instance, "SUPERVISOR_PROCESS_NAME"),
			 "web_03");
	settings_instance_done(&instance);
	rig_done(&rig);
}
END_TEST

START_TEST(test_supervisord_group)
{
	struct conf_rig rig = load(SUPERVISORD);
	const struct worker_settings *w = rig_worker(&rig, "queue");
	struct settings_instance instance;

	ck_assert_int_eq(w->priority, 900);
	ck_assert_int_eq(w->stdout_log.to.target, LOG_TO_INHERIT);
	ck_assert_int_eq(w->stderr_log.to.fd, 2);
	build(&rig, "queue", 0, &instance);
	ck_assert_str_eq(instance.name, "background:queue");
	ck_assert_str_eq(instance.argv[2], "exec sleep 3600");
	ck_assert_str_eq(instance.argv[3], "--queue=background");
	ck_assert_ptr_nonnull(strstr(instance.argv[4], "--conf=/"));
	ck_assert_ptr_nonnull(
		strstr(instance.argv[4], "/conf/examples/queue.conf"));
	ck_assert_ptr_null(instance.argv[5]);
	settings_instance_done(&instance);
	w = rig_worker(&rig, "cron");
	ck_assert(!w->autostart);
	ck_assert_int_eq(w->autorestart, AUTORESTART_NO);
	ck_assert_uint_eq(w->startsecs_usec, 0);
	ck_assert_int_eq(w->stderr_log.to.target, LOG_TO_NONE);
	rig_done(&rig);
}
END_TEST

START_TEST(test_supervisord_warnings)
{
	struct conf_rig rig = load(SUPERVISORD);

	rig_assert_message(&rig, false, -1, "[unix_http_server] has no");
	rig_assert_message(&rig, false, -1, "[rpcinterface:supervisor] has");
	rig_assert_message(&rig, false, -1, "[supervisorctl] has no meaning");
	rig_assert_message(&rig, false, -1, "supervisord.d/*.ini");
	ck_assert_uint_eq(rig.report.n_messages, 4);
	rig_done(&rig);
}
END_TEST

UNIT_MAIN("conf_examples", test_reeve_ini, test_commented_examples,
	  test_supervisord_web, test_supervisord_group,
	  test_supervisord_warnings)
