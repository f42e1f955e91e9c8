/* A soft signal hits the item that it is meant for, or nobody. A real worker runs
 * items of about a microsecond; the test is its owner, and a keeper that warns at
 * the very moment at which they end, and is slow in between. Whenever the
 * signal is handled, the slot must still say that this item is warned.
 *
 * REEVE_SOAK=n warns a hundred thousand times n.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/rng.h"
#include "workers/pool/keeper_room.h"
#include "workers/pool/port.h"
#include "workers/pool/worker.h"

#define SLOTS	   8
#define CHUNK	   3
#define WARNINGS   5000
#define SOAK	   100000
#define LENGTH_MAX 400 /* turns of a loop */

/* What worker and test share beside the channel. */
struct shared {
	_Atomic uint64_t slot, word; /* who is warned: set before the signal */
	_Atomic uint64_t n_handled, n_wrong;
};

static struct shared *shared;
static struct channel channel; /* also the worker's */
static struct port port;
static struct rng dice;
static pid_t worker;
static uint64_t n_warned, n_done;

static void turn(uint64_t n)
{
	for (volatile uint64_t i = 0; i < n; i++)
		continue;
}

/* ---- the worker --------------------------------------------------------- */

static void on_signal(int signo _unused_)
{
	uint64_t word = atomic_load(
		&channel_slot(&channel, atomic_load(&shared->slot))->word);

	atomic_fetch_add(&shared->n_handled, 1);
	if (word != atomic_load(&shared->word))
		atomic_fetch_add(&shared->n_wrong, 1);
}

/* Blocks the signal at times, or leaves it blocked: no other item may notice. With
 * one CPU for both, nobody would see it running if it did not yield. */
static int work(void *input, size_t size _unused_, struct reeve_reply *reply)
{
	uint32_t n = *(const uint32_t *)input;
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR1);
	if (n % 8 == 1 || n % 8 == 3)
		(void)sigprocmask(SIG_BLOCK, &set, NULL);
	if (n % 4 == 3)
		(void)sched_yield();
	turn(n % 4 == 0 ? 32ULL * n : n);
	return reeve_reply_set(reply, &n, sizeof(n));
}

static _Noreturn void run_worker(int bell_fd)
{
	const struct keeper_seat seat = { .channel_fd = -1,
					  .bell_fd = bell_fd,
					  .channel = channel };
	struct worker_setup setup = { 0 };

	(void)sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = on_signal },
			NULL);
	_exit(worker_main(&seat, -1, &setup));
}

/* ---- the owner ---------------------------------------------------------- */

static void publish(void)
{
	uint32_t inputs[CHUNK];
	bool is_single = rng_below(&dice, 2) == 0;
	const struct piece piece = {
		.job = (struct job *)&port, /* somebody's */
		.n_items = is_single ? 1 : CHUNK,
		.item_size = sizeof(inputs[0]),
		.out_stride = is_single ? 0 : sizeof(inputs[0]),
		.is_single = is_single,
	};

	for (size_t i = 0; i < CHUNK; i++)
		inputs[i] = (uint32_t)rng_below(&dice, LENGTH_MAX);
	ck_assert_int_eq(port_publish(&port, &piece, (uintptr_t)work, inputs,
				      piece.n_items * sizeof(inputs[0])),
			 0);
}

static void call(void)
{
	struct channel_signs *signs = &channel.memory->signs;

	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_exchange(&signs->asleep, 0))
		(void)syscall(SYS_futex, &signs->asleep, FUTEX_WAKE, 1, NULL,
			      NULL, 0);
}

static void collect(void)
{
	struct port_output output;
	enum port_sight sight;

	while ((sight = port_look(&port, &output)) == SIGHT_DONE) {
		ck_assert_int_eq(output.items ? output.items[0].status
					      : output.status,
				 0);
		n_done += port_piece(&port, port.head)->n_items;
		port_advance(&port);
	}
	ck_assert_int_eq(sight, SIGHT_NOTHING);
	atomic_store(&channel.memory->orders.n_consumed, port.head);
}

/* ---- the keeper: as warn() of keeper_watch.c, with time in between ------ */

static void wait_a_little(uint64_t most)
{
	switch (rng_below(&dice, 4)) {
	case 0:
		(void)sched_yield();
		break;
	case 1:
		turn(rng_below(&dice, most * LENGTH_MAX));
		break;
	default:
		break;
	}
}

static void warn(uint64_t i, uint64_t word)
{
	struct channel_orders *orders = &channel.memory->orders;

	wait_a_little(2);
	atomic_store(&orders->is_signalled, 0);
	if (!keeper_warn(channel_slot(&channel, i), word))
		return;
	n_warned++;
	atomic_store(&shared->slot, i);
	atomic_store(&shared->word, slot_word(SLOT_WARNED, slot_word_tag(word),
					      slot_word_item(word)));
	wait_a_little(4);
	ck_assert_int_eq(tgkill(worker, worker, SIGUSR1), 0);
	wait_a_little(4);
	atomic_store(&orders->is_signalled, 1);
}

static void warn_whoever_runs(void)
{
	for (uint64_t i = port.head; i != port.tail; i++) {
		uint64_t word = atomic_load(&channel_slot(&channel, i)->word);

		if (slot_word_state(word) == SLOT_RUNNING) {
			warn(i, word);
			return;
		}
	}
}

/* ---- */

static void begin(int bell_fd)
{
	int fd = channel_new(&channel, SLOTS, CHANNEL_PAYLOAD_DEFAULT);

	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(port_init(&port, &channel, 50), 0);
	channel.memory->orders.soft_signal = SIGUSR1;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(shared != MAP_FAILED);
	ck_assert_int_eq(
		madvise(channel.memory, channel.size_bytes, MADV_DOFORK), 0);
	worker = fork();
	ck_assert_int_ge(worker, 0);
	if (worker == 0)
		run_worker(bell_fd);
}

static void end(void)
{
	int status;

	port_close(&port);
	call();
	ck_assert_int_eq(waitpid(worker, &status, 0), worker);
	ck_assert_int_eq(status, 0);
	port_done(&port);
}

START_TEST(test_hits_nobody_else)
{
	const char *soak = getenv("REEVE_SOAK");
	uint64_t n = soak ? strtoull(soak, NULL, 10) * SOAK : WARNINGS;
	int bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	dice.state = n;
	begin(bell_fd);
	while (n_warned < n && atomic_load(&shared->n_wrong) == 0) {
		while (port_load(&port) < SLOTS)
			publish();
		call();
		warn_whoever_runs();
		collect();
		if (rng_below(&dice, 16) == 0)
			(void)sched_yield();
	}
	end();
	printf("%lu items, %lu warned, %lu signals delivered, %lu wrong\n",
	       (unsigned long)n_done, (unsigned long)n_warned,
	       (unsigned long)shared->n_handled,
	       (unsigned long)shared->n_wrong);
	ck_assert_uint_eq(shared->n_wrong, 0);
	/* Some were in time, and some came too late and were taken. */
	ck_assert_uint_gt(shared->n_handled, 0);
	ck_assert_uint_lt(shared->n_handled, n_warned);
	(void)munmap(shared, sizeof(*shared));
	close(bell_fd);
}
END_TEST

UNIT_MAIN("pool_soft_race", test_hits_nobody_else)
