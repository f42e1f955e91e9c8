/* Addresses of Managers, as text, and the sockets behind them.
 *
 * Properties
 *   "unix:/path", "unix:@abstract", "tcp:HOST:PORT", "tcp:[IPV6]:PORT". A path has
 *   at most ADDRESS_PATH_MAX bytes, an abstract name likewise. HOST is a number or
 *   a name; a name is looked up, which takes as long as the resolver likes.
 * Operation
 *   address_listen() listens, and says where in the form that address_connect()
 *   takes. A socket at a path has mode 0600; one that is there already is
 *   replaced when nobody listens on it; who starts at the same time waits (a lock
 *   on the directory).
 * Safety
 *   All sockets are CLOEXEC and non-blocking, and know no delay (TCP); those of
 *   TCP notice, within two minutes, that the other machine is gone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ADDRESS_TEXT_MAX 320 /* with its NUL */
#define ADDRESS_PATH_MAX 107
#define ADDRESS_BACKLOG	 4096

/* Is text an address? Returns 0 or -EINVAL. */
int address_check(const char *text);

/* Listens. *ret_text (ADDRESS_TEXT_MAX bytes): where, with the port it was given.
 * Returns 0; -EINVAL, -EADDRINUSE, -EADDRNOTAVAIL (no such host), -EACCES,
 * -ENOENT (no such directory), -EEXIST (the path is there and is no socket),
 * -EBUSY (somebody holds the directory's lock), -EMFILE, ... */
int address_listen(const char *text, int *ret_fd,
		   char ret_text[static ADDRESS_TEXT_MAX]);

/* Removes the socket of a path that fd listens on, if it is still that one. Of
 * other addresses: nothing. */
void address_unlink(const char *text, int fd);

/* Connects; for a name all its addresses are tried. Returns 0; -EINVAL,
 * -ECONNREFUSED, -ENOENT, -EADDRNOTAVAIL (no such host), -ETIMEDOUT, -EMFILE, ...
 * A Unix socket whose backlog is full is tried again until the time is over. */
int address_connect(const char *text, uint64_t timeout_usec, int *ret_fd);

/* Sets up a connection's socket that was accepted, as address_connect() does. */
void address_tune(int fd);
