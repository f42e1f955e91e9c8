/* The tally of a joinable queue: entries are searched, there are few. */
#include "workers/shared/tally.h"

#include <errno.h>
#include <stddef.h>

static bool is_used(const struct tally_entry *e)
{
	return atomic_load(&e->party.pid) != 0;
}

static struct tally_entry *find_own(struct tally *l)
{
	struct party self;

	party_self(&self);
	for (struct tally_entry *e = l->entries; e < l->entries + TALLY_ENTRIES;
	     e++)
		if (atomic_load(&e->party.pid) == self.pid &&
		    atomic_load(&e->party.start_ticks) == self.start_ticks)
			return e;
	return NULL;
}

/* The loss is counted before the entry goes: who dies in between counts it twice
 * rather than never. */
static bool write_off(struct tally *l, struct tally_entry *e)
{
	if (!party_is_dead(&e->party))
		return false;
	(void)atomic_fetch_add(&l->n_lost, atomic_load(&e->n));
	atomic_store(&e->n, 0);
	atomic_store(&e->party.pid, 0);
	return true;
}

static struct tally_entry *find_free(struct tally *l)
{
	for (struct tally_entry *e = l->entries; e < l->entries + TALLY_ENTRIES;
	     e++)
		if (!is_used(e))
			return e;
	for (struct tally_entry *e = l->entries; e < l->entries + TALLY_ENTRIES;
	     e++)
		if (write_off(l, e))
			return e;
	return NULL;
}

int tally_take(struct tally *l, uint64_t head)
{
	struct tally_entry *e = find_own(l);

	if (!e) {
		e = find_free(l);
		if (!e)
			return -EUSERS;
		atomic_store(&e->n, 0);
		party_self(&e->party);
	}
	atomic_store(&l->head, head);
	atomic_store(&l->n_before, atomic_load(&e->n));
	atomic_store(&l->place, (uint32_t)(e - l->entries) + 1);
	(void)atomic_fetch_add(&e->n, 1);
	return 0;
}

void tally_taken(struct tally *l)
{
	atomic_store(&l->place, 0);
}

void tally_repair(struct tally *l, uint64_t head)
{
	uint32_t place = atomic_load(&l->place);

	if (place > 0 && place <= TALLY_ENTRIES &&
	    atomic_load(&l->head) == head)
		atomic_store(&l->entries[place - 1].n,
			     atomic_load(&l->n_before));
	atomic_store(&l->place, 0);
}

int tally_finish(struct tally *l)
{
	struct tally_entry *e = find_own(l);

	if (!e || atomic_load(&e->n) == 0)
		return -EPERM;
	(void)atomic_fetch_sub(&e->n, 1);
	return 0;
}

void tally_bury(struct tally *l)
{
	for (struct tally_entry *e = l->entries; e < l->entries + TALLY_ENTRIES;
	     e++)
		if (is_used(e) && party_is_gone(&e->party))
			(void)write_off(l, e);
}

uint64_t tally_unfinished(struct tally *l)
{
	uint64_t sum = 0;

	for (struct tally_entry *e = l->entries; e < l->entries + TALLY_ENTRIES;
	     e++)
		if (is_used(e) && atomic_load(&e->n) > 0 && !write_off(l, e))
			sum += atomic_load(&e->n);
	return sum;
}
