/* A piece of memory that several processes share: what every object of
 * <reeve/sync.h>, <reeve/shared.h> and <reeve/queue.h> lies in.
 *
 * Properties
 *   A memfd, sealed against shrinking and growing, mapped by each process that
 *   uses it, gone with the last of them; nothing is left in /dev/shm. It begins
 *   with a header that says what it is. A child that is forked has it, too; a
 *   program that is executed opens it from an inherited or received fd.
 * Operation
 *   region_new() makes one; the object's own struct begins with struct
 *   region_head. Nobody who opens one believes what it says: kind and size are
 *   checked here, everything else by the object.
 * Safety
 *   A region may be used by any thread of any process that has it; its handle
 *   (struct region) is plain data and is freed by one of them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum region_kind {
	REGION_LOCK = 1,
	REGION_SEMAPHORE,
	REGION_EVENT,
	REGION_CONDITION,
	REGION_BARRIER,
	REGION_ARRAY,
	REGION_QUEUE,
};

struct region_head {
	uint32_t magic, kind; /* enum region_kind */
	uint64_t size;	      /* of the whole region, bytes */
};

struct region {
	struct region_head *head; /* NULL: none */
	size_t size;
	int fd; /* CLOEXEC, the region's */
	/* What is behind fd; a child that was forked may have closed it. */
	dev_t dev;
	ino_t ino;
};

#define REGION_NONE ((struct region){ .fd = -1 })

/* Makes one of size bytes, zeroed but for the head (size includes it).
 * Returns 0 or -errno: -EINVAL (smaller than the head), -ENOMEM, -EMFILE. */
int region_new(enum region_kind kind, size_t size, struct region *ret);

/* Looks at what fd is. Returns 0, and its head as it stands there, whose size is
 * true; -EBADMSG (no region, or not sealed). */
int region_check(int fd, struct region_head *ret);

/* Maps the one behind fd, which stays the caller's (it is duplicated). Returns 0;
 * -EBADMSG (not a region of this kind, not sealed, smaller than least bytes);
 * -errno. */
int region_open(int fd, enum region_kind kind, size_t least,
		struct region *ret);

/* Unmaps and closes, here only. What else has taken the number of its fd stays
 * open. */
void region_done(struct region *region);

/* ---- waiting ------------------------------------------------------------------ */

/* Who waits looks again after so long: a process that was killed between
 * changing a word and waking leaves sleepers behind. What is promised is 100 ms;
 * the rest is for looking and for a machine that is busy. */
#define REGION_LOOK_USEC UINT64_C(50000)

/* And before it sleeps it looks for so long whether it has to. */
#define REGION_SPIN_USEC UINT64_C(20)

/* Sleeps while *word is value, until end_usec (CLOCK_MONOTONIC; UINT64_MAX:
 * without end) or for REGION_LOOK_USEC, whichever comes first. Returns 0 (look
 * again), or -ETIMEDOUT (end_usec is over). */
int region_wait(_Atomic uint32_t *word, uint32_t value, uint64_t end_usec);

/* Wakes at most n who sleep on word; returns how many. */
int region_wake(_Atomic uint32_t *word, int n);

/* ---- who lives ------------------------------------------------------------------- */

/* A process, so that its number alone is not taken for it. 16 bytes: it is
 * written before, and read after, the word that says it is there. */
struct party {
	_Atomic int32_t pid;	      /* 0: none */
	_Atomic uint64_t start_ticks; /* since boot; 0: not known yet */
};

/* Fills in the calling process. Without a system call but for the first time
 * in a process; knows when it was forked. */
void party_self(struct party *ret);

bool party_is_self(const struct party *party);

/* Whether that process is gone. Reads /proc: for who waits, now and then. Within
 * one PID namespace. */
bool party_is_dead(const struct party *party);

/* The same by one system call, for who has reaped it: says no as long as anybody
 * has its number, be it the dead themselves. */
bool party_is_gone(const struct party *party);
