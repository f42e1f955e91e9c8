#include "workers/base/sys/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/buf.h"
#include "workers/base/sys/fd.h"

/* A writer that collects what it gets. */
static void collect(void *userdata, const char *line, size_t len)
{
	(void)buf_append(userdata, line, len);
}

/* A writer that notes how many lines there were, and their last length. */
struct seen {
	size_t n_lines, len;
};

static void note(void *userdata, const char *line, size_t len)
{
	struct seen *seen = userdata;

	ck_assert_int_eq(line[len - 1], '\n');
	seen->n_lines++;
	seen->len = len;
}

static struct buf text;

static void begin(enum log_format format, enum log_level max)
{
	text = BUF_INIT(0);
	log_init("reeved", format, max);
	log_set_writer(collect, &text);
}

static void end(void)
{
	log_set_writer(NULL, NULL);
	buf_done(&text);
}

START_TEST(test_prefix)
{
	begin(LOG_FORMAT_PREFIX, LOG_LEVEL_DEBUG);
	log_critical("a");
	log_error("b=%d", 2);
	log_warning("c");
	log_notice("d");
	log_info("worker=%s pid=%d", "web:0", 12);
	log_debug("%s", "");
	ck_assert_str_eq(buf_text(&text), "<2>a\n<3>b=2\n<4>c\n<5>d\n"
					  "<6>worker=web:0 pid=12\n<7>\n");
	end();
}
END_TEST

START_TEST(test_plain)
{
	begin(LOG_FORMAT_PLAIN, LOG_LEVEL_INFO);
	log_error("cannot open %s", "x");
	log_init(NULL, LOG_FORMAT_PLAIN, LOG_LEVEL_INFO);
	log_info("hello");

	char wanted[256];
	(void)snprintf(wanted, sizeof(wanted),
		       "reeved: cannot open x\n%s: hello\n",
		       program_invocation_short_name);
	ck_assert_str_eq(buf_text(&text), wanted);
	end();
}
END_TEST

START_TEST(test_time)
{
	static const struct {
		enum log_level level;
		const char *rest;
	} rows[] = {
		{ LOG_LEVEL_CRITICAL, "critical text\n" },
		{ LOG_LEVEL_ERROR, "error text\n" },
		{ LOG_LEVEL_WARNING, "warning text\n" },
		{ LOG_LEVEL_NOTICE, "notice text\n" },
		{ LOG_LEVEL_INFO, "info text\n" },
		{ LOG_LEVEL_DEBUG, "debug text\n" },
	};

	ck_assert_int_eq(setenv("TZ", "XYZ-5:30", 1), 0);
	tzset();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct tm tm = { .tm_isdst = -1 };

		begin(LOG_FORMAT_TIME, LOG_LEVEL_DEBUG);
		time_t before = time(NULL);
		log_write(rows[i].level, "text");
		/* 2026-01-31 12:00:00.123 info text */
		const char *p =
			strptime(buf_text(&text), "%Y-%m-%d %H:%M:%S.", &tm);
		ck_assert_ptr_nonnull(p);
		ck_assert_uint_eq(strspn(p, "0123456789"), 3);
		ck_assert_int_eq(p[3], ' ');
		ck_assert_str_eq(p + 4, rows[i].rest);
		time_t shown = mktime(&tm);
		ck_assert_int_ge(shown, before);
		ck_assert_int_le(shown, time(NULL) + 1);
		end();
	}
}
END_TEST

START_TEST(test_levels)
{
	begin(LOG_FORMAT_PREFIX, LOG_LEVEL_WARNING);
	log_warning("at the limit");
	log_notice("one beyond");
	log_set_level(LOG_LEVEL_NOTICE);
	log_notice("now");
	log_info("not yet");
	log_set_level(LOG_LEVEL_CRITICAL);
	log_error("no more");
	log_critical("always");
	ck_assert_str_eq(buf_text(&text),
			 "<4>at the limit\n<5>now\n<2>always\n");
	end();
}
END_TEST

START_TEST(test_control_characters)
{
	begin(LOG_FORMAT_PREFIX, LOG_LEVEL_INFO);
	log_info("a\n<0>forged\r\t\x1b[2J\x7f\xff\xc3\xa4");
	ck_assert_str_eq(buf_text(&text),
			 "<6>a\\n<0>forged\\r\\t\\x1b[2J\\x7f\\xff\xc3\xa4\n");
	end();
}
END_TEST

/* Texts that make the line as long as may be, and one longer. */
START_TEST(test_long_lines)
{
	static char letters[3 * LOG_LINE_MAX];
	const int room = LOG_LINE_MAX - 3 - 1; /* "<6>" and the newline */

	memset(letters, 'x', sizeof(letters) - 1);
	begin(LOG_FORMAT_PREFIX, LOG_LEVEL_INFO);
	log_info("%.*s", room, letters);
	ck_assert_uint_eq(text.len, LOG_LINE_MAX);
	ck_assert_ptr_null(strstr(buf_text(&text), "..."));

	for (int n = room + 1; n < (int)sizeof(letters); n += n / 2) {
		buf_clear(&text);
		log_info("%.*s", n, letters);
		ck_assert_uint_eq(text.len, LOG_LINE_MAX);
		ck_assert_str_eq(buf_text(&text) + LOG_LINE_MAX - 5, "x...\n");
	}
	end();
}
END_TEST

START_TEST(test_long_lines_of_escapes)
{
	static char bells[LOG_LINE_MAX];
	struct seen seen = { 0 };

	memset(bells, '\a', sizeof(bells) - 1);
	begin(LOG_FORMAT_PREFIX, LOG_LEVEL_INFO);
	log_info("%s", bells);
	ck_assert_uint_le(text.len, LOG_LINE_MAX);
	ck_assert_uint_gt(text.len, LOG_LINE_MAX - 4);
	ck_assert_str_eq(buf_text(&text) + text.len - 8, "\\x07...\n");
	end();

	/* in each format, with the longest prefix too */
	for (enum log_format f = LOG_FORMAT_AUTO; f <= LOG_FORMAT_PLAIN; f++) {
		log_init(bells, f, LOG_LEVEL_INFO);
		log_set_writer(note, &seen);
		log_critical("%s", bells);
		ck_assert_uint_le(seen.len, LOG_LINE_MAX);
		ck_assert_uint_gt(seen.len, LOG_LINE_MAX - 4);
		log_set_writer(NULL, NULL);
	}
	ck_assert_uint_eq(seen.n_lines, 4);
}
END_TEST

START_TEST(test_errno_survives)
{
	begin(LOG_FORMAT_PREFIX, LOG_LEVEL_INFO);
	errno = ENOENT;
	log_info("%m, %s", "yes");
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_str_eq(buf_text(&text),
			 "<6>No such file or directory, yes\n");
	end();

	/* also when the fd fails */
	int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(dup2(full, STDERR_FILENO), STDERR_FILENO);
	errno = ENOENT;
	log_info("lost");
	int after = errno;
	ck_assert_int_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	fd_close(full);
	fd_close(saved);
	ck_assert_int_eq(after, ENOENT);
}
END_TEST

/* --- the fd --------------------------------------------------------------- */

static void log_by_default(_unused_ void *arg)
{
	log_debug("not shown");
	log_info("shown");
	log_init("reeved", LOG_FORMAT_PLAIN, LOG_LEVEL_DEBUG);
	log_debug("debug");
}

START_TEST(test_without_init)
{
	char *output;

	ck_assert_int_eq(unit_fork(log_by_default, NULL, &output), 0);
	ck_assert_str_eq(output, "<6>shown\nreeved: debug\n");
	free(output);
}
END_TEST

static void log_to_a_terminal(_unused_ void *arg)
{
	char line[256] = "";
	int master, slave;

	if (openpty(&master, &slave, NULL, NULL, NULL) < 0)
		_exit(1);
	if (dup2(slave, STDERR_FILENO) < 0)
		_exit(2);
	log_init("reeved", LOG_FORMAT_AUTO, LOG_LEVEL_INFO);
	log_info("text");
	if (read(master, line, sizeof(line) - 1) < 0)
		_exit(3);
	(void)printf("%s", line);
}

START_TEST(test_auto_on_a_terminal)
{
	struct tm tm = { 0 };
	char *output;

	ck_assert_int_eq(unit_fork(log_to_a_terminal, NULL, &output), 0);
	const char *p = strptime(output, "%Y-%m-%d %H:%M:%S.", &tm);
	ck_assert_msg(p != NULL, "%s", output);
	ck_assert_str_eq(p + 3, " info text\r\n"); /* \r is the terminal's */
	free(output);
}
END_TEST

static void log_to_nobody(_unused_ void *arg)
{
	int fds[2];
	char byte = 0;

	(void)sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN },
			NULL);
	close(STDERR_FILENO);
	log_error("closed");
	if (pipe(fds) < 0 || dup2(fds[1], STDERR_FILENO) < 0)
		_exit(1);
	if (fd_set_nonblocking(STDERR_FILENO, true) < 0)
		_exit(2);
	while (write(STDERR_FILENO, &byte, 1) == 1)
		;
	log_error("full");
	close(fds[0]);
	log_error("without a reader");
}

START_TEST(test_a_sink_that_fails)
{
	ck_assert_int_eq(unit_fork(log_to_nobody, NULL, NULL), 0);
}
END_TEST

/* Each read of a packet pipe gives what one write(2) wrote. */
static void log_to_packets(_unused_ void *arg)
{
	char packet[LOG_LINE_MAX + 1];
	int fds[2];
	ssize_t n;

	if (pipe2(fds, O_DIRECT | O_CLOEXEC) < 0 ||
	    dup2(fds[1], STDERR_FILENO) < 0)
		_exit(1);
	log_info("%s %d\n", "one", 1);
	log_init("reeved", LOG_FORMAT_PLAIN, LOG_LEVEL_INFO);
	log_info("two");
	for (int i = 0; i < 2; i++) {
		n = read(fds[0], packet, sizeof(packet));
		(void)printf("[%.*s]", (int)n, packet);
	}
}

START_TEST(test_a_line_is_one_write)
{
	char *output;

	ck_assert_int_eq(unit_fork(log_to_packets, NULL, &output), 0);
	ck_assert_str_eq(output, "[<6>one 1\\n\n][reeved: two\n]");
	free(output);
}
END_TEST

enum { THREADS = 4, LINES = 150 };

static void *log_many(void *arg)
{
	const char *letter = arg;
	char line[101];

	memset(line, *letter, sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (int i = 0; i < LINES; i++)
		log_info("%s", line);
	return NULL;
}

static void log_from_threads(_unused_ void *arg)
{
	static char letters[] = "abcd";
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, log_many, &letters[i]))
			_exit(1);
	for (int i = 0; i < THREADS; i++)
		(void)pthread_join(threads[i], NULL);
}

/* What the threads wrote are whole lines of one letter. */
START_TEST(test_lines_of_threads_do_not_mix)
{
	size_t counts[THREADS] = { 0 };
	char *output, *rest = NULL;

	ck_assert_int_eq(unit_fork(log_from_threads, NULL, &output), 0);
	for (char *line = strtok_r(output, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		char letter[] = { line[3], '\0' };

		ck_assert_uint_eq(strlen(line), 103);
		ck_assert_uint_eq(strspn(line + 3, letter), 100);
		counts[letter[0] - 'a']++;
	}
	for (int i = 0; i < THREADS; i++)
		ck_assert_uint_eq(counts[i], LINES);
	free(output);
}
END_TEST

UNIT_MAIN("log", test_prefix, test_plain, test_time, test_levels,
	  test_control_characters, test_long_lines, test_long_lines_of_escapes,
	  test_errno_survives, test_without_init, test_auto_on_a_terminal,
	  test_a_sink_that_fails, test_a_line_is_one_write,
	  test_lines_of_threads_do_not_mix)
