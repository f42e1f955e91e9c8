/* The one way in which reeve starts a process.
 *
 * Properties
 *   A started process has the empty signal mask, default dispositions, exactly
 *   the fds of the spec (0, 1 and 2 are /dev/null unless given), the
 *   environment of the spec, and what else the spec says: whatever the caller
 *   has blocked, ignored, opened or limited does not reach it, except what the
 *   spec leaves out (umask, directory, limits: inherited).
 * Operation
 *   spawn_start() returns as soon as the child exists. What happens up to
 *   exec is told over report_fd, a CLOEXEC pipe: end of file means that the
 *   program runs; otherwise it carries one struct spawn_failure, and the
 *   child exits with SPAWN_EXIT_CODE. A caller that may block reads it at
 *   once; an event loop waits until it is readable.
 *   Programs are started by clone3(CLONE_PIDFD), without CLONE_VM: nothing the
 *   child does before exec can block, kill or change the caller, unless it asks
 *   for that (share_memory). C functions
 *   are started by fork(2) (a raw clone would leave glibc's robust-mutex list
 *   pointing at the parent) and wait at a gate until the parent holds their
 *   pidfd; so does a program when there is an on_birth to be called first.
 *   Whoever waits there dies with the starting thread.
 *   What stdio has buffered is written before a function starts; see streams.h.
 *   The child applies, in this order: signals, session, parent-death signal,
 *   cgroup, rlimits, oom score, nice, affinity, fds, umask, [root:] groups,
 *   gid, uid and the check that there is no way back, parent-death signal again
 *   (a change of credentials clears it), is the parent still there,
 *   directory, no_new_privs, exec.
 * Safety
 *   Not async-signal-safe. The thread that starts a process with
 *   parent_death_signal must outlive it (PR_SET_PDEATHSIG watches threads).
 *   Between fork and exec only async-signal-safe calls and raw system calls.
 */
#pragma once

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#define SPAWN_EXIT_CODE 127
#define SPAWN_FDS_MAX	64

/* name, what the sentence says: "cannot <text> <object>: <errno text>" */
#define SPAWN_STAGES(X)                                                        \
	X(SIGNALS, "reset signals")                                            \
	X(SESSION, "start a new session")                                      \
	X(CGROUP, "enter its cgroup")                                          \
	X(RLIMIT, "set resource limit")                                        \
	X(OOM, "set oom_score_adj")                                            \
	X(NICE, "set nice")                                                    \
	X(AFFINITY, "set cpu_affinity")                                        \
	X(FDS, "place file descriptors")                                       \
	X(GROUPS, "set supplementary groups of user")                          \
	X(GID, "change to group")                                              \
	X(UID, "change to user")                                               \
	X(VERIFY, "give up privileges for good")                               \
	X(PDEATHSIG, "arm the parent-death signal")                            \
	X(ORPHANED, "start: its parent is gone")                               \
	X(DIRECTORY, "change to directory")                                    \
	X(NO_NEW_PRIVS, "set no_new_privs")                                    \
	X(EXEC, "execute")

enum spawn_stage {
#define X(name, text) SPAWN_STAGE_##name,
	SPAWN_STAGES(X) SPAWN_STAGE_COUNT
#undef X
};

struct spawn_failure {
	uint32_t stage; /* enum spawn_stage */
	int32_t error;	/* positive errno */
	int32_t detail; /* RLIMIT: which; otherwise 0 */
};

struct spawn_fd {
	int from; /* stays the caller's */
	int to;	  /* number in the child, 0 .. SPAWN_FDS_MAX - 1, each once */
};

struct spawn_limit {
	int resource; /* RLIMIT_... */
	struct rlimit value;
};

struct spawn_credentials {
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* supplementary; may be NULL when n_groups is 0 */
	size_t n_groups;
};

/* Everything is read during spawn_start() and may be freed after it. Zeroed
 * fields mean "as the caller" unless said otherwise; begin with SPAWN_SPEC. */
struct spawn_spec {
	/* either a program ... */
	char *const *argv;	 /* argv[0] without a '/' is looked up in: */
	const char *search_path; /* as PATH; NULL: /usr/bin:/bin and sbins */
	char *const *envp;	 /* NULL: empty environment */
	/* ... or a function; its return value is the exit code. */
	int (*function)(void *arg);
	void *arg;

	const struct spawn_fd *fds;
	size_t n_fds;
	bool keep_fds; /* the caller's others too; for programs, what is not
			* CLOEXEC */

	const char *directory;
	int umask;				     /* -1: as the caller */
	const struct spawn_credentials *credentials; /* NULL: as the caller */
	const struct spawn_limit *limits;
	size_t n_limits;
	const int *nice;	  /* NULL: as the caller */
	const int *oom_score_adj; /* NULL: as the caller */
	const cpu_set_t *cpus;	  /* NULL: as the caller */
	int cgroup_fd;		  /* directory of the leaf to be born in; -1 */
	bool enter_late;	  /* go there after birth: see cgroup_base */
	bool new_session;	  /* setsid: own session and process group */
	bool no_new_privs;
	int parent_death_signal; /* 0: none */

	/* The caller's word that it ignores no signal but these; NULL: all are
	 * reset, which costs some 60 system calls. spawn_ignored_signals(). */
	const sigset_t *ignored;

	/* A program's child shares our memory until exec, as with vfork(2): no
	 * page table is copied, but what befalls it there (it blocks, the OOM
	 * killer picks it) befalls us. Not with on_birth, credentials or a
	 * cgroup: ignored then. Not for supervisors. */
	bool share_memory;

	/* Called when the child exists and before it does anything: 0, or
	 * -errno for it to be killed and for spawn_start() to return that. All
	 * signals are blocked meanwhile. */
	int (*on_birth)(void *userdata, pid_t pid, int pidfd);
	void *on_birth_userdata;
};

#define SPAWN_SPEC .umask = -1, .cgroup_fd = -1

struct spawn_child {
	pid_t pid;     /* for showing */
	int pidfd;     /* CLOEXEC; the caller's */
	int report_fd; /* CLOEXEC, non-blocking; the caller's */
};

/* The signals that the caller ignores now, by its own will or inherited. To be
 * asked once, when a program has settled what it ignores. */
void spawn_ignored_signals(sigset_t *ret_ignored);

/* Starts a process. Returns 0, or -errno when there is none: -EAGAIN, -ENOMEM
 * (limits, memory), -EMFILE, -ENFILE, -EINVAL (spec). */
int spawn_start(const struct spawn_spec *spec, struct spawn_child *ret_child);

/* Reads the report. Returns 0: the program runs (close report_fd); 1: it never
 * will, see *ret_failure; -EAGAIN: not known yet. Waits when report_fd blocks.
 * A child that is killed before exec reads as 0: its exit status tells. */
int spawn_read_report(int report_fd, struct spawn_failure *ret_failure);

/* "cannot change to directory /srv/x: No such file or directory". object is
 * what the stage acted on (directory, user, program), or NULL. Returns buf. */
const char *spawn_failure_text(const struct spawn_failure *failure,
			       const char *object, char *buf,
			       size_t size_bytes);

/* Exit status of the process behind pidfd, which is reaped unless keep.
 * Returns 1 with *ret_code (0, N > 0, -N for death by signal N; core told
 * in *ret_core), 0 while it runs, or -errno: -ECHILD when somebody else
 * reaped it. rusage may be NULL and is filled only when not keep. */
int spawn_wait(int pidfd, bool keep, int *ret_code, bool *ret_core,
	       struct rusage *ret_rusage);

/* Signals the process behind pidfd. Returns 0 or -errno (-ESRCH: gone). */
int spawn_signal(int pidfd, int signo);
