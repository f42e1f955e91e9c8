/* A small process that starts processes for a big one.
 *
 * Properties
 *   What a start costs is the copying of the caller's address space and table
 *   of fds: 280 us with 1,000 fds open, 1,700 us with 10,000. The spawner is
 *   forked early, has next to nothing of either, and clones with CLONE_PARENT:
 *   the new process is the caller's child as if it had started it itself,
 *   parent-death signal and all; its death, or the spawner's, concerns nobody
 *   else.
 * Operation
 *   spawner_spawn() takes the same spec as spawn_start() and keeps the same
 *   contract. What cannot be sent (a function, more than SPAWNER_MESSAGE_MAX
 *   of words and environment) is started directly. The answer is waited for,
 *   SPAWNER_WAIT_USEC at most: the spawner itself never blocks on what a child
 *   does before exec. One that is dead or silent is killed and replaced at the
 *   next call; this one ends with -ECONNRESET, and whether a process was
 *   started is then not known: the caller has to end what carries its mark.
 * Safety
 *   One thread, that which opened it. The caller's umask and directory at
 *   spawner_open() are what "as the caller" means. The spawner dies with the
 *   caller. It is a child of the caller, who reaps it.
 */
#pragma once

#include "workers/base/sys/spawn.h"

#define SPAWNER_MESSAGE_MAX (128 * 1024)
#define SPAWNER_WAIT_USEC   2000000

struct spawner {
	bool is_on; /* false: everything is started directly */
	pid_t pid;  /* 0: none at the moment */
	int pidfd, fd;
	char *message; /* of SPAWNER_MESSAGE_MAX bytes */
};

#define SPAWNER_OFF ((struct spawner){ .pidfd = -1, .fd = -1 })

/* Starts the process. Returns 0 or -errno; s can be used either way. */
int spawner_open(struct spawner *s);

/* As spawn_start(); also -ECONNRESET: see above. */
int spawner_spawn(struct spawner *s, const struct spawn_spec *spec,
		  struct spawn_child *ret_child);

/* Lets go of the process, alive or dead; the next call starts another one. Who
 * reaps the caller's children calls this when it has reaped .pid. */
void spawner_reset(struct spawner *s);

/* Ends and reaps the process. */
void spawner_close(struct spawner *s);
