/* Locks and signals between processes, none of which waits for the dead.
 *
 * Properties
 *   What multiprocessing's Lock, RLock and their kin are, for C. Any process
 *   that uses one may be killed at any instruction; the others go on within
 *   100 ms, and are told where it matters: a lock whose holder died says so to
 *   the next one.
 *   Nothing of them has a name or a file: they live in anonymous memory that
 *   is gone with the last process that has it. Where nobody has to wait, no
 *   call makes a system call.
 * Operation
 *   reeve_..._new() makes one. A child that is forked, by
 *   reeve_process_start() or in a pool, uses the same handle. A program that is
 *   executed gets the fd of reeve_..._fd() (in a spec's fds, or over a socket)
 *   and opens it with reeve_..._open(). Workers of a pool, however started,
 *   find it by name (struct reeve_shared in <reeve/pool.h>). reeve_..._free()
 *   releases the handle, here only.
 *   A timeout is in microseconds of CLOCK_MONOTONIC: 0 asks without waiting,
 *   REEVE_FOREVER waits as long as it takes. What did not happen in time is
 *   -ETIMEDOUT. Signals that are handled meanwhile do not end a wait.
 * Safety
 *   All functions may be called from any thread, but reeve_..._free(), which
 *   must be the last call on its handle; none from a signal handler. None is a
 *   cancellation point. A handle of NULL is -EINVAL, or does nothing.
 *   A process that is stopped in the middle of a call may hold up others, until
 *   it goes on or is killed; timeouts are kept, that of a Barrier to a second.
 *   The processes that share an object see each other in one PID namespace,
 *   and trust each other: one that writes nonsense into the memory of a Lock
 *   may crash those who use it. Into any other's, it may make calls fail or wait
 *   until their time is over, or, if they have none, without end.
 *   The fd of a handle is the handle's: pass it on, do not close or write it.
 */
#ifndef REEVE_SYNC_H
#define REEVE_SYNC_H

#include <reeve/types.h>

REEVE_DECLARATIONS_BEGIN

/* Most processes that may have units of one Semaphore, or take part in one
 * Barrier, at a time; and most parties of a Barrier. */
#define REEVE_PARTIES_MAX 256

/* ---- Lock and RLock ------------------------------------------------------------ */

/* One thread of one process holds it, or nobody. The thread that acquired an
 * RLock may acquire it again; it is free after as many releases. */
typedef struct reeve_lock reeve_lock;

/* How many times a thread may hold an RLock. */
#define REEVE_RLOCK_DEPTH_MAX 1000000

/* Makes a Lock that is free. Returns 0; -ENOMEM, -EMFILE, -ENFILE. */
REEVE_PUBLIC int reeve_lock_new(reeve_lock **ret_lock);

/* The same, an RLock. */
REEVE_PUBLIC int reeve_rlock_new(reeve_lock **ret_lock);

/* Opens the Lock or RLock behind fd, which stays the caller's. Returns 0;
 * -EBADMSG (something else), -EBADF, -ENOMEM, -EMFILE. */
REEVE_PUBLIC int reeve_lock_open(int fd, reeve_lock **ret_lock);

/* Releases the handle, which may be NULL; returns NULL. If the calling thread
 * holds the lock by it, the next one gets it as from the dead. No other thread
 * of this process may hold it. */
REEVE_PUBLIC reeve_lock *reeve_lock_free(reeve_lock *lock);

/* The fd to pass to another program. */
REEVE_PUBLIC int reeve_lock_fd(const reeve_lock *lock);

/* Acquires it. Returns 0;
 * -EOWNERDEAD: acquired, but a holder died (was killed, ended, or executed
 *   another program), so what it guards may be half changed: look at it, put it
 *   right, and call reeve_lock_repaired();
 * -ENOTRECOVERABLE: not acquired, and never again: that was released without
 *   having been repaired;
 * -EDEADLK: the calling thread holds it already (a Lock);
 * -EAGAIN: more than REEVE_RLOCK_DEPTH_MAX times (an RLock);
 * -ETIMEDOUT: others hold it. */
REEVE_PUBLIC int reeve_lock_acquire(reeve_lock *lock, uint64_t timeout_usec);

/* Releases it. Returns 0; -EPERM when the calling thread does not hold it. After
 * -EOWNERDEAD without reeve_lock_repaired() the lock is lost for good: who waits
 * for it, or comes later, is told -ENOTRECOVERABLE. */
REEVE_PUBLIC int reeve_lock_release(reeve_lock *lock);

/* Says that what the lock guards is right again. Returns 0, also when it was;
 * -EPERM when the calling thread does not hold the lock. */
REEVE_PUBLIC int reeve_lock_repaired(reeve_lock *lock);

/* ---- Event --------------------------------------------------------------------- */

/* Something that has happened, or not yet. All who wait go on when it is set,
 * also when it is cleared at once. */
typedef struct reeve_event reeve_event;

/* Makes one that is not set. Returns 0; -ENOMEM, -EMFILE, -ENFILE. */
REEVE_PUBLIC int reeve_event_new(reeve_event **ret_event);

/* Opens the one behind fd, as reeve_lock_open() does. */
REEVE_PUBLIC int reeve_event_open(int fd, reeve_event **ret_event);

/* Releases the handle, which may be NULL; returns NULL. */
REEVE_PUBLIC reeve_event *reeve_event_free(reeve_event *event);

/* The fd to pass to another program. */
REEVE_PUBLIC int reeve_event_fd(const reeve_event *event);

/* Sets it; nothing happens when it is. Returns 0. A setter that is killed either
 * has set it or has not; when it has, all who wait go on. */
REEVE_PUBLIC int reeve_event_set(reeve_event *event);

/* Makes it unset. Returns 0. */
REEVE_PUBLIC int reeve_event_clear(reeve_event *event);

/* 1 when it is set, 0 when it is not. */
REEVE_PUBLIC int reeve_event_is_set(const reeve_event *event);

/* Waits until it is set. Returns 0 when it is, or was while this waited;
 * -ETIMEDOUT. */
REEVE_PUBLIC int reeve_event_wait(reeve_event *event, uint64_t timeout_usec);

/* ---- Semaphore ----------------------------------------------------------------- */

/* A number of units, which processes take and give back. */
typedef struct reeve_semaphore reeve_semaphore;

/* Most units. */
#define REEVE_SEMAPHORE_UNITS_MAX 1000000000

enum reeve_semaphore_kind {
	/* A unit belongs to the process that acquired it (whichever of its
	 * threads releases it). When that ends they come back: its own, not
	 * those of its children, which start with none. A program that is
	 * executed keeps what the process had. */
	REEVE_SEMAPHORE_OWNED,
	/* Units are nobody's: anybody releases, and what a process that is
	 * killed had acquired is gone; as in Python. */
	REEVE_SEMAPHORE_COUNTING,
};

/* What a semaphore is to be. */
struct reeve_semaphore_spec {
	enum reeve_semaphore_kind kind;
	unsigned units; /* that are free at first; of an OWNED one: all, >= 1 */
	unsigned max;	/* COUNTING: releases above this fail; as many as units
			 * makes a BoundedSemaphore. Default: no bound but
			 * REEVE_SEMAPHORE_UNITS_MAX */
};

/* Makes one. Returns 0; -EINVAL (spec), -ENOMEM, -EMFILE, -ENFILE. */
REEVE_PUBLIC int reeve_semaphore_new(const struct reeve_semaphore_spec *spec,
				     reeve_semaphore **ret_semaphore);

/* Opens the one behind fd, as reeve_lock_open() does. */
REEVE_PUBLIC int reeve_semaphore_open(int fd, reeve_semaphore **ret_semaphore);

/* Releases the handle, which may be NULL; returns NULL. Units stay with the
 * process. */
REEVE_PUBLIC reeve_semaphore *reeve_semaphore_free(reeve_semaphore *semaphore);

/* The fd to pass to another program. */
REEVE_PUBLIC int reeve_semaphore_fd(const reeve_semaphore *semaphore);

/* Takes a unit. Returns 0; -ETIMEDOUT (none was free in time); -EUSERS (an OWNED
 * one: REEVE_PARTIES_MAX other processes have units). */
REEVE_PUBLIC int reeve_semaphore_acquire(reeve_semaphore *semaphore,
					 uint64_t timeout_usec);

/* Gives a unit back. Returns 0; -EPERM (OWNED: the process has none);
 * -EOVERFLOW (COUNTING: max are free). */
REEVE_PUBLIC int reeve_semaphore_release(reeve_semaphore *semaphore);

/* How many units are free now; those of the dead may not have come back yet. */
REEVE_PUBLIC int reeve_semaphore_value(const reeve_semaphore *semaphore);

/* ---- Condition ----------------------------------------------------------------- */

/* Where holders of a lock wait for what other holders change. Several conditions
 * may belong to one lock. */
typedef struct reeve_condition reeve_condition;

/* Most threads of all processes that may wait at a time. */
#define REEVE_CONDITION_WAITERS_MAX 256

/* Makes one that belongs to lock, a Lock or RLock, which must outlive it. Returns
 * 0; -EINVAL, -ENOMEM, -EMFILE, -ENFILE. */
REEVE_PUBLIC int reeve_condition_new(reeve_lock *lock,
				     reeve_condition **ret_condition);

/* Opens the one behind fd, as reeve_lock_open() does; lock is a handle of the
 * lock it belongs to, else -EINVAL. */
REEVE_PUBLIC int reeve_condition_open(int fd, reeve_lock *lock,
				      reeve_condition **ret_condition);

/* Releases the handle, which may be NULL, and not that of the lock; returns
 * NULL. */
REEVE_PUBLIC reeve_condition *reeve_condition_free(reeve_condition *condition);

/* The fd to pass to another program. */
REEVE_PUBLIC int reeve_condition_fd(const reeve_condition *condition);

/* Releases the lock (an RLock as many times as it is held), waits to be notified,
 * and acquires it again, which the timeout does not bound. Returns, with the
 * lock held,
 * 0: notified; after the death of others perhaps once too often, so look at
 *   what was waited for, or use reeve_condition_wait_for();
 * -ETIMEDOUT: not in time;
 * -EOWNERDEAD: a holder of the lock died, before or meanwhile: repair, as after
 *   reeve_lock_acquire(); a notification counts as received;
 * -EUSERS: REEVE_CONDITION_WAITERS_MAX others wait.
 * Without it: -EPERM (the caller did not hold it), -ENOTRECOVERABLE. */
REEVE_PUBLIC int reeve_condition_wait(reeve_condition *condition,
				      uint64_t timeout_usec);

/* Waits until is_so(arg), which is asked with the lock held, first without
 * waiting. Returns 0 when it is so, and otherwise what reeve_condition_wait()
 * does. */
REEVE_PUBLIC int reeve_condition_wait_for(reeve_condition *condition,
					  bool (*is_so)(void *arg), void *arg,
					  uint64_t timeout_usec);

/* Notifies one: who has waited longest. If it is killed before its wait has
 * returned, the next who waited then is, within 100 ms. It runs when the caller
 * has released the lock. Returns 0, also when nobody waits; -EPERM (the caller
 * does not hold the lock). */
REEVE_PUBLIC int reeve_condition_notify(reeve_condition *condition);

/* Notifies all who wait. Returns 0, -EPERM. */
REEVE_PUBLIC int reeve_condition_notify_all(reeve_condition *condition);

/* ---- Barrier ------------------------------------------------------------------- */

/* Where so many threads, of one or several processes, wait for each other, round
 * by round. When one of them cannot come, it breaks, for all, until it is reset. */
typedef struct reeve_barrier reeve_barrier;

/* What a barrier is to be. */
struct reeve_barrier_spec {
	unsigned parties; /* 1 .. REEVE_PARTIES_MAX */
	/* What the last to arrive does while the others wait; negative breaks
	 * the barrier. It is the handle's: each process that opens one says
	 * the same. Default: nothing. */
	int (*action)(void *arg);
	void *arg;
};

/* Makes one. Returns 0; -EINVAL (spec), -ENOMEM, -EMFILE, -ENFILE. */
REEVE_PUBLIC int reeve_barrier_new(const struct reeve_barrier_spec *spec,
				   reeve_barrier **ret_barrier);

/* Opens the one behind fd, as reeve_lock_open() does. The spec's parties are 0
 * or the same, else -EINVAL; NULL: no action. */
REEVE_PUBLIC int reeve_barrier_open(int fd,
				    const struct reeve_barrier_spec *spec,
				    reeve_barrier **ret_barrier);

/* Releases the handle, which may be NULL; returns NULL. The process takes part no
 * longer: its end is no death to the barrier. */
REEVE_PUBLIC reeve_barrier *reeve_barrier_free(reeve_barrier *barrier);

/* The fd to pass to another program. */
REEVE_PUBLIC int reeve_barrier_fd(const reeve_barrier *barrier);

/* Makes the calling process one that takes part. From then on, or from its first
 * wait, its end breaks the barrier as soon as somebody waits; before, nobody
 * knows of it. Returns 0; -EUSERS (REEVE_PARTIES_MAX others do). */
REEVE_PUBLIC int reeve_barrier_enter(reeve_barrier *barrier);

/* Waits until all parties have arrived. Returns which arrival this one was, from
 * 0 to parties - 1;
 * -ECANCELED: it is broken, or broke meanwhile: a process that took part ended
 *   without having freed its handle, one was not in time, the action failed, or
 *   somebody called abort or reset;
 * -ETIMEDOUT: not in time, and now it is broken;
 * -EUSERS: REEVE_PARTIES_MAX other processes take part;
 * what the action returned, to the one that ran it. */
REEVE_PUBLIC int reeve_barrier_wait(reeve_barrier *barrier,
				    uint64_t timeout_usec);

/* Makes it as new, with nobody taking part: before other processes use it, or
 * after it broke. Who waits is told -ECANCELED. Returns 0. */
REEVE_PUBLIC int reeve_barrier_reset(reeve_barrier *barrier);

/* Breaks it. Returns 0. */
REEVE_PUBLIC int reeve_barrier_abort(reeve_barrier *barrier);

/* 1 when it is broken, 0 when it is not. */
REEVE_PUBLIC int reeve_barrier_is_broken(const reeve_barrier *barrier);

/* How many there have to be. */
REEVE_PUBLIC int reeve_barrier_parties(const reeve_barrier *barrier);

/* How many have arrived and wait. */
REEVE_PUBLIC int reeve_barrier_n_waiting(const reeve_barrier *barrier);

REEVE_DECLARATIONS_END

#endif
