/* report.c: a report ends with what it is about, whoever was born meanwhile.
 *
 * In each test another thread is in the middle of a start, as far as reports can
 * tell, when a child is born that lives on: forked by the host, a function with
 * all fds kept, or a program that does not get to run, because the file is on
 * lease. */
#include "workers/base/sys/report.h"

#include <pthread.h>
#include <sys/stat.h>

#include "tests/unit/spawn_rig.h"

/* The other thread, between report_open() and report_close(). */
struct starter {
	struct report report;
	pthread_barrier_t barrier;
	pthread_t thread;
};

static void *start_slowly(void *arg)
{
	struct starter *s = arg;
	int r = report_open(&s->report);

	(void)pthread_barrier_wait(&s->barrier);
	(void)pthread_barrier_wait(&s->barrier);
	if (r == 0)
		report_close(&s->report);
	return (void *)(intptr_t)r;
}

static void begin(struct starter *s)
{
	ck_assert_int_eq(pthread_barrier_init(&s->barrier, NULL, 2), 0);
	ck_assert_int_eq(pthread_create(&s->thread, NULL, start_slowly, s), 0);
	(void)pthread_barrier_wait(&s->barrier);
}

/* Lets the start go on; true when its report ends with that. */
static bool finish(struct starter *s)
{
	void *r = NULL;
	char c;
	ssize_t n;

	(void)pthread_barrier_wait(&s->barrier);
	ck_assert_int_eq(pthread_join(s->thread, &r), 0);
	ck_assert_ptr_null(r);
	ck_assert_int_eq(pthread_barrier_destroy(&s->barrier), 0);
	/* A child may need a moment. */
	ck_assert(is_readable(s->report.read_fd));
	n = read(s->report.read_fd, &c, 1);
	fd_close(s->report.read_fd);
	return n == 0;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* In the child: its thread's is left, and it can start on its own. */
static _Noreturn void look_around(const struct starter *s,
				  const struct report *mine)
{
	struct report another;

	if (is_open(s->report.write_fd))
		_exit(1);
	if (!is_open(mine->write_fd))
		_exit(2);
	if (report_open(&another) < 0)
		_exit(3);
	report_close(&another);
	if (fcntl(another.read_fd, F_GETFD) != FD_CLOEXEC)
		_exit(4);
	_exit(0);
}

START_TEST(test_forked_child_has_none_of_others)
{
	struct starter s;
	struct report mine;
	int status;
	pid_t pid;

	begin(&s);
	ck_assert_int_eq(report_open(&mine), 0);
	pid = fork();
	if (pid == 0)
		look_around(&s, &mine);
	ck_assert(is_open(s.report.write_fd) && is_open(mine.write_fd));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	report_close(&mine);
	fd_close(mine.read_fd);
	ck_assert(finish(&s));
}
END_TEST

static _Noreturn int sleep_on(_unused_ void *arg)
{
	for (;;)
		(void)pause();
}

static void kill_child(struct spawn_child *child)
{
	ck_assert_int_eq(spawn_signal(child->pidfd, 0), 0); /* it lives */
	ck_assert_int_eq(spawn_signal(child->pidfd, SIGKILL), 0);
	ck_assert_int_eq(take_exit(child), -SIGKILL);
}

START_TEST(test_function_with_all_fds_has_none_of_others)
{
	struct spawn_spec spec = { SPAWN_SPEC, .function = sleep_on,
				   .keep_fds = true };
	struct spawn_child child;
	struct starter s;

	begin(&s);
	child = start_child(&spec);
	ck_assert(finish(&s));
	kill_child(&child);
}
END_TEST

/* Whoever opens a file on lease waits until its holder gives it up; here that is
 * never. The holder is asked by a signal, which is to do nothing. Returns -1 where
 * files cannot be leased. */
static int lease(const char *path)
{
	const struct sigaction ignored = { .sa_handler = SIG_IGN };
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fchmod(fd, 0755), 0);
	ck_assert_int_eq(sigaction(SIGIO, &ignored, NULL), 0);
	return fcntl(fd, F_SETLEASE, F_WRLCK) == 0 ? fd : fd_close(fd);
}

START_TEST(test_program_that_waits_has_none_of_others)
{
	const char *path = unit_file("program", "#!/bin/sh\n");
	char *argv[] = { strdup(path), NULL };
	struct spawn_spec spec = { SPAWN_SPEC, .argv = argv };
	struct spawn_failure failure;
	struct spawn_child child;
	struct starter s;
	int fd = lease(path);

	if (fd < 0) {
		printf("SKIP: no leases in %s\n", unit_tmpdir());
		free(argv[0]);
		return;
	}
	begin(&s);
	ck_assert_int_eq(spawn_start(&spec, &child), 0);
	ck_assert(finish(&s));
	ck_assert_int_eq(spawn_read_report(child.report_fd, &failure), -EAGAIN);
	kill_child(&child);
	fd_close(fd);
	free(argv[0]);
}
END_TEST

UNIT_MAIN("report", test_forked_child_has_none_of_others,
	  test_function_with_all_fds_has_none_of_others,
	  test_program_that_waits_has_none_of_others)
