/* Reports of starts: the pipes whose end of file says that a program runs.
 *
 * Properties
 *   Nobody holds the write end of a report but the process that it is about: so
 *   its end of file comes when that has executed its program, or ended, whatever
 *   other threads start or fork meanwhile.
 * Operation
 *   report_open() and report_close() around a start, in one thread. fork(2) is
 *   seen to by itself; who clones by a system call of his own puts it between
 *   report_freeze() and report_thaw(), and the child calls report_leave_others().
 * Safety
 *   Any thread. report_leave_others() is async-signal-safe.
 */
#pragma once

#include <sys/queue.h>

struct report {
	int read_fd, write_fd; /* CLOEXEC, non-blocking */
	LIST_ENTRY(report) entry;
};

/* A pipe for a start of the calling thread, one at a time. It stays where it is
 * until report_close(). Returns 0 or -errno. */
int report_open(struct report *ret_report);

/* Closes the write end. The read end is the caller's. */
void report_close(struct report *report);

/* No report is opened or closed in between. */
void report_freeze(void);
void report_thaw(void);

/* In a child that has a copy of our memory: closes all write ends but that of
 * the thread it was cloned by. */
void report_leave_others(void);
