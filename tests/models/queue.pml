/* A joinable queue's words, locks and tally: workers/shared/queue.h, queue.c,
 * tally.c. One sends two messages, another one, two receive, one joins; any of
 * them is killed at any step.
 *
 * What only the holder of a lock changes, it reads together with the step before:
 * nobody can tell. A message is written and read in two parts, so that a torn one is seen. Who
 * finds the queue full or empty tries again when it is not: how it is woken
 * stands in bell.pml.
 *
 * What must hold: each message is got once, whole, and after those that its
 * sender put before; what put has said is there is got or was taken by the dead;
 * a process's entry counts what it has got and not finished; join returns when
 * the living owe nothing, and counts as lost what the dead owed (twice, if a
 * joiner is killed while it counts).
 *
 * Caught when wrong:
 * -DBROKEN_ORDER: the tail is stored before the message is written.
 * -DHEAD_FIRST: the head is stored before the message is copied.
 * -DNO_INTENT: nobody puts back the count of who was killed in a get.
 * -DNOT_ROBUST: a lock of the dead stays locked.
 */
#define N 5
#define LOCKS 2
#define FORGET t = 0; h = 0; m = 0
#define IN_VAIN false /* nobody sleeps here */

#ifdef MORE /* max_items */
#define SLOTS 2
#else
#define SLOTS 1
#endif
#define PER_SENDER 2 /* messages 1 and 2 are one sender's, 3 the other's */
#define LAST_MESSAGE 3
#define PUT 0
#define GET 1

/* struct queue_memory */
byte tail, head, seen_head, seen_tail;
byte slot_begin[SLOTS], slot_end[SLOTS];
/* struct tally: an entry is a process's, receivers are 2 and 3 */
byte n_owed[2], n_lost;
bool is_listed[2];
byte intent_head, n_before, place;

/* What is true, which nobody of them sees. */
byte n_put[2], n_got[2]; /* by sender */
byte owes[2];		 /* by receiver */

#include "kernel.pml"

#define ARE_ALL_GONE (IS_GONE(0) && IS_GONE(1) && IS_GONE(2) && IS_GONE(3) && IS_GONE(4))
#define IS_IN_ORDER(m) (n_got[(m - 1) / PER_SENDER] == (m - 1) % PER_SENDER)

/* ---- putting ---------------------------------------------------------------------- */

/* put_locked(), after ring_write(): one store, and it is there */
#define STORE_TAIL STEP(tail = t + 1)

/* ring_write() */
inline ring_write(m)
{
	STEP(slot_begin[t % SLOTS] = m);
	STEP(slot_end[t % SLOTS] = m)
}

/* reeve_queue_put(): try_put() until there is room */
proctype Sender(byte me)
{
	byte t, h, m;

	m = me * PER_SENDER + 1;
	do
	:: m > (me + 1) * PER_SENDER || m > LAST_MESSAGE -> break
	:: else ->
		/* lock_to_put(): nothing to repair; put_locked(), look_for_room() */
		STEP(
			TAKE_LOCK(PUT);
			inherited[PUT] = false;
			t = tail;
			h = seen_head
		);
		if
		:: t - h >= SLOTS ->
			STEP(h = head);
			if
			:: t - h < SLOTS -> STEP(seen_head = h)
			:: else
			fi
		:: else
		fi;
		if
		:: t - h < SLOTS ->
#ifdef BROKEN_ORDER
			STORE_TAIL;
			ring_write(m);
#else
			ring_write(m);
			STORE_TAIL;
#endif
			/* it returns 0 */
			STEP(holder[PUT] = NOBODY; n_put[me]++);
			m++
		:: else ->
			UNLOCK(PUT);
			if
			:: tail - head < SLOTS
			:: IS_GONE(2) && IS_GONE(3) && tail - head >= SLOTS -> break
			fi
		fi;
		t = 0;
		h = 0
	od;
	end_of(me);
dead:	skip
}

/* ---- getting ---------------------------------------------------------------------- */

#define E (me - 2) /* of who gets, its entry */
#ifdef NO_INTENT
#define IS_HALF_TAKEN false
#else
#define IS_HALF_TAKEN (place > 0 && intent_head == head)
#endif

/* lock_to_get(), tally_repair() */
inline lock_to_get()
{
	STEP(
		TAKE_LOCK(GET);
		t = inherited[GET]
	);
	if
	:: t ->
		if
		:: IS_HALF_TAKEN -> STEP(n_owed[place - 1] = n_before)
		:: else
		fi;
		STEP(place = 0; t = 0)
	:: else
	fi
}

/* tally_take(): an entry first, then the intent, then the count */
inline tally_take()
{
	if
	:: is_listed[E]
	:: else -> STEP(n_owed[E] = 0; is_listed[E] = true)
	fi;
	STEP(intent_head = h);
	STEP(n_before = n_owed[E]);
	STEP(place = E + 1);
	STEP(n_owed[E]++)
}

/* move_head(): from here on the message is its taker's */
inline move_head()
{
	tally_take();
	STEP(
		m = slot_begin[h % SLOTS];
		assert(IS_IN_ORDER(m));
		n_got[(m - 1) / PER_SENDER]++;
		head = h + 1;
		owes[E]++
	);
	/* tally_taken() */
	STEP(place = 0)
}

/* ring_read() */
inline ring_read()
{
	STEP(m = slot_begin[h % SLOTS]);
	STEP(assert(m > 0 && m == slot_end[h % SLOTS]))
}

/* reeve_queue_get(): try_get() until there is something; reeve_queue_task_done() */
proctype Receiver(byte me)
{
	byte t, h, m;

	do
	:: true ->
		lock_to_get();
		/* look_for_message() */
		STEP(h = head; t = seen_tail; assert(n_owed[E] == owes[E]));
		if
		:: t == h ->
			STEP(t = tail);
			if
			:: t != h -> STEP(seen_tail = t)
			:: else
			fi
		:: else
		fi;
		if
		:: t == h ->
			UNLOCK(GET);
			t = 0;
			h = 0;
			if
			:: tail != head
			:: IS_GONE(0) && IS_GONE(1) && tail == head -> break
			fi
		:: else ->
#ifdef HEAD_FIRST
			move_head();
			ring_read();
#else
			ring_read();
			move_head();
#endif
			UNLOCK(GET);
			m = 0;
			t = 0;
			h = 0;
			lock_to_get();
			/* tally_finish() */
			STEP(assert(n_owed[E] > 0); n_owed[E]--; owes[E]--);
			UNLOCK(GET)
		fi
	od;
	end_of(me);
dead:	skip
}

/* ---- joining ---------------------------------------------------------------------- */

/* write_off(): counted first */
inline write_off(i)
{
	STEP(n_lost = n_lost + n_owed[i]);
	STEP(n_owed[i] = 0);
	STEP(is_listed[i] = false)
}

/* tally_unfinished(), of one entry */
inline count_unfinished(i)
{
	if
	:: is_listed[i] && n_owed[i] > 0 && killed[i + 2] -> write_off(i)
	:: is_listed[i] && n_owed[i] > 0 && !killed[i + 2] -> h++
	:: else
	fi
}

/* What the dead owe; right when join says so. */
#define LOST ((killed[2] -> owes[0] : 0) + (killed[3] -> owes[1] : 0))
#define IS_JOINED \
	(tail == head && n_lost == LOST && (killed[2] || owes[0] == 0) && \
	 (killed[3] || owes[1] == 0))

/* reeve_queue_join(): try_join() again and again, once all is put; with nobody
 * left to get what is there it would wait on. */
proctype Joiner(byte me)
{
	byte t, h, m;

	IS_GONE(0) && IS_GONE(1);
	do
	:: true ->
		lock_to_get();
		STEP(h = (tail != head));
		count_unfinished(0);
		count_unfinished(1);
		STEP(assert(h > 0 || IS_JOINED); t = (h == 0));
		UNLOCK(GET);
		h = 0;
		if
		:: t > 0 || (IS_GONE(2) && IS_GONE(3) && tail != head) -> break
		:: (tail == head && (killed[2] || owes[0] == 0) &&
		    (killed[3] || owes[1] == 0))
		fi
	od;
	end_of(me);
dead:	skip
}

/* When all are gone: what was put is in the queue, or was got. */
active proctype Auditor()
{
	ARE_ALL_GONE;
	assert(n_got[0] + n_got[1] == head);
	assert(n_got[0] + n_got[1] + (tail - head) >= n_put[0] + n_put[1]);
	assert(n_got[0] + n_got[1] + (tail - head) <=
	       n_put[0] + n_put[1] + killed[0] + killed[1])
}

init {
	atomic {
		run Sender(0); run Sender(1);
		run Receiver(2); run Receiver(3);
		run Joiner(4)
	}
}
