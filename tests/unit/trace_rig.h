/* A tree of processes of which one is killed when it, or another one, stops at its
 * k-th system call.
 *
 * Each process has a role: the root has 0, a child the one after its parent's, up to
 * last_role. The test is their tracer, by ptrace(2); only those of the target's role
 * stop at system calls. Between two system calls a process changes only its own
 * memory and what it shares of it, so these are all the states that others can
 * find it in but for those.
 */
#pragma once

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/unit.h"

#define TRACED_MAX 256

struct traced {
	pid_t pid;
	int role;
	bool is_known; /* its parent has told of it */
	bool is_held;  /* it stopped before that */
	bool is_inside;
};

struct tracer {
	/* What is wanted. */
	int last_role;
	int target;	 /* who stops */
	int victim;	 /* who is killed then: also a role */
	int k;		 /* from 1; 0: nobody is killed */
	int n_kills;	 /* so many of them, one after the other */
	bool with_ends;	 /* the end of a call is a stop, too */
	bool frees_root; /* from its first child on */
	void (*on_kill)(struct tracer *t);
	int deadline_seconds;

	struct traced all[TRACED_MAX];
	size_t n;
	int n_stops; /* of the target's role, since the last kill */
	int n_killed;
	bool has_died; /* somebody: whose child might never be told of */
	pid_t root;
	int status; /* of the root, at last */
};

static inline struct traced *trace_find(struct tracer *t, pid_t pid)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->all[i].pid == pid)
			return &t->all[i];
	ck_assert_uint_lt(t->n, TRACED_MAX);
	t->all[t->n] = (struct traced){ .pid = pid };
	return &t->all[t->n++];
}

static inline bool trace_is_done(const struct tracer *t)
{
	return t->k > 0 && t->n_killed == t->n_kills;
}

static inline void trace_resume(const struct tracer *t, const struct traced *p,
				int signo)
{
	bool stops = p->role == t->target && !trace_is_done(t);

	/* fails when it has been killed meanwhile */
	(void)ptrace(stops ? PTRACE_SYSCALL : PTRACE_CONT, p->pid, NULL,
		     (void *)(intptr_t)signo);
}

static inline void trace_know(struct tracer *t, struct traced *child,
			      int parent_role)
{
	bool was_held = child->is_held;

	child->role = parent_role + (parent_role < t->last_role);
	child->is_known = true;
	child->is_held = false;
	if (was_held)
		trace_resume(t, child, 0);
}

static inline void trace_note_child(struct tracer *t,
				    const struct traced *parent)
{
	unsigned long pid = 0;

	(void)ptrace(PTRACE_GETEVENTMSG, parent->pid, NULL, &pid);
	trace_know(t, trace_find(t, (pid_t)pid), parent->role);
}

static inline int trace_parent_role(const struct tracer *t, pid_t pid)
{
	char path[64];
	int parent = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f && fscanf(f, "%*d %*s %*c %d", &parent) != 1)
		parent = 0;
	if (f)
		(void)fclose(f);
	for (size_t i = 0; i < t->n; i++)
		if (t->all[i].is_known && t->all[i].pid == parent)
			return t->all[i].role;
	return t->last_role;
}

/* A child waits for its parent to tell of it; when that may have died before, it is
 * taken for the child of who has it now. */
static inline void trace_free_held(struct tracer *t)
{
	for (size_t i = 0; i < t->n && t->has_died; i++)
		if (t->all[i].is_held)
			trace_know(t, &t->all[i],
				   trace_parent_role(t, t->all[i].pid));
}

static inline pid_t trace_victim(const struct tracer *t, const struct traced *p)
{
	pid_t pid = p->pid;

	if (t->victim == t->target)
		return pid;
	for (size_t i = 0; i < t->n; i++)
		if (t->all[i].is_known && t->all[i].role == t->victim)
			pid = t->all[i].pid; /* the latest of them */
	return pid;
}

/* Returns true when it was killed itself. */
static inline bool trace_note_call(struct tracer *t, struct traced *p)
{
	pid_t victim;

	p->is_inside = !p->is_inside;
	if (trace_is_done(t) || (!p->is_inside && !t->with_ends))
		return false;
	if (++t->n_stops != t->k)
		return false;
	t->n_stops = 0;
	t->n_killed++;
	victim = trace_victim(t, p);
	if (kill(victim, SIGKILL) < 0)
		return false;
	if (t->on_kill)
		t->on_kill(t);
	return victim == p->pid;
}

static inline void trace_on_stop(struct tracer *t, pid_t pid, int status)
{
	struct traced *p = trace_find(t, pid);
	int signo = WSTOPSIG(status), event = status >> 16;

	if (!p->is_known) {
		p->is_held = true;
		trace_free_held(t);
		return;
	}
	if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK ||
	    event == PTRACE_EVENT_CLONE) {
		trace_note_child(t, p);
		if (t->frees_root && p->role == 0) {
			(void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
			return;
		}
	}
	if (signo == (SIGTRAP | 0x80)) {
		if (trace_note_call(t, p))
			return;
		signo = 0;
	} else if (event != 0 || signo == SIGSTOP || signo == SIGTRAP) {
		signo = 0;
	}
	trace_resume(t, p, signo);
}

static void trace_on_alarm(int signo _unused_)
{
}

/* Until nobody is left. Returns false when somebody still is at the deadline. */
static inline bool trace_all(struct tracer *t)
{
	const struct sigaction interrupt = { .sa_handler = trace_on_alarm };
	const struct itimerval deadline = { .it_value.tv_sec =
						    t->deadline_seconds };
	const struct itimerval none = { .it_value.tv_sec = 0 };
	int status;
	pid_t pid;

	(void)sigaction(SIGALRM, &interrupt, NULL);
	(void)setitimer(ITIMER_REAL, &deadline, NULL);
	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		if (WIFSTOPPED(status))
			trace_on_stop(t, pid, status);
		else if (pid == t->root)
			t->status = status;
		if (WIFSIGNALED(status)) {
			t->has_died = true;
			trace_free_held(t);
		}
	}
	(void)setitimer(ITIMER_REAL, &none, NULL);
	if (errno == ECHILD)
		return true;
	for (size_t i = 0; i < t->n; i++)
		(void)kill(t->all[i].pid, SIGKILL);
	return false;
}

/* Runs fn, which must not return, as the root, and waits for all that come of it.
 * Returns false when they did not end. */
static inline bool trace_run(struct tracer *t, void (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		(void)raise(SIGSTOP);
		fn(arg);
		_exit(99);
	}
	ck_assert_int_gt(pid, 0);
	t->root = pid;
	*trace_find(t, pid) = (struct traced){ .pid = pid, .is_known = true };
	ck_assert_int_eq(waitpid(pid, &t->status, 0), pid);
	ck_assert_int_eq(
		ptrace(PTRACE_SETOPTIONS, pid, NULL,
		       (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK |
				PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
				PTRACE_O_TRACEEXEC)),
		0);
	trace_resume(t, &t->all[0], 0);
	return trace_all(t);
}
