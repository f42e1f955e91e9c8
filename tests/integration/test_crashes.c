/* reeved is killed at this or that system call, while it starts and while it
 * works: the next one finds neither a process of the old one alive nor anything
 * in its way. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/actor.h"
#include "tests/lib/background.h"
#include "tests/lib/process.h"
#include "tests/lib/rig.h"
#include "tests/lib/unit.h"

#define N_WORKERS 3 /* of the configuration below */
#define NO_STRACE 127
#define LOOK_MSEC 3
#define LOOKS_MAX 1000

/* One that is plain, one that ignores TERM, one with a daemonised child; each
 * marked with the rig's own directory. */
static void write_workers(struct rig *r)
{
	rig_write_config(r,
			 "environment = RIG=\"%s\"\n"
			 "[worker:a]\ncommand = %s wait\nstartsecs = 0\n"
			 "[worker:b]\ncommand = %s ignore TERM wait\n"
			 "startsecs = 0\nstopwaitsecs = 0.05\n"
			 "[worker:c]\ncommand = %s daemon { setsid wait } "
			 "wait\nstartsecs = 0\n",
			 rig_dir(r), actor(), actor(), actor());
}

static struct rig *start(int flags)
{
	struct rig *r = rig_start(flags | RIG_KEEP_STRAYS, "\n");

	write_workers(r);
	rig_crash(r);
	rig_restart(r);
	return r;
}

static size_t count_alive(struct rig *r)
{
	char mark[300];

	snprintf(mark, sizeof(mark), "RIG=%s", rig_dir(r));
	return process_count_marked(mark);
}

/* Started again: exactly what is configured runs, once. */
static void check_clean_restart(struct rig *r, const pid_t before[N_WORKERS],
				const char *what)
{
	static const char *const names[N_WORKERS] = { "a", "b", "c" };
	size_t n = 0;

	rig_restart(r);
	for (size_t i = 0; i < N_WORKERS; i++) {
		rig_wait(r, names[i], "RUNNING");
		ck_assert_msg(!before || !rig_is_alive(before[i]),
			      "%s: %s of the old one is alive", what, names[i]);
	}
	/* and the child of c, which may still be on its way */
	for (int i = 0; i < LOOKS_MAX && n != N_WORKERS + 1; i++) {
		n = count_alive(r);
		(void)poll(NULL, 0, LOOK_MSEC);
	}
	ck_assert_msg(n == N_WORKERS + 1, "%s: %zu processes", what, n);
}

static void get_pids(struct rig *r, pid_t ret_pids[N_WORKERS])
{
	static const char *const names[N_WORKERS] = { "a", "b", "c" };

	for (size_t i = 0; i < N_WORKERS; i++) {
		rig_wait(r, names[i], "RUNNING");
		ret_pids[i] = rig_pid(r, names[i]);
	}
}

/* Waits a moment for the kill to happen; true: it did. */
static bool was_killed(struct rig *r)
{
	for (int i = 0; i < LOOKS_MAX / 10; i++) {
		char state = process_state(rig_daemon_pid(r));

		if (state == 'Z' || state == '\0')
			return true;
		(void)poll(NULL, 0, LOOK_MSEC);
	}
	return false;
}

/* ---- while it works ----------------------------------------------------------- */

static const char *const at_work[] = {
	"clone,clone3,fork:signal=KILL:when=1",
	"clone,clone3,fork:signal=KILL:when=2",
	"epoll_wait,epoll_pwait,epoll_pwait2:signal=KILL:when=2",
	"epoll_wait,epoll_pwait,epoll_pwait2:signal=KILL:when=9",
	"waitid:signal=KILL:when=1",
	"waitid:signal=KILL:when=3",
	"pidfd_send_signal:signal=KILL:when=1",
	"sendmsg:signal=KILL:when=2",
	"write:signal=KILL:when=1",
	"write:signal=KILL:when=4",
	"openat:signal=KILL:when=3",
	"close:signal=KILL:when=5",
};

/* Half of the rules with each guarantee. */
static void check_at_work(int flags, size_t first)
{
	struct rig *r = start(flags);
	size_t n_killed = 0;
	pid_t strace = 1;

	for (size_t i = first; i < ARRAY_SIZE(at_work); i += 2) {
		struct background restart;
		pid_t before[N_WORKERS];

		get_pids(r, before);
		strace = inject_begin(rig_daemon_pid(r), at_work[i]);
		if (strace == 0)
			break;
		restart =
			background_start(r, "restart", "restart", "all", NULL);
		n_killed += was_killed(r);
		rig_crash(r); /* if not yet */
		inject_end(strace);
		(void)background_wait(&restart);
		check_clean_restart(r, before, at_work[i]);
	}
	unit_count(n_killed, "kills");
	ck_assert(strace == 0 || n_killed >= 3); /* most of the six occur */
	ck_assert_int_eq(rig_stop(r), 0);
}

START_TEST(test_at_work)
{
	check_at_work(0, 0);
}
END_TEST

START_TEST(test_at_work_without_cgroup)
{
	check_at_work(RIG_NO_CGROUP, 1);
}
END_TEST

/* ---- while it starts ---------------------------------------------------------- */

static const char *const at_start[] = {
	"flock:signal=KILL:when=1",
	"bind:signal=KILL:when=1",
	"bind:signal=KILL:when=2",
	"listen:signal=KILL:when=1",
	"clone,clone3,fork:signal=KILL:when=1",
	"clone,clone3,fork:signal=KILL:when=2",
	"clone,clone3,fork,sendmsg:signal=KILL:when=3",
	"pipe2:signal=KILL:when=4",
	"epoll_wait,epoll_pwait,epoll_pwait2:signal=KILL:when=3",
};

static void exec_strace(const char *rule, const char *config, const char *log)
{
	const char *reeved = getenv("REEVED");
	char inject[128];

	snprintf(inject, sizeof(inject), "inject=%s", rule);
	dup2(open(log, O_WRONLY | O_CREAT | O_TRUNC, 0644), 2);
	unsetenv("NOTIFY_SOCKET");
	execlp("strace", "strace", "-D", "-qq", "-o", "/dev/null", "-e", inject,
	       reeved ? reeved : "build/reeved", "-c", config, (char *)NULL);
	_exit(NO_STRACE);
}

/* Starts reeved under strace, which steps aside (-D): it is our child. Returns
 * the signal that killed it, 0 when it came so far as to run, or NO_STRACE. */
static int run_until_killed(struct rig *r, const char *rule)
{
	const char *config = rig_path(r, "reeve.ini");
	const char *log = rig_path(r, "killed.log");
	bool is_ready = false;
	int status = 0;
	pid_t pid;

	(void)unlink(log);
	fflush(NULL);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		exec_strace(rule, config, log);
	for (int i = 0; i < LOOKS_MAX && !is_ready; i++) {
		char *text = rig_read_file(log);

		is_ready = strstr(text, "state=RUNNING") != NULL;
		free(text);
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFSIGNALED(status) ? WTERMSIG(status)
						   : WEXITSTATUS(status);
		(void)poll(NULL, 0, LOOK_MSEC);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return is_ready ? 0 : -1;
}

START_TEST(test_at_start)
{
	struct rig *r = start(0);
	size_t n_killed = 0;
	int code = 0;

	for (size_t i = 0; i < ARRAY_SIZE(at_start); i++) {
		rig_crash(r);
		code = run_until_killed(r, at_start[i]);
		if (code == NO_STRACE) {
			puts("SKIP: no strace, or no right to use it");
			rig_restart(r);
			break;
		}
		ck_assert_msg(code == 0 || code == SIGKILL, "%s: ended with %d",
			      at_start[i], code);
		n_killed += code == SIGKILL;
		check_clean_restart(r, NULL, at_start[i]);
	}
	ck_assert(code == NO_STRACE || n_killed >= 6);
	ck_assert_int_eq(rig_stop(r), 0);
}
END_TEST

UNIT_MAIN("crashes", test_at_work, test_at_work_without_cgroup, test_at_start)
