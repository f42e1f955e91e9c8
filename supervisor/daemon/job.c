/* See job.h. An item hangs on its worker until it is settled; a job is freed
 * with its answer, when no item is open. Beginning may settle all of them at
 * once, so a job is not looked at any more after job_finish().
 */
#include "supervisor/daemon/job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/daemon/daemon.h"
#include "supervisor/daemon/worker.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/log.h"

static void item_settle(struct job_item *item, const char *result,
			const char *sentence)
{
	if (item->worker) {
		LIST_REMOVE(item, entry);
		item->worker = NULL;
		item->job->n_open--;
	}
	item->result = result;
	item->sentence = sentence ? strdup(sentence) : NULL;
}

static struct job *job_free(struct job *job)
{
	if (!job)
		return NULL;
	for (size_t i = 0; i < job->n_items; i++) {
		if (job->items[i].worker)
			LIST_REMOVE(&job->items[i], entry);
		free(job->items[i].name);
		free(job->items[i].sentence);
	}
	hub_disarm(&job->daemon->hub, &job->timeout);
	sd_bus_message_unref(job->request);
	LIST_REMOVE(job, entry);
	free(job->items);
	free(job);
	return NULL;
}

static int append_items(sd_bus_message *reply, const struct job *job)
{
	int r = sd_bus_message_open_container(reply, 'a', "(sss)");

	for (size_t i = 0; i < job->n_items && r >= 0; i++) {
		const struct job_item *item = &job->items[i];

		r = sd_bus_message_append(reply, "(sss)", item->name,
					  item->result,
					  item->sentence ? item->sentence : "");
	}
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* Answers and frees the job when nothing is open any more. */
static void job_finish(struct job *job)
{
	sd_bus_message *reply = NULL;
	int r;

	if (job->n_open > 0)
		return;
	r = sd_bus_message_new_method_return(job->request, &reply);
	if (r >= 0)
		r = append_items(reply, job);
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	if (r < 0)
		r = sd_bus_reply_method_errno(job->request, r, NULL);
	control_answered(job->client, r);
	sd_bus_message_unref(reply);
	job_free(job);
}

/* ---- has the worker come to where it was wanted? ------------------------ */

static const char *why_down(const struct worker *w)
{
	return w->error[0] ? w->error : worker_state_text(w->life.state);
}

static void look_up_item(struct job_item *item, const struct worker *w)
{
	/* restart, recycle: only a run that began after the request counts */
	bool is_new =
		item->job->verb == VERB_START || w->life.starts > item->starts;

	switch (lifecycle_rest(&w->life, w->settings)) {
	case REST_UP:
		if (is_new)
			item_settle(item, RESULT_DONE, NULL);
		break;
	case REST_DOWN:
	case REST_FAILED:
		item_settle(item, RESULT_FAILED, why_down(w));
		break;
	case REST_NO:
		break;
	}
}

static void look_down_item(struct job_item *item, const struct worker *w)
{
	if (w->life.state == STATE_STOPPED)
		item_settle(item, RESULT_DONE, NULL);
	else if (w->life.starts > item->starts)
		item_settle(item, RESULT_FAILED, "started again meanwhile");
}

static void look_at_item(struct job_item *item, const struct worker *w)
{
	if (item->event != 0)
		return;
	if (item->job->verb == VERB_WAIT) {
		if (w->life.state == item->job->state)
			item_settle(item, RESULT_DONE, NULL);
	} else if (item->job->verb == VERB_STOP) {
		look_down_item(item, w);
	} else {
		look_up_item(item, w);
	}
}

void job_worker_feeds(struct worker *w, uint32_t number)
{
	struct job_item *item;

	LIST_FOREACH(item, &w->items, entry)
	{
		if (item->event != number)
			continue;
		item->event = 0;
		item->starts = w->life.starts;
	}
}

void job_worker_changed(struct worker *w)
{
	struct job_item *item = LIST_FIRST(&w->items), *next;

	for (; item; item = next) {
		struct job *job = item->job;

		next = LIST_NEXT(item, entry);
		look_at_item(item, w);
		/* Items of one job hang on different workers: next is of
		 * another job and stays. */
		job_finish(job);
	}
}

void job_worker_leaves(struct worker *w)
{
	while (!LIST_EMPTY(&w->items)) {
		struct job_item *item = LIST_FIRST(&w->items);
		struct job *job = item->job;

		item_settle(item,
			    job->verb == VERB_STOP ? RESULT_DONE
						   : RESULT_FAILED,
			    "removed from the configuration");
		job_finish(job);
	}
}

void job_client_gone(struct client *client)
{
	struct job *job, *next;

	for (job = LIST_FIRST(&client->daemon->control.jobs); job; job = next) {
		next = LIST_NEXT(job, entry);
		if (job->client == client)
			job_free(job);
	}
}

void job_end_all(struct daemon *d)
{
	while (!LIST_EMPTY(&d->control.jobs)) {
		struct job *job = LIST_FIRST(&d->control.jobs);

		(void)sd_bus_reply_method_errorf(job->request,
						 REEVE_ERROR_STOPPING,
						 "reeved is stopping");
		job_free(job);
	}
}

static void on_timeout(struct timer *t, uint64_t now_usec _unused_)
{
	struct job *job = container_of(t, struct job, timeout);

	for (size_t i = 0; i < job->n_items; i++) {
		struct job_item *item = &job->items[i];

		if (item->worker)
			item_settle(
				item, RESULT_TIMEOUT,
				worker_state_name(item->worker->life.state));
	}
	job_finish(job);
}

/* ---- beginning --------------------------------------------------------- */

static struct job *job_new(struct client *client, sd_bus_message *request,
			   enum verb_id verb, struct worker **workers,
			   size_t n_workers)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->daemon = client->daemon;
	job->client = client;
	job->verb = verb;
	job->timeout.on_time = on_timeout;
	job->request = sd_bus_message_ref(request);
	LIST_INSERT_HEAD(&client->daemon->control.jobs, job, entry);
	job->items = calloc(n_workers + 1, sizeof(*job->items));
	if (!job->items)
		return job_free(job);
	for (size_t i = 0; i < n_workers; i++) {
		struct job_item *item = &job->items[job->n_items++];

		item->job = job;
		item->name = strdup(workers[i]->name);
		item->starts = workers[i]->life.starts;
		if (!item->name)
			return job_free(job);
		item->worker = workers[i];
		LIST_INSERT_HEAD(&workers[i]->items, item, entry);
		job->n_open++;
	}
	return job;
}

static bool has_room(const struct client *client)
{
	const struct job *job = LIST_FIRST(&client->daemon->control.jobs);
	size_t n = 0, n_own = 0;

	for (; job; job = LIST_NEXT(job, entry)) {
		n++;
		n_own += job->client == client;
	}
	return n < JOBS_MAX && n_own < JOBS_PER_CLIENT;
}

/* What a verb tells a worker; EVENT_COUNT: nothing, it is there already. */
static enum worker_event event_of(enum verb_id verb, uint32_t flags,
				  const struct worker *w)
{
	if (verb == VERB_STOP) {
		if (w->life.state == STATE_STOPPED && !w->is_queued)
			return EVENT_COUNT;
		if ((flags & VERB_QUICK) || (w->life.state == STATE_STOPPING &&
					     w->life.ending == ENDING_STOP))
			return EVENT_STOP_NOW; /* the second stop */
		return EVENT_STOP;
	}
	if (verb == VERB_RESTART)
		return EVENT_RESTART;
	/* START */
	if (w->life.state == STATE_RUNNING && !w->is_queued)
		return EVENT_COUNT;
	return EVENT_START;
}

static void begin_recycle(struct job_item *item, struct worker *w)
{
	if (w->life.state != STATE_RUNNING) {
		item_settle(item, RESULT_FAILED, "not running");
		return;
	}
	w->recycle_due = true;
	w->daemon->fleet.has_recycle_due = true;
	hub_request_turn(&w->daemon->hub);
}

static void begin_item(struct job_item *item, uint32_t flags)
{
	struct worker *w = item->worker;
	enum verb_id verb = item->job->verb;
	enum worker_event event;

	if (verb == VERB_RECYCLE) {
		begin_recycle(item, w);
	} else {
		event = event_of(verb, flags, w);
		if (event == EVENT_COUNT)
			item_settle(item, RESULT_ALREADY, NULL);
		else if (w->is_leaving && verb != VERB_STOP)
			item_settle(item, RESULT_FAILED, "it is being removed");
		else if (!worker_tell(w, event))
			item_settle(item, RESULT_FAILED,
				    "too many requests for it at once");
		else
			item->event = w->n_told;
	}
	if (item->worker && (flags & VERB_NO_WAIT))
		item_settle(item, RESULT_ACCEPTED, NULL);
}

int job_begin(struct client *client, sd_bus_message *request, enum verb_id verb,
	      uint32_t flags, struct worker **workers, size_t n_workers)
{
	struct job *job;

	if (!has_room(client))
		return -EBUSY;
	job = job_new(client, request, verb, workers, n_workers);
	if (!job)
		return -ENOMEM;
	for (size_t i = 0; i < job->n_items; i++)
		begin_item(&job->items[i], flags);
	job_finish(job);
	return 1;
}

int job_begin_wait(struct client *client, sd_bus_message *request,
		   enum worker_state state, uint64_t timeout_usec,
		   struct worker **workers, size_t n_workers)
{
	struct job *job;

	if (!has_room(client))
		return -EBUSY;
	job = job_new(client, request, VERB_WAIT, workers, n_workers);
	if (!job)
		return -ENOMEM;
	job->state = state;
	for (size_t i = 0; i < job->n_items; i++)
		if (job->items[i].worker->life.state == state)
			item_settle(&job->items[i], RESULT_ALREADY, NULL);
	hub_arm(&client->daemon->hub, &job->timeout,
		usec_add(clock_monotonic_usec(), timeout_usec));
	job_finish(job);
	return 1;
}
