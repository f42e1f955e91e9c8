/* The command line of reeve-manager: one table, from which it is read, shown by
 * --help, and by its page of the manual. */
#pragma once

#include "workers/manager/keeper.h"

/* id, letter (0: none), word, value, default, what is right, help */
#define MANAGER_OPTIONS(X)                                                     \
	X(LISTEN, 'l', "listen", "ADDRESS", NULL,                              \
	  "unix:/path, unix:@name, tcp:HOST:PORT or tcp:[IPV6]:PORT",          \
	  "where: unix:/path, unix:@name, tcp:HOST:PORT, tcp:[IPV6]:PORT")     \
	X(AUTHKEY, 'k', "authkey-file", "FILE", NULL, "a path",                \
	  "the key that clients have to know: all bytes of FILE")              \
	X(SNAPSHOT, 's', "snapshot", "FILE", NULL, "a path",                   \
	  "keep the objects in FILE [they are not kept]")                      \
	X(INTERVAL, 0, "snapshot-interval", "TIME", "1s", "a time above 0",    \
	  "write it so long after a change")                                   \
	X(CLIENTS, 0, "max-clients", "N", "1024",                              \
	  "a number from 1 to 1000000", "connections at a time")               \
	X(OBJECTS, 0, "max-objects", "N", "65536", "a number above 0",         \
	  "objects at a time")                                                 \
	X(BYTES, 0, "max-bytes", "SIZE", "1G", "a size above 0",               \
	  "memory of all objects")                                             \
	X(OUTPUT, 0, "max-output", "SIZE", "64M", "a size above 0",            \
	  "answers that a client does not read; then it is disconnected; "     \
	  "at least 20M")                                                      \
	X(RESTARTS, 0, "restart-limit", "N/TIME", "5/10s",                     \
	  "a number and a time: 5/10s",                                        \
	  "deaths of the server in TIME after which to give up")               \
	X(HELP, 'h', "help", NULL, NULL, "", "this text")                      \
	X(VERSION, 'V', "version", NULL, NULL, "", "the version")

struct options {
	struct keeper_order order; /* the key not read yet */
	const char *authkey_file;
	bool is_inherited; /* all else comes from KEEPER_FD_ORDER */
};

/* Returns -1 to go on, else the exit code, said. */
int options_take(int argc, char **argv, struct options *ret_options);

/* Reads the key: the file's bytes without a newline at the end. Others may not read
 * it. Returns 0 or -errno, said. */
int options_read_authkey(struct options *options);
