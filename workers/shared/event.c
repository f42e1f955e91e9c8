/* Event: one word.
 *
 *	bit 0      it is set
 *	bit 1      somebody may be asleep
 *	the rest   how many times it was set
 *
 * Who waits remembers the count: when it has changed, the event was set since,
 * even if it was cleared again before the waiter ran. (A waiter that sleeps
 * through exactly 2^30 settings, and finds it cleared, waits on.)
 *
 * Death: each change is one compare-and-swap, so there is nothing to put right.
 * Who is killed between setting and waking leaves sleepers, who look again; who
 * is killed asleep leaves bit 1, which costs the next setter one system call,
 * once.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <reeve/sync.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/shared/region.h"
#include "workers/shared/repair.h"

#define IS_SET	 UINT32_C(1)
#define SLEEPERS UINT32_C(2)
#define ONE_SET	 UINT32_C(4)

struct event_memory {
	struct region_head head;
	_Atomic uint32_t word;
};

struct reeve_event {
	struct region region;
	struct event_memory *memory;
};

static void handle_freep(reeve_event **event)
{
	if (*event)
		region_done(&(*event)->region);
	free(*event);
}

/* Of a new region (fd is -1), or of the one behind fd. */
static int event_map(int fd, reeve_event **ret_event)
{
	_cleanup_(handle_freep) reeve_event *event = calloc(1, sizeof(*event));
	const size_t size = sizeof(struct event_memory);
	int r;

	if (!event)
		return -ENOMEM;
	event->region = REGION_NONE;
	r = fd < 0 ? region_new(REGION_EVENT, size, &event->region)
		   : region_open(fd, REGION_EVENT, size, &event->region);
	if (r < 0)
		return r;
	event->memory = (void *)event->region.head;
	*ret_event = TAKE(event);
	return 0;
}

int reeve_event_new(reeve_event **ret_event)
{
	return ret_event ? event_map(-1, ret_event) : -EINVAL;
}

int reeve_event_open(int fd, reeve_event **ret_event)
{
	if (!ret_event)
		return -EINVAL;
	return fd < 0 ? -EBADF : event_map(fd, ret_event);
}

reeve_event *reeve_event_free(reeve_event *event)
{
	handle_freep(&event);
	return NULL;
}

int reeve_event_fd(const reeve_event *event)
{
	return event ? event->region.fd : -EINVAL;
}

int reeve_event_set(reeve_event *event)
{
	_Atomic uint32_t *word;
	uint32_t old;

	if (!event)
		return -EINVAL;
	word = &event->memory->word;
	old = atomic_load(word);
	do
		if (old & IS_SET)
			return 0;
	while (!atomic_compare_exchange_weak(
		word, &old, ((old + ONE_SET) | IS_SET) & ~SLEEPERS));
	if (old & SLEEPERS)
		region_wake(word, INT_MAX);
	return 0;
}

int reeve_event_clear(reeve_event *event)
{
	if (!event)
		return -EINVAL;
	atomic_fetch_and(&event->memory->word, ~IS_SET);
	return 0;
}

int reeve_event_is_set(const reeve_event *event)
{
	return event ? (int)(atomic_load(&event->memory->word) & IS_SET)
		     : -EINVAL;
}

/* Sleeps until the word says that the event was set after `since`. */
static int sleep_until_set(_Atomic uint32_t *word, uint32_t since,
			   uint64_t end_usec)
{
	uint32_t now = atomic_load(word);
	int r = 0;

	while (now / ONE_SET == since / ONE_SET && !(now & IS_SET)) {
		if (r < 0)
			return r;
		if (now & SLEEPERS ||
		    atomic_compare_exchange_weak(word, &now, now | SLEEPERS))
			r = region_wait(word, now | SLEEPERS, end_usec);
		now = atomic_load(word);
	}
	return 0;
}

int reeve_event_wait(reeve_event *event, uint64_t timeout_usec)
{
	_Atomic uint32_t *word;
	uint32_t since;

	if (!event)
		return -EINVAL;
	word = &event->memory->word;
	since = atomic_load(word);
	if (since & IS_SET)
		return 0;
	if (timeout_usec == 0)
		return -ETIMEDOUT;
	return sleep_until_set(word, since,
			       usec_add(clock_monotonic_usec(), timeout_usec));
}

/* ---- for the parent of a process that ended ----------------------------------------- */

/* Who set it may have been about to wake them. */
static void repair_event(const struct patient *p)
{
	struct event_memory *m = p->memory;

	region_wake(&m->word, INT_MAX);
}

const struct repair_way event_repair = { sizeof(struct event_memory),
					 repair_event };
