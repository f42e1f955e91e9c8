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
/* A yield that took longer was somebody else's turn. */
#define SPIN_DEAR_USEC	 200
#define SPIN_RESTS_LEAST 16
#define SPIN_RESTS_MAX	 8192

struct spin {
	uint32_t limit_usec; /* 0: never spins */
	uint32_t usec;
	uint64_t begun_usec;	    /* of a wait that is not over; or 0 */
	uint32_t rests, next_rests; /* waits to come that do not look at all */
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

/* For loops of one's own: each of its looks a system call, so that there is time to
 * see what yielding costs. On a busy machine it costs more than any sleep: somebody
 * else's turn. Then the next waits do without, the more of them the more often that
 * happens.
 *
 *	if (spin_begin(s, &now))
 *		do
 *			what = look();
 *		while (nothing(what) && spin_go_on(s, &now));
 *	if (nothing(what)) { sleep; spin_slept(s); }
 */
static inline bool spin_begin(struct spin *s, uint64_t *ret_now)
{
	s->begun_usec = *ret_now = clock_monotonic_usec();
	if (s->rests == 0)
		return s->usec > 0;
	s->rests--;
	return false;
}

/* A yield took so long. Returns whether it was too dear. */
static inline bool spin_was_dear(struct spin *s, uint64_t usec)
{
	if (usec <= SPIN_DEAR_USEC)
		return false;
	if (s->next_rests < SPIN_RESTS_MAX)
		s->next_rests = 2 * s->next_rests + SPIN_RESTS_LEAST;
	s->rests = s->next_rests;
	return true;
}

static inline bool spin_go_on(struct spin *s, uint64_t *now)
{
	uint64_t before = *now;

	(void)sched_yield();
	*now = clock_monotonic_usec();
	return !spin_was_dear(s, *now - before) &&
	       *now - s->begun_usec < s->usec;
}

/* Looking has found it. */
static inline void spin_found(struct spin *s)
{
	s->next_rests -= s->next_rests / 8 + (s->next_rests > 0);
	s->begun_usec = 0;
	spin_learn(s, true);
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
