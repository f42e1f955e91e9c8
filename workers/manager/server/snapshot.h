/* Snapshots: what a store has in it, in a file.
 *
 * Properties
 *   The file is always a whole one: the old or the new. A new one is written under
 *   another name (FILE.new), synced, renamed, and its directory synced.
 *   One that cannot be read is left as it is, and the server does not start:
 *   nothing may overwrite it.
 *   It begins with a magic and a version and ends with a checksum (BLAKE2b) of all
 *   that is before; in between is what store_save() writes.
 * Operation
 *   While the server goes on, a forked copy of it writes, one at a time; the server
 *   hears of its end by a pidfd. A copy dies with its server, but not in the middle
 *   of a system call: it has a lock on FILE.new, for which the next server waits
 *   before it reads. What cannot be written is counted, said once until
 *   it can, and tried again after the interval.
 * Safety
 *   Who may write the file decides what is in the objects.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "workers/manager/server/store.h"

struct snapshot {
	const char *path; /* NULL: there is none */
	uint64_t interval_usec;
	int lock_fd; /* stays open in the copy; or -1 */
	pid_t pid;   /* of the copy that writes; 0: none */
	int pidfd;   /* or -1 */
	uint64_t
		due_usec; /* the next one; USEC_INFINITY: nothing has changed */
	uint64_t saved;	  /* store_changes() that are in the file */
	uint64_t writing; /* that the copy writes */
	int64_t n_written, n_failed;
	bool has_complained;
};

void snapshot_init(struct snapshot *s, const char *path, uint64_t interval_usec,
		   int lock_fd);

/* Returns 1 (loaded), 0 (there is no file); -EBADMSG and others, and why. */
int snapshot_load(struct snapshot *s, struct store *store, char *ret_reason,
		  size_t reason_size);

/* Once a turn: is one due? Returns 1: pidfd is new, and to be watched; else 0. */
int snapshot_look(struct snapshot *s, const struct store *store,
		  uint64_t now_usec);

/* pidfd is readable: the copy has ended. pidfd is closed. */
void snapshot_on_end(struct snapshot *s, uint64_t now_usec);

/* The last one, here and now, if it is needed. A copy that still writes is killed.
 * Returns 0 or -errno, said. */
int snapshot_finish(struct snapshot *s, const struct store *store);

/* Writes one. Returns 0 or -errno. */
int snapshot_write(const char *path, const struct store *store);
