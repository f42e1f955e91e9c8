/* What the tests of <reeve/sync.h> share: children that are killed, at any
 * moment or after any instruction, and what a test allows for that. Included
 * once by each. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <reeve/sync.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/shared/region.h"

/* For what has to happen at all, on a machine that has other things to do. */
#define DEADLINE_USEC (8 * USEC_PER_SEC)
/* What is promised after a death, and how often a busy machine may break it. */
#define PROMISE_USEC  (100 * USEC_PER_MSEC)
#define PROMISE_TRIES 20
#define STEPS_MAX     20000 /* of one life under the debugger */

/* Memory that the children have, too. */
_unused_ static void *share(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

/* n in an ordinary run; REEVE_SOAK=k of more. */
_unused_ static unsigned long rounds(unsigned long n, unsigned long soak)
{
	const char *text = getenv("REEVE_SOAK");
	unsigned long k = text ? strtoul(text, NULL, 10) : 0;

	return k ? k * soak : n;
}

static pid_t start(int (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(fn(arg));
	return pid;
}

/* Its exit code, or -N for death by signal N. */
static int end(pid_t pid)
{
	int status = 0;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

_unused_ static int run(int (*fn)(void *arg), void *arg)
{
	return end(start(fn, arg));
}

_unused_ static void slay(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(end(pid), -SIGKILL);
}

/* Waits until *word is at least value; it may have wrapped on the way. */
_unused_ static bool reaches(_Atomic uint32_t *word, uint32_t value)
{
	uint64_t last = clock_monotonic_usec() + DEADLINE_USEC;

	while ((int32_t)(atomic_load(word) - value) < 0 &&
	       clock_monotonic_usec() < last)
		(void)sched_yield();
	return (int32_t)(atomic_load(word) - value) >= 0;
}

/* Waits until the process sleeps in a futex: /proc/PID/wchan may say nothing,
 * the number of the system call does. */
_unused_ static bool falls_asleep(pid_t pid)
{
	uint64_t last = clock_monotonic_usec() + DEADLINE_USEC;
	char path[64], text[16] = "";

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	while (clock_monotonic_usec() < last) {
		FILE *f = fopen(path, "re");

		ck_assert_ptr_nonnull(f);
		ck_assert_int_eq(fscanf(f, "%*d %*s %15s", text), 1);
		ck_assert_int_eq(fclose(f), 0);
		if (text[0] == 'S')
			return true;
		(void)sched_yield();
	}
	return false;
}

/* Who it is, it asks before: that is thousands of instructions, once. */
static void trace_me(int (*fn)(void *arg), void *arg)
{
	struct party self;

	party_self(&self);
	(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	(void)raise(SIGSTOP);
	_exit(fn(arg));
}

/* A sanitized program has many times the instructions, and no others that matter. */
#ifdef __SANITIZE_ADDRESS__
#define STEPS_SHARE(n) ((n) / 24 + 1)
#else
#define STEPS_SHARE(n) (n)
#endif

/* Runs fn in a child and kills it after n instructions of it (-1: never, but
 * counts). Returns how many there were; less than n when it had ended. */
static long step(int (*fn)(void *arg), void *arg, long n)
{
	pid_t pid = fork();
	int status = 0;
	long i;

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		trace_me(fn, arg);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSTOPPED(status));
	for (i = 0; i != n && i < STEPS_MAX; i++) {
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0 ||
		    waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
			break;
	}
	if (!WIFSTOPPED(status))
		return i;
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return i;
}

/* Kills fn after each of its instructions, or, in an ordinary run and when there
 * are more than most, after every k-th; check() looks at what is left, each
 * time. */
_unused_ static void step_through(int (*fn)(void *arg), void (*check)(void *),
				  void *arg, unsigned long most)
{
	long all = step(fn, arg, -1);
	long by = all / (long)rounds(STEPS_SHARE(most), STEPS_MAX) + 1;
	unsigned long n = 0;

	check(arg);
	for (long i = all - 1; i >= 0; i -= by, n++) {
		(void)step(fn, arg, i);
		check(arg);
	}
	unit_count(n, "kills");
}
