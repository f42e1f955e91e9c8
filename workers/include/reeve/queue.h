/* Queues: messages between any number of processes, none of which can spoil it
 * for the others by dying.
 *
 * Properties
 *   What multiprocessing.Queue is, for C; bounded by messages and by bytes.
 *   A message is a blob of bytes, of any size up to the queue's limit; it is
 *   copied in by put and copied out by get. There is no thread behind a queue:
 *   when put returns, the message is there, whoever dies or exits then.
 *   The messages of one thread are got in the order they were put.
 *   A process may be killed at any instruction. Killed in put, its message is
 *   there as a whole or not at all, and all others are; killed in get, its
 *   message is the next one's, or was taken by the dead. No message is got
 *   twice, or in parts. Nobody waits for the dead: who waits goes on within
 *   100 ms.
 *   The memory is anonymous, and gone with the last process that has it.
 * Operation
 *   reeve_queue_new() makes one; processes that are started afterwards as
 *   functions, and forked ones, use the same handle. A program that is executed
 *   is given the two fds of reeve_queue_fds(), and calls reeve_queue_open().
 *   put and get wait for timeout_usec (0: not at all) when the queue is full or
 *   empty. For event loops, reeve_queue_poll_fd() is readable when there may be
 *   something to get.
 *   reeve_queue_close() says that nothing more will be put: who gets is given
 *   what is left, and then -EPIPE.
 *   With is_joinable it is multiprocessing.JoinableQueue: who has got a message
 *   says with reeve_queue_task_done() that it is dealt with, and
 *   reeve_queue_join() waits until all are. A process that dies with unfinished
 *   tasks finishes them by that: they are lost, and join says how many; it does
 *   not put them back, as nobody knows how far they were done.
 *   A function that is started as a process has no other fds than it is given:
 *   for one that uses an inherited handle, set keep_fds, or give it both fds by
 *   the same numbers. Without them it cannot poll, nor put into a queue that
 *   somebody polls (-EBADF).
 * Safety
 *   All functions may be called from any thread of any process that has the
 *   queue, but reeve_queue_free(), the last call on a handle in a process; none
 *   from a signal handler. None is a cancellation point.
 *   A thread that ends inside a call ends like a killed process. A process that
 *   is stopped inside a call holds up others that put, or others that get,
 *   until it goes on or is killed; timeouts are kept.
 *   Processes that share a queue share its memory. What makes no sense there is
 *   found before it is used (-EBADMSG): indices, sizes, counts. An enemy can spoil
 *   messages, make calls fail, and wait until their time is over; not crash those
 *   who make them.
 *   A handle of NULL is -EINVAL, or does nothing.
 */
#ifndef REEVE_QUEUE_H
#define REEVE_QUEUE_H

#include <reeve/types.h>

REEVE_DECLARATIONS_BEGIN

/* A queue, as one process has it. */
typedef struct reeve_queue reeve_queue;

/* What max_bytes may be, and is by default. */
#define REEVE_QUEUE_BYTES_MIN	  UINT64_C(64)
#define REEVE_QUEUE_BYTES_MAX	  (UINT64_C(4) << 30)
#define REEVE_QUEUE_BYTES_DEFAULT (UINT64_C(4) << 20)
/* The same of max_items; the default leaves it to the bytes. */
#define REEVE_QUEUE_ITEMS_MAX INT32_MAX
/* What each message costs besides its size, which is rounded up to this. */
#define REEVE_QUEUE_ITEM_BYTES 8
/* Most processes that may have unfinished tasks of a joinable queue at a time. */
#define REEVE_QUEUE_TAKERS_MAX 256
/* How many fds a queue has. */
#define REEVE_QUEUE_FDS 2

/* What the queue is to be. Zero in a field means its default. */
struct reeve_queue_spec {
	uint32_t max_items; /* messages in it at a time */
	/* Bytes in it at a time; each message counts for its size, rounded up,
	 * plus REEVE_QUEUE_ITEM_BYTES. The largest message is smaller by that
	 * much. Memory is used when touched, up to the next power of two. */
	uint64_t max_bytes;
	bool is_joinable; /* counts unfinished tasks; costs get some time */
};

/* Makes a queue. spec may be NULL. Returns 0; -EINVAL (spec), -ENOMEM, -EMFILE,
 * -ENFILE. */
REEVE_PUBLIC int reeve_queue_new(const struct reeve_queue_spec *spec,
				 reeve_queue **ret_queue);

/* Opens the queue behind the fds of reeve_queue_fds(), which stay the caller's.
 * Returns 0; -EBADMSG (they are no queue's), -EBADF, -ENOMEM, -EMFILE. */
REEVE_PUBLIC int reeve_queue_open(const int fds[REEVE_QUEUE_FDS],
				  reeve_queue **ret_queue);

/* Releases the handle, which may be NULL, in this process only; returns NULL. */
REEVE_PUBLIC reeve_queue *reeve_queue_free(reeve_queue *queue);

/* The queue's fds, which stay the handle's, for a program that is started: give
 * it both (struct reeve_fd). Returns 0. */
REEVE_PUBLIC int reeve_queue_fds(const reeve_queue *queue,
				 int ret_fds[REEVE_QUEUE_FDS]);

/* The size of the largest message; 0 for NULL. */
REEVE_PUBLIC size_t reeve_queue_message_max(const reeve_queue *queue);

/* Puts a copy of size_bytes of data. Returns 0; -EMSGSIZE (over the limit),
 * -EAGAIN (full, and timeout_usec is 0), -ETIMEDOUT, -EPIPE (closed), -EBADMSG
 * (the memory was overwritten), -EBADF (see above), -EINVAL. If it does not return 0, nothing was
 * put. */
REEVE_PUBLIC int reeve_queue_put(reeve_queue *queue, const void *data,
				 size_t size_bytes, uint64_t timeout_usec);

/* Gets the next message into buffer. Returns 0; -EAGAIN (empty, and timeout_usec
 * is 0), -ETIMEDOUT, -EPIPE (closed and empty), -EMSGSIZE (it is larger than
 * size_bytes, and stays the next), -EBADMSG, -EINVAL; of a joinable queue also
 * -EUSERS (REEVE_QUEUE_TAKERS_MAX). ret_size may be NULL. */
REEVE_PUBLIC int reeve_queue_get(reeve_queue *queue, void *buffer,
				 size_t size_bytes, uint64_t timeout_usec,
				 size_t *ret_size);

/* The same into new memory, with a zero byte after it: free(3) it. Also
 * -ENOMEM; then the message stays the next. */
REEVE_PUBLIC int reeve_queue_get_new(reeve_queue *queue, uint64_t timeout_usec,
				     void **ret_data, size_t *ret_size);

/* How many messages are in it at this moment; 0 for NULL. */
REEVE_PUBLIC size_t reeve_queue_qsize(const reeve_queue *queue);

/* Whether there is none at this moment, and whether as many as there may be: 1
 * or 0. A queue that is not full may yet have no room for a large message. */
REEVE_PUBLIC int reeve_queue_is_empty(const reeve_queue *queue);
REEVE_PUBLIC int reeve_queue_is_full(const reeve_queue *queue);

/* Nothing can be put any more, by anybody; wakes all who wait. Returns 0, also
 * when it was closed already. */
REEVE_PUBLIC int reeve_queue_close(reeve_queue *queue);

/* An fd that is readable when there may be something to get, or the queue is
 * closed; it stays so until a get finds the queue empty. It is the handle's: do
 * not read or close it. From the first call on, putting into an empty queue
 * costs everybody a system call. A process that is killed inside put or get may
 * leave it silent until the next put: poll with a timeout, and then get. (When it
 * was a worker of a pool that shares the queue, the pool makes it readable.) */
REEVE_PUBLIC int reeve_queue_poll_fd(reeve_queue *queue);

/* Says that a task this process got from a joinable queue is finished. Any of
 * its threads may; a process that it forks may not. Returns 0; -EPERM (it has
 * none), -EOPNOTSUPP (not joinable). */
REEVE_PUBLIC int reeve_queue_task_done(reeve_queue *queue);

/* Waits until all that was put was got and finished. Returns 0, with *ret_lost
 * (may be NULL) the number of tasks that were lost, since the queue was made, with
 * processes that died; -EAGAIN (timeout_usec is 0), -ETIMEDOUT, -EOPNOTSUPP.
 * Processes are told apart within one PID namespace. A death is seen within
 * 100 ms. */
REEVE_PUBLIC int reeve_queue_join(reeve_queue *queue, uint64_t timeout_usec,
				  size_t *ret_lost);

REEVE_DECLARATIONS_END

#endif
