/* See start.h. Everything that a start needs is gathered in a struct start,
 * which one function lets go of; then one spec is handed to the spawner. A
 * failure before that is ours and retried, one after it comes through the
 * report pipe and is the worker's.
 */
#include "supervisor/daemon/start.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <signal.h>
#include <unistd.h>

#include "supervisor/daemon/daemon.h"
#include "supervisor/daemon/ending.h"
#include "supervisor/daemon/worker.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"

/* Variables of ours, before those of the settings. */
enum { ENV_MARK, ENV_INSTANCE, ENV_WORKER, ENV_NOTIFY, ENV_WATCHDOG, ENV_MAX };

/* What a spawn_spec points to while it is used. */
struct start {
	struct settings_instance instance;
	char *own[ENV_MAX];
	char **envp;
	struct spawn_fd fds[2];
	struct spawn_limit limits[SETTINGS_RLIMITS + 1];
	struct spawn_credentials credentials;
	int leaf_fd;
};

static void start_done(struct start *s)
{
	for (size_t i = 0; i < ENV_MAX; i++)
		free(s->own[i]);
	free(s->envp);
	fd_close(s->leaf_fd);
	settings_instance_done(&s->instance);
}

static int set_own(struct start *s, int which, const char *name,
		   const char *value)
{
	return asprintf(&s->own[which], "%s=%s", name, value) < 0 ? -ENOMEM : 0;
}

static int make_mark(char mark[static TREE_MARK_LEN + 1])
{
	unsigned char bytes[TREE_MARK_LEN / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return -EIO;
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(mark + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

/* The settings' environment behind our own variables. */
static int build_environment(struct start *s, struct worker *w)
{
	const struct runtime *rt = &w->daemon->runtime;
	char watchdog[24];
	size_t n = 0, n_own = 0;
	int r;

	r = make_mark(w->mark);
	if (r < 0)
		return r;
	snprintf(watchdog, sizeof(watchdog), "%" PRIu64, w->watchdog_usec);
	if (set_own(s, ENV_MARK, TREE_MARK_NAME, w->mark) < 0 ||
	    set_own(s, ENV_INSTANCE, RUNTIME_INSTANCE_NAME, rt->instance) < 0 ||
	    set_own(s, ENV_WORKER, "REEVE_WORKER", w->name) < 0 ||
	    set_own(s, ENV_NOTIFY, "NOTIFY_SOCKET", rt->notify_path) < 0)
		return -ENOMEM;
	if (w->watchdog_usec > 0 &&
	    set_own(s, ENV_WATCHDOG, "WATCHDOG_USEC", watchdog) < 0)
		return -ENOMEM;
	while (s->instance.envp[n])
		n++;
	s->envp = calloc(n + ENV_MAX + 1, sizeof(*s->envp));
	if (!s->envp)
		return -ENOMEM;
	for (size_t i = 0; i < ENV_MAX; i++)
		if (s->own[i])
			s->envp[n_own++] = s->own[i];
	memcpy(s->envp + n_own, s->instance.envp, n * sizeof(*s->envp));
	return 0;
}

/* A descriptor that reeved was started with. Its own are all CLOEXEC: one of
 * them, should it have that number, is no more there than a closed one, and
 * the child says so: the number that stands for it is never open. */
static int inherited_fd(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	return flags >= 0 && !(flags & FD_CLOEXEC) ? fd : INT_MAX;
}

/* Where fd 1 or 2 of the process goes; -1: /dev/null. */
static int open_output(struct worker *w, struct capture *c,
		       const struct log_settings *log, const char *path,
		       int *ret_fd)
{
	const char *what;
	int r;

	switch (log->to.target) {
	case LOG_TO_NONE:
		*ret_fd = -1;
		return 0;
	case LOG_TO_INHERIT:
		*ret_fd = inherited_fd(log->to.fd);
		return 0;
	case LOG_TO_FILE:
	case LOG_TO_AUTO:
		break;
	}
	r = capture_open(c, path, log, &what);
	if (r < 0) {
		snprintf(w->error, sizeof(w->error), "log file %.120s: %s",
			 path, what);
		return r;
	}
	*ret_fd = c->pipe.write_fd;
	if (w->settings->identity.is_set)
		(void)logpipe_set_owner(&c->pipe, w->settings->identity.uid);
	return 0;
}

static int open_outputs(struct start *s, struct worker *w,
			struct spawn_spec *spec)
{
	const struct worker_settings *ws = w->settings;
	int out = -1, err = -1, r;

	r = open_output(w, &w->out, &ws->stdout_log, s->instance.stdout_path,
			&out);
	if (r < 0)
		return r;
	if (ws->redirect_stderr)
		err = out;
	else
		r = open_output(w, &w->err, &ws->stderr_log,
				s->instance.stderr_path, &err);
	if (r < 0)
		return r;
	if (out >= 0)
		s->fds[spec->n_fds++] = (struct spawn_fd){ out, 1 };
	if (err >= 0)
		s->fds[spec->n_fds++] = (struct spawn_fd){ err, 2 };
	spec->fds = s->fds;
	return 0;
}

/* Our own raised RLIMIT_NOFILE is not for workers. */
static void set_limits(struct start *s, struct worker *w,
		       struct spawn_spec *spec)
{
	const struct worker_settings *ws = w->settings;

	for (int i = 0; i < SETTINGS_RLIMITS; i++) {
		const struct rlimit *value = &ws->rlimits[i].value;

		if (!ws->rlimits[i].is_set && i == RLIMIT_NOFILE)
			value = &w->daemon->runtime.nofile;
		else if (!ws->rlimits[i].is_set)
			continue;
		s->limits[spec->n_limits++] = (struct spawn_limit){ i, *value };
	}
	spec->limits = s->limits;
}

static void set_credentials(struct start *s, const struct identity *id,
			    struct spawn_spec *spec)
{
	if (!id->is_set)
		return;
	s->credentials = (struct spawn_credentials){
		.uid = id->uid,
		.gid = id->gid,
		.groups = id->groups,
		.n_groups = id->n_groups,
	};
	spec->credentials = &s->credentials;
}

static const char *find_path(char *const *envp)
{
	for (; *envp; envp++)
		if (strncmp(*envp, "PATH=", 5) == 0)
			return *envp + 5;
	return NULL;
}

static struct spawn_spec make_spec(struct start *s, struct worker *w)
{
	const struct worker_settings *ws = w->settings;
	const struct daemon_settings *ds = &w->generation->settings->daemon;

	return (struct spawn_spec){
		.argv = s->instance.argv,
		.envp = s->envp,
		.search_path = find_path(s->instance.envp),
		.directory = s->instance.directory,
		.umask = ws->umask >= 0 ? ws->umask : ds->umask,
		.nice = ws->has_nice ? &ws->nice : NULL,
		.oom_score_adj =
			ws->has_oom_score_adj ? &ws->oom_score_adj : NULL,
		.cpus = ws->cpu_affinity,
		.cgroup_fd = s->leaf_fd,
		.enter_late = w->daemon->cgroup.enter_late,
		.new_session = true,
		.no_new_privs = ws->no_new_privs,
		.parent_death_signal = ds->kill_on_crash ? SIGKILL : 0,
	};
}

/* What the stage acted on, for the sentence about its failure. */
static const char *failed_object(const struct worker *w, uint32_t stage)
{
	const struct worker_settings *ws = w->settings;

	switch ((enum spawn_stage)stage) {
	case SPAWN_STAGE_GROUPS:
	case SPAWN_STAGE_UID:
		return ws->user;
	case SPAWN_STAGE_GID:
		return ws->group ? ws->group : ws->user;
	case SPAWN_STAGE_DIRECTORY:
		return ws->directory;
	case SPAWN_STAGE_EXEC:
		return ws->command;
	case SPAWN_STAGE_SIGNALS:
	case SPAWN_STAGE_SESSION:
	case SPAWN_STAGE_CGROUP:
	case SPAWN_STAGE_RLIMIT:
	case SPAWN_STAGE_OOM:
	case SPAWN_STAGE_NICE:
	case SPAWN_STAGE_AFFINITY:
	case SPAWN_STAGE_FDS:
	case SPAWN_STAGE_VERIFY:
	case SPAWN_STAGE_PDEATHSIG:
	case SPAWN_STAGE_ORPHANED:
	case SPAWN_STAGE_NO_NEW_PRIVS:
	case SPAWN_STAGE_COUNT:
		break;
	}
	return NULL;
}

void start_read_report(struct worker *w)
{
	int r = spawn_read_report(w->report.fd, &w->failure);
	int fd = w->report.fd;

	if (r == -EAGAIN)
		return;
	hub_unwatch(&w->daemon->hub, &w->report);
	fd_close(fd);
	if (r > 0) {
		w->has_failure = true;
		spawn_failure_text(&w->failure,
				   failed_object(w, w->failure.stage), w->error,
				   sizeof(w->error));
		return; /* its exit follows */
	}
	worker_tell(w, EVENT_RUNS);
}

static void on_report(struct watch *watch, uint32_t revents _unused_)
{
	start_read_report(container_of(watch, struct worker, report));
}

static void on_pidfd(struct watch *watch, uint32_t revents _unused_)
{
	reap_leader(container_of(watch, struct worker, pidfd));
}

static int watch_child(struct worker *w, const struct spawn_child *child)
{
	struct hub *h = &w->daemon->hub;
	int r;

	w->pid = child->pid;
	w->pidfd = (struct watch){ child->pidfd, HUB_URGENT, on_pidfd };
	w->report = (struct watch){ child->report_fd, HUB_URGENT, on_report };
	r = hub_watch(h, &w->pidfd, EPOLLIN);
	if (r < 0)
		return r;
	return hub_watch(h, &w->report, EPOLLIN);
}

/* Out of memory for watching it: a process that nobody watches must not be. It
 * is killed, and reaped as a stray when that has worked. */
static void undo_child(struct worker *w)
{
	int pidfd = w->pidfd.fd, report = w->report.fd;

	ending_kill_now(w); /* it may have run, and forked, already */
	hub_unwatch(&w->daemon->hub, &w->pidfd);
	hub_unwatch(&w->daemon->hub, &w->report);
	w->pidfd.fd = w->report.fd = -1;
	fd_close(pidfd);
	fd_close(report);
	w->pid = 0;
}

/* The spawner was lost before it answered: what it may have started carries
 * the mark of this run, and must not run beside the next one. */
static void end_unknown(struct worker *w)
{
	struct tree_id id = { .mark_name = TREE_MARK_NAME, .mark = w->mark };

	log_error("worker=%s the spawner was lost; starting another one",
		  w->name);
	(void)tree_kill(&id);
}

static int start_with(struct start *s, struct worker *w)
{
	struct daemon *d = w->daemon;
	struct spawn_child child;
	struct spawn_spec spec;
	int r;

	r = settings_instance_build(w->generation->settings, w->settings,
				    w->number, d->runtime.log_dir, environ,
				    &s->instance);
	if (r < 0)
		return r;
	r = build_environment(s, w);
	if (r < 0)
		return r;
	r = ending_prepare_leaf(w, &s->leaf_fd);
	if (r < 0)
		return r;
	spec = make_spec(s, w);
	r = open_outputs(s, w, &spec);
	if (r < 0)
		return r;
	set_limits(s, w, &spec);
	set_credentials(s, &w->settings->identity, &spec);
	r = spawner_spawn(&w->daemon->spawner, &spec, &child);
	if (r == -ECONNRESET)
		end_unknown(w);
	if (r < 0)
		return r;
	r = watch_child(w, &child);
	if (r < 0)
		undo_child(w);
	return r;
}

int start_process(struct worker *w)
{
	const struct worker_settings *ws = w->settings;
	struct rng *rng = &w->daemon->rng;
	struct start s = { .leaf_fd = -1 };
	int r;

	w->has_failure = false;
	w->error[0] = '\0';
	w->tasks = 0;
	w->recycle_due = false;
	w->watchdog_usec = ws->watchdog_usec;
	w->tasks_limit = ws->maxtasksperchild;
	if (w->tasks_limit > 0)
		w->tasks_limit += rng_below(rng, ws->maxtasks_jitter + 1);
	free_pointer(&w->status);
	w->status = NULL;
	r = start_with(&s, w);
	start_done(&s);
	if (r < 0) {
		if (w->error[0] == '\0')
			snprintf(w->error, sizeof(w->error),
				 "cannot start a process: %s", strerror(-r));
		log_warning("worker=%s %s; trying again", w->name, w->error);
		return r;
	}
	fleet_pid_added(&w->daemon->fleet, w);
	return 0;
}
