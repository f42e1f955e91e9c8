/* Pipes: two connected ends that pass whole messages, and file descriptors.
 *
 * Properties
 *   What multiprocessing.Pipe is, for C, on a pair of SOCK_SEQPACKET sockets. A
 *   message is got as it was sent, as a whole, once; any number of threads and
 *   processes may send and receive on either end. One that is killed while it
 *   sends has sent a whole message or none.
 *   Messages up to REEVE_PIPE_INLINE_MAX travel in the socket; larger ones in
 *   memory whose descriptor travels there.
 *   The end of the other side is an error, never SIGPIPE.
 * Operation
 *   reeve_pipe_new() makes both ends. A process that is to have one is given
 *   its descriptor, reeve_connection_fd(); by the same number, a function that
 *   is started may use the handle it inherited; a program opens it with
 *   reeve_connection_open(). The other side sees the end when all who have this
 *   end released it, or died.
 *   How much may be under way is bounded by the socket's buffer: some hundred
 *   messages. Large ones lie in memory that counts for the sender; the last few
 *   of it stay with either handle, to be used again, until that is freed.
 * Safety
 *   All functions may be called from any thread, but reeve_connection_free(),
 *   the last call on its handle; none from a signal handler. Waiting is a
 *   cancellation point that may lose memory: do not cancel.
 *   Nothing the other side sends does harm: what is no message is -EBADMSG and
 *   dropped. Its large messages are read from memory which it can still write:
 *   their bytes are what they are while they are copied.
 *   A handle of NULL is -EINVAL, or does nothing.
 */
#ifndef REEVE_PIPE_H
#define REEVE_PIPE_H

#include <reeve/types.h>

REEVE_DECLARATIONS_BEGIN

/* One end of a pipe. */
typedef struct reeve_connection reeve_connection;

/* The largest message. */
#define REEVE_PIPE_MESSAGE_MAX (UINT64_C(1) << 30)
/* The largest that goes through the socket itself. */
#define REEVE_PIPE_INLINE_MAX (UINT32_C(64) << 10)
/* Most file descriptors of one message. */
#define REEVE_PIPE_FDS_MAX 16

/* A message with file descriptors. */
struct reeve_message {
	void *data;
	size_t size_bytes; /* received: of the buffer, then of the message */
	int *fds;	   /* sent: they stay the sender's */
	size_t n_fds;	   /* received: room in fds, then how many came */
};

/* Makes a pipe: ret_ends[0] receives and ret_ends[1] sends; if is_duplex, each
 * does both. Returns 0; -EMFILE, -ENFILE, -ENOMEM, -EINVAL. */
REEVE_PUBLIC int reeve_pipe_new(bool is_duplex, reeve_connection *ret_ends[2]);

/* Makes a handle for an end that is behind fd, which stays the caller's (it is
 * duplicated). Returns 0; -EBADMSG (no such socket), -EBADF, -EMFILE, -ENOMEM. */
REEVE_PUBLIC int reeve_connection_open(int fd, reeve_connection **ret_end);

/* Closes the end, which may be NULL, in this process; returns NULL. */
REEVE_PUBLIC reeve_connection *reeve_connection_free(reeve_connection *end);

/* Its file descriptor, for polling (readable: there is a message, or the end)
 * and for giving to others. It is the handle's: do not read or close it. A
 * message that was left with -EMSGSIZE is no longer seen there. */
REEVE_PUBLIC int reeve_connection_fd(const reeve_connection *end);

/* Sends a message; 0 bytes are one. Returns 0; -EAGAIN (no room, and
 * timeout_usec is 0), -ETIMEDOUT, -EPIPE (nobody has the other end any more, or
 * this one only receives), -ECONNRESET (the same, and messages were never
 * received), -EMSGSIZE (over REEVE_PIPE_MESSAGE_MAX), -ENOMEM, -EMFILE,
 * -ETOOMANYREFS (too many descriptors are under way), -EINVAL. If it does not
 * return 0, nothing was sent. */
REEVE_PUBLIC int reeve_connection_send(reeve_connection *end, const void *data,
				       size_t size_bytes,
				       uint64_t timeout_usec);

/* Receives a message into buffer. Returns 0; -EAGAIN (none, and timeout_usec is
 * 0), -ETIMEDOUT, -EPIPE (the other end is gone and all it sent was received),
 * -ECONNRESET (the same, and it left messages unread), -EMSGSIZE (larger than
 * size_bytes: it stays the next, of this handle), -EBADMSG, -ENOMEM, -EMFILE,
 * -EINVAL. ret_size may be NULL. Descriptors that come along are closed. */
REEVE_PUBLIC int reeve_connection_recv(reeve_connection *end, void *buffer,
				       size_t size_bytes, uint64_t timeout_usec,
				       size_t *ret_size);

/* The same into new memory, with a zero byte after it: free(3) it. */
REEVE_PUBLIC int reeve_connection_recv_new(reeve_connection *end,
					   uint64_t timeout_usec,
					   void **ret_data, size_t *ret_size);

/* Sends a message with descriptors. Returns what reeve_connection_send() does;
 * -EINVAL also for more than REEVE_PIPE_FDS_MAX, -EBADF. */
REEVE_PUBLIC int reeve_connection_send_message(
	reeve_connection *end, const struct reeve_message *message,
	uint64_t timeout_usec);

/* Receives a message with its descriptors, which become the caller's and are
 * close-on-exec. Returns what reeve_connection_recv() does; -EMSGSIZE also when
 * there is no room for all descriptors. */
REEVE_PUBLIC int reeve_connection_recv_message(reeve_connection *end,
					       struct reeve_message *message,
					       uint64_t timeout_usec);

/* Waits until there is something to receive, be it the end. Returns 1, or 0
 * after timeout_usec. */
REEVE_PUBLIC int reeve_connection_poll(reeve_connection *end,
				       uint64_t timeout_usec);

REEVE_DECLARATIONS_END

#endif
