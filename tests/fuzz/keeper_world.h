/* The world of fuzz_keeper.c, in place of the system (-Wl,--wrap): processes that are
 * made up, their ends, what /proc says of them, and the clock. It looks at what the
 * keeper does to them. Included once. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/postmortem.h"
#include "workers/base/sys/procstat.h"
#include "workers/pool/keeper_room.h"

#define SEATS	    3
#define LIVES_MAX   128	    /* processes in one input */
#define FIRST_PID   5000001 /* beyond what the kernel gives: nobody's */
#define CHILDREN_FD -77	    /* no descriptor: pread() is ours */

/* A process: number i has the pid FIRST_PID + i. */
struct life {
	bool is_worker, is_dead, is_reaped;
	int code, status; /* CLD_..., and the number */
	int lifeline_fd;  /* its end */
	pid_t pgrp;
};

static struct world {
	bool is_inside; /* keeper_main(): else the wrapped are the real ones */
	struct life lives[LIVES_MAX];
	unsigned n_lives;
	bool does_fork_fail;
	uint64_t now_usec;
	int death_fd; /* stands for SIGCHLD */
	struct keeper *keeper;
	bool has_news; /* there is something to wake up for */
	int code;
	sigjmp_buf out;
} world;

static void ring(int fd)
{
	static const uint64_t one = 1;

	world.has_news = true;
	(void)!write(fd, &one, sizeof(one));
}

/* ---- processes ------------------------------------------------------------- */

/* One that lives, or is to be reaped; else NULL. */
static struct life *find_life(pid_t pid)
{
	struct life *l;

	if (pid < FIRST_PID || pid - FIRST_PID >= (pid_t)world.n_lives)
		return NULL;
	l = &world.lives[pid - FIRST_PID];
	return l->is_reaped ? NULL : l;
}

static pid_t pid_of(const struct life *l)
{
	return FIRST_PID + (pid_t)(l - world.lives);
}

static struct life *any_life(uint8_t which)
{
	struct life *l =
		world.n_lives ? &world.lives[which % world.n_lives] : NULL;

	return l && !l->is_reaped ? l : NULL;
}

static void die(struct life *l, int code, int status)
{
	if (l->is_dead)
		return;
	l->is_dead = true;
	l->code = code;
	l->status = status;
	l->lifeline_fd = fd_close(l->lifeline_fd);
	ring(world.death_fd);
}

static struct life *new_life(bool is_worker)
{
	struct life *l = &world.lives[world.n_lives];

	if (world.n_lives == LIVES_MAX)
		return NULL;
	world.n_lives++;
	*l = (struct life){ .is_worker = is_worker, .lifeline_fd = -1 };
	l->pgrp = pid_of(l);
	return l;
}

/* What a dead worker left. It may have gone into anybody's group. */
static void leave_orphan(uint8_t group)
{
	struct life *l = new_life(false), *other = any_life(group >> 2);
	const pid_t groups[] = { l ? pid_of(l) : 0, other ? pid_of(other) : 1,
				 getpid(), 0 };

	if (l)
		l->pgrp = groups[group % ARRAY_SIZE(groups)];
}

static unsigned count_workers(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < world.n_lives; i++)
		n += world.lives[i].is_worker && !world.lives[i].is_reaped;
	return n;
}

/* ---- what the keeper calls -------------------------------------------------- */

_Noreturn void __real__exit(int code);
_Noreturn void __wrap__exit(int code);
pid_t __real_fork(void);
pid_t __wrap_fork(void);
void __real_lifeline_begin(const struct keeper *k, size_t i);
void __wrap_lifeline_begin(const struct keeper *k, size_t i);
int __wrap_kill(pid_t pid, int signo);
int __wrap_tgkill(pid_t pid, pid_t tid, int signo);
long __wrap_syscall(long number, ...);
int __wrap_madvise(void *p, size_t size, int advice);
ssize_t __real_pread(int fd, void *bytes, size_t size, off_t at);
ssize_t __wrap_pread(int fd, void *bytes, size_t size, off_t at);
uint64_t __real_clock_monotonic_usec(void);
uint64_t __wrap_clock_monotonic_usec(void);
int __wrap_procstat_read(pid_t pid, struct tree_process *ret);
int __wrap_tree_kill(const struct tree_id *id);
int __wrap_postmortem_describe(pid_t pid, char *text, size_t size);
void __wrap_oom_open(struct oom *oom);

_Noreturn void __wrap__exit(int code)
{
	if (!world.is_inside)
		__real__exit(code);
	world.code = code;
	for (size_t i = 0; i < SEATS; i++) {
		const struct lifeline *l = &world.keeper->workers[i].lifeline;

		reeve_assert(l->fd < 0 && l->worker_fd < 0);
	}
	siglongjmp(world.out, 1);
}

/* It has been forked: what it inherited. */
void __wrap_lifeline_begin(const struct keeper *k, size_t i)
{
	struct life *l = find_life(k->workers[i].pid);

	reeve_assert(l && l->is_worker && l->lifeline_fd < 0);
	l->lifeline_fd =
		fcntl(k->workers[i].lifeline.worker_fd, F_DUPFD_CLOEXEC, 0);
	reeve_assert(l->lifeline_fd >= 0);
	__real_lifeline_begin(k, i);
}

/* While it closes there may be more than wanted: successors for what is queued. */
static pid_t start_worker(void)
{
	const struct board *b = world.keeper->board;
	uint32_t order = atomic_load(&b->order);
	uint32_t most = order == ORDER_RUN ? atomic_load(&b->target) : SEATS;
	struct life *l = world.does_fork_fail ? NULL : new_life(true);

	reeve_assert(order != ORDER_TERMINATE && !world.keeper->is_owner_gone);
	reeve_assert(atomic_load(&b->state) != KEEPER_FATAL);
	if (!l) {
		errno = EAGAIN;
		return -1;
	}
	reeve_assert(count_workers() <= most);
	return pid_of(l);
}

pid_t __wrap_fork(void)
{
	return world.is_inside ? start_worker() : __real_fork();
}

/* A worker that nobody has condemned is not to be killed with others. */
static bool is_doomed(const struct life *l)
{
	const struct keeper *k = world.keeper;

	for (size_t i = 0; l->is_worker && !l->is_dead && i < SEATS; i++)
		if (k->workers[i].pid == pid_of(l))
			return k->workers[i].cause != CAUSE_OWN;
	return true;
}

/* Returns whether anybody is in that group. */
static bool kill_group(pid_t pgrp)
{
	bool is_any = false;

	reeve_assert(pgrp != getpid());
	for (unsigned i = 0; i < world.n_lives; i++) {
		struct life *l = &world.lives[i];

		if (l->is_reaped || l->pgrp != pgrp)
			continue;
		reeve_assert(is_doomed(l));
		is_any = true;
		die(l, CLD_KILLED, SIGKILL);
	}
	return is_any;
}

/* Nobody but workers, orphans and their groups. */
int __wrap_kill(pid_t pid, int signo)
{
	struct life *l = find_life(pid);

	if (signo == 0) { /* is it there? */
		errno = ESRCH;
		return l ? 0 : -1;
	}
	reeve_assert(world.is_inside && signo == SIGKILL);
	if (pid < 0) {
		reeve_assert(kill_group(-pid));
		return 0;
	}
	reeve_assert(l && is_doomed(l));
	die(l, CLD_KILLED, SIGKILL);
	return 0;
}

int __wrap_tgkill(pid_t pid, pid_t tid, int signo)
{
	const struct life *l = find_life(pid);

	reeve_assert(l && l->is_worker && tid == pid);
	reeve_assert(signo == world.keeper->config->soft_signal);
	return 0;
}

static long reap(siginfo_t *info, struct rusage *rusage)
{
	bool is_any = false;

	memset(rusage, 0, sizeof(*rusage));
	for (unsigned i = 0; i < world.n_lives; i++) {
		struct life *l = &world.lives[i];

		is_any |= !l->is_reaped;
		if (l->is_reaped || !l->is_dead)
			continue;
		l->is_reaped = true;
		info->si_pid = pid_of(l);
		info->si_code = l->code;
		info->si_status = l->status;
		return 0;
	}
	errno = ECHILD;
	return is_any ? 0 : -1;
}

/* waitid(), and waking a futex. */
long __wrap_syscall(long number, ...)
{
	struct rusage *rusage;
	siginfo_t *info;
	va_list ap;

	if (number != SYS_waitid)
		return 0;
	va_start(ap, number);
	(void)va_arg(ap, int);
	(void)va_arg(ap, int);
	info = va_arg(ap, siginfo_t *);
	(void)va_arg(ap, int);
	rusage = va_arg(ap, struct rusage *);
	va_end(ap);
	return reap(info, rusage);
}

int __wrap_madvise(void *p _unused_, size_t size _unused_, int advice _unused_)
{
	return 0;
}

/* /proc/thread-self/children: as much as goes into it, as the kernel does. */
ssize_t __wrap_pread(int fd, void *bytes, size_t size, off_t at)
{
	char text[16];
	size_t len = 0;

	if (fd != CHILDREN_FD)
		return __real_pread(fd, bytes, size, at);
	for (unsigned i = 0; i < world.n_lives; i++) {
		int n = snprintf(text, sizeof(text), "%d ", FIRST_PID + (int)i);

		if (world.lives[i].is_reaped)
			continue;
		n = (int)MIN((size_t)n, size - len);
		memcpy((char *)bytes + len, text, (size_t)n);
		len += (size_t)n;
	}
	return (ssize_t)len;
}

uint64_t __wrap_clock_monotonic_usec(void)
{
	return world.is_inside ? world.now_usec : __real_clock_monotonic_usec();
}

int __wrap_procstat_read(pid_t pid, struct tree_process *ret)
{
	const struct life *l = find_life(pid);

	if (!l)
		return -ESRCH;
	*ret = (struct tree_process){ .pid = pid,
				      .ppid = world.keeper->pid,
				      .pgrp = l->pgrp,
				      .state = l->is_dead ? 'Z' : 'S' };
	return 0;
}

int __wrap_tree_kill(const struct tree_id *id)
{
	reeve_assert(find_life(id->leader));
	return 0;
}

int __wrap_postmortem_describe(pid_t pid, char *text, size_t size)
{
	reeve_assert(find_life(pid));
	memset(text, 'x', size - 1);
	text[size - 1] = '\0';
	return 0;
}

void __wrap_oom_open(struct oom *oom)
{
	oom->fd = -1;
}
