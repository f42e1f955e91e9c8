/* Looking again for a short while before going to sleep.
 *
 * A sleep and its wake-up cost microseconds, up to 70 between two CPUs; what is
 * waited for often comes sooner. The CPU is yielded all the time: there may be
 * fewer of them than processes, and the other one has to run to bring what is
 * waited for. The time is adapted: halved when the wait, with its sleep, took
 * longer than the limit, doubled up to the limit when it did not; an idle side
 * soon spins next to nothing. Whether looking would have been of use is judged
 * by the whole wait: judged by what the spin has seen, a time that was once too
 * short for what comes would stay too short.
 */
#pragma once

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "workers/base/sys/clock.h"

#define SPIN_LOOKS	32 /* between two looks at the clock */
#define SPIN_LEAST_USEC 4

struct spin {
	uint32_t limit_usec; /* 0: never spins */
	uint32_t usec;
	uint64_t begun_usec; /* of a wait that is not over; or 0 */
};

static inline void spin_init(struct spin *s, uint32_t limit_usec)
{
	*s = (struct spin){ .limit_usec = limit_usec, .usec = limit_usec };
}

#if defined(__x86_64__) || defined(__i386__)
#define SPIN_PAUSE() __builtin_ia32_pause()
#else
#define SPIN_PAUSE() ((void)0)
#endif

static inline void spin_learn(struct spin *s, bool was_worth_it)
{
	uint32_t usec = was_worth_it ? s->usec * 2 : s->usec / 2;

	if (usec < SPIN_LEAST_USEC)
		usec = SPIN_LEAST_USEC;
	s->usec = usec < s->limit_usec ? usec : s->limit_usec;
}

/* What was waited for has come, after a spin in vain and a sleep. */
static inline void spin_slept(struct spin *s)
{
	if (s->begun_usec != 0)
		spin_learn(s, clock_monotonic_usec() - s->begun_usec <=
				      s->limit_usec);
	s->begun_usec = 0;
}

/* Spins while is_waiting(arg), for as long as s says. Returns whether it still
 * is: then spin_slept() is to follow. Inlined, and is_waiting with it. */
static inline __attribute__((always_inline)) bool spin_while(
	struct spin *s, bool (*is_waiting)(const void *arg), const void *arg)
{
	uint64_t now, begun = 0;

	s->begun_usec = 0;
	while (is_waiting(arg) && s->usec > 0) {
		for (int i = 0; i < SPIN_LOOKS && is_waiting(arg); i++)
			SPIN_PAUSE();
		now = clock_monotonic_usec();
		begun = begun ? begun : now;
		if (now - begun >= s->usec)
			break;
		(void)sched_yield();
	}
	if (is_waiting(arg)) {
		s->begun_usec = begun;
		return true;
	}
	if (begun != 0)
		spin_learn(s, true);
	return false;
}
