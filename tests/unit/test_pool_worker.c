/* worker.h: when the room of its outputs is free again. The owner is played by hand,
 * and never collects all, so that the worker's notes of each slot count. */
#include "workers/pool/worker.h"

#include <linux/futex.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/unit/engine_rig.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"

#define SLOTS	    8
#define OUTPUT_SIZE (CHANNEL_PAYLOAD_DEFAULT / 5 * 3) /* three, and no fourth */
#define DEADLINE    (10 * USEC_PER_SEC)

static int fill(void *input _unused_, size_t size _unused_,
		struct reeve_reply *reply)
{
	return reeve_reply_reserve(reply, OUTPUT_SIZE) ? 0 : -errno;
}

static int give_nothing(void *input _unused_, size_t size _unused_,
			struct reeve_reply *reply _unused_)
{
	return 0;
}

static struct {
	struct port port;
	int channel_fd;
	pid_t pid;
} worker;

static void start(void)
{
	struct keeper_seat seat = { .bell_fd = eventfd(0, EFD_NONBLOCK) };
	struct worker_setup setup = { .initializer = NULL };

	rig_port(&worker.port, &worker.channel_fd, SLOTS);
	worker.pid = fork();
	ck_assert_int_ge(worker.pid, 0);
	if (worker.pid == 0)
		_exit(channel_map(&seat.channel, worker.channel_fd) < 0
			      ? 99
			      : worker_main(&seat, seat.bell_fd, &setup));
	fd_close(seat.bell_fd);
}

static void wake(void)
{
	struct channel_signs *signs = &worker.port.channel.memory->signs;

	if (atomic_exchange(&signs->asleep, 0))
		(void)syscall(SYS_futex, &signs->asleep, FUTEX_WAKE, 1, NULL,
			      NULL, 0);
}

/* Closes, and returns its exit code. */
static int end(void)
{
	uint64_t limit = clock_monotonic_usec() + DEADLINE;
	siginfo_t info = { 0 };

	port_close(&worker.port);
	while (info.si_pid == 0 && clock_monotonic_usec() < limit) {
		wake();
		ck_assert_int_eq(waitid(P_PID, (id_t)worker.pid, &info,
					WEXITED | WNOHANG),
				 0);
		(void)poll(NULL, 0, 1);
	}
	ck_assert_int_eq(info.si_pid, worker.pid);
	port_done(&worker.port);
	fd_close(worker.channel_fd);
	return info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
}

static void publish(reeve_task_fn *fn, unsigned n)
{
	const struct piece piece = { .n_items = 1, .is_single = true };

	for (; n > 0; n--)
		ck_assert_int_eq(port_publish(&worker.port, &piece,
					      (uint64_t)(uintptr_t)fn, NULL, 0),
				 0);
	wake();
}

static bool is_done(uint64_t i)
{
	return slot_word_state(rig_word(&worker.port, i)) == SLOT_DONE;
}

static void await(uint64_t i)
{
	uint64_t limit = clock_monotonic_usec() + DEADLINE;

	while (!is_done(i) && clock_monotonic_usec() < limit)
		(void)poll(NULL, 0, 1);
	ck_assert(is_done(i));
}

/* Until it says, and says again, that it waits. */
static void await_waiting(void)
{
	_Atomic uint32_t *n = &worker.port.channel.memory->signs.n_waits;
	uint64_t limit = clock_monotonic_usec() + DEADLINE;
	uint32_t before = *n;

	while (*n - before < 2 && clock_monotonic_usec() < limit)
		(void)poll(NULL, 0, 1);
	ck_assert_uint_ge(*n - before, 2);
}

static void collect(uint64_t n)
{
	atomic_store(&worker.port.channel.memory->orders.n_consumed, n);
}

/* Three outputs are as much as there is room for; the fourth needs the first one's,
 * and no more. Tasks without output, before and between, do not matter. */
START_TEST(test_room_is_given_back)
{
	for (uint64_t n_small = 0; n_small < 2; n_small++) {
		start();
		publish(give_nothing, (unsigned)n_small);
		publish(fill, 1);
		publish(give_nothing, (unsigned)n_small);
		publish(fill, 3);
		await(2 * n_small + 2);
		await_waiting();
		collect(n_small); /* nothing with an output */
		await_waiting();
		ck_assert(!is_done(2 * n_small + 3));
		collect(n_small + 1);
		await(2 * n_small + 3);
		ck_assert_int_eq(end(), 0);
	}
}
END_TEST

/* A task may have written over the notes. Too low: what is free is known when all
 * has been collected. Too high: there is no going on. */
START_TEST(test_notes_written_over)
{
	for (int is_high = 0; is_high < 2; is_high++) {
		start();
		publish(fill, 4);
		await(2);
		await_waiting();
		for (uint64_t i = 0; i < 3; i++)
			*channel_mark(&worker.port.channel, i) =
				is_high ? UINT64_MAX : 0;
		collect(2);
		if (!is_high) {
			await_waiting();
			ck_assert(!is_done(3));
			collect(3);
			await(3);
		}
		ck_assert_int_eq(end(), is_high ? WORKER_EXIT_BROKEN : 0);
	}
}
END_TEST

UNIT_MAIN("pool_worker", test_room_is_given_back, test_notes_written_over)
