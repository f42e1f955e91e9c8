/* Does all fit together that the clients of manager_load.h were told?
 *
 *	ledger_read(&ledger, m)       what the server has at last, by the caller's client
 *	ledger_check(&ledger, &load)  NULL, or what is wrong
 *
 * A generation is a life of the server. In the last one, which nobody has ended,
 * everything must fit exactly; of the others it is not known how far the calls
 * came that were under way at their ends, nor which of it a snapshot kept.
 */
#pragma once

#include "tests/unit/manager_load.h"

#define LEDGER_MAX (LOAD_CLIENTS * LOAD_NOTES_MAX * 2)

struct ledger {
	uint64_t generation;
	int64_t sums[2]; /* of ON_FIRST, ON_SECOND */
	int64_t items[LEDGER_MAX];
	size_t n_items; /* that were left in the queue */
	struct reeve_any rows;
	int64_t floor; /* ON_FIRST was at least that before */
	/* while it is checked */
	struct load_note notes[LEDGER_MAX], got[2 * LEDGER_MAX];
};

/* ---- reading ----------------------------------------------------------------------- */

static inline int ledger_drain(struct ledger *l, reeve_proxy *queue)
{
	struct reeve_any item;
	int r;

	l->n_items = 0;
	while (l->n_items < LEDGER_MAX &&
	       (r = reeve_proxy_queue_get(queue, 0, &item)) == 0)
		l->items[l->n_items++] = item.integer;
	return r == -EAGAIN ? 0 : r;
}

/* Nobody has it any more, but us: when a server died between two of the opens, the
 * try before may have got it, and not have done what is to be done. */
static inline int ledger_acquire(reeve_proxy *lock, reeve_proxy *halves)
{
	int r = reeve_proxy_acquire(lock, LOAD_WAIT_USEC);

	if (r == -EDEADLK)
		r = 1;
	if (r > 0 && halves) {
		r = reeve_proxy_dict_set(halves, REEVE_ANY("a"), REEVE_ANY(0));
		if (r == 0)
			r = reeve_proxy_dict_set(halves, REEVE_ANY("b"),
						 REEVE_ANY(0));
	}
	return r < 0 ? r : reeve_proxy_release(lock);
}

static inline int ledger_read_all(struct ledger *l, reeve_proxy *const *p)
{
	struct reeve_any sum;
	int r = ledger_acquire(p[ON_LOCK], p[ON_HALVES]);

	if (r == 0)
		r = ledger_acquire(p[ON_CONDITION], NULL);
	for (int i = 0; i < 2 && r == 0; i++) {
		r = reeve_proxy_value_get(p[i ? ON_SECOND : ON_FIRST], &sum);
		l->sums[i] = r == 0 ? sum.integer : 0;
	}
	if (r == 0)
		r = ledger_drain(l, p[ON_QUEUE]);
	return r < 0 ? r : reeve_proxy_items(p[ON_ROWS], &l->rows);
}

/* Once more when the server died meanwhile. */
static inline int ledger_read(struct ledger *l, reeve_manager *m)
{
	int r = -ESTALE;

	for (int i = 0; i < LOAD_TRIES && r < 0 && r != -ESHUTDOWN; i++) {
		reeve_proxy *p[ON_COUNT] = { NULL };

		r = 0;
		for (int o = 0; o < ON_COUNT && r >= 0; o++)
			r = reeve_proxy_open(m, load_objects[o].kind,
					     load_objects[o].name, NULL, &p[o]);
		if (r >= 0)
			r = ledger_read_all(l, p);
		l->generation = m->generation;
		for (int o = 0; o < ON_COUNT; o++)
			(void)reeve_proxy_free(p[o]);
	}
	return r;
}

/* ---- numbers ------------------------------------------------------------------------- */

static int ledger_compare(const void *a, const void *b)
{
	const struct load_note *x = a, *y = b;

	if (x->generation != y->generation)
		return x->generation < y->generation ? -1 : 1;
	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return (int)x->is_sure - (int)y->is_sure;
}

/* All clients' notes of that kind, which is where they have them, in order. */
static inline size_t ledger_gather(const struct load *load, size_t offset,
				   struct load_note *ret)
{
	size_t n = 0;

	for (int i = 0; i < LOAD_CLIENTS; i++) {
		const struct load_notes *notes =
			(const void *)((const char *)&load->clients[i] +
				       offset);

		memcpy(ret + n, notes->all, notes->n * sizeof(*ret));
		n += notes->n;
	}
	qsort(ret, n, sizeof(*ret), ledger_compare);
	return n;
}

/* Those of one generation: each sum once, and as many holes as there are calls of
 * which nobody knows. */
static inline const char *ledger_check_life(const struct ledger *l, int which,
					    const struct load_note *notes,
					    size_t n)
{
	size_t n_unsure = 0, n_holes;

	while (n_unsure < n && !notes[n_unsure].is_sure)
		n_unsure++; /* their number is 0 */
	notes += n_unsure;
	n -= n_unsure;
	for (size_t i = 1; i < n; i++)
		if (notes[i].number == notes[i - 1].number)
			return "two were told the same sum";
	n_holes = n == 0 ? 0
			 : (size_t)(notes[n - 1].number - notes[0].number + 1) -
				   n;
	if (n_holes > n_unsure)
		return "more was added than calls say";
	if (n == 0 || notes[0].generation != l->generation)
		return NULL;
	if (n_unsure > 0)
		return "a call did not end, and nobody died";
	return notes[n - 1].number == l->sums[which] ? NULL : "a sum is lost";
}

static inline const char *ledger_check_numbers(struct ledger *l,
					       const struct load *load,
					       int which)
{
	struct load_note *notes = l->notes;
	size_t n = ledger_gather(load,
				 offsetof(struct load_client, added) +
					 (size_t)which *
						 sizeof(struct load_notes),
				 notes),
	       from = 0, to;
	const char *wrong = NULL;
	int64_t base = l->sums[which];

	for (; from < n && !wrong; from = to) {
		for (to = from;
		     to < n && notes[to].generation == notes[from].generation;)
			to++;
		wrong = ledger_check_life(l, which, notes + from, to - from);
		if (notes[from].generation == l->generation)
			base -= (int64_t)(to - from);
	}
	if (wrong)
		return wrong;
	if (base < LOAD_BASE || base > LOAD_BASE + (int64_t)n)
		return "it never was what it began with";
	return which == 0 && base < l->floor ? "what was kept is lost" : NULL;
}

/* ---- queue ---------------------------------------------------------------------------- */

/* The item was put in that generation (sure: and that was said), or before. */
static inline bool ledger_was_put(const struct load *load, int64_t item,
				  uint64_t generation)
{
	const struct load_notes *put = &load->clients[item / 1000].put;

	for (size_t i = 0; i < put->n; i++)
		if (put->all[i].number == item)
			return put->all[i].generation <= generation;
	return false;
}

/* What was left counts as got, at last. */
static inline size_t ledger_gather_got(const struct ledger *l,
				       const struct load *load,
				       struct load_note *ret)
{
	size_t n = ledger_gather(load, offsetof(struct load_client, got), ret);

	for (size_t i = 0; i < l->n_items; i++)
		ret[n++] =
			(struct load_note){ l->generation, l->items[i], true };
	qsort(ret, n, sizeof(*ret), ledger_compare);
	return n;
}

static inline const char *ledger_check_queue(struct ledger *l,
					     const struct load *load)
{
	struct load_note *got = l->got, *put = l->notes;
	size_t n = ledger_gather_got(l, load, got),
	       n_put = ledger_gather(load, offsetof(struct load_client, put),
				     put);

	for (size_t i = 0; i < n; i++) {
		if (i > 0 && ledger_compare(&got[i], &got[i - 1]) == 0)
			return "an item was got twice";
		if (got[i].number < 0 || got[i].number >= LOAD_CLIENTS * 1000 ||
		    !ledger_was_put(load, got[i].number, got[i].generation))
			return "an item was got that nobody put";
	}
	for (size_t i = 0; i < n_put; i++)
		if (put[i].generation == l->generation &&
		    !bsearch(&put[i], got, n, sizeof(*got), ledger_compare))
			return "an item is lost";
	return NULL;
}

/* ---- batches ----------------------------------------------------------------------------- */

/* How many of a batch there are, in order, or -1. */
static inline int64_t ledger_rows_of(const struct ledger *l, int64_t number)
{
	int64_t n = 0;

	for (size_t i = 0; i < l->rows.n; i++) {
		int64_t row = l->rows.items[i].integer;

		if (row < number || row >= number + LOAD_BATCH)
			continue;
		if (row != number + n)
			return -1;
		n++;
	}
	return n;
}

static inline const char *ledger_check_rows(struct ledger *l,
					    const struct load *load)
{
	struct load_note *notes = l->notes;
	size_t n = ledger_gather(load, offsetof(struct load_client, batches),
				 notes);
	size_t n_rows = 0;

	for (size_t i = 0; i < n; i++) {
		int64_t there = ledger_rows_of(l, notes[i].number);

		if (there < 0)
			return "calls of a batch are missing, or out of order";
		if (notes[i].generation == l->generation && notes[i].is_sure &&
		    there != LOAD_BATCH)
			return "a part of a batch is lost";
		n_rows += (size_t)there;
	}
	return n_rows == l->rows.n ? NULL : "rows that nobody appended";
}

static inline const char *ledger_check(struct ledger *l,
				       const struct load *load)
{
	const char *wrong = ledger_check_numbers(l, load, 0);

	if (!wrong)
		wrong = ledger_check_numbers(l, load, 1);
	if (!wrong && l->sums[1] > l->sums[0])
		wrong = "the second was added before the first";
	if (!wrong)
		wrong = ledger_check_queue(l, load);
	return wrong ? wrong : ledger_check_rows(l, load);
}
