/* In which order workers come up and go down, and how many of a set may be
 * replaced at a time. Pure: arrays and counts in, order and counts out; who
 * the workers are is known to the caller alone, by position.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* One worker. position is its place in the configuration, each once. */
struct plan_entry {
	int32_t priority;
	uint32_t position;
};

/* Sorts into the order of starting: low priority first, equals in the order of
 * the configuration. */
void plan_order_start(struct plan_entry *entries, size_t n_entries);

/* Sorts into the order of stopping: exactly the reverse. Equal priorities stand
 * side by side: a tier, of which all are told at once. */
void plan_order_stop(struct plan_entry *entries, size_t n_entries);

/* The workers of one section, counted. */
struct plan_set {
	uint32_t wanted;      /* should run; those below are some of them */
	uint32_t up;	      /* RUNNING, and not being recycled */
	uint32_t recycling;   /* from the decision until ready again */
	uint32_t recycle_max; /* at most so many at a time; 0: none */
};

/* How many more may begin to recycle now. Workers that are down by themselves
 * count against recycle_max like those that are recycled, so that a set in
 * trouble is not thinned out further; but one at a time may always go: a
 * member that crashes for ever must not keep the others from being renewed. */
uint32_t plan_recycles(const struct plan_set *set);
