/* What a stuck process is doing: the files of /proc as text, and real processes in
 * all kinds of waits. */
#include "workers/base/sys/postmortem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/process.h"
#include "tests/lib/unit.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"

/* ---- text ---------------------------------------------------------------------- */

START_TEST(test_stat)
{
	static const char text[] =
		"47 (a) S (b) R) D 1 2 3 4 -1 4194368 10 11 12 13 250 150 16 "
		"17 -20 19 7 0 12345 99999 512 184467440737095516 rest";
	struct postmortem p = { 0 };

	ck_assert_int_eq(postmortem_parse_stat(text, &p), 0);
	ck_assert_int_eq(p.state, 'D');
	ck_assert(!p.has_executed);
	ck_assert_int_eq(p.n_threads, 7);
	ck_assert_uint_eq(p.cpu_ticks, 400);
	ck_assert_uint_eq(p.resident_pages, 512);
}
END_TEST

START_TEST(test_bad_stat)
{
	static const char *const texts[] = {
		"",
		"47",
		"47 (a)",
		"47 (a) ",
		")",
		") ",
		"47 (a) S",
		"47 (a) S ",
		") S",
		"47 (a) S x",
		"47 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14",
	};
	struct postmortem p;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		ck_assert_int_eq(postmortem_parse_stat(texts[i], &p), -EBADMSG);
}
END_TEST

START_TEST(test_syscall)
{
	ck_assert_int_eq(postmortem_parse_syscall("202 0x7f 0x0 0x1\n"), 202);
	ck_assert_int_eq(postmortem_parse_syscall("0 0x7f 0x0 0x1\n"), 0);
	ck_assert_int_eq(postmortem_parse_syscall("-1 0x7f 0x0\n"), -1);
	ck_assert_int_eq(postmortem_parse_syscall("running\n"), -1);
	ck_assert_int_eq(postmortem_parse_syscall(""), -1);
	ck_assert_str_eq(postmortem_syscall_name(SYS_read), "read");
	ck_assert_str_eq(postmortem_syscall_name(SYS_futex), "futex");
	ck_assert_ptr_null(postmortem_syscall_name(-1));
	ck_assert_ptr_null(postmortem_syscall_name(99999));
}
END_TEST

START_TEST(test_symbol)
{
	char symbol[8];

	postmortem_parse_symbol("do_wait", symbol, sizeof(symbol));
	ck_assert_str_eq(symbol, "do_wait");
	postmortem_parse_symbol("do_wait2", symbol, sizeof(symbol)); /* cut */
	ck_assert_str_eq(symbol, "do_wait");
	postmortem_parse_symbol("a.b+0x1/0x2", symbol, sizeof(symbol));
	ck_assert_str_eq(symbol, "a.b");
	postmortem_parse_symbol("\x1b[31m", symbol, sizeof(symbol));
	ck_assert_str_eq(symbol, "");
	postmortem_parse_symbol("0", symbol, sizeof(symbol));
	ck_assert_str_eq(symbol, "");
}
END_TEST

START_TEST(test_stack)
{
	static const char text[] = "[<0>] first+0x1/0x2\n"
				   "[<0>] second.isra.0+0x1/0x2\n"
				   "[<0>] third+0x1/0x2\n";
	char stack[64];

	postmortem_parse_stack(text, stack, sizeof(stack));
	ck_assert_str_eq(stack, "first < second.isra.0 < third");
	postmortem_parse_stack(text, stack,
			       29); /* one byte short: whole ones */
	ck_assert_str_eq(stack, "first < second.isra.0");
	postmortem_parse_stack(text, stack, 3);
	ck_assert_str_eq(stack, "");
	postmortem_parse_stack("", stack, sizeof(stack));
	ck_assert_str_eq(stack, "");
	postmortem_parse_stack("garbage", stack, sizeof(stack));
	ck_assert_str_eq(stack, "");
	postmortem_parse_stack("[<0>] one+0x1/0x2\nrest", stack, sizeof(stack));
	ck_assert_str_eq(stack, "one");
}
END_TEST

START_TEST(test_words)
{
	struct postmortem p = {
		.state = 'S',
		.n_threads = 1,
		.cpu_ticks = (uint64_t)sysconf(_SC_CLK_TCK) * 3 / 2,
		.resident_pages = 5 * 1048576UL / 2 /
				  (unsigned long)sysconf(_SC_PAGESIZE),
		.syscall = SYS_futex,
		.wchan = "futex_do_wait",
		.stack = "a < b",
	};
	char text[POSTMORTEM_MAX];

	ck_assert_str_eq(postmortem_word(&p, text, sizeof(text)),
			 "sleeping in futex (wchan futex_do_wait); 1 thread, "
			 "2.5 MiB resident, 1.50 s of CPU time; stack: a < b");
	ck_assert_int_eq(postmortem_gist_len(text), 39);
	p = (struct postmortem){ .state = 'R', .syscall = -1, .n_threads = 3 };
	ck_assert_str_eq(postmortem_word(&p, text, sizeof(text)),
			 "running, after 0.00 s of CPU time; 3 threads, 0.0 "
			 "MiB resident, 0.00 s of CPU time");
	p = (struct postmortem){ .state = 'D', .syscall = 4711 };
	ck_assert_ptr_nonnull(strstr(postmortem_word(&p, text, sizeof(text)),
				     "sleeping uninterruptibly in system call "
				     "4711;"));
	p = (struct postmortem){ .syscall = SYS_read };
	ck_assert_str_eq(postmortem_word(&p, text, sizeof(text)), "");
}
END_TEST

/* All that there may be, in any room. */
START_TEST(test_bounds)
{
	struct postmortem p = {
		.state = 'S',
		.n_threads = 2147483647,
		.cpu_ticks = UINT64_MAX,
		.resident_pages = UINT64_MAX,
		.syscall = 2147483647,
	};
	char text[POSTMORTEM_MAX + 1];

	memset(p.wchan, 'w', sizeof(p.wchan) - 1);
	memset(p.stack, 's', sizeof(p.stack) - 1);
	for (size_t size = 1; size <= POSTMORTEM_MAX; size++) {
		memset(text, '#', sizeof(text));
		(void)postmortem_word(&p, text, size);
		ck_assert_uint_lt(strlen(text), size);
		ck_assert_int_eq(text[size], '#');
	}
}
END_TEST

/* ---- processes ------------------------------------------------------------------- */

enum way { PAUSES, READS, SPINS, STOPS, LOCKS, FORKS_IN_PLACE, EXECUTES, WAYS };

static void lock_twice(void)
{
	static _Atomic unsigned word;

	(void)syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, NULL, NULL, 0);
}

/* Its parent waits, and does not listen to signals meanwhile. */
static void fork_in_place(void)
{
	(void)syscall(SYS_clone, CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, 0);
	for (;;)
		(void)pause();
}

static _Noreturn void hang(enum way way)
{
	static char name[] = "sleep", seconds[] = "1000";
	char *const argv[] = { name, seconds, NULL };
	int fds[2];

	for (;;) {
		switch (way) {
		case PAUSES:
			(void)pause();
			break;
		case READS:
			(void)!pipe(fds);
			(void)!read(fds[0], fds, 1);
			break;
		case SPINS:
			break;
		case STOPS:
			(void)raise(SIGSTOP);
			break;
		case LOCKS:
			lock_twice();
			break;
		case FORKS_IN_PLACE:
			fork_in_place();
			break;
		case EXECUTES:
			(void)execv("/bin/sleep", argv);
			break;
		case WAYS:
			break;
		}
	}
}

static bool fits(const char *text, enum way way)
{
	static const char *const words[WAYS] = {
		[PAUSES] = "sleeping in p", /* pause or ppoll */
		[READS] = "sleeping in read",
		[SPINS] = "running, after",
		[STOPS] = "stopped",
		[LOCKS] = "sleeping in futex",
		[FORKS_IN_PLACE] = "sleeping uninterruptibly in clone",
		[EXECUTES] = "sleeping",
	};

	return strncmp(text, words[way], strlen(words[way])) == 0;
}

static void check_process(enum way way)
{
	uint64_t until = clock_monotonic_usec() + 10 * USEC_PER_SEC;
	char text[POSTMORTEM_MAX] = "";
	pid_t pid = fork();

	if (pid == 0) {
		(void)setpgid(0, 0);
		hang(way);
	}
	(void)setpgid(pid, pid);
	while (!fits(text, way) && clock_monotonic_usec() < until) {
		(void)poll(NULL, 0, 1);
		(void)postmortem_describe(pid, text, sizeof(text));
	}
	ck_assert_msg(fits(text, way), "\"%s\"", text);
	ck_assert_ptr_nonnull(strstr(text, "; 1 thread, "));
	(void)kill(-pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_str_eq(postmortem_describe(pid, text, sizeof(text)), "");
}

START_TEST(test_processes)
{
	for (enum way way = PAUSES; way < WAYS; way++)
		check_process(way);
}
END_TEST

/* Of one that has executed a program nothing is read that an exec holds up: no system
 * call is known, no stack. */
START_TEST(test_executed)
{
	uint64_t until = clock_monotonic_usec() + 10 * USEC_PER_SEC;
	char text[POSTMORTEM_MAX] = "";
	pid_t pid = fork();

	if (pid == 0)
		hang(EXECUTES);
	while (strncmp(text, "sleeping", 8) != 0 &&
	       clock_monotonic_usec() < until) {
		(void)poll(NULL, 0, 1);
		(void)postmortem_describe(pid, text, sizeof(text));
	}
	ck_assert_msg(strncmp(text, "sleeping in", 11) != 0, "\"%s\"", text);
	ck_assert_ptr_null(strstr(text, "stack"));
	(void)kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

static void *wait_in_thread(void *arg _unused_)
{
	for (;;)
		(void)pause();
	return NULL;
}

START_TEST(test_threads)
{
	uint64_t until = clock_monotonic_usec() + 10 * USEC_PER_SEC;
	char text[POSTMORTEM_MAX] = "";
	pthread_t thread;
	pid_t pid = fork();

	if (pid == 0) {
		(void)pthread_create(&thread, NULL, wait_in_thread, NULL);
		hang(PAUSES);
	}
	while (!strstr(text, "; 2 threads, ") && clock_monotonic_usec() < until)
		(void)postmortem_describe(pid, text, sizeof(text));
	ck_assert_msg(strstr(text, "; 2 threads, ") != NULL, "\"%s\"", text);
	(void)kill(pid, SIGKILL);
	/* what is dead, but not reaped, is said to be */
	while (process_state(pid) != 'Z' && clock_monotonic_usec() < until)
		(void)poll(NULL, 0, 1);
	(void)postmortem_describe(pid, text, sizeof(text));
	ck_assert_int_eq(strncmp(text, "dead;", 5), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

UNIT_MAIN("postmortem", test_stat, test_bad_stat, test_syscall, test_symbol,
	  test_stack, test_words, test_bounds, test_processes, test_executed,
	  test_threads)
