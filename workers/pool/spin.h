/* Looking again for a short while before going to sleep.
 *
 * A sleep and its wake-up cost microseconds, up to 70 between two CPUs; what is
 * waited for often comes sooner. The CPU is yielded all the time: there may be
 * fewer of them than processes, and the other one has to run to bring what is
 * waited for. The time is adapted: halved when nothing came, doubled up to its
 * limit when something did; an idle side soon spins next to nothing.
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
};

static inline void spin_init(struct spin *s, uint32_t limit_usec)
{
	s->limit_usec = s->usec = limit_usec;
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

/* Spins while is_waiting(arg), for as long as s says. Returns whether it still
 * is. Inlined, and is_waiting with it. */
static inline __attribute__((always_inline)) bool spin_while(
	struct spin *s, bool (*is_waiting)(const void *arg), const void *arg)
{
	uint64_t now, end = 0;

	while (is_waiting(arg) && s->usec > 0) {
		for (int i = 0; i < SPIN_LOOKS && is_waiting(arg); i++)
			SPIN_PAUSE();
		now = clock_monotonic_usec();
		end = end ? end : now + s->usec;
		if (now >= end)
			break;
		(void)sched_yield();
	}
	if (end != 0)
		spin_learn(s, !is_waiting(arg));
	return is_waiting(arg);
}
