/* Fuzzes the framing of a pipe: packets as a hostile other side may send them,
 * with and without descriptors, large memory that is no message, and sizes that
 * do not fit. Whatever comes, receiving returns, and no descriptor stays.
 *
 * The input is a script: one byte says what is sent and how it is received.
 */
#include <reeve/pipe.h>

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/fd.h"

#define STEPS_MAX 32
#define ROOM	  100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct script {
	const uint8_t *data;
	size_t left;
};

static uint8_t take(struct script *s)
{
	if (s->left == 0)
		return 0;
	s->left--;
	return *s->data++;
}

/* Sealed as a slab is, or not quite. */
static int memory(struct script *s)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	uint8_t what = take(s);

	reeve_assert(fd >= 0);
	reeve_assert(ftruncate(fd, (off_t)take(s) << 12) == 0);
	reeve_assert(fcntl(fd, F_ADD_SEALS,
			   what & 1 ? F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL
				    : F_SEAL_GROW) == 0);
	return fd;
}

struct header {
	uint32_t magic, n_fds;
	uint64_t size;
	unsigned char data[256];
};

static void send_packet(int socket, struct script *s)
{
	struct header h = { UINT32_C(0x72656532), take(s), take(s), "" };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * 32)] =
		"";
	struct cmsghdr *head = (struct cmsghdr *)(void *)control;
	size_t n_fds = take(s) % 33, offset = offsetof(struct header, data);
	struct iovec part = { &h, offset + take(s) };
	struct msghdr packet = { .msg_iov = &part, .msg_iovlen = 1 };
	int fd = memory(s), fds[32];

	h.size <<= take(s) % 40;
	if (take(s) == 0) /* anything at all */
		for (size_t i = 0; i < part.iov_len; i++)
			((unsigned char *)&h)[i] = take(s);
	for (size_t i = 0; i < n_fds; i++)
		fds[i] = fd;
	if (n_fds > 0) {
		packet.msg_control = control;
		packet.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(head), fds, sizeof(int) * n_fds);
	}
	(void)sendmsg(socket, &packet, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static void receive(reeve_connection *end, struct script *s)
{
	static unsigned char buffer[ROOM];
	int fds[REEVE_PIPE_FDS_MAX];
	struct reeve_message m = { buffer, take(s) % (ROOM + 1), fds,
				   take(s) % (REEVE_PIPE_FDS_MAX + 1) };
	size_t size = m.size_bytes, n_fds = m.n_fds;
	void *p = NULL;

	switch (take(s) % 3) {
	case 0:
		if (reeve_connection_recv(end, buffer, size, 0, &size) == 0)
			reeve_assert(size <= m.size_bytes);
		break;
	case 1:
		if (reeve_connection_recv_new(end, 0, &p, &size) == 0)
			reeve_assert(size <= 1U << 20);
		free(p);
		break;
	default:
		if (reeve_connection_recv_message(end, &m, 0) < 0)
			break;
		reeve_assert(m.size_bytes <= size && m.n_fds <= n_fds);
		for (size_t i = 0; i < m.n_fds; i++)
			close(m.fds[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = { data, size };
	reeve_connection *ends[2];
	int n_before = fd_count_open();

	reeve_assert(reeve_pipe_new(false, ends) == 0);
	for (int i = 0; i < STEPS_MAX && s.left > 0; i++) {
		if (take(&s) % 2)
			send_packet(reeve_connection_fd(ends[1]), &s);
		else
			receive(ends[0], &s);
	}
	(void)reeve_connection_free(ends[1]);
	(void)reeve_connection_free(ends[0]);
	reeve_assert(fd_count_open() == n_before);
	return 0;
}
