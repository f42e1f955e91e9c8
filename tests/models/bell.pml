/* The bell that wakes who sleeps: workers/shared/bell.h, bell.c.
 *
 * Two send, two receive; any of them is killed at any step: asleep, so that its
 * bit stays behind; between store and ring; woken, and not yet up. What is sent
 * is a number here: that a queue's own state is right stands in queue.pml.
 *
 * Caught when wrong:
 * -DBROKEN_ORDER: rings before what is waited for has changed.
 * -DSAME_NUMBER: takes the bit away and leaves the number as it is.
 * -DNO_LAST_WAKE: takes the bit away and wakes nobody.
 * -DNO_SECOND_LOOK: goes to sleep without having looked again.
 * -DNO_LOOK: sleeps without end.
 */
#define N 4
#define LOCKS 1
#define FORGET w = 0; n = 0
#define IN_VAIN (n_there > 0 && (asleep[2] || asleep[3]))

#define HEARD 1 /* BELL_HEARD */
#define NEXT 2 /* BELL_STEP */
#ifdef SAME_NUMBER
#define TAKEN (word & ~HEARD)
#else
#define TAKEN ((word & ~HEARD) + NEXT)
#endif
#ifdef NO_LAST_WAKE
#define LAST_WAKE skip
#else
#define LAST_WAKE wake(2); wake(3)
#endif

byte word;    /* struct bell */
byte n_there; /* messages */

#include "kernel.pml"

/* bell_ring_loud(), for one or for all (INT_MAX): whom the kernel wakes is a
 * choice, and which of both it is. A put rings for one; a get, which makes room,
 * and reeve_queue_close() for all. */
inline bell_ring_loud()
{
	STEP(word = word + NEXT; w = word | HEARD);
	CHOICE(
		if
		:: asleep[2] -> wake(2); w = 0
		:: asleep[3] -> wake(3); w = 0
		:: !asleep[2] && !asleep[3]
		:: wake(2); wake(3)
		fi
	);
	if
	:: w == 0
	:: else ->
		STEP(
			if
			:: word == w -> word = TAKEN
			:: else -> w = 0
			fi
		);
		if
		:: w > 0 -> STEP(LAST_WAKE; w = 0)
		:: else
		fi
	fi
}

/* bell_ring() */
inline bell_ring()
{
	STEP(w = word & HEARD);
	if
	:: w > 0 -> bell_ring_loud()
	:: else
	fi
}

/* reeve_queue_put() */
proctype Sender(byte me; byte n)
{
	byte w;

	do
	:: n == 0 -> break
	:: else ->
#ifdef BROKEN_ORDER
		bell_ring();
		STEP(n_there++; n--)
#else
		STEP(n_there++; n--);
		bell_ring()
#endif
	od;
	end_of(me);
dead:	skip
}

/* try_get(): what it does under the lock is one step here. */
inline try_get()
{
	STEP(
		is_got = n_there > 0;
		if
		:: is_got -> n_there--; n--
		:: else
		fi
	)
}

/* reeve_queue_get(): attempt() and attempt_slowly() */
proctype Receiver(byte me; byte n)
{
	byte w;
	bool is_got;

	do
	:: n == 0 -> break
	:: else ->
		try_get();
		do
		:: is_got -> break
		:: else ->
			/* bell_listen() */
			STEP(word = word | HEARD; w = word);
#ifdef NO_SECOND_LOOK
			WAIT(word == w);
			try_get()
#else
			try_get();
			if
			:: is_got
			:: else -> WAIT(word == w)
			fi
#endif
			; w = 0
		od
	od;
	end_of(me);
dead:	skip
}

init {
	atomic { run Sender(0, 2); run Sender(1, 1); run Receiver(2, 2); run Receiver(3, 1) }
}
