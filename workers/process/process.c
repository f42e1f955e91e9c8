/* The start of a process: the public spec becomes that of base/sys/spawn.h,
 * which the supervisor uses too; this file decides what spawn leaves open.
 *
 *   fds          stdin is /dev/null, stdout and stderr are the owner's
 *   environment  the owner's, or the spec's, and the mark of the tree
 *   life         the parent-death signal when the main thread starts the
 *                process; it watches threads, so for others, and for whole
 *                trees, a guard (guard.c)
 *   the report   is read here, before the start returns: its stage and errno
 *                become a sentence
 *
 * Invariant: after a failure nothing is left, neither process nor fd.
 */
#include "workers/process/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/str.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/spawn.h"
#include "workers/process/family.h"
#include "workers/process/guard.h"

#define ENVIRONMENT_MAX 65536 /* variables */
#define MARK_TEXT_BYTES (sizeof(PROCESS_MARK_NAME "=") + TREE_MARK_LEN)

/* What a start needs while it lasts. The spawn spec points into it. */
struct start {
	const struct reeve_process_spec *spec;
	struct reeve_process *process;
	struct spawn_spec spawn;
	struct spawn_fd fds[REEVE_PROCESS_FDS_MAX];
	struct spawn_limit limits[RLIM_NLIMITS];
	struct spawn_credentials credentials;
	cpu_set_t cpus;
	char **environment;
	char mark_text[MARK_TEXT_BYTES];
};

/* --- what runs in a function's process ----------------------------------- */

static int run_function(void *arg)
{
	const struct start *s = arg;
	const struct reeve_process_spec *spec = s->spec;

	if (spec->name)
		(void)prctl(PR_SET_NAME, s->process->name, 0, 0, 0);
	family_set_own_name(s->process->name);
	/* Not by setenv(3), whose lock another thread may have held at the fork. */
	environ = s->environment;
	return spec->function(spec->arg);
}

/* --- from spec to spec --------------------------------------------------- */

/* 0 to 2, by the spec's stdin_fd, ...; by_default as if it were there. */
static int add_stdio(struct start *s, int wanted, int by_default, int to)
{
	int from = wanted == REEVE_FD_DEFAULT ? by_default : wanted;

	if (from < REEVE_FD_OWNERS)
		return -EINVAL;
	if (from == REEVE_FD_NULL) /* spawn's own default */
		return 0;
	if (from == REEVE_FD_OWNERS) {
		from = to;
		if (fcntl(to, F_GETFD) < 0) /* the owner has none */
			return 0;
	}
	s->fds[s->spawn.n_fds++] = (struct spawn_fd){ from, to };
	return 0;
}

static int fill_fds(struct start *s)
{
	const struct reeve_process_spec *spec = s->spec;
	uint64_t given = 0;
	const struct {
		int wanted, by_default;
	} stdio[] = {
		{ spec->stdin_fd, REEVE_FD_NULL },
		{ spec->stdout_fd, REEVE_FD_OWNERS },
		{ spec->stderr_fd, REEVE_FD_OWNERS },
	};

	if (spec->n_fds > REEVE_PROCESS_FDS_MAX || (spec->n_fds && !spec->fds))
		return -EINVAL;
	s->spawn.fds = s->fds;
	for (size_t i = 0; i < spec->n_fds; i++) {
		const struct reeve_fd *fd = &spec->fds[i];

		if (fd->to < 0 || fd->to >= REEVE_PROCESS_FDS_MAX ||
		    given & UINT64_C(1) << fd->to)
			return -EINVAL;
		given |= UINT64_C(1) << fd->to;
		s->fds[s->spawn.n_fds++] =
			(struct spawn_fd){ fd->from, fd->to };
	}
	for (int to = 0; to < (int)ARRAY_SIZE(stdio); to++) {
		int r = 0;

		if (!(given & UINT64_C(1) << to))
			r = add_stdio(s, stdio[to].wanted, stdio[to].by_default,
				      to);
		else if (stdio[to].wanted != REEVE_FD_DEFAULT)
			r = -EINVAL; /* said twice */
		if (r < 0)
			return r;
	}
	return 0;
}

static int fill_limits(struct start *s)
{
	const struct reeve_process_spec *spec = s->spec;

	if (spec->n_limits > RLIM_NLIMITS || (spec->n_limits && !spec->limits))
		return -EINVAL;
	for (size_t i = 0; i < spec->n_limits; i++)
		s->limits[i] = (struct spawn_limit){
			.resource = spec->limits[i].resource,
			.value = spec->limits[i].value,
		};
	s->spawn.limits = s->limits;
	s->spawn.n_limits = spec->n_limits;
	return 0;
}

static int fill_cpus(struct start *s)
{
	const struct reeve_process_spec *spec = s->spec;

	if (spec->n_cpus && !spec->cpus)
		return -EINVAL;
	CPU_ZERO(&s->cpus);
	for (size_t i = 0; i < spec->n_cpus; i++) {
		if (spec->cpus[i] >= CPU_SETSIZE)
			return -EINVAL;
		CPU_SET(spec->cpus[i], &s->cpus);
	}
	s->spawn.cpus = spec->n_cpus ? &s->cpus : NULL;
	return 0;
}

/* The variables, without an older mark, and the mark. */
static int fill_environment(struct start *s)
{
	char *const *from = s->spec->environment;
	size_t n = 0, n_taken = 0;

	if (!from)
		from = environ;
	while (from && from[n] && n < ENVIRONMENT_MAX)
		n++;
	if (n == ENVIRONMENT_MAX)
		return -E2BIG;
	s->environment = calloc(n + 2, sizeof(*s->environment));
	if (!s->environment)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (!str_has_prefix(from[i], PROCESS_MARK_NAME "="))
			s->environment[n_taken++] = from[i];
	(void)snprintf(s->mark_text, sizeof(s->mark_text), "%s=%s",
		       PROCESS_MARK_NAME, s->process->mark);
	s->environment[n_taken] = s->mark_text;
	s->spawn.envp = s->environment;
	return 0;
}

static void fill_credentials(struct start *s)
{
	const struct reeve_credentials *c = s->spec->credentials;

	if (!c)
		return;
	s->credentials = (struct spawn_credentials){
		.uid = c->uid,
		.gid = c->gid,
		.groups = c->groups,
		.n_groups = c->n_groups,
	};
	s->spawn.credentials = &s->credentials;
}

/* --- life ---------------------------------------------------------------- */

static bool is_main_thread(void)
{
	return gettid() == getpid();
}

static bool needs_guard(const struct reeve_process *p)
{
	return p->life == REEVE_LIFE_TREE ||
	       (p->life == REEVE_LIFE_OWNER && !is_main_thread());
}

static int on_birth(void *userdata, pid_t pid, int pidfd)
{
	struct reeve_process *p = userdata;
	int r;

	p->pid = pid;
	p->pidfd = pidfd;
	r = guard_start(p);
	p->pidfd = -1; /* not yet ours */
	return r;
}

static int fill_life(struct start *s)
{
	struct reeve_process *p = s->process;

	if ((unsigned)p->life > REEVE_LIFE_DETACHED)
		return -EINVAL;
	if (needs_guard(p)) {
		s->spawn.on_birth = on_birth;
		s->spawn.on_birth_userdata = p;
	} else if (p->life == REEVE_LIFE_OWNER) {
		s->spawn.parent_death_signal = SIGKILL;
	}
	return 0;
}

/* --- the handle ---------------------------------------------------------- */

static int make_mark(char mark[static TREE_MARK_LEN + 1])
{
	unsigned char bytes[TREE_MARK_LEN / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return -EIO;
	for (size_t i = 0; i < sizeof(bytes); i++)
		(void)snprintf(mark + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

static int fill_handle(struct start *s)
{
	const struct reeve_process_spec *spec = s->spec;
	struct reeve_process *p = process_new();

	s->process = p;
	if (!p)
		return -ENOMEM;
	p->life = spec->life;
	if (spec->name)
		(void)snprintf(p->name, sizeof(p->name), "%s", spec->name);
	else
		family_make_name(p->name);
	return make_mark(p->mark);
}

static int fill(struct start *s)
{
	const struct reeve_process_spec *spec = s->spec;
	int (*const parts[])(struct start *) = {
		fill_handle, fill_fds,	       fill_limits,
		fill_cpus,   fill_environment, fill_life,
	};

	if ((spec->umask && *spec->umask > 0777) ||
	    (spec->share_memory && spec->function))
		return -EINVAL;
	s->spawn = (struct spawn_spec){
		SPAWN_SPEC,
		.argv = spec->argv,
		.search_path = getenv("PATH"),
		.function = spec->function ? run_function : NULL,
		.arg = s,
		.keep_fds = spec->keep_fds,
		.directory = spec->directory,
		.nice = spec->nice,
		.oom_score_adj = spec->oom_score_adj,
		.new_session = spec->new_session,
		.no_new_privs = spec->no_new_privs,
		.share_memory = spec->share_memory,
	};
	if (spec->umask)
		s->spawn.umask = (int)*spec->umask;
	fill_credentials(s);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		int r = parts[i](s);

		if (r < 0)
			return r;
	}
	return 0;
}

/* --- words --------------------------------------------------------------- */

static void tell(const struct start *s, const char *text)
{
	const struct reeve_process_spec *spec = s->spec;

	if (spec->error && spec->error_size_bytes > 0)
		(void)snprintf(spec->error, spec->error_size_bytes, "%s", text);
}

static void tell_error(const struct start *s, int error)
{
	char text[128];

	(void)snprintf(text, sizeof(text), "cannot start a process: %s",
		       error == ETIMEDOUT ? "it was not ready in time"
					  : strerrordesc_np(error));
	tell(s, text);
}

static void tell_failure(const struct start *s,
			 const struct spawn_failure *failure)
{
	const char *object = NULL;
	char text[512];

	if (failure->stage == SPAWN_STAGE_DIRECTORY)
		object = s->spec->directory;
	else if (failure->stage == SPAWN_STAGE_EXEC)
		object = s->spec->argv[0];
	tell(s, spawn_failure_text(failure, object, text, sizeof(text)));
}

/* --- the start ----------------------------------------------------------- */

/* Returns 0 when the function or program runs, or -errno. */
static int await_report(const struct start *s, int report_fd)
{
	uint64_t timeout_usec = s->spec->start_timeout_usec;
	struct pollfd poll_fd = { .fd = report_fd, .events = POLLIN };
	struct spawn_failure failure;
	uint64_t deadline;
	int r;

	if (timeout_usec == 0)
		timeout_usec = REEVE_PROCESS_START_TIMEOUT_USEC;
	deadline = usec_add(clock_monotonic_usec(), timeout_usec);
	while ((r = spawn_read_report(report_fd, &failure)) == -EAGAIN) {
		uint64_t left = usec_sub(deadline, clock_monotonic_usec());
		uint64_t msec = (left + USEC_PER_MSEC - 1) / USEC_PER_MSEC;

		if (left == 0) {
			r = -ETIMEDOUT;
			break;
		}
		(void)poll(&poll_fd, 1, (int)MIN(msec, (uint64_t)INT32_MAX));
	}
	if (r == 1)
		tell_failure(s, &failure);
	else if (r < 0)
		tell_error(s, -r);
	return r == 1 ? -failure.error : r;
}

static int start(struct start *s)
{
	struct spawn_child child = { .pidfd = -1, .report_fd = -1 };
	struct reeve_process *p;
	int r = fill(s);

	p = s->process;
	if (r == 0)
		r = spawn_start(&s->spawn, &child);
	if (r < 0) {
		if (p)
			guard_end(&p->guard_pidfd);
		tell_error(s, -r);
		return r;
	}
	p->pid = child.pid;
	p->pidfd = child.pidfd;
	r = await_report(s, child.report_fd);
	fd_close(child.report_fd);
	if (r == 0) {
		family_add(p);
		return 0;
	}
	s->process = NULL;
	if (process_finish(p))
		(void)process_delete(p);
	else
		family_release(p);
	return r;
}

int reeve_process_start(const struct reeve_process_spec *spec,
			reeve_process **ret_process)
{
	struct start s = { .spec = spec };
	int r, cancel_state;

	if (!spec || !ret_process)
		return -EINVAL;
	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	r = family_init();
	if (r == 0) {
		family_sweep();
		r = start(&s);
	}
	if (r == 0)
		*ret_process = TAKE(s.process);
	(void)process_delete(s.process);
	free(s.environment);
	(void)pthread_setcancelstate(cancel_state, NULL);
	return r;
}
