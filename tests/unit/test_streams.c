/* streams.c: what stdio has buffered around the start of a function. */
#include "workers/base/sys/streams.h"

#include <pthread.h>

#include "tests/unit/process_rig.h"

/* Opens the file under every number that a stream of the parent may have. */
static int say_child(void *path)
{
	for (int fd = 0; fd < 32;)
		fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	printf("child\n");
	return 0;
}

/* Starts say_child() and waits for its end. */
static void start_child_function(void *path)
{
	const struct reeve_process_spec spec = { .function = say_child,
						 .arg = path };
	reeve_process *p;

	if (reeve_process_start(&spec, &p) < 0 ||
	    reeve_process_join(p, DEADLINE_USEC) < 0)
		_exit(80);
	reeve_process_free(p);
}

static void *read_stdin(void *arg)
{
	char line[16];

	(void)fd_write_all(*(const int *)arg, "", 1);
	return fgets(line, sizeof(line), stdin) ? NULL : arg; /* holds it */
}

/* Another thread sits in fgets(stdin); and there is output in a stream of the
 * program's own, besides that in stdout. */
static void start_while_stdin_is_held(void *arg)
{
	FILE *own = fopen(arg, "ae");
	int input[2], go[2];
	pthread_t thread;
	char c;

	if (!own || pipe2(input, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0 ||
	    dup2(input[0], 0) < 0 ||
	    pthread_create(&thread, NULL, read_stdin, &go[1]) != 0 ||
	    read(go[0], &c, 1) != 1)
		_exit(81);
	while (ftrylockfile(stdin) == 0) { /* until it reads */
		funlockfile(stdin);
		(void)sched_yield();
	}
	fprintf(own, "once");
	printf("parent\n");
	start_child_function(arg);
	fclose(own);
	fflush(stdout);
	_exit(0);
}

START_TEST(test_a_held_stream_does_not_hang)
{
	const char *path = unit_path("own");
	_cleanup_(free_pointer) char *text = NULL;
	_cleanup_(free_pointer) char *output = NULL;

	ck_assert_int_eq(unit_fork(start_while_stdin_is_held,
				   (char *)(uintptr_t)path, &output),
			 0);
	ck_assert_str_eq(output, "parent\nchild\n");
	ck_assert_int_eq(fd_read_file(AT_FDCWD, path, 100, &text, NULL), 0);
	ck_assert_str_eq(text, "once");
}
END_TEST

static int read_own_stdin(_unused_ void *arg)
{
	return getchar() == EOF ? 0 : 1;
}

/* What the parent has read ahead is not the child's input. */
START_TEST(test_read_ahead_stays_the_parents)
{
	int input[2], old = fcntl(0, F_DUPFD_CLOEXEC, 3);

	ck_assert_int_eq(pipe2(input, O_CLOEXEC), 0);
	ck_assert_int_eq(fd_write_all(input[1], "abc", 3), 0);
	ck_assert_ptr_nonnull(freopen("/dev/null", "r", stdin));
	ck_assert_int_eq(dup2(input[0], 0), 0);
	ck_assert_int_eq(getchar(), 'a');
	ck_assert_int_eq(run_process((struct reeve_process_spec){
				 .function = read_own_stdin }),
			 0);
	ck_assert_int_eq(getchar(), 'b');
	ck_assert_int_eq(dup2(old, 0), 0);
	fd_close(old);
	fd_close(input[0]);
	fd_close(input[1]);
}
END_TEST

START_TEST(test_one_thread_flushes_all)
{
	const char *path = unit_path("own");
	_cleanup_(free_pointer) char *text = NULL;
	FILE *own = fopen(path, "we");

	ck_assert_ptr_nonnull(own);
	fprintf(own, "once");
	ck_assert(!streams_flush());
	ck_assert_int_eq(fd_read_file(AT_FDCWD, path, 100, &text, NULL), 0);
	ck_assert_str_eq(text, "once");
	fclose(own);
}
END_TEST

UNIT_MAIN("streams", test_a_held_stream_does_not_hang,
	  test_read_ahead_stays_the_parents, test_one_thread_flushes_all)
