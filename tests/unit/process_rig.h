/* What the tests of workers/process/ share: starting, waiting with a deadline,
 * and what a child writes. On top of spawn_rig.h. Included once by each. */
#pragma once

#include <sys/socket.h>

#include <reeve/process.h>

#include "tests/unit/spawn_rig.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"

#define DEADLINE_USEC (DEADLINE_MSEC * USEC_PER_MSEC)

/* A start that has to succeed. */
_unused_ static reeve_process *start_process(struct reeve_process_spec spec)
{
	reeve_process *p = NULL;
	char why[256] = "";
	int r;

	spec.error = why;
	spec.error_size_bytes = sizeof(why);
	r = reeve_process_start(&spec, &p);
	ck_assert_msg(r == 0, "%d: %s", r, why);
	ck_assert_ptr_nonnull(p);
	return p;
}

/* Joins, frees, and returns the exit code; -ETIME when it does not end. */
_unused_ static int end_process(reeve_process *p)
{
	int code = -ETIME;

	if (reeve_process_join(p, DEADLINE_USEC) == 0)
		ck_assert_int_eq(reeve_process_exitcode(p, &code), 1);
	reeve_process_free(p);
	return code;
}

/* The exit code of a process that is started like this. */
_unused_ static int run_process(struct reeve_process_spec spec)
{
	return end_process(start_process(spec));
}

/* Runs spec with a pipe as its stdout; what it wrote (free it). */
_unused_ static char *process_output(struct reeve_process_spec spec,
				     int *ret_code)
{
	reeve_process *p;
	char *output;
	int pipe[2];

	ck_assert_int_eq(pipe2(pipe, O_CLOEXEC), 0);
	spec.stdout_fd = pipe[1];
	p = start_process(spec);
	fd_close(pipe[1]);
	output = read_all(pipe[0]);
	fd_close(pipe[0]);
	*ret_code = end_process(p);
	return output;
}

_unused_ static int return_arg(void *arg)
{
	return (int)(intptr_t)arg;
}

_unused_ static _Noreturn int sleep_on(_unused_ void *arg)
{
	for (;;)
		(void)pause();
}

/* The error and its words of a start that has to fail. */
_unused_ static int start_error(struct reeve_process_spec spec, char why[256])
{
	reeve_process *p = NULL;
	int r;

	why[0] = '\0';
	spec.error = why;
	spec.error_size_bytes = 256;
	r = reeve_process_start(&spec, &p);
	ck_assert_ptr_null(p);
	return r;
}
