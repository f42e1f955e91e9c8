/* subreap SECONDS COMMAND [ARG...]: runs one test and sees that it ends whole.
 *
 * The command runs in a process group of its own. This program is the
 * subreaper of everything the command starts, so nothing can escape it by
 * double fork or setsid: what is left when the command has ended is named,
 * killed, and makes the run fail. So is everything when the time is over.
 *
 * Exit status: the command's (128 + N when a signal N killed it), or one of
 * enum status below. SIGTERM, SIGINT, SIGHUP and the death of the parent end
 * the whole tree.
 *
 * Being alone with its descendants, this program may waitpid(-1); a child's
 * pid cannot be used again before we have reaped it, so kill() by pid is safe.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECONDS_MAX 86400
#define GRACE_MSEC  1000  /* what was killed may still be dying */
#define KILL_MSEC   20000 /* fork bombs take a while */
#define POLL_MSEC   20	  /* children that arrive by reparenting send nothing */

enum status {
	STATUS_LEFTOVER = 99,
	STATUS_TIMEOUT = 124,
	STATUS_ERROR = 125,
	STATUS_EXEC = 127,
};

struct run {
	pid_t pid;  /* of the command */
	bool ended; /* the command was reaped */
	int status; /* then: what to exit with */
	bool alone; /* no child is left at all */
};

static int64_t now_msec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits for a signal of the set, but not beyond deadline or POLL_MSEC.
 * Returns its number, 0 when there was none. */
static int wait_signal(const sigset_t *set, int64_t deadline_msec)
{
	int64_t left = deadline_msec - now_msec();
	struct timespec t = { 0 };

	if (left > POLL_MSEC)
		left = POLL_MSEC;
	if (left > 0)
		t.tv_nsec = left * 1000000;
	int signo = sigtimedwait(set, NULL, &t);
	return signo > 0 ? signo : 0;
}

static void reap(struct run *run)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != run->pid)
			continue;
		run->ended = true;
		run->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status)
						  : WEXITSTATUS(status);
	}
	run->alone = pid < 0 && errno == ECHILD;
}

/* Says what pid is: its command line, or its name in brackets. */
static void print_process(pid_t pid)
{
	char path[64], text[512];
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	FILE *f = fopen(path, "re");
	if (f != NULL) {
		n = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
	}
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] < ' ')
			text[i] = ' ';
	text[n] = '\0';
	fprintf(stderr, "subreap: left over: pid %d %s\n", (int)pid,
		n > 0 ? text : "(no command line)");
}

/* A process that is dead but not reaped yet is not left over. */
static bool is_zombie(pid_t pid)
{
	char path[64], line[512], state = '?';

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "re");
	if (f == NULL)
		return true;
	if (fgets(line, sizeof(line), f) != NULL) {
		const char *end = strrchr(line, ')');
		if (end != NULL && end[1] == ' ')
			state = end[2];
	}
	fclose(f);
	return state == 'Z' || state == 'X';
}

/* Kills our children; theirs come to us and are met in the next round. */
static int kill_children(bool say)
{
	char path[64];
	int n = 0, pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children",
		 (int)getpid());
	FILE *f = fopen(path, "re");
	if (f == NULL)
		return 0;
	while (fscanf(f, "%d", &pid) == 1) {
		if (is_zombie(pid))
			continue;
		if (say)
			print_process(pid);
		kill(pid, SIGKILL);
		n++;
	}
	fclose(f);
	return n;
}

/* Ends all that is left of the tree. Returns how many had to be killed. */
static int end_all(struct run *run, const sigset_t *set, bool say)
{
	int64_t deadline = now_msec() + KILL_MSEC;
	int n = 0;

	for (reap(run); !run->alone; reap(run)) {
		if (now_msec() >= deadline) {
			fprintf(stderr, "subreap: some cannot be killed\n");
			return n + 1;
		}
		n += kill_children(say);
		wait_signal(set, deadline);
	}
	return n;
}

static int watch(struct run *run, const sigset_t *set, long seconds)
{
	int64_t deadline = now_msec() + seconds * 1000;

	for (reap(run); !run->ended; reap(run)) {
		if (now_msec() >= deadline) {
			fprintf(stderr, "subreap: not done after %ld s\n",
				seconds);
			end_all(run, set, true);
			return STATUS_TIMEOUT;
		}
		int signo = wait_signal(set, deadline);
		if (signo != 0 && signo != SIGCHLD) {
			end_all(run, set, false);
			return 128 + signo;
		}
	}

	deadline = now_msec() + GRACE_MSEC;
	for (reap(run); !run->alone && now_msec() < deadline; reap(run))
		wait_signal(set, deadline);
	if (end_all(run, set, true) > 0)
		return STATUS_LEFTOVER;
	return run->status;
}

/* In the child: the same start whoever runs us, no signal ignored and no
 * descriptor inherited. A shell ignores SIGINT and SIGQUIT in what it runs in
 * the background; glibc's posix_spawn(), which make uses, ignores 32 and 33,
 * and its sigaction() refuses to undo that: hence the system call. */
static void run_command(char **argv)
{
	const uint64_t kernel_default[4] = { 0 }; /* struct kernel_sigaction */
	sigset_t none;

	setpgid(0, 0);
	close_range(3, ~0U, 0);
	for (int signo = 1; signo < NSIG; signo++)
		(void)syscall(SYS_rt_sigaction, signo, kernel_default, NULL,
			      sizeof(uint64_t));
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(argv[0], argv);
	fprintf(stderr, "subreap: %s: %s\n", argv[0], strerror(errno));
	_exit(STATUS_EXEC);
}

int main(int argc, char **argv)
{
	struct run run = { 0 };
	sigset_t set;
	char *end;

	long seconds = argc > 2 ? strtol(argv[1], &end, 10) : 0;
	if (seconds <= 0 || seconds > SECONDS_MAX || *end != '\0') {
		fprintf(stderr, "usage: subreap SECONDS COMMAND [ARG...]\n");
		return STATUS_ERROR;
	}
	sigemptyset(&set);
	for (const int *s =
		     (const int[]){ SIGCHLD, SIGTERM, SIGINT, SIGHUP, 0 };
	     *s != 0; s++)
		sigaddset(&set, *s);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGTERM) < 0) {
		perror("subreap: prctl");
		return STATUS_ERROR;
	}

	run.pid = fork();
	if (run.pid < 0) {
		perror("subreap: fork");
		return STATUS_ERROR;
	}
	if (run.pid == 0)
		run_command(argv + 2);
	return watch(&run, &set, seconds);
}
