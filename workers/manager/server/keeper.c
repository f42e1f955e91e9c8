/* See keeper.h. One poll(2), four things to look at, and a deadline.
 */
#include "workers/manager/server/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workers/base/pure/failures.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/parse.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"
#include "workers/base/sys/spawn.h"
#include "workers/manager/auth.h"
#include "workers/manager/protocol.h"
#include "workers/manager/server/notify.h"
#include "workers/manager/server/server.h"

#define LOCK_TRIES 200
#define LOOK_MSEC  10 /* between two of them */
#define REFUSALS   64 /* between two looks at who tells us to end */

enum {
	LOOK_SIGNAL,
	LOOK_OWNER,
	LOOK_SERVER,
	LOOK_REPORT,
	LOOK_COUNT,
};

struct keeper {
	const struct keeper_settings *settings;
	struct keeper_board *board;
	struct failures failures;
	int signal_fd, owner_pidfd, lock_fd;
	char lock_path[PATH_MAX];
	pid_t pid; /* of the server, from its start until it is reaped; or 0 */
	int pidfd, report_fd;
	uint64_t generation; /* of the next server */
	struct server_report report;
	bool has_report;
	bool has_served; /* somebody may be a client */
	bool is_stopping;
	uint64_t kill_usec; /* is_stopping: when patience ends */
	uint64_t start_usec;
	int code; /* with which to end */
};

/* ---- the board ---------------------------------------------------------------------- */

static void ring(const struct keeper *k)
{
	const uint64_t one = 1;

	if (k->settings->bell_fd >= 0)
		(void)!write(k->settings->bell_fd, &one, sizeof(one));
}

static void give_up(struct keeper *k, int error, const char *reason)
{
	log_error("%s", reason);
	(void)snprintf(k->board->reason, sizeof(k->board->reason), "%s",
		       reason);
	atomic_store(&k->board->error, error);
	atomic_store(&k->board->state, KEEPER_FATAL);
	ring(k);
	k->code = KEEPER_EXIT_FAILED;
}

/* ---- the snapshot's lock ------------------------------------------------------------- */

/* Is the file that we have locked still the one of that name? Who ends removes
 * it. */
static bool is_current(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int try_lock(const char *path)
{
	_cleanup_(fd_closep) int fd =
		open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		     S_IRUSR | S_IWUSR);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return is_current(fd, path) ? TAKE_FD(fd) : -EAGAIN;
}

/* One that was killed just now may still have it. */
static int lock_snapshot(struct keeper *k)
{
	const char *snapshot = k->settings->order->snapshot;
	int fd;

	if (snapshot[0] == '\0')
		return 0;
	if ((size_t)snprintf(k->lock_path, sizeof(k->lock_path), "%s.lock",
			     snapshot) >= sizeof(k->lock_path))
		return -ENAMETOOLONG;
	for (int i = 0; (fd = try_lock(k->lock_path)) == -EAGAIN; i++) {
		if (i == LOCK_TRIES)
			return -EBUSY;
		(void)poll(NULL, 0, LOOK_MSEC);
	}
	k->lock_fd = fd;
	return fd < 0 ? fd : 0;
}

static void unlock_snapshot(struct keeper *k)
{
	if (k->lock_fd >= 0)
		(void)unlink(k->lock_path);
	k->lock_fd = fd_close(k->lock_fd);
}

/* ---- the server ---------------------------------------------------------------------- */

static _Noreturn void run_server(struct keeper *k, int report_fd, pid_t parent)
{
	const struct keeper_order *order = k->settings->order;
	const struct server_config config = {
		.listen_fd = k->settings->listen_fd,
		.authkey = order->authkey,
		.authkey_size = order->authkey_size,
		.snapshot = order->snapshot[0] ? order->snapshot : NULL,
		.snapshot_interval_usec = order->snapshot_interval_usec,
		.max_clients = order->max_clients,
		.max_objects = order->max_objects,
		.max_bytes = order->max_bytes,
		.max_output_bytes = order->max_output_bytes,
		.generation = k->generation,
		.report_fd = report_fd,
		.lock_fd = k->lock_fd,
	};

	/* the keeper may have died before that was armed */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ||
	    getppid() != parent)
		_exit(KEEPER_EXIT_FAILED);
	(void)prctl(PR_SET_NAME, "reeve-server", 0, 0, 0);
	fd_close(k->signal_fd);
	fd_close(k->owner_pidfd);
	fd_close(k->settings->bell_fd);
	_exit(server_run(&config));
}

static int start(struct keeper *k)
{
	_cleanup_(fd_closep) int read_fd = -1, write_fd = -1;
	pid_t parent = getpid();
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	read_fd = fds[0];
	write_fd = fds[1];
	k->pid = fork();
	if (k->pid == 0)
		run_server(k, write_fd, parent);
	if (k->pid < 0) {
		k->pid = 0;
		return -errno;
	}
	/* it is not reaped by anybody else: this is the one */
	k->pidfd = (int)syscall(SYS_pidfd_open, k->pid, 0);
	if (k->pidfd < 0) {
		int r = -errno;

		(void)kill(k->pid, SIGKILL);
		(void)waitid(P_PID, (id_t)k->pid, &(siginfo_t){ 0 }, WEXITED);
		k->pid = 0;
		return r;
	}
	k->has_report = false;
	k->report_fd = TAKE_FD(read_fd);
	k->generation++;
	return 0;
}

static void try_start(struct keeper *k)
{
	uint64_t now = clock_monotonic_usec();
	int r = start(k);

	k->start_usec = USEC_INFINITY;
	if (r == 0) {
		failures_pass(&k->failures);
		return;
	}
	/* what the system refuses it may give later */
	log_warning("cannot start the server: %s; trying again", strerror(-r));
	failures_delay(&k->failures, now);
	k->start_usec = k->failures.not_before_usec;
}

static void on_ready(struct keeper *k)
{
	char text[NOTIFY_TEXT_MAX];

	if (k->generation > 1)
		atomic_store(&k->board->restarts, k->generation - 1);
	atomic_store(&k->board->pid, k->pid);
	if (atomic_load(&k->board->state) == KEEPER_STARTING) {
		log_info("listening on %s", k->settings->order->address);
		(void)snprintf(text, sizeof(text), "READY=1\nSTATUS=%s",
			       k->settings->order->address);
		notify_send(text);
	}
	atomic_store(&k->board->state, KEEPER_RUNNING);
	k->has_served = true;
	ring(k);
}

/* It has said how its start went, or ended before. */
static void on_report(struct keeper *k)
{
	ssize_t n;

	do
		n = read(k->report_fd, &k->report, sizeof(k->report));
	while (n < 0 && errno == EINTR);
	k->report_fd = fd_close(k->report_fd);
	k->has_report = n == sizeof(k->report);
	if (k->has_report && k->report.error == 0 && !k->is_stopping)
		on_ready(k);
}

static const char *how_it_ended(int code, char *text, size_t size)
{
	char name[SIGNAL_NAME_MAX];

	if (code < 0)
		(void)snprintf(text, size, "was killed by %s",
			       signal_name(-code, name));
	else
		(void)snprintf(text, size, "ended with exit code %d", code);
	return text;
}

/* Another one, or none. */
static void on_death(struct keeper *k, int code)
{
	uint64_t now = clock_monotonic_usec();
	char text[64], reason[KEEPER_REASON_MAX];
	bool has_failed = k->has_report && k->report.error < 0;

	if (has_failed && k->report.is_final) {
		give_up(k, k->report.error, k->report.reason);
		return;
	}
	(void)how_it_ended(code, text, sizeof(text));
	if (failures_add(&k->failures, now, 0)) {
		(void)snprintf(reason, sizeof(reason),
			       "the server %s: too often; %.120s", text,
			       has_failed ? k->report.reason : "giving up");
		give_up(k, has_failed ? k->report.error : -ESHUTDOWN, reason);
		return;
	}
	log_warning("the server pid=%d %s; starting another", (int)k->pid,
		    text);
	k->start_usec = k->failures.not_before_usec;
}

/* As it was told, or instead of it. */
static void on_last_end(struct keeper *k, int code)
{
	int kept = -EIO;

	if (code == KEEPER_EXIT_OK)
		kept = 1;
	else if (code > KEEPER_EXIT_UNSAVED)
		kept = KEEPER_EXIT_UNSAVED - code;
	else if (k->kill_usec == USEC_INFINITY)
		kept = -ETIMEDOUT;
	atomic_store(&k->board->kept, kept);
	k->code = kept > 0 ? KEEPER_EXIT_OK : KEEPER_EXIT_FAILED;
}

static void on_server_end(struct keeper *k)
{
	int code = 0;
	bool has_core;

	if (spawn_wait(k->pidfd, false, &code, &has_core, NULL) == 0)
		return;
	if (k->report_fd >= 0)
		on_report(k);
	k->pidfd = fd_close(k->pidfd);
	atomic_store(&k->board->pid, 0);
	ring(k);
	if (k->is_stopping)
		on_last_end(k, code);
	else
		on_death(k, code);
	k->pid = 0;
}

/* ---- the end --------------------------------------------------------------------------- */

static void stop(struct keeper *k)
{
	if (!k->is_stopping) {
		k->is_stopping = true;
		k->kill_usec =
			usec_add(clock_monotonic_usec(), KEEPER_STOP_USEC);
		notify_send("STOPPING=1");
		k->code = k->pid ? -1 : KEEPER_EXIT_OK;
		if (k->pid)
			(void)spawn_signal(k->pidfd, SIGTERM);
		return;
	}
	if (k->pid)
		(void)spawn_signal(k->pidfd, SIGKILL);
}

static void on_signal(struct keeper *k)
{
	struct signalfd_siginfo info;

	if (read(k->signal_fd, &info, sizeof(info)) == sizeof(info))
		stop(k);
}

static void on_owner_gone(struct keeper *k)
{
	k->owner_pidfd = fd_close(k->owner_pidfd);
	if (!k->is_stopping)
		stop(k);
}

/* ---- the loop ---------------------------------------------------------------------------- */

static int timeout_msec(const struct keeper *k)
{
	uint64_t next = k->is_stopping ? k->kill_usec : USEC_INFINITY;
	uint64_t now = clock_monotonic_usec();

	if (!k->pid && !k->is_stopping)
		next = MIN(next, k->start_usec);
	if (next == USEC_INFINITY)
		return -1;
	return (int)((usec_sub(next, now) + USEC_PER_MSEC - 1) / USEC_PER_MSEC);
}

static void on_time(struct keeper *k)
{
	uint64_t now = clock_monotonic_usec();

	if (k->is_stopping && now >= k->kill_usec && k->pid) {
		log_error("the server did not end in time: killed");
		(void)spawn_signal(k->pidfd, SIGKILL);
		k->kill_usec = USEC_INFINITY;
	}
	if (!k->pid && k->code < 0 && now >= k->start_usec)
		try_start(k);
}

static void look(struct keeper *k)
{
	struct pollfd fds[LOOK_COUNT] = {
		[LOOK_SIGNAL] = { .fd = k->signal_fd, .events = POLLIN },
		[LOOK_OWNER] = { .fd = k->owner_pidfd, .events = POLLIN },
		[LOOK_SERVER] = { .fd = k->pidfd, .events = POLLIN },
		[LOOK_REPORT] = { .fd = k->report_fd, .events = POLLIN },
	};

	if (poll(fds, LOOK_COUNT, timeout_msec(k)) < 0)
		return;
	if (fds[LOOK_REPORT].revents)
		on_report(k);
	if (fds[LOOK_SERVER].revents)
		on_server_end(k);
	if (fds[LOOK_SIGNAL].revents)
		on_signal(k);
	if (fds[LOOK_OWNER].revents)
		on_owner_gone(k);
}

static int setup(struct keeper *k)
{
	struct sigaction by_default = { .sa_handler = SIG_DFL };
	sigset_t all, ours;

	(void)sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		return -errno;
	for (int signo = 1; signo <= SIGRTMAX; signo++)
		(void)sigaction(signo, &by_default, NULL);
	(void)sigemptyset(&ours);
	(void)sigaddset(&ours, SIGTERM);
	(void)sigaddset(&ours, SIGINT);
	k->signal_fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
	if (k->signal_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return -errno;
	return lock_snapshot(k);
}

static void say_no_setup(struct keeper *k, int r)
{
	char reason[KEEPER_REASON_MAX];

	if (r == -EBUSY)
		(void)snprintf(reason, sizeof(reason),
			       "snapshot %.160s belongs to another "
			       "reeve-manager that runs",
			       k->settings->order->snapshot);
	else
		(void)snprintf(reason, sizeof(reason),
			       "cannot begin%s%.160s: %s",
			       k->lock_path[0] ? ": " : "", k->lock_path,
			       strerror(-r));
	give_up(k, r, reason);
}

/* ---- given up ---------------------------------------------------------------------------- */

/* Who has waited for a server, or comes now, is told that there will be none. */
static void refuse(const struct keeper *k, const struct buf *no)
{
	for (int i = 0; i < REFUSALS; i++) {
		int fd = accept4(k->settings->listen_fd, NULL, NULL,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && errno != EAGAIN)
			(void)poll(NULL, 0, LOOK_MSEC);
		if (fd < 0)
			return;
		(void)send(fd, no->data, no->len, MSG_NOSIGNAL | MSG_DONTWAIT);
		fd_close(fd);
	}
}

/* Clients look for another server with their next call, whenever that is: so it is
 * said until our owner ends us, or itself. Without one the next to start may be a
 * better one. */
static void refuse_all(const struct keeper *k)
{
	struct buf no = BUF_INIT(AUTH_FRAME_MAX + FRAME_HEAD);
	struct pollfd fds[] = {
		{ .fd = k->signal_fd, .events = POLLIN },
		{ .fd = k->owner_pidfd, .events = POLLIN },
		{ .fd = k->settings->listen_fd, .events = POLLIN },
	};

	if (auth_refuse(-ESHUTDOWN, &no) == 0)
		refuse(k, &no);
	while (k->owner_pidfd >= 0 && no.len > 0 &&
	       poll(fds, ARRAY_SIZE(fds), -1) > 0 && !fds[0].revents &&
	       !fds[1].revents)
		refuse(k, &no);
	buf_done(&no);
}

/* ---- all of it --------------------------------------------------------------------------- */

int keeper_run(const struct keeper_settings *settings)
{
	const struct keeper_order *order = settings->order;
	struct keeper k = {
		.settings = settings,
		.board = settings->board,
		.failures = { .limit = order->restart_limit,
			      .interval_usec = order->restart_interval_usec },
		.signal_fd = -1,
		.owner_pidfd = settings->owner_pidfd,
		.lock_fd = -1,
		.pidfd = -1,
		.report_fd = -1,
		.code = -1,
	};
	int r = setup(&k);

	if (r < 0)
		say_no_setup(&k, r);
	while (k.code < 0 || k.pid) {
		on_time(&k);
		look(&k);
	}
	unlock_snapshot(&k);
	if (atomic_load(&k.board->state) == KEEPER_FATAL && k.has_served)
		refuse_all(&k);
	address_unlink(order->address, settings->listen_fd);
	fd_close(k.signal_fd);
	fd_close(k.owner_pidfd);
	fd_close(settings->listen_fd);
	return k.code;
}
