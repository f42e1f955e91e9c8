/* Fuzzes the worker's reader of a channel: owner, keeper, a predecessor or a task
 * that strays may have written anything anywhere into what it shares, at any
 * moment.
 *
 * The real worker_main() runs here. Wherever it leaves its own code (a task, a
 * sleep, a look at the clock, the bell) the others have their turn, as the input
 * says: one byte says what, others with what. Header and arenas are blocks of
 * their own, so a sanitizer sees each byte beside them. The worker must end by
 * itself, as broken or in good order; where it only waits, it is killed, but in one
 * case, which would be a hang: a task that is the owner's waits for room though
 * the owner has collected all.
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/fuzz/script.h"
#include "workers/base/pure/macro.h"
#include "workers/base/sys/clock.h"
#include "workers/pool/arena.h"
#include "workers/pool/worker.h"

#define SLOTS	    4
#define PAYLOAD	    CHANNEL_PAYLOAD_UNIT
#define ARENA	    (2 * PAYLOAD)
#define TURN_MAX    32	/* steps in one turn */
#define BLOCKS_MAX  8	/* that a worker has and leaves to its end */
#define PATIENCE    64	/* looks for room after the owner's last word */
#define BELL_FD	    -77 /* no descriptors: write() is ours */
#define LIFELINE_FD -78

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fuzz {
	struct script script;
	struct keeper_seat seat;
	bool is_inside; /* worker_main(): else the wrapped are the real ones */
	bool is_killed;
	bool is_forged; /* somebody wrote over words, or over where it begins */
	bool is_altered; /* ... over what a slot says */
	bool has_rung, is_bell_closed, is_lifeline_closed;
	unsigned n_looks; /* for room, in a row */
	uint64_t now_usec;
	uint64_t head, tail; /* the owner's: what it collected, published */
	uint32_t in_head;
	int code;
	sigjmp_buf out;
	void *blocks[BLOCKS_MAX];
	volatile unsigned char sum; /* inputs are read to their last byte */
} fuzz;

static uint8_t take(void)
{
	return script_take(&fuzz.script);
}

/* Numbers near some bound more often than others. */
static uint32_t take_number(void)
{
	static const uint32_t bounds[] = {
		0,	    1,	   CHANNEL_INLINE_SIZE, ARENA_ALIGNMENT,
		PAYLOAD,    ARENA, UINT32_C(1) << 29,	UINT32_MAX,
		PAYLOAD / 8
	};
	uint8_t which = take();

	if (which >= 0x80)
		return (uint32_t)(which & 0x7f) << 8 | take();
	return bounds[which % ARRAY_SIZE(bounds)] + (which >> 4) - 3;
}

static struct channel_memory *memory(void)
{
	return fuzz.seat.channel.memory;
}

static struct slot *slot_at(uint64_t i)
{
	return channel_slot(&fuzz.seat.channel, i);
}

/* ---- what the others do ---------------------------------------------------- */

/* As port_publish(). */
static void publish(void)
{
	struct slot *slot = slot_at(fuzz.tail);
	uint8_t shape = take();
	uint32_t n = shape & 7, size = take_number() % (PAYLOAD / 8);

	if (fuzz.tail - fuzz.head >= SLOTS)
		return;
	slot->function = take() % 5;
	slot->n_items = n;
	slot->item_size = shape & 8 && n > 0 ? SLOT_SIZED : size;
	slot->out_stride = shape & 16 ? SLOT_LOOSE : take();
	slot->in_offset = fuzz.in_head + (shape & 32 ? take_number() : 0);
	for (uint32_t i = 0; slot->item_size == SLOT_SIZED && i < n; i++)
		((uint32_t *)(void *)(fuzz.seat.channel.in + fuzz.in_head))[i] =
			(size + i) % 512;
	fuzz.in_head = (fuzz.in_head + ARENA_ALIGNMENT) % (ARENA / 4);
	atomic_store(&slot->word,
		     slot_word(SLOT_QUEUED, (uint32_t)fuzz.tail + 1, 0));
	fuzz.tail++;
}

/* As engine_collect(). Returns whether there is one to wait for. */
static bool collect(void)
{
	while (fuzz.head != fuzz.tail) {
		uint64_t word = atomic_load(&slot_at(fuzz.head)->word);
		unsigned state = slot_word_state(word);

		if (slot_word_tag(word) != (uint32_t)fuzz.head + 1)
			return false;
		if (state != SLOT_DONE && state != SLOT_SKIPPED)
			return is_running_state(state);
		fuzz.head++;
	}
	return false;
}

static void scribble(unsigned char *bytes, size_t room)
{
	size_t at = ((size_t)take() << 8 | take()) % room, n = take();

	for (; n > 0 && at < room && fuzz.script.left > 0; n--)
		bytes[at++] = take();
}

static void scribble_head(void)
{
	fuzz.is_forged = true;
	scribble((unsigned char *)memory(),
		 sizeof(struct channel_memory) +
			 SLOTS * (sizeof(struct slot) + sizeof(uint64_t)));
}

static void set_word(void)
{
	struct slot *slot = slot_at(take());
	uint8_t state = take();
	uint32_t tag = slot_word_tag(atomic_load(&slot->word));

	fuzz.is_forged = true;
	tag += state >= 0xc0;
	atomic_store(&slot->word,
		     slot_word((enum slot_state)(state & 15), tag, take()));
}

/* The deadline of what runs, as keeper_warn() and keeper_cut(). */
static void pass_time(void)
{
	uint8_t to = take();

	for (unsigned i = 0; i < SLOTS; i++) {
		uint64_t word = atomic_load(&slot_at(i)->word);

		if (is_running_state(slot_word_state(word)))
			atomic_store(&slot_at(i)->word,
				     slot_word(to & 1 ? SLOT_CANCELLING
						      : SLOT_WARNED,
					       slot_word_tag(word),
					       slot_word_item(word)));
	}
	atomic_store(&memory()->orders.is_signalled, to >> 1 & 1);
}

static void set_field(void)
{
	struct slot *slot = slot_at(take());
	uint32_t *const fields[] = { &slot->n_items,	   &slot->item_size,
				     &slot->in_offset,	   &slot->out_stride,
				     &slot->result.offset, &slot->result.size };

	fuzz.is_altered = true;
	*fields[take() % ARRAY_SIZE(fields)] = take_number();
}

static void set_order(void)
{
	struct channel_orders *o = &memory()->orders;
	_Atomic uint32_t *const words[] = { &o->bell,
					    &o->closing,
					    &o->hurry,
					    &o->due,
					    &o->may_leave,
					    &o->is_signalled,
					    &memory()->signs.asleep };

	*words[take() % ARRAY_SIZE(words)] = take_number();
}

static void step(uint8_t what)
{
	switch (what % 12) {
	case 0:
	case 1:
		publish();
		break;
	case 2:
		(void)collect();
		atomic_store(&memory()->orders.n_consumed, fuzz.head);
		break;
	case 3:
		scribble_head();
		break;
	case 4:
		scribble(fuzz.seat.channel.in, ARENA);
		break;
	case 5:
		set_word();
		break;
	case 6:
	case 7:
		set_field();
		break;
	case 8:
		set_order();
		break;
	case 9:
		memory()->orders.n_consumed += take_number();
		memory()->orders.task_limit = take();
		break;
	case 10:
		pass_time();
		break;
	case 11:
		fuzz.is_bell_closed = what & 0x80;
		fuzz.is_lifeline_closed = what & 0x40;
		break;
	}
}

/* The owner's last word: port_repeat(), of a port that is closing. */
static void settle(void)
{
	struct channel_orders *o = &memory()->orders;

	atomic_store(&o->is_signalled, 1);
	atomic_store(&o->n_consumed, fuzz.head);
	atomic_store(&o->closing, 1);
	atomic_store(&o->hurry, 1);
}

/* Up to the end of the turn, which a byte says. Returns false when there will
 * be no other. */
static bool turn(void)
{
	for (int i = 0; i < TURN_MAX && fuzz.script.left > 0; i++) {
		uint8_t what = take();

		if (what % 13 == 12)
			break;
		step(what);
	}
	if (fuzz.script.left == 0)
		settle();
	return fuzz.script.left > 0;
}

static _Noreturn void kill_worker(void)
{
	fuzz.is_killed = true;
	siglongjmp(fuzz.out, 1);
}

/* ---- tasks ------------------------------------------------------------------- */

static unsigned char read_all(const unsigned char *p, size_t size)
{
	unsigned char sum = 0;

	for (size_t i = 0; i < size; i++)
		sum ^= p[i];
	fuzz.sum = sum;
	return sum;
}

/* An input that does not lie in a slot starts a cache line. */
static void check_input(const void *input, size_t size)
{
	for (unsigned i = 0; i < SLOTS && !fuzz.is_forged && !fuzz.is_altered;
	     i++)
		if (slot_word_state(atomic_load(&slot_at(i)->word)) ==
			    SLOT_RUNNING &&
		    slot_at(i)->n_items == 0 && size > CHANNEL_INLINE_SIZE)
			reeve_assert((uintptr_t)input % ARENA_ALIGNMENT == 0);
}

static void reserve(struct reeve_reply *reply)
{
	size_t size = take_number();
	void *p = reeve_reply_reserve(reply, size);

	reeve_assert(!p || (p == reply->data && reply->capacity >= size));
	if (p)
		memset(p, (int)size, size);
}

static int echo(void *input, size_t size, struct reeve_reply *reply)
{
	check_input(input, size);
	(void)read_all(input, size);
	(void)turn();
	return reeve_reply_set(reply, input, size);
}

static int produce(void *input, size_t size, struct reeve_reply *reply)
{
	int n = read_all(input, size) % 3;

	reserve(reply);
	(void)turn();
	for (; n > 0; n--)
		reserve(reply);
	return 0;
}

static int report(void *input, size_t size, struct reeve_reply *reply)
{
	int n = read_all(input, size);

	(void)reeve_task_progress(reply, 1, 2, "half");
	(void)turn();
	if (reeve_task_is_overdue(reply))
		return -ETIME;
	(void)reeve_task_progress(reply, 2, 2, NULL);
	return reeve_reply_error(reply, -EIO, "%*d", n, n);
}

static int initialize(void *arg _unused_, size_t size _unused_)
{
	return 0;
}

static const struct reeve_function table[] = { { "echo", echo, NULL },
					       { "produce", produce, NULL },
					       { "report", report, NULL },
					       { "init", NULL, initialize } };

/* ---- the world, in place of the system (-Wl,--wrap) ------------------------------ */

_Noreturn void __real__exit(int code);
_Noreturn void __wrap__exit(int code);
int __real_poll(struct pollfd *fds, nfds_t n, int msec);
int __wrap_poll(struct pollfd *fds, nfds_t n, int msec);
long __wrap_syscall(long number, ...);
ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);
int __wrap_sched_yield(void);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *ret_old);
int __wrap_sigtimedwait(const sigset_t *set, siginfo_t *ret,
			const struct timespec *timeout);
uint64_t __real_clock_monotonic_usec(void);
uint64_t __wrap_clock_monotonic_usec(void);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __real_free(void *p);
void __wrap_free(void *p);

_Noreturn void __wrap__exit(int code)
{
	if (!fuzz.is_inside)
		__real__exit(code);
	fuzz.code = code;
	siglongjmp(fuzz.out, 1);
}

/* For room, if it has rung for it; or for the signal of a deadline. */
int __wrap_poll(struct pollfd *fds, nfds_t n, int msec)
{
	if (!fuzz.is_inside)
		return __real_poll(fds, n, msec);
	reeve_assert(msec >= 0);
	if (turn() || !fuzz.has_rung)
		return 0;
	fuzz.n_looks++;
	if (!collect() || (fuzz.is_forged && fuzz.n_looks > PATIENCE))
		kill_worker(); /* engine_check() does it */
	reeve_assert(fuzz.n_looks <= PATIENCE);
	atomic_store(&memory()->orders.n_consumed, fuzz.head);
	return 0;
}

/* Its only one: the futex, on which it sleeps. */
long __wrap_syscall(long number, ...)
{
	bool was_over = fuzz.script.left == 0;

	reeve_assert(fuzz.is_inside && number == SYS_futex);
	if (was_over && memory()->orders.closing) /* it waits for its kill */
		kill_worker();
	(void)turn();
	return 0;
}

ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
	bool is_closed =
		fd == BELL_FD ? fuzz.is_bell_closed : fuzz.is_lifeline_closed;

	if (fd != BELL_FD && fd != LIFELINE_FD) /* an assertion's text */
		return __real_write(fd, bytes, size);
	reeve_assert(size == (fd == BELL_FD ? 8 : 1));
	fuzz.has_rung = fd == BELL_FD;
	if (!is_closed)
		return (ssize_t)size;
	errno = EBADF;
	return -1;
}

int __wrap_sched_yield(void)
{
	if (fuzz.is_inside)
		(void)turn();
	return 0;
}

int __wrap_pthread_sigmask(int how _unused_, const sigset_t *set _unused_,
			   sigset_t *ret_old _unused_)
{
	return 0;
}

int __wrap_sigtimedwait(const sigset_t *set _unused_, siginfo_t *ret _unused_,
			const struct timespec *timeout _unused_)
{
	errno = EAGAIN;
	return -1;
}

uint64_t __wrap_clock_monotonic_usec(void)
{
	return fuzz.is_inside ? fuzz.now_usec += 10
			      : __real_clock_monotonic_usec();
}

/* What it leaves to the end of its process is freed here. */
static void *keep(void *old, void *block)
{
	for (int i = 0; fuzz.is_inside && block && i < BLOCKS_MAX; i++)
		if (fuzz.blocks[i] == old) {
			fuzz.blocks[i] = block;
			break;
		}
	return block;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return keep(NULL, __real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t size)
{
	return keep(p, __real_realloc(p, size));
}

void __wrap_free(void *p)
{
	for (int i = 0; fuzz.is_inside && i < BLOCKS_MAX; i++)
		if (fuzz.blocks[i] == p)
			fuzz.blocks[i] = NULL;
	__real_free(p);
}

/* ---- one input ------------------------------------------------------------------- */

static void *block(void *old, size_t size)
{
	void *p = old;

	reeve_assert(p || posix_memalign(&p, 64, size) == 0);
	return memset(p, 0, size);
}

/* A predecessor's last n results. */
static void leave_behind(uint64_t position, uint32_t n)
{
	memory()->signs.position = fuzz.tail = position;
	fuzz.head = position - MIN(position, n);
	for (uint64_t i = fuzz.head; i < position; i++)
		atomic_store(&slot_at(i)->word,
			     slot_word(SLOT_DONE, (uint32_t)i + 1, 1));
	atomic_store(&memory()->orders.n_consumed, fuzz.head);
}

/* What owner, keeper and a predecessor, if there was one, left. */
static void begin(const uint8_t *data, size_t size)
{
	struct channel *c = &fuzz.seat.channel;
	struct channel_orders *o;
	struct channel_signs *signs;
	uint8_t how;

	c->memory = block(c->memory, sizeof(struct channel_memory) +
					     SLOTS * (sizeof(struct slot) +
						      sizeof(uint64_t)));
	c->in = block(c->in, ARENA); /* on cache lines, as in a mapping */
	c->out = block(c->out, ARENA);
	c->n_slots = SLOTS;
	c->payload_max = PAYLOAD;
	c->arena_size = ARENA;
	fuzz = (struct fuzz){
		.script = { data, size },
		.seat = { -1, BELL_FD, *c },
	};
	how = take();
	o = &memory()->orders;
	signs = &memory()->signs;
	o->spin_usec = how & 1 ? 20 : 0;
	o->soft_signal = how & 2 ? SIGUSR1 : 0;
	o->task_due = how & 4 ? 1 : UINT64_MAX;
	if (how & 8) /* where it ended, and what was not collected */
		leave_behind(take(), take() % (SLOTS + 1));
	if (how & 16) /* what it says of its outputs */
		signs->out_head = (uint64_t)take_number() << (take() % 64);
	if (how & 128)
		signs->out_head = -signs->out_head;
	if (how & 32)
		signs->out_tail = signs->out_head - take_number();
	if (how & 64) {
		fuzz.is_forged = true;
		scribble((unsigned char *)signs, sizeof(*signs));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct worker_setup setup = { .table = table,
				      .n_table = ARRAY_SIZE(table) };
	uint32_t phase;

	begin(data, size);
	fuzz.is_inside = true;
	if (sigsetjmp(fuzz.out, 0) == 0)
		fuzz.code = worker_main(&fuzz.seat, LIFELINE_FD, &setup);
	fuzz.is_inside = false;
	phase = atomic_load(&memory()->signs.phase);
	if (!fuzz.is_killed)
		reeve_assert(fuzz.code == WORKER_EXIT_BROKEN
				     ? phase == PHASE_BROKEN
				     : fuzz.code == 0 &&
					       phase == PHASE_LEAVING);
	for (int i = 0; i < BLOCKS_MAX; i++)
		free(fuzz.blocks[i]);
	return 0;
}
