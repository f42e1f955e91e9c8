/* Lifelines: one serves those that follow each other on a seat, and whoever closes
 * everything, or executes, is found all the same. With _i = 1 the keeper has room
 * for one end of each only: then none is passed on. */
#include "workers/pool/keeper.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/unit/keeper_rig.h"

#define FDS_OWN	    16 /* of the keeper, and for each seat */
#define FDS_OF_SEAT 2
#define ARMED_USEC  20000 /* after so long it is, and more */

/* What workers say of theirs. */
static struct {
	_Atomic uint64_t inode;
	_Atomic uint32_t n;
} * said;

static int say_lifeline(const struct keeper_seat *seat, int lifeline_fd,
			void *arg)
{
	struct stat st = { .st_ino = 0 };

	(void)fstat(lifeline_fd, &st);
	atomic_store(&said->inode, st.st_ino);
	atomic_fetch_add(&said->n, 1);
	return rig_worker(seat, lifeline_fd, arg);
}

/* The least that a keeper of n seats needs, and so much more. */
static void limit_fds(rlim_t n, int more)
{
	struct rlimit limit = { 0 };

	for (int fd = 0; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			limit.rlim_max = (rlim_t)fd + 1;
	limit.rlim_max += FDS_OF_SEAT * n + FDS_OWN + (rlim_t)more;
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void begin(struct rig *r, uint32_t n_seats, bool is_limited)
{
	rig_init(r, n_seats);
	said = mmap(NULL, sizeof(*said), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(said != MAP_FAILED);
	r->config.worker_main = say_lifeline;
	r->config.maxtasksperchild = 1;
	if (is_limited)
		limit_fds(n_seats, 0);
	rig_start(r, n_seats);
	await(r, atomic_load(&said->n) == n_seats);
}

static void end(struct rig *r)
{
	rig_terminate(r);
	ck_assert_int_eq(munmap(said, sizeof(*said)), 0);
}

/* A task is done, and the next worker has come. */
static void run(struct rig *r, enum deed deed, uint32_t value)
{
	uint32_t n = atomic_load(&said->n);
	uint64_t at = rig_publish(r, 0, deed, value);

	await(r, rig_state(r, 0, at) == SLOT_DONE);
	await(r, atomic_load(&said->n) == n + 1);
}

/* How many of n had the lifeline of the one before. */
static int count_heirs(struct rig *r, int n, enum deed deed, uint32_t value)
{
	int n_heirs = 0;

	for (; n > 0; n--) {
		uint64_t before = atomic_load(&said->inode);

		run(r, deed, value);
		n_heirs += atomic_load(&said->inode) == before;
	}
	return n_heirs;
}

static void check_cut_off(struct rig *r, size_t i, enum deed deed)
{
	(void)rig_publish(r, i, deed, 0);
	ck_assert_uint_eq(rig_await_end(r, i)->cause, CAUSE_CUT_OFF);
}

/* Not when somebody may have it still: a child, which is being killed just then. */
START_TEST(test_who_inherits)
{
	struct rig r;

	begin(&r, 1, _i);
	if (_i == 0)
		ck_assert_int_gt(count_heirs(&r, 40, DO_NOTHING, 0), 0);
	else
		ck_assert_int_eq(count_heirs(&r, 40, DO_NOTHING, 0), 0);
	ck_assert_int_eq(count_heirs(&r, 3, DO_SPIN, ARMED_USEC), 0);
	ck_assert_int_eq(count_heirs(&r, 20, DO_CHILD, 0), 0);
	end(&r);
}
END_TEST

static int count_fds(pid_t pid)
{
	char path[64];
	DIR *dir;
	int n = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n;
}

/* However many came before, quick ones and slow ones: there are no more
 * descriptors, and the last one is found. */
START_TEST(test_heirs_are_cut_off)
{
	static const enum deed deeds[] = { DO_CLOSE_ALL, DO_EXECUTE };
	struct rig r;
	int n_fds;

	begin(&r, 1, _i);
	rig_spin(ARMED_USEC);
	n_fds = count_fds(r.keeper);
	for (size_t i = 0; i < ARRAY_SIZE(deeds); i++) {
		uint32_t n;

		(void)count_heirs(&r, 20, DO_NOTHING, 0);
		run(&r, DO_SPIN, ARMED_USEC);
		(void)count_heirs(&r, 20, DO_NOTHING, 0);
		n = atomic_load(&said->n);
		check_cut_off(&r, 0, deeds[i]);
		rig_offer_again(&r, 0);
		await(&r, atomic_load(&said->n) == n + 1);
	}
	await(&r, count_fds(r.keeper) == n_fds);
	end(&r);
}
END_TEST

/* Forked while the keeper had the other's lifeline: it must not have it too. */
START_TEST(test_not_among_neighbours)
{
	struct rig r;

	begin(&r, 4, _i);
	for (size_t i = 0; i < 4; i++) /* at once, before any is armed */
		(void)rig_publish(&r, i, i == 3 ? DO_HANG : DO_CLOSE_ALL, 0);
	for (size_t i = 0; i < 3; i++)
		ck_assert_uint_eq(rig_await_end(&r, i)->cause, CAUSE_CUT_OFF);
	ck_assert_uint_eq(seat_state(&r, 3), SEAT_LIVE);
	end(&r);
}
END_TEST

/* One less, and it says so. */
START_TEST(test_too_few_descriptors)
{
	struct rig r;

	rig_init(&r, 4);
	limit_fds(4, -1);
	rig_start(&r, 4);
	await(&r, atomic_load(&r.board->state) == KEEPER_FATAL);
	ck_assert_str_eq(r.board->message,
			 "cannot keep workers: Too many open files");
	ck_assert_int_eq(rig_await_keeper(&r), 0);
	rig_done(&r);
}
END_TEST

UNIT_LOOP_MAIN("pool keeper lifeline", 2, test_who_inherits,
	       test_heirs_are_cut_off, test_not_among_neighbours,
	       test_too_few_descriptors)
