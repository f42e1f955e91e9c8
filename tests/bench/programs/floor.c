/* floor: the least that can supervise. It is what reeved is measured against.
 *
 *   floor [-c NAME | -v] N PROGRAM FIFO SOCKET   supervise
 *   floor status SOCKET                          ask it
 *
 * It starts N processes "PROGRAM FIFO ID", starts each anew at once when it
 * dies, answers whoever connects to SOCKET with one line per process, and on
 * SIGTERM ends them all and itself. No features, no configuration, no log.
 *
 * There are two of it:
 *   safe   starts processes as safely as reeved does, with the same function:
 *          no shared address space, {stage, errno} over a report pipe that is
 *          read, own session, parent-death signal, mark, only the fds that it
 *          shall have, and with -c NAME a cgroup leaf for each, which must be
 *          empty before it is used again.
 *   vfork  (-v) as fast as Linux allows: it shares memory and fd table with
 *          the child until exec. For the distance between the two.
 *
 * Deaths come by pidfd and epoll in both, and cost the same at any N. All
 * watches are EPOLLONESHOT: a child that is between fork and exec holds copies
 * of our fds, so that closing one does not yet remove it from the epoll.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/close_range.h>

#include "workers/base/pure/buf.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/parse.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/cgroup.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/spawn.h"
#include "workers/base/sys/tree.h"

#define SLOTS_MAX   20000
#define BATCH	    64
#define STACK_BYTES 16384

/* What became ready: the low 32 bits are the slot. */
enum kind { KIND_DEATH, KIND_REPORT, KIND_SIGNAL, KIND_CLIENT };

struct slot {
	pid_t pid;
	int pidfd, report_fd; /* -1: none */
	uint64_t leaf_number; /* 0: none yet */
	uint64_t starts, since_usec;
};

struct floor {
	struct slot *slots;
	size_t n_slots, n_live;
	int epoll_fd, signal_fd, listen_fd;
	int (*start)(struct floor *f, struct slot *s, char *const *argv);
	struct cgroup_base cgroup; /* .fd -1: without */
	uint64_t n_leaves;	   /* ever made: they are used once */
	struct rlimit nofile;	   /* as found, for the processes */
	sigset_t ignored;	   /* by us, so to be reset in them */
	char *program, *fifo;
	bool is_stopping;
};

static int watch(struct floor *f, int fd, enum kind kind, size_t slot)
{
	struct epoll_event e = {
		.events = EPOLLIN,
		.data.u64 = (uint64_t)kind << 32 | slot,
	};

	if (kind == KIND_DEATH || kind == KIND_REPORT)
		e.events |= EPOLLONESHOT;
	return epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

/* ---- the safe way ------------------------------------------------------ */

static int make_mark(char *text, size_t size)
{
	uint64_t mark[2];

	if (getrandom(mark, sizeof(mark), 0) != (ssize_t)sizeof(mark))
		return -EIO;
	snprintf(text, size, TREE_MARK_NAME "=%016" PRIx64 "%016" PRIx64,
		 mark[0], mark[1]);
	return 0;
}

static void leaf_name(const struct slot *s, char *name, size_t size)
{
	snprintf(name, size, "leaf.%" PRIu64, s->leaf_number);
}

/* The leaf of the last time, if all that was in it is gone; otherwise what is
 * left gets killed, and the leaf is not used again: see cgroup.h. */
static int open_leaf(struct floor *f, struct slot *s)
{
	char name[CGROUP_NAME_MAX];
	int fd = -1;

	if (s->leaf_number > 0) {
		leaf_name(s, name, sizeof(name));
		fd = openat(f->cgroup.fd, name,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd >= 0 && cgroup_leaf_is_populated(fd) != 0) {
		(void)cgroup_leaf_kill(fd);
		fd = fd_close(fd);
		(void)cgroup_leaf_remove(&f->cgroup, name); /* or at the end */
	}
	if (fd < 0) {
		s->leaf_number = ++f->n_leaves;
		leaf_name(s, name, sizeof(name));
		fd = cgroup_leaf_new(&f->cgroup, name);
	}
	return fd;
}

static int start_safe(struct floor *f, struct slot *s, char *const *argv)
{
	struct spawn_limit limit = { RLIMIT_NOFILE, f->nofile };
	char mark[sizeof(TREE_MARK_NAME) + TREE_MARK_LEN + 1];
	char *envp[] = { mark, NULL };
	struct spawn_spec spec = {
		SPAWN_SPEC,
		.argv = argv,
		.envp = envp,
		.limits = &limit,
		.n_limits = 1,
		.new_session = true,
		.parent_death_signal = SIGKILL,
		.enter_late = f->cgroup.enter_late,
		.ignored = &f->ignored,
	};
	struct spawn_child child;
	int r;

	r = make_mark(mark, sizeof(mark));
	if (r == 0 && f->cgroup.fd >= 0)
		r = spec.cgroup_fd = open_leaf(f, s);
	if (r >= 0)
		r = spawn_start(&spec, &child);
	fd_close(spec.cgroup_fd);
	if (r < 0)
		return r;
	s->pid = child.pid;
	s->pidfd = child.pidfd;
	s->report_fd = child.report_fd;
	return watch(f, s->report_fd, KIND_REPORT, (size_t)(s - f->slots));
}

static void read_report(struct slot *s)
{
	struct spawn_failure failure;
	char text[256];

	if (s->report_fd < 0)
		return;
	if (spawn_read_report(s->report_fd, &failure) > 0)
		fprintf(stderr, "floor: pid %d: %s\n", (int)s->pid,
			spawn_failure_text(&failure, NULL, text, sizeof(text)));
	s->report_fd = fd_close(s->report_fd);
}

/* ---- the fast way ------------------------------------------------------ */

static int exec_shared(void *arg)
{
	char *const *argv = arg;
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_UNSHARE);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(argv[0], argv, environ);
	return SPAWN_EXIT_CODE;
}

static int start_vfork(struct floor *f _unused_, struct slot *s,
		       char *const *argv)
{
	static _Alignas(64) char stack[STACK_BYTES];
	int pidfd, pid;

	pid = clone(exec_shared, stack + sizeof(stack),
		    CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_PIDFD |
			    SIGCHLD,
		    (void *)(uintptr_t)argv, &pidfd);
	if (pid < 0)
		return -errno;
	s->pid = pid;
	s->pidfd = pidfd;
	return 0;
}

/* ---- both -------------------------------------------------------------- */

static int slot_start(struct floor *f, struct slot *s)
{
	size_t index = (size_t)(s - f->slots);
	char id[24];
	char *argv[] = { f->program, f->fifo, id, NULL };
	int r;

	snprintf(id, sizeof(id), "%zu", index);
	s->starts++;
	s->since_usec = clock_monotonic_usec();
	r = f->start(f, s, argv);
	if (r < 0)
		return r;
	f->n_live++;
	return watch(f, s->pidfd, KIND_DEATH, index);
}

static int on_death(struct floor *f, struct slot *s)
{
	bool core;
	int code;

	if (spawn_wait(s->pidfd, false, &code, &core, NULL) == 0)
		return 0;
	s->pidfd = fd_close(s->pidfd);
	f->n_live--;
	read_report(s);
	return f->is_stopping ? 0 : slot_start(f, s);
}

static void on_signal(struct floor *f)
{
	struct signalfd_siginfo si;

	if (read(f->signal_fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	f->is_stopping = true;
	for (size_t i = 0; i < f->n_slots; i++)
		if (f->slots[i].pidfd >= 0)
			(void)spawn_signal(f->slots[i].pidfd, SIGTERM);
}

static void on_client(struct floor *f)
{
	int fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	uint64_t now = clock_monotonic_usec();
	struct buf out = BUF_INIT(0);

	for (size_t i = 0; i < f->n_slots && fd >= 0; i++) {
		const struct slot *s = &f->slots[i];

		(void)buf_printf(&out,
				 "%zu %s pid %d uptime %" PRIu64
				 " restarts %" PRIu64 "\n",
				 i, s->pidfd >= 0 ? "RUNNING" : "STOPPED",
				 (int)s->pid,
				 (now - s->since_usec) / USEC_PER_SEC,
				 s->starts - 1);
	}
	if (out.len > 0)
		(void)fd_write_all(fd, out.data, out.len);
	buf_done(&out);
	fd_close(fd);
}

static int dispatch(struct floor *f, uint64_t what)
{
	struct slot *s = &f->slots[(uint32_t)what];

	switch ((enum kind)(what >> 32)) {
	case KIND_DEATH:
		return on_death(f, s);
	case KIND_REPORT:
		read_report(s);
		break;
	case KIND_SIGNAL:
		on_signal(f);
		break;
	case KIND_CLIENT:
		on_client(f);
		break;
	}
	return 0;
}

/* One look at what is ready; waits for it when told to. */
static int turn(struct floor *f, bool waiting)
{
	struct epoll_event batch[BATCH];
	int n, r = 0;

	n = epoll_wait(f->epoll_fd, batch, BATCH, waiting ? -1 : 0);
	if (n < 0 && errno != EINTR)
		return -errno;
	for (int i = 0; i < n && r == 0; i++)
		r = dispatch(f, batch[i].data.u64);
	return r;
}

/* Reports are read while others are still being started: each is an fd. */
static int supervise(struct floor *f)
{
	int r = 0;

	for (size_t i = 0; i < f->n_slots && r == 0; i++) {
		r = slot_start(f, &f->slots[i]);
		if (r == 0 && i % BATCH == BATCH - 1)
			r = turn(f, false);
	}
	while (r == 0 && !(f->is_stopping && f->n_live == 0))
		r = turn(f, true);
	return r;
}

static int open_socket(const char *path, bool listening)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (listening
		    ? bind(fd, (void *)&a, sizeof(a)) == 0 && listen(fd, 8) == 0
		    : connect(fd, (void *)&a, sizeof(a)) == 0)
		return fd;
	fd_close(fd);
	return -errno;
}

static int init(struct floor *f, const char *socket_path)
{
	struct rlimit nofile;
	sigset_t term;

	f->slots = calloc(f->n_slots, sizeof(*f->slots));
	if (!f->slots || getrlimit(RLIMIT_NOFILE, &f->nofile) < 0)
		return -errno;
	for (size_t i = 0; i < f->n_slots; i++) {
		struct slot *s = &f->slots[i];

		s->pidfd = s->report_fd = -1;
	}
	nofile = (struct rlimit){ f->nofile.rlim_max, f->nofile.rlim_max };
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	if (setrlimit(RLIMIT_NOFILE, &nofile) < 0 ||
	    sigprocmask(SIG_BLOCK, &term, NULL) < 0)
		return -errno;
	spawn_ignored_signals(&f->ignored);
	f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	f->signal_fd = signalfd(-1, &term, SFD_CLOEXEC);
	f->listen_fd = open_socket(socket_path, true);
	if (f->listen_fd < 0)
		return f->listen_fd;
	if (watch(f, f->signal_fd, KIND_SIGNAL, 0) < 0)
		return -errno;
	return watch(f, f->listen_fd, KIND_CLIENT, 0);
}

static void remove_leaf(void *userdata, const char *name)
{
	(void)cgroup_leaf_remove(userdata, name);
}

static void done(struct floor *f)
{
	if (f->cgroup.fd >= 0)
		(void)cgroup_each_leaf(&f->cgroup, remove_leaf, &f->cgroup);
	cgroup_base_done(&f->cgroup);
	free(f->slots);
}

/* floor status SOCKET */
static int show_status(const char *socket_path)
{
	static char block[1 << 16];
	int fd = open_socket(socket_path, false);
	ssize_t n;

	if (fd < 0)
		return fd;
	while ((n = read(fd, block, sizeof(block))) > 0)
		if (fd_write_all(STDOUT_FILENO, block, (size_t)n) < 0)
			break;
	fd_close(fd);
	return n < 0 ? -errno : 0;
}

static int parse_arguments(struct floor *f, int argc, char **argv)
{
	uint64_t n;
	int opt;

	while ((opt = getopt(argc, argv, "c:v")) != -1) {
		if (opt == 'v')
			f->start = start_vfork;
		else if (opt != 'c' ||
			 cgroup_base_open(optarg, &f->cgroup, NULL) < 0)
			return -EINVAL;
	}
	if (argc - optind != 4 || parse_u64(argv[optind], 1, SLOTS_MAX, &n) < 0)
		return -EINVAL;
	f->n_slots = (size_t)n;
	f->program = argv[optind + 1];
	f->fifo = argv[optind + 2];
	return 0;
}

int main(int argc, char **argv)
{
	struct floor f = { .start = start_safe, .cgroup.fd = -1 };
	int r;

	if (argc == 3 && strcmp(argv[1], "status") == 0) {
		r = show_status(argv[2]);
	} else if (parse_arguments(&f, argc, argv) < 0) {
		fprintf(stderr, "floor [-c NAME | -v] N PROGRAM FIFO SOCKET\n"
				"floor status SOCKET\n");
		return 2;
	} else {
		r = init(&f, argv[argc - 1]);
		if (r == 0)
			r = supervise(&f);
		done(&f);
	}
	if (r < 0)
		fprintf(stderr, "floor: %s\n", strerror(-r));
	return r < 0 ? 1 : 0;
}
