/* What the files of the store share, and nobody else includes.
 *
 *   store.c          sessions; a request: its arguments, its handler, its answer
 *   answer.c         answers, of now and of later
 *   wait.c           who waits, how long, and who is next
 *   objects.c        names, handles, the life of objects
 *   store_map.c ...  the verbs, by kinds of object
 *   store_save.c     snapshots
 *
 * A session has a stake in each object that it has open: its handles point there,
 * and what it holds (levels of a lock, units of a semaphore, tasks of a queue) is
 * counted there. Requests that wait are waiters, in a queue of the object's, in
 * order.
 *
 * The rule of each handler: (1) find, check, allocate; (2) write the answer, which
 * may fail; (3) change, which may not; (4) let others go on, each of which may
 * fail, at its own cost.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "workers/base/pure/heap.h"
#include "workers/base/pure/usec.h"
#include "workers/manager/codec.h"
#include "workers/manager/server/map.h"
#include "workers/manager/server/row.h"
#include "workers/manager/server/store.h"

/* ---- objects ------------------------------------------------------------ */

/* What a waiter waits for; each has its queue. */
enum wait_list {
	WAIT_ACQUIRE = 0,  /* locks, semaphores */
	WAIT_TOLD = 1,	   /* conditions: a notify */
	WAIT_SET = 0,	   /* events */
	WAIT_ITEM = 0,	   /* queues: get */
	WAIT_ROOM = 1,	   /* put */
	WAIT_ALL_DONE = 2, /* join */
	WAIT_PARTIES = 0,  /* barriers */
	WAIT_LISTS = 3,
};

struct waiter {
	struct heap_node deadline;
	struct stake *stake;
	TAILQ_ENTRY(waiter) in_object, in_session;
	enum wait_list list;
	int64_t id;	   /* of the request */
	struct cell value; /* WAIT_ROOM: what is put */
	/* Conditions. */
	uint64_t level;	     /* of the lock, to have again */
	bool is_late;	     /* its time was over */
	bool is_told_singly; /* by a notify that was meant for few */
};

TAILQ_HEAD(waiters, waiter);

/* What one session has in one object. */
struct stake {
	struct session *session;
	struct object *object;
	size_t n_handles, n_waiters;
	uint64_t n_held; /* lock: levels; semaphore: units; queue: tasks */
	TAILQ_ENTRY(stake) in_object, in_session;
};

TAILQ_HEAD(stakes, stake);

struct lock {
	struct stake *holder; /* NULL: it is free */
	bool has_died;	      /* a holder, since it was last released */
};

struct queue {
	struct row items;
	uint64_t bound;	 /* 0: none */
	uint64_t n_got;	 /* by sessions, not done */
	uint64_t n_lost; /* with sessions that ended */
};

struct semaphore {
	int64_t n_free;
	int64_t size; /* of a bounded one: the most */
};

struct barrier {
	int64_t parties;
	int64_t n_waiting;
	bool is_broken;
};

struct object {
	struct object *next_in_bucket;
	TAILQ_ENTRY(object) in_all;
	struct stakes stakes;
	struct waiters waiters[WAIT_LISTS];
	TAILQ_ENTRY(object) in_unopened;
	bool is_unopened; /* nobody has it; whether it may stay is looked at */
	size_t n_open;	  /* handles and waiters of all sessions */
	enum reeve_object_kind kind;
	bool is_restored;
	union {
		struct map map;
		struct row row;
		struct cell value;
		struct queue queue;
		struct lock lock; /* also of a condition */
		struct semaphore semaphore;
		struct barrier barrier;
		bool is_set; /* event */
	};
	char *name; /* NUL-terminated */
	size_t name_len;
};

TAILQ_HEAD(objects, object);

/* ---- sessions and the store --------------------------------------------- */

/* The place of a handle, which is the number of its place, from 1. */
struct handle {
	struct stake *stake; /* NULL: the place is free */
	size_t next_free;    /* then: handle of the next free place, or 0 */
};

struct session {
	struct store *store;
	void *userdata;
	struct buf output;
	int error;
	struct handle *handles;
	size_t n_places, n_handles, first_free;
	struct stakes stakes;
	TAILQ_HEAD(, waiter) waiters;
	size_t n_waiters;
	bool is_ready;
	TAILQ_ENTRY(session) in_ready, in_all;
};

struct counter {
	const char *name;
	int64_t value;
};

struct store {
	struct store_limits limits;
	struct purse purse;
	unsigned char hash_key[MAP_KEY_BYTES];
	struct objects objects; /* in the order in which they were made */
	struct objects unopened;
	struct object **buckets; /* by name; n_buckets is a power of 2 */
	size_t n_buckets, n_objects;
	uint64_t nameless[2]; /* the last made-up name */
	struct heap deadlines;
	TAILQ_HEAD(, session) sessions, ready;
	size_t n_sessions, n_waiters;
	uint64_t n_requests, changes;
	struct counter counters[STORE_COUNTERS_MAX];
	size_t n_counters;
};

/* ---- a request ---------------------------------------------------------- */

/* An argument, checked against its letter in the verb's row. */
struct argument {
	enum reeve_any_kind kind;
	const unsigned char *data; /* encoded */
	size_t size;
	size_t depth;
	int64_t integer;
	bool boolean;
	const char *string; /* not NUL-terminated */
	size_t len;
};

struct request {
	struct store *store;
	struct session *session;
	struct stake *stake;   /* NULL for verbs of no object */
	struct object *object; /* the stake's */
	int64_t id, verb, handle;
	uint64_t now_usec;
	ssize_t begin; /* of the answer, in output */
	struct argument args[PROTOCOL_ARGUMENTS];
};

#define REQUEST_WAITS 1

/* Returns 0 (it has answered), REQUEST_WAITS, or -errno: the answer. */
typedef int request_handler(struct request *q);

request_handler request_open, request_delete, request_names, request_stats,
	request_close, request_name;
request_handler request_length, request_clear, request_items;
request_handler map_items, row_items, map_get, map_set_item, map_setdefault,
	map_add_number, map_pop, map_has, map_keys, map_update;
request_handler row_get, row_set_item, row_add_number, row_slice, row_append,
	row_extend, row_insert, row_pop, row_index;
request_handler value_get, value_set, value_add;
request_handler queue_put, queue_get, queue_is_full, queue_task_done,
	queue_join;
request_handler request_acquire, request_release, request_wait,
	condition_notify;
request_handler lock_acquire, lock_release, semaphore_acquire,
	semaphore_release, condition_wait, event_wait;
request_handler event_set, event_clear, event_is_set;
request_handler barrier_wait, barrier_reset, barrier_abort, barrier_state;

/* ---- answers (answer.c) ------------------------------------------------- */

/* begin, then results by codec_put_...() into q->session->output, then end: which
 * returns 0, or -errno and all is taken back. The others are one result. */
void answer_begin(struct request *q);
int answer_end(struct request *q);
int answer_nothing(struct request *q);
int answer_int(struct request *q, int64_t value);
int answer_bool(struct request *q, bool value);
int answer_encoded(struct request *q, const void *data, size_t size);
/* A status below 0. When that fails, the session has an error. */
void answer_error(struct session *session, int64_t id, int error);

/* The same for who waited: the waiter is freed. False when the answer could not be
 * written: then the session has an error, and is to be taken for one that never
 * waited. */
bool waiter_end(struct waiter *w, int error);
bool waiter_end_nothing(struct waiter *w);
bool waiter_end_int(struct waiter *w, int64_t value);
bool waiter_end_bool(struct waiter *w, bool value);
bool waiter_end_encoded(struct waiter *w, const void *data, size_t size);

/* ---- waiting (wait.c) --------------------------------------------------- */

/* Makes q wait until its timeout (argument number i, not 0 any more) is over.
 * Returns REQUEST_WAITS and *ret_waiter (may be NULL); -EAGAIN (the timeout is 0),
 * -ENOSPC, -ENOMEM. */
int request_wait_in(struct request *q, enum wait_list list, size_t i,
		    struct waiter **ret_waiter);

/* The next one of a list, or NULL. */
struct waiter *waiter_first(const struct object *o, enum wait_list list);

/* To the end of another list of its object, without a deadline. */
void waiter_move(struct waiter *w, enum wait_list list);

/* Without an answer. */
void waiter_free(struct waiter *w);

/* ---- objects (objects.c, handles.c, store_object.c) --------------------- */

/* 1 .. PROTOCOL_NAME_MAX bytes, none of them NUL. */
bool is_object_name(const char *name, size_t len);
const char *object_kind_name(enum reeve_object_kind kind);
/* A name that is not there yet. Returns 0, -ENOSPC, -ENOMEM. */
int object_new(struct store *store, enum reeve_object_kind kind,
	       const char *name, size_t name_len, struct object **ret_object);
/* With all stakes in it, which hold nothing any more then. No waiters. */
void object_free(struct store *store, struct object *o);
struct object *object_find(const struct store *store, const char *name,
			   size_t len);
/* Has it a name of its own, by which it lives? */
bool object_is_named(const struct object *o);
/* Somebody has it open, or no longer. */
/* When it is nobody's: to be looked at by objects_settle(). */
void object_unopened(struct store *store, struct object *o);
void object_opened(struct object *o);
void object_closed(struct store *store, struct object *o);
/* Frees those that nobody has and that have no name of their own: at the end of
 * whatever the store does. */
void objects_settle(struct store *store);
/* For a new name, at least NAMELESS_MAX bytes. */
#define NAMELESS_MAX 34 /* '#', 32 digits, NUL */
void object_make_name(struct store *store, char ret_name[static NAMELESS_MAX]);
/* Another name, which p points to, allocated in the purse. */
void object_rename(struct store *store, struct object *o, char *name,
		   size_t name_len);

/* What a new one begins with. Returns 0; -EINVAL, -EDOM (an array's item that is no
 * number), -ENOSPC, -ENOMEM. */
int object_fill(struct store *store, struct object *o, int64_t size,
		const struct argument *value);

/* A handle for an object. The stake is found or made. Returns 0, -ENOSPC,
 * -ENOMEM. */
int handle_new(struct session *session, struct object *o, int64_t *ret_handle);
/* NULL: there is none. */
struct stake *handle_stake(const struct session *session, int64_t handle);
void handle_free(struct session *session, int64_t handle);
void handles_free_all(struct session *session);
void stake_free(struct store *store, struct stake *stake);

/* ---- contents (store_map.c, store_row.c) -------------------------------- */

/* All pairs of a whole dict, encoded, or nothing. q is answered when all that may
 * fail has been done (NULL: nobody is). Returns 0; -EINVAL (no dict, a namespace's
 * key that is no string), -ENOSPC, -ENOMEM, or what the answer returned. */
int map_put_all(struct store *store, struct object *o,
		const struct argument *dict, struct request *q);
/* All items of a whole list, behind the others, or nothing. -EDOM: an array's item
 * that is no number. */
int row_put_all(struct store *store, struct object *o,
		const struct argument *list);

/* May it be in a list or dict? So deep that all of that together could not be told
 * to anybody it must not be: -E2BIG. */
static inline int check_nesting(size_t depth)
{
	return depth < REEVE_ANY_DEPTH_MAX ? 0 : -E2BIG;
}

/* ---- numbers (number.c) ------------------------------------------------- */

struct cell number_cell(int64_t value);
bool number_is_one(const void *data, size_t size);
/* a + b; a may be empty or nil: 0. Returns 0, or -EDOM: one is no number, or the sum
 * is none of 64 bits. */
int number_add(const struct cell *a, const struct argument *b,
	       struct cell *ret_sum);

/* ---- what happens to others --------------------------------------------- */

/* The time of a waiter is over: it is answered, or goes on. */
void waiter_on_time(struct waiter *w);
/* Its session ends: it is freed. */
void waiter_on_session_end(struct waiter *w);
/* The session of a stake ends: what it held comes back. */
void stake_on_session_end(struct store *store, struct stake *stake);

void lock_on_session_end(struct stake *stake);
void condition_on_time(struct waiter *w);
void condition_on_session_end(struct waiter *w);
void semaphore_on_session_end(struct store *store, struct stake *stake);
void queue_on_session_end(struct store *store, struct stake *stake);
void barrier_break(struct store *store, struct object *o);

static inline void store_touch(struct store *store)
{
	store->changes++;
}

static inline struct purse *request_purse(struct request *q)
{
	return &q->store->purse;
}
