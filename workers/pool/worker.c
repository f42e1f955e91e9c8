/* The worker's loop. The order of things in a task:
 *
 *   claim    QUEUED -> RUNNING. Lost: it was withdrawn, and is skipped.
 *   run      the function, on its input; the output is in its place afterwards
 *   finish   RUNNING or WARNED -> DONE. Lost: somebody is about to kill this
 *            process, which waits for that.
 *   ring     if the owner sleeps and has asked for it
 *
 * Killed before "claim" nobody was blamed; between "claim" and "finish" this
 * task is what was running; after "finish" its result counts. There is no other
 * instruction at which something would be half done: the owner looks at nothing
 * of a slot but after DONE.
 */
#include "workers/pool/worker.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/pool/shares.h"
#include "workers/pool/worker_room.h"

/* No output arena is ever used so much that a mark of it gets there. */
#define MARK_MAX (UINT64_MAX / 2)

/* ---- waking and sleeping ----------------------------------------------------- */

void worker_leave_broken(struct worker *w)
{
	atomic_store(&w->signs->phase, PHASE_BROKEN);
	_exit(WORKER_EXIT_BROKEN);
}

void worker_ring(struct worker *w)
{
	static const uint64_t one = 1;

	if (write(w->bell_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		worker_leave_broken(
			w); /* a task closed it: nobody would hear us */
}

/* The owner has asked to be woken: take the wish, then fulfil it. */
static void ring_if_wanted(struct worker *w)
{
	if (atomic_load_explicit(&w->orders->bell, memory_order_relaxed) &&
	    atomic_exchange(&w->orders->bell, 0))
		worker_ring(w);
}

/* One more is finished: perhaps the one it waits for. */
static void count_finished(struct worker *w)
{
	uint32_t bell = atomic_load(&w->orders->bell);

	if (bell == 1)
		ring_if_wanted(w);
	else if (bell > 1) /* failed: the owner is awake and changed it */
		(void)atomic_compare_exchange_strong(&w->orders->bell, &bell,
						     bell - 1);
}

static unsigned head_state(const struct worker *w)
{
	return slot_word_state(atomic_load_explicit(
		&channel_slot(&w->channel, w->position)->word,
		memory_order_acquire));
}

/* Has it to ask for leave? The keeper wants it, or its tasks are nearly done. */
static bool is_due(const struct worker *w)
{
	const struct channel_orders *o = w->orders;
	uint32_t due = atomic_load(&o->due);

	return due == DUE_NOW ||
	       (w->n_run > 0 &&
		(due == DUE_AFTER_A_TASK ||
		 (o->task_limit > 0 && w->n_run >= o->task_due)));
}

/* It has to ask, or to go. */
static bool is_called_off(const struct worker *w)
{
	return w->has_asked ? atomic_load(&w->orders->may_leave) != 0
			    : is_due(w);
}

static bool is_something_there(const struct worker *w)
{
	unsigned state = head_state(w);

	return state == SLOT_QUEUED || state == SLOT_WITHDRAWN ||
	       atomic_load_explicit(&w->orders->closing,
				    memory_order_relaxed) != 0 ||
	       is_called_off(w);
}

static bool is_nothing_there(const void *arg)
{
	return !is_something_there(arg);
}

/* Until a slot is published, or the order to close is given. */
static void sleep_until_called(struct worker *w)
{
	ring_if_wanted(w);
	if (!spin_while(&w->spin, is_nothing_there, w))
		return;
	while (!is_something_there(w)) {
		atomic_store(&w->signs->asleep, 1);
		if (!is_something_there(w))
			(void)syscall(SYS_futex, &w->signs->asleep, FUTEX_WAIT,
				      1, NULL, NULL, 0);
		atomic_store(&w->signs->asleep, 0);
	}
	spin_slept(&w->spin);
}

/* Claims and runs what is at the head, or skips it. */
static void take_task(struct worker *w)
{
	struct slot *slot = channel_slot(&w->channel, w->position);
	uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
	uint32_t tag = slot_word_tag(word);

	if (slot_word_state(word) == SLOT_WITHDRAWN) {
		if (!atomic_compare_exchange_strong(&slot->word, &word,
						    slot_word(SLOT_SKIPPED, tag,
							      0)))
			return;
	} else if (slot_word_state(word) == SLOT_QUEUED) {
		if (!atomic_compare_exchange_strong(&slot->word, &word,
						    slot_word(SLOT_RUNNING, tag,
							      0)))
			return;
		w->n_run += worker_run(w, slot, tag);
	} else {
		return;
	}
	w->last_mark = w->out.head;
	*channel_mark(&w->channel, w->position) = w->last_mark;
	w->position++;
	count_finished(w);
}

/* ---- its life ------------------------------------------------------------------ */

static void ask_for_leave(struct worker *w)
{
	w->has_asked = true;
	if (write(w->lifeline_fd, "", 1) < 0)
		worker_leave_broken(w);
}

/* A chunk that would go beyond the limit is the successor's. */
static bool is_over_limit(const struct worker *w)
{
	const struct slot *slot = channel_slot(&w->channel, w->position);
	uint64_t limit = w->orders->task_limit;

	return limit > 0 && w->n_run > 0 &&
	       (w->n_run >= limit || (head_state(w) == SLOT_QUEUED &&
				      w->n_run + slot->n_items > limit));
}

/* Is it over? Whoever has leave does one task first if one is there: else a pool
 * whose workers are old at once would do nothing but replace them. */
static bool has_to_leave(struct worker *w)
{
	unsigned state = head_state(w);

	if (state != SLOT_QUEUED && state != SLOT_WITHDRAWN &&
	    atomic_load(&w->orders->closing))
		return true;
	if (!w->has_asked && is_due(w))
		ask_for_leave(w);
	if (w->has_asked && atomic_load(&w->orders->may_leave) &&
	    (w->n_run > 0 || state != SLOT_QUEUED))
		return true;
	return is_over_limit(w);
}

static int initialize(struct worker *w)
{
	const struct worker_setup *s = w->setup;
	void *argument = NULL;
	int r;

	if (!s->initializer)
		return 0;
	if (s->argument_size > 0) {
		argument = malloc(s->argument_size);
		if (!argument)
			return -ENOMEM;
		memcpy(argument, s->argument, s->argument_size);
	}
	r = s->initializer(argument, s->argument_size);
	free(argument);
	return r;
}

/* After the initializer, which may have threads: they have it as they like. */
static void block_soft_signal(struct worker *w)
{
	w->soft_signal = w->orders->soft_signal;
	if (w->soft_signal == 0)
		return;
	(void)sigemptyset(&w->soft_set);
	(void)sigaddset(&w->soft_set, w->soft_signal);
	(void)pthread_sigmask(SIG_BLOCK, &w->soft_set, NULL);
}

static int begin(struct worker *w)
{
	int r = initialize(w);

	if (r == 0) {
		block_soft_signal(w);
		atomic_store(&w->signs->phase, PHASE_READY);
		return 0;
	}
	atomic_store(&w->signs->init_status, r);
	(void)snprintf(w->signs->init_message, sizeof(w->signs->init_message),
		       "the initializer returned %d", r);
	atomic_store(&w->signs->phase, PHASE_INIT_FAILED);
	return r;
}

/* Else it would wait for room for ever, or put results where they do not go. */
static bool is_sound(const struct worker *w)
{
	uint64_t n = atomic_load(&w->orders->n_consumed);

	if (w->position == 0 && !arena_is_empty(&w->out))
		return false; /* who would have left anything there? */
	return w->position - n <= w->channel.n_slots &&
	       w->out.tail <= w->out.head && w->out.head <= MARK_MAX &&
	       w->out.head % ARENA_ALIGNMENT == 0 &&
	       w->out.head - w->out.tail <= w->out.size;
}

int worker_main(const struct keeper_seat *seat, int lifeline_fd, void *setup)
{
	struct channel_memory *m = seat->channel.memory;
	struct worker w = {
		.channel = seat->channel,
		.orders = &m->orders,
		.signs = &m->signs,
		.setup = setup,
		.bell_fd = seat->bell_fd,
		.lifeline_fd = lifeline_fd,
		.position = m->signs.position,
		.last_mark = m->signs.out_head,
		.out = { .size = seat->channel.arena_size,
			 .head = m->signs.out_head,
			 .tail = m->signs.out_tail },
	};

	spin_init(&w.spin, m->orders.spin_usec);
	if (!is_sound(&w)) /* a predecessor wrote over it */
		worker_leave_broken(&w);
	if (begin(&w) < 0)
		return WORKER_EXIT_INIT;
	while (!has_to_leave(&w))
		if (is_something_there(&w))
			take_task(&w);
		else
			sleep_until_called(&w);
	m->signs.position = w.position;
	m->signs.out_head = w.out.head;
	m->signs.out_tail = w.out.tail;
	shares_leave(w.setup->shares);
	atomic_store(&m->signs.phase, PHASE_LEAVING);
	return 0;
}
