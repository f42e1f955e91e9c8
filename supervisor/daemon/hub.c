/* See hub.h. Runs in the daemon's only thread. What a callback unwatches is
 * taken out of the batch that is being dispatched; the time source is always
 * armed for the first timer of the heap, or off.
 */
#include "supervisor/daemon/hub.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"

/* Timers that are due are called in one go up to this many; the rest waits
 * for the next iteration, so that other sources get their turn. */
#define TIMERS_PER_DISPATCH 256

static int on_set_ready(sd_event_source *source _unused_, int fd,
			uint32_t revents _unused_, void *userdata)
{
	struct hub_set *set = userdata;
	int n;

	n = epoll_wait(fd, set->batch, HUB_BATCH, 0);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	set->n_batch = n;
	set->hub->n_looks++;
	for (int i = 0; i < n; i++) {
		struct watch *w = set->batch[i].data.ptr;

		if (w) /* else unwatched by an earlier callback */
			w->on_ready(w, set->batch[i].events);
	}
	set->n_batch = 0;
	return 0;
}

static void arm_time_source(struct hub *h)
{
	const struct heap_node *first = heap_first(&h->timers);
	uint64_t when = first ? first->key : USEC_INFINITY;

	if (when == h->armed_usec)
		return;
	h->armed_usec = when;
	if (when == USEC_INFINITY) {
		(void)sd_event_source_set_enabled(h->time_source, SD_EVENT_OFF);
		return;
	}
	(void)sd_event_source_set_time(h->time_source, when);
	(void)sd_event_source_set_enabled(h->time_source, SD_EVENT_ONESHOT);
}

static int on_time_source(sd_event_source *source _unused_,
			  uint64_t usec _unused_, void *userdata)
{
	struct hub *h = userdata;
	uint64_t now = clock_monotonic_usec();

	h->n_looks++;
	for (int i = 0; i < TIMERS_PER_DISPATCH; i++) {
		struct heap_node *first = heap_first(&h->timers);
		struct timer *t;

		if (!first || first->key > now)
			break;
		t = container_of(first, struct timer, node);
		heap_remove(&h->timers, first);
		t->on_time(t, now);
	}
	h->armed_usec = 0; /* ONESHOT is off now: arm anew in any case */
	arm_time_source(h);
	return 0;
}

static int on_turn_source(sd_event_source *source _unused_, void *userdata)
{
	struct hub *h = userdata;

	h->on_turn(h->userdata);
	return 0;
}

static int set_init(struct hub *h, enum hub_class class, int64_t priority)
{
	struct hub_set *set = &h->sets[class];
	int r;

	set->hub = h;
	set->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (set->epoll_fd < 0)
		return -errno;
	r = sd_event_add_io(h->event, &set->source, set->epoll_fd, EPOLLIN,
			    on_set_ready, set);
	if (r < 0)
		return r;
	return sd_event_source_set_priority(set->source, priority);
}

static int time_init(struct hub *h)
{
	int r;

	r = sd_event_add_time(h->event, &h->time_source, CLOCK_MONOTONIC,
			      USEC_INFINITY, 1, on_time_source, h);
	if (r < 0)
		return r;
	h->armed_usec = USEC_INFINITY;
	(void)sd_event_source_set_enabled(h->time_source, SD_EVENT_OFF);
	return sd_event_source_set_priority(h->time_source, HUB_PRIORITY_TIMER);
}

static int turn_init(struct hub *h)
{
	int r;

	r = sd_event_add_defer(h->event, &h->turn_source, on_turn_source, h);
	if (r < 0)
		return r;
	(void)sd_event_source_set_enabled(h->turn_source, SD_EVENT_OFF);
	return sd_event_source_set_priority(h->turn_source, HUB_PRIORITY_TURN);
}

int hub_init(struct hub *h, void (*on_turn)(void *userdata), void *userdata)
{
	int r;

	*h = (struct hub){ .on_turn = on_turn, .userdata = userdata };
	for (size_t i = 0; i < HUB_CLASSES; i++)
		h->sets[i].epoll_fd = -1;
	r = sd_event_new(&h->event);
	if (r < 0)
		return r;
	r = set_init(h, HUB_URGENT, HUB_PRIORITY_URGENT);
	if (r < 0)
		return r;
	r = set_init(h, HUB_BULK, HUB_PRIORITY_BULK);
	if (r < 0)
		return r;
	r = time_init(h);
	if (r < 0)
		return r;
	return turn_init(h);
}

void hub_done(struct hub *h)
{
	sd_event_source_unref(h->turn_source);
	sd_event_source_unref(h->time_source);
	heap_done(&h->timers);
	for (size_t i = 0; i < HUB_CLASSES; i++) {
		sd_event_source_unref(h->sets[i].source);
		fd_close(h->sets[i].epoll_fd);
	}
	sd_event_unref(h->event);
	*h = (struct hub){ 0 };
}

int hub_watch(struct hub *h, struct watch *w, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = w };

	if (epoll_ctl(h->sets[w->class].epoll_fd, EPOLL_CTL_ADD, w->fd, &e) < 0)
		return -errno;
	return 0;
}

void hub_unwatch(struct hub *h, struct watch *w)
{
	struct hub_set *set = &h->sets[w->class];

	if (w->fd < 0)
		return;
	(void)epoll_ctl(set->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	for (int i = 0; i < set->n_batch; i++)
		if (set->batch[i].data.ptr == w)
			set->batch[i].data.ptr = NULL;
	w->fd = -1;
}

int hub_reserve_timers(struct hub *h, size_t n)
{
	return heap_reserve(&h->timers, n);
}

void hub_arm(struct hub *h, struct timer *t, uint64_t when_usec)
{
	int r;

	if (when_usec == USEC_INFINITY) {
		hub_disarm(h, t);
		return;
	}
	/* Room was reserved when the timer's owner was made. */
	r = heap_set(&h->timers, &t->node, when_usec);
	reeve_assert(r == 0);
	arm_time_source(h);
}

void hub_disarm(struct hub *h, struct timer *t)
{
	if (!heap_contains(&t->node))
		return;
	heap_remove(&h->timers, &t->node);
	arm_time_source(h);
}

void hub_request_turn(struct hub *h)
{
	(void)sd_event_source_set_enabled(h->turn_source, SD_EVENT_ONESHOT);
}
