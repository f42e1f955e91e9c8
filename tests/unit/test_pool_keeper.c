/* The keeper keeps workers alive, tells how they ended, and leaves none. */
#include "workers/pool/keeper.h"

#include "tests/unit/keeper_rig.h"

static long cpu_usec(pid_t pid)
{
	char path[64], *text = NULL;
	unsigned long long nsec;

	(void)snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
	if (fd_read_file(AT_FDCWD, path, 256, &text, NULL) < 0)
		return -1;
	nsec = strtoull(text, NULL, 10);
	free(text);
	return (long)(nsec / 1000);
}

static bool is_ready(const struct rig *r, size_t i)
{
	return atomic_load(&r->channels[i].memory->signs.phase) == PHASE_READY;
}

START_TEST(test_starts_to_target)
{
	struct rig r;

	rig_init(&r, 4);
	rig_start_ready(&r, 2);
	ck_assert_uint_eq(seat_state(&r, 0), SEAT_LIVE);
	ck_assert_uint_eq(seat_state(&r, 1), SEAT_LIVE);
	ck_assert_uint_eq(seat_state(&r, 2), SEAT_EMPTY);
	ck_assert_uint_eq(r.board->state, KEEPER_RUNNING);
	ck_assert_uint_eq(r.board->seats[1].turn, 1);
	ck_assert_uint_eq(r.board->seats[1].generation, 1);
	atomic_store(&r.board->target, 4);
	rig_ring(&r);
	await(&r, atomic_load(&r.board->n_live) == 4);
	rig_publish(&r, 3, DO_NOTHING, 0);
	await(&r, rig_state(&r, 3, 0) == SLOT_DONE);
	rig_terminate(&r);
}
END_TEST

/* A session would be a scheduling group; the owner's group would share the keys
 * of its terminal. */
START_TEST(test_has_groups_but_no_session)
{
	struct rig r;
	pid_t worker;

	rig_init(&r, 1);
	rig_start_ready(&r, 1);
	worker = r.board->seats[0].pid;
	ck_assert_int_eq(getsid(r.keeper), getsid(0));
	ck_assert_int_eq(getsid(worker), getsid(0));
	ck_assert_int_eq(getpgid(r.keeper), r.keeper);
	while (getpgid(worker) != worker) /* it makes it itself */
		;
	rig_terminate(&r);
}
END_TEST

START_TEST(test_uses_no_channel_that_was_not_offered)
{
	struct rig r;

	rig_init(&r, 2);
	r.board->seats[0].offered = 0;
	rig_start(&r, 2);
	await(&r, seat_state(&r, 1) == SEAT_LIVE);
	ck_assert_uint_eq(seat_state(&r, 0), SEAT_EMPTY);
	atomic_store(&r.board->seats[0].offered, 5);
	rig_ring(&r);
	await(&r, seat_state(&r, 0) == SEAT_LIVE);
	ck_assert_uint_eq(r.board->seats[0].turn, 5);
	rig_terminate(&r);
}
END_TEST

START_TEST(test_tells_how_a_worker_ended)
{
	static const struct {
		enum deed deed;
		uint32_t value;
		int exit_code;
	} ends[] = {
		{ DO_EXIT, 0, 0 },
		{ DO_EXIT, 3, 3 },
		{ DO_SIGNAL, SIGSEGV, -SIGSEGV },
		{ DO_SIGNAL, SIGKILL, -SIGKILL },
		{ DO_SIGNAL, SIGABRT, -SIGABRT },
	};
	struct rig r;

	rig_init(&r, 2);
	rig_start_ready(&r, 1);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		const size_t at = i % 2;
		const struct seat *seat;
		pid_t pid = r.board->seats[at].pid;

		rig_publish(&r, at, DO_SPIN, 2000);
		rig_publish(&r, at, ends[i].deed, ends[i].value);
		seat = rig_await_end(&r, at);
		ck_assert_int_eq(seat->exit_code, ends[i].exit_code);
		ck_assert_uint_eq(seat->cause, CAUSE_OWN);
		ck_assert_int_gt(seat->rusage.ru_utime.tv_usec +
					 seat->rusage.ru_stime.tv_usec,
				 0);
		ck_assert_int_eq(seat->pid, pid);
		if (ends[i].exit_code != -SIGKILL)
			ck_assert_uint_eq(seat->oom, OOM_NO);
		ck_assert_uint_eq(rig_state(&r, at, 1), SLOT_RUNNING);
		/* its replacement is elsewhere, without our doing anything */
		await(&r, seat_state(&r, !at) == SEAT_LIVE);
		ck_assert_int_ne(r.board->seats[!at].pid, pid);
		rig_offer_again(&r, at);
	}
	ck_assert_uint_eq(r.board->n_start_failures, 0);
	rig_terminate(&r);
}
END_TEST

START_TEST(test_recycles_in_place)
{
	struct rig r;
	pid_t first;

	rig_init(&r, 1);
	r.config.maxtasksperchild = 2;
	rig_start_ready(&r, 1);
	first = r.board->seats[0].pid;
	for (int i = 0; i < 10; i++)
		rig_publish(&r, 0, DO_NOTHING, 0);
	await(&r, rig_state(&r, 0, 9) == SLOT_DONE);
	await(&r, atomic_load(&r.board->seats[0].n_recycled) == 5);
	ck_assert_uint_eq(r.board->seats[0].state, SEAT_LIVE);
	ck_assert_uint_eq(r.board->seats[0].turn, 1);
	ck_assert_uint_eq(r.board->seats[0].generation, 6);
	ck_assert_int_ne(r.board->seats[0].pid, first);
	rig_terminate(&r);
}
END_TEST

/* A worker that leaves with a task in its hands has crashed. */
START_TEST(test_does_not_recycle_over_a_running_task)
{
	const struct seat *seat;
	struct rig r;

	rig_init(&r, 1);
	r.config.maxtasksperchild = 5;
	rig_start_ready(&r, 1);
	rig_publish(&r, 0, DO_NOTHING, 0);
	await(&r, rig_state(&r, 0, 0) == SLOT_DONE);
	atomic_store(&r.channels[0].memory->signs.phase, PHASE_LEAVING);
	rig_publish(&r, 0, DO_EXIT, 0);
	seat = rig_await_end(&r, 0);
	ck_assert_uint_eq(seat->cause, CAUSE_OWN);
	ck_assert_int_eq(seat->exit_code, 0);
	rig_terminate(&r);
}
END_TEST

START_TEST(test_draws_limits)
{
	bool is_seen[3] = { false };
	struct rig r;

	rig_init(&r, 1);
	r.config.maxtasksperchild = 3;
	r.config.maxtasks_jitter = 100; /* never below one */
	rig_start_ready(&r, 1);
	for (int i = 0; i < 60; i++) {
		uint64_t limit = r.channels[0].memory->orders.task_limit;

		if (limit >= 1 && limit <= 3)
			is_seen[limit - 1] = true;
		rig_publish(&r, 0, DO_NOTHING, 0);
		await(&r, rig_state(&r, 0, (uint64_t)i) == SLOT_DONE);
	}
	ck_assert(is_seen[0] && is_seen[1] && is_seen[2]);
	rig_terminate(&r);
}
END_TEST

START_TEST(test_bounds_recycling)
{
	struct rig r;

	rig_init(&r, 3);
	r.config.maxtasksperchild = 8; /* due after 6 */
	r.config.recycle_max = 1;
	rig_start_ready(&r, 3);
	for (size_t i = 0; i < 3; i++)
		await(&r, is_ready(&r, i));
	atomic_store(&r.shared->manner, START_HANGING);
	for (size_t i = 0; i < 3; i++)
		for (int n = 0; n < 6; n++)
			rig_publish(&r, i, DO_NOTHING, 0);
	/* all ask; the first may leave, and what follows it does not get ready */
	await(&r, atomic_load(&r.shared->n_pids) == 1);
	ck_assert_uint_eq(r.board->seats[0].n_recycled +
				  r.board->seats[1].n_recycled +
				  r.board->seats[2].n_recycled,
			  1);
	for (size_t i = 0; i < 3; i++)
		await(&r, rig_state(&r, i, 5) == SLOT_DONE);
	ck_assert_int_eq(r.shared->n_pids, 1);
	atomic_store(&r.shared->manner, START_WELL);
	for (size_t i = 0; i < 3; i++) /* it hangs: make room */
		if (r.board->seats[i].generation == 2)
			atomic_store(&r.board->seats[i].kill, 2);
	rig_ring(&r);
	await(&r, r.board->seats[0].n_recycled + r.board->seats[1].n_recycled +
				  r.board->seats[2].n_recycled ==
			  3);
	ck_assert_uint_eq(r.board->n_start_failures, 0);
	rig_terminate(&r);
}
END_TEST

START_TEST(test_kills_one_generation)
{
	const struct seat *seat;
	struct rig r;

	rig_init(&r, 2);
	rig_start_ready(&r, 1);
	rig_publish(&r, 0, DO_HANG, 0);
	await(&r, atomic_load(&r.shared->n_pids) == 1);
	atomic_store(&r.board->seats[0].kill, 7); /* not this one */
	rig_ring(&r);
	atomic_store(&r.board->target, 2);
	rig_ring(&r);
	await(&r, atomic_load(&r.board->n_live) == 2);
	rig_publish(&r, 1, DO_EXIT, 0); /* and some turns later */
	(void)rig_await_end(&r, 1);
	ck_assert_uint_eq(seat_state(&r, 0), SEAT_LIVE);
	atomic_store(&r.board->seats[0].kill, 1);
	rig_ring(&r);
	seat = rig_await_end(&r, 0);
	ck_assert_uint_eq(seat->cause, CAUSE_KILLED);
	ck_assert_int_eq(seat->exit_code, -SIGKILL);
	rig_offer_again(&r, 0);
	await(&r, seat_state(&r, 0) == SEAT_LIVE);
	ck_assert_uint_eq(r.board->seats[0].generation, 2);
	rig_terminate(&r);
}
END_TEST

START_TEST(test_kills_the_stopped)
{
	struct rig r;

	rig_init(&r, 1);
	rig_start_ready(&r, 1);
	rig_publish(&r, 0, DO_SIGNAL, SIGSTOP);
	await(&r, process_state(r.board->seats[0].pid) == 'T');
	atomic_store(&r.board->seats[0].kill, 1);
	rig_ring(&r);
	ck_assert_int_eq(rig_await_end(&r, 0)->exit_code, -SIGKILL);
	rig_terminate(&r);
}
END_TEST

START_TEST(test_notices_who_is_cut_off)
{
	static const enum deed deeds[] = { DO_EXECUTE, DO_CLOSE_ALL };
	struct rig r;

	rig_init(&r, 2);
	rig_start_ready(&r, 2);
	for (size_t i = 0; i < 2; i++) {
		const struct seat *seat;

		rig_publish(&r, i, deeds[i], 0);
		seat = rig_await_end(&r, i);
		ck_assert_uint_eq(seat->cause, CAUSE_CUT_OFF);
		ck_assert_int_eq(seat->exit_code, -SIGKILL);
	}
	rig_terminate(&r);
}
END_TEST

START_TEST(test_closes)
{
	struct rig r;

	rig_init(&r, 2);
	rig_start_ready(&r, 2);
	rig_publish(&r, 1, DO_SPIN, 20000);
	rig_order(&r, ORDER_CLOSE);
	for (size_t i = 0; i < 2; i++)
		atomic_store(&r.channels[i].memory->orders.closing, 1);
	ck_assert_int_eq(rig_await_keeper(&r), 0);
	ck_assert_uint_eq(rig_state(&r, 1, 0), SLOT_DONE);
	ck_assert_uint_eq(r.board->state, KEEPER_DONE);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_uint_eq(seat_state(&r, i), SEAT_ENDED);
		ck_assert_uint_eq(r.board->seats[i].cause, CAUSE_LEFT);
		ck_assert_int_eq(r.board->seats[i].exit_code, 0);
	}
	rig_done(&r);
}
END_TEST

/* What waits on a channel is run to its end, by as many as it takes. */
START_TEST(test_recycles_while_closing)
{
	struct rig r;

	rig_init(&r, 1);
	r.config.maxtasksperchild = 1;
	rig_start_ready(&r, 1);
	for (int i = 0; i < 10; i++)
		rig_publish(&r, 0, DO_SPIN, 1000);
	rig_order(&r, ORDER_CLOSE);
	atomic_store(&r.channels[0].memory->orders.closing, 1);
	ck_assert_int_eq(rig_await_keeper(&r), 0);
	ck_assert_uint_eq(rig_state(&r, 0, 9), SLOT_DONE);
	ck_assert_uint_eq(r.board->seats[0].cause, CAUSE_LEFT);
	rig_done(&r);
}
END_TEST

/* One that was told to leave, and to stay when it had left already, has not died. */
START_TEST(test_left_too_early)
{
	_Atomic uint32_t *closing;
	struct rig r;
	pid_t pid;

	rig_init(&r, 1);
	closing = &r.channels[0].memory->orders.closing;
	rig_start_ready(&r, 1);
	pid = r.board->seats[0].pid;
	ck_assert_int_eq(kill(r.keeper, SIGSTOP), 0);
	atomic_store(&r.board->target, 0);
	atomic_store(closing, 1);
	await(&r, is_gone(pid));
	atomic_store(closing, 0);
	ck_assert_int_eq(kill(r.keeper, SIGCONT), 0);
	ck_assert_uint_eq(rig_await_end(&r, 0)->cause, CAUSE_LEFT);
	rig_terminate(&r);
}
END_TEST

/* Somebody has written over orders and slots: its successors would all leave at
 * once, each followed by another. */
START_TEST(test_no_successor_for_nothing)
{
	struct rig r;

	rig_init(&r, 1);
	r.config.maxtasksperchild = 5;
	rig_start_ready(&r, 1);
	atomic_store(&channel_slot(&r.channels[0], 7)->word,
		     slot_word(SLOT_QUEUED, 1, 0));
	atomic_store(&r.channels[0].memory->orders.closing, 1);
	ck_assert_uint_eq(rig_await_end(&r, 0)->cause, CAUSE_LEFT);
	ck_assert_uint_eq(r.board->n_started, 1);
	rig_terminate(&r);
}
END_TEST

START_TEST(test_terminates_at_any_moment)
{
	for (int i = 0; i < 20; i++) {
		struct rig r;

		rig_init(&r, 4);
		r.config.maxtasksperchild = 1;
		rig_start(&r, 4);
		for (size_t seat = 0; seat < 4; seat++)
			for (int n = 0; n < RIG_SLOTS; n++)
				rig_publish(&r, seat, DO_NOTHING, 0);
		rig_spin((uint64_t)i * 300);
		rig_terminate(&r);
	}
}
END_TEST

START_TEST(test_sleeps_when_idle)
{
	struct rig r;
	long before;

	rig_init(&r, 2);
	r.config.task_timeout_usec = 8000; /* looks every millisecond */
	rig_start_ready(&r, 2);
	rig_publish(&r, 0, DO_NOTHING, 0);
	await(&r, atomic_load(&r.board->is_dozing) == 1);
	before = cpu_usec(r.keeper);
	(void)poll(NULL, 0, 200);
	ck_assert_int_lt(cpu_usec(r.keeper) - before, 200);
	rig_terminate(&r);
}
END_TEST

UNIT_MAIN("pool keeper", test_starts_to_target, test_has_groups_but_no_session,
	  test_uses_no_channel_that_was_not_offered,
	  test_tells_how_a_worker_ended, test_recycles_in_place,
	  test_does_not_recycle_over_a_running_task, test_draws_limits,
	  test_bounds_recycling, test_kills_one_generation,
	  test_kills_the_stopped, test_notices_who_is_cut_off, test_closes,
	  test_recycles_while_closing, test_left_too_early,
	  test_no_successor_for_nothing, test_terminates_at_any_moment,
	  test_sleeps_when_idle)
