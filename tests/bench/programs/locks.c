/* locks: what locks and signals between processes cost.
 *
 *	locks KIND N	prints a number: N operations took so many nanoseconds
 *			each
 *
 * "lock" and "mutex" acquire and release alone, "lock-two" and "mutex-two" in two
 * processes at once (N each; the time is that of all): libreeve's Lock, and the
 * robust, process-shared mutex of glibc's. "value-two" adds 1 to a Value under its
 * lock, as "mutex-two" does to a number. "event", "condition",
 * "barrier" and "futex" go back and forth between two processes, the last with
 * nothing but two words; an operation is there and back, of a barrier two rounds.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <reeve/shared.h>
#include <reeve/sync.h>

#include "workers/base/pure/macro.h"

struct shared {
	unsigned long n;
	reeve_lock *lock;
	reeve_event *events[2];
	reeve_condition *condition;
	reeve_barrier *barrier;
	reeve_value *value;
	pthread_mutex_t mutex;
	_Atomic uint32_t words[2], n_ready;
	unsigned turn; /* under the lock */
	_Alignas(64) unsigned long count;
};

/* ---- alone, and against each other ------------------------------------------------- */

static void run_lock(struct shared *s, _unused_ int side)
{
	for (unsigned long i = 0; i < s->n; i++) {
		(void)reeve_lock_acquire(s->lock, REEVE_FOREVER);
		s->count++;
		(void)reeve_lock_release(s->lock);
	}
}

static void run_mutex(struct shared *s, _unused_ int side)
{
	for (unsigned long i = 0; i < s->n; i++) {
		(void)pthread_mutex_lock(&s->mutex);
		s->count++;
		(void)pthread_mutex_unlock(&s->mutex);
	}
}

static void run_value(struct shared *s, _unused_ int side)
{
	for (unsigned long i = 0; i < s->n; i++)
		(void)reeve_value_add(s->value, 1, NULL);
}

/* ---- back and forth -------------------------------------------------------------- */

static void run_event(struct shared *s, int side)
{
	for (unsigned long i = 0; i < s->n; i++) {
		if (side == 0)
			(void)reeve_event_set(s->events[1]);
		(void)reeve_event_wait(s->events[side], REEVE_FOREVER);
		(void)reeve_event_clear(s->events[side]);
		if (side == 1)
			(void)reeve_event_set(s->events[0]);
	}
}

static void wait_word(_Atomic uint32_t *word, uint32_t value)
{
	while (atomic_load(word) != value)
		(void)syscall(SYS_futex, word, FUTEX_WAIT, value - 1, NULL,
			      NULL, 0);
}

static void set_word(_Atomic uint32_t *word, uint32_t value)
{
	atomic_store(word, value);
	(void)syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void run_futex(struct shared *s, int side)
{
	for (uint32_t i = 1; i <= s->n; i++) {
		if (side == 0)
			set_word(&s->words[1], i);
		wait_word(&s->words[side], i);
		if (side == 1)
			set_word(&s->words[0], i);
	}
}

static void run_condition(struct shared *s, int side)
{
	(void)reeve_lock_acquire(s->lock, REEVE_FOREVER);
	for (unsigned long i = 0; i < s->n; i++) {
		while (s->turn != (unsigned)side)
			(void)reeve_condition_wait(s->condition, REEVE_FOREVER);
		s->turn = !side;
		(void)reeve_condition_notify(s->condition);
	}
	(void)reeve_lock_release(s->lock);
}

static void run_barrier(struct shared *s, _unused_ int side)
{
	for (unsigned long i = 0; i < 2 * s->n; i++)
		(void)reeve_barrier_wait(s->barrier, REEVE_FOREVER);
}

static const struct kind {
	const char *name;
	void (*run)(struct shared *s, int side);
	int n_sides;
	bool is_there_and_back; /* else each side has operations of its own */
} kinds[] = {
	{ "lock", run_lock, 1, false },
	{ "mutex", run_mutex, 1, false },
	{ "lock-two", run_lock, 2, false },
	{ "mutex-two", run_mutex, 2, false },
	{ "value-two", run_value, 2, false },
	{ "event", run_event, 2, true },
	{ "futex", run_futex, 2, true },
	{ "condition", run_condition, 2, true },
	{ "barrier", run_barrier, 2, true },
};

/* ---- the frame --------------------------------------------------------------------- */

static struct shared *shared_new(unsigned long n)
{
	struct reeve_barrier_spec spec = { .parties = 2 };
	struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t a;

	if (s == MAP_FAILED || reeve_lock_new(&s->lock) < 0 ||
	    reeve_event_new(&s->events[0]) < 0 ||
	    reeve_event_new(&s->events[1]) < 0 ||
	    reeve_condition_new(s->lock, &s->condition) < 0 ||
	    reeve_barrier_new(&spec, &s->barrier) < 0 ||
	    reeve_value_new(REEVE_LONG, false, &s->value) < 0)
		return NULL;
	(void)pthread_mutexattr_init(&a);
	(void)pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	(void)pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	s->n = n;
	return pthread_mutex_init(&s->mutex, &a) == 0 ? s : NULL;
}

static double now_nsec(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Both sides begin together. */
static void run_side(const struct kind *kind, struct shared *s, int side)
{
	atomic_fetch_add(&s->n_ready, 1);
	while (atomic_load(&s->n_ready) < (uint32_t)kind->n_sides)
		;
	kind->run(s, side);
}

static int measure(const struct kind *kind, struct shared *s)
{
	pid_t pid = kind->n_sides == 2 ? fork() : 0;
	double begin;
	int status = 0;

	if (pid < 0)
		return 1;
	if (kind->n_sides == 2 && pid == 0) {
		run_side(kind, s, 1);
		_exit(0);
	}
	begin = now_nsec();
	run_side(kind, s, 0);
	if (pid > 0 && (waitpid(pid, &status, 0) != pid || status != 0))
		return 1;
	printf("%.2f\n", (now_nsec() - begin) / (double)s->n /
				 (kind->is_there_and_back ? 1 : kind->n_sides));
	return 0;
}

int main(int argc, char **argv)
{
	struct shared *s =
		argc == 3 ? shared_new(strtoul(argv[2], NULL, 10)) : NULL;

	for (size_t i = 0; s && i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i].name, argv[1]) == 0)
			return measure(&kinds[i], s);
	(void)fprintf(stderr, "usage: locks KIND N\n");
	return 2;
}
