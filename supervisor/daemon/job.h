/* Verbs that wait: a request, the workers it acts on, and what came of each.
 *
 * A job holds its D-Bus request until every worker has come to rest, then
 * answers it with one row per worker and is gone. It looks at a worker only
 * when that changes state or was told something, so waiting costs nothing; and
 * from the moment on at which the worker was fed what the job told it. A
 * client that leaves takes its jobs along; what they began goes on.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <systemd/sd-bus.h>

#include "supervisor/core/states.h"
#include "supervisor/core/verbs.h"
#include "supervisor/daemon/hub.h"

#define JOBS_MAX	256 /* of all clients together */
#define JOBS_PER_CLIENT 32  /* so that no one client takes them all */

struct client;
struct daemon;
struct worker;
struct job;

struct job_item {
	LIST_ENTRY(job_item) entry; /* of the worker's items */
	struct job *job;
	struct worker *worker; /* NULL: settled */
	uint32_t event;	       /* told, not fed yet; 0: nothing is waited for */
	uint64_t starts;       /* of the worker, when the event was fed */
	char *name;
	const char *result; /* RESULT_..., NULL: not yet */
	char *sentence;
};

struct job {
	LIST_ENTRY(job) entry;
	struct daemon *daemon;
	struct client *client;
	sd_bus_message *request;
	enum verb_id verb;
	enum worker_state state; /* of WAIT */
	struct timer timeout;
	struct job_item *items;
	size_t n_items, n_open;
};

LIST_HEAD(job_list, job);

/* Begins verb on workers (read, not kept): tells each its event and answers
 * the request when all are at rest, at once with VERB_NO_WAIT.
 * Returns 1, or -errno: -ENOMEM, -EBUSY (JOBS_MAX, JOBS_PER_CLIENT). */
int job_begin(struct client *client, sd_bus_message *request, enum verb_id verb,
	      uint32_t flags, struct worker **workers, size_t n_workers);

/* The same for WAIT. */
int job_begin_wait(struct client *client, sd_bus_message *request,
		   enum worker_state state, uint64_t timeout_usec,
		   struct worker **workers, size_t n_workers);

/* The event of that number (worker.h: n_told) is about to be fed: what a
 * worker was or did before was not meant by those who told it. */
void job_worker_feeds(struct worker *w, uint32_t number);

/* A worker changed its state, has taken all events, or is about to be freed. */
void job_worker_changed(struct worker *w);
void job_worker_leaves(struct worker *w);

/* Drops the jobs of a client that is gone. */
void job_client_gone(struct client *client);

/* reeved ends: answers all that are still open, with REEVE_ERROR_STOPPING. */
void job_end_all(struct daemon *d);
