/* A pool maps squares over ten numbers. Prints the pid of this program, each
 * square with the pid of the worker that computed it, and their sum.
 *
 * Shows: making a pool, map from an array into an array, and the order in which
 * a pool ends: close (no more tasks), join (wait for the workers), free.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <reeve/pool.h>

#define N_NUMBERS 10

struct square {
	long value;
	pid_t worker;
};

/* Runs in a worker. Input and output are plain bytes: any struct without
 * pointers will do, as pointers mean nothing in another process. */
static int square(void *input, size_t size, struct reeve_reply *reply)
{
	const long *number = input;
	struct square output = { .worker = getpid() };

	(void)size;
	output.value = *number * *number;
	return reeve_reply_set(reply, &output, sizeof(output));
}

static int map_squares(struct reeve_pool *pool, const long *numbers,
		       struct square *ret_squares)
{
	const struct reeve_map_spec spec = {
		.inputs = numbers,
		.input_size = sizeof(*numbers),
		.n_items = N_NUMBERS,
		.outputs = ret_squares,
		.output_size = sizeof(*ret_squares),
	};
	int64_t n_failed = reeve_pool_map(pool, square, &spec);

	if (n_failed < 0)
		fprintf(stderr, "map: %s\n", strerror((int)-n_failed));
	else if (n_failed > 0)
		fprintf(stderr, "%d numbers have no square\n", (int)n_failed);
	return n_failed == 0 ? 0 : -1;
}

int main(void)
{
	/* Without .processes: as many workers as there are usable CPUs. */
	const struct reeve_pool_spec spec = { .name = "squares" };
	struct reeve_pool *pool;
	struct square squares[N_NUMBERS];
	long numbers[N_NUMBERS], sum = 0;
	int r;

	for (int i = 0; i < N_NUMBERS; i++)
		numbers[i] = i;
	r = reeve_pool_new(&spec, &pool);
	if (r < 0) {
		fprintf(stderr, "no pool: %s\n", strerror(-r));
		return 1;
	}
	r = map_squares(pool, numbers, squares);
	(void)reeve_pool_close(pool);
	(void)reeve_pool_join(pool, REEVE_FOREVER);
	(void)reeve_pool_free(pool);
	if (r < 0)
		return 1;

	printf("main is %d\n", (int)getpid());
	for (int i = 0; i < N_NUMBERS; i++) {
		printf("%ld squared is %ld, says worker %d\n", numbers[i],
		       squares[i].value, (int)squares[i].worker);
		sum += squares[i].value;
	}
	printf("the sum is %ld\n", sum);
	return 0;
}
