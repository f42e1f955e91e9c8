/* The robust mutex, with waits that look again. */
#include "workers/shared/mutex.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/shared/region.h"

int mutex_init(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t kind;
	int r;

	r = pthread_mutexattr_init(&kind);
	if (r != 0)
		return -r;
	(void)pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK);
	(void)pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
	(void)pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
	r = pthread_mutex_init(mutex, &kind);
	(void)pthread_mutexattr_destroy(&kind);
	return -r;
}

/* Sleeps for it until end_usec or for REGION_LOOK_USEC. A waiter that was woken
 * and killed, while a third one took the mutex without seeing any waiter, leaves
 * the others asleep: the kernel cannot tell that there are any. */
static int lock_for_a_while(pthread_mutex_t *mutex, uint64_t end_usec)
{
	uint64_t end = MIN(end_usec, clock_monotonic_usec() + REGION_LOOK_USEC);
	struct timespec ts = {
		.tv_sec = (time_t)(end / USEC_PER_SEC),
		.tv_nsec = (long)(end % USEC_PER_SEC) * 1000,
	};

	return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &ts);
}

/* Others hold it. */
int mutex_lock_slowly(pthread_mutex_t *mutex, uint64_t end_usec)
{
	int r;

	if (end_usec == 0)
		return -ETIMEDOUT;
	do
		r = lock_for_a_while(mutex, end_usec);
	while (r == ETIMEDOUT &&
	       (end_usec == UINT64_MAX || clock_monotonic_usec() < end_usec));
	return r == EOWNERDEAD ? 1 : -r;
}

void mutex_nudge(pthread_mutex_t *mutex)
{
	region_wake((_Atomic uint32_t *)&mutex->__data.__lock, 1);
}

void mutex_mend(pthread_mutex_t *mutex)
{
	int r = pthread_mutex_consistent(mutex);

	reeve_assert(r == 0);
}
