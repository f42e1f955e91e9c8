/* Handles: who is in them, and what a fork makes of them.
 *
 * A child inherits the socket. As long as that is open there, the server would not
 * see the parent die, and nobody would get the locks that it held: so each child
 * closes it at once, by pthread_atfork(3), for which this file keeps a list of all
 * connections. Its lock is held while a socket changes and over a fork.
 *
 * That a handle is a forked child's is seen by its mark, which lies in memory that
 * a fork wipes (also one that does without the handlers). What the parent's threads
 * were doing meanwhile is of no use to the child: it begins anew. When one of them
 * was in a call, the buffers may be half moved, and are left alone.
 */
#include "workers/manager/client.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/str.h"
#include "workers/base/sys/fd.h"

#define MARK_SIZE 4096u

enum mark {
	MARK_WIPED, /* by a fork */
	MARK_OURS,
	MARK_ADOPTING, /* the child's first call is under way */
};

LIST_HEAD(clients, reeve_manager);

static struct {
	pthread_once_t once;
	pthread_mutex_t lock;
	int init_error;
	struct clients all;
} registry = {
	.once = PTHREAD_ONCE_INIT,
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

/* ---- forks -------------------------------------------------------------------- */

static void lock_registry(void)
{
	(void)pthread_mutex_lock(&registry.lock);
}

static void unlock_registry(void)
{
	(void)pthread_mutex_unlock(&registry.lock);
}

static void leave_to_parent(void)
{
	struct reeve_manager *m, *next;

	for (m = LIST_FIRST(&registry.all); m; m = next) {
		next = LIST_NEXT(m, siblings);
		m->wire.fd = fd_close(m->wire.fd);
		m->is_listed = false;
		owner_forget(m);
	}
	LIST_INIT(&registry.all);
	unlock_registry();
}

static void init_once(void)
{
	registry.init_error = -pthread_atfork(lock_registry, unlock_registry,
					      leave_to_parent);
}

static int make_mark(struct reeve_manager *m)
{
	void *p = mmap(NULL, MARK_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	m->mark = p;
	if (madvise(p, MARK_SIZE, MADV_WIPEONFORK) < 0)
		return -errno;
	atomic_store(m->mark, MARK_OURS);
	return 0;
}

/* The first call in a child. */
static int adopt(struct reeve_manager *m)
{
	unsigned mark = MARK_WIPED;

	if (!atomic_compare_exchange_strong(m->mark, &mark, MARK_ADOPTING))
		return mark == MARK_OURS ? 0 : -EBUSY;
	if (atomic_load(&m->is_inside))
		m->wire = WIRE_INIT;
	m->wire.fd = -1; /* closed, if a handler ran; else not ours to close */
	owner_forget(m);
	m->is_starter = false;
	m->is_forked = m->session > 0;
	m->n_in_flight = 0;
	m->awaited = 0;
	m->is_asking = m->is_batch = false;
	atomic_store(&m->is_inside, false);
	atomic_store(m->mark, MARK_OURS);
	return 0;
}

/* ---- who is inside -------------------------------------------------------------- */

int client_enter(struct reeve_manager *m)
{
	int r;

	if (!m)
		return -EINVAL;
	if (atomic_load(m->mark) != MARK_OURS) {
		r = adopt(m);
		if (r < 0)
			return r;
	}
	return atomic_exchange(&m->is_inside, true) ? -EBUSY : 0;
}

void client_leave(struct reeve_manager *m)
{
	atomic_store(&m->is_inside, false);
}

/* ---- the socket ------------------------------------------------------------------ */

void client_set_fd(struct reeve_manager *m, int fd)
{
	lock_registry();
	wire_begin(&m->wire, fd);
	if (!m->is_listed)
		LIST_INSERT_HEAD(&registry.all, m, siblings);
	m->is_listed = true;
	unlock_registry();
}

void client_close_fd(struct reeve_manager *m)
{
	lock_registry();
	m->wire.fd = fd_close(m->wire.fd);
	unlock_registry();
}

/* ---- making, freeing --------------------------------------------------------------- */

static void discard(struct reeve_manager *m)
{
	lock_registry();
	m->wire.fd = fd_close(m->wire.fd);
	if (m->is_listed)
		LIST_REMOVE(m, siblings);
	unlock_registry();
	wire_done(&m->wire);
	if (m->mark)
		(void)munmap((void *)(uintptr_t)m->mark, MARK_SIZE);
	if (m->authkey)
		explicit_bzero(m->authkey, m->authkey_size);
	free(m->authkey);
	free(m->address);
	free(m);
}

struct reeve_manager *client_ref(struct reeve_manager *m)
{
	atomic_fetch_add(&m->refs, 1);
	return m;
}

void client_unref(struct reeve_manager *m)
{
	if (atomic_fetch_sub(&m->refs, 1) == 1)
		discard(m);
}

int client_new(const char *address, const void *authkey, size_t authkey_size,
	       struct reeve_manager **ret_manager)
{
	struct reeve_manager *m;
	int r;

	if (!address || address_check(address) < 0 ||
	    (authkey_size > 0 && !authkey) ||
	    authkey_size > REEVE_MANAGER_KEY_MAX)
		return -EINVAL;
	(void)pthread_once(&registry.once, init_once);
	if (registry.init_error < 0)
		return registry.init_error;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->refs = 1;
	m->wire = WIRE_INIT;
	m->answer_usec = REEVE_MANAGER_ANSWER_USEC;
	m->reconnect_usec = REEVE_MANAGER_RECONNECT_USEC;
	m->next_request = m->next_answer = ID_FIRST;
	m->address = strdup(address);
	m->is_tcp = str_has_prefix(address, "tcp:");
	m->authkey = calloc(1, authkey_size + 1);
	m->authkey_size = authkey_size;
	r = m->address && m->authkey ? make_mark(m) : -ENOMEM;
	if (r < 0) {
		client_unref(m);
		return r;
	}
	if (authkey_size > 0)
		memcpy(m->authkey, authkey, authkey_size);
	*ret_manager = m;
	return 0;
}

struct reeve_manager *reeve_manager_free(struct reeve_manager *m)
{
	int r;

	if (!m)
		return NULL;
	r = client_enter(m);
	reeve_assert(r == 0); /* -EBUSY: freed while a thread is in it */
	(void)owner_end(m);
	client_close_fd(m);
	m->is_over = true; /* for proxies that should not be there any more */
	client_leave(m);
	client_unref(m);
	return NULL;
}

/* ---- what is known of the server ------------------------------------------------------ */

const char *reeve_manager_address(const struct reeve_manager *m)
{
	return m ? m->address : NULL;
}

const void *reeve_manager_authkey(const struct reeve_manager *m,
				  size_t *ret_size)
{
	if (m && ret_size)
		*ret_size = m->authkey_size;
	return m ? m->authkey : NULL;
}
