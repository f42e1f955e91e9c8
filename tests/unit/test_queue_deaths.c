/* Queues whose users are killed: at each single instruction of put and get, and
 * at random, while others go on. Every message is got exactly once, or was the
 * dead one's.
 */
#include "tests/unit/queue_rig.h"
#include "tests/unit/step_rig.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>

#include "workers/base/pure/rng.h"
#include "workers/shared/region.h"

static bool is_soak(void)
{
	return getenv("REEVE_SOAK") != NULL;
}

/* ---- at each instruction -------------------------------------------------------- */

#define STRIDE 37 /* instructions between two kills, when there is no time */

/* Lets a child run fn for n instructions. Returns its status. */
static int step(int (*fn)(reeve_queue *q), reeve_queue *q, long n,
		pid_t *ret_pid)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		(void)raise(SIGSTOP);
		_exit(fn(q));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	for (; n > 0 && WIFSTOPPED(status); n--)
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0 ||
		    waitpid(pid, &status, 0) != pid)
			ck_abort_msg("cannot step");
	*ret_pid = pid;
	return status;
}

/* The same, and kills it. Returns whether it was still in it. */
static bool kill_after(int (*fn)(reeve_queue *q), reeve_queue *q, long n)
{
	pid_t pid;
	int status = step(fn, q, n, &pid);

	if (!WIFSTOPPED(status)) {
		ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		return false;
	}
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	while (WIFSTOPPED(status))
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return true;
}

static int put_two(reeve_queue *q)
{
	const uint64_t message[] = { 2, 22, 222 };

	return reeve_queue_put(q, message, sizeof(message), REEVE_FOREVER);
}

static int get_first(reeve_queue *q)
{
	uint64_t n;
	int r = reeve_queue_get(q, &n, sizeof(n), REEVE_FOREVER, NULL);

	return r < 0 || n != 1;
}

/* What a put that was cut off left: 1, perhaps the whole of 2, and room. */
static void check_put(reeve_queue *q)
{
	uint64_t message[3] = { 0 };
	size_t size = 0;
	int r;

	put_number(q, 3);
	ck_assert_uint_eq(get_number(q), 1);
	r = reeve_queue_get(q, message, sizeof(message), 0, &size);
	ck_assert_int_eq(r, 0);
	if (size == sizeof(message)) {
		ck_assert_uint_eq(message[0] + message[1] + message[2], 246);
		message[0] = get_number(q);
	}
	ck_assert_uint_eq(message[0], 3);
}

/* What a get that was cut off left: 2, behind 1 or not. */
static void check_get(reeve_queue *q)
{
	uint64_t n = get_number(q);

	if (n == 1)
		n = get_number(q);
	ck_assert_uint_eq(n, 2);
	put_number(q, 3);
	ck_assert_uint_eq(get_number(q), 3);
}

static void each_step(int (*fn)(reeve_queue *q), void (*check)(reeve_queue *),
		      bool is_polled, bool is_heard)
{
	long stride = is_soak() ? 1 : STRIDE * STEP_FACTOR, n = 0;
	reeve_queue *q = new_queue(0, 128);
	uint64_t begin;
	char c;
	bool was_in;

	if (is_polled)
		(void)reeve_queue_poll_fd(q);
	do {
		put_number(q, 1);
		if (check == check_get)
			put_number(q, 2);
		if (is_heard) {
			(void)bell_listen(&q->memory->not_empty);
			(void)bell_listen(&q->memory->not_full);
		}
		was_in = kill_after(fn, q, n);
		begin = clock_monotonic_usec();
		check(q);
		ck_assert_uint_lt(clock_monotonic_usec() - begin, 100000);
		ck_assert_int_eq(reeve_queue_get(q, &c, 1, 0, NULL), -EAGAIN);
		n += stride;
	} while (was_in);
	ck_assert_int_gt(n, 100);
	unit_count((unsigned long)(n / stride), "kills");
	reeve_queue_free(q);
}

START_TEST(test_killed_in_put)
{
	each_step(put_two, check_put, false, false);
	each_step(put_two, check_put, true, true);
}
END_TEST

START_TEST(test_killed_in_get)
{
	each_step(get_first, check_get, false, false);
	each_step(get_first, check_get, true, true);
}
END_TEST

static int get_nothing(reeve_queue *q)
{
	return reeve_queue_get(q, NULL, 0, 0, NULL) != -EAGAIN;
}

/* A message comes at each instruction of a get that finds nothing and empties the
 * eventfd: who polls sees it. */
START_TEST(test_poll_at_each_step)
{
	reeve_queue *q = new_queue(0, 0);
	struct pollfd p = { .fd = reeve_queue_poll_fd(q), .events = POLLIN };
	long stride = is_soak() ? 1 : 3 * STEP_FACTOR, n = 0;
	bool was_in;
	int status;
	pid_t pid;

	do {
		ck_assert_int_eq(reeve_queue_put(q, "", 0, 0), 0);
		ck_assert_int_eq(reeve_queue_get(q, NULL, 0, 0, NULL), 0);
		status = step(get_nothing, q, n, &pid);
		ck_assert_int_eq(reeve_queue_put(q, "", 0, 0), 0);
		was_in = WIFSTOPPED(status);
		if (was_in) {
			(void)ptrace(PTRACE_CONT, pid, NULL, NULL);
			(void)end_of(pid);
		}
		if (reeve_queue_qsize(q) > 0)
			ck_assert_msg(poll(&p, 1, 0) == 1, "at %ld", n);
		(void)reeve_queue_get(q, NULL, 0, 0, NULL);
		n += stride;
	} while (was_in);
	ck_assert_int_gt(n, 100);
	reeve_queue_free(q);
}
END_TEST

/* The same get is killed then: the next put calls who polls. */
START_TEST(test_poll_after_each_death)
{
	reeve_queue *q = new_queue(0, 0);
	struct pollfd p = { .fd = reeve_queue_poll_fd(q), .events = POLLIN };
	long stride = is_soak() ? 1 : 3 * STEP_FACTOR, n = 0;

	do {
		ck_assert_int_eq(reeve_queue_put(q, "", 0, 0), 0);
		ck_assert_int_eq(reeve_queue_get(q, NULL, 0, 0, NULL), 0);
		if (!kill_after(get_nothing, q, n))
			break;
		ck_assert_int_eq(reeve_queue_put(q, "", 0, 0), 0);
		ck_assert_msg(poll(&p, 1, 0) == 1, "at %ld", n);
		while (reeve_queue_get(q, NULL, 0, 0, NULL) == 0)
			;
		n += stride;
	} while (true);
	ck_assert_int_gt(n, 100);
	unit_count((unsigned long)(n / stride), "kills");
	reeve_queue_free(q);
}
END_TEST

static int put_nothing(reeve_queue *q)
{
	return reeve_queue_put(q, NULL, 0, 0);
}

/* The queue is emptied at each instruction of a put: who polls it afterwards, and
 * finds nothing, is not called again for it. */
START_TEST(test_calm_at_each_step)
{
	reeve_queue *q = new_queue(0, 0);
	struct pollfd p = { .fd = reeve_queue_poll_fd(q), .events = POLLIN };
	long stride = is_soak() ? 1 : 3 * STEP_FACTOR, n = 0;
	bool was_in;
	int status;
	pid_t pid;

	do {
		status = step(put_nothing, q, n, &pid);
		while (reeve_queue_qsize(q) > 0)
			ck_assert_int_eq(reeve_queue_get(q, NULL, 0, 0, NULL),
					 0);
		(void)reeve_queue_get(q, NULL, 0, 0, NULL);
		was_in = WIFSTOPPED(status);
		if (was_in) {
			(void)ptrace(PTRACE_CONT, pid, NULL, NULL);
			(void)end_of(pid);
		}
		(void)reeve_queue_get(q, NULL, 0, 0, NULL);
		if (reeve_queue_get(q, NULL, 0, 0, NULL) == -EAGAIN)
			ck_assert_msg(poll(&p, 1, 0) == 0, "at %ld", n);
		n += stride;
	} while (was_in);
	ck_assert_int_gt(n, 100);
	reeve_queue_free(q);
}
END_TEST

/* ---- at random ---------------------------------------------------------------------- */

#define LIVES	      512 /* of producers, those of killed ones included */
#define LIFE_PUTS     8192
#define SIDE	      4
#define PAYLOAD_MAX   3000
#define MESSAGE_LEAST offsetof(struct message, payload)

struct message {
	uint32_t life, number; /* number: from 1 */
	uint64_t sum;
	unsigned char payload[PAYLOAD_MAX];
};

struct books {
	_Atomic uint32_t n_lives;
	_Atomic uint32_t n_wrong;
	_Atomic uint32_t told[LIVES];	       /* put returned 0 for these */
	_Atomic uint8_t got[LIVES][LIFE_PUTS]; /* how often */
};

static struct books *books;

static uint64_t sum_of(const struct message *m, size_t size)
{
	uint64_t sum = ((uint64_t)m->life << 32 | m->number) * 31 + size;

	for (size_t i = 0; i < size - MESSAGE_LEAST; i++)
		sum = sum * 31 + m->payload[i];
	return sum;
}

static int produce(reeve_queue *q)
{
	struct message m = { .life = atomic_fetch_add(&books->n_lives, 1) };
	struct rng rng;
	size_t size;
	int r = 0;

	if (m.life >= LIVES)
		return 0;
	rng = (struct rng){ m.life + 1 };
	memset(m.payload, (int)m.life, sizeof(m.payload));
	while (r == 0 && m.number + 1 < LIFE_PUTS) {
		m.number++;
		size = MESSAGE_LEAST +
		       (rng_below(&rng, 8) ? 8 : rng_below(&rng, PAYLOAD_MAX));
		m.payload[0] = (unsigned char)m.number;
		m.sum = sum_of(&m, size);
		r = reeve_queue_put(q, &m, size, REEVE_FOREVER);
		if (r == 0)
			atomic_store(&books->told[m.life], m.number);
	}
	return r != 0 && r != -EPIPE;
}

static bool is_right(const struct message *m, size_t size)
{
	return size >= MESSAGE_LEAST && m->life < LIVES &&
	       m->number < LIFE_PUTS && m->sum == sum_of(m, size);
}

static int consume(reeve_queue *q)
{
	static uint32_t last[LIVES]; /* this process's */
	struct message m;
	size_t size;
	int r;

	while (r = reeve_queue_get(q, &m, sizeof(m), REEVE_FOREVER, &size),
	       r == 0) {
		if (!is_right(&m, size) || m.number <= last[m.life]) {
			atomic_fetch_add(&books->n_wrong, 1);
			continue;
		}
		last[m.life] = m.number; /* FIFO per producer */
		atomic_fetch_add(&books->got[m.life][m.number], 1);
	}
	return r != -EPIPE;
}

/* Every message that put said is there was got once, but for at most one per
 * consumer that was killed; what put did not say so of, at most once. */
static void check_ledger(unsigned n_killed_consumers)
{
	unsigned n_missing = 0, n_twice = 0, n_early = 0, n = 0;

	for (uint32_t life = 0; life < LIVES; life++) {
		uint32_t told = atomic_load(&books->told[life]);

		for (uint32_t i = 1; i < LIFE_PUTS; i++) {
			uint8_t got = atomic_load(&books->got[life][i]);

			n += got;
			n_twice += got > 1;
			n_missing += got == 0 && i <= told;
			n_early += got > 0 && i > told + 1;
		}
	}
	ck_assert_uint_eq(atomic_load(&books->n_wrong), 0);
	ck_assert_uint_eq(n_twice, 0);
	ck_assert_uint_eq(n_early, 0);
	ck_assert_uint_le(n_missing, n_killed_consumers);
	ck_assert_uint_gt(n, 0);
	unit_count(n, "messages");
}

struct crew {
	reeve_queue *q;
	pid_t pids[2 * SIDE]; /* producers, then consumers */
	int n_producers, n;
	struct rng rng;
	unsigned n_killed[2];
};

static void start(struct crew *c, int i)
{
	c->pids[i] = child_of(i < c->n_producers ? produce : consume, c->q);
}

/* Kills one after a moment, and starts another in its place. */
static void kill_one(struct crew *c)
{
	struct timespec moment = { 0, (long)rng_below(&c->rng, 3000000) };
	int i = (int)rng_below(&c->rng, (uint64_t)c->n);

	(void)ppoll(NULL, 0, &moment, NULL);
	ck_assert_int_eq(kill(c->pids[i], SIGKILL), 0);
	(void)end_of(c->pids[i]);
	c->n_killed[i >= c->n_producers]++;
	start(c, i);
}

static void random_kills(int n_producers, int n_consumers, unsigned n_kills)
{
	struct crew c = { .q = new_queue(64, 16384),
			  .n_producers = n_producers,
			  .n = n_producers + n_consumers };

	books = mmap(NULL, sizeof(*books), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(books, MAP_FAILED);
	c.rng = (struct rng){ clock_monotonic_usec() };
	for (int i = 0; i < c.n; i++)
		start(&c, i);
	for (unsigned i = 0; i < n_kills; i++)
		kill_one(&c);
	ck_assert_int_eq(reeve_queue_close(c.q), 0);
	for (int i = 0; i < c.n; i++)
		ck_assert_int_eq(end_of(c.pids[i]), 0);
	check_ledger(c.n_killed[1]);
	unit_count(n_kills, "kills");
	(void)munmap(books, sizeof(*books));
	reeve_queue_free(c.q);
}

START_TEST(test_random_kills)
{
	unsigned n_kills = is_soak() ? 300 : 40;

	for (int again = is_soak() ? 4 : 0; again > 0; again--)
		random_kills(SIDE, SIDE, n_kills);
	for (int p = 1; p <= SIDE; p += is_soak() ? 1 : SIDE - 1)
		for (int c = 1; c <= SIDE; c += is_soak() ? 1 : SIDE - 1)
			random_kills(p, c, n_kills);
}
END_TEST

/* ---- the sleepers' bell ----------------------------------------------------------------- */

static int sleep_on_it(reeve_queue *q)
{
	char c;

	return reeve_queue_get(q, &c, 1, REEVE_FOREVER, NULL);
}

/* Who is killed asleep costs the next ring its system calls, and no more. */
START_TEST(test_dead_sleepers_are_forgotten)
{
	reeve_queue *q = new_queue(0, 0);
	pid_t pid = child_of(sleep_on_it, q);

	while (!(atomic_load(&q->memory->not_empty.word) & BELL_HEARD))
		;
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(end_of(pid), -SIGKILL);
	ck_assert(atomic_load(&q->memory->not_empty.word) & BELL_HEARD);
	put_number(q, 1);
	ck_assert(!(atomic_load(&q->memory->not_empty.word) & BELL_HEARD));
	ck_assert_uint_eq(get_number(q), 1);
	reeve_queue_free(q);
}
END_TEST

/* The producer was killed before it rang: the message is found all the same. */
START_TEST(test_ring_that_never_came)
{
	reeve_queue *q = new_queue(0, 0);
	uint64_t begin = clock_monotonic_usec(), tail;
	pid_t pid = child_of(sleep_on_it, q);
	uint64_t header = 1;

	while (!(atomic_load(&q->memory->not_empty.word) & BELL_HEARD))
		;
	memcpy(q->ring, &header, sizeof(header)); /* one byte, as put does */
	tail = queue_end(1, 2);
	atomic_store(&q->memory->tail, tail);
	ck_assert_int_eq(end_of(pid), 0);
	ck_assert_uint_lt(clock_monotonic_usec() - begin, 3 * REGION_LOOK_USEC);
	reeve_queue_free(q);
}
END_TEST

/* ---- who is stopped ------------------------------------------------------------------------ */

static int hold_put_lock(reeve_queue *q)
{
	(void)latch_lock(&q->memory->put_lock, UINT64_MAX);
	(void)raise(SIGSTOP);
	return 0;
}

/* Timeouts are kept while the holder of the lock is stopped; when it is killed,
 * it goes on at once. */
START_TEST(test_stopped_holder)
{
	reeve_queue *q = new_queue(0, 0);
	pid_t pid = child_of(hold_put_lock, q);
	int status;

	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	ck_assert_int_eq(reeve_queue_put(q, "", 1, 20000), -ETIMEDOUT);
	ck_assert_int_eq(reeve_queue_put(q, "", 1, 0), -ETIMEDOUT);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(end_of(pid), -SIGKILL);
	ck_assert_int_eq(reeve_queue_put(q, "", 1, 0), 0);
	reeve_queue_free(q);
}
END_TEST

UNIT_MAIN("queue_deaths", test_killed_in_put, test_killed_in_get,
	  test_poll_at_each_step, test_poll_after_each_death,
	  test_calm_at_each_step, test_random_kills,
	  test_dead_sleepers_are_forgotten, test_ring_that_never_came,
	  test_stopped_holder)
