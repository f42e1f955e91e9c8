/* Nothing of a worker outlives it, nothing of a keeper outlives its owner. */
#include "workers/pool/keeper.h"

#include <pthread.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "tests/unit/keeper_rig.h"

#define FAMILY_SIZE 5
#define BOMB_MAX    60
#define HOPS_MAX    300

/* A tree whose processes are each in a session of their own, doubling. */
static _Noreturn void run_bomb(struct rig_shared *s)
{
	(void)setsid();
	while (atomic_load(&s->n_pids) < BOMB_MAX)
		if (fork() == 0) {
			(void)setsid();
			rig_say_pid(s);
		}
	for (;;)
		(void)pause();
}

/* Never two forks in the same process: each lives for one hop. */
static _Noreturn void run_chain(struct rig_shared *s)
{
	for (int hop = 0; hop < HOPS_MAX; hop++) {
		if (fork() != 0)
			_exit(0);
		(void)setsid();
	}
	rig_stay(s);
}

static _Atomic int planted; /* which of them: set before the keeper's fork */

static int plant(const struct keeper_seat *seat, int lifeline_fd, void *arg)
{
	if (fork() == 0) {
		if (atomic_load(&planted) == 0)
			run_bomb(arg);
		run_chain(arg);
	}
	return rig_worker(seat, lifeline_fd, arg);
}

START_TEST(test_kills_the_family_of_the_killed)
{
	struct rig r;

	rig_init(&r, 1);
	rig_start_ready(&r, 1);
	rig_publish(&r, 0, DO_FAMILY, 0);
	await(&r, atomic_load(&r.shared->n_pids) == FAMILY_SIZE);
	atomic_store(&r.board->seats[0].kill, 1);
	rig_ring(&r);
	(void)rig_await_end(&r, 0);
	await(&r, rig_count_gone(&r) == FAMILY_SIZE);
	rig_terminate(&r);
}
END_TEST

START_TEST(test_kills_the_family_of_the_crashed)
{
	struct rig r;

	rig_init(&r, 2);
	rig_start_ready(&r, 2);
	rig_publish(&r, 0, DO_FAMILY, 0);
	await(&r, atomic_load(&r.shared->n_pids) == FAMILY_SIZE);
	(void)kill(r.board->seats[0].pid, SIGKILL);
	await(&r, rig_count_gone(&r) == FAMILY_SIZE);
	/* nobody else was hit */
	ck_assert_uint_eq(seat_state(&r, 1), SEAT_LIVE);
	rig_publish(&r, 1, DO_NOTHING, 0);
	await(&r, rig_state(&r, 1, 0) == SLOT_DONE);
	rig_terminate(&r);
}
END_TEST

/* The orphans of a living worker are its own: a neighbour's death is nothing to
 * them. */
START_TEST(test_spares_the_family_of_the_living)
{
	struct rig r;

	rig_init(&r, 2);
	rig_start_ready(&r, 2);
	rig_publish(&r, 0, DO_FAMILY, 0);
	await(&r, atomic_load(&r.shared->n_pids) == FAMILY_SIZE);
	for (int i = 0; i < 5; i++) {
		rig_publish(&r, 1, DO_EXIT, 1);
		(void)rig_await_end(&r, 1);
		rig_offer_again(&r, 1);
		await(&r, seat_state(&r, 1) == SEAT_LIVE);
	}
	ck_assert_int_eq(rig_count_gone(&r), 0);
	rig_terminate(&r);
}
END_TEST

START_TEST(test_kills_bombs_and_chains)
{
	for (int i = 0; i < 2; i++) {
		struct rig r;

		atomic_store(&planted, i);
		rig_init(&r, 1);
		r.config.worker_main = plant;
		rig_start_ready(&r, 1);
		await(&r, i == 1 || atomic_load(&r.shared->n_pids) > 10);
		rig_order(&r, ORDER_TERMINATE);
		ck_assert_int_eq(rig_await_keeper(&r), 0);
		ck_assert_int_eq(rig_count_gone(&r), r.shared->n_pids);
		rig_done(&r);
	}
}
END_TEST

/* A child of a task that returns into the worker's loop has no channel. */
START_TEST(test_strays_find_no_channel)
{
	struct rig r;

	rig_init(&r, 1);
	rig_start_ready(&r, 1);
	rig_publish(&r, 0, DO_FORK, 0);
	for (int i = 0; i < 5; i++)
		rig_publish(&r, 0, DO_NOTHING, 0);
	await(&r, rig_state(&r, 0, 5) == SLOT_DONE);
	await(&r, atomic_load(&r.shared->n_pids) == 1);
	await(&r, rig_count_gone(&r) == 1);
	ck_assert_uint_eq(r.shared->n_tasks, 6);
	rig_terminate(&r);
}
END_TEST

/* --- owners and keepers that are gone ------------------------------------------ */

/* The owner is a child of ours, which owns the pool and does nothing. */
static pid_t start_owner(struct rig *r)
{
	int ready = eventfd(0, EFD_CLOEXEC);
	uint64_t n = 1;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		r->config.owner_pidfd = pidfd_open(getpid(), 0);
		r->keeper = fork();
		if (r->keeper == 0)
			keeper_main(&r->config);
		n = (uint64_t)r->keeper;
		(void)!write(ready, &n, sizeof(n));
		for (;;)
			(void)pause();
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(read(ready, &n, sizeof(n)), 8);
	fd_close(ready);
	r->keeper = (pid_t)n;
	r->keeper_pidfd = pidfd_open(r->keeper, 0);
	return pid;
}

static void end_owner(pid_t pid)
{
	siginfo_t info;

	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED), 0);
}

START_TEST(test_nothing_outlives_its_owner)
{
	for (int i = 0; i < 30; i++) {
		struct rig r;
		uint64_t before;
		pid_t owner;

		rig_init(&r, 3);
		r.config.maxtasksperchild = 1;
		r.board->target = 3;
		for (int n = 0; n < RIG_SLOTS; n++)
			rig_publish(&r, 0, DO_NOTHING, 0);
		rig_publish(&r, 1, DO_FAMILY, 0);
		rig_publish(&r, 2, DO_SIGNAL, SIGSTOP);
		owner = start_owner(&r);
		rig_spin((uint64_t)i * 400);
		end_owner(owner);
		before = clock_monotonic_usec();
		(void)rig_await_keeper(&r); /* as it was left to us */
		ck_assert_uint_lt(clock_monotonic_usec() - before,
				  USEC_PER_SEC);
		/* the keeper leaves last: all are gone now */
		ck_assert_int_eq(rig_count_gone(&r),
				 atomic_load(&r.shared->n_pids));
		for (size_t seat = 0; seat < 3; seat++)
			ck_assert(r.board->seats[seat].pid == 0 ||
				  is_gone(r.board->seats[seat].pid));
		rig_done(&r);
	}
}
END_TEST

static void *start_in_thread(void *arg)
{
	rig_start(arg, 1);
	return NULL;
}

/* A parent-death signal would mean the thread. */
START_TEST(test_outlives_the_thread_that_made_it)
{
	pthread_t thread;
	struct rig r;

	rig_init(&r, 1);
	ck_assert_int_eq(pthread_create(&thread, NULL, start_in_thread, &r), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	for (uint64_t i = 0; i < 5; i++) {
		rig_publish(&r, 0, DO_NOTHING, 0);
		await(&r, rig_state(&r, 0, i) == SLOT_DONE);
	}
	ck_assert_uint_eq(r.board->n_started, 1);
	rig_terminate(&r);
}
END_TEST

START_TEST(test_workers_die_with_their_keeper)
{
	for (int i = 0; i < 20; i++) {
		siginfo_t info;
		struct rig r;

		rig_init(&r, 3);
		r.config.maxtasksperchild = 1;
		rig_start(&r, 3);
		for (int n = 0; n < RIG_SLOTS; n++)
			rig_publish(&r, 0, DO_NOTHING, 0);
		rig_spin((uint64_t)i * 300);
		(void)kill(r.keeper, SIGKILL);
		ck_assert_int_eq(rig_await_keeper(&r), -SIGKILL);
		/* They come to us, and nobody else does. */
		while (waitid(P_ALL, 0, &info, WEXITED) == 0)
			ck_assert(info.si_code != CLD_DUMPED);
		rig_done(&r);
	}
}
END_TEST

/* --- what a worker finds ---------------------------------------------------------- */

static int look_around(const struct keeper_seat *seat, int lifeline_fd,
		       void *arg)
{
	struct rig_shared *s = arg;
	struct sigaction action;
	struct stat st;
	sigset_t mask;

	s->n_fds = fd_count_open();
	for (int signo = 1; signo < NSIG; signo++)
		if (sigaction(signo, NULL, &action) == 0 &&
		    action.sa_handler != SIG_DFL)
			s->n_ignored++;
	(void)sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int signo = 1; signo < NSIG; signo++)
		s->n_blocked += sigismember(&mask, signo) == 1;
	s->is_stdin_null = fstat(STDIN_FILENO, &st) == 0 &&
			   S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
	(void)prctl(PR_GET_NAME, s->comm, 0, 0, 0);
	if (getpgrp() == getpid() && seat->bell_fd != lifeline_fd &&
	    fcntl(seat->bell_fd, F_GETFD) == FD_CLOEXEC &&
	    fcntl(lifeline_fd, F_GETFD) == FD_CLOEXEC)
		rig_say_pid(s);
	return rig_worker(seat, lifeline_fd, arg);
}

START_TEST(test_workers_find_what_is_promised)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
	int stdin_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
	sigset_t all, old;
	struct rig r;
	int n_fds;

	ck_assert_int_eq(dup2(STDOUT_FILENO, STDIN_FILENO), STDIN_FILENO);
	n_fds = fd_count_open();
	/* an owner that ignores its children and blocks everything */
	(void)sigaction(SIGCHLD, &ignore, &before);
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &old);
	rig_init(&r, 3);
	r.config.worker_main = look_around;
	rig_start_ready(&r, 1);
	(void)sigaction(SIGCHLD, &before, NULL);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	rig_publish(&r, 0, DO_NOTHING, 0);
	await(&r, rig_state(&r, 0, 0) == SLOT_DONE);
	/* the owner's, and bell and lifeline */
	ck_assert_int_eq(r.shared->n_fds, n_fds + 2);
	ck_assert_int_eq(r.shared->n_ignored, 0);
	ck_assert_int_eq(r.shared->n_blocked, 0);
	ck_assert_int_eq(r.shared->is_stdin_null, 1);
	ck_assert_int_eq(r.shared->n_pids, 1);
	ck_assert_str_eq(r.shared->comm, "rig:0");
	ck_assert_int_eq(rig_count_gone(&r), 0);
	/* and when the keeper has all that it will have */
	atomic_store(&r.board->target, 2);
	rig_ring(&r);
	await(&r, r.shared->n_pids == 2);
	ck_assert_int_eq(r.shared->n_fds, n_fds + 2);
	rig_terminate(&r);
	ck_assert_int_eq(dup2(stdin_fd, STDIN_FILENO), STDIN_FILENO);
	fd_close(stdin_fd);
}
END_TEST

UNIT_MAIN("pool keeper tree", test_kills_the_family_of_the_killed,
	  test_kills_the_family_of_the_crashed,
	  test_spares_the_family_of_the_living, test_kills_bombs_and_chains,
	  test_strays_find_no_channel, test_nothing_outlives_its_owner,
	  test_outlives_the_thread_that_made_it,
	  test_workers_die_with_their_keeper,
	  test_workers_find_what_is_promised)
