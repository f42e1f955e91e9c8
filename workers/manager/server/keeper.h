/* The keeper's process: starts the server, again and again.
 *
 * Properties
 *   See workers/manager/keeper.h. Single-threaded; the server is its child, by
 *   fork, and ends with it, however it ends (parent-death signal). It holds a lock on
 *   FILE.lock, so that no other reeve-manager has the same snapshot.
 * Operation
 *   keeper_run() returns the exit code. Between deaths there are delays, and so many
 *   within so much time are too many (workers/base/pure/failures.h).
 */
#pragma once

#include <stdbool.h>

#include "workers/manager/keeper.h"

struct keeper_settings {
	const struct keeper_order *order;
	int listen_fd;		    /* taken */
	int owner_pidfd;	    /* taken; -1: none */
	int bell_fd;		    /* -1: none */
	struct keeper_board *board; /* never NULL */
};

int keeper_run(const struct keeper_settings *settings);
