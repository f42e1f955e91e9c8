/* The end of workers.
 *
 * The keeper has no children but workers, and what comes to it as subreaper
 * when one is dead. Nobody else reaps either, so a pid is its process until it
 * is reaped here, and one call for "any child" takes both kinds. What is left of
 * a worker's tree is the children that are no worker's: its subreaping ends with
 * it, so they are ours before its death can be seen. Each is killed with its
 * group, which no fork escapes; the children of those come to us in turn, and
 * each such death wakes us to look again. What outruns that (each of a chain in
 * a session of its own) is stopped to a fixpoint by tree_kill().
 *
 * Then the end is judged. A worker that left of its own will, with nothing in
 * its hands, is replaced on the same channel, and the owner need not know.
 * Anything else is told on the board, and the seat waits for a new offer.
 */
#include "workers/pool/keeper_room.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/str.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/procstat.h"
#include "workers/base/sys/tree.h"

#define REAP_MAX   4096 /* in one turn */
#define SWEEPS_MAX 8	/* then thoroughly */

/* Who got ready and ends sooner than this, without a task to blame, would do so
 * again at once, and again. */
#define HASTY_USEC UINT64_C(10000)

void keeper_say(struct keeper *k, const char *format, ...)
{
	va_list ap;

	if (atomic_load(&k->board->state) == KEEPER_FATAL)
		return;
	va_start(ap, format);
	(void)vsnprintf(k->board->message, sizeof(k->board->message), format,
			ap);
	va_end(ap);
}

void keeper_kill(struct keeper *k, size_t i, enum seat_cause cause)
{
	struct worker *w = &k->workers[i];

	reeve_assert(w->pid > 1 && !w->is_dead);
	if (w->cause == CAUSE_OWN)
		w->cause = cause;
	(void)kill(-w->pid, SIGKILL); /* fails before its setpgid() */
	(void)kill(w->pid, SIGKILL);
}

void keeper_describe(struct keeper *k, size_t i)
{
	char *text = k->board->seats[i].post_mortem;

	(void)postmortem_describe(k->workers[i].pid, text, POSTMORTEM_MAX);
}

/* --- reaping ------------------------------------------------------------------- */

static void note_death(struct keeper *k, const siginfo_t *info,
		       const struct rusage *rusage)
{
	for (size_t i = 0; i < k->n_seats; i++) {
		struct worker *w = &k->workers[i];

		if (w->pid != info->si_pid)
			continue;
		w->is_dead = true;
		w->exit_code = info->si_code == CLD_EXITED ? info->si_status
							   : -info->si_status;
		w->core = info->si_code == CLD_DUMPED;
		w->rusage = *rusage;
		return;
	}
}

/* By a signal, of its own or a stranger's; or it goes on. */
static void note_stop(struct keeper *k, const siginfo_t *info)
{
	for (size_t i = 0; i < k->n_seats; i++)
		if (k->workers[i].pid == info->si_pid)
			k->workers[i].stopped_usec =
				info->si_code == CLD_STOPPED ? k->now_usec : 0;
}

static bool is_end(const siginfo_t *info)
{
	return info->si_code != CLD_STOPPED && info->si_code != CLD_CONTINUED;
}

void keeper_reap(struct keeper *k)
{
	const int what = WEXITED | WSTOPPED | WCONTINUED | WNOHANG;

	for (int n = 0; n < REAP_MAX; n++) {
		siginfo_t info = { 0 };
		struct rusage rusage;

		/* The system call tells of resources; glibc's does not. */
		if (syscall(SYS_waitid, P_ALL, 0, &info, what, &rusage) < 0) {
			k->has_children = false; /* ECHILD */
			k->has_deaths = false;
			return;
		}
		k->has_children = true;
		if (info.si_pid == 0) {
			k->has_deaths = false;
			return;
		}
		if (is_end(&info))
			note_death(k, &info, &rusage);
		else
			note_stop(k, &info);
	}
	k->has_deaths =
		true; /* there may be more: the next turn comes at once */
}

/* --- what they leave ------------------------------------------------------------- */

static bool is_worker(const struct keeper *k, pid_t pid)
{
	for (size_t i = 0; i < k->n_seats; i++)
		if (k->workers[i].pid == pid && !k->workers[i].is_dead)
			return true;
	return false;
}

static size_t count_alive(const struct keeper *k)
{
	size_t n = 0;

	for (size_t i = 0; i < k->n_seats; i++)
		n += k->workers[i].pid > 0 && !k->workers[i].is_dead;
	return n;
}

static size_t count_words(const char *text)
{
	size_t n = 0;

	for (; (text = strchr(text, ' ')); text++)
		n++;
	return n;
}

/* A group of the dead alone? In their session a task's child may have gone into
 * the owner's group, or into any other of the terminal. */
static bool is_orphans_group(const struct keeper *k, pid_t pgrp)
{
	struct tree_process leader;

	if (pgrp <= 1 || pgrp == k->pid || is_worker(k, pgrp) ||
	    pgrp == getpgid(getppid()))
		return false;
	return procstat_read(pgrp, &leader) < 0 || leader.ppid == k->pid;
}

/* An orphan is our child, so its pid is its until we reap, and its group has it
 * as a member. It may have joined the group of another worker. */
static void kill_orphan(const struct keeper *k, pid_t pid, bool thoroughly)
{
	struct tree_process p;

	if (thoroughly)
		(void)tree_kill(&(struct tree_id){ .leader = pid });
	else if (procstat_read(pid, &p) == 0 && is_orphans_group(k, p.pgrp))
		(void)kill(-p.pgrp, SIGKILL);
	(void)kill(pid, SIGKILL);
}

void keeper_sweep(struct keeper *k)
{
	bool thoroughly = k->n_sweeps >= SWEEPS_MAX;
	const char *p = k->children;
	ssize_t len;
	char *end;

	len = pread(k->children_fd, k->children, k->children_size - 1, 0);
	if (len < 0)
		return;
	k->children[len] = '\0';
	/* Nearly always; a worker that died since is among them still. */
	if (count_words(k->children) <= count_alive(k)) {
		k->n_sweeps = 0;
		return;
	}
	k->n_sweeps += k->n_sweeps < SWEEPS_MAX;
	for (;; p = end) {
		pid_t pid = (pid_t)strtol(p, &end, 10);

		/* The last may be cut off, and then it is a stranger's. */
		if (end == p || *end != ' ')
			return;
		if (!is_worker(k, pid))
			kill_orphan(k, pid, thoroughly);
	}
}

/* --- judging ----------------------------------------------------------------------- */

struct verdict {
	enum seat_cause cause;
	bool is_clean;	/* left by itself, nothing in its hands */
	bool is_idle;	/* without having done anything */
	bool is_queued; /* but something is waiting there */
	bool is_failed_start;
};

static struct verdict judge(const struct keeper *k, size_t i)
{
	const struct channel *c = &k->seats[i].channel;
	const struct worker *w = &k->workers[i];
	uint32_t phase = atomic_load(&c->memory->signs.phase);
	bool is_unready = phase == PHASE_STARTING || phase == PHASE_INIT_FAILED;
	struct verdict v = { .cause = w->cause };

	if ((w->cause == CAUSE_CUT_OFF || w->cause == CAUSE_STOPPED) &&
	    w->exit_code != -SIGKILL)
		v.cause = CAUSE_OWN; /* it was on its way out */
	else if (w->cause == CAUSE_OWN && phase == PHASE_BROKEN &&
		 w->exit_code > 0)
		v.cause = CAUSE_CUT_OFF;
	if (v.cause == CAUSE_OWN && phase == PHASE_LEAVING &&
	    w->exit_code == 0) {
		struct ring_sight sight = keeper_look_at_ring(c, w->watch.slot);

		v.is_clean = !sight.is_running;
		v.is_idle = c->memory->signs.position == w->first_position;
		v.is_queued = sight.is_queued;
	}
	v.is_failed_start =
		is_unready && v.cause != CAUSE_KILLED && v.cause != CAUSE_LEFT;
	return v;
}

static bool is_closing(const struct keeper *k, size_t i)
{
	return atomic_load(&k->board->order) != ORDER_RUN ||
	       atomic_load(&k->seats[i].channel.memory->orders.closing) != 0;
}

/* Is the channel to have a successor at once? While closing only if something
 * waits there that nobody else would run. The dead one is counted still. One that
 * had done nothing and had no leave would not be the last to go so: somebody has
 * written over the orders, which the owner puts right. */
static bool has_to_recycle(const struct keeper *k, size_t i,
			   const struct verdict *v)
{
	bool is_in_vain = v->is_idle && !k->workers[i].has_leave;

	if (!v->is_clean || is_in_vain || !keeper_has_limits(k->config) ||
	    k->is_owner_gone ||
	    atomic_load(&k->board->order) == ORDER_TERMINATE ||
	    atomic_load(&k->board->state) == KEEPER_FATAL ||
	    k->now_usec < k->failures.not_before_usec)
		return false;
	if (is_closing(k, i))
		return v->is_queued;
	return keeper_count_live(k) <= keeper_count_wanted(k);
}

/* --- telling ------------------------------------------------------------------------- */

static void describe_failure(struct keeper *k, size_t i,
			     const struct verdict *v)
{
	const struct channel_signs *signs = &k->seats[i].channel.memory->signs;
	const struct worker *w = &k->workers[i];
	const char *post_mortem = k->board->seats[i].post_mortem;
	char text[CHANNEL_ERROR_MAX], shown[CHANNEL_ERROR_MAX / 2];
	bool is_refused = atomic_load(&signs->phase) == PHASE_INIT_FAILED;

	memcpy(text, signs->init_message, sizeof(text));
	text[sizeof(text) - 1] = '\0';
	if (v->cause == CAUSE_START)
		keeper_say(k, "worker %zu: not ready in %.3f s%s%.*s", i,
			   (double)k->config->start_timeout_usec / 1e6,
			   *post_mortem ? "; it was " : "",
			   postmortem_gist_len(post_mortem), post_mortem);
	else if (v->cause == CAUSE_CUT_OFF)
		keeper_say(k,
			   "worker %zu: closed its descriptors or executed "
			   "a program before it was ready",
			   i);
	else if (is_refused)
		keeper_say(k, "worker %zu: %s", i,
			   str_escape(text, shown, sizeof(shown)));
	else if (w->exit_code < 0)
		keeper_say(k,
			   "worker %zu: killed by signal %d (SIG%s) before "
			   "it was ready",
			   i, -w->exit_code,
			   sigabbrev_np(-w->exit_code) ?: "?");
	else
		keeper_say(k,
			   "worker %zu: exited with code %d before it was "
			   "ready",
			   i, w->exit_code);
}

static void count_failure(struct keeper *k, size_t i, const struct verdict *v)
{
	uint64_t progress = atomic_load(&k->board->progress);

	describe_failure(k, i, v);
	atomic_fetch_add(&k->board->n_start_failures, 1);
	if (failures_add(&k->failures, k->now_usec, progress))
		atomic_store(&k->board->state, KEEPER_FATAL);
}

static bool is_hasty(const struct keeper *k, size_t i, const struct verdict *v)
{
	const struct worker *w = &k->workers[i];
	bool is_expected = v->is_clean && (!v->is_idle || is_closing(k, i));

	return v->cause == CAUSE_OWN && !is_expected &&
	       k->now_usec - w->started_usec < HASTY_USEC &&
	       !keeper_look_at_ring(&k->seats[i].channel, w->watch.slot)
			.is_running;
}

/* Only where deadlines are watched is it known. */
static uint64_t busy_usec(const struct keeper *k, size_t i)
{
	const struct watch *watch = &k->workers[i].watch;
	uint64_t word =
		keeper_look_at_ring(&k->seats[i].channel, watch->slot).word;

	if (watch->word == 0 ||
	    slot_word_tag(word) != slot_word_tag(watch->word) ||
	    slot_word_item(word) != slot_word_item(watch->word))
		return 0;
	return usec_sub(k->now_usec, watch->since_usec);
}

static void tell_end(struct keeper *k, size_t i, enum seat_cause cause)
{
	struct seat *seat = &k->board->seats[i];
	const struct worker *w = &k->workers[i];

	seat->cause = cause;
	seat->exit_code = w->exit_code;
	seat->core = w->core;
	seat->rusage = w->rusage;
	seat->ended_usec = k->now_usec;
	seat->busy_usec = busy_usec(k, i);
	seat->oom = OOM_NO;
	if (w->exit_code == -SIGKILL && cause == CAUSE_OWN)
		seat->oom = oom_judge(&k->oom);
	atomic_store(&seat->state, SEAT_ENDED);
	atomic_fetch_add(&k->board->n_changes, 1);
	k->has_news = true;
}

static void settle(struct keeper *k, size_t i)
{
	struct worker *w = &k->workers[i];
	struct verdict v = judge(k, i);

	lifeline_end(k, i, v.is_clean && k->n_sweeps == 0); /* no orphan */
	if (has_to_recycle(k, i, &v) && keeper_start(k, i, true) == 0)
		return;
	lifeline_close(k, i);
	if (v.is_failed_start)
		count_failure(k, i, &v);
	else if (is_hasty(k, i, &v))
		failures_hasty(&k->failures, k->now_usec,
			       atomic_load(&k->board->progress));
	/* Perhaps it was told to, and then to stay, too late. */
	tell_end(k, i, v.is_clean ? CAUSE_LEFT : v.cause);
	*w = (struct worker){
		.turn = w->turn,
		.generation = w->generation,
		.lifeline = LIFELINE_NONE,
	};
}

void keeper_settle(struct keeper *k)
{
	for (size_t i = 0; i < k->n_seats; i++)
		if (k->workers[i].is_dead)
			settle(k, i);
}
