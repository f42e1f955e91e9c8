/* What the tests of spawn.c, spawn_child.c, tree.c and cgroup.c share: waiting
 * with a deadline, the output of a program, and system calls that fail at will.
 * Included by each of them once. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/buf.h"
#include "workers/base/pure/str.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/spawn.h"

#define DEADLINE_MSEC 10000
#define OUTPUT_MAX    65536
#define NOBODY	      65534

/* Becomes an ordinary user, if we are none yet. For children of a test. */
_unused_ static void become_ordinary(void)
{
	if (geteuid() == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
		_exit(99);
}

/* Whom a child of ours may become: nobody, or, when we are not root, only what
 * we are. */
_unused_ static struct spawn_credentials ordinary_credentials(void)
{
	bool is_root = geteuid() == 0;

	return (struct spawn_credentials){ .uid = is_root ? NOBODY : getuid(),
					   .gid = is_root ? NOBODY : getgid() };
}

/* True when fd becomes readable in time. */
_unused_ static bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int r;

	do
		r = poll(&p, 1, DEADLINE_MSEC);
	while (r < 0 && errno == EINTR);
	return r == 1;
}

/* Waits for the report and closes it. Returns as spawn_read_report(), or
 * -ETIME. Does not use libcheck: also for children of a test. */
_unused_ static int take_report(struct spawn_child *child,
				struct spawn_failure *ret_failure)
{
	int r = is_readable(child->report_fd)
			? spawn_read_report(child->report_fd, ret_failure)
			: -ETIME;

	child->report_fd = fd_close(child->report_fd);
	return r;
}

/* Waits for its end, reaps it, and closes what is open. Returns the exit code
 * as spawn_wait() tells it, or -ETIME. */
_unused_ static int take_exit(struct spawn_child *child)
{
	bool core;
	int code = -ETIME;

	if (is_readable(child->pidfd) &&
	    spawn_wait(child->pidfd, false, &code, &core, NULL) != 1)
		code = -ECHILD;
	child->report_fd = fd_close(child->report_fd);
	child->pidfd = fd_close(child->pidfd);
	return code;
}

/* The shell with a script; one at a time. */
_unused_ static char *const *shell(const char *script)
{
	static char sh[] = "/bin/sh", dash_c[] = "-c", text[256];
	static char *const argv[] = { sh, dash_c, text, NULL };

	(void)snprintf(text, sizeof(text), "%s", script);
	return argv;
}

/* A start that has to succeed. */
_unused_ static struct spawn_child start_child(const struct spawn_spec *spec)
{
	struct spawn_failure failure = { 0 };
	struct spawn_child child;
	char text[256];

	ck_assert_int_eq(spawn_start(spec, &child), 0);
	ck_assert_msg(take_report(&child, &failure) == 0, "%s",
		      spawn_failure_text(&failure, NULL, text, sizeof(text)));
	return child;
}

/* Reads to the end of file into a new string (free it). */
_unused_ static char *read_all(int fd)
{
	struct buf b = BUF_INIT(OUTPUT_MAX);
	char chunk[4096];
	ssize_t n;

	while (is_readable(fd) && (n = read(fd, chunk, sizeof(chunk))) > 0)
		(void)buf_append(&b, chunk, (size_t)n);
	if (b.len == 0)
		(void)buf_puts(&b, "");
	return buf_take(&b);
}

/* Runs spec, to whose fds a pipe as 1 is added, to its end. Returns what it
 * wrote (free it), also when it was never executed: see *ret_code. */
_unused_ static char *run_for_output(struct spawn_spec spec, int *ret_code)
{
	struct spawn_fd fds[SPAWN_FDS_MAX];
	struct spawn_child child;
	char *output;
	int pipe[2];

	if (pipe2(pipe, O_CLOEXEC) < 0)
		abort();
	for (size_t i = 0; i < spec.n_fds; i++)
		fds[i] = spec.fds[i];
	fds[spec.n_fds++] = (struct spawn_fd){ pipe[1], 1 };
	spec.fds = fds;
	if (spawn_start(&spec, &child) < 0)
		abort();
	fd_close(pipe[1]);
	output = read_all(pipe[0]);
	fd_close(pipe[0]);
	*ret_code = take_exit(&child);
	return output;
}

/* The line of text that begins with key, without it and the blanks behind, in
 * a static buffer; "" when there is none. */
_unused_ static const char *line_of(const char *text, const char *key)
{
	static char value[512];

	value[0] = '\0';
	for (const char *p = text; p && *p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (!str_has_prefix(p, key))
			continue;
		p += strlen(key);
		p += strspn(p, " \t");
		(void)snprintf(value, sizeof(value), "%.*s",
			       (int)strcspn(p, "\n"), p);
		break;
	}
	return value;
}

/* From now on, in this process and its children, the system call fails with
 * error; only when its first argument is arg0, unless that is -1. */
_unused_ static void refuse_syscall(long number, long arg0, int error)
{
	unsigned any = arg0 < 0;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)arg0, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JA, 0, 0, 0),
		BPF_STMT(BPF_RET | BPF_K,
			 SECCOMP_RET_ERRNO | ((unsigned)error & 0xffff)),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(code), code };

	/* not arg0: go on to "refuse" when any will do, or to "allow" */
	code[4].k = any ? 0 : 1;
	/* no_new_privs would hide what it is about; root needs it not */
	if (geteuid() != 0)
		(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		abort();
}

/* "RLIMIT EPERM 7": which stage failed and how, in a static buffer. */
_unused_ static const char *failure_name(const struct spawn_failure *failure)
{
	static const char *const names[] = {
#define X(name, text) [SPAWN_STAGE_##name] = #name,
		SPAWN_STAGES(X)
#undef X
	};
	static char text[64];

	(void)snprintf(text, sizeof(text), "%s %s %d", names[failure->stage],
		       strerrorname_np(failure->error), (int)failure->detail);
	return text;
}
