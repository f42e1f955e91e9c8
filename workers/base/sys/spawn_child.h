/* The child's side of a start; private to spawn.c and to tests.
 *
 * spawn_child_run() runs between clone and exec, in a copy of a process that may
 * have had other threads: nothing here allocates, locks, or trusts what libc remembers (a raw
 * clone leaves glibc's idea of its thread as it was in the parent).
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "workers/base/sys/spawn.h"

#define SPAWN_OOM_TEXT_MAX 16

/* What the parent prepares. The child changes its own copy. */
struct spawn_plan {
	const struct spawn_spec *spec;
	int report_fd;	  /* write end, CLOEXEC */
	pid_t parent;	  /* who has to be the parent still */
	uid_t parent_uid; /* what credentials must not lead back to */
	gid_t parent_gid;
	int gate[2];	   /* a pipe to wait at first; -1: none */
	bool is_sibling;   /* a child of our parent: spawner.c */
	bool enter_cgroup; /* it was not born in spec->cgroup_fd */
	bool has_handlers; /* the parent's: it was not CLONE_CLEAR_SIGHAND */
	bool has_threads;  /* the parent, as streams_flush() said */
	int detail;	   /* of the step that failed */
	char oom_text[SPAWN_OOM_TEXT_MAX]; /* spec->oom_score_adj */
};

/* What a plan begins with. */
#define SPAWN_PLAN .gate = { -1, -1 }

/* Waits at the gate, applies the spec and runs the program or the function. A failure is written
 * to report_fd and ends the process with SPAWN_EXIT_CODE. */
_Noreturn void spawn_child_run(struct spawn_plan *plan);

/* For spawner.c. */
bool spawn_is_valid(const struct spawn_spec *spec);

/* Starts a program as a child of our parent (CLONE_PARENT), which is who its
 * parent has to be; it reports to report_fd, the caller's. ret_child gets pid
 * and pidfd. Returns 0 or -errno. */
int spawn_start_sibling(const struct spawn_spec *spec, pid_t parent,
			int report_fd, struct spawn_child *ret_child);
