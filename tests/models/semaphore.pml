/* An OWNED semaphore: workers/shared/semaphore.c, ledger.c.
 *
 * One process has both units and gives them back, two others come for one; any of
 * them is killed at any step, also while it has one. What only the holder of the guard changes, it
 * reads together with the step before: nobody can tell.
 *
 * What must hold: the living never have more than there are; whoever has the guard, and
 * has counted if it inherited it, finds as many free units as the ledger says;
 * nobody sleeps while one is free or a dead process has one.
 *
 * Caught when wrong:
 * -DBROKEN_ORDER: goes to sleep on a word it read after it had left the guard.
 * -DNO_RECOUNT: who inherits the guard believes the number of free units.
 * -DNO_PASS: who was woken does not wake the next when a unit is left.
 * -DNO_LOOK_FOR_DEAD: what the dead have never comes back.
 */
#define N 3
#define LOCKS 1
#define FORGET is_told = false; w = 0; n = 0; n_inside[me] = 0; is_away[me] = false
#define UNITS 2
#define GUARD 0
#ifdef MORE
#define COMES_AGAIN 1
#else
#define COMES_AGAIN 0
#endif

#define SLEEPERS 1
#define ONE_TURN 2

/* struct semaphore_memory; the entry of a process is its own number */
byte n_free;
byte word;
bool is_listed[N]; /* its pid is there */
byte units[N];

/* What is true, which nobody of them sees. */
byte n_inside[N]; /* units it has, and knows that it has */
bool is_away[N];  /* does something with it */

#define HAS(i) (is_listed[i] -> units[i] : 0)
#define LIVES(i) (killed[i] -> 0 : HAS(i))
#define COUNTED (UNITS - HAS(0) - HAS(1) - HAS(2))
#define IS_ONE_FREE (LIVES(0) + LIVES(1) + LIVES(2) < UNITS)
#define IN_VAIN (IS_ONE_FREE && (asleep[0] || asleep[1] || asleep[2]))
#define IS_BUSY(i) is_away[i]
#define IS_CROWDED (n_inside[0] + n_inside[1] + n_inside[2] > UNITS)

#include "kernel.pml"

/* ---- under the guard ---------------------------------------------------------------- */

#ifdef NO_RECOUNT
#define COUNT skip
#else
#define COUNT n_free = COUNTED
#endif

/* enter(), count_free() */
inline enter()
{
	STEP(
		TAKE_LOCK(GUARD);
		assert(inherited[GUARD] || n_free == COUNTED)
	);
	if
	:: inherited[GUARD] -> STEP(COUNT)
	:: else
	fi
}

/* ledger_drop() */
inline ledger_drop(i)
{
	STEP(units[i] = 0);
	STEP(is_listed[i] = false)
}

#ifdef NO_LOOK_FOR_DEAD
#define IS_DEAD(i) false
#else
#define IS_DEAD(i) killed[i]
#endif
inline drop_if_dead(i)
{
	if
	:: is_listed[i] && IS_DEAD(i) -> ledger_drop(i)
	:: else
	fi
}

/* look_for_dead(), which is always due: who finds that another has just looked
 * finds what that one left */
inline look_for_dead()
{
	drop_if_dead(0);
	drop_if_dead(1);
	drop_if_dead(2);
	STEP(n_free = COUNTED)
}

/* take(): is_told says that it has one */
inline take()
{
	if
	:: n_free > 0 ->
		if
		:: is_listed[me]
		:: else -> STEP(is_listed[me] = true)
		fi;
		STEP(units[me]++);
		STEP(n_free--; is_told = true)
	:: else
	fi
}

/* give() */
inline give()
{
	STEP(units[me]--);
	if
	:: units[me] == 0 -> STEP(is_listed[me] = false)
	:: else
	fi;
	STEP(n_free++)
}

/* region_wake(&word, 1): whichever the kernel takes */
#define IF_ASLEEP(i) :: asleep[i] -> wake(i)
inline wake_next()
{
	CHOICE(
		w = 0;
		if
		IF_ASLEEP(0)
		IF_ASLEEP(1)
		IF_ASLEEP(2)
		:: !asleep[0] && !asleep[1] && !asleep[2]
		fi
	)
}

#ifdef NO_PASS
#define PASSES false
#else
#define PASSES is_told
#endif
#ifdef BROKEN_ORDER
#define LEAVE skip
#define REMEMBER STEP(w = word)
#else
#define LEAVE w = word
#define REMEMBER skip
#endif

/* is_wanted(): whom to wake, after leave() */
inline leave_and_wake(has_one)
{
	STEP(
		w = (has_one && n_free > 0 && word & SLEEPERS);
		if
		:: w -> word = (word + ONE_TURN) & ~SLEEPERS
		:: else
		fi
	);
	if
	:: w -> UNLOCK(GUARD); wake_next() 
	:: else -> STEP(LEAVE; inherited[GUARD] = false; holder[GUARD] = NOBODY)
	fi
}

/* ---- acquiring and releasing --------------------------------------------------------- */

/* take_slowly() */
inline take_slowly()
{
	enter();
	look_for_dead();
	take();
	STEP(word = word | SLEEPERS); /* say_that_some_sleep() */
	leave_and_wake(PASSES)
}

/* reeve_semaphore_acquire(), wait_and_take(); reeve_semaphore_release() */
proctype Comer(byte me; byte n)
{
	byte w;
	bool is_told;

	do
	:: n_inside[me] > 0 ->
		STEP(is_away[me] = true);
		STEP(is_away[me] = false; n_inside[me]--);
		enter();
		give();
		leave_and_wake(true)
	:: n_inside[me] == 0 && n == 0 -> break
	:: n_inside[me] == 0 && n > 0 ->
		enter();
		take();
		UNLOCK(GUARD);
		do
		:: is_told -> break
		:: else ->
			take_slowly();
			if
			:: is_told
			:: else -> REMEMBER; WAIT(word == w)
			fi
		od;
		STEP(
			n--;
			w = 0;
			is_told = false;
			n_inside[me]++;
			assert(!IS_CROWDED)
		)
	od;
	end_of(me);
dead:	skip
}

init {
	d_step { is_listed[0] = true; units[0] = UNITS; n_inside[0] = UNITS };
	atomic { run Comer(0, COMES_AGAIN); run Comer(1, 1); run Comer(2, 1) }
}
