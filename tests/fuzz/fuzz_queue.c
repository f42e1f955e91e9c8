/* Fuzzes a queue whose memory another process overwrites between calls, and opens
 * it anew: whatever stands there, calls return, and stay within bounds. The two
 * latches are not made to look as if somebody held them, which takes time: that
 * is test_latch's.
 *
 * The input is a script: one byte says what happens, others with what.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/shared/queue.h"

#define BYTES	  512
#define STEPS_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct script {
	const uint8_t *data;
	size_t left;
};

static uint8_t take(struct script *s)
{
	if (s->left == 0)
		return 0;
	s->left--;
	return *s->data++;
}

static uint64_t take_word(struct script *s)
{
	uint64_t word = 0;

	for (int i = 0; i < 8; i++)
		word = word << 8 | take(s);
	return word;
}

static void put(reeve_queue *q, struct script *s)
{
	static const unsigned char bytes[BYTES * 2];
	size_t size = (size_t)take(s) * 4;
	int r = reeve_queue_put(q, bytes, size, 0);

	reeve_assert(r <= 0);
	reeve_assert(size <= reeve_queue_message_max(q) || r == -EMSGSIZE);
}

static void get(reeve_queue *q, struct script *s)
{
	unsigned char *buffer;
	size_t size = (size_t)take(s) * 4, got = 0;
	void *p = NULL;

	/* exactly so large: one byte more would be seen */
	buffer = malloc(size);
	if (buffer && reeve_queue_get(q, buffer, size, 0, &got) == 0)
		reeve_assert(got <= size);
	free(buffer);
	if (reeve_queue_get_new(q, 0, &p, &got) == 0)
		reeve_assert(got <= reeve_queue_message_max(q));
	free(p);
}

/* The words that mean something, one by one. */
static void set_word(reeve_queue *q, struct script *s)
{
	struct queue_memory *m = q->memory;
	_Atomic uint64_t *const words[] = { &m->head, &m->tail, &m->seen_head,
					    &m->seen_tail, &m->tally.head };
	uint8_t which = take(s);

	if (which < 0x80)
		atomic_store(words[which % ARRAY_SIZE(words)], take_word(s));
	else
		(void)atomic_fetch_add(words[which % ARRAY_SIZE(words)],
				       (uint64_t)take(s) << 32 | take(s));
}

static void scribble(struct script *s, void *memory, size_t room)
{
	unsigned char *bytes = memory;
	size_t at = ((size_t)take(s) << 8 | take(s)) % room, n = take(s);

	for (; n > 0 && at < room && s->left > 0; n--)
		bytes[at++] = take(s);
}

static void scribble_behind_latches(reeve_queue *q, struct script *s)
{
	struct queue_memory *m = q->memory;

	scribble(s, &m->head, sizeof(*m) - offsetof(struct queue_memory, head));
	/* no eventfd is to be waited on here, and no clock */
	atomic_store(&m->polled, 0);
}

static void open_again(reeve_queue *q, struct script *s)
{
	reeve_queue *other = NULL;
	int fds[REEVE_QUEUE_FDS];

	q->memory->max_bytes = take_word(s);
	q->memory->max_items = take(s);
	(void)reeve_queue_fds(q, fds);
	if (reeve_queue_open(fds, &other) == 0) {
		reeve_assert(reeve_queue_message_max(other) < BYTES);
		put(other, s);
		get(other, s);
		(void)reeve_queue_free(other);
	}
}

static void act(reeve_queue *q, struct script *s)
{
	switch (take(s) % 8) {
	case 0:
	case 1:
		put(q, s);
		break;
	case 2:
		get(q, s);
		break;
	case 3:
		set_word(q, s);
		break;
	case 4:
		scribble(s, q->ring, BYTES);
		break;
	case 5:
		scribble_behind_latches(q, s);
		break;
	case 6:
		open_again(q, s);
		break;
	case 7:
		(void)reeve_queue_qsize(q);
		(void)reeve_queue_is_full(q);
		(void)reeve_queue_task_done(q);
		tally_repair(&q->memory->tally, take_word(s));
		atomic_store(&q->memory->get_lock.word,
			     FUTEX_OWNER_DIED | take(s));
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = { data, size };
	struct reeve_queue_spec spec = { .max_bytes = BYTES,
					 .max_items = 32,
					 .is_joinable = size % 2 };
	reeve_queue *q = NULL;

	reeve_assert(reeve_queue_new(&spec, &q) == 0);
	for (int i = 0; i < STEPS_MAX && s.left > 0; i++)
		act(q, &s);
	(void)reeve_queue_free(q);
	return 0;
}
