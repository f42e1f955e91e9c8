/* /proc/PID/stat with names that try to look like fields, and environments of
 * every shape. */
#include "workers/base/sys/procstat.h"

#include <string.h>
#include <sys/stat.h>

#include "tests/unit/spawn_rig.h"

#define TAIL                                                                   \
	"S 10 20 30 34817 -1 4194560 1 2 3 4 5 6 7 8 -20 19 3 0 987654321 "    \
	"18446744073709551615 0"

START_TEST(test_parse)
{
	static const char *const texts[] = {
		"4711 (sh) " TAIL,	 "4711 () " TAIL,
		"4711 (a b) " TAIL,	 "4711 (a) R 1 1 1 (b) " TAIL,
		"4711 ()))) " TAIL,	 "4711 (new\nline) " TAIL "\n",
		"4711 (\xff\xfe) " TAIL,
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct tree_process p = { 0 };

		ck_assert_int_eq(procstat_parse(texts[i], &p), 0);
		ck_assert_int_eq(p.pid, 4711);
		ck_assert_int_eq(p.state, 'S');
		ck_assert_int_eq(p.ppid, 10);
		ck_assert_int_eq(p.pgrp, 20);
		ck_assert_int_eq(p.session, 30);
		ck_assert_int_eq(p.n_threads, 3);
		ck_assert_uint_eq(p.start_ticks, 987654321);
		ck_assert(!p.is_kernel);
	}
}
END_TEST

START_TEST(test_parse_kernel_thread)
{
	struct tree_process p;

	ck_assert_int_eq(procstat_parse("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 "
					"0 0 0 0 0 0 20 0 1 0 3 0 0",
					&p),
			 0);
	ck_assert(p.is_kernel);
}
END_TEST

START_TEST(test_parse_refuses)
{
	static const char *const texts[] = {
		"",
		"1",
		"1 (a",
		"1 (a)",
		"1 (a) ",
		"1 (a) S",
		"x (a) " TAIL,
		"1 (a)S 10 20",
		"1 (a) S 10 20 30 x",
		/* all but the last field that counts */
		"1 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18",
	};
	struct tree_process p = { .pid = 5 };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		ck_assert_int_eq(procstat_parse(texts[i], &p), -EBADMSG);
		ck_assert_int_eq(p.pid, 5);
	}
}
END_TEST

START_TEST(test_read)
{
	struct tree_process p;

	ck_assert_int_eq(procstat_read(getpid(), &p), 0);
	ck_assert_int_eq(p.pid, getpid());
	ck_assert_int_eq(p.ppid, getppid());
	ck_assert_int_eq(p.pgrp, getpgrp());
	ck_assert_int_eq(p.session, getsid(0));
	ck_assert_int_eq(p.state, 'R');
	ck_assert_int_eq(p.n_threads, 1);
	ck_assert_int_eq(procstat_read(0x7fffffff, &p), -ESRCH);
}
END_TEST

/* Names itself so that a careless reader sees other fields. */
static int rename_and_wait(void *arg)
{
	char c;

	(void)prctl(PR_SET_NAME, "x) R 1 1 1 1\n(", 0, 0, 0);
	(void)fd_write_all(3, "", 1);
	return (int)read(0, &c, 1) + *(const int *)arg;
}

START_TEST(test_read_with_a_hostile_name)
{
	int in[2], out[2];
	struct spawn_fd fds[2];
	struct spawn_spec spec = { SPAWN_SPEC, .function = rename_and_wait,
				   .arg = &(int){ 0 }, .fds = fds, .n_fds = 2 };
	struct spawn_child child;
	struct tree_process p;
	char c;

	ck_assert_int_eq(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
	fds[0] = (struct spawn_fd){ in[0], 0 };
	fds[1] = (struct spawn_fd){ out[1], 3 };
	child = start_child(&spec);
	ck_assert_int_eq(read(out[0], &c, 1), 1);
	ck_assert_int_eq(procstat_read(child.pid, &p), 0);
	ck_assert_int_eq(p.pid, child.pid);
	ck_assert_int_eq(p.ppid, getpid());
	ck_assert_int_eq(p.pgrp, getpgrp());
	for (int i = 0; i < 2; i++) {
		fd_close(in[i]);
		fd_close(out[i]);
	}
	ck_assert_int_eq(take_exit(&child), 0);
}
END_TEST

/* --- environment ----------------------------------------------------------- */

/* A program with this environment, and a pipe that ends it. */
struct subject {
	struct spawn_child child;
	int fd;
};

static struct subject start_subject(char *const *envp)
{
	char cat[] = "/bin/cat", *const argv[] = { cat, NULL };
	struct spawn_spec spec = { SPAWN_SPEC, .argv = argv, .envp = envp };
	struct subject s;
	int pipe[2];

	ck_assert_int_eq(pipe2(pipe, O_CLOEXEC), 0);
	spec.fds = &(struct spawn_fd){ pipe[0], 0 };
	spec.n_fds = 1;
	s.child = start_child(&spec);
	fd_close(pipe[0]);
	s.fd = pipe[1];
	return s;
}

static void end_subject(struct subject *s)
{
	fd_close(s->fd);
	ck_assert_int_eq(take_exit(&s->child), 0);
}

START_TEST(test_environment)
{
	char prefix[] = "MARKED=wrong", twice[] = "xMARK=wrong",
	     mark[] = "MARK=0123456789", second[] = "MARK=later",
	     empty[] = "EMPTY=", odd[] = "NO_EQUALS", last[] = "LAST=z";
	char *const envp[] = { prefix, twice, odd,  mark,
			       second, empty, last, NULL };
	struct subject s = start_subject(envp);
	pid_t pid = s.child.pid;
	char buf[11] = "untouched";

	ck_assert_int_eq(tree_environment(pid, "MARK", buf, 10), -ENOSPC);
	ck_assert_int_eq(tree_environment(pid, "MARK", buf, 11), 0);
	ck_assert_str_eq(buf, "0123456789");
	ck_assert_int_eq(tree_environment(pid, "LAST", buf, 2), 0);
	ck_assert_str_eq(buf, "z");
	ck_assert_int_eq(tree_environment(pid, "EMPTY", buf, 1), 0);
	ck_assert_str_eq(buf, "");
	ck_assert_int_eq(tree_environment(pid, "MAR", buf, 11), -ENOENT);
	ck_assert_int_eq(tree_environment(pid, "NO_EQUALS", buf, 11), -ENOENT);
	ck_assert_int_eq(tree_environment(pid, "ARK", buf, 11), -ENOENT);
	end_subject(&s);
	ck_assert_int_eq(tree_environment(pid, "MARK", buf, 11), -ESRCH);
}
END_TEST

/* Wherever a chunk of the reader ends: in the name, the value, between. */
START_TEST(test_environment_across_chunks)
{
	char *filler = malloc(8200), buf[32];
	char mark[] = "MARK=across the edge";

	ck_assert_ptr_nonnull(filler);
	for (size_t len = 4096 - 24; len <= 4097; len += 3) {
		char *const envp[] = { filler, mark, NULL };
		struct subject s;

		memset(filler, 'f', len);
		filler[1] = '=';
		filler[len] = '\0';
		s = start_subject(envp);
		ck_assert_int_eq(tree_environment(s.child.pid, "MARK", buf,
						  sizeof(buf)),
				 0);
		ck_assert_str_eq(buf, "across the edge");
		end_subject(&s);
	}
	free(filler);
}
END_TEST

static void look_as_another(void *arg)
{
	char buf[8];

	become_ordinary();
	_exit(tree_environment(*(const pid_t *)arg, "MARK", buf, sizeof(buf)) ==
			      -EACCES
		      ? 0
		      : 2);
}

START_TEST(test_environment_of_another_user)
{
	char mark[] = "MARK=1", *const envp[] = { mark, NULL };
	struct subject s = start_subject(envp);
	pid_t init = 1;
	struct stat st;

	if (geteuid() == 0)
		ck_assert_int_eq(unit_fork(look_as_another, &s.child.pid, NULL),
				 0);
	else if (stat("/proc/1", &st) == 0 && st.st_uid != geteuid())
		ck_assert_int_eq(unit_fork(look_as_another, &init, NULL), 0);
	else
		puts("SKIP: no process of another user");
	end_subject(&s);
}
END_TEST

UNIT_MAIN("procstat", test_parse, test_parse_kernel_thread, test_parse_refuses,
	  test_read, test_read_with_a_hostile_name, test_environment,
	  test_environment_across_chunks, test_environment_of_another_user)
