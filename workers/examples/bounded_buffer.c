/* A buffer of four places between one producer and two consumers. Shows two
 * Conditions of one Lock: "not full" for the producer, "not empty" for the
 * consumers. Who has to wait releases the lock meanwhile; who changes the buffer
 * notifies one of the other side.
 */
#include <stdio.h>
#include <sys/mman.h>

#include <reeve/process.h>
#include <reeve/sync.h>

#define PLACES	  4
#define ITEMS	  1000
#define CONSUMERS 2

struct buffer {
	int places[PLACES];
	unsigned n_put, n_taken;
	long sum;
	reeve_lock *lock;
	reeve_condition *not_full, *not_empty;
};

static bool has_room(void *arg)
{
	const struct buffer *b = arg;

	return b->n_put - b->n_taken < PLACES;
}

static bool has_item_or_end(void *arg)
{
	const struct buffer *b = arg;

	return b->n_put > b->n_taken || b->n_taken == ITEMS;
}

static int produce(void *arg)
{
	struct buffer *b = arg;

	for (int i = 1; i <= ITEMS; i++) {
		if (reeve_lock_acquire(b->lock, REEVE_FOREVER) < 0 ||
		    reeve_condition_wait_for(b->not_full, has_room, b,
					     REEVE_FOREVER) < 0)
			return 1;
		b->places[b->n_put++ % PLACES] = i;
		if (reeve_condition_notify(b->not_empty) < 0 ||
		    reeve_lock_release(b->lock) < 0)
			return 1;
	}
	return 0;
}

static int consume(void *arg)
{
	struct buffer *b = arg;
	bool is_over = false;

	while (!is_over) {
		if (reeve_lock_acquire(b->lock, REEVE_FOREVER) < 0 ||
		    reeve_condition_wait_for(b->not_empty, has_item_or_end, b,
					     REEVE_FOREVER) < 0)
			return 1;
		is_over = b->n_taken == ITEMS;
		if (!is_over)
			b->sum += b->places[b->n_taken++ % PLACES];
		/* the last one tells the other consumer that it is over */
		if (reeve_condition_notify(b->not_full) < 0 ||
		    (b->n_taken == ITEMS &&
		     reeve_condition_notify_all(b->not_empty) < 0) ||
		    reeve_lock_release(b->lock) < 0)
			return 1;
	}
	return 0;
}

static int run(struct buffer *b)
{
	struct reeve_process_spec producer = { .function = produce, .arg = b };
	struct reeve_process_spec consumer = { .function = consume, .arg = b };
	reeve_process *processes[CONSUMERS + 1] = { NULL };
	int status = 0;

	for (int i = 0; i <= CONSUMERS; i++)
		if (reeve_process_start(i == 0 ? &producer : &consumer,
					&processes[i]) < 0)
			status = 1;
	for (int i = 0; i <= CONSUMERS; i++) {
		int code = 1;

		(void)reeve_process_join(processes[i], REEVE_FOREVER);
		if (reeve_process_exitcode(processes[i], &code) != 1 || code)
			status = 1;
		(void)reeve_process_free(processes[i]);
	}
	return status;
}

int main(void)
{
	struct buffer *b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;

	if (b == MAP_FAILED || reeve_lock_new(&b->lock) < 0 ||
	    reeve_condition_new(b->lock, &b->not_full) < 0 ||
	    reeve_condition_new(b->lock, &b->not_empty) < 0)
		return 1;
	status = run(b);
	printf("%u put, %u taken, sum %ld\n", b->n_put, b->n_taken, b->sum);
	(void)reeve_condition_free(b->not_empty);
	(void)reeve_condition_free(b->not_full);
	(void)reeve_lock_free(b->lock);
	return status;
}
