/* Starting workers.
 *
 * How many are missing is computed from what lives, each time. A start costs a
 * fork and little else: it is what a pool with one task for each process does
 * all day. So the parent prepares what it can once (keeper_setup.c), and the
 * child makes a dozen system calls before its first task.
 *
 * A worker has a process group, in the owner's session, as the keeper has: so no
 * key of a terminal ends them behind the owner's back. A session of their own
 * would be a scheduling group too (autogroup): slow to make, and with the owner in
 * another group neither's sched_yield() lets the other run, which is what makes
 * round trips short when both share a CPU.
 *
 * A channel is mapped in the keeper for all its life, but not inherited: for
 * one fork that mapping alone is. In the child it becomes private again at
 * once: a process which a task forked, and that strays into our loop, must
 * find no channel there.
 */
#include "workers/pool/keeper_room.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/pool/keeper_event.h"

/* A worker is asked about leaving from three quarters of its tasks on. */
#define DUE_SHARE 4

/* --- in the child ------------------------------------------------------------ */

static void close_fds(int first, unsigned last)
{
	(void)syscall(SYS_close_range, (unsigned)first, last, 0U);
}

/* The bells come first; the lifeline is hidden behind them, or not at all. */
static void close_hidden_fds(const struct keeper *k, int bell, int lifeline)
{
	if (bell > k->first_fd)
		close_fds(k->first_fd, (unsigned)bell - 1);
	if (lifeline > bell + 1)
		close_fds(bell + 1, (unsigned)lifeline - 1);
	close_fds(MAX(bell, lifeline) + 1, ~0U);
}

/* They are not inherited; but valgrind believes so, and its leak check would read
 * all of that memory, a fault for each word. */
static void forget_others(const struct keeper *k, size_t i)
{
	for (size_t j = 0; j < k->n_seats; j++) {
		const struct channel *c = &k->seats[j].channel;

		if (j != i)
			(void)munmap(c->memory, c->size_bytes);
	}
}

/* A new process finds no page of libc mapped: each function that is called
 * costs a fault, more than most of these calls do. Hence syscall(). */
static _Noreturn void run_worker(const struct keeper *k, size_t i, int lifeline)
{
	static const uint64_t no_signals;
	const struct keeper_seat *seat = &k->seats[i];
	int code;

	/* Armed first, compared second: whatever we miss, one of them sees. */
	if (syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ||
	    syscall(SYS_getppid) != k->pid)
		_exit(1);
	(void)syscall(SYS_setpgid, 0, 0);
	(void)syscall(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	(void)syscall(SYS_prctl, PR_SET_NAME, k->names[i], 0, 0, 0);
	close_hidden_fds(k, seat->bell_fd, lifeline);
	(void)syscall(SYS_madvise, seat->channel.memory,
		      seat->channel.size_bytes, MADV_DONTFORK);
	if (k->is_in_valgrind)
		forget_others(k, i);
	if (k->is_fds_limit_raised)
		(void)setrlimit(RLIMIT_NOFILE, &k->fds_limit);
	(void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, NULL,
		      sizeof(no_signals));
	code = k->config->worker_main(seat, lifeline, k->config->arg);
	(void)fflush(NULL);
	_exit(code);
}

/* --- in the keeper ------------------------------------------------------------ */

static void set_limits(struct keeper *k, struct channel_orders *orders)
{
	uint64_t limit = k->config->maxtasksperchild;

	if (limit > 0)
		limit -= rng_below(&k->rng,
				   MIN(k->config->maxtasks_jitter, limit - 1) +
					   1);
	orders->task_limit = limit;
	orders->task_due = k->config->recycle_max == 0
				   ? UINT64_MAX
				   : limit - limit / DUE_SHARE;
	atomic_store(&orders->due, DUE_NOT);
	atomic_store(&orders->may_leave, 0);
	orders->soft_signal = k->config->soft_signal;
	atomic_store(&orders->is_signalled, 0);
}

static void prepare_channel(struct keeper *k, size_t i, uint32_t generation)
{
	struct channel_memory *m = k->seats[i].channel.memory;

	set_limits(k, &m->orders);
	m->orders.generation = generation;
	m->signs.init_message[0] = '\0';
	atomic_store(&m->signs.init_status, 0);
	atomic_store(&m->signs.asleep, 0);
	atomic_store(&m->signs.n_waits, 0);
	atomic_store(&m->signs.phase, PHASE_STARTING);
}

/* pid and generation change together, for who looks at sequence. The turn comes
 * last: an owner that sees the new one must not find the old end beside it, which
 * it would take for this worker's. */
static void show_worker(struct keeper *k, size_t i)
{
	struct seat *seat = &k->board->seats[i];
	const struct worker *w = &k->workers[i];
	uint32_t sequence =
		atomic_load_explicit(&seat->sequence, memory_order_relaxed);

	seat->post_mortem[0] = '\0';
	atomic_store(&seat->sequence, sequence + 1);
	atomic_store(&seat->pid, w->pid);
	atomic_store(&seat->generation, w->generation);
	atomic_store(&seat->started_usec, w->started_usec);
	if (w->is_recycled)
		atomic_fetch_add(&seat->n_recycled, 1);
	atomic_store(&seat->state, SEAT_LIVE);
	atomic_store(&seat->turn, w->turn);
	atomic_store(&seat->sequence, sequence + 2);
	atomic_fetch_add(&k->board->n_started, 1);
	atomic_fetch_add(&k->board->n_changes, 1);
}

/* The fork, with the one channel. Returns the pid or -errno. */
static pid_t fork_worker(const struct keeper *k, size_t i)
{
	const struct channel *c = &k->seats[i].channel;
	int lifeline = k->workers[i].lifeline.worker_fd;
	pid_t pid;

	if (madvise(c->memory, c->size_bytes, MADV_DOFORK) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		run_worker(k, i, lifeline);
	if (pid < 0)
		pid = -errno;
	(void)madvise(c->memory, c->size_bytes, MADV_DONTFORK);
	return pid;
}

int keeper_start(struct keeper *k, size_t i, bool is_recycled)
{
	struct worker *w = &k->workers[i];
	uint64_t position;
	pid_t pid;
	int r = lifeline_open(k, i);

	if (r < 0)
		return r;
	position = k->seats[i].channel.memory->signs.position;
	prepare_channel(k, i, w->generation + 1);
	pid = fork_worker(k, i);
	if (pid < 0) {
		lifeline_close(k, i);
		return pid;
	}
	*w = (struct worker){
		.pid = pid,
		.turn = w->turn,
		.generation = w->generation + 1,
		.lifeline = w->lifeline,
		.started_usec = k->now_usec,
		.age_due_usec = keeper_age_due_usec(k),
		.first_position = position,
		.is_recycled = is_recycled,
		.watch.slot = w->watch.slot,
	};
	lifeline_begin(k, i);
	show_worker(k, i);
	failures_pass(&k->failures);
	return 0;
}

/* --- how many ------------------------------------------------------------------ */

size_t keeper_count_live(const struct keeper *k)
{
	size_t n = 0;

	for (size_t i = 0; i < k->n_seats; i++)
		n += k->workers[i].pid > 0;
	return n;
}

size_t keeper_count_wanted(const struct keeper *k)
{
	if (k->is_owner_gone || atomic_load(&k->board->order) != ORDER_RUN ||
	    atomic_load(&k->board->state) == KEEPER_FATAL)
		return 0;
	return atomic_load(&k->board->target);
}

/* A seat is free when its channel was offered since its last worker. */
static bool is_free(const struct keeper *k, size_t i)
{
	return k->workers[i].pid == 0 &&
	       atomic_load(&k->board->seats[i].offered) != k->workers[i].turn;
}

bool keeper_has_to_fill(const struct keeper *k)
{
	if (keeper_count_live(k) >= keeper_count_wanted(k))
		return false;
	for (size_t i = 0; i < k->n_seats; i++)
		if (is_free(k, i))
			return true;
	return false;
}

static int start_on_offer(struct keeper *k, size_t i)
{
	uint32_t turn = k->workers[i].turn;
	int r;

	k->workers[i].turn = atomic_load(&k->board->seats[i].offered);
	r = keeper_start(k, i, false);
	if (r < 0)
		k->workers[i].turn = turn;
	return r;
}

void keeper_fill(struct keeper *k)
{
	size_t n_live = keeper_count_live(k), n_wanted = keeper_count_wanted(k);
	bool is_first = true;

	if (n_live >= n_wanted || k->now_usec < k->failures.not_before_usec)
		return;
	for (size_t i = 0; i < k->n_seats && n_live < n_wanted; i++) {
		int r;

		if (!is_free(k, i))
			continue;
		r = start_on_offer(k, i);
		if (r < 0) { /* nothing is lost: it is missing still */
			keeper_say(k, "cannot start worker %zu: %s", i,
				   strerror(-r));
			atomic_fetch_add(&k->board->n_start_failures, 1);
			failures_delay(&k->failures, k->now_usec);
			k->has_news = true;
			return;
		}
		n_live++;
		k->has_news = true;
		if (is_first) /* it may begin while the others are started */
			keeper_tell(k);
		is_first = false;
	}
}
