/* Deadlines.
 *
 * Nobody tells the keeper when a task begins: that would cost each task a
 * system call. So it looks at the rings, eight times in a task's time, and cuts
 * what it has seen unchanged for all of it: a task gets its full time, and at
 * most an eighth more. The word it saw (slot, use of the slot, item) is what it
 * changes by compare-and-swap: if that task has ended since, nothing happens to
 * the next one. A soft deadline is the same change to another state, which the
 * task can read, and from which it may still come to its end.
 *
 * What a task waits for room for its output, because the owner does not collect, is
 * not its time: such looks do not count.
 *
 * It looks only while there is something to see. After some looks at empty
 * rings it dozes, says so on the board, looks once more (the owner may have
 * published before it could read that), and sleeps until the owner rings.
 */
#include "workers/pool/keeper_room.h"

#include <signal.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"

#define LOOKS_PER_TASK 8
#define LOOK_MIN_USEC  UINT64_C(1000)
#define LOOK_MAX_USEC  UINT64_C(100000)
#define IDLE_LOOKS_MAX 8
/* How long a task may be stopped: who looks at it, or lets it go on, is quick. */
#define STOPPED_USEC UINT64_C(1000000)
/* A worker that waits for room says so each millisecond, when it has a CPU. */
#define ROOM_SILENCE_USEC UINT64_C(10000)

/* --- tasks ------------------------------------------------------------------- */

struct ring_sight keeper_look_at_ring(const struct channel *c, uint64_t hint)
{
	struct ring_sight sight = { .slot = hint };

	for (uint64_t i = hint; i < hint + c->n_slots; i++) {
		uint64_t word = atomic_load_explicit(&channel_slot(c, i)->word,
						     memory_order_acquire);
		unsigned state = slot_word_state(word);

		sight.is_queued |= state == SLOT_QUEUED;
		if (!is_running_state(state) && state != SLOT_CANCELLING)
			continue;
		sight.is_running = true;
		sight.slot = i;
		sight.word = word;
		break;
	}
	return sight;
}

static bool change_state(struct slot *slot, uint64_t word, enum slot_state to)
{
	return atomic_compare_exchange_strong(&slot->word, &word,
					      slot_word(to, slot_word_tag(word),
							slot_word_item(word)));
}

bool keeper_cut(struct slot *slot, uint64_t word)
{
	return is_running_state(slot_word_state(word)) &&
	       change_state(slot, word, SLOT_CANCELLING);
}

bool keeper_warn(struct slot *slot, uint64_t word)
{
	return slot_word_state(word) == SLOT_RUNNING &&
	       change_state(slot, word, SLOT_WARNED);
}

/* The worker that finds its word changed waits until the signal is sent. It goes
 * to the thread that runs the task, and no other. */
static bool warn(struct keeper *k, size_t i, struct slot *slot)
{
	struct channel_orders *orders = &k->seats[i].channel.memory->orders;
	struct worker *w = &k->workers[i];
	const uint64_t word = w->watch.word;

	if (slot_word_state(word) != SLOT_RUNNING)
		return false; /* it has been warned, and needs the mark */
	atomic_store(&orders->is_signalled, 0);
	if (!keeper_warn(slot, word))
		return false;
	w->watch.word = slot_word(SLOT_WARNED, slot_word_tag(word),
				  slot_word_item(word));
	if (k->config->soft_signal > 0)
		(void)tgkill(w->pid, w->pid, k->config->soft_signal);
	atomic_store(&orders->is_signalled, 1);
	atomic_fetch_add(&k->board->n_warned, 1);
	return true;
}

/* The same task is running, for so long. */
static void mind(struct keeper *k, size_t i, uint64_t usec)
{
	const struct keeper_config *config = k->config;
	const struct watch *watch = &k->workers[i].watch;
	struct slot *slot = channel_slot(&k->seats[i].channel, watch->slot);

	if (config->task_soft_timeout_usec > 0 &&
	    usec >= config->task_soft_timeout_usec && warn(k, i, slot))
		return;
	if (config->task_timeout_usec == 0 || usec < config->task_timeout_usec)
		return;
	keeper_describe(k, i); /* a task that is cut does something else */
	if (keeper_cut(slot, watch->word))
		keeper_kill(k, i, CAUSE_TIMEOUT);
	else
		k->board->seats[i].post_mortem[0] = '\0';
}

/* Does it wait until the owner has collected? Who does says so again and again:
 * one that only wrote over its memory has said so once. */
static bool is_waiting_for_room(const struct channel *c, struct watch *watch,
				uint64_t now_usec)
{
	uint32_t n = atomic_load(&c->memory->signs.n_waits);

	if (n != watch->n_waits) {
		watch->n_waits = n;
		watch->waits_usec = now_usec;
	}
	return n != 0 &&
	       usec_sub(now_usec, watch->waits_usec) <= ROOM_SILENCE_USEC;
}

/* Returns true when there is something to be watched. */
static bool look(struct keeper *k, size_t i)
{
	struct worker *w = &k->workers[i];
	const struct channel *c = &k->seats[i].channel;
	struct ring_sight sight = keeper_look_at_ring(c, w->watch.slot);
	uint64_t passed_usec = usec_sub(k->now_usec, w->watch.looked_usec);

	w->watch.slot = sight.slot;
	w->watch.looked_usec = k->now_usec;
	if (is_waiting_for_room(c, &w->watch, k->now_usec))
		w->watch.since_usec += passed_usec;
	if (sight.word != w->watch.word) {
		w->watch.word = sight.word;
		w->watch.since_usec = k->now_usec;
	} else if (sight.is_running) {
		mind(k, i, usec_sub(k->now_usec, w->watch.since_usec));
	}
	return sight.is_running || sight.is_queued;
}

static bool look_at_all(struct keeper *k)
{
	bool is_busy = false;

	for (size_t i = 0; i < k->n_seats; i++)
		if (k->workers[i].pid > 0 && k->workers[i].cause == CAUSE_OWN)
			is_busy |= look(k, i);
	return is_busy;
}

/* The shorter of the two deadlines; 0: there is none. */
static uint64_t least_timeout_usec(const struct keeper_config *c)
{
	return c->task_soft_timeout_usec > 0 ? c->task_soft_timeout_usec
					     : c->task_timeout_usec;
}

/* The next deadline of what it runs. */
static uint64_t due_usec(const struct keeper_config *c, const struct watch *w)
{
	uint64_t timeout_usec = slot_word_state(w->word) == SLOT_RUNNING
					? least_timeout_usec(c)
					: c->task_timeout_usec;

	return is_running_state(slot_word_state(w->word)) && timeout_usec > 0
		       ? usec_add(w->since_usec, timeout_usec)
		       : USEC_INFINITY;
}

static uint64_t next_look_usec(const struct keeper *k)
{
	uint64_t timeout_usec = least_timeout_usec(k->config);
	uint64_t next = MIN(MAX(timeout_usec / LOOKS_PER_TASK, LOOK_MIN_USEC),
			    LOOK_MAX_USEC);

	next = usec_add(k->now_usec, next);
	for (size_t i = 0; i < k->n_seats; i++) {
		const struct worker *w = &k->workers[i];

		if (w->pid > 0 && w->cause == CAUSE_OWN)
			next = MIN(next, due_usec(k->config, &w->watch));
	}
	return next;
}

static void watch_tasks(struct keeper *k)
{
	if (least_timeout_usec(k->config) == 0) {
		k->watch_usec = USEC_INFINITY;
		return;
	}
	if (k->now_usec < k->watch_usec)
		return;
	k->n_idle_looks = look_at_all(k) ? 0 : k->n_idle_looks + 1;
	if (k->n_idle_looks >= IDLE_LOOKS_MAX) {
		atomic_store(&k->board->is_dozing, 1);
		atomic_thread_fence(memory_order_seq_cst); /* as feed() */
		if (!look_at_all(k)) {
			k->watch_usec = USEC_INFINITY;
			return;
		}
		atomic_store(&k->board->is_dozing, 0);
		k->n_idle_looks = 0;
	}
	k->watch_usec = next_look_usec(k);
}

void keeper_watch_wake(struct keeper *k)
{
	if (k->watch_usec == USEC_INFINITY &&
	    atomic_load(&k->board->is_dozing) == 0) {
		k->n_idle_looks = 0;
		k->watch_usec = k->now_usec;
	}
}

/* --- starts, ends, lifelines ----------------------------------------------------------- */

static uint64_t start_due_usec(const struct keeper *k, const struct worker *w)
{
	return usec_add(w->started_usec, k->config->start_timeout_usec);
}

/* When the pool closes a worker has nothing to do but to go; one that is stopped,
 * or hangs in writing what it had buffered, would be waited for for ever. */
static uint64_t leave_due_usec(const struct keeper *k)
{
	return k->closing_usec == 0 || k->config->start_timeout_usec == 0
		       ? USEC_INFINITY
		       : usec_add(k->closing_usec,
				  k->config->start_timeout_usec);
}

static uint64_t stopped_due_usec(const struct worker *w)
{
	return w->stopped_usec == 0 ? USEC_INFINITY
				    : usec_add(w->stopped_usec, STOPPED_USEC);
}

/* Its task would never end. Who holds none is in nobody's way: what stands before
 * it is given to others. If we come late, we were stopped too, and whoever lets us
 * go on is about to do the same for it. */
static bool is_held_up(const struct keeper *k, size_t i)
{
	struct worker *w = &k->workers[i];
	uint64_t due_usec = stopped_due_usec(w);

	if (k->now_usec < due_usec)
		return false;
	if (!keeper_look_at_ring(&k->seats[i].channel, w->watch.slot)
		     .is_running)
		w->stopped_usec = 0;
	else if (k->now_usec - due_usec > STOPPED_USEC)
		w->stopped_usec = k->now_usec;
	else
		return true;
	return false;
}

/* Whose time is over, but for a task's? */
static bool choose_kill(const struct keeper *k, size_t i,
			enum seat_cause *ret_cause)
{
	const struct worker *w = &k->workers[i];

	if (w->cut_off_usec != 0 && k->now_usec >= w->cut_off_usec)
		*ret_cause = CAUSE_CUT_OFF;
	else if (!w->is_ready && k->config->start_timeout_usec > 0 &&
		 k->now_usec >= start_due_usec(k, w))
		*ret_cause = CAUSE_START;
	else if (k->now_usec >= leave_due_usec(k))
		*ret_cause = CAUSE_LEFT;
	else if (is_held_up(k, i))
		*ret_cause = CAUSE_STOPPED;
	else
		return false;
	return true;
}

static void watch_worker(struct keeper *k, size_t i)
{
	const struct channel_signs *signs = &k->seats[i].channel.memory->signs;
	struct worker *w = &k->workers[i];
	enum seat_cause cause;

	if (!w->is_ready)
		w->is_ready = atomic_load_explicit(&signs->phase,
						   memory_order_relaxed) !=
			      PHASE_STARTING;
	if (w->cause == CAUSE_OWN && choose_kill(k, i, &cause)) {
		keeper_describe(k, i);
		keeper_kill(k, i, cause);
	}
}

/* --- all of it ------------------------------------------------------------------- */

void keeper_watch(struct keeper *k)
{
	for (size_t i = 0; i < k->n_seats; i++)
		if (k->workers[i].pid > 0)
			watch_worker(k, i);
	keeper_leave(k);
	watch_tasks(k);
}

uint64_t keeper_watch_next_usec(const struct keeper *k)
{
	uint64_t next = k->watch_usec;

	for (size_t i = 0; i < k->n_seats; i++) {
		const struct worker *w = &k->workers[i];

		if (w->pid == 0 || w->cause != CAUSE_OWN)
			continue;
		if (w->cut_off_usec != 0)
			next = MIN(next, w->cut_off_usec);
		if (!w->is_ready && k->config->start_timeout_usec > 0)
			next = MIN(next, start_due_usec(k, w));
		next = MIN(next, leave_due_usec(k));
		next = MIN(next, stopped_due_usec(w));
	}
	return MIN(next, keeper_leave_next_usec(k));
}
