/* Becoming the keeper.
 *
 * The process was forked from a program of which nothing is known: its signals
 * may be ignored or handled, its descriptors are many. Three things are put
 * right once, so that a start has nothing to do for them:
 *   - dispositions are the default and everything is blocked; a worker only
 *     unblocks. SIGCHLD is read from a signalfd;
 *   - stdin is /dev/null;
 *   - our own descriptors lie above all that the program has, so that a worker
 *     closes them by range; the bells come first, one for each seat.
 */
#include "workers/pool/keeper_room.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/pool/keeper_event.h"
#include "workers/pool/shares.h"

#define FDS_OWN		  16	/* beside those for each seat: */
#define FDS_OF_SEAT	  3	/* a bell, both ends of a lifeline */
#define FDS_OF_SEAT_MIN	  2	/* the worker's end is not kept */
#define CHILDREN_TEXT_MIN 65536 /* thousands of orphans in one look */
#define CHILD_TEXT_MAX	  8	/* "4194304 " */

static void take_name(const char *name)
{
	char comm[KEEPER_COMM_SIZE];

	(void)snprintf(comm, sizeof(comm), "%.8s keeper", name);
	(void)prctl(PR_SET_NAME, comm, 0, 0, 0);
}

static int quiet_signals(void)
{
	struct sigaction by_default = { .sa_handler = SIG_DFL };
	sigset_t all;

	(void)sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		return -errno;
	for (int signo = 1; signo <= SIGRTMAX; signo++)
		(void)sigaction(signo, &by_default, NULL);
	return 0;
}

static int leave_stdin(void)
{
	_cleanup_(fd_closep) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fd == STDIN_FILENO) /* it was closed */
		return fd_set_cloexec(TAKE_FD(fd), false);
	return dup2(fd, STDIN_FILENO) < 0 ? -errno : 0;
}

/* --- descriptors ----------------------------------------------------------- */

static void close_dir(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

/* The highest fd that is open, the one for looking aside. Those from the hard
 * limit on are not the program's, but valgrind's. */
static int find_highest_fd(void)
{
	_cleanup_(close_dir) DIR *dir = opendir("/proc/self/fd");
	long highest = STDERR_FILENO;
	struct rlimit limit;

	if (!dir || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	for (const struct dirent *d; (d = readdir(dir));) {
		long fd = strtol(d->d_name, NULL, 10);

		if (fd != dirfd(dir) && (rlim_t)fd < limit.rlim_max)
			highest = MAX(highest, fd);
	}
	return (int)highest;
}

static int raise_fds_limit(struct keeper *k, rlim_t wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	if (!k->is_fds_limit_raised)
		k->fds_limit = limit;
	if (limit.rlim_cur >= wanted)
		return 0;
	limit.rlim_cur = MIN(wanted, limit.rlim_max);
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	k->is_fds_limit_raised = true;
	return limit.rlim_cur < wanted ? -EMFILE : 0;
}

/* Of ours above those of the program. */
static rlim_t count_own_fds(const struct keeper *k, unsigned of_seat)
{
	return of_seat * k->n_seats + FDS_OWN;
}

/* The program may have all that it is allowed: before the first one that we
 * open. Whether it is enough is seen when its highest is known. */
static int make_room_for_fds(struct keeper *k)
{
	struct rlimit limit;
	int r;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	if (limit.rlim_max - limit.rlim_cur < count_own_fds(k, FDS_OF_SEAT))
		limit.rlim_cur = limit.rlim_max;
	else
		limit.rlim_cur += count_own_fds(k, FDS_OF_SEAT);
	r = raise_fds_limit(k, limit.rlim_cur);
	return r == -EMFILE ? 0 : r;
}

int keeper_hide_fd(const struct keeper *k, int fd)
{
	int hidden = fcntl(fd, F_DUPFD_CLOEXEC, k->first_fd);
	int r = hidden < 0 ? -errno : hidden;

	fd_close(fd);
	return r;
}

/* Two seats may share a bell: all are hidden before any is closed. */
static int hide_bells(struct keeper *k)
{
	int *fds = calloc(k->n_seats, sizeof(*fds));
	int r = fds ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < k->n_seats; i++) {
		fds[i] = k->seats[i].bell_fd;
		k->seats[i].bell_fd =
			fcntl(fds[i], F_DUPFD_CLOEXEC, k->first_fd);
		if (k->seats[i].bell_fd < 0)
			r = -errno;
		else
			reeve_assert(k->seats[i].bell_fd ==
				     k->first_fd + (int)i);
	}
	for (size_t i = 0; r == 0 && i < k->n_seats; i++)
		fd_close(fds[i]);
	free(fds);
	return r;
}

static int hide_fds(struct keeper *k)
{
	int *const own[] = { &k->owner_pidfd, &k->keeper_fd, &k->owner_fd };
	int r = find_highest_fd();

	if (r < 0)
		return r;
	k->first_fd = r + 1;
	r = raise_fds_limit(k, (rlim_t)k->first_fd +
				       count_own_fds(k, FDS_OF_SEAT));
	k->keeps_lifelines = r == 0;
	if (r == -EMFILE)
		r = raise_fds_limit(k,
				    (rlim_t)k->first_fd +
					    count_own_fds(k, FDS_OF_SEAT_MIN));
	if (r == 0)
		r = hide_bells(k);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(own); i++) {
		*own[i] = keeper_hide_fd(k, *own[i]);
		r = MIN(*own[i], 0);
	}
	return r;
}

/* --- memory ----------------------------------------------------------------- */

static int map_channels(struct keeper *k)
{
	size_t board_size =
		sizeof(*k->board) + k->n_seats * sizeof(*k->board->seats);
	int r = 0;

	if (madvise(k->board, board_size, MADV_DONTFORK) < 0)
		return -errno;
	for (size_t i = 0; r == 0 && i < k->n_seats; i++) {
		struct keeper_seat *seat = &k->seats[i];

		/* A copy of the owner has not inherited the owner's mapping:
		 * but valgrind believes so. */
		channel_unmap(&seat->channel);
		r = channel_map(&seat->channel, seat->channel_fd);
		seat->channel_fd = fd_close(seat->channel_fd);
	}
	return r;
}

/* What only the keeper writes is not inherited: a page that a fork shares costs
 * a copy at the next write. What its children read, their names, is written
 * once. */
static int allocate(struct keeper *k)
{
	size_t size = k->n_seats * sizeof(*k->workers);
	char *p;

	k->children_size = CHILDREN_TEXT_MIN + k->n_seats * CHILD_TEXT_MAX;
	p = mmap(NULL, size + k->children_size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED ||
	    madvise(p, size + k->children_size, MADV_DONTFORK) < 0)
		return -errno;
	k->workers = (struct worker *)(void *)p;
	k->children = p + size;
	k->names = calloc(k->n_seats, sizeof(*k->names));
	if (!k->names)
		return -ENOMEM;
	for (size_t i = 0; i < k->n_seats; i++) {
		k->workers[i].lifeline = LIFELINE_NONE;
		(void)snprintf(k->names[i], sizeof(k->names[i]), "%.9s:%hu",
			       k->config->name, (unsigned short)i);
	}
	return 0;
}

/* --- what we wait for -------------------------------------------------------- */

static int watch_fd(const struct keeper *k, int fd, enum keeper_event event)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = event };

	return epoll_ctl(k->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

static int open_own(int *ret_fd, const struct keeper *k, int fd)
{
	if (fd < 0)
		return -errno;
	fd = keeper_hide_fd(k, fd);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

static int open_events(struct keeper *k)
{
	sigset_t death;
	int r;

	(void)sigemptyset(&death);
	(void)sigaddset(&death, SIGCHLD);
	r = open_own(&k->epoll_fd, k, epoll_create1(EPOLL_CLOEXEC));
	if (r == 0)
		r = open_own(&k->death_fd, k,
			     signalfd(-1, &death, SFD_CLOEXEC | SFD_NONBLOCK));
	if (r == 0)
		r = open_own(&k->children_fd, k,
			     open("/proc/thread-self/children",
				  O_RDONLY | O_CLOEXEC));
	if (r == 0)
		r = fd_set_nonblocking(k->keeper_fd, true);
	if (r == 0)
		r = watch_fd(k, k->owner_pidfd, EVENT_OWNER_GONE);
	if (r == 0)
		r = watch_fd(k, k->keeper_fd, EVENT_RUNG);
	if (r == 0)
		r = watch_fd(k, k->death_fd, EVENT_DEATH);
	return r;
}

/* It puts itself there. */
static bool is_in_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "/vgpreload_");
}

int keeper_setup(struct keeper *k, const struct keeper_config *config)
{
	int r;

	*k = (struct keeper){
		.config = config,
		.board = config->board,
		.seats = config->seats,
		.n_seats = config->board->n_seats,
		.pid = getpid(),
		.owner_pidfd = config->owner_pidfd,
		.keeper_fd = config->keeper_fd,
		.owner_fd = config->owner_fd,
		.oom.fd = -1,
		.failures = { .limit = config->restart_limit,
			      .interval_usec = config->restart_interval_usec },
	};
	k->is_in_valgrind = is_in_valgrind();
	k->now_usec = clock_monotonic_usec();
	k->rng.state = k->now_usec ^ (uint64_t)k->pid << 32;
	shares_publish(config->shares); /* for all workers */
	take_name(config->name);
	(void)setpgid(0, 0); /* not a session: see keeper_start.c */
	r = quiet_signals();
	if (r == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		r = -errno;
	if (r == 0)
		r = make_room_for_fds(k);
	if (r == 0)
		r = leave_stdin();
	if (r == 0)
		r = map_channels(k);
	if (r == 0)
		r = allocate(k);
	if (r == 0)
		r = hide_fds(k);
	if (r == 0)
		r = open_events(k);
	return r == 0 ? keeper_attend(k) : r;
}
