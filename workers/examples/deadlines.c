/* Three tasks that take too long. One looks at the clock while it works, and tidies up
 * in time; one sleeps, and is woken by a signal; one does not listen, and is killed.
 * Prints how far the first one is while it runs, what becomes of each, and what the
 * last one was doing when its time was over.
 *
 * Shows: a soft deadline, which a task is told of, and the hard one, which it does
 * not survive; progress; and the report of deaths, with a post-mortem.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <reeve/pool.h>

#define SHEEP 1000000

/* Says how far it is, and hears whether its time is over, in one call. */
static int count_sheep(void *input, size_t size, struct reeve_reply *reply)
{
	(void)input, (void)size;
	for (int n = 0; n < SHEEP; n++) {
		if (reeve_task_progress(reply, (uint64_t)n, SHEEP,
					"counting sheep") != 0)
			return reeve_reply_error(reply, -ETIME,
						 "not done, but all sheep "
						 "are back in the stable");
		(void)poll(NULL, 0, 10);
	}
	return 0;
}

/* The signal ends its sleep, and that is all that its handler is for. */
static int sleep_lightly(void *input, size_t size, struct reeve_reply *reply)
{
	static const char answer[] = "woken, and done all the same";

	(void)input, (void)size;
	while (!reeve_task_is_overdue(reply))
		(void)poll(NULL, 0, 60000);
	return reeve_reply_set(reply, answer, sizeof(answer));
}

/* Waits for what nobody will write, and takes no notice of anything. */
static int wait_in_vain(void *input, size_t size, struct reeve_reply *reply)
{
	int ends[2];
	char c;

	(void)input, (void)size, (void)reply;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	while (read(ends[0], &c, 1) < 0 && errno == EINTR)
		continue;
	return 0;
}

static void on_signal(int signo)
{
	(void)signo;
}

/* Without a handler the signal would end the worker. */
static int install_handler(void *argument, size_t size)
{
	struct sigaction action = { .sa_handler = on_signal };

	(void)argument, (void)size;
	return sigaction(SIGUSR1, &action, NULL) < 0 ? -errno : 0;
}

static void on_progress(struct reeve_result *result,
			const struct reeve_progress *progress, void *userdata)
{
	const char *name = userdata;
	static int n_told;

	(void)result;
	if (n_told++ == 0)
		printf("%s: %s, %lu of %lu\n", name, progress->text,
		       (unsigned long)progress->done,
		       (unsigned long)progress->total);
}

static void on_over(struct reeve_result *result, void *userdata)
{
	const char *name = userdata;
	struct reeve_outcome outcome;
	char answer[64] = "";

	reeve_result_outcome(result, &outcome);
	if (reeve_result_get(result, 0, answer, sizeof(answer), NULL) == 0)
		printf("%s: %s\n", name, answer);
	else
		printf("%s: %s: %s\n", name, reeve_outcome_name(outcome.kind),
		       outcome.message);
}

static int submit(struct reeve_pool *pool, const char *name, reeve_task_fn *fn)
{
	const struct reeve_apply_spec spec = {
		.callback = on_over,
		.error_callback = on_over,
		.progress_callback = on_progress,
		.userdata = (char *)(uintptr_t)name, /* only read */
	};

	return reeve_pool_apply_async(pool, fn, NULL, 0, &spec, NULL);
}

static void report(struct reeve_pool *pool)
{
	struct reeve_death death; /* of the last one */
	size_t n = reeve_pool_report(pool, &death, 1);

	if (n > 0)
		printf("workers that died: %zu, of a %s: it was %s\n", n,
		       reeve_death_name(death.cause), death.post_mortem);
}

int main(void)
{
	const struct reeve_pool_spec spec = {
		.processes = 3,
		.initializer = install_handler,
		.task_soft_timeout_usec = 1000000, /* of each task */
		.soft_signal = SIGUSR1,
		.task_timeout_usec = 1500000,
	};
	struct reeve_pool *pool;
	int r;

	r = reeve_pool_new(&spec, &pool);
	if (r < 0) {
		fprintf(stderr, "no pool: %s\n", strerror(-r));
		return 1;
	}
	r = submit(pool, "careful", count_sheep);
	r = r < 0 ? r : submit(pool, "light sleeper", sleep_lightly);
	r = r < 0 ? r : submit(pool, "stubborn", wait_in_vain);
	(void)reeve_pool_close(pool);
	(void)reeve_pool_join(pool, REEVE_FOREVER);
	report(pool);
	(void)reeve_pool_free(pool);
	return r == 0 ? 0 : 1;
}
