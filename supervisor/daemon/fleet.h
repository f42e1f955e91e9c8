/* All workers: finding them, queueing their events, bringing them up and down
 * in order, and recycling a few at a time.
 *
 * Order is that of the configuration; start by priority upwards, stop in
 * tiers downwards, a tier being down before the next is told.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

struct daemon;
struct worker;

STAILQ_HEAD(worker_queue, worker);

struct fleet {
	struct worker **workers; /* in the configuration's order */
	size_t n_workers, n_allocated;
	struct worker **by_pid;	   /* hash table, chained by pid_next */
	size_t n_buckets;	   /* a power of two */
	struct worker_queue queue; /* with pending events */
	size_t n_leaving;
	bool has_recycle_due;
};

int fleet_init(struct fleet *f);
void fleet_done(struct fleet *f);

/* Makes room, so that fleet_add and the workers' timers cannot fail. */
int fleet_reserve(struct daemon *d, size_t n_workers);
void fleet_add(struct fleet *f, struct worker *w); /* takes w */

/* Brings the array into the order of the current generation's sections. */
void fleet_sort(struct fleet *f);

/* Frees the leaving workers that are down. */
void fleet_sweep(struct daemon *d);

struct worker *fleet_by_name(const struct fleet *f, const char *name);
struct worker *fleet_by_pid(const struct fleet *f, pid_t pid);
void fleet_pid_added(struct fleet *f, struct worker *w);
void fleet_pid_removed(struct fleet *f, struct worker *w);

/* Tells START to every autostart worker that is STOPPED, by priority. */
void fleet_start(struct fleet *f);

/* Stops the tiers in order; called again after each change until it returns
 * true: everything is down. */
bool fleet_stop_step(struct fleet *f, bool quick);

/* Lets due recycles begin, as far as recycle_max allows. */
void fleet_recycle_step(struct fleet *f);

/* Up to max workers with pending events are handled. False: none are left. */
bool fleet_handle(struct fleet *f, size_t max);
