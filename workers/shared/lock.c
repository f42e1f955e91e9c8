/* Lock and RLock: a robust mutex, and what became of the data behind it.
 *
 * Death: the kernel marks the mutex of a holder that dies. The next one to get
 * it stores LOCK_SUSPECT (if it dies before, so does the one after it), and so
 * everybody who acquires it is told -EOWNERDEAD until somebody has repaired.
 * Releasing without makes it LOCK_LOST: waiters get the mutex one by one, see
 * that, and pass it on.
 *
 * An RLock counts for itself, besides the mutex: so a Condition can release it
 * whole.
 */
#include "workers/shared/lock.h"

#include <errno.h>
#include <stdlib.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/shared/mutex.h"
#include "workers/shared/repair.h"

static uint64_t odds_of(const struct lock_memory *m)
{
	return atomic_load_explicit(&m->odds, memory_order_relaxed);
}

static enum lock_state state_of(const struct lock_memory *m)
{
	return (enum lock_state)(uint32_t)odds_of(m);
}

/* The state alone: it is held once, or about to be let go. */
static void set_state(struct lock_memory *m, enum lock_state state)
{
	atomic_store(&m->odds, state);
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
	*ret_lock = TAKE(lock);
	return 0;
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
	if (!mutex_is_held_here(&lock->memory->mutex))
		return;
	set_state(lock->memory, LOCK_SUSPECT);
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
	set_state(m, state_of(m) == LOCK_LOST ? LOCK_LOST : LOCK_SUSPECT);
}

/* The mutex is ours: is the data? */
static int enter(reeve_lock *lock)
{
	struct lock_memory *m = lock->memory;

	if (state_of(m) == LOCK_LOST) {
		(void)mutex_unlock(&m->mutex);
		return -ENOTRECOVERABLE;
	}
	return state_of(m) == LOCK_SOUND ? 0 : -EOWNERDEAD;
}

static int acquire_again(struct lock_memory *m)
{
	uint64_t odds = odds_of(m);

	if (!m->is_recursive)
		return -EDEADLK;
	if (odds / LOCK_AGAIN == REEVE_RLOCK_DEPTH_MAX - 1)
		return -EAGAIN;
	atomic_store(&m->odds, odds + LOCK_AGAIN);
	return 0;
}

static uint64_t end_of(uint64_t timeout_usec)
{
	if (timeout_usec == 0 || timeout_usec == REEVE_FOREVER)
		return timeout_usec;
	return usec_add(clock_monotonic_usec(), timeout_usec);
}

/* What is not "it is ours, once, and all is well"; r is what mutex_lock() says. */
_seldom_ static int acquire_slowly(reeve_lock *lock, int r,
				   uint64_t timeout_usec)
{
	struct lock_memory *m = lock->memory;

	if (r == -ETIMEDOUT && timeout_usec > 0)
		r = mutex_lock(&m->mutex, end_of(timeout_usec));
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
	r = mutex_lock(&lock->memory->mutex, 0);
	if (r != 0 || odds_of(lock->memory) != 0)
		return acquire_slowly(lock, r, timeout_usec);
	return 0;
}

/* ---- releasing ------------------------------------------------------------------- */

bool lock_is_held(const reeve_lock *lock)
{
	return mutex_is_held(&lock->memory->mutex);
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
_seldom_ static int release_slowly(reeve_lock *lock)
{
	struct lock_memory *m = lock->memory;
	uint64_t odds = odds_of(m);

	if (!lock_is_held(lock))
		return -EPERM;
	if (m->is_recursive && odds >= LOCK_AGAIN) {
		atomic_store(&m->odds, odds - LOCK_AGAIN);
		return 0;
	}
	if (state_of(m) == LOCK_SUSPECT)
		set_state(m, LOCK_LOST);
	return unlock_and_wake(lock);
}

int reeve_lock_release(reeve_lock *lock)
{
	if (!lock)
		return -EINVAL;
	if (odds_of(lock->memory) != 0 || lock->n_wakes > 0)
		return release_slowly(lock);
	/* -EPERM when it is not ours */
	return mutex_unlock(&lock->memory->mutex);
}

int reeve_lock_repaired(reeve_lock *lock)
{
	if (!lock)
		return -EINVAL;
	if (!lock_is_held(lock))
		return -EPERM;
	atomic_fetch_and(&lock->memory->odds, ~(LOCK_AGAIN - 1));
	return 0;
}

/* ---- for a condition ------------------------------------------------------------- */

bool lock_is_sound(const reeve_lock *lock)
{
	return state_of(lock->memory) == LOCK_SOUND;
}

int lock_give_up(reeve_lock *lock)
{
	int depth = (int)(odds_of(lock->memory) / LOCK_AGAIN) + 1;

	set_state(lock->memory, state_of(lock->memory));
	(void)unlock_and_wake(lock);
	return depth;
}

int lock_take_back(reeve_lock *lock, uint32_t depth)
{
	int r = reeve_lock_acquire(lock, REEVE_FOREVER);

	if (r == 0 || r == -EOWNERDEAD)
		(void)atomic_fetch_add(&lock->memory->odds,
				       (depth - 1) * LOCK_AGAIN);
	return r;
}

ino_t lock_identity(const reeve_lock *lock)
{
	return lock->region.ino;
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
