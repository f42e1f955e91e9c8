/* One process of a section: name, words, environment, files. */
#include "conf/conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/instance.h"
#include "tests/lib/unit.h"
#include "tests/unit/conf_rig.h"

static char *const base[] = {
	(char[]){ "PATH=/bin" },
	(char[]){ "KEPT=1" },
	(char[]){ "KEPT2=a=b" },
	(char[]){ "NOTIFY_SOCKET=/x" },
	(char[]){ "LISTEN_FDS=1" },
	(char[]){ "LISTEN_PID=1" },
	(char[]){ "LISTEN_FDNAMES=x" },
	(char[]){ "WATCHDOG_USEC=1" },
	(char[]){ "WATCHDOG_PID=1" },
	(char[]){ "JOURNAL_STREAM=1:2" },
	(char[]){ "MAINPID=1" },
	(char[]){ "REEVE_INVOCATION=00" },
	(char[]){ "INVOCATION_ID=11" },
	(char[]){ "LISTEN_FDS_NOT=1" },
	(char[]){ "SUPERVISOR_ENABLED=of another" },
	(char[]){ "HOME=/root" },
	NULL,
};

static struct settings_instance build_any(const struct conf_rig *rig,
					  const char *worker, uint32_t number)
{
	struct settings_instance instance;

	ck_assert_int_eq(
		settings_instance_build(rig->s, rig_worker(rig, worker), number,
					"/log", base, &instance),
		0);
	return instance;
}

/* The same, of a file that is loaded without a word. */
static struct settings_instance build(const struct conf_rig *rig,
				      const char *worker, uint32_t number)
{
	rig_assert_clean(rig);
	return build_any(rig, worker, number);
}

/* The value of key, "-" when it is not there; more than once is an error. */
static const char *value_of(const struct settings_instance *instance,
			    const char *key)
{
	const char *value = "-";
	size_t len = strlen(key), n = 0;

	for (char **e = instance->envp; *e; e++)
		if (strncmp(*e, key, len) == 0 && (*e)[len] == '=') {
			value = *e + len + 1;
			n++;
		}
	ck_assert_msg(n <= 1, "%s: %zu times", key, n);
	return value;
}

static const struct {
	const char *text, *worker;
	uint32_t number;
	const char *name, *group;
} names[] = {
	{ "[worker:mail]\ncommand=x\n", "mail", 0, "mail", "mail" },
	{ "[worker:web]\ncommand=x\nnumprocs=2\n", "web", 0, "web:0", "web" },
	{ "[worker:web]\ncommand=x\nnumprocs=2\n", "web", 1, "web:1", "web" },
	{ "[worker:web]\ncommand=x\nnumprocs=2\nnumprocs_start=5\n", "web", 1,
	  "web:6", "web" },
	{ "[worker:web]\ncommand=x\nnumprocs=12\n"
	  "process_name=%(program_name)s_%(process_num)02d\n",
	  "web", 3, "web:web_03", "web" },
	{ "[worker:web]\ncommand=x\n"
	  "process_name=%(program_name)s_%(process_num)02d\n",
	  "web", 0, "web_00", "web" },
	{ "[worker:a]\ncommand=x\n[worker:b]\ncommand=x\n"
	  "[group:g]\nprograms=a,b\n",
	  "b", 0, "g:b", "g" },
	{ "[worker:a]\ncommand=x\nnumprocs=2\n[worker:b]\ncommand=x\n"
	  "[group:g]\nprograms=a,b\n",
	  "a", 1, "g:a_1", "g" },
	{ "[worker:a]\ncommand=x\nnumprocs=2\n"
	  "process_name=%(program_name)s_%(process_num)02d\n"
	  "[group:g]\nprograms=a\n",
	  "a", 0, "g:a_00", "g" },
	{ "[worker:a]\ncommand=x\n[group:g]\nprograms=a\n", "a", 0, "g:a",
	  "g" },
	{ "[worker:a]\ncommand=x\nprocess_name=%(group_name)s-%(numprocs)s\n",
	  "a", 0, "a-1", "a" },
	{ "[worker:a]\ncommand=x\nenvironment=N=\"n%(process_num)d\"\n"
	  "process_name=%(ENV_N)s\nnumprocs_start=4\n",
	  "a", 0, "n4", "a" },
};

START_TEST(test_names)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct conf_rig rig = rig_load(names[i].text);
		struct settings_instance instance =
			build(&rig, names[i].worker, names[i].number);
		char *name = NULL;

		ck_assert_str_eq(instance.name, names[i].name);
		ck_assert_str_eq(instance.group_name, names[i].group);
		ck_assert_int_eq(settings_instance_name(
					 rig.s,
					 rig_worker(&rig, names[i].worker),
					 names[i].number, &name),
				 0);
		ck_assert_str_eq(name, names[i].name);
		free(name);
		settings_instance_done(&instance);
		rig_done(&rig);
	}
}
END_TEST

START_TEST(test_words)
{
	struct conf_rig rig;
	struct settings_instance instance;
	static const char *const want[] = {
		"/bin/sh", "-c", "echo \"1 ; x\"", "%",
		"-a",	   "-b", "--of=2 all",	   "a=b"
	};

	setenv("KEPT2", "as the load sees it", 1);
	rig = rig_load(
		"[reeve]\nenvironment=OPTS=\"-a -b\"\n"
		"[worker:web]\nnumprocs=2\n"
		"command = /bin/sh -c 'echo \"%(process_num)d ; x\"' %%\n"
		"  %(ENV_OPTS)s --of=%(numprocs)s\\ all %(ENV_KEPT2)s\n");
	instance = build(&rig, "web", 1);

	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		ck_assert_str_eq(instance.argv[i], want[i]);
	ck_assert_ptr_null(instance.argv[ARRAY_SIZE(want)]);
	settings_instance_done(&instance);
	ck_assert_ptr_null(instance.argv);
	rig_done(&rig);
}
END_TEST

START_TEST(test_environment)
{
	struct conf_rig rig = rig_load(
		"[reeve]\nenvironment=A=daemon,B=\"%(host_node_name)s\",D=d\n"
		"[worker:web]\ncommand=x\nnumprocs=2\nenvironment="
		"A=\"%(ENV_A)s+%(process_num)02d\",KEPT2='%(program_name)s',"
		"C=\"100%% %(group_name)s\"\n");
	struct settings_instance instance = build(&rig, "web", 1);

	ck_assert_str_eq(value_of(&instance, "PATH"), "/bin");
	ck_assert_str_eq(value_of(&instance, "KEPT"), "1");
	ck_assert_str_eq(value_of(&instance, "KEPT2"), "web");
	ck_assert_str_eq(value_of(&instance, "A"), "daemon+01");
	ck_assert_str_eq(value_of(&instance, "B"), rig.s->host_node_name);
	ck_assert_str_eq(value_of(&instance, "C"), "100% web");
	ck_assert_str_eq(value_of(&instance, "D"), "d");
	ck_assert_str_eq(value_of(&instance, "SUPERVISOR_ENABLED"), "1");
	ck_assert_str_eq(value_of(&instance, "SUPERVISOR_PROCESS_NAME"), "1");
	ck_assert_str_eq(value_of(&instance, "SUPERVISOR_GROUP_NAME"), "web");
	ck_assert_str_eq(value_of(&instance, "HOME"), "/root");
	ck_assert_str_eq(value_of(&instance, "USER"), "-");
	settings_instance_done(&instance);
	rig_done(&rig);
}
END_TEST

/* What was said to reeved is not for its workers. */
START_TEST(test_not_inherited)
{
	static const char *const keys[] = {
		"NOTIFY_SOCKET",  "LISTEN_FDS",	   "LISTEN_PID",
		"LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID",
		"JOURNAL_STREAM", "MAINPID",	   "REEVE_INVOCATION",
	};
	struct conf_rig rig = rig_load("[worker:a]\ncommand=x\n");
	struct settings_instance instance = build(&rig, "a", 0);

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		ck_assert_str_eq(value_of(&instance, keys[i]), "-");
	ck_assert_str_eq(value_of(&instance, "INVOCATION_ID"), "11");
	ck_assert_str_eq(value_of(&instance, "LISTEN_FDS_NOT"), "1");
	settings_instance_done(&instance);
	rig_done(&rig);
}
END_TEST

START_TEST(test_clear_env)
{
	struct settings_instance instance;
	struct conf_rig rig;
	size_t n = 0;

	/* the load looks for ENV_KEPT in our own environment */
	setenv("KEPT", "1", 1);
	rig = rig_load("[reeve]\nenvironment=A=1\n"
		       "[worker:a]\ncommand=x %(ENV_KEPT)s\nclear_env=true\n"
		       "environment=B=%(ENV_KEPT)s\n"
		       "[worker:b]\ncommand=x\nclear_env=true\n"
		       "environment=PATH=\"/b\"\n");
	instance = build(&rig, "a", 0);
	ck_assert_str_eq(value_of(&instance, "PATH"), INSTANCE_PATH);
	ck_assert_str_eq(value_of(&instance, "KEPT"), "-");
	ck_assert_str_eq(value_of(&instance, "A"), "1");
	ck_assert_str_eq(value_of(&instance, "B"), "1");
	while (instance.envp[n])
		n++;
	ck_assert_uint_eq(n, 6); /* PATH, A, B and supervisord's three */
	settings_instance_done(&instance);
	instance = build(&rig, "b", 0);
	ck_assert_str_eq(value_of(&instance, "PATH"), "/b");
	settings_instance_done(&instance);
	rig_done(&rig);
}
END_TEST

START_TEST(test_user)
{
	struct conf_rig rig = rig_load("[worker:a]\ncommand=x\nuser=alice\n"
				       "[worker:b]\ncommand=x\nuser=alice\n"
				       "environment=HOME=/h,USER=u\n"
				       "[worker:c]\ncommand=x\ngroup=staff\n");
	struct settings_instance instance = build_any(&rig, "a", 0);

	rig_assert_clean_to_root(&rig, 3);
	ck_assert_str_eq(value_of(&instance, "HOME"), "/home/of");
	ck_assert_str_eq(value_of(&instance, "USER"), "alice");
	ck_assert_str_eq(value_of(&instance, "LOGNAME"), "alice");
	settings_instance_done(&instance);
	instance = build_any(&rig, "b", 0);
	ck_assert_str_eq(value_of(&instance, "HOME"), "/h");
	ck_assert_str_eq(value_of(&instance, "USER"), "u");
	ck_assert_str_eq(value_of(&instance, "LOGNAME"), "alice");
	settings_instance_done(&instance);
	instance = build_any(&rig, "c", 0);
	ck_assert_str_eq(value_of(&instance, "HOME"), "/root");
	settings_instance_done(&instance);
	rig_done(&rig);
}
END_TEST

START_TEST(test_no_base)
{
	struct conf_rig rig = rig_load("[worker:a]\ncommand=x\n");
	struct settings_instance instance;

	ck_assert_int_eq(settings_instance_build(rig.s, rig.s->workers[0], 0,
						 "/log", NULL, &instance),
			 0);
	ck_assert_str_eq(value_of(&instance, "SUPERVISOR_ENABLED"), "1");
	settings_instance_done(&instance);
	rig_done(&rig);
}
END_TEST

static const struct {
	const char *text, *directory, *out, *err;
} files[] = {
	{ "[worker:w]\ncommand=x\n", NULL, "/log/w.out.log", "/log/w.err.log" },
	{ "[worker:w]\ncommand=x\nnumprocs=2\n", NULL, "/log/w:0.out.log",
	  "/log/w:0.err.log" },
	{ "[worker:w]\ncommand=x\nredirect_stderr=true\n", NULL,
	  "/log/w.out.log", NULL },
	{ "[worker:w]\ncommand=x\nstdout_logfile=NONE\n"
	  "stderr_logfile=/dev/stderr\n",
	  NULL, NULL, NULL },
	{ "[worker:w]\ncommand=x\ndirectory=/srv/%(program_name)s\n"
	  "stdout_logfile=/x/%(process_num)d.log\n"
	  "stderr_logfile=y%%/%(group_name)s\n",
	  "/srv/w", "/x/0.log", "y%/w" },
	{ "[reeve]\ndirectory=/base\n[worker:w]\ncommand=x\n"
	  "stdout_logfile=log/x\nstderr_logfile=/y\n",
	  "/base", "/base/log/x", "/y" },
	{ "[reeve]\ndirectory=/base\n[worker:w]\ncommand=x\ndirectory=sub\n",
	  "/base/sub", "/log/w.out.log", "/log/w.err.log" },
};

START_TEST(test_files)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct conf_rig rig = rig_load(files[i].text);
		struct settings_instance instance = build(&rig, "w", 0);

		ck_assert_pstr_eq(instance.directory, files[i].directory);
		ck_assert_pstr_eq(instance.stdout_path, files[i].out);
		ck_assert_pstr_eq(instance.stderr_path, files[i].err);
		settings_instance_done(&instance);
		rig_done(&rig);
	}
}
END_TEST

/* The environment may have changed since the load: then a start fails, and
 * that is all. */
START_TEST(test_gone_variable)
{
	struct settings_instance instance = { 0 };
	struct conf_rig rig;
	char *name = NULL;

	setenv("INSTANCE_TEST", "x", 1);
	rig = rig_load("[worker:a]\ncommand=%(ENV_INSTANCE_TEST)s\n"
		       "process_name=%(ENV_INSTANCE_TEST)s\n");
	rig_assert_clean(&rig);
	unsetenv("INSTANCE_TEST");
	ck_assert_int_eq(settings_instance_build(rig.s, rig.s->workers[0], 0,
						 "/log", environ, &instance),
			 -EINVAL);
	ck_assert_ptr_null(instance.name);
	ck_assert_int_eq(settings_instance_name(rig.s, rig.s->workers[0], 0,
						&name),
			 -EINVAL);
	ck_assert_ptr_null(name);
	rig_done(&rig);
}
END_TEST

/* A text that becomes too long is an error, not a cut. */
START_TEST(test_too_long)
{
	char *big = malloc(INSTANCE_TEXT_MAX + 1);
	struct conf_rig rig;

	ck_assert_ptr_nonnull(big);
	memset(big, 'x', INSTANCE_TEXT_MAX);
	big[INSTANCE_TEXT_MAX] = '\0';
	setenv("INSTANCE_TEST", big, 1);
	rig = rig_load("[worker:a]\ncommand=%(ENV_INSTANCE_TEST)s\n");
	rig_assert_clean(&rig);
	rig_done(&rig);
	rig = rig_load("[worker:a]\ncommand=%(ENV_INSTANCE_TEST)sx\n");
	rig_assert_error(&rig, 2, "it becomes longer than 262144 bytes");
	rig_done(&rig);
	rig = rig_load("[worker:a]\ncommand=x\n"
		       "environment=A=\"%(ENV_INSTANCE_TEST)sx\"\n");
	rig_assert_error(&rig, 3, "A becomes too long");
	rig_done(&rig);
	free(big);
}
END_TEST

UNIT_MAIN("conf_instance", test_names, test_words, test_environment,
	  test_not_inherited, test_clear_env, test_user, test_no_base,
	  test_files, test_gone_variable, test_too_long)
