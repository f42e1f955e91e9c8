/* The keeper's rooms: what its files share. Private to workers/pool/keeper*.c.
 *
 *   keeper.c          the loop: one turn, and how long to sleep
 *   keeper_setup.c    becoming the keeper: signals, fds, mappings
 *   keeper_start.c    starting workers: when, where, and the fork
 *   keeper_end.c      the dead: reaped, judged, told; what they left
 *   keeper_lifeline.c who closed everything, or executed
 *   keeper_watch.c    deadlines of tasks and starts
 *   keeper_leave.c    who is too old or too large, and who may leave
 *   keeper_repair.c   what the dead shared with others
 *   keeper_oom.c      was it the kernel, for want of memory?
 *
 * Everything hangs off struct keeper. What may not be trusted (channels) or
 * changes under us (the owner's half of the board) is read once where it is
 * used; decisions are made on what is here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "workers/base/pure/failures.h"
#include "workers/base/pure/macro.h"
#include "workers/base/pure/rng.h"
#include "workers/pool/keeper.h"
#include "workers/pool/keeper_oom.h"

/* The running task of a worker, as it was last looked at. */
struct watch {
	uint64_t slot, word; /* word 0: none */
	uint32_t n_waits;    /* as in channel_signs */
	uint64_t waits_usec; /* when that was seen to move */
	uint64_t looked_usec;
	uint64_t since_usec; /* seen first; it began up to one look earlier */
};

/* A pipe: see keeper_lifeline.c. -1: none, or not ours any more. */
struct lifeline {
	int fd, worker_fd; /* to be read; to be written */
};

#define LIFELINE_NONE ((struct lifeline){ -1, -1 })

/* The process on a seat; pid 0: there is none. */
struct worker {
	pid_t pid;
	uint32_t turn, generation; /* outlive the process */
	struct lifeline lifeline;
	enum seat_cause cause; /* OWN until we end it for another */
	uint64_t started_usec, cut_off_usec; /* 0: not cut off */
	uint64_t stopped_usec;		     /* since then; 0: it is not */
	bool is_ready;			     /* seen to be; never unseen */
	uint64_t first_position;	     /* in the ring, at its start */
	bool is_recycled;		     /* in place of one that left */
	uint64_t age_due_usec;
	bool is_due;	/* it was told to ask for leave */
	bool has_asked; /* for leave */
	bool has_leave;
	bool is_dead; /* reaped: to be settled in this turn */
	int exit_code;
	bool core;
	struct rusage rusage;
	struct watch watch;
};

#define KEEPER_COMM_SIZE 16 /* a name in the kernel, with its NUL */

struct keeper {
	const struct keeper_config *config;
	struct board *board;
	struct keeper_seat *seats; /* the fds and mappings are ours now */
	struct worker *workers;	   /* not in our children */
	char (*names)[KEEPER_COMM_SIZE];
	size_t n_seats;
	pid_t pid;
	uint64_t now_usec; /* of this turn */

	int owner_pidfd, keeper_fd, owner_fd;
	int epoll_fd, death_fd; /* death_fd: a signalfd of SIGCHLD */
	int children_fd;	/* /proc/thread-self/children */
	char *children;		/* its text */
	size_t children_size;
	int first_fd;		 /* ours are from here; bells come first */
	struct rlimit fds_limit; /* the owner's */
	bool is_fds_limit_raised, is_in_valgrind;
	bool keeps_lifelines; /* there is room for both ends of all */

	bool is_owner_gone, has_deaths, has_children, has_news;
	unsigned n_sweeps;     /* in a row that found orphans */
	uint64_t closing_usec; /* since then all are to leave; 0: not yet */
	struct failures failures;
	struct rng rng;
	struct oom oom;
	uint64_t watch_usec; /* next look; USEC_INFINITY: dozing */
	unsigned n_idle_looks;
	uint64_t memory_usec;	  /* next look at the workers' memory */
	struct patient *patients; /* what may have to be repaired */
	unsigned n_patients;
};

/* --- keeper.c */

/* Rings the owner, if there is something new on the board. */
void keeper_tell(struct keeper *k);

/* --- keeper_setup.c: each returns 0 or -errno */

int keeper_setup(struct keeper *k, const struct keeper_config *config);

/* Puts fd where no worker will have it; takes fd, also when it fails.
 * Returns the new number or -errno. */
int keeper_hide_fd(const struct keeper *k, int fd);

/* --- keeper_start.c */

size_t keeper_count_live(const struct keeper *k);
size_t keeper_count_wanted(const struct keeper *k);

/* Starts what is missing and may be started now. */
void keeper_fill(struct keeper *k);

/* Starts a worker on seat i, whose channel is as its predecessor left it, or
 * new. Returns 0 or -errno, after which nothing has changed. */
int keeper_start(struct keeper *k, size_t i, bool is_recycled);

/* True when one is missing and a seat free: only the delay stands between. */
bool keeper_has_to_fill(const struct keeper *k);

/* --- keeper_lifeline.c */

/* Sees that the next worker on seat i has one. Returns 0 or -errno. */
int lifeline_open(const struct keeper *k, size_t i);

/* It was forked, and has it. */
void lifeline_begin(const struct keeper *k, size_t i);

/* It can be read. */
void lifeline_read(const struct keeper *k, size_t i);

/* The worker is dead; is_clean: nobody is left who could have it, so that the next
 * worker may. */
void lifeline_end(const struct keeper *k, size_t i, bool is_clean);
void lifeline_close(const struct keeper *k, size_t i);

/* Arms those that are due; when that will be. */
void lifeline_arm(const struct keeper *k);
uint64_t lifeline_next_usec(const struct keeper *k);

/* --- keeper_end.c */

/* Kills the worker on seat i and its group; what is left of its tree comes to
 * us, and is killed then. */
void keeper_kill(struct keeper *k, size_t i, enum seat_cause cause);

/* Before that, if it hangs: writes down what it is doing. */
void keeper_describe(struct keeper *k, size_t i);

/* Reaps whoever is dead, then kills what they left, then tells or recycles. */
void keeper_reap(struct keeper *k);
void keeper_sweep(struct keeper *k);
void keeper_settle(struct keeper *k);

/* Words the board's message. */
void keeper_say(struct keeper *k, const char *format, ...) _printf_(2, 3);

/* --- keeper_repair.c */

/* Maps what workers share. Returns 0 or -errno. */
int keeper_attend(struct keeper *k);

/* Somebody was reaped. */
void keeper_repair(struct keeper *k);

/* --- keeper_watch.c */

/* Ends what is over its time; then keeper_leave(). */
void keeper_watch(struct keeper *k);

/* The owner rang: it may have published. */
void keeper_watch_wake(struct keeper *k);

/* When keeper_watch() is to be called again, at the latest. */
uint64_t keeper_watch_next_usec(const struct keeper *k);

/* --- keeper_leave.c */

/* Are workers replaced without anything having gone wrong? */
bool keeper_has_limits(const struct keeper_config *config);

/* When a worker that starts now is old. */
uint64_t keeper_age_due_usec(struct keeper *k);

/* Tells who is too old or too large to ask for leave, and lets go who may. */
void keeper_leave(struct keeper *k);
uint64_t keeper_leave_next_usec(const struct keeper *k);

/* --- keeper_watch.c again */

/* What the ring of a channel holds. */
struct ring_sight {
	bool is_running; /* or being cancelled; where: */
	uint64_t slot, word;
	bool is_queued;
};

struct ring_sight keeper_look_at_ring(const struct channel *c, uint64_t hint);

/* Freezes the task that slot was seen running with this word, or tells it that
 * its soft time is over; false when it is another word's by now. */
bool keeper_cut(struct slot *slot, uint64_t word);
bool keeper_warn(struct slot *slot, uint64_t word);
