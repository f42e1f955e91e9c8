/* What a Manager and its clients say to each other.
 *
 * Properties
 *   A connection carries frames: a length of 4 bytes, little-endian, at most
 *   FRAME_MAX, and that many bytes, which are a sequence of CBOR items in the
 *   encoding of <reeve/any.h>. First the handshake (auth.h), then:
 *
 *     server   hello:    version, instance (bytes, 16: another one after each
 *                        restart), generation (int: restarts so far),
 *                        restored (bool: from a snapshot), pid (int: the server's,
 *                        as itself sees it; SO_PEERCRED may name a dead one, or
 *                        the owner)
 *     client   request:  id (int, > 0, its own choice), verb (int), object (int:
 *                        a handle from open, 0: none), arguments ...
 *     server   answer:   id, status (int: 0 or -errno), results ...
 *                        (with a status below 0 there are none)
 *
 *   Requests of a connection are begun in the order they came; each is answered
 *   once. Those that wait (a lock, an empty queue) are answered when they are
 *   over; requests behind them are not held up. All others are answered in the
 *   order they came.
 *   Each request is done as a whole, or not at all.
 *   An answer with the id 0 and the status -ESHUTDOWN, for which nobody asked, is
 *   the last of a connection: the server was told to end, and clients do not wait
 *   for another. (One that only dies says nothing: they do.)
 *   An object whose name begins with '#' lives while somebody has it open; others
 *   live until they are deleted. Clients make such names up (random, 128 bits)
 *   for objects without a name, so that all who had one meet again at it after a
 *   restart.
 *   What open says is exact: who wants a default puts it in. A semaphore of size 0
 *   has no units; a barrier, or a bounded semaphore, of size 0 is -EINVAL.
 *   A condition's wait whose time is over while the lock's last holder is dead is
 *   answered by true, not by -ETIMEDOUT: its news is the greater one.
 * Operation
 *   A verb exists if and only if it has a row here. Its row says for which kinds
 *   of object, what its arguments and results are, and whether it may wait:
 *
 *     v  any value                  k  a key: boolean, integer, string, bytes
 *     i  integer                    b  boolean
 *     s  string                     t  timeout_usec: integer, -1: for ever
 *     V, I: the same, or nil        *: as many more of these as there are
 */
#pragma once

#include <stdint.h>

#define PROTOCOL_VERSION 1
/* Of one frame: the largest value, and what goes with it. */
#define FRAME_MAX	   ((uint32_t)(16 << 20) + 4096)
#define FRAME_HEAD	   4
#define PROTOCOL_NAME_MAX  255 /* bytes of an object's name */
#define PROTOCOL_INSTANCE  16  /* bytes */
#define PROTOCOL_ARGUMENTS 6   /* fixed ones, at most */

/* Kinds of objects, as in enum reeve_object_kind of <reeve/manager.h>. */
#define KIND(k)	   (1u << REEVE_OBJECT_##k)
#define KINDS_MAP  (KIND(DICT) | KIND(NAMESPACE))
#define KINDS_ROW  (KIND(LIST) | KIND(ARRAY))
#define KINDS_SEM  (KIND(SEMAPHORE) | KIND(BOUNDED_SEMAPHORE))
#define KINDS_LOCK (KIND(LOCK) | KIND(RLOCK) | KIND(CONDITION))

/*   name            kinds                     arguments results waits  meaning */
#define VERBS(X)                                                                             \
	/* no object. open: kind, name (nil: the server makes one up, with '#'), */          \
	/* size, first value -> handle, was it made now. size is the units of a */           \
	/* semaphore, parties of a barrier, bound of a queue (0: none), items of an array */ \
	/* third result: does it come from the snapshot? */                                  \
	X(PING, 0, "", "", 0, "nothing")                                                     \
	X(OPEN, 0, "iVIV", "ibb", 0, "finds or makes an object")                             \
	X(DELETE, 0, "s", "", 0, "unnames an object")                                        \
	X(NAMES, 0, "", "v", 0, "dict of names: kind")                                       \
	X(STATS, 0, "", "v", 0, "dict of counters")                                          \
	/* any */                                                                            \
	X(CLOSE, ~0u, "", "", 0, "gives the handle back")                                    \
	X(NAME, ~0u, "", "v", 0, "its name; one that open finds")                            \
	X(LENGTH, KINDS_MAP | KINDS_ROW | KIND(QUEUE), "", "i", 0,                           \
	  "how many are in it")                                                              \
	X(CLEAR, KIND(DICT) | KIND(NAMESPACE) | KIND(LIST), "", "", 0,                       \
	  "empties it")                                                                      \
	X(ITEMS, KINDS_MAP | KINDS_ROW, "", "v", 0,                                          \
	  "a copy of all: dict or list")                                                     \
	/* dict, namespace (keys: strings) */                                                \
	X(DICT_GET, KINDS_MAP, "k", "v", 0, "-ENOENT: not there")                            \
	X(DICT_SET, KINDS_MAP, "kv", "", 0, "sets it")                                       \
	X(DICT_SETDEFAULT, KINDS_MAP, "kv", "v", 0,                                          \
	  "sets it unless there; gets it")                                                   \
	X(DICT_ADD, KINDS_MAP, "kv", "v", 0, "adds a number; none is 0")                     \
	X(DICT_POP, KINDS_MAP, "k", "v", 0, "takes it out")                                  \
	X(DICT_HAS, KINDS_MAP, "k", "b", 0, "is it there?")                                  \
	X(DICT_KEYS, KINDS_MAP, "", "v", 0, "list of keys")                                  \
	X(DICT_UPDATE, KINDS_MAP, "v", "", 0, "sets all pairs of a dict")                    \
	/* list; array (numbers, never longer or shorter). An index below 0 is from */       \
	/* the end, -ERANGE: outside */                                                      \
	X(LIST_GET, KINDS_ROW, "i", "v", 0, "an item")                                       \
	X(LIST_SET, KINDS_ROW, "iv", "", 0, "replaces an item")                              \
	X(LIST_ADD, KINDS_ROW, "iv", "v", 0, "adds a number to an item")                     \
	X(LIST_SLICE, KINDS_ROW, "ii", "v", 0,                                               \
	  "items from ... up to, as Python")                                                 \
	X(LIST_APPEND, KIND(LIST), "v", "", 0, "puts it at the end")                         \
	X(LIST_EXTEND, KIND(LIST), "v", "", 0, "appends all of a list")                      \
	X(LIST_INSERT, KIND(LIST), "iv", "", 0,                                              \
	  "puts it in front of an index")                                                    \
	X(LIST_POP, KIND(LIST), "i", "v", 0, "takes an item out")                            \
	X(LIST_INDEX, KINDS_ROW, "v", "i", 0, "where it is; -ENOENT")                        \
	/* value */                                                                          \
	X(VALUE_GET, KIND(VALUE), "", "v", 0, "what it is")                                  \
	X(VALUE_SET, KIND(VALUE), "v", "", 0, "what it is from now on")                      \
	X(VALUE_ADD, KIND(VALUE), "v", "v", 0, "adds a number, gets the sum")                \
	/* queue */                                                                          \
	X(QUEUE_PUT, KIND(QUEUE), "vt", "", 1, "appends; waits while full")                  \
	X(QUEUE_GET, KIND(QUEUE), "t", "v", 1, "takes; waits while empty")                   \
	X(QUEUE_IS_FULL, KIND(QUEUE), "", "b", 0, "as many as it may hold?")                 \
	X(QUEUE_TASK_DONE, KIND(QUEUE), "", "", 0,                                           \
	  "one of the got ones; -EPERM")                                                     \
	X(QUEUE_JOIN, KIND(QUEUE), "t", "i", 1,                                              \
	  "waits for all; how many were lost with dead clients")                             \
	/* locks, semaphores; a condition has a lock of its own */                           \
	X(ACQUIRE, KINDS_LOCK | KINDS_SEM, "t", "b", 1,                                      \
	  "true: a holder died since the last release")                                      \
	X(RELEASE, KINDS_LOCK | KINDS_SEM, "", "", 0,                                        \
	  "-EPERM: does not hold it")                                                        \
	X(WAIT, KIND(CONDITION) | KIND(EVENT), "t", "b", 1,                                  \
	  "for a notify, a set; true: as with acquire")                                      \
	X(NOTIFY, KIND(CONDITION), "i", "", 0, "wakes so many; -1: all")                     \
	X(EVENT_SET, KIND(EVENT), "", "", 0, "wakes all who wait")                           \
	X(EVENT_CLEAR, KIND(EVENT), "", "", 0, "not set any more")                           \
	X(EVENT_IS_SET, KIND(EVENT), "", "b", 0, "is it?")                                   \
	/* barrier */                                                                        \
	X(BARRIER_WAIT, KIND(BARRIER), "t", "i", 1,                                          \
	  "which arrival it was; -EPIPE: broken")                                            \
	X(BARRIER_RESET, KIND(BARRIER), "", "", 0,                                           \
	  "who waits is told -EPIPE; whole again")                                           \
	X(BARRIER_ABORT, KIND(BARRIER), "", "", 0, "broken until it is reset")               \
	X(BARRIER_STATE, KIND(BARRIER), "", "iib", 0,                                        \
	  "parties, waiting, broken?")

enum verb {
#define X(name, kinds, arguments, results, waits, meaning) VERB_##name,
	VERBS(X)
#undef X
		VERB_COUNT
};

struct verb_row {
	const char *name;
	uint32_t kinds;
	const char *arguments, *results;
	uint8_t can_wait;
	const char *meaning;
};

extern const struct verb_row verb_rows[VERB_COUNT];
