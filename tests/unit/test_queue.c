/* Queues: what is put is got, in order, whole; limits; waiting; closing. */
#include "tests/unit/queue_rig.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* ---- what goes through -------------------------------------------------------- */

START_TEST(test_order)
{
	reeve_queue *q = new_queue(0, 0);

	ck_assert_int_eq(reeve_queue_is_empty(q), 1);
	for (uint64_t i = 0; i < 1000; i++)
		put_number(q, i);
	ck_assert_uint_eq(reeve_queue_qsize(q), 1000);
	ck_assert_int_eq(reeve_queue_is_empty(q), 0);
	ck_assert_int_eq(reeve_queue_is_full(q), 0);
	for (uint64_t i = 0; i < 1000; i++)
		ck_assert_uint_eq(get_number(q), i);
	ck_assert_uint_eq(reeve_queue_qsize(q), 0);
	reeve_queue_free(q);
}
END_TEST

static unsigned char pattern(size_t i, unsigned salt)
{
	return (unsigned char)(i * 31 + salt);
}

/* Each size, at each place of the ring, around its end. */
START_TEST(test_sizes)
{
	reeve_queue *q = new_queue(0, 256);
	size_t max = reeve_queue_message_max(q), n_wrong = 0;
	unsigned char in[256], *out;
	void *p;

	ck_assert_uint_eq(max, 248);
	for (unsigned round = 0; round < 4 * 248; round++) {
		size_t size = round * 7 % (max + 1), got;

		for (size_t i = 0; i < size; i++)
			in[i] = pattern(i, round);
		if (reeve_queue_put(q, in, size, 0) != 0 ||
		    reeve_queue_get_new(q, 0, &p, &got) != 0 || got != size)
			ck_abort_msg("round %u", round);
		out = p;
		n_wrong += memcmp(in, out, size) != 0 || out[size] != 0;
		free(p);
	}
	ck_assert_uint_eq(n_wrong, 0);
	reeve_queue_free(q);
}
END_TEST

START_TEST(test_large)
{
	size_t size = (64U << 20) - 8, got = 0;
	reeve_queue *q = new_queue(0, 64U << 20);
	char *data = malloc(size);
	void *p = NULL;

	memset(data, 'x', size);
	data[size - 1] = 'y';
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(reeve_queue_put(q, data, size, 0), 0);
		ck_assert_int_eq(reeve_queue_get_new(q, 0, &p, &got), 0);
		ck_assert_uint_eq(got, size);
		ck_assert(memcmp(p, data, size) == 0);
		free(p);
		put_number(q, 1); /* the next one wraps elsewhere */
		(void)get_number(q);
	}
	free(data);
	reeve_queue_free(q);
}
END_TEST

/* The counters of messages and units pass 2^32. */
START_TEST(test_counters_wrap)
{
	reeve_queue *q = new_queue(4, 64);
	uint64_t end = queue_end(UINT32_MAX - 2, UINT32_MAX - 5);

	atomic_store(&q->memory->head, end);
	atomic_store(&q->memory->seen_head, end);
	atomic_store(&q->memory->tail, end);
	atomic_store(&q->memory->seen_tail, end);
	for (uint64_t i = 0; i < 40; i += 2) {
		put_number(q, i);
		put_number(q, i + 1);
		ck_assert_uint_eq(reeve_queue_qsize(q), 2);
		ck_assert_uint_eq(get_number(q), i);
		ck_assert_uint_eq(get_number(q), i + 1);
	}
	reeve_queue_free(q);
}
END_TEST

/* ---- limits ----------------------------------------------------------------------- */

START_TEST(test_items_limit)
{
	reeve_queue *q = new_queue(2, 0);

	put_number(q, 1);
	ck_assert_int_eq(reeve_queue_is_full(q), 0);
	put_number(q, 2);
	ck_assert_int_eq(reeve_queue_is_full(q), 1);
	ck_assert_int_eq(reeve_queue_put(q, "", 0, 0), -EAGAIN);
	ck_assert_int_eq(reeve_queue_put(q, "", 0, 1000), -ETIMEDOUT);
	ck_assert_uint_eq(get_number(q), 1);
	ck_assert_int_eq(reeve_queue_is_full(q), 0);
	put_number(q, 3);
	ck_assert_uint_eq(get_number(q), 2);
	ck_assert_uint_eq(get_number(q), 3);
	reeve_queue_free(q);
}
END_TEST

START_TEST(test_bytes_limit)
{
	reeve_queue *q = new_queue(0, 104); /* not a power of two */
	char data[104] = "";
	size_t size;

	ck_assert_uint_eq(reeve_queue_message_max(q), 96);
	ck_assert_int_eq(reeve_queue_put(q, data, 97, 0), -EMSGSIZE);
	ck_assert_int_eq(reeve_queue_put(q, data, 96, 0), 0);
	ck_assert_int_eq(reeve_queue_is_full(q), 1);
	ck_assert_int_eq(reeve_queue_put(q, data, 0, 0), -EAGAIN);
	ck_assert_int_eq(reeve_queue_get(q, data, 95, 0, &size), -EMSGSIZE);
	ck_assert_int_eq(reeve_queue_get(q, data, 96, 0, &size), 0);
	for (int i = 0; i < 13; i++)
		ck_assert_int_eq(reeve_queue_put(q, NULL, 0, 0), 0);
	ck_assert_int_eq(reeve_queue_put(q, NULL, 0, 0), -EAGAIN);
	ck_assert_uint_eq(reeve_queue_qsize(q), 13);
	ck_assert_int_eq(reeve_queue_get(q, NULL, 0, 0, &size), 0);
	ck_assert_uint_eq(size, 0);
	reeve_queue_free(q);
}
END_TEST

START_TEST(test_spec)
{
	struct reeve_queue_spec spec = { .max_bytes = REEVE_QUEUE_BYTES_MIN };
	reeve_queue *q = NULL;

	ck_assert_int_eq(reeve_queue_new(NULL, NULL), -EINVAL);
	ck_assert_int_eq(reeve_queue_new(&spec, &q), 0);
	reeve_queue_free(q);
	q = NULL;
	spec.max_bytes--;
	ck_assert_int_eq(reeve_queue_new(&spec, &q), -EINVAL);
	spec.max_bytes = REEVE_QUEUE_BYTES_MAX + 1;
	ck_assert_int_eq(reeve_queue_new(&spec, &q), -EINVAL);
	spec.max_bytes = 0;
	spec.max_items = (uint32_t)REEVE_QUEUE_ITEMS_MAX + 1;
	ck_assert_int_eq(reeve_queue_new(&spec, &q), -EINVAL);
	ck_assert_ptr_null(q);
	spec.max_items = REEVE_QUEUE_ITEMS_MAX;
	spec.max_bytes = REEVE_QUEUE_BYTES_MAX; /* untouched memory is free */
	ck_assert_int_eq(reeve_queue_new(&spec, &q), 0);
	put_number(q, 1);
	ck_assert_uint_eq(reeve_queue_message_max(q),
			  REEVE_QUEUE_BYTES_MAX - REEVE_QUEUE_ITEM_BYTES);
	reeve_queue_free(q);
}
END_TEST

START_TEST(test_bad_arguments)
{
	reeve_queue *q = new_queue(0, 0);
	int fds[REEVE_QUEUE_FDS];
	char c;
	void *p;
	size_t size;

	ck_assert_int_eq(reeve_queue_put(NULL, "", 1, 0), -EINVAL);
	ck_assert_int_eq(reeve_queue_put(q, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(reeve_queue_get(NULL, &c, 1, 0, &size), -EINVAL);
	ck_assert_int_eq(reeve_queue_get(q, NULL, 1, 0, &size), -EINVAL);
	ck_assert_int_eq(reeve_queue_get_new(q, 0, NULL, &size), -EINVAL);
	ck_assert_int_eq(reeve_queue_get_new(NULL, 0, &p, &size), -EINVAL);
	ck_assert_int_eq(reeve_queue_close(NULL), -EINVAL);
	ck_assert_int_eq(reeve_queue_poll_fd(NULL), -EINVAL);
	ck_assert_int_eq(reeve_queue_fds(NULL, fds), -EINVAL);
	ck_assert_int_eq(reeve_queue_is_empty(NULL), -EINVAL);
	ck_assert_int_eq(reeve_queue_is_full(NULL), -EINVAL);
	ck_assert_uint_eq(reeve_queue_qsize(NULL), 0);
	ck_assert_uint_eq(reeve_queue_message_max(NULL), 0);
	ck_assert_ptr_null(reeve_queue_free(NULL));
	reeve_queue_free(q);
}
END_TEST

/* ---- waiting ------------------------------------------------------------------------- */

START_TEST(test_timeouts)
{
	reeve_queue *q = new_queue(0, 0);
	uint64_t begin = clock_monotonic_usec(), n = 7;

	ck_assert_int_eq(reeve_queue_get(q, &n, sizeof(n), 0, NULL), -EAGAIN);
	ck_assert_int_eq(reeve_queue_get(q, &n, sizeof(n), 20000, NULL),
			 -ETIMEDOUT);
	ck_assert_uint_ge(clock_monotonic_usec() - begin, 20000);
	ck_assert_uint_eq(n, 7);
	reeve_queue_free(q);
}
END_TEST

static int echo_one(reeve_queue *q)
{
	uint64_t n = 0;

	if (reeve_queue_get(q, &n, sizeof(n), REEVE_FOREVER, NULL) < 0)
		return 1;
	return (int)n;
}

static int put_one(reeve_queue *q)
{
	return reeve_queue_put(q, "12345678", 8, REEVE_FOREVER);
}

/* Until somebody sleeps on bell, and a little longer. */
static void until_asleep(const struct bell *bell)
{
	while (!(atomic_load(&bell->word) & BELL_HEARD))
		;
	(void)poll(NULL, 0, 3);
}

/* A lost wake-up would be made good by the next look, 100 ms later. */
START_TEST(test_waiters_wake)
{
	reeve_queue *q = new_queue(1, 0);
	uint64_t begin;
	int n_late = 0;
	pid_t pid;

	for (uint64_t i = 0; i < 20; i++) {
		pid = child_of(echo_one, q);
		until_asleep(&q->memory->not_empty);
		begin = clock_monotonic_usec();
		put_number(q, i);
		ck_assert_int_eq(end_of(pid), (int)i);
		n_late += clock_monotonic_usec() - begin > 50000;
		put_number(q, i);
		pid = child_of(put_one, q);
		until_asleep(&q->memory->not_full);
		begin = clock_monotonic_usec();
		(void)get_number(q);
		ck_assert_int_eq(end_of(pid), 0);
		n_late += clock_monotonic_usec() - begin > 50000;
		(void)get_number(q);
	}
	ck_assert_int_lt(n_late, 8); /* a busy machine */
	reeve_queue_free(q);
}
END_TEST

/* ---- closing -------------------------------------------------------------------------- */

START_TEST(test_close)
{
	reeve_queue *q = new_queue(0, 0);
	char c;

	put_number(q, 5);
	ck_assert_int_eq(reeve_queue_close(q), 0);
	ck_assert_int_eq(reeve_queue_close(q), 0);
	ck_assert_int_eq(reeve_queue_put(q, "x", 1, REEVE_FOREVER), -EPIPE);
	ck_assert_uint_eq(get_number(q), 5);
	ck_assert_int_eq(reeve_queue_get(q, &c, 1, REEVE_FOREVER, NULL),
			 -EPIPE);
	ck_assert_int_eq(reeve_queue_get(q, &c, 1, 0, NULL), -EPIPE);
	reeve_queue_free(q);
}
END_TEST

static int wait_for_close(reeve_queue *q)
{
	char c;

	return reeve_queue_get(q, &c, 1, REEVE_FOREVER, NULL) != -EPIPE;
}

static int wait_for_room(reeve_queue *q)
{
	return reeve_queue_put(q, "", 1, REEVE_FOREVER) != -EPIPE;
}

START_TEST(test_close_wakes)
{
	reeve_queue *q = new_queue(1, 0), *full = new_queue(1, 0);
	pid_t pids[4];

	put_number(full, 1);
	for (int i = 0; i < 4; i++)
		pids[i] = i % 2 ? child_of(wait_for_close, q)
				: child_of(wait_for_room, full);
	while (!(atomic_load(&q->memory->not_empty.word) & BELL_HEARD) ||
	       !(atomic_load(&full->memory->not_full.word) & BELL_HEARD))
		;
	ck_assert_int_eq(reeve_queue_close(q), 0);
	ck_assert_int_eq(reeve_queue_close(full), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	reeve_queue_free(q);
	reeve_queue_free(full);
}
END_TEST

/* ---- polling ----------------------------------------------------------------------------- */

static bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

START_TEST(test_poll)
{
	reeve_queue *q = new_queue(0, 0);
	uint64_t n;
	int fd;

	put_number(q, 1);
	fd = reeve_queue_poll_fd(q);
	ck_assert(is_readable(fd)); /* what was there before counts */
	put_number(q, 2);
	(void)get_number(q);
	ck_assert(is_readable(fd));
	(void)get_number(q);
	ck_assert_int_eq(reeve_queue_get(q, &n, 8, 0, NULL), -EAGAIN);
	ck_assert(!is_readable(fd));
	ck_assert_int_eq(reeve_queue_poll_fd(q), fd);
	ck_assert(!is_readable(fd));
	put_number(q, 3);
	ck_assert(is_readable(fd));
	(void)get_number(q);
	ck_assert_int_eq(reeve_queue_get(q, &n, 8, 0, NULL), -EAGAIN);
	ck_assert_int_eq(reeve_queue_close(q), 0);
	ck_assert(is_readable(fd));
	ck_assert_int_eq(reeve_queue_get(q, &n, 8, 0, NULL), -EPIPE);
	ck_assert(is_readable(fd)); /* for the next who asks */
	reeve_queue_free(q);
}
END_TEST

static int put_many(reeve_queue *q)
{
	for (int i = 0; i < 20000; i++)
		if (reeve_queue_put(q, &i, sizeof(i), REEVE_FOREVER) < 0)
			return 1;
	return 0;
}

/* Whoever only polls and drains gets them all. */
/* In a child that has not kept the queue's fds: their numbers are a file's. */
static void use_without_fds(void *arg)
{
	reeve_queue *q = arg;
	int fds[REEVE_QUEUE_FDS], file = memfd_create("file", 0);
	uint64_t n = 0;
	struct stat st;

	if (reeve_queue_fds(q, fds) < 0)
		_exit(1);
	for (int i = 0; i < REEVE_QUEUE_FDS; i++)
		if (dup2(file, fds[i]) < 0)
			_exit(2);
	if (reeve_queue_poll_fd(q) != -EBADF ||
	    reeve_queue_put(q, &n, 8, 0) != -EBADF)
		_exit(3);
	if (reeve_queue_get(q, &n, 8, 0, NULL) != 0 || n != 7 ||
	    reeve_queue_get(q, &n, 8, 0, NULL) != -EAGAIN)
		_exit(4);
	if (reeve_queue_close(q) != 0)
		_exit(5);
	if (fstat(file, &st) < 0 || st.st_size != 0 ||
	    lseek(file, 0, SEEK_CUR) != 0)
		_exit(6);
	reeve_queue_free(q);
	for (int i = 0; i < REEVE_QUEUE_FDS; i++)
		if (fcntl(fds[i], F_GETFD) < 0)
			_exit(7);
}

START_TEST(test_fds_not_kept)
{
	reeve_queue *q = new_queue(0, 0);
	uint64_t n = 7;

	ck_assert_int_ge(reeve_queue_poll_fd(q), 0);
	ck_assert_int_eq(reeve_queue_put(q, &n, 8, 0), 0);
	ck_assert_int_eq(unit_fork(use_without_fds, q, NULL), 0);
	ck_assert_int_eq(reeve_queue_get(q, &n, 8, 0, NULL), -EPIPE);
	reeve_queue_free(q);
}
END_TEST

START_TEST(test_poll_loses_none)
{
	reeve_queue *q = new_queue(8, 0);
	struct pollfd p = { .fd = reeve_queue_poll_fd(q), .events = POLLIN };
	pid_t pid = child_of(put_many, q);
	int n = 0, i, n_late = 0;

	while (n < 20000) {
		if (poll(&p, 1, 2000) != 1)
			n_late++;
		while (reeve_queue_get(q, &i, sizeof(i), 0, NULL) == 0)
			if (i != n++)
				ck_abort_msg("%d instead of %d", i, n - 1);
		if (n_late > 0)
			break;
	}
	ck_assert_int_eq(n_late, 0);
	ck_assert_int_eq(end_of(pid), 0);
	reeve_queue_free(q);
}
END_TEST

/* ---- opening ------------------------------------------------------------------------------ */

START_TEST(test_open)
{
	reeve_queue *q = new_queue(3, 128), *other = NULL;
	int fds[REEVE_QUEUE_FDS];

	ck_assert_int_eq(reeve_queue_fds(q, fds), 0);
	ck_assert_int_eq(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(fds[1], F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(reeve_queue_open(fds, &other), 0);
	put_number(q, 9);
	ck_assert_uint_eq(get_number(other), 9);
	ck_assert_uint_eq(reeve_queue_message_max(other), 120);
	put_number(other, 10);
	reeve_queue_free(other);
	ck_assert_uint_eq(get_number(q), 10);
	reeve_queue_free(q);
}
END_TEST

START_TEST(test_open_refuses)
{
	reeve_queue *q = new_queue(3, 128), *other = NULL;
	int good[REEVE_QUEUE_FDS], ends[2], fds[REEVE_QUEUE_FDS];

	ck_assert_int_eq(reeve_queue_fds(q, good), 0);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	fds[0] = good[0];
	fds[1] = ends[1]; /* writing to it could block */
	ck_assert_int_eq(reeve_queue_open(fds, &other), -EBADMSG);
	fds[1] = -1;
	ck_assert_int_eq(reeve_queue_open(fds, &other), -EBADF);
	fds[0] = ends[0];
	fds[1] = good[1];
	ck_assert_int_eq(reeve_queue_open(fds, &other), -EBADMSG);
	ck_assert_int_eq(reeve_queue_open(NULL, &other), -EINVAL);
	q->memory->max_bytes = 256;
	ck_assert_int_eq(reeve_queue_open(good, &other), -EBADMSG);
	q->memory->max_bytes = 128;
	q->memory->max_items = 0;
	ck_assert_int_eq(reeve_queue_open(good, &other), -EBADMSG);
	ck_assert_ptr_null(other);
	close(ends[0]);
	close(ends[1]);
	reeve_queue_free(q);
}
END_TEST

START_TEST(test_no_memory)
{
	reeve_queue *q = new_queue(0, 0);
	struct rlimit limit;
	uint64_t n = 3;
	size_t size;
	void *p = NULL;
	int fds[REEVE_QUEUE_FDS];
	reeve_queue *other = NULL;

	/* no descriptor is left to open one more */
	ck_assert_int_eq(reeve_queue_fds(q, fds), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE,
				   &(struct rlimit){ 3, limit.rlim_max }),
			 0);
	ck_assert_int_eq(reeve_queue_new(NULL, &other), -EMFILE);
	ck_assert_int_eq(reeve_queue_open(fds, &other), -EMFILE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	put_number(q, n);
	ck_assert_int_eq(reeve_queue_get_new(q, 0, &p, &size), 0);
	ck_assert(memcmp(p, &n, 8) == 0);
	free(p);
	reeve_queue_free(q);
}
END_TEST

UNIT_MAIN("queue", test_order, test_sizes, test_large, test_counters_wrap,
	  test_items_limit, test_bytes_limit, test_spec, test_bad_arguments,
	  test_timeouts, test_waiters_wake, test_close, test_close_wakes,
	  test_poll, test_fds_not_kept, test_poll_loses_none, test_open,
	  test_open_refuses, test_no_memory)
