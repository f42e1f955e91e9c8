/* What the tests of queues share: small queues, and children that act on them. */
#pragma once

#include <errno.h>
#include <reeve/queue.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/sys/clock.h"
#include "workers/shared/queue.h"

static inline reeve_queue *new_queue(uint32_t items, uint64_t bytes)
{
	struct reeve_queue_spec spec = { .max_items = items,
					 .max_bytes = bytes };
	reeve_queue *q = NULL;

	ck_assert_int_eq(reeve_queue_new(&spec, &q), 0);
	return q;
}

static inline void put_number(reeve_queue *q, uint64_t n)
{
	ck_assert_int_eq(reeve_queue_put(q, &n, sizeof(n), 0), 0);
}

static inline uint64_t get_number(reeve_queue *q)
{
	uint64_t n = 0;
	size_t size = 0;

	ck_assert_int_eq(reeve_queue_get(q, &n, sizeof(n), 1000000, &size), 0);
	ck_assert_uint_eq(size, sizeof(n));
	return n;
}

static inline int end_of(pid_t pid)
{
	int status = 0;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* fn in a child, which ends with what it returns. */
static inline pid_t child_of(int (*fn)(reeve_queue *q), reeve_queue *q)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn(q));
	ck_assert_int_gt(pid, 0);
	return pid;
}
