/* The objects that a pool's workers have besides their channels: locks, queues and
 * the like, which the owner hands to it.
 *
 * Properties
 *   A share is a name, a kind and the object's fds. Forked workers have the
 *   owner's handles; executed processes find the fds under the owner's numbers
 *   and make handles of them. The keeper has the fds too, maps what it has to
 *   repair, and passes on nothing else.
 * Operation
 *   owner:            shares_new(); the list goes into the handout
 *   executed keeper:  shares_receive(); shares_open(), if its workers are forked
 *   any keeper:       keeper_attend() (keeper_repair.c); shares_publish(), for those
 *                     that it forks
 *   executed worker:  shares_receive(), shares_open(), shares_publish()
 *   any worker:       shares_leave()
 * Safety
 *   The objects are the owner's, and outlive the pool.
 */
#pragma once

#include <reeve/pool.h>

#define SHARE_FDS 2

struct share {
	char name[REEVE_SHARED_NAME_MAX];
	uint32_t kind;
	int fds[SHARE_FDS]; /* the handle's; -1: none */
};

struct shares {
	unsigned n;
	struct share list[REEVE_SHARED_MAX];
	/* With the names of the list; handles, if there are any here. */
	struct reeve_shared objects[REEVE_SHARED_MAX];
};

/* From a pool's spec, in which case *ret is NULL when there are none. Returns 0,
 * -EINVAL or -ENOMEM. */
int shares_new(const struct reeve_shared *spec, struct shares **ret);

/* Takes s, which may be NULL; handles and fds stay. */
void shares_free(struct shares *s);

/* The i-th of all fds, -1 behind the last. */
int shares_fd(const struct shares *s, unsigned i);

/* In a process that was executed: the n of a list that shares_new() made, whose
 * fds are ours now. Returns 0, -EBADMSG or -ENOMEM. */
int shares_receive(const struct share *list, unsigned n, struct shares **ret);

/* Makes handles, which take the place of the fds; none of what was overwritten.
 * Returns 0 or -errno. */
int shares_open(struct shares *s);

/* What reeve_pool_shared() finds from now on. s may be NULL. */
void shares_publish(const struct shares *s);

/* The process leaves in good order: nobody is to take that for a death. */
void shares_leave(const struct shares *s);
