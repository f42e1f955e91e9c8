/* Semaphore, Event, Condition and Barrier whose memory somebody overwrites: calls
 * fail, or last as long as their timeout; nobody crashes. */
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/sync_rig.h"
#include "workers/base/pure/rng.h"

#define SHORT_USEC 300
/* What a call may take besides: for a guard that nobody lets go. */
#define GRACE_USEC (2 * USEC_PER_SEC)

enum kind {
	OWNED,
	COUNTING,
	EVENT,
	CONDITION,
	BARRIER,
	BARRIER_WITH_ACTION,
	KINDS,
};

struct stage {
	enum kind kind;
	reeve_semaphore *semaphore;
	reeve_event *event;
	reeve_lock *lock;
	reeve_condition *condition;
	reeve_barrier *barrier;
	unsigned char *bytes; /* the object's memory, all of it */
	size_t size;
	_Atomic uint32_t stop, turns;
};

static int act(_unused_ void *arg)
{
	return 0;
}

static int make(struct stage *x)
{
	struct reeve_semaphore_spec units = {
		.kind = x->kind == OWNED ? REEVE_SEMAPHORE_OWNED
					 : REEVE_SEMAPHORE_COUNTING,
		.units = 2,
	};
	struct reeve_barrier_spec parties = { .parties = 2 };

	switch (x->kind) {
	case OWNED:
	case COUNTING:
		ck_assert_int_eq(reeve_semaphore_new(&units, &x->semaphore), 0);
		return reeve_semaphore_fd(x->semaphore);
	case EVENT:
		ck_assert_int_eq(reeve_event_new(&x->event), 0);
		return reeve_event_fd(x->event);
	case CONDITION:
		ck_assert_int_eq(reeve_lock_new(&x->lock), 0);
		ck_assert_int_eq(reeve_condition_new(x->lock, &x->condition),
				 0);
		return reeve_condition_fd(x->condition);
	case BARRIER_WITH_ACTION:
		parties.action = act;
		break;
	case BARRIER:
	case KINDS:
		break;
	}
	ck_assert_int_eq(reeve_barrier_new(&parties, &x->barrier), 0);
	return reeve_barrier_fd(x->barrier);
}

static struct stage *stage_new(int kind)
{
	struct stage *x = share(sizeof(*x));
	struct stat st;
	int fd;

	x->kind = (enum kind)kind;
	fd = make(x);
	ck_assert_int_eq(fstat(fd, &st), 0);
	x->size = (size_t)st.st_size;
	x->bytes =
		mmap(NULL, x->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(x->bytes, MAP_FAILED);
	return x;
}

/* Whatever was written last: the guard is to be had. */
static void stage_free(struct stage *x)
{
	memset(x->bytes, 0, x->size);
	(void)munmap(x->bytes, x->size);
	reeve_semaphore_free(x->semaphore);
	reeve_event_free(x->event);
	reeve_condition_free(x->condition);
	reeve_lock_free(x->lock);
	reeve_barrier_free(x->barrier);
	(void)munmap(x, sizeof(*x));
}

/* ---- what is called -------------------------------------------------------------- */

/* Calls that have a timeout. */
static int call_in_time(struct stage *x)
{
	switch (x->kind) {
	case OWNED:
	case COUNTING:
		return reeve_semaphore_acquire(x->semaphore, SHORT_USEC);
	case EVENT:
		return reeve_event_wait(x->event, SHORT_USEC);
	case CONDITION:
		return reeve_condition_wait(x->condition, SHORT_USEC);
	case BARRIER:
	case BARRIER_WITH_ACTION:
		return reeve_barrier_wait(x->barrier, SHORT_USEC);
	case KINDS:
		break;
	}
	return -EINVAL;
}

/* And those that have none. */
static void call_others(struct stage *x)
{
	switch (x->kind) {
	case OWNED:
	case COUNTING:
		(void)reeve_semaphore_release(x->semaphore);
		(void)reeve_semaphore_value(x->semaphore);
		break;
	case EVENT:
		(void)reeve_event_set(x->event);
		(void)reeve_event_clear(x->event);
		break;
	case CONDITION:
		(void)reeve_condition_notify(x->condition);
		(void)reeve_condition_notify_all(x->condition);
		break;
	case BARRIER:
	case BARRIER_WITH_ACTION:
		(void)reeve_barrier_enter(x->barrier);
		(void)reeve_barrier_n_waiting(x->barrier);
		(void)reeve_barrier_is_broken(x->barrier);
		(void)reeve_barrier_abort(x->barrier);
		(void)reeve_barrier_reset(x->barrier);
		break;
	case KINDS:
		break;
	}
}

/* What a program does, with a Lock that is nobody's. */
static int call_all(struct stage *x)
{
	int r = x->lock ? reeve_lock_acquire(x->lock, DEADLINE_USEC) : 0;

	if (r < 0)
		return 1;
	(void)call_in_time(x);
	call_others(x);
	return x->lock ? -reeve_lock_release(x->lock) : 0;
}

/* ---- nonsense ----------------------------------------------------------------------- */

static void scribble(struct rng *rng, struct stage *x)
{
	size_t n = 1 + rng_below(rng, 64), at = rng_below(rng, x->size);

	/* most of what matters is at the beginning */
	if (rng_below(rng, 2))
		at = rng_below(rng, 128);
	for (size_t i = 0; i < n && at + i < x->size; i++)
		x->bytes[at + i] = (unsigned char)rng_below(rng, 256);
}

/* A call that has a timeout, over memory full of one byte: the guard is held by
 * somebody, or its holder died. */
START_TEST(test_full_of_bytes)
{
	static const unsigned char bytes[] = { 0x01, 0x3f, 0x40, 0x80, 0xff };
	struct stage *x = stage_new(_i);
	uint64_t begin;

	if (x->lock)
		ck_assert_int_eq(reeve_lock_acquire(x->lock, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bytes); i++) {
		memset(x->bytes, bytes[i], x->size);
		begin = clock_monotonic_usec();
		(void)call_in_time(x);
		ck_assert_uint_lt(clock_monotonic_usec() - begin, GRACE_USEC);
	}
	if (x->lock)
		ck_assert_int_eq(reeve_lock_release(x->lock), 0);
	stage_free(x);
}
END_TEST

static int use(void *arg)
{
	struct stage *x = arg;

	while (!atomic_load(&x->stop)) {
		if (call_all(x))
			return 1;
		atomic_fetch_add(&x->turns, 1);
	}
	return 0;
}

/* Two use it while it is overwritten. Now and then it is all zero, so that nobody
 * waits for a guard for ever. */
START_TEST(test_overwritten_while_used)
{
	struct rng rng = { clock_monotonic_usec() };
	struct stage *x = stage_new(_i);
	unsigned long n = rounds(30, 5000);
	pid_t pids[2];

	for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
		pids[i] = start(use, x);
	for (unsigned long i = 0; i < n; i++) {
		uint32_t turns = atomic_load(&x->turns);

		for (int k = 0; k < 20; k++)
			scribble(&rng, x);
		(void)sched_yield();
		memset(x->bytes, 0, x->size);
		ck_assert(reaches(&x->turns, turns + 1));
	}
	atomic_store(&x->stop, 1);
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
		ck_assert_int_eq(end(pids[i]), 0);
	ck_assert_uint_ge(x->turns, n);
	stage_free(x);
}
END_TEST

/* ---- who is stopped ------------------------------------------------------------------- */

/* Where the guard is, nobody outside knows: a word that is somebody else's number,
 * wherever it stands, must not keep a call with a timeout. */
START_TEST(test_guard_of_another)
{
	struct stage *x = stage_new(_i);
	size_t most = MIN(x->size, (size_t)128);
	uint64_t begin;

	if (x->lock)
		ck_assert_int_eq(reeve_lock_acquire(x->lock, 0), 0);
	for (size_t at = 16; at < most; at += sizeof(uint32_t)) {
		memset(x->bytes + 16, 0, x->size - 16);
		*(uint32_t *)(void *)(x->bytes + at) = (uint32_t)getppid();
		begin = clock_monotonic_usec();
		(void)call_in_time(x);
		ck_assert_uint_lt(clock_monotonic_usec() - begin, GRACE_USEC);
	}
	if (x->lock)
		ck_assert_int_eq(reeve_lock_release(x->lock), 0);
	stage_free(x);
}
END_TEST

UNIT_LOOP_MAIN("sync_hostile", KINDS, test_full_of_bytes,
	       test_overwritten_while_used, test_guard_of_another)
