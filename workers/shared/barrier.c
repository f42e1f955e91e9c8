/* Barrier: rounds, who has arrived in this one, and how the last ones ended.
 *
 * Under the guard. The ledger has an entry for each process that takes part, with
 * the round of its last arrival and how many of its threads arrived in it: so the
 * arrivals of a round are counted from what each process wrote, and a round that
 * begins needs nothing to be cleared. The word is
 *
 *	bit 0      the barrier is broken
 *	bit 1      somebody may be asleep
 *	the rest   the number of the round
 *
 * and a round ends, well or not, by one exchange of it; how it ended is written
 * before, a bit for each of the last 64. Who sleeps remembers its round.
 *
 * Death: of whom the ledger knows, arrived or not: who waits looks for the dead,
 * ends the round badly, and drops them. In the middle of a change: before the
 * exchange the round goes on, after it it is over, and those who sleep look.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <reeve/sync.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/shared/latch.h"
#include "workers/shared/ledger.h"
#include "workers/shared/region.h"
#include "workers/shared/repair.h"

#define BROKEN	  UINT32_C(1)
#define SLEEPERS  UINT32_C(2)
#define ONE_ROUND UINT32_C(4)
#define ENDINGS	  64U /* rounds whose end is remembered */

/* Who is late, or has acted, is to end the round, which takes the guard: so much
 * longer it waits for that, should its holder have been stopped. */
#define LAST_USEC USEC_PER_SEC

struct barrier_memory {
	struct region_head head;
	uint32_t n_parties;
	struct latch guard;
	_Atomic uint32_t word;
	_Atomic uint64_t ended_badly; /* a bit for round % ENDINGS */
	struct ledger ledger;	      /* round << 32 | arrivals in it */
};

struct reeve_barrier {
	struct region region;
	struct barrier_memory *memory;
	int (*action)(void *arg);
	void *arg;
};

/* ---- under the guard ------------------------------------------------------------- */

/* Whatever a dead holder was doing, what it left is right: see the essay. */
static int enter(struct barrier_memory *m, uint64_t end_usec)
{
	return MIN(latch_lock_in_time(&m->guard, end_usec), 0);
}

static void leave(struct barrier_memory *m)
{
	latch_unlock(&m->guard);
}

static uint32_t round_now(struct barrier_memory *m)
{
	return atomic_load(&m->word) / ONE_ROUND;
}

/* How many threads of this process have arrived. */
static uint32_t arrivals(const struct ledger_entry *e, uint32_t round)
{
	uint64_t value = atomic_load(&e->value);

	return value >> 32 == round ? (uint32_t)value : 0;
}

static uint32_t count_arrivals(struct barrier_memory *m)
{
	uint32_t round = round_now(m), n = 0;

	for (struct ledger_entry *e = ledger_next(&m->ledger, NULL); e;
	     e = ledger_next(&m->ledger, e))
		n += arrivals(e, round);
	return n;
}

/* Ends the round; flag is BROKEN or 0. Who sleeps is woken: they run into the
 * guard, but it is short. */
static void end_round(struct barrier_memory *m, bool is_well, uint32_t flag)
{
	uint32_t round = round_now(m);
	uint64_t bit = UINT64_C(1) << (round % ENDINGS);
	uint64_t bad = atomic_load(&m->ended_badly);

	atomic_store(&m->ended_badly, is_well ? bad & ~bit : bad | bit);
	if (atomic_exchange(&m->word, (round + 1) * ONE_ROUND | flag) &
	    SLEEPERS)
		region_wake(&m->word, INT_MAX);
}

static bool is_broken(struct barrier_memory *m)
{
	return atomic_load(&m->word) & BROKEN;
}

static void break_it(struct barrier_memory *m)
{
	if (!is_broken(m))
		end_round(m, false, BROKEN);
}

/* Whoever is dead breaks it, and is dropped; returns whether there was one. In
 * this order: who is killed in between has not made them forgotten. */
static bool bury(struct barrier_memory *m,
		 bool (*is_dead)(const struct party *))
{
	struct ledger_entry *e = NULL;
	bool is_any = false;

	while ((e = ledger_next(&m->ledger, e))) {
		if (!is_dead(&e->who))
			continue;
		break_it(m);
		ledger_drop(e);
		is_any = true;
	}
	return is_any;
}

/* The calling process's entry; NULL when there is no room. The dead make room,
 * but not silently. */
static struct ledger_entry *entry_of_self(struct barrier_memory *m)
{
	struct ledger_entry *e = ledger_self(&m->ledger);

	return e || !bury(m, party_is_dead) ? e : ledger_self(&m->ledger);
}

/* ---- making and opening ---------------------------------------------------------- */

static void handle_freep(reeve_barrier **barrier)
{
	if (*barrier)
		region_done(&(*barrier)->region);
	free(*barrier);
}

/* Of a new region (fd is -1), or of the one behind fd. */
static int barrier_map(int fd, const struct reeve_barrier_spec *spec,
		       reeve_barrier **ret_barrier)
{
	_cleanup_(handle_freep) reeve_barrier *b = calloc(1, sizeof(*b));
	const size_t size = sizeof(struct barrier_memory);
	int r;

	if (!b)
		return -ENOMEM;
	b->region = REGION_NONE;
	b->action = spec ? spec->action : NULL;
	b->arg = spec ? spec->arg : NULL;
	r = fd < 0 ? region_new(REGION_BARRIER, size, &b->region)
		   : region_open(fd, REGION_BARRIER, size, &b->region);
	if (r < 0)
		return r;
	b->memory = (void *)b->region.head;
	*ret_barrier = TAKE(b);
	return 0;
}

int reeve_barrier_new(const struct reeve_barrier_spec *spec,
		      reeve_barrier **ret_barrier)
{
	_cleanup_(handle_freep) reeve_barrier *b = NULL;
	int r;

	if (!spec || !ret_barrier || spec->parties == 0 ||
	    spec->parties > REEVE_PARTIES_MAX)
		return -EINVAL;
	r = barrier_map(-1, spec, &b);
	if (r < 0)
		return r;
	b->memory->n_parties = spec->parties;
	*ret_barrier = TAKE(b);
	return 0;
}

int reeve_barrier_open(int fd, const struct reeve_barrier_spec *spec,
		       reeve_barrier **ret_barrier)
{
	_cleanup_(handle_freep) reeve_barrier *b = NULL;
	int r;

	if (!ret_barrier)
		return -EINVAL;
	r = fd < 0 ? -EBADF : barrier_map(fd, spec, &b);
	if (r < 0)
		return r;
	if (spec && spec->parties && spec->parties != b->memory->n_parties)
		return -EINVAL;
	*ret_barrier = TAKE(b);
	return 0;
}

reeve_barrier *reeve_barrier_free(reeve_barrier *barrier)
{
	if (barrier && enter(barrier->memory, UINT64_MAX) == 0) {
		struct ledger_entry *e = ledger_find(&barrier->memory->ledger);

		if (e)
			ledger_drop(e);
		leave(barrier->memory);
	}
	handle_freep(&barrier);
	return NULL;
}

int reeve_barrier_fd(const reeve_barrier *barrier)
{
	return barrier ? barrier->region.fd : -EINVAL;
}

/* ---- waiting --------------------------------------------------------------------- */

/* A party that died breaks it, once for all who wait. */
static void look_for_dead(struct barrier_memory *m, uint32_t round)
{
	if (enter(m, 0) < 0)
		return;
	if (round_now(m) == round && ledger_is_due(&m->ledger))
		(void)bury(m, party_is_dead);
	leave(m);
}

/* Sleeps until the round is over. Returns 0 or -ETIMEDOUT. */
static int sleep_through(struct barrier_memory *m, uint32_t round,
			 uint64_t end_usec)
{
	uint32_t now = atomic_load(&m->word);
	int r = 0;

	while (now / ONE_ROUND == round) {
		if (r < 0)
			return r;
		if (now & SLEEPERS || atomic_compare_exchange_weak(
					      &m->word, &now, now | SLEEPERS))
			r = region_wait(&m->word, now | SLEEPERS, end_usec);
		now = atomic_load(&m->word);
		if (now / ONE_ROUND != round)
			break;
		look_for_dead(m, round);
		now = atomic_load(&m->word);
	}
	return 0;
}

/* How a round ended that is over. Who slept through so many that it is not known
 * any more is told that it went badly. */
static int outcome(struct barrier_memory *m, uint32_t round)
{
	uint64_t bad = atomic_load(&m->ended_badly);
	uint32_t passed = (round_now(m) - round) % (UINT32_MAX / ONE_ROUND + 1);

	if (passed >= ENDINGS || bad >> (round % ENDINGS) & 1)
		return -ECANCELED;
	return 0;
}

/* Arrived, and not the last. */
static int wait_for_others(struct barrier_memory *m, uint32_t round,
			   uint64_t end_usec)
{
	int r = sleep_through(m, round, end_usec);

	if (r == 0)
		return outcome(m, round);
	if (enter(m, usec_add(end_usec, LAST_USEC)) < 0)
		return r;
	if (round_now(m) == round)
		break_it(m);
	else
		r = outcome(m, round);
	leave(m);
	return r;
}

/* The last one: all others wait for what it does. */
static int act(reeve_barrier *b, uint32_t round, uint64_t end_usec)
{
	struct barrier_memory *m = b->memory;
	int said = b->action(b->arg);
	int r = enter(m, usec_add(MAX(end_usec, clock_monotonic_usec()),
				  LAST_USEC));

	if (r < 0)
		return r;
	if (round_now(m) != round)
		r = -ECANCELED;
	else if (said < 0)
		break_it(m);
	else
		end_round(m, true, 0);
	leave(m);
	return MIN(r, said);
}

enum arrival {
	ARRIVAL_FULL, /* all are there, and the last one acts: not this round */
	ARRIVAL_WAIT,
	ARRIVAL_ACT,
	ARRIVAL_PASS,
};

/* Under the guard. Returns enum arrival, or -errno. */
static int arrive(reeve_barrier *b, uint32_t *ret_round, uint32_t *ret_index)
{
	struct barrier_memory *m = b->memory;
	struct ledger_entry *e = entry_of_self(m);
	uint32_t round = round_now(m), n = count_arrivals(m);

	if (is_broken(m))
		return -ECANCELED;
	if (!e)
		return -EUSERS;
	*ret_round = round;
	*ret_index = n;
	if (n >= m->n_parties)
		return ARRIVAL_FULL;
	atomic_store(&e->value,
		     (uint64_t)round << 32 | (arrivals(e, round) + 1));
	if (n + 1 < m->n_parties)
		return ARRIVAL_WAIT;
	if (b->action)
		return ARRIVAL_ACT;
	end_round(m, true, 0);
	return ARRIVAL_PASS;
}

/* Arrives, in the next round if all of this one are there. Returns enum arrival, or
 * -errno. */
static int arrive_in_time(reeve_barrier *b, uint64_t end_usec,
			  uint32_t *ret_round, uint32_t *ret_index)
{
	struct barrier_memory *m = b->memory;
	int how, r;

	for (;;) {
		r = enter(m, end_usec);
		if (r < 0)
			return r;
		how = arrive(b, ret_round, ret_index);
		leave(m);
		if (how != ARRIVAL_FULL)
			return how;
		r = sleep_through(m, *ret_round, end_usec);
		if (r < 0)
			return r;
		if (clock_monotonic_usec() >= end_usec)
			return -ETIMEDOUT;
	}
}

int reeve_barrier_wait(reeve_barrier *barrier, uint64_t timeout_usec)
{
	uint64_t end_usec = usec_add(clock_monotonic_usec(), timeout_usec);
	uint32_t round = 0, index = 0;
	int how, r = 0;

	if (!barrier)
		return -EINVAL;
	how = arrive_in_time(barrier, end_usec, &round, &index);
	if (how < 0)
		return how;
	if (how == ARRIVAL_WAIT)
		r = wait_for_others(barrier->memory, round, end_usec);
	else if (how == ARRIVAL_ACT)
		r = act(barrier, round, end_usec);
	return r < 0 ? r : (int)index;
}

/* ---- steering -------------------------------------------------------------------- */

int reeve_barrier_enter(reeve_barrier *barrier)
{
	struct barrier_memory *m;
	bool is_there;
	int r;

	if (!barrier)
		return -EINVAL;
	m = barrier->memory;
	r = enter(m, UINT64_MAX);
	if (r < 0)
		return r;
	is_there = entry_of_self(m) != NULL;
	leave(m);
	return is_there ? 0 : -EUSERS;
}

int reeve_barrier_abort(reeve_barrier *barrier)
{
	int r;

	if (!barrier)
		return -EINVAL;
	r = enter(barrier->memory, UINT64_MAX);
	if (r < 0)
		return r;
	break_it(barrier->memory);
	leave(barrier->memory);
	return 0;
}

/* The round first: who waits in it must not be forgotten before it is told. */
int reeve_barrier_reset(reeve_barrier *barrier)
{
	struct barrier_memory *m;
	struct ledger_entry *e = NULL;
	int r;

	if (!barrier)
		return -EINVAL;
	m = barrier->memory;
	r = enter(m, UINT64_MAX);
	if (r < 0)
		return r;
	end_round(m, false, 0);
	while ((e = ledger_next(&m->ledger, e)))
		ledger_drop(e);
	leave(m);
	return 0;
}

int reeve_barrier_is_broken(const reeve_barrier *barrier)
{
	return barrier ? is_broken(barrier->memory) : -EINVAL;
}

int reeve_barrier_parties(const reeve_barrier *barrier)
{
	return barrier ? (int)barrier->memory->n_parties : -EINVAL;
}

int reeve_barrier_n_waiting(const reeve_barrier *barrier)
{
	int r;

	if (!barrier)
		return -EINVAL;
	r = enter(barrier->memory, UINT64_MAX);
	if (r < 0)
		return r;
	r = (int)count_arrivals(barrier->memory);
	leave(barrier->memory);
	return r;
}

/* ---- for the parent of a process that ended ----------------------------------------- */

/* Broken if it took part, whether or not somebody waits. */
static void repair_barrier(const struct patient *p)
{
	struct barrier_memory *m = p->memory;

	if (repair_enter(&m->guard) < 0) {
		ledger_look_now(&m->ledger);
	} else {
		(void)bury(m, party_is_gone);
		leave(m);
	}
	region_wake(&m->word, INT_MAX);
}

const struct repair_way barrier_repair = { sizeof(struct barrier_memory),
					   repair_barrier };
