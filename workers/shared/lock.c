/* Lock and RLock: a robust mutex, and what became of the data behind it.
 *
 * Death: the kernel marks the mutex of a holder that dies. The next one to get
 * it stores LOCK_SUSPECT, then mends the mutex (if it dies in between, the one
 * after it does the same), and so everybody who acquires it is told -EOWNERDEAD
 * until somebody has repaired. Releasing without makes it LOCK_LOST: waiters get
 * the mutex one by one, see that, and pass it on.
 *
 * The mutex itself is never left inconsistent: glibc's own word for "lost" is
 * forgotten when a waiter dies at the wrong moment, and it knows nothing of a
 * lock that is given up by its owner without having been repaired, which is what
 * freeing a handle amounts to.
 *
 * An RLock counts for itself, on an error-checking mutex: so a Condition can
 * release it whole.
 */
#include "workers/shared/lock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/shared/mutex.h"
#include "workers/shared/repair.h"

static enum lock_state state_of(const struct lock_memory *m)
{
	return (enum lock_state)atomic_load_explicit(&m->state,
						     memory_order_relaxed);
}

/* ---- making and opening ---------------------------------------------------------- */

static void handle_freep(reeve_lock **lock)
{
	if (*lock)
		region_done(&(*lock)->region);
	free(*lock);
}

static reeve_lock *handle_new(void)
{
	reeve_lock *lock = calloc(1, sizeof(*lock));

	if (lock)
		lock->region = REGION_NONE;
	return lock;
}

static int lock_new(bool is_recursive, reeve_lock **ret_lock)
{
	_cleanup_(handle_freep) reeve_lock *lock = handle_new();
	int r;

	if (!ret_lock)
		return -EINVAL;
	if (!lock)
		return -ENOMEM;
	r = region_new(REGION_LOCK, sizeof(*lock->memory), &lock->region);
	if (r < 0)
		return r;
	lock->memory = (void *)lock->region.head;
	lock->memory->is_recursive = is_recursive;
	r = mutex_init(&lock->memory->mutex);
	if (r == 0)
		*ret_lock = TAKE(lock);
	return r;
}

int reeve_lock_new(reeve_lock **ret_lock)
{
	return lock_new(false, ret_lock);
}

int reeve_rlock_new(reeve_lock **ret_lock)
{
	return lock_new(true, ret_lock);
}

int reeve_lock_open(int fd, reeve_lock **ret_lock)
{
	_cleanup_(handle_freep) reeve_lock *lock = handle_new();
	int r;

	if (!ret_lock)
		return -EINVAL;
	if (!lock)
		return -ENOMEM;
	r = region_open(fd, REGION_LOCK, sizeof(*lock->memory), &lock->region);
	if (r < 0)
		return r;
	lock->memory = (void *)lock->region.head;
	*ret_lock = TAKE(lock);
	return 0;
}

/* The memory is about to go from under a mutex that the thread holds: let go of
 * it as a death would. */
static void abandon(reeve_lock *lock)
{
	if (!lock->is_taken || !lock_is_held(lock))
		return;
	if (state_of(lock->memory) == LOCK_SOUND)
		atomic_store(&lock->memory->state, LOCK_SUSPECT);
	(void)mutex_unlock(&lock->memory->mutex);
}

reeve_lock *reeve_lock_free(reeve_lock *lock)
{
	if (lock)
		abandon(lock);
	handle_freep(&lock);
	return NULL;
}

int reeve_lock_fd(const reeve_lock *lock)
{
	return lock ? lock->region.fd : -EINVAL;
}

/* ---- acquiring ------------------------------------------------------------------- */

/* The mutex is ours and its holder died. */
static void suspect(struct lock_memory *m)
{
	if (state_of(m) == LOCK_SOUND)
		atomic_store(&m->state, LOCK_SUSPECT);
	mutex_mend(&m->mutex);
}

/* The mutex is ours: is the data? */
static int enter(reeve_lock *lock)
{
	struct lock_memory *m = lock->memory;
	enum lock_state state = state_of(m);

	if (state == LOCK_LOST) {
		(void)mutex_unlock(&m->mutex);
		return -ENOTRECOVERABLE;
	}
	atomic_store_explicit(&m->depth, 1, memory_order_relaxed);
	lock->is_taken = true;
	return state == LOCK_SOUND ? 0 : -EOWNERDEAD;
}

static int acquire_again(struct lock_memory *m)
{
	uint32_t depth = atomic_load(&m->depth);

	if (!m->is_recursive)
		return -EDEADLK;
	if (depth == REEVE_RLOCK_DEPTH_MAX)
		return -EAGAIN;
	atomic_store(&m->depth, depth + 1);
	return 0;
}

/* What is not "nobody has it, and nobody died". */
static int acquire_slowly(reeve_lock *lock, int r, uint64_t timeout_usec)
{
	struct lock_memory *m = lock->memory;

	if (r == EBUSY)
		r = mutex_lock(&m->mutex,
			       timeout_usec ? usec_add(clock_monotonic_usec(),
						       timeout_usec)
					    : 0);
	else
		r = r == EOWNERDEAD ? 1 : -r;
	if (r == 1)
		suspect(m);
	if (r >= 0)
		return enter(lock);
	return r == -EDEADLK ? acquire_again(m) : r;
}

int reeve_lock_acquire(reeve_lock *lock, uint64_t timeout_usec)
{
	int r;

	if (!lock)
		return -EINVAL;
	r = pthread_mutex_trylock(&lock->memory->mutex);
	return r == 0 ? enter(lock) : acquire_slowly(lock, r, timeout_usec);
}

/* ---- releasing ------------------------------------------------------------------- */

bool lock_is_held(reeve_lock *lock)
{
	pthread_mutex_t *mutex = &lock->memory->mutex;
	int r = mutex_lock(mutex, 0);

	if (r == 1)
		suspect(lock->memory);
	if (r >= 0)
		(void)mutex_unlock(mutex); /* it was nobody's */
	return r == -EDEADLK;
}

void lock_wake_later(reeve_lock *lock, _Atomic uint32_t *word)
{
	if (lock->n_wakes < LOCK_WAKES)
		lock->wakes[lock->n_wakes++] = word;
	else
		region_wake(word, 1);
}

/* The words may belong to a condition that has been freed meanwhile: waking
 * reads nothing, and nobody sleeps there. */
static int unlock_and_wake(reeve_lock *lock)
{
	_Atomic uint32_t *wakes[LOCK_WAKES];
	unsigned n = lock->n_wakes;
	int r;

	for (unsigned i = 0; i < n; i++)
		wakes[i] = lock->wakes[i];
	lock->n_wakes = 0;
	r = mutex_unlock(&lock->memory->mutex);
	for (unsigned i = 0; i < n; i++)
		region_wake(wakes[i], 1);
	return r;
}

/* What is not "held once, sound, nobody to wake". */
static int release_slowly(reeve_lock *lock)
{
	struct lock_memory *m = lock->memory;
	uint32_t depth = atomic_load(&m->depth);

	if (!lock_is_held(lock))
		return -EPERM;
	if (m->is_recursive && depth > 1) {
		atomic_store(&m->depth, depth - 1);
		return 0;
	}
	if (state_of(m) == LOCK_SUSPECT)
		atomic_store(&m->state, LOCK_LOST);
	lock->is_taken = false;
	return unlock_and_wake(lock);
}

int reeve_lock_release(reeve_lock *lock)
{
	struct lock_memory *m;

	if (!lock)
		return -EINVAL;
	m = lock->memory;
	if (atomic_load_explicit(&m->depth, memory_order_relaxed) > 1 ||
	    state_of(m) != LOCK_SOUND || lock->n_wakes > 0)
		return release_slowly(lock);
	return mutex_unlock(&m->mutex); /* -EPERM when it is not ours */
}

int reeve_lock_repaired(reeve_lock *lock)
{
	if (!lock)
		return -EINVAL;
	if (!lock_is_held(lock))
		return -EPERM;
	atomic_store(&lock->memory->state, LOCK_SOUND);
	return 0;
}

/* ---- for a condition ------------------------------------------------------------- */

bool lock_is_sound(const reeve_lock *lock)
{
	return state_of(lock->memory) == LOCK_SOUND;
}

int lock_give_up(reeve_lock *lock)
{
	int depth = (int)atomic_load(&lock->memory->depth);

	lock->is_taken = false;
	(void)unlock_and_wake(lock);
	return depth;
}

int lock_take_back(reeve_lock *lock, uint32_t depth)
{
	int r = reeve_lock_acquire(lock, REEVE_FOREVER);

	if (r == 0 || r == -EOWNERDEAD)
		atomic_store(&lock->memory->depth, depth);
	return r;
}

ino_t lock_identity(const reeve_lock *lock)
{
	struct stat st;

	return fstat(lock->region.fd, &st) == 0 ? st.st_ino : 0;
}

/* ---- for the parent of a process that ended ----------------------------------------- */

/* The kernel has handed it on, and the next one finds out; but for a wake-up. */
static void repair_lock(const struct patient *p)
{
	struct lock_memory *m = p->memory;

	mutex_nudge(&m->mutex);
}

const struct repair_way lock_repair = { sizeof(struct lock_memory),
					repair_lock };
