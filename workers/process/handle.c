/* What can be done with a process that runs or has ended.
 *
 * The pidfd is the truth; exit is what was last seen there, and final once the
 * process is reaped. Until then asking only looks (WNOWAIT), so that the pid,
 * and with it the number of its group and session, stays taken, and a tree can
 * still be ended. Who reaps is join, exit and free.
 *
 * waitid() says ECHILD when somebody else has reaped the process, or when
 * SIGCHLD is ignored; and then the pidfd tells whether it has ended. The kernel
 * keeps the exit code for whoever holds a pidfd since Linux 6.15.
 *
 * Invariant: lock is never held while something waits, so that a join for ever
 * in one thread hinders no kill in another.
 */
#include "workers/process/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/spawn.h"
#include "workers/process/family.h"
#include "workers/process/guard.h"

/* From linux/pidfd.h, which Debian 12's headers do not have: struct pidfd_info
 * as of 6.15, and what asks for it. */
#define PIDFD_INFO_EXIT (UINT64_C(1) << 3)

struct pidfd_info_exit {
	uint64_t mask, cgroup;
	uint32_t ids[11];
	int32_t exit_code; /* as wait(2) has it */
};

#define PIDFD_GET_INFO _IOWR(0xff, 11, struct pidfd_info_exit)

struct reeve_process *process_new(void)
{
	struct reeve_process *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->pidfd = p->guard_pidfd = -1;
	p->generation = family_generation();
	p->exit.code = REEVE_CODE_UNKNOWN;
	(void)pthread_mutex_init(&p->lock, NULL);
	return p;
}

struct reeve_process *process_delete(struct reeve_process *p)
{
	if (!p)
		return NULL;
	fd_close(p->pidfd);
	fd_close(p->guard_pidfd);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
	return NULL;
}

/* 0, or why this handle cannot be used here. */
static int check(const struct reeve_process *p)
{
	if (!p)
		return -EINVAL;
	return p->generation == family_generation() ? 0 : -ECHILD;
}

/* --- the end ------------------------------------------------------------- */

/* Waits for the end of the process behind pidfd. Returns 1 when it has ended,
 * or pidfd is none any more, as waitid() will tell; 0 at the deadline. */
static int poll_end(int pidfd, uint64_t deadline_usec)
{
	struct pollfd poll = { .fd = pidfd, .events = POLLIN };

	for (;;) {
		uint64_t left = usec_sub(deadline_usec, clock_monotonic_usec());
		struct timespec wait = {
			.tv_sec = (time_t)MIN(left / USEC_PER_SEC,
					      (uint64_t)INT32_MAX),
			.tv_nsec = (long)(left % USEC_PER_SEC) * 1000,
		};
		int r = ppoll(&poll, 1, &wait, NULL);

		if (r > 0)
			return 1;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == 0 && left < (uint64_t)INT32_MAX * USEC_PER_SEC)
			return 0;
	}
}

static void fill_exit(struct reeve_process *p, int code, bool core,
		      const struct rusage *rusage)
{
	bool is_signal = code < 0;
	bool is_riddle = code == -SIGKILL && !atomic_load(&p->was_killed);

	p->exit = (struct reeve_exit){
		.state = is_signal ? REEVE_EXIT_SIGNALED : REEVE_EXIT_EXITED,
		.code = code,
		.core = core,
		.oom = is_riddle ? REEVE_ANSWER_UNKNOWN : REEVE_ANSWER_NO,
		.pid = p->pid,
		.rusage = *rusage,
	};
}

/* Somebody else has reaped it: the kernel may remember, or nobody does. */
static void fill_lost_exit(struct reeve_process *p)
{
	struct pidfd_info_exit info = { .mask = PIDFD_INFO_EXIT };
	const struct rusage none = { 0 };

	if (ioctl(p->pidfd, PIDFD_GET_INFO, &info) == 0 &&
	    info.mask & PIDFD_INFO_EXIT) {
		int status = info.exit_code;

		fill_exit(p,
			  WIFSIGNALED(status) ? -WTERMSIG(status)
					      : WEXITSTATUS(status),
			  WIFSIGNALED(status) && WCOREDUMP(status), &none);
		return;
	}
	p->exit = (struct reeve_exit){
		.state = REEVE_EXIT_UNKNOWN,
		.code = REEVE_CODE_UNKNOWN,
		.oom = REEVE_ANSWER_UNKNOWN,
		.pid = p->pid,
	};
}

int process_settle(struct reeve_process *p, bool reap)
{
	struct rusage rusage = { 0 };
	bool core = false;
	int code, r;

	if (p->is_reaped)
		return 1;
	r = spawn_wait(p->pidfd, !reap, &code, &core, &rusage);
	if (r == 1) {
		fill_exit(p, code, core, &rusage);
	} else if (r == -ECHILD) {
		r = poll_end(p->pidfd, 0);
		if (r == 1)
			fill_lost_exit(p);
		reap = true;
	}
	if (r != 1 || !reap)
		return r;
	p->is_reaped = true;
	guard_end(&p->guard_pidfd);
	return 1;
}

static int settle_locked(struct reeve_process *p, bool reap,
			 struct reeve_exit *ret_exit)
{
	int r;

	(void)pthread_mutex_lock(&p->lock);
	r = process_settle(p, reap);
	if (r == 1 && ret_exit)
		*ret_exit = p->exit;
	(void)pthread_mutex_unlock(&p->lock);
	return r;
}

int process_await(struct reeve_process *p, uint64_t timeout_usec)
{
	uint64_t deadline = usec_add(clock_monotonic_usec(), timeout_usec);

	for (;;) {
		int r = settle_locked(p, true, NULL);

		if (r != 0)
			return r < 0 ? r : 0;
		r = poll_end(p->pidfd, deadline);
		if (r <= 0)
			return r < 0 ? r : -ETIMEDOUT;
	}
}

int reeve_process_join(reeve_process *process, uint64_t timeout_usec)
{
	int r = check(process);

	return r < 0 ? r : process_await(process, timeout_usec);
}

int reeve_process_is_alive(reeve_process *process)
{
	int r = check(process);

	if (r < 0)
		return r;
	r = settle_locked(process, false, NULL);
	return r < 0 ? r : !r;
}

int reeve_process_exitcode(reeve_process *process, int *ret_code)
{
	struct reeve_exit end = { 0 };
	int r = ret_code ? check(process) : -EINVAL;

	if (r == 0)
		r = settle_locked(process, false, &end);
	if (r <= 0)
		return r;
	if (end.state == REEVE_EXIT_UNKNOWN)
		return -ENODATA;
	*ret_code = end.code;
	return 1;
}

int reeve_process_exit(reeve_process *process, struct reeve_exit *ret_exit)
{
	int r = ret_exit ? check(process) : -EINVAL;

	return r < 0 ? r : settle_locked(process, true, ret_exit);
}

/* --- what it is ---------------------------------------------------------- */

const char *reeve_process_name(const reeve_process *process)
{
	return process ? process->name : NULL;
}

pid_t reeve_process_pid(const reeve_process *process)
{
	int r = check(process);

	return r < 0 ? r : process->pid;
}

int reeve_process_fd(const reeve_process *process)
{
	int r = check(process);

	return r < 0 ? r : process->pidfd;
}

/* --- signals ------------------------------------------------------------- */

int reeve_process_signal(reeve_process *process, int signo)
{
	int r = check(process);

	if (r == 0)
		r = reeve_process_is_alive(process);
	if (r <= 0)
		return r < 0 ? r : -ESRCH;
	if (signo == SIGKILL)
		atomic_store(&process->was_killed, true);
	return spawn_signal(process->pidfd, signo);
}

/* With the lock, so that no other thread reaps the leader meanwhile. */
static int signal_tree(struct reeve_process *p, int signo)
{
	struct tree_id id = {
		.leader = p->pid,
		.mark_name = PROCESS_MARK_NAME,
		.mark = p->mark,
	};

	if (p->is_reaped || spawn_signal(p->pidfd, 0) == -ESRCH)
		id.leader = 0;
	if (signo != SIGKILL)
		return tree_signal(&id, signo);
	atomic_store(&p->was_killed, true);
	return tree_kill(&id);
}

int reeve_process_signal_tree(reeve_process *process, int signo)
{
	int r = check(process);

	if (r < 0)
		return r;
	if (signo < 0 || signo >= _NSIG)
		return -EINVAL;
	(void)pthread_mutex_lock(&process->lock);
	r = signal_tree(process, signo);
	(void)pthread_mutex_unlock(&process->lock);
	return r;
}

static int end_by(struct reeve_process *p, int signo)
{
	int r = reeve_process_is_alive(p);

	if (r == 1 && p->life == REEVE_LIFE_TREE)
		r = reeve_process_signal_tree(p, signo);
	else if (r == 1)
		r = reeve_process_signal(p, signo);
	return r < 0 && r != -ESRCH ? r : 0;
}

int reeve_process_terminate(reeve_process *process)
{
	return end_by(process, SIGTERM);
}

int reeve_process_kill(reeve_process *process)
{
	return end_by(process, SIGKILL);
}

/* --- the end of a handle ------------------------------------------------- */

bool process_finish(struct reeve_process *p)
{
	if (reeve_process_kill(p) < 0) /* no memory to look for its tree */
		(void)spawn_signal(p->pidfd, SIGKILL);
	return process_await(p, PROCESS_FREE_WAIT_USEC) == 0;
}

reeve_process *reeve_process_free(reeve_process *process)
{
	bool has_ended;

	if (!process)
		return NULL;
	if (check(process) < 0) { /* its fds are not ours, or not open */
		free(process);
		return NULL;
	}
	family_remove(process);
	if (process->life == REEVE_LIFE_DETACHED)
		has_ended = process_settle(process, true) != 0;
	else
		has_ended = process_finish(process);
	if (has_ended)
		(void)process_delete(process);
	else
		family_release(process);
	family_sweep();
	return NULL;
}
