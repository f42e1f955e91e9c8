/* What the two programs of the pools' benchmarks share: their options, the tasks
 * that they run, and how they say what they have measured.
 *
 * pool.c uses libreeve; pool_bare.c does the same work with nothing around it.
 * Both are called as
 *
 *   PROGRAM KIND [-n ITEMS] [-s BYTES] [-r ROUNDS] [-w WORKERS] [-W WINDOW]
 *           [-c CHUNK] [-m TASKS] [-l LOOPS] [-i IDLE_USEC] [-b BALLAST_MB]
 *           [-x CONTEXT] [-t] [-f]
 *
 * and print lines of a name and a number: rates are per second, times are in
 * microseconds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench {
	size_t n_items;	    /* -n: of a round */
	size_t item_size;   /* -s: bytes, in and out */
	size_t n_rounds;    /* -r */
	unsigned workers;   /* -w */
	unsigned window;    /* -W: tasks handed to a worker in advance */
	unsigned chunk;	    /* -c: items of a task; 0: as the pool likes */
	unsigned max_tasks; /* -m: of a worker's life; 0: any */
	uint64_t n_loops;   /* -l: turns of bench_burn() in each item */
	unsigned idle_usec; /* -i: before each round trip */
	size_t ballast_mb;  /* -b: memory of the owner that was written to */
	int context;	    /* -x: enum reeve_context */
	bool is_threaded;   /* -t */
	bool is_fresh;	    /* -f: memory of the rounds' payloads is new */
};

struct bench_kind {
	const char *name;
	int (*run)(const struct bench *b);
};

/* Options into *ret; the kind is argv[1]. Returns 0 or -EINVAL. */
int bench_parse(int argc, char **argv, struct bench *ret);

/* Runs the kind of that name, of n; the status of the program. */
int bench_main(int argc, char **argv, const struct bench_kind *kinds, size_t n);

/* CLOCK_MONOTONIC; microseconds are too long for what is measured here. */
uint64_t bench_now_nsec(void);

/* Waits without using the CPU. */
void bench_rest(unsigned usec);

/* Computes for so many turns. */
void bench_burn(uint64_t n_loops);

/* The inputs and outputs of a round; inputs are numbered. NULL: no memory. */
unsigned char *bench_inputs(const struct bench *b);

/* Memory that was written to; never freed. Returns 0 or -ENOMEM. */
int bench_ballast(const struct bench *b);

void bench_tell(const char *name, double value);

/* Tells the median of n times, and with `has_tail` "p99" too; sorts them. */
void bench_tell_times(const char *name, uint64_t *nsec, size_t n,
		      bool has_tail);

/* Tells "rate": items per second, the median of rounds that took so long. */
void bench_tell_rate(const struct bench *b, uint64_t *nsec);
