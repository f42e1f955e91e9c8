/* A relay of three runners, each a task in a worker of a pool. A runner waits for
 * the one before to arrive, runs, and lets the next one go: by an Event for each.
 * They are called in the wrong order, and run in the right one. Prints what each
 * of them says.
 *
 * Shows: objects that are shared with a pool's workers, who find them by name.
 * The workers are this program started anew (context spawn), so they have inherited
 * nothing; with the other contexts it is the same.
 */
#include <stdio.h>
#include <string.h>

#include <reeve/pool.h>
#include <reeve/shared.h>
#include <reeve/sync.h>

#define RUNNERS 3

/* The event that lets runner n go: "go 1" is the start. */
static reeve_event *event_of(int n)
{
	char name[REEVE_SHARED_NAME_MAX];

	(void)snprintf(name, sizeof(name), "go %d", n);
	return reeve_pool_shared(name)->event;
}

static int run(void *input, size_t size, struct reeve_reply *reply)
{
	const int *n = input;
	char text[80];
	int64_t place = 0;
	int r;

	(void)size;
	r = reeve_event_wait(event_of(*n), REEVE_FOREVER);
	if (r == 0)
		r = reeve_value_add(reeve_pool_shared("arrived")->value, 1,
				    &place);
	if (r == 0)
		r = reeve_event_set(event_of(*n + 1));
	if (r < 0)
		return r;
	(void)snprintf(text, sizeof(text), "runner %d ran as number %d", *n,
		       (int)place);
	return reeve_reply_set(reply, text, strlen(text) + 1);
}

static const struct reeve_function functions[] = {
	{ .name = "run", .task = run },
	{ .name = NULL },
};

static void print(struct reeve_result *result, void *userdata)
{
	char text[80] = "";

	(void)userdata;
	(void)reeve_result_get(result, 0, text, sizeof(text), NULL);
	puts(text);
}

/* Calls the last one first, gives the start, and waits for the finish. */
static int race(struct reeve_pool *pool, reeve_event *start,
		reeve_event *finish)
{
	const struct reeve_apply_spec callbacks = { .callback = print };
	int r = 0;

	for (int n = RUNNERS; n >= 1 && r == 0; n--)
		r = reeve_pool_apply_async(pool, run, &n, sizeof(n), &callbacks,
					   NULL);
	(void)reeve_event_set(start);
	(void)reeve_pool_close(pool);
	(void)reeve_pool_join(pool, REEVE_FOREVER);
	printf("the last one %s\n", reeve_event_is_set(finish) == 1
					    ? "has arrived"
					    : "is on the way");
	return r;
}

int main(void)
{
	struct reeve_shared shared[] = {
		{ .name = "go 1" },    { .name = "go 2" },
		{ .name = "go 3" },    { .name = "go 4" }, /* the finish */
		{ .name = "arrived" }, { .name = NULL },
	};
	const struct reeve_pool_spec spec = {
		.name = "relay",
		.processes = RUNNERS, /* or the first would wait for a worker */
		.context = REEVE_CONTEXT_SPAWN,
		.shared = shared,
	};
	struct reeve_pool *pool = NULL;
	int r = 0;

	if (reeve_pool_setup(functions) < 0)
		return 1;
	for (int i = 0; i <= RUNNERS && r == 0; i++)
		r = reeve_event_new(&shared[i].event);
	if (r == 0)
		r = reeve_value_new(REEVE_INT, false,
				    &shared[RUNNERS + 1].value);
	if (r == 0)
		r = reeve_pool_new(&spec, &pool);
	if (r < 0) {
		fprintf(stderr, "no race: %s\n", strerror(-r));
		return 1;
	}
	r = race(pool, shared[0].event, shared[RUNNERS].event);
	(void)reeve_pool_free(pool);
	(void)reeve_value_free(shared[RUNNERS + 1].value);
	for (int i = 0; i <= RUNNERS; i++)
		(void)reeve_event_free(shared[i].event);
	return r == 0 ? 0 : 1;
}
