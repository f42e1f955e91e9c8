/* Eight clients of a Manager that do all that there is at the same time, and write
 * down what they were told; and whether all of that fits together when the server is
 * killed meanwhile, whenever that is.
 *
 *	load_start(&load)    eight threads, each a client; the caller has filled
 *	                     struct load up to its clients
 *	load_join(&load)     until all have done their work; fault of each is what it
 *	                     has to complain of (the rest: manager_ledger.h)
 *	load_free(&load)
 *
 * What must hold: no call takes longer than LOAD_CALL_USEC from the death on. Each
 * client is told by each of its proxies that its connection ended, once, and by at
 * most one call for each that it was under way. What one call changes at once is
 * seen at once. What is done in two steps under a lock is half done only for who was
 * told so. A number is added as often as was said. Of a batch all up to some call is
 * done. An item that was put is got, and once.
 */
#pragma once

#include <pthread.h>

#include "tests/unit/manager_rig.h"
#include "workers/manager/client.h"

#define LOAD_CLIENTS   8
#define LOAD_ROUNDS    2
#define LOAD_NOTES_MAX 64
#define LOAD_CALL_USEC (4 * USEC_PER_SEC)
#define LOAD_WAIT_USEC (20 * USEC_PER_SEC) /* for a lock that others have */
#define LOAD_BOUND     6		   /* of the queue */
#define LOAD_BATCH     4
#define LOAD_TRIES     10
/* What the numbers are when the first server starts. */
#define LOAD_BASE 100

/* The objects, and each client's proxies of them. */
#define LOAD_OBJECTS(X)                                                        \
	X(WHOLE, DICT, length)	/* all values are the same, by one call */     \
	X(HALVES, DICT, length) /* likewise, by two, under: */                 \
	X(LOCK, LOCK, lock)                                                    \
	X(FIRST, VALUE, value) /* what is added here, is then added there: */  \
	X(SECOND, VALUE, value)                                                \
	X(QUEUE, QUEUE, length)                                                \
	X(CONDITION, CONDITION, lock)                                          \
	X(ROWS, LIST, length)

enum load_object {
#define X(name, kind, touch) ON_##name,
	LOAD_OBJECTS(X)
#undef X
		ON_COUNT
};

/* To touch one is to make a call that changes nothing. */
static inline int load_touch_length(reeve_proxy *p)
{
	return (int)reeve_proxy_length(p);
}

/* It is not held. (To acquire it and release it would say that what it protects is
 * whole.) */
static inline int load_touch_lock(reeve_proxy *p)
{
	int r = reeve_proxy_release(p);

	return r == -EPERM ? 0 : r < 0 ? r : -EBADMSG;
}

static inline int load_touch_value(reeve_proxy *p)
{
	struct reeve_any ignored;

	return reeve_proxy_value_get(p, &ignored);
}

static const struct {
	const char *name;
	enum reeve_object_kind kind;
	int (*touch)(reeve_proxy *p);
} load_objects[] = {
#define X(name, kind, touch) { #name, REEVE_OBJECT_##kind, load_touch_##touch },
	LOAD_OBJECTS(X)
#undef X
};

/* A number that meant something during one life of the server. */
struct load_note {
	uint64_t generation;
	int64_t number;
	bool is_sure; /* the call was answered */
};

struct load_notes {
	struct load_note all[LOAD_NOTES_MAX];
	size_t n;
};

struct load_client {
	int id;
	pthread_t thread;
	const struct load *load;
	reeve_manager *m;
	reeve_proxy *proxies[ON_COUNT];
	uint64_t opened_in[ON_COUNT]; /* session */
	uint64_t n_stale[ON_COUNT + 1];
	uint64_t n_reset;
	uint64_t begun_usec;
	bool is_over; /* it was told so */
	int64_t n_items, n_batches;
	struct load_notes added[2], put, got, batches;
	const char *fault;
	enum load_object fault_object;
	int fault_error;
};

struct load {
	const char *address;
	const void *key;
	size_t key_size;
	uint64_t reconnect_usec;
	const _Atomic uint64_t *killed_usec; /* 0: nobody is dead yet */
	struct load_client clients[LOAD_CLIENTS];
};

/* ---- what is told ---------------------------------------------------------------- */

static inline void load_blame(struct load_client *c, enum load_object o,
			      const char *fault, int error)
{
	if (c->fault)
		return;
	c->fault = fault;
	c->fault_object = o;
	c->fault_error = error;
}

static inline bool load_is_told(int r)
{
	return r == -ESTALE || r == -ECONNRESET || r == -ESHUTDOWN;
}

static inline reeve_proxy *load_begin(struct load_client *c, enum load_object o)
{
	c->begun_usec = clock_monotonic_usec();
	return c->proxies[o];
}

/* Notes what a call returned, which may fail in one way besides. */
static inline int load_judge(struct load_client *c, enum load_object o,
			     int may_be, int r)
{
	uint64_t killed_usec = atomic_load(c->load->killed_usec);

	if (killed_usec > 0 &&
	    clock_monotonic_usec() - MAX(c->begun_usec, killed_usec) >
		    LOAD_CALL_USEC)
		load_blame(c, o, "took too long", r);
	c->n_stale[o] += r == -ESTALE;
	c->n_reset += r == -ECONNRESET;
	if (r == -ESHUTDOWN && !c->is_over)
		fprintf(stderr, "over o=%d gen=%ld s=%ld\n", o,
			(long)c->m->generation, (long)c->m->session);
	c->is_over = c->is_over || r == -ESHUTDOWN;
	if (r < 0 && r != may_be && !load_is_told(r))
		load_blame(c, o, "failed", r);
	return r;
}

/* A call of c's proxy p of that object: CALL(c, ON_LOCK, 0, reeve_proxy_release(p)). */
#define CALL(c, o, may_be, call)                                               \
	({                                                                     \
		reeve_proxy *p = load_begin(c, o);                             \
		load_judge(c, o, may_be, call);                                \
	})

static inline void load_note(struct load_client *c, struct load_notes *notes,
			     int64_t number, bool is_sure)
{
	if (notes->n < LOAD_NOTES_MAX)
		notes->all[notes->n++] =
			(struct load_note){ c->m->generation, number, is_sure };
	else
		load_blame(c, ON_COUNT, "too many notes", 0);
}

/* ---- what is done ------------------------------------------------------------------ */

static inline bool load_is_even(const struct reeve_any *dict)
{
	for (size_t i = 1; i < dict->n; i++)
		if (!reeve_any_equal(&dict->pairs[i].value,
				     &dict->pairs[0].value))
			return false;
	return dict->n > 0;
}

static inline void load_whole(struct load_client *c, int round)
{
	struct reeve_any all, n = REEVE_ANY(10 * round + c->id);
	const struct reeve_pair pairs[] = {
		{ REEVE_ANY("a"), n },
		{ REEVE_ANY("b"), n },
		{ REEVE_ANY("c"), n },
	};

	if (CALL(c, ON_WHOLE, 0,
		 reeve_proxy_dict_update(p, reeve_any_dict(pairs, 3))) < 0 ||
	    CALL(c, ON_WHOLE, 0, reeve_proxy_items(p, &all)) < 0)
		return;
	if (!load_is_even(&all))
		load_blame(c, ON_WHOLE, "is half done", 0);
	reeve_any_free(&all);
}

static inline int load_change_halves(struct load_client *c, bool is_sound,
				     int64_t number)
{
	struct reeve_any all;
	int r = CALL(c, ON_HALVES, 0, reeve_proxy_items(p, &all));

	if (r < 0)
		return r;
	if (is_sound && !load_is_even(&all))
		load_blame(c, ON_HALVES, "is half done", 0);
	reeve_any_free(&all);
	r = CALL(c, ON_HALVES, 0,
		 reeve_proxy_dict_set(p, REEVE_ANY("a"), REEVE_ANY(number)));
	return r < 0 ? r
		     : CALL(c, ON_HALVES, 0,
			    reeve_proxy_dict_set(p, REEVE_ANY("b"),
						 REEVE_ANY(number)));
}

/* Who gets the lock, and is not told that its holder has died, finds all done. The
 * other proxy may tell only then that the connection before this one has ended: the
 * lock is held all the same. */
static inline void load_halves(struct load_client *c, int round)
{
	int r = CALL(c, ON_LOCK, 0, reeve_proxy_acquire(p, LOAD_WAIT_USEC));
	uint64_t session = c->m->session;
	bool is_sound = r == 0;

	if (r < 0)
		return;
	if (!is_sound && c->m->generation == 0)
		load_blame(c, ON_LOCK, "holder died, but none did", 0);
	r = load_change_halves(c, is_sound, 10 * round + c->id);
	if (r == -ESTALE && c->m->session == session)
		r = load_change_halves(c, is_sound, 10 * round + c->id);
	if (r >= 0)
		(void)CALL(c, ON_LOCK, 0, reeve_proxy_release(p));
}

static inline bool load_add(struct load_client *c, enum load_object o)
{
	struct load_notes *notes = &c->added[o == ON_SECOND];
	struct reeve_any sum;
	int r = CALL(c, o, 0, reeve_proxy_value_add(p, REEVE_ANY(1), &sum));

	if (r == -ECONNRESET)
		load_note(c, notes, 0, false);
	if (r < 0)
		return false;
	load_note(c, notes, sum.integer, true);
	return true;
}

static inline void load_numbers(struct load_client *c, int round _unused_)
{
	if (load_add(c, ON_FIRST))
		(void)load_add(c, ON_SECOND);
}

static inline void load_get(struct load_client *c)
{
	struct reeve_any item;

	if (CALL(c, ON_QUEUE, -ETIMEDOUT,
		 reeve_proxy_queue_get(p, 2 * USEC_PER_MSEC, &item)) < 0)
		return;
	load_note(c, &c->got, item.integer, true);
	(void)CALL(c, ON_QUEUE, 0, reeve_proxy_queue_task_done(p));
}

static inline void load_put(struct load_client *c)
{
	int64_t item = c->id * 1000 + c->n_items++;
	int r = CALL(c, ON_QUEUE, -ETIMEDOUT,
		     reeve_proxy_queue_put(p, REEVE_ANY(item),
					   5 * USEC_PER_MSEC));

	if (r == 0 || r == -ECONNRESET)
		load_note(c, &c->put, item, r == 0);
}

/* Half of them wait before there is something. */
static inline void load_queue(struct load_client *c, int round _unused_)
{
	if (c->id % 2)
		load_get(c);
	load_put(c);
	if (!(c->id % 2))
		load_get(c);
}

/* Half of them wait, half of them notify. */
static inline void load_condition(struct load_client *c, int round _unused_)
{
	if (CALL(c, ON_CONDITION, 0, reeve_proxy_acquire(p, LOAD_WAIT_USEC)) <
	    0)
		return;
	if (c->id % 2 ? CALL(c, ON_CONDITION, 0, reeve_proxy_notify(p, 1)) < 0
		      : load_is_told(
				CALL(c, ON_CONDITION, -ETIMEDOUT,
				     reeve_proxy_wait(p, 3 * USEC_PER_MSEC))))
		return;
	(void)CALL(c, ON_CONDITION, 0, reeve_proxy_release(p));
}

static inline void load_batch(struct load_client *c, int round _unused_)
{
	int64_t number = c->id * 1000 + 10 * c->n_batches++;
	size_t n_failed = 0;
	int r = reeve_manager_begin(c->m);

	for (int64_t i = 0; r == 0 && i < LOAD_BATCH; i++)
		r = CALL(c, ON_ROWS, 0,
			 reeve_proxy_list_append(p, REEVE_ANY(number + i)));
	c->begun_usec = clock_monotonic_usec();
	r = reeve_manager_end(c->m, &n_failed);
	if (r != -ESTALE) /* that was told before */
		(void)load_judge(c, ON_ROWS, 0, r);
	if ((r == 0) != (n_failed == 0))
		load_blame(c, ON_ROWS, "counts wrong", r);
	load_note(c, &c->batches, number, r == 0);
}

/* ---- a client ------------------------------------------------------------------------ */

/* A proxy is used until it works again, or for ever does not. */
static inline void load_settle(struct load_client *c, enum load_object o)
{
	int r = -ESTALE;

	for (int i = 0; i < LOAD_TRIES && r < 0; i++)
		r = CALL(c, o, 0, load_objects[o].touch(p));
	if (r == -ESHUTDOWN &&
	    CALL(c, o, 0, load_objects[o].touch(p)) == -ESHUTDOWN)
		return;
	if (r < 0 || c->is_over)
		load_blame(c, o, "does not work again", r);
}

/* All of them, with the same connection. */
static inline void load_settle_all(struct load_client *c)
{
	uint64_t session;

	do {
		session = c->m->session;
		for (int o = 0; o < ON_COUNT; o++)
			load_settle(c, (enum load_object)o);
	} while (c->m->session != session);
}

static inline void load_count(struct load_client *c)
{
	for (int o = 0; o < ON_COUNT; o++) {
		uint64_t n = c->m->session - c->opened_in[o];
		/* of two ends before it was used again it tells once; one that
		 * has ended for good says only that */
		uint64_t least = n > 0 && !c->is_over;

		if (c->n_stale[o] < least || c->n_stale[o] > n)
			load_blame(c, (enum load_object)o,
				   "was not told once of each end",
				   (int)c->n_stale[o]);
	}
	if (c->n_reset > c->m->session - !c->is_over)
		load_blame(c, ON_COUNT, "was told of more calls than ends",
			   (int)c->n_reset);
}

static inline bool load_open(struct load_client *c)
{
	const struct load *l = c->load;
	int r;

	c->begun_usec = clock_monotonic_usec();
	r = load_judge(c, ON_COUNT, -ECONNREFUSED,
		       reeve_manager_connect(l->address, l->key, l->key_size,
					     LOAD_CALL_USEC, &c->m));
	if (r < 0) {
		c->n_reset = 0;
		fprintf(stderr, "connect %d\n", r);
		c->is_over = true;
		return false;
	}
	c->m->reconnect_usec = l->reconnect_usec;
	for (int o = 0; o < ON_COUNT; o++) {
		(void)load_begin(c, (enum load_object)o);
		r = load_judge(c, (enum load_object)o, 0,
			       reeve_proxy_open(c->m, load_objects[o].kind,
						load_objects[o].name, NULL,
						&c->proxies[o]));
		if (r < 0 && r != -ESHUTDOWN)
			load_blame(c, (enum load_object)o, "was not opened", r);
		if (r < 0)
			return false;
		c->opened_in[o] = c->m->session;
	}
	return true;
}

static inline void *load_run(void *arg)
{
	static void (*const steps[])(struct load_client *, int) = {
		load_whole, load_halves,    load_numbers,
		load_queue, load_condition, load_batch,
	};
	struct load_client *c = arg;
	size_t n = ARRAY_SIZE(steps);

	if (!load_open(c))
		return NULL;
	for (size_t i = 0; i < LOAD_ROUNDS * n; i++)
		steps[(i + (size_t)c->id) % n](c, (int)i);
	load_settle_all(c);
	load_count(c);
	return NULL;
}

static inline int load_start(struct load *l)
{
	int r = 0;

	for (int i = 0; i < LOAD_CLIENTS && r == 0; i++) {
		struct load_client *c = &l->clients[i];

		c->id = i;
		c->load = l;
		r = pthread_create(&c->thread, NULL, load_run, c);
	}
	return -r;
}

static inline void load_join(struct load *l)
{
	for (int i = 0; i < LOAD_CLIENTS; i++)
		(void)pthread_join(l->clients[i].thread, NULL);
}

static inline void load_free(struct load *l)
{
	for (int i = 0; i < LOAD_CLIENTS; i++) {
		for (int o = 0; o < ON_COUNT; o++)
			(void)reeve_proxy_free(l->clients[i].proxies[o]);
		(void)reeve_manager_free(l->clients[i].m);
	}
}
