/* Workers that are too old or too large leave between two tasks: nothing is lost,
 * nobody is blamed, few go at a time. First a keeper alone, then real pools. */
#include "workers/pool/keeper.h"

#include <reeve/pool.h>

#include "tests/unit/keeper_rig.h"
#include "workers/pool/keeper_room.h"
#include "workers/pool/port.h"
#include "workers/pool/worker.h"

#define AGE_USEC (20 * USEC_PER_MSEC)
#define MIB	 ((uint64_t)1 << 20)

/* ---- the keeper ----------------------------------------------------------------- */

static bool is_ready(const struct rig *r, size_t i)
{
	return atomic_load(&r->channels[i].memory->signs.phase) == PHASE_READY;
}

static uint64_t count_recycled(const struct rig *r)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->board->n_seats; i++)
		n += atomic_load(&r->board->seats[i].n_recycled);
	return n;
}

/* In time, in place, and with nothing to do but that. */
START_TEST(test_age)
{
	uint64_t before_usec;
	struct rig r;

	rig_init(&r, 2);
	r.config.max_age_usec = AGE_USEC;
	before_usec = clock_monotonic_usec();
	rig_start_ready(&r, 2);
	await(&r, count_recycled(&r) >= 6);
	ck_assert_uint_ge(clock_monotonic_usec() - before_usec, 3 * AGE_USEC);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_uint_eq(r.board->seats[i].turn, 1);
		ck_assert_uint_eq(seat_state(&r, i), SEAT_LIVE);
	}
	ck_assert_uint_eq(r.board->n_start_failures, 0);
	rig_terminate(&r);
}
END_TEST

START_TEST(test_jitter)
{
	struct keeper_config config = { .max_age_usec = 1000,
					.max_age_jitter_usec = 200 };
	struct keeper k = { .config = &config, .now_usec = 5000 };
	uint64_t least = UINT64_MAX, most = 0;

	for (int i = 0; i < 1000; i++) {
		uint64_t due = keeper_age_due_usec(&k);

		least = MIN(least, due);
		most = MAX(most, due);
	}
	ck_assert_uint_ge(least, 5800);
	ck_assert_uint_lt(least, 5820);
	ck_assert_uint_le(most, 6000);
	ck_assert_uint_gt(most, 5980);
	config.max_age_usec = 0;
	ck_assert_uint_eq(keeper_age_due_usec(&k), USEC_INFINITY);
	ck_assert(!keeper_has_limits(&config));
}
END_TEST

/* A long task has its time; the old one takes nobody's turn meanwhile. */
START_TEST(test_waits_for_the_task)
{
	struct rig r;
	pid_t first;

	rig_init(&r, 2);
	r.config.max_age_usec = AGE_USEC;
	r.config.recycle_max = 1;
	rig_start_ready(&r, 2);
	rig_publish(&r, 0, DO_SPIN, 10 * AGE_USEC);
	await(&r, rig_state(&r, 0, 0) != SLOT_QUEUED);
	first = r.board->seats[0].pid;
	await(&r, atomic_load(&r.board->seats[1].n_recycled) >= 3);
	if (rig_state(&r, 0, 0) == SLOT_RUNNING)
		ck_assert_int_eq(r.board->seats[0].pid, first);
	await(&r, rig_state(&r, 0, 0) == SLOT_DONE);
	await(&r, r.board->seats[0].pid != first);
	ck_assert_uint_eq(r.board->seats[0].turn, 1);
	rig_terminate(&r);
}
END_TEST

/* One at a time between leaving and ready, though all are old at once. */
START_TEST(test_bounds_it)
{
	struct rig r;

	rig_init(&r, 3);
	r.config.max_age_usec = 5 * AGE_USEC;
	r.config.recycle_max = 1;
	rig_start_ready(&r, 3);
	for (size_t i = 0; i < 3; i++)
		await(&r, is_ready(&r, i));
	atomic_store(&r.shared->manner, START_HANGING);
	await(&r, atomic_load(&r.shared->n_pids) == 1);
	rig_spin(2 * AGE_USEC); /* the others ask, and wait */
	ck_assert_uint_eq(count_recycled(&r), 1);
	ck_assert_int_eq(r.shared->n_pids, 1);
	rig_terminate(&r);
}
END_TEST

/* Where nobody is wanted any more, the old one is not followed: it has left, which
 * is not a death. */
START_TEST(test_is_not_followed)
{
	struct rig r;

	rig_init(&r, 1);
	r.config.max_age_usec = AGE_USEC;
	rig_start_ready(&r, 1);
	atomic_store(&r.board->target, 0);
	ck_assert_uint_eq(rig_await_end(&r, 0)->cause, CAUSE_LEFT);
	rig_terminate(&r);
}
END_TEST

/* ---- the worker ----------------------------------------------------------------- */

static int do_nothing(void *input _unused_, size_t size _unused_,
		      struct reeve_reply *reply _unused_)
{
	return 0;
}

/* A worker that may leave from its beginning, with so many tasks before it.
 * Returns how many it does. */
static uint64_t run_worker(enum channel_due due, uint64_t n_tasks)
{
	const struct piece piece = { .n_items = 1, .is_single = true };
	struct worker_setup setup = { 0 };
	struct keeper_seat seat = { .bell_fd = -1 };
	struct channel_orders *orders;
	uint64_t n_done;
	struct port port;
	int lifeline[2], status;
	pid_t pid;

	seat.channel_fd =
		channel_new(&seat.channel, RIG_SLOTS, CHANNEL_PAYLOAD_DEFAULT);
	ck_assert_int_eq(port_init(&port, &seat.channel, 0), 0);
	ck_assert_int_eq(pipe(lifeline), 0);
	orders = &seat.channel.memory->orders;
	orders->due = due;
	orders->may_leave = 1;
	orders->closing = due == DUE_NOT;
	for (uint64_t i = 0; i < n_tasks; i++)
		(void)port_publish(&port, &piece, (uintptr_t)do_nothing, NULL,
				   0);
	(void)madvise(seat.channel.memory, seat.channel.size_bytes,
		      MADV_DOFORK);
	pid = fork();
	if (pid == 0)
		_exit(worker_main(&seat, lifeline[1], &setup));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	n_done = seat.channel.memory->signs.position;
	ck_assert_uint_eq(seat.channel.memory->signs.phase, PHASE_LEAVING);
	fd_close(lifeline[0]);
	fd_close(lifeline[1]);
	fd_close(seat.channel_fd);
	port_done(&port);
	return n_done;
}

START_TEST(test_worker)
{
	ck_assert_uint_eq(run_worker(DUE_NOT, 3), 3);
	ck_assert_uint_eq(run_worker(DUE_NOW, 0), 0);
	ck_assert_uint_eq(run_worker(DUE_NOW, 3), 1);
	ck_assert_uint_eq(run_worker(DUE_AFTER_A_TASK, 3), 1);
}
END_TEST

/* ---- pools ------------------------------------------------------------------------ */

/* Each item writes down that it was run. */
static _Atomic unsigned *n_runs;

static int count_run(void *input, size_t size, struct reeve_reply *reply)
{
	uint32_t i = *(const uint32_t *)input;

	atomic_fetch_add(&n_runs[i], 1);
	return reeve_reply_set(reply, &i, size);
}

static int tell_pid(void *input _unused_, size_t size _unused_,
		    struct reeve_reply *reply)
{
	pid_t pid = getpid();

	return reeve_reply_set(reply, &pid, sizeof(pid));
}

/* Takes so many bytes for good, and time for the keeper to see it. */
static int leak(void *input, size_t size _unused_, struct reeve_reply *reply)
{
	uint64_t bytes = *(const uint64_t *)input;
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	memset(p, 1, bytes);
	(void)poll(NULL, 0, 1300);
	return tell_pid(NULL, 0, reply);
}

static uint64_t own_memory(void)
{
	unsigned long size, resident, shared;
	FILE *f = fopen("/proc/self/statm", "re");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%lu %lu %lu", &size, &resident, &shared),
			 3);
	(void)fclose(f);
	return (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static struct reeve_pool *new_pool(struct reeve_pool_spec spec)
{
	struct reeve_pool *pool = NULL;

	spec.processes = spec.processes ?: 1;
	spec.context = REEVE_CONTEXT_FORK;
	ck_assert_int_eq(reeve_pool_new(&spec, &pool), 0);
	return pool;
}

/* All were replaced as planned: nobody has died. Returns how many. */
static uint64_t check_pool(struct reeve_pool *pool)
{
	struct reeve_pool_stats s;

	reeve_pool_stats(pool, &s);
	ck_assert_uint_eq(s.n_crashed + s.n_timeout + s.n_cancelled, 0);
	ck_assert_uint_eq(s.n_start_failures, 0);
	ck_assert_uint_eq(reeve_pool_report(pool, NULL, 0), 0);
	return s.n_recycled;
}

static void end_pool(struct reeve_pool *pool)
{
	ck_assert_int_eq(reeve_pool_close(pool), 0);
	ck_assert_int_eq(reeve_pool_join(pool, RIG_DEADLINE_USEC), 0);
	(void)check_pool(pool);
	reeve_pool_free(pool);
}

static void await_recycled(struct reeve_pool *pool, uint64_t n)
{
	uint64_t end = clock_monotonic_usec() + RIG_DEADLINE_USEC;

	while (check_pool(pool) < n) {
		ck_assert_uint_lt(clock_monotonic_usec(), end);
		(void)poll(NULL, 0, 1);
	}
}

static pid_t ask_pid(struct reeve_pool *pool)
{
	size_t size = sizeof(pid_t);
	pid_t pid = 0;

	ck_assert_int_eq(reeve_pool_apply(pool, tell_pid, NULL, 0, &pid, &size,
					  NULL),
			 0);
	return pid;
}

START_TEST(test_spec)
{
	static const struct reeve_pool_spec specs[] = {
		{ .max_age_jitter_usec = 1 },
		{ .max_age_usec = 9, .max_age_jitter_usec = 10 },
	};
	struct reeve_pool *pool = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(specs); i++)
		ck_assert_int_eq(reeve_pool_new(&specs[i], &pool), -EINVAL);
}
END_TEST

/* They sleep, and nothing wakes them but that. */
START_TEST(test_old_sleepers)
{
	struct reeve_pool *pool = new_pool((struct reeve_pool_spec){
		.processes = 2,
		.max_age_usec = AGE_USEC,
		.recycle_max = 1,
		.spin_usec = -1,
	});
	pid_t pid;

	await_recycled(pool, 6);
	pid = ask_pid(pool);
	await_recycled(pool, check_pool(pool) + 3);
	ck_assert_int_ne(ask_pid(pool), pid);
	end_pool(pool);
}
END_TEST

/* While they are busy: each item is run once, and has its result. */
static void run_all(struct reeve_pool *pool, uint32_t n, size_t chunksize)
{
	uint32_t *inputs = calloc(n, sizeof(*inputs));
	uint32_t *outputs = calloc(n, sizeof(*outputs));

	ck_assert(inputs && outputs);
	for (uint32_t i = 0; i < n; i++)
		inputs[i] = i;
	ck_assert_int_eq(reeve_pool_map(pool, count_run,
					&(struct reeve_map_spec){
						.inputs = inputs,
						.input_size = sizeof(*inputs),
						.n_items = n,
						.outputs = outputs,
						.output_size = sizeof(*outputs),
						.chunksize = chunksize,
					}),
			 0);
	for (uint32_t i = 0; i < n; i++) {
		ck_assert_uint_eq(outputs[i], i);
		ck_assert_uint_eq(atomic_exchange(&n_runs[i], 0), 1);
	}
	free(inputs);
	free(outputs);
}

START_TEST(test_old_and_busy)
{
	enum { N = 4000 };
	uint64_t most = getenv("REEVE_SOAK") ? 20000 : 40;

	n_runs = mmap(NULL, N * sizeof(*n_runs), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(n_runs != MAP_FAILED);
	for (unsigned recycle_max = 0; recycle_max < 2; recycle_max++) {
		struct reeve_pool *pool = new_pool((struct reeve_pool_spec){
			.processes = 3,
			.max_age_usec = 3000,
			.max_age_jitter_usec = 2500,
			.recycle_max = recycle_max,
		});

		while (check_pool(pool) < most)
			run_all(pool, N, 1 + check_pool(pool) % 7);
		end_pool(pool);
	}
	(void)munmap(n_runs, N * sizeof(*n_runs));
}
END_TEST

/* Old at birth: each does at least one task, so that work goes on. */
START_TEST(test_old_at_birth)
{
	struct reeve_pool *pool =
		new_pool((struct reeve_pool_spec){ .max_age_usec = 1 });
	uint64_t end = clock_monotonic_usec() + RIG_DEADLINE_USEC;

	for (int i = 0; i < 20 || check_pool(pool) < 20; i++) {
		ck_assert_int_gt(ask_pid(pool), 0);
		ck_assert_uint_lt(clock_monotonic_usec(), end);
	}
	end_pool(pool);
}
END_TEST

START_TEST(test_too_large)
{
	const uint64_t most = own_memory() + 64 * MIB, bytes = 128 * MIB;
	struct reeve_pool *pool =
		new_pool((struct reeve_pool_spec){ .max_rss_bytes = most });
	size_t size = sizeof(pid_t);
	pid_t pid = ask_pid(pool), large = 0;

	/* seen while it runs, and let be */
	ck_assert_int_eq(reeve_pool_apply(pool, leak, &bytes, sizeof(bytes),
					  &large, &size, NULL),
			 0);
	ck_assert_int_eq(large, pid);
	await_recycled(pool, 1);
	pid = ask_pid(pool);
	ck_assert_int_ne(pid, large);
	ck_assert_uint_eq(check_pool(pool), 1);
	end_pool(pool);
}
END_TEST

/* What is large at birth would be followed by its like: not before it has done
 * something. */
START_TEST(test_large_at_birth)
{
	struct reeve_pool *pool =
		new_pool((struct reeve_pool_spec){ .max_rss_bytes = 1 });

	(void)poll(NULL, 0, 1200);
	ck_assert_uint_eq(check_pool(pool), 0);
	(void)ask_pid(pool);
	await_recycled(pool, 1);
	end_pool(pool);
}
END_TEST

UNIT_MAIN("pool keeper leave", test_age, test_jitter, test_waits_for_the_task,
	  test_bounds_it, test_is_not_followed, test_worker, test_spec,
	  test_old_sleepers, test_old_and_busy, test_old_at_birth,
	  test_too_large, test_large_at_birth)
