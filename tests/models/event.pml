/* An event's word: workers/shared/event.c.
 *
 * Two set it, one of them clears it at once, two wait for it; any of them is
 * killed at any step.
 *
 * What must hold: who waits goes on when it is set, or was since it came.
 *
 * Caught when wrong:
 * -DBROKEN_ORDER: wakes before it is set.
 * -DNO_COUNT: who waits looks only whether it is set now.
 */
#define N 4
#define LOCKS 0
#define FORGET w = false; since = 0

/* struct event_memory: one word */
bool is_set, has_sleepers;
byte n_set;

/* What is true, which nobody of them sees. */
byte came_at[N];

#define IS_IN_VAIN_FOR(i) (asleep[i] && (is_set || n_set != came_at[i]))
#define IN_VAIN (IS_IN_VAIN_FOR(2) || IS_IN_VAIN_FOR(3))

#include "kernel.pml"

#define WAKE_ALL STEP(wake(2); wake(3); w = false)

/* reeve_event_set() */
inline set_it()
{
#ifdef BROKEN_ORDER
	STEP(w = has_sleepers);
	if
	:: w -> WAKE_ALL
	:: else
	fi;
	STEP(
		if
		:: !is_set -> n_set++; is_set = true; has_sleepers = false
		:: else
		fi
	)
#else
	STEP(
		if
		:: !is_set ->
			w = has_sleepers;
			n_set++;
			is_set = true;
			has_sleepers = false
		:: else
		fi
	);
	if
	:: w -> WAKE_ALL
	:: else
	fi
#endif
}

/* reeve_event_set(), and perhaps reeve_event_clear() */
proctype Setter(byte me; bool clears)
{
	byte since;
	bool w;

	set_it();
	if
	:: clears -> STEP(is_set = false); set_it(); STEP(is_set = false)
	:: else
	fi;
	end_of(me);
dead:	skip
}

#ifdef NO_COUNT
#define IS_OVER is_set
#define IS_SAME true
#else
#define IS_OVER (is_set || n_set != since)
#define IS_SAME (n_set == since)
#endif

/* reeve_event_wait(), sleep_until_set() */
proctype Waiter(byte me)
{
	byte since;
	bool w;

	STEP(since = n_set; came_at[me] = n_set; w = is_set);
	do
	:: w -> break
	:: else ->
		STEP(
			w = IS_OVER;
			if
			:: !w -> has_sleepers = true
			:: else
			fi
		);
		if
		:: w -> break
		:: else -> WAIT(!is_set && has_sleepers && IS_SAME)
		fi;
		w = IS_OVER
	od;
	end_of(me);
dead:	skip
}

init {
	atomic { run Setter(0, true); run Setter(1, false); run Waiter(2); run Waiter(3) }
}
