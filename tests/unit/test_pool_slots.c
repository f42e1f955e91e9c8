/* The protocol of a slot, all of it: every order in which the atomic steps of
 * owner, worker and keeper can happen, on a ring of two slots, with a death
 * after each step of the worker. The owner's steps are the real ones of port.c.
 * A soft deadline is walked without a signal and with one, which is on its way
 * for as long as it likes.
 *
 * The walk is over states, not over paths: a state that was seen is not walked
 * again. At the end of each path every task that was published must have met
 * exactly one of the ends that are allowed for what was done to it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/engine_rig.h"
#include "workers/pool/keeper_room.h"

#define SLOTS	   2
#define TASKS	   3 /* so that one slot is used twice */
#define ITEMS	   2 /* of each, as a chunk */
#define STATES_MAX (1 << 20)
#define NOTHING	   0xff

enum act {
	OWNER_PUBLISHES,
	OWNER_TAKES_BACK,
	OWNER_CANCELS_HEAD,
	OWNER_CANCELS_LAST,
	OWNER_COLLECTS,
	WORKER_LOOKS,
	WORKER_ACTS, /* the compare-and-swap that follows */
	WORKER_DIES,
	KEEPER_LOOKS,
	KEEPER_CUTS,
	KEEPER_CLEARS,
	KEEPER_WARNS,
	KEEPER_SIGNALS,
	KEEPER_MARKS,
	SIGNAL_LANDS,
	ACTS
};

/* Of a running worker: as call(), take_signal() and finish_item(). */
enum stage { IN_FUNCTION, FINDS_WARNING, HAS_NO_SIGNAL };

/* What became of a task. */
enum end { NONE, DONE, SKIPPED, BACK, BLAMED, UNBEGUN };

/* Everything there is, in few bytes: compared as such. */
struct world {
	uint64_t words[SLOTS], tags[SLOTS];
	uint64_t worker_word, keeper_word;
	uint64_t signal_word; /* whom the signal is meant for */
	uint8_t task_in[SLOTS];
	uint8_t head, tail, position, n_published;
	uint8_t is_dead, is_frozen, holds_word, is_running;
	uint8_t keeper_slot; /* NOTHING: it looks at none */
	uint8_t ends[TASKS], begun[TASKS], finished[TASKS];
	uint8_t is_cut[TASKS], is_killed[TASKS], is_withdrawn[TASKS];
	uint8_t keeper_task;  /* what it saw running there, in truth */
	uint8_t worker_stage; /* enum stage */
	uint8_t keeper_owes;  /* 3: a warning, 2: the signal, 1: its mark */
	uint8_t is_pending;   /* the signal is on its way */
	uint8_t is_signalled; /* as in channel_orders */
	uint8_t is_warned[TASKS];
	uint8_t padding[3];
};
_Static_assert(sizeof(struct world) == 96, "no byte that is not compared");

static struct port port;
static struct world *seen;
static uint32_t *stack;
static size_t n_seen, n_stack;
static uint32_t *table; /* of a hash: index + 1 */
static unsigned n_ends[UNBEGUN + 1];
static unsigned n_warned_ends[UNBEGUN + 1], n_landed, n_taken;
static bool has_signal;

/* ---- between the world and the port ------------------------------------- */

static void load(const struct world *w)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		atomic_store(&channel_slot(&port.channel, i)->word,
			     w->words[i]);
		port.pieces[i] = (struct piece){ .tag = (uint32_t)w->tags[i],
						 .index = w->task_in[i],
						 .n_items = ITEMS };
	}
	port.head = w->head;
	port.tail = w->tail;
}

static void store(struct world *w)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		w->words[i] = rig_word(&port, i);
		w->tags[i] = port.pieces[i].tag;
		w->task_in[i] = (uint8_t)port.pieces[i].index;
	}
	w->head = (uint8_t)port.head;
	w->tail = (uint8_t)port.tail;
}

static unsigned task_at(const struct world *w, uint64_t i)
{
	return w->task_in[i % SLOTS];
}

static void end_task(struct world *w, unsigned task, enum end end)
{
	ck_assert_uint_eq(w->ends[task], NONE);
	w->ends[task] = (uint8_t)end;
}

/* ---- the owner ---------------------------------------------------------- */

static bool publishes(struct world *w)
{
	const struct piece piece = { .index = w->n_published,
				     .n_items = ITEMS };

	if (w->n_published == TASKS ||
	    port_publish(&port, &piece, 0, NULL, 0) < 0)
		return false;
	w->n_published++;
	return true;
}

static bool takes_back(struct world *w)
{
	struct piece piece;

	if (!port_take_back(&port, &piece))
		return false;
	ck_assert_uint_eq(w->begun[piece.index], 0);
	end_task(w, (unsigned)piece.index,
		 w->is_withdrawn[piece.index] ? SKIPPED : BACK);
	return true;
}

static bool cancels(struct world *w, uint64_t i)
{
	unsigned task = task_at(w, i);
	int r;

	if (w->head == w->tail || w->is_withdrawn[task] || w->is_killed[task])
		return false;
	r = port_cancel(&port, i);
	if (r == 1) {
		ck_assert_uint_eq(w->begun[task], 0);
		w->is_withdrawn[task] = 1;
	} else if (r == 2) {
		ck_assert(w->is_running && w->position == i);
		w->is_killed[task] = 1;
	}
	return r != 0;
}

static bool collects(struct world *w)
{
	unsigned task = task_at(w, w->head);
	struct port_output output;

	switch (port_look(&port, &output)) {
	case SIGHT_NOTHING:
		return false;
	case SIGHT_DONE:
		ck_assert_uint_eq(w->finished[task], ITEMS);
		end_task(w, task, DONE);
		break;
	case SIGHT_SKIPPED:
		ck_assert(w->is_withdrawn[task]);
		end_task(w, task, SKIPPED);
		break;
	case SIGHT_BROKEN:
		ck_abort_msg("an honest worker's slot makes no sense");
	}
	port_advance(&port);
	return true;
}

/* ---- the worker: as take_task() and finish_item() of worker.c ----------- */

static struct slot *slot_of(uint64_t position)
{
	return channel_slot(&port.channel, position);
}

static bool looks(struct world *w)
{
	uint64_t word = rig_word(&port, w->position);
	unsigned state = slot_word_state(word);

	if (w->is_dead || w->is_frozen || w->is_running || w->holds_word ||
	    (state != SLOT_QUEUED && state != SLOT_WITHDRAWN))
		return false;
	w->worker_word = word;
	w->holds_word = 1;
	return true;
}

static void claims(struct world *w)
{
	uint32_t tag = slot_word_tag(w->worker_word);
	bool is_skip = slot_word_state(w->worker_word) == SLOT_WITHDRAWN;
	uint64_t to = slot_word(is_skip ? SLOT_SKIPPED : SLOT_RUNNING, tag, 0);

	w->holds_word = 0;
	if (!atomic_compare_exchange_strong(&slot_of(w->position)->word,
					    &w->worker_word, to)) {
		w->worker_word = 0;
		return;
	}
	w->worker_word = to;
	if (is_skip) {
		w->position++;
		w->worker_word = 0;
		return;
	}
	w->is_running = 1;
	w->worker_stage = IN_FUNCTION;
	ck_assert_uint_eq(w->begun[task_at(w, w->position)]++, 0);
}

/* The compare-and-swap at the end of an item was lost; the word is this one. */
static void loses(struct world *w, uint64_t word)
{
	if (w->worker_stage == IN_FUNCTION &&
	    slot_word_state(word) == SLOT_WARNED) {
		w->worker_word = word;
		w->worker_stage = has_signal ? FINDS_WARNING : HAS_NO_SIGNAL;
	} else {
		w->is_frozen = 1;
	}
}

static void takes_signal(struct world *w)
{
	n_taken += w->is_pending;
	w->is_pending = 0;
	w->worker_stage = HAS_NO_SIGNAL;
}

static void finishes(struct world *w)
{
	uint32_t tag = slot_word_tag(w->worker_word);
	uint32_t item = slot_word_item(w->worker_word);
	uint64_t to = slot_word(item + 1 < ITEMS ? SLOT_RUNNING : SLOT_DONE,
				tag, item + 1);
	uint64_t word = w->worker_word;

	if (!atomic_compare_exchange_strong(&slot_of(w->position)->word, &word,
					    to)) {
		loses(w, word);
		return;
	}
	w->worker_stage = IN_FUNCTION;
	w->finished[task_at(w, w->position)]++;
	w->worker_word = to;
	if (item + 1 < ITEMS)
		return;
	w->is_running = 0;
	w->worker_word = 0;
	w->position++;
}

static bool acts(struct world *w)
{
	if (w->is_dead || w->is_frozen || (!w->holds_word && !w->is_running))
		return false;
	if (w->worker_stage == FINDS_WARNING && !w->is_signalled)
		return false; /* it waits for that */
	if (w->holds_word)
		claims(w);
	else if (w->worker_stage == FINDS_WARNING)
		takes_signal(w);
	else
		finishes(w);
	return true;
}

/* ---- the keeper: reads a word, and a while later cuts exactly that ------ */

static bool keeper_looks(struct world *w)
{
	uint64_t word = rig_word(&port, w->position);

	if (w->is_dead || w->keeper_slot != NOTHING || w->keeper_owes ||
	    !is_running_state(slot_word_state(word)))
		return false;
	w->keeper_slot = w->position % SLOTS;
	w->keeper_word = word;
	w->keeper_task = (uint8_t)task_at(w, w->position);
	return true;
}

static void keeper_forgets(struct world *w)
{
	w->keeper_slot = NOTHING;
	w->keeper_word = 0;
	w->keeper_task = 0;
}

/* What it changed is this task, this item, and it has not come further. */
static unsigned right_task(const struct world *w)
{
	unsigned task = task_at(w, w->keeper_slot);

	ck_assert_uint_eq(task, w->keeper_task);
	ck_assert(w->is_running && !w->is_frozen);
	ck_assert_uint_eq(w->position % SLOTS, w->keeper_slot);
	ck_assert_uint_eq(w->finished[task], slot_word_item(w->keeper_word));
	return task;
}

static bool keeper_cuts(struct world *w)
{
	if (w->is_dead || w->keeper_slot == NOTHING || w->keeper_owes)
		return false;
	if (keeper_cut(slot_of(w->keeper_slot), w->keeper_word))
		w->is_cut[right_task(w)] = 1;
	keeper_forgets(w);
	return true;
}

static bool keeper_clears(struct world *w)
{
	if (w->is_dead || w->keeper_slot == NOTHING || w->keeper_owes ||
	    slot_word_state(w->keeper_word) != SLOT_RUNNING)
		return false;
	w->is_signalled = 0;
	w->keeper_owes = 3;
	return true;
}

static bool keeper_warns(struct world *w)
{
	uint64_t word = w->keeper_word;

	if (w->keeper_owes != 3)
		return false;
	w->keeper_owes = 0;
	if (keeper_warn(slot_of(w->keeper_slot), word)) {
		w->is_warned[right_task(w)] = 1;
		w->keeper_owes = has_signal ? 2 : 1;
		w->signal_word = slot_word(SLOT_WARNED, slot_word_tag(word),
					   slot_word_item(word));
	}
	keeper_forgets(w);
	return true;
}

static bool keeper_signals(struct world *w)
{
	if (w->keeper_owes != 2)
		return false;
	w->keeper_owes = 1;
	w->is_pending = !w->is_dead;
	return true;
}

static bool keeper_marks(struct world *w)
{
	if (w->keeper_owes != 1)
		return false;
	w->keeper_owes = 0;
	w->is_signalled = 1;
	return true;
}

/* It may be late; but the item that it was meant for is running still. */
static bool signal_lands(struct world *w)
{
	uint64_t word = rig_word(&port, w->position);

	if (w->is_dead || !w->is_pending || !w->is_running || w->is_frozen ||
	    w->worker_stage != IN_FUNCTION)
		return false;
	ck_assert(slot_word_state(word) == SLOT_WARNED ||
		  slot_word_state(word) == SLOT_CANCELLING);
	ck_assert_uint_eq(slot_word_tag(word), slot_word_tag(w->signal_word));
	ck_assert_uint_eq(slot_word_item(word), slot_word_item(w->signal_word));
	w->is_pending = 0;
	n_landed++;
	return true;
}

/* ---- a death, and what the owner makes of it ---------------------------- */

static void autopsy(struct world *w)
{
	unsigned n_blamed = 0;

	while (collects(w))
		store(w);
	for (uint64_t i = port.head; i != port.tail; i++) {
		unsigned task = task_at(w, i);
		uint32_t item;
		enum slot_state state = port_autopsy(&port, i, &item);

		if (is_running_state(state) || state == SLOT_CANCELLING) {
			n_blamed++;
			ck_assert(w->is_running && w->position == i);
			ck_assert_uint_eq(item, w->finished[task]);
			ck_assert(is_running_state(state) || w->is_cut[task] ||
				  w->is_killed[task]);
			ck_assert(state != SLOT_WARNED || w->is_warned[task]);
			end_task(w, task, BLAMED);
		} else {
			ck_assert(state == SLOT_QUEUED ||
				  state == SLOT_WITHDRAWN ||
				  state == SLOT_SKIPPED);
			ck_assert_uint_eq(w->begun[task], 0);
			end_task(w, task,
				 w->is_withdrawn[task] ? SKIPPED : UNBEGUN);
		}
	}
	ck_assert_uint_eq(n_blamed, w->is_running);
}

static bool dies(struct world *w)
{
	if (w->is_dead)
		return false;
	w->is_dead = 1;
	return true;
}

/* ---- the walk ----------------------------------------------------------- */

static bool act(struct world *w, enum act what)
{
	switch (what) {
	case OWNER_PUBLISHES:
		return publishes(w);
	case OWNER_TAKES_BACK:
		return takes_back(w);
	case OWNER_CANCELS_HEAD:
		return cancels(w, w->head);
	case OWNER_CANCELS_LAST:
		return cancels(w, w->tail - 1ULL);
	case OWNER_COLLECTS:
		return collects(w);
	case WORKER_LOOKS:
		return looks(w);
	case WORKER_ACTS:
		return acts(w);
	case WORKER_DIES:
		return dies(w);
	case KEEPER_LOOKS:
		return keeper_looks(w);
	case KEEPER_CUTS:
		return keeper_cuts(w);
	case KEEPER_CLEARS:
		return keeper_clears(w);
	case KEEPER_WARNS:
		return keeper_warns(w);
	case KEEPER_SIGNALS:
		return keeper_signals(w);
	case KEEPER_MARKS:
		return keeper_marks(w);
	case SIGNAL_LANDS:
		return signal_lands(w);
	case ACTS:
		break;
	}
	return false;
}

/* All published tasks have one end; what was killed or cut was blamed. */
static void check_end(struct world *w)
{
	load(w);
	autopsy(w);
	for (unsigned i = 0; i < w->n_published; i++) {
		ck_assert_uint_ne(w->ends[i], NONE);
		ck_assert_uint_le(w->begun[i], 1);
		if (w->is_cut[i] || w->is_killed[i])
			ck_assert_uint_eq(w->ends[i], BLAMED);
		if (w->is_withdrawn[i])
			ck_assert_uint_eq(w->ends[i], SKIPPED);
		n_ends[w->ends[i]]++;
		n_warned_ends[w->ends[i]] += w->is_warned[i];
	}
}

static uint64_t hash(const struct world *w)
{
	const unsigned char *p = (const unsigned char *)w;
	uint64_t h = 14695981039346656037ULL;

	for (size_t i = 0; i < sizeof(*w); i++)
		h = (h ^ p[i]) * 1099511628211ULL;
	return h ^ h >> 29;
}

/* Remembers it, to be walked on from, unless it is known. */
static void meet(const struct world *w)
{
	uint64_t at = hash(w) % (2ULL * STATES_MAX);

	while (table[at] && memcmp(&seen[table[at] - 1], w, sizeof(*w)) != 0)
		at = (at + 1) % (2ULL * STATES_MAX);
	if (table[at])
		return;
	ck_assert_uint_lt(n_seen, STATES_MAX);
	seen[n_seen] = *w;
	stack[n_stack++] = (uint32_t)n_seen++;
	table[at] = (uint32_t)n_seen;
}

static void walk(void)
{
	while (n_stack > 0) {
		const struct world from = seen[stack[--n_stack]];
		struct world to = from;

		if (from.is_dead) /* the owner may hear of it now, or later */
			check_end(&to);
		for (unsigned what = 0; what < ACTS; what++) {
			to = from;
			load(&to);
			if (!act(&to, (enum act)what))
				continue;
			store(&to);
			meet(&to);
		}
	}
}

static void begin(void)
{
	n_seen = n_stack = 0;
	memset(n_ends, 0, sizeof(n_ends));
	memset(n_warned_ends, 0, sizeof(n_warned_ends));
	n_landed = n_taken = 0;
}

/* Without a signal, and with one. */
START_TEST(test_all_orders)
{
	struct world w;
	int fd;

	has_signal = _i == 1;
	begin();
	memset(&w, 0, sizeof(w));
	w.keeper_slot = NOTHING;
	rig_port(&port, &fd, SLOTS);
	seen = calloc(STATES_MAX, sizeof(*seen));
	stack = calloc(STATES_MAX, sizeof(*stack));
	table = calloc(2ULL * STATES_MAX, sizeof(*table));
	ck_assert(seen && stack && table);
	meet(&w);
	walk();
	printf("%zu states; ends: %u done, %u skipped, %u taken back, %u "
	       "blamed, %u not begun\n",
	       n_seen, n_ends[DONE], n_ends[SKIPPED], n_ends[BACK],
	       n_ends[BLAMED], n_ends[UNBEGUN]);
	for (unsigned i = DONE; i <= UNBEGUN; i++)
		ck_assert_uint_gt(n_ends[i], 0);
	printf("soft deadlines: %u done, %u blamed; signals: %u delivered, %u "
	       "taken\n",
	       n_warned_ends[DONE], n_warned_ends[BLAMED], n_landed, n_taken);
	ck_assert_uint_gt(n_warned_ends[DONE], 0);
	ck_assert_uint_gt(n_warned_ends[BLAMED], 0);
	ck_assert(!has_signal || (n_landed > 0 && n_taken > 0));
	free(seen);
	free(stack);
	free(table);
	port_done(&port);
	close(fd);
}
END_TEST

UNIT_LOOP_MAIN("pool_slots", 2, test_all_orders)
