/* Queues: a ring of bytes in shared memory that outlives whoever uses it.
 *
 * How the ring is kept stands in queue.h; here is how it is used. Two latches,
 * one for each end, so that a sender and a receiver do not meet; after the death
 * of a holder the state is right as it is. Who finds the queue full or empty
 * looks again for a short while (spin.h), then sleeps on a bell (bell.h) without
 * holding a latch: a sleeper that is stopped or killed holds up nobody.
 *
 * The eventfd is for event loops only. It is written when it is not known to be
 * readable, and emptied when the queue was found empty; after emptying, who emptied
 * looks again, since a message may have come just before that. Only who puts says
 * that it is readable, and never while it is emptied: so whoever dies, with the
 * next put it is. (tests/models/pollfd.pml)
 */
#include "workers/shared/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"

_Static_assert(QUEUE_UNIT == REEVE_QUEUE_ITEM_BYTES, "unit");

/* ---- waiting ---------------------------------------------------------------------- */

/* How long a call may wait; the clock is read when it comes to that. */
struct patience {
	uint64_t timeout_usec;
	uint64_t end_usec; /* 0: not known yet */
};

static uint64_t patience_end(struct patience *p)
{
	uint64_t now;

	if (p->end_usec == 0) {
		now = clock_monotonic_usec();
		p->end_usec = p->timeout_usec > UINT64_MAX - now
				      ? UINT64_MAX
				      : now + p->timeout_usec;
	}
	return p->end_usec;
}

/* A lock is held for a copy, unless its holder was stopped. Who does not want to
 * wait for messages waits that long for the lock all the same. Returns what
 * latch_lock() does. */
_seldom_ static int lock_patiently(struct latch *latch, struct patience *p)
{
	uint64_t end = patience_end(p);

	end += p->timeout_usec == 0 ? REGION_LOOK_USEC : 0;
	return latch_lock(latch, end);
}

static inline int lock(struct latch *latch, struct patience *p)
{
	int r = latch_lock(latch, 0);

	return r == -ETIMEDOUT ? lock_patiently(latch, p) : r;
}

struct sight {
	const reeve_queue *q;
	uint32_t units; /* wanted to put; 0: wants to get */
};

static bool has_room(const reeve_queue *q, struct queue_filling f,
		     uint32_t units)
{
	return f.items < q->max_items && f.units <= q->max_units - units;
}

static bool is_waiting(const void *arg)
{
	const struct sight *s = arg;
	const struct queue_memory *m = s->q->memory;
	struct queue_filling f = queue_between(
		atomic_load_explicit(&m->head, memory_order_relaxed),
		atomic_load_explicit(&m->tail, memory_order_relaxed));

	if (atomic_load_explicit(&m->closed, memory_order_relaxed))
		return false;
	return s->units ? !has_room(s->q, f, s->units) : f.items == 0;
}

static void look_for_a_while(reeve_queue *q, uint32_t units)
{
	struct sight sight = { q, units };
	struct spin spin = { .limit_usec = QUEUE_SPIN_USEC,
			     .usec = atomic_load(&q->spin_usec) };

	(void)spin_while(&spin, is_waiting, &sight);
	atomic_store(&q->spin_usec, spin.usec);
}

/* One try to put or to get: 0, -EAGAIN (full, empty), or another -errno. */
struct attempt {
	int (*try)(reeve_queue *q, struct attempt *a);
	struct patience patience;
	uint32_t units; /* wanted to put; 0: wants to get */
	const void *data;
	size_t size;
	unsigned char *buffer;
	bool is_new;  /* get into new memory */
	bool is_join; /* what is waited for takes longer than a while */
};

/* After a first try that said -EAGAIN. */
_seldom_ static int attempt_slowly(reeve_queue *q, struct bell *bell,
				   struct attempt *a)
{
	uint32_t word;
	int r;

	if (a->patience.timeout_usec == 0)
		return -EAGAIN;
	if (!a->is_join)
		look_for_a_while(q, a->units);
	for (;;) {
		word = bell_listen(bell);
		r = a->try(q, a);
		if (r != -EAGAIN)
			return r;
		r = region_wait(&bell->word, word, patience_end(&a->patience));
		if (r < 0)
			return r;
	}
}

static int attempt(reeve_queue *q, struct bell *bell, struct attempt *a)
{
	int r = a->try(q, a);

	return r == -EAGAIN ? attempt_slowly(q, bell, a) : r;
}

/* ---- the eventfd -------------------------------------------------------------------- */

static void make_readable(reeve_queue *q)
{
	const uint64_t one = 1;

	if (queue_has_fds(q))
		(void)!write(q->event_fd, &one, sizeof(one));
}

/* With put_lock held. */
_seldom_ static void signal_pollers(reeve_queue *q)
{
	uint32_t signal = QUEUE_SILENT;

	if (atomic_compare_exchange_strong(&q->memory->signal, &signal,
					   QUEUE_SIGNALLED) ||
	    signal != QUEUE_SIGNALLED)
		make_readable(q);
}

/* The queue was found empty. It is emptied whatever is known of it: who is about
 * to write may do so only when its message has been got. */
_seldom_ static void calm_pollers(reeve_queue *q)
{
	struct queue_memory *m = q->memory;
	uint64_t n;

	if (atomic_load(&m->closed) || !atomic_load(&m->polled) ||
	    !queue_has_fds(q))
		return;
	atomic_store(&m->signal, QUEUE_CALMING);
	(void)!read(q->event_fd, &n, sizeof(n));
	atomic_store(&m->signal, QUEUE_SILENT);
	if (atomic_load(&m->tail) != atomic_load(&m->head) ||
	    atomic_load(&m->closed))
		make_readable(q);
}

/* ---- the ring -------------------------------------------------------------------------- */

/* unit: since the beginning. The bytes from there to the ring's end. */
static size_t ring_rest(const reeve_queue *q, uint32_t unit, size_t *ret_offset)
{
	*ret_offset = (size_t)unit * QUEUE_UNIT & (q->ring_size - 1);
	return q->ring_size - *ret_offset;
}

static void ring_write(reeve_queue *q, uint32_t unit, const void *data,
		       size_t size)
{
	size_t offset, rest = MIN(ring_rest(q, unit, &offset), size);

	memcpy(q->ring + offset, data, rest);
	if (size > rest)
		memcpy(q->ring, (const char *)data + rest, size - rest);
}

static void ring_read(const reeve_queue *q, uint32_t unit, void *data,
		      size_t size)
{
	size_t offset, rest = MIN(ring_rest(q, unit, &offset), size);

	memcpy(data, q->ring + offset, rest);
	if (size > rest)
		memcpy((char *)data + rest, q->ring, size - rest);
}

/* One unit: it is never cut in two. */
static _Atomic uint64_t *ring_header(const reeve_queue *q, uint32_t unit)
{
	size_t offset;

	(void)ring_rest(q, unit, &offset);
	return (_Atomic uint64_t *)(void *)(q->ring + offset);
}

/* Whether what two ends say can be. */
static bool is_sound(const reeve_queue *q, struct queue_filling f)
{
	return f.items <= q->max_items && f.units <= q->max_units &&
	       f.units >= f.items && (f.items > 0 || f.units == 0);
}

/* ---- putting ------------------------------------------------------------------------------ */

/* Room for units behind tail? With put_lock held. 0, -EAGAIN, -EBADMSG. */
static int look_for_room(reeve_queue *q, uint64_t tail, uint32_t units)
{
	struct queue_memory *m = q->memory;
	struct queue_filling f = queue_between(
		atomic_load_explicit(&m->seen_head, memory_order_relaxed),
		tail);
	uint64_t head;

	if (is_sound(q, f) && has_room(q, f, units))
		return 0;
	head = atomic_load(&m->head);
	f = queue_between(head, tail);
	if (!is_sound(q, f))
		return -EBADMSG;
	if (!has_room(q, f, units))
		return -EAGAIN;
	atomic_store_explicit(&m->seen_head, head, memory_order_relaxed);
	return 0;
}

static int put_locked(reeve_queue *q, const struct attempt *a)
{
	struct queue_memory *m = q->memory;
	uint64_t tail = atomic_load_explicit(&m->tail, memory_order_relaxed);
	uint32_t items = (uint32_t)(tail >> 32), unit = (uint32_t)tail;
	uint64_t header = (uint64_t)items << 32 | (uint32_t)a->size;
	int r;

	if (atomic_load_explicit(&m->closed, memory_order_relaxed))
		return -EPIPE;
	r = look_for_room(q, tail, a->units);
	if (r == 0 && atomic_load(&m->polled) && !queue_has_fds(q))
		r = -EBADF; /* who polls would not hear of it */
	if (r < 0)
		return r;
	atomic_store_explicit(ring_header(q, unit), header,
			      memory_order_relaxed);
	if (a->size > 0)
		ring_write(q, unit + 1, a->data, a->size);
	/* From here on it is there. */
	(void)atomic_exchange(&m->tail, queue_end(items + 1, unit + a->units));
	if (atomic_load(&m->polled))
		signal_pollers(q);
	return 0;
}

/* Who died may not have signalled what it put. */
static int lock_to_put(reeve_queue *q, struct patience *p)
{
	struct queue_memory *m = q->memory;
	int r = lock(&m->put_lock, p);

	if (r > 0 && atomic_load(&m->polled))
		make_readable(q);
	return MIN(r, 0);
}

static int try_put(reeve_queue *q, struct attempt *a)
{
	struct queue_memory *m = q->memory;
	int r = lock_to_put(q, &a->patience);

	if (r < 0)
		return r;
	r = put_locked(q, a);
	latch_unlock(&m->put_lock);
	if (r == 0)
		bell_ring(&m->not_empty, 1);
	return r;
}

int reeve_queue_put(reeve_queue *q, const void *data, size_t size,
		    uint64_t timeout_usec)
{
	struct attempt a = {
		.try = try_put,
		.patience = { .timeout_usec = timeout_usec },
		.data = data,
		.size = size,
	};

	if (!q || (!data && size > 0))
		return -EINVAL;
	if (size > queue_message_max(q))
		return -EMSGSIZE;
	a.units = queue_units(size);
	return attempt(q, &q->memory->not_full, &a);
}

/* ---- getting ------------------------------------------------------------------------------- */

/* What is there to get? With get_lock held. 0, -EAGAIN, -EPIPE, -EBADMSG. */
static int look_for_message(reeve_queue *q, uint64_t head,
			    struct queue_filling *ret)
{
	struct queue_memory *m = q->memory;
	uint64_t tail =
		atomic_load_explicit(&m->seen_tail, memory_order_relaxed);
	struct queue_filling f = queue_between(head, tail);

	if (f.items == 0 || !is_sound(q, f)) {
		/* In this order: after closing, nothing is put. */
		uint32_t is_closed = atomic_load(&m->closed);

		tail = atomic_load(&m->tail);
		f = queue_between(head, tail);
		if (!is_sound(q, f))
			return -EBADMSG;
		if (f.items == 0)
			return is_closed ? -EPIPE : -EAGAIN;
		atomic_store_explicit(&m->seen_tail, tail,
				      memory_order_relaxed);
	} else {
		/* what another receiver saw, this one has yet to see */
		atomic_thread_fence(memory_order_acquire);
	}
	*ret = f;
	return 0;
}

/* Where the next message of size bytes goes to. */
static int find_buffer(struct attempt *a, size_t size)
{
	if (!a->is_new)
		return size > a->size ? -EMSGSIZE : 0;
	free(a->buffer); /* of an attempt that failed */
	a->buffer = malloc(size + 1);
	if (!a->buffer)
		return -ENOMEM;
	a->buffer[size] = 0;
	return 0;
}

/* From here on the message is gone: its taker's. */
static int move_head(reeve_queue *q, uint64_t from, uint64_t to)
{
	struct queue_memory *m = q->memory;
	int r = q->is_joinable ? tally_take(&m->tally, from) : 0;

	if (r < 0)
		return r;
	(void)atomic_exchange(&m->head, to);
	if (q->is_joinable)
		tally_taken(&m->tally);
	return 0;
}

static int get_locked(reeve_queue *q, struct attempt *a)
{
	struct queue_memory *m = q->memory;
	uint64_t head = atomic_load_explicit(&m->head, memory_order_relaxed);
	uint32_t items = (uint32_t)(head >> 32), unit = (uint32_t)head;
	struct queue_filling f;
	uint64_t header;
	uint32_t size;
	int r;

	r = look_for_message(q, head, &f);
	if (r < 0)
		return r;
	/* read once: what is checked is what is used */
	header = atomic_load_explicit(ring_header(q, unit),
				      memory_order_relaxed);
	size = (uint32_t)header;
	if (header >> 32 != items || size > queue_message_max(q) ||
	    queue_units(size) > f.units)
		return -EBADMSG;
	r = find_buffer(a, size);
	if (r < 0)
		return r;
	if (size > 0)
		ring_read(q, unit + 1, a->buffer, size);
	a->size = size;
	return move_head(q, head,
			 queue_end(items + 1, unit + queue_units(size)));
}

static int lock_to_get(reeve_queue *q, struct patience *p)
{
	struct queue_memory *m = q->memory;
	int r = lock(&m->get_lock, p);

	if (r > 0 && q->is_joinable)
		tally_repair(&m->tally, atomic_load(&m->head));
	return MIN(r, 0);
}

static int try_get(reeve_queue *q, struct attempt *a)
{
	struct queue_memory *m = q->memory;
	int r = lock_to_get(q, &a->patience);

	if (r < 0)
		return r;
	r = get_locked(q, a);
	if (r == -EAGAIN)
		calm_pollers(q);
	latch_unlock(&m->get_lock);
	/* All of them: the room may be enough for some and not for others. */
	if (r == 0)
		bell_ring(&m->not_full, INT_MAX);
	return r;
}

int reeve_queue_get(reeve_queue *q, void *buffer, size_t size,
		    uint64_t timeout_usec, size_t *ret_size)
{
	struct attempt a = {
		.try = try_get,
		.patience = { .timeout_usec = timeout_usec },
		.buffer = buffer,
		.size = size,
	};
	int r;

	if (!q || (!buffer && size > 0))
		return -EINVAL;
	r = attempt(q, &q->memory->not_empty, &a);
	if (r == 0 && ret_size)
		*ret_size = a.size;
	return r;
}

int reeve_queue_get_new(reeve_queue *q, uint64_t timeout_usec, void **ret_data,
			size_t *ret_size)
{
	struct attempt a = {
		.try = try_get,
		.patience = { .timeout_usec = timeout_usec },
		.is_new = true,
	};
	int r;

	if (!q || !ret_data || !ret_size)
		return -EINVAL;
	r = attempt(q, &q->memory->not_empty, &a);
	if (r < 0)
		free(a.buffer); /* no entry was free */
	if (r < 0)
		return r;
	*ret_data = a.buffer;
	*ret_size = a.size;
	return 0;
}

/* ---- joining ------------------------------------------------------------------------------- */

int reeve_queue_task_done(reeve_queue *q)
{
	struct patience patience = { .timeout_usec = REEVE_FOREVER };
	struct queue_memory *m;
	int r;

	if (!q)
		return -EINVAL;
	if (!q->is_joinable)
		return -EOPNOTSUPP;
	m = q->memory;
	r = lock_to_get(q, &patience);
	if (r < 0)
		return r;
	r = tally_finish(&m->tally);
	latch_unlock(&m->get_lock);
	if (r == 0)
		bell_ring(&m->idle, INT_MAX);
	return r;
}

static int try_join(reeve_queue *q, struct attempt *a)
{
	struct queue_memory *m = q->memory;
	int r = lock_to_get(q, &a->patience);

	if (r < 0)
		return r;
	if (atomic_load(&m->tail) != atomic_load(&m->head) ||
	    tally_unfinished(&m->tally) > 0)
		r = -EAGAIN;
	a->size = atomic_load(&m->tally.n_lost);
	latch_unlock(&m->get_lock);
	return r;
}

int reeve_queue_join(reeve_queue *q, uint64_t timeout_usec, size_t *ret_lost)
{
	struct attempt a = { .try = try_join,
			     .patience = { .timeout_usec = timeout_usec },
			     .is_join = true };
	int r;

	if (!q)
		return -EINVAL;
	if (!q->is_joinable)
		return -EOPNOTSUPP;
	r = attempt(q, &q->memory->idle, &a);
	if (r == 0 && ret_lost)
		*ret_lost = a.size;
	return r;
}

/* ---- what it is like ------------------------------------------------------------------------- */

size_t reeve_queue_message_max(const reeve_queue *q)
{
	return q ? queue_message_max(q) : 0;
}

/* Head first: it never passes a tail that is read after it. */
static struct queue_filling filling(const reeve_queue *q)
{
	uint64_t head = atomic_load(&q->memory->head);
	struct queue_filling f =
		queue_between(head, atomic_load(&q->memory->tail));

	f.items = MIN(f.items, q->max_items);
	return f;
}

size_t reeve_queue_qsize(const reeve_queue *q)
{
	return q ? filling(q).items : 0;
}

int reeve_queue_is_empty(const reeve_queue *q)
{
	return q ? filling(q).items == 0 : -EINVAL;
}

int reeve_queue_is_full(const reeve_queue *q)
{
	return q ? !has_room(q, filling(q), 1) : -EINVAL;
}

int reeve_queue_poll_fd(reeve_queue *q)
{
	struct queue_memory *m;

	if (!q)
		return -EINVAL;
	if (!queue_has_fds(q))
		return -EBADF;
	m = q->memory;
	if (!atomic_exchange(&m->polled, 1) &&
	    (!reeve_queue_is_empty(q) || atomic_load(&m->closed)))
		make_readable(q);
	return q->event_fd;
}

int reeve_queue_close(reeve_queue *q)
{
	struct patience patience = { .timeout_usec = REEVE_FOREVER };
	struct queue_memory *m;
	int r;

	if (!q)
		return -EINVAL;
	m = q->memory;
	/* Under the lock: when it is closed, nobody is about to put. */
	r = lock_to_put(q, &patience);
	if (r < 0)
		return r;
	atomic_store(&m->closed, 1);
	make_readable(q);
	latch_unlock(&m->put_lock);
	bell_ring(&m->not_empty, INT_MAX);
	bell_ring(&m->not_full, INT_MAX);
	return 0;
}
