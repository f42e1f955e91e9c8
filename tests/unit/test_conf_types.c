/* The types by themselves: what each parser takes at its limits, what it
 * refuses and leaves untouched, and that the formatter writes it back. */
#include "conf/types.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/schema.h"
#include "conf/settings.h"
#include "tests/lib/unit.h"
#include "workers/base/pure/usec.h"

/* A struct with a field of every kind, and rows for it. */
struct base {
	bool yes;
	uint32_t u32;
	uint64_t u64;
	bool has;
	int number;
	char *text;
	char **list;
	size_t n_list;
	struct stop_ladder ladder;
	struct exit_set exits;
	struct rate rate;
	struct rlimit_setting limit;
	cpu_set_t *cpus;
	struct log_setting log;
	struct environment_entry *environment;
	size_t n_environment;
};

static const struct schema_word words[] = {
	{ "one", 1 },
	{ "uno", 1 },
	{ "two", 2 },
	{ NULL, 0 },
};

#define AT(field)  .offset = offsetof(struct base, field)
#define AT2(field) .offset2 = offsetof(struct base, field)

static const struct schema_row rows[TYPE_COUNT] = {
	[TYPE_BOOL] = { AT(yes) },
	[TYPE_U32] = { AT(u32), .min = 2, .max = 5 },
	[TYPE_U64] = { AT(u64) },
	[TYPE_I32] = { AT(number), .min = -4, .max = 9 },
	[TYPE_PRIORITY] = { AT(number), AT2(has), .min = -9, .max = 9 },
	[TYPE_INT] = { AT(number), AT2(has), .min = -2, .max = 3 },
	[TYPE_USEC] = { AT(u64), .min = 1000000, .max = 5000000 },
	[TYPE_USEC_AUTO] = { AT(u64) },
	[TYPE_SIZE] = { AT(u64) },
	[TYPE_UMASK] = { AT(number) },
	[TYPE_ENUM] = { AT(number), .words = words },
	[TYPE_STRING] = { AT(text) },
	[TYPE_PATH] = { AT(text) },
	[TYPE_TEMPLATE] = { AT(text) },
	[TYPE_NAMES] = { AT(list), AT2(n_list) },
	[TYPE_FILES] = { AT(list), AT2(n_list) },
	[TYPE_LADDER] = { AT(ladder) },
	[TYPE_EXITCODES] = { AT(exits) },
	[TYPE_RATE] = { AT(rate) },
	[TYPE_RLIMIT_SIZE] = { AT(limit) },
	[TYPE_RLIMIT_COUNT] = { AT(limit), .max = 40 },
	[TYPE_RLIMIT_SECONDS] = { AT(limit) },
	[TYPE_RLIMIT_USEC] = { AT(limit) },
	[TYPE_CPUS] = { AT(cpus) },
	[TYPE_LOG] = { AT(log) },
	[TYPE_ENVIRONMENT] = { AT(environment), AT2(n_environment) },
};

/* The row of a type, with the type in it. */
static struct schema_row row_of(enum type_id id)
{
	struct schema_row row = rows[id];

	row.type = id;
	row.key = "key";
	return row;
}

static int parse(enum type_id id, struct arena *a, const char *text,
		 struct base *base, char *reason)
{
	struct schema_row row = row_of(id);
	struct type_call call = { .row = &row, .arena = a };
	int r = types[id].parse(&call, text, base);

	snprintf(reason, TYPES_REASON_MAX, "%s", call.reason);
	return r;
}

static const struct {
	enum type_id id;
	const char *text, *formatted;
} good[] = {
	{ TYPE_BOOL, "TRUE", "yes" },
	{ TYPE_BOOL, "off", "no" },
	{ TYPE_U32, "2", "2" },
	{ TYPE_U32, "5", "5" },
	{ TYPE_U64, "0", "0" },
	{ TYPE_U64, "9223372036854775807", "9223372036854775807" },
	{ TYPE_PRIORITY, "", "" },
	{ TYPE_PRIORITY, "0", "0" },
	{ TYPE_PRIORITY, "-9", "-9" },
	{ TYPE_I32, "-4", "-4" },
	{ TYPE_I32, "9", "9" },
	{ TYPE_INT, "", "" },
	{ TYPE_INT, "-2", "-2" },
	{ TYPE_INT, "+3", "3" },
	{ TYPE_USEC, "1", "1" },
	{ TYPE_USEC, "5s", "5" },
	{ TYPE_USEC, "1s 1us", "1000001us" },
	{ TYPE_USEC, "1.5", "1500ms" },
	{ TYPE_USEC_AUTO, "infinity", "infinity" },
	{ TYPE_USEC_AUTO, "0", "0" },
	{ TYPE_SIZE, "0", "0" },
	{ TYPE_SIZE, "1023", "1023" },
	{ TYPE_SIZE, "1024", "1KB" },
	{ TYPE_SIZE, "1025KB", "1025KB" },
	{ TYPE_SIZE, "2048TB", "2048TB" },
	{ TYPE_UMASK, "", "" },
	{ TYPE_UMASK, "0", "000" },
	{ TYPE_UMASK, "777", "777" },
	{ TYPE_ENUM, "one", "one" },
	{ TYPE_ENUM, "UNO", "one" },
	{ TYPE_ENUM, "two", "two" },
	{ TYPE_STRING, "", "" },
	{ TYPE_STRING, "a b", "a b" },
	{ TYPE_PATH, "/a b", "/a b" },
	{ TYPE_TEMPLATE, "a\nb %(x)s", "a\nb %(x)s" },
	{ TYPE_NAMES, "", "" },
	{ TYPE_NAMES, ",a,\n b c,", "a,b,c" },
	{ TYPE_FILES, "a,b\n c", "a,b c" },
	{ TYPE_LADDER, "TERM", "TERM" },
	{ TYPE_LADDER, "SIGTERM:0 2:1d, RTMIN+1", "TERM:0 INT:86400 RTMIN+1" },
	{ TYPE_LADDER, "KILL", "KILL" },
	{ TYPE_LADDER, "1 2 3 4 5 6 7 KILL",
	  "HUP INT QUIT ILL TRAP ABRT BUS KILL" },
	{ TYPE_EXITCODES, "", "" },
	{ TYPE_EXITCODES, "255,0 64\n63", "0 63 64 255" },
	{ TYPE_EXITCODES, "kill 1 RTMAX", "1 SIGKILL SIGRTMIN+30" },
	{ TYPE_RATE, "0", "0" },
	{ TYPE_RATE, "1/1us", "1/1us" },
	{ TYPE_RATE, "1000000/1h", "1000000/3600" },
	{ TYPE_RLIMIT_SIZE, "", "" },
	{ TYPE_RLIMIT_SIZE, "0", "0" },
	{ TYPE_RLIMIT_SIZE, "1KB:2KB", "1024:2048" },
	{ TYPE_RLIMIT_SIZE, "5:5", "5" },
	{ TYPE_RLIMIT_SIZE, "UNLIMITED", "infinity" },
	{ TYPE_RLIMIT_COUNT, "40:infinity", "40:infinity" },
	{ TYPE_RLIMIT_SECONDS, "2min", "120" },
	{ TYPE_RLIMIT_USEC, "1500us", "1500us" },
	{ TYPE_RLIMIT_USEC, "2", "2" },
	{ TYPE_CPUS, "", "" },
	{ TYPE_CPUS, "1023", "1023" },
	{ TYPE_CPUS, "0,2-3,5", "0,2-3,5" },
	{ TYPE_CPUS, "0-1023", "0-1023" },
	{ TYPE_LOG, "auto", "AUTO" },
	{ TYPE_LOG, "off", "NONE" },
	{ TYPE_LOG, "/dev/null", "NONE" },
	{ TYPE_LOG, "/dev/fd/1", "/dev/stdout" },
	{ TYPE_LOG, "/proc/self/fd/65535", "/dev/fd/65535" },
	{ TYPE_LOG, "/dev/nulls", "/dev/nulls" },
	{ TYPE_LOG, "autos", "autos" },
	{ TYPE_ENVIRONMENT, "", "" },
	{ TYPE_ENVIRONMENT, "A=1,B='2'", "A=\"1\",B=\"2\"" },
	{ TYPE_IGNORED, "whatever", "" },
};

START_TEST(test_good)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		enum type_id id = good[i].id;
		struct schema_row row = row_of(id);
		struct arena a = ARENA_INIT(1024);
		struct base base, again;
		struct buf out = BUF_INIT(0);
		char reason[TYPES_REASON_MAX];
		int r;

		memset(&base, 0xa5, sizeof(base));
		memset(&again, 0x5a, sizeof(again));
		r = parse(id, &a, good[i].text, &base, reason);
		ck_assert_msg(r == 0, "%s: %s", good[i].text, reason);
		ck_assert_int_eq(types[id].format(&row, &base, &out), 0);
		ck_assert_str_eq(buf_text(&out), good[i].formatted);
		/* and back: whatever was there before */
		r = parse(id, &a, buf_text(&out), &again, reason);
		ck_assert_msg(r == 0, "%s: %s", buf_text(&out), reason);
		ck_assert_msg(types[id].equal(&row, &base, &again), "%s",
			      good[i].text);
		buf_done(&out);
		arena_done(&a);
	}
}
END_TEST

#define LONG_WORD                                                              \
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct {
	enum type_id id;
	const char *text, *reason;
} bad[] = {
	{ TYPE_BOOL, "", "write yes or no" },
	{ TYPE_BOOL, "yes no", "write yes or no" },
	{ TYPE_U32, "1", "write a number from 2 to 5" },
	{ TYPE_U32, "6", "write a number from 2 to 5" },
	{ TYPE_U32, "", "write a number" },
	{ TYPE_U64, "9223372036854775808", "to 9223372036854775807" },
	{ TYPE_PRIORITY, "-10", "write a number from -9 to 9" },
	{ TYPE_I32, "-5", "write a number from -4 to 9" },
	{ TYPE_I32, "x", "write a number from -4 to 9" },
	{ TYPE_INT, "-3", "write a number from -2 to 3" },
	{ TYPE_INT, "4", "write a number from -2 to 3" },
	{ TYPE_USEC, "999ms", "write a time from 1 to 5 seconds" },
	{ TYPE_USEC, "5001ms", "write a time from 1 to 5 seconds" },
	{ TYPE_USEC, "infinity", "write a time from 1 to 5 seconds" },
	{ TYPE_USEC, "auto", "write seconds (5, 0.5)" },
	{ TYPE_USEC_AUTO, "automatic", "write seconds (5, 0.5)" },
	{ TYPE_SIZE, "1.5MB", "write bytes, or a size" },
	{ TYPE_SIZE, "99999999TB", "write bytes, or a size" },
	{ TYPE_UMASK, "1000", "from 000 to 777" },
	{ TYPE_UMASK, "9", "from 000 to 777" },
	{ TYPE_ENUM, "", "write one of one, two" },
	{ TYPE_ENUM, "twoo", "did you mean \"two\"? write one of one, two" },
	{ TYPE_ENUM, LONG_WORD LONG_WORD, "write one of one, two" },
	{ TYPE_PATH, "a\nb", "over several lines" },
	{ TYPE_LADDER, "", "write a signal (TERM)" },
	{ TYPE_LADDER, "0", "\"0\" is not a signal" },
	{ TYPE_LADDER, "65", "\"65\" is not a signal" },
	{ TYPE_LADDER, "TERM:86401", "at most a day" },
	{ TYPE_LADDER, ":5", "\"\" is not a signal" },
	{ TYPE_LADDER, LONG_WORD, "write a signal (TERM)" },
	{ TYPE_EXITCODES, "256", "a number from 0 to 255" },
	{ TYPE_EXITCODES, "-1", "\"-1\" is not a signal" },
	{ TYPE_EXITCODES, LONG_WORD, "write exit codes and names" },
	{ TYPE_RATE, "", "write a count and a time span" },
	{ TYPE_RATE, "1000001/1", "write a count and a time span" },
	{ TYPE_RATE, LONG_WORD "/1", "write a count and a time span" },
	{ TYPE_RATE, "1/", "write a count and a time span" },
	{ TYPE_RLIMIT_SIZE, "5:4", "must not be above the hard one" },
	{ TYPE_RLIMIT_SIZE, "infinity:5", "must not be above the hard one" },
	{ TYPE_RLIMIT_SIZE, ":", "write a size in bytes" },
	{ TYPE_RLIMIT_SIZE, LONG_WORD, "write a size in bytes" },
	{ TYPE_RLIMIT_COUNT, "41", "a number of at most 40" },
	{ TYPE_RLIMIT_COUNT, "1:41", "a number of at most 40" },
	{ TYPE_RLIMIT_SECONDS, "1500ms", "write whole seconds" },
	{ TYPE_RLIMIT_USEC, "x", "write a time span" },
	{ TYPE_CPUS, "1024", "below 1024" },
	{ TYPE_CPUS, "3-1", "numbers and ranges" },
	{ TYPE_LOG, "", "write a path, AUTO, NONE" },
	{ TYPE_LOG, "/a\nb", "write a path, AUTO, NONE" },
	{ TYPE_LOG, "/dev/fd/", "after /dev/fd/ goes the number" },
	{ TYPE_LOG, "SYSLOG", "syslog is not supported" },
	{ TYPE_ENVIRONMENT, "A", "expected KEY=" },
};

START_TEST(test_bad)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct arena a = ARENA_INIT(1024);
		struct base base, before;
		char reason[TYPES_REASON_MAX];

		memset(&base, 0, sizeof(base));
		before = base;
		ck_assert_msg(parse(bad[i].id, &a, bad[i].text, &base,
				    reason) == -EINVAL,
			      "%s", bad[i].text);
		ck_assert_msg(strstr(reason, bad[i].reason), "%s: \"%s\"",
			      bad[i].text, reason);
		ck_assert_msg(memcmp(&base, &before, sizeof(base)) == 0, "%s",
			      bad[i].text);
		arena_done(&a);
	}
}
END_TEST

/* Values that differ are told apart, both ways; sets and lists also when one
 * is the beginning of the other. */
static const struct {
	enum type_id id;
	const char *a, *b;
} different[] = {
	{ TYPE_BOOL, "yes", "no" },
	{ TYPE_U32, "2", "3" },
	{ TYPE_U64, "4294967296", "0" },
	{ TYPE_PRIORITY, "", "0" },
	{ TYPE_PRIORITY, "1", "0" },
	{ TYPE_I32, "-1", "1" },
	{ TYPE_INT, "", "0" },
	{ TYPE_INT, "1", "-1" },
	{ TYPE_USEC, "1", "2" },
	{ TYPE_USEC_AUTO, "auto", "infinity" },
	{ TYPE_SIZE, "1KB", "1000" },
	{ TYPE_UMASK, "", "0" },
	{ TYPE_ENUM, "one", "two" },
	{ TYPE_STRING, "", "a" },
	{ TYPE_STRING, "b", "a" },
	{ TYPE_NAMES, "a", "a,b" },
	{ TYPE_NAMES, "a,c", "a,b" },
	{ TYPE_FILES, "", "a" },
	{ TYPE_LADDER, "TERM:1 KILL", "TERM:1" },
	{ TYPE_LADDER, "TERM:1", "TERM:2" },
	{ TYPE_LADDER, "TERM", "INT" },
	{ TYPE_EXITCODES, "1", "SIGHUP" },
	{ TYPE_EXITCODES, "0", "0 RTMAX" },
	{ TYPE_RATE, "0", "1/1" },
	{ TYPE_RATE, "1/1", "1/2" },
	{ TYPE_RLIMIT_SIZE, "", "0" },
	{ TYPE_RLIMIT_SIZE, "5:6", "5" },
	{ TYPE_RLIMIT_SIZE, "5:6", "6" },
	{ TYPE_CPUS, "", "0" },
	{ TYPE_CPUS, "0-1", "0" },
	{ TYPE_LOG, "AUTO", "NONE" },
	{ TYPE_LOG, "/a", "/b" },
	{ TYPE_LOG, "/dev/stdout", "/dev/stderr" },
	{ TYPE_ENVIRONMENT, "A=1", "A=1,B=1" },
	{ TYPE_ENVIRONMENT, "A=1", "B=1" },
	{ TYPE_ENVIRONMENT, "A=1", "A=2" },
};

START_TEST(test_different)
{
	for (size_t i = 0; i < ARRAY_SIZE(different); i++) {
		enum type_id id = different[i].id;
		struct schema_row row = row_of(id);
		struct arena arena = ARENA_INIT(1024);
		struct base a = { 0 }, b = { 0 };
		char reason[TYPES_REASON_MAX];

		ck_assert_int_eq(parse(id, &arena, different[i].a, &a, reason),
				 0);
		ck_assert_int_eq(parse(id, &arena, different[i].b, &b, reason),
				 0);
		ck_assert_msg(!types[id].equal(&row, &a, &b), "%s and %s",
			      different[i].a, different[i].b);
		ck_assert_msg(!types[id].equal(&row, &b, &a), "%s and %s",
			      different[i].b, different[i].a);
		ck_assert(types[id].equal(&row, &a, &a));
		arena_done(&arena);
	}
}
END_TEST

/* Every type is in the table and in each of the lists above. */
START_TEST(test_complete)
{
	for (size_t id = 0; id < TYPE_COUNT; id++) {
		size_t n = 0;

		ck_assert(types[id].name && types[id].parse &&
			  types[id].format && types[id].equal);
		for (size_t i = 0; i < ARRAY_SIZE(good); i++)
			n += good[i].id == id;
		ck_assert_msg(n > 0, "type %zu (%s)", id, types[id].name);
	}
}
END_TEST

START_TEST(test_auto)
{
	struct base base = { 0 };
	char reason[TYPES_REASON_MAX];

	ck_assert_int_eq(parse(TYPE_USEC_AUTO, NULL, "AUTO", &base, reason), 0);
	ck_assert_uint_eq(base.u64, START_TIMEOUT_AUTO);
	ck_assert_int_eq(parse(TYPE_LADDER, NULL, "TERM", &base, reason), 0);
	ck_assert_uint_eq(base.ladder.rungs[0].wait_usec, LADDER_WAIT_DEFAULT);
}
END_TEST

UNIT_MAIN("conf_types", test_good, test_bad, test_different, test_complete,
	  test_auto)
