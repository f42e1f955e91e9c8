#include "workers/base/pure/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/rng.h"
#include "workers/base/pure/usec.h"

#define UNTOUCHED 4711

START_TEST(test_u64)
{
	static const struct {
		const char *text;
		uint64_t min, max;
		int r;
		uint64_t value;
	} rows[] = {
		{ "0", 0, UINT64_MAX, 0, 0 },
		{ "007", 0, UINT64_MAX, 0, 7 },
		{ "18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX },
		{ "018446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX },
		{ "18446744073709551616", 0, UINT64_MAX, -ERANGE, 0 },
		{ "28446744073709551615", 0, UINT64_MAX, -ERANGE, 0 },
		{ "99999999999999999999999", 0, UINT64_MAX, -ERANGE, 0 },
		/* 2^64 wraps to 0, and 0 times ten does not overflow */
		{ "184467440737095516160", 0, UINT64_MAX, -ERANGE, 0 },
		{ "99999999999999999999x", 0, UINT64_MAX, -EINVAL, 0 },
		{ "5", 5, 7, 0, 5 },
		{ "7", 5, 7, 0, 7 },
		{ "4", 5, 7, -ERANGE, 0 },
		{ "8", 5, 7, -ERANGE, 0 },
		{ "", 0, 9, -EINVAL, 0 },
		{ " 1", 0, 9, -EINVAL, 0 },
		{ "1 ", 0, 9, -EINVAL, 0 },
		{ "1\n", 0, 9, -EINVAL, 0 },
		{ "+1", 0, 9, -EINVAL, 0 },
		{ "-1", 0, 9, -EINVAL, 0 },
		{ "1.0", 0, 9, -EINVAL, 0 },
		{ "0x1", 0, 9, -EINVAL, 0 },
		{ "1e1", 0, 99, -EINVAL, 0 },
		{ "\xd9\xa1", 0, 9, -EINVAL, 0 }, /* an Arabic one */
		{ ":", 0, 99, -EINVAL, 0 },	  /* just behind '9' */
		{ "/", 0, 99, -EINVAL, 0 },	  /* just before '0' */
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t value = UNTOUCHED;
		int r = parse_u64(rows[i].text, rows[i].min, rows[i].max,
				  &value);
		ck_assert_msg(r == rows[i].r, "[%s]: %d", rows[i].text, r);
		ck_assert_uint_eq(value, r < 0 ? UNTOUCHED : rows[i].value);
	}
}
END_TEST

START_TEST(test_i64)
{
	static const struct {
		const char *text;
		int64_t min, max;
		int r;
		int64_t value;
	} rows[] = {
		{ "0", INT64_MIN, INT64_MAX, 0, 0 },
		{ "-0", 0, 0, 0, 0 },
		{ "+5", INT64_MIN, INT64_MAX, 0, 5 },
		{ "-5", INT64_MIN, INT64_MAX, 0, -5 },
		{ "9223372036854775807", INT64_MIN, INT64_MAX, 0, INT64_MAX },
		{ "-9223372036854775808", INT64_MIN, INT64_MAX, 0, INT64_MIN },
		{ "9223372036854775808", INT64_MIN, INT64_MAX, -ERANGE, 0 },
		{ "-9223372036854775809", INT64_MIN, INT64_MAX, -ERANGE, 0 },
		{ "-18446744073709551616", INT64_MIN, INT64_MAX, -ERANGE, 0 },
		{ "-20", -20, 19, 0, -20 },
		{ "19", -20, 19, 0, 19 },
		{ "-21", -20, 19, -ERANGE, 0 },
		{ "20", -20, 19, -ERANGE, 0 },
		{ "", -9, 9, -EINVAL, 0 },
		{ "-", -9, 9, -EINVAL, 0 },
		{ "+", -9, 9, -EINVAL, 0 },
		{ "--1", -9, 9, -EINVAL, 0 },
		{ "+-1", -9, 9, -EINVAL, 0 },
		{ "- 1", -9, 9, -EINVAL, 0 },
		{ "1-", -9, 9, -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t value = UNTOUCHED;
		int r = parse_i64(rows[i].text, rows[i].min, rows[i].max,
				  &value);
		ck_assert_msg(r == rows[i].r, "[%s]: %d", rows[i].text, r);
		ck_assert_int_eq(value, r < 0 ? UNTOUCHED : rows[i].value);
	}
}
END_TEST

START_TEST(test_bool)
{
	static const char *const yes[] = { "true", "TRUE", "True", "yes",
					   "on",   "On",   "1",	   "t",
					   "T",	   "y",	   "Y" };
	static const char *const no[] = { "false", "FALSE", "no", "No", "off",
					  "OFF",   "0",	    "f",  "F",	"n" };
	static const char *const bad[] = { "",	   "2",	   "tru",  "truee",
					   "yes ", " yes", "none", "01" };
	bool value;

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		value = false;
		ck_assert_int_eq(parse_bool(yes[i], &value), 0);
		ck_assert_msg(value, "%s", yes[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
		value = true;
		ck_assert_int_eq(parse_bool(no[i], &value), 0);
		ck_assert_msg(!value, "%s", no[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert_msg(parse_bool(bad[i], &value) == -EINVAL, "%s",
			      bad[i]);
}
END_TEST

START_TEST(test_usec)
{
	static const struct {
		const char *text;
		uint64_t usec;
	} rows[] = {
		{ "0", 0 },
		{ "5", 5000000 },
		{ "0.5", 500000 },
		{ ".5", 500000 },
		{ "5 s", 5000000 },
		{ "5s", 5000000 },
		{ "5 \t sec", 5000000 },
		{ "7us", 7 },
		{ "7ms", 7000 },
		{ "2m", 120000000 },
		{ "2min", 120000000 },
		{ "1.5h", UINT64_C(5400000000) },
		{ "2d", UINT64_C(172800000000) },
		{ "1min 30s", 90000000 },
		{ "1min30s", 90000000 },
		{ "1h 1h", UINT64_C(7200000000) },
		{ "1d 2h 3m 4s 5ms 6us", UINT64_C(93784005006) },
		{ "0.5h .5m", UINT64_C(1830000000) },
		{ "infinity", USEC_INFINITY },
		/* rounded down, and exactly so */
		{ "0.0000019", 1 },
		{ "0.9us", 0 },
		{ "0.1h", 360000000 },
		{ "0.000000001h", 3 },
		{ "0.3333333333333333333333333333333333d", 28799999999 },
		{ "0.99999999999999999999999999999999999d", 86399999999 },
		{ "0.00000000000000000000000000000000001d", 0 },
		/* the largest */
		{ "18446744073709551614us", USEC_INFINITY - 1 },
		{ "18446744073709.551614", USEC_INFINITY - 1 },
		{ "18446744073709s 551614us", USEC_INFINITY - 1 },
		{ "213503982d 8h 1m 49s 551614us", USEC_INFINITY - 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t usec = UNTOUCHED;
		ck_assert_msg(parse_usec(rows[i].text, &usec) == 0, "[%s]",
			      rows[i].text);
		ck_assert_msg(usec == rows[i].usec, "[%s]: %" PRIu64,
			      rows[i].text, usec);
	}
}
END_TEST

START_TEST(test_usec_errors)
{
	static const struct {
		const char *text;
		int r;
	} rows[] = {
		{ "18446744073709551615us", -ERANGE }, /* is "infinity" */
		{ "18446744073709551616us", -ERANGE },
		{ "18446744073709.551615", -ERANGE },
		{ "18446744073709.551616", -ERANGE },
		{ "18446744073710", -ERANGE },
		{ "213503983d", -ERANGE },
		{ "213503982d 9h", -ERANGE },
		{ "99999999999999999999999999999", -ERANGE },
		{ "99999999999999999999999999999us", -ERANGE },
		{ "99999999999999999999.5d", -ERANGE },
		{ "18446744073709551614us 1us", -ERANGE },
		{ "18446744073709551614us 2us", -ERANGE },
		{ "99999999999999999999d 1s", -ERANGE },
		{ "99999999999999999999d 1x", -EINVAL },
		{ "99999999999999999999 5", -EINVAL },
		{ "", -EINVAL },
		{ " ", -EINVAL },
		{ " 5", -EINVAL },
		{ "5 ", -EINVAL },
		{ "5s ", -EINVAL },
		{ "5s\t", -EINVAL },
		{ "s", -EINVAL },
		{ ".", -EINVAL },
		{ "5.", -EINVAL },
		{ "5.s", -EINVAL },
		{ ".s", -EINVAL },
		{ "1.2.3", -EINVAL },
		{ "1..2", -EINVAL },
		{ "-1", -EINVAL },
		{ "+1", -EINVAL },
		{ "1min 30", -EINVAL }, /* 30 what? */
		{ "1 2", -EINVAL },
		{ "1 30s", -EINVAL },
		{ "5S", -EINVAL },
		{ "5x", -EINVAL },
		{ "5second", -EINVAL },
		{ "5secs", -EINVAL },
		{ "5mi", -EINVAL },
		{ "5s,6ms", -EINVAL },
		{ "5s infinity", -EINVAL },
		{ "Infinity", -EINVAL },
		{ "infinityx", -EINVAL },
		{ "1e3", -EINVAL },
		{ "5\n", -EINVAL },
		{ "5\xc2\xb5s", -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t usec = UNTOUCHED;
		int r = parse_usec(rows[i].text, &usec);
		ck_assert_msg(r == rows[i].r, "[%s]: %d", rows[i].text, r);
		ck_assert_uint_eq(usec, UNTOUCHED);
	}
}
END_TEST

START_TEST(test_size)
{
	static const struct {
		const char *text;
		int r;
		uint64_t bytes;
	} rows[] = {
		{ "0", 0, 0 },
		{ "123", 0, 123 },
		{ "50MB", 0, 50 * 1024 * 1024 },
		{ "50mb", 0, 50 * 1024 * 1024 },
		{ "50M", 0, 50 * 1024 * 1024 },
		{ "50 Mb", 0, 50 * 1024 * 1024 },
		{ "1k", 0, 1024 },
		{ "1KB", 0, 1024 },
		{ "3G", 0, UINT64_C(3221225472) },
		{ "3gB", 0, UINT64_C(3221225472) },
		{ "2T", 0, UINT64_C(2199023255552) },
		{ "2tb", 0, UINT64_C(2199023255552) },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "16777215T", 0, UINT64_C(16777215) << 40 },
		{ "16777216T", -ERANGE, 0 },
		{ "18014398509481983K", 0, UINT64_C(18014398509481983) << 10 },
		{ "18014398509481984K", -ERANGE, 0 },
		{ "99999999999999999999MB", -ERANGE, 0 },
		{ "99999999999999999999XB", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "MB", -EINVAL, 0 },
		{ "5B", -EINVAL, 0 },
		{ "5P", -EINVAL, 0 },
		{ "5KiB", -EINVAL, 0 },
		{ "5MBs", -EINVAL, 0 },
		{ "5M5", -EINVAL, 0 },
		{ "1.5M", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ " 5M", -EINVAL, 0 },
		{ "5M ", -EINVAL, 0 },
		{ "5 ", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t bytes = UNTOUCHED;
		int r = parse_size(rows[i].text, &bytes);
		ck_assert_msg(r == rows[i].r, "[%s]: %d", rows[i].text, r);
		ck_assert_uint_eq(bytes, r < 0 ? UNTOUCHED : rows[i].bytes);
	}
}
END_TEST

START_TEST(test_octal)
{
	static const struct {
		const char *text;
		int r;
		unsigned value;
	} rows[] = {
		{ "0", 0, 0 },
		{ "022", 0, 022 },
		{ "22", 0, 022 },
		{ "0700", 0, 0700 },
		{ "7777", 0, 07777 },
		{ "00007777", 0, 07777 },
		{ "10000", -ERANGE, 0 },
		{ "7777777777777777777777777", -ERANGE, 0 },
		{ "8", -EINVAL, 0 },
		{ "28", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "0o22", -EINVAL, 0 },
		{ "022 ", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned value = UNTOUCHED;
		int r = parse_octal(rows[i].text, &value);
		ck_assert_msg(r == rows[i].r, "[%s]: %d", rows[i].text, r);
		ck_assert_uint_eq(value, r < 0 ? UNTOUCHED : rows[i].value);
	}
}
END_TEST

START_TEST(test_signals)
{
	const struct {
		const char *text;
		int r, signo;
	} rows[] = {
		{ "TERM", 0, SIGTERM },
		{ "SIGTERM", 0, SIGTERM },
		{ "sigterm", 0, SIGTERM },
		{ "Term", 0, SIGTERM },
		{ "15", 0, SIGTERM },
		{ "1", 0, SIGHUP },
		{ "31", 0, SIGSYS },
		{ "KILL", 0, SIGKILL },
		{ "USR1", 0, SIGUSR1 },
		{ "usr2", 0, SIGUSR2 },
		{ "IOT", 0, SIGABRT },
		{ "SIGCLD", 0, SIGCHLD },
		{ "POLL", 0, SIGIO },
		{ "RTMIN", 0, SIGRTMIN },
		{ "SIGRTMIN", 0, SIGRTMIN },
		{ "RTMIN+0", 0, SIGRTMIN },
		{ "RTMIN+3", 0, SIGRTMIN + 3 },
		{ "sigrtmin+30", 0, SIGRTMAX },
		{ "RTMAX", 0, SIGRTMAX },
		{ "RTMAX-1", 0, SIGRTMAX - 1 },
		{ "SIGRTMAX-30", 0, SIGRTMIN },
		{ "34", 0, SIGRTMIN },
		{ "64", 0, SIGRTMAX },
		{ "0", -ERANGE, 0 },
		{ "32", -ERANGE, 0 }, /* libc's own */
		{ "33", -ERANGE, 0 },
		{ "65", -ERANGE, 0 },
		{ "4294967311", -ERANGE, 0 }, /* 2^32 + 15 */
		{ "18446744073709551631", -ERANGE, 0 },
		{ "RTMIN+31", -ERANGE, 0 },
		{ "RTMAX-31", -ERANGE, 0 },
		{ "RTMIN+99999999999999999999", -ERANGE, 0 },
		{ "RTMIN-1", -EINVAL, 0 },
		{ "RTMAX+1", -EINVAL, 0 },
		{ "RTMIN+", -EINVAL, 0 },
		{ "RTMIN+-1", -EINVAL, 0 },
		{ "RTMIN 3", -EINVAL, 0 },
		{ "RTMINX", -EINVAL, 0 },
		{ "RT", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "SIG", -EINVAL, 0 },
		{ "SIGSIGTERM", -EINVAL, 0 },
		{ "SIG15", -EINVAL, 0 },
		{ "-15", -EINVAL, 0 },
		{ "TERMX", -EINVAL, 0 },
		{ " TERM", -EINVAL, 0 },
		{ "TERM ", -EINVAL, 0 },
		{ "15 ", -EINVAL, 0 },
		{ "EXIT", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int signo = UNTOUCHED;
		int r = parse_signal(rows[i].text, &signo);
		ck_assert_msg(r == rows[i].r, "[%s]: %d", rows[i].text, r);
		ck_assert_int_eq(signo, r < 0 ? UNTOUCHED : rows[i].signo);
	}
}
END_TEST

START_TEST(test_signal_names)
{
	static const struct {
		int signo;
		const char *name;
	} rows[] = {
		{ SIGHUP, "SIGHUP" },
		{ SIGSEGV, "SIGSEGV" },
		{ SIGSYS, "SIGSYS" },
		{ 0, "signal 0" },
		{ 32, "signal 32" },
		{ 33, "signal 33" },
		{ 34, "SIGRTMIN" },
		{ 37, "SIGRTMIN+3" },
		{ 64, "SIGRTMIN+30" },
		{ 65, "signal 65" },
		{ 99, "signal 99" },
		{ -1, "signal -1" },
		{ 99999999, "signal 99999999" },
	};
	char buf[SIGNAL_NAME_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		ck_assert_str_eq(signal_name(rows[i].signo, buf), rows[i].name);
	/* cut, but whole memory */
	ck_assert_int_eq(strlen(signal_name(INT32_MIN, buf)), 15);
}
END_TEST

START_TEST(test_each_signal_comes_back)
{
	char buf[SIGNAL_NAME_MAX];
	int n = 0;

	for (int signo = 1; signo <= SIGRTMAX; signo++) {
		int back = 0, number = 0;
		char digits[16];

		if (signo > SIGSYS && signo < SIGRTMIN)
			continue;
		ck_assert_int_eq(parse_signal(signal_name(signo, buf), &back),
				 0);
		ck_assert_int_eq(back, signo);
		(void)snprintf(digits, sizeof(digits), "%d", signo);
		ck_assert_int_eq(parse_signal(digits, &number), 0);
		ck_assert_int_eq(number, signo);
		n++;
	}
	ck_assert_int_eq(n, 31 + 31);
}
END_TEST

START_TEST(test_cpus)
{
	static const struct {
		const char *text;
		int r;
		int cpus[8]; /* up to the -1 */
	} rows[] = {
		{ "0", 0, { 0, -1 } },
		{ "0-3,8", 0, { 0, 1, 2, 3, 8, -1 } },
		{ "0-3 8", 0, { 0, 1, 2, 3, 8, -1 } },
		{ "8 \t, 1", 0, { 1, 8, -1 } },
		{ "1,1,0-1", 0, { 0, 1, -1 } },
		{ "5-5", 0, { 5, -1 } },
		{ "1022-1023", 0, { 1022, 1023, -1 } },
		{ "1024", -ERANGE, { -1 } },
		{ "0,1024", -ERANGE, { -1 } },
		{ "0-1024", -ERANGE, { -1 } },
		{ "0-18446744073709551615", -ERANGE, { -1 } },
		{ "0-18446744073709551616", -ERANGE, { -1 } },
		{ "18446744073709551616-0", -ERANGE, { -1 } },
		{ "1024,x", -EINVAL, { -1 } },
		{ "3-1", -EINVAL, { -1 } },
		{ "", -EINVAL, { -1 } },
		{ " 1", -EINVAL, { -1 } },
		{ "1 ", -EINVAL, { -1 } },
		{ "1,", -EINVAL, { -1 } },
		{ ",1", -EINVAL, { -1 } },
		{ "1,,2", -EINVAL, { -1 } },
		{ "1-", -EINVAL, { -1 } },
		{ "-1", -EINVAL, { -1 } },
		{ "1-2-3", -EINVAL, { -1 } },
		{ "1 - 2", -EINVAL, { -1 } },
		{ "0x3", -EINVAL, { -1 } },
		{ "all", -EINVAL, { -1 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cpu_set_t set, wanted;

		memset(&set, 0x5a, sizeof(set));
		wanted = set;
		int r = parse_cpus(rows[i].text, &set);
		ck_assert_msg(r == rows[i].r, "[%s]: %d", rows[i].text, r);
		if (r == 0)
			CPU_ZERO(&wanted);
		for (const int *cpu = rows[i].cpus; *cpu >= 0; cpu++)
			CPU_SET((size_t)*cpu, &wanted);
		ck_assert_msg(CPU_EQUAL(&set, &wanted), "[%s]", rows[i].text);
	}
}
END_TEST

START_TEST(test_usec_text)
{
	static const struct {
		uint64_t usec;
		const char *text;
	} rows[] = {
		{ 0, "0s" },
		{ 1, "1us" },
		{ 999, "999us" },
		{ 1000, "0.001s" },
		{ 1999, "0.001s" },
		{ 9999, "0.009s" },
		{ 10000, "0.01s" },
		{ 20000, "0.02s" },
		{ 25999, "0.025s" },
		{ 99999, "0.099s" },
		{ 100000, "0.1s" },
		{ 400000, "0.4s" },
		{ 437999, "0.43s" },
		{ 999999, "0.99s" },
		{ 1000000, "1s" },
		{ 2049999, "2s" },
		{ 2500000, "2.5s" },
		{ 9999999, "9.9s" },
		{ 10000000, "10s" },
		{ 59999999, "59s" },
		{ USEC_PER_MINUTE, "1m" },
		{ USEC_PER_MINUTE + 999999, "1m" },
		{ 90 * USEC_PER_SEC, "1m 30s" },
		{ 12 * USEC_PER_MINUTE, "12m" },
		{ USEC_PER_HOUR - 1, "59m 59s" },
		{ USEC_PER_HOUR, "1h" },
		{ USEC_PER_HOUR + 59 * USEC_PER_SEC, "1h" },
		{ USEC_PER_DAY - 1, "23h 59m" },
		{ USEC_PER_DAY, "1d" },
		{ 3 * USEC_PER_DAY + 2 * USEC_PER_HOUR + 5, "3d 2h" },
		{ 3 * USEC_PER_DAY + 59 * USEC_PER_MINUTE, "3d" },
		{ USEC_INFINITY - 1, "213503982d 8h" },
		{ USEC_INFINITY, "infinity" },
	};
	char buf[USEC_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		ck_assert_str_eq(usec_text(rows[i].usec, buf), rows[i].text);
}
END_TEST

/* What is shown can be read again, and is never more than it was; below 1 ms
 * it is exact, above 10 ms less than a tenth is lost. */
START_TEST(test_usec_text_comes_back)
{
	struct rng r = { 3 };
	char buf[USEC_TEXT_MAX];

	for (int i = 0; i < 20000; i++) {
		unsigned n_bits = 1 + (unsigned)rng_below(&r, 64);
		uint64_t usec = rng_next(&r) >> (64 - n_bits);
		uint64_t back = 0;

		ck_assert_int_eq(parse_usec(usec_text(usec, buf), &back), 0);
		ck_assert_uint_le(back, usec);
		if (usec < USEC_PER_MSEC)
			ck_assert_uint_eq(back, usec);
		else if (usec < 10 * USEC_PER_MSEC)
			ck_assert_uint_lt(usec - back, USEC_PER_MSEC);
		else
			ck_assert_uint_lt(usec - back, usec / 10);
	}
}
END_TEST

/* No text makes a parser do anything but answer; the sanitizers watch. */
START_TEST(test_any_text)
{
	static const char letters[] = "0189.-+, \tsmhdukMGTBRTINAXinfy";
	struct rng r = { 4 };
	uint64_t u;
	int64_t i;
	unsigned o;
	int signo;
	bool b;
	cpu_set_t cpus;

	for (int k = 0; k < 50000; k++) {
		char text[32];
		size_t n = rng_below(&r, sizeof(text));

		for (size_t j = 0; j < n; j++)
			text[j] = letters[rng_below(&r, sizeof(letters) - 1)];
		text[n] = '\0';
		const int results[] = {
			parse_u64(text, 0, 100, &u), parse_i64(text, -1, 1, &i),
			parse_bool(text, &b),	     parse_usec(text, &u),
			parse_size(text, &u),	     parse_octal(text, &o),
			parse_signal(text, &signo),  parse_cpus(text, &cpus),
		};
		for (size_t j = 0; j < ARRAY_SIZE(results); j++)
			if (results[j] != 0 && results[j] != -EINVAL &&
			    results[j] != -ERANGE)
				ck_abort_msg("[%s]: %d", text, results[j]);
	}
}
END_TEST

UNIT_MAIN("parse", test_u64, test_i64, test_bool, test_usec, test_usec_errors,
	  test_size, test_octal, test_signals, test_signal_names,
	  test_each_signal_comes_back, test_cpus, test_usec_text,
	  test_usec_text_comes_back, test_any_text)
