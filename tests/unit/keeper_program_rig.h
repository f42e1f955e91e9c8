/* The program reeve-manager: started as libreeve starts it, or by hand. */
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/unit/guest_rig.h"
#include "workers/base/sys/fd.h"
#include "workers/manager/keeper.h"

#define KEY "the key"

struct manager {
	pid_t pid; /* of the keeper */
	int pidfd;
	struct keeper_board *board;
	int bell_fd, owner_fd;
	char address[ADDRESS_TEXT_MAX];
};

/* What a guest was told first. */
struct hello {
	int64_t generation, pid;
	bool is_restored;
	unsigned char instance[PROTOCOL_INSTANCE];
};

/* Beside the directory of the tests. */
static inline const char *program_path(void)
{
	static char path[PATH_MAX];
	char self[PATH_MAX - 64];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	ck_assert_int_gt(n, 0);
	self[n] = '\0';
	for (int i = 0; i < 3; i++)
		*strrchr(self, '/') = '\0';
	(void)snprintf(path, sizeof(path), "%s/reeve-manager", self);
	return path;
}

static inline struct keeper_order manager_order(void)
{
	struct keeper_order o = {
		.magic = KEEPER_MAGIC,
		.version = KEEPER_VERSION,
		.size = sizeof(o),
		.max_clients = 100,
		.restart_limit = 1000,
		.restart_interval_usec = 10000000,
		.max_objects = 1000,
		.max_bytes = 64 << 20,
		.max_output_bytes = 20 << 20,
		.snapshot_interval_usec = 1000,
		.authkey_size = strlen(KEY),
		.authkey = KEY,
	};

	return o;
}

static inline int make_memfd(const void *data, size_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	if (data)
		ck_assert_int_eq(pwrite(fd, data, size, 0), (ssize_t)size);
	return fd;
}

/* In the child: fds to their numbers, by way of numbers that are none of these. */
static inline void place_fds(int fds[KEEPER_FD_END])
{
	for (int i = KEEPER_FD_ORDER; i < KEEPER_FD_END; i++)
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 100);
	for (int i = KEEPER_FD_ORDER; i < KEEPER_FD_END; i++)
		if (dup2(fds[i], i) < 0)
			_exit(99);
}

/* owner: whose end is the manager's, or 0: us. */
static inline struct manager manager_exec(const struct keeper_order *order,
					  const char *wanted, pid_t owner)
{
	struct keeper_order o = *order;
	struct manager m = { .pidfd = -1 };
	int fds[KEEPER_FD_END] = { 0 }, board_fd;
	char *const argv[] = { (char *)(uintptr_t)program_path(),
			       (char *)(uintptr_t)KEEPER_ARGUMENT, NULL };

	ck_assert_int_eq(
		address_listen(wanted, &fds[KEEPER_FD_LISTEN], m.address), 0);
	memcpy(o.address, m.address, sizeof(m.address));
	fds[KEEPER_FD_ORDER] = make_memfd(&o, sizeof(o));
	fds[KEEPER_FD_BOARD] = board_fd =
		make_memfd(NULL, sizeof(struct keeper_board));
	fds[KEEPER_FD_BELL] = m.bell_fd = eventfd(0, EFD_CLOEXEC);
	fds[KEEPER_FD_OWNER] = m.owner_fd =
		(int)syscall(SYS_pidfd_open, owner ? owner : getpid(), 0);
	m.board = mmap(NULL, sizeof(*m.board), PROT_READ, MAP_SHARED, board_fd,
		       0);
	ck_assert_ptr_ne(m.board, MAP_FAILED);
	m.pid = fork();
	if (m.pid == 0) {
		place_fds(fds);
		execv(argv[0], argv);
		_exit(98);
	}
	m.pidfd = (int)syscall(SYS_pidfd_open, m.pid, 0);
	fd_close(fds[KEEPER_FD_ORDER]);
	fd_close(fds[KEEPER_FD_LISTEN]);
	fd_close(board_fd);
	return m;
}

static inline const char *own_address(void)
{
	static char text[64];

	(void)snprintf(text, sizeof(text), "unix:@reeve-test-%d", getpid());
	return text;
}

/* Until what is looked at is so; the test fails after a while. */
#define UNTIL(condition)                                                       \
	do {                                                                   \
		uint64_t end_ = clock_monotonic_usec() +                       \
				GUEST_DEADLINE_MSEC * UINT64_C(1000);          \
		while (!(condition)) {                                         \
			if (clock_monotonic_usec() > end_)                     \
				ck_abort_msg("%s", #condition);                \
			(void)poll(NULL, 0, 1);                                \
		}                                                              \
	} while (0)

static inline struct manager manager_start(const struct keeper_order *order)
{
	struct manager m = manager_exec(order, own_address(), 0);

	UNTIL(m.board->state != KEEPER_STARTING);
	ck_assert_msg(m.board->state == KEEPER_RUNNING, "%s", m.board->reason);
	return m;
}

/* Waits for the keeper; its exit code, or -signal. */
static inline int manager_wait(struct manager *m)
{
	int status;

	ck_assert(fd_wait_readable(m->pidfd, GUEST_DEADLINE_MSEC));
	ck_assert_int_eq(waitpid(m->pid, &status, 0), m->pid);
	m->pidfd = fd_close(m->pidfd);
	m->bell_fd = fd_close(m->bell_fd);
	m->owner_fd = fd_close(m->owner_fd);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static inline int manager_stop(struct manager *m)
{
	ck_assert_int_eq(kill(m->pid, SIGTERM), 0);
	return manager_wait(m);
}

/* All of the handshake. Returns 0 or -errno. */
static inline int guest_meet(struct guest *g, const char *address,
			     struct hello *ret)
{
	struct guest_message message;
	struct reader r;
	const void *instance;
	int64_t version;
	size_t size;
	int error = guest_try_connect(g, address);

	if (error == 0)
		error = guest_prepare(g, KEY);
	if (error == 0)
		error = guest_send(g, g->said.data, g->said.len);
	if (error < 0)
		return error;
	if (guest_recv(g, &message) <= 0)
		return -ECONNRESET;
	error = auth_confirm(&g->auth, message.data, message.size);
	if (error < 0)
		return error;
	if (guest_recv(g, &message) <= 0)
		return -ECONNRESET;
	r = (struct reader){ message.data, message.size, 0 };
	ck_assert_int_eq(codec_get_int(&r, &version), 0);
	ck_assert_int_eq(version, PROTOCOL_VERSION);
	ck_assert_int_eq(codec_get_bytes(&r, &instance, &size), 0);
	ck_assert_uint_eq(size, PROTOCOL_INSTANCE);
	memcpy(ret->instance, instance, size);
	ck_assert_int_eq(codec_get_int(&r, &ret->generation), 0);
	ck_assert_int_eq(codec_get_bool(&r, &ret->is_restored), 0);
	ck_assert_int_eq(codec_get_int(&r, &ret->pid), 0);
	ck_assert(reader_is_at_end(&r));
	return 0;
}

static inline struct hello guest_enter(struct guest *g, const char *address)
{
	struct hello hello = { 0 };

	ck_assert_int_eq(guest_meet(g, address, &hello), 0);
	return hello;
}

/* Adds n to the value of that name. Returns the sum, or -errno. */
static inline int64_t guest_add(struct guest *g, int64_t handle, int64_t n)
{
	struct reader results;
	int64_t id, sum = 0;
	int r = guest_tell(g, VERB_VALUE_ADD, handle, n);

	if (r == 0)
		r = guest_answer(g, &id, &results);
	if (r < 0)
		return r;
	ck_assert_int_eq(codec_get_int(&results, &sum), 0);
	return sum;
}

static inline bool is_alive(pid_t pid)
{
	return kill(pid, 0) == 0 || errno != ESRCH;
}
