/* What a program finds when it runs: all that the spec says, and nothing of the
 * caller's that it does not. */
#include "workers/base/sys/spawn.h"

#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/unit/spawn_rig.h"

static char cat[] = "/bin/cat", status_file[] = "/proc/self/status";
static char *const cat_status[] = { cat, status_file, NULL };

/* Runs a shell script with the other fields of spec. */
static char *run_script(struct spawn_spec spec, const char *script)
{
	char text[512], sh[] = "/bin/sh", dash_c[] = "-c";
	char *const argv[] = { sh, dash_c, text, NULL };
	char *output;
	int code;

	(void)snprintf(text, sizeof(text), "%s", script);
	spec.argv = argv;
	output = run_for_output(spec, &code);
	ck_assert_int_eq(code, 0);
	return output;
}

#define CHECK_SCRIPT(spec, script, expected)                                   \
	do {                                                                   \
		char *output_ = run_script(spec, script);                      \
		ck_assert_str_eq(output_, expected);                           \
		free(output_);                                                 \
	} while (0)

static char *read_status(struct spawn_spec spec)
{
	char *output;
	int code;

	spec.argv = cat_status;
	output = run_for_output(spec, &code);
	ck_assert_int_eq(code, 0);
	return output;
}

/* --- environment, directory, umask ---------------------------------------- */

START_TEST(test_environment_is_the_specs)
{
	char a[] = "A=1", b[] = "B=two words", env[] = "/usr/bin/env";
	char *const envp[] = { a, b, NULL }, *const argv[] = { env, NULL };
	struct spawn_spec spec = { SPAWN_SPEC, .argv = argv, .envp = envp };
	char *output;
	int code;

	ck_assert_int_eq(setenv("OF_THE_CALLER", "1", 1), 0);
	output = run_for_output(spec, &code);
	ck_assert_str_eq(output, "A=1\nB=two words\n");
	free(output);
	spec.envp = NULL;
	output = run_for_output(spec, &code);
	ck_assert_str_eq(output, "");
	ck_assert_int_eq(code, 0);
	free(output);
}
END_TEST

START_TEST(test_directory_and_umask)
{
	struct spawn_spec spec = { SPAWN_SPEC };
	char here[PATH_MAX], *output;

	ck_assert_ptr_nonnull(getcwd(here, sizeof(here)));
	(void)umask(022);
	output = run_script(spec, "umask; pwd -P");
	ck_assert_str_eq(line_of(output, "0022"), "");
	ck_assert_ptr_nonnull(strstr(output, here));
	free(output);
	spec.directory = "/proc";
	spec.umask = 0;
	CHECK_SCRIPT(spec, "umask; pwd", "0000\n/proc\n");
	spec.umask = 0777;
	CHECK_SCRIPT(spec, "umask", "0777\n");
}
END_TEST

/* --- priorities, limits, session ------------------------------------------- */

START_TEST(test_priorities)
{
	const int nice = 7, oom = 123;
	struct spawn_spec spec = { SPAWN_SPEC, .nice = &nice,
				   .oom_score_adj = &oom };
	cpu_set_t mine, one;
	int cpu = 0;
	char expected[64], *status;

	CHECK_SCRIPT(spec, "nice; cat /proc/self/oom_score_adj", "7\n123\n");
	ck_assert_int_eq(sched_getaffinity(0, sizeof(mine), &mine), 0);
	while (!CPU_ISSET(cpu, &mine))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	spec.cpus = &one;
	status = read_status(spec);
	(void)snprintf(expected, sizeof(expected), "%d", cpu);
	ck_assert_str_eq(line_of(status, "Cpus_allowed_list:"), expected);
	free(status);
}
END_TEST

START_TEST(test_limits)
{
	const struct spawn_limit limits[] = {
		{ RLIMIT_NOFILE, { 5, 6 } }, /* fewer than the spec places */
		{ RLIMIT_CORE, { 0, 4096 } },
		{ RLIMIT_STACK, { 1 << 20, RLIM_INFINITY } },
	};
	const struct spawn_fd fds[] = { { 2, 40 }, { 2, 50 } };
	struct spawn_spec spec = { SPAWN_SPEC, .limits = limits,
				   .n_limits = ARRAY_SIZE(limits), .fds = fds,
				   .n_fds = ARRAY_SIZE(fds) };

	CHECK_SCRIPT(spec,
		     "ulimit -Sn; ulimit -Hn; ulimit -Hc; ulimit -Ss;"
		     "[ -e /proc/$$/fd/40 ] && [ -e /proc/$$/fd/50 ] && echo y",
		     "5\n6\n8\n1024\ny\n");
}
END_TEST

START_TEST(test_session)
{
	struct spawn_spec spec = { SPAWN_SPEC };
	char *output, expected[64];

	/* pid, group and session from /proc/self/stat of the shell */
	static const char script[] = "read a b c d e f rest </proc/$$/stat;"
				     "[ $a = $e ] && echo group; [ $a = $f ] "
				     "&& echo session; echo $f";

	(void)snprintf(expected, sizeof(expected), "%d\n", (int)getsid(0));
	CHECK_SCRIPT(spec, script, expected);
	spec.new_session = true;
	output = run_script(spec, script);
	ck_assert(str_has_prefix(output, "group\nsession\n"));
	free(output);
}
END_TEST

/* --- credentials ------------------------------------------------------------ */

START_TEST(test_credentials)
{
	if (unit_lacks_root("the credentials of another user"))
		return;

	const gid_t groups[] = { 7, 65533 };
	const struct spawn_credentials c = {
		.uid = NOBODY, .gid = 12345, .groups = groups, .n_groups = 2
	};
	struct spawn_spec spec = { SPAWN_SPEC, .credentials = &c,
				   .no_new_privs = true };
	static const char *const lines[][2] = {
		{ "Uid:", "65534\t65534\t65534\t65534" },
		{ "Gid:", "12345\t12345\t12345\t12345" },
		{ "Groups:", "7 65533 " },
		{ "CapPrm:", "0000000000000000" },
		{ "CapEff:", "0000000000000000" },
		{ "CapAmb:", "0000000000000000" },
		{ "NoNewPrivs:", "1" },
	};
	char *status = read_status(spec);

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		ck_assert_str_eq(line_of(status, lines[i][0]), lines[i][1]);
	free(status);
}
END_TEST

START_TEST(test_no_groups_are_none)
{
	if (unit_lacks_root("a user without groups"))
		return;

	const struct spawn_credentials c = { .uid = NOBODY, .gid = NOBODY };
	struct spawn_spec spec = { SPAWN_SPEC, .credentials = &c };
	const gid_t mine[] = { 0, 4, 27 };
	char *status;

	ck_assert_int_eq(setgroups(ARRAY_SIZE(mine), mine), 0);
	status = read_status(spec);
	ck_assert_str_eq(line_of(status, "Groups:"), "");
	ck_assert_str_eq(line_of(status, "NoNewPrivs:"), "0");
	free(status);
}
END_TEST

/* An ordinary user may name itself, and only itself. */
static void spawn_as_oneself(_unused_ void *arg)
{
	struct spawn_credentials c = ordinary_credentials();
	struct spawn_spec spec = { SPAWN_SPEC, .argv = cat_status,
				   .credentials = &c };
	struct spawn_failure failure;
	struct spawn_child child;
	char *output, uids[64];
	int code;

	if (geteuid() == 0 && setgroups(0, NULL) < 0)
		_exit(1);
	become_ordinary();
	(void)snprintf(uids, sizeof(uids), "Uid:\t%1$u\t%1$u\t%1$u\t%1$u",
		       (unsigned)c.uid);
	output = run_for_output(spec, &code);
	if (code != 0 || !strstr(output, uids))
		_exit(2);
	free(output);
	c.uid++;
	if (spawn_start(&spec, &child) < 0 ||
	    take_report(&child, &failure) != 1 || take_exit(&child) != 127)
		_exit(3);
	printf("%s", failure_name(&failure));
}

START_TEST(test_ordinary_user_stays_itself)
{
	char *output;

	ck_assert_int_eq(unit_fork(spawn_as_oneself, NULL, &output), 0);
	ck_assert_str_eq(output, "GROUPS EPERM 0");
	free(output);
}
END_TEST

/* What it is to be, and whether root made it so: others keep their groups. */
struct expected {
	struct spawn_credentials credentials;
	bool by_root;
};

static int check_function(void *arg)
{
	const struct expected *e = arg;
	struct stat st;

	if (getuid() != e->credentials.uid || getgid() != e->credentials.gid ||
	    (e->by_root && getgroups(0, NULL) != 0))
		return 1;
	if (getpriority(PRIO_PROCESS, 0) != 3 || getsid(0) != getpid())
		return 2;
	if (umask(0) != 027 || stat(".", &st) < 0 || !S_ISDIR(st.st_mode))
		return 3;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 4;
}

START_TEST(test_functions_find_the_same)
{
	struct expected e = { ordinary_credentials(), geteuid() == 0 };
	const int nice = 3;
	struct spawn_spec spec = {
		.umask = 027,
		.cgroup_fd = -1,
		.function = check_function,
		.arg = &e,
		.credentials = &e.credentials,
		.nice = &nice,
		.new_session = true,
		.no_new_privs = true,
		.directory = "/",
	};
	struct spawn_child child = start_child(&spec);

	ck_assert_int_eq(take_exit(&child), 0);
}
END_TEST

/* --- where a program is found ----------------------------------------------- */

static void make_program(const char *path, const char *text, mode_t mode)
{
	const char *file = unit_path(path);
	int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fd_write_all(fd, text, strlen(text)), 0);
	fd_close(fd);
	ck_assert_int_eq(chmod(file, mode), 0);
}

static const struct search_case {
	const char *program, *search_path; /* @ is the directory of the test */
	const char *expected;		   /* output, or the failure */
} search_cases[] = {
	{ "prog", "@/two", "two\n" },
	{ "prog", "@/none:@/two:@/three", "two\n" },
	{ "prog", "@/three:@/two", "three\n" },
	{ "prog", "@/one:@/two", "two\n" }, /* not executable in one */
	{ "prog", "@/one", "EXEC EACCES 0" },
	{ "prog", "@/one:@/none", "EXEC EACCES 0" },
	{ "prog", "@/none:@/one", "EXEC EACCES 0" },
	{ "prog", "@/none", "EXEC ENOENT 0" },
	{ "prog", "@/one/prog:@/none", "EXEC ENOENT 0" }, /* not a directory */
	{ "prog", "@/garbage:@/two", "EXEC ENOEXEC 0" },
	{ "prog", "", "here\n" },
	{ "prog", "@/none:", "here\n" },
	{ "prog", ":@/two", "here\n" },
	{ "prog", "@/none::@/two", "here\n" },
	{ "prog", "two", "two\n" }, /* relative to the new directory */
	{ "./prog", "@/two", "here\n" },
	{ "two/prog", "@/three", "two\n" },
	{ "../here/prog", "", "EXEC ENOENT 0" },
	{ "true", NULL, "" },
	{ "prog", NULL, "EXEC ENOENT 0" },
};

static void make_programs(void)
{
	static const char *const directories[] = { "one", "two", "three",
						   "none", "garbage" };

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		ck_assert_int_eq(mkdir(unit_path(directories[i]), 0755), 0);
	make_program("one/prog", "#!/bin/sh\necho one\n", 0644);
	make_program("two/prog", "#!/bin/sh\necho two\n", 0755);
	make_program("three/prog", "#!/bin/sh\necho three\n", 0755);
	make_program("garbage/prog", "echo garbage\n", 0755);
	make_program("prog", "#!/bin/sh\necho here\n", 0755);
}

/* Replaces each @ in text by the directory. */
static void expand(const char *text, char *buf, size_t size_bytes)
{
	size_t len = 0;

	for (; *text && len + 1 < size_bytes; text++) {
		if (*text == '@')
			len += (size_t)snprintf(buf + len, size_bytes - len,
						"%s", unit_tmpdir());
		else
			buf[len++] = *text;
	}
	ck_assert_uint_lt(len, size_bytes);
	buf[len] = '\0';
}

static void check_search(const struct search_case *c)
{
	char program[64], path[512], *const argv[] = { program, NULL };
	struct spawn_spec spec = { SPAWN_SPEC, .argv = argv,
				   .directory = unit_tmpdir() };
	struct spawn_failure failure = { 0 };
	struct spawn_child child;
	char *output;
	int code;

	(void)snprintf(program, sizeof(program), "%s", c->program);
	if (c->search_path) {
		expand(c->search_path, path, sizeof(path));
		spec.search_path = path;
	}
	if (!str_has_prefix(c->expected, "EXEC")) {
		output = run_for_output(spec, &code);
		ck_assert_msg(str_equal(output, c->expected), "%s in %s: %s",
			      program, c->search_path, output);
		ck_assert_int_eq(code, 0);
		free(output);
		return;
	}
	ck_assert_int_eq(spawn_start(&spec, &child), 0);
	ck_assert_int_eq(take_report(&child, &failure), 1);
	ck_assert_msg(str_equal(failure_name(&failure), c->expected),
		      "%s in %s: %s", program, c->search_path,
		      failure_name(&failure));
	ck_assert_int_eq(take_exit(&child), SPAWN_EXIT_CODE);
}

START_TEST(test_search)
{
	make_programs();
	for (size_t i = 0; i < ARRAY_SIZE(search_cases); i++)
		check_search(&search_cases[i]);
}
END_TEST

START_TEST(test_search_skips_what_is_too_long)
{
	char program[] = "true", *const argv[] = { program, NULL };
	struct spawn_spec spec = { SPAWN_SPEC, .argv = argv };
	char path[PATH_MAX + 32];
	struct spawn_child child;

	/* a directory that with "/true" just fits, and one that does not */
	for (size_t excess = 0; excess < 2; excess++) {
		size_t len = PATH_MAX - sizeof("/true") + excess;

		memset(path, 'x', len);
		path[0] = '/';
		(void)snprintf(path + len, sizeof(path) - len, ":/usr/bin");
		for (size_t i = 100; i < len - 1; i += 100)
			path[i] = '/';
		spec.search_path = path;
		child = start_child(&spec);
		ck_assert_int_eq(take_exit(&child), 0);
	}
}
END_TEST

UNIT_MAIN("spawn_exec", test_environment_is_the_specs, test_directory_and_umask,
	  test_priorities, test_limits, test_session, test_credentials,
	  test_no_groups_are_none, test_ordinary_user_stays_itself,
	  test_functions_find_the_same, test_search,
	  test_search_skips_what_is_too_long)
