/* Two records and a sequence number each: see progress.h. What is read may be
 * anything: it is bounded here, and compared with the slot's word by who asks. */
#include "workers/pool/progress.h"

#include <string.h>

#include "workers/pool/pool.h"

/* A writer that is faster than that has written twice meanwhile, each time. */
#define READS_MAX 100

_Static_assert(sizeof(struct progress_note) % sizeof(uint64_t) == 0,
	       "a note is copied word by word");

void progress_write(struct progress_board *board,
		    const struct progress_note *note)
{
	uint32_t next =
		~atomic_load_explicit(&board->latest, memory_order_relaxed) & 1;
	struct progress_record *r = &board->records[next];
	/* odd, also when it is so already: a signal handler jumped out of here */
	uint64_t sequence =
		atomic_load_explicit(&r->sequence, memory_order_relaxed) | 1;
	uint64_t words[PROGRESS_WORDS];

	memcpy(words, note, sizeof(words));
	atomic_store_explicit(&r->sequence, sequence + 2, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	for (size_t i = 0; i < PROGRESS_WORDS; i++)
		atomic_store_explicit(&r->words[i], words[i],
				      memory_order_relaxed);
	atomic_store_explicit(&r->sequence, sequence + 3, memory_order_release);
	atomic_store_explicit(&board->latest, next, memory_order_release);
}

static bool read_once(const struct progress_board *board, uint64_t *words)
{
	uint32_t latest =
		atomic_load_explicit(&board->latest, memory_order_acquire) & 1;
	const struct progress_record *r = &board->records[latest];
	uint64_t sequence =
		atomic_load_explicit(&r->sequence, memory_order_acquire);

	for (size_t i = 0; i < PROGRESS_WORDS; i++)
		words[i] = atomic_load_explicit(&r->words[i],
						memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	return (sequence & 1) == 0 &&
	       atomic_load_explicit(&r->sequence, memory_order_relaxed) ==
		       sequence;
}

bool progress_read(const struct progress_board *board,
		   struct progress_note *ret)
{
	uint64_t words[PROGRESS_WORDS];

	for (int i = 0; i < READS_MAX; i++) {
		if (!read_once(board, words))
			continue;
		memcpy(ret, words, sizeof(words));
		ret->progress.text[REEVE_PROGRESS_MAX - 1] = '\0';
		return true;
	}
	return false;
}

/* ---- the owner's ------------------------------------------------------------- */

/* The port and slot where this job is running. */
static struct port *find_running(const struct engine *e, const struct job *job,
				 uint64_t *ret_i)
{
	for (unsigned i = 0; i < e->n_ports; i++)
		if (port_find_running(&e->ports[i], ret_i) &&
		    port_piece(&e->ports[i], *ret_i)->job == job)
			return &e->ports[i];
	return NULL;
}

/* Has the task that runs there said anything that its owner has not been told? */
static struct reeve_result *find_news(const struct port *port,
				      struct progress_note *ret)
{
	struct reeve_result *r;
	uint64_t i;

	if (!port_find_running(port, &i))
		return NULL;
	r = result_of_job(port_piece(port, i)->job);
	return r && r->progress_callback && port_progress(port, i, ret) &&
			       ret->progress.n_reports != r->n_told
		       ? r
		       : NULL;
}

void progress_call_back(struct reeve_pool *pool)
{
	pool->is_progress_due = false;
	for (unsigned i = 0; i < pool->engine.n_ports; i++) {
		struct progress_note note;
		struct reeve_result *r =
			find_news(&pool->engine.ports[i], &note);

		if (!r)
			continue;
		r->n_told = note.progress.n_reports;
		(void)reeve_result_ref(r);
		pool_begin_callback(pool);
		r->progress_callback(r, &note.progress, r->userdata);
		pool_end_callback(pool);
		result_release(r);
	}
}

int reeve_result_progress(struct reeve_result *r,
			  struct reeve_progress *ret_progress)
{
	struct progress_note note;
	const struct port *p;
	uint64_t i;
	int error = r && ret_progress ? pool_enter(r->pool) : -EINVAL;

	if (error < 0)
		return error;
	p = r->map ? NULL : find_running(&r->pool->engine, &r->job, &i);
	error = p && port_progress(p, i, &note);
	if (error == 1)
		*ret_progress = note.progress;
	pool_leave(r->pool);
	return error;
}
