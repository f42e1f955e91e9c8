/* The one thing that the library remembers between calls: which processes the
 * calling one has started.
 *
 * It is a global because the question is one: multiprocessing's
 * active_children() asks the program, not an object. It owns no processes;
 * handles enter when they have started and leave when they are freed. Those
 * that are freed while their process runs on (detached, or not yet dead of a
 * SIGKILL) are kept apart, and reaped by later calls.
 *
 * A fork makes another family: the child has started nobody. It takes a new
 * generation, by which each handle knows whose it is; a pid could come again.
 * The lock is held over fork(2), so that the child finds the lists whole. It is
 * never held while something waits, nor over a fork of ours.
 */
#include "workers/process/family.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "workers/base/pure/macro.h"

LIST_HEAD(members, reeve_process);

static struct family {
	pthread_once_t once;
	pthread_mutex_t lock;
	int init_error;
	uint64_t generation; /* changes in forked children only */
	unsigned n_named;
	struct members active, released;
	char own_name[REEVE_PROCESS_NAME_MAX + 1];
} family = {
	.once = PTHREAD_ONCE_INIT,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.own_name = "main",
};

static void lock_family(void)
{
	(void)pthread_mutex_lock(&family.lock);
}

static void unlock_family(void)
{
	(void)pthread_mutex_unlock(&family.lock);
}

/* In the child: the handles stay allocated, as somebody may hold them. */
static void begin_anew(void)
{
	family.generation++;
	family.n_named = 0;
	LIST_INIT(&family.active);
	LIST_INIT(&family.released);
	unlock_family();
}

static void init_once(void)
{
	family.init_error =
		-pthread_atfork(lock_family, unlock_family, begin_anew);
}

int family_init(void)
{
	(void)pthread_once(&family.once, init_once);
	return family.init_error;
}

uint64_t family_generation(void)
{
	return family.generation;
}

void family_add(struct reeve_process *p)
{
	lock_family();
	LIST_INSERT_HEAD(&family.active, p, siblings);
	unlock_family();
}

void family_remove(struct reeve_process *p)
{
	lock_family();
	LIST_REMOVE(p, siblings);
	unlock_family();
}

void family_release(struct reeve_process *p)
{
	lock_family();
	LIST_INSERT_HEAD(&family.released, p, siblings);
	unlock_family();
}

void family_sweep(void)
{
	struct reeve_process *p, *next;

	lock_family();
	for (p = LIST_FIRST(&family.released); p; p = next) {
		next = LIST_NEXT(p, siblings);
		if (process_settle(p, true) == 0)
			continue;
		LIST_REMOVE(p, siblings);
		(void)process_delete(p);
	}
	unlock_family();
}

void family_make_name(char name[static REEVE_PROCESS_NAME_MAX + 1])
{
	lock_family();
	(void)snprintf(name, REEVE_PROCESS_NAME_MAX + 1, "process-%u",
		       ++family.n_named);
	unlock_family();
}

void family_set_own_name(const char *name)
{
	(void)snprintf(family.own_name, sizeof(family.own_name), "%s", name);
}

const char *reeve_process_current_name(void)
{
	return family.own_name;
}

size_t reeve_active_children(reeve_process **ret_processes, size_t n)
{
	struct reeve_process *p;
	size_t count = 0;

	family_sweep();
	lock_family();
	LIST_FOREACH(p, &family.active, siblings)
	{
		if (reeve_process_is_alive(p) != 1)
			continue;
		if (count < n && ret_processes)
			ret_processes[count] = p;
		count++;
	}
	unlock_family();
	return count;
}
