/* What the tests of supervisor/daemon share: a daemon without sockets of its
 * own, spawner and cgroup, whose workers come from a text, and whose loop is
 * turned by hand. Included once by each of them.
 *
 * Workers start what their settings say (rig_tell START), or a function of the
 * test in a process of its own (rig_fork), which then is their leader.
 */
#pragma once

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "conf/load.h"
#include "supervisor/daemon/daemon.h"
#include "supervisor/daemon/ending.h"
#include "supervisor/daemon/worker.h"
#include "tests/lib/unit.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"

#define RIG_WAIT_USEC (10 * USEC_PER_SEC)

static struct daemon rig;
_unused_ static unsigned n_rig_turns;

/* As on_turn() of daemon.c, but that nobody is brought down. */
static void rig_on_turn(void *userdata _unused_)
{
	n_rig_turns++;
	reap_settle(&rig);
	if (fleet_handle(&rig.fleet, 64))
		hub_request_turn(&rig.hub);
	fleet_recycle_step(&rig.fleet);
	ending_kill_doomed(&rig, false);
	fleet_sweep(&rig);
	control_sweep(&rig);
}

_unused_ static struct generation *rig_load(const char *text)
{
	const struct conf_options options = { 0 };
	struct settings *settings = NULL;
	struct conf_report report;
	int r = conf_load_text("t.ini", text, strlen(text), &options, &settings,
			       &report);

	if (r < 0)
		conf_report_print(&report, stderr);
	conf_report_done(&report);
	ck_assert_int_eq(r, 0);
	return generation_new(settings);
}

static void rig_add_workers(const struct settings *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_workers; i++)
		n += s->workers[i]->numprocs;
	ck_assert_int_eq(fleet_reserve(&rig, n), 0);
	for (size_t i = 0; i < s->n_workers; i++) {
		for (uint32_t k = 0; k < s->workers[i]->numprocs; k++) {
			struct worker *w;

			ck_assert_int_eq(worker_new(&rig, rig.generation,
						    s->workers[i], k, &w),
					 0);
			fleet_add(&rig.fleet, w);
		}
	}
}

_unused_ static void rig_up(const char *text)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	ck_assert_int_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	log_init("rig", LOG_FORMAT_PLAIN, LOG_LEVEL_ERROR);
	rig = (struct daemon){
		.cgroup.fd = -1,
		.spawner = SPAWNER_OFF,
		.control.listen_fd = -1,
		.runtime.lock_fd = -1,
		.runtime.dir = strdup(unit_tmpdir()),
		.runtime.log_dir = strdup(unit_tmpdir()),
		.runtime.notify_path = strdup(unit_path("notify")),
		.phase = PHASE_RUNNING,
		.rng.state = 1,
	};
	LIST_INIT(&rig.control.clients);
	LIST_INIT(&rig.control.jobs);
	(void)fleet_init(&rig.fleet);
	logfile_registry_init(&rig.logs, NULL, NULL);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &rig.runtime.nofile), 0);
	rig.generation = rig_load(text);
	ck_assert_int_eq(hub_init(&rig.hub, rig_on_turn, NULL), 0);
	ck_assert_int_eq(reaper_init(&rig), 0);
	ending_init(&rig);
	rig_add_workers(rig.generation->settings);
	ck_assert_int_eq(inbox_init(&rig, rig.runtime.notify_path), 0);
}

_unused_ static void rig_down(void)
{
	inbox_done(&rig);
	fleet_done(&rig.fleet);
	ending_done(&rig);
	reaper_done(&rig);
	hub_done(&rig.hub);
	logfile_registry_done(&rig.logs);
	free(rig.runtime.dir);
	free(rig.runtime.log_dir);
	free(rig.runtime.notify_path);
	generation_unref(rig.generation);
}

_unused_ static struct worker *rig_worker(const char *name)
{
	struct worker *w = fleet_by_name(&rig.fleet, name);

	ck_assert_msg(w, "no worker %s", name);
	return w;
}

/* One look of the loop; false: nothing came within usec. */
_unused_ static bool rig_run(uint64_t usec)
{
	int r = sd_event_run(rig.hub.event, usec);

	ck_assert_int_ge(r, 0);
	return r > 0;
}

/* Turns the loop until nothing is ready any more. */
_unused_ static void rig_settle(void)
{
	while (rig_run(0))
		;
}

_unused_ static void rig_wait_state(const struct worker *w,
				    enum worker_state state)
{
	uint64_t end = clock_monotonic_usec() + RIG_WAIT_USEC;

	while (w->life.state != state) {
		ck_assert_msg(clock_monotonic_usec() < end, "%s is %s, not %s",
			      w->name, worker_state_name(w->life.state),
			      worker_state_name(state));
		(void)rig_run(100 * USEC_PER_MSEC);
	}
}

_unused_ static void rig_stop(struct worker *w)
{
	ck_assert(worker_tell(w, EVENT_STOP_NOW));
	rig_wait_state(w, STATE_STOPPED);
}

/* ---- a leader that is a function ------------------------------------------ */

static void rig_on_pidfd(struct watch *watch, uint32_t revents _unused_)
{
	reap_leader(container_of(watch, struct worker, pidfd));
}

/* fn(arg) is the process of w, leads a session, and has w's mark only when it
 * is in the environment of the test; w is STARTING. */
_unused_ static void rig_fork(struct worker *w, void (*fn)(void *arg),
			      void *arg)
{
	const struct worker_settings *ws = w->settings;
	uint64_t now = clock_monotonic_usec();
	pid_t pid;

	ck_assert_int_eq(lifecycle_step(&w->life, ws, EVENT_START, NULL,
					&rig.rng, now),
			 ACTION_SPAWN);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)setsid();
		fn(arg);
		_exit(0);
	}
	w->pid = pid;
	w->pidfd =
		(struct watch){ pidfd_open(pid, 0), HUB_URGENT, rig_on_pidfd };
	ck_assert_int_ge(w->pidfd.fd, 0);
	ck_assert_int_eq(hub_watch(&rig.hub, &w->pidfd, EPOLLIN), 0);
	fleet_pid_added(&rig.fleet, w);
	(void)lifecycle_step(&w->life, ws, EVENT_SPAWNED, NULL, &rig.rng, now);
	hub_arm(&rig.hub, &w->deadline, w->life.deadline_usec);
}

/* Waits until the process of pidfd is dead; it stays a zombie. */
_unused_ static void rig_wait_dead(int pidfd)
{
	siginfo_t info;

	ck_assert_int_eq(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOWAIT),
			 0);
}
