#include "supervisor/cli/cli.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/fakedaemon.h"
#include "tests/lib/unit.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"

#define DEADLINE_MSEC	 15000
#define FOLLOW_POLL_USEC (100 * USEC_PER_MSEC)

static void append(const char *path, const char *text, size_t length)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fd_write_all(fd, text, length), 0);
	close(fd);
}

static void append_text(const char *path, const char *text)
{
	append(path, text, strlen(text));
}

/* path.N becomes path.N+1 for all N, path becomes path.1, and is new. */
static void rotate(const char *path, unsigned keep)
{
	char from[256], to[256];

	for (unsigned n = keep; n > 0; n--) {
		snprintf(to, sizeof(to), "%s.%u", path, n);
		snprintf(from, sizeof(from), "%s.%u", path, n - 1);
		(void)rename(n == 1 ? path : from, to);
	}
	append_text(path, "");
}

static const char *log_file;

static int open_log(sd_bus_message *m, enum verb_id verb, sd_bus_error *error)
{
	const char *worker, *stream;
	char path[256];
	int fd, r;

	ck_assert_int_eq(verb, VERB_LOGS);
	sd_bus_message_read(m, "ss", &worker, &stream);
	if (strcmp(worker, "web") != 0)
		return sd_bus_error_setf(error, REEVE_ERROR_NO_SUCH_WORKER,
					 "no worker \"%s\"", worker);
	snprintf(path, sizeof(path), "%s%s", log_file,
		 strcmp(stream, "stderr") == 0 ? ".err" : "");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return sd_bus_error_setf(error, REEVE_ERROR_NOT_CAPTURED,
					 "%s is not captured", stream);
	r = sd_bus_reply_method_return(m, "hs", fd, path);
	close(fd);
	return r;
}

START_TEST(test_verb)
{
	struct fake_daemon daemon;
	struct cli_result result;
	char errors[256];

	log_file =
		unit_file("log", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n\x1b[m");
	snprintf(errors, sizeof(errors), "%s.err", log_file);
	append_text(errors, "oops\n");
	fake_start(&daemon, open_log);

	static const struct {
		const char *args[4];
		const char *out;
	} cases[] = {
		/* ten lines; bytes as they are when it is no terminal */
		{ { "logs", "web" }, "3\n4\n5\n6\n7\n8\n9\n10\n11\n\x1b[m" },
		{ { "logs", "-n1", "web" }, "\x1b[m" },
		{ { "logs", "web", "-n", "0" }, "" },
		{ { "logs", "--stderr", "web" }, "oops\n" },
		{ { "tail", "web", "stderr" }, "oops\n" },
		{ { "tail", "-2", "web", "stdout" }, "11\n\x1b[m" },
		{ { "logs", "--json", "-n2", "web" },
		  "{\"worker\":\"web\",\"stream\":\"stdout\",\"text\":\"11\"}\n"
		  "{\"worker\":\"web\",\"stream\":\"stdout\",\"text\":"
		  "\"\\u001b[m\"}\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *const *a = cases[i].args;

		result = fake_run(&daemon, a[0], a[1], a[2], a[3], NULL);
		ck_assert_int_eq(result.exit_code, CLI_OK);
		ck_assert_str_eq(result.out, cases[i].out);
		ck_assert_str_eq(result.err, "");
		cli_result_done(&result);
	}
	result = fake_run(&daemon, "logs", "nobody", NULL);
	ck_assert_int_eq(result.exit_code, CLI_NO_WORKER);
	cli_result_done(&result);
	unlink(errors);
	result = fake_run(&daemon, "logs", "web", "stderr", NULL);
	ck_assert_int_eq(result.exit_code, CLI_FAILED);
	ck_assert_ptr_nonnull(strstr(result.err, "stderr is not captured"));
	cli_result_done(&result);
	fake_stop(&daemon);
}
END_TEST

START_TEST(test_wrong_arguments)
{
	static const char *const cases[][3] = {
		{ NULL },
		{ "web", "nonsense" },
		{ "web", "stdout", "more" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cli_result result =
			fake_run(NULL, "logs", cases[i][0], cases[i][1],
				 cases[i][2], NULL);

		ck_assert_int_eq(result.exit_code, CLI_USAGE);
		ck_assert_ptr_nonnull(
			strstr(result.err, "usage: reeve logs WORKER"));
		cli_result_done(&result);
	}
}
END_TEST

/* ---- following ---------------------------------------------------------- */

struct follower {
	pid_t pid;
	int out; /* what it writes */
	struct buf seen;
};

static void follow(struct follower *f, const struct fake_daemon *daemon)
{
	char *argv[] = { strdup("reeve"),
			 strdup("-s"),
			 strdup(daemon->socket),
			 strdup("logs"),
			 strdup("-fn1"),
			 strdup("web"),
			 NULL };
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	f->seen = BUF_INIT(0);
	f->out = fds[0];
	f->pid = fork();
	ck_assert_int_ge(f->pid, 0);
	if (f->pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		_exit(cli_run((int)ARRAY_SIZE(argv) - 1, argv));
	}
	close(fds[1]);
	for (size_t i = 0; i < ARRAY_SIZE(argv); i++)
		free(argv[i]);
}

/* Reads on until the text is there, or fails the test. */
static void expect(struct follower *f, const char *text)
{
	struct pollfd p = { .fd = f->out, .events = POLLIN };
	char data[4096];

	while (!strstr(buf_text(&f->seen), text)) {
		ssize_t n;

		ck_assert_msg(poll(&p, 1, DEADLINE_MSEC) == 1, "no \"%s\"",
			      text);
		n = read(f->out, data, sizeof(data));
		ck_assert_int_gt(n, 0);
		buf_append(&f->seen, data, (size_t)n);
	}
}

/* Its exit code, or -N. */
static int end_of(struct follower *f)
{
	int status;

	ck_assert_int_eq(waitpid(f->pid, &status, 0), f->pid);
	close(f->out);
	buf_done(&f->seen);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

START_TEST(test_follow)
{
	struct fake_daemon daemon;
	struct follower f;
	struct buf all = BUF_INIT(0);
	char line[64];

	log_file = unit_file("log", "old\nlast\n");
	fake_start(&daemon, open_log);
	follow(&f, &daemon);
	expect(&f, "last\n");
	append_text(log_file, "more");
	expect(&f, "more");
	append_text(log_file, " of it\n");
	expect(&f, "more of it\n");
	/* rotations at every speed; nothing is lost, nothing comes twice */
	buf_puts(&all, "last\nmore of it\n");
	for (int i = 0; i < 300; i++) {
		snprintf(line, sizeof(line), "line %d\n", i);
		append_text(log_file, line);
		buf_puts(&all, line);
		if (i % 7 == 0)
			rotate(log_file, 100);
		if (i % 100 == 0)
			expect(&f, line);
	}
	append_text(log_file, "the end\n");
	buf_puts(&all, "the end\n");
	expect(&f, "the end\n");
	ck_assert_msg(strcmp(buf_text(&f.seen), buf_text(&all)) == 0,
		      "lines are missing or stand twice");
	kill(f.pid, SIGINT);
	ck_assert_int_eq(end_of(&f), -SIGINT);
	buf_done(&all);
	fake_stop(&daemon);
}
END_TEST

/* logrotate moves the file away first, and tells the daemon a while later. */
START_TEST(test_follow_while_there_is_no_log)
{
	struct fake_daemon daemon;
	struct follower f;
	char moved[256];
	uint64_t begin;

	log_file = unit_file("log", "last\n");
	snprintf(moved, sizeof(moved), "%s.1", log_file);
	fake_start(&daemon, open_log);
	follow(&f, &daemon);
	expect(&f, "last\n");
	ck_assert_int_eq(rename(log_file, moved), 0);
	/* past the time after which the daemon is asked */
	begin = clock_monotonic_usec();
	for (int i = 0; clock_monotonic_usec() - begin < 12 * FOLLOW_POLL_USEC;
	     i++) {
		char line[32];

		snprintf(line, sizeof(line), "still %d\n", i);
		append_text(moved, line);
		expect(&f, line);
	}
	append_text(log_file, "new\n");
	expect(&f, "new\n");
	kill(f.pid, SIGINT);
	ck_assert_int_eq(end_of(&f), -SIGINT);
	fake_stop(&daemon);
}
END_TEST

START_TEST(test_follow_until_the_daemon_goes)
{
	struct fake_daemon daemon;
	struct follower f;

	log_file = unit_file("log", "last\n");
	fake_start(&daemon, open_log);
	follow(&f, &daemon);
	expect(&f, "last\n");
	append_text(log_file, "last words\n");
	fake_stop(&daemon);
	expect(&f, "last words\n");
	ck_assert_int_eq(end_of(&f), CLI_NOT_RUNNING);
}
END_TEST

/* `reeve logs -f web | head -1` */
START_TEST(test_nobody_reads)
{
	struct fake_daemon daemon;
	struct follower f;

	log_file = unit_file("log", "last\n");
	fake_start(&daemon, open_log);
	follow(&f, &daemon);
	expect(&f, "last\n");
	close(f.out);
	f.out = -1;
	append_text(log_file, "more\n");
	ck_assert_int_eq(end_of(&f), -SIGPIPE);
	fake_stop(&daemon);
}
END_TEST

UNIT_MAIN("cli_logs", test_verb, test_wrong_arguments, test_follow,
	  test_follow_while_there_is_no_log, test_follow_until_the_daemon_goes,
	  test_nobody_reads)
