/* A barrier's rounds: workers/shared/barrier.c, ledger.c.
 *
 * Two parties, and three processes that come to it: so that one is late, or the
 * ledger is full, which has two entries here. Any of them is killed at any step;
 * the last to arrive may have something to do before the round ends; one wait may
 * time out. Who finds the barrier broken resets it.
 *
 * What must hold: a round ends well only if all had arrived in it, and all who
 * waited in it are told the same (but those who slept through ENDINGS rounds);
 * nobody sleeps in a round that is over, or with one who is dead and took part.
 *
 * Caught when wrong:
 * -DBROKEN_ORDER: the round's number goes on before it is written how it ended.
 * -DDROP_FIRST: the dead are dropped from the ledger before the round ends.
 * -DOLD_OUTCOME: the round's number is read before how it ended.
 */
#define N 3
#define LOCKS 1
#define FORGET e = 0; round = 0; w = 0; r = 0; n = 0
#define GUARD 0
#ifdef MORE
#define COMES 2
#else
#define COMES 1
#endif
#define PARTIES 2
#define ENTRIES 2 /* LEDGER_SIZE */
#define ENDINGS 2
#define BOOKS 4 /* rounds of which is known how they ended: more than ENDINGS */

#define BROKEN 1
#define SLEEPERS 2
#define ONE_ROUND 4

/* struct barrier_memory */
byte word;
bool ended_badly[ENDINGS]; /* the bits of one word */
byte who[ENTRIES] = N;	   /* N: nobody */
byte arrived_in[ENTRIES];  /* an entry's value: its round plus one; 0: none */

/* What is true, which nobody of them sees. */
byte n_arrived;	       /* in this round */
bool went_well[BOOKS];
byte sleeps_in[N];     /* which round */
bool takes_part[N];    /* since the last round that ended badly */
bool is_one_late;

#define ROUND (word / ONE_ROUND)
#define DIED_TAKING_PART \
	((killed[0] && takes_part[0]) || (killed[1] && takes_part[1]) || \
	 (killed[2] && takes_part[2]))
#define IS_IN_VAIN_FOR(i) \
	(asleep[i] && \
	 (sleeps_in[i] != ROUND || DIED_TAKING_PART || n_arrived == PARTIES))
#define IN_VAIN (IS_IN_VAIN_FOR(0) || IS_IN_VAIN_FOR(1) || IS_IN_VAIN_FOR(2))

#include "kernel.pml"

/* ---- under the guard ---------------------------------------------------------------- */

/* enter(): whatever a dead holder was doing, what it left is right */
#define ENTER STEP(TAKE_LOCK(GUARD); inherited[GUARD] = false)
#define LEAVE UNLOCK(GUARD)

#define WRITE_HOW(is_well) STEP(ended_badly[ROUND % ENDINGS] = !is_well)
#define FORGET_IF_DEAD(i) takes_part[i] = (takes_part[i] && !killed[i])
#define GO_ON(is_well, flag) \
	STEP( \
		w = word & SLEEPERS; \
		word = (ROUND + 1) * ONE_ROUND + flag; \
		assert(!is_well || n_arrived == PARTIES); \
		went_well[(ROUND - 1) % BOOKS] = is_well; \
		n_arrived = 0; \
		if \
		:: is_well \
		:: else -> FORGET_IF_DEAD(0); FORGET_IF_DEAD(1); FORGET_IF_DEAD(2) \
		fi \
	)

/* end_round() */
inline end_round(is_well, flag)
{
#ifdef BROKEN_ORDER
	GO_ON(is_well, flag);
	STEP(ended_badly[(ROUND - 1) % ENDINGS] = !is_well);
#else
	WRITE_HOW(is_well);
	GO_ON(is_well, flag);
#endif
	if
	:: w -> STEP(wake(0); wake(1); wake(2); w = 0)
	:: else
	fi
}

/* break_it() */
inline break_it()
{
	if
	:: word & BROKEN
	:: else -> end_round(false, BROKEN)
	fi
}

/* ledger_drop(): the value first */
inline ledger_drop(i)
{
	STEP(arrived_in[i] = 0);
	STEP(who[i] = N)
}

#define IS_DEAD(i) (who[i] < N && killed[who[i]])

inline drop_dead()
{
	if
	:: IS_DEAD(0) -> ledger_drop(0)
	:: else
	fi;
	if
	:: IS_DEAD(1) -> ledger_drop(1)
	:: else
	fi
}

/* bury(): the barrier breaks first, if one died, as often as one is found */
inline bury()
{
	if
	:: IS_DEAD(0) || IS_DEAD(1) ->
#ifdef DROP_FIRST
		drop_dead();
		break_it()
#else
		break_it();
		drop_dead()
#endif
	:: else
	fi
}

/* ledger_self(): e is the entry, or ENTRIES */
inline ledger_self()
{
	STEP(
		if
		:: who[0] == me -> e = 0
		:: who[1] == me -> e = 1
		:: who[0] != me && who[1] != me && who[0] == N -> e = 0
		:: who[0] != me && who[1] != me && who[0] < N && who[1] == N -> e = 1
		:: else -> e = ENTRIES
		fi;
		if
		:: e < ENTRIES -> who[e] = me; takes_part[me] = true
		:: else
		fi
	)
}

/* entry_of_self() */
inline entry_of_self()
{
	ledger_self();
	if
	:: e == ENTRIES && (IS_DEAD(0) || IS_DEAD(1)) ->
		bury();
		ledger_self()
	:: else
	fi
}

/* ---- waiting ------------------------------------------------------------------------- */

#define OK 1
#define CANCELLED 2
#define FULL 3
#define WAITS 4
#define ACTS 5
#define TOO_MANY 6
#define UNKNOWN 7 /* cancelled, too long ago to know */

/* arrive(): r says how */
inline arrive()
{
	entry_of_self();
	STEP(
		round = ROUND;
		n = (arrived_in[0] == round + 1) + (arrived_in[1] == round + 1);
		if
		:: word & BROKEN -> r = UNKNOWN
		:: !(word & BROKEN) && e == ENTRIES -> r = TOO_MANY
		:: !(word & BROKEN) && e < ENTRIES && n >= PARTIES -> r = FULL
		:: else ->
			arrived_in[e] = round + 1;
			n_arrived++;
			r = (n + 1 < PARTIES -> WAITS : ACTS)
		fi;
		e = 0;
		n = 0;
		is_looked = false /* it has yet to look */
	);
	if
	:: r == ACTS -> end_round(true, 0); r = OK
	:: r == ACTS /* there is an action, which comes later */
	:: r != ACTS
	fi
}

/* look_for_dead(), which is always due: who finds that another has just looked
 * finds what that one left */
inline look_for_dead()
{
	ENTER;
	if
	:: ROUND == round -> bury()
	:: else
	fi;
	LEAVE
}

/* sleep_through(): w says that its time is over */
inline sleep_through()
{
	do
	:: ROUND != round -> break
	:: ROUND == round && !is_one_late -> STEP(is_one_late = true; w = 1); break
	:: ROUND == round ->
		/* announces itself, in the same round only */
		STEP(
			if
			:: ROUND == round -> word = word | SLEEPERS
			:: else
			fi;
			w = word
		);
		STEP(
			asleep[me] = (word == w && ROUND == round);
			sleeps_in[me] = round;
			w = 0
		);
		STEP(GET_UP; sleeps_in[me] = 0);
		if
		:: ROUND == round -> look_for_dead()
		:: else
		fi
	od
}

/* outcome() */
#define READ_HOW r = (ended_badly[round % ENDINGS] -> CANCELLED : OK)
#define READ_WHEN e = (ROUND - round >= ENDINGS)
#ifdef OLD_OUTCOME
#define READ_FIRST READ_WHEN
#define READ_THEN READ_HOW
#else
#define READ_FIRST READ_HOW
#define READ_THEN READ_WHEN
#endif
inline outcome()
{
	STEP(READ_FIRST);
	STEP(
		READ_THEN;
		if
		:: e -> r = UNKNOWN; e = 0
		:: else -> assert(went_well[round % BOOKS] == (r == OK))
		fi
	)
}

/* wait_for_others(), after sleep_through() */
inline wait_for_others()
{
	if
	:: w ->
		w = 0;
		ENTER;
		if
		:: ROUND == round -> break_it(); r = CANCELLED /* -ETIMEDOUT */
		:: else -> outcome()
		fi;
		LEAVE
	:: else -> outcome()
	fi
}

/* act(): what the action does is its own; it may fail */
inline act()
{
	ENTER;
	r = CANCELLED;
	if
	:: ROUND == round -> r = OK
	:: true /* somebody has ended the round, or the action has failed */
	fi;
	if
	:: ROUND != round
	:: else -> end_round((r == OK), (r == OK -> 0 : BROKEN))
	fi;
	LEAVE
}

/* Who is dropped so takes part no longer. */
inline let_go(i)
{
	STEP(arrived_in[i] = 0);
	STEP(takes_part[who[i]] = false; who[i] = N)
}

inline drop_them()
{
	if
	:: who[0] < N -> let_go(0)
	:: else
	fi;
	if
	:: who[1] < N -> let_go(1)
	:: else
	fi
}

/* reeve_barrier_reset() */
inline reset_it()
{
	ENTER;
	end_round(false, 0);
	drop_them();
	LEAVE
}

/* reeve_barrier_free(): its end is no death */
inline go_away()
{
	ENTER;
	if
	:: who[0] == me -> let_go(0)
	:: who[1] == me -> let_go(1)
	:: who[0] != me && who[1] != me
	fi;
	LEAVE
}

/* reeve_barrier_wait(), n times */
proctype Party(byte me; byte left)
{
	byte e, round, w, r, n;

	do
	:: left > 0 ->
		ENTER;
		arrive();
		LEAVE;
		if
		:: r == FULL || r == WAITS -> sleep_through()
		:: else
		fi;
		if
		:: r == FULL -> r = 0; left = left - w; w = 0
		:: r == WAITS -> wait_for_others()
		:: r == ACTS -> act()
		:: else
		fi;
		STEP(
			left = left - (r > 0);
			round = 0;
			n = (word & BROKEN);
			r = 0
		);
		if
		:: n -> n = 0; reset_it()
		:: else -> n = 0
		fi
	:: else -> break
	od;
	go_away();
	end_of(me);
dead:	skip
}

init {
	atomic { run Party(0, COMES); run Party(1, 1); run Party(2, 1) }
}
