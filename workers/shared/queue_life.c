/* A queue's life: made, opened by what was executed, repaired, released. What it
 * does meanwhile is queue.c.
 *
 * Who opens a queue believes nothing that stands in it but what fits the size of
 * the memory, and keeps that for itself.
 */
#include "workers/shared/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/fd.h"
#include "workers/shared/repair.h"

_Static_assert(TALLY_ENTRIES == REEVE_QUEUE_TAKERS_MAX, "tally");
_Static_assert(sizeof(struct queue_memory) <= QUEUE_RING_OFFSET, "ring");

static uint64_t ring_size_of(uint64_t max_bytes)
{
	uint64_t size = REEVE_QUEUE_BYTES_MIN;

	while (size < max_bytes)
		size *= 2;
	return size;
}

reeve_queue *reeve_queue_free(reeve_queue *q)
{
	if (!q)
		return NULL;
	if (q->event_fd >= 0 && queue_has_fds(q))
		(void)fd_close(q->event_fd);
	region_done(&q->region);
	free(q);
	return NULL;
}

static void free_queue(reeve_queue **q)
{
	(void)reeve_queue_free(*q);
}

static int handle_new(reeve_queue **ret)
{
	reeve_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	q->region = REGION_NONE;
	q->event_fd = -1;
	q->spin_usec = QUEUE_SPIN_USEC;
	*ret = q;
	return 0;
}

static void handle_set(reeve_queue *q, uint64_t max_bytes, uint32_t max_items)
{
	q->memory = (struct queue_memory *)(void *)q->region.head;
	q->ring = (unsigned char *)q->memory + QUEUE_RING_OFFSET;
	q->ring_size = ring_size_of(max_bytes);
	q->max_units = (uint32_t)(max_bytes / QUEUE_UNIT);
	q->max_items = max_items;
	q->is_joinable = q->memory->is_joinable != 0;
}

static bool is_possible(uint64_t max_bytes, uint64_t max_items)
{
	return max_bytes >= REEVE_QUEUE_BYTES_MIN &&
	       max_bytes <= REEVE_QUEUE_BYTES_MAX && max_items > 0 &&
	       max_items <= REEVE_QUEUE_ITEMS_MAX;
}

/* ---- its fds in this process --------------------------------------------------------- */

static bool identify(const reeve_queue *q, struct queue_fds_id *ret)
{
	const int fds[REEVE_QUEUE_FDS] = { q->region.fd, q->event_fd };
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (fstat(fds[i], &st) < 0)
			return false;
		ret->dev[i] = st.st_dev;
		ret->ino[i] = st.st_ino;
	}
	return true;
}

/* The eventfd's number is that of all files of its kind; but the memory's is its
 * own, and both were kept or neither. */
static bool are_fds_there(const reeve_queue *q)
{
	struct queue_fds_id id = { 0 };

	return identify(q, &id) && memcmp(&id, &q->id, sizeof(id)) == 0;
}

bool queue_has_fds(reeve_queue *q)
{
	const struct robust_self *self = robust_self();
	uint64_t era = self ? self->era : 0;

	if (era == 0 || atomic_load(&q->fds_era) != era) {
		atomic_store(&q->has_fds, are_fds_there(q));
		atomic_store(&q->fds_era, era);
	}
	return atomic_load(&q->has_fds);
}

/* ---- making and opening ----------------------------------------------------------------- */

int reeve_queue_new(const struct reeve_queue_spec *spec, reeve_queue **ret)
{
	_cleanup_(free_queue) reeve_queue *q = NULL;
	const struct reeve_queue_spec s =
		spec ? *spec : (struct reeve_queue_spec){ 0 };
	uint64_t bytes = s.max_bytes ? s.max_bytes : REEVE_QUEUE_BYTES_DEFAULT;
	uint32_t items = s.max_items ? s.max_items : REEVE_QUEUE_ITEMS_MAX;
	struct queue_memory *m;
	int r;

	if (!ret || !is_possible(bytes, items))
		return -EINVAL;
	r = handle_new(&q);
	if (r < 0)
		return r;
	r = region_new(REGION_QUEUE, QUEUE_RING_OFFSET + ring_size_of(bytes),
		       &q->region);
	if (r < 0)
		return r;
	m = (struct queue_memory *)(void *)q->region.head;
	m->max_bytes = bytes;
	m->max_items = items;
	m->is_joinable = s.is_joinable;
	handle_set(q, bytes, items);
	q->event_fd = fd_lift(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (q->event_fd < 0 || !identify(q, &q->id))
		return -errno;
	*ret = TAKE(q);
	return 0;
}

/* A pipe in its place could block whoever writes to it. */
static int open_eventfd(int fd)
{
	char path[sizeof("/proc/self/fd/-2147483648")], link[32] = "";

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (readlink(path, link, sizeof(link) - 1) < 0)
		return errno == ENOENT ? -EBADF : -errno;
	if (strcmp(link, "anon_inode:[eventfd]") != 0)
		return -EBADMSG;
	return fd_copy(fd);
}

int reeve_queue_open(const int fds[REEVE_QUEUE_FDS], reeve_queue **ret)
{
	_cleanup_(free_queue) reeve_queue *q = NULL;
	struct queue_memory *m;
	uint64_t bytes;
	uint32_t items;
	int r;

	if (!fds || !ret)
		return -EINVAL;
	r = handle_new(&q);
	if (r < 0)
		return r;
	r = region_open(fds[0], REGION_QUEUE, QUEUE_RING_OFFSET, &q->region);
	if (r < 0)
		return r;
	m = (struct queue_memory *)(void *)q->region.head;
	bytes = m->max_bytes;
	items = m->max_items;
	if (!is_possible(bytes, items) ||
	    q->region.size != QUEUE_RING_OFFSET + ring_size_of(bytes))
		return -EBADMSG;
	handle_set(q, bytes, items);
	r = open_eventfd(fds[1]);
	if (r < 0)
		return r;
	q->event_fd = r;
	if (!identify(q, &q->id))
		return -errno;
	*ret = TAKE(q);
	return 0;
}

int reeve_queue_fds(const reeve_queue *q, int ret_fds[REEVE_QUEUE_FDS])
{
	if (!q || !ret_fds)
		return -EINVAL;
	ret_fds[0] = q->region.fd;
	ret_fds[1] = q->event_fd;
	return 0;
}

/* ---- for the parent of a process that ended ----------------------------------------- */

/* It may have put a message and not said so. Whoever has the eventfd could have
 * made it one that blocks. */
static void signal_again(const struct patient *p)
{
	struct queue_memory *m = p->memory;
	const uint64_t one = 1;

	if (!atomic_load(&m->polled) ||
	    (atomic_load(&m->head) == atomic_load(&m->tail) &&
	     !atomic_load(&m->closed)))
		return;
	if (fd_set_nonblocking(p->event_fd, true) == 0)
		(void)!write(p->event_fd, &one, sizeof(one));
}

static void repair_queue(const struct patient *p)
{
	struct queue_memory *m = p->memory;
	int r = repair_enter(&m->get_lock);

	if (r >= 0) {
		if (r == 1)
			tally_repair(&m->tally, atomic_load(&m->head));
		tally_bury(&m->tally);
		latch_unlock(&m->get_lock);
	}
	latch_nudge(&m->get_lock);
	latch_nudge(&m->put_lock);
	signal_again(p);
	bell_ring_loud(&m->not_empty, INT_MAX);
	bell_ring_loud(&m->not_full, INT_MAX);
	bell_ring_loud(&m->idle, INT_MAX);
}

const struct repair_way queue_repair = { sizeof(struct queue_memory),
					 repair_queue };
