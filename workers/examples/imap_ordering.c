/* The same five tasks, of which the first takes far longer than the others, by
 * imap and by imap_unordered. Prints the order in which the outputs come:
 *
 *     imap:           0 1 2 3 4     in the order of the inputs
 *     imap_unordered: 1 3 4 2 0     as they are ready: 0 is the last
 *
 * Shows: iterators. Use imap where the order matters, and imap_unordered where
 * each output should be worked on as soon as it is there. Both keep only a
 * window of the items in memory, so the input may be endless.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <reeve/pool.h>

struct work {
	int number;
	int msec; /* how long it takes */
};

static int do_work(void *input, size_t size, struct reeve_reply *reply)
{
	const struct work *work = input;

	(void)size;
	(void)poll(NULL, 0, work->msec);
	return reeve_reply_set(reply, &work->number, sizeof(work->number));
}

/* Prints the outputs of an iterator, and frees it. Returns how many items were
 * lost, or -errno. */
static int print_all(const char *title, struct reeve_iterator *iterator)
{
	struct reeve_item item;
	int r, n_lost = 0;

	printf("%s", title);
	while ((r = reeve_iterator_next(iterator, REEVE_FOREVER, &item)) > 0) {
		int number;

		/* An item has its own outcome: one that fails does not end
		 * the iteration. */
		if (item.outcome->kind != REEVE_DONE) {
			n_lost++;
			continue;
		}
		memcpy(&number, item.output, sizeof(number));
		printf(" %d", number);
	}
	printf("\n");
	(void)reeve_iterator_free(iterator);
	return r < 0 ? r : n_lost;
}

int main(void)
{
	static const struct work works[] = {
		{ 0, 500 }, { 1, 5 }, { 2, 5 }, { 3, 5 }, { 4, 5 },
	};
	const struct reeve_imap_spec items = {
		.inputs = works,
		.input_size = sizeof(works[0]),
		.n_items = sizeof(works) / sizeof(works[0]),
	};
	const struct reeve_pool_spec spec = { .processes = 2 };
	struct reeve_pool *pool;
	struct reeve_iterator *iterator;
	int r;

	r = reeve_pool_new(&spec, &pool);
	if (r < 0) {
		fprintf(stderr, "no pool: %s\n", strerror(-r));
		return 1;
	}
	r = reeve_pool_imap(pool, do_work, &items, &iterator);
	if (r == 0)
		r = print_all("imap:          ", iterator);
	if (r == 0)
		r = reeve_pool_imap_unordered(pool, do_work, &items, &iterator);
	if (r == 0)
		r = print_all("imap_unordered:", iterator);
	if (r < 0)
		fprintf(stderr, "imap: %s\n", strerror(-r));
	else if (r > 0)
		fprintf(stderr, "%d items are lost\n", r);
	(void)reeve_pool_close(pool);
	(void)reeve_pool_join(pool, REEVE_FOREVER);
	(void)reeve_pool_free(pool);
	return r == 0 ? 0 : 1;
}
