/* Nothing is left of a tree, however it was planted; and nobody else is hit. */
#include "workers/base/sys/tree.h"

#include <pthread.h>

#include "tests/unit/spawn_rig.h"
#include "tests/unit/tree_rig.h"
#include "workers/base/sys/procstat.h"

#define HOPS_MAX 3000
#define BALLAST	 300

static const char mark[] = "0123456789abcdef0123456789abcdef";
static char mark_variable[64];

/* --- trees ------------------------------------------------------------------ */

/* setsid, fork, and both parents gone: only the mark is left. It exists in what
 * a program was started with, so a program it has to be. */
static char escape_script[] =
	"setsid sh -c 'setsid sleep 1000 & setsid sleep 1001 & :' & "
	"exec sleep 1002";

static struct spawn_spec program_spec(void)
{
	static char sh[] = "/bin/sh", dash_c[] = "-c", *argv[4], *envp[2];

	(void)snprintf(mark_variable, sizeof(mark_variable), "%s=%s",
		       TREE_MARK_NAME, mark);
	argv[0] = sh;
	argv[1] = dash_c;
	argv[2] = escape_script;
	envp[0] = mark_variable;
	return (struct spawn_spec){ SPAWN_SPEC, .argv = argv, .envp = envp,
				    .new_session = true };
}

static int start_a_stopped_family(void *arg)
{
	if (fork_anyway() == 0) {
		say_pid();
		(void)raise(SIGSTOP);
		_exit(0);
	}
	return start_a_family(arg);
}

static void *stay(_unused_ void *arg)
{
	say_pid();
	for (;;)
		pause();
	return NULL;
}

/* The first thread ends and leaves the process to another: state Z, alive. */
static int start_a_headless_process(_unused_ void *arg)
{
	pthread_t thread;

	while (pthread_create(&thread, NULL, stay, NULL) != 0)
		(void)sched_yield(); /* short of processes: try again */
	(void)syscall(SYS_exit, 0);
	return 0;
}

/* Each forks and exits at once, so that the chain is never where it was seen.
 * arg: in a process group of its own each, so that none can be signalled as a
 * whole; the session is what they have in common. Ends by itself, in case. */
static int start_hopping(void *arg)
{
	bool has_groups = *(const bool *)arg;

	for (int i = 0; i < HOPS_MAX; i++) {
		if (fork_anyway() != 0)
			_exit(0);
		if (has_groups)
			(void)setpgid(0, 0);
		__atomic_fetch_add(&shared->n_started, 1, __ATOMIC_SEQ_CST);
	}
	return 0;
}

/* --- their ends --------------------------------------------------------------- */

static const struct kill_case {
	int (*function)(void *arg);
	int n_started; /* wait for as many */
	int n_killed;
} kill_cases[] = {
	{ start_nothing, 1, 1 },
	{ start_a_family, FAMILY_SIZE, FAMILY_SIZE },
	{ start_a_stopped_family, FAMILY_SIZE + 1, FAMILY_SIZE + 1 },
	{ start_a_headless_process, 1, 1 },
	{ start_a_bomb, 10, -1 },
	{ start_a_bomb, BOMB_MAX, BOMB_MAX + 1 },
};

static void check_kill(const struct kill_case *c, bool new_session)
{
	struct spawn_spec spec = { SPAWN_SPEC, .function = c->function,
				   .new_session = new_session };
	struct spawn_child child;
	struct tree_id id;
	int n;

	memset(shared, 0, sizeof(*shared));
	child = start_child(&spec);
	id = (struct tree_id){ .leader = child.pid };
	wait_for_pids(c->n_started);
	n = tree_kill(&id);
	if (c->n_killed > 0)
		ck_assert_int_eq(n, c->n_killed);
	else
		ck_assert_int_ge(n, c->n_started);
	ck_assert(is_readable(child.pidfd));
	ck_assert_int_eq(take_exit(&child), -SIGKILL);
	check_nothing_lives();
	ck_assert_int_eq(tree_kill(&id), 0);
}

START_TEST(test_kill)
{
	share();
	for (size_t i = 0; i < ARRAY_SIZE(kill_cases); i++)
		check_kill(&kill_cases[i], true);
}
END_TEST

/* Without a session of its own, orphans are told by nothing but descent. */
START_TEST(test_kill_in_our_session)
{
	const struct kill_case alone = { start_nothing, 1, 1 };
	const struct kill_case bomb = { start_a_bomb, BOMB_MAX, BOMB_MAX + 1 };

	share();
	check_kill(&alone, false);
	check_kill(&bomb, false);
}
END_TEST

/* Several at once; nobody else's; and what a limit of no time leaves. */
START_TEST(test_kill_all)
{
	struct spawn_spec spec = { SPAWN_SPEC, .function = start_a_family,
				   .new_session = true };
	struct spawn_child children[4];
	struct tree_id ids[4];

	share();
	for (size_t i = 0; i < 4; i++) {
		children[i] = start_child(&spec);
		ids[i] = (struct tree_id){ .leader = children[i].pid };
	}
	wait_for_pids(4 * FAMILY_SIZE);
	ck_assert_int_eq(tree_kill_all(ids, 0, USEC_INFINITY, true), 0);
	ck_assert_int_eq(tree_kill_all(ids, 3, USEC_INFINITY, false),
			 3 * FAMILY_SIZE);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(take_exit(&children[i]), -SIGKILL);
	ck_assert_int_eq(tree_signal(&ids[3], 0), FAMILY_SIZE);
	/* the time is over at once: stopped, not killed, and then found */
	ck_assert_int_eq(tree_kill_all(&ids[3], 1, 0, false), -EAGAIN);
	ck_assert_int_eq(tree_signal(&ids[3], 0), FAMILY_SIZE);
	ck_assert_int_eq(tree_kill_all(&ids[3], 1, USEC_INFINITY, false),
			 FAMILY_SIZE);
	ck_assert_int_eq(take_exit(&children[3]), -SIGKILL);
	check_nothing_lives();
}
END_TEST

/* Waits until the shell has left n programs of the mark. */
static void wait_for_marked(const struct tree_id *id, size_t n)
{
	struct tree_snapshot s;
	bool *member;
	size_t found;

	do {
		ck_assert_int_eq(tree_snapshot_take(&s), 0);
		member = calloc(s.n_processes, sizeof(*member));
		found = tree_members(&s, id, member);
		for (size_t i = 0; i < s.n_processes; i++) {
			char comm[64], *text = NULL;

			if (!member[i])
				continue;
			(void)snprintf(comm, sizeof(comm), "/proc/%d/comm",
				       (int)s.processes[i].pid);
			if (fd_read_file(AT_FDCWD, comm, 64, &text, NULL) < 0 ||
			    !str_equal(text, "sleep\n"))
				found = 0;
			free(text);
		}
		free(member);
		tree_snapshot_done(&s);
	} while (found != n);
}

START_TEST(test_kill_finds_escapees_by_mark)
{
	struct spawn_spec spec = program_spec();
	struct spawn_child child = start_child(&spec);
	struct tree_id id = { child.pid, TREE_MARK_NAME, mark };
	struct tree_id by_leader = { .leader = child.pid };
	struct tree_id other = { .leader = 0,
				 .mark_name = TREE_MARK_NAME,
				 .mark = "0123456789abcdef0123456789abcdee" };
	struct tree_id by_mark = { 0, TREE_MARK_NAME, mark };

	wait_for_marked(&by_mark, 3);
	ck_assert_int_eq(tree_signal(&other, SIGKILL), 0);
	/* without the mark they would live */
	ck_assert_int_eq(tree_signal(&by_leader, 0), 1);
	ck_assert_int_eq(tree_signal(&id, 0), 3);
	ck_assert_int_eq(tree_kill(&by_mark), 3);
	ck_assert_int_eq(take_exit(&child), -SIGKILL);
	check_nothing_lives();
}
END_TEST

/* Processes that make a look at all of them take its time. They die with the
 * one that is returned. */
static pid_t start_ballast(void)
{
	pid_t holder = fork_anyway();

	if (holder != 0)
		return holder;
	for (int i = 0; i < BALLAST; i++) {
		if (fork_anyway() == 0) {
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			wait_for_death();
		}
	}
	wait_for_death();
}

START_TEST(test_kill_catches_who_hops)
{
	share();
	for (int i = 0; i < 2; i++) {
		bool has_groups = i == 1;
		struct spawn_spec spec = { SPAWN_SPEC,
					   .function = start_hopping,
					   .arg = &has_groups,
					   .new_session = true };
		struct spawn_child child;
		struct tree_id id;
		pid_t ballast;

		memset(shared, 0, sizeof(*shared));
		ballast = start_ballast();
		wait_for_pids(BALLAST + 1);
		shared->n_started = 0;
		child = start_child(&spec);
		id = (struct tree_id){ .leader = child.pid };
		wait_for_pids(20);
		/* 0: the kernel hangs up on stopped orphans itself */
		ck_assert_int_ge(tree_kill(&id), 0);
		ck_assert_int_lt(shared->n_started, HOPS_MAX);
		ck_assert_int_eq(take_exit(&child), 0);
		ck_assert_int_eq(kill(ballast, SIGKILL), 0);
		check_nothing_lives();
	}
}
END_TEST

/* --- signals ---------------------------------------------------------------- */

START_TEST(test_signal_each_once)
{
	struct spawn_spec spec = { SPAWN_SPEC, .function = start_a_family,
				   .new_session = true };
	struct spawn_child child;
	struct tree_id id;

	share();
	child = start_child(&spec);
	id = (struct tree_id){ .leader = child.pid };
	wait_for_pids(FAMILY_SIZE);
	ck_assert_int_eq(tree_signal(&id, 0), FAMILY_SIZE);
	ck_assert_int_eq(tree_signal(&id, SIGTERM), FAMILY_SIZE);
	ck_assert_int_eq(take_exit(&child), -SIGTERM);
	check_nothing_lives();
}
END_TEST

START_TEST(test_recycled_pid_is_not_signalled)
{
	struct spawn_spec spec = { SPAWN_SPEC, .function = start_nothing };
	struct spawn_child child;
	struct tree_process p;

	share();
	child = start_child(&spec);
	ck_assert_int_eq(procstat_read(child.pid, &p), 0);
	p.start_ticks--;
	ck_assert_int_eq(tree_signal_process(&p, SIGKILL), 0);
	p.start_ticks += 2;
	ck_assert_int_eq(tree_signal_process(&p, SIGKILL), 0);
	p.start_ticks--;
	ck_assert_int_eq(tree_signal_process(&p, SIGUSR1), 1);
	ck_assert_int_eq(take_exit(&child), -SIGUSR1);
	ck_assert_int_eq(tree_signal_process(&p, SIGKILL), 0);
}
END_TEST

START_TEST(test_never_signalled)
{
	struct tree_process p;

	ck_assert_int_eq(procstat_read(getpid(), &p), 0);
	ck_assert_int_eq(tree_signal_process(&p, SIGKILL), -EPERM);
	ck_assert_int_eq(procstat_read(1, &p), 0);
	ck_assert_int_eq(tree_signal_process(&p, 0), -EPERM);
	p.pid = 2;
	p.is_kernel = true;
	ck_assert_int_eq(tree_signal_process(&p, 0), -EPERM);
}
END_TEST

UNIT_MAIN("tree_kill", test_kill, test_kill_in_our_session, test_kill_all,
	  test_kill_finds_escapees_by_mark, test_kill_catches_who_hops,
	  test_signal_each_once, test_recycled_pid_is_not_signalled,
	  test_never_signalled)
