/* Shared memory: what is opened is checked, who sleeps wakes, who died is seen. */
#include "workers/shared/region.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"

START_TEST(test_new_and_open)
{
	struct region a, b = REGION_NONE;
	uint64_t *word;

	ck_assert_int_eq(region_new(REGION_LOCK, 8, &a), -EINVAL);
	ck_assert_int_eq(region_new(REGION_LOCK, 4096, &a), 0);
	word = (uint64_t *)(a.head + 1);
	*word = 7;
	ck_assert_int_eq(region_open(a.fd, REGION_LOCK, 4096, &b), 0);
	ck_assert_ptr_ne(a.head, b.head);
	ck_assert_uint_eq(*(uint64_t *)(b.head + 1), 7);
	region_done(&b);
	region_done(&a);
	ck_assert_int_eq(a.fd, -1);
	region_done(&a); /* nothing twice */
}
END_TEST

/* Neither what is something else, nor what could still shrink. */
START_TEST(test_open_refuses)
{
	struct region a, b = REGION_NONE;
	struct region_head head;
	int fd;

	ck_assert_int_eq(region_new(REGION_EVENT, 4096, &a), 0);
	ck_assert_int_eq(region_open(a.fd, REGION_LOCK, 64, &b), -EBADMSG);
	ck_assert_int_eq(region_open(a.fd, REGION_EVENT, 4097, &b), -EBADMSG);
	ck_assert_int_eq(region_open(-1, REGION_EVENT, 64, &b), -EBADF);
	head = *a.head;
	fd = memfd_create("test", MFD_CLOEXEC);
	ck_assert_int_eq(region_open(fd, REGION_EVENT, 64, &b), -EBADMSG);
	ck_assert_int_eq(ftruncate(fd, 4096), 0);
	ck_assert_int_eq(pwrite(fd, &head, sizeof(head), 0), sizeof(head));
	ck_assert_int_eq(region_open(fd, REGION_EVENT, 64, &b), -EBADMSG);
	fd_close(fd);
	a.head->size = 8192;
	ck_assert_int_eq(region_open(a.fd, REGION_EVENT, 64, &b), -EBADMSG);
	ck_assert_ptr_null(b.head);
	a.head->size = 4096;
	region_done(&a);
}
END_TEST

START_TEST(test_wait)
{
	_Atomic uint32_t word = 1;
	uint64_t now = clock_monotonic_usec();

	ck_assert_int_eq(region_wait(&word, 0, UINT64_MAX), 0); /* changed */
	ck_assert_int_eq(region_wait(&word, 1, now), -ETIMEDOUT);
	ck_assert_int_eq(region_wait(&word, 1, now + 1000), 0);
	ck_assert_int_eq(region_wait(&word, 1, now + 1000), -ETIMEDOUT);
	/* without an end it looks again all the same */
	ck_assert_int_eq(region_wait(&word, 1, UINT64_MAX), 0);
	ck_assert_uint_ge(clock_monotonic_usec() - now, REGION_LOOK_USEC / 2);
}
END_TEST

START_TEST(test_party)
{
	struct region a;
	struct party *party, nobody = { 0 };
	pid_t pid;
	siginfo_t info;

	ck_assert_int_eq(region_new(REGION_EVENT, 4096, &a), 0);
	party = (struct party *)(a.head + 1);
	party_self(party);
	ck_assert(party_is_self(party));
	ck_assert(!party_is_dead(party));
	ck_assert(!party_is_dead(&nobody));
	pid = fork();
	if (pid == 0) {
		bool was_self = party_is_self(party);

		party_self(party);
		_exit(was_self || !party_is_self(party));
	}
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	ck_assert_int_eq(info.si_status, 0);
	ck_assert(!party_is_self(party));
	ck_assert(party_is_dead(party)); /* not yet reaped */
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert(party_is_dead(party));
	/* its number is somebody else's now: ours */
	atomic_store(&party->pid, getpid());
	atomic_fetch_add(&party->start_ticks, 1);
	ck_assert(party_is_dead(party));
	region_done(&a);
}
END_TEST

UNIT_MAIN("region", test_new_and_open, test_open_refuses, test_wait, test_party)
