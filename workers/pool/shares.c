/* What is shared with workers: one row for each kind of object. */
#include "workers/pool/shares.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <reeve/pipe.h>
#include <reeve/queue.h>
#include <reeve/shared.h>
#include <reeve/sync.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/fd.h"

/* ---- kinds ------------------------------------------------------------------------ */

/* Both take the pointer that place says. */
struct kind {
	size_t place; /* in struct reeve_shared */
	void (*tell)(const struct reeve_shared *o, int fds[SHARE_FDS]);
	int (*open)(const int fds[SHARE_FDS], const struct shares *others,
		    struct reeve_shared *o);
};

/* An object that is one fd. */
#define KIND_OF_ONE_FD(field, noun)                                            \
	static void tell_##field(const struct reeve_shared *o,                 \
				 int fds[SHARE_FDS])                           \
	{                                                                      \
		fds[0] = reeve_##noun##_fd(o->field);                          \
	}                                                                      \
	static int open_##field(const int fds[SHARE_FDS],                      \
				const struct shares *others _unused_,          \
				struct reeve_shared *o)                        \
	{                                                                      \
		return reeve_##noun##_open(fds[0], &o->field);                 \
	}

KIND_OF_ONE_FD(lock, lock)
KIND_OF_ONE_FD(event, event)
KIND_OF_ONE_FD(semaphore, semaphore)
KIND_OF_ONE_FD(connection, connection)
KIND_OF_ONE_FD(array, array)
KIND_OF_ONE_FD(value, value)

static void tell_barrier(const struct reeve_shared *o, int fds[SHARE_FDS])
{
	fds[0] = reeve_barrier_fd(o->barrier);
}

static int open_barrier(const int fds[SHARE_FDS],
			const struct shares *others _unused_,
			struct reeve_shared *o)
{
	return reeve_barrier_open(fds[0], NULL, &o->barrier);
}

static void tell_queue(const struct reeve_shared *o, int fds[SHARE_FDS])
{
	(void)reeve_queue_fds(o->queue, fds);
}

static int open_queue(const int fds[SHARE_FDS],
		      const struct shares *others _unused_,
		      struct reeve_shared *o)
{
	return reeve_queue_open(fds, &o->queue);
}

static void tell_condition(const struct reeve_shared *o, int fds[SHARE_FDS])
{
	fds[0] = reeve_condition_fd(o->condition);
}

/* Its lock is among those that have been opened before it: only the right one is
 * accepted. */
static int open_condition(const int fds[SHARE_FDS], const struct shares *others,
			  struct reeve_shared *o)
{
	int r = -EINVAL;

	for (unsigned i = 0; i < others->n && r == -EINVAL; i++)
		if (others->objects[i].lock)
			r = reeve_condition_open(
				fds[0], others->objects[i].lock, &o->condition);
	return r;
}

#define ROW(field)                                                             \
	{                                                                      \
		offsetof(struct reeve_shared, field), tell_##field,            \
			open_##field                                           \
	}
static const struct kind kinds[] = {
	ROW(lock),	 ROW(event),   ROW(semaphore),
	ROW(condition),	 ROW(barrier), ROW(queue),
	ROW(connection), ROW(array),   ROW(value),
};

static bool is_of_kind(const struct reeve_shared *o, const struct kind *kind)
{
	const void *handle;

	memcpy(&handle, (const char *)o + kind->place, sizeof(handle));
	return handle != NULL;
}

/* In this process. */
static bool has_handle(const struct shares *s, unsigned i)
{
	return is_of_kind(&s->objects[i], &kinds[s->list[i].kind]);
}

static bool is_condition(const struct share *share)
{
	return kinds[share->kind].open == open_condition;
}

/* ---- the owner's --------------------------------------------------------------------- */

/* Exactly one of the handles. */
static int find_kind(const struct reeve_shared *o, uint32_t *ret_kind)
{
	int n = 0;

	for (uint32_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		if (!is_of_kind(o, &kinds[k]))
			continue;
		*ret_kind = k;
		n++;
	}
	return n == 1 ? 0 : -EINVAL;
}

static bool is_known(const struct shares *s, const struct share *share)
{
	for (unsigned i = 0; i < s->n; i++)
		if (strcmp(s->list[i].name, share->name) == 0 ||
		    s->list[i].fds[0] == share->fds[0])
			return true;
	return false;
}

static int add(struct shares *s, const struct reeve_shared *o)
{
	struct share share = { .fds = { -1, -1 } };
	int r;

	r = find_kind(o, &share.kind);
	if (r < 0)
		return r;
	if (s->n == REEVE_SHARED_MAX || o->name[0] == '\0' ||
	    strlen(o->name) >= sizeof(share.name))
		return -EINVAL;
	memcpy(share.name, o->name, strlen(o->name));
	kinds[share.kind].tell(o, share.fds);
	if (is_known(s, &share))
		return -EINVAL;
	s->list[s->n] = share;
	s->objects[s->n] = *o;
	s->objects[s->n].name = s->list[s->n].name;
	s->n++;
	return 0;
}

/* Can they be opened where the pool may be executed? Asked in any context, so that
 * it does not depend on that. */
static int check_conditions(const struct shares *s)
{
	struct reeve_shared o = { 0 };
	int r = 0;

	for (unsigned i = 0; i < s->n && r == 0; i++) {
		if (!is_condition(&s->list[i]))
			continue;
		r = open_condition(s->list[i].fds, s, &o);
		if (r == 0)
			(void)reeve_condition_free(o.condition);
	}
	return r;
}

void shares_free(struct shares *s)
{
	free(s);
}

int shares_new(const struct reeve_shared *spec, struct shares **ret)
{
	struct shares *s;
	int r = 0;

	*ret = NULL;
	if (!spec || !spec->name)
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	for (; spec->name && r == 0; spec++)
		r = add(s, spec);
	if (r == 0)
		r = check_conditions(s);
	if (r < 0)
		shares_free(s);
	else
		*ret = s;
	return r;
}

int shares_fd(const struct shares *s, unsigned i)
{
	for (unsigned k = 0; s && k < s->n * SHARE_FDS; k++) {
		int fd = s->list[k / SHARE_FDS].fds[k % SHARE_FDS];

		if (fd >= 0 && i-- == 0)
			return fd;
	}
	return -1;
}

/* ---- in a process that was executed --------------------------------------------------- */

int shares_receive(const struct share *list, unsigned n, struct shares **ret)
{
	struct shares *s;
	int fd;

	*ret = NULL;
	if (n == 0)
		return 0;
	if (n > REEVE_SHARED_MAX)
		return -EBADMSG;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->n = n;
	memcpy(s->list, list, n * sizeof(*list));
	for (unsigned i = 0; i < n; i++)
		s->objects[i].name = s->list[i].name;
	for (unsigned i = 0; (fd = shares_fd(s, i)) >= 0; i++)
		(void)fd_set_cloexec(fd, true);
	*ret = s;
	return 0;
}

static int open_share(struct shares *s, unsigned i)
{
	struct share *share = &s->list[i];
	int r;

	r = kinds[share->kind].open(share->fds, s, &s->objects[i]);
	if (r == -EBADMSG || r == -EINVAL)
		return 0; /* a worker wrote over it: the others do without */
	if (r < 0)
		return r;
	for (int k = 0; k < SHARE_FDS; k++)
		fd_close(share->fds[k]);
	kinds[share->kind].tell(&s->objects[i], share->fds);
	return 0;
}

int shares_open(struct shares *s)
{
	int r = 0;

	for (int round = 0; s && round < 2; round++) /* conditions last */
		for (unsigned i = 0; i < s->n && r == 0; i++)
			if (is_condition(&s->list[i]) == (round == 1))
				r = open_share(s, i);
	return r;
}

/* ---- the worker's ------------------------------------------------------------------------ */

/* A task has no argument to hang it on; written once, before the first. */
static const struct shares *published;

void shares_publish(const struct shares *s)
{
	published = s;
}

const struct reeve_shared *reeve_pool_shared(const char *name)
{
	const struct shares *s = published;

	for (unsigned i = 0; s && name && i < s->n; i++)
		if (strcmp(s->list[i].name, name) == 0)
			return has_handle(s, i) ? &s->objects[i] : NULL;
	return NULL;
}

/* By another handle: the program may use its own until it has ended. */
static void leave_barrier(const reeve_barrier *barrier)
{
	reeve_barrier *b;

	if (barrier &&
	    reeve_barrier_open(reeve_barrier_fd(barrier), NULL, &b) == 0)
		(void)reeve_barrier_free(b);
}

void shares_leave(const struct shares *s)
{
	for (unsigned i = 0; s && i < s->n; i++)
		leave_barrier(s->objects[i].barrier);
}
