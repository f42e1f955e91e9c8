/* One process, as /proc/PID shows it. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "workers/base/sys/tree.h"

/* Reads the one line of a /proc/PID/stat. Its second field, the name, is in
 * parentheses and may itself hold parentheses, blanks and newlines. Returns 0
 * or -EBADMSG. */
int procstat_parse(const char *text, struct tree_process *ret_process);

/* Returns 0, -ESRCH, or what opening and reading said. */
int procstat_read(pid_t pid, struct tree_process *ret_process);

/* Ended, and at most waiting to be reaped. A first thread that has ended shows
 * Z while others of its process live. */
bool procstat_is_dead(const struct tree_process *process);
