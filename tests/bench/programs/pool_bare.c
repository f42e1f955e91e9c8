/* pool_bare: a pool with nothing around it. Options and output: pool_common.h.
 *
 *   map    rate of tasks; with -m workers are replaced by their fork server
 *   apply  round trips of one task at a time
 *   first  from nothing to a first result
 *   kill   from the death of a worker to the start of the next one
 *
 * The floor that libreeve's pools are measured against: the same rings (one for
 * each worker, a line for each slot, inputs and outputs copied into shared memory
 * and out of it), the same waiting (spin.h, then a futex), a fork server that
 * does nothing but fork and reap. What is missing is what a pool is for: nobody
 * claims a task, so who died with which is unknown; no cancel, deadline, error,
 * payload of any size, signal mask, descriptor, orphan; and what a worker writes
 * is believed.
 */
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/programs/pool_common.h"
#include "workers/base/pure/macro.h"
#include "workers/base/sys/spin.h"

#define SPIN_USEC   50
#define INLINE_SIZE 48
#define LOOK_NSEC   10000000	      /* a sleeping owner looks after so long */
#define TELL_EVERY  64		      /* tasks */
#define SLAB_SIZE   ((size_t)1 << 20) /* of a ring with large payloads */

enum { FREE, QUEUED, DONE };

struct slot {
	_Alignas(64) _Atomic uint32_t state;
	uint32_t n_items, item_size;
	unsigned char data[INLINE_SIZE]; /* or in the slab */
};

struct ring {
	_Alignas(64) _Atomic uint32_t asleep;
	_Alignas(64) uint64_t position; /* where the next worker goes on */
	_Atomic uint64_t begun_nsec;
	_Atomic int32_t pid;
	struct slot *slots;
	unsigned char *slab; /* slab_size for each slot */
};

struct shared {
	_Alignas(64) _Atomic uint32_t asleep; /* the owner */
	struct ring rings[];
};

struct pool {
	const struct bench *b;
	struct shared *shared;
	uint32_t n_slots;
	size_t slab_size;
	pid_t server;
	struct spin spin;
	uint64_t heads[1000], tails[1000];
};

static long futex(_Atomic uint32_t *word, int op, uint32_t value, long nsec)
{
	struct timespec ts = { .tv_nsec = nsec };

	return syscall(SYS_futex, word, op, value, nsec ? &ts : NULL, NULL, 0);
}

static void wake(_Atomic uint32_t *asleep)
{
	if (atomic_load(asleep) && atomic_exchange(asleep, 0))
		(void)futex(asleep, FUTEX_WAKE, 1, 0);
}

static unsigned char *data_of(const struct pool *p, const struct ring *ring,
			      uint64_t i, size_t size)
{
	if (size <= INLINE_SIZE)
		return ring->slots[i % p->n_slots].data;
	return ring->slab + i % p->n_slots * p->slab_size;
}

static uint32_t state_of(const struct pool *p, const struct ring *ring,
			 uint64_t i)
{
	return atomic_load_explicit(&ring->slots[i % p->n_slots].state,
				    memory_order_acquire);
}

/* ---- the worker ---------------------------------------------------------------- */

typedef void task_fn(const struct bench *b, unsigned char *data, size_t size);

/* Reads its input and writes its output, like one that computes. */
static void echo(const struct bench *b, unsigned char *data, size_t size)
{
	static unsigned char *copy;
	static size_t room;

	bench_burn(b->n_loops);
	if (size <= sizeof(uint64_t)) {
		*(volatile unsigned char *)data = *data;
		return;
	}
	if (size > room)
		copy = realloc(copy, room = size);
	if (!copy)
		_exit(1);
	memcpy(copy, data, size);
	__asm__ volatile("" ::"r"(copy) : "memory");
}

static task_fn *volatile task = echo;

struct place {
	const struct pool *p;
	const struct ring *ring;
	uint64_t at;
};

static bool is_nothing_queued(const void *arg)
{
	const struct place *place = arg;

	return state_of(place->p, place->ring, place->at) != QUEUED;
}

static void wait_for_task(const struct pool *p, struct ring *ring,
			  struct spin *spin, uint64_t at)
{
	const struct place place = { p, ring, at };

	atomic_thread_fence(memory_order_seq_cst);
	wake(&p->shared->asleep);
	if (!spin_while(spin, is_nothing_queued, &place))
		return;
	while (state_of(p, ring, at) != QUEUED) {
		atomic_store(&ring->asleep, 1);
		if (state_of(p, ring, at) != QUEUED)
			(void)futex(&ring->asleep, FUTEX_WAIT, 1, 0);
		atomic_store(&ring->asleep, 0);
	}
	spin_slept(spin);
}

static _Noreturn void work(const struct pool *p, struct ring *ring)
{
	uint64_t at = ring->position, end = at + p->b->max_tasks;
	struct spin spin;

	ring->begun_nsec = bench_now_nsec();
	spin_init(&spin, SPIN_USEC);
	for (; p->b->max_tasks == 0 || at < end; at++) {
		struct slot *slot = &ring->slots[at % p->n_slots];
		unsigned char *data;

		if (state_of(p, ring, at) != QUEUED)
			wait_for_task(p, ring, &spin, at);
		data = data_of(p, ring, at,
			       (size_t)slot->n_items * slot->item_size);
		for (uint32_t i = 0; i < slot->n_items; i++)
			task(p->b, data + (size_t)i * slot->item_size,
			     slot->item_size);
		atomic_store_explicit(&slot->state, DONE, memory_order_release);
		if (at % TELL_EVERY == 0)
			wake(&p->shared->asleep);
	}
	ring->position = at;
	atomic_thread_fence(memory_order_seq_cst);
	wake(&p->shared->asleep);
	_exit(0);
}

/* ---- the fork server ------------------------------------------------------------- */

static void die_with(pid_t parent)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent) /* it has died before */
		_exit(1);
}

static void start_worker(const struct pool *p, struct ring *ring)
{
	pid_t server = getpid(), pid = fork();

	if (pid < 0)
		_exit(1);
	if (pid == 0) {
		die_with(server);
		work(p, ring);
	}
	ring->pid = pid;
}

static _Noreturn void serve(const struct pool *p, pid_t owner)
{
	die_with(owner);
	for (unsigned i = 0; i < p->b->workers; i++)
		start_worker(p, &p->shared->rings[i]);
	for (;;) {
		siginfo_t info;

		if (waitid(P_ALL, 0, &info, WEXITED) < 0)
			_exit(1);
		for (unsigned i = 0; i < p->b->workers; i++)
			if (p->shared->rings[i].pid == info.si_pid)
				start_worker(p, &p->shared->rings[i]);
	}
}

/* ---- the owner --------------------------------------------------------------------- */

static void *share(size_t size)
{
	void *m = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return m == MAP_FAILED ? NULL : m;
}

static size_t piece_size(const struct bench *b)
{
	return b->item_size * MAX(b->chunk, 1u);
}

static int make_pool(struct pool *p, const struct bench *b)
{
	pid_t owner = getpid();

	*p = (struct pool){ .b = b, .n_slots = b->window };
	if (piece_size(b) > INLINE_SIZE) {
		p->slab_size = (piece_size(b) + 4095) & ~(size_t)4095;
		p->n_slots =
			(uint32_t)MIN((size_t)b->window,
				      MAX((size_t)2, SLAB_SIZE / p->slab_size));
	}
	spin_init(&p->spin, SPIN_USEC);
	p->shared = share(sizeof(*p->shared) +
			  b->workers * sizeof(p->shared->rings[0]));
	for (unsigned i = 0; p->shared && i < b->workers; i++) {
		struct ring *ring = &p->shared->rings[i];

		ring->slots = share(p->n_slots * sizeof(*ring->slots));
		ring->slab =
			p->slab_size ? share(p->n_slots * p->slab_size) : NULL;
		if (!ring->slots || (p->slab_size && !ring->slab))
			return -ENOMEM;
	}
	p->server = p->shared ? fork() : -1;
	if (p->server == 0)
		serve(p, owner);
	return p->server < 0 ? -ENOMEM : 0;
}

static int end_pool(struct pool *p, int r)
{
	for (unsigned i = 0; i < p->b->workers; i++) {
		struct ring *ring = &p->shared->rings[i];

		(void)munmap(ring->slots, p->n_slots * sizeof(*ring->slots));
		if (ring->slab)
			(void)munmap(ring->slab, p->n_slots * p->slab_size);
	}
	(void)kill(p->server, SIGKILL); /* its workers go with it */
	(void)waitid(P_PID, (id_t)p->server, &(siginfo_t){ 0 }, WEXITED);
	return r;
}

/* A round: items at `next` are handed out until n, n_done have come back. */
struct round {
	const unsigned char *in;
	unsigned char *out;
	size_t next, n_done;
	size_t *first; /* of each ring's slots: the item it begins with */
};

static size_t *first_item(const struct pool *p, const struct round *round,
			  unsigned i, uint64_t at)
{
	return &round->first[i * p->n_slots + at % p->n_slots];
}

static bool collect(struct pool *p, struct round *round, unsigned i)
{
	const struct bench *b = p->b;
	struct ring *ring = &p->shared->rings[i];
	uint64_t before = p->heads[i];

	for (; p->heads[i] < p->tails[i] &&
	       state_of(p, ring, p->heads[i]) == DONE;
	     p->heads[i]++) {
		const struct slot *slot =
			&ring->slots[p->heads[i] % p->n_slots];
		size_t size = slot->n_items * b->item_size;

		memcpy(round->out + *first_item(p, round, i, p->heads[i]) *
					    b->item_size,
		       data_of(p, ring, p->heads[i], size), size);
		round->n_done += slot->n_items;
	}
	return p->heads[i] != before;
}

static void hand_out(struct pool *p, struct round *round, unsigned i)
{
	const struct bench *b = p->b;
	struct ring *ring = &p->shared->rings[i];
	uint64_t room = p->n_slots - (p->tails[i] - p->heads[i]);
	bool is_any = false;

	if (room < p->n_slots / 4) /* lines go to and fro less often */
		return;
	for (; room > 0 && round->next < b->n_items; room--) {
		struct slot *slot = &ring->slots[p->tails[i] % p->n_slots];
		size_t n = MIN((size_t)MAX(b->chunk, 1u),
			       b->n_items - round->next);

		slot->n_items = (uint32_t)n;
		slot->item_size = (uint32_t)b->item_size;
		memcpy(data_of(p, ring, p->tails[i], n * b->item_size),
		       round->in + round->next * b->item_size,
		       n * b->item_size);
		*first_item(p, round, i, p->tails[i]) = round->next;
		atomic_store_explicit(&slot->state, QUEUED,
				      memory_order_release);
		p->tails[i]++;
		round->next += n;
		is_any = true;
	}
	if (!is_any)
		return;
	atomic_thread_fence(memory_order_seq_cst);
	wake(&ring->asleep);
}

static bool is_nothing_done(const void *arg)
{
	const struct pool *p = arg;

	for (unsigned i = 0; i < p->b->workers; i++)
		if (p->heads[i] < p->tails[i] &&
		    state_of(p, &p->shared->rings[i], p->heads[i]) == DONE)
			return false;
	return true;
}

static void wait_for_results(struct pool *p)
{
	if (!spin_while(&p->spin, is_nothing_done, p))
		return;
	atomic_store(&p->shared->asleep, 1);
	if (is_nothing_done(p))
		(void)futex(&p->shared->asleep, FUTEX_WAIT, 1, LOOK_NSEC);
	atomic_store(&p->shared->asleep, 0);
	spin_slept(&p->spin);
}

static void run_round(struct pool *p, struct round *round)
{
	round->next = round->n_done = 0;
	for (;;) {
		bool is_any = false;

		for (unsigned i = 0; i < p->b->workers; i++) {
			is_any |= collect(p, round, i);
			hand_out(p, round, i);
		}
		if (round->n_done == p->b->n_items)
			return;
		if (!is_any)
			wait_for_results(p);
	}
}

static int new_round(const struct pool *p, struct round *ret)
{
	*ret = (struct round){
		.in = bench_inputs(p->b),
		.out = bench_inputs(p->b),
		.first = calloc((size_t)p->b->workers * p->n_slots,
				sizeof(*ret->first)),
	};
	if (!ret->in || !ret->out || !ret->first)
		return -ENOMEM;
	return 0;
}

static void wait_for_workers(const struct pool *p)
{
	for (unsigned i = 0; i < p->b->workers; i++)
		while (p->shared->rings[i].begun_nsec == 0)
			bench_rest(1000);
}

static int run_map(const struct bench *b)
{
	uint64_t *nsec = calloc(b->n_rounds, sizeof(*nsec));
	struct round round = { 0 };
	static struct pool p;
	int r = nsec ? make_pool(&p, b) : -ENOMEM;

	if (r == 0)
		r = new_round(&p, &round);
	if (r == 0)
		r = bench_ballast(b);
	if (r != 0)
		return r;
	if (b->is_fresh)
		wait_for_workers(&p);
	else
		run_round(&p, &round); /* warm-up */
	for (size_t i = 0; i < b->n_rounds; i++) {
		uint64_t begin;

		memset(round.out, 0, b->n_items * b->item_size);
		begin = bench_now_nsec();
		run_round(&p, &round);
		nsec[i] = bench_now_nsec() - begin;
	}
	if (memcmp(round.in, round.out, b->n_items * b->item_size) != 0)
		return end_pool(&p, -EBADMSG);
	bench_tell_rate(b, nsec);
	return end_pool(&p, 0);
}

/* ---- round trips, starts and deaths ------------------------------------------------ */

static int run_apply(const struct bench *b)
{
	struct bench one = *b;
	uint64_t *nsec = calloc(b->n_items, sizeof(*nsec));
	struct round round = { 0 };
	static struct pool p;
	int r;

	one.n_items = 1;
	r = nsec ? make_pool(&p, &one) : -ENOMEM;
	if (r == 0)
		r = new_round(&p, &round);
	if (r != 0)
		return r;
	run_round(&p, &round);
	for (size_t i = 0; i < b->n_items; i++) {
		uint64_t begin;

		if (b->idle_usec > 0)
			bench_rest(b->idle_usec);
		begin = bench_now_nsec();
		run_round(&p, &round);
		nsec[i] = bench_now_nsec() - begin;
	}
	bench_tell_times("p50", nsec, b->n_items, true);
	return end_pool(&p, 0);
}

static int run_first(const struct bench *b)
{
	struct bench one = *b;
	uint64_t *nsec = calloc(b->n_items, sizeof(*nsec));
	int r = nsec ? 0 : -ENOMEM;

	one.n_items = 1;
	for (size_t i = 0; i < b->n_items && r == 0; i++) {
		uint64_t begin = bench_now_nsec();
		struct round round = { 0 };
		static struct pool p;

		r = make_pool(&p, &one);
		if (r == 0)
			r = new_round(&p, &round);
		if (r != 0)
			break;
		run_round(&p, &round);
		nsec[i] = bench_now_nsec() - begin;
		(void)end_pool(&p, 0);
	}
	if (r == 0)
		bench_tell_times("p50", nsec, b->n_items, true);
	return r;
}

static int run_kill(const struct bench *b)
{
	uint64_t *nsec = calloc(b->n_items, sizeof(*nsec));
	static struct pool p;
	struct ring *ring;
	int r = nsec ? make_pool(&p, b) : -ENOMEM;

	if (r != 0)
		return r;
	ring = &p.shared->rings[0];
	while (ring->begun_nsec == 0)
		bench_rest(1000);
	for (size_t i = 0; i < b->n_items && r == 0; i++) {
		uint64_t before = ring->begun_nsec, begin;

		bench_rest(2000); /* all sleep */
		begin = bench_now_nsec();
		r = kill(ring->pid, SIGKILL) < 0 ? -errno : 0;
		while (ring->begun_nsec == before && r == 0)
			bench_rest(200);
		nsec[i] = ring->begun_nsec - begin;
	}
	if (r == 0)
		bench_tell_times("ready", nsec, b->n_items, false);
	return end_pool(&p, r);
}

static const struct bench_kind kinds[] = {
	{ "map", run_map },
	{ "apply", run_apply },
	{ "first", run_first },
	{ "kill", run_kill },
};

int main(int argc, char **argv)
{
	return bench_main(argc, argv, kinds, ARRAY_SIZE(kinds));
}
