/* The states of a worker and the events of its life: one list each.
 *
 * The names and the codes of the states are supervisord's. Each state says
 * when it ends; README, man pages and `reeve status` take the words from here.
 */
#pragma once

/* name, supervisord's code, meaning */
#define WORKER_STATES(X)                                                       \
	X(STOPPED, 0, "not running, and not meant to; ends by start")          \
	X(STARTING, 10, "started, not ready yet; ends when ready or dead")     \
	X(RUNNING, 20, "ready; ends when it exits or is stopped")              \
	X(BACKOFF, 30, "died or could not start; started again after a delay") \
	X(STOPPING, 40, "asked to end; ends when its whole tree is gone")      \
	X(KILLING, 50, "SIGKILL sent to its tree; ends when that is gone")     \
	X(EXITED, 100, "ended by itself and is not restarted")                 \
	X(FATAL, 200, "given up: failed too often; ends by start")

/* name, meaning. The first block comes from outside, the second from the
 * process, the third from the one timer, the fourth is what lifecycle_step()
 * makes of GONE: the verdict on an ended run. */
#define WORKER_EVENTS(X)                                                       \
	X(START, "start verb, autostart, reload")                              \
	X(STOP, "stop verb, shutdown, removal")                                \
	X(STOP_NOW, "second stop, quick shutdown: straight to SIGKILL")        \
	X(RESTART, "restart verb: stop, then start; starts what is stopped")   \
	X(RECYCLE,                                                             \
	  "task limit reached or recycle verb: as restart, told apart")        \
	X(SPAWNED, "the process exists")                                       \
	X(SPAWN_FAILED, "no process could be made: fork, memory, fds")         \
	X(RUNS, "exec has succeeded")                                          \
	X(READY, "READY=1")                                                    \
	X(EXTEND, "EXTEND_TIMEOUT_USEC")                                       \
	X(WATCHDOG, "no WATCHDOG=1 in time")                                   \
	X(LEADER_EXIT, "the process ended, but others of its tree live")       \
	X(GONE, "the process and its whole tree are gone")                     \
	X(TIMEOUT, "the deadline of the state has passed")                     \
	X(V_STOPPED, "it was told to stop")                                    \
	X(V_AGAIN, "start again at once")                                      \
	X(V_LATER, "start again after the backoff delay")                      \
	X(V_EXITED, "ended as allowed, or must not be restarted")              \
	X(V_FATAL, "failed too often")

enum worker_state {
#define X(name, code, text) STATE_##name,
	WORKER_STATES(X)
#undef X
		STATE_COUNT
};

enum worker_event {
#define X(name, text) EVENT_##name,
	WORKER_EVENTS(X)
#undef X
		EVENT_COUNT
};

const char *worker_state_name(enum worker_state s); /* "RUNNING" */
const char *worker_state_text(enum worker_state s);
int worker_state_code(enum worker_state s);
/* -EINVAL when there is none of that name; any case. */
int worker_state_from_name(const char *name, enum worker_state *ret_state);
const char *worker_event_name(enum worker_event e);
