/* The event loop's cheap side: thousands of fds and timers behind a handful of
 * sd-event sources.
 *
 * sd-event reads all ready level-triggered sources anew in each iteration:
 * with thousands of dying workers or full pipes that is quadratic, and each
 * source costs 331 bytes. So fds hang in two epoll sets of our own, each one
 * source of sd-event, and all timers in one heap with one time source.
 *
 * Order within a turn, by priority: deaths and reports (URGENT), timers, the
 * drain of the event queue (turn), signals; then control and log pipes (BULK),
 * equal, so that sd-event serves them by turns: neither a client that asks for
 * ever nor a worker that writes for ever keeps the other, or a SIGTERM,
 * waiting.
 *
 * A watch and a timer are embedded in what they belong to; the hub owns
 * neither them nor their fds. Callbacks may unwatch anything, themselves too.
 */
#pragma once

#include <stdint.h>
#include <sys/epoll.h>

#include <systemd/sd-event.h>

#include "workers/base/pure/heap.h"

enum hub_class { HUB_URGENT, HUB_BULK, HUB_CLASSES };

enum hub_priority {
	HUB_PRIORITY_URGENT = -30,
	HUB_PRIORITY_TIMER = -20,
	HUB_PRIORITY_TURN = -10,
	HUB_PRIORITY_SIGNAL = -5,
	HUB_PRIORITY_CONTROL = 0,
	HUB_PRIORITY_BULK = HUB_PRIORITY_CONTROL, /* equal: they take turns */
};

struct watch {
	int fd; /* -1: not watched */
	enum hub_class class;
	void (*on_ready)(struct watch *w, uint32_t revents);
};

struct timer {
	struct heap_node node;
	void (*on_time)(struct timer *t, uint64_t now_usec);
};

#define HUB_BATCH 256

struct hub {
	sd_event *event;
	struct hub_set {
		struct hub *hub;
		int epoll_fd;
		sd_event_source *source;
		struct epoll_event batch[HUB_BATCH];
		int n_batch; /* 0 outside of a dispatch */
	} sets[HUB_CLASSES];
	uint64_t n_looks; /* at what is ready, and at the clock */
	struct heap timers;
	sd_event_source *time_source;
	uint64_t armed_usec;
	sd_event_source *turn_source;
	void (*on_turn)(void *userdata);
	void *userdata;
};

/* on_turn runs once after hub_request_turn(), when what was urgent is done.
 * Returns 0 or -errno; hub_done() cleans up also after a failure. */
int hub_init(struct hub *h, void (*on_turn)(void *userdata), void *userdata);
void hub_done(struct hub *h);

/* Watches w->fd (set by the caller with .class and .on_ready) for events
 * (EPOLLIN, EPOLLPRI; level-triggered). Returns 0 or -errno. */
int hub_watch(struct hub *h, struct watch *w, uint32_t events);

/* Stops watching; w->fd becomes -1; closing is the caller's. Fine on an idle
 * one. */
void hub_unwatch(struct hub *h, struct watch *w);

/* Room for n timers in all, so that hub_arm cannot fail. */
int hub_reserve_timers(struct hub *h, size_t n);

/* on_time is called once at when_usec (CLOCK_MONOTONIC) or soon after;
 * USEC_INFINITY disarms. */
void hub_arm(struct hub *h, struct timer *t, uint64_t when_usec);
void hub_disarm(struct hub *h, struct timer *t);

/* Asks for one call of on_turn. Any number of requests make one turn. */
void hub_request_turn(struct hub *h);
