/* From clone to exec: a table of steps, in the order that spawn.h promises.
 *
 * Each step returns 0 or -errno; the first failure is told over the report
 * pipe together with its stage, and ends the child. Why this order:
 *   - what only root may do (cgroup, limits, oom score, nice) comes before the
 *     user changes; the directory is entered as that user;
 *   - fds are placed under the caller's RLIMIT_NOFILE, so that one comes last
 *     of the limits: a program may be given more fds than it may open;
 *   - a change of credentials clears PR_SET_PDEATHSIG, so it is armed again;
 *     only then does "the parent is still there" mean that its death will be
 *     noticed: had it died before, no signal would ever come.
 *
 * Credentials change by raw system calls: glibc's setresuid would first ask
 * all other threads to follow, and here there are none.
 */
#include "workers/base/sys/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/streams.h"

#define DEFAULT_SEARCH_PATH  "/usr/bin:/bin:/usr/sbin:/sbin"
#define KERNEL_SIGSET_BYTES  ((_NSIG - 1) / 8)
#define KERNEL_SIGACTION_MAX 64 /* larger than that of any architecture */

/* glibc's own, invisible in <signal.h>: thread cancellation and setxid. */
#define SIGNAL_LIBC_FIRST 32
#define SIGNAL_LIBC_LAST  33

/* Old 32-bit architectures have 16-bit calls under the plain names. */
#ifdef SYS_setresuid32
#define CALL_SETGROUPS SYS_setgroups32
#define CALL_SETRESGID SYS_setresgid32
#define CALL_SETRESUID SYS_setresuid32
#else
#define CALL_SETGROUPS SYS_setgroups
#define CALL_SETRESGID SYS_setresgid
#define CALL_SETRESUID SYS_setresuid
#endif

static int result(long r)
{
	return r < 0 ? -errno : 0;
}

/* --- the gate ------------------------------------------------------------ */

/* Waits for the one byte that says "your pidfd is open". Who holds the other
 * end besides the parent is not known, so its end is not waited for: until we
 * are through, the parent's death is ours. */
static void pass_gate(struct spawn_plan *plan)
{
	pid_t parent;
	ssize_t n;
	char c;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	parent = (pid_t)syscall(SYS_getppid);
	if (parent != plan->parent && parent != 0)
		_exit(SPAWN_EXIT_CODE);
	(void)close(plan->gate[1]);
	do
		n = read(plan->gate[0], &c, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		_exit(SPAWN_EXIT_CODE);
	(void)close(plan->gate[0]);
	(void)prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
}

/* --- signals, session, parent ------------------------------------------- */

/* An ignored signal stays ignored through exec, and CLONE_CLEAR_SIGHAND
 * leaves it so. Unless the caller knows which ones are, all are set. In a
 * function, glibc's two stay: it believes that its handlers are there. */
static bool has_to_reset(const struct spawn_plan *plan, int signo)
{
	const struct spawn_spec *spec = plan->spec;

	if (signo == SIGKILL || signo == SIGSTOP)
		return false;
	if (spec->function && signo >= SIGNAL_LIBC_FIRST &&
	    signo <= SIGNAL_LIBC_LAST)
		return false;
	return plan->has_handlers || !spec->ignored ||
	       sigismember(spec->ignored, signo) == 1;
}

static int reset_signals(struct spawn_plan *plan)
{
	static const char by_default[KERNEL_SIGACTION_MAX]; /* SIG_DFL is 0 */
	sigset_t none;

	for (int signo = 1; signo < _NSIG; signo++) {
		if (!has_to_reset(plan, signo))
			continue;
		if (syscall(SYS_rt_sigaction, signo, by_default, NULL,
			    KERNEL_SIGSET_BYTES) < 0)
			return -errno;
	}
	sigemptyset(&none);
	return result(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL,
			      KERNEL_SIGSET_BYTES));
}

static int start_session(struct spawn_plan *plan)
{
	return plan->spec->new_session ? result(setsid()) : 0;
}

static int arm_death_signal(struct spawn_plan *plan)
{
	int signo = plan->spec->parent_death_signal;

	return signo > 0 ? result(prctl(PR_SET_PDEATHSIG, signo, 0, 0, 0)) : 0;
}

static int rearm_death_signal(struct spawn_plan *plan)
{
	return plan->spec->credentials ? arm_death_signal(plan) : 0;
}

/* 0 is a parent outside of our pid namespace; an orphan would see that
 * namespace's init instead. */
static int check_parent(struct spawn_plan *plan)
{
	pid_t parent;

	if (plan->spec->parent_death_signal == 0)
		return 0;
	parent = (pid_t)syscall(SYS_getppid);
	return parent == plan->parent || parent == 0 ? 0 : -ESRCH;
}

/* --- cgroup, limits, priorities ------------------------------------------ */

/* open, one write, close: how /proc and cgroup files are set. */
static int write_setting(int dir_fd, const char *path, const char *text)
{
	size_t len = strlen(text);
	int fd, r;

	fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = result(write(fd, text, len));
	(void)close(fd);
	return r;
}

static int enter_cgroup(struct spawn_plan *plan)
{
	if (!plan->enter_cgroup)
		return 0;
	return write_setting(plan->spec->cgroup_fd, "cgroup.procs", "0");
}

static int set_limit(struct spawn_plan *plan, const struct spawn_limit *limit)
{
	plan->detail = limit->resource;
	if (syscall(SYS_prlimit64, 0, limit->resource, &limit->value, NULL) < 0)
		return -errno;
	plan->detail = 0;
	return 0;
}

static int set_limits_but_nofile(struct spawn_plan *plan)
{
	const struct spawn_spec *spec = plan->spec;
	int r = 0;

	for (size_t i = 0; i < spec->n_limits && r == 0; i++)
		if (spec->limits[i].resource != (int)RLIMIT_NOFILE)
			r = set_limit(plan, &spec->limits[i]);
	return r;
}

static int set_limit_nofile(struct spawn_plan *plan)
{
	const struct spawn_spec *spec = plan->spec;
	int r = 0;

	for (size_t i = 0; i < spec->n_limits && r == 0; i++)
		if (spec->limits[i].resource == (int)RLIMIT_NOFILE)
			r = set_limit(plan, &spec->limits[i]);
	return r;
}

static int set_oom_score_adj(struct spawn_plan *plan)
{
	if (!plan->spec->oom_score_adj)
		return 0;
	return write_setting(AT_FDCWD, "/proc/self/oom_score_adj",
			     plan->oom_text);
}

static int set_nice(struct spawn_plan *plan)
{
	if (!plan->spec->nice)
		return 0;
	return result(setpriority(PRIO_PROCESS, 0, *plan->spec->nice));
}

static int set_affinity(struct spawn_plan *plan)
{
	if (!plan->spec->cpus)
		return 0;
	return result(
		sched_setaffinity(0, sizeof(cpu_set_t), plan->spec->cpus));
}

/* --- file descriptors ---------------------------------------------------- */

/* Makes number to what from is, kept over exec. dup2 says EBADF for a source
 * that is not open and for a number beyond the limit alike; we do not. */
static int place_fd(int from, int to)
{
	if (from == to)
		return result(fcntl(from, F_SETFD, 0));
	if (dup2(from, to) >= 0)
		return 0;
	if (errno == EBADF && fcntl(from, F_GETFD) >= 0)
		return -EMFILE;
	return -EBADF;
}

/* Moves *fd to a number not below base. */
static int lift_fd(int *fd, int base)
{
	int lifted = fcntl(*fd, F_DUPFD_CLOEXEC, base);

	if (lifted < 0)
		return errno == EINVAL ? -EMFILE : -errno;
	*fd = lifted;
	return 0;
}

/* /dev/null for those of 0, 1 and 2 that the spec does not have. All others
 * are open, so the new fd is one of the missing or of no interest. */
static int place_null(uint64_t wanted)
{
	int fd = -1, r = 0;

	for (int to = 0; to <= STDERR_FILENO && r == 0; to++) {
		if (wanted & UINT64_C(1) << to)
			continue;
		if (fd < 0)
			fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		r = place_fd(fd, to);
	}
	return r;
}

/* For functions, which have no exec that would close what is CLOEXEC. */
static int close_unwanted(uint64_t wanted, unsigned base, unsigned report_fd)
{
	unsigned first = STDERR_FILENO + 1;
	int r = 0;

	for (unsigned fd = first; fd < base; fd++) {
		if (!(wanted & UINT64_C(1) << fd))
			continue;
		if (fd > first)
			r |= close_range(first, fd - 1, 0);
		first = fd + 1;
	}
	if (report_fd > first)
		r |= close_range(first, report_fd - 1, 0);
	r |= close_range(report_fd + 1, ~0U, 0);
	return result(r);
}

/* The spec may be any permutation: 3 to 4 and 4 to 3. So:
 *   1. whatever stands in the range of the targets and is not in its place is
 *      moved above that range, and so is the report pipe: from now on nothing
 *      that is still needed can be overwritten;
 *   2. everything from 3 up becomes CLOEXEC, in one call;
 *   3. the targets are placed, which clears that flag on them alone;
 *   4. 0, 1 and 2 are completed. */
static int place_fds(struct spawn_plan *plan)
{
	const struct spawn_spec *spec = plan->spec;
	int from[SPAWN_FDS_MAX], base = STDERR_FILENO + 1, r = 0;
	uint64_t wanted = 0;

	for (size_t i = 0; i < spec->n_fds; i++) {
		from[i] = spec->fds[i].from;
		base = MAX(base, spec->fds[i].to + 1);
		wanted |= UINT64_C(1) << spec->fds[i].to;
	}
	for (size_t i = 0; i < spec->n_fds && r == 0; i++)
		if (from[i] < base && from[i] != spec->fds[i].to)
			r = lift_fd(&from[i], base);
	if (r == 0 && plan->report_fd < base)
		r = lift_fd(&plan->report_fd, base);
	if (r == 0 && !spec->function && !spec->keep_fds)
		r = result(close_range(STDERR_FILENO + 1, ~0U,
				       CLOSE_RANGE_CLOEXEC));
	for (size_t i = 0; i < spec->n_fds && r == 0; i++)
		r = place_fd(from[i], spec->fds[i].to);
	if (r == 0)
		r = place_null(wanted);
	if (r == 0 && spec->function && !spec->keep_fds)
		r = close_unwanted(wanted, (unsigned)base,
				   (unsigned)plan->report_fd);
	return r;
}

static int set_umask(struct spawn_plan *plan)
{
	if (plan->spec->umask >= 0)
		(void)umask((mode_t)plan->spec->umask);
	return 0;
}

/* --- credentials --------------------------------------------------------- */

static bool has_ids(const struct spawn_credentials *c)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;

	if (getresuid(&ruid, &euid, &suid) < 0 ||
	    getresgid(&rgid, &egid, &sgid) < 0)
		return false;
	return ruid == c->uid && euid == c->uid && suid == c->uid &&
	       rgid == c->gid && egid == c->gid && sgid == c->gid;
}

/* An ordinary user may not set its groups, not even to what they are; who
 * stays itself keeps them. */
static int set_groups(struct spawn_plan *plan)
{
	const struct spawn_credentials *c = plan->spec->credentials;

	if (!c || syscall(CALL_SETGROUPS, c->n_groups, c->groups) == 0)
		return 0;
	return errno == EPERM && has_ids(c) ? 0 : -errno;
}

static int set_gid(struct spawn_plan *plan)
{
	const struct spawn_credentials *c = plan->spec->credentials;

	return c ? result(syscall(CALL_SETRESGID, c->gid, c->gid, c->gid)) : 0;
}

static int set_uid(struct spawn_plan *plan)
{
	const struct spawn_credentials *c = plan->spec->credentials;

	return c ? result(syscall(CALL_SETRESUID, c->uid, c->uid, c->uid)) : 0;
}

static bool can_become_user(uid_t uid, const struct spawn_credentials *c)
{
	return uid != c->uid && syscall(CALL_SETRESUID, -1, uid, -1) == 0;
}

static bool can_become_group(gid_t gid, const struct spawn_credentials *c)
{
	return gid != c->gid && syscall(CALL_SETRESGID, -1, gid, -1) == 0;
}

/* Tries to go back, to root and to what the caller was. Securebits or kept
 * capabilities could make that possible, and nobody would notice. */
static int verify_credentials(struct spawn_plan *plan)
{
	const struct spawn_credentials *c = plan->spec->credentials;

	if (!c)
		return 0;
	if (!has_ids(c))
		return -EPERM;
	if (c->uid == 0)
		return 0;
	if (can_become_user(0, c) || can_become_user(plan->parent_uid, c) ||
	    can_become_group(0, c) || can_become_group(plan->parent_gid, c))
		return -EPERM;
	return 0;
}

/* --- the last steps ------------------------------------------------------ */

static int change_directory(struct spawn_plan *plan)
{
	return plan->spec->directory ? result(chdir(plan->spec->directory)) : 0;
}

static int set_no_new_privs(struct spawn_plan *plan)
{
	if (!plan->spec->no_new_privs)
		return 0;
	return result(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

/* execve() of name in the directory dir, which ends at dir_end; an empty one
 * is the current directory. */
static int execute_in(const char *dir, const char *dir_end,
		      const struct spawn_spec *spec, char *const *envp)
{
	size_t dir_len = (size_t)(dir_end - dir);
	size_t name_len = strlen(spec->argv[0]);
	char path[PATH_MAX];

	if (dir_len == 0)
		return result(execve(spec->argv[0], spec->argv, envp));
	if (dir_len + 1 + name_len >= sizeof(path))
		return -ENAMETOOLONG;
	memcpy(path, dir, dir_len);
	path[dir_len] = '/';
	memcpy(path + dir_len + 1, spec->argv[0], name_len + 1);
	return result(execve(path, spec->argv, envp));
}

/* As execvp(3): the next directory is tried when the program is not in this
 * one, or may not be run there; which is told when it is nowhere else. Other
 * errors are about the program that was meant. A file that is no program is
 * not given to a shell. */
static int search_and_execute(const struct spawn_spec *spec, char *const *envp)
{
	const char *dir =
		spec->search_path ? spec->search_path : DEFAULT_SEARCH_PATH;
	int error = -ENOENT;

	for (;;) {
		const char *end = strchrnul(dir, ':');
		int r = execute_in(dir, end, spec, envp);

		if (r == -EACCES)
			error = r;
		else if (r != -ENOENT && r != -ENOTDIR && r != -ENAMETOOLONG &&
			 r != -ESTALE && r != -ENODEV && r != -ETIMEDOUT)
			return r;
		if (*end == '\0')
			return error;
		dir = end + 1;
	}
}

static int execute(struct spawn_plan *plan)
{
	const struct spawn_spec *spec = plan->spec;
	char *nothing = NULL;
	char *const *envp = spec->envp ? spec->envp : &nothing;

	if (spec->function)
		return 0;
	if (spec->argv[0][0] == '\0')
		return -ENOENT;
	if (!strchr(spec->argv[0], '/'))
		return search_and_execute(spec, envp);
	return result(execve(spec->argv[0], spec->argv, envp));
}

/* --- all of it ----------------------------------------------------------- */

static const struct step {
	enum spawn_stage stage;
	int (*run)(struct spawn_plan *plan);
} steps[] = {
	{ SPAWN_STAGE_SIGNALS, reset_signals },
	{ SPAWN_STAGE_SESSION, start_session },
	{ SPAWN_STAGE_PDEATHSIG, arm_death_signal },
	{ SPAWN_STAGE_CGROUP, enter_cgroup },
	{ SPAWN_STAGE_RLIMIT, set_limits_but_nofile },
	{ SPAWN_STAGE_OOM, set_oom_score_adj },
	{ SPAWN_STAGE_NICE, set_nice },
	{ SPAWN_STAGE_AFFINITY, set_affinity },
	{ SPAWN_STAGE_FDS, place_fds },
	{ SPAWN_STAGE_RLIMIT, set_limit_nofile },
	{ SPAWN_STAGE_FDS, set_umask }, /* cannot fail */
	{ SPAWN_STAGE_GROUPS, set_groups },
	{ SPAWN_STAGE_GID, set_gid },
	{ SPAWN_STAGE_UID, set_uid },
	{ SPAWN_STAGE_VERIFY, verify_credentials },
	{ SPAWN_STAGE_PDEATHSIG, rearm_death_signal },
	{ SPAWN_STAGE_ORPHANED, check_parent },
	{ SPAWN_STAGE_DIRECTORY, change_directory },
	{ SPAWN_STAGE_NO_NEW_PRIVS, set_no_new_privs },
	{ SPAWN_STAGE_EXEC, execute }, /* programs end here */
};

/* 12 bytes into an empty pipe: they go whole or, without a reader, not. */
static _Noreturn void fail(const struct spawn_plan *plan,
			   enum spawn_stage stage, int error)
{
	struct spawn_failure failure = {
		.stage = stage,
		.error = error,
		.detail = plan->detail,
	};
	ssize_t n _unused_ = write(plan->report_fd, &failure, sizeof(failure));

	_exit(SPAWN_EXIT_CODE);
}

void spawn_child_run(struct spawn_plan *plan)
{
	const struct spawn_spec *spec = plan->spec;
	int code;

	if (plan->gate[0] >= 0)
		pass_gate(plan);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int r = steps[i].run(plan);

		if (r < 0)
			fail(plan, steps[i].stage, -r);
	}
	(void)close(plan->report_fd); /* end of file: the function runs */
	streams_forget(plan->has_threads && !spec->keep_fds);
	code = spec->function(spec->arg);
	(void)fflush(NULL);
	_exit(code & 0xff);
}
