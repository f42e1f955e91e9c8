/* 900 pictures of random walks, drawn twice: one after the other, and by a pool.
 *
 *     pictures DIRECTORY [N]
 *
 * leaves them in DIRECTORY/serial and DIRECTORY/pool, and prints how long both
 * took, and how many times quicker the pool was:
 *
 *     900 pictures of 100 to 999 points
 *     serial: 9.87 s
 *     pool:   5.01 s with 2 workers
 *     1.97 times as quick
 *
 * Shows: how a loop becomes a map. draw_serially() and draw_by_pool() are the
 * before and the after; the task between them, draw(), does not change. A
 * picture that cannot be drawn is told, by its number and with the reason.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <reeve/pool.h>

#include "random_walk.h"

#define N_PICTURES     900
#define N_PICTURES_MAX 100000
#define PATH_SIZE      256

struct picture {
	unsigned number;
	char path[PATH_SIZE];
};

static int draw(void *input, size_t size, struct reeve_reply *reply)
{
	const struct picture *picture = input;
	int r = walk_draw(picture->number, picture->path);

	(void)size;
	if (r < 0)
		return reeve_reply_error(reply, r, "cannot write %s",
					 picture->path);
	return 0;
}

/* Makes the directory and the names of its pictures. Returns 0 or -errno. */
static int prepare(const char *directory, const char *kind,
		   struct picture *ret_pictures, size_t n)
{
	char path[PATH_SIZE];
	int length = snprintf(path, sizeof(path), "%s/%s", directory, kind);

	if (length < 0 || (size_t)length + sizeof("/12345.png") > sizeof(path))
		return -ENAMETOOLONG;
	if (mkdir(path, 0777) < 0 && errno != EEXIST)
		return -errno;
	for (unsigned i = 0; i < n; i++) {
		ret_pictures[i].number = i;
		(void)snprintf(ret_pictures[i].path, PATH_SIZE, "%.*s/%05u.png",
			       length, path, i);
	}
	return 0;
}

/* Returns how many pictures are missing. */
static size_t draw_serially(struct picture *pictures, size_t n)
{
	size_t n_missing = 0;

	for (size_t i = 0; i < n; i++)
		n_missing +=
			walk_draw(pictures[i].number, pictures[i].path) < 0;
	return n_missing;
}

/* Returns how many pictures are missing, or -errno. */
static int64_t draw_by_pool(struct reeve_pool *pool, struct picture *pictures,
			    size_t n)
{
	/* Zeroed, that is PENDING: only those are written that fail. */
	struct reeve_outcome *outcomes = calloc(n, sizeof(*outcomes));
	const struct reeve_map_spec spec = {
		.inputs = pictures,
		.input_size = sizeof(*pictures),
		.n_items = n,
		.outcomes = outcomes,
		.chunksize = 1, /* one takes milliseconds: no need for more */
	};
	int64_t r = outcomes ? reeve_pool_map(pool, draw, &spec) : -ENOMEM;

	for (size_t i = 0; r > 0 && i < n; i++)
		if (outcomes[i].kind != REEVE_DONE)
			fprintf(stderr, "picture %zu %s: %s\n", i,
				reeve_outcome_name(outcomes[i].kind),
				outcomes[i].message);
	free(outcomes);
	return r;
}

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Making and ending the pool is part of its time. Returns as draw_by_pool(). */
static int64_t run_pool(struct picture *pictures, size_t n,
			unsigned *ret_n_workers)
{
	struct reeve_pool *pool;
	struct reeve_pool_stats stats;
	int64_t r = reeve_pool_new(NULL, &pool);

	if (r < 0)
		return r;
	r = draw_by_pool(pool, pictures, n);
	reeve_pool_stats(pool, &stats);
	*ret_n_workers = stats.n_processes;
	(void)reeve_pool_close(pool);
	(void)reeve_pool_join(pool, REEVE_FOREVER);
	(void)reeve_pool_free(pool);
	return r;
}

static int run(const char *directory, struct picture *pictures, size_t n)
{
	double start, serial, parallel;
	unsigned n_workers = 0;
	int64_t r;

	printf("%zu pictures of %d to %d points\n", n, WALK_POINTS_MIN,
	       WALK_POINTS_MAX);
	r = prepare(directory, "serial", pictures, n);
	if (r < 0)
		return (int)r;
	start = now();
	if (draw_serially(pictures, n) > 0)
		return -EIO;
	serial = now() - start;
	printf("serial: %.2f s\n", serial);

	r = prepare(directory, "pool", pictures, n);
	if (r < 0)
		return (int)r;
	start = now();
	r = run_pool(pictures, n, &n_workers);
	if (r != 0)
		return r < 0 ? (int)r : -EIO;
	parallel = now() - start;
	printf("pool:   %.2f s with %u workers\n", parallel, n_workers);
	printf("%.2f times as quick\n", serial / parallel);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long n = argc == 3 ? strtoul(argv[2], NULL, 10) : N_PICTURES;
	struct picture *pictures;
	int r = -ENOMEM;

	if (argc < 2 || argc > 3 || n < 1 || n > N_PICTURES_MAX) {
		fprintf(stderr, "usage: pictures DIRECTORY [N]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0); /* each time as it is known */
	pictures = calloc(n, sizeof(*pictures));
	if (pictures)
		r = run(argv[1], pictures, n);
	if (r < 0)
		fprintf(stderr, "pictures: %s: %s\n", argv[1], strerror(-r));
	free(pictures);
	return r == 0 ? 0 : 1;
}
