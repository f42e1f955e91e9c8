/* Gone is gone: no worker is told so while one of its tree lives, and none
 * waits when nobody does; and looks at /proc are taken when there is reason. */
#include "supervisor/daemon/reap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>

#include "tests/unit/daemon_rig.h"
#include "workers/base/sys/procstat.h"

#define HOPS 40

static const char ini[] = "[worker:a]\ncommand = /bin/true\nstartsecs = 0\n"
			  "autorestart = false\nstopsignal = TERM:60\n"
			  "[worker:b]\ncommand = /bin/true\nstartsecs = 0\n"
			  "autorestart = false\nkillasgroup = false\n";

static void stay(void *arg _unused_)
{
	for (;;)
		pause();
}

/* Leaves an orphan, which says its pid through the pipe. */
static void leave_one(void *arg)
{
	int *ends = arg;

	if (fork() == 0) {
		pid_t pid = getpid();

		(void)prctl(PR_SET_PDEATHSIG, 0);
		if (write(ends[1], &pid, sizeof(pid)) < 0)
			_exit(1);
		stay(NULL);
	}
}

/* Each generation forks the next and ends; the last one stays. In a session
 * and group that stay the leader's. */
static void hop(void *arg)
{
	int *ends = arg;
	pid_t pid;

	for (int i = 0; i < HOPS; i++)
		if (fork() != 0)
			_exit(0);
	pid = getpid();
	if (write(ends[1], &pid, sizeof(pid)) < 0)
		_exit(1);
	stay(NULL);
}

static pid_t read_pid(const int ends[2])
{
	pid_t pid;

	ck_assert_int_eq(read(ends[0], &pid, sizeof(pid)), sizeof(pid));
	return pid;
}

static struct worker *start(const char *name, void (*fn)(void *), void *arg)
{
	struct worker *w = rig_worker(name);

	rig_fork(w, fn, arg);
	ck_assert(worker_tell(w, EVENT_RUNS));
	return w;
}

static size_t count_session(pid_t session)
{
	struct tree_snapshot s;
	size_t n = 0;

	ck_assert_int_eq(tree_snapshot_take(&s), 0);
	for (size_t i = 0; i < s.n_processes; i++)
		n += s.processes[i].session == session &&
		     !procstat_is_dead(&s.processes[i]);
	tree_snapshot_done(&s);
	return n;
}

/* A tree whose leader ends: what it leaves is killed, and GONE is told when
 * nothing of it lives; whatever the looks have met. */
static void check_gone(void (*fn)(void *))
{
	struct worker *a;
	pid_t leader;
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	rig_up(ini);
	for (int i = 0; i < 20; i++) {
		a = start("a", fn, ends);
		leader = a->pid;
		rig_wait_state(a, STATE_EXITED);
		ck_assert_uint_eq(count_session(leader), 0);
		ck_assert(!worker_lingers(a));
		ck_assert_int_eq(a->tree, TREE_LED);
		ck_assert(!a->is_doomed);
	}
	rig_settle();
	close(ends[0]);
	close(ends[1]);
	rig_down();
}

START_TEST(test_orphan)
{
	check_gone(leave_one);
}
END_TEST

START_TEST(test_hops)
{
	check_gone(hop);
}
END_TEST

/* A look without a cause is none. */
START_TEST(test_looks_have_reasons)
{
	struct worker *a;
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	rig_up(ini);
	a = start("a", leave_one, ends);
	(void)read_pid(ends);
	rig_wait_dead(a->pidfd.fd);
	reap_leader(a);
	ck_assert(rig.reaper.is_due);
	reap_settle(&rig);
	ck_assert_uint_eq(rig.reaper.n_strays, 1);
	ck_assert_int_eq(a->tree, TREE_ORPHANED);
	while (rig.reaper.is_due)
		reap_settle(&rig);
	rig.reaper.n_strays = 77; /* a look would tell it otherwise */
	reap_settle(&rig);
	ck_assert_uint_eq(rig.reaper.n_strays, 77);
	rig_wait_state(a, STATE_EXITED);
	rig_settle();
	close(ends[0]);
	close(ends[1]);
	rig_down();
}
END_TEST

/* killasgroup = no: what it leaves is a stray, counted until the end. */
START_TEST(test_strays)
{
	struct worker *b;
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	rig_up(ini);
	b = start("b", leave_one, ends);
	(void)read_pid(ends);
	rig_wait_state(b, STATE_EXITED);
	rig.reaper.is_due = true;
	reap_settle(&rig);
	ck_assert_uint_eq(rig.reaper.n_strays, 1);
	ck_assert_uint_ge(reap_end_strays(&rig), 1);
	for (int i = 0; i < 1000 && reap_end_strays(&rig) > 0; i++)
		(void)poll(NULL, 0, 5);
	ck_assert_uint_eq(reap_end_strays(&rig), 0);
	rig_settle();
	close(ends[0]);
	close(ends[1]);
	rig_down();
}
END_TEST

UNIT_MAIN("reap", test_orphan, test_hops, test_looks_have_reasons, test_strays)
