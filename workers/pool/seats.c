/* The owner's side of the board: offers channels, notices which workers live
 * and which have ended, and brings a new keeper when the old one died.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/pidfd.h"
#include "workers/base/sys/procstat.h"
#include "workers/base/sys/tree.h"
#include "workers/pool/pool.h"
#include "workers/pool/setup.h"

/* Keepers that die without a task having been done since: then it is enough. */
#define KEEPERS_MAX 5

void seats_ring(const struct reeve_pool *pool)
{
	static const uint64_t one = 1;

	(void)!write(pool->keeper_fd, &one, sizeof(one));
}

void seats_wake_self(const struct reeve_pool *pool)
{
	static const uint64_t one = 1;

	(void)!write(pool->owner_fd, &one, sizeof(one));
}

/* ---- what the engine wants ------------------------------------------------------ */

static struct reeve_pool *pool_of(struct engine *e)
{
	return container_of(e, struct reeve_pool, engine);
}

static void wake_worker(struct engine *e, unsigned port)
{
	struct channel_signs *signs = &e->ports[port].channel.memory->signs;

	if (atomic_exchange(&signs->asleep, 0))
		(void)syscall(SYS_futex, &signs->asleep, FUTEX_WAKE, 1, NULL,
			      NULL, 0);
}

static void kill_worker(struct engine *e, unsigned port)
{
	struct reeve_pool *pool = pool_of(e);

	atomic_store(&pool->board->seats[port].kill, e->ports[port].generation);
	seats_ring(pool);
}

static void trim(struct port *port)
{
	if (!port_has_to_trim(port))
		return; /* it is in use again, and will come back */
	channel_trim(&port->channel, PORT_KEEP_SIZE);
	port_trimmed(port);
}

/* New pages for a large payload cost more than all its copies, so the memory of
 * the last one stays for the next: of one worker, for a while. */
static void keep_large(struct engine *e, unsigned i)
{
	struct reeve_pool *pool = pool_of(e);
	struct port *port = &e->ports[i], *last = pool->large;
	bool was_kept = pool->large_due_usec != REEVE_FOREVER;

	if (last && last != port)
		trim(last);
	pool->large = port;
	pool->large_due_usec = usec_add(clock_monotonic_usec(), POOL_KEEP_USEC);
	if (pool->is_threaded && !was_kept) /* it may sleep without a time */
		seats_wake_self(pool);
}

void seats_trim(struct reeve_pool *pool)
{
	if (pool->large_due_usec == REEVE_FOREVER ||
	    pool->large_due_usec > clock_monotonic_usec())
		return;
	pool->large_due_usec = REEVE_FOREVER;
	trim(pool->large);
	pool->large = NULL;
}

const struct engine_hooks seats_hooks = { wake_worker, kill_worker,
					  keep_large };

/* ---- what the keeper says -------------------------------------------------------- */

static void offer(struct reeve_pool *pool, unsigned i)
{
	atomic_store(&pool->board->seats[i].offered, ++pool->views[i].turn);
}

/* What ran when the pool was terminated, or given up, was not at fault. */
static void excuse(const struct reeve_pool *pool, struct reeve_outcome *o)
{
	if (!pool->is_terminated && !pool->is_broken)
		return;
	o->kind = REEVE_CANCELLED;
	o->error = pool->is_terminated ? -ECANCELED : pool->why.error;
	if (!pool->is_terminated)
		memcpy(o->message, pool->why.message, sizeof(o->message));
}

/* The worker on seat i has ended; is_death: and nobody had planned that. */
static void settle(struct reeve_pool *pool, unsigned i, struct engine_end *end,
		   bool is_death)
{
	excuse(pool, &end->outcome);
	engine_port_ended(&pool->engine, i, end);
	if (is_death)
		deaths_add(&pool->deaths, &end->death);
}

/* Who is killed with its pool has not died of anything. */
static bool is_planned(const struct reeve_pool *pool, const struct seat *seat)
{
	return seat->cause == CAUSE_KILLED &&
	       (pool->is_terminated || pool->is_broken);
}

static void settle_end(struct reeve_pool *pool, unsigned i)
{
	const struct seat *seat = &pool->board->seats[i];
	const struct channel_memory *m = pool->ports[i].channel.memory;
	bool was_leaving = pool->ports[i].was_leaving;
	struct engine_end end;
	bool is_death =
		deaths_describe(seat, i, atomic_load(&m->signs.phase), &end);

	pool->n_resized_away += was_leaving && !is_death;
	settle(pool, i, &end, is_death && !is_planned(pool, seat));
	offer(pool, i);
	seats_ring(pool);
}

static void look_at(struct reeve_pool *pool, unsigned i)
{
	struct seat *seat = &pool->board->seats[i];
	uint32_t generation;

	if (atomic_load(&seat->turn) != pool->views[i].turn)
		return;
	switch ((enum seat_state)atomic_load(&seat->state)) {
	case SEAT_EMPTY:
		break;
	case SEAT_LIVE:
		/* Written last, read first: the pid is this one's, or that of a
		 * later one, for whom we look again. */
		generation = atomic_load(&seat->generation);
		engine_port_live(&pool->engine, i, generation,
				 atomic_load(&seat->pid));
		break;
	case SEAT_ENDED:
		settle_end(pool, i);
		break;
	}
}

void seats_give_up(struct reeve_pool *pool, int error, const char *why)
{
	if (pool->is_broken)
		return;
	pool->is_broken = true;
	pool->why = (struct reeve_outcome){
		.kind = REEVE_CANCELLED,
		.error = error,
	};
	(void)snprintf(pool->why.message, sizeof(pool->why.message), "%s", why);
	/* Who lives is ended, and what it runs is told then. */
	atomic_store(&pool->board->order, ORDER_TERMINATE);
	seats_ring(pool);
	engine_refuse(&pool->engine, &pool->why);
}

void seats_look(struct reeve_pool *pool)
{
	struct board *b = pool->board;
	uint64_t changes = atomic_load(&b->n_changes);

	if (changes == pool->seen_changes)
		return;
	pool->seen_changes = changes;
	for (unsigned i = 0; i < pool->n_seats; i++)
		look_at(pool, i);
	/* If nothing has changed meanwhile, then a worker that is dead and its
	 * successor are not both among those that live. */
	if (atomic_load(&b->n_changes) == changes)
		engine_resize(&pool->engine, pool->n_processes);
	atomic_store(&b->progress, pool->engine.n_done);
	if (atomic_load(&b->state) == KEEPER_FATAL)
		seats_give_up(pool, -ESHUTDOWN, b->message);
}

/* A larger number is told when those that were to leave have been told to stay, or
 * the keeper would start others instead of them; a smaller one before that. */
void seats_resize(struct reeve_pool *pool, unsigned n_processes)
{
	struct board *b = pool->board;

	seats_look(pool);
	if (n_processes < pool->n_processes)
		atomic_store(&b->target, n_processes);
	pool->n_processes = n_processes;
	engine_resize(&pool->engine, n_processes);
	atomic_store(&b->target, n_processes);
	seats_ring(pool);
}

/* ---- the keeper's life ------------------------------------------------------------- */

static int watch(struct reeve_pool *pool, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	return epoll_ctl(pool->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno
								    : 0;
}

/* One that could not be watched would be noticed by nobody. */
static void abandon_keeper(struct reeve_pool *pool)
{
	siginfo_t info;

	(void)kill(pool->keeper_pid, SIGKILL);
	(void)waitid(P_PID, (id_t)pool->keeper_pid, &info, WEXITED);
	pool->keeper_pidfd = fd_close(pool->keeper_pidfd);
	pool->keeper_pid = 0;
}

int seats_start_keeper(struct reeve_pool *pool)
{
	struct reeve_pool_spec *s = &pool->spec;
	struct keeper_config config = {
		.name = pool->name,
		.owner_pidfd = pidfd_of_self(),
		.keeper_fd = pool->keeper_fd,
		.owner_fd = pool->owner_fd,
		.board = pool->board,
		.seats = pool->seats,
		.maxtasksperchild = s->maxtasksperchild,
		.maxtasks_jitter = s->maxtasks_jitter,
		.max_rss_bytes = s->max_rss_bytes,
		.max_age_usec = s->max_age_usec,
		.max_age_jitter_usec = s->max_age_jitter_usec,
		.recycle_max = s->recycle_max,
		.task_timeout_usec = s->task_timeout_usec,
		.task_soft_timeout_usec = s->task_soft_timeout_usec,
		.soft_signal = s->soft_signal,
		.start_timeout_usec = s->start_timeout_usec,
		.restart_limit = s->restart_limit,
		.restart_interval_usec = s->restart_interval_usec,
		.shares = pool->setup.shares,
		.worker_main = worker_main,
		.arg = &pool->setup,
	};
	pid_t pid;
	int r;

	if (config.owner_pidfd < 0)
		return config.owner_pidfd;
	atomic_store(&pool->board->target, pool->n_processes);
	for (unsigned i = 0; i < pool->n_seats; i++)
		offer(pool, i);
	pid = setup_start_keeper(pool, &config, &pool->keeper_pidfd);
	fd_close(config.owner_pidfd);
	if (pid < 0)
		return (int)pid;
	pool->keeper_pid = pid;
	pool->n_keepers++;
	r = pool->keeper_pidfd < 0 ? pool->keeper_pidfd
				   : watch(pool, pool->keeper_pidfd, EPOLLIN);
	if (r < 0)
		abandon_keeper(pool);
	return r;
}

/* Who has a worker's number now, but is younger than it: the worker is dead, and
 * no group of its is left, or the number would not have been given away. Its age
 * counts the time that the machine was suspended, the worker's does not. */
static bool is_stranger(const struct seat *seat, pid_t pid)
{
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
	struct tree_process p;
	struct timespec now;
	uint64_t now_usec, started_usec;

	if (procstat_read(pid, &p) < 0 || clock_gettime(CLOCK_BOOTTIME, &now))
		return false;
	now_usec = (uint64_t)now.tv_sec * USEC_PER_SEC +
		   (uint64_t)now.tv_nsec / 1000;
	started_usec = p.start_ticks * (USEC_PER_SEC / hz);
	return usec_add(usec_sub(now_usec, started_usec), USEC_PER_SEC) <
	       usec_sub(clock_monotonic_usec(),
			atomic_load(&seat->started_usec));
}

/* Its workers have SIGKILL as parent-death signal; what they had started has
 * not. It may be long ago: nobody looks while the caller does not call us. */
static void end_orphans(struct reeve_pool *pool)
{
	for (unsigned i = 0; i < pool->n_seats; i++) {
		const struct seat *seat = &pool->board->seats[i];
		struct tree_id id = { .leader = atomic_load(&seat->pid) };

		if (atomic_load(&seat->state) == SEAT_LIVE && id.leader > 0 &&
		    !is_stranger(seat, id.leader))
			(void)tree_kill(&id);
	}
}

static void settle_seats(struct reeve_pool *pool)
{
	for (unsigned i = 0; i < pool->n_seats; i++) {
		const struct seat *seat = &pool->board->seats[i];
		struct engine_end end;
		bool is_live = atomic_load(&seat->state) == SEAT_LIVE;

		deaths_describe_unseen(seat, i, &end);
		settle(pool, i, &end, is_live && !pool->is_terminated);
	}
}

static void clear_board(struct reeve_pool *pool)
{
	struct board *b = pool->board;

	memset(b->seats, 0, pool->n_seats * sizeof(b->seats[0]));
	atomic_store(&b->state, KEEPER_STARTING);
	atomic_store(&b->n_live, 0);
	atomic_store(&b->order,
		     pool->phase == POOL_OPEN || pool->phase == POOL_CLOSING
			     ? ORDER_RUN
			     : ORDER_CLOSE);
	pool->seen_changes = atomic_load(&b->n_changes);
}

/* Another one, unless they keep dying, or cannot be had. */
static void replace_keeper(struct reeve_pool *pool)
{
	int r = -ECHILD;

	clear_board(pool);
	pool->n_keepers_in_vain++;
	if (pool->engine.n_done != pool->done_at_keeper)
		pool->n_keepers_in_vain = 0;
	pool->done_at_keeper = pool->engine.n_done;
	if (pool->n_keepers_in_vain < KEEPERS_MAX)
		r = seats_start_keeper(pool);
	if (r < 0)
		seats_give_up(pool, -ESHUTDOWN,
			      "the pool's keeper died, and no other can be "
			      "started");
}

void seats_keeper_died(struct reeve_pool *pool)
{
	bool is_expected = atomic_load(&pool->board->state) == KEEPER_DONE;
	bool is_ending = atomic_load(&pool->board->order) != ORDER_RUN;
	siginfo_t info;

	/* A host that reaps everything may have been faster. */
	(void)waitid(P_PIDFD, (id_t)pool->keeper_pidfd, &info,
		     WEXITED | WNOHANG);
	/* A child of ours may have it too: closing does not take it out. */
	(void)epoll_ctl(pool->epoll_fd, EPOLL_CTL_DEL, pool->keeper_pidfd,
			NULL);
	pool->keeper_pidfd = fd_close(pool->keeper_pidfd);
	pool->keeper_pid = 0;
	seats_look(pool);
	if (!is_expected)
		end_orphans(pool);
	settle_seats(pool);
	if (is_ending || pool->is_broken)
		pool->phase = POOL_ENDED;
	else
		replace_keeper(pool);
}

/* ---- making and freeing -------------------------------------------------------------- */

static int new_seat(struct reeve_pool *pool, unsigned i)
{
	struct keeper_seat *seat = &pool->seats[i];
	struct channel channel;
	int r;

	seat->channel_fd = channel_new(&channel, pool->window,
				       (uint32_t)pool->payload_max);
	if (seat->channel_fd < 0)
		return seat->channel_fd;
	seat->channel = channel; /* the keeper's, when it is a copy of us */
	r = port_init(&pool->ports[i], &channel, pool->spin.limit_usec);
	if (r < 0) {
		channel_unmap(&channel);
		return r;
	}
	seat->bell_fd = fd_lift(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (seat->bell_fd < 0)
		return -errno;
	/* Edge-triggered: each write is told once, and nothing is ever read. */
	return watch(pool, seat->bell_fd, EPOLLIN | EPOLLET);
}

static int new_board(struct reeve_pool *pool)
{
	void *p;

	pool->board_size =
		sizeof(struct board) + pool->n_seats * sizeof(struct seat);
	pool->board_fd = fd_lift(memfd_create("reeve-board", MFD_CLOEXEC));
	if (pool->board_fd < 0 ||
	    ftruncate(pool->board_fd, (off_t)pool->board_size) < 0)
		return -errno;
	p = mmap(NULL, pool->board_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		 pool->board_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	pool->board = p; /* its keeper gets it, no other child of ours */
	(void)madvise(p, pool->board_size, MADV_DONTFORK);
	pool->board->n_seats = pool->n_seats;
	return 0;
}

int seats_new(struct reeve_pool *pool)
{
	int r;

	pool->ports = calloc(pool->n_seats, sizeof(*pool->ports));
	pool->views = calloc(pool->n_seats, sizeof(*pool->views));
	pool->seats = calloc(pool->n_seats, sizeof(*pool->seats));
	for (unsigned i = 0; i < pool->n_seats && pool->seats; i++)
		pool->seats[i].channel_fd = pool->seats[i].bell_fd = -1;
	if (!pool->ports || !pool->views || !pool->seats)
		return -ENOMEM;
	pool->epoll_fd = fd_lift(epoll_create1(EPOLL_CLOEXEC));
	pool->keeper_fd = fd_lift(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	pool->owner_fd = fd_lift(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (pool->epoll_fd < 0 || pool->keeper_fd < 0 || pool->owner_fd < 0)
		return -errno;
	r = watch(pool, pool->owner_fd, EPOLLIN | EPOLLET);
	if (r == 0)
		r = new_board(pool);
	for (unsigned i = 0; i < pool->n_seats && r == 0; i++)
		r = new_seat(pool, i);
	return r;
}

int seats_open_look(struct reeve_pool *pool)
{
	int r;

	if (pool->look_fd >= 0)
		return 0;
	pool->look_fd = fd_lift(
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	if (pool->look_fd < 0)
		return -errno;
	r = watch(pool, pool->look_fd, EPOLLIN | EPOLLET);
	if (r < 0)
		pool->look_fd = fd_close(pool->look_fd);
	return r;
}

void seats_free(struct reeve_pool *pool)
{
	for (unsigned i = 0; i < pool->n_seats && pool->seats; i++) {
		fd_close(pool->seats[i].channel_fd);
		fd_close(pool->seats[i].bell_fd);
	}
	for (unsigned i = 0; i < pool->n_seats && pool->ports; i++)
		port_done(&pool->ports[i]);
	if (pool->board)
		(void)munmap(pool->board, pool->board_size);
	pool->board = NULL;
	fd_close(pool->board_fd);
	fd_close(pool->keeper_fd);
	fd_close(pool->owner_fd);
	fd_close(pool->epoll_fd);
	pool->look_fd = fd_close(pool->look_fd);
	fd_close(pool->keeper_pidfd);
	pool->keeper_fd = pool->owner_fd = pool->epoll_fd = -1;
	pool->keeper_pidfd = pool->board_fd = -1;
	pool->large = NULL;
	pool->large_due_usec = REEVE_FOREVER;
	free(TAKE(pool->ports));
	free(TAKE(pool->views));
	free(TAKE(pool->seats));
}

void seats_forget(struct reeve_pool *pool)
{
	for (unsigned i = 0; i < pool->n_seats; i++)
		free(pool->ports[i].pieces);
	free(pool->ports);
	free(pool->views);
	free(pool->seats);
}
