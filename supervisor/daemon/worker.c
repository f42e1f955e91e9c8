/* See worker.h. Events come in by worker_tell() and leave by feed(), where one
 * step of the core, the change that shows, and its actions follow each other;
 * nothing else changes a worker's life. What was said by, or of, a process that
 * is gone is dropped here.
 */
#include "supervisor/daemon/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/daemon/daemon.h"
#include "supervisor/daemon/ending.h"
#include "supervisor/daemon/job.h"
#include "supervisor/daemon/start.h"
#include "workers/base/pure/parse.h"
#include "workers/base/pure/str.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"

static void on_deadline(struct timer *t, uint64_t now_usec _unused_)
{
	struct worker *w = container_of(t, struct worker, deadline);

	/* READY and EXTEND that were sent in time come first. */
	inbox_catch_up(w->daemon);
	worker_tell(w, EVENT_TIMEOUT);
}

static void on_watchdog(struct timer *t, uint64_t now_usec _unused_)
{
	struct worker *w = container_of(t, struct worker, watchdog);

	/* A heartbeat may be waiting behind what others have sent. */
	inbox_catch_up(w->daemon);
	if (w->watchdog_usec == 0 || heap_contains(&t->node))
		return;
	log_error("worker=%s pid=%d no WATCHDOG=1 for %.3gs: ending it",
		  w->name, (int)w->pid,
		  (double)w->watchdog_usec / USEC_PER_SEC);
	snprintf(w->error, sizeof(w->error), "watchdog: no sign of life");
	worker_tell(w, EVENT_WATCHDOG);
}

int worker_new(struct daemon *d, struct generation *generation,
	       const struct worker_settings *settings, uint32_t number,
	       struct worker **ret_worker)
{
	struct worker *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->daemon = d;
	w->generation = generation_ref(generation);
	w->settings = settings;
	w->number = number;
	w->pidfd.fd = w->report.fd = w->leaf_events.fd = -1;
	w->deadline.on_time = on_deadline;
	w->watchdog.on_time = on_watchdog;
	capture_init(&w->out, d);
	capture_init(&w->err, d);
	LIST_INIT(&w->items);
	lifecycle_init(&w->life, clock_monotonic_usec());
	r = settings_instance_name(generation->settings, settings, number,
				   &w->name);
	if (r < 0) {
		worker_free(w);
		return r;
	}
	*ret_worker = w;
	return 0;
}

struct worker *worker_free(struct worker *w)
{
	if (!w)
		return NULL;
	reeve_assert(!w->life.has_process && !w->is_queued);
	job_worker_leaves(w);
	hub_disarm(&w->daemon->hub, &w->deadline);
	hub_disarm(&w->daemon->hub, &w->watchdog);
	capture_done(&w->out);
	capture_done(&w->err);
	ending_drop_leaf(w);
	generation_unref(w->generation);
	generation_unref(w->next_generation);
	free(w->status);
	free(w->name);
	free(w);
	return NULL;
}

struct tree_id worker_tree_id(const struct worker *w)
{
	return (struct tree_id){
		/* Reaped by somebody else: its number may be anybody's. */
		.leader = w->leader_is_foreign ? 0 : w->pid,
		.mark_name = TREE_MARK_NAME,
		.mark = w->mark,
	};
}

bool worker_lingers(const struct worker *w)
{
	return w->tree == TREE_LINGERS || w->tree == TREE_ORPHANED;
}

bool worker_is_at_fault(const struct worker *w)
{
	switch (w->life.state) {
	case STATE_BACKOFF:
	case STATE_FATAL:
		return true;
	case STATE_EXITED:
		return w->life.has_exit &&
		       !lifecycle_is_expected(&w->settings->exitcodes,
					      w->life.exit.code);
	case STATE_STOPPED:
	case STATE_STARTING:
	case STATE_RUNNING:
	case STATE_STOPPING:
	case STATE_KILLING:
	case STATE_COUNT:
		break;
	}
	return w->is_unkillable;
}

/* ---- what it tells ----------------------------------------------------- */

bool worker_is_told(const struct worker *w, enum worker_event event)
{
	return memchr(w->pending, (int)event, w->n_pending) != NULL;
}

bool worker_tell(struct worker *w, enum worker_event event)
{
	bool is_verb = event <= EVENT_RECYCLE;

	if (is_verb && w->n_pending >= WORKER_VERBS_MAX)
		return false;
	if (!is_verb && worker_is_told(w, event))
		return true; /* pending already: its fact was renewed */
	reeve_assert(w->n_pending < WORKER_PENDING_MAX);
	w->pending[w->n_pending++] = (uint8_t)event;
	w->n_told++;
	if (!w->is_queued) {
		w->is_queued = true;
		STAILQ_INSERT_TAIL(&w->daemon->fleet.queue, w, queue_entry);
	}
	hub_request_turn(&w->daemon->hub);
	return true;
}

void worker_heartbeat(struct worker *w)
{
	if (w->watchdog_usec > 0 && w->life.state == STATE_RUNNING)
		hub_arm(&w->daemon->hub, &w->watchdog,
			usec_add(clock_monotonic_usec(), w->watchdog_usec));
	else
		hub_disarm(&w->daemon->hub, &w->watchdog);
}

void worker_count_tasks(struct worker *w, uint32_t n)
{
	w->tasks += n;
	if (w->tasks_limit == 0 || w->tasks < w->tasks_limit)
		return;
	w->recycle_due = true;
	w->daemon->fleet.has_recycle_due = true;
	hub_request_turn(&w->daemon->hub);
}

/* ---- what is done about it --------------------------------------------- */

static void take_next_settings(struct worker *w)
{
	if (!w->next_settings)
		return;
	generation_unref(w->generation);
	w->generation = TAKE(w->next_generation);
	w->settings = TAKE(w->next_settings);
	w->number = w->next_number;
	/* The logs may have moved: opened anew by the next start. */
	capture_done(&w->out);
	capture_done(&w->err);
	capture_init(&w->out, w->daemon);
	capture_init(&w->err, w->daemon);
}

void worker_adopt_settings(struct worker *w, struct generation *generation,
			   const struct worker_settings *settings,
			   uint32_t number)
{
	generation_unref(w->next_generation);
	w->next_generation = generation_ref(generation);
	w->next_settings = settings;
	w->next_number = number;
	if (!w->life.has_process)
		take_next_settings(w);
}

static enum worker_event execute(struct worker *w, unsigned actions)
{
	if (actions & ACTION_SPAWN) {
		take_next_settings(w);
		return start_process(w) == 0 ? EVENT_SPAWNED
					     : EVENT_SPAWN_FAILED;
	}
	if (actions & ACTION_ABORT)
		(void)spawn_signal(w->pidfd.fd, SIGABRT);
	if (actions & ACTION_SIGNAL)
		ending_signal(w, w->life.signo);
	if (actions & ACTION_SIGNAL_TREE)
		ending_signal_tree(w, w->life.signo);
	if (actions & ACTION_KILL)
		ending_kill(w);
	if (actions & ACTION_UNKILLABLE) {
		w->is_unkillable = true;
		log_error("worker=%s pid=%d survives SIGKILL (blocked in the "
			  "kernel?); killing again",
			  w->name, (int)w->pid);
	}
	return EVENT_COUNT;
}

static const char *exit_text(const struct worker *w, char *buf, size_t size)
{
	const struct lifecycle *lc = &w->life;
	char name[SIGNAL_NAME_MAX], uptime[USEC_TEXT_MAX];
	const char *core = lc->exit.core ? " core=yes" : "";

	usec_text(lc->exit_uptime_usec, uptime);
	if (w->has_failure)
		snprintf(buf, size, " code=%d error=\"%s\"", lc->exit.code,
			 w->error);
	else if (lc->exit.code < 0)
		snprintf(buf, size, " code=%d signal=%s%s uptime=%s",
			 lc->exit.code, signal_name(-lc->exit.code, name), core,
			 uptime);
	else
		snprintf(buf, size, " code=%d uptime=%s", lc->exit.code,
			 uptime);
	return buf;
}

static enum log_level change_level(const struct worker *w)
{
	if (w->life.state == STATE_FATAL)
		return LOG_LEVEL_ERROR;
	if (worker_is_at_fault(w))
		return LOG_LEVEL_WARNING;
	return LOG_LEVEL_INFO;
}

/* One line per transition: worker, states, pid, exit, uptime, what next. */
static void log_change(const struct worker *w, enum worker_state from,
		       pid_t pid, bool ended)
{
	const struct lifecycle *lc = &w->life;
	char end[WORKER_ERROR_MAX + 64] = "", next[48] = "", pid_text[24] = "";
	char span[USEC_TEXT_MAX];

	if (ended)
		exit_text(w, end, sizeof(end));
	if (pid > 0)
		snprintf(pid_text, sizeof(pid_text), " pid=%d", (int)pid);
	if (lc->state == STATE_BACKOFF)
		snprintf(
			next, sizeof(next), " next=%s",
			usec_text(usec_sub(lc->deadline_usec, lc->changed_usec),
				  span));
	log_write(change_level(w), "worker=%s state=%s from=%s%s%s%s%s",
		  w->name, worker_state_name(lc->state),
		  worker_state_name(from), pid_text, end,
		  lc->is_recycling ? " recycle=yes" : "", next);
}

/* The one place where a change of state shows. */
static void worker_changed(struct worker *w, enum worker_state from, pid_t pid,
			   bool ended)
{
	log_change(w, from, pid, ended);
	if (w->life.state == STATE_RUNNING)
		w->error[0] = '\0';
	worker_heartbeat(w);
	job_worker_changed(w);
	control_state_changed(w, from);
	daemon_note_rest(w->daemon, w);
}

/* The process and its tree are gone: let go of what was its. */
static void forget_process(struct worker *w)
{
	struct hub *h = &w->daemon->hub;
	int pidfd = w->pidfd.fd, report = w->report.fd;

	capture_drain(&w->out);
	capture_drain(&w->err);
	fleet_pid_removed(&w->daemon->fleet, w);
	hub_unwatch(h, &w->pidfd);
	hub_unwatch(h, &w->report);
	fd_close(pidfd);
	fd_close(report);
	w->pid = 0;
	ending_spare(w);
	w->tree = TREE_LED;
	w->leader_is_foreign = w->is_unkillable = false;
}

static void word_end(struct worker *w)
{
	const struct lifecycle_exit *e = &w->life.exit;
	char name[SIGNAL_NAME_MAX];

	if (w->error[0] != '\0')
		return;
	if (e->code < 0)
		snprintf(w->error, sizeof(w->error), "killed by %s%s",
			 signal_name(-e->code, name),
			 e->core ? " (core dumped)" : "");
	else if (e->code > 0)
		snprintf(w->error, sizeof(w->error), "exited with code %d",
			 e->code);
}

/* A deadline that was moved or taken back meanwhile is no deadline. */
static bool is_stale(const struct worker *w, enum worker_event event,
		     uint64_t now_usec)
{
	if (event == EVENT_TIMEOUT)
		return w->life.deadline_usec > now_usec;
	if (event == EVENT_GONE || event == EVENT_LEADER_EXIT)
		return !w->life.has_process;
	return false;
}

void worker_abandon(struct worker *w)
{
	if (worker_lingers(w))
		LIST_REMOVE(w, linger_entry);
	if (w->life.has_process) {
		ending_kill_now(w);
		forget_process(w);
		w->life.has_process = false;
	}
	w->is_queued = false;
}

/* Feeds one event, and what its actions answer, until nothing follows. */
static void feed(struct worker *w, enum worker_event event)
{
	while (event != EVENT_COUNT) {
		enum worker_state from = w->life.state;
		uint64_t now = clock_monotonic_usec();
		bool ended = event == EVENT_GONE;
		pid_t pid = w->pid;
		unsigned actions;

		if (is_stale(w, event, now))
			break;
		if (ended)
			forget_process(w);
		w->fact.exit.is_exec_failure = w->has_failure;
		actions = lifecycle_step(&w->life, w->settings, event, &w->fact,
					 &w->daemon->rng, now);
		if (ended)
			word_end(w);
		/* With restart_delay = 0 a failed start is a start again: the
		 * end shows all the same. */
		if (w->life.state != from || ended)
			worker_changed(w, from, pid, ended);
		event = execute(w, actions);
	}
	hub_arm(&w->daemon->hub, &w->deadline, w->life.deadline_usec);
}

void worker_handle(struct worker *w)
{
	uint8_t events[WORKER_PENDING_MAX];
	size_t n = w->n_pending;
	uint32_t first = w->n_told - (uint32_t)n + 1;
	bool gone = false;

	memcpy(events, w->pending, n);
	w->n_pending = 0;
	for (size_t i = 0; i < n; i++) {
		/* What a process said is not for the one that replaced it. */
		if (gone && events[i] > EVENT_RECYCLE)
			continue;
		gone = gone || events[i] == EVENT_GONE;
		job_worker_feeds(w, first + (uint32_t)i);
		feed(w, events[i]);
	}
	if (!w->life.has_process)
		take_next_settings(w);
	/* What changed nothing, as START of one that runs, is done, too. */
	job_worker_changed(w);
}
