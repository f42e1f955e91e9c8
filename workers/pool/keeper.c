/* The keeper's loop.
 *
 * One turn: wait; collect what has happened; bury the dead; do what the owner
 * wants; end what is over its time; start what is missing. The dead come before
 * all else, so that no signal, start or deadline concerns a process that is no
 * more; and what is missing is computed last, from what is left.
 *
 * Nothing here is a queue. The board, the dead and the rings are looked at as
 * they are, so a turn that comes too late or twice does no harm.
 *
 * An idle pool sleeps: the wait ends with the next deadline, and there is none
 * when all workers are ready and armed (keeper_lifeline.c), and have nothing to do.
 */
#include "workers/pool/keeper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/pool/keeper_event.h"
#include "workers/pool/keeper_room.h"

#define EVENTS_MAX 64

/* --- what has happened --------------------------------------------------------- */

static void empty_bell(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		continue;
}

static void read_deaths(struct keeper *k)
{
	struct signalfd_siginfo info;

	while (read(k->death_fd, &info, sizeof(info)) < 0 && errno == EINTR)
		continue;
	k->has_deaths = true;
}

static void note_event(struct keeper *k, uint64_t event)
{
	switch (event) {
	case EVENT_OWNER_GONE:
		k->is_owner_gone = true;
		return;
	case EVENT_RUNG:
		empty_bell(k->keeper_fd);
		keeper_watch_wake(k);
		return;
	case EVENT_DEATH:
		read_deaths(k);
		return;
	default: /* not one of the enum: behind EVENT_LIFELINE */
		lifeline_read(k, event - EVENT_LIFELINE);
	}
}

/* When the next turn is due though nothing happens. */
static uint64_t next_turn_usec(const struct keeper *k)
{
	uint64_t next = MIN(keeper_watch_next_usec(k), lifeline_next_usec(k));

	if (k->has_deaths)
		return k->now_usec;
	if (keeper_has_to_fill(k))
		next = MIN(next, k->failures.not_before_usec);
	return next;
}

/* epoll_pwait2(2) is not there before Linux 5.11, nor under valgrind. */
static int wait_precisely(int epoll_fd, struct epoll_event events[EVENTS_MAX],
			  const struct timespec *timeout)
{
	int n = epoll_pwait2(epoll_fd, events, EVENTS_MAX, timeout, NULL);
	struct pollfd poll = { .fd = epoll_fd, .events = POLLIN };

	if (n >= 0 || errno != ENOSYS)
		return n;
	n = ppoll(&poll, 1, timeout, NULL);
	return n > 0 ? epoll_wait(epoll_fd, events, EVENTS_MAX, 0) : n;
}

static void wait_for_events(struct keeper *k)
{
	uint64_t next = next_turn_usec(k);
	uint64_t wait = usec_sub(next, clock_monotonic_usec());
	struct timespec timeout = {
		.tv_sec = (time_t)(wait / USEC_PER_SEC),
		.tv_nsec = (long)(wait % USEC_PER_SEC * 1000),
	};
	struct epoll_event events[EVENTS_MAX];
	int n = wait_precisely(k->epoll_fd, events,
			       next == USEC_INFINITY ? NULL : &timeout);

	k->now_usec = clock_monotonic_usec();
	for (int i = 0; i < n; i++)
		note_event(k, events[i].data.u64);
}

/* --- what the owner wants --------------------------------------------------------- */

static bool is_order_to_end(const struct keeper *k)
{
	return k->is_owner_gone ||
	       atomic_load(&k->board->order) == ORDER_TERMINATE;
}

static void obey(struct keeper *k)
{
	bool is_end = is_order_to_end(k), is_meant;

	if (k->closing_usec == 0 &&
	    atomic_load(&k->board->order) == ORDER_CLOSE)
		k->closing_usec = k->now_usec;
	for (size_t i = 0; i < k->n_seats; i++) {
		const struct worker *w = &k->workers[i];

		if (w->pid == 0 || w->cause != CAUSE_OWN) /* killed already */
			continue;
		is_meant =
			atomic_load(&k->board->seats[i].kill) == w->generation;
		if (is_meant)
			keeper_describe(k, i);
		if (is_meant || is_end)
			keeper_kill(k, i, CAUSE_KILLED);
	}
}

void keeper_tell(struct keeper *k)
{
	static const uint64_t one = 1;

	if (!k->has_news)
		return;
	k->has_news = false;
	atomic_store(&k->board->n_live, (uint32_t)keeper_count_live(k));
	(void)!write(k->owner_fd, &one, sizeof(one)); /* full: it is rung */
}

/* Nothing is to be started, and nothing is left. */
static bool is_done(const struct keeper *k)
{
	return (k->is_owner_gone ||
		atomic_load(&k->board->order) != ORDER_RUN) &&
	       keeper_count_live(k) == 0 && !k->has_children;
}

static void take_turn(struct keeper *k)
{
	lifeline_arm(k);
	if (k->has_deaths) {
		keeper_reap(k);
		keeper_repair(k);
		if (k->has_children)
			keeper_sweep(k);
		keeper_settle(k);
	}
	obey(k);
	keeper_watch(k);
	keeper_fill(k);
	keeper_tell(k);
}

static _Noreturn void leave(struct keeper *k, enum keeper_state state)
{
	atomic_store(&k->board->state, state);
	atomic_fetch_add(&k->board->n_changes, 1);
	k->has_news = true;
	keeper_tell(k);
	_exit(0);
}

void keeper_main(struct keeper_config *config)
{
	struct keeper k;
	int r = keeper_setup(&k, config);

	if (r < 0) {
		keeper_say(&k, "cannot keep workers: %s", strerror(-r));
		leave(&k, KEEPER_FATAL);
	}
	atomic_store(&k.board->state, KEEPER_RUNNING);
	take_turn(&k);
	oom_open(&k.oom);
	if (k.oom.fd >= 0)
		k.oom.fd = keeper_hide_fd(&k, k.oom.fd);
	while (!is_done(&k)) {
		wait_for_events(&k);
		take_turn(&k);
	}
	leave(&k, KEEPER_DONE);
}
