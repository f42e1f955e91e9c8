/* The guard: a process that ends another one when its owner is gone.
 *
 * PR_SET_PDEATHSIG watches the thread that started a process, not the process
 * that owns it, reaches only the one that asked for it, and is lost with a
 * change of credentials. Where that is not good enough (a start from another
 * thread than the first; REEVE_LIFE_TREE), the owner gives each process a
 * guard, which sleeps until one of two pidfds is readable: the process has
 * ended, and so does the guard; or the owner has, and the guard kills.
 *
 * It is started while the process waits at its gate (spawn.h), so at no moment
 * does that run unguarded. It is a child of the owner, but one without an exit
 * signal: wait(2) of the owner neither waits for it nor gets to see it. It has a
 * session of its own, so that a signal to the owner's group does not end both;
 * no open files but the two; and blocks all signals, as the caller did.
 *
 * The owner may have had threads, and the guard is a raw clone of it: nothing
 * here allocates, locks, or uses stdio streams. So the tree is ended by looking
 * at one process after the other, with a table of who was stopped, instead of
 * by tree_kill(), which is faster and needs memory.
 */
#include "workers/process/guard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/pidfd.h"
#include "workers/base/sys/procstat.h"
#include "workers/base/sys/spawn.h"

#define GUARD_NAME	"reeve-guard"
#define STOP_ROUNDS_MAX 32
#define STOPPED_MAX	65536 /* of one tree; more are killed at once */
#define DIRENTS_BYTES	8192

/* What a guard has to know. */
struct post {
	int owner, charge; /* pidfds */
	bool has_tree;
	struct tree_id id;
};

/* Who was stopped: to be killed when all are. */
struct stopped {
	struct tree_process *processes; /* STOPPED_MAX; NULL: no memory */
	size_t n;
};

/* --- the end of a tree --------------------------------------------------- */

static pid_t parse_pid(const char *name)
{
	pid_t pid = 0;

	for (; *name >= '0' && *name <= '9' && pid < INT32_MAX / 10; name++)
		pid = pid * 10 + (*name - '0');
	return *name ? 0 : pid;
}

/* Stops pid if it lives, runs and belongs. Returns true if it was stopped. */
static bool stop_member(const struct post *post, pid_t pid, struct stopped *s)
{
	bool has_room = s->processes && s->n < STOPPED_MAX;
	struct tree_process p;

	if (procstat_read(pid, &p) < 0 || p.is_kernel || procstat_is_dead(&p) ||
	    p.state == 'T' || p.state == 't')
		return false;
	if (tree_has_pid(&post->id, pid) != 1 ||
	    tree_signal_process(&p, has_room ? SIGSTOP : SIGKILL) != 1)
		return false;
	if (has_room)
		s->processes[s->n++] = p;
	return true;
}

/* One pass over /proc. Returns how many were found running. */
static size_t stop_members(const struct post *post, struct stopped *s)
{
	_Alignas(struct dirent64) char buf[DIRENTS_BYTES];
	_cleanup_(fd_closep) int fd =
		open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t n_stopped = 0;
	ssize_t n;

	while (fd >= 0 && (n = getdents64(fd, buf, sizeof(buf))) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *d = (const void *)(buf + at);
			pid_t pid = parse_pid(d->d_name);

			if (pid > 1 && stop_member(post, pid, s))
				n_stopped++;
			at += d->d_reclen;
		}
	return n_stopped;
}

/* What is stopped does not fork: so when a pass finds nobody who runs, all are
 * found. The charge is stopped first, which keeps its number taken. */
static void end_tree(const struct post *post)
{
	struct stopped s = { 0 };
	void *table = mmap(NULL, STOPPED_MAX * sizeof(*s.processes),
			   PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);

	s.processes = table == MAP_FAILED ? NULL : table;
	(void)spawn_signal(post->charge, SIGSTOP);
	for (int round = 0; round < STOP_ROUNDS_MAX; round++)
		if (stop_members(post, &s) == 0)
			break;
	for (size_t i = 0; i < s.n; i++)
		(void)tree_signal_process(&s.processes[i], SIGKILL);
	(void)spawn_signal(post->charge, SIGKILL);
}

/* --- the guard's life ---------------------------------------------------- */

static void close_others(const struct post *post)
{
	unsigned low = (unsigned)MIN(post->owner, post->charge);
	unsigned high = (unsigned)MAX(post->owner, post->charge);

	if (low > 0)
		(void)close_range(0, low - 1, 0);
	if (high > low + 1)
		(void)close_range(low + 1, high - 1, 0);
	(void)close_range(high + 1, ~0U, 0);
}

static _Noreturn void stand_guard(const struct post *post)
{
	struct pollfd ends[] = {
		{ .fd = post->charge, .events = POLLIN },
		{ .fd = post->owner, .events = POLLIN },
	};
	int r _unused_;

	(void)setsid();
	(void)prctl(PR_SET_NAME, GUARD_NAME, 0, 0, 0);
	(void)prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
	close_others(post);
	r = chdir("/"); /* or it would keep a file system busy */
	do
		r = poll(ends, ARRAY_SIZE(ends), -1);
	while (r < 0 && (errno == EINTR || errno == EAGAIN));
	if (ends[0].revents != 0)
		_exit(0);
	if (post->has_tree)
		end_tree(post);
	(void)spawn_signal(post->charge, SIGKILL);
	_exit(0);
}

/* fork(2), but without an exit signal and with a pidfd. (These three arguments
 * stand in this order everywhere but on s390.) */
static pid_t clone_unseen(int *pidfd)
{
	return (pid_t)syscall(SYS_clone, CLONE_PIDFD, NULL, pidfd, NULL, NULL);
}

int guard_start(struct reeve_process *p)
{
	struct post post = {
		.charge = p->pidfd,
		.has_tree = p->life == REEVE_LIFE_TREE,
		.id = {
			.leader = p->pid,
			.mark_name = PROCESS_MARK_NAME,
			.mark = p->mark,
		},
	};
	int guard_pidfd = -1;
	pid_t pid;

	post.owner = pidfd_of_self();
	if (post.owner < 0)
		return post.owner;
	pid = clone_unseen(&guard_pidfd);
	if (pid == 0)
		stand_guard(&post);
	if (pid < 0) {
		int error = errno;

		fd_close(post.owner);
		return -error;
	}
	fd_close(post.owner);
	p->guard_pidfd = fd_lift(guard_pidfd);
	return 0;
}

void guard_end(int *guard_pidfd)
{
	siginfo_t info;

	if (*guard_pidfd < 0)
		return;
	(void)spawn_signal(*guard_pidfd, SIGKILL); /* it may be stopped */
	while (waitid(P_PIDFD, (id_t)*guard_pidfd, &info, WEXITED | __WALL) <
		       0 &&
	       errno == EINTR)
		;
	*guard_pidfd = fd_close(*guard_pidfd);
}
