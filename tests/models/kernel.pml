/* What the models stand on: processes, the death of any of them before any of
 * its steps, locks that outlive their holders, the kernel's futexes, and time.
 *
 * Properties
 *   Whatever a process does is a sequence of steps, each of which reads or changes
 *   one shared word, as the code does by one atomic operation. Instead of any
 *   step, and asleep, it may be killed, KILLS times in all.
 *   A lock goes from the dead to whoever comes next, who is told (`inherited`); if
 *   it dies before it unlocks, the next one is. That it does is shown in
 *   robust.pml.
 *   Who sleeps on a futex may look again at any moment: REGION_LOOK_USEC is one
 *   of them. When nothing moves any more, time goes by, and all must have looked.
 * Operation
 *   A model defines N (processes), LOCKS, FORGET (what a process knew
 *   is gone), IN_VAIN (somebody alive sleeps though there is what it waits for,
 *   or nobody alive can bring it); it may define IS_BUSY(i) (process i does
 *   something else for a long time). A process ends with end_of(me) and the label `dead`. Then IN_VAIN is looked for
 *     - whenever nothing moves and nobody was killed: no wake-up is ever lost;
 *     - whenever nothing moves and all have looked since the last death: what
 *       the dead did not do costs one look, which is what is promised.
 *   A process that waits for a lock whose holder will never leave it is an
 *   invalid end state, which spin finds by itself.
 * Safety
 *   The model is sequentially consistent, as are the operations of the code on
 *   words that are not guarded by a lock.
 */

#ifdef MORE
#define KILLS 3
#else
#define KILLS 2
#endif

#define NOBODY N
#define SOMEBODY_DEAD (N + 1)

bool ended[N];
bool killed[N];
bool asleep[N]; /* in a futex; on which, the model knows */
bool due[N];	/* has slept for REGION_LOOK_USEC */
byte n_kills;
bool is_dying;
bool is_looked;	/* all who sleep have looked since the last death */

#if LOCKS > 0
byte holder[LOCKS] = NOBODY;
bool inherited[LOCKS];
#endif

#define IS_GONE(i) (ended[i] || killed[i])

inline wake(i)
{
	asleep[i] = false;
	due[i] = false
}

/* ---- steps --------------------------------------------------------------------------- */

/* What the kernel does for the locks of the dead. */
#ifdef NOT_ROBUST
#define BEQUEATH(l) skip
#else
#define BEQUEATH(l) holder[l] = (holder[l] == me -> SOMEBODY_DEAD : holder[l])
#endif
#if LOCKS == 0
#define BEQUEATH_ALL skip
#elif LOCKS == 1
#define BEQUEATH_ALL BEQUEATH(0)
#else
#define BEQUEATH_ALL BEQUEATH(0); BEQUEATH(1)
#endif

#ifndef DIE
#define DIE \
	d_step { \
		n_kills < KILLS -> n_kills++; killed[me] = true; wake(me); \
		is_looked = false; FORGET; BEQUEATH_ALL \
	}; \
	goto dead
#endif

/* One step. CHOICE: one in which several things may happen. */
#define STEP(...)   if :: d_step { __VA_ARGS__ } :: DIE fi
#define CHOICE(...) if :: atomic { __VA_ARGS__ } :: DIE fi

inline end_of(me)
{
	d_step { ended[me] = true; FORGET }
}

/* ---- locks --------------------------------------------------------------------------- */

/* latch_lock(), and mutex_lock(): waits. Who holds it sees whether it has inherited
 * it from a dead one. */
#define TAKE_LOCK(l) \
	holder[l] >= NOBODY -> \
		inherited[l] = (holder[l] == SOMEBODY_DEAD); \
		holder[l] = me

#define LOCK(l)	  STEP(TAKE_LOCK(l))
#define UNLOCK(l) STEP(inherited[l] = false; holder[l] = NOBODY)

/* ---- futexes ------------------------------------------------------------------------- */

/* region_wait(): asleep while nobody wakes it, or until it looks. The kernel
 * compares the word and puts it to sleep in one step. */
#ifdef NO_LOOK
#define GET_UP !asleep[me]
#else
#define GET_UP wake(me)
#endif
#define WAIT(is_same) \
	STEP(asleep[me] = is_same); \
	STEP(GET_UP)

/* ---- time ---------------------------------------------------------------------------- */

#ifndef IS_BUSY
#define IS_BUSY(i) false
#endif
#define IS_STILL(i) (IS_GONE(i) || (asleep[i] && !due[i]) || IS_BUSY(i))
#if N == 3
#define ARE_STILL (IS_STILL(0) && IS_STILL(1) && IS_STILL(2))
#elif N == 4
#define ARE_STILL (IS_STILL(0) && IS_STILL(1) && IS_STILL(2) && IS_STILL(3))
#else
#define ARE_STILL (IS_STILL(0) && IS_STILL(1) && IS_STILL(2) && IS_STILL(3) && \
		   IS_STILL(4))
#endif

active proctype Time()
{
	byte i;

end:	do
	:: d_step { ARE_STILL && !is_looked ->
		assert(n_kills > 0 || !(IN_VAIN));
		do
		:: i < N -> due[i] = asleep[i]; i++
		:: else -> break
		od;
		i = 0;
		is_looked = true
	   }
	:: d_step { ARE_STILL && is_looked -> assert(!(IN_VAIN)) }
	od
}
