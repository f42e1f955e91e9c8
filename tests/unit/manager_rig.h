/* Managers for tests: a server of the program beside the test, proxies, and values
 * compared as text. */
#pragma once

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <reeve/manager.h>
#include <reeve/process.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"

#define LONG_WAIT (15 * USEC_PER_SEC)

/* build/reeve-manager, seen from build/tests/unit/test_... */
static inline void find_program(void)
{
	char self[PATH_MAX] = "", path[PATH_MAX + 16];

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		perror("/proc/self/exe");
	(void)snprintf(path, sizeof(path), "%s/../..", dirname(self));
	(void)setenv("REEVE_LIBEXECDIR", path, 1);
}

#define MANAGER_MAIN(suite, ...)                                               \
	int main(int argc, char **argv)                                        \
	{                                                                      \
		const TTest *const tests[] = { __VA_ARGS__ };                  \
		find_program();                                                \
		return unit_loop_main(suite, 1, tests, ARRAY_SIZE(tests),      \
				      argc > 0 ? argv + 1 : argv);             \
	}

static inline reeve_manager *start_manager(struct reeve_manager_spec spec)
{
	reeve_manager *m = NULL;

	ck_assert_int_eq(reeve_manager_start(&spec, &m), 0);
	return m;
}

static inline reeve_manager *connect_to(reeve_manager *m)
{
	reeve_manager *other = NULL;
	size_t size;
	const void *key = reeve_manager_authkey(m, &size);

	ck_assert_int_eq(reeve_manager_connect(reeve_manager_address(m), key,
					       size, LONG_WAIT, &other),
			 0);
	return other;
}

static inline reeve_proxy *open_sized(reeve_manager *m,
				      enum reeve_object_kind kind,
				      const char *name, size_t size)
{
	const struct reeve_object_spec spec = { .size = size };
	reeve_proxy *p = NULL;

	ck_assert_int_ge(reeve_proxy_open(m, kind, name, &spec, &p), 0);
	return p;
}

static inline reeve_proxy *open_one(reeve_manager *m,
				    enum reeve_object_kind kind,
				    const char *name)
{
	return open_sized(m, kind, name, 0);
}

/* Frees the value. */
static inline void check_value(struct reeve_any *value, const char *wanted)
{
	char text[512];

	(void)reeve_any_print(value, text, sizeof(text));
	ck_assert_str_eq(text, wanted);
	reeve_any_free(value);
}

/* Kills the server, and waits until it is gone. */
static inline void kill_server(reeve_manager *m)
{
	uint64_t end = clock_monotonic_usec() + LONG_WAIT;
	pid_t pid;

	/* it serves before its keeper has said so */
	while ((pid = reeve_manager_pid(m)) == 0 &&
	       clock_monotonic_usec() < end)
		(void)poll(NULL, 0, 1);
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	while (kill(pid, 0) == 0 && clock_monotonic_usec() < end)
		(void)poll(NULL, 0, 1);
	ck_assert_int_eq(kill(pid, 0), -1);
}
