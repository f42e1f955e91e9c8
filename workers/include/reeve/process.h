/* Processes: a C function or a program, started, watched and ended.
 *
 * Properties
 *   What multiprocessing.Process is, for C. A started process has the empty
 *   signal mask, default dispositions, and only the file descriptors it is
 *   given. By default it dies with its owner, the process that started it,
 *   also when that one is killed by SIGKILL.
 *   Nothing here waits for ever unless it is told to: a process that is killed,
 *   stopped, or reaped by others is an answer, not a hang.
 *   Processes are signalled and waited for through pidfds. A pid is for
 *   showing; it is never used to decide.
 * Operation
 *   reeve_process_start() fills a handle; reeve_process_join() waits for the
 *   end; reeve_process_free() releases the handle, and ends the process if it
 *   still runs. The fd of reeve_process_fd() becomes readable when the process
 *   has ended, for poll(2) and event loops.
 *   An exit code is 0, N, or -N for death by signal N, as in multiprocessing.
 *   The library never calls waitpid(-1) and never touches SIGCHLD. In a program
 *   that does reap every child, or ignores SIGCHLD, the exit code may be taken
 *   away; then the end is told with REEVE_EXIT_UNKNOWN. (From Linux 6.15 on,
 *   the kernel tells it all the same.)
 *   A function runs in a copy of the owner's memory: what it changes there,
 *   nobody else sees. What it returns is the exit code (its low 8 bits); then
 *   stdio is flushed and the process leaves by _exit(2), so that no atexit(3)
 *   handler runs. If it calls exit(3), they do. Processes may start processes.
 * Safety
 *   All functions may be called from any thread at any time, but
 *   reeve_process_free(), which must be the last call on its handle; none from
 *   a signal handler. Starting is no cancellation point; joining is one.
 *   In a program with threads a function is started by fork(2): it must not
 *   wait for locks that other threads held then. Malloc and stdio are safe.
 *   stdio: a program of one thread flushes all its streams when it starts a
 *   function; one with threads flushes stdout and stderr, and should keep no
 *   output in other streams (the child drops it).
 *   In a forked child of the owner a handle is of no use: each call returns
 *   -ECHILD, and reeve_process_free() frees the memory only.
 *   A handle of NULL is -EINVAL, or does nothing.
 */
#ifndef REEVE_PROCESS_H
#define REEVE_PROCESS_H

#include <reeve/types.h>

REEVE_DECLARATIONS_BEGIN

/* A process that was started. */
typedef struct reeve_process reeve_process;

/* Most file descriptors of one process, and their largest number plus one. */
#define REEVE_PROCESS_FDS_MAX 64
/* Longest name; longer ones are cut. */
#define REEVE_PROCESS_NAME_MAX 63
/* What start_timeout_usec is by default. */
#define REEVE_PROCESS_START_TIMEOUT_USEC UINT64_C(30000000)

/* For stdin_fd, stdout_fd and stderr_fd. */
#define REEVE_FD_DEFAULT 0    /* stdin: null; stdout, stderr: the owner's */
#define REEVE_FD_NULL	 (-1) /* /dev/null */
#define REEVE_FD_OWNERS	 (-2) /* what the owner has there */

/* When a process that still runs is killed. */
enum reeve_process_life {
	/* When the owner ends, however it does. A program that changes its
	 * credentials or is set-user-ID escapes this; and when the main thread
	 * started the process and ends by pthread_exit(3) before the owner
	 * does, that counts as the owner's end. TREE has neither limit. */
	REEVE_LIFE_OWNER,
	/* The same, with all that descends from it; and terminate and kill
	 * reach all of them too. Costs a second, sleeping process (a guard),
	 * which a killed owner's children are then ended by. */
	REEVE_LIFE_TREE,
	/* Never: it may outlive owner and handle. */
	REEVE_LIFE_DETACHED,
};

/* A file descriptor for the process. */
struct reeve_fd {
	int from; /* the caller's, and stays so */
	int to;	  /* its number there, each once */
};

/* A resource limit: setrlimit(2). */
struct reeve_limit {
	int resource; /* RLIMIT_... */
	struct rlimit value;
};

/* Who a process is to be. */
struct reeve_credentials {
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* supplementary */
	size_t n_groups;
};

/* What to start. Zero in a field means its default, which is "as the owner"
 * unless said otherwise. All is read during the start and may go after it. */
struct reeve_process_spec {
	/* Either a function or a program (argv[0], looked up in the owner's
	 * PATH when it has no '/'). */
	int (*function)(void *arg);
	void *arg;
	char *const *argv;

	const char *name; /* default: "process-N" */

	int stdin_fd, stdout_fd, stderr_fd; /* REEVE_FD_..., or from 1 up */
	const struct reeve_fd *fds;	    /* others; each number once */
	size_t n_fds;
	bool keep_fds; /* also all others that the owner has open; of a program
			* those without O_CLOEXEC. Default: closed. */

	char *const *environment;
	const char *directory;
	const mode_t *umask;
	const struct reeve_credentials *credentials;
	const struct reeve_limit *limits;
	size_t n_limits;
	const int *nice;
	const int *oom_score_adj;
	const unsigned *cpus; /* numbers of the CPUs it may run on */
	size_t n_cpus;
	bool new_session; /* setsid(2): no terminal, no Ctrl-C, and the whole
			   * session is its tree */
	bool no_new_privs;
	enum reeve_process_life life;

	/* For a program: the owner's memory is shared until it runs, as by
	 * vfork(2) and posix_spawn(3). The start of a small owner gains little;
	 * that of one with hundreds of megabytes is many times quicker. But
	 * start_timeout_usec is not kept, and an out-of-memory kill at that
	 * moment hits the owner. Without effect with credentials, and where a
	 * guard is needed: REEVE_LIFE_TREE, and other threads than the main one
	 * unless detached. */
	bool share_memory;

	uint64_t start_timeout_usec; /* for the steps before the function or
				      * program runs: a directory on a dead
				      * server may block */

	/* When the start fails, a sentence is put here, like "cannot change to
	 * directory /srv/x: No such file or directory". */
	char *error;
	size_t error_size_bytes;
};

/* Starts a process, and waits until its function or program runs. Returns 0;
 * -EINVAL (spec), -EAGAIN, -ENOMEM, -EMFILE, -ENFILE (limits), -ETIMEDOUT, or
 * why a step before the function or program failed, e.g. -ENOENT for a program
 * that is not there. After a failure no process is left. */
REEVE_PUBLIC int reeve_process_start(const struct reeve_process_spec *spec,
				     reeve_process **ret_process);

/* Releases the handle, which may be NULL; returns NULL. A process that still
 * runs is killed (as its life says, with its tree) unless it is detached. Waits
 * at most a second for its end; what the kernel then has not ended yet, or is
 * detached, is reaped by later calls of the library. */
REEVE_PUBLIC reeve_process *reeve_process_free(reeve_process *process);

/* Its name, valid as long as the handle; NULL for NULL. */
REEVE_PUBLIC const char *reeve_process_name(const reeve_process *process);

/* Its pid, also when it has ended; for showing. */
REEVE_PUBLIC pid_t reeve_process_pid(const reeve_process *process);

/* A file descriptor (a pidfd) that is readable when the process has ended: the
 * "sentinel". It is the handle's: do not close or read it. */
REEVE_PUBLIC int reeve_process_fd(const reeve_process *process);

/* Waits for the end, and reaps. Returns 0 when it has ended, also if that was
 * earlier; -ETIMEDOUT when it runs on after timeout_usec (0: only looks).
 * Signals that are handled meanwhile do not end the wait. */
REEVE_PUBLIC int reeve_process_join(reeve_process *process,
				    uint64_t timeout_usec);

/* 1 while it runs, 0 when it has ended. Does not reap. */
REEVE_PUBLIC int reeve_process_is_alive(reeve_process *process);

/* Returns 1 with *ret_code (0, N or -signal) when it has ended, 0 while it runs
 * ("none yet"), -ENODATA when it ended and nobody knows how. Does not reap. */
REEVE_PUBLIC int reeve_process_exitcode(reeve_process *process, int *ret_code);

/* Everything about the end. Returns 1 with *ret_exit when it has ended, which
 * it also reaps, and 0 while it runs. oom is NO, or UNKNOWN after a SIGKILL
 * that did not come from this handle: see the kernel's log. */
REEVE_PUBLIC int reeve_process_exit(reeve_process *process,
				    struct reeve_exit *ret_exit);

/* Sends signo to the process alone. Returns 0; -ESRCH when it has ended, -EPERM
 * (another user's), -EINVAL. */
REEVE_PUBLIC int reeve_process_signal(reeve_process *process, int signo);

/* Sends SIGTERM; with REEVE_LIFE_TREE, to all that descends from it. Returns 0,
 * also when it has ended already, or what reeve_process_signal() does. */
REEVE_PUBLIC int reeve_process_terminate(reeve_process *process);

/* The same with SIGKILL. Does not wait: join does. */
REEVE_PUBLIC int reeve_process_kill(reeve_process *process);

/* Sends signo to the process and all that descends from it, as far as that can
 * be told: its children and theirs while their parents live; its process group
 * and session if it has its own; and what was started with its environment.
 * With SIGKILL they are first stopped, so that none gets away by forking.
 * Whatever its life. Returns how many there were, or -errno. When the process
 * was reaped already, only the environment tells. */
REEVE_PUBLIC int reeve_process_signal_tree(reeve_process *process, int signo);

/* Stores at most n handles of processes that this process has started and that
 * still run; they stay their owners'. Returns how many there are, which may be
 * more. A handle may be freed by another thread meanwhile: that is for the
 * program to prevent. */
REEVE_PUBLIC size_t reeve_active_children(reeve_process **ret_processes,
					  size_t n);

/* The name of the calling process: as its spec said if it is a function's,
 * otherwise "main". */
REEVE_PUBLIC const char *reeve_process_current_name(void);

/* How many CPUs the calling process may use: the least of those online, those
 * in its affinity mask, and what cpu.max of its cgroup (v2) and those above
 * allow, rounded up. At least 1. Reads files; asked again, it may change. */
REEVE_PUBLIC unsigned reeve_cpu_count(void);

REEVE_DECLARATIONS_END

#endif
