/* See daemon.h. Brings the parts up in the order in which they need each
 * other, turns the loop, and takes them down in reverse. The order within
 * on_turn() is what other files rely on; signals only begin things.
 */
#include "supervisor/daemon/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "supervisor/daemon/ending.h"
#include "supervisor/daemon/reload.h"
#include "supervisor/daemon/worker.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"

/* Workers handled per turn: then deaths, timers and clients are looked at. */
#define WORKERS_PER_TURN 64
/* At the end: strays are killed again and again for so long. */
#define END_RETRY_USEC (20 * USEC_PER_MSEC)
#define END_WAIT_USEC  (5 * USEC_PER_SEC)

/* ---- generations --------------------------------------------------------- */

struct generation *generation_new(struct settings *settings)
{
	struct generation *g = calloc(1, sizeof(*g));

	if (!g) {
		settings_free(settings);
		return NULL;
	}
	g->settings = settings;
	g->n_refs = 1;
	return g;
}

struct generation *generation_ref(struct generation *g)
{
	g->n_refs++;
	return g;
}

struct generation *generation_unref(struct generation *g)
{
	if (!g || --g->n_refs > 0)
		return NULL;
	settings_free(g->settings);
	free(g);
	return NULL;
}

const char *daemon_guarantee(const struct daemon *d)
{
	return d->cgroup.fd >= 0 ? "cgroup" : "ancestry";
}

/* ---- the turn ------------------------------------------------------------ */

static void tell_ready(struct daemon *d)
{
	d->phase = PHASE_RUNNING;
	log_info("ready: %zu workers, control socket %s, trees are ended by %s",
		 d->fleet.n_workers, d->runtime.control_path,
		 daemon_guarantee(d));
	(void)sd_notifyf(0, "READY=1\nSTATUS=Supervising %zu workers",
			 d->fleet.n_workers);
}

/* All workers are down. What else is a child of ours goes too. */
static void end_strays(struct daemon *d)
{
	uint64_t now = clock_monotonic_usec();
	size_t n = reap_end_strays(d);

	if (d->end_usec == 0)
		d->end_usec = usec_add(now, END_WAIT_USEC);
	if (n > 0 && now < d->end_usec) {
		hub_arm(&d->hub, &d->end_timer, usec_add(now, END_RETRY_USEC));
		return;
	}
	if (n > 0)
		log_error("%zu processes survive SIGKILL and are left", n);
	(void)sd_event_exit(d->hub.event, (int)d->exit_code);
}

static void on_end_timer(struct timer *t, uint64_t now_usec _unused_)
{
	end_strays(container_of(t, struct daemon, end_timer));
}

/* Deaths are settled first; then events are fed, recycles admitted, a stop
 * driven on, what is to die killed; and what has gone is freed last, when nobody looks at it. */
static void on_turn(void *userdata)
{
	struct daemon *d = userdata;
	bool more;

	reap_settle(d);
	more = fleet_handle(&d->fleet, WORKERS_PER_TURN);
	if (d->phase != PHASE_STOPPING)
		fleet_recycle_step(&d->fleet);
	else if (!more && fleet_stop_step(&d->fleet, d->is_quick) &&
		 !heap_contains(&d->end_timer.node))
		end_strays(d);
	ending_kill_doomed(d, more);
	fleet_sweep(d);
	control_sweep(d);
	if (more)
		hub_request_turn(&d->hub);
	else if (d->phase == PHASE_STARTING)
		tell_ready(d);
}

/* ---- stopping ------------------------------------------------------------ */

/* The longest that the ladders of all tiers may take, for systemd. */
static uint64_t longest_stop_usec(const struct fleet *f)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < f->n_workers; i++) {
		const struct worker_settings *ws = f->workers[i]->settings;
		bool seen = false;

		/* One per section is enough, and sections are few. */
		if (i > 0 && f->workers[i - 1]->settings == ws)
			seen = true;
		if (!seen)
			sum = usec_add(sum, lifecycle_ladder_usec(ws));
	}
	return sum;
}

void daemon_stop(struct daemon *d, enum daemon_exit code, bool quick)
{
	bool again = d->phase == PHASE_STOPPING;

	d->is_quick = d->is_quick || quick || again;
	if (again) {
		hub_request_turn(&d->hub);
		return;
	}
	d->phase = PHASE_STOPPING;
	d->exit_code = code;
	log_notice("stopping %zu workers%s", d->fleet.n_workers,
		   quick ? " at once" : "");
	(void)sd_notifyf(0,
			 "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64
			 "\nSTATUS=Stopping",
			 usec_add(longest_stop_usec(&d->fleet), END_WAIT_USEC));
	reload_cancel(d);
	hub_request_turn(&d->hub);
}

void daemon_note_rest(struct daemon *d, struct worker *w)
{
	const struct lifecycle *lc = &w->life;

	if (!w->settings->essential || d->phase == PHASE_STOPPING)
		return;
	if (lc->state != STATE_FATAL &&
	    !(lc->state == STATE_EXITED && worker_is_at_fault(w)))
		return;
	log_critical("worker=%s is essential and has failed for good: ending",
		     w->name);
	daemon_stop(d, DAEMON_EXIT_ESSENTIAL, false);
}

/* ---- signals ------------------------------------------------------------- */

static void log_to_file(void *userdata, const char *line, size_t len)
{
	logfile_write(userdata, line, len);
}

static void on_log_report(void *userdata _unused_, bool is_problem,
			  const char *text)
{
	log_write(is_problem ? LOG_LEVEL_ERROR : LOG_LEVEL_NOTICE, "%s", text);
}

void daemon_reopen_logs(struct daemon *d)
{
	log_notice("reopening and rotating log files");
	logfile_renew_all(&d->logs);
}

static int on_signal(sd_event_source *source _unused_,
		     const struct signalfd_siginfo *si, void *userdata)
{
	struct daemon *d = userdata;
	int r;

	switch ((int)si->ssi_signo) {
	case SIGTERM:
	case SIGINT:
		daemon_stop(d, DAEMON_EXIT_OK, false);
		break;
	case SIGQUIT:
		daemon_stop(d, DAEMON_EXIT_OK, true);
		break;
	case SIGHUP:
		r = d->phase == PHASE_STOPPING
			    ? 0
			    : reload_begin(d, NULL, NULL, false);
		if (r == -EBUSY) /* what was changed meanwhile counts too */
			d->reload_again = true;
		else if (r < 0)
			log_error("cannot reload: %s", strerror(-r));
		break;
	case SIGUSR1:
		daemon_reopen_logs(d);
		break;
	}
	return 0;
}

static int init_signals(struct daemon *d)
{
	static const int numbers[DAEMON_SIGNALS] = { SIGTERM, SIGINT, SIGQUIT,
						     SIGHUP, SIGUSR1 };

	for (size_t i = 0; i < DAEMON_SIGNALS; i++) {
		int r = sd_event_add_signal(d->hub.event, &d->signals[i],
					    numbers[i], on_signal, d);

		if (r < 0)
			return r;
		(void)sd_event_source_set_priority(d->signals[i],
						   HUB_PRIORITY_SIGNAL);
	}
	return 0;
}

/* Before anything else: what arrives meanwhile waits in the signalfd. */
static void block_signals(void)
{
	static const int numbers[] = { SIGTERM, SIGINT,	 SIGQUIT,
				       SIGHUP,	SIGUSR1, SIGCHLD };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		sigaddset(&set, numbers[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* Writes to clients and logs say EPIPE instead. */
	sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	sigaction(SIGXFSZ, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	/* Ignored by the caller, children would reap themselves. */
	sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
}

/* ---- starting ------------------------------------------------------------ */

static int load_settings(const struct daemon_options *options,
			 struct generation **ret_generation)
{
	const struct conf_options conf = {
		.resolver = &conf_resolver_nss,
		.ignore_unsupported = options->ignore_unsupported,
		/* A program that is missing now may be there later (a mount):
		 * its worker says so, the others run. A reload refuses it. */
		.check_files = false,
	};
	_cleanup_(free_pointer) char *path = NULL;
	struct settings *settings = NULL;
	struct conf_report report;
	int r;

	r = options->config
		    ? (path = strdup(options->config), path ? 0 : -ENOMEM)
		    : conf_default_file(&path);
	if (r < 0) {
		log_error("no configuration: name one with -c FILE (%s)",
			  strerror(-r));
		return r;
	}
	r = conf_load(path, &conf, &settings, &report);
	conf_report_print(&report, stderr);
	conf_report_done(&report);
	if (r < 0)
		return r;
	*ret_generation = generation_new(settings);
	return *ret_generation ? 0 : -ENOMEM;
}

static int init_log(struct daemon *d)
{
	const struct daemon_settings *ds = &d->generation->settings->daemon;
	const struct logfile_spec spec = {
		.path = ds->logfile,
		.maxbytes = ds->logfile_maxbytes,
		.backups = ds->logfile_backups,
	};
	enum log_format format = (enum log_format)ds->log_format;
	int r;

	if (ds->logfile && format == LOG_FORMAT_AUTO)
		format = LOG_FORMAT_TIME; /* nobody else stamps a file */
	log_init("reeved", format, (enum log_level)ds->loglevel);
	if (!ds->logfile)
		return 0;
	r = logfile_get(&d->logs, &spec, &d->own_log);
	if (r < 0) {
		log_error("logfile %s: %s", ds->logfile, logfile_error_text(r));
		return r;
	}
	log_set_writer(log_to_file, d->own_log);
	return 0;
}

static int init_cgroup(struct daemon *d)
{
	const struct daemon_settings *ds = &d->generation->settings->daemon;
	const char *why = "cgroup = off";
	char name[64];
	int r = -ENOENT;

	d->cgroup.fd = -1;
	if (ds->cgroup != CGROUP_OFF) {
		snprintf(name, sizeof(name), "reeve-%s", d->runtime.instance);
		r = cgroup_base_open(name, &d->cgroup, &why);
	}
	if (r == 0)
		return 0;
	if (ds->cgroup == CGROUP_REQUIRED) {
		log_error("cgroup = required, but there is none: %s (%s)", why,
			  strerror(-r));
		return r;
	}
	log_info("no cgroup (%s): trees are told by ancestry, group, session "
		 "and mark",
		 why);
	return 0;
}

static int init_fleet(struct daemon *d)
{
	const struct settings *s = d->generation->settings;
	size_t n = 0;
	int r;

	for (size_t i = 0; i < s->n_workers; i++)
		n += s->workers[i]->numprocs;
	r = fleet_reserve(d, n);
	for (size_t i = 0; i < s->n_workers && r == 0; i++)
		for (uint32_t k = 0; k < s->workers[i]->numprocs && r == 0;
		     k++) {
			struct worker *w;

			r = worker_new(d, d->generation, s->workers[i], k, &w);
			if (r == 0)
				fleet_add(&d->fleet, w);
		}
	return r;
}

static int enter_directory(const struct daemon_settings *ds)
{
	if (!ds->directory || chdir(ds->directory) == 0)
		return 0;
	log_error("cannot change to directory %s: %s", ds->directory,
		  strerror(errno));
	return -errno;
}

static int init(struct daemon *d, const struct daemon_options *options)
{
	const struct settings *s = d->generation->settings;
	int r;

	r = enter_directory(&s->daemon);
	if (r == 0 && spawner_open(&d->spawner) < 0)
		log_warning("no spawner: starting workers costs more");
	if (r == 0)
		r = runtime_open(&d->runtime, options->runtime_dir, &s->daemon);
	if (r == 0)
		r = init_log(d);
	if (r == 0)
		r = runtime_raise_nofile(&d->runtime,
					 conf_fds_needed(s) + DAEMON_FDS);
	if (r == 0)
		r = hub_init(&d->hub, on_turn, d);
	if (r == 0)
		r = reaper_init(d);
	ending_init(d);
	if (r == 0)
		r = init_signals(d);
	if (r == 0)
		r = init_cgroup(d);
	if (r < 0)
		return r;
	(void)ending_leftovers(d);
	r = init_fleet(d);
	if (r == 0)
		r = inbox_init(d, d->runtime.notify_path);
	if (r == 0)
		r = control_init(d, d->runtime.control_path);
	if (r == 0)
		r = runtime_write_pidfile(&d->runtime, s->daemon.pidfile);
	return r;
}

static void done(struct daemon *d)
{
	reload_cancel(d);
	control_done(d);
	inbox_done(d);
	fleet_done(&d->fleet);
	ending_remove_leaves(d);
	cgroup_base_done(&d->cgroup);
	ending_done(d);
	reaper_done(d);
	for (size_t i = 0; i < DAEMON_SIGNALS; i++)
		sd_event_source_unref(d->signals[i]);
	hub_disarm(&d->hub, &d->end_timer);
	hub_done(&d->hub);
	spawner_close(&d->spawner);
	log_set_writer(NULL, NULL);
	if (d->own_log)
		logfile_put(d->own_log);
	logfile_registry_done(&d->logs);
	runtime_close(&d->runtime);
	generation_unref(d->generation);
}

static int loop(struct daemon *d)
{
	int r;

	(void)sd_event_set_watchdog(d->hub.event, 1);
	fleet_start(&d->fleet);
	hub_request_turn(&d->hub);
	r = sd_event_loop(d->hub.event);
	if (r < 0) {
		log_critical("event loop failed: %s", strerror(-r));
		return DAEMON_EXIT_FAILED;
	}
	log_notice("stopped");
	return r;
}

int daemon_run(const struct daemon_options *options)
{
	struct daemon d = {
		.cgroup.fd = -1,
		.spawner = SPAWNER_OFF,
		.control.listen_fd = -1,
		.inbox.watch.fd = -1,
		.runtime.lock_fd = -1,
		.end_timer.on_time = on_end_timer,
		.ignore_unsupported = options->ignore_unsupported,
		.started_usec = clock_monotonic_usec(),
	};
	int r;

	block_signals();
	umask(022);
	LIST_INIT(&d.control.clients);
	LIST_INIT(&d.control.jobs);
	(void)fleet_init(&d.fleet);
	logfile_registry_init(&d.logs, on_log_report, NULL);
	if (getrandom(&d.rng.state, sizeof(d.rng.state), 0) < 0)
		d.rng.state = d.started_usec;
	r = load_settings(options, &d.generation);
	if (r < 0)
		return r == -ENOMEM ? DAEMON_EXIT_FAILED : DAEMON_EXIT_CONFIG;
	r = init(&d, options);
	if (r < 0 && r != -EWOULDBLOCK) /* its lock is held: that was said */
		log_error("cannot start: %s", strerror(-r));
	r = r < 0 ? DAEMON_EXIT_FAILED : loop(&d);
	done(&d);
	return r;
}
