/* Messages per second from producers to consumers, each a process:
 *
 *	queues queue|ring|pipe|seqpacket SIZE MESSAGES PRODUCERS CONSUMERS
 *
 * "ring" is the bare primitive: fixed slots under one robust mutex and two
 * futexes, nothing else. "seqpacket" is a bare socket pair. Prints messages per
 * second, from the first process's start to the last one's end.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <reeve/pipe.h>
#include <reeve/queue.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/clock.h"
#include "workers/shared/region.h"

#define RING_BYTES     (4U << 20)
#define RING_LOOK_USEC 50

struct way {
	const char *name;
	void (*open)(size_t size);
	int (*send)(const void *data, size_t size);
	int (*receive)(void *data, size_t size);
};

/* ---- libreeve's queue ----------------------------------------------------- */

static reeve_queue *queue;

static void queue_open(size_t size)
{
	struct reeve_queue_spec spec = { .max_bytes =
						 MAX(RING_BYTES, 4 * size) };

	if (reeve_queue_new(&spec, &queue) < 0)
		_exit(1);
}

static int queue_send(const void *data, size_t size)
{
	return reeve_queue_put(queue, data, size, REEVE_FOREVER);
}

static int queue_receive(void *data, size_t size)
{
	return reeve_queue_get(queue, data, size, REEVE_FOREVER, NULL);
}

/* ---- a bare ring under a robust mutex ---------------------------------------- */

struct ring {
	pthread_mutex_t lock;
	_Atomic uint32_t head, tail;
	_Atomic uint32_t sleeping;
	size_t slots;
	unsigned char data[];
};

static struct ring *ring;

static void ring_open(size_t size)
{
	pthread_mutexattr_t attr;

	ring = mmap(NULL, sizeof(*ring) + RING_BYTES + size,
		    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ring == MAP_FAILED)
		_exit(1);
	ring->slots = MIN(MAX(RING_BYTES / size, 1), 1024);
	(void)pthread_mutexattr_init(&attr);
	(void)pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	(void)pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	(void)pthread_mutex_init(&ring->lock, &attr);
}

/* Sleeps while *word is value, after having looked for a while; whoever changes a
 * word wakes all if any sleeps. */
static void ring_sleep(_Atomic uint32_t *word, uint32_t value)
{
	uint64_t end = clock_monotonic_usec() + RING_LOOK_USEC;

	(void)pthread_mutex_unlock(&ring->lock);
	while (atomic_load(word) == value && clock_monotonic_usec() < end)
		(void)sched_yield();
	atomic_fetch_add(&ring->sleeping, 1);
	if (atomic_load(word) == value)
		(void)syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL,
			      0);
	atomic_fetch_sub(&ring->sleeping, 1);
	(void)pthread_mutex_lock(&ring->lock);
}

static void ring_step(_Atomic uint32_t *word)
{
	atomic_fetch_add(word, 1);
	(void)pthread_mutex_unlock(&ring->lock);
	if (atomic_load(&ring->sleeping))
		(void)region_wake(word, INT_MAX);
}

static int ring_send(const void *data, size_t size)
{
	uint32_t head;

	(void)pthread_mutex_lock(&ring->lock);
	while (head = ring->head, ring->tail - head == ring->slots)
		ring_sleep(&ring->head, head);
	memcpy(ring->data + ring->tail % ring->slots * size, data, size);
	ring_step(&ring->tail);
	return 0;
}

static int ring_receive(void *data, size_t size)
{
	uint32_t tail;

	(void)pthread_mutex_lock(&ring->lock);
	while (tail = ring->tail, tail == ring->head)
		ring_sleep(&ring->tail, tail);
	memcpy(data, ring->data + ring->head % ring->slots * size, size);
	ring_step(&ring->head);
	return 0;
}

/* ---- a bare socket pair --------------------------------------------------------- */

static int pair[2];

static void pair_open(size_t size)
{
	int bytes = (int)MAX(4 * size, 1U << 18);

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		_exit(1);
	(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &bytes,
			 sizeof(bytes));
}

static int pair_send(const void *data, size_t size)
{
	return send(pair[0], data, size, 0) == (ssize_t)size ? 0 : -errno;
}

static int pair_receive(void *data, size_t size)
{
	return recv(pair[1], data, size, 0) == (ssize_t)size ? 0 : -errno;
}

/* ---- libreeve's pipe ------------------------------------------------------------- */

static reeve_connection *ends[2];

static void pipe_open(size_t size _unused_)
{
	if (reeve_pipe_new(false, ends) < 0)
		_exit(1);
}

static int pipe_send(const void *data, size_t size)
{
	return reeve_connection_send(ends[1], data, size, REEVE_FOREVER);
}

static int pipe_receive(void *data, size_t size)
{
	return reeve_connection_recv(ends[0], data, size, REEVE_FOREVER, NULL);
}

/* ---- a run -------------------------------------------------------------------------- */

static const struct way ways[] = {
	{ "queue", queue_open, queue_send, queue_receive },
	{ "ring", ring_open, ring_send, ring_receive },
	{ "pipe", pipe_open, pipe_send, pipe_receive },
	{ "seqpacket", pair_open, pair_send, pair_receive },
};

static int run(int (*step)(void *, size_t), size_t size, unsigned long n)
{
	void *data = malloc(size);

	if (!data)
		return 1;
	memset(data, 'x', size);
	for (; n > 0; n--)
		if (step(data, size) < 0)
			return 1;
	free(data);
	return 0;
}

static const struct way *way;

static int send_one(void *data, size_t size)
{
	return way->send(data, size);
}

static int receive_one(void *data, size_t size)
{
	return way->receive(data, size);
}

static int start(unsigned producers, unsigned consumers, size_t size,
		 unsigned long n)
{
	int failed = 0, status;

	for (unsigned i = 0; i < producers + consumers; i++)
		if (fork() == 0)
			_exit(i < producers
				      ? run(send_one, size, n / producers)
				      : run(receive_one, size, n / consumers));
	while (wait(&status) > 0)
		failed |= status;
	return failed;
}

int main(int argc, char **argv)
{
	uint64_t begin;
	size_t size;
	unsigned long n;

	if (argc != 6)
		return 2;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		if (strcmp(ways[i].name, argv[1]) == 0)
			way = &ways[i];
	size = strtoul(argv[2], NULL, 10);
	n = strtoul(argv[3], NULL, 10);
	if (!way || size == 0)
		return 2;
	way->open(size);
	begin = clock_monotonic_usec();
	if (start((unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]), size, n))
		return 1;
	printf("%.0f\n",
	       (double)n * 1e6 / (double)(clock_monotonic_usec() - begin));
	return 0;
}
