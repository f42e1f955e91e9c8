/* The parent's side of a start; the child's is spawn_child.c.
 *
 * A program is cloned without CLONE_VM. vfork would be faster, but then the
 * child's troubles are ours until it execs: an OOM kill in its cgroup takes us
 * along, a frozen cgroup, a fifo or a dead NFS server blocks us, a setresuid
 * makes us undumpable. The clone costs page tables, so supervisors stay small.
 *
 * Who cannot clone3 (older container runtimes forbid it) forks instead, as for
 * a function: the child waits at a gate, a pipe, until its pidfd is open. It
 * cannot end and be replaced by a stranger of the same number before that.
 *
 * A child is born in its cgroup. Where that is refused, or kills it (see
 * cgroup.h), it goes there itself, which costs more and is told the same way
 * when it fails.
 *
 * All signals are blocked around the birth: no handler of the parent ever runs
 * in the child. What arrives in between waits, and then does what it does by
 * default.
 */
#include "workers/base/sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/pidfd.h"
#include "workers/base/sys/report.h"
#include "workers/base/sys/spawn_child.h"
#include "workers/base/sys/streams.h"

#define KERNEL_SIGSET_BYTES ((_NSIG - 1) / 8)
#define SHARED_STACK_BYTES  ((size_t)64 << 10)

/* A child that shares our memory leaves frames behind that AddressSanitizer
 * takes for living ones. */
#if defined(__SANITIZE_ADDRESS__)
#define CAN_SHARE_MEMORY false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CAN_SHARE_MEMORY false
#endif
#endif
#ifndef CAN_SHARE_MEMORY
#define CAN_SHARE_MEMORY true
#endif

/* --- the spec ------------------------------------------------------------ */

static bool are_fds_valid(const struct spawn_spec *spec)
{
	uint64_t wanted = 0;

	if (spec->n_fds > SPAWN_FDS_MAX)
		return false;
	for (size_t i = 0; i < spec->n_fds; i++) {
		const struct spawn_fd *fd = &spec->fds[i];

		if (fd->from < 0 || fd->to < 0 || fd->to >= SPAWN_FDS_MAX ||
		    wanted & UINT64_C(1) << fd->to)
			return false;
		wanted |= UINT64_C(1) << fd->to;
	}
	return true;
}

static bool is_valid(const struct spawn_spec *spec)
{
	const struct spawn_credentials *c = spec->credentials;

	if (!spec->function == !spec->argv)
		return false;
	if (spec->argv && !spec->argv[0])
		return false;
	if (c && (c->uid == (uid_t)-1 || c->gid == (gid_t)-1 ||
		  c->n_groups > NGROUPS_MAX))
		return false;
	return spec->parent_death_signal >= 0 &&
	       spec->parent_death_signal < _NSIG && are_fds_valid(spec);
}

/* --- birth --------------------------------------------------------------- */

/* All of them: sigfillset() leaves out those that glibc uses itself. */
static void block_signals(sigset_t *ret_old)
{
	sigset_t all;

	memset(&all, 0xff, sizeof(all));
	sigemptyset(ret_old);
	(void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, ret_old,
		      KERNEL_SIGSET_BYTES);
}

static void restore_signals(const sigset_t *old)
{
	(void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, old, NULL,
		      KERNEL_SIGSET_BYTES);
}

/* Like fork(2), and with a pidfd; into cgroup_fd unless it is -1. A sibling is
 * a child of our parent, with the exit signal that we have. */
static pid_t clone_process(int cgroup_fd, bool is_sibling, int *pidfd)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND |
			 (is_sibling ? CLONE_PARENT : 0),
		.pidfd = (uint64_t)(uintptr_t)pidfd,
		.exit_signal = is_sibling ? 0 : SIGCHLD,
	};
	pid_t pid;
	int error;

	if (cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup_fd;
	}
	report_freeze();
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0) {
		report_leave_others();
		return 0;
	}
	error = errno;
	report_thaw();
	errno = error;
	return pid;
}

static bool is_shortage(int error)
{
	return error == EAGAIN || error == ENOMEM || error == EMFILE ||
	       error == ENFILE;
}

/* A cgroup that cannot be entered is left to the child, which tells why. */
static int start_by_clone(struct spawn_plan *plan, struct spawn_child *child)
{
	const struct spawn_spec *spec = plan->spec;
	bool is_into = spec->cgroup_fd >= 0 && !spec->enter_late;
	pid_t pid = -1;

	if (is_into)
		pid = clone_process(spec->cgroup_fd, plan->is_sibling,
				    &child->pidfd);
	if (!is_into || (pid < 0 && !is_shortage(errno))) {
		plan->enter_cgroup = spec->cgroup_fd >= 0;
		pid = clone_process(-1, plan->is_sibling, &child->pidfd);
	}
	if (pid == 0)
		spawn_child_run(plan);
	if (pid < 0)
		return -errno;
	child->pid = pid;
	child->pidfd = fd_lift(child->pidfd);
	return 0;
}

static int run_sharing(void *plan)
{
	spawn_child_run(plan);
}

/* Returns when the child has executed or failed; the calling thread stands
 * still meanwhile, so that its TLS (errno) is the child's alone. The child
 * changes the plan, of which we need nothing any more. Its dispositions are a
 * copy, which it resets. */
static int start_sharing(struct spawn_plan *plan, struct spawn_child *child)
{
	char *stack = mmap(NULL, SHARED_STACK_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	pid_t pid;
	int error;

	if (stack == MAP_FAILED)
		return -errno;
	plan->has_handlers = true;
	pid = clone(run_sharing, stack + SHARED_STACK_BYTES,
		    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, plan,
		    &child->pidfd);
	error = errno;
	(void)munmap(stack, SHARED_STACK_BYTES);
	if (pid < 0)
		return -error;
	child->pid = pid;
	child->pidfd = fd_lift(child->pidfd);
	return 0;
}

static bool may_share(const struct spawn_spec *spec)
{
	return CAN_SHARE_MEMORY && spec->share_memory && !spec->on_birth &&
	       !spec->credentials && spec->cgroup_fd < 0;
}

static int start_by_fork(struct spawn_plan *plan, struct spawn_child *child)
{
	pid_t pid;

	plan->enter_cgroup = plan->spec->cgroup_fd >= 0;
	plan->has_handlers = true;
	pid = pidfd_fork(&child->pidfd);
	if (pid == 0)
		spawn_child_run(plan);
	if (pid < 0)
		return (int)pid;
	child->pid = pid;
	return child->pidfd < 0 ? child->pidfd : 0;
}

/* A child that was never told to go on: it still waits at the gate. */
static void abandon(pid_t pid)
{
	siginfo_t info;

	(void)kill(pid, SIGKILL);
	while (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0 && errno == EINTR)
		;
}

/* Starts by one of the ways, so that the child does nothing before it has a
 * pidfd and on_birth has been called. */
static int start_at_gate(struct spawn_plan *plan, struct spawn_child *child,
			 int (*way)(struct spawn_plan *, struct spawn_child *))
{
	const struct spawn_spec *spec = plan->spec;
	int r;

	if (pipe2(plan->gate, O_CLOEXEC) < 0)
		return -errno;
	plan->gate[0] = fd_lift(plan->gate[0]);
	plan->gate[1] = fd_lift(plan->gate[1]);
	r = way(plan, child);
	if (r == 0 && spec->on_birth)
		r = spec->on_birth(spec->on_birth_userdata, child->pid,
				   child->pidfd);
	if (r == 0) /* no SIGPIPE: gate[0] is open here too */
		r = fd_write_all(plan->gate[1], "", 1);
	plan->gate[0] = fd_close(plan->gate[0]);
	plan->gate[1] = fd_close(plan->gate[1]);
	if (r < 0 && child->pid > 0)
		abandon(child->pid);
	return r;
}

static int start(struct spawn_plan *plan, struct spawn_child *child)
{
	const struct spawn_spec *spec = plan->spec;
	sigset_t old;
	int r;

	if (spec->function) /* or both would write what is buffered */
		plan->has_threads = streams_flush();
	block_signals(&old);
	if (spec->function)
		r = start_at_gate(plan, child, start_by_fork);
	else if (spec->on_birth)
		r = start_at_gate(plan, child, start_by_clone);
	else
		r = may_share(spec) ? start_sharing(plan, child)
				    : start_by_clone(plan, child);
	if (child->pid == 0 && !spec->function &&
	    (r == -ENOSYS || r == -EPERM)) /* no clone3 */
		r = start_at_gate(plan, child, start_by_fork);
	restore_signals(&old);
	return r;
}

void spawn_ignored_signals(sigset_t *ret_ignored)
{
	sigemptyset(ret_ignored);
	for (int signo = 1; signo < _NSIG; signo++) {
		struct sigaction action = { .sa_handler = SIG_IGN };

		/* glibc does not tell of its own two: they count as ignored */
		(void)sigaction(signo, NULL, &action);
		if (action.sa_handler == SIG_IGN)
			sigaddset(ret_ignored, signo);
	}
}

bool spawn_is_valid(const struct spawn_spec *spec)
{
	return is_valid(spec);
}

int spawn_start_sibling(const struct spawn_spec *spec, pid_t parent,
			int report_fd, struct spawn_child *ret_child)
{
	struct spawn_plan plan = {
		SPAWN_PLAN,
		.spec = spec,
		.parent = parent,
		.parent_uid = getuid(),
		.parent_gid = getgid(),
		.report_fd = report_fd,
		.is_sibling = true,
	};
	struct spawn_child child = { .pidfd = -1, .report_fd = -1 };
	sigset_t old;
	int r;

	if (spec->oom_score_adj)
		(void)snprintf(plan.oom_text, sizeof(plan.oom_text), "%d",
			       *spec->oom_score_adj);
	block_signals(&old);
	r = start_by_clone(&plan, &child);
	restore_signals(&old);
	if (r == 0)
		*ret_child = child;
	return r;
}

int spawn_start(const struct spawn_spec *spec, struct spawn_child *ret_child)
{
	struct spawn_plan plan = {
		SPAWN_PLAN,
		.spec = spec,
		.parent = getpid(),
		.parent_uid = getuid(),
		.parent_gid = getgid(),
	};
	struct spawn_child child = { .pidfd = -1 };
	struct report report;
	int r;

	if (!is_valid(spec))
		return -EINVAL;
	if (spec->oom_score_adj)
		(void)snprintf(plan.oom_text, sizeof(plan.oom_text), "%d",
			       *spec->oom_score_adj);
	r = report_open(&report);
	if (r < 0)
		return r;
	plan.report_fd = report.write_fd;
	r = start(&plan, &child);
	report_close(&report);
	if (r < 0) {
		fd_close(report.read_fd);
		fd_close(child.pidfd);
		return r;
	}
	child.report_fd = report.read_fd;
	*ret_child = child;
	return 0;
}

/* --- what became of it --------------------------------------------------- */

int spawn_read_report(int report_fd, struct spawn_failure *ret_failure)
{
	struct spawn_failure failure;
	ssize_t n;

	do
		n = read(report_fd, &failure, sizeof(failure));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return 0;
	if (n != (ssize_t)sizeof(failure) || failure.stage >= SPAWN_STAGE_COUNT)
		return -EBADMSG;
	*ret_failure = failure;
	return 1;
}

/* As in the configuration and in limits.conf(5). */
static const char *limit_name(int resource)
{
	static const char *const names[] = {
		[RLIMIT_AS] = "as",
		[RLIMIT_CORE] = "core",
		[RLIMIT_CPU] = "cpu",
		[RLIMIT_DATA] = "data",
		[RLIMIT_FSIZE] = "fsize",
		[RLIMIT_LOCKS] = "locks",
		[RLIMIT_MEMLOCK] = "memlock",
		[RLIMIT_MSGQUEUE] = "msgqueue",
		[RLIMIT_NICE] = "nice",
		[RLIMIT_NOFILE] = "nofile",
		[RLIMIT_NPROC] = "nproc",
		[RLIMIT_RSS] = "rss",
		[RLIMIT_RTPRIO] = "rtprio",
		[RLIMIT_RTTIME] = "rttime",
		[RLIMIT_SIGPENDING] = "sigpending",
		[RLIMIT_STACK] = "stack",
	};

	if (resource < 0 || (size_t)resource >= ARRAY_SIZE(names))
		return NULL;
	return names[resource];
}

const char *spawn_failure_text(const struct spawn_failure *failure,
			       const char *object, char *buf, size_t size_bytes)
{
	static const char *const texts[] = {
#define X(name, text) [SPAWN_STAGE_##name] = text,
		SPAWN_STAGES(X)
#undef X
	};
	const char *text = failure->stage < SPAWN_STAGE_COUNT
				   ? texts[failure->stage]
				   : "start";
	const char *why = strerrordesc_np(failure->error);

	if (!object && failure->stage == SPAWN_STAGE_RLIMIT)
		object = limit_name(failure->detail);
	(void)snprintf(buf, size_bytes, "cannot %s%s%s: %s", text,
		       object ? " " : "", object ? object : "",
		       why ? why : "unknown error");
	return buf;
}

int spawn_wait(int pidfd, bool keep, int *ret_code, bool *ret_core,
	       struct rusage *ret_rusage)
{
	int flags = WEXITED | WNOHANG | (keep ? WNOWAIT : 0);
	siginfo_t info = { 0 };
	struct rusage usage;

	/* glibc's waitid() hides the fifth argument. */
	if (syscall(SYS_waitid, P_PIDFD, pidfd, &info, flags, &usage) < 0)
		return -errno;
	if (info.si_pid == 0)
		return 0;
	*ret_code =
		info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
	*ret_core = info.si_code == CLD_DUMPED;
	if (ret_rusage && !keep)
		*ret_rusage = usage;
	return 1;
}

int spawn_signal(int pidfd, int signo)
{
	return pidfd_signal(pidfd, signo);
}
