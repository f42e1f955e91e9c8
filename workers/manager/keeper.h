/* What libreeve and the program reeve-manager, which it starts, say to each other.
 *
 * Properties
 *   The program is the server's keeper: it holds the listening socket (so that
 *   who connects while there is no server waits in its backlog), forks the server,
 *   starts it again, and ends everything when its owner is gone. It is one
 *   process, single-threaded, with the server as its only child.
 *   What the owner gives it is in memory, never in its arguments or environment.
 *   What it tells is a board: levels, that may be looked at any number of times;
 *   only the keeper writes it.
 * Operation
 *   The owner listens (address.h), makes two memfds, fills one with a struct
 *   keeper_order (and seals it, F_SEAL_WRITE and all), sets the other's size to
 *   sizeof(struct keeper_board) and starts
 *
 *     reeve-manager KEEPER_ARGUMENT
 *
 *   with the fds of enum keeper_fd, in a session of its own, stderr inherited.
 *   program_find() finds it. The bell rings when the board has changed, or the
 *   process ends (its pidfd): a program that ends while the board says STARTING
 *   has not understood (another version: KEEPER_EXIT_USAGE).
 *   STARTING becomes RUNNING when a server accepts clients for the first time;
 *   after a death it stays RUNNING, with pid 0 until there is another server.
 *   FATAL, with error and reason: it gave up. The process ends; but when it was
 *   RUNNING before, only with its owner, or by SIGTERM: until then whoever
 *   connects is told -ESHUTDOWN.
 *   SIGTERM to the keeper: the server tells its clients, writes its snapshot, and
 *   ends; then the keeper, which says on the board whether all is kept, with exit
 *   code 0 if it is. So does the owner's end.
 * Safety
 *   The owner only reads the board; reason is whole once state is FATAL.
 */
#pragma once

#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>

#include <reeve/manager.h>

#include "workers/manager/address.h"

#define KEEPER_ARGUMENT	 "--inherited"
#define KEEPER_MAGIC	 UINT64_C(0x31726570656565b7)
#define KEEPER_VERSION	 2
#define KEEPER_STOP_USEC UINT64_C(30000000) /* then the server is killed */

enum keeper_fd {
	KEEPER_FD_ORDER = 3, /* memfd: struct keeper_order */
	KEEPER_FD_BOARD,     /* memfd: struct keeper_board */
	KEEPER_FD_BELL,	     /* eventfd: the keeper rings the owner */
	KEEPER_FD_LISTEN,    /* the listening socket */
	KEEPER_FD_OWNER,     /* the owner's pidfd */
	KEEPER_FD_END,
};

enum keeper_exit {
	KEEPER_EXIT_OK,
	KEEPER_EXIT_FAILED = 1, /* said why */
	KEEPER_EXIT_USAGE = 2,	/* arguments, or an order, that make no sense */
	/* Of the server, to its keeper: its last snapshot is not written; and
	 * the errno. */
	KEEPER_EXIT_UNSAVED = 64,
	KEEPER_EXIT_END = 256,
};

/* Whole numbers of struct reeve_manager_spec, defaults put in. */
struct keeper_order {
	uint64_t magic;
	uint32_t version, size; /* of this struct */
	uint32_t max_clients;
	uint32_t restart_limit;
	uint64_t restart_interval_usec;
	uint64_t max_objects, max_bytes, max_output_bytes;
	uint64_t snapshot_interval_usec;
	char address[ADDRESS_TEXT_MAX]; /* as address_listen() said */
	char snapshot[PATH_MAX];	/* absolute; "": none */
	uint32_t authkey_size;
	unsigned char authkey[REEVE_MANAGER_KEY_MAX];
};

enum keeper_state {
	KEEPER_STARTING,
	KEEPER_RUNNING,
	KEEPER_FATAL,
};

#define KEEPER_REASON_MAX 256

struct keeper_board {
	_Atomic uint32_t state;	   /* enum keeper_state */
	_Atomic int32_t pid;	   /* of the server that accepts; 0: none */
	_Atomic uint64_t restarts; /* servers after the first one */
	_Atomic int32_t error;	   /* FATAL: -errno */
	_Atomic int32_t kept; /* told to end: 1: the last snapshot, if there is
			       * to be one, is written; -errno: it is not; 0: it
			       * is not known (yet) */
	char reason[KEEPER_REASON_MAX];
};
