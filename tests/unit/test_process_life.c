/* guard.c, and the lives of a spec: who dies with the owner, however that ends,
 * and who must not die when only a thread does.
 *
 * An owner is a forked child of the test, in which processes are started; the
 * pidfds of those come over a socket. Orphans come to the test, which is their
 * subreaper, and are reaped by the fixture. */
#include "workers/process/guard.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "tests/unit/process_rig.h"
#include "workers/base/pure/rng.h"

enum starter { MAIN_THREAD, OTHER_THREAD };

/* How an owner is to start one process, and where the pidfds go. */
struct owner {
	struct reeve_process_spec spec;
	enum starter starter;
	bool ends_thread; /* the one that started it, before the owner */
	int socket;
	reeve_process *process;
};

static void send_fd(int socket, int fd)
{
	char byte = 0;
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(socket, &msg, 0) != 1)
		_exit(90);
}

static int receive_fd(int socket)
{
	char byte;
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int fd = -1;

	ck_assert(is_readable(socket));
	ck_assert_int_eq(recvmsg(socket, &msg, MSG_CMSG_CLOEXEC), 1);
	ck_assert_uint_ge(msg.msg_controllen, CMSG_LEN(sizeof(int)));
	memcpy(&fd, control.bytes + CMSG_LEN(0), sizeof(fd));
	return fd;
}

static void *start_and_send(void *arg)
{
	struct owner *o = arg;

	if (reeve_process_start(&o->spec, &o->process) < 0)
		_exit(91);
	send_fd(o->socket, reeve_process_fd(o->process));
	if (!o->ends_thread)
		for (;;)
			(void)pause();
	return NULL;
}

/* The owner's life: one process, started as told; then it stays. */
static _Noreturn void be_owner(struct owner *o)
{
	pthread_t thread;

	if (o->starter == MAIN_THREAD)
		(void)start_and_send(o);
	if (pthread_create(&thread, NULL, start_and_send, o) != 0)
		_exit(92);
	if (o->ends_thread && pthread_join(thread, NULL) == 0)
		send_fd(o->socket, 2); /* "the thread has ended" */
	for (;;)
		(void)pause();
}

/* Forks the owner. Returns its pid; *ret_pidfd is that of its process. */
static pid_t fork_owner(struct owner *o, int *ret_socket, int *ret_pidfd)
{
	int sockets[2];
	pid_t pid;

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		(void)setpgid(0, 0);
		o->socket = sockets[1];
		be_owner(o);
	}
	fd_close(sockets[1]);
	*ret_socket = sockets[0];
	*ret_pidfd = receive_fd(sockets[0]);
	return pid;
}

/* pid, or -group. */
static void end_owner(pid_t pid, int signo)
{
	int status;

	ck_assert_int_eq(kill(pid, signo), 0);
	ck_assert_int_eq(waitpid(abs(pid), &status, 0), abs(pid));
}

static bool runs(int pidfd)
{
	struct pollfd end = { .fd = pidfd, .events = POLLIN };

	return poll(&end, 1, 30) == 0;
}

/* --- the owner ends ------------------------------------------------------ */

START_TEST(test_killed_owner_takes_its_process_along)
{
	const struct {
		enum reeve_process_life life;
		enum starter starter;
		bool share_memory;
	} cases[] = {
		{ REEVE_LIFE_OWNER, MAIN_THREAD, false },
		{ REEVE_LIFE_OWNER, MAIN_THREAD, true },
		{ REEVE_LIFE_OWNER, OTHER_THREAD, false },
		{ REEVE_LIFE_TREE, MAIN_THREAD, false },
		{ REEVE_LIFE_TREE, OTHER_THREAD, false },
	};

	for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		struct owner o = {
			.spec = { .life = cases[i / 2].life },
			.starter = cases[i / 2].starter,
		};
		int socket, pidfd;
		pid_t pid;

		o.spec.share_memory = cases[i / 2].share_memory;
		if (i % 2 && !o.spec.share_memory)
			o.spec.function = sleep_on;
		else
			o.spec.argv = shell("exec sleep 1000");
		pid = fork_owner(&o, &socket, &pidfd);
		ck_assert(runs(pidfd));
		end_owner(pid, SIGKILL);
		ck_assert_msg(is_readable(pidfd), "case %zu", i);
		fd_close(pidfd);
		fd_close(socket);
	}
}
END_TEST

/* A signal to the owner's whole group must not get the guard and leave the
 * process, which is not in it. */
START_TEST(test_killed_group_takes_a_session_along)
{
	struct owner o = {
		.spec = { .function = sleep_on,
			  .new_session = true,
			  .life = REEVE_LIFE_TREE },
	};
	int socket, pidfd;
	pid_t pid = fork_owner(&o, &socket, &pidfd);

	end_owner(-pid, SIGKILL);
	ck_assert(is_readable(pidfd));
	fd_close(pidfd);
	fd_close(socket);
}
END_TEST

#define STARTS_MAX 16 /* of an owner that is killed at any moment */

static void *start_some(void *arg)
{
	const struct reeve_process_spec *spec = arg;
	reeve_process *p;

	for (int i = 0; i < STARTS_MAX; i++)
		if (reeve_process_start(spec, &p) < 0)
			_exit(93);
	return NULL;
}

static _Noreturn void start_until_killed(struct reeve_process_spec *spec,
					 enum starter starter)
{
	pthread_t thread;

	if (starter == MAIN_THREAD)
		(void)start_some(spec);
	else if (pthread_create(&thread, NULL, start_some, spec) != 0)
		_exit(94);
	for (;;)
		(void)pause();
}

/* All who have come to us, their subreaper, end; in time. */
static bool all_end(void)
{
	uint64_t deadline = clock_monotonic_usec() + DEADLINE_USEC;

	while (clock_monotonic_usec() < deadline) {
		pid_t pid = waitpid(-1, NULL, WNOHANG | __WALL);

		if (pid < 0)
			return errno == ECHILD;
		if (pid == 0)
			(void)poll(NULL, 0, 1);
	}
	return false;
}

START_TEST(test_owner_killed_at_any_moment)
{
	struct rng rng = { .state = 1 };

	for (int i = 0; i < 80; i++) {
		struct reeve_process_spec spec = {
			.life = i & 1 ? REEVE_LIFE_TREE : REEVE_LIFE_OWNER,
		};
		enum starter starter = i & 2 ? OTHER_THREAD : MAIN_THREAD;
		uint64_t moment;
		pid_t pid;

		spec.function = i & 4 ? sleep_on : NULL;
		spec.argv = i & 4 ? NULL : shell("exec sleep 1000");
		pid = fork();
		ck_assert_int_ge(pid, 0);
		if (pid == 0)
			start_until_killed(&spec, starter);
		moment = clock_monotonic_usec() + rng_below(&rng, 8000);
		while (clock_monotonic_usec() < moment)
			(void)sched_yield();
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		ck_assert_msg(all_end(), "round %d", i);
	}
}
END_TEST

START_TEST(test_detached_survives_owner)
{
	struct owner o = {
		.spec = { .function = sleep_on, .life = REEVE_LIFE_DETACHED },
	};
	int socket, pidfd;
	pid_t pid = fork_owner(&o, &socket, &pidfd);

	end_owner(pid, SIGKILL);
	ck_assert(runs(pidfd));
	ck_assert_int_eq(pidfd_send_signal(pidfd, SIGKILL, NULL, 0), 0);
	ck_assert(is_readable(pidfd));
	fd_close(pidfd);
	fd_close(socket);
}
END_TEST

/* --- a thread ends ------------------------------------------------------- */

START_TEST(test_end_of_thread_ends_nobody)
{
	struct owner o = {
		.spec = { .function = sleep_on },
		.starter = OTHER_THREAD,
		.ends_thread = true,
	};
	int socket, pidfd;
	pid_t pid = fork_owner(&o, &socket, &pidfd);

	fd_close(receive_fd(socket)); /* the thread has ended */
	ck_assert(runs(pidfd));
	end_owner(pid, SIGKILL);
	ck_assert(is_readable(pidfd));
	fd_close(pidfd);
	fd_close(socket);
}
END_TEST

/* --- trees --------------------------------------------------------------- */

/* A child that has left the session, and whose parent is gone: what is left of
 * its tie is the environment. Its pid is written to stdout. */
static char *const *tree_script(void)
{
	return shell("setsid sh -c 'sleep 1000 & echo $!' ; exec sleep 1001");
}

static pid_t read_pid(int fd)
{
	char text[32] = "";

	ck_assert(is_readable(fd));
	ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
	return (pid_t)strtol(text, NULL, 10);
}

START_TEST(test_tree_dies_with_owner)
{
	int out[2], socket, pidfd, grandchild;
	struct owner o = {
		.spec = { .argv = tree_script(), .life = REEVE_LIFE_TREE },
	};
	pid_t pid;

	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	o.spec.stdout_fd = out[1];
	pid = fork_owner(&o, &socket, &pidfd);
	grandchild = pidfd_open(read_pid(out[0]), 0);
	ck_assert_int_ge(grandchild, 0);
	ck_assert(runs(grandchild));
	end_owner(pid, SIGKILL);
	ck_assert(is_readable(pidfd));
	ck_assert(is_readable(grandchild));
	fd_close(grandchild);
	fd_close(out[0]);
	fd_close(out[1]);
	fd_close(pidfd);
	fd_close(socket);
}
END_TEST

/* kill and free of a TREE, and signal_tree of anybody. */
START_TEST(test_tree_is_killed_whole)
{
	for (int i = 0; i < 4; i++) {
		struct reeve_process_spec spec = {
			.argv = tree_script(),
			.life = i < 3 ? REEVE_LIFE_TREE : REEVE_LIFE_OWNER,
		};
		int out[2], grandchild;
		reeve_process *p;

		ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
		spec.stdout_fd = out[1];
		p = start_process(spec);
		grandchild = pidfd_open(read_pid(out[0]), 0);
		ck_assert_int_ge(grandchild, 0);
		if (i == 0)
			ck_assert_int_eq(reeve_process_kill(p), 0);
		else if (i == 1)
			ck_assert_int_eq(reeve_process_terminate(p), 0);
		else if (i == 3)
			ck_assert_int_ge(reeve_process_signal_tree(p, SIGKILL),
					 2); /* its shell may still end */
		if (i == 2)
			reeve_process_free(p);
		else
			ck_assert_int_eq(end_process(p),
					 i == 1 ? -SIGTERM : -SIGKILL);
		ck_assert(is_readable(grandchild));
		fd_close(grandchild);
		fd_close(out[0]);
		fd_close(out[1]);
	}
}
END_TEST

START_TEST(test_tree_of_the_reaped_is_known_by_its_mark)
{
	int out[2], grandchild;
	struct reeve_process_spec spec = {
		.argv = shell("sleep 1000 & echo $!"),
	};
	reeve_process *p;

	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	spec.stdout_fd = out[1];
	p = start_process(spec);
	grandchild = pidfd_open(read_pid(out[0]), 0);
	ck_assert_int_eq(reeve_process_join(p, DEADLINE_USEC), 0);
	ck_assert(runs(grandchild));
	ck_assert_int_eq(reeve_process_signal_tree(p, SIGKILL), 1);
	ck_assert(is_readable(grandchild));
	ck_assert_int_eq(reeve_process_signal_tree(p, SIGKILL), 0);
	ck_assert_int_eq(end_process(p), 0);
	fd_close(grandchild);
	fd_close(out[0]);
	fd_close(out[1]);
}
END_TEST

/* --- the guard is not seen ----------------------------------------------- */

static void wait_for_all(_unused_ void *arg)
{
	const struct reeve_process_spec spec = { .function = sleep_on,
						 .life = REEVE_LIFE_TREE };
	reeve_process *p;

	if (reeve_process_start(&spec, &p) < 0)
		_exit(1);
	if (waitpid(-1, NULL, WNOHANG) != 0) /* one child, which runs */
		_exit(2);
	if (reeve_process_signal(p, SIGKILL) < 0)
		_exit(3);
	if (wait(NULL) != reeve_process_pid(p))
		_exit(4);
	if (wait(NULL) != -1 || errno != ECHILD) /* would hang on a guard */
		_exit(5);
	reeve_process_free(p);
	if (waitpid(-1, NULL, __WALL | WNOHANG) != -1 || errno != ECHILD)
		_exit(6); /* the guard is left */
}

START_TEST(test_guard_is_hidden_from_wait)
{
	ck_assert_int_eq(unit_fork(wait_for_all, NULL, NULL), 0);
}
END_TEST

START_TEST(test_guard_has_nothing_of_ours)
{
	reeve_process *p = start_process((struct reeve_process_spec){
		.function = sleep_on, .life = REEVE_LIFE_TREE });
	struct tree_snapshot snapshot;
	size_t n_guards = 0;

	ck_assert_int_eq(tree_snapshot_take(&snapshot), 0);
	for (size_t i = 0; i < snapshot.n_processes; i++) {
		const struct tree_process *q = &snapshot.processes[i];
		char path[64];

		if (q->ppid != getpid() || q->pid == reeve_process_pid(p))
			continue;
		n_guards++;
		ck_assert_int_eq(q->session, q->pid);
		for (int fd = 0; fd < 3; fd++) {
			(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d",
				       (int)q->pid, fd);
			ck_assert_int_ne(access(path, F_OK), 0);
		}
	}
	tree_snapshot_done(&snapshot);
	ck_assert_uint_eq(n_guards, 1);
	reeve_process_free(p);
}
END_TEST

static void *change_environment(void *arg)
{
	const atomic_bool *is_over = arg;

	for (unsigned n = 0; !atomic_load(is_over); n++)
		(void)setenv("REEVE_TEST", n % 2 ? "odd" : "even", 1);
	return NULL;
}

/* No lock that another thread of the owner held at the fork is waited for. */
START_TEST(test_environment_changes_meanwhile)
{
	atomic_bool is_over = false;
	pthread_t thread;

	ck_assert_int_eq(
		pthread_create(&thread, NULL, change_environment, &is_over), 0);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(run_process((struct reeve_process_spec){
					 .function = return_arg }),
				 0);
	atomic_store(&is_over, true);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

UNIT_MAIN("process_life", test_killed_owner_takes_its_process_along,
	  test_killed_group_takes_a_session_along,
	  test_owner_killed_at_any_moment, test_detached_survives_owner,
	  test_end_of_thread_ends_nobody, test_tree_dies_with_owner,
	  test_tree_is_killed_whole,
	  test_tree_of_the_reaped_is_known_by_its_mark,
	  test_guard_is_hidden_from_wait, test_guard_has_nothing_of_ours,
	  test_environment_changes_meanwhile)
