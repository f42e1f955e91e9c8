/* The hand-over of a condition: workers/shared/condition.c, lock.c.
 *
 * Three wait, once each, one notifies; any of them is killed at any step,
 * and one wait may time out. What only the holder of the guard changes, it reads
 * and writes together with the step before: nobody can tell.
 *
 * What must hold: no notification is lost: as many are received, or have nobody
 * to go to, as were given; only the death of who passes one on makes one more.
 * Who was told does not sleep on.
 *
 * Caught when wrong:
 * -DBROKEN_ORDER: a dead one's place is freed before the next is told.
 * -DNO_PASS: what a dead one was told is dropped with its place.
 * -DBLIND_LEAVE: a waiter looks what it was told, and then leaves its place.
 * -DNO_SWAP: a notifier tells whom it saw waiting, whatever has happened since.
 */
#define N 4
#define LOCKS 2
#define FORGET p = 0; q = 0; c = 0; is_told = false
#define IS_IN_VAIN_FOR(i) (asleep[i] && word[place_of[i]] == TOLD)
#define IS_LEFT(p) (word[p] == TOLD && killed[who[p]])
#define N_LEFT (IS_LEFT(0) + IS_LEFT(1) + IS_LEFT(2))
#define DOES_ONE_SLEEP (asleep[0] || asleep[1] || asleep[2])
#define IN_VAIN \
	(IS_IN_VAIN_FOR(0) || IS_IN_VAIN_FOR(1) || IS_IN_VAIN_FOR(2) || \
	 (N_LEFT > 0 && DOES_ONE_SLEEP) || \
	 n_received + n_void + N_LEFT < n_given || \
	 n_received + n_void > n_given + n_kills)

#define NOTIFIER 3
#define PLACES 3
#ifdef MORE
#define NOTIFIES 2
#else
#define NOTIFIES 1
#endif
#define LOCK_ITSELF 0
#define GUARD 1

#define FREE 0
#define WAITS 1
#define TOLD 2

/* struct condition_memory */
byte word[PLACES], who[PLACES], came[PLACES], told_at[PLACES];
byte n_came;

/* What is true, which nobody of them sees. */
byte n_given, n_received, n_void; /* void: nobody was left to get it */
byte place_of[N];
bool is_one_late; /* somebody's time was over */

#include "kernel.pml"

/* reeve_lock_acquire(), and enter(): what is behind them is right as it is */
#define ENTER(l) STEP(TAKE_LOCK(l); inherited[l] = false)

/* region_wake(&p->word, 1) */
#define IF_IN(p, i) :: asleep[i] && place_of[i] == p -> wake(i)
inline wake_place(p)
{
	STEP(
		if
		IF_IN(p, 0)
		IF_IN(p, 1)
		IF_IN(p, 2)
		:: else
		fi
	)
}

/* ---- under the guard ---------------------------------------------------------------- */

#ifdef NO_SWAP
#define IS_STILL_WAITING(q) true
#else
#define IS_STILL_WAITING(q) (word[q] == WAITS)
#endif
#define IF_FIRST(i, n) \
	if \
	:: word[i] == WAITS && came[i] < n && (q == PLACES || came[i] < came[q]) -> \
		q = i \
	:: else \
	fi

/* tell(), first_before(): the place is q, or PLACES. */
inline tell(n)
{
	do
	:: true ->
		STEP(
			q = PLACES;
			IF_FIRST(0, n);
			IF_FIRST(1, n);
			IF_FIRST(2, n);
			if
			:: q < PLACES -> told_at[q] = n
			:: else
			fi
		);
		if
		:: q == PLACES -> break
		:: else
		fi;
		STEP(
			is_told = IS_STILL_WAITING(q);
			if
			:: is_told -> word[q] = TOLD; n_given = n_given + (me == NOTIFIER)
			:: else
			fi
		);
		if
		:: is_told -> is_told = false; break
		:: else
		fi
	od
}

#ifdef BROKEN_ORDER
#define FREE_FIRST STEP(word[c] = FREE);
#else
#define FREE_FIRST
#endif
#ifdef NO_PASS
#define PASS q = PLACES
#else
#define PASS tell(told_at[c])
#endif

/* look_for_dead(): drop_dead() of those who only waited, which nobody sees before
 * the guard is left; then, one by one, of the told */
#define DROP_IF_WAITED(i) \
	if \
	:: word[i] == WAITS && killed[who[i]] -> word[i] = FREE \
	:: else \
	fi
#define IS_ONE_WAITING(i, n) (word[i] == WAITS && came[i] < n)
#define IS_ANY_WAITING(n) \
	(IS_ONE_WAITING(0, n) || IS_ONE_WAITING(1, n) || IS_ONE_WAITING(2, n))

inline look_for_dead()
{
	STEP(DROP_IF_WAITED(0); DROP_IF_WAITED(1); DROP_IF_WAITED(2));
	do
	:: true ->
		STEP(
			do
			:: c < PLACES && !IS_LEFT(c) -> c++
			:: else -> break
			od
		);
		if
		:: c == PLACES -> break
		:: else
		fi;
		FREE_FIRST
		PASS;
		STEP(
			word[c] = FREE;
			c++;
			if
			:: q == PLACES ->
				assert(!IS_ANY_WAITING(told_at[c - 1]));
				n_void++;
				q = 0
			:: else -> is_told = true
			fi
		);
		if
		:: is_told -> wake_place(q); is_told = false; q = 0
		:: else
		fi
	od;
	c = 0
}

/* take_place(), find_free(): there are enough */
inline take_place()
{
	ENTER(GUARD);
	STEP(
		p = 0;
		do
		:: word[p] != FREE -> p++
		:: else -> break
		od;
		who[p] = me;
		place_of[me] = p;
		came[p] = n_came;
		n_came++
	);
	STEP(word[p] = WAITS);
	UNLOCK(GUARD)
}

/* ---- waiting and notifying ------------------------------------------------------------- */

/* sleep_until_told() */
inline sleep_until_told()
{
	do
	:: word[p] != WAITS -> break
	:: word[p] == WAITS && !is_one_late -> STEP(is_one_late = true); break
	:: word[p] == WAITS ->
		WAIT(word[p] == WAITS);
		if
		:: word[p] == WAITS ->
			ENTER(GUARD);
			look_for_dead();
			UNLOCK(GUARD)
		:: else
		fi
	od
}

/* reeve_condition_wait(), wait_until(); some are asleep or nearly so already */
proctype Waiter(byte me; bool is_there)
{
	byte p, q, c;
	bool is_told;

	if
	:: is_there -> p = me
	:: else ->
		ENTER(LOCK_ITSELF);
		take_place();
		UNLOCK(LOCK_ITSELF) /* lock_give_up() */
	fi;
	sleep_until_told();
	ENTER(LOCK_ITSELF); /* lock_take_back() */
#ifdef BLIND_LEAVE
	STEP(is_told = (word[p] == TOLD));
	STEP(word[p] = FREE; n_received = n_received + is_told);
#else
	STEP(n_received = n_received + (word[p] == TOLD); word[p] = FREE);
#endif
	UNLOCK(LOCK_ITSELF);
	end_of(me);
dead:	skip
}

/* reeve_condition_notify(), unlock_and_wake() */
proctype Notifier(byte me; byte n)
{
	byte p, q, c;
	bool is_told;

	do
	:: p < n ->
		ENTER(LOCK_ITSELF);
		ENTER(GUARD);
		tell(n_came);
		UNLOCK(GUARD);
		UNLOCK(LOCK_ITSELF);
		if
		:: q < PLACES -> wake_place(q)
		:: else
		fi;
		q = 0;
		p++
	:: else -> break
	od;
	end_of(me);
dead:	skip
}

inline is_waiting(i)
{
	word[i] = WAITS;
	who[i] = i;
	came[i] = i;
	n_came++;
	place_of[i] = i
}

/* Two wait, the third comes. */
init {
	d_step { is_waiting(0); is_waiting(1) };
	atomic {
		run Waiter(0, true); run Waiter(1, true); run Waiter(2, false);
		run Notifier(3, NOTIFIES)
	}
}
