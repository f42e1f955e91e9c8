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
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/spin.h"
#include "workers/pool/arena.h"

/* While the output arena is full the owner is asked to collect, so often. */
#define ROOM_WAIT_MSEC 1

/* The keeper is about to send a signal, and says so next. */
#define SIGNAL_YIELDS	 100
#define SIGNAL_WAITS_MAX 20000 /* msec; it may be stopped for a while */

struct worker {
	struct channel channel;
	struct channel_orders *orders;
	struct channel_signs *signs;
	const struct worker_setup *setup;
	int bell_fd, lifeline_fd;
	int soft_signal; /* blocked, but in a task; 0: none */
	sigset_t soft_set;
	struct spin spin;
	uint64_t position; /* slots passed, of this channel */
	uint64_t n_run;	   /* items */
	bool is_due;	   /* the keeper was told */
	struct arena out;
	uint64_t first;	     /* position at which this process began */
	uint64_t first_mark; /* of the output arena, then */
	uint64_t *marks;     /* of the output arena, after each slot's task */
	uint64_t n_released;
	void *waste; /* for outputs that nobody wants */
	size_t waste_size;
};

/* What stands behind reeve_reply.internal. */
struct task {
	struct worker *worker;
	const struct slot *slot;
	bool is_fixed;	/* in a chunk the room is what it is */
	bool is_unused; /* and if there is none, nobody wants the output */
	bool is_over;	/* more output than fits was tried */
	bool has_message;
	uint32_t offset; /* of the output in the arena */
	_Alignas(16) unsigned char small[CHANNEL_INLINE_SIZE];
	_Alignas(16) unsigned char input[CHANNEL_INLINE_SIZE];
};

/* ---- waking and sleeping ----------------------------------------------------- */

static _Noreturn void leave_broken(struct worker *w)
{
	atomic_store(&w->signs->phase, PHASE_BROKEN);
	_exit(WORKER_EXIT_BROKEN);
}

static void ring(struct worker *w)
{
	static const uint64_t one = 1;

	if (write(w->bell_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		leave_broken(w); /* a task closed it: nobody would hear us */
}

/* The owner has asked to be woken: take the wish, then fulfil it. */
static void ring_if_wanted(struct worker *w)
{
	if (atomic_load_explicit(&w->orders->bell, memory_order_relaxed) &&
	    atomic_exchange(&w->orders->bell, 0))
		ring(w);
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

static bool is_something_there(const struct worker *w)
{
	unsigned state = head_state(w);

	return state == SLOT_QUEUED || state == SLOT_WITHDRAWN ||
	       atomic_load_explicit(&w->orders->closing,
				    memory_order_relaxed) != 0;
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

/* ---- output ------------------------------------------------------------------ */

/* Else it would wait for room for ever. */
static bool is_sound(const struct worker *w)
{
	uint64_t n = atomic_load(&w->orders->n_consumed);

	return w->position - n <= w->channel.n_slots &&
	       w->out.tail <= w->out.head &&
	       w->out.head - w->out.tail <= w->out.size;
}

static void release_consumed(struct worker *w)
{
	uint64_t n = atomic_load_explicit(&w->orders->n_consumed,
					  memory_order_acquire);

	if (n <= w->n_released)
		return;
	if (w->position - n > w->channel.n_slots)
		leave_broken(w); /* somebody wrote over one of them */
	w->n_released = n;
	if (n == w->first) /* all that its predecessors left there */
		arena_give_back(&w->out, w->first_mark);
	else if (n > w->first)
		arena_give_back(&w->out,
				w->marks[(n - 1) & (w->channel.n_slots - 1)]);
}

/* Waits for room: what is finished has to be collected first. */
static uint32_t take_output(struct worker *w, uint32_t size)
{
	uint32_t offset;

	release_consumed(w);
	while (!arena_take(&w->out, size, &offset)) {
		ring(w);
		(void)poll(NULL, 0, ROOM_WAIT_MSEC);
		release_consumed(w);
	}
	return offset;
}

/* An output that nobody wants is written all the same. */
static void grow_waste(struct worker *w, struct reeve_reply *reply, size_t size)
{
	void *p = size > w->waste_size ? realloc(w->waste, size) : w->waste;

	if (!p)
		return;
	if (size > w->waste_size)
		w->waste_size = size;
	w->waste = reply->data = p;
	reply->capacity = w->waste_size;
}

static void grow_in_arena(struct task *t, struct reeve_reply *reply,
			  size_t size)
{
	struct arena *out = &t->worker->out;

	if (reply->capacity > CHANNEL_INLINE_SIZE) /* for the second time */
		arena_undo(out,
			   out->head - arena_round((uint32_t)reply->capacity));
	t->offset = take_output(t->worker, (uint32_t)size);
	reply->data = t->worker->channel.out + t->offset;
	reply->capacity = size;
}

void *reeve_reply_reserve(struct reeve_reply *reply, size_t size)
{
	struct task *t = reply->internal;

	if (size > reply->capacity && size <= CHANNEL_PAYLOAD_MAX) {
		if (t->is_unused)
			grow_waste(t->worker, reply, size);
		else if (!t->is_fixed)
			grow_in_arena(t, reply, size);
	}
	if (size > reply->capacity) {
		t->is_over = true;
		errno = EMSGSIZE;
		return NULL;
	}
	reply->size = size;
	return reply->data;
}

int reeve_reply_error(struct reeve_reply *reply, int code, const char *format,
		      ...)
{
	struct task *t = reply->internal;
	char text[REEVE_MESSAGE_MAX];
	va_list ap;
	size_t len;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	len = strlen(text);
	if (t->is_fixed)
		len = MIN(len, reply->capacity);
	(void)reeve_reply_set(reply, text, len);
	t->has_message = true;
	return code;
}

/* The word is that of this task until its end. */
bool reeve_task_is_overdue(const struct reeve_reply *reply)
{
	const struct task *t = reply->internal;
	unsigned state = slot_word_state(atomic_load(&t->slot->word));

	return state == SLOT_WARNED || state == SLOT_CANCELLING;
}

/* ---- running ------------------------------------------------------------------ */

static reeve_task_fn *find_function(const struct worker *w, uint64_t function)
{
	const struct worker_setup *s = w->setup;

	if (!s->table)
		return (reeve_task_fn *)(uintptr_t)function;
	return function < s->n_table ? s->table[function].task : NULL;
}

/* Somebody was faster and will kill us: until then nothing is done. If it was
 * nobody, but a task that wrote over this slot, then the owner finds a worker
 * that sleeps in front of its tasks: engine_check(). */
static _Noreturn void wait_for_kill(struct worker *w)
{
	for (;;) {
		atomic_store(&w->signs->asleep, 1);
		(void)syscall(SYS_futex, &w->signs->asleep, FUTEX_WAIT, 1, NULL,
			      NULL, 0);
	}
}

/* The function, and it alone, may be interrupted by the soft signal. */
static int call(const struct worker *w, reeve_task_fn *fn, void *input,
		size_t size, struct reeve_reply *reply)
{
	int status;

	if (w->soft_signal == 0)
		return fn(input, size, reply);
	(void)pthread_sigmask(SIG_UNBLOCK, &w->soft_set, NULL);
	status = fn(input, size, reply);
	(void)pthread_sigmask(SIG_BLOCK, &w->soft_set, NULL);
	return status;
}

/* This task was told that its time is over. The signal may be still to come: it
 * is not for the next one. */
static void take_signal(struct worker *w)
{
	static const struct timespec at_once;

	if (w->soft_signal == 0)
		return;
	for (int n = 0; !atomic_load(&w->orders->is_signalled); n++) {
		if (n > SIGNAL_WAITS_MAX) /* the task wrote this word */
			leave_broken(w);
		(void)(n < SIGNAL_YIELDS ? sched_yield() : poll(NULL, 0, 1));
	}
	while (sigtimedwait(&w->soft_set, NULL, &at_once) < 0 && errno == EINTR)
		continue;
}

static void finish_item(struct worker *w, struct slot *slot, uint32_t tag,
			uint32_t item, uint32_t n_items)
{
	uint64_t word = slot_word(SLOT_RUNNING, tag, item);
	uint64_t next = item + 1 < n_items
				? slot_word(SLOT_RUNNING, tag, item + 1)
				: slot_word(SLOT_DONE, tag, n_items);

	if (atomic_compare_exchange_strong(&slot->word, &word, next))
		return;
	if (word != slot_word(SLOT_WARNED, tag, item))
		wait_for_kill(w);
	take_signal(w);
	if (!atomic_compare_exchange_strong(&slot->word, &word, next))
		wait_for_kill(w);
}

static void run_single(struct worker *w, struct slot *slot, uint32_t tag,
		       reeve_task_fn *fn)
{
	struct task t = { .worker = w, .slot = slot };
	struct reeve_reply reply = { t.small, sizeof(t.small), 0, &t };
	uint32_t size = slot->item_size;
	void *input = w->channel.in + slot->in_offset;
	int status;

	if (size <= CHANNEL_INLINE_SIZE)
		input = memcpy(t.input, slot->data, sizeof(t.input));
	status = call(w, fn, input, size, &reply);
	if (reply.size <= CHANNEL_INLINE_SIZE) /* wherever it lies now */
		memcpy(slot->data, reply.data,
		       reply.data == t.small ? sizeof(t.small) : reply.size);
	slot->out_offset = t.offset;
	slot->out_size = (uint32_t)reply.size;
	slot->status = t.is_over && status == 0 ? -EMSGSIZE : status;
	slot->flags = t.has_message ? SLOT_HAS_MESSAGE : 0;
	finish_item(w, slot, tag, 0, 1);
}

static void run_chunk(struct worker *w, struct slot *slot, uint32_t tag,
		      reeve_task_fn *fn)
{
	uint32_t n = slot->n_items, size = slot->item_size;
	uint32_t stride = slot->out_stride;
	struct task t = { .worker = w,
			  .slot = slot,
			  .is_fixed = true,
			  .is_unused = stride == 0 };
	unsigned char *input = w->channel.in + slot->in_offset, *output;
	struct chunk_item *items;

	if ((size_t)n * size <= CHANNEL_INLINE_SIZE)
		input = memcpy(t.input, slot->data, sizeof(t.input));
	slot->out_offset =
		take_output(w, (uint32_t)chunk_output_size(n, stride));
	items = (struct chunk_item *)(void *)(w->channel.out +
					      slot->out_offset);
	output = (unsigned char *)(items + n);
	for (uint32_t i = 0; i < n; i++) {
		struct reeve_reply reply = { output + (size_t)i * stride,
					     stride, 0, &t };

		int status =
			call(w, fn, input + (size_t)i * size, size, &reply);

		items[i].status = t.is_over && status == 0 ? -EMSGSIZE : status;
		items[i].size = (uint32_t)reply.size;
		t.is_over = false;
		finish_item(w, slot, tag, i, n);
	}
}

/* Claims and runs what is at the head, or skips it. */
static void take_task(struct worker *w)
{
	struct slot *slot = channel_slot(&w->channel, w->position);
	uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
	uint32_t tag = slot_word_tag(word);
	reeve_task_fn *fn;

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
		fn = find_function(w, slot->function);
		if (!fn)
			leave_broken(w);
		if (slot->n_items == 0)
			run_single(w, slot, tag, fn);
		else
			run_chunk(w, slot, tag, fn);
		w->n_run += slot->n_items ? slot->n_items : 1;
	} else {
		return;
	}
	w->marks[w->position & (w->channel.n_slots - 1)] = w->out.head;
	w->position++;
	count_finished(w);
}

/* ---- its life ------------------------------------------------------------------ */

/* Is it over? A chunk that would go beyond the limit is the successor's. */
static bool has_to_leave(struct worker *w)
{
	const struct slot *slot = channel_slot(&w->channel, w->position);
	uint64_t limit = w->orders->task_limit;

	if (head_state(w) != SLOT_QUEUED && head_state(w) != SLOT_WITHDRAWN &&
	    atomic_load(&w->orders->closing))
		return true;
	if (limit == 0 || w->n_run == 0)
		return false;
	if (w->n_run >= w->orders->task_due && !w->is_due) {
		w->is_due = true;
		if (write(w->lifeline_fd, "", 1) < 0)
			leave_broken(w);
	}
	if (w->is_due && atomic_load(&w->orders->may_leave))
		return true;
	return w->n_run >= limit || (head_state(w) == SLOT_QUEUED &&
				     w->n_run + slot->n_items > limit);
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
	int r;

	w->marks = calloc(w->channel.n_slots, sizeof(*w->marks));
	r = w->marks ? initialize(w) : -ENOMEM;
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
		.first = m->signs.position,
		.first_mark = m->signs.out_head,
		.out = { .size = CHANNEL_ARENA_SIZE,
			 .head = m->signs.out_head,
			 .tail = m->signs.out_tail },
	};

	spin_init(&w.spin, m->orders.spin_usec);
	if (!is_sound(&w)) /* a predecessor wrote over it */
		leave_broken(&w);
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
	atomic_store(&m->signs.phase, PHASE_LEAVING);
	return 0;
}
