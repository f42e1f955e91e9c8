/* What the tests of tree.c and tree_kill.c (and of cgroup.c) share: families of
 * processes that say their pids. Included by each of them once, after
 * spawn_rig.h. */
#pragma once

#include <sched.h>
#include <sys/mman.h>

#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/tree.h"

#define BOMB_MAX 200
#define PIDS_MAX 512

/* What the processes of a test share. */
static struct shared {
	int n_started;
	int n_pids;
	pid_t pids[PIDS_MAX];
} * shared;

_unused_ static void share(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
}

/* fork(2), again and again while the machine is short of processes. */
_unused_ static pid_t fork_anyway(void)
{
	pid_t pid;

	while ((pid = fork()) < 0)
		(void)sched_yield();
	return pid;
}

_unused_ static void say_pid(void)
{
	int i = __atomic_fetch_add(&shared->n_pids, 1, __ATOMIC_SEQ_CST);

	shared->pids[i] = getpid();
	__atomic_fetch_add(&shared->n_started, 1, __ATOMIC_SEQ_CST);
}

_unused_ static void wait_for_pids(int n)
{
	uint64_t end = clock_monotonic_usec() + DEADLINE_MSEC * USEC_PER_MSEC;

	while (__atomic_load_n(&shared->n_started, __ATOMIC_SEQ_CST) < n) {
		ck_assert_msg(clock_monotonic_usec() < end,
			      "%d started, not %d", shared->n_started, n);
		(void)sched_yield();
	}
}

_unused_ static _Noreturn void wait_for_death(void)
{
	say_pid();
	for (;;)
		pause();
}

_unused_ static int start_nothing(_unused_ void *arg)
{
	wait_for_death();
}

/* An orphan of the caller's session, in its group or in one of its own. */
_unused_ static void leave_an_orphan(bool has_group)
{
	pid_t pid = fork_anyway();

	if (pid == 0) {
		if (has_group)
			(void)setpgid(0, 0);
		if (fork_anyway() == 0)
			wait_for_death();
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
}

_unused_ static int start_a_family(_unused_ void *arg)
{
	leave_an_orphan(false);
	leave_an_orphan(true);
	if (fork_anyway() == 0) { /* a plain child, and one of it */
		if (fork_anyway() == 0)
			wait_for_death();
		wait_for_death();
	}
	if (fork_anyway() == 0) { /* in a session of its own, below us */
		(void)setsid();
		wait_for_death();
	}
	wait_for_death();
}
#define FAMILY_SIZE 6

/* Forks as fast as it can, and its children too, BOMB_MAX in all; each is in a
 * session of its own. */
_unused_ static int start_a_bomb(_unused_ void *arg)
{
	while (__atomic_fetch_add(&shared->n_pids, 1, __ATOMIC_SEQ_CST) <
	       BOMB_MAX) {
		if (fork_anyway() != 0)
			continue;
		(void)setsid();
		__atomic_fetch_add(&shared->n_started, 1, __ATOMIC_SEQ_CST);
	}
	for (;;)
		pause();
	return 0;
}

/* All that is left below this process, or of the pids that were said. */
_unused_ static void check_nothing_lives(void)
{
	pid_t *pids = NULL;
	int n;

	do { /* whom we inherit while we reap */
		n = tree_children(&pids);
		ck_assert_int_ge(n, 0);
		for (int i = 0; i < n; i++) {
			int pidfd = pidfd_open(pids[i], 0), status;

			ck_assert_int_ge(pidfd, 0);
			ck_assert_msg(is_readable(pidfd), "%d lives",
				      (int)pids[i]);
			fd_close(pidfd);
			ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		}
		free(pids);
		pids = NULL;
	} while (n > 0);
}
