/* Pipes: messages are whole, whoever sends and receives; the end is told. */
#include <reeve/pipe.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "workers/base/pure/rng.h"
#include "workers/base/sys/clock.h"

static reeve_connection *ends[2];

static void new_pipe(bool is_duplex)
{
	ck_assert_int_eq(reeve_pipe_new(is_duplex, ends), 0);
}

static void free_pipe(void)
{
	ends[0] = reeve_connection_free(ends[0]);
	ends[1] = reeve_connection_free(ends[1]);
}

static void fill(unsigned char *data, size_t size, unsigned salt)
{
	for (size_t i = 0; i < size; i++)
		data[i] = (unsigned char)(i * 31 + (i >> 8) + salt);
}

static int exit_of(pid_t pid)
{
	int status = 0;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- messages --------------------------------------------------------------- */

static const size_t sizes[] = { 0,
				1,
				256,
				257,
				4096,
				REEVE_PIPE_INLINE_MAX,
				REEVE_PIPE_INLINE_MAX + 1,
				1 << 20,
				(5 << 20) + 3 };

START_TEST(test_sizes)
{
	size_t max = sizes[ARRAY_SIZE(sizes) - 1], size;
	unsigned char *in = malloc(max), *out = malloc(max);
	void *p;

	new_pipe(false);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes) * 3; i++) {
		size_t wanted = sizes[i % ARRAY_SIZE(sizes)];

		fill(in, wanted, i);
		ck_assert_int_eq(reeve_connection_send(ends[1], in, wanted, 0),
				 0);
		ck_assert_int_eq(reeve_connection_recv(ends[0], out, wanted, 0,
						       &size),
				 0);
		ck_assert_uint_eq(size, wanted);
		ck_assert(memcmp(in, out, size) == 0);
		ck_assert_int_eq(reeve_connection_send(ends[1], in, wanted, 0),
				 0);
		ck_assert_int_eq(
			reeve_connection_recv_new(ends[0], 0, &p, &size), 0);
		ck_assert_uint_eq(size, wanted);
		ck_assert(memcmp(in, p, size) == 0);
		free(p);
	}
	ck_assert_int_eq(reeve_connection_send(ends[1], in,
					       REEVE_PIPE_MESSAGE_MAX + 1, 0),
			 -EMSGSIZE);
	free(in);
	free(out);
	free_pipe();
}
END_TEST

/* What is too large for the buffer stays, with all its bytes. */
START_TEST(test_too_small)
{
	static unsigned char in[1 << 17], out[1 << 17];
	size_t size;

	new_pipe(false);
	for (unsigned i = 1; i < 8; i++) {
		size_t wanted = sizes[i];

		wanted = MIN(wanted, sizeof(in));
		fill(in, wanted, i);
		ck_assert_int_eq(reeve_connection_send(ends[1], in, wanted, 0),
				 0);
		for (int n = 0; n < 2; n++)
			ck_assert_int_eq(reeve_connection_recv(ends[0], out,
							       wanted - 1, 0,
							       &size),
					 -EMSGSIZE);
		ck_assert_int_eq(reeve_connection_poll(ends[0], 0), 1);
		memset(out, 0, sizeof(out));
		ck_assert_int_eq(reeve_connection_recv(ends[0], out, wanted, 0,
						       &size),
				 0);
		ck_assert_uint_eq(size, wanted);
		ck_assert(memcmp(in, out, wanted) == 0);
	}
	/* one that nobody came back for is released with its end */
	ck_assert_int_eq(reeve_connection_send(ends[1], in, sizeof(in), 0), 0);
	ck_assert_int_eq(reeve_connection_recv(ends[0], out, 1, 0, &size),
			 -EMSGSIZE);
	free_pipe();
}
END_TEST

START_TEST(test_directions)
{
	char c = 0;

	new_pipe(false);
	ck_assert_int_eq(reeve_connection_send(ends[0], "x", 1, 0), -EPIPE);
	ck_assert_int_eq(reeve_connection_recv(ends[1], &c, 1, 0, NULL),
			 -EPIPE);
	free_pipe();
	new_pipe(true);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(reeve_connection_send(ends[i], "x", 1, 0), 0);
		ck_assert_int_eq(
			reeve_connection_recv(ends[!i], &c, 1, 0, NULL), 0);
		ck_assert_int_eq(c, 'x');
	}
	free_pipe();
}
END_TEST

START_TEST(test_waiting)
{
	uint64_t begin = clock_monotonic_usec();
	char data[4096] = "";
	int n = 0, r;

	new_pipe(false);
	ck_assert_int_eq(reeve_connection_recv(ends[0], data, 1, 0, NULL),
			 -EAGAIN);
	ck_assert_int_eq(reeve_connection_recv(ends[0], data, 1, 10000, NULL),
			 -ETIMEDOUT);
	ck_assert_int_eq(reeve_connection_poll(ends[0], 10000), 0);
	ck_assert_int_eq(reeve_connection_poll(ends[0], 0), 0);
	ck_assert_uint_ge(clock_monotonic_usec() - begin, 20000);
	while (r = reeve_connection_send(ends[1], data, sizeof(data), 0),
	       r == 0)
		n++;
	ck_assert_int_eq(r, -EAGAIN);
	ck_assert_int_gt(n, 10);
	ck_assert_int_lt(n, 10000);
	ck_assert_int_eq(reeve_connection_send(ends[1], data, 4096, 10000),
			 -ETIMEDOUT);
	ck_assert_int_eq(reeve_connection_poll(ends[0], REEVE_FOREVER), 1);
	for (; n > 0; n--)
		ck_assert_int_eq(
			reeve_connection_recv(ends[0], data, 4096, 0, NULL), 0);
	ck_assert_int_eq(reeve_connection_recv(ends[0], data, 1, 0, NULL),
			 -EAGAIN);
	free_pipe();
}
END_TEST

/* ---- the end -------------------------------------------------------------------- */

START_TEST(test_end)
{
	char c = 0;

	new_pipe(true);
	ck_assert_int_eq(reeve_connection_send(ends[1], "x", 1, 0), 0);
	ends[1] = reeve_connection_free(ends[1]);
	ck_assert_int_eq(reeve_connection_poll(ends[0], 0), 1);
	ck_assert_int_eq(
		reeve_connection_recv(ends[0], &c, 1, REEVE_FOREVER, NULL), 0);
	ck_assert_int_eq(reeve_connection_recv(ends[0], &c, 1, REEVE_FOREVER,
					       NULL),
			 -EPIPE);
	ck_assert_int_eq(reeve_connection_poll(ends[0], 0), 1);
	/* no SIGPIPE: this test would die of it */
	ck_assert_int_eq(reeve_connection_send(ends[0], "x", 1, REEVE_FOREVER),
			 -EPIPE);
	free_pipe();
}
END_TEST

/* It left something unread; what it had sent is got all the same. */
START_TEST(test_reset)
{
	char c = 0;

	new_pipe(true);
	ck_assert_int_eq(reeve_connection_send(ends[0], "u", 1, 0), 0);
	ck_assert_int_eq(reeve_connection_send(ends[1], "x", 1, 0), 0);
	ends[1] = reeve_connection_free(ends[1]);
	ck_assert_int_eq(
		reeve_connection_recv(ends[0], &c, 1, REEVE_FOREVER, NULL), 0);
	ck_assert_int_eq(c, 'x');
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(reeve_connection_recv(ends[0], &c, 1,
						       REEVE_FOREVER, NULL),
				 -ECONNRESET);
	free_pipe();
}
END_TEST

START_TEST(test_killed_peer_wakes)
{
	uint64_t begin;
	pid_t pid;
	char c;

	new_pipe(true);
	pid = fork();
	if (pid == 0) {
		(void)reeve_connection_free(ends[0]);
		(void)reeve_connection_recv(ends[1], &c, 1, REEVE_FOREVER,
					    NULL);
		_exit(1);
	}
	ends[1] = reeve_connection_free(ends[1]);
	ck_assert_int_eq(reeve_connection_poll(ends[0], 10000), 0);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	begin = clock_monotonic_usec();
	ck_assert_int_eq(reeve_connection_recv(ends[0], &c, 1, REEVE_FOREVER,
					       NULL),
			 -EPIPE);
	ck_assert_uint_lt(clock_monotonic_usec() - begin, 100000);
	ck_assert_int_eq(exit_of(pid), -SIGKILL);
	free_pipe();
}
END_TEST

/* ---- descriptors ------------------------------------------------------------------- */

static void send_some_fds(size_t size, size_t n)
{
	static unsigned char data[1 << 17];
	int own[2], fds[REEVE_PIPE_FDS_MAX];
	struct reeve_message m = { data, size, fds, n };

	ck_assert_int_eq(pipe2(own, O_CLOEXEC), 0);
	for (size_t i = 0; i < n; i++)
		fds[i] = own[1];
	ck_assert_int_eq(reeve_connection_send_message(ends[1], &m, 0), 0);
	/* the pipe ends when all received ones are closed, too */
	ck_assert_int_eq(write(own[1], "x", 1), 1);
	close(own[0]);
	close(own[1]);
}

static void receive_fds(size_t size, size_t n)
{
	static unsigned char data[1 << 17];
	int fds[REEVE_PIPE_FDS_MAX];
	struct reeve_message m = { data, sizeof(data), fds,
				   REEVE_PIPE_FDS_MAX };

	ck_assert_int_eq(reeve_connection_recv_message(ends[0], &m, 0), 0);
	ck_assert_uint_eq(m.size_bytes, size);
	ck_assert_uint_eq(m.n_fds, n);
	for (size_t i = 0; i < n; i++) {
		ck_assert_int_eq(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		close(fds[i]);
	}
}

START_TEST(test_fds)
{
	char data[8];
	int fd;
	struct reeve_message m = { data, 8, &fd, 0 };
	int before;

	new_pipe(false);
	for (size_t n = 0; n <= REEVE_PIPE_FDS_MAX; n++) {
		send_some_fds(3, n);
		receive_fds(3, n);
		send_some_fds(1 << 17, n);
		receive_fds(1 << 17, n);
	}
	before = dup(0);
	close(before);
	send_some_fds(3, 2); /* whoever does not ask for them has them closed */
	ck_assert_int_eq(reeve_connection_recv(ends[0], data, 8, 0, NULL), 0);
	fd = dup(0);
	ck_assert_int_eq(fd, before);
	close(fd);
	send_some_fds(3, 2);
	m.n_fds = 1; /* no room: it stays */
	ck_assert_int_eq(reeve_connection_recv_message(ends[0], &m, 0),
			 -EMSGSIZE);
	receive_fds(3, 2);
	m.n_fds = REEVE_PIPE_FDS_MAX + 1;
	ck_assert_int_eq(reeve_connection_send_message(ends[1], &m, 0),
			 -EINVAL);
	m.n_fds = 1;
	fd = -1;
	m.size_bytes = 8;
	ck_assert_int_eq(reeve_connection_send_message(ends[1], &m, 0), -EBADF);
	free_pipe();
}
END_TEST

/* ---- what is no message --------------------------------------------------------------- */

struct packet {
	uint32_t magic, n_fds;
	uint64_t size;
	char data[8];
};

static void send_raw(const void *data, size_t size, const int *fds,
		     size_t n_fds)
{
	struct iovec part = { (void *)(uintptr_t)data, size };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * 64)] =
		"";
	struct msghdr packet = { .msg_iov = &part, .msg_iovlen = 1 };
	struct cmsghdr *head = (struct cmsghdr *)(void *)control;

	if (n_fds > 0) {
		packet.msg_control = control;
		packet.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(head), fds, sizeof(int) * n_fds);
	}
	ck_assert_int_eq(sendmsg(reeve_connection_fd(ends[1]), &packet, 0),
			 (int)size);
}

static void refused(int error)
{
	char data[64];

	ck_assert_int_eq(reeve_connection_recv(ends[0], data, sizeof(data), 0,
					       NULL),
			 error);
	/* and the next one is as good as ever */
	ck_assert_int_eq(reeve_connection_send(ends[1], "good", 4, 0), 0);
	ck_assert_int_eq(
		reeve_connection_recv(ends[0], data, sizeof(data), 0, NULL), 0);
}

START_TEST(test_hostile)
{
	static char huge[100000];
	struct packet p = { UINT32_C(0x72656532), 0, 8, "" };
	int fds[64], unsealed = memfd_create("test", MFD_CLOEXEC);

	new_pipe(false);
	for (int i = 0; i < 64; i++)
		fds[i] = unsealed;
	send_raw(&p, 15, NULL, 0);
	refused(-EBADMSG);
	send_raw(&p, 16, NULL, 0);
	refused(-EBADMSG);
	send_raw(huge, sizeof(huge), NULL, 0);
	refused(-EBADMSG);
	send_raw(&p, sizeof(p), fds, 1);
	refused(-EBADMSG);
	send_raw(&p, sizeof(p), fds, 64);
	refused(-EMFILE);
	p.n_fds = 1;
	send_raw(&p, sizeof(p), NULL, 0);
	refused(-EBADMSG);
	p.n_fds = 0;
	p.size = 1 << 20;
	send_raw(&p, 16, NULL, 0);
	refused(-EBADMSG);
	send_raw(&p, 16, fds, 1); /* could shrink while we read */
	refused(-EBADMSG);
	ck_assert_int_eq(ftruncate(unsealed, 2 << 20), 0);
	send_raw(&p, 16, fds, 1);
	refused(-EBADMSG);
	p.size = UINT64_MAX;
	send_raw(&p, 16, fds, 1);
	refused(-EBADMSG);
	p.magic = 0;
	p.size = 8;
	send_raw(&p, sizeof(p), NULL, 0);
	refused(-EBADMSG);
	close(unsealed);
	free_pipe();
}
END_TEST

START_TEST(test_bad_arguments)
{
	struct reeve_message m = { 0 };
	reeve_connection *c = NULL;
	int fds[2];
	size_t size;
	void *p;

	new_pipe(false);
	ck_assert_int_eq(reeve_pipe_new(true, NULL), -EINVAL);
	ck_assert_int_eq(reeve_connection_send(NULL, "", 1, 0), -EINVAL);
	ck_assert_int_eq(reeve_connection_send(ends[1], NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(reeve_connection_recv(NULL, &size, 1, 0, NULL),
			 -EINVAL);
	ck_assert_int_eq(reeve_connection_recv(ends[0], NULL, 1, 0, NULL),
			 -EINVAL);
	ck_assert_int_eq(reeve_connection_recv_new(NULL, 0, &p, &size),
			 -EINVAL);
	ck_assert_int_eq(reeve_connection_send_message(NULL, &m, 0), -EINVAL);
	ck_assert_int_eq(reeve_connection_recv_message(ends[0], NULL, 0),
			 -EINVAL);
	ck_assert_int_eq(reeve_connection_poll(NULL, 0), -EINVAL);
	ck_assert_int_eq(reeve_connection_fd(NULL), -EINVAL);
	ck_assert_ptr_null(reeve_connection_free(NULL));
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	ck_assert_int_eq(reeve_connection_open(fds[0], &c), -EBADMSG);
	ck_assert_int_eq(reeve_connection_open(-1, &c), -EBADF);
	close(fds[0]);
	close(fds[1]);
	ck_assert_int_eq(
		reeve_connection_open(reeve_connection_fd(ends[1]), &c), 0);
	ck_assert_int_eq(reeve_connection_send(c, "x", 1, 0), 0);
	ck_assert_int_eq(reeve_connection_recv(ends[0], &size, 1, 0, NULL), 0);
	(void)reeve_connection_free(c);
	free_pipe();
}
END_TEST

/* ---- many, and killed ones -------------------------------------------------------------- */

#define SIDE  4
#define LIVES 256
#define PUTS  4096
#define BIG   (REEVE_PIPE_INLINE_MAX + 20000)

struct ledger {
	_Atomic uint32_t n_lives, n_wrong;
	_Atomic uint32_t told[LIVES];
	_Atomic uint8_t got[LIVES][PUTS];
};

struct note {
	uint32_t life, number, sum;
	unsigned char data[BIG];
};

static struct ledger *ledger;
static struct note note;

static uint32_t sum_of(size_t size)
{
	uint32_t sum = note.life * 31 + note.number;

	for (size_t i = offsetof(struct note, data); i < size; i += 97)
		sum = sum * 31 + ((unsigned char *)&note)[i];
	return sum;
}

static int send_notes(void)
{
	uint32_t life = atomic_fetch_add(&ledger->n_lives, 1);
	struct rng rng = { life };
	int r = 0;

	(void)reeve_connection_free(ends[0]);
	for (uint32_t i = 1; r == 0 && life < LIVES && i < PUTS; i++) {
		size_t size = rng_below(&rng, 20) ? 100 : sizeof(note);

		note.life = life;
		note.number = i;
		memset(note.data, (int)i, size - offsetof(struct note, data));
		note.sum = sum_of(size);
		r = reeve_connection_send(ends[1], &note, size, REEVE_FOREVER);
		if (r == 0)
			atomic_store(&ledger->told[life], i);
	}
	return r != 0;
}

static int receive_notes(void)
{
	size_t size;
	int r;

	(void)reeve_connection_free(ends[1]);
	while (r = reeve_connection_recv(ends[0], &note, sizeof(note),
					 REEVE_FOREVER, &size),
	       r == 0)
		if (note.life >= LIVES || note.number >= PUTS ||
		    note.sum != sum_of(size))
			atomic_fetch_add(&ledger->n_wrong, 1);
		else
			atomic_fetch_add(&ledger->got[note.life][note.number],
					 1);
	return r != -EPIPE;
}

static pid_t start(int i)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(i < SIDE ? send_notes() : receive_notes());
	return pid;
}

static void check_ledger(unsigned n_killed)
{
	unsigned n_twice = 0, n_missing = 0, n = 0;

	for (uint32_t life = 0; life < LIVES; life++)
		for (uint32_t i = 1; i < PUTS; i++) {
			uint8_t got = atomic_load(&ledger->got[life][i]);

			n += got;
			n_twice += got > 1;
			n_missing +=
				!got && i <= atomic_load(&ledger->told[life]);
		}
	ck_assert_uint_eq(atomic_load(&ledger->n_wrong), 0);
	ck_assert_uint_eq(n_twice, 0);
	ck_assert_uint_le(n_missing, n_killed);
	unit_count(n, "messages");
}

/* Four senders on one end and four receivers on the other. */
static void many_and_killed(unsigned n_kills)
{
	struct rng rng = { clock_monotonic_usec() };
	unsigned n_receivers = 0;
	pid_t pids[2 * SIDE];

	ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(ledger, MAP_FAILED);
	new_pipe(false);
	for (int i = 0; i < 2 * SIDE; i++)
		pids[i] = start(i);
	for (unsigned n = 0; n < n_kills; n++) {
		struct timespec moment = { 0, (long)rng_below(&rng, 3000000) };
		int i = (int)rng_below(&rng, ARRAY_SIZE(pids));

		(void)ppoll(NULL, 0, &moment, NULL);
		ck_assert_int_eq(kill(pids[i], SIGKILL), 0);
		(void)exit_of(pids[i]);
		n_receivers += i >= SIDE;
		pids[i] = start(i);
	}
	free_pipe();
	for (int i = 0; i < 2 * SIDE; i++)
		ck_assert_int_eq(exit_of(pids[i]), 0);
	check_ledger(n_receivers);
	unit_count(n_kills, "kills");
	(void)munmap(ledger, sizeof(*ledger));
}

START_TEST(test_many_and_killed)
{
	bool is_soak = getenv("REEVE_SOAK");

	for (int i = is_soak ? 40 : 1; i > 0; i--)
		many_and_killed(is_soak ? 240 : 60);
}
END_TEST

UNIT_MAIN("pipe", test_sizes, test_too_small, test_directions, test_waiting,
	  test_end, test_reset, test_killed_peer_wakes, test_fds, test_hostile,
	  test_bad_arguments, test_many_and_killed)
