/* The ledger of processes: found by walking, as there are few. */
#include "workers/shared/ledger.h"

#include "workers/base/pure/macro.h"
#include "workers/base/sys/clock.h"

static struct ledger_entry *entries_end(struct ledger *ledger)
{
	uint32_t n = atomic_load(&ledger->n_used);

	return ledger->entries + MIN(n, (uint32_t)LEDGER_SIZE);
}

struct ledger_entry *ledger_next(struct ledger *ledger,
				 struct ledger_entry *after)
{
	struct ledger_entry *e = after ? after + 1 : ledger->entries;

	while (e < entries_end(ledger) && atomic_load(&e->who.pid) == 0)
		e++;
	return e < entries_end(ledger) ? e : NULL;
}

struct ledger_entry *ledger_next_dead(struct ledger *ledger,
				      struct ledger_entry *after)
{
	do
		after = ledger_next(ledger, after);
	while (after && !party_is_dead(&after->who));
	return after;
}

struct ledger_entry *ledger_find(struct ledger *ledger)
{
	struct ledger_entry *e = ledger_next(ledger, NULL);

	while (e && !party_is_self(&e->who))
		e = ledger_next(ledger, e);
	return e;
}

struct ledger_entry *ledger_self(struct ledger *ledger)
{
	struct ledger_entry *e = ledger_find(ledger);
	uint32_t i = 0;

	if (e)
		return e;
	while (i < LEDGER_SIZE && atomic_load(&ledger->entries[i].who.pid) != 0)
		i++;
	if (i == LEDGER_SIZE)
		return NULL;
	e = &ledger->entries[i];
	if (i >= atomic_load(&ledger->n_used))
		atomic_store(&ledger->n_used, i + 1);
	party_self(&e->who);
	return e;
}

void ledger_drop(struct ledger_entry *entry)
{
	atomic_store(&entry->value, 0);
	atomic_store(&entry->who.pid, 0);
}

void ledger_drop_gone(struct ledger *ledger)
{
	struct ledger_entry *e = NULL;

	while ((e = ledger_next(ledger, e)))
		if (party_is_gone(&e->who))
			ledger_drop(e);
}

void ledger_look_now(struct ledger *ledger)
{
	atomic_store(&ledger->looked_usec, 0);
}

bool ledger_is_due(struct ledger *ledger)
{
	uint64_t now = clock_monotonic_usec();
	uint64_t last = atomic_load(&ledger->looked_usec);

	if (now >= last && now - last < LEDGER_LOOK_USEC)
		return false;
	atomic_store(&ledger->looked_usec, now);
	return true;
}
