/* Five tasks, each of which ends in another way: it is done, it says that it
 * failed, its process crashes, it takes too long, it is cancelled. Prints what
 * the callbacks are told of each, and that the pool works on.
 *
 * Shows: apply_async with callback and error_callback, outcomes, and results,
 * which can be waited for, asked and cancelled. Callbacks run in this process,
 * inside calls that wait (here: get and join), never behind one's back.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <reeve/pool.h>

/* Three tasks. What becomes of one is told of that one, and of no other. */

static int double_it(void *input, size_t size, struct reeve_reply *reply)
{
	int number;

	if (size != sizeof(number))
		return -EINVAL;
	memcpy(&number, input, size);
	if (number > 1000)
		return reeve_reply_error(reply, -ERANGE, "%d is too large",
					 number);
	number *= 2;
	return reeve_reply_set(reply, &number, sizeof(number));
}

static int crash(void *input, size_t size, struct reeve_reply *reply)
{
	(void)input, (void)size, (void)reply;
	return raise(SIGSEGV);
}

static int hang(void *input, size_t size, struct reeve_reply *reply)
{
	(void)input, (void)size, (void)reply;
	for (;;)
		(void)poll(NULL, 0, -1);
	return 0;
}

static void on_done(struct reeve_result *result, void *userdata)
{
	const char *name = userdata;
	int number = 0;

	/* There is an outcome, so this does not wait. */
	if (reeve_result_get(result, 0, &number, sizeof(number), NULL) == 0)
		printf("%s: %d\n", name, number);
}

static void on_error(struct reeve_result *result, void *userdata)
{
	const char *name = userdata;
	struct reeve_outcome outcome;

	reeve_result_outcome(result, &outcome);
	printf("%s: %s", name, reeve_outcome_name(outcome.kind));
	if (outcome.kind == REEVE_FAILED)
		printf(": %s (%s)", outcome.message, strerror(-outcome.error));
	if (outcome.kind == REEVE_CRASHED)
		printf(" with exit code %d", outcome.exit.code);
	printf("\n");
}

/* Queues a task whose callbacks know it by name. */
static int submit(struct reeve_pool *pool, const char *name, reeve_task_fn *fn,
		  int number, struct reeve_result **ret_result)
{
	char *userdata = (char *)(uintptr_t)name; /* only read */
	const struct reeve_apply_spec spec = {
		.callback = on_done,
		.error_callback = on_error,
		.userdata = userdata,
	};
	int r = reeve_pool_apply_async(pool, fn, &number, sizeof(number), &spec,
				       ret_result);

	if (r < 0)
		fprintf(stderr, "%s: %s\n", name, strerror(-r));
	return r;
}

/* A task without a result of its own (NULL) is known by its callbacks only. */
static int submit_all(struct reeve_pool *pool)
{
	struct reeve_result *cancelled, *last;
	int r = 0, number = 0;

	r = r < 0 ? r : submit(pool, "good", double_it, 21, NULL);
	r = r < 0 ? r : submit(pool, "bad", double_it, 1001, NULL);
	r = r < 0 ? r : submit(pool, "crashing", crash, 0, NULL);
	r = r < 0 ? r : submit(pool, "hanging", hang, 0, NULL);
	r = r < 0 ? r : submit(pool, "unwanted", hang, 0, &cancelled);
	if (r < 0)
		return r;
	(void)reeve_result_cancel(cancelled);
	(void)reeve_result_unref(cancelled);

	r = submit(pool, "after all that", double_it, 4, &last);
	if (r < 0)
		return r;
	r = reeve_result_get(last, REEVE_FOREVER, &number, sizeof(number),
			     NULL);
	printf("get says %d\n", number);
	(void)reeve_result_unref(last);
	return r;
}

int main(void)
{
	const struct reeve_pool_spec spec = {
		.processes = 2,
		.task_timeout_usec = 1000000, /* for each task, once it runs */
	};
	struct reeve_pool *pool;
	int r;

	r = reeve_pool_new(&spec, &pool);
	if (r < 0) {
		fprintf(stderr, "no pool: %s\n", strerror(-r));
		return 1;
	}
	r = submit_all(pool);
	(void)reeve_pool_close(pool);
	(void)reeve_pool_join(pool, REEVE_FOREVER);
	(void)reeve_pool_free(pool);
	return r == 0 ? 0 : 1;
}
