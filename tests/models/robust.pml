/* The word of a latch and of a mutex, and what the kernel does with it:
 * workers/shared/robust.h, robust.c, latch.h, mutex.h; exit_robust_list and
 * handle_futex_death of Linux's kernel/futex/core.c.
 *
 * Three lock and unlock it, one of them twice; any of them is killed at any step,
 * and one may give up waiting. Of two of them the kernel knows by the place for
 * what is pending, as of a latch; of one by its list, as of a mutex. The other
 * models take for granted what is shown here.
 *
 * What must hold: one of the living has it at a time; who gets it is told if, and
 * only if, a holder died since the last one was told; nobody sleeps while it is
 * free.
 *
 * Caught when wrong:
 * -DBROKEN_ORDER: the place is emptied before the word is.
 * -DLATE_PLACE: the place is set when the word has been taken.
 * -DEARLY_LEAVE: a mutex leaves the list before the place is set.
 * -DFORGETS_OTHERS: who slept takes it as if nobody else did.
 * -DJUST_LEAVES: who was woken and gives up says nothing of others who may sleep.
 */
#define N 3
#define LOCKS 0
#ifdef MORE
#define COMES 2
#else
#define COMES 1
#endif
#define FORGET v_tid = 0; v_others = false; v_died = false; others = false; n = 0

/* One word: */
byte tid; /* of the holder, or 0 */
bool has_others; /* FUTEX_WAITERS */
bool has_died;	 /* FUTEX_OWNER_DIED */
/* What each thread's robust list says: */
bool is_pending[N]; /* list_op_pending names it */
bool is_listed[N];  /* it is in the list */

/* What is true, which nobody of them sees. */
bool is_held[N];
bool must_tell;
bool is_one_late;

#define HAS_NO_HOLDER (tid == 0 || (tid > 0 && killed[tid - 1]))
#define IN_VAIN (HAS_NO_HOLDER && (asleep[0] || asleep[1] || asleep[2]))
#define WAKE_ONE \
	if \
	:: asleep[0] -> wake(0) \
	:: asleep[1] -> wake(1) \
	:: asleep[2] -> wake(2) \
	:: !asleep[0] && !asleep[1] && !asleep[2] \
	fi

/* Whoever the kernel wakes: the choice is its. */
#define DIE \
	atomic { \
		n_kills < KILLS -> n_kills++; killed[me] = true; wake(me); \
		is_looked = false; FORGET; must_tell = (must_tell || is_held[me]); \
		is_held[me] = false; \
		if \
		:: (is_pending[me] || is_listed[me]) && tid == me + 1 -> \
			tid = 0; \
			has_died = true; \
			if \
			:: has_others -> WAKE_ONE \
			:: else \
			fi \
		:: is_pending[me] && tid == 0 && !has_others && !has_died -> WAKE_ONE \
		:: else \
		fi \
	}; \
	goto dead

#include "kernel.pml"

/* exchange(): if the word is still what was seen */
#define IS_SEEN (tid == v_tid && has_others == v_others && has_died == v_died)
#define TAKE(with_others) \
	tid = me + 1; \
	has_others = with_others; \
	assert(!(is_held[0] || is_held[1] || is_held[2])); \
	assert(has_died == must_tell); \
	has_died = false; \
	must_tell = false; \
	is_held[me] = true

#ifdef LATE_PLACE
#define SET_PLACE skip
#define SET_PLACE_LATE STEP(is_pending[me] = true)
#else
#define SET_PLACE STEP(is_pending[me] = true)
#define SET_PLACE_LATE skip
#endif
#ifdef EARLY_LEAVE
#define SET_PLACE_AGAIN skip
#define SET_PLACE_LATER STEP(is_pending[me] = true)
#else
#define SET_PLACE_AGAIN STEP(is_pending[me] = true)
#define SET_PLACE_LATER skip
#endif
#ifdef JUST_LEAVES
#define CAN_LEAVE true
#else
#define CAN_LEAVE !others
#endif
#ifdef FORGETS_OTHERS
#define OTHERS v_others
#else
#define OTHERS (others || v_others)
#endif

/* robust_take_slowly(), look(); is_held says whether it has it */
inline take_slowly()
{
	do
	:: is_held[me] -> break
	:: else ->
		STEP(v_tid = tid; v_others = has_others; v_died = has_died);
		if
		:: v_tid == 0 ->
			STEP(
				if
				:: IS_SEEN -> TAKE(OTHERS)
				:: else
				fi
			)
		:: v_tid > 0 && !is_one_late && CAN_LEAVE ->
			STEP(is_one_late = true);
			break
		:: v_tid > 0 ->
			/* it may have been woken for the others */
			STEP(
				if
				:: IS_SEEN -> has_others = true; v_others = true
				:: else -> v_others = false
				fi
			);
			if
			:: v_others && !is_one_late -> STEP(is_one_late = true); break
			:: v_others -> WAIT(IS_SEEN); others = true
			:: !v_others
			fi
		fi
	od
}

/* latch_lock() and latch_unlock(); mutex_lock() and mutex_unlock() */
proctype Thread(byte me; byte n; bool is_mutex)
{
	byte v_tid;
	bool v_others, v_died, others;

	do
	:: n == 0 -> break
	:: else ->
		SET_PLACE;
		STEP(
			if
			:: tid == 0 && !has_others && !has_died -> TAKE(false)
			:: else
			fi
		);
		take_slowly();
		v_tid = 0; v_others = false; v_died = false; others = false;
		if
		:: is_held[me] ->
			SET_PLACE_LATE;
			if
			:: is_mutex ->
				/* mutex_enter(), mutex_leave() */
				STEP(is_listed[me] = true);
				STEP(is_pending[me] = false);
				SET_PLACE_AGAIN;
				STEP(is_listed[me] = false);
				SET_PLACE_LATER
			:: else
			fi;
#ifdef BROKEN_ORDER
			STEP(is_pending[me] = false);
#endif
			/* robust_release() */
			STEP(
				v_others = has_others;
				assert(tid == me + 1);
				tid = 0;
				has_others = false;
				is_held[me] = false
			);
			if
			:: v_others -> CHOICE(WAKE_ONE; v_others = false)
			:: else
			fi
		:: else
		fi;
		STEP(is_pending[me] = false);
		n--
	od;
	end_of(me);
dead:	skip
}

init {
	atomic {
		run Thread(0, 2, true);
		run Thread(1, COMES, false);
		run Thread(2, 1, false)
	}
}
