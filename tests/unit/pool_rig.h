/* What the tests of the pool share: functions that do what tasks do, well and
 * badly, a table of them for the contexts that execute, and pools in every
 * mode. A test program has POOL_MAIN instead of UNIT_LOOP_MAIN.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <reeve/pool.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"

#define LONG_WAIT (15 * USEC_PER_SEC)

/* ---- tasks ------------------------------------------------------------------ */

static inline int square(void *input, size_t size, struct reeve_reply *reply)
{
	uint64_t x;

	if (size != sizeof(x))
		return reeve_reply_error(reply, -EINVAL, "%zu bytes", size);
	memcpy(&x, input, sizeof(x));
	x *= x;
	return reeve_reply_set(reply, &x, sizeof(x));
}

static inline int echo(void *input, size_t size, struct reeve_reply *reply)
{
	return reeve_reply_set(reply, input, size);
}

static inline int tell_pid(void *input _unused_, size_t size _unused_,
			   struct reeve_reply *reply)
{
	uint64_t pid = (uint64_t)getpid();

	return reeve_reply_set(reply, &pid, sizeof(pid));
}

/* Says what it was told to say. */
static inline int fail_on(void *input, size_t size, struct reeve_reply *reply)
{
	return reeve_reply_error(reply, -EIO, "failed on %.*s", (int)size,
				 (const char *)input);
}

/* What becomes of items 0, 1, 2, ... in turns. */
enum says { SAYS_OUTPUT, SAYS_TEXT, SAYS_SHORT_TEXT, SAYS_NOTHING, SAYS_COUNT };

static inline int say(void *input, size_t size, struct reeve_reply *reply)
{
	uint64_t i;
	int r;

	memcpy(&i, input, size);
	r = reeve_reply_set(reply, "output", 6);
	switch ((enum says)(i % SAYS_COUNT)) {
	case SAYS_TEXT:
		return reeve_reply_error(
			reply, -EIO, "item %d is not what it was said to be",
			(int)i);
	case SAYS_SHORT_TEXT:
		return reeve_reply_error(reply, -EIO, "no %d", (int)i);
	case SAYS_NOTHING:
		return -EIO;
	case SAYS_OUTPUT:
	case SAYS_COUNT:
		break;
	}
	return r;
}

static inline int wait_for_ever(void *input _unused_, size_t size _unused_,
				struct reeve_reply *reply _unused_)
{
	for (;;)
		pause();
	return 0;
}

/* In a worker that has done nothing of its kind. */
static inline int hang_at_third(void *input, size_t size,
				struct reeve_reply *reply)
{
	static int n;

	return ++n == 3 ? wait_for_ever(input, size, reply) : 0;
}

static inline int sleep_usec(void *input, size_t size,
			     struct reeve_reply *reply _unused_)
{
	uint64_t usec = 0;

	memcpy(&usec, input, size < sizeof(usec) ? size : sizeof(usec));
	(void)poll(NULL, 0, (int)(usec / USEC_PER_MSEC));
	return reeve_reply_set(reply, &usec, sizeof(usec));
}

enum ending {
	END_KILL,
	END_SEGV,
	END_ABORT,
	END_EXIT_0,
	END_EXIT_3,
	END_CLOSE_FDS,
	END_EXEC,
	END_FORK_AND_DIE, /* a child goes on */
	END_COUNT
};

/* Sanitizers have handlers of their own. */
static inline void by_default(int signo)
{
	(void)sigaction(signo, &(struct sigaction){ .sa_handler = SIG_DFL },
			NULL);
}

static inline void end_in_a_way(enum ending way)
{
	static char name[] = "sleep", seconds[] = "1000";
	char *const argv[] = { name, seconds, NULL };

	switch (way) {
	case END_KILL:
		(void)kill(getpid(), SIGKILL);
		break;
	case END_SEGV:
		by_default(SIGSEGV);
		(void)raise(SIGSEGV);
		break;
	case END_ABORT:
		by_default(SIGABRT);
		abort();
	case END_EXIT_0:
		exit(0);
	case END_EXIT_3:
		exit(3);
	case END_CLOSE_FDS:
		(void)close_range(3, ~0U, 0);
		for (;;)
			pause();
	case END_EXEC:
		(void)execv("/bin/sleep", argv);
		break;
	case END_FORK_AND_DIE:
		if (fork() == 0)
			for (;;)
				pause();
		(void)kill(getpid(), SIGKILL);
		break;
	case END_COUNT:
		break;
	}
	_exit(99);
}

static inline int end_somehow(void *input, size_t size _unused_,
			      struct reeve_reply *reply _unused_)
{
	uint64_t way;

	memcpy(&way, input, sizeof(way));
	end_in_a_way((enum ending)way);
	return 0;
}

/* A task that notes each of its runs in a file, ends its worker in the first
 * n_crashes of them (END_COUNT: hangs), and then says how many runs there were. */
struct crash_plan {
	char path[96];
	uint64_t n_crashes, way;
};

static inline int crash_first(void *input, size_t size _unused_,
			      struct reeve_reply *reply)
{
	const struct crash_plan *plan = input;
	int fd = open(plan->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
		      0600);
	uint64_t n;

	if (fd < 0 || write(fd, "", 1) != 1)
		return -EIO;
	n = (uint64_t)lseek(fd, 0, SEEK_END);
	(void)close(fd);
	while (n <= plan->n_crashes && plan->way == END_COUNT)
		pause();
	if (n <= plan->n_crashes)
		end_in_a_way((enum ending)plan->way);
	return reeve_reply_set(reply, &n, sizeof(n));
}

/* Squares, but whose number is divisible by 10 kills its worker. */
static inline int square_or_die(void *input, size_t size,
				struct reeve_reply *reply)
{
	uint64_t x;

	memcpy(&x, input, sizeof(x));
	if (x % 10 == 0)
		(void)kill(getpid(), SIGKILL);
	return square(input, size, reply);
}

static inline int tell_size(void *input _unused_, size_t size,
			    struct reeve_reply *reply)
{
	uint64_t n = size;

	return reeve_reply_set(reply, &n, sizeof(n));
}

/* An output of so many bytes; its last ones are the input. */
static inline int inflate(void *input, size_t size, struct reeve_reply *reply)
{
	unsigned char *p;
	uint64_t n;

	memcpy(&n, input, sizeof(n));
	p = reeve_reply_reserve(reply, n);
	if (!p)
		return -errno;
	memcpy(p + n - size, input, size);
	return 0;
}

static int initialized;

static inline int initialize(void *argument, size_t size)
{
	if (size != 4 || memcmp(argument, "init", 4) != 0)
		return -EINVAL;
	initialized = 7;
	return 0;
}

static inline int tell_initialized(void *input _unused_, size_t size _unused_,
				   struct reeve_reply *reply)
{
	uint64_t n = (uint64_t)initialized;

	return reeve_reply_set(reply, &n, sizeof(n));
}

static inline int init_fails(void *argument _unused_, size_t size _unused_)
{
	return -EACCES;
}

static inline int init_dies(void *argument _unused_, size_t size _unused_)
{
	(void)kill(getpid(), SIGKILL);
	return 0;
}

static inline int init_hangs(void *argument _unused_, size_t size _unused_)
{
	for (;;)
		pause();
	return 0;
}

static const struct reeve_function pool_functions[] = {
	{ "square", square, NULL },
	{ "echo", echo, NULL },
	{ "say", say, NULL },
	{ "tell_pid", tell_pid, NULL },
	{ "fail_on", fail_on, NULL },
	{ "wait_for_ever", wait_for_ever, NULL },
	{ "hang_at_third", hang_at_third, NULL },
	{ "sleep_usec", sleep_usec, NULL },
	{ "end_somehow", end_somehow, NULL },
	{ "square_or_die", square_or_die, NULL },
	{ "crash_first", crash_first, NULL },
	{ "inflate", inflate, NULL },
	{ "tell_size", tell_size, NULL },
	{ "tell_initialized", tell_initialized, NULL },
	{ "initialize", NULL, initialize },
	{ "init_fails", NULL, init_fails },
	{ "init_dies", NULL, init_dies },
	{ "init_hangs", NULL, init_hangs },
	{ NULL, NULL, NULL },
};

/* ---- modes ------------------------------------------------------------------- */

/* ThreadSanitizer's own thread is one too many for a fork. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CONTEXT_OF_COPIES REEVE_CONTEXT_FORKSERVER
#endif
#endif
#ifndef CONTEXT_OF_COPIES
#define CONTEXT_OF_COPIES REEVE_CONTEXT_FORK
#endif

static const struct pool_mode {
	enum reeve_context context;
	enum reeve_service service;
} pool_modes[] = {
	{ CONTEXT_OF_COPIES, REEVE_SERVICE_CALLER },
	{ CONTEXT_OF_COPIES, REEVE_SERVICE_THREAD },
	{ REEVE_CONTEXT_FORKSERVER, REEVE_SERVICE_CALLER },
	{ REEVE_CONTEXT_SPAWN, REEVE_SERVICE_THREAD },
};

static inline struct reeve_pool *new_pool(int mode, struct reeve_pool_spec spec)
{
	struct reeve_pool *pool = NULL;
	int r;

	spec.context = pool_modes[mode].context;
	spec.service = pool_modes[mode].service;
	spec.processes = spec.processes ? spec.processes : 2;
	r = reeve_pool_new(&spec, &pool);
	ck_assert_int_eq(r, 0);
	return pool;
}

/* The square of x, by the pool. */
static inline void check_square(struct reeve_pool *pool, uint64_t x)
{
	uint64_t y = 0;
	size_t size = 0;
	int r = reeve_pool_apply(pool, square, &x, sizeof(x), &y,
				 (size = sizeof(y), &size), NULL);

	ck_assert_int_eq(r, 0);
	ck_assert_uint_eq(size, sizeof(y));
	ck_assert_uint_eq(y, x * x);
}

/* Until n tasks are running. */
static inline void wait_until_running(struct reeve_pool *pool, uint64_t n)
{
	struct reeve_pool_stats stats = { 0 };
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;

	while (stats.n_running != n && clock_monotonic_usec() < end) {
		(void)reeve_pool_dispatch(pool);
		reeve_pool_stats(pool, &stats);
	}
	ck_assert_uint_eq(stats.n_running, n);
}

/* Everything is as it should be at the end. */
static inline void end_pool(struct reeve_pool *pool)
{
	check_square(pool, 12);
	ck_assert_int_eq(reeve_pool_close(pool), 0);
	ck_assert_int_eq(reeve_pool_join(pool, LONG_WAIT), 0);
	ck_assert_ptr_null(reeve_pool_free(pool));
}

struct heard {
	int n_good, n_bad;
	enum reeve_outcome_kind kind;
};

static inline void on_good(struct reeve_result *result, void *userdata)
{
	struct heard *h = userdata;

	h->n_good += reeve_result_successful(result) == 1;
}

static inline void on_bad(struct reeve_result *result, void *userdata)
{
	struct heard *h = userdata;
	struct reeve_outcome outcome;

	reeve_result_outcome(result, &outcome);
	h->kind = outcome.kind;
	h->n_bad++;
}

#define POOL_MAIN(suite, ...)                                                  \
	int main(int argc, char **argv)                                        \
	{                                                                      \
		const TTest *const tests[] = { __VA_ARGS__ };                  \
		if (reeve_pool_setup(pool_functions) < 0)                      \
			return 2;                                              \
		return unit_loop_main(suite, ARRAY_SIZE(pool_modes), tests,    \
				      ARRAY_SIZE(tests),                       \
				      argc > 0 ? argv + 1 : argv);             \
	}
