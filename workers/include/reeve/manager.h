/* Managers: objects that live in a server process, for any number of clients.
 *
 * Properties
 *   What multiprocessing.Manager is, for C. A server process holds dicts, lists,
 *   values, arrays, namespaces, queues, locks, rlocks, semaphores, events,
 *   conditions and barriers; clients, on this machine or another, work on them
 *   through proxies. Two orders slower than shared memory (<reeve/shared.h>,
 *   <reeve/sync.h>, <reeve/queue.h>), which is what to take within one machine
 *   when types and sizes are known.
 *   Each call is done as a whole, or not at all.
 *   A client that dies gives back what it held: locks, units of semaphores; a
 *   barrier that it waited at breaks. Who acquires a lock next is told.
 *   The server may die, too. It is started again by its keeper, empty, or as its
 *   last snapshot was; nobody waits for the dead, and each proxy is told once
 *   (see reeve_proxy_open()).
 * Operation
 *   reeve_manager_start() starts a server and connects to it; others
 *   reeve_manager_connect() to its address with its key.
 *   reeve_proxy_open() finds or makes an object. One with a name lives as long as
 *   the server, or until reeve_manager_delete(); one without, while a proxy of it
 *   is open.
 *   Values are <reeve/any.h>'s. What is returned is the caller's: to be freed by
 *   reeve_any_free().
 * Safety
 *   A handle, with its proxies, is for one thread at a time: a call while another
 *   thread is in one returns -EBUSY. A thread that wants to work, or wait, beside
 *   another connects for itself. A forked child may go on using a handle and its
 *   proxies: it gets a connection of its own with the first call, and holds none
 *   of its parent's locks.
 *   Who has the key may do everything; see SECURITY.md for what it protects, and
 *   what not. To share state between machines in production use Redis or its
 *   like: a Manager is one process without replicas.
 *   NULL as a handle is -EINVAL, or does nothing. Not async-signal-safe.
 */
#ifndef REEVE_MANAGER_H
#define REEVE_MANAGER_H

#include <reeve/any.h>
#include <reeve/types.h>

REEVE_DECLARATIONS_BEGIN

#define REEVE_MANAGER_VALUE_MAX (16 << 20) /* bytes, encoded, of one value */
#define REEVE_MANAGER_NAME_MAX	255	   /* bytes of an object's name */
#define REEVE_MANAGER_KEY_MAX	1024	   /* bytes of an authkey */
/* How long a call tries to connect again; and how long a server may be silent
 * while a call waits for its answer: one that has to wait longer asks meanwhile
 * whether the server is still there. */
#define REEVE_MANAGER_RECONNECT_USEC UINT64_C(5000000)
#define REEVE_MANAGER_ANSWER_USEC    UINT64_C(10000000)

/* A server that was started, or a connection to one. */
typedef struct reeve_manager reeve_manager;
/* An object of a server, as one client has it. */
typedef struct reeve_proxy reeve_proxy;

/* ---- servers ----------------------------------------------------------------- */

/* Zero means the default everywhere. */
struct reeve_manager_spec {
	/* "unix:/path", "unix:@abstract", "tcp:127.0.0.1:5000", "tcp:[::1]:0"
	 * (port 0: any free one). Default: an abstract Unix socket with a
	 * random name. A path that exists is replaced when it is a socket that
	 * nobody listens on. */
	const char *address;
	/* What clients must prove that they know; copied. Default: 32 random
	 * bytes, see reeve_manager_authkey(). */
	const void *authkey;
	size_t authkey_size;
	/* A file that the state of the objects is written to (atomically, a new
	 * file each time), snapshot_interval_usec after a change, and at the
	 * end; a server that starts reads it. Who held what is not kept. Default:
	 * nothing is kept. */
	const char *snapshot;
	uint64_t snapshot_interval_usec; /* 1 s */
	unsigned max_clients;		 /* 1,024 */
	size_t max_objects;		 /* 65,536 */
	size_t max_bytes;		 /* of all objects; 1 GiB */
	size_t max_output_bytes; /* answers that a client does not read, at least
				  * 20 MiB; 64 MiB */
	/* Deaths of the server within restart_interval_usec after which the
	 * manager gives up: then all is -ESHUTDOWN, for all clients at once. 5 in
	 * 10 s. */
	unsigned restart_limit;
	uint64_t restart_interval_usec;
	const char *program; /* reeve-manager; default: as installed, or that in
			      * the directory $REEVE_LIBEXECDIR */
};

/* Starts a server with its keeper, and connects. They end with the caller,
 * however that ends. Returns 0; -EINVAL (spec), -ENOENT (no program),
 * -EADDRINUSE, -EACCES, -EBADMSG (the snapshot cannot be read: it is left as it
 * is), -EBUSY (another manager has it), -ENOENT, -EROFS (its directory), -EPROTO
 * (the program is another version's, or was killed), -ETIMEDOUT, -ENOMEM, -EMFILE.
 * The reason is said on stderr. */
REEVE_PUBLIC int reeve_manager_start(const struct reeve_manager_spec *spec,
				     reeve_manager **ret_manager);

/* Connects to a server. Returns 0; -EINVAL (the address makes no sense),
 * -EACCES (wrong key, or the server does not know it), -ECONNREFUSED, -ENOENT,
 * -ETIMEDOUT (timeout_usec), -EPROTO (what is there is no Manager), -EUSERS
 * (max_clients), -ESHUTDOWN (it has given up), -ENOMEM, -EMFILE. */
REEVE_PUBLIC int reeve_manager_connect(const char *address, const void *authkey,
				       size_t authkey_size,
				       uint64_t timeout_usec,
				       reeve_manager **ret_manager);

/* Of who has started it: the server writes its snapshot, and ends; all clients
 * are told -ESHUTDOWN. Waits until it is gone. Returns 0, also when it was called
 * before; -EPERM (only connected). It has ended, but its last snapshot is not
 * written (the file is the one before): -ENOSPC and what else a file system may
 * say, -EIO (the server or its keeper had died), -ETIMEDOUT (it took too long). */
REEVE_PUBLIC int reeve_manager_shutdown(reeve_manager *manager);

/* Disconnects; of who has started it: first shuts down (whether the last snapshot
 * is written only reeve_manager_shutdown() tells). Frees. Its proxies must be
 * freed before. Returns NULL. */
REEVE_PUBLIC reeve_manager *reeve_manager_free(reeve_manager *manager);

/* Where it listens, in the form that reeve_manager_connect() takes, and the key;
 * valid as long as the handle. */
REEVE_PUBLIC const char *reeve_manager_address(const reeve_manager *manager);
REEVE_PUBLIC const void *reeve_manager_authkey(const reeve_manager *manager,
					       size_t *ret_size);

/* How often the server was started again, as far as this client knows; and its
 * pid (0: not on this machine, or none at the moment). */
REEVE_PUBLIC uint64_t reeve_manager_restarts(reeve_manager *manager);
REEVE_PUBLIC pid_t reeve_manager_pid(reeve_manager *manager);

/* A dict of counters: clients, objects, bytes, requests, ...: see the server's own
 * description in reeve-manager(8). */
REEVE_PUBLIC int reeve_manager_stats(reeve_manager *manager,
				     struct reeve_any *ret_stats);

/* A dict: the name of each object, and its kind as a word. */
REEVE_PUBLIC int reeve_manager_names(reeve_manager *manager,
				     struct reeve_any *ret_names);

/* Takes the name from an object: it lives while proxies of it are open. -ENOENT. */
REEVE_PUBLIC int reeve_manager_delete(reeve_manager *manager, const char *name);

/* Between begin and end, calls that return nothing but their success (set, append,
 * put without waiting, ...) do not wait for their answers: many travel together.
 * A call that returns something first waits for all before it. end waits for
 * all, and returns 0 or the first error; *ret_failed (may be NULL) is the number
 * of calls that failed. */
REEVE_PUBLIC int reeve_manager_begin(reeve_manager *manager);
REEVE_PUBLIC int reeve_manager_end(reeve_manager *manager, size_t *ret_failed);

/* ---- objects ----------------------------------------------------------------- */

enum reeve_object_kind {
	REEVE_OBJECT_DICT,
	REEVE_OBJECT_NAMESPACE, /* a dict of attributes: keys are strings */
	REEVE_OBJECT_LIST,
	REEVE_OBJECT_ARRAY, /* of numbers, its length fixed */
	REEVE_OBJECT_VALUE,
	REEVE_OBJECT_QUEUE, /* joinable */
	REEVE_OBJECT_LOCK,
	REEVE_OBJECT_RLOCK,
	REEVE_OBJECT_SEMAPHORE,
	REEVE_OBJECT_BOUNDED_SEMAPHORE,
	REEVE_OBJECT_EVENT,
	REEVE_OBJECT_CONDITION, /* with a lock of its own, an rlock */
	REEVE_OBJECT_BARRIER,
	REEVE_OBJECT_COUNT
};

/* What a new object is to be; without effect on one that exists. */
struct reeve_object_spec {
	/* Units of a semaphore (1), parties of a barrier (must be given), bound
	 * of a queue (0: none), items of an array. */
	size_t size;
	/* What it begins with: dict, namespace: a dict; list, array: a list; value:
	 * a value. Kind NIL: nothing; zeros. */
	struct reeve_any value;
};

/* Finds the object of this name, or makes it. name may be NULL: a new one, which
 * gets a name that begins with '#' (so may yours: such an object lives while a
 * proxy of it is open).
 * Returns 1 (made), 0 (found); -EEXIST (the name is another kind's), -EINVAL,
 * -ENOSPC (max_objects, max_bytes), -ENOMEM.
 *
 * This, and each of the calls below, may also return:
 *   -ECONNRESET  the connection ended during this call, or the server was silent
 *                for REEVE_MANAGER_ANSWER_USEC, so that it was ended: the call was
 *                done, or it was not
 *   -ESTALE      the connection ended since this proxy was last used, and there is
 *                another one now: the server was started again, or the network
 *                failed. The call was not done. Told once for each connection;
 *                the next call goes to the server that there is now, where the
 *                object is what it was or what the snapshot had
 *                (reeve_proxy_is_restored()), or as reeve_proxy_open() made it.
 *                What was held is not held any more.
 *   -ESHUTDOWN   the server was told to end, or cannot be reached for
 *                REEVE_MANAGER_RECONNECT_USEC. Further calls look, without waiting
 *                for long, whether there is one at that address again: -ESTALE
 *   -EBUSY       another thread is in a call of this manager
 *   -EMSGSIZE    a value over REEVE_MANAGER_VALUE_MAX
 *   -E2BIG       a value nested deeper than REEVE_ANY_DEPTH_MAX, or for an item of
 *                a list or dict, as deep: a copy of all could not be returned
 *   -ENOSPC      the server's max_bytes
 *   -ENOTSUP     not a call for this kind of object
 *   -EINVAL      a value that cannot be encoded; see reeve_any_encode()
 *   -EPROTO      the server answered nonsense; the connection was ended
 *   -EUSERS, -ENOMEM, -EMFILE   as with reeve_manager_connect()
 * Those that wait: -ETIMEDOUT; -EAGAIN with timeout_usec 0. */
REEVE_PUBLIC int reeve_proxy_open(reeve_manager *manager,
				  enum reeve_object_kind kind, const char *name,
				  const struct reeve_object_spec *spec,
				  reeve_proxy **ret_proxy);

/* Gives it back. NULL is nothing. Returns NULL. */
REEVE_PUBLIC reeve_proxy *reeve_proxy_free(reeve_proxy *proxy);

/* What it is a proxy of. */
REEVE_PUBLIC enum reeve_object_kind reeve_proxy_kind(const reeve_proxy *proxy);

/* Its name; of one without, the name by which others can open it while it lives. */
REEVE_PUBLIC const char *reeve_proxy_name(const reeve_proxy *proxy);

/* After -ESTALE: has the object what it had, or what was in the snapshot (1), or is
 * it new, since -ESTALE or by another client (0)? */
REEVE_PUBLIC int reeve_proxy_is_restored(const reeve_proxy *proxy);

/* Dict, namespace, list, array, queue: how many. Or -errno. */
REEVE_PUBLIC int64_t reeve_proxy_length(reeve_proxy *proxy);
/* Dict, namespace, list: empties it. */
REEVE_PUBLIC int reeve_proxy_clear(reeve_proxy *proxy);
/* Dict, namespace, list, array: a copy of all. */
REEVE_PUBLIC int reeve_proxy_items(reeve_proxy *proxy,
				   struct reeve_any *ret_value);

/* Dict and namespace. -ENOENT: no such key. ret_value may be NULL. add adds a
 * number to a number in one step (a missing one is 0; -EDOM: not numbers, or more
 * than fits); setdefault sets only what is not there, and returns what is then. */
REEVE_PUBLIC int reeve_proxy_dict_get(reeve_proxy *proxy, struct reeve_any key,
				      struct reeve_any *ret_value);
REEVE_PUBLIC int reeve_proxy_dict_set(reeve_proxy *proxy, struct reeve_any key,
				      struct reeve_any value);
REEVE_PUBLIC int reeve_proxy_dict_setdefault(reeve_proxy *proxy,
					     struct reeve_any key,
					     struct reeve_any value,
					     struct reeve_any *ret_value);
REEVE_PUBLIC int reeve_proxy_dict_add(reeve_proxy *proxy, struct reeve_any key,
				      struct reeve_any value,
				      struct reeve_any *ret_value);
REEVE_PUBLIC int reeve_proxy_dict_pop(reeve_proxy *proxy, struct reeve_any key,
				      struct reeve_any *ret_value);
/* 1: it is there; 0: not. */
REEVE_PUBLIC int reeve_proxy_dict_has(reeve_proxy *proxy, struct reeve_any key);
REEVE_PUBLIC int reeve_proxy_dict_keys(reeve_proxy *proxy,
				       struct reeve_any *ret_list);
REEVE_PUBLIC int reeve_proxy_dict_update(reeve_proxy *proxy,
					 struct reeve_any dict);

/* List and array; an index below 0 is from the end. -ERANGE: outside. Those that
 * change the length (append ... pop) are for lists only. */
REEVE_PUBLIC int reeve_proxy_list_get(reeve_proxy *proxy, int64_t index,
				      struct reeve_any *ret_value);
REEVE_PUBLIC int reeve_proxy_list_set(reeve_proxy *proxy, int64_t index,
				      struct reeve_any value);
REEVE_PUBLIC int reeve_proxy_list_add(reeve_proxy *proxy, int64_t index,
				      struct reeve_any value,
				      struct reeve_any *ret_value);
/* Items from .. to - 1, cut to what there is, as list[from:to]. */
REEVE_PUBLIC int reeve_proxy_list_slice(reeve_proxy *proxy, int64_t from,
					int64_t to, struct reeve_any *ret_list);
/* The first index of value; or -ENOENT. */
REEVE_PUBLIC int64_t reeve_proxy_list_index(reeve_proxy *proxy,
					    struct reeve_any value);
REEVE_PUBLIC int reeve_proxy_list_append(reeve_proxy *proxy,
					 struct reeve_any value);
REEVE_PUBLIC int reeve_proxy_list_extend(reeve_proxy *proxy,
					 struct reeve_any list);
REEVE_PUBLIC int reeve_proxy_list_insert(reeve_proxy *proxy, int64_t index,
					 struct reeve_any value);
/* index -1: the last. */
REEVE_PUBLIC int reeve_proxy_list_pop(reeve_proxy *proxy, int64_t index,
				      struct reeve_any *ret_value);

/* Value. add as with dicts. */
REEVE_PUBLIC int reeve_proxy_value_get(reeve_proxy *proxy,
				       struct reeve_any *ret_value);
REEVE_PUBLIC int reeve_proxy_value_set(reeve_proxy *proxy,
				       struct reeve_any value);
REEVE_PUBLIC int reeve_proxy_value_add(reeve_proxy *proxy,
				       struct reeve_any value,
				       struct reeve_any *ret_value);

/* Queue. What a dead client had got and not called done is finished by its death:
 * join says how many these were. task_done: -EPERM when this client has none. */
REEVE_PUBLIC int reeve_proxy_queue_put(reeve_proxy *proxy,
				       struct reeve_any value,
				       uint64_t timeout_usec);
REEVE_PUBLIC int reeve_proxy_queue_get(reeve_proxy *proxy,
				       uint64_t timeout_usec,
				       struct reeve_any *ret_value);
REEVE_PUBLIC int reeve_proxy_queue_is_full(reeve_proxy *proxy);
REEVE_PUBLIC int reeve_proxy_queue_task_done(reeve_proxy *proxy);
REEVE_PUBLIC int reeve_proxy_queue_join(reeve_proxy *proxy,
					uint64_t timeout_usec,
					size_t *ret_lost);

/* Lock, rlock, condition, semaphores. acquire returns 0; 1: it is acquired, and a
 * holder has died since it was last released (locks): what it protects may be half
 * done. -EDEADLK: this client holds the lock (not rlock). release: -EPERM: this
 * client does not hold it; of a plain semaphore anybody may release (at most
 * INT64_MAX units: -EOVERFLOW), of a bounded one not beyond its size
 * (-EOVERFLOW). Units that a dead client had acquired and not released come
 * back. */
REEVE_PUBLIC int reeve_proxy_acquire(reeve_proxy *proxy, uint64_t timeout_usec);
REEVE_PUBLIC int reeve_proxy_release(reeve_proxy *proxy);

/* Condition: releases its lock, waits for a notify, acquires it again (also after
 * -ETIMEDOUT); -EPERM: it is not held. Event: waits until it is set. 1: as with
 * acquire. */
REEVE_PUBLIC int reeve_proxy_wait(reeve_proxy *proxy, uint64_t timeout_usec);
/* Condition: wakes n of those who wait, -1: all. -EPERM: its lock is not held. */
REEVE_PUBLIC int reeve_proxy_notify(reeve_proxy *proxy, int64_t n);

/* Event: sets it, which wakes all who wait; makes it unset; 1 when it is set, 0
 * when not. */
REEVE_PUBLIC int reeve_proxy_event_set(reeve_proxy *proxy);
REEVE_PUBLIC int reeve_proxy_event_clear(reeve_proxy *proxy);
REEVE_PUBLIC int reeve_proxy_event_is_set(reeve_proxy *proxy);

/* Barrier: waits for all parties; returns which arrival this one was, from 0;
 * -EPIPE: it is broken (a timeout, an abort, a death, a reset while waiting). */
REEVE_PUBLIC int reeve_proxy_barrier_wait(reeve_proxy *proxy,
					  uint64_t timeout_usec);
REEVE_PUBLIC int reeve_proxy_barrier_reset(reeve_proxy *proxy);
REEVE_PUBLIC int reeve_proxy_barrier_abort(reeve_proxy *proxy);
/* Any of the outputs may be NULL. */
REEVE_PUBLIC int reeve_proxy_barrier_state(reeve_proxy *proxy,
					   size_t *ret_parties,
					   size_t *ret_waiting,
					   bool *ret_broken);

REEVE_DECLARATIONS_END

#endif
