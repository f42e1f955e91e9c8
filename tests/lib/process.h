/* What /proc tells of a process that a test looks at; and strace, to make its
 * system calls fail. Nothing here fails a test: what is gone counts nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

size_t process_count_fds(pid_t pid);
/* Its memory that is backed by no file, as far as it is present: what it
 * allocated, and not which parts of its program it has come to. */
long process_anonymous_kb(pid_t pid);

/* Its state as ps shows it ('T': stopped), or '\0' when it is gone. */
char process_state(pid_t pid);

/* The children of its first thread, zombies included, at most max. */
size_t process_children(pid_t pid, pid_t *ret_pids, size_t max);

/* The children of pid that run the same program: helpers of a daemon, not its
 * workers. At most max. */
size_t process_helpers(pid_t pid, pid_t *ret_pids, size_t max);

/* How many processes have NAME=VALUE in the environment they began with. */
size_t process_count_marked(const char *assignment);

/* Attaches strace to pid and its helpers with the rule for -e inject= (such as
 * "clone3:error=EAGAIN:when=1..3"; counted from here on). Returns strace's pid,
 * or 0 where there is no strace or no right to use it: says SKIP. */
pid_t inject_begin(pid_t pid, const char *rule);

/* Detaches and waits for it; it may have ended together with its target. */
void inject_end(pid_t strace);
