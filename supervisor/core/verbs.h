/* The verbs: one table for the D-Bus interface, permissions, the CLI, help,
 * man page and completions. A verb exists if and only if it has a row here.
 *
 * D-Bus: interface org.reeve.Supervisor1 on object /org/reeve/Supervisor1. The
 * daemon answers a row with a member through one handler per row, after the
 * access of the row was checked once, in front of the table. Rows without
 * a member are the CLI's alone.
 */
#pragma once

#include <stddef.h>

#define REEVE_BUS_NAME		   "org.reeve.Supervisor1"
#define REEVE_BUS_PATH		   "/org/reeve/Supervisor1"
#define REEVE_BUS_INTERFACE	   "org.reeve.Supervisor1"
#define REEVE_BUS_WORKER_PATH	   REEVE_BUS_PATH "/worker"
#define REEVE_BUS_WORKER_INTERFACE "org.reeve.Supervisor1.Worker"

/* D-Bus errors of ours; the message is a sentence for people. */
#define REEVE_ERROR_NO_SUCH_WORKER "org.reeve.Error.NoSuchWorker"
#define REEVE_ERROR_CONFIG	   "org.reeve.Error.Config"
#define REEVE_ERROR_STOPPING	   "org.reeve.Error.Stopping"
#define REEVE_ERROR_INVALID	   "org.reeve.Error.Invalid"
#define REEVE_ERROR_BUSY	   "org.reeve.Error.Busy"
#define REEVE_ERROR_NOT_CAPTURED   "org.reeve.Error.NotCaptured"

enum verb_access {
	ACCESS_READ,  /* also everybody, when public_status = yes */
	ACCESS_STEER, /* also members of control_group */
	ACCESS_OWNER, /* root and the user reeved runs as */
};

/* Flags of verbs that take "u". */
#define VERB_NO_WAIT 1U /* answer when accepted, not when done */
#define VERB_DRY_RUN 2U /* Reload: show the plan only */
#define VERB_QUICK   4U /* Stop, Shutdown: SIGKILL at once */
#define VERB_SECRETS 8U /* Config: values of environment= too; needs OWNER */

/* Answers of the verbs that act on workers: a(sss) = name, result, sentence.
 * Result is one of: */
#define RESULT_DONE	"done"	   /* it came to rest where it was wanted */
#define RESULT_ALREADY	"already"  /* it was there before */
#define RESULT_ACCEPTED "accepted" /* VERB_NO_WAIT */
#define RESULT_FAILED	"failed"   /* see the sentence */
#define RESULT_TIMEOUT	"timeout"  /* Wait only */

/* One row of List: name, group, state, numbers, STATUS= of the worker, why it
 * is down. The numbers are one array, which takes a thousand rows apart in a
 * third of the time that fields of their own would; later versions append to
 * it. Times are microseconds, and 0 where there is none. */
#define VERB_LIST_ROW "(sssatss)"

#define LIST_NUMBERS(X)                                                        \
	X(PID, "process id, 0: none")                                          \
	X(STATE_AGE, "since the last change of state")                         \
	X(UPTIME, "of the process")                                            \
	X(NEXT_START, "until it is started again")                             \
	X(RESTARTS, "after failures and exits")                                \
	X(RECYCLES, "after its tasks, or by the recycle verb")                 \
	X(FAILURES, "unexpected exits and failed starts")                      \
	X(TASKS, "done by this process")                                       \
	X(FLAGS, "LIST_... of verbs.h")                                        \
	X(EXIT_CODE, "of the last exit: N, or 2^64 - N for death by signal N") \
	X(EXIT_AGE, "since the last exit")                                     \
	X(EXIT_UPTIME, "that the process had then")

enum list_number {
#define X(id, text) LIST_##id,
	LIST_NUMBERS(X)
#undef X
		LIST_NUMBER_COUNT
};

#define LIST_HAS_EXIT	1U
#define LIST_CORE	2U /* last exit dumped core */
#define LIST_EXPECTED	4U /* last exit is in exitcodes */
#define LIST_WANTED	8U /* should run, now */
#define LIST_ESSENTIAL	16U
#define LIST_UNKILLABLE 32U /* survives SIGKILL (state D) */
#define LIST_ONESHOT	64U
#define LIST_FAULT	128U /* not in the state it should be in: status 3 */

/* id, CLI word, D-Bus member or NULL, in, names of in, out, names of out,
 * access, arguments, what it does */
#define VERBS(X)                                                               \
	X(STATUS, "status", "List", "as", "patterns", "a" VERB_LIST_ROW,       \
	  "workers", ACCESS_READ, "[PATTERN...]",                              \
	  "show workers: state, pid, uptime, restarts, last exit")             \
	X(START, "start", "Start", "asu", "patterns\0flags", "a(sss)",         \
	  "results", ACCESS_STEER, "PATTERN...",                               \
	  "start workers and wait until they are ready")                       \
	X(STOP, "stop", "Stop", "asu", "patterns\0flags", "a(sss)", "results", \
	  ACCESS_STEER, "PATTERN...",                                          \
	  "stop workers and wait until their whole trees are gone")            \
	X(RESTART, "restart", "Restart", "asu", "patterns\0flags", "a(sss)",   \
	  "results", ACCESS_STEER, "PATTERN...",                               \
	  "stop and start workers; starts what is stopped")                    \
	X(RECYCLE, "recycle", "Recycle", "asu", "patterns\0flags", "a(sss)",   \
	  "results", ACCESS_STEER, "PATTERN...",                               \
	  "replace workers a few at a time (recycle_max), as "                 \
	  "maxtasksperchild does")                                             \
	X(SIGNAL, "signal", "Signal", "asi", "patterns\0signal", "a(sss)",     \
	  "results", ACCESS_STEER, "SIGNAL PATTERN...",                        \
	  "send a signal to the processes of workers")                         \
	X(WAIT, "wait", "Wait", "asst", "patterns\0state\0timeout_usec",       \
	  "a(sss)", "results", ACCESS_READ, "STATE PATTERN...",                \
	  "wait until workers are in a state")                                 \
	X(RELOAD, "reload", "Reload", "u", "flags", "a(sss)as",                \
	  "plan\0warnings", ACCESS_OWNER, "",                                  \
	  "read the configuration again and apply what changed")               \
	X(LOGS, "logs", "OpenLog", "ss", "worker\0stream", "hs", "fd\0path",   \
	  ACCESS_STEER, "WORKER",                                              \
	  "show what a worker wrote to its standard output or error")          \
	X(REOPEN, "reopen", "Reopen", "", "", "", "", ACCESS_STEER, "",        \
	  "reopen all log files and rotate them, as SIGUSR1 does")             \
	X(CONFIG, "config", "Config", "u", "flags", "a(ssss)", "rows",         \
	  ACCESS_READ, "[FILE]",                                               \
	  "show the effective configuration and where each value comes from")  \
	X(SHUTDOWN, "shutdown", "Shutdown", "u", "flags", "", "",              \
	  ACCESS_OWNER, "", "stop all workers and end the daemon")             \
	X(CHECK, "check", NULL, "", "", "", "", ACCESS_READ, "[FILE]",         \
	  "check a configuration without a daemon; shows all errors")          \
	X(PID, "pid", NULL, "", "", "", "", ACCESS_READ, "[WORKER]",           \
	  "show the process id of the daemon or of a worker")                  \
	X(VERSION, "version", NULL, "", "", "", "", ACCESS_READ, "",           \
	  "show the versions of this program and of the daemon")               \
	X(HELP, "help", NULL, "", "", "", "", ACCESS_READ, "[VERB]",           \
	  "show what a verb does")

enum verb_id {
#define X(id, ...) VERB_##id,
	VERBS(X)
#undef X
		VERB_COUNT
};

struct verb {
	const char *word, *member, *in, *in_names, *out, *out_names;
	enum verb_access access;
	const char *arguments, *help;
};

extern const struct verb verb_table[VERB_COUNT];

/* The row of a word or member, or NULL. */
const struct verb *verb_by_word(const char *word);
const struct verb *verb_by_member(const char *member);
