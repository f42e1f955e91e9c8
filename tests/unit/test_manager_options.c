#include "workers/manager/server/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/sys/log.h"

#define PARSE(...)                                                             \
	parse((char *[]){ (char *)(uintptr_t) "reeve-manager", __VA_ARGS__,    \
			  NULL })
#define S(text) ((char *)(uintptr_t)(text))

static struct options options;

static int parse(char **argv)
{
	int n = 0;

	while (argv[n])
		n++;
	return options_take(n, argv, &options);
}

START_TEST(test_defaults)
{
	const struct keeper_order *o = &options.order;

	ck_assert_int_eq(
		PARSE(S("-l"), S("tcp:localhost:5"), S("-k"), S("key")), -1);
	ck_assert(!options.is_inherited);
	ck_assert_str_eq(o->address, "tcp:localhost:5");
	ck_assert_str_eq(options.authkey_file, "key");
	ck_assert_str_eq(o->snapshot, "");
	ck_assert_uint_eq(o->snapshot_interval_usec, 1000000);
	ck_assert_uint_eq(o->max_clients, 1024);
	ck_assert_uint_eq(o->max_objects, 65536);
	ck_assert_uint_eq(o->max_bytes, 1 << 30);
	ck_assert_uint_eq(o->max_output_bytes, 64 << 20);
	ck_assert_uint_eq(o->restart_limit, 5);
	ck_assert_uint_eq(o->restart_interval_usec, 10000000);
}
END_TEST

START_TEST(test_all)
{
	const struct keeper_order *o = &options.order;

	ck_assert_int_eq(PARSE(S("--listen=unix:@a"), S("--authkey-file"),
			       S("k"), S("--snapshot=/s"),
			       S("--snapshot-interval=2min"),
			       S("--max-clients=7"), S("--max-objects=8"),
			       S("--max-bytes=9K"), S("--max-output=10M"),
			       S("--restart-limit=0/1h")),
			 -1);
	ck_assert_str_eq(o->snapshot, "/s");
	ck_assert_uint_eq(o->snapshot_interval_usec, 120000000);
	ck_assert_uint_eq(o->max_clients, 7);
	ck_assert_uint_eq(o->max_objects, 8);
	ck_assert_uint_eq(o->max_bytes, 9 << 10);
	ck_assert_uint_eq(o->max_output_bytes, 10 << 20);
	ck_assert_uint_eq(o->restart_limit, 0);
	ck_assert_uint_eq(o->restart_interval_usec, UINT64_C(3600000000));
	ck_assert_int_eq(PARSE(S(KEEPER_ARGUMENT)), -1);
	ck_assert(options.is_inherited);
}
END_TEST

/* A path that is not absolute means the same later, too. */
START_TEST(test_relative_snapshot)
{
	char wanted[PATH_MAX], directory[PATH_MAX - 8];

	ck_assert_int_eq(chdir(unit_tmpdir()), 0);
	ck_assert_int_eq(PARSE(S("-l"), S("unix:@a"), S("-k"), S("k"), S("-s"),
			       S("here")),
			 -1);
	ck_assert_ptr_nonnull(getcwd(directory, sizeof(directory)));
	(void)snprintf(wanted, sizeof(wanted), "%s/here", directory);
	ck_assert_str_eq(options.order.snapshot, wanted);
}
END_TEST

static void run_parse(void *argv)
{
	_exit(parse(argv));
}

/* The exit code, and what is said. */
static int said(char **argv, char **ret_output)
{
	return unit_fork(run_parse, argv, ret_output);
}

static void check_said(char **argv, int code, const char *word)
{
	char *output;
	int r = said(argv, &output);

	ck_assert_msg(r == code, "%d: %s", r, output);
	ck_assert_msg(strstr(output, word), "%s", output);
	free(output);
}

START_TEST(test_wrong)
{
	static const char *const wrong[][2] = {
		{ "--listen=/path", "unix:/path" },
		{ "--listen=", "\"\" is not" },
		{ "--authkey-file=", "a path" },
		{ "--snapshot=", "a path" },
		{ "--snapshot-interval=0", "a time above 0" },
		{ "--snapshot-interval=x", "a time" },
		{ "--max-clients=0", "1 to 1000000" },
		{ "--max-clients=1000001", "1 to 1000000" },
		{ "--max-objects=0", "above 0" },
		{ "--max-bytes=0", "a size" },
		{ "--max-output=x", "a size" },
		{ "--restart-limit=5", "5/10s" },
		{ "--restart-limit=/10s", "5/10s" },
		{ "--restart-limit=-1/10s", "5/10s" },
		{ "--restart-limit=5/0", "5/10s" },
		{ "--restart-limit=99999999999999999/5", "5/10s" },
		{ "--nonsense", "--help" },
		{ "--listen", "--help" },
		{ "operand", "not an option" },
		{ KEEPER_ARGUMENT, "--help" }, /* only alone */
	};
	char longest[PATH_MAX + 64];

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		char *argv[] = { S("reeve-manager"), S("-lunix:@a"), S("-kk"),
				 S(wrong[i][0]), NULL };

		check_said(argv, KEEPER_EXIT_USAGE, wrong[i][1]);
	}
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "--snapshot=/", 12);
	longest[12 + PATH_MAX - 1] = '\0';
	check_said((char *[]){ S("m"), S("-lunix:@a"), S("-kk"), longest,
			       NULL },
		   KEEPER_EXIT_USAGE, "a path");
	check_said((char *[]){ S("m"), S("-lunix:@a"), NULL },
		   KEEPER_EXIT_USAGE, "--authkey-file is needed");
	check_said((char *[]){ S("m"), S("-kk"), NULL }, KEEPER_EXIT_USAGE,
		   "--listen is needed");
}
END_TEST

START_TEST(test_help)
{
	check_said((char *[]){ S("m"), S("--help"), NULL }, 0,
		   "--snapshot-interval TIME");
	check_said((char *[]){ S("m"), S("-V"), NULL }, 0, REEVE_VERSION);
}
END_TEST

/* ---- the key ----------------------------------------------------------------------------- */

static int read_key(const char *text, mode_t mode)
{
	char path[PATH_MAX];
	int r;

	(void)unlink(unit_path("key"));
	(void)snprintf(path, sizeof(path), "%s", unit_file("key", text));
	ck_assert_int_eq(chmod(path, mode), 0);
	options = (struct options){ .authkey_file = path };
	log_set_level((enum log_level)0);
	r = options_read_authkey(&options);
	return r;
}

static void check_key(const char *wanted)
{
	ck_assert_uint_eq(options.order.authkey_size, strlen(wanted));
	ck_assert_int_eq(memcmp(options.order.authkey, wanted, strlen(wanted)),
			 0);
}

START_TEST(test_key)
{
	char longest[REEVE_MANAGER_KEY_MAX + 2];

	ck_assert_int_eq(read_key("secret\n", 0600), 0);
	check_key("secret");
	ck_assert_int_eq(read_key("secret", 0640), 0);
	check_key("secret");
	ck_assert_int_eq(read_key(" two\n\n", 0400), 0);
	check_key(" two\n");
	ck_assert_int_eq(read_key("", 0600), -EINVAL);
	ck_assert_int_eq(read_key("\n", 0600), -EINVAL);
	memset(longest, 'k', sizeof(longest));
	longest[REEVE_MANAGER_KEY_MAX + 1] = '\0';
	ck_assert_int_eq(read_key(longest, 0600), -EINVAL);
	longest[REEVE_MANAGER_KEY_MAX] = '\n';
	ck_assert_int_eq(read_key(longest, 0600), 0);
	ck_assert_uint_eq(options.order.authkey_size, REEVE_MANAGER_KEY_MAX);
	/* one that others may read or change is none */
	ck_assert_int_eq(read_key("secret", 0604), -EPERM);
	ck_assert_int_eq(read_key("secret", 0602), -EPERM);
	ck_assert_int_eq(read_key("secret", 0620), -EPERM);
	options.authkey_file = "/nonexistent/key";
	ck_assert_int_eq(options_read_authkey(&options), -ENOENT);
}
END_TEST

UNIT_MAIN("manager_options", test_defaults, test_all, test_relative_snapshot,
	  test_wrong, test_help, test_key)
