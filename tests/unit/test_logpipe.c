#include "supervisor/daemon/logpipe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/buf.h"

#define NOBODY 65534

static void take(void *userdata, const char *data, size_t len)
{
	ck_assert_uint_ge(len, 1);
	ck_assert_uint_le(len, LOGPIPE_BUFFER);
	ck_assert_int_eq(buf_append(userdata, data, len), 0);
}

static struct logpipe open_pipe(void)
{
	struct logpipe lp = LOGPIPE_INIT;

	ck_assert_int_eq(logpipe_open(&lp), 0);
	return lp;
}

/* Puts len bytes that can be told apart into the pipe, which has to hold
 * them. */
static void fill(const struct logpipe *lp, size_t len)
{
	char *data = malloc(len);

	ck_assert_ptr_nonnull(data);
	for (size_t i = 0; i < len; i++)
		data[i] = (char)('a' + i % 23);
	if (len > 65536)
		ck_assert_int_ge(fcntl(lp->write_fd, F_SETPIPE_SZ, 1 << 20),
				 1 << 20);
	ck_assert_int_eq(write(lp->write_fd, data, len), (ssize_t)len);
	free(data);
}

static void check_filled(const struct buf *b, size_t len)
{
	ck_assert_uint_eq(b->len, len);
	for (size_t i = 0; i < len; i++)
		if (b->data[i] != (char)('a' + i % 23))
			ck_abort_msg("byte %zu is wrong", i);
}

START_TEST(test_ends)
{
	struct logpipe lp = open_pipe();

	ck_assert(fcntl(lp.read_fd, F_GETFL) & O_NONBLOCK);
	ck_assert(!(fcntl(lp.write_fd, F_GETFL) & O_NONBLOCK));
	ck_assert_int_eq(fcntl(lp.read_fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(lp.write_fd, F_GETFD), FD_CLOEXEC);
	logpipe_close(&lp);
	ck_assert_int_eq(lp.read_fd, -1);
	ck_assert_int_eq(lp.write_fd, -1);
	logpipe_close(&lp);
}
END_TEST

START_TEST(test_no_fds_left)
{
	struct logpipe lp = LOGPIPE_INIT;
	struct rlimit before, none;
	int r, next = dup(0); /* the least number that is free */

	close(next);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = (rlim_t)next + 1; /* one of the two */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	r = logpipe_open(&lp);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_int_eq(r, -EMFILE);
	ck_assert_int_eq(lp.read_fd, -1);
}
END_TEST

/* How much is waiting -> what one call reads and says. */
START_TEST(test_budget)
{
	static const struct {
		size_t waiting, read;
		int want;
	} cases[] = {
		{ 0, 0, LOGPIPE_EMPTY },
		{ 1, 1, LOGPIPE_EMPTY },
		{ LOGPIPE_BUFFER - 1, LOGPIPE_BUFFER - 1, LOGPIPE_EMPTY },
		{ LOGPIPE_BUFFER, LOGPIPE_BUFFER, LOGPIPE_EMPTY },
		{ LOGPIPE_BUFFER + 1, LOGPIPE_BUFFER + 1, LOGPIPE_EMPTY },
		{ LOGPIPE_BUDGET - 1, LOGPIPE_BUDGET - 1, LOGPIPE_EMPTY },
		{ LOGPIPE_BUDGET, LOGPIPE_BUDGET, LOGPIPE_MORE },
		{ LOGPIPE_BUDGET + 1, LOGPIPE_BUDGET, LOGPIPE_MORE },
		{ 3 * LOGPIPE_BUDGET, LOGPIPE_BUDGET, LOGPIPE_MORE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct logpipe lp = open_pipe();
		struct buf b = BUF_INIT(0);
		int r;

		fill(&lp, cases[i].waiting);
		ck_assert_int_eq(logpipe_read(&lp, take, &b), cases[i].want);
		check_filled(&b, cases[i].read);
		do
			r = logpipe_read(&lp, take, &b);
		while (r == LOGPIPE_MORE);
		ck_assert_int_eq(r, LOGPIPE_EMPTY);
		check_filled(&b, cases[i].waiting);
		buf_done(&b);
		logpipe_close(&lp);
	}
}
END_TEST

START_TEST(test_end_of_file)
{
	struct logpipe lp = open_pipe();
	struct buf b = BUF_INIT(0);

	fill(&lp, 100);
	logpipe_close_write(&lp);
	ck_assert_int_eq(lp.write_fd, -1);
	ck_assert_int_eq(logpipe_read(&lp, take, &b), LOGPIPE_EMPTY);
	ck_assert_int_eq(logpipe_read(&lp, take, &b), LOGPIPE_EOF);
	ck_assert_int_eq(logpipe_read(&lp, take, &b), LOGPIPE_EOF);
	ck_assert_int_eq(logpipe_drain(&lp, take, &b), LOGPIPE_EOF);
	check_filled(&b, 100);
	buf_done(&b);
	logpipe_close(&lp);
}
END_TEST

START_TEST(test_drain_takes_all)
{
	static const size_t sizes[] = {
		0, 1, LOGPIPE_BUFFER, 65536, LOGPIPE_BUDGET + 1, 1 << 20
	};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct logpipe lp = open_pipe();
		struct buf b = BUF_INIT(0);

		fill(&lp, sizes[i]);
		ck_assert_int_eq(logpipe_drain(&lp, take, &b), LOGPIPE_EMPTY);
		check_filled(&b, sizes[i]);
		buf_done(&b);
		logpipe_close(&lp);
	}
}
END_TEST

/* A child that writes as fast as it can; it dies with the pipe. */
static pid_t start_flood(const struct logpipe *lp)
{
	static char data[4096];
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	close(lp->read_fd);
	while (write(lp->write_fd, data, sizeof(data)) > 0)
		;
	_exit(1);
}

static void end_flood(struct logpipe *lp, pid_t pid)
{
	int status;

	logpipe_close(lp); /* instead of hanging in write(2): */
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
}

/* A grandchild that goes on writing holds up nobody. */
START_TEST(test_flood)
{
	struct logpipe lp = open_pipe();
	struct buf b = BUF_INIT(0);
	pid_t pid = start_flood(&lp);
	int r;

	for (int i = 0; i < 100; i++) {
		r = logpipe_read(&lp, take, &b);
		ck_assert(r == LOGPIPE_EMPTY || r == LOGPIPE_MORE);
		ck_assert_uint_le(b.len, LOGPIPE_BUDGET);
		buf_clear(&b);
		ck_assert_int_eq(logpipe_drain(&lp, take, &b), LOGPIPE_EMPTY);
		ck_assert_uint_le(b.len, 65536);
		buf_clear(&b);
	}
	buf_done(&b);
	end_flood(&lp, pid);
}
END_TEST

struct refill {
	struct logpipe lp;
	size_t taken;
};

static void take_and_refill(void *userdata, const char *data, size_t len)
{
	struct refill *r = userdata;

	r->taken += len;
	ck_assert_int_eq(write(r->lp.write_fd, data, len), (ssize_t)len);
}

/* What is written meanwhile is not drained. */
START_TEST(test_drain_ends)
{
	struct refill r = { .lp = open_pipe() };
	struct buf b = BUF_INIT(0);

	fill(&r.lp, 50000);
	ck_assert_int_eq(logpipe_drain(&r.lp, take_and_refill, &r),
			 LOGPIPE_EMPTY);
	ck_assert_uint_eq(r.taken, 50000);
	ck_assert_int_eq(logpipe_drain(&r.lp, take, &b), LOGPIPE_EMPTY);
	ck_assert_uint_eq(b.len, 50000);
	buf_done(&b);
	logpipe_close(&r.lp);
}
END_TEST

/* As a user without rights, opens its stdout by name, as nginx does. */
static void open_stdout(void *arg)
{
	const struct logpipe *lp = arg;
	char path[32];
	int fd;

	if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
		_exit(2);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", lp->write_fd);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		_exit(errno == EACCES ? 13 : 3);
	_exit(write(fd, "hello\n", 6) == 6 ? 0 : 4);
}

START_TEST(test_owner)
{
	struct logpipe lp;
	struct buf b = BUF_INIT(0);

	if (geteuid() != 0) {
		puts("SKIP: giving a pipe to another user needs root");
		return;
	}
	lp = open_pipe();
	ck_assert_int_eq(unit_fork(open_stdout, &lp, NULL), 13);
	ck_assert_int_eq(logpipe_set_owner(&lp, NOBODY), 0);
	ck_assert_int_eq(unit_fork(open_stdout, &lp, NULL), 0);
	ck_assert_int_eq(logpipe_read(&lp, take, &b), LOGPIPE_EMPTY);
	ck_assert_str_eq(buf_text(&b), "hello\n");
	buf_done(&b);
	logpipe_close(&lp);
}
END_TEST

START_TEST(test_errors)
{
	struct logpipe lp = { .read_fd = -1, .write_fd = -1 };
	struct buf b = BUF_INIT(0);

	ck_assert_int_eq(logpipe_read(&lp, take, &b), -EBADF);
	ck_assert_int_eq(logpipe_drain(&lp, take, &b), -EBADF);
	ck_assert_int_eq(logpipe_set_owner(&lp, 0), -EBADF);
	ck_assert_uint_eq(b.len, 0);
}
END_TEST

UNIT_MAIN("logpipe", test_ends, test_no_fds_left, test_budget, test_end_of_file,
	  test_drain_takes_all, test_flood, test_drain_ends, test_owner,
	  test_errors)
