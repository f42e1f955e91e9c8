/* The eventfd of a queue, for event loops: workers/shared/queue.c.
 *
 * Two put, one gets until nothing is there, and one polls without a timeout and
 * gets when it is told; any of them is killed at any step. The poller's first call
 * finds a queue that may have something in it.
 *
 * What must hold: whoever polls is told while something is there. After a death
 * that may take until the next put, and no longer.
 *
 * Caught when wrong:
 * -DBROKEN_ORDER: says that it is readable no longer after it has been emptied.
 * -DNO_LOOK_BACK: who has emptied it does not look whether something has come.
 * -DNO_HEIR: who comes after a dead sender does not write in its place.
 * -DFLAG_FIRST: who looks back says that it is readable before it makes it so.
 */
#define N 4
#define LOCKS 2
#define FORGET n = 0; f = 0; k = 0
#define IN_VAIN false /* what is waited for here has no second look */

#define PUT 0
#define GET 1
#define SILENT 0 /* enum queue_signal */
#define SIGNALLED 1
#define CALMING 2

/* struct queue_memory, and the eventfd */
byte n_there;
byte signal;
bool is_polled;
bool is_readable;

/* What is true, which nobody of them sees. */
bool is_excused; /* somebody died, and no put has come and gone since */

#include "kernel.pml"

#undef DIE
#define DIE \
	d_step { \
		n_kills < KILLS -> n_kills++; killed[me] = true; wake(me); \
		FORGET; BEQUEATH_ALL; is_excused = true \
	}; \
	goto dead

/* write(2) to the eventfd */
#define WRITE is_readable = true; wake(3)

/* signal_pollers(): under put_lock */
inline signal_pollers()
{
	STEP(
		f = signal;
		if
		:: f == SILENT -> signal = SIGNALLED
		:: else
		fi
	);
	if
	:: f != SIGNALLED -> STEP(WRITE)
	:: else
	fi;
	f = 0
}

#ifdef NO_HEIR
#define IS_HEIR false
#else
#define IS_HEIR (inherited[PUT] && is_polled)
#endif

/* reeve_queue_put(): lock_to_put(), put_locked() */
proctype Sender(byte me; byte n)
{
	byte f, k;

	do
	:: n == 0 -> break
	:: else ->
		LOCK(PUT);
		if
		:: IS_HEIR -> STEP(WRITE)
		:: else
		fi;
		STEP(n_there++; k = n_kills);
		if
		:: is_polled -> signal_pollers()
		:: else
		fi;
		STEP(
			inherited[PUT] = false;
			holder[PUT] = NOBODY;
			is_excused = (is_excused && k != n_kills);
			k = 0
		);
		n--
	od;
	end_of(me);
dead:	skip
}

#ifdef BROKEN_ORDER
#define BEFORE skip
#else
#define BEFORE STEP(signal = CALMING)
#endif
#ifdef FLAG_FIRST
#define SAY STEP(signal = SIGNALLED)
#else
#define SAY skip
#endif
#ifdef NO_LOOK_BACK
#define HAS_COME false
#else
#define HAS_COME (n_there > 0)
#endif

/* calm_pollers(): the queue was found empty */
inline calm_pollers()
{
	BEFORE;
	STEP(is_readable = false);
	STEP(signal = SILENT);
	if
	:: HAS_COME -> SAY; STEP(WRITE)
	:: else
	fi
}

/* reeve_queue_get(): f says whether it got something */
inline try_get()
{
	LOCK(GET);
	STEP(
		f = (n_there > 0);
		n_there = n_there - f
	);
	if
	:: f == 0 && is_polled -> calm_pollers()
	:: else
	fi;
	UNLOCK(GET)
}

proctype Receiver(byte me; byte n)
{
	byte f, k;

	do
	:: n == 0 -> break
	:: else -> try_get(); f = 0; n--
	od;
	end_of(me);
dead:	skip
}

/* reeve_queue_poll_fd(), and then an event loop */
proctype Poller(byte me; byte n)
{
	byte f, k;

	STEP(is_polled = true);
	if
	:: n_there > 0 -> STEP(WRITE)
	:: else
	fi;
	do
	:: n == 0 -> break
	:: else ->
		STEP(asleep[me] = !is_readable);
endless:	STEP(!asleep[me] -> skip);
		try_get();
		n = n - f;
		f = 0
	od;
	end_of(me);
dead:	skip
}

active proctype Watch()
{
end:	do
	:: d_step { ARE_STILL && !is_excused -> assert(n_there == 0 || !asleep[3]) }
	od
}

init {
	atomic { run Sender(0, 2); run Sender(1, 1); run Receiver(2, 2); run Poller(3, 2) }
}
