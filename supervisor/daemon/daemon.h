/* The root object of reeved: everything hangs off it.
 *
 * One thread, one loop. A turn: deaths, reports, notifications and verbs are
 * decoded and queued; then the queue is drained, desired and actual state are
 * reconciled, and what changed is told.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "supervisor/daemon/control.h"
#include "supervisor/daemon/ending.h"
#include "supervisor/daemon/fleet.h"
#include "supervisor/daemon/hub.h"
#include "supervisor/daemon/inbox.h"
#include "supervisor/daemon/logfile.h"
#include "supervisor/daemon/reap.h"
#include "supervisor/daemon/runtime.h"
#include "workers/base/pure/rng.h"
#include "workers/base/sys/cgroup.h"
#include "workers/base/sys/spawner.h"

/* Fds of reeved itself: loop, sockets, clients with two each, files. */
#define DAEMON_SIGNALS 5
#define DAEMON_FDS     (64 + 2 * (CONTROL_MAX + CONTROL_RESERVED))

/* What `reeved` exits with. code, meaning */
#define DAEMON_EXITS(X)                                                        \
	X(OK, 0, "stopped as asked")                                           \
	X(FAILED, 1, "could not start, or lost its event loop")                \
	X(USAGE, 2, "wrong arguments")                                         \
	X(CONFIG, 6, "the configuration has errors")                           \
	X(ESSENTIAL, 152, "an essential worker failed for good")

enum daemon_exit {
#define X(name, code, text) DAEMON_EXIT_##name = (code),
	DAEMON_EXITS(X)
#undef X
};

/* The settings of one load; lives as long as a worker uses it. */
struct generation {
	struct settings *settings;
	unsigned n_refs;
};

struct generation *generation_new(struct settings *settings); /* takes it */
struct generation *generation_ref(struct generation *g);
struct generation *generation_unref(struct generation *g); /* returns NULL */

enum daemon_phase {
	PHASE_STARTING, /* until the first start round was done */
	PHASE_RUNNING,
	PHASE_STOPPING, /* tier by tier, then strays, then the loop ends */
};

struct reload;

struct daemon {
	struct hub hub;
	struct runtime runtime;
	struct generation *generation;
	struct spawner spawner;
	struct cgroup_base cgroup; /* .fd < 0: trees are told by ancestry */
	struct logfile_registry logs;
	struct logfile *own_log; /* logfile=, or NULL */
	struct fleet fleet;
	struct reaper reaper;
	struct ender ender;
	struct inbox inbox;
	struct control control;
	struct reload *reload; /* under way, or NULL */
	bool reload_again;     /* SIGHUP came meanwhile */
	struct rng rng;
	uint64_t leaf_counter;
	enum daemon_phase phase;
	uint64_t started_usec;
	bool ignore_unsupported;
	bool is_quick; /* stopping without grace */
	enum daemon_exit exit_code;
	sd_event_source *signals[DAEMON_SIGNALS];
	struct timer end_timer; /* strays are given so long */
	uint64_t end_usec;
};

struct daemon_options {
	const char *config;	 /* NULL: the default file */
	const char *runtime_dir; /* NULL: as configured */
	bool ignore_unsupported;
};

/* Runs until it is stopped. Returns the exit code. */
int daemon_run(const struct daemon_options *options);

/* Begins to stop; again, or quick: with SIGKILL at once. */
void daemon_stop(struct daemon *d, enum daemon_exit code, bool quick);

/* A worker has come to rest: essential ones may end the daemon. */
void daemon_note_rest(struct daemon *d, struct worker *w);

/* Reopens and rotates all log files (SIGUSR1). */
void daemon_reopen_logs(struct daemon *d);

/* "cgroup" or "ancestry": how surely trees are ended. */
const char *daemon_guarantee(const struct daemon *d);
