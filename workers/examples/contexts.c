/* One pool in each context: what a worker knows that main() has set. Prints, for
 * each, a global that main() changed, and what the initializer was given:
 *
 *     fork:       the global is 2, the initializer was given "fork"
 *     forkserver: the global is 1, the initializer was given "forkserver"
 *     spawn:      the global is 1, the initializer was given "spawn"
 *
 * A forked worker is a copy of main(), with everything that it had; that is only
 * possible while the program has one thread. The workers of the other contexts
 * are this program started anew, so they know nothing but their initializer's
 * argument and their inputs: for programs with threads, or with much memory.
 *
 * Shows: reeve_pool_setup(), which the latter need; it must come first in
 * main(), since that is where the new program finds out that it is a worker.
 * Functions are then known by their place in a table.
 */
#include <stdio.h>
#include <string.h>

#include <reeve/pool.h>

static int number = 1;
static char given[32] = "nothing";

static int initialize(void *argument, size_t size)
{
	(void)snprintf(given, sizeof(given), "%.*s", (int)size,
		       (const char *)argument);
	return 0;
}

static int tell(void *input, size_t size, struct reeve_reply *reply)
{
	char text[128];
	int n = snprintf(text, sizeof(text),
			 "the global is %d, the initializer was given \"%s\"",
			 number, given);

	(void)input, (void)size;
	return reeve_reply_set(reply, text, (size_t)n + 1);
}

static const struct reeve_function functions[] = {
	{ .name = "initialize", .init = initialize },
	{ .name = "tell", .task = tell },
	{ .name = NULL },
};

static int ask(const char *name, enum reeve_context context)
{
	const struct reeve_pool_spec spec = {
		.processes = 1,
		.context = context,
		.initializer = initialize,
		.initializer_argument = name,
		.initializer_size = strlen(name),
	};
	struct reeve_pool *pool;
	struct reeve_outcome outcome;
	char text[128] = "";
	size_t size = sizeof(text);
	int r;

	r = reeve_pool_new(&spec, &pool);
	if (r < 0) {
		fprintf(stderr, "%s: no pool: %s\n", name, strerror(-r));
		return r;
	}
	r = reeve_pool_apply(pool, tell, NULL, 0, text, &size, &outcome);
	if (r == 0)
		printf("%s: %s\n", name, text);
	else if (outcome.kind == REEVE_PENDING) /* it did not come to a task */
		fprintf(stderr, "%s: %s\n", name, strerror(-r));
	else
		fprintf(stderr, "%s: %s\n", name, outcome.message);
	(void)reeve_pool_free(pool); /* terminates: nothing is left to do */
	return r;
}

int main(void)
{
	int r;

	if (reeve_pool_setup(functions) < 0)
		return 1;
	number = 2;
	r = ask("fork", REEVE_CONTEXT_FORK);
	if (r == 0)
		r = ask("forkserver", REEVE_CONTEXT_FORKSERVER);
	if (r == 0)
		r = ask("spawn", REEVE_CONTEXT_SPAWN);
	return r == 0 ? 0 : 1;
}
