/* The bell: who is about to sleep while it is rung is turned away. */
#include "workers/shared/bell.h"

#include "tests/unit/sync_rig.h"

/* Instructions between two tries: a sanitizer makes many of one. */
#define STRIDE (STEPS_MAX / STEPS_SHARE(STEPS_MAX))

static int ring(void *arg)
{
	bell_ring(arg, 1);
	return 0;
}

START_TEST(test_nobody_listens)
{
	struct bell bell = { 0 };

	bell_ring(&bell, 1);
	ck_assert_uint_eq(atomic_load(&bell.word), 0);
	(void)bell_listen(&bell);
	bell_ring(&bell, 1);
	ck_assert_uint_eq(atomic_load(&bell.word) & BELL_HEARD, 0);
}
END_TEST

/* Lets a child ring for n instructions. */
static pid_t ring_for(struct bell *bell, long n)
{
	pid_t pid = fork();
	int status = 0;

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		trace_me(ring, bell);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	for (; n > 0; n--) {
		ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(WIFSTOPPED(status));
	}
	return pid;
}

/* One listens at each instruction of a ring, until that has taken the bit; looks,
 * and is slow to fall asleep. The ring ends, and something comes that is not rung
 * for, as nobody seems to listen. Another listens then, and takes part of it: the
 * first does not find the word that it is to sleep on. */
START_TEST(test_slow_sleeper)
{
	struct bell *bell = share(sizeof(*bell));
	unsigned long n_taken = 0;
	bool is_over = false;
	pid_t pid;

	for (long n = 0; !is_over; n += STRIDE) {
		uint32_t word;

		atomic_store(&bell->word, BELL_HEARD);
		pid = ring_for(bell, n);
		is_over = !(atomic_load(&bell->word) & BELL_HEARD);
		word = bell_listen(bell);
		ck_assert_int_eq(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
		ck_assert_int_eq(end(pid), 0);
		if (atomic_load(&bell->word) & BELL_HEARD)
			continue; /* it will be rung */
		n_taken++;
		ck_assert_uint_ne(bell_listen(bell), word);
	}
	ck_assert_uint_gt(n_taken, 0);
	(void)munmap(bell, sizeof(*bell));
}
END_TEST

UNIT_MAIN("bell", test_nobody_listens, test_slow_sleeper)
