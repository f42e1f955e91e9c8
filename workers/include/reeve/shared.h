/* Shared values and arrays: typed memory that several processes see at once.
 *
 * Properties
 *   What multiprocessing.Value and Array are, for C, and RawValue and RawArray.
 *   Elements are of any C integer or floating type, or of any number of bytes
 *   each (a struct); they lie one after the other, aligned for any type, all
 *   zero at first. What reeve_array_data() returns is the memory itself: nothing
 *   is copied.
 *   With a lock (the default), which is recursive, as in Python: when the process
 *   that holds it dies, the next one gets it at once, and is told.
 *   The memory is anonymous, used when touched, and gone with the last process
 *   that has it.
 * Operation
 *   reeve_value_new() and reeve_array_new() make one; processes that are started
 *   afterwards as functions, and forked ones, use the same handle and the same
 *   pointers. A program that is executed is given the fd, and opens it.
 *   Between acquire and release the caller has the memory to itself, as far as
 *   all others do the same. Get, set and add do that for one element each.
 * Safety
 *   All functions may be called from any thread of any process that has it, but
 *   _free(), the last call on a handle in a process; none from a signal handler.
 *   The lock belongs to a thread. Without a lock, add, and get and set of
 *   elements of 1, 2, 4 or 8 bytes, are atomic; all else is for the program to
 *   order.
 *   Whoever has the memory may write anything anywhere into it, and into the
 *   lock that lies in front of it, which has pointers: do not share it with an
 *   enemy.
 *   A handle of NULL is -EINVAL, or does nothing.
 */
#ifndef REEVE_SHARED_H
#define REEVE_SHARED_H

#include <reeve/types.h>

REEVE_DECLARATIONS_BEGIN

/* An array, and a single value, as one process has them. */
typedef struct reeve_array reeve_array;
typedef struct reeve_value reeve_value;

/* All elements together. */
#define REEVE_ARRAY_BYTES_MAX (UINT64_C(1) << 40)

/* What the elements are. */
enum reeve_type {
	REEVE_BYTES, /* as many as the spec says */
	REEVE_BOOL,
	REEVE_CHAR,
	REEVE_SCHAR,
	REEVE_UCHAR,
	REEVE_SHORT,
	REEVE_USHORT,
	REEVE_INT,
	REEVE_UINT,
	REEVE_LONG,
	REEVE_ULONG,
	REEVE_LLONG,
	REEVE_ULLONG,
	REEVE_FLOAT,
	REEVE_DOUBLE,
	REEVE_LDOUBLE,
};

/* What the array is to be. Zero in a field means its default. */
struct reeve_array_spec {
	enum reeve_type type;
	size_t n_items;		/* at least 1 */
	size_t item_size_bytes; /* REEVE_BYTES only; default 1 */
	bool is_raw;		/* without a lock */
};

/* Makes an array. Returns 0; -EINVAL (spec), -EFBIG (over the limit), -ENOMEM,
 * -EMFILE, -ENFILE. */
REEVE_PUBLIC int reeve_array_new(const struct reeve_array_spec *spec,
				 reeve_array **ret_array);

/* Opens the array behind fd, which stays the caller's (it is duplicated).
 * Returns 0; -EBADMSG (there is none), -EBADF, -ENOMEM, -EMFILE. */
REEVE_PUBLIC int reeve_array_open(int fd, reeve_array **ret_array);

/* Releases the handle, which may be NULL, and the memory, in this process only;
 * returns NULL. If the calling thread holds the lock by it, the next one gets it
 * as from the dead; no other thread of this process may. */
REEVE_PUBLIC reeve_array *reeve_array_free(reeve_array *array);

/* The array's fd, for a program that is started. It is the handle's. */
REEVE_PUBLIC int reeve_array_fd(const reeve_array *array);

/* The elements, valid until the handle is freed; NULL for NULL. */
REEVE_PUBLIC void *reeve_array_data(const reeve_array *array);

/* How many there are, how large each is, and what; 0 for NULL. */
REEVE_PUBLIC size_t reeve_array_length(const reeve_array *array);
REEVE_PUBLIC size_t reeve_array_item_size(const reeve_array *array);
REEVE_PUBLIC enum reeve_type reeve_array_type(const reeve_array *array);

/* Takes the lock. Returns 0; -EOWNERDEAD: the caller has it, and whoever had it
 * last died with it, so that the elements may be half changed (this is told
 * once); -EAGAIN (another has it, and timeout_usec is 0), -ETIMEDOUT,
 * -EOPNOTSUPP (there is no lock). May be nested. */
REEVE_PUBLIC int reeve_array_acquire(reeve_array *array, uint64_t timeout_usec);

/* Gives it back. Returns 0; -EPERM (the calling thread does not have it),
 * -EOPNOTSUPP. */
REEVE_PUBLIC int reeve_array_release(reeve_array *array);

/* Copies an element from, and to, item. If there is a lock, waits for it; when
 * its holder died, that is left to be told by the next acquire. Returns 0;
 * -ERANGE (no such index). */
REEVE_PUBLIC int reeve_array_get(reeve_array *array, size_t index,
				 void *ret_item);
REEVE_PUBLIC int reeve_array_set(reeve_array *array, size_t index,
				 const void *item);

/* Adds to an element of an integer type, as one step; wraps around. ret_sum,
 * which may be NULL, is the new value (of an unsigned 64-bit one, its bits).
 * Returns 0; -ERANGE, -EOPNOTSUPP (no integer). */
REEVE_PUBLIC int reeve_array_add(reeve_array *array, size_t index,
				 int64_t delta, int64_t *ret_sum);

/* A value is an array of one. type: not REEVE_BYTES, for which there is
 * reeve_array_new(). The calls return what those of the array do. */
REEVE_PUBLIC int reeve_value_new(enum reeve_type type, bool is_raw,
				 reeve_value **ret_value);
/* As reeve_array_open(); -EBADMSG also for an array of more than one. */
REEVE_PUBLIC int reeve_value_open(int fd, reeve_value **ret_value);
REEVE_PUBLIC reeve_value *reeve_value_free(reeve_value *value);
REEVE_PUBLIC int reeve_value_fd(const reeve_value *value);
REEVE_PUBLIC void *reeve_value_data(const reeve_value *value);
REEVE_PUBLIC int reeve_value_acquire(reeve_value *value, uint64_t timeout_usec);
REEVE_PUBLIC int reeve_value_release(reeve_value *value);
REEVE_PUBLIC int reeve_value_get(reeve_value *value, void *ret_item);
REEVE_PUBLIC int reeve_value_set(reeve_value *value, const void *item);
REEVE_PUBLIC int reeve_value_add(reeve_value *value, int64_t delta,
				 int64_t *ret_sum);

REEVE_DECLARATIONS_END

#endif
