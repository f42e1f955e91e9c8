/* A task in its worker: what it is given, the function, what it leaves.
 *
 * Outputs that do not fit into a slot lie in an arena, in the order of the tasks,
 * and are given back in that order, as the owner collects. While it is full the
 * worker waits for the owner.
 *
 * What was claimed is copied once and the copy is checked (tests/fuzz/fuzz_worker.c):
 * a predecessor on this channel, or a task that strays, may have written over it. It
 * then ends as broken, before anybody's memory is taken for an input.
 */
#include "workers/pool/worker_room.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"

/* While the output arena is full the owner is asked to collect, so often. */
#define ROOM_WAIT_MSEC 1

/* The keeper is about to send a signal, and says so next. */
#define SIGNAL_YIELDS	 100
#define SIGNAL_WAITS_MAX 20000 /* msec; it may be stopped for a while */

/* What stands behind reeve_reply.internal. */
struct task {
	struct worker *worker;
	const struct slot *slot;
	bool is_fixed;	/* in a chunk the room is what it is */
	bool is_unused; /* and if there is none, nobody wants the output */
	bool is_over;	/* more output than fits was tried */
	bool has_message;
	unsigned char *text; /* chunks: where to put one that is too long ... */
	uint32_t text_size;  /* ... for its room; 0: there is none */
	uint64_t reported_word, n_reports; /* of reeve_task_progress() */
	uint32_t offset;		   /* of the output in the arena */
	uint64_t mark;			   /* of the arena, before it */
	_Alignas(SLOT_ALIGNMENT) unsigned char small[CHANNEL_INLINE_SIZE];
};

/* What was claimed: a copy, whatever becomes of the slot. */
struct run {
	struct worker *worker;
	struct slot *slot;
	reeve_task_fn *fn;
	uint32_t tag;
	uint32_t n_items, item_size, out_stride;
	unsigned char *input; /* in the arena, if it is there */
	size_t input_room;    /* from there to the arena's end */
};

/* ---- output ------------------------------------------------------------------ */

/* Where the outputs of the first n slots, all collected, end. A mark may have been
 * written over: too high, and it cannot go on; too low, and the last one, which is
 * not there, will do when all is collected. */
static uint64_t mark_after(struct worker *w, uint64_t n)
{
	uint64_t mark = n == w->position ? w->last_mark
					 : *channel_mark(&w->channel, n - 1);

	if (mark > w->last_mark)
		worker_leave_broken(w);
	return mark;
}

static void release_consumed(struct worker *w)
{
	uint64_t n = atomic_load_explicit(&w->orders->n_consumed,
					  memory_order_acquire);

	if (n <= w->n_released)
		return;
	/* The task in hand came in a slot that was free; else somebody wrote
	 * over one, and room would be waited for in vain. */
	if (w->position - n >= w->channel.n_slots)
		worker_leave_broken(w);
	w->n_released = n;
	arena_give_back(&w->out, mark_after(w, n));
}

/* What is finished has to be collected first. */
static void wait_for_room(struct worker *w)
{
	atomic_fetch_add(&w->signs->n_waits, 1);
	worker_ring(w);
	(void)poll(NULL, 0, ROOM_WAIT_MSEC);
	release_consumed(w);
}

static uint32_t take_output(struct worker *w, size_t size)
{
	uint32_t offset;

	if (size > w->channel.payload_max)
		worker_leave_broken(w); /* somebody wrote over the slot */
	release_consumed(w);
	while (!arena_take(&w->out, (uint32_t)size, &offset))
		wait_for_room(w);
	return offset;
}

/* The largest output there may be fits behind what a chunk that began at mark has
 * taken: else its next item might wait for room that only its own end gives. */
static bool has_room_behind(const struct worker *w, uint64_t mark)
{
	return arena_would_fit(&w->out, mark, w->channel.payload_max);
}

/* For the results of n items of a loose chunk. */
static uint32_t take_results(struct worker *w, uint32_t n, uint64_t mark)
{
	size_t size = chunk_output_size(n, SLOT_LOOSE);
	uint32_t offset = take_output(w, size);

	while (!has_room_behind(w, mark)) { /* at the latest when it is empty */
		arena_undo(&w->out, mark);
		wait_for_room(w);
		offset = take_output(w, size);
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
		arena_undo(out, t->mark);
	t->mark = out->head;
	t->offset = take_output(t->worker, size);
	reply->data = t->worker->channel.out + t->offset;
	reply->capacity = size;
}

void *reeve_reply_reserve(struct reeve_reply *reply, size_t size)
{
	struct task *t = reply->internal;

	if (size > reply->capacity && size <= t->worker->channel.payload_max) {
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
	t->text_size = 0;
	t->has_message = true;
	if (t->is_unused || (t->is_fixed && len > reply->capacity)) {
		memcpy(t->text, text, len);
		t->text_size = (uint32_t)len;
		len = 0;
	}
	(void)reeve_reply_set(reply, text, len);
	return code;
}

/* The word is that of this task until its end. */
bool reeve_task_is_overdue(const struct reeve_reply *reply)
{
	const struct task *t = reply->internal;
	unsigned state = slot_word_state(atomic_load(&t->slot->word));

	return state == SLOT_WARNED || state == SLOT_CANCELLING;
}

int reeve_task_progress(const struct reeve_reply *reply, uint64_t done,
			uint64_t total, const char *text)
{
	struct task *t = reply->internal;
	struct worker *w = t->worker;
	uint64_t word = atomic_load(&t->slot->word);
	struct progress_note note = {
		.position = w->position,
		.word = slot_word(SLOT_FREE, slot_word_tag(word),
				  slot_word_item(word)),
		.progress = { .done = done, .total = total },
	};

	if (note.word != t->reported_word) /* another item of a chunk */
		t->n_reports = 0;
	t->reported_word = note.word;
	note.progress.n_reports = ++t->n_reports;
	if (text)
		memcpy(note.progress.text, text,
		       strnlen(text, REEVE_PROGRESS_MAX - 1));
	progress_write(&w->signs->progress, &note);
	return slot_word_state(word) == SLOT_WARNED ||
	       slot_word_state(word) == SLOT_CANCELLING;
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
			worker_leave_broken(w);
		(void)(n < SIGNAL_YIELDS ? sched_yield() : poll(NULL, 0, 1));
	}
	while (sigtimedwait(&w->soft_set, NULL, &at_once) < 0 && errno == EINTR)
		continue;
}

/* Item of what runs has come to its end, and with is_last all that runs. */
static void finish_item(const struct run *r, uint32_t item, bool is_last)
{
	_Atomic uint64_t *word = &r->slot->word;
	uint64_t seen = slot_word(SLOT_RUNNING, r->tag, item);
	uint64_t next =
		slot_word(is_last ? SLOT_DONE : SLOT_RUNNING, r->tag, item + 1);

	if (atomic_compare_exchange_strong(word, &seen, next))
		return;
	if (seen != slot_word(SLOT_WARNED, r->tag, item))
		wait_for_kill(r->worker);
	take_signal(r->worker);
	if (!atomic_compare_exchange_strong(word, &seen, next))
		wait_for_kill(r->worker);
}

/* Is something else to be done first? Then the owner hands out the rest of a chunk
 * again. */
static inline bool is_in_a_hurry(const struct worker *w)
{
	return atomic_load_explicit(&w->orders->hurry, memory_order_relaxed);
}

/* A task with an output of any size. */
static inline void run_one(const struct run *r, void *input, uint32_t size,
			   struct slot_result *result)
{
	struct task t = { .worker = r->worker, .slot = r->slot };
	struct reeve_reply reply = { t.small, sizeof(t.small), 0, &t };
	int status = call(r->worker, r->fn, input, size, &reply);

	if (reply.size <= CHANNEL_INLINE_SIZE) /* wherever it lies now */
		memcpy(result->data, reply.data,
		       reply.data == t.small ? sizeof(t.small) : reply.size);
	result->offset = t.offset;
	result->size = (uint32_t)reply.size;
	result->status = t.is_over && status == 0 ? -EMSGSIZE : status;
	result->flags = t.has_message ? SLOT_HAS_MESSAGE : 0;
}

static uint32_t run_single(const struct run *r)
{
	_Alignas(SLOT_ALIGNMENT) unsigned char small[CHANNEL_INLINE_SIZE];
	struct slot *slot = r->slot;
	void *input = r->input;

	if (r->item_size <= CHANNEL_INLINE_SIZE) /* where its output goes */
		input = memcpy(small, slot->result.data, sizeof(small));
	else if (r->item_size > r->input_room)
		worker_leave_broken(r->worker);
	run_one(r, input, r->item_size, &slot->result);
	finish_item(r, 0, true);
	return 1;
}

/* The inputs of a chunk, one after the other. */
struct inputs {
	struct worker *worker;
	unsigned char *next;
	size_t room; /* bytes from there to the end of what there is */
	const uint32_t *sizes; /* NULL: they stand close, and are all of */
	uint32_t size;
};

/* Returns where they are, and goes on behind them. */
static unsigned char *pass_input(struct inputs *in, size_t size)
{
	unsigned char *input = in->next;

	if (size > in->room)
		worker_leave_broken(in->worker);
	in->next += size;
	in->room -= size;
	return input;
}

static struct inputs inputs_of(const struct run *r, void *small)
{
	struct inputs in = { r->worker, r->input, r->input_room, NULL,
			     r->item_size };
	size_t n = r->n_items;

	if (in.size == SLOT_SIZED) {
		in.sizes = (const uint32_t *)(const void *)pass_input(
			&in, slot_align(n * sizeof(*in.sizes)));
	} else if (n * in.size <= CHANNEL_INLINE_SIZE) {
		in.next = memcpy(small, r->slot->result.data,
				 CHANNEL_INLINE_SIZE);
		in.room = CHANNEL_INLINE_SIZE;
	}
	return in;
}

static void *next_input(struct inputs *in, uint32_t i, uint32_t *ret_size)
{
	uint32_t size = in->sizes ? *(const volatile uint32_t *)&in->sizes[i]
				  : in->size;

	*ret_size = size;
	return pass_input(in, in->sizes ? slot_align(size) : size);
}

/* Each output lies where there is room. When there might be none for the next
 * one, the chunk ends, too. */
static uint32_t run_loose_chunk(const struct run *r)
{
	_Alignas(SLOT_ALIGNMENT) unsigned char small[CHANNEL_INLINE_SIZE];
	struct worker *w = r->worker;
	struct inputs in = inputs_of(r, small);
	uint32_t n = r->n_items, i = 0, size, offset;
	uint64_t mark = w->out.head;
	struct slot_result *results;
	bool is_last = false;

	r->slot->result.offset = offset = take_results(w, n, mark);
	results = (struct slot_result *)(void *)(w->channel.out + offset);
	for (; !is_last; i++) {
		void *input = next_input(&in, i, &size);

		run_one(r, input, size, &results[i]);
		is_last = i + 1 == n || is_in_a_hurry(w) ||
			  !has_room_behind(w, mark);
		finish_item(r, i, is_last);
	}
	return i;
}

/* Status and size of an item that failed, or tried to. What it wrote before it
 * failed without a text is none. Returns whether its text ends the chunk. */
_seldom_ static bool keep_failure(struct task *t, int status, size_t size,
				  struct chunk_item *item)
{
	bool is_text = t->has_message && status != 0;

	if (status == 0)
		status = t->is_over ? -EMSGSIZE : 0;
	item->status = status;
	item->size = status == 0 || is_text ? (uint32_t)size : 0;
	if (!is_text)
		t->text_size = 0;
	t->is_over = t->has_message = false;
	return t->text_size > 0;
}

/* The last item, which has a text that is for nobody else. */
static void tell_text(struct slot *slot, const struct task *t, uint32_t i)
{
	if (t->text_size == 0)
		return;
	slot->result.status = (int32_t)i;
	slot->result.size = t->text_size;
	slot->result.flags = SLOT_HAS_MESSAGE;
}

/* Outputs have their rooms. A text that has none ends the chunk. */
static uint32_t run_chunk(const struct run *r)
{
	_Alignas(SLOT_ALIGNMENT) unsigned char small[CHANNEL_INLINE_SIZE];
	struct worker *w = r->worker;
	struct inputs in = inputs_of(r, small);
	uint32_t n = r->n_items, stride = r->out_stride, i = 0, size, offset;
	struct task t = { .worker = w,
			  .slot = r->slot,
			  .is_fixed = true,
			  .is_unused = stride == 0 };
	struct chunk_item *items;
	unsigned char *output;

	r->slot->result.flags = 0;
	r->slot->result.offset = offset =
		take_output(w, chunk_output_size(n, stride));
	items = (struct chunk_item *)(void *)(w->channel.out + offset);
	output = (unsigned char *)(items + n);
	t.text = output + (size_t)n * stride;
	for (;; i++) {
		struct reeve_reply reply = { output + (size_t)i * stride,
					     stride, 0, &t };
		void *input = next_input(&in, i, &size);
		int status = call(w, r->fn, input, size, &reply);

		items[i] = (struct chunk_item){ 0, (uint32_t)reply.size };
		if ((status != 0 || t.is_over || t.has_message) &&
		    keep_failure(&t, status, reply.size, &items[i]))
			break;
		if (i + 1 == n || is_in_a_hurry(w))
			break;
		finish_item(r, i, false);
	}
	tell_text(r->slot, &t, i);
	finish_item(r, i, true);
	return i + 1;
}

/* Copies what the slot says. Returns false when it makes no sense. */
static bool read_slot(struct run *r)
{
	const volatile struct slot *slot = r->slot;
	const struct channel *c = &r->worker->channel;
	uint32_t offset = slot->in_offset;

	r->fn = find_function(r->worker, slot->function);
	r->n_items = slot->n_items;
	r->item_size = slot->item_size;
	r->out_stride = slot->out_stride;
	if (!r->fn || offset % ARENA_ALIGNMENT != 0 || offset > c->arena_size ||
	    r->n_items > c->payload_max / sizeof(struct chunk_item))
		return false;
	r->input = c->in + offset;
	r->input_room = c->arena_size - offset;
	return true;
}

uint32_t worker_run(struct worker *w, struct slot *slot, uint32_t tag)
{
	struct run r = { .worker = w, .slot = slot, .tag = tag };

	if (!read_slot(&r))
		worker_leave_broken(w);
	if (r.n_items == 0)
		return run_single(&r);
	return r.out_stride == SLOT_LOOSE ? run_loose_chunk(&r) : run_chunk(&r);
}
