/* See reload.h. Three stages: a helper looks and answers through a pipe; the
 * plan is made and all memory it needs is reserved; it is applied, and from
 * there on nothing can fail. Until then each way out frees the reload and
 * leaves the fleet as it was.
 */
#include "supervisor/daemon/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "conf/conf.h"
#include "supervisor/core/plan.h"
#include "supervisor/daemon/daemon.h"
#include "supervisor/daemon/names.h"
#include "supervisor/daemon/reload_plan.h"
#include "supervisor/daemon/worker.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"

struct reload {
	struct daemon *daemon;
	struct client *client; /* NULL: SIGHUP, or it has gone */
	sd_bus_message *request;
	bool dry_run;
	char *path;
	struct watch pipe;
	int helper_pidfd;
	struct timer timeout;
	struct names names;
};

static struct reload *reload_free(struct reload *rl)
{
	int pipe_fd;

	if (!rl)
		return NULL;
	pipe_fd = rl->pipe.fd;
	hub_unwatch(&rl->daemon->hub, &rl->pipe);
	fd_close(pipe_fd);
	hub_disarm(&rl->daemon->hub, &rl->timeout);
	/* A helper that hangs is killed; as a stray it is reaped when it can. */
	if (rl->helper_pidfd >= 0)
		(void)spawn_signal(rl->helper_pidfd, SIGKILL);
	fd_close(rl->helper_pidfd);
	sd_bus_message_unref(rl->request);
	buf_done(&rl->names.text);
	free(rl->path);
	free(rl);
	return NULL;
}

static void reload_end(struct daemon *d)
{
	d->reload = reload_free(d->reload);
	(void)sd_notifyf(0, "READY=1\nSTATUS=Supervising %zu workers",
			 d->fleet.n_workers - d->fleet.n_leaving);
	if (!d->reload_again)
		return;
	d->reload_again = false;
	if (reload_begin(d, NULL, NULL, false) < 0)
		log_error("cannot reload once more");
}

void reload_client_gone(struct daemon *d, struct client *client)
{
	if (!d->reload || d->reload->client != client)
		return;
	d->reload->client = NULL;
	d->reload->request = sd_bus_message_unref(d->reload->request);
}

/* ---- telling ------------------------------------------------------------- */

static void tell_error(struct reload *rl, const char *name, const char *text)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;

	log_error("reload refused, the old configuration stays: %s", text);
	if (!rl->request)
		return;
	(void)sd_bus_error_set(&error, name, text);
	control_answered(rl->client,
			 sd_bus_reply_method_error(rl->request, &error));
	sd_bus_error_free(&error);
}

static void tell_report(struct reload *rl, const struct conf_report *report)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (f) {
		conf_report_print(report, f);
		fclose(f);
	}
	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	tell_error(rl, REEVE_ERROR_CONFIG, text ? text : "out of memory");
	free(text);
}

static int append_plan(sd_bus_message *reply, const struct reload_plan *plan)
{
	int r = sd_bus_message_open_container(reply, 'a', "(sss)");

	for (size_t i = 0; i < plan->n_rows && r >= 0; i++) {
		const struct reload_row *row = &plan->rows[i];

		if (row->action == RELOAD_KEEP)
			continue;
		r = sd_bus_message_append(reply, "(sss)",
					  reload_plan_word(row->action),
					  row->name,
					  row->detail ? row->detail : "");
	}
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* "reeve.ini:7: what is odd there" */
static char *word_warning(const struct conf_message *m)
{
	const char *file = m->file ? m->file : "configuration";
	char *text = NULL;
	int n;

	if (m->line > 0)
		n = asprintf(&text, "%s:%d: %s", file, m->line, m->text);
	else
		n = asprintf(&text, "%s: %s", file, m->text);
	return n < 0 ? NULL : text;
}

static int append_warnings(sd_bus_message *reply,
			   const struct conf_report *report, const char *extra)
{
	int r = sd_bus_message_open_container(reply, 'a', "s");

	for (size_t i = 0; i < report->n_messages && r >= 0; i++) {
		_cleanup_(free_pointer) char *text =
			word_warning(&report->messages[i]);

		r = text ? sd_bus_message_append(reply, "s", text) : -ENOMEM;
	}
	if (extra && r >= 0)
		r = sd_bus_message_append(reply, "s", extra);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static void log_warnings(const struct conf_report *report)
{
	for (size_t i = 0; i < report->n_messages; i++) {
		_cleanup_(free_pointer) char *text =
			word_warning(&report->messages[i]);

		if (text)
			log_warning("%s", text);
	}
}

static void tell_plan(struct reload *rl, const struct reload_plan *plan,
		      const struct conf_report *report, const char *extra)
{
	sd_bus_message *reply = NULL;
	int r;

	log_warnings(report);
	if (!rl->request)
		return;
	r = sd_bus_message_new_method_return(rl->request, &reply);
	if (r >= 0)
		r = append_plan(reply, plan);
	if (r >= 0)
		r = append_warnings(reply, report, extra);
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	if (r < 0)
		r = sd_bus_reply_method_errno(rl->request, r, NULL);
	control_answered(rl->client, r);
	sd_bus_message_unref(reply);
}

/* ---- applying ------------------------------------------------------------ */

/* The process goes on, with a new object of what it was started with. A
 * worker that waits for its end, to be started anew, takes that one then. */
static void keep_worker(const struct reload_row *row, struct generation *g)
{
	struct worker *w = row->worker;

	if (w->next_settings) {
		worker_adopt_settings(w, g, row->settings, row->number);
		return;
	}
	generation_ref(g);
	generation_unref(w->generation);
	w->generation = g;
	w->settings = row->settings;
	w->number = row->number;
}

static void limit_logs(struct worker *w, const struct worker_settings *ws)
{
	const struct log_settings *out = &ws->stdout_log;
	const struct log_settings *err = &ws->stderr_log;

	if (w->out.file)
		logfile_limit(w->out.file, out->maxbytes, out->backups);
	if (w->err.file)
		logfile_limit(w->err.file, err->maxbytes, err->backups);
}

/* What has failed for good is tried again when it was changed; what an
 * operator stopped is not. */
static bool is_to_run(const struct worker *w)
{
	return lifecycle_is_wanted(&w->life) || w->life.state == STATE_FATAL;
}

static void apply_to_worker(const struct reload_row *row, struct generation *g)
{
	struct worker *w = row->worker;
	bool was_leaving = w->is_leaving;

	if (row->action == RELOAD_RESTART)
		worker_adopt_settings(w, g, row->settings, row->number);
	else
		keep_worker(row, g);
	if (row->action != RELOAD_KEEP)
		limit_logs(w, row->settings);
	if (was_leaving) {
		w->is_leaving = false;
		w->daemon->fleet.n_leaving--;
	}
	if (row->action == RELOAD_RESTART && is_to_run(w))
		(void)worker_tell(w, EVENT_RESTART);
	else if (was_leaving && row->settings->autostart)
		(void)worker_tell(w, EVENT_START);
}

static void apply_row(struct daemon *d, const struct reload_row *row,
		      struct generation *g, struct worker *new)
{
	if (row->action != RELOAD_KEEP)
		log_info("reload: %s worker=%s%s%s",
			 reload_plan_word(row->action), row->name,
			 row->detail ? " changed=" : "",
			 row->detail ? row->detail : "");
	if (row->action == RELOAD_ADD) {
		fleet_add(&d->fleet, new);
		if (row->settings->autostart)
			(void)worker_tell(new, EVENT_START);
	} else if (row->action == RELOAD_REMOVE) {
		row->worker->is_leaving = true;
		d->fleet.n_leaving++;
		(void)worker_tell(row->worker, EVENT_STOP);
	} else {
		apply_to_worker(row, g);
	}
}

static void free_workers(struct worker **workers, size_t n)
{
	for (size_t i = 0; i < n && workers; i++)
		worker_free(workers[i]);
	free(workers);
}

/* The rows by priority: what is started is told so in this order. */
static struct plan_entry *order_rows(const struct reload_plan *plan)
{
	struct plan_entry *order = calloc(plan->n_rows + 1, sizeof(*order));

	if (!order)
		return NULL;
	for (size_t i = 0; i < plan->n_rows; i++) {
		const struct reload_row *row = &plan->rows[i];
		const struct worker_settings *ws =
			row->settings ? row->settings : row->worker->settings;

		order[i] = (struct plan_entry){ ws->priority, (uint32_t)i };
	}
	plan_order_start(order, plan->n_rows);
	return order;
}

/* Everything that can fail comes first: then the whole plan is applied. */
static int apply_plan(struct daemon *d, const struct reload_plan *plan,
		      struct generation *g)
{
	struct worker **new = calloc(plan->n_rows + 1, sizeof(struct worker *));
	_cleanup_(free_pointer) struct plan_entry *order = order_rows(plan);
	int r = new &&order ? 0 : -ENOMEM;

	if (r == 0)
		r = fleet_reserve(d, d->fleet.n_workers + plan->n_workers);
	for (size_t i = 0; i < plan->n_rows && r == 0; i++)
		if (plan->rows[i].action == RELOAD_ADD)
			r = worker_new(d, g, plan->rows[i].settings,
				       plan->rows[i].number, &new[i]);
	if (r < 0) {
		free_workers(new, plan->n_rows);
		return r;
	}
	for (size_t i = 0; i < plan->n_rows; i++)
		apply_row(d, &plan->rows[order[i].position], g,
			  new[order[i].position]);
	free(new);
	log_set_level((enum log_level)g->settings->daemon.loglevel);
	generation_unref(d->generation);
	d->generation = generation_ref(g);
	fleet_sort(&d->fleet);
	hub_request_turn(&d->hub);
	return 0;
}

/* What of [reeve] differs takes effect with the next reeved only. */
static char *compare_daemon(const struct daemon *d, const struct settings *new)
{
	char *keys = NULL, *text = NULL;

	if (!conf_compare_daemon(&d->generation->settings->daemon, &new->daemon,
				 &keys)) {
		free(keys); /* "" */
		return NULL;
	}
	if (asprintf(&text,
		     "[reeve] %s changed: takes effect when reeved is "
		     "restarted",
		     keys ? keys : "") < 0)
		text = NULL;
	free(keys);
	if (text)
		log_warning("%s", text);
	return text;
}

static void plan_and_apply(struct reload *rl, struct settings *settings,
			   const struct conf_report *report)
{
	_cleanup_(free_pointer) char *extra = NULL;
	struct daemon *d = rl->daemon;
	struct generation *g = generation_new(settings);
	struct reload_plan plan = { 0 };
	int r = g ? 0 : -ENOMEM;

	if (r == 0)
		r = reload_plan_make(&d->fleet, g->settings, &plan);
	if (r == 0) {
		extra = compare_daemon(d, g->settings);
		r = runtime_check_nofile(
			&d->runtime, conf_fds_needed(g->settings) + DAEMON_FDS);
		if (r == -EMFILE)
			tell_error(rl, REEVE_ERROR_CONFIG,
				   "more file descriptors needed than the "
				   "limit allows");
		else if (!rl->dry_run)
			r = apply_plan(d, &plan, g);
	}
	if (r == 0)
		tell_plan(rl, &plan, report, extra);
	else if (r != -EMFILE)
		tell_error(rl, SD_BUS_ERROR_NO_MEMORY, strerror(-r));
	reload_plan_done(&plan);
	generation_unref(g);
}

/* Whoever wants no worker any more says so with [reeve]. A file of no bytes is
 * one that is being written, or was cut off by a full disk. */
static bool is_cut_off(struct reload *rl, const struct settings *s)
{
	_cleanup_(free_pointer) char *text = NULL;
	struct stat st;

	if (s->n_workers > 0 || stat(rl->path, &st) < 0 || st.st_size > 0)
		return false;
	if (asprintf(&text,
		     "%s: error: it is empty (being written, or cut "
		     "off?); leave [reeve] in it to have no workers",
		     rl->path) < 0)
		text = NULL;
	tell_error(rl, REEVE_ERROR_CONFIG, text ? text : "out of memory");
	return true;
}

/* The helper is done, and its answers are here. */
static void reload_finish(struct reload *rl)
{
	const struct conf_resolver resolver = names_resolver(&rl->names);
	const struct conf_options options = {
		.resolver = &resolver,
		.ignore_unsupported = rl->daemon->ignore_unsupported,
		.check_files = true,
	};
	struct settings *settings = NULL;
	struct conf_report report;
	struct daemon *d = rl->daemon;
	int r;

	r = conf_load(rl->path, &options, &settings, &report);
	if (r < 0)
		tell_report(rl, &report);
	else if (is_cut_off(rl, settings))
		settings_free(settings);
	else
		plan_and_apply(rl, settings, &report);
	conf_report_done(&report);
	reload_end(d);
}

/* ---- the helper ---------------------------------------------------------- */

static void on_pipe(struct watch *watch, uint32_t revents _unused_)
{
	struct reload *rl = container_of(watch, struct reload, pipe);
	char data[4096];
	ssize_t n;

	while ((n = read(watch->fd, data, sizeof(data))) > 0)
		if (buf_append(&rl->names.text, data, (size_t)n) < 0)
			break;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	reload_finish(rl);
}

static void on_timeout(struct timer *t, uint64_t now_usec _unused_)
{
	struct reload *rl = container_of(t, struct reload, timeout);
	struct daemon *d = rl->daemon;

	tell_error(rl, REEVE_ERROR_CONFIG,
		   "reading the configuration or looking up its users takes "
		   "too long (a file server or a directory service that does "
		   "not answer?)");
	reload_end(d);
}

void reload_cancel(struct daemon *d)
{
	if (!d->reload)
		return;
	tell_error(d->reload, REEVE_ERROR_STOPPING, "reeved is stopping");
	d->reload = reload_free(d->reload);
}

struct helper_arg {
	const char *path;
	bool ignore_unsupported;
	int fd;
};

static int run_helper(void *arg)
{
	const struct helper_arg *a = arg;

	return names_helper(a->path, a->ignore_unsupported, a->fd);
}

static int start_helper(struct reload *rl)
{
	struct helper_arg arg = { rl->path, rl->daemon->ignore_unsupported, 3 };
	struct spawn_fd fds[] = { { -1, 3 } };
	struct spawn_spec spec = {
		SPAWN_SPEC,
		.function = run_helper,
		.arg = &arg,
		.fds = fds,
		.n_fds = ARRAY_SIZE(fds),
		.parent_death_signal = SIGKILL,
	};
	struct spawn_child child;
	int pipe_fds[2], r;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	fds[0].from = pipe_fds[1];
	r = spawn_start(&spec, &child);
	fd_close(pipe_fds[1]);
	if (r < 0) {
		fd_close(pipe_fds[0]);
		return r;
	}
	fd_close(child.report_fd);
	rl->helper_pidfd = child.pidfd; /* reaped with the strays */
	rl->pipe.fd = pipe_fds[0];
	(void)fd_set_nonblocking(rl->pipe.fd, true);
	return hub_watch(&rl->daemon->hub, &rl->pipe, EPOLLIN);
}

/* The main file, also when it was named from another directory than the one
 * that directory= has led to. */
static char *main_file(const struct settings *s)
{
	const char *name = strrchr(s->files[0], '/');
	char *path = NULL;

	if (s->files[0][0] == '/')
		return strdup(s->files[0]);
	if (asprintf(&path, "%s/%s", s->here, name ? name + 1 : s->files[0]) <
	    0)
		return NULL;
	return path;
}

int reload_begin(struct daemon *d, struct client *client,
		 sd_bus_message *request, bool dry_run)
{
	uint64_t now = clock_monotonic_usec();
	struct reload *rl;
	int r;

	if (d->reload)
		return -EBUSY;
	rl = calloc(1, sizeof(*rl));
	if (!rl)
		return -ENOMEM;
	rl->daemon = d;
	rl->client = client;
	rl->request = sd_bus_message_ref(request);
	rl->dry_run = dry_run;
	rl->helper_pidfd = -1;
	rl->names.text = BUF_INIT(NAMES_MAX_BYTES);
	rl->pipe = (struct watch){ -1, HUB_URGENT, on_pipe };
	rl->timeout.on_time = on_timeout;
	rl->path = main_file(d->generation->settings);
	r = rl->path ? start_helper(rl) : -ENOMEM;
	if (r < 0) {
		reload_free(rl);
		return r;
	}
	d->reload = rl;
	hub_arm(&d->hub, &rl->timeout, usec_add(now, RELOAD_TIMEOUT_USEC));
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
			 (unsigned long long)now);
	return 0;
}
