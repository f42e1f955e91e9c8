/* What a process is doing that is about to be killed because it hangs, as far as
 * /proc tells, in one line.
 *
 * Properties
 *   "sleeping in futex (wchan futex_do_wait); 1 thread, 2.1 MiB resident, 0.03 s
 *   of CPU time; stack: futex_do_wait < __futex_wait < futex_wait". Up to the
 *   first semicolon it is the gist. What the kernel does not tell us is left out;
 *   the stack is root's to read. Of several threads the first one is shown.
 * Operation
 *   postmortem_describe() while the process is known to be there: a child that has
 *   not been reaped, or one held by a pidfd.
 * Safety
 *   Never blocks: reads nothing that waits for the memory map's lock (cmdline,
 *   maps, smaps), which a stuck process may hold for ever, and nothing that waits
 *   for the end of an exec (syscall, stack) unless the process has executed
 *   nothing since it was forked.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define POSTMORTEM_MAX	      512 /* bytes, with the NUL */
#define POSTMORTEM_SYMBOL_MAX 64

struct postmortem {
	char state; /* as in /proc/PID/stat; 0: nothing is known */
	bool has_executed;
	int n_threads;
	uint64_t cpu_ticks, resident_pages;
	long syscall;			   /* -1: in none, or not known */
	char wchan[POSTMORTEM_SYMBOL_MAX]; /* "": in none, or not known */
	char stack[POSTMORTEM_MAX];	   /* "a < b < c", or "" */
};

/* Describes process pid. Returns text, which is "" when nothing is known. */
char *postmortem_describe(pid_t pid, char *text, size_t size_bytes);

/* How long the gist of text is, in bytes. */
int postmortem_gist_len(const char *text);

/* --- its parts, which are pure */

/* From the text of /proc/PID/stat. Returns 0 or -EBADMSG. */
int postmortem_parse_stat(const char *text, struct postmortem *ret);

/* From that of /proc/PID/syscall: the number, or -1. */
long postmortem_parse_syscall(const char *text);

/* One symbol: cut at whatever is none. */
void postmortem_parse_symbol(const char *text, char *ret, size_t size_bytes);

/* From that of /proc/PID/stack, as much as fits. */
void postmortem_parse_stack(const char *text, char *ret, size_t size_bytes);

/* The name of a system call that one may hang in, or NULL. */
const char *postmortem_syscall_name(long number);

char *postmortem_word(const struct postmortem *p, char *text,
		      size_t size_bytes);
