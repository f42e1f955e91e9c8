/* A reeved of a test's own: started from an ini text in a private directory,
 * asked over its control socket, and at the end shown to have left nothing.
 *
 * Everything waits with a deadline (RIG_DEADLINE_SEC, generous: machines are
 * shared) and fails the test when it passes; nothing sleeps. Calls fail the
 * test themselves (ck_assert), so that tests read as a list of facts.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define RIG_DEADLINE_SEC 15

struct rig;

/* What status says of one worker. */
struct rig_row {
	char name[160], group[160], state[16], status[300], error[300];
	pid_t pid;
	uint64_t restarts, recycles, failures, tasks, uptime_usec;
	uint32_t flags; /* LIST_... */
	int exit_code;
};

enum rig_flags {
	RIG_NO_CGROUP = 1,   /* cgroup = off: trees by ancestry */
	RIG_KEEP_STRAYS = 2, /* do not fail on processes left behind */
};

/* Starts reeved ($REEVED) with this ini text (printf-like; the [reeve] section
 * with private directories is put in front) and waits until it is ready. */
struct rig *rig_start(int flags, const char *ini, ...)
	__attribute__((format(printf, 2, 3)));

/* The same, but reeved is expected to refuse: returns its exit code, its
 * stderr in *ret_stderr (free it). */
int rig_refused(const char *ini, char **ret_stderr);

/* New text for the configuration file (without [reeve]). */
void rig_write_config(struct rig *r, const char *ini, ...)
	__attribute__((format(printf, 2, 3)));

/* A path in the rig's directory; valid until the next four calls. */
const char *rig_path(struct rig *r, const char *name);
const char *rig_dir(struct rig *r);
const char *rig_socket(struct rig *r);
pid_t rig_daemon_pid(struct rig *r);
bool rig_uses_cgroup(struct rig *r);

struct rig_row rig_row(struct rig *r, const char *name);
pid_t rig_pid(struct rig *r, const char *name);	    /* not 0 */
size_t rig_count(struct rig *r, const char *state); /* "" counts all */

/* Waits until the worker is in the state. */
void rig_wait(struct rig *r, const char *name, const char *state);
/* Waits until it RUNS with another pid than this one; returns the new pid. */
pid_t rig_wait_replaced(struct rig *r, const char *name, pid_t old);
/* Waits until a condition on its row holds. */
void rig_wait_row(struct rig *r, const char *name,
		  bool (*holds)(const struct rig_row *row, uint64_t arg),
		  uint64_t arg);
bool rig_has_restarts(const struct rig_row *row, uint64_t n); /* at least */
bool rig_has_recycles(const struct rig_row *row, uint64_t n);
/* Waits until reeved's own log holds the text. */
void rig_wait_log(struct rig *r, const char *text);
bool rig_log_has(struct rig *r, const char *text);
/* Waits until a file exists and holds the text ("" : exists, not empty). */
void rig_wait_file(const char *path, const char *text);
/* The whole file, or "" (free it). */
char *rig_read_file(const char *path);
/* Waits until no process of this pid is alive (zombies count as gone). */
void rig_wait_gone(pid_t pid);
bool rig_is_alive(pid_t pid);

/* Runs $REEVE with -s of this rig. Returns its exit code; outputs (may be
 * NULL) are new strings. The list ends with NULL. */
int rig_reeve(struct rig *r, char **ret_stdout, char **ret_stderr, ...)
	__attribute__((sentinel));

/* SIGTERM, then waits; returns the exit code and frees the rig. Fails the test
 * when a process, a socket or a cgroup is left. */
int rig_stop(struct rig *r);
/* Waits for reeved to end by itself; otherwise as rig_stop. */
int rig_join(struct rig *r);
/* SIGKILLs reeved; the rig stays for rig_restart(). */
void rig_crash(struct rig *r);
void rig_restart(struct rig *r);
