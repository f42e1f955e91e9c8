/* A mutex between processes that outlives its holders: what a Lock is. The short
 * changes of all other objects are guarded by a latch (latch.h).
 *
 * Properties
 *   glibc's robust, process-shared mutex of the error-checking kind: the one
 *   primitive with which the kernel itself takes care of the dead. When the
 *   holder ends, or executes a program, the next one gets it and is told so.
 *   Two things are added: waits end within REGION_LOOK_USEC and begin again,
 *   since a wake-up may be lost with a process that is killed while another
 *   passes it by; and it is never left unrecoverable, what that means is for
 *   the object to say.
 * Operation
 *   mutex_lock() says 1 when the holder died. Whoever is told so puts right what
 *   the mutex guards, and only then calls mutex_mend(): if it dies before that,
 *   the next one is told the same.
 * Safety
 *   Belongs to a thread, not to a process. Memory that holds a locked mutex must
 *   stay mapped in its holder. Not for memory that hostile processes can write:
 *   the list of what a thread holds runs through the mutexes themselves.
 */
#pragma once

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Returns 0 or -errno. */
int mutex_init(pthread_mutex_t *mutex);

/* Waits until end_usec (CLOCK_MONOTONIC; 0: not at all, UINT64_MAX: without
 * end). Returns 0; 1, locked, and the holder died; -ETIMEDOUT; -EDEADLK (the
 * calling thread has it). The usual case is the caller's own code: a call more
 * is a tenth of what a lock costs. */
int mutex_lock_slowly(pthread_mutex_t *mutex, uint64_t end_usec);
static inline int mutex_lock(pthread_mutex_t *mutex, uint64_t end_usec)
{
	int r = pthread_mutex_trylock(mutex);

	if (r == 0)
		return 0;
	if (r == EBUSY)
		return mutex_lock_slowly(mutex, end_usec);
	return r == EOWNERDEAD ? 1 : -r;
}

/* After mutex_lock() returned 1: what it guards is right again. */
void mutex_mend(pthread_mutex_t *mutex);

/* Wakes one who sleeps for it: it looks again. For when a wake-up may have been
 * lost; looks at nothing. */
void mutex_nudge(pthread_mutex_t *mutex);

/* Returns 0, or -EPERM (the calling thread has not got it). */
static inline int mutex_unlock(pthread_mutex_t *mutex)
{
	return -pthread_mutex_unlock(mutex);
}
