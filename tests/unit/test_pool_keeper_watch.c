/* A deadline hits the task that is over it, and never another. */
#include "workers/pool/keeper.h"

#include "tests/unit/keeper_rig.h"
#include "workers/pool/keeper_room.h"

#define TIMEOUT_USEC (20 * USEC_PER_MSEC)

START_TEST(test_cuts_what_it_has_seen)
{
	const uint64_t others[] = {
		slot_word(SLOT_DONE, 7, 3),    slot_word(SLOT_RUNNING, 7, 4),
		slot_word(SLOT_RUNNING, 8, 3), slot_word(SLOT_FREE, 7, 3),
		slot_word(SLOT_QUEUED, 7, 3),
	};
	const uint64_t seen = slot_word(SLOT_RUNNING, 7, 3);
	struct slot slot = { .word = seen };

	ck_assert(keeper_cut(&slot, seen));
	ck_assert_uint_eq(slot.word, slot_word(SLOT_CANCELLING, 7, 3));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		slot.word = others[i];
		ck_assert(!keeper_cut(&slot, seen));
		ck_assert_uint_eq(slot.word, others[i]);
	}
	slot.word = slot_word(SLOT_QUEUED, 7, 3); /* is not running */
	ck_assert(!keeper_cut(&slot, slot.word));
	slot.word = slot_word(SLOT_WARNED, 7, 3);
	ck_assert(!keeper_cut(&slot, seen));
	ck_assert(keeper_cut(&slot, slot.word));
}
END_TEST

START_TEST(test_warns_whom_it_has_seen)
{
	const uint64_t others[] = {
		slot_word(SLOT_DONE, 7, 3),	  slot_word(SLOT_RUNNING, 7, 4),
		slot_word(SLOT_RUNNING, 8, 3),	  slot_word(SLOT_QUEUED, 7, 3),
		slot_word(SLOT_CANCELLING, 7, 3),
	};
	const uint64_t seen = slot_word(SLOT_RUNNING, 7, 3);
	struct slot slot = { .word = seen };

	ck_assert(keeper_warn(&slot, seen));
	ck_assert_uint_eq(slot.word, slot_word(SLOT_WARNED, 7, 3));
	ck_assert(!keeper_warn(&slot, slot.word)); /* once */
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		slot.word = others[i];
		ck_assert(!keeper_warn(&slot, seen));
		ck_assert_uint_eq(slot.word, others[i]);
	}
}
END_TEST

/* First told, with all that belongs to it; later cut. */
START_TEST(test_warns_and_then_cuts)
{
	const struct seat *seat;
	struct rig r;

	rig_init(&r, 1);
	r.config.task_soft_timeout_usec = TIMEOUT_USEC;
	r.config.task_timeout_usec = 4 * TIMEOUT_USEC;
	r.config.soft_signal = SIGURG; /* ignored, unless somebody wants it */
	rig_start_ready(&r, 1);
	rig_publish(&r, 0, DO_SPIN, 2 * TIMEOUT_USEC);
	await(&r, r.channels[0].memory->orders.is_signalled == 1);
	await(&r, rig_state(&r, 0, 0) == SLOT_DONE);
	ck_assert_uint_eq(seat_state(&r, 0), SEAT_LIVE);
	rig_publish(&r, 0, DO_HANG, 0);
	seat = rig_await_end(&r, 0);
	ck_assert_uint_eq(seat->cause, CAUSE_TIMEOUT);
	ck_assert_uint_eq(rig_state(&r, 0, 1), SLOT_CANCELLING);
	ck_assert_uint_eq(r.board->n_warned, 2);
	rig_terminate(&r);
}
END_TEST

/* Without a hard deadline it is told, and goes on for as long as it likes. */
START_TEST(test_warns_only)
{
	struct rig r;

	rig_init(&r, 1);
	r.config.task_soft_timeout_usec = 2000;
	rig_start_ready(&r, 1);
	rig_publish(&r, 0, DO_ITEMS, 3);
	channel_slot(&r.channels[0], 0)->out_stride = 100000;
	await(&r, rig_state(&r, 0, 0) == SLOT_DONE);
	ck_assert_uint_eq(r.board->n_warned, 3); /* each item */
	ck_assert_uint_eq(seat_state(&r, 0), SEAT_LIVE);
	await(&r, atomic_load(&r.board->is_dozing) == 1);
	rig_publish(&r, 0, DO_SPIN, 20000);
	await(&r, atomic_load(&r.board->n_warned) == 4);
	rig_terminate(&r);
}
END_TEST

START_TEST(test_cuts_what_hangs)
{
	const struct seat *seat;
	struct rig r;
	uint64_t began, took;

	rig_init(&r, 2);
	r.config.task_timeout_usec = TIMEOUT_USEC;
	rig_start_ready(&r, 1);
	rig_publish(&r, 0, DO_NOTHING, 0);
	began = clock_monotonic_usec(); /* or later: who knows when we run */
	rig_publish(&r, 0, DO_HANG, 0);
	rig_publish(&r, 0, DO_NOTHING, 0);
	seat = rig_await_end(&r, 0);
	took = clock_monotonic_usec() - began;
	ck_assert_uint_eq(seat->cause, CAUSE_TIMEOUT);
	ck_assert_int_eq(seat->exit_code, -SIGKILL);
	ck_assert_uint_ge(took, TIMEOUT_USEC);
	ck_assert_uint_eq(rig_state(&r, 0, 0), SLOT_DONE);
	ck_assert_uint_eq(rig_state(&r, 0, 1), SLOT_CANCELLING);
	ck_assert_uint_eq(rig_state(&r, 0, 2), SLOT_QUEUED);
	rig_terminate(&r);
}
END_TEST

START_TEST(test_cuts_the_stopped_and_its_family)
{
	struct rig r;

	rig_init(&r, 2);
	r.config.task_timeout_usec = 100 * TIMEOUT_USEC;
	rig_start_ready(&r, 2);
	rig_publish(&r, 0, DO_SIGNAL, SIGSTOP); /* which takes less time */
	rig_publish(&r, 1, DO_FAMILY, 0);
	ck_assert_uint_eq(rig_await_end(&r, 0)->cause, CAUSE_STOPPED);
	ck_assert_uint_eq(rig_await_end(&r, 1)->cause, CAUSE_TIMEOUT);
	await(&r, rig_count_gone(&r) == atomic_load(&r.shared->n_pids));
	ck_assert_int_eq(r.shared->n_pids, 5);
	rig_terminate(&r);
}
END_TEST

/* While it waits for room for output it is not cut; nor warned. What it says once,
 * and no more, helps for some milliseconds only. */
START_TEST(test_spares_who_waits_for_room)
{
	const uint64_t timeout_usec = 10 * TIMEOUT_USEC;
	_Atomic uint32_t *n_waits;
	uint64_t begun, stopped;
	struct rig r;

	rig_init(&r, 1);
	r.config.task_soft_timeout_usec = timeout_usec - 1;
	r.config.task_timeout_usec = timeout_usec;
	rig_start_ready(&r, 1);
	n_waits = &r.channels[0].memory->signs.n_waits;
	rig_publish(&r, 0, DO_HANG, 0);
	begun = clock_monotonic_usec();
	while (clock_monotonic_usec() - begun < 3 * timeout_usec) {
		atomic_fetch_add(n_waits, 1);
		(void)poll(NULL, 0, 1);
	}
	ck_assert_uint_eq(seat_state(&r, 0), SEAT_LIVE);
	ck_assert_uint_eq(r.board->n_warned, 0);
	stopped = clock_monotonic_usec();
	ck_assert_uint_eq(rig_await_end(&r, 0)->cause, CAUSE_TIMEOUT);
	/* when we had no CPU, nothing was said */
	ck_assert_uint_ge(clock_monotonic_usec() - stopped, timeout_usec / 2);
	rig_terminate(&r);
}
END_TEST

/* Each item has the whole time: a chunk may take much longer. */
START_TEST(test_counts_items)
{
	const struct seat *seat;
	struct rig r;
	uint64_t word;

	rig_init(&r, 2);
	r.config.task_timeout_usec = 10 * TIMEOUT_USEC;
	rig_start_ready(&r, 1);
	rig_publish(&r, 0, DO_ITEMS, 10);
	channel_slot(&r.channels[0], 0)->out_stride = 50000;
	await(&r, rig_state(&r, 0, 0) == SLOT_DONE);
	ck_assert_uint_eq(seat_state(&r, 0), SEAT_LIVE);

	rig_publish(&r, 0, DO_ITEMS, 3);
	await(&r, rig_state(&r, 0, 1) == SLOT_DONE);
	channel_slot(&r.channels[0], 2)->out_stride = 1000;
	rig_publish(&r, 0, DO_HANG, 0);
	seat = rig_await_end(&r, 0);
	ck_assert_uint_eq(seat->cause, CAUSE_TIMEOUT);
	word = atomic_load(&channel_slot(&r.channels[0], 2)->word);
	ck_assert_uint_eq(slot_word_state(word), SLOT_CANCELLING);
	ck_assert_uint_eq(slot_word_tag(word), 3);
	ck_assert_uint_eq(slot_word_item(word), 0);
	rig_terminate(&r);
}
END_TEST

static void check_was_due(const struct rig *r, size_t i, uint64_t at)
{
	uint64_t began_usec;

	memcpy(&began_usec, channel_slot(&r->channels[i], at)->result.data,
	       sizeof(began_usec));
	ck_assert_uint_ge(clock_monotonic_usec(),
			  began_usec + r->config.task_timeout_usec);
}

/* Tasks about as long as the deadline. Whoever is cut is exactly one, marked,
 * and not one that ended or had not begun. */
START_TEST(test_never_cuts_another)
{
	int n_cut = 0, n_done = 0;
	struct rig r;

	rig_init(&r, 2);
	r.config.task_timeout_usec = 3000;
	rig_start_ready(&r, 2);
	for (uint32_t round = 0; round < 150; round++) {
		size_t i = round % 2;
		int n_marked = 0;

		for (uint32_t n = 0; n < 6; n++)
			rig_publish(&r, i, DO_SPIN, 2600 + 150 * n);
		await(&r, seat_state(&r, i) == SEAT_ENDED ||
				  rig_state(&r, i, 5) == SLOT_DONE);
		for (uint64_t at = 0; at < 6; at++) {
			unsigned state = rig_state(&r, i, at);

			n_marked += state == SLOT_CANCELLING;
			if (state == SLOT_CANCELLING)
				check_was_due(&r, i, at);
			n_done += state == SLOT_DONE;
			if (n_marked > 0)
				ck_assert_uint_ne(state, SLOT_DONE);
			ck_assert_uint_ne(state, SLOT_RUNNING);
		}
		ck_assert_int_le(n_marked, 1);
		n_cut += n_marked;
		if (n_marked > 0) {
			ck_assert_uint_eq(rig_await_end(&r, i)->cause,
					  CAUSE_TIMEOUT);
		} else { /* all were done in time: nobody was killed */
			ck_assert_uint_eq(seat_state(&r, i), SEAT_LIVE);
			atomic_store(&r.board->seats[i].kill,
				     r.board->seats[i].generation);
			rig_ring(&r);
			(void)rig_await_end(&r, i);
		}
		rig_offer_again(&r, i);
		await(&r, seat_state(&r, i) == SEAT_LIVE);
	}
	ck_assert_int_gt(n_cut, 0);
	ck_assert_int_gt(n_done, 0);
	rig_terminate(&r);
}
END_TEST

/* An idle pool dozes; what is published then is watched all the same. */
START_TEST(test_wakes_from_dozing)
{
	struct rig r;

	rig_init(&r, 2);
	r.config.task_timeout_usec = 8000;
	rig_start_ready(&r, 2);
	for (int i = 0; i < 3; i++) {
		size_t seat = (size_t)i % 2;

		await(&r, atomic_load(&r.board->is_dozing) == 1);
		rig_publish(&r, seat, DO_HANG, 0);
		ck_assert_uint_eq(rig_await_end(&r, seat)->cause,
				  CAUSE_TIMEOUT);
		rig_offer_again(&r, seat);
	}
	rig_terminate(&r);
}
END_TEST

/* Published at the very moment at which it falls asleep. */
START_TEST(test_never_dozes_off_over_a_task)
{
	struct rig r;

	rig_init(&r, 1);
	r.config.task_timeout_usec = 8000;
	rig_start_ready(&r, 1);
	for (uint32_t i = 0; i < 40; i++) {
		await(&r, seat_state(&r, 0) == SEAT_LIVE);
		rig_publish(&r, 0, DO_NOTHING, 0);
		await(&r, rig_state(&r, 0, 0) == SLOT_DONE);
		rig_spin(7000 + i * 100); /* eight looks, then it dozes */
		rig_publish(&r, 0, DO_HANG, 0);
		ck_assert_uint_eq(rig_await_end(&r, 0)->cause, CAUSE_TIMEOUT);
		rig_offer_again(&r, 0);
	}
	rig_terminate(&r);
}
END_TEST

START_TEST(test_without_a_timeout_nothing_is_cut)
{
	struct rig r;

	rig_init(&r, 1);
	rig_start_ready(&r, 1);
	rig_publish(&r, 0, DO_SPIN, 200000);
	await(&r, rig_state(&r, 0, 0) == SLOT_DONE);
	ck_assert_uint_eq(r.board->is_dozing, 0);
	rig_terminate(&r);
}
END_TEST

UNIT_MAIN("pool keeper watch", test_cuts_what_it_has_seen,
	  test_warns_whom_it_has_seen, test_warns_and_then_cuts,
	  test_warns_only, test_spares_who_waits_for_room, test_cuts_what_hangs,
	  test_cuts_the_stopped_and_its_family, test_counts_items,
	  test_never_cuts_another, test_wakes_from_dozing,
	  test_never_dozes_off_over_a_task,
	  test_without_a_timeout_nothing_is_cut)
