#include "workers/base/sys/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/str.h"

START_TEST(test_close)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	errno = EXDEV;
	ck_assert_int_eq(fd_close(fd), -1);
	ck_assert_int_eq(errno, EXDEV);
	ck_assert_int_lt(fcntl(fd, F_GETFD), 0);

	errno = EXDEV;
	ck_assert_int_eq(fd_close(fd), -1); /* EBADF inside */
	ck_assert_int_eq(fd_close(-1), -1);
	ck_assert_int_eq(fd_close(-5), -1);
	ck_assert_int_eq(errno, EXDEV);
}
END_TEST

START_TEST(test_closep)
{
	int seen;

	{
		_cleanup_(fd_closep) int fd =
			open("/dev/null", O_RDONLY | O_CLOEXEC);
		seen = fd;
	}
	ck_assert_int_lt(fcntl(seen, F_GETFD), 0);

	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	fd_closep(&fd);
	ck_assert_int_eq(fd, -1);
	fd_closep(&fd);
}
END_TEST

/* Of one who has closed his standard descriptors. */
START_TEST(test_lift)
{
	struct rlimit old, few;
	int fd = dup(STDOUT_FILENO), copy;

	ck_assert_int_eq(fd_lift(fd), fd);
	fd_close(fd);
	errno = EXDEV;
	ck_assert_int_eq(fd_lift(-1), -1);
	ck_assert_int_eq(errno, EXDEV);
	for (int i = 0; i <= STDERR_FILENO; i++) {
		int saved = dup(i);

		fd_close(i);
		ck_assert_int_eq(open("/dev/null", O_RDONLY | O_CLOEXEC), i);
		fd = fd_lift(i);
		ck_assert_int_ge(fd, FD_OWN);
		ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
		ck_assert_int_lt(fcntl(i, F_GETFD), 0);
		ck_assert_int_eq(fd_copy(i), -EBADF);
		copy = fd_copy(fd);
		ck_assert_int_ge(copy, FD_OWN);
		ck_assert_int_eq(dup2(saved, i), i);
		fd_close(saved);
		fd_close(copy);
		fd_close(fd);
	}
	/* better one of these than none */
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){ FD_OWN, old.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	ck_assert_int_eq(fd_copy(0), -EMFILE);
	ck_assert_int_eq(fd_lift(0), 0);
	ck_assert_int_ge(fcntl(0, F_GETFD), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
}
END_TEST

START_TEST(test_flags)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	for (int twice = 0; twice < 2; twice++) {
		ck_assert_int_eq(fd_set_nonblocking(fd, true), 0);
		ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
		ck_assert_int_eq(fd_set_cloexec(fd, false), 0);
		ck_assert(!(fcntl(fd, F_GETFD) & FD_CLOEXEC));
	}
	for (int twice = 0; twice < 2; twice++) {
		ck_assert_int_eq(fd_set_nonblocking(fd, false), 0);
		ck_assert(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
		ck_assert_int_eq(fd_set_cloexec(fd, true), 0);
		ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	}
	fd_close(fd);
	ck_assert_int_eq(fd_set_nonblocking(fd, true), -EBADF);
	ck_assert_int_eq(fd_set_cloexec(fd, true), -EBADF);
}
END_TEST

/* --- fd_write_all -------------------------------------------------------- */

#define LARGE (1U << 20) /* many times what a pipe holds */

struct reader {
	int fd;
	size_t n_read;
	bool in_order;
};

/* Reads slowly: a little at a time, so that the writer writes short. */
static void *read_slowly(void *arg)
{
	struct reader *r = arg;
	unsigned char chunk[1000];
	ssize_t n;

	while ((n = read(r->fd, chunk, sizeof(chunk))) > 0)
		for (ssize_t i = 0; i < n; i++)
			r->in_order &= chunk[i] == r->n_read++ % 251;
	return NULL;
}

START_TEST(test_write_all_of_much)
{
	unsigned char *data = malloc(LARGE);
	struct reader reader = { .in_order = true };
	pthread_t thread;
	int fds[2];

	for (size_t i = 0; i < LARGE; i++)
		data[i] = (unsigned char)(i % 251);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	reader.fd = fds[0];
	ck_assert_int_eq(pthread_create(&thread, NULL, read_slowly, &reader),
			 0);
	ck_assert_int_eq(fd_write_all(fds[1], data, LARGE), 0);
	fd_close(fds[1]);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_eq(reader.n_read, LARGE);
	ck_assert(reader.in_order);
	fd_close(fds[0]);
	free(data);
}
END_TEST

static atomic_int n_alarms;

static void on_alarm(_unused_ int signo)
{
	n_alarms++;
}

static void *wait_for_alarms(void *arg)
{
	while (n_alarms < 3)
		sched_yield();
	return read_slowly(arg);
}

/* The pipe is full; the signals come while write(2) waits, without SA_RESTART,
 * and only then somebody reads. */
START_TEST(test_write_all_goes_on_after_eintr)
{
	unsigned char *data = malloc(LARGE);
	struct reader reader = { .in_order = true };
	struct itimerval often = { { 0, 2000 }, { 0, 2000 } }, never = { 0 };
	sigset_t alarm_only;
	pthread_t thread;
	int fds[2];

	for (size_t i = 0; i < LARGE; i++)
		data[i] = (unsigned char)(i % 251);
	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	reader.fd = fds[0];
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = on_alarm }, NULL);
	pthread_sigmask(SIG_BLOCK, &alarm_only, NULL); /* of the reader */
	ck_assert_int_eq(
		pthread_create(&thread, NULL, wait_for_alarms, &reader), 0);
	pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
	setitimer(ITIMER_REAL, &often, NULL);

	ck_assert_int_eq(fd_write_all(fds[1], data, LARGE), 0);

	setitimer(ITIMER_REAL, &never, NULL);
	fd_close(fds[1]);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_ge(n_alarms, 3);
	ck_assert_uint_eq(reader.n_read, LARGE);
	ck_assert(reader.in_order);
	fd_close(fds[0]);
	free(data);
}
END_TEST

START_TEST(test_write_all_fails)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC), fds[2];
	char *data = calloc(1, LARGE);

	ck_assert_int_eq(fd_write_all(full, "x", 1), -ENOSPC);
	ck_assert_int_eq(fd_write_all(full, "", 0), 0);
	fd_close(full);
	ck_assert_int_eq(fd_write_all(full, "x", 1), -EBADF);
	ck_assert_int_eq(fd_write_all(-1, "", 0), 0); /* nothing to do */

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	ck_assert_int_eq(fd_write_all(fds[1], data, LARGE), -EAGAIN);
	fd_close(fds[0]);
	sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	ck_assert_int_eq(fd_write_all(fds[1], "x", 1), -EPIPE);
	fd_close(fds[1]);
	free(data);
}
END_TEST

/* --- fd_read_file -------------------------------------------------------- */

static void check_refused(const char *path, size_t max_bytes, int error)
{
	char *text = NULL;
	size_t len = 4711;

	int r = fd_read_file(AT_FDCWD, path, max_bytes, &text, &len);
	ck_assert_msg(r == error, "%s: %d", path, r);
	ck_assert_ptr_null(text);
	ck_assert_uint_eq(len, 4711);
}

START_TEST(test_read_file)
{
	char *text;
	size_t len;

	ck_assert_int_eq(fd_read_file(AT_FDCWD, unit_file("a", "some\ntext"),
				      100, &text, &len),
			 0);
	ck_assert_str_eq(text, "some\ntext");
	ck_assert_uint_eq(len, 9);
	free(text);

	ck_assert_int_eq(fd_read_file(AT_FDCWD, unit_file("empty", ""), 0,
				      &text, NULL),
			 0);
	ck_assert_str_eq(text, "");
	free(text);

	int dir = open(unit_tmpdir(), O_PATH | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(fd_read_file(dir, "a", SIZE_MAX, &text, &len), 0);
	ck_assert_str_eq(text, "some\ntext");
	free(text);
	fd_close(dir);
}
END_TEST

START_TEST(test_read_file_with_nul)
{
	const char *path = unit_path("nul");
	char *text;
	size_t len;

	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(fd_write_all(fd, "a\0b", 3), 0);
	fd_close(fd);
	ck_assert_int_eq(fd_read_file(AT_FDCWD, path, 3, &text, &len), 0);
	ck_assert_uint_eq(len, 3);
	ck_assert_mem_eq(text, "a\0b", 4);
	free(text);
}
END_TEST

/* Sizes around the limit, and around what is allocated at first. */
START_TEST(test_read_file_at_the_limit)
{
	static const size_t sizes[] = {
		1, 4093, 4094, 4095, 4096, 4097, 65536
	};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		char *written = malloc(sizes[i] + 1), *text, name[32];
		size_t len;

		memset(written, 'x', sizes[i]);
		written[sizes[i]] = '\0';
		(void)snprintf(name, sizeof(name), "%zu", sizes[i]);
		const char *path = unit_file(name, written);

		ck_assert_int_eq(
			fd_read_file(AT_FDCWD, path, sizes[i], &text, &len), 0);
		ck_assert_uint_eq(len, sizes[i]);
		ck_assert_str_eq(text, written);
		check_refused(path, sizes[i] - 1, -EFBIG);
		free(text);
		free(written);
	}
}
END_TEST

START_TEST(test_read_file_of_proc)
{
	char *text;
	size_t len;

	/* says that it has no bytes, and has some */
	ck_assert_int_eq(fd_read_file(AT_FDCWD, "/proc/self/stat", 4096, &text,
				      &len),
			 0);
	ck_assert_uint_eq(len, strlen(text));
	ck_assert_int_eq(atoi(text), getpid()); /* allowed: a test */
	free(text);
	check_refused("/proc/self/stat", 10, -EFBIG);

	/* longer than the first guess, in many short reads */
	ck_assert_int_eq(fd_read_file(AT_FDCWD, "/proc/self/smaps", 1 << 24,
				      &text, &len),
			 0);
	ck_assert_uint_gt(len, 4096);
	ck_assert_ptr_nonnull(strstr(text, "[stack]"));
	free(text);
}
END_TEST

/* Starts cat with one variable in its environment, and waits until it runs. It
 * waits for its input, *ret_input, to end. */
static pid_t start_cat(char *variable, int *ret_input)
{
	char name[] = "cat", *const argv[] = { name, NULL };
	char *const envp[] = { variable, NULL };
	int input[2], running[2];
	char byte;

	ck_assert_int_eq(pipe2(input, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(running, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		if (dup2(input[0], STDIN_FILENO) == STDIN_FILENO)
			(void)execve("/bin/cat", argv, envp);
		_exit(127);
	}
	fd_close(input[0]);
	fd_close(running[1]);
	ck_assert_int_eq(read(running[0], &byte, 1), 0); /* closed by exec */
	fd_close(running[0]);
	*ret_input = input[1];
	return pid;
}

/* No size, and each read gives all that it has room for: what is allocated is
 * filled to its last byte, several times. */
START_TEST(test_read_file_that_fills_its_memory)
{
	static char variable[50000], path[64];
	int input, status;
	char *text;
	size_t len;

	memset(variable, 'x', sizeof(variable) - 1);
	variable[1] = '=';
	pid_t pid = start_cat(variable, &input);
	(void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);

	/* exec closes fds before it shows the new environment: empty till then */
	do {
		ck_assert_int_eq(fd_read_file(AT_FDCWD, path, sizeof(variable),
					      &text, &len),
				 0);
		if (len == 0)
			free(text);
	} while (len == 0);
	ck_assert_uint_eq(len, sizeof(variable));
	ck_assert_str_eq(text, variable);
	free(text);
	check_refused(path, sizeof(variable) - 1, -EFBIG);
	fd_close(input);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(test_read_file_of_other_kinds)
{
	const char *fifo = unit_path("fifo"), *path = unit_path("socket");
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	check_refused(unit_tmpdir(), 100, -EISDIR);
	check_refused("/proc", 100, -EISDIR);
	check_refused("/dev/null", 100, -EINVAL);
	check_refused("/dev/zero", 100, -EINVAL);
	check_refused(unit_path("nothing"), 100, -ENOENT);
	check_refused("", 100, -ENOENT);

	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	check_refused(fifo, 100, -EINVAL); /* and does not wait for a writer */

	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	ck_assert_int_eq(bind(fd, (void *)&address, sizeof(address)), 0);
	check_refused(path, 100, -EINVAL);
	fd_close(fd);

	const char *loop = unit_path("loop");
	ck_assert_int_eq(symlink("loop", loop), 0);
	check_refused(loop, 100, -ELOOP);
}
END_TEST

START_TEST(test_read_file_that_read_refuses)
{
	check_refused("/proc/self/mem", 100, -EIO); /* nothing at address 0 */
}
END_TEST

/* --- fd_write_file ------------------------------------------------------- */

static void check_content(const char *path, const char *wanted)
{
	char *text;

	ck_assert_int_eq(fd_read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
	ck_assert_str_eq(text, wanted);
	free(text);
}

START_TEST(test_write_file)
{
	const char *path = unit_file("a", "");

	ck_assert_int_eq(fd_write_file(AT_FDCWD, path, "text\n"), 0);
	check_content(path, "text\n");

	int dir = open(unit_tmpdir(), O_PATH | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(fd_write_file(dir, "a", "Te"), 0);
	check_content(path, "Text\n"); /* not truncated */
	ck_assert_int_eq(fd_write_file(dir, "new", "x"), -ENOENT);
	ck_assert_int_eq(faccessat(dir, "new", F_OK, 0), -1);
	fd_close(dir);
}
END_TEST

START_TEST(test_write_file_of_proc)
{
	char was[32] = "", *text;

	ck_assert_int_eq(fd_write_file(AT_FDCWD, "/proc/self/comm", "renamed"),
			 0);
	check_content("/proc/self/comm", "renamed\n");

	ck_assert_int_eq(fd_read_file(AT_FDCWD, "/proc/self/oom_score_adj", 32,
				      &text, NULL),
			 0);
	(void)snprintf(was, sizeof(was), "%s", str_strip(text));
	free(text);
	ck_assert_int_eq(fd_write_file(AT_FDCWD, "/proc/self/oom_score_adj",
				       "1001"),
			 -EINVAL);
	ck_assert_int_eq(
		fd_write_file(AT_FDCWD, "/proc/self/oom_score_adj", was), 0);
}
END_TEST

START_TEST(test_write_file_fails)
{
	ck_assert_int_eq(fd_write_file(AT_FDCWD, "/dev/full", "x"), -ENOSPC);
	ck_assert_int_eq(fd_write_file(AT_FDCWD, unit_tmpdir(), "x"), -EISDIR);
	ck_assert_int_eq(fd_write_file(AT_FDCWD, unit_path("no/a"), "x"),
			 -ENOENT);
}
END_TEST

/* In a process of its own, as libcheck writes files too. */
static void write_two_of_one_allowed(void *path)
{
	(void)setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 1, 1 });
	_exit(fd_write_file(AT_FDCWD, path, "xy") == -EIO ? 0 : 1);
}

START_TEST(test_write_file_written_short)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s", unit_file("a", ""));
	ck_assert_int_eq(unit_fork(write_two_of_one_allowed, path, NULL), 0);
	check_content(path, "x");
}
END_TEST

START_TEST(test_count_open)
{
	int fds[10];

	int before = fd_count_open(), n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	ck_assert_int_eq(before, n);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(fd_count_open(), before + 10);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fd_close(fds[i]);
	ck_assert_int_eq(fd_count_open(), before);
}
END_TEST

START_TEST(test_count_open_without_a_free_fd)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 3;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(fd_count_open(), -EMFILE);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}
END_TEST

UNIT_MAIN("fd", test_close, test_closep, test_lift, test_flags,
	  test_write_all_of_much, test_write_all_goes_on_after_eintr,
	  test_write_all_fails, test_read_file, test_read_file_with_nul,
	  test_read_file_at_the_limit, test_read_file_of_proc,
	  test_read_file_that_fills_its_memory, test_read_file_of_other_kinds,
	  test_read_file_that_read_refuses, test_write_file,
	  test_write_file_of_proc, test_write_file_fails,
	  test_write_file_written_short, test_count_open,
	  test_count_open_without_a_free_fd)
