/* A keeper with workers that do what their slots say, and the owner's side of
 * it by hand. Included once by each test of the keeper. */
#pragma once

#include "tests/lib/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/process.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/pool/keeper.h"

#define RIG_SEATS_MAX	  8
#define RIG_SLOTS	  16
#define RIG_DEADLINE_USEC (10 * USEC_PER_SEC)
#define RIG_PIDS_MAX	  256

/* What a task does: the function of its slot. */
enum deed {
	DO_NOTHING,
	DO_EXIT,   /* with item_size as the code */
	DO_SIGNAL, /* itself with item_size */
	DO_HANG,
	DO_EXECUTE,
	DO_CLOSE_ALL,
	DO_SPIN,   /* for item_size microseconds */
	DO_FAMILY, /* descendants of all kinds, which stay; then hangs */
	DO_FORK,   /* a child strays into the worker's loop; says its pid */
	DO_CHILD,  /* a child, which stays */
	DO_ITEMS   /* item_size of them, of out_stride microseconds each */
};

/* How a worker starts. */
enum manner {
	START_WELL,
	START_REFUSING,
	START_EXITING,
	START_CRASHING,
	START_HANGING,
	START_EXECUTING
};

/* What all processes of a test share. */
struct rig_shared {
	_Atomic int manner;
	_Atomic int n_pids;
	_Atomic pid_t pids[RIG_PIDS_MAX];
	_Atomic int n_fds, is_stdin_null, n_ignored, n_blocked;
	_Atomic uint64_t n_tasks; /* of all workers */
	char comm[16];
};

struct rig {
	struct keeper_config config;
	struct board *board;
	size_t board_size;
	struct keeper_seat seats[RIG_SEATS_MAX];
	struct channel channels[RIG_SEATS_MAX];
	uint64_t tails[RIG_SEATS_MAX];
	struct rig_shared *shared;
	pid_t keeper;
	int keeper_pidfd;
};

/* --- the worker's side --------------------------------------------------------- */

_unused_ static void rig_say_pid(struct rig_shared *s)
{
	int i = atomic_fetch_add(&s->n_pids, 1);

	if (i < RIG_PIDS_MAX)
		atomic_store(&s->pids[i], getpid());
}

static _Noreturn void rig_stay(struct rig_shared *s)
{
	rig_say_pid(s);
	for (;;)
		(void)pause();
}

/* Four that are hard to find: a child, one in its own session, one whose parent
 * is gone, one of both. And one that has stopped. */
static _Noreturn void rig_family(struct rig_shared *s)
{
	for (int kind = 0; kind < 5; kind++) {
		if (fork() != 0)
			continue;
		if (kind & 1)
			(void)setsid();
		if ((kind & 2) && fork() != 0)
			_exit(0);
		if (kind == 4) {
			rig_say_pid(s);
			(void)raise(SIGSTOP);
		}
		rig_stay(s);
	}
	for (;;)
		(void)pause();
}

static void rig_spin(uint64_t usec)
{
	uint64_t end = clock_monotonic_usec() + usec;

	while (clock_monotonic_usec() < end)
		continue;
}

static void rig_execute(void)
{
	(void)execl("/bin/cat", "cat", "/dev/zero", (char *)NULL);
	_exit(99);
}

static void rig_do(const struct slot *slot, struct rig_shared *s)
{
	switch ((enum deed)slot->function) {
	case DO_NOTHING:
	case DO_ITEMS:
		break;
	case DO_EXIT:
		exit((int)slot->item_size);
	case DO_SIGNAL:
		(void)raise((int)slot->item_size);
		break;
	case DO_HANG:
		rig_stay(s);
	case DO_EXECUTE:
		(void)dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
		rig_execute();
		break;
	case DO_CLOSE_ALL:
		(void)close_range(0, ~0U, 0);
		rig_stay(s);
	case DO_SPIN:
		rig_spin(slot->item_size);
		break;
	case DO_FAMILY:
		rig_family(s);
	case DO_CHILD:
		if (fork() == 0)
			rig_stay(s);
		break;
	case DO_FORK:
		if (fork() == 0)
			rig_say_pid(s);
		break;
	}
}

/* A task, or the items of a chunk one by one. */
static void rig_run(struct slot *slot, uint32_t tag, struct rig_shared *s)
{
	bool is_chunk = slot->function == DO_ITEMS;
	uint32_t n = is_chunk ? slot->item_size : 1;
	uint64_t began_usec = clock_monotonic_usec();

	memcpy(slot->result.data, &began_usec, sizeof(began_usec));
	rig_do(slot, s);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t running = slot_word(SLOT_RUNNING, tag, i);
		uint64_t next = i + 1 < n ? slot_word(SLOT_RUNNING, tag, i + 1)
					  : slot_word(SLOT_DONE, tag, n);

		if (is_chunk)
			rig_spin(slot->out_stride);
		while (!atomic_compare_exchange_strong(&slot->word, &running,
						       next))
			if (running != slot_word(SLOT_WARNED, tag, i))
				(void)pause();
	}
	atomic_fetch_add(&s->n_tasks, 1);
}

static int rig_start_worker(const struct keeper_seat *seat,
			    struct rig_shared *s)
{
	struct channel_signs *signs = &seat->channel.memory->signs;

	switch ((enum manner)atomic_load(&s->manner)) {
	case START_WELL:
		break;
	case START_REFUSING:
		(void)snprintf(signs->init_message, sizeof(signs->init_message),
			       "no database");
		atomic_store(&signs->phase, PHASE_INIT_FAILED);
		return 121;
	case START_EXITING:
		_exit(7);
	case START_CRASHING:
		(void)raise(SIGSEGV);
		break;
	case START_HANGING:
		rig_stay(s);
	case START_EXECUTING:
		(void)dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
		rig_execute();
	}
	atomic_store(&signs->phase, PHASE_READY);
	return 0;
}

static int rig_leave(struct channel_memory *m, uint64_t position)
{
	m->signs.position = position;
	atomic_store(&m->signs.phase, PHASE_LEAVING);
	return 0;
}

_unused_ static int rig_worker(const struct keeper_seat *seat, int lifeline_fd,
			       void *arg)
{
	struct channel_memory *m = seat->channel.memory;
	uint64_t position = m->signs.position, n_run = 0;
	struct rig_shared *s = arg;
	int code = rig_start_worker(seat, s);
	bool is_due = false;

	while (code == 0) {
		struct slot *slot = channel_slot(&seat->channel, position);
		uint64_t word = atomic_load(&slot->word);
		uint32_t tag = slot_word_tag(word);

		if (!is_due && ((m->orders.task_limit > 0 &&
				 n_run >= m->orders.task_due) ||
				atomic_load(&m->orders.due) == DUE_NOW)) {
			is_due = true;
			(void)!write(lifeline_fd, "", 1);
		}
		if ((m->orders.task_limit > 0 &&
		     n_run >= m->orders.task_limit) ||
		    (is_due && atomic_load(&m->orders.may_leave)))
			return rig_leave(m, position);
		if (slot_word_state(word) != SLOT_QUEUED) {
			if (atomic_load(&m->orders.closing))
				return rig_leave(m, position);
			(void)poll(NULL, 0, 1);
			continue;
		}
		if (!atomic_compare_exchange_strong(&slot->word, &word,
						    slot_word(SLOT_RUNNING, tag,
							      0)))
			continue;
		rig_run(slot, tag, s);
		position++;
		n_run++;
	}
	return code;
}

/* --- the owner's side ------------------------------------------------------------ */

#define await(rig, condition)                                                  \
	do {                                                                   \
		uint64_t end_ = clock_monotonic_usec() + RIG_DEADLINE_USEC;    \
		while (!(condition)) {                                         \
			struct pollfd p_ = { (rig)->config.owner_fd, POLLIN,   \
					     0 };                              \
			uint64_t n_;                                           \
			if (clock_monotonic_usec() > end_)                     \
				ck_abort_msg("awaited in vain: %s; message "   \
					     "\"%s\"",                         \
					     #condition,                       \
					     (rig)->board->message);           \
			if (poll(&p_, 1, 1) > 0)                               \
				(void)!read(p_.fd, &n_, sizeof(n_));           \
		}                                                              \
	} while (0)

_unused_ static void rig_ring(const struct rig *r)
{
	static const uint64_t one = 1;

	ck_assert_int_eq(write(r->config.keeper_fd, &one, sizeof(one)), 8);
}

_unused_ static void rig_init(struct rig *r, uint32_t n_seats)
{
	*r = (struct rig){ .keeper_pidfd = -1 };
	r->board_size = sizeof(*r->board) + n_seats * sizeof(struct seat);
	r->board = mmap(NULL, r->board_size, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	r->shared = mmap(NULL, sizeof(*r->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(r->board != MAP_FAILED && r->shared != MAP_FAILED);
	r->board->n_seats = n_seats;
	for (uint32_t i = 0; i < n_seats; i++) {
		r->seats[i].channel_fd = channel_new(&r->channels[i], RIG_SLOTS,
						     CHANNEL_PAYLOAD_DEFAULT);
		r->seats[i].bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ck_assert_int_ge(r->seats[i].channel_fd, 0);
		r->board->seats[i].offered = 1;
	}
	r->config = (struct keeper_config){
		.name = "rig",
		.owner_pidfd = pidfd_open(getpid(), 0),
		.keeper_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.owner_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.board = r->board,
		.seats = r->seats,
		.start_timeout_usec = 60 * USEC_PER_SEC,
		.restart_limit = 3,
		.restart_interval_usec = 60 * USEC_PER_SEC,
		.worker_main = rig_worker,
		.arg = r->shared,
	};
}

_unused_ static void rig_start(struct rig *r, uint32_t target)
{
	atomic_store(&r->board->target, target);
	r->keeper = fork();
	if (r->keeper == 0)
		keeper_main(&r->config);
	ck_assert_int_gt(r->keeper, 0);
	r->keeper_pidfd = pidfd_open(r->keeper, 0);
	ck_assert_int_ge(r->keeper_pidfd, 0);
}

_unused_ static void rig_start_ready(struct rig *r, uint32_t target)
{
	rig_start(r, target);
	await(r, atomic_load(&r->board->n_live) == target);
}

_unused_ static uint64_t rig_publish(struct rig *r, size_t i, enum deed deed,
				     uint32_t value)
{
	uint64_t at = r->tails[i]++;
	struct slot *slot = channel_slot(&r->channels[i], at);

	slot->function = deed;
	slot->item_size = value;
	slot->out_stride = value;
	atomic_store(&slot->word, slot_word(SLOT_QUEUED, (uint32_t)at + 1, 0));
	if (atomic_load(&r->board->is_dozing) &&
	    atomic_exchange(&r->board->is_dozing, 0))
		rig_ring(r);
	return at;
}

_unused_ static unsigned rig_state(const struct rig *r, size_t i, uint64_t at)
{
	return slot_word_state(
		atomic_load(&channel_slot(&r->channels[i], at)->word));
}

/* As the owner does when it has collected what the dead one left. */
_unused_ static void rig_offer_again(struct rig *r, size_t i)
{
	for (uint64_t at = 0; at < RIG_SLOTS; at++)
		atomic_store(&channel_slot(&r->channels[i], at)->word, 0);
	r->channels[i].memory->signs.position = 0;
	r->tails[i] = 0;
	atomic_fetch_add(&r->board->seats[i].offered, 1);
	rig_ring(r);
}

static inline uint32_t seat_state(const struct rig *r, size_t i)
{
	return atomic_load(&r->board->seats[i].state);
}

_unused_ static const struct seat *rig_await_end(struct rig *r, size_t i)
{
	const struct seat *seat = &r->board->seats[i];

	await(r, atomic_load(&seat->state) == SEAT_ENDED &&
			 atomic_load(&seat->turn) == seat->offered);
	return seat;
}

_unused_ static bool is_gone(pid_t pid)
{
	char state = process_state(pid);

	return state == '\0' || state == 'Z' || state == 'X';
}

/* How many of those who said their pids are gone. */
_unused_ static int rig_count_gone(const struct rig *r)
{
	int n = 0;

	for (int i = 0; i < atomic_load(&r->shared->n_pids); i++)
		n += is_gone(atomic_load(&r->shared->pids[i]));
	return n;
}

/* Waits until the keeper has left; returns its exit code, -N for a signal. */
_unused_ static int rig_await_keeper(const struct rig *r)
{
	struct pollfd p = { r->keeper_pidfd, POLLIN, 0 };
	siginfo_t info = { 0 };

	ck_assert_int_eq(poll(&p, 1, RIG_DEADLINE_USEC / 1000), 1);
	ck_assert_int_eq(waitid(P_PID, (id_t)r->keeper, &info, WEXITED), 0);
	return info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
}

_unused_ static void rig_order(struct rig *r, enum board_order order)
{
	atomic_store(&r->board->order, order);
	rig_ring(r);
}

_unused_ static void rig_done(struct rig *r)
{
	for (uint32_t i = 0; i < r->board->n_seats; i++) {
		channel_unmap(&r->channels[i]);
		fd_close(r->seats[i].channel_fd);
		fd_close(r->seats[i].bell_fd);
	}
	fd_close(r->config.owner_pidfd);
	fd_close(r->config.keeper_fd);
	fd_close(r->config.owner_fd);
	fd_close(r->keeper_pidfd);
	(void)munmap(r->board, r->board_size);
	(void)munmap(r->shared, sizeof(*r->shared));
}

_unused_ static void rig_terminate(struct rig *r)
{
	rig_order(r, ORDER_TERMINATE);
	ck_assert_int_eq(rig_await_keeper(r), 0);
	ck_assert_uint_eq(r->board->state, KEEPER_DONE);
	ck_assert_uint_eq(r->board->n_live, 0);
	rig_done(r);
}
