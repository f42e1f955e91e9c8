#include "supervisor/daemon/notify.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/rng.h"

/* Decodes text from memory of just its size. */
static int parse(const char *text, size_t len, struct notify_message *ret)
{
	char *exact = malloc(len);
	int r;

	ck_assert(exact || len == 0);
	if (len > 0)
		memcpy(exact, text, len);
	r = notify_parse(exact, len, ret);
	free(exact);
	return r;
}

START_TEST(test_fields)
{
	static const struct {
		const char *text;
		unsigned fields, n_bad;
	} cases[] = {
		{ "", 0, 0 },
		{ "\n", 0, 0 },
		{ "\n\n\n", 0, 0 },
		{ "READY=1", NOTIFY_READY, 0 },
		{ "READY=1\n", NOTIFY_READY, 0 },
		{ "READY=1\nSTATUS=up\nSTOPPING=1\n",
		  NOTIFY_READY | NOTIFY_STATUS | NOTIFY_STOPPING, 0 },
		{ "RELOADING=1\nMONOTONIC_USEC=5\n",
		  NOTIFY_RELOADING | NOTIFY_MONOTONIC, 0 },
		{ "WATCHDOG=1", NOTIFY_WATCHDOG, 0 },
		{ "WATCHDOG=trigger", NOTIFY_WATCHDOG_TRIGGER, 0 },
		{ "WATCHDOG_USEC=5", NOTIFY_WATCHDOG_USEC, 0 },
		{ "EXTEND_TIMEOUT_USEC=5", NOTIFY_EXTEND_TIMEOUT, 0 },
		{ "MAINPID=5", NOTIFY_MAINPID, 0 },
		{ "ERRNO=5", NOTIFY_ERRNO, 0 },
		{ "FDSTORE=1\nFDNAME=x\nFDPOLL=0", NOTIFY_FDSTORE, 0 },
		{ "BARRIER=1", NOTIFY_BARRIER, 0 },
		{ "X_REEVE_TASKS=5", NOTIFY_TASKS, 0 },
		/* others' words */
		{ "BUSERROR=org.x\nX_OTHER=1\nEXIT_STATUS=3", 0, 0 },
		{ "READY", 0, 0 },
		{ "=1", 0, 0 },
		{ "=", 0, 0 },
		{ "ready=1", 0, 0 },
		{ " READY=1", 0, 0 },
		{ "READY =1", 0, 0 },
		{ "READY1=1", 0, 0 },
		{ "READ=1", 0, 0 },
		/* not of the form */
		{ "READY=", 0, 1 },
		{ "READY=0", 0, 1 },
		{ "READY=11", 0, 1 },
		{ "READY=1 ", 0, 1 },
		{ "READY=1\r\nREADY=1", NOTIFY_READY, 1 },
		{ "READY==1", 0, 1 },
		{ "WATCHDOG=Trigger", 0, 1 },
		{ "WATCHDOG=", 0, 1 },
		{ "STOPPING=yes\nRELOADING=x\nBARRIER=2\nFDSTORE=0", 0, 4 },
		{ "MAINPID=x\nSTATUS=fine", NOTIFY_STATUS, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct notify_message m;

		ck_assert_int_eq(
			parse(cases[i].text, strlen(cases[i].text), &m), 0);
		ck_assert_msg(m.fields == cases[i].fields &&
				      m.n_bad == cases[i].n_bad,
			      "\"%s\": %x, %u bad", cases[i].text, m.fields,
			      m.n_bad);
	}
}
END_TEST

START_TEST(test_numbers)
{
	static const struct {
		const char *name;
		enum notify_field field;
		const char *good[3], *bad[8];
	} cases[] = {
		{ "WATCHDOG_USEC",
		  NOTIFY_WATCHDOG_USEC,
		  { "0", "18446744073709551615", "00000000000000000001" },
		  { "", "18446744073709551616", "-1", "+1", " 1", "1 ", "0x1",
		    "1s" } },
		{ "EXTEND_TIMEOUT_USEC",
		  NOTIFY_EXTEND_TIMEOUT,
		  { "0", "18446744073709551615", "7" },
		  { "", "18446744073709551616", "infinity", "1.5",
		    "000000000000000000001", "1\t", "99999999999999999999",
		    "1e3" } },
		{ "MONOTONIC_USEC",
		  NOTIFY_MONOTONIC,
		  { "0", "18446744073709551615", "7" },
		  { "", "18446744073709551616", "-0", "x", "1,0", "..", "1-1",
		    "=" } },
		{ "MAINPID",
		  NOTIFY_MAINPID,
		  { "1", "2147483647", "4194304" },
		  { "", "0", "2147483648", "-1", "-2147483647", "4294967297",
		    "18446744073709551617", "1 2" } },
		{ "ERRNO",
		  NOTIFY_ERRNO,
		  { "0", "2147483647", "2" },
		  { "", "-2", "2147483648", "ENOENT", "4294967296", "2.", "_",
		    "2\r" } },
		{ "X_REEVE_TASKS",
		  NOTIFY_TASKS,
		  { "0", "4294967295", "1" },
		  { "", "4294967296", "-1", "1K", "18446744073709551616", "all",
		    "1 ", "9223372036854775808" } },
	};
	char text[80];
	struct notify_message m;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t k = 0; k < 3; k++) {
			snprintf(text, sizeof(text), "%s=%s", cases[i].name,
				 cases[i].good[k]);
			ck_assert_int_eq(parse(text, strlen(text), &m), 0);
			ck_assert_msg(m.fields == cases[i].field && !m.n_bad,
				      "%s", text);
		}
		for (size_t k = 0; k < 8; k++) {
			snprintf(text, sizeof(text), "%s=%s", cases[i].name,
				 cases[i].bad[k]);
			ck_assert_int_eq(parse(text, strlen(text), &m), 0);
			ck_assert_msg(!m.fields && m.n_bad == 1, "%s", text);
		}
	}
}
END_TEST

START_TEST(test_values)
{
	static const char text[] = "MAINPID=4711\nERRNO=2\nWATCHDOG_USEC=1\n"
				   "EXTEND_TIMEOUT_USEC=2\nMONOTONIC_USEC=3\n"
				   "X_REEVE_TASKS=4\nSTATUS=a=b c";
	struct notify_message m;

	ck_assert_int_eq(parse(text, strlen(text), &m), 0);
	ck_assert_int_eq(m.mainpid, 4711);
	ck_assert_int_eq(m.error, 2);
	ck_assert_uint_eq(m.watchdog_usec, 1);
	ck_assert_uint_eq(m.extend_timeout_usec, 2);
	ck_assert_uint_eq(m.monotonic_usec, 3);
	ck_assert_uint_eq(m.tasks, 4);
	ck_assert_str_eq(m.status, "a=b c");
	ck_assert_uint_eq(m.n_bad, 0);
}
END_TEST

START_TEST(test_given_twice)
{
	static const char text[] = "MAINPID=1\nMAINPID=2\nMAINPID=x\n"
				   "STATUS=longer\nSTATUS=b\n"
				   "X_REEVE_TASKS=4\nX_REEVE_TASKS=5";
	static const char much[] = "X_REEVE_TASKS=4294967295\nX_REEVE_TASKS=9";
	struct notify_message m;

	ck_assert_int_eq(parse(text, strlen(text), &m), 0);
	ck_assert_int_eq(m.mainpid, 2);
	ck_assert_uint_eq(m.n_bad, 1);
	ck_assert_str_eq(m.status, "b");
	ck_assert_uint_eq(m.tasks, 9);
	ck_assert_int_eq(parse(much, strlen(much), &m), 0);
	ck_assert_uint_eq(m.tasks, UINT32_MAX);
}
END_TEST

/* What fits is kept; what does not is cut at a whole character. */
START_TEST(test_status_length)
{
	static const struct {
		const char *tail;
		size_t at, kept; /* where the tail begins; length kept */
	} cases[] = {
		{ "", NOTIFY_STATUS_MAX - 1, NOTIFY_STATUS_MAX - 1 },
		{ "x", NOTIFY_STATUS_MAX - 1, NOTIFY_STATUS_MAX - 1 },
		{ "\xc3\xa4", NOTIFY_STATUS_MAX - 3, NOTIFY_STATUS_MAX - 1 },
		{ "\xc3\xa4", NOTIFY_STATUS_MAX - 2, NOTIFY_STATUS_MAX - 2 },
		{ "\xe2\x82\xac!", NOTIFY_STATUS_MAX - 4,
		  NOTIFY_STATUS_MAX - 1 },
		{ "\xe2\x82\xac", NOTIFY_STATUS_MAX - 2,
		  NOTIFY_STATUS_MAX - 2 },
		{ "\xf0\x9f\x98\x80", NOTIFY_STATUS_MAX - 4,
		  NOTIFY_STATUS_MAX - 4 },
		/* no UTF-8 at all: hardly shortened */
		{ "\x80\x80\x80\x80\x80\x80\x80\x80", NOTIFY_STATUS_MAX - 5,
		  NOTIFY_STATUS_MAX - 4 },
	};
	char text[NOTIFY_MESSAGE_MAX] = "STATUS=";

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct notify_message m;
		size_t len = 7 + cases[i].at;

		memset(text + 7, 's', cases[i].at);
		memcpy(text + len, cases[i].tail, strlen(cases[i].tail));
		len += strlen(cases[i].tail);
		ck_assert_int_eq(parse(text, len, &m), 0);
		ck_assert_uint_eq(strlen(m.status), cases[i].kept);
		ck_assert_mem_eq(m.status, text + 7, cases[i].kept);
		text[len] = '\n'; /* and with something behind it */
		ck_assert_int_eq(parse(text, len + 1, &m), 0);
		ck_assert_uint_eq(strlen(m.status), cases[i].kept);
	}
}
END_TEST

START_TEST(test_refused)
{
	char huge[NOTIFY_MESSAGE_MAX + 1];
	struct notify_message m = { .tasks = 77 };

	memset(huge, '\n', sizeof(huge));
	memcpy(huge, "READY=1", 7);
	ck_assert_int_eq(parse(huge, NOTIFY_MESSAGE_MAX + 1, &m), -EMSGSIZE);
	ck_assert_int_eq(parse("READY=1\0STOPPING=1", 18, &m), -EBADMSG);
	ck_assert_int_eq(parse("\0READY=1", 8, &m), -EBADMSG);
	ck_assert_uint_eq(m.tasks, 77); /* untouched */
	ck_assert_int_eq(parse(huge, NOTIFY_MESSAGE_MAX, &m), 0);
	ck_assert_uint_eq(m.fields, NOTIFY_READY);
	ck_assert_int_eq(parse("READY=1\0\0", 9, &m), 0);
	ck_assert_uint_eq(m.fields, NOTIFY_READY);
	ck_assert_int_eq(parse("\0\0", 2, &m), 0);
	ck_assert_uint_eq(m.fields, 0);
}
END_TEST

/* Each value in its range, whatever the bytes are. */
START_TEST(test_noise)
{
	static const char *const pieces[] = {
		"READY=1",   "\n",	   "STATUS=", "=",
		"MAINPID=",  "999999",	   "-",	      "X_REEVE_TASKS=",
		"\xff",	     "WATCHDOG=",  "trigger", "ERRNO=",
		"1",	     "\xc3\xa4",   "_USEC",   "\n\n",
		"BARRIER=1", "4294967295", " ",	      "FDSTORE=",
	};
	struct rng rng = { 3 };
	unsigned seen = 0;

	for (int i = 0; i < 100000; i++) {
		char text[200];
		size_t len = 0, n = rng_below(&rng, 12);
		struct notify_message m;

		for (size_t k = 0; k < n; k++) {
			const char *p =
				pieces[rng_below(&rng, ARRAY_SIZE(pieces))];

			memcpy(text + len, p, strlen(p));
			len += strlen(p);
		}
		ck_assert_int_eq(parse(text, len, &m), 0);
		if (m.fields & NOTIFY_MAINPID)
			ck_assert_int_ge(m.mainpid, 1);
		ck_assert_int_ge(m.error, 0);
		ck_assert_uint_lt(strlen(m.status), NOTIFY_STATUS_MAX);
		seen |= m.fields;
	}
	ck_assert_uint_eq(seen & (NOTIFY_READY | NOTIFY_MAINPID | NOTIFY_TASKS |
				  NOTIFY_STATUS | NOTIFY_WATCHDOG_TRIGGER),
			  NOTIFY_READY | NOTIFY_MAINPID | NOTIFY_TASKS |
				  NOTIFY_STATUS | NOTIFY_WATCHDOG_TRIGGER);
}
END_TEST

UNIT_MAIN("notify", test_fields, test_numbers, test_values, test_given_twice,
	  test_status_length, test_refused, test_noise)
