/* See methods.h. on_verb() is the one door: it finds the row of the verb, asks
 * who may, and calls the handler of the table at the end. Handlers read their
 * arguments, then act; a request that is wrong changes nothing.
 */
#include "supervisor/daemon/methods.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/core/plan.h"
#include "supervisor/core/select.h"
#include "supervisor/daemon/daemon.h"
#include "supervisor/daemon/job.h"
#include "supervisor/daemon/objects.h"
#include "supervisor/daemon/reload.h"
#include "supervisor/daemon/worker.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"

#define PATTERNS_MAX 4096 /* names in one request */

struct request {
	struct client *client;
	struct daemon *daemon;
	sd_bus_message *message;
	sd_bus_error *error;
	enum verb_id verb;
};

/* The workers that a request names, each once, in the fleet's order. */
struct selection {
	struct worker **workers;
	size_t n_workers;
};

static void selection_done(struct selection *s)
{
	free(s->workers);
}

static bool matches(const struct worker *w, const char *pattern)
{
	return select_matches(pattern, w->name, w->settings->group_name,
			      w->settings->name);
}

static int check_pattern(const struct request *rq, const char *pattern)
{
	const struct fleet *f = &rq->daemon->fleet;

	if (!select_is_exact(pattern))
		return 0;
	for (size_t i = 0; i < f->n_workers; i++)
		if (matches(f->workers[i], pattern))
			return 0;
	return sd_bus_error_setf(rq->error, REEVE_ERROR_NO_SUCH_WORKER,
				 "no worker or group \"%s\"; `reeve status` "
				 "shows what there is",
				 pattern);
}

/* No pattern at all: everybody, where the verb allows it. */
static int select_all(const struct request *rq, char **patterns,
		      struct selection *ret)
{
	const struct fleet *f = &rq->daemon->fleet;
	size_t n_patterns = 0;
	int r;

	for (; patterns && patterns[n_patterns]; n_patterns++) {
		if (n_patterns >= PATTERNS_MAX)
			return -E2BIG;
		r = check_pattern(rq, patterns[n_patterns]);
		if (r < 0)
			return r;
	}
	if (n_patterns == 0 && rq->verb != VERB_STATUS)
		return sd_bus_error_setf(rq->error, REEVE_ERROR_INVALID,
					 "no worker named; \"all\" means all");
	ret->workers = calloc(f->n_workers + 1, sizeof(struct worker *));
	if (!ret->workers)
		return -ENOMEM;
	for (size_t i = 0; i < f->n_workers; i++) {
		bool hit = n_patterns == 0;

		for (size_t k = 0; k < n_patterns && !hit; k++)
			hit = matches(f->workers[i], patterns[k]);
		if (hit)
			ret->workers[ret->n_workers++] = f->workers[i];
	}
	return 0;
}

static int read_selection(const struct request *rq, struct selection *ret)
{
	char **patterns = NULL;
	int r = sd_bus_message_read_strv(rq->message, &patterns);

	if (r >= 0)
		r = select_all(rq, patterns, ret);
	for (char **p = patterns; p && *p; p++)
		free(*p);
	free(patterns);
	return r;
}

/* Started by priority upwards, stopped downwards. */
static int order_selection(struct selection *sel, enum verb_id verb)
{
	struct plan_entry *order = calloc(sel->n_workers + 1, sizeof(*order));
	struct worker **sorted =
		calloc(sel->n_workers + 1, sizeof(struct worker *));
	int r = order && sorted ? 0 : -ENOMEM;

	for (size_t i = 0; i < sel->n_workers && r == 0; i++)
		order[i] = (struct plan_entry){
			sel->workers[i]->settings->priority,
			(uint32_t)i,
		};
	if (r == 0 && verb == VERB_STOP)
		plan_order_stop(order, sel->n_workers);
	else if (r == 0)
		plan_order_start(order, sel->n_workers);
	for (size_t i = 0; i < sel->n_workers && r == 0; i++)
		sorted[i] = sel->workers[order[i].position];
	free(order);
	if (r < 0) {
		free(sorted);
		return r;
	}
	free(sel->workers);
	sel->workers = sorted;
	return 0;
}

static int refuse_when_stopping(const struct request *rq)
{
	if (rq->daemon->phase != PHASE_STOPPING)
		return 0;
	return sd_bus_error_setf(rq->error, REEVE_ERROR_STOPPING,
				 "reeved is stopping");
}

/* ---- List -------------------------------------------------------------- */

static uint32_t list_flags(const struct worker *w)
{
	const struct lifecycle *lc = &w->life;
	const struct worker_settings *ws = w->settings;
	uint32_t flags = 0;

	if (lc->has_exit)
		flags |= LIST_HAS_EXIT;
	if (lc->has_exit && lc->exit.core)
		flags |= LIST_CORE;
	if (lc->has_exit &&
	    lifecycle_is_expected(&ws->exitcodes, lc->exit.code))
		flags |= LIST_EXPECTED;
	if (lifecycle_is_wanted(lc))
		flags |= LIST_WANTED;
	if (ws->essential)
		flags |= LIST_ESSENTIAL;
	if (w->is_unkillable)
		flags |= LIST_UNKILLABLE;
	if (ws->type == WORKER_ONESHOT)
		flags |= LIST_ONESHOT;
	if (worker_is_at_fault(w))
		flags |= LIST_FAULT;
	return flags;
}

/* Half the price of sd_bus_message_append(): it matters, times thousands. */
static int append_strings(sd_bus_message *reply, const char *const *strings,
			  size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r >= 0; i++)
		r = sd_bus_message_append_basic(reply, 's', strings[i]);
	return r;
}

static int append_row(sd_bus_message *reply, const struct worker *w,
		      uint64_t now)
{
	const struct lifecycle *lc = &w->life;
	const struct worker_settings *ws = w->settings;
	const uint64_t numbers[LIST_NUMBER_COUNT] = {
		[LIST_PID] = lc->has_process ? (uint64_t)w->pid : 0,
		[LIST_STATE_AGE] = usec_sub(now, lc->changed_usec),
		[LIST_UPTIME] =
			lc->has_process ? usec_sub(now, lc->spawned_usec) : 0,
		[LIST_NEXT_START] = lc->state == STATE_BACKOFF
					    ? usec_sub(lc->deadline_usec, now)
					    : 0,
		[LIST_RESTARTS] = lc->restarts,
		[LIST_RECYCLES] = lc->recycles,
		[LIST_FAILURES] = lc->crashes,
		[LIST_TASKS] = w->tasks,
		[LIST_FLAGS] = list_flags(w),
		[LIST_EXIT_CODE] = (uint64_t)(int64_t)lc->exit.code,
		[LIST_EXIT_AGE] =
			lc->has_exit ? usec_sub(now, lc->exit_usec) : 0,
		[LIST_EXIT_UPTIME] = lc->exit_uptime_usec,
	};
	const char *const names[] = { w->name, ws->group_name,
				      worker_state_name(lc->state) };
	const char *const words[] = { w->status ? w->status : "", w->error };
	int r;

	r = sd_bus_message_open_container(reply, 'r', "sssatss");
	if (r >= 0)
		r = append_strings(reply, names, ARRAY_SIZE(names));
	if (r >= 0)
		r = sd_bus_message_append_array(reply, 't', numbers,
						sizeof(numbers));
	if (r >= 0)
		r = append_strings(reply, words, ARRAY_SIZE(words));
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int on_list(struct request *rq)
{
	_cleanup_(selection_done) struct selection sel = { 0 };
	sd_bus_message *reply = NULL;
	uint64_t now = clock_monotonic_usec();
	uint64_t n_queued = 0;
	int r;

	(void)sd_bus_get_n_queued_write(rq->client->bus, &n_queued);
	if (n_queued > CONTROL_BUSY_MAX)
		return sd_bus_error_setf(rq->error, REEVE_ERROR_BUSY,
					 "read the earlier answers first");
	r = read_selection(rq, &sel);
	if (r < 0)
		return r;
	r = sd_bus_message_new_method_return(rq->message, &reply);
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', VERB_LIST_ROW);
	for (size_t i = 0; i < sel.n_workers && r >= 0; i++)
		r = append_row(reply, sel.workers[i], now);
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	sd_bus_message_unref(reply);
	return r < 0 ? r : 1;
}

/* ---- acting on workers -------------------------------------------------- */

static int on_action(struct request *rq)
{
	_cleanup_(selection_done) struct selection sel = { 0 };
	uint32_t flags;
	int r;

	r = read_selection(rq, &sel);
	if (r < 0)
		return r;
	r = sd_bus_message_read(rq->message, "u", &flags);
	if (r < 0)
		return r;
	if (rq->verb != VERB_STOP) {
		r = refuse_when_stopping(rq);
		if (r < 0)
			return r;
	}
	r = order_selection(&sel, rq->verb);
	if (r < 0)
		return r;
	return job_begin(rq->client, rq->message, rq->verb, flags, sel.workers,
			 sel.n_workers);
}

static int signal_one(sd_bus_message *reply, struct worker *w, int signo)
{
	int r = -ESRCH;

	if (w->life.has_process && w->tree == TREE_LED)
		r = spawn_signal(w->pidfd.fd, signo);
	if (r == 0)
		return sd_bus_message_append(reply, "(sss)", w->name,
					     RESULT_DONE, "");
	return sd_bus_message_append(reply, "(sss)", w->name, RESULT_FAILED,
				     r == -ESRCH ? "not running"
						 : strerror(-r));
}

static int on_signal(struct request *rq)
{
	_cleanup_(selection_done) struct selection sel = { 0 };
	sd_bus_message *reply = NULL;
	int32_t signo;
	int r;

	r = read_selection(rq, &sel);
	if (r >= 0)
		r = sd_bus_message_read(rq->message, "i", &signo);
	if (r < 0)
		return r;
	if (signo < 1 || signo > SIGRTMAX)
		return sd_bus_error_setf(rq->error, REEVE_ERROR_INVALID,
					 "no signal has the number %d",
					 (int)signo);
	r = sd_bus_message_new_method_return(rq->message, &reply);
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "(sss)");
	for (size_t i = 0; i < sel.n_workers && r >= 0; i++)
		r = signal_one(reply, sel.workers[i], signo);
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	sd_bus_message_unref(reply);
	return r < 0 ? r : 1;
}

static int on_wait(struct request *rq)
{
	_cleanup_(selection_done) struct selection sel = { 0 };
	enum worker_state state;
	uint64_t timeout_usec;
	const char *name;
	int r;

	r = read_selection(rq, &sel);
	if (r >= 0)
		r = sd_bus_message_read(rq->message, "st", &name,
					&timeout_usec);
	if (r < 0)
		return r;
	r = worker_state_from_name(name, &state);
	if (r < 0)
		return sd_bus_error_setf(rq->error, REEVE_ERROR_INVALID,
					 "no state \"%s\"; there are STOPPED, "
					 "STARTING, RUNNING, BACKOFF, "
					 "STOPPING, KILLING, EXITED, FATAL",
					 name);
	return job_begin_wait(rq->client, rq->message, state, timeout_usec,
			      sel.workers, sel.n_workers);
}

/* ---- the others --------------------------------------------------------- */

static int on_reload(struct request *rq)
{
	uint32_t flags;
	int r = sd_bus_message_read(rq->message, "u", &flags);

	if (r < 0)
		return r;
	r = refuse_when_stopping(rq);
	if (r < 0)
		return r;
	r = reload_begin(rq->daemon, rq->client, rq->message,
			 flags & VERB_DRY_RUN);
	if (r == -EBUSY)
		return sd_bus_error_setf(rq->error, REEVE_ERROR_BUSY,
					 "another reload is under way");
	return r < 0 ? r : 1;
}

static const char *log_path(const struct worker *w, const char *stream)
{
	const struct worker_settings *ws = w->settings;
	bool want_err = strcmp(stream, "stderr") == 0;
	const struct capture *c = &w->out;

	if (want_err && !ws->redirect_stderr)
		c = &w->err;
	return c->file ? c->file->path : NULL;
}

static int on_open_log(struct request *rq)
{
	_cleanup_(fd_closep) int fd = -1;
	const char *name, *stream, *path;
	const struct worker *w;
	int r;

	r = sd_bus_message_read(rq->message, "ss", &name, &stream);
	if (r < 0)
		return r;
	w = fleet_by_name(&rq->daemon->fleet, name);
	if (!w)
		return sd_bus_error_setf(rq->error, REEVE_ERROR_NO_SUCH_WORKER,
					 "no worker \"%s\"; `reeve status` "
					 "shows what there is",
					 name);
	path = log_path(w, stream);
	if (!path)
		return sd_bus_error_setf(rq->error, REEVE_ERROR_NOT_CAPTURED,
					 "%s of %s is not captured, or it was "
					 "never started (see %s_logfile)",
					 stream, name, stream);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return sd_bus_error_setf(rq->error, REEVE_ERROR_NOT_CAPTURED,
					 "cannot open %s: %s", path,
					 strerror(errno));
	return sd_bus_reply_method_return(rq->message, "hs", fd, path);
}

static int on_reopen(struct request *rq)
{
	daemon_reopen_logs(rq->daemon);
	return sd_bus_reply_method_return(rq->message, "");
}

static void append_config_row(void *userdata, const char *section,
			      const char *key, const char *value,
			      const char *origin)
{
	(void)sd_bus_message_append(userdata, "(ssss)", section, key, value,
				    origin);
}

static int on_config(struct request *rq)
{
	const struct settings *s = rq->daemon->generation->settings;
	sd_bus_message *reply = NULL;
	uint32_t flags;
	int r;

	r = sd_bus_message_read(rq->message, "u", &flags);
	if (r < 0)
		return r;
	if ((flags & VERB_SECRETS) && !control_may(rq->client, ACCESS_OWNER))
		return sd_bus_error_setf(rq->error, SD_BUS_ERROR_ACCESS_DENIED,
					 "values of environment= are for the "
					 "owner of reeved only");
	r = sd_bus_message_new_method_return(rq->message, &reply);
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "(ssss)");
	if (r >= 0)
		r = conf_dump(s, flags & VERB_SECRETS, append_config_row,
			      reply);
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	sd_bus_message_unref(reply);
	return r < 0 ? r : 1;
}

static int on_shutdown(struct request *rq)
{
	uint32_t flags;
	int r = sd_bus_message_read(rq->message, "u", &flags);

	if (r < 0)
		return r;
	log_notice("shutdown asked for by uid %d", (int)rq->client->uid);
	daemon_stop(rq->daemon, DAEMON_EXIT_OK, flags & VERB_QUICK);
	return sd_bus_reply_method_return(rq->message, "");
}

/* ---- the table ---------------------------------------------------------- */

static int (*const handlers[VERB_COUNT])(struct request *rq) = {
	[VERB_STATUS] = on_list,    [VERB_START] = on_action,
	[VERB_STOP] = on_action,    [VERB_RESTART] = on_action,
	[VERB_RECYCLE] = on_action, [VERB_SIGNAL] = on_signal,
	[VERB_WAIT] = on_wait,	    [VERB_RELOAD] = on_reload,
	[VERB_LOGS] = on_open_log,  [VERB_REOPEN] = on_reopen,
	[VERB_CONFIG] = on_config,  [VERB_SHUTDOWN] = on_shutdown,
};

/* The one door: find the row, check who may, call. */
static int on_verb(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct client *c = userdata;
	const struct verb *v = verb_by_member(sd_bus_message_get_member(m));
	struct request rq = { c, c->daemon, m, error, VERB_COUNT };

	if (!v)
		return -EBADMSG;
	rq.verb = (enum verb_id)(v - verb_table);
	if (!control_may(c, v->access)) {
		log_notice("refused %s to uid %d", v->member, (int)c->uid);
		return sd_bus_error_setf(
			error, SD_BUS_ERROR_ACCESS_DENIED,
			"%s is not for you: ask an administrator to do it, or "
			"to make you a member of control_group",
			v->word);
	}
	return handlers[rq.verb](&rq);
}

/* Rows with a member only; the others make an empty flag-less method that
 * would be wrong, so the vtable is built at first use. */
static sd_bus_vtable vtable[VERB_COUNT + OBJECTS_MANAGER_ROWS + 2];

static const sd_bus_vtable *build_vtable(void)
{
	const sd_bus_vtable start[] = { SD_BUS_VTABLE_START(0) };
	const sd_bus_vtable end[] = { SD_BUS_VTABLE_END };
	size_t n = 0;

	if (vtable[0].type != 0)
		return vtable;
	vtable[n++] = start[0];
	for (size_t i = 0; i < VERB_COUNT; i++) {
		const struct verb *v = &verb_table[i];

		if (!v->member)
			continue;
		vtable[n++] = (sd_bus_vtable)SD_BUS_METHOD(
			v->member, v->in, v->out, on_verb,
			SD_BUS_VTABLE_UNPRIVILEGED);
	}
	n += objects_manager_rows(vtable + n);
	vtable[n] = end[0];
	return vtable;
}

int methods_attach(struct client *c)
{
	int r;

	r = sd_bus_add_object_vtable(c->bus, &c->slots[0], REEVE_BUS_PATH,
				     REEVE_BUS_INTERFACE, build_vtable(), c);
	if (r < 0)
		return r;
	return objects_attach_workers(c);
}
