/* pool: what libreeve's pools cost. Options and output: pool_common.h.
 *
 *   map, imap, async   rate of tasks that give their input back, or burn
 *   apply              one task at a time: p50 and p99 of its round trip
 *   first              from nothing to a first result: p50
 *   kill               a busy worker is killed: until its task's outcome is
 *                      there, and until the initializer of the next one runs
 *   idle               waits, when it has done something, until stdin ends
 *   queued             memory of the owner for each task that waits
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <reeve/pool.h>

#include "tests/bench/programs/pool_common.h"
#include "workers/base/pure/macro.h"

#define PATIENCE_USEC UINT64_C(60000000)

/* What workers tell the owner besides: when each of them began. */
static struct {
	_Atomic uint64_t *begun_nsec;
	int fd; /* an eventfd */
} start = { .fd = -1 };

/* ---- tasks ------------------------------------------------------------------- */

static uint64_t n_loops; /* known before the fork */

static int echo(void *input, size_t size, struct reeve_reply *reply)
{
	return reeve_reply_set(reply, input, size);
}

static int burn(void *input, size_t size, struct reeve_reply *reply)
{
	bench_burn(n_loops);
	return reeve_reply_set(reply, input, size);
}

static int hang(void *input _unused_, size_t size _unused_,
		struct reeve_reply *reply _unused_)
{
	while (pause() < 0)
		continue;
	return 0;
}

static int note_start(void *argument _unused_, size_t size _unused_)
{
	static const uint64_t one = 1;

	if (start.fd < 0)
		return 0;
	*start.begun_nsec = bench_now_nsec();
	return write(start.fd, &one, sizeof(one)) == sizeof(one) ? 0 : -EIO;
}

static const struct reeve_function functions[] = {
	{ .name = "echo", .task = echo },
	{ .name = "hang", .task = hang },
	{ 0 },
};

/* ---- a pool ------------------------------------------------------------------- */

static int make_pool(const struct bench *b, struct reeve_pool **ret)
{
	struct reeve_pool_spec spec = {
		.processes = (int)b->workers,
		.window = b->window,
		.maxtasksperchild = b->max_tasks,
		.payload_max = MAX(b->item_size, REEVE_PAYLOAD_DEFAULT),
		.context = (enum reeve_context)b->context,
		.service = b->is_threaded ? REEVE_SERVICE_THREAD
					  : REEVE_SERVICE_CALLER,
		.initializer = start.fd >= 0 ? note_start : NULL,
	};

	n_loops = b->n_loops;
	return reeve_pool_new(&spec, ret);
}

static int end_pool(struct reeve_pool *pool, int r)
{
	(void)reeve_pool_free(pool);
	return r;
}

/* All workers are there, and have run something. */
static int warm_up(struct reeve_pool *pool)
{
	uint64_t in[256] = { 0 };
	struct reeve_pool_stats stats;
	struct reeve_map_spec spec = { .inputs = in,
				       .input_size = sizeof(in[0]),
				       .n_items = ARRAY_SIZE(in),
				       .chunksize = 1 };
	uint64_t end = bench_now_nsec() + PATIENCE_USEC * 1000;
	int64_t r;

	do {
		r = reeve_pool_map(pool, echo, &spec);
		reeve_pool_stats(pool, &stats);
	} while (r == 0 && stats.n_live < stats.n_processes &&
		 bench_now_nsec() < end);
	return r > 0 ? -EIO : (int)r;
}

/* ---- rates --------------------------------------------------------------------- */

typedef int round_fn(struct reeve_pool *pool, const struct bench *b,
		     const unsigned char *in, unsigned char *out);

static int map_round(struct reeve_pool *pool, const struct bench *b,
		     const unsigned char *in, unsigned char *out)
{
	struct reeve_map_spec spec = {
		.inputs = in,
		.input_size = b->item_size,
		.n_items = b->n_items,
		.outputs = out,
		.output_size = b->item_size,
		.chunksize = b->chunk,
	};
	int64_t r = reeve_pool_map(pool, b->n_loops ? burn : echo, &spec);

	return r > 0 ? -EIO : (int)r;
}

static int imap_round(struct reeve_pool *pool, const struct bench *b,
		      const unsigned char *in, unsigned char *out)
{
	struct reeve_imap_spec spec = { .inputs = in,
					.input_size = b->item_size,
					.n_items = b->n_items,
					.chunksize = b->chunk };
	struct reeve_iterator *it;
	struct reeve_item item;
	int r = reeve_pool_imap_unordered(pool, echo, &spec, &it);

	if (r < 0)
		return r;
	while ((r = reeve_iterator_next(it, PATIENCE_USEC, &item)) == 1)
		memcpy(out + item.index * b->item_size, item.output, item.size);
	(void)reeve_iterator_free(it);
	return r;
}

static int async_round(struct reeve_pool *pool, const struct bench *b,
		       const unsigned char *in, unsigned char *out)
{
	struct reeve_result **results = calloc(b->n_items, sizeof(*results));
	int r = results ? 0 : -ENOMEM;

	for (size_t i = 0; i < b->n_items && r == 0; i++)
		r = reeve_pool_apply_async(pool, echo, in + i * b->item_size,
					   b->item_size, NULL, &results[i]);
	for (size_t i = 0; i < b->n_items && results; i++) {
		if (r == 0)
			r = reeve_result_get(results[i], PATIENCE_USEC,
					     out + i * b->item_size,
					     b->item_size, NULL);
		(void)reeve_result_unref(results[i]);
	}
	free(results);
	return r;
}

static int measure_rounds(const struct bench *b, round_fn *run)
{
	unsigned char *in = bench_inputs(b), *out = bench_inputs(b);
	uint64_t *nsec = calloc(b->n_rounds, sizeof(*nsec));
	struct reeve_pool *pool = NULL;
	int r = in && out && nsec ? bench_ballast(b) : -ENOMEM;

	if (r == 0)
		r = make_pool(b, &pool);
	if (r < 0)
		return r;
	r = warm_up(pool);
	for (size_t i = 0; i < b->n_rounds && r == 0; i++) {
		uint64_t begin;

		memset(out, 0, b->n_items * b->item_size);
		begin = bench_now_nsec();
		r = run(pool, b, in, out);
		nsec[i] = bench_now_nsec() - begin;
		if (r == 0 && memcmp(in, out, b->n_items * b->item_size) != 0)
			r = -EBADMSG;
	}
	if (r == 0)
		bench_tell_rate(b, nsec);
	free(in);
	free(out);
	free(nsec);
	return end_pool(pool, r);
}

static int run_map(const struct bench *b)
{
	return measure_rounds(b, map_round);
}

static int run_imap(const struct bench *b)
{
	return measure_rounds(b, imap_round);
}

static int run_async(const struct bench *b)
{
	return measure_rounds(b, async_round);
}

/* ---- round trips ------------------------------------------------------------------ */

static int apply_once(struct reeve_pool *pool, uint64_t *ret_nsec)
{
	uint64_t begin = bench_now_nsec(), x = begin;
	size_t size = sizeof(x);
	int r = reeve_pool_apply(pool, echo, &x, sizeof(x), &x, &size, NULL);

	*ret_nsec = bench_now_nsec() - begin;
	return r == 0 && x != begin ? -EBADMSG : r;
}

static int run_apply(const struct bench *b)
{
	uint64_t *nsec = calloc(b->n_items, sizeof(*nsec));
	struct reeve_pool *pool = NULL;
	int r = nsec ? make_pool(b, &pool) : -ENOMEM;

	if (r < 0)
		return r;
	r = warm_up(pool);
	for (size_t i = 0; i < b->n_items && r == 0; i++) {
		if (b->idle_usec > 0)
			bench_rest(b->idle_usec);
		r = apply_once(pool, &nsec[i]);
	}
	if (r == 0)
		bench_tell_times("p50", nsec, b->n_items, true);
	free(nsec);
	return end_pool(pool, r);
}

static int run_first(const struct bench *b)
{
	uint64_t *nsec = calloc(b->n_items, sizeof(*nsec));
	int r = nsec ? bench_ballast(b) : -ENOMEM;

	for (size_t i = 0; i < b->n_items && r == 0; i++) {
		uint64_t begin = bench_now_nsec();
		struct reeve_pool *pool = NULL;

		r = make_pool(b, &pool);
		if (r < 0)
			break;
		r = apply_once(pool, &nsec[i]);
		nsec[i] = bench_now_nsec() - begin;
		(void)reeve_pool_free(pool);
	}
	if (r == 0)
		bench_tell_times("p50", nsec, b->n_items, true);
	free(nsec);
	return r;
}

/* ---- deaths ------------------------------------------------------------------------- */

/* The worker that runs something, once it does. */
static pid_t busy_worker(struct reeve_pool *pool)
{
	uint64_t end = bench_now_nsec() + PATIENCE_USEC * 1000;
	struct reeve_worker_stats workers[8];

	while (bench_now_nsec() < end) {
		size_t n = reeve_pool_workers(pool, workers, 8);

		for (size_t i = 0; i < MIN(n, ARRAY_SIZE(workers)); i++)
			if (workers[i].pid > 0 && workers[i].is_busy)
				return workers[i].pid;
		bench_rest(50);
		(void)reeve_pool_dispatch(pool);
	}
	return 0;
}

static int kill_once(struct reeve_pool *pool, uint64_t *ret_told,
		     uint64_t *ret_ready)
{
	struct reeve_outcome outcome;
	struct reeve_result *result;
	uint64_t begin, n_starts;
	pid_t pid;
	int r = reeve_pool_apply_async(pool, hang, NULL, 0, NULL, &result);

	if (r < 0)
		return r;
	pid = busy_worker(pool);
	bench_rest(2000); /* it sleeps, as does everybody else */
	begin = bench_now_nsec();
	if (pid <= 0 || kill(pid, SIGKILL) < 0)
		return -ESRCH;
	r = reeve_result_wait(result, PATIENCE_USEC);
	*ret_told = bench_now_nsec() - begin;
	reeve_result_outcome(result, &outcome);
	(void)reeve_result_unref(result);
	if (r == 0 && (outcome.kind != REEVE_CRASHED || outcome.pid != pid))
		r = -EBADMSG;
	/* blocks until it is there */
	if (r == 0 &&
	    read(start.fd, &n_starts, sizeof(n_starts)) != sizeof(n_starts))
		r = -EIO;
	*ret_ready = *start.begun_nsec - begin;
	return r;
}

static int wait_for_starts(unsigned n)
{
	uint64_t count;

	for (; n > 0; n -= (unsigned)MIN(count, (uint64_t)n))
		if (read(start.fd, &count, sizeof(count)) != sizeof(count))
			return -EIO;
	return 0;
}

static int run_kill(const struct bench *b)
{
	uint64_t *told = calloc(b->n_items, sizeof(*told));
	uint64_t *ready = calloc(b->n_items, sizeof(*ready));
	struct reeve_pool *pool = NULL;
	int r;

	start.fd = eventfd(0, EFD_CLOEXEC);
	start.begun_nsec =
		mmap(NULL, sizeof(*start.begun_nsec), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (start.fd < 0 || start.begun_nsec == MAP_FAILED || !told || !ready)
		return -ENOMEM;
	r = make_pool(b, &pool);
	if (r < 0)
		return r;
	r = wait_for_starts(b->workers);
	for (size_t i = 0; i < b->n_items && r == 0; i++)
		r = kill_once(pool, &told[i], &ready[i]);
	if (r == 0) {
		bench_tell_times("told", told, b->n_items, false);
		bench_tell_times("ready", ready, b->n_items, false);
	}
	free(told);
	free(ready);
	return end_pool(pool, r);
}

/* ---- doing nothing --------------------------------------------------------------------- */

static int run_idle(const struct bench *b)
{
	struct reeve_pool *pool = NULL;
	int r = make_pool(b, &pool);
	char end;

	if (r < 0)
		return r;
	r = warm_up(pool);
	bench_tell("ready", r);
	(void)!read(STDIN_FILENO, &end, 1);
	return end_pool(pool, r);
}

/* Bytes of this process that are in memory. */
static double resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	char line[128] = "", *end;
	unsigned long pages;

	if (!f)
		return 0;
	(void)!fgets(line, sizeof(line), f);
	(void)fclose(f);
	(void)strtoul(line, &end, 10);
	pages = strtoul(end, NULL, 10);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static int run_queued(const struct bench *b)
{
	uint64_t x = 0;
	struct reeve_pool *pool = NULL;
	double before;
	int r = make_pool(b, &pool);

	if (r == 0)
		r = warm_up(pool);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < b->workers * b->window && r == 0; i++)
		r = reeve_pool_apply_async(pool, hang, NULL, 0, NULL, NULL);
	before = resident_bytes();
	for (size_t i = 0; i < b->n_items && r == 0; i++)
		r = reeve_pool_apply_async(pool, echo, &x, sizeof(x), NULL,
					   NULL);
	bench_tell("bytes", (resident_bytes() - before) / (double)b->n_items);
	return end_pool(pool, r);
}

static const struct bench_kind kinds[] = {
	{ "map", run_map },	{ "imap", run_imap },
	{ "async", run_async }, { "apply", run_apply },
	{ "first", run_first }, { "kill", run_kill },
	{ "idle", run_idle },	{ "queued", run_queued },
};

int main(int argc, char **argv)
{
	if (reeve_pool_setup(functions) < 0)
		return 2;
	return bench_main(argc, argv, kinds, ARRAY_SIZE(kinds));
}
