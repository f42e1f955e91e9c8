/* Leave: who is to go, and who may now.
 *
 * A worker is replaced after so many tasks, which it counts itself; when it is so
 * old, or holds so much memory, which the keeper finds. Either way the worker goes
 * between two tasks, of its own will, so that nothing is lost and nobody is
 * blamed: it asks, by a byte on its lifeline, and goes when it may. Whom the
 * keeper wants to go is told to ask (orders.is_due), and woken if it sleeps.
 * One that runs a long task asks when that has ended; until then it
 * takes no place among the recycle_max that are on their way.
 *
 * Age is a timer. Memory is looked at once a second, in /proc/PID/statm, whose
 * reading takes no lock that a stuck process could hold.
 */
#include "workers/pool/keeper_room.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/fd.h"

#define MEMORY_LOOK_USEC USEC_PER_SEC
#define LEAVE_LOOK_USEC	 UINT64_C(1000) /* has the successor got ready? */

/* --- limits ------------------------------------------------------------------ */

bool keeper_has_limits(const struct keeper_config *config)
{
	return config->maxtasksperchild > 0 || config->max_age_usec > 0 ||
	       config->max_rss_bytes > 0;
}

uint64_t keeper_age_due_usec(struct keeper *k)
{
	const struct keeper_config *c = k->config;

	if (c->max_age_usec == 0)
		return USEC_INFINITY;
	return usec_add(k->now_usec,
			c->max_age_usec -
				rng_below(&k->rng, c->max_age_jitter_usec + 1));
}

/* "size resident shared ..." in pages. What is shared is not the worker's alone:
 * the program, and payloads on their way. Returns false when it is gone. */
static bool read_memory(pid_t pid, uint64_t *ret_bytes)
{
	char path[32], text[128], *p = text;
	uint64_t resident, shared;
	ssize_t len;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	len = read(fd, text, sizeof(text) - 1);
	fd_close(fd);
	if (len <= 0)
		return false;
	text[len] = '\0';
	(void)strtoull(p, &p, 10);
	resident = strtoull(p, &p, 10);
	shared = strtoull(p, &p, 10);
	*ret_bytes =
		resident < shared
			? 0
			: (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
	return true;
}

/* --- who is to go ------------------------------------------------------------ */

static void wake(struct keeper *k, size_t i)
{
	struct channel_signs *signs = &k->seats[i].channel.memory->signs;

	if (atomic_exchange(&signs->asleep, 0))
		(void)syscall(SYS_futex, &signs->asleep, FUTEX_WAKE, 1, NULL,
			      NULL, 0);
}

static void tell_to_ask(struct keeper *k, size_t i, enum channel_due why)
{
	k->workers[i].is_due = true;
	atomic_store(&k->seats[i].channel.memory->orders.due, why);
	wake(k, i);
}

static bool may_be_due(const struct worker *w)
{
	return w->pid > 0 && w->cause == CAUSE_OWN && !w->is_due;
}

static void find_the_old(struct keeper *k)
{
	for (size_t i = 0; i < k->n_seats; i++)
		if (may_be_due(&k->workers[i]) &&
		    k->now_usec >= k->workers[i].age_due_usec)
			tell_to_ask(k, i, DUE_NOW);
}

static void find_the_large(struct keeper *k)
{
	uint64_t bytes;

	if (k->config->max_rss_bytes == 0 || k->now_usec < k->memory_usec)
		return;
	k->memory_usec = usec_add(k->now_usec, MEMORY_LOOK_USEC);
	for (size_t i = 0; i < k->n_seats; i++)
		if (may_be_due(&k->workers[i]) &&
		    read_memory(k->workers[i].pid, &bytes) &&
		    bytes > k->config->max_rss_bytes)
			tell_to_ask(k, i, DUE_AFTER_A_TASK);
}

/* --- who may ------------------------------------------------------------------- */

/* Between leaving and ready. */
static bool is_recycling(const struct worker *w)
{
	return w->pid > 0 && (w->has_leave || (w->is_recycled && !w->is_ready));
}

static bool is_waiting(const struct worker *w)
{
	return w->pid > 0 && w->has_asked && !w->has_leave;
}

static void grant_leave(struct keeper *k)
{
	unsigned n = 0, most = k->config->recycle_max ?: UINT_MAX;

	for (size_t i = 0; i < k->n_seats; i++)
		n += is_recycling(&k->workers[i]);
	for (size_t i = 0; i < k->n_seats && n < most; i++) {
		struct worker *w = &k->workers[i];

		if (!is_waiting(w))
			continue;
		n += !is_recycling(w);
		w->has_leave = true;
		atomic_store(&k->seats[i].channel.memory->orders.may_leave, 1);
		wake(k, i);
	}
}

/* A successor that gets ready does not say so: looked at only while somebody
 * waits for it. */
static bool has_to_look_for_leave(const struct keeper *k)
{
	bool is_awaited = false, is_starting = false;

	for (size_t i = 0; i < k->n_seats; i++) {
		const struct worker *w = &k->workers[i];

		is_awaited |= is_waiting(w);
		is_starting |= w->pid > 0 && w->is_recycled && !w->is_ready;
	}
	return is_awaited && is_starting;
}

void keeper_leave(struct keeper *k)
{
	if (!keeper_has_limits(k->config))
		return;
	find_the_old(k);
	find_the_large(k);
	grant_leave(k);
}

uint64_t keeper_leave_next_usec(const struct keeper *k)
{
	uint64_t next = USEC_INFINITY;

	if (!keeper_has_limits(k->config))
		return next;
	for (size_t i = 0; i < k->n_seats; i++)
		if (may_be_due(&k->workers[i]))
			next = MIN(next, k->workers[i].age_due_usec);
	if (k->config->max_rss_bytes > 0)
		next = MIN(next, k->memory_usec);
	if (has_to_look_for_leave(k))
		next = MIN(next, usec_add(k->now_usec, LEAVE_LOOK_USEC));
	return next;
}
