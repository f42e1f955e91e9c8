/* See pool_common.h. */
#include "tests/bench/programs/pool_common.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"

#define MB   ((size_t)1 << 20)
#define MANY 1000 /* rounds, workers: more is a mistake */

static int check(const struct bench *b)
{
	if (b->n_items == 0 || b->item_size == 0 || b->n_rounds == 0 ||
	    b->workers == 0 || b->workers > MANY || b->window == 0 ||
	    (b->is_fresh && b->n_rounds > 1)) /* it is so once */
		return -EINVAL;
	return 0;
}

/* Returns false for an option that there is not. */
static bool set_option(struct bench *b, int option, unsigned long n)
{
	switch (option) {
	case 'n':
		b->n_items = n;
		break;
	case 's':
		b->item_size = n;
		break;
	case 'r':
		b->n_rounds = n;
		break;
	case 'w':
		b->workers = (unsigned)n;
		break;
	case 'W':
		b->window = (unsigned)n;
		break;
	case 'c':
		b->chunk = (unsigned)n;
		break;
	case 'm':
		b->max_tasks = (unsigned)n;
		break;
	case 'l':
		b->n_loops = n;
		break;
	case 'i':
		b->idle_usec = (unsigned)n;
		break;
	case 'b':
		b->ballast_mb = n;
		break;
	case 'x':
		b->context = (int)n;
		break;
	case 't':
		b->is_threaded = true;
		break;
	case 'f':
		b->is_fresh = true;
		break;
	default:
		return false;
	}
	return true;
}

int bench_parse(int argc, char **argv, struct bench *ret)
{
	struct bench b = {
		.n_items = 1000,
		.item_size = sizeof(uint64_t),
		.n_rounds = 1,
		.workers = 2,
		.window = 64,
		.chunk = 1,
		.context = 1,
	};
	int option;

	optind = 2;
	while ((option = getopt(argc, argv, "n:s:r:w:W:c:m:l:i:b:x:tf")) > 0) {
		unsigned long n = optarg ? strtoul(optarg, NULL, 10) : 1;

		if (!set_option(&b, option, n))
			return -EINVAL;
	}
	*ret = b;
	return check(&b);
}

int bench_main(int argc, char **argv, const struct bench_kind *kinds, size_t n)
{
	struct bench b;
	int r;

	if (argc < 2 || bench_parse(argc, argv, &b) < 0)
		return 2;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(kinds[i].name, argv[1]) != 0)
			continue;
		r = kinds[i].run(&b);
		if (r < 0)
			fprintf(stderr, "%s: %s\n", argv[1], strerror(-r));
		return r < 0;
	}
	return 2;
}

uint64_t bench_now_nsec(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

void bench_rest(unsigned usec)
{
	struct timespec ts = { .tv_nsec = (long)usec * 1000 };

	(void)ppoll(NULL, 0, &ts, NULL);
}

void bench_burn(uint64_t n_loops)
{
	volatile uint64_t x = 1;

	for (uint64_t i = 0; i < n_loops; i++)
		x = x * 6364136223846793005 + 1442695040888963407;
}

unsigned char *bench_inputs(const struct bench *b)
{
	unsigned char *p = malloc(b->n_items * b->item_size);

	if (!p)
		return NULL;
	memset(p, 1, b->n_items * b->item_size);
	for (uint64_t i = 0; i < b->n_items; i++)
		memcpy(p + i * b->item_size, &i, MIN(sizeof(i), b->item_size));
	return p;
}

int bench_ballast(const struct bench *b)
{
	char *p = b->ballast_mb ? malloc(b->ballast_mb * MB) : NULL;

	if (p)
		memset(p, 1, b->ballast_mb * MB);
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it is to stay */
	return p || b->ballast_mb == 0 ? 0 : -ENOMEM;
}

void bench_tell(const char *name, double value)
{
	printf("%s %.6g\n", name, value);
	(void)fflush(stdout);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t at_share(const uint64_t *sorted, size_t n, unsigned percent)
{
	return sorted[n * percent / 100];
}

void bench_tell_times(const char *name, uint64_t *nsec, size_t n, bool has_tail)
{
	qsort(nsec, n, sizeof(*nsec), compare);
	bench_tell(name, (double)at_share(nsec, n, 50) / 1e3);
	if (has_tail)
		bench_tell("p99", (double)at_share(nsec, n, 99) / 1e3);
}

void bench_tell_rate(const struct bench *b, uint64_t *nsec)
{
	qsort(nsec, b->n_rounds, sizeof(*nsec), compare);
	bench_tell("rate", (double)b->n_items * 1e9 /
				   (double)at_share(nsec, b->n_rounds, 50));
}
