/* A server of one's own: starting the program reeve-manager, which is its keeper,
 * and ending it.
 *
 * The keeper watches us by pidfd, so that it and its server end when we do, however
 * that is, and whichever thread has started it. What it is to do, the key among it,
 * goes through a sealed memfd. What it says is on a board, which only it writes; it
 * rings when that has changed.
 * A host that reaps all its children may take its status: then it is gone, which is
 * all that matters here.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/pidfd.h"
#include "workers/base/sys/program.h"
#include "workers/base/sys/spawn.h"
#include "workers/manager/auth.h"
#include "workers/manager/client.h"
#include "workers/manager/keeper.h"

#define RANDOM_KEY	 32 /* bytes */
#define DEFAULT_CLIENTS	 1024
#define DEFAULT_OBJECTS	 65536
#define DEFAULT_BYTES	 ((uint64_t)1 << 30)
#define DEFAULT_OUTPUT	 ((uint64_t)64 << 20)
#define DEFAULT_SNAPSHOT USEC_PER_SEC
#define DEFAULT_RESTARTS 5
#define DEFAULT_INTERVAL (10 * USEC_PER_SEC)
#define START_WAIT_USEC	 (30 * USEC_PER_SEC)
#define KILL_WAIT_USEC	 (2 * USEC_PER_SEC)
#define ORDER_SEALS	 (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

struct owner {
	int pidfd, bell_fd;
	struct keeper_board *board;
	bool has_snapshot;
	pid_t pid; /* for showing */
};

static struct owner *owner_free(struct owner *o)
{
	if (!o)
		return NULL;
	fd_close(o->pidfd);
	fd_close(o->bell_fd);
	if (o->board)
		(void)munmap(o->board, sizeof(*o->board));
	free(o);
	return NULL;
}

static void owner_freep(struct owner **o)
{
	*o = owner_free(*o);
}

/* ---- the order -------------------------------------------------------------- */

static int absolute(const char *path, char ret[static PATH_MAX])
{
	char here[PATH_MAX];
	size_t len = 0;

	if (path[0] != '/') {
		if (!getcwd(here, sizeof(here)))
			return -errno;
		len = strlen(here);
		memcpy(ret, here, len);
		ret[len++] = '/';
	}
	if (len + strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(ret + len, path, strlen(path) + 1);
	return 0;
}

static int fill_order(const struct reeve_manager_spec *s,
		      struct keeper_order *ret)
{
	int r = 0;

	*ret = (struct keeper_order){
		.magic = KEEPER_MAGIC,
		.version = KEEPER_VERSION,
		.size = sizeof(*ret),
		.max_clients = s->max_clients ?: DEFAULT_CLIENTS,
		.restart_limit = s->restart_limit ?: DEFAULT_RESTARTS,
		.restart_interval_usec =
			s->restart_interval_usec ?: DEFAULT_INTERVAL,
		.max_objects = s->max_objects ?: DEFAULT_OBJECTS,
		.max_bytes = s->max_bytes ?: DEFAULT_BYTES,
		.max_output_bytes = s->max_output_bytes ?: DEFAULT_OUTPUT,
		.snapshot_interval_usec =
			s->snapshot_interval_usec ?: DEFAULT_SNAPSHOT,
	};
	if ((s->authkey_size > 0 && !s->authkey) ||
	    s->authkey_size > sizeof(ret->authkey))
		return -EINVAL;
	if (s->snapshot)
		r = absolute(s->snapshot, ret->snapshot);
	if (r < 0)
		return r;
	ret->authkey_size =
		s->authkey_size ? (uint32_t)s->authkey_size : RANDOM_KEY;
	if (s->authkey_size == 0)
		return auth_random(ret->authkey, RANDOM_KEY);
	memcpy(ret->authkey, s->authkey, s->authkey_size);
	return 0;
}

/* An abstract name that nobody guesses, nor takes before us. */
static int choose_address(char ret[static ADDRESS_TEXT_MAX])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char random[16];
	size_t len = sizeof("unix:@reeve-manager-") - 1;
	int r = auth_random(random, sizeof(random));

	if (r < 0)
		return r;
	memcpy(ret, "unix:@reeve-manager-", len);
	for (size_t i = 0; i < sizeof(random); i++) {
		ret[len++] = digits[random[i] >> 4];
		ret[len++] = digits[random[i] & 15];
	}
	ret[len] = '\0';
	return 0;
}

static int listen_somewhere(const char *address, struct keeper_order *order,
			    int *ret_fd)
{
	char text[ADDRESS_TEXT_MAX];
	int r = 0;

	if (!address) {
		r = choose_address(text);
		address = text;
	}
	return r < 0 ? r : address_listen(address, ret_fd, order->address);
}

static int write_order(const struct keeper_order *order)
{
	_cleanup_(fd_closep) int fd = fd_lift(
		memfd_create("reeve-order", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	int r = fd < 0 ? -errno : fd_write_all(fd, order, sizeof(*order));

	if (r == 0 && fcntl(fd, F_ADD_SEALS, ORDER_SEALS) < 0)
		r = -errno;
	return r < 0 ? r : TAKE_FD(fd);
}

/* ---- starting ------------------------------------------------------------------ */

static int make_board(struct owner *o)
{
	_cleanup_(fd_closep) int fd =
		fd_lift(memfd_create("reeve-board", MFD_CLOEXEC));
	void *p;

	if (fd < 0 || ftruncate(fd, sizeof(*o->board)) < 0)
		return -errno;
	p = mmap(NULL, sizeof(*o->board), PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	o->board = p;
	return TAKE_FD(fd);
}

/* Waits for the exec. Returns 0 or -errno. */
static int await_exec(int report_fd)
{
	struct spawn_failure failure;
	int r;

	while ((r = spawn_read_report(report_fd, &failure)) == -EAGAIN)
		(void)fd_wait_readable(report_fd, -1);
	return r == 1 ? -failure.error : r;
}

static int execute(struct owner *o, const char *program, const int fds[])
{
	char path[PATH_MAX], *argv[] = { path, NULL, NULL };
	char argument[] = KEEPER_ARGUMENT;
	struct spawn_fd placed[KEEPER_FD_END - KEEPER_FD_ORDER];
	struct spawn_fd standard[] = { { STDERR_FILENO, STDERR_FILENO } };
	struct spawn_fd all[ARRAY_SIZE(placed) + ARRAY_SIZE(standard)];
	struct spawn_spec spec = {
		SPAWN_SPEC,
		.argv = argv,
		.envp = environ,
		.fds = all,
		.n_fds = ARRAY_SIZE(all),
		.new_session = true,
	};
	struct spawn_child child;
	int r = program_find(program, "reeve-manager", path);

	if (r < 0)
		return r;
	argv[1] = argument;
	for (size_t i = 0; i < ARRAY_SIZE(placed); i++)
		all[i] = (struct spawn_fd){ fds[i], KEEPER_FD_ORDER + (int)i };
	all[ARRAY_SIZE(placed)] = standard[0];
	if (fcntl(STDERR_FILENO, F_GETFD) < 0)
		spec.n_fds--;
	r = spawn_start(&spec, &child);
	if (r < 0)
		return r;
	o->pidfd = child.pidfd;
	o->pid = child.pid;
	r = await_exec(child.report_fd);
	fd_close(child.report_fd);
	return r;
}

/* takes listen_fd */
static int start_keeper(struct owner *o, const char *program,
			const struct keeper_order *order, int listen_fd)
{
	_cleanup_(fd_closep) int listener = listen_fd;
	_cleanup_(fd_closep) int order_fd = write_order(order);
	_cleanup_(fd_closep) int board_fd = make_board(o);
	_cleanup_(fd_closep) int self = pidfd_of_self();
	int fds[] = { order_fd, board_fd, -1, listener, self };
	int r;

	if (order_fd < 0)
		return order_fd;
	if (board_fd < 0)
		return board_fd;
	if (self < 0)
		return self;
	o->bell_fd = fd_lift(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (o->bell_fd < 0)
		return -errno;
	fds[KEEPER_FD_BELL - KEEPER_FD_ORDER] = o->bell_fd;
	r = execute(o, program, fds);
	if (r < 0)
		address_unlink(order->address, listener);
	return r;
}

static bool is_gone(const struct owner *o)
{
	return fd_wait_readable(o->pidfd, 0);
}

/* Until a server accepts. */
static int await_server(const struct owner *o)
{
	uint64_t end = usec_add(clock_monotonic_usec(), START_WAIT_USEC);

	while (clock_monotonic_usec() < end) {
		struct pollfd fds[] = { { o->pidfd, POLLIN, 0 },
					{ o->bell_fd, POLLIN, 0 } };
		bool was_gone = is_gone(o);
		eventfd_t n;

		switch ((enum keeper_state)atomic_load(&o->board->state)) {
		case KEEPER_RUNNING:
			return 0;
		case KEEPER_FATAL:
			return atomic_load(&o->board->error) ?: -ESHUTDOWN;
		case KEEPER_STARTING:
			break;
		}
		if (was_gone)
			return -EPROTO; /* it did not understand */
		(void)poll(fds, ARRAY_SIZE(fds), 100);
		(void)eventfd_read(o->bell_fd, &n);
	}
	return -ETIMEDOUT;
}

/* ---- ending ---------------------------------------------------------------------- */

static void end_keeper(struct owner *o)
{
	siginfo_t info;

	(void)spawn_signal(o->pidfd, SIGTERM);
	if (!fd_wait_readable(o->pidfd,
			      (int)((KEEPER_STOP_USEC + KILL_WAIT_USEC) /
				    USEC_PER_MSEC))) {
		/* its server has it as parent, and ends with it */
		(void)spawn_signal(o->pidfd, SIGKILL);
		(void)fd_wait_readable(o->pidfd,
				       (int)(KILL_WAIT_USEC / USEC_PER_MSEC));
	}
	/* WNOHANG: a host that reaps everything may have been faster */
	(void)waitid(P_PIDFD, (id_t)o->pidfd, &info, WEXITED | WNOHANG);
}

/* After its end: is the last snapshot written? */
static int look_at_kept(const struct owner *o)
{
	int kept = atomic_load(&o->board->kept);

	if (!o->has_snapshot || kept > 0)
		return 0;
	return kept < 0 ? kept : -EIO;
}

int owner_end(struct reeve_manager *m)
{
	struct owner *o = m->owner;
	int r;

	if (!o)
		return 0;
	m->owner = NULL;
	end_keeper(o);
	r = look_at_kept(o);
	owner_free(o);
	return r;
}

void owner_forget(struct reeve_manager *m)
{
	struct owner *o = m->owner;

	m->owner = NULL;
	if (!o)
		return;
	/* Memory is not freed here: between fork(2) and its return nothing may
	 * allocate. The fds and the mapping go. */
	fd_close(o->pidfd);
	fd_close(o->bell_fd);
	(void)munmap(o->board, sizeof(*o->board));
}

int owner_look(const struct reeve_manager *m)
{
	const struct owner *o = m->owner;

	if (!o)
		return 0;
	if (atomic_load(&o->board->state) == KEEPER_FATAL || is_gone(o))
		return -ESHUTDOWN;
	return atomic_load(&o->board->pid);
}

/* ---- the calls --------------------------------------------------------------------- */

static int connect_own(const struct keeper_order *order, struct owner **owner,
		       struct reeve_manager **ret_manager)
{
	struct reeve_manager *m;
	int r = reeve_manager_connect(order->address, order->authkey,
				      order->authkey_size, START_WAIT_USEC, &m);

	if (r < 0)
		return r;
	m->owner = TAKE(*owner);
	m->is_starter = true;
	*ret_manager = m;
	return 0;
}

int reeve_manager_start(const struct reeve_manager_spec *spec,
			reeve_manager **ret_manager)
{
	static const struct reeve_manager_spec defaults;
	const struct reeve_manager_spec *s = spec ?: &defaults;
	_cleanup_(owner_freep) struct owner *o = calloc(1, sizeof(*o));
	_cleanup_(free_pointer) struct keeper_order *order =
		calloc(1, sizeof(*order));
	int listen_fd = -1, r;

	if (!ret_manager)
		return -EINVAL;
	if (!o || !order)
		return -ENOMEM;
	o->pidfd = o->bell_fd = -1;
	o->has_snapshot = s->snapshot != NULL;
	r = fill_order(s, order);
	if (r == 0)
		r = listen_somewhere(s->address, order, &listen_fd);
	if (r == 0)
		r = start_keeper(o, s->program, order, listen_fd);
	if (r == 0)
		r = await_server(o);
	if (r == 0)
		r = connect_own(order, &o, ret_manager);
	if (o && o->pidfd >= 0)
		end_keeper(o);
	explicit_bzero(order, sizeof(*order));
	return r;
}

int reeve_manager_shutdown(reeve_manager *m)
{
	int r = client_enter(m);

	if (r < 0)
		return r;
	r = m->is_starter ? 0 : -EPERM;
	if (m->owner) {
		r = owner_end(m);
		(void)client_lose(m, -ESHUTDOWN);
		m->is_over = true;
	}
	client_leave(m);
	return r;
}

uint64_t reeve_manager_restarts(reeve_manager *m)
{
	uint64_t n;

	if (client_enter(m) < 0)
		return 0;
	n = m->owner ? atomic_load(&m->owner->board->restarts) : m->generation;
	client_leave(m);
	return n;
}

pid_t reeve_manager_pid(reeve_manager *m)
{
	int pid;

	if (client_enter(m) < 0)
		return 0;
	pid = m->owner ? owner_look(m) : client_peer(m);
	client_leave(m);
	return pid < 0 ? 0 : pid;
}
